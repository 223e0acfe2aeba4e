"""Conversions of degraded recordings: word errors and the similarity to the conversion of the clean
recording.

One trial per source speaker, the first, whose target is of the same sex if that is known. After the
codec, its source part is degraded (:mod:`saic.evaluation.data.degradations`) and converted with the
same reference as the clean part; both conversions are compared. The WER of the degraded recording
itself, without a conversion, shows how many word errors are not due to the conversion; the difference
of both is paired by speaker. Languages are those of :mod:`saic.evaluation.measures.words`.
"""

import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saic.errors import NotSpeech, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.degradations import DEGRADATIONS
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.evaluators.evaluators import RECOGNIZERS, CachedEvaluators, Evaluators
from saic.evaluation.measures.identity import Embed
from saic.evaluation.measures.text_errors import word_errors
from saic.evaluation.measures.words import unrecognized
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.protocols import StepCallback
from saic.evaluation.systems import SystemOutputs

CLEAN = "clean"


@dataclass(frozen=True)
class DegradedConversion:
    """Figures of one conversion.

    Attributes
    ----------
    wer_percent, unconverted_wer_percent
        WER of the conversion and of its input, against the recognizer's transcript of the clean
        source, by prefix of the recognizer (:data:`RECOGNIZERS`). None is left out: there is no such
        recognizer, or that transcript is empty.
    embedding
        (E,); None without speech: then no speaker is recognized.
    is_target
        Whether the recognized speaker is the target.
    """

    wer_percent: Mapping[str, float]
    unconverted_wer_percent: Mapping[str, float]
    embedding: np.ndarray | None
    is_target: bool


def measure(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    embed: Embed,
    evaluators: Evaluators,
    *,
    texts: Mapping[str, str | None],
    seed: int,
    progress: StepCallback,
    cache: Path,
) -> dict[str, Estimates]:
    """Convert every source speaker's part clean and under each degradation.

    Parameters
    ----------
    evaluators
        Their recognizers are used. Without one its WER has no value.
    texts
        Utterance to its true text, or None: they show whether a language other than English is
        recognized well enough.
    seed
        Of noises, rooms and intervals. A speaker's noise does not depend on the other speakers of
        the data.
    cache
        Folder for transcripts, shared with :func:`saic.evaluation.measures.utility.measure`.

    Returns
    -------
    Degradation, or ``clean``, to figure name to estimate, see :func:`estimate`.
    """
    cached = CachedEvaluators(evaluators, cache)
    left_out = unrecognized(dataset, outputs, texts, cached, seed=seed)
    speakers = sorted(dataset.parts)
    enrolled = np.stack([embed(dataset.wav(dataset.parts[speaker].enrollment)) for speaker in speakers])
    trials = dataset.one_trial_per_source()
    conversions: dict[str, list[DegradedConversion]] = {name: [] for name in (CLEAN, *DEGRADATIONS)}
    done = 0
    for trial in trials:
        clean = dataset.wav(dataset.parts[trial.source].source)
        reference = dataset.wav(dataset.parts[trial.target].reference)
        language = dataset.languages[trial.source]
        clean_texts = {} if language in left_out else cached.transcripts(clean, language)
        target = speakers.index(trial.target)
        for name, of_condition in conversions.items():
            source = clean
            if name != CLEAN:
                entropy = [seed, zlib.crc32(trial.source.encode(errors="surrogateescape")), zlib.crc32(name.encode())]
                source = DEGRADATIONS[name](clean, np.random.default_rng(entropy))
            output = embedding = None
            # The pipeline refuses the source, or the output has no speech.
            with suppress(SilentAudio, TooShort, NotSpeech):
                output = outputs.of_audio("convert", source, reference)
                embedding = embed(output)
            is_target = embedding is not None and metrics.rank(enrolled @ embedding, target) == 1
            wers = (_wer_percent(clean_texts, wav, cached, language) for wav in (output, source))
            of_condition.append(DegradedConversion(*wers, embedding, is_target))
            done += 1
            progress("robustness", done, len(trials) * len(conversions))
    sources = [trial.source for trial in trials]
    return {
        name: estimate(of_condition, None if name == CLEAN else conversions[CLEAN], sources, seed=seed)
        for name, of_condition in conversions.items()
    }


def estimate(
    conversions: Sequence[DegradedConversion],
    clean: Sequence[DegradedConversion] | None,
    speakers: Sequence[str],
    *,
    seed: int,
) -> Estimates:
    """Figures of one degradation.

    Parameters
    ----------
    conversions
        Of this degradation, one per speaker.
    clean
        The same conversions of the clean source; None if ``conversions`` are these.
    speakers
        Source speaker of each.

    Returns
    -------
    - ``wer``: word errors in % against the recognizer's transcript of the clean source.
    - ``target_top1``: share of conversions recognized as the target.
    - ``no_speech``: share of conversions without speech, or whose source the pipeline refuses as no
      speech. All their words count as deleted.

    With ``clean`` also:

    - ``wer_rise``: ``wer`` minus that of the conversions of the clean source, in percentage points.
    - ``wer_unconverted``: that of the degraded recording itself.
    - ``wer_above_unconverted``: ``wer`` minus ``wer_unconverted``, in percentage points. All such
      differences are paired by speaker.
    - ``cosine``: between the embeddings of both conversions, where both have speech.

    Each WER is Whisper's; ``moonshine_wer`` etc. are Moonshine's.
    """

    def mean(values: Sequence[float | None], unit: str, *, are_hits: bool = False) -> Estimate:
        return metrics.estimate_mean(values, speakers, unit, seed=seed, are_hits=are_hits)

    result: Estimates = {}
    for prefix in RECOGNIZERS.values():
        wers = [conversion.wer_percent.get(prefix) for conversion in conversions]
        result[f"{prefix}wer"] = mean(wers, "%")
        if clean is not None:
            of_clean = [conversion.wer_percent.get(prefix) for conversion in clean]
            unconverted = [conversion.unconverted_wer_percent.get(prefix) for conversion in conversions]
            result[f"{prefix}wer_rise"] = mean(_differences(wers, of_clean), "points")
            result[f"{prefix}wer_unconverted"] = mean(unconverted, "%")
            result[f"{prefix}wer_above_unconverted"] = mean(_differences(wers, unconverted), "points")
    are_targets = [100.0 * conversion.is_target for conversion in conversions]
    are_silent = [100.0 * (conversion.embedding is None) for conversion in conversions]
    result["target_top1"] = mean(are_targets, "%", are_hits=True)
    result["no_speech"] = mean(are_silent, "%", are_hits=True)
    if clean is not None:
        pairs = zip(conversions, clean, strict=True)
        result["cosine"] = mean([_cosine(one.embedding, other.embedding) for one, other in pairs], "cosine")
    return result


def _wer_percent(
    references: Mapping[str, str], output: np.ndarray | None, evaluators: CachedEvaluators, language: str
) -> dict[str, float]:
    if not references:
        return {}
    texts = dict.fromkeys(references, "") if output is None else evaluators.transcripts(output, language)
    edits = {prefix: word_errors(text, texts[prefix], language) for prefix, text in references.items() if text}
    return {prefix: 100 * of_text.errors / of_text.length for prefix, of_text in edits.items()}


def _differences(values: Sequence[float | None], others: Sequence[float | None]) -> list[float | None]:
    pairs = zip(values, others, strict=True)
    return [None if one is None or other is None else one - other for one, other in pairs]


def _cosine(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Of two embeddings of length 1."""
    return None if one is None or other is None else float(one @ other)
