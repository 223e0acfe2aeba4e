"""The documents: commands run, links lead somewhere, figures are the report's, and the report is of these weights."""

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

import numpy as np
import pytest
import yaml

from benchmarks import documents
from saic import cli, weights
from saic.audio import decode
from saic.config import Config
from saic.evaluation import overview, report_parts
from saic.evaluation import report as reports
from saic.evaluation.linkage import report as privacy_reports

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPORT = ROOT / "benchmarks" / "evaluation" / "report.json"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def shell_commands(start: str) -> list[list[str]]:
    """The arguments of each command in the README's ``sh`` blocks that starts with ``start``."""
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(start)]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder where the relative paths of the documents work."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_commands_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, because a new one takes seconds to start; tests/test_stranger.py starts some."""
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert len(commands) >= 3
    for command in commands:
        arguments = shlex.split(command)
        assert arguments[0] == "saic"
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None), command
    assert (workspace / "anonymous.wav").is_file()


def test_readme_python_runs(workspace: Path) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), {})
    assert (workspace / "anonymous.wav").is_file() and "(80, " in printed.getvalue()


def test_readme_training_commands_have_their_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = [command[2:] for command in shell_commands("python -m train.")]
    assert {module for module, *_ in modules} == {"train.prepare", "train.release"}
    for module, *arguments in modules:
        monkeypatch.setattr(sys, "argv", [module, "--help"])
        monkeypatch.delitem(sys.modules, module, raising=False)  # another test may have imported it
        with pytest.raises(SystemExit):
            runpy.run_module(module, run_name="__main__")
        usage = capsys.readouterr().out
        assert all(option in usage for option in arguments if option.startswith("--")), module


def test_readme_evaluation_and_hub_commands_have_their_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [command[1:] for command in shell_commands("saic ")]
    expected = {"anonymize", "convert", "evaluate", "evaluate-paper", "push"}
    assert {command for command, *_ in commands} == expected
    for command, *arguments in commands:
        monkeypatch.setattr(sys, "argv", ["saic", command, "--help"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None)
        usage = capsys.readouterr().out
        assert all(option in usage for option in arguments if option.startswith("--")), command


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(markdown: str) -> dict[str, str]:
    """Anchor of each heading to the text below it, up to the next heading; lines of code are no headings."""
    found: dict[str, str] = {}
    heading, in_code = "", False
    for line in markdown.splitlines():
        in_code ^= line.startswith("```")
        if line.startswith("#") and not in_code:
            heading = anchor(line.lstrip("#").strip())
        found[heading] = f"{found.get(heading, '')}{line}\n"
    return found


def test_links_of_the_documents_lead_to_existing_files_and_headings() -> None:
    for document in ROOT.glob("*.md"):
        for path, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text(encoding="utf-8")):
            target = ROOT / path if path else document
            assert target.exists(), f"{document.name}: {path}"
            if heading:
                assert heading in sections(target.read_text(encoding="utf-8")), f"{document.name}: {path}#{heading}"


def test_readme_lists_the_formats_that_can_be_decoded() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"- Input: {decode.FORMATS_TEXT.removeprefix('Use ').removesuffix('.')}, any sample rate" in text


def test_architecture_names_every_package_and_every_module_of_the_model() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in (ROOT / "saic").glob("*.py"):
        assert path.name == "__init__.py" or path.name == "__main__.py" or f"saic/{path.name}" in text, path.name
    for path in (ROOT / "saic").glob("*/__init__.py"):
        assert f"saic/{path.parent.name}/" in text, path.parent.name
    for package in ("signal", "data", "model", "vocoder"):
        for path in (ROOT / "saic" / package).glob("[!_]*.py"):
            assert re.search(rf"\b{path.stem}\b", text), f"{package}/{path.name}"


def privacy_report() -> dict:
    """The report of the linkage evaluation."""
    return json.loads(REPORT.read_text(encoding="utf-8"))["privacy"]


@pytest.mark.parametrize("path", [REPORT, documents.LANGUAGES], ids=lambda path: path.parent.name)
def test_report_is_of_the_bundled_weights_and_report_md_is_that_of_report_json(path: Path) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["schema"] == reports.SCHEMA
    assert report["weights_sha256"] == weights.fingerprint(weights.resolve())
    assert (report["privacy"] or report)["weights_sha256"] == report["weights_sha256"]
    assert path.with_suffix(".md").read_text(encoding="utf-8") == reports.markdown(report)


@pytest.mark.parametrize("path", [REPORT, documents.LANGUAGES], ids=lambda path: path.parent.name)
def test_report_has_each_of_its_figures_and_no_other(path: Path) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    assert {path.name for path in (path.parent / "plots").glob("*.png")} == set(overview.file_names(report))


def test_tables_of_readme_and_model_card_are_those_of_the_report() -> None:
    report = REPORT.with_suffix(".md").read_text(encoding="utf-8")
    card, written = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8"), documents.tables(report)
    assert documents.readme(README, report) == README
    languages = documents.LANGUAGES.with_suffix(".md").read_text(encoding="utf-8")
    assert documents.model_card(card, report, languages) == card
    assert documents.cells(documents.tables(card)["Goals of version 1.0"]).keys() == documents.GOALS.keys()
    assert all(written[heading] in card for heading in written if heading.endswith("by corpus"))


def test_readme_shows_all_controls_all_corpora_and_the_worst_degradation() -> None:
    found = documents.TABLE.findall(documents.FIGURES.search(README)[0])
    shown = {table[2:].partition(" |")[0]: documents.cells(table) for table in found}
    assert shown.keys() == documents.README_TABLES.keys()
    assert {"`real`", "`copy_source`", "`replay_target`", "`mcadams`"} <= shown["System"].keys()
    assert next(iter(shown["Attacker"])) == "`fused`"
    assert {"`all`", "`librispeech`", "`commonvoice`", "`speechocean`"} <= shown["Corpus"].keys()
    report = documents.tables(REPORT.with_suffix(".md").read_text(encoding="utf-8"))
    wer = {row: cells["WER, %"] for row, cells in documents.cells(report["Degraded recordings: librispeech"]).items()}
    assert max(wer, key=lambda row: float(wer[row].split()[0])) in shown["Input"]
    assert all(len(row) <= 6 for table in shown.values() for row in table.values())


def test_readme_begins_with_the_strongest_attacker() -> None:
    figures = report_parts.estimates_of(privacy_report())["pseudonym"]["privacy"]
    eer = {length: f"{privacy_reports.strongest(figures, length)[1].value:.0f} %" for length in (5, 15, 28)}
    first = " ".join(README.partition("\n## ")[0].split())
    claim = f"has an EER of {eer[5]} with 5 s of speech on each side, {eer[15]} with 15 s and {eer[28]} with 28 s"
    assert (
        claim in first
        and "two of which train a network on converted speech" in first
        and "No patient's speech has been measured" in first
    )


def test_readme_gives_each_profile_its_strongest_attacker() -> None:
    systems = report_parts.estimates_of(privacy_report())
    text = " ".join(sections(README)["profiles"].split())
    for profile, system in (
        ("prosody-kept", "pseudonym_prosody_kept"),
        ("balanced", "pseudonym"),
        ("strict", "pseudonym_strict"),
    ):
        figures = systems[system]["privacy"]
        eers = [f"{privacy_reports.strongest(figures, length)[1].value:.0f}" for length in (5, 15, 28)]
        assert f"`{profile}` {eers[0]}, {eers[1]} and {eers[2]} %" in text


def test_readme_gives_each_corpus_the_strongest_attacker_that_the_report_has_for_balanced_and_strict() -> None:
    written = documents.tables(REPORT.with_suffix(".md").read_text(encoding="utf-8"))
    balanced, strict = (
        {
            (corpus.strip("`"), length): f"{float(cells[f'EER at {length} s, %'].split()[0]):.0f}"
            for corpus, cells in documents.cells(written[f"Strongest attacker on `{system}`, by corpus"]).items()
            for length in (15, 28)
            if cells[f"EER at {length} s, %"] != "-"
        }
        for system in ("pseudonym", "pseudonym_strict")
    )
    adults, children, commonvoice = "speechocean", "speechocean children", "commonvoice"
    sentence = " ".join(README.split())
    assert (
        f"{balanced[adults, 15]} % at 15 s and {balanced[adults, 28]} % at 28 s, in the profile `strict`"
        f" {strict[adults, 15]} and {strict[adults, 28]} %. The children have {balanced[children, 15]} and"
        f" {balanced[children, 28]} %, in `strict` {strict[children, 15]} and {strict[children, 28]} %; Common Voice"
        f" has {balanced[commonvoice, 15]} % at 15 s, in `strict` {strict[commonvoice, 15]} %." in sentence
    )


def test_readme_gives_the_strongest_attacker_on_other_anonymizers() -> None:
    systems = report_parts.estimates_of(privacy_report())
    text = " ".join(README.split("**Other anonymizers**", 1)[1].split("\n- **", 1)[0].split())
    for system, sentence in zip(("mcadams", "chimera"), text.split("Chimera"), strict=True):
        figures = systems[system]["privacy"]
        eers = [f"{privacy_reports.strongest(figures, length)[1].value:.0f}" for length in (5, 15, 28)]
        assert f"has {eers[0]}, {eers[1]} and {eers[2]} %" in sentence
        assert f"named in {privacy_reports.best_top1(figures, 15).value:.0f} % of cases at 15 s" in text


def test_readme_quotes_the_shares_of_fig5() -> None:
    text = " ".join(README.split("Fig. 5 shows", 1)[1].split("\n\n", 1)[0].split())
    with np.load(REPORT.parent / "plots" / "librispeech" / "fig5.npz") as maps:
        assert f"{len(maps['speaker unseen'])} speakers" in text
        assert f"the {len(maps['speaker gallery'])} voices of the gallery" in text
        share, chance = maps["speaker same_voice"], maps["speaker chance"]
        assert f"{share:.0%} of cases (chance {chance:.0%})".replace("%", " %") in text
        assert str(maps["weights_sha256"]) == json.loads(REPORT.read_text(encoding="utf-8"))["weights_sha256"]


def test_bundled_weights_are_small_and_their_config_loads() -> None:
    folder = weights.resolve()
    assert (folder / "model.safetensors").stat().st_size < 16e6
    assert sum(path.stat().st_size for path in folder.iterdir()) < 25e6
    config, _ = weights.load(folder)
    assert isinstance(config, Config)


def test_configs_in_train_are_valid() -> None:
    for path in (ROOT / "train" / "configs").rglob("*.yaml"):
        Config.from_yaml(path)


def test_configs_in_train_state_only_what_differs_from_the_defaults() -> None:
    def equal(stated: dict, defaults: dict, prefix: str = "") -> list[str]:
        found = []
        for key, value in stated.items():
            default = defaults[key]
            if isinstance(value, dict) and isinstance(default, dict) and value:
                found += equal(value, default, f"{prefix}{key}.")
            elif value == default:
                found.append(prefix + key)
        return found

    for path in (ROOT / "train" / "configs").rglob("*.yaml"):
        assert equal(yaml.safe_load(path.read_text(encoding="utf-8")), Config().to_dict()) == [], path.name


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


def test_no_published_file_contains_a_home_path() -> None:
    """No path of a user's home folder in a published file."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        path = ROOT / name
        read = {".py", ".md", ".toml", ".yaml", ".txt", ".json", ".ipynb"}
        if path.suffix in read and name != "tests/test_documents.py":
            assert not re.search(r"(?<![\w.])/(home|root|Users)/", path.read_text(encoding="utf-8")), name


def test_readme_begins_with_a_way_in_for_each_reader() -> None:
    """Three readers, each with links to sections that hold something to do and a link to more."""
    first = README.partition("\n## ")[0]
    found = sections(README)
    for reader, does in {
        "Clinicians": "make app",
        "Reviewers": "benchmarks/evaluation",
        "Engineers": "saic convert",
    }.items():
        (entry,) = re.findall(rf"^- {reader}: (.*?)(?=^- |^$)", first, re.M | re.S)
        linked = "".join(found[heading] for heading in re.findall(r"\]\(#([^)]+)\)", entry))
        assert does in linked and re.search(r"\]\([^#)]", entry + linked)


def test_git_changes_no_line_ends_of_files_with_hashes() -> None:
    """Git for Windows changed those of config.json, and every command refused the weights."""
    names = [f"saic/weights/default/{name}" for name in weights.listed(weights.resolve())]
    command = ["git", "check-attr", "eol", "binary", "--", *names]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    safe = {line.split(": ")[0] for line in printed if line.endswith((": eol: lf", ": binary: set"))}
    assert safe == set(names)
