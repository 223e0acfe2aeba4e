"""``saic plot``: figures and arrays from recordings and from a folder of speakers, and refused calls."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from saic import cli, plots
from saic.cli.plot import Axis, Palette
from saic.errors import UsageError
from saic.pipeline import Pipeline
from saic.plots import PALETTES, View
from tests.conftest import RATE, voice
from tests.fakes import FakePipeline


@pytest.fixture(autouse=True)
def fake_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda weights, device: FakePipeline())


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    """Two recordings, of 110 and of 220 Hz."""
    paths = [tmp_path / "low.wav", tmp_path / "high.wav"]
    for path, hz in zip(paths, (110, 220), strict=True):
        sf.write(path, voice(hz, 3.0), RATE)
    return [str(path) for path in paths]


def run(*arguments: str | Path) -> dict:
    """The JSON of a command that succeeds."""
    done = CliRunner().invoke(cli.app, ["plot", *map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_mel_writes_the_picture_and_the_arrays(clips, tmp_path: Path) -> None:
    output, data = tmp_path / "mel.svg", tmp_path / "mel.npz"
    options = ["--axis", "linear", "--palette", "gray", "--range", "60", "--difference", "--profile", "balanced"]
    facts = run("mel", clips[0], "--target", clips[1], "-o", output, "--arrays", data, *options)
    assert facts == {"output": str(output), "profile": "balanced", "notes": [], "target_notes": []}
    assert b"</svg>" in output.read_bytes()
    arrays = np.load(data)
    assert {arrays[name].shape for name in ("original", "reconstructed", "converted")} == {(80, 240)}
    assert np.median(arrays["converted_f0_hz"]) == pytest.approx(220, rel=0.1)
    assert not np.array_equal(arrays["original"], arrays["converted"])


def test_difference_in_the_profile_strict_is_refused_before_the_conversion(clips, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("saic.cli.plot._pipeline", None)  # not called
    command = ["plot", "mel", clips[0], "-o", str(tmp_path / "mel.png"), "--difference", "--profile", "strict"]
    error = CliRunner().invoke(cli.app, command).exception
    assert isinstance(error, UsageError) and "no difference" in str(error)


def test_mel_without_a_target_shows_a_pseudonym(clips, tmp_path: Path) -> None:
    run("mel", clips[0], "-o", tmp_path / "mel.png", "--arrays", tmp_path / "mel.npz")
    assert (tmp_path / "mel.png").read_bytes().startswith(b"\x89PNG")
    assert np.median(np.load(tmp_path / "mel.npz")["converted_f0_hz"]) == pytest.approx(140, rel=0.1)


def test_map_of_a_folder_has_its_speakers_beside_the_gallery(corpus_folder: Path, tmp_path: Path) -> None:
    output, data = tmp_path / "map.png", tmp_path / "map.npz"
    facts = run("map", corpus_folder, "-o", output, "--arrays", data)
    arrays = np.load(data)
    assert facts["speakers"] == len(arrays["speaker unseen"]) > 1 and len(arrays["content gallery"]) == 40
    assert 0 <= facts["content_probe_percent"] <= 100
    assert facts["content_probe_chance_percent"] == pytest.approx(100 / 6)
    speaker, content = plots.planes_from_arrays(arrays)
    assert speaker.same_voice == facts["speaker_same_voice"] and content.unseen.shape == speaker.unseen.shape
    assert set(plots.map_arrays(speaker, content)) | {"weights_sha256"} == set(arrays)
    again = tmp_path / "again.png"
    assert run("map", corpus_folder, "-o", again) == facts | {"output": str(again)}
    assert output.read_bytes() == again.read_bytes()


def test_map_of_a_conversion_marks_three_clips(clips, tmp_path: Path) -> None:
    facts = run("map", clips[0], "--target", clips[1], "-o", tmp_path / "map.png", "--arrays", tmp_path / "map.npz")
    assert {name for name in np.load(tmp_path / "map.npz") if name.startswith("speaker clip")} == {
        "speaker clip Source",
        "speaker clip Target",
        "speaker clip Swapped",
    }
    assert "speakers" not in facts


@pytest.mark.parametrize("figure", ["mel", "map"])
def test_notes_on_the_recordings_are_printed(figure, clips, tmp_path: Path, monkeypatch) -> None:
    convert = FakePipeline.convert_spooled

    def noted(*given, **options):
        return replace(convert(*given, **options), notes=("Half is missing.",), target_notes=("Left is taken.",))

    monkeypatch.setattr(FakePipeline, "convert_spooled", noted)
    arguments = ["plot", figure, clips[0], "--target", clips[1], "-o", str(tmp_path / "figure.png"), "--json"]
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    facts = json.loads(done.stdout)
    assert facts["notes"] == ["Half is missing."] and facts["target_notes"] == ["Left is taken."]
    assert done.stderr == "Note: Half is missing.\nNote on --target: Left is taken.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mel", "-o", "figure.pdf"], "png or"),
        (["mel", "-o", "figure.png", "--arrays", "figure.csv"], "npz"),
        (["mel", "-o", "taken.png"], "--force"),
        (["map", "-o", "figure.png"], "with --target"),
    ],
)
def test_refused_calls_write_nothing(arguments, message, clips, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.png").write_bytes(b"mine")
    before = set(tmp_path.iterdir())
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(cli.app, ["plot", arguments[0], clips[0], *arguments[1:]], catch_exceptions=False)
    assert set(tmp_path.iterdir()) == before and (tmp_path / "taken.png").read_bytes() == b"mine"


def test_map_of_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    arguments = ["plot", "map", "n" * 300, "-o", str(tmp_path / "map.png")]
    with pytest.raises(UsageError, match="Name a folder"):
        CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


@pytest.mark.parametrize(("figure", "package"), [("mel", "matplotlib"), ("map", "matplotlib"), ("map", "sklearn")])
def test_missing_package_is_named_before_the_work(figure, package, clips, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda *_, **__: pytest.fail("worked"))
    arguments = ["plot", figure, clips[0], "--target", clips[1], "-o", str(tmp_path / "figure.png")]
    with pytest.raises(UsageError, match=r"\.\[app\]"):
        CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def test_options_name_the_axes_and_palettes_that_there_are() -> None:
    assert {palette.value for palette in Palette} == set(PALETTES)
    assert all(View(axis.value).ticks for axis in Axis)
