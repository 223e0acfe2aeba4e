"""The voice of a recording, as the tabs Identify and Explore measure it."""

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.pipeline import Embedding
from saic.signal.vad import require_speech, require_varied
from saic.web.server.recordings import VOICE_S


def embed_voice(pipeline, wav: np.ndarray) -> Embedding:
    """Embeddings of the first minutes of a wav (N,).

    Raises
    ------
    AudioError (there is too little speech; NotSpeech for a tone, hum or steady noise)
    """
    require_voice(wav)
    return pipeline.embed((wav[: VOICE_S * SAMPLE_RATE], SAMPLE_RATE))


def require_voice(wav: np.ndarray) -> None:
    """Raise the errors of :func:`embed_voice`, which takes longer."""
    wav = wav[: VOICE_S * SAMPLE_RATE]
    require_speech(wav)
    require_varied(wav)
