"""The paper's protocol on a small folder in VoxCeleb1's layout, and on one split of two corpora."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from saic.data import corpora, manifest
from saic.errors import DataError, NotSpeech, UsageError
from saic.evaluation.data.codec import lossless, round_trip
from saic.evaluation.data.evaluation_set import PartitionedSet
from saic.evaluation.data.paper_set import OneSplitSet, PaperSet, _with_speech, one_target_each
from saic.evaluation.data.trials import assert_disjoint
from saic.evaluation.paper import evaluate
from tests.test_evaluation import RATE, SPEAKERS, SpectrumEmbedder, TilingPipeline, systems_of, voice

VOICES = [(f0_hz, formants_hz) for _, f0_hz, formants_hz, _ in SPEAKERS.values()][:5]


@pytest.fixture(scope="module")
def voxceleb(tmp_path_factory) -> Path:
    """Five speakers with three videos of one clip each, two of train and one of test; a sixth is silent in test."""
    folder, lines = tmp_path_factory.mktemp("VoxCeleb1"), []
    for k, (f0_hz, formants_hz) in enumerate([*VOICES, VOICES[0]]):
        for video, split in enumerate("113"):
            name = f"id1000{k + 1}/video{video}/00001.wav"
            path = folder / "wav" / name
            path.parent.mkdir(parents=True)
            wav = voice(4.0, f0_hz, formants_hz, seed=video)
            soundfile.write(path, 0 * wav if k == len(VOICES) and split == "3" else wav, RATE)
            lines.append(f"{split} {name}")
    (folder / "iden_split.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def two_corpora(tmp_path_factory) -> list[Path]:
    """Two corpora with the same names of speakers, clips and folders, and four voices of 9 s in the split train.

    Each also has a speaker with a broken recording, and one with 4 s.
    """
    root, folders = tmp_path_factory.mktemp("corpora"), []
    for name, voices in (("one", VOICES[:2]), ("other", VOICES[2:4])):
        folders.append(root / name)
        (root / name).mkdir()
        clips = []
        for k, (speaker, seconds) in enumerate({"anna": 9.0, "ben": 9.0, "broken": 9.0, "short": 4.0}.items()):
            path = root / name / f"{speaker}.wav"
            soundfile.write(path, voice(seconds, *voices[k % 2], seed=k), RATE)
            if speaker == "broken":
                path.write_bytes(b"RIFF")
            clips.append(manifest.Clip(path, speaker, speaker, "F" if k else None, seconds, None, "train"))
        manifest.write(root / name / manifest.MANIFEST_NAME, clips)
    return folders


def measure(voxceleb: Path, out: Path, pipeline=None) -> dict:
    return evaluate([voxceleb], out, pipeline=pipeline or TilingPipeline(), embedder=SpectrumEmbedder())


def top1(report: dict, name: str) -> dict:
    systems = systems_of(report)
    return {s: groups["identity"].get(name, {}).get("value") for s, groups in systems.items() if groups}


def test_each_speaker_has_one_target_and_is_one_target() -> None:
    sexes = {f"{k:04}": "FM"[k % 2] for k in range(1251)}
    trials = one_target_each(sexes, 0)
    assert all(
        count == 1 for end in ("source", "target") for count in Counter(getattr(t, end) for t in trials).values()
    )
    assert len(trials) == 1251 and all(trial.source != trial.target for trial in trials)
    assert trials == one_target_each(dict(reversed(sexes.items())), 0) != one_target_each(sexes, 1)
    assert 0.4 < np.mean([trial.same_sex for trial in trials]) < 0.6
    one_unknown = one_target_each(sexes | {"0000": None}, 0)
    assert {"0000"} == set.intersection(*({t.source, t.target} for t in one_unknown if t.same_sex is None))


def test_enrollment_is_of_train_and_trials_are_of_test(voxceleb: Path) -> None:
    clips = corpora.read(voxceleb, identification=True).clips
    dataset = PaperSet(clips, seed=0, progress=lambda *step: None)
    assert list(dataset.parts) == [f"id1000{k}" for k in range(1, 6)] and dataset.left_out["silent"] == 1
    for speaker, parts in dataset.parts.items():
        assert {span.utterance for span in parts.enrollment} == {f"{speaker}/video{video}/00001" for video in (0, 1)}
        assert {span.utterance for span in (*parts.source, *parts.reference)} == {f"{speaker}/video2/00001"}
        assert len(dataset.wav(parts.enrollment)) == 8 * RATE


def test_perfect_and_unchanged_conversions_give_expected_figures(voxceleb: Path, tmp_path: Path) -> None:
    perfect = measure(voxceleb, tmp_path / "perfect")
    assert top1(perfect, "target_top1") == {"real": None, "convert": 100, "replay_target": 100, "copy_source": 0}
    assert top1(perfect, "source_top1") == {"real": 100, "convert": 0, "replay_target": 0, "copy_source": 100}
    estimate = systems_of(perfect)["convert"]["identity"]["target_top1"]
    assert (estimate["n"], estimate["low"], estimate["high"], estimate["unit"]) == (5, None, None, "%")
    classification = systems_of(perfect)["real"]["classification"]
    assert {name: estimate["n"] for name, estimate in classification.items()} == {"saic.top1": 5, "spectrum.top1": 5}
    lazy = TilingPipeline()
    lazy.convert = lambda source, targets: SimpleNamespace(wav=source[0])
    assert top1(measure(voxceleb, tmp_path / "lazy", lazy), "target_top1")["convert"] == 0


def test_report_is_written_with_notes(voxceleb: Path, tmp_path: Path) -> None:
    report = measure(voxceleb, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    text = (tmp_path / "report.md").read_text()
    assert "5 enrolled speakers (chance 20 %), 5 trials" in text and "| `convert` | 100.0 |" in text
    assert "96.1 %" in text and "1,251 speakers" in text and "MP3" not in text
    assert "Of 5 speakers with one usable\n  recording in `test`, source and reference are that one." in text


def test_speakers_of_one_split_of_several_corpora_are_one_gallery(
    two_corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PartitionedSet.__init__.__kwdefaults__, "codec", lossless)  # three times as fast
    steps = []
    report = evaluate(
        two_corpora,
        tmp_path,
        split="train",
        pipeline=TilingPipeline(),
        embedder=SpectrumEmbedder(),
        progress=lambda *step: steps.append(step),
    )
    ((names, of_corpora),) = report["corpora"].items()
    data, left_out = of_corpora["data"], {"short": 4, "silent": 0}
    assert (names, data["split"], data["gallery_speakers"], data["trials"]) == ("one + other", "train", 4, 4)
    assert data["left_out"] == left_out and len(data["manifest_sha256"].split("+")) == 2
    assert top1(report, "target_top1") == {"real": None, "convert": 100, "replay_target": 100, "copy_source": 0}
    for corpus in ("one", "other"):
        of_target = {
            name: group["identity"].get(f"target_top1@{corpus}") for name, group in of_corpora["systems"].items()
        }
        assert [of_target[name]["value"] for name in ("convert", "replay_target", "copy_source")] == [100, 100, 0]
        assert of_target["convert"]["n"] == 2 and of_target["real"] is None
    text = (tmp_path / "report.md").read_text()
    assert "| System | one (2), % | other (2), % |" in text
    assert (
        "Of 4 speakers, the enrollment and another part are of one recording, 0.5 s" in text
        and "MP3 round trip" in text
    )
    assert ("prepare", 6, 6) in steps and ("identity: convert", 4, 4) in steps


def test_parts_of_one_split_share_no_sample_across_roles(two_corpora: list[Path]) -> None:
    clips = manifest.read(two_corpora[0], ["train"])
    dataset = OneSplitSet(clips, seed=0, progress=lambda *step: None)
    assert dataset.codec is round_trip
    assert set(dataset.parts) == {"anna", "ben"} and dataset.unusable == {"broken": ["broken"]}
    for parts in dataset.parts.values():
        assert_disjoint(parts.enrollment, parts.source)
        assert_disjoint(parts.enrollment, parts.reference)


def test_refused_conversion_counts_as_one_without_speech(voxceleb: Path, tmp_path: Path) -> None:
    pipeline, outputs = TilingPipeline(), []
    convert = pipeline.convert

    def refuse_the_second(source, targets):
        outputs.append(source)
        if len(outputs) == 2:
            raise NotSpeech("a hum")
        return convert(source, targets)

    pipeline.convert = refuse_the_second
    report = measure(voxceleb, tmp_path, pipeline)
    assert top1(report, "target_top1")["convert"] == 80 and top1(report, "no_speech")["convert"] == 20


def test_recordings_of_a_hum_are_no_part() -> None:
    """The pipeline would refuse them, and the run would end."""
    hum = 0.1 * np.sin(np.arange(8 * RATE) / 20)
    assert _with_speech([("a", voice(8.0, *VOICES[0]))]) and not _with_speech([("a", hum)])


def test_data_without_identification_splits_raises(voxceleb: Path, tmp_path: Path) -> None:
    (tmp_path / "folder" / "anna").mkdir(parents=True)
    with pytest.raises(UsageError, match="VoxCeleb1"):
        measure(tmp_path / "folder", tmp_path / "out")
    with pytest.raises(UsageError, match=r"^Corpus 2: .*VoxCeleb1"):
        evaluate([voxceleb, tmp_path / "folder"], tmp_path / "out", pipeline=None, embedder=None)
    with pytest.raises(DataError, match="too long"):
        measure(tmp_path / ("n" * 300), tmp_path / "out")
    clips = [clip for clip in corpora.read(voxceleb, identification=True).clips if clip.split == "test"]
    with pytest.raises(DataError, match="--identification"):
        PaperSet(clips, seed=0, progress=lambda *step: None)
