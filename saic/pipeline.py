"""The user's verbs: convert, embed, identify. Everything from a recording to a recording, in one place."""

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from saic import audio
from saic.errors import UsageError, WeightsError
from saic.gallery import Voices
from saic.model.model import Model
from saic.model.spectral_correction import (
    CorrectionExamples,
    collect_examples,
    join_examples,
    spectral_correction,
)
from saic.signal.f0 import (
    measure_f0_stats,
    track_f0,
    transpose_f0,
)
from saic.signal.mel import SAMPLE_RATE, log_mel
from saic.signal.mel_statistics import limit_peaks, measure_mel_statistics, transfer_mel_statistics
from saic.signal.vad import require_speech, speech_frames
from saic.vocoder import vocoder
from saic.weights import MODEL, VOICES, fingerprint, resolve, verify

Clip = str | os.PathLike | bytes | tuple[np.ndarray, int]
"""A path, the bytes of a file, or (samples, rate in Hz)."""

Progress = Callable[[str, float], None]
"""Called with the name of the stage that begins and the share of the work that is done, 0 to 1."""


@dataclass(frozen=True)
class Conversion:
    """What :meth:`Pipeline.convert` gives.

    Attributes
    ----------
    wav
        (N,) float32: the source's words in the target's voice, exactly as long as the source.
    reconstruction
        (N,) float32: the source through the model in its own voice; None unless asked for.
    mels
        "original", "reconstructed" and "converted", each (80, T) natural-log magnitude (paper Fig. 4).
    sample_rate
        16,000 Hz.
    """

    wav: np.ndarray
    reconstruction: np.ndarray | None
    mels: dict[str, np.ndarray]
    sample_rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Embedding:
    """A clip in the model's two spaces: ``speaker`` (E,) and ``content`` (C, ceil(T / stride))."""

    speaker: np.ndarray
    content: np.ndarray


@dataclass(frozen=True)
class Match:
    """One enrolled voice: cosine similarity to the clip, and whether it passes the threshold."""

    name: str
    score: float
    accepted: bool


@dataclass(frozen=True)
class _Speech:
    """A checked clip: ``wav`` (N,), ``mel`` (1, 80, T), and speech ``mask`` (1, 1, T)."""

    wav: np.ndarray
    mel: torch.Tensor
    mask: torch.Tensor

    @cached_property
    def timbre(self) -> torch.Tensor:
        """(1, 81, 80) long-term spectrum."""
        return measure_mel_statistics(self.mel, self.mask)

    @property
    def f0(self) -> torch.Tensor:
        """(1, T) pitch in Hz, 0 for unvoiced; tracked when asked for: to tell who speaks takes none."""
        return torch.from_numpy(track_f0(self.wav)).to(self.mel)[None]


@dataclass(frozen=True)
class _Voice:
    """A :class:`~saic.gallery.Voice` as tensors, batch of one first; what its recordings show, if there are any."""

    embedding: torch.Tensor
    register: torch.Tensor
    timbre: torch.Tensor
    examples: CorrectionExamples | None = None


class Pipeline:
    """Anonymize and identify with one set of weights.

    >>> pipeline = Pipeline.from_pretrained()
    >>> conversion = pipeline.convert("patient.wav", "other.wav")
    >>> saic.audio.save("anonymous.wav", conversion.wav)
    """

    def __init__(self, model: Model, *, folder: Path | None = None, device: str = "cpu"):
        self.model = model.to(device).eval()
        self.vocoder = vocoder.build(model.config.vocoder, folder, device=device)
        self.folder, self.device = folder, device
        self._voices: Voices | None = None

    @classmethod
    def from_pretrained(
        cls, weights: str | os.PathLike | None = None, *, revision: str | None = None, device: str = "cpu"
    ) -> "Pipeline":
        """Load the bundled weights, those of a folder, or those of the Hub.

        Parameters
        ----------
        weights
            None, a folder, or ``ORG/NAME@COMMIT``: see :func:`saic.weights.resolve`.
        revision
            The commit, where ``weights`` is ``ORG/NAME`` alone.

        Raises
        ------
        WeightsError
            The weights are missing, incomplete, damaged or of another format, or the Hub does not give them.
        """
        folder = resolve(weights, revision)
        return cls(Model.from_pretrained(folder), folder=folder, device=device)

    @torch.inference_mode()
    def convert(
        self,
        source: Clip,
        targets: Clip | list[Clip],
        *,
        reconstruct: bool = True,
        progress: Progress | None = None,
    ) -> Conversion:
        """Say the source's words in the target's voice (paper Fig. 2).

        Parameters
        ----------
        source
            Recording with at least half a second of speech.
        targets
            One recording, or several of one voice: their embeddings are averaged.
        reconstruct
            Whether to make the reconstruction audible too, which takes as long again.
        progress
            Told before each stage.

        Raises
        ------
        AudioError
            A recording cannot be used; the message says why.
        """
        tell = progress or (lambda stage, share: None)
        tell("Reading the recordings", 0.0)
        speech = self._read(source)
        tell("Listening to both voices", 0.1)
        return self._change(speech, self._voice(self._hear(targets)), reconstruct, tell)

    @torch.inference_mode()
    def anonymize(
        self, clip: Clip, *, seed: int | None = None, reconstruct: bool = False, progress: Progress | None = None
    ) -> Conversion:
        """Say a clip's words in a voice that nobody has: a seeded mixture of voices of the built-in gallery.

        Parameters
        ----------
        clip
            Recording with at least half a second of speech.
        seed
            Same seed, same voice; None draws a new one.
        reconstruct
            As for :meth:`convert`.
        progress
            Told before each stage.
        """
        tell = progress or (lambda stage, share: None)
        tell("Reading the recording", 0.0)
        speech = self._read(clip)
        tell("Choosing a voice", 0.1)
        drawn = self.voices.pseudonym(np.random.default_rng(seed))
        parts = drawn.embedding, drawn.register, drawn.timbre
        voice = _Voice(*(torch.from_numpy(part).to(speech.mel)[None] for part in parts))
        return self._change(speech, voice, reconstruct, tell)

    @torch.inference_mode()
    def embed(self, clip: Clip) -> Embedding:
        """Speaker embedding and content codes of a clip."""
        speech = self._read(clip)
        speaker = self.model.encode_speaker(speech.mel, speech.mask)
        content = self.model.encode_content(speech.mel, speech.mask)
        return Embedding(speaker[0].cpu().numpy(), content[0].cpu().numpy())

    @torch.inference_mode()
    def identify(
        self, clip: Clip, enrolled: Mapping[str, Clip | list[Clip]], threshold: float | None = None
    ) -> list[Match]:
        """Which enrolled voice speaks in a clip.

        Parameters
        ----------
        clip
            The recording in question.
        enrolled
            Name to one recording, or several, of that person.
        threshold
            Cosine similarity from which a match is accepted; None takes the one measured for the weights.

        Returns
        -------
        One :class:`Match` per enrolled voice, best first. None accepted means: nobody enrolled.
        """
        if not enrolled:
            raise UsageError("Nobody is enrolled. Give at least one name with a recording.")
        limit = self.voices.threshold if threshold is None else threshold
        probe = self._speaker(self._hear(clip))
        matches = []
        for name, clips in enrolled.items():
            score = float(F.cosine_similarity(probe, self._speaker(self._hear(clips))))
            matches.append(Match(name, score, score >= limit))
        return sorted(matches, key=lambda match: -match.score)

    @torch.inference_mode()
    def resynthesize(self, clip: Clip) -> np.ndarray:
        """(N,) float32: a clip to its mel and back through the vocoder alone, as a control."""
        speech = self._read(clip)
        return self._sound(speech.mel[0], speech.f0[0], speech.wav)

    def with_griffin_lim(self) -> "Pipeline":
        """The same model with Griffin-Lim for its vocoder: what a trained one is measured against."""
        other = copy.copy(self)
        other.vocoder = vocoder.GriffinLim(self.model.config.vocoder.iterations)
        return other

    @property
    def voices(self) -> Voices:
        """The built-in gallery of the weights."""
        if self._voices is None:
            self._voices = self._load_voices()
        return self._voices

    def _load_voices(self) -> Voices:
        make = "Make one with python -m train.voices."
        if self.folder is not None:
            verify(self.folder)  # again: it may be long ago that the model was loaded
        if self.folder is None or not (self.folder / VOICES).is_file():
            raise WeightsError(f"These weights have no gallery of voices. {make}")
        voices, config = Voices.load(self.folder / VOICES), self.model.config
        if (
            voices.speaker.shape[-1] != config.speaker_encoder.embedding_size
            or voices.content.shape[-1] % config.content_encoder.code_channels
        ):
            raise WeightsError(f"The gallery of voices was made for other weights. {make}")
        return voices

    def info(self) -> dict[str, object]:
        """What is loaded: hash, sizes, sample rate, vocoder."""
        count = {name: sum(p.numel() for p in part.parameters()) for name, part in self.model.named_children()}
        path = None if self.folder is None else self.folder / MODEL
        return {
            "sha256": None if self.folder is None else fingerprint(self.folder),
            "size_bytes": None if path is None else path.stat().st_size,
            "parameters": count | {"total": sum(count.values())},
            "sample_rate_hz": SAMPLE_RATE,
            "content_codes_per_s": SAMPLE_RATE / self.model.config.audio.hop_samples / self.model.config.content_stride,
            "vocoder": self.model.config.vocoder.kind,
            "device": self.device,
        }

    def _change(self, speech: _Speech, voice: _Voice, reconstruct: bool, tell: Progress) -> Conversion:
        own, f0 = self.model.encode_speaker(speech.mel, speech.mask), speech.f0
        content = self.model.encode_content(speech.mel, speech.mask)
        tell("Changing the voice", 0.25)
        rebuilt = self.model.decode(content, own, f0, speech.mask)
        rebuilt = limit_peaks(transfer_mel_statistics(rebuilt, speech.timbre, speech.mask), speech.timbre)[0]
        moved = transpose_f0(f0, voice.register)
        converted = self.model.decode(content, voice.embedding, moved, speech.mask)
        converted = self._finish(converted, content, speech, voice)
        reconstruction = None
        if reconstruct:
            tell("Making sound: reconstruction", 0.35)
            reconstruction = self._sound(rebuilt, f0[0], speech.wav)
        tell("Making sound: new voice", 0.65 if reconstruct else 0.35)
        wav = self._sound(converted, moved[0], speech.wav)
        tell("Done", 1.0)
        mels = {"original": speech.mel[0], "reconstructed": rebuilt, "converted": converted}
        return Conversion(wav, reconstruction, {name: mel.cpu().numpy() for name, mel in mels.items()})

    def _finish(self, mel: torch.Tensor, content: torch.Tensor, speech: _Speech, voice: _Voice) -> torch.Tensor:
        """(80, T) from the decoder's (1, 80, T): more like the voice."""
        settings = self.model.config.decoder
        moved = transfer_mel_statistics(mel, voice.timbre, speech.mask, correlation=settings.correlation_share)
        if voice.examples:
            recalled = spectral_correction(content[0], speech.mask[0, 0], voice.examples)
            moved = moved + settings.likeness_share * recalled
        return limit_peaks(moved, voice.timbre)[0]

    def _read(self, clip: Clip) -> _Speech:
        wav = audio.from_array(*clip) if isinstance(clip, tuple) else audio.load(clip)
        require_speech(wav)
        mel = log_mel(torch.from_numpy(wav).to(self.device))
        mask = torch.from_numpy(speech_frames(wav)).to(mel)
        return _Speech(wav, mel[None], mask[None, None])

    def _hear(self, clips: Clip | list[Clip]) -> list[_Speech]:
        several = clips if isinstance(clips, list) else [clips]
        if not several:
            raise UsageError("There is no target recording. Give at least one.")
        return [self._read(clip) for clip in several]

    def _speaker(self, heard: list[_Speech]) -> torch.Tensor:
        """(1, E) mean embedding of clips of one voice."""
        return torch.stack([self.model.encode_speaker(h.mel, h.mask) for h in heard]).mean(dim=0)

    def _voice(self, heard: list[_Speech]) -> _Voice:
        """All of a voice that a conversion takes, from clips of it; a register that none shows is guessed."""
        embedding = self._speaker(heard)
        tracks = [h.f0 for h in heard]
        registers = [measure_f0_stats(f0[0]) for f0 in tracks if f0.any()]
        register = torch.stack(registers).mean(dim=0)[None] if registers else self.model.pitch_of(embedding)
        spectrum = torch.stack([h.timbre for h in heard]).mean(dim=0)
        settings, shown = self.model.config.decoder, []
        for h, f0 in zip(heard, tracks, strict=True) if settings.likeness_share else ():
            content = self.model.encode_content(h.mel, h.mask)
            said = self.model.decode(content, embedding, f0, h.mask)
            said = transfer_mel_statistics(said, spectrum, h.mask, correlation=settings.correlation_share)
            shown.append(collect_examples(content[0], h.mel[0], said[0], h.mask[0, 0]))
        return _Voice(embedding, register, spectrum, join_examples(shown) if shown else None)

    def _sound(self, mel: torch.Tensor, f0: torch.Tensor, like: np.ndarray) -> np.ndarray:
        """Vocode a (80, T) mel of pitch (T,) to the length and loudness of the wav that it came from."""
        wav = self.vocoder(mel, f0)[: len(like)].cpu().numpy()
        level, wanted = (np.sqrt(np.mean(np.square(x[: len(wav)]))) for x in (wav, like))
        wav = wav * (wanted / max(level, 1e-8))
        return (wav / max(1.0, np.abs(wav).max())).astype(np.float32)
