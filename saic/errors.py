"""Every error that SAIC raises on purpose.

A message is one or two sentences that say what is wrong and what to do; it never holds a file name of
the user's, because messages reach logs and pages. ``exit_code`` is what the command line returns.
"""


class SaicError(Exception):
    """Base of all errors that are the input's fault, never a bug."""

    exit_code = 1


class UsageError(SaicError):
    """The call makes no sense: an unknown option, a missing target, an existing output file."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration holds an unknown key or a value out of range."""


class DataError(UsageError):
    """A corpus or manifest cannot be used as it is."""


class TrainingError(SaicError):
    """A training run went wrong and stopped."""


class AudioError(SaicError):
    """A recording cannot be used."""

    exit_code = 3


class UndecodableAudio(AudioError):
    """Not audio, a format that is not supported, or a broken file."""


class EmptyAudio(AudioError):
    """No samples at all."""


class InvalidAudio(AudioError):
    """Samples that are NaN or infinite, or a sample rate or channel count out of range."""


class SilentAudio(AudioError):
    """Samples, but no speech."""


class TooShort(AudioError):
    """Less speech than the method needs."""


class TooLong(AudioError):
    """More seconds or bytes than the limit."""


class WeightsError(SaicError):
    """Weights are missing, damaged, or of another format."""

    exit_code = 4


class HubError(WeightsError):
    """The Hub cannot be reached, refuses, or gives something else than what was named."""


class PartialFailure(SaicError):
    """Some recordings of a folder could not be used; the others are done."""

    exit_code = 5
