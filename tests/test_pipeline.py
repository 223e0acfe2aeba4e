"""The user's verbs over small untrained weights: lengths, formats, errors, the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from typer.testing import CliRunner

from saic import audio, cli
from saic.config import Config
from saic.errors import SaicError, SilentAudio, TooShort, UsageError, WeightsError
from saic.gallery import Voices
from saic.model.model import Model
from saic.pipeline import Pipeline
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
    register = np.array([[7.5, 0.2], [6.7, 0.2], [7.9, 0.2]], dtype=np.float32)
    timbre = np.stack([np.vstack([np.full((1, 80), level), np.eye(80)]) for level in (-5, -4, -3)]).astype(np.float32)
    timbre = np.asfortranarray(timbre)  # as measured, not contiguous
    names, sexes = ("Voice 01", "Voice 02", "Voice 03"), ("F", "M", "F")
    Voices(names, sexes, speaker, content, register, timbre, threshold=0.5).save(folder / VOICES)
    write_sums(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(weights: Path) -> Pipeline:
    return Pipeline.from_pretrained(weights)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    for name, hz in (("patient", 120), ("other", 220)):
        sf.write(folder / f"{name}.wav", voice(hz, 2.5), RATE)
    sf.write(folder / "silent.wav", np.zeros(RATE), RATE)
    (folder / "broken.wav").write_bytes(b"no audio at all")
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("n_samples", [16_000, 16_001, 40_199])
def test_a_conversion_is_as_long_and_as_loud_as_its_source(pipeline: Pipeline, n_samples: int) -> None:
    source = voice(120, 3.0)[:n_samples]
    stages: list[tuple[str, float]] = []
    made = pipeline.convert((source, RATE), (voice(220, 2.0), RATE), progress=lambda *stage: stages.append(stage))
    for wav in (made.wav, made.reconstruction):
        assert wav.shape == source.shape and wav.dtype == np.float32 and np.abs(wav).max() <= 1
        level_db = 10 * np.log10(np.mean(wav**2) / np.mean(source**2))
        assert abs(level_db) < 1 or np.abs(wav).max() > 0.99  # or as loud as full scale allows
    assert {mel.shape for mel in made.mels.values()} == {(80, -(-n_samples // 200))}
    assert list(made.mels) == ["original", "reconstructed", "converted"]
    shares = [share for _, share in stages]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_same_input_same_output_and_forms_of_a_clip_agree(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    path = clips["patient"]
    outputs = [
        pipeline.convert(form, clips["other"]).wav for form in (path, str(path), path.read_bytes(), sf.read(path))
    ]
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])


def test_a_pseudonym_is_a_voice_of_nobody_and_hangs_on_the_seed(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    made = [pipeline.anonymize(clips["patient"], seed=seed) for seed in (1, 1, 2)]
    assert len(made[0].wav) == int(2.5 * RATE)
    np.testing.assert_array_equal(made[0].mels["converted"], made[1].mels["converted"])
    voices = pipeline.voices
    drawn = [voices.pseudonym(np.random.default_rng(seed)) for seed in range(20)]
    women = voices.speaker[[0, 2]].mean(axis=(0, 1))  # of two women there is one mixture; of one man, himself
    man = voices.speaker[1].mean(axis=0)
    near = np.stack([[np.abs(v.embedding - voice).max() < 1e-6 for v in drawn] for voice in (women, man)])
    assert near.any(axis=0).all() and near.any(axis=1).all()
    for v, is_woman in zip(drawn, near[0], strict=True):
        assert v.register[0] == pytest.approx(7.7 if is_woman else 6.7, abs=0.01)
        assert v.timbre[0] == pytest.approx(-4.0) and v.timbre[1:] == pytest.approx(np.eye(80))


def test_pseudonyms_lie_as_far_apart_as_voices_do() -> None:
    random, n = np.random.default_rng(0), 200
    arrays = [random.normal(size=size) for size in ((n, 2, 16), (n, 2, 8), (n, 2), (n, 81, 80))]
    arrays[0][:, 1] = arrays[0][:, 0]
    voices = Voices(tuple("v" * n), tuple("FM" * (n // 2)), *arrays, threshold=0.5)
    drawn = [voices.pseudonym(np.random.default_rng(seed)) for seed in range(300)]
    for made, real in (
        (np.stack([v.embedding for v in drawn]), arrays[0][:, 0]),
        (np.stack([v.register for v in drawn]), arrays[2]),
        (np.stack([v.timbre[0] for v in drawn]), arrays[3][:, 0]),
    ):
        assert made.std(axis=0).mean() == pytest.approx(real.std(axis=0).mean(), rel=0.1)


def test_a_conversion_has_the_long_term_spectrum_of_its_voice(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    def spectrum(mel, wav):
        return mel[:, speech_frames(wav)].mean(axis=1)

    result = pipeline.convert(clips["patient"], clips["other"])
    source, target = audio.load(clips["patient"]), audio.load(clips["other"])
    own, other = (spectrum(log_mel(torch.from_numpy(x)).numpy(), x) for x in (source, target))
    for name, wanted in (("converted", other), ("reconstructed", own)):
        above = spectrum(result.mels[name], source) - wanted
        assert above.max() < 0.01 and above.min() > -0.06  # peaks are bounded, which lowers a mean
    assert np.abs(own - other).max() > 0.1


def test_what_the_decoder_gets_wrong_is_put_right_by_a_share(
    weights: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    """In a voice's own clip the error is known: what is said in that voice must come nearer to the clip."""
    distances = []
    for value in (0.0, 0.5):
        model = Model.from_pretrained(weights)
        decoder = model.config.decoder.model_copy(update={"likeness_share": value})
        model.config = model.config.model_copy(update={"decoder": decoder})
        mels = Pipeline(model).convert(clips["patient"], clips["patient"], reconstruct=False).mels
        distances.append(np.abs(mels["converted"] - mels["original"])[:, 10:-10].mean())
    assert distances[1] < 0.98 * distances[0]


def test_several_targets_are_one_averaged_voice(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    once = pipeline.convert(clips["patient"], clips["other"]).mels["converted"]
    twice = pipeline.convert(clips["patient"], [clips["other"], clips["other"]]).mels["converted"]
    np.testing.assert_allclose(once, twice, atol=1e-5)
    mixed = pipeline.convert(clips["patient"], [clips["other"], clips["patient"]]).mels["converted"]
    assert np.abs(mixed - once).max() > 1e-4


def test_embeddings_have_their_sizes_and_the_gallery_its_windows(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    embedding = pipeline.embed(clips["patient"])
    assert embedding.speaker.shape == (16,) and embedding.content.shape == (8, 100)
    assert pipeline.voices.windows(embedding.content).shape == (1, 640)
    assert pipeline.voices.windows(embedding.content[:, :13]).shape == (1, 640)
    assert pipeline.voices.threshold == 0.5


def test_identify_ranks_the_same_clip_first(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    matches = pipeline.identify(clips["patient"], {"other": clips["other"], "me": [clips["patient"]]})
    assert matches[0].name == "me" and matches[0].score == pytest.approx(1.0, abs=1e-4) and matches[0].accepted
    assert not any(m.accepted for m in pipeline.identify(clips["patient"], {"other": clips["other"]}, threshold=1.01))
    with pytest.raises(UsageError, match="Nobody is enrolled"):
        pipeline.identify(clips["patient"], {})


@pytest.mark.parametrize(
    ("samples", "error"),
    [(np.zeros(RATE), SilentAudio), (voice(120, 3.0)[:3_000], TooShort), (np.full(RATE, np.nan), SaicError)],
)
def test_unusable_clips_are_told_on_either_side(pipeline: Pipeline, samples: np.ndarray, error: type) -> None:
    good = (voice(120, 2.0), RATE)
    with pytest.raises(error):
        pipeline.convert((samples, RATE), good)
    with pytest.raises(error):
        pipeline.convert(good, (samples, RATE))


def test_weights_without_a_gallery_say_how_to_make_one(tmp_path: Path) -> None:
    Model(Config.from_yaml(TINY)).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"train\.voices"):
        _ = Pipeline.from_pretrained(tmp_path).voices


def run(capfd, *arguments: str | Path) -> tuple[int, str, str]:
    """The console script's exit code, stdout and stderr."""
    import sys
    from unittest import mock

    with mock.patch.object(sys, "argv", ["saic", *map(str, arguments)]), pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0, *capfd.readouterr()


def test_convert_from_the_command_line(capfd, weights: Path, clips: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "anonymous.wav"
    arguments = ("convert", clips["patient"], "--target", clips["other"], "-o", out, "--weights", weights)
    code, said, _ = run(capfd, *arguments, "--json")
    assert code == 0 and json.loads(said) == {"output": str(out), "duration_s": 2.5}
    assert sf.info(out).samplerate == RATE and len(audio.load(out)) == 40_000
    before = out.read_bytes()
    code, _, complaint = run(capfd, *arguments)
    assert code == 2 and "--force" in complaint and out.read_bytes() == before
    assert run(capfd, *arguments, "--force")[0] == 0


@pytest.mark.parametrize(("source", "code"), [("silent", 3), ("broken", 3)])
def test_bad_audio_is_a_sentence_and_writes_nothing(
    capfd, weights: Path, clips: dict[str, Path], tmp_path: Path, source: str, code: int
) -> None:
    out = tmp_path / "out.wav"
    got, _, complaint = run(
        capfd, "convert", clips[source], "--target", clips["other"], "-o", out, "--weights", weights
    )
    assert got == code and complaint.startswith("Error: ") and "Traceback" not in complaint
    assert str(clips[source].name) not in complaint and not out.exists()


def test_identify_and_info_from_the_command_line(capfd, weights: Path, clips: dict[str, Path], tmp_path: Path) -> None:
    enrol = ("--enrol", f"anna={clips['patient']}", "--enrol", f"ben={clips['other']}", "--weights", weights)
    code, said, _ = run(capfd, "identify", clips["patient"], *enrol, "--json")
    assert code == 0 and json.loads(said)["matches"][0]["name"] == "anna"
    assert "anna" in run(capfd, "identify", clips["patient"], *enrol)[1]
    assert run(capfd, "identify", clips["patient"], "--enrol", "nonsense", "--weights", weights)[0] == 2
    facts = json.loads(run(capfd, "info", "--weights", weights, "--json")[1])
    assert facts["sample_rate_hz"] == RATE and len(facts["sha256"]) == 64
    assert run(capfd, "info", "--weights", tmp_path / "none")[0] == 4


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_device_that_is_not_here_is_a_sentence(capfd, device: str, clips: dict[str, Path]) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("it is here")
    for verb in (["info"], ["convert", clips["patient"]], ["evaluate", "--data", clips["patient"].parent]):
        code, _, complaint = run(capfd, *verb, "--device", device)
        assert code == 2 and "no such device" in complaint and "Traceback" not in complaint, verb


def test_help_lists_the_verbs() -> None:
    text = CliRunner().invoke(cli.app, ["--help"]).output
    assert all(verb in text for verb in ("convert", "identify", "evaluate", "info"))
