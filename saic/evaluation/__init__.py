"""Evaluation: how well a voice becomes another one, beside controls that say what the figures are worth.

================  ==========================================================
``trials``        which samples play which part, who is converted to whom
``corpus``        the audio of those parts
``codec``         the MP3 round trip that all audio passes
``systems``       what is measured: the model, and controls
``embedders``     the judge
``identity``      the measure: whose voice does it sound like?
``metrics``       figures with intervals, from scores
``report``        report.json and report.md
================  ==========================================================
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from saic import manifest
from saic.evaluation import identity, report
from saic.evaluation.corpus import Corpus, Progress
from saic.evaluation.embedders import Resemblyzer
from saic.evaluation.systems import Systems


def evaluate(
    manifest_or_folder: str | os.PathLike,
    split: str,
    out: str | os.PathLike,
    *,
    pipeline,
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Evaluate a pipeline on a split and write ``report.json`` and ``report.md`` into ``out``.

    Conversions are kept in ``out/.cache``: a run that broke off goes on where it was.

    Parameters
    ----------
    manifest_or_folder
        See :func:`saic.manifest.read`.
    split
        Split to evaluate on.
    out
        Folder of the report. A report that is there is replaced.
    pipeline
        A :class:`saic.pipeline.Pipeline`: its ``convert``, ``resynthesize`` and ``info`` are used.
    seed
        Seed of trials and intervals.
    quick
        12 speakers and two targets each, to see that all runs.
    progress
        Called with the stage's name, how many of its steps are done, and how many there are.
    command
        The command line, for the report.

    Returns
    -------
    The report, see :mod:`saic.evaluation.report`.

    Raises
    ------
    SaicError
        Data that can't be used, Resemblyzer missing, or a control out of range (then there is no report).
    """
    progress = progress or (lambda stage, done, total: None)
    embedder = Resemblyzer()  # first, so that a missing package is told at once
    embedder.warm_up()
    clips = manifest.read(manifest_or_folder, [split])
    corpus = Corpus(clips, seed=seed, quick=quick, progress=progress)
    systems = Systems(pipeline, corpus, Path(out) / ".cache", seed=seed)
    measured = identity.measure(corpus, systems, embedder.embed, seed=seed, progress=progress)
    result = report.build(
        corpus,
        {system: {"identity": leaves} for system, leaves in measured.items()},
        command=command,
        seed=seed,
        weights_sha256=pipeline.info()["sha256"],
        manifest_sha256=_manifest_sha256(Path(manifest_or_folder), clips),
        split=split,
    )
    report.write(result, Path(out))
    return result


def _manifest_sha256(path: Path, clips: list[manifest.Clip]) -> str:
    """Hash of the manifest file; of a folder without one, that of the manifest it would have."""
    if path.is_dir():
        path /= manifest.MANIFEST_NAME
    text = path.read_bytes() if path.is_file() else manifest.to_lines(clips, path.parent).encode()
    return hashlib.sha256(text).hexdigest()
