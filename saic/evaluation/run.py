"""One evaluation from data to report."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from saic.data import manifest
from saic.data.corpora import ATTACK, TRAIN
from saic.data.left_out import LeftOut
from saic.data.manifest import corpus_name, paths_by_name
from saic.errors import DataError
from saic.evaluation import overview, plots, report
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.evaluation_set import PartitionedSet
from saic.evaluation.evaluators.embedders import OwnEncoder
from saic.evaluation.evaluators.evaluators import Evaluators
from saic.evaluation.linkage import run as linkage
from saic.evaluation.linkage.evidence import Evidence
from saic.evaluation.measures import classification, disentanglement, identity, robustness, utility
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import MAIN_SYSTEMS, SystemOutputs
from saic.profiles import PROFILES

MEASURES = ("privacy", "identity", "words", "disentanglement", "robustness")
ATTACKED_SYSTEMS = (
    *("pseudonym", "pseudonym_prosody_kept", "pseudonym_strict", "pseudonym_known_voice"),
    *("convert", "mcadams"),
)
QUICK_ATTACKED_SYSTEMS = ("pseudonym",)
LOSSLESS_SUFFIXES = (".flac", ".wav")
LOSSLESS_SYSTEMS = ("real", "vocoder", "convert")
_log = logging.getLogger(__name__)


def evaluate(
    corpora: Sequence[str | os.PathLike],
    split: str,
    out: str | os.PathLike,
    *,
    pipeline: EvaluatedPipeline,
    evaluators: Evaluators,
    evidence: Sequence[Evidence] = (),
    only: Sequence[str] = (),
    attacked: Sequence[str] = (),
    seed: int = 0,
    quick: bool = False,
    progress: StepCallback | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Evaluate a pipeline on a split of one or more corpora.

    Writes ``report.json``, ``report.md`` and ``plots/`` into ``out``. Recordings that cannot be
    decoded are left out; their number and names are logged. Outputs, transcripts, scores and
    trained attackers are cached in ``out/.cache``, so that an interrupted run continues.

    Parameters
    ----------
    corpora
        Manifests or folders, see :func:`saic.data.manifest.read`. Each is a corpus of its own,
        named after its folder. Privacy is measured on all of them together and apart, everything
        else apart. Corpora without the split only train attackers.
    split
        Split to evaluate on.
    out
        Folder of the report. An existing report is replaced.
    pipeline
        The pipeline, usually a :class:`saic.pipeline.Pipeline`.
    evaluators
        Speaker embedders, speech recognizers and quality predictors.
    evidence
        What the attackers measure, see :func:`saic.evaluation.linkage.attackers.load`.
    only
        What to measure, of :data:`MEASURES`. Empty measures all, but privacy only if the corpora
        have the splits ``train`` and ``attack``, on which attackers are trained. Otherwise the
        report says why it has no privacy figures.
    attacked
        Systems for privacy, of :data:`saic.evaluation.systems.SYSTEMS`. Empty: those of
        :data:`ATTACKED_SYSTEMS` that the weights have; if ``quick``, the pseudonym alone. Original
        speech and copies are always attacked, as controls.
    seed
        Seed of trials, noises and intervals.
    quick
        A test that everything runs: 12 speakers with two targets each, and no probes, degraded
        recordings, plots of a corpus, and figures without a codec. Privacy: at most 20 speakers of
        ``split``, 20 of ``attack`` and 40 of ``train``, with 5 and 15 s; about five minutes.
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
    out, chosen = Path(out), set(only or MEASURES)
    paths = paths_by_name(corpora)
    left_out = {name: LeftOut() for name in paths}
    clips = {}
    for number, (name, path) in enumerate(paths.items(), start=1):
        with manifest.numbered_errors(number, len(paths)):
            clips[name] = manifest.read(path, left_out=left_out[name])
    of_split = {name: [clip for clip in of_corpus if clip.split == split] for name, of_corpus in clips.items()}
    splits = {clip.split for of_corpus in clips.values() for clip in of_corpus}
    if split not in splits:
        raise DataError(f"No corpus has the split {split!r}. The data has these splits: {', '.join(sorted(splits))}.")
    options = {"pipeline": pipeline, "seed": seed, "quick": quick}
    measured, failure = {}, None
    for name in paths:
        if of_split[name] and chosen - {"privacy"}:
            try:
                measured[name] = _measure_corpus(
                    paths[name],
                    of_split[name],
                    left_out[name],
                    out,
                    chosen=chosen,
                    evaluators=evaluators,
                    progress=lambda stage, done, total, name=name: progress(f"{name}, {stage}", done, total),
                    **options,
                )
            except DataError as error:
                failure = error
                _log.warning("Corpus %s was left out but for privacy. %s", name, error)
    privacy, claims = None, ["Privacy was not asked for."]
    if "privacy" in chosen:
        try:
            if missing := [name for name in (TRAIN, ATTACK) if name not in splits]:
                raise DataError(f"Attackers are trained on the splits 'train' and 'attack': no {missing[0]!r} here.")
            privacy = linkage.evaluate(
                list(paths.values()),
                split,
                out / ".cache",
                evidence=evidence,
                systems=attacked or attacked_systems(pipeline, quick=quick),
                progress=progress,
                command=command,
                clips=clips,
                **options,
            )
        except DataError as error:
            if only:
                raise
            claims = [f"Privacy was not measured. {error}"]
        else:
            claims = report.privacy_claims(privacy)
    if not measured and privacy is None:
        if len(paths) == 1 and failure:
            raise failure
        raise DataError(f"None of the corpora can be measured. {claims[0]}")
    result = report.build(
        measured,
        privacy=privacy,
        claims=claims,
        command=command,
        seed=seed,
        evaluators=evaluators,
        weights_sha256=pipeline.info()["sha256"],
    )
    overview.save(result, out / "plots")
    report.write(result, report.markdown(result), out)
    return result


def measured_systems(pipeline: EvaluatedPipeline) -> tuple[str, ...]:
    """The main systems, with pseudonyms of the profiles that the weights have beside the default."""
    return _of_weights(MAIN_SYSTEMS, pipeline)


def attacked_systems(pipeline: EvaluatedPipeline, *, quick: bool) -> tuple[str, ...]:
    """The systems that are attacked if none is named."""
    return _of_weights(QUICK_ATTACKED_SYSTEMS if quick else ATTACKED_SYSTEMS, pipeline)


def _of_weights(systems: Sequence[str], pipeline: EvaluatedPipeline) -> tuple[str, ...]:
    of_profile = {f"pseudonym_{profile.replace('-', '_')}": profile for profile in PROFILES}
    others = set(pipeline.profiles) - {pipeline.default_profile}
    return tuple(name for name in systems if name not in of_profile or of_profile[name] in others)


def _measure_corpus(
    path: Path,
    clips: list[manifest.Clip],
    left_out: LeftOut,
    out: Path,
    *,
    chosen: set[str],
    pipeline: EvaluatedPipeline,
    evaluators: Evaluators,
    seed: int,
    quick: bool,
    progress: StepCallback,
) -> dict[str, Any]:
    """The part of the report on one corpus; ``chosen``: what to measure."""
    cache = out / ".cache"
    dataset = PartitionedSet(clips, seed=seed, quick=quick, progress=progress)
    _log_left_out(left_out, dataset, clips, path)
    outputs = SystemOutputs(pipeline, dataset, cache, seed=seed)
    systems, options = measured_systems(pipeline), {"seed": seed, "progress": progress}
    groups: dict[str, Mapping[str, Estimates]] = {}
    target_hits = probes = None
    if "identity" in chosen:
        embed = evaluators.embedders[0].embed
        identities = identity.measure(dataset, outputs, embed, only=systems, **options)
        groups["identity"] = identities.estimates
        classified = classification.measure(dataset, (OwnEncoder(pipeline), *evaluators.embedders), **options)
        groups["classification"] = {"real": _flatten(classified)}
        target_hits = identities.target_hits
        lossless_clips = [clip for clip in clips if clip.path.suffix.lower() in LOSSLESS_SUFFIXES]
        if not quick:
            with suppress(DataError):  # fewer than two speakers have enough of them
                groups["identity_lossless"] = _identity_lossless(lossless_clips, pipeline, embed, cache, **options)
    texts = {clip.utterance: clip.text for clip in clips}
    if "words" in chosen:
        groups["utility"] = utility.measure(
            dataset, outputs, evaluators=evaluators, only=systems, texts=texts, cache=cache, **options
        )
    if "disentanglement" in chosen and not quick:
        try:
            probes = disentanglement.measure(dataset, pipeline, **options)
            groups["disentanglement"] = {"convert": _flatten(probes)}
        except DataError as error:
            if chosen <= {"disentanglement", "privacy"}:
                raise
            _log.warning("Corpus %s has no speaker probes. %s", corpus_name(path), error)
    if "robustness" in chosen and not quick:
        embed = evaluators.embedders[0].embed
        degraded = robustness.measure(dataset, outputs, embed, evaluators, texts=texts, cache=cache, **options)
        groups["robustness"] = {"convert": _flatten(degraded)}
    if not quick:
        folder = out / "plots" / corpus_name(path)
        plots.save_report_plots(folder, dataset, outputs, pipeline, target_hits, probes, **options)
    return report.of_corpus(dataset, groups, manifest_sha256=manifest.fingerprint(path, clips), split=clips[0].split)


def _log_left_out(left_out: LeftOut, dataset: PartitionedSet, clips: list[manifest.Clip], data: Path) -> None:
    """Log what is left out of the corpus, by paths relative to it."""
    folder, paths = data if data.is_dir() else data.parent, {clip.utterance: clip.path for clip in clips}
    for reason, utterances in dataset.unusable.items():
        for utterance in utterances:
            left_out.add(reason, manifest.path_from(paths[utterance], folder))
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
