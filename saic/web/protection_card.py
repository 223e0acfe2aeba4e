"""The verdict on a conversion, and the card "What was measured", as HTML."""

from typing import Literal

from saic.evaluation.protection import Protection, Similarity, SpeakerVerifier, TypicalRange
from saic.web.similarity import bands, number, place
from saic.web.texts import ENGLISH, Texts, translated

AsrStatus = Literal["absent", "running", "stopped", "wordless"]
"""Why the share of words kept is missing: there is no ASR, it still runs, it was stopped, or it found no words."""


def verdict(protection: Protection, texts: Texts = ENGLISH) -> tuple[str, str]:
    """A word for the color of the verdict ("good", "some", "little" or "unknown"), and its sentence."""
    after, verifier = protection.source.after, protection.verifier
    if after is None:
        return "unknown", texts.VERDICT_UNKNOWN
    if after <= verifier.different.high:
        return "good", texts.VERDICT_DIFFERENT
    if after < verifier.same.low:
        return "some", texts.VERDICT_BETWEEN
    return "little", texts.VERDICT_SAME


def verdict_html(protection: Protection, texts: Texts = ENGLISH) -> str:
    """HTML of the verdict, and what to do next."""
    word, sentence = verdict(protection, texts)
    next_step = f" {texts.VERDICT_NEXT[word]}" if word in texts.VERDICT_NEXT else ""
    return f'<p class="verdict {word}">{sentence}{next_step}</p>'


def protection_card(
    protection: Protection, asr_status: AsrStatus, profile: str, linkage: str, texts: Texts = ENGLISH
) -> str:
    """HTML of the card.

    Parameters
    ----------
    protection : the measurements
    asr_status : matters only if `words_kept` is None
    profile : of the conversion
    linkage : a sentence on attackers
    texts : of the page's language
    """
    verifier = protection.verifier
    parts = [_similarity_scale(texts.SIMILARITY_SOURCE, protection.source, verifier, texts)]
    if protection.target is None:
        parts.append(f'<p class="soft">{texts.PSEUDONYM_TARGET}</p>')
    else:
        parts.append(_similarity_scale(texts.SIMILARITY_TARGET, protection.target, verifier, texts))
        parts.append(f'<p class="soft">{texts.KNOWN_TARGET}</p>')
    return f"""<section class="card protection"><h2>{texts.SIMILARITY_TITLE}</h2>
<div class="columns"><div>{"".join(parts)}{_legend(verifier, texts)}</div>
<div>{_words_kept(protection.words_kept, asr_status, texts)}{_profile_used(profile, texts)}
{not_protected(profile, linkage, texts)}</div></div></section>"""


def not_protected(profile: str, linkage: str, texts: Texts = ENGLISH) -> str:
    """HTML of what is not protected; arguments as for `protection_card`."""
    return texts.NOT_PROTECTED.format(stays=texts.STAYS[profile], linkage=linkage)


def _profile_used(profile: str, texts: Texts) -> str:
    return texts.PROFILE_USED.format(name=texts.PROFILE_NAMES[profile], profile=texts.PROFILES[profile])


def _similarity_scale(title: str, similarity: Similarity, verifier: SpeakerVerifier, texts: Texts) -> str:
    """A scale from 0 to 1 with the two typical ranges, and marks at the two values."""
    before, after = (number(value, texts) for value in (similarity.before, similarity.after))
    spoken = texts.SIMILARITY_SCALE.format(title=title, before=before, after=after)
    marks = "".join(
        f'<span class="mark {name}" style="left:{place(value)}"></span>'
        for name, value in (("before", similarity.before), ("after", similarity.after))
        if value is not None
    )
    return f"""<div class="strip"><p><span>{title}</span> <span class="values"><span class="was">{before}</span>
<span aria-hidden="true">→</span><span class="sr-only"> {texts.SIMILARITY_BEFORE} </span><strong>{after}</strong>
<span class="sr-only"> {texts.SIMILARITY_AFTER}</span></span></p>
<div class="scale" aria-hidden="true" title="{spoken}">
{bands(verifier.same, verifier.different)}{marks}</div></div>"""


def _legend(verifier: SpeakerVerifier, texts: Texts) -> str:
    note = texts.SIMILARITY_NOTE.format(
        verifier=translated(texts, verifier.name), basis=translated(texts, verifier.basis)
    )
    if not verifier.independent:
        note += f" {texts.NOT_INDEPENDENT}"
    ranges = {"same": _range(verifier.same, texts), "different": _range(verifier.different, texts)}
    return f"""{texts.SIMILARITY_LEGEND.format(**ranges)}
<p class="soft">{note}</p>"""


def _words_kept(share: float | None, asr_status: AsrStatus, texts: Texts) -> str:
    kept = "" if share is None else texts.WORDS_KEPT.format(percent=f"{100 * share:.0f}")
    return f'<h3>{texts.WORDS_TITLE}</h3><p id="words-kept">{kept or texts.WORDS_NOT_COUNTED[asr_status]}</p>'


def _range(typical: TypicalRange, texts: Texts) -> str:
    return texts.RANGE.format(low=number(typical.low, texts), high=number(typical.high, texts))
