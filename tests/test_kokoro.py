"""What is said by whom in parallel speech; the synthesiser itself is not at hand in a test."""

import json
from pathlib import Path

import numpy as np
import pytest

from saic.errors import DataError
from train.kokoro import Kokoro, Voice, gallery, register_hz, runs_of_words, sentences

WORDNET = """\
00001740 v heal 000 | get healthy again; "The wound is healing slowly in the cold"; "his broken arm will mend"
00001741 v quote 000 | repeat; "to be or not to be that is the question" - Shakespeare; "Paris is in France now"
00001742 v count 000 | tally; "there were 12 of them there"; "she counted the ships in the harbour every day"
00001743 v walk 000 | use one's feet; "walk, don't run, to the exit over there"; "we walked instead of driving home"
"""


def test_sentences_are_examples_without_names_numbers_and_quotations(tmp_path: Path) -> None:
    (tmp_path / "data.verb").write_text(WORDNET, encoding="utf-8")
    texts = sentences(tmp_path, np.random.default_rng(0), set())
    said = " ".join(texts).lower()
    assert texts and all(9 <= len(text.split()) <= 18 and text[0].isupper() and text[-1] == "." for text in texts)
    assert not any(left_out in said for left_out in ("question", "paris", "12"))
    assert texts == sentences(tmp_path, np.random.default_rng(0), set())


def test_sentences_share_no_five_words_in_a_row_with_what_is_tested_on(tmp_path: Path) -> None:
    (tmp_path / "data.verb").write_text(WORDNET, encoding="utf-8")
    heard = runs_of_words("AND SHE COUNTED THE SHIPS IN THE HARBOUR")
    for seed in range(10):
        for text in sentences(tmp_path, np.random.default_rng(seed), heard):
            assert "counted the ships" not in text.lower()
    assert runs_of_words("one two three four") == set()
    assert runs_of_words("One, two three four FIVE six.") == {
        ("one", "two", "three", "four", "five"),
        ("two", "three", "four", "five", "six"),
    }


def test_a_gallery_begins_with_the_own_voices_and_blends_within_one_sex() -> None:
    own = [Voice(f"af_{i}", "F", (f"af_{i}",)) for i in range(3)] + [Voice(f"am_{i}", "M", (f"am_{i}",)) for i in "ab"]
    voices = gallery(own, 40, np.random.default_rng(0))
    assert voices[:5] == own and len({voice.name for voice in voices}) == 40
    for voice in voices[5:]:
        first, second = voice.files
        assert first != second and {name[1].upper() for name in voice.files} == {voice.sex}
        assert -0.25 <= voice.weight <= 1.25


def test_a_register_counts_voiced_frames_alone() -> None:
    assert register_hz(np.array([[0.0, 3.0, 100.0, 200.0, 300.0]])) == 200.0


def test_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"something else")
    (tmp_path / "vocab.json").write_text(json.dumps({"vocab": {}}))
    with pytest.raises(DataError, match="join the four"):
        Kokoro(tmp_path / "model.onnx", tmp_path / "vocab.json", tmp_path)
