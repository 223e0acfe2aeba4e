"""The About tab: method, limits, what happens to recordings, model card and evaluation."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from markdown_it import MarkdownIt

from saic.web import texts


@dataclass(frozen=True)
class Documents:
    """Documents that the page shows, as HTML."""

    evaluation: str = texts.NO_EVALUATION
    model_card: str | None = None

    @classmethod
    def read(cls, root: Path, weights_sha256: str | None) -> "Documents":
        """Read the documents of a copy of the repository; an installed package has none.

        Parameters
        ----------
        root : folder of the repository
        weights_sha256 : of the loaded weights; an evaluation of other weights is marked as such
        """
        evaluation, card = texts.NO_EVALUATION, None
        report = root / "benchmarks" / "evaluation" / "report.json"
        try:
            measured = json.loads(report.read_text(encoding="utf-8"))["weights_sha256"]
            text = report.with_suffix(".md").read_text(encoding="utf-8")
            evaluation = ("" if measured == weights_sha256 else texts.OTHER_WEIGHTS) + to_html(text)
        except (OSError, ValueError, KeyError):
            pass  # missing: the page says so
        if (path := root / "MODEL_CARD.md").is_file():
            card = to_html(without_figures(path.read_text(encoding="utf-8")))
        return cls(evaluation, card)


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


def build_tab(documents: Documents, info: dict) -> None:
    """Lay out the tab; `info` is the output of `Pipeline.info`."""
    with gr.Column(elem_classes="about"):
        gr.Markdown(texts.ABOUT)
        gr.HTML(texts.PICTURE)
        gr.Markdown(texts.RETENTION)
        gr.Markdown(texts.LIMITS_AND_ETHICS)
        gr.Markdown(_model_info(info))
        if documents.model_card:
            with gr.Accordion("Model card", open=False):
                gr.HTML(documents.model_card)
        with gr.Accordion("Evaluation", open=False):
            gr.HTML(documents.evaluation)


def _model_info(info: dict) -> str:
    size, count = info.get("size_bytes"), info.get("parameters", {}).get("total")
    facts = [
        f"{count / 1e6:.1f} million parameters" if count else None,
        f"{size / 2**20:.0f} MB" if size else None,
        f"vocoder: {info['vocoder']}" if info.get("vocoder") else None,
        f"weights `{info['sha256'][:12]}`" if info.get("sha256") else None,
    ]
    return "## What is loaded\n\n" + ", ".join(filter(None, facts)) + ". Code: Apache-2.0."
