"""``saic push`` and ``saic space``: uploads to the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from saic.cli.options import JsonOption, WeightsOption, show

RepoOption = Annotated[str, typer.Option("--repo", metavar="ORG/NAME", help="Repository; made if it does not exist.")]
PublicOption = Annotated[
    bool,
    typer.Option("--public", help="Let everyone read it, with the gallery's embeddings of training speakers."),
]


def push(
    repo: RepoOption,
    weights: WeightsOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="report.json of saic evaluate on these weights, for the model card.")
    ] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="License of the weights, as the Hub names it: cc-by-4.0.")
    ] = None,
    public: PublicOption = False,
    as_json: JsonOption = False,
) -> None:
    """Upload weights and a model card to the Hugging Face Hub.

    The repository is private unless --public is given. Log in with: hf auth login
    """
    from saic.weights import resolve

    folder = resolve(weights)
    from saic.publish import upload  # after the weights are found: it imports the Hub's client

    name = upload.push(folder, repo, report=report, private=not public, license=license)
    show(as_json, {"weights": name, "public": public}, f"Uploaded. They are loaded by --weights {name}")


def space(
    repo: RepoOption, weights: WeightsOption = None, public: PublicOption = False, as_json: JsonOption = False
) -> None:
    """Upload the page and weights as a Hugging Face Space.

    The Space is private unless --public is given. Run python -m saic space in SAIC's source tree,
    which is uploaded.
    """
    from saic.weights import resolve

    folder = resolve(weights)
    from saic.publish import space

    commit = space.push(folder, repo, private=not public)
    show(as_json, {"space": repo, "commit": commit, "public": public}, f"Uploaded. The Hub now builds the Space {repo}")
