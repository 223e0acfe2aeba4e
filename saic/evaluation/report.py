"""The report of an evaluation: report.json in a fixed schema, and report.md to read.

::

    {schema, command, seed, weights_sha256, versions,
     evaluators {embedders, asr, moonshine, dnsmos, distillmos},
     corpora {NAME: {data {manifest_sha256, split, gallery_speakers, chance_percent, trials,
                           left_out},
                     systems {NAME: {GROUP: {FIGURE: {value, low, high, n, unit}}}}}},
     privacy: the report of the linkage evaluation over all corpora, or null if it was not made,
     claims [sentences that the figures support]}

Groups are identity, utility and, if measured, identity_lossless, classification (under ``real``),
disentanglement and robustness (under ``convert``). A figure FIGURE@PART of utility is of the children,
of the adults or of one language of the corpus. ``privacy`` is explained in
:mod:`saic.evaluation.linkage.report`. Reports up to schema 3 have other keys, see
:mod:`saic.migration`.
"""

import json
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saic import files
from saic.evaluation import overview
from saic.evaluation.data.codec import KBPS
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.data.trials import MIN_SPEAKER_S
from saic.evaluation.evaluators.evaluators import RECOGNIZERS, Evaluators
from saic.evaluation.linkage import report as linkage_report
from saic.evaluation.linkage.material import LENGTHS_S, MAX_CHILD_AGE
from saic.evaluation.linkage.report import HEADLINE_S, strongest_eers
from saic.evaluation.linkage.result import ONE_LANGUAGE, SAME_SPEAKERS, TWO_SESSIONS
from saic.evaluation.measures.words import ADULTS, CHILDREN, MAX_COPY_WER, MAX_RECORDINGS_WER
from saic.evaluation.metrics import MIN_INTERVAL_SPEAKERS, Estimates
from saic.evaluation.report_parts import SCHEMA, by_part, estimates_of, known, table, versions, with_values
from saic.evaluation.systems import COMPARED_PROFILES, MIN_CONTROL_SPEAKERS, SYSTEMS
from saic.migration import migrate_report

HEADLINE_SYSTEM = "pseudonym"
ALL_CORPORA = "all"
ALL_LANGUAGES = "all"

_IDENTITY = {
    "target_top1": "Target top-1, %",
    "target_top1_same_sex": "same sex",
    "target_top1_cross_sex": "cross sex",
    "target_rank": "Target rank",
    "source_top1": "Source top-1, %",
    "source_rank": "Source rank",
    "no_speech": "No speech, %",
}
_WORDS = {
    "wer": "WER, %",
    "cer": "CER, %",
    "insertions": "Insertions, %",
    "wer_true": "WER, true text, %",
    "cer_true": "CER, true text, %",
    "insertions_true": "Insertions, true text, %",
    "wer_true_rise": "WER above the recording's, true text, points",
}
_SYSTEM_TABLES = {  # table: group, title, columns
    "identity": (
        "identity",
        "Identity (Resemblyzer)",
        _IDENTITY,
    ),
    "parts": (
        "identity",
        "Identity by sex of the source and by number of enrolled speakers",
        {
            "target_top1_women": "Target top-1, %: women",
            "target_top1_men": "men",
            "source_top1_women": "Source top-1, %: women",
            "source_top1_men": "men",
            "target_top1_of_10": "Target top-1 of 10, %",
            "target_top1_of_20": "of 20, %",
        },
    ),
    "identity_lossless": (
        "identity_lossless",
        "Identity without the codec",
        {name: label for name, label in _IDENTITY.items() if name != "no_speech"},
    ),
    "words": (
        "utility",
        "Words",
        _WORDS,
    ),
    "moonshine": (
        "utility",
        "Words by the second recognizer",
        {f"moonshine_{name}": label for name, label in _WORDS.items()},
    ),
    "price": (
        "utility",
        "Price of a profile in words",
        {
            "wer_price": "WER, points",
            "wer_true_price": "WER, true text, points",
            "moonshine_wer_price": "Moonshine: WER, points",
            "moonshine_wer_true_price": "Moonshine: WER, true text, points",
        },
    ),
    "sound": (
        "utility",
        "Sound and prosody",
        {
            "dnsmos_ovrl": "DNSMOS OVRL",
            "dnsmos_sig": "SIG",
            "dnsmos_bak": "BAK",
            "distillmos": "Distill-MOS",
            "mel_distance": "Mel distance, dB",
            "f0_correlation": "F0 correlation",
            "voicing_error": "Voicing error, %",
            "pauses_kept": "Pauses kept, %",
            "rate_kept": "Rate kept, %",
        },
    ),
}
_ROW_TABLES = (  # system, group, title, first column
    ("real", "classification", "Speaker recognition on real recordings", "Embedder"),
    ("convert", "disentanglement", "Speaker probes", "Probed"),
    ("convert", "robustness", "Degraded recordings", "Input"),
)
_LABELS = {
    "wer": "WER",
    "wer_rise": "WER rise",
    "wer_unconverted": "WER unconverted",
    "wer_above_unconverted": "WER above unconverted",
    "moonshine_wer": "Moonshine: WER",
    "moonshine_wer_rise": "Moonshine: WER rise",
    "moonshine_wer_unconverted": "Moonshine: WER unconverted",
    "moonshine_wer_above_unconverted": "Moonshine: WER above unconverted",
    "eer": "EER",
    "eer_3s": "EER of 3 s",
    "eer_3s_difference": "EER of 3 s above Resemblyzer's",
    "top1": "Top-1",
    "target_top1": "Target top-1",
}
_WORDS_BY_CORPUS = {
    "wer": "WER, %",
    "cer": "CER, %",
    "wer_true": "WER, true text, %",
    "wer_true_of_recordings": "Recordings: WER, true text, %",
    "moonshine_wer": "Moonshine: WER, %",
    "moonshine_wer_true": "Moonshine: WER, true text, %",
    "moonshine_wer_true_of_recordings": "Moonshine, recordings: WER, true text, %",
}
_WORDS_BY_LANGUAGE = {  # system, figure: label
    ("real", "wer_true"): "Recordings: error, %",
    ("convert", "wer_true"): "Conversions: error, %",
    ("convert", "wer_true_rise"): "Conversions above the recordings, points",
    ("pseudonym", "wer_true"): "Pseudonyms: error, %",
    ("pseudonym", "wer_true_rise"): "Pseudonyms above the recordings, points",
}


@dataclass(frozen=True)
class _Topic:
    """Names of the tables of a topic, and what measures it."""

    tables: tuple[str, ...]
    measures: tuple[str, ...]


_TOPICS = {
    "words": _Topic(("words", "moonshine", "price", "languages"), ("words",)),
    "identity": _Topic(
        ("identity", "parts", "identity_lossless", "classification", "disentanglement"),
        ("identity", "disentanglement"),
    ),
    "attackers": _Topic((), ("privacy",)),
    "sound": _Topic(("sound",), ("words",)),
    "degraded": _Topic(("robustness",), ("robustness",)),
}
_PICTURES = {
    "words.png": "Words",
    "identity.png": "Identity",
    "eer_by_seconds.png": "Strongest attacker by seconds of speech",
    "attackers.png": "Each attacker",
    "sound.png": "Sound and prosody",
    "degraded.png": "Degraded recordings",
}

_NOTES = {
    "headline": """\
- Equal error rate (EER) of the strongest of all attackers, who has the seconds of speech that the
  column names on each side of a trial; 50 % is chance. `all`: trials of all corpora; below it each
  corpus apart, with its own strongest attacker. It is chosen on these trials, so the EER is too low on
  average: the attack looks stronger than on new trials, and the more so the fewer speakers there are.
  Where a corpus has a row `children`, its own row here has its adults alone.
""",
    "words_by_corpus": """\
- WER and CER against the recognizer's transcript of the source. Against the true text where the
  corpus has it, with the recordings' own figure beside it. By Whisper, and by Moonshine, a
  recognizer of another family, which knows English alone. In languages that are written without
  spaces, WER is the CER. `children` are speakers of at most {age} years, `adults` those whose age is
  above it; the row above them has both.
""",
    "languages": """\
- Errors of Whisper in the language of the recording, against the true text: WER, or CER in languages
  that are written without spaces. Above the recordings: the paired difference, with a bootstrap by
  speaker. A language other than English is left out of all figures of words if the error of its
  recordings is above {recordings:g} %, or, with {speakers} speakers or more, that of a copy against the
  transcript of the recording above {copy:g} %.
""",
    "identity": """\
- Target top-1: share of outputs whose best match among the enrolled speakers is the target. Source
  top-1: the same for the source speaker. Rank: mean rank of that speaker, 1 = best. `real` is
  Resemblyzer's accuracy on real speech: no system can be expected to exceed it.
- `replay_target` plays the reference, `copy_source` the source: a high target top-1 alone shows
  neither that the words are kept nor that the source speaker is hidden. `mcadams` is VoicePrivacy's
  baseline B2.
- `pseudonym` is the model with a blend of built-in gallery voices as the target, drawn anew for each
  recording by a seed. `saic anonymize` without seed and key draws again while the voice counts as the
  speaker's own, which happens seldom.
- Resemblyzer was not used to train this model. It was itself probably trained on VoxCeleb and
  LibriSpeech-other.
- The paper's 96.1 % is among 1,251 enrolled speakers: not comparable with another number of
  speakers.
""",
    "parts": """\
- With fewer enrolled speakers top-1 is higher. "Of 10" is the mean over all sets of 10 enrolled
  speakers that contain the target, computed from the same scores.
""",
    "identity_lossless": """\
- Lossless recordings only, without the MP3 round trip before and after a system.
""",
    "words": """\
- By Whisper and its text normalizer: against Whisper's transcript of the source, and against the
  true text where the data has it (over whole clips of those speakers). WER above the recording's is
  the paired difference to `real`: the same clips, with a bootstrap by speaker of the differences.
""",
    "moonshine": """\
- By Moonshine tiny, a recognizer of another family, and Whisper's text normalizer; against
  Moonshine's own transcript of the source. A gain in words counts if both recognizers show it. It
  knows English alone, and has no figures of other languages.
""",
    "price": """\
- WER of the profile minus that of `pseudonym_prosody_kept`, which keeps the source's F0 and timing:
  the words that hiding the prosody costs, in percentage points. The differences are paired: the
  same clips with the same pseudonyms, and a bootstrap by speaker. An interval that contains 0 does
  not show that nothing is lost: its upper end is the most that it may cost.
""",
    "sound": """\
- DNSMOS at equal level, with leading and trailing pauses removed: it detects degradation and does
  not rank voices. Distill-MOS is a second predictor, trained on other listening tests too. The
  other figures compare output and source frame by frame: distance of log-mels, correlation of log
  F0, share of frames that are voiced in one only, F1 of pauses, ratio of speaking time.
  `pseudonym_strict` changes the timing and `replay_target` has another. Where most outputs have another
  length than their source, as there, a system has no figures by frame. Reports up to 0.11 have those of
  the few outputs that happen to be as long, which say nothing of the others.
""",
    "classification": """\
- Real recordings, each compared with the enrollment of every speaker. `saic` is the model's own
  Speaker Encoder.
""",
    "disentanglement": """\
- Accuracy of speaker probes that are trained on one part of the audio and tested on a later part: a
  linear probe on single frames, and a perceptron on mean and deviation over one second. On
  `content` the goal is chance. `log_mel` is an upper reference, `speaker` (embeddings)
  should be high.
""",
    "robustness": """\
- One conversion per speaker, of a degraded recording; to a voice of the same sex, if the corpus
  states the sex of all speakers. WER is against the transcript of the clean source; cosine is between
  the speaker embeddings of the conversions of the degraded and of the clean recording. `unconverted`
  is the WER of the degraded recording itself, and WER above unconverted the difference, paired by
  speaker.
""",
    "all": """\
- Averages over source speakers, with 95 % intervals from a bootstrap by speaker; with fewer than
  {least} speakers there is none. In identity, where a trial has a target, sources and targets are
  both drawn. If all trials fail, or all succeed, the interval is the exact binomial one.
- All audio, before and after a system, passed one MP3 round trip at {kbps} kb/s, because some
  corpora hold some speakers as MP3.
- Where a corpus states no sessions, enrollment, source and reference may be of one session: these are
  same-session figures.
""",
}


def of_corpus(
    dataset: EvaluationSet, groups: Mapping[str, Mapping[str, Estimates]], *, manifest_sha256: str, split: str
) -> dict[str, Any]:
    """The part of a report on one corpus, ready for JSON.

    ``groups``: group ("identity") to system to figure to estimate.
    """
    return {
        "data": {
            "manifest_sha256": manifest_sha256,
            "split": split,
            "gallery_speakers": len(dataset.parts),
            "chance_percent": 100 / len(dataset.parts),
            "trials": len(dataset.trials),
            "left_out": dataset.left_out,
        },
        "systems": {
            system: {
                group: {name: asdict(estimate) for name, estimate in of_group[system].items()}
                for group, of_group in groups.items()
                if system in of_group
            }
            for system in SYSTEMS
            if any(system in of_group for of_group in groups.values())
        },
    }


def build(
    corpora: Mapping[str, Mapping[str, Any]],
    *,
    privacy: Mapping[str, Any] | None,
    claims: list[str],
    command: str,
    seed: int,
    evaluators: Evaluators,
    weights_sha256: Any,
) -> dict[str, Any]:
    """Assemble a report, ready for JSON.

    Parameters
    ----------
    corpora
        Name to the result of :func:`of_corpus`.
    privacy
        The report of the linkage evaluation, or None.
    claims
        See :func:`privacy_claims`; without ``privacy``, why it was not measured.
    """
    return {
        "schema": SCHEMA,
        "command": command,
        "seed": seed,
        "weights_sha256": weights_sha256,
        "versions": versions(),
        "evaluators": {
            "embedders": [embedder.name for embedder in evaluators.embedders],
            "asr": evaluators.asr and evaluators.asr.identity,
            "moonshine": evaluators.moonshine and evaluators.moonshine.identity,
            "dnsmos": evaluators.dnsmos and evaluators.dnsmos.identity,
            "distillmos": evaluators.distillmos and evaluators.distillmos.identity,
        },
        "corpora": dict(corpora),
        "privacy": privacy,
        "claims": claims,
    }


def privacy_claims(privacy: Mapping[str, Any]) -> list[str]:
    """Sentences on the strongest attacker of pseudonyms, and on the weakest corpus beside the best.

    Only corpora with enough speakers for an interval are compared.
    """
    system = headline_system(privacy)
    by_corpus = strongest_by_corpus(privacy, system)
    sentences = [f"{system}: {privacy['claims'][system]}"]
    at_headline = {name: of_corpus.get(f"eer_{HEADLINE_S}s") for name, of_corpus in by_corpus.items()}
    known_eer = {
        name: eer
        for name, eer in at_headline.items()
        if eer is not None and name != ALL_CORPORA and eer.n >= MIN_INTERVAL_SPEAKERS
    }
    if len(known_eer) > 1:
        weakest, best = (choose(known_eer, key=lambda name: known_eer[name].value) for choose in (min, max))
        sentences.append(
            f"Weakest corpus: {weakest}, EER of the strongest attacker {linkage_report.percent(known_eer[weakest])} at"
            f" {HEADLINE_S} s ({known_eer[weakest].n} speakers); best: {best},"
            f" {linkage_report.percent(known_eer[best])} ({known_eer[best].n} speakers)."
        )
    return sentences


def headline_system(privacy: Mapping[str, Any]) -> str:
    """The default pseudonym, or else the last system attacked."""
    return HEADLINE_SYSTEM if HEADLINE_SYSTEM in privacy["systems"] else list(privacy["systems"])[-1]


def strongest_by_corpus(privacy: Mapping[str, Any], system: str) -> dict[str, Estimates]:
    """EER of the strongest attacker on a system.

    Returns
    -------
    Corpus (first ``all`` together) to ``eer_5s``, ``eer_15s`` and ``eer_28s``, as far as there are
    speakers with so much speech.
    """
    parts = by_part(estimates_of(privacy)[system]["privacy"])
    of_fewer_pairs = f", {ONE_LANGUAGE}", f", {TWO_SESSIONS}"
    corpora = sorted(part for part in parts.keys() - {"", SAME_SPEAKERS} if not part.endswith(of_fewer_pairs))
    by_corpus = {
        part or ALL_CORPORA: {f"eer_{x}s": eer for x, eer in strongest_eers(parts.get(part, {}), LENGTHS_S).items()}
        for part in ("", *corpora)
    }
    return {name: figures for name, figures in by_corpus.items() if figures}


def write(report: Mapping[str, Any], text: str, out: Path) -> None:
    """Write ``report.json`` and ``report.md``, which holds ``text``, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    files.write(out / "report.json", (json.dumps(report, indent=2, allow_nan=False) + "\n").encode(), force=True)
    files.write(out / "report.md", text.encode(), force=True)


def markdown(report: Mapping[str, Any]) -> str:
    """The report, of this or an older schema, as tables with notes."""
    report = migrate_report(report)
    corpora, privacy = report["corpora"], report["privacy"]
    lines = ["# Evaluation", "", *(f"- {sentence}" for sentence in report["claims"]), ""]
    made_by = f"Weights `{(report['weights_sha256'] or 'unsaved')[:12]}`, SAIC {report['versions']['saic']}."
    lines += [f"{made_by} Command: `{report['command']}`. Seed {report['seed']}.", ""]
    pictures = [f"![{_PICTURES[name]}](plots/{name})" for name in overview.file_names(report)]
    lines += ["## In figures", "", *pictures, ""] if pictures else []
    lines += _attackers_by_corpus(privacy) + _words_by_corpus(corpora)
    notes = dict(_NOTES)
    for name, of_corpus in corpora.items():
        lines += _corpus_tables(name, of_corpus, notes)
    if corpora:
        lines += ["## All figures", "", _NOTES["all"].format(kbps=KBPS, least=MIN_INTERVAL_SPEAKERS)]
    if privacy is not None:
        lines.append(linkage_report.markdown(privacy))
    return "\n".join(lines)


def topic_markdown(report: Mapping[str, Any], topic: str) -> str:
    """The tables of a topic, of all corpora, with their notes."""
    lines: list[str] = []
    if topic == "attackers":
        privacy = linkage_report.markdown(report["privacy"]).partition("\n\n")[2]  # without its title
        lines += [*_attackers_by_corpus(report["privacy"]), privacy]
    if topic == "words":
        lines += _words_by_corpus(report["corpora"])
    notes = dict(_NOTES)
    for name, of_corpus in report["corpora"].items():
        lines += _tables(name, estimates_of(of_corpus), notes, _TOPICS[topic].tables)
    return "\n".join(lines)


def topic_command(report: Mapping[str, Any], topic: str) -> str:
    """The command that measures a topic alone."""
    splits = [of_corpus["data"]["split"] for of_corpus in report["corpora"].values()]
    split = report["privacy"]["data"]["split"] if topic == "attackers" else splits[0]
    only = " ".join(f"--only {measure}" for measure in _TOPICS[topic].measures)
    return f"saic evaluate --data DATA --split {split} --seed {report['seed']} {only} --out REPORT"


def _attackers_by_corpus(privacy: Mapping[str, Any] | None) -> list[str]:
    """A table for the headline, and one for each other profile that changes the prosody."""
    if privacy is None:
        return []
    profiles = (name for name in COMPARED_PROFILES if name in privacy["systems"])
    lines, notes = [], _NOTES["headline"]
    for system in dict.fromkeys((headline_system(privacy), *profiles)):
        by_corpus = strongest_by_corpus(privacy, system)
        lengths = dict.fromkeys(name for figures in by_corpus.values() for name in figures)
        columns = {name: f"EER at {name.removeprefix('eer_').removesuffix('s')} s, %" for name in lengths}
        lines += table(f"Strongest attacker on `{system}`, by corpus", columns, by_corpus, notes, first="Corpus")
        notes = ""
    return lines


def _words_by_corpus(corpora: Mapping[str, Mapping[str, Any]]) -> list[str]:
    words = {}
    for name, of_corpus in corpora.items():
        estimates = estimates_of(of_corpus)
        words |= {f"{name} {part}".strip(): _words(estimates, part) for part in ("", ADULTS, CHILDREN)}
    words = {name: figures for name, figures in words.items() if known(figures, _WORDS_BY_CORPUS)}
    if not words:
        return []
    title = f"Words of `{HEADLINE_SYSTEM}`, by corpus"
    notes = _NOTES["words_by_corpus"].format(age=MAX_CHILD_AGE)
    return table(title, with_values(_WORDS_BY_CORPUS, words), words, notes, first="Corpus")


def _words(systems: Mapping[str, Mapping[str, Estimates]], part: str) -> Estimates:
    """Word errors of the default pseudonym, with those of the recordings; of a part of the corpus, or of all ("")."""
    of_system, of_recordings = (_of_part(systems.get(name, {}), part) for name in (HEADLINE_SYSTEM, "real"))
    figures = {name: of_system[name] for name in _WORDS_BY_CORPUS if name in of_system}
    return figures | {
        f"{prefix}wer_true_of_recordings": of_recordings[f"{prefix}wer_true"]
        for prefix in RECOGNIZERS.values()
        if f"{prefix}wer_true" in of_recordings
    }


def _of_part(groups: Mapping[str, Estimates], part: str) -> Estimates:
    """Figures of utility of a part of the corpus, or of all (""), by their names without the part."""
    return by_part(groups.get("utility", {})).get(part, {})


def _words_by_language(corpus: str, systems: Mapping[str, Mapping[str, Estimates]], notes: dict[str, str]) -> list[str]:
    """A table with a row for each language, and what is left out; nothing if all speak English."""
    parts = {system: by_part(groups.get("utility", {})) for system, groups in systems.items()}
    real = {part: figures for part, figures in parts.get("real", {}).items() if part and "wer_true" in figures}
    languages = sorted(real.keys() - {CHILDREN, ADULTS})
    if not languages:
        return []
    measured = [name for name in languages if any("wer_true_rise" in own.get(name, {}) for own in parts.values())]
    columns = {f"{system}.{name}": label for (system, name), label in _WORDS_BY_LANGUAGE.items()}
    rows = {
        part or ALL_LANGUAGES: {
            f"{system}.{name}": parts[system][part][name]
            for system, name in _WORDS_BY_LANGUAGE
            if name in parts.get(system, {}).get(part, {})
        }
        for part in (*measured, "")
    }
    lines = []
    if measured:
        note = notes.pop("languages", "").format(
            recordings=MAX_RECORDINGS_WER, copy=MAX_COPY_WER, speakers=MIN_CONTROL_SPEAKERS
        )
        title = f"Words by language: {corpus}"
        lines = table(title, with_values(columns, rows), rows, note, first="Language", level=3)
    if left_out := [_why_left_out(name, real[name]["wer_true"].value) for name in languages if name not in measured]:
        lines += [f"- Left out of the words of {corpus}: {', '.join(left_out)}.", ""]
    return lines


def _why_left_out(language: str, error: float | None) -> str:
    if error is None:
        return f"`{language}` (no text, or no recognizer that knows it)"
    if error > MAX_RECORDINGS_WER:
        return f"`{language}` (error of the recordings: {error:.0f} %)"
    return f"`{language}` (a copy has other words than the recordings)"


def _corpus_tables(corpus: str, of_corpus: Mapping[str, Any], notes: dict[str, str]) -> list[str]:
    """The lines on one corpus. Notes are taken out of ``notes``, so that each is written once."""
    data, systems = of_corpus["data"], estimates_of(of_corpus)
    left_out = data["left_out"]
    lines = [
        f"## Corpus {corpus}",
        "",
        f"Split `{data['split']}`, {data['gallery_speakers']} enrolled speakers (chance"
        f" {data['chance_percent']:.1f} %), {data['trials']} trials. Left out: {left_out['short']} speakers with less"
        f" than {MIN_SPEAKER_S:g} s of audio, {left_out['silent']} with too little speech.",
        "",
    ]
    if any("disentanglement" in groups for groups in systems.values()):  # else it was a quick run, without pictures
        folder, drawn = f"plots/{corpus}", "Figure 5 of the paper"
        if any("identity" in groups for groups in systems.values()):
            drawn = "Figures 4 and 5 of the paper, and target top-1 of each speaker"
        lines += [f"{drawn}: [{folder}]({folder}).", ""]
    return lines + _tables(corpus, systems, notes)


def _tables(
    corpus: str,
    systems: Mapping[str, Mapping[str, Estimates]],
    notes: dict[str, str],
    only: Container[str] | None = None,
) -> list[str]:
    """The tables on one corpus, or some of them."""
    lines = []
    for name, (group, title, columns) in _SYSTEM_TABLES.items():
        rows = {system: groups[group] for system, groups in systems.items() if group in groups}
        rows = {system: figures for system, figures in rows.items() if known(figures, columns)}
        if rows and (only is None or name in only):
            lines += table(f"{title}: {corpus}", with_values(columns, rows), rows, notes.pop(name, ""), level=3)
    if only is None or "languages" in only:
        lines += _words_by_language(corpus, systems, notes)
    for system, group, title, first in _ROW_TABLES:
        if (figures := systems.get(system, {}).get(group)) and (only is None or group in only):
            lines += _row_table(figures, f"{title}: {corpus}", first, notes.pop(group, ""))
    return lines


def _row_table(figures: Estimates, title: str, first: str, notes: str) -> list[str]:
    """A table of figures that are named ROW.COLUMN."""
    rows: dict[str, Estimates] = {}
    for name, estimate in figures.items():
        row, column = name.split(".")
        rows.setdefault(row, {})[column] = estimate
    columns = dict.fromkeys(name for figures in rows.values() for name in figures)
    units = {name: next(figures[name].unit for figures in rows.values() if name in figures) for name in columns}
    headings = {name: _LABELS.get(name, name.replace("_", " ").capitalize()) for name in columns}
    headings |= {name: f"{headings[name]}, {unit}" for name, unit in units.items() if unit != name}
    return table(title, with_values(headings, rows), rows, notes, first=first, level=3)
