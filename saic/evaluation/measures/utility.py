"""Utility of every system: word errors, speech quality and prosody, compared with the source.

An output is compared with the source part that went in, both after the codec. To save time, only
two outputs of each speaker are measured, one for a same-sex and one for a cross-sex target (two for
any targets where sexes are unknown), or one output where a system does not depend on the target.
Transcripts and scores are cached on disk, so that an interrupted run continues.

Words: :mod:`saic.evaluation.measures.words`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.data.trials import Part, Trial
from saic.evaluation.evaluators.evaluators import RECOGNIZERS, CachedEvaluators, Evaluators
from saic.evaluation.measures import prosody
from saic.evaluation.measures.words import (
    TEXTS,
    OutputFigures,
    check_control,
    differences,
    estimate_words,
    parts,
    transcribe,
    unrecognized,
    whole_clips,
)
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import StepCallback
from saic.evaluation.systems import (
    COMPARED_PROFILES,
    MAIN_SYSTEMS,
    PROFILE_BASELINE,
    SYSTEMS,
    VOCODER_BASELINES,
    SystemOutputs,
    controls_first,
)
from saic.signal.f0 import track_f0

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

_BY_FRAME = ("f0_correlation", "voicing_error", "pauses_kept", "mel_distance")
_MAX_LENGTH_CHANGE_S = 0.1  # of an output whose frames are at the source's times


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
    System to figure name to estimate. Beside the figures of :func:`estimate`:

    - ``wer_true_rise``: ``wer_true`` minus that of the recordings, paired.
    - ``wer_price``, ``wer_true_price``, for :data:`COMPARED_PROFILES`: ``wer`` and ``wer_true`` minus
      those of :data:`PROFILE_BASELINE`, paired, if it is measured.
    - ``wer@PART``, ``wer_true_rise@PART`` etc.: word figures of a part of the corpus, see
      :func:`~saic.evaluation.measures.words.parts`. A language that
      :func:`~saic.evaluation.measures.words.unrecognized` leaves out has only the figures that show
      why.

    Raises
    ------
    SaicError
        A control is out of range in a language.
    """
    has_recognizer = any(getattr(evaluators, name) is not None for name in RECOGNIZERS)
    whole = whole_clips(dataset, texts) if has_recognizer else {}
    cached = CachedEvaluators(evaluators, cache)
    left_out = unrecognized(dataset, outputs, texts, cached, seed=seed) if has_recognizer else {}
    sources = {}
    for speaker, of_speaker in dataset.parts.items():
        wav = dataset.wav(of_speaker.source)
        sources[speaker] = _Source(wav, track_f0(wav), whole.get(speaker), dataset.languages[speaker] not in left_out)
    measured, rows = {}, {}
    for system in controls_first((*only, *VOCODER_BASELINES)):
        rows[system] = []
        trials = _trials(dataset, system)
        for done, trial in enumerate(trials, start=1):
            rows[system].append(_measure_output(dataset, outputs, system, trial, sources[trial.source], cached))
            progress(f"utility: {system}", done, len(trials))
        measured[system] = estimate(rows[system], seed=seed)
        if SYSTEMS[system].is_control:
            for language in sorted({row.language for row in rows[system]}):
                of_language = [row for row in rows[system] if row.language == language]
                check_control(system, estimate_words(of_language, seed=seed))
    for system, figures in measured.items():
        if "real" in rows and system != "real":
            figures |= differences(rows[system], rows["real"], "rise", ["_true"], seed=seed)
        if PROFILE_BASELINE in rows and system in COMPARED_PROFILES:
            figures |= differences(rows[system], rows[PROFILE_BASELINE], "price", TEXTS, seed=seed)
        figures |= _estimate_parts(dataset, rows[system], rows.get("real", ()), seed=seed)
        for language, shown in left_out.items():
            figures |= {f"{name}@{language}": of_language for name, of_language in shown.get(system, {}).items()}
    return {system: measured[system] for system in SYSTEMS if system in measured}


def estimate(rows: Sequence[OutputFigures], *, seed: int) -> Estimates:
    """Figures of one system.

    Returns
    -------
    ``wer``, ``cer``, ``insertions``: word error rate, character error rate and inserted words in %
    of the source's words, against the recognizer's transcript of the source. This needs no true
    text, and an error of the recognizer that is the same in source and output does not count. In a
    language that is written without spaces all three count characters. For the average see
    :func:`~saic.evaluation.measures.text_errors.pool_by_speaker`.

    ``wer_true``, ``cer_true``, ``insertions_true``: the same against the true text, over whole
    clips of the speakers that have texts.

    All of these are Whisper's. ``moonshine_wer`` etc. are Moonshine's, with its own transcript of the
    source as the reference.

    ``dnsmos_*``: see :class:`~saic.evaluation.evaluators.dnsmos.Dnsmos`. ``distillmos``: see
    :class:`~saic.evaluation.evaluators.distillmos.DistillMos`. The others: see
    :mod:`saic.evaluation.measures.prosody`; shares are in %. Those that compare frames have no value
    if most outputs have another length than their source.

    ``real`` is its own source: its ``wer`` is 0 and its prosody perfect by definition.
    """
    result = estimate_words(rows, seed=seed)
    speakers, targets = [row.speaker for row in rows], [row.target for row in rows]
    for name, unit in UNITS.items():
        scale = 100 if unit == "%" else 1
        values = [None if (value := row.values.get(name)) is None else scale * value for row in rows]
        if name in _BY_FRAME and sum(value is not None for value in values) < len(values) / 2:
            values = [None] * len(values)  # the few outputs of the source's length stand for no others
        if any(targets):
            result[name] = metrics.estimate_mean_of_pairs(values, speakers, targets, unit, seed=seed)
        else:
            result[name] = metrics.estimate_mean(values, speakers, unit, seed=seed)
    return result


def _trials(dataset: EvaluationSet, system: str) -> list[Trial]:
    """One trial per speaker; a same-sex and a cross-sex one if the output depends on the target.

    A source has several of each kind. Sources take the first and the next in turn, so that most speakers are
    targets. Where sexes are unknown, these are the first two.
    """
    if "target" not in SYSTEMS[system].depends_on:
        return dataset.one_trial_per_source()
    of_kind: dict[tuple[str, bool | None], list[Trial]] = {}
    for trial in dataset.trials:
        of_kind.setdefault((trial.source, trial.same_sex), []).append(trial)
    chosen: list[Trial] = []
    turns: Counter[tuple[str | None, bool | None]] = Counter()
    for (source, kind), of_source in of_kind.items():
        if kind is None:
            chosen += of_source[:2]
            continue
        group = dataset.parts[source].sex, kind
        chosen.append(of_source[turns[group] % len(of_source)])
        turns[group] += 1
    return chosen


@dataclass(frozen=True)
class _Source:
    """A speaker's source part, its F0 track, the whole clips with their text, if any.

    ``is_recognized``: whether words are measured in the speaker's language.
    """

    wav: np.ndarray
    f0: np.ndarray
    whole: tuple[Part, str] | None
    is_recognized: bool


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
    target = trial.target if "target" in SYSTEMS[system].depends_on else ""
    if not source.is_recognized:
        return OutputFigures(trial.source, values, language=dataset.languages[trial.source], target=target)
    words = transcribe(dataset, outputs, system, trial, source.whole, evaluators)
    return replace(words, values=values, target=target)


def _estimate_parts(
    dataset: EvaluationSet, rows: Sequence[OutputFigures], real: Sequence[OutputFigures], *, seed: int
) -> Estimates:
    """Word figures of each part of the corpus that has any, named FIGURE@PART."""
    result: Estimates = {}
    for part, speakers in parts(dataset).items():
        of_part, real_part = ([row for row in of_system if row.speaker in speakers] for of_system in (rows, real))
        figures = estimate_words(of_part, seed=seed)
        if rows is not real:
            figures |= differences(of_part, real_part, "rise", ["_true"], seed=seed)
        result |= {f"{name}@{part}": figure for name, figure in figures.items() if figure.n}
    return result


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
