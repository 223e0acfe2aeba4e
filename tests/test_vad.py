"""Speech frames, the main speaker's frames, and recordings without speech."""

import re

import numpy as np
import pytest
import torch

from saic.conversion import Source, muted
from saic.errors import NotSpeech
from saic.signal.masking import mel_power, quiet_frames
from saic.signal.mel import FLOOR, HOP_SAMPLES
from saic.signal.vad import (
    main_speech_frames,
    main_speech_span,
    require_speech,
    require_varied,
    speech_frames,
    vowel_frames,
)
from saic.spool import Spool
from saic.web.texts import LANGUAGES, translated
from tests.conftest import RATE, voice

TIME = np.arange(3 * RATE) / RATE


def with_gain(wav: np.ndarray, db: float) -> np.ndarray:
    """A wav at a level in dBFS rms."""
    return (wav * 10 ** (db / 20) / np.sqrt(np.mean(wav**2))).astype(np.float32)


SPEECH = with_gain(voice(140, 3.0), -40)


@pytest.mark.parametrize(
    "disturbance",
    [0.1 * np.sqrt(2) * np.sin(2 * np.pi * 50 * TIME), np.full(3 * RATE, 0.1)],
    ids=["hum of 50 Hz", "DC offset"],
)
def test_quiet_voice_in_hum_or_offset_has_the_frames_of_the_voice_alone(disturbance: np.ndarray) -> None:
    clean, disturbed = speech_frames(SPEECH), speech_frames((SPEECH + disturbance).astype(np.float32))
    assert (clean == disturbed).mean() > 0.97 and 0.3 < clean.mean() < 0.95
    require_varied((SPEECH + disturbance).astype(np.float32))


@pytest.mark.parametrize(("n_knocks", "duration_s"), [(1, 0.1), (2, 0.1), (5, 0.1), (150, 0.1), (1, 0.4), (3, 0.3)])
def test_quiet_voice_after_knocks_is_speech_and_the_knocks_are_not(n_knocks: int, duration_s: float) -> None:
    knock = with_gain(np.random.default_rng(0).standard_normal(int(duration_s * RATE)), -3)
    pause = np.zeros(RATE // 4, np.float32)
    wav = np.concatenate([*[pause, knock] * n_knocks, pause, SPEECH])
    require_speech(wav)
    start = (len(wav) - len(SPEECH)) // HOP_SAMPLES
    assert (speech_frames(wav)[start:] == speech_frames(SPEECH)[-len(speech_frames(wav)[start:]) :]).mean() > 0.95
    assert main_speech_frames(vowel_frames(wav))[start:].mean() > 0.85
    assert not main_speech_frames(vowel_frames(wav))[: start - 12].any()


def knocked(decay_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Speech with a knock 26 dB above it in its middle, and (T,) bool: the frames beside the knock."""
    time = np.arange(RATE // 2) / RATE
    knock = np.random.default_rng(0).standard_normal(len(time)) * np.exp(-time / decay_s) * (time < 5 * decay_s)
    wav, start = SPEECH.copy(), len(SPEECH) // 2
    wav[start : start + len(knock)] += with_gain(knock, -14)
    beside = np.ones(-(-len(wav) // HOP_SAMPLES), dtype=bool)
    beside[start // HOP_SAMPLES - 12 : (start + len(knock)) // HOP_SAMPLES + 12] = False
    return wav, beside


def test_knock_in_the_middle_of_speech_is_no_reference_for_its_level() -> None:
    wav, beside = knocked(0.02)
    source, plain = Source(Spool.of(wav)), Source(Spool.of(SPEECH))
    speech = torch.from_numpy(beside) & plain.kept
    quiet = quiet_frames(source.power, source.loud)
    assert torch.equal(quiet[speech], quiet_frames(plain.power, plain.loud)[speech])
    converted = plain.mel[:]  # the decoder limits the knock
    made = muted(iter([converted]), source.kept, source.loud, source.power)[:]
    torch.testing.assert_close(made[:, speech], converted[0][:, speech])


def test_speech_level_does_not_hold_the_end_of_a_knock() -> None:
    wav, _ = knocked(0.04)
    quieter = with_gain(voice(140, 3.0), -55)  # the same person, 15 dB quieter
    kept = main_speech_frames(vowel_frames(np.concatenate([wav, quieter])))[-len(quieter) // HOP_SAMPLES :]
    expected = main_speech_frames(vowel_frames(np.concatenate([SPEECH, quieter])))[-len(quieter) // HOP_SAMPLES :]
    assert kept.sum() > 0.95 * expected.sum()


def test_conversion_of_which_little_is_kept_says_so() -> None:
    other = with_gain(voice(220, 3.0), -50)
    loud, quiet = with_gain(voice(120, 2.0), -20), [other] * 8
    assert Source(Spool.of(np.concatenate([loud, *quiet[:1]]))).notes == ()
    (note,) = Source(Spool.of(np.concatenate([loud, *quiet]))).notes
    assert re.fullmatch(r"Only 2\.\d s of 1\d\.\d s of sound are kept: .*", note)
    for texts in LANGUAGES.values():
        assert (translated(texts, note) == note) == (texts.CODE == "en")


def test_short_answers_beside_a_quieter_voice_and_noise_are_no_knocks() -> None:
    """Some "yes" of 0.3 s, 25 dB above another speaker, or above steady noise."""
    answer = with_gain(voice(120, 3.0)[:4800], -20)
    other = with_gain(voice(220, 2.0), -45)
    for between in (other, with_gain(np.random.default_rng(1).standard_normal(RATE), -45)):
        wav = np.concatenate([answer, between] * 4)
        kept = main_speech_frames(vowel_frames(wav))
        for k in range(4):
            start = k * (len(answer) + len(between)) // HOP_SAMPLES
            assert kept[start : start + 24].mean() > 0.8


def test_background_voice_30_db_below_is_not_in_the_main_speakers_frames() -> None:
    background = with_gain(voice(230, 2.0), -70)
    wav = np.concatenate([SPEECH, np.zeros(RATE // 2, np.float32), background, np.zeros(RATE // 2, np.float32), SPEECH])
    main = main_speech_frames(vowel_frames(wav))
    first, last = (len(SPEECH) + RATE // 2) // HOP_SAMPLES, (len(SPEECH) + RATE // 2 + len(background)) // HOP_SAMPLES
    assert speech_frames(wav)[first:last].any()  # it is within the 35 dB of a pause
    assert not main[first:last].any()
    assert main[: len(SPEECH) // HOP_SAMPLES].mean() > 0.85


def test_main_speakers_frames_hold_all_louder_frames_and_do_not_change_with_gain() -> None:
    vowels = vowel_frames(SPEECH)
    main = main_speech_frames(vowels)
    assert vowels.any() and main[vowels].all()
    np.testing.assert_array_equal(main, main_speech_frames(vowel_frames(20 * SPEECH)))
    assert len(main_speech_frames(vowel_frames(np.zeros(0, np.float32)))) == 0
    assert not main_speech_frames(vowel_frames(np.zeros(RATE, np.float32))).any()


def test_span_of_speech_moves_with_the_silence_before_it_and_not_with_gain() -> None:
    first, last = main_speech_span(vowel_frames(SPEECH))
    for before in (0, 3, 240):  # frames
        silence = np.zeros(before * HOP_SAMPLES, np.float32)
        wav = np.concatenate([silence, 0.1 * SPEECH[first * HOP_SAMPLES : last * HOP_SAMPLES], silence])
        assert main_speech_span(vowel_frames(wav)) == (before, before + last - first)
    assert main_speech_span(vowel_frames(np.zeros(RATE, np.float32))) == (0, RATE // HOP_SAMPLES)


@pytest.mark.parametrize(
    "wav",
    [
        0.3 * np.sin(2 * np.pi * 440 * TIME),
        0.1 * np.random.default_rng(0).standard_normal(3 * RATE),
        0.2 * sum(np.sin(2 * np.pi * 150 * k * TIME) / k for k in range(1, 20)),
    ],
    ids=["tone", "noise", "buzz"],
)
def test_steady_sound_is_not_speech(wav: np.ndarray) -> None:
    with pytest.raises(NotSpeech, match="steady sound"):
        require_varied(wav.astype(np.float32))


def test_speech_in_noise_as_loud_as_itself_is_speech() -> None:
    noise = with_gain(np.random.default_rng(0).standard_normal(len(SPEECH)), -40)
    require_varied(SPEECH + noise)


def mute(mel: torch.Tensor, kept: torch.Tensor, source: torch.Tensor | None = None) -> torch.Tensor:
    """(1, 80, T) of the same, as a conversion mutes it."""
    return muted(iter([mel]), kept, kept, None if source is None else mel_power(source))[:][None]


def test_muted_frames_are_at_the_floor_and_kept_ones_unchanged() -> None:
    mel, kept = torch.randn(1, 80, 60) - 3, torch.zeros(60, dtype=torch.bool)
    kept[20:40] = True
    made = mute(mel, kept)
    assert torch.equal(made[..., 20:40], mel[..., 20:40])
    outside = torch.cat([made[..., :7], made[..., 53:]], dim=-1)
    torch.testing.assert_close(outside, torch.full_like(outside, float(np.log(FLOOR))))
    assert torch.equal(mute(mel, torch.ones(60, dtype=torch.bool)), mel)


def test_muting_is_6_db_after_half_of_the_fade() -> None:
    kept = torch.arange(60) >= 30
    gain_db = 20 / np.log(10) * mute(torch.zeros(1, 80, 60), kept)[0, 0].numpy()
    assert gain_db[24] == pytest.approx(-6, abs=1) and gain_db[29] > -1  # 75 ms and 12.5 ms before kept frames
    assert (np.diff(gain_db) >= 0).all()


def _log_mel(noise_db: float, speech_db: float) -> torch.Tensor:
    """(1, 80, 60): speech at frames 20 to 39, noise before and after."""
    level_db = torch.full((1, 80, 60), noise_db)
    level_db[..., 20:40] = speech_db
    return level_db * np.log(10) / 20


@pytest.mark.parametrize("noise_db", [-50, -60, -90])
def test_quiet_frames_do_not_depend_on_how_quiet_they_are(noise_db: float) -> None:
    kept = torch.ones(60, dtype=torch.bool)
    quiet = quiet_frames(mel_power(_log_mel(noise_db, -20)), kept)
    assert quiet.nonzero().flatten().tolist() == [*range(16), *range(44, 60)]
    assert not quiet_frames(mel_power(_log_mel(-40, -20)), kept).any()


def test_noise_beside_speech_is_not_louder_than_in_the_source() -> None:
    """Noise 40 dB below the speech of the source and 20 dB below that of the conversion."""
    kept = torch.zeros(60, dtype=torch.bool)
    kept[8:60] = True
    source, converted = _log_mel(-60, -20), _log_mel(-30, -10)
    made = mute(converted, kept, source)
    limited = [*range(8, 16), *range(44, 60)]  # farther than 50 ms from the speech
    torch.testing.assert_close(made[..., limited], _log_mel(-50, -10)[..., limited])
    assert torch.equal(made[..., 16:44], converted[..., 16:44])
    quieter = _log_mel(-70, -10)
    assert torch.equal(mute(quieter, kept, source)[..., 8:], quieter[..., 8:])
