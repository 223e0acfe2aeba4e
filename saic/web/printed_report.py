"""The report of a conversion as an HTML file to print or to file: one page, without scripts, links or images."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from saic.evaluation.protection import Protection
from saic.web.protection_card import not_protected, verdict
from saic.web.similarity import number
from saic.web.texts import ENGLISH, Texts, decimal, percent, translated

_STYLE = """
body { font: 11pt/1.45 system-ui, "Segoe UI", Roboto, Arial, sans-serif; color: #14242b; max-width: 17cm;
  margin: 1.5cm auto; padding: 0 .5cm; }
h1 { font-size: 16pt; margin: 0 0 .2cm; } h2 { font-size: 12pt; margin: .6cm 0 .15cm; }
.verdict { border: 1.5pt solid #14242b; border-radius: 4pt; padding: .25cm .4cm; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top;
  padding: .08cm .3cm .08cm 0; border-bottom: .5pt solid #c6d2d5; } th { width: 38%; font-weight: 600; }
td { overflow-wrap: anywhere; } p, ul { margin: .15cm 0; } .soft { color: #48595f; font-size: 9.5pt; }
@page { margin: 1.5cm; } @media print { body { margin: 0; max-width: none; } }
"""


def printed_report(
    report: Mapping[str, Any],
    protection: Protection,
    linkage: str,
    texts: Texts = ENGLISH,
    made: datetime | None = None,
) -> str:
    """HTML of a report.

    Parameters
    ----------
    report : as `saic.file_report.build` gives it
    protection : the measurements in it
    linkage : a sentence on attackers
    texts : of the reader's language
    made : date of the report; None: today (UTC)
    """
    _, sentence = verdict(protection, texts)
    made, similarity = made or datetime.now(UTC), report["similarity"]
    settings, notes, judge = report["settings"], report["notes"], report["judge"]
    words, length_s, rate_khz = report["words_kept"], f"{report['duration_s']:.1f}", f"{settings['rate_hz'] / 1000:g}"
    usual = {"same": similarity["usual_same_person"], "different": similarity["usual_two_people"]}
    facts = {
        "made": texts.PRINTED_MADE.format(date=f"{made:%Y-%m-%d}", version=report["versions"]["saic"]),
        "voice": texts.VOICE_KINDS[settings["voice"]],
        "register": texts.REGISTERS.get(settings["register"], "-"),
        "profile": f"{texts.PROFILE_NAMES[report['profile']]}. {texts.PROFILES[report['profile']]}",
        "length": f"{decimal(texts, length_s)} s, {decimal(texts, rate_khz)} kHz",
        "similarity": texts.PRINTED_SIMILARITY.format(
            before=number(similarity["before"], texts), after=number(similarity["after"], texts)
        ),
        "usual": texts.PRINTED_USUAL.format(**{name: _range(typical, texts) for name, typical in usual.items()}),
        "judge": texts.PRINTED_JUDGE.format(
            name=translated(texts, judge["name"]), basis=translated(texts, judge["basis"])
        )
        + ("" if judge["independent"] else ". " + texts.NOT_INDEPENDENT),
        "words": texts.PRINTED_NO_WORDS if words is None else percent(100 * words),
        "weights": report["weights_sha256"] or "-",
        "wav": report["output_sha256"],
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(texts.PRINTED[name])}</th><td>{escape(fact)}</td></tr>'
        for name, fact in facts.items()
    )
    noted = "".join(f"<li>{escape(translated(texts, note))}</li>" for note in notes)
    return f"""<!doctype html>
<html lang="{texts.CODE}"><head><meta charset="utf-8"><title>{texts.PRINTED_TITLE}</title>
<style>{_STYLE}</style></head><body>
<h1>{texts.PRINTED_TITLE}</h1>
<p class="soft">{texts.PRINTED_NOTE}</p>
<p class="verdict">{sentence}</p>
<table>{rows}</table>
{f"<h2>{texts.PRINTED_NOTES}</h2><ul>{noted}</ul>" if notes else ""}
{not_protected(report["profile"], linkage, texts).replace("h3>", "h2>")}
<p>{texts.PRINTED_NO_PATIENT}</p>
</body></html>
"""


def _range(typical: Mapping[str, float], texts: Texts) -> str:
    return texts.RANGE.format(low=number(typical["low"], texts), high=number(typical["high"], texts))
