"""The About tab: method, limits, what happens to recordings, model card and evaluation."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from markdown_it import MarkdownIt

from saic.web.linkage import Linkage, linkage_html, linkage_sentence, read_linkage
from saic.web.picture import picture_html
from saic.web.texts import ENGLISH, PageTexts, Texts, decimal


@dataclass(frozen=True)
class Documents:
    """Documents that the page shows, as HTML, and figures from them.

    Attributes
    ----------
    linkage : figures of each system, if they were measured with the loaded weights
    """

    evaluation: str = ENGLISH.NO_EVALUATION
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
        return cls(report + privacy or ENGLISH.NO_EVALUATION, card, read_linkage(folder, weights_sha256))


def _read_report(path: Path, weights_sha256: str | None) -> tuple[str, bool]:
    """HTML of a report, and whether the linkage evaluation is a part of it.

    Parameters
    ----------
    path : without the suffixes .json and .md; if one is missing, the HTML is empty
    """
    try:
        report = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        html = to_html(path.with_suffix(".md").read_text(encoding="utf-8"))
        note = "" if report["weights_sha256"] == weights_sha256 else ENGLISH.OTHER_WEIGHTS
        return note + html, bool(report.get("privacy"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", False


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


def build_tab(
    model_card: str | None,
    evaluation: str,
    info: dict,
    figures: Mapping[str, Linkage],
    default: str,
    texts: PageTexts,
) -> None:
    """Lay out the tab.

    Parameters
    ----------
    model_card, evaluation : HTML, in English
    info : the output of `Pipeline.info`
    figures : of the profiles and of original speech
    default : the profile of a page on which none was chosen
    texts : of the page
    """

    def limits(texts: Texts) -> str:
        return texts.LIMITS_AND_ETHICS.format(linkage=linkage_sentence(figures.get(default), texts))

    with gr.Column(elem_classes="about"):
        gr.Markdown(texts.ABOUT)
        gr.HTML(texts(picture_html))
        gr.Markdown(texts.RETENTION)
        gr.Markdown(texts(limits))
        gr.Markdown(texts(lambda texts: _model_info(info, texts)))
        if model_card:
            with gr.Accordion(texts.MODEL_CARD, open=False):
                gr.HTML(model_card)
        with gr.Accordion(texts.EVALUATION_LABEL, open=False):
            gr.HTML(texts(lambda texts: linkage_html(figures, default, texts)))
            gr.HTML(evaluation)


def _model_info(info: dict, texts: Texts) -> str:
    size, count = info.get("size_bytes"), info.get("parameters", {}).get("total")
    facts = [
        texts.LOADED_PARAMETERS.format(millions=decimal(texts, f"{count / 1e6:.1f}")) if count else None,
        texts.LOADED_SIZE.format(megabytes=f"{size / 2**20:.0f}") if size else None,
        texts.LOADED_VOCODER.format(vocoder=info["vocoder"]) if info.get("vocoder") else None,
        texts.LOADED_WEIGHTS.format(weights=info["sha256"][:12]) if info.get("sha256") else None,
    ]
    return texts.LOADED.format(facts=", ".join(filter(None, facts)))
