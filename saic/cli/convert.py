"""``saic convert``: one recording in the voice of another."""

from pathlib import Path
from typing import Annotated

import typer

from saic.cli.options import (
    DeviceOption,
    ForceOption,
    JsonOption,
    ProfileOption,
    RateOption,
    WeightsOption,
    printable,
    progress_bar,
    show,
    tell_notes_of,
)
from saic.errors import UsageError


def convert(
    source: Annotated[Path, typer.Argument(help="Recording whose words are kept.")],
    target: Annotated[list[Path], typer.Option("--target", help="Recording of the other voice; repeat for more.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .wav, .flac, .mp3 or .opus.")],
    profile: ProfileOption = None,
    rate: RateOption = 16_000,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say the words of SOURCE in the voice of --target.

    SOURCE has at most twelve hours, each --target at most ten minutes.
    """
    from saic import audio, files
    from saic.archive.plan import Item, require_free
    from saic.archive.recipe import IS_TARGET, sha256_of
    from saic.audio.output import format_of, rate_for
    from saic.audio.source_rate import source_rate

    require_free([Item(1, source, output, source.name, output.name)], rate, force)
    if files.identity(output) in map(files.identity, (source, *target)):
        raise UsageError("The output would replace a recording that it is made from. Name another output.")
    from saic.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    with progress_bar(as_json) as progress:
        task = progress.add_task("", total=1.0)
        conversion = pipeline.convert_spooled(
            source,
            target,
            profile=profile and profile.value,
            progress=lambda stage, fraction: progress.update(task, description=stage, completed=fraction),
        )
    own = [IS_TARGET] if sha256_of(source) in map(sha256_of, target) else []
    rate = rate or rate_for(format_of(output), source_rate(source))
    files.make_folder(output.parent)
    with audio.encode_blocks(conversion.blocks(rate), format_of(output, rate), rate) as file:
        audio.write(output, file, force=force)
    notes = tell_notes_of(conversion, *own)
    duration_s = len(conversion) / audio.SAMPLE_RATE
    facts = {
        "output": str(output),
        "profile": conversion.profile,
        "duration_s": duration_s,
        "rate_hz": rate,
        **notes,
    }
    show(as_json, facts, f"Wrote {duration_s:.1f} s to {printable(str(output))}")
