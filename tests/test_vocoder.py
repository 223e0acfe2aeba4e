"""Neural vocoder: excitation, filters, training, and errors without its weights."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from saic import audio
from saic.config import Config
from saic.conversion import Speech
from saic.data import manifest
from saic.errors import DataError, UsageError, WeightsError
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.signal.f0 import (
    track_f0,
)
from saic.signal.mel import FLOOR, log_mel
from saic.training import loop
from saic.training.phone_recognizer import PhoneRecognizer
from saic.training.spectral_loss import MultiResolutionSpectralLoss
from saic.training.training_set import TrainingSet
from saic.training.vocoder import VocoderStage, blur_some
from saic.training.waveform_set import WaveformSet, refine_f0
from saic.vocoder.excitation import Excitation, pulses, smooth_f0, to_samples
from saic.vocoder.source_filter import BINS, WINDOW, NeuralVocoder, SourceFilter, minimum_phase
from saic.vocoder.vocoder import GriffinLim, build_vocoder
from saic.weights import VOCODER, fingerprint, save_vocoder, write_sums
from tests.conftest import RATE, voice

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml")


@pytest.fixture(scope="module")
def network() -> SourceFilter:
    """A small untrained network whose output is not constant."""
    torch.manual_seed(0)
    network = SourceFilter(16, 2, 7, 2)
    torch.nn.init.normal_(network.out.weight, std=0.05)
    return network.eval()


@pytest.fixture(scope="module")
def speech() -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """A wav, its log-mel and its F0."""
    wav = voice(140, 3.0)
    return wav, log_mel(torch.from_numpy(wav)), torch.from_numpy(track_f0(wav))


def test_smoothed_f0_has_no_gaps_or_steps() -> None:
    track = np.array([0, 0, 100, 100, 0, 0, 0, 200, 200, 0.0])
    curve = smooth_f0(track)
    assert np.all(curve > 0) and np.all(np.diff(curve) >= 0) and np.abs(np.diff(np.log2(curve))).max() < 0.3
    np.testing.assert_allclose(smooth_f0(np.full(30, 150.0)), 150.0)
    assert len(set(smooth_f0(np.zeros(5)))) == 1
    np.testing.assert_allclose(to_samples(np.array([1.0, 3.0]))[[0, 100, 200, 300, 399]], [1, 1, 2, 3, 3])


def test_pulses_are_the_harmonics_of_f0_at_equal_amplitude() -> None:
    phase, _ = Excitation(np.full(80, 200.0)).part(0, 80)
    assert np.abs(phase).max() <= 0.5
    wav = pulses(*(torch.from_numpy(x) for x in (phase, np.full(16_000, 200.0), np.ones(16_000))))
    spectrum = torch.fft.rfft(wav).abs() / 8_000  # bins of 1 Hz; half the amplitude is at negative frequencies
    harmonics = torch.arange(200, 8_000, 200)
    torch.testing.assert_close(spectrum[harmonics[:-1]], torch.full((38,), 2.0, dtype=torch.float64), rtol=1e-3, atol=0)
    spectrum[harmonics] = 0
    assert spectrum.max() < 1e-6
    gliding = torch.linspace(100, 300, 16_000, dtype=torch.float64)
    phase = (gliding / RATE).cumsum(0)
    found = pulses(phase - phase.round(), gliding, torch.ones(16_000))
    expected = sum(torch.cos(2 * torch.pi * k * phase) * (7_900 / gliding - k).clamp(0, 1) for k in range(1, 80))
    torch.testing.assert_close(found, 0.01 * gliding * expected, rtol=1e-5, atol=1e-3)


def test_noise_depends_on_sample_index_and_seed() -> None:
    def noise(stop: int, seed: int = 0) -> np.ndarray:
        return Excitation(np.full(4, 150.0), seed).part(0, stop)[1]

    np.testing.assert_array_equal(noise(2), noise(4)[:400])
    assert not np.array_equal(noise(2), noise(2, seed=1))


def test_minimum_phase_equals_the_phase_of_a_one_pole_filter() -> None:
    # 1 / (1 - 0.9 z^-1) and its inverse are causal and stable, so its phase is the minimum phase.
    response = 1 / (1 - 0.9 * torch.exp(-2j * torch.pi * torch.arange(BINS) / WINDOW))
    phase = minimum_phase(response.abs().log()[None, :, None])[0, :, 0]
    torch.testing.assert_close(phase, response.angle(), atol=1e-4, rtol=0)


def test_stft_and_inverse_give_back_the_waveform(network: SourceFilter) -> None:
    wav = torch.randn(1, 4_000)
    torch.testing.assert_close(network._istft(network._stft(wav), 4_000), wav, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_frames", [1, 2, 7, 81])
def test_mel_of_any_length_gives_200_finite_samples_per_frame(network: SourceFilter, n_frames: int) -> None:
    wav = NeuralVocoder(network)(torch.full((80, n_frames), -4.0), torch.full((n_frames,), 120.0))
    assert wav.shape == (200 * n_frames,) and wav.isfinite().all()


def test_mel_at_the_floor_gives_silence_and_sound_stays_in_its_frames(network: SourceFilter) -> None:
    vocode = NeuralVocoder(network)
    mel, f0 = torch.full((80, 200), float(np.log(FLOOR))), torch.full((200,), 120.0)
    assert vocode(mel, f0).abs().max() < 1e-6
    mel[:, 80:120] = -2.0
    wav = vocode(mel, f0)
    outside = torch.cat([wav[: 77 * 200], wav[123 * 200 :]])
    assert wav[80 * 200 : 120 * 200].square().mean() > 1e3 * outside.square().max()


def test_untrained_vocoder_reproduces_the_mel_within_one_neper(speech) -> None:
    _, mel, f0 = speech
    wav = NeuralVocoder(SourceFilter(16, 1, 7, 1))(mel, f0)
    loud = mel > mel.max() - 4
    error = (log_mel(wav) - mel)[loud]
    assert error.mean().abs() < 0.7 and error.abs().mean() < 1.0


def test_output_in_chunks_equals_that_of_the_whole_and_repeats_exactly(network: SourceFilter, speech) -> None:
    _, mel, f0 = speech
    whole = NeuralVocoder(network, chunk_frames=10_000)(mel, f0)
    for frames in (50, 97):
        in_chunks = NeuralVocoder(network, chunk_frames=frames)(mel, f0)
        assert (in_chunks - whole).abs().max() < 1e-3 * whole.abs().max()  # -60 dB
    torch.manual_seed(99)  # the global random state has no effect
    torch.testing.assert_close(NeuralVocoder(network, chunk_frames=10_000)(mel, f0), whole, rtol=0, atol=0)


def test_changed_frame_affects_output_only_within_the_receptive_field(network: SourceFilter) -> None:
    vocode = NeuralVocoder(network)
    mel, f0 = torch.randn(80, 120) - 4, torch.full((120,), 150.0)
    other = mel.clone()
    other[:, 60] += 1
    changed = torch.nonzero((vocode(mel, f0) - vocode(other, f0)).abs() > 1e-7)[:, 0] // 200
    reach = vocode.receptive_field // 2
    assert 60 - reach <= changed.min() < 55 and 65 < changed.max() <= 60 + reach


def test_refined_f0_is_that_of_the_recording_and_stays_zero_where_unvoiced() -> None:
    phase, _ = Excitation(np.full(80, 203.0)).part(0, 80)
    wav = pulses(*(torch.from_numpy(x) for x in (phase, np.full(16_000, 203.0), np.ones(16_000)))).float().numpy()
    track = np.where(np.arange(80) < 60, 200.0, 0.0)
    refined = refine_f0(wav, track)
    assert np.abs(refined[4:60] - 203).max() < 0.8 and not refined[60:].any()


def test_spectral_loss_is_near_zero_for_equal_waveforms_grows_with_noise_and_ignores_level() -> None:
    distance = MultiResolutionSpectralLoss((512, 256))
    target, noise = torch.randn(2, 3, 8_000)
    near, far = distance(target + 0.1 * noise, target), distance(target + noise, target)
    assert distance(target, target) < 0.01 < near < far
    torch.testing.assert_close(distance(0.1 * (target + noise), 0.1 * target), far, rtol=1e-2, atol=0)


def test_spectral_loss_of_independent_noises_is_smallest_at_equal_level() -> None:
    distance = MultiResolutionSpectralLoss((2048, 1024, 512))
    output, target = 0.1 * torch.randn(2, 4, 16_000, generator=torch.Generator().manual_seed(0))
    levels = np.arange(-3, 3.1, 0.5)
    best = levels[np.argmin([float(distance(output * 10 ** (db / 20), target)) for db in levels])]
    assert abs(best) <= 0.5


@pytest.fixture(scope="module")
def waveforms(corpus_folder: Path) -> WaveformSet:
    return WaveformSet(TrainingSet(manifest.read(corpus_folder)[:6], segment_frames=16, stride=1))


def test_waveform_crops_have_the_mels_of_the_batch(waveforms: WaveformSet) -> None:
    batch = waveforms.sample(8, np.random.default_rng(0), gain_db=(-12.0, -12.0))
    assert batch.wav.shape == (8, 3_200) and batch.hz.shape == batch.f0.shape == (8, 16)
    inner = slice(3, -3)  # log_mel pads a crop by reflection
    loud = batch.mel[..., inner] > -6
    assert (log_mel(batch.wav)[..., inner] - batch.mel[..., inner])[loud].abs().max() < 0.05


def test_waveform_of_a_crop_of_a_parallel_clip_is_of_that_clip(tmp_path: Path) -> None:
    (tmp_path / "phones.json").write_text("{}", encoding="utf-8")
    clips = []
    for name, pitch_hz in (("low", 110), ("high", 220)):
        audio.save(tmp_path / f"{name}.wav", voice(pitch_hz, 2.0, seed=1))
        clips.append(manifest.Clip(tmp_path / f"{name}.wav", name, name, None, 2.0, "SAME", "train"))
    training_set = TrainingSet(clips, segment_frames=32, stride=1)
    batch = WaveformSet(training_set).sample(8, np.random.default_rng(0))
    assert {bool(f0.max() > 165) for f0 in batch.f0} == {False, True}
    torch.testing.assert_close(batch.hz[batch.f0 > 0], batch.f0[batch.f0 > 0], rtol=0.1, atol=0)
    inner = slice(3, -3)  # log_mel pads a crop by reflection
    loud = batch.mel[..., inner] > -6
    assert (log_mel(batch.wav)[..., inner] - batch.mel[..., inner])[loud].abs().max() < 0.05


def test_blur_changes_only_the_given_share_of_mels_and_keeps_the_mean(waveforms: WaveformSet) -> None:
    batch = waveforms.sample(4, np.random.default_rng(0))
    mel = batch.mel

    def blurred(share: float) -> torch.Tensor:
        return blur_some(batch, np.random.default_rng(1), torch.Generator().manual_seed(1), share)

    assert torch.equal(blurred(0.0), mel)
    assert all((blurred(1.0)[b] != mel[b]).any() for b in range(4))
    assert (blurred(1.0) - mel).mean().abs() < 0.2


def test_reconstructed_mels_replace_the_blur(corpus_folder: Path) -> None:
    training_set = TrainingSet(manifest.read(corpus_folder)[:2], segment_frames=16, stride=1)
    waveforms = WaveformSet(training_set, lambda data, clip: data.clip_mel(clip) - 1)
    batch = waveforms.sample(4, np.random.default_rng(0), gain_db=(-6.0, 6.0))
    above_floor = batch.mel > np.log(FLOOR) + 2
    torch.testing.assert_close(batch.reconstructed[above_floor], batch.mel[above_floor] - 1, atol=0.02, rtol=0)
    mel = blur_some(batch, np.random.default_rng(1), torch.Generator(), 1.0)
    assert torch.equal(mel, batch.reconstructed)


def test_phone_loss_is_proportional_to_its_weight_and_zero_for_exact_output(waveforms: WaveformSet) -> None:
    torch.manual_seed(0)
    recognizer = PhoneRecognizer(5, channels=8, n_blocks=2, kernel=3).eval().requires_grad_(False)
    losses = {}
    for weight in (0.0, 0.5, 1.0):
        config = TINY.model_copy(
            update={"vocoder_training": TINY.vocoder_training.model_copy(update={"phone_loss_weight": weight})}
        )
        losses[weight] = VocoderStage(waveforms, config, recognizer=recognizer).step(0)
    assert "phone_loss" not in losses[0.0]
    exact = VocoderStage(waveforms, config, recognizer=recognizer)
    exact._synthesize = lambda batch, mel, noise: batch.wav.clone().requires_grad_()
    assert exact.step(0)["phone_loss"] < 1e-6  # both mels are of waveforms, so they agree at the edges of a crop too
    assert losses[1.0]["phone_loss"] == pytest.approx(2 * losses[0.5]["phone_loss"], rel=1e-3)
    assert losses[0.5]["phone_loss"] > 0


def test_training_reduces_the_loss_and_a_resumed_run_ends_with_the_same_weights(
    waveforms: WaveformSet, tmp_path: Path
) -> None:
    def config(steps: int) -> Config:
        return TINY.model_copy(
            update={"vocoder_training": TINY.vocoder_training.model_copy(update={"steps": steps, "lr": 3e-3})}
        )

    stage = VocoderStage(waveforms, config(40), unseen=waveforms)
    before = stage.validate()["loss"]
    for i in range(40):
        stage.step(i)
    assert stage.validate()["loss"] < 0.95 * before
    for name, stops in (("whole", (4,)), ("resumed", (2, 4))):
        for stop in stops:
            stage = VocoderStage(waveforms, config(4), unseen=waveforms)
            loop.run(stage, loop.Schedule(stop, save_every=2), tmp_path / name, resume=True, validate=stage.validate)
    ends = [loop.load_checkpoint(loop.latest(tmp_path / name))["stage"]["network"] for name in ("whole", "resumed")]
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, atol=1e-6, rtol=0)


def test_training_from_a_vocoder_copies_its_tensors_and_other_sizes_raise_weights_error(waveforms: WaveformSet) -> None:
    initial = SourceFilter(TINY.vocoder.channels, TINY.vocoder.layers, TINY.vocoder.kernel, TINY.vocoder.expansion)
    initial.mel_mean.fill_(-3.0)
    stage = VocoderStage(waveforms, TINY, initial.state_dict())
    for name, tensor in initial.state_dict().items():
        torch.testing.assert_close(stage.network.state_dict()[name], tensor, rtol=0, atol=0)
    with pytest.raises(WeightsError, match="other sizes"):
        VocoderStage(waveforms, TINY, SourceFilter(2 * TINY.vocoder.channels, 1, 7, 1).state_dict())


def test_run_with_other_data_or_networks_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from train import vocoder

    class Stage:
        def __init__(self, *_: object, **__: object) -> None: ...
        def step(self, i: int) -> dict[str, float]:
            return {"loss": 1.0}

        def validate(self) -> dict[str, float]:
            return {}

        def state_dict(self) -> dict[str, dict]:
            return {"network": {}}

        def load_state_dict(self, state: dict) -> None: ...

    monkeypatch.setattr(vocoder, "VocoderStage", Stage)
    monkeypatch.setattr(vocoder, "_write_samples", lambda *_: None)

    def train(stop: int, *, data: str = "data", init: float = 0.0, recognizer: Path | None = None) -> None:
        training_set = SimpleNamespace(fingerprint=data)
        monkeypatch.setattr(vocoder, "_read", lambda *_: SimpleNamespace(training_set=training_set))
        networks = {"init": {"weight": torch.full((1,), init)}, "recognizer": recognizer}
        vocoder.train([], tmp_path / "run", TINY, **networks, steps=range(stop), resume=stop > 1)

    PhoneRecognizer(5, channels=8, n_blocks=2, kernel=3).save(tmp_path)
    train(1)
    for name, changed in {
        "--data": {"data": "other"},
        "--init": {"init": 1.0},
        "--rec": {"recognizer": tmp_path},
    }.items():
        with pytest.raises(UsageError, match=f"other inputs, or in another order: {name}"):
            train(2, **changed)
    train(2)


def test_entry_point_trains_resumes_installs_and_fine_tunes(corpus_folder: Path, tmp_path: Path) -> None:
    from train.vocoder import main

    data, run, weights = tmp_path / "manifest.jsonl", tmp_path / "run", tmp_path / "weights"
    clips = manifest.read(corpus_folder)
    splits = ["dev" if clip.speaker == "speaker0" else "train" for clip in clips]
    with_splits = [clip.__class__(**{**vars(clip), "split": split}) for clip, split in zip(clips, splits, strict=True)]
    data.write_text(manifest.to_lines(with_splits, tmp_path), encoding="utf-8")
    tiny = Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml"
    torch.manual_seed(0)
    Model(TINY).save_pretrained(weights)
    before = fingerprint(weights)
    main([data], run, tiny)
    assert {path.suffix for path in (run / "samples").iterdir()} == {".flac", ".png"}
    assert Pipeline.from_pretrained(weights).info()["vocoder"] == "griffin-lim"
    main([data], run, tiny, weights, resume=True)
    pipeline = Pipeline.from_pretrained(weights)
    assert pipeline.info()["vocoder"] == "neural" and fingerprint(weights) != before
    assert isinstance(pipeline.vocoder, NeuralVocoder) and isinstance(pipeline.with_griffin_lim().vocoder, GriffinLim)
    source = voice(120, 2.0)[:-77]
    conversions = [
        p.convert((source, RATE), (voice(200, 2.0), RATE), reconstruct=True)
        for p in (pipeline, pipeline.with_griffin_lim())
    ]
    for conversion in conversions:
        for wav in (conversion.wav, conversion.reconstruction, pipeline.resynthesize((source, RATE))):
            assert wav.shape == source.shape
    assert not np.array_equal(conversions[0].wav, conversions[1].wav)
    assert yaml.safe_load((run / "config.yaml").read_text()) == TINY.to_dict()
    (tmp_path / "recognizer").mkdir()
    PhoneRecognizer(5, channels=8, n_blocks=2, kernel=3).save(tmp_path / "recognizer")
    options = {"init": str(weights), "reconstructed_by": str(weights), "recognizer": tmp_path / "recognizer"}
    main([data], tmp_path / "fine_tuned", tiny, **options)
    steps = [json.loads(line) for line in (tmp_path / "fine_tuned" / "log.jsonl").read_text().splitlines()]
    assert any("phone_loss" in step for step in steps)


def test_short_clip_that_training_takes_is_reconstructed_too_once_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import vocoder

    monkeypatch.setenv("SAIC_CACHE", str(tmp_path / "cache"))
    wav = np.zeros(round(0.85 * RATE), dtype=np.float32)
    wav[3_200:8_000] = 0.1 * np.sign(np.sin(2 * np.pi * 140 * np.arange(4_800) / RATE))  # 0.3 s
    audio.save(tmp_path / "clip.wav", wav)
    clip = manifest.Clip(tmp_path / "clip.wav", "clip", "a", None, 0.85, None, "train")
    training_set = TrainingSet([clip], segment_frames=64, stride=1)
    assert 32 <= training_set.speech.sum() < 40  # frames: less than half a second
    for seed in range(2):
        torch.manual_seed(seed)
        Model(TINY).save_pretrained(tmp_path / str(seed))
    models = [Model.from_pretrained(tmp_path / str(seed)) for seed in range(2)]

    def reconstructed(model: Model) -> torch.Tensor:
        reconstruct = vocoder._reconstructor(model, "cpu")
        return WaveformSet(training_set, reconstruct).sample(2, np.random.default_rng(0)).reconstructed

    first, other = map(reconstructed, models)
    assert first.shape == (2, 80, 64) and first.isfinite().all() and not torch.equal(first, other)
    mel = vocoder.reconstruct_mel(models[0], Speech.from_wav(wav))[0]
    kept = vocoder._reconstructor(models[0], "cpu")(training_set, 0)
    assert (kept - mel).abs().mean() < 0.05  # from mel and F0 of float16
    monkeypatch.setattr(vocoder, "reconstruct_mel", lambda *_: pytest.fail("reconstructed again"))
    assert torch.equal(reconstructed(models[0]), first)


def test_samples_of_a_network_on_another_device_are_made_there(waveforms: WaveformSet, tmp_path: Path) -> None:
    from train import vocoder

    class Network(torch.nn.Module):
        receptive_field = 1

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            assert {x.device.type for x in inputs} == {"meta"}
            return torch.zeros(inputs[-1].shape)

    vocoder._write_samples(tmp_path, SimpleNamespace(network=Network(), device="meta"), waveforms)
    assert len(list((tmp_path / "samples").glob("*.flac"))) == vocoder.N_SAMPLES


def test_folder_that_is_to_get_the_vocoder_is_checked_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import vocoder

    monkeypatch.setattr(vocoder, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(WeightsError):
        vocoder.main([tmp_path], tmp_path / "run", weights=tmp_path / "none")


def test_missing_or_unusable_vocoder_weights_raise_weights_error(tmp_path: Path) -> None:
    """Griffin-Lim does not replace a neural vocoder whose weights are unusable."""
    Model(TINY).save_pretrained(tmp_path)
    torch.manual_seed(0)
    save_vocoder(tmp_path, TINY, SourceFilter(16, 1, 7, 1).state_dict())
    Pipeline.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="folder"):
        build_vocoder(Config.from_dict({"vocoder": {"kind": "neural"}}).vocoder)
    with pytest.raises(WeightsError, match="do not fit"):
        build_vocoder(Config.from_dict({"vocoder": {"kind": "neural", "channels": 8}}).vocoder, tmp_path)
    (tmp_path / VOCODER).write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="differs from its hash"):
        Pipeline.from_pretrained(tmp_path)
    (tmp_path / VOCODER).unlink()
    write_sums(tmp_path)
    with pytest.raises(WeightsError, match=r"train\.vocoder"):
        Pipeline.from_pretrained(tmp_path)


def test_lossy_recordings_raise_data_error(tmp_path: Path) -> None:
    from train.vocoder import _read

    (tmp_path / "speaker").mkdir()
    (tmp_path / "speaker" / "clip.mp3").write_bytes(b"")
    clip = manifest.Clip(tmp_path / "speaker" / "clip.mp3", "u", "s", None, 2.0, None, "train")
    (tmp_path / "manifest.jsonl").write_text(manifest.to_lines([clip], tmp_path), encoding="utf-8")
    with pytest.raises(DataError, match="lossless"):
        _read([tmp_path / "manifest.jsonl"], "train", 16)
