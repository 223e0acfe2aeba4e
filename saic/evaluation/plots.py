"""Figures of a report: DET curves, bars by speaker, mel spectrograms (Fig. 4) and embedding maps
(Fig. 5).

The style is that of :mod:`saic.plots`: 4.8 inches wide, 11-point text, no pyplot. Lines differ in
dashes and in color, so that they can be distinguished in a black-and-white print.
"""

import io
import itertools
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtri

from saic import files
from saic.errors import SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.measures.identity import IdentityResult
from saic.evaluation.measures.privacy import PrivacyResult
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

_DET_LIMITS = (0.002, 0.95)  # rates
_DET_TICKS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)

_BAR_PANEL_IN = 1.25


def save_report_plots(
    folder: Path,
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    pipeline: EvaluatedPipeline,
    identity: IdentityResult,
    privacy: PrivacyResult,
    probes: Mapping[str, Estimates],
    *,
    seed: int,
    progress: StepCallback,
) -> None:
    """Write ``target_top1.png``, ``det_EMBEDDER.png``, ``fig4_*.png``, ``fig5.png`` to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"target_top1": speaker_bars({name: identity.target_hits[name] for name in ("convert", "replay_target")})}
    for embedder in privacy.scores["convert"]:
        figures[f"det_{embedder}"] = det_curves(_attacker_curves(privacy, embedder))
    for title, figure in conversion_mels(_example_wavs(dataset, outputs)).items():
        figures[f"fig4_{title.lower().replace(' ', '_')}"] = figure
    if points := _map_points(dataset, pipeline):
        accuracies = {
            f"{name}_probe": (probes[name][probe].value, probes[name]["chance"].value)
            for name, probe in (("speaker", "frame"), ("content", "stronger"))
        }
        figures["fig5"] = probe_maps(*points, **accuracies, seed=seed)
    for done, (name, figure) in enumerate(figures.items(), start=1):
        save_png(figure, folder / f"{name}.png")
        progress("plots", done, len(figures))


def det_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw DET curves: miss rate over false-alarm rate of each attacker, on probit axes.

    On such axes normally distributed scores give straight lines (Martin et al., "The DET curve in
    assessment of detection task performance", Eurospeech 1997). The further a curve lies up and to
    the right, the weaker the attacker; chance is the falling diagonal through 50 %.

    Parameters
    ----------
    curves
        Label to false-alarm rates and miss rates, each (P,) in 0 to 1, as the threshold rises: see
        :func:`saic.evaluation.metrics.det_curve`.

    Returns
    -------
    A figure with square axes, the equal error rate of each curve marked and given in the legend.
    Rates of 0 and 1 are infinite on probit axes: there a curve ends.
    """
    figure = Figure(figsize=(WIDTH_IN, 4.85 + 0.215 * len(curves)), layout="compressed", facecolor="white")
    axes = figure.subplots()
    low, high = ndtri(_DET_LIMITS)
    axes.plot([low, high], [low, high], color=_GREY, lw=0.8, zorder=1)
    styles = zip(itertools.cycle(DASHES), itertools.cycle(COLORS), strict=False)
    for (label, (false_alarms, misses)), (dashes, color) in zip(curves.items(), styles, strict=False):
        eer = _equal_error_rate(false_alarms, misses)
        line = {"color": color, "ls": dashes, "lw": 1.8, "label": f"{label}: EER {eer:.1%}"}
        axes.plot(ndtri(np.asarray(false_alarms, float)), ndtri(np.asarray(misses, float)), **line)
        mark = np.clip(ndtri(eer), low, high)
        axes.plot([mark], [mark], ls="", marker="o", ms=7, mfc=color, mec="black", mew=1.0, zorder=3, clip_on=False)
    ticks = [f"{100 * rate:g}" for rate in _DET_TICKS]
    axes.set_xticks(ndtri(_DET_TICKS), ticks)
    axes.set_yticks(ndtri(_DET_TICKS), ticks)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("False alarms (%)", fontsize=FONT_PT)
    axes.set_ylabel("Misses (%)", fontsize=FONT_PT)
    axes.tick_params(labelsize=FONT_PT - 1)
    figure.legend(loc="outside lower center", fontsize=FONT_PT - 1, frameon=False, handlelength=3)
    return figure


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
    """Write a PNG; the same figure gives the same bytes. An existing file is replaced."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    files.write(Path(path), png.getvalue(), force=True)


def _attacker_curves(privacy: PrivacyResult, embedder: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label to DET curve, of the attackers on original, McAdams and converted speech."""
    shown = {("real", "ignorant"): "original", ("mcadams", "lazy"): "McAdams, lazy-informed"}
    shown |= {("convert", attacker): f"converted, {attacker}" for attacker in privacy.scores["convert"][embedder]}
    scores = {label: privacy.scores[system][embedder][attacker] for (system, attacker), label in shown.items()}
    return {label: metrics.det_curve(*matrix.same_and_different()) for label, matrix in scores.items()}


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


def _equal_error_rate(false_alarms: np.ndarray, misses: np.ndarray) -> float:
    """The rate where both are equal on the line through the points, as in ``metrics``."""
    return float(np.interp(0.0, np.subtract(misses, false_alarms), misses))


def _hide_top_and_right(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_PT - 1)
