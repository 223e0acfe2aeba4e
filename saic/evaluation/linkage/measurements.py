"""Measurements of segments, cached in one SQLite file."""

import hashlib
import json
import sqlite3
from pathlib import Path

import numpy as np

from saic.errors import AudioError
from saic.evaluation.cache_keys import code_fingerprint
from saic.evaluation.linkage.evidence import Evidence
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.report_parts import package_versions

_CODE = (
    *("signal", "evaluation/evaluators/embedders.py"),
    *(f"evaluation/linkage/{name}.py" for name in ("evidence", "networks", "segment", "statistics")),
)


class Measurements:
    """Vectors of segments by kind of evidence.

    The key of a vector has the name of the evidence, of a trained network also the hash of its
    weights, and hashes of the source code that measures and of the samples.

    Attributes
    ----------
    code
        Hash of that source code.
    """

    def __init__(self, path: Path):
        self.code = code_fingerprint(*_CODE) + json.dumps(package_versions(), sort_keys=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")

    def measure(self, evidence: Evidence, segment: Segment) -> np.ndarray | None:
        """(E,) float32; None if the segment has nothing to measure, such as silence."""
        made_by = f"{evidence.name}|{self.code}|{getattr(evidence, 'fingerprint', '')}|"
        key = hashlib.sha256(made_by.encode() + segment.wav.tobytes()).digest()
        row = self._database.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        if row is None:
            try:
                vector = np.asarray(evidence.measure(segment), dtype=np.float32)
            except AudioError:
                vector = np.zeros(0, dtype=np.float32)
            row = (vector.tobytes(),)
            self._database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (key, *row))
        return np.frombuffer(row[0], dtype=np.float32) if row[0] else None
