"""Manifests of a plain folder and of a LibriSpeech subset: splits, transcripts, unusable clips."""

from pathlib import Path

import pytest
import soundfile as sf

from saic.data import manifest
from saic.errors import DataError, UsageError
from tests.conftest import RATE, voice
from train import prepare


def test_splits_share_no_speaker_and_repeat_with_the_seed(corpus_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare.main(corpus_folder, tmp_path / name, dev=0.2, test=0.2)
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()
    clips = manifest.read(tmp_path / "one")
    speakers = [{clip.speaker for clip in clips if clip.split == split} for split in ("train", "dev", "test")]
    assert [len(names) for names in speakers] == [4, 1, 1] and len(set.union(*speakers)) == 6


def test_librispeech_subset_gives_transcripts_and_sexes(tmp_path: Path) -> None:
    subset = tmp_path / "LibriSpeech" / "dev-clean"
    for speaker in ("19", "26", "27"):
        chapter = subset / speaker / "198"
        chapter.mkdir(parents=True)
        sf.write(chapter / f"{speaker}-198-0000.flac", voice(150, 2.0), RATE)
        (chapter / f"{speaker}-198.trans.txt").write_text(f"{speaker}-198-0000 HELLO SPEAKER {speaker}\n")
    (subset.parent / "SPEAKERS.TXT").write_text("; ID |SEX| SUBSET\n19   | F | x | 1 | A\n26   | M | x | 1 | B\n")
    prepare.main(subset, tmp_path / "manifest.jsonl")
    clips = {clip.speaker: clip for clip in manifest.read(tmp_path / "manifest.jsonl")}
    assert {name: clip.sex for name, clip in clips.items()} == {"19": "F", "26": "M", "27": None}
    assert clips["26"].text == "HELLO SPEAKER 26" and clips["26"].path.is_file()


def test_silent_clip_is_left_out_and_counted_and_an_existing_manifest_raises_usage_error(
    corpus_folder: Path, tmp_path: Path, capsys
) -> None:
    for k in range(4):
        (tmp_path / f"s{k}").mkdir()
        sf.write(tmp_path / f"s{k}" / "a.wav", voice(100 + 20 * k, 2.0), RATE)
    sf.write(tmp_path / "s0" / "silent.wav", 0 * voice(100, 2.0), RATE)
    prepare.main(tmp_path, tmp_path / "manifest.jsonl")
    assert "Left out 1 file: 1 without speech" in capsys.readouterr().out
    assert len(manifest.read(tmp_path / "manifest.jsonl")) == 4
    with pytest.raises(UsageError, match="--force"):
        prepare.main(tmp_path, tmp_path / "manifest.jsonl")


def test_too_few_speakers_to_split_raise_data_error(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    sf.write(tmp_path / "only" / "a.wav", voice(100, 2.0), RATE)
    with pytest.raises(DataError, match="too few"):
        prepare.main(tmp_path, tmp_path / "out.jsonl")


def test_manifest_that_cannot_be_written_raises_usage_error_before_clips_are_checked(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_usable", lambda *_: pytest.fail("checked"))
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "manifest.jsonl", tmp_path, tmp_path / ("n" * 300)):
        with pytest.raises(UsageError, match="output"):
            prepare.main(corpus_folder, out, force=out == tmp_path)
    with pytest.raises(DataError, match="too long"):
        prepare.main(tmp_path / ("n" * 300), tmp_path / "manifest.jsonl")
