"""SAIC: speech anonymization with speaker identification.

>>> import saic
>>> pipeline = saic.Pipeline.from_pretrained()
>>> conversion = pipeline.convert("patient.wav", "other.wav")

Names load when they are used: the process that decodes uploads (`saic.audio.sandbox`) imports this package without torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.9.1"

_HOMES = {
    "SaicError": "saic.errors",
    "Model": "saic.model.model",
    "Conversion": "saic.pipeline",
    "Embedding": "saic.pipeline",
    "Match": "saic.pipeline",
    "Pipeline": "saic.pipeline",
}
__all__ = ["Conversion", "Embedding", "Match", "Model", "Pipeline", "SaicError"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'saic' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
