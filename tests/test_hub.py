"""Downloads from and uploads to a stand-in Hub on loopback: complete and checked, or an error.

tests/test_cli.py tests that bundled weights and folders need no Hub.
"""

import errno
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants, file_download, snapshot_download
from huggingface_hub.utils import _http
from packaging.requirements import Requirement

from saic import weights
from saic.cli import main
from saic.config import Config
from saic.errors import HubError, UsageError, WeightsError
from saic.migration import migrate_report
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.publish import space, upload
from saic.publish.model_card import model_card, read_report
from saic.weights.download import hub_errors
from tests.standin_hub import TOKEN, StandInHub

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks" / "evaluation"
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")
NAME = "clinic/tiny"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny model, as training saves them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    Model(TINY).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """A stand-in Hub for the client in this process, with an empty cache and without the waits between retries."""
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


# --- names of weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [None, "main"])
def test_repository_without_commit_is_refused_with_a_command_that_prints_it(
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


def test_revision_is_accepted_only_for_a_repository(folder: Path) -> None:
    commit = "0" * 40
    for name in (None, folder, str(folder), f"{NAME}@{commit}"):
        with pytest.raises(UsageError, match="ORG/NAME"):
            weights.resolve(name, commit)
    with pytest.raises(WeightsError, match="its commit"):
        weights.resolve(NAME, "main'; import os #")


def test_existing_folder_named_like_a_repository_is_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "tiny").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert weights.resolve("clinic/tiny") == Path("clinic/tiny")


def test_command_line_refuses_a_repository_without_commit_with_exit_code_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["saic", "info", "--weights", NAME])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 4 and "model_info" in capsys.readouterr().err


# --- downloads -----------------------------------------------------------------------------------------------


def test_named_commit_is_downloaded_and_then_loads_offline(
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
    n_requests = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weights.fingerprint(weights.resolve(f"{NAME}@{commit}")) == weights.fingerprint(folder)
    assert len(hub.requests) == n_requests


def test_weights_downloaded_by_the_hubs_own_command_load_offline(
    hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a machine without a network: ``hf download ORG/NAME --revision COMMIT`` elsewhere, then copy the cache."""
    commit = hub.add(NAME, folder)
    snapshot_download(NAME, revision=commit)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weights.fingerprint(weights.resolve(f"{NAME}@{commit}")) == weights.fingerprint(folder)


def test_interrupted_download_is_completed(hub: StandInHub, folder: Path) -> None:
    commit = hub.add(NAME, folder)
    hub.fault = "break"
    weights.verify(weights.resolve(f"{NAME}@{commit}"))
    assert hub.fault is None  # it happened


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("error", "status 500"),
        ("stall", "broke off"),
        ("short", "broke off"),
        ("truncate", "broke off"),
        ("tamper", "damaged"),
        ("other_commit", "another commit"),
    ],
)
def test_failed_download_raises_hub_error_and_the_next_try_succeeds(
    hub: StandInHub, folder: Path, fault: str, message: str
) -> None:
    commit = hub.add(NAME, folder)
    hub.fault = fault
    with pytest.raises(HubError, match=message):
        Model.from_pretrained(f"{NAME}@{commit}")
    hub.fault = None
    Model.from_pretrained(f"{NAME}@{commit}")


def test_missing_server_repository_commit_and_weights_have_different_messages(
    hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add(NAME, folder, private=True)
    for name, message in {
        f"clinic/other@{commit}": "no repository",
        f"{NAME}@{'0' * 40}": "no such commit",
        f"clinic--x/tiny@{commit}": "not a valid name",
    }.items():
        with pytest.raises(HubError, match=message):
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


def test_changed_file_in_the_cache_is_not_used(hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{NAME}@{hub.add(NAME, folder)}"
    path = weights.resolve(name) / weights.MODEL
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(HubError, match="damaged"):
            weights.resolve(name)
    weights.resolve(name)  # downloaded again


@pytest.mark.parametrize("name", [weights.SUMS, weights.MODEL])
def test_file_in_the_cache_that_cannot_be_read_now_stays(
    name: str, hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a network drive fails for a moment: without a network it could not be downloaded again."""
    opened, repo = weights._opened, f"{NAME}@{hub.add(NAME, folder)}"

    def fail(path: Path):
        if path.name == name:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path)

    weights.resolve(repo)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with monkeypatch.context() as failing, pytest.raises(HubError, match="cache cannot be used: Input/output error"):
        failing.setattr(weights, "_opened", fail)
        weights.resolve(repo)
    assert weights.fingerprint(weights.resolve(repo)) == weights.fingerprint(folder)


def test_other_files_of_a_repository_are_not_downloaded(hub: StandInHub, folder: Path) -> None:
    sums = (folder / weights.SUMS).read_bytes()
    repo = hub.repos["model", NAME] if hub.add(NAME, folder) else None
    commit = repo.commit({**repo.files, "model.pkl": b"-", weights.SUMS: sums + b"0" * 64 + b"  model.pkl\n"})
    with pytest.raises(HubError, match="does not belong"):
        weights.resolve(f"{NAME}@{commit}")
    assert not any(request.endswith("model.pkl") for request in hub.requests)


# --- uploads -------------------------------------------------------------------------------------------------


@pytest.fixture
def report(folder: Path, tmp_path: Path) -> Path:
    """A report of the tiny weights, with the figures of the bundled ones."""
    figures = migrate_report(json.loads((BENCHMARKS / "report.json").read_text(encoding="utf-8")))
    figures |= {"weights_sha256": weights.fingerprint(folder), "claims": ["EER is 20 % at 15 s."]}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(figures), encoding="utf-8")
    return path


def test_pushed_weights_are_private_and_load_unchanged(hub: StandInHub, folder: Path, report: Path) -> None:
    name = Model.from_pretrained(folder).push_to_hub(NAME, report=report, license="cc-by-4.0")
    repo = hub.repos["model", NAME]
    assert repo.private and set(repo.files) == {
        ".gitattributes",
        "README.md",
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "report.json",
    }
    assert name == f"{NAME}@{repo.head}" and any(request.startswith("PUT /large/") for request in hub.requests)
    expected = Model.from_pretrained(folder).state_dict()
    assert all(torch.equal(t, expected[key]) for key, t in Model.from_pretrained(name).state_dict().items())


def test_second_push_deletes_weights_files_of_the_first(hub: StandInHub, folder: Path) -> None:
    first = Model.from_pretrained(folder).push_to_hub(NAME)
    repo = hub.repos["model", NAME]
    repo.commit({**repo.files, "voices.safetensors": b"old", "notes.md": b"-"})
    torch.manual_seed(1)
    trained = Model(TINY)
    second = trained.push_to_hub(NAME)
    assert "voices.safetensors" not in repo.files and "notes.md" in repo.files
    Model.from_pretrained(first)
    for key, tensor in Model.from_pretrained(second).state_dict().items():
        torch.testing.assert_close(tensor, trained.state_dict()[key].half().float())


def test_push_of_a_changed_model_has_no_gallery(hub: StandInHub) -> None:
    model = Model.from_pretrained()
    model.push_to_hub("clinic/whole")
    assert weights.VOICES in hub.repos["model", "clinic/whole"].files
    model.mel_mean += 1
    model.push_to_hub("clinic/trained")
    assert weights.VOICES not in hub.repos["model", "clinic/trained"].files


def test_card_has_the_figures_of_the_report(hub: StandInHub, folder: Path, report: Path) -> None:
    figures = json.loads(report.read_text(encoding="utf-8"))
    upload.push(folder, NAME, report=report)
    card = ModelCard(hub.repos["model", NAME].files["README.md"].decode())
    assert card.data.pipeline_tag == "audio-to-audio" and card.data.library_name == "saic"
    results = {result.metric_name: result for result in reversed(card.data.eval_results)}  # the first corpus's
    corpus, of_corpus = next(iter(figures["corpora"].items()))
    estimates = of_corpus["systems"]["convert"]
    figure = f"{figures['privacy']['worst']['pseudonym']['15']}.eer_15s"
    worst = figures["privacy"]["systems"]["pseudonym"]["privacy"][figure]
    for heading, estimate in {
        "Target top-1, %": estimates["identity"]["target_top1"],
        "EER of the strongest attacker on pseudonym, 15 s of speech, %": worst,
        "WER, %": estimates["utility"]["wer"],
    }.items():
        assert results[heading].metric_value == pytest.approx(estimate["value"], abs=0.005)
        assert results[heading].metric_args["n"] == estimate["n"]
    wer = estimates["utility"]["wer"]
    assert f"{wer['value']:.1f} [{wer['low']:.1f}, {wer['high']:.1f}]" in card.text
    assert "- EER is 20 % at 15 s.\n" in card.text and f"### {corpus}: " in card.text
    assert not any("real" in name or "copy_source" in name for name in results)
    assert all(f"`{system}`" in card.text for system in ("copy_source", "replay_target", "mcadams"))
    upload.push(folder, NAME)
    without_report = ModelCard(hub.repos["model", NAME].files["README.md"].decode())
    assert without_report.data.eval_results is None and "report.json" not in hub.repos["model", NAME].files


@pytest.mark.parametrize("key", ["evaluators", "judges"])
def test_report_of_an_older_version_is_read(report: Path, folder: Path, key: str) -> None:
    new = json.loads(report.read_text(encoding="utf-8"))
    of_corpus = next(iter(new["corpora"].values()))
    attacked = {"convert": of_corpus["systems"]["convert"] | {"privacy": {"resemblyzer.eer_lazy": {"value": 49.0}}}}
    old = {name: new[name] for name in ("command", "weights_sha256")}
    old |= {"data": of_corpus["data"], "systems": of_corpus["systems"] | attacked}
    old |= {key: {"embedders": ["a"], "recogniser": "b"}, "claims": {"convert": {"resemblyzer.eer_lazy": True}}}
    report.write_text(json.dumps(old), encoding="utf-8")
    read = read_report(report, weights.fingerprint(folder))
    assert read["evaluators"] == {"embedders": ["a"], "asr": "b"} and "judges" not in read
    assert read["corpora"] == {"corpus": of_corpus} and read["privacy"] is None
    card = model_card(NAME, read, None)
    assert "Privacy was not measured" in card and "49.0" not in card


def test_push_refuses_wrong_reports_damaged_weights_and_public_repositories(
    hub: StandInHub, folder: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="other weights"):
        upload.push(weights.resolve(), NAME, report=report)
    shutil.copytree(folder, tmp_path / "damaged")
    (tmp_path / "damaged" / weights.MODEL).write_bytes(b"-")
    with pytest.raises(WeightsError, match="differs"):
        upload.push(tmp_path / "damaged", NAME)
    for text in ("[]", "{}", "-", "[" * 100_000):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(UsageError, match=r"report\.json"):
            upload.push(folder, NAME, report=tmp_path / "other.json")
    with pytest.raises(UsageError, match="ORG/NAME"):
        upload.push(folder, "tiny")
    with monkeypatch.context() as offline, pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        upload.push(folder, NAME)
    assert hub.requests == []
    hub.add("clinic/open", folder)
    with pytest.raises(UsageError, match="is public"):
        upload.push(folder, "clinic/open")
    upload.push(folder, "clinic/open", private=False)
    monkeypatch.setenv("HF_TOKEN", "hf_somebody_else")
    with pytest.raises(HubError, match="does not allow"):
        upload.push(folder, "clinic/open", private=False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(HubError, match="not logged in"):
        upload.push(folder, "clinic/open", private=False)


# --- the Space -----------------------------------------------------------------------------------------------


def front_matter(readme: bytes) -> dict:
    return yaml.safe_load(readme.decode().split("---\n")[1])


def test_space_has_the_app_the_package_and_the_weights(hub: StandInHub, folder: Path) -> None:
    upload.upload(
        "clinic/page", {"saic/old.py": b"-", "my.txt": b"-"}, kind="space", private=True, message="-", replaces=bool
    )
    space.push(folder, "clinic/page")
    repo = hub.repos["space", "clinic/page"]
    assert repo.private and repo.sdk == "gradio"
    assert "saic/old.py" not in repo.files and "my.txt" in repo.files
    for path in ("app.py", "requirements.txt", "saic/web/page.py", "saic/pipeline.py", "assets/examples/examples.json"):
        assert repo.files[path] == (ROOT / path).read_bytes()
    assert repo.files["saic/weights/default/model.safetensors"] == (folder / weights.MODEL).read_bytes()
    assert not any(path.startswith(("tests/", "train/", ".git/")) or "__pycache__" in path for path in repo.files)
    about_bundled = {"MODEL_CARD.md", "benchmarks/evaluation/report.json"}
    assert about_bundled <= set(space.files(weights.resolve())) and not about_bundled & set(repo.files)


def test_hidden_files_are_not_uploaded_to_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("app.py", "saic/cli.py", "saic/.env", "saic/.idea/workspace.xml", "assets/examples/.patient.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "requirements.txt").write_text("gradio==6.31\n")
    monkeypatch.setattr(space, "_ROOT", tmp_path)
    uploaded = space.files(weights.resolve())
    assert {"app.py", "saic/cli.py"} < set(uploaded) and not any("/." in name for name in uploaded)


def test_front_matter_has_valid_keys_and_agrees_with_the_pins(folder: Path) -> None:
    front = front_matter(space.files(folder)["README.md"])
    valid = {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "pinned"}
    assert set(front) == valid | {"license", "short_description"}
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colors and len(front["short_description"]) <= 60
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py"
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert f"gradio=={front['sdk_version']}" in requirements
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert front["python_version"] == "3.11" and project["requires-python"].startswith(">=3.11,<3.12")


def test_pins_fit_the_packages_that_a_space_installs() -> None:
    """A Space installs gradio[oauth,mcp] together with requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {r.name: next(iter(r.specifier)).version for r in map(Requirement, filter(re.compile(r"\w").match, lines))}
    assert pins["gradio"] == metadata.version("gradio")
    for line in metadata.requires("gradio"):
        wanted = Requirement(line)
        if wanted.name in pins and any(
            wanted.marker is None or wanted.marker.evaluate({"extra": e}) for e in ("", "oauth", "mcp")
        ):
            assert wanted.specifier.contains(pins[wanted.name]), line


def test_unsupported_proxy_raises_hub_error() -> None:
    with pytest.raises(HubError, match="SOCKS proxy"), hub_errors("org/name"):
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")
