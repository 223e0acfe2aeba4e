"""Log-mel front end: training, inference, evaluation and the web page all call :func:`log_mel`.

Frame t is centered on sample 200 t + 100, the middle of its hop, and a clip of N samples has
ceil(N / 200) frames.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional as AF

from saic.audio import SAMPLE_RATE
from saic.signal.filters import Samples

N_FFT = 1024
HOP_SAMPLES = 200
FRAMES_PER_S = SAMPLE_RATE // HOP_SAMPLES  # 80
N_MELS = 80
F_MAX_HZ = 8_000.0
_MARGIN = (N_FFT - HOP_SAMPLES) // 2  # samples of a window before, and after, the hop of its frame
FLOOR = 1e-5  # smallest magnitude; ln(1e-5) = -11.5 is the lowest value of a log-mel


@cache
@torch.inference_mode(False)  # the cached tensor is used in training too
def filterbank() -> torch.Tensor:
    """(513, 80) triangular filters, 0 to 8 kHz, of unit area (Slaney, Auditory Toolbox, 1998)."""
    return AF.melscale_fbanks(N_FFT // 2 + 1, 0.0, F_MAX_HZ, N_MELS, SAMPLE_RATE, norm="slaney", mel_scale="slaney")


@cache
@torch.inference_mode(False)
def _window() -> torch.Tensor:
    return torch.hann_window(N_FFT)


def log_mel(wav: torch.Tensor) -> torch.Tensor:
    """Natural logarithm of the mel magnitude spectrogram.

    Parameters
    ----------
    wav
        (..., N) float, 16 kHz, in [-1, 1]; N >= 1.

    Returns
    -------
    (..., 80, ceil(N / 200)), at least ln(1e-5) = -11.5.
    """
    n_samples = wav.shape[-1]
    n_frames = -(-n_samples // HOP_SAMPLES)
    flat = F.pad(wav.reshape(-1, n_samples).float(), (0, n_frames * HOP_SAMPLES - n_samples))
    return _log_mel(flat, _MARGIN, _MARGIN).reshape(*wav.shape[:-1], N_MELS, n_frames)


def log_mel_of_part(wav: Samples, start: int, stop: int, device: str = "cpu") -> torch.Tensor:
    """Frames ``start`` to ``stop`` of the :func:`log_mel` of (N,) samples: (80, stop - start)."""
    n_samples = len(wav)
    first, last = start * HOP_SAMPLES - _MARGIN, stop * HOP_SAMPLES + _MARGIN
    end = -(-n_samples // HOP_SAMPLES) * HOP_SAMPLES
    inner = max(first, 0), min(last, end)
    part = torch.as_tensor(wav[inner[0] : min(inner[1], n_samples)]).to(device).float()
    part = F.pad(part, (0, inner[1] - inner[0] - len(part)))
    return _log_mel(part[None], inner[0] - first, last - inner[1])[0]


def _log_mel(wav: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """(B, 80, T) from (B, N) samples and the numbers of samples to add at both ends."""
    # Reflection keeps the level of the first and last frames. A clip that is too short for it is
    # padded with zeros.
    mode = "reflect" if wav.shape[-1] > max(before, after) else "constant"
    padded = F.pad(wav[:, None], (before, after), mode=mode).squeeze(1)
    spectrum = torch.stft(padded, N_FFT, HOP_SAMPLES, window=_window().to(wav), center=False, return_complex=True)
    mel = filterbank().to(wav).T @ spectrum.abs()
    return mel.clamp_min(FLOOR).log()


def mel_frequencies_hz() -> np.ndarray:
    """(80,) center frequency of each mel bin."""
    bank = filterbank().numpy()
    return np.linspace(0.0, F_MAX_HZ, bank.shape[0])[bank.argmax(axis=0)]
