"""Make the gallery of finished weights.

``python -m train.voices --data MANIFEST --weights DIR [--parallel FOLDER]``. Its voices are those of
parallel synthetic speech (train.kokoro), which are nobody's, or without it speakers of the train
split: 60 of them, or as many as have 10 s of speech, but at least 2. It holds their embeddings,
content codes and statistics. Embeddings of synthetic voices are moved to where those of people are
(:func:`spread_as_people`). The threshold of ``identify`` is set on the dev split, whose speakers are
not in training.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from saic import audio
from saic.conversion import Speech
from saic.data.left_out import LeftOut, reason_of
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError
from saic.evaluation.metrics import equal_error_rate
from saic.gallery import Gallery, content_windows
from saic.pipeline import Embedding, Pipeline
from saic.signal.f0 import measure_f0_stats
from saic.signal.mel import FRAMES_PER_S, SAMPLE_RATE
from saic.weights import VOICES, write_sums
from train.entry import DataOption, ParallelOption, read_clips, run

N_VOICES = 60  # fewer if there are fewer
_THRESHOLD_SPEAKERS = 40  # of which the threshold is measured if the dev split is too small
MIN_VOICES = 2  # a pseudonym is a blend of three, or of two if there are no more
N_POINTS = 4  # per voice
WINDOW_S = 2.0
PART_S = 2.4  # speech that gives one point: 2 s of content codes and a margin
TRIAL_S = 4  # audio of each side of a pair, for the threshold
MAX_TRIAL_PARTS = 8  # per speaker


def main(
    data: DataOption,
    weights: Annotated[Path, typer.Option("--weights", help="Folder of finished weights.")],
    parallel: ParallelOption = None,
) -> None:
    """Write voices.safetensors to the weights folder and update SHA256SUMS."""
    pipeline = Pipeline.from_pretrained(weights)
    window = int(WINDOW_S * FRAMES_PER_S) // pipeline.model.config.content_stride
    left_out = LeftOut()
    clips = read_clips(data, "train", "dev")
    train, dev = ([clip for clip in clips if clip.split == split] for split in ("train", "dev"))
    chosen = own_sentences_first(choose(read_clips([parallel], "train") if parallel else train))
    measured, measured_clips = [], []
    for clips in tqdm(chosen, desc="voices", unit="voice"):
        if (voice := _measure(pipeline, clips, left_out)) is not None:
            measured.append(voice)
            measured_clips.append(clips)
    _require_voices(len(measured))
    points = [own for own, _, _ in measured]
    speaker, sexes = np.stack([[e.speaker for e in p] for p in points]), _sexes(measured_clips)
    if parallel:
        speaker = spread_as_people(speaker, sexes, *_embed_people(pipeline, train, left_out))
    gallery = Gallery(
        names=tuple(f"Voice {k + 1:02d}" for k in range(len(measured))),
        sexes=sexes,
        speaker=speaker,
        content=np.stack([[content_windows(e.content, window)[0] for e in p] for p in points]),
        f0_stats=np.stack([f0_stats for _, f0_stats, _ in measured]),
        mel_statistics=np.stack([statistics for _, _, statistics in measured]),
        threshold=_threshold(pipeline, dev, train, left_out),
    )
    gallery.save(weights / VOICES)
    write_sums(weights)
    if left_out:
        print(left_out.listing())
    print(f"{len(measured)} voices, {N_POINTS} points each; threshold {gallery.threshold:.3f}")
    if len(measured) < N_VOICES:
        print(
            f"The speech gave {len(measured)} of {N_VOICES} voices, so {_n_pseudonyms(gallery.sexes)} different"
            " pseudonyms. More speakers give more."
        )


def choose(clips: list[Clip]) -> list[list[Clip]]:
    """The 60 speakers with most audio, half of each sex if the corpus names it; fewer if there are fewer.

    Raises
    ------
    DataError
        There are too few.
    """
    chosen = _with_most_audio(clips)
    _require_voices(len(chosen))
    return chosen


def _with_most_audio(clips: list[Clip]) -> list[list[Clip]]:
    """As :func:`choose`, even if there are too few."""
    by_speaker = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    ranked = sorted(by_speaker.values(), key=lambda own: -sum(clip.duration_s for clip in own))
    ranked = [own for own in ranked if sum(clip.duration_s for clip in own) >= N_POINTS * PART_S]
    half = N_VOICES // 2
    women, men = ([own for own in ranked if own[0].sex == sex][:half] for sex in ("F", "M"))
    return (women + men + [own for own in ranked if own not in women + men])[:N_VOICES]


def own_sentences_first(chosen: list[list[Clip]]) -> list[list[Clip]]:
    """Sort the clips of each voice: first those whose text the fewest earlier voices have taken.

    Parallel speech repeats its sentences, and so do some corpora. Content codes of one sentence are alike whoever
    speaks, and would form a cluster in the map of content embeddings. Clips without a text keep their order.
    """
    taken: Counter[str] = Counter()
    ordered = []
    for clips in chosen:
        ordered.append(sorted(clips, key=lambda clip: taken[clip.text] if clip.text else 0))
        taken.update(clip.text for clip in ordered[-1][:N_POINTS] if clip.text)
    return ordered


def spread_as_people(
    voices: np.ndarray, sexes: Sequence[str], people: np.ndarray, sexes_of_people: Sequence[str]
) -> np.ndarray:
    """Move synthetic voices to where people's are: embeddings with the mean and the covariance of people's.

    To a speaker encoder, synthetic voices are more alike than people, and all of them are a little unlike people.
    Within each sex, the principal components of the voices become those of people, in the order of their variance;
    their signs are arbitrary. Between two voices, only the scale of each component changes. No voice becomes a
    person's.

    Parameters
    ----------
    voices
        (K, P, E) embeddings, P of each voice. What differs within a voice stays as it is.
    sexes
        K labels.
    people
        (S, E), an embedding of each person.
    sexes_of_people
        S labels. Voices take people of their sex, or all people if fewer than two have it, or if it is "?".

    Returns
    -------
    (K, P, E) float32. With fewer than two people, the voices stay where they are.

    References
    ----------
    Turner, Lovisotto and Martinovic 2020, "Speaker Anonymization with Distribution-Preserving X-Vector Generation
    for the VoicePrivacy Challenge 2020", draw embeddings from the distribution of people's.
    """
    if len(people) < 2:
        return voices.astype(np.float32)
    centers = voices.mean(axis=1, dtype=np.float64)
    moved = np.empty_like(centers)
    labels, labels_of_people = np.array(list(sexes)), np.array(list(sexes_of_people))
    for sex in set(sexes):
        own, theirs = labels == sex, labels_of_people == sex
        goal = (people if sex == "?" or theirs.sum() < 2 else people[theirs]).astype(np.float64)
        scores, _, _ = np.linalg.svd(centers[own] - centers[own].mean(axis=0), full_matrices=False)
        _, sizes, axes = np.linalg.svd(goal - goal.mean(axis=0), full_matrices=False)
        n = min(own.sum(), len(goal)) - 1  # deviations from a mean have one dimension less
        deviations = scores[:, :n] * np.sqrt(own.sum()) @ (sizes[:n, None] / np.sqrt(len(goal)) * axes[:n])
        moved[own] = goal.mean(axis=0) + deviations
    return (voices + (moved - centers)[:, None]).astype(np.float32)


def _embed_people(pipeline: Pipeline, train: list[Clip], left_out: LeftOut) -> tuple[np.ndarray, tuple[str, ...]]:
    """(S, E) mean embeddings of the speakers of the train split with most audio, and their sexes."""
    embedded, sexes = [], []
    for clips in tqdm(_with_most_audio(train), desc="people", unit="speaker"):
        if (voice := _measure(pipeline, clips, left_out)) is not None:
            embedded.append(np.mean([part.speaker for part in voice[0]], axis=0))
            sexes.append(clips[0].sex or "?")
    return np.array(embedded), tuple(sexes)


def _require_voices(count: int) -> None:
    if count < MIN_VOICES:
        raise DataError(
            f"A gallery needs at least {MIN_VOICES} voices with {N_POINTS * PART_S:.0f} s of speech each. There"
            f" {'is' if count == 1 else 'are'} {count}."
        )


def _sexes(chosen: list[list[Clip]]) -> tuple[str, ...]:
    """Label of each voice: "F", "M" or "?".

    Pseudonyms blend voices of one label, and a label with one voice would give that voice itself.
    In that case all labels are "?".
    """
    labels = tuple(clips[0].sex or "?" for clips in chosen)
    return labels if min(Counter(labels).values()) > 1 else ("?",) * len(labels)


def _n_pseudonyms(sexes: tuple[str, ...]) -> int:
    """Pairs of voices of one label."""
    return sum(n * (n - 1) // 2 for n in Counter(sexes).values())


def _measure(
    pipeline: Pipeline, clips: list[Clip], left_out: LeftOut
) -> tuple[list[Embedding], np.ndarray, np.ndarray] | None:
    """Embeddings of four parts of a speaker's audio; F0 and mel statistics of the whole of it.

    The parts are evenly spaced. The audio is four clips, or more if they are short. None if the
    speaker has too little audio or a part without speech.
    """
    wavs: list[np.ndarray] = []
    for clip in clips:
        if len(wavs) >= N_POINTS and sum(map(len, wavs)) >= N_POINTS * PART_S * SAMPLE_RATE:
            break
        if (loaded := _load(clip, left_out)) is not None:
            wavs.append(loaded)
    size = int(PART_S * SAMPLE_RATE)
    if sum(map(len, wavs)) < N_POINTS * size:
        return None
    wav = np.concatenate(wavs)
    starts = np.linspace(0, len(wav) - size, N_POINTS).astype(int)
    try:
        embeddings = [pipeline.embed((wav[start : start + size], SAMPLE_RATE)) for start in starts]
    except AudioError:
        return None
    speech = Speech.from_wav(wav)
    return embeddings, measure_f0_stats(speech.vowel_f0[0]).numpy(), speech.mel_statistics[0].numpy()


def _load(clip: Clip, left_out: LeftOut) -> np.ndarray | None:
    """Audio of a clip; None, and counted, if it cannot be decoded."""
    try:
        return audio.load(clip.path)
    except AudioError as error:
        if clip.utterance not in left_out.get(reason := reason_of(error), ()):
            left_out.add(reason, clip.utterance)
        return None


def _threshold(pipeline: Pipeline, dev: list[Clip], train: list[Clip], left_out: LeftOut) -> float:
    """Cosine similarity at the equal error rate, over pairs of 4 s parts of unseen speakers.

    If the dev split is too small for pairs of both kinds, its speakers' clips are joined, and then
    speakers of the train split are added.
    """
    chosen = _first_speakers(dev + train, _THRESHOLD_SPEAKERS)
    fewer = [clip for clip in dev + train if clip.speaker in chosen]
    for clips, joined in ((dev, False), (dev, True), (fewer, True)):
        embedded = _embed_parts(pipeline, clips, left_out, joined=joined)
        speakers = np.array([speaker for speaker, _ in embedded], dtype=str)
        first, second = np.triu_indices(len(speakers), k=1)
        same = speakers[first] == speakers[second]
        if same.any() and not same.all():
            break
    else:
        raise DataError(f"The threshold needs two speakers with {2 * TRIAL_S} s of audio each.")
    if clips is not dev:
        print("threshold: the dev split has too little audio, so some of the speakers were in training")
    embeddings = np.stack([embedding for _, embedding in embedded])
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = (units @ units.T)[first, second]
    rate, threshold = equal_error_rate(scores[same], scores[~same])
    print(f"threshold: equal error rate {rate:.1%} over {same.sum()} same and {(~same).sum()} different pairs")
    return threshold


def _first_speakers(clips: list[Clip], count: int) -> set[str]:
    return set(list(dict.fromkeys(clip.speaker for clip in clips))[:count])


def _embed_parts(
    pipeline: Pipeline, clips: list[Clip], left_out: LeftOut, *, joined: bool
) -> list[tuple[str, np.ndarray]]:
    """Speakers and embeddings (E,) of their parts of 4 s; parts without speech are left out.

    At most 8 parts of each: a few speakers have most of the audio. A part is of one clip, or with
    ``joined`` of the speaker's clips end to end.
    """
    size = TRIAL_S * SAMPLE_RATE
    embedded: list[tuple[str, np.ndarray]] = []
    counts: dict[str, int] = defaultdict(int)
    rests: dict[str, np.ndarray] = {}
    for clip in tqdm(clips, desc="threshold", unit="clip"):
        if counts[clip.speaker] >= MAX_TRIAL_PARTS or (wav := _load(clip, left_out)) is None:
            continue
        if joined:
            wav = np.concatenate([rests.get(clip.speaker, wav[:0]), wav])
        for start in range(0, len(wav) - size + 1, size):
            if counts[clip.speaker] < MAX_TRIAL_PARTS:
                with suppress(AudioError):
                    embedding = pipeline.embed((wav[start : start + size], SAMPLE_RATE)).speaker
                    embedded.append((clip.speaker, embedding))
                    counts[clip.speaker] += 1
        rests[clip.speaker] = wav[len(wav) // size * size :]
    return embedded


if __name__ == "__main__":
    run(main)
