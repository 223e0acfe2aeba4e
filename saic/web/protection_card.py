"""The card "What was protected", as HTML."""

from typing import Literal

from saic.web import texts
from saic.web.protection import Judge, Likeness, Protection

Count = Literal["absent", "listening", "stopped"]
"""Why there is no figure of words: nothing can count them, they are being counted, or that was stopped."""


def protection_card(found: Protection, count: Count = "absent") -> str:
    """Draw a `Protection`; `count` says why it has no words."""
    judge = found.judge
    parts = [_verdict(found), _strip("Similarity to the speaker", "to its own voice", found.source, judge)]
    if found.target is None:
        parts.append('<p class="soft">The new voice belongs to nobody, so there is nothing to compare it with.</p>')
    else:
        parts.append(_strip("Similarity to the new voice", "to the new voice", found.target, judge))
    return f"""<section class="card protection"><h2>What was protected, in this recording</h2>
<div class="columns"><div>{"".join(parts)}{_key(judge)}</div>
<div>{_words(found.words_kept, count)}{texts.NOT_PROTECTED}</div></div></section>"""


def _verdict(found: Protection) -> str:
    after, judge = found.source.after, found.judge
    if after is None:
        said = "The swapped voice holds too little that a listening machine takes for speech to say anything."
    elif after > judge.different.high and after >= judge.same.low:
        said = "<strong>Little.</strong> A listening machine may still take the swapped voice for the speaker."
    elif after > judge.different.high:
        said = "<strong>Some.</strong> The swapped voice is less like the speaker, yet more alike than strangers are."
    else:
        said = "<strong>The voice.</strong> The swapped voice is as unlike the speaker as strangers usually are."
    return f'<p class="verdict">{said}</p>'


def _strip(title: str, whose: str, likeness: Likeness, judge: Judge) -> str:
    """A scale from 0 to 1 with what is usual, and the two values on it."""
    before, after = _figure(likeness.before), _figure(likeness.after)
    marks = "".join(
        f'<span class="mark {name}" style="left:{_percent(value)}"></span>'
        for name, value in (("before", likeness.before), ("after", likeness.after))
        if value is not None
    )
    return f"""<div class="strip"><p><span>{title}</span> <span class="values"><span class="was">{before}</span>
<span aria-hidden="true">→</span><span class="sr-only"> before, </span><strong>{after}</strong>
<span class="sr-only"> after</span></span></p>
<div class="scale" aria-hidden="true" title="The original {before}, the swapped voice {after} {whose}">
{_band("different", judge.different)}{_band("same", judge.same)}{marks}</div></div>"""


def _band(name: str, usual) -> str:
    return f'<span class="band {name}" style="left:{_percent(usual.low)};right:{_percent(1 - usual.high)}"></span>'


def _key(judge: Judge) -> str:
    doubt = "" if judge.independent else " It took part in the conversion, so it is no independent judge."
    return f"""<ul class="key">
<li><span class="swatch different"></span>two people: usually {_range(judge.different)}</li>
<li><span class="swatch same"></span>one person: usually {_range(judge.same)}</li>
<li><span class="swatch before"></span>original</li><li><span class="swatch after"></span>swapped voice</li></ul>
<p class="soft">Cosine similarity, heard by {judge.name}. Usual: 90 % of the natural recordings of {judge.basis}. The
original is compared with itself by its two halves.{doubt}</p>"""


def _words(kept: float | None, count: Count) -> str:
    if kept is not None:
        said = f"An English speech recogniser hears {kept:.0%} of the words that it hears in the original."
    else:
        said = texts.NOT_COUNTED[count]
    return f'<h3>Words kept</h3><p id="words-kept">{said}</p>'


def _range(usual) -> str:
    return f"{usual.low:.2f} to {usual.high:.2f}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2) + 0.0:.2f}"  # no "-0.00"


def _percent(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.1f}%"
