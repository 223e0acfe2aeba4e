"""Recordings of any length, made of the example clips."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from saic import audio

EXAMPLES = sorted((Path(__file__).parents[1] / "assets" / "examples").glob("voice_*.flac"))


def write_repeated(path: Path, clips: Iterable[np.ndarray], seconds: float) -> None:
    """Write clips (N,) one after the other, again and again, as one WAV or FLAC file of a length."""
    n_left = round(seconds * audio.SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", audio.SAMPLE_RATE, 1, subtype="PCM_16") as file:
        for clip in itertools.cycle(clips):
            file.write(clip[:n_left])
            if (n_left := n_left - len(clip)) <= 0:
                return
