"""Evidence from signal statistics: level, prosody, energy, timing, noise floor, spectrum.

This is what an attacker can measure without a neural network. Each class measures one segment as a
vector. Skewed quantities are given as logarithms, with a small constant that keeps them finite. All
but :class:`Level` are invariant to gain for speech above -40 dBFS: levels are relative to the speech
level, the mean power over the segment's speech frames.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from saic.errors import SilentAudio, TooShort
from saic.evaluation.linkage.segment import Segment
from saic.signal.mel import FRAMES_PER_S, HOP_SAMPLES, N_MELS, SAMPLE_RATE

MIN_SPEECH_S = 0.5

_RANGE_DB = 70.0  # levels further below the speech level count as this far below it
_MEL_RANGE = 6.0  # nepers, 52 dB: the log-mel of quiet speech has no more above its lowest value
_EPSILON = 1e-3

_MIN_VOICED_FRAMES = 8
_FLAT_LOG2_HZ = np.log2(150.0)  # F0 of a segment in which nothing is voiced
_SPREAD_EPSILON = 0.01  # octaves; half a step of the F0 tracker
_JUMP_OCTAVES = 0.5  # a larger step between voiced frames is an octave jump
_CREAK_OCTAVES = 0.6  # F0 further below the median is creak
_SLOW_HZ = 1.5  # limit of the smoothed contour

_MEL_REGIONS = (0, 16, 36, 58, N_MELS)  # edges at 0, 0.6, 1.5, 3.4 and 8 kHz
_F0_BANDS_HZ = np.array([0.5, 1.0, 1.5, 2.2, 3.2, 4.7, 7.0, 10.5, 16.0])
_ENERGY_BANDS_HZ = np.geomspace(0.5, 20.0, 13)
_MODULATION_FFT = 1024  # 12.8 s of frames
_N_CEPSTRUM = 8
_AROUND = np.arange(-12, 13, 3)  # frames re the edge of a voiced run, positive towards its inside
_INSIDE = np.array([0, 1, 2, 4, 6, 9])  # frames within the run, from its edge
_MIN_RUN_FRAMES = 6
_DIP_DB = -22.0  # smoothed energy below it is a dip between words, if not a pause
_STEADY, _BURST = 0.12, 0.4  # nepers: mean change of the mel from one frame to the next
_SYLLABLE_HZ = 8.0  # limit of the smoothed envelope whose peaks are counted


class Level:
    """Level and dynamics of the waveform and of speech, DC and clipping. Not invariant to gain."""

    name = "level"

    def measure(self, segment: Segment) -> np.ndarray:
        """(18,) float32.

        Raises
        ------
        SilentAudio, TooShort
            The segment has no speech, or less than 0.5 s.
        """
        speech = _speech(segment)
        level_db, relative_db = _relative_energy(segment)
        wav = segment.wav
        dc = float(wav.mean(dtype=np.float64))
        centered = wav - dc
        spoken = centered[np.repeat(speech, HOP_SAMPLES)[: len(wav)]]
        power = np.square(spoken)
        rms = float(np.sqrt(power.mean(dtype=np.float64))) + 1e-9
        magnitude = np.abs(centered)
        peak = float(magnitude.max())
        rank = int(0.999 * (len(wav) - 1))
        cubed = float(np.dot(power, spoken)) / len(spoken) / rms**3
        fourth = float(np.dot(power, power)) / len(spoken) / rms**4
        percentiles = np.percentile(relative_db[speech], (5, 25, 50, 75, 95))
        blocks = _moving_average(10 ** (relative_db / 10), int(0.4 * FRAMES_PER_S))
        loud = np.percentile(10 * np.log10(blocks), (10, 50, 95))
        values = [
            level_db,
            _db(np.sqrt(np.dot(wav, wav) / len(wav)) + 1e-9),
            _db(peak + 1e-9),
            _db(np.partition(magnitude, rank)[rank] / rms + 1e-3),
            _db(peak / rms + 1e-3),
            *percentiles,
            relative_db.max(),
            loud[2] - loud[0],
            loud[2] - loud[1],
            np.arcsinh(dc / 1e-4),
            np.log(abs(dc) / rms + 1e-4),
            cubed,
            np.log(fourth + 1e-3),
            np.log(np.mean(magnitude > 0.98 * peak) + 1e-6),
        ]
        return _vector(values)


class Prosody:
    """Statistics of log2 F0: height, range, shape, slopes, modulation spectrum, and voiced runs."""

    name = "prosody"

    def measure(self, segment: Segment) -> np.ndarray:
        """(60,) float32; the F0 of an unvoiced segment counts as 150 Hz without variation.

        Raises as :meth:`Level.measure`.
        """
        speech = _speech(segment)
        voiced = segment.f0 > 0
        enough = voiced.sum() >= _MIN_VOICED_FRAMES
        if enough:
            where = np.flatnonzero(voiced)
            contour = np.interp(np.arange(len(voiced)), where, np.log2(segment.f0[where]))
        else:
            where = np.flatnonzero(speech)
            contour = np.full(len(voiced), _FLAT_LOG2_HZ)
        x = contour[where]
        low, quarter, median, three_quarters, high = np.percentile(x, (5, 25, 50, 75, 95))
        spread = x.std() + _SPREAD_EPSILON
        shape = np.percentile((x - median) / spread, (2, 10, 20, 35, 65, 80, 90, 98))

        steps = np.diff(contour)[np.flatnonzero(voiced[1:] & voiced[:-1])] if enough else np.zeros(2)
        steps = steps if len(steps) else np.zeros(2)
        jumps = np.abs(steps) > _JUMP_OCTAVES
        smoothed = _moving_average(contour, 5)
        pairs = np.flatnonzero(voiced[4:] & voiced[:-4]) if enough else np.zeros(0, int)
        slopes = (smoothed[pairs + 4] - smoothed[pairs]) * FRAMES_PER_S / 4 if len(pairs) else np.zeros(2)
        rising, falling = np.maximum(slopes, 0), np.maximum(-slopes, 0)

        time = (where - where.mean()) / FRAMES_PER_S
        declination = (time * x).sum() / ((time**2).sum() + _EPSILON)
        slow = _low_pass(contour, _SLOW_HZ)
        detail = (contour - slow)[where].std()
        bands = _modulation_spectrum(contour[None], _F0_BANDS_HZ)[0]

        starts, lengths = _runs(voiced) if enough else (np.zeros(1, int), np.ones(1, int))
        onsets, offsets, arches = _run_shapes(contour, starts, lengths)
        seconds = lengths / FRAMES_PER_S
        values = [
            median,
            x.mean() - median,
            np.log(spread),
            np.log(high - low + _SPREAD_EPSILON),
            np.log(three_quarters - quarter + _SPREAD_EPSILON),
            (high + low - 2 * median) / spread,
            *_shape_moments(x),
            *shape,
            np.log(slopes.std() + 0.05),
            np.log(rising.mean() + 0.05),
            np.log(falling.mean() + 0.05),
            *np.percentile(slopes, (5, 25, 50, 75, 95)),
            np.mean(slopes > 0),
            np.clip(declination, -1, 1),
            *bands,
            np.log(jumps.mean() + _EPSILON),
            np.log(np.mean(x < median - _CREAK_OCTAVES) + _EPSILON),
            np.log(np.abs(steps[~jumps]).mean() + 1e-3) if not jumps.all() else np.log(1e-3),
            np.mean(steps == 0),
            np.log(detail + _SPREAD_EPSILON),
            np.log(slow[where].std() + _SPREAD_EPSILON),
            *_autocorrelation(contour, (4, 8, 16, 32, 64)),
            (voiced & speech).sum() / speech.sum(),
            *_log_statistics(seconds),
            *onsets,
            *offsets,
            *arches,
            *_phrase_contour(contour - median, voiced & speech, speech) / spread,
        ]
        return _vector(values)


class EnergyModulation:
    """Modulation spectra of the energy envelope, its distribution and slopes, and its relation to F0."""

    name = "energy"

    def measure(self, segment: Segment) -> np.ndarray:
        """(121,) float32. Raises as :meth:`Level.measure`."""
        speech = _speech(segment)
        _, relative_db = _relative_energy(segment)
        whole = np.maximum(relative_db, -50)
        regions = _region_levels(segment, speech)
        tracks = np.concatenate([whole[None] / 10, regions])
        spectra = _modulation_spectrum(tracks, _ENERGY_BANDS_HZ)

        spoken = whole[speech]
        slopes = np.diff(_moving_average(whole, 3))[speech[1:]] * FRAMES_PER_S
        in_speech = regions[:, speech]
        correlations = _correlations(in_speech)
        voiced = segment.f0 > 0
        if voiced.sum() >= _MIN_VOICED_FRAMES:
            pitch, loud = np.log2(segment.f0[voiced]), whole[voiced]
            slope = _correlation(pitch, loud) * loud.std()  # dB per standard deviation of F0
            coupled = [_correlation(pitch, track) for track in tracks[:, voiced]]
            voiced_db = [loud.mean() - spoken.mean(), loud.std(), *np.percentile(loud - spoken.mean(), (10, 90))]
            lagged = [_lagged_correlation(segment.f0, whole, lag) for lag in (-12, -6, -3, 3, 6, 12)]
        else:
            slope, coupled, lagged = 0.0, [0.0] * 5, [0.0] * 6
            voiced_db = [0.0, spoken.std(), *np.percentile(spoken - spoken.mean(), (10, 90))]
        unvoiced = speech & ~voiced
        contrast = (
            regions[:, voiced & speech].mean(axis=1) - regions[:, unvoiced].mean(axis=1)
            if unvoiced.any() and (voiced & speech).any()
            else np.zeros(4)
        )
        values = [
            *spectra.ravel(),
            *_shape_moments(spoken),
            spoken.std(),
            *np.percentile(spoken, (2, 10, 25, 50, 75, 90, 98)),
            np.log(np.maximum(slopes, 0).mean() + 1),
            np.log(np.maximum(-slopes, 0).mean() + 1),
            *np.percentile(slopes, (2, 10, 25, 50, 75, 90, 98)),
            *_autocorrelation(whole, (2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64)),
            *in_speech.std(axis=1),
            *correlations,
            slope,
            *coupled,
            *lagged,
            *voiced_db,
            *contrast,
        ]
        return _vector(values)


class Timing:
    """Pauses, runs of speech and of voicing, syllable-like rate, and the rate of spectral change."""

    name = "timing"

    def measure(self, segment: Segment) -> np.ndarray:
        """(68,) float32. Raises as :meth:`Level.measure`."""
        speech = _speech(segment)
        _, relative_db = _relative_energy(segment)
        voiced = segment.f0 > 0
        spoken = np.flatnonzero(speech)
        inside = slice(spoken[0], spoken[-1] + 1)
        loud = _moving_average(np.maximum(relative_db, -50), 5)[inside] > _DIP_DB
        values = [
            speech.mean(),
            speech[inside].mean(),
            loud.mean(),
            *_run_statistics(~speech[inside]),
            *_run_statistics(speech[inside]),
            *_run_statistics(~loud),
            *_run_statistics(loud),
            *_run_statistics(voiced[inside]),
            *_run_statistics(~voiced[inside]),
        ]
        speech_s = speech.sum() / FRAMES_PER_S
        envelope = _low_pass(np.maximum(relative_db, -40), _SYLLABLE_HZ)
        peaks = _peaks(envelope, 2.0) & speech
        values += [np.log(peaks.sum() / speech_s + 0.5), *_interval_statistics(np.flatnonzero(peaks))]

        levels = _relative_mel(segment, speech)
        change = np.abs(np.diff(levels, axis=1)).mean(axis=0)
        bursts = _peaks(_moving_average(change, 3), 0.05) & speech[1:]
        values += [np.log(bursts.sum() / speech_s + 0.5), *_interval_statistics(np.flatnonzero(bursts))]
        changes = change[speech[1:]] + 1e-2
        values += [np.log(changes).mean(), np.log(changes).std(), *np.log(np.percentile(changes, (10, 50, 90)))]
        values += [np.mean(changes < _STEADY), np.mean(changes > _BURST)]
        for kind in (voiced & speech, speech & ~voiced):
            values.append(np.log(change[kind[1:]].mean() + 1e-2) if kind[1:].any() else np.log(changes).mean())
        for lag in (1, 2, 4, 8, 16, 32):
            both = speech[lag:] & speech[:-lag]
            flux = np.abs(levels[:, lag:] - levels[:, :-lag])[:, both] if both.any() else np.zeros((N_MELS, 1))
            by_region = np.add.reduceat(flux.mean(axis=1), _MEL_REGIONS[:-1]) / np.diff(_MEL_REGIONS)
            values += list(np.log(by_region + 1e-2))
        return _vector(values)


class Floor:
    """Level and spectrum outside speech relative to the speech level, and the segment's edges."""

    name = "floor"

    def measure(self, segment: Segment) -> np.ndarray:
        """(36,) float32; without frames outside speech, the quietest tenth counts.

        Raises as :meth:`Level.measure`.
        """
        speech = _speech(segment)
        level_db, relative_db = _relative_energy(segment)
        outside = ~speech
        if outside.sum() < 4:
            outside = relative_db <= np.quantile(relative_db, 0.1)
        bands = _band_levels_db(segment.wav) - level_db
        bands = np.maximum(bands, -_RANGE_DB - 20)
        rms = 10 ** (level_db / 20)
        digital = np.abs(segment.wav) < 1e-5 * rms
        spoken = np.flatnonzero(speech)
        hop_s = 1 / FRAMES_PER_S
        values = [
            np.median(relative_db[outside]),
            relative_db[outside].std(),
            *np.percentile(relative_db, (0, 2, 5, 10, 20)),
            *np.median(bands[:, outside], axis=1),
            *np.percentile(bands, 2, axis=1),
            np.log(np.mean(digital) + _EPSILON),
            np.log(np.mean(relative_db <= -_RANGE_DB) + _EPSILON),
            np.log(np.mean(outside)),
            *(relative_db[:frames].mean() for frames in (4, 16)),
            *(relative_db[-frames:].mean() for frames in (4, 16)),
            np.log(spoken[0] * hop_s + 0.05),
            np.log((len(speech) - 1 - spoken[-1]) * hop_s + 0.05),
        ]
        return _vector(values)


class Spectrum:
    """Long-term average of the mel spectrum over speech, and its deviation, as cosine coefficients."""

    name = "spectrum"

    def measure(self, segment: Segment) -> np.ndarray:
        """(40,) float32: 24 coefficients of the average and 16 of the log deviation.

        Raises as :meth:`Level.measure`.
        """
        levels = _relative_mel(segment, speech := _speech(segment))[:, speech]
        average = _cosines(24) @ levels.mean(axis=1)
        deviation = _cosines(16) @ np.log(levels.std(axis=1) + 0.05)
        return _vector([*average, *deviation])


class Articulation:
    """Spread, rate of change and shape of the distribution of the first cepstral coefficients over speech."""

    name = "articulation"

    def measure(self, segment: Segment) -> np.ndarray:
        """(56,) float32. Raises as :meth:`Level.measure`."""
        speech = _speech(segment)
        cepstrum = _cosines(_N_CEPSTRUM) @ _relative_mel(segment, speech)
        spoken = cepstrum[:, speech]
        logs = [np.log(spoken.std(axis=1) + 0.1)]
        for lag in (1, 2, 4, 8, 16):
            both = speech[lag:] & speech[:-lag]
            step = (cepstrum[:, lag:] - cepstrum[:, :-lag])[:, both] if both.any() else np.zeros((_N_CEPSTRUM, 1))
            logs.append(np.log(np.abs(step).mean(axis=1) + 0.1))
        scaled = (spoken - spoken.mean(axis=1, keepdims=True)) / (spoken.std(axis=1, keepdims=True) + 0.1)
        return _vector([*np.concatenate(logs), *np.mean(scaled**3, axis=1)])


class MicroProsody:
    """Mean course of energy, spectral change and F0 around the start and the end of voiced runs."""

    name = "microprosody"

    def measure(self, segment: Segment) -> np.ndarray:
        """(50,) float32; constants where nothing is voiced. Raises as :meth:`Level.measure`."""
        speech = _speech(segment)
        _, relative_db = _relative_energy(segment)
        whole = np.maximum(relative_db, -45)
        levels = _relative_mel(segment, speech)
        change = np.pad(np.log(np.abs(np.diff(levels, axis=1)).mean(axis=0) + 0.02), (1, 0), mode="edge")
        voiced = segment.f0 > 0
        starts, lengths = _runs(voiced)
        starts, lengths = starts[lengths >= _MIN_RUN_FRAMES], lengths[lengths >= _MIN_RUN_FRAMES]
        if len(starts) == 0:
            one_edge = [-10.0] * len(_AROUND) + [-2.0] * len(_AROUND) + [0.0] * len(_INSIDE) + [5.0]
            return _vector(one_edge + one_edge)
        octaves = np.log2(np.maximum(segment.f0, 1)) - np.log2(np.median(segment.f0[voiced]))
        values = []
        for edges, inward in ((starts, 1), (starts + lengths - 1, -1)):
            around = np.clip(edges[:, None] + inward * _AROUND, 0, len(voiced) - 1)
            inside = edges[:, None] + inward * np.minimum(_INSIDE, lengths[:, None] - 1)
            values += [*whole[around].mean(axis=0), *change[around].mean(axis=0)]
            values += [*octaves[inside].mean(axis=0), whole[around].std(axis=0).mean()]
        return _vector(values)


def _vector(values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def _speech(segment: Segment) -> np.ndarray:
    """(T,) speech frames of the segment, or an error if there are too few."""
    speech = segment.speech
    seconds = speech.sum() / FRAMES_PER_S
    if seconds == 0:
        raise SilentAudio("The segment is silent.")
    if seconds < MIN_SPEECH_S:
        raise TooShort(f"The segment holds {seconds:.2f} s of speech; at least {MIN_SPEECH_S:g} s are needed.")
    return speech


def _relative_energy(segment: Segment) -> tuple[float, np.ndarray]:
    """Speech level in dBFS, and (T,) energy relative to it in dB, at least -70."""
    power = 10 ** (segment.energy_db[segment.speech].astype(np.float64) / 10)
    level = 10 * np.log10(power.mean())
    return level, np.maximum(segment.energy_db - level, -_RANGE_DB)


def _relative_mel(segment: Segment, speech: np.ndarray) -> np.ndarray:
    """(80, T) log-mel relative to the mean magnitude over speech, at least -6 nepers."""
    mel = segment.mel
    level = np.log(np.exp(mel[:, speech]).mean())
    return np.maximum(mel - level, -_MEL_RANGE)


def _region_levels(segment: Segment, speech: np.ndarray) -> np.ndarray:
    """(4, T) level of four regions of the mel, in nepers."""
    power = np.exp(2 * _relative_mel(segment, speech))
    sums = np.add.reduceat(power, _MEL_REGIONS[:-1], axis=0)
    levels = 0.5 * np.log(sums)
    loud = np.quantile(levels[:, speech], 0.95, axis=1, keepdims=True)
    return np.maximum(levels - loud, -6.0)


def _band_levels_db(wav: np.ndarray) -> np.ndarray:
    """(10, T) level in dBFS of ten bands, 50 Hz to 8 kHz, in every frame."""
    n_frames = -(-len(wav) // HOP_SAMPLES)
    size = 512
    left = (size - HOP_SAMPLES) // 2
    padded = np.pad(wav, (left, n_frames * HOP_SAMPLES - len(wav) + size - left - HOP_SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::HOP_SAMPLES]
    window = np.hanning(size).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1))) * (2 / size / np.square(window).sum())
    edges = np.round(np.array([50, 130, 250, 450, 700, 1000, 1500, 2200, 3200, 5000, 8000]) * size / SAMPLE_RATE)
    sums = np.add.reduceat(power, edges[:-1].astype(int), axis=1)
    return 10 * np.log10(np.maximum(sums.T, 1e-13))


def _db(ratio: float) -> float:
    return 20 * np.log10(ratio)


def _moving_average(x: np.ndarray, size: int) -> np.ndarray:
    """Mean of (T,) over ``size`` frames; the ends are extended by their values."""
    left = (size - 1) // 2
    padded = np.pad(x, (left, size - 1 - left), mode="edge")
    return np.convolve(padded, np.full(size, 1 / size), mode="valid")


def _low_pass(x: np.ndarray, hz: float) -> np.ndarray:
    """(T,) frames smoothed by a Hann window that attenuates modulations above ``hz``."""
    half = round(FRAMES_PER_S / hz)
    window = np.hanning(2 * half + 1)[1:-1]
    return np.convolve(np.pad(x, half - 1, mode="edge"), window / window.sum(), mode="valid")


def _modulation_spectrum(x: np.ndarray, edges_hz: np.ndarray) -> np.ndarray:
    """(B, T) frames to (B, len(edges_hz) - 1) log power densities of their modulations."""
    window = np.hanning(x.shape[1] + 2)[1:-1]
    centered = (x - np.average(x, axis=1, weights=window)[:, None]) * window
    size = max(_MODULATION_FFT, 1 << (x.shape[1] - 1).bit_length())
    power = np.square(np.abs(np.fft.rfft(centered, size, axis=1))) / (np.square(window).sum() + 1e-9)
    edges = np.round(edges_hz * size / FRAMES_PER_S).astype(int)
    sums = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges)
    return np.log(sums + 1e-4)


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First frames and lengths of the runs of True."""
    steps = np.diff(np.pad(mask.astype(np.int8), 1))
    starts = np.flatnonzero(steps > 0)
    return starts, np.flatnonzero(steps < 0) - starts


def _log_statistics(seconds: np.ndarray) -> list[float]:
    """Mean and deviation of log durations, and the log of the longest."""
    logs = np.log(seconds + 0.02) if len(seconds) else np.log([0.02])
    return [logs.mean(), logs.std(), logs.max()]


def _run_statistics(mask: np.ndarray) -> list[float]:
    """Log rate per second, then :func:`_log_statistics` of the durations of the runs of True."""
    lengths = _runs(mask)[1] / FRAMES_PER_S
    return [np.log(len(lengths) * FRAMES_PER_S / len(mask) + 0.2), *_log_statistics(lengths)]


def _run_shapes(contour: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[list, list, list]:
    """Change of F0 in the first and in the last 75 ms of voiced runs, and its arch: mean and deviation each."""
    long = lengths >= 12
    starts, ends = starts[long], (starts + lengths)[long] - 1
    if len(starts) == 0:
        return [0.0, -4.0], [0.0, -4.0], [0.0, -4.0]
    middle = contour[(starts + ends) // 2]
    parts = (
        contour[starts + 6] - contour[starts],
        contour[ends] - contour[ends - 6],
        middle - (contour[starts] + contour[ends]) / 2,
    )
    onsets, offsets, arches = ([part.mean(), np.log(part.std() + 0.02)] for part in parts)
    return onsets, offsets, arches


def _phrase_contour(contour: np.ndarray, voiced: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """(5,) mean of the contour over voiced frames in each fifth of the runs of speech; 0 where none is voiced."""
    starts, lengths = _runs(speech)
    position = np.zeros(len(speech))
    position[speech] = (np.flatnonzero(speech) - np.repeat(starts, lengths)) / np.repeat(lengths, lengths)
    fifth = np.minimum((5 * position[voiced]).astype(int), 4)
    return np.bincount(fifth, contour[voiced], 5) / np.maximum(np.bincount(fifth, minlength=5), 1)


def _lagged_correlation(f0: np.ndarray, y: np.ndarray, lag: int) -> float:
    """Correlation of log2 F0 with ``y`` that is ``lag`` frames later, over voiced frames."""
    frames = np.flatnonzero(f0 > 0)
    frames = frames[(frames + lag >= 0) & (frames + lag < len(y))]
    return _correlation(np.log2(f0[frames]), y[frames + lag]) if len(frames) >= _MIN_VOICED_FRAMES else 0.0


def _peaks(x: np.ndarray, prominence: float) -> np.ndarray:
    """(T,) frames that are maxima of 9 frames and exceed the lowest of 25 by ``prominence``."""
    near = np.lib.stride_tricks.sliding_window_view(np.pad(x, 4, mode="edge"), 9).max(axis=1)
    far = np.lib.stride_tricks.sliding_window_view(np.pad(x, 12, mode="edge"), 25).min(axis=1)
    highest = (x >= near) & (x - far > prominence)
    return highest & ~np.pad(highest, (1, 0))[:-1]


def _interval_statistics(frames: np.ndarray) -> list[float]:
    """Mean, deviation and pairwise variability (nPVI) of the log intervals between peaks, up to 0.6 s."""
    intervals = np.diff(frames) / FRAMES_PER_S
    intervals = intervals[intervals < 0.6]
    if len(intervals) < 2:
        return [np.log(0.2), 0.3, 0.4]
    logs = np.log(intervals)
    pairs = np.abs(np.diff(intervals)) / (intervals[1:] + intervals[:-1])
    return [logs.mean(), logs.std(), 2 * pairs.mean()]


def _shape_moments(x: np.ndarray) -> list[float]:
    """Skewness and log kurtosis."""
    scaled = (x - x.mean()) / (x.std() + _SPREAD_EPSILON)
    squares = np.square(scaled)
    return [np.dot(squares, scaled) / len(x), np.log(np.dot(squares, squares) / len(x) + 0.1)]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.sum() / len(x), y - y.sum() / len(y)
    return float(np.dot(x, y) / (np.sqrt(np.dot(x, x) * np.dot(y, y)) + 1e-6 * len(x)))


def _correlations(x: np.ndarray) -> np.ndarray:
    """Correlations of all pairs of the rows of (B, T)."""
    centered = x - x.mean(axis=1, keepdims=True)
    scaled = centered / (centered.std(axis=1, keepdims=True) + 1e-3)
    return (scaled @ scaled.T / x.shape[1])[np.triu_indices(len(x), 1)]


def _autocorrelation(x: np.ndarray, lags: tuple[int, ...]) -> list[float]:
    """Correlation of (T,) with itself at each lag; 0 if the segment is too short for it."""
    return [_correlation(x[lag:], x[:-lag]) if len(x) > lag + 8 else 0.0 for lag in lags]


@cache
def _cosines(n: int) -> np.ndarray:
    """(n, 80) cosine transform of the mel bands, without the constant."""
    orders = np.arange(1, n + 1)[:, None]
    return np.cos(np.pi / N_MELS * orders * (np.arange(N_MELS) + 0.5)) * np.sqrt(2 / N_MELS)
