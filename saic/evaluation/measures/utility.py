"""Is it still the same speech? Words, quality and prosody of every system and control, beside the source.

An output is compared with the source part that went in, both after the codec. To save time a speaker's outputs
for one same-sex and one cross-sex target are measured, and one output where a system has no target. What the
evaluators say is kept on disk, so that a run which broke off goes on.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import SaicError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, Corpus, Progress
from saic.evaluation.data.trials import MAX_PART_S, Part, Span, Trial
from saic.evaluation.evaluators.dnsmos import Dnsmos
from saic.evaluation.evaluators.evaluators import Opinions
from saic.evaluation.evaluators.whisper import Recogniser, normalize
from saic.evaluation.measures import prosody
from saic.evaluation.measures.text_errors import Edits, character_errors, pooled, word_errors
from saic.evaluation.systems import BASELINES, HEARS, SYSTEMS, Systems
from saic.signal.f0 import (
    track_f0,
)
from saic.signal.vad import require_speech

UNITS = {  # of the figures that are averaged; those of words are all in %
    "dnsmos_ovrl": "MOS",
    "dnsmos_sig": "MOS",
    "dnsmos_bak": "MOS",
    "f0_correlation": "r",
    "voicing_error": "%",
    "pauses_kept": "%",
    "rate_kept": "%",
    "mel_distance": "dB",
}
CONTROL_SPEAKERS = 20  # with fewer the controls are too coarse to stop at
MIN_REPLAY_WER = 60.0
MAX_COPY_WER = 30.0

_CONTROLS = ("real", "replay_target", "copy_source")
_TO_THE_END = sys.maxsize


@dataclass(frozen=True)
class Row:
    """What one trial of one system gave.

    ``values`` are by the names of :data:`UNITS`, shares from 0 to 1; one that is missing or None does not count.
    ``heard``: what is heard in source and output. ``heard_true``: what is truly said in whole clips, and what is
    heard in their output. Texts are normalized.
    """

    speaker: str
    values: Mapping[str, float | None]
    heard: tuple[str, str] | None = None
    heard_true: tuple[str, str] | None = None


def measure(
    corpus: Corpus,
    systems: Systems,
    *,
    recogniser: Recogniser | None,
    dnsmos: Dnsmos | None,
    texts: Mapping[str, str | None],
    seed: int,
    progress: Progress,
    cache: Path,
) -> dict[str, dict[str, Any]]:
    """Run all systems and return the figures of each, controls first.

    Parameters
    ----------
    recogniser, dnsmos
        None leaves their figures without a value.
    texts
        Utterance to what was said in it, or None.
    cache
        Folder for transcripts and scores, each known by the samples and the evaluator's identity.

    Returns
    -------
    System to figure name to leaf, see :func:`figures`.

    Raises
    ------
    SaicError
        A control is out of range.
    """
    judges = Opinions(recogniser, dnsmos, cache)
    whole = whole_clips(corpus, texts) if recogniser else {}
    sources = {}
    for speaker, parts in corpus.parts.items():
        wav = corpus.wav(parts.source)
        sources[speaker] = _Source(wav, track_f0(wav), whole.get(speaker))
    measured = {}
    for system in sorted((*SYSTEMS, *BASELINES), key=lambda name: name not in _CONTROLS):
        rows = []
        trials = _trials(corpus, system)
        for done, trial in enumerate(trials, start=1):
            rows.append(_row(corpus, systems, system, trial, sources[trial.source], judges))
            progress(f"utility: {system}", done, len(trials))
        measured[system] = figures(rows, seed=seed)
        check_control(system, measured[system])
    return {system: measured[system] for system in (*SYSTEMS, *BASELINES)}


def figures(rows: Sequence[Row], *, seed: int) -> dict[str, Any]:
    """Figures of one system.

    Returns
    -------
    ``wer``, ``cer``, ``insertions``: errors in words and characters, and words that nobody said, in % of the
    source's words, against the recogniser's own transcript of the source. That hides what it mishears in both,
    but needs no transcripts. ``wer_true``, ``cer_true``, ``insertions_true``: the same against what was
    truly said, over whole clips of the speakers that have transcripts. See :func:`~saic.evaluation.measures.text_errors.pooled`
    for the average. ``dnsmos_*``: see :class:`~saic.evaluation.evaluators.dnsmos.Dnsmos`; the others:
    :mod:`saic.evaluation.measures.prosody`, shares in %.

    ``real`` is its own source: its ``wer`` is 0 and its prosody perfect by definition.
    """
    result = _word_figures("", [(row.speaker, row.heard) for row in rows], seed)
    result |= _word_figures("_true", [(row.speaker, row.heard_true) for row in rows], seed)
    for name, unit in UNITS.items():
        scale = 100 if unit == "%" else 1
        pairs = [(scale * v, row.speaker) for row in rows if (v := row.values.get(name)) is not None]
        result[name] = metrics.figure([v for v, _ in pairs], [s for _, s in pairs], unit, seed=seed)
    return result


def check_control(system: str, leaves: dict[str, Any]) -> None:
    """Raise SaicError if a control shows that words are not measured at all."""
    percent = leaves["wer"]["value"]
    if leaves["wer"]["n"] < CONTROL_SPEAKERS:
        return
    if system == "replay_target" and percent < MIN_REPLAY_WER:
        raise SaicError(
            f"Control out of range: another person's clip has only {percent:.0f} % other words than the source (at"
            f" least {MIN_REPLAY_WER:.0f} % expected). The speakers may all say the same text."
        )
    if system == "copy_source" and percent > MAX_COPY_WER:
        raise SaicError(
            f"Control out of range: the recogniser hears {percent:.0f} % other words in a copy of the source (at most"
            f" {MAX_COPY_WER:.0f} % expected). The recordings may be too noisy for it, or not English."
        )


def whole_clips(corpus: Corpus, texts: Mapping[str, str | None]) -> dict[str, tuple[Part, str]]:
    """For each speaker with transcripts: clips to convert whole, and what is said in them, normalized.

    Source parts are cut within clips, where a clip's transcript is no longer what is said. So these are parts of
    their own: of the clips from which the speaker's parts were cut, in that order, as many as fit into 15 s.
    They may overlap the speaker's enrolment, which plays no part in words. A speaker has none if those clips are all
    longer, or hold too little speech.
    """
    most = round(MAX_PART_S * SAMPLE_RATE)
    found = {}
    for speaker, parts in corpus.parts.items():
        spans: list[Span] = []
        spans_of_speaker = (*parts.enrolment, *parts.source, *parts.reference)
        for utterance in dict.fromkeys(span.utterance for span in spans_of_speaker):
            if texts.get(utterance):
                length = len(corpus.wav((Span(utterance, 0, _TO_THE_END),)))
                if sum(span.stop for span in spans) + length <= most:
                    spans.append(Span(utterance, 0, length))
        if text := normalize(" ".join(texts[span.utterance] for span in spans)):
            with suppress(SilentAudio, TooShort):
                require_speech(corpus.wav(tuple(spans)), MIN_SPEECH_S)
                found[speaker] = (tuple(spans), text)
    return found


def _trials(corpus: Corpus, system: str) -> list[Trial]:
    """One trial a speaker, or one of each kind (same sex, cross sex) where the output depends on the target."""
    if "target" not in HEARS[system]:
        return corpus.first_trials()
    first: dict[tuple[str, bool | None], Trial] = {}
    for trial in corpus.trials:
        first.setdefault((trial.source, trial.same_sex), trial)
    return list(first.values())


@dataclass(frozen=True)
class _Source:
    """A speaker's source part, its pitch track, and the whole clips with their text if there are any."""

    wav: np.ndarray
    track: np.ndarray
    whole: tuple[Part, str] | None


def _row(corpus: Corpus, systems: Systems, system: str, trial: Trial, source: _Source, judges: Opinions) -> Row:
    output = systems.output(system, trial)
    values = _prosody(source, output) | judges.opinions(output)
    said = judges.text(source.wav)
    if said is None:
        return Row(trial.source, values)
    heard = (said, judges.text(output))
    if source.whole is None:
        return Row(trial.source, values, heard)
    part, text = source.whole
    reference = corpus.wav(corpus.parts[trial.target].reference)
    output_of_whole = systems.anonymized(system, corpus.wav(part), reference)
    return Row(trial.source, values, heard, (text, judges.text(output_of_whole)))


def _prosody(source: _Source, output: np.ndarray) -> dict[str, float | None]:
    track = track_f0(output)
    return {
        "f0_correlation": prosody.f0_correlation(source.track, track),
        "voicing_error": prosody.voicing_error(source.track, track),
        "pauses_kept": prosody.pauses_kept(source.wav, output),
        "rate_kept": prosody.rate_kept(source.wav, output),
        "mel_distance": prosody.mel_distance(source.wav, output),
    }


def _word_figures(suffix: str, heard: Sequence[tuple[str, tuple[str, str] | None]], seed: int) -> dict[str, Any]:
    known = [(speaker, *texts) for speaker, texts in heard if texts is not None]
    speakers = [speaker for speaker, _, _ in known]
    words = pooled([word_errors(a, b) for _, a, b in known], speakers)
    characters = pooled([character_errors(a, b) for _, a, b in known], speakers)

    def leaf(counts: Mapping[str, Edits], errors: Callable[[Edits], int]) -> dict[str, Any]:
        rates = [100 * errors(count) / count.length for count in counts.values()]
        return metrics.figure(rates, list(counts), "%", seed=seed)

    return {
        f"wer{suffix}": leaf(words, lambda count: count.errors),
        f"cer{suffix}": leaf(characters, lambda count: count.errors),
        f"insertions{suffix}": leaf(words, lambda count: count.insertions),
    }
