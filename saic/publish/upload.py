"""Upload to the Hugging Face Hub, by default into private repositories.

Log in with ``hf auth login``.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError

from saic import weights
from saic.errors import HubError, UsageError
from saic.publish.model_card import model_card, read_report
from saic.weights.download import hub_errors

CARD, REPORT = "README.md", "report.json"


def push(
    folder: Path, repo: str, *, report: Path | None = None, private: bool = True, license: str | None = None
) -> str:
    """Upload a weights folder as one commit to a model repository, new or existing.

    Parameters
    ----------
    folder
        A weights folder; its ``SHA256SUMS`` and the files listed there are uploaded.
    repo
        ORG/NAME.
    report
        The report.json of ``saic evaluate`` on these weights. Its figures are shown in the model
        card.
    private
        False makes a new repository public, and accepts an existing public one.
    license
        License of the weights, as the Hub names it ("cc-by-4.0").

    Returns
    -------
    ``ORG/NAME@COMMIT``, which every ``weights`` parameter accepts.

    Raises
    ------
    WeightsError
        The folder is incomplete or damaged.
    UsageError
        The report is of other weights, or the repository is public and ``private`` is set.
    HubError
        The Hub cannot be reached or refuses.
    """
    weights.verify(folder)
    figures = read_report(report, weights.fingerprint(folder)) if report else None
    files: dict[str, bytes | Path] = {name: folder / name for name in (weights.SUMS, *weights.listed(folder))}
    files[CARD] = model_card(repo, figures, license).encode()
    if report:
        files[REPORT] = report
    commit = upload(
        repo,
        files,
        kind="model",
        private=private,
        message="Upload SAIC weights",
        replaces=lambda path: "/" not in path and path.endswith((".safetensors", ".json")),
    )
    return f"{repo}@{commit}"


def upload(
    repo: str,
    files: Mapping[str, bytes | Path],
    *,
    kind: str,
    private: bool,
    message: str,
    replaces: Callable[[str], bool],
) -> str:
    """Upload files to a repository in one commit; return the commit.

    Parameters
    ----------
    files
        By path in the repository: the content, or the path of a local file.
    kind
        "model" or "space".
    private
        False makes a new repository public, and accepts an existing public one.
    replaces
        Whether a file of the repository that is not in ``files`` is deleted, by its path.

    Raises
    ------
    UsageError
        The name has no ORG, or the repository is public and ``private`` is set.
    HubError
        Nobody is logged in, or the Hub cannot be reached or refuses.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UsageError("Name the repository as ORG/NAME; ORG may be your own user name.")
    if get_token() is None:
        raise HubError("You are not logged in to the Hub. Log in with: hf auth login")
    with hub_errors(repo):
        api = HfApi(library_name="saic")
        try:
            found = api.repo_info(repo, repo_type=kind)
        except RepositoryNotFoundError:
            api.create_repo(repo, repo_type=kind, private=private, space_sdk="gradio" if kind == "space" else None)
            found = api.repo_info(repo, repo_type=kind)
        if private and not found.private:
            raise UsageError(f"{repo} is public. Add --public (private=False) if that is meant, or name another.")
        stale = [file.rfilename for file in found.siblings or () if file.rfilename not in files]
        operations = [CommitOperationDelete(path) for path in stale if replaces(path)]
        operations += [CommitOperationAdd(path, content) for path, content in files.items()]
        return api.create_commit(repo, operations, commit_message=message, repo_type=kind).oid
