"""Initial tensors of stage 2: finished weights, another speaker encoder for them, and a pretrained phone encoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.errors import UsageError
from saic.model.model import Model
from saic.training.phone_recognizer import PhoneRecognizer
from saic.training.training_set import TrainingSet

_CONTENT = ("content_encoder.", "mel_")  # the content encoder, and the statistics of its input
_FRONT = "content_encoder.front."
_SPEAKER = ("speaker_encoder.", "decoder.dense.0.", "pitch_head.")  # the speaker encoder, and the layers it feeds
_RIDGE = 1e-3  # relative to the mean square of an embedding's elements


def mel_statistics(training_set: TrainingSet, weights: Model | None) -> tuple[Tensor, Tensor]:
    """Mean and deviation (80, 1) by which stage 2 standardizes mels: those of the initial weights, if any.

    Networks that are trained before are adapted to them.
    """
    return training_set.statistics() if weights is None else (weights.mel_mean, weights.mel_std)


def load_weights(model: Model, weights: Model, *, only_content: bool = False, speaker: bool = True) -> None:
    """Copy the tensors of finished weights.

    If the model has a phone encoder and they have none, its whole front end stays as it is.

    Parameters
    ----------
    only_content
        Copy the content encoder and the statistics of mels alone.
    speaker
        Also copy the speaker encoder and the layers that it feeds; without them,
        :func:`fit_speaker_layers` follows.

    Raises
    ------
    UsageError
        The other sizes differ.
    """
    adds_phone_encoder = _adds_phone_encoder(model, weights)

    def is_copied(name: str) -> bool:
        if (adds_phone_encoder and name.startswith(_FRONT)) or (not speaker and name.startswith(_SPEAKER)):
            return False
        return name.startswith(_CONTENT) or not only_content

    known = {name: tensor for name, tensor in weights.state_dict().items() if is_copied(name)}
    kept = {name: tensor for name, tensor in model.state_dict().items() if not is_copied(name)}
    try:
        model.load_state_dict(kept | known)
    except RuntimeError:
        raise UsageError(
            "The config names other sizes than those of the --init or --content weights: leave them out. Only a phone"
            " encoder may be added."
        ) from None


@torch.no_grad()
def fit_speaker_layers(model: Model, weights: Model, training_set: TrainingSet) -> None:
    """Make the layers that take speaker embeddings fit another speaker encoder than that of finished weights.

    A linear map from the embeddings of ``model.speaker_encoder`` to those of ``weights`` is fitted to
    the clips of ``training_set``, by least squares, and multiplied into the first layer of the decoder's
    dense layers and into the F0 head.
    """
    own, wanted, device = [], [], model.mel_mean.device
    for k in range(len(training_set.clips)):
        mel, mask = training_set.clip_mel(k)[None], training_set.clip_mask(k)[None]
        own.append(model.encode_speaker(mel.to(device), mask.to(device)).cpu())
        wanted.append(weights.encode_speaker(mel, mask))
    inputs = F.pad(torch.cat(own), (0, 1), value=1.0).double()
    gram = inputs.T @ inputs
    ridge = _RIDGE * gram.diagonal()[:-1].mean() * torch.eye(len(gram))
    ridge[-1, -1] = 0.0
    fitted = torch.linalg.solve(gram + ridge, inputs.T @ torch.cat(wanted).double()).float()
    matrix, offset = fitted[:-1].T, fitted[-1]
    for layer, known in ((model.decoder.dense[0], weights.decoder.dense[0]), (model.pitch_head, weights.pitch_head)):
        _set(layer, known.weight @ matrix, known.weight @ offset + known.bias)


def _set(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def copy_phone_encoder(model: Model, weights: Model | None, recognizer: PhoneRecognizer | None) -> None:
    """Copy the phone encoder that the model has and ``weights`` lack, adapted to standardized mels.

    Raises
    ------
    UsageError
        The recognizer is missing, or has other sizes than the config's.
    """
    if not _adds_phone_encoder(model, weights):
        return
    if recognizer is None:
        raise UsageError("The config has a phone encoder: give --recognizer, which initializes it.")
    pretrained = recognizer.phone_encoder(model.mel_mean, model.mel_std)
    try:
        model.content_encoder.front.phone_encoder.load_state_dict(pretrained.state_dict())
    except RuntimeError:
        raise UsageError("The config's phone encoder has other sizes than the --recognizer.") from None


def _adds_phone_encoder(model: Model, weights: Model | None) -> bool:
    """Whether the model has a phone encoder and the weights have none."""
    has = model.config.content_encoder.phone_encoder is not None
    had = weights is not None and weights.config.content_encoder.phone_encoder is not None
    return has and not had
