"""The Evaluation tab: what was measured on many recordings."""

import threading

import gradio as gr

from saic.web import texts
from saic.web.documents import Documents
from saic.web.evaluation import evaluation_html


class Evaluation:
    """What the tab shows, drawn at its first use.

    Parameters
    ----------
    documents : with the report
    headline : HTML of the headline
    """

    def __init__(self, documents: Documents, headline: str) -> None:
        self._documents, self._headline = documents, headline
        self._lock = threading.Lock()
        self._html: str | None = None

    def show(self) -> str:
        """HTML of the tab."""
        with self._lock:
            if self._html is None:
                self._html = self._draw()
            return self._html

    def _draw(self) -> str:
        report = self._documents.report
        if report is None:
            return texts.NO_EVALUATION
        note = "" if self._documents.is_of_weights else texts.OTHER_WEIGHTS
        try:
            return note + self._headline + evaluation_html(report)
        except (LookupError, TypeError, ValueError, AttributeError):  # it has the form of no report
            return texts.NO_EVALUATION


def build_tab() -> gr.HTML:
    """Lay out the tab; returns what `Evaluation.show` fills."""
    gr.HTML(texts.EVALUATION)
    return gr.HTML(texts.EVALUATION_WAITING, elem_id="evaluation", min_height=300)
