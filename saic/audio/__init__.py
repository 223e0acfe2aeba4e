"""Read and write audio files; every wav is 16 kHz mono.

>>> from saic import audio
>>> wav = audio.load("patient.wav")
>>> audio.save("copy.wav", wav)
"""

from saic.audio.files import SAMPLE_RATE, Limits, from_array, load, save

__all__ = ["SAMPLE_RATE", "Limits", "from_array", "load", "save"]
