"""What a worse recording does to a conversion: words that get lost, and a voice that gets blurred.

One trial a source speaker. Its source part is degraded (:mod:`saic.evaluation.data.degradations`) after the codec, converted to
the same reference as without, and both conversions are compared. What the recogniser loses in the degraded recording
itself says how much of it is not the conversion's doing.
"""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saic.errors import SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.degradations import DEGRADATIONS
from saic.evaluation.data.evaluation_set import Corpus, Progress
from saic.evaluation.evaluators.evaluators import Opinions
from saic.evaluation.evaluators.whisper import Recogniser
from saic.evaluation.measures.identity import Embed
from saic.evaluation.measures.text_errors import word_errors
from saic.evaluation.systems import Systems

CLEAN = "clean"


@dataclass(frozen=True)
class Outcome:
    """What one conversion gave.

    ``wer_percent`` of the conversion, and ``unconverted_percent`` of what was converted, are against what the
    recogniser hears in the clean source; None without a recogniser, or if it hears nothing there. ``embedding`` (E,) is
    None if there is no speech: then the speaker counts as nobody.
    """

    wer_percent: float | None
    unconverted_percent: float | None
    embedding: np.ndarray | None
    is_target: bool


def measure(
    corpus: Corpus,
    systems: Systems,
    embed: Embed,
    recogniser: Recogniser | None,
    *,
    seed: int,
    progress: Progress,
    cache: Path,
) -> dict[str, dict[str, Any]]:
    """Convert every source speaker's part as it is, and under each degradation.

    Parameters
    ----------
    systems
        Keeps the conversions on disk.
    recogniser
        None leaves the figures of words without a value.
    seed
        Of noises, rooms and intervals. A speaker's noise doesn't depend on who else is in the data.
    cache
        Folder for transcripts, shared with :func:`saic.evaluation.measures.utility.measure`.

    Returns
    -------
    Degradation, or ``clean``, to figure name to leaf, see :func:`figures`.
    """
    judges = Opinions(recogniser, None, cache)
    gallery = sorted(corpus.parts)
    enrolled = np.stack([embed(corpus.wav(corpus.parts[speaker].enrolment)) for speaker in gallery])
    trials = corpus.first_trials()
    outcomes: dict[str, list[Outcome]] = {name: [] for name in (CLEAN, *DEGRADATIONS)}
    done = 0
    for trial in trials:
        source = corpus.wav(corpus.parts[trial.source].source)
        reference = corpus.wav(corpus.parts[trial.target].reference)
        said = judges.text(source)
        target = gallery.index(trial.target)
        for name, of_condition in outcomes.items():
            heard = source
            if name != CLEAN:
                entropy = [seed, zlib.crc32(trial.source.encode()), zlib.crc32(name.encode())]
                heard = DEGRADATIONS[name](source, np.random.default_rng(entropy))
            output = embedding = None
            with suppress(SilentAudio, TooShort):  # what the pipeline refuses, or nobody could be told by
                output = systems.anonymized("convert", heard, reference)
                embedding = embed(output)
            is_target = embedding is not None and metrics.rank(enrolled @ embedding, target) == 1
            words = _wer_percent(said, output, judges), _wer_percent(said, heard, judges)
            of_condition.append(Outcome(*words, embedding, is_target))
            done += 1
            progress("robustness", done, len(trials) * len(outcomes))
    speakers = [trial.source for trial in trials]
    return {
        name: figures(of_condition, None if name == CLEAN else outcomes[CLEAN], speakers, seed=seed)
        for name, of_condition in outcomes.items()
    }


def figures(
    outcomes: Sequence[Outcome], clean: Sequence[Outcome] | None, speakers: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """Figures of one degradation.

    Parameters
    ----------
    outcomes
        Of this degradation, one a speaker.
    clean
        The same conversions of the clean source; None if ``outcomes`` are these.
    speakers
        Source speaker of each.

    Returns
    -------
    ``wer``: word errors in % of what the recogniser hears in the clean source. ``target_top1``: share of conversions
    taken for the target. ``no_speech``: share without speech, or of a source that is refused for it; all their words
    count as lost. With ``clean`` also ``wer_rise``, in percentage points; ``wer_unconverted``, of the worse recording
    itself; and ``cosine``, between the embeddings of both conversions, where both hold speech.
    """

    def leaf(values: Sequence[float | None], unit: str) -> dict[str, Any]:
        pairs = [(value, speaker) for value, speaker in zip(values, speakers, strict=True) if value is not None]
        return metrics.figure([value for value, _ in pairs], [speaker for _, speaker in pairs], unit, seed=seed)

    result = {
        "wer": leaf([outcome.wer_percent for outcome in outcomes], "%"),
        "target_top1": leaf([100.0 * outcome.is_target for outcome in outcomes], "%"),
        "no_speech": leaf([100.0 * (outcome.embedding is None) for outcome in outcomes], "%"),
    }
    if clean is not None:
        pairs = list(zip(outcomes, clean, strict=True))
        result["wer_rise"] = leaf([_minus(one.wer_percent, other.wer_percent) for one, other in pairs], "points")
        result["wer_unconverted"] = leaf([outcome.unconverted_percent for outcome in outcomes], "%")
        result["cosine"] = leaf([_cosine(one.embedding, other.embedding) for one, other in pairs], "cosine")
    return result


def _wer_percent(said: str | None, output: np.ndarray | None, judges: Opinions) -> float | None:
    if not said:
        return None
    edits = word_errors(said, "" if output is None else judges.text(output))
    return 100 * edits.errors / edits.length


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _cosine(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    return None if one is None or other is None else float(one @ other)
