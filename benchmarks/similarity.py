"""Typical speaker similarities of one person's and of two people's recordings.

``python -m benchmarks.similarity --data MANIFEST_OR_FOLDER --split SPLIT`` embeds two disjoint
parts of every speaker with Resemblyzer, after the MP3 round trip of the evaluation. Resemblyzer is
independent of this project's weights. The quantiles of the cosine similarities go to
``saic/evaluation/typical_similarity.json``; the page shows them beside those of a visitor's recording.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from saic.data import manifest
from saic.evaluation.data.evaluation_set import PartitionedSet
from saic.evaluation.evaluators.embedders import Resemblyzer

OUTPUT = Path(__file__).parents[1] / "saic" / "evaluation" / "typical_similarity.json"
QUANTILES = {"low": 0.05, "median": 0.5, "high": 0.95}


def quantiles(similarities: np.ndarray) -> dict[str, float]:
    """Quantiles of similarities (n,)."""
    return {name: round(float(np.quantile(similarities, q)), 3) for name, q in QUANTILES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", required=True)
    arguments = parser.parse_args()
    dataset = PartitionedSet(
        manifest.read(arguments.data, [arguments.split]), seed=0, quick=False, progress=lambda *_: None
    )
    embedder = Resemblyzer()
    first, second = (
        np.stack([embedder.embed(dataset.wav(getattr(parts, name))) for parts in dataset.parts.values()])
        for name in ("enrollment", "source")
    )
    similarity = first @ second.T
    one_person = np.eye(len(similarity), dtype=bool)
    result = {
        "embedder": embedder.name,
        "same": quantiles(similarity[one_person]),
        "different": quantiles(similarity[~one_person]),
        "speakers": len(similarity),
        "command": f"python -m benchmarks.similarity --data MANIFEST --split {arguments.split}",
    }
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
