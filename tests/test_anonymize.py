"""``saic anonymize``: files and folders, failures, existing outputs, and the pseudonym of each file."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
import unicodedata
from io import FileIO, StringIO
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile as sf
import soxr

from saic import audio, cli
from saic.archive import journal
from saic.archive.plan import Item
from saic.audio.source_rate import source_rate
from saic.errors import UsageError, WeightsError
from saic.keys import Key
from saic.signal import mcadams
from saic.signal.loudness import normalize_loudness
from saic.signal.vad import require_speech
from tests.conftest import RATE, voice
from tests.fakes import spooled


class FakePipeline:
    """A pipeline whose pseudonyms are constant samples, by the seed. It records its calls."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.registers: list[str] = []
        self.profiles: list[str | None] = []
        self.default_profile = "balanced"
        self.voices: list[object] = []
        self.subjects: list[tuple[str, str, str]] = []
        self.similarity = 0.1
        self.gallery = SimpleNamespace(threshold=0.75, voice=self.named_voice)
        self.targets: list[tuple[Path, ...]] = []
        self.voices_measured = 0
        self.stop_at, self.stop_with = 0, KeyboardInterrupt
        self.notes: tuple[str, ...] = ()
        self.target_notes: tuple[str, ...] = ()

    def from_pretrained(self, weights=None, *, device="cpu"):
        return self

    def pseudonym(self, *, key=None, subject=None, study="", register="any", new_voices=False):
        if key is not None:
            assert isinstance(key, Key)
            self.subjects.append((subject, study, register))
        return subject

    def named_voice(self, name):
        if name != "Voice 07":
            raise UsageError("The gallery has no such voice.")
        return SimpleNamespace(to=lambda device: name)

    def anonymize_spooled(self, clip, *, voice=None, seed=0, register="any", profile=None, progress=None):
        self.profiles.append(profile)
        self.registers.append(register)
        self.seeds.append(seed)
        self.voices.append((Path(clip).stem, voice))
        if len(self.seeds) == self.stop_at:
            raise self.stop_with("stop")
        wav = audio.load(clip)
        require_speech(wav)
        progress("Making sound", 0.5)
        wav = np.full(len(wav), (seed or 0) % 1000 / 2000, dtype=np.float32)
        return spooled(wav, self.notes, self.similarity)

    def voice(self, clips):
        self.voices_measured += 1
        return tuple(clips)

    def convert_spooled(self, clip, voice, *, profile=None, progress=None):
        self.profiles.append(profile)
        self.targets.append(voice)
        return spooled(audio.load(clip), self.notes, target_notes=self.target_notes)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    fake = FakePipeline()
    monkeypatch.setattr("saic.pipeline.Pipeline", fake)
    return fake


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four recordings, sorted: Jones.wav, ward/Miller.FLAC, ward/Smith.wav, ward/b/Doe.ogg."""
    folder = tmp_path_factory.mktemp("patients")
    (folder / "ward" / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    wav = voice(120, 1.5)
    sf.write(folder / "Jones.wav", wav, RATE)
    sf.write(folder / "ward" / "Miller.FLAC", wav, RATE, format="FLAC")
    sf.write(folder / "ward" / "Smith.wav", wav, RATE)
    sf.write(folder / "ward" / "b" / "Doe.ogg", wav, RATE)
    sf.write(folder / ".hidden" / "x.wav", wav, RATE)
    (folder / "ward" / "._Smith.wav").write_bytes(b"metadata that macOS writes")
    (folder / "ward" / "notes.txt").write_text("not a recording")
    return folder


@pytest.fixture
def recordings(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "in")


KEY = f"saic-key 1\nkey {'ab' * 32}\nweights {'0' * 64}\ngallery {'1' * 64}\n"
OUTPUTS = ["Jones.wav", "ward/Miller.wav", "ward/Smith.wav", "ward/b/Doe.wav"]


def run(capfd, monkeypatch, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``saic anonymize``."""
    monkeypatch.setattr(sys, "argv", ["saic", "anonymize", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0, *capfd.readouterr()


@pytest.fixture
def anonymize(capfd, monkeypatch):
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


def files(folder: Path) -> list[str]:
    """The files below a folder, without a journal."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(journal.NAME))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def damage_one(recordings: Path) -> None:
    (recordings / "ward" / "Miller.FLAC").write_bytes(b"no audio at all")


def test_outputs_keep_the_folder_tree(anonymize, pipeline: FakePipeline, recordings: Path, tmp_path: Path) -> None:
    code, stdout, _ = anonymize(recordings, "-o", tmp_path / "deep" / "out", "--json")
    assert code == 0 and files(tmp_path / "deep" / "out") == OUTPUTS
    facts = json.loads(stdout)
    assert (facts["written"], facts["skipped"], facts["failed"]) == (4, 1, [])
    assert facts["duration_s"] == pytest.approx(6.0, abs=0.1)
    for name in OUTPUTS[:3]:
        assert sf.info(tmp_path / "deep" / "out" / name).frames == 1.5 * RATE


def test_run_without_seed_leaves_the_draws_to_the_pipeline_and_a_seed_repeats_its_run(
    anonymize, pipeline: FakePipeline, recordings: Path, tmp_path: Path
) -> None:
    assert json.loads(anonymize(recordings, "-o", tmp_path / "a", "--json")[1])["seed"] is None
    assert pipeline.seeds == [None] * 4  # then a pseudonym is drawn again while it counts as the speaker's own voice
    for name in "bc":
        assert json.loads(anonymize(recordings, "-o", tmp_path / name, "--seed", 7, "--json")[1])["seed"] == 7
    assert pipeline.seeds[4:8] == pipeline.seeds[8:] and None not in pipeline.seeds[4:]
    for name in OUTPUTS:
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_pseudonym_of_a_file_depends_only_on_seed_and_path(
    anonymize, pipeline: FakePipeline, recordings: Path, tmp_path: Path
) -> None:
    anonymize(recordings, "-o", tmp_path / "a", "--seed", 1)
    assert len(set(pipeline.seeds)) == 4
    (recordings / "Jones.wav").unlink()
    sf.write(recordings / "ward" / "Aaron.wav", voice(200, 1.0), RATE)
    anonymize(recordings, "-o", tmp_path / "b", "--seed", 1)
    assert pipeline.seeds[5:] == pipeline.seeds[1:4]
    anonymize(recordings, "-o", tmp_path / "c", "--seed", 2)
    assert not set(pipeline.seeds[8:]) & set(pipeline.seeds[:8])


def test_names_in_nfc_and_nfd_give_the_same_pseudonym(anonymize, pipeline, recordings, tmp_path) -> None:
    for form in ("NFC", "NFD"):
        path = tmp_path / form / unicodedata.normalize(form, "Müller.wav")
        path.parent.mkdir()
        shutil.copy(recordings / "Jones.wav", path)
        anonymize(path, "-o", tmp_path / f"{form}.wav", "--seed", 1)
    assert pipeline.seeds[0] == pipeline.seeds[1]


def test_unusable_file_is_reported_by_number_and_skipped(anonymize, pipeline, recordings, tmp_path) -> None:
    damage_one(recordings)
    code, stdout, stderr = anonymize(recordings, "-o", tmp_path / "out", "--json")
    assert code == 5 and files(tmp_path / "out") == [name for name in OUTPUTS if "Miller" not in name]
    (failure,) = json.loads(stdout)["failed"]
    assert (failure["number"], failure["error"]) == (2, "UndecodableAudio")
    assert "File 2: " + failure["reason"] in stderr and "1 of 4" in stderr
    assert "Miller" not in stdout + stderr and "Traceback" not in stderr


def test_names_are_printed_only_on_a_terminal_and_without_control_characters(
    monkeypatch, pipeline: FakePipeline, recordings: Path, tmp_path: Path
) -> None:
    damage_one(recordings)
    (recordings / "ward" / "Miller.FLAC").rename(recordings / "ward" / "Mil\x1b]0;l\udce9r[red].flac")
    terminal = StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "argv", ["saic", "anonymize", str(recordings), "-o", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 5
    assert "File 2 (ward/Mil?]0;l\\xe9r[red].flac): " in terminal.getvalue()
    assert "3 of 4 files done, 1 failed" in terminal.getvalue()


def test_exit_code_is_3_if_no_recording_can_be_used(anonymize, pipeline, recordings, tmp_path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    sf.write(bad / "silent.wav", np.zeros(RATE), RATE)
    (bad / "broken.wav").write_bytes(b"no audio at all")
    code, stdout, _ = anonymize(bad, "-o", tmp_path / "out", "--json")
    assert code == 3 and json.loads(stdout)["written"] == 0 and files(tmp_path / "out") == []
    code, _, stderr = anonymize(bad / "silent.wav", "-o", tmp_path / "out.wav")
    assert code == 3 and "silent." in stderr and not (tmp_path / "out.wav").exists()


def test_exit_code_is_2_if_outputs_cannot_be_written(anonymize, pipeline, recordings, tmp_path) -> None:
    shutil.rmtree(recordings / "ward" / "b")
    (recordings / "Jones.wav").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ward").write_text("a file where a folder must be")
    assert anonymize(recordings, "-o", tmp_path / "out")[0] == 2
    assert pipeline.seeds == []


def test_output_folder_that_cannot_be_written_is_refused_before_the_weights_are_loaded(
    anonymize, monkeypatch, recordings, tmp_path
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("saic.pipeline.Pipeline", None)
    monkeypatch.setattr("saic.files.tempfile.TemporaryFile", refuse)
    for arguments in ((recordings, "-o", tmp_path / "out"), (recordings / "Jones.wav", "-o", tmp_path / "a" / "b.wav")):
        code, _, stderr = anonymize(*arguments)
        assert code == 2 and "cannot be written: Permission denied" in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_full_disk_stops_the_run_and_tells_what_is_left(
    anonymize, pipeline, recordings, tmp_path, monkeypatch, reason
) -> None:
    n_writes = 0

    def fsync(_: int) -> None:
        nonlocal n_writes
        n_writes += 1
        if n_writes > 1:
            raise OSError(reason, os.strerror(reason))

    damage_one(recordings)
    monkeypatch.setattr(os, "fsync", fsync)
    code, stdout, stderr = anonymize(recordings, "-o", tmp_path / "out", "--json")
    assert code == 2 and len(pipeline.seeds) == 3 and files(tmp_path / "out") == OUTPUTS[:1]
    facts = json.loads(stdout)
    assert (facts["written"], facts["left"], len(facts["failed"])) == (1, 2, 1)
    assert os.strerror(reason) in stderr and "1 of 4 recordings are written, 1 failed, 2 are left" in stderr
    assert anonymize(recordings / "Jones.wav", "-o", tmp_path / "a.wav")[0] == 2
    assert not (tmp_path / "a.wav").exists()


def test_full_disk_of_temporary_files_stops_the_run_and_tells_what_is_left(
    anonymize, pipeline, recordings, tmp_path, monkeypatch
) -> None:
    convert = pipeline.anonymize_spooled

    def convert_beside_a_full_disk(clip, **options):
        if pipeline.seeds:
            audio.spool(clip, memory_bytes=0)
        return convert(clip, **options)

    monkeypatch.setattr(pipeline, "anonymize_spooled", convert_beside_a_full_disk)
    monkeypatch.setattr("saic.spool.tempfile", SimpleNamespace(TemporaryFile=lambda: FileIO("/dev/full", "r+")))
    code, stdout, stderr = anonymize(recordings, "-o", tmp_path / "out", "--json")
    facts = json.loads(stdout)
    assert code == 2 and (facts["written"], facts["left"], facts["failed"]) == (1, 3, [])
    assert "temporary file" in stderr and "No space left" in stderr and "3 are left" in stderr


@pytest.mark.parametrize(("format", "rate_hz"), [("wav", 48_000), ("flac", 8_000), ("mp3", 44_100), ("opus", 24_000)])
def test_folder_is_written_in_the_format_and_rate_that_are_named(
    anonymize, pipeline, recordings, tmp_path, format, rate_hz
) -> None:
    code, stdout, _ = anonymize(
        recordings, "-o", tmp_path / "out", "--format", format, "--rate", rate_hz, "--seed", 1, "--json"
    )
    assert code == 0 and json.loads(stdout)["rate_hz"] == rate_hz
    assert files(tmp_path / "out") == [str(Path(name).with_suffix(f".{format}")) for name in OUTPUTS]
    for name in files(tmp_path / "out"):
        info = sf.info(tmp_path / "out" / name)
        assert info.samplerate == rate_hz and info.duration == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".ogg"])
def test_suffix_of_an_output_decides_its_format(anonymize, pipeline, recordings, tmp_path, suffix) -> None:
    output = tmp_path / f"out{suffix}"
    assert anonymize(recordings / "Jones.wav", "-o", output, "--rate", 48_000)[0] == 0
    magic = {".wav": b"RIFF", ".flac": b"fLaC", ".mp3": b"ID3\x04", ".opus": b"OggS", ".ogg": b"OggS"}[suffix]
    assert output.read_bytes()[:4] == magic
    assert sf.info(output).samplerate == 48_000


def test_notes_are_printed_once_by_file_number_and_given_in_json(anonymize, pipeline, recordings, tmp_path) -> None:
    pipeline.notes = ("Half is missing.", "Half is missing.", "Left was taken.")
    damage_one(recordings)
    code, stdout, stderr = anonymize(recordings, "-o", tmp_path / "out", "--json")
    assert code == 5
    expected = [(number, note) for number in (1, 3, 4) for note in ("Half is missing.", "Left was taken.")]
    assert [(note["number"], note["note"]) for note in json.loads(stdout)["notes"]] == expected
    lines = [line for line in stderr.splitlines() if "Note" in line]
    assert lines == [f"File {number}: Note: {note}" for number, note in expected]
    _, _, stderr = anonymize(recordings / "Jones.wav", "-o", tmp_path / "a.wav")
    assert stderr.splitlines() == ["Note: Half is missing.", "Note: Left was taken."]


@pytest.mark.parametrize("copied", [False, True])
def test_target_among_the_recordings_is_noted(copied, anonymize, pipeline, recordings, tmp_path) -> None:
    sf.write(recordings / "ward" / "Smith.wav", voice(220, 1.5), RATE)
    target = recordings / "ward" / ".." / "ward" / "Smith.wav"
    if copied:
        target = shutil.copy(target, tmp_path / "copy.wav")
    _, stdout, stderr = anonymize(recordings, "-o", tmp_path / "out", "--target", target, "--json")
    (note,) = json.loads(stdout)["notes"]
    assert note["number"] == 3 and "--target" in note["note"] and f"File 3: Note: {note['note']}" in stderr


def test_notes_on_the_target_are_printed_once_for_all_files(anonymize, pipeline, recordings, tmp_path) -> None:
    pipeline.target_notes = ("Half is missing.",)
    sf.write(tmp_path / "target.wav", voice(220, 1.5), RATE)
    arguments = (recordings, "-o", tmp_path / "out", "--target", tmp_path / "target.wav", "--json")
    _, stdout, stderr = anonymize(*arguments)
    assert json.loads(stdout)["target_notes"] == ["Half is missing."] and json.loads(stdout)["notes"] == []
    assert stderr == "Note on --target: Half is missing.\n"


def test_pseudonym_of_a_file_does_not_depend_on_the_locale(monkeypatch) -> None:
    seeds = [Item(1, Path(), Path(), "Müller.wav", "").seed(1)]
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("ascii", "surrogateescape"))  # as in the C locale
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "Müller.wav").encode().decode("ascii", "surrogateescape")
        seeds.append(Item(1, Path(), Path(), name, "").seed(1))
    assert len(set(seeds)) == 1


def test_weights_error_ends_the_run(anonymize, pipeline, recordings, tmp_path) -> None:
    pipeline.stop_at, pipeline.stop_with = 2, WeightsError
    assert anonymize(recordings, "-o", tmp_path / "out")[0] == 4
    assert files(tmp_path / "out") == OUTPUTS[:1]


def test_existing_output_is_refused_before_any_conversion(anonymize, pipeline, recordings, tmp_path) -> None:
    out = tmp_path / "out"
    (out / "ward").mkdir(parents=True)
    (out / "ward" / "Smith.wav").write_bytes(b"precious")
    code, _, stderr = anonymize(recordings, "-o", out)
    assert code == 2 and "1 of 4 outputs" in stderr and "--force" in stderr
    assert pipeline.seeds == [] and files(out) == ["ward/Smith.wav"]
    assert (out / "ward" / "Smith.wav").read_bytes() == b"precious"
    assert anonymize(recordings, "-o", out, "--force")[0] == 0
    assert sf.info(out / "ward" / "Smith.wav").frames == 1.5 * RATE


def test_interrupt_leaves_only_complete_files(anonymize, pipeline, recordings, tmp_path) -> None:
    pipeline.stop_at = 3
    assert anonymize(recordings, "-o", tmp_path / "out")[0] == 130
    assert files(tmp_path / "out") == OUTPUTS[:2]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("in", "-o", "in/out"), "lies in IN"),
        (("in", "-o", "in"), "lies in IN"),
        (("in/ward", "-o", "in", "--force"), "replace a recording"),
        (("in", "-o", "in/Jones.wav"), "must be one too"),
        (("in/Jones.wav", "-o", "in/ward"), "must name a file"),
        (("in/Jones.wav", "-o", "in/Jones.wav", "--force"), "replace a recording"),
        (("in/Jones.wav", "-o", "in/ward/Smith.wav", "--target", "in/ward/Smith.wav", "--force"), "replace a --target"),
        (("in/ward/ward", "-o", "in/ward", "--target", "in/ward/Smith.wav", "--force"), "replace a --target"),
        (("in/Jones.wav", "-o", "out.txt"), "suffix"),
        (("in/Jones.wav", "-o", "out"), "suffix"),
        (("in/Jones.wav", "-o", "out.wav", "--format", "mp3"), "suffix"),
        (("in/Jones.wav", "-o", "out.mp3", "--rate", "96000"), "48000"),
        (("in", "-o", "out", "--rate", "44100", "--format", "opus"), "48000"),
        (("in", "-o", "out", "--rate", "12345"), "48000"),
        (("in", "-o", "out", "--ray-address", "10.0.0.1:6379"), "Add --engine ray"),
        (("in", "-o", "a" * 300), "name too long"),
        (("in/Jones.wav", "-o", "a" * 300 + ".wav"), "name too long"),
        (("in/Jones.wav", "-o", "in/Jones.wav/out.wav"), "cannot be made"),
        (("in/Jones.wav", "-o", "/proc/none/out.wav"), "cannot be made"),
        (("in", "-o", "/proc/none/out"), "cannot be made"),
        (("in/.hidden/y", "-o", "out"), "no recordings"),
        (("nowhere.wav", "-o", "out.wav"), "does not exist"),
        (("n" * 300, "-o", "out.wav"), "does not exist"),
        (("in", "-o", "out", "--method", "mcadams", "--target", "in/Jones.wav"), "no target voice"),
        (("in", "-o", "out", "--seed", "1", "--target", "in/Jones.wav"), "no pseudonym is drawn"),
        (("in", "-o", "out", "--subject", "A"), "needs a key"),
        (("in", "-o", "out", "--subject-from", "(.*)"), "needs a key"),
        (("in", "-o", "out", "--study", "A"), "are about a key"),
        (("in", "-o", "out", "--new-voices"), "are about a key"),
        (("in", "-o", "out", "--key-file", "key"), "needs a subject"),
        (("in", "-o", "out", "--key-file", "key", "--subject", ""), "subject is empty"),
        (("in", "-o", "out", "--key-file", "key", "--subject", "A", "--subject-from", "(.*)"), "subject once"),
        (("in", "-o", "out", "--key-file", "key", "--subject", "A", "--seed", "1"), "key decides"),
        (("in", "-o", "out", "--key-file", "key", "--subject", "A", "--target", "in/Jones.wav"), "no pseudonym"),
        (("in", "-o", "out", "--key-file", "key", "--subject", "A", "--method", "mcadams"), "has no key"),
        (("in", "-o", "out", "--key-file", "key", "--subject", "A", "--voice", "same"), "must not depend"),
        (("in", "-o", "out", "--key-file", "key", "--subject", "A", "--voice", "Voice 07"), "key decides"),
        (("in", "-o", "out", "--key-file", "none", "--subject", "A"), "no key file"),
        (("in", "-o", "out", "--key-file", "in/Jones.wav", "--subject", "A"), "cannot be read as a key"),
        (("in", "-o", "out", "--key-file", "key", "--subject-from", "("), "no regular expression"),
        (("in", "-o", "out", "--key-file", "key", "--subject-from", "in"), "needs one group"),
        (("in", "-o", "out", "--key-file", "key", "--subject-from", "none.csv:id"), "cannot be read"),
        (("in", "-o", "out", "--key-file", "key", "--subject-from", "table.csv:who"), 'a column "path"'),
        (("in", "-o", "out", "--key-file", "key", "--subject-from", "table.csv:id"), "Line 3"),
        (("in", "-o", "out", "--key-file", "key", "--subject-from", "^(ward)"), "1 of 6 recordings have no subject"),
        (("in", "-o", "out", "--voice", "lower", "--target", "in/Jones.wav"), "names the voice"),
        (("in", "-o", "out", "--voice", "lower", "--method", "mcadams"), "no voices"),
        (("in", "-o", "out", "--profile", "strict", "--method", "mcadams"), "no profiles"),
        (("in", "-o", "out", "--weights", "none", "--method", "mcadams"), "has no weights"),
        (("in", "-o", "out", "--voice", "Voice 07", "--seed", "1"), "is one voice"),
        (("in", "-o", "out", "--voice", "Anna"), "no such voice"),
        (("in/Jones.wav", "-o", "out.wav", "--workers", "2"), "about a folder"),
        (("in/Jones.wav", "-o", "out.wav", "--resume"), "about a folder"),
        (("in/Jones.wav", "-o", "out.wav", "--rename", "m.csv"), "about a folder"),
        (("in", "-o", "out", "--resume"), "no journal"),
        (("in", "-o", "out", "--resume", "--force"), "Leave one of them out"),
        (("in", "-o", "out", "--rename", "out/m.csv"), "keep it apart"),
        (("in", "-o", "out", "--rename", "m.txt"), "ends in .csv"),
        (("in", "-o", "out", "--rate", "fast"), "--rate"),
        (("in", "-o", "out", "--workers", "0"), "--workers"),
        (("dataset", "-o", "out"), "--key-file KEY, or --rename"),
        (("dataset", "-o", "out", "--key-file", "key", "--subject", "A"), "say who speaks"),
        (("in", "-o", "out", "--report", "r.json"), "a folder has --reports"),
        (("in/Jones.wav", "-o", "out.wav", "--reports", "out"), "has one --report"),
        (("in/Jones.wav", "-o", "out.wav", "--report", "r.wav"), "ends in .json"),
        (("in/Jones.wav", "-o", "out.wav", "--report", "/proc/none/r.json"), "cannot be made"),
        (("in/Jones.wav", "-o", "out.wav", "--report", "r.json", "--method", "mcadams"), "has no report"),
        (("in/Jones.wav", "-o", "out.wav", "--asr", "none"), "for a report"),
    ],
)
def test_unsuitable_arguments_exit_with_2(
    anonymize, pipeline, recordings, tmp_path, monkeypatch, arguments, reason
) -> None:
    monkeypatch.chdir(tmp_path)
    (recordings / ".hidden" / "y").mkdir()
    (recordings / "ward" / "ward").mkdir()
    shutil.copy(recordings / "Jones.wav", recordings / "ward" / "ward" / "Smith.wav")
    shutil.copy(recordings / "ward" / "Smith.wav", recordings / "ward" / "Jones.wav")
    (tmp_path / "dataset" / "sub-01").mkdir(parents=True)
    (tmp_path / "dataset" / "sub-01" / "sub-01_audio.wav").touch()
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "table.csv").write_text("path,id\nJones.wav,A\nJones.wav,B\n")
    before = files(tmp_path)
    code, _, stderr = anonymize(*arguments)
    assert code == 2 and reason in stderr
    assert files(tmp_path) == before and not (tmp_path / "out").exists()
    assert pipeline.seeds == [] and "Traceback" not in stderr


def test_folder_that_cannot_be_listed_is_a_usage_error(anonymize, pipeline, recordings, tmp_path, monkeypatch) -> None:
    listing = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("ward"):
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    code, _, stderr = anonymize(recordings, "-o", tmp_path / "out")
    assert code == 2 and "Permission denied" in stderr and not (tmp_path / "out").exists()


def test_target_voice_is_measured_once_for_all_recordings(anonymize, pipeline, recordings, tmp_path) -> None:
    target = recordings / "Jones.wav"
    code, stdout, _ = anonymize(
        recordings / "ward", "-o", tmp_path / "out", "--target", target, "--target", target, "--json"
    )
    assert code == 0 and pipeline.targets == [(target, target)] * 3 and json.loads(stdout)["seed"] is None
    assert pipeline.voices_measured == 1


def test_mcadams_loads_no_model(anonymize, monkeypatch, recordings, tmp_path) -> None:
    monkeypatch.setattr("saic.pipeline.Pipeline", None)
    seeds = []
    change = mcadams.anonymize
    monkeypatch.setattr(mcadams, "anonymize", lambda wav, *, seed: seeds.append(seed) or change(wav, seed=seed))
    out = tmp_path / "out.wav"
    code, stdout, _ = anonymize(recordings / "Jones.wav", "-o", out, "--method", "mcadams", "--seed", 3)
    assert code == 0 and "1 of 1" in stdout
    source = audio.load(recordings / "Jones.wav")
    wanted = normalize_loudness(change(source, seed=seeds[0]))
    assert np.abs(audio.load(out) - wanted).max() < 2 / 32768
    assert np.abs(audio.load(out) - source).max() > 0.05


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    return tmp_path / "key"


SUBJECTS = [("Jones", "Jones"), ("Miller", "Miller"), ("Smith", "Smith"), ("Doe", "Doe")]


@pytest.mark.parametrize("pattern", [r"([^/]+)\.", r"(ward/)?(b/)?(?P<subject>\w+)\.", "table"])
def test_subject_of_each_recording_is_found_in_its_path_or_in_a_table(
    anonymize, pipeline, recordings, key, tmp_path, pattern
) -> None:
    if pattern == "table":
        rows = [("x/Other.wav", "x"), ("Jones.wav", "Jones"), ("ward/Miller.FLAC", "Miller")]
        rows += [("ward/Smith.wav", "Smith"), ("./ward/b/Doe.ogg", "Doe")]
        text = "".join(f"{path},{subject}\n" for path, subject in [("path", "id"), *rows])
        (tmp_path / "t.CSV").write_text(text, encoding="utf-8-sig")
        pattern = f"{tmp_path}/t.CSV:id"
    arguments = ("--key-file", key, "--subject-from", pattern, "--study", "gait", "--voice", "lower", "--json")
    code, stdout, stderr = anonymize(recordings, "-o", tmp_path / "out", *arguments)
    assert code == 0 and pipeline.voices == SUBJECTS and files(tmp_path / "out") == OUTPUTS
    assert sorted(pipeline.subjects) == sorted((name, "gait", "lower") for name, _ in SUBJECTS)
    assert json.loads(stdout)["seed"] is None
    for secret in ("ab" * 32, "Jones", "gait"):
        assert secret not in stdout + stderr


def test_one_subject_has_one_voice_drawn_once(anonymize, pipeline, recordings, key, tmp_path) -> None:
    code, *_ = anonymize(recordings, "-o", tmp_path / "out", "--key-file", key, "--subject", "P1")
    assert code == 0 and pipeline.subjects == [("P1", "", "any")]
    assert [voice for _, voice in pipeline.voices] == ["P1"] * 4


def test_recordings_without_subject_are_told_by_number_before_any_work(
    anonymize, pipeline, recordings, key, tmp_path
) -> None:
    code, _, stderr = anonymize(
        recordings, "-o", tmp_path / "out", "--key-file", key, "--subject-from", r"(Miller|Doe|)\."
    )
    assert code == 2 and "2 of 4 recordings have no subject" in stderr and "number 1, 3," in stderr
    assert pipeline.seeds == [] and pipeline.subjects == [] and not (tmp_path / "out").exists()
    assert "Jones" not in stderr and "Smith" not in stderr


def test_voice_that_is_near_the_speaker_is_noted_and_not_drawn_again(
    anonymize, pipeline, recordings, key, tmp_path
) -> None:
    pipeline.similarity = 0.8
    arguments = ("--key-file", key, "--subject", "P1", "--json")
    _, stdout, _ = anonymize(recordings / "Jones.wav", "-o", tmp_path / "a.wav", *arguments)
    (note,) = json.loads(stdout)["notes"]
    assert "near the speaker's own" in note["note"] and "0.80" in note["note"] and "0.75" in note["note"]
    assert len(pipeline.subjects) == 1


def test_pseudonym_of_a_seed_that_is_near_the_speaker_is_noted(anonymize, pipeline, recordings, tmp_path) -> None:
    pipeline.similarity = 0.8
    _, stdout, _ = anonymize(recordings / "Jones.wav", "-o", tmp_path / "a.wav", "--seed", 1, "--json")
    (note,) = json.loads(stdout)["notes"]
    assert "another voice or seed" in note["note"]


@pytest.mark.parametrize("choice", [(), ("--voice", "Voice 07"), ("--target", "in/Jones.wav")])
def test_profile_goes_to_every_recording(anonymize, pipeline, recordings, tmp_path, monkeypatch, choice) -> None:
    monkeypatch.chdir(recordings.parent)
    for given, used in ((("--profile", "strict"), "strict"), ((), "balanced")):
        out = tmp_path / used
        code, stdout, _ = anonymize(recordings, "-o", out, *choice, *given, "--json")
        assert code == 0 and json.loads(stdout)["profile"] == used
    assert pipeline.profiles == ["strict"] * 4 + [None] * 4


@pytest.mark.parametrize("register", ["lower", "higher", "same", "any"])
def test_register_goes_to_every_pseudonym(anonymize, pipeline, recordings, tmp_path, register) -> None:
    assert anonymize(recordings, "-o", tmp_path / "out", "--voice", register, "--seed", 1)[0] == 0
    assert pipeline.registers == [register] * 4 and len(set(pipeline.seeds)) == 4


def test_voice_by_name_is_given_to_every_recording(anonymize, pipeline, recordings, tmp_path) -> None:
    code, stdout, _ = anonymize(recordings, "-o", tmp_path / "out", "--voice", "Voice 07", "--json")
    assert code == 0 and [voice for _, voice in pipeline.voices] == ["Voice 07"] * 4
    assert json.loads(stdout)["seed"] is None


def test_folder_has_a_report_of_each_file_that_is_not_replaced_without_force(
    anonymize, pipeline, recordings, tmp_path, monkeypatch
) -> None:
    made = []

    class Reporter:
        def __init__(self, given, asr) -> None:
            assert given is pipeline

        def report(self, original, conversion, output, settings):
            made.append((len(original), output.read(4) == b"RIFF", vars(settings)))
            return {"seconds": len(conversion.wav)}

    monkeypatch.setattr("saic.file_report.FileReporter", Reporter)
    reports = tmp_path / "reports"
    arguments = ("--reports", reports, "--voice", "same", "--json")
    assert anonymize(recordings, "-o", tmp_path / "out", *arguments)[0] == 0
    assert files(reports) == [f"{name}.json" for name in OUTPUTS]
    settings = {"voice": "random", "register": "same", "rate_hz": RATE}
    assert [call[1:] for call in made] == [(True, settings)] * 4
    code, _, stderr = anonymize(recordings, "-o", tmp_path / "again", *arguments)
    assert code == 2 and "A report exists" in stderr and not (tmp_path / "again").exists()


def test_report_counts_words_if_whisper_is_downloaded_and_those_of_a_folder_only_with_asr(
    anonymize, pipeline, recordings, tmp_path, monkeypatch
) -> None:
    used = []

    def reporter(_, asr):
        used.append(asr)
        return SimpleNamespace(report=lambda *_: {})

    class Whisper(str):
        @classmethod
        def downloaded(cls) -> str:
            return "downloaded"

    monkeypatch.setattr("saic.file_report.FileReporter", reporter)
    monkeypatch.setattr("saic.evaluation.evaluators.whisper.WhisperASR", Whisper)
    one = recordings / "Jones.wav", "-o", tmp_path / "out.wav", "--report", tmp_path / "report.json", "--force"
    folder = recordings, "-o", tmp_path / "out", "--reports", tmp_path / "reports", "--force"
    for arguments in (one, folder):
        for asr in ((), ("--asr", "none"), ("--asr", "other")):
            assert anonymize(*arguments, *asr)[0] == 0
    assert used == ["downloaded", None, "other", None, None, "other"]


def test_key_file_that_others_can_read_is_noted(anonymize, pipeline, recordings, key, tmp_path) -> None:
    notes = []
    for mode in (0o600, 0o644):
        key.chmod(mode)
        _, _, stderr = anonymize(
            recordings / "Jones.wav", "-o", tmp_path / f"{mode}.wav", "--key-file", key, "--subject", "A"
        )
        notes.append(stderr)
    assert notes[0] == "" and "chmod 600" in notes[1]


SECRET = "Jones, 4 May 1961"


def tagged(path: Path) -> None:
    """Write a recording whose file says who speaks: in tags, a picture, and what broadcast WAV adds."""
    wav = voice(120, 1.5)
    if path.suffix == ".wav":
        sf.write(path, wav, RATE)
        info = b"INFOINAM" + len(SECRET).to_bytes(4, "little") + SECRET.encode() + bytes(len(SECRET) % 2)
        bext = SECRET.encode().ljust(602, b"\0")
        data = path.read_bytes()
        for name, chunk in ((b"LIST", info), (b"bext", bext)):
            data += name + len(chunk).to_bytes(4, "little") + chunk
        path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
        return
    codec = {".mp3": "libmp3lame", ".flac": "flac", ".opus": "libopus", ".m4a": "aac"}[path.suffix]
    with av.open(str(path), "w", format="ipod" if path.suffix == ".m4a" else None) as file:
        file.metadata.update(dict.fromkeys(("title", "artist", "comment", "date"), SECRET))
        stream = file.add_stream(codec, rate=48_000, layout="mono")
        samples = np.repeat(wav, 3)[None]
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 48_000
        for packet in (
            *stream.encode(av.AudioResampler(stream.format, "mono", 48_000).resample(frame)[0]),
            *stream.encode(None),
        ):
            file.mux(packet)
    if path.suffix == ".mp3":
        picture = b"\0image/png\0\3" + SECRET.encode() + b"\0\x89PNG\r\n"
        frame = b"APIC" + len(picture).to_bytes(4) + b"\0\0" + picture
        path.write_bytes(b"ID3\3\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame + path.read_bytes())


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "opus"])
def test_no_tag_picture_or_time_of_a_recording_is_in_its_output(anonymize, pipeline, tmp_path, format) -> None:
    (tmp_path / "in").mkdir()
    for suffix in (".wav", ".mp3", ".flac", ".opus", ".m4a"):
        path = tmp_path / "in" / f"{suffix[1:]}{suffix}"
        tagged(path)
        assert SECRET.encode() in path.read_bytes()
        os.utime(path, (1e9, 1e9))
    began = time.time()
    assert anonymize(tmp_path / "in", "-o", tmp_path / "out", "--format", format)[0] == 0
    for path in [path for path in (tmp_path / "out").iterdir() if path.suffix == f".{format}"]:
        assert b"Jones" not in path.read_bytes() and path.stat().st_mtime >= began - 1
        with av.open(str(path)) as file:
            assert len(file.streams) == 1 and not file.metadata and not file.streams[0].metadata
    assert len(files(tmp_path / "out")) == 5


def test_rate_source_gives_each_output_the_rate_of_its_recording(anonymize, pipeline, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for rate_hz in (8_000, 44_100, 48_000):
        wav = soxr.resample(voice(120, 1.5), RATE, rate_hz)
        sf.write(tmp_path / "in" / f"{rate_hz}.wav", wav, rate_hz)
    for format, expected in (("flac", [8_000, 44_100, 48_000]), ("opus", [8_000, 48_000, 48_000])):
        out = tmp_path / format
        code, stdout, _ = anonymize(tmp_path / "in", "-o", out, "--format", format, "--rate", "source", "--json")
        assert code == 0 and json.loads(stdout)["rate_hz"] is None
        rates = [sf.info(out / f"{rate_hz}.{format}").samplerate for rate_hz in (8_000, 44_100, 48_000)]
        assert rates == expected
    single = tmp_path / "one.wav"
    assert anonymize(tmp_path / "in" / "44100.wav", "-o", single, "--rate", "source")[0] == 0
    assert sf.info(single).samplerate == 44_100
    sf.write(tmp_path / "long.flac", np.zeros(11 * 60 * 8_000), 8_000)  # longer than a target may be
    assert source_rate(tmp_path / "long.flac") == 8_000


def test_recording_that_changes_while_it_is_converted_is_converted_again_by_resume(
    anonymize, pipeline, recordings, tmp_path, monkeypatch
) -> None:
    convert = pipeline.anonymize_spooled

    def convert_while_it_is_replaced(clip, **options):
        made = convert(clip, **options)
        if Path(clip).stem == "Jones" and len(pipeline.seeds) <= 4:
            sf.write(clip, voice(200, 1.0), RATE)
        return made

    monkeypatch.setattr(pipeline, "anonymize_spooled", convert_while_it_is_replaced)
    assert anonymize(recordings, "-o", tmp_path / "out", "--seed", 1)[0] == 0
    _, stdout, _ = anonymize(recordings, "-o", tmp_path / "out", "--seed", 1, "--resume", "--json")
    assert json.loads(stdout)["written"] == 1 and pipeline.voices[-1][0] == "Jones"


def test_resume_goes_on_after_a_full_disk_and_json_counts_what_was_done(
    anonymize, pipeline, recordings, tmp_path, monkeypatch
) -> None:
    damage_one(recordings)
    with monkeypatch.context() as patch:
        fsync, n_writes = os.fsync, []

        def full(descriptor: int) -> None:
            n_writes.append(descriptor)
            if len(n_writes) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        patch.setattr(os, "fsync", full)
        code, _, stderr = anonymize(recordings, "-o", tmp_path / "out")
    assert code == 2 and "--resume" in stderr
    code, _, stderr = anonymize(recordings, "-o", tmp_path / "out")
    assert code == 2 and "--resume to go on" in stderr
    code, stdout, _ = anonymize(recordings, "-o", tmp_path / "out", "--resume", "--json")
    facts = json.loads(stdout)
    assert code == 5 and (facts["written"], facts["done_before"], facts["left"]) == (2, 1, 0)
    assert [failure["number"] for failure in facts["failed"]] == [2]
    assert facts["journal"] == str(tmp_path / "out" / journal.NAME) and facts["mapping"] is None
    assert facts["workers"] is None and facts["left_out"] == []
    text = anonymize(recordings, "-o", tmp_path / "out", "--resume")[1]
    assert text.startswith("Wrote 0 of 4 recordings, 0.0 s, to") and "3 were done before" in text


def test_neutral_names_and_mapping_by_the_command(anonymize, pipeline, recordings, tmp_path) -> None:
    mapping = tmp_path / "mapping.csv"
    arguments = (recordings, "-o", tmp_path / "out", "--rename", mapping, "--json", "--reports", tmp_path / "reports")
    monkey = pytest.MonkeyPatch()
    monkey.setattr("saic.file_report.FileReporter", lambda *_: SimpleNamespace(report=lambda *_: {}))
    code, stdout, stderr = anonymize(*arguments)
    monkey.undo()
    facts = json.loads(stdout)
    assert code == 0 and facts["mapping"] == str(mapping) and facts["journal"] == str(mapping) + ".journal"
    outputs = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(outputs) == 4 and {line.split(",")[1] for line in mapping.read_text().splitlines()[1:]} == outputs
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {f"{name}.json" for name in outputs}
    assert "Jones" not in stdout + stderr


@pytest.mark.proof
def test_workers_of_the_command_convert_with_the_method_mcadams(anonymize, recordings, tmp_path) -> None:
    damage_one(recordings)
    arguments = ("--method", "mcadams", "--seed", 3)
    code, stdout, stderr = anonymize(recordings, "-o", tmp_path / "two", "--workers", 2, "--json", *arguments)
    assert code == 5 and json.loads(stdout)["workers"] == 2 and "File 2: " in stderr
    assert anonymize(recordings, "-o", tmp_path / "here", *arguments)[0] == 5
    assert files(tmp_path / "two") == files(tmp_path / "here") == [name for name in OUTPUTS if "Miller" not in name]
    for name in files(tmp_path / "two"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


@pytest.mark.proof
def test_real_weights_with_workers_survive_a_kill(tmp_path: Path) -> None:
    examples = sorted((Path(__file__).parents[1] / "assets" / "examples").glob("*.flac"))[:3]
    (tmp_path / "in").mkdir()
    for path in examples:
        wav, rate_hz = sf.read(path)
        sf.write(tmp_path / "in" / f"{path.stem}.wav", wav[: 2 * rate_hz], rate_hz)
    out = tmp_path / "out"
    options = [str(tmp_path / "in"), "-o", str(out), "--workers", "1", "--seed", "1", "--json"]
    command = [sys.executable, "-m", "saic", "anonymize", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob("*.wav")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = len(list(out.glob("*.wav")))
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    facts = json.loads(resumed.stdout)
    assert facts["written"] + facts["done_before"] == 3 and facts["done_before"] == done >= 1
    for path in examples:
        assert sf.info(out / f"{path.stem}.wav").frames == 2 * RATE
