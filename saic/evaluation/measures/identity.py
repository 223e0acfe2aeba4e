"""Whose voice does it sound like? The paper's measure (section 4.2), for every system and control.

Everyone in the gallery is enrolled by one embedding. The embedding of an output is compared with all of them
by cosine; the best match is the speaker that the output is taken for.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from saic.errors import SaicError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import Gallery, Progress
from saic.evaluation.data.trials import Trial
from saic.evaluation.systems import HEARS, PER_SPEAKER, SYSTEMS, Systems

Embed = Callable[[np.ndarray], np.ndarray]
"""(N,) wav to (E,) embedding of length 1; raises SilentAudio or TooShort without speech."""

GALLERY_SIZES = (10, 20)
CONTROL_GALLERY = 20  # with fewer speakers the controls are too coarse to stop at
MIN_REPLAY_PERCENT = 60.0
MAX_COPY_PERCENT = 20.0

_CONTROLS_FIRST = (
    "real",
    "replay_target",
    "copy_source",
    "mcadams",
    "vocoder",
    "reconstruction",
    "convert",
    "pseudonym",
)


@dataclass(frozen=True)
class Measured:
    """``figures``: system to figure name to leaf. ``target_hits``: system to (S,) % of each source speaker's outputs
    that are taken for the target, speakers by name; of systems that have a target."""

    figures: dict[str, dict[str, Any]]
    target_hits: dict[str, np.ndarray]


def measure(
    corpus: Gallery,
    systems: Systems,
    embed: Embed,
    *,
    seed: int,
    progress: Progress,
    only: Sequence[str] = SYSTEMS,
    stage: str = "identity",
) -> Measured:
    """Run all systems, or ``only`` some, and return the figures of each, see :func:`figures`.

    The controls go first: if they are off nothing else would mean anything, and the slow part is spared.

    Raises
    ------
    SaicError
        A control is out of range.
    """
    enrolled = _enrol(corpus, embed, progress)
    gallery = sorted(corpus.parts)
    sexes = {speaker: corpus.parts[speaker].sex for speaker in gallery}
    measured, hits = {}, {}
    for system in [name for name in _CONTROLS_FIRST if name in only]:
        trials = corpus.first_trials() if system in PER_SPEAKER else corpus.trials
        rows: dict[tuple[str, ...], np.ndarray] = {}
        for done, trial in enumerate(trials, start=1):
            if (heard := _heard(system, trial)) not in rows:
                rows[heard] = _scores(enrolled, embed, systems.output(system, trial))
            progress(f"{stage}: {system}", done, len(trials))
        scores = np.stack([rows[_heard(system, trial)] for trial in trials])
        measured[system] = figures(system, trials, scores, sexes, seed=seed)
        check_control(system, measured[system], len(enrolled))
        if system not in PER_SPEAKER:
            first = [metrics.rank(row, gallery.index(t.target)) == 1 for row, t in zip(scores, trials, strict=True)]
            hits[system] = 100 * metrics.speaker_means(first, [trial.source for trial in trials])
    return Measured({system: measured[system] for system in SYSTEMS if system in only}, hits)


def figures(
    system: str, trials: Sequence[Trial], scores: np.ndarray, sexes: Mapping[str, str | None], *, seed: int
) -> dict[str, Any]:
    """Figures of one system.

    Parameters
    ----------
    scores
        (trials, K) cosine to each enrolled speaker; NaN where an output held no speech.
    sexes
        Enrolled speaker, K of them in the order of the scores, to "F", "M" or None.

    Returns
    -------
    ``source_top1``: share of outputs taken for the source speaker. ``source_rank``: mean place of the source
    speaker, 1 = best. ``no_speech``: share of outputs that hold no speech; they match nobody and rank last.
    For systems with a target also ``target_top1``, its ``_same_sex`` and ``_cross_sex`` trials apart, what it would be
    ``_of_10`` and ``_of_20`` enrolled speakers, and ``target_rank``. The top-1 figures also of ``_women`` and ``_men``
    as sources.
    """
    place = {speaker: index for index, speaker in enumerate(sexes)}
    source_ranks = [metrics.rank(row, place[trial.source]) for row, trial in zip(scores, trials, strict=True)]
    speakers = [trial.source for trial in trials]

    def leaf(values: Sequence[float], unit: str, kept: Sequence[bool] | None = None) -> dict[str, Any]:
        pairs = [(v, s) for i, (v, s) in enumerate(zip(values, speakers, strict=True)) if not kept or kept[i]]
        return metrics.figure([v for v, _ in pairs], [s for _, s in pairs], unit, seed=seed)

    def by_sex(name: str, values: Sequence[float]) -> dict[str, Any]:
        return {
            f"{name}_{label}": leaf(values, "%", [sexes[speaker] == sex for speaker in speakers])
            for sex, label in (("F", "women"), ("M", "men"))
        }

    result = {}
    if system not in PER_SPEAKER:
        ranks = [metrics.rank(row, place[trial.target]) for row, trial in zip(scores, trials, strict=True)]
        hits = [100.0 * (rank == 1) for rank in ranks]
        result["target_top1"] = leaf(hits, "%")
        result["target_top1_same_sex"] = leaf(hits, "%", [trial.same_sex is True for trial in trials])
        result["target_top1_cross_sex"] = leaf(hits, "%", [trial.same_sex is False for trial in trials])
        for size in GALLERY_SIZES:
            if size <= len(sexes):
                values = [100.0 * metrics.top1_in_gallery(rank, len(sexes), size) for rank in ranks]
                result[f"target_top1_of_{size}"] = leaf(values, "%")
        result["target_rank"] = leaf(ranks, "rank")
        result |= by_sex("target_top1", hits)
    result["source_top1"] = leaf([100.0 * (rank == 1) for rank in source_ranks], "%")
    result |= by_sex("source_top1", [100.0 * (rank == 1) for rank in source_ranks])
    result["source_rank"] = leaf(source_ranks, "rank")
    result["no_speech"] = leaf([100.0 * np.isnan(row).any() for row in scores], "%")
    return result


def check_control(system: str, leaves: dict[str, Any], gallery_size: int) -> None:
    """Raise SaicError if a control shows that the measurement itself is broken."""
    if gallery_size < CONTROL_GALLERY or system not in ("replay_target", "copy_source"):
        return
    percent = leaves["target_top1"]["value"]
    if system == "replay_target" and percent < MIN_REPLAY_PERCENT:
        raise SaicError(
            f"Control out of range: the target's own voice is taken for the target in {percent:.0f} % of"
            f" trials only (at least {MIN_REPLAY_PERCENT:.0f} % expected). The recordings of a speaker may be"
            " too short or too unlike each other to be told apart."
        )
    if system == "copy_source" and percent > MAX_COPY_PERCENT:
        raise SaicError(
            f"Control out of range: the unchanged source is taken for the target in {percent:.0f} % of"
            f" trials (at most {MAX_COPY_PERCENT:.0f} % expected). Speakers may be listed twice by two names."
        )


def _enrol(corpus: Gallery, embed: Embed, progress: Progress) -> np.ndarray:
    """(K, E) embeddings of the enrolment parts, in the order of the speakers' names."""
    enrolled = []
    for speaker in sorted(corpus.parts):
        enrolled.append(embed(corpus.wav(corpus.parts[speaker].enrolment)))
        progress("enrol", len(enrolled), len(corpus.parts))
    return np.stack(enrolled)


def _heard(system: str, trial: Trial) -> tuple[str, ...]:
    return tuple(getattr(trial, end) for end in HEARS[system])


def _scores(enrolled: np.ndarray, embed: Embed, wav: np.ndarray) -> np.ndarray:
    """(K,) cosine to each enrolled speaker; NaN, which no figure takes for a match, if there is no speech."""
    with suppress(SilentAudio, TooShort):
        return enrolled @ embed(wav)
    return np.full(len(enrolled), np.nan)
