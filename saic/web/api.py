"""What programs may call: /convert, /identify, /explore, /delete. "Use via API" on the page shows these words.

>>> from gradio_client import Client, handle_file
>>> client = Client("http://127.0.0.1:7860")
>>> *clips, spectrograms, protected = client.predict(handle_file("patient.wav"), api_name="/convert")
"""

from collections.abc import Callable

import gradio as gr
from gradio import FileData

from saic.audio import SAMPLE_RATE
from saic.errors import UsageError
from saic.web.anonymize import Anonymizer
from saic.web.desk import Desk, session_of
from saic.web.explore import Explorer
from saic.web.failures import told_plainly
from saic.web.identify import MAX_VOICES
from saic.web.jobs import cores


def offer(pipeline, desk: Desk, anonymizer: Anonymizer, explorer: Explorer) -> None:
    """Register the four names on the page that is being built."""
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
            wav = desk.load(_path(source), session)
            other = desk.load(_path(target) if target else bundled[0], session)
            shown = anonymizer.convert(wav, other, session, progress=_silent)
            found = anonymizer.protection(shown, other, session).to_dict()
            files = (shown.original, shown.reconstructed, shown.swapped, shown.spectrograms)
            return *(FileData(path=path) for path in files), found

    def identify(clip: FileData, names: list[str], recordings: list[FileData], request: gr.Request = None) -> dict:
        """Tell who speaks in a recording.

        Args:
            clip: the recording in question
            names: of the people you know, one for each recording; a name may come more than once
            recordings: one of each of them

        Returns:
            who it is ("name", null for nobody you know), the threshold, and the score of each name, best first
        """
        with told_plainly():
            session = session_of(request)
            if len(names) != len(recordings) or not 1 <= len(set(names)) <= MAX_VOICES:
                raise UsageError(f"Give as many names as recordings, of 1 to {MAX_VOICES} people.")
            probe = (desk.load(_path(clip), session), SAMPLE_RATE)
            known: dict[str, list] = {}
            for name, recording in zip(names, recordings, strict=True):
                known.setdefault(str(name), []).append((desk.load(_path(recording), session), SAMPLE_RATE))
            with desk.job("identify", session) as job:
                job.check()
                found = pipeline.identify(probe, known)
            return {
                "name": found[0].name if found[0].accepted else None,
                "threshold": pipeline.voices.threshold,
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
            clips = {str(k): desk.load(_path(clip), session) for k, clip in enumerate(recordings)}
            return explorer.points(clips, session)

    def delete(request: gr.Request = None) -> str:
        """Remove all recordings and results of this client from the server, now."""
        desk.delete(session_of(request))
        return "Deleted."

    verbs: list[Callable] = [convert, identify, explore]
    for verb in verbs:
        gr.api(verb, api_name=verb.__name__, concurrency_id="heavy", concurrency_limit=cores())
    gr.api(delete, api_name="delete", queue=False)


def _path(file: FileData | dict | None) -> str:
    """Where a file lies; a program may send anything."""
    path = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    if not isinstance(path, str):
        raise UsageError("A recording is missing. Send a file.")
    return path


def _silent(share: float, desc: str | None = None) -> None:
    """No progress: a program waits for the result."""
