"""How clean it sounds: DNSMOS P.835, a network that was taught the opinions of listeners."""

from importlib import resources

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import UsageError
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import require_speech, speech_frames
from saic.weights import sha256

LEVEL_DB = -26.0  # dB below full scale: the level of speech in listening tests (ITU-T P.56, P.800, P.835)

_WINDOW = round(9.01 * SAMPLE_RATE)  # what the network hears at once
# Reddy et al. publish these with their scoring script: they take the network's marks to those of listeners.
_TO_OPINION = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def at_level(wav: np.ndarray, level_db: float = LEVEL_DB) -> np.ndarray:
    """Scale a wav so that the rms of its speech frames is at ``level_db`` below full scale.

    Speech frames are those of :mod:`saic.signal.vad`, an active speech level in the sense of ITU-T P.56 though not
    by its procedure. Peaks that would pass full scale (none do in speech at -26 dB) are clipped.

    Parameters
    ----------
    wav
        (N,) float32, 16 kHz.

    Returns
    -------
    (N,) float32. A wav without speech has no level and comes back as it is.
    """
    speech = np.repeat(speech_frames(wav), HOP_SAMPLES)[: len(wav)]
    if not speech.any():
        return wav
    rms = np.sqrt(np.mean(np.square(wav[speech], dtype=np.float64)))
    return np.clip(wav * (10 ** (level_db / 20) / rms), -1, 1).astype(np.float32)


def trim(wav: np.ndarray) -> np.ndarray:
    """Cut the pauses before the first speech frame and after the last one. All pause: nothing is left."""
    frames = np.flatnonzero(speech_frames(wav))
    return wav[frames[0] * HOP_SAMPLES : (frames[-1] + 1) * HOP_SAMPLES] if len(frames) else wav[:0]


class Dnsmos:
    """DNSMOS P.835 (Reddy, Gopal, Cutler, ICASSP 2022) on the CPU, on one thread.

    It was made to judge noise suppressors: use it as a gate that shows damage, never to rank voices.

    Attributes
    ----------
    identity
        Changes whenever scores could: name of this judge in caches.
    """

    def __init__(self) -> None:
        try:
            import onnxruntime
            import speechmos
        except ImportError as error:
            raise UsageError("DNSMOS needs speechmos. Install it with: pip install 'saic[eval]'") from error
        options = onnxruntime.SessionOptions()
        # Two threads of it beside torch's own would wait for each other; one thread also sums in one order.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with resources.as_file(resources.files(speechmos) / "dnsmos_models" / "sig_bak_ovr.onnx") as path:
            self._network = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.identity = f"dnsmos {sha256(path)} onnxruntime {onnxruntime.__version__} {LEVEL_DB:g} dB"

    def score(self, wav: np.ndarray) -> dict[str, float]:
        """Opinion of a clip, at equal loudness and without the pauses around it.

        Recordings differ in level and in the silence at their ends, and the network's marks with them: so both
        are taken out first.

        The network hears 9 s. A longer clip is heard in as few windows as cover it, evenly spread, and their
        marks are averaged (the authors' script takes one window a second, at several times the cost); a shorter
        one is repeated.

        Parameters
        ----------
        wav
            (N,) float32, 16 kHz.

        Returns
        -------
        ``ovrl``, ``sig``, ``bak``: mean opinion of the whole, of the speech and of the background, 1 (bad) to 5.

        Raises
        ------
        SilentAudio, TooShort
            Less than half a second of speech: the network has an opinion of silence too, but it means nothing.
        """
        require_speech(wav)
        speech = at_level(trim(wav))
        if len(speech) < _WINDOW:
            speech = np.resize(speech, _WINDOW)
        starts = np.linspace(0, len(speech) - _WINDOW, -(-len(speech) // _WINDOW)).astype(int)
        windows = np.stack([speech[start : start + _WINDOW] for start in starts])
        (marks,) = self._network.run(None, {"input_1": windows})
        opinions = {name: np.polyval(_TO_OPINION[name], marks[:, i]) for i, name in enumerate(_TO_OPINION)}
        return {name: float(opinions[name].mean()) for name in ("ovrl", "sig", "bak")}
