"""Utility of every system: word errors, speech quality and prosody, compared with the source.

An output is compared with the source part that went in, both after the codec. To save time, only
two outputs of each speaker are measured, one for a same-sex and one for a cross-sex target, or one
output where a system does not depend on the target. Transcripts and scores are cached on disk, so
that an interrupted run continues.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import SaicError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, EvaluationSet
from saic.evaluation.data.trials import MAX_PART_S, Part, Span, Trial
from saic.evaluation.evaluators.dnsmos import Dnsmos
from saic.evaluation.evaluators.evaluators import CachedEvaluators
from saic.evaluation.evaluators.whisper import WhisperASR, normalize
from saic.evaluation.measures import prosody
from saic.evaluation.measures.text_errors import Edits, character_errors, pool_by_speaker, word_errors
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.protocols import StepCallback
from saic.evaluation.systems import (
    MAIN_SYSTEMS,
    MIN_CONTROL_SPEAKERS,
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
    "f0_correlation": "r",
    "voicing_error": "%",
    "pauses_kept": "%",
    "rate_kept": "%",
    "mel_distance": "dB",
}
MIN_REPLAY_WER = 60.0
MAX_COPY_WER = 30.0

_MAX_LENGTH_CHANGE_S = 0.1  # of an output whose frames are at the source's times

_TO_THE_END = sys.maxsize


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
        Of the source and of the output, normalized.
    true_transcripts
        True text of whole clips, and the transcript of the system's output for them, normalized.
    """

    speaker: str
    values: Mapping[str, float | None]
    transcripts: tuple[str, str] | None = None
    true_transcripts: tuple[str, str] | None = None


def measure(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    *,
    asr: WhisperASR | None,
    dnsmos: Dnsmos | None,
    texts: Mapping[str, str | None],
    seed: int,
    progress: StepCallback,
    cache: Path,
    only: Sequence[str] = MAIN_SYSTEMS,
) -> dict[str, Estimates]:
    """Measure all systems, or ``only`` some, and the vocoder baselines; controls first.

    Parameters
    ----------
    asr, dnsmos
        None: their figures have no value.
    texts
        Utterance to its true text, or None.
    cache
        Folder for transcripts and scores; the key is a hash of samples and the evaluator's
        identity.

    Returns
    -------
    System to figure name to estimate, see :func:`estimate`.

    Raises
    ------
    SaicError
        A control is out of range.
    """
    evaluators = CachedEvaluators(asr, dnsmos, cache)
    whole = whole_clips(dataset, texts) if asr else {}
    sources = {}
    for speaker, parts in dataset.parts.items():
        wav = dataset.wav(parts.source)
        sources[speaker] = _Source(wav, track_f0(wav), whole.get(speaker))
    measured = {}
    for system in controls_first((*only, *VOCODER_BASELINES)):
        rows = []
        trials = _trials(dataset, system)
        for done, trial in enumerate(trials, start=1):
            rows.append(_measure_output(dataset, outputs, system, trial, sources[trial.source], evaluators))
            progress(f"utility: {system}", done, len(trials))
        measured[system] = estimate(rows, seed=seed)
        check_control(system, measured[system])
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
    :func:`~saic.evaluation.measures.text_errors.pool_by_speaker` for the average. ``dnsmos_*``: see
    :class:`~saic.evaluation.evaluators.dnsmos.Dnsmos`; the others:
    :mod:`saic.evaluation.measures.prosody`, shares in %.

    ``real`` is its own source: its ``wer`` is 0 and its prosody perfect by definition.
    """
    result = _word_estimates("", [(row.speaker, row.transcripts) for row in rows], seed)
    result |= _word_estimates("_true", [(row.speaker, row.true_transcripts) for row in rows], seed)
    speakers = [row.speaker for row in rows]
    for name, unit in UNITS.items():
        scale = 100 if unit == "%" else 1
        values = [None if (value := row.values.get(name)) is None else scale * value for row in rows]
        result[name] = metrics.estimate_mean(values, speakers, unit, seed=seed)
    return result


def check_control(system: str, estimates: Estimates) -> None:
    """Raise SaicError if a control is out of range, which shows that the WER is not valid."""
    percent = estimates["wer"].value
    if estimates["wer"].n < MIN_CONTROL_SPEAKERS:
        return
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
    values = _prosody(source, output) | evaluators.dnsmos_scores(output)
    source_text = evaluators.transcript(source.wav)
    if source_text is None:
        return OutputFigures(trial.source, values)
    transcripts = (source_text, evaluators.transcript(output))
    if source.whole is None:
        return OutputFigures(trial.source, values, transcripts)
    part, true_text = source.whole
    reference = dataset.wav(dataset.parts[trial.target].reference)
    output_of_whole = outputs.of_audio(system, dataset.wav(part), reference)
    return OutputFigures(trial.source, values, transcripts, (true_text, evaluators.transcript(output_of_whole)))


def _prosody(source: _Source, output: np.ndarray) -> dict[str, float | None]:
    """Figures of prosody; frame by frame only if the output has the source's length, else None."""
    figures = dict.fromkeys(("f0_correlation", "voicing_error", "pauses_kept", "mel_distance"))
    if abs(len(output) - len(source.wav)) <= _MAX_LENGTH_CHANGE_S * SAMPLE_RATE:
        f0 = track_f0(output)
        figures = {
            "f0_correlation": prosody.f0_correlation(source.f0, f0),
            "voicing_error": prosody.voicing_error(source.f0, f0),
            "pauses_kept": prosody.pauses_kept(source.wav, output),
            "mel_distance": prosody.mel_distance(source.wav, output),
        }
    return figures | {"rate_kept": prosody.rate_kept(source.wav, output)}


def _word_estimates(suffix: str, transcripts: Sequence[tuple[str, tuple[str, str] | None]], seed: int) -> Estimates:
    """Figures of words from (speaker, (reference, hypothesis))."""
    known = [(speaker, *texts) for speaker, texts in transcripts if texts is not None]
    speakers = [speaker for speaker, _, _ in known]
    words = pool_by_speaker([word_errors(a, b) for _, a, b in known], speakers)
    characters = pool_by_speaker([character_errors(a, b) for _, a, b in known], speakers)

    def mean(counts: Mapping[str, Edits], errors: Callable[[Edits], int]) -> Estimate:
        rates = [100 * errors(count) / count.length for count in counts.values()]
        return metrics.estimate_mean(rates, list(counts), "%", seed=seed)

    return {
        f"wer{suffix}": mean(words, lambda count: count.errors),
        f"cer{suffix}": mean(characters, lambda count: count.errors),
        f"insertions{suffix}": mean(words, lambda count: count.insertions),
    }
