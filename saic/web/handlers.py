"""What the page's buttons do. Nothing here knows about layout."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import numpy as np
from matplotlib.figure import Figure

from saic import audio, plots
from saic.activity import require_speech
from saic.audio import SAMPLE_RATE, Limits
from saic.errors import AudioError, UsageError
from saic.web.examples import Example
from saic.web.failures import ask_for, told_plainly
from saic.web.store import ClipStore

LIMITS = Limits(max_bytes=60 * 2**20, max_duration_s=300)
"""What a page takes: five minutes is a long dictation, and about a minute of waiting."""

OWN_RECORDING = "Another person's recording"
"""The choice of target that is no bundled voice."""

_CONVERTING = 0.8  # share of the progress bar; the rest is drawing
_DPI = 240
_PROGRESS = gr.Progress()  # as a default value it tells Gradio to hand in the run's own

Report = Callable[[str, float], None]


class Handlers:
    """The page's events over a pipeline, the bundled voices and a store.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    examples : the bundled voices
    store : where clips are kept
    """

    def __init__(self, pipeline, examples: list[Example], store: ClipStore) -> None:
        self._pipeline = pipeline
        self._voices = pipeline.voices  # read now: weights without a gallery should fail at start, not in use
        self._store = store
        self.bundled = {example.label: self._bundle(index, example) for index, example in enumerate(examples)}

    def take_in(self, path: str | None) -> str | None:
        """Replace an upload by a plain 16 kHz copy with a neutral name, so that the upload can go soon."""
        if path is None:
            return None
        with told_plainly():
            try:
                wav = self._load(path)
                require_speech(wav)
                return self._save(self._store.new(), "recording", wav)
            finally:
                self._store.expire_upload(path)

    def choose(self, choice: str) -> tuple[dict, dict]:
        """Show a bundled voice, or make room for a recording and ask for consent."""
        own = choice == OWN_RECORDING
        return gr.update(value=self.bundled.get(choice), interactive=own), gr.update(visible=own, value=False)

    def example(self) -> tuple:
        """Fill the page: the first bundled voice speaks, the last one is the target."""
        source, *_, target = self.bundled
        return self.bundled[source], target, *self.choose(target)

    def check(self, source: str | None, target: str | None, choice: str, consent: bool) -> None:
        """Stop before a conversion that lacks a clip, or the consent that another person's voice needs."""
        if source is None:
            raise ask_for("Record or upload the patient's voice first.")
        if target is None:
            raise ask_for("Record or upload the other person's voice, or choose a bundled one.")
        if choice == OWN_RECORDING and not consent:
            raise ask_for("Tick that the other person has agreed to the use of their voice.")

    def convert(self, source: str, target: str, progress=_PROGRESS) -> tuple[str, str, str, str, str]:
        """Say the source's words in the target's voice.

        Returns the paths of the original, the reconstruction and the swapped voice (16 kHz WAV), of the mel
        spectrograms and of the embedding maps (PNG).
        """

        def report(stage: str, fraction: float) -> None:
            progress(fraction, desc=stage)

        with told_plainly():
            try:
                if not source or not target:
                    raise UsageError("Two recordings are needed: a source and a target.")
                clips = [(self._load(path), SAMPLE_RATE) for path in (source, target)]
            finally:  # uploads of the API; the page's own clips stay, for they are still shown
                for path in filter(None, (source, target)):
                    self._store.expire_upload(path)
            return self._convert(*clips, report)

    def _convert(self, source: tuple, target: tuple, report: Report) -> tuple[str, str, str, str, str]:
        """Convert two clips (wav, rate) and write everything that is shown into one fresh folder."""
        result = self._pipeline.convert(source, target, progress=lambda name, x: report(name, x * _CONVERTING))
        report("Drawing the spectrograms", _CONVERTING)
        mels = plots.mel_comparison(result.mels)
        report("Mapping the voices", 0.85)
        embeddings = {"Original": self._pipeline.embed(source), "Other voice": self._pipeline.embed(target)}
        with contextlib.suppress(AudioError):  # too little in it that counts as speech: it is still to be heard
            embeddings["Swapped"] = self._pipeline.embed((result.wav, result.sample_rate))
        maps = plots.embedding_maps(self._voices, embeddings)
        folder = self._store.new()
        return (
            self._save(folder, "original", source[0]),
            self._save(folder, "reconstructed", result.reconstruction),
            self._save(folder, "swapped", result.wav),
            _draw(folder / "spectrograms.png", mels),
            _draw(folder / "maps.png", maps),
        )

    def _bundle(self, index: int, example: Example) -> str:
        path = self._store.bundled / f"voice-{index + 1:02d}.wav"
        audio.save(path, audio.load(example.path, limits=LIMITS))
        return str(path)

    def _load(self, path: str) -> np.ndarray:
        if not Path(path).is_file():
            raise UsageError("This recording is no longer on the server. Add it again.")
        return audio.load(path, limits=LIMITS)

    @staticmethod
    def _save(folder: Path, name: str, wav: np.ndarray) -> str:
        path = folder / f"{name}.wav"
        audio.save(path, wav)
        return str(path)


def _draw(path: Path, figure: Figure) -> str:
    figure.savefig(path, dpi=_DPI)
    return str(path)
