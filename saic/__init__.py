"""SAIC: speech anonymization with speaker identification.

>>> import saic
>>> pipeline = saic.Pipeline.from_pretrained()
>>> conversion = pipeline.convert("patient.wav", "other.wav")

Names are imported at first use, so the command line's help and the decoding process (`saic.audio.sandbox`) need no
torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.13.0"

_MODULES = {
    "SaicError": "saic.errors",
    "Gallery": "saic.gallery",
    "Model": "saic.model.model",
    "Conversion": "saic.pipeline",
    "Embedding": "saic.pipeline",
    "Match": "saic.pipeline",
    "Pipeline": "saic.pipeline",
}
__all__ = ["Conversion", "Embedding", "Gallery", "Match", "Model", "Pipeline", "SaicError"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'saic' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
