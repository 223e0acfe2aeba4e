"""The neural vocoder: identities of its sources, its filter and its training; what happens without its weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from saic.config import Config
from saic.data import manifest
from saic.errors import DataError, WeightsError
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.signal.f0 import (
    track_f0,
)
from saic.signal.mel import FLOOR, log_mel
from saic.training import loop
from saic.training.phone_recognizer import Recognizer
from saic.training.spectral_loss import SpectralDistance
from saic.training.training_set import Corpus
from saic.training.vocoder import VocoderStage, harden
from saic.training.waveform_set import Waveforms, refine
from saic.vocoder.excitation import contour, cycles, noise, pulses, to_samples
from saic.vocoder.source_filter import BINS, WINDOW, NeuralVocoder, SourceFilter, minimum_phase
from saic.vocoder.vocoder import GriffinLim, build
from saic.weights import VOCODER, fingerprint, save_vocoder, write_sums
from tests.conftest import RATE, voice

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml")


@pytest.fixture(scope="module")
def network() -> SourceFilter:
    """Small and untrained, but with an output that is not constant."""
    torch.manual_seed(0)
    network = SourceFilter(16, 2, 7, 2)
    torch.nn.init.normal_(network.out.weight, std=0.05)
    return network.eval()


@pytest.fixture(scope="module")
def spoken() -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """A wav, its mel and its pitch."""
    wav = voice(140, 3.0)
    return wav, log_mel(torch.from_numpy(wav)), torch.from_numpy(track_f0(wav))


def test_a_pitch_track_becomes_one_smooth_curve() -> None:
    track = np.array([0, 0, 100, 100, 0, 0, 0, 200, 200, 0.0])
    curve = contour(track)
    assert np.all(curve > 0) and np.all(np.diff(curve) >= 0) and np.abs(np.diff(np.log2(curve))).max() < 0.3
    np.testing.assert_allclose(contour(np.full(30, 150.0)), 150.0)
    assert len(set(contour(np.zeros(5)))) == 1
    np.testing.assert_allclose(to_samples(np.array([1.0, 3.0]))[[0, 100, 200, 300, 399]], [1, 1, 2, 3, 3])


def test_phase_runs_at_the_pitch_and_pulses_are_its_harmonics() -> None:
    phase = cycles(np.full(80, 200.0))
    assert np.abs(phase).max() <= 0.5
    wav = pulses(*(torch.from_numpy(x) for x in (phase, np.full(16_000, 200.0), np.ones(16_000))))
    spectrum = torch.fft.rfft(wav).abs() / 8_000  # 1 Hz a bin; half the amplitude stands at either sign
    harmonics = torch.arange(200, 8_000, 200)
    torch.testing.assert_close(spectrum[harmonics[:-1]], torch.full((38,), 2.0, dtype=torch.float64), rtol=1e-3, atol=0)
    spectrum[harmonics] = 0
    assert spectrum.max() < 1e-6
    gliding = torch.linspace(100, 300, 16_000, dtype=torch.float64)
    phase = (gliding / RATE).cumsum(0)
    glide = pulses(phase - phase.round(), gliding, torch.ones(16_000))
    explicit = sum(torch.cos(2 * torch.pi * k * phase) * (7_900 / gliding - k).clamp(0, 1) for k in range(1, 80))
    torch.testing.assert_close(glide, 0.01 * gliding * explicit, rtol=1e-5, atol=1e-3)


def test_noise_is_a_function_of_place_and_seed() -> None:
    torch.testing.assert_close(noise(50), noise(100)[:50], rtol=0, atol=0)
    assert not torch.equal(noise(50), noise(50, seed=1))


def test_the_phase_is_that_of_a_minimum_phase_filter() -> None:
    # 1 / (1 - 0.9 z^-1) is causal and stable, and so is its inverse: gain and phase are known in closed form.
    response = 1 / (1 - 0.9 * torch.exp(-2j * torch.pi * torch.arange(BINS) / WINDOW))
    phase = minimum_phase(response.abs().log()[None, :, None])[0, :, 0]
    torch.testing.assert_close(phase, response.angle(), atol=1e-4, rtol=0)


def test_an_all_pass_filter_gives_back_its_source(network: SourceFilter) -> None:
    wav = torch.randn(1, 4_000)
    torch.testing.assert_close(network._synthesise(network._analyse(wav), 4_000), wav, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_frames", [1, 2, 7, 81])
def test_the_length_is_that_of_the_mel(network: SourceFilter, n_frames: int) -> None:
    wav = NeuralVocoder(network)(torch.full((80, n_frames), -4.0), torch.full((n_frames,), 120.0))
    assert wav.shape == (200 * n_frames,) and wav.isfinite().all()


def test_silence_stays_silence_and_sound_stays_where_it_is(network: SourceFilter) -> None:
    vocode = NeuralVocoder(network)
    mel, f0 = torch.full((80, 200), float(np.log(FLOOR))), torch.full((200,), 120.0)
    assert vocode(mel, f0).abs().max() < 1e-6
    mel[:, 80:120] = -2.0
    wav = vocode(mel, f0)
    outside = torch.cat([wav[: 77 * 200], wav[123 * 200 :]])
    assert wav[80 * 200 : 120 * 200].square().mean() > 1e3 * outside.square().max()


def test_untrained_it_already_keeps_level_and_place(spoken) -> None:
    _, mel, f0 = spoken
    again = NeuralVocoder(SourceFilter(16, 1, 7, 1))(mel, f0)
    loud = mel > mel.max() - 4
    error = (log_mel(again) - mel)[loud]
    assert error.mean().abs() < 0.7 and error.abs().mean() < 1.0


def test_parts_give_what_the_whole_gives_and_the_same_every_time(network: SourceFilter, spoken) -> None:
    _, mel, f0 = spoken
    whole = NeuralVocoder(network, chunk_frames=10_000)(mel, f0)
    for frames in (50, 97):
        parts = NeuralVocoder(network, chunk_frames=frames)(mel, f0)
        assert (parts - whole).abs().max() < 1e-3 * whole.abs().max()  # -60 dB
    torch.manual_seed(99)  # the global state must not matter
    torch.testing.assert_close(NeuralVocoder(network, chunk_frames=10_000)(mel, f0), whole, rtol=0, atol=0)


def test_a_frame_hears_no_further_than_the_receptive_field(network: SourceFilter) -> None:
    vocode = NeuralVocoder(network)
    mel, f0 = torch.randn(80, 120) - 4, torch.full((120,), 150.0)
    other = mel.clone()
    other[:, 60] += 1
    changed = torch.nonzero((vocode(mel, f0) - vocode(other, f0)).abs() > 1e-7)[:, 0] // 200
    reach = vocode.receptive_field // 2
    assert 60 - reach <= changed.min() < 55 and 65 < changed.max() <= 60 + reach


def test_a_track_is_refined_to_the_recording_and_stays_unvoiced() -> None:
    phase = cycles(np.full(80, 203.0))
    wav = pulses(*(torch.from_numpy(x) for x in (phase, np.full(16_000, 203.0), np.ones(16_000)))).float().numpy()
    track = np.where(np.arange(80) < 60, 200.0, 0.0)
    refined = refine(wav, track)
    assert np.abs(refined[4:60] - 203).max() < 0.8 and not refined[60:].any()


def test_the_spectral_distance_is_none_for_equals_grows_and_ignores_the_level() -> None:
    distance = SpectralDistance((512, 256))
    truth, noise = torch.randn(2, 3, 8_000)
    near, far = distance(truth + 0.1 * noise, truth), distance(truth + noise, truth)
    assert distance(truth, truth) < 0.01 < near < far
    torch.testing.assert_close(distance(0.1 * (truth + noise), 0.1 * truth), far, rtol=1e-2, atol=0)


def test_the_spectral_distance_wants_noise_as_loud_as_the_recordings() -> None:
    distance = SpectralDistance((2048, 1024, 512))
    made, true = 0.1 * torch.randn(2, 4, 16_000, generator=torch.Generator().manual_seed(0))
    levels = np.arange(-3, 3.1, 0.5)
    best = levels[np.argmin([float(distance(made * 10 ** (db / 20), true)) for db in levels])]
    assert abs(best) <= 0.5


@pytest.fixture(scope="module")
def waveforms(corpus_folder: Path) -> Waveforms:
    return Waveforms(Corpus(manifest.read(corpus_folder)[:6], segment_frames=16, stride=1))


def test_crops_are_what_their_mels_were_made_of(waveforms: Waveforms) -> None:
    heard = waveforms.sample(8, np.random.default_rng(0), gain_db=(-12.0, -12.0))
    assert heard.wav.shape == (8, 3_200) and heard.hz.shape == heard.f0.shape == (8, 16)
    inner = slice(3, -3)  # the edges of a crop's own mel are reflected
    close = heard.mel[..., inner] > -6
    assert (log_mel(heard.wav)[..., inner] - heard.mel[..., inner])[close].abs().max() < 0.05


def test_hardening_blurs_some_and_silences_none(waveforms: Waveforms) -> None:
    heard = waveforms.sample(4, np.random.default_rng(0))
    mel = heard.mel
    draw = lambda share: harden(heard, np.random.default_rng(1), torch.Generator().manual_seed(1), share)  # noqa: E731
    assert torch.equal(draw(0.0), mel)
    assert all((draw(1.0)[b] != mel[b]).any() for b in range(4))
    assert (draw(1.0) - mel).mean().abs() < 0.2


def test_what_a_model_rebuilt_takes_the_place_of_a_blur(corpus_folder: Path) -> None:
    corpus = Corpus(manifest.read(corpus_folder)[:2], segment_frames=16, stride=1)
    waveforms = Waveforms(corpus, lambda wav: log_mel(torch.from_numpy(wav)).numpy() - 1)
    heard = waveforms.sample(4, np.random.default_rng(0), gain_db=(-6.0, 6.0))
    audible = heard.mel > np.log(FLOOR) + 2
    torch.testing.assert_close(heard.rebuilt[audible], heard.mel[audible] - 1, atol=0.02, rtol=0)
    hardened = harden(heard, np.random.default_rng(1), torch.Generator(), 1.0)
    assert torch.equal(hardened, heard.rebuilt)


def test_a_recognizer_counts_as_the_config_says(waveforms: Waveforms) -> None:
    torch.manual_seed(0)
    recognizer = Recognizer(5, channels=8, n_blocks=2, kernel=3).eval().requires_grad_(False)
    heard = {}
    for weight in (0.0, 0.5, 1.0):
        config = TINY.model_copy(update={"vocoder": TINY.vocoder.model_copy(update={"words": weight})})
        heard[weight] = VocoderStage(waveforms, config, recognizer=recognizer).step(0)
    assert "words" not in heard[0.0]
    perfect = VocoderStage(waveforms, config, recognizer=recognizer)
    perfect._output = lambda heard, mel, noise: heard.wav.clone().requires_grad_()
    assert perfect.step(0)["words"] < 1e-6  # the edges of a crop count on neither side
    assert heard[1.0]["words"] == pytest.approx(2 * heard[0.5]["words"], rel=1e-3) and heard[0.5]["words"] > 0


def test_training_learns_and_a_killed_run_goes_on_exactly(waveforms: Waveforms, tmp_path: Path) -> None:
    def config(steps: int) -> Config:
        return TINY.model_copy(update={"vocoder": TINY.vocoder.model_copy(update={"steps": steps, "lr": 3e-3})})

    stage = VocoderStage(waveforms, config(40), unseen=waveforms)
    before = stage.validate()["loss"]
    for i in range(40):
        stage.step(i)
    assert stage.validate()["loss"] < 0.95 * before
    for name, stops in (("whole", (4,)), ("killed", (2, 4))):
        for stop in stops:
            stage = VocoderStage(waveforms, config(4), unseen=waveforms)
            loop.run(stage, loop.Schedule(stop, save_every=2), tmp_path / name, resume=True, validate=stage.validate)
    ends = [loop.load_checkpoint(loop.latest(tmp_path / name))["stage"]["network"] for name in ("whole", "killed")]
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, atol=1e-6, rtol=0)


def test_training_goes_on_from_a_finished_network(waveforms: Waveforms) -> None:
    first = SourceFilter(TINY.vocoder.channels, TINY.vocoder.layers, TINY.vocoder.kernel, TINY.vocoder.expansion)
    first.mel_mean.fill_(-3.0)
    stage = VocoderStage(waveforms, TINY, first.state_dict())
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(stage.network.state_dict()[name], tensor, rtol=0, atol=0)
    with pytest.raises(WeightsError, match="other sizes"):
        VocoderStage(waveforms, TINY, SourceFilter(2 * TINY.vocoder.channels, 1, 7, 1).state_dict())


def test_the_entry_point_trains_goes_on_and_installs(corpus_folder: Path, tmp_path: Path) -> None:
    from train.vocoder import main

    data, run, weights = tmp_path / "manifest.jsonl", tmp_path / "run", tmp_path / "weights"
    clips = manifest.read(corpus_folder)
    splits = ["dev" if clip.speaker == "speaker0" else "train" for clip in clips]
    lines = [clip.__class__(**{**vars(clip), "split": split}) for clip, split in zip(clips, splits, strict=True)]
    data.write_text(manifest.to_lines(lines, tmp_path), encoding="utf-8")
    tiny = Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml"
    torch.manual_seed(0)
    Model(TINY).save_pretrained(weights)
    before = fingerprint(weights)
    main(data, run, tiny)
    assert {path.suffix for path in (run / "samples").iterdir()} == {".flac", ".png"}
    assert Pipeline.from_pretrained(weights).info()["vocoder"] == "griffin-lim"
    main(data, run, tiny, weights, resume=True)
    pipeline = Pipeline.from_pretrained(weights)
    assert pipeline.info()["vocoder"] == "neural" and fingerprint(weights) != before
    assert isinstance(pipeline.vocoder, NeuralVocoder) and isinstance(pipeline.with_griffin_lim().vocoder, GriffinLim)
    source = voice(120, 2.0)[:-77]
    made = [p.convert((source, RATE), (voice(200, 2.0), RATE)) for p in (pipeline, pipeline.with_griffin_lim())]
    for conversion in made:
        for wav in (conversion.wav, conversion.reconstruction, pipeline.resynthesize((source, RATE))):
            assert wav.shape == source.shape
    assert not np.array_equal(made[0].wav, made[1].wav)
    assert yaml.safe_load((run / "config.yaml").read_text()) == TINY.to_dict()
    (tmp_path / "recognizer").mkdir()
    Recognizer(5, channels=8, n_blocks=2, kernel=3).save(tmp_path / "recognizer")
    further = {"init": str(weights), "rebuilt_by": str(weights), "recognizer": tmp_path / "recognizer"}
    main(data, tmp_path / "further", tiny, **further)
    steps = [json.loads(line) for line in (tmp_path / "further" / "log.jsonl").read_text().splitlines()]
    assert any("words" in step for step in steps)


def test_griffin_lim_takes_the_place_of_nothing(tmp_path: Path) -> None:
    Model(TINY).save_pretrained(tmp_path)
    torch.manual_seed(0)
    save_vocoder(tmp_path, TINY.vocoder, SourceFilter(16, 1, 7, 1).state_dict())
    Pipeline.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="folder"):
        build(Config.from_dict({"vocoder": {"kind": "neural"}}).vocoder)
    with pytest.raises(WeightsError, match="do not fit"):
        build(Config.from_dict({"vocoder": {"kind": "neural", "channels": 8}}).vocoder, tmp_path)
    (tmp_path / VOCODER).write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="differs from its hash"):
        Pipeline.from_pretrained(tmp_path)
    (tmp_path / VOCODER).unlink()
    write_sums(tmp_path)
    with pytest.raises(WeightsError, match=r"train\.vocoder"):
        Pipeline.from_pretrained(tmp_path)


def test_lossy_recordings_teach_no_vocoder(tmp_path: Path) -> None:
    from train.vocoder import _read

    (tmp_path / "speaker").mkdir()
    (tmp_path / "speaker" / "clip.mp3").write_bytes(b"")
    clip = manifest.Clip(tmp_path / "speaker" / "clip.mp3", "u", "s", None, 2.0, None, "train")
    (tmp_path / "manifest.jsonl").write_text(manifest.to_lines([clip], tmp_path), encoding="utf-8")
    with pytest.raises(DataError, match="lossless"):
        _read(tmp_path / "manifest.jsonl", "train", 16)
