"""Logs without personal data: the kind of a failure and its place in the code, never what was sent.

Gradio and uvicorn print whole tracebacks, and an exception's message may quote file names, paths
and spoken words.
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


class RedactingFormatter(logging.Formatter):
    """Keeps personal data out of the log.

    Records of `saic` are written as they are. Of any other record only the level, the logger's name
    and the place of the exception are written.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        own = record.name.partition(".")[0] == _OWN
        message = record.getMessage() if own else f"{record.levelname.lower()} of {record.name}"
        message += f": {location(error)}" if error else ""
        return super().format(logging.makeLogRecord({"created": record.created, "msg": message}))


def location(error: BaseException) -> str:
    """Kind of an exception and where it was raised, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def report(error: BaseException) -> str:
    """Log an exception under a new random number; returns that number."""
    number = secrets.token_hex(4)
    logging.getLogger(__name__).error("event %s: %s", number, location(error))
    return number


def keep_plain() -> None:
    """Redact everything that this process logs: log records, warnings and uncaught exceptions."""
    logging.basicConfig(handlers=[_handler()], level=logging.WARNING, force=True)
    logging.getLogger("saic.web").setLevel(logging.INFO)
    logging.captureWarnings(True)  # a warning quotes a line of code and a value
    sys.excepthook = lambda kind, error, trace: report(error)
    threading.excepthook = lambda failed: report(failed.exc_value) if failed.exc_value else None
    sys.unraisablehook = lambda failed: report(failed.exc_value) if failed.exc_value else None


def redact_libraries() -> None:
    """Redact what Gradio, uvicorn and asyncio log and print: they handle the requests."""
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_handler()], False
    redacted = SimpleNamespace(**vars(traceback))
    redacted.print_exc = lambda *_, **__: report(sys.exc_info()[1]) if sys.exc_info()[1] else None
    for module in (queueing, route_utils, routes):
        module.traceback = redacted
        module.print = lambda *_, **__: None


def _handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter())
    return handler
