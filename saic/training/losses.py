"""Losses on standardized log-mels: reconstruction, and the speaker style of conversions."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.signal.masking import downsample_mask, masked_statistics
from saic.training import distributed

FeatureNetwork = Callable[[Tensor], Sequence[Tensor]]
"""(B, 80, T) standardized log-mel to feature maps of any shape, batch first."""


def multi_scale_l1(output: Tensor, target: Tensor, scales: Sequence[int] = (1, 2, 4)) -> Tensor:
    """Mean absolute difference of mels averaged over ``scale`` x ``scale`` patches, for all scales.

    Coarse scales give a useful gradient where fine structure does not match, such as a harmonic
    that is one bin off.
    """
    total = output.new_zeros(())
    for scale in scales:
        a, b = (F.avg_pool2d(x.unsqueeze(1), scale) if scale > 1 else x for x in (output, target))
        total = total + (a - b).abs().mean()
    return total / len(scales)


class ReconstructionLoss(nn.Module):
    """Multi-scale mel L1 plus a perceptual loss (Eq. 1 and 3) over any feature network.

    The L1 distance of each feature map is divided by the target's mean magnitude, so that all
    layers have equal weight. To save time, the perceptual loss uses the first ``share`` of a batch,
    whose clips are in random order.
    """

    def __init__(self, network: FeatureNetwork | None = None, weight: float = 1.0, share: float = 1.0):
        super().__init__()
        self.network, self.weight, self.share = network, weight, share

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of (B, 80, T) against (B, 80, T); 0 for equal mels."""
        loss = multi_scale_l1(output, target)
        if self.network is None or self.weight == 0 or self.share == 0:
            return loss
        n_used = max(1, round(self.share * len(output)))
        own = distributed.rows(n_used)
        with torch.no_grad():
            wanted = self.network(target[own])
        got = self.network(output[own])
        pairs = list(zip(got, wanted, strict=True))
        sizes = torch.tensor([n_used * w.shape[1:].numel() for w in wanted], device=output.device)
        differences = distributed.total(torch.stack([(g - w).abs().sum() for g, w in pairs])) / sizes
        magnitudes = distributed.total(torch.stack([w.abs().sum() for w in wanted])) / sizes
        return loss + self.weight * (differences / magnitudes.clamp_min(1e-4)).mean()


def speaker_style_loss(
    network: FeatureNetwork, output: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor
) -> Tensor:
    """Distance between the feature statistics of an output and of a reference of the same speaker.

    Mean and deviation of every feature over speech frames are compared, relative to the reference's
    magnitude. They depend on the speaker more than on the words. It is the style loss of Gatys et
    al. (2015), with statistics over time instead of over an image.

    Parameters
    ----------
    output, reference
        (B, 80, T) and (B, 80, T') standardized log-mels.
    mask, reference_mask
        (B, 1, T) and (B, 1, T') of 0 and 1: their speech frames.
    """
    with torch.no_grad():
        wanted = _feature_statistics(network, reference, reference_mask)
    got = _feature_statistics(network, output, mask)
    distance = sum((g - w).abs().mean() / w.abs().mean().clamp_min(1e-4) for g, w in zip(got, wanted, strict=True))
    return distance / len(wanted)


def _feature_statistics(network: FeatureNetwork, mel: Tensor, mask: Tensor) -> list[Tensor]:
    statistics = []
    for features in network(mel):
        quotient = mel.shape[-1] // features.shape[-1]
        stride = 1 << quotient.bit_length() - 1  # a power of two; a pooling may have dropped the last frames
        coarse = downsample_mask(mask, stride)[..., : features.shape[-1]]
        statistics += masked_statistics(features.flatten(1, -2), coarse)
    return statistics
