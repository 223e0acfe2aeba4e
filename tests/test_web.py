"""The page without a browser: what its verbs do, what they keep, what they tell, and how it is served."""

import inspect
import json
import logging
import re
import runpy
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import numpy as np
import pytest
import soundfile as sf
from gradio_client import Client, handle_file

from saic import audio, web
from saic.errors import DataError, UsageError
from saic.pipeline import Pipeline
from saic.web import Documents, Example, about, build_page, load_examples, protection, serve
from saic.web import page as pages
from saic.web.anonymize import Anonymizer, Run, Shown
from saic.web.explore import Explorer
from saic.web.failures import told_plainly
from saic.web.identify import MAX_VOICES, Identifier, Known
from saic.web.jobs import MAX_JOBS, Jobs
from saic.web.loudness import loudness_lufs, matched
from saic.web.protection import Judge, Likeness, Listener, Protection, Usual, independent_judge
from saic.web.protection_card import protection_card
from saic.web.recordings import LIMITS, Recordings
from saic.web.store import ClipStore
from saic.web.texts import NOBODY, OWN_RECORDING
from tests.conftest import RATE, voice
from tests.fakes import FakePipeline

ROOT = Path(__file__).parents[1]
ME = SimpleNamespace(session_hash="me")
ANOTHER = SimpleNamespace(session_hash="another")
QUIET = lambda share, desc: None  # noqa: E731


@pytest.fixture(autouse=True, scope="module")
def own_judge():
    """The judge that is always there: Resemblyzer takes long to load, and has its own test."""
    patch = pytest.MonkeyPatch()
    patch.setattr(protection, "independent_judge", lambda: None)
    yield
    patch.undo()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClipStore]:
    store = ClipStore(tmp_path)
    yield store
    store.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator:
    sandbox = web.page.Recordings.__dataclass_fields__["sandbox"].default_factory()
    yield sandbox
    sandbox.close()


@pytest.fixture
def recordings(store: ClipStore, sandbox) -> Recordings:
    return Recordings(store, Jobs(1), sandbox)


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
def do(recordings: Recordings, examples: list[Example]) -> Anonymizer:
    bundled, _ = pages._bundle(examples, recordings.store)
    return Anonymizer(FakePipeline(), recordings, Listener(FakePipeline()), bundled)


@pytest.fixture
def upload(store: ClipStore) -> Path:
    """A recording as the firewall keeps it."""
    path = store.receive(".wav")
    audio.save(path, voice(150, 2.0))
    return path


# --- bundled voices ---------------------------------------------------------------------------------------


def test_the_examples_of_this_repository_load_and_can_be_converted(store: ClipStore) -> None:
    bundled, halves = pages._bundle(load_examples(ROOT / "assets" / "examples"), store)
    assert len(bundled) >= 2
    for label, path in bundled.items():
        assert sf.info(path).samplerate == RATE
        assert sum(sf.info(half).frames for half in halves[label]) == sf.info(path).frames


@pytest.mark.parametrize("listing", [None, "{", "[]", '[{"file": "gone.flac"}]', "[1]", '{"a": 1}'])
def test_a_bad_list_of_examples_is_an_error(listing: str | None, tmp_path: Path) -> None:
    if listing is not None:
        (tmp_path / "examples.json").write_text(listing)
    with pytest.raises(DataError):
        load_examples(tmp_path)


def steady(hz: float, duration_s: float, seed: int = 0) -> np.ndarray:
    """A voice of one pitch, which is all that the fake pipeline knows a voice by."""
    time_s = np.arange(int(duration_s * RATE)) / RATE
    syllables = np.clip(3 * np.sin(2 * np.pi * (3 * time_s + 0.37 * seed)), 0, 1)
    return (0.1 * syllables * sum(np.sin(2 * np.pi * k * hz * time_s) / k for k in range(1, 12))).astype(np.float32)


# --- anonymize --------------------------------------------------------------------------------------------


def test_an_upload_becomes_a_plain_copy_and_is_gone_at_once(do: Anonymizer, store: ClipStore, upload: Path) -> None:
    sent = audio.load(upload)
    copy = Path(do.take_source(str(upload), ME))
    assert copy.name == "recording.wav" and store.may_read("me", copy) and not store.may_read("another", copy)
    assert np.allclose(audio.load(copy), sent, atol=2 / 2**15)
    assert not upload.exists()
    assert np.array_equal(
        do._recordings.load(str(upload), "me"), audio.load(copy)
    )  # a click that was quicker than the copy
    assert do.take_source(str(copy), ME)["__type__"] == "update" and copy.exists()  # plain already: left alone


def test_a_click_that_is_quicker_than_the_copy_gets_the_copy(do: Anonymizer, upload: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(do.take_source, str(upload), ME)
        while upload.exists():  # until it is decoded, and its copy perhaps not yet written
            time.sleep(0.001)
        wav = do._recordings.load(str(upload), "me")
    assert np.array_equal(wav, audio.load(taken.result()))


@pytest.mark.parametrize(("content", "said"), [(b"RIFF" + b"x" * 999, "decoded"), (b"", "empty"), (None, "silent")])
def test_a_bad_upload_is_told_and_gone_at_once(content: bytes | None, said: str, do: Anonymizer, upload: Path) -> None:
    if content is None:
        audio.save(upload, np.zeros(RATE, np.float32), force=True)
    else:
        upload.write_bytes(content)
    with pytest.raises(gr.Error, match=said) as caught:
        do.take_source(str(upload), ME)
    assert not caught.value.print_exception and str(upload) not in caught.value.message
    assert not upload.exists()


def test_a_recording_over_the_limit_is_refused(do: Anonymizer, store: ClipStore) -> None:
    path = store.receive(".flac")
    sf.write(path, np.zeros(int((LIMITS.max_duration_s + 1) * 4000), np.float32), 4000, format="FLAC")
    with pytest.raises(gr.Error, match="longer than 300 s"):
        do.take_source(str(path), ME)


@pytest.mark.parametrize("choice", ["The high voice", NOBODY])
def test_a_conversion_gives_three_plain_clips_at_one_loudness_and_a_figure(choice: str, do: Anonymizer, store) -> None:
    low, high = do.bundled.values()
    stages = []
    told = lambda share, desc: stages.append((share, desc))  # noqa: E731
    *clips, mels = map(Path, do.show(Run(low, None if choice == NOBODY else high, choice), ME, told))
    assert [clip.name for clip in clips] == ["original.wav", "reconstructed.wav", "swapped.wav"]
    for clip in clips:
        info = sf.info(clip)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        assert info.frames == sf.info(low).frames and store.may_read("me", clip)
    levels = [loudness_lufs(audio.load(clip)) for clip in clips]
    assert max(levels) - min(levels) < 0.1
    assert mels.read_bytes().startswith(b"\x89PNG")
    assert len({path.parent for path in (*clips, mels)}) == 1
    shares = [share for share, _ in stages]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1 and all(desc for _, desc in stages)


def test_nobody_gets_at_anothers_clips(do: Anonymizer, upload: Path) -> None:
    high = do.bundled["The high voice"]
    mine = do.take_source(str(upload), ME)
    run = Run(mine, high, "The high voice")
    with pytest.raises(gr.Error, match="no longer on the server"):
        do.show(run, ANOTHER, QUIET)
    do.show(run, ME, QUIET)
    with pytest.raises(gr.Error, match="no longer on the server"):
        next(do.protected(run, ANOTHER))
    assert "What was protected" in next(do.protected(run, ME))


def test_a_job_that_is_stopped_keeps_nothing(do: Anonymizer, store: ClipStore) -> None:
    low, high = do.bundled.values()

    def impatient(share: float, desc: str) -> None:
        if share > 0.2:
            do._recordings.jobs.stop("me")

    before = set(store.folder.iterdir())
    with pytest.raises(gr.Error, match="Stopped"):
        do.show(Run(low, high, "The high voice"), ME, impatient)
    assert set(store.folder.iterdir()) == before


@pytest.mark.parametrize("step", ["likeness", "words"])
def test_a_card_that_is_stopped_ends_in_the_middle(step: str, recordings: Recordings, examples, monkeypatch) -> None:
    """A long clip is listened to for long: in a clip of five minutes, between its parts."""
    listened = []

    def listen(wav: np.ndarray, between) -> str:
        listened.append(len(wav))
        recordings.jobs.stop("me")
        between()

    bundled, _ = pages._bundle(examples, recordings.store)
    do = Anonymizer(FakePipeline(), recordings, Listener(FakePipeline(), SimpleNamespace(transcribe=listen)), bundled)
    low, high = bundled.values()
    if step == "likeness":
        monkeypatch.setattr(Listener, "_embed", lambda _, wav: listened.append(len(wav)) or recordings.jobs.stop("me"))
    cards = []
    with pytest.raises(gr.Error, match="Stopped"):
        for html in do.protected(Run(low, high, "The high voice", shown=Shown(low, low, high, "-")), ME):
            cards.append(html)
    assert step == "likeness" or ("is listening" in cards[0] and "recogniser was stopped" in cards[-1])
    assert len(listened) == 1 and not recordings.jobs.running


def test_another_person_must_have_agreed(do: Anonymizer, monkeypatch: pytest.MonkeyPatch) -> None:
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
    do.check("s", "t", OWN_RECORDING, True, "t")
    do.check("s", "t", "The low voice", False)
    do.check("s", None, NOBODY, False)
    assert len(warned) == 3


def test_consent_to_one_voice_is_not_consent_to_the_next(do: Anonymizer) -> None:
    target, consent = do.choose(OWN_RECORDING)
    assert target["value"] is None and target["interactive"] and consent["visible"] and consent["value"] is False
    target, consent = do.choose("The high voice")
    assert Path(target["value"]).is_file() and not target["interactive"] and not consent["visible"]
    assert do.choose(NOBODY)[0]["visible"] is False


def test_consent_is_to_one_recording(do: Anonymizer, store: ClipStore, upload: Path, monkeypatch) -> None:
    monkeypatch.setattr(gr, "Warning", lambda sentence: None)
    agreed = str(upload)  # the tick was quicker than the plain copy
    copy = do.take_target(str(upload), ME)
    other = do.take_target(sent(store, voice(110, 2.0)), ME)
    do.check("s", copy, OWN_RECORDING, True, agreed)
    assert do.keep_consent(copy, True, agreed) == gr.skip()
    for target, ticked, of in [(other, True, agreed), (copy, False, agreed), (copy, True, None), (None, True, agreed)]:
        with pytest.raises(gr.Error):
            do.check("s", target, OWN_RECORDING, ticked, of)
        if ticked:
            assert do.keep_consent(target, True, of)["value"] is False
    run = do.ask("s", other, "The high voice", False, None)
    assert run.target == do.bundled["The high voice"]  # and not what the player may hold without consent


@pytest.fixture
def run(do: Anonymizer, store: ClipStore, upload: Path) -> tuple[Run, dict]:
    """An upload that is asked to be converted to a bundled voice, and what the page holds."""
    held = {"source": str(upload), "target": do.bundled["The high voice"], "choice": "The high voice"}
    run = do.ask(*held.values(), False, None)
    return run, held | {"source": do.take_source(str(upload), ME)}


def is_without_result(updates: tuple) -> bool:
    known, cancel, intro, progress, results, _, *files = updates
    hidden = not any(part["visible"] for part in (cancel, progress, results))
    return hidden and "Press Convert" in intro["value"] and known == "" and files == [None] * 4


@pytest.mark.parametrize(
    "change", [{"source": None}, {"source": "/another.wav"}, {"choice": "The low voice"}, {"choice": OWN_RECORDING}]
)
def test_a_result_goes_when_what_it_was_made_from_changes(change: dict, run, do: Anonymizer, store: ClipStore) -> None:
    run, held = run
    files = [Path(path) for path in do.show(run, ME, QUIET)]
    assert do.uncover(**held, run=run, request=ME)[4]["visible"]
    assert do.settle(**held, known=run.number, run=run, request=ME) == gr.skip()  # an upload's copy is the same
    assert do.settle(**held | change, known="earlier", run=run, request=ME) == gr.skip()  # an event that is late
    assert all(file.exists() for file in files)
    assert is_without_result(do.settle(**held | change, known=run.number, run=run, request=ME))
    assert not any(file.exists() for file in files)
    assert do.settle(**held, known=run.number, run=run, request=ME) == gr.skip()
    assert do.uncover(**held, run=run, request=ME) == gr.skip() and list(do.protected(run, ME)) == []
    assert is_without_result(do.settle(**held, known=run.number, run=None, request=ME))  # the server has forgotten it


def test_a_result_that_comes_after_a_change_is_withdrawn(run, do: Anonymizer, store: ClipStore) -> None:
    run, held = run
    files = [Path(path) for path in do.show(run, ME, QUIET)]
    assert is_without_result(do.uncover(**held | {"source": None}, run=run, request=ME))
    assert not any(file.exists() for file in files)


@pytest.mark.parametrize("at", [None, 0.0, 0.2, 0.8])
def test_a_change_while_a_conversion_runs_stops_it_without_an_error(at, run, do: Anonymizer, store) -> None:
    run, held = run
    change = lambda: do.settle(**held | {"source": None}, known=run.number, run=run, request=ME)  # noqa: E731
    if at is None:
        change()  # before it has begun
    assert do.show(run, ME, lambda share, desc: share >= (at or 0) and change()) == gr.skip()
    assert run.dropped and run.shown is None and not list(store.folder.glob("*/swapped.wav"))


def test_the_next_run_takes_the_place_of_the_one_before(run, do: Anonymizer) -> None:
    run, held = run
    files = [Path(path) for path in do.show(run, ME, QUIET)]
    *_, asked = do.example()
    after, number, cancel, intro, progress, results, *_ = do.begin(asked, run, ME)
    assert run.dropped and not any(file.exists() for file in files)
    assert cancel["visible"] and progress["visible"] and not results["visible"] and intro["value"] == ""
    assert after.number == number and do.uncover(**held, run=after, request=ME) == gr.skip()  # of the run before
    low, high = do.bundled.values()
    do.begin(asked, after, ME)  # by two buttons at once
    do.show(after, ME, QUIET)
    assert do.show(after, ME, QUIET) == gr.skip()
    assert do.uncover(low, high, "The high voice", after, ME)[4]["visible"]


def test_a_copy_that_is_late_leaves_a_player_alone_that_was_filled_anew(do: Anonymizer, store, upload: Path) -> None:
    copy = do.take_source(str(upload), ME)
    assert do.place(str(upload)) == copy
    for path in (copy, sent(store, voice(110, 2.0)), None):
        assert do.place(path) == gr.skip()


# --- loudness and protection ------------------------------------------------------------------------------


def test_loudness_is_that_of_the_standard() -> None:
    """A sine of 1 kHz at full scale is -3.01 LUFS by definition; half the amplitude is 6.02 dB less."""
    sine = np.sin(2 * np.pi * 997 * np.arange(2 * RATE) / RATE).astype(np.float32)
    assert loudness_lufs(sine) == pytest.approx(-3.01, abs=0.35)
    assert loudness_lufs(sine / 2) - loudness_lufs(sine) == pytest.approx(-6.02, abs=0.02)
    assert loudness_lufs(np.zeros(RATE, np.float32)) == loudness_lufs(sine[:100]) == -np.inf


def test_matched_clips_are_equally_loud_and_never_clip() -> None:
    quiet, loud = 0.05 * voice(120, 2.0), voice(200, 2.0)
    spiky = quiet.copy()
    spiky[5000] = 0.5  # has no room to become as loud as the others
    clips = matched([loud, quiet, spiky])
    levels = [loudness_lufs(clip) for clip in clips]
    assert max(levels) - min(levels) < 0.1 and max(np.abs(clip).max() for clip in clips) <= 0.981
    assert loudness_lufs(matched([quiet, loud])[0]) == pytest.approx(loudness_lufs(quiet), abs=0.01)
    silent = [np.zeros(RATE, np.float32), loud]
    assert matched(silent) == silent


JUDGE = Judge("J", lambda wav: wav, Usual(0.8, 0.9, 0.95), Usual(0.4, 0.5, 0.7), "ten people", independent=True)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [(0.85, "may still take"), (0.75, "less like"), (0.6, "as strangers"), (None, "-")],
)
def test_the_verdict_follows_what_is_usual(after: float | None, verdict: str) -> None:
    html = protection_card(Protection(JUDGE, Likeness(0.9, after), Likeness(0.5, 0.72), words_kept=0.64))
    assert verdict in html and "64%" in html and "0.40 to 0.70" in html and "0.80 to 0.95" in html
    assert "no independent judge" not in html and "What is not protected" in html
    assert "no independent judge" in protection_card(
        Protection(replace(JUDGE, independent=False), Likeness(0.9, after), None)
    )


def test_the_independent_judge_stands_beside_measured_values_or_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "Resemblyzer", lambda: SimpleNamespace(embed=lambda wav: wav))
    judge = independent_judge()
    assert judge.independent and judge.different.high < judge.same.low
    for usual in (judge.same, judge.different):
        assert -1 < usual.low < usual.median < usual.high < 1

    def missing() -> None:
        raise UsageError("not installed")

    monkeypatch.setattr(protection, "Resemblyzer", missing)
    assert independent_judge() is None


def test_the_usual_values_of_the_gallery_are_those_of_its_pairs() -> None:
    same, different = protection.gallery_similarities(FakePipeline().voices)
    assert len(same) == 40 * 10 and len(different) == 40 * 39 // 2 * 25
    assert same.min() > 0.85 and abs(different.mean()) < 0.1


def test_similarity_is_told_before_and_after(store: ClipStore) -> None:
    listener = Listener(FakePipeline())
    low, high = steady(110, 3.0), steady(260, 3.0)
    found = listener.likeness(low, high, high)
    assert found.source.before > 0.8 and found.source.after < 0.5
    assert found.target.before < 0.5 and found.target.after > 0.9
    assert listener.likeness(low, high, None).target is None
    assert listener.likeness(low, np.zeros(RATE, np.float32), high).source.after is None
    assert listener.words_kept(low, high) is None
    json.dumps(found.to_dict())


def test_words_that_are_kept_are_counted_and_added_ones_are_not() -> None:
    pytest.importorskip("whisper_normalizer")
    said = iter(["The cat sat down.", "the cat hat down and more"])
    listener = Listener(FakePipeline(), SimpleNamespace(transcribe=lambda wav, between: next(said)))
    assert listener.words_kept(np.zeros(1), np.zeros(1)) == pytest.approx(0.75)


# --- identify and explore ---------------------------------------------------------------------------------


@pytest.fixture
def identifier(recordings: Recordings, examples: list[Example]) -> Identifier:
    _, halves = pages._bundle(examples, recordings.store)
    return Identifier(FakePipeline(), recordings, halves)


def sent(store: ClipStore, wav: np.ndarray) -> str:
    path = store.receive(".wav")
    audio.save(path, wav)
    return str(path)


def test_who_is_enrolled_is_known_and_a_stranger_is_nobody(identifier: Identifier, store: ClipStore) -> None:
    known = Known()
    for name, hz in {" Anna  <b> ": 110, "Ben": 230}.items():
        known, html, emptied, clip = identifier.enrol(name, sent(store, steady(hz, 2.0)), known, ME)
        assert emptied == "" and clip is None
    assert list(known) == ["Anna <b>", "Ben"] and "<b>" not in html and "Anna <b>" in unescape(html)
    assert not list(store.folder.glob("*/recording.wav"))  # no audio of who is enrolled is kept
    html = identifier.who(sent(store, steady(110, 2.5, seed=3)), known, ME).html
    assert "This is <strong>Anna &lt;b&gt;" in html
    assert "Nobody I know" in identifier.who(sent(store, steady(310, 2.0)), known, ME).html
    assert identifier.forget(known)[0] == {}


def test_an_enrolment_that_ends_after_remove_all_enrols_nobody(identifier: Identifier, store: ClipStore) -> None:
    known, clip = Known(), sent(store, steady(110, 2.0))
    assert identifier.forget(known)[0] == {}  # while the enrolment, which was given `known`, still runs
    assert identifier.enrol("Anna", clip, known, ME)[:2] == (gr.skip(), gr.skip())
    assert identifier.example(known, ME)[:2] == (gr.skip(), gr.skip())


def test_a_verdict_goes_with_its_recording_and_with_who_is_enrolled(identifier: Identifier, store: ClipStore) -> None:
    known, _, question = identifier.example(Known(), ME)
    verdict = identifier.who(question, known, ME)
    note, said = identifier.tell(question, known, verdict)
    assert "second half of The high voice" in note and said == verdict.html
    upload = sent(store, steady(110, 2.0))
    assert identifier.tell(upload, known, verdict) == ("", "")
    assert identifier.tell(None, known, verdict) == ("", "")
    assert identifier.tell(question, Known(known), verdict)[1] == ""
    copy = identifier.take_clip(upload, ME)
    verdict = identifier.who(upload, known, ME)
    assert identifier.tell(copy, known, verdict)[1] == verdict.html and identifier.place(upload) == copy


def test_identify_says_what_is_missing(identifier, store, monkeypatch: pytest.MonkeyPatch) -> None:
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    full = {str(k): [np.ones(128)] for k in range(MAX_VOICES)}
    for call in (
        lambda: identifier.enrol("Anna", None, {}, ME),
        lambda: identifier.enrol("  ", "clip", {}, ME),
        lambda: identifier.enrol("Anna", "clip", full, ME),
        lambda: identifier.who(None, full, ME),
        lambda: identifier.who("clip", {}, ME),
    ):
        with pytest.raises(gr.Error):
            call()
    assert len(set(warned)) == 5


def test_matches_agree_with_the_pipeline(identifier: Identifier) -> None:
    clips = {name: voice(hz, 2.0) for name, hz in {"a": 110, "b": 160, "c": 230}.items()}
    probe, pipeline = voice(160, 2.0, seed=5), FakePipeline()
    known = {name: [pipeline.embed((wav, RATE)).speaker] for name, wav in clips.items()}
    matches = identifier.matches(pipeline.embed((probe, RATE)).speaker, known)
    truth = pipeline.identify((probe, RATE), {name: (wav, RATE) for name, wav in clips.items()})
    assert [(m.name, m.accepted) for m in matches] == [(m.name, m.accepted) for m in truth]
    assert [m.score for m in matches] == pytest.approx([m.score for m in truth])


def test_the_maps_show_every_voice_and_mark_the_clips_once(recordings: Recordings) -> None:
    explorer = Explorer(FakePipeline(), recordings)
    html = explorer.draw({"Your <clip>": voice(110, 3.0), "Swapped": voice(260, 3.0)}, "me")
    assert html.count('class="v v') == 2 * 40 and "Your &lt;clip&gt;" in html and "Your <clip>" not in html
    spots = re.findall(r"translate\(([\d.]+) ([\d.]+)\)", html)
    assert len(spots) >= 4 and all(0 <= float(xy) <= 400 for spot in spots for xy in spot)
    assert explorer.show(None, (), ME) == gr.skip()  # drawn already
    with pytest.raises(UsageError, match="up to 4"):
        explorer.points(dict.fromkeys("abcde", voice(110, 1.0)), "me")


def test_the_maps_of_a_result_go_with_it(do: Anonymizer, recordings: Recordings) -> None:
    explorer = Explorer(FakePipeline(), recordings)
    low, high = do.bundled.values()
    run = do.ask(low, high, "The high voice", False, None)
    assert "Swapped" not in explorer.show(run, None, ME)[0]
    do.show(run, ME, QUIET)
    html, drawn = explorer.show(run, (), ME)
    assert "Swapped" in html and explorer.show(run, drawn, ME) == explorer.forget(drawn) == gr.skip()
    do.cancel(run, ME)
    for gone, drawn_now in (explorer.forget(drawn), explorer.show(run, drawn, ME)):
        assert "Swapped" not in gone and drawn_now == ()


# --- documents --------------------------------------------------------------------------------------------


def test_documents_of_the_repository_are_read_and_marked_when_of_other_weights(tmp_path: Path) -> None:
    measured = json.loads((ROOT / "benchmarks" / "evaluation" / "report.json").read_text())["weights_sha256"]
    documents = Documents.read(ROOT, measured)
    assert "<h3>Identity" in documents.evaluation and "</table></div>" in documents.evaluation
    assert "<h3>Limits</h3>" in documents.model_card and "other weights" not in documents.evaluation
    assert "<h3>Figures" not in documents.model_card
    assert not re.search(r"<img|href=\"(?!https:)", documents.evaluation + documents.model_card)
    assert "other weights" in Documents.read(ROOT, "0").evaluation
    assert Documents.read(tmp_path, measured) == Documents()  # an installed package
    assert about.plain("# T\n\n## A\n![x](y.png)\n[b](c.md) [d](https://e)") == "### A\nb [d](https://e)"


# --- failures ---------------------------------------------------------------------------------------------


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
    for name in ("convert", "anonymize", "embed", "identify"):
        real, fake = (inspect.signature(getattr(cls, name)).parameters for cls in (Pipeline, FakePipeline))
        assert [(p.name, p.kind, p.default) for p in fake.values()] == [
            (p.name, p.kind, p.default) for p in real.values()
        ]


# --- the served page --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it: let it be undone
    patch.setattr(serve, "warm_up", lambda page: None)  # it may be at work when the tests are over
    store = ClipStore(tmp_path_factory.mktemp("store"))
    page = build_page(FakePipeline(), examples, store=store)
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
    """Recordings of two voices, as a program sends them."""
    for name, hz in {"Jane Doe.ogg": 110, "Other.flac": 230, "Jane again.wav": 110}.items():
        sf.write(tmp_path / name, voice(hz, 2.0, seed=len(name)), RATE)
    return {path.stem: handle_file(path) for path in tmp_path.iterdir()}


def test_nothing_that_gradio_would_record_or_share_is_on(page: gr.Blocks) -> None:
    config = page.get_config_file()
    assert config["run_history"] is False and config["analytics_enabled"] is False and config["show_error"] is False
    assert config["connect_heartbeat"] is True  # it tells how long a page is open
    assert page.enable_monitoring is False and page.share is False
    buttons = [part["props"]["buttons"] for part in config["components"] if part["type"] in ("audio", "image")]
    assert len(buttons) == 8 and not any("share" in names for names in buttons)
    kinds = [part["props"]["type"] for part in config["components"] if part["type"] == "audio"]
    assert set(kinds) == {"filepath"}  # as arrays, Gradio would decode what is sent, without limits
    assert page.max_file_size is None  # the firewall bounds uploads; Gradio's page would show their names
    assert page._queue.max_size == 20


def test_heavy_work_waits_for_cores_in_jobs_and_not_in_gradios_queue(page: gr.Blocks) -> None:
    heavy = [fn for fn in page.fns.values() if fn.concurrency_id == "heavy"]
    assert {fn.name for fn in heavy} >= {"show", "protected", "enrol", "who", "convert", "identify", "explore"}
    assert {fn.concurrency_limit for fn in heavy} == {MAX_JOBS}
    assert page.max_threads > MAX_JOBS and page.api_open is False
    assert page.fns and not any(fn.queue for fn in page.fns.values() if fn.api_name == "delete")


def test_the_page_warms_up_before_its_program_waits_for_the_end(store, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    with gr.Blocks() as page:
        page.recordings, page.verbs = Recordings(store), {}
    monkeypatch.setattr(serve, "warm_up", lambda page: order.append("warm up"))
    monkeypatch.setattr(serve.Server, "wait", lambda server: order.append("wait") or server.close())
    web.launch(page, port=0)
    assert order == ["warm up", "wait"]


def test_warming_up_lets_visitors_go_first_and_survives_what_fails(recordings: Recordings, caplog) -> None:
    done = []

    def broken() -> None:
        raise ValueError("/data/jane")

    rehearsed = SimpleNamespace(recordings=recordings, warm_ups=(broken, lambda: done.append("warm")))
    with caplog.at_level("INFO", logger="saic.web"):
        with recordings.job("convert", "me"):
            thread = pages.warm_up(rehearsed)
            time.sleep(0.3)
            assert done == []
        thread.join(10)
    assert done == ["warm"] and "jane" not in caplog.text and "ValueError" in caplog.text


def test_a_first_conversion_is_rehearsed_and_leaves_nothing(do: Anonymizer, store: ClipStore, monkeypatch) -> None:
    before, calls = set(store.folder.rglob("*")), []
    convert = FakePipeline.convert
    monkeypatch.setattr(FakePipeline, "convert", lambda *clips, **told: calls.append(1) or convert(*clips, **told))
    do.warm_up()
    assert calls == [1] and set(store.folder.rglob("*")) == before


def test_the_api_has_the_names_that_were_agreed(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/convert", "/identify", "/explore", "/delete"]
    assert [p["parameter_name"] for p in endpoints["/convert"]["parameters"]] == ["source", "target"]


def test_a_program_converts_identifies_explores_and_deletes(client: Client, files, page: gr.Blocks, tmp_path) -> None:
    *clips, spectrograms, protected = client.predict(files["Jane Doe"], files["Other"], api_name="/convert")
    assert [Path(path).name for path in clips] == ["original.wav", "reconstructed.wav", "swapped.wav"]
    assert sf.info(clips[2]).frames == 2 * RATE and Path(spectrograms).suffix == ".png"
    assert protected["similarity_to_source"]["after"] < protected["usual_similarity"]["same_person"]["low"]
    assert len(client.predict(files["Jane Doe"], api_name="/convert")) == 5  # to a bundled voice
    found = client.predict(
        files["Jane again"], ["jane", "ben"], [files["Jane Doe"], files["Other"]], api_name="/identify"
    )
    assert found["name"] == "jane" and [score["name"] for score in found["scores"]] == ["jane", "ben"]
    assert client.predict(files["Jane again"], ["ben"], [files["Other"]], api_name="/identify")["name"] is None
    maps = client.predict([files["Jane Doe"]], api_name="/explore")
    assert len(maps["speaker"]["gallery"]) == 40 and len(maps["content"]["recordings"]) == 1
    kept = [path for path in page.recordings.store.folder.glob("*/*") if path.parent != page.recordings.store.bundled]
    assert {path.name for path in kept} == {Path(path).name for path in (*clips, spectrograms)}
    assert client.predict(api_name="/delete") == "Deleted."
    assert not [
        path for path in page.recordings.store.folder.glob("*/*") if path.parent != page.recordings.store.bundled
    ]


def test_the_example_of_the_readme_runs(page: gr.Blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```py\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    found = {}
    exec(compile(example.replace("http://127.0.0.1:7860", page.local_url), "README.md", "exec"), found)
    assert Path(found["swapped"]).name == "swapped.wav" and found["protected"]["similarity_to_target"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("Jane.wav", b"not audio" * 100, "can be decoded"),
        ("Jane.wav", b"", "empty"),
        ("Jane.webm", b"\x1aE", "decoded"),
    ],
)
def test_a_program_is_told_what_is_wrong_without_the_name(name, content, said, client, tmp_path, capfd) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Exception, match=said) as caught:
        client.predict(handle_file(tmp_path / name), api_name="/convert")
    assert "Jane" not in str(caught.value) and "Jane" not in "".join(capfd.readouterr())


def test_an_upload_has_a_neutral_name_and_is_nobody_elses(http: httpx.Client, page: gr.Blocks) -> None:
    sent = [http.post("/gradio_api/upload", files={"files": ("Jane Doe.ogg", b"same")}) for _ in range(2)]
    one, other = (Path(answer.json()[0]) for answer in sent)
    assert one != other and one.name == "recording.ogg" and one.read_bytes() == b"same"
    assert http.get(f"/gradio_api/file={one}").headers["cache-control"] == "no-store"
    page.recordings.store.discard(one)
    page.recordings.store.discard(other)
    assert http.get(f"/gradio_api/file={one}").status_code == 204  # its player asks once more: no error for the console


def test_an_upload_over_the_limit_stops_there(http: httpx.Client, page: gr.Blocks) -> None:
    before = set(page.recordings.store.folder.iterdir())
    blob = bytes(LIMITS.max_bytes + 2**20)
    answer = http.post("/gradio_api/upload", files={"files": ("Jane Doe.wav", blob)}, timeout=60)
    assert answer.status_code == 413 and "60 MB" in answer.text and "Jane" not in answer.text
    assert set(page.recordings.store.folder.iterdir()) == before


def test_who_comes_when_the_queue_or_the_disk_is_full_is_told(http: httpx.Client, page, monkeypatch) -> None:
    monkeypatch.setattr(page._queue, "max_size", 0)
    clip = {"path": str(next(page.recordings.store.bundled.iterdir())), "meta": {"_type": "gradio.FileData"}}
    answer = http.post("/gradio_api/call/convert", json={"data": [clip, None]})
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
def test_what_the_page_does_not_need_does_not_exist(method: str, path: str, http: httpx.Client, page) -> None:
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
def test_an_address_is_never_fetched(route: str, file: dict, http: httpx.Client, page: gr.Blocks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        filled = {"port": trap.getsockname()[1], "clip": next(page.recordings.store.bundled.iterdir())}
        file = {key: value and value.format(**filled) for key, value in file.items()}
        file |= {"meta": {"_type": "gradio.FileData"}}
        fn = next(k for k, fn in page.fns.items() if fn.name in ("show", "take_source"))
        body = {"data": [file, None], "fn_index": fn, "session_hash": "x", "event_data": None}
        answer = http.post(f"/gradio_api/{route}", json=body)
        assert answer.status_code == 400 and re.search("web address|not on the server", answer.text)
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_every_answer_keeps_the_browser_here(http: httpx.Client) -> None:
    for path in ("/", "/config", "/nothing"):
        headers = http.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert not re.search(r"https?:|\*", headers["content-security-policy"])
        assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"


def test_no_file_name_of_a_sender_reaches_a_verb(http: httpx.Client, page: gr.Blocks) -> None:
    """Gradio's client sends the name along; it is taken out before anything could log or return it."""
    (path,) = http.post("/gradio_api/upload", files={"files": ("Jane Doe.ogg", b"x")}).json()
    file = {"path": path, "orig_name": "Jane Doe.ogg", "meta": {"_type": "gradio.FileData"}}
    event = http.post("/gradio_api/call/convert", json={"data": [file, None]}).json()["event_id"]
    said = http.get(f"/gradio_api/call/convert/{event}").text
    assert "decoded" in said and "Jane" not in said


def test_app_py_builds_the_page_with_the_weights_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda weights: named.append(weights) or FakePipeline())
    build = runpy.run_path(str(ROOT / "app.py"), run_name="app")["build"]
    for weights in (None, "a/folder"):
        page = build(weights)
        assert isinstance(page, gr.Blocks)
        page.recordings.store.close()
    assert named == [None, "a/folder"]
