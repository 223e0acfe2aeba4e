"""Figures of a report, from arrays: DET curves, bars by speaker, spectrogram trios (Fig. 4), maps (Fig. 5).

The look is that of :mod:`saic.plots`: 4.8 inches wide, 11-point text, no pyplot. Lines differ in their dashes as well
as in their colour, so that a print without colours can be read.
"""

import io
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtri

from saic.gallery import Voices
from saic.plots import FONT_PT, PANELS, WIDTH_IN, embedding_maps, mel_comparison
from saic.signal.mel import HOP_SAMPLES, SAMPLE_RATE, log_mel
from saic.signal.vad import speech_frames

DPI = 200

# Okabe and Ito's colours, which stay apart for colour-blind readers. With the dashes: 12 looks.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", (0, (5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1.5, 1.2)))
_GREY = "#8a8a8a"

_DET_LIMITS = (0.002, 0.95)  # rates
_DET_TICKS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)

_BAR_PANEL_IN = 1.25


def det(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw detection error trade-offs: an attacker's misses over false alarms, on probit axes.

    On such axes normally distributed scores give straight lines (Martin et al., "The DET curve in assessment of
    detection task performance", Eurospeech 1997). The further a curve lies up and to the right, the less the attacker
    knows; one who guesses walks the falling diagonal through 50 %.

    Parameters
    ----------
    curves
        Label to false-alarm rates and miss rates, each (P,) in 0 to 1, as the threshold rises: see
        :func:`saic.evaluation.metrics.det_curve`.

    Returns
    -------
    A square of axes with the equal error rate of each curve marked, and told in the legend. Rates of 0 and 1 lie at
    no finite place: there a curve ends.
    """
    figure = Figure(figsize=(WIDTH_IN, 4.85 + 0.215 * len(curves)), layout="compressed", facecolor="white")
    axes = figure.subplots()
    low, high = ndtri(_DET_LIMITS)
    axes.plot([low, high], [low, high], color=_GREY, lw=0.8, zorder=1)
    looks = zip(itertools.cycle(_DASHES), itertools.cycle(_COLOURS), strict=False)
    for (label, (false_alarms, misses)), (dashes, colour) in zip(curves.items(), looks, strict=False):
        eer = _equal_error_rate(false_alarms, misses)
        line = {"color": colour, "ls": dashes, "lw": 1.8, "label": f"{label}: EER {eer:.1%}"}
        axes.plot(ndtri(np.asarray(false_alarms, float)), ndtri(np.asarray(misses, float)), **line)
        spot = np.clip(ndtri(eer), low, high)
        axes.plot([spot], [spot], ls="", marker="o", ms=7, mfc=colour, mec="black", mew=1.0, zorder=3, clip_on=False)
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


def bars(per_speaker: Mapping[str, Sequence[float]], label: str = "Target top-1 (%)", top: float = 100.0) -> Figure:
    """Draw a bar for each speaker, a panel for each system.

    An average can hide that a method fails for some speakers always. Speakers stand in the same place in all panels,
    sorted by the first system.

    Parameters
    ----------
    per_speaker
        System to the value of each speaker, speakers in the same order for all; NaN, where there is none, is a gap.
    label
        What the values are, with their unit.
    top
        The end of the axis, which begins at 0.

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
        colour = _COLOURS[0] if index == 0 else _GREY
        axes.bar(places, of_system[order], width=0.75, color=colour)
        known = of_system[np.isfinite(of_system)]
        mean = "-"
        if len(known):
            mean = f"{known.mean():.{1 if top >= 10 else 2}f}"
            axes.axhline(known.mean(), color="black", lw=1.2, ls="--")
        axes.set_title(f"{system}: mean {mean}", fontsize=FONT_PT, loc="left")
        _bare(axes)
    panels[-1].set(xlim=(0.3, len(order) + 0.7), ylim=(0, 1.03 * top))
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
    panels[-1].set_xlabel(f"Speakers, sorted by {first}", fontsize=FONT_PT)
    figure.supylabel(label, fontsize=FONT_PT)
    return figure


def trios(examples: Mapping[str, Mapping[str, np.ndarray]], longest_s: float = 3.0) -> dict[str, Figure]:
    """Draw the spectrograms of original, reconstructed and converted side by side (Fig. 4), a figure for each title.

    Parameters
    ----------
    examples
        Title, such as "Female to male", to the wavs (N,) of ``original``, ``reconstructed`` and ``converted``: what
        was heard and judged, after the vocoder and the codec.
    longest_s
        Seconds that are shown, from where the original begins to speak.
    """
    figures = {}
    for title, wavs in examples.items():
        start = int(speech_frames(wavs["original"]).argmax()) * HOP_SAMPLES
        shown = slice(start, start + round(longest_s * SAMPLE_RATE))
        mels = {name: log_mel(torch.from_numpy(wavs[name][shown].astype(np.float32))).numpy() for name in PANELS}
        figures[title] = mel_comparison(mels)
        figures[title].suptitle(title, fontsize=FONT_PT + 1)
    return figures


def fig5(
    speaker: np.ndarray,
    content: np.ndarray,
    *,
    speaker_probe: tuple[float, float],
    content_probe: tuple[float, float],
    seed: int = 0,
) -> Figure:
    """Map speaker embeddings and content codes to the plane (Fig. 5), each with what a probe makes of it.

    A blob to the eye may still hold the speaker, and t-SNE may draw islands that are not there: so under each map
    stands how often a probe, which saw neither map nor test data, names the right speaker.

    Parameters
    ----------
    speaker
        (K, P, E) speaker embeddings, P clips of each of K speakers.
    content
        (K, P, D) content codes of 2 s, flattened: the time course counts, not only its mean.
    speaker_probe, content_probe
        Accuracy of the probes and their chance, in %. A probe may have had other speakers than the map: chance is its.
    seed
        Of PCA and t-SNE.
    """
    n_speakers = len(speaker)
    labels = tuple(f"Speaker {k + 1}" for k in range(n_speakers))
    unused = np.zeros(0)  # a map shows neither registers nor timbres
    figure = embedding_maps(
        Voices(labels, ("",) * n_speakers, speaker, content, unused, unused, threshold=0.0), {}, seed=seed
    )
    for axes, (percent, chance) in zip(figure.axes, (speaker_probe, content_probe), strict=True):
        caption = f"Probe finds the speaker:\n{percent:.0f}% (chance {chance:.1f}%)"
        axes.set_xlabel(caption, fontsize=FONT_PT - 1)
    for legend in figure.legends:
        legend.remove()
    figure.supxlabel(f"{n_speakers} speakers, a colour and shape each", fontsize=FONT_PT - 1)
    return figure


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a PNG, whole or not at all; the same figure gives the same bytes. A file that is there is replaced."""
    path = Path(path)
    memory = io.BytesIO()
    figure.savefig(memory, format="png", dpi=DPI, metadata={"Software": None})
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(memory.getvalue())
    os.replace(partial, path)


def _equal_error_rate(false_alarms: np.ndarray, misses: np.ndarray) -> float:
    """Where the line from point to point has both rates alike, as :func:`saic.evaluation.metrics.equal_error_rate`."""
    return float(np.interp(0.0, np.subtract(misses, false_alarms), misses))


def _bare(axes: Axes) -> None:
    """Leave the axes that carry a number."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_PT - 1)
