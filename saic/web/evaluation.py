"""The evaluation as HTML: for each topic one figure or two, its tables folded under it, and its command."""

import base64
import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from saic import plots
from saic.evaluation import overview
from saic.evaluation import report as reports
from saic.evaluation.linkage.report import HEADLINE_S
from saic.evaluation.systems import SYSTEMS
from saic.web.documents import line_to_html, to_html
from saic.web.texts import Texts

_HEADING = re.compile(r"^#{2,3} (.*)\n", re.MULTILINE)
_SAVE_JS = (
    "const link = document.createElement('a'); link.href = this.previousElementSibling.src;"
    " link.download = this.dataset.name; link.click()"
)


def evaluation_html(report: Mapping[str, Any], texts: Texts, pictures: dict[str, str]) -> str:
    """The names of the systems of a report of the present schema, and its topics; figures and tables are in English.

    ``pictures`` keeps the figures, as base64, for the next language.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError (the report has another form)
    """
    sections = "".join(_section(report, topic, texts, pictures) for topic in overview.topics(report))
    measured = {name for part in (*report["corpora"].values(), report["privacy"] or {}) for name in part["systems"]}
    names = "".join(
        f"<dt><code>{name}</code></dt><dd>{escape(system.title.replace('``', ''))}</dd>"
        for name, system in SYSTEMS.items()
        if name in measured
    )
    return f"""<section class="card topic"><details><summary>{texts.SYSTEM_NAMES}</summary>
<dl class="names" lang="en">{names}</dl></details></section><div class="topics">{sections}</div>"""


def _section(report: Mapping[str, Any], topic: str, texts: Texts, drawn: dict[str, str]) -> str:
    """The figures of a topic, how to read them, their tables, and the command that makes them."""
    title, explanation = texts.TOPICS[topic]
    (first, draw), *others = overview.figures(report, topic).items()
    pictures = _picture(first, draw, title, texts, drawn)
    for name, draw_other in others:  # the attackers, each alone
        other_title, other_explanation = texts.EACH_ATTACKER
        pictures += f"<h3>{other_title}</h3>{other_explanation.format(seconds=HEADLINE_S)}"
        pictures += _picture(name, draw_other, other_title, texts, drawn)
    _, *parts = _HEADING.split(reports.topic_markdown(report, topic))
    tables = "".join(
        f'<details><summary lang="en">{line_to_html(heading)}</summary>{to_html(body)}</details>'
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
    )
    return f"""<section class="card topic" id="topic-{topic}"><h2>{title}</h2>{explanation}
{pictures}<details><summary>{texts.TOPIC_TABLES}</summary>{tables}</details>
<p class="soft">{texts.TOPIC_COMMAND}<code>{escape(reports.topic_command(report, topic))}</code></p></section>"""


def _picture(file: str, draw: Callable[[], Figure], title: str, texts: Texts, drawn: dict[str, str]) -> str:
    """A figure, and a button that saves it as SVG."""
    if file not in drawn:
        drawn[file] = base64.b64encode(plots.to_bytes(draw(), "svg", as_text=True)).decode()
    name = f"{Path(file).stem}.svg"
    return f"""<img src="data:image/svg+xml;base64,{drawn[file]}" alt="{texts.FIGURE_ALT.format(title=title)}">
<button type="button" class="save" data-name="{name}" onclick="{_SAVE_JS}">{texts.SAVE_SVG}</button>
"""
