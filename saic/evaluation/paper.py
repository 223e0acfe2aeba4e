"""The paper's own protocol (section 4.2), on VoxCeleb1 or other corpora.

For each speaker i of the test recordings and a random other speaker j, a recording of i is
converted to the voice of j and embedded with Resemblyzer. The best match among all enrolled
speakers should be j; the figure is the share of trials where it is (top-1).

The paper leaves the following open, so it is chosen here. Splits are those of VoxCeleb1
identification: all 1,251 speakers have recordings in each. A speaker is enrolled by recordings of
``train``, 15 s in all; source and reference are one recording each of ``test``, 15 s at most, from
other videos than the enrollment. Each speaker is the target of exactly one other. No codec is used.
The report also has controls, and speaker recognition on the real recordings.

Other corpora have no speaker in two splits. There one split can be named: its speakers with 8 s of audio
or more are enrolled by one part of it, and source and reference are other parts
(:mod:`saic.evaluation.data.trials`), after an MP3 round trip, since corpora differ in their codecs.
Several corpora make one gallery.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from saic.data import corpora as layouts
from saic.data import manifest
from saic.data.corpora import TEST, TRAIN
from saic.data.left_out import LeftOut
from saic.data.manifest import Clip, paths_by_name
from saic.evaluation import metrics, report, report_parts
from saic.evaluation.data.codec import KBPS
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.data.paper_set import OneSplitSet, PaperSet, enrolled_and_tested_by_one_clip
from saic.evaluation.data.trials import GAP_S, MAX_PART_S, MIN_SPEAKER_S, THREE_PARTS_S
from saic.evaluation.evaluators.embedders import Embedder, OwnEncoder
from saic.evaluation.evaluators.evaluators import Evaluators
from saic.evaluation.measures import identity
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import SYSTEMS, SystemOutputs

MEASURED = ("real", "convert", "replay_target", "copy_source")

_log = logging.getLogger(__name__)

_COLUMNS = {
    "target_top1": "Target top-1, %",
    "target_top1_same_sex": "same sex",
    "target_top1_cross_sex": "cross sex",
    "target_rank": "Target rank",
    "source_top1": "Source top-1, %",
    "no_speech": "No speech, %",
}
_CLASSIFICATION = {"top1": "Top-1, %"}
_LEFT_OUT = {
    "one_split": "speakers without recordings in both splits",
    "short": f"speakers with less than {MIN_SPEAKER_S:g} s of audio",
    "silent": "with too little speech",
}
_NOTES = """\
- Target top-1 of `convert` is the paper's figure: 96.1 %, with 1,251 speakers, which were probably
  in the training data of its model. Two such figures are comparable only with equally many
  speakers, and with weights that were trained on {trained_on}.
- `real` is Resemblyzer's accuracy on the unchanged sources, `replay_target` on the targets' own
  recordings: no conversion can be expected to exceed them. Resemblyzer was probably trained on
  VoxCeleb.
- {parts}
- Each speaker is converted to one random other speaker.
- Averages over source speakers, with 95 % intervals from a bootstrap by speaker.
"""
_TWO_SPLITS = f"""\
Enrollment (up to {MAX_PART_S:g} s of the `train` split), source and reference (one recording each
  of the `test` split, of at most that length) are different recordings. Of {{one_test}} speakers with one usable
  recording in `test`, source and reference are that one."""
_SEEN = """\
these speakers too. For speakers that the weights
  have not seen, another figure may be expected"""
_ONE_SPLIT = f"""\
Enrollment, source and reference are parts of a speaker's audio of one split, of at most {MAX_PART_S:g} s each.
  Of {{one_clip}} speakers, the enrollment and another part are of one recording, {GAP_S:g} s apart. Of speakers
  with less than {THREE_PARTS_S:g} s, source and reference are one part. These are same-session figures. All audio
  passed an MP3 round trip at {KBPS} kb/s, before and after a conversion."""
_CORPORA_TITLE = "Target top-1 by the corpus of the target (trials)"
_CORPORA_NOTES = """\
- The trials above, those of each corpus apart. The target is looked for among the speakers of all corpora.
"""
_REAL_NOTES = """\
- The unchanged sources, each compared with the enrollment of every speaker. The paper's Table 1
  lists this figure for other systems, which were trained to classify these speakers. `saic` is the
  model's own Speaker Encoder.
"""


def evaluate(
    corpora: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    split: str | None = None,
    pipeline: EvaluatedPipeline,
    embedder: Embedder,
    seed: int = 0,
    progress: StepCallback | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Run the protocol; write ``report.json`` and ``report.md`` into ``out``.

    Recordings that cannot be decoded are left out; their number and names are logged. A conversion that
    the pipeline refuses counts as one without speech. Outputs are cached in ``out/.cache``, so that an
    interrupted run continues.

    Parameters
    ----------
    corpora
        Manifests or folders. Each is named after its folder. Of several, speakers are named
        ``corpus/speaker``, since two corpora may use the same name.
    split
        Of which the speakers are, such as "train". None: enrollment is of ``train``, trials are of
        ``test``. Then a corpus is VoxCeleb1 as unpacked, with ``iden_split.txt`` in it, or a manifest
        whose speakers are in both splits.
    pipeline
        The pipeline, usually a :class:`saic.pipeline.Pipeline`.
    embedder
        Resemblyzer in the paper.
    seed, progress, command
        As in :func:`saic.evaluation.run.evaluate`.

    Returns
    -------
    The report, see :mod:`saic.evaluation.report`, with the groups identity and classification only.

    Raises
    ------
    SaicError
        The data cannot be used, or a control is out of range (then no report is written).
    """
    out, progress, left_out = Path(out), progress or (lambda stage, done, total: None), LeftOut()
    paths = paths_by_name(corpora)
    clips = {}
    for number, (name, path) in enumerate(paths.items(), start=1):
        with manifest.numbered_errors(number, len(paths)):
            clips[name] = _read(path, split, left_out)
    set_of = PaperSet if split is None else OneSplitSet
    dataset = set_of(_pooled(clips), seed=seed, progress=progress)
    for reason, utterances in dataset.unusable.items():
        for utterance in utterances:
            left_out.add(reason, utterance)
    if left_out:
        _log.warning("%s", left_out.listing())
    outputs = SystemOutputs(pipeline, dataset, out / ".cache", seed=seed)
    options = {"seed": seed, "progress": progress}
    own = OwnEncoder(pipeline)
    own_identities = identity.measure(  # before the conversions, which take hours
        dataset, outputs, own.embed, only=("real",), stage=f"identity by {own.name}", **options
    ).estimates
    measured = identity.measure(dataset, outputs, embedder.embed, only=MEASURED, **options)
    of_corpora = _of_corpora(dataset, measured, list(paths) if len(paths) > 1 else [], seed)
    identities = {system: figures | of_corpora[system] for system, figures in measured.estimates.items()}
    top1 = {
        name: estimates["real"]["source_top1"]
        for name, estimates in ((own.name, own_identities), (embedder.name, identities))
    }
    groups = {
        "identity": identities,
        "classification": {"real": {f"{name}.top1": estimate for name, estimate in top1.items()}},
    }
    fingerprints = [manifest.fingerprint(paths[name], of_corpus) for name, of_corpus in clips.items()]
    result = report.build(
        {
            " + ".join(paths): report.of_corpus(
                dataset, groups, manifest_sha256="+".join(fingerprints), split=split or TEST
            )
        },
        privacy=None,
        claims=["Privacy was not measured: the paper's protocol measures identity alone."],
        command=command,
        seed=seed,
        evaluators=Evaluators([embedder]),
        weights_sha256=pipeline.info()["sha256"],
    )
    report.write(result, _text(result, top1, _notes(dataset, split)), out)
    return result


def _read(path: Path, split: str | None, left_out: LeftOut) -> list[Clip]:
    """The clips of one corpus: of the split, or without one, of the splits ``train`` and ``test`` of identification."""
    if split is not None:
        return manifest.read(path, [split], left_out=left_out)
    if os.path.isfile(path) or os.path.isfile(path / manifest.MANIFEST_NAME):
        return manifest.read(path, [TRAIN, TEST], left_out=left_out)
    return layouts.read(path, identification=True, left_out=left_out).clips


def _pooled(clips: Mapping[str, Sequence[Clip]]) -> list[Clip]:
    """The clips of all corpora; of several, speakers and utterances are named after their corpus too."""
    if len(clips) == 1:
        return list(*clips.values())
    return [
        replace(clip, speaker=f"{name}/{clip.speaker}", utterance=f"{name}/{clip.utterance}")
        for name, of_corpus in clips.items()
        for clip in of_corpus
    ]


def _of_corpora(
    dataset: EvaluationSet, measured: identity.IdentityResult, corpora: Sequence[str], seed: int
) -> dict[str, Estimates]:
    """System to ``target_top1@CORPUS``, over the trials whose target is of that corpus."""
    sources, targets = [trial.source for trial in dataset.trials], [trial.target for trial in dataset.trials]
    result: dict[str, Estimates] = {system: {} for system in measured.estimates}
    for (system, of_sources), corpus in product(measured.target_hits.items(), corpora):
        pairs = zip(of_sources.tolist(), targets, strict=True)  # each speaker is the source of one trial
        hits = [hit if target.startswith(f"{corpus}/") else None for hit, target in pairs]
        estimate = metrics.estimate_mean_of_pairs(hits, sources, targets, "%", seed=seed, are_hits=True)
        result[system][f"target_top1@{corpus}"] = estimate
    return result


def _notes(dataset: EvaluationSet, split: str | None) -> str:
    if split is None:
        one_test = sum(parts.source == parts.reference for parts in dataset.parts.values())
        parts = _TWO_SPLITS.format(one_test=one_test)
        return _NOTES.format(trained_on="the `train` split of the same corpus", parts=parts)
    one_clip = sum(map(enrolled_and_tested_by_one_clip, dataset.parts.values()))
    return _NOTES.format(trained_on=_SEEN, parts=_ONE_SPLIT.format(one_clip=one_clip))


def _text(result: Mapping[str, Any], top1: Mapping[str, Estimate], notes: str) -> str:
    """The report as tables; ``top1``: embedder to its top-1 on the real sources."""
    ((names, of_corpus),) = result["corpora"].items()
    data, systems = of_corpus["data"], report_parts.estimates_of(of_corpus)
    identities = {system: groups["identity"] for system, groups in systems.items() if "identity" in groups}
    classified = {embedder: {"top1": estimate} for embedder, estimate in top1.items()}
    left_out = ", ".join(f"{n} {_LEFT_OUT[reason]}" for reason, n in data["left_out"].items())
    with_target = {system: figures for system, figures in identities.items() if SYSTEMS[system].has_target}
    of_corpora = {
        name: f"{name.partition('@')[2]} ({figure.n}), %"
        for name, figure in identities["convert"].items()
        if "@" in name
    }
    lines = [
        "# The paper's protocol (4.2)",
        "",
        f"Corpora: {names}, split `{data['split']}`. {data['gallery_speakers']} enrolled speakers (chance"
        f" {data['chance_percent']:.2g} %), {data['trials']} trials, seed {result['seed']}. Left out: {left_out}.",
        "",
        *report_parts.table(f"Identity ({result['evaluators']['embedders'][0]})", _COLUMNS, identities, notes),
        *(report_parts.table(_CORPORA_TITLE, of_corpora, with_target, _CORPORA_NOTES) if of_corpora else []),
        *report_parts.table(
            "Speaker recognition on real recordings", _CLASSIFICATION, classified, _REAL_NOTES, first="Embedder"
        ),
    ]
    return "\n".join(lines)
