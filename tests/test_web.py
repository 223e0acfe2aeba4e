"""The page without a browser: event handlers, stored files, messages, API and server."""

import asyncio
import contextlib
import errno
import hashlib
import inspect
import json
import logging
import re
import resource
import runpy
import socket
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from html import escape, unescape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import jsonschema
import numpy as np
import pytest
import soundfile as sf
from gradio_client import Client, handle_file

from saic import audio, file_report, plots, web
from saic.audio.sandbox import Sandbox
from saic.errors import DataError, NotSpeech, UsageError
from saic.evaluation import overview, protection
from saic.evaluation import report as reports
from saic.evaluation.protection import (
    Protection,
    ProtectionMeasurer,
    Similarity,
    SpeakerVerifier,
    TypicalRange,
    independent_verifier,
)
from saic.files import sha256
from saic.keys import Key, OtherVoices
from saic.pipeline import Pipeline
from saic.profiles import BALANCED, PROFILES, PROSODY_KEPT, STRICT
from saic.signal.loudness import loudness_lufs
from saic.spool import Spool
from saic.web import Documents, Example, build_page, conversions, documents, load_examples
from saic.web import page as pages
from saic.web.conversions import Converter, NewVoice
from saic.web.failures import gradio_errors
from saic.web.linkage import KNOWN_VOICE, Linkage, by_profile, linkage_html, linkage_sentence, read_linkage
from saic.web.notes import notes_html
from saic.web.parts import taken
from saic.web.printed_report import printed_report
from saic.web.progress import COMPARING, SHOWING, WRITING, Pace, Progress
from saic.web.protection_card import protection_card, verdict_html
from saic.web.script import SCRIPT
from saic.web.server import serve
from saic.web.server import uploads as server_uploads
from saic.web.server.firewall import Firewall
from saic.web.server.jobs import MAX_JOBS, Busy, Jobs
from saic.web.server.recordings import Recordings, limits_of
from saic.web.server.store import GONE, GRACE_S, KEEP_S, UPLOAD_KEEP_S, ClipStore, StoreFull
from saic.web.style import CSS
from saic.web.tabs import anonymize_layout
from saic.web.tabs.anonymize import Anonymizer, Run
from saic.web.tabs.batch import Batch, Batcher, Item
from saic.web.tabs.evaluation import Evaluation
from saic.web.tabs.explore import GALLERY, Explorer
from saic.web.tabs.identify import MAX_VOICES, EnrolledVoices, Identifier
from saic.web.texts import LANGUAGES, PageTexts
from saic.web.texts import en as texts
from saic.web.texts.en import OWN_RECORDING, PSEUDONYM
from saic.web.unseen import UnseenMaps
from tests import nginx
from tests.conftest import RATE, voice
from tests.fakes import STRICT_STRETCH, FakePipeline

ROOT = Path(__file__).parents[1]
NBSP = "\N{NO-BREAK SPACE}"
ME = SimpleNamespace(session_hash="me")
MAX_MINUTES = 5  # of one recording, as on a public server
GERMAN = SimpleNamespace(session_hash="me", headers={"accept-language": "de"})
ANOTHER = SimpleNamespace(session_hash="another")
VIEW = ("mel", "magma", 70, False)  # of the spectrograms, as a page opens
NO_PROGRESS = lambda share, stage, left_s: None  # noqa: E731


@pytest.fixture(autouse=True, scope="module")
def own_verifier():
    """Use the model's own speaker encoder: Resemblyzer is slow to load, and has its own test."""
    patch = pytest.MonkeyPatch()
    patch.setattr(protection, "independent_verifier", lambda: None)
    yield
    patch.undo()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClipStore]:
    store = ClipStore(tmp_path)
    yield store
    store.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator:
    sandbox = Sandbox(limits_of(MAX_MINUTES))
    yield sandbox
    sandbox.close()


@pytest.fixture
def recordings(store: ClipStore, sandbox) -> Recordings:
    return Recordings(store, Jobs(1), sandbox)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Two bundled voices, one low and one high."""
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
def anonymizer(recordings: Recordings, examples: list[Example]) -> Anonymizer:
    bundled, _ = pages._store_examples(examples, recordings.store)
    return Anonymizer(converter(recordings), recordings, bundled)


def converter(recordings: Recordings, pipeline=None, asr=None) -> Converter:
    pipeline = pipeline or FakePipeline()
    return Converter(pipeline, recordings, ProtectionMeasurer(FakePipeline(), asr))


@pytest.fixture
def busy_after_conversion(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it: the server then has no room for another job once a conversion is done."""

    def begin() -> None:
        convert = Converter.convert

        def convert_and_fill_up(*arguments, **options):
            result = convert(*arguments, **options)
            monkeypatch.setattr("saic.web.server.jobs.MAX_JOBS_PER_SESSION", 0)
            return result

        monkeypatch.setattr(Converter, "convert", convert_and_fill_up)

    return begin


@pytest.fixture
def upload(store: ClipStore) -> Path:
    """A recording as the firewall stores it."""
    path = store.receive(".wav")
    audio.save(path, voice(150, 2.0))
    return path


# --- bundled voices ---------------------------------------------------------------------------------------


def test_bundled_examples_are_16_khz_and_split_into_two_halves(store: ClipStore) -> None:
    bundled, halves = pages._store_examples(load_examples(ROOT / "assets" / "examples"), store)
    assert len(bundled) >= 2
    for label, path in bundled.items():
        assert sf.info(path).samplerate == RATE
        assert sum(sf.info(half).frames for half in halves[label]) == sf.info(path).frames


@pytest.mark.parametrize("listing", [None, "{", "[]", '[{"file": "gone.flac"}]', "[1]", '{"a": 1}'])
def test_bad_list_of_examples_raises_data_error(listing: str | None, tmp_path: Path) -> None:
    if listing is not None:
        (tmp_path / "examples.json").write_text(listing)
    with pytest.raises(DataError):
        load_examples(tmp_path)


def steady(hz: float, duration_s: float, seed: int = 0) -> np.ndarray:
    """A voice of constant pitch: the fake pipeline tells voices by their pitch alone."""
    time_s = np.arange(int(duration_s * RATE)) / RATE
    syllables = np.clip(3 * np.sin(2 * np.pi * (3 * time_s + 0.37 * seed)), 0, 1)
    return (0.1 * syllables * sum(np.sin(2 * np.pi * k * hz * time_s) / k for k in range(1, 12))).astype(np.float32)


# --- anonymize --------------------------------------------------------------------------------------------


def test_upload_is_replaced_by_plain_copy_and_deleted(anonymizer: Anonymizer, store: ClipStore, upload: Path) -> None:
    sent = audio.load(upload)
    copy = Path(anonymizer.decode_source(str(upload), ME))
    assert copy.name == "recording.wav" and store.may_read("me", copy) and not store.may_read("another", copy)
    assert np.allclose(audio.load(copy), sent, atol=2 / 2**15)
    assert not upload.exists()
    # A click before the player shows the copy still sends the path of the upload.
    assert np.array_equal(anonymizer._recordings.load(str(upload), "me"), audio.load(copy))
    assert anonymizer.decode_source(str(copy), ME)["__type__"] == "update" and copy.exists()  # it is plain already


def test_load_during_decoding_gives_the_plain_copy(anonymizer: Anonymizer, upload: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(anonymizer.decode_source, str(upload), ME)
        while upload.exists():  # until it is decoded; its copy may not be written yet
            time.sleep(0.001)
        wav = anonymizer._recordings.load(str(upload), "me")
    assert np.array_equal(wav, audio.load(taken.result()))


@pytest.mark.parametrize(("content", "message"), [(b"RIFF" + b"x" * 999, "decoded"), (b"", "empty"), (None, "silent")])
def test_bad_upload_raises_error_and_is_deleted(
    content: bytes | None, message: str, anonymizer: Anonymizer, upload: Path
) -> None:
    if content is None:
        audio.save(upload, np.zeros(RATE, np.float32), force=True)
    else:
        upload.write_bytes(content)
    with pytest.raises(gr.Error, match=message) as caught:
        anonymizer.decode_source(str(upload), ME)
    assert not caught.value.print_exception and str(upload) not in caught.value.message
    assert not upload.exists()


def test_recording_over_the_duration_limit_is_refused(anonymizer: Anonymizer, store: ClipStore) -> None:
    path = store.receive(".flac")
    sf.write(path, np.zeros((60 * MAX_MINUTES + 1) * 4000, np.float32), 4000, format="FLAC")
    with pytest.raises(gr.Error, match="longer than 5 min"):
        anonymizer.decode_source(str(path), ME)


@pytest.mark.parametrize("choice", ["The high voice", PSEUDONYM])
def test_conversion_gives_three_equally_loud_wavs_and_a_picture(choice: str, anonymizer: Anonymizer, store) -> None:
    low, high = anonymizer.bundled.values()
    stages = []
    note = lambda share, stage, left_s: stages.append((share, stage))  # noqa: E731
    run = Run(low, None if choice == PSEUDONYM else high, choice, BALANCED)
    anonymizer.run_conversion(run, ME, note)
    *clips, mels = map(Path, (*run.result.clips, *anonymizer.converter.pictures(run.result, "me")))
    code = sha256(clips[2])[:6]
    assert [clip.name for clip in clips] == ["original.wav", "reconstructed.wav", f"anonymized-{code}.wav"]
    for clip in clips:
        info = sf.info(clip)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        assert info.frames == sf.info(low).frames and store.may_read("me", clip)
    levels = [loudness_lufs(audio.load(clip)) for clip in clips]
    assert max(levels) - min(levels) < 0.1
    downloads = [run.result.swapped, *anonymizer.converter.encode(run.result, "me")]
    for path, kind in zip(downloads, ("WAV", "FLAC", "MP3", "OGG"), strict=True):
        info = sf.info(path)
        assert (info.format, info.samplerate, info.channels) == (kind, RATE, 1)
        assert info.duration == pytest.approx(sf.info(low).duration, abs=0.1)
    assert mels.read_bytes().startswith(b"\x89PNG")
    assert len({path.parent for path in (*clips, mels)}) == 1
    shares = [share for share, _ in stages]
    assert shares == sorted(shares) and shares[0] < 0.5 and shares[-1] < 1 and all(stage for _, stage in stages)


def test_other_session_cannot_use_recording_or_result(anonymizer: Anonymizer, store: ClipStore, upload: Path) -> None:
    high = anonymizer.bundled["The high voice"]
    mine = anonymizer.decode_source(str(upload), ME)
    run = Run(mine, high, "The high voice", BALANCED)
    with pytest.raises(gr.Error, match="no longer on the server"):
        anonymizer.run_conversion(run, ANOTHER, NO_PROGRESS)
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    with pytest.raises(gr.Error, match="no longer on the server"):
        anonymizer.show_details(run, *VIEW, ANOTHER)
    with pytest.raises(gr.Error, match="no longer on the server"):
        anonymizer.draw_pictures(run, ANOTHER)
    png, svg = (update["value"] for update in anonymizer.draw_pictures(run, ME))
    assert Path(png).read_bytes().startswith(b"\x89PNG") and b"<svg" in Path(svg).read_bytes()
    with pytest.raises(gr.Error, match="no longer on the server"):
        anonymizer.encode_downloads(run, ANOTHER)
    anonymizer.encode_downloads(run, ME)
    files = [path for path in Path(run.result.swapped).parent.iterdir()]
    code = run.result.code
    expected = {f"report-{code}.html", f"report-{code}.json", f"anonymized-{code}.mp3", f"anonymized-{code}.opus"}
    assert expected <= {path.name for path in files}
    assert all(store.may_read("me", path) and not store.may_read("another", path) for path in files)


def deleted_after_reading(recordings: Recordings, monkeypatch) -> None:
    """From now on, *Delete now* is pressed in another tab of the browser as soon as a recording was read."""
    read = Recordings.read

    def read_and_delete(self, path, session):
        recording = read(self, path, session)
        recordings.delete(session)
        return recording

    monkeypatch.setattr(Recordings, "read", read_and_delete)


def test_deletion_between_reading_and_converting_leaves_no_result(anonymizer, recordings, store, monkeypatch) -> None:
    low, high = anonymizer.bundled.values()
    deleted_after_reading(recordings, monkeypatch)
    with pytest.raises(gr.Error, match="Stopped"):
        anonymizer.run_conversion(Run(low, high, "The high voice", BALANCED), ME, NO_PROGRESS)
    assert {path.name for path in store.folder.iterdir()} <= {"bundled", ".lock"}


def test_cancel_stops_the_conversion_and_no_other_work_of_the_page(run, anonymizer, recordings) -> None:
    run, _ = run
    run.running = True
    with recordings.job("identify", "me") as job:
        anonymizer.cancel(run, ME)
        job.check()
    assert run.dropped


def test_bundled_voice_is_measured_once(anonymizer: Anonymizer) -> None:
    low, high = anonymizer.bundled.values()
    for _ in range(2):
        anonymizer.run_conversion(Run(low, high, "The high voice", BALANCED), ME, NO_PROGRESS)
    assert anonymizer.converter.pipeline.voices_measured == 1


def test_stopped_conversion_leaves_no_files(anonymizer: Anonymizer, store: ClipStore) -> None:
    low, high = anonymizer.bundled.values()

    def stop_early(share: float, stage: str, left_s: float) -> None:
        if stage.startswith("Vocoding"):
            anonymizer._recordings.jobs.stop("me")

    before = set(store.folder.iterdir())
    with pytest.raises(gr.Error, match="Stopped"):
        anonymizer.run_conversion(Run(low, high, "The high voice", BALANCED), ME, stop_early)
    assert set(store.folder.iterdir()) == before


@pytest.mark.parametrize("step", ["similarity", "asr"])
def test_stopped_measurement_ends_after_its_current_step(
    step: str, recordings: Recordings, examples, monkeypatch
) -> None:
    """Measuring a clip of five minutes takes long, so it can be stopped between two steps."""
    processed = []

    def transcribe(wav: np.ndarray, after_step, language) -> str:
        processed.append(len(wav))
        recordings.jobs.stop("me")
        after_step()

    bundled, _ = pages._store_examples(examples, recordings.store)
    asr = SimpleNamespace(transcribe=transcribe, language=lambda wav: "en")
    anonymizer = Anonymizer(converter(recordings, asr=asr), recordings, bundled)
    low, high = bundled.values()
    run = Run(low, high, "The high voice", BALANCED)
    if step == "similarity":
        embed = lambda wav: processed.append(len(wav)) or recordings.jobs.stop("me")  # noqa: E731
        verifier = replace(anonymizer.converter.measurer.verifier, embed=embed)
        monkeypatch.setattr(ProtectionMeasurer, "verifier", verifier)
        with pytest.raises(gr.Error, match="Stopped"):
            anonymizer.run_conversion(run, ME, NO_PROGRESS)
        assert run.result is None
    else:
        anonymizer.run_conversion(run, ME, NO_PROGRESS)
        shown = anonymizer.show_result(low, high, "The high voice", BALANCED, "any", "", run, ME)
        assert "is running" in shown[MEASURED]
        card, *reports = anonymizer.count_words(run, ME)
        assert "recognizer was stopped" in card and all(Path(report["value"]).is_file() for report in reports)
    assert len(processed) == 1 and not recordings.jobs.running


def test_recording_without_words_is_told_as_such(run, anonymizer: Anonymizer, monkeypatch) -> None:
    run, _ = run
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    monkeypatch.setattr(ProtectionMeasurer, "has_asr", True)
    monkeypatch.setattr(ProtectionMeasurer, "measure_words_kept", lambda *_: None)
    card, *_ = anonymizer.count_words(run, ME)
    assert "finds no words" in card and "is installed" not in card


def test_reports_come_though_the_words_cannot_be_counted(run, anonymizer: Anonymizer, monkeypatch, caplog) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("/data/jane")

    run, _ = run
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    monkeypatch.setattr(ProtectionMeasurer, "has_asr", True)
    monkeypatch.setattr(ProtectionMeasurer, "measure_words_kept", fail)
    card, *reports = anonymizer.count_words(run, ME)
    assert "recognizer was stopped" in card and all(Path(report["value"]).is_file() for report in reports)
    assert "MemoryError" in caplog.text and "jane" not in caplog.text


def test_missing_input_or_consent_raises_error(anonymizer: Anonymizer, monkeypatch: pytest.MonkeyPatch) -> None:
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    for source, target, choice, consent in [
        (None, "t", "The low voice", False),
        ("s", None, OWN_RECORDING, True),
        ("s", "t", OWN_RECORDING, False),
    ]:
        with pytest.raises(gr.Error):
            anonymizer.check_inputs(source, target, choice, consent)
    assert len(set(warned)) == 3 and "agreed" in warned[-1]
    anonymizer.check_inputs("s", "t", OWN_RECORDING, True, "t")
    anonymizer.check_inputs("s", "t", "The low voice", False)
    anonymizer.check_inputs("s", None, PSEUDONYM, False)
    assert len(warned) == 3


def test_change_of_voice_resets_consent(anonymizer: Anonymizer) -> None:
    target, consent, pseudonym = anonymizer.choose_target(OWN_RECORDING)
    assert not pseudonym["visible"]
    assert target["value"] is None and target["interactive"] and consent["visible"] and consent["value"] is False
    target, consent, _ = anonymizer.choose_target("The high voice")
    assert Path(target["value"]).is_file() and not target["interactive"] and not consent["visible"]
    target, consent, pseudonym = anonymizer.choose_target(PSEUDONYM)
    assert (target["visible"], consent["visible"], pseudonym["visible"]) == ("hidden", False, True)


def test_consent_holds_for_one_recording_only(
    anonymizer: Anonymizer, store: ClipStore, upload: Path, monkeypatch
) -> None:
    monkeypatch.setattr(gr, "Warning", lambda sentence: None)
    consented = str(upload)  # the box was ticked before the plain copy was there
    copy = anonymizer.decode_target(str(upload), ME)
    other = anonymizer.decode_target(sent(store, voice(110, 2.0)), ME)
    anonymizer.check_inputs("s", copy, OWN_RECORDING, True, consented)
    assert anonymizer.reset_consent(copy, True, consented) == gr.skip()
    for target, ticked, of in [
        (other, True, consented),
        (copy, False, consented),
        (copy, True, None),
        (None, True, consented),
    ]:
        with pytest.raises(gr.Error):
            anonymizer.check_inputs("s", target, OWN_RECORDING, ticked, of)
        if ticked:
            assert anonymizer.reset_consent(target, True, of)["value"] is False
    run = anonymizer.request_run("s", other, "The high voice", BALANCED, "any", "", False, None)
    assert run.target == anonymizer.bundled["The high voice"]  # not what the player may still hold, without consent


@pytest.fixture
def run(anonymizer: Anonymizer, store: ClipStore, upload: Path) -> tuple[Run, dict]:
    """A requested run, from an upload to a bundled voice, and the inputs that the page holds."""
    held = {"source": str(upload), "target": anonymizer.bundled["The high voice"], "choice": "The high voice"}
    held |= {"profile": BALANCED, "register": "any", "subject": ""}
    run = anonymizer.request_run(*held.values(), False, None)
    return run, held | {"source": anonymizer.decode_source(str(upload), ME)}


RESULTS, NOTES, PROTECTION, MEASURED, SWAPPED = range(4, 9)  # in the order of `Tab.results_area`


def shows_no_result(updates: tuple) -> bool:
    run_id, cancel, intro, progress, results, notes, *shown = updates
    visible = [part.get("visible", False) for part in (cancel, progress, results, notes)]
    files = [part["value"] if isinstance(part, dict) and "value" in part else part for part in shown[2:]]
    unset = [part for part in files if not isinstance(part, dict) and part is not False]
    assert len(unset) == 1 + 6 + 7  # the voice, its downloads, and the details; besides, the accordion and its tick
    return not any(visible) and "Press Convert" in intro["value"] and run_id == "" and not any(unset)


@pytest.mark.parametrize(
    "change",
    [
        {"source": None},
        {"source": "/another.wav"},
        {"choice": "The low voice"},
        {"choice": OWN_RECORDING},
        {"profile": STRICT},
        {"choice": PSEUDONYM},
    ],
)
def test_result_is_removed_when_an_input_changes(change: dict, run, anonymizer: Anonymizer, store: ClipStore) -> None:
    run, held = run
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    files = list(run.result.folder.iterdir())
    assert anonymizer.show_result(**held, run=run, request=ME)[4]["visible"]
    drop_if_changed = partial(anonymizer.drop_if_changed, request=ME)
    assert drop_if_changed(**held, shown_run_id=run.id, run=run) == gr.skip()  # the plain copy is the same recording
    assert drop_if_changed(**held | change, shown_run_id="earlier", run=run) == gr.skip()  # a late event
    assert all(file.exists() for file in files)
    assert shows_no_result(drop_if_changed(**held | change, shown_run_id=run.id, run=run))
    assert not any(file.exists() for file in files)
    assert drop_if_changed(**held, shown_run_id=run.id, run=run) == gr.skip()
    assert shows_no_result(drop_if_changed(**held | change, shown_run_id=run.id, run=run))  # it was shown late
    assert anonymizer.show_result(**held, run=run, request=ME) == gr.skip()
    assert anonymizer.show_details(run, *VIEW, ME) == anonymizer.draw_pictures(run, ME) == gr.skip()
    assert anonymizer.count_words(run, ME) == gr.skip()
    assert shows_no_result(drop_if_changed(**held, shown_run_id=run.id, run=None))  # the server has lost the run


def test_run_that_was_deleted_before_its_start_or_refused_by_a_full_queue_is_over(run, anonymizer: Anonymizer) -> None:
    assert anonymizer.start_run(None, None, ME) == gr.skip()
    run, _ = run
    _, cancel, _, progress, *_ = anonymizer.show_failure(run, ME)
    assert not cancel["visible"] and not progress["visible"]
    with run.in_progress():  # the page has started another one meanwhile
        assert anonymizer.show_failure(run, ME) == gr.skip()


def test_result_after_change_of_input_is_deleted(run, anonymizer: Anonymizer, store: ClipStore) -> None:
    run, held = run
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    files = list(run.result.folder.iterdir())
    assert shows_no_result(anonymizer.show_result(**held | {"source": None}, run=run, request=ME))
    assert not any(file.exists() for file in files)


DOWNLOADS = slice(9, 15)  # in the order of `Tab.results_area`


def test_verdict_is_shown_before_the_other_formats_are_encoded(run, anonymizer: Anonymizer, recordings) -> None:
    run, held = run
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    assert {path.suffix for path in run.result.folder.glob("anonymized-*.*")} == {".wav"}
    shown = anonymizer.show_result(**held, run=run, request=ME)
    assert "verdict" in shown[PROTECTION]
    wav, flac, mp3, opus, *reports = shown[DOWNLOADS]
    assert all(Path(button["value"]).is_file() and button["interactive"] for button in (wav, *reports))
    assert flac == mp3 == opus == gr.update(value=None, interactive=False)
    encoded = anonymizer.encode_downloads(run, ME)
    paths = [Path(button["value"]) for button in encoded if button["interactive"]]
    assert [path.name for path in paths] == [f"anonymized-{run.result.code}.{kind}" for kind in ("flac", "mp3", "opus")]
    assert all(path.is_file() for path in paths)
    anonymizer.cancel(run, ME)
    assert not run.result.folder.exists()


def test_encoding_ends_with_its_result(run, anonymizer: Anonymizer, store: ClipStore, monkeypatch) -> None:
    run, _ = run
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    formats, encode = [], conversions.encode

    def encode_and_cancel(wav, name, rate_hz):
        formats.append(name)
        anonymizer.cancel(run, ME)
        return encode(wav, name, rate_hz)

    monkeypatch.setattr(conversions, "encode", encode_and_cancel)
    for _ in range(2):  # the second event comes after the run was dropped
        assert anonymizer.encode_downloads(run, ME) == gr.skip()
    assert formats == ["flac"] and not list(store.folder.glob("*/swapped.*"))


@pytest.mark.parametrize("at", [None, "Reading the recordings", "Converting", WRITING, COMPARING, SHOWING])
def test_change_of_input_stops_running_conversion_without_error(at, run, anonymizer: Anonymizer, store) -> None:
    run, held = run
    changed = held | {"source": None, "shown_run_id": run.id, "run": run, "request": ME}
    change = partial(anonymizer.drop_if_changed, **changed)
    if at is None:
        change()  # before the conversion has started
    note = lambda share, stage, left_s: stage == at and change()  # noqa: E731
    anonymizer.run_conversion(run, ME, note)
    assert run.dropped and run.result is None and not list(store.folder.glob("*/anonymized-*.wav"))


def test_example_does_not_replace_a_recording(run, anonymizer: Anonymizer) -> None:
    run, _ = run
    with pytest.raises(gr.Error, match="Clear your recording first"):
        anonymizer.load_example(run.source, BALANCED, ME)
    first, *_ = anonymizer.bundled.values()
    assert anonymizer.load_example(first, BALANCED, ME)[0] == first


def test_next_run_drops_the_previous_one(run, anonymizer: Anonymizer) -> None:
    run, held = run
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    files = list(run.result.folder.iterdir())
    *_, requested = anonymizer.load_example(None, BALANCED, ME)
    after, run_id, cancel, intro, progress, results, *_ = anonymizer.start_run(requested, run, ME)
    assert run.dropped and not any(file.exists() for file in files)
    assert cancel["visible"] and progress["visible"] and not results["visible"] and intro["value"] == ""
    assert after.id == run_id
    assert anonymizer.show_result(**held, run=after, request=ME) == gr.skip()  # an event of the previous run
    low, high = anonymizer.bundled.values()
    anonymizer.start_run(requested, after, ME)  # two buttons at once
    anonymizer.run_conversion(after, ME, NO_PROGRESS)
    result = after.result
    anonymizer.run_conversion(after, ME, NO_PROGRESS)
    assert after.result is result
    assert anonymizer.show_result(low, high, "The high voice", BALANCED, "any", "", after, ME)[4]["visible"]


def test_late_plain_copy_does_not_replace_newer_recording(anonymizer, recordings, store, upload: Path) -> None:
    copy = anonymizer.decode_source(str(upload), ME)
    assert recordings.copy_of(str(upload), ME) == (str(upload), copy)
    for path in (copy, sent(store, voice(110, 2.0)), None):
        assert recordings.copy_of(path, ME) == gr.skip()


def test_failed_upload_leaves_its_player_and_the_server_and_a_newer_one_stays(
    anonymizer: Anonymizer, recordings, store, upload: Path
) -> None:
    newer = sent(store, voice(110, 2.0))
    upload.write_bytes(b"RIFF")
    with pytest.raises(gr.Error, match="decoded"):
        anonymizer.decode_source(str(upload), ME)
    assert not upload.exists()
    assert recordings.copy_of(str(upload), ME) == (str(upload), None)
    assert recordings.copy_of(newer, ME) == gr.skip()


def test_recording_stays_if_the_server_is_busy_and_is_converted_later(
    anonymizer: Anonymizer, recordings, upload: Path, monkeypatch
) -> None:
    with monkeypatch.context() as busy:
        busy.setattr("saic.web.server.jobs.MAX_JOBS_PER_SESSION", 0)
        with pytest.raises(gr.Error, match="busy"):
            anonymizer.decode_source(str(upload), ME)
    monkeypatch.setattr(recordings.jobs, "deadline_s", 0.0)
    with pytest.raises(gr.Error, match="too long"):
        anonymizer.decode_source(str(upload), ME)
    monkeypatch.undo()
    assert recordings.copy_of(str(upload), ME) == gr.skip()  # the player keeps it
    for profile in (BALANCED, STRICT):
        run = Run(str(upload), None, PSEUDONYM, profile)
        anonymizer.run_conversion(run, ME, NO_PROGRESS)
        assert run.result is not None and not upload.exists()


def test_recording_stays_if_its_reading_is_stopped(batcher, recordings, store: ClipStore, monkeypatch) -> None:
    path = sent(store, voice(150, 1.0))
    with monkeypatch.context() as busy:
        busy.setattr("saic.web.server.jobs.MAX_JOBS_PER_SESSION", 0)
        *_, (batch, *_) = batcher.add_recordings("P1", [path], Batch(), ME)
    read = recordings.sandbox.read

    def stop_and_read(file: Path):
        batcher.stop(batch, ME)
        return read(file)

    with monkeypatch.context() as stopping:
        stopping.setattr(type(recordings.sandbox), "read", lambda sandbox, file: stop_and_read(file))
        *_, (listed, _, _) = batcher.convert_all(batch, "any", BALANCED, ME)
    assert "Stopped" in listed and Path(path).exists()
    *_, (listed, _, _) = batcher.convert_all(batch, "any", BALANCED, ME)
    assert listed.count("Done.") == 1 and not Path(path).exists()


def test_player_of_an_upload_that_is_being_decoded_stays(recordings, store, upload: Path) -> None:
    recordings._wanted_copies[str(upload)] = "source"
    store.discard(upload)  # its copy is not there yet
    assert recordings.copy_of(str(upload), ME) == gr.skip()


def test_upload_that_is_being_taken_in_is_not_taken_in_again(recordings, upload: Path) -> None:
    recordings._wanted_copies[str(upload)] = "source"
    assert recordings.take_in(str(upload), "me", "source") == gr.skip() and upload.exists()


def test_changes_of_a_player_are_not_kept_back(page: gr.Blocks) -> None:
    """Gradio would call all their handlers again, or ignore the end of a decoding, see `decode_on_change`."""
    names = "decode_source", "decode_target", "decode_query", "copy_of"
    modes = {(fn.name, fn.trigger_mode) for fn in page.fns.values() if fn.name in names}
    assert modes == {(name, "multiple") for name in names}


def test_answer_on_a_copy_does_not_replace_what_the_player_shows_by_now(page: gr.Blocks) -> None:
    """A Clear may come while it is on its way: the browser decides."""
    answers = [fn for fn in page.fns.values() if fn.name == "copy_of"]
    assert len(answers) == 6 and not {part.elem_id for fn in answers for part in fn.outputs} - {None}


def test_no_choice_or_opening_is_ignored_while_the_one_before_is_answered(page: gr.Blocks) -> None:
    expected = {"choose_target": "always_last", "show_maps": "always_last", "show_details": "multiple"}
    assert {fn.name: fn.trigger_mode for fn in page.fns.values() if fn.name in expected} == expected


# --- notes on damaged files -------------------------------------------------------------------------------


def damaged(path: Path, wav: np.ndarray) -> Path:
    """Write the wav (N,) of 4 s as a FLAC file that is cut: about 2 s of it can be decoded."""
    whole = path.with_suffix(".whole")
    sf.write(whole, wav, RATE, format="FLAC")
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    return path


DAMAGE = r"Only [12]\.\d s of 4\.0 s could be decoded: the file is damaged\."


def sent_damaged(store: ClipStore, hz: float) -> str:
    return str(damaged(store.receive(".flac"), steady(hz, 4.0)))


@pytest.mark.parametrize("taken_in", [True, False])
def test_notes_on_damaged_source_and_target_are_shown_with_the_result(taken_in: bool, anonymizer, store) -> None:
    source, target = sent_damaged(store, 110), sent_damaged(store, 220)
    if taken_in:  # the players show the copies
        source, target = anonymizer.decode_source(source, ME), anonymizer.decode_target(target, ME)
    run = Run(source, target, OWN_RECORDING, BALANCED)
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    notes = anonymizer.show_result(source, target, OWN_RECORDING, BALANCED, "any", "", run, ME)[NOTES]
    assert notes["visible"] and 'role="status"' in notes["value"]
    for name in ("The voice to protect", "The new voice"):
        assert re.search(f"<strong>{name}\\.</strong> {DAMAGE}", notes["value"])
    source = sent(store, steady(110, 2.0))
    next_run = Run(source, None, PSEUDONYM, BALANCED)
    anonymizer.run_conversion(next_run, ME, NO_PROGRESS)
    notes = anonymizer.show_result(source, None, PSEUDONYM, BALANCED, "any", "", next_run, ME)[NOTES]
    assert notes["value"] == "" and not notes["visible"]


def test_notes_of_an_upload_are_deleted_with_its_copy(recordings: Recordings, store: ClipStore) -> None:
    copy = recordings.take_in(sent_damaged(store, 110), "me", "source")
    (note,) = recordings.read(copy, "me").notes
    assert re.fullmatch(DAMAGE, note) and (Path(copy).parent / "notes.json").is_file()
    recordings.delete("me")
    assert not Path(copy).parent.exists()


def test_notes_are_escaped() -> None:
    assert notes_html({"A": ("<b>", "two"), "B": ()}).count("<b>") == 0
    assert notes_html({"A": (), "B": ()}) == ""


def test_identify_shows_notes_on_enrolled_and_query_clips(identifier: Identifier, store: ClipStore) -> None:
    enrolled = EnrolledVoices()
    html = enroll(identifier, "Anna <b>", sent_damaged(store, 110), enrolled)
    assert re.search(f"<strong>Anna &lt;b&gt;\\.</strong> {DAMAGE}", html)
    html = enroll(identifier, "Ben", sent(store, steady(220, 2.0)), enrolled)
    assert len(re.findall(DAMAGE, html)) == 1  # as long as Anna is enrolled
    html = identifier.identify_speaker(sent_damaged(store, 110), enrolled, ME).html
    assert re.search(f"The recording in question\\.</strong> {DAMAGE}", html) and "likely <strong>Anna" in html
    assert "Only" not in identifier.identify_speaker(sent(store, steady(220, 2.0)), enrolled, ME).html
    assert identifier.remove_all(enrolled)[0].notes == {}


def test_batch_shows_notes_beside_done(batcher, store: ClipStore) -> None:
    *_, (batch, *_) = batcher.add_recordings("P1", [sent_damaged(store, 150), sent_damaged(store, 160)], Batch(), ME)
    *_, (listed, *_) = batcher.convert_all(batch, "any", BALANCED, ME)
    assert len(re.findall(f"</span><br>{DAMAGE}</td>", listed)) == listed.count("Done.") == 2


TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)


def test_tone_is_neither_enrolled_nor_identified(identifier: Identifier, store: ClipStore) -> None:
    enrolled = EnrolledVoices()
    with pytest.raises(gr.Error, match="not speech"):
        enroll(identifier, "Anna", sent(store, TONE), enrolled)
    assert enrolled == {}
    enroll(identifier, "Anna", sent(store, steady(110, 2.0)), enrolled)
    with pytest.raises(gr.Error, match="not speech"):
        identifier.identify_speaker(sent(store, TONE), enrolled, ME)


# --- protection ------------------------------------------------------------------------------


VERIFIER = SpeakerVerifier(
    "V", lambda wav: wav, TypicalRange(0.8, 0.9, 0.95), TypicalRange(0.4, 0.5, 0.7), "ten people", independent=True
)


card = partial(protection_card, asr_status="absent", profile=BALANCED, linkage="-")


@pytest.mark.parametrize(
    ("after", "color", "verdict"),
    [
        (0.85, "little", "may still take"),
        (0.75, "some", "less similar"),
        (0.6, "good", "no more similar"),
        (None, "unknown", "too little speech"),
    ],
)
def test_verdict_depends_on_typical_ranges(after: float | None, color: str, verdict: str) -> None:
    measured = Protection(VERIFIER, Similarity(0.9, after), Similarity(0.5, 0.72), words_kept=0.64)
    html = card(measured)
    assert verdict in verdict_html(measured) and f'class="verdict {color}"' in verdict_html(measured)
    assert "64%" in html and "0.40 to 0.70" in html and "0.80 to 0.95" in html
    assert "not independent" not in html and "What is not protected" in html and "Whoever has the original" in html
    assert "not independent" in card(Protection(replace(VERIFIER, independent=False), Similarity(0.9, after), None))


def test_independent_verifier_has_measured_ranges_or_is_none_without_resemblyzer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protection, "Resemblyzer", lambda: SimpleNamespace(embed=lambda wav: wav))
    verifier = independent_verifier()
    assert verifier.independent and verifier.different.high < verifier.same.low
    for typical in (verifier.same, verifier.different):
        assert -1 < typical.low < typical.median < typical.high < 1

    def missing() -> None:
        raise UsageError("not installed")

    monkeypatch.setattr(protection, "Resemblyzer", missing)
    assert independent_verifier() is None


def test_gallery_similarities_cover_all_pairs() -> None:
    same, different = protection.gallery_similarities(FakePipeline().gallery)
    assert len(same) == 40 * 10 and len(different) == 40 * 39 // 2 * 25
    assert same.min() > 0.85 and abs(different.mean()) < 0.1


def test_similarity_to_source_falls_and_to_target_rises(store: ClipStore) -> None:
    measurer = ProtectionMeasurer(FakePipeline())
    low, high = steady(110, 3.0), steady(260, 3.0)
    protection = measurer.measure_similarity(low, high, high)
    assert protection.source.before > 0.8 and protection.source.after < 0.5
    assert protection.target.before < 0.5 and protection.target.after > 0.9
    assert measurer.measure_similarity(low, high, None).target is None
    assert measurer.measure_similarity(low, np.zeros(RATE, np.float32), high).source.after is None
    assert measurer.measure_words_kept(low, high) is None
    json.dumps(protection.to_dict())


def test_similarity_of_an_hour_is_measured_in_blocks_of_about_a_minute(store: ClipStore) -> None:
    measurer, lengths_s = ProtectionMeasurer(FakePipeline()), []

    def embed(wav: np.ndarray) -> np.ndarray:
        lengths_s.append(len(wav) / RATE)
        return np.array([1.0 - wav.mean(), wav.mean()])

    measurer._verifier = replace(measurer.verifier, embed=embed)
    original, swapped = Spool.of(np.zeros(3600 * RATE, np.float32)), Spool.of(np.full(3600 * RATE, 0.5, np.float32))
    similarity = measurer.measure_similarity(original, swapped, None).source
    assert max(lengths_s) < 90 and sum(lengths_s) == pytest.approx(7200)
    assert (similarity.before, similarity.after) == pytest.approx((1.0, 0.5**0.5))


class SpokenASR:
    """A recognizer that hears one language."""

    def __init__(self, language: str, transcripts: Iterator[str]) -> None:
        self.language, self._transcripts = lambda wav: language, transcripts

    def transcribe(self, wav: np.ndarray, after_step, language: str) -> str:
        assert language == self.language(wav)
        return next(self._transcripts)


@pytest.mark.parametrize(
    ("language", "transcripts", "kept"),
    [
        ("de", ("Wo tut es weh?", "Wo tut das weh"), 0.75),
        ("de", ("Um acht?", "Acht!"), 0.5),  # in English, "um" is no word
        ("hi", ("वे किताब", "वा कीताब"), 0),  # vowel signs count
        ("zh", ("我头疼得厉害", "我头痛，得厉害"), 5 / 6),
    ],
)
def test_words_are_counted_in_the_language_of_the_original(language: str, transcripts, kept: float) -> None:
    measurer = ProtectionMeasurer(FakePipeline(), SpokenASR(language, iter(transcripts)))
    wav = np.zeros(RATE, np.float32)
    assert measurer.measure_words_kept(wav, wav) == pytest.approx(kept)


def test_words_are_counted_in_the_first_five_minutes(store: ClipStore) -> None:
    """And in an output with new timing, which has the same words later or, where pauses went, earlier."""
    heard = []

    class ASR(SpokenASR):
        def transcribe(self, wav: np.ndarray, after_step, language: str) -> str:
            heard.append(len(wav) / RATE)
            return "one"

    measurer = ProtectionMeasurer(FakePipeline(), ASR("en", iter(())))
    measurer.measure_words_kept(np.zeros(600 * RATE, np.float32), np.zeros(660 * RATE, np.float32))
    measurer.measure_words_kept(np.zeros(600 * RATE, np.float32), np.zeros(320 * RATE, np.float32))
    measurer.measure_words_kept(np.zeros(600 * RATE, np.float32), np.zeros(600 * RATE, np.float32))
    measurer.measure_words_kept(np.zeros(10 * RATE, np.float32), np.zeros(11 * RATE, np.float32))
    assert heard == pytest.approx([300, 450, 300, 320, 300, 300, 10, 11])


class ShortPipeline(FakePipeline):
    """Refuses to measure a voice on more than ``LIMIT_S``."""

    LIMIT_S = 10

    def _check(self, clip) -> None:
        assert len(clip[0]) <= self.LIMIT_S * RATE

    def convert_spooled(self, source, targets, **options):
        self._check(targets)
        return super().convert_spooled(source, targets, **options)

    def embed(self, clip):
        self._check(clip)
        return super().embed(clip)

    def pseudonym(self, *, unlike=None, **options):
        if unlike is not None:
            self._check(unlike)
        return super().pseudonym(**options)


def test_a_voice_is_measured_on_the_first_minutes_of_a_long_recording(
    recordings: Recordings, examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("conversions", "voice", "tabs.batch", "tabs.explore"):
        monkeypatch.setattr(f"saic.web.{user}.VOICE_S", ShortPipeline.LIMIT_S)  # instead of five minutes
    pipeline = ShortPipeline()
    long = np.resize(steady(110, 3.0), (ShortPipeline.LIMIT_S + 1) * RATE)
    made = converter(recordings, pipeline)
    made.convert(steady(220, 3.0), NewVoice("target", wav=long), "me", BALANCED)
    assert len(Identifier(pipeline, recordings, {}).embed(long, "me"))
    explorer = Explorer(pipeline, recordings)
    assert explorer.map_points([long], "me")["speaker"]["recordings"]
    batcher = Batcher(Anonymizer(made, recordings, {}), recordings)
    assert batcher._voice_of("P1", "any", Batch(), long).kind == "random"


def test_words_kept_counts_substitutions_and_deletions_but_no_insertions() -> None:
    transcripts = iter(["The cat sat down.", "the cat hat down and more"])
    measurer = ProtectionMeasurer(FakePipeline(), SpokenASR("en", transcripts))
    assert measurer.measure_words_kept(np.zeros(1), np.zeros(1)) == pytest.approx(0.75)


# --- profiles ---------------------------------------------------------------------------------------------


def test_strict_conversion_has_another_length_on_the_same_time_axis(anonymizer: Anonymizer) -> None:
    low, high = anonymizer.bundled.values()
    for profile, stretch in ((STRICT, STRICT_STRETCH), (BALANCED, 1)):
        run = Run(low, high, "The high voice", profile)
        anonymizer.run_conversion(run, ME, NO_PROGRESS)
        assert sf.info(run.result.swapped).frames == pytest.approx(stretch * sf.info(low).frames)
        end_s = json.loads(anonymizer.show_spectrograms(run, *VIEW, ME).plot)["layout"]["xaxis"]["range"][1]
        assert end_s == pytest.approx(3.0 * stretch, abs=0.02)
        html = anonymizer._card(run.result, "absent", texts)
        assert f"<strong>{texts.PROFILE_NAMES[profile]}.</strong>" in html


def test_spectrograms_follow_their_settings_and_are_the_owners_alone(anonymizer: Anonymizer, monkeypatch) -> None:
    low, high = anonymizer.bundled.values()
    run = Run(low, high, "The high voice", BALANCED)
    assert anonymizer.show_spectrograms(run, *VIEW, ME) == gr.skip()  # it has no result yet
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    for view, color_axis, n_rows in ((VIEW, "coloraxis", 80), (("linear", "gray", 50, True), "coloraxis2", 160)):
        figure = json.loads(anonymizer.show_spectrograms(run, *view, ME).plot)
        heatmaps = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
        assert len(heatmaps) == 3 and heatmaps[-1]["coloraxis"] == color_axis
        assert heatmaps[0]["z"]["shape"].startswith(f"{n_rows},") and figure["layout"]["coloraxis"]["cmin"] == -view[2]
        assert sum(trace["type"] == "scatter" for trace in figure["data"]) == 6  # F0, white over black
    (run.result.folder / "columns.npz").unlink()
    with monkeypatch.context() as full:  # of other recordings, so that the columns cannot be kept
        full.setattr(anonymizer.converter.recordings.store, "max_bytes", 0)
        shown = json.loads(anonymizer.show_spectrograms(run, *view, ME).plot)
        assert len(shown["data"]) == len(figure["data"]) and not (run.result.folder / "columns.npz").exists()
    pictures = anonymizer.converter.pictures(run.result, "me")
    for name in ("from_arrays", "mel_comparison"):
        monkeypatch.setattr(plots, name, lambda *arguments: pytest.fail("computed again"))
    assert json.loads(anonymizer.show_spectrograms(run, *view, ME).plot) == figure
    assert anonymizer.converter.pictures(run.result, "me") == pictures
    with pytest.raises(gr.Error, match="no longer on the server"):
        anonymizer.show_spectrograms(run, *VIEW, ANOTHER)
    with pytest.raises(gr.Error, match="palette"):
        anonymizer.show_spectrograms(run, "mel", "jet", 70, False, ME)
    run.dropped = True
    assert anonymizer.show_spectrograms(run, *VIEW, ME) == gr.skip()


def test_file_that_cannot_be_written_whole_is_not_there(recordings: Recordings) -> None:
    """Later calls take a file that is there: half a picture would stay half."""
    folder, limits = recordings.new("me", "result"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # as a full disk
    try:
        with pytest.raises(StoreFull):
            recordings.write(folder, "spectrograms.png", bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(folder.iterdir())
    assert recordings.read_bytes(recordings.write(folder, "spectrograms.png", b"whole"), "me") == b"whole"


def test_a_full_disk_is_told_as_such_and_leaves_no_half_of_a_zip(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = recordings.new("me", "result")
    clip = recordings.write(folder, "clip.wav", bytes(1000))
    monkeypatch.setattr("saic.files.write", full)
    with pytest.raises(StoreFull, match="server is full"):
        recordings.write(folder, "spectrograms.png", bytes(1000))
    with pytest.raises(StoreFull, match="server is full"):
        recordings.save(folder, "recording", np.zeros(1000, np.float32))
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(StoreFull, match="server is full"):
        recordings.write_zip(folder, "all.zip", {"clip.wav": clip}, "me")
    assert [path.name for path in folder.iterdir()] == ["clip.wav"]
    assert recordings.store._bytes[folder][1] == 1000  # what was not written does not count


def test_upload_to_a_full_disk_is_told_as_such() -> None:
    class Drained:
        async def drain(self) -> None:
            pass

    error = OSError(errno.ENOSPC, "No space left on device")
    message, status, _ = asyncio.run(server_uploads._refusal(error, Drained(), 1))
    assert "server is full" in message and status == 507


def test_a_result_whose_folder_has_been_deleted_is_told_as_gone(recordings: Recordings) -> None:
    folder = recordings.new("me", "result")
    folder.rmdir()
    for write in (
        lambda: recordings.write(folder, "spectrograms.png", bytes(10)),
        lambda: recordings.save(folder, "recording", np.zeros(10, np.float32)),
        lambda: recordings.write_zip(folder, "all.zip", {}, "me"),
    ):
        with pytest.raises(UsageError, match="no longer on the server"):
            write()


def test_weights_without_prosody_predictor_hide_the_choice(anonymizer: Anonymizer) -> None:
    def shown() -> tuple[bool, list[str], str]:
        with gr.Blocks():
            part = profile = anonymize_layout.build_tab(anonymizer, PageTexts()).profile
        while "card" not in part.elem_classes:
            part = part.parent
        return part.visible, [value for _, value in profile.choices], profile.value

    assert (
        anonymizer.converter.require_profile(None) == BALANCED
        and anonymizer.converter.require_profile(STRICT) == STRICT
    )
    assert shown() == (True, [BALANCED, STRICT, PROSODY_KEPT], BALANCED)
    anonymizer.converter.pipeline.profiles = (PROSODY_KEPT,)
    assert shown() == (False, [PROSODY_KEPT], PROSODY_KEPT)
    for name in (STRICT, "loud", ["strict"]):
        with pytest.raises(UsageError, match=r"Use one of these: prosody-kept\."):
            anonymizer.converter.require_profile(name)


def estimates(**values: float) -> dict:
    rest = {"low": None, "high": None, "n": 96, "unit": "%"}
    return {"privacy": {name: {"value": value} | rest for name, value in values.items()}}


PSEUDONYM_FIGURES = {
    "fused.eer_5s": 28.1,
    "level.eer_5s": 40.0,
    "fused.eer_15s": 19.9,
    "level.eer_15s": 15.2,
    "level.eer_15s@speechocean": 1.0,
    "fused.eer_28s": 5.5,
    "fused.top1_15s": 49.0,
    "fused.top1_of_5_15s": 83.0,
}


def test_figures_of_the_worst_attacker_are_read_from_the_report_of_the_loaded_weights(tmp_path: Path) -> None:
    systems = {
        "pseudonym": estimates(**PSEUDONYM_FIGURES),
        "pseudonym_strict": estimates(**{"fused.eer_15s": 31.0}),
        "pseudonym_known_voice": estimates(**{"fused.eer_15s": 13.0}),
        "convert": estimates(**{"resemblyzer.eer_semi": 41.0}),
    }
    (tmp_path / "report.json").write_text(json.dumps({"privacy": {"weights_sha256": "a", "systems": systems}}))
    assert read_linkage(tmp_path, "b") == {}
    linkage = read_linkage(tmp_path, "a")
    worst = Linkage({5: 28.1, 15: 15.2, 28: 5.5}, 49.0, 96)
    strict, known = Linkage({15: 31.0}, None, 96), Linkage({15: 13.0}, None, 96)
    assert linkage == {"pseudonym": worst, "pseudonym_strict": strict, KNOWN_VOICE: known}
    figures = by_profile(linkage, PROFILES, BALANCED)
    assert figures == {BALANCED: worst, STRICT: strict, KNOWN_VOICE: known}
    assert by_profile(linkage, (PROSODY_KEPT,), PROSODY_KEPT) == {PROSODY_KEPT: worst, KNOWN_VOICE: known}
    drawn_again = Linkage({15: 18.0}, 59.0, 62)  # as the page draws voices without a key
    assert by_profile(linkage | {"pseudonym_unlike": drawn_again}, PROFILES, BALANCED)[BALANCED] == drawn_again
    html = linkage_html(figures, BALANCED)
    assert "EER of 15 % with 15 seconds" in " ".join(html.split()) and f"28{NBSP}% with 5, 6{NBSP}% with 28" in html
    assert "<td>31</td>" in html and linkage_html({}, BALANCED) == ""
    assert html.index("Balanced, attacker knows the new voice") < html.index("<td>13</td>")
    said = " ".join(linkage_sentence(worst).split())
    assert "errs in only 15 % of cases (28 % with 5 seconds, 6 % with 28 seconds)" in said
    assert "right one of 40 people in 49 % of cases" in said
    assert "more often than by chance" in " ".join(linkage_sentence(None).split())


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"privacy": null}', '{"privacy": {"systems": [], "weights_sha256": "a"}}']
)
def test_report_of_another_form_has_no_figures(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    assert read_linkage(tmp_path, "a") == {} and read_linkage(tmp_path, None) == {}


def test_page_shows_the_figures_of_the_bundled_report(examples, store: ClipStore, monkeypatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    figures = {"pseudonym": Linkage({5: 28.1, 15: 19.9}, 49.0, 96), "real": Linkage({15: 0.9}, 100.0, 96)}
    page = build_page(
        FakePipeline(), examples, store=store, documents=Documents(linkage=figures, reconstruction_top1=85.7)
    )
    config = page.get_config_file()
    components, english = config["components"], config["i18n_translations"]["en"]
    (choice,) = (part["props"] for part in components if part["props"].get("elem_id") == "profile")
    (guard,) = (part["props"] for part in components if part["props"].get("elem_id") == "guard")
    assert english[guard["label"].key].endswith(f"86{NBSP}% of reconstructions.")
    assert [value for _, value in choice["choices"]] == [BALANCED, STRICT, PROSODY_KEPT]
    labels = [english[label.key] for label, _ in choice["choices"]]
    assert [(f"20{NBSP}%" in label, "attacker errs" in label) for label in labels] == [(True,) * 2, *[(False,) * 2] * 2]
    values = [part["props"].get("value") for part in components]
    keys = [found[0] for value in values if (found := re.search(r"saic-[^\"]+", str(value)))]
    shown = [" ".join(english[key].split()) for key in keys]
    assert sum("not anonymous in the legal sense" in text and "errs in only 20 %" in text for text in shown) == 1


# --- the report of a file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["The high voice", PSEUDONYM])
@pytest.mark.parametrize("asr", ["absent", "measured", "stopped"])
def test_reports_follow_their_schema_and_are_deleted_with_the_result(
    choice: str, asr: str, recordings: Recordings, examples, store: ClipStore, upload: Path
) -> None:
    schema = json.loads((Path(file_report.__file__).parent / "file_report.schema.json").read_text(encoding="utf-8"))
    bundled, _ = pages._store_examples(examples, store)

    def transcribe(wav: np.ndarray, after_step, language) -> str:
        if asr == "stopped":
            raise UsageError("Stopped.")
        return "the words"

    recognizer = None if asr == "absent" else SimpleNamespace(transcribe=transcribe, language=lambda wav: "en")
    anonymizer = Anonymizer(converter(recordings, asr=recognizer), recordings, bundled)
    target = None if choice == PSEUDONYM else bundled[choice]
    run = Run(anonymizer.decode_source(str(upload), ME), target, choice, STRICT, "higher")
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    printed, path = (run.result.folder / f"report-{run.result.code}.{suffix}" for suffix in ("html", "json"))
    shown = anonymizer.show_result(run.source, target, choice, STRICT, "higher", "", run, ME)
    assert (gr.update(value=str(path), interactive=True) in shown) == (asr == "absent") == path.exists()
    if asr != "absent":
        assert anonymizer.count_words(run, ME)[1:] == tuple(
            gr.update(value=str(report), interactive=True) for report in (printed, path)
        )
    text = path.read_text()
    report = json.loads(text)
    jsonschema.validate(report, schema)
    words_kept = 1.0 if asr == "measured" else None
    assert report["profile"] == STRICT and report["words_kept"] == words_kept
    assert report["duration_s"] == pytest.approx(2.0 * STRICT_STRETCH)
    assert report["output_sha256"] == sha256(Path(run.result.swapped))
    kind, register, similarity = ("random", "higher", 0.25) if choice == PSEUDONYM else ("target", None, None)
    assert report["settings"] == {"voice": kind, "register": register, "rate_hz": RATE}
    assert report["voice_similarity"]["value"] == similarity
    assert str(store.folder) not in text and "recording" not in text
    html = printed.read_text()
    for fact in (
        escape(texts.VOICE_KINDS[kind]),
        report["output_sha256"],
        f"100{NBSP}%" if words_kept else "not counted",
    ):
        assert fact in html
    assert texts.PRINTED_NO_PATIENT in html and str(store.folder) not in html and "<script" not in html
    anonymizer.cancel(run, ME)
    assert not path.exists() and not printed.exists()
    with pytest.raises(UsageError, match="no longer on the server"):
        anonymizer.converter.report(run.result, ())


def test_printed_report_escapes_notes_and_names_no_reader_of_the_page() -> None:
    protection = Protection(VERIFIER, Similarity(0.9, None), None)
    report = {
        "judge": {"name": "V", "independent": True, "basis": "ten people"},
        "similarity": {"before": -0.001, "after": None, "usual_same_person": vars(VERIFIER.same)}
        | {"usual_two_people": vars(VERIFIER.different)},
        "words_kept": None,
        "profile": BALANCED,
        "settings": {"voice": "key", "register": "any", "rate_hz": RATE},
        "duration_s": 2.0,
        "notes": ["<b> is cut"],
        "versions": {"saic": "1"},
        "weights_sha256": None,
        "output_sha256": "0",
    }
    html = printed_report(report, protection, "-")
    assert "&lt;b&gt; is cut" in html and "<b>" not in html and "too little speech" in html
    assert "Whoever has the original" in html
    assert "0.00 before, - after" in html and "-0.00" not in html
    assert not re.search(r"(src|href)=", html)  # nothing is fetched when the file is opened


# --- pseudonyms of subjects -------------------------------------------------------------------------------


class KeyedPipeline(FakePipeline):
    """Gives each subject a voice of its own."""

    def pseudonym(self, *, key, subject, study="", register="any"):
        if register == "same":
            raise UsageError("The register same depends on the recording.")
        return key, subject, study, register

    def anonymize_spooled(self, clip, *, voice=None, **options):
        self.given = voice, options.get("register", "any")
        return super().anonymize_spooled(clip, **options)


def test_subject_gets_its_voice_from_the_key_of_the_page(recordings: Recordings, examples, monkeypatch) -> None:
    bundled, _ = pages._store_examples(examples, recordings.store)
    pipeline = KeyedPipeline()
    anonymizer = Anonymizer(converter(recordings, pipeline), recordings, bundled, key="KEY", study="gait")
    source, *_ = bundled.values()
    for subject, register, given in [
        (" P01 ", "any", (("KEY", "P01", "gait", "any"), "any")),
        ("P01", "lower", (("KEY", "P01", "gait", "lower"), "any")),
        (None, "higher", (None, "higher")),
    ]:
        run = anonymizer.request_run(source, None, PSEUDONYM, BALANCED, register, subject, False, None)
        anonymizer.run_conversion(run, ME, NO_PROGRESS)
        assert pipeline.given == given
        assert run.result.new_voice == NewVoice("key" if subject else "random", register=register)
        assert "P01" not in (run.result.folder / f"report-{run.result.code}.json").read_text()
    changed = partial(anonymizer.drop_if_changed, source, None, PSEUDONYM, BALANCED, run=run, request=ME)
    assert changed("higher", " ", shown_run_id=run.id) == gr.skip()
    assert shows_no_result(changed("higher", "P02", shown_run_id=run.id))
    with pytest.raises(gr.Error, match="register same"):
        anonymizer.run_conversion(Run(source, None, PSEUDONYM, BALANCED, "same", "P01"), ME, NO_PROGRESS)
    monkeypatch.setattr(gr, "Warning", lambda message: None)
    with pytest.raises(gr.Error, match="Choose low, high or any"):
        anonymizer.request_run(source, None, PSEUDONYM, BALANCED, "same", "P01", False, None)
    with pytest.raises(UsageError, match="no key"):
        Anonymizer(converter(recordings), recordings, bundled).pseudonym("any", "P01")


def test_label_of_a_subject_is_asked_for_only_with_a_key(recordings: Recordings, examples) -> None:
    bundled, _ = pages._store_examples(examples, recordings.store)
    for key in (None, "KEY"):
        with gr.Blocks():
            tab = anonymize_layout.build_tab(Anonymizer(converter(recordings), recordings, bundled, key), PageTexts())
        assert tab.subject.visible == (key is not None) and tab.choice.value == PSEUDONYM


# --- many recordings --------------------------------------------------------------------------------------


class DrawingPipeline(FakePipeline):
    """Draws pseudonyms, and notes whose voice each one must be unlike, and which one each recording got."""

    def __init__(self) -> None:
        super().__init__()
        self.given, self.unlike = [], []

    def pseudonym(self, *, register="any", unlike=None, **keyed):
        self.unlike.append(unlike)
        return f"voice {len(self.given)} {register}"

    def anonymize_spooled(self, clip, *, voice=None, **options):
        assert not options["reconstruct"]  # nobody hears it
        self.given.append(voice)
        return super().anonymize_spooled(clip, **options)


def test_batch_gives_each_subject_one_voice_and_a_zip_with_reports(recordings, examples, store: ClipStore) -> None:
    pipeline = DrawingPipeline()
    batcher = Batcher(Anonymizer(converter(recordings, pipeline), recordings, {}), recordings)
    broken = store.receive(".wav")
    broken.write_bytes(b"RIFF" + b"x" * 99)
    paths = {"P/1": [sent(store, voice(150, 1.0)), str(broken), sent(store, voice(160, 1.0))]}
    paths["p_1"] = [sent(store, voice(110, 1.0))]
    batch = Batch()
    for subject, uploads in paths.items():
        *_, (batch, listed, form) = batcher.add_recordings(subject, uploads, batch, ME)
        assert form == gr.skip() and not any(Path(path).exists() for path in uploads)
    assert listed.count("<tr>") == 1 + 4 and "decoded" in listed
    assert listed.count("<td>0:01</td>") == 3 and "0 of 4 done" in listed
    *updates, (listed, archive, cancel) = batcher.convert_all(batch, "lower", STRICT, ME)
    assert any(re.search(r"\d+\s%, about \d+ second", html) for html, *_ in updates)
    assert listed.count("Done.") == 3 and archive["interactive"] and not cancel["visible"]
    assert "3 of 4 done" in listed and listed.count(texts.VERDICT_DIFFERENT) == 1  # under the table, once for all
    first, again, other = pipeline.given
    assert first == again != other and first.endswith("lower")
    assert [len(wav) / rate_hz for wav, rate_hz in pipeline.unlike] == [1.0, 1.0]  # once a subject
    with zipfile.ZipFile(archive["value"]) as file:
        names = {
            f"{folder}/{number}-{name}"
            for folder, number in (("P_1", "01"), ("P_1", "03"), ("p_1-2", "01"))
            for name in ("anonymized.wav", "report.html", "report.json")
        }
        assert set(file.namelist()) == names
        report = json.loads(file.read("P_1/03-report.json"))
        assert report["profile"] == STRICT and report["settings"] == {
            "voice": "random",
            "register": "lower",
            "rate_hz": RATE,
        }
        assert hashlib.sha256(file.read("P_1/03-anonymized.wav")).hexdigest() == report["output_sha256"]
    *_, (batch, *_) = batcher.add_recordings("P/1", [sent(store, voice(170, 1.0))], batch, ME)
    *_, (listed, archive, _) = batcher.convert_all(batch, "lower", STRICT, ME)
    assert len(pipeline.given) == 4 and pipeline.given[-1] == first  # what was done stays, with its voice
    recordings.delete("me")
    assert {path.name for path in store.folder.iterdir()} <= {"bundled", ".lock"}


def test_cleared_batch_keeps_voices_and_numbers_and_deletes_its_files(recordings, store: ClipStore) -> None:
    pipeline, batch = DrawingPipeline(), Batch()
    batcher = Batcher(Anonymizer(converter(recordings, pipeline), recordings, {}), recordings)
    for numbers in ([1, 2], [3]):
        uploads = [sent(store, voice(150 + k, 1.0)) for k in numbers]
        *_, (batch, *_) = batcher.add_recordings("P1", uploads, batch, ME)
        assert [item.number for item in batch.items] == numbers
        *_, (_, archive, _) = batcher.convert_all(batch, "any", BALANCED, ME)
        assert Path(archive["value"]).exists()
        listed, download = batcher.clear(batch, ME)
        assert listed == texts.BATCH_NOTHING and not download["interactive"]
        assert {path.name for path in store.folder.iterdir()} <= {"bundled", ".lock"}
    assert len(set(pipeline.given)) == 1 and len(pipeline.unlike) == 1


def test_batch_that_is_cleared_while_it_is_read_keeps_no_recording(batcher, store: ClipStore) -> None:
    uploads, batch = [sent(store, voice(150 + k, 1.0)) for k in range(2)], Batch()
    reading = batcher.add_recordings("P1", uploads, batch, ME)
    next(reading)
    batcher.clear(batch, ME)
    assert [listed for _, listed, _ in reading] == [texts.BATCH_NOTHING] * 2
    assert {path.name for path in store.folder.iterdir()} <= {"bundled", ".lock"}


def test_recording_of_a_batch_that_a_busy_server_did_not_take_is_read_later(
    batcher, store: ClipStore, monkeypatch
) -> None:
    path = sent(store, voice(150, 1.0))
    with monkeypatch.context() as busy:
        busy.setattr("saic.web.server.jobs.MAX_JOBS_PER_SESSION", 0)
        *_, (batch, listed, *_) = batcher.add_recordings("P1", [path], Batch(), ME)
    assert "busy" in listed and batch.items[0].copy is None
    *_, (listed, archive, _) = batcher.convert_all(batch, "any", BALANCED, ME)
    assert listed.count("Done.") == 1 and archive["interactive"] and not Path(path).exists()


def test_recording_of_a_batch_is_not_lost_once_it_is_converted(
    batcher, store: ClipStore, busy_after_conversion
) -> None:
    *_, (batch, *_) = batcher.add_recordings("P1", [sent(store, voice(150, 1.0))], Batch(), ME)
    busy_after_conversion()
    *_, (listed, _, _) = batcher.convert_all(batch, "any", BALANCED, ME)
    assert listed.count("Done.") == 1


def test_batch_can_be_stopped_and_keeps_what_is_done(recordings, examples, store: ClipStore, monkeypatch) -> None:
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    batcher = Batcher(Anonymizer(converter(recordings, DrawingPipeline()), recordings, {}), recordings)
    for subject, uploads in (("", ["a"]), ("P1", []), ("P1", ["a"] * 25)):
        with pytest.raises(gr.Error):
            next(batcher.add_recordings(subject, uploads, Batch(), ME))
    with pytest.raises(gr.Error):
        next(batcher.convert_all(Batch(), "any", BALANCED, ME))
    assert len(set(warned)) == 4
    *_, (batch, *_) = batcher.add_recordings(
        "P1", [sent(store, voice(150, 1.0)), sent(store, voice(160, 1.0))], Batch(), ME
    )
    convert, calls = Converter.convert, []

    def stop_the_second(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            batcher.stop(batch, ME)
        return convert(*arguments, **options)

    monkeypatch.setattr(Converter, "convert", stop_the_second)
    *_, (listed, archive, _) = batcher.convert_all(batch, "any", BALANCED, ME)
    assert listed.count("Done.") == 1 and len(zipfile.ZipFile(archive["value"]).namelist()) == 3
    assert not batch.running and not recordings.jobs.running


@pytest.fixture
def batcher(recordings, examples) -> Batcher:
    return Batcher(Anonymizer(converter(recordings, DrawingPipeline()), recordings, {}), recordings)


def test_recordings_that_cannot_be_read_make_room_in_a_full_batch(batcher, store: ClipStore, monkeypatch) -> None:
    monkeypatch.setattr("saic.web.tabs.batch.MAX_FILES", 2)
    broken = store.receive(".wav")
    broken.write_bytes(b"RIFF" + b"x" * 99)
    batch = Batch()
    for path in (sent(store, voice(150, 1.0)), str(broken), sent(store, voice(160, 1.0))):
        *_, (batch, *_) = batcher.add_recordings("P1", [path], batch, ME)
    assert [(item.number, bool(item.copy)) for item in batch.items] == [(1, True), (3, True)]  # two have one name
    with pytest.raises(gr.Error, match="clear the list"):
        next(batcher.add_recordings("P1", [sent(store, voice(110, 1.0))], batch, ME))


def two_people(batcher: Batcher, store: ClipStore) -> Batch:
    """A batch of one recording each of two people."""
    batch = Batch()
    for subject, hz in (("P1", 150), ("P2", 110)):
        *_, (batch, *_) = batcher.add_recordings(subject, [sent(store, voice(hz, 1.0))], batch, ME)
    return batch


def test_form_of_a_batch_is_free_for_the_next_person_while_recordings_are_read(batcher, store: ClipStore) -> None:
    batch, uploads = Batch(), [sent(store, voice(hz, 1.0)) for hz in (150, 160, 110)]
    first = batcher.add_recordings("P1", uploads[:1], batch, ME)
    _, listed, form = next(first)
    assert form == taken("P1", uploads[:1]) and "Reading the recording" in listed and batch.items[0].copy is None
    second, other = (batcher.add_recordings(*one, batch, ME) for one in (("P1", uploads[1:2]), ("P2", uploads[2:])))
    for adding in (second, other):
        next(adding)
    assert [(item.subject, item.number) for item in batch.items] == [("P1", 1), ("P1", 2), ("P2", 1)]
    converting = batcher.convert_all(batch, "any", BALANCED, ME)  # before they are read
    with ThreadPoolExecutor(1) as pool:
        converted = pool.submit(list, converting)
        for adding in (first, second, other):
            list(adding)
        *_, (listed, archive, _) = converted.result()
    assert listed.count("Done.") == 3 and archive["interactive"]


def test_recordings_that_were_never_read_are_told_and_not_waited_for(batcher, store: ClipStore) -> None:
    batch = Batch()
    adding = batcher.add_recordings("P1", [sent(store, voice(150, 1.0))], batch, ME)
    next(adding)
    adding.close()  # as when the page is closed
    assert not batch.items[0].is_reading and "no longer on the server" in batch.items[0].state


def test_deleted_batch_shows_and_adds_nothing_any_more(batcher, recordings, store: ClipStore) -> None:
    batch = Batch()
    uploads = [sent(store, voice(hz, 1.0)) for hz in (150, 160, 170)]
    adding = batcher.add_recordings("Miller", uploads, batch, ME)
    assert "Miller" in next(adding)[1]
    batch.delete()
    recordings.delete("me")
    assert list(adding) == [] and batch.items == []
    batch = two_people(batcher, store)
    converting = batcher.convert_all(batch, "any", BALANCED, ME)
    assert "P1" in next(converting)[0]
    batch.delete()
    recordings.delete("me")
    assert all(html == gr.skip() and archive == gr.skip() for html, archive, _ in converting)
    assert {path.name for path in store.folder.iterdir()} <= {"bundled", ".lock"}


@pytest.mark.parametrize("step", ["reading", "reporting"])
def test_batch_writes_nothing_after_a_deletion_in_another_tab(step, batcher, recordings, store, monkeypatch) -> None:
    batch = two_people(batcher, store)
    if step == "reading":
        deleted_after_reading(recordings, monkeypatch)
    else:
        delete_and_print = lambda *arguments: (recordings.delete("me"), printed_report(*arguments))[1]  # noqa: E731
        monkeypatch.setattr("saic.web.tabs.batch.printed_report", delete_and_print)
    with contextlib.suppress(gr.Error):  # the ZIP has nothing to hold
        list(batcher.convert_all(batch, "any", BALANCED, ME))
    assert {path.name for path in store.folder.iterdir()} <= {"bundled", ".lock"}


def test_batch_without_space_for_its_zip_ends_and_tells_so(batcher, store: ClipStore, monkeypatch) -> None:
    batch, updates, write_zip = two_people(batcher, store), [], Recordings.write_zip

    def write_into_full_store(*arguments):
        monkeypatch.setattr(store, "max_bytes", 0)
        return write_zip(*arguments)

    monkeypatch.setattr(Recordings, "write_zip", write_into_full_store)
    with pytest.raises(gr.Error, match="server is full"):
        updates.extend(batcher.convert_all(batch, "any", BALANCED, ME))
    listed, archive, cancel = updates[-1]
    assert listed.count("Done.") == 2 and not archive["interactive"] and not cancel["visible"]
    assert not list(store.folder.glob("*/anonymized.zip"))


def test_page_that_lost_the_connection_follows_its_batch_again_to_the_zip(batcher, store: ClipStore) -> None:
    batch = two_people(batcher, store)
    lost = batcher.convert_all(batch, "any", BALANCED, ME)
    next(lost)  # it converts, and nobody takes what it yields
    _, cancel = batcher.show_failure(batch, ME)
    assert cancel["visible"] == batch.running
    for _ in range(2):  # while it runs, and once it has ended
        *_, (listed, archive, cancel) = batcher.convert_all(batch, "any", BALANCED, ME)
        assert listed.count("Done.") == 2 and archive["interactive"] and not cancel["visible"]


def test_zip_is_written_a_file_at_a_time(batcher, recordings, store: ClipStore, monkeypatch) -> None:
    batch = Batch([Item("P1", number, None, folder=store.new("me", f"batch {number}")) for number in range(1, 25)])
    for item in batch.items:
        for name in ("anonymized.wav", "report.html", "report.json"):
            recordings.write(item.folder, name, bytes(300_000))
    tracemalloc.start()
    path = Path(batcher._zip(batch, "me"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6 < 20e6 < path.stat().st_size <= store._bytes[path.parent][1]


def test_label_of_a_program_is_as_short_as_one_of_the_page(batcher, store: ClipStore) -> None:
    *_, (batch, *_) = batcher.add_recordings(f" P  1 {'x' * 9999}", [sent(store, voice(150, 1.0))], Batch(), ME)
    assert batch.items[0].subject == f"P 1 {'x' * 36}"


def test_batch_ends_when_its_page_is_closed(batcher, recordings, store: ClipStore, monkeypatch) -> None:
    batch = two_people(batcher, store)
    page = recordings.open_page("me")
    page.__enter__()
    convert = Converter.convert

    def close_and_convert(*arguments, **options):
        page.__exit__(None, None, None)
        return convert(*arguments, **options)

    monkeypatch.setattr(Converter, "convert", close_and_convert)
    list(batcher.convert_all(batch, "any", BALANCED, ME))
    assert batch.items[1].state == "" and len(batcher._anonymizer.converter.pipeline.given) <= 1


def test_jobs_of_a_page_are_stopped_though_its_connection_broke(recordings: Recordings) -> None:
    with recordings.job("convert", "me") as job, pytest.raises(UsageError, match="Stopped"):
        with contextlib.suppress(ConnectionError), recordings.open_page("me"):
            raise ConnectionError
        job.check()


def test_upload_that_expired_before_it_was_added_is_told(batcher, store: ClipStore) -> None:
    path = sent(store, voice(150, 1.0))
    store.sweep(ahead_s=UPLOAD_KEEP_S + 1)
    *_, (batch, listed, *_) = batcher.add_recordings("P1", [path], Batch(), ME)
    assert batch.items[0].copy is None and GONE.split(".")[0] in unescape(listed)


def test_voice_of_a_batch_is_drawn_in_a_job(batcher, recordings, store: ClipStore, monkeypatch) -> None:
    pipeline = batcher._anonymizer.converter.pipeline
    groups, draw = [], pipeline.pseudonym

    def pseudonym(**options):
        groups.extend(job.group for job in recordings.jobs.running)
        return draw(**options)

    monkeypatch.setattr(pipeline, "pseudonym", pseudonym)
    list(batcher.convert_all(two_people(batcher, store), "any", BALANCED, ME))
    assert groups == ["batch", "batch"]


# --- identify and explore ---------------------------------------------------------------------------------


@pytest.fixture
def identifier(recordings: Recordings, examples: list[Example]) -> Identifier:
    _, halves = pages._store_examples(examples, recordings.store)
    return Identifier(FakePipeline(), recordings, halves)


def sent(store: ClipStore, wav: np.ndarray) -> str:
    path = store.receive(".wav")
    audio.save(path, wav)
    return str(path)


def enroll(identifier: Identifier, name: str, clip: str, enrolled: EnrolledVoices) -> str:
    """Enroll as the page does; returns the list of voices as HTML."""
    *_, (state, html, *_) = identifier.enroll(name, clip, enrolled, ME)
    assert state is enrolled
    return html


def test_enrolled_voice_is_identified_and_stranger_is_not(identifier: Identifier, store: ClipStore) -> None:
    enrolled = EnrolledVoices()
    for name, hz in {" Anna  <b> ": 110, "Ben": 230}.items():
        html = enroll(identifier, name, sent(store, steady(hz, 2.0)), enrolled)
    assert list(enrolled) == ["Anna <b>", "Ben"] and "<b>" not in html and "Anna <b>" in unescape(html)
    assert not list(store.folder.glob("*/recording.wav"))  # no audio of enrolled voices is kept
    html = identifier.identify_speaker(sent(store, steady(110, 2.5, seed=3)), enrolled, ME).html
    assert "likely <strong>Anna &lt;b&gt;" in html
    assert "None of these voices" in identifier.identify_speaker(sent(store, steady(310, 2.0)), enrolled, ME).html
    assert identifier.remove_all(enrolled)[0] == {}


def test_form_is_free_for_the_next_voice_while_one_is_measured(identifier: Identifier, store: ClipStore, page) -> None:
    enrolled = EnrolledVoices()
    voices = {"Anna": 110, "Ben": 230}
    forms = [(name, sent(store, steady(hz, 2.0))) for name, hz in voices.items()]
    enrolling = [identifier.enroll(*form, enrolled, ME) for form in forms]
    for one, (name, clip) in zip(enrolling, forms, strict=True):
        assert next(one) == (gr.skip(), gr.skip(), taken(name, [clip]))
    for one in enrolling:
        (_, html, form), *more = one
        assert form == gr.skip() and not more  # what was typed meanwhile stays
    assert list(enrolled) == ["Anna", "Ben"] and "Anna" in html and "Ben" in html
    (event,) = (fn for fn in page.fns.values() if fn.name == "enroll")
    assert event.trigger_mode == "multiple" and {target for _, target in event.targets} == {"click", "submit"}


def test_second_click_is_ignored_while_a_recording_is_added(identifier: Identifier, batcher, store: ClipStore) -> None:
    enrolled, batch, clip = EnrolledVoices(), Batch(), sent(store, steady(110, 2.0))
    first, second = (identifier.enroll("Anna", clip, enrolled, ME) for _ in range(2))
    assert next(first)[2] == taken("Anna", [clip]) and list(second) == []
    list(first)
    uploads = [sent(store, voice(150, 1.0))]
    first, second = (batcher.add_recordings("P1", uploads, batch, ME) for _ in range(2))
    assert next(first)[2] == taken("P1", uploads) and list(second) == []
    list(first)
    assert enrolled.n_clips == len(batch.items) == 1  # the server has no longer what was sent


@pytest.mark.parametrize(("wav", "message"), [(TONE, "not speech"), (np.zeros(2 * RATE, np.float32), "silent")])
def test_form_keeps_the_name_if_the_recording_cannot_be_used(identifier, store, wav: np.ndarray, message: str) -> None:
    with pytest.raises(gr.Error, match=message):
        next(identifier.enroll("Anna", sent(store, wav), EnrolledVoices(), ME))


def test_answer_is_removed_when_a_voice_is_enrolled(identifier: Identifier, store: ClipStore) -> None:
    enrolled, query = EnrolledVoices(), sent(store, steady(110, 2.0))
    enroll(identifier, "Anna", sent(store, steady(110, 2.0)), enrolled)
    answer = identifier.identify_speaker(query, enrolled, ME)
    assert identifier.update_answer(query, enrolled, answer)[1] == answer.html
    enroll(identifier, "Ben", sent(store, steady(230, 2.0)), enrolled)
    assert identifier.update_answer(query, enrolled, answer)[1] == ""


def test_enrollment_that_ends_after_remove_all_has_no_effect(identifier: Identifier, store: ClipStore) -> None:
    enrolled, clip = EnrolledVoices(), sent(store, steady(110, 2.0))
    assert identifier.remove_all(enrolled)[0] == {}  # while an enrollment with `enrolled` still runs
    assert list(identifier.enroll("Anna", clip, enrolled, ME)) == [(gr.skip(), gr.skip(), taken("Anna", [clip]))]
    assert identifier.load_example(enrolled, ME)[:2] == (gr.skip(), gr.skip())


def test_enrolled_recording_is_not_lost_on_a_busy_server(identifier: Identifier, store, monkeypatch) -> None:
    monkeypatch.setattr("saic.web.tabs.identify._WAIT_S", 0)
    enrolled = EnrolledVoices()
    enrolling = identifier.enroll("Anna", sent(store, steady(110, 2.0)), enrolled, ME)
    next(enrolling)
    embed, calls = Identifier.embed, []

    def busy_at_first(self: Identifier, wav: np.ndarray, session: str) -> np.ndarray:
        calls.append(session)
        if len(calls) < 3:
            raise Busy("The server is busy.")
        return embed(self, wav, session)

    monkeypatch.setattr(Identifier, "embed", busy_at_first)
    assert [list(voices) for voices, *_ in enrolling] == [["Anna"]]


def test_example_does_not_replace_enrolled_voices(identifier: Identifier) -> None:
    bundled, _, _ = identifier.load_example(EnrolledVoices(), ME)
    again, _, _ = identifier.load_example(bundled, ME)
    assert set(again) == set(bundled)
    again.add_clip("Anna", np.ones(128))
    with pytest.raises(gr.Error, match="Remove your voices first"):
        identifier.load_example(again, ME)


def test_enrollment_that_ends_after_the_example_does_not_remove_its_voices(identifier, store: ClipStore) -> None:
    enrolled = EnrolledVoices()
    enrolling = identifier.enroll("Anna", sent(store, steady(110, 2.0)), enrolled, ME)
    next(enrolling)
    identifier.load_example(enrolled, ME)
    assert list(enrolling) == []


def test_demonstration_of_voices_that_were_removed_meanwhile_says_nothing(identifier: Identifier) -> None:
    enrolled, _, query = identifier.load_example(EnrolledVoices(), ME)
    assert identifier.demonstrate(query, enrolled, ME).enrolled is enrolled
    enrolled.add_clip("Anna", np.ones(128))
    for changed in (enrolled, identifier.remove_all(enrolled)[0]):
        assert identifier.demonstrate(query, changed, ME) == gr.skip()


def test_answer_is_removed_when_clip_or_enrolled_voices_change(identifier: Identifier, store: ClipStore) -> None:
    enrolled, _, query = identifier.load_example(EnrolledVoices(), ME)
    answer = identifier.demonstrate(query, enrolled, ME)
    note, html = identifier.update_answer(query, enrolled, answer)
    assert "second half of The low voice" in note and html == answer.html
    known, stranger = html.split("</section>")[:2]
    assert "whose first half is enrolled" in known and "who is not enrolled" in stranger
    assert "threshold of" in known and "threshold of" in stranger and html.count("one person: usually") == 1
    upload = sent(store, steady(110, 2.0))
    assert identifier.update_answer(upload, enrolled, answer) == ("", "")
    assert identifier.update_answer(None, enrolled, answer) == ("", "")
    assert identifier.update_answer(query, EnrolledVoices(enrolled), answer)[1] == ""
    copy = identifier.decode_query(upload, ME)
    answer = identifier.identify_speaker(upload, enrolled, ME)
    assert identifier.update_answer(copy, enrolled, answer)[1] == answer.html
    assert identifier.recordings.copy_of(upload, ME) == (upload, copy)


def test_identify_warns_of_each_missing_input(identifier, store, monkeypatch: pytest.MonkeyPatch) -> None:
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    full = {str(k): [np.ones(128)] for k in range(MAX_VOICES)}
    for call in (
        lambda: next(identifier.enroll("Anna", None, {}, ME)),
        lambda: next(identifier.enroll("  ", "clip", {}, ME)),
        lambda: next(identifier.enroll("Anna", "clip", full, ME)),
        lambda: identifier.identify_speaker(None, full, ME),
        lambda: identifier.identify_speaker("clip", {}, ME),
    ):
        with pytest.raises(gr.Error):
            call()
    assert len(set(warned)) == 5


def test_matches_agree_with_pipeline_identify(identifier: Identifier) -> None:
    clips = {name: voice(hz, 2.0) for name, hz in {"a": 110, "b": 160, "c": 230}.items()}
    query, pipeline = voice(160, 2.0, seed=5), FakePipeline()
    enrolled = {name: [pipeline.embed((wav, RATE)).speaker] for name, wav in clips.items()}
    matches = identifier.rank_matches(pipeline.embed((query, RATE)).speaker, enrolled)
    truth = pipeline.identify((query, RATE), {name: (wav, RATE) for name, wav in clips.items()})
    assert [(m.name, m.accepted) for m in matches] == [(m.name, m.accepted) for m in truth]
    assert [m.score for m in matches] == pytest.approx([m.score for m in truth])


def test_maps_show_every_voice_and_escaped_clip_labels(recordings: Recordings) -> None:
    explorer = Explorer(FakePipeline(), recordings)
    html = explorer.draw({"Your <clip>": voice(110, 3.0), "Anonymized": voice(260, 3.0)}, "me")
    assert html.count('class="v v') == 2 * 40 and "Your &lt;clip&gt;" in html and "Your <clip>" not in html
    points = re.findall(r"translate\(([\d.]+) ([\d.]+)\)", html)
    assert len(points) >= 4 and all(0 <= float(xy) <= 400 for point in points for xy in point)
    assert explorer.show_maps(None, GALLERY, ME) == gr.skip()  # already drawn


def test_clip_without_a_voice_is_not_mapped_and_the_reason_is_told(recordings: Recordings) -> None:
    explorer = Explorer(FakePipeline(), recordings)
    clips = {"Tone": TONE, "Silence": np.zeros(RATE, np.float32), "Anna": voice(110, 2.0)}
    html = explorer.draw(clips, "me", LANGUAGES["de"])
    assert re.findall("<strong>(Tone|Silence)[.]</strong> (.+?)</p>", html) == [
        ("Tone", LANGUAGES["de"].MESSAGES["not_speech"]),
        ("Silence", LANGUAGES["de"].MESSAGES["silent"]),
    ]
    legend = html.split('<ul class="legend">')[1]
    assert "Anna" in legend and "Tone" not in legend
    with pytest.raises(NotSpeech):
        explorer.map_points([voice(110, 2.0), TONE], "me")


def test_maps_of_unseen_speakers_say_how_well_they_are_separated_and_by_chance(recordings: Recordings) -> None:
    plane = plots.Plane(np.zeros((40, 4, 2)), {}, 0.79, 0.01, np.ones((34, 4, 2)))
    probe = {"value": 7.0, "low": 3.1, "high": 11.8, "n": 32}
    explorer = Explorer(FakePipeline(), recordings, UnseenMaps("corpus", "test", plane, plane, probe, {"value": 3.1}))
    speaker, content = explorer.unseen.captions(texts).values()
    assert (
        f"79{NBSP}%" in speaker
        and f"chance 1.0{NBSP}%" in speaker
        and "[3.1, 11.8]" in content
        and "32 speakers" in content
    )
    assert "34 speakers of corpus, split test" in explorer.unseen.introduction(texts)
    *drawn, is_drawn = explorer.show_unseen(False)
    assert [len(json.loads(one.plot)["data"]) for one in drawn] == [35, 35] and is_drawn
    *in_german, _ = explorer.show_unseen(False, GERMAN)
    assert "Sprecher 34" in in_german[0].plot and f"1,0{NBSP}%" in explorer.unseen.captions(LANGUAGES["de"])["speaker"]
    assert explorer.show_unseen(True) == Explorer(FakePipeline(), recordings).show_unseen(False) == gr.skip()


def test_dropped_result_is_removed_from_maps(anonymizer: Anonymizer, recordings: Recordings) -> None:
    explorer = Explorer(FakePipeline(), recordings)
    low, high = anonymizer.bundled.values()
    run = anonymizer.request_run(low, high, "The high voice", BALANCED, "any", "", False, None)
    assert "Anonymized" not in explorer.show_maps(run, None, ME)[0]
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    html, drawn = explorer.show_maps(run, GALLERY, ME)
    assert "Anonymized" in html
    assert explorer.show_maps(run, drawn, ME) == explorer.remove_dropped(run, drawn) == gr.skip()
    assert "Anonymized" in explorer.show_maps(run, GALLERY, ME)[0]  # the page has lost the first answer
    anonymizer.cancel(run, ME)
    for gone, drawn_now in (explorer.remove_dropped(run, drawn), explorer.show_maps(run, drawn, ME)):
        assert "Anonymized" not in gone and drawn_now == GALLERY


# --- documents --------------------------------------------------------------------------------------------


def test_documents_are_read_and_marked_if_of_other_weights(tmp_path: Path) -> None:
    report = json.loads((ROOT / "benchmarks" / "evaluation" / "report.json").read_text())
    for measured in (report["weights_sha256"], "0"):
        read = Documents.read(ROOT, measured)
        assert read.report == report and read.is_of_weights == (measured != "0")
        assert (read.unseen is None) == (read.reconstruction_top1 is None) == (measured == "0")
    assert "<h3>Limits</h3>" in read.model_card and "<h3>Figures" not in read.model_card
    assert not re.search(r"<img|href=\"(?!https:)", read.model_card)
    assert Documents.read(tmp_path, measured) == Documents()  # as in an installed package
    assert documents.for_page("# T\n\n## A\n![x](y.png)\n[b](c.md) [d](https://e)") == "### A\nb [d](https://e)"


def test_evaluation_has_six_figures_with_their_tables_and_commands() -> None:
    report = json.loads((ROOT / "benchmarks" / "evaluation" / "report.json").read_text())
    figures = {BALANCED: Linkage({5: 28.1, 15: 19.9}, 49.0, 96)}
    evaluation = Evaluation(Documents(report, is_of_weights=False), figures, BALANCED)
    html, in_german = evaluation.show(), evaluation.show(GERMAN)
    assert html.startswith(texts.OTHER_WEIGHTS) and f"an EER of 20{NBSP}% with 15 seconds" in html
    assert re.findall(r'id="topic-(\w+)"', html) == list(overview.TOPICS) == list(texts.TOPICS)
    assert html.count(f"{texts.TOPIC_COMMAND}<code>saic evaluate") == 5
    saved = [f"{Path(name).stem}.svg" for name in overview.file_names(report)]
    assert re.findall('data-name="(.+?)"', html) == saved
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert len(set(pictures)) == 6 and re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', in_german) == pictures
    title, explanation = texts.EACH_ATTACKER
    assert f"<h3>{title}</h3>{explanation.format(seconds=15)}" in html.split('id="topic-sound"')[0]
    topics = html.split('<div class="topics">')[1]
    assert topics.count("<table>") == len(re.findall(r"^\| --- ", reports.markdown(report), re.MULTILINE))
    german = LANGUAGES["de"]
    assert in_german.startswith(german.OTHER_WEIGHTS) and all(title in in_german for title, _ in german.TOPICS.values())
    reports_in_english = '<div class="report" lang="en">'
    assert in_german.count(reports_in_english) == topics.count('<div class="report"') > 10
    assert Evaluation(Documents(), {}, BALANCED).show(GERMAN) == german.NO_EVALUATION
    for broken in ({"corpora": {}, "privacy": None}, {**report, "corpora": {"a": {}}}, {}):
        assert "<img" not in Evaluation(Documents(broken), {}, BALANCED).show()


def test_page_starts_without_libraries_that_draw_or_measure() -> None:
    """Each takes a second or so to load. A process of its own, since other tests have loaded them."""
    start = """
import ast, inspect, sys
parsed, parse = [], ast.parse
ast.parse = lambda source, *rest, **options: parsed.append(str(source)) or parse(source, *rest, **options)
import app, gradio
is_restored = inspect.getfile(gradio.Audio).endswith("audio.py")
print(sum("EVENTS = [" in source for source in parsed), is_restored, *sys.modules)
"""
    started = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True, cwd=ROOT)
    n_stubs, is_restored, *loaded = started.stdout.split()
    assert (n_stubs, is_restored) == ("0", "True") and "saic.web.page" in loaded
    assert not {"matplotlib", "sklearn", "resemblyzer", "faster_whisper", "librosa"} & set(loaded)


def test_no_color_of_the_dark_page_is_used_on_the_light_one() -> None:
    for selectors in re.findall(r"(?m)^([^@{}/]*\.dark [^{}]*)\{", CSS):
        assert all(".dark " in selector for selector in selectors.split(",")), selectors


# --- failures ---------------------------------------------------------------------------------------------


def test_internal_error_gives_user_an_id_and_logs_no_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught, gradio_errors():
        raise ValueError("cannot read /data/jane/Jane Doe.wav")
    (record,) = caplog.records
    event_id = caught.value.message.rstrip(".").split()[-1]
    assert event_id in record.getMessage() and "ValueError" in record.getMessage()
    assert record.exc_info is None
    for text in (caught.value.message, record.getMessage()):
        assert "Jane" not in text and "/data" not in text


def test_fake_pipeline_has_the_signatures_of_the_real_one() -> None:
    for name in ("convert_spooled", "anonymize_spooled", "pseudonym", "embed", "identify"):
        real, fake = (inspect.signature(getattr(cls, name)).parameters for cls in (Pipeline, FakePipeline))
        assert [(p.name, p.kind, p.default) for p in fake.values()] == [
            (p.name, p.kind, p.default) for p in real.values()
        ]


# --- the served page --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it; now undo() restores it
    patch.setattr(serve, "warm_up", lambda page: None)  # it might outlast the tests
    store = ClipStore(tmp_path_factory.mktemp("store"))
    page = build_page(FakePipeline(), examples, store=store, max_minutes=MAX_MINUTES)
    server = web.launch(page, port=0, block=False)
    page.local_url = server.url
    yield page
    server.close()
    patch.undo()


@pytest.fixture(scope="module")
def client(page: gr.Blocks, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(page.local_url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def http(page: gr.Blocks) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.local_url.rstrip("/")) as http:
        yield http


@pytest.fixture
def files(tmp_path: Path) -> dict[str, dict]:
    """Recordings of two voices, as a client sends them."""
    for name, hz in {"Jane Doe.ogg": 110, "Other.flac": 230, "Jane again.wav": 110}.items():
        sf.write(tmp_path / name, voice(hz, 2.0, seed=len(name)), RATE)
    return {path.stem: handle_file(path) for path in tmp_path.iterdir()}


@pytest.mark.parametrize("path", [pytest.param("/", marks=pytest.mark.proof), "/saic/"])
def test_page_behind_nginx_as_documented(path: str, examples, files, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(serve, "warm_up", lambda page: None)
    (tmp_path / "nginx").mkdir()
    page = build_page(FakePipeline(), examples, store=ClipStore(tmp_path), max_minutes=MAX_MINUTES)
    server = web.launch(page, port=0, block=False, root_path=path)
    try:
        with nginx.proxied(path, server.url, tmp_path / "nginx") as url:
            assert f'"root":"{url.removesuffix("/")}"' in httpx.get(url).text
            missing = httpx.get(url.replace(path, "/x/") if path != "/" else f"{url}x")
            assert missing.status_code == 404
            if path == "/":  # the lines on sizes and streams are those of the other location too
                for size, status in ((60 * 2**20, 200), (62 * 2**20, 413)):
                    files_sent = {"files": ("Jane Doe.wav", bytes(size))}
                    assert httpx.post(f"{url}gradio_api/upload", files=files_sent, timeout=60).status_code == status
                return
            client = Client(url, verbose=False, download_files=tmp_path)
            _, _, swapped, _, protected = client.predict(files["Jane Doe"], seed=1, api_name="/anonymize")
            assert sf.info(swapped).frames == 2 * RATE and protected["report"]["profile"] == BALANCED
            assert client.predict(api_name="/delete") == "Deleted."
    finally:
        server.close()


def test_root_path_is_a_path(examples, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    page = build_page(FakePipeline(), examples, store=ClipStore(tmp_path))
    with pytest.raises(UsageError, match="such as /saic"):
        web.launch(page, port=0, block=False, root_path="https://example.org/saic")
    page.recordings.close()


def test_gradio_history_analytics_and_sharing_are_off(page: gr.Blocks) -> None:
    config = page.get_config_file()
    assert config["run_history"] is False and config["analytics_enabled"] is False and config["show_error"] is False
    assert config["connect_heartbeat"] is True  # it shows how long a page stays open
    assert page.enable_monitoring is False and page.share is False
    players = [part["props"] for part in config["components"] if part["type"] in ("audio", "image")]
    buttons = [player["buttons"] for player in players if player["visible"] is not False]
    assert len(buttons) == 7 and not any("share" in names for names in buttons)
    kinds = [part["props"]["type"] for part in config["components"] if part["type"] == "audio"]
    assert set(kinds) == {"filepath"}  # for arrays, Gradio would decode uploads without limits
    assert page.max_file_size is None  # the firewall limits uploads; Gradio's page would show their names
    assert page._queue.max_size == 20


def test_heavy_handlers_wait_in_jobs_and_not_in_gradio_queue(page: gr.Blocks) -> None:
    heavy = [fn for fn in page.fns.values() if fn.concurrency_id == "heavy"]
    assert {fn.name for fn in heavy} >= {
        "run_with_progress",
        "show_details",
        "add_recordings",
        "convert_all",
        "enroll",
        "identify_speaker",
        "convert",
        "anonymize",
        "identify",
        "explore",
    }
    assert {fn.concurrency_limit for fn in heavy} == {MAX_JOBS}
    assert page.max_threads > MAX_JOBS and page.api_open is False
    assert page.fns and not any(fn.queue for fn in page.fns.values() if fn.api_name == "delete")


def test_launch_starts_warm_up_before_it_blocks(store, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    with gr.Blocks() as page:
        page.recordings, page.endpoints = Recordings(store), {}
    monkeypatch.setattr(serve, "warm_up", lambda page: order.append("warm up"))
    monkeypatch.setattr(serve.Server, "wait", lambda server: order.append("wait") or server.close())
    web.launch(page, port=0)
    assert order == ["warm up", "wait"]


def test_warm_up_waits_for_jobs_and_continues_after_an_error(recordings: Recordings, caplog) -> None:
    done = []

    def broken() -> None:
        raise ValueError("/data/jane")

    page = SimpleNamespace(recordings=recordings, warm_ups=(broken, lambda: done.append("warm")))
    with caplog.at_level("INFO", logger="saic.web"):
        with recordings.job("convert", "me"):
            thread = pages.warm_up(page)
            time.sleep(0.3)
            assert done == []
        thread.join(10)
    assert done == ["warm"] and "jane" not in caplog.text and "ValueError" in caplog.text


def test_warm_up_compiles_then_measures_and_leaves_no_files(
    anonymizer: Anonymizer, store: ClipStore, monkeypatch
) -> None:
    before, calls = set(store.folder.rglob("*")), []
    convert = FakePipeline.convert_spooled
    monkeypatch.setattr(
        FakePipeline, "convert_spooled", lambda *clips, **options: calls.append(1) or convert(*clips, **options)
    )
    anonymizer.warm_up()
    assert calls == [1, 1] and set(store.folder.rglob("*")) == before
    assert anonymizer.converter.pace.total_s(10) is not None


def test_api_has_its_endpoint_and_parameter_names(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/convert", "/anonymize", "/identify", "/explore", "/delete"]
    assert [p["parameter_name"] for p in endpoints["/convert"]["parameters"]] == ["source", "target", "profile"]
    parameters = [p["parameter_name"] for p in endpoints["/anonymize"]["parameters"]]
    assert parameters == ["source", "profile", "register", "subject", "seed"]


def test_client_converts_identifies_explores_and_deletes(client: Client, files, page: gr.Blocks, tmp_path) -> None:
    *clips, spectrograms, protected = client.predict(files["Jane Doe"], files["Other"], api_name="/convert")
    assert [Path(path).stem.partition("-")[0] for path in clips] == ["original", "reconstructed", "anonymized"]
    assert sf.info(clips[2]).frames == 2 * RATE and Path(spectrograms).suffix == ".png"
    assert protected["similarity_to_source"]["after"] < protected["usual_similarity"]["same_person"]["low"]
    assert len(client.predict(files["Jane Doe"], api_name="/convert")) == 5  # to a bundled voice
    protected = client.predict(files["Jane Doe"], api_name="/anonymize")[-1]
    assert protected["similarity_to_target"] is None and protected["report"]["settings"]["voice"] == "random"
    known = [files["Jane Doe"], files["Other"]]
    answer = client.predict(files["Jane again"], ["jane", "ben"], known, api_name="/identify")
    assert answer["name"] == "jane" and [score["name"] for score in answer["scores"]] == ["jane", "ben"]
    assert client.predict(files["Jane again"], ["ben"], [files["Other"]], api_name="/identify")["name"] is None
    maps = client.predict([files["Jane Doe"]], api_name="/explore")
    assert len(maps["speaker"]["gallery"]) == 40 and len(maps["content"]["recordings"]) == 1
    store = page.recordings.store
    kept = lambda: [path for path in store.folder.glob("*/*") if path.parent != store.bundled]  # noqa: E731
    kinds = {re.sub(r"-\w{6}\.", ".", Path(path).name) for path in (*clips, spectrograms)}
    assert {re.sub(r"-\w{6}\.", ".", path.name) for path in kept()} == kinds | {"spectrograms.npz", "columns.npz"}
    assert client.predict(api_name="/delete") == "Deleted."
    assert not kept()


def test_client_gets_what_was_converted_though_the_server_is_busy_by_then(
    client: Client, files, busy_after_conversion
) -> None:
    busy_after_conversion()
    assert len(client.predict(files["Jane Doe"], api_name="/anonymize")) == 5


def test_client_chooses_a_profile_and_gets_the_report(client: Client, files) -> None:
    *_, swapped, _, protected = client.predict(files["Jane Doe"], files["Other"], "strict", api_name="/convert")
    assert sf.info(swapped).frames == 2 * RATE * STRICT_STRETCH
    assert protected["report"]["profile"] == "strict" and "Jane" not in json.dumps(protected)
    assert protected["report"]["output_sha256"] == sha256(Path(swapped))
    for endpoint, target in (("/convert", [None]), ("/anonymize", [])):
        with pytest.raises(Exception, match=r"There is no such profile\. Use one of these: balanced, strict,"):
            client.predict(files["Jane Doe"], *target, "loud", api_name=endpoint)
    predict = partial(client.predict, files["Jane Doe"], api_name="/anonymize")
    *_, swapped, _, protected = predict("prosody-kept", register="lower", seed=3)
    assert sf.info(swapped).frames == 2 * RATE and protected["report"]["profile"] == "prosody-kept"
    assert protected["report"]["settings"] == {"voice": "seed", "register": "lower", "rate_hz": RATE}
    for wrong, message in (({"subject": "P01"}, "no key"), ({"seed": "three"}, "whole number")):
        with pytest.raises(Exception, match=message):
            predict(**wrong)


def test_client_gets_notes_on_damaged_files(client: Client, files, tmp_path: Path) -> None:
    cut = handle_file(damaged(tmp_path / "cut.flac", voice(110, 4.0)))
    *_, protected = client.predict(cut, files["Other"], api_name="/convert")
    (note,) = protected["notes"]["source"]
    assert re.fullmatch(DAMAGE, note) and protected["notes"]["target"] == []
    *_, protected = client.predict(files["Other"], cut, api_name="/convert")
    assert protected["notes"] == {"source": [], "target": [note]}
    answer = client.predict(cut, ["ben", "jane"], [files["Other"], cut], api_name="/identify")
    assert answer["name"] == "jane" and answer["notes"] == {"clip": [note], "recordings": [[], [note]]}
    assert client.predict([files["Other"], cut], api_name="/explore")["notes"] == [[], [note]]
    with pytest.raises(Exception, match="1 to 4 recordings"):
        client.predict([files["Other"]] * 5, api_name="/explore")


def test_delete_now_leaves_no_enrolled_voice_and_allows_to_enroll_again(page: gr.Blocks) -> None:
    (delete_all,) = (fn for fn in page.fns.values() if fn.name == "delete_all")
    batch, old = Batch([Item("P1", 1, None)]), EnrolledVoices()
    updates = asyncio.run(delete_all.fn("The high voice", None, batch, old, "1a2b3c4d", ME))
    assert GALLERY in updates  # maps that were drawn are of the gallery alone
    assert old.removed and batch.deleted and batch.items == []
    (enrolled,) = (update for update in updates if isinstance(update, EnrolledVoices))
    assert enrolled == {} and not enrolled.removed and len(updates) == len(delete_all.outputs)


def test_delete_now_is_asked_for_by_new_clips_and_not_by_the_progress_of_a_batch(page: gr.Blocks) -> None:
    (show_delete,) = (fn for fn in page.fns.values() if fn.name == "show_delete")
    shown_by = {page.blocks[number].elem_id for number, event in show_delete.targets if event == "change"}
    assert {
        "source",
        "target",
        "voice",
        "query",
        "batch-files",
        "enrolled",
    } <= shown_by and "batch-list" not in shown_by


def test_readme_example_runs(page: gr.Blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```py\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    names = {}
    exec(compile(example.replace("http://127.0.0.1:7860", page.local_url), "README.md", "exec"), names)
    assert Path(names["swapped"]).name.startswith("anonymized-") and names["protected"]["similarity_to_target"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Jane.wav", b"not audio" * 100, "can be decoded"),
        ("Jane.wav", b"", "empty"),
        ("Jane.webm", b"\x1aE", "decoded"),
    ],
)
def test_client_error_explains_the_problem_without_the_file_name(
    name, content, message, client, tmp_path, capfd
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Exception, match=message) as caught:
        client.predict(handle_file(tmp_path / name), api_name="/convert")
    assert "Jane" not in str(caught.value) and "Jane" not in "".join(capfd.readouterr())


def test_upload_gets_a_neutral_name_and_a_path_of_its_own(http: httpx.Client, page: gr.Blocks) -> None:
    sent = [http.post("/gradio_api/upload", files={"files": ("Jane Doe.ogg", b"same")}) for _ in range(2)]
    one, other = (Path(answer.json()[0]) for answer in sent)
    assert one != other and one.name == "recording.ogg" and one.read_bytes() == b"same"
    assert http.get(f"/gradio_api/file={one}").headers["cache-control"] == "no-store"
    page.recordings.store.discard(one)
    page.recordings.store.discard(other)
    assert http.get(f"/gradio_api/file={one}").status_code == 204  # its player asks once more: no error in the console


def test_upload_over_the_size_limit_gets_413_and_leaves_no_file(http: httpx.Client, page: gr.Blocks) -> None:
    before = set(page.recordings.store.folder.iterdir())
    blob = bytes(61 * 2**20)
    answer = http.post("/gradio_api/upload", files={"files": ("Jane Doe.wav", blob)}, timeout=60)
    assert answer.status_code == 413 and "60 MB" in answer.text and "Jane" not in answer.text
    assert set(page.recordings.store.folder.iterdir()) == before


def test_full_queue_gets_503_and_full_store_507(http: httpx.Client, page, monkeypatch) -> None:
    monkeypatch.setattr(page._queue, "max_size", 0)
    clip = {"path": str(next(page.recordings.store.bundled.iterdir())), "meta": {"_type": "gradio.FileData"}}
    answer = http.post("/gradio_api/call/convert", json={"data": [clip, None]})  # without profile
    assert answer.status_code == 503 and "queue is full" in answer.text.lower()
    before = set(page.recordings.store.folder.iterdir())
    monkeypatch.setattr(page.recordings.store, "max_bytes", 0)
    answer = http.post("/gradio_api/upload", files={"files": ("Jane Doe.wav", b"-")})
    assert answer.status_code == 507 and "The server is full" in answer.text
    assert set(page.recordings.store.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=http://example.com/a.wav"),
        ("GET", "/gradio_api/file=https:/example.com/a.wav"),
        ("GET", "/gradio_api/file=/etc/hostname"),
        ("GET", "/gradio_api/file=app.py"),
        ("GET", "/gradio_api/file={store}"),
        ("GET", "/gradio_api/file={store}/bundled"),
        ("GET", "/gradio_api/file={store}/.lock"),
        ("GET", "/gradio_api/file={store}/../../etc/hostname"),
        ("GET", "/gradio_api/proxy=http://example.com/"),
        ("GET", "/monitoring"),
        ("GET", "/gradio_api/deep_link"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/run-history/connect"),
        ("PUT", "/gradio_api/upload"),
    ],
)
def test_unneeded_routes_get_404(method: str, path: str, http: httpx.Client, page) -> None:
    answer = http.request(method, path.format(store=page.recordings.store.folder))
    assert answer.status_code == 404 and "etc" not in answer.text


@pytest.mark.parametrize(
    "file",
    [
        {"path": "http://127.0.0.1:{port}/a.wav"},
        {"path": "https://example.com/a.wav"},
        {"path": "{clip}", "url": "http://127.0.0.1:{port}/a.wav"},
        {"path": "http://127.0.0.1:{port}/gradio_api/file=/a.wav"},
        {"path": "/etc/hostname"},
        {"path": None, "url": "http://127.0.0.1:{port}/a.wav"},
        {"url": "http://127.0.0.1:{port}/a.wav"},
    ],
)
@pytest.mark.parametrize("route", ["queue/join", "call/convert", "run/convert"])
def test_web_address_instead_of_file_is_never_fetched(
    route: str, file: dict, http: httpx.Client, page: gr.Blocks
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        filled = {"port": trap.getsockname()[1], "clip": next(page.recordings.store.bundled.iterdir())}
        file = {key: value and value.format(**filled) for key, value in file.items()}
        file |= {"meta": {"_type": "gradio.FileData"}}
        fn = next(k for k, fn in page.fns.items() if fn.name in ("run_conversion", "decode_source"))
        body = {"data": [file, None], "fn_index": fn, "session_hash": "x", "event_data": None}
        answer = http.post(f"/gradio_api/{route}", json=body)
        assert answer.status_code == 400 and re.search("web address|not on the server", answer.text)
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_refusals_that_the_page_shows_are_in_its_language(http: httpx.Client) -> None:
    call = {"data": [{"path": "/gone.wav", "meta": {"_type": "gradio.FileData"}}]}
    for language, message in (("de-DE,en", "Laden Sie sie zuerst hoch"), ("en", "Upload it first")):
        answer = http.post("/gradio_api/call/convert", json=call, headers={"Accept-Language": language})
        assert answer.status_code == 400 and message in answer.json()["detail"]


def test_events_of_a_page_go_to_its_newest_connection_alone() -> None:
    """The page opens another one when one broke, which the server may not have noticed."""
    events: asyncio.Queue[bytes] = asyncio.Queue()
    received: dict[str, list] = {"broken": [], "newest": []}

    async def app(scope, receive, send) -> None:  # as Gradio
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while event := await events.get():
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def visit() -> None:
        firewall = SimpleNamespace(_app=app, _event_streams={})

        async def open_stream(name: str) -> None:
            async def send(message) -> None:
                received[name].append(message.get("body", message["type"]))

            await Firewall._stream_events(firewall, {}, asyncio.Event().wait, send, "session")

        streams = []
        for name, sent_events in (("broken", [b"1"]), ("newest", [b"2", b"3", b""])):
            streams.append(asyncio.create_task(open_stream(name)))
            await asyncio.sleep(0)
            for event in sent_events:
                events.put_nowait(event)
            await asyncio.sleep(0.01)
        await asyncio.wait_for(asyncio.gather(*streams), 5)
        assert not firewall._event_streams

    asyncio.run(visit())
    assert received == {
        "broken": ["http.response.start", b"1"],
        "newest": ["http.response.start", b"2", b"3", b""],
    }


def test_every_response_has_security_headers(http: httpx.Client) -> None:
    for path in ("/", "/config", "/nothing"):
        headers = http.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert not re.search(r"https?:|\*", headers["content-security-policy"])
        assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"


def test_original_file_name_does_not_reach_the_endpoint(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio's client sends the name too; it is removed before anything can log or return it."""
    received, process_api = [], gr.Blocks.process_api

    async def seen(blocks: gr.Blocks, **options: object) -> dict:
        received.append(str(options["inputs"]))
        return await process_api(blocks, **options)

    monkeypatch.setattr(gr.Blocks, "process_api", seen)
    (path,) = http.post("/gradio_api/upload", files={"files": ("Jane Doe.ogg", b"x")}).json()
    file = {"path": path, "orig_name": "Jane Doe.ogg", "meta": {"_type": "gradio.FileData"}}
    event = http.post("/gradio_api/call/convert", json={"data": [file, None]}).json()["event_id"]
    answer = http.get(f"/gradio_api/call/convert/{event}").text
    assert "decoded" in answer and "Jane" not in answer
    assert len(received) == 1 and path in received[0] and "Jane" not in received[0]


def test_app_py_builds_the_page_with_the_given_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    named = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda weights: named.append(weights) or KeyedPipeline())
    build = runpy.run_path(str(ROOT / "app.py"), run_name="app")["build"]
    for name in (None, "a/folder"):
        page = build(name)
        assert isinstance(page, gr.Blocks)
        page.recordings.store.close()
    assert named == [None, "a/folder"]


@pytest.mark.parametrize(
    ("variables", "arguments", "minutes"),
    [
        ({}, (None, []), 60),
        ({}, ("127.0.0.1", []), 60),
        ({}, ("0.0.0.0", []), 5),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, (None, []), 5),
        ({}, (None, ["saic.example.org"]), 5),
        ({"SPACE_HOST": "a.example.org"}, (None, []), 5),
        ({"SPACE_HOST": "a.example.org", "SAIC_MAX_MINUTES": "20"}, (None, []), 20),
    ],
)
def test_recordings_are_shorter_where_others_can_open_the_page(variables, arguments, minutes, monkeypatch) -> None:
    for name in ("GRADIO_SERVER_NAME", "SPACE_HOST", "SAIC_MAX_MINUTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert runpy.run_path(str(ROOT / "app.py"), run_name="app")["_max_minutes"](*arguments) == minutes


@pytest.mark.parametrize("minutes", ["60", "2.5"])
def test_length_of_a_recording_is_a_setting(minutes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda weights: KeyedPipeline())
    page = runpy.run_path(str(ROOT / "app.py"), run_name="app")["build"](max_minutes=float(minutes), asr="none")
    texts, recordings = json.dumps(page.get_config_file()["i18n_translations"]["en"]), page.recordings
    assert f"up to {minutes} min." in texts
    assert recordings.limits == limits_of(float(minutes)) and recordings.store.max_bytes >= 2**32
    assert recordings.jobs.deadline_s == pytest.approx(max(180, 36 * float(minutes)))
    recordings.close()


@pytest.mark.parametrize("minutes", ["five", "0", "181", "nan"])
def test_unusable_length_of_a_recording_is_refused(minutes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIC_MAX_MINUTES", minutes)
    app = runpy.run_path(str(ROOT / "app.py"), run_name="app")
    with pytest.raises(UsageError, match="minutes"):
        app["build"](max_minutes=app["_max_minutes"](None, []))


def test_app_py_explains_a_key_that_others_can_read_or_that_is_of_other_weights(tmp_path, monkeypatch, capsys) -> None:
    class OtherPipeline(KeyedPipeline):
        def pseudonym(self, **options):
            raise OtherVoices("Add --new-voices.")

    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda weights: OtherPipeline())
    monkeypatch.setattr(Key, "load", lambda path: "KEY")
    build = runpy.run_path(str(ROOT / "app.py"), run_name="app")["build"]
    (key_file := tmp_path / "key").touch(0o644)
    with pytest.raises(OtherVoices, match="by --weights") as caught:
        build(key_file=key_file)
    assert "--new-voices" not in str(caught.value) and "chmod 600" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--key-file"):
        build(study="gait")


# --- progress ---------------------------------------------------------------------------------------------


STAGES_S = {  # per second of the recording, but for showing it; not those of `Pace` before it has measured
    "Reading the recordings": 0.01,
    "Analyzing the target voice": 0.0,
    "Converting": 0.08,
    "Vocoding the reconstruction": 0.04,
    "Vocoding the new voice": 0.06,
    WRITING: 0.02,
    COMPARING: 0.05,
    SHOWING: 0.9,
}


def simulated_estimates(pace: Pace, duration_s: float, slower: float = 1.0) -> list[tuple[float, float, float]]:
    """(seconds since the start, share done, seconds left) until the page has the result, every quarter of a second."""
    now = [0.0]
    progress, estimates, ends_at = Progress(pace, duration_s, clock=lambda: now[0]), [], 0.0
    for stage, factor in STAGES_S.items():
        if stage != SHOWING:
            progress.enter(stage)
        ends_at += slower * (factor if stage == SHOWING else factor * duration_s)
        if stage == SHOWING:
            progress.finish()
        while now[0] + 0.25 < ends_at:
            now[0] += 0.25
            estimates.append((now[0], *progress.estimate()))
        now[0] = ends_at
    pace.learn(duration_s, {SHOWING: slower * STAGES_S[SHOWING]})
    return [(at, share, left) for at, share, left in estimates]


@pytest.mark.parametrize(("duration_s", "slower"), [(10, 1.0), (60, 1.1), (300, 1.0), (300, 0.9)])
def test_time_left_holds_within_a_quarter_and_share_moves_in_every_stage(duration_s: float, slower: float) -> None:
    pace = Pace()
    assert pace.total_s(10) is None
    simulated_estimates(pace, 10)  # as at warm-up
    estimates = simulated_estimates(pace, duration_s, slower)
    total_s = slower * (sum(STAGES_S.values()) - 0.9) * duration_s + slower * 0.9
    for at, _, left_s in estimates:
        if at > 1:
            assert at + left_s == pytest.approx(total_s, rel=0.25)
    shares = [share for _, share, _ in estimates]
    assert shares == sorted(shares) and shares[0] < 0.2 and shares[-1] > 0.85
    assert max(np.diff(shares)) < 0.2
    assert pace.total_s(duration_s) == pytest.approx(total_s, rel=0.1)


def test_conversion_without_reconstruction_takes_less_time() -> None:
    left_s = [Progress(Pace(), 60, reconstruct=reconstruct).estimate()[1] for reconstruct in (True, False)]
    assert left_s[1] < 0.9 * left_s[0]


def test_late_stage_corrects_the_time_left() -> None:
    pace = Pace()
    simulated_estimates(pace, 10)
    total_s = 2 * sum(factor * 60 if stage != SHOWING else factor for stage, factor in STAGES_S.items())
    half = [at + left_s for at, share, left_s in simulated_estimates(pace, 60, slower=2) if at > total_s / 2]
    assert half == pytest.approx([total_s] * len(half), rel=0.25)


def test_end_of_the_pipeline_does_not_start_the_promise_anew() -> None:
    now = [0.0]
    progress = Progress(Pace(), 60, clock=lambda: now[0])
    for now[0], stage in ((0.0, "Converting"), (2.0, "Vocoding the new voice"), (3.0, "Done")):
        progress.enter(stage)
    now[0] = 3.1
    share, left_s = progress.estimate()
    assert share > 0.5 and left_s < 3
    progress.enter(WRITING)
    assert progress.estimate()[1] == pytest.approx(left_s, abs=1)


def test_page_promises_the_measured_times(anonymizer: Anonymizer) -> None:
    assert "On this server" not in anonymizer.show_times(None)
    anonymizer.converter.pace.learn(10.0, {"Converting": 2.6, COMPARING: 0.4})
    five = anonymizer.converter.pace.total_s(300)
    assert "five minutes about 1 min" in anonymizer.show_times(None) and 70 < five < 120
    assert anonymizer.show_times(Run("s", None, PSEUDONYM, BALANCED)) == gr.skip()


def test_page_run_yields_progress_that_ends_before_the_result_is_shown(anonymizer: Anonymizer, monkeypatch) -> None:
    monkeypatch.setattr(conversions, "_TICK_S", 0.05)
    measure = ProtectionMeasurer.measure_similarity
    slow = lambda *wavs: time.sleep(0.5) or measure(*wavs)  # noqa: E731
    monkeypatch.setattr(ProtectionMeasurer, "measure_similarity", slow)
    low, high = anonymizer.bundled.values()
    for _ in range(2):  # the first run and the second
        run = Run(low, high, "The high voice", BALANCED)
        bars = list(anonymizer.run_with_progress(run, ME))
        assert all(re.search(r"\d+\s%, about \d+ second", bar) for bar in bars)
        assert len({bar for bar in bars if COMPARING in bar}) > 1  # it moves within a stage
        assert SHOWING in bars[-1] and f"100{NBSP}%" not in bars[-1] and run.result is not None
    with pytest.raises(gr.Error, match="no longer on the server"):
        list(anonymizer.run_with_progress(Run("/gone.wav", high, "The high voice", BALANCED), ME))
    assert list(anonymizer.run_with_progress(None, ME)) == []


def test_pace_learns_how_long_the_browser_takes_to_show_a_result_once(anonymizer: Anonymizer) -> None:
    low, high = anonymizer.bundled.values()
    run, pace = Run(low, high, "The high voice", BALANCED), anonymizer.converter.pace
    anonymizer.run_conversion(run, ME, NO_PROGRESS)
    run.ended_at -= 5.0
    for _ in range(2):
        anonymizer.show_result(low, high, "The high voice", BALANCED, "any", "", run, ME)
        assert pace.stages_s(3.0)[SHOWING] == pytest.approx(5.0, abs=0.5)


@pytest.mark.proof
def test_time_left_of_bundled_weights_holds_within_a_quarter(recordings: Recordings, examples) -> None:
    bundled, _ = pages._store_examples(load_examples(ROOT / "assets" / "examples"), recordings.store)
    pipeline = Pipeline.from_pretrained()
    anonymizer = Anonymizer(converter(recordings, pipeline), recordings, bundled)
    anonymizer.warm_up()
    source = np.resize(audio.load(next(iter(bundled.values()))), 120 * RATE)
    for _ in range(2):
        began, estimates = time.monotonic(), []
        note = lambda share, stage, left_s: estimates.append((time.monotonic() - began, left_s))  # noqa: B023, E731
        anonymizer.converter.convert(source, NewVoice("random"), "me", BALANCED, note)
        total_s = time.monotonic() - began
        assert all(at + left_s == pytest.approx(total_s, rel=0.25) for at, left_s in estimates if at > 3)


# --- what the page says and shows -------------------------------------------------------------------------


def test_pseudonym_is_not_presented_as_a_mixture_of_the_bundled_voices() -> None:
    assert "built-in" not in texts.TARGET + PSEUDONYM and "gallery" in texts.TARGET
    assert "blends three voices of the gallery" in texts.TARGET


def test_documents_and_code_agree_on_when_clips_are_deleted() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert KEEP_S == 30 * 60 and "half an hour after the page is closed" in readme
    about_text = " ".join(texts.RETENTION.split())
    assert f"removed {KEEP_S // 60} minutes after you close it" in about_text
    assert f"{GRACE_S} seconds after another has replaced it" in about_text
    assert f"{KEEP_S // 60} minutes after you close the page" in " ".join(texts.IDENTIFY_ENROLL.split())


def test_upload_of_every_decodable_format_keeps_its_suffix(http: httpx.Client, page: gr.Blocks) -> None:
    for suffix in audio.SUFFIXES:
        (path,) = http.post("/gradio_api/upload", files={"files": (f"Jane{suffix.upper()}", b"x")}).json()
        assert Path(path).name == f"recording{suffix}" and suffix in SCRIPT
        page.recordings.store.discard(Path(path))


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}])
def test_file_deleted_while_it_is_sent_gets_404_without_an_exception(
    headers: dict, http: httpx.Client, page: gr.Blocks, caplog, monkeypatch
) -> None:
    """A quick clear deletes the upload between the head of the response and its first byte."""
    (path,) = http.post("/gradio_api/upload", files={"files": ("a.wav", b"x" * 100)}).json()
    remove = lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError(path))  # noqa: E731
    monkeypatch.setattr("starlette.responses.anyio.open_file", remove)
    monkeypatch.setattr("gradio.ranged_response.aiofiles.open", remove)
    logged = []
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "handle", logged.append)
    answer = http.get(f"/gradio_api/file={path}", headers=headers)
    assert answer.status_code == 404 and "no longer on the server" in answer.text and logged == []
    page.recordings.store.discard(Path(path))
