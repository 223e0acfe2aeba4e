"""Parts of the keys of all caches of an evaluation: what was made by other code is made again."""

import hashlib
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

import saic
from saic.evaluation.protocols import EvaluatedPipeline
from saic.evaluation.report_parts import package_versions

_OUTPUT_CODE = (
    *("audio", "signal", "model", "vocoder", "weights"),
    *("config.py", "conversion.py", "gallery.py", "keys.py", "pipeline.py", "profiles.py", "spool.py"),
    *("evaluation/systems.py", "evaluation/external.py", "evaluation/data/codec.py", "evaluation/linkage/outputs.py"),
)


def code_fingerprint(*names: str) -> str:
    """SHA-256 of source code: files of the package ``saic``, or folders with all their modules."""
    digest, package = hashlib.sha256(), Path(saic.__file__).parent
    for name in names:
        path = package / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def run_key(pipeline: EvaluatedPipeline, codec: Callable[[np.ndarray], np.ndarray], seed: int) -> str:
    """What all outputs of a run depend on: weights, code, codec and seed.

    Weights in training have no hash: their outputs are never reused.
    """
    info = pipeline.info()
    unique = info["sha256"] or secrets.token_hex()
    return json.dumps(
        [info, unique, code_fingerprint(*_OUTPUT_CODE), package_versions(), seed, codec.__name__], sort_keys=True
    )
