"""Keys of pseudonyms: the bits of a subject, the key file, and what is never printed."""

import hashlib
import json
import os
import pickle
import stat
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from saic import cli, keys
from saic.conversion import Voice
from saic.errors import UsageError, WeightsError
from saic.gallery import N_COMPONENTS, SHARES, Gallery, _Integers, draw_blend
from saic.keys import Key, KeyFileError, OtherVoices
from saic.weights import write_sums

ROOT = Path(__file__).parents[1]
ZEROS = Key(bytes(32), "0" * 64, "1" * 64)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Files with the names of weights: a key needs their hashes alone."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "voices.safetensors"):
        (folder / name).write_bytes(name.encode())
    write_sums(folder)
    return folder


def gallery(n: int = 40) -> Gallery:
    """Random voices, half of each sex, as float16 numbers."""
    random = np.random.default_rng(0)
    arrays = [random.normal(size=size) for size in ((n, 2, 16), (n, 2, 8), (n, 2), (n, 81, 80))]
    arrays = [array.astype(np.float16).astype(np.float32) for array in arrays]
    return Gallery(tuple(f"Voice {k}" for k in range(n)), tuple("FM" * (n // 2)), *arrays, threshold=0.5)


def same(a: Voice, b: Voice) -> bool:
    names = ("embedding", "f0_stats", "mel_statistics")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def test_bits_and_blend_of_a_known_key_are_these_integers() -> None:
    """They must never change: every key that is in use would give its subjects other voices."""
    bits = ZEROS.bits("A")
    assert bits.hex() == "89a1baba68772bd240a8aa3bab396e783cc1e8a1ce58a53070542e55245be8e2"
    integers = _Integers(bits)
    assert [integers.below(1000) for _ in range(5)] == [643, 804, 824, 536, 432]
    assert draw_blend(_Integers(bits), range(20)) == BLEND
    assert keys.bits_of_seed(1).hex() == "3f130c3c08417758d3d91294e5f6e1ba23f22de96d1cdce3f08b7b0370582978"


BLEND = {12: 1725011320791807, 16: 984692288047522, 15: 1793896018531167}


def test_another_key_study_or_subject_gives_other_bits() -> None:
    other = Key(bytes(31) + b"\1", ZEROS.weights_sha256, ZEROS.gallery_sha256)
    names = [("A", ""), ("B", ""), ("A ", ""), ("A", "1"), ("1", "A"), ("AB", "C"), ("B", "CA"), ("a", "")]
    drawn = [ZEROS.bits(*name) for name in names] + [other.bits("A")]
    assert len(set(drawn)) == len(drawn) and {len(bits) for bits in drawn} == {32}


def test_accents_in_nfc_and_nfd_are_one_subject() -> None:
    nfc, nfd = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    assert nfc != nfd and ZEROS.bits(nfc, nfd) == ZEROS.bits(nfd, nfc)


@pytest.mark.parametrize("subject", ["", "\ud800"])
def test_empty_subject_and_text_that_is_none_are_refused(subject: str) -> None:
    with pytest.raises(UsageError, match=r"subject"):
        ZEROS.bits(subject)


def test_shares_of_a_blend_are_positive_and_sum_to_one() -> None:
    seen = Counter()
    for k in range(300):
        blend = draw_blend(_Integers(k.to_bytes(32, "big")), range(20))
        assert len(blend) == N_COMPONENTS >= 3 and sum(blend.values()) == SHARES
        assert min(blend.values()) >= SHARES // (2 * N_COMPONENTS)
        seen.update(blend)
    assert len(seen) == 20 and max(seen.values()) < 3 * min(seen.values())
    assert len(draw_blend(_Integers(bytes(32)), [4])) == 1


def test_pseudonyms_of_equal_bits_are_equal_and_of_other_bits_are_not() -> None:
    voices = gallery()
    drawn = [voices.pseudonym(ZEROS.bits(str(k))) for k in range(200)]
    assert all(same(voice, voices.pseudonym(ZEROS.bits(str(k)))) for k, voice in enumerate(drawn))
    assert len({voice.embedding.numpy().tobytes() for voice in drawn}) == 200


def hash_of_voice() -> str:
    voice = gallery().pseudonym(ZEROS.bits("A", "B"))
    return hashlib.sha256(voice.embedding.numpy().tobytes() + voice.mel_statistics.numpy().tobytes()).hexdigest()


def test_voice_of_a_subject_is_the_same_in_another_process() -> None:
    """With another number of threads and other hashes of strings."""
    code = "import torch; from tests.test_keys import hash_of_voice; print(torch.get_num_threads(), hash_of_voice())"
    threads = "1" if torch.get_num_threads() > 1 else "2"
    environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": "1"}
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment, text=True)
    assert printed.split() == [threads, hash_of_voice()]


def test_any_register_is_the_lower_or_the_higher_voice_of_the_same_bits() -> None:
    voices, chosen = gallery(), []
    for k in range(50):
        bits = ZEROS.bits(str(k))
        lower, higher, either = (voices.pseudonym(bits, register) for register in ("lower", "higher", "any"))
        assert same(either, lower) != same(either, higher)
        chosen.append(same(either, lower))
    assert 10 < sum(chosen) < 40


def test_register_that_the_gallery_lacks_is_refused() -> None:
    voices = gallery(2)
    unknown = Gallery(voices.names, ("?", "?"), *(getattr(voices, name) for name in ARRAYS), threshold=0.5)
    with pytest.raises(UsageError, match="no voices of that register"):
        unknown.pseudonym(bytes(32), "lower")
    for register in ("same", "deep"):
        with pytest.raises(UsageError, match="register"):
            voices.pseudonym(bytes(32), register)


ARRAYS = ("speaker", "content", "f0_stats", "mel_statistics")


def test_voice_by_name_is_the_gallery_voice_and_an_unknown_name_is_refused() -> None:
    voices = gallery()
    np.testing.assert_allclose(voices.voice("Voice 7").embedding[0], voices.speaker[7].mean(axis=0), atol=1e-6)
    with pytest.raises(UsageError, match="Voice 0 to Voice 39"):
        voices.voice("Anna")


def test_key_file_has_mode_0600_and_is_read_back(weights: Path, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        key = Key.new(tmp_path / "k", weights)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600 and not keys.is_readable_by_others(tmp_path / "k")
    assert sorted(os.listdir(tmp_path)) == ["k", "weights"]
    assert (tmp_path / "k").read_text().startswith("saic-key 1\n")
    loaded = Key.load(tmp_path / "k")
    assert vars(loaded) == vars(key) and len(key.secret) == 32
    assert Key.new(tmp_path / "other", weights).secret != key.secret
    (tmp_path / "k").chmod(0o644)
    assert keys.is_readable_by_others(tmp_path / "k")


def test_key_file_is_never_replaced_and_errors_are_sentences(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("precious")
    with pytest.raises(KeyFileError, match="never replaced"):
        Key.new(tmp_path / "k", weights)
    assert (tmp_path / "k").read_text() == "precious"
    for path in (tmp_path / "none" / "k", tmp_path / ("n" * 300), tmp_path / "\0"):
        with pytest.raises(KeyFileError, match="cannot be written"):
            Key.new(path, weights)


def test_key_pins_weights_and_gallery(weights: Path, tmp_path: Path) -> None:
    key = Key.new(tmp_path / "k", weights)
    key.require(*keys.hashes(weights))
    for name, what in (("voices.safetensors", "voices"), ("model.safetensors", "weights")):
        before = (weights / name).read_bytes()
        (weights / name).write_bytes(b"another")
        with pytest.raises(OtherVoices, match=f"other {what}") as caught:
            key.require(*keys.hashes(weights))
        assert isinstance(caught.value, WeightsError)
        (weights / name).write_bytes(before)
    (weights / "voices.safetensors").unlink()
    write_sums(weights)
    with pytest.raises(WeightsError, match="no gallery"):
        Key.new(tmp_path / "k2", weights)
    assert not (tmp_path / "k2").exists()


DIGEST = "0" * 64


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"saic-key 2\nkey %b\nweights %b\ngallery %b\n",
        b"saic-key 1\nkey %b\nweights %b\n",
        b"saic-key 1\nkey %bff\nweights %b\ngallery %b\n",
        b"saic-key 1\nkey %b\nweights %b\ngallery %b\n" + b"#" * 10_000,
        b"saic-key 1\nweights %b\nkey %b\ngallery %b\n",
    ],
)
def test_file_that_is_no_key_is_refused_without_its_content(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(content.replace(b"%b", DIGEST.encode()))
    with pytest.raises(KeyFileError) as caught:
        Key.load(tmp_path / "k")
    assert DIGEST not in str(caught.value) and caught.value.__cause__ is None
    for path in (tmp_path / "none", tmp_path, tmp_path / "\0"):
        with pytest.raises(KeyFileError):
            Key.load(path)


def test_key_command_prints_no_key(weights: Path, tmp_path: Path) -> None:
    arguments = ["key", "new", str(tmp_path / "k"), "--weights", str(weights)]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0
    facts = json.loads(
        CliRunner().invoke(cli.app, [*arguments[:2], str(tmp_path / "j"), *arguments[3:], "--json"]).stdout
    )
    assert set(facts) == {"key_file", "weights_sha256", "gallery_sha256"}
    for name, printed in (("k", done.output), ("j", json.dumps(facts))):
        assert Key.load(tmp_path / name).secret.hex() not in printed
    again = CliRunner().invoke(cli.app, arguments)
    assert isinstance(again.exception, KeyFileError)


def test_key_is_not_in_its_text() -> None:
    key = Key(b"\xab" * 32, "0" * 64, "1" * 64)
    for text in (repr(key), str(key), f"{key}", repr([key])):
        assert "ab" * 16 not in text and "xab" not in text
    with pytest.raises(UsageError) as caught:
        key.bits("")
    assert "ab" * 16 not in str(caught.value)
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_key_of_another_version_of_the_draw_is_refused(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its subjects would get other voices from the same weights."""
    key = Key.new(weights / "key", weights)
    monkeypatch.setattr(keys, "VERSION", keys.VERSION + 1)
    with pytest.raises(OtherVoices, match="other voices"):
        key.require(*keys.hashes(weights))
