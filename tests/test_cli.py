"""The command line: start-up time, help, version, shell completion, deprecated options."""

import errno
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import typer
from typer.testing import CliRunner

from saic import __version__, audio, cli, weights
from saic.cli import options
from saic.cli.evaluate import Measure
from saic.errors import UsageError
from saic.pipeline import SpooledConversion
from tests.conftest import voice
from tests.fakes import spooled

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "assets" / "examples"
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
        "key",
        "plot",
    ]
    for name, command in {**COMMANDS, **COMMANDS["key"].commands, **COMMANDS["plot"].commands}.items():
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

    def evaluate(data: list[Path], out: Path, **arguments: object) -> dict:
        calls.append({"data": data, "out": out, **arguments})
        out.mkdir()
        (out / "report.md").write_text("# Report\n")
        return {"seed": arguments["seed"]}

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
    assert (call["data"], call["split"], call["seed"]) == ([Path("corpus")], None, 3)
    assert call["command"] == "saic evaluate-paper --data DATA --seed 3"


def test_evaluate_paper_takes_several_corpora_and_a_split(paper: list[dict], tmp_path: Path) -> None:
    arguments = ["evaluate-paper", "--data", "a", "--data", "b", "--split", "train", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    assert (paper[0]["data"], paper[0]["split"]) == ([Path("a"), Path("b")], "train")
    assert paper[0]["command"] == "saic evaluate-paper --data DATA --data DATA --split train --seed 0"


def test_long_stage_in_a_log_has_a_line_a_minute_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = [0.0]
    monkeypatch.setattr("saic.cli.options.time.monotonic", lambda: now_s[0])
    with options.stage_bars(False) as progress:
        for stage, steps, step_s in (("enroll", 5, 1.0), ("convert", 40, 20.0), ("embed", 2, 1.0)):
            for done in range(1, steps + 1):
                now_s[0] += step_s
                progress(stage, done, steps)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "convert: 4 of 40, 12 min left" and len(lines) == 13
    with options.stage_bars(True) as progress:
        now_s[0] += 100
        progress("embed", 1, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["evaluate", "evaluate-paper"])
def test_existing_report_is_refused_without_force(command: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").touch()
    done = CliRunner().invoke(cli.app, [command, "--data", "corpus", "--out", str(tmp_path)])
    assert isinstance(done.exception, UsageError) and "--force" in str(done.exception)


@pytest.mark.parametrize("command", ["evaluate", "evaluate-paper"])
@pytest.mark.parametrize("out", ["/proc/none/report", "file", "n" * 300])
def test_report_folder_that_cannot_be_made_is_refused_before_the_work(
    paper: list[dict], command: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = CliRunner().invoke(cli.app, [command, "--data", "corpus", "--out", out])
    assert isinstance(done.exception, UsageError) and "cannot be" in str(done.exception)
    assert paper == [] and os.listdir(tmp_path) == ["file"]


@pytest.fixture
def evaluation(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Replaces the evaluation, its evaluators and its attackers; has the arguments of each call."""
    calls = []

    def evaluate(data: list[Path], split: str, out: Path, **arguments: object) -> dict:
        calls.append({"data": data, "split": split, **arguments})
        out.mkdir()
        (out / "report.md").write_text("# Report\n")
        return {"schema": 4}

    monkeypatch.setattr("saic.evaluation.run.evaluate", evaluate)
    load = "saic.evaluation.evaluators.evaluators.Evaluators.load"
    monkeypatch.setattr(load, lambda asr, *, moonshine, **_: f"asr {asr}, moonshine {moonshine}")
    monkeypatch.setattr("saic.evaluation.linkage.attackers.load", lambda names, pipeline: list(names))
    fake = SimpleNamespace(from_pretrained=lambda weights, *, device: "pipeline")
    monkeypatch.setattr("saic.pipeline.Pipeline", fake)
    return calls


def test_evaluate_measures_everything_on_several_corpora(evaluation: list[dict], tmp_path: Path) -> None:
    from saic.evaluation.linkage.attackers import NAMES
    from saic.evaluation.run import MEASURES

    assert tuple(Measure) == MEASURES
    arguments = ["evaluate", "--data", "a", "--data", "b", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0 and done.stdout == "# Report\n\n"
    (call,) = evaluation
    assert call["data"] == [Path("a"), Path("b")] and call["split"] == "test" and call["only"] == ()
    assert call["evaluators"] == "asr None, moonshine True" and call["evidence"] == list(NAMES)
    assert call["attacked"] == ()  # those that the weights have
    assert call["command"] == "saic evaluate --data DATA --data DATA --split test --seed 0"


def test_evaluate_only_privacy_loads_no_recognizer(evaluation: list[dict], tmp_path: Path) -> None:
    options = ["--only", "privacy", "--system", "mcadams", "--attacker", "level", "--split", "attack"]
    done = CliRunner().invoke(cli.app, ["evaluate", "--data", "a", "--out", str(tmp_path / "out"), *options])
    assert done.exit_code == 0 and done.stderr == ""
    (call,) = evaluation
    assert call["only"] == ["privacy"] and call["attacked"] == ["mcadams"] and call["evidence"] == ["level"]
    assert call["evaluators"].asr is None and not call["evaluators"].embedders
    assert call["command"] == (
        "saic evaluate --data DATA --split attack --seed 0 --only privacy --system mcadams --attacker level"
    )


@pytest.mark.parametrize(
    ("options", "loaded"),
    [
        (["--quick"], "asr none, moonshine False"),
        (["--only", "identity"], "asr none, moonshine False"),
        (["--quick", "--asr", "a"], "asr a, moonshine False"),
        (["--only", "words", "--asr", "none"], "asr none, moonshine True"),
        (["--only", "robustness", "--asr", "a"], "asr a, moonshine True"),
    ],
)
def test_evaluate_loads_recognizers_only_for_words(
    evaluation: list[dict], tmp_path: Path, options: list[str], loaded: str
) -> None:
    done = CliRunner().invoke(cli.app, ["evaluate", "--data", "a", "--out", str(tmp_path / "out"), *options])
    assert done.exit_code == 0 and evaluation[0]["evaluators"] == loaded


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        (["--only", "words", "--system", "convert"], "--only privacy"),
        (["--only", "identity", "--attacker", "level"], "--only privacy"),
        (["--quick", "--only", "robustness", "--only", "disentanglement"], "other measures"),
        (["--system", "chimera"], "SAIC_CHIMERA_PYTHON"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_work(
    evaluation: list[dict], tmp_path: Path, options: list[str], allowed: str
) -> None:
    done = CliRunner().invoke(cli.app, ["evaluate", "--data", "a", "--out", str(tmp_path / "out"), *options])
    assert isinstance(done.exception, UsageError) and allowed in str(done.exception) and evaluation == []


def test_unknown_system_is_refused_before_the_work(evaluation: list[dict], tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["evaluate", "--data", "a", "--out", str(tmp_path / "out"), "--system", "x"])
    assert isinstance(done.exception, UsageError) and "'x'" in str(done.exception) and evaluation == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/secret.flac"), "No space left"),
        (sqlite3.DatabaseError("file is not a database"), "not a database"),
    ],
)
def test_disk_that_fails_during_an_evaluation_is_a_usage_error(
    evaluation: list[dict], error: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("saic.evaluation.run.evaluate", fail)
    done = CliRunner().invoke(cli.app, ["evaluate", "--data", "a", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UsageError) and message in str(done.exception)
    assert "secret" not in str(done.exception)


def test_hint_on_missing_packages_names_what_a_source_tree_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "saic.evaluation.run", None)
    done = CliRunner().invoke(cli.app, ["evaluate", "--data", "corpus", "--out", "report"])
    assert isinstance(done.exception, UsageError) and "source tree: pip install '.[eval]'" in str(done.exception)


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the model by one that returns the source, with notes; has the names of the stages of work."""
    stages = []

    def load(weights: str | None, *, device: str) -> SimpleNamespace:
        stages.append("load")
        return SimpleNamespace(convert_spooled=convert)

    def convert(source: Path, target: list[Path], **_: object) -> SpooledConversion:
        stages.append("convert")
        notes = ("Half is missing.", "Half is missing.", "Left is taken.")
        return spooled(audio.load(source), notes, target_notes=("Right is missing.",))

    monkeypatch.setattr("saic.pipeline.Pipeline", SimpleNamespace(from_pretrained=load))
    return stages


@pytest.mark.parametrize(("suffix", "rate_hz"), [("wav", 16_000), ("flac", 48_000), ("mp3", 44_100), ("opus", 48_000)])
def test_convert_writes_the_format_of_the_suffix_and_tells_notes(
    conversions: list[str], suffix: str, rate_hz: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    audio.save(tmp_path / "in.wav", voice(120, 1.5))
    output = tmp_path / "new" / f"out.{suffix}"
    audio.save(tmp_path / "target.wav", voice(220, 1.5))
    arguments = ["convert", "in.wav", "--target", "target.wav", "-o", str(output), "--rate", str(rate_hz)]
    done = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout) == {
        "output": str(output),
        "profile": "balanced",
        "duration_s": 1.5,
        "rate_hz": rate_hz,
        "notes": ["Half is missing.", "Left is taken."],
        "target_notes": ["Right is missing."],
    }
    told = ["Note: Half is missing.", "Note: Left is taken.", "Note on --target: Right is missing."]
    assert done.stderr.splitlines() == told
    info = sf.info(output)
    assert info.format == {"opus": "OGG"}.get(suffix, suffix.upper()) and info.samplerate == rate_hz
    assert info.duration == pytest.approx(1.5, abs=0.1)


def test_convert_tells_that_a_copy_of_the_recording_is_a_target(
    conversions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    audio.save("in.wav", voice(120, 1.5))
    audio.save("other.wav", voice(220, 1.5))
    shutil.copy("in.wav", "copy.wav")
    arguments = ["convert", "in.wav", "--target", "other.wav", "--target", "copy.wav", "-o", "out.wav", "--json"]
    done = CliRunner().invoke(cli.app, arguments)
    note = json.loads(done.stdout)["notes"][0]
    assert "is a --target too" in note and done.stderr.startswith(f"Note: {note}\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "out.txt"], "suffix"),
        (["-o", "out"], "suffix"),
        (["-o", "out.mp3", "--rate", "96000"], "48000"),
        (["-o", "out.opus", "--rate", "44100"], "48000"),
        (["-o", "/proc/none/out.wav"], "cannot be made"),
        (["-o", "in.wav/out.wav"], "cannot be made"),
        (["-o", "n" * 300 + ".wav"], "name too long"),
        (["-o", "in.wav"], "--force"),
        (["-o", "in.wav", "--force"], "would replace"),
        (["-o", "linked.wav", "--force"], "would replace"),
        (["-o", "other.wav", "--target", "folder.wav/../other.wav", "--force"], "would replace"),
        (["-o", "folder.wav", "--force"], "folder"),
    ],
)
def test_convert_refuses_an_output_that_cannot_be_before_the_work(
    conversions: list[str], arguments: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    audio.save("in.wav", voice(120, 1.5))
    os.link("in.wav", "linked.wav")
    (tmp_path / "folder.wav").mkdir()
    done = CliRunner().invoke(cli.app, ["convert", "in.wav", "--target", "t", *arguments])
    assert isinstance(done.exception, UsageError) and reason in str(done.exception)
    assert conversions == [] and sorted(os.listdir(tmp_path)) == ["folder.wav", "in.wav", "linked.wav"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "in.wav", "--target", "t", "-o", "out.wav", "--rate", "0"],
        ["convert", "in.wav", "--target", "t", "-o", "out.wav", "--rate", "-8000"],
        ["plot", "mel", "in.wav", "-o", "out.png", "--seed", "-1"],
        ["plot", "map", "in.wav", "--target", "t", "-o", "out.png", "--seed", str(2**32)],
        ["evaluate", "--data", "corpus", "--out", "out", "--seed", "-1"],
    ],
)
def test_number_out_of_range_is_a_usage_error(conversions: list[str], arguments: list[str]) -> None:
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 2 and conversions == [] and f"Invalid value for '{arguments[-2]}'" in done.output


# Anonymizes in.wav to each name, as text and as JSON, with each encoding of stdout; prints a zero byte after each.
ANONYMIZE_TO_NAMES = """
import itertools, os, runpy, sys

encodings, names, errors = sys.argv[1].split(), sys.argv[2:], sys.stdout.errors
for encoding, name, options in itertools.product(encodings, names, ([], ["--json"])):
    sys.stdout.reconfigure(encoding=encoding, errors=errors)
    sys.argv = ["saic", "anonymize", "in.wav", "--method", "mcadams", "--force", "-o", name, *options]
    try:
        runpy.run_module("saic", run_name="__main__")
    except SystemExit as ended:
        assert not ended.code
    sys.stdout.flush()
    os.write(1, b"\\0")
"""


@pytest.mark.proof
@pytest.mark.parametrize(
    ("environment", "encodings"),
    [
        ({"PYTHONIOENCODING": "ascii"}, ["ascii", "utf-8"]),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ["ascii"]),  # that of file names too
    ],
)
def test_names_that_the_terminal_cannot_print_end_no_command(
    environment: dict[str, str], encodings: list[str], tmp_path: Path
) -> None:
    audio.save(tmp_path / "in.wav", voice(120, 1.5))
    names = ["M\u00fcller \u58f0.wav".encode(), b"caf\xe9.wav"]
    done = subprocess.run(
        [sys.executable, "-c", ANONYMIZE_TO_NAMES, " ".join(encodings), *names],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    *printed, rest = done.stdout.decode().split("\0")  # UTF-8, also where bytes of the name are not
    assert len(printed) == 4 * len(encodings) and rest == "" and all(".wav" in text for text in printed)
    for text in printed[1::2]:
        json.loads(text)["output"].encode()  # no surrogate, which other readers of JSON refuse
    assert sorted(os.listdir(os.fsencode(tmp_path))) == sorted([*names, b"in.wav"])


def test_names_in_tables_and_json_are_printed_without_markup_control_characters_and_surrogates(capsys) -> None:
    names = ["[/b]", "a\x1b]0;b", "caf\udce9", "\u58f0 \U0001f600", "\ud800"]
    options.show(False, {}, options.table([(name,) for name in names]))
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "[/b]",
        "a?]0;b",
        r"caf\xe9",
        "\u58f0 \U0001f600",
        r"\ud800",
    ]
    options.show(True, {"names": names, "caf\udce9": [{"name": ("\udcff", 1, None)}]}, "")
    assert json.loads(capsys.readouterr().out) == {
        "names": ["[/b]", "a\x1b]0;b", r"caf\xe9", "\u58f0 \U0001f600", r"\ud800"],
        r"caf\xe9": [{"name": [r"\xff", 1, None]}],
    }


# Refuses network access, and writing below the library and Python. At last, prints what was refused of the network, and
# whether the Hub's client was imported.
READ_ONLY = """
import json, os, sys

root, *read_only = sys.argv[1], sys.prefix, sys.argv[1]
refused = []


def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        refused.append(event)
        raise OSError(101, "Network is unreachable")
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    changes = event in ("os.mkdir", "os.rename", "os.remove") and arguments[-1] == -1  # else relative to a folder
    if (writes or changes) and not isinstance(arguments[0], int):
        path = os.path.abspath(os.fsdecode(arguments[0] or ""))
        if path.startswith(tuple(f"{folder}/" for folder in read_only)):
            raise OSError(30, "Read-only file system")


sys.addaudithook(guard)
from saic.cli import main

for command in sys.stdin.read().splitlines():
    sys.argv = ["saic", *command.split("\t")]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, command
print(json.dumps([refused, "huggingface_hub" in sys.modules]))
"""


def run_read_only(commands: list[list[str]], tmp_path: Path) -> tuple[list[dict[str, Any]], list[str], bool]:
    """Run commands in one process with a read-only home and library and without a network.

    Returns the JSON objects that they print, what they tried on the network, and whether they imported the Hub's
    client.
    """
    unset = {"XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "SAIC_CACHE", "PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(ROOT)],
        input="\n".join("\t".join([*command, "--json"]) for command in commands),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=kept | {"HOME": "/proc/nonexistent", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    *results, (tried, has_client) = map(json.loads, done.stdout.splitlines())
    return results, tried, has_client


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, str]:
    """Letter to the path of a voice's clip of 3 s."""
    paths = {name: str(tmp_path / "clips" / name / "1.wav") for name in "ad"}
    for name, path in paths.items():
        Path(path).parent.mkdir(parents=True)
        audio.save(path, audio.load(EXAMPLES / f"voice_{name}.flac")[: 3 * audio.SAMPLE_RATE])
    return paths


def test_commands_run_with_read_only_home_and_library_and_without_network(clips: dict[str, str], tmp_path) -> None:
    source, target = clips.values()
    key = str(tmp_path / "key")
    results, tried, has_client = run_read_only(
        [
            ["info"],
            ["info", "--weights", str(weights.resolve())],
            ["convert", source, "--target", target, "-o", str(tmp_path / "a.mp3")],
            ["anonymize", source, "-o", str(tmp_path / "b.opus")],
            ["anonymize", source, "-o", str(tmp_path / "c.wav"), "--method", "mcadams"],
            ["key", "new", key],
            ["anonymize", source, "-o", str(tmp_path / "e.wav"), "--key-file", key, "--subject", "a"],
            ["identify", source, "--enrol", f"a={source}", "--enrol", f"d={target}"],
            ["plot", "mel", source, "--target", target, "-o", str(tmp_path / "f.png")],
        ],
        tmp_path,
    )
    assert len(results) == 9 and results[7]["matches"][0]["name"] == "a"
    assert tried == [] and not has_client
    outputs = ["a.mp3", "b.opus", "c.wav", "clips", "e.wav", "f.png", "key"]
    assert sorted(path.name for path in tmp_path.iterdir()) == outputs  # no cache is left


@pytest.mark.proof
def test_evaluation_runs_with_read_only_home_and_library_and_without_network(tmp_path: Path) -> None:
    data = tmp_path / "clips"
    for path in EXAMPLES.glob("*.flac"):
        (data / path.stem).mkdir(parents=True)
        audio.save(data / path.stem / "1.wav", np.tile(audio.load(path), 2))  # a map needs eight seconds of speech
    results, _, _ = run_read_only(
        [
            ["plot", "map", str(data), "-o", str(tmp_path / "map.png")],
            ["evaluate", "--data", str(data), "--quick", "--only", "identity", "--out", str(tmp_path / "report")],
        ],
        tmp_path,
    )
    assert len(results) == 2 and list(results[1]["corpora"]) == ["clips"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "map.png", "report"]


def test_hash_of_info_is_on_one_line_for_a_program_and_whole_in_a_narrow_terminal(monkeypatch) -> None:
    whole = CliRunner().invoke(cli.app, ["info"], env={"COLUMNS": "60"}, catch_exceptions=False).stdout
    digest = weights.fingerprint(weights.resolve())
    assert any(digest in line for line in whole.splitlines())
    printed = io.StringIO()
    printed.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setenv("COLUMNS", "60")
    options.show(False, {}, options.table([("sha256", digest)]))
    assert digest in "".join(printed.getvalue().split()) and "\N{HORIZONTAL ELLIPSIS}" not in printed.getvalue()
