"""Read and write audio files; every wav is 16 kHz mono.

>>> from saic import audio
>>> wav = audio.load("patient.wav")
>>> audio.save("copy.wav", wav)

`read` also gives notes, for example about damaged files. `spool` decodes recordings of hours.
"""

from saic.audio.decode import FORMATS_TEXT, SUFFIXES
from saic.audio.files import Recording, SpooledRecording, from_array, load, read, spool, spool_array, spool_blocks
from saic.audio.limits import LONG, SAMPLE_RATE, Limits
from saic.audio.output import encode_blocks, save, write

__all__ = [
    "FORMATS_TEXT",
    "LONG",
    "SAMPLE_RATE",
    "SUFFIXES",
    "Limits",
    "Recording",
    "SpooledRecording",
    "encode_blocks",
    "from_array",
    "load",
    "read",
    "save",
    "spool",
    "spool_array",
    "spool_blocks",
    "write",
]
