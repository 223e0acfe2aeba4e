"""What links recordings and must not pass the whole pipeline, with the bundled weights.

Each test converts recordings that differ in one thing alone, to one voice. The outputs must not tell
them apart by it.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from saic import audio
from saic.pipeline import Conversion, Pipeline
from saic.profiles import BALANCED, PROFILES, PROSODY_KEPT, STRICT
from saic.signal.loudness import loudness_lufs, true_peak
from saic.signal.mel import FRAMES_PER_S, HOP_SAMPLES, SAMPLE_RATE
from saic.signal.vad import main_speech_span, vowel_frames

CLIP = Path(__file__).parents[1] / "assets" / "examples" / "voice_a.flac"
AUDIBLE_DB = -25.0  # re the loudest frame
PAUSE_FRAMES = 16  # 0.2 s: what is shorter may be a consonant


@pytest.fixture(scope="module")
def bundled() -> Pipeline:
    return Pipeline.from_pretrained()


@cache
def speech() -> np.ndarray:
    """(N,) speech that begins and ends with a vowel, about 2.8 s."""
    wav = audio.load(CLIP)[: 3 * SAMPLE_RATE]
    first, last = main_speech_span(vowel_frames(wav))
    return wav[first * HOP_SAMPLES : last * HOP_SAMPLES]


def silence(duration_s: float) -> np.ndarray:
    return np.zeros(round(duration_s * SAMPLE_RATE), np.float32)


def converted(pipeline: Pipeline, wav: np.ndarray, profile: str) -> Conversion:
    voice = pipeline.gallery.voice(pipeline.gallery.names[0])
    return pipeline.convert((wav, SAMPLE_RATE), voice, profile=profile, seed=0)


def levels_db(wav: np.ndarray) -> np.ndarray:
    """(T,) level of every frame re the loudest one."""
    framed = wav[: len(wav) // HOP_SAMPLES * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)
    levels = 10 * np.log10(np.square(framed, dtype=np.float64).mean(axis=1) + 1e-20)
    return levels - levels.max()


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First frame of each run of True, and the frame after it."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def test_tracked_f0_reaches_the_output_as_far_as_the_profile_says(
    bundled: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strict uses none of it, balanced its changes below 1 Hz, which are the same in all three tracks."""
    n_frames = len(speech()) // HOP_SAMPLES
    even, burst = np.full(n_frames, 120, np.float32), np.zeros(n_frames)
    burst[60:160] = np.hanning(100) * np.sin(2 * np.pi * 8 * np.arange(100) / FRAMES_PER_S)
    vibrato = (even * 2 ** (0.2 * burst)).astype(np.float32)
    whispered = np.where(np.arange(n_frames) % 20 < 8, 0, even)
    made = {}
    for name, track in (("even", even), ("vibrato", vibrato), ("whispered", whispered)):
        monkeypatch.setattr("saic.conversion.track_f0", lambda wav, on_block, track=track: track)
        made[name] = {profile: converted(bundled, speech(), profile) for profile in PROFILES}
    for name in ("vibrato", "whispered"):
        assert np.array_equal(made[name][STRICT].wav, made["even"][STRICT].wav)
        assert not np.allclose(made[name][PROSODY_KEPT].wav, made["even"][PROSODY_KEPT].wav, atol=0.1)
    assert np.array_equal(made["whispered"][BALANCED].wav, made["even"][BALANCED].wav)
    f0 = {name: each[BALANCED].f0_hz["converted"] for name, each in made.items()}
    np.testing.assert_array_equal(f0["vibrato"] > 0, f0["even"] > 0)
    np.testing.assert_allclose(f0["vibrato"], f0["even"], rtol=1e-3)
    mels = [made[name][BALANCED].mels["converted"] for name in ("vibrato", "even")]
    # Where a harmonic is at the edge of a mel band, the remaining 0.1 % of F0 decides between two bands.
    assert np.abs(mels[0] - mels[1]).mean() < 0.02  # 0.2 in the profile prosody-kept


def test_strict_does_not_pass_the_lengths_of_pauses(bundled: Pipeline) -> None:
    half = len(speech()) // 2
    sources = (np.concatenate([speech()[:half], silence(gap_s), speech()[half:]]) for gap_s in (0.6, 1.0, 3.0))
    made = [converted(bundled, source, STRICT).wav for source in sources]
    assert max(map(len, made)) - min(map(len, made)) <= 2 * HOP_SAMPLES
    pauses = [[b - a for a, b in runs(levels_db(wav) < AUDIBLE_DB) if b - a >= PAUSE_FRAMES] for wav in made]
    assert len(pauses[0]) >= 3 and {len(each) for each in pauses} == {len(pauses[0])}
    assert np.ptp(pauses, axis=0).max() <= 8  # 0.1 s; the sources' pauses differ by 2.4 s


@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_passes_the_level(bundled: Pipeline, profile: str) -> None:
    made = [converted(bundled, gain * speech(), profile).wav for gain in (1.0, 0.1)]
    assert [loudness_lufs(wav) for wav in made] == pytest.approx([-23, -23], abs=0.1)
    peaks_db = [20 * np.log10(true_peak(wav)) for wav in made]
    assert peaks_db[0] == pytest.approx(peaks_db[1], abs=3)


@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_passes_an_offset(bundled: Pipeline, profile: str) -> None:
    made = converted(bundled, speech() + np.float32(0.05), profile).wav
    assert abs(float(made.mean())) < 1e-3


def test_edges_of_strict_have_one_length_however_a_recording_was_trimmed(bundled: Pipeline) -> None:
    edges = []
    for lead_s in (0.0, 0.05, 3.0):
        wav = converted(bundled, np.concatenate([silence(lead_s), speech(), silence(lead_s)]), STRICT).wav
        audible = np.flatnonzero(levels_db(wav) > AUDIBLE_DB)
        edges.append((audible[0], len(wav) // HOP_SAMPLES - 1 - audible[-1], len(wav) // HOP_SAMPLES))
        assert np.abs(wav[: HOP_SAMPLES // 2]).max() < 1e-4 > np.abs(wav[-HOP_SAMPLES // 2 :]).max()
    assert np.ptp(edges, axis=0).max() <= 3
    assert 0.2 * FRAMES_PER_S <= edges[0][0] <= 0.3 * FRAMES_PER_S
