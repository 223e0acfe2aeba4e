"""``saic identify``: who speaks in a recording."""

from pathlib import Path
from typing import Annotated

import typer

from saic.cli.options import DeviceOption, JsonOption, WeightsOption, show, table
from saic.errors import UsageError


def identify(
    clip: Annotated[Path, typer.Argument(help="Recording of the person in question.")],
    enrol: Annotated[list[str], typer.Option("--enrol", help="NAME=RECORDING of a known voice; repeat for more.")],
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=-1, max=1, help="Least similarity to accept.", show_default="from the weights"),
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Tell which enrolled voice speaks in CLIP, if any."""
    enrolled: dict[str, list[Path]] = {}
    for entry in enrol:
        name, equals, path = entry.partition("=")
        if not (name and equals and path):
            raise UsageError("Write --enrol as NAME=RECORDING, for instance --enrol anna=anna.wav.")
        enrolled.setdefault(name, []).append(Path(path))
    from saic.pipeline import Pipeline

    matches = Pipeline.from_pretrained(weights, device=device).identify(clip, enrolled, threshold)
    rows = [(match.name, f"{match.score:.3f}", "yes" if match.accepted else "no") for match in matches]
    show(as_json, {"matches": [vars(match) for match in matches]}, table(rows, ("voice", "similarity", "same person?")))
