"""Recordings of any length: spools, blocks and windows give what the whole gives, in bounded memory."""

import dataclasses
import itertools
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from saic import audio
from saic.audio.output import encode_blocks
from saic.config import Config
from saic.conversion import Speech, convert_mel, reconstruct_mel
from saic.errors import EmptyAudio, TooLong
from saic.files import DiskError
from saic.keys import Key
from saic.model import windowed
from saic.model.layers import interpolate
from saic.model.model import Model
from saic.model.prosody import ProsodyPredictor, predicted_f0, slow_contour
from saic.model.timing import TimeMap, rate_of_change
from saic.pipeline import Pipeline, _near
from saic.profiles import BALANCED, PROFILES, STRICT
from saic.signal import f0, filters, loudness, vad
from saic.signal.masking import RunningStatistics, masked_statistics
from saic.signal.mel import log_mel, log_mel_of_part
from saic.signal.mel_statistics import MelTransfer, measure_mel_statistics, transfer_mel_statistics
from saic.spool import Spool
from saic.vocoder.vocoder import GriffinLim
from tests.conftest import RATE, voice

EXAMPLES = sorted((Path(__file__).parents[1] / "assets" / "examples").glob("voice_*.flac"))
DB_PER_NEPER = 20 / np.log(10)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """The bundled weights."""
    return Pipeline.from_pretrained()


@pytest.fixture(scope="module")
def minute() -> np.ndarray:
    """(N,) 60 s of the example clips, of several speakers."""
    return np.concatenate([audio.load(clip) for clip in EXAMPLES] * 2)[: 60 * RATE]


@pytest.mark.parametrize("memory_bytes", [None, 0, 400])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_spool_gives_back_any_slice_of_what_was_appended(memory_bytes: int | None, kind) -> None:
    random = np.random.default_rng(0)
    whole = random.standard_normal((2, 3, 50)).astype(np.float32)
    spool = Spool(memory_bytes)
    for start, stop in ((0, 0), (0, 7), (7, 7), (7, 8), (8, 40), (40, 50)):
        spool.append(kind(whole[..., start:stop]))
    assert len(spool) == 50
    for start, stop in [*random.integers(0, 60, (40, 2)), (0, 50), (49, 50), (3, 3)]:
        part = spool[start:stop]
        assert type(part) is type(kind(whole))
        np.testing.assert_array_equal(part, whole[..., start:stop])
    np.testing.assert_array_equal(np.concatenate(list(spool.blocks(7)), axis=-1), whole)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes, and open files have names there")
def test_temporary_file_has_no_name_and_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(0)
    spool.append(np.zeros(10))
    assert stat.S_IMODE(os.fstat(spool._file.fileno()).st_mode) == 0o600
    assert os.listdir(tmp_path) == []


def test_full_disk_is_a_disk_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, *_: int) -> None: ...

        def write(self, _: np.ndarray) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(DiskError, match="No space left"):
        Spool(0).append(np.zeros(10))

    def none_usable() -> None:  # what tempfile says if all folders for temporary files are full from the start
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", none_usable)
    with pytest.raises(DiskError, match="No usable"):
        Spool(0).append(np.zeros(10))


@pytest.mark.skipif(sys.platform != "linux", reason="heaps are shared where the C library is glibc")
def test_threads_of_a_server_share_heaps() -> None:
    code = """
import ctypes, pathlib, sys, tempfile, threading
from saic.spool import share_heaps
if sys.argv[1] == "shared":
    share_heaps()
libc, met, held = ctypes.CDLL(None), threading.Barrier(12), []
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
def allocate():
    met.wait()
    held.append([libc.malloc(50_000) for _ in range(20)])
    met.wait()  # a heap is free for another thread once its own ends
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "heaps.xml")
    file = ctypes.c_void_p(libc.fopen(bytes(path), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    print(path.read_text().count("<heap nr="))
"""

    def heaps(kind: str) -> int:
        run = subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, check=True)
        return int(run.stdout)

    assert heaps("shared") <= 2 < heaps("own")


def test_statistics_of_parts_are_those_of_the_whole() -> None:
    x, mask = torch.randn(1, 5, 200) * 3 + 100, (torch.rand(1, 1, 200) > 0.4).float()
    statistics = RunningStatistics(with_covariance=True)
    for start, stop in ((0, 1), (1, 90), (90, 200)):
        statistics.add(x[..., start:stop], mask[..., start:stop])
    for found, expected in zip(statistics.masked_statistics(), masked_statistics(x, mask), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    speech = x[0, :, mask[0, 0] > 0]
    torch.testing.assert_close(statistics.covariance.float(), torch.cov(speech, correction=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_mel_transfer_in_parts_is_that_of_the_whole(correlation: float) -> None:
    mel, other, mask = torch.randn(1, 80, 300), 2 * torch.randn(1, 80, 400) - 3, (torch.rand(1, 1, 300) > 0.4).float()
    statistics = measure_mel_statistics(other)
    own = windowed.mel_statistics(Spool.of(mel), mask)
    transfer = MelTransfer(own, statistics, correlation)
    parts = torch.cat([transfer(mel[..., :120]), transfer(mel[..., 120:])], dim=-1)
    whole = transfer_mel_statistics(mel, statistics, mask, correlation=correlation)
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=0)


def test_signal_in_blocks_is_measured_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels, speech frames, F0 and loudness of 12.3 s, with blocks of 3 s and 0.5 s."""
    wav = np.concatenate([voice(120, 5.0), np.zeros(RATE, np.float32), voice(190, 6.3, seed=1)]) + 0.01

    def measured(samples: object) -> list[np.ndarray]:
        steps, peak = loudness._step_power(samples), loudness.true_peak(samples)
        power = vad.frame_power(samples)
        speech = vad.speech_frames(samples), vad.main_speech_frames(vad.vowel_frames(samples))
        vad.require_varied(samples)
        return [10 * np.log10(power + 1e-7), *speech, f0.track_f0(samples), 10 * np.log10(steps + 1e-7), peak]

    whole = measured(wav)
    monkeypatch.setattr(filters, "BLOCK_SAMPLES", 3 * RATE)
    monkeypatch.setattr(vad, "BLOCK_SAMPLES", 3 * RATE)
    monkeypatch.setattr(f0, "_BLOCK_FRAMES", 40)
    monkeypatch.setattr(loudness, "_BLOCK_SAMPLES", 3 * RATE)
    spool = Spool(0).extend(wav[start : start + 777] for start in range(0, len(wav), 777))
    for found, expected in zip(measured(spool), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 399, 900, 2_000, 16_001])
def test_log_mel_of_parts_is_that_of_the_whole(n_samples: int) -> None:
    wav = voice(120, 2.0)[:n_samples]
    whole = log_mel(torch.from_numpy(wav))
    edges = sorted({0, 4 * whole.shape[1] // 5, whole.shape[1]})
    parts = [log_mel_of_part(wav, a, b) for a, b in itertools.pairwise(edges)]
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole, atol=1e-4, rtol=0)


SMALL = {
    "phone encoder": {},
    "paper's front end": {
        "content_encoder": {"phone_encoder": None, "strides": [1, 2, 1, 2, 1, 2]},
        "decoder": {"upsampling": [2, 1, 2, 1, 2, 1]},
    },
    "detail": {"content_encoder": {"detail_channels": 4}},
    "tdnn": {"speaker_encoder": {"tdnn": {"channels": 16, "dilations": [1, 3]}}},
    "no instance norm": {"content_encoder": {"phone_encoder": None, "instance_norm": False}},
}


@pytest.mark.parametrize("n_frames", [63, 301, 803])
@pytest.mark.parametrize("name", SMALL)
@torch.inference_mode()
def test_networks_in_windows_give_what_they_give_for_the_whole(
    name: str, n_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 100 frames, and spools of which most is in files."""
    torch.manual_seed(0)
    model = Model(Config.from_dict(SMALL[name])).eval()
    model.mel_mean.normal_(-5, 1)
    mel, mask = 2 * torch.randn(1, 80, n_frames) - 5, (torch.rand(1, 1, n_frames) > 0.3).float()
    track = torch.where(torch.rand(1, n_frames) > 0.4, 120 + 30 * torch.rand(1, n_frames), 0.0)
    monkeypatch.setattr(windowed, "WINDOW_FRAMES", 100)
    monkeypatch.setattr(Spool.__init__, "__defaults__", (20_000,))
    spool = Spool().extend(mel.split(64, dim=-1))
    content, embedding = model.encode_content(mel, mask), model.encode_speaker(mel, mask)
    close = {"rtol": 0, "atol": 2e-4}
    torch.testing.assert_close(windowed.encode_content(model, spool, mask)[:], content, **close)
    torch.testing.assert_close(windowed.encode_speaker(model, spool, mask), embedding, **close)
    decoded = windowed.decode(model, Spool.of(content), embedding, track, mask)
    torch.testing.assert_close(decoded[:], model.decode(content, embedding, track, mask), **close)
    if name == "tdnn":  # its decoder knows only embeddings of one norm, and a blend has another
        torch.testing.assert_close(windowed.decode(model, Spool.of(content), 2 * embedding, track, mask)[:], decoded[:])
        torch.testing.assert_close(model.decode(content, 2 * embedding, track, mask), decoded[:], **close)
        torch.testing.assert_close(model.predict_f0_stats(2 * embedding), model.predict_f0_stats(embedding))


@torch.inference_mode()
def test_prosody_and_timing_in_windows_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    predictor = ProsodyPredictor(8, 2, clusters=8).eval()
    predictor.centers.normal_()
    content, mask = torch.randn(1, 8, 251), (torch.rand(1, 1, 501) > 0.3).float()
    slow = torch.randn(1, 2, 501)
    whole = [predictor(content, mask, None), predictor(content, mask, slow)]
    timing = TimeMap((0.9 * torch.arange(556, dtype=torch.float64)).clamp_max(500))
    retimed = interpolate(content, timing.code_places(content.shape[-1], 2))
    monkeypatch.setattr(windowed, "WINDOW_FRAMES", 60)
    spool = Spool.of(content)
    for expected, given in zip(whole, (None, slow), strict=True):
        torch.testing.assert_close(windowed.predict_prosody(predictor, spool, mask, given), expected)
    torch.testing.assert_close(windowed.code_change(spool), rate_of_change(content)[0])
    torch.testing.assert_close(windowed.retimed(spool, timing, 2)[:], retimed)


def test_griffin_lim_divides_long_recordings_where_they_are_quiet() -> None:
    """70 s with a pause in every second."""
    wav = np.tile(np.concatenate([voice(120, 0.8), np.zeros(RATE // 5, np.float32)]), 70)
    mel = log_mel(torch.from_numpy(wav))
    parts = list(GriffinLim(4).parts(Spool.of(mel), torch.zeros(mel.shape[1])))
    ends = np.cumsum([len(part) for part in parts])
    assert len(parts) == 3 and ends[-1] == 200 * mel.shape[1]
    found = log_mel(torch.cat(parts))
    at_joints = np.concatenate([np.arange(end // 200 - 3, end // 200 + 3) for end in ends[:-1]])
    assert found[:, at_joints].max() < mel.max() - 3  # no click


def _with_windows(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, share: float) -> None:
    """Windows and blocks of a share of their length."""
    for module, name in (
        *((windowed, "WINDOW_FRAMES"), (f0, "_BLOCK_FRAMES"), (loudness, "_BLOCK_SAMPLES")),
        *((filters, "BLOCK_SAMPLES"), (vad, "BLOCK_SAMPLES"), (pipeline.vocoder, "_chunk")),
    ):
        monkeypatch.setattr(module, name, round(share * getattr(module, name)))


@torch.inference_mode()
def test_conversion_in_windows_is_that_of_the_whole(
    pipeline: Pipeline, minute: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 s of speech, in windows of half their length: mel, and log-mel of the sound at the joints and elsewhere,
    within 0.1 dB.
    """
    minute = minute[: 20 * RATE + 77]
    kept = vad.main_speech_frames(vad.vowel_frames(minute))
    target = dataclasses.replace(pipeline.voice((audio.load(EXAMPLES[2]), RATE)), frequency_scale=1.1)
    with monkeypatch.context() as patch:
        _with_windows(patch, pipeline, 0.5)
        in_windows = pipeline.convert((minute, RATE), target, reconstruct=True)
    with monkeypatch.context() as patch:
        _with_windows(patch, pipeline, 1000)
        whole = pipeline.convert((minute, RATE), target, reconstruct=True)
        speech = Speech.from_wav(minute)
        content = pipeline.model.encode_content(speech.mel, speech.mask)
        prediction = pipeline.prosody(
            content, speech.mask, slow_contour(speech.f0 * _near(speech.vowel_f0), speech.vowel_f0)
        )
        f0 = predicted_f0(prediction, speech.mask, target.f0_stats)
        direct, track = convert_mel(pipeline.model, content, f0, speech.mask, target)
        rebuilt = reconstruct_mel(pipeline.model, speech, content)
    for name, mel in (("converted", direct), ("reconstructed", rebuilt)):
        found, level = in_windows.mels[name], mel[0].numpy()
        quieter = found[:, kept] <= level[:, kept] + 0.01  # where the source is quiet, the pipeline lowers it
        assert np.abs(found - whole.mels[name]).max() * DB_PER_NEPER < 0.1 and quieter.all()
        assert np.median(np.abs(found - level)[:, kept]) * DB_PER_NEPER < 0.01
    np.testing.assert_allclose(in_windows.f0_hz["converted"], (track[0] * torch.from_numpy(kept)).numpy(), rtol=1e-3)
    for name in ("wav", "reconstruction"):
        found, expected = (log_mel(torch.from_numpy(getattr(each, name))) for each in (in_windows, whole))
        audible = expected > expected.max() - 7  # 60 dB
        assert (found - expected)[audible].abs().max() * DB_PER_NEPER < 0.1
        assert len(getattr(in_windows, name)) == len(minute)


@pytest.mark.parametrize("profile", PROFILES)
def test_blocks_of_a_spooled_conversion_are_the_samples_of_the_conversion(
    pipeline: Pipeline, minute: np.ndarray, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file, with all that is long in temporary files."""
    sf.write(tmp_path / "in.flac", minute[: 8 * RATE + 33], RATE)
    options = {"seed": 1, "profile": profile}
    whole = pipeline.anonymize(tmp_path / "in.flac", **options)
    monkeypatch.setattr(Spool.__init__, "__defaults__", (0,))
    spooled = pipeline.anonymize_spooled(tmp_path / "in.flac", **options)
    blocks = np.concatenate(list(spooled.blocks()))
    np.testing.assert_allclose(blocks, whole.wav, atol=1e-6)
    assert len(spooled) == len(blocks) and (len(blocks) == 8 * RATE + 33) == (profile != STRICT)
    assert (spooled.profile, spooled.notes) == (whole.profile, whole.notes)
    assert spooled.voice_similarity == pytest.approx(whole.voice_similarity, abs=1e-5)
    with encode_blocks(spooled.blocks(8_000), "wav", 8_000) as file:
        assert loudness.loudness_lufs(audio.load(file)) == pytest.approx(-23.0, abs=0.1)


def test_stream_gives_the_conversion_of_all_blocks_once_they_have_arrived(pipeline: Pipeline) -> None:
    wav, arrived = audio.load(EXAMPLES[0])[: 4 * RATE], []

    def microphone() -> Iterator[np.ndarray]:
        for part in np.split(wav, [0, 1000, 1001, 30_000]):
            arrived.append(len(part))
            yield part

    whole = pipeline.anonymize((wav, RATE), seed=1)
    blocks = pipeline.stream(microphone(), RATE, seed=1)
    assert not arrived
    first = next(blocks)
    assert sum(arrived) == len(wav)
    np.testing.assert_allclose(np.concatenate([first, *blocks]), whole.wav, atol=1e-6)
    with pytest.raises(EmptyAudio):
        next(pipeline.stream([], RATE))


@pytest.mark.parametrize("secret", [0, 1])
def test_parts_of_a_cut_recording_have_one_voice_and_one_level(pipeline: Pipeline, secret: int) -> None:
    """Two parts of one speaker's recording, the second 20 dB quieter, by one key and subject."""
    wav = audio.load(EXAMPLES[0])
    parts = [wav[: len(wav) // 2], 0.1 * wav[len(wav) // 2 :]]
    key = Key(bytes([secret]) * 32, "0" * 64, "0" * 64)
    own, others = (pipeline.pseudonym(key=key, subject=name, new_voices=True) for name in ("P01", "P02"))
    made = [pipeline.anonymize((part, RATE), voice=own) for part in parts]
    other = pipeline.anonymize((parts[1], RATE), voice=others)
    levels = [loudness.loudness_lufs(each.wav) for each in made]
    assert levels == pytest.approx([-23, -23], abs=0.1)
    one, same, another = (pipeline.embed((each.wav, RATE)).speaker for each in (*made, other))

    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert similarity(one, same) > pipeline.gallery.threshold > similarity(one, another)
    medians = [np.median(np.log2(each.f0_hz["converted"][each.f0_hz["converted"] > 0])) for each in made]
    assert abs(medians[0] - medians[1]) < 1 / 12  # a semitone


def test_error_of_the_progress_callback_ends_a_conversion_within_a_window(
    pipeline: Pipeline, minute: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saic.pipeline._EVERY_S", 0.0)
    reports: list[tuple[str, float]] = []

    class Cancelled(Exception):
        pass

    def progress(stage: str, share: float) -> None:
        reports.append((stage, share))
        if stage == "Converting" and share > 0.28:
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.anonymize((minute, RATE), seed=1, profile=BALANCED, progress=progress)
    shares = [share for _, share in reports]
    assert shares == sorted(shares) and shares[-1] < 0.3
    assert len([stage for stage, _ in reports if stage == "Converting"]) > 10


def test_recordings_longer_than_the_limit_are_refused_and_the_limit_is_a_setting(tmp_path: Path) -> None:
    """Eleven minutes: an array in memory refuses them, a spool does not."""
    sf.write(tmp_path / "in.flac", np.zeros(661 * 4_000, np.int16), 4_000)
    with pytest.raises(TooLong, match="10 min"):
        audio.read(tmp_path / "in.flac")
    assert len(audio.spool(tmp_path / "in.flac").wav) == 661 * RATE
    model = Model(Config.from_dict(SMALL["no instance norm"]))
    with pytest.raises(TooLong, match="1 min"):
        Pipeline(model, limits=audio.Limits(max_duration_s=60)).anonymize(tmp_path / "in.flac")


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus"])
def test_output_in_blocks_has_the_bytes_of_the_whole(name: str) -> None:
    wav = voice(120, 3.0)

    def blocks() -> Iterator[np.ndarray]:
        yield from (wav[start : start + RATE] for start in range(0, len(wav), RATE))

    with encode_blocks(blocks(), name, RATE) as file:
        assert file.read() == audio.output.encode(wav, name, RATE)


MEASURE = """
import sys
import numpy as np
from pathlib import Path
from saic.pipeline import Pipeline

def resident_mb(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) / 1024

pipeline = Pipeline.from_pretrained()
pipeline.anonymize(sys.argv[1], seed=1)
before = resident_mb("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
pipeline.anonymize(sys.argv[2], seed=1)
print(resident_mb("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the largest memory is read from /proc")
def test_memory_hardly_grows_with_the_length(minute: np.ndarray, tmp_path: Path) -> None:
    """After 10 s, 100 s need about 120 MB more. All at once, they needed 330 MB."""
    sf.write(tmp_path / "short.flac", minute[: 10 * RATE], RATE)
    sf.write(tmp_path / "long.flac", np.tile(minute, 2)[: 100 * RATE], RATE)
    arguments = [sys.executable, "-c", MEASURE, tmp_path / "short.flac", tmp_path / "long.flac"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 200
