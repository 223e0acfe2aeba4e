"""Errors as a visitor sees them: one sentence, never a path, a name or a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from saic.errors import SaicError
from saic.web.server.logs import report
from saic.web.texts import texts_for, translated


@contextmanager
def gradio_errors(request: gr.Request | None = None) -> Iterator[None]:
    """Turn every exception into a `gr.Error` with one sentence, in the language of a request.

    The message of a `SaicError` is shown: the visitor can act on it. Any other exception is a bug.
    The visitor gets an event number; the log gets the number and the place in the code, without the
    exception's message, which may quote a path.
    """
    try:
        yield
    except gr.Error:
        raise
    except SaicError as error:
        raise _error(translated(texts_for(request), str(error))) from None
    except Exception as error:
        raise _error(texts_for(request).SERVER_ERROR.format(event=report(error))) from None


def missing_input(message: str) -> gr.Error:
    """Show a warning that an input is missing; returns an invisible error to raise.

    Raising it ends the event.
    """
    gr.Warning(message)
    return gr.Error(message, visible=False, print_exception=False)


def _error(sentence: str) -> gr.Error:
    """An error that stays until the visitor closes it. Gradio prints no traceback for it."""
    return gr.Error(sentence, duration=None, print_exception=False)
