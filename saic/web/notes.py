"""What was missing in the recordings, or chosen from them, as HTML."""

from collections.abc import Mapping, Sequence
from html import escape

from saic.web.texts import ENGLISH, Texts, translated


def notes_html(notes: Mapping[str, Sequence[str]], texts: Texts = ENGLISH) -> str:
    """HTML of the notes of `saic.audio.read`; empty if there are none.

    Parameters
    ----------
    notes : name of a recording, as the page shows it, to the notes on it
    texts : of the page's language
    """
    lines = [
        f"<p><strong>{escape(name)}.</strong> {escape(translated(texts, note))}</p>"
        for name in notes
        for note in notes[name]
    ]
    return f'<div class="note-warning" role="status">{"".join(lines)}</div>' if lines else ""
