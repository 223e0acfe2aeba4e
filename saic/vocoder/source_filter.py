"""A small network that filters pulses and noise into speech: mel and pitch in, waveform out.

At the mel's own frame rate a ConvNeXt stack says, for every frame and frequency, how strong the pulses are, how
strong the noise, and how the pulses are delayed. Short-time spectra of both sources are scaled by that and added back
together (an inverse-STFT head, as in Vocos, Siuzdak 2023; pulses and noise as in the neural source-filter models of
Wang, Takaki & Yamagishi 2019). What the network says is a correction of a filter that is read off the mel.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.model.layers import Conv
from saic.signal.f0 import HARMONIC_MEL_CHANNELS, harmonic_mel
from saic.signal.mel import FLOOR, HOP_SAMPLES, N_MELS, SAMPLE_RATE, mel_frequencies_hz
from saic.vocoder.excitation import contour, cycles, noise, pulses, to_samples

WINDOW = 512  # 32 ms: the filter's resolution in time; that of its frequency is in the pulses themselves
BINS = WINDOW // 2 + 1
_MARGIN = (WINDOW - HOP_SAMPLES) // 2  # frame t is centred on sample 200 t + 100, as the mel's
_OVERLAP_FRAMES = -(-WINDOW // HOP_SAMPLES)  # frames on either side that share samples with a frame
_MAX_CORRECTION = 6.0  # nepers
_FIRST_GUESS = -1.8, -1.2, 0.0  # of the corrections, by their average on speech: pulses and noise in nepers, delay


class Block(nn.Module):
    """ConvNeXt block (Liu et al. 2022) in one dimension: depthwise convolution, norm, pointwise bottleneck."""

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
    """(B, 80, T) log-mel and (B, T) pitch to the filters of both sources, and both sources to a waveform."""

    def __init__(self, channels: int, layers: int, kernel: int, expansion: int):
        super().__init__()
        self.lead = Conv(N_MELS + HARMONIC_MEL_CHANNELS, channels, kernel)
        self.blocks = nn.ModuleList(Block(channels, kernel, expansion) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, 3 * BINS)
        nn.init.zeros_(self.out.weight)
        self.out.bias.data.copy_(torch.cat([torch.full((BINS,), level) for level in _FIRST_GUESS]))
        self.register_buffer("mel_mean", torch.zeros(N_MELS, 1))
        self.register_buffer("mel_std", torch.ones(N_MELS, 1))
        self.register_buffer("_spread", _mel_to_bins(), persistent=False)
        self.register_buffer("_window", torch.hann_window(WINDOW), persistent=False)
        self.receptive_field = 1 + (layers + 1) * (kernel - 1) + 2 * _OVERLAP_FRAMES

    def forward(self, mel: Tensor, f0: Tensor, pulse: Tensor, breath: Tensor) -> Tensor:
        """Filter.

        Parameters
        ----------
        mel
            (B, 80, T) natural-log magnitude.
        f0
            (B, T) pitch in Hz, 0 for unvoiced.
        pulse, breath
            (B, 200 T) pulse train of that pitch, and white noise.

        Returns
        -------
        (B, 200 T) waveform.
        """
        voiced, unvoiced = self.filters(mel, f0)
        return self._synthesise(voiced * self._analyse(pulse) + unvoiced * self._analyse(breath), pulse.shape[-1])

    def filters(self, mel: Tensor, f0: Tensor) -> tuple[Tensor, Tensor]:
        """Complex gain of the pulses and real gain of the noise, each (B, 257, T)."""
        voice = harmonic_mel(f0)
        x = self.lead(torch.cat([(mel - self.mel_mean) / self.mel_std, voice], dim=1)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        correction = self.out(self.norm(x)).transpose(1, 2)
        pulse_gain, noise_gain, delay = correction.split(BINS, dim=1)
        # Harmonics that the mel resolves are already in the pulses: divided by those of the pitch, what is left is
        # the envelope. A bin at the mel's floor holds nothing, so silence stays silence.
        present = self._spread @ (1 - FLOOR * torch.exp(-mel)).clamp(0, 1)
        envelope = self._spread @ (mel - voice[:, :N_MELS])
        log_gain = envelope + _MAX_CORRECTION * torch.tanh(pulse_gain / _MAX_CORRECTION)
        phase = minimum_phase(log_gain) + delay
        voiced = torch.polar(present * log_gain.exp(), phase)
        unvoiced = present * (self._spread @ mel + _MAX_CORRECTION * torch.tanh(noise_gain / _MAX_CORRECTION)).exp()
        return voiced, unvoiced

    def _analyse(self, wav: Tensor) -> Tensor:
        padded = F.pad(wav, (_MARGIN, _MARGIN))
        return torch.stft(padded, WINDOW, HOP_SAMPLES, window=self._window, center=False, return_complex=True)

    def _synthesise(self, spectrum: Tensor, n_samples: int) -> Tensor:
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
    """:class:`SourceFilter` behind the interface of :mod:`saic.vocoder.vocoder`, for recordings of any length.

    Deterministic: pulses start at phase zero, and the noise is that of a fixed seed. A long mel goes through in
    parts that overlap by ``receptive_field``; sources run through, so the parts fit together.
    """

    def __init__(self, network: SourceFilter, *, chunk_frames: int = 2_400):
        self.network = network.eval()
        self.receptive_field = network.receptive_field
        self._chunk, self._reach = chunk_frames, -(-network.receptive_field // 2)

    @torch.inference_mode()
    def __call__(self, mel: Tensor, f0: Tensor) -> Tensor:
        """(80, T) natural-log mel magnitude and (T,) pitch in Hz to (200 * T,) waveform at 16 kHz."""
        n_frames = mel.shape[-1]
        track = f0.cpu().numpy().astype(np.float64)
        hz = contour(track)
        sources = (cycles(hz), to_samples(hz), to_samples((track > 0).astype(np.float64)))
        phase, frequency, voicing = (torch.from_numpy(x).to(mel) for x in sources)
        pulse = pulses(phase, frequency, voicing)
        breath = noise(n_frames * HOP_SAMPLES).to(mel)
        parts = []
        for start in range(0, n_frames, self._chunk):
            stop = min(start + self._chunk, n_frames)
            first, last = max(0, start - self._reach), min(n_frames, stop + self._reach)
            samples = slice(first * HOP_SAMPLES, last * HOP_SAMPLES)
            near = mel[:, first:last], f0[first:last].to(mel), pulse[samples], breath[samples]
            wav = self.network(*(x[None] for x in near))
            parts.append(wav[0, (start - first) * HOP_SAMPLES : (stop - first) * HOP_SAMPLES])
        return torch.cat(parts)


def minimum_phase(log_gain: Tensor) -> Tensor:
    """Phase of the minimum-phase filter with a given gain.

    Vocal tracts are close to minimum phase. The phase is the gain's Hilbert transform, by folding the real cepstrum
    (Oppenheim & Schafer, Discrete-Time Signal Processing, ch. 13).

    Parameters
    ----------
    log_gain
        (B, 257, T) natural logarithm.

    Returns
    -------
    (B, 257, T) radians.
    """
    cepstrum = torch.fft.irfft(log_gain, dim=1)
    fold = torch.zeros(WINDOW, 1).to(log_gain)
    fold[0], fold[1 : WINDOW // 2], fold[WINDOW // 2] = 1, 2, 1
    return torch.fft.rfft(cepstrum * fold, dim=1).imag


def _mel_to_bins() -> Tensor:
    """(257, 80): straight lines between the centres of mel bins."""
    hz = np.linspace(0, SAMPLE_RATE / 2, BINS)
    rows = [np.interp(hz, mel_frequencies_hz(), unit) for unit in np.eye(N_MELS)]
    return torch.from_numpy(np.stack(rows, axis=1)).float()
