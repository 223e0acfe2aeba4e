"""Speaker recognition on real recordings, without any conversion: the second half of the paper's
evaluation.

Each speaker is enrolled by one embedding; the source and the reference part of each speaker are the
trials. All audio has passed the codec.
"""

from collections.abc import Sequence

import numpy as np

from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.evaluators.embedders import Embedder
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import StepCallback


def measure(
    dataset: EvaluationSet, embedders: Sequence[Embedder], *, seed: int, progress: StepCallback
) -> dict[str, Estimates]:
    """Compare embedders on the same recordings.

    Returns
    -------
    Name of the embedder to ``top1``, the share of recordings whose best match is their speaker, and
    ``eer``, the equal error rate over all pairs of an enrolled speaker and a recording.
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
    total = len(enrollments) + len(trials)
    measured = {}
    for embedder in embedders:
        embeddings = []
        for part in (*enrollments, *(part for _, part in trials)):
            embeddings.append(embedder.embed(dataset.wav(part)))
            progress(f"classify by {embedder.name}", len(embeddings), total)
        enrolled, tested = np.split(np.stack(embeddings), [len(enrollments)])
        scores = enrolled @ tested.T
        hits = [
            100.0 * (metrics.rank(column, enrolled_speakers.index(speaker)) == 1)
            for column, speaker in zip(scores.T, trial_speakers, strict=True)
        ]
        measured[embedder.name] = {
            "top1": metrics.estimate_mean(hits, trial_speakers, "%", seed=seed),
            "eer": metrics.estimate_eer(scores, enrolled_speakers, trial_speakers, seed=seed),
        }
    return measured
