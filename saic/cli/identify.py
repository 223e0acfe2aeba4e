"""``saic identify``: who speaks in a recording."""

from pathlib import Path
from typing import Annotated

import typer

from saic.cli.options import DeviceOption, JsonOption, WeightsOption, show, table, tell_notes
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
    known: list[tuple[str, Path]] = []
    for entry in enrol:
        name, equals, path = entry.partition("=")
        if not (name and equals and path):
            raise UsageError("Write --enrol as NAME=RECORDING, for instance --enrol anna=anna.wav.")
        known.append((name, Path(path)))
    from saic import audio
    from saic.pipeline import Clip, Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    if threshold is None:
        threshold = pipeline.gallery.threshold  # refuses weights without a gallery before recordings are read
    probe = audio.read(clip)
    of_clip, of_known = tell_notes(probe.notes, "CLIP"), []
    enrolled: dict[str, list[Clip]] = {}
    for number, (name, path) in enumerate(known, start=1):
        recording = audio.read(path)
        enrolled.setdefault(name, []).append((recording.wav, audio.SAMPLE_RATE))
        of_known.append(tell_notes(recording.notes, f"--enrol {number}"))  # by number: stderr may be a log
    matches = pipeline.identify((probe.wav, audio.SAMPLE_RATE), enrolled, threshold)
    rows = [(match.name, f"{match.score:.3f}", "yes" if match.accepted else "no") for match in matches]
    facts = {"matches": [vars(match) for match in matches], "notes": {"clip": of_clip, "recordings": of_known}}
    show(as_json, facts, table(rows, ("voice", "similarity", "same person?")))
