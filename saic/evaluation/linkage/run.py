"""The linkage evaluation: how well attackers tell whether converted recordings are of one speaker.

Every attacker knows converted speech of other speakers, of the splits ``train`` and ``attack``, and
has 5, 15 or 28 s of each side of a trial. All attackers together are ``fused``. The figure that
counts is that of the worst attacker, see :func:`saic.evaluation.linkage.report.worst`.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save

from saic import files
from saic.data import manifest
from saic.data.manifest import Clip
from saic.errors import DataError
from saic.evaluation import metrics
from saic.evaluation.linkage import database, scoring
from saic.evaluation.linkage.evidence import EmbedderEvidence, Evidence, TrainedEvidence
from saic.evaluation.linkage.material import (
    LENGTHS_S,
    Recording,
    Speakers,
    TrialSet,
    corpus_name,
    cut_clip,
    folds,
    training_recordings,
    trial_set,
)
from saic.evaluation.linkage.measurements import Measurements
from saic.evaluation.linkage.outputs import RecordingOutputs, cut_segments
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback

TRAIN_SPLIT, ATTACK_SPLIT, TARGET_SPLIT = "train", "attack", "dev"
N_FOLDS = 5
GALLERY_SIZE = 40  # enrolled speakers, of whom the attacker names one
OTHER_GALLERY_SIZES = (5, 10, 20)
TRAIN_SPEAKERS = 300
QUICK_TRAIN_SPEAKERS = 60
NETWORK_SHARE = 0.75  # of the training speakers for the networks; the rest trains their PLDA
FUSED = "fused"
HIGH_F0_HZ = 165.0  # divides the speakers whose sex is not stated


@dataclass(frozen=True)
class LinkageResult:
    """Figures of the systems: system to figure to estimate, and the scores behind them."""

    estimates: dict[str, Estimates]
    trials: dict[int, TrialSet]
    scores: dict[str, dict[int, dict[str, np.ndarray]]]


class LinkageEvaluation:
    """Speakers, trials and training material, the same for all systems.

    Parameters
    ----------
    corpora
        Manifests or folders; each is a corpus of its own.
    split
        Split of the trials. If it is not ``attack``, the fusion and the back ends are trained on
        ``attack``; if it is, they are trained by folds of its speakers.
    """

    def __init__(
        self,
        corpora: Sequence[Path],
        split: str,
        *,
        pipeline: EvaluatedPipeline,
        evidence: Sequence[Evidence],
        cache: Path,
        seed: int,
        quick: bool,
        progress: StepCallback,
    ):
        self.split, self._seed, self._progress = split, seed, progress
        self._evidence, self._cache = evidence, cache
        self.speakers = {name: _read(corpora, name) for name in {split, ATTACK_SPLIT, TRAIN_SPLIT}}
        targets = _read(corpora, TARGET_SPLIT) or self.speakers[TRAIN_SPLIT]
        if not self.speakers[split].clips:
            raise DataError(f"No corpus has the split {split!r}.")
        self.train = training_recordings(
            self.speakers[TRAIN_SPLIT], QUICK_TRAIN_SPEAKERS if quick else TRAIN_SPEAKERS, seed
        )
        if len(self.train) < 2:
            raise DataError("The attackers need a split 'train' with at least two speakers of two recordings.")
        lengths = LENGTHS_S[:2] if quick else LENGTHS_S
        splits = dict.fromkeys((ATTACK_SPLIT, split))
        self.trials = {
            name: {
                length: trials
                for length in lengths
                if len((trials := trial_set(self.speakers[name], length, seed)).enrollments) > 1
            }
            for name in splits
        }
        references = [recording for clips in targets.clips.values() for clip in clips for recording in cut_clip(clip)]
        self.outputs = RecordingOutputs(pipeline, references, cache / "outputs", seed=seed)
        self._measurements = Measurements(cache / "measurements.sqlite")
        self._groups = {name: self._group(self.speakers[name]) for name in splits}

    def measure(self, systems: Sequence[str]) -> LinkageResult:
        """Run all attackers on the systems; ``real`` is always among them."""
        scores = {}
        original: dict[str, dict[str, scoring.Vectors]] = {}
        for system in dict.fromkeys(("real", *systems)):
            vectors = self._vectors(system)
            if system == "real":
                original = vectors
            scores[system] = self._attack(vectors, original)
        estimates = {system: self._estimates(of_system[self.split]) for system, of_system in scores.items()}
        for system in systems:
            estimates[system] |= self._find_originals(system)
        return LinkageResult(estimates, self.trials[self.split], {s: by[self.split] for s, by in scores.items()})

    def _attack(
        self, vectors: Mapping[str, scoring.Vectors], original: Mapping[str, scoring.Vectors]
    ) -> dict[str, dict[int, dict[str, np.ndarray]]]:
        """Split to length to attacker to (R, C) scores."""
        fold_of = folds([s for s in self.speakers[ATTACK_SPLIT].clips], N_FOLDS, self._seed)
        held_out = self._network_speakers(False)
        in_attack = self._recordings(ATTACK_SPLIT)
        result: dict[str, dict[int, dict[str, np.ndarray]]] = {}
        for split, by_length in self.trials.items():
            own_folds = fold_of if split == ATTACK_SPLIT else {}
            result[split] = {}
            for length, trials in by_length.items():
                rows: dict[str, np.ndarray] = {}
                for evidence in self._evidence:
                    name = evidence.name
                    is_trained = hasattr(evidence, "fit")
                    train = {s: r for s, r in self.train.items() if not is_trained or s in held_out}
                    known = scoring.TrainingSet.of(train, vectors[name]).joined(
                        scoring.TrainingSet.of(in_attack, vectors[name])
                    )
                    is_network = is_trained or isinstance(evidence, EmbedderEvidence)
                    rows[name] = scoring.compare_by_plda(
                        trials, vectors[name], known, own_folds, unit_length=is_network
                    )
                    if is_network:
                        rows[f"{name}_cosine"] = scoring.compare_by_cosine(trials, vectors[name], vectors[name])
                    if isinstance(evidence, EmbedderEvidence):
                        rows[f"{name}_ignorant"] = scoring.compare_by_cosine(trials, original[name], vectors[name])
                result[split][length] = rows
        for length, trials in self.trials[ATTACK_SPLIT].items():
            stacked = np.stack(list(result[ATTACK_SPLIT][length].values()))
            counts = self._in_group(trials, ATTACK_SPLIT)
            result[ATTACK_SPLIT][length][FUSED] = scoring.fuse_by_folds(trials, stacked, counts, fold_of)
            if self.split != ATTACK_SPLIT and length in self.trials[self.split]:
                fusion = scoring.Fusion(stacked, scoring.same_speaker(trials), counts)
                rows = result[self.split][length]
                rows[FUSED] = fusion.score(np.stack(list(rows.values())))
        return result

    def _estimates(self, scores: Mapping[int, Mapping[str, np.ndarray]]) -> Estimates:
        estimates: dict[str, Estimate] = {}
        speakers = self.speakers[self.split]
        for length, rows in scores.items():
            trials = self.trials[self.split][length]
            counts = self._in_group(trials, self.split)
            enrolled, tested = (tuple(side.speaker for side in sides) for sides in (trials.enrollments, trials.tests))
            parts = {"": np.ones(len(enrolled), dtype=bool)}
            names = np.array([speakers.part(speaker) for speaker in enrolled])
            parts |= {f"@{part}": names == part for part in sorted(set(names))} if len(set(names)) > 1 else {}
            for attacker, matrix in rows.items():
                masked = np.where(counts, matrix, np.nan)
                for suffix, of_part in parts.items():
                    columns = np.isin(tested, np.array(enrolled)[of_part])
                    estimates[f"{attacker}.eer_{length}s{suffix}"] = metrics.estimate_eer(
                        masked[np.ix_(of_part, columns)],
                        np.array(enrolled)[of_part].tolist(),
                        np.array(tested)[columns].tolist(),
                        seed=self._seed,
                    )
                sizes = {GALLERY_SIZE: f"{attacker}.top1_{length}s"}
                if attacker == FUSED:
                    sizes |= {size: f"{attacker}.top1_of_{size}_{length}s" for size in OTHER_GALLERY_SIZES}
                for size, name in sizes.items():
                    if len(enrolled) >= size:
                        estimates[name] = _top1(matrix, enrolled, tested, size, self._seed)
        return estimates

    def _find_originals(self, system: str) -> Estimates:
        """Attack by somebody who holds the originals of the trials."""
        speakers, originals, outputs = [], [], []
        for speaker, of_speaker in self._recordings(self.split).items():
            for recording in of_speaker:
                pair = [self.outputs.wav(name, recording) for name in ("real", system)]
                if all(wav is not None for wav in pair):
                    speakers.append(speaker)
                    originals.append(Segment(pair[0]))
                    outputs.append(Segment(pair[1]))
        return database.measure(originals, outputs, speakers, seed=self._seed) if outputs else {}

    def _vectors(self, system: str) -> dict[str, dict[tuple[Recording, int], np.ndarray]]:
        """Evidence to segment to vector, of all recordings of the trials and of training."""
        trained = [evidence for evidence in self._evidence if hasattr(evidence, "fit")]
        fixed = [evidence for evidence in self._evidence if not hasattr(evidence, "fit")]
        in_training = [recording for of_speaker in self.train.values() for recording in of_speaker]
        in_trials = [
            recording
            for by_length in self.trials.values()
            for trials in by_length.values()
            for recording in trials.recordings
        ]
        everything = list(dict.fromkeys([*in_training, *in_trials]))
        vectors = self._measure_all(system, everything, fixed, f"measure {system}")
        for evidence in trained:
            self._train(system, evidence)
        if trained:
            unseen = [r for s in self._network_speakers(False) for r in self.train[s]]
            needed = list(dict.fromkeys([*unseen, *in_trials]))
            vectors |= self._measure_all(system, needed, trained, f"measure {system} by networks")
        return vectors

    def _measure_all(
        self, system: str, recordings: Sequence[Recording], evidence: Sequence[Evidence], stage: str
    ) -> dict[str, dict[tuple[Recording, int], np.ndarray]]:
        vectors: dict[str, dict[tuple[Recording, int], np.ndarray]] = {each.name: {} for each in evidence}
        for done, (recording, index, segment) in enumerate(self._segments(system, recordings), start=1):
            for each in evidence:
                vector = self._measurements.measure(each, segment)
                if vector is not None:
                    vectors[each.name][recording, index] = vector
            self._progress(stage, done, sum(recording.n_segments for recording in recordings))
        return vectors

    def _train(self, system: str, evidence: TrainedEvidence) -> None:
        """Train a network on a system's outputs, or load it from the cache."""
        chosen = {speaker: self.train[speaker] for speaker in self._network_speakers(True)}
        segments, speakers, digest = [], [], hashlib.sha256(f"{evidence.name}|{evidence.version}|{self._seed}".encode())
        of_recording = {recording: speaker for speaker, of_speaker in chosen.items() for recording in of_speaker}
        for recording, _, segment in self._segments(system, list(of_recording)):
            segments.append(segment)
            speakers.append(of_recording[recording])
            digest.update(segment.wav.tobytes())
        path = self._cache / "networks" / f"{evidence.name}-{digest.hexdigest()[:32]}.safetensors"
        if path.exists():
            evidence.load(load_file(path))
            return
        evidence.fit(
            segments,
            speakers,
            seed=self._seed,
            progress=lambda stage, done, total: self._progress(f"train {evidence.name} on {system}", done, total),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, save({name: tensor.contiguous() for name, tensor in evidence.state().items()}), force=True)

    def _segments(self, system: str, recordings: Sequence[Recording]) -> Iterable[tuple[Recording, int, Segment]]:
        for recording in recordings:
            wav = self.outputs.wav(system, recording)
            if wav is not None:
                for index, part in enumerate(cut_segments(wav, recording.n_segments)):
                    yield recording, index, Segment(part)

    def _network_speakers(self, for_network: bool) -> set[str]:
        """Training speakers of the networks, or those of their back ends."""
        names = list(self.train)
        n_first = round(NETWORK_SHARE * len(names))
        return set(names[:n_first] if for_network else names[n_first:])

    def _recordings(self, split: str) -> dict[str, list[Recording]]:
        """Speaker to all recordings in the trials of a split."""
        recordings: dict[str, dict[Recording, None]] = {}
        for trials in self.trials.get(split, {}).values():
            for side in (*trials.enrollments, *trials.tests):
                recordings.setdefault(side.speaker, {}).update(dict.fromkeys(r for r, _ in side.segments))
        return {speaker: list(of_speaker) for speaker, of_speaker in recordings.items()}

    def _group(self, speakers: Speakers) -> dict[str, str]:
        """Speaker to group: pairs across groups are easy, so they do not count for EER."""
        groups = {}
        for speaker in speakers.clips:
            sex = speakers.sex(speaker) or self._register(speakers.clips[speaker])
            groups[speaker] = f"{speakers.part(speaker)}|{sex}"
        return groups

    def _register(self, clips: Sequence[Clip]) -> str:
        """ "high" or "low", by the median F0 of the first recordings."""
        f0 = []
        for clip in clips[:3]:
            for recording in cut_clip(clip)[:1]:
                wav = self.outputs.wav("real", recording)
                f0.append(np.zeros(0) if wav is None else Segment(wav).f0)
        voiced = np.concatenate(f0) if f0 else np.zeros(0)
        voiced = voiced[voiced > 0]
        return "high" if len(voiced) and np.median(voiced) > HIGH_F0_HZ else "low"

    def _in_group(self, trials: TrialSet, split: str) -> np.ndarray:
        """(R, C) bool: pairs within a corpus, sex and age group."""
        group = self._groups[split]
        return np.equal.outer(
            np.array([group[side.speaker] for side in trials.enrollments]),
            np.array([group[side.speaker] for side in trials.tests]),
        )


def _top1(scores: np.ndarray, enrolled: Sequence[str], tested: Sequence[str], size: int, seed: int) -> Estimate:
    """How often the speaker is the best match of ``size`` enrolled ones, in %."""
    known = [i for i in range(len(enrolled)) if not np.isnan(scores[i]).all()]
    place = {enrolled[i]: row for row, i in enumerate(known)}
    values: list[float | None] = []
    for column, speaker in enumerate(tested):
        of_test = scores[known, column]
        if speaker not in place or np.isnan(of_test).all():
            values.append(None)
            continue
        rank = metrics.rank(np.nan_to_num(of_test, nan=-np.inf), place[speaker])
        values.append(100 * metrics.top1_among(rank, len(known), size))
    return metrics.estimate_mean(values, tested, "%", seed=seed)


def _read(corpora: Sequence[Path], split: str) -> Speakers:
    """The speakers of a split of all corpora that have it."""
    clips = {}
    for path in corpora:
        of_corpus = [clip for clip in manifest.read(path) if clip.split == split]
        if of_corpus:
            clips[corpus_name(path)] = of_corpus
    return Speakers.of(clips)


def evaluate(
    corpora: Sequence[str | os.PathLike],
    split: str,
    out: str | os.PathLike,
    *,
    pipeline: EvaluatedPipeline,
    evidence: Sequence[Evidence],
    systems: Sequence[str],
    seed: int = 0,
    quick: bool = False,
    progress: StepCallback | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Attack the systems, and write ``privacy.json``, ``privacy.md`` and plots into ``out``.

    Outputs, measurements and trained attackers are cached in ``out/.cache``, so that an interrupted
    run goes on.

    Parameters
    ----------
    corpora
        Manifests or folders, see :func:`saic.data.manifest.read`. Each is a corpus of its own, with
        the splits ``train`` and ``attack`` to train attackers on, and optionally ``dev``, whose
        voices are the targets of ``convert``.
    split
        Split of the trials.
    evidence
        What the attackers measure, see :func:`saic.evaluation.linkage.attackers.load`.
    systems
        Names of :data:`saic.evaluation.systems.SYSTEMS`.
    quick
        Few training speakers, and 5 and 15 s only.

    Raises
    ------
    SaicError
        The data cannot be used, or the control failed.
    """
    from saic.evaluation.linkage import plots, report

    paths, out = [Path(path) for path in corpora], Path(out)
    evaluation = LinkageEvaluation(
        paths,
        split,
        pipeline=pipeline,
        evidence=evidence,
        cache=out / ".cache",
        seed=seed,
        quick=quick,
        progress=progress or (lambda stage, done, total: None),
    )
    result = evaluation.measure(systems)
    report.require_controls(result)
    made = report.build(
        result,
        attackers=[each.name for each in evidence],
        command=command,
        seed=seed,
        weights_sha256=pipeline.info()["sha256"],
        split=split,
        manifests={corpus_name(path): manifest.fingerprint(path, ()) for path in paths},
        n_training=len(evaluation.train),
    )
    report.write(made, out)
    plots.save(made, out / "plots")
    return made
