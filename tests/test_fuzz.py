"""The fuzz finds what it looks for: each kind of fault is counted, and fails the run."""

import mmap
import os
import time
from pathlib import Path

import numpy as np
import pytest

from saic.audio import SAMPLE_RATE, SUFFIXES, from_array, load
from saic.errors import AudioError, InvalidAudio, UsageError
from tests import fuzz
from tests.conftest import voice

CLIP = (voice(140, 1.0), SAMPLE_RATE)
MEMORY_BYTES = 300 * 2**20


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return fuzz.valid_files()


# Functions of a worker.


def _raise(error: Exception) -> None:
    raise error


def _compute() -> None:
    end_s = time.process_time() + 1.5
    while time.process_time() < end_s:
        pass


def _fill_shared_memory() -> None:
    with mmap.mmap(-1, MEMORY_BYTES) as memory:
        for start in range(0, MEMORY_BYTES, 4096):
            memory[start] = 1


BEHAVIORS = {
    "no fault": lambda: None,
    "ValueError": lambda: _raise(ValueError("cannot decode")),
    "UsageError": lambda: _raise(UsageError("Choose another command.")),
    "BrokenPromise": lambda: _raise(InvalidAudio(f"{fuzz.PATIENT_NAME}.wav is invalid.")),
    "crash": os.abort,
    "time-out": _compute,
    "MemoryError": lambda: np.ones(MEMORY_BYTES),
    "memory": _fill_shared_memory,
    "no fault again": lambda: None,
}


def behave(name: str) -> None:
    BEHAVIORS[name]()


def sleep(path: str) -> np.ndarray:
    time.sleep(600)


def raise_value_error(path: str) -> np.ndarray:
    raise ValueError("cannot decode")


def refuse(path: str) -> np.ndarray:
    raise InvalidAudio("The recording is refused.")


def anonymize_wrongly(clip: fuzz.Samples) -> None:
    """Too short an output for a short clip, NaN for a long one."""
    wav = from_array(*clip)
    fuzz.check_anonymized(clip, wav[::2] if len(wav) < SAMPLE_RATE else wav * np.nan)


def anonymize_to_itself(clip: fuzz.Samples) -> None:
    fuzz.check_anonymized(clip, from_array(*clip))


# What is damaged.


def test_each_suffix_has_a_valid_file_of_two_seconds(files):
    assert {kind.split()[0] for kind in files} == SUFFIXES
    for data in files.values():
        assert len(load(data)) / SAMPLE_RATE == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("damage", fuzz.DAMAGES, ids=lambda damage: damage.__name__)
def test_each_damage_changes_the_file(damage, files):
    data, others = files[".m4a"], list(files.values())
    results = {bytes(damage(np.random.default_rng(seed), bytearray(data), others)) for seed in range(10)}
    assert len(results - {data}) >= 8
    for short in (b"a", b"ab"):
        damage(np.random.default_rng(0), bytearray(short), others)


def test_number_and_seed_give_the_same_file_again(files):
    for number in range(40):
        assert fuzz.damaged_file(files, 3, number) == fuzz.damaged_file(files, 3, number)
    assert fuzz.damaged_file(files, 3, 0)[1] != fuzz.damaged_file(files, 4, 0)[1]


def test_each_oddity_is_an_array_that_gives_a_wav_or_an_audio_error():
    wavs = [voice(140, 0.5)]
    for number in range(8 * len(fuzz.ODDITIES)):
        _, clip, _ = fuzz.odd_array(wavs, 0, number)
        try:
            fuzz.check_anonymized(clip, from_array(*clip))
        except AudioError:
            continue


# Faults.


def test_decoder_gives_no_fault_with_a_few_files():
    tally, wavs = fuzz.fuzz_decoder(58, n_workers=1, n_wavs=5)
    assert not tally.failed and tally.faults == []
    assert sum(tally.counts.values()) == 58 and len(wavs) == 5
    assert 0 < tally.peak_bytes < MEMORY_BYTES and tally.slowest[0] > 0
    assert tally.table().splitlines()[-1].split()[:2] == ["all", "58"]


def test_each_kind_of_fault_is_counted_and_the_next_input_is_tried():
    names = list(BEHAVIORS)
    worker = fuzz.Worker(behave, 1.0, MEMORY_BYTES, patience=100)
    tally = fuzz.fuzz("behavior", lambda number: (names[number], names[number], ""), len(names), [worker])
    labels = {name: fuzz.DONE if name.startswith("no fault") else f"FAULT {name}" for name in names}
    assert tally.counts == {(name, label): 1 for name, label in labels.items()}
    assert tally.failed and len(tally.faults) == len(names) - 2


def test_worker_that_sleeps_is_ended():
    outcome = fuzz.Worker(sleep, 0.05, MEMORY_BYTES).run("")
    assert outcome.fault and outcome.label == "time-out"


def test_file_that_gave_a_fault_is_kept(tmp_path: Path, files):
    tally, _ = fuzz.fuzz_decoder(1, function=raise_value_error, n_workers=1, keep=tmp_path)
    kind, data, _ = fuzz.damaged_file(files, 0, 0)
    assert tally.failed and tally.counts == {(kind, "FAULT ValueError"): 1}
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == data and str(kept) in tally.faults[0]


def test_decoder_that_refuses_everything_fails_the_run():
    tally, _ = fuzz.fuzz_decoder(2, function=refuse, n_workers=1)
    assert tally.failed and not tally.faults


def test_wrong_output_of_a_pipeline_is_a_fault_and_its_input_kept(tmp_path: Path):
    tally = fuzz.fuzz_pipeline(4, [CLIP[0], CLIP[0][:9000]], function=anonymize_wrongly, keep=tmp_path)
    assert tally.counts["decoded wavs", "FAULT BrokenPromise"] == 2
    kept = np.load(next(tmp_path.glob("0-1-*.npz")))
    np.testing.assert_array_equal(kept["samples"], CLIP[0][:9000])


def test_right_output_of_a_pipeline_is_no_fault():
    tally = fuzz.fuzz_pipeline(2 * len(fuzz.ODDITIES), [CLIP[0]], function=anonymize_to_itself)
    assert not tally.failed and tally.counts["decoded wavs", fuzz.DONE] == 1


def test_run_with_a_fault_ends_with_status_1(monkeypatch, capsys):
    good, bad = fuzz.Tally(), fuzz.Tally(faults=["decoder 0"])
    monkeypatch.setattr(fuzz, "fuzz_pipeline", lambda *args, **kwargs: good)
    monkeypatch.setattr(fuzz, "fuzz_decoder", lambda *args, **kwargs: (good, []))
    assert fuzz.main([]) == 0
    monkeypatch.setattr(fuzz, "fuzz_decoder", lambda *args, **kwargs: (bad, []))
    assert fuzz.main([]) == 1
    assert "FAULT decoder 0" in capsys.readouterr().out
