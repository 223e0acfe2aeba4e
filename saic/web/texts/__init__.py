"""The texts of the page in several languages: one module a language, with the same names in each.

The browser translates what is on the page from the start (`PageTexts`, by Gradio's `gr.I18n`), and
the server what it writes later (`texts_for`). Both go by the first language of the browser, and
both use English where there is no translation. The API is in English.

Another language is one more module here, listed in `LANGUAGES`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import ModuleType

import gradio as gr
from gradio.i18n import I18nData

from saic.web.texts import de, en, es, fr

Texts = ModuleType
"""The texts of one language."""

ENGLISH: Texts = en
LANGUAGES: dict[str, Texts] = {texts.CODE: texts for texts in (en, de, es, fr)}

_PLACEHOLDER = re.compile(r"\\{(\w+)\\}")
_DECIMAL = re.compile(r"-?\d+\.\d+")


def texts_for(request: gr.Request | None) -> Texts:
    """The texts for the sender of a request; English for a program, which names no language."""
    headers = getattr(request, "headers", None) or {}
    return texts_of(dict(headers).get("accept-language"))


def texts_of(accept_language: str | None) -> Texts:
    """The texts for a header Accept-Language.

    As in Gradio's front end, only its first language counts, and its region does not: "de-AT, fr" is
    German. That language is ``navigator.language`` of the browser.
    """
    first = re.split(r"[,;-]", accept_language or "", maxsplit=1)[0]
    return LANGUAGES.get(first.strip().lower(), ENGLISH)


def translated(texts: Texts, message: str) -> str:
    """A sentence of the library, which is in English; itself if it is none of `MESSAGES`."""
    for name, pattern in _patterns().items():
        if match := pattern.fullmatch(message):
            values = {key: _value(texts, value) for key, value in match.groupdict().items()}
            return texts.MESSAGES[name].format(**values)
    return message


def decimal(texts: Texts, number: str) -> str:
    """A number with the decimal separator of a language."""
    return number.replace(".", texts.DECIMAL)


def percent(value: float) -> str:
    """A rounded figure in %, with a space that no line break replaces."""
    return f"{value:.0f}\N{NO-BREAK SPACE}%"


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Name of each message to its English sentence, with its placeholders as groups."""
    messages = ENGLISH.MESSAGES.items()
    return {name: re.compile(_PLACEHOLDER.sub(r"(?P<\1>.+?)", re.escape(message))) for name, message in messages}


def _value(texts: Texts, value: str) -> str:
    """A number, name or message in a message."""
    return decimal(texts, value) if _DECIMAL.fullmatch(value) else translated(texts, value)


class PageTexts:
    """The texts that a page has from the start, in all languages: the browser chooses.

    ``texts.TITLE`` is the text of that name; ``texts(lambda texts: ...)`` is one that is made of
    texts of one language. A component takes both as its label, info, value or choice.
    """

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[Texts], str]] = {}

    def __getattr__(self, name: str) -> I18nData:
        if not isinstance(getattr(ENGLISH, name, None), str):
            raise AttributeError(f"There is no text {name}.")
        return self._add(name, lambda texts: getattr(texts, name))

    def __call__(self, make: Callable[[Texts], str]) -> I18nData:
        return self._add(str(len(self._makers)), make)

    def choices(self, name: str, keys: Iterable[str] | None = None) -> list[tuple[I18nData, str]]:
        """The texts of a dictionary and their keys, as a radio button takes them; None: all keys."""
        keys = getattr(ENGLISH, name) if keys is None else keys
        return [(self._add(f"{name}-{key}", lambda texts, key=key: getattr(texts, name)[key]), key) for key in keys]

    @property
    def i18n(self) -> gr.I18n:
        """All texts that were asked for so far, for Gradio."""
        return gr.I18n(**{code: self._in(texts) for code, texts in LANGUAGES.items()})

    def _add(self, name: str, make: Callable[[Texts], str]) -> I18nData:
        key = f"saic-{name}"  # no label of a component, and no text of Gradio's own, has such a name
        self._makers[key] = make
        return I18nData(key)

    def _in(self, texts: Texts) -> Mapping[str, str]:
        return {key: make(texts) for key, make in self._makers.items()}
