"""Archives: killed runs and workers, broken files, collisions, custody, BIDS; with a converter without model."""

import csv
import errno
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import threading
import unicodedata
from dataclasses import replace
from functools import partial
from pathlib import Path, PureWindowsPath

import pytest

from saic import files
from saic.archive import bids, journal
from saic.archive.engine import run_here
from saic.archive.journal import Journal, JournalError, OtherSettings, Row
from saic.archive.plan import mirrored
from saic.archive.processes import run_in_processes
from saic.archive.recipe import Recipe, sha256_of
from saic.archive.run import run
from saic.archive.work import opened, plan_work
from saic.archive.workers import WorkerLost
from saic.audio.source_rate import source_rate
from saic.errors import UsageError, WeightsError
from saic.files import DiskError
from saic.keys import Key
from tests.archive_fakes import POINTS, FailingLoad
from tests.archive_folder import N_FILES, ROOT, Folder, expected, until

KEY, OTHER_KEY = (f"saic-key 1\nkey {two * 32}\nweights {'0' * 64}\ngallery {'1' * 64}\n" for two in ("ab", "cd"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    for k in range(1, N_FILES + 1):
        made.add(f"ward/{k}.wav")
    return made


TWO_WORKERS = partial(run_in_processes, n_workers=2)


@pytest.mark.parametrize("point", POINTS)
def test_run_killed_at_any_point_resumes_without_loss_or_repetition(folder: Folder, point: str) -> None:
    killed = subprocess.run(folder.command("--die-at", point), cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL and len(folder.outputs) in (2, 3)
    with pytest.raises(JournalError, match="--resume"):
        folder.run()
    result = folder.run(resume=True)
    is_written = point in ("before done", "after done")
    assert result.n_written == N_FILES - (3 if is_written else 2) and result.failed == {}
    assert folder.outputs == expected(folder)
    again = [] if is_written else [3]
    assert sorted(folder.conversions) == sorted([*range(1, N_FILES + 1), *again])
    assert {row[0] for row in folder.rows().values()} == {"done"}
    assert folder.run(resume=True).n_written == 0


def test_link_to_itself_is_a_broken_file_and_its_name_is_not_told(folder: Folder) -> None:
    (folder.source / "loop.wav").symlink_to("loop.wav")
    result = folder.run()
    assert result.n_written == N_FILES and "loop" not in str(result.failed[1]) and len(result.failed) == 1


def test_pipe_is_a_broken_file_and_nobody_waits_for_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    both_ends = os.open(tmp_path / "pipe.wav", os.O_RDWR)
    end = threading.Timer(1, os.close, (both_ends,))  # else whoever reads it waits for ever
    end.start()
    with pytest.raises(UsageError, match="pipe or a device"):
        sha256_of(tmp_path / "pipe.wav")
    end.cancel()
    os.close(both_ends)


def test_recording_that_the_disk_cannot_read_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "a.wav").touch()
    monkeypatch.setattr("saic.archive.recipe.hashlib.file_digest", fail)
    monkeypatch.setattr("saic.audio.source_rate.decode.soundfile_blocks", fail)
    for read in (sha256_of, source_rate):
        with pytest.raises(UsageError, match="cannot be read: Input/output error") as raised:
            read(tmp_path / "a.wav")
        assert not isinstance(raised.value, DiskError)


def test_run_with_workers_killed_in_the_middle_leaves_no_process_and_resumes(folder: Folder) -> None:
    process = subprocess.Popen(folder.command("--workers", "2", "--seconds", "0.2"), cwd=ROOT)
    until(lambda: len(folder.outputs) >= 2)
    process.kill()
    process.wait()
    workers = {int(line.split()[1]) for line in folder.log.read_text().splitlines()}
    assert len(folder.outputs) < N_FILES and process.pid not in workers
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert folder.run(TWO_WORKERS, resume=True).failed == {}
    assert folder.outputs == expected(folder)
    counts = [folder.conversions.count(number) for number in range(1, N_FILES + 1)]
    # Twice: what each worker had, and the result that was being written.
    assert max(counts) <= 2 and sum(counts) <= N_FILES + len(workers) + 1


def test_worker_that_dies_costs_its_one_file_which_is_tried_once_more(folder: Folder) -> None:
    folder.add("ward/2.wav", "kill")
    folder.add("ward/4.wav", "kill once")
    result = folder.run(TWO_WORKERS)
    assert result.n_written == N_FILES - 1 and isinstance(result.failed[2], WorkerLost)
    assert folder.conversions.count(2) == folder.conversions.count(4) == 2 and len(folder.conversions) == N_FILES + 2
    assert folder.rows()["ward/2.wav"][:2] == ("failed", str(result.failed[2]))
    del (left := expected(folder))["ward/2.wav"]
    assert folder.outputs == left


@pytest.mark.parametrize(("error", "kind"), [(None, WorkerLost), (WeightsError("None."), WeightsError)])
def test_workers_that_cannot_load_end_the_run_before_anything_is_written(folder: Folder, error, kind) -> None:
    with pytest.raises(kind):
        folder.run(TWO_WORKERS, FailingLoad(error))
    assert not folder.output.exists()


def test_broken_files_stop_nobody_and_are_tried_again_by_resume(folder: Folder) -> None:
    folder.add("ward/2.wav", "broken")
    folder.add("ward/5.wav", "odd")
    for engine in (run_here, TWO_WORKERS):
        result = folder.run(engine, resume=folder.output.exists())
        assert sorted(result.failed) == [2, 5] and len(folder.outputs) == N_FILES - 2
        rows = folder.rows()
        assert rows["ward/2.wav"][:2] == ("failed", "This is no recording.")
        assert "unexpected ValueError" in rows["ward/5.wav"][1] and str(folder.source) not in rows["ward/5.wav"][1]
    folder.add("ward/2.wav", "repaired")
    assert folder.run(resume=True).n_written == 1 and folder.outputs["ward/2.wav"] == b"voice of repaired"


@pytest.mark.parametrize("engine", [run_here, TWO_WORKERS])
def test_full_disk_of_temporary_files_stops_the_run_and_resume_goes_on(folder: Folder, engine) -> None:
    folder.add("ward/3.wav", "full")
    for number in range(10, 30):
        folder.add(f"ward/9{number}.wav")
    with pytest.raises(DiskError, match="temporary file"):
        folder.run(engine)
    # Until the run knows of the error, the other worker goes on.
    assert "failed" not in {row[0] for row in folder.rows().values()} and len(folder.conversions) < 20
    folder.add("ward/3.wav", "space")
    assert folder.run(resume=True).failed == {} and folder.outputs == expected(folder)


@pytest.mark.parametrize("engine", [run_here, TWO_WORKERS])
def test_output_in_an_open_file_is_written_as_bytes_are(folder: Folder, engine) -> None:
    """3 MB, which a worker sends in blocks."""
    folder.add("ward/2.wav", "in a file" + 3_000_000 * "x")
    folder.add("ward/4.wav", "in a file")
    assert folder.run(engine).failed == {} and folder.outputs == expected(folder)
    assert folder.run(resume=True).n_written == 0  # the journal has the hashes


def test_engine_may_give_results_in_any_order(folder: Folder) -> None:
    def backwards(load, jobs, ready):
        ready()
        yield from reversed(list(run_here(load, jobs, lambda: None)))

    assert folder.run(backwards).n_written == N_FILES and folder.outputs == expected(folder)


def test_recording_that_is_done_stays_done_while_it_cannot_be_read(folder: Folder) -> None:
    folder.run()
    (folder.source / "ward" / "1.wav").unlink()
    (folder.source / "ward" / "1.wav").symlink_to("unmounted.wav")
    assert folder.run(resume=True).work.tasks == [] and folder.rows()["ward/1.wav"][0] == "done"


def test_outputs_are_replaced_only_if_they_are_the_journals_own(folder: Folder) -> None:
    folder.run()
    folder.add("ward/1.wav", "another content")
    assert folder.run(resume=True).n_written == 1 and folder.outputs == expected(folder)
    (folder.output / "ward" / "2.wav").write_bytes(b"precious")
    with pytest.raises(JournalError, match="number 2"):
        folder.run(resume=True)
    assert folder.outputs["ward/2.wav"] == b"precious"
    (folder.output / "ward" / "2.wav").unlink()
    assert folder.run(resume=True).n_written == 1 and folder.outputs == expected(folder)


def test_output_that_nobody_queued_is_refused_without_a_journal(folder: Folder) -> None:
    (folder.output / "ward").mkdir(parents=True)
    (folder.output / "ward" / "3.wav").write_bytes(b"precious")
    with pytest.raises(UsageError, match="1 of 6 outputs exist"):
        folder.run()
    assert folder.outputs == {"ward/3.wav": b"precious"} and folder.conversions == []


def test_force_starts_over_and_a_killed_forced_run_can_be_resumed(folder: Folder) -> None:
    folder.run()
    for k in range(1, N_FILES + 1):
        folder.add(f"ward/{k}.wav", f"new {k}")

    def stops(load, jobs, ready):
        ready()
        yield next(run_here(load, jobs, lambda: None))

    assert folder.run(stops, force=True, seed=2).n_written == 1
    assert folder.run(resume=True, seed=2).n_written == N_FILES - 1
    assert folder.outputs == expected(folder)


def test_force_does_not_hold_for_outputs_that_are_changed_after_its_run(folder: Folder) -> None:
    folder.run()
    folder.run(force=True)
    (folder.output / "ward" / "2.wav").write_bytes(b"precious")
    (folder.output / "ward" / "new.wav").write_bytes(b"precious")
    folder.add("ward/new.wav")
    with pytest.raises(JournalError, match="number 2, 7"):
        folder.run(resume=True)


def test_run_killed_while_it_replaces_its_own_output_can_be_resumed(folder: Folder) -> None:
    folder.run()
    folder.add("ward/2.wav", "another content")
    request = replace(folder.request, resume=True)
    with opened(request) as archive:
        work = plan_work(request, archive)
        writing = archive.writing

        def stop(*arguments: object) -> None:
            writing(*arguments)
            raise KeyboardInterrupt

        archive.writing = stop
        with pytest.raises(KeyboardInterrupt):
            list(run(work.tasks, folder.load, run_here, archive))
    assert folder.outputs["ward/2.wav"] == b"voice of content of ward/2.wav"
    assert folder.run(resume=True).n_written == 1 and folder.outputs == expected(folder)


def test_run_killed_between_an_output_and_its_report_leaves_no_report_of_an_earlier_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.add("1.wav")

    def load():
        convert = folder.load()

        def with_report(job, tell):
            made = convert(job, tell)
            return replace(made, report=b"report on " + made.data)

        return with_report

    def killed(path, *arguments, **options):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write(path, *arguments, **options)

    monkeypatch.setattr(Recipe, "hashes", {})
    reports, write = folder.output.with_name("reports"), files.write
    options = {"recipe": Recipe(profile="balanced", reports=True), "reports": reports}
    folder.run(load=load, **options)
    folder.add("1.wav", "another content")
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(files, "write", killed)
        folder.run(load=load, force=True, **options)
    assert folder.outputs["1.wav"] == b"voice of another content"
    folder.run(load=load, resume=True, **options)
    assert (reports / "1.wav.json").read_bytes() == b"report on voice of another content"
    assert folder.run(load=load, resume=True, **options).n_written == 0


def test_resume_replaces_reports_of_this_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    folder.add("1.wav")
    folder.add("2.wav", "broken")
    monkeypatch.setattr(Recipe, "hashes", {})
    reports = folder.output.with_name("reports")
    reports.mkdir()
    options = {"recipe": Recipe(profile="balanced", reports=True), "reports": reports}
    folder.run(**options)
    folder.add("2.wav", "repaired")
    (reports / "2.wav.json").write_text("precious")
    with pytest.raises(UsageError, match="A report exists"):
        folder.run(resume=True, **options)

    def stopped(load, jobs, ready):
        ready()
        yield from ()

    folder.run(stopped, force=True, **options)
    tasks = folder.run(resume=True, **options).work.tasks
    assert tasks and all(task.replaces_report for task in tasks)


def test_resume_needs_a_journal(folder: Folder) -> None:
    with pytest.raises(JournalError, match="no journal"):
        folder.run(resume=True)


def test_two_runs_do_not_share_a_journal(folder: Folder) -> None:
    folder.run()
    with Journal(folder.output / journal.NAME), pytest.raises(JournalError, match="Another run"):
        folder.run(resume=True)


def test_drive_without_file_locks_is_told_and_keeps_no_empty_journal(tmp_path: Path, monkeypatch) -> None:
    class Unlocked:
        def execute(self, _: str) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

        def close(self) -> None:
            pass

    monkeypatch.setattr("saic.archive.journal.sqlite3.connect", lambda *_, **__: Unlocked())
    with pytest.raises(JournalError, match="may lack file locks"):
        Journal(tmp_path / "j")
    assert os.listdir(tmp_path) == []
    (tmp_path / "j").touch()
    with pytest.raises(JournalError):
        Journal(tmp_path / "j")
    assert os.listdir(tmp_path) == ["j"]


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to have a header" * 40])
def test_damaged_journal_is_refused_and_an_empty_one_is_begun(folder: Folder, content: bytes) -> None:
    folder.output.mkdir()
    (folder.output / journal.NAME).write_bytes(content)
    if content:
        with pytest.raises(JournalError, match="damaged"):
            folder.run(resume=True)
    else:  # killed before its first word
        assert folder.run(resume=True).n_written == N_FILES


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    for name, text in (("key", KEY), ("other", OTHER_KEY)):
        (tmp_path / name).write_text(text)
    return tmp_path / "key", tmp_path / "other"


def test_resume_refuses_other_settings_and_names_them(folder: Folder, keys: tuple[Path, Path]) -> None:
    base = Recipe(key_file=keys[0], study="gait")
    folder.request = replace(folder.request, recipe=base, seed=None, subject="P1")
    folder.run()
    for named, changes in (
        ("key", {"recipe": replace(base, key_file=keys[1])}),
        ("study", {"recipe": replace(base, study="other")}),
        ("profile", {"recipe": replace(base, profile="strict")}),
        ("voice", {"recipe": replace(base, voice="lower")}),
        ("rate", {"rate_hz": 48_000}),
        ("format", {"format": "flac"}),
    ):
        with pytest.raises(OtherSettings, match=f"another {named}[.,]"):
            folder.run(resume=True, **changes)
    with pytest.raises(OtherSettings, match="had another subject: number 1, 2"):
        folder.run(resume=True, subject="P2")
    assert folder.run(resume=True).n_written == 0
    assert folder.run(resume=True, recipe=replace(base, profile="balanced")).n_written == 0  # it is the default


def test_resume_refuses_another_seed(folder: Folder) -> None:
    folder.run()
    for seed in (2, None):
        with pytest.raises(OtherSettings, match="another seed"):
            folder.run(resume=True, seed=seed)


def test_journal_reveals_neither_key_nor_study_nor_subject_nor_seed_nor_hash_of_a_recording(
    folder: Folder, keys: tuple[Path, Path]
) -> None:
    recipe = Recipe(key_file=keys[0], study="gait study")
    folder.run(recipe=recipe, seed=None, subject="Miller")
    content = (folder.output / journal.NAME).read_bytes()
    hashes = [os.fsencode(row) for path in folder.source.rglob("*.wav") for row in digests(path.read_bytes())]
    for secret in (b"ab" * 32, b"Miller", b"gait", bytes.fromhex("ab" * 32), *hashes):
        assert secret not in content
    assert stat.S_IMODE((folder.output / journal.NAME).stat().st_mode) == 0o600
    inputs = {row[2] for row in folder.rows().values()}
    assert len(inputs) == N_FILES


def digests(content: bytes) -> list[str]:
    import hashlib

    return [hashlib.new(name, content).hexdigest() for name in ("sha256", "sha1", "md5")]


def test_full_disk_ends_the_run_and_resume_goes_on(folder: Folder) -> None:
    with pytest.raises(DiskError), opened(folder.request) as archive:
        work = plan_work(folder.request, archive)
        for result in run(work.tasks, folder.load, run_here, archive):
            if result.job.number == 2:
                archive._journal._db.execute("PRAGMA max_page_count = 1")
                archive._journal._db.execute("PRAGMA query_only = ON")
    assert len(folder.outputs) == 2
    assert folder.run(resume=True).n_written == N_FILES - 2


def test_recordings_of_one_stem_get_two_outputs(folder: Folder) -> None:
    for name in ("twin.wav", "twin.mp3", "twin.mp3.ogg"):
        folder.add(name)
    result = folder.run(format="flac")
    assert result.n_written == N_FILES + 3
    twins = {name: content for name, content in folder.outputs.items() if "twin" in name}
    assert {content.removeprefix(b"voice of content of ").decode() for content in twins.values()} == {
        "twin.wav",
        "twin.mp3",
        "twin.mp3.ogg",
    }
    assert all(name.endswith(".flac") for name in twins)
    assert folder.run(resume=True, format="flac").n_written == 0


def test_recordings_are_not_replaced_under_another_name_of_theirs(folder: Folder, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mount").symlink_to(folder.source)
    monkeypatch.setattr(files, "real_path", lambda path: Path(os.path.abspath(path)))  # as of a bind mount
    recording = folder.source / "ward" / "1.wav"
    os.link(recording, tmp_path / "linked.wav")
    with pytest.raises(UsageError, match="would replace"):
        folder.run(source=recording, output=tmp_path / "linked.wav", force=True)
    for output in (tmp_path / "mount", tmp_path / "mount" / "new"):
        with pytest.raises(UsageError, match="lies in IN"):
            folder.run(output=output, force=True)


def test_outputs_differ_in_more_than_case_and_unicode_form() -> None:
    names = sorted(["REC.WAV", "rec.wav", "Meyer/a.wav", "meyer/a.wav", "M\u00fcller.wav", "Mu\u0308ller.wav", "b.wav"])
    outputs = mirrored(names, ".flac")
    assert len({unicodedata.normalize("NFC", output).lower() for output in outputs.values()}) == len(names)
    assert outputs["REC.WAV"] == "REC.WAV.flac" and outputs["rec.wav"] == "rec.wav.2.flac"
    assert outputs["b.wav"] == "b.flac"


class TestRename:
    """Neutral names, and where the mapping is."""

    @pytest.fixture
    def mapping(self, tmp_path: Path) -> Path:
        (tmp_path / "private").mkdir()
        return tmp_path / "private" / "mapping.csv"

    def read(self, mapping: Path) -> dict[str, str]:
        with open(mapping, newline="") as file:
            return {row["source"]: row["output"] for row in csv.DictReader(file)}

    def test_mapping_is_private_and_the_output_folder_tells_nothing(self, folder: Folder, mapping: Path) -> None:
        folder.add("ward/2.wav", "broken")
        folder.run(rename=mapping)
        pairs = self.read(mapping)
        assert sorted(pairs) == [f"ward/{k}.wav" for k in range(1, N_FILES + 1)]
        for path in mapping.parent.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        everything = {path.relative_to(folder.output).as_posix() for path in folder.output.rglob("*")}
        assert everything == {output for source, output in pairs.items() if source != "ward/2.wav"}
        assert all(re.fullmatch(r"[0-9a-f]{10}\.wav", name) for name in everything)
        for source, output in pairs.items():
            if source != "ward/2.wav":
                assert folder.outputs[output] == f"voice of content of {source}".encode()

    def test_order_of_writing_is_that_of_the_new_names(self, folder: Folder, mapping: Path) -> None:
        folder.run(rename=mapping)
        pairs = self.read(mapping)
        order = [f"ward/{number}.wav" for number in folder.conversions]
        assert order == sorted(pairs, key=pairs.__getitem__)

    def test_resume_keeps_the_names_and_adds_new_ones(self, folder: Folder, mapping: Path) -> None:
        folder.run(rename=mapping)
        before = self.read(mapping)
        folder.add("ward/new.wav")
        assert folder.run(rename=mapping, resume=True).n_written == 1
        after = self.read(mapping)
        assert before.items() < after.items() and set(folder.outputs) == set(after.values())

    def test_mapping_is_never_replaced_nor_put_among_the_outputs(self, folder: Folder, mapping: Path) -> None:
        folder.run(rename=mapping)
        kept = mapping.read_bytes()
        for force in (False, True):
            with pytest.raises(JournalError, match="ever replaced"):
                folder.run(rename=mapping, force=force)
        for inside in (folder.output / "m.csv", folder.output / "a" / ".." / "m.csv"):
            with pytest.raises(UsageError, match="keep it apart"):
                folder.run(rename=inside)
        with pytest.raises(UsageError, match=r"ends in \.csv"):
            folder.run(rename=mapping.with_suffix(".txt"))
        assert mapping.read_bytes() == kept

    def test_mapping_that_was_changed_stays_and_is_refused_if_it_lacks_recordings(self, tmp_path, mapping) -> None:
        folder = Folder(tmp_path)
        folder.request = replace(folder.request, seed=None)
        folder.add("ward/1.wav")
        folder.run(rename=mapping)
        pairs = self.read(mapping)
        changed = mapping.read_text() + "mine,precious\n"
        mapping.write_text(changed)
        assert folder.run(rename=mapping, resume=True).n_written == 0 and mapping.read_text() == changed
        folder.add("ward/new.wav")
        with pytest.raises(UsageError, match="Move it away"):
            folder.run(rename=mapping, resume=True)
        assert mapping.read_text() == changed and set(folder.outputs) == set(pairs.values())
        mapping.unlink()
        folder.run(rename=mapping, resume=True)
        assert pairs.items() < self.read(mapping).items() and set(folder.outputs) == set(self.read(mapping).values())

    def test_mapping_in_a_folder_that_turns_out_to_be_that_of_the_outputs_is_refused(self, folder, mapping) -> None:
        """As private/ and PRIVATE/ are where case does not count."""

        def engine(load, jobs, ready):
            folder.output.symlink_to(mapping.parent)
            ready()
            yield from run_here(load, jobs, lambda: None)

        with pytest.raises(UsageError, match="keep it apart"):
            folder.run(engine, rename=mapping)
        assert os.listdir(mapping.parent) == []


class TestBids:
    """BIDS datasets get new labels of their subjects."""

    @pytest.fixture
    def dataset(self, tmp_path: Path, keys: tuple[Path, Path]) -> Folder:
        made = Folder(tmp_path)
        for subject in ("01", "011", "Jones"):
            made.add(f"sub-{subject}/ses-1/beh/sub-{subject}_ses-1_task-read_run-01_audio.wav")
            made.add(f"sub-{subject}/ses-1/beh/sub-{subject}_ses-1_task-read_run-01_audio.json", '{"Name": "Jones"}')
        made.add("stimuli/beep.wav")
        made.add("participants.tsv", "sex\tparticipant_id\tage\nF\tsub-01\t40\nM\tsub-Jones\t70\nF\tsub-99\t3\n")
        made.add("dataset_description.json", '{"Name": "Dr. Miller", "BIDSVersion": "1.9.0", "Authors": ["Miller"]}')
        made.request = replace(made.request, recipe=Recipe(key_file=keys[0], study="gait"), seed=None)
        return made

    def labels(self, dataset: Folder) -> dict[str, str]:
        """Old label to new label, from the outputs' contents and names."""
        found = {}
        for name, content in dataset.outputs.items():
            if name.endswith(".wav"):
                old = re.search(rb"content of sub-(\w+?)/", content)[1].decode()
                new = re.fullmatch(r"sub-(\w+)/ses-1/beh/sub-(\w+?)_ses-1_task-read_run-01_audio\.wav", name)
                assert new[1] == new[2]
                found[old] = new[1]
        return found

    def test_layout_stays_with_new_labels_and_nothing_tells_the_old_ones(self, dataset: Folder) -> None:
        result = dataset.run()
        labels = self.labels(dataset)
        assert result.n_written == 3 and sorted(labels) == ["01", "011", "Jones"]
        assert all(re.fullmatch("[a-z2-7]{8}", label) for label in labels.values()) and len(set(labels.values())) == 3
        others = {name: content.decode() for name, content in dataset.outputs.items() if not name.endswith(".wav")}
        assert set(others) == {"participants.tsv", "dataset_description.json"}
        rows = sorted(f"sub-{labels[old]}" for old in ("01", "Jones"))
        assert others["participants.tsv"].splitlines() == ["participant_id", *rows]
        assert json.loads(others["dataset_description.json"])["BIDSVersion"] == "1.9.0"
        text = (dataset.output / journal.NAME).read_bytes() + "".join(others.values()).encode()
        assert b"Jones" not in text and b"Miller" not in text
        assert any("2 columns" in note for note in result.work.left_out)
        assert {task.job.subject for task in result.work.tasks} == {"01", "011", "Jones"}

    def test_labels_depend_on_key_study_and_subject_alone(self, dataset: Folder, keys: tuple[Path, Path]) -> None:
        made = []
        for key_file, study in ((keys[0], "gait"), (keys[0], "gait"), (keys[0], "b"), (keys[1], "gait")):
            output = dataset.output = dataset.source.parent / f"out{len(made)}"
            recipe = Recipe(key_file=key_file, study=study)
            dataset.run(output=output, recipe=recipe)
            made.append(self.labels(dataset))
        assert made[0] == made[1]
        assert not set(made[0].values()) & set(made[2].values()) and not set(made[0].values()) & set(made[3].values())

    def test_resume_goes_on_and_leaves_a_table_that_is_not_its_own(self, dataset: Folder) -> None:
        dataset.run()
        assert dataset.run(resume=True).n_written == 0
        dataset.add("sub-02/ses-1/beh/sub-02_ses-1_task-read_run-01_audio.wav")
        dataset.add("participants.tsv", "participant_id\nsub-01\nsub-02\n")
        assert dataset.run(resume=True).n_written == 1
        assert len(dataset.outputs["participants.tsv"].splitlines()) == 3
        (dataset.output / "participants.tsv").write_text("precious")
        dataset.add("sub-03/ses-1/beh/sub-03_ses-1_task-read_run-01_audio.wav")
        with pytest.raises(JournalError, match=r"participants\.tsv exists"):
            dataset.run(resume=True)

    def test_names_that_are_not_of_the_form_are_refused_by_number(self, dataset: Folder) -> None:
        dataset.add("sub-01/ses-1/beh/Jones.wav")
        with pytest.raises(UsageError, match=r"1 of 4 recordings.*number 1, ") as refused:
            dataset.run()
        assert "Jones" not in str(refused.value) and not dataset.output.exists()

    def test_two_subjects_with_one_label_are_refused(self, dataset: Folder, monkeypatch) -> None:
        monkeypatch.setattr(bids, "LABEL_LETTERS", 1)
        for k in range(40):
            dataset.add(f"sub-x{k}/sub-x{k}_audio.wav")
        with pytest.raises(UsageError, match="another --study"):
            dataset.run()

    def test_labels_are_replaced_where_paths_have_backslashes_too(self, keys, monkeypatch) -> None:
        monkeypatch.setattr("saic.archive.plan.Path", PureWindowsPath)
        relabeling = bids.Relabeling(Key.load(keys[0]), "gait")
        (output,) = relabeling.naming(["sub-01/ses-1/sub-01_ses-1_audio.mp3"], ".wav").values()
        label = relabeling.labels["01"]
        assert output == f"sub-{label}/ses-1/sub-{label}_ses-1_audio.wav"
        with pytest.raises(UsageError, match="keep the label"):
            relabeling._renamed("01", r"sub-01\sub-01_audio.wav")

    @pytest.mark.parametrize("table", ["subject\nsub-01\n", "sex\tparticipant_id\nF\n", ""])
    def test_participants_without_ids_are_refused(self, dataset: Folder, table: str) -> None:
        (dataset.source / "participants.tsv").write_text(table)
        with pytest.raises(UsageError, match=r"participants\.tsv"):
            dataset.run()


def test_journal_change_is_all_or_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as made:
        made.begin({"a": 1}, [Row("x.wav")])
        with pytest.raises(TypeError):
            made.begin({"a": 2}, [Row("y.wav"), Row("z.wav", source=object())], anew=True)
        assert set(made.rows()) == {"x.wav"} and made.settings == {"a": 1}


def test_journal_keeps_names_that_are_no_text(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as made:
        made.begin({}, [Row("caf\udce9.wav", source="Mil\udce9r.wav")])
        made.done("caf\udce9.wav")
    with Journal(tmp_path / "j") as made:
        (row,) = made.rows().values()
    assert (row.output, row.source, row.state) == ("caf\udce9.wav", "Mil\udce9r.wav", "done")
