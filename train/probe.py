"""Is a run on its way? ``python -m train.probe --data MANIFEST --run DIR``.

Halves a clip of each of some speakers. The second half is decoded from the run's newest checkpoint, in its own voice
and in the next speaker's, and Resemblyzer says whose voice that is, judging by the first halves. A stage-1 run
decodes its own codes, a stage-2 run what its encoders make of the audio.

This tells in a minute whether more training is worth its time. It is no figure to report: few speakers, one clip
each, no codec round trip, and in stage 1 clips that were learnt by heart.
"""

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from tqdm import tqdm

from saic import audio
from saic.config import Config
from saic.errors import SilentAudio, TooShort, UsageError
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.model.model import Model
from saic.signal.f0 import (
    measure_f0_stats,
)
from saic.signal.mel import HOP_SAMPLES, log_mel
from saic.signal.mel_statistics import measure_mel_statistics, transfer_mel_statistics
from saic.signal.vad import speech_frames
from saic.training.loop import latest, load_checkpoint
from saic.training.stage1 import Codes
from saic.training.training_set import Corpus
from saic.vocoder import vocoder
from train.entry import DataOption, RunOption, read_corpus, run

GAP_FRAMES = 40  # half a second between what enrols and what is decoded
LONGEST_FRAMES = 480


@dataclass(frozen=True)
class Half:
    """The second half of a clip: ``content`` (1, C, L), ``speaker`` (1, E), ``f0`` and ``register`` (2,) of the voice,
    ``timbre`` (1, 81, 80) of the first half, ``mask`` (1, 1, T), ``mel`` (80, T); ``enrolment`` (N,) wav of the first.
    """

    content: Tensor
    speaker: Tensor
    f0: Tensor
    register: Tensor
    timbre: Tensor
    mask: Tensor
    mel: Tensor
    enrolment: np.ndarray


def main(
    data: DataOption,
    run: RunOption,
    split: Annotated[str, typer.Option("--split", help="Speakers to try; a stage-1 run knows 'train' only.")] = "train",
    speakers: Annotated[int, typer.Option("--speakers", min=2, help="How many speakers.")] = 24,
) -> None:
    """Print how often Resemblyzer recognises the voice that it should."""
    checkpoint = latest(run)
    if checkpoint is None:
        raise UsageError("The --run folder holds no checkpoint yet.")
    settings, stored = Config.from_yaml(run / "config.yaml"), load_checkpoint(checkpoint)
    state = stored["stage"]
    if "codes" in state and split != "train":
        raise UsageError("A stage-1 run has no codes but those of the train split.")
    corpus = read_corpus(data, split, settings)
    with torch.inference_mode():
        counts, distance = _judge(*_halves(corpus, settings, state, speakers))
    n = min(speakers, len(corpus.speakers))
    print(f"step {stored['step']}, {n} speakers of '{split}', mel L1 of the reconstruction {distance:.3f} deviations")
    for name, hits in counts.items():
        print(f"{name:45}{100 * np.mean(hits):5.1f} %")


def _halves(corpus: Corpus, config: Config, state: dict, n_speakers: int) -> tuple[Model, list[Half]]:
    model, codes = Model(config).eval(), None
    if "codes" in state:
        codes = Codes(corpus.n_codes, len(corpus.speakers), config)
        codes.load_state_dict(state["codes"])
        model.decoder.load_state_dict(state["decoder"])
        mean, std = corpus.statistics()
        model.mel_mean.copy_(mean)
        model.mel_std.copy_(std)
    else:
        model.load_state_dict(state["model"])
    chosen = np.random.default_rng(config.seed).permutation(len(corpus.speakers))[:n_speakers]
    halves = []
    for k in tqdm(chosen, desc="clips", leave=False):
        clip = max(corpus.clips_of[k], key=lambda i: corpus.lengths[i])
        length = corpus.lengths[clip]
        size = min(LONGEST_FRAMES, length // 2) // corpus.stride * corpus.stride
        first = corpus.starts[clip] + (length - size) // corpus.stride * corpus.stride
        part = slice(first, first + size)
        mel, mask = corpus.mel[:, part].float(), corpus.speech[part].float()[None, None]
        enrolled = (first - corpus.starts[clip] - GAP_FRAMES) * HOP_SAMPLES
        wav = audio.load(corpus.clips[clip].path)[:enrolled]
        heard = log_mel(torch.from_numpy(wav))[None], torch.from_numpy(speech_frames(wav)).float()[None, None]
        if codes is not None:
            rows = torch.arange(first, first + size, corpus.stride) // corpus.stride
            content, speaker = codes.content(rows).T[None], codes.speaker(torch.tensor([k]))
        else:
            content, speaker = model.encode_content(mel[None], mask), model.encode_speaker(*heard)
        f0 = corpus.f0[part].float()
        halves.append(Half(content, speaker, f0, corpus.pitch[clip], measure_mel_statistics(*heard), mask, mel, wav))
    return model, halves


def _judge(model: Model, halves: list[Half]) -> tuple[dict[str, list[bool]], float]:
    """What is asked to whether it is so, a truth value a speaker; and the distance of reconstructions."""
    embedder, vocode = Resemblyzer(), vocoder.GriffinLim(model.config.vocoder.iterations)
    enrolled = np.stack([embedder.embed(half.enrolment) for half in halves])

    def best_match(mel: Tensor, f0: Tensor) -> int | None:
        with suppress(SilentAudio, TooShort):  # early in training an output may hold no speech: it is nobody's
            return int((enrolled @ embedder.embed(vocode(mel, f0).numpy())).argmax())
        return None

    def say(half: Half, voice: Half, f0: Tensor) -> Tensor:
        mel = model.decode(half.content, voice.speaker, f0[None], half.mask)
        return transfer_mel_statistics(mel, voice.timbre, half.mask)[0]

    counts, distances = defaultdict(list), []
    for k, half in enumerate(tqdm(halves, desc="voices", leave=False)):
        other = (k + 1) % len(halves)
        rebuilt = say(half, half, half.f0)
        own = measure_f0_stats(half.f0)
        moved = torch.where(half.f0 > 0, half.f0 * 2 ** (halves[other].register[0] - own[0]), 0)
        converted = best_match(say(half, halves[other], moved), moved)
        counts["vocoder alone: speaker recognised"].append(best_match(half.mel, half.f0) == k)
        counts["own voice: speaker recognised"].append(best_match(rebuilt, half.f0) == k)
        counts["next speaker's voice: taken for that speaker"].append(converted == other)
        counts["next speaker's voice: taken for the source"].append(converted == k)
        distances.append(((rebuilt - half.mel) / model.mel_std).abs()[:, half.mask[0, 0] > 0].mean().item())
    return counts, float(np.mean(distances))


if __name__ == "__main__":
    run(main)
