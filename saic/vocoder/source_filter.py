"""Neural source-filter vocoder: log-mel and F0 to waveform.

A ConvNeXt stack at the mel's frame rate predicts, per frame and frequency, the gain of a pulse
train, the gain of white noise and a phase for the pulses. The short-time spectra of both
excitations are multiplied by these filters, added, and inverted (inverse STFT as in Vocos, Siuzdak
2023; pulses and noise as in the neural source-filter models of Wang, Takaki & Yamagishi 2019). The
network's output is added to log-gains that are interpolated from the mel.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.model.layers import Conv
from saic.signal.f0 import HARMONIC_MEL_CHANNELS, harmonic_mel
from saic.signal.mel import FLOOR, HOP_SAMPLES, N_MELS, SAMPLE_RATE, mel_frequencies_hz
from saic.spool import Spool
from saic.vocoder.excitation import Excitation, pulses, smooth_f0, to_samples

WINDOW = 512  # 32 ms; the filters need not resolve harmonics, since the pulses have them
BINS = WINDOW // 2 + 1
_MARGIN = (WINDOW - HOP_SAMPLES) // 2  # frame t is centered on sample 200 t + 100, as in the mel
_OVERLAP_FRAMES = -(-WINDOW // HOP_SAMPLES)  # frames before, and after, that overlap a frame
_MAX_CORRECTION = 6.0  # nepers
# Initial output, the average on speech: correction of both gains (nepers), pulses' phase (rad).
_INITIAL = -1.8, -1.2, 0.0


class ConvNextBlock(nn.Module):
    """1-D ConvNeXt block (Liu et al. 2022): depthwise convolution, norm, inverted bottleneck."""

    def __init__(self, channels: int, kernel: int, expansion: int):
        super().__init__()
        self.kernel = kernel
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, channels) to the same shape."""
        y = F.pad(x.transpose(1, 2), (self.kernel // 2, self.kernel // 2), mode="replicate")
        y = self.norm(self.depthwise(y).transpose(1, 2))
        return x + self.scale * self.narrow(F.gelu(self.widen(y), approximate="tanh"))


class SourceFilter(nn.Module):
    """Network that predicts both excitations' filters from log-mel and F0, and applies them."""

    def __init__(self, channels: int, layers: int, kernel: int, expansion: int):
        super().__init__()
        self.lead = Conv(N_MELS + HARMONIC_MEL_CHANNELS, channels, kernel)
        self.blocks = nn.ModuleList(ConvNextBlock(channels, kernel, expansion) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, 3 * BINS)
        nn.init.zeros_(self.out.weight)
        self.out.bias.data.copy_(torch.cat([torch.full((BINS,), level) for level in _INITIAL]))
        self.register_buffer("mel_mean", torch.zeros(N_MELS, 1))
        self.register_buffer("mel_std", torch.ones(N_MELS, 1))
        self.register_buffer("_spread", _mel_to_bins(), persistent=False)
        self.register_buffer("_window", torch.hann_window(WINDOW), persistent=False)
        self.receptive_field = 1 + (layers + 1) * (kernel - 1) + 2 * _OVERLAP_FRAMES

    def forward(self, mel: Tensor, f0: Tensor, pulse: Tensor, noise: Tensor) -> Tensor:
        """Synthesize.

        Parameters
        ----------
        mel
            (B, 80, T) natural-log magnitude.
        f0
            (B, T) in Hz, 0 where unvoiced.
        pulse, noise
            (B, 200 T) pulse train with that F0, and white noise.

        Returns
        -------
        (B, 200 T) waveform.
        """
        voiced, unvoiced = self.filters(mel, f0)
        return self._istft(voiced * self._stft(pulse) + unvoiced * self._stft(noise), pulse.shape[-1])

    def filters(self, mel: Tensor, f0: Tensor) -> tuple[Tensor, Tensor]:
        """Complex filter of the pulses and real gain of the noise, each (B, 257, T)."""
        harmonics = harmonic_mel(f0)
        x = self.lead(torch.cat([(mel - self.mel_mean) / self.mel_std, harmonics], dim=1)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        correction = self.out(self.norm(x)).transpose(1, 2)
        pulse_gain, noise_gain, phase_offset = correction.split(BINS, dim=1)
        # Both the mel and the pulses contain the harmonics of F0. Subtracting their log-mel leaves
        # the envelope. A band at the mel's floor gets gain 0, so that silence stays silent.
        present = self._spread @ (1 - FLOOR * torch.exp(-mel)).clamp(0, 1)
        envelope = self._spread @ (mel - harmonics[:, :N_MELS])
        log_gain = envelope + _MAX_CORRECTION * torch.tanh(pulse_gain / _MAX_CORRECTION)
        phase = minimum_phase(log_gain) + phase_offset
        voiced = torch.polar(present * log_gain.exp(), phase)
        unvoiced = present * (self._spread @ mel + _MAX_CORRECTION * torch.tanh(noise_gain / _MAX_CORRECTION)).exp()
        return voiced, unvoiced

    def _stft(self, wav: Tensor) -> Tensor:
        padded = F.pad(wav, (_MARGIN, _MARGIN))
        return torch.stft(padded, WINDOW, HOP_SAMPLES, window=self._window, center=False, return_complex=True)

    def _istft(self, spectrum: Tensor, n_samples: int) -> Tensor:
        """Least-squares overlap-add (Griffin & Lim 1984, Eq. 6)."""
        frames = torch.fft.irfft(spectrum, dim=1) * self._window[:, None]
        weight = self._window.square()[None, :, None].expand(1, -1, frames.shape[-1])
        size = n_samples + 2 * _MARGIN
        added, weights = (
            F.fold(x, (1, size), (1, WINDOW), stride=(1, HOP_SAMPLES))[:, 0, 0, _MARGIN : size - _MARGIN]
            for x in (frames, weight)
        )
        return added / weights


class NeuralVocoder:
    """Vocoder (:class:`~saic.vocoder.vocoder.Vocoder`) for any length, with a trained network.

    Deterministic: pulses start at phase 0, and the noise has a fixed seed. A long mel is processed
    in chunks that overlap by ``receptive_field``. The excitation is that of the whole recording, so
    the output does not depend on the chunks.
    """

    def __init__(self, network: SourceFilter, *, chunk_frames: int = 1_200):
        self.network = network.eval()
        self.receptive_field = network.receptive_field
        self._chunk, self._reach = chunk_frames, -(-network.receptive_field // 2)

    def __call__(self, mel: Tensor, f0: Tensor) -> Tensor:
        """(80, T) natural-log mel magnitude and (T,) F0 in Hz to (200 * T,) waveform at 16 kHz."""
        return torch.cat(list(self.parts(Spool.of(mel), f0)))

    def parts(self, mel: Spool, f0: Tensor) -> Iterator[Tensor]:
        """The output of :meth:`__call__` in parts of at most 15 s."""
        n_frames = len(mel)
        track = f0.cpu().numpy().astype(np.float64)
        hz, voiced = smooth_f0(track), (track > 0).astype(np.float64)
        excitation = Excitation(hz)
        for start in range(0, n_frames, self._chunk):
            stop = min(start + self._chunk, n_frames)
            first, last = max(0, start - self._reach), min(n_frames, stop + self._reach)
            phase, white = excitation.part(first, last)
            sampled = phase, to_samples(hz, first, last), to_samples(voiced, first, last), white
            with torch.inference_mode():
                part = mel[first:last]
                *pulse, white = (torch.from_numpy(x).to(part) for x in sampled)
                wav = self.network(part[None], f0[None, first:last].to(part), pulses(*pulse)[None], white[None])
            yield wav[0, (start - first) * HOP_SAMPLES : (stop - first) * HOP_SAMPLES]


def minimum_phase(log_gain: Tensor) -> Tensor:
    """Phase of the minimum-phase filter with a given gain, since the vocal tract is nearly one.

    It is computed by folding the real cepstrum (Oppenheim & Schafer, Discrete-Time Signal
    Processing, ch. 13).

    Parameters
    ----------
    log_gain
        (B, 257, T) natural logarithm of the magnitude.

    Returns
    -------
    (B, 257, T) radians.
    """
    cepstrum = torch.fft.irfft(log_gain, dim=1)
    fold = torch.zeros(WINDOW, 1).to(log_gain)
    fold[0], fold[1 : WINDOW // 2], fold[WINDOW // 2] = 1, 2, 1
    return torch.fft.rfft(cepstrum * fold, dim=1).imag


def _mel_to_bins() -> Tensor:
    """(257, 80) linear interpolation between the centers of mel bands."""
    hz = np.linspace(0, SAMPLE_RATE / 2, BINS)
    rows = [np.interp(hz, mel_frequencies_hz(), unit) for unit in np.eye(N_MELS)]
    return torch.from_numpy(np.stack(rows, axis=1)).float()
