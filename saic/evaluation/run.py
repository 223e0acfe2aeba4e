"""One evaluation from data to report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from saic.data import manifest
from saic.evaluation import illustrations, report
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.evaluation_set import Corpus, Progress
from saic.evaluation.evaluators.embedders import OwnEncoder
from saic.evaluation.evaluators.evaluators import Judges
from saic.evaluation.measures import classification, disentanglement, identity, privacy, robustness, utility
from saic.evaluation.systems import Systems

Attackers = Literal["basic", "all"]
ATTACKER_SPLIT = "train"
LOSSLESS = (".flac", ".wav")


def evaluate(
    manifest_or_folder: str | os.PathLike,
    split: str,
    out: str | os.PathLike,
    *,
    pipeline,
    judges: Judges,
    attackers: Attackers = "basic",
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Evaluate a pipeline on a split; write ``report.json``, ``report.md`` and ``plots/`` into ``out``.

    Conversions and transcripts are kept in ``out/.cache``: a run that broke off goes on where it was.

    Parameters
    ----------
    manifest_or_folder
        See :func:`saic.data.manifest.read`.
    split
        Split to evaluate on.
    out
        Folder of the report. A report that is there is replaced.
    pipeline
        A :class:`saic.pipeline.Pipeline`: its ``convert``, ``anonymize``, ``resynthesize``, ``embed`` and ``info`` are
        used.
    judges
        The evaluators.
    attackers
        "all" adds the semi-informed attacker, who is trained on the anonymized ``train`` split of the same data.
    seed
        Seed of trials, noises and intervals.
    quick
        12 speakers and two targets each, without probes and degraded input, to see that all runs.
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
        Data that can't be used, or a control out of range (then there is no report).
    """
    progress = progress or (lambda stage, done, total: None)
    out, cache = Path(out), Path(out) / ".cache"
    clips = manifest.read(manifest_or_folder, [split])
    attacked = manifest.read(manifest_or_folder, [ATTACKER_SPLIT]) if attackers == "all" else []
    corpus = Corpus(clips, seed=seed, quick=quick, progress=progress)
    systems = Systems(pipeline, corpus, cache, seed=seed)
    first = judges.embedders[0]
    run = {"seed": seed, "progress": progress}

    heard = identity.measure(corpus, systems, first.embed, **run)
    attacks = privacy.measure(corpus, systems, judges.embedders, train=attacked, **run)
    used = utility.measure(
        corpus,
        systems,
        recogniser=judges.recogniser,
        dnsmos=judges.dnsmos,
        texts={clip.utterance: clip.text for clip in clips},
        cache=cache,
        **run,
    )
    groups: dict[str, Mapping[str, Mapping[str, Any]]] = {
        "identity": heard.figures,
        "privacy": {system: _flat(figures) for system, figures in attacks.figures.items()},
        "utility": used,
        "classification": {
            "real": _flat(classification.measure(corpus, (OwnEncoder(pipeline), *judges.embedders), **run))
        },
    }
    if not quick:
        whole = [clip for clip in clips if clip.path.suffix.lower() in LOSSLESS]
        if len({clip.speaker for clip in whole}) > 1:
            bare = Corpus(whole, seed=seed, quick=False, progress=progress, codec=lossless)
            known = {"only": ("real", "vocoder", "convert"), "stage": "lossless"}
            seen = identity.measure(bare, Systems(pipeline, bare, cache, seed=seed), first.embed, **known, **run)
            groups["identity_lossless"] = seen.figures
        found = disentanglement.measure(corpus, pipeline, **run)
        groups["disentanglement"] = {"convert": _flat(found)}
        degraded = robustness.measure(corpus, systems, first.embed, judges.recogniser, cache=cache, **run)
        groups["robustness"] = {"convert": _flat(degraded)}
        illustrations.draw(out / "plots", corpus, systems, pipeline, heard, attacks, found, **run)

    result = report.build(
        corpus,
        groups,
        claims={
            system: {name: claim for judge, leaves in of_system.items() for name, claim in _claims(judge, leaves)}
            for system, of_system in attacks.figures.items()
        },
        command=command,
        seed=seed,
        judges=judges,
        weights_sha256=pipeline.info()["sha256"],
        manifest_sha256=manifest.fingerprint(manifest_or_folder, clips),
        split=split,
    )
    report.write(result, report.markdown(result), out)
    return result


def _flat(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"a": {"b": leaf}} to {"a.b": leaf}."""
    return {f"{outer}.{inner}": leaf for outer, leaves in figures.items() for inner, leaf in leaves.items()}


def _claims(judge: str, leaves: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, bool]]:
    return [(f"{judge}.{name}", claim) for name, claim in privacy.claims(leaves).items()]
