"""Words of outputs: errors against the recognizer's transcript of the source, and against the true text.

A recording is transcribed in the language that the manifest states, by the recognizers that know it.
In a language that is written without spaces, characters are counted instead of words. A language other
than English is measured only if its recordings show that the recognizer can do it, see
:func:`unrecognized`. English always is: there :func:`check_control` stops the run.

Differences are paired: the same clips of the same speakers, with intervals from a bootstrap by speaker
of the differences.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from saic.audio import SAMPLE_RATE
from saic.errors import NotSpeech, SaicError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, EvaluationSet
from saic.evaluation.data.trials import MAX_PART_S, Part, Span, Trial
from saic.evaluation.evaluators.evaluators import RECOGNIZERS, CachedEvaluators
from saic.evaluation.evaluators.normalizer import ENGLISH, base_language, normalize
from saic.evaluation.linkage.material import MAX_CHILD_AGE
from saic.evaluation.measures.text_errors import Edits, character_errors, pool_by_speaker, word_errors
from saic.evaluation.metrics import Estimates
from saic.evaluation.systems import MIN_CONTROL_SPEAKERS, SystemOutputs
from saic.signal.vad import require_speech, require_varied

MIN_REPLAY_WER = 60.0
MAX_COPY_WER = 30.0
MAX_RECORDINGS_WER = 40.0  # against the true text, of a language other than English
CHILDREN, ADULTS = "children", "adults"
TEXTS = {"": "transcripts", "_true": "true_transcripts"}
"""Suffix of a figure to the attribute of :class:`OutputFigures` that it is computed from."""


@dataclass(frozen=True)
class OutputFigures:
    """Figures of one output.

    Attributes
    ----------
    speaker
        Source speaker.
    values
        Name in :data:`saic.evaluation.measures.utility.UNITS` to value; those in % are given from 0
        to 1. Missing values and None are left out.
    transcripts
        Prefix of a recognizer (:data:`RECOGNIZERS`) to its transcripts of the source and of the
        output, normalized.
    true_transcripts
        The same with the true text of whole clips, and the transcript of the system's output for
        them.
    language
        Code of the language of all these texts.
    target
        Target speaker; empty if the output depends on none.
    """

    speaker: str
    values: Mapping[str, float | None] = field(default_factory=dict)
    transcripts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    true_transcripts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    language: str = ENGLISH
    target: str = ""


def transcribe(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    system: str,
    trial: Trial,
    whole: tuple[Part, str] | None,
    evaluators: CachedEvaluators,
) -> OutputFigures:
    """Transcripts of one output, without other figures; ``whole``: the speaker's of :func:`whole_clips`."""
    language = dataset.languages[trial.source]
    of_source = evaluators.transcripts(dataset.wav(dataset.parts[trial.source].source), language)
    texts = evaluators.transcripts(outputs.of_trial(system, trial), language)
    transcripts = {prefix: (of_source[prefix], text) for prefix, text in texts.items()}
    if whole is None:
        return OutputFigures(trial.source, transcripts=transcripts, language=language)
    part, true_text = whole
    reference = dataset.wav(dataset.parts[trial.target].reference)
    of_whole = evaluators.transcripts(outputs.of_audio(system, dataset.wav(part), reference), language)
    true_transcripts = {prefix: (true_text, text) for prefix, text in of_whole.items()}
    return OutputFigures(trial.source, transcripts=transcripts, true_transcripts=true_transcripts, language=language)


def whole_clips(dataset: EvaluationSet, texts: Mapping[str, str | None]) -> dict[str, tuple[Part, str]]:
    """For each speaker with texts: whole clips to convert, and their text, normalized.

    Source parts are cut within clips, so a clip's text is not the text of the part. Therefore whole
    clips are used here: of the clips that the speaker's parts were cut from, in that order, as many
    as fit into 15 s. They may overlap the speaker's enrollment, which does not matter for WER. A
    speaker is left out if all those clips are longer, or have too little speech or a steady sound.
    """
    most = round(MAX_PART_S * SAMPLE_RATE)
    found = {}
    for speaker, parts in dataset.parts.items():
        spans: list[Span] = []
        spans_of_speaker = (*parts.enrollment, *parts.source, *parts.reference)
        for utterance in dict.fromkeys(span.utterance for span in spans_of_speaker):
            if texts.get(utterance):
                length = dataset.n_samples(utterance)
                if sum(span.stop for span in spans) + length <= most:
                    spans.append(Span(utterance, 0, length))
        if text := normalize(" ".join(texts[span.utterance] for span in spans), dataset.languages[speaker]):
            with suppress(SilentAudio, TooShort, NotSpeech):
                wav = dataset.wav(tuple(spans))
                require_speech(wav, MIN_SPEECH_S)
                require_varied(wav)
                found[speaker] = (tuple(spans), text)
    return found


def unrecognized(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    texts: Mapping[str, str | None],
    evaluators: CachedEvaluators,
    *,
    seed: int,
) -> dict[str, dict[str, Estimates]]:
    """Languages other than English that Whisper does not recognize well enough to measure words in them.

    A language is one of them in three cases. Its recordings have a WER above 40 % against the true
    text. Or that WER is unknown, since there are no texts or no recognizer knows the language. Or it
    has 20 speakers or more, and a copy of a recording has a WER above 30 % against the transcript of
    the recording: there :func:`check_control` would stop the run.

    Returns
    -------
    Language to system to the figures that show it: ``wer_true`` of ``real`` and ``wer`` of
    ``copy_source``.
    """
    others = {language for speaker in dataset.parts if base_language(language := dataset.languages[speaker]) != ENGLISH}
    if not others:
        return {}
    whole, found = whole_clips(dataset, texts), {}
    for language in sorted(others):
        trials = [t for t in dataset.one_trial_per_source() if dataset.languages[t.source] == language]
        real, copy = (
            estimate_words(
                [transcribe(dataset, outputs, system, t, whole.get(t.source), evaluators) for t in trials], seed=seed
            )
            for system in ("real", "copy_source")
        )
        is_known = real["wer_true"].n and real["wer_true"].value <= MAX_RECORDINGS_WER
        if not is_known or (copy["wer"].n >= MIN_CONTROL_SPEAKERS and copy["wer"].value > MAX_COPY_WER):
            found[language] = {"real": {"wer_true": real["wer_true"]}, "copy_source": {"wer": copy["wer"]}}
    return found


def parts(dataset: EvaluationSet) -> dict[str, set[str]]:
    """Parts of a corpus whose words also have figures of their own: name to speakers.

    ``children`` of at most 14 years and ``adults``, where there are children; each language, where
    there is another than English.
    """
    found: dict[str, set[str]] = {}
    ages = {speaker: age for speaker in dataset.parts if (age := dataset.ages[speaker]) is not None}
    if children := {speaker for speaker, age in ages.items() if age <= MAX_CHILD_AGE}:
        found |= {CHILDREN: children, ADULTS: set(ages) - children}
    languages = sorted({dataset.languages[speaker] for speaker in dataset.parts})
    if any(base_language(language) != ENGLISH for language in languages):
        for language in languages:
            found[language] = {speaker for speaker in dataset.parts if dataset.languages[speaker] == language}
    return found


def estimate_words(rows: Sequence[OutputFigures], *, seed: int) -> Estimates:
    """Word figures of one system, see :func:`saic.evaluation.measures.utility.estimate`."""
    result: Estimates = {}
    for prefix, suffix in itertools.product(RECOGNIZERS.values(), TEXTS):
        words = _edits_by_speaker(rows, prefix, suffix, word_errors)
        characters = _edits_by_speaker(rows, prefix, suffix, lambda one, other, _: character_errors(one, other))
        for name, rates in {
            "wer": _percent(words, lambda count: count.errors),
            "cer": _percent(characters, lambda count: count.errors),
            "insertions": _percent(words, lambda count: count.insertions),
        }.items():
            result[f"{prefix}{name}{suffix}"] = metrics.estimate_mean([*rates.values()], [*rates], "%", seed=seed)
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
    """Raise SaicError if a control of one language is out of range, which shows that the WER is not valid.

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
            " expected). The recordings may be too noisy for the speech recognizer, or not in the language that the"
            " manifest states (English where it states none)."
        )


def _edits_by_speaker(
    rows: Sequence[OutputFigures], prefix: str, suffix: str, count: Callable[[str, str, str], Edits]
) -> dict[str, Edits]:
    known = [row for row in rows if prefix in getattr(row, TEXTS[suffix])]
    counts = [count(*getattr(row, TEXTS[suffix])[prefix], row.language) for row in known]
    return pool_by_speaker(counts, [row.speaker for row in known])


def _percent(counts: Mapping[str, Edits], errors: Callable[[Edits], int]) -> dict[str, float]:
    """Speaker to errors in % of the reference."""
    return {speaker: 100 * errors(count) / count.length for speaker, count in counts.items()}
