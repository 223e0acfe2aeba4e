"""A stand-in for the page's tests: a pipeline without weights.

The fake pipeline really decodes, and really gives the source's loudness curve the target's pitch, so that
what the page shows has the shape of the true thing. It reads nothing but its input: same clips, same result.
"""

from collections.abc import Mapping

import numpy as np
import torch

from saic import audio
from saic.gallery import Voices
from saic.pipeline import Clip, Conversion, Embedding, Match, Progress
from saic.signal.mel import HOP_SAMPLES, SAMPLE_RATE, log_mel
from saic.signal.vad import require_speech

N_VOICES, N_POINTS, EMBEDDING_SIZE, CONTENT_CHANNELS, WINDOW_FRAMES = 40, 5, 128, 64, 40
_PITCHES_HZ = np.geomspace(80, 320, N_VOICES)  # voice k of the fake gallery is the one that speaks at this pitch
_FRAMES_PER_CODE = 4


def fake_voices(seed: int = 0) -> Voices:
    """Return a gallery of 40 clear speaker clusters whose contents have nothing to do with the voice."""
    rng = np.random.default_rng(seed)
    speaker = _centres()[:, None] + 0.25 * rng.standard_normal((N_VOICES, N_POINTS, EMBEDDING_SIZE))
    content = rng.standard_normal((N_VOICES, N_POINTS, CONTENT_CHANNELS * WINDOW_FRAMES))
    return Voices(
        names=tuple(f"Voice {k + 1:02d}" for k in range(N_VOICES)),
        sexes=tuple("FM"[k % 2] for k in range(N_VOICES)),
        speaker=speaker.astype(np.float32),
        content=content.astype(np.float32),
        register=np.stack([np.log2(_PITCHES_HZ), np.full(N_VOICES, 0.2)], axis=1).astype(np.float32),
        timbre=np.zeros((N_VOICES, 81, 80), dtype=np.float32),
        threshold=0.5,
    )


def embedding_of(wav: np.ndarray) -> Embedding:
    """Return speaker (E,) from a wav's pitch, and content (C, T/4) from its loudness curve."""
    k = int(np.abs(np.log(_PITCHES_HZ / _pitch_hz(wav))).argmin())
    loudness = _loudness(wav)[:: HOP_SAMPLES * _FRAMES_PER_CODE]
    rng = np.random.default_rng([len(loudness), int(loudness.argmax()) // 8])  # the words: what and when
    content = 0.5 * loudness + rng.standard_normal((CONTENT_CHANNELS, len(loudness)))
    speaker = _centres()[k] + 0.1 * rng.standard_normal(EMBEDDING_SIZE)
    return Embedding(speaker.astype(np.float32), content.astype(np.float32))


class FakePipeline:
    """`saic.Pipeline` as far as the page uses it."""

    def __init__(self) -> None:
        self.voices = fake_voices()

    def convert(
        self,
        source: Clip,
        targets: Clip | list[Clip],
        *,
        reconstruct: bool = True,
        progress: Progress | None = None,
    ) -> Conversion:
        """Return a Conversion: the source's loudness curve at the target's pitch."""
        report = progress or (lambda stage, fraction: None)
        report("Reading", 0.0)
        wav, target = _wav(source), _wav(targets[0] if isinstance(targets, list) else targets)
        for clip in (wav, target):
            require_speech(clip)
        report("Encoding", 0.3)
        reconstruction = _buzz(_loudness(wav), _pitch_hz(wav))
        report("Decoding", 0.7)
        converted = _buzz(_loudness(wav), _pitch_hz(target))
        report("Done", 1.0)
        mels = {"original": wav, "reconstructed": reconstruction, "converted": converted}
        mels = {name: log_mel(torch.from_numpy(clip)).numpy() for name, clip in mels.items()}
        return Conversion(converted, reconstruction if reconstruct else None, mels)

    def anonymize(
        self, clip: Clip, *, seed: int | None = None, reconstruct: bool = False, progress: Progress | None = None
    ) -> Conversion:
        """Return a Conversion to a buzz of 140 Hz."""
        target = _buzz(np.ones(SAMPLE_RATE), 140.0)
        return self.convert(clip, (target, SAMPLE_RATE), reconstruct=reconstruct, progress=progress)

    def identify(
        self, clip: Clip, enrolled: Mapping[str, Clip | list[Clip]], threshold: float | None = None
    ) -> list[Match]:
        """Return a Match for each name, best first."""
        limit, probe = threshold or self.voices.threshold, self.embed(clip).speaker
        matches = []
        for name, clips in enrolled.items():
            several = clips if isinstance(clips, list) else [clips]
            score = _cosine(probe, np.mean([self.embed(one).speaker for one in several], axis=0))
            matches.append(Match(name, score, score >= limit))
        return sorted(matches, key=lambda match: -match.score)

    def info(self) -> dict[str, object]:
        """Return nothing that is true of weights: there are none."""
        return {"sha256": None, "vocoder": "buzz"}

    def embed(self, clip: Clip) -> Embedding:
        """Return an Embedding, see `embedding_of`; silence is an error, as for the true one."""
        wav = _wav(clip)
        require_speech(wav)
        return embedding_of(wav)


def _wav(clip: Clip) -> np.ndarray:
    return audio.from_array(*clip) if isinstance(clip, tuple) else audio.load(clip)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _centres() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((N_VOICES, EMBEDDING_SIZE))


def _loudness(wav: np.ndarray) -> np.ndarray:
    """Return the loudness curve (N,), smoothed over 40 ms, its maximum at 1."""
    smooth = np.convolve(np.abs(wav), np.hanning(640) / 320, mode="same")
    return smooth / max(smooth.max(), 1e-9)


def _pitch_hz(wav: np.ndarray) -> float:
    """Return the pitch at the autocorrelation's peak, between 70 and 340 Hz."""
    power = np.abs(np.fft.rfft(wav, 2 * len(wav))) ** 2
    likeness = np.fft.irfft(power)[: SAMPLE_RATE // 70]
    first = SAMPLE_RATE // 340
    return SAMPLE_RATE / (first + int(likeness[first:].argmax()))


def _buzz(loudness: np.ndarray, pitch_hz: float) -> np.ndarray:
    """Return harmonics of a pitch that fall by 6 dB an octave, under a loudness curve (N,)."""
    phase = 2 * np.pi * pitch_hz * np.arange(len(loudness)) / SAMPLE_RATE
    harmonics = range(1, int(7500 / pitch_hz))
    return (0.25 * loudness * sum(np.sin(k * phase) / k for k in harmonics)).astype(np.float32)
