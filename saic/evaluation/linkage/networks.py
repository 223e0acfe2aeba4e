"""Networks that attackers train on converted speech, to tell the training speakers apart."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.audio import SAMPLE_RATE
from saic.errors import AudioError, DataError, TooShort, UsageError, WeightsError
from saic.evaluation.evaluators.embedders import (
    MIN_SPEECH_S,
    RESEMBLYZER_HOP,
    RESEMBLYZER_WINDOW,
    embed_windows,
    resemblyzer_mel,
    resemblyzer_package,
)
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.protocols import StepCallback
from saic.signal.vad import require_speech

_SCALE = 20.0  # of cosines before the softmax
_MARGIN = 0.15  # additive, of the cosine with the own speaker


class _TrainedNetwork(ABC):
    """Training, weights and their hash, which the attackers' networks share.

    Attributes
    ----------
    fingerprint
        Hash of the trained weights, on which all values depend; empty before training.
    """

    name: str

    def __init__(self, training: "_Training"):
        self._training = training
        self._network: nn.Module | None = None
        self.fingerprint = ""

    def fit(self, segments: Sequence[Segment], speakers: Sequence[str], *, seed: int, progress: StepCallback) -> None:
        """See :func:`fit_network`; it takes about ten minutes on one thread."""
        material = _measured(segments, speakers, self._frames, f"measure for {self.name}", progress)
        network = self._start(material, seed)
        fit_network(network, material, self._training, seed=seed, stage=f"train {self.name}", progress=progress)
        self._take(network)

    def state(self) -> dict[str, Tensor]:
        """The trained weights."""
        return _state(self._network)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take weights from :meth:`state`.

        Raises
        ------
        WeightsError
            They are not of this network.
        """
        try:
            network = self._empty(state)
            network.load_state_dict(dict(state))
        except (KeyError, RuntimeError) as error:
            raise WeightsError("These are not weights of this attacker's network. Train it again.") from error
        self._take(network.eval())

    def _take(self, network: nn.Module) -> None:
        self._network, self.fingerprint = network, _fingerprint(network)

    @abstractmethod
    def _start(self, material: Mapping[str, Sequence[Tensor]], seed: int) -> nn.Module:
        """The network before training."""

    @abstractmethod
    def _empty(self, state: Mapping[str, Tensor]) -> nn.Module:
        """A network of the shape of trained weights."""

    @abstractmethod
    def _frames(self, segment: Segment) -> Tensor:
        """(T, F) input of the network."""


class FineTunedResemblyzer(_TrainedNetwork):
    """Resemblyzer's LSTM, trained further on converted speech.

    The embedding of a segment is the mean of those of its windows of 1.6 s, of length 1; E is 256.
    The front end is Resemblyzer's.

    Parameters
    ----------
    steps
        Number of gradient steps.

    Raises
    ------
    UsageError, WeightsError
        See :func:`~saic.evaluation.evaluators.embedders.resemblyzer_package`.
    """

    name = "finetuned"

    def __init__(self, steps: int = 240):
        resemblyzer = resemblyzer_package()
        self._new_encoder = lambda: resemblyzer.VoiceEncoder("cpu", verbose=False)
        self._preprocess = resemblyzer.preprocess_wav
        super().__init__(_Training(steps=steps, crop=RESEMBLYZER_WINDOW, batch_speakers=32, lr=3e-4))

    @torch.inference_mode()
    def measure(self, segment: Segment) -> np.ndarray:
        """(256,) embedding of length 1."""
        frames = self._frames(segment)
        n_samples = (len(frames) - 1) * RESEMBLYZER_HOP  # a frame more than whole hops
        return _unit(embed_windows(_require_trained(self._network), frames, n_samples))

    def _start(self, material: Mapping[str, Sequence[Tensor]], seed: int) -> nn.Module:
        return self._new_encoder()

    def _empty(self, state: Mapping[str, Tensor]) -> nn.Module:
        return self._new_encoder()

    def _frames(self, segment: Segment) -> Tensor:
        """(T, 40) mel power of the speech, 100 frames/s; T is at least a window."""
        require_speech(segment.wav, MIN_SPEECH_S)
        trimmed = self._preprocess(segment.wav)
        # As Resemblyzer's own embedder does: poor synthetic speech may be rejected as a whole.
        speech = trimmed if len(trimmed) >= MIN_SPEECH_S * SAMPLE_RATE else segment.wav
        mel = resemblyzer_mel(speech)
        return F.pad(mel, (0, 0, 0, max(0, RESEMBLYZER_WINDOW - len(mel))))


class CodesNetwork(_TrainedNetwork):
    """A network on what passes beside the voice: content codes, melody, voicing and energy.

    Convolutions and attentive statistics pooling (Okabe et al., Interspeech 2018), at 40 frames/s;
    E is 128.

    Parameters
    ----------
    encode
        (N,) wav at 16 kHz to (C, L) content codes, of any frame rate.
    steps
        Number of gradient steps.
    """

    name = "codes"

    def __init__(self, encode: Callable[[np.ndarray], np.ndarray], steps: int = 600):
        self._encode = encode
        super().__init__(_Training(steps=steps, crop=120, batch_speakers=32, lr=1e-3))

    @torch.inference_mode()
    def measure(self, segment: Segment) -> np.ndarray:
        """(128,) embedding of length 1."""
        network = _require_trained(self._network)
        return _unit(network(self._frames(segment)[None])[0])

    def _start(self, material: Mapping[str, Sequence[Tensor]], seed: int) -> nn.Module:
        frames = torch.cat([each for of_speaker in material.values() for each in of_speaker])
        with _reproducible(seed):
            network = _SequenceEmbedder(frames.shape[1])
        network.mean.copy_(frames.mean(dim=0))
        network.deviation.copy_(frames.std(dim=0).clamp(min=1e-3))
        return network

    def _empty(self, state: Mapping[str, Tensor]) -> nn.Module:
        return _SequenceEmbedder(len(state["mean"]))

    def _frames(self, segment: Segment) -> Tensor:
        """(T, C + 3) at 40 frames/s: codes, log2 F0 re the median, voicing, energy in 10 dB re the mean."""
        require_speech(segment.wav, MIN_SPEECH_S)
        n_frames = len(segment.f0) // 2
        voiced = segment.f0 > 0
        melody = np.zeros(len(voiced), dtype=np.float32)
        if voiced.any():
            octaves = np.log2(segment.f0[voiced])
            melody[voiced] = np.clip(octaves - np.median(octaves), -1, 1)
        energy = np.clip((segment.energy_db - segment.energy_db[segment.speech].mean()) / 10, -4, 4)
        beside = np.stack([melody, voiced.astype(np.float32), energy.astype(np.float32)])
        beside = beside[:, : 2 * n_frames].reshape(3, n_frames, 2).mean(axis=2)
        codes = torch.from_numpy(np.array(self._encode(segment.wav), dtype=np.float32))
        codes = F.interpolate(codes[None], size=n_frames, mode="linear", align_corners=False)[0]
        return torch.cat([codes, torch.from_numpy(beside)]).T.contiguous()


class _SequenceEmbedder(nn.Module):
    """(B, T, F) frames to (B, 128) embeddings of length 1."""

    def __init__(self, n_features: int, width: int = 192, size: int = 128):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))
        self.dropout = nn.Dropout1d(0.1)  # of whole channels
        self.first = nn.Sequential(nn.Conv1d(n_features, width, 5, padding=2), nn.ReLU(), nn.BatchNorm1d(width))
        self.residual = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation), nn.ReLU(), nn.BatchNorm1d(width)
            )
            for dilation in (1, 2, 4)
        )
        self.attention = nn.Sequential(nn.Conv1d(width, 64, 1), nn.Tanh(), nn.Conv1d(64, width, 1))
        self.last = nn.Sequential(nn.BatchNorm1d(2 * width), nn.Dropout(0.2), nn.Linear(2 * width, size))

    def forward(self, frames: Tensor) -> Tensor:
        x = self.dropout(((frames - self.mean) / self.deviation).transpose(1, 2))
        x = self.first(x)
        for block in self.residual:
            x = x + block(x)
        weights = self.attention(x).softmax(dim=2)
        mean = (weights * x).sum(dim=2)
        deviation = ((weights * x.square()).sum(dim=2) - mean.square()).clamp(min=1e-5).sqrt()
        return F.normalize(self.last(torch.cat([mean, deviation], dim=1)), dim=1)


@dataclass(frozen=True)
class _Training:
    """``crop`` is in frames; a batch has two crops of each of its speakers."""

    steps: int
    crop: int
    batch_speakers: int
    lr: float


def fit_network(
    network: nn.Module,
    material: Mapping[str, Sequence[Tensor]],
    training: _Training,
    *,
    seed: int,
    stage: str,
    progress: StepCallback,
) -> None:
    """Train an embedder so that embeddings of one speaker are alike, and those of others are not.

    The loss is the mean of two. Softmax with an additive margin (Wang et al., IEEE Signal
    Processing Letters 2018) is over all training speakers. The angular prototypical loss (Chung et
    al., Interspeech 2020) is over the speakers of a batch; it compares two crops, of two segments,
    as an attacker does. Crops are at random places. The learning rate falls to zero along a cosine.

    One thread and ``seed`` make the result reproducible.

    Parameters
    ----------
    network
        (B, T, F) frames to (B, E) embeddings of length 1. In evaluation mode afterwards.
    material
        Speaker to (T, F) frames of at least two segments.
    """
    names = sorted(material)
    rng = np.random.default_rng(seed)
    with _reproducible(seed):
        with torch.no_grad():
            size = network.eval()(_crop(material[names[0]][0], training.crop, rng)[None]).shape[1]
        classes = nn.Parameter(F.normalize(torch.randn(len(names), size), dim=1))
        optimizer = torch.optim.AdamW(
            [{"params": network.parameters()}, {"params": [classes], "lr": 10 * training.lr}], lr=training.lr
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
        network.train()
        batches = _batches(len(names), training.batch_speakers, rng)
        for step in range(training.steps):
            chosen = next(batches)
            pairs = [material[names[k]] for k in chosen]
            drawn = [rng.choice(len(of_speaker), size=2, replace=False) for of_speaker in pairs]
            crops = torch.stack(
                [
                    _crop(of_speaker[pair[side]], training.crop, rng)
                    for side in (0, 1)
                    for of_speaker, pair in zip(pairs, drawn, strict=True)
                ]
            )
            loss = _speaker_loss(network(crops), classes, torch.from_numpy(chosen))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 3.0)
            optimizer.step()
            schedule.step()
            progress(stage, step + 1, training.steps)
    network.eval()


def _speaker_loss(embeddings: Tensor, classes: Tensor, chosen: Tensor) -> Tensor:
    """Loss of (2 S, E) embeddings: one crop of each of S speakers, then another of each."""
    labels = torch.cat([chosen, chosen])
    cosines = embeddings @ F.normalize(classes, dim=1).T
    margin = _MARGIN * F.one_hot(labels, len(classes))
    by_class = F.cross_entropy(_SCALE * (cosines - margin), labels)
    one, other = embeddings.chunk(2)
    between = _SCALE * one @ other.T
    own = torch.arange(len(chosen))
    by_pair = (F.cross_entropy(between, own) + F.cross_entropy(between.T, own)) / 2
    return (by_class + by_pair) / 2


def _batches(n_speakers: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless batches of different speakers in random order."""
    size = min(size, n_speakers)
    while True:
        order = rng.permutation(n_speakers)
        for start in range(0, n_speakers - size + 1, size):
            yield order[start : start + size]


def _crop(frames: Tensor, length: int, rng: np.random.Generator) -> Tensor:
    """(length, F) at a random place; shorter frames are repeated."""
    if len(frames) < length:
        frames = frames.repeat(-(-length // len(frames)), 1)
    start = int(rng.integers(len(frames) - length + 1))
    return frames[start : start + length]


def _measured(
    segments: Sequence[Segment],
    speakers: Sequence[str],
    frames: Callable[[Segment], Tensor],
    stage: str,
    progress: StepCallback,
) -> dict[str, list[Tensor]]:
    """Speaker to the frames of two segments or more; unusable segments are left out."""
    material: dict[str, list[Tensor]] = {}
    for done, (segment, speaker) in enumerate(zip(segments, speakers, strict=True), start=1):
        try:
            measured = frames(segment)
        except AudioError:
            continue
        finally:
            progress(stage, done, len(segments))
        material.setdefault(speaker, []).append(measured)
    material = {speaker: of_speaker for speaker, of_speaker in material.items() if len(of_speaker) >= 2}
    if len(material) < 2:
        raise DataError("Training an attacker needs at least two speakers with two segments of speech each.")
    return material


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread and random numbers of the seed, without an effect on what comes after."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(n_threads)


def _require_trained(network: nn.Module | None) -> nn.Module:
    if network is None:
        raise UsageError("This attacker's network is not trained. Call fit or load first.")
    return network


def _state(network: nn.Module | None) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _require_trained(network).state_dict().items()}


def _fingerprint(network: nn.Module) -> str:
    state, digest = _state(network), hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _unit(embedding: Tensor) -> np.ndarray:
    norm = embedding.norm()
    if not torch.isfinite(norm) or norm == 0:
        raise TooShort("The recording has no recognizable voice in it.")
    return (embedding / norm).numpy()
