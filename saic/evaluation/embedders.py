"""Speaker embedders that judge. None of them ever trains a model of this project."""

import warnings

import numpy as np

from saic.activity import require_speech
from saic.audio import SAMPLE_RATE
from saic.errors import SilentAudio, UsageError

MIN_SPEECH_S = 0.5


class Resemblyzer:
    """The paper's VoiceEncoder (section 4.2), on the CPU.

    It was probably trained on VoxCeleb and LibriSpeech-other, so it knows such voices better than others.
    """

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its imports use names that SciPy and setuptools will drop
                import resemblyzer
        except ImportError as error:
            raise UsageError("The evaluation needs Resemblyzer. Install it with: pip install 'saic[eval]'") from error
        self._preprocess = resemblyzer.preprocess_wav
        self._encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def warm_up(self) -> None:
        """Compile what librosa compiles at its first call (up to half a minute on a new machine)."""
        self._encoder.embed_utterance(np.zeros(SAMPLE_RATE, dtype=np.float32) + 1e-3)

    def embed(self, wav: np.ndarray) -> np.ndarray:
        """Embed a voice.

        Parameters
        ----------
        wav
            (N,) float32, 16 kHz.

        Returns
        -------
        (256,) float32 of length 1.

        Raises
        ------
        SilentAudio, TooShort
            Silence would give NaN or an arbitrary embedding.
        """
        require_speech(wav, MIN_SPEECH_S)
        trimmed = self._preprocess(wav)
        # Its voice detector may take bad synthetic speech for noise. Judge that by all of it, then.
        speech = trimmed if len(trimmed) >= MIN_SPEECH_S * SAMPLE_RATE else wav
        embedding = self._encoder.embed_utterance(speech)
        if not np.isfinite(embedding).all():
            raise SilentAudio("The recording holds nothing that can be told as a voice.")
        return embedding
