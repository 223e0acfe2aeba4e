"""``saic evaluate``, ``evaluate-privacy`` and ``evaluate-paper``: figures of a set of weights, as a report."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from saic import files
from saic.cli.options import DeviceOption, ForceOption, JsonOption, WeightsOption, progress_bar, show
from saic.errors import UsageError, missing_package

OutOption = Annotated[Path, typer.Option("--out", help="Folder for report.json and report.md.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of trials and confidence intervals.")]


class Attackers(StrEnum):
    """Attackers of :func:`evaluate`: ignorant and lazy-informed; "all": semi-informed too."""

    BASIC = "basic"
    ALL = "all"


class Protocol(StrEnum):
    """What :func:`evaluate` measures.

    "paper" is deprecated: :func:`evaluate_paper` is a command of its own.
    """

    FULL = "full"
    PAPER = "paper"


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Manifest, or a folder of speaker/clip audio.")],
    out: OutOption,
    protocol: Annotated[
        Protocol, typer.Option("--protocol", hidden=True, help="Deprecated: use saic evaluate-paper.")
    ] = Protocol.FULL,
    split: Annotated[str, typer.Option("--split", help="Split of the manifest; a plain folder is 'test'.")] = "test",
    quick: Annotated[
        bool, typer.Option("--quick", help="Test run: 12 speakers, without WER, DNSMOS, probes and plots.")
    ] = False,
    attackers: Annotated[
        Attackers,
        typer.Option(
            "--attackers", help="all: also the semi-informed one, trained on anonymized speech of 'train'; slow."
        ),
    ] = Attackers.BASIC,
    asr: Annotated[
        str | None,
        typer.Option(
            "--asr",
            help="Speech recognizer: a faster-whisper folder or ORG/NAME@REVISION; 'none' skips WER and CER.",
            show_default="Whisper base, fetched from the Hugging Face Hub once",
        ),
    ] = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure identity, privacy, utility and disentanglement.

    Identity is measured as in section 4.2 of the paper. The report also has the figures of
    controls.
    """
    if protocol is Protocol.PAPER:
        if split != "test" or quick or attackers is not Attackers.BASIC or asr:
            raise UsageError(
                "The paper's protocol measures identity alone: leave out --split, --quick, --attackers, --asr."
            )
        print("--protocol paper is deprecated: use saic evaluate-paper.", file=sys.stderr)
        evaluate_paper(data, out, seed, weights, device, force, as_json)
        return
    _require_free(out, force)
    with _missing_packages_explained():
        from saic.evaluation.evaluators.evaluators import NO_ASR, Evaluators
        from saic.evaluation.run import evaluate as run_evaluation
    from saic.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    with _stage_bars(as_json) as progress:
        report = run_evaluation(
            data,
            split,
            out,
            pipeline=pipeline,
            evaluators=Evaluators.load(NO_ASR if quick and asr is None else asr, dnsmos=not quick, device=device),
            attackers=attackers.value,
            seed=seed,
            quick=quick,
            progress=progress,
            command=_published_command(split, seed, attackers, quick, asr),
        )
    show(as_json, report, (out / "report.md").read_text(encoding="utf-8"))


def evaluate_privacy(
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Manifest, or folder with manifest.jsonl; repeat it for each corpus."),
    ],
    out: OutOption,
    split: Annotated[
        str, typer.Option("--split", help="Split to attack: 'attack' to choose between measures, 'test' to report.")
    ] = "attack",
    system: Annotated[
        list[str] | None,
        typer.Option("--system", help="System to attack; repeat it.", show_default="copy_source, pseudonym, convert"),
    ] = None,
    attacker: Annotated[
        list[str] | None,
        typer.Option("--attacker", help="What attackers measure; repeat it.", show_default="everything"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Test run: few training speakers, no trained networks, 5 and 15 s.")
    ] = False,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure how well attackers link speech to its speaker.

    They use everything in a file: the voice, level, F0, energy, timing, noise floor.

    The attackers are trained on converted speech of the splits 'train' and 'attack'. The headline
    is the lowest EER of all attackers at 15 s. It takes half an hour per system; an interrupted run
    goes on.
    """
    _require_free(out, force, "privacy.json")
    with _missing_packages_explained():
        from saic.evaluation.linkage import attackers
        from saic.evaluation.linkage import report as privacy_report
        from saic.evaluation.linkage.run import evaluate as run_attacks
    from saic.evaluation.systems import SYSTEMS
    from saic.pipeline import Pipeline

    systems = system or ["copy_source", "pseudonym", "convert"]
    for name in systems:
        if name not in SYSTEMS:
            raise UsageError(f"There is no system {name!r}. Systems: {', '.join(SYSTEMS)}.")
    pipeline = Pipeline.from_pretrained(weights, device=device)
    names = attacker or (attackers.QUICK_NAMES if quick else attackers.NAMES)
    with _missing_packages_explained():
        evidence = attackers.load(names, pipeline)
    command = f"saic evaluate-privacy{' --data DATA' * len(data)} --split {split} --seed {seed}" + " --quick" * quick
    for option, given in (("system", system), ("attacker", attacker)):
        command += "".join(f" --{option} {name}" for name in given or ())
    with _stage_bars(as_json) as progress:
        report = run_attacks(
            data,
            split,
            out,
            pipeline=pipeline,
            evidence=evidence,
            systems=systems,
            seed=seed,
            quick=quick,
            progress=progress,
            command=command,
        )
    show(as_json, report, privacy_report.markdown(report))


def evaluate_paper(
    data: Annotated[
        Path, typer.Option("--data", help="VoxCeleb1, or data with every speaker in the splits 'train' and 'test'.")
    ],
    out: OutOption,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure identity alone, by the paper's protocol (4.2)."""
    _require_free(out, force)
    with _missing_packages_explained():
        from saic.evaluation import paper
        from saic.evaluation.evaluators.embedders import Resemblyzer
    from saic.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    with _stage_bars(as_json) as progress:
        report = paper.evaluate(
            data,
            out,
            pipeline=pipeline,
            embedder=Resemblyzer(),
            seed=seed,
            progress=progress,
            command=f"saic evaluate-paper --data DATA --seed {seed}",
        )
    show(as_json, report, (out / "report.md").read_text(encoding="utf-8"))


def _require_free(out: Path, force: bool, name: str = "report.json") -> None:
    if os.path.exists(out / name) and not force:
        raise UsageError("The folder holds a report. Add --force to replace it, or name another.")
    files.require_writable([out / name])


@contextmanager
def _missing_packages_explained() -> Iterator[None]:
    """Turn an ImportError into a UsageError that says what to install."""
    try:
        yield
    except ImportError:
        raise missing_package("The evaluation needs more packages.", "eval") from None


@contextmanager
def _stage_bars(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback (stage, steps done, steps in all) that draws one bar per stage."""
    with progress_bar(quiet) as progress:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        yield update


def _published_command(split: str, seed: int, attackers: Attackers, quick: bool, asr: str | None) -> str:
    """The command line as the report gives it.

    Reports are published, so folders of this machine are left out.
    """
    command = f"saic evaluate --data DATA --split {split} --seed {seed} --attackers {attackers}"
    recognizer = "" if asr is None else f" --asr {'FOLDER' if Path(asr).is_dir() else asr}"
    return command + quick * " --quick" + recognizer
