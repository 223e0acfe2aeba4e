"""Text to phonemes in Kokoro's alphabet, one character each, by espeak-ng."""

import re
import subprocess

# espeak-ng gives IPA; Kokoro's alphabet has one letter for each diphthong and affricate. The first
# list is applied while phonemes are separated by "_", so that two adjacent phonemes, as t and ʃ in
# "nutshell", are not replaced by one letter. The others are applied to the joined string, in order.
_ONE_PHONEME = (
    ("əl", "ᵊl"),
    ("aɪ", "I"),
    ("aʊ", "W"),
    ("eɪ", "A"),
    ("ɔɪ", "Y"),
    ("oʊ", "O"),
    ("əʊ", "Q"),
    ("dʒ", "ʤ"),
    ("tʃ", "ʧ"),
)
_BY_ACCENT = {
    "en-us": (("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", "")),
    "en-gb": (("eə", "ɛː"), ("iə", "ɪə")),
}
_ANY_ACCENT = (
    ("n̩", "ᵊn"),
    ("ʔ", "t"),
    ("ɚ", "əɹ"),
    ("ɐ", "ə"),
    ("ɾ", "T"),
    ("r", "ɹ"),
    ("x", "k"),
    ("ç", "k"),
    ("ɬ", "l"),
    ("e", "A"),
    ("ɹɹ", "ɹ"),  # "for a": espeak-ng adds a linking r after a vowel that has one already
)


def phonemes(text: str, accent: str) -> str:
    """Phonemes of a text in Kokoro's alphabet; ``accent`` is "en-us" or "en-gb".

    Punctuation is kept, for pauses.
    """
    # espeak-ng drops punctuation, so it gets one clause at a time.
    clauses = re.findall(r"([^,.;:!?]+)([,.;:!?]?)\s*", text)
    spelled = " ".join(_espeak(words, accent) + mark for words, mark in clauses)
    for old, new in (*_ONE_PHONEME, ("_", ""), *_BY_ACCENT[accent], *_ANY_ACCENT):
        spelled = spelled.replace(old, new)
    return spelled


def _espeak(text: str, accent: str) -> str:
    """IPA of one clause, phonemes separated by ``_``."""
    command = ["espeak-ng", "-q", "--ipa=1", "-v", accent, text]
    return " ".join(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
