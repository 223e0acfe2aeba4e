"""Initial tensors of stage 2: finished weights, and pretrained networks in the content encoder."""

import torch.nn.functional as F
from torch import nn

from saic.errors import UsageError
from saic.model.model import Model
from saic.model.speech_encoder import SpeechEncoder
from saic.training.phone_recognizer import PhoneRecognizer

_CONTENT = ("content_encoder.", "mel_")  # the content encoder, and the statistics of its input
_FRONT = "content_encoder.front."
_SPEECH = f"{_FRONT}speech_encoder."
_MIX = f"{_FRONT}mix.conv.weight"


def load_weights(model: Model, weights: Model, *, only_content: bool = False) -> None:
    """Copy the tensors of finished weights; the model may have pretrained networks that they lack.

    If a phone encoder is added, the whole front end stays as it is. If a speech encoder is added,
    its features have the weight 0 at first, so the codes are those of the weights.

    Parameters
    ----------
    only_content
        Copy the content encoder and the statistics of mels alone.

    Raises
    ------
    UsageError
        The other sizes differ.
    """
    own, known = model.state_dict(), weights.state_dict()
    adds_phone_encoder, adds_speech_encoder = (_adds(model, weights, f"{kind}_encoder") for kind in ("phone", "speech"))
    if adds_speech_encoder and not adds_phone_encoder:
        known[_MIX] = F.pad(known[_MIX], (0, 0, 0, own[_MIX].shape[1] - known[_MIX].shape[1]))

    def is_copied(name: str) -> bool:
        if adds_phone_encoder and name.startswith(_FRONT):
            return False
        return name.startswith(_CONTENT) or not only_content

    known = {name: tensor for name, tensor in known.items() if is_copied(name)}
    kept = {
        name: tensor
        for name, tensor in own.items()
        if not is_copied(name) or (adds_speech_encoder and name.startswith(_SPEECH))
    }
    try:
        model.load_state_dict(kept | known)
    except RuntimeError:
        raise UsageError(
            "The config names other sizes than those of the --init or --content weights: leave them out. Only a phone"
            " encoder or a speech encoder may be added."
        ) from None


def copy_pretrained(
    model: Model, weights: Model | None, recognizer: PhoneRecognizer | None, speech_encoder: SpeechEncoder | None
) -> None:
    """Copy the pretrained networks that the model has and ``weights`` lack, adapted to standardized mels.

    Raises
    ------
    UsageError
        A network is missing, or has other sizes than the config's.
    """
    front, statistics = model.content_encoder.front, (model.mel_mean, model.mel_std)
    if _adds(model, weights, "phone_encoder"):
        if recognizer is None:
            raise UsageError("The config has a phone encoder: give --recognizer, which initializes it.")
        _copy(recognizer.phone_encoder(*statistics), front.phone_encoder, "phone encoder", "--recognizer")
    if _adds(model, weights, "speech_encoder"):
        if speech_encoder is None:
            raise UsageError("The config has a speech encoder: give --speech-encoder, which initializes it.")
        _copy(speech_encoder.for_standardized(*statistics), front.speech_encoder, "speech encoder", "--speech-encoder")


def _adds(model: Model, weights: Model | None, part: str) -> bool:
    """Whether the model has a pretrained network that the weights lack."""
    has, had = (m is not None and getattr(m.config.content_encoder, part) is not None for m in (model, weights))
    return has and not had


def _copy(pretrained: nn.Module, own: nn.Module, what: str, option: str) -> None:
    try:
        own.load_state_dict(pretrained.state_dict())
    except RuntimeError:
        raise UsageError(f"The config's {what} has other sizes than the {option}.") from None
