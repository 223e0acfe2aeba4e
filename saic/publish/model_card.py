"""The model card that goes with weights to the Hub: what they are, and the figures of their report.json."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from saic.errors import UsageError

TASK = "audio-to-audio"

_FIGURES = {  # GROUP.FIGURE of a report: the Hub's name of the metric, its heading
    "identity.target_top1": ("accuracy", "Taken for the target, %"),
    "identity.source_top1": ("accuracy", "Taken for the source, %"),
    "utility.wer": ("wer", "Word errors, %"),
    "utility.cer": ("cer", "Character errors, %"),
    "utility.dnsmos_ovrl": ("dnsmos", "DNSMOS"),
}
_ATTACKERS = {"ignorant": "Ignorant attacker", "lazy": "Lazy-informed attacker", "semi": "Semi-informed attacker"}

_TEXT = """\
# {name}

SAIC weights: speech in, the same words in another voice out. They also embed voices,
to tell whether two recordings are of one person.

```python
import saic

pipeline = saic.Pipeline.from_pretrained("{repo}", revision="COMMIT")
conversion = pipeline.convert("patient.wav", "other.wav")
```

COMMIT is the full name of a commit of this repository, 40 hexadecimal digits. The library takes no other name, checks
every file against `SHA256SUMS`, and reads nothing but safetensors and JSON.

**It changes the voice, not the words.** Names, dates and places that are spoken stay in the recording, and so does the
manner of speaking. Only use the voice of a person who agreed to it, and don't put recordings of patients on a public
server.

Where `config.json` has a listener, the content encoder holds the acoustic model of the package hama (Seongmin Park,
Apache-2.0), changed by training.

## Figures

{figures}
"""
_NO_FIGURES = "None: no report of `saic evaluate` came with these weights. How well they hide a voice is not known."
_ABOUT = """\
Of `{command}` on {speakers} speakers, {trials} trials; averages over speakers with 95 % intervals. All of them, with
the hashes of weights and data, are in `report.json`.

{table}

The other systems are controls: `replay_target` plays the target's own recording, `copy_source` the unchanged source.
An attacker's figure is an equal error rate, 50 % for a guess; in brackets it carries no claim, since that attacker errs
too often on originals."""


def model_card(repo: str, report: Mapping[str, Any] | None, license: str | None) -> str:
    """README.md of a model repository, front matter included.

    Parameters
    ----------
    repo
        ORG/NAME.
    report
        What :func:`read_report` gave, or None.
    license
        An identifier that the Hub knows, such as "cc-by-4.0"; None leaves it open.
    """
    name = repo.partition("/")[2]
    data = ModelCardData(
        model_name=name if report else None,  # the Hub reads it beside results alone
        library_name="saic",
        pipeline_tag=TASK,
        tags=["saic", "voice-conversion", "speaker-anonymization"],
        license=license,
        eval_results=_results(report) if report else None,
    )
    text = _TEXT.format(name=name, repo=repo, figures=_figures(report) if report else _NO_FIGURES)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


def read_report(path: Path, weights_sha256: str) -> dict[str, Any]:
    """A report of ``saic evaluate``; :class:`UsageError` if it cannot be read or is of other weights."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        missing = {"weights_sha256", "command", "data", "judges", "systems", "claims"} - report.keys()
    except (OSError, ValueError, AttributeError):
        raise UsageError("The report cannot be read. Name the report.json of saic evaluate.") from None
    if missing:
        raise UsageError("This is no report of this version. Run saic evaluate again and name its report.json.")
    if report["weights_sha256"] != weights_sha256:
        raise UsageError("The report is of other weights. Run saic evaluate on these, or leave the report out.")
    return report


def _columns(report: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Figures that a card shows: GROUP.FIGURE to the metric's name and heading."""
    attackers = {
        f"privacy.{judge}.eer_{attacker}": ("eer", f"{label} ({judge}), EER %")
        for judge in report["judges"]["embedders"]
        for attacker, label in _ATTACKERS.items()
    }
    return _FIGURES | attackers


def _leaves(report: Mapping[str, Any], system: str) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Those of a system that are known: name, leaf, and whether a claim may be made from it."""
    claims = report["claims"].get(system, {})
    for name in _columns(report):
        group, _, figure = name.partition(".")
        leaf = report["systems"][system].get(group, {}).get(figure)
        if leaf is not None and leaf["value"] is not None:
            yield name, leaf, group != "privacy" or claims.get(figure, True)


def _results(report: Mapping[str, Any]) -> list[EvalResult]:
    """The figures of a conversion, as far as a claim may be made from them."""
    data = report["data"]
    return [
        EvalResult(
            task_type=TASK,
            task_name="Speaker anonymization",
            dataset_type="manifest",
            dataset_name=f"{data['gallery_speakers']} speakers of manifest {data['manifest_sha256'][:12]}",
            dataset_split=data["split"],
            metric_type=_columns(report)[name][0],
            metric_name=_columns(report)[name][1],
            metric_value=round(leaf["value"], 2),
            metric_args={key: leaf[key] and round(leaf[key], 2) for key in ("low", "high", "n")},
        )
        for name, leaf, may_claim in _leaves(report, "convert")
        if may_claim
    ]


def _figures(report: Mapping[str, Any]) -> str:
    rows = {
        system: {name: _cell(leaf) if may_claim else f"({_cell(leaf)})" for name, leaf, may_claim in leaves}
        for system in report["systems"]
        if (leaves := list(_leaves(report, system)))
    }
    columns = {
        name: heading for name, (_, heading) in _columns(report).items() if any(name in row for row in rows.values())
    }
    table = [["System", *columns.values()], ["---"] * (len(columns) + 1)]
    table += [[f"`{system}`", *(row.get(name, "-") for name in columns)] for system, row in rows.items()]
    lines = (f"| {' | '.join(cells)} |" for cells in table)
    data = report["data"]
    return _ABOUT.format(
        command=report["command"], speakers=data["gallery_speakers"], trials=data["trials"], table="\n".join(lines)
    )


def _cell(leaf: Mapping[str, Any]) -> str:
    interval = "" if leaf["low"] is None else f" [{leaf['low']:.1f}, {leaf['high']:.1f}]"
    return f"{leaf['value']:.1f}{interval}"
