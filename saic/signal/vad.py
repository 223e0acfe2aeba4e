"""Voice activity detection by energy: speech masks, and the check for too little speech."""

import numpy as np

from saic.errors import SilentAudio, TooShort
from saic.signal.mel import FRAMES_PER_S, HOP_SAMPLES

_SILENCE_DB = -60.0  # dBFS: a clip whose loudest 100 ms are quieter is silent
_BELOW_LOUD_DB = 35.0  # a frame this far below the clip's loudest 100 ms is a pause
_LOUD_FRAMES = 8  # 100 ms, so that a click does not set the level
_HANGOVER_FRAMES = 4  # 50 ms before and after speech, which keep word edges and stop closures


def speech_frames(wav: np.ndarray) -> np.ndarray:
    """Find speech frames by their energy relative to the clip's loudest 100 ms.

    Steady noise counts as speech, since its energy is like that of speech. The result does not
    change with gain while the loudest 100 ms are above -60 dBFS.

    Parameters
    ----------
    wav
        (N,) float32 in [-1, 1], 16 kHz.

    Returns
    -------
    (T,) bool, T = ceil(N / 200), one per mel frame.
    """
    n_frames = -(-len(wav) // HOP_SAMPLES)
    if n_frames == 0:
        return np.zeros(0, dtype=bool)
    framed = np.pad(wav, (0, n_frames * HOP_SAMPLES - len(wav))).reshape(n_frames, HOP_SAMPLES)
    framed = framed - framed.mean(axis=1, keepdims=True)  # a DC offset is not speech
    power = np.mean(np.square(framed, dtype=np.float64), axis=1)
    loud = np.convolve(power, np.full(_LOUD_FRAMES, 1 / _LOUD_FRAMES)).max()
    if loud < 10 ** (_SILENCE_DB / 10):
        return np.zeros(n_frames, dtype=bool)
    threshold = loud * 10 ** (-_BELOW_LOUD_DB / 10)
    hangover = np.ones(2 * _HANGOVER_FRAMES + 1)
    return np.convolve(power > threshold, hangover)[_HANGOVER_FRAMES : _HANGOVER_FRAMES + n_frames] > 0


def require_speech(wav: np.ndarray, min_speech_s: float = 0.5) -> None:
    """Raise :class:`SilentAudio` or :class:`TooShort` unless the clip holds enough speech."""
    speech_s = speech_frames(wav).sum() / FRAMES_PER_S
    if speech_s == 0:
        raise SilentAudio("The recording is silent. Check the microphone and its volume, then record again.")
    if speech_s < min_speech_s:
        raise TooShort(
            f"The recording holds {speech_s:.1f} s of speech; at least {min_speech_s:g} s are needed."
            " Speak a little longer."
        )
