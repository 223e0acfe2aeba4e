"""The linkage evaluation: how well attackers tell whether converted recordings are of one speaker.

Every attacker knows converted speech of other speakers, of the splits ``train`` and ``attack``, and
has 5, 15 or 28 s of each side of a trial, or all that there is of a speaker. All attackers together
are ``fused``. The figure that counts is that of the strongest attacker, see
:func:`saic.evaluation.linkage.report.strongest`.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save

from saic import files
from saic.data import manifest
from saic.data.corpora import ATTACK, DEV, TRAIN
from saic.data.manifest import Clip, paths_by_name
from saic.errors import DataError
from saic.evaluation import metrics
from saic.evaluation.linkage import database, inference, report, scoring, transcripts
from saic.evaluation.linkage.evidence import EmbedderEvidence, Evidence, TrainedEvidence
from saic.evaluation.linkage.material import (
    ALL,
    LENGTHS_S,
    MAX_TEST_SIDES,
    TRAIN_RECORDINGS,
    Length,
    Recording,
    Speakers,
    TrialSet,
    choose_speakers,
    cut_clip,
    folds,
    length_name,
    training_recordings,
    trial_set,
)
from saic.evaluation.linkage.measurements import Measurements
from saic.evaluation.linkage.outputs import RecordingOutputs, cut_segments
from saic.evaluation.linkage.result import (
    FUSED,
    GALLERY_SIZE,
    INFERENCE_S,
    ONE_LANGUAGE,
    OTHER_GALLERY_SIZES,
    SAME_SPEAKERS,
    TWO_SESSIONS,
    LinkageResult,
)
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.protocols import EvaluatedPipeline, StepCallback
from saic.evaluation.systems import COMPARED_PROFILES, PROFILE_BASELINE
from saic.signal.f0 import REGISTER_HZ

CONTROLS = ("real", "copy_source")
"""Measured in every run, before all other systems.

A copy passes the codec twice, an original once. So nothing that was measured of originals is taken for
copies: the control tests every step from the output to the fusion.
"""
N_FOLDS = 5
TRAIN_SPEAKERS = 300
QUICK_TRAIN_SPEAKERS, QUICK_TRAIN_RECORDINGS = 40, 2  # recordings per speaker
QUICK_SPEAKERS = 20  # of ``attack``, and of the split of the trials
NETWORK_SHARE = 0.75  # of the training speakers for the networks; the rest trains their PLDA
MIN_LANGUAGE_SPEAKERS = 20  # with another speaker of their corpus, language, sex and age group
MIN_SESSION_SPEAKERS = 20  # with two sessions, of one corpus


class LinkageEvaluation:
    """Speakers, trials and training material, the same for all systems.

    Parameters
    ----------
    corpora
        Name of each corpus to the clips of all its splits.
    split
        Split of the trials. If it is not ``attack``, the fusion and the back ends are trained on
        ``attack``; if it is, they are trained by folds of its speakers.
    quick
        Few speakers of each split, see :func:`~saic.evaluation.linkage.material.choose_speakers`,
        one test side each, and 5 and 15 s only.

    Notes
    -----
    A :class:`TrainedEvidence` is trained on ``train`` alone; its PLDA and the fusion also on ``attack``.
    A network that was trained on speakers of ``attack`` would score them too well, and the fusion
    would give it too much weight. To avoid that, each pair needs a network that knows neither of its
    speakers. With five folds these are 15 networks for each attacker and system, at ten minutes each,
    where a system may take an hour.

    One more network, for the trials of another split alone, could be trained on 323 speakers instead
    of 225. But its PLDA would have 75 speakers instead of 173, and the fusion would be trained on the
    scores of another network.

    Raises
    ------
    DataError
        Speakers of ``split`` are in a split that attackers are trained on, or there are too few speakers.
    """

    def __init__(
        self,
        corpora: Mapping[str, Sequence[Clip]],
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
        self.speakers = {name: _of_split(corpora, name) for name in {split, ATTACK, TRAIN}}
        if not self.speakers[split].clips:
            raise DataError(f"No corpus has the split {split!r}.")
        _require_unseen(self.speakers, split)
        lengths: tuple[Length, ...] = LENGTHS_S[:2] if quick else (*LENGTHS_S, ALL)
        splits = dict.fromkeys((ATTACK, split))
        if quick:
            for name in splits:
                self.speakers[name] = choose_speakers(self.speakers[name], QUICK_SPEAKERS, lengths, seed)
        n_speakers, n_recordings = (
            (QUICK_TRAIN_SPEAKERS, QUICK_TRAIN_RECORDINGS) if quick else (TRAIN_SPEAKERS, TRAIN_RECORDINGS)
        )
        self.train = training_recordings(self.speakers[TRAIN], n_speakers, seed, n_recordings)
        if len(self.train) < 2:
            raise DataError("The attackers need a split 'train' with at least two speakers of two recordings.")
        names, n_first = list(self.train), round(NETWORK_SHARE * len(self.train))
        self._network_speakers, self._back_end_speakers = names[:n_first], names[n_first:]
        n_tests = 1 if quick else MAX_TEST_SIDES
        self.trials = {
            name: {
                length: trials
                for length in lengths
                if len((trials := trial_set(self.speakers[name], length, seed, n_tests)).enrollments) > 1
            }
            for name in splits
        }
        targets = [] if split == DEV else _all_recordings(_of_split(corpora, DEV))
        references = targets or _all_recordings(self.speakers[TRAIN])
        self.outputs = RecordingOutputs(pipeline, references, cache / "outputs", seed=seed)
        self._groups = {name: self._group(self.speakers[name]) for name in splits}
        shared = [
            length
            for length in lengths
            if all(length in trials and self._has_pairs(name, length) for name, trials in self.trials.items())
        ]
        if not set(shared) - {ALL}:
            raise DataError(
                f"The splits '{ATTACK}' and '{split}' each need two speakers of one corpus, sex and age group"
                f" with two recordings of {LENGTHS_S[0]} s."
            )
        self.trials = {name: {length: trials[length] for length in shared} for name, trials in self.trials.items()}
        self._measurements = Measurements(cache / "measurements.sqlite")

    def measure(self, systems: Sequence[str]) -> LinkageResult:
        """Run all attackers on :data:`CONTROLS` and on the systems.

        Raises
        ------
        SaicError
            A control is out of range. It is raised before the systems are attacked.
        """
        scores: dict[str, dict[str, dict[Length, dict[str, np.ndarray]]]] = {}
        estimates: dict[str, Estimates] = {}
        original: dict[str, scoring.Vectors] = {}
        for system in dict.fromkeys((*CONTROLS, *systems)):
            vectors = self._vectors(system)
            if system == "real":
                original = vectors
            scores[system] = self._attack(vectors, original)
            estimates[system] = self._estimates(scores[system][self.split]) | self._infer(vectors)
            if system == CONTROLS[-1]:
                report.require_controls(LinkageResult(estimates, self.trials[self.split]))
        for system in list(scores)[1:]:  # all but the originals themselves
            estimates[system] |= self._find_originals(system)
        own = {system: of_system[self.split] for system, of_system in scores.items()}
        for system in systems:
            if PROFILE_BASELINE in own and system in COMPARED_PROFILES:
                estimates[system] |= self._gain(own[system], own[PROFILE_BASELINE])
        return LinkageResult(estimates, self.trials[self.split], self._read_transcripts())

    def _attack(
        self, vectors: Mapping[str, scoring.Vectors], original: Mapping[str, scoring.Vectors]
    ) -> dict[str, dict[Length, dict[str, np.ndarray]]]:
        """Split to length to attacker to (R, C) scores."""
        fold_of = folds(list(self.speakers[ATTACK].clips), N_FOLDS, self._seed)
        known = {each.name: self._known(each, vectors[each.name]) for each in self._evidence}
        result: dict[str, dict[Length, dict[str, np.ndarray]]] = {}
        for split, by_length in self.trials.items():
            own_folds = fold_of if split == ATTACK else {}
            result[split] = {}
            for length, trials in by_length.items():
                rows: dict[str, np.ndarray] = {}
                for evidence in self._evidence:
                    name = evidence.name
                    is_network = isinstance(evidence, TrainedEvidence | EmbedderEvidence)
                    rows[name] = scoring.compare_by_plda(
                        trials, vectors[name], known[name], own_folds, unit_length=is_network
                    )
                    if is_network:
                        rows[f"{name}_cosine"] = scoring.compare_by_cosine(trials, vectors[name], vectors[name])
                    if isinstance(evidence, EmbedderEvidence):
                        rows[f"{name}_ignorant"] = scoring.compare_by_cosine(trials, original[name], vectors[name])
                result[split][length] = rows
        for length, trials in self.trials[ATTACK].items():
            stacked = np.stack(list(result[ATTACK][length].values()))
            counts = self._in_group(trials, ATTACK)
            result[ATTACK][length][FUSED] = scoring.fuse_by_folds(trials, stacked, counts, fold_of)
            if self.split != ATTACK and length in self.trials[self.split]:
                fusion = scoring.Fusion(stacked, scoring.same_speaker(trials), counts)
                rows = result[self.split][length]
                rows[FUSED] = fusion.score(np.stack(list(rows.values())))
        return result

    def _known(self, evidence: Evidence, vectors: scoring.Vectors) -> scoring.TrainingSet:
        """What the PLDA learns from: speakers of ``train`` whom the evidence was not trained on, and ``attack``."""
        names = self._back_end_speakers if isinstance(evidence, TrainedEvidence) else self.train
        of_train = scoring.TrainingSet.of({name: self.train[name] for name in names}, vectors)
        return of_train.joined(scoring.TrainingSet.of(self._recordings(ATTACK), vectors))

    def _estimates(self, scores: Mapping[Length, Mapping[str, np.ndarray]]) -> Estimates:
        estimates: dict[str, Estimate] = {}
        for length, rows in scores.items():
            trials = self.trials[self.split][length]
            name = length_name(length)
            masks = self._parts(trials) | self._same_speakers(length)
            enrolled, tested = trials.speakers
            for attacker, matrix in rows.items():
                for part, mask in masks.items():
                    estimates[f"{attacker}.eer_{name}{part}"] = self._eer(matrix, mask, trials)
                sizes = {GALLERY_SIZE: f"{attacker}.top1_{name}"}
                if attacker == FUSED:
                    sizes |= {size: f"{attacker}.top1_of_{size}_{name}" for size in OTHER_GALLERY_SIZES}
                    estimates[f"{attacker}.top1_of_all_{name}"] = _top1(matrix, enrolled, tested, None, self._seed)
                for size, figure in sizes.items():
                    if (~np.isnan(matrix).all(axis=1)).sum() >= size:
                        estimates[figure] = _top1(matrix, enrolled, tested, size, self._seed)
        return estimates

    def _gain(
        self, scores: Mapping[Length, Mapping[str, np.ndarray]], baseline: Mapping[Length, Mapping[str, np.ndarray]]
    ) -> Estimates:
        """How much higher the EER of the attacker ``fused`` is than on the baseline."""
        return {
            f"{FUSED}.gain_{length_name(length)}": metrics.estimate_eer_difference(
                *(np.where(self._in_group(trials, self.split), s[length][FUSED], np.nan) for s in (scores, baseline)),
                *trials.speakers,
                seed=self._seed,
            )
            for length, trials in self.trials[self.split].items()
        }

    def _read_transcripts(self) -> Estimates:
        """Attack by the words and by the language alone, of speakers whose texts are known."""
        estimates: dict[str, Estimate] = {}
        for length, trials in self.trials[self.split].items():
            name, masks = length_name(length), self._parts(trials)
            enrolled, tested = trials.speakers
            texts, languages = transcripts.compare_texts(trials), transcripts.compare_languages(trials)
            for attacker, matrix in (("text", texts), ("language", languages)):
                for part, mask in masks.items():
                    if len(np.unique(matrix[mask & ~np.isnan(matrix)])) < 2:
                        continue  # all scores are equal, so that the EER is 50 % whatever the speakers
                    estimate = self._eer(matrix, mask, trials)
                    if estimate.value is not None:
                        estimates[f"{attacker}.eer_{name}{part}"] = estimate
            if (~np.isnan(texts).all(axis=1)).sum() >= GALLERY_SIZE:
                estimates[f"text.top1_{name}"] = _top1(texts, enrolled, tested, GALLERY_SIZE, self._seed)
            if len(enrolled) >= GALLERY_SIZE and not np.isnan(languages).any():
                alike = [
                    transcripts.top1_of_guess(len(enrolled), int(column.sum()), GALLERY_SIZE)
                    if column[enrolled.index(speaker)]
                    else 0.0
                    for column, speaker in zip(languages.T, tested, strict=True)
                ]
                estimates[f"language.top1_{name}"] = metrics.estimate_mean(
                    [100 * share for share in alike], tested, "%", seed=self._seed
                )
        return estimates

    def _infer(self, vectors: Mapping[str, scoring.Vectors]) -> Estimates:
        """How well attributes of the speakers are told from the mean vectors of sides."""
        trials = self.trials[self.split].get(INFERENCE_S)
        if trials is None:
            return {}
        speakers = self.speakers[self.split]
        sides = (*trials.enrollments, *trials.tests)
        languages = {side.speaker: transcripts.language(side) for side in trials.enrollments}
        names = list(languages)
        attributes = {
            "sex": {name: speakers.sex(name) for name in names},
            "age_group": {name: speakers.age_group(name) for name in names},
            "corpus": {name: speakers.corpus(name) for name in names},
            "language": languages,
        }
        rows = inference.mean_vectors(sides, vectors)
        estimates: dict[str, Estimate] = {}
        for attribute, labels in attributes.items():
            known = {name: label for name, label in labels.items() if label is not None}
            found = inference.infer(rows, [side.speaker for side in sides], known, seed=self._seed)
            if found is not None:
                estimates[f"inference.{attribute}"], estimates[f"inference.{attribute}_chance"] = found
        return estimates

    def _parts(self, trials: TrialSet) -> dict[str, np.ndarray]:
        """End of a figure's name to (R, C) bool: the pairs that count for it."""
        speakers, counts = self.speakers[self.split], self._in_group(trials, self.split)
        rows, columns = (np.array([speakers.part(name) for name in names]) for names in trials.speakers)
        parts = {"": counts}
        names = sorted(set(rows.tolist()))
        pairs_of = {name: counts & np.logical_and.outer(rows == name, columns == name) for name in names}
        if len(names) > 1:
            parts |= {f"@{name}": pairs for name, pairs in pairs_of.items()}
        in_language = counts & (transcripts.compare_languages(trials) == 1)
        is_same = scoring.same_speaker(trials)
        have_sessions = [np.array([speakers.has_sessions(name) for name in side]) for side in trials.speakers]
        across_sessions = counts & np.logical_and.outer(*have_sessions)
        for name, of_part in pairs_of.items():
            within = of_part & in_language
            # Without another speaker of the language, a speaker has no pair to be confused with.
            within &= (within & ~is_same).any(axis=1)[:, None]
            if (of_part & ~in_language).any() and (within & is_same).any(axis=1).sum() >= MIN_LANGUAGE_SPEAKERS:
                parts[f"@{name}, {ONE_LANGUAGE}"] = within
            within = of_part & across_sessions
            if (within & is_same).any(axis=1).sum() >= MIN_SESSION_SPEAKERS:
                parts[f"@{name}, {TWO_SESSIONS}"] = within
        return parts

    def _same_speakers(self, length: Length) -> dict[str, np.ndarray]:
        """As :meth:`_parts`, of the speakers who have trials of every length in seconds; empty if these are all."""
        if length == ALL:
            return {}
        by_length = {key: trials for key, trials in self.trials[self.split].items() if key != ALL}
        names = [{side.speaker for side in trials.enrollments} for trials in by_length.values()]
        shared = set.intersection(*names)
        if all(of_length == shared for of_length in names):
            return {}
        trials = by_length[length]
        are_shared = ([name in shared for name in side] for side in trials.speakers)
        return {f"@{SAME_SPEAKERS}": self._in_group(trials, self.split) & np.logical_and.outer(*are_shared)}

    def _eer(self, scores: np.ndarray, mask: np.ndarray, trials: TrialSet) -> Estimate:
        return metrics.estimate_eer(np.where(mask, scores, np.nan), *trials.speakers, seed=self._seed)

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
        trained = [evidence for evidence in self._evidence if isinstance(evidence, TrainedEvidence)]
        fixed = [evidence for evidence in self._evidence if not isinstance(evidence, TrainedEvidence)]
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
            unseen = [r for s in self._back_end_speakers for r in self.train[s]]
            needed = list(dict.fromkeys([*unseen, *in_trials]))
            vectors |= self._measure_all(system, needed, trained, f"measure {system} by networks")
        return vectors

    def _measure_all(
        self, system: str, recordings: Sequence[Recording], evidence: Sequence[Evidence], stage: str
    ) -> dict[str, dict[tuple[Recording, int], np.ndarray]]:
        vectors: dict[str, dict[tuple[Recording, int], np.ndarray]] = {each.name: {} for each in evidence}
        total = sum(recording.n_segments for recording in recordings)
        for done, (recording, index, segment) in enumerate(self._segments(system, recordings), start=1):
            for each in evidence:
                vector = self._measurements.measure(each, segment)
                if vector is not None:
                    vectors[each.name][recording, index] = vector
            self._progress(stage, done, total)
        return vectors

    def _train(self, system: str, evidence: TrainedEvidence) -> None:
        """Train a network on a system's outputs, or load it from the cache."""
        made_by = f"{evidence.name}|{self._measurements.code}|{self.outputs.run_key}"
        segments, speakers, digest = [], [], hashlib.sha256(made_by.encode())
        of_recording = {recording: speaker for speaker in self._network_speakers for recording in self.train[speaker]}
        for recording, _, segment in self._segments(system, list(of_recording)):
            segments.append(segment)
            speakers.append(of_recording[recording])
            digest.update(speakers[-1].encode(errors="surrogateescape") + segment.wav.tobytes())
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
        wavs = [self.outputs.wav("real", recording) for clip in clips[:3] for recording in cut_clip(clip)[:1]]
        f0 = np.concatenate([np.zeros(0, np.float32), *(Segment(wav).f0 for wav in wavs if wav is not None)])
        voiced = f0[f0 > 0]
        return "high" if len(voiced) and np.median(voiced) > REGISTER_HZ else "low"

    def _has_pairs(self, split: str, length: Length) -> bool:
        """Whether a split has a pair of different speakers that counts: fusion is trained on it, an EER needs it."""
        trials = self.trials[split][length]
        return bool((self._in_group(trials, split) & ~scoring.same_speaker(trials)).any())

    def _in_group(self, trials: TrialSet, split: str) -> np.ndarray:
        """(R, C) bool: pairs within a corpus, sex and age group."""
        group = self._groups[split]
        return np.equal.outer(*(np.array([group[name] for name in names]) for names in trials.speakers))


def _top1(scores: np.ndarray, enrolled: Sequence[str], tested: Sequence[str], size: int | None, seed: int) -> Estimate:
    """How often the speaker is the best match of ``size`` enrolled ones, None for all of them, in %."""
    known = [i for i in range(len(enrolled)) if not np.isnan(scores[i]).all()]
    place = {enrolled[i]: row for row, i in enumerate(known)}
    values: list[float | None] = []
    for column, speaker in enumerate(tested):
        of_test = scores[known, column]
        if speaker not in place or np.isnan(of_test).all():
            values.append(None)
            continue
        rank = metrics.rank(np.nan_to_num(of_test, nan=-np.inf), place[speaker])
        values.append(100 * metrics.top1_among(rank, len(known), len(known) if size is None else size))
    return metrics.estimate_mean(values, tested, "%", seed=seed, are_hits=True)


def _of_split(corpora: Mapping[str, Sequence[Clip]], split: str) -> Speakers:
    """The speakers of a split of all corpora that have it."""
    return Speakers.of(
        {name: [clip for clip in of_corpus if clip.split == split] for name, of_corpus in corpora.items()}
    )


def _all_recordings(speakers: Speakers) -> list[Recording]:
    return [recording for clips in speakers.clips.values() for clip in clips for recording in cut_clip(clip)]


def _require_unseen(speakers: Mapping[str, Speakers], split: str) -> None:
    """Raise DataError if speakers of the trials are in another split, on which attackers are trained."""
    for other in (TRAIN, ATTACK):
        seen = speakers[split].clips.keys() & speakers[other].clips.keys()
        if seen and (other != split or split == TRAIN):
            raise DataError(
                f"{len(seen)} speakers of the split '{split}' are in '{other}' too, on which the attackers are trained."
                " Attacks are measured on unseen speakers: give each speaker one split, as train.prepare does."
            )


def evaluate(
    corpora: Sequence[str | os.PathLike],
    split: str,
    cache: Path,
    *,
    pipeline: EvaluatedPipeline,
    evidence: Sequence[Evidence],
    systems: Sequence[str],
    seed: int = 0,
    quick: bool = False,
    progress: StepCallback | None = None,
    command: str = "",
    clips: Mapping[str, Sequence[Clip]] | None = None,
) -> dict[str, Any]:
    """Attack the systems.

    Parameters
    ----------
    corpora
        Manifests or folders, see :func:`saic.data.manifest.read`. Each is a corpus of its own, with
        the splits ``train`` and ``attack`` to train attackers on, and optionally ``dev``, whose
        voices are the targets of ``convert``.
    split
        Split of the trials.
    cache
        Folder for outputs, measurements and trained attackers, so that an interrupted run goes on.
    evidence
        What the attackers measure, see :func:`saic.evaluation.linkage.attackers.load`.
    systems
        Names of :data:`saic.evaluation.systems.SYSTEMS`, beside :data:`CONTROLS`.
    quick
        Few speakers, and 5 and 15 s only: about five minutes on two cores.
    clips
        Name of each corpus to its clips, if they have been read already.

    Returns
    -------
    The report, see :mod:`saic.evaluation.linkage.report`.

    Raises
    ------
    SaicError
        The data cannot be used, or the control failed.
    """
    paths = paths_by_name(corpora)
    clips = clips or {name: manifest.read(path) for name, path in paths.items()}
    evaluation = LinkageEvaluation(
        clips,
        split,
        pipeline=pipeline,
        evidence=evidence,
        cache=cache,
        seed=seed,
        quick=quick,
        progress=progress or (lambda stage, done, total: None),
    )
    result = evaluation.measure(systems)
    return report.build(
        result,
        attackers=[each.name for each in evidence],
        command=command,
        seed=seed,
        weights_sha256=pipeline.info()["sha256"],
        split=split,
        manifests={name: manifest.fingerprint(path, clips[name]) for name, path in paths.items()},
        n_training=len(evaluation.train),
    )
