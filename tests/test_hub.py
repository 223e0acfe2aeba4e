"""Weights from the Hub, against a stand-in on loopback: what is named arrives whole, or an error says why not."""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

from saic import weights
from saic.config import Config
from saic.errors import HubError, UsageError, WeightsError
from saic.model import Model
from saic.pipeline import Pipeline
from tests.standin_hub import TOKEN, StandInHub

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")
NAME = "clinic/tiny"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny model, as training leaves them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    Model(TINY).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """A stand-in Hub that the client in this process talks to, without its waits, with an empty cache."""
    with StandInHub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        still = SimpleNamespace(**{**vars(_http.time), "sleep": lambda _: None})
        monkeypatch.setattr(_http, "time", still)
        monkeypatch.setattr(file_download, "time", still)
        yield hub


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# --- what a name means ---------------------------------------------------------------------------------------


def test_the_default_and_folders_open_no_connection_and_need_no_client(folder: Path) -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import saic\n"
        "saic.Pipeline.from_pretrained()\n"
        f"saic.Model.from_pretrained({str(folder)!r})\n"
        "assert 'huggingface_hub' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_repository_without_its_commit_is_refused_with_the_command_that_prints_it(
    hub: StandInHub, folder: Path, revision: str | None, tmp_path: Path
) -> None:
    commit = hub.add(NAME, folder)
    with pytest.raises(WeightsError) as caught:
        Pipeline.from_pretrained(NAME if revision is None else f"{NAME}@{revision}")
    assert hub.requests == []
    program, *arguments = shlex.split(str(caught.value).partition("\n")[2])
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ | hub.environment(tmp_path)
    )
    assert done.stdout.strip() == f"{NAME}@{commit}", done.stderr


def test_a_revision_goes_with_a_repository_alone(folder: Path) -> None:
    commit = "0" * 40
    for name in (None, folder, str(folder), f"{NAME}@{commit}"):
        with pytest.raises(UsageError, match="ORG/NAME"):
            weights.resolve(name, commit)
    with pytest.raises(WeightsError, match="its commit"):
        weights.resolve(NAME, "main'; import os #")


def test_a_folder_whose_name_could_be_a_repository_is_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "tiny").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert weights.resolve("clinic/tiny") == Path("clinic/tiny")


# --- what arrives --------------------------------------------------------------------------------------------


def test_the_named_commit_arrives_whole_and_stays_readable_without_a_connection(
    hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add(NAME, folder)
    hub.repos["model", NAME].commit({"model.safetensors": b"a later commit"})
    expected = Model.from_pretrained(folder).state_dict()
    for tensors in (
        Model.from_pretrained(f"{NAME}@{commit}").state_dict(),
        Pipeline.from_pretrained(NAME, revision=commit).model.state_dict(),
    ):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors.items())
    asked = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weights.fingerprint(weights.resolve(f"{NAME}@{commit}")) == weights.fingerprint(folder)
    assert len(hub.requests) == asked


def test_a_download_that_is_interrupted_goes_on(hub: StandInHub, folder: Path) -> None:
    commit = hub.add(NAME, folder)
    hub.fault = "break"
    weights.verify(weights.resolve(f"{NAME}@{commit}"))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("error", "status 500"),
        ("stall", "broke off"),
        ("short", "broke off"),
        ("truncate", "broke off"),
        ("tamper", "damaged"),
        ("other_commit", "another commit"),
    ],
)
def test_what_goes_wrong_is_an_error_and_leaves_nothing_that_harms(
    hub: StandInHub, folder: Path, fault: str, says: str
) -> None:
    commit = hub.add(NAME, folder)
    hub.fault = fault
    with pytest.raises(HubError, match=says):
        Model.from_pretrained(f"{NAME}@{commit}")
    hub.fault = None
    Model.from_pretrained(f"{NAME}@{commit}")


def test_no_server_no_repository_no_commit_and_no_weights_are_told_apart(
    hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add(NAME, folder, private=True)
    for name, says in {
        f"clinic/other@{commit}": "no repository",
        f"{NAME}@{'0' * 40}": "no such commit",
        f"clinic--x/tiny@{commit}": "not a name",
    }.items():
        with pytest.raises(HubError, match=says):
            weights.resolve(name)
    with pytest.raises(HubError, match="no complete SAIC weights"):
        weights.resolve(f"{NAME}@{hub.repos['model', NAME].commit({'README.md': b'-'})}")
    monkeypatch.setenv("HF_TOKEN", "hf_somebody_else")
    with pytest.raises(HubError, match="log in"):
        weights.resolve(f"{NAME}@{commit}")
    nobody = "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nobody)
    with pytest.raises(HubError, match="cannot be reached"):
        weights.resolve(f"{NAME}@{commit}")


def test_a_cache_that_was_changed_is_not_used(hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{NAME}@{hub.add(NAME, folder)}"
    path = weights.resolve(name) / weights.MODEL
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(HubError, match="damaged"):
            weights.resolve(name)
    weights.resolve(name)  # downloaded anew


def test_nothing_but_weights_is_fetched(hub: StandInHub, folder: Path) -> None:
    sums = (folder / weights.SUMS).read_bytes()
    repo = hub.repos["model", NAME] if hub.add(NAME, folder) else None
    commit = repo.commit({**repo.files, "model.pkl": b"-", weights.SUMS: sums + b"0" * 64 + b"  model.pkl\n"})
    with pytest.raises(HubError, match="does not belong"):
        weights.resolve(f"{NAME}@{commit}")
    assert not any(request.endswith("model.pkl") for request in hub.requests)
