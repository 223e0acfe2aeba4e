"""One evaluation from data to report."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from saic.data import manifest
from saic.data.left_out import LeftOut
from saic.evaluation import plots, report
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.evaluation_set import PartitionedSet
from saic.evaluation.evaluators.embedders import OwnEncoder
from saic.evaluation.evaluators.evaluators import Evaluators
from saic.evaluation.measures import classification, disentanglement, identity, privacy, robustness, utility
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import SystemOutputs

Attackers = Literal["basic", "all"]
ATTACKER_SPLIT = "train"
LOSSLESS_SUFFIXES = (".flac", ".wav")
LOSSLESS_SYSTEMS = ("real", "vocoder", "convert")
_log = logging.getLogger(__name__)


def evaluate(
    manifest_or_folder: str | os.PathLike,
    split: str,
    out: str | os.PathLike,
    *,
    pipeline: EvaluatedPipeline,
    evaluators: Evaluators,
    attackers: Attackers = "basic",
    seed: int = 0,
    quick: bool = False,
    progress: StepCallback | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Evaluate a pipeline on a split.

    Writes ``report.json``, ``report.md`` and ``plots/`` into ``out``. Recordings that cannot be
    decoded are left out; their number and names are logged. Outputs, transcripts and
    scores are cached in ``out/.cache``, so that an interrupted run continues.

    Parameters
    ----------
    manifest_or_folder
        See :func:`saic.data.manifest.read`.
    split
        Split to evaluate on.
    out
        Folder of the report. An existing report is replaced.
    pipeline
        The pipeline, usually a :class:`saic.pipeline.Pipeline`.
    evaluators
        Speaker embedders, speech recognizer and DNSMOS.
    attackers
        "all" adds the semi-informed attacker, trained on the anonymized ``train`` split of the same
        data.
    seed
        Seed of trials, noises and intervals.
    quick
        A test that everything runs: 12 speakers with two targets each, without probes, degraded
        recordings, plots and the figures without a codec.
    progress
        Called with the name of the stage, the number of steps done, and the number of all steps.
    command
        The command line, for the report.

    Returns
    -------
    The report, see :mod:`saic.evaluation.report`.

    Raises
    ------
    SaicError
        The data cannot be used, or a control is out of range (then no report is written).
    """
    progress = progress or (lambda stage, done, total: None)
    out, cache = Path(out), Path(out) / ".cache"
    left_out = LeftOut()
    clips = manifest.read(manifest_or_folder, [split], left_out=left_out)
    attacker_clips = (
        manifest.read(manifest_or_folder, [ATTACKER_SPLIT], left_out=LeftOut()) if attackers == "all" else []
    )
    dataset = PartitionedSet(clips, seed=seed, quick=quick, progress=progress)
    _log_left_out(left_out, dataset, clips, Path(manifest_or_folder))
    outputs = SystemOutputs(pipeline, dataset, cache, seed=seed)
    embed = evaluators.embedders[0].embed
    options = {"seed": seed, "progress": progress}

    identities = identity.measure(dataset, outputs, embed, **options)
    attacks = privacy.measure(dataset, outputs, evaluators.embedders, train=attacker_clips, **options)
    utilities = utility.measure(
        dataset,
        outputs,
        asr=evaluators.asr,
        dnsmos=evaluators.dnsmos,
        texts={clip.utterance: clip.text for clip in clips},
        cache=cache,
        **options,
    )
    classified = classification.measure(dataset, (OwnEncoder(pipeline), *evaluators.embedders), **options)
    groups: dict[str, Mapping[str, Estimates]] = {
        "identity": identities.estimates,
        "privacy": {system: _flatten(estimates) for system, estimates in attacks.estimates.items()},
        "utility": utilities,
        "classification": {"real": _flatten(classified)},
    }
    if not quick:
        lossless_clips = [clip for clip in clips if clip.path.suffix.lower() in LOSSLESS_SUFFIXES]
        if len({clip.speaker for clip in lossless_clips}) > 1:
            groups["identity_lossless"] = _identity_lossless(
                lossless_clips, pipeline, embed, cache, seed=seed, progress=progress
            )
        probes = disentanglement.measure(dataset, pipeline, **options)
        groups["disentanglement"] = {"convert": _flatten(probes)}
        degraded = robustness.measure(dataset, outputs, embed, evaluators.asr, cache=cache, **options)
        groups["robustness"] = {"convert": _flatten(degraded)}
        plots.save_report_plots(out / "plots", dataset, outputs, pipeline, identities, attacks, probes, **options)

    result = report.build(
        dataset,
        groups,
        claims={
            system: _flatten({name: privacy.claims(estimates) for name, estimates in by_embedder.items()})
            for system, by_embedder in attacks.estimates.items()
        },
        command=command,
        seed=seed,
        evaluators=evaluators,
        weights_sha256=pipeline.info()["sha256"],
        manifest_sha256=manifest.fingerprint(manifest_or_folder, clips),
        split=split,
    )
    report.write(result, report.markdown(result), out)
    return result


def _log_left_out(left_out: LeftOut, dataset: PartitionedSet, clips: list[manifest.Clip], data: Path) -> None:
    """Log what is left out of the corpus, by paths relative to it."""
    folder, paths = data if data.is_dir() else data.parent, {clip.utterance: clip.path for clip in clips}
    for reason, utterances in dataset.unusable.items():
        for utterance in utterances:
            left_out.add(reason, Path(os.path.relpath(paths[utterance], folder)).as_posix())
    if left_out:
        _log.warning("%s", left_out.listing())


def _identity_lossless(
    clips: list[manifest.Clip],
    pipeline: EvaluatedPipeline,
    embed: identity.Embed,
    cache: Path,
    *,
    seed: int,
    progress: StepCallback,
) -> dict[str, Estimates]:
    """Identity without the codec."""
    dataset = PartitionedSet(clips, seed=seed, quick=False, progress=progress, codec=lossless)
    outputs = SystemOutputs(pipeline, dataset, cache, seed=seed)
    options = {"only": LOSSLESS_SYSTEMS, "stage": "lossless", "seed": seed, "progress": progress}
    return identity.measure(dataset, outputs, embed, **options).estimates


def _flatten(nested: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"a": {"b": value}} to {"a.b": value}."""
    return {f"{outer}.{inner}": value for outer, values in nested.items() for inner, value in values.items()}
