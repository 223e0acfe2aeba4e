"""Damaged and malicious weights: each is refused with one line, quickly, and before memory is allocated for it."""

import json
import os
import resource
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from safetensors.torch import load, load_file, save, save_file

from saic import cli, weights
from saic.config import Config
from saic.errors import ConfigError, HubError, WeightsError
from saic.gallery import Gallery
from saic.model.model import Model
from saic.model.prosody import ProsodyPredictor
from saic.pipeline import Pipeline
from saic.vocoder.source_filter import SourceFilter
from saic.weights import CONFIG, FILES, MODEL, PROSODY, SUMS, VOCODER, VOICES, save_vocoder, write_sums
from saic.weights.tensors import read_tensors
from tests.test_hub import NAME, StandInHub, hub  # noqa: F401 - a fixture

Edit = Callable[[Path], None]
TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml").to_dict()
TINY["content_encoder"]["phone_encoder"] = {"channels": 8, "blocks": 2, "kernel": 3}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with all files, but small, so that hundreds of copies take little time."""
    torch.manual_seed(0)
    folder, config = tmp_path_factory.mktemp("whole"), Config.from_dict(TINY)
    Model(config).save_pretrained(folder)
    save_vocoder(folder, config, SourceFilter(16, 1, 7, 1).state_dict())
    random = np.random.default_rng(0)
    arrays = (random.standard_normal(shape, np.float32) for shape in ((3, 2, 16), (3, 2, 640), (3, 2), (3, 81, 80)))
    Gallery(("a", "b", "c"), ("F", "M", "F"), *arrays, threshold=0.5).save(folder / VOICES)
    ProsodyPredictor(config.content_encoder.code_channels, config.content_stride, clusters=4).save(folder / PROSODY)
    write_sums(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "private_name")


def put_config(folder: Path, **changes: object) -> None:
    """Change values by their path in the config, as ``decoder__channels=8``, and update the hashes."""
    values = json.loads((folder / CONFIG).read_text())
    for path, value in changes.items():
        *parents, key = path.split("__")
        section = values
        for parent in parents:
            section = section[parent]
        section[key] = value
    put(folder, CONFIG, json.dumps(values).encode())


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    write_sums(folder)


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail if the block takes longer than 5 s (0.1 s is usual), since it may wait for another process or never end."""

    def stop(*_: object) -> None:
        raise AssertionError("longer than 5 s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(5)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(call: Callable[[], object]) -> str:
    """The message with which a call refuses weights: one line without the folder's name."""
    with time_limit(), pytest.raises(WeightsError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400 and "private_name" not in message
    assert type(caught.value) in (WeightsError, HubError) and caught.value.exit_code == 4
    return message


def refused(folder: Path) -> str:
    return refusal(lambda: Pipeline.from_pretrained(folder))


def test_unchanged_weights_load(folder: Path) -> None:
    write_sums(folder)
    pipeline = Pipeline.from_pretrained(folder)
    assert pipeline.info()["vocoder"] == "neural" and len(pipeline.gallery.names) > 1


# --- files and hashes ----------------------------------------------------------------------------------------


def sums_without(folder: Path, *names: str) -> None:
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join(line for line in lines if line.split()[1] not in names))


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_not_listed_is_refused(folder: Path, name: str) -> None:
    sums_without(folder, name)
    assert name in refused(folder)
    assert name in refusal(lambda: weights.resolve(folder))


def test_neural_vocoder_of_the_config_must_be_listed(folder: Path) -> None:
    sums_without(folder, VOCODER)
    (folder / VOCODER).unlink()
    assert VOCODER in refused(folder)


def test_gallery_added_after_the_model_was_loaded_must_be_listed(folder: Path) -> None:
    sums_without(folder, VOICES)
    (folder / VOICES).rename(folder / "kept")
    pipeline = Pipeline.from_pretrained(folder)
    assert "train.voices" in refusal(lambda: pipeline.gallery)
    (folder / "kept").rename(folder / VOICES)
    assert VOICES in refusal(lambda: pipeline.gallery)
    write_sums(folder)
    assert pipeline.gallery.names


SUMS_EDITS = {
    "empty": lambda sums: b"",
    "not UTF-8": lambda sums: b"\xff\xfe",
    "zeros": lambda sums: bytes(100),
    "a file outside": lambda sums: sums + b"0" * 64 + b"  ../config.json\n",
    "twice": lambda sums: sums * 2,
    "an empty line": lambda sums: b"\n" + sums,
    "capitals": lambda sums: sums.upper(),
    "too long": lambda sums: sums + b" " * 200_000,
}


@pytest.mark.parametrize("how", SUMS_EDITS)
def test_malformed_sums_are_refused(folder: Path, how: str) -> None:
    (folder / SUMS).write_bytes(SUMS_EDITS[how]((folder / SUMS).read_bytes()))
    assert SUMS in refused(folder)


def test_weights_of_an_interrupted_training_run_load_without_an_unlisted_gallery(whole: Path, tmp_path: Path) -> None:
    Model(Config.from_dict(TINY)).save_pretrained(tmp_path)
    assert Pipeline.from_pretrained(tmp_path).info()["vocoder"] == "griffin-lim"
    Gallery.load(whole / VOICES).save(tmp_path / VOICES)
    assert "Remove that file" in refused(tmp_path)  # killed before its hash was written
    (tmp_path / VOICES).unlink()
    Pipeline.from_pretrained(tmp_path)


# --- files that are not regular files ------------------------------------------------------------------------


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket has a short limit
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def make_unreadable(path: Path) -> None:
    """A regular file whose reading fails. Permissions alone do not stop root."""
    if Path("/proc/self/mem").exists():
        path.symlink_to("/proc/self/mem")
    else:
        path.touch(mode=0)


KINDS = {
    "nothing": lambda path: None,
    "fifo": make_fifo,
    "socket": make_socket,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "unreadable": make_unreadable,
}


@pytest.mark.parametrize("name", [SUMS, *FILES])
@pytest.mark.parametrize("kind", KINDS)
def test_unreadable_file_is_refused(folder: Path, kind: str, name: str) -> None:
    (folder / name).unlink()
    KINDS[kind](folder / name)
    assert name in refused(folder)


def test_pipe_is_not_read_for_tensors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MODEL)
    both_ends = os.open(tmp_path / MODEL, os.O_RDWR)  # so that opening it for reading would not block
    try:
        refusal(lambda: read_tensors(tmp_path / MODEL))
    finally:
        os.close(both_ends)


def test_file_over_the_size_limit_is_refused(folder: Path) -> None:
    put(folder, MODEL, b"")
    os.truncate(folder / MODEL, 2**40)  # a hole, which takes no space
    assert MODEL in refused(folder)


@pytest.mark.parametrize(
    "name", ["x" * 5_000, f"x/{'y' * 5_000}", "x/" * 5_000, "nul\0", "\udcff", "a\nb", "/dev/null", "no/where/at/all"]
)
def test_name_that_is_not_a_folder_is_refused(name: str) -> None:
    for given in (name, Path(name)):
        assert "no such weights folder" in refusal(lambda given=given: Pipeline.from_pretrained(given))


# --- the config ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf" + json.dumps(TINY).encode(),
        json.dumps(TINY).encode() + b" " * 200_000,
        b"[" * 90_000,
        b'{"decoder":' * 9_000,
        b"[" * 500 + b"]" * 500,
        b'{"format_version": 6, "seed": ' + b"9" * 9_000 + b"}",
        b"null",
        b"[]",
        b'"text"',
        b'{"format_version": "5\\n"}',
        b'{"format_version": [5, 5]}',
        b'{"format_version": ' + b"1" * 4_000 + b"}",
    ],
    ids=range(15),
)
def test_file_that_is_not_a_config_is_refused(folder: Path, content: bytes) -> None:
    put(folder, CONFIG, content)
    refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"decoder": None},
        {"decoder": []},
        {"decoder__channels": "many"},
        {"decoder__channels": 0.5},
        {"decoder__channels": -1},
        {"conversion__correlation_share": float("nan")},
        {"stage1__noise_std": float("inf")},
        {"content_encoder__strides": [1, 3]},
        {"content_encoder__phone_encoder": 7},
        {"content_encoder__phone_encoder__more": 7},
        {"content_encoder__phone_encoder__kernel": 30},
        {"content_encoder__phone_encoder__channels": 110},
        {"decoder__a\nline\x1b[31m" + "x" * 500: 7},
        {"decoder__more": 7, "vocoder__more": 7, "more": 7},
        {"content_encoder__strides": [2] * 70, "decoder__upsampling": [2] * 70},
        {"vocoder__iterations": 10**9},
    ],
)
def test_invalid_config_value_is_refused(folder: Path, changes: dict[str, object]) -> None:
    put_config(folder, **changes)
    assert CONFIG in refused(folder)


def test_unknown_key_of_an_optional_section_lists_the_valid_keys() -> None:
    with pytest.raises(ConfigError, match=r"'content_encoder\.phone_encoder\.more'.*channels, blocks, kernel"):
        Config.from_dict({"content_encoder": {"phone_encoder": {"more": 7}}})


@pytest.mark.parametrize("size", [36_000, 36 * 10**9, 36 * 10**30], ids=["thousands", "billions", "beyond"])
@pytest.mark.parametrize(
    "path",
    [
        "content_encoder__channels",
        "content_encoder__kernel",
        "content_encoder__code_channels",
        "content_encoder__phone_encoder__channels",
        "content_encoder__phone_encoder__blocks",
        "content_encoder__phone_encoder__kernel",
        "speaker_encoder__channels",
        "speaker_encoder__kernel",
        "speaker_encoder__embedding_size",
        "decoder__channels",
        "decoder__kernel",
        "vocoder__channels",
        "vocoder__layers",
        "vocoder__expansion",
    ],
)
def test_network_larger_than_its_file_is_not_built(folder: Path, path: str, size: int) -> None:
    put_config(folder, **{path: size + ("phone_encoder__kernel" in path)})
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "do not fit" in refused(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 200_000


@pytest.mark.parametrize(
    "changes",
    [
        {"content_encoder__phone_encoder__channels": 1, "content_encoder__phone_encoder__blocks": 10**9},
        {"content_encoder__strides": [1] * 9_000, "decoder__upsampling": [1] * 9_000},
    ],
)
def test_network_with_more_layers_than_its_file_is_not_built(folder: Path, changes: dict[str, object]) -> None:
    put(folder, MODEL, save(load_file(folder / MODEL) | {"more": torch.zeros(5_000_000, dtype=torch.float16)}))
    put_config(folder, **changes)
    assert "do not fit" in refused(folder)


# --- tensors -------------------------------------------------------------------------------------------------


def of_tensors(change: Callable[[dict[str, torch.Tensor], str], object]) -> Callable[[bytes], bytes]:
    """An edit of the tensors; ``change`` gets them and the name of a matrix."""

    def edit(content: bytes) -> bytes:
        tensors = load(content)
        change(tensors, next(name for name in tensors if len(set(tensors[name].shape)) == 2))
        return save(tensors, header_of(content).get("__metadata__"))

    return edit


def of_header(change: Callable[[dict, str], object]) -> Callable[[bytes], bytes]:
    """An edit of the header alone; ``change`` gets it and the name of a matrix."""

    def edit(content: bytes) -> bytes:
        header = header_of(content)
        change(header, next(name for name in header if len(set(header[name].get("shape", ()))) == 2))
        changed = json.dumps(header).encode()
        return struct.pack("<Q", len(changed)) + changed + content[8 + struct.unpack("<Q", content[:8])[0] :]

    return edit


def header_of(content: bytes) -> dict[str, dict]:
    return json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])


def first_element(value: float) -> Callable[[dict[str, torch.Tensor], str], None]:
    def change(tensors: dict[str, torch.Tensor], name: str) -> None:
        tensors[name].view(-1)[0] = value

    return change


def with_header(header: bytes) -> Callable[[bytes], bytes]:
    return lambda content: struct.pack("<Q", len(header)) + header


MALFORMED = {
    "empty": lambda content: b"",
    "short": lambda content: content[:7],
    "no tensors": with_header(b"{}"),
    "plain text": lambda content: b"no tensors at all" * 100,
    "cut header": lambda content: content[:1_000],
    "cut data": lambda content: content[:-2],
    "more data": lambda content: content + b"\0\0",
    "endless header": lambda content: b"\xff" * 8 + content[8:],
    "long header": lambda content: struct.pack("<Q", len(content)) + content[8:],
    "not JSON": with_header(b"{{{{"),
    "not UTF-8": with_header(b'{"\xff": 1}'),
    "nested header": with_header(b'{"a":' * 50_000),
    "header of a list": with_header(b"[]"),
    "no mapping": of_header(lambda header, name: header.update({name: 5})),
    "no dtype": of_header(lambda header, name: header[name].pop("dtype")),
    "unknown dtype": of_header(lambda header, name: header[name].update(dtype="F17")),
    "dtype of twice the size": of_header(lambda header, name: header[name].update(dtype="F32")),
    "dtype of the same size": of_header(lambda header, name: header[name].update(dtype="I16")),
    "shape that overflows": of_header(lambda header, name: header[name].update(shape=[2**40, 2**40])),
    "negative shape": of_header(lambda header, name: header[name].update(shape=[-1, -1])),
    "other shape": of_header(lambda header, name: header[name]["shape"].reverse()),
    "offsets past the end": of_header(lambda header, name: header[name].update(data_offsets=[2**40, 2**41])),
    "offsets of nothing": of_header(lambda header, name: header[name].update(data_offsets=[0, 0], shape=[0, 5])),
    "missing": of_tensors(lambda tensors, name: tensors.pop(name)),
    "unknown": of_tensors(lambda tensors, name: tensors.update(more=torch.zeros(2))),
    "renamed": of_tensors(lambda tensors, name: tensors.update(more=tensors.pop(name))),
    "integers": of_tensors(lambda tensors, name: tensors.update({name: tensors[name].to(torch.int64)})),
    "doubles": of_tensors(lambda tensors, name: tensors.update({name: tensors[name].double()})),
    "complex": of_tensors(lambda tensors, name: tensors.update({name: tensors[name].to(torch.complex64)})),
    "one dimension more": of_tensors(lambda tensors, name: tensors.update({name: tensors[name][None].clone()})),
    "NaN": of_tensors(first_element(float("nan"))),
    "infinity": of_tensors(first_element(float("-inf"))),
}


@pytest.mark.parametrize("name", [MODEL, VOCODER, PROSODY])
@pytest.mark.parametrize("how", MALFORMED)
def test_malformed_tensors_are_refused(folder: Path, how: str, name: str) -> None:
    put(folder, name, MALFORMED[how]((folder / name).read_bytes()))
    assert name in refused(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tensors_of_each_float_type_load(folder: Path, whole: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(whole / MODEL).items()}
    put(folder, MODEL, save(tensors))
    loaded = Model.from_pretrained(folder).state_dict()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in tensors.items())


# --- the gallery ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gallery(whole: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Tensors and metadata of a gallery of three voices."""
    with safe_open(whole / VOICES, "pt") as file:
        return load_file(whole / VOICES), json.loads(file.metadata()["voices"])


ARRAYS = {
    "no voices": lambda t: t.update({name: tensor[:0] for name, tensor in t.items()}),
    "no points": lambda t: t.update(speaker=t["speaker"][:, :0], content=t["content"][:, :0]),
    "no sizes": lambda t: t.update(speaker=t["speaker"][..., :0]),
    "no codes": lambda t: t.update(content=t["content"][..., :0]),
    "a voice without F0 statistics": lambda t: t.update(f0_stats=t["f0_stats"][:2]),
    "a voice without mel statistics": lambda t: t.update(mel_statistics=t["mel_statistics"][:2]),
    "a voice without content": lambda t: t.update(content=t["content"][:2]),
    "a point without content": lambda t: t.update(content=t["content"][:, :1]),
    "three F0 statistics": lambda t: t.update(f0_stats=torch.zeros(3, 3)),
    "mel statistics without the mean": lambda t: t.update(mel_statistics=t["mel_statistics"][:, 1:]),
    "a flat speaker": lambda t: t.update(speaker=t["speaker"][:, 0]),
    "a single number": lambda t: t.update(speaker=torch.tensor(1.0)),
    "integers": lambda t: t.update(speaker=t["speaker"].to(torch.int16)),
    "NaN": lambda t: t["mel_statistics"].view(-1)[:1].fill_(float("nan")),
    "infinity": lambda t: t["content"].view(-1)[:1].fill_(float("inf")),
    "one array missing": lambda t: t.pop("f0_stats"),
    "one array more": lambda t: t.update(more=torch.zeros(3)),
}
ABOUT = {
    "one name missing": {"names": ["a", "b"]},
    "one name more": {"names": ["a", "b", "c", "d"]},
    "names of numbers": {"names": [1, 2, 3]},
    "names of lists": {"names": [["a"], ["b"], ["c"]]},
    "names in a text": {"names": "abc"},
    "names in a mapping": {"names": {"a": 1, "b": 2, "c": 3}},
    "null names": {"names": None},
    "null sexes": {"sexes": [None, None, None]},
    "one sex missing": {"sexes": ["F", "M"]},
    "threshold NaN": {"threshold": float("nan")},
    "threshold infinite": {"threshold": float("inf")},
    "threshold above 1": {"threshold": 1.01},
    "threshold below -1": {"threshold": -1.01},
    "threshold huge": {"threshold": 10**400},
    "threshold text": {"threshold": "0.5"},
    "threshold boolean": {"threshold": True},
    "threshold list": {"threshold": [0.5]},
    "null threshold": {"threshold": None},
}
METADATA = {
    "none": None,
    "another": {"format": "pt"},
    "not JSON": {"voices": "{"},
    "nested": {"voices": "[" * 90_000},
    "a list": {"voices": "[]"},
    "a number": {"voices": "5"},
    "null": {"voices": "null"},
    "empty": {"voices": "{}"},
}


def assert_gallery_is_refused(path: Path) -> None:
    assert "gallery" in refusal(lambda: Gallery.load(path))


@pytest.mark.parametrize("how", ARRAYS)
def test_gallery_with_inconsistent_arrays_is_refused(gallery: tuple, how: str, tmp_path: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in gallery[0].items()}
    ARRAYS[how](tensors)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / VOICES, {"voices": json.dumps(gallery[1])})
    assert_gallery_is_refused(tmp_path / VOICES)


@pytest.mark.parametrize("how", ABOUT)
def test_gallery_with_invalid_labels_or_threshold_is_refused(gallery: tuple, how: str, tmp_path: Path) -> None:
    save_file(gallery[0], tmp_path / VOICES, {"voices": json.dumps(gallery[1] | ABOUT[how])})
    assert_gallery_is_refused(tmp_path / VOICES)


@pytest.mark.parametrize("how", METADATA)
def test_gallery_without_valid_metadata_is_refused(gallery: tuple, how: str, tmp_path: Path) -> None:
    save_file(gallery[0], tmp_path / VOICES, METADATA[how])
    assert_gallery_is_refused(tmp_path / VOICES)


@pytest.mark.parametrize("how", MALFORMED)
def test_gallery_in_a_malformed_file_is_refused(folder: Path, how: str) -> None:
    (folder / VOICES).write_bytes(MALFORMED[how]((folder / VOICES).read_bytes()))
    assert_gallery_is_refused(folder / VOICES)


def test_saved_gallery_is_read_back(tmp_path: Path) -> None:
    saved = Gallery.load(weights.resolve() / VOICES)
    saved.save(tmp_path / VOICES)
    again = Gallery.load(tmp_path / VOICES)
    assert (again.names, again.sexes, again.threshold) == (saved.names, saved.sexes, saved.threshold)
    assert np.array_equal(again.content, saved.content) and again.content.dtype == np.float32


@pytest.mark.parametrize("array", ["speaker", "content"])
def test_gallery_of_other_weights_is_refused(folder: Path, gallery: tuple, array: str) -> None:
    pipeline = Pipeline.from_pretrained(folder)
    tensors = gallery[0] | {array: gallery[0][array][..., 1:].contiguous()}
    save_file(tensors, folder / VOICES, {"voices": json.dumps(gallery[1])})
    write_sums(folder)
    assert "other weights" in refusal(lambda: pipeline.gallery)


# --- the Hub -------------------------------------------------------------------------------------------------


def test_file_that_a_repository_does_not_list_is_not_downloaded(hub: StandInHub, folder: Path) -> None:  # noqa: F811
    sums_without(folder, VOICES)
    name = f"{NAME}@{hub.add(NAME, folder)}"
    pipeline = Pipeline.from_pretrained(name)
    assert not any(request.endswith(VOICES) for request in hub.requests)
    assert "no gallery" in refusal(lambda: pipeline.gallery)


def test_unlisted_file_that_another_command_downloaded_is_refused(hub: StandInHub, folder: Path) -> None:  # noqa: F811
    sums_without(folder, VOICES)
    commit = hub.add(NAME, folder)
    snapshot_download(NAME, revision=commit)
    assert "does not list" in refusal(lambda: weights.resolve(f"{NAME}@{commit}"))


def test_repository_that_does_not_list_its_vocoder_is_refused(hub: StandInHub, folder: Path) -> None:  # noqa: F811
    sums_without(folder, VOCODER)
    name = f"{NAME}@{hub.add(NAME, folder)}"
    assert VOCODER in refusal(lambda: Pipeline.from_pretrained(name))


# --- the command line ----------------------------------------------------------------------------------------


def unlisted(folder: Path) -> None:
    sums_without(folder, VOICES)


def nested(folder: Path) -> None:
    put(folder, CONFIG, b"[" * 90_000)


def huge(folder: Path) -> None:
    put_config(folder, decoder__channels=10**9)


def wrong_twice(folder: Path) -> None:
    put_config(folder, decoder__channels=-1, decoder__more="x")


def poisoned(folder: Path) -> None:
    put(folder, MODEL, MALFORMED["NaN"]((folder / MODEL).read_bytes()))


def piped(folder: Path) -> None:
    (folder / SUMS).unlink()
    os.mkfifo(folder / SUMS)


def command_error(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The error line of a command that refuses weights, with exit code 4 and no other output."""
    argv = mock.patch.object(sys, "argv", ["saic", *map(str, arguments)])
    with time_limit(), argv, pytest.raises(SystemExit) as ended:
        cli.main()
    out, error = capfd.readouterr()
    assert ended.value.code == 4 and out == ""
    assert error.startswith("Error: ") and error.count("\n") == 1 and "Traceback" not in error
    return error


@pytest.mark.parametrize("edit", [unlisted, nested, huge, wrong_twice, poisoned, piped])
def test_commands_refuse_bad_weights_with_one_line(
    capfd: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, edit: Edit
) -> None:
    edit(folder)
    out = tmp_path / "out.wav"
    command_error(capfd, "info", "--weights", folder)
    command_error(capfd, "convert", "none.wav", "--target", "none.wav", "-o", out, "--weights", folder)
    assert not out.exists()


@pytest.mark.parametrize("name", ["x" * 5_000, f"x/{'y' * 5_000}", "nul\0"])
def test_commands_refuse_bad_names_with_one_line(capfd: pytest.CaptureFixture[str], name: str) -> None:
    command_error(capfd, "info", "--weights", name)


def test_identify_refuses_a_bad_gallery(capfd: pytest.CaptureFixture[str], folder: Path, gallery: tuple) -> None:
    save_file(gallery[0], folder / VOICES, {"voices": json.dumps(gallery[1] | {"threshold": float("nan")})})
    write_sums(folder)
    clip = Path(__file__).parents[1] / "assets" / "none.wav"
    assert "gallery" in command_error(capfd, "identify", clip, "--enrol", f"anna={clip}", "--weights", folder)


def test_gallery_and_prosody_of_other_tensors_go_when_a_model_is_saved_over_them(folder: Path) -> None:
    model = Model.from_pretrained(folder)
    model.save_pretrained(folder)
    assert (folder / VOICES).exists() and (folder / PROSODY).exists()
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    with mock.patch("saic.weights._write_config", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        model.save_pretrained(folder)  # ended in the middle
    model.save_pretrained(folder)
    assert not (folder / VOICES).exists() and not (folder / PROSODY).exists()
    assert Pipeline.from_pretrained(folder).profiles == ("prosody-kept",)
