"""Training data of the vocoder: waveforms, log-mels, and F0 that fits the harmonics exactly."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saic import audio
from saic.signal.mel import FLOOR, HOP_SAMPLES, N_FFT, SAMPLE_RATE
from saic.training.clip_cache import cached
from saic.training.training_set import TrainingSet
from saic.vocoder import excitation
from saic.vocoder.excitation import smooth_f0

_SHORT = 2**15  # full scale of 16 bits
_PADDED = 4 * N_FFT  # FFT size: bins of 4 Hz, interpolated linearly
_STEPS = np.linspace(-0.035, 0.035, 15)  # candidates, in octaves re the tracked F0, which has steps of 0.021
_HARMONICS = 12
_TOP_HZ = 2_500.0
_REFINING = (excitation, sys.modules[__name__])  # modules that the refined F0 depends on


@dataclass(frozen=True)
class WaveformBatch:
    """A batch of B crops of S frames.

    ``mel`` (B, 80, S); ``f0`` (B, S) in Hz as tracked, 0 where unvoiced; ``hz`` (B, S) F0 refined
    and interpolated over unvoiced gaps; ``wav`` (B, 200 S); ``reconstructed`` (B, 80, S) mels
    reconstructed by a model, if one is given.
    """

    mel: Tensor
    f0: Tensor
    hz: Tensor
    wav: Tensor
    reconstructed: Tensor | None = None


class WaveformSet:
    """Waveforms of a :class:`~saic.training.training_set.TrainingSet` with stride 1."""

    def __init__(self, training_set: TrainingSet, reconstruct: Callable[[TrainingSet, int], Tensor] | None = None):
        """``reconstruct``: the log-mel (80, T) that a model reconstructs from a clip, by its index, of a set."""
        self.training_set = training_set
        wavs, pitches, reconstructed = [], [], []
        spans = zip(training_set.starts, training_set.lengths, strict=True)
        for k, (clip, (start, length)) in enumerate(zip(training_set.clips, spans, strict=True)):
            wav = audio.load(clip.path)[: length * HOP_SAMPLES]
            wav = np.pad(wav, (0, length * HOP_SAMPLES - len(wav)))
            f0 = training_set.f0[start : start + length].numpy().astype(np.float64)
            wavs.append(np.round(wav * (_SHORT - 1)).astype(np.int16))
            pitches.append(cached(clip.path, "refined F0", partial(_refined, wav, f0), modules=_REFINING)["hz"].numpy())
            if reconstruct is not None:
                reconstructed.append(reconstruct(training_set, k).half())
        self._wav, self._hz = np.concatenate(wavs), np.concatenate(pitches)
        self._reconstructed = torch.cat(reconstructed, dim=1) if reconstructed else None

    def sample(
        self, size: int, generator: np.random.Generator, *, gain_db: tuple[float, float] = (0.0, 0.0)
    ) -> WaveformBatch:
        """Random crops as by :meth:`TrainingSet.sample`, each at a random gain."""
        crops = self.training_set.sample(size, generator)
        frames = self.training_set.frame_rows(crops).numpy()
        samples = frames[:, :1] * HOP_SAMPLES + np.arange(frames.shape[1] * HOP_SAMPLES)
        gain = torch.from_numpy(10 ** (generator.uniform(*gain_db, size=(size, 1)) / 20)).float()

        def with_gain(mel: Tensor) -> Tensor:
            return (mel + gain.log()[..., None]).clamp_min(float(np.log(FLOOR)))

        return WaveformBatch(
            mel=with_gain(crops.mel),
            f0=crops.f0,
            hz=torch.from_numpy(self._hz[frames]),
            wav=torch.from_numpy(self._wav[samples].astype(np.float32) / _SHORT) * gain,
            reconstructed=None
            if self._reconstructed is None
            else with_gain(self._reconstructed[:, frames].transpose(0, 1).float()),
        )


def _refined(wav: np.ndarray, f0: np.ndarray) -> dict[str, Tensor]:
    """``hz`` (T,): refined F0, interpolated over unvoiced gaps; float32, since float16 has steps of 0.05 %."""
    return {"hz": torch.from_numpy(smooth_f0(refine_f0(wav, f0)).astype(np.float32))}


def refine_f0(wav: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """Refine a (T,) F0 track in Hz, by at most 2.5 %, to where the harmonics are strongest.

    An error of 1 % displaces the k-th harmonic by k % of F0: the 50th is then halfway between two
    of the recording's. A loss that resolves harmonics would favor noise over such pulses.
    """
    margin = (N_FFT - HOP_SAMPLES) // 2
    framed = F.pad(torch.from_numpy(wav).float(), (margin, margin)).unfold(0, N_FFT, HOP_SAMPLES)[: len(f0)]
    spectrum = torch.fft.rfft(framed * torch.hann_window(N_FFT), _PADDED).abs()
    candidates = torch.from_numpy(f0[:, None] * 2**_STEPS)  # (T, 15)
    harmonics = candidates[..., None] * torch.arange(1, _HARMONICS + 1)
    bins = (harmonics * _PADDED / SAMPLE_RATE).clamp(max=_PADDED // 2 - 1)
    low = bins.floor().long()
    part = (bins - low).float()
    rows = torch.arange(len(f0))[:, None, None]
    level = spectrum[rows, low] * (1 - part) + spectrum[rows, low + 1] * part
    score = (level.sqrt() * (harmonics < _TOP_HZ)).sum(dim=-1)
    best = score.argmax(dim=1, keepdim=True)
    return candidates.gather(1, best)[:, 0].numpy()
