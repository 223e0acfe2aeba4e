"""A fake pipeline without weights, for the tests of the page.

It decodes its input and gives the source's loudness curve the target's pitch, so that results have
the shapes of real ones. It is deterministic.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from saic import audio
from saic.conversion import Voice
from saic.gallery import Gallery
from saic.keys import Key
from saic.pipeline import Clip, Conversion, Embedding, Match, ProgressCallback, SpooledConversion
from saic.profiles import BALANCED, PROFILES, PROSODY_KEPT, STRICT
from saic.signal.loudness import normalize_loudness
from saic.signal.mel import HOP_SAMPLES, SAMPLE_RATE, log_mel
from saic.signal.vad import require_speech
from saic.spool import Spool

N_VOICES, N_POINTS, EMBEDDING_SIZE, CONTENT_CHANNELS, WINDOW_FRAMES = 40, 5, 128, 64, 40
_PITCHES_HZ = np.geomspace(80, 320, N_VOICES)  # of the voices of the fake gallery
_FRAMES_PER_CODE = 4
STRICT_STRETCH = 1.25


def fake_gallery(seed: int = 0) -> Gallery:
    """A gallery of 40 well separated speaker clusters; its contents do not depend on the voice."""
    rng = np.random.default_rng(seed)
    speaker = _centers()[:, None] + 0.25 * rng.standard_normal((N_VOICES, N_POINTS, EMBEDDING_SIZE))
    content = rng.standard_normal((N_VOICES, N_POINTS, CONTENT_CHANNELS * WINDOW_FRAMES))
    return Gallery(
        names=tuple(f"Voice {k + 1:02d}" for k in range(N_VOICES)),
        sexes=tuple("FM"[k % 2] for k in range(N_VOICES)),
        speaker=speaker.astype(np.float32),
        content=content.astype(np.float32),
        f0_stats=np.stack([np.log2(_PITCHES_HZ), np.full(N_VOICES, 0.2)], axis=1).astype(np.float32),
        mel_statistics=np.zeros((N_VOICES, 81, 80), dtype=np.float32),
        threshold=0.5,
    )


def embedding_of(wav: np.ndarray) -> Embedding:
    """Speaker (E,) from a wav's pitch, and content (C, T/4) from its loudness curve."""
    k = int(np.abs(np.log(_PITCHES_HZ / _pitch_hz(wav))).argmin())
    loudness = _loudness(wav)[:: HOP_SAMPLES * _FRAMES_PER_CODE]
    rng = np.random.default_rng([len(loudness), int(loudness.argmax()) // 8])  # stands for the words and their timing
    content = 0.5 * loudness + rng.standard_normal((CONTENT_CHANNELS, len(loudness)))
    speaker = _centers()[k] + 0.1 * rng.standard_normal(EMBEDDING_SIZE)
    return Embedding(speaker.astype(np.float32), content.astype(np.float32))


class FakePipeline:
    """The methods of `saic.Pipeline` that the page uses."""

    def __init__(self) -> None:
        self.gallery = fake_gallery()
        self.voices_measured = 0
        self.profiles = PROFILES

    @property
    def default_profile(self) -> str:
        """As in the real pipeline."""
        return BALANCED if BALANCED in self.profiles else PROSODY_KEPT

    def convert_spooled(
        self,
        source: Clip,
        targets: Clip | list[Clip],
        *,
        profile: str | None = None,
        seed: int | None = None,
        reconstruct: bool = False,
        progress: ProgressCallback | None = None,
    ) -> SpooledConversion:
        """Give the source's loudness curve the target's pitch; in the profile strict, it gets slower."""
        profile = profile or self.default_profile
        report = progress or (lambda stage, fraction: None)
        report("Reading the recordings", 0.0)
        wav, target = _wav(source), _wav(targets[0] if isinstance(targets, list) else targets)
        for clip in (wav, target):
            require_speech(clip)
        report("Converting", 0.25)
        reconstruction = normalize_loudness(_buzz(_loudness(wav), _pitch_hz(wav)))
        report("Vocoding the new voice", 0.65)
        loudness = _loudness(wav)
        if profile == STRICT:
            loudness = np.interp(np.arange(0, len(wav), 1 / STRICT_STRETCH), np.arange(len(wav)), loudness)
        converted = normalize_loudness(_buzz(loudness, _pitch_hz(target)))
        report("Done", 1.0)
        clips = {"original": wav, "reconstructed": reconstruction, "converted": converted}
        mels = {name: Spool.of(log_mel(torch.from_numpy(clip))) for name, clip in clips.items()}
        f0_hz = {name: torch.full((len(mels[name]),), _pitch_hz(clip)) for name, clip in clips.items()}
        wavs = {"converted": Spool.of(converted)}
        if reconstruct:
            wavs["reconstructed"] = Spool.of(reconstruction)
        return SpooledConversion(profile, (), None, wavs, mels, f0_hz)

    def convert(self, source: Clip, targets: Clip | list[Clip], *, reconstruct: bool = False, **options) -> Conversion:
        """As in the real pipeline."""
        return self.convert_spooled(source, targets, reconstruct=reconstruct, **options).whole()

    def anonymize(self, clip: Clip, **options) -> Conversion:
        """As in the real pipeline."""
        return self.anonymize_spooled(clip, **options).whole()

    def voice(self, clips: Clip | list[Clip]) -> Clip | list[Clip]:
        """The clips stand for the voice that is measured on them."""
        self.voices_measured += 1
        return clips

    def anonymize_spooled(
        self,
        clip: Clip,
        *,
        voice: Voice | None = None,
        seed: int | None = None,
        register: str = "any",
        profile: str | None = None,
        reconstruct: bool = False,
        progress: ProgressCallback | None = None,
    ) -> SpooledConversion:
        """Convert to a buzz of 140 Hz."""
        target = _buzz(np.ones(SAMPLE_RATE), 140.0)
        options = {"profile": profile, "reconstruct": reconstruct, "progress": progress}
        return replace(self.convert_spooled(clip, (target, SAMPLE_RATE), **options), voice_similarity=0.25)

    def pseudonym(
        self,
        *,
        key: Key | str | os.PathLike | None = None,
        subject: str | None = None,
        study: str = "",
        register: str = "any",
        new_voices: bool = False,
        unlike: Clip | None = None,
        seed: int | None = None,
    ) -> Clip:
        """A clip stands for the voice; `anonymize_spooled` does not use it."""
        return _buzz(np.ones(SAMPLE_RATE), 140.0), SAMPLE_RATE

    def identify(
        self, clip: Clip, enrolled: Mapping[str, Clip | list[Clip]], threshold: float | None = None
    ) -> list[Match]:
        """A Match for each name, best first."""
        limit, query = threshold or self.gallery.threshold, self.embed(clip).speaker
        matches = []
        for name, clips in enrolled.items():
            several = clips if isinstance(clips, list) else [clips]
            score = _cosine(query, np.mean([self.embed(one).speaker for one in several], axis=0))
            matches.append(Match(name, score, score >= limit))
        return sorted(matches, key=lambda match: -match.score)

    def info(self) -> dict[str, object]:
        """Without a hash: there are no weights."""
        return {"sha256": None, "vocoder": "buzz", "content_codes_per_s": SAMPLE_RATE / HOP_SAMPLES / _FRAMES_PER_CODE}

    def embed(self, clip: Clip) -> Embedding:
        """See `embedding_of`; silence raises an error, as in the real pipeline."""
        wav = _wav(clip)
        require_speech(wav)
        return embedding_of(wav)


def spooled(
    wav: np.ndarray,
    notes: tuple[str, ...] = (),
    similarity: float | None = None,
    target_notes: tuple[str, ...] = (),
) -> SpooledConversion:
    """A conversion to a wav (N,)."""
    return SpooledConversion(BALANCED, notes, similarity, {"converted": Spool.of(wav)}, {}, {}, target_notes)


def _wav(clip: Clip) -> np.ndarray:
    return audio.from_array(*clip) if isinstance(clip, tuple) else audio.load(clip)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _centers() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((N_VOICES, EMBEDDING_SIZE))


def _loudness(wav: np.ndarray) -> np.ndarray:
    """Loudness curve (N,), smoothed over 40 ms, with a maximum of 1."""
    smooth = np.convolve(np.abs(wav), np.hanning(640) / 320, mode="same")
    return smooth / max(smooth.max(), 1e-9)


def _pitch_hz(wav: np.ndarray) -> float:
    """Pitch at the peak of the autocorrelation between 70 and 340 Hz."""
    power = np.abs(np.fft.rfft(wav, 2 * len(wav))) ** 2
    autocorrelation = np.fft.irfft(power)[: SAMPLE_RATE // 70]
    first = SAMPLE_RATE // 340
    return SAMPLE_RATE / (first + int(autocorrelation[first:].argmax()))


def _buzz(loudness: np.ndarray, pitch_hz: float) -> np.ndarray:
    """Harmonics of a pitch, falling by 6 dB per octave, under a loudness curve (N,)."""
    phase = 2 * np.pi * pitch_hz * np.arange(len(loudness)) / SAMPLE_RATE
    harmonics = range(1, int(7500 / pitch_hz))
    return (0.25 * loudness * sum(np.sin(k * phase) / k for k in harmonics)).astype(np.float32)
