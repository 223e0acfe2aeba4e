"""Reading and writing manifests, and reading folders of clips."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from saic.data import corpora, manifest
from saic.errors import DataError

ROW = {
    "path": "a/1.wav",
    "utterance": "a-1",
    "speaker": "a",
    "sex": "F",
    "duration_s": 1.5,
    "text": None,
    "split": "test",
}


def _wav(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(16_000 * seconds)), 16_000)


def _manifest(folder: Path, *rows: dict | str) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_written_manifest_is_read_back(tmp_path):
    for name in ("1", "2"):
        _wav(tmp_path / "audio" / f"{name}.wav")
    clips = [
        manifest.Clip(tmp_path / "audio/1.wav", "1", "å", "F", 0.5, "HELLO ÅSA", "train"),
        manifest.Clip(tmp_path / "audio/2.wav", "2", "b", None, 0.5, None, "test"),
    ]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    assert manifest.read(tmp_path / "manifest.jsonl") == clips
    assert manifest.read(tmp_path) == clips
    assert manifest.read(tmp_path, ["test"]) == clips[1:]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["manifest.jsonl"]


def test_paths_are_relative_to_the_manifest_also_outside_its_folder(tmp_path):
    _wav(tmp_path / "corpus/1.wav")
    (tmp_path / "run").mkdir()
    clip = manifest.Clip(tmp_path / "corpus/1.wav", "1", "a", "M", 0.5, None, "train")
    manifest.write(tmp_path / "run/manifest.jsonl", [clip])
    assert json.loads((tmp_path / "run/manifest.jsonl").read_text())["path"] == "../corpus/1.wav"
    (tmp_path / "run").rename(tmp_path / "moved")
    assert manifest.read(tmp_path / "moved")[0].path.samefile(clip.path)


@pytest.mark.parametrize(
    ("second_line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        (f'{{"duration_s": 1{"0" * 5_000}}}', "line 2: not JSON"),
        ("[]", "line 2: not a JSON object"),
        (
            {key: value for key, value in ROW.items() if key not in ("sex", "text")},
            "line 2: missing sex, text",
        ),
        (ROW, "line 2: the utterance is already on line 1"),
        (ROW | {"utterance": "b", "duration_s": 0}, "line 2: duration_s"),
        (ROW | {"utterance": "b", "duration_s": True}, "line 2: duration_s"),
        (ROW | {"utterance": "b", "duration_s": 10**400}, "line 2: duration_s"),
        (ROW | {"utterance": "b", "duration_s": float("nan")}, "line 2: duration_s"),
        (ROW | {"utterance": "b", "sex": "f"}, "line 2: sex"),
        (ROW | {"utterance": "b", "speaker": 12}, "line 2: speaker"),
        (ROW | {"utterance": "b", "text": 1}, "line 2: text"),
        (ROW | {"utterance": "b", "path": "a/secret.wav"}, "line 2: the audio file does not exist"),
        (ROW | {"utterance": "b", "path": "a" * 5_000}, "line 2: the audio file does not exist"),
    ],
)
def test_invalid_line_is_reported_by_number_without_file_name(tmp_path, second_line, message):
    _wav(tmp_path / "a/1.wav")
    with pytest.raises(DataError, match=message) as caught:
        manifest.read(_manifest(tmp_path, ROW, second_line))
    assert "secret" not in str(caught.value)


def test_path_on_another_drive_is_absolute(tmp_path, monkeypatch):
    def other_drive(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("os.path.relpath", other_drive)
    clip = manifest.Clip(tmp_path / "a.wav", "u", "s", None, 1.0, None, "train")
    (line,) = manifest.to_lines([clip], tmp_path / "elsewhere").splitlines()
    assert json.loads(line)["path"] == (tmp_path / "a.wav").as_posix()


def test_blank_lines_and_extra_keys_are_ignored(tmp_path):
    _wav(tmp_path / "a/1.wav")
    assert len(manifest.read(_manifest(tmp_path, "", ROW | {"note": "x"}, ""))) == 1


def test_missing_split_lists_the_existing_ones(tmp_path):
    _wav(tmp_path / "a/1.wav")
    with pytest.raises(DataError, match="has these splits: test"):
        manifest.read(_manifest(tmp_path, ROW), ["dev"])


def test_folder_of_speakers_is_read_without_a_manifest(tmp_path):
    _wav(tmp_path / "id2/video/00001.wav", 0.75)
    _wav(tmp_path / "id1/00001.flac", 0.5)
    (tmp_path / "id1/notes.txt").write_text("not audio")
    clips = manifest.read(tmp_path)
    assert [(clip.utterance, clip.speaker, clip.duration_s) for clip in clips] == [
        ("id1/00001", "id1", 0.5),
        ("id2/video/00001", "id2", 0.75),
    ]
    assert {(clip.sex, clip.text, clip.split) for clip in clips} == {(None, None, "test")}


def test_fingerprint_of_a_folder_without_a_manifest_is_that_of_its_clips(tmp_path):
    _wav(tmp_path / "id1/00001.wav", 0.5)
    one = manifest.fingerprint(tmp_path, manifest.read(tmp_path))
    assert one == manifest.fingerprint(tmp_path, manifest.read(tmp_path))
    _wav(tmp_path / "id1/00002.wav", 0.5)
    assert manifest.fingerprint(tmp_path, manifest.read(tmp_path)) != one


def test_manifest_with_a_byte_order_mark_is_read(tmp_path):
    _wav(tmp_path / "a/1.wav")
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROW).encode() + b"\r\n")
    assert [clip.utterance for clip in manifest.read(path)] == ["a-1"]


def test_folder_with_one_clip_in_two_formats_raises_data_error(tmp_path):
    _wav(tmp_path / "a/1.wav")
    _wav(tmp_path / "a/1.flac")
    with pytest.raises(DataError, match="only in its format"):
        manifest.read(tmp_path)


def test_folder_lists_every_format_that_the_decoder_takes(tmp_path):
    for name in ("1.wav", "2.AIFF", "3.caf", "4.oga"):
        path = tmp_path / "a" / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.zeros(16_000), 16_000, format="OGG" if name.endswith("oga") else None)
    assert [clip.utterance for clip in manifest.read(tmp_path)] == ["a/1", "a/2", "a/3", "a/4"]


@pytest.mark.parametrize("read", [manifest.read, corpora.read])
def test_folder_that_cannot_be_read_raises_data_error(read, tmp_path, monkeypatch):
    """As root can read every folder, a patch stands for the missing right."""

    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="Permission denied") as refused:
        read(tmp_path)
    assert str(tmp_path) not in str(refused.value)


def test_missing_path_raises_data_error(tmp_path):
    with pytest.raises(DataError, match="no manifest or folder"):
        manifest.read(tmp_path / "absent")
