"""The page without a browser: what its handlers do, what they keep, what they tell, and how it is served."""

import inspect
import json
import logging
import os
import runpy
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile as sf
from gradio_client import Client, handle_file
from matplotlib.figure import Figure

from saic import audio, web
from saic.errors import DataError
from saic.pipeline import Pipeline
from saic.web import Example, build_page, handlers, load_examples
from saic.web.failures import told_plainly
from saic.web.handlers import OWN_RECORDING, Handlers
from saic.web.store import GRACE_S, KEEP_S, ClipStore
from tests.conftest import RATE, voice
from tests.fakes import FakePipeline

ROOT = Path(__file__).parents[1]
HOUR_AGO = time.time() - 3600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClipStore]:
    store = ClipStore(tmp_path)
    yield store
    store.close()


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Two bundled voices, a low and a high one."""
    folder = tmp_path_factory.mktemp("examples")
    entries = []
    for name, hz in {"low": 110, "high": 220}.items():
        sf.write(folder / f"{name}.flac", voice(hz, 3.0), RATE)
        about = {
            "label": f"The {name} voice",
            "sex": "F",
            "text": "-",
            "source": "generated",
            "licence": "none",
        }
        entries.append({"file": f"{name}.flac", **about})
    (folder / "examples.json").write_text(json.dumps(entries))
    return load_examples(folder)


@pytest.fixture
def do(store: ClipStore, examples: list[Example]) -> Handlers:
    return Handlers(FakePipeline(), examples, store)


@pytest.fixture
def upload(store: ClipStore) -> Path:
    """A recording as Gradio keeps it: its hash, then the name that the user gave it."""
    folder = store.folder / "0123abcd"
    folder.mkdir()
    audio.save(folder / "Jane Doe 1960.wav", voice(150, 2.0))
    return folder / "Jane Doe 1960.wav"


def age(path: Path, when: float = HOUR_AGO) -> None:
    os.utime(path, (when, when))


# --- the store -------------------------------------------------------------------------------------------


def test_the_store_is_private_and_its_folders_are_new_each_time(store: ClipStore) -> None:
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert len({store.new() for _ in range(20)}) == 20
    assert stat.S_IMODE(store.new().stat().st_mode) == 0o700


def test_a_sweep_takes_the_old_and_leaves_the_young_and_the_bundled(store: ClipStore) -> None:
    old, young = store.new(), store.new()
    (old / "swapped.wav").write_bytes(b"-")
    (store.bundled / "voice-01.wav").write_bytes(b"-")
    for path in (old, store.bundled):
        age(path)
    store.sweep()
    assert store.bundled.stat().st_mtime > HOUR_AGO + 3000
    assert young.exists() and not old.exists() and (store.bundled / "voice-01.wav").exists()


def test_everything_is_gone_after_the_time_that_the_page_promises(store: ClipStore, upload: Path) -> None:
    store.new()
    store.sweep(now=time.time() + KEEP_S + 1)
    assert list(store.folder.iterdir()) == [store.bundled]


def test_an_upload_that_was_read_goes_after_the_grace_and_not_before(store: ClipStore, upload: Path) -> None:
    store.expire_upload(upload)
    store.sweep(now=time.time() + GRACE_S / 2)
    assert upload.exists()
    store.sweep(now=time.time() + GRACE_S + 1)
    assert not upload.parent.exists()


def test_only_uploads_can_be_expired(store: ClipStore, tmp_path: Path) -> None:
    kept, outside = store.new() / "recording.wav", tmp_path / "elsewhere.wav"
    for path in (kept, outside, store.bundled / "voice-01.wav"):
        path.write_bytes(b"-")
        store.expire_upload(path)
        store.expire_upload(path.parent / ".." / path.parent.name / path.name)
    store.sweep(now=time.time() + GRACE_S + 1)
    assert kept.exists() and outside.exists() and (store.bundled / "voice-01.wav").exists()


def test_a_store_clears_what_a_killed_process_left_and_leaves_a_living_one(store: ClipStore) -> None:
    dead = ClipStore(store.folder.parent)
    (dead.new() / "swapped.wav").write_bytes(b"-")
    age(dead.folder)
    living = ClipStore(store.folder.parent)
    assert not dead.folder.exists()
    store.sweep()
    assert living.folder.exists() and store.folder.exists()
    living.close()
    dead.close()


def test_closing_removes_everything(store: ClipStore) -> None:
    store.new()
    store.close()
    assert not store.folder.exists()


# --- bundled voices ---------------------------------------------------------------------------------------


def test_the_examples_of_this_repository_load_and_can_be_converted(store: ClipStore) -> None:
    bundled = Handlers(FakePipeline(), load_examples(ROOT / "assets" / "examples"), store).bundled
    assert len(bundled) >= 2
    for path in bundled.values():
        assert sf.info(path).samplerate == RATE


@pytest.mark.parametrize("listing", [None, "{", "[]", '[{"file": "gone.flac"}]', "[1]", '{"a": 1}'])
def test_a_bad_list_of_examples_is_an_error(listing: str | None, tmp_path: Path) -> None:
    if listing is not None:
        (tmp_path / "examples.json").write_text(listing)
    with pytest.raises(DataError):
        load_examples(tmp_path)


# --- handlers ---------------------------------------------------------------------------------------------


def test_an_upload_becomes_a_plain_copy_with_a_neutral_name(do: Handlers, store: ClipStore, upload: Path) -> None:
    copy = Path(do.take_in(str(upload)))
    assert copy.name == "recording.wav" and copy.is_relative_to(store.folder)
    assert np.allclose(audio.load(copy), audio.load(upload), atol=2 / 2**15)
    store.sweep(now=time.time() + GRACE_S + 1)
    assert copy.exists() and not upload.exists()


@pytest.mark.parametrize(("content", "words"), [(b"RIFF" + b"x" * 999, "decoded"), (b"", "empty"), (None, "silent")])
def test_a_bad_upload_is_told_without_its_name_and_goes(
    content: bytes | None, words: str, do: Handlers, store: ClipStore, upload: Path
) -> None:
    if content is None:
        audio.save(upload, np.zeros(RATE, np.float32), force=True)
    else:
        upload.write_bytes(content)
    with pytest.raises(gr.Error, match=words) as caught:
        do.take_in(str(upload))
    assert "Jane" not in caught.value.message and not caught.value.print_exception
    store.sweep(now=time.time() + GRACE_S + 1)
    assert not upload.exists()


def test_a_recording_over_the_limit_is_refused(do: Handlers, upload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "LIMITS", audio.Limits(max_duration_s=1.0))
    with pytest.raises(gr.Error, match="longer"):
        do.take_in(str(upload))


def test_a_conversion_gives_three_plain_clips_and_two_figures(do: Handlers, store: ClipStore) -> None:
    low, high = do.bundled.values()
    stages = []
    *clips, mels, maps = map(Path, do.convert(low, high, progress=lambda share, desc: stages.append((share, desc))))
    assert [clip.name for clip in clips] == ["original.wav", "reconstructed.wav", "swapped.wav"]
    for clip in clips:
        info = sf.info(clip)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        assert info.frames == sf.info(low).frames
    assert np.array_equal(audio.load(clips[0]), audio.load(low))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (mels, maps))
    assert len({path.parent for path in (*clips, mels, maps)}) == 1 and mels.is_relative_to(store.folder)
    shares = [share for share, _ in stages]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1 and all(desc for _, desc in stages)


def test_a_swapped_clip_that_cannot_be_mapped_is_still_given(do: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = []
    monkeypatch.setattr(handlers.plots, "embedding_maps", lambda voices, clips: mapped.extend(clips) or Figure())
    convert = FakePipeline.convert
    mute = lambda *clips, **options: replace(convert(*clips, **options), wav=np.zeros(RATE, np.float32))  # noqa: E731
    monkeypatch.setattr(FakePipeline, "convert", mute)
    assert len(do.convert(*do.bundled.values())) == 5
    assert mapped == ["Original", "Other voice"]


def test_two_conversions_share_no_file(do: Handlers) -> None:
    low, high = do.bundled.values()
    first, second = do.convert(low, high), do.convert(high, low)
    assert not set(first) & set(second)


def test_clips_that_are_on_the_page_can_be_converted_again(do: Handlers, store: ClipStore, upload: Path) -> None:
    source, target = do.take_in(str(upload)), list(do.bundled.values())[1]
    do.convert(source, target)
    store.sweep(now=time.time() + GRACE_S + 1)
    do.convert(source, target)


def test_a_clip_that_is_gone_is_told(do: Handlers, store: ClipStore) -> None:
    with pytest.raises(gr.Error, match="no longer on the server"):
        do.convert(str(store.folder / "clip-x" / "recording.wav"), next(iter(do.bundled.values())))


def test_another_person_must_have_agreed(do: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    for source, target, choice, consent in [
        (None, "t", "The low voice", False),
        ("s", None, OWN_RECORDING, True),
        ("s", "t", OWN_RECORDING, False),
    ]:
        with pytest.raises(gr.Error):
            do.check(source, target, choice, consent)
    assert len(set(warned)) == 3 and "agreed" in warned[-1]
    do.check("s", "t", OWN_RECORDING, True)
    do.check("s", "t", "The low voice", False)
    assert len(warned) == 3


def test_consent_to_one_voice_is_not_consent_to_the_next(do: Handlers) -> None:
    target, consent = do.choose(OWN_RECORDING)
    assert target["value"] is None and target["interactive"] and consent["visible"] and consent["value"] is False
    target, consent = do.choose("The high voice")
    assert Path(target["value"]).is_file() and not target["interactive"] and not consent["visible"]


def test_our_own_failures_tell_the_user_an_id_and_the_log_no_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught, told_plainly():
        raise ValueError("cannot read /data/jane/Jane Doe.wav")
    (record,) = caplog.records
    event_id = caught.value.message.rstrip(".").split()[-1]
    assert event_id in record.getMessage() and "ValueError" in record.getMessage()
    assert record.exc_info is None
    for text in (caught.value.message, record.getMessage()):
        assert "Jane" not in text and "/data" not in text


def test_the_fake_has_the_pipelines_own_signatures() -> None:
    for name in ("convert", "embed"):
        real, fake = (inspect.signature(getattr(cls, name)).parameters for cls in (Pipeline, FakePipeline))
        assert [(p.name, p.kind, p.default) for p in fake.values()] == [
            (p.name, p.kind, p.default) for p in real.values()
        ]


# --- the served page --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it: let it be undone
    store = ClipStore(tmp_path_factory.mktemp("store"))
    page = build_page(FakePipeline(), examples, store=store)
    web.launch(page, prevent_thread_lock=True, quiet=True)
    yield page
    page.close()
    store.close()
    patch.undo()


@pytest.fixture(scope="module")
def client(page: gr.Blocks, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(page.local_url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def test_nothing_that_gradio_would_record_or_share_is_on(page: gr.Blocks) -> None:
    config = page.get_config_file()
    assert config["run_history"] is False and config["analytics_enabled"] is False and config["show_error"] is False
    buttons = [part["props"]["buttons"] for part in config["components"] if part["type"] in ("audio", "image")]
    assert len(buttons) == 7 and not any("share" in names for names in buttons)
    assert page.max_file_size == handlers.LIMITS.max_bytes
    assert page._queue.max_size == 20


def test_one_conversion_runs_at_a_time(page: gr.Blocks) -> None:
    converting = [fn for fn in page.fns.values() if fn.name == "convert"]
    assert len(converting) == 2  # the button's and the example's
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in converting} == {("convert", 1)}


def test_the_api_is_convert_and_nothing_else(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/convert"]
    assert [p["parameter_name"] for p in endpoints["/convert"]["parameters"]] == ["source", "target"]
    assert len(endpoints["/convert"]["returns"]) == 5


def test_the_api_converts_uploads(client: Client, tmp_path: Path) -> None:
    paths = [tmp_path / "Jane Doe.ogg", tmp_path / "other.flac"]
    for path, hz in zip(paths, (110, 220), strict=True):
        sf.write(path, voice(hz, 2.0), RATE)
    shown = client.predict(handle_file(paths[0]), handle_file(paths[1]), api_name="/convert")
    assert [Path(path).name for path in shown] == [
        *("original.wav", "reconstructed.wav", "swapped.wav"),
        *("spectrograms.png", "maps.png"),
    ]
    assert sf.info(shown[2]).frames == 2 * RATE


def test_the_api_tells_what_is_wrong_with_a_file(client: Client, tmp_path: Path, capfd) -> None:
    (tmp_path / "Jane Doe.wav").write_bytes(b"not audio" * 100)
    clip = handle_file(tmp_path / "Jane Doe.wav")
    with pytest.raises(Exception, match="can be decoded") as caught:
        client.predict(clip, clip, api_name="/convert")
    assert "Jane" not in str(caught.value) and "Jane" not in "".join(capfd.readouterr())


def test_app_py_builds_the_page_with_the_weights_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda weights: named.append(weights) or FakePipeline())
    build = runpy.run_path(str(ROOT / "app.py"), run_name="app")["build"]
    assert isinstance(build(), gr.Blocks) and isinstance(build("a/folder"), gr.Blocks)
    assert named == [None, "a/folder"]
