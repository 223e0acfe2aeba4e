"""The About tab: method, limits, what happens to recordings, and model card."""

import gradio as gr

from saic.web.linkage import Linkage, linkage_sentence
from saic.web.picture import picture_html
from saic.web.texts import PageTexts, Texts, decimal


def build_tab(model_card: str | None, info: dict, linkage: Linkage | None, texts: PageTexts) -> None:
    """Lay out the tab.

    Parameters
    ----------
    model_card : HTML, in English
    info : the output of `Pipeline.info`
    linkage : figures of the default profile
    texts : of the page
    """

    def limits(texts: Texts) -> str:
        return texts.LIMITS_AND_ETHICS.format(linkage=linkage_sentence(linkage, texts))

    with gr.Column(elem_classes="about"):
        gr.Markdown(texts.ABOUT)
        gr.HTML(texts(picture_html))
        gr.Markdown(texts.RETENTION)
        gr.Markdown(texts(limits))
        gr.Markdown(texts(lambda texts: _model_info(info, texts)))
        if model_card:
            with gr.Accordion(texts.MODEL_CARD, open=False):
                gr.HTML(model_card)


def _model_info(info: dict, texts: Texts) -> str:
    size, count = info.get("size_bytes"), info.get("parameters", {}).get("total")
    facts = [
        texts.LOADED_PARAMETERS.format(millions=decimal(texts, f"{count / 1e6:.1f}")) if count else None,
        texts.LOADED_SIZE.format(megabytes=f"{size / 2**20:.0f}") if size else None,
        texts.LOADED_VOCODER.format(vocoder=info["vocoder"]) if info.get("vocoder") else None,
        texts.LOADED_WEIGHTS.format(weights=info["sha256"][:12]) if info.get("sha256") else None,
    ]
    return texts.LOADED.format(facts=", ".join(filter(None, facts)))
