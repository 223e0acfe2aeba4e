"""What the documents say is so: their commands run, their figures are the report's, the report is of these weights."""

import contextlib
import io
import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from saic import cli, weights
from saic.config import Config
from saic.evaluation import report as reports

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPORT = ROOT / "benchmarks" / "evaluation" / "report.json"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which the documents' relative paths work."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_readme_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, since each new one takes seconds to start; tests/test_stranger.py starts some."""
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert len(commands) >= 3
    for command in commands:
        arguments = shlex.split(command)
        assert arguments[0] == "saic"
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None), command
    assert (workplace / "anonymous.wav").is_file()


def test_the_python_of_the_readme_runs(workplace: Path) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), {})
    assert (workplace / "anonymous.wav").is_file() and "(80, " in said.getvalue()


def test_the_training_commands_of_the_readme_have_their_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines()]
    modules = [shlex.split(line)[2:] for line in lines if line.startswith("python -m train.")]
    assert {module for module, *_ in modules} == {
        f"train.{name}" for name in ("prepare", "perceptual", "recognizer", "stage1", "stage2", "voices", "vocoder")
    }
    for module, *arguments in modules:
        monkeypatch.setattr(sys, "argv", [module, "--help"])
        monkeypatch.delitem(sys.modules, module, raising=False)  # another test may have imported it
        with pytest.raises(SystemExit):
            runpy.run_module(module, run_name="__main__")
        said = capsys.readouterr().out
        assert all(option in said for option in arguments if option.startswith("--")), module


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in ROOT.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (ROOT / link).exists(), f"{document.name}: {link}"


def test_the_map_names_every_module() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in (ROOT / "saic").glob("*.py"):
        assert path.name == "__init__.py" or path.name == "__main__.py" or f"saic/{path.name}" in text, path.name


def tables(markdown: str) -> dict[str, str]:
    """Heading to the table under it."""
    parts = [part.partition("\n\n") for part in markdown.split("\n## ")[1:]]
    return {heading: body.partition("\n\n")[0] for heading, _, body in parts if body.startswith("|")}


def test_the_tables_are_those_of_a_report_of_the_bundled_weights() -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    assert report["weights_sha256"] == weights.fingerprint(weights.resolve())
    markdown = reports.markdown(report)
    assert REPORT.with_suffix(".md").read_text(encoding="utf-8") == markdown
    shown = tables(markdown)
    assert len(shown) >= 7
    for document, headings in {
        "README.md": ("Identity (Resemblyzer)", "Attackers (resemblyzer)", "Words"),
        "MODEL_CARD.md": shown,
    }.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        for heading in headings:
            assert shown[heading] in text, f"{document}: {heading}"


def test_the_bundled_weights_are_small_and_of_a_known_config() -> None:
    folder = weights.resolve()
    assert (folder / "model.safetensors").stat().st_size < 16e6
    assert sum(path.stat().st_size for path in folder.iterdir()) < 24e6
    config, _ = weights.load(folder)
    assert isinstance(config, Config)


def test_configs_in_train_are_valid() -> None:
    for path in (ROOT / "train" / "configs").glob("*.yaml"):
        Config.from_yaml(path)


def test_pins_and_ranges_agree() -> None:
    from packaging.requirements import Requirement

    pins = {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            pins[requirement.name.lower().replace("_", "-")] = pin.version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["app"], *extras["eval"], *extras["train"]]
    for requirement in map(Requirement, wanted):
        name = requirement.name.lower().replace("_", "-")
        if name in pins:
            assert requirement.specifier.contains(pins[name]), requirement
        else:  # the heavy evaluators, which an app does without, are pinned in their extra
            assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
    assert set(pins) <= {Requirement(text).name.lower().replace("_", "-") for text in wanted}


def test_nothing_private_is_named() -> None:
    """No path of a machine in what is published."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        path = ROOT / name
        read = {".py", ".md", ".toml", ".yaml", ".txt", ".json", ".ipynb"}
        if path.suffix in read and name != "tests/test_documents.py":
            assert not re.search(r"(?<![\w.])/(home|root|Users)/", path.read_text(encoding="utf-8")), name


def test_each_reader_finds_a_way_in() -> None:
    """Three readers, three sections near the top, each with something to do and links for more."""
    first = README.partition("\n## How good is it")[0]
    for reader, does in {
        "clinician": "make app",
        "reviewer": "benchmarks/evaluation",
        "engineer": "saic convert",
    }.items():
        heading, section = re.search(rf"^## ([^\n]*for an? {reader})\n(.*?)(?=^## |\Z)", first, re.M | re.S).groups()
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        assert f"](#{anchor})" in first.partition("\n## ")[0].replace("\n", " ")
        assert does in section and "](" in section
