"""Files of a corpus that cannot be used: left out, and counted by reason."""

from pathlib import Path

from saic.errors import AudioError, EmptyAudio, NotSpeech, SilentAudio, TooLong, TooShort

_MAX_NAMES = 10  # listed per reason


class LeftOut(dict[str, list[str]]):
    """Reason to the names of the files left out for it, usually paths relative to the corpus.

    ``str()`` gives the counts without names: "Left out 3 files: 1 empty, 1 hidden, 1 not audio".
    It is empty if nothing was left out.
    """

    def add(self, reason: str, name: str) -> None:
        """Count a file."""
        self.setdefault(reason, []).append(name)

    def __str__(self) -> str:
        if not self:
            return ""
        total = sum(map(len, self.values()))
        counts = ", ".join(f"{len(names)} {reason}" for reason, names in sorted(self.items()))
        return f"Left out {total} file{'s' * (total != 1)}: {counts}"

    def listing(self) -> str:
        """The counts, and below them the first ten names of each reason.

        Only for the owner of the corpus. Control characters in names are replaced.
        """
        lines = [str(self)]
        for reason, names in sorted(self.items()):
            shown = ", ".join(map(_printable, names[:_MAX_NAMES]))
            more = f", and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            lines.append(f"  {reason}: {shown}{more}")
        return "\n".join(lines)


def reason_of(error: AudioError) -> str:
    """Why a recording is left out, for its decoding error."""
    if isinstance(error, EmptyAudio):
        return "empty"
    if isinstance(error, SilentAudio | TooShort | NotSpeech):
        return "without speech"
    return "too long" if isinstance(error, TooLong) else "broken"


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file, or a folder between it and ``folder``, has a name that starts with a dot."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)
