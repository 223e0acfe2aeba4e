"""The report of a conversion as an HTML file to print or to file: one page, without scripts, links or images."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from saic.evaluation.protection import Protection
from saic.web import texts
from saic.web.protection_card import verdict

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
    report: Mapping[str, Any], protection: Protection, linkage: str, made: datetime | None = None
) -> str:
    """HTML of a report.

    Parameters
    ----------
    report : as `saic.file_report.build` gives it
    protection : the measurements in it
    linkage : a sentence on attackers
    made : date of the report; None: today (UTC)
    """
    _, sentence = verdict(protection)
    made, similarity = made or datetime.now(UTC), report["similarity"]
    settings, notes = report["settings"], report["notes"]
    words = report["words_kept"]
    facts = {
        "Made": f"{made:%Y-%m-%d}, with SAIC {report['versions']['saic']}",
        "New voice": texts.VOICE_KINDS[settings["voice"]],
        "Register": settings["register"] or "-",
        "Way of speaking": texts.PROFILE_NAMES[report["profile"]] + ". " + texts.PROFILES[report["profile"]],
        "Length": f"{report['duration_s']:.1f} s, {settings['rate_hz'] / 1000:g} kHz",
        "Similarity to the speaker": f"{_number(similarity['before'])} before, {_number(similarity['after'])} after",
        "Usual similarity": f"{_range(similarity['usual_same_person'])} for recordings of one person, "
        f"{_range(similarity['usual_two_people'])} for two people",
        "Measured by": f"{report['judge']['name']} on {report['judge']['basis']}"
        + ("" if report["judge"]["independent"] else ". " + texts.NOT_INDEPENDENT),
        "Words kept": "not counted" if words is None else f"{words:.0%}",
        "Weights (SHA-256)": report["weights_sha256"] or "-",
        "WAV file (SHA-256)": report["output_sha256"],
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(fact)}</td></tr>' for name, fact in facts.items()
    )
    noted = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Anonymized recording</title><style>{_STYLE}</style></head><body>
<h1>Anonymized recording</h1>
<p class="soft">{texts.PRINTED_NOTE}</p>
<p class="verdict">{sentence}</p>
<table>{rows}</table>
{f"<h2>Notes on the recording</h2><ul>{noted}</ul>" if notes else ""}
{texts.not_protected(report["profile"], linkage).replace("h3>", "h2>")}
<p>{texts.NO_PATIENT}</p>
</body></html>
"""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _range(typical: Mapping[str, float]) -> str:
    return f"{typical['low']:.2f} to {typical['high']:.2f}"
