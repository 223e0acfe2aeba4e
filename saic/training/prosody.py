"""Training of :mod:`saic.model.prosody` on the content codes of a finished model."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from saic.config import Config
from saic.model.model import Model
from saic.model.prosody import ProsodyPredictor, nearest_centers, scaled_contour, slow_contour
from saic.model.timing import rate_of_change
from saic.signal.masking import masked_statistics
from saic.training.loop import cosine, generators, precision
from saic.training.training_set import TrainingSet
from saic.weights import write_tensors

_CLUSTERS = 128
_CLUSTERED_CODES = 20_000
_CLUSTER_STEPS = 15
_LR = 1e-3
_SLOW_SHARE = 0.5  # of a batch that is given the source's slow contours
_SPREAD_WEIGHT, _VOICING_WEIGHT = 0.5, 0.5
_VALIDATION_CROPS = 256
_MIN_VOICED_FRAMES = 10


def encode_clips(training_set: TrainingSet, model: Model, cache: Path) -> Tensor:
    """(C, N / stride) float16 content codes of all clips of a training set of N frames.

    ``cache`` is a file for them, read if it has those of the same clips in the same order, else written.
    """
    with contextlib.suppress(OSError, SafetensorError), safe_open(cache, "pt") as file:
        if (file.metadata() or {}).get("data") == training_set.fingerprint:
            return file.get_tensor("content")
    parts = []
    for clip in tqdm(range(len(training_set.clips)), "content codes", unit="clip", leave=False):
        with torch.inference_mode():
            mel, mask = training_set.clip_mel(clip), training_set.clip_mask(clip)
            parts.append(model.encode_content(mel[None], mask[None]).half())
    content = torch.cat(parts, dim=-1)[0]
    write_tensors(cache, {"content": content}, {"data": training_set.fingerprint})
    return content


def cluster_centers(codes: Tensor, random: np.random.Generator) -> Tensor:
    """(128, C) cluster centers of (C, n) codes, by k-means (Lloyd 1982) on at most 20,000 of them."""
    codes = codes[:, random.permutation(codes.shape[1])[:_CLUSTERED_CODES]].float()
    centers = codes[:, :_CLUSTERS].T.clone()
    for _ in range(_CLUSTER_STEPS):
        nearest = nearest_centers(codes[None], centers)[0]
        sums = torch.zeros_like(centers).index_add_(0, nearest, codes.T)
        counts = torch.bincount(nearest, minlength=len(centers)).unsqueeze(1)
        centers = torch.where(counts > 0, sums / counts.clamp_min(1), centers)
    return centers


def typical_rate(codes: Tensor, speech: Tensor) -> float:
    """Mean :func:`saic.model.timing.rate_of_change` of (C, n) codes where (n,) ``speech`` is True."""
    rates = torch.cat([rate_of_change(part[None])[0] for part in codes.split(10_000, dim=1)])
    return float(rates[speech].mean())


class ProsodySet:
    """Cluster numbers of content codes, and F0 contours, of the clips of a training set.

    Parameters
    ----------
    training_set
        The clips, with N frames in all.
    content
        (C, N / stride) from :func:`encode_clips`.
    centers
        (K, C) from :func:`cluster_centers`.

    Attributes
    ----------
    clusters
        (N / stride,) numbers.
    target, slow
        (N,) contours and (2, N) slow contours of the clips.
    """

    def __init__(self, training_set: TrainingSet, content: Tensor, centers: Tensor):
        self.training_set = training_set
        self.clusters = torch.cat([nearest_centers(part[None], centers)[0] for part in content.split(10_000, dim=1)])
        tracks = [training_set.clip_f0(clip)[None] for clip in range(len(training_set.clips))]
        self.target = torch.cat([scaled_contour(f0)[0] for f0 in tracks])
        self.slow = torch.cat([slow_contour(f0)[0] for f0 in tracks], dim=1)

    def sample(self, size: int, random: np.random.Generator) -> "ProsodyCrops":
        """Random crops."""
        crops = self.training_set.sample(size, random)
        stride, rows = self.training_set.stride, self.training_set.frame_rows(crops)
        codes = rows[:, ::stride] // stride
        return ProsodyCrops(
            self.clusters[codes],
            self.target[rows],
            self.slow[:, rows].transpose(0, 1),
            (crops.f0 > 0).float(),
            crops.mask,
        )


class ProsodyCrops(NamedTuple):
    """Crops of S frames.

    ``clusters`` (B, S / stride) numbers; ``target`` (B, S) contours; ``slow`` (B, 2, S) slow
    contours; ``voiced`` (B, S) and ``mask`` (B, 1, S) of 0 and 1.
    """

    clusters: Tensor
    target: Tensor
    slow: Tensor
    voiced: Tensor
    mask: Tensor

    def to(self, device: str) -> "ProsodyCrops":
        """The same crops on another device."""
        return ProsodyCrops(*(x.to(device) for x in self))


class ProsodyTraining:
    """Optimizes a predictor; half of a batch is given the source's slow contours.

    The loss of a contour is Huber's, and the difference of the deviations over a crop: a network that
    only minimizes an error predicts too little variation. That of voicing is the cross entropy over
    speech.

    Parameters
    ----------
    train, unseen
        Training and validation data.
    centers
        (K, C) cluster centers of both.
    rate
        From :func:`typical_rate`.
    config
        For seed, batch size and precision.
    steps
        Of the whole run.
    """

    def __init__(
        self,
        train: ProsodySet,
        unseen: ProsodySet,
        centers: Tensor,
        rate: float,
        config: Config,
        steps: int,
        device: str = "cpu",
    ):
        torch.manual_seed(config.seed)
        self.train, self.unseen, self.config, self.steps, self.device = train, unseen, config, steps, device
        clusters, code_channels = centers.shape
        self.predictor = ProsodyPredictor(code_channels, train.training_set.stride, clusters)
        self.predictor.centers.copy_(centers)
        self.predictor.rate.fill_(rate)
        self.predictor.to(device)
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), lr=_LR)

    def step(self, i: int) -> dict[str, Tensor]:
        """One optimization step."""
        random, _ = generators(self.config.seed, i)
        self.optimizer.param_groups[0]["lr"] = _LR * cosine(i, self.steps)
        crops = self.train.sample(self.config.training.batch_size, random).to(self.device)
        given = torch.from_numpy(random.random((len(crops.slow), 1, 1)) < _SLOW_SHARE).to(crops.slow)
        with precision(self.config, self.device):
            predicted = self.predictor.predict(crops.clusters, crops.mask, crops.slow * given)
        losses = _losses(predicted.float(), crops)
        self.optimizer.zero_grad()
        (losses["error"] + _SPREAD_WEIGHT * losses["spread"] + _VOICING_WEIGHT * losses["voicing"]).backward()
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses on unseen speakers, correlation with their contours, relative deviation, and voicing errors.

        The figures of contours are with the source's slow ones and without; ``loss`` is the error
        without them. ``voicing_error`` is the share of speech frames with another voicing than the
        recording's, which slow contours do not change.
        """
        crops = self.unseen.sample(_VALIDATION_CROPS, np.random.default_rng(self.config.seed)).to(self.device)
        kept, found = crops.voiced > 0, {}
        for name, slow in (("alone", None), ("slow", crops.slow)):
            predicted = self.predictor.predict(crops.clusters, crops.mask, slow)
            losses = _losses(predicted, crops)
            pair = torch.stack([predicted[:, 0][kept], crops.target[kept]])
            found |= {
                f"{name}_error": float(losses["error"]),
                f"{name}_spread": float(losses["spread"]),
                f"{name}_correlation": float(torch.corrcoef(pair)[0, 1]),
                f"{name}_relative_deviation": float(pair[0].std() / pair[1].std()),
            }
        wrong = ((predicted[:, 1] > 0) != kept) * crops.mask[:, 0]
        found["voicing_error"] = float(wrong.sum() / crops.mask.sum().clamp_min(1))
        return {"loss": found["alone_error"], **found}

    def state_dict(self) -> dict[str, Any]:
        """Predictor and optimizer."""
        return {"predictor": self.predictor.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.predictor.load_state_dict(state["predictor"])
        self.optimizer.load_state_dict(state["optimizer"])


def _losses(predicted: Tensor, crops: ProsodyCrops) -> dict[str, Tensor]:
    """Losses of a (B, 2, S) prediction.

    ``error``: Huber's over voiced frames; ``spread``: mean absolute difference of the crops'
    deviations; ``voicing``: cross entropy over speech frames.
    """
    contour, odds = predicted.unbind(dim=1)
    voiced, speech = crops.voiced, crops.mask[:, 0]
    error = (F.huber_loss(contour, crops.target, reduction="none") * voiced).sum() / voiced.sum().clamp_min(1)
    deviations = [masked_statistics(x.unsqueeze(1), voiced.unsqueeze(1))[1] for x in (contour, crops.target)]
    enough = voiced.sum(dim=1) >= _MIN_VOICED_FRAMES
    spread = ((deviations[0] - deviations[1]).abs().flatten() * enough).mean()
    entropy = F.binary_cross_entropy_with_logits(odds, voiced, reduction="none")
    return {"error": error, "spread": spread, "voicing": (entropy * speech).sum() / speech.sum().clamp_min(1)}
