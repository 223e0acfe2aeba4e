"""The About tab: method, limits, what happens to recordings, model card and evaluation."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from markdown_it import MarkdownIt

from saic.web import texts
from saic.web.linkage import Linkage, read_linkage


@dataclass(frozen=True)
class Documents:
    """Documents that the page shows, as HTML, and figures from them.

    Attributes
    ----------
    linkage : figures of each system, if they were measured with the loaded weights
    """

    evaluation: str = texts.NO_EVALUATION
    model_card: str | None = None
    linkage: Mapping[str, Linkage] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path, weights_sha256: str | None) -> "Documents":
        """Read the documents of a copy of the repository; an installed package has none.

        Parameters
        ----------
        root : folder of the repository
        weights_sha256 : of the loaded weights; an evaluation of other weights is marked as such
        """
        folder, card = root / "benchmarks" / "evaluation", None
        report, has_linkage = _read_report(folder / "report", weights_sha256)
        privacy, _ = ("", True) if has_linkage else _read_report(folder / "privacy", weights_sha256)
        if (path := root / "MODEL_CARD.md").is_file():
            card = to_html(without_figures(path.read_text(encoding="utf-8")))
        return cls(report + privacy or texts.NO_EVALUATION, card, read_linkage(folder, weights_sha256))


def _read_report(path: Path, weights_sha256: str | None) -> tuple[str, bool]:
    """HTML of a report, and whether the linkage evaluation is a part of it.

    Parameters
    ----------
    path : without the suffixes .json and .md; if one is missing, the HTML is empty
    """
    try:
        report = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        html = to_html(path.with_suffix(".md").read_text(encoding="utf-8"))
        note = "" if report["weights_sha256"] == weights_sha256 else texts.OTHER_WEIGHTS
        return note + html, bool(report.get("privacy"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", False


def to_html(markdown: str) -> str:
    """HTML of a document; each table is in a frame that can be scrolled by keyboard."""
    body = MarkdownIt("commonmark").enable("table").render(for_page(markdown))
    frame = '<div class="table" tabindex="0" role="group" aria-label="Table"><table>'
    return f'<div class="report">{body.replace("<table>", frame).replace("</table>", "</table></div>")}</div>'


def for_page(markdown: str) -> str:
    """Remove the title, images and links into the repository; lower each heading by one level."""
    body = re.sub(r"\A# .*\n", "", markdown)
    body = re.sub(r"!\[[^\]]*\]\([^)]*\)\n?", "", body)
    body = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", body)
    return re.sub(r"^(#+) ", r"#\1 ", body, flags=re.MULTILINE).strip()


def without_figures(markdown: str) -> str:
    """Remove the section "Figures" of a model card: the evaluation shows the figures."""
    return re.sub(r"^## Figures\n.*?(?=^## |\Z)", "", markdown, flags=re.MULTILINE | re.DOTALL)


def build_tab(model_card: str | None, evaluation: str, info: dict, linkage: str) -> None:
    """Lay out the tab.

    Parameters
    ----------
    model_card, evaluation : HTML
    info : the output of `Pipeline.info`
    linkage : a sentence on attackers
    """
    with gr.Column(elem_classes="about"):
        gr.Markdown(texts.ABOUT)
        gr.HTML(texts.PICTURE)
        gr.Markdown(texts.RETENTION)
        gr.Markdown(texts.LIMITS_AND_ETHICS.format(linkage=linkage))
        gr.Markdown(_model_info(info))
        if model_card:
            with gr.Accordion("Model card", open=False):
                gr.HTML(model_card)
        with gr.Accordion("Evaluation", open=False):
            gr.HTML(evaluation)


def _model_info(info: dict) -> str:
    size, count = info.get("size_bytes"), info.get("parameters", {}).get("total")
    facts = [
        f"{count / 1e6:.1f} million parameters" if count else None,
        f"{size / 2**20:.0f} MB" if size else None,
        f"vocoder: {info['vocoder']}" if info.get("vocoder") else None,
        f"weights `{info['sha256'][:12]}`" if info.get("sha256") else None,
    ]
    return "## What is loaded\n\n" + ", ".join(filter(None, facts)) + ". Code: Apache-2.0."
