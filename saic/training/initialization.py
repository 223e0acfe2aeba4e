"""Initial tensors of stage 2: finished weights, and a pretrained phone encoder."""

from torch import Tensor

from saic.errors import UsageError
from saic.model.model import Model
from saic.training.phone_recognizer import PhoneRecognizer
from saic.training.training_set import TrainingSet

_CONTENT = ("content_encoder.", "mel_")  # the content encoder, and the statistics of its input
_FRONT = "content_encoder.front."


def mel_statistics(training_set: TrainingSet, weights: Model | None) -> tuple[Tensor, Tensor]:
    """Mean and deviation (80, 1) by which stage 2 standardizes mels: those of the initial weights, if any.

    Networks that are trained before are adapted to them.
    """
    return training_set.statistics() if weights is None else (weights.mel_mean, weights.mel_std)


def load_weights(model: Model, weights: Model, *, only_content: bool = False) -> None:
    """Copy the tensors of finished weights.

    If the model has a phone encoder and they have none, its whole front end stays as it is.

    Parameters
    ----------
    only_content
        Copy the content encoder and the statistics of mels alone.

    Raises
    ------
    UsageError
        The other sizes differ.
    """
    adds_phone_encoder = _adds_phone_encoder(model, weights)

    def is_copied(name: str) -> bool:
        if adds_phone_encoder and name.startswith(_FRONT):
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
    has, had = (m is not None and m.config.content_encoder.phone_encoder is not None for m in (model, weights))
    return has and not had
