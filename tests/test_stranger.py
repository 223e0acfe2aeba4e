"""Sharing weights with only a stand-in Hub: push, load elsewhere, then page and notebooks without a network.

The commands are those of README.md, "Share it".
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from jupyter_client.manager import KernelManager

from saic import weights
from saic.model.model import Model
from tests.attacks import upload
from tests.standin_hub import StandInHub
from tests.test_notebooks import FOLDER, run, setting, shown

ROOT = Path(__file__).parents[1]
START_CPU_S = 30
RUN_COMMANDS = """
import contextlib, io, json, sys
from saic import cli
name = ""
for command in json.loads(sys.argv[1]):
    sys.argv = ["saic", *(word.replace("ORG/NAME@COMMIT", name) for word in command)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise
    if command[0] == "push":
        name = json.loads(printed.getvalue())["weights"]
print(name)
"""


@dataclass(frozen=True)
class Shared:
    """State without a network: the name of the weights, an environment with them in its cache, the Space's files."""

    name: str
    environment: dict[str, str]
    space: Path


def documented(start: str) -> list[str]:
    """The arguments of the one command of README.md that starts with ``start``."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) for line in block.splitlines()]
    ((_, *arguments),) = (shlex.split(line) for line in lines if line.startswith(start) and "ORG/" in line)
    return arguments


def saic(*commands: list[str], environment: dict[str, str], cwd: Path) -> str:
    """Run ``push`` and other commands, one after another in one new process; return the name of the pushed weights."""
    command = [sys.executable, "-c", RUN_COMMANDS, json.dumps(commands)]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as after train.release: runs/release/weights with a gallery, runs/release/report/report.json."""
    root = tmp_path_factory.mktemp("stranger")
    folder = root / "runs" / "release" / "weights"
    model = Model.from_pretrained()
    model.mel_mean += 0.01
    model.save_pretrained(folder)
    for name in (weights.VOCODER, weights.PROSODY, weights.VOICES):
        shutil.copyfile(weights.resolve() / name, folder / name)
    weights.write_sums(folder)
    report = json.loads((ROOT / "benchmarks" / "evaluation" / "report.json").read_text(encoding="utf-8"))
    (folder.parent / "report").mkdir()
    (folder.parent / "report" / "report.json").write_text(
        json.dumps(report | {"weights_sha256": weights.fingerprint(folder)}), encoding="utf-8"
    )
    (root / "assets").symlink_to(ROOT / "assets")
    return root


@pytest.fixture(scope="module")
def shared(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Push, load by name, upload the Space; then stop the Hub."""
    home, space_folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("space")
    base = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {"PYTHONPATH": str(ROOT)}
    with StandInHub() as hub:
        environment = base | hub.environment(home)
        push = [*(word.replace("ORG/NAME", "clinic/tuned") for word in documented("saic push")), "--json"]
        _, _, *space = (word.replace("ORG/PAGE", "clinic/page") for word in documented("python -m saic space"))
        name = saic(push, documented("saic convert"), space, environment=environment, cwd=trained)
        assert (trained / "shared.wav").is_file()
        repository = hub.repos["model", "clinic/tuned"]
        assert f"GET /clinic/tuned/resolve/{repository.head}/model.safetensors" in hub.requests
        for path, content in hub.repos["space", "clinic/page"].files.items():
            (space_folder / path).parent.mkdir(parents=True, exist_ok=True)
            (space_folder / path).write_bytes(content)
        assert repository.private and hub.repos["space", "clinic/page"].private
    return Shared(name, environment, space_folder)


@dataclass(frozen=True)
class Served:
    """The page of a running process.

    Attributes
    ----------
    endpoints : the names of the page's endpoints
    folder : the process's temporary folder
    start_cpu_s : CPU time until the page answered; None where the system does not tell
    """

    url: str
    endpoints: set[str]
    process: subprocess.Popen
    folder: Path
    start_cpu_s: float | None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def take_sighup() -> None:
    """In a new process: be ended by SIGHUP, where the system has it."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="module")
def served(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The app of the Space with the shared weights, a read-only home folder, and proxies that are not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("served")
    command = [word.replace("ORG/NAME@COMMIT", shared.name) for word in documented("python app.py")]
    environment = shared.environment | {"HOME": os.devnull, "GRADIO_ANALYTICS_ENABLED": "False", "TMPDIR": str(folder)}
    environment |= {"ALL_PROXY": "socks5://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    environment.pop("PYTHONPATH")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            env=environment,
            cwd=shared.space,
            stdout=log,
            stderr=log,
            preexec_fn=take_sighup,  # the tests may run under nohup, whose processes ignore it
        )
    try:
        answer = wait_for_answer(f"http://127.0.0.1:{port}/gradio_api/info", process)
        assert answer is not None, (folder / "log").read_text()
        endpoints = set(answer.json()["named_endpoints"])
        yield Served(f"http://127.0.0.1:{port}", endpoints, process, folder, cpu_s(process))
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


def wait_for_answer(url: str, process: subprocess.Popen) -> httpx.Response | None:
    """The first answer of a server that is starting; None if it ends, or after two minutes."""
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            return httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.2)
    return None


def cpu_s(process: subprocess.Popen) -> float | None:
    """CPU time of a process, which depends less on other load of the machine than its time does."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return None
    user, system = map(int, stat.read_text().rpartition(")")[2].split()[11:13])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def test_app_of_the_space_serves_shared_weights_offline_with_a_read_only_home(served: Served) -> None:
    assert "/convert" in served.endpoints
    assert served.start_cpu_s is None or served.start_cpu_s < START_CPU_S
    assert "writable" not in served.log


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signal")
def test_app_ended_by_sighup_leaves_no_recording(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as http:
        upload(http)
    assert len(list(served.folder.glob("saic-web-*/*/recording.flac"))) == 1
    served.process.send_signal(signal.SIGHUP)
    assert served.process.wait(20) == 0
    assert "Traceback" not in served.log and "share" not in served.log
    assert list(served.folder.glob("saic-web-*")) == []


@pytest.fixture(scope="module")
def kernel(shared: Shared) -> Iterator[KernelManager]:
    """A Jupyter kernel in the notebooks' folder, with the shared weights in its cache and without a Hub."""
    kernel = KernelManager(kernel_name="python3")
    kernel.start_kernel(env=shared.environment, cwd=str(FOLDER))
    yield kernel
    kernel.shutdown_kernel(now=True)


@pytest.mark.parametrize(
    "stem",
    [
        "01_anonymize",
        pytest.param("02_explore_embeddings", marks=pytest.mark.proof),
        "03_train_your_own",
        "04_evaluate_privacy",
    ],
)
def test_notebooks_run_with_shared_weights_offline(shared: Shared, kernel: KernelManager, stem: str) -> None:
    few_steps = {stage: {"steps": 2} for stage in ("perceptual", "stage1", "stage2")}
    settings = {
        "01_anonymize": {"WEIGHTS": shared.name},
        "02_explore_embeddings": {"WEIGHTS": shared.name},
        "03_train_your_own": {"CONFIG": setting(FOLDER / "03_train_your_own.ipynb", "CONFIG") | few_steps},
        "04_evaluate_privacy": {},
    }[stem]
    text, n_pictures = shown(run(FOLDER / f"{stem}.ipynb", settings, kernel))
    assert n_pictures >= 1
    for output in {
        "01_anonymize": ["original       1.00  same person", "pseudonym"],
        "02_explore_embeddings": ["speaker (192,)", "chance is 16.7 %"],
        "03_train_your_own": ["train: 4 speakers, 12 clips", "Weights:"],
        "04_evaluate_privacy": ["| `copy_source` |", "25% at a threshold"],
    }[stem]:
        assert output in text, text


def test_notebook_explains_a_report_without_privacy(kernel: KernelManager) -> None:
    report = ROOT / "benchmarks" / "languages" / "report.json"
    text, _ = shown(run(FOLDER / "04_evaluate_privacy.ipynb", {"REPORT": str(report)}, kernel))
    assert "| `copy_source` |" in text and json.loads(report.read_text(encoding="utf-8"))["claims"][0] in text
