"""Documents of the repository that the page shows."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from saic.evaluation.report_parts import SCHEMA
from saic.web.linkage import Linkage, read_linkage
from saic.web.unseen import UnseenMaps


@dataclass(frozen=True)
class Documents:
    """Documents that the page shows, and figures from them.

    Attributes
    ----------
    report : the evaluation's report.json, if there is one of the present schema
    is_of_weights : whether the report was measured with the loaded weights
    model_card : HTML
    linkage : figures of each system, if they were measured with the loaded weights
    unseen : maps of unseen speakers, if they were made with the loaded weights
    reconstruction_top1 : how often Resemblyzer names the speaker of a reconstruction, in percent, on the
        corpus where it does so most often; None if that was not measured with the loaded weights
    """

    report: Mapping[str, Any] | None = None
    is_of_weights: bool = True
    model_card: str | None = None
    linkage: Mapping[str, Linkage] = field(default_factory=dict)
    unseen: UnseenMaps | None = None
    reconstruction_top1: float | None = None

    @classmethod
    def read(cls, root: Path, weights_sha256: str | None) -> "Documents":
        """Read the documents of a copy of the repository; an installed package has none.

        Parameters
        ----------
        root : folder of the repository
        weights_sha256 : of the loaded weights
        """
        folder, card = root / "benchmarks" / "evaluation", None
        report = _read_report(folder / "report.json")
        if (path := root / "MODEL_CARD.md").is_file():
            card = to_html(without_figures(path.read_text(encoding="utf-8")))
        is_of_weights = report is None or report.get("weights_sha256") == weights_sha256
        unseen = UnseenMaps.read(folder, report, weights_sha256)
        top1 = _reconstruction_top1(report) if report and is_of_weights else None
        return cls(report, is_of_weights, card, read_linkage(folder, weights_sha256), unseen, top1)


def _read_report(path: Path) -> Mapping[str, Any] | None:
    """A report of the present schema; None for another file or none."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return report if report["schema"] == SCHEMA else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _reconstruction_top1(report: Mapping[str, Any]) -> float | None:
    """Resemblyzer's largest figure of all corpora, see `Documents.reconstruction_top1`."""
    figures = [
        corpus["systems"].get("reconstruction", {}).get("identity", {}).get("source_top1", {}).get("value")
        for corpus in report.get("corpora", {}).values()
    ]
    return max((figure for figure in figures if figure is not None), default=None)


def line_to_html(markdown: str) -> str:
    """HTML of one line, such as a heading."""
    return MarkdownIt("commonmark").renderInline(markdown)


def to_html(markdown: str) -> str:
    """HTML of a document; each table is in a frame that can be scrolled by keyboard."""
    body = MarkdownIt("commonmark").enable("table").render(for_page(markdown))
    frame = '<div class="table" tabindex="0" role="group" aria-label="Table"><table>'
    return f'<div class="report" lang="en">{body.replace("<table>", frame).replace("</table>", "</table></div>")}</div>'


def for_page(markdown: str) -> str:
    """Remove the title, images and links into the repository; lower each heading by one level."""
    body = re.sub(r"\A# .*\n", "", markdown)
    body = re.sub(r"!\[[^\]]*\]\([^)]*\)\n?", "", body)
    body = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", body)
    return re.sub(r"^(#+) ", r"#\1 ", body, flags=re.MULTILINE).strip()


def without_figures(markdown: str) -> str:
    """Remove the section "Figures" of a model card: the evaluation shows the figures."""
    return re.sub(r"^## Figures\n.*?(?=^## |\Z)", "", markdown, flags=re.MULTILINE | re.DOTALL)
