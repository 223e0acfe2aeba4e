"""The About tab: method, limits, what happens to recordings, and model card."""

import gradio as gr

from saic.web import texts


def build_tab(model_card: str | None, info: dict, linkage: str) -> None:
    """Lay out the tab.

    Parameters
    ----------
    model_card : HTML
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


def _model_info(info: dict) -> str:
    size, count = info.get("size_bytes"), info.get("parameters", {}).get("total")
    facts = [
        f"{count / 1e6:.1f} million parameters" if count else None,
        f"{size / 2**20:.0f} MB" if size else None,
        f"vocoder: {info['vocoder']}" if info.get("vocoder") else None,
        f"weights `{info['sha256'][:12]}`" if info.get("sha256") else None,
    ]
    return "## What is loaded\n\n" + ", ".join(filter(None, facts)) + ". Code: Apache-2.0."
