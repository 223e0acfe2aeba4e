"""Speech recognition by Whisper through faster-whisper."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache

from saic.audio import SAMPLE_RATE
from saic.errors import UsageError, WeightsError, missing_package
from saic.evaluation.evaluators.normalizer import ENGLISH, require_normalizer
from saic.files import sha256

# The multilingual Whisper base, converted for CTranslate2 (MIT, 148 MB).
MODEL = "Systran/faster-whisper-base@ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66"
MODEL_SHA256 = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}

NO_ASR = "none"
"""Name of no recognizer, in options."""

DECODING = {
    "language": ENGLISH,
    # The beam of Whisper's own command: fewer errors than greedy search for a tenth more time.
    "beam_size": 5,
    # One temperature and no thresholds: no random retries, and no segment is dropped.
    "temperature": 0.0,
    "compression_ratio_threshold": None,
    "log_prob_threshold": None,
    "no_speech_threshold": None,
    "vad_filter": False,
    "condition_on_previous_text": False,
    # With timestamps the audio after the last one is decoded again: slower, with hallucinated
    # words.
    "without_timestamps": True,
}

_SEGMENT_S = 30
_LANGUAGE_SEGMENTS = 4  # the first may be silence or music
_FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.*")
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
_NEEDS = "Measuring WER needs faster-whisper and whisper-normalizer."


class WhisperASR:
    """Speech recognizer of English, or of many languages. It is not used in training.

    Parameters
    ----------
    model
        A folder with model.bin, config.json, tokenizer.json and vocabulary.txt (or .json), a Hub id
        pinned as ``ORG/NAME@40-HEX``, or None for :data:`MODEL`. The Hub is contacted here and
        never later.
    device
        "cpu" (float32), or "cuda" or "cuda:N" (float16).
    threads
        Number of threads; None: as many as torch.

    Attributes
    ----------
    identity
        Key in caches: it changes with everything that may change a transcript. It does not depend
        on where the files are from, a folder or the Hub.

    Raises
    ------
    UsageError
        A package is missing, there is no such folder, or the Hub can't be reached.
    WeightsError
        The model is damaged.
    """

    def __init__(self, model: str | os.PathLike | None = None, device: str = "cpu", threads: int | None = None):
        try:
            import ctranslate2
            import faster_whisper
        except ImportError as error:
            raise missing_package(_NEEDS, "eval") from error
        require_normalizer()
        folder = _resolve(MODEL if model is None else os.fspath(model), faster_whisper.download_model)
        # int8 results differ between processors: without VNNI instructions, WER on a clean clip
        # after MP3 was 7 % (1 % in float32).
        kind, _, index = device.partition(":")
        compute_type = "float32" if kind == "cpu" else "float16"
        versions = [faster_whisper.__version__, ctranslate2.__version__]
        facts = [_hashes(folder), DECODING, compute_type, versions]
        self.identity = "whisper " + hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        try:
            self._model = faster_whisper.WhisperModel(
                str(folder),
                device=kind,
                device_index=int(index or 0),
                compute_type=compute_type,
                cpu_threads=threads or torch.get_num_threads(),
            )
        except Exception as error:  # no narrower type is raised for a broken tokenizer
            raise WeightsError(
                f"The speech recognizer can't be loaded on {device}. Its model is damaged, or there is no such device."
            ) from error

    @classmethod
    def downloaded(cls, threads: int | None = None) -> "WhisperASR | None":
        """The recognizer of :data:`MODEL` if its packages are installed and its files in the Hub's cache.

        The Hub is not contacted.
        """
        repo, revision = MODEL.split("@")
        found = try_to_load_from_cache(repo, "model.bin", revision=revision)
        if not isinstance(found, str) or _hashes(Path(found).parent) != MODEL_SHA256:
            return None
        try:
            return cls(Path(found).parent, threads=threads)
        except UsageError:  # a package is missing
            return None

    @property
    def languages(self) -> frozenset[str]:
        """Codes of the languages that the model knows: English alone, or all that have a token."""
        token = self._model.hf_tokenizer.token_to_id
        return frozenset(code for code in self._model.supported_languages if token(f"<|{code}|>") is not None)

    def language(self, wav: np.ndarray) -> str:
        """Code of the language of a wav (N,), such as "en", by up to four segments of 30 s."""
        if not self._model.model.is_multilingual:
            return ENGLISH
        samples = wav[: _LANGUAGE_SEGMENTS * _SEGMENT_S * SAMPLE_RATE]
        return self._model.detect_language(samples, language_detection_segments=_LANGUAGE_SEGMENTS)[0]

    def transcribe(self, wav: np.ndarray, between: Callable[[], None] = lambda: None, language: str = ENGLISH) -> str:
        """Transcribe a wav.

        Parameters
        ----------
        wav
            (N,) float32, 16 kHz. It is decoded in segments of 30 s.
        between
            Called after each segment; an exception from it stops the transcription.
        language
            Code of the language that is spoken, of :attr:`languages`.

        Returns
        -------
        Text with Whisper's case and punctuation; often some words even for silence.
        """
        segments, _ = self._model.transcribe(wav, **DECODING | {"language": language})
        texts = []
        for segment in segments:
            texts.append(segment.text.strip())
            between()
        return " ".join(texts)


def _resolve(model: str, download: Callable[..., str]) -> Path:
    """Folder of the model.

    The files of the default model are checked by hash, which the Hub's client does not do.
    """
    hub_id = _HUB_ID.fullmatch(model)
    try:
        folder = Path(download(hub_id[1], revision=hub_id[2]) if hub_id else model)
    except Exception as error:  # errors of the HTTP library too
        raise UsageError(
            "The speech recognizer can't be fetched from the Hugging Face Hub. Check the connection, or name a folder"
            " that holds a faster-whisper model: --asr FOLDER."
        ) from error
    is_folder = os.path.isdir(folder)  # Path.glob raises an error if the name is too long
    if missing := [name for name in _FILES if not (is_folder and list(folder.glob(name)))]:
        raise UsageError(
            f"The speech recognizer lacks {', '.join(missing)}. Name a folder that holds a faster-whisper model, or a"
            " Hub id with its revision of 40 digits as ORG/NAME@REVISION: --asr FOLDER."
        )
    if model == MODEL and _hashes(folder) != MODEL_SHA256:
        raise WeightsError(
            "The speech recognizer differs from its hashes. Remove it from the Hub's cache and try again."
        )
    return folder


def _hashes(folder: Path) -> dict[str, str]:
    paths = {path for pattern in (*_FILES, "preprocessor_config.json") for path in folder.glob(pattern)}
    return {path.name: sha256(path) for path in sorted(paths)}
