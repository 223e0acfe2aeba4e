"""Write the figures of the reports into README.md and MODEL_CARD.md: ``python -m benchmarks.documents``.

The reports are ``benchmarks/evaluation/report.json`` and, of other languages,
``benchmarks/languages/report.json``, which ``saic evaluate`` made. ``report.md`` and its figures
are made from each again. Of the documents, only tables are written. The sentences that quote
figures are written by hand: read them again after a new report. The tests compare some of them with it.

- The model card gets all tables of the report from "Strongest attacker" to the one before "What that
  says", except those of a single attacked system and those that `_NOT_IN_CARD` names.
- The card also gets the table of words by language.
- The card's table of goals gets the column "This report"; its other columns are written by hand.
- The section "Figures" of README gets the tables of `README_TABLES`, with the rows that :func:`readme_rows` chooses.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from saic.evaluation import overview
from saic.evaluation import report as reports
from saic.evaluation.linkage.report import VARIANTS

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks" / "evaluation" / "report.json"
LANGUAGES = ROOT / "benchmarks" / "languages" / "report.json"
BY_LANGUAGE = "Words by language: commonvoice"

README_TABLES = {
    "System": {
        "Target top-1, %": "Identity (Resemblyzer): librispeech",
        "Source top-1, %": "Identity (Resemblyzer): librispeech",
        "WER, %": "Words: librispeech",
        "DNSMOS OVRL": "Sound and prosody: librispeech",
    },
    "Corpus": {
        "EER at 15 s, %": "Strongest attacker on `pseudonym`, by corpus",
        "WER, %": "Words of `pseudonym`, by corpus",
        "WER, true text, %": "Words of `pseudonym`, by corpus",
        "Recordings: WER, true text, %": "Words of `pseudonym`, by corpus",
    },
    "Attacker": dict.fromkeys(
        (
            "EER at 5 s, %",
            "EER at 15 s, %",
            "EER at 28 s, %",
            "top-1 at 15 s, %",
            "On originals, 15 s: EER, %",
        ),
        "Attackers on `pseudonym`",
    ),
    "Input": dict.fromkeys(
        ("WER, %", "Target top-1, %", "WER rise, points", "WER unconverted, %"), "Degraded recordings: librispeech"
    ),
}
"""First header of a README table to its other columns, each with the heading of the report's table that has it."""

GOALS = {
    "WER of the vocoder alone, LibriSpeech, %": ("Words: librispeech", "vocoder", "WER, %"),
    "WER of conversions, LibriSpeech, %": ("Words: librispeech", "convert", "WER, %"),
    "WER of pseudonyms, LibriSpeech, %": ("Words: librispeech", "pseudonym", "WER, %"),
    "WER of conversions above the recording's, Common Voice, points": (
        "Words: commonvoice",
        "convert",
        "WER above the recording's, true text, points",
    ),
    "WER of pseudonyms above the recording's, Common Voice, points": (
        "Words: commonvoice",
        "pseudonym",
        "WER above the recording's, true text, points",
    ),
    "WER of conversions above the recording's, other languages, points": (
        BY_LANGUAGE,
        "all",
        "Conversions above the recordings, points",
    ),
    "WER of pseudonyms above the recording's, other languages, points": (
        BY_LANGUAGE,
        "all",
        "Pseudonyms above the recordings, points",
    ),
    "CER of pseudonyms, speechocean762, adults, %": ("Words of `pseudonym`, by corpus", "speechocean adults", "CER, %"),
    "CER of pseudonyms, speechocean762, children, %": (
        "Words of `pseudonym`, by corpus",
        "speechocean children",
        "CER, %",
    ),
    "WER of conversions above the recording's in noise at 10 dB, LibriSpeech, points": (
        "Degraded recordings: librispeech",
        "noise_10_db",
        "WER above unconverted, points",
    ),
    "WER of conversions above the recording's in a room, LibriSpeech, points": (
        "Degraded recordings: librispeech",
        "room",
        "WER above unconverted, points",
    ),
    "Target top-1, LibriSpeech, %": ("Identity (Resemblyzer): librispeech", "convert", "Target top-1, %"),
    "Target top-1, Common Voice, %": ("Identity (Resemblyzer): commonvoice", "convert", "Target top-1, %"),
    "Source top-1, LibriSpeech, %": ("Identity (Resemblyzer): librispeech", "convert", "Source top-1, %"),
    "EER of the strongest attacker at 5 s, balanced, %": ("Strongest attacker", "pseudonym", "EER at 5 s, %"),
    "EER of the strongest attacker at 15 s, balanced, %": ("Strongest attacker", "pseudonym", "EER at 15 s, %"),
    "EER of the strongest attacker at 28 s, balanced, %": ("Strongest attacker", "pseudonym", "EER at 28 s, %"),
    "EER of the strongest attacker at 5 s, strict, %": ("Strongest attacker", "pseudonym_strict", "EER at 5 s, %"),
    "EER of the strongest attacker at 15 s, strict, %": ("Strongest attacker", "pseudonym_strict", "EER at 15 s, %"),
    "EER of the strongest attacker at 28 s, strict, %": ("Strongest attacker", "pseudonym_strict", "EER at 28 s, %"),
    "Top-1 of the strongest attacker at 15 s, balanced, %": ("Strongest attacker", "pseudonym", "top-1 at 15 s, %"),
    "EER of the attacker `level` at 15 s, balanced, %": ("Attackers on `pseudonym`", "level", "EER at 15 s, %"),
    "WER of balanced above prosody-kept's, LibriSpeech, points": (
        "Price of a profile in words: librispeech",
        "pseudonym",
        "WER, points",
    ),
    "WER of strict above prosody-kept's, LibriSpeech, points": (
        "Price of a profile in words: librispeech",
        "pseudonym_strict",
        "WER, points",
    ),
    "EER of the speaker encoder above Resemblyzer's, 3 s, LibriSpeech, points": (
        "Speaker recognition on real recordings: librispeech",
        "saic",
        "EER of 3 s above Resemblyzer's, points",
    ),
    "DNSMOS OVRL of conversions, LibriSpeech": ("Sound and prosody: librispeech", "convert", "DNSMOS OVRL"),
    "Pauses kept, prosody-kept, LibriSpeech, %": (
        "Sound and prosody: librispeech",
        "pseudonym_prosody_kept",
        "Pauses kept, %",
    ),
    "F0 correlation, prosody-kept, LibriSpeech": (
        "Sound and prosody: librispeech",
        "pseudonym_prosody_kept",
        "F0 correlation",
    ),
}
"""First cell of each row of the card's goals to the place of its figure in the report: heading, row, column."""

FIGURES = re.compile(r"(?<=\n)## Figures\n.*?(?=\n## )", re.S)
TABLE = re.compile(r"(?:^\|.*\n)+", re.M)
_CARD_FIGURES = re.compile(r"(?<=\n)### Strongest attacker\n.*?(?=\n### What that says\n)", re.S)
_CARD_GOALS = re.compile(r"(?<=\n)### Goals of version 1\.0\n.*?(?=\n## )", re.S)
_CARD_BEGINS = (
    "Strongest attacker",
    "Same speakers at all lengths",
    "Strongest attacker on `pseudonym`, by corpus",
    "Strongest attacker on `pseudonym_strict`, by corpus",
    "Against `pseudonym_prosody_kept`",
)
_NOT_IN_CARD = ("Identity by sex", "Identity without the codec")


def main() -> None:
    """Rewrite the tables of both documents, and report.md and figures of both reports."""
    texts = []
    for path in (REPORT, LANGUAGES):
        report = json.loads(path.read_text(encoding="utf-8"))
        overview.save(report, path.parent / "plots")
        texts.append(reports.markdown(report))
        path.with_suffix(".md").write_text(texts[-1], encoding="utf-8")
    text, languages = texts
    for name, rewrite in (("README.md", readme), ("MODEL_CARD.md", partial(model_card, languages=languages))):
        path = ROOT / name
        path.write_text(rewrite(path.read_text(encoding="utf-8"), text), encoding="utf-8")


def readme(document: str, report: str) -> str:
    """The README with the tables of a report in Markdown."""
    found = {heading: cells(table) for heading, table in tables(report).items()}

    def table(match: re.Match[str]) -> str:
        first = match[0][2:].partition(" |")[0]
        columns = README_TABLES[first]
        lines = [[first, *columns], ["---"] * (1 + len(columns))]
        for row in readme_rows(first, found):
            lines.append([row, *(found[heading].get(row, {}).get(name, "-") for name, heading in columns.items())])
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    return FIGURES.sub(lambda section: TABLE.sub(table, section[0]), document)


def readme_rows(first: str, found: Mapping[str, Mapping[str, Mapping[str, str]]]) -> list[str]:
    """First cells of the rows of a README table.

    Parameters
    ----------
    first
        First header of the table.
    found
        Heading of each table of the report to its :func:`cells`.
    """
    if first == "Attacker":  # the strongest first
        attackers = found["Attackers on `pseudonym`"]
        shown = [row for row in attackers if not row.strip("`").endswith(VARIANTS)]
        return sorted(shown, key=lambda row: (row != "`fused`", _value(attackers[row]["EER at 15 s, %"])))
    if first == "Input":  # undegraded, and the two inputs that lose most words
        degraded = found["Degraded recordings: librispeech"]
        by_wer = sorted(degraded, key=lambda row: -_value(degraded[row]["WER, %"]))
        return ["`clean`", *by_wer[:2]]
    return list(found[next(iter(README_TABLES[first].values()))])


def model_card(document: str, report: str, languages: str) -> str:
    """The model card with the tables of a report in Markdown, and of that of other languages."""
    found = tables(report)
    headings = [*_CARD_BEGINS, *(name for name in found if name.startswith("Words of")), BY_LANGUAGE]
    headings += [name for name in found if ": " in name and not name.startswith(_NOT_IN_CARD)]
    found[BY_LANGUAGE] = tables(languages)[BY_LANGUAGE]
    written = "\n\n".join(f"### {name}\n\n{found[name]}" for name in headings if name in found)
    document = _CARD_FIGURES.sub(lambda match: f"{written}\n", document)

    def goals(match: re.Match[str]) -> str:
        header, rule, *rows = match[0].splitlines()
        made = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
        for row in made:
            heading, name, column = GOALS[row[0]]
            row[2] = cells(found[heading]).get(f"`{name}`", {}).get(column, "-")
        return "".join(f"{line}\n" for line in (header, rule, *(f"| {' | '.join(row)} |" for row in made)))

    return _CARD_GOALS.sub(lambda section: TABLE.sub(goals, section[0]), document)


def _value(cell: str) -> float:
    """The estimate of a cell such as "12.0 [10.1, 14.2]"; in brackets: the attacker is weak on original speech."""
    return float(cell.strip("(").split()[0])


def tables(markdown: str) -> dict[str, str]:
    """Heading to the table under it."""
    parts = [part.partition("\n\n") for part in re.split("\n##+ ", markdown)[1:]]
    return {heading: body.partition("\n\n")[0].strip() for heading, _, body in parts if body.startswith("|")}


def cells(table: str) -> dict[str, dict[str, str]]:
    """First cell of each row to its cells by column."""
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


if __name__ == "__main__":
    main()
