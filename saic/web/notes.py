"""What was missing in the recordings, or chosen from them, as HTML."""

from collections.abc import Mapping, Sequence
from html import escape


def notes_html(notes: Mapping[str, Sequence[str]]) -> str:
    """HTML of the notes of `saic.audio.read`; empty if there are none.

    Parameters
    ----------
    notes : name of a recording, as the page shows it, to the notes on it
    """
    lines = [f"<p><strong>{escape(name)}.</strong> {escape(note)}</p>" for name in notes for note in notes[name]]
    return f'<div class="note-warning" role="status">{"".join(lines)}</div>' if lines else ""
