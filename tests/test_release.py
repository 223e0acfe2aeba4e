"""From corpora to weights by one command, in parts, with interruptions."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
import yaml
from safetensors.torch import load_file

from benchmarks.training import measure
from saic.config import Config
from saic.data import manifest
from saic.data.manifest import Clip
from saic.errors import ConfigError, DataError, UsageError
from saic.files import sha256
from saic.pipeline import Pipeline
from saic.training.loop import Schedule, start
from saic.training.perceptual import PerceptualStage
from saic.training.stage1 import Stage1
from saic.training.stage2 import Stage2
from saic.training.vocoder import VocoderStage
from tests.conftest import RATE, voice
from train import release, release_parts, stage2
from train.release_parts import Recipe, Sources
from train.release_progress import Progress
from train.step_times import seconds_per_step, stages

TINY = Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml"
STAGES = ("perceptual", "stage1", "stage2", "vocoder", "prosody")
PARTS = ["recognizer", "perceptual", "stage1", "stage2-1", "stage2-2", "vocoder-1", "vocoder-2", "gallery", "prosody"]


class Interrupted(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of three training speakers and one for validation, 12 s of speech each."""
    folder = tmp_path_factory.mktemp("corpus")
    clips = []
    for k in range(4):
        for i in range(4):
            path = folder / f"{k}-{i}.wav"
            sf.write(path, voice(90 + 30 * k, 3.0, seed=10 * k + i, formant_hz=500 + 100 * k), RATE)
            clips.append(Clip(path, path.stem, str(k), None, 3.0, None, "train" if k else "dev"))
    manifest.write(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"


def in_parts() -> dict[str, Any]:
    """The tiny config, stage 2 and the vocoder in two parts each."""
    values = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    values["stage2"] |= {"steps": 4, "part_steps": 2}
    values["vocoder_training"] |= {"part_steps": 1}
    return values


CONFIG = Config.from_dict(in_parts())


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of :data:`CONFIG`."""
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(yaml.safe_dump(in_parts()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(corpus: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run that was killed in the second step of part stage2-2, and resumed to its end.

    ``steps`` has the stages and steps of each of the two processes.
    """
    run, steps = tmp_path_factory.mktemp("release") / "run", [[], []]
    process = 0

    def counted(name: str, step: Callable) -> Callable:
        def call(stage: object, i: int) -> dict[str, float]:
            if process == 0 and (name, i) == ("stage2", 3):
                raise Interrupted
            steps[process].append((name, i))
            return step(stage, i)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name, stage in (("stage1", Stage1), ("stage2", Stage2), ("vocoder", VocoderStage)):
            patch.setattr(stage, "step", counted(name, stage.step))
        patch.setattr(release, "stages", lambda *_: ((name, None) for name in STAGES))
        patch.setattr(release, "seconds_per_step", lambda _: 3600.0)
        patch.setattr("train.vocoder.N_SAMPLES", 1)
        patch.setattr("saic.training.stage2._VALIDATION_CROPS", 4)
        patch.setattr(stage2, "Schedule", partial(Schedule, save_every=1))
        with pytest.raises(Interrupted):
            release.main([corpus], run, config)
        process = 1
        with redirect_stdout(StringIO()) as printed:
            release.main([corpus], run, config, resume=True)
    return SimpleNamespace(run=run, steps=steps, printed=printed.getvalue())


def test_resumed_release_takes_no_step_twice_and_skips_finished_parts(finished: SimpleNamespace) -> None:
    first, second = finished.steps
    assert first == [("stage1", 0), ("stage1", 1), ("stage2", 0), ("stage2", 1), ("stage2", 2)]
    assert second == [("stage2", 3), ("vocoder", 0), ("vocoder", 1)]
    done = re.findall(r"^(\S+) .*done, 0 h 0\d min$", finished.printed, re.MULTILINE)
    assert done == PARTS[: PARTS.index("stage2-2")]
    assert re.findall(r"^Part (\S+):$", finished.printed, re.MULTILINE) == PARTS[PARTS.index("stage2-2") :]
    assert re.search(r"^stage2-2 +2  about 2 h 00 min, begun, at step 3$", finished.printed, re.MULTILINE)
    assert "saic evaluate --data" in finished.printed and "--split test --weights" in finished.printed


def test_weights_of_a_release_convert_a_clip_in_every_profile(finished: SimpleNamespace) -> None:
    pipeline = Pipeline.from_pretrained(finished.run / "weights")
    assert pipeline.info()["vocoder"] == "neural"
    wav = voice(120, 2.0)
    for profile in ("prosody-kept", "balanced"):
        converted = pipeline.convert((wav, RATE), (voice(200, 2.0), RATE), profile=profile).wav
        assert converted.shape == wav.shape and np.isfinite(converted).all() and converted.any()


def test_each_part_leaves_a_float16_file_and_no_checkpoints(finished: SimpleNamespace) -> None:
    records = json.loads((finished.run / "parts.json").read_text())
    assert list(records) == PARTS
    for part in Recipe(finished.run, Sources((finished.run,)), CONFIG).parts():
        path = finished.run / part.output
        assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}, part.name
        assert records[part.name]["sha256"] == sha256(path)
    assert not list(finished.run.glob("*/checkpoints"))


def test_parts_of_a_stage_take_its_steps_in_order_each_from_the_file_of_the_part_before(
    finished: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, dict[str, Any]] = {}
    for trained in (release_parts.stage1, release_parts.stage2, release_parts.vocoder):
        monkeypatch.setattr(trained, "train", lambda data, run, *_, **options: made.update({run.name: options}))
    values = in_parts()
    values["stage1"]["part_steps"] = 1
    sources = Sources((finished.run,))
    for part in Recipe(finished.run, sources, Config.from_dict(values)).parts()[2:8]:
        shutil.copytree(finished.run / "stage1", finished.run / "stage1-2", dirs_exist_ok=True)
        part.make(False)
    shutil.rmtree(finished.run / "stage1-2")
    assert {name: options["steps"] for name, options in made.items()} == {
        "stage1-1": range(1),
        "stage1-2": range(1, 2),
        "stage2-1": range(2),
        "stage2-2": range(2, 4),
        "vocoder-1": range(1),
        "vocoder-2": range(1, 2),
    }
    before = {name: options.get("earlier") for name, options in made.items()}
    assert before["stage1-1"] is before["stage2-1"] is made["vocoder-1"]["init"] is None
    assert before["stage1-2"] == finished.run / "stage1-1" and before["stage2-2"] == finished.run / "stage2-1"
    expected = load_file(finished.run / "vocoder-1" / "vocoder.safetensors")
    assert all(torch.equal(made["vocoder-2"]["init"][name], tensor) for name, tensor in expected.items())


def test_changed_config_data_or_missing_resume_raise_usage_error(
    finished: SimpleNamespace, corpus: Path, config: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="Add --resume"):
        release.main([corpus], finished.run, config)
    values = yaml.safe_load(config.read_text())
    values["stage2"]["lr"] = 0.25
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UsageError, match=r"another config: stage2\.lr\."):
        release.main([corpus], finished.run, tmp_path / "config.yaml", resume=True)
    clips = manifest.read(corpus)
    manifest.write(tmp_path / "manifest.jsonl", clips[:-1])
    with pytest.raises(UsageError, match="other data"):
        release.main([tmp_path / "manifest.jsonl"], finished.run, config, resume=True)


def test_run_folder_with_the_config_of_an_earlier_version_is_resumed(corpus: Path, tmp_path: Path) -> None:
    sources = Sources((corpus,))
    release._open(tmp_path / "run", CONFIG, sources, resume=False)
    path = tmp_path / "run" / "config.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["stage2"]["code_noise"] = 0.0
    values["speaker_training"] |= {"teacher_weight": 10.0, "margin": 0.2, "scale": 30.0}
    values["vocoder_training"]["gain_db"] = [-20.0, 6.0]
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    release._open(tmp_path / "run", CONFIG, sources, resume=True)
    for damage in (lambda path: path.write_text("{"), Path.unlink):
        damage(tmp_path / "run" / "data.json")
        with pytest.raises(UsageError, match=r"data\.json .* is missing or damaged"):
            release._open(tmp_path / "run", CONFIG, sources, resume=True)
    (tmp_path / "run" / "log.jsonl").write_text("{}\n", encoding="utf-8")
    start(tmp_path / "run", CONFIG, resume=True)  # as the folder of a part is


def test_part_with_a_damaged_file_is_made_again_with_all_that_start_from_it(finished: SimpleNamespace) -> None:
    parts = Recipe(finished.run, Sources((finished.run,)), CONFIG).parts()

    def unfinished() -> list[str]:
        progress = Progress(finished.run, parts)
        return [part.name for part in parts if not progress.is_finished(part)]

    assert unfinished() == []
    path = finished.run / "vocoder-1" / "vocoder.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert unfinished() == ["vocoder-1", "vocoder-2", "gallery", "prosody"]
    path.write_bytes(whole)
    assert unfinished() == []


def test_part_alone_needs_its_inputs_and_a_known_name(
    corpus: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "_print_plan", lambda *_: None)
    with pytest.raises(UsageError, match="stage2-1 starts from recognizer, which is not finished"):
        release.main([corpus], tmp_path, config, part="stage2-1")
    with pytest.raises(UsageError, match="The parts: recognizer, perceptual, stage1, stage2-1"):
        release.main([corpus], tmp_path, config, part="stage3", resume=True)
    release.main([corpus], tmp_path, config, part="recognizer", resume=True)
    assert list(json.loads((tmp_path / "parts.json").read_text())) == ["recognizer"]


def test_what_would_fail_after_hours_is_refused_at_the_start(corpus: Path, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    clips = manifest.read(corpus)
    data = tmp_path / "manifest.jsonl"
    manifest.write(data, [clip for clip in clips if clip.split == "train"])
    with pytest.raises(DataError, match=r"Corpus 2 has no split 'dev'.*train\.prepare"):
        release.main([corpus, data], run, config)
    with pytest.raises(DataError, match="'test', which --evaluate reports on"):
        release.main([corpus], run, config, evaluate=True)
    (tmp_path / "damaged.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"^Corpus 2: Manifest line 1: not JSON"):
        release.main([corpus, tmp_path / "damaged.jsonl"], run, config)
    lossy = replace(clips[0], path=tmp_path / "clip.mp3")
    lossy.path.write_bytes(b"not read")
    manifest.write(data, [lossy, *(clip for clip in clips if clip.split == "train")])
    with pytest.raises(DataError, match=r"'dev' holds no lossless clips.*another --data"):
        release.main([data], run, config)
    manifest.write(data, [clip for clip in clips if clip.speaker in "01"])
    with pytest.raises(DataError, match="gallery needs at least 2 voices"):
        release.main([data], run, config)
    with pytest.raises(DataError, match="gallery needs at least 2 voices"):
        release.main([corpus], run, config, parallel=data)
    with_tdnn = in_parts() | {"speaker_encoder": {"tdnn": {}}}
    (tmp_path / "tdnn.yaml").write_text(yaml.safe_dump(with_tdnn), encoding="utf-8")
    with pytest.raises(DataError, match="'dev' needs two speakers"):
        release.main([corpus], run, tmp_path / "tdnn.yaml")
    (tmp_path / "config.yaml").write_text("stage1: {steps: 2}\nvocoder_training: {steps: 2}\n")
    with pytest.raises(ConfigError, match=r"no section stage2\..*v1\.yaml"):
        release.main([corpus], run, tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("stage1: {}\nstage2: {distill_steps: 2}\nvocoder: {steps: 2}\n")
    with pytest.raises(ConfigError, match=r"leave out stage2\.distill_steps"):  # vocoder_training, by its old name
        release.main([corpus], run, tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match=r"leave out stage2\.distill_steps"):
        (tmp_path / "config.yaml").write_text("stage1: {steps: 2}\nstage2: {distill_steps: 2}\nvocoder_training: {}\n")
        release.main([corpus], run, tmp_path / "config.yaml")
    with pytest.raises(UsageError, match="give one of them"):
        release.main([corpus], run, config, parallel=tmp_path, kokoro=tmp_path)
    with pytest.raises(UsageError, match=r"--kokoro folder has no model\.onnx\. Fill it"):
        release.main([corpus], run, config, kokoro=tmp_path)
    assert not run.exists()


def test_parallel_speech_is_made_apart_from_the_texts_of_all_corpora_and_then_used(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, trained = {}, {}
    monkeypatch.setattr(release_parts.kokoro, "main", lambda *paths, **options: given.update(options, paths=paths))
    monkeypatch.setattr(release_parts.stage1, "train", lambda *_, **options: trained.update(options))
    sources = Sources((corpus, tmp_path), kokoro=tmp_path / "kokoro")
    made = Recipe(tmp_path / "run", sources, CONFIG).parts()
    assert [part.name for part in made] == ["parallel", *PARTS] and "parallel" in made[3].inputs
    for part in (made[0], made[3]):
        part.make(False)
    assert given["apart_from"] == [corpus, tmp_path] and given["n_sentences"] == CONFIG.parallel_speech.sentences
    assert given["paths"][0] == tmp_path / "kokoro" / "model.onnx"
    monkeypatch.setattr(release, "stages", lambda *_: ((name, None) for name in STAGES))
    monkeypatch.setattr(release, "seconds_per_step", lambda _: 60.0)
    monkeypatch.setattr(release.os, "cpu_count", lambda: 2)
    release._print_plan(Progress(tmp_path / "run", made), made, CONFIG, [corpus], "cpu")
    out = capsys.readouterr().out
    assert re.search(r"^parallel +3,600  about 2 h 30 min$", out, re.MULTILINE)
    assert "Longer than two hours: parallel. In the config" in out
    assert trained["parallel"] == given["paths"][4] == tmp_path / "run" / "parallel"


def test_plan_of_one_part_measures_its_stage_alone(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Recipe(tmp_path, Sources((corpus,)), CONFIG).parts()
    for unwanted in ("Stage1", "Stage2", "WaveformSet", "ProsodySet"):
        monkeypatch.setattr(f"train.step_times.{unwanted}", lambda *_, **__: pytest.fail("made"))
    monkeypatch.setattr(release, "seconds_per_step", lambda stage: 60.0 * isinstance(stage, PerceptualStage))
    release._print_plan(Progress(tmp_path, parts), parts[1:2], CONFIG, [corpus], "cpu")
    out = capsys.readouterr().out
    assert re.search(r"^Measuring a few steps of: perceptual$", out, re.MULTILINE)
    assert re.search(r"^perceptual +2  about 0 h 02 min$", out, re.MULTILINE)
    assert re.search(r"^stage1 +2  not now$", out, re.MULTILINE) and "Longer" not in out
    assert "To go: about 0 h 02 min" in out


def test_step_times_are_measured_for_every_stage_and_sum_to_the_whole(corpus: Path) -> None:
    clips = manifest.read(corpus, "train")
    found = {name: measure(stage, 1) for name, stage in stages(CONFIG, clips, clips)}
    assert list(found) == list(STAGES)
    for name, time in found.items():
        shares = (time.data_s, time.forward_s, time.backward_s, time.optimizer_s)
        assert min(shares) > 0 and sum(shares) == pytest.approx(time.total_s), name
    taken = []
    assert seconds_per_step(SimpleNamespace(step=lambda i: (taken.append(i), sleep(0.01)), device="cpu"), 2) >= 0.01
    assert taken == [0, 1, 2]


def test_committed_config_of_a_release_has_all_stages() -> None:
    settings = release._read_config(TINY.parent / "v1.yaml")
    names = [part.name for part in Recipe(Path("run"), Sources((Path("data"),)), settings).parts()]
    assert {"recognizer", "stage1", "stage2-1", "gallery", "prosody"} < set(names)
