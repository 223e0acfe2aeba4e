"""``saic convert``: one recording in the voice of another."""

from pathlib import Path
from typing import Annotated

import typer

from saic.cli.options import DeviceOption, ForceOption, JsonOption, WeightsOption, progress_bar, show
from saic.errors import UsageError


def convert(
    source: Annotated[Path, typer.Argument(help="Recording whose words are kept.")],
    target: Annotated[list[Path], typer.Option("--target", help="Recording of the other voice; repeat for more.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="WAV file to write (16 kHz, 16 bits).")],
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say the words of SOURCE in the voice of --target."""
    if output.exists() and not force:
        raise UsageError("The output file exists. Add --force to replace it, or name another.")
    from saic import audio
    from saic.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    with progress_bar(as_json) as progress:
        task = progress.add_task("", total=1.0)
        conversion = pipeline.convert(
            source,
            target,
            reconstruct=False,
            progress=lambda stage, fraction: progress.update(task, description=stage, completed=fraction),
        )
    audio.save(output, conversion.wav, force=force)
    duration_s = len(conversion.wav) / audio.SAMPLE_RATE
    show(as_json, {"output": str(output), "duration_s": duration_s}, f"Wrote {duration_s:.1f} s to {output}")
