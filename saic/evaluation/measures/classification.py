"""Speaker recognition on real recordings, without any conversion: the second half of the paper's
evaluation.

Each speaker is enrolled by one embedding; the source and the reference part of each speaker are the
trials. Recordings of patients are often short, so the same is measured on pieces of 3 s. All audio has
passed the codec.
"""

from collections.abc import Sequence

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.evaluators.embedders import Embedder
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import StepCallback
from saic.signal.vad import FRAMES_PER_S, speech_frames

PIECE_S = 3
MAX_PIECES = 4  # of a part
MIN_PIECE_SPEECH_S = 1.0
JUDGE = "resemblyzer"


def measure(
    dataset: EvaluationSet, embedders: Sequence[Embedder], *, seed: int, progress: StepCallback
) -> dict[str, Estimates]:
    """Compare embedders on the same recordings.

    Returns
    -------
    Name of the embedder to its figures:

    - ``top1``: share of recordings whose best match is their speaker.
    - ``eer``: equal error rate over all pairs of an enrolled speaker and a recording.
    - ``eer_3s``: the same over all pairs of an enrolled piece and another piece.
    - ``eer_3s_difference``: ``eer_3s`` less Resemblyzer's, in points and paired by speaker, if
      Resemblyzer is among the embedders.
    """
    enrolled_speakers = sorted(dataset.parts)
    # For a speaker with little audio the source part is the reference part: it counts once.
    trials = [
        (speaker, part)
        for speaker in enrolled_speakers
        for part in dict.fromkeys((dataset.parts[speaker].source, dataset.parts[speaker].reference))
    ]
    trial_speakers = [speaker for speaker, _ in trials]
    enrollments = [dataset.parts[speaker].enrollment for speaker in enrolled_speakers]
    wholes = [dataset.wav(part) for part in (*enrollments, *(part for _, part in trials))]
    pieces = [_pieces(wav) for wav in wholes]
    names = [*enrolled_speakers, *trial_speakers]
    n_enrolled = sum(map(len, pieces[: len(enrollments)]))
    piece_speakers = [name for name, of_part in zip(names, pieces, strict=True) for _ in of_part]
    sides = piece_speakers[:n_enrolled], piece_speakers[n_enrolled:]
    wavs = [*wholes, *(piece for of_part in pieces for piece in of_part)]
    measured, short_scores = {}, {}
    for embedder in embedders:
        embeddings = []
        for wav in wavs:
            embeddings.append(embedder.embed(wav))
            progress(f"classify by {embedder.name}", len(embeddings), len(wavs))
        enrolled, tested, short = np.split(np.stack(embeddings), [len(enrollments), len(wholes)])
        short_scores[embedder.name] = short[:n_enrolled] @ short[n_enrolled:].T
        scores = enrolled @ tested.T
        hits = [
            100.0 * (metrics.rank(column, enrolled_speakers.index(speaker)) == 1)
            for column, speaker in zip(scores.T, trial_speakers, strict=True)
        ]
        measured[embedder.name] = {
            "top1": metrics.estimate_mean(hits, trial_speakers, "%", seed=seed, are_hits=True),
            "eer": metrics.estimate_eer(scores, enrolled_speakers, trial_speakers, seed=seed),
            "eer_3s": metrics.estimate_eer(short_scores[embedder.name], *sides, seed=seed),
        }
    for name in measured:
        if JUDGE in measured and name != JUDGE:
            both = short_scores[name], short_scores[JUDGE]
            measured[name]["eer_3s_difference"] = metrics.estimate_eer_difference(*both, *sides, seed=seed)
    return measured


def _pieces(wav: np.ndarray) -> list[np.ndarray]:
    """Pieces of 3 s of a (N,) wav, at most four and evenly chosen, that hold a second of speech."""
    length = PIECE_S * SAMPLE_RATE
    cut = [wav[start : start + length] for start in range(0, len(wav) - length + 1, length)]
    spoken = [piece for piece in cut if speech_frames(piece).sum() >= MIN_PIECE_SPEECH_S * FRAMES_PER_S]
    chosen = np.linspace(0, len(spoken) - 1, min(MAX_PIECES, len(spoken)))
    return [spoken[k] for k in chosen.round().astype(int)]
