"""Texts and voices of parallel speech; the synthesizer itself is not installed for tests."""

import json
from pathlib import Path

import numpy as np
import pytest

from saic.errors import DataError, UsageError
from train import kokoro
from train.kokoro import Kokoro, SyntheticVoice, Utterance, gallery, median_f0_hz, runs_of_words, sentences

WORDNET = """\
00001740 v heal 000 | get healthy again; "The wound is healing slowly in the cold"; "his broken arm will mend"
00001741 v quote 000 | repeat; "to be or not to be that is the question" - Shakespeare; "Paris is in France now"
00001742 v count 000 | tally; "there were 12 of them there"; "she counted the ships in the harbour every day"
00001743 v walk 000 | use one's feet; "walk, don't run, to the exit over there"; "we walked instead of driving home"
"""


def test_sentences_hold_no_names_numbers_or_quotations_and_repeat_with_the_seed(tmp_path: Path) -> None:
    (tmp_path / "data.verb").write_text(WORDNET, encoding="utf-8")
    texts = sentences(tmp_path, np.random.default_rng(0), set())
    joined = " ".join(texts).lower()
    assert texts and all(9 <= len(text.split()) <= 18 and text[0].isupper() and text[-1] == "." for text in texts)
    assert not any(word in joined for word in ("question", "paris", "12"))
    assert texts == sentences(tmp_path, np.random.default_rng(0), set())


def test_sentences_share_no_five_consecutive_words_with_evaluation_texts(tmp_path: Path) -> None:
    (tmp_path / "data.verb").write_text(WORDNET, encoding="utf-8")
    evaluation_text = runs_of_words("AND SHE COUNTED THE SHIPS IN THE HARBOUR")
    for seed in range(10):
        for text in sentences(tmp_path, np.random.default_rng(seed), evaluation_text):
            assert "counted the ships" not in text.lower()
    assert runs_of_words("one two three four") == set()
    assert runs_of_words("One, two three four FIVE six.") == {
        ("one", "two", "three", "four", "five"),
        ("two", "three", "four", "five", "six"),
    }


def test_gallery_has_the_own_voices_first_and_then_blends_of_one_sex() -> None:
    own = [SyntheticVoice(f"af_{i}", "F", (f"af_{i}",)) for i in range(3)] + [
        SyntheticVoice(f"am_{i}", "M", (f"am_{i}",)) for i in "ab"
    ]
    voices = gallery(own, 40, np.random.default_rng(0))
    assert voices[:5] == own and len({voice.name for voice in voices}) == 40
    for voice in voices[5:]:
        first, second = voice.files
        assert first != second and {name[1].upper() for name in voice.files} == {voice.sex}
        assert -0.25 <= voice.weight <= 1.25


def test_median_f0_uses_voiced_frames_only() -> None:
    assert median_f0_hz(np.array([[0.0, 3.0, 100.0, 200.0, 300.0]])) == 200.0


def test_model_file_with_another_hash_raises_data_error(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"something else")
    (tmp_path / "vocab.json").write_text(json.dumps({"vocab": {}}))
    with pytest.raises(DataError, match="join the four"):
        Kokoro(tmp_path / "model.onnx", tmp_path / "vocab.json", tmp_path)


class Synthesizer:
    """Stands for Kokoro: a tone in every voice. ``decoded`` counts them."""

    decoded = 0

    def tokens(self, text: str, accent: str) -> list[int]:
        return list(text.encode())

    def symbols(self, ids: list[int]) -> list[str]:
        return list(map(chr, ids))

    def encode(self, ids: list[int], voice: SyntheticVoice, speed: float = 1.0) -> Utterance:
        return Utterance(*np.full((3, 1, 4), 100.0, dtype=np.float32))

    def decode(self, utterance: Utterance, ids: list[int], voice: SyntheticVoice, ratio: float) -> np.ndarray:
        self.decoded += 1
        return np.sin(np.arange(2_400, dtype=np.float32))


def test_sentence_is_kept_if_it_is_finished_and_its_folder_refused_for_another_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kokoro, "_kokoro", synthesizer := Synthesizer())
    voices = [SyntheticVoice(name, "F", (name,)) for name in ("af_1", "af_2", "af_3")]

    def render(text: str, n_voices: int = 2) -> list[str]:
        rows = kokoro._render((tmp_path / "s0000", text, voices[:n_voices], voices[0], 1.0))
        return [row.path.name for row in rows]

    assert render("One.") == render("One.") == ["af_1.flac", "af_2.flac"] and synthesizer.decoded == 2
    with pytest.raises(UsageError, match="Name another folder"):
        render("Two.")
    assert len(render("One.", 3)) == 3 and synthesizer.decoded == 3
    phones = {"frames_per_s": 40, "phones": ["", *"One.", ""], "frames": [1, 2, 3, 4, 5, 6]}  # of 0.11
    (tmp_path / "s0000" / "phones.json").write_text(json.dumps(phones), encoding="utf-8")
    assert len(render("One.", 3)) == 3 and synthesizer.decoded == 3
    (tmp_path / "s0000" / "phones.json").unlink()  # as an interruption leaves the folder
    assert len(render("Two.", 3)) == 3 and synthesizer.decoded == 6
