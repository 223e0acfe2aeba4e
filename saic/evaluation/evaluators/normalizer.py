"""Normalization of transcripts and texts by their language, before words or characters are compared."""

from collections.abc import Callable
from functools import cache

from saic.errors import missing_package

ENGLISH = "en"
WITHOUT_SPACES = ("ja", "km", "lo", "my", "th", "yue", "zh")
"""Languages that are written without spaces between words: their characters are counted instead."""


def base_language(language: str) -> str:
    """The language of a code with a region: "sv" of "sv-SE". A recognizer knows no regions.

    Several codes that are joined by "+" stay joined, if their languages differ.
    """
    return "+".join(sorted({code.partition("-")[0].lower() for code in language.split("+")}))


def normalize(text: str, language: str = ENGLISH) -> str:
    """Whisper's text normalizers (Radford et al. 2022, appendix C).

    English: spelling, numbers, contractions. Use it on both texts of a comparison: its output is not
    proper English ("o'clock" becomes "0 clock"). The package adds four contractions to Whisper's
    ("kinda", "sorta", "dunno", "cause").

    Any other language: lower case, without punctuation, symbols and what is in brackets. Letters and
    combining marks stay, such as the vowel signs of Hindi. :data:`WITHOUT_SPACES` lose all spaces,
    since recognizers set them at will.

    Parameters
    ----------
    language
        Code of the language, with or without a region.

    Raises
    ------
    UsageError
        The package is missing.
    """
    language = base_language(language)
    normalized = _normalizer(language == ENGLISH)(text).strip()
    return "".join(normalized.split()) if language in WITHOUT_SPACES else normalized


def require_normalizer() -> None:
    """Raise UsageError now, and not after the first transcript, if the normalizer's package is missing."""
    _normalizer(True)


@cache
def _normalizer(is_english: bool) -> Callable[[str], str]:
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise missing_package("Measuring WER needs whisper-normalizer.", "eval") from error
    return EnglishTextNormalizer() if is_english else BasicTextNormalizer(preserve_marks=True)
