"""Figures of the linkage evaluation in the sentences and the table of the page."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saic.evaluation.linkage.report import HEADLINE_S, best_top1, strongest
from saic.evaluation.linkage.result import GALLERY_SIZE
from saic.evaluation.report_parts import estimates_of
from saic.web.texts import ENGLISH, Texts, percent

LENGTHS_S = (5, HEADLINE_S, 28)
"""Seconds of speech that an attacker has on each side."""

ORIGINAL = "real"
"""The system of the evaluation that is original speech."""

KNOWN_VOICE = "pseudonym_known_voice"
"""The system whose attacker knows the voice of each output, in the default profile."""


@dataclass(frozen=True)
class Linkage:
    """The strongest of all attackers on one system.

    Attributes
    ----------
    eer
        Seconds of speech to the lowest EER of any attacker, in percent; `HEADLINE_S` is among them.
    top1
        How often an attacker names the right one of `GALLERY_SIZE` people, with `HEADLINE_S` of speech, in
        percent; that of the attacker who does so most often. None if it was not measured.
    speakers
        Number of speakers, with `HEADLINE_S` of speech.
    """

    eer: Mapping[int, float]
    top1: float | None
    speakers: int


def read_linkage(folder: Path, weights_sha256: str | None) -> dict[str, Linkage]:
    """The figures of each system, from ``report.json`` in a folder.

    A report of other weights has none, and neither has a file of another form.
    """
    try:
        privacy = json.loads((folder / "report.json").read_text(encoding="utf-8"))["privacy"]
        return _read_systems(privacy) if privacy["weights_sha256"] == weights_sha256 else {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # there is no such report


def by_profile(linkage: Mapping[str, Linkage], profiles: Iterable[str], default: str) -> dict[str, Linkage]:
    """The figures of profiles, as far as they were measured, and those of `ORIGINAL` and `KNOWN_VOICE`.

    The system ``pseudonym`` has the default profile; the others are named after their profile. Without a key,
    the page draws again while a voice counts as the speaker's own: that is ``pseudonym_unlike``, if it was measured.
    """
    systems = {name: f"pseudonym_{name.replace('-', '_')}" for name in profiles}
    systems[default] = "pseudonym_unlike" if "pseudonym_unlike" in linkage else "pseudonym"
    systems |= {name: name for name in (ORIGINAL, KNOWN_VOICE)}
    return {name: linkage[system] for name, system in systems.items() if system in linkage}


def linkage_sentence(linkage: Linkage | None, texts: Texts = ENGLISH) -> str:
    """How far an attacker links recordings of one profile, for everybody."""
    if linkage is None:
        return texts.LINKAGE_UNKNOWN
    others = [
        texts.LINKAGE_OTHER_LENGTH.format(eer=percent(eer), seconds=length)
        for length, eer in linkage.eer.items()
        if length != HEADLINE_S
    ]
    beside = f" ({', '.join(others)})" if others else ""
    sentence = texts.LINKAGE.format(eer=percent(linkage.eer[HEADLINE_S]), seconds=HEADLINE_S, beside=beside)
    if linkage.top1 is not None:
        sentence += " " + texts.LINKAGE_TOP1.format(top1=percent(linkage.top1), people=GALLERY_SIZE)
    return sentence


def linkage_html(figures: Mapping[str, Linkage], default: str, texts: Texts = ENGLISH) -> str:
    """Headline of the evaluation: a sentence on the default profile, and a table of all profiles."""
    if default not in figures:
        return ""
    first, *others = sorted(figures[default].eer.items(), key=lambda item: item[0] != HEADLINE_S)
    sentence = texts.LINKAGE_HEADLINE.format(
        profile=texts.PROFILE_NAMES[default],
        eer=percent(first[1]),
        seconds=HEADLINE_S,
        others="".join(texts.LINKAGE_HEADLINE_OTHER.format(eer=percent(eer), seconds=length) for length, eer in others),
        speakers=figures[default].speakers,
    )
    rows = {texts.PROFILE_NAMES[name]: figures[name] for name in texts.PROFILE_NAMES if name in figures}
    if KNOWN_VOICE in figures:
        rows[texts.LINKAGE_KNOWN_VOICE.format(profile=texts.PROFILE_NAMES[default])] = figures[KNOWN_VOICE]
    if ORIGINAL in figures:
        rows[texts.LINKAGE_ORIGINAL] = figures[ORIGINAL]
    columns = [texts.LINKAGE_EER.format(seconds=length) for length in LENGTHS_S]
    columns.append(texts.LINKAGE_NAMED.format(people=GALLERY_SIZE))
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(_row(name, linkage) for name, linkage in rows.items())
    return f"""<div class="report"><h3>{texts.LINKAGE_TITLE}</h3><p>{sentence}</p>
<div class="table" tabindex="0" role="group" aria-label="{texts.LINKAGE_LABEL}"><table>
<thead><tr><th scope="col">{texts.LINKAGE_PROFILE}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>
<p class="soft">{texts.LINKAGE_NOTE.format(seconds=HEADLINE_S)}</p></div>"""


def _read_systems(privacy: Mapping[str, Any]) -> dict[str, Linkage]:
    """Figures of the systems whose EER was measured with `HEADLINE_S` of speech."""
    found = {}
    for name, groups in estimates_of(privacy).items():
        estimates = groups.get("privacy", {})
        eers = {length: eer for length in LENGTHS_S if (eer := strongest(estimates, length)[1]) is not None}
        if HEADLINE_S in eers:
            top1 = best_top1(estimates, HEADLINE_S)
            values = {length: eer.value for length, eer in eers.items()}
            found[name] = Linkage(values, None if top1 is None else top1.value, eers[HEADLINE_S].n)
    return found


def _row(name: str, linkage: Linkage) -> str:
    values = [linkage.eer.get(length) for length in LENGTHS_S] + [linkage.top1]
    cells = "".join(f"<td>{'-' if value is None else f'{value:.0f}'}</td>" for value in values)
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'
