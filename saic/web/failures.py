"""What a user is told when something fails, and what the log is: never a path, a name or a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from saic.errors import SaicError
from saic.web.logs import report


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn every exception into a `gr.Error` that holds one plain sentence.

    A `SaicError` is the user's to solve: its own sentence is shown. Anything else is ours: the user gets an
    id, and the log the id with the place in the code, without the exception's message: it may quote a path.
    """
    try:
        yield
    except gr.Error:
        raise
    except SaicError as error:
        raise _plain(str(error)) from None
    except Exception as error:
        raise _plain(f"Something went wrong on the server. Try again, or report event {report(error)}.") from None


def ask_for(missing: str) -> gr.Error:
    """Warn that something is missing; returns an error to raise, which silently stops what follows."""
    gr.Warning(missing)
    return gr.Error(missing, visible=False, print_exception=False)


def _plain(sentence: str) -> gr.Error:
    """An error that stays until it is closed, and prints nothing to the console."""
    return gr.Error(sentence, duration=None, print_exception=False)
