"""What the server writes of a failure: where it happened and of which kind, never what it was about.

Gradio and uvicorn print whole tracebacks, and an exception's message quotes what was sent: names, paths, words.
"""

import logging
import secrets
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace

from gradio import queueing, route_utils, routes

_OWN = "saic"


class PlainFormatter(logging.Formatter):
    """Records of this project as they are; of any other only who says it, how grave it is, and where it failed."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        own = record.name.partition(".")[0] == _OWN
        said = record.getMessage() if own else f"{record.levelname.lower()} of {record.name}"
        plain = logging.makeLogRecord({"created": record.created, "msg": said + (f": {place(error)}" if error else "")})
        return super().format(plain)


def place(error: BaseException) -> str:
    """Kind of an exception and where it was raised, without its message."""
    steps = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(steps[-1].filename).name}:{steps[-1].lineno}" if steps else ""
    return f"{type(error).__name__}{where}"


def report(error: BaseException) -> str:
    """Log an exception under a new number, and return that number."""
    number = secrets.token_hex(4)
    logging.getLogger(__name__).error("event %s: %s", number, place(error))
    return number


def keep_plain() -> None:
    """Make this process write plainly, whoever in it reports a failure."""
    logging.basicConfig(handlers=[_handler()], level=logging.WARNING, force=True)
    logging.getLogger("saic.web").setLevel(logging.INFO)
    logging.captureWarnings(True)  # a warning quotes a line of code and a value
    sys.excepthook = lambda kind, error, trace: report(error)
    threading.excepthook = lambda failed: report(failed.exc_value) if failed.exc_value else None
    sys.unraisablehook = lambda failed: report(failed.exc_value) if failed.exc_value else None


def quieten_libraries() -> None:
    """Make Gradio, uvicorn and asyncio write plainly; they serve the requests."""
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_handler()], False
    plain = SimpleNamespace(**vars(traceback))
    plain.print_exc = lambda *_, **__: report(sys.exc_info()[1]) if sys.exc_info()[1] else None
    for module in (queueing, route_utils, routes):
        module.traceback = plain
        module.print = lambda *_, **__: None


def _handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter())
    return handler
