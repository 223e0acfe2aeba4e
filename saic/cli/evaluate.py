"""``saic evaluate`` and ``evaluate-paper``: figures of a set of weights, as a report."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from saic import files
from saic.cli.options import MAX_SEED, DeviceOption, ForceOption, JsonOption, WeightsOption, show, stage_bars
from saic.errors import UsageError, missing_package

OutOption = Annotated[Path, typer.Option("--out", help="Folder for report.json and report.md.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of trials and confidence intervals.")
]


class Measure(StrEnum):
    """What :func:`evaluate` measures, as :data:`saic.evaluation.run.MEASURES`."""

    PRIVACY = "privacy"
    IDENTITY = "identity"
    WORDS = "words"
    DISENTANGLEMENT = "disentanglement"
    ROBUSTNESS = "robustness"


def evaluate(
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Manifest, or a folder of speaker/clip audio; repeat it for each corpus."),
    ],
    out: OutOption,
    split: Annotated[str, typer.Option("--split", help="Split of the manifest; a plain folder is 'test'.")] = "test",
    only: Annotated[
        list[Measure] | None,
        typer.Option("--only", help="Measure this alone; repeat it.", show_default="everything"),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Test run: 12 speakers, 20 for the privacy of pseudonyms; no WER, MOS, probes and trained networks.",
        ),
    ] = False,
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            help="System for privacy, beside the controls real and copy_source; repeat it.",
            show_default="pseudonyms of each profile and of a known voice, convert, mcadams",
        ),
    ] = None,
    attacker: Annotated[
        list[str] | None,
        typer.Option("--attacker", help="What attackers measure; repeat it.", show_default="everything"),
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option(
            "--asr",
            help="Whisper: a faster-whisper folder or ORG/NAME@REVISION; 'none' judges words by Moonshine alone.",
            show_default="Whisper base, fetched from the Hugging Face Hub once",
        ),
    ] = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure privacy, identity, words and disentanglement.

    Privacy is the lowest equal error rate (EER) of many attackers, who use everything in a file:
    the voice, level, F0, energy, timing, noise floor. They are trained on converted speech of the
    splits 'train' and 'attack' of all corpora. It takes at most an hour per system on two cores, once
    its conversions are cached; the bar of each stage shows its time. An interrupted run goes on.
    Without these splits the rest is measured.

    Identity is measured as in section 4.2 of the paper. The report also has the figures of
    controls.
    """
    _require_free(out, force)
    with _missing_packages_explained():
        from saic.evaluation.evaluators.evaluators import Evaluators
        from saic.evaluation.evaluators.whisper import NO_ASR
        from saic.evaluation.external import require_environment
        from saic.evaluation.linkage import attackers as linkage_attackers
        from saic.evaluation.run import evaluate as run_evaluation
        from saic.evaluation.systems import SYSTEMS
    from saic.pipeline import Pipeline

    for name in system or ():
        if name not in SYSTEMS:
            raise UsageError(f"There is no system {name!r}. Systems: {', '.join(SYSTEMS)}.")
        if SYSTEMS[name].is_external:
            require_environment()
    chosen = set(only or Measure)
    needs_asr = bool(chosen & {Measure.WORDS, Measure.ROBUSTNESS})
    if (system or attacker) and Measure.PRIVACY not in chosen:
        raise UsageError("--system and --attacker are for privacy: leave them out, or add --only privacy.")
    if quick and chosen <= {Measure.DISENTANGLEMENT, Measure.ROBUSTNESS}:
        raise UsageError("--quick measures neither disentanglement nor robustness. Name other measures, too.")
    pipeline = Pipeline.from_pretrained(weights, device=device)
    with _missing_packages_explained():
        names = attacker or (linkage_attackers.QUICK_NAMES if quick else linkage_attackers.NAMES)
        evidence = linkage_attackers.load(names, pipeline) if Measure.PRIVACY in chosen else []
    evaluators = Evaluators([])
    if chosen - {Measure.PRIVACY, Measure.DISENTANGLEMENT}:
        evaluators = Evaluators.load(
            asr if needs_asr and not (quick and asr is None) else NO_ASR,
            moonshine=needs_asr and not quick,
            quality=Measure.WORDS in chosen and not quick,
            device=device,
        )
    with stage_bars(as_json) as progress, _disk_errors_explained():
        report = run_evaluation(
            data,
            split,
            out,
            pipeline=pipeline,
            evaluators=evaluators,
            evidence=evidence,
            only=only or (),
            attacked=system or (),
            seed=seed,
            quick=quick,
            progress=progress,
            command=_published_command(len(data), split, seed, only, system, attacker, quick, asr),
        )
    show(as_json, report, (out / "report.md").read_text(encoding="utf-8"))


def evaluate_paper(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="VoxCeleb1, or speakers in 'train' and 'test'; with --split, any data. Repeat it for each corpus.",
        ),
    ],
    out: OutOption,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="Split whose speakers with 8 s are enrolled by one part of their audio and tested on others.",
            show_default="enrollment is of 'train', trials are of 'test'",
        ),
    ] = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure identity alone, by the paper's protocol (4.2).

    Each speaker is converted to one other and looked for among all. Several corpora make one gallery;
    their speakers are kept apart. Each conversion is cached: an interrupted run goes on.
    """
    _require_free(out, force)
    with _missing_packages_explained():
        from saic.evaluation import paper
        from saic.evaluation.evaluators.embedders import Resemblyzer
    from saic.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    of_split = "" if split is None else f" --split {split}"
    with stage_bars(as_json) as progress, _disk_errors_explained():
        report = paper.evaluate(
            data,
            out,
            split=split,
            pipeline=pipeline,
            embedder=Resemblyzer(),
            seed=seed,
            progress=progress,
            command=f"saic evaluate-paper{' --data DATA' * len(data)}{of_split} --seed {seed}",
        )
    show(as_json, report, (out / "report.md").read_text(encoding="utf-8"))


def _require_free(out: Path, force: bool) -> None:
    if os.path.exists(out / "report.json") and not force:
        raise UsageError("The folder holds a report. Add --force to replace it, or name another.")
    files.require_writable([out / "report.json"])


@contextmanager
def _missing_packages_explained() -> Iterator[None]:
    """Turn an ImportError into a UsageError that says what to install."""
    try:
        yield
    except ImportError:
        raise missing_package("The evaluation needs more packages.", "eval") from None


@contextmanager
def _disk_errors_explained() -> Iterator[None]:
    """Turn an error of the disk, such as a full one, into a UsageError without a file name."""
    import sqlite3

    try:
        yield
    except OSError as error:
        raise files.as_usage_error(error, "A file of the evaluation cannot be read or written") from None
    except sqlite3.Error as error:
        raise UsageError(
            f"The measurements in the folder .cache of --out cannot be read or written: {error}. Free space on the"
            " disk, or delete that folder."
        ) from None


def _published_command(
    n_corpora: int,
    split: str,
    seed: int,
    only: list[Measure] | None,
    system: list[str] | None,
    attacker: list[str] | None,
    quick: bool,
    asr: str | None,
) -> str:
    """The command line as the report gives it.

    Reports are published, so folders of this machine are left out.
    """
    command = f"saic evaluate{' --data DATA' * n_corpora} --split {split} --seed {seed}"
    for option, given in (("only", only), ("system", system), ("attacker", attacker)):
        command += "".join(f" --{option} {name}" for name in given or ())
    recognizer = "" if asr is None else f" --asr {'FOLDER' if Path(asr).is_dir() else asr}"
    return command + quick * " --quick" + recognizer
