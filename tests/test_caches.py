"""Caches of other libraries leave a home folder that cannot be written, and only that."""

import os
from pathlib import Path

import pytest

from saic import caches


def test_a_home_that_can_be_written_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment: dict[str, str] = {}
    caches.leave_home(environment)
    assert environment == {} and list(tmp_path.iterdir()) == []


def test_without_one_caches_are_in_a_private_folder_and_choices_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.devnull)
    environment = {"HF_HOME": "/chosen"}
    caches.leave_home(environment)
    assert environment.pop("HF_HOME") == "/chosen"
    assert set(environment) == {"MPLCONFIGDIR", "NUMBA_CACHE_DIR"}
    (folder,) = {Path(path).parent for path in environment.values()}
    assert folder.stat().st_mode & 0o777 == 0o700
