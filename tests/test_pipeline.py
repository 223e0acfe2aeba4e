"""Pipeline and commands on small untrained weights: lengths, levels, input forms, errors."""

import dataclasses
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import soundfile as sf
import torch

from saic import audio, cli, file_report
from saic.config import Config
from saic.errors import NotSpeech, SaicError, SilentAudio, TooShort, UsageError, WeightsError
from saic.evaluation import protection
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.gallery import EMBEDDING_SPREAD, FREQUENCY_SCALES, SPECTRUM_SPREAD, Gallery
from saic.keys import Key, OtherVoices, bits_of_seed
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.signal.loudness import loudness_lufs, true_peak
from saic.signal.mel import log_mel
from saic.signal.vad import speech_frames, vowel_frames
from saic.signal.vtlp import warp_matrix
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
    sf.write(folder / "whole.flac", voice(220, 4.0), RATE)
    whole = (folder / "whole.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "broken.wav").write_bytes(b"no audio at all")
    return {path.stem: path for path in folder.iterdir()}


def test_hum_in_pauses_is_not_the_voice(pipeline: Pipeline) -> None:
    """Its F0 once gave a woman a man's register, and a target the hum's F0."""
    speech = np.pad(voice(220, 3.0), 3 * RATE)
    time, random = np.arange(len(speech)) / RATE, np.random.default_rng(0)
    hum = sum(np.sin(2 * np.pi * hz * time) for hz in (100, 200, 300)) / 3
    noisy = (speech + 0.01 * hum + 0.001 * random.standard_normal(len(speech))).astype(np.float32)
    stats, of_noisy = (pipeline.voice((wav, RATE)).f0_stats for wav in (speech, noisy))
    assert abs(2 ** float(of_noisy[0, 0]) - 2 ** float(stats[0, 0])) < 5
    same, higher = (pipeline.anonymize((noisy, RATE), seed=3, register=name) for name in ("same", "higher"))
    assert np.array_equal(same.wav, higher.wav)
    target = pipeline.gallery.voice("Voice 02")
    f0_hz = pipeline.convert((noisy, RATE), target).f0_hz["converted"][vowel_frames(speech)]
    assert np.median(f0_hz[f0_hz > 0]) == pytest.approx(2**6.7, rel=0.1)


@pytest.mark.parametrize("n_samples", [16_000, 16_001, 40_199])
@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_conversion_has_the_length_of_the_source_and_minus_23_lufs(
    pipeline: Pipeline, n_samples: int, gain: float
) -> None:
    source = gain * voice(120, 3.0)[:n_samples]
    reports: list[tuple[str, float]] = []
    options = {"reconstruct": True, "progress": lambda *report: reports.append(report)}
    result = pipeline.convert((source, RATE), (voice(220, 2.0), RATE), **options)
    for wav in (result.wav, result.reconstruction):
        assert wav.shape == source.shape and wav.dtype == np.float32 and np.abs(wav).max() <= 1
        assert abs(loudness_lufs(wav) + 23) < 0.1 and true_peak(wav) <= 1
    assert {mel.shape for mel in result.mels.values()} == {(80, -(-n_samples // 200))}
    assert list(result.mels) == list(result.f0_hz) == ["original", "reconstructed", "converted"]
    assert {name: len(track) for name, track in result.f0_hz.items()} == dict.fromkeys(
        result.mels, -(-n_samples // 200)
    )
    medians_hz = [np.median(track[track > 0]) for track in result.f0_hz.values()]
    assert medians_hz == pytest.approx([120, 120, 220], rel=0.1)
    fractions = [fraction for _, fraction in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_background_voice_and_noise_in_pauses_are_not_converted(pipeline: Pipeline) -> None:
    """A pause of the output is silent, whatever the source's pause holds 30 dB below the speech."""
    speech, background = voice(120, 2.0), 0.03 * voice(230, 2.0, seed=1)
    noise = 0.001 * np.random.default_rng(0).standard_normal(6 * RATE).astype(np.float32)
    source = np.concatenate([speech, background, speech]) + noise
    made = pipeline.convert((source, RATE), (voice(220, 2.0), RATE), reconstruct=True)
    for wav in (made.wav, made.reconstruction):
        pause, spoken = wav[int(2.5 * RATE) : int(3.5 * RATE)], wav[: 2 * RATE]
        assert np.abs(pause).max() < 1e-5 < np.abs(spoken).max()


@pytest.mark.parametrize("role", ["source", "target"])
def test_tone_instead_of_speech_raises_not_speech(pipeline: Pipeline, role: str) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE), RATE
    clips = {"source": (voice(120, 2.0), RATE), "target": (voice(220, 2.0), RATE)} | {role: tone}
    with pytest.raises(NotSpeech):
        pipeline.convert(clips["source"], clips["target"])


def test_tone_is_no_voice_that_is_identified_or_that_a_pseudonym_is_unlike(pipeline: Pipeline) -> None:
    tone, speech = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE), RATE), (voice(120, 2.0), RATE)
    for use in (
        lambda: pipeline.identify(tone, {"anna": speech}),
        lambda: pipeline.identify(speech, {"anna": [speech, tone]}),
        lambda: pipeline.pseudonym(unlike=tone),
    ):
        with pytest.raises(NotSpeech):
            use()


def test_notes_on_the_recordings_of_a_target_are_kept_once(
    pipeline: Pipeline, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = [clips["cut"], clips["target"], clips["cut"]]
    conversion = pipeline.convert(clips["source"], targets)
    assert conversion.notes == () and len(conversion.target_notes) == 1 and "damaged" in conversion.target_notes[0]
    assert pipeline.voice(targets).to("cpu").notes == conversion.target_notes
    assert pipeline.convert(clips["cut"], clips["target"]).target_notes == ()
    read = audio.spool_array
    monkeypatch.setattr(audio, "spool_array", lambda *clip, **kept: replace(read(*clip, **kept), notes=("A note.",)))
    assert pipeline.voice((voice(220, 2.0), RATE)).notes == ("A note.",)


def test_pseudonym_without_seed_is_the_first_that_is_not_the_speakers_voice(
    pipeline: Pipeline, clips: dict[str, Path]
) -> None:
    """The first below the threshold of the gallery, or the least similar of 50."""
    embedding = torch.from_numpy(pipeline.embed(clips["source"]).speaker)[None]
    draws = [bytes([k]) * 32 for k in range(60)]
    drawn = [pipeline.gallery.pseudonym(bits).embedding for bits in draws]
    similarities = [float(torch.cosine_similarity(embedding, each)) for each in drawn]
    for threshold in (float(np.quantile(similarities, 0.2)), min(similarities[:50]) - 0.01):
        expected = next((k for k in range(50) if similarities[k] < threshold), int(np.argmin(similarities[:50])))
        gallery = replace(pipeline.gallery, threshold=threshold)
        assert torch.equal(gallery.distant_pseudonym(embedding, "any", iter(draws)).embedding, drawn[expected])


def test_random_pseudonym_for_several_recordings_is_drawn_again_while_it_counts_as_the_first_voice(
    pipeline: Pipeline, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding = torch.from_numpy(pipeline.embed(clips["source"]).speaker)[None]

    def similarity(**arguments) -> float:
        return float(torch.cosine_similarity(embedding, pipeline.pseudonym(register="lower", **arguments).embedding))

    limit = float(np.median([similarity() for _ in range(21)]))
    monkeypatch.setattr(pipeline, "_gallery", replace(pipeline.gallery, threshold=limit))
    assert max(similarity(unlike=clips["source"]) for _ in range(12)) <= limit
    assert max(similarity(unlike=clips["source"], seed=seed) for seed in range(12)) <= limit
    scales = [pipeline.pseudonym(unlike=clips["source"], seed=seed).frequency_scale for seed in (1, 2, 1)]
    assert scales[0] == scales[2] != scales[1]


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
    results = [pipeline.anonymize(clips["source"], seed=seed, register="higher") for seed in (1, 1, 2)]
    assert len(results[0].wav) == int(2.5 * RATE)
    np.testing.assert_array_equal(results[0].mels["converted"], results[1].mels["converted"])
    assert np.abs(results[0].mels["converted"] - results[2].mels["converted"]).max() > 0.01
    gallery = pipeline.gallery
    male = gallery.speaker[1].mean(axis=0)  # the only male voice
    low, high = gallery.speaker[[0, 2]].mean(axis=1)
    for seed in range(10):
        pseudonym = gallery.pseudonym(bytes([seed]) * 32, "higher")
        blend = pseudonym.embedding[0].numpy()
        # On the line through the two female voices, and neither of them.
        along = (blend - low) @ (high - low) / np.sum((high - low) ** 2)
        assert np.abs(low + along * (high - low) - blend).max() < 1e-5
        assert min(np.abs(blend - voice).max() for voice in (low, high)) > 1e-3
        assert 7.5 <= pseudonym.f0_stats[0, 0].item() <= 7.9
        assert np.ptp(pseudonym.mel_statistics[0, 0].numpy()) < 1e-5  # as flat as the voices' mean spectra
        assert pseudonym.mel_statistics[0, 1:].numpy() == pytest.approx(np.eye(80))
        np.testing.assert_allclose(gallery.pseudonym(bytes([seed]) * 32, "lower").embedding[0], male, atol=1e-6)


def test_pseudonyms_deviate_by_the_chosen_multiples_and_scales() -> None:
    random, n = np.random.default_rng(0), 200
    arrays = [random.normal(size=size) for size in ((n, 2, 16), (n, 2, 8), (n, 2), (n, 81, 80))]
    arrays[0][:, 1] = arrays[0][:, 0]
    gallery = Gallery(tuple("v" * n), tuple("FM" * (n // 2)), *arrays, threshold=0.5)
    pseudonyms = [gallery.pseudonym(seed.to_bytes(32, "big")) for seed in range(300)]
    for multiple, drawn, voices in (
        (EMBEDDING_SPREAD, np.concatenate([p.embedding for p in pseudonyms]), arrays[0][:, 0]),
        (SPECTRUM_SPREAD, np.concatenate([p.mel_statistics[:, 0] for p in pseudonyms]), arrays[3][:, 0]),
        (1, np.concatenate([p.f0_stats[:, :1] for p in pseudonyms]), arrays[2][:, :1]),
    ):
        assert drawn.std(axis=0).mean() == pytest.approx(multiple * voices.std(axis=0).mean(), rel=0.1)
    scales, (low, high) = np.array([p.frequency_scale for p in pseudonyms]), FREQUENCY_SCALES
    assert low <= scales.min() < low + 0.05 < high - 0.05 < scales.max() <= high
    assert len(set(scales.tolist())) == len(pseudonyms)


def test_frequency_scale_moves_formants_and_f0_alike(pipeline: Pipeline) -> None:
    clip, target = (voice(140, 2.0), RATE), pipeline.gallery.voice("Voice 02")
    scaled = dataclasses.replace(target, frequency_scale=1.2)
    plain, higher = (pipeline.convert(clip, v) for v in (target, scaled))
    f0, moved = plain.f0_hz["converted"], higher.f0_hz["converted"]
    np.testing.assert_allclose(moved[f0 > 0], 1.2 * f0[f0 > 0], rtol=1e-5)
    # A band's frequency is a share of the mel axis; 1.2 times as high it has the level of the band before.
    loud = plain.mels["converted"].max(axis=0) > plain.mels["converted"].max() - 3
    before, after = (mels.mels["converted"][:, loud].mean(axis=1) for mels in (plain, higher))
    np.testing.assert_allclose(after, warp_matrix(1.2).numpy() @ before, atol=1e-4)


def test_register_same_follows_the_median_f0_of_the_recording(pipeline: Pipeline) -> None:
    """Source of 120 Hz and of 220 Hz; the gallery has one male voice."""
    male = pipeline.gallery.voice("Voice 02")
    for hz, register in ((120, "lower"), (220, "higher")):
        clip = (voice(hz, 2.0), RATE)
        own, named = (pipeline.anonymize(clip, seed=3, register=r).mels["converted"] for r in ("same", register))
        np.testing.assert_array_equal(own, named)
        scaled = dataclasses.replace(
            male, frequency_scale=pipeline.gallery.pseudonym(bits_of_seed(3), "lower").frequency_scale
        )
        is_male = np.abs(own - pipeline.convert(clip, scaled).mels["converted"]).max() < 1e-4
        assert is_male == (register == "lower")


def test_subject_has_one_voice_for_every_recording_and_its_similarity_is_told(
    pipeline: Pipeline, weights: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    key = Key.new(tmp_path / "key", weights)
    voices = [
        pipeline.pseudonym(key=key, subject="P01", study="gait"),
        Pipeline.from_pretrained(weights).pseudonym(key=tmp_path / "key", subject="P01", study="gait"),
        pipeline.pseudonym(key=key, subject="P01", study="voice"),
        pipeline.pseudonym(),
        pipeline.pseudonym(),
    ]
    blends = [v.mel_statistics.numpy().tobytes() + v.embedding.numpy().tobytes() for v in voices]
    assert blends[0] == blends[1]
    result = pipeline.anonymize(clips["source"], voice=voices[0])
    embedding = torch.from_numpy(pipeline.embed(clips["source"]).speaker)[None]
    expected = float(torch.cosine_similarity(embedding, voices[0].embedding))
    assert result.voice_similarity == pytest.approx(expected, abs=1e-5)
    converted = pipeline.convert(clips["source"], voices[0])
    np.testing.assert_array_equal(result.mels["converted"], converted.mels["converted"])
    assert converted.voice_similarity is None


def test_key_of_other_weights_is_refused_unless_new_voices_are_asked_for(pipeline: Pipeline) -> None:
    key = Key(bytes(32), "0" * 64, "0" * 64)
    with pytest.raises(OtherVoices, match="--new-voices"):
        pipeline.pseudonym(key=key, subject="A")
    assert pipeline.pseudonym(key=key, subject="A", new_voices=True).embedding.shape == (1, 16)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"subject": "A"}, "needs a key"),
        ({"study": "A"}, "needs a key"),
        ({"key": Key(bytes(32), "", "")}, "needs a subject"),
        ({"key": Key(bytes(32), "", ""), "subject": "A", "register": "same"}, "depends on the recording"),
        ({"key": Key(bytes(32), "", ""), "subject": "A", "unlike": (voice(120, 2.0), RATE)}, "Leave out unlike"),
        ({"register": "deep"}, "no such register"),
        ({"seed": 1}, "needs a recording"),
    ],
)
def test_pseudonym_refuses_arguments_that_do_not_go_together(pipeline: Pipeline, arguments: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        pipeline.pseudonym(**arguments)
    with pytest.raises(UsageError, match="A voice is given"):
        pipeline.anonymize((voice(120, 2.0), RATE), voice=pipeline.gallery.voice("Voice 01"), seed=1)


def test_conversion_has_the_long_term_spectrum_of_the_target(pipeline: Pipeline, clips: dict[str, Path]) -> None:
    def spectrum(mel, wav):
        return mel[:, speech_frames(wav)].mean(axis=1)

    result = pipeline.convert(clips["source"], clips["target"], reconstruct=True)
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
        mels = Pipeline(model).convert(clips["source"], clips["source"]).mels
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
    with pytest.raises(WeightsError, match=r"train\.voices"):
        Pipeline.from_pretrained(tmp_path).gallery  # noqa: B018


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
    facts = {"output": str(out), "profile": "prosody-kept", "duration_s": 2.5, "rate_hz": RATE}
    assert code == 0 and json.loads(stdout) == facts | {"notes": [], "target_notes": []}
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
    enrolled = ("--enrol", f"anna={clips['source']}", "--enrol", f"ben={clips['cut']}", "--weights", weights)
    _, stdout, stderr = run(capfd, "identify", clips["cut"], *enrolled, "--json")
    ((note,), recordings) = json.loads(stdout)["notes"].values()
    assert "damaged" in note and recordings == [[], [note]]
    assert stderr == f"Note on CLIP: {note}\nNote on --enrol 2: {note}\n"
    assert run(capfd, "identify", clips["source"], "--enrol", "nonsense", "--weights", weights)[0] == 2
    facts = json.loads(run(capfd, "info", "--weights", weights, "--json")[1])
    assert facts["sample_rate_hz"] == RATE and len(facts["sha256"]) == 64
    assert run(capfd, "info", "--weights", tmp_path / "none")[0] == 4


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_unavailable_device_ends_commands_with_an_error_message(
    capfd, device: str, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for command in (["info"], ["convert", clips["source"]], ["evaluate", "--data", clips["source"].parent]):
        code, _, stderr = run(capfd, *command, "--device", device)
        assert code == 2 and "no such device" in stderr and "Traceback" not in stderr, command


@pytest.mark.parametrize("verifier", ["own", "independent"])
def test_file_report_follows_its_schema_and_names_neither_source_nor_subject(
    capfd, weights: Path, clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verifier: str
) -> None:
    schema = json.loads((Path(file_report.__file__).parent / "file_report.schema.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(WhisperASR, "downloaded", lambda: None)
    if verifier == "own":
        monkeypatch.setattr(protection, "independent_verifier", lambda: None)
    else:
        monkeypatch.setattr(
            protection, "Resemblyzer", lambda: SimpleNamespace(embed=lambda wav: np.abs(np.fft.rfft(wav)[:256]))
        )
    Key.new(tmp_path / "key", weights)
    arguments = ["--key-file", tmp_path / "key", "--subject", "Jones", "--study", "gait", "--weights", weights]
    out, report = tmp_path / "out.wav", tmp_path / "new" / "report.json"
    code, _, stderr = run(capfd, "anonymize", clips["source"], "-o", out, *arguments, "--report", report)
    assert code == 0, stderr
    text = report.read_text(encoding="utf-8")
    found = json.loads(text)
    jsonschema.validate(found, schema)
    assert found["judge"]["independent"] == (verifier == "independent")
    assert found["output_sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert found["settings"] == {"voice": "key", "register": "any", "rate_hz": RATE} and found["words_kept"] is None
    assert -1 <= found["voice_similarity"]["value"] <= 1
    for name in ("source", "Jones", "gait", str(tmp_path), Key.load(tmp_path / "key").secret.hex()):
        assert name not in text
