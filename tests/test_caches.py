"""Caches of other libraries move away from a read-only home folder, and only from that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from saic import caches

ROOT = Path(__file__).parents[1]


def test_writable_home_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment: dict[str, str] = {}
    caches.move_if_home_is_read_only(environment)
    assert environment == {} and list(tmp_path.iterdir()) == []


def test_read_only_home_moves_caches_to_a_private_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", os.devnull)
    environment = {"HF_HOME": "/chosen"}
    caches.move_if_home_is_read_only(environment)
    assert environment.pop("HF_HOME") == "/chosen"
    assert set(environment) == {"MPLCONFIGDIR", "NUMBA_CACHE_DIR", "SAIC_CACHE"}
    (folder,) = {Path(path).parent for path in environment.values()}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_folder_for_caches_that_cannot_be_reached_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError

    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setattr(Path, "is_dir", refuse)
    environment = {"XDG_CACHE_HOME": "/caches"}
    caches.move_if_home_is_read_only(environment)
    assert "HF_HOME" in environment


@pytest.mark.parametrize("place", ["home", "chosen"])
def test_cache_in_a_read_only_home_is_used(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image that holds weights, or with a folder for caches on another disk."""

    def refuse(**_: object) -> None:
        raise PermissionError

    environment = {"XDG_CACHE_HOME": str(tmp_path / "caches")} if place == "chosen" else {}
    (tmp_path / ("caches" if place == "chosen" else ".cache") / "huggingface").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("saic.caches.tempfile.TemporaryFile", refuse)
    caches.move_if_home_is_read_only(environment)
    assert "HF_HOME" not in environment
    assert ("SAIC_CACHE" in environment) == (place == "home")


def test_no_home_and_no_temporary_folder_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise FileNotFoundError("No usable temporary directory")

    monkeypatch.setenv("HOME", "/proc/nonexistent")
    monkeypatch.setattr("saic.caches.tempfile.mkdtemp", refuse)
    environment: dict[str, str] = {}
    caches.move_if_home_is_read_only(environment)
    assert environment == {}


def test_training_entry_point_with_a_read_only_home_moves_caches_before_its_imports(tmp_path: Path) -> None:
    unset = {"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "SAIC_CACHE"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-m", "train.vocoder", "--help"],  # imports matplotlib, which warns of a read-only home
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=kept | {"HOME": "/proc/nonexistent", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0 and done.stdout and done.stderr == ""
    assert not list(tmp_path.glob("saic-cache-*"))
