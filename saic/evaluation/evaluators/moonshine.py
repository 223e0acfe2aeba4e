"""Speech recognition by Moonshine, of another family than Whisper: a gain in words counts if both show it."""

import hashlib
import json
import math
from importlib import metadata
from pathlib import Path

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import WeightsError, missing_package
from saic.evaluation.evaluators.normalizer import ENGLISH, require_normalizer
from saic.files import sha256

SHA256 = {
    "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    "tokenizer.bin": "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
}

_MAX_SEGMENT_S = 30  # the longest clips of its training
_TOKENS_PER_S = 6.5  # at most, so that a loop ends; the limit that its authors give
_BEGIN, _END = 1, 2  # tokens
_WORD_TOKENS = range(3, 32_000)  # the others are marks
_SPACE = "▁"


class MoonshineASR:
    """Moonshine tiny, English (Jeffries et al. 2024, arXiv:2410.15608), as moonshine-voice ships it.

    An encoder-decoder of 27 M parameters on samples instead of mels, decoded greedily, on the CPU
    and one thread. It is not used in training. The package's own transcriber is not used: its
    voice-activity detector keeps a state between clips, so that the text of a clip depends on the
    clips before it, and adds words. Large matrices are int8, so a transcript may differ between
    processors.

    Attributes
    ----------
    identity
        Key in caches: it changes with everything that may change a transcript.
    languages
        English alone.

    Raises
    ------
    UsageError
        A package is missing.
    WeightsError
        The weights are not those of moonshine-voice 0.0.63.
    """

    languages = frozenset({ENGLISH})

    def __init__(self) -> None:
        try:
            import onnxruntime

            # The package is not imported: it would import what it needs for downloads.
            assets = metadata.distribution("moonshine-voice").locate_file("moonshine_voice/assets/tiny-en")
        except ImportError as error:
            raise missing_package("Measuring WER by a second recognizer needs moonshine-voice.", "eval") from error
        require_normalizer()
        folder = Path(assets)
        if any(not (folder / name).is_file() or sha256(folder / name) != digest for name, digest in SHA256.items()):
            raise WeightsError(
                "The Moonshine weights are missing or differ from moonshine-voice 0.0.63's. Install it again."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in ("encoder_model.ort", "decoder_model_merged.ort")
        )
        self._past = {  # keys and values of no token; the shape is (batch, heads, tokens, size)
            tensor.name: np.zeros((1, tensor.shape[1], 0, tensor.shape[3]), dtype=np.float32)
            for tensor in self._decoder.get_inputs()
            if tensor.name.startswith("past_key_values.")
        }
        self._present = [tensor.name for tensor in self._decoder.get_outputs()[1:]]
        self._pieces = _read_pieces((folder / "tokenizer.bin").read_bytes())
        facts = [SHA256, _MAX_SEGMENT_S, _TOKENS_PER_S, onnxruntime.__version__]
        self.identity = "moonshine " + hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def transcribe(self, wav: np.ndarray, *, language: str = ENGLISH) -> str:
        """Transcribe a wav.

        Parameters
        ----------
        wav
            (N,) float32, 16 kHz. One of more than 30 s is decoded in equal segments.
        language
            As other recognizers take it, of :attr:`languages`.

        Returns
        -------
        Text with case and punctuation; often "You" for silence.
        """
        n_segments = math.ceil(len(wav) / (_MAX_SEGMENT_S * SAMPLE_RATE)) or 1
        return " ".join(filter(None, map(self._transcribe_segment, np.array_split(wav, n_segments))))

    def _transcribe_segment(self, wav: np.ndarray) -> str:
        max_tokens = int(_TOKENS_PER_S * len(wav) / SAMPLE_RATE)
        if max_tokens == 0:  # the encoder needs some frames
            return ""
        mask = np.ones((1, len(wav)), dtype=np.int64)
        (encoded,) = self._encoder.run(None, {"input_values": wav[None], "attention_mask": mask})
        fixed = {"encoder_hidden_states": encoded, "encoder_attention_mask": mask}
        past, tokens = dict(self._past), [_BEGIN]
        while len(tokens) <= max_tokens:
            has_past = len(tokens) > 1
            step = {"input_ids": np.array([[tokens[-1]]]), "use_cache_branch": np.array([has_past])}
            logits, *present = self._decoder.run(None, fixed | step | past)
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] == _END:
                break
            for name, values in zip(self._present, present, strict=True):
                if not (has_past and ".encoder." in name):  # those of the encoder come with the first token alone
                    past[name.replace("present", "past_key_values")] = values
        text = b"".join(self._pieces[token] for token in tokens if token in _WORD_TOKENS)
        return text.decode(errors="replace").replace(_SPACE, " ").strip()


def _read_pieces(data: bytes) -> list[bytes]:
    """The vocabulary: each piece follows its length, which takes two bytes from 128 on, the low seven bits first."""
    pieces, position = [], 0
    while position < len(data):
        length, position = data[position], position + 1
        if length >= 128:
            length, position = length - 128 + 128 * data[position], position + 1
        pieces.append(data[position : position + length])
        position += length
    return pieces
