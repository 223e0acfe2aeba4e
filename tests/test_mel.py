"""Log-mel, speech mask and Griffin-Lim: frames, levels, round trips."""

import numpy as np
import pytest
import torch

from saic import audio
from saic.errors import SilentAudio, TooShort
from saic.signal import mel, vad
from saic.signal.mel import FLOOR, filterbank, log_mel, mel_frequencies_hz
from saic.vocoder.vocoder import GriffinLim
from tests.conftest import voice


@pytest.mark.parametrize("n_samples", [1, 199, 200, 201, 1000, 16_000, 16_001])
def test_mel_and_speech_mask_have_one_frame_per_hop(n_samples: int) -> None:
    wav = 0.1 * np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    n_frames = -(-n_samples // 200)
    assert log_mel(torch.from_numpy(wav)).shape == (80, n_frames)
    assert vad.speech_frames(wav).shape == (n_frames,)


def test_tone_peaks_in_its_bin_and_doubled_amplitude_adds_log_two() -> None:
    tone = 0.2 * torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)
    mel = log_mel(tone)
    peak = mel[:, 40].argmax()
    assert abs(mel_frequencies_hz()[peak] - 1000) < 50
    torch.testing.assert_close(log_mel(2 * tone)[peak, 40] - mel[peak, 40], torch.tensor(2.0).log())


def test_silence_gives_the_floor_and_a_batch_the_mels_of_its_clips() -> None:
    assert torch.all(log_mel(torch.zeros(1000)) == torch.tensor(FLOOR).log())
    batch = torch.randn(3, 5000)
    torch.testing.assert_close(log_mel(batch)[1], log_mel(batch[1]))
    assert filterbank().shape == (513, 80)


def test_gradient_passes_after_a_first_mel_in_inference_mode() -> None:
    filterbank.cache_clear()
    mel._window.cache_clear()
    with torch.inference_mode():
        log_mel(torch.zeros(1_000))
    wav = torch.randn(1_000, requires_grad=True)
    log_mel(wav).sum().backward()
    assert wav.grad.abs().sum() > 0


def test_click_has_its_energy_within_one_frame_of_its_sample() -> None:
    for sample in (100, 4_321, 15_900):
        wav = torch.zeros(16_000)
        wav[sample] = 1.0
        energy = log_mel(wav).exp().sum(dim=0)
        assert abs(int(energy.argmax()) - sample // 200) <= 1


def test_speech_mask_excludes_pauses_and_does_not_change_with_gain_or_offset() -> None:
    speech = voice(120, 2.0)
    wav = np.concatenate([np.zeros(16_000, np.float32), speech, np.zeros(16_000, np.float32)])
    marked = vad.speech_frames(wav)
    assert marked[:70].sum() == 0 and marked[-70:].sum() == 0 and marked[80:240].mean() > 0.5
    assert np.array_equal(marked, vad.speech_frames(0.1 * wav))
    assert np.array_equal(marked, vad.speech_frames(wav + 0.05))


def test_silence_raises_silent_audio_and_too_little_speech_raises_too_short() -> None:
    with pytest.raises(SilentAudio, match="microphone"):
        vad.require_speech(np.zeros(32_000, np.float32))
    short = np.concatenate([np.zeros(32_000, np.float32), voice(120, 0.2)])
    with pytest.raises(TooShort, match=r"0\.5 s are needed"):
        vad.require_speech(short)
    vad.require_speech(voice(120, 3.0))


@pytest.mark.parametrize("n_samples", [8_000, 15_999, 16_001])
def test_griffin_lim_keeps_length_position_and_level(n_samples: int) -> None:
    wav = torch.from_numpy(voice(150, 1.1))[:n_samples]
    mel = log_mel(wav)
    vocoder, f0 = GriffinLim(32), torch.zeros(mel.shape[1])
    wav_again = vocoder(mel, f0)
    assert wav_again.shape == (200 * mel.shape[1],)
    assert torch.equal(wav_again, vocoder(mel, f0)), "the same mel must give the same waveform"
    loud = mel > mel.max() - 5
    error = (log_mel(wav_again) - mel)[loud].abs().mean()
    shifted = (log_mel(torch.roll(wav_again, 400)) - mel)[loud].abs().mean()
    assert error < 0.4 and error < 0.7 * shifted


def test_training_set_and_pipeline_compute_the_same_mel(tmp_path) -> None:
    from saic.data.manifest import Clip
    from saic.pipeline import Pipeline
    from saic.training.training_set import TrainingSet

    path = tmp_path / "clip.wav"
    audio.save(path, voice(130, 2.0))
    clip = Clip(path, "u", "s", None, 2.0, None, "train")
    training_set = TrainingSet([clip], segment_frames=80, stride=4)
    pipeline = Pipeline.__new__(Pipeline)
    pipeline.device = "cpu"
    mel = pipeline._read(path).mel[0]
    torch.testing.assert_close(training_set.clip_mel(0), mel, atol=5e-3, rtol=0)  # stored as float16
