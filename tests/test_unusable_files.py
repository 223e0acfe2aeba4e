"""Empty, hidden, broken and text files in a corpus folder are left out and counted by reason."""

import contextlib
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from saic.data import corpora, manifest
from saic.data.left_out import LeftOut
from saic.errors import DataError, UsageError
from saic.evaluation import paper
from saic.evaluation.data.evaluation_set import PartitionedSet
from saic.evaluation.data.paper_set import PaperSet
from saic.evaluation.evaluators.evaluators import Evaluators
from saic.evaluation.run import evaluate
from tests.conftest import RATE, voice
from train import prepare

pytestmark = pytest.mark.usefixtures("quick_reports")
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(4096)


def flac_with_a_broken_body(path: Path, seconds: float = 2.0) -> None:
    """A FLAC file whose header is right and whose frames are noise."""
    sf.write(path, voice(150, seconds), RATE)
    data = path.read_bytes()
    noise = np.random.default_rng(0).bytes(len(data) - 120)
    path.write_bytes(data[:120] + noise)


def add_unusable(folder: Path) -> dict[str, list[str]]:
    """Add files that cannot be used to a speaker's folder; returns their names by reason."""
    (folder / "zero.wav").write_bytes(b"")
    sf.write(folder / "header.wav", np.zeros(0), RATE)
    (folder / "._clip.wav").write_bytes(APPLE_DOUBLE)
    (folder / "text.mp3").write_text("Transcript: grüß Gott\n" * 40, encoding="utf-8")
    (folder / "noise.flac").write_bytes(b"fLaC" + np.random.default_rng(0).bytes(3000))
    return {
        "broken": ["noise.flac"],
        "empty": ["header.wav", "zero.wav"],
        "hidden": ["._clip.wav"],
        "not audio": ["text.mp3"],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three speakers with a clip of 14 s each."""
    root = tmp_path / "corpus"
    for k in range(3):
        (root / f"s{k}").mkdir(parents=True)
        sf.write(root / f"s{k}" / "good.wav", voice(100 + 50 * k, 14.0, seed=k, formant_hz=500 + 200 * k), RATE)
    return root


def test_folder_of_speakers_leaves_out_unusable_files_and_counts_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = add_unusable(folder / "s1")
    (folder / "s1" / "notes.txt").write_text("not audio")
    (folder / "s1" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "s1" / "folder.wav").mkdir()
    (folder / "outside.wav").write_bytes((folder / "s0" / "good.wav").read_bytes())
    left_out = LeftOut()
    clips = manifest.read(folder, left_out=left_out)
    assert [clip.utterance for clip in clips] == ["s0/good", "s1/good", "s2/good"]
    names["not audio"].insert(0, "notes.txt")
    expected = {reason: [f"s1/{name}" for name in of_reason] for reason, of_reason in names.items()}
    assert left_out == expected | {"outside a speaker's folder": ["outside.wav"]}
    text = "Left out 7 files: 1 broken, 2 empty, 1 hidden, 2 not audio, 1 outside a speaker's folder"
    assert str(left_out) == text and "zero" not in text
    with caplog.at_level(logging.WARNING):  # without a list to fill, the counts are logged, without names
        manifest.read(folder)
    assert [record.getMessage() for record in caplog.records] == [text]


def test_file_that_may_not_be_read_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise UsageError("The recording cannot be read: Permission denied.")

    (folder / "s1" / "locked.m4a").write_bytes(b"\0" * 100)
    monkeypatch.setattr(manifest.audio, "load", refused)  # root may read everything
    left_out = LeftOut()
    assert len(manifest.read(folder, left_out=left_out)) == 3
    assert left_out == {"not readable": ["s1/locked.m4a"]}


def test_hidden_folders_and_left_out_duplicates_do_not_matter(folder: Path) -> None:
    (folder / "s0" / "good.flac").write_bytes(b"")  # the same clip in another format, but empty
    trash = folder / ".Trash" / "s9"
    trash.mkdir(parents=True)
    (trash / "old.wav").write_bytes((folder / "s0" / "good.wav").read_bytes())
    left_out = LeftOut()
    assert len(manifest.read(folder, left_out=left_out)) == 3
    assert left_out == {"empty": ["s0/good.flac"], "hidden": [".Trash/s9/old.wav"]}


def test_flat_folder_raises_data_error_that_explains_the_layout(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for k in range(3):
        sf.write(tmp_path / "flat" / f"{k}.wav", voice(150, 1.5), RATE)
    for read in (manifest.read, corpora.read):
        with pytest.raises(DataError, match=r"lie in the folder itself.*one folder per speaker"):
            read(tmp_path / "flat")


def test_folder_with_no_usable_clip_raises_data_error_with_the_counts(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    add_unusable(tmp_path / "s")
    with pytest.raises(DataError, match=r"Left out 5 files: 1 broken, 2 empty") as caught:
        manifest.read(tmp_path)
    assert "zero" not in str(caught.value)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="one folder per speaker"):
        manifest.read(tmp_path / "none")


def test_librispeech_and_voxceleb_leave_out_unusable_files(tmp_path: Path) -> None:
    chapter = tmp_path / "libri" / "dev-clean" / "19" / "198"
    chapter.mkdir(parents=True)
    sf.write(chapter / "19-198-0000.flac", voice(150, 1.5), RATE)
    (chapter / "19-198.trans.txt").write_bytes(b"\xef\xbb\xbf19-198-0000 WORDS\n")
    (chapter / "._19-198.trans.txt").write_bytes(APPLE_DOUBLE + b"\xff")
    names = add_unusable(chapter)
    left_out = LeftOut()
    listing = corpora.read(tmp_path / "libri", left_out=left_out)
    assert [(clip.utterance, clip.text) for clip in listing.clips] == [("19-198-0000", "WORDS")]
    assert left_out == {reason: [f"dev-clean/19/198/{n}" for n in of_reason] for reason, of_reason in names.items()}

    video = tmp_path / "vox" / "wav" / "id10001" / "abc"
    video.mkdir(parents=True)
    sf.write(video / "00001.wav", voice(150, 1.5), RATE)
    (video / "00002.wav").write_bytes(b"")
    (video / "._00003.wav").write_bytes(APPLE_DOUBLE)
    (tmp_path / "vox" / "vox1_meta.csv").write_text("VoxCeleb1 ID\ta\tb\tc\tSet\nid10001\tN\tm\tUK\tdev\n")
    left_out = LeftOut()
    assert [clip.utterance for clip in corpora.read(tmp_path / "vox", left_out=left_out).clips] == ["id10001/abc/00001"]
    assert left_out == {"empty": ["wav/id10001/abc/00002.wav"], "hidden": ["wav/id10001/abc/._00003.wav"]}


def test_prepare_leaves_out_unusable_files_and_prints_them_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_unusable(folder / "s1")
    flac_with_a_broken_body(folder / "s2" / "body.flac")
    sf.write(folder / "s0" / "silent.wav", np.zeros(2 * RATE), RATE)
    prepare.main(folder, tmp_path / "manifest.jsonl")
    out = capsys.readouterr().out
    assert "Left out 7 files: 2 broken, 2 empty, 1 hidden, 1 not audio, 1 without speech" in out
    for name in ("s1/zero.wav", "s1/header.wav", "s1/._clip.wav", "s1/text.mp3", "s2/body.flac", "s0/silent.wav"):
        assert name in out
    assert len(manifest.read(tmp_path / "manifest.jsonl")) == 3


def test_names_that_are_not_utf_8_survive_a_manifest(folder: Path, tmp_path: Path) -> None:
    try:
        (folder / "s0" / "good.wav").rename(folder / "s0" / "g\udcf6d.wav")
    except (OSError, UnicodeError):
        pytest.skip("the file system has UTF-8 names only")
    clips = manifest.read(folder)
    manifest.write(folder / "manifest.jsonl", clips)
    assert manifest.read(folder / "manifest.jsonl") == clips


def test_evaluation_of_a_folder_leaves_out_unusable_files(folder: Path, tmp_path: Path, caplog, monkeypatch) -> None:
    from tests.test_evaluation import SpectrumEmbedder, TilingPipeline, replace_codec

    replace_codec(monkeypatch)
    add_unusable(folder / "s1")
    flac_with_a_broken_body(folder / "s2" / "body.flac", 10.0)
    with contextlib.suppress(OSError, UnicodeError):  # the file system has UTF-8 names only
        (folder / "s0").rename(folder / "caf\udce9")
        folder = folder.rename(folder.with_name("\udcf6"))
    with caplog.at_level(logging.WARNING):
        report = evaluate(
            [folder],
            "test",
            tmp_path / "out",
            pipeline=TilingPipeline(),
            evaluators=Evaluators([SpectrumEmbedder()]),
            quick=True,
        )
    ((name, of_corpus),) = json.loads((tmp_path / "out" / "report.json").read_text())["corpora"].items()
    assert of_corpus == report["corpora"][name] and of_corpus["data"]["gallery_speakers"] == 3
    assert name in ("\\xf6", folder.name)
    assert "Left out 6 files: 2 broken, 2 empty, 1 hidden, 1 not audio" in caplog.text
    assert "s2/body.flac" in caplog.text and "s1/zero.wav" in caplog.text


def test_evaluation_takes_other_clips_of_a_speaker_for_broken_ones(tmp_path: Path) -> None:
    clips = []
    for k in range(2):
        for i in range(8):
            path = tmp_path / f"{k}-{i}.flac"
            if i % 2:
                flac_with_a_broken_body(path, 12.0)
            else:
                sf.write(path, voice(100 + 80 * k, 12.0, seed=i), RATE)
            clips.append(manifest.Clip(path, path.stem, str(k), None, 12.0, None, "test"))
    dataset = PartitionedSet(clips, seed=0, quick=False, progress=lambda *step: None)
    assert sorted(dataset.parts) == ["0", "1"] and dataset.left_out == {"short": 0, "silent": 0}
    assert set(dataset.unusable) == {"broken"} and dataset.unusable["broken"]


def test_paper_protocol_takes_other_recordings_for_broken_ones(tmp_path: Path, caplog) -> None:
    from tests.test_evaluation import SpectrumEmbedder, TilingPipeline

    clips = []
    for k in range(3):
        for i, split in enumerate(["train"] * 5 + ["test"] * 2):
            path = tmp_path / f"{k}-{split}-{i}.flac"
            if (k == 1 and i in (0, 1, 5)) or (k == 2 and split == "test"):
                flac_with_a_broken_body(path, 6.0)
            else:
                sf.write(path, voice(100 + 80 * k, 6.0, seed=i, formant_hz=500 + 400 * k), RATE)
            clips.append(manifest.Clip(path, path.stem, str(k), None, 20.0, None, split))  # three are chosen first
    manifest.write(tmp_path / "manifest.jsonl", clips)
    dataset = PaperSet(clips, seed=0, progress=lambda *step: None)
    assert sorted(dataset.parts) == ["0", "1"] and dataset.left_out == {"one_split": 0, "silent": 1}
    assert all(len(dataset.wav(parts.enrollment)) == 15 * RATE for parts in dataset.parts.values())
    assert {"1-test-5", "2-test-5", "2-test-6"} < set(dataset.unusable["broken"])
    with caplog.at_level(logging.WARNING):
        report = paper.evaluate(
            [tmp_path / "manifest.jsonl"], tmp_path / "out", pipeline=TilingPipeline(), embedder=SpectrumEmbedder()
        )
    (of_corpus,) = report["corpora"].values()
    assert of_corpus["data"]["gallery_speakers"] == 2
    assert re.search(r"Left out (\d) files: \1 broken\n  broken: .*2-test-6", caplog.text)


def test_vocoder_training_leaves_out_broken_clips_and_prints_them_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from train.vocoder import _read

    flac_with_a_broken_body(folder / "s2" / "body.flac")
    waveforms = _read([folder], "test", 16)
    assert [clip.utterance for clip in waveforms.training_set.clips] == ["s0/good", "s1/good", "s2/good"]
    assert "Left out 1 file: 1 broken\n  broken: s2/body\ntest: 3 lossless clips" in capsys.readouterr().out


def test_quick_evaluation_without_a_long_enough_speaker_raises_data_error(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", voice(150, 2.0), RATE)
    clips = [manifest.Clip(tmp_path / "a.wav", "a", "a", None, 2.0, None, "test")]
    with pytest.raises(DataError, match="two speakers"):
        PartitionedSet(clips, seed=0, quick=True, progress=lambda *step: None)
