"""What programs may call: /convert, /identify, /explore, /delete. "Use via API" on the page shows these words.

>>> from gradio_client import Client, handle_file
>>> client = Client("http://127.0.0.1:7860")
>>> *clips, spectrograms, protected = client.predict(handle_file("patient.wav"), api_name="/convert")
"""

import inspect
from collections.abc import Callable

import gradio as gr
from gradio import FileData

from saic.errors import UsageError
from saic.web import maps
from saic.web.anonymize import Anonymizer
from saic.web.explore import Explorer
from saic.web.failures import told_plainly
from saic.web.identify import MAX_VOICES, Identifier, Known
from saic.web.jobs import MAX_JOBS
from saic.web.recordings import Recordings, session_of
from saic.web.store import UNNAMED_KEEP_S

MAX_RECORDINGS = 24
"""Recordings of known people in one call of /identify."""

_UNNAMED = (
    'Send the same "session_hash" with every call, so that it can be told what is yours. Results of calls without one'
    f" go by themselves after {UNNAMED_KEEP_S // 60} minutes."
)


def offer(
    inbox: Recordings, anonymizer: Anonymizer, identifier: Identifier, explorer: Explorer
) -> dict[str, tuple[str, ...]]:
    """Register the four names on the page that is being built; returns them with the names of their parameters."""
    bundled = list(anonymizer.bundled.values())

    def convert(
        source: FileData, target: FileData | None = None, request: gr.Request = None
    ) -> tuple[FileData, FileData, FileData, FileData, dict]:
        """Say the source's words in the target's voice.

        Args:
            source: recording of the voice to protect, at most five minutes and 60 MB
            target: recording of another person, who has agreed to this; without it, the first bundled voice

        Returns:
            original, reconstruction and swapped voice (16 kHz WAV at one loudness), the mel spectrograms (PNG), and
            what was protected: similarity to source and target before and after, with what is usual
        """
        with told_plainly():
            session = session_of(request)
            wav, other = inbox.load_all([_path(source), _path(target) if target else bundled[0]], session)
            shown = anonymizer.convert(wav, other, session, progress=_silent)
            found = anonymizer.protection(shown, other, session).to_dict()
            files = (shown.original, shown.reconstructed, shown.swapped, shown.spectrograms)
            return *(FileData(path=path) for path in files), found

    def identify(clip: FileData, names: list[str], recordings: list[FileData], request: gr.Request = None) -> dict:
        """Tell who speaks in a recording.

        Args:
            clip: the recording in question
            names: of up to 12 people you know, one for each recording; a name may come more than once
            recordings: of each of them, up to 24

        Returns:
            who it is ("name", null for nobody you know), the threshold, and the score of each name, best first
        """
        with told_plainly():
            session = session_of(request)
            if not (_is_list(names, str) and isinstance(recordings, list) and len(names) == len(recordings)):
                raise UsageError("Give as many names as recordings.")
            if not 1 <= len(set(names)) <= MAX_VOICES or len(recordings) > MAX_RECORDINGS:
                raise UsageError(f"Give 1 to {MAX_VOICES} people and up to {MAX_RECORDINGS} recordings.")
            probe, *wavs = inbox.load_all([_path(file) for file in (clip, *recordings)], session)
            known: Known = {}
            for name, wav in zip(names, wavs, strict=True):
                known.setdefault(name, []).append(identifier.embed(wav, session))
            found = identifier.matches(identifier.embed(probe, session), known)
            return {
                "name": found[0].name if found[0].accepted else None,
                "threshold": identifier.threshold,
                "scores": [{"name": match.name, "score": match.score} for match in found],
            }

    def explore(recordings: list[FileData], request: gr.Request = None) -> dict:
        """Map recordings among the voices of the built-in gallery, by PCA and t-SNE.

        Args:
            recordings: up to four

        Returns:
            for "speaker" and "content" embeddings: points of the gallery's voices and of the recordings, and how
            often a gallery point's nearest neighbour is of the same voice
        """
        with told_plainly():
            session = session_of(request)
            if not isinstance(recordings, list) or not 1 <= len(recordings) <= maps.MAX_CLIPS:
                raise UsageError(f"A map shows 1 to {maps.MAX_CLIPS} recordings. Send so many.")
            wavs = inbox.load_all([_path(file) for file in recordings], session)
            return explorer.points({str(k): wav for k, wav in enumerate(wavs)}, session)

    async def delete(request: gr.Request = None) -> str:
        """Stop what this client runs and remove all its recordings and results from the server, now."""
        with told_plainly():
            session = session_of(request)
            if not inbox.store.is_named(session):
                raise UsageError(_UNNAMED)
            inbox.delete(session)
            return "Deleted."

    verbs: list[Callable] = [convert, identify, explore]
    for verb in verbs:
        gr.api(verb, api_name=verb.__name__, concurrency_id="heavy", concurrency_limit=MAX_JOBS)
    gr.api(delete, api_name="delete", queue=False)
    return {verb.__name__: tuple(_parameters(verb)) for verb in (*verbs, delete)}


def _parameters(verb: Callable) -> list[str]:
    return [name for name in inspect.signature(verb).parameters if name != "request"]


def _is_list(values: object, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _path(file: FileData | dict | None) -> str:
    """Where a file lies; a program may send anything."""
    path = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    if not isinstance(path, str):
        raise UsageError("A recording is missing. Send a file.")
    return path


def _silent(share: float, desc: str | None = None) -> None:
    """No progress: a program waits for the result."""
