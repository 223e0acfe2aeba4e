"""What the bundled weights must do to real speech, without a judge of quality."""

from pathlib import Path

import numpy as np
import pytest

from saic import audio
from saic.evaluation.protection import ProtectionMeasurer
from saic.gallery import MAX_PSEUDONYM_SIMILARITY
from saic.pipeline import Pipeline
from saic.profiles import PROFILES
from saic.web.protection_card import verdict
from tests.conftest import RATE

EXAMPLES = sorted((Path(__file__).parents[1] / "assets" / "examples").glob("*.flac"))
CLIP = EXAMPLES[0]


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


def test_pseudonyms_of_the_bundled_gallery_are_told_to_be_other_people(bundled: Pipeline) -> None:
    """By the judge of the page, on the example voices, with pseudonyms that are drawn again while they are near."""
    pytest.importorskip("resemblyzer")
    measurer, told, similarities = ProtectionMeasurer(bundled), {}, []
    assert measurer.verifier.independent
    for seed, path in enumerate(EXAMPLES):
        wav = audio.load(path)[: 4 * RATE]
        made = bundled.anonymize((wav, RATE), voice=bundled.pseudonym(unlike=(wav, RATE), seed=seed))
        told[path.stem] = verdict(measurer.measure_similarity(wav, made.wav, None))[0]
        similarities.append(made.voice_similarity)
    assert told == dict.fromkeys(told, "good") and len(told) == 6
    assert np.median(similarities) <= MAX_PSEUDONYM_SIMILARITY
    assert verdict(measurer.measure_similarity(wav, wav, None))[0] == "little"
