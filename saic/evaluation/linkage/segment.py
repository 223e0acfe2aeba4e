"""A piece of a recording, and what several kinds of evidence measure of it."""

from functools import cached_property

import numpy as np
import torch

from saic.signal.f0 import track_f0
from saic.signal.mel import HOP_SAMPLES, log_mel
from saic.signal.vad import speech_frames

_FLOOR_POWER = 1e-13  # -130 dBFS: below 24-bit resolution
_ENERGY_WINDOW = np.array([0.5, 1.0, 1.0, 0.5]) / 3  # of half hops: 25 ms, over which pitch periods average out


class Segment:
    """A piece of a recording; every other attribute is computed from its samples when first used.

    Attributes
    ----------
    wav
        (N,) float32 in [-1, 1], 16 kHz.
    f0
        (T,) float32 in Hz, T = ceil(N / 200); 0 in unvoiced frames.
    mel
        (80, T) float32 log-mel.
    speech
        (T,) bool: frames of speech.
    energy_db
        (T,) float32: level in dBFS over 25 ms around the frame's center, without DC; at least -130.
    """

    def __init__(self, wav: np.ndarray):
        self.wav = np.asarray(wav, dtype=np.float32)

    @cached_property
    def f0(self) -> np.ndarray:
        return track_f0(self.wav) if len(self.wav) else np.zeros(0, np.float32)

    @cached_property
    def mel(self) -> np.ndarray:
        return log_mel(torch.from_numpy(self.wav)).numpy()

    @cached_property
    def speech(self) -> np.ndarray:
        return speech_frames(self.wav) if len(self.wav) else np.zeros(0, bool)

    @cached_property
    def energy_db(self) -> np.ndarray:
        half = HOP_SAMPLES // 2
        n_frames = -(-len(self.wav) // HOP_SAMPLES)
        if n_frames == 0:
            return np.zeros(0, np.float32)
        centered = self.wav - self.wav.mean(dtype=np.float64)
        padded = np.pad(centered, (0, n_frames * HOP_SAMPLES - len(centered)))
        power = np.square(padded).reshape(-1, half).mean(axis=1)
        power = np.convolve(np.pad(power, 1, mode="edge"), _ENERGY_WINDOW, mode="valid")[::2]
        return (10 * np.log10(np.maximum(power, _FLOOR_POWER))).astype(np.float32)
