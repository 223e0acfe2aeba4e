"""The bundled voices of the page: format, level, metadata and size."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

EXAMPLES_DIR = Path(__file__).parents[1] / "assets" / "examples"
EXAMPLES = json.loads((EXAMPLES_DIR / "examples.json").read_text(encoding="utf-8"))
MAX_TOTAL_BYTES = 1_500_000


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["file"])
def test_clip_is_16_khz_mono_of_6_to_12_s(example):
    info = soundfile.info(EXAMPLES_DIR / example["file"])
    assert (info.samplerate, info.channels, info.format, info.subtype) == (16_000, 1, "FLAC", "PCM_16")
    assert 6 <= info.duration <= 12


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["file"])
def test_clip_has_speech_level_without_clipping(example):
    wav, _ = soundfile.read(EXAMPLES_DIR / example["file"])
    assert -32 < 20 * np.log10(np.sqrt(np.mean(wav**2))) < -22
    assert np.abs(wav).max() < 0.9


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["file"])
def test_clip_has_complete_metadata(example):
    assert set(example) == {"file", "label", "sex", "text", "source", "licence"}
    assert all(value.strip() for value in example.values())
    assert example["sex"] in {"F", "M"}
    assert {"F": "(female)", "M": "(male)"}[example["sex"]] in example["label"]


def test_examples_json_lists_every_file_once():
    listed = [example["file"] for example in EXAMPLES]
    present = {path.name for path in EXAMPLES_DIR.iterdir()} - {"examples.json"}
    assert len(set(listed)) == len(listed)
    assert set(listed) == present


def test_half_of_the_voices_are_female():
    sexes = [example["sex"] for example in EXAMPLES]
    assert sexes.count("F") == sexes.count("M") == 3


def test_readme_lists_every_clip_with_text_and_licence():
    readme = (EXAMPLES_DIR.parent / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    for example in EXAMPLES:
        (row,) = [row for row in rows if f"`{example['file']}`" in row]
        assert example["text"] in row
        assert example["licence"] in row


def test_all_clips_together_stay_under_the_size_limit():
    assert sum(path.stat().st_size for path in EXAMPLES_DIR.iterdir()) < MAX_TOTAL_BYTES
