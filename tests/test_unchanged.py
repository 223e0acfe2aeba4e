"""The sound of 0.9.0, sample by sample. This test leaves with the first release that changes the sound on purpose."""

from pathlib import Path

import numpy as np
import soundfile

import saic
from saic import audio

ROOT = Path(__file__).parents[1]
RATE = 16_000


def test_bundled_weights_give_the_samples_of_version_0_9() -> None:
    """Synthetic clips; channels: conversion, reconstruction, pseudonym. Another processor may round otherwise."""
    source = audio.load(ROOT / "assets/examples/voice_a.flac")[RATE : 3 * RATE]
    target = audio.load(ROOT / "assets/examples/voice_e.flac")[RATE : 5 * RATE]
    pipeline = saic.Pipeline.from_pretrained()
    converted = pipeline.convert((source, RATE), (target, RATE))
    pseudonym = pipeline.anonymize((source, RATE), seed=1)
    wanted, _ = soundfile.read(ROOT / "tests/data/conversion_0.9.flac", dtype="float32")
    found = np.stack([converted.wav, converted.reconstruction, pseudonym.wav], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
