"""The linear map from this project's log-mel to that of a pretrained network, by least squares."""

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from saic import audio
from saic.data.left_out import LeftOut, reason_of
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError
from saic.model.phone_encoder import to_recognizer_frames
from saic.signal.mel import N_MELS, log_mel

_RIDGE = 1e-2  # added to the diagonal, since neighboring bands of a band-limited recording may be identical


def fit(
    own_log_mel: Callable[[Tensor], Tensor], clips: list[Clip], left_out: LeftOut | None = None
) -> tuple[Tensor, Tensor, float]:
    """Fit the map on clips, without transcripts.

    Parameters
    ----------
    own_log_mel
        (N,) wav at 16 kHz to the network's own log-mel (80, T), 100 frames a second.
    left_out
        Filled with the utterances that cannot be decoded.

    Returns
    -------
    (80, 80) matrix, (80, 1) offset, and the rms error in the unit of the network's log-mel.

    Raises
    ------
    DataError
        No clip can be decoded.
    """
    left_out = LeftOut() if left_out is None else left_out
    square = torch.zeros(N_MELS + 1, N_MELS + 1).double()
    product = torch.zeros(N_MELS + 1, N_MELS).double()
    total, n_frames = 0.0, 0
    for clip in tqdm(clips, unit="clip", leave=False):
        try:
            wav = torch.from_numpy(audio.load(clip.path))
        except AudioError as error:
            left_out.add(reason_of(error), clip.utterance)
            continue
        wanted, given = own_log_mel(wav), to_recognizer_frames(log_mel(wav))
        n = min(wanted.shape[1], given.shape[1])
        wanted = wanted[:, :n].T.double()
        given = torch.cat([given[:, :n], torch.ones(1, n)]).T.double()
        square, product = square + given.T @ given, product + given.T @ wanted
        total, n_frames = total + float(wanted.square().sum()), n_frames + n
    if not n_frames:
        raise DataError("None of the clips can be decoded. Make the manifest again with train.prepare.")
    solution = torch.linalg.solve(square + _RIDGE * torch.eye(N_MELS + 1).double(), product)
    squared = total - 2 * float((solution * product).sum()) + float(((square @ solution) * solution).sum())
    error = (max(squared, 0.0) / n_frames / N_MELS) ** 0.5
    return solution[:N_MELS].T.float().contiguous(), solution[N_MELS:].T.float().contiguous(), error
