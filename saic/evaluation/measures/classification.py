"""Who speaks in real recordings? The second half of the paper: embeddings as classifiers, without any synthesis.

Everyone is enrolled by one embedding; the source and the reference part of each speaker are the recordings in
question. All audio passed the codec.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import Corpus, Progress
from saic.evaluation.evaluators.embedders import Embedder


def measure(
    corpus: Corpus, embedders: Sequence[Embedder], *, seed: int, progress: Progress
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compare embedders on the same recordings.

    Returns
    -------
    Name of the embedder to ``top1``, the share of recordings whose best match is their speaker, and ``eer``, the
    equal error rate of all pairs of an enrolled voice and a recording. Leaves as in
    :func:`saic.evaluation.metrics.figure`.
    """
    gallery = sorted(corpus.parts)
    # Of a speaker with little audio the source part is the reference part: it counts once.
    probes = [
        (speaker, part)
        for speaker in gallery
        for part in dict.fromkeys((corpus.parts[speaker].source, corpus.parts[speaker].reference))
    ]
    speakers = [speaker for speaker, _ in probes]
    total = len(gallery) + len(probes)
    measured = {}
    for embedder in embedders:
        embeddings = []
        for part in (*(corpus.parts[speaker].enrolment for speaker in gallery), *(part for _, part in probes)):
            embeddings.append(embedder.embed(corpus.wav(part)))
            progress(f"classify by {embedder.name}", len(embeddings), total)
        enrolled, heard = np.split(np.stack(embeddings), [len(gallery)])
        scores = enrolled @ heard.T
        hits = [
            100.0 * (metrics.rank(column, gallery.index(speaker)) == 1)
            for column, speaker in zip(scores.T, speakers, strict=True)
        ]
        measured[embedder.name] = {
            "top1": metrics.figure(hits, speakers, "%", seed=seed),
            "eer": metrics.eer_figure(scores, gallery, speakers, seed=seed),
        }
    return measured
