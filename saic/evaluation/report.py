"""The report of an evaluation: report.json in a fixed schema, report.md to read.

::

    {schema, command, seed, weights_sha256, versions,
     data {manifest_sha256, split, gallery_speakers, chance_percent, trials, left_out},
     systems {NAME: {identity: {FIGURE: {value, low, high, n, unit}}}}}

A system holds one group of figures for each measure that was run.
"""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saic.evaluation.codec import KBPS
from saic.evaluation.corpus import Corpus
from saic.evaluation.trials import MIN_GALLERY_S

SCHEMA = 1

_PACKAGES = ("saic", "torch", "numpy", "librosa", "av", "resemblyzer")

_COLUMNS = {
    "target_top1": "Target top-1, %",
    "target_top1_same_sex": "same sex",
    "target_top1_cross_sex": "cross sex",
    "target_rank": "Target rank",
    "source_top1": "Source top-1, %",
    "source_rank": "Source rank",
    "no_speech": "No speech, %",
}

_NOTES = """\
- Target top-1: share of outputs whose best match among the enrolled speakers is the target. Source top-1: the
  same for the source speaker. Rank: mean place of that speaker, 1 = best. `real` is Resemblyzer's own
  accuracy on real speech: no system can be expected to do better than that.
- `replay_target` plays the reference, `copy_source` the source: a high target top-1 alone shows neither that
  the words survived nor that the source is hidden.
- Averages over source speakers, with 95 % intervals from a bootstrap by speaker. An interval without width at
  0 or 100 % only says that all speakers agree.
- All audio, before and after a system, passed one {kbps} kb/s MP3 round trip, because some corpora hold some
  speakers as MP3. There is no row without it yet.
- Enrolment, source and reference of a speaker are from the same session in most corpora: these are
  same-session figures.
- Resemblyzer never trained this model, but was probably trained on VoxCeleb and LibriSpeech-other.
- The paper's 96.1 % is on a gallery of 1,251 speakers: not comparable with a gallery of another size.
"""


def build(
    corpus: Corpus,
    systems: Mapping[str, Mapping[str, Any]],
    *,
    command: str,
    seed: int,
    weights_sha256: Any,
    manifest_sha256: str,
    split: str,
) -> dict[str, Any]:
    """Put a report together. ``systems``: system to group ("identity") to figure to leaf."""
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
        "systems": systems,
    }


def versions() -> dict[str, str | None]:
    """What figures may depend on. A package that is not installed, such as a bare source tree, is None."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def write(report: Mapping[str, Any], out: Path) -> None:
    """Write ``report.json`` and ``report.md`` into a folder, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("report.json", json.dumps(report, indent=2, allow_nan=False) + "\n"),
        ("report.md", markdown(report)),
    ):
        partial = out / f"{name}.{os.getpid()}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, out / name)


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table with notes."""
    data = report["data"]
    left_out = data["left_out"]
    lines = [
        "# Evaluation",
        "",
        f"Split `{data['split']}`, gallery of {data['gallery_speakers']} speakers (chance"
        f" {data['chance_percent']:.1f} %), {data['trials']} trials, seed {report['seed']}. Left out:"
        f" {left_out['short']} speakers with less than {MIN_GALLERY_S:g} s of audio,"
        f" {left_out['silent']} with too little speech.",
        "",
        "## Identity (Resemblyzer)",
        "",
        "| System | " + " | ".join(_COLUMNS.values()) + " | Speakers |",
        "| --- |" + " --- |" * (len(_COLUMNS) + 1),
    ]
    for system, groups in report["systems"].items():
        leaves = groups["identity"]
        cells = [_cell(leaves.get(name)) for name in _COLUMNS]
        lines.append(f"| `{system}` | " + " | ".join(cells) + f" | {leaves['source_top1']['n']} |")
    return "\n".join([*lines, "", _NOTES.format(kbps=KBPS)])


def _cell(leaf: Mapping[str, Any] | None) -> str:
    if leaf is None or leaf["value"] is None:
        return "-"
    if leaf["low"] is None:
        return f"{leaf['value']:.1f}"
    return f"{leaf['value']:.1f} [{leaf['low']:.1f}, {leaf['high']:.1f}]"
