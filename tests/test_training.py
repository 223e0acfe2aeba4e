"""Both stages on a small training set: augmentation, losses, exact resume, weights that convert."""

import ast
import copy
import errno
import json
import os
import re
import runpy
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from saic import audio
from saic.config import Config
from saic.conversion import Voice
from saic.data import manifest
from saic.devices import require_device
from saic.errors import DataError, TrainingError, UsageError
from saic.evaluation.data.degradations import RT60_S, add_room
from saic.files import DiskError
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.signal.mel import log_mel, mel_frequencies_hz
from saic.signal.vad import require_speech
from saic.signal.vtlp import warp_matrix
from saic.training import augmentation, clip_cache, distributed, loop, waveform_set
from saic.training import training_set as training_set_module
from saic.training.augmentation import Augmentation, degrade
from saic.training.loop import cosine
from saic.training.losses import ReconstructionLoss, multi_scale_l1, speaker_style_loss
from saic.training.perceptual import MelFeatures, PerceptualStage, load_features
from saic.training.stage1 import Stage1, read_codes
from saic.training.stage2 import Stage2
from saic.training.training_set import TrainingSet
from saic.training.vgg import Vgg16
from saic.training.waveform_set import WaveformSet
from saic.vocoder import excitation
from saic.weights import load, load_vocoder, resolve, save_vocoder, write_tensors
from tests.conftest import RATE, voice
from train import entry, probe
from train.entry import read_clips, read_training_set
from train.stage2 import train as train_stage2

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")
STRIDE = TINY.content_stride
MEL_STATISTICS = torch.zeros(80, 1), torch.ones(80, 1)


@pytest.fixture(scope="module")
def training_set(corpus_folder: Path) -> TrainingSet:
    return TrainingSet(manifest.read(corpus_folder), segment_frames=TINY.training.segment_frames, stride=STRIDE)


def test_crops_start_at_content_codes_hold_speech_and_repeat_with_the_seed(training_set: TrainingSet) -> None:
    crops, repeated = (training_set.sample(50, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(crops.mel, repeated.mel) and torch.equal(crops.code_rows, repeated.code_rows)
    assert crops.mel.shape == (50, 80, 32) and crops.f0.shape == (50, 32)
    assert crops.code_rows.shape == (50, 32 // STRIDE)
    assert crops.mask.mean(dim=-1).min() >= 0.5
    first = crops.code_rows[:, 0] * STRIDE
    for b in range(50):
        torch.testing.assert_close(crops.mel[b], training_set.mel[:, first[b] : first[b] + 32].float())
        clip = crops.clip[b]
        start = training_set.starts[clip]
        assert start <= first[b] <= start + training_set.lengths[clip] - 32
    assert crops.code_rows.max() < training_set.n_codes


def test_training_set_of_clips_shorter_than_a_segment_raises_data_error(corpus_folder: Path) -> None:
    with pytest.raises(DataError, match="No clip"):
        TrainingSet(manifest.read(corpus_folder)[:1], segment_frames=10_000, stride=4)


def test_warp_matrix_moves_mel_bands_and_has_rows_that_sum_to_one() -> None:
    torch.testing.assert_close(warp_matrix(1.0), torch.eye(80))
    torch.testing.assert_close(warp_matrix(1.2).sum(dim=1), torch.ones(80))
    mel = torch.full((2, 80, 5), -10.0)
    mel[:, 20] = 0.0
    up, down = warp_matrix(1.2) @ mel[0, :, 0], warp_matrix(0.8) @ mel[0, :, 0]
    assert up.argmax() > 20 > down.argmax()


def test_augmentation_warps_mel_and_f0_together_and_leaves_a_share_of_clips_unchanged() -> None:
    random = np.random.default_rng(0)
    config = TINY.stage2.augmentation.model_copy(update={"vtlp_factors": (1.25,), "equalizer_db": 0.0})
    augmentation = Augmentation.draw(64, config, random, share=0.5)
    assert 0 < augmentation.is_identity.sum() < 64
    mel, f0 = torch.full((64, 80, 4), -10.0), torch.full((64, 4), 100.0)
    mel[:, 20] = 0.0
    moved = augmentation.mel(mel)[..., 0].argmax(dim=1)
    assert (moved[augmentation.is_identity] == 20).all() and (moved[~augmentation.is_identity] > 20).all()
    torch.testing.assert_close(augmentation.f0(f0)[:, 0], torch.where(augmentation.is_identity, 100.0, 125.0))
    f0_stats = augmentation.f0_stats(torch.tensor([[7.0, 0.2]]).expand(64, 2))
    torch.testing.assert_close(f0_stats[~augmentation.is_identity][0], torch.tensor([7.0 + np.log2(1.25), 0.2]).float())


def test_random_equalizer_has_the_deviation_of_the_config() -> None:
    config = TINY.stage2.augmentation.model_copy(update={"vtlp_factors": (1.0,), "equalizer_db": 6.0})
    curves = Augmentation.draw(500, config, np.random.default_rng(0)).curve
    assert (curves.std() * 20 / np.log(10)).item() == pytest.approx(6.0, rel=0.1)


def test_degraded_mel_has_raised_pauses_and_silent_outer_bands() -> None:
    mel = torch.full((150, 80, 160), np.log(1e-3), dtype=torch.float32)
    mel[:, :, 80:] = np.log(1e-5)
    unchanged = degrade(mel, 0.0, np.random.default_rng(0))
    torch.testing.assert_close(unchanged, mel)
    degraded = degrade(mel, 1.0, np.random.default_rng(0))
    assert degraded.shape == mel.shape and degraded.isfinite().all()
    # Reverberation and noise raise the level of the pause.
    assert (degraded[:, 9:30, 85:].mean(dim=(1, 2)) > np.log(1.5e-5)).all()
    assert (degraded[:, 65:] == np.float32(np.log(1e-5))).all()
    # A telephone line has little but noise of coding below 0.3 kHz, 20 to 50 dB below the speech.
    below = (
        degraded[:, 0, :80].exp().square().mean(dim=1) / degraded[:, 9:40, :80].exp().square().mean(dim=(1, 2))
    ).log10()
    assert 0.8 < (below < -1).float().mean() < 1 and (below > -6).all()


def test_a_share_of_clips_is_degraded_and_the_others_stay_as_they_are() -> None:
    mel = torch.randn(40, 80, 60) - 5
    degraded = degrade(mel, 0.1, np.random.default_rng(0))
    unchanged = (degraded - mel).abs().amax(dim=(1, 2)) < 1e-4
    assert 20 < unchanged.sum() < 40
    assert torch.equal(degraded, degrade(mel, 0.1, np.random.default_rng(0)))


def test_speakers_of_two_corpora_with_the_same_name_are_two_speakers(corpus_folder: Path, tmp_path: Path) -> None:
    clips = [replace(clip, split="train") for clip in manifest.read(corpus_folder)]
    for name, part in (("one", clips[:9]), ("two", clips[6:])):
        (tmp_path / name).mkdir()
        manifest.write(tmp_path / name / "manifest.jsonl", part)
    alone = read_clips([tmp_path / "one"], "train")
    assert [clip.speaker for clip in alone] == [clip.speaker for clip in clips[:9]]
    joined = read_clips([tmp_path / "one", tmp_path / "two"], "train")
    assert [clip.path.resolve() for clip in joined] == [clip.path.resolve() for clip in clips[:9] + clips[6:]]
    assert {clip.speaker for clip in joined} == {
        *(f"1/speaker{k}" for k in (0, 1, 2)),
        *(f"2/speaker{k}" for k in (2, 3, 4, 5)),
    }
    assert len({clip.utterance for clip in joined}) == len(joined)
    training_set = read_training_set([tmp_path / "one", tmp_path / "two"], "train", TINY)
    assert len(training_set.speakers) == 7
    with pytest.raises(DataError, match="No clip of the splits"):
        read_clips([tmp_path / "one", tmp_path / "two"], "dev")


def test_corpus_without_the_split_is_named_by_its_number(corpus_folder: Path, tmp_path: Path) -> None:
    clips = [replace(clip, split="train") for clip in manifest.read(corpus_folder)[:2]]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    with pytest.raises(DataError, match=r"^Corpus 2: No clip.*these splits: test\."):
        read_clips([tmp_path / "manifest.jsonl", corpus_folder], "train")
    with pytest.raises(DataError, match=r"^No clip"):
        read_clips([corpus_folder], "train")


def test_added_noise_is_white_to_brown_and_correlates_between_adjacent_frames_only() -> None:
    random = np.random.default_rng(0)
    power = torch.ones(16, 80, 400)
    noise = (augmentation._stationary_noise(power, random) * augmentation._fluctuation(power, random)).log() / 2
    octaves = np.log2(mel_frequencies_hz()[10:] / mel_frequencies_hz()[10])
    slopes_db = 20 / np.log(10) * np.polyfit(octaves, noise.mean(dim=2)[:, 10:].T.numpy(), 1)[0]
    assert slopes_db.min() > -6.5 and slopes_db.max() < 0.5 and np.ptp(slopes_db) > 3
    centered = noise - noise.mean(dim=2, keepdim=True)
    correlations = [
        float((centered[..., lag:] * centered[..., :-lag]).mean() / centered.square().mean()) for lag in (1, 8)
    ]
    assert correlations[0] > 0.5 > 0.1 > correlations[1]  # adjacent frames share most of their samples


def test_noise_added_to_a_mel_equals_in_distribution_noise_added_to_the_recording() -> None:
    random = np.random.default_rng(0)
    wav = torch.from_numpy(np.concatenate([voice(hz, 4.0, seed=hz) for hz in (100, 150, 220)]))
    noise = 0.01 * torch.from_numpy(random.standard_normal(len(wav), dtype=np.float32))
    clean, expected = log_mel(wav), log_mel(wav + noise)
    speech, power = (2 * clean).exp(), (2 * log_mel(noise)).exp().mean()
    found = (speech + power * augmentation._fluctuation(speech[None], random)[0]).log() / 2
    n_compared = 0
    for low, high in ((-3, -1), (-1, 0), (0, 1), (1, 3)):  # level of speech relative to the noise, in nepers
        level = clean - power.log() / 2
        chosen = (level > low) & (level < high)
        n_compared += int(chosen.sum())
        found_rise, expected_rise = (found - clean)[chosen], (expected - clean)[chosen]
        assert found_rise.mean().item() == pytest.approx(expected_rise.mean().item(), abs=0.05)
        assert found_rise.std().item() == pytest.approx(expected_rise.std().item(), abs=0.1)
    assert n_compared > 10_000


def test_reverberation_added_to_a_mel_equals_in_distribution_a_room_response_of_the_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(augmentation, "_RT60_S", (RT60_S, RT60_S))
    monkeypatch.setattr(augmentation, "_DIRECT_TO_REVERBERANT_DB", (0.0, 0.0))
    random = np.random.default_rng(0)
    wav = np.concatenate([voice(hz, 4.0, seed=hz) for hz in (100, 150, 220)])
    clean, expected = log_mel(torch.from_numpy(wav)), log_mel(torch.from_numpy(add_room(wav, random)))
    speech = (2 * clean).exp()[None]
    reverberation = augmentation._reverberation(speech, random) * augmentation._fluctuation(speech, random)
    found = (speech + reverberation).log()[0] / 2
    levels = [mel.square().mean().sqrt().log() for mel in (clean.exp(), found.exp(), expected.exp())]
    rises = found - levels[1] - clean + levels[0], expected - levels[2] - clean + levels[0]
    found_rise, expected_rise = (np.quantile(rise.numpy(), [0.1, 0.5, 0.9]) for rise in rises)
    assert found_rise == pytest.approx(expected_rise, abs=0.3)


def test_probe_decodes_the_codes_of_a_stage_1_run_with_detail_and_parallel_clips(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Level:
        def embed(self, wav: np.ndarray) -> np.ndarray:
            return np.array([1.0, np.abs(wav).mean()])

    (tmp_path / "parallel").mkdir()
    (tmp_path / "parallel" / "phones.json").write_text("{}")
    for k, pitch_hz in enumerate((110, 220)):
        audio.save(tmp_path / "parallel" / f"{k}.wav", voice(pitch_hz, 3.0))
    parallel = [
        manifest.Clip(tmp_path / "parallel" / f"{k}.wav", str(k), f"p{k}", None, 3.0, "A", "train") for k in range(2)
    ]
    manifest.write(tmp_path / "parallel" / "manifest.jsonl", parallel)
    clips = [replace(clip, split="train") for clip in manifest.read(corpus_folder)[:6]]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    config = TINY.model_copy(update={"content_encoder": TINY.content_encoder.model_copy(update={"detail_channels": 3})})
    run, options = tmp_path / "run", {"segment_frames": TINY.training.segment_frames, "stride": STRIDE}
    loop.start(run, config, resume=False)
    loop.run(Stage1(TrainingSet(clips + parallel, **options), config, None), loop.Schedule(2), run)
    monkeypatch.setattr(probe, "Resemblyzer", Level)
    probe.main([tmp_path / "manifest.jsonl"], run, parallel=tmp_path / "parallel", speakers=4)
    assert "step 2, 4 speakers of 'train', mel L1" in capsys.readouterr().out
    with monkeypatch.context() as other:
        other.setattr(probe, "load_checkpoint", lambda path: {"step": 1, "stage": {"network": {}}})
        with pytest.raises(UsageError, match="another stage"):
            probe.main([tmp_path / "manifest.jsonl"], run, speakers=4)

    class Picky(Level):
        def embed(self, wav: np.ndarray) -> np.ndarray:
            remaining.pop() or require_speech(0 * wav)
            return super().embed(wav)

    monkeypatch.setattr(probe, "Resemblyzer", Picky)
    remaining = [True] * 50 + [False]
    probe.main([tmp_path / "manifest.jsonl"], run, parallel=tmp_path / "parallel", speakers=4)
    out = capsys.readouterr().out
    assert "step 2, 3 speakers" in out and "1 more speaker left out" in out
    remaining = [True] + [False] * 3
    with pytest.raises(DataError, match="two speakers"):
        probe.main([tmp_path / "manifest.jsonl"], run, parallel=tmp_path / "parallel", speakers=4)
    with pytest.raises(DataError, match="use the same for both"):
        probe.main([tmp_path / "manifest.jsonl"], run, speakers=4)


def test_parallel_clips_share_their_codes_and_replace_each_other_as_input(corpus_folder: Path, tmp_path: Path) -> None:
    clips = manifest.read(corpus_folder)[:2]
    low, high = voice(110, 3.0, seed=1), voice(220, 3.0, seed=1)
    for name, wav in (("low", low), ("high", high), ("else", voice(150, 3.0, seed=2))):
        audio.save(tmp_path / f"{name}.wav", wav)
    (tmp_path / "phones.json").write_text("{}", encoding="utf-8")
    for name, text in (("low", "SAME"), ("high", "SAME"), ("else", "OTHER")):
        clips.append(manifest.Clip(tmp_path / f"{name}.wav", name, f"speaker {name}", None, 3.0, text, "train"))
    clips[:2] = [replace(clip, text="SAME") for clip in clips[:2]]  # the same text, but not the same timing
    training_set = TrainingSet(clips, segment_frames=32, stride=4)
    index = {clip.utterance: i for i, clip in enumerate(training_set.clips)}
    low, high, other = (training_set.crops(np.array([index[name]]), np.array([16])) for name in ("low", "high", "else"))
    assert torch.equal(low.code_rows, high.code_rows) and not torch.equal(low.code_rows, other.code_rows)
    assert torch.equal(training_set.code_rows(index["high"], 16, 48), high.code_rows[0])
    random = np.random.default_rng(0)
    assert torch.equal(training_set.parallel_crops(low, random).mel, high.mel)
    assert torch.equal(training_set.parallel_crops(other, random).mel, other.mel)
    not_parallel = training_set.crops(np.array([0]), np.array([16]))
    assert torch.equal(training_set.parallel_crops(not_parallel, random).mel, not_parallel.mel)


def test_codes_of_the_same_clips_in_another_order_raise_data_error(training_set: TrainingSet, tmp_path: Path) -> None:
    reordered = TrainingSet(training_set.clips[::-1], segment_frames=32, stride=STRIDE)
    assert (reordered.n_codes, len(reordered.speakers)) == (training_set.n_codes, len(training_set.speakers))
    first = Stage1(training_set, TINY, None)
    first.save_codes(tmp_path)
    for codes in (read_codes(tmp_path), first.state_dict()):
        Stage2(training_set, TINY, codes, None)
        with pytest.raises(DataError, match="in another order"):
            Stage2(reordered, TINY, codes, None)
        del codes["data"]  # as in files of an earlier version
        Stage2(reordered, TINY, codes, None)


def test_run_resumed_with_other_data_or_networks_raises_usage_error(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saic.training.stage2._VALIDATION_CROPS", 1)
    clips = manifest.read(corpus_folder)
    data = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path, part in zip(data, (clips[:6], clips[6:]), strict=True):
        manifest.write(path, [replace(clip, split="train" if k < 5 else "dev") for k, clip in enumerate(part)])
    save_file(MelFeatures(TINY.perceptual.channels).state_dict(), tmp_path / "features.safetensors")

    def run(corpora: list[Path], steps: int, **inputs: Path) -> None:
        train_stage2(corpora, tmp_path / "run", TINY, None, steps=range(steps), resume=steps > 1, **inputs)

    run(data, 1, perceptual=tmp_path)
    with pytest.raises(UsageError, match=r"order: --data or --parallel\."):
        run(data[::-1], 2, perceptual=tmp_path)
    with pytest.raises(UsageError, match=r"order: --perceptual\."):
        run(data, 2)
    run(data, 2, perceptual=tmp_path)
    weights, bundled = tmp_path / "run" / "weights", resolve()
    save_vocoder(weights, load(bundled)[0], load_vocoder(bundled))
    run(data, 2, perceptual=tmp_path)  # a finished run stays as it is
    assert load(weights)[0].vocoder.kind == "neural"


def test_checkpoint_without_hashes_of_inputs_is_resumed(tmp_path: Path) -> None:
    loop.run(Counter(), loop.Schedule(1), tmp_path)
    state, stage = tmp_path / "checkpoints" / "step-1" / "state.pt", Counter()
    stored = torch.load(state, weights_only=True)
    del stored["inputs"]  # as in an earlier version
    torch.save(stored, state)
    loop.run(stage, loop.Schedule(2), tmp_path, resume=True, inputs={"--data": "a"})
    assert stage.taken == [0, 1]
    with pytest.raises(UsageError, match="--data"):
        loop.run(stage, loop.Schedule(3), tmp_path, resume=True, inputs={"--data": "b"})


def test_stage_2_copies_given_weights_and_raises_usage_error_if_their_sizes_differ(training_set: TrainingSet) -> None:
    model = Model(TINY)
    stage = Stage2(training_set, TINY, model, None, unseen=training_set)
    for name, tensor in model.state_dict().items():
        assert torch.equal(stage.model.state_dict()[name], tensor)
    assert "content" not in stage.step(0)
    wider = TINY.model_copy(update={"decoder": TINY.decoder.model_copy(update={"channels": 20})})
    with pytest.raises(UsageError, match="other sizes"):
        Stage2(training_set, wider, model, None)


@pytest.mark.parametrize("start", ["stage 1", "random", "frozen"])
def test_self_distillation_without_weights_or_with_a_frozen_encoder_raises_usage_error(
    training_set: TrainingSet, start: str
) -> None:
    settings = TINY.stage2.model_copy(update={"distill_steps": 1, "freeze_content": start == "frozen"})
    config = TINY.model_copy(update={"stage2": settings})
    starts = {"stage 1": Stage1(training_set, TINY, None).state_dict(), "random": None, "frozen": Model(TINY)}
    with pytest.raises(UsageError, match="freeze_content" if start == "frozen" else "--init or --content"):
        Stage2(training_set, config, starts[start], None)


def test_stage_2_from_random_weights_takes_mel_statistics_from_the_training_set(training_set: TrainingSet) -> None:
    stage = Stage2(training_set, TINY, None, None, unseen=training_set)
    mean, std = training_set.statistics()
    assert torch.equal(stage.model.mel_mean, mean) and torch.equal(stage.model.mel_std, std)
    assert "content" not in stage.step(0)


def test_reference_without_voiced_frames_is_no_target_of_the_f0_head_and_gets_its_prediction(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whispered = copy.copy(training_set)
    whispered.f0_stats = torch.zeros_like(training_set.f0_stats)
    stage, voices = Stage2(whispered, TINY, None, MelFeatures((4, 8, 8, 8))), []

    def losses(content: torch.Tensor, f0: torch.Tensor, mask: torch.Tensor, target: torch.Tensor, voice: Voice, *_):
        voices.append(voice)
        return {}

    monkeypatch.setattr(stage, "_conversion_losses", losses)
    assert stage.step(0)["f0"] == 0
    assert not stage.model.pitch_head.weight.grad.any()
    assert (voices[0].f0_stats[:, 0] - 7.3).abs().max() < 3 and not voices[0].f0_stats.requires_grad


def test_part_of_a_stage_takes_the_tensors_of_the_part_before_and_warms_up_again(
    training_set: TrainingSet, tmp_path: Path
) -> None:
    before = Stage1(training_set, TINY, None)
    for parameter in before.decoder.parameters():
        torch.nn.init.normal_(parameter)
    before.save_codes(tmp_path)
    codes = read_codes(tmp_path)
    stage = Stage1(training_set, TINY, None, initial=codes, first_step=1)
    for name, tensor in before.decoder.state_dict().items():
        torch.testing.assert_close(stage.decoder.state_dict()[name], tensor, atol=2e-3, rtol=1e-3)
    earlier = Model(TINY)
    for parameter in earlier.parameters():
        torch.nn.init.normal_(parameter)
    second = Stage2(training_set, TINY, codes, None, earlier=earlier)
    assert second.codes is not None
    for name, tensor in earlier.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], tensor), name
    assert cosine(5_000, 10_000, first=5_000) == pytest.approx(cosine(5_000, 10_000) / 200)
    assert cosine(5_300, 10_000, first=5_000) == cosine(5_300, 10_000)
    other = TrainingSet(training_set.clips[:6], segment_frames=32, stride=4)
    with pytest.raises(DataError, match="other data"):
        Stage1(other, TINY, None, initial=codes)
    with pytest.raises(UsageError, match=r"Run train\.stage1 to its end"):
        read_codes(tmp_path / "nowhere")


def test_detail_channels_have_no_stage_1_code_and_learn_from_the_decoder_alone(training_set: TrainingSet) -> None:
    config = TINY.model_copy(update={"content_encoder": TINY.content_encoder.model_copy(update={"detail_channels": 3})})
    stage1 = Stage1(training_set, config, None)
    codes = stage1.codes.content_of(training_set.sample(4, np.random.default_rng(0)).code_rows)
    assert codes.shape[1] == TINY.content_encoder.code_channels
    assert (codes[:, -3:] == 0).all() and codes[:, :-3].abs().min() > 0
    for weight in (0.0, 1.0):
        weights = config.stage2.weights.model_copy(update={"reconstruction": weight})
        stage2 = config.stage2.model_copy(update={"weights": weights})
        stage = Stage2(training_set, config.model_copy(update={"stage2": stage2}), stage1.state_dict(), None)
        stage.step(0)
        gradient = stage.model.content_encoder.detail.conv.weight.grad
        assert bool((gradient != 0).any()) == (weight > 0)


def test_reconstruction_losses_are_zero_for_equal_mels_and_grow_with_noise() -> None:
    target, noise = torch.randn(4, 80, 32), torch.randn(4, 80, 32)
    loss = ReconstructionLoss(MelFeatures((4, 8, 8, 8)), weight=1.0, share=0.5)
    assert loss(target, target) == 0
    assert multi_scale_l1(target + 0.1 * noise, target) < multi_scale_l1(target + noise, target)
    near, far = loss(target + 0.1 * noise, target), loss(target + noise, target)
    assert multi_scale_l1(target + noise, target) < far and near < far


def test_speaker_style_loss_depends_on_the_voice_more_than_on_content_or_pauses() -> None:
    torch.manual_seed(0)
    network, torch_random = MelFeatures((4, 8, 8, 8)), torch.Generator().manual_seed(0)
    noise = torch.randn(2, 80, 320, generator=torch_random)
    voice_a, voice_b = (
        noise * scale for scale in (torch.linspace(0.2, 2, 80)[:, None], torch.linspace(2, 0.2, 80)[:, None])
    )
    mask = torch.ones(2, 1, 160)

    def distance(output, reference, mask=mask):
        return speaker_style_loss(network, output, mask, reference, torch.ones(2, 1, 160)).item()

    clip, other_content = voice_a[..., :160], voice_a[..., 160:]
    assert distance(clip, clip) == 0
    assert distance(clip, other_content) < 0.5 * distance(clip, voice_b[..., 160:])
    with_pause, speech = clip.clone(), mask.clone()
    with_pause[..., 80:] = -5
    speech[..., 80:] = 0
    assert distance(with_pause, other_content, speech) < 0.5 * distance(with_pause, other_content)


def test_speaker_style_loss_leaves_out_pauses_where_poolings_drop_the_last_frames() -> None:
    def network(mel: torch.Tensor) -> list[torch.Tensor]:
        return [F.avg_pool1d(mel, 32)]  # 7 frames of 240

    output, reference, mask = torch.randn(1, 80, 240), torch.randn(1, 80, 240), torch.ones(1, 1, 240)
    mask[..., :96] = 0
    loss = speaker_style_loss(network, output, mask, reference, torch.ones(1, 1, 240))
    output[..., :96] += 5
    assert speaker_style_loss(network, output, mask, reference, torch.ones(1, 1, 240)) == loss


def torchvision_vgg16() -> dict[str, torch.Tensor]:
    """torchvision's names and shapes; every convolution gives 1 plus the mean of its input."""
    widths = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256}
    widths |= dict.fromkeys((17, 19, 21, 24, 26, 28), 512)
    tensors, previous = {"classifier.0.weight": torch.zeros(3, 2)}, 3
    for index, width in widths.items():
        kernel = torch.zeros(width, previous, 3, 3)
        kernel[:, :, 1, 1] = 1 / previous
        tensors |= {f"features.{index}.weight": kernel, f"features.{index}.bias": torch.ones(width)}
        previous = width
    return tensors


@pytest.mark.parametrize("network", [MelFeatures((4, 8, 8, 8)), Vgg16()])
def test_process_without_rows_of_the_perceptual_share_has_no_perceptual_loss(
    network, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, target = torch.randn(2, 80, 32, requires_grad=True), torch.randn(2, 80, 32)
    monkeypatch.setattr(distributed, "rows", lambda count: slice(0, 0))
    loss = ReconstructionLoss(network, share=0.5)(output, target)
    loss.backward()
    assert loss == multi_scale_l1(output, target) and output.grad.isfinite().all()


@pytest.mark.parametrize("name", ["vgg16.pth", "vgg16-old.pth", "vgg16.safetensors"])
def test_vgg16_weights_of_torchvision_give_the_feature_maps_of_the_loss(tmp_path: Path, name: str) -> None:
    tensors, path = torchvision_vgg16(), tmp_path / name
    if path.suffix == ".pth":
        torch.save(tensors, path, _use_new_zipfile_serialization="old" not in name)
    else:
        save_file(tensors, path)
    network = load_features(path, (), *MEL_STATISTICS)
    mel = torch.full((2, 80, 64), 0.5)
    maps = network(mel)
    assert [tuple(m.shape) for m in maps] == [
        *((2, 64, 80, 64), (2, 128, 40, 32), (2, 256, 20, 16), (2, 512, 10, 8), (2, 512, 2, 2))
    ]
    # Each convolution adds 1 to the mel: 2 before relu1_2, then 4, 6, 10 and all 13.
    assert [m.unique().tolist() for m in maps] == [[2.5], [4.5], [6.5], [10.5], [13.5]]
    loss = ReconstructionLoss(network, weight=1.0)
    assert loss(mel, mel) == 0 and loss(mel + 1, mel) > multi_scale_l1(mel + 1, mel)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(UsageError, match="segment_frames"):
        network(mel[..., :16])


def test_file_without_vgg16_weights_raises_usage_error(tmp_path: Path) -> None:
    (tmp_path / "vgg16.pth").write_bytes(b"not a pickle")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    torch.save([1], tmp_path / "list.pth")
    torch.save({"features.0.weight": Path("/")}, tmp_path / "code.pth")
    torch.save({1: torch.zeros(1)}, tmp_path / "numbers.pth")
    (tmp_path / "text.pth").write_text("hello world")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "vgg16.safetensors").write_bytes(b"no header")
    for path in tmp_path.iterdir():
        with pytest.raises(UsageError, match="torchvision's vgg16"):
            load_features(path, (), *MEL_STATISTICS)


def test_damaged_features_raise_usage_error(tmp_path: Path) -> None:
    (tmp_path / "features.safetensors").write_bytes(b"no header")
    with pytest.raises(UsageError, match=r"Run train\.perceptual"):
        load_features(tmp_path, (4, 8), *MEL_STATISTICS)


def test_feature_network_gives_the_same_maps_for_other_mel_statistics(
    training_set: TrainingSet, tmp_path: Path
) -> None:
    stage = PerceptualStage(training_set, TINY)
    stage.save_features(tmp_path)
    mel = training_set.sample(2, np.random.default_rng(0)).mel
    expected = stage.classifier.features((mel - stage.mean) / stage.std)
    mean, std, channels = torch.randn(80, 1), torch.rand(80, 1) + 0.5, TINY.perceptual.channels
    for found, wanted in zip(load_features(tmp_path, channels, mean, std)((mel - mean) / std), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.01)
    earlier = load_file(tmp_path / "features.safetensors")
    del earlier["mel_mean"], earlier["mel_std"]
    save_file(earlier, tmp_path / "features.safetensors")
    network = load_features(tmp_path, channels, mean, std)
    assert (network.scale == 1).all() and (network.shift == 0).all()


def losses_of(stage, steps) -> list[float]:
    return [float(stage.step(i)["reconstruction"]) for i in steps]


def test_stage_1_reduces_its_loss_and_repeats_with_the_seed(training_set: TrainingSet) -> None:
    config = TINY.model_copy(update={"stage1": TINY.stage1.model_copy(update={"steps": 60, "noise_std": 0.1})})
    stage = Stage1(training_set, config, None)
    before = stage.codes.content.weight.detach().clone()
    losses = losses_of(stage, range(60))
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert not torch.equal(stage.codes.content.weight, before)
    torch.manual_seed(99)  # the global state must not matter
    assert losses_of(Stage1(training_set, config, None), range(5)) == losses[:5]


@pytest.mark.parametrize("number", [1, 2])
def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_run(
    training_set: TrainingSet, tmp_path: Path, number: int
) -> None:
    def stage():
        first = Stage1(training_set, TINY, None)
        return first if number == 1 else Stage2(training_set, TINY, first.state_dict(), None, unseen=training_set)

    loop.run(stage(), loop.Schedule(8, save_every=4), tmp_path / "whole")
    loop.run(stage(), loop.Schedule(4, save_every=4), tmp_path / "resumed")
    with (tmp_path / "resumed" / "log.jsonl").open("a") as log:  # a step after the last checkpoint is repeated
        log.write('{"step": 6, "reconstruction": 0}\n')
    loop.run(stage(), loop.Schedule(8, save_every=4), tmp_path / "resumed", resume=True)
    ends = [loop.load_checkpoint(loop.latest(tmp_path / name))["stage"] for name in ("whole", "resumed")]
    part = "decoder" if number == 1 else "model"
    for name, tensor in ends[0][part].items():
        torch.testing.assert_close(ends[1][part][name], tensor, atol=1e-6, rtol=0)
    steps = [json.loads(line)["step"] for line in (tmp_path / "resumed" / "log.jsonl").read_text().splitlines()]
    assert steps == [4, 8]


def test_checkpoints_kept_are_the_last_two(tmp_path: Path) -> None:
    scores = iter([0.5, 0.1, 0.7, 0.6, 0.9])
    loop.run(Counter(), loop.Schedule(10, save_every=2), tmp_path, validate=lambda: {"loss": next(scores)})
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step-8", "step-10"}


def test_copy_of_a_checkpoint_and_what_a_killed_run_wrote_of_one_are_no_checkpoints(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    loop.run(Counter(), loop.Schedule(4, save_every=2), tmp_path)
    (checkpoints / "step-4").rename(checkpoints / "step-4.copy")
    (checkpoints / ".step-3").mkdir()  # of a checkpoint that ten minutes made, at a step that the next run may not save
    assert loop.latest(tmp_path).name == "step-2"
    loop.run(Counter(), loop.Schedule(6, save_every=2), tmp_path, resume=True)
    assert {path.name for path in checkpoints.iterdir()} == {"step-4", "step-6", "step-4.copy"}


def test_largest_seed_of_a_config_seeds_every_step() -> None:
    seed = Config.from_dict({"seed": 2**44 - 1}).seed
    _, generator = loop.generators(seed + 2, 10**6)  # the vocoder adds 2
    assert torch.rand(1, generator=generator) < 1


def test_nan_loss_raises_training_error_with_the_step(tmp_path: Path) -> None:
    class Broken:
        def step(self, i: int) -> dict[str, float]:
            return {"loss": float("nan") if i == 3 else 1.0}

        def state_dict(self) -> dict:
            return {}

    for save_every in (2, 10):
        with pytest.raises(TrainingError, match="step 4"):
            loop.run(Broken(), loop.Schedule(10, save_every), tmp_path / str(save_every))
        last = loop.latest(tmp_path / str(save_every))
        assert (last and last.name) == {2: "step-2", 10: None}[save_every]  # none after the broken step


def test_existing_run_folder_without_resume_or_with_another_config_raises_usage_error(tmp_path: Path) -> None:
    loop.start(tmp_path / "run", TINY, resume=False)
    (tmp_path / "run" / "log.jsonl").write_text('{"step": 20}\n')
    with pytest.raises(UsageError, match="--resume"):
        loop.start(tmp_path / "run", TINY, resume=False)
    with pytest.raises(UsageError, match="another config"):
        loop.start(tmp_path / "run", Config(), resume=True)
    loop.start(tmp_path / "run", TINY, resume=True)
    (tmp_path / "run" / "config.yaml").unlink()
    for resume in (False, True):
        with pytest.raises(UsageError, match="Name another folder"):
            loop.start(tmp_path / "run", TINY, resume=resume)


class Counter:
    """A stage whose state is the number of its steps."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def step(self, i: int) -> dict[str, float]:
        self.taken.append(i)
        return {"loss": 1.0}

    def state_dict(self) -> dict:
        return {"taken": list(self.taken)}

    def load_state_dict(self, state: dict) -> None:
        self.taken = list(state["taken"])


def test_losses_are_read_for_the_log_alone_and_averaged_over_the_steps_that_have_them(tmp_path: Path) -> None:
    reads = []

    class Number(float):
        def __float__(self) -> float:
            reads.append(len(stage.taken))
            return super().__float__()

    class Distilled(Counter):
        def step(self, i: int) -> dict[str, float]:
            super().step(i)
            return {"content" if i < 10 else "reconstruction": Number(i)}

    stage = Distilled()
    loop.run(stage, loop.Schedule(30, save_every=25), tmp_path)
    assert set(reads) == {20, 25, 30}
    first, second = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert (first["content"], first["reconstruction"], second["reconstruction"]) == (4.5, 14.5, 24.5)
    assert "content" not in second


@pytest.mark.parametrize("s_per_step", [0.9, 1.2, 6.0, 29.0])
def test_cut_run_loses_ten_minutes_at_most_and_goes_on_with_the_log_of_a_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s_per_step: float
) -> None:
    clock_s, validated = [0.0], []

    class Timed(Counter):
        cut_at = -1

        def step(self, i: int) -> dict[str, float]:
            if i == self.cut_at:
                raise KeyboardInterrupt
            clock_s[0] += s_per_step
            return super().step(i) | {"loss": float(i)}

    def run(stage: Timed, name: str, *, resume: bool = False) -> None:
        def validate() -> dict[str, float]:
            clock_s[0] += 60
            validated.append(len(stage.taken))
            return {"loss": 1.0}

        loop.run(stage, loop.Schedule(1_100, save_every=1_000), tmp_path / name, resume=resume, validate=validate)

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock_s[0]))
    run(Timed(), "whole")
    assert validated == [1_000, 1_100]
    cut = Timed()
    cut.cut_at = 999
    with pytest.raises(KeyboardInterrupt):
        run(cut, "cut")
    kept = loop.latest(tmp_path / "cut")
    assert kept is not None and (999 - loop.load_checkpoint(kept)["step"]) * s_per_step <= 600
    run(Timed(), "cut", resume=True)
    whole, resumed = ((tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "cut"))
    assert [json.loads(line) for line in resumed] == [pytest.approx(json.loads(line)) for line in whole]


@pytest.mark.parametrize("end", ['{"step": 4, "lo', '{"step"', "\0\0\0\0", "7", "\udcff\udc80"])
def test_run_with_a_cut_last_log_line_is_resumed(tmp_path: Path, end: str) -> None:
    loop.run(Counter(), loop.Schedule(4, save_every=2), tmp_path)
    with (tmp_path / "log.jsonl").open("ab") as log:
        log.write(end.encode(errors="surrogateescape"))
    loop.run(Counter(), loop.Schedule(6, save_every=2), tmp_path, resume=True)
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [4, 6]


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "missing"])
def test_older_checkpoint_is_resumed_and_reported_if_the_newest_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    loop.run(Counter(), loop.Schedule(4, save_every=2), tmp_path)
    state = tmp_path / "checkpoints" / "step-4" / "state.pt"
    data = state.read_bytes()
    if damage == "missing":
        state.unlink()
    else:
        middle = data[: len(data) // 2]
        state.write_bytes({"cut": middle, "empty": b"", "zeros": middle + bytes(len(data) - len(middle))}[damage])
    capsys.readouterr()
    assert loop.latest(tmp_path).name == "step-2"
    stage = Counter()
    loop.run(stage, loop.Schedule(6, save_every=2), tmp_path, resume=True)
    assert stage.taken == list(range(6))
    assert "step 4 is damaged" in (said := capsys.readouterr().err) and "step 2" in said and str(tmp_path) not in said
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert kept == ["step-4", "step-6"] and loop.load_checkpoint(tmp_path / "checkpoints" / "step-4")["step"] == 4


def test_run_whose_only_checkpoint_is_damaged_starts_again_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop.run(Counter(), loop.Schedule(2), tmp_path)
    state = tmp_path / "checkpoints" / "step-2" / "state.pt"
    state.write_bytes(state.read_bytes()[:50])
    with pytest.raises(TrainingError, match="checkpoint is damaged"):
        loop.load_checkpoint(state.parent)
    stage = Counter()
    loop.run(stage, loop.Schedule(3), tmp_path, resume=True)
    assert stage.taken == [0, 1, 2] and "starts again from step 0" in capsys.readouterr().err


def test_checkpoint_on_a_disk_that_fails_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.run(Counter(), loop.Schedule(2), tmp_path)

    def fails(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(loop.zipfile, "ZipFile", fails)
    with pytest.raises(TrainingError, match="cannot be read: Input/output error"):
        loop.run(Counter(), loop.Schedule(3), tmp_path, resume=True)
    assert (tmp_path / "checkpoints" / "step-2" / "state.pt").is_file()


@pytest.mark.parametrize("resume", [False, True])
def test_run_folder_of_a_failed_start_is_used_again(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "empty").mkdir()
    loop.start(tmp_path / "empty", TINY, resume=resume)
    loop.start(tmp_path / "run", Config(), resume=False)  # and then the data was missing
    (tmp_path / "run" / "checkpoints" / ".step-2").mkdir(parents=True)
    loop.start(tmp_path / "run", TINY, resume=resume)
    for name in ("empty", "run"):
        assert Config.from_yaml(tmp_path / name / "config.yaml") == TINY
        stage = Counter()
        loop.run(stage, loop.Schedule(2), tmp_path / name, resume=resume)
        assert stage.taken == [0, 1]


def test_run_folder_that_cannot_be_made_raises_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="run folder cannot be made"):
        loop.start(tmp_path / "file" / "run", TINY, resume=False)


def test_log_that_cannot_be_written_raises_training_error(tmp_path: Path) -> None:
    class Full(Counter):
        def step(self, i: int) -> dict[str, float]:
            (tmp_path / "log.jsonl").symlink_to("/dev/full")
            return super().step(i)

    with pytest.raises(TrainingError, match="No space left"):
        loop.run(Full(), loop.Schedule(1), tmp_path)


def test_full_disk_ends_a_run_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.run(Counter(), loop.Schedule(1), tmp_path)

    def full(*_: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loop.files, "write", full)
    with pytest.raises(TrainingError, match="log cannot be written: No space"):
        loop.run(Counter(), loop.Schedule(2), tmp_path, resume=True)
    monkeypatch.undo()
    make = Path.mkdir
    monkeypatch.setattr(
        Path, "mkdir", lambda path, *rest, **options: (full if ".step" in path.name else make)(path, *rest, **options)
    )
    with pytest.raises(TrainingError, match="checkpoint of step 2 cannot be written"):
        loop.run(Counter(), loop.Schedule(2), tmp_path, resume=True)


@pytest.mark.parametrize("name", ["release", "robust", None])
def test_config_without_sections_for_the_networks_fits_finished_weights(name: str | None) -> None:
    config = Config.from_yaml(ROOT / "train" / "configs" / f"{name}.yaml") if name else Config()
    bundled = Model.from_pretrained()
    model = Model(config.with_networks_of(bundled.config))
    model.load_state_dict(bundled.state_dict())
    wider = Config.from_dict({"decoder": {"channels": 20}}).with_networks_of(bundled.config)
    assert wider.decoder.channels == 20 and wider.speaker_encoder == bundled.config.speaker_encoder


def test_statistics_are_those_of_all_speech_frames(training_set: TrainingSet) -> None:
    mean, deviation = training_set.statistics()
    speech = training_set.mel[:, training_set.speech].float()
    torch.testing.assert_close(mean, speech.mean(dim=1, keepdim=True))
    torch.testing.assert_close(deviation, speech.std(dim=1, keepdim=True).clamp_min(1e-3))


@pytest.mark.parametrize("fails", [False, True])
def test_a_process_leaves_the_others_only_if_it_ended_well(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they could wait for it for days, and its error would not be shown."""
    left = []

    def command() -> None:
        if fails:
            raise RuntimeError("out of memory")

    monkeypatch.setattr(sys, "argv", ["command"])
    monkeypatch.setattr("train.entry.distributed.stop", lambda: left.append(True))
    with pytest.raises(RuntimeError if fails else SystemExit):
        entry.run(command)
    assert left == ([] if fails else [True])


def test_tensors_that_cannot_be_written_raise_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"x\.safetensors cannot be written: No such file"):
        write_tensors(tmp_path / "missing" / "x.safetensors", {})

    def full(*arguments: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("saic.weights.save_file", full)
    with pytest.raises(DiskError, match="Free space"):
        write_tensors(tmp_path / "x.safetensors", {})
    clips = one_clip(tmp_path, 130)
    assert len(TrainingSet(clips, segment_frames=32, stride=4).clips) == 1  # without its cache


def one_clip(folder: Path, pitch_hz: float) -> list[manifest.Clip]:
    audio.save(folder / "clip.wav", voice(pitch_hz, 3.0), force=True)
    return [manifest.Clip(folder / "clip.wav", "clip", "a", None, 3.0, None, "train")]


def test_changed_content_of_a_clip_is_measured_again(tmp_path: Path) -> None:
    first = TrainingSet(one_clip(tmp_path, 110), segment_frames=32, stride=4)
    size, before = (tmp_path / "clip.wav").stat().st_size, (tmp_path / "clip.wav").stat().st_mtime_ns
    clips = one_clip(tmp_path, 220)
    assert (tmp_path / "clip.wav").stat().st_size == size
    os.utime(tmp_path / "clip.wav", ns=(before, before + 1))  # the least difference
    second = TrainingSet(clips, segment_frames=32, stride=4)
    assert not torch.equal(first.mel, second.mel)
    os.utime(tmp_path / "clip.wav", ns=(before, before))  # as of a copy that keeps the time
    third = TrainingSet(clips, segment_frames=32, stride=4)
    assert torch.equal(third.mel, second.mel)


def test_cache_of_features_is_private_and_damage_or_no_right_to_write_does_not_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAIC_CACHE", str(tmp_path / "cache"))
    clips = one_clip(tmp_path, 110)
    first = TrainingSet(clips, segment_frames=32, stride=4)
    assert stat.S_IMODE((tmp_path / "cache" / "clips").stat().st_mode) == 0o700
    (kept,) = (tmp_path / "cache" / "clips").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert torch.equal(TrainingSet(clips, segment_frames=32, stride=4).mel, first.mel)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAIC_CACHE", str(tmp_path / "file" / "cache"))
    assert torch.equal(TrainingSet(clips, segment_frames=32, stride=4).mel, first.mel)


def test_clip_is_measured_once_for_all_training_sets_and_again_if_the_code_changed(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAIC_CACHE", str(tmp_path))
    clips = manifest.read(corpus_folder)[:6]
    whole = TrainingSet(clips, segment_frames=32, stride=4)
    assert len(list((tmp_path / "clips").iterdir())) == 6
    copied = [replace(clip, path=tmp_path / f"{clip.speaker}-{clip.path.name}") for clip in clips[2:]]
    for clip, moved in zip(clips[2:], copied, strict=True):
        shutil.copyfile(clip.path, moved.path)  # another path and time, as on another machine

    def log_mel(wav: torch.Tensor) -> torch.Tensor:
        raise AssertionError("measured again")

    monkeypatch.setattr(training_set_module, "log_mel", log_mel)
    part = TrainingSet(copied, segment_frames=32, stride=1)
    for k in range(4):
        assert part.lengths[k] >= whole.lengths[k + 2]
        torch.testing.assert_close(part.clip_mel(k)[:, : whole.lengths[k + 2]], whole.clip_mel(k + 2))
    monkeypatch.setattr(clip_cache, "_code", lambda modules: "other")
    with pytest.raises(AssertionError, match="measured again"):
        TrainingSet(copied, segment_frames=32, stride=1)


def test_measurement_is_made_again_if_a_module_of_its_own_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAIC_CACHE", str(tmp_path / "cache"))
    (clip,) = one_clip(tmp_path, 110)
    own = ModuleType("own")
    own.__file__ = str(tmp_path / "own.py")

    def measured(value: int) -> int:
        clip_cache._code.cache_clear()
        return int(clip_cache.cached(clip.path, "x", lambda: {"x": torch.tensor(value)}, modules=(own,))["x"])

    (tmp_path / "own.py").write_text("first")
    assert measured(1) == measured(2) == 1
    (tmp_path / "own.py").write_text("second")
    assert measured(3) == 3
    asked = set()
    monkeypatch.setattr(clip_cache, "_code", lambda modules: asked.update(modules) or "")
    WaveformSet(TrainingSet([clip], segment_frames=32, stride=1))
    assert {excitation, waveform_set} <= asked


def test_modules_in_the_name_of_a_cached_clip_import_no_others_of_audio_and_signal() -> None:
    for module in clip_cache.MODULES:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = {node.module, *(f"{node.module}.{name.name}" for name in node.names)} & sys.modules.keys()
                imported = {name for name in names if re.match(r"saic\.(audio|signal)\.", name)}
                assert imported <= {module.__name__ for module in clip_cache.MODULES}, module.__name__


def test_broken_clip_is_left_out_of_the_training_set_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = one_clip(tmp_path, 110)
    (tmp_path / "empty.wav").write_bytes(b"")
    broken = replace(clips[0], path=tmp_path / "empty.wav", utterance="empty", speaker="b")
    manifest.write(tmp_path / "manifest.jsonl", [broken, *clips])
    for _ in range(2):  # measured, and from the cache
        training_set = read_training_set([tmp_path / "manifest.jsonl"], "train", TINY)
        assert training_set.clips == clips and training_set.speakers == ["a"]
        assert (training_set.broken, training_set.skipped) == (["empty"], 0)
        assert "Left out 1 file: 1 broken" in (out := capsys.readouterr().out) and "empty" in out
    with pytest.raises(DataError, match="No clip"):
        TrainingSet([broken], segment_frames=32, stride=4)


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_unavailable_device_raises_usage_error(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no such device"):
        require_device(device)


def test_gpu_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [require_device(device) for device in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
    for device in ("cuda:2", "cuda:", "cuda:x", "cuda:-1", "cuda1"):
        with pytest.raises(UsageError, match="no such device"):
            require_device(device)


def test_processes_without_a_gpu_each_raise_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="without a number"):
        distributed.start("cuda:0")
    with pytest.raises(UsageError, match="has 1 GPUs"):
        distributed.start("cuda")


def test_stage_2_with_codes_of_another_training_set_raises_data_error(
    training_set: TrainingSet, corpus_folder: Path
) -> None:
    small = TrainingSet(manifest.read(corpus_folder)[:6], segment_frames=32, stride=4)
    with pytest.raises(DataError, match="other data"):
        Stage2(small, TINY, Stage1(training_set, TINY, None).state_dict(), None)


def test_entry_points_train_weights_that_convert_from_a_folder_of_audio(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of preparation and of both stages, with the tiny config."""

    def run(module: str, *arguments: str | Path) -> str:
        """Like ``python -m``, but in this process: a new one takes seconds to start."""
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        monkeypatch.delitem(sys.modules, f"train.{module}", raising=False)  # another test may have imported it
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(f"train.{module}", run_name="__main__")
        captured = capsys.readouterr()
        assert not ended.value.code, captured.err
        return captured.out

    data, tiny = tmp_path / "manifest.jsonl", ROOT / "train" / "configs" / "tiny.yaml"
    run("prepare", corpus_folder, "--out", data)
    common = ("--data", data, "--config", tiny)
    run("perceptual", *common, "--run", tmp_path / "perceptual")
    run("stage1", *common, "--run", tmp_path / "stage1", "--perceptual", tmp_path / "perceptual")
    run("recognizer", *common, "--run", tmp_path / "recognizer")
    networks = ("--recognizer", tmp_path / "recognizer", "--perceptual", tmp_path / "perceptual")
    run("stage2", *common, "--run", tmp_path / "stage2", "--stage1", tmp_path / "stage1", *networks)
    assert "phone_loss" in (tmp_path / "stage2" / "log.jsonl").read_text()
    for stage in ("stage1", "stage2"):
        printed = run("probe", "--data", data, "--run", tmp_path / stage, "--speakers", "3")
        assert "step 2, 3 speakers of 'train'" in printed and printed.count(" %") == 4
    pipeline = Pipeline.from_pretrained(tmp_path / "stage2" / "weights")
    wav = voice(120, 2.0)
    assert pipeline.convert((wav, RATE), (voice(200, 2.0), RATE)).wav.shape == wav.shape
    assert yaml.safe_load((tmp_path / "stage1" / "config.yaml").read_text()) == TINY.to_dict()


@pytest.mark.parametrize(
    ("capabilities", "enabled"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, True),
    ],
)
def test_processor_that_emulates_bfloat16_computes_in_float32(
    capabilities: dict[str, object], enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulated, it takes ten times as long."""
    training = TINY.training.model_copy(update={"precision": "bfloat16"})
    config = TINY.model_copy(update={"training": training})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    loop._processor_has_bfloat16.cache_clear()
    try:
        with loop.precision(config, "cpu"):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (torch.bfloat16 if enabled else torch.float32)
    finally:
        loop._processor_has_bfloat16.cache_clear()
