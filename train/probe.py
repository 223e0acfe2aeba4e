"""Quick check of a training run: ``python -m train.probe --data MANIFEST --run DIR``.

The longest clip of each of some speakers is halved. The newest checkpoint converts the second half
to its own speaker's voice and to the next speaker's. Resemblyzer compares the outputs with the
first halves. For a stage-1 run, the stage-1 codes are decoded; for a stage-2 run, the audio is
encoded first. A stage-1 run needs the --data and --parallel that it was trained with.

It takes a minute and shows whether more training is worthwhile. Its figures are not for reports:
few speakers, one clip each, no codec round trip, and in stage 1 training clips. Speakers whose first
half has too little speech are left out.
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
from saic.conversion import Speech, Voice, convert_mel
from saic.errors import DataError, SilentAudio, TooShort, UsageError
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.model.model import Model
from saic.signal.f0 import measure_f0_stats
from saic.signal.mel import HOP_SAMPLES
from saic.training.loop import latest, load_checkpoint
from saic.training.stage1 import Codes, load_codes
from saic.training.training_set import TrainingSet
from saic.vocoder.vocoder import GriffinLim
from train.entry import DataOption, ParallelOption, RunOption, read_training_set, run

GAP_FRAMES = 40  # half a second between the two halves
MAX_FRAMES = 480  # of the second half, 6 s


@dataclass(frozen=True)
class Half:
    """One halved clip.

    ``speech`` and ``content`` (1, C, L) are of the second half; ``voice`` and ``enrollment``, the
    embedding (D,) that outputs are compared with, of the first.
    """

    speech: Speech
    content: Tensor
    voice: Voice
    enrollment: np.ndarray


def main(
    data: DataOption,
    run: RunOption,
    split: Annotated[
        str, typer.Option("--split", help="Split of the speakers; a stage-1 run has 'train' only.")
    ] = "train",
    parallel: ParallelOption = None,
    speakers: Annotated[int, typer.Option("--speakers", min=2, help="How many speakers.")] = 24,
) -> None:
    """Print how often Resemblyzer recognizes the voice of the output."""
    checkpoint = latest(run)
    if checkpoint is None:
        raise UsageError("The --run folder holds no checkpoint yet.")
    settings, stored = Config.from_yaml(run / "config.yaml"), load_checkpoint(checkpoint)
    state = stored["stage"]
    if "codes" in state and split != "train":
        raise UsageError("A stage-1 run has codes of the train split only.")
    training_set = read_training_set(data, split, settings, parallel)
    embedder = Resemblyzer()
    with torch.inference_mode():
        model, halves = _halves(training_set, settings, state, speakers, embedder)
        counts, distance = _evaluate(model, halves, embedder)
    n_left_out = min(speakers, len(training_set.speakers)) - len(halves)
    print(
        f"step {stored['step']}, {len(halves)} speakers of '{split}', mel L1 of the own voice {distance:.3f} deviations"
    )
    if n_left_out:
        print(f"{n_left_out} more speaker{'s' * (n_left_out > 1)} left out: too little speech in half of a clip")
    for name, hits in counts.items():
        print(f"{name:45}{100 * np.mean(hits):5.1f} %")


def _halves(
    data: TrainingSet, config: Config, state: dict, n_speakers: int, embedder: Resemblyzer
) -> tuple[Model, list[Half]]:
    """The model of a checkpoint, and a clip of each speaker who has enough speech; at least two.

    Raises
    ------
    DataError
        Fewer than two speakers have.
    UsageError
        The state is not of stage 1 or stage 2.
    """
    if not {"codes", "model"} & state.keys():
        raise UsageError("The run is of another stage. Name one of stage 1 or stage 2.")
    model, codes = Model(config).eval(), None
    if "codes" in state:
        codes = Codes(data.n_codes, len(data.speakers), config)
        load_codes(state, codes, model.decoder, data)
        mean, std = data.statistics()
        model.mel_mean.copy_(mean)
        model.mel_std.copy_(std)
    else:
        model.load_state_dict(state["model"])
    chosen = np.random.default_rng(config.seed).permutation(len(data.speakers))[:n_speakers]
    halves = []
    for k in tqdm(chosen, desc="clips", leave=False):
        clip = max(data.clips_of[k], key=lambda i: data.lengths[i])
        length = data.lengths[clip]
        size = min(MAX_FRAMES, length // 2) // data.stride * data.stride
        first = (length - size) // data.stride * data.stride
        part = slice(data.starts[clip] + first, data.starts[clip] + first + size)
        mel, mask = data.mel[:, part].float()[None], data.speech[part].float()[None, None]
        speech = Speech(mel, mask, tracked_f0=data.f0[part].float()[None])
        wav = audio.load(data.clips[clip].path)[: max(first - GAP_FRAMES, 1) * HOP_SAMPLES]
        try:
            enrollment = embedder.embed(wav)
        except (SilentAudio, TooShort):
            continue
        enrolled = Speech.from_wav(wav)
        if codes is not None:
            content = codes.content_of(data.code_rows(clip, first, first + size)[None])
            embedding = codes.speaker(torch.tensor([k]))
            f0_stats = measure_f0_stats(enrolled.vowel_f0[0])[None]
            voice = Voice(embedding, f0_stats, enrolled.mel_statistics)
        else:
            content, voice = model.encode_content(mel, mask), Voice.from_speech(model, [enrolled])
        halves.append(Half(speech, content, voice, enrollment))
    if len(halves) < 2:
        raise DataError("The probe needs two speakers whose longest clip has some seconds of speech in each half.")
    return model, halves


def _evaluate(model: Model, halves: list[Half], embedder: Resemblyzer) -> tuple[dict[str, list[bool]], float]:
    """Whether each measure holds, per speaker; and the mel L1 of reconstructions, in deviations."""
    vocode = GriffinLim(model.config.vocoder.iterations)
    enrolled = np.stack([half.enrollment for half in halves])

    def best_match(mel: Tensor, f0: Tensor) -> int | None:
        with suppress(SilentAudio, TooShort):  # early in training an output may hold no speech
            return int((enrolled @ embedder.embed(vocode(mel[0], f0[0]).numpy())).argmax())
        return None

    counts, distances = defaultdict(list), []
    for k, half in enumerate(tqdm(halves, desc="voices", leave=False)):
        other = (k + 1) % len(halves)
        speech = half.speech
        own, converted = (convert_mel(model, half.content, speech.f0, speech.mask, halves[j].voice) for j in (k, other))
        match = best_match(*converted)
        counts["vocoder alone: speaker recognized"].append(best_match(speech.mel, speech.f0) == k)
        counts["own voice: speaker recognized"].append(best_match(*own) == k)
        counts["next speaker's voice: recognized as target"].append(match == other)
        counts["next speaker's voice: recognized as source"].append(match == k)
        difference = ((own[0] - speech.mel) / model.mel_std).abs()[0]
        distances.append(difference[:, speech.mask[0, 0] > 0].mean().item())
    return counts, float(np.mean(distances))


if __name__ == "__main__":
    run(main)
