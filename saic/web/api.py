"""The page's API for programs: /convert, /anonymize, /identify, /explore and /delete.

The page shows the docstrings of the endpoints under "Use via API". Gradio reads one line for each
parameter and each returned value.

>>> from gradio_client import Client, handle_file
>>> client = Client("http://127.0.0.1:7860")
>>> *clips, spectrograms, protected = client.predict(handle_file("patient.wav"), api_name="/convert")
"""

import inspect
from collections.abc import Callable, Sequence

import gradio as gr
from gradio import FileData

from saic.errors import UsageError
from saic.web import maps
from saic.web.conversions import NewVoice, Result
from saic.web.failures import gradio_errors
from saic.web.server.jobs import MAX_JOBS
from saic.web.server.recordings import Recordings, session_of
from saic.web.server.store import UNNAMED_KEEP_S
from saic.web.tabs.anonymize import Anonymizer
from saic.web.tabs.explore import Explorer
from saic.web.tabs.identify import MAX_VOICES, EnrolledVoices, Identifier

MAX_RECORDINGS = 24
"""Recordings of known people in one call of /identify."""

_UNNAMED = (
    'Send the same "session_hash" with every call, so that the server knows which recordings are yours. Results of'
    f" calls without one are removed after {UNNAMED_KEEP_S // 60} minutes."
)


def register_endpoints(
    inbox: Recordings, anonymizer: Anonymizer, identifier: Identifier, explorer: Explorer
) -> dict[str, tuple[str, ...]]:
    """Register the endpoints on the page that is being built.

    Returns
    -------
    Name of each endpoint to the names of its parameters.
    """
    converter, bundled = anonymizer.converter, list(anonymizer.bundled.values())

    def convert(
        source: FileData,
        target: FileData | None = None,
        profile: str | None = None,
        request: gr.Request = None,
    ) -> tuple[FileData, FileData, FileData, FileData, dict]:
        """Convert a recording to the voice of another; the words stay the same.

        Args:
            source: recording of the voice to protect, as long as the page allows
            target: the new voice, whose speaker has agreed to this, by its first five minutes; default: a bundled voice
            profile: what is made anew: "balanced" (default), "strict" (other length) or "prosody-kept"

        Returns:
            the original (16 kHz WAV; all three WAVs have the same loudness)
            the reconstruction
            the anonymized voice
            the mel spectrograms (PNG)
            what was protected: similarities before and after, typical values; "notes" on damaged recordings; "report"
        """
        with gradio_errors():
            session, profile = session_of(request), converter.require_profile(profile)
            paths = [_path(source), _path(target) if target else bundled[0]]
            with converter.job(session) as job:  # one for all: none of its steps finds no room
                voice, other = inbox.read_all(paths, session)
                result = converter.convert(voice.wav, NewVoice("target", wav=other.wav), session, profile)
                job.renew()
                return described(result, voice.notes, other.notes, session)

    def anonymize(
        source: FileData,
        profile: str | None = None,
        register: str = "any",
        subject: str | None = None,
        seed: int | None = None,
        request: gr.Request = None,
    ) -> tuple[FileData, FileData, FileData, FileData, dict]:
        """Convert a recording to a pseudonym, a voice of no real person; the words stay the same.

        Args:
            source: recording of the voice to protect, as long as the page allows
            profile: what is made anew: "balanced" (default), "strict" (other length) or "prosody-kept"
            register: of the pseudonym: "lower", "higher", "same" (like the speaker's) or "any" (default)
            subject: label of the speaker, if the page has a key: the same label gets the same voice
            seed: the same seed gives the same pseudonym; default: a new one

        Returns:
            the original (16 kHz WAV; all three WAVs have the same loudness)
            the reconstruction
            the anonymized voice
            the mel spectrograms (PNG)
            what was protected: similarities before and after, typical values; "notes" on damaged recordings; "report"
        """
        with gradio_errors():
            session, profile = session_of(request), converter.require_profile(profile)
            if not isinstance(seed, int | None) or not isinstance(subject, str | None):
                raise UsageError("A seed is a whole number, and a subject is a text.")
            new_voice = anonymizer.pseudonym(register or "any", (subject or "").strip(), seed)
            with converter.job(session) as job:
                voice = inbox.read(_path(source), session)
                result = converter.convert(voice.wav, new_voice, session, profile)
                job.renew()
                return described(result, voice.notes, (), session)

    def described(result: Result, notes: Sequence[str], target_notes: Sequence[str], session: str) -> tuple:
        """What `convert` and `anonymize` return."""
        result = converter.measure_words_kept(result, session)
        protected = result.protection.to_dict() | {
            "notes": {"source": [*notes, *result.notes], "target": target_notes},
            "report": converter.report(result, notes),
        }
        return *(FileData(path=path) for path in (*result.clips, *converter.pictures(result, session))), protected

    def identify(clip: FileData, names: list[str], recordings: list[FileData], request: gr.Request = None) -> dict:
        """Identify who speaks in a recording.

        Args:
            clip: the recording in question; of all recordings, the first five minutes are used
            names: names of up to 12 people, one for each recording; a name may occur more than once
            recordings: up to 24 recordings of these people, in the order of the names

        Returns:
            "name" (null for none of these people), "threshold", "scores" of all names, best first, "notes"
        """
        with gradio_errors():
            session = session_of(request)
            if not (_is_list(names, str) and isinstance(recordings, list) and len(names) == len(recordings)):
                raise UsageError("Give as many names as recordings.")
            if not 1 <= len(set(names)) <= MAX_VOICES or len(recordings) > MAX_RECORDINGS:
                raise UsageError(f"Give 1 to {MAX_VOICES} people and up to {MAX_RECORDINGS} recordings.")
            with inbox.job("identify", session):
                query, *known = inbox.read_all([_path(file) for file in (clip, *recordings)], session)
                enrolled = EnrolledVoices()
                for name, recording in zip(names, known, strict=True):
                    enrolled.add_clip(name, identifier.embed(recording.wav, session))
                matches = identifier.rank_matches(identifier.embed(query.wav, session), enrolled)
            return {
                "name": matches[0].name if matches[0].accepted else None,
                "threshold": identifier.scale.threshold,
                "scores": [{"name": match.name, "score": match.score} for match in matches],
                "notes": {"clip": query.notes, "recordings": [recording.notes for recording in known]},
            }

    def explore(recordings: list[FileData], request: gr.Request = None) -> dict:
        """Map recordings among the voices of the built-in gallery, by PCA and t-SNE.

        Args:
            recordings: up to four, of which the first five minutes are used

        Returns:
            for "speaker" and "content" embeddings: the points of the gallery's voices and of the
            recordings, and the share of gallery points whose nearest neighbor is of the same voice; "notes"
        """
        with gradio_errors():
            session = session_of(request)
            if not isinstance(recordings, list) or not 1 <= len(recordings) <= maps.MAX_CLIPS:
                raise UsageError(f"A map shows 1 to {maps.MAX_CLIPS} recordings. Send so many.")
            with inbox.job("map", session):
                clips = inbox.read_all([_path(file) for file in recordings], session)
                points = explorer.map_points([clip.wav for clip in clips], session)
            return points | {"notes": [clip.notes for clip in clips]}

    async def delete(request: gr.Request = None) -> str:
        """Stop what this client runs and remove all its recordings and results from the server."""
        with gradio_errors():
            session = session_of(request)
            if not inbox.store.is_named(session):
                raise UsageError(_UNNAMED)
            inbox.delete(session)
            return "Deleted."

    heavy: list[Callable] = [convert, anonymize, identify, explore]
    for endpoint in heavy:
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_id="heavy", concurrency_limit=MAX_JOBS)
    gr.api(delete, api_name="delete", queue=False)
    return {endpoint.__name__: _parameters(endpoint) for endpoint in (*heavy, delete)}


def _parameters(endpoint: Callable) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(endpoint).parameters if name != "request")


def _is_list(values: object, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _path(file: FileData | dict | None) -> str:
    """Path of a file that a program sent; the value can be anything."""
    path = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    if not isinstance(path, str):
        raise UsageError("A recording is missing. Send a file.")
    return path
