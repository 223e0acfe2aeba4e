"""Shared test data: synthetic speech, and a speech corpus small enough to train on in seconds."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

gc.disable()  # until the tests are collected: it takes a third of that time, and each worker collects them all

RATE = 16_000


def voice(pitch_hz: float, duration_s: float, seed: int = 0, formant_hz: float = 700.0) -> np.ndarray:
    """(N,) synthetic speech: harmonics of a gliding F0 under one formant, syllables and pauses."""
    random = np.random.default_rng(seed)
    time = np.arange(int(duration_s * RATE)) / RATE
    glide = pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * (0.7 + random.random()) * time + random.random() * 6))
    phase = 2 * np.pi * np.cumsum(glide) / RATE
    shares = [1 / (1 + ((k * pitch_hz - formant_hz) / 400) ** 2) for k in range(19, 0, -1)]
    wav = np.polyval([*shares, 0], np.exp(1j * phase)).imag  # the sum of share * sin(k * phase), in a third of the time
    syllables = np.clip(3 * np.sin(2 * np.pi * (3 + random.random()) * time + random.random() * 6), 0, 1)
    wav = wav * syllables + 0.01 * random.standard_normal(len(time)) * syllables
    return (0.3 * wav / np.abs(wav).max()).astype(np.float32)


SLOWEST = tuple(
    f"test_{name}.py"
    for name in (
        "browser",
        "web",
        "stranger",
        "attacks",
        "utility",
        "evaluation",
        "length",
        "linkage",
        "training",
        "distributed",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slowest files first, so that parallel workers end at nearly the same time."""
    order = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported stays: no collection looks at it again
    gc.enable()


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Undo what a test changes in the environment, such as cache folders that a command has moved on a full disk."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A speech corpus, ``speaker/clip.wav``: six speakers with three clips of 3 s each."""
    folder = tmp_path_factory.mktemp("corpus")
    for k in range(6):
        (folder / f"speaker{k}").mkdir()
        for i in range(3):
            wav = voice(90 + 30 * k, 3.0, seed=10 * k + i, formant_hz=500 + 100 * k)
            sf.write(folder / f"speaker{k}" / f"clip{i}.wav", wav, RATE)
    return folder


@pytest.fixture(scope="module")
def quick_reports() -> Iterator[None]:
    """Bootstrap intervals of fewer resamples, and small figures: whole reports take a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saic.evaluation.metrics.RESAMPLES", 100)
        patch.setattr("saic.plots.figure.DPI", 30)
        yield


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory):
    """Cache in a temporary folder instead of the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SAIC_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
