"""The Evaluation tab: what was measured on many recordings."""

import threading
from collections.abc import Mapping

import gradio as gr

from saic.web.documents import Documents
from saic.web.linkage import Linkage, linkage_html
from saic.web.texts import PageTexts, Texts, texts_for


class Evaluation:
    """What the tab shows, made at its first use in each language.

    Parameters
    ----------
    documents : with the report
    figures : of the profiles and of original speech
    default : the default profile
    """

    def __init__(self, documents: Documents, figures: Mapping[str, Linkage], default: str) -> None:
        self._documents, self._figures, self._default = documents, figures, default
        self._lock = threading.Lock()
        self._html: dict[str, str] = {}
        self._pictures: dict[str, str] = {}

    def show(self, request: gr.Request = None) -> str:
        """HTML of the tab."""
        texts = texts_for(request)
        with self._lock:
            if texts.CODE not in self._html:
                self._html[texts.CODE] = self._draw(texts)
            return self._html[texts.CODE]

    def _draw(self, texts: Texts) -> str:
        from saic.web.evaluation import evaluation_html  # it loads matplotlib, see `saic.plots`

        report = self._documents.report
        if report is None:
            return texts.NO_EVALUATION
        note = "" if self._documents.is_of_weights else texts.OTHER_WEIGHTS
        try:
            headline = linkage_html(self._figures, self._default, texts)
            return note + headline + evaluation_html(report, texts, self._pictures)
        except (LookupError, TypeError, ValueError, AttributeError):  # it has the form of no report
            return texts.NO_EVALUATION


def build_tab(texts: PageTexts) -> gr.HTML:
    """Lay out the tab; returns what `Evaluation.show` fills."""
    gr.HTML(texts.EVALUATION)
    return gr.HTML(texts.EVALUATION_WAITING, elem_id="evaluation", min_height=300)
