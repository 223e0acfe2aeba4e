"""A corpus in memory: every clip's mel once, and crops of it on the content grid."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path
from safetensors.torch import load_file
from torch import Tensor

from saic import audio
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError
from saic.signal.f0 import (
    measure_f0_stats,
    track_f0,
)
from saic.signal.mel import log_mel
from saic.signal.vad import speech_frames
from saic.weights import write_tensors

PHONES_NAME = "phones.json"
"""Beside clips that all say the same at the same time: ``phones``, the ``frames`` each lasts, ``frames_per_s``."""


@dataclass(frozen=True)
class Crops:
    """A batch of crops, all of one length.

    ``mel`` (B, 80, S) log-mel; ``f0`` (B, S) pitch in Hz, 0 for unvoiced; ``pitch`` (B, 2) median and spread of
    log2 F0 over the whole clip; ``mask`` (B, 1, S) speech frames as 0 and 1; ``speaker`` (B,) indices into the
    corpus' speakers; ``clip`` (B,) indices of clips; ``grid`` (B, S / stride) rows of the stage-1 code table.
    """

    mel: Tensor
    f0: Tensor
    pitch: Tensor
    mask: Tensor
    speaker: Tensor
    clip: Tensor
    offset: Tensor
    grid: Tensor

    def __len__(self) -> int:
        return len(self.mel)

    def to(self, device: str) -> "Crops":
        """The same crops on another device."""
        return Crops(*(getattr(self, field.name).to(device) for field in fields(self)))


class Corpus:
    """Mels of all clips, end to end on one time axis; a clip starts on a multiple of ``stride``.

    Clips of one text and one length with one ``phones.json`` beside them are renderings of one utterance, the same
    content frame for frame: they share their stage-1 codes.

    Parameters
    ----------
    clips
        Those without a crop of ``segment_frames`` that is speech for the most part are left out and counted in
        ``skipped``: over a handful of speech frames, instance statistics mean nothing and training diverges.
    stride
        Mel frames per content code.
    progress
        Called with (clips done, clips in all) while mels are computed.
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
        # A clip is cut to a whole number of content codes; starts are then on the grid by construction.
        starts = np.cumsum([0, *lengths])
        all_spans = [(int(a), int(a) + length // stride * stride) for a, length in zip(starts, lengths, strict=False)]
        offsets = [_speech_offsets(speech[a:b].numpy(), segment_frames, stride) for a, b in all_spans]
        keep = [i for i, found in enumerate(offsets) if len(found)]
        if not keep:
            raise DataError(f"No clip holds one training segment ({segment_frames} frames of 1/80 s) of speech.")
        self.skipped = len(clips) - len(keep)
        self.clips, spans = [clips[i] for i in keep], [all_spans[i] for i in keep]
        self._offsets = [offsets[i] for i in keep]
        self.mel = torch.cat([mels[:, a:b] for a, b in spans], dim=1)
        self.f0 = torch.cat([f0[a:b] for a, b in spans])
        self.pitch = torch.stack([measure_f0_stats(f0[a:b].float()) for a, b in spans])
        self.speech = torch.cat([speech[a:b] for a, b in spans])
        self.lengths = np.array([b - a for a, b in spans])
        self.starts = np.cumsum([0, *self.lengths[:-1]])
        self.speakers = sorted({clip.speaker for clip in self.clips})
        index = {name: k for k, name in enumerate(self.speakers)}
        self.speaker_of = np.array([index[clip.speaker] for clip in self.clips])
        self.clips_of = [np.flatnonzero(self.speaker_of == k) for k in range(len(self.speakers))]
        self._renderings = _renderings(self.clips, self.lengths)
        self._code_starts = np.array([self.starts[same[0]] for same in self._renderings]) // stride
        seconds = np.array([self.lengths[c].sum() for c in self.clips_of], dtype=float)
        # The square root lies between 'every second alike' (a few long speakers would own the batch) and
        # 'every speaker alike' (one short clip would be seen hundreds of times).
        self._speaker_weight = np.sqrt(seconds) / np.sqrt(seconds).sum()

    @property
    def n_codes(self) -> int:
        """Rows of the stage-1 code table: content codes of all clips end to end."""
        return self.mel.shape[1] // self.stride

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Per-bin mean and standard deviation (80, 1) of the speech frames."""
        speech = self.mel[:, self.speech].float()
        return speech.mean(dim=1, keepdim=True), speech.std(dim=1, keepdim=True).clamp_min(1e-3)

    def sample(self, size: int, generator: np.random.Generator) -> Crops:
        """Random crops: a speaker, one of its clips by length, a start on the grid."""
        return self.crops_of(generator.choice(len(self.speakers), size=size, p=self._speaker_weight), generator)

    def crops_of(self, speakers: np.ndarray, generator: np.random.Generator) -> Crops:
        """One random crop of each of the given speakers (indices), for instance as references."""
        clips = [
            generator.choice(self.clips_of[k], p=self.lengths[self.clips_of[k]] / self.lengths[self.clips_of[k]].sum())
            for k in speakers
        ]
        offsets = [generator.choice(self._offsets[clip]) for clip in clips]
        return self.crops(np.array(clips), np.array(offsets))

    def crops(self, clips: np.ndarray, offsets: np.ndarray) -> Crops:
        """The crops that start ``offsets`` frames (multiples of the stride) into the given clips."""
        first = torch.from_numpy(self.starts[clips] + offsets)
        frames = first[:, None] + torch.arange(self.segment_frames)
        codes = torch.arange(self.segment_frames // self.stride)
        return Crops(
            mel=self.mel[:, frames].transpose(0, 1).float(),
            f0=self.f0[frames].float(),
            pitch=self.pitch[clips],
            mask=self.speech[frames].float().unsqueeze(1),
            speaker=torch.from_numpy(self.speaker_of[clips]),
            clip=torch.from_numpy(clips),
            offset=torch.from_numpy(offsets),
            grid=torch.from_numpy(self._code_starts[clips] + offsets // self.stride)[:, None] + codes,
        )

    def said_by_others(self, crops: Crops, generator: np.random.Generator) -> Crops:
        """The same moments in another rendering of the utterance; crops that have none are returned as they are."""
        clips = []
        for clip in crops.clip.tolist():
            others = self._renderings[clip][self._renderings[clip] != clip]
            clips.append(generator.choice(others) if len(others) else clip)
        return self.crops(np.array(clips), crops.offset.numpy())

    def clip_mel(self, clip: int) -> Tensor:
        """(80, T) log-mel of a whole clip."""
        start = self.starts[clip]
        return self.mel[:, start : start + self.lengths[clip]].float()

    def clip_f0(self, clip: int) -> Tensor:
        """(T,) pitch of a whole clip in Hz, 0 for unvoiced."""
        start = self.starts[clip]
        return self.f0[start : start + self.lengths[clip]].float()


def _renderings(clips: list[Clip], lengths: np.ndarray) -> list[np.ndarray]:
    """For each clip the clips that say the same at the same time, itself among them."""
    same, keys = defaultdict(list), []
    for i, clip in enumerate(clips):
        # People who read one sentence, as in VCTK, say the same too, but not at the same time.
        rendered = clip.path.with_name(PHONES_NAME).is_file()
        keys.append((clip.path.parent, clip.text, lengths[i]) if rendered else i)
        same[keys[i]].append(i)
    return [np.array(same[key]) for key in keys]


def _speech_offsets(speech: np.ndarray, segment_frames: int, stride: int) -> np.ndarray:
    """Starts on the grid of the crops that are speech for at least half of their frames."""
    total = np.cumsum([0, *speech])
    starts = np.arange(0, len(speech) - segment_frames + 1, stride)
    return starts[total[starts + segment_frames] - total[starts] >= segment_frames / 2]


def _features(clips: list[Clip], progress: Callable[[int, int], None]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Mels (80, total) and pitch (total,) as float16, speech (total,) bool, lengths; cached by names and sizes."""
    key = hashlib.sha256("\n".join(f"{c.path}|{c.path.stat().st_size}" for c in clips).encode()).hexdigest()[:16]
    cached = cache_folder() / "features" / f"{key}.safetensors"
    if not cached.is_file():
        tensors: dict[str, list[Tensor]] = {"mel": [], "f0": [], "speech": []}
        for i, clip in enumerate(clips):
            progress(i, len(clips))
            try:
                wav = audio.load(clip.path)
            except AudioError as error:
                raise DataError(f"Clip '{clip.utterance}' cannot be used: {error}") from None
            tensors["mel"].append(log_mel(torch.from_numpy(wav)).half())
            tensors["f0"].append(torch.from_numpy(track_f0(wav)).half())
            tensors["speech"].append(torch.from_numpy(speech_frames(wav)))
        lengths = torch.tensor([mel.shape[1] for mel in tensors["mel"]])
        cached.parent.mkdir(parents=True, exist_ok=True)
        joined = {name: torch.cat(parts, dim=-1) for name, parts in tensors.items()}
        write_tensors(cached, joined | {"lengths": lengths})
    stored = load_file(cached)
    return stored["mel"], stored["f0"], stored["speech"], stored["lengths"].tolist()


def cache_folder() -> Path:
    """``SAIC_CACHE``, or the platform's cache folder."""
    return Path(os.environ.get("SAIC_CACHE") or user_cache_path("saic"))
