"""How a text is said: espeak-ng's phonemes in the alphabet of Kokoro, one character each."""

import re
import subprocess

# espeak-ng writes IPA; Kokoro was trained on an alphabet that spends one letter on each diphthong and
# affricate. The first list applies while phonemes are still set apart by "_", so that two phonemes which
# merely meet ("nutshell") stay two. The others apply to the joined string, in order.
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
    ("ɹɹ", "ɹ"),  # "for a": espeak-ng links the words with an r that the vowel already has
)


def phonemes(text: str, accent: str) -> str:
    """Spell a text in Kokoro's alphabet; ``accent`` is "en-us" or "en-gb". Punctuation stays as pauses."""
    # espeak-ng swallows punctuation, so it sees one clause at a time.
    clauses = re.findall(r"([^,.;:!?]+)([,.;:!?]?)\s*", text)
    spelled = " ".join(_espeak(words, accent) + mark for words, mark in clauses)
    for old, new in (*_ONE_PHONEME, ("_", ""), *_BY_ACCENT[accent], *_ANY_ACCENT):
        spelled = spelled.replace(old, new)
    return spelled


def _espeak(text: str, accent: str) -> str:
    """IPA of one clause, phonemes set apart by ``_``."""
    command = ["espeak-ng", "-q", "--ipa=1", "-v", accent, text]
    return " ".join(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
