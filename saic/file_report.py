"""The report of one anonymized file: what was done to it, and how far the voice was protected.

It is one JSON object, described by ``saic/file_report.schema.json``. It has no file name, no
subject and no key. The similarities are measurements of a person: keep a report with the key or the
originals.
"""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from saic import __version__, audio, files
from saic.errors import UsageError
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.protection import ProtectionMeasurer
from saic.pipeline import Conversion, Pipeline
from saic.weights import sha256

SCHEMA = "saic-file-report-1"
PROFILE = "prosody-kept"
"""The only profile: melody, energy and timing are those of the source."""


@dataclass(frozen=True)
class Settings:
    """How a file was made.

    Attributes
    ----------
    voice
        Where the voice is from: "random", "seed", "key", "gallery" (a voice by its name) or
        "target" (a recording).
    register
        "lower", "higher", "same" or "any"; None where no pseudonym was drawn.
    rate_hz
        Sample rate of the file.
    """

    voice: str
    register: str | None
    rate_hz: int


class FileReporter:
    """Makes the reports of files.

    Parameters
    ----------
    pipeline
        What converted them.
    asr
        Speech recognizer, as for :class:`~saic.evaluation.evaluators.whisper.WhisperASR`; None:
        words are not counted.
    """

    def __init__(self, pipeline: Pipeline, asr: str | None = None) -> None:
        self._pipeline = pipeline
        self._measurer = ProtectionMeasurer(pipeline, None if asr is None else WhisperASR(asr))

    def report(self, original: np.ndarray, conversion: Conversion, output: Path, settings: Settings) -> dict[str, Any]:
        """Measure a conversion.

        Parameters
        ----------
        original
            (N,) the recording at 16 kHz.
        conversion
            Its conversion.
        output
            The file of the conversion, for its hash.

        Returns
        -------
        The report. ``similarity.before`` is of the recording's first half to its second,
        ``similarity.after`` of the recording to the output; None if there is too little speech.
        """
        protection = self._measurer.measure_similarity(original, conversion.wav, None)
        verifier, similarity = protection.verifier, protection.source
        return {
            "schema": SCHEMA,
            "judge": {"name": verifier.name, "independent": verifier.independent, "basis": verifier.basis},
            "similarity": {
                "before": similarity.before,
                "after": similarity.after,
                "usual_same_person": vars(verifier.same),
                "usual_two_people": vars(verifier.different),
            },
            "voice_similarity": {"value": conversion.voice_similarity, "threshold": self._pipeline.gallery.threshold},
            "words_kept": self._measurer.measure_words_kept(original, conversion.wav),
            "profile": PROFILE,
            "settings": vars(settings),
            "duration_s": len(conversion.wav) / audio.SAMPLE_RATE,
            "notes": list(dict.fromkeys(conversion.notes)),
            "versions": {"saic": __version__, "python": platform.python_version(), "torch": version("torch")},
            "weights_sha256": self._pipeline.info()["sha256"],
            "output_sha256": sha256(output),
        }


def write(path: Path, report: dict[str, Any], *, force: bool = False) -> None:
    """Write a report atomically; :class:`UsageError` if it cannot be written or exists."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text.encode(), force=force)
    except FileExistsError:
        raise UsageError("The report exists. Add --force to replace it, or name another.") from None
    except (OSError, ValueError) as error:
        raise files.as_usage_error(error, "The report cannot be written") from None
