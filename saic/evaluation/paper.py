"""The paper's own protocol (section 4.2), on VoxCeleb1: everybody in the voice of a random other.

For each speaker i of the test recordings, a random other speaker j; the words of i in the voice of j; Resemblyzer's
embedding of that; the best match among everybody enrolled must be j. The figure is how often it is (top-1).

What the paper leaves open is set here. Splits are VoxCeleb1's of identification: its 1,251 speakers have recordings in
each. A speaker is enrolled by recordings of ``train``, 15 s in all; source and reference are one recording each of
``test``, 15 s at most, from other videos than the enrolment. Everybody is the target of exactly one other. No codec.
Beside it stand controls, and how well embeddings classify the real recordings.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.data import corpora, manifest
from saic.data.corpora import TEST, TRAIN
from saic.data.manifest import Clip
from saic.errors import DataError, SilentAudio, TooShort
from saic.evaluation import report
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, Gallery, Progress, clips_by_speaker
from saic.evaluation.data.trials import MAX_PART_S, Part, Parts, Span, Trial, assert_disjoint, choose_clips
from saic.evaluation.evaluators.embedders import Embedder, OwnEncoder
from saic.evaluation.evaluators.evaluators import Judges
from saic.evaluation.measures import identity
from saic.evaluation.systems import Systems
from saic.signal.vad import require_speech

MEASURED = ("real", "convert", "replay_target", "copy_source")

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
- Target top-1 of `convert` is the paper's figure: 96.1 % there, with 1,251 speakers, whom its model had probably heard
  in training. It can be set beside another only with as many speakers, and with weights that trained on the `train`
  split of the same corpus.
- `real` is what Resemblyzer makes of the sources as they are, `replay_target` of the targets' own recordings: no
  conversion can be expected to do better. Resemblyzer was probably trained on VoxCeleb.
- Enrolment (up to {MAX_PART_S:g} s of the `train` split), source and reference (one recording each of the `test` split,
  as long at most) are different recordings. Each speaker is converted to one random other.
- Averages over source speakers, with 95 % intervals from a bootstrap by speaker.
"""
_REAL_NOTES = """\
- The sources as they are, each compared with everyone's enrolment: what the paper's Table 1 lists for other
  systems, which were trained to tell these very speakers apart. `saic` is the model's own Speaker Encoder.
"""


class PaperGallery(Gallery):
    """Everybody who has recordings in both splits, each converted to one other.

    ``left_out`` counts those with recordings in "one_split" alone, and those without speech in them: "silent".
    """

    def __init__(self, clips: Sequence[Clip], *, seed: int, progress: Progress):
        super().__init__(clips, lossless)
        enrolled, tried = (clips_by_speaker([clip for clip in clips if clip.split == name]) for name in (TRAIN, TEST))
        speakers = sorted(enrolled.keys() & tried.keys())
        self.left_out = {"one_split": len(enrolled.keys() | tried.keys()) - len(speakers), "silent": 0}
        for done, speaker in enumerate(speakers, start=1):
            self._add(choose_clips(enrolled[speaker], seed), choose_clips(tried[speaker], seed))
            progress("prepare", done, len(speakers))
        if len(self.parts) < 2:
            raise DataError(
                "The paper's protocol needs two speakers at least with speech in both the 'train' and the 'test' split."
                " Make such splits with: python -m train.prepare VOXCELEB1 --identification"
            )
        self.trials = one_target_each({name: part.sex for name, part in self.parts.items()}, seed)

    def _add(self, enrolled: Sequence[Clip], tried: Sequence[Clip]) -> None:
        enrolment = _first_seconds(enrolled)
        heard = list(islice(filter(self._holds_speech, map(_first_seconds, zip(tried))), 2))
        if not heard or not self._holds_speech(enrolment):
            self.left_out["silent"] += 1
            return
        for part in heard:
            assert_disjoint(enrolment, part)
        speaker = enrolled[0].speaker
        self.parts[speaker] = Parts(speaker, enrolled[0].sex, enrolment, heard[0], heard[-1])

    def _holds_speech(self, part: Part) -> bool:
        try:
            require_speech(self.wav(part), MIN_SPEECH_S)
        except (SilentAudio, TooShort):
            return False
        return True


def one_target_each(sexes: Mapping[str, str | None], seed: int) -> list[Trial]:
    """Give each speaker a random other one, and each to one: the next on a circle in random order."""
    order = np.random.default_rng(seed).permutation(sorted(sexes)).tolist()
    pairs = zip(order, [*order[1:], order[0]], strict=True)
    known = None not in sexes.values()
    return sorted((Trial(i, j, sexes[i] == sexes[j] if known else None) for i, j in pairs), key=lambda t: t.source)


def evaluate(
    manifest_or_folder: str | os.PathLike,
    out: str | os.PathLike,
    *,
    pipeline,
    embedder: Embedder,
    seed: int = 0,
    progress: Progress | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Run the protocol; write ``report.json`` and ``report.md`` into ``out``.

    Conversions are kept in ``out/.cache``: a run that broke off goes on where it was.

    Parameters
    ----------
    manifest_or_folder
        VoxCeleb1 as it is unpacked, with ``iden_split.txt`` in it, or a manifest whose speakers are in two splits.
    pipeline
        A :class:`saic.pipeline.Pipeline`.
    embedder
        Who judges; Resemblyzer in the paper.
    seed, progress, command
        As in :func:`saic.evaluation.run.evaluate`.

    Returns
    -------
    The report, see :mod:`saic.evaluation.report`, of fewer groups.

    Raises
    ------
    SaicError
        Data that can't be used, or a control out of range (then there is no report).
    """
    path, out = Path(manifest_or_folder), Path(out)
    progress = progress or (lambda stage, done, total: None)
    listed = path.is_file() or (path / manifest.MANIFEST_NAME).is_file()
    clips = manifest.read(path, [TRAIN, TEST]) if listed else corpora.read(path, identification=True).clips
    gallery = PaperGallery(clips, seed=seed, progress=progress)
    systems = Systems(pipeline, gallery, out / ".cache", seed=seed)
    run = {"seed": seed, "progress": progress}
    heard = identity.measure(gallery, systems, embedder.embed, only=MEASURED, **run).figures
    own = OwnEncoder(pipeline)
    known = identity.measure(
        gallery, systems, own.embed, only=("real",), stage=f"identity by {own.name}", **run
    ).figures
    top1 = {judge.name: figures["real"]["source_top1"] for judge, figures in ((own, known), (embedder, heard))}
    result = report.build(
        gallery,
        {
            "identity": heard,
            "classification": {"real": {f"{judge}.top1": leaf for judge, leaf in top1.items()}},
        },
        claims={},
        command=command,
        seed=seed,
        judges=Judges([embedder]),
        weights_sha256=pipeline.info()["sha256"],
        manifest_sha256=manifest.fingerprint(path, clips),
        split=TEST,
    )
    report.write(result, _text(result, top1), out)
    return result


def _text(result: Mapping[str, Any], top1: Mapping[str, Any]) -> str:
    data = result["data"]
    rows = {system: groups["identity"] for system, groups in result["systems"].items() if groups.get("identity")}
    known = {judge: {"top1": leaf} for judge, leaf in top1.items()}
    lines = [
        "# The paper's protocol (4.2)",
        "",
        f"{data['gallery_speakers']} speakers (chance {data['chance_percent']:.2g} %), {data['trials']} trials, seed"
        f" {result['seed']}. Left out: {data['left_out']['one_split']} speakers without recordings in both splits,"
        f" {data['left_out']['silent']} with too little speech.",
        "",
        *report.table(f"Identity ({result['judges']['embedders'][0]})", _COLUMNS, rows, _NOTES),
        *report.table("Speakers of real recordings", _CLASSIFICATION, known, _REAL_NOTES, first="Embedder"),
    ]
    return "\n".join(lines)


def _first_seconds(clips: Sequence[Clip]) -> Part:
    """The clips one after the other until there are 15 s."""
    part, left = [], round(MAX_PART_S * SAMPLE_RATE)
    for clip in clips:
        samples = min(left, round(clip.duration_s * SAMPLE_RATE))
        if samples:
            part.append(Span(clip.utterance, 0, samples))
            left -= samples
    return tuple(part)
