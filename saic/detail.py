"""What content codes leave out of a clip, and how a share of it is given back.

A small decoder blurs what it says, in the clip's own voice as in another. In the own voice the blur can be measured: it
is the clip minus its reconstruction. Adding all of that to a conversion is voice conversion by spectral differentials
(Kobayashi et al. 2014); it keeps the words best and brings some of the speaker along. So the share is a trade between
the two, ``decoder.detail_share`` in the config; with 0 nothing but content codes, pitch and pauses comes through.

Four things keep the speaker back: only the envelope passes, not what stands between harmonics; only what changes within
a tenth of a second does, as from one phone to the next, not what lasts; its formants move as the decoder's own do from
one voice to the other; and pauses, which hold the room alone, add nothing.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saic import warp
from saic.mel import N_MELS

_CEPSTRA = 20  # of 80: what varies over frequency more slowly than harmonics do
_LASTING_FRAMES = 9  # 0.11 s


def left_out(original: Tensor, rebuilt: Tensor, converted: Tensor, mask: Tensor) -> Tensor:
    """What a clip has and its reconstruction lacks, in the place where the new voice would have it.

    Parameters
    ----------
    original, rebuilt, converted
        (80, T) log-mels of the same frames: the clip, what the decoder says in its own voice, and in the new one.
        All three have the long-term spectrum of the clip (:func:`saic.timbre.transfer`).
    mask
        (T,) of 0 and 1: speech frames.

    Returns
    -------
    (80, T), a share of which is for the conversion; 0 in pauses.
    """
    missing = mask * (envelope().to(original) @ (original - rebuilt))
    missing = missing - _lasting(missing)
    return mask * (warp.warp_matrix(warp.between(rebuilt, converted, mask)).to(missing) @ missing)


def _lasting(mel: Tensor) -> Tensor:
    """(80, T) moving average over time."""
    edge = _LASTING_FRAMES // 2
    return F.avg_pool1d(F.pad(mel[None], (edge, edge), mode="replicate"), _LASTING_FRAMES, 1)[0]


@cache
def envelope() -> Tensor:
    """(80, 80) projection of a log-mel on its envelope, the slow cosines over bins: the first cepstral coefficients."""
    cosines = np.cos(np.pi * np.arange(_CEPSTRA)[:, None] * (np.arange(N_MELS) + 0.5) / N_MELS)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    return torch.from_numpy(cosines.T @ cosines).float()
