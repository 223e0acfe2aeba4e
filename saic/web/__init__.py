"""The web page: record or upload a voice, choose another, hear the same words in it."""

from saic.web.about import Documents
from saic.web.examples import Example, load_examples
from saic.web.page import build_page
from saic.web.serve import launch

__all__ = ["Documents", "Example", "build_page", "launch", "load_examples"]
