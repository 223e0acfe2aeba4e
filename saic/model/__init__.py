"""The trainable model: content encoder, speaker encoder, decoder."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "Model":
        raise AttributeError(f"module 'saic.model' has no attribute {name!r}")
    from saic.model.model import Model  # at first use: importing one module of this package then does not import all

    return Model
