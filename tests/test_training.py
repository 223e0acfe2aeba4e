"""Both stages on a small corpus: they run, resume exactly, and give weights that convert."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from saic import audio
from saic.config import Config
from saic.data import manifest
from saic.errors import DataError, TrainingError, UsageError
from saic.evaluation.data.degradations import RT60_S, add_room
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.signal.mel import log_mel, mel_frequencies_hz
from saic.signal.vtlp import warp_matrix
from saic.training import augmentation, distributed, loop
from saic.training.augmentation import Disguise, degrade
from saic.training.losses import ReconstructionLoss, multi_scale_l1, voice_distance
from saic.training.perceptual import MelFeatures, load_features
from saic.training.stage1 import Stage1
from saic.training.stage2 import Stage2
from saic.training.training_set import Corpus
from saic.training.vgg import Vgg16
from tests.conftest import RATE, voice
from train.entry import present

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")
STRIDE = TINY.content_stride


@pytest.fixture(scope="module")
def corpus(corpus_folder: Path) -> Corpus:
    return Corpus(manifest.read(corpus_folder), segment_frames=TINY.training.segment_frames, stride=STRIDE)


def test_crops_lie_on_the_grid_hold_speech_and_repeat_with_the_seed(corpus: Corpus) -> None:
    one, two = (corpus.sample(50, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.mel, two.mel) and torch.equal(one.grid, two.grid)
    assert one.mel.shape == (50, 80, 32) and one.f0.shape == (50, 32) and one.grid.shape == (50, 32 // STRIDE)
    assert one.mask.mean(dim=-1).min() >= 0.5
    first = one.grid[:, 0] * STRIDE
    for b in range(50):
        torch.testing.assert_close(one.mel[b], corpus.mel[:, first[b] : first[b] + 32].float())
        assert corpus.starts[one.clip[b]] <= first[b] <= corpus.starts[one.clip[b]] + corpus.lengths[one.clip[b]] - 32
    assert one.grid.max() < corpus.n_codes


def test_a_corpus_without_usable_clips_is_refused(corpus_folder: Path) -> None:
    with pytest.raises(DataError, match="No clip"):
        Corpus(manifest.read(corpus_folder)[:1], segment_frames=10_000, stride=4)


def test_warping_moves_frequencies_and_keeps_totals() -> None:
    torch.testing.assert_close(warp_matrix(1.0), torch.eye(80))
    torch.testing.assert_close(warp_matrix(1.2).sum(dim=1), torch.ones(80))
    mel = torch.full((2, 80, 5), -10.0)
    mel[:, 20] = 0.0
    up, down = warp_matrix(1.2) @ mel[0, :, 0], warp_matrix(0.8) @ mel[0, :, 0]
    assert up.argmax() > 20 > down.argmax()


def test_a_disguise_moves_pitch_with_the_formants_and_spares_whom_it_should() -> None:
    random = np.random.default_rng(0)
    config = TINY.stage2.disguise.model_copy(update={"warps": (1.25,), "equalizer_db": 0.0})
    augmentation = Disguise.draw(64, config, random, share=0.5)
    assert 0 < augmentation.plain.sum() < 64
    mel, f0 = torch.full((64, 80, 4), -10.0), torch.full((64, 4), 100.0)
    mel[:, 20] = 0.0
    moved = augmentation.mel(mel)[..., 0].argmax(dim=1)
    assert (moved[augmentation.plain] == 20).all() and (moved[~augmentation.plain] > 20).all()
    torch.testing.assert_close(augmentation.f0(f0)[:, 0], torch.where(augmentation.plain, 100.0, 125.0))
    register = augmentation.register(torch.tensor([[7.0, 0.2]]).expand(64, 2))
    torch.testing.assert_close(register[~augmentation.plain][0], torch.tensor([7.0 + np.log2(1.25), 0.2]).float())


def test_an_equalizer_has_the_deviation_asked_for() -> None:
    config = TINY.stage2.disguise.model_copy(update={"warps": (1.0,), "equalizer_db": 6.0})
    curves = Disguise.draw(500, config, np.random.default_rng(0)).curve
    assert (curves.std() * 20 / np.log(10)).item() == pytest.approx(6.0, rel=0.1)


def test_degrading_adds_what_is_not_speech_and_takes_the_top() -> None:
    mel = torch.full((300, 80, 160), np.log(1e-3), dtype=torch.float32)
    mel[:, :, 80:] = np.log(1e-5)
    same = degrade(mel, 0.0, np.random.default_rng(0))
    torch.testing.assert_close(same, mel)
    worse = degrade(mel, 1.0, np.random.default_rng(0))
    assert worse.shape == mel.shape and worse.isfinite().all()
    assert (worse[:, :30, 85:].mean(dim=(1, 2)) > np.log(2e-5)).all()  # the tail and the noise fill the pause
    assert (worse[:, 65:] == np.float32(np.log(1e-5))).all()


def test_training_noise_falls_with_frequency_as_little_or_as_much_as_white_and_brown_do() -> None:
    random = np.random.default_rng(0)
    silence = torch.ones(16, 80, 400)
    noise = (augmentation._steady(silence, random) * augmentation._texture(silence, random)).log() / 2
    octaves = np.log2(mel_frequencies_hz()[10:] / mel_frequencies_hz()[10])
    falls_db = 20 / np.log(10) * np.polyfit(octaves, noise.mean(dim=2)[:, 10:].T.numpy(), 1)[0]
    assert falls_db.min() > -6.5 and falls_db.max() < 0.5 and np.ptp(falls_db) > 3
    around = noise - noise.mean(dim=2, keepdim=True)
    alike = [float((around[..., lag:] * around[..., :-lag]).mean() / around.square().mean()) for lag in (1, 8)]
    assert alike[0] > 0.5 > 0.1 > alike[1]  # neighbouring frames share most of their samples


def test_what_is_added_to_a_mel_is_what_noise_adds_to_the_recording() -> None:
    random = np.random.default_rng(0)
    wav = torch.from_numpy(np.concatenate([voice(hz, 4.0, seed=hz) for hz in (100, 150, 220)]))
    noise = 0.01 * torch.from_numpy(random.standard_normal(len(wav), dtype=np.float32))
    clean, real = log_mel(wav), log_mel(wav + noise)
    speech, power = (2 * clean).exp(), (2 * log_mel(noise)).exp().mean()
    ours = (speech + power * augmentation._texture(speech[None], random)[0]).log() / 2
    n_compared = 0
    for low, high in ((-3, -1), (-1, 0), (0, 1), (1, 3)):  # nepers that speech is above the noise
        above = clean - power.log() / 2
        chosen = (above > low) & (above < high)
        n_compared += int(chosen.sum())
        rise, wanted = (ours - clean)[chosen], (real - clean)[chosen]
        assert rise.mean().item() == pytest.approx(wanted.mean().item(), abs=0.05)
        assert rise.std().item() == pytest.approx(wanted.std().item(), abs=0.1)
    assert n_compared > 10_000


def test_a_room_adds_to_a_mel_what_its_response_adds_to_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "_REVERBERATION_S", (RT60_S, RT60_S))
    monkeypatch.setattr(augmentation, "_DIRECT_TO_ROOM_DB", (0.0, 0.0))
    random = np.random.default_rng(0)
    wav = np.concatenate([voice(hz, 4.0, seed=hz) for hz in (100, 150, 220)])
    clean, real = log_mel(torch.from_numpy(wav)), log_mel(torch.from_numpy(add_room(wav, random)))
    speech = (2 * clean).exp()[None]
    ours = (speech + augmentation._late(speech, random) * augmentation._texture(speech, random)).log()[0] / 2
    loudness = [mel.square().mean().sqrt().log() for mel in (clean.exp(), ours.exp(), real.exp())]
    rises = ours - loudness[1] - clean + loudness[0], real - loudness[2] - clean + loudness[0]
    rise, wanted = (np.quantile(r.numpy(), [0.1, 0.5, 0.9]) for r in rises)
    assert rise == pytest.approx(wanted, abs=0.3)


def test_renderings_share_codes_and_stand_in_for_each_other(corpus_folder: Path, tmp_path: Path) -> None:
    clips = manifest.read(corpus_folder)[:2]
    low, high = voice(110, 3.0, seed=1), voice(220, 3.0, seed=1)
    for name, wav in (("low", low), ("high", high), ("else", voice(150, 3.0, seed=2))):
        audio.save(tmp_path / f"{name}.wav", wav)
    (tmp_path / "phones.json").write_text("{}", encoding="utf-8")
    for name, text in (("low", "SAME"), ("high", "SAME"), ("else", "OTHER")):
        clips.append(manifest.Clip(tmp_path / f"{name}.wav", name, f"speaker {name}", None, 3.0, text, "train"))
    clips[:2] = [replace(clip, text="SAME") for clip in clips[:2]]  # read by people, who do not keep time
    corpus = Corpus(clips, segment_frames=32, stride=4)
    index = {clip.utterance: i for i, clip in enumerate(corpus.clips)}
    low, high, other = (corpus.crops(np.array([index[name]]), np.array([16])) for name in ("low", "high", "else"))
    assert torch.equal(low.grid, high.grid) and not torch.equal(low.grid, other.grid)
    random = np.random.default_rng(0)
    assert torch.equal(corpus.said_by_others(low, random).mel, high.mel)
    assert torch.equal(corpus.said_by_others(other, random).mel, other.mel)
    read = corpus.crops(np.array([0]), np.array([16]))
    assert torch.equal(corpus.said_by_others(read, random).mel, read.mel)


def test_stage_2_goes_on_from_weights_without_codes(corpus: Corpus) -> None:
    model = Model(TINY)
    stage = Stage2(corpus, TINY, model, None, unseen=corpus)
    for name, tensor in model.state_dict().items():
        assert torch.equal(stage.model.state_dict()[name], tensor)
    assert "content" not in stage.step(0)
    wider = TINY.model_copy(update={"decoder": TINY.decoder.model_copy(update={"channels": 20})})
    with pytest.raises(UsageError, match="other sizes"):
        Stage2(corpus, wider, model, None)


def test_a_decoder_grows_at_its_end_and_says_nearly_the_same_at_first(corpus: Corpus) -> None:
    torch.manual_seed(0)
    short = TINY.model_copy(update={"decoder": TINY.decoder.model_copy(update={"upsampling": (1, 1, 1, 2)})})
    model = Model(short).eval()
    grown = Stage2(corpus, TINY, model, None).model.eval()
    assert len(grown.decoder.blocks) == len(TINY.decoder.upsampling) > len(model.decoder.blocks)
    crops = corpus.sample(4, np.random.default_rng(0))
    with torch.no_grad():
        before, after = (one(crops.mel, crops.mel, crops.f0, crops.mask, crops.mask) for one in (model, grown))
    assert (after - before).abs().mean() < 0.2 * before.std()
    with pytest.raises(UsageError, match="other sizes"):  # a trained block has no place in a smaller decoder
        Stage2(corpus, short, Model(TINY), None)


def test_stage_2_from_nothing_measures_the_mels_itself(corpus: Corpus) -> None:
    stage = Stage2(corpus, TINY, None, None, unseen=corpus)
    mean, std = corpus.statistics()
    assert torch.equal(stage.model.mel_mean, mean) and torch.equal(stage.model.mel_std, std)
    assert "content" not in stage.step(0)


def test_losses_are_zero_for_equal_mels_and_grow_with_the_distance() -> None:
    target, noise = torch.randn(4, 80, 32), torch.randn(4, 80, 32)
    loss = ReconstructionLoss(MelFeatures((4, 8, 8, 8)), weight=1.0, share=0.5)
    assert loss(target, target) == 0
    assert multi_scale_l1(target + 0.1 * noise, target) < multi_scale_l1(target + noise, target)
    near, far = loss(target + 0.1 * noise, target), loss(target + noise, target)
    assert multi_scale_l1(target + noise, target) < far and near < far


def test_the_distance_of_voices_is_of_textures_not_of_words() -> None:
    torch.manual_seed(0)
    network, torch_random = MelFeatures((4, 8, 8, 8)), torch.Generator().manual_seed(0)
    noise = torch.randn(2, 80, 320, generator=torch_random)
    voice_a, voice_b = (
        noise * scale for scale in (torch.linspace(0.2, 2, 80)[:, None], torch.linspace(2, 0.2, 80)[:, None])
    )
    mask = torch.ones(2, 1, 160)

    def distance(output, reference, mask=mask):
        return voice_distance(network, output, mask, reference, torch.ones(2, 1, 160)).item()

    said, other_words = voice_a[..., :160], voice_a[..., 160:]
    assert distance(said, said) == 0
    assert distance(said, other_words) < 0.5 * distance(said, voice_b[..., 160:])
    silent = said.clone()
    silent[..., 80:] = -5  # a pause, which the mask takes out
    pause = mask.clone()
    pause[..., 80:] = 0
    assert distance(silent, other_words, pause) < 0.5 * distance(silent, other_words)


def torchvision_vgg16() -> dict[str, torch.Tensor]:
    """A state dict with torchvision's names and shapes, in which every convolution adds up the mean of its input."""
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
def test_a_process_without_rows_of_the_perceptual_share_adds_nothing(network, monkeypatch: pytest.MonkeyPatch) -> None:
    output, target = torch.randn(2, 80, 32, requires_grad=True), torch.randn(2, 80, 32)
    monkeypatch.setattr(distributed, "rows", lambda count: slice(0, 0))
    loss = ReconstructionLoss(network, share=0.5)(output, target)
    loss.backward()
    assert loss == multi_scale_l1(output, target) and output.grad.isfinite().all()


@pytest.mark.parametrize("name", ["vgg16.pth", "vgg16-old.pth", "vgg16.safetensors"])
def test_vgg16_of_torchvisions_weights_gives_the_layers_of_the_loss(tmp_path: Path, name: str) -> None:
    tensors, path = torchvision_vgg16(), tmp_path / name
    if path.suffix == ".pth":
        torch.save(tensors, path, _use_new_zipfile_serialization="old" not in name)
    else:
        save_file(tensors, path)
    network = load_features(path, ())
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


def test_what_is_no_vgg16_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vgg16.pth").write_bytes(b"not a pickle")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    torch.save([1], tmp_path / "list.pth")
    torch.save({"features.0.weight": Path("/")}, tmp_path / "code.pth")
    (tmp_path / "vgg16.safetensors").write_bytes(b"no header")
    for path in tmp_path.iterdir():
        with pytest.raises(UsageError, match="torchvision's vgg16"):
            load_features(path, ())


def losses_of(stage, steps) -> list[float]:
    return [stage.step(i)["reconstruction"] for i in steps]


def test_stage_1_learns_codes_and_repeats_itself(corpus: Corpus) -> None:
    config = TINY.model_copy(update={"stage1": TINY.stage1.model_copy(update={"steps": 60, "noise_std": 0.1})})
    stage = Stage1(corpus, config, None)
    before = stage.codes.content.weight.detach().clone()
    losses = losses_of(stage, range(60))
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert not torch.equal(stage.codes.content.weight, before)
    torch.manual_seed(99)  # the global state must not matter
    assert losses_of(Stage1(corpus, config, None), range(5)) == losses[:5]


@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_run_goes_on_exactly(corpus: Corpus, tmp_path: Path, number: int) -> None:
    def stage():
        first = Stage1(corpus, TINY, None)
        return first if number == 1 else Stage2(corpus, TINY, first.state_dict(), None, unseen=corpus)

    loop.run(stage(), loop.Schedule(8, save_every=4), tmp_path / "whole")
    loop.run(stage(), loop.Schedule(4, save_every=4), tmp_path / "killed")
    with (tmp_path / "killed" / "log.jsonl").open("a") as log:  # steps after the last checkpoint are taken again
        log.write('{"step": 6, "reconstruction": 0}\n')
    loop.run(stage(), loop.Schedule(8, save_every=4), tmp_path / "killed", resume=True)
    ends = [loop.load_checkpoint(loop.latest(tmp_path / name))["stage"] for name in ("whole", "killed")]
    part = "decoder" if number == 1 else "model"
    for name, tensor in ends[0][part].items():
        torch.testing.assert_close(ends[1][part][name], tensor, atol=1e-6, rtol=0)
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert steps == [4, 8]


def test_checkpoints_kept_are_the_last_two_and_the_best(corpus: Corpus, tmp_path: Path) -> None:
    scores = iter([0.5, 0.1, 0.7, 0.6, 0.9])
    loop.run(
        Stage1(corpus, TINY, None), loop.Schedule(10, save_every=2), tmp_path, validate=lambda: {"loss": next(scores)}
    )
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert kept == ["step-10", "step-4", "step-8"]


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    class Broken:
        def step(self, i: int) -> dict[str, float]:
            return {"loss": float("nan") if i == 3 else 1.0}

        def state_dict(self) -> dict:
            return {}

    with pytest.raises(TrainingError, match="step 4"):
        loop.run(Broken(), loop.Schedule(10), tmp_path)


def test_a_run_folder_is_not_used_twice_by_accident(tmp_path: Path) -> None:
    loop.start(tmp_path / "run", TINY, resume=False)
    with pytest.raises(UsageError, match="--resume"):
        loop.start(tmp_path / "run", TINY, resume=False)
    with pytest.raises(UsageError, match="another config"):
        loop.start(tmp_path / "run", Config(), resume=True)
    loop.start(tmp_path / "run", TINY, resume=True)


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_device_that_is_not_here_is_refused(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("it is here")
    with pytest.raises(UsageError, match="no such device"):
        present(device)


def test_stage_2_refuses_another_corpus_codes(corpus: Corpus, corpus_folder: Path) -> None:
    small = Corpus(manifest.read(corpus_folder)[:6], segment_frames=32, stride=4)
    with pytest.raises(DataError, match="other data"):
        Stage2(small, TINY, Stage1(corpus, TINY, None).state_dict(), None)


def test_the_entry_points_from_a_folder_to_a_conversion(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the README's training section says, with the tiny config."""

    def run(module: str, *arguments: str | Path) -> str:
        """As ``python -m`` does, in this process: each new one takes seconds to start."""
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        monkeypatch.delitem(sys.modules, f"train.{module}", raising=False)  # it may have been imported
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(f"train.{module}", run_name="__main__")
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return said.out

    data, tiny = tmp_path / "manifest.jsonl", ROOT / "train" / "configs" / "tiny.yaml"
    run("prepare", corpus_folder, "--out", data)
    common = ("--data", data, "--config", tiny)
    run("perceptual", *common, "--run", tmp_path / "perceptual")
    run("stage1", *common, "--run", tmp_path / "stage1", "--perceptual", tmp_path / "perceptual")
    run("recognizer", "--data", data, "--run", tmp_path / "recognizer")
    heard = ("--recognizer", tmp_path / "recognizer", "--perceptual", tmp_path / "perceptual")
    run("stage2", *common, "--run", tmp_path / "stage2", "--stage1", tmp_path / "stage1", *heard)
    assert "words" in (tmp_path / "stage2" / "log.jsonl").read_text()
    for stage in ("stage1", "stage2"):
        said = run("probe", "--data", data, "--run", tmp_path / stage, "--speakers", "3")
        assert "step 2, 3 speakers of 'train'" in said and said.count(" %") == 4
    pipeline = Pipeline.from_pretrained(tmp_path / "stage2" / "weights")
    wav = voice(120, 2.0)
    assert pipeline.convert((wav, RATE), (voice(200, 2.0), RATE)).wav.shape == wav.shape
    assert yaml.safe_load((tmp_path / "stage1" / "config.yaml").read_text()) == TINY.to_dict()
