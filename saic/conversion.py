"""Voice conversion of log-mels, used by the pipeline, by training and by ``train.probe``.

::

    source   Speech: content codes, F0, speech mask
    target   Voice: embedding, F0 statistics, mel statistics, correction examples

    F0 ── transpose_f0 ──┐
    content codes ───────┼─► decoder ─► mel statistics ─► spectral correction ─► limit_peaks ─► scale ─► mel
    embedding ───────────┘

F0 is the source's, or a prediction (:func:`saic.model.prosody.predicted_f0`).

A :class:`Voice` is measured once and used for all recordings that are converted to it.

Training has crops of a few seconds and computes on them at once. A :class:`Source` has any length:
the same layers go through it in windows (:mod:`saic.model.windowed`), with the same result.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from saic.model import windowed
from saic.model.model import Model
from saic.model.spectral_correction import CorrectionExamples, collect_examples, join_examples, spectral_correction
from saic.model.windowed import WINDOW_FRAMES, windows
from saic.signal.f0 import measure_f0_stats, scale_f0, track_f0, transpose_f0
from saic.signal.masking import fade, mel_power, mute, quiet_change
from saic.signal.mel import FRAMES_PER_S, log_mel, log_mel_of_part
from saic.signal.mel_statistics import (
    MelTransfer,
    as_mel_statistics,
    limit_peaks,
    measure_mel_statistics,
    transfer_mel_statistics,
)
from saic.signal.vad import (
    frame_power,
    main_speech_frames,
    main_speech_span,
    require_speech,
    require_varied,
    speech_frames,
    vowel_frames,
)
from saic.signal.vtlp import scale_mel
from saic.spool import Spool

_MIN_KEPT_SHARE = 0.2
_MOSTLY_SILENT = "Only {:.1f} s of {:.1f} s of sound are kept: the rest is far quieter than the loudest voice."


@dataclass(frozen=True)
class Speech:
    """Model input: one recording, or a batch of crops.

    Attributes
    ----------
    mel
        (B, 80, T) log-mel.
    mask
        (B, 1, T) of 0 and 1: speech frames.
    wav
        (N,) float32 at 16 kHz, of one recording; None if ``tracked_f0`` is given.
    tracked_f0
        (B, T) F0 in Hz, 0 where unvoiced; None tracks it in ``wav`` when it is needed.
    notes
        What was wrong with the recording, as sentences for the user.
    """

    mel: Tensor
    mask: Tensor
    wav: np.ndarray | None = None
    tracked_f0: Tensor | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_wav(cls, wav: np.ndarray, device: str = "cpu", notes: tuple[str, ...] = ()) -> "Speech":
        """Analyze a (N,) waveform at 16 kHz."""
        mel = log_mel(torch.from_numpy(wav).to(device))
        mask = torch.from_numpy(speech_frames(wav)).to(mel)
        return cls(mel[None], mask[None, None], wav, notes=notes)

    @cached_property
    def f0(self) -> Tensor:
        """(B, T) F0 in Hz, 0 where unvoiced.

        Tracked at first use, since :meth:`saic.pipeline.Pipeline.identify` does not need it.
        """
        if self.tracked_f0 is not None:
            return self.tracked_f0
        return torch.from_numpy(track_f0(self.wav)).to(self.mel)[None]

    @cached_property
    def vowel_f0(self) -> Tensor:
        """(B, T) F0 in Hz of the :func:`saic.signal.vad.vowel_frames`, 0 elsewhere; all F0 if it was given."""
        if self.tracked_f0 is not None:
            return self.tracked_f0
        return self.f0 * torch.from_numpy(vowel_frames(self.wav)).to(self.f0)

    @cached_property
    def mel_statistics(self) -> Tensor:
        """(B, 81, 80) mean and covariance of the mel bands over speech."""
        return measure_mel_statistics(self.mel, self.mask)


@dataclass(frozen=True)
class Voice:
    """A target voice, or a batch of them.

    Attributes
    ----------
    embedding
        (B, E) speaker embedding.
    f0_stats
        (B, 2) median and spread of log2 F0, see :func:`saic.signal.f0.measure_f0_stats`.
    mel_statistics
        (B, 81, 80) mean and covariance of the mel bands, see :mod:`saic.signal.mel_statistics`.
    examples
        For the spectral correction of one voice (B = 1). None for a pseudonym, which has no
        recordings, or if the correction is off.
    frequency_scale
        Factor on formants and F0 of the finished conversion, as of a shorter or longer vocal tract.
        ``f0_stats`` and ``mel_statistics`` are those before it.
    notes
        What was wrong with its recordings, as sentences for the user.
    """

    embedding: Tensor
    f0_stats: Tensor
    mel_statistics: Tensor
    examples: CorrectionExamples | None = None
    frequency_scale: float = 1.0
    notes: tuple[str, ...] = ()

    @classmethod
    def from_speech(cls, model: Model, recordings: Sequence[Speech]) -> "Voice":
        """Measure a voice on one or several recordings of one speaker.

        If they have no voiced frame, the F0 statistics are predicted from the embedding.
        """
        embedding = mean_embedding(model, recordings)
        measured = [measure_f0_stats(speech.vowel_f0[0]) for speech in recordings if speech.vowel_f0.any()]
        f0_stats = torch.stack(measured).mean(dim=0)[None] if measured else model.predict_f0_stats(embedding)
        mel_statistics = torch.stack([speech.mel_statistics for speech in recordings]).mean(dim=0)
        notes = tuple(dict.fromkeys(note for speech in recordings for note in speech.notes))
        settings = model.config.conversion
        if not settings.spectral_correction_share:
            return cls(embedding, f0_stats, mel_statistics, notes=notes)
        examples = []
        for speech in recordings:
            content = model.encode_content(speech.mel, speech.mask)
            decoded = model.decode(content, embedding, speech.f0, speech.mask)
            decoded = transfer_mel_statistics(
                decoded, mel_statistics, speech.mask, correlation=settings.correlation_share
            )
            examples.append(collect_examples(content[0], speech.mel[0], decoded[0], speech.mask[0, 0]))
        return cls(embedding, f0_stats, mel_statistics, join_examples(examples), notes=notes)

    def to(self, device: str | torch.device) -> "Voice":
        """The voice on another device."""
        examples = self.examples and CorrectionExamples(*(x.to(device) for x in vars(self.examples).values()))
        parts = (x.to(device) for x in (self.embedding, self.f0_stats, self.mel_statistics))
        return Voice(*parts, examples, self.frequency_scale, self.notes)


def mean_embedding(model: Model, recordings: Sequence[Speech]) -> Tensor:
    """(1, E) mean speaker embedding of recordings of one speaker."""
    return torch.stack([model.encode_speaker(speech.mel, speech.mask) for speech in recordings]).mean(dim=0)


def convert_mel(model: Model, content: Tensor, f0: Tensor, mask: Tensor, voice: Voice) -> tuple[Tensor, Tensor]:
    """Convert speech to a voice (paper Fig. 2).

    Parameters
    ----------
    content
        (B, C, L) content codes of the source.
    f0
        (B, T) F0 in Hz, 0 where unvoiced: the source's or a prediction. It is transposed to the voice.
    mask
        (B, 1, T) of 0 and 1: speech frames of the source.
    voice
        Target voice of each source.

    Returns
    -------
    mel
        (B, 80, T) log-mel: words and timing of the source, in the target voice.
    f0
        (B, T) its F0 in Hz, 0 where unvoiced.
    """
    settings = model.config.conversion
    f0 = transpose_f0(f0, voice.f0_stats)
    mel = model.decode(content, voice.embedding, f0, mask).float()
    with torch.autocast(mel.device.type, enabled=False):
        mel = transfer_mel_statistics(mel, voice.mel_statistics, mask, correlation=settings.correlation_share)
        if voice.examples is not None:
            correction = spectral_correction(content[0], mask[0, 0], voice.examples)
            mel = mel + settings.spectral_correction_share * correction
        mel = limit_peaks(mel, voice.mel_statistics)
        return scale_mel(mel, voice.frequency_scale), scale_f0(f0, voice.frequency_scale)


class Source:
    """A recording of any length that is converted.

    Attributes
    ----------
    wav
        (N,) float32 at 16 kHz, in a spool.
    notes
        What was wrong with it, as sentences for the user.
    mel
        (1, 80, T) log-mel, in a spool.
    mask
        (1, 1, T) of 0 and 1: speech frames.
    kept
        (T,) bool: frames of the main speaker.
    loud
        (T,) bool: those of them that hold no knock; the loudest give the level of the speech.
    span
        First of them near the speech level, and the frame after the last one.
    power
        (1, 1, T) :func:`saic.signal.masking.mel_power`.
    f0
        (1, T) F0 in Hz, 0 where unvoiced.
    vowel_f0
        The same of the :func:`saic.signal.vad.vowel_frames`, 0 elsewhere.
    """

    def __init__(
        self,
        wav: Spool,
        notes: tuple[str, ...] = (),
        device: str = "cpu",
        on_window: Callable[[], None] = lambda: None,
    ) -> None:
        """Analyze a recording; ``on_window`` is called about every 15 s of it.

        Raises
        ------
        SilentAudio, TooShort, NotSpeech
            It holds no speech, less than half a second, or a steady sound.
        """
        self.wav, self.notes = wav, notes
        power = frame_power(wav)
        speech = speech_frames(wav, power)
        require_speech(wav, speech=speech)
        require_varied(wav, speech)
        vowels = vowel_frames(wav, power)
        kept = main_speech_frames(vowels)
        if kept.sum() < _MIN_KEPT_SHARE * speech.sum():
            seconds = [frames.sum() / FRAMES_PER_S for frames in (kept, speech)]
            self.notes += (_MOSTLY_SILENT.format(*seconds),)
        self.kept = torch.from_numpy(kept).to(device)
        self.span = main_speech_span(vowels)
        self.mel = Spool()
        for start, stop in windows(len(power)):
            self.mel.append(log_mel_of_part(wav, start, stop, device)[None])
            on_window()
        self.mask = torch.from_numpy(speech)[None, None].to(self.mel[:1])
        self.loud = self.kept & (self.mask[0, 0] > 0)
        self.power = torch.cat([mel_power(part) for part in self.mel.blocks(WINDOW_FRAMES)], dim=-1)
        self.f0 = torch.from_numpy(track_f0(wav, on_window)).to(self.mask)[None]
        self.vowel_f0 = self.f0 * torch.from_numpy(vowels).to(self.mask)

    @cached_property
    def mel_statistics(self) -> Tensor:
        """(1, 81, 80) mean and covariance of the mel bands over speech."""
        own = windowed.mel_statistics(self.mel, self.mask)
        return as_mel_statistics(own.mean[None], own.covariance[None]).to(self.mask)


def convert_source(
    model: Model,
    content: Spool,
    f0: Tensor,
    mask: Tensor,
    voice: Voice,
    on_window: Callable[[], None] = lambda: None,
    vowel_f0: Tensor | None = None,
) -> tuple[Iterator[Tensor], Tensor]:
    """As :func:`convert_mel` for one recording of any length: the mel in parts (1, 80, n).

    ``vowel_f0`` is as for :func:`saic.signal.f0.transpose_f0`.
    """
    settings = model.config.conversion
    f0 = transpose_f0(f0, voice.f0_stats, vowel_f0)
    decoded = windowed.decode(model, content, voice.embedding, f0, mask, on_window)
    parts = _transferred(decoded, mask, voice.mel_statistics, settings.correlation_share)
    if voice.examples is not None:
        corrections = Spool().extend(windowed.correction_parts(content, mask, voice.examples, on_window))
        parts = _corrected(parts, corrections, settings.spectral_correction_share)
    finished = (scale_mel(limit_peaks(part, voice.mel_statistics), voice.frequency_scale) for part in parts)
    return finished, scale_f0(f0, voice.frequency_scale)


def reconstruct_source(
    model: Model, source: Source, content: Spool, on_window: Callable[[], None] = lambda: None
) -> Iterator[Tensor]:
    """As :func:`reconstruct_mel` for a recording of any length: the mel in parts (1, 80, n)."""
    embedding = windowed.encode_speaker(model, source.mel, source.mask, on_window)
    decoded = windowed.decode(model, content, embedding, source.f0, source.mask, on_window)
    for part in _transferred(decoded, source.mask, source.mel_statistics):
        yield limit_peaks(part, source.mel_statistics)


def _transferred(decoded: Spool, mask: Tensor, statistics: Tensor, correlation: float = 0.0) -> Iterator[Tensor]:
    transfer = MelTransfer(windowed.mel_statistics(decoded, mask), statistics, correlation)
    return (transfer(part) for part in decoded.blocks(WINDOW_FRAMES))


def _corrected(parts: Iterator[Tensor], corrections: Spool, share: float) -> Iterator[Tensor]:
    place = 0
    for part in parts:
        yield part + share * corrections[place : place + part.shape[-1]]
        place += part.shape[-1]


def muted(
    parts: Iterator[Tensor],
    kept: Tensor,
    loud: Tensor,
    source_power: Tensor | None,
    inside: Tensor | None = None,
) -> Spool:
    """A log-mel in parts (1, 80, n) with all but the kept frames at the floor: a spool (80, T).

    See :func:`saic.signal.masking.mute`, :func:`~saic.signal.masking.fade` and
    :func:`~saic.signal.masking.quiet_change`.

    Parameters
    ----------
    kept
        (T,) bool.
    loud
        (T,) bool: the frames to whose loudest all levels refer, see :attr:`Source.loud`.
    source_power
        (1, 1, T) :func:`saic.signal.masking.mel_power` of the source, which limits the level of quiet
        frames; None sets no limit.
    inside
        (T,) bool: frames that the source has. Others are silent; a fade would tell where it begins and
        ends. None has all.
    """
    mel, powers = Spool(), []
    for part in parts:
        mel.append(part)
        powers.append(mel_power(part))
    change = None if source_power is None else quiet_change(torch.cat(powers, dim=-1), source_power, loud)
    gain, made = fade(kept), Spool()
    if inside is not None:
        gain = gain * inside
    for a, b in windows(len(kept)):
        made.append(mute(mel[a:b], kept[a:b], gain[a:b], None if change is None else change[..., a:b])[0])
    return made


def reconstruct_mel(model: Model, speech: Speech, content: Tensor | None = None) -> Tensor:
    """Encode a recording and decode it in its own voice, without spectral correction.

    Parameters
    ----------
    content
        (B, C, L) content codes, if they are known already.

    Returns
    -------
    (B, 80, T) log-mel.
    """
    if content is None:
        content = model.encode_content(speech.mel, speech.mask)
    embedding = model.encode_speaker(speech.mel, speech.mask)
    mel = model.decode(content, embedding, speech.f0, speech.mask)
    return limit_peaks(transfer_mel_statistics(mel, speech.mel_statistics, speech.mask), speech.mel_statistics)
