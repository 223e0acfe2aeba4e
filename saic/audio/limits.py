"""The sample rate of every wav, and the limits of a recording."""

from dataclasses import dataclass

from saic.errors import InvalidAudio, TooLong

SAMPLE_RATE = 16_000
"""Samples per second of every wav."""


@dataclass(frozen=True)
class Limits:
    """Limits of a recording. The defaults accept ten minutes of any common format.

    Decoding into an array takes up to ``max_duration_s * max_channels`` times 64 KB of memory,
    decoding into a spool as much of the disk.
    """

    max_bytes: int = 256 * 2**20
    max_duration_s: float = 600.0
    max_channels: int = 8
    min_rate_hz: float = 4_000.0
    max_rate_hz: float = 384_000.0


LONG = Limits(max_bytes=16 * 2**30, max_duration_s=12 * 3_600.0)
"""Limits of a recording that is converted in blocks: twelve hours."""


def check_format(rate_hz: float, n_channels: int, limits: Limits) -> None:
    if not limits.min_rate_hz <= rate_hz <= limits.max_rate_hz:
        raise InvalidAudio(
            f"The sample rate is {rate_hz:g} Hz. Use {limits.min_rate_hz:g} to {limits.max_rate_hz:g} Hz."
        )
    if not 1 <= n_channels <= limits.max_channels:
        raise InvalidAudio(f"The recording has {n_channels} channels. Use 1 to {limits.max_channels}.")


def check_duration(duration_s: float, limits: Limits) -> None:
    if duration_s > limits.max_duration_s + 1e-3:  # the sum over many blocks is not exact
        limit_s = limits.max_duration_s
        limit = f"{limit_s / 60:g} min" if limit_s >= 60 else f"{limit_s:g} s"
        raise TooLong(f"The recording is longer than {limit}. Cut it into shorter parts.")
