"""``saic plot``: the paper's Figures 4 and 5 of recordings."""

import io
import os
from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saic import files
from saic.cli.options import (
    MAX_SEED,
    DeviceOption,
    ForceOption,
    JsonOption,
    Profile,
    ProfileOption,
    WeightsOption,
    printable,
    progress_bar,
    show,
    stage_bars,
    tell_notes_of,
)
from saic.errors import UsageError, missing_package

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from saic.pipeline import Conversion, Pipeline

app = typer.Typer(help="Draw spectrograms (mel) or maps of embeddings (map).", no_args_is_help=True)


class Axis(StrEnum):
    """Frequency axis, as in :class:`saic.plots.View`."""

    MEL = "mel"
    LINEAR = "linear"


class Palette(StrEnum):
    """Palettes, as :data:`saic.plots.PALETTES`."""

    MAGMA = "magma"
    VIRIDIS = "viridis"
    CIVIDIS = "cividis"
    GRAY = "gray"


FigureOption = Annotated[Path, typer.Option("-o", "--output", help="File to write: .png or .svg.")]
ArraysOption = Annotated[
    Path | None, typer.Option("--arrays", help="Also write what the figure shows: .npz.", show_default="no")
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=MAX_SEED, help="Seed: the same one gives the same figure.")
]


@app.command()
def mel(
    source: Annotated[Path, typer.Argument(help="Recording to convert.")],
    output: FigureOption,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", help="Recording of the other voice; repeat for more.", show_default="a pseudonym"),
    ] = None,
    profile: ProfileOption = None,
    axis: Annotated[Axis, typer.Option("--axis", help="Frequency axis.")] = Axis.MEL,
    range_db: Annotated[
        float, typer.Option("--range", min=10, max=120, metavar="DB", help="Range of the colors below loud speech.")
    ] = 70.0,
    palette: Annotated[Palette, typer.Option("--palette", help="Colors; gray is for print.")] = Palette.MAGMA,
    difference: Annotated[
        bool, typer.Option("--difference", help="Draw what differs from the original, in dB.")
    ] = False,
    data: ArraysOption = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw SOURCE, its reconstruction and its conversion as mel spectrograms with F0 (paper Fig. 4)."""
    plots = _plots_for(output, data, force, "matplotlib")
    if difference and profile is Profile.STRICT:
        raise UsageError(plots.NO_DIFFERENCE)
    view = plots.View(axis.value, range_db, palette.value, difference)
    pipeline = _pipeline(weights, device)
    options: dict[str, Any] = {"profile": profile and profile.value, "seed": seed, "reconstruct": True}
    with progress_bar(as_json) as progress:
        task = progress.add_task("", total=1.0)
        options["progress"] = lambda stage, share: progress.update(task, description=stage, completed=share)
        made = pipeline.convert(source, target, **options) if target else pipeline.anonymize(source, **options)
    figure = plots.mel_comparison(made.mels, made.f0_hz, view)
    _write(figure, plots.mel_arrays(made.mels, made.f0_hz), output, data, force)
    facts = {"output": str(output), "profile": made.profile, **tell_notes_of(made)}
    show(as_json, facts, f"Wrote {printable(str(output))}")


@app.command("map")
def map_(
    data_or_source: Annotated[
        Path, typer.Argument(metavar="DATA | SOURCE", help="Folder or manifest of unseen speakers, or a recording.")
    ],
    output: FigureOption,
    target: Annotated[
        Path | None, typer.Option("--target", help="Recording of the other voice, with SOURCE.", show_default="none")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Split of the manifest; a plain folder is 'test'.")] = "test",
    data: ArraysOption = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Map speaker and content embeddings by t-SNE, beside the gallery (paper Fig. 5).

    DATA: the speakers of a split, which must not be training speakers. The captions say how often a
    point's nearest neighbor is the same speaker, and how often a probe finds the speaker in content
    codes. SOURCE with --target: both recordings and the conversion.
    """
    is_data = os.path.isdir(data_or_source) or data_or_source.suffix == ".jsonl"
    if is_data == (target is not None):
        raise UsageError("Name a folder or a manifest without --target, or a recording with --target.")
    plots = _plots_for(output, data, force, "matplotlib", "sklearn")
    pipeline = _pipeline(weights, device)
    with stage_bars(as_json) as progress:
        if target is not None:
            converted = pipeline.convert(data_or_source, target, seed=seed)
            unseen, clips = None, _embedded(pipeline, data_or_source, target, converted)
        else:
            converted, unseen, clips = None, _unseen(pipeline, data_or_source, split, seed, progress), {}
    planes = {
        "speaker": plots.speaker_plane(pipeline.gallery, clips, unseen, seed=seed),
        "content": plots.content_plane(pipeline.gallery, clips, unseen, seed=seed),
    }
    figure = plots.draw_maps(*planes.values(), unseen)
    arrays = plots.map_arrays(*planes.values()) | {"weights_sha256": pipeline.info()["sha256"] or ""}
    facts = {f"{name}_same_voice": plane.same_voice for name, plane in planes.items()}
    if unseen:
        probe = {"content_probe_percent": unseen.content_probe, "content_probe_chance_percent": unseen.chance}
        facts |= {"speakers": len(unseen.speaker), **probe}
    if converted:
        facts |= tell_notes_of(converted)
    _write(figure, arrays, output, data, force)
    show(as_json, {"output": str(output), **facts}, f"Wrote {printable(str(output))}")


def _unseen(pipeline: "Pipeline", path: Path, split: str, seed: int, progress: Callable[[str, int, int], None]):
    """The speakers of a split, as `saic.plots.UnseenSpeakers`."""
    from saic.data import manifest
    from saic.errors import DataError
    from saic.evaluation.data.evaluation_set import PartitionedSet
    from saic.evaluation.measures import disentanglement
    from saic.evaluation.plots import unseen_speakers

    options = {"seed": seed, "progress": progress}
    dataset = PartitionedSet(manifest.read(path, split), quick=False, **options)
    probe = disentanglement.probe_content(dataset, pipeline, **options)
    unseen = unseen_speakers(dataset, pipeline, probe, f"{split} speakers")
    if unseen is None:
        raise DataError("A map needs at least two speakers with eight seconds of speech.")
    return unseen


def _embedded(pipeline: "Pipeline", source: Path, target: Path, converted: "Conversion") -> dict[str, Any]:
    clips = {"Source": source, "Target": target, "Swapped": (converted.wav, converted.sample_rate)}
    return {label: pipeline.embed(clip) for label, clip in clips.items()}


def _pipeline(weights: str | None, device: str) -> "Pipeline":
    from saic.pipeline import Pipeline

    return Pipeline.from_pretrained(weights, device=device)


def _plots_for(output: Path, data: Path | None, force: bool, *packages: str):
    """:mod:`saic.plots`, once the names of the outputs are known to be good and the packages to be there."""
    try:
        for package in packages:  # saic.plots imports them only where it draws: after the conversion
            import_module(package)
        from saic import plots
    except ImportError:
        raise missing_package("Figures need more packages.", "app") from None
    plots.require_format(output)
    if data is not None and data.suffix.lower() != ".npz":
        raise UsageError("The arrays are written as .npz. Give --arrays this suffix.")
    paths = [path for path in (output, data) if path is not None]
    if not force and any(os.path.lexists(path) for path in paths):
        raise UsageError("The output exists. Add --force to replace it, or name another.")
    files.require_writable(paths)
    return plots


def _write(figure: "Figure", arrays: dict[str, Any], output: Path, data: Path | None, force: bool) -> None:
    import numpy as np

    from saic import plots

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        plots.save(figure, output, force=force)
        if data is not None:
            data.parent.mkdir(parents=True, exist_ok=True)
            written = io.BytesIO()
            np.savez_compressed(written, **arrays)
            files.write(data, written.getvalue(), force=force)
    except OSError as error:
        raise files.as_usage_error(error, "The figure cannot be written") from None
