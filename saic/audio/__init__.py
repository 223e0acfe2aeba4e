"""Read and write audio files; every wav is 16 kHz mono.

>>> from saic import audio
>>> wav = audio.load("patient.wav")
>>> audio.save("copy.wav", wav)

`read` also gives notes, for example about damaged files.
"""

from saic.audio.decode import FORMATS_TEXT, SUFFIXES
from saic.audio.files import Recording, from_array, load, read
from saic.audio.limits import SAMPLE_RATE, Limits
from saic.audio.output import save

__all__ = ["FORMATS_TEXT", "SAMPLE_RATE", "SUFFIXES", "Limits", "Recording", "from_array", "load", "read", "save"]
