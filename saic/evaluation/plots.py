"""Figures of a report: bars by speaker, mel spectrograms (Fig. 4) and embedding maps (Fig. 5).

The style is that of :mod:`saic.plots`: 4.8 inches wide, 11-point text, no pyplot. Lines differ in
dashes and in color, so that they can be distinguished in a black-and-white print.
"""

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saic import files
from saic.errors import SilentAudio, TooShort
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import SystemOutputs
from saic.gallery import Gallery, content_windows
from saic.plots import FONT_PT, PANELS, WIDTH_IN, embedding_maps, mel_comparison
from saic.signal.mel import HOP_SAMPLES, SAMPLE_RATE, log_mel
from saic.signal.vad import speech_frames

DPI = 200
MAP_POINTS = 5  # per speaker
MAP_SEGMENT_S = 2.0

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
    """Write ``target_top1.png``, ``fig4_*.png`` and ``fig5.png`` to a folder.

    Parameters
    ----------
    target_hits
        See :class:`~saic.evaluation.measures.identity.IdentityResult`; None leaves out
        ``target_top1.png`` and ``fig4_*.png``.
    probes
        Figures of :func:`saic.evaluation.measures.disentanglement.measure`; None leaves out
        ``fig5.png``.
    """
    figures = {}
    if target_hits is not None:
        figures["target_top1"] = speaker_bars({name: target_hits[name] for name in ("convert", "replay_target")})
        for title, figure in conversion_mels(_example_wavs(dataset, outputs)).items():
            figures[f"fig4_{title.lower().replace(' ', '_')}"] = figure
    if probes is not None and (points := _map_points(dataset, pipeline)):
        accuracies = {
            f"{name}_probe": (probes[name][probe].value, probes[name]["chance"].value)
            for name, probe in (("speaker", "frame"), ("content", "stronger"))
        }
        figures["fig5"] = probe_maps(*points, **accuracies, seed=seed)
    for done, (name, figure) in enumerate(figures.items(), start=1):
        save_png(figure, folder / f"{name}.png")
        progress("plots", done, len(figures))


def speaker_bars(
    per_speaker: Mapping[str, Sequence[float]], label: str = "Target top-1 (%)", top: float = 100.0
) -> Figure:
    """Draw one bar per speaker, and one panel per system.

    It shows whether a system always fails for some speakers, which an average can hide. The order
    of speakers is the same in all panels, sorted by the first system.

    Parameters
    ----------
    per_speaker
        System to the value of each speaker, speakers in the same order for all; NaN (no value)
        leaves a gap.
    label
        Name of the values, with their unit.
    top
        Upper limit of the axis, which begins at 0.

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
            mean = f"{known.mean():.{1 if top >= 10 else 2}f}"
            axes.axhline(known.mean(), color="black", lw=1.2, ls="--")
        axes.set_title(f"{system}: mean {mean}", fontsize=FONT_PT, loc="left")
        _hide_top_and_right(axes)
    panels[-1].set(xlim=(0.3, len(order) + 0.7), ylim=(0, 1.03 * top))
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
    panels[-1].set_xlabel(f"Speakers, sorted by {first}", fontsize=FONT_PT)
    figure.supylabel(label, fontsize=FONT_PT)
    return figure


def conversion_mels(examples: Mapping[str, Mapping[str, np.ndarray]], longest_s: float = 3.0) -> dict[str, Figure]:
    """Draw the mels of original, reconstructed and converted speech (Fig. 4): a figure per title.

    Parameters
    ----------
    examples
        Title, such as "Female to male", to the wavs (N,) of ``original``, ``reconstructed`` and
        ``converted``, as they were evaluated: after the vocoder and the codec.
    longest_s
        Longest duration shown, from the first speech frame of the original.
    """
    figures = {}
    for title, wavs in examples.items():
        start = int(speech_frames(wavs["original"]).argmax()) * HOP_SAMPLES
        shown = slice(start, start + round(longest_s * SAMPLE_RATE))
        mels = {name: log_mel(torch.from_numpy(wavs[name][shown].astype(np.float32))).numpy() for name in PANELS}
        figures[title] = mel_comparison(mels)
        figures[title].suptitle(title, fontsize=FONT_PT + 1)
    return figures


def probe_maps(
    speaker: np.ndarray,
    content: np.ndarray,
    *,
    speaker_probe: tuple[float, float],
    content_probe: tuple[float, float],
    seed: int = 0,
) -> Figure:
    """Map speaker embeddings and content codes to the plane (Fig. 5), with a probe's accuracy.

    Codes that form one cloud in a t-SNE map may still contain the speaker, and clusters may be
    artifacts of t-SNE. Therefore the caption of each map gives the accuracy of a probe on data that
    it was not trained on.

    Parameters
    ----------
    speaker
        (K, P, E) speaker embeddings, P clips of each of K speakers.
    content
        (K, P, D) content codes of 2 s, flattened: the time course counts, not only its mean.
    speaker_probe, content_probe
        Accuracy of the probes and their chance level, in %. The probes may have been tested on
        other speakers than those of the map.
    seed
        Seed of PCA and t-SNE.
    """
    n_speakers = len(speaker)
    gallery = Gallery(
        names=tuple(f"Speaker {k + 1}" for k in range(n_speakers)),
        sexes=("",) * n_speakers,
        speaker=speaker,
        content=content,
        f0_stats=np.zeros(0),  # the maps use neither F0 nor mel statistics
        mel_statistics=np.zeros(0),
        threshold=0.0,
    )
    figure = embedding_maps(gallery, {}, seed=seed)
    for axes, (percent, chance) in zip(figure.axes, (speaker_probe, content_probe), strict=True):
        caption = f"Probe finds the speaker:\n{percent:.0f}% (chance {chance:.1f}%)"
        axes.set_xlabel(caption, fontsize=FONT_PT - 1)
    for legend in figure.legends:
        legend.remove()
    figure.supxlabel(f"{n_speakers} speakers, a color and shape each", fontsize=FONT_PT - 1)
    return figure


def save_png(figure: Figure, path: str | os.PathLike) -> None:
    """Write a PNG, and its folder; the same figure gives the same bytes. An old file is replaced."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, png.getvalue(), force=True)


def _example_wavs(dataset: EvaluationSet, outputs: SystemOutputs) -> dict[str, dict[str, np.ndarray]]:
    """Title to the wavs of one trial, for the first same-sex and the first cross-sex trial."""
    kinds = {"Within one sex": True, "Across sexes": False, "To another voice": None}
    examples = {}
    for title, same_sex in kinds.items():
        if (trial := next((t for t in dataset.trials if t.same_sex is same_sex), None)) is not None:
            systems = {"original": "real", "reconstructed": "reconstruction", "converted": "convert"}
            examples[title] = {name: outputs.of_trial(system, trial) for name, system in systems.items()}
    return examples


def _map_points(dataset: EvaluationSet, pipeline: EvaluatedPipeline) -> tuple[np.ndarray, np.ndarray] | None:
    """(K, P, E) speaker embeddings and (K, P, D) content codes of segments.

    Speakers with fewer than P are left out. None if fewer than two speakers remain.
    """
    length = round(MAP_SEGMENT_S * SAMPLE_RATE)
    speakers, contents = [], []
    for parts in dataset.parts.values():
        wav = np.concatenate([dataset.wav(part) for part in dict.fromkeys((parts.enrollment, parts.source))])
        embeddings = []
        for start in np.linspace(0, len(wav) - length, MAP_POINTS).astype(int):
            with suppress(SilentAudio, TooShort):
                embeddings.append(pipeline.embed((wav[start : start + length], SAMPLE_RATE)))
        if len(embeddings) == MAP_POINTS:
            speakers.append([embedding.speaker for embedding in embeddings])
            size = embeddings[0].content.shape[1]
            contents.append([content_windows(embedding.content, size)[0] for embedding in embeddings])
    return (np.array(speakers), np.array(contents)) if len(speakers) > 1 else None


def _hide_top_and_right(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_PT - 1)
