"""The paper's own protocol (section 4.2), on VoxCeleb1.

For each speaker i of the test recordings and a random other speaker j, a recording of i is
converted to the voice of j and embedded with Resemblyzer. The best match among all enrolled
speakers should be j; the figure is the share of trials where it is (top-1).

The paper leaves the following open, so it is chosen here. Splits are those of VoxCeleb1
identification: all 1,251 speakers have recordings in each. A speaker is enrolled by recordings of
``train``, 15 s in all; source and reference are one recording each of ``test``, 15 s at most, from
other videos than the enrollment. Each speaker is the target of exactly one other. No codec is used.
The report also has controls, and speaker recognition on the real recordings.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from saic import audio
from saic.audio import SAMPLE_RATE
from saic.data import corpora, manifest
from saic.data.corpora import TEST, TRAIN
from saic.data.left_out import LeftOut, reason_of
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError, NotSpeech, SilentAudio, TooShort
from saic.evaluation import report, report_parts
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, EvaluationSet, clips_by_speaker
from saic.evaluation.data.trials import (
    MAX_PART_S,
    Part,
    Span,
    SpeakerParts,
    Trial,
    assert_disjoint,
    choose_clips,
)
from saic.evaluation.evaluators.embedders import Embedder, OwnEncoder
from saic.evaluation.evaluators.evaluators import Evaluators
from saic.evaluation.linkage.material import corpus_name
from saic.evaluation.measures import identity
from saic.evaluation.metrics import Estimate
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import SystemOutputs
from saic.signal.vad import require_speech, require_varied

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
_NOTES = f"""\
- Target top-1 of `convert` is the paper's figure: 96.1 %, with 1,251 speakers, which were probably
  in the training data of its model. Two such figures are comparable only with equally many
  speakers, and with weights that were trained on the `train` split of the same corpus.
- `real` is Resemblyzer's accuracy on the unchanged sources, `replay_target` on the targets' own
  recordings: no conversion can be expected to exceed them. Resemblyzer was probably trained on
  VoxCeleb.
- Enrollment (up to {MAX_PART_S:g} s of the `train` split), source and reference (one recording each
  of the `test` split, of at most that length) are different recordings. Each speaker is converted
  to one random other speaker.
- Averages over source speakers, with 95 % intervals from a bootstrap by speaker.
"""
_REAL_NOTES = """\
- The unchanged sources, each compared with the enrollment of every speaker. The paper's Table 1
  lists this figure for other systems, which were trained to classify these speakers. `saic` is the
  model's own Speaker Encoder.
"""


class PaperSet(EvaluationSet):
    """The speakers with recordings in both splits, each converted to one other.

    ``left_out`` counts speakers with recordings in one split only ("one_split"), and those without
    speech ("silent"). ``unusable`` lists the utterances that cannot be decoded; other recordings of
    their speakers are used.
    """

    def __init__(self, clips: Sequence[Clip], *, seed: int, progress: StepCallback):
        super().__init__(clips, lossless)
        train, test = (clips_by_speaker([clip for clip in clips if clip.split == name]) for name in (TRAIN, TEST))
        speakers = sorted(train.keys() & test.keys())
        self.left_out = {"one_split": len(train.keys() | test.keys()) - len(speakers), "silent": 0}
        for done, speaker in enumerate(speakers, start=1):
            self._add(train[speaker], test[speaker], seed)
            progress("prepare", done, len(speakers))
        if len(self.parts) < 2:
            raise DataError(
                "The paper's protocol needs at least two speakers with speech in both the 'train' and the 'test' split."
                " Make such splits with: python -m train.prepare VOXCELEB1 --identification"
            )
        self.trials = one_target_each({name: part.sex for name, part in self.parts.items()}, seed)

    def _add(self, train: Sequence[Clip], test: Sequence[Clip], seed: int) -> None:
        """Enroll a speaker.

        Source and reference are the first two test clips with speech, or the only one.
        """
        enrollment = _with_speech(self._decoded(train, seed))
        parts = (_with_speech([recording]) for recording in self._decoded(test, seed))
        tested = list(islice(filter(None, parts), 2))
        if not tested or not enrollment:
            self.left_out["silent"] += 1
            return
        for part in tested:
            assert_disjoint(enrollment, part)
        speaker = train[0].speaker
        self.parts[speaker] = SpeakerParts(speaker, train[0].sex, enrollment, tested[0], tested[-1])

    def _decoded(self, clips: Sequence[Clip], seed: int) -> Iterator[tuple[str, np.ndarray]]:
        """Utterances and wavs of a speaker's clips that can be decoded, the chosen ones first."""
        chosen = choose_clips(clips, seed)
        for clip in [*chosen, *(clip for clip in clips if clip not in chosen)]:
            try:
                wav = audio.load(clip.path)
            except AudioError as error:
                self.unusable.add(reason_of(error), clip.utterance)
            else:
                yield clip.utterance, wav


def one_target_each(sexes: Mapping[str, str | None], seed: int) -> list[Trial]:
    """Assign a target to each speaker: the next one in a circular random order.

    Each speaker is the target once.
    """
    order = np.random.default_rng(seed).permutation(sorted(sexes)).tolist()
    pairs = zip(order, [*order[1:], order[0]], strict=True)
    known = None not in sexes.values()
    return sorted((Trial(i, j, sexes[i] == sexes[j] if known else None) for i, j in pairs), key=lambda t: t.source)


def evaluate(
    manifest_or_folder: str | os.PathLike,
    out: str | os.PathLike,
    *,
    pipeline: EvaluatedPipeline,
    embedder: Embedder,
    seed: int = 0,
    progress: StepCallback | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Run the protocol; write ``report.json`` and ``report.md`` into ``out``.

    Recordings that cannot be decoded are left out; their number and names are logged. Outputs are
    cached in ``out/.cache``, so that an interrupted run continues.

    Parameters
    ----------
    manifest_or_folder
        VoxCeleb1 as unpacked, with ``iden_split.txt`` in it, or a manifest whose speakers are in
        both splits.
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
    path, out = Path(manifest_or_folder), Path(out)
    progress = progress or (lambda stage, done, total: None)
    listed = path.is_file() or (path / manifest.MANIFEST_NAME).is_file()
    left_out = LeftOut()
    if listed:
        clips = manifest.read(path, [TRAIN, TEST], left_out=left_out)
    else:
        clips = corpora.read(path, identification=True, left_out=left_out).clips
    dataset = PaperSet(clips, seed=seed, progress=progress)
    for reason, utterances in dataset.unusable.items():
        for utterance in utterances:
            left_out.add(reason, utterance)
    if left_out:
        _log.warning("%s", left_out.listing())
    outputs = SystemOutputs(pipeline, dataset, out / ".cache", seed=seed)
    options = {"seed": seed, "progress": progress}
    identities = identity.measure(dataset, outputs, embedder.embed, only=MEASURED, **options).estimates
    own = OwnEncoder(pipeline)
    own_identities = identity.measure(
        dataset, outputs, own.embed, only=("real",), stage=f"identity by {own.name}", **options
    ).estimates
    top1 = {
        name: estimates["real"]["source_top1"]
        for name, estimates in ((own.name, own_identities), (embedder.name, identities))
    }
    groups = {
        "identity": identities,
        "classification": {"real": {f"{name}.top1": estimate for name, estimate in top1.items()}},
    }
    measured = report.of_corpus(dataset, groups, manifest_sha256=manifest.fingerprint(path, clips), split=TEST)
    result = report.build(
        {corpus_name(path): measured},
        privacy=None,
        claims=["Privacy was not measured: the paper's protocol measures identity alone."],
        command=command,
        seed=seed,
        evaluators=Evaluators([embedder]),
        weights_sha256=pipeline.info()["sha256"],
    )
    report.write(result, _text(result, top1), out)
    return result


def _text(result: Mapping[str, Any], top1: Mapping[str, Estimate]) -> str:
    """The report as tables; ``top1``: embedder to its top-1 on the real sources."""
    (of_corpus,) = result["corpora"].values()
    data, systems = of_corpus["data"], report_parts.estimates_of(of_corpus)
    identities = {system: groups["identity"] for system, groups in systems.items() if "identity" in groups}
    classified = {embedder: {"top1": estimate} for embedder, estimate in top1.items()}
    lines = [
        "# The paper's protocol (4.2)",
        "",
        f"{data['gallery_speakers']} speakers (chance {data['chance_percent']:.2g} %), {data['trials']} trials, seed"
        f" {result['seed']}. Left out: {data['left_out']['one_split']} speakers without recordings in both splits,"
        f" {data['left_out']['silent']} with too little speech.",
        "",
        *report_parts.table(f"Identity ({result['evaluators']['embedders'][0]})", _COLUMNS, identities, _NOTES),
        *report_parts.table(
            "Speaker recognition on real recordings", _CLASSIFICATION, classified, _REAL_NOTES, first="Embedder"
        ),
    ]
    return "\n".join(lines)


def _with_speech(recordings: Iterable[tuple[str, np.ndarray]]) -> Part:
    """Recordings (utterance, wav) end to end, up to 15 s; empty if they have too little speech."""
    part, wavs, left = [], [], round(MAX_PART_S * SAMPLE_RATE)
    for utterance, wav in recordings:
        wavs.append(wav[:left])
        part.append(Span(utterance, 0, len(wavs[-1])))
        left -= len(wavs[-1])
        if not left:
            break
    try:
        if wavs:
            require_speech(np.concatenate(wavs), MIN_SPEECH_S)
            require_varied(np.concatenate(wavs))
    except (SilentAudio, TooShort, NotSpeech):
        return ()
    return tuple(part)
