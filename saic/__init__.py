"""SAIC: speech anonymization with speaker identification.

>>> import saic
>>> pipeline = saic.Pipeline.from_pretrained()
>>> conversion = pipeline.convert("patient.wav", "other.wav")
"""

from saic.errors import SaicError
from saic.model import Model
from saic.pipeline import Conversion, Embedding, Match, Pipeline

__version__ = "0.2.0"
__all__ = ["Conversion", "Embedding", "Match", "Model", "Pipeline", "SaicError"]
