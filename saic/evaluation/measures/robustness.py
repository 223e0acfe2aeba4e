"""Conversions of degraded recordings: word errors and the similarity to the conversion of the clean
recording.

One trial per source speaker. After the codec, its source part is degraded
(:mod:`saic.evaluation.data.degradations`) and converted with the same reference as the clean part;
both conversions are compared. The WER of the degraded recording itself, without a conversion, shows
how many word errors are not due to the conversion.
"""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saic.errors import SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.degradations import DEGRADATIONS
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.evaluators.evaluators import CachedEvaluators
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.measures.identity import Embed
from saic.evaluation.measures.text_errors import word_errors
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
        source. None without a recognizer, or if that transcript is empty.
    embedding
        (E,); None without speech: then no speaker is recognized.
    is_target
        Whether the recognized speaker is the target.
    """

    wer_percent: float | None
    unconverted_wer_percent: float | None
    embedding: np.ndarray | None
    is_target: bool


def measure(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    embed: Embed,
    asr: WhisperASR | None,
    *,
    seed: int,
    progress: StepCallback,
    cache: Path,
) -> dict[str, Estimates]:
    """Convert every source speaker's part clean and under each degradation.

    Parameters
    ----------
    asr
        None: WER has no value.
    seed
        Of noises, rooms and intervals. A speaker's noise does not depend on the other speakers of
        the data.
    cache
        Folder for transcripts, shared with :func:`saic.evaluation.measures.utility.measure`.

    Returns
    -------
    Degradation, or ``clean``, to figure name to estimate, see :func:`estimate`.
    """
    evaluators = CachedEvaluators(asr, None, cache)
    speakers = sorted(dataset.parts)
    enrolled = np.stack([embed(dataset.wav(dataset.parts[speaker].enrollment)) for speaker in speakers])
    trials = dataset.one_trial_per_source()
    conversions: dict[str, list[DegradedConversion]] = {name: [] for name in (CLEAN, *DEGRADATIONS)}
    done = 0
    for trial in trials:
        clean = dataset.wav(dataset.parts[trial.source].source)
        reference = dataset.wav(dataset.parts[trial.target].reference)
        clean_text = evaluators.transcript(clean)
        target = speakers.index(trial.target)
        for name, of_condition in conversions.items():
            source = clean
            if name != CLEAN:
                entropy = [seed, zlib.crc32(trial.source.encode()), zlib.crc32(name.encode())]
                source = DEGRADATIONS[name](clean, np.random.default_rng(entropy))
            output = embedding = None
            with suppress(SilentAudio, TooShort):  # the pipeline rejects the source, or the output has no speech
                output = outputs.of_audio("convert", source, reference)
                embedding = embed(output)
            is_target = embedding is not None and metrics.rank(enrolled @ embedding, target) == 1
            wers = _wer_percent(clean_text, output, evaluators), _wer_percent(clean_text, source, evaluators)
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
    ``wer``: word errors in % against the recognizer's transcript of the clean source.
    ``target_top1``: share of conversions recognized as the target. ``no_speech``: share of
    conversions without speech, or whose source is rejected as silent; all their words count as
    deleted. With ``clean`` also ``wer_rise``, the increase in percentage points;
    ``wer_unconverted``, of the degraded recording itself; and ``cosine``, between the embeddings of
    both conversions, where both have speech.
    """

    def mean(values: Sequence[float | None], unit: str) -> Estimate:
        return metrics.estimate_mean(values, speakers, unit, seed=seed)

    result = {
        "wer": mean([conversion.wer_percent for conversion in conversions], "%"),
        "target_top1": mean([100.0 * conversion.is_target for conversion in conversions], "%"),
        "no_speech": mean([100.0 * (conversion.embedding is None) for conversion in conversions], "%"),
    }
    if clean is not None:
        pairs = list(zip(conversions, clean, strict=True))
        result["wer_rise"] = mean([_difference(one.wer_percent, other.wer_percent) for one, other in pairs], "points")
        result["wer_unconverted"] = mean([conversion.unconverted_wer_percent for conversion in conversions], "%")
        result["cosine"] = mean([_cosine(one.embedding, other.embedding) for one, other in pairs], "cosine")
    return result


def _wer_percent(reference: str | None, output: np.ndarray | None, evaluators: CachedEvaluators) -> float | None:
    if not reference:
        return None
    edits = word_errors(reference, "" if output is None else evaluators.transcript(output))
    return 100 * edits.errors / edits.length


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _cosine(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Of two embeddings of length 1."""
    return None if one is None or other is None else float(one @ other)
