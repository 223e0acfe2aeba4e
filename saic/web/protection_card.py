"""The verdict on a conversion, and the card "What was measured", as HTML."""

from typing import Literal

from saic.evaluation.protection import Protection, Similarity, SpeakerVerifier, TypicalRange
from saic.web import texts

AsrStatus = Literal["absent", "running", "stopped"]
"""Why the share of words kept is missing: there is no ASR, it still runs, or it was stopped."""


def verdict(protection: Protection) -> tuple[str, str]:
    """A word for the color of the verdict ("good", "some", "little" or "unknown"), and its sentence."""
    after, verifier = protection.source.after, protection.verifier
    if after is None:
        return "unknown", texts.VERDICT_UNKNOWN
    if after <= verifier.different.high:
        return "good", texts.VERDICT_DIFFERENT
    if after < verifier.same.low:
        return "some", texts.VERDICT_BETWEEN
    return "little", texts.VERDICT_SAME


def verdict_html(protection: Protection) -> str:
    """HTML of the verdict."""
    word, sentence = verdict(protection)
    return f'<p class="verdict {word}" role="status">{sentence}</p>'


def protection_card(protection: Protection, asr_status: AsrStatus, profile: str, linkage: str) -> str:
    """HTML of the card.

    Parameters
    ----------
    protection : the measurements
    asr_status : matters only if `words_kept` is None
    profile : of the conversion
    linkage : a sentence on attackers
    """
    verifier = protection.verifier
    parts = [_similarity_scale("Similarity to the speaker", protection.source, verifier)]
    if protection.target is None:
        parts.append(f'<p class="soft">{texts.PSEUDONYM_TARGET}</p>')
    else:
        parts.append(_similarity_scale("Similarity to the new voice", protection.target, verifier))
    return f"""<section class="card protection"><h2>What was measured, and what is not protected</h2>
<div class="columns"><div>{"".join(parts)}{_legend(verifier)}</div>
<div>{_words_kept(protection.words_kept, asr_status)}{texts.profile_used(profile)}
{texts.not_protected(profile, linkage)}</div></div></section>"""


def _similarity_scale(title: str, similarity: Similarity, verifier: SpeakerVerifier) -> str:
    """A scale from 0 to 1 with the two typical ranges, and marks at the two values."""
    before, after = _number(similarity.before), _number(similarity.after)
    marks = "".join(
        f'<span class="mark {name}" style="left:{_percent(value)}"></span>'
        for name, value in (("before", similarity.before), ("after", similarity.after))
        if value is not None
    )
    return f"""<div class="strip"><p><span>{title}</span> <span class="values"><span class="was">{before}</span>
<span aria-hidden="true">→</span><span class="sr-only"> before, </span><strong>{after}</strong>
<span class="sr-only"> after</span></span></p>
<div class="scale" aria-hidden="true" title="{title}: original {before}, swapped voice {after}">
{_band("different", verifier.different)}{_band("same", verifier.same)}{marks}</div></div>"""


def _band(name: str, typical: TypicalRange) -> str:
    left, right = _percent(typical.low), _percent(1 - typical.high)
    return f'<span class="band {name}" style="left:{left};right:{right}"></span>'


def _legend(verifier: SpeakerVerifier) -> str:
    note = texts.SIMILARITY_NOTE.format(verifier=verifier.name, basis=verifier.basis)
    if not verifier.independent:
        note += f" {texts.NOT_INDEPENDENT}"
    return f"""<ul class="key">
<li><span class="swatch different"></span>two people: usually {_range(verifier.different)}</li>
<li><span class="swatch same"></span>one person: usually {_range(verifier.same)}</li>
<li><span class="swatch before"></span>original</li><li><span class="swatch after"></span>swapped voice</li></ul>
<p class="soft">{note}</p>"""


def _words_kept(share: float | None, asr_status: AsrStatus) -> str:
    text = texts.WORDS_NOT_COUNTED[asr_status] if share is None else texts.WORDS_KEPT.format(share=share)
    return f'<h3>Words kept</h3><p id="words-kept">{text}</p>'


def _range(typical: TypicalRange) -> str:
    return f"{typical.low:.2f} to {typical.high:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no "-0.00"


def _percent(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.1f}%"
