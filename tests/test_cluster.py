"""Archives on a Ray cluster of this machine: workers that die, broken files, and what Ray gets to know."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import saic
from saic import audio, cli
from saic.archive.cluster import BLOCK_BYTES, ClusterError, Converter, cluster, run_on_ray
from saic.archive.engine import Job, Result
from saic.archive.recipe import Recipe
from saic.archive.workers import WorkerLost
from saic.errors import UsageError, WeightsError
from tests.archive_fakes import FailingLoad, FakeLoad
from tests.archive_folder import N_FILES, ROOT, Folder, expected, until
from tests.conftest import voice

ON_RAY = partial(run_on_ray, n_workers=2)


@pytest.fixture(scope="module")
def ray():
    """A cluster of two CPUs for all tests of this file that need one, since its start takes seconds."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
    with cluster(n_cpus=2) as connected:
        yield connected


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    for k in range(1, N_FILES + 1):
        made.add(f"ward/{k}.wav")
    return made


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Converter:
    """What runs as an actor, in this process."""
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # this process keeps its outputs
    return Converter()


@pytest.mark.proof
def test_broken_files_and_killed_workers_cost_their_own_files_alone_and_ray_learns_no_name(ray, folder: Folder) -> None:
    folder.add("ward/1.wav", "broken")
    folder.add("ward/2.wav", "kill")
    folder.add("ward/3.wav", "odd")
    folder.add("ward/4.wav", "kill once")
    folder.add("ward/Miller.wav", "in a file" + 1_000_000 * "x")
    result = folder.run(ON_RAY)
    assert sorted(result.failed) == [1, 2, 3] and isinstance(result.failed[2], WorkerLost)
    assert "unexpected ValueError" in str(result.failed[3]) and str(folder.source) not in str(result.failed[3])
    assert folder.conversions.count(2) == folder.conversions.count(4) == 2
    assert len(folder.conversions) == N_FILES + 1 + 2
    failed = {f"ward/{k}.wav" for k in (1, 2, 3)}
    assert folder.outputs == {name: data for name, data in expected(folder).items() if name not in failed}
    assert {name for name, row in folder.rows().items() if row[0] == "failed"} == failed
    worker = ray._private.worker.global_worker
    (job,) = worker.gcs_client.get_all_job_info().values()
    assert job.entrypoint == "saic anonymize"
    logs = [path for path in Path(worker.node.get_logs_dir_path()).rglob("*") if path.is_file()]
    assert len(logs) > 5 and not any(b"Miller" in path.read_bytes() or b"xxx" in path.read_bytes() for path in logs)


@pytest.mark.proof
def test_cluster_of_this_machine_is_private(ray) -> None:
    folder = Path(ray._private.worker.global_worker.node.get_session_dir_path()).parents[1]
    assert folder.stat().st_mode & 0o077 == 0
    assert ray._raylet.get_authentication_mode() == ray._raylet.AuthenticationMode.TOKEN
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.proof
def test_blocks_of_an_output_do_not_go_to_the_object_store(ray, folder: Folder) -> None:
    path = folder.source / "long.wav"
    path.write_bytes(3 * BLOCK_BYTES * b"x")
    actor = ray.remote(Converter).options(num_cpus=0).remote()
    ray.get(actor.load.remote(saic.__version__, pickle.dumps(folder.load)))
    assert isinstance(ray.get(actor.convert.remote(Job(1, path, 0, None, "wav", None), True)), Result)
    stored, sent = ray.put(3 * BLOCK_BYTES * b"x"), actor.block.remote()
    assert len(ray.get(sent)) == BLOCK_BYTES
    places = ray.experimental.get_object_locations([stored, sent])
    assert places[stored]["node_ids"] and not places[sent]["node_ids"]


@pytest.mark.parametrize(("error", "kind"), [(None, WorkerLost), (WeightsError("None."), WeightsError)])
@pytest.mark.proof
def test_workers_that_cannot_load_end_the_run_before_anything_is_written(ray, folder: Folder, error, kind) -> None:
    with pytest.raises(kind):
        folder.run(ON_RAY, FailingLoad(error))
    assert not folder.output.exists()


@pytest.mark.proof
def test_command_line_takes_relative_paths_and_gives_what_it_gives_without_ray(
    ray, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for k in range(2):
        audio.save(Path("in") / f"{k}.wav", voice(120 + 40 * k, 3.0, seed=k))
    command = ["saic", "anonymize", "in", "-o", "out", "--method", "mcadams", "--seed", "3", "--json", "--force"]
    made = []
    for engine in ("ray", "local"):
        monkeypatch.setattr(sys, "argv", [*command, "--engine", engine])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None)
        facts = json.loads(capsys.readouterr().out)
        assert facts["written"] == 2 and facts["engine"] == engine
        made.append([path.read_bytes() for path in sorted(Path("out").glob("*.wav"))])
    assert made[0] == made[1]


@pytest.mark.proof
@pytest.mark.parametrize("is_own", [True, False])
def test_run_on_ray_killed_in_the_middle_leaves_no_process_and_resumes(ray, folder: Folder, is_own: bool) -> None:
    """On a cluster of its own, and on one that goes on."""
    address = [] if is_own else [ray.get_runtime_context().gcs_address]
    options = ("--workers", "2", "--ray", *address)
    process = subprocess.Popen(folder.command(*options, "--seconds", "0.5"), cwd=ROOT)
    until(lambda: len(folder.outputs) >= 2)
    process.kill()
    process.wait()
    workers = {int(line.split()[1]) for line in folder.log.read_text().splitlines()}
    assert len(folder.outputs) < N_FILES and process.pid not in workers
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    subprocess.run(folder.command(*options, "--resume"), cwd=ROOT, check=True)
    assert folder.outputs == expected(folder)
    assert {row[0] for row in folder.rows().values()} == {"done"}


def test_worker_of_another_version_or_without_the_recordings_ends_the_run(converter: Converter, folder: Folder) -> None:
    load = pickle.dumps(folder.load)
    assert isinstance(converter.load("0.1", load), ClusterError)
    assert converter.load(saic.__version__, load[:50], load[50:]) is True
    job = Job(1, folder.source / "elsewhere.wav", 0, None, "wav", None)
    assert isinstance(converter.convert(job, True), ClusterError)
    assert "unexpected FileNotFoundError" in str(converter.convert(job, False).error)  # no machine has it


@pytest.mark.parametrize("content", ["", "in a file"])
def test_blocks_are_the_output(converter: Converter, folder: Folder, content: str) -> None:
    folder.add("ward/1.wav", content + BLOCK_BYTES * 2 * "x")
    converter.load(saic.__version__, pickle.dumps(FakeLoad(folder.log)))
    result = converter.convert(Job(1, folder.source / "ward" / "1.wav", 0, None, "wav", None), True)
    assert result.made.data == b""
    assert b"".join(iter(converter.block, b"")) == expected(folder)["ward/1.wav"]


def test_recipe_for_other_machines_has_absolute_paths_and_takes_no_other_weights(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("set").symlink_to(Recipe().folder)
    recipe = Recipe(targets=(Path("a.wav"),), weights="set", required_hashes=()).for_other_machines()
    assert recipe.targets == (tmp_path / "a.wav",) and recipe.weights == str(tmp_path / "set")
    assert "folder" not in vars(recipe)  # of this machine
    assert recipe.required_hashes == tuple(Recipe().hashes.values()) and None not in recipe.required_hashes
    with pytest.raises(WeightsError, match="other weights"):
        replace(recipe, targets=(), required_hashes=("0" * 64, None))()


@pytest.mark.parametrize("address", ["ray://localhost:1", "localhost:1", "localhost:none", "localhost:99999"])
def test_address_without_a_cluster_is_an_error_at_once(folder: Folder, address: str, monkeypatch) -> None:
    fake = type(sys)("ray")
    fake.is_initialized = lambda: False
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(ClusterError, match="HOST:PORT"):
        folder.run(partial(run_on_ray, address=address))
    assert not folder.output.exists()


def test_ray_that_is_not_installed_is_named(folder: Folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"\[ray\]"):
        folder.run(ON_RAY)
