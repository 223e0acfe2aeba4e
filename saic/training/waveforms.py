"""What teaches the vocoder: recordings as samples, beside the phase that their pulses truly have.

A pulse train that starts anywhere would never fall on the recording's own pulses, and a loss that looks closely in
time would learn to blur them. So the phase of the fundamental is measured in the recording; in use it may start
anywhere, because the network hears nothing of it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saic import audio
from saic.mel import FLOOR, HOP_SAMPLES
from saic.source import contour, cycles, to_samples
from saic.training.corpus import Corpus

_DEMODULATED = 800  # samples, 50 ms: from three periods of the lowest voices on
_WHITENED = 512
_SHORT = 2**15  # int16 holds samples, and phases as shares of a cycle


@dataclass(frozen=True)
class Heard:
    """A batch for the vocoder.

    ``mel`` (B, 80, S); ``f0`` (B, S) in Hz, 0 for unvoiced, and ``hz`` (B, S) the same without gaps; ``wav`` and
    ``phase`` (B, 200 S), the latter in cycles of the fundamental.
    """

    mel: Tensor
    f0: Tensor
    hz: Tensor
    wav: Tensor
    phase: Tensor


class Waveforms:
    """The samples of a :class:`~saic.training.corpus.Corpus` of stride 1, on the same time axis."""

    def __init__(self, corpus: Corpus):
        self.corpus = corpus
        self._wav, self._phase, self._hz = [], [], []
        for start, length, clip in zip(corpus.starts, corpus.lengths, corpus.clips, strict=True):
            wav = audio.load(clip.path)[: length * HOP_SAMPLES]
            wav = np.pad(wav, (0, length * HOP_SAMPLES - len(wav)))
            wav = wav * polarity(wav)
            hz = contour(corpus.f0[start : start + length].numpy().astype(np.float64))
            self._wav.append(np.round(wav * (_SHORT - 1)).astype(np.int16))
            self._phase.append(_to_short(aligned(wav, cycles(hz))))
            self._hz.append(hz.astype(np.float32))
        self._wav, self._phase, self._hz = (np.concatenate(x) for x in (self._wav, self._phase, self._hz))

    def sample(self, size: int, generator: np.random.Generator, *, gain_db: tuple[float, float] = (0.0, 0.0)) -> Heard:
        """Random crops as :meth:`Corpus.sample`, each at a random gain."""
        crops = self.corpus.sample(size, generator)
        frames = crops.grid.numpy()
        samples = frames[:, :1] * HOP_SAMPLES + np.arange(frames.shape[1] * HOP_SAMPLES)
        gain = torch.from_numpy(10 ** (generator.uniform(*gain_db, size=(size, 1)) / 20)).float()
        mel = crops.mel + gain.log()[..., None]
        return Heard(
            mel=mel.clamp_min(float(np.log(FLOOR))),
            f0=crops.f0,
            hz=torch.from_numpy(self._hz[frames]),
            wav=torch.from_numpy(self._wav[samples].astype(np.float32) / _SHORT) * gain,
            phase=torch.from_numpy(self._phase[samples].astype(np.float32) / (2 * _SHORT)),
        )


def aligned(wav: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Shift a phase in cycles (N,) slowly so that it becomes that of the wav's fundamental.

    The wav is demodulated by the given phase; what angle is left, a frame at a time, is added.
    """
    carried = wav * np.exp(-2j * np.pi * phase)
    window = np.hanning(_DEMODULATED + 2)[1:-1]
    left = (_DEMODULATED - HOP_SAMPLES) // 2
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(carried, left), _DEMODULATED)[::HOP_SAMPLES]
    angle = np.unwrap(np.angle(frames @ window))
    shifted = phase + to_samples(angle / (2 * np.pi))
    return shifted - np.round(shifted)


def polarity(wav: np.ndarray) -> float:
    """1 or -1: the sign that makes the pulses of a voice point upwards, which hangs on how a microphone is wired.

    The skewness of the whitened signal tells (as that of the linear-prediction residual, Drugman 2013).
    """
    spectrum = torch.stft(
        torch.from_numpy(wav), _WHITENED, _WHITENED // 4, window=torch.hann_window(_WHITENED), return_complex=True
    )
    power = spectrum.abs().square()
    smooth = torch.nn.functional.avg_pool1d(power.T[None], 15, 1, 7, count_include_pad=False)[0].T
    flat = spectrum / (smooth.sqrt() + 1e-3 * power.max().sqrt())
    white = torch.istft(flat, _WHITENED, _WHITENED // 4, window=torch.hann_window(_WHITENED))
    return 1.0 if float(white.pow(3).mean()) >= 0 else -1.0


def _to_short(phase: np.ndarray) -> np.ndarray:
    return np.clip(np.round(phase * 2 * _SHORT), -_SHORT, _SHORT - 1).astype(np.int16)
