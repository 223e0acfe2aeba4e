"""Turn blocks of any rate and number of channels into a wav of 16 kHz and one channel.

All channels are resampled first. Which of them the wav consists of is decided on the whole
recording, from their spectra, levels and correlations above 80 Hz.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from saic.audio.limits import SAMPLE_RATE, Limits, check_duration, check_format
from saic.errors import EmptyAudio, InvalidAudio
from saic.files import MEMORY_BYTES
from saic.spool import Spool

BLOCK_SAMPLES = 4096  # small: a decoder that fails inside a block loses the whole block
NO_SAMPLES = "The recording holds no samples. Record or export it again."

_MAX_PEAK = 2.0**31  # of 32-bit integers that were cast to float and not scaled
_OVERSHOOT = 2.0  # lossy codecs exceed full scale by less
_KNOCK_WINDOWS = 3  # a knock is shorter (0.38 s)
_KNOCK = 10**0.75  # amplitude, 15 dB: a knock exceeds the loudest 0.5 s by this
_SILENCE = 10**-3  # amplitude, -60 dBFS

_WINDOW = 2048  # samples (128 ms) of a measurement: about half a syllable, and bins of 8 Hz
_CHUNK = 8 * _WINDOW
_MANY = 64 * _CHUNK  # 65 s
_LOWEST_HZ = 80.0  # below lies no speech, but hum, DC and rumble
_PREEMPHASIS = 0.97
_KNOCKS = 0.02  # share of windows, the loudest, that may be no speech
_PAUSES = 0.1  # share of windows, the quietest, that give the noise floor
_FLAT = 0.99  # of the floor is taken from the level: a channel of noise alone counts 20 dB less

_N_BANDS = 24  # on the mel scale
_AUDIBLE_NEPERS = 3.5  # 30 dB: quieter bands are inaudible beside the loudest
_N_VARIED = 10  # bands that vary most
_MIN_VARIATION = 0.25  # nepers: speech has 0.6 or more, in noise of its own level 0.4; noise has 0.2, a tone 0
_MIN_SPEECH = 1e-4  # power of a channel of speech relative to the loudest channel, -40 dB

_MIN_LEVEL = 0.01  # power relative to the loudest channel, -20 dB
_MIN_CORRELATION = 0.9  # the mean of two such channels loses at most 0.2 dB to comb filtering
_CLEARLY_LOUDER = 4.0  # power, 6 dB
_TURN = 3  # windows (0.38 s) that are compared at once: reverberation in a far microphone is no turn
_ACTIVE = 10**-2.5  # power of speech relative to loud speech
_MIN_SHARE = 0.1  # of the windows with speech belong to a speaker of their own

Block = tuple[np.ndarray, float]  # samples (n, channels), rate in Hz


def to_wav(blocks: Iterator[Block], limits: Limits) -> tuple[np.ndarray, tuple[str, ...]]:
    """Check, resample and mix blocks in memory; rate and channels may change between them.

    Returns
    -------
    wav : (N,) float32, 16 kHz mono in [-1, 1]; if samples lie outside, all are scaled, to a peak of 1
        except for knocks, which are clipped
    notes : what a user should know about the channels
    """
    wav, notes = to_spool(blocks, limits, memory_bytes=None)
    return wav[:], notes


def to_spool(
    blocks: Iterator[Block], limits: Limits, *, memory_bytes: int | None = MEMORY_BYTES
) -> tuple[Spool, tuple[str, ...]]:
    """As :func:`to_wav`, with the wav in a spool, which has more than ``memory_bytes`` in a file."""
    wav, notes = Spool(memory_bytes), []
    with contextlib.closing(blocks):
        for (_, n_channels), group in itertools.groupby(
            _checked(blocks, limits), key=lambda block: (block[1], block[0].shape[1])
        ):
            chunks = _chunks(_resampled(group))
            if n_channels == 1:
                wav.extend(chunk[:, 0] for chunk in chunks)
                continue
            channels, measured = Spool(memory_bytes), []
            for chunk in chunks:
                channels.append(chunk.T)
                measured.append(_measured(chunk))
            if not measured:
                continue
            weights, n_speakers = _weights(*(np.concatenate(each) for each in zip(*measured, strict=True)))
            wav.extend(part.T @ weights for part in channels.blocks(_CHUNK))
            if n_speakers > 1:
                notes.append(f"{n_speakers} channels carry different speakers: they are mixed into one.")
    if len(wav) == 0:
        raise EmptyAudio(NO_SAMPLES)
    peaks = np.concatenate([_peaks(part) for part in wav.blocks(_MANY)])
    if peaks.max() > 1.0:
        scale = np.float32(_full_scale(peaks))
        # Not only knocks are clipped: the quotient may exceed 1 by rounding.
        wav = Spool(memory_bytes).extend(np.clip(part / scale, -1.0, 1.0) for part in wav.blocks(_MANY))
    return wav, tuple(dict.fromkeys(notes))


def _checked(blocks: Iterable[Block], limits: Limits) -> Iterator[Block]:
    """The blocks; raise an error at the first beyond the limits."""
    duration_s = 0.0
    for block, rate_hz in blocks:
        check_format(rate_hz, block.shape[1], limits)
        duration_s += len(block) / rate_hz
        check_duration(duration_s, limits)
        if not np.isfinite(block).all():
            raise InvalidAudio("The recording has NaN or infinite samples. Export it again.")
        if np.abs(block).max(initial=0.0) > _MAX_PEAK:
            raise InvalidAudio("The samples are far outside [-1, 1]. Scale them so that full scale is 1.")
        yield block, rate_hz


def _resampled(blocks: Iterable[Block]) -> Iterator[np.ndarray]:
    """Blocks (n, channels) of one rate and number of channels, at 16 kHz."""
    resampler, n_channels = None, 0
    for block, rate_hz in blocks:
        if resampler is None:
            n_channels = block.shape[1]
            resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE, n_channels, dtype="float32")
        yield resampler.resample_chunk(np.ascontiguousarray(block)).reshape(-1, n_channels)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros((0, n_channels), np.float32), last=True).reshape(-1, n_channels)


def _chunks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same samples in chunks of `_CHUNK`; the last may be shorter, none is empty."""
    held: list[np.ndarray] = []
    n_held = 0
    for block in blocks:
        held.append(block)
        n_held += len(block)
        if n_held >= _CHUNK:
            samples = np.concatenate(held)
            n_whole = n_held - n_held % _CHUNK
            for start in range(0, n_whole, _CHUNK):
                yield samples[start : start + _CHUNK].copy()
            held, n_held = [samples[n_whole:].copy()], n_held - n_whole
    if n_held:
        yield np.concatenate(held)


def _peaks(samples: np.ndarray) -> np.ndarray:
    """Largest magnitude of each window (windows,) of samples (n,)."""
    return np.maximum.reduceat(np.abs(samples), np.arange(0, len(samples), _WINDOW))


def _full_scale(peaks: np.ndarray) -> float:
    """The amplitude to be scaled to 1: the highest of the peaks (windows,) that is no knock."""
    ranked = np.sort(peaks)[::-1]
    sustained = ranked[min(_KNOCK_WINDOWS, len(ranked) // 2)]
    limit = _KNOCK * sustained
    if ranked[0] <= max(limit, _OVERSHOOT) or sustained < _SILENCE:  # with nothing but the knock, it is no knock
        return ranked[0]
    return max(ranked[ranked <= limit][0], 1.0)


def _measured(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure the windows of samples (n, C) above 80 Hz.

    Returns
    -------
    power : (windows, C, C) powers of the channels, and products between them
    emphasized : the same with preemphasis
    bands : (windows, C, 24) levels of mel bands in nepers
    """
    frequency_hz = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
    used = frequency_hz >= _LOWEST_HZ
    taper = np.hanning(_WINDOW + 2)[1:-1].astype(np.float32)
    response = 1 - _PREEMPHASIS * np.exp(-2j * np.pi * frequency_hz[used] / SAMPLE_RATE)
    samples = np.pad(chunk, ((0, -len(chunk) % _WINDOW), (0, 0)))
    windows = samples.reshape(-1, _WINDOW, chunk.shape[1]).transpose(0, 2, 1) * taper
    spectrum = np.fft.rfft(windows)[..., used]
    products = []
    for bins in (spectrum, spectrum * np.abs(response).astype(np.float32)):
        parts = np.concatenate([bins.real, bins.imag], axis=-1)  # Re(x y*) is a product of real vectors
        products.append((parts @ parts.transpose(0, 2, 1)).astype(np.float64))
    mel = np.log1p(frequency_hz[used] / 700)
    starts = np.searchsorted(mel, np.linspace(mel[0], mel[-1], _N_BANDS, endpoint=False))
    bands = np.add.reduceat(spectrum.real**2 + spectrum.imag**2, starts, axis=-1)
    bands = (np.log(bands + 1e-30) / 2).astype(np.float16)  # an hour has 28,000 windows
    return products[0], products[1], bands


def _weights(power: np.ndarray, emphasized: np.ndarray, bands: np.ndarray) -> tuple[np.ndarray, int]:
    """Choose channels by spectrum, level and correlation.

    Channels of a tone or noise are left out if another one varies as speech does. Channels that
    correlate well form a group; those of negative correlation are flipped, and those more than
    20 dB below the loudest are left out. The loudest group is averaged. Further groups are kept
    only if each carries a speaker of its own.

    Parameters
    ----------
    power, emphasized, bands : see :func:`_measured`

    Returns
    -------
    weights : (C,) float32; the level of the mix is that of the channels it consists of
    n_speakers : number of groups that are kept
    """
    n_channels = power.shape[1]
    varied = _varied(power, bands)
    if varied.any() and not varied.all():
        weights = np.zeros(n_channels, np.float32)
        power, emphasized = (products[:, varied][:, :, varied] for products in (power, emphasized))
        weights[varied], n_speakers = _weights(power, emphasized, bands[:, varied])
        return weights, n_speakers
    channels = np.arange(n_channels)
    raw = power[:, channels, channels]  # (windows, C)
    total = raw.max(axis=1)
    loud = _loud(total)
    if loud == 0:
        return np.eye(n_channels, dtype=np.float32)[0], 1
    limiter = np.minimum(1.0, loud / np.maximum(total, loud))[:, None]  # a knock counts no more than loud speech
    floor = np.quantile(raw * limiter, _PAUSES, axis=0)
    level = (raw * limiter).mean(axis=0) - _FLAT * floor

    sums = [np.einsum("w,wij->ij", limiter[:, 0], products) for products in (power, emphasized)]
    correlation, high = [_normalized(products) for products in sums]
    alike = (np.abs(correlation) >= _MIN_CORRELATION) & (correlation * high > 0) & (np.abs(high) >= _MIN_CORRELATION)

    groups: list[list[int]] = []
    for channel in np.argsort(-level, kind="stable").tolist():
        group = next((group for group in groups if alike[group[0], channel]), None)
        if group is None:
            groups.append([channel])
        elif level[channel] >= _MIN_LEVEL * level[group[0]]:
            group.append(channel)

    first = [group[0] for group in groups]
    turns = _averaged(raw * limiter)
    speech = (turns >= _ACTIVE * loud) & (turns > _CLEARLY_LOUDER * floor)
    shares = [0.0] * len(groups)
    if len(groups) > 1 and speech.any():
        for k, channel in enumerate(first):
            others = turns[:, [other for other in first if other != channel]].max(axis=1)
            own = speech[:, channel] & (turns[:, channel] >= _CLEARLY_LOUDER * others)
            shares[k] = own.sum() / speech.any(axis=1).sum()
    speakers = [group for group, share in zip(groups, shares, strict=True) if share >= _MIN_SHARE]
    kept = speakers if len(speakers) > 1 else groups[:1]

    weights = np.zeros(n_channels)
    for group in kept:
        signs = np.where(correlation[kept[0][0], group] < 0, -1.0, 1.0)
        weights[group] = signs / len(group) / len(kept)
    used = list(itertools.chain.from_iterable(kept))
    mixed = np.einsum("i,ij,j->", weights, sums[0], weights)
    gain = np.sqrt((limiter[:, 0] * raw[:, used].max(axis=1)).sum() / mixed) if mixed > 0 else 1.0
    if abs(gain - 1) > 0.01:  # equal channels stay exact
        weights *= gain
    return weights.astype(np.float32), len(kept)


def _varied(power: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """(C,) which channels are loud enough, and change their spectrum, as speech does.

    Arguments are those of :func:`_weights`. Where a channel is not silent, the level of each band
    is compared with the mean of the bands: noise that swells has one spectrum.
    """
    raw = np.diagonal(power, axis1=1, axis2=2)
    loud = np.array([_loud(of_channel) for of_channel in raw.T])
    varied = (loud > 0) & (loud >= _MIN_SPEECH * loud.max())
    for channel in np.flatnonzero(varied):
        levels = bands[raw[:, channel] >= _ACTIVE * loud[channel], channel].astype(np.float64)
        mean = levels.mean(axis=0)
        levels = levels[:, mean > mean.max() - _AUDIBLE_NEPERS]
        deviation = (levels - levels.mean(axis=1, keepdims=True)).std(axis=0)
        varied[channel] = np.sort(deviation)[-_N_VARIED:].mean() >= _MIN_VARIATION
    return varied


def _loud(power: np.ndarray) -> float:
    """Power of loud speech, without knocks, of powers (windows,)."""
    rank = min(max(2, round(_KNOCKS * len(power))), len(power) - 1)
    return np.sort(power)[::-1][rank] or power.max()


def _averaged(power: np.ndarray) -> np.ndarray:
    """Means over `_TURN` windows of powers (windows, C)."""
    n_windows = len(power)
    sums = np.cumsum(np.pad(power, ((_TURN // 2 + 1, _TURN // 2), (0, 0))), axis=0)
    return np.maximum(sums[_TURN:] - sums[:n_windows], 0.0) / _TURN


def _normalized(products: np.ndarray) -> np.ndarray:
    """Correlation coefficients (C, C) of a matrix of products; 0 for an empty channel."""
    norm = np.sqrt(np.diagonal(products))
    scale = np.outer(norm, norm)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
