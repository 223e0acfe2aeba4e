"""Speaker probes on content codes: the closer their accuracy is to chance, the less identity the
codes contain.

Instance normalization removes the mean of a clip's codes. Two probes use what may remain:

============  =======================================================================================
``frame``     multinomial logistic regression on single codes
``window``    a small multi-layer perceptron on mean and standard deviation over windows of one second
============  =======================================================================================

Each trains on the first part of every speaker's codes and is tested on the last, with a gap
between. As a control, the same probes run on log-mel frames, which contain the speaker's identity.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes",
arXiv:1610.01644.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from saic.audio import SAMPLE_RATE
from saic.errors import DataError, SaicError, SilentAudio, TooShort, missing_package
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import MIN_CONTROL_SPEAKERS
from saic.signal.mel import FRAMES_PER_S, log_mel
from saic.signal.vad import speech_frames

TRAIN_SHARE = 0.6
GAP_S = 1.0
WINDOW_S = 1.0
SEGMENT_S = 2.0  # of audio for one speaker embedding
MIN_CONTROL_TIMES = 5  # of chance, on log-mel; on LibriSpeech test it is 28

# The settings with the highest accuracy on log-mel, on 37 speakers with ten seconds each (none of
# the test split).
_STEPS_PER_WINDOW = 10  # overlapping windows, since ten seconds give few disjoint ones
_HIDDEN = 128
_WEIGHT_DECAY = 1.0  # strong, since so few windows are easily overfitted

Codes = Mapping[str, np.ndarray]
"""Speaker to (C, L) codes in temporal order; C is the same for all speakers."""


def measure(
    dataset: EvaluationSet, pipeline: EvaluatedPipeline, *, seed: int, progress: StepCallback
) -> dict[str, Estimates]:
    """Probe the content codes of real speech, and the controls.

    Returns
    -------
    Figures of :func:`probes`, by input: ``content``; ``log_mel``, averaged to the codes' rate (an
    upper reference); ``speaker``, speaker embeddings of 2 s segments, by the frame probe alone
    (must be high).

    Raises
    ------
    DataError
        Too little speech.
    SaicError
        The probes hardly find the speaker on log-mel: their failure on content would show nothing.
    """
    rate_hz = pipeline.info()["content_codes_per_s"]
    stride = round(FRAMES_PER_S / rate_hz)
    content, mels, embeddings = {}, {}, {}
    for name, wavs in _wavs_by_speaker(dataset, progress):
        content[name] = _speech_codes(pipeline, wavs, stride)
        log_mels = [log_mel(torch.from_numpy(wav)).numpy() for wav in wavs]
        mels[name] = _over_speech([_group_means(mel, stride) for mel in log_mels], wavs, stride)
        embeddings[name] = _segment_embeddings(pipeline, wavs)
    of_content = probes(content, rate_hz=rate_hz, seed=seed)
    progress("probe", 1, 3)
    of_mel = probes(mels, rate_hz=rate_hz, seed=seed)
    progress("probe", 2, 3)
    # Segments overlap by half: a gap of two leaves half a segment between training and test.
    of_speaker = frame_probe(embeddings, gap=2, seed=seed)
    progress("probe", 3, 3)
    _require_control(of_mel)
    return {"content": of_content, "log_mel": of_mel, "speaker": of_speaker}


def _require_control(log_mel: Estimates) -> None:
    found, chance = log_mel["stronger"], log_mel["chance"].value
    if found.n >= MIN_CONTROL_SPEAKERS and found.value < MIN_CONTROL_TIMES * chance:
        raise SaicError(
            f"Control out of range: the speaker probes are right in {found.value:.0f} % on log-mel frames (at least"
            f" {MIN_CONTROL_TIMES} times chance expected, which is {chance:.0f} %). Their failure on content codes"
            " would show nothing."
        )


def probe_content(
    dataset: EvaluationSet, pipeline: EvaluatedPipeline, *, seed: int, progress: StepCallback
) -> Estimates:
    """The ``content`` of :func:`measure` alone."""
    rate_hz = pipeline.info()["content_codes_per_s"]
    stride = round(FRAMES_PER_S / rate_hz)
    content = {name: _speech_codes(pipeline, wavs, stride) for name, wavs in _wavs_by_speaker(dataset, progress)}
    return probes(content, rate_hz=rate_hz, seed=seed)


def probes(codes: Codes, *, rate_hz: float, seed: int) -> Estimates:
    """Run both probes.

    Parameters
    ----------
    rate_hz
        Codes per second.
    seed
        Of the perceptron's initialization and of the intervals.

    Returns
    -------
    ``frame`` and ``window``: accuracy, averaged over speakers. ``stronger``: the higher of both.
    ``chance``.

    Raises
    ------
    DataError
        Fewer than two speakers, or too few codes for a window on each side of the gap.
    """
    gap, window = round(GAP_S * rate_hz), round(WINDOW_S * rate_hz)
    frame = frame_probe(codes, gap=gap, seed=seed, least=window)
    names, train, test = _split(codes, gap, window)
    perceptron = _scikit_learn().neural_network.MLPClassifier((_HIDDEN,), alpha=_WEIGHT_DECAY, random_state=seed)
    by_window = _accuracy(names, _windows(train, window), _windows(test, window), perceptron, seed)
    return {
        "frame": frame["frame"],
        "window": by_window,
        "stronger": max(frame["frame"], by_window, key=lambda accuracy: accuracy.value),
        "chance": frame["chance"],
    }


def frame_probe(codes: Codes, *, gap: int, seed: int, least: int = 1) -> Estimates:
    """Run the frame probe alone, on speakers with ``least`` codes on each side of a gap: ``frame`` and ``chance``."""
    names, train, test = _split(codes, gap, least)
    regression = _scikit_learn().linear_model.LogisticRegression(max_iter=300)
    accuracy = _accuracy(names, [x.T for x in train], [x.T for x in test], regression, seed)
    return {"frame": accuracy, "chance": Estimate(100 / len(names), None, None, len(names), "%")}


def _split(codes: Codes, gap: int, least: int) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """Names of the speakers that are used, and their codes for training and for testing.

    All give the same number of codes, and speakers with fewer are left out. The number is the length
    of one speaker's codes: the one with which most codes are used in total. Both parts have ``least`` or more.
    """
    lengths = np.array([x.shape[1] for x in codes.values()])
    usable = [length for length in lengths.tolist() if min(_parts(length - gap)) >= least]
    length = max(usable, key=lambda length: length * np.sum(lengths >= length), default=0)
    names = sorted(name for name, x in codes.items() if length and x.shape[1] >= length)
    stop, _ = _parts(length - gap)
    if len(names) < 2:
        raise DataError("The speaker probes need at least two speakers, with five seconds of speech each.")
    return names, [codes[name][:, :stop] for name in names], [codes[name][:, stop + gap : length] for name in names]


def _parts(n_codes: int) -> tuple[int, int]:
    """Numbers of codes for training and for testing."""
    n_train = round(TRAIN_SHARE * n_codes)
    return n_train, n_codes - n_train


def _windows(codes: Sequence[np.ndarray], length: int) -> list[np.ndarray]:
    """(W, 2 C) mean and standard deviation over windows, for each of several (C, L) codes."""
    step = max(1, length // _STEPS_PER_WINDOW)
    views = [np.lib.stride_tricks.sliding_window_view(x, length, axis=1)[:, ::step] for x in codes]
    return [np.concatenate([view.mean(axis=2), view.std(axis=2)]).T for view in views]


def _accuracy(
    names: Sequence[str], train: Sequence[np.ndarray], test: Sequence[np.ndarray], classifier: Any, seed: int
) -> Estimate:
    """Accuracy on each speaker's test items (n, F), once a classifier was fitted to the training items."""
    labels, wanted = (np.repeat(names, [len(x) for x in items]) for items in (train, test))
    train_items, test_items = np.concatenate(train), np.concatenate(test)
    mean, deviation = train_items.mean(axis=0), train_items.std(axis=0)
    deviation[deviation < 1e-8] = 1  # a constant feature
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence is not required
        classifier.fit((train_items - mean) / deviation, labels)
    hits = 100.0 * (classifier.predict((test_items - mean) / deviation) == wanted)
    return metrics.estimate_mean(hits, wanted, "%", seed=seed)


def _scikit_learn() -> Any:
    try:
        import sklearn.linear_model
        import sklearn.neural_network
    except ImportError as error:
        raise missing_package("The probes need scikit-learn.", "eval") from error
    return sklearn


def _wavs_by_speaker(dataset: EvaluationSet, progress: StepCallback) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Each speaker's name and parts (N,)."""
    for done, (name, parts) in enumerate(sorted(dataset.parts.items()), start=1):
        yield name, [dataset.wav(part) for part in dict.fromkeys((parts.enrollment, parts.source, parts.reference))]
        progress("embed for probes", done, len(dataset.parts))


def _speech_codes(pipeline: EvaluatedPipeline, wavs: Sequence[np.ndarray], stride: int) -> np.ndarray:
    """(C, L) content codes of the speech in several wavs."""
    return _over_speech([pipeline.embed((wav, SAMPLE_RATE)).content for wav in wavs], wavs, stride)


def _over_speech(found: Sequence[np.ndarray], wavs: Sequence[np.ndarray], stride: int) -> np.ndarray:
    """The columns of (F, L) of each wav that hold speech, end to end."""
    speech = np.concatenate([_group_means(speech_frames(wav)[None], stride)[0] >= 0.5 for wav in wavs])
    return np.concatenate(found, axis=1)[:, speech]


def _group_means(frames: np.ndarray, stride: int) -> np.ndarray:
    """(M, T) frames to (M, ceil(T / stride)) means of ``stride`` frames, fewer in the last one."""
    starts = np.arange(0, frames.shape[1], stride)
    sizes = np.diff(np.append(starts, frames.shape[1]))
    return np.add.reduceat(frames.astype(np.float64), starts, axis=1) / sizes


def _segment_embeddings(pipeline: EvaluatedPipeline, wavs: Sequence[np.ndarray]) -> np.ndarray:
    """(E, n) speaker embeddings of segments with speech; segments overlap by half."""
    length = round(SEGMENT_S * SAMPLE_RATE)
    embeddings = []
    for wav in wavs:
        for start in range(0, len(wav) - length + 1, length // 2):
            with suppress(SilentAudio, TooShort):
                embeddings.append(pipeline.embed((wav[start : start + length], SAMPLE_RATE)).speaker)
    return np.stack(embeddings, axis=1) if embeddings else np.empty((0, 0))
