"""Error counts, prosody, recognizers and quality predictors, and the utility measure with fake evaluators."""

import inspect
import itertools
import json
import shutil
import sys
import unicodedata
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import faster_whisper
import numpy as np
import pytest
import soundfile
import torch

from saic import audio
from saic.data.manifest import Clip
from saic.errors import SaicError, SilentAudio, UsageError, WeightsError
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.evaluation_set import EvaluationSet, PartitionedSet
from saic.evaluation.data.trials import assign_targets
from saic.evaluation.evaluators import distillmos as distillmos_module
from saic.evaluation.evaluators import evaluators as evaluators_module
from saic.evaluation.evaluators import moonshine as moonshine_module
from saic.evaluation.evaluators import normalizer as normalizer_module
from saic.evaluation.evaluators import whisper as whisper_module
from saic.evaluation.evaluators.distillmos import DistillMos
from saic.evaluation.evaluators.dnsmos import Dnsmos, normalize_level, trim_pauses
from saic.evaluation.evaluators.evaluators import CachedEvaluators, Evaluators
from saic.evaluation.evaluators.moonshine import MoonshineASR
from saic.evaluation.evaluators.normalizer import base_language, normalize
from saic.evaluation.evaluators.whisper import DECODING, MODEL, NO_ASR, WhisperASR
from saic.evaluation.measures import prosody, utility
from saic.evaluation.measures.text_errors import Edits, character_errors, edits, pool_by_speaker, word_errors
from saic.evaluation.measures.utility import OutputFigures, check_control, differences, estimate, measure
from saic.evaluation.metrics import Estimate
from saic.evaluation.systems import MAIN_SYSTEMS, VOCODER_BASELINES, SystemOutputs
from saic.signal.f0 import track_f0
from tests.conftest import RATE, voice

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"

# Words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("kitten", "sitting", (2, 0, 1)),
        ("abc", "abc", (0, 0, 0)),
        ("", "ab", (0, 0, 2)),
        ("ab", "", (0, 2, 0)),
        ("", "", (0, 0, 0)),
        ("abc", "bcd", (0, 1, 1)),  # two edits, where three substitutions would do as well
        ("ab", "bc", (2, 0, 0)),  # two either way
    ],
)
def test_edits_match_hand_computation(reference, hypothesis, counts):
    assert edits(reference, hypothesis) == edits(list(reference), list(hypothesis)) == Edits(*counts, len(reference))


def test_edits_are_minimal():
    def fewest(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(fewest(a[1:], b) + 1, fewest(a, b[1:]) + 1, fewest(a[1:], b[1:]) + (a[0] != b[0]))

    texts = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)]
    for a, b in itertools.product(texts, repeat=2):
        counts = edits(a, b)
        assert counts.errors == fewest(a, b)
        assert counts.insertions - counts.deletions == len(b) - len(a)


def test_word_and_character_errors_match_hand_computation():
    assert word_errors("the cat sat", "the  cut sat down") == Edits(1, 0, 1, 3)
    assert character_errors("the cat", "the  cut ") == Edits(1, 0, 0, 7)


def test_edits_are_pooled_by_speaker():
    counts = [Edits(1, 0, 0, 1), Edits(0, 0, 0, 9), Edits(1, 1, 0, 4), Edits(0, 0, 3, 0)]
    totals = pool_by_speaker(counts, ["a", "a", "b", "c"])
    assert totals == {"a": Edits(1, 0, 0, 10), "b": Edits(1, 1, 0, 4)}  # c has no words


def test_word_figures_match_hand_computation():
    rows = [
        OutputFigures("a", {}, {"": ("one two three", "one two three"), "moonshine_": ("one two", "one")}),
        OutputFigures("a", {}, {"": ("four", "four five six")}, {"": ("x y", "x")}),
        OutputFigures("b", {}, {"": ("seven eight", "seven nine")}),
    ]
    figures = estimate(rows, seed=0)
    assert figures["wer"].value == pytest.approx((100 * 2 / 4 + 100 * 1 / 2) / 2)
    assert figures["insertions"].value == pytest.approx(100 * 2 / 4 / 2)
    assert (figures["wer_true"].value, figures["wer_true"].n, figures["insertions_true"].value) == (50, 1, 0)
    assert figures["cer_true"].value == pytest.approx(100 * 2 / 3)
    assert figures["wer"].unit == "%" and figures["wer"].n == 2
    assert (figures["moonshine_wer"].value, figures["moonshine_wer"].n) == (50, 1)
    assert figures["moonshine_cer"].value == pytest.approx(100 * 4 / 7)
    assert (figures["moonshine_wer_true"].value, figures["moonshine_wer_true"].n) == (None, 0)


def _rows(n_wrong: dict[str, int], recognizer: str = "") -> list[OutputFigures]:
    """Rows with the number of wrong words of ten, by speaker."""
    words = list("abcdefghij")
    texts = {name: (" ".join(words), " ".join(["x"] * n + words[n:])) for name, n in n_wrong.items()}
    return [OutputFigures(name, {}, {recognizer: pair}, {recognizer: pair}) for name, pair in texts.items()]


def test_differences_are_paired_by_speaker(monkeypatch):
    monkeypatch.setattr("saic.evaluation.metrics.MIN_INTERVAL_SPEAKERS", 2)
    # Speakers differ by up to 80 points, the two systems by 10 or 20 for each speaker: so does the interval.
    hard, easy = {"a": 9, "b": 1, "c": 5, "d": 7}, {"a": 8, "b": 0, "c": 3, "d": 5}
    figures = differences(_rows(hard), _rows(easy), "price", ["", "_true"], seed=0)
    for name in ("wer_price", "wer_true_price"):
        price = figures[name]
        assert price.value == pytest.approx(15) and 10 <= price.low < 15 < price.high <= 20
        assert (price.n, price.unit) == (4, "points")
    assert figures["moonshine_wer_price"] == Estimate(None, None, None, 0, "points")
    assert estimate(_rows(hard), seed=0)["wer"].high - 15 > price.high


def test_differences_are_those_of_the_same_recognizer_and_the_same_speakers():
    one = _rows({"a": 4, "b": 2, "c": 9}, "moonshine_")
    figures = differences(one, _rows({"a": 1, "b": 1}, "moonshine_"), "rise", ["_true"], seed=0)
    assert figures["moonshine_wer_true_rise"].value == pytest.approx(20) and figures["moonshine_wer_true_rise"].n == 2
    assert set(figures) == {"wer_true_rise", "moonshine_wer_true_rise"}
    assert differences(one, _rows({"a": 1, "b": 1}), "rise", ["_true"], seed=0)["wer_true_rise"].n == 0


def test_difference_pools_the_outputs_of_a_speaker():
    two_outputs = _rows({"a": 4, "b": 0}) + _rows({"a": 2, "b": 2})
    figures = differences(two_outputs, _rows({"a": 1, "b": 1}), "price", [""], seed=0)
    assert figures["wer_price"].value == pytest.approx((20 + 0) / 2)


def test_normalizer_unifies_spellings():
    assert normalize("Mr. Quilter's, uh, colour!") == normalize("MISTER QUILTER IS COLOR") == "mister quilter is color"
    assert normalize("Twenty-five men; I've [noise] come.") == normalize("25 men I have come")
    assert normalize(" ") == ""
    assert normalize("the apostle") != normalize("the epistle")


@pytest.mark.parametrize(
    ("language", "text", "normalized"),
    [
        ("de", "Um zehn Uhr: „Ähm, nein!“ [Lärm]", "um zehn uhr ähm nein"),
        ("pt-BR", "Um, dois.", "um dois"),
        ("hi", "मैं छोड़ने वाली नहीं हूँ।", "मैं छोड़ने वाली नहीं हूँ"),
        ("ar", "قَالُوا", "قَالُوا"),
        ("zh-CN", "心里， 觉得有点 凄凉。", "心里觉得有点凄凉"),
        ("en-GB", "Um, the colour!", "the color"),
    ],
)
def test_texts_are_normalized_by_their_language(language: str, text: str, normalized: str):
    assert normalize(text, language) == unicodedata.normalize("NFKC", normalized)


def test_characters_are_counted_where_there_are_no_spaces():
    assert word_errors("ab cd", "ab ce", "zh-TW") == Edits(1, 0, 0, 5)
    assert word_errors("ab cd", "ab ce", "sv-SE") == word_errors("ab cd", "ab ce") == Edits(1, 0, 0, 2)


@pytest.mark.parametrize(
    ("code", "language"), [("sv-SE", "sv"), ("en-GB+en-US", "en"), ("en+sv-SE", "en+sv"), ("rm-sursilv", "rm")]
)
def test_language_of_a_code_has_no_region(code: str, language: str):
    assert base_language(code) == language


# Whisper --------------------------------------------------------------------------------------------------


@pytest.fixture
def whisper(monkeypatch, tmp_path):
    """A fake faster-whisper, which records its calls in ``loaded``, ``options`` and ``downloads``."""
    fake = SimpleNamespace(__version__="1.2.1", loaded=[], options=[], downloads=[], folder=tmp_path / "whisper")

    class WhisperModel:
        def __init__(self, folder, **options):
            fake.loaded.append((folder, options))

        def transcribe(self, wav, **options):
            fake.options.append(options)
            return iter([SimpleNamespace(text=" Hello"), SimpleNamespace(text=" there. ")]), None

    def download_model(name, **options):
        fake.downloads.append((name, options))
        return str(fake.folder)

    fake.WhisperModel, fake.download_model = WhisperModel, download_model
    monkeypatch.setitem(sys.modules, "faster_whisper", fake)
    fake.folder.mkdir()
    for name in ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt"):
        (fake.folder / name).write_text(name)
    return fake


def test_transcribe_uses_fixed_decoding_options(whisper):
    asr = WhisperASR(whisper.folder)
    assert asr.transcribe(np.zeros(RATE, dtype=np.float32)) == "Hello there."
    ((folder, loading),) = whisper.loaded
    assert folder == str(whisper.folder)
    threads = torch.get_num_threads()
    on_cpu = {"device": "cpu", "device_index": 0, "compute_type": "float32", "cpu_threads": threads}
    assert loading == on_cpu
    (options,) = whisper.options
    assert options["language"] == "en" and options["temperature"] == 0.0
    assert options["condition_on_previous_text"] is False and options["vad_filter"] is False
    assert all(options[f"{name}_threshold"] is None for name in ("no_speech", "log_prob", "compression_ratio"))
    assert not whisper.downloads


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_recognizer_runs_on_the_gpu_of_a_number(whisper, device: str, index: int):
    """CTranslate2 takes the number apart."""
    WhisperASR(whisper.folder, device)
    loading = whisper.loaded[0][1]
    assert (loading["device"], loading["device_index"], loading["compute_type"]) == ("cuda", index, "float16")


def test_decoding_options_exist_in_faster_whisper():
    assert set(DECODING) <= set(inspect.signature(faster_whisper.WhisperModel.transcribe).parameters)


def test_identity_depends_on_files_and_options_and_not_on_the_folder(whisper, tmp_path, monkeypatch):
    identity = WhisperASR(whisper.folder).identity
    other = shutil.copytree(whisper.folder, tmp_path / "copy")
    assert WhisperASR(other).identity == identity
    (other / "model.bin").write_text("another model")
    assert WhisperASR(other).identity != identity
    monkeypatch.setitem(whisper_module.DECODING, "beam_size", 1)
    assert WhisperASR(whisper.folder).identity != identity


def test_hub_id_is_fetched_at_its_revision(whisper, monkeypatch):
    revision = "0123456789abcdef" * 2 + "01234567"
    WhisperASR(f"someone/whisper@{revision}")
    assert whisper.downloads == [("someone/whisper", {"revision": revision})]
    with pytest.raises(WeightsError, match="differs from its hashes"):
        WhisperASR()
    assert whisper.downloads[1] == (MODEL[:-41], {"revision": MODEL[-40:]})
    hashes = {path.name: whisper_module.sha256(path) for path in whisper.folder.iterdir()}
    monkeypatch.setattr(whisper_module, "MODEL_SHA256", hashes)
    WhisperASR()


@pytest.mark.parametrize(("is_multilingual", "language"), [(True, "de"), (False, "en")])
def test_language_is_that_of_the_wav_where_the_model_knows_several(whisper, is_multilingual: bool, language: str):
    asr = WhisperASR(whisper.folder)
    asr._model.model = SimpleNamespace(is_multilingual=is_multilingual)
    asr._model.detect_language = lambda wav, **options: ("de", 0.9, [])
    assert asr.language(np.zeros(RATE, dtype=np.float32)) == language


@pytest.mark.parametrize(("is_multilingual", "known"), [(True, {"en", "de"}), (False, {"en"})])
def test_languages_are_those_that_the_model_has_a_token_of(whisper, is_multilingual: bool, known: set[str]):
    asr = WhisperASR(whisper.folder)
    asr._model.supported_languages = ["en", "de", "yue"] if is_multilingual else ["en"]
    asr._model.hf_tokenizer = SimpleNamespace(token_to_id=lambda token: None if token == "<|yue|>" else 1)
    assert asr.languages == known
    asr.transcribe(np.zeros(RATE, dtype=np.float32), language="de")
    assert whisper.options[-1]["language"] == "de"


def test_recognizer_in_the_cache_of_the_hub_is_found_without_the_hub(whisper, tmp_path, monkeypatch):
    repo, revision = MODEL.split("@")
    folder = tmp_path / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
    find = partial(whisper_module.try_to_load_from_cache, cache_dir=tmp_path / "hub")
    monkeypatch.setattr(whisper_module, "try_to_load_from_cache", find)
    assert WhisperASR.downloaded() is None
    shutil.copytree(whisper.folder, folder)
    assert WhisperASR.downloaded() is None  # other files under the name of the model
    hashes = {path.name: whisper_module.sha256(path) for path in whisper.folder.iterdir()}
    monkeypatch.setattr(whisper_module, "MODEL_SHA256", hashes)
    assert WhisperASR.downloaded(threads=1).identity == WhisperASR(whisper.folder).identity
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    assert WhisperASR.downloaded() is None
    assert not whisper.downloads


def test_unreachable_hub_raises_with_a_hint(whisper):
    def no_network(name, **options):
        raise ConnectionError("no route")

    whisper.download_model = no_network
    with pytest.raises(UsageError, match="--asr FOLDER"):
        WhisperASR()


@pytest.mark.parametrize(
    "model", ["Systran/faster-whisper-base", "Systran/faster-whisper-base@main", "no-such-folder", "n" * 300]
)
def test_model_that_is_no_folder_and_no_pinned_id_raises(whisper, model):
    with pytest.raises(UsageError, match="ORG/NAME@REVISION"):
        WhisperASR(model)
    assert not whisper.downloads


def test_incomplete_folder_raises_without_download(whisper):
    (whisper.folder / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"lacks tokenizer\.json"):
        WhisperASR(whisper.folder)
    assert not whisper.downloads


def test_damaged_model_raises_weights_error(whisper, tmp_path):
    def damaged(folder, **options):
        raise RuntimeError("Unsupported model binary version")

    whisper.WhisperModel = damaged
    with pytest.raises(WeightsError, match="damaged"):
        WhisperASR(whisper.folder)


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("faster_whisper", WhisperASR),
        ("whisper_normalizer.english", WhisperASR),
        ("whisper_normalizer.english", lambda: normalize("text")),
        ("speechmos", Dnsmos),
        ("onnxruntime", Dnsmos),
        ("onnxruntime", MoonshineASR),
        ("whisper_normalizer.english", MoonshineASR),
        ("distillmos", DistillMos),
    ],
)
def test_missing_package_raises_with_the_install_command(monkeypatch, package, make):
    monkeypatch.setitem(sys.modules, package, None)
    normalizer_module._normalizer.cache_clear()
    with pytest.raises(UsageError, match=r"pip install '.\[eval\]'"):
        make()


# Moonshine ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moonshine() -> MoonshineASR:
    return MoonshineASR()


def _example() -> tuple[np.ndarray, str]:
    """A bundled clip and its text."""
    (clip,) = [clip for clip in json.loads((EXAMPLES / "examples.json").read_text()) if clip["file"] == "voice_a.flac"]
    return audio.load(EXAMPLES / clip["file"]), clip["text"]


def test_moonshine_recognizes_a_clip_whatever_came_before(moonshine):
    wav, text = _example()
    transcript = moonshine.transcribe(wav)
    assert word_errors(normalize(text), normalize(transcript)).errors <= 1
    moonshine.transcribe(voice(120, 2))
    assert moonshine.transcribe(wav) == transcript == MoonshineASR().transcribe(wav)


def test_moonshine_recognizes_all_of_a_clip_of_more_than_30_s(moonshine):
    wav, text = _example()
    several = np.concatenate([wav] * 4)
    assert len(several) > 30 * RATE
    counts = word_errors(normalize(" ".join([text] * 4)), normalize(moonshine.transcribe(several)))
    assert counts.errors / counts.length < 0.1


@pytest.mark.parametrize("n_samples", [0, 1, 2000, 2600, RATE])
def test_moonshine_has_at_most_a_word_for_silence(moonshine, n_samples):
    assert len(moonshine.transcribe(np.zeros(n_samples, dtype=np.float32)).split()) <= 1


def test_moonshine_decodes_at_most_six_and_a_half_tokens_a_second(moonshine, monkeypatch):
    steps = []

    def run(_, inputs):
        steps.append(inputs)
        return [np.eye(1, 32_768, 300, dtype=np.float32)[None], *[np.zeros((1, 8, 1, 36), dtype=np.float32)] * 24]

    monkeypatch.setattr(moonshine, "_decoder", SimpleNamespace(run=run))
    moonshine.transcribe(voice(120, 2))
    assert len(steps) == 13 and not steps[0]["use_cache_branch"] and all(s["use_cache_branch"] for s in steps[1:])


def test_moonshine_pieces_have_lengths_of_one_or_two_bytes():
    long = b"l" * 300
    assert moonshine_module._read_pieces(b"\x02ab\x00" + bytes([300 % 128 + 128, 300 // 128]) + long) == [
        b"ab",
        b"",
        long,
    ]


@pytest.mark.parametrize(("module", "make"), [(moonshine_module, MoonshineASR), (distillmos_module, DistillMos)])
def test_other_weights_raise_weights_error(module, make, monkeypatch):
    monkeypatch.setattr(module, "sha256", lambda path: "0" * 64)
    with pytest.raises(WeightsError, match="Install it again"):
        make()


def test_evaluators_load_without_moonshine_and_say_so(monkeypatch, caplog):
    def missing():
        raise UsageError("Install it.")

    monkeypatch.setattr(evaluators_module, "MoonshineASR", missing)
    for name in ("Resemblyzer", "CamPlusPlus"):
        monkeypatch.setattr(evaluators_module, name, SimpleNamespace)
    evaluators = Evaluators.load(NO_ASR, quality=False)
    assert evaluators.moonshine is None
    assert [record.getMessage() for record in caplog.records] == [
        "Install it. Its figures have no value in this report."
    ]


# Quality --------------------------------------------------------------------------------------------------


def test_level_is_measured_over_speech_only():
    noise = 0.3 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32).clip(-3, 3)
    half = np.concatenate([noise, np.zeros(6 * RATE, dtype=np.float32)])
    leveled = normalize_level(half)
    assert 20 * np.log10(np.sqrt(np.mean(leveled[: 2 * RATE] ** 2))) == pytest.approx(-26, abs=0.2)
    assert not normalize_level(np.zeros(RATE, dtype=np.float32)).any()


def test_trim_pauses_keeps_inner_pauses():
    word = voice(200, 0.5)
    pause = np.zeros(RATE, dtype=np.float32)
    assert 2 * RATE <= len(trim_pauses(np.concatenate([pause, word, pause, word, pause]))) <= 2.2 * RATE
    assert len(trim_pauses(pause)) == 0


def test_dnsmos_depends_on_noise_and_not_on_gain_or_outer_pauses():
    dnsmos = Dnsmos()
    clip = np.pad(voice(120, 4), RATE // 2)
    scores = dnsmos.score(clip)
    assert set(scores) == {"ovrl", "sig", "bak"} and all(1 <= score <= 5 for score in scores.values())
    assert dnsmos.score(0.05 * np.pad(clip, RATE)) == pytest.approx(scores, abs=0.01)
    noisy = clip + 0.03 * np.random.default_rng(0).standard_normal(len(clip)).astype(np.float32)
    assert dnsmos.score(noisy)["bak"] < scores["bak"] - 0.3
    with pytest.raises(SilentAudio):
        dnsmos.score(np.zeros(RATE, dtype=np.float32))


def test_dnsmos_windows_cover_a_long_clip():
    dnsmos = Dnsmos()
    windows = []
    dnsmos._network = SimpleNamespace(
        run=lambda _, inputs: [np.full((len(windows.append(inputs) or inputs["input_1"]), 3), 3.0)]
    )
    for seconds, count in ((3, 1), (9, 1), (15, 2), (19, 3)):
        wav = 0.1 * np.random.default_rng(0).standard_normal(seconds * RATE).astype(np.float32)
        dnsmos.score(wav)
        inputs = windows.pop()["input_1"]
        assert inputs.shape == (count, 144_160)
        if seconds > 9:
            leveled = normalize_level(wav)
            assert (inputs[0] == leveled[:144_160]).all() and (inputs[-1] == leveled[-144_160:]).all()


def test_distillmos_depends_on_noise_and_not_on_gain_or_outer_pauses(capsys):
    distillmos, clip = DistillMos(), _example()[0][: 6 * RATE]
    score = distillmos.score(clip)
    assert 4 < score <= 5  # clean synthetic speech
    assert distillmos.score(0.05 * np.pad(clip, RATE)) == pytest.approx(score, abs=0.05)
    noisy = clip + 0.01 * np.random.default_rng(0).standard_normal(len(clip)).astype(np.float32)
    assert distillmos.score(noisy) < score - 0.5
    assert distillmos.score(clip[: 3 * RATE]) == pytest.approx(score, abs=0.5)
    with pytest.raises(SilentAudio):
        distillmos.score(np.zeros(RATE, dtype=np.float32))
    assert capsys.readouterr().out == ""  # the command line prints JSON there


# Prosody --------------------------------------------------------------------------------------------------


def _bursts(*lengths_s: float) -> np.ndarray:
    """Noise and silence in turn."""
    rng = np.random.default_rng(0)
    parts = [(i % 2 == 0) * 0.1 * rng.standard_normal(round(s * RATE)) for i, s in enumerate(lengths_s)]
    return np.concatenate(parts).astype(np.float32)


def test_prosody_of_identical_clips_is_perfect():
    wav = np.concatenate([voice(150, 2), np.zeros(RATE, dtype=np.float32), voice(150, 1)])
    track = track_f0(wav)
    assert prosody.f0_correlation(track, track) == pytest.approx(1)
    assert prosody.voicing_error(track, track) == prosody.mel_distance(wav, wav) == 0
    assert prosody.pauses_kept(wav, wav) == prosody.rate_kept(wav, wav) == 1


def test_f0_correlation_is_1_for_an_octave_and_minus_1_for_an_inversion():
    track = np.tile([0, 0, 110, 120, 150, 140, 100], 10)
    assert prosody.f0_correlation(track, 2 * track) == pytest.approx(1)
    assert prosody.voicing_error(track, 2 * track) == 0
    inverted = np.where(track, 20_000 / np.maximum(track, 1), 0)
    assert prosody.f0_correlation(track, inverted) == pytest.approx(-1)


def test_f0_correlation_uses_frames_voiced_in_both():
    a = np.array([100.0] * 5 + [110, 120, 130, 140, 150, 160, 170, 180, 190, 200] + [0] * 5)
    b = np.array([0.0] * 5 + [210, 220, 230, 240, 250, 260, 270, 280, 290, 300] + [90] * 5)
    expected = np.corrcoef(np.log(a[5:15]), np.log(b[5:15]))[0, 1]
    assert prosody.f0_correlation(a, b) == pytest.approx(expected)
    b[5] = 0
    assert prosody.f0_correlation(a, b) is None  # nine frames
    assert prosody.f0_correlation(np.full(20, 100.0), np.arange(20) + 100.0) is None  # a monotone


def test_voicing_error_matches_hand_computation():
    a = np.array([100, 100, 0, 0, 100, 100, 0, 0])
    assert prosody.voicing_error(a, np.array([90, 0, 0, 80, 90, 90, 0, 0])) == 2 / 8
    assert prosody.voicing_error(a, np.array([90, 90, 0, 0])) == 2 / 8  # missing frames are unvoiced
    assert prosody.voicing_error(a, np.append(a, [100] * 8)) == 0  # surplus frames are ignored


def test_pauses_and_rate_match_hand_computation():
    # Of a pause of 80 frames, 4 or 5 at either end count as speech: about 72 are left, shifted 32 overlap.
    source = _bursts(1, 1, 1)
    assert prosody.pauses_kept(source, _bursts(1.5, 1, 0.5)) == pytest.approx(2 * 32 / (72 + 72), abs=0.02)
    assert prosody.pauses_kept(source, _bursts(3)) == 0
    assert prosody.pauses_kept(source, np.zeros_like(source)) == pytest.approx(2 * 72 / (72 + 240), abs=0.02)
    assert prosody.pauses_kept(_bursts(3), _bursts(3)) is None
    assert prosody.pauses_kept(_bursts(3), source) is None  # none to keep
    rates = prosody.rate_kept(source, _bursts(3)), prosody.rate_kept(_bursts(3), source)
    assert rates[0] == rates[1] == pytest.approx(168 / 240, abs=0.02)
    assert prosody.rate_kept(source, np.zeros_like(source)) == 0
    assert prosody.rate_kept(0 * source, 0 * source) is None


def test_mel_distance_depends_on_noise_and_not_on_gain():
    wav = voice(150, 2)
    assert prosody.mel_distance(wav, 0.1 * wav) == pytest.approx(0, abs=0.01)
    hiss = np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)
    near, far = (prosody.mel_distance(wav, wav + gain * hiss) for gain in (0.001, 0.01))
    assert 0 < near < far < prosody.mel_distance(wav, np.zeros_like(wav)) <= 60
    silent = prosody.mel_distance(wav, np.zeros_like(wav))
    assert prosody.mel_distance(wav, wav[: len(wav) // 2]) == pytest.approx(silent / 2, rel=0.3)  # half is missing
    assert prosody.mel_distance(0 * wav, wav) is None


# The measure, with fake evaluators ------------------------------------------------------------------------

PITCH_HZ = {"anna": 240.0, "berta": 190.0, "dave": 100.0, "emil": 140.0}
CLIP_S, CLIPS = 4, 4


class PitchASR:
    """Transcribes the name of the speaker once per second. Fails after ``fail_after`` calls."""

    def __init__(self, identity: str = "pitch", fail_after: int = 10**9, languages: frozenset[str] = frozenset({"en"})):
        self.identity, self.languages, self.spoken = identity, languages, Counter()
        self.calls = 0
        self._fail_after = fail_after

    def transcribe(self, wav, *, language):
        if self.calls >= self._fail_after:
            raise RuntimeError("power cut")
        self.calls += 1
        self.spoken[language] += 1
        track = track_f0(wav[:RATE])
        if not track.any():
            return ""
        hz = np.median(track[track > 0])
        name = min(PITCH_HZ, key=lambda name: abs(np.log(PITCH_HZ[name] / hz)))
        return ", ".join([name] * round(len(wav) / RATE)).capitalize() + "."


class LengthDnsmos:
    identity = "length"

    def __init__(self):
        self.calls = 0

    def score(self, wav):
        self.calls += 1
        if not wav.any():
            raise SilentAudio("silent")
        return {"ovrl": 3.0, "sig": 3.5, "bak": 4.0}


class KeepingPipeline:
    """Conversions equal their source; the vocoder gives silence."""

    def info(self):
        return {"sha256": "ab" * 32}

    def convert(self, source, targets, *, reconstruct=False):
        return SimpleNamespace(wav=source[0], reconstruction=source[0])

    def anonymize(self, clip, *, seed, profile=None):
        return SimpleNamespace(wav=clip[0])

    def resynthesize(self, clip):
        return np.zeros_like(clip[0])

    def with_griffin_lim(self):
        return SimpleNamespace(convert=self.convert, resynthesize=lambda clip: clip[0])


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """A folder with the clips of four speakers."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, pitch_hz in PITCH_HZ.items():
        for number in range(CLIPS):
            soundfile.write(folder / f"{name}-{number}.flac", voice(pitch_hz, CLIP_S, seed=number), RATE)
    return folder


def _speakers(recordings: Path, cache: Path, **about) -> tuple[PartitionedSet, dict, SystemOutputs]:
    """The set of the recordings, its texts, and the outputs; without the codec, for speed.

    ``about``: attributes of speakers, ``attribute={speaker: value}``.
    """
    clips = []
    for name, pitch_hz in PITCH_HZ.items():
        for number in range(CLIPS):
            path = recordings / f"{name}-{number}.flac"
            values = {attribute: of_speakers.get(name) for attribute, of_speakers in about.items()}
            text = values.pop("text", None) or " ".join([name.upper()] * CLIP_S)
            clips.append(Clip(path, path.stem, name, "FM"[pitch_hz < 170], CLIP_S, text, "test", **values))
    dataset = PartitionedSet(clips, seed=0, quick=False, progress=lambda *step: None, codec=lossless)
    texts = {clip.utterance: clip.text for clip in clips}
    return dataset, texts, SystemOutputs(KeepingPipeline(), dataset, cache, seed=0)


@pytest.fixture(scope="module")
def small(recordings, tmp_path_factory):
    """The recordings without attributes, and without texts of Emil."""
    dataset, texts, outputs = _speakers(recordings, tmp_path_factory.mktemp("small"))
    return dataset, {name: None if name.startswith("emil") else text for name, text in texts.items()}, outputs


class LoudnessMos:
    """A quality predictor of one figure."""

    identity = "loudness"

    def score(self, wav):
        if not wav.any():
            raise SilentAudio("silent")
        return 2.5


def _measure(small, cache: Path, evaluators: Evaluators, progress=lambda *step: None, only=MAIN_SYSTEMS):
    dataset, texts, outputs = small
    options = {"seed": 0, "progress": progress, "cache": cache, "only": only}
    return measure(dataset, outputs, evaluators=evaluators, texts=texts, **options)


FEW = ("real", "copy_source", "convert", "pseudonym")


@pytest.fixture(autouse=True, scope="module")
def prosody_once():
    """The prosody of a source and its output is measured once: it takes most of the time, and many runs share them."""
    measured, of_output, patch = {}, utility._prosody, pytest.MonkeyPatch()

    def prosody_of(source, output):
        key = source.wav.tobytes(), output.tobytes()
        if key not in measured:
            measured[key] = of_output(source, output)
        return dict(measured[key])

    patch.setattr(utility, "_prosody", prosody_of)
    yield
    patch.undo()


@pytest.fixture
def words_alone(monkeypatch):
    """No figures of prosody, which take most of the time."""
    monkeypatch.setattr(utility, "_prosody", lambda source, output: {})


def _evaluators(asr=None, dnsmos=None, moonshine=None) -> Evaluators:
    return Evaluators([], asr, dnsmos, moonshine, LoudnessMos())


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("evaluated")


@pytest.fixture(scope="module")
def measured(small, cache):
    asr, dnsmos, stages = PitchASR(), LengthDnsmos(), Counter()
    evaluators = _evaluators(asr, dnsmos, PitchASR("another"))
    estimates = _measure(small, cache, evaluators, lambda stage, done, total: stages.update([stage]))
    return SimpleNamespace(estimates=estimates, asr=asr, dnsmos=dnsmos, stages=stages)


def test_systems_that_keep_the_source_have_no_errors(measured):
    assert set(measured.estimates) == {*MAIN_SYSTEMS, *VOCODER_BASELINES}
    for system in ("real", "copy_source", "convert", "reconstruction", *VOCODER_BASELINES):
        value = {name: estimate.value for name, estimate in measured.estimates[system].items()}
        assert value["wer"] == value["cer"] == value["insertions"] == value["wer_true"] == value["cer_true"] == 0
        assert value["f0_correlation"] > 0.95 and value["voicing_error"] < 5
        assert value["pauses_kept"] > 90 and value["rate_kept"] > 95 and value["mel_distance"] < 1
        assert value["dnsmos_ovrl"] == 3 and value["dnsmos_bak"] == 4 and value["distillmos"] == 2.5
        assert value["moonshine_wer"] == value["moonshine_cer_true"] == 0
    # One target of each sex where there is a target, one output where there is none.
    assert measured.stages["utility: convert"] == 8 and measured.stages["utility: copy_source"] == 4


def test_replay_target_has_high_errors(measured):
    value = {name: estimate.value for name, estimate in measured.estimates["replay_target"].items()}
    assert value["wer"] >= 100 and value["wer_true"] >= 100
    # Frames of an output of another length are at other times: they are not compared.
    assert value["f0_correlation"] is value["voicing_error"] is value["mel_distance"] is None


def test_figures_of_frames_need_most_outputs():
    rows = [OutputFigures(str(k), {"f0_correlation": 0.9 if k < 2 else None, "rate_kept": 0.5}, {}) for k in range(5)]
    figures = estimate(rows, seed=0)
    assert figures["f0_correlation"].value is None and figures["rate_kept"].value == pytest.approx(50)
    assert estimate(rows[:4], seed=0)["f0_correlation"].value == pytest.approx(0.9)


def test_differences_have_the_recordings_and_the_prosody_kept_as_baselines(measured):
    for system, figures in measured.estimates.items():
        assert ("wer_true_rise" in figures) == ("moonshine_wer_true_rise" in figures) == (system != "real")
        prices = {name for name in figures if name.endswith("_price")}
        priced = ("pseudonym", "pseudonym_strict")
        names = {"wer_price", "wer_true_price", "moonshine_wer_price", "moonshine_wer_true_price"}
        assert prices == (names if system in priced else set())
        assert all(figures[name].value == 0 for name in prices)  # the fake pipeline keeps every word
    vocoder = measured.estimates["vocoder"]["wer_true_rise"]
    assert (vocoder.value, vocoder.n, vocoder.unit) == (100, 3, "points")


def test_silent_output_has_100_percent_wer_and_no_dnsmos(measured):
    figures = measured.estimates["vocoder"]
    assert figures["wer"].value == figures["wer_true"].value == 100 and figures["insertions"].value == 0
    assert figures["rate_kept"].value == 0
    for name in ("dnsmos_ovrl", "distillmos", "f0_correlation"):
        assert (figures[name].value, figures[name].n) == (None, 0)


def test_true_text_uses_whole_clips_of_speakers_with_texts(small, measured):
    dataset, texts, _ = small
    whole = utility.whole_clips(dataset, texts)
    assert set(whole) == {"anna", "berta", "dave"}
    for name, (part, text) in whole.items():
        assert [(span.start, span.stop) for span in part] == [(0, CLIP_S * RATE)] * 3  # four clips exceed 15 s
        assert text.split() == [name] * 3 * CLIP_S
    assert measured.estimates["convert"]["wer_true"].n == 3 and measured.estimates["convert"]["wer"].n == 4
    assert utility.whole_clips(dataset, {}) == {}


def test_whole_clips_of_a_hum_are_left_out(recordings, tmp_path):
    """The pipeline would refuse them, and the run would end."""
    dataset, texts, _ = _speakers(recordings, tmp_path)
    assert utility.whole_clips(dataset, texts)
    dataset.wav = lambda part: 0.1 * np.sin(np.arange(8 * RATE) / 20)
    assert not utility.whole_clips(dataset, texts)


def test_whole_clips_are_coded_only_as_they_are_converted(recordings, tmp_path):
    dataset, texts, _ = _speakers(recordings, tmp_path)
    wav, coded = dataset.wav, []
    dataset.wav = lambda part: coded.append(part) or wav(part)
    found = utility.whole_clips(dataset, texts)
    assert coded == [part for part, _ in found.values()]


def test_two_outputs_of_a_speaker_are_measured_whether_or_not_sexes_are_known():
    for sexes in ({name: "FM"[k % 2] for k, name in enumerate("abcdefgh")}, dict.fromkeys("abcdefgh")):
        parts = {name: SimpleNamespace(sex=sex) for name, sex in sexes.items()}
        dataset = SimpleNamespace(trials=assign_targets(sexes, 2, 0), parts=parts)
        measured = utility._trials(dataset, "convert")
        assert Counter(trial.source for trial in measured) == dict.fromkeys("abcdefgh", 2)
        assert len(set(measured)) == 16
        assert {trial.target for trial in measured} == set("abcdefgh")


def test_interval_of_conversions_counts_that_several_have_one_target():
    rows = [OutputFigures(str(k), {"dnsmos_ovrl": float(k % 2)}, target=str(k % 2)) for k in range(20)]
    of_pairs, alone = (
        utility.estimate(own, seed=0)["dnsmos_ovrl"] for own in (rows, [replace(r, target="") for r in rows])
    )
    assert of_pairs.value == alone.value and of_pairs.high - of_pairs.low > 1.2 * (alone.high - alone.low)


def test_second_run_uses_the_cache(small, cache, measured):
    asr, dnsmos = PitchASR(fail_after=0), LengthDnsmos()
    assert _measure(small, cache, _evaluators(asr, dnsmos, PitchASR("another", 0))) == measured.estimates
    # Silence is scored again: it has no score to cache.
    assert asr.calls == 0 and dnsmos.calls == 4
    assert {path.suffix for path in cache.iterdir()} == {".json"}


def test_interrupted_run_continues(small, tmp_path, measured):
    broken, resumed = PitchASR(fail_after=5), PitchASR()
    with pytest.raises(RuntimeError, match="power cut"):
        _measure(small, tmp_path, _evaluators(broken, LengthDnsmos(), PitchASR("another")))
    again = _evaluators(resumed, LengthDnsmos(), PitchASR("another"))
    assert _measure(small, tmp_path, again) == measured.estimates
    assert broken.calls + resumed.calls == measured.asr.calls


def test_cached_transcripts_depend_on_samples_evaluator_and_code(tmp_path, monkeypatch):
    one, other = PitchASR(), PitchASR("another")
    wav = voice(100, 1)
    for asr, samples in ((one, wav), (one, wav.copy()), (one, 0.5 * wav), (other, wav)):
        assert CachedEvaluators(Evaluators([], asr), tmp_path).transcripts(samples) == {"": "dave"}
    assert (one.calls, other.calls) == (2, 1)
    both = CachedEvaluators(Evaluators([], one, moonshine=other), tmp_path)
    assert both.transcripts(wav) == {"": "dave", "moonshine_": "dave"} and (one.calls, other.calls) == (2, 1)
    monkeypatch.setattr("saic.evaluation.evaluators.evaluators.code_fingerprint", lambda *names: "other code")
    CachedEvaluators(Evaluators([], one), tmp_path).transcripts(wav)
    assert one.calls == 3


def test_missing_evaluators_give_no_value(small, tmp_path, measured):
    figures = _measure(small, tmp_path, Evaluators([]))["convert"]
    assert set(figures) == set(measured.estimates["convert"])
    for name, figure in figures.items():
        missing = name.startswith(("wer", "cer", "insertions", "moonshine", "dnsmos", "distillmos"))
        assert (figure.value is None, figure.n == 0) == (missing, missing)
    assert not list(tmp_path.iterdir())


def test_moonshine_alone_gives_its_own_figures_and_no_differences_without_a_baseline(small, cache, measured):
    dataset, texts, outputs = small
    arguments = {"texts": texts, "seed": 0, "progress": lambda *step: None, "cache": cache}
    evaluators = _evaluators(moonshine=PitchASR("another", 0))
    figures = measure(dataset, outputs, evaluators=evaluators, only=["pseudonym"], **arguments)["pseudonym"]
    for name in ("moonshine_wer", "moonshine_cer", "moonshine_insertions", "moonshine_wer_true", "distillmos"):
        assert figures[name] == measured.estimates["pseudonym"][name] and figures[name].n >= 3
    assert figures["wer"].value is None
    assert not [name for name in figures if name.endswith(("_price", "_rise"))]


@pytest.mark.parametrize(("system", "percent"), [("replay_target", 20.0), ("copy_source", 80.0)])
def test_control_out_of_range_raises(system, percent):
    missing = Estimate(None, None, None, 0, "%")

    def wer(value: float | None, n: int) -> dict[str, Estimate]:
        return {"wer": Estimate(value, None, None, n, "%"), "moonshine_wer": missing}

    check_control(system, wer(percent, 19))  # too few speakers for a control
    check_control(system, wer(100 - percent, 20))
    check_control(system, wer(None, 0))
    with pytest.raises(SaicError, match="Control out of range"):
        check_control(system, wer(percent, 20))
    alone = {"wer": missing, "moonshine_wer": wer(percent, 20)["wer"]}
    with pytest.raises(SaicError, match="Control out of range"):
        check_control(system, alone)
    check_control(system, wer(100 - percent, 20) | {"moonshine_wer": alone["moonshine_wer"]})  # Whisper's counts


# Languages and children, with fake evaluators --------------------------------------------------------------


LANGUAGES = {"berta": "sv-SE", "dave": "zh-CN", "emil": "ia"}  # Anna: none is stated, so English


@pytest.fixture(scope="module")
def by_language(recordings, tmp_path_factory):
    """Figures of four languages. Chinese names are heard right, and nobody knows Interlingua."""
    folder = tmp_path_factory.mktemp("languages")
    asr, moonshine = PitchASR(languages=frozenset({"en", "sv", "zh"})), PitchASR("another")
    speakers = _speakers(recordings, folder, language=LANGUAGES)
    figures = _measure(speakers, folder, _evaluators(asr, moonshine=moonshine), only=(*FEW, "vocoder"))
    return SimpleNamespace(figures=figures, asr=asr, moonshine=moonshine)


def test_each_recognizer_transcribes_the_languages_that_it_knows(by_language):
    assert set(by_language.asr.spoken) == {"en", "sv", "zh"} and set(by_language.moonshine.spoken) == {"en"}
    convert = by_language.figures["convert"]
    assert (convert["wer"].n, convert["wer_true"].n, convert["moonshine_wer"].n) == (3, 3, 1)
    assert convert["wer_true"].value == convert["wer_true_rise"].value == 0
    assert convert["distillmos"].n == 4  # sound has no language


def test_each_language_has_word_figures_of_its_own(by_language):
    real, vocoder = (by_language.figures[system] for system in ("real", "vocoder"))
    for language in ("en", "sv-SE", "zh-CN"):
        assert (real[f"wer_true@{language}"].value, real[f"wer_true@{language}"].n) == (0, 1)
        assert vocoder[f"wer_true_rise@{language}"].value == 100 and f"wer_true_rise@{language}" not in real
    assert vocoder["moonshine_wer_true@en"].value == 100 and "moonshine_wer_true@sv-SE" not in vocoder
    # Silence deletes all characters of the Chinese text, as many as 48 letters: "dave" 12 times without spaces.
    assert vocoder["cer_true@zh-CN"].value == 100
    assert real["wer_true@ia"] == Estimate(None, None, None, 0, "%") and "wer@ia" not in vocoder


def test_language_that_is_recognized_badly_is_left_out_and_does_not_stop_the_run(recordings, tmp_path, words_alone):
    text = {"berta": "Helt andra ord än de som hörs"}
    small = _speakers(recordings, tmp_path, language={"berta": "sv-SE"}, text=text)
    figures = _measure(small, tmp_path, _evaluators(PitchASR(languages=frozenset({"en", "sv"}))), only=FEW)
    assert figures["real"]["wer_true@sv-SE"].value > 40 and "wer_true@sv-SE" not in figures["convert"]
    assert "wer@sv-SE" in figures["copy_source"] and "wer@sv-SE" not in figures["pseudonym"]
    assert (figures["convert"]["wer_true"].value, figures["convert"]["wer"].n) == (0, 3)
    # The same words in English are a corpus with many errors: they stay.
    small = _speakers(recordings, tmp_path, text=text)
    figures = _measure(small, tmp_path, _evaluators(PitchASR()), only=FEW)
    assert figures["convert"]["wer_true"].n == 4 and figures["convert"]["wer_true"].value > 10


def test_language_whose_copies_have_other_words_is_left_out_if_it_has_enough_speakers(
    recordings, tmp_path, monkeypatch, words_alone
):
    dataset, texts, outputs = _speakers(
        recordings, tmp_path, language=dict.fromkeys(("berta", "dave", "emil"), "sv-SE")
    )
    of_trial = outputs.of_trial

    def silent_copies(system, trial):
        wav = of_trial(system, trial)
        return 0 * wav if system == "copy_source" else wav

    def measured_with(n_speakers):
        monkeypatch.setattr("saic.evaluation.measures.words.MIN_CONTROL_SPEAKERS", n_speakers)
        evaluators = _evaluators(PitchASR(languages=frozenset({"en", "sv"})))
        return _measure((dataset, texts, outputs), tmp_path, evaluators, only=FEW)

    monkeypatch.setattr(outputs, "of_trial", silent_copies)
    figures = measured_with(4)
    assert figures["convert"]["wer_true@sv-SE"].n == 3 and figures["convert"]["wer"].n == 4
    figures = measured_with(3)
    assert figures["real"]["wer_true@sv-SE"].value == 0 and figures["copy_source"]["wer@sv-SE"].value == 100
    assert "wer_true@sv-SE" not in figures["convert"] and figures["convert"]["wer"].n == 1
    with pytest.raises(SaicError, match="copy of the source is 100 %"):  # English is not left out: it stops the run
        measured_with(1)


def test_control_of_english_does_not_depend_on_other_languages(recordings, tmp_path, monkeypatch, words_alone):
    """Silent copies of one English speaker stop the run, although those of three Swedish speakers are perfect."""
    dataset, texts, outputs = _speakers(
        recordings, tmp_path, language=dict.fromkeys(("berta", "dave", "emil"), "sv-SE")
    )
    of_trial = outputs.of_trial

    def silent_anna(system, trial):
        wav = of_trial(system, trial)
        return 0 * wav if (system, trial.source) == ("copy_source", "anna") else wav

    monkeypatch.setattr(outputs, "of_trial", silent_anna)
    monkeypatch.setattr("saic.evaluation.measures.words.MIN_CONTROL_SPEAKERS", 1)
    with pytest.raises(SaicError, match="copy of the source is 100 %"):
        _measure((dataset, texts, outputs), tmp_path, _evaluators(PitchASR(languages=frozenset({"en", "sv"}))))


def test_speaker_of_two_languages_is_left_out(tmp_path):
    clips = [
        Clip(tmp_path / f"{k}.flac", str(k), "anna", None, 1.0, None, "test", language=language)
        for k, language in enumerate((None, "sv-SE"))
    ]
    assert EvaluationSet(clips, lossless).languages == {"anna": "en+sv-SE"}
    assert base_language("en+sv-SE") not in MoonshineASR.languages


def test_children_and_adults_have_word_figures_of_their_own(recordings, tmp_path, words_alone):
    ages = {"anna": 8, "berta": 14, "dave": 15}  # Emil's is unknown
    small = _speakers(recordings, tmp_path, age=ages, text={"anna": "Anna anna anna apa"})
    figures = _measure(small, tmp_path, _evaluators(PitchASR(), moonshine=PitchASR("another")), only=(*FEW, "vocoder"))
    for system in ("real", "convert"):
        of_system = figures[system]
        assert (of_system["wer_true@children"].value, of_system["wer_true@children"].n) == (12.5, 2)
        assert (of_system["wer_true@adults"].value, of_system["wer_true@adults"].n) == (0, 1)
        assert of_system["moonshine_wer_true@children"] == of_system["wer_true@children"]
        assert (of_system["wer_true"].value, of_system["wer_true"].n) == (6.25, 4)
    assert figures["convert"]["wer_true_rise@children"].value == 0 and figures["vocoder"]["wer@children"].value == 100


def test_corpus_of_english_adults_has_no_parts(measured):
    assert not [name for figures in measured.estimates.values() for name in figures if "@" in name]
