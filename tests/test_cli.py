"""The command line: start-up time, help, version, shell completion, deprecated options."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from saic import __version__, cli
from saic.errors import UsageError

ROOT = Path(__file__).parents[1]
COMMANDS = typer.main.get_command(cli.app).commands
MAX_HELP = 100  # characters of one line

REPORT_MODULES = """
import sys
from saic.cli import main
sys.argv = ["saic", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code
print({"torch", "numpy", "rich"} & sys.modules.keys() or "none")
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["anonymize", "--help"], ["evaluate", "--help"]])
def test_help_and_version_import_neither_torch_nor_numpy(arguments: list[str]) -> None:
    command = [sys.executable, "-c", REPORT_MODULES, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "none"


def test_every_parameter_has_one_line_of_help() -> None:
    assert list(COMMANDS) == [
        "convert",
        "anonymize",
        "identify",
        "evaluate",
        "evaluate-paper",
        "info",
        "push",
        "space",
    ]
    for name, command in COMMANDS.items():
        for parameter in command.params:
            text = parameter.help or ""
            assert 0 < len(text) <= MAX_HELP and text.isprintable(), f"{name} {parameter.name}: {text}"


def test_list_of_commands_shows_whole_sentences() -> None:
    text = CliRunner().invoke(cli.app, ["--help"], terminal_width=80).output
    lines = text.partition("Commands:\n")[2].splitlines()
    assert len(lines) == len(COMMANDS) and all(line.endswith(".") and "..." not in line for line in lines)


def test_version_is_printed() -> None:
    done = CliRunner().invoke(cli.app, ["--version"])
    assert done.exit_code == 0 and done.output == f"saic {__version__}\n"


@pytest.mark.parametrize(
    ("words", "completed"),
    [("saic eval", ["evaluate", "evaluate-paper"]), ("saic anonymize --me", ["--method"])],
)
def test_shell_completion_lists_commands_and_options(words: str, completed: list[str]) -> None:
    environment = {"_SAIC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = CliRunner().invoke(cli.app, [], prog_name="saic", env=environment)
    assert done.output.split() == completed


def test_help_offers_to_install_shell_completion() -> None:
    text = CliRunner().invoke(cli.app, ["--help"]).output
    assert "--install-completion" in text and "--show-completion" in text


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Replaces the evaluation by the paper's protocol; has the arguments of each call."""
    calls = []

    def evaluate(data: Path, out: Path, **arguments: object) -> dict:
        calls.append({"data": data, "out": out, **arguments})
        out.mkdir()
        (out / "report.md").write_text("# Report\n")
        return {"seed": arguments["seed"]}

    pytest.importorskip("resemblyzer")
    monkeypatch.setattr("saic.evaluation.paper.evaluate", evaluate)
    monkeypatch.setattr("saic.evaluation.evaluators.embedders.Resemblyzer", lambda: "resemblyzer")
    fake = SimpleNamespace(from_pretrained=lambda weights, *, device: ("pipeline", weights, device))
    monkeypatch.setattr("saic.pipeline.Pipeline", fake)
    return calls


def test_evaluate_paper_measures_identity_and_prints_the_report(paper: list[dict], tmp_path: Path) -> None:
    arguments = ["evaluate-paper", "--data", "corpus", "--out", str(tmp_path / "out"), "--seed", "3", "--weights", "w"]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0 and done.stdout == "# Report\n\n" and done.stderr == ""
    (call,) = paper
    assert call["pipeline"] == ("pipeline", "w", "cpu") and call["embedder"] == "resemblyzer"
    assert (call["data"], call["seed"]) == (Path("corpus"), 3)
    assert call["command"] == "saic evaluate-paper --data DATA --seed 3"


def test_protocol_paper_is_a_deprecated_alias_of_evaluate_paper(paper: list[dict], tmp_path: Path) -> None:
    options = ["--data", "corpus", "--seed", "3", "--json"]
    for name, arguments in (("old", ["evaluate", "--protocol", "paper"]), ("new", ["evaluate-paper"])):
        done = CliRunner().invoke(cli.app, [*arguments, *options, "--out", str(tmp_path / name)])
        assert done.exit_code == 0 and json.loads(done.stdout) == {"seed": 3}
        assert done.stderr.count("\n") == (name == "old") and ("saic evaluate-paper" in done.stderr) == (name == "old")
    old, new = ({key: value for key, value in call.items() if key not in ("out", "progress")} for call in paper)
    assert old == new
    assert "--protocol" not in CliRunner().invoke(cli.app, ["evaluate", "--help"]).output


@pytest.mark.parametrize("option", [["--quick"], ["--split", "dev"], ["--attackers", "all"], ["--asr", "none"]])
def test_protocol_paper_refuses_options_of_the_full_evaluation(option: list[str], tmp_path: Path) -> None:
    arguments = ["evaluate", "--protocol", "paper", "--data", "corpus", "--out", str(tmp_path), *option]
    done = CliRunner().invoke(cli.app, arguments)
    assert isinstance(done.exception, UsageError) and "identity alone" in str(done.exception)


@pytest.mark.parametrize("command", ["evaluate", "evaluate-paper"])
def test_existing_report_is_refused_without_force(command: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").touch()
    done = CliRunner().invoke(cli.app, [command, "--data", "corpus", "--out", str(tmp_path)])
    assert isinstance(done.exception, UsageError) and "--force" in str(done.exception)
