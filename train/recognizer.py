"""Prepare the phone recognizer of the phone loss.

::

    python -m train.recognizer --data MANIFEST --run DIR

The network comes with the package ``hama`` (Apache-2.0, part of ``saic[train]``); nothing is
downloaded. Only the linear map from this project's log-mel to the network's is fitted, by least
squares on clips of the train split, without transcripts. Of a ``--config``, only the seed is used.
Writes ``DIR/recognizer.safetensors``, which ``train.stage2`` takes as ``--recognizer``.
"""

import hashlib
import struct
from functools import partial
from importlib import resources
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from saic.data.left_out import LeftOut
from saic.errors import UsageError, missing_package
from saic.model.phone_encoder import OWN_HOP_SAMPLES
from saic.training.phone_recognizer import PhoneRecognizer
from train.entry import ConfigOption, DataOption, RunOption, read_clips, read_config, run
from train.mel_map import fit

WEIGHTS_SHA256 = "a9fcfe73e179ca48e399cd76a90a6b3e1887bf5037ecc52b778d13a149563328"
_DTYPES = {0: "<f4", 1: "<f2"}  # by the archive's number
_FFT_EDGE_SAMPLES = 200  # half a frame of 25 ms, padded at each end
_FLOOR = 1e-10

# The ONNX exporter's numbers of unnamed tensors; from block to block they rise by a fixed step.
_LEAD, _DEPTHWISE = 801, 804
_PRODUCTS, _PRODUCTS_STEP = 829, 9
_PRODUCT_OF = {"ffn1.fc1": 0, "ffn1.fc2": 1, "attention.qkv": 2, "attention.out": 6, "ffn2.fc1": 7, "ffn2.fc2": 8}
_BIAS_OF = {"attention.qkv": "attn.in_proj_bias", "attention.out": "attn.out_proj.bias"}
_AS_NAMED = {
    "ffn1.norm": "ffn1.norm",
    "ffn2.norm": "ffn2.norm",
    "attention.norm": "attn_norm",
    "convolution.norm": "conv.norm",
    "convolution.pointwise1": "conv.pointwise1",
    "convolution.pointwise2": "conv.pointwise2",
    "norm": "norm",
}


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    n_clips: Annotated[int, typer.Option("--clips", min=1, help="Number of clips that the map is fitted on.")] = 200,
) -> None:
    """Fit the linear map on the train split, and write it with the network."""
    settings = read_config(config)
    archive = read_archive()
    recognizer = network(archive)
    clips = read_clips(data, "train")
    chosen = np.random.default_rng(settings.seed).permutation(len(clips))[:n_clips]
    left_out = LeftOut()
    own_mel = partial(own_log_mel, archive)
    recognizer.matrix, recognizer.offset, error = fit(own_mel, [clips[i] for i in chosen], left_out)
    run.mkdir(parents=True, exist_ok=True)
    recognizer.save(run)
    if left_out:
        print(left_out.listing())
    n_fitted = len(chosen) - sum(map(len, left_out.values()))
    print(f"{n_fitted} clips; rms error of the map {error:.2f} neper")


def read_archive() -> dict[str, Tensor]:
    """Read the tensors of the package's phone recognizer, by the package's names."""
    try:
        content = resources.files("hama").joinpath("assets/asr_waveform.hama").read_bytes()
    except (ModuleNotFoundError, OSError):
        raise missing_package("The recognizer needs one more package.", "train") from None
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise UsageError("The installed hama has other weights than expected. Install it with: pip install hama==1.7.0")
    # A table of name, type, shape and offset; then the data, from the next multiple of 16 bytes on.
    (count,), at = struct.unpack_from("<I", content, 8), 12
    table = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, at)
        name, at = content[at + 2 : at + 2 + length].decode(), at + 2 + length
        kind, rank = content[at : at + 2]
        *shape, place, _ = struct.unpack_from(f"<{rank}IQQ", content, at + 2)
        at += 2 + 4 * rank + 16
        table.append((name, _DTYPES[kind], shape, place))
    first = -(-at // 16) * 16
    arrays = {
        name: np.frombuffer(content, kind, int(np.prod(shape)), first + place).reshape(shape)
        for name, kind, shape, place in table
    }
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def network(archive: dict[str, Tensor]) -> PhoneRecognizer:
    """The package's recognizer for its own log-mel: the linear map in it is the identity."""
    inner = "acoustic_model.model."
    output = archive[inner + "proj.weight"].squeeze(-1)
    recognizer = PhoneRecognizer(*output.shape)
    tensors = recognizer.state_dict() | {
        "lead.weight": archive[f"onnx::Conv_{_LEAD}"],
        "lead.bias": archive[f"onnx::Conv_{_LEAD + 1}"],
        "out.weight": output,
        "out.bias": archive[inner + "proj.bias"],
    }
    for i in range(len(recognizer.blocks)):
        theirs, ours = f"{inner}blocks.{i}.", f"blocks.{i}."
        for name, offset in _PRODUCT_OF.items():
            product = archive[f"onnx::MatMul_{_PRODUCTS + _PRODUCTS_STEP * i + offset}"]
            tensors[f"{ours}{name}.weight"] = product.T.contiguous()
            tensors[f"{ours}{name}.bias"] = archive[theirs + _BIAS_OF.get(name, f"{name}.bias")]
        for name, there in _AS_NAMED.items():
            for part in ("weight", "bias"):
                tensors[f"{ours}{name}.{part}"] = archive[f"{theirs}{there}.{part}"]
        for part, offset in (("weight", 0), ("bias", 1)):
            tensors[f"{ours}convolution.depthwise.{part}"] = archive[f"onnx::Conv_{_DEPTHWISE + 3 * i + offset}"]
    recognizer.load_state_dict(tensors)
    return recognizer.eval().requires_grad_(False)


def own_log_mel(archive: dict[str, Tensor], wav: Tensor) -> Tensor:
    """(N,) wav at 16 kHz to the recognizer's own log-mel, of power: (80, 1 + N // 160)."""
    padded = F.pad(wav.view(1, 1, -1), (_FFT_EDGE_SAMPLES, _FFT_EDGE_SAMPLES), mode="reflect")
    kernels = (archive["stft_real_kernel"], archive["stft_imag_kernel"])
    power = sum(F.conv1d(padded, kernel, stride=OWN_HOP_SAMPLES)[0].square() for kernel in kernels)
    return (archive["mel_fb"].T @ power).clamp_min(_FLOOR).log()


if __name__ == "__main__":
    run(main)
