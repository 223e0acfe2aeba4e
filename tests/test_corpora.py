"""Reading public corpora from small folders in their layouts: speakers, sexes, texts, splits."""

from pathlib import Path

import pytest
import soundfile as sf

from saic.data import corpora, manifest
from saic.errors import DataError, UsageError
from tests.conftest import RATE, voice
from train import prepare


def record(path: Path, pitch_hz: float = 150) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, voice(pitch_hz, 1.5), RATE)


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    root = tmp_path / "LibriSpeech"
    for subset, speakers in {"train-clean-100": "1 2 3", "dev-other": "4", "test-clean": "5"}.items():
        for speaker in speakers.split():
            name = f"{speaker}-10-0000"
            record(root / subset / speaker / "10" / f"{name}.flac")
            (root / subset / speaker / "10" / f"{speaker}-10.trans.txt").write_text(f"{name} WORDS OF {speaker}\n")
    (root / "SPEAKERS.TXT").write_text(
        "; Some metadata\n;ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "1    | F | train-clean-100  | 25.03 | Kay Ray\n5    | M | test-clean       |  8.05 | Jay | Jr\n"
    )
    return root


@pytest.fixture
def vctk(tmp_path: Path) -> Path:
    root = tmp_path / "VCTK-Corpus-0.92"
    for name in ("p225/p225_001", "p315/p315_001", "s5/s5_001"):
        for microphone in ("mic1", "mic2"):
            record(root / "wav48_silence_trimmed" / f"{name}_{microphone}.flac")
    for name in ("p225/p225_001", "s5/s5_001"):
        (root / "txt" / name).parent.mkdir(parents=True)
        (root / "txt" / f"{name}.txt").write_text("Please call Stella.\n")
    (root / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \np225  23  F    English    Southern  England\n"
        "p315  18  M    American    New  England  (Text unavailable)\ns5  24  F  British\n"
    )
    return root


@pytest.fixture
def voxceleb(tmp_path: Path) -> Path:
    """Three speakers in dev and one in test of verification; each has a clip in every split of identification."""
    root = tmp_path / "VoxCeleb1"
    lines, sets = [], {"id10001": "dev", "id10002": "dev", "id10003": "dev", "id10270": "test"}
    for speaker in sets:
        for number, video in enumerate(("1zcIwhmdeo4", "7gWzIy6yIIk", "8mfLU7dHnHQ"), start=1):
            record(root / "wav" / speaker / video / "00001.wav", 100 + 20 * number)
            lines.append(f"{number} {speaker}/{video}/00001.wav")
    (root / "iden_split.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{speaker}\tSome_Name\t{'mf'[i % 2]}\tUK\t{part}" for i, (speaker, part) in enumerate(sets.items())]
    (root / "vox1_meta.csv").write_text(
        "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n" + "\n".join(rows) + "\n"
    )
    return root


def test_librispeech_subsets_become_splits(librispeech: Path) -> None:
    for folder in (librispeech, librispeech.parent):
        clips = {clip.speaker: clip for clip in corpora.read(folder).clips}
        splits = {name: clip.split for name, clip in clips.items()}
        assert splits == {"1": "train", "2": "train", "3": "train", "4": "dev", "5": "test"}
        assert [clips[name].sex for name in "1245"] == ["F", None, None, "M"]
        assert clips["4"].text == "WORDS OF 4" and clips["4"].utterance == "4-10-0000"
        assert clips["4"].duration_s == pytest.approx(1.5)


def test_missing_split_is_drawn_from_the_training_speakers(librispeech: Path, tmp_path: Path) -> None:
    for path in (librispeech / "dev-other").rglob("*.flac"):
        path.unlink()
    prepare.main(librispeech, tmp_path / "manifest.jsonl")
    splits = {clip.speaker: clip.split for clip in manifest.read(tmp_path / "manifest.jsonl")}
    assert splits["5"] == "test" and sorted(splits[name] for name in "123") == ["dev", "train", "train"]
    prepare.main(librispeech, tmp_path / "private.jsonl", attack=0.3)
    splits = {clip.speaker: clip.split for clip in manifest.read(tmp_path / "private.jsonl")}
    assert splits["5"] == "test" and sorted(splits[name] for name in "123") == ["attack", "dev", "train"]


def test_vctk_lists_the_first_microphone_only(vctk: Path) -> None:
    for folder in (vctk, vctk.parent):
        clips = corpora.read(folder).clips
        assert [clip.utterance for clip in clips] == ["p225_001", "p315_001", "s5_001"]
        assert all(clip.path.name.endswith("_mic1.flac") for clip in clips)
        assert [clip.sex for clip in clips] == ["F", "M", "F"]
        assert [clip.text for clip in clips] == ["Please call Stella.", None, "Please call Stella."]


def test_voxceleb_splits_by_speaker_or_by_recording(voxceleb: Path) -> None:
    clips = corpora.read(voxceleb).clips
    assert {clip.speaker for clip in clips if clip.split == "test"} == {"id10270"}
    assert {clip.speaker for clip in clips if clip.split == "train"} == {"id10001", "id10002", "id10003"}
    assert {clip.speaker: clip.sex for clip in clips} == dict(
        zip(("id10001", "id10002", "id10003", "id10270"), "MFMF", strict=True)
    )
    clips = corpora.read(voxceleb, identification=True).clips
    for split, video in (("train", "1zcIwhmdeo4"), ("dev", "7gWzIy6yIIk"), ("test", "8mfLU7dHnHQ")):
        assert [clip.utterance for clip in clips if clip.split == split] == [
            f"{speaker}/{video}/00001" for speaker in ("id10001", "id10002", "id10003", "id10270")
        ]


def test_voxceleb_in_dev_and_test_folders_gives_the_same_clips(voxceleb: Path) -> None:
    whole = [clip.utterance for clip in corpora.read(voxceleb).clips]
    (voxceleb / "test" / "wav").mkdir(parents=True)
    (voxceleb / "wav" / "id10270").rename(voxceleb / "test" / "wav" / "id10270")
    (voxceleb / "dev").mkdir()
    (voxceleb / "wav").rename(voxceleb / "dev" / "wav")
    assert [clip.utterance for clip in corpora.read(voxceleb).clips] == whole


def test_missing_lists_are_named_in_the_error(voxceleb: Path, vctk: Path, tmp_path: Path) -> None:
    (voxceleb / "iden_split.txt").unlink()
    with pytest.raises(DataError, match=r"iden_split\.txt"):
        corpora.read(voxceleb, identification=True)
    (voxceleb / "vox1_meta.csv").unlink()
    with pytest.raises(DataError, match=r"vox1_meta\.csv"):
        corpora.read(voxceleb)
    with pytest.raises(UsageError, match="Only VoxCeleb1"):
        corpora.read(vctk, identification=True)
    with pytest.raises(DataError, match="too long"):
        corpora.read(tmp_path / ("n" * 300))
    (tmp_path / "empty" / "test-clean").mkdir(parents=True)
    with pytest.raises(DataError, match="LibriSpeech"):
        corpora.read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("corpus", "copy"),
    [
        ("librispeech", "train-clean-100/1/10/1-10-0000.wav"),
        ("vctk", "wav48_silence_trimmed/p225/p225_001_mic1.wav"),
        ("voxceleb", "wav/id10001/1zcIwhmdeo4/00001.flac"),
    ],
)
def test_copy_of_a_clip_in_another_format_raises_data_error(
    request: pytest.FixtureRequest, corpus: str, copy: str
) -> None:
    folder = request.getfixturevalue(corpus)
    record(folder / copy)
    with pytest.raises(DataError, match=r"have the same name.*Keep one"):
        corpora.read(folder)
