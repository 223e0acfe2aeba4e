"""Speech quality by DNSMOS P.835, a network trained on listening-test scores."""

from importlib import resources

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import missing_package
from saic.files import sha256
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import require_speech, speech_frames

LEVEL_DB = -26.0  # re full scale: the speech level of listening tests (ITU-T P.56, P.800, P.835)

_WINDOW = round(9.01 * SAMPLE_RATE)  # input length of the network
# Polynomials from the network's raw scores to MOS, from the scoring script of Reddy et al.
_TO_MOS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def normalize_level(wav: np.ndarray, level_db: float = LEVEL_DB) -> np.ndarray:
    """Scale a wav so that the rms of its speech frames is ``level_db`` re full scale.

    Speech frames are those of :mod:`saic.signal.vad`: an active speech level in the sense of ITU-T
    P.56, but not measured by its procedure. Peaks above full scale (none occur in speech at -26 dB)
    are clipped.

    Parameters
    ----------
    wav
        (N,) float32, 16 kHz.

    Returns
    -------
    (N,) float32. A wav without speech has no level and is returned unchanged.
    """
    speech = np.repeat(speech_frames(wav), HOP_SAMPLES)[: len(wav)]
    if not speech.any():
        return wav
    rms = np.sqrt(np.mean(np.square(wav[speech], dtype=np.float64)))
    return np.clip(wav * (10 ** (level_db / 20) / rms), -1, 1).astype(np.float32)


def trim_pauses(wav: np.ndarray) -> np.ndarray:
    """Remove the pauses before the first speech frame and after the last; empty without speech."""
    frames = np.flatnonzero(speech_frames(wav))
    return wav[frames[0] * HOP_SAMPLES : (frames[-1] + 1) * HOP_SAMPLES] if len(frames) else wav[:0]


def windows(wav: np.ndarray, size: int) -> np.ndarray:
    """(W, size) windows that cover a (N,) wav: as few as possible, evenly spread.

    A shorter wav is repeated, because a network would take padding for a pause.
    """
    if len(wav) < size:
        wav = np.resize(wav, size)
    starts = np.linspace(0, len(wav) - size, -(-len(wav) // size)).astype(int)
    return np.stack([wav[start : start + size] for start in starts])


class Dnsmos:
    """DNSMOS P.835 (Reddy, Gopal, Cutler, ICASSP 2022) on the CPU, on one thread.

    It was made to evaluate noise suppressors: use it to detect degradation, not to rank voices.

    Attributes
    ----------
    identity
        Key in caches: it changes with everything that may change a score.
    """

    def __init__(self) -> None:
        try:
            import onnxruntime
            import speechmos
        except ImportError as error:
            raise missing_package("DNSMOS needs speechmos.", "eval") from error
        options = onnxruntime.SessionOptions()
        # Its threads and torch's would block each other. One thread also fixes the order of
        # summation.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with resources.as_file(resources.files(speechmos) / "dnsmos_models" / "sig_bak_ovr.onnx") as path:
            self._network = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.identity = f"dnsmos {sha256(path)} onnxruntime {onnxruntime.__version__} {LEVEL_DB:g} dB"

    def score(self, wav: np.ndarray) -> dict[str, float]:
        """Predicted MOS of a clip, at equal level and without leading and trailing pauses.

        The network's scores depend on the level and on the silence at both ends, so both are
        normalized.

        The network takes 9 s: see :func:`windows`, whose scores are averaged (the authors' script
        takes one window per second, at several times the cost).

        Parameters
        ----------
        wav
            (N,) float32, 16 kHz.

        Returns
        -------
        ``ovrl``, ``sig``, ``bak``: MOS of overall quality, speech and background, 1 (bad) to 5.

        Raises
        ------
        SilentAudio, TooShort
            Less than half a second of speech: scores of silence mean nothing.
        """
        require_speech(wav)
        speech = normalize_level(trim_pauses(wav))
        (scores,) = self._network.run(None, {"input_1": windows(speech, _WINDOW)})
        mos = {name: np.polyval(_TO_MOS[name], scores[:, i]) for i, name in enumerate(_TO_MOS)}
        return {name: float(mos[name].mean()) for name in ("ovrl", "sig", "bak")}
