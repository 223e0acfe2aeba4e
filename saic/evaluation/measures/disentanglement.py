"""Does content tell who speaks? Speaker probes on content codes: the nearer to chance, the better.

After instance normalization the mean of a code says nothing, so two probes look where identity can be left:

============  =======================================================================================
``frame``     multinomial logistic regression on single codes: what one linear layer reads at a moment
``window``    a small multi-layer perceptron on mean and standard deviation over windows of one second
============  =======================================================================================

Each learns from the first part of every speaker's codes and is tried on the last, with a gap between. That a probe
finds nothing means something only if it could find something: beside the content codes the same probes get log-mel
frames, which hold the voice, and content codes under shuffled names, which cannot be told.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", arXiv:1610.01644.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from saic.audio import SAMPLE_RATE
from saic.errors import DataError, SilentAudio, TooShort, UsageError
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import Corpus, Progress
from saic.signal.mel import FRAMES_PER_S, log_mel
from saic.signal.vad import speech_frames

TRAIN_SHARE = 0.6
GAP_S = 1.0
WINDOW_S = 1.0
STRETCH_S = 2.0  # of audio for one speaker embedding

# What found most speakers by log-mel, of what was tried on 37 speakers with ten seconds each (none of the test split).
_STEPS_PER_WINDOW = 10  # windows overlap, since ten seconds hold few of them
_HIDDEN = 128
_WEIGHT_DECAY = 1.0  # so few windows would be learnt by heart

Leaves = dict[str, dict[str, Any]]
Codes = Mapping[str, np.ndarray]
"""Speaker to (C, L) codes in the order of time; every speaker has the same C."""


def measure(corpus: Corpus, pipeline: Any, *, seed: int, progress: Progress) -> dict[str, Leaves]:
    """Probe the content codes of real speech, and what they are to be compared with.

    Parameters
    ----------
    pipeline
        A :class:`saic.pipeline.Pipeline`: its ``embed`` and ``info`` are used.

    Returns
    -------
    Figures as :func:`probes` gives them, by material: ``content``; ``log_mel``, averaged to the codes' rate (how much
    there is to be found); ``shuffled``, content codes under shuffled names (must be at chance); ``speaker``,
    embeddings of stretches of 2 s, by the frame probe alone (must be high).

    Raises
    ------
    DataError
        Too little speech.
    """
    rate_hz = pipeline.info()["content_codes_per_s"]
    stride = round(FRAMES_PER_S / rate_hz)
    content, mels, speakers = {}, {}, {}
    for done, (name, parts) in enumerate(sorted(corpus.parts.items()), start=1):
        wavs = [corpus.wav(part) for part in dict.fromkeys((parts.enrolment, parts.source, parts.reference))]
        speech = np.concatenate([_groups(speech_frames(wav)[None], stride)[0] >= 0.5 for wav in wavs])
        codes = [pipeline.embed((wav, SAMPLE_RATE)).content for wav in wavs]
        frames = [_groups(log_mel(torch.from_numpy(wav)).numpy(), stride) for wav in wavs]
        content[name], mels[name] = (np.concatenate(found, axis=1)[:, speech] for found in (codes, frames))
        speakers[name] = _stretches(pipeline, wavs)
        progress("listen for probes", done, len(corpus.parts))
    measured: dict[str, Leaves] = {}
    for material, run in {
        "content": lambda: probes(content, rate_hz=rate_hz, seed=seed),
        "log_mel": lambda: probes(mels, rate_hz=rate_hz, seed=seed),
        "shuffled": lambda: probes(content, rate_hz=rate_hz, seed=seed, shuffled=True),
        # Stretches overlap by half, so a gap of two leaves half a stretch between.
        "speaker": lambda: frame_probe(speakers, gap=2, seed=seed),
    }.items():
        measured[material] = run()
        progress("probe", len(measured), 4)
    return measured


def probes(codes: Codes, *, rate_hz: float, seed: int, shuffled: bool = False) -> Leaves:
    """Run both probes.

    Parameters
    ----------
    rate_hz
        Codes a second.
    seed
        Of the perceptron's start, shuffling and intervals.
    shuffled
        Learn under shuffled names: a control.

    Returns
    -------
    ``frame`` and ``window``: accuracy, averaged over speakers. ``stronger``: the higher of both. ``chance``.

    Raises
    ------
    DataError
        Fewer than two speakers, or too few codes for a window on each side of the gap.
    """
    gap, window = round(GAP_S * rate_hz), round(WINDOW_S * rate_hz)
    frame = frame_probe(codes, gap=gap, seed=seed, shuffled=shuffled)
    names, first, last = _split(codes, gap, window)
    found = _accuracy(names, _windows(first, window), _windows(last, window), _perceptron, seed, shuffled)
    return {
        "frame": frame["frame"],
        "window": found,
        "stronger": max(frame["frame"], found, key=lambda leaf: leaf["value"]),
        "chance": frame["chance"],
    }


def frame_probe(codes: Codes, *, gap: int, seed: int, shuffled: bool = False) -> Leaves:
    """The frame probe alone, with a gap of so many codes: ``frame`` and ``chance``."""
    names, first, last = _split(codes, gap, 1)
    found = _accuracy(names, [x.T for x in first], [x.T for x in last], _logistic, seed, shuffled)
    chance = {"value": 100 / len(names), "low": None, "high": None, "n": len(names), "unit": "%"}
    return {"frame": found, "chance": chance}


def _split(codes: Codes, gap: int, least: int) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """Names of the speakers that take part, and for each of them the codes to learn from and to be tried on.

    All have equally many: of the lengths that there are, the one at which most codes take part.
    """
    lengths = np.array([x.shape[1] for x in codes.values()])
    length = max(lengths.tolist(), key=lambda length: length * np.sum(lengths >= length), default=0)
    names = sorted(name for name, x in codes.items() if x.shape[1] >= length)
    stop = round(TRAIN_SHARE * (length - gap))
    if len(names) < 2 or min(stop, length - gap - stop) < least:
        raise DataError("The speaker probes need at least two speakers, with five seconds of speech each.")
    return names, [codes[name][:, :stop] for name in names], [codes[name][:, stop + gap : length] for name in names]


def _windows(codes: Sequence[np.ndarray], length: int) -> list[np.ndarray]:
    """(W, 2 C) mean and standard deviation over windows, for each of several (C, L) codes."""
    step = max(1, length // _STEPS_PER_WINDOW)
    views = [np.lib.stride_tricks.sliding_window_view(x, length, axis=1)[:, ::step] for x in codes]
    return [np.concatenate([view.mean(axis=2), view.std(axis=2)]).T for view in views]


def _accuracy(
    names: Sequence[str],
    first: Sequence[np.ndarray],
    last: Sequence[np.ndarray],
    build: Callable[[int], Any],
    seed: int,
    shuffled: bool,
) -> dict[str, Any]:
    """Leaf: share of each speaker's last items (n, F) that a classifier trained on the first gives to the speaker."""
    labels, wanted = (np.repeat(names, [len(x) for x in items]) for items in (first, last))
    if shuffled:
        labels = np.random.default_rng(seed).permutation(labels)
    learnt, tried = np.concatenate(first), np.concatenate(last)
    mean, deviation = learnt.mean(axis=0), learnt.std(axis=0)
    deviation[deviation < 1e-8] = 1  # a feature that never changes
    classifier = build(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # to stop at the last iteration is as good an end as any
        classifier.fit((learnt - mean) / deviation, labels)
    hits = 100.0 * (classifier.predict((tried - mean) / deviation) == wanted)
    return metrics.figure(hits, wanted, "%", seed=seed)


def _logistic(seed: int) -> Any:
    return _scikit_learn().linear_model.LogisticRegression(max_iter=300)


def _perceptron(seed: int) -> Any:
    return _scikit_learn().neural_network.MLPClassifier((_HIDDEN,), alpha=_WEIGHT_DECAY, random_state=seed)


def _scikit_learn() -> Any:
    try:
        import sklearn.linear_model
        import sklearn.neural_network
    except ImportError as error:
        raise UsageError("The probes need scikit-learn. Install it with: pip install 'saic[eval]'") from error
    return sklearn


def _groups(frames: np.ndarray, stride: int) -> np.ndarray:
    """(M, T) frames to (M, ceil(T / stride)), the mean of each group; the last may be smaller."""
    starts = np.arange(0, frames.shape[1], stride)
    sizes = np.diff(np.append(starts, frames.shape[1]))
    return np.add.reduceat(frames.astype(np.float64), starts, axis=1) / sizes


def _stretches(pipeline: Any, wavs: Sequence[np.ndarray]) -> np.ndarray:
    """(E, n) speaker embeddings of stretches of audio, each half over the one before; those without speech left out."""
    length = round(STRETCH_S * SAMPLE_RATE)
    embeddings = []
    for wav in wavs:
        for start in range(0, len(wav) - length + 1, length // 2):
            with suppress(SilentAudio, TooShort):
                embeddings.append(pipeline.embed((wav[start : start + length], SAMPLE_RATE)).speaker)
    return np.stack(embeddings, axis=1) if embeddings else np.empty((0, 0))
