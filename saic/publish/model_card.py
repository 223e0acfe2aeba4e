"""The model card that is uploaded with weights: a description, and the figures of a report."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from saic.errors import UsageError
from saic.migration import migrate_report

TASK = "audio-to-audio"

_FIGURES = {  # GROUP.FIGURE of a report: the Hub's name of the metric, its heading
    "identity.target_top1": ("accuracy", "Target top-1, %"),
    "identity.source_top1": ("accuracy", "Source top-1, %"),
    "utility.wer": ("wer", "WER, %"),
    "utility.cer": ("cer", "CER, %"),
    "utility.dnsmos_ovrl": ("dnsmos", "DNSMOS OVRL"),
}
_CONTROLS = ("real", "copy_source")
_REQUIRED_KEYS = {"weights_sha256", "command", "evaluators", "corpora", "privacy", "claims"}
"""Keys that a report must have, after its old keys have been renamed."""

_TEXT = """\
# {name}

SAIC weights. They convert speech to another voice and keep the words. They also give speaker embeddings,
which tell whether two recordings are of the same person.

```python
import saic

pipeline = saic.Pipeline.from_pretrained("{repo}", revision="COMMIT")
conversion = pipeline.convert("patient.wav", "other.wav")
```

COMMIT is the full hash of a commit of this repository, 40 hexadecimal digits. The library accepts no other revision,
checks every file against `SHA256SUMS`, and reads only safetensors and JSON.

**It changes the voice, not the words.** Spoken names, dates and places stay in the recording, and so does the manner of
speaking. Only use the voice of a person who agreed to it, and do not put recordings of patients on a public server.

If `config.json` has a phone encoder, the content encoder contains the acoustic model of the package hama (Seongmin
Park, Apache-2.0), fine-tuned.

## Figures

{figures}
"""
_NO_FIGURES = "None: these weights were uploaded without a report of `saic evaluate`. Their privacy was not measured."
_ABOUT = """\
From `{command}`: averages over speakers with 95 % intervals. All figures and the hashes of weights and data are in
`report.json`.

{claims}

EER is the equal error rate; guessing gives 50 %.{tables}

The other systems are controls: `replay_target` is the target's own recording, `copy_source` the unchanged source."""


def model_card(repo: str, report: Mapping[str, Any] | None, license: str | None) -> str:
    """README.md of a model repository, front matter included.

    Parameters
    ----------
    repo
        ORG/NAME.
    report
        A report from :func:`read_report`, or None.
    license
        An identifier of the Hub's list of licenses, such as "cc-by-4.0"; None states none.
    """
    name = repo.partition("/")[2]
    data = ModelCardData(
        model_name=name if report else None,  # the Hub uses it only together with results
        library_name="saic",
        pipeline_tag=TASK,
        tags=["saic", "voice-conversion", "speaker-anonymization"],
        license=license,
        eval_results=_results(report) if report else None,
    )
    text = _TEXT.format(name=name, repo=repo, figures=_figures(report) if report else _NO_FIGURES)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


def read_report(path: Path, weights_sha256: str) -> dict[str, Any]:
    """A report of ``saic evaluate``, also of older versions.

    Raises
    ------
    UsageError
        The file cannot be read, or the report is of other weights.
    """
    try:
        report = migrate_report(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, RecursionError):
        raise UsageError("The report cannot be read. Name the report.json of saic evaluate.") from None
    if not report.keys() >= _REQUIRED_KEYS:
        raise UsageError("This version cannot read this report. Run saic evaluate again and name its report.json.")
    if report["weights_sha256"] != weights_sha256:
        raise UsageError("The report is of other weights. Run saic evaluate on these, or leave the report out.")
    return report


def _estimates(systems: Mapping[str, Any], system: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A system's figures with a value: GROUP.FIGURE, estimate."""
    for name in _FIGURES:
        group, _, figure = name.partition(".")
        estimate = systems[system].get(group, {}).get(figure)
        if estimate is not None and estimate["value"] is not None:
            yield name, estimate


def _results(report: Mapping[str, Any]) -> list[EvalResult]:
    """The strongest attacker's EER of each system, and the figures of ``convert`` on each corpus."""
    return [*_privacy_results(report["privacy"]), *_conversion_results(report["corpora"])]


def _privacy_results(privacy: Mapping[str, Any] | None) -> Iterator[EvalResult]:
    if privacy is None:
        return
    data = privacy["data"]
    for system, by_length in privacy["worst"].items():
        for length, attacker in by_length.items():
            has_all = length == "all"
            estimate = privacy["systems"][system]["privacy"].get(f"{attacker}.eer_{length}{'' if has_all else 's'}")
            if system not in _CONTROLS and estimate is not None:
                speech = "all speech of a person" if has_all else f"{length} s of speech"
                name = f"EER of the strongest attacker on {system}, {speech}, %"
                dataset = f"{estimate['n']} speakers of {', '.join(data['corpora'])}"
                yield _result(dataset, data["split"], "eer", name, estimate)


def _conversion_results(corpora: Mapping[str, Any]) -> Iterator[EvalResult]:
    for corpus, of_corpus in corpora.items():
        data = of_corpus["data"]
        dataset = f"{data['gallery_speakers']} speakers of {corpus}, manifest {data['manifest_sha256'][:12]}"
        if "convert" in of_corpus["systems"]:
            for name, estimate in _estimates(of_corpus["systems"], "convert"):
                yield _result(dataset, data["split"], *_FIGURES[name], estimate)


def _result(dataset: str, split: str, metric: str, name: str, estimate: Mapping[str, Any]) -> EvalResult:
    return EvalResult(
        task_type=TASK,
        task_name="Speaker anonymization",
        dataset_type="manifest",
        dataset_name=dataset,
        dataset_split=split,
        metric_type=metric,
        metric_name=name,
        metric_value=round(estimate["value"], 2),
        metric_args={key: estimate[key] and round(estimate[key], 2) for key in ("low", "high", "n")},
    )


def _figures(report: Mapping[str, Any]) -> str:
    return _ABOUT.format(
        command=report["command"],
        claims="\n".join(f"- {sentence}" for sentence in report["claims"]),
        tables="".join(f"\n\n{_table(corpus, of_corpus)}" for corpus, of_corpus in report["corpora"].items()),
    )


def _table(corpus: str, of_corpus: Mapping[str, Any]) -> str:
    """The figures on one corpus, below its name and size."""
    data, systems = of_corpus["data"], of_corpus["systems"]
    rows = {
        system: {name: _cell(estimate) for name, estimate in estimates}
        for system in systems
        if (estimates := list(_estimates(systems, system)))
    }
    columns = {name: heading for name, (_, heading) in _FIGURES.items() if any(name in row for row in rows.values())}
    table = [["System", *columns.values()], ["---"] * (len(columns) + 1)]
    table += [[f"`{system}`", *(row.get(name, "-") for name in columns)] for system, row in rows.items()]
    lines = (f"| {' | '.join(cells)} |" for cells in table)
    title = f"### {corpus}: {data['gallery_speakers']} speakers, {data['trials']} trials"
    return "\n".join([title, "", *lines])


def _cell(estimate: Mapping[str, Any]) -> str:
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.1f}, {estimate['high']:.1f}]"
    return f"{estimate['value']:.1f}{interval}"
