"""Which frames hold speech: the mask behind instance norm, pooling and the 'too little speech' error."""

import numpy as np

from saic.errors import SilentAudio, TooShort
from saic.signal.mel import FRAMES_PER_S, HOP_SAMPLES

_SILENCE_DB = -60.0  # a clip whose loudest tenth of a second is quieter holds no speech
_BELOW_LOUD_DB = 35.0  # a pause lies this far below the clip's loudest tenth of a second
_LOUD_FRAMES = 8  # 100 ms: long enough that a click doesn't set the level
_HANGOVER_FRAMES = 4  # 50 ms either side keeps word edges and stop closures


def speech_frames(wav: np.ndarray) -> np.ndarray:
    """Mark the frames that hold speech, by energy relative to the clip's own loud frames.

    Energy alone can't tell speech from steady noise: a clip of pure noise counts as speech. The marks
    don't change with gain as long as the loudest tenth of a second stays above -60 dBFS.

    Parameters
    ----------
    wav
        (N,) float32 in [-1, 1], 16 kHz.

    Returns
    -------
    (T,) bool, T = ceil(N / 200), on the mel's own frame grid.
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
