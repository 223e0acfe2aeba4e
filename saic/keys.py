"""Keys of pseudonyms: one voice for each subject of a study.

The 256 bits of a subject's pseudonym are ``HMAC-SHA-256(key, message)``. The message is four
fields, each as UTF-8 in Unicode's normal form C and preceded by its length in bytes as a big-endian
integer of 8 bytes: the words "saic pseudonym", the version of the draw, the study, and the subject.
So "AB" in study "C" and "B" in study "CA" have different messages. From the bits
:meth:`saic.gallery.Gallery.pseudonym` makes the voice.

Whoever has the key can compute the voice of every subject, also of names that are only suspected.
Whoever has not cannot tell which name a voice belongs to, since the key has 256 random bits. A hash
of the name without a key would not do: whoever guesses the name can compute it.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from saic import files
from saic.errors import UsageError, WeightsError
from saic.files import sha256
from saic.weights import VOICES, fingerprint, resolve

VERSION = 2
"""Version of the draw of a subject's voice, in saic.gallery: another version gives other voices."""

_FORMAT = "saic-key 1"
_MAX_FILE_BYTES = 10_000
_KEY_BYTES = 32
_DIGEST = re.compile("[0-9a-f]{64}")
_NOT_A_KEY = "The key file cannot be read as a key. Make one with saic key new FILE."
_COMMENT = """\
# Keep this file as you keep the originals, and apart from the outputs. Whoever has it can compute the
# voice of every subject, also of names that are only suspected. If it is lost, no subject can be given
# the same voice again.
"""


class KeyFileError(UsageError):
    """A key file is missing, is no key file, or cannot be written."""


class OtherVoices(WeightsError):
    """A key was made for other weights or another gallery, which give its subjects other voices."""


@dataclass(frozen=True, eq=False)
class Key:
    """The key of a study's pseudonyms, and the weights that it was made for.

    Attributes
    ----------
    weights_sha256, gallery_sha256
        See :func:`hashes`. Other weights change how a subject sounds, another gallery its voice.
    """

    secret: bytes = field(repr=False)
    weights_sha256: str
    gallery_sha256: str

    @classmethod
    def new(cls, path: str | os.PathLike, weights: str | os.PathLike | None = None) -> "Key":
        """Draw a key and write its file, which only its owner can read (mode 0600).

        Parameters
        ----------
        path
            The file, which must not exist.
        weights
            As for :meth:`saic.pipeline.Pipeline.from_pretrained`; the bundled weights by default.

        Raises
        ------
        KeyFileError
            The file exists or cannot be written.
        WeightsError
            The weights cannot be used, or have no gallery.
        """
        key = cls(secrets.token_bytes(_KEY_BYTES), *hashes(resolve(weights)))
        lines = f"key {key.secret.hex()}\nweights {key.weights_sha256}\ngallery {key.gallery_sha256}\n"
        try:
            files.write(Path(path), f"{_FORMAT}\n{_COMMENT}{lines}".encode(), mode=0o600)
        except FileExistsError:
            raise KeyFileError("The key file exists, and a key is never replaced. Name another file.") from None
        except (OSError, ValueError) as error:
            reason = files.as_usage_error(error, "The key file cannot be written")
            raise KeyFileError(str(reason)) from None
        return key

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Key":
        """Read a key file; raise :class:`KeyFileError` if it is none."""
        try:
            if not os.path.isfile(path):  # a pipe would block
                raise KeyFileError("There is no key file of that name. Make one with saic key new FILE.")
            with open(path, "rb") as file:
                content = file.read(_MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = files.as_usage_error(error, "The key file cannot be read")
            raise KeyFileError(str(reason)) from None
        values = _parse(content)
        if values is None:
            raise KeyFileError(_NOT_A_KEY)
        return cls(*values)

    def bits(self, subject: str, study: str = "") -> bytes:
        """The 256 bits of a subject's pseudonym.

        Parameters
        ----------
        subject
            Name or number of the subject, not empty. Nothing is removed from it: "P1" and "P1 " are
            two subjects. The two ways in which Unicode writes an accent are one.
        study
            Name of the study; another study gives another voice.
        """
        if not subject:
            raise UsageError("The subject is empty. Name the person who speaks, for instance --subject P01.")
        return self.digest("saic pseudonym", str(VERSION), study, subject)

    def digest(self, purpose: str, *fields: str) -> bytes:
        """HMAC-SHA-256 of fields for a purpose, 32 bytes. Without the key they cannot be guessed from it.

        Each field is UTF-8 in NFC, preceded by its length as 8 bytes. Every use of the key has a
        purpose of its own.
        """
        encoded = [_encode(field) for field in (purpose, *fields)]
        message = b"".join(len(each).to_bytes(8, "big") + each for each in encoded)
        return hmac.digest(self.secret, message, hashlib.sha256)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key is not pickled: it would be written to a file that is not protected.")

    def require(self, weights_sha256: str, gallery_sha256: str) -> None:
        """Raise :class:`OtherVoices` unless the key was made for these hashes."""
        if (weights_sha256, gallery_sha256) != (self.weights_sha256, self.gallery_sha256):
            what = "weights" if gallery_sha256 == self.gallery_sha256 else "voices"
            raise OtherVoices(
                f"The key was made for other {what}, so its subjects would sound different from now on. Use the"
                " weights that it was made for, or add --new-voices."
            )


def hashes(folder: Path) -> tuple[str, str]:
    """SHA-256 of the weights (:func:`saic.weights.fingerprint`), and of a folder's gallery and `VERSION`."""
    if not (folder / VOICES).is_file():
        raise WeightsError("These weights have no gallery of voices. Make one with python -m train.voices.")
    voices = f"{VERSION} {sha256(folder / VOICES)}"
    return fingerprint(folder), hashlib.sha256(voices.encode()).hexdigest()


def bits_of_seed(seed: int, draw: int = 0) -> bytes:
    """The 256 bits of a seed's pseudonym, or of its later draws; they have as many secret bits as the seed."""
    of_draw = f"{int(seed)}/{draw}" if draw else str(int(seed))
    return hmac.digest(b"saic pseudonym of a seed", of_draw.encode(), hashlib.sha256)


def is_readable_by_others(path: str | os.PathLike) -> bool:
    """Whether the mode of a file lets other accounts read it; False where files have no such mode."""
    return os.name == "posix" and bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _encode(text: str) -> bytes:
    """UTF-8 of a text in NFC; bytes of a file name that are not UTF-8 stay as they are."""
    try:
        return unicodedata.normalize("NFC", text).encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise UsageError("The subject or the study has a character that is no text. Write it anew.") from None


def _parse(content: bytes) -> tuple[bytes, str, str] | None:
    """Key and two hashes of a key file's content; None if it is something else."""
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    values = dict(line.split(" ", 1) for line in lines[1:] if " " in line and not line.startswith("#"))
    if len(content) > _MAX_FILE_BYTES or lines[:1] != [_FORMAT] or list(values) != ["key", "weights", "gallery"]:
        return None
    if not all(_DIGEST.fullmatch(value) for value in values.values()):
        return None
    return bytes.fromhex(values["key"]), values["weights"], values["gallery"]
