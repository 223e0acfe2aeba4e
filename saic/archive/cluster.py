"""The engine that converts on a Ray cluster: actors with one thread and their own model, on any of its machines.

Actors read recordings, key and weights from a file system that all machines have at the same path,
and send outputs back. Nothing is stored in Ray: paths, subjects and outputs are arguments and
results of calls between two processes, in parts so small that Ray does not put them into its object
store. Ray's controller keeps none of them, and what an actor prints goes nowhere instead of to Ray's
log files.
"""

import contextlib
import io
import os
import pickle
import secrets
import socket
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import BinaryIO

import saic
from saic.archive.engine import Convert, Job, Load, Result, attempt
from saic.archive.workers import Worker, file_of, load_converter, run_in_workers
from saic.errors import SaicError, UsageError, missing_package

BLOCK_BYTES = 64 * 1024
"""Ray sends arguments and results of up to 100 KiB with the call, and stores what is larger."""

_CONNECT_S = 10.0
_UNSEEN = (
    "A machine of the Ray cluster cannot read a recording that this one can. IN must be on a file system that all"
    " machines have at the same path."
)
_OTHER_VERSION = "A machine of the Ray cluster has SAIC {}, and this one {}. Install the same version on all."


class ClusterError(UsageError):
    """A Ray cluster cannot be started or reached, or its machines differ."""


def run_on_ray(
    load: Load,
    jobs: Iterable[Job],
    ready: Callable[[], None],
    n_workers: int | None = None,
    address: str | None = None,
) -> Generator[Result, None, None]:
    """Convert on a Ray cluster; see :func:`~saic.archive.workers.run_in_workers`.

    Parameters
    ----------
    n_workers
        Number of actors, each of which needs one CPU of the cluster; None for as many as it has CPUs.
    address
        As for ``ray.init``; None for a cluster of this machine that ends with the run. If Ray is
        initialized in this process, that cluster is used.

    Raises
    ------
    ClusterError
        The cluster cannot be started or reached; its machines have another version of SAIC, or
        do not see the recordings.
    UsageError
        Ray is not installed.
    """
    with cluster(address, n_workers) as ray:
        n_cpus = int(ray.cluster_resources().get("CPU", 1))
        yield from run_in_workers(lambda: _Actor(ray, load), _wait, jobs, ready, n_workers or max(n_cpus, 1))


@contextlib.contextmanager
def cluster(address: str | None = None, n_cpus: int | None = None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster; see :func:`run_on_ray`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports its use to its maker
    if address is None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # without it, ports are open to everybody
    try:
        import ray
    except ImportError:
        raise missing_package("--engine ray needs Ray.", "ray") from None
    if ray.is_initialized():
        yield ray
        return
    if address is not None:
        _require_cluster(address)
    options = {"log_to_driver": False, "logging_level": "ERROR"}
    private = tempfile.TemporaryDirectory(prefix="saic-ray-", ignore_cleanup_errors=True)
    with private as folder, _discreet():
        if address is None:
            # Ray lets everybody read its folder. It needs little of the object store.
            own = {"_temp_dir": os.path.join(folder, "r"), "object_store_memory": 80 * 2**20}
            options |= {"num_cpus": n_cpus, "include_dashboard": False, **own}
        try:
            try:
                ray.init(address or "local", **options)
            except Exception as error:
                reason = " ".join(str(error).split())
                raise ClusterError(f"The Ray cluster cannot be started or reached: {reason}") from None
            yield ray
        finally:
            ray.shutdown()


def _require_cluster(address: str) -> None:
    """Raise :class:`ClusterError` if nothing answers at an address, which Ray would try for minutes."""
    if "://" in address:
        raise ClusterError("Run the command on a machine of the Ray cluster, and name its address as HOST:PORT.")
    host, colon, port = address.rpartition(":")
    if not colon:
        return  # "auto"
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, ValueError, OverflowError):
        raise ClusterError("No Ray cluster answers at this address. Name it as HOST:PORT.") from None


@contextlib.contextmanager
def _discreet() -> Iterator[None]:
    """Keep the command line, which has paths and subjects, from Ray's list of jobs, and its messages from stdout.

    Ray has no public setting for either.
    """
    from ray._private import utils, worker

    kept = utils.get_entrypoint_name, worker._worker_logs_enabled
    utils.get_entrypoint_name, worker._worker_logs_enabled = lambda: "saic anonymize", False
    try:
        yield
    finally:
        utils.get_entrypoint_name, worker._worker_logs_enabled = kept


def _wait(workers: Sequence["_Actor"]) -> list["_Actor"]:
    pending = {worker.answer: worker for worker in workers if worker.answer is not None}
    answered, _ = workers[0].ray.wait(list(pending))
    return [pending[answer] for answer in answered]


class _Actor(Worker):
    """A :class:`Converter` of the cluster, and its answer that has not been read."""

    def __init__(self, ray: ModuleType, load: Load) -> None:
        self.ray = ray
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "enable_task_events": False}
        self._actor = ray.remote(Converter).options(**options).remote()
        # Not an argument of the actor's constructor: Ray's controller keeps those.
        blocks = _blocks(io.BytesIO(pickle.dumps(load)))
        self.answer = self._actor.load.remote(saic.__version__, *blocks)

    def send(self, job: Job) -> None:
        is_readable = os.access(job.source, os.R_OK)
        self.answer = self._actor.convert.remote(replace(job, source=job.source.absolute()), is_readable)

    def receive(self) -> Result | SaicError | bool | None:
        try:
            answer, self.answer = self.ray.get(self.answer), None
            if isinstance(answer, Result) and answer.made is not None:
                blocks = iter(lambda: self.ray.get(self._actor.block.remote()), b"")
                answer = replace(answer, made=replace(answer.made, data=file_of(blocks)))
            return answer
        except self.ray.exceptions.RayError:
            return None

    def end(self) -> None:
        self.ray.kill(self._actor)


class Converter:
    """Converts in a process of a cluster, as a Ray actor."""

    _convert: Convert
    _data: BinaryIO

    def load(self, version: str, *blocks: bytes) -> bool | SaicError:
        """Make the converter from the parts of a pickled :data:`~saic.archive.engine.Load`."""
        with open(os.devnull, "w") as nowhere:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
        if version != saic.__version__:
            return ClusterError(_OTHER_VERSION.format(saic.__version__, version))
        convert = load_converter(lambda: pickle.loads(b"".join(blocks))())
        if isinstance(convert, SaicError):
            return convert
        self._convert = convert
        return True

    def convert(self, job: Job, is_readable: bool) -> Result | SaicError:
        """Convert a recording; the data of the output follow in blocks.

        Parameters
        ----------
        is_readable
            Whether the machine that writes can read the recording.
        """
        if is_readable and not os.access(job.source, os.R_OK):
            return ClusterError(_UNSEEN)
        try:
            result = attempt(self._convert, job)
        except SaicError as error:
            return error
        if result.made is None:
            return result
        data = result.made.data
        self._data = io.BytesIO(data) if isinstance(data, bytes) else data
        self._data.seek(0)
        return replace(result, made=replace(result.made, data=b""))

    def block(self) -> bytes:
        """The next bytes of the output; none at its end."""
        block = self._data.read(BLOCK_BYTES)
        if not block:
            self._data.close()
        return block


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK_BYTES), b"")
