"""The web page: record or upload speech, convert it to another voice, and hear the result."""

from saic.web.documents import Documents
from saic.web.examples import Example, load_examples
from saic.web.page import build_page
from saic.web.server.logs import keep_plain
from saic.web.server.serve import Server, ended_by_signals, launch

__all__ = [
    "Documents",
    "Example",
    "Server",
    "build_page",
    "ended_by_signals",
    "keep_plain",
    "launch",
    "load_examples",
]
