"""Every error that SAIC raises on purpose.

A message is one or two sentences: what is wrong and what to do. It never contains a file name of the user's, because
messages reach logs and pages. ``exit_code`` is what the command line returns.
"""


class SaicError(Exception):
    """Base of all errors: the input or the call is at fault, not the program."""

    exit_code = 1


class UsageError(SaicError):
    """The call cannot be carried out: an unknown option, a missing target, an existing output file."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration has an unknown key or a value out of range."""


class DataError(UsageError):
    """A corpus or manifest cannot be used as it is."""


class TrainingError(SaicError):
    """A training run failed and stopped."""


class AudioError(SaicError):
    """A recording cannot be used."""

    exit_code = 3


class UndecodableAudio(AudioError):
    """Not audio, a format that is not supported, or a broken file."""


class EmptyAudio(AudioError):
    """The recording has no samples."""


class InvalidAudio(AudioError):
    """Samples that are NaN or infinite, or a sample rate or channel count out of range."""


class SilentAudio(AudioError):
    """The recording has samples, but no speech."""


class NotSpeech(AudioError):
    """A tone, hum or steady noise instead of speech."""


class TooShort(AudioError):
    """The recording has less speech than the method needs."""


class TooLong(AudioError):
    """The recording has more seconds or bytes than the limit."""


class WeightsError(SaicError):
    """Weights are missing, damaged, or of another format."""

    exit_code = 4


class HubError(WeightsError):
    """The Hub cannot be reached, refuses the request, or sends other content than requested."""


class PartialFailure(SaicError):
    """Some recordings of a folder could not be used; the others were processed."""

    exit_code = 5


def missing_package(what: str, extra: str) -> UsageError:
    """The error for packages of an optional extra that are not installed; ``what`` needs them."""
    return UsageError(f"{what} Install what is missing, in SAIC's source tree: pip install '.[{extra}]'")
