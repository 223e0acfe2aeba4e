"""The report of one anonymized file: what was done to it, and how far the voice was protected.

It is one JSON object, described by ``saic/file_report.schema.json``. It has no file name, no
subject and no key. The similarities are measurements of a person: keep a report with the key or the
originals.
"""

import dataclasses
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from saic import __version__, audio, files
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.protection import Protection, ProtectionMeasurer
from saic.pipeline import Conversion, Pipeline

SCHEMA = "saic-file-report-1"


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
        Speech recognizer; None: words are not counted.
    """

    def __init__(self, pipeline: Pipeline, asr: WhisperASR | None = None) -> None:
        self._threshold, self._weights_sha256 = pipeline.gallery.threshold, pipeline.info()["sha256"]
        self._measurer = ProtectionMeasurer(pipeline, asr)

    def report(
        self, original: np.ndarray, conversion: Conversion, output: Path | bytes | BinaryIO, settings: Settings
    ) -> dict[str, Any]:
        """Measure a conversion.

        Parameters
        ----------
        original
            (N,) the recording at 16 kHz.
        conversion
            Its conversion.
        output
            The file of the conversion, its bytes, or the open file, for its hash.

        Returns
        -------
        The report. ``similarity.before`` is of the recording's first half to its second,
        ``similarity.after`` of the recording to the output; None if there is too little speech.
        """
        protection = self._measurer.measure_similarity(original, conversion.wav, None)
        words_kept = self._measurer.measure_words_kept(original, conversion.wav)
        return build(
            dataclasses.replace(protection, words_kept=words_kept),
            settings,
            output,
            profile=conversion.profile,
            voice_similarity=conversion.voice_similarity,
            threshold=self._threshold,
            duration_s=len(conversion.wav) / audio.SAMPLE_RATE,
            notes=conversion.notes,
            weights_sha256=self._weights_sha256,
        )


def build(
    protection: Protection,
    settings: Settings,
    output: Path | bytes | BinaryIO,
    *,
    profile: str,
    voice_similarity: float | None,
    threshold: float,
    duration_s: float,
    notes: Iterable[str],
    weights_sha256: str | None,
) -> dict[str, Any]:
    """The report of a conversion that has been measured.

    Parameters
    ----------
    protection
        Its measurements.
    output
        Its file, the bytes of it, or the open file, for the hash.
    profile, voice_similarity, notes
        As in :class:`saic.pipeline.Conversion`.
    threshold
        Similarity from which on two recordings count as one speaker, by the model's own encoder.
    duration_s
        Length of the output.
    weights_sha256
        As in :meth:`saic.pipeline.Pipeline.info`.
    """
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
        "voice_similarity": {"value": voice_similarity, "threshold": threshold},
        "words_kept": protection.words_kept,
        "profile": profile,
        "settings": vars(settings),
        "duration_s": duration_s,
        "notes": list(dict.fromkeys(notes)),
        "versions": {"saic": __version__, "python": platform.python_version(), "torch": version("torch")},
        "weights_sha256": weights_sha256,
        "output_sha256": files.sha256(output),
    }


def to_json(report: dict[str, Any]) -> bytes:
    """A report as a file has it."""
    return (json.dumps(report, indent=2, allow_nan=False) + "\n").encode()
