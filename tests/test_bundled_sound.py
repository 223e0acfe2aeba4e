"""What the bundled weights must do to real speech, without a judge of quality."""

from pathlib import Path

import numpy as np
import pytest

from saic.pipeline import Pipeline
from saic.profiles import PROFILES

CLIP = Path(__file__).parents[1] / "assets" / "examples" / "voice_a.flac"


@pytest.fixture(scope="module")
def bundled() -> Pipeline:
    return Pipeline.from_pretrained()


def _jitter(f0_hz: np.ndarray) -> float:
    """Mean size of the second difference of log2 F0 between voiced neighbors, in semitones."""
    semitones = 12 * np.log2(np.where(f0_hz > 0, f0_hz, np.nan))
    return float(np.nanmean(np.abs(np.diff(semitones, 2))))


@pytest.mark.parametrize("profile", PROFILES)
def test_f0_of_every_profile_is_as_smooth_as_that_of_speech(bundled: Pipeline, profile: str) -> None:
    made = bundled.anonymize(CLIP, profile=profile, seed=0)
    assert 0 < _jitter(made.f0_hz["converted"]) < 2 * _jitter(made.f0_hz["original"])
