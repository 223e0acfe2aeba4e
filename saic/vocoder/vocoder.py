"""The vocoder interface (log-mel and F0 to waveform), Griffin-Lim, and :func:`build_vocoder`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from torch import Tensor

from saic.config import Vocoder as Config
from saic.errors import WeightsError
from saic.signal.mel import FRAMES_PER_S, HOP_SAMPLES, N_FFT, filterbank
from saic.spool import Spool
from saic.vocoder.source_filter import NeuralVocoder, SourceFilter
from saic.weights import VOCODER, load_vocoder
from saic.weights.tensors import make_network

_SHORTEST_FRAMES, _LONGEST_FRAMES = 25 * FRAMES_PER_S, 30 * FRAMES_PER_S  # of a part for Griffin-Lim
_QUIET_FRAMES = 9  # around a joint, over which the level is averaged
_JOINT_FRAMES = 16  # at each end of a part that another part gives better


class Vocoder(Protocol):
    """Turns a log-mel of :mod:`saic.signal.mel` into a waveform."""

    def __call__(self, mel: Tensor, f0: Tensor) -> Tensor:
        """(80, T) log-mel and (T,) F0 in Hz, 0 where unvoiced, to (200 T,) waveform at 16 kHz."""
        ...

    def parts(self, mel: Spool, f0: Tensor) -> Iterator[Tensor]:
        """The same in parts of about 15 to 30 s, one after the other."""
        ...


class GriffinLim:
    """Fast Griffin-Lim (Perraudin et al. 2013) on a least-squares estimate of the linear spectrum.

    Deterministic: the initial phase is 0. F0 is not used. A recording of more than 30 s is divided
    at its quietest frames: phases of two parts differ, which is heard where they are joined.
    """

    def __init__(self, iterations: int):
        self.iterations = iterations
        self.inverse = torch.linalg.pinv(filterbank().T)  # (513, 80)
        self.window = torch.hann_window(N_FFT)

    def __call__(self, mel: Tensor, f0: Tensor) -> Tensor:
        """As :class:`Vocoder`."""
        return torch.cat(list(self.parts(Spool.of(mel), f0)))

    def parts(self, mel: Spool, f0: Tensor) -> Iterator[Tensor]:
        """As :class:`Vocoder`: 25 to 30 s each, but the last may be shorter."""
        start, n_frames, tail = 0, len(mel), None
        while start < n_frames:
            stop = n_frames
            if n_frames - start > _LONGEST_FRAMES:
                earliest = start + _SHORTEST_FRAMES
                level = mel[earliest : start + _LONGEST_FRAMES].exp().sum(dim=0, keepdim=True)
                quietest = F.avg_pool1d(level[None], _QUIET_FRAMES, 1).argmin()
                stop = earliest + int(quietest) + _QUIET_FRAMES // 2
            first, last = max(0, start - _JOINT_FRAMES), min(n_frames, stop + _JOINT_FRAMES)
            wav = self._synthesize(mel[first:last])[(start - first) * HOP_SAMPLES :]
            if tail is not None:  # cross-fade over the frames after the joint
                ramp = torch.linspace(0, 1, len(tail)).to(wav)
                wav[: len(tail)] = ramp * wav[: len(tail)] + (1 - ramp) * tail
            n_samples = (stop - start) * HOP_SAMPLES
            tail = wav[n_samples : n_samples + HOP_SAMPLES]
            yield wav[:n_samples]
            start = stop

    def _synthesize(self, mel: Tensor) -> Tensor:
        magnitude = (self.inverse.to(mel) @ mel.float().exp()).clamp_min(0)
        # The STFT centers frame t on sample t * hop, the mel on t * hop + hop / 2. One more frame,
        # and half a hop less, at each end align them.
        magnitude = torch.cat([magnitude[:, :1], magnitude, magnitude[:, -1:]], dim=1)
        length = (magnitude.shape[1] - 1) * HOP_SAMPLES
        wav = AF.griffinlim(
            magnitude,
            self.window.to(magnitude),
            N_FFT,
            HOP_SAMPLES,
            N_FFT,
            power=1.0,
            n_iter=self.iterations,
            momentum=0.99,
            length=length,
            rand_init=False,
        )
        return wav[HOP_SAMPLES // 2 : length - HOP_SAMPLES // 2]


def build_vocoder(config: Config, weights: Path | None = None, *, device: str = "cpu") -> Vocoder:
    """Build the vocoder of a config.

    Parameters
    ----------
    weights
        Weights folder with the tensors of a neural vocoder; not needed for Griffin-Lim.

    Raises
    ------
    WeightsError
        The tensors of a neural vocoder are missing or do not fit. There is no fallback.
    """
    if config.kind == "griffin-lim":
        return GriffinLim(config.iterations)
    if weights is None:
        raise WeightsError("A neural vocoder has weights. Name their folder.")
    sizes = config.channels, config.layers, config.kernel, config.expansion
    network = make_network(lambda: SourceFilter(*sizes), load_vocoder(weights), VOCODER)
    return NeuralVocoder(network.to(device).requires_grad_(False))
