"""Pipeline and commands on small untrained weights: lengths, levels, input forms, errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from typer.testing import CliRunner

from saic import audio, cli
from saic.config import Config
from saic.errors import NotSpeech, SaicError, SilentAudio, TooShort, UsageError, WeightsError
from saic.gallery import MAX_PSEUDONYM_SIMILARITY, Gallery
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.signal.loudness import loudness_lufs, true_peak
from saic.signal.mel import log_mel
from saic.signal.vad import speech_frames
from saic.weights import VOICES, write_sums
from tests.conftest import RATE, voice

TINY = Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    Model(Config.from_yaml(TINY)).save_pretrained(folder)
    random = np.random.default_rng(0)
    speaker = random.standard_normal((3, 2, 16)).astype(np.float32)
    content = random.standard_normal((3, 2, 8 * 80)).astype(np.float32)
    f0_stats = np.array([[7.5, 0.2], [6.7, 0.2], [7.9, 0.2]], dtype=np.float32)
    mel_statistics = np.stack([np.vstack([np.full((1, 80), level), np.eye(80)]) for level in (-5, -4, -3)]).astype(
        np.float32
    )
    mel_statistics = np.asfortranarray(mel_statistics)  # as measured, not contiguous
    names, sexes = ("Voice 01", "Voice 02", "Voice 03"), ("F", "M", "F")
    Gallery(names, sexes, speaker, content, f0_stats, mel_statistics, threshold=0.5).save(folder / VOICES)
    write_sums(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(weights: Path) -> Pipeline:
    return Pipeline.from_pretrained(weights)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    for name, hz in (("source", 120), ("target", 220)):
        sf.write(folder / f"{name}.wav", voice(hz, 2.5), RATE)
    sf.write(folder / "silent.wav", np.zeros(RATE), RATE)
    (folder / "broken.wav").write_bytes(b"no audio at all")
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("n_samples", [16_000, 16_001, 40_199])
@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_conversion_has_the_length_of_the_source_and_minus_23_lufs(
    pipeline: Pipeline, n_samples: int, gain: float
) -> None:
    source = gain * voice(120, 3.0)[:n_samples]
    reports: list[tuple[str, float]] = []
    result = pipeline.convert((source, RATE), (voice(220, 2.0), RATE), progress=lambda *report: reports.append(report))
    for wav in (result.wav, result.reconstruction):
        assert wav.shape == source.shape and wav.dtype == np.float32 and np.abs(wav).max() <= 1
        assert abs(loudness_lufs(wav) + 23) < 0.1 or true_peak(wav) > 0.85  # or limited by its peak
    assert {mel.shape for mel in result.mels.values()} == {(80, -(-n_samples // 200))}
    assert list(result.mels) == ["original", "reconstructed", "converted"]
    fractions = [fraction for _, fraction in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_background_voice_and_noise_in_pauses_are_not_converted(pipeline: Pipeline) -> None:
    """A pause of the output is silent, whatever the source's pause holds 30 dB below the speech."""
    speech, background = voice(120, 2.0), 0.03 * voice(230, 2.0, seed=1)
    noise = 0.001 * np.random.default_rng(0).standard_normal(6 * RATE).astype(np.float32)
    source = np.concatenate([speech, background, speech]) + noise
    for wav in vars(pipeline.convert((source, RATE), (voice(220, 2.0), RATE))).values():
        if isinstance(wav, np.ndarray):
            pause, spoken = wav[int(2.5 * RATE) : int(3.5 * RATE)], wav[: 2 * RATE]
            assert np.abs(pause).max() < 1e-5 < np.abs(spoken).max()


@pytest.mark.parametrize("role", ["source", "target"])
def test_tone_instead_of_speech_raises_not_speech(pipeline: Pipeline, role: str) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE), RATE
    clips = {"source": (voice(120, 2.0), RATE), "target": (voice(220, 2.0), RATE)} | {role: tone}
    with pytest.raises(NotSpeech):
        pipeline.convert(clips["source"], clips["target"])


def test_pseudonym_without_seed_is_far_from_the_source(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    """Of the voices drawn, the first below the similarity limit is taken, or the least similar."""
    embedding = torch.from_numpy(pipeline.embed(clips["source"]).speaker)[None]
    drawn = [pipeline.gallery.pseudonym(np.random.default_rng(k)) for k in range(20)]
    similarities = [float(torch.cosine_similarity(embedding, v.embedding)) for v in drawn]
    chosen = pipeline.gallery.distant_pseudonym(np.random.default_rng(0), embedding)
    similarity = float(torch.cosine_similarity(embedding, chosen.embedding))
    assert similarity <= max(MAX_PSEUDONYM_SIMILARITY, min(similarities) + 1e-6)


def test_path_bytes_and_samples_of_one_clip_give_the_same_output(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    path = clips["source"]
    outputs = [
        pipeline.convert(form, clips["target"]).wav for form in (path, str(path), path.read_bytes(), sf.read(path))
    ]
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])


def test_pseudonym_blends_gallery_voices_of_one_sex_and_repeats_with_the_seed(
    pipeline: Pipeline, clips: dict[str, Path]
) -> None:
    results = [pipeline.anonymize(clips["source"], seed=seed) for seed in (1, 1, 2)]
    assert len(results[0].wav) == int(2.5 * RATE)
    np.testing.assert_array_equal(results[0].mels["converted"], results[1].mels["converted"])
    gallery = pipeline.gallery
    pseudonyms = [gallery.pseudonym(np.random.default_rng(seed)) for seed in range(20)]
    female = gallery.speaker[[0, 2]].mean(axis=(0, 1))  # the only blend of the two female voices
    male = gallery.speaker[1].mean(axis=0)  # the only male voice
    equal = np.stack(
        [[np.abs(p.embedding[0].numpy() - blend).max() < 1e-6 for p in pseudonyms] for blend in (female, male)]
    )
    assert equal.any(axis=0).all() and equal.any(axis=1).all()
    for pseudonym, is_female in zip(pseudonyms, equal[0], strict=True):
        assert pseudonym.f0_stats[0, 0].item() == pytest.approx(7.7 if is_female else 6.7, abs=0.01)
        assert pseudonym.mel_statistics[0, 0].numpy() == pytest.approx(-4.0)
        assert pseudonym.mel_statistics[0, 1:].numpy() == pytest.approx(np.eye(80))


def test_pseudonyms_have_the_deviation_of_gallery_voices() -> None:
    random, n = np.random.default_rng(0), 200
    arrays = [random.normal(size=size) for size in ((n, 2, 16), (n, 2, 8), (n, 2), (n, 81, 80))]
    arrays[0][:, 1] = arrays[0][:, 0]
    gallery = Gallery(tuple("v" * n), tuple("FM" * (n // 2)), *arrays, threshold=0.5)
    pseudonyms = [gallery.pseudonym(np.random.default_rng(seed)) for seed in range(300)]
    for drawn, voices in (
        (np.concatenate([p.embedding for p in pseudonyms]), arrays[0][:, 0]),
        (np.concatenate([p.f0_stats for p in pseudonyms]), arrays[2]),
        (np.concatenate([p.mel_statistics[:, 0] for p in pseudonyms]), arrays[3][:, 0]),
    ):
        assert drawn.std(axis=0).mean() == pytest.approx(voices.std(axis=0).mean(), rel=0.1)


def test_conversion_has_the_long_term_spectrum_of_the_target(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    def spectrum(mel, wav):
        return mel[:, speech_frames(wav)].mean(axis=1)

    result = pipeline.convert(clips["source"], clips["target"])
    source, target = audio.load(clips["source"]), audio.load(clips["target"])
    source_spectrum, target_spectrum = (spectrum(log_mel(torch.from_numpy(x)).numpy(), x) for x in (source, target))
    for name, expected in (("converted", target_spectrum), ("reconstructed", source_spectrum)):
        difference = spectrum(result.mels[name], source) - expected
        assert difference.max() < 0.01 and difference.min() > -0.06  # the limit on peaks lowers the mean
    assert np.abs(source_spectrum - target_spectrum).max() > 0.1


def test_spectral_correction_brings_a_conversion_to_the_own_voice_nearer_to_the_clip(
    weights: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    """One clip is source and target, so the exact conversion is known: the clip."""
    distances = []
    for share in (0.0, 0.5):
        model = Model.from_pretrained(weights)
        settings = model.config.conversion.model_copy(update={"spectral_correction_share": share})
        model.config = model.config.model_copy(update={"conversion": settings})
        mels = Pipeline(model).convert(clips["source"], clips["source"], reconstruct=False).mels
        distances.append(np.abs(mels["converted"] - mels["original"])[:, 10:-10].mean())
    assert distances[1] < 0.98 * distances[0]


def test_several_targets_are_averaged_to_one_voice(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    one = pipeline.convert(clips["source"], clips["target"]).mels["converted"]
    same_twice = pipeline.convert(clips["source"], [clips["target"], clips["target"]]).mels["converted"]
    np.testing.assert_allclose(one, same_twice, atol=1e-5)
    different = pipeline.convert(clips["source"], [clips["target"], clips["source"]]).mels["converted"]
    assert np.abs(different - one).max() > 1e-4


def test_embedding_and_content_windows_have_the_sizes_of_the_config(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    embedding = pipeline.embed(clips["source"])
    assert embedding.speaker.shape == (16,) and embedding.content.shape == (8, 100)
    assert pipeline.gallery.windows(embedding.content).shape == (1, 640)
    assert pipeline.gallery.windows(embedding.content[:, :13]).shape == (1, 640)
    assert pipeline.gallery.threshold == 0.5


def test_identify_ranks_the_same_clip_first_and_without_enrolled_clips_raises_usage_error(
    pipeline: Pipeline, clips: dict[str, Path]
) -> None:
    matches = pipeline.identify(clips["source"], {"other": clips["target"], "me": [clips["source"]]})
    assert matches[0].name == "me" and matches[0].score == pytest.approx(1.0, abs=1e-4) and matches[0].accepted
    assert not any(m.accepted for m in pipeline.identify(clips["source"], {"other": clips["target"]}, threshold=1.01))
    with pytest.raises(UsageError, match="Nobody is enrolled"):
        pipeline.identify(clips["source"], {})


@pytest.mark.parametrize(
    ("samples", "error"),
    [(np.zeros(RATE), SilentAudio), (voice(120, 3.0)[:3_000], TooShort), (np.full(RATE, np.nan), SaicError)],
)
def test_unusable_source_or_target_raises_its_error(pipeline: Pipeline, samples: np.ndarray, error: type) -> None:
    usable = (voice(120, 2.0), RATE)
    with pytest.raises(error):
        pipeline.convert((samples, RATE), usable)
    with pytest.raises(error):
        pipeline.convert(usable, (samples, RATE))


def test_weights_without_a_gallery_raise_weights_error_with_the_command_that_makes_one(tmp_path: Path) -> None:
    Model(Config.from_yaml(TINY)).save_pretrained(tmp_path)
    for name in ("gallery", "voices"):  # "voices" is the name until 0.9
        with pytest.raises(WeightsError, match=r"train\.voices"):
            getattr(Pipeline.from_pretrained(tmp_path), name)


def run(capfd, *arguments: str | Path) -> tuple[int, str, str]:
    """Run the console script: exit code, stdout and stderr."""
    import sys
    from unittest import mock

    with mock.patch.object(sys, "argv", ["saic", *map(str, arguments)]), pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0, *capfd.readouterr()


def test_convert_command_writes_a_file_and_replaces_it_only_with_force(
    capfd, weights: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "anonymous.wav"
    arguments = ("convert", clips["source"], "--target", clips["target"], "-o", out, "--weights", weights)
    code, stdout, _ = run(capfd, *arguments, "--json")
    assert code == 0 and json.loads(stdout) == {"output": str(out), "duration_s": 2.5, "rate_hz": RATE, "notes": []}
    assert sf.info(out).samplerate == RATE and len(audio.load(out)) == 40_000
    before = out.read_bytes()
    code, _, stderr = run(capfd, *arguments)
    assert code == 2 and "--force" in stderr and out.read_bytes() == before
    assert run(capfd, *arguments, "--force")[0] == 0


@pytest.mark.parametrize(("source", "code"), [("silent", 3), ("broken", 3)])
def test_unusable_audio_ends_convert_with_an_error_message_and_writes_nothing(
    capfd, weights: Path, clips: dict[str, Path], tmp_path: Path, source: str, code: int
) -> None:
    out = tmp_path / "out.wav"
    found, _, stderr = run(
        capfd, "convert", clips[source], "--target", clips["target"], "-o", out, "--weights", weights
    )
    assert found == code and stderr.startswith("Error: ") and "Traceback" not in stderr
    assert str(clips[source].name) not in stderr and not out.exists()


def test_identify_and_info_commands_give_results_or_an_exit_code(
    capfd, weights: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    enrolled = ("--enrol", f"anna={clips['source']}", "--enrol", f"ben={clips['target']}", "--weights", weights)
    code, stdout, _ = run(capfd, "identify", clips["source"], *enrolled, "--json")
    assert code == 0 and json.loads(stdout)["matches"][0]["name"] == "anna"
    assert "anna" in run(capfd, "identify", clips["source"], *enrolled)[1]
    assert run(capfd, "identify", clips["source"], "--enrol", "nonsense", "--weights", weights)[0] == 2
    facts = json.loads(run(capfd, "info", "--weights", weights, "--json")[1])
    assert facts["sample_rate_hz"] == RATE and len(facts["sha256"]) == 64
    assert run(capfd, "info", "--weights", tmp_path / "none")[0] == 4


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_unavailable_device_ends_commands_with_an_error_message(capfd, device: str, clips: dict[str, Path]) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    for command in (["info"], ["convert", clips["source"]], ["evaluate", "--data", clips["source"].parent]):
        code, _, stderr = run(capfd, *command, "--device", device)
        assert code == 2 and "no such device" in stderr and "Traceback" not in stderr, command


def test_help_lists_the_commands() -> None:
    text = CliRunner().invoke(cli.app, ["--help"]).output
    assert all(command in text for command in ("convert", "identify", "evaluate", "info"))
