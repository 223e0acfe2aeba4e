"""Training data in memory: log-mel, F0 and speech mask of every clip, and random crops."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saic import audio
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError
from saic.signal.f0 import measure_f0_stats, track_f0
from saic.signal.mel import N_MELS, log_mel
from saic.signal.vad import speech_frames
from saic.training.clip_cache import cached

PHONES_NAME = "phones.json"
"""File beside parallel clips: JSON with the ``phones`` of their text."""


@dataclass(frozen=True)
class Crops:
    """A batch of crops, all of one length.

    Attributes
    ----------
    mel
        (B, 80, S) log-mel.
    f0
        (B, S) in Hz, 0 where unvoiced.
    f0_stats
        (B, 2) median and spread of log2 F0 over the whole clip, 0 if it has no voiced frame.
    mask
        (B, 1, S) of 0 and 1: speech frames.
    speaker, clip
        (B,) indices of speakers and of clips.
    offset
        (B,) first frame within the clip.
    code_rows
        (B, S / stride) rows of the stage-1 code table.
    """

    mel: Tensor
    f0: Tensor
    f0_stats: Tensor
    mask: Tensor
    speaker: Tensor
    clip: Tensor
    offset: Tensor
    code_rows: Tensor

    def __len__(self) -> int:
        return len(self.mel)

    def to(self, device: str) -> "Crops":
        """The same crops on another device."""
        return Crops(*(getattr(self, field.name).to(device) for field in fields(self)))


class TrainingSet:
    """Log-mels of all clips on one time axis; every clip starts at a multiple of ``stride``.

    Clips of one text and one length in one folder with a ``phones.json`` are parallel: the same
    content frame by frame, in different voices. They share their stage-1 content codes.

    Parameters
    ----------
    clips
        A clip is left out, and counted in ``skipped``, if no crop of ``segment_frames`` is at least
        half speech: over few speech frames, instance statistics are meaningless and training
        diverges. A clip that cannot be decoded is left out too; ``broken`` lists the utterances.
    stride
        Mel frames per content code.
    progress
        Called with (clips done, clips in all) while mels are computed.

    Raises
    ------
    DataError
        All clips are left out.
    """

    def __init__(
        self,
        clips: list[Clip],
        *,
        segment_frames: int,
        stride: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ):
        self.segment_frames, self.stride = segment_frames, stride
        mels, f0, speech, lengths = _features(clips, progress)
        # A clip is cut to a whole number of content codes, so that the next one starts at a code.
        starts = np.cumsum([0, *lengths])
        all_spans = [(int(a), int(a) + length // stride * stride) for a, length in zip(starts, lengths, strict=False)]
        offsets = [_speech_offsets(speech[a:b].numpy(), segment_frames, stride) for a, b in all_spans]
        keep = [i for i, found in enumerate(offsets) if len(found)]
        if not keep:
            raise DataError(f"No clip holds one training segment ({segment_frames} frames of 1/80 s) of speech.")
        self.broken = [clip.utterance for clip, length in zip(clips, lengths, strict=True) if not length]
        self.skipped = len(clips) - len(keep) - len(self.broken)
        self.clips, spans = [clips[i] for i in keep], [all_spans[i] for i in keep]
        self._offsets = [offsets[i] for i in keep]
        self.mel = torch.cat([mels[:, a:b] for a, b in spans], dim=1)
        self.f0 = torch.cat([f0[a:b] for a, b in spans])
        self.f0_stats = torch.stack([measure_f0_stats(f0[a:b].float()) for a, b in spans])
        self.speech = torch.cat([speech[a:b] for a, b in spans])
        self.lengths = np.array([b - a for a, b in spans])
        self.starts = np.cumsum([0, *self.lengths[:-1]])
        self.speakers = sorted({clip.speaker for clip in self.clips})
        index = {name: k for k, name in enumerate(self.speakers)}
        self.speaker_of = np.array([index[clip.speaker] for clip in self.clips])
        self.clips_of = [np.flatnonzero(self.speaker_of == k) for k in range(len(self.speakers))]
        self._parallel = _parallel_clips(self.clips, self.lengths)
        self._code_starts = np.array([self.starts[same[0]] for same in self._parallel]) // stride
        n_frames = np.array([self.lengths[c].sum() for c in self.clips_of], dtype=float)
        # The square root of a speaker's duration: in proportion to duration, a few speakers would
        # dominate the batches; with equal weights, a speaker's only short clip would be drawn
        # hundreds of times.
        self._speaker_weight = np.sqrt(n_frames) / np.sqrt(n_frames).sum()

    @property
    def n_codes(self) -> int:
        """Rows of the stage-1 table of content codes."""
        return self.mel.shape[1] // self.stride

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the clips in their order: utterance, speaker, frames, and first row of stage-1 codes.

        Sets with equal fingerprints have the same clip at each index and in each row of the code table.
        """
        rows = zip(self.clips, self.lengths, self._code_starts, strict=True)
        clips = [[clip.utterance, clip.speaker, int(length), int(start)] for clip, length, start in rows]
        return hashlib.sha256(json.dumps(clips).encode()).hexdigest()

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Per-bin mean and standard deviation (80, 1) of the speech frames."""
        bands = (band[self.speech].float() for band in self.mel)  # one at a time: a corpus may fill the memory
        means, deviations = zip(*((band.mean(), band.std()) for band in bands), strict=True)
        return torch.stack(means)[:, None], torch.stack(deviations)[:, None].clamp_min(1e-3)

    def sample(self, size: int, generator: np.random.Generator) -> Crops:
        """Random crops, by :meth:`crops_of`, of speakers drawn by the square root of duration."""
        return self.crops_of(generator.choice(len(self.speakers), size=size, p=self._speaker_weight), generator)

    def crops_of(self, speakers: np.ndarray, generator: np.random.Generator) -> Crops:
        """One random crop for each given speaker index; longer clips are drawn more often."""
        clips = [
            generator.choice(self.clips_of[k], p=self.lengths[self.clips_of[k]] / self.lengths[self.clips_of[k]].sum())
            for k in speakers
        ]
        offsets = [generator.choice(self._offsets[clip]) for clip in clips]
        return self.crops(np.array(clips), np.array(offsets))

    def crops(self, clips: np.ndarray, offsets: np.ndarray) -> Crops:
        """Crops of the given clips that start at frames ``offsets``, multiples of the stride."""
        first = torch.from_numpy(self.starts[clips] + offsets)
        frames = first[:, None] + torch.arange(self.segment_frames)
        codes = torch.arange(self.segment_frames // self.stride)
        return Crops(
            mel=self.mel[:, frames].transpose(0, 1).float(),
            f0=self.f0[frames].float(),
            f0_stats=self.f0_stats[clips],
            mask=self.speech[frames].float().unsqueeze(1),
            speaker=torch.from_numpy(self.speaker_of[clips]),
            clip=torch.from_numpy(clips),
            offset=torch.from_numpy(offsets),
            code_rows=torch.from_numpy(self._code_starts[clips] + offsets // self.stride)[:, None] + codes,
        )

    def parallel_crops(self, crops: Crops, generator: np.random.Generator) -> Crops:
        """The same frames of a random parallel clip; a crop of a clip without one is unchanged."""
        if all(len(self._parallel[clip]) == 1 for clip in crops.clip.tolist()):
            return crops
        clips = []
        for clip in crops.clip.tolist():
            others = self._parallel[clip][self._parallel[clip] != clip]
            clips.append(generator.choice(others) if len(others) else clip)
        return self.crops(np.array(clips), crops.offset.numpy())

    def frame_rows(self, crops: Crops) -> Tensor:
        """(B, S) numbers of the crops' frames among the frames of all clips."""
        first = torch.from_numpy(self.starts)[crops.clip] + crops.offset
        return first[:, None] + torch.arange(self.segment_frames)

    def code_rows(self, clip: int, first: int, stop: int) -> Tensor:
        """Rows of the stage-1 code table of a clip's frames from ``first`` to ``stop``, multiples of the stride."""
        return self._code_starts[clip] + torch.arange(first // self.stride, stop // self.stride)

    def clip_mel(self, clip: int) -> Tensor:
        """(80, T) log-mel of a whole clip."""
        start = self.starts[clip]
        return self.mel[:, start : start + self.lengths[clip]].float()

    def clip_mask(self, clip: int) -> Tensor:
        """(1, T) of 0 and 1: speech frames of a whole clip."""
        start = self.starts[clip]
        return self.speech[start : start + self.lengths[clip]].float()[None]

    def clip_f0(self, clip: int) -> Tensor:
        """(T,) F0 of a whole clip in Hz, 0 where unvoiced."""
        start = self.starts[clip]
        return self.f0[start : start + self.lengths[clip]].float()


def _parallel_clips(clips: list[Clip], lengths: np.ndarray) -> list[np.ndarray]:
    """For each clip the indices of its parallel clips, its own included."""
    same, keys = defaultdict(list), []
    for i, clip in enumerate(clips):
        # Clips of different people reading one sentence, as in VCTK, have different timing.
        is_parallel = clip.path.with_name(PHONES_NAME).is_file()
        keys.append((clip.path.parent, clip.text, lengths[i]) if is_parallel else i)
        same[keys[i]].append(i)
    return [np.array(same[key]) for key in keys]


def _speech_offsets(speech: np.ndarray, segment_frames: int, stride: int) -> np.ndarray:
    """First frames, multiples of the stride, of all crops of which at least half is speech."""
    total = np.cumsum([0, *speech])
    starts = np.arange(0, len(speech) - segment_frames + 1, stride)
    return starts[total[starts + segment_frames] - total[starts] >= segment_frames / 2]


def _features(clips: list[Clip], progress: Callable[[int, int], None]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Mels (80, total) and F0 (total,) as float16, speech (total,) as bool, and lengths.

    A clip that cannot be decoded has length 0. The features of each clip are cached on disk.
    """
    empty = {"mel": torch.zeros(N_MELS, 0).half(), "f0": torch.zeros(0).half(), "speech": torch.zeros(0).bool()}
    parts: dict[str, list[Tensor]] = {name: [tensor] for name, tensor in empty.items()}
    lengths = []
    for i, clip in enumerate(clips):
        progress(i, len(clips))
        try:
            measured = cached(clip.path, "features", partial(_measure, clip.path))
        except AudioError:
            lengths.append(0)
            continue
        for name in parts:
            parts[name].append(measured[name])
        lengths.append(measured["mel"].shape[1])
    mel, f0, speech = (torch.cat(tensors, dim=-1) for tensors in parts.values())
    return mel, f0, speech, lengths


def _measure(path: Path) -> dict[str, Tensor]:
    """``mel`` (80, T), ``f0`` (T,) and ``speech`` (T,) of a clip, see :func:`_features`."""
    wav = audio.load(path)
    return {
        "mel": log_mel(torch.from_numpy(wav)).half(),
        "f0": torch.from_numpy(track_f0(wav)).half(),
        "speech": torch.from_numpy(speech_frames(wav)),
    }
