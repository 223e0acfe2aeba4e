"""The bundled voices: synthetic clips to try the page without a recording of a person."""

import json
from dataclasses import dataclass
from pathlib import Path

from saic.errors import DataError


@dataclass(frozen=True)
class Example:
    """A bundled clip.

    Attributes
    ----------
    path : of the audio file
    label : the voice's name on the page
    sex : "F" or "M"
    text : the spoken words
    source : origin of the clip
    licence : of the clip
    """

    path: Path
    label: str
    sex: str
    text: str
    source: str
    licence: str


def load_examples(folder: str | Path) -> list[Example]:
    """Read ``examples.json`` in a folder of at least two clips.

    Raises
    ------
    DataError
        The list is missing, malformed or too short, or a clip in it is missing.
    """
    folder = Path(folder)
    try:
        entries = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
        examples = [Example(path=folder / entry.pop("file"), **entry) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError("The list of bundled voices (examples.json) is missing or malformed.") from error
    if len(examples) < 2 or not all(example.path.is_file() for example in examples):
        raise DataError("A bundled voice is missing. Restore the folder of examples.")
    return examples
