"""Utility of every system: word errors, speech quality and prosody, compared with the source.

An output is compared with the source part that went in, both after the codec. To save time, only
two outputs of each speaker are measured, one for a same-sex and one for a cross-sex target, or one
output where a system does not depend on the target. Transcripts and scores are cached on disk, so
that an interrupted run continues.

Differences of WER are paired: the same clips of the same speakers, with intervals from a bootstrap
by speaker of the differences.
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import SaicError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, EvaluationSet
from saic.evaluation.data.trials import MAX_PART_S, Part, Span, Trial
from saic.evaluation.evaluators.evaluators import RECOGNIZERS, CachedEvaluators, Evaluators
from saic.evaluation.evaluators.whisper import normalize
from saic.evaluation.measures import prosody
from saic.evaluation.measures.text_errors import Edits, character_errors, pool_by_speaker, word_errors
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import StepCallback
from saic.evaluation.systems import (
    COMPARED_PROFILES,
    MAIN_SYSTEMS,
    MIN_CONTROL_SPEAKERS,
    PROFILE_BASELINE,
    SYSTEMS,
    VOCODER_BASELINES,
    SystemOutputs,
    controls_first,
)
from saic.signal.f0 import track_f0
from saic.signal.vad import require_speech

UNITS = {  # of quality and prosody; those of words are all in %
    "dnsmos_ovrl": "MOS",
    "dnsmos_sig": "MOS",
    "dnsmos_bak": "MOS",
    "distillmos": "MOS",
    "f0_correlation": "r",
    "voicing_error": "%",
    "pauses_kept": "%",
    "rate_kept": "%",
    "mel_distance": "dB",
}
MIN_REPLAY_WER = 60.0
MAX_COPY_WER = 30.0

_BY_FRAME = ("f0_correlation", "voicing_error", "pauses_kept", "mel_distance")
_MAX_LENGTH_CHANGE_S = 0.1  # of an output whose frames are at the source's times

_TO_THE_END = sys.maxsize
_TEXTS = {"": "transcripts", "_true": "true_transcripts"}  # suffix of a figure: attribute of OutputFigures


@dataclass(frozen=True)
class OutputFigures:
    """Figures of one output.

    Attributes
    ----------
    speaker
        Source speaker.
    values
        Name in :data:`UNITS` to value; those in % are given from 0 to 1. Missing values and None
        are left out.
    transcripts
        Prefix of a recognizer (:data:`RECOGNIZERS`) to its transcripts of the source and of the
        output, normalized.
    true_transcripts
        The same with the true text of whole clips, and the transcript of the system's output for
        them.
    """

    speaker: str
    values: Mapping[str, float | None]
    transcripts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    true_transcripts: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def measure(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    *,
    evaluators: Evaluators,
    texts: Mapping[str, str | None],
    seed: int,
    progress: StepCallback,
    cache: Path,
    only: Sequence[str] = MAIN_SYSTEMS,
) -> dict[str, Estimates]:
    """Measure all systems, or ``only`` some, and the vocoder baselines; controls first.

    Parameters
    ----------
    evaluators
        Recognizers and quality predictors. Figures of those that are missing have no value.
    texts
        Utterance to its true text, or None.
    cache
        Folder for transcripts and scores; the key is a hash of samples and the evaluator's
        identity.

    Returns
    -------
    System to figure name to estimate, see :func:`estimate`. ``wer_true_rise``: ``wer_true`` minus
    that of the recordings, paired; ``wer_price`` and ``wer_true_price`` of
    :data:`COMPARED_PROFILES`: minus those of :data:`PROFILE_BASELINE`, paired, if it is measured.

    Raises
    ------
    SaicError
        A control is out of range.
    """
    has_recognizer = any(getattr(evaluators, name) is not None for name in RECOGNIZERS)
    whole = whole_clips(dataset, texts) if has_recognizer else {}
    cached = CachedEvaluators(evaluators, cache)
    sources = {}
    for speaker, parts in dataset.parts.items():
        wav = dataset.wav(parts.source)
        sources[speaker] = _Source(wav, track_f0(wav), whole.get(speaker))
    measured, rows = {}, {}
    for system in controls_first((*only, *VOCODER_BASELINES)):
        rows[system] = []
        trials = _trials(dataset, system)
        for done, trial in enumerate(trials, start=1):
            rows[system].append(_measure_output(dataset, outputs, system, trial, sources[trial.source], cached))
            progress(f"utility: {system}", done, len(trials))
        measured[system] = estimate(rows[system], seed=seed)
        check_control(system, measured[system])
    for system, figures in measured.items():
        if "real" in rows and system != "real":
            figures |= differences(rows[system], rows["real"], "rise", ["_true"], seed=seed)
        if PROFILE_BASELINE in rows and system in COMPARED_PROFILES:
            figures |= differences(rows[system], rows[PROFILE_BASELINE], "price", _TEXTS, seed=seed)
    return {system: measured[system] for system in SYSTEMS if system in measured}


def estimate(rows: Sequence[OutputFigures], *, seed: int) -> Estimates:
    """Figures of one system.

    Returns
    -------
    ``wer``, ``cer``, ``insertions``: word error rate, character error rate and inserted words in %
    of the source's words, against the recognizer's transcript of the source. This needs no true
    text, and an error of the recognizer that is the same in source and output does not count.
    ``wer_true``, ``cer_true``, ``insertions_true``: the same against the true text, over whole
    clips of the speakers that have texts. See
    :func:`~saic.evaluation.measures.text_errors.pool_by_speaker` for the average. These are
    Whisper's; ``moonshine_wer`` etc. are Moonshine's, whose own transcript of the source is then
    the reference. ``dnsmos_*``: see :class:`~saic.evaluation.evaluators.dnsmos.Dnsmos`;
    ``distillmos``: see :class:`~saic.evaluation.evaluators.distillmos.DistillMos`; the others:
    :mod:`saic.evaluation.measures.prosody`, shares in %. Those that compare frames have no value
    if most outputs have another length than their source.

    ``real`` is its own source: its ``wer`` is 0 and its prosody perfect by definition.
    """
    result: Estimates = {}
    for prefix, suffix in itertools.product(RECOGNIZERS.values(), _TEXTS):
        words = _edits_by_speaker(rows, prefix, suffix, word_errors)
        characters = _edits_by_speaker(rows, prefix, suffix, character_errors)
        for name, rates in {
            "wer": _percent(words, lambda count: count.errors),
            "cer": _percent(characters, lambda count: count.errors),
            "insertions": _percent(words, lambda count: count.insertions),
        }.items():
            result[f"{prefix}{name}{suffix}"] = metrics.estimate_mean([*rates.values()], [*rates], "%", seed=seed)
    speakers = [row.speaker for row in rows]
    for name, unit in UNITS.items():
        scale = 100 if unit == "%" else 1
        values = [None if (value := row.values.get(name)) is None else scale * value for row in rows]
        if name in _BY_FRAME and sum(value is not None for value in values) < len(values) / 2:
            values = [None] * len(values)  # the few outputs of the source's length stand for no others
        result[name] = metrics.estimate_mean(values, speakers, unit, seed=seed)
    return result


def differences(
    rows: Sequence[OutputFigures],
    baseline: Sequence[OutputFigures],
    name: str,
    suffixes: Iterable[str],
    *,
    seed: int,
) -> Estimates:
    """WER of one system minus that of another on the same clips, by each recognizer.

    A speaker's difference is that of the speaker's two error rates. The figure is the mean over
    speakers, and the bootstrap resamples the differences. So what makes a speaker hard to recognize
    cancels, and the interval is that of the difference.

    Parameters
    ----------
    rows, baseline
        Figures of both systems. Speakers that one of them lacks are left out.
    name
        Of the difference, such as "price".
    suffixes
        "" for errors against the recognizer's transcript of the source, "_true" against the true
        text.

    Returns
    -------
    ``wer_NAME``, ``wer_true_NAME``, ``moonshine_wer_NAME`` etc., in percentage points.
    """
    result = {}
    for prefix, suffix in itertools.product(RECOGNIZERS.values(), suffixes):
        one, other = (
            _percent(_edits_by_speaker(of_system, prefix, suffix, word_errors), lambda count: count.errors)
            for of_system in (rows, baseline)
        )
        paired = {speaker: one[speaker] - other[speaker] for speaker in one if speaker in other}
        result[f"{prefix}wer{suffix}_{name}"] = metrics.estimate_mean(
            [*paired.values()], [*paired], "points", seed=seed
        )
    return result


def check_control(system: str, estimates: Estimates) -> None:
    """Raise SaicError if a control is out of range, which shows that the WER is not valid.

    The WER is Whisper's, or Moonshine's if Whisper is missing.
    """
    wers = [estimates[f"{prefix}wer"] for prefix in RECOGNIZERS.values()]
    wer = next((wer for wer in wers if wer.n), None)
    if wer is None or wer.n < MIN_CONTROL_SPEAKERS:
        return
    percent = wer.value
    if system == "replay_target" and percent < MIN_REPLAY_WER:
        raise SaicError(
            f"Control out of range: the WER of another speaker's recording is only {percent:.0f} % (at least"
            f" {MIN_REPLAY_WER:.0f} % expected). The speakers may all read the same text."
        )
    if system == "copy_source" and percent > MAX_COPY_WER:
        raise SaicError(
            f"Control out of range: the WER of a copy of the source is {percent:.0f} % (at most {MAX_COPY_WER:.0f} %"
            " expected). The recordings may be too noisy for the speech recognizer, or not English."
        )


def whole_clips(dataset: EvaluationSet, texts: Mapping[str, str | None]) -> dict[str, tuple[Part, str]]:
    """For each speaker with texts: whole clips to convert, and their text, normalized.

    Source parts are cut within clips, so a clip's text is not the text of the part. Therefore whole
    clips are used here: of the clips that the speaker's parts were cut from, in that order, as many
    as fit into 15 s. They may overlap the speaker's enrollment, which does not matter for WER. A
    speaker is left out if all those clips are longer, or have too little speech.
    """
    most = round(MAX_PART_S * SAMPLE_RATE)
    found = {}
    for speaker, parts in dataset.parts.items():
        spans: list[Span] = []
        spans_of_speaker = (*parts.enrollment, *parts.source, *parts.reference)
        for utterance in dict.fromkeys(span.utterance for span in spans_of_speaker):
            if texts.get(utterance):
                length = len(dataset.wav((Span(utterance, 0, _TO_THE_END),)))
                if sum(span.stop for span in spans) + length <= most:
                    spans.append(Span(utterance, 0, length))
        if text := normalize(" ".join(texts[span.utterance] for span in spans)):
            with suppress(SilentAudio, TooShort):
                require_speech(dataset.wav(tuple(spans)), MIN_SPEECH_S)
                found[speaker] = (tuple(spans), text)
    return found


def _trials(dataset: EvaluationSet, system: str) -> list[Trial]:
    """One trial per speaker; a same-sex and a cross-sex one if the output depends on the target."""
    if "target" not in SYSTEMS[system].depends_on:
        return dataset.one_trial_per_source()
    first: dict[tuple[str, bool | None], Trial] = {}
    for trial in dataset.trials:
        first.setdefault((trial.source, trial.same_sex), trial)
    return list(first.values())


@dataclass(frozen=True)
class _Source:
    """A speaker's source part, its F0 track, and the whole clips with their text, if any."""

    wav: np.ndarray
    f0: np.ndarray
    whole: tuple[Part, str] | None


def _measure_output(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    system: str,
    trial: Trial,
    source: _Source,
    evaluators: CachedEvaluators,
) -> OutputFigures:
    output = outputs.of_trial(system, trial)
    values = _prosody(source, output) | evaluators.quality(output)
    source_texts, texts = evaluators.transcripts(source.wav), evaluators.transcripts(output)
    transcripts = {prefix: (source_texts[prefix], text) for prefix, text in texts.items()}
    if source.whole is None:
        return OutputFigures(trial.source, values, transcripts)
    part, true_text = source.whole
    reference = dataset.wav(dataset.parts[trial.target].reference)
    of_whole = evaluators.transcripts(outputs.of_audio(system, dataset.wav(part), reference))
    true_transcripts = {prefix: (true_text, text) for prefix, text in of_whole.items()}
    return OutputFigures(trial.source, values, transcripts, true_transcripts)


def _prosody(source: _Source, output: np.ndarray) -> dict[str, float | None]:
    """Figures of prosody; frame by frame only if the output has the source's length, else None."""
    figures = dict.fromkeys(_BY_FRAME)
    if abs(len(output) - len(source.wav)) <= _MAX_LENGTH_CHANGE_S * SAMPLE_RATE:
        f0 = track_f0(output)
        figures = {
            "f0_correlation": prosody.f0_correlation(source.f0, f0),
            "voicing_error": prosody.voicing_error(source.f0, f0),
            "pauses_kept": prosody.pauses_kept(source.wav, output),
            "mel_distance": prosody.mel_distance(source.wav, output),
        }
    return figures | {"rate_kept": prosody.rate_kept(source.wav, output)}


def _edits_by_speaker(
    rows: Sequence[OutputFigures], prefix: str, suffix: str, count: Callable[[str, str], Edits]
) -> dict[str, Edits]:
    known = [(row.speaker, *texts[prefix]) for row in rows if prefix in (texts := getattr(row, _TEXTS[suffix]))]
    return pool_by_speaker([count(a, b) for _, a, b in known], [speaker for speaker, _, _ in known])


def _percent(counts: Mapping[str, Edits], errors: Callable[[Edits], int]) -> dict[str, float]:
    """Speaker to errors in % of the reference."""
    return {speaker: 100 * errors(count) / count.length for speaker, count in counts.items()}
