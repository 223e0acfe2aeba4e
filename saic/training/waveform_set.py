"""What teaches the vocoder: recordings as samples, beside a pitch exact enough that harmonics fall on theirs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saic import audio
from saic.signal.mel import FLOOR, HOP_SAMPLES, N_FFT, SAMPLE_RATE
from saic.training.training_set import Corpus
from saic.vocoder.excitation import contour

_SHORT = 2**15
_PADDED = 4 * N_FFT  # the spectrum's grid of 4 Hz is read off in between
_STEPS = np.linspace(-0.035, 0.035, 15)  # octaves around the track, which moves in steps of 0.021
_HARMONICS = 12
_TOP_HZ = 2_500.0


@dataclass(frozen=True)
class Heard:
    """A batch for the vocoder.

    ``mel`` (B, 80, S); ``f0`` (B, S) in Hz, 0 for unvoiced, as tracked; ``hz`` (B, S) refined, without gaps; ``wav``
    (B, 200 S); ``rebuilt`` (B, 80, S) what a model makes of the mel, if one was asked.
    """

    mel: Tensor
    f0: Tensor
    hz: Tensor
    wav: Tensor
    rebuilt: Tensor | None = None


class Waveforms:
    """The samples of a :class:`~saic.training.training_set.Corpus` of stride 1, on the same time axis."""

    def __init__(self, corpus: Corpus, rebuild: Callable[[np.ndarray], np.ndarray] | None = None):
        """``rebuild`` takes a wav (N,) and gives what a model makes of its mel, (80, ceil(N / 200))."""
        self.corpus = corpus
        wavs, pitches, rebuilt = [], [], []
        for clip, start, length in zip(corpus.clips, corpus.starts, corpus.lengths, strict=True):
            wav = audio.load(clip.path)[: length * HOP_SAMPLES]
            wav = np.pad(wav, (0, length * HOP_SAMPLES - len(wav)))
            f0 = corpus.f0[start : start + length].numpy().astype(np.float64)
            wavs.append(np.round(wav * (_SHORT - 1)).astype(np.int16))
            pitches.append(contour(refine(wav, f0)).astype(np.float32))
            if rebuild is not None:
                rebuilt.append(torch.from_numpy(rebuild(wav)).half())
        self._wav, self._hz = np.concatenate(wavs), np.concatenate(pitches)
        self._rebuilt = torch.cat(rebuilt, dim=1) if rebuilt else None

    def sample(self, size: int, generator: np.random.Generator, *, gain_db: tuple[float, float] = (0.0, 0.0)) -> Heard:
        """Random crops as :meth:`Corpus.sample`, each at a random gain."""
        crops = self.corpus.sample(size, generator)
        frames = crops.grid.numpy()
        samples = frames[:, :1] * HOP_SAMPLES + np.arange(frames.shape[1] * HOP_SAMPLES)
        gain = torch.from_numpy(10 ** (generator.uniform(*gain_db, size=(size, 1)) / 20)).float()

        def louder(mel: Tensor) -> Tensor:
            return (mel + gain.log()[..., None]).clamp_min(float(np.log(FLOOR)))

        return Heard(
            mel=louder(crops.mel),
            f0=crops.f0,
            hz=torch.from_numpy(self._hz[frames]),
            wav=torch.from_numpy(self._wav[samples].astype(np.float32) / _SHORT) * gain,
            rebuilt=None if self._rebuilt is None else louder(self._rebuilt[:, frames].transpose(0, 1).float()),
        )


def refine(wav: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """Move every voiced frame of a (T,) track to where the recording's harmonics stand highest, by at most 2.5 %.

    A track that is 1 % off puts the tenth harmonic between the recording's own, and a loss that can tell harmonics
    apart would have noise rather than that.
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
