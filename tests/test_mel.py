"""The one front end, the speech mask and Griffin-Lim: grids, levels, round trips."""

import numpy as np
import pytest
import torch

from saic import audio
from saic.errors import SilentAudio, TooShort
from saic.signal import mel
from saic.signal import vad as activity
from saic.signal.mel import FLOOR, filterbank, log_mel, mel_frequencies_hz
from saic.vocoder.vocoder import GriffinLim
from tests.conftest import voice


@pytest.mark.parametrize("n_samples", [1, 199, 200, 201, 1000, 16_000, 16_001])
def test_a_frame_stands_for_one_hop(n_samples: int) -> None:
    wav = 0.1 * np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    n_frames = -(-n_samples // 200)
    assert log_mel(torch.from_numpy(wav)).shape == (80, n_frames)
    assert activity.speech_frames(wav).shape == (n_frames,)


def test_a_tone_peaks_in_its_bin_and_doubles_with_its_amplitude() -> None:
    tone = 0.2 * torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)
    mel = log_mel(tone)
    peak = mel[:, 40].argmax()
    assert abs(mel_frequencies_hz()[peak] - 1000) < 50
    torch.testing.assert_close(log_mel(2 * tone)[peak, 40] - mel[peak, 40], torch.tensor(2.0).log())


def test_silence_is_the_floor_and_a_batch_is_its_clips() -> None:
    assert torch.all(log_mel(torch.zeros(1000)) == torch.tensor(FLOOR).log())
    batch = torch.randn(3, 5000)
    torch.testing.assert_close(log_mel(batch)[1], log_mel(batch[1]))
    assert filterbank().shape == (513, 80)


def test_a_gradient_passes_though_the_first_mel_was_made_without() -> None:
    filterbank.cache_clear()
    mel._window.cache_clear()
    with torch.inference_mode():
        log_mel(torch.zeros(1_000))
    wav = torch.randn(1_000, requires_grad=True)
    log_mel(wav).sum().backward()
    assert wav.grad.abs().sum() > 0


def test_a_click_lands_in_the_frame_that_holds_it() -> None:
    for sample in (100, 4_321, 15_900):
        wav = torch.zeros(16_000)
        wav[sample] = 1.0
        energy = log_mel(wav).exp().sum(dim=0)
        assert abs(int(energy.argmax()) - sample // 200) <= 1


def test_speech_frames_ignore_gain_and_offset_and_find_pauses() -> None:
    speech = voice(120, 2.0)
    wav = np.concatenate([np.zeros(16_000, np.float32), speech, np.zeros(16_000, np.float32)])
    marked = activity.speech_frames(wav)
    assert marked[:70].sum() == 0 and marked[-70:].sum() == 0 and marked[80:240].mean() > 0.5
    assert np.array_equal(marked, activity.speech_frames(0.1 * wav))
    assert np.array_equal(marked, activity.speech_frames(wav + 0.05))


def test_silence_and_too_little_speech_are_told_apart() -> None:
    with pytest.raises(SilentAudio, match="microphone"):
        activity.require_speech(np.zeros(32_000, np.float32))
    short = np.concatenate([np.zeros(32_000, np.float32), voice(120, 0.2)])
    with pytest.raises(TooShort, match=r"0\.5 s are needed"):
        activity.require_speech(short)
    activity.require_speech(voice(120, 3.0))


@pytest.mark.parametrize("n_samples", [8_000, 15_999, 16_001])
def test_griffin_lim_keeps_length_place_and_level(n_samples: int) -> None:
    wav = torch.from_numpy(voice(150, 1.1))[:n_samples]
    mel = log_mel(wav)
    vocoder, f0 = GriffinLim(32), torch.zeros(mel.shape[1])
    again = vocoder(mel, f0)
    assert again.shape == (200 * mel.shape[1],)
    assert torch.equal(again, vocoder(mel, f0)), "the same mel must give the same waveform"
    loud = mel > mel.max() - 5
    error = (log_mel(again) - mel)[loud].abs().mean()
    shifted = (log_mel(torch.roll(again, 400)) - mel)[loud].abs().mean()
    assert error < 0.4 and error < 0.7 * shifted


def test_training_and_pipeline_see_the_same_mel(tmp_path) -> None:
    from saic.data.manifest import Clip
    from saic.pipeline import Pipeline
    from saic.training.training_set import Corpus

    path = tmp_path / "clip.wav"
    audio.save(path, voice(130, 2.0))
    clip = Clip(path, "u", "s", None, 2.0, None, "train")
    corpus = Corpus([clip], segment_frames=80, stride=4)
    pipeline_mel = Pipeline.__new__(Pipeline)
    pipeline_mel.device = "cpu"
    mel = pipeline_mel._read(path).mel[0]
    torch.testing.assert_close(corpus.clip_mel(0), mel, atol=5e-3, rtol=0)  # the corpus keeps float16
