"""Figures of one corpus of a report: bars by speaker, mel spectrograms (Fig. 4) and embedding maps (Fig. 5).

The style is that of :mod:`saic.plots`: 4.8 inches wide, 11-point text, no pyplot. Lines differ in
dashes and in color, so that they can be distinguished in a black-and-white print.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saic import files
from saic.errors import SilentAudio, TooShort
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import SystemOutputs
from saic.gallery import content_windows
from saic.plots import (
    FONT_PT,
    PANELS,
    WIDTH_IN,
    Plane,
    UnseenSpeakers,
    content_plane,
    draw_maps,
    map_arrays,
    mel_comparison,
    save,
    speaker_plane,
)
from saic.signal.f0 import track_f0
from saic.signal.mel import HOP_SAMPLES, SAMPLE_RATE, log_mel
from saic.signal.vad import speech_frames

MAP_POINTS = 4  # per speaker, as in the gallery
MAP_SEGMENT_S = 2.0
MEL_S = 3.0

# Okabe and Ito's colors, which color-blind readers can distinguish; with the dashes, 12 styles.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", (0, (5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1.5, 1.2)))
_GREY = "#8a8a8a"

_BAR_PANEL_IN = 1.25


def save_report_plots(
    folder: Path,
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    pipeline: EvaluatedPipeline,
    target_hits: Mapping[str, np.ndarray] | None,
    probes: Mapping[str, Estimates] | None,
    *,
    seed: int,
    progress: StepCallback,
) -> None:
    """Write ``target_top1.png``, ``fig4_*.png``, ``fig5.png`` and its arrays, ``fig5.npz``, to a folder.

    Parameters
    ----------
    target_hits
        See :class:`~saic.evaluation.measures.identity.IdentityResult`; None leaves out
        ``target_top1.png`` and ``fig4_*.png``.
    probes
        Figures of :func:`saic.evaluation.measures.disentanglement.measure`; None leaves out
        Fig. 5.
    """
    figures = {}
    if target_hits is not None:
        figures["target_top1"] = speaker_bars({name: target_hits[name] for name in ("convert", "replay_target")})
        for title, figure in conversion_mels(_example_wavs(dataset, outputs)).items():
            figures[f"fig4_{title.lower().replace(' ', '_')}"] = figure
    if probes is not None and (unseen := unseen_speakers(dataset, pipeline, probes["content"], "speakers")):
        gallery, options = getattr(pipeline, "gallery", None), {"seed": seed}  # other anonymizers have none
        planes = [of(gallery, {}, unseen, **options) for of in (speaker_plane, content_plane)]
        figures["fig5"] = draw_maps(*planes, unseen)
        save_maps(planes, folder / "fig5.npz", pipeline)
    for done, (name, figure) in enumerate(figures.items(), start=1):
        save_png(figure, folder / f"{name}.png")
        progress("plots", done, len(figures))


def speaker_bars(per_speaker: Mapping[str, Sequence[float]]) -> Figure:
    """Draw target top-1: one bar per speaker, and one panel per system.

    It shows whether a system always fails for some speakers, which an average can hide. The order
    of speakers is the same in all panels, sorted by the first system.

    Parameters
    ----------
    per_speaker
        System to the value of each speaker in %, speakers in the same order for all; NaN (no value)
        leaves a gap.

    Returns
    -------
    A figure with the mean of each panel as a dashed line and in its title.
    """
    n = len(per_speaker)
    figure = Figure(figsize=(WIDTH_IN, 0.8 + _BAR_PANEL_IN * n), layout="constrained", facecolor="white")
    panels = figure.subplots(n, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    values = {system: np.asarray(of_system, dtype=float) for system, of_system in per_speaker.items()}
    first = next(iter(values))
    order = np.argsort(-np.nan_to_num(values[first], nan=-np.inf), kind="stable")
    places = np.arange(1, len(order) + 1)
    for index, (axes, (system, of_system)) in enumerate(zip(panels, values.items(), strict=True)):
        axes.bar(places, of_system[order], width=0.75, color=COLORS[0] if index == 0 else _GREY)
        known = of_system[np.isfinite(of_system)]
        mean = "-"
        if len(known):
            mean = f"{known.mean():.1f}"
            axes.axhline(known.mean(), color="black", lw=1.2, ls="--")
        axes.set_title(f"{system}: mean {mean}", fontsize=FONT_PT, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=FONT_PT - 1)
    panels[-1].set(xlim=(0.3, len(order) + 0.7), ylim=(0, 103))
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
    panels[-1].set_xlabel(f"Speakers, sorted by {first}", fontsize=FONT_PT)
    figure.supylabel("Target top-1 (%)", fontsize=FONT_PT)
    return figure


def conversion_mels(examples: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Figure]:
    """Draw the mels of original, reconstructed and converted speech (Fig. 4): a figure per title.

    At most 3 s are shown, from the first speech frame of the original.

    Parameters
    ----------
    examples
        Title, such as "Female to male", to the wavs (N,) of ``original``, ``reconstructed`` and
        ``converted``, as they were evaluated: after the vocoder and the codec.
    """
    figures = {}
    for title, wavs in examples.items():
        start = int(speech_frames(wavs["original"]).argmax()) * HOP_SAMPLES
        shown = slice(start, start + round(MEL_S * SAMPLE_RATE))
        parts = {name: wavs[name][shown].astype(np.float32) for name in PANELS}
        mels = {name: log_mel(torch.from_numpy(part)).numpy() for name, part in parts.items()}
        figures[title] = mel_comparison(mels, {name: track_f0(part) for name, part in parts.items()})
        figures[title].suptitle(title, fontsize=FONT_PT + 1)
    return figures


def unseen_speakers(
    dataset: EvaluationSet, pipeline: EvaluatedPipeline, content_probe: Estimates, name: str
) -> UnseenSpeakers | None:
    """The speakers of an evaluation for :func:`saic.plots.embedding_maps`.

    Parameters
    ----------
    content_probe
        Figures of :func:`saic.evaluation.measures.disentanglement.probe_content`.
    name
        What they are, such as "test speakers".

    Returns
    -------
    Embeddings of `MAP_POINTS` segments of 2 s of each speaker, which do not overlap. They are of
    the same recordings, or at least of one session, so neighbors are found more easily than between
    sessions. Speakers with fewer are left out. None if fewer than two remain.
    """
    speakers, contents = [], []
    for parts in dataset.parts.values():
        embeddings, used = [], dict.fromkeys((parts.enrollment, parts.source, parts.reference))
        for segment in _segments([dataset.wav(part) for part in used]):
            with suppress(SilentAudio, TooShort):
                embeddings.append(pipeline.embed((segment, SAMPLE_RATE)))
        if len(embeddings) == MAP_POINTS:
            speakers.append([embedding.speaker for embedding in embeddings])
            size = embeddings[0].content.shape[1]
            contents.append([content_windows(embedding.content, size)[0] for embedding in embeddings])
    if len(speakers) < 2:
        return None
    accuracies = content_probe["stronger"].value, content_probe["chance"].value
    return UnseenSpeakers(np.array(speakers), np.array(contents), *accuracies, name)


def _segments(wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`MAP_POINTS` segments of 2 s, or as many as there are, evenly chosen from those of all wavs."""
    length = round(MAP_SEGMENT_S * SAMPLE_RATE)
    found = [wav[start : start + length] for wav in wavs for start in range(0, len(wav) - length + 1, length)]
    if len(found) <= MAP_POINTS:
        return found
    return [found[k] for k in np.linspace(0, len(found) - 1, MAP_POINTS).round().astype(int)]


def save_png(figure: Figure, path: Path) -> None:
    """Write a PNG, and its folder; the same figure gives the same bytes. An old file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path, force=True)


def save_maps(planes: Sequence[Plane], path: Path, pipeline: EvaluatedPipeline) -> None:
    """Write the maps of speaker and content embeddings as arrays, with the hash of the weights."""
    data = io.BytesIO()
    np.savez_compressed(data, **map_arrays(*planes), weights_sha256=pipeline.info()["sha256"] or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, data.getvalue(), force=True)


def _example_wavs(dataset: EvaluationSet, outputs: SystemOutputs) -> dict[str, dict[str, np.ndarray]]:
    """Title to the wavs of one trial, for the first same-sex and the first cross-sex trial."""
    kinds = {"Within one sex": True, "Across sexes": False, "To another voice": None}
    examples = {}
    for title, same_sex in kinds.items():
        if (trial := next((t for t in dataset.trials if t.same_sex is same_sex), None)) is not None:
            systems = {"original": "real", "reconstructed": "reconstruction", "converted": "convert"}
            examples[title] = {name: outputs.of_trial(system, trial) for name, system in systems.items()}
    return examples
