"""Train the phone recognizer behind the loss on words: ``python -m train.recognizer --data MANIFEST --run DIR``.

It learns from the clips of the train split that have a transcript; the program ``espeak-ng`` (Debian package of the
same name) says how that is pronounced. Writes ``DIR/recognizer.safetensors``, which ``train.stage2`` takes as
``--recognizer``.
"""

from saic.errors import UsageError
from saic.training.corpus import Corpus
from saic.training.loop import Schedule, start
from saic.training.loop import run as run_stage
from saic.training.recognizer import RecognizerStage
from train.entry import (
    ConfigOption,
    DataOption,
    DeviceOption,
    ParallelOption,
    ResumeOption,
    RunOption,
    read_config,
    read_corpus,
    run,
)
from train.phonemes import phonemes

_NO_SOUND = set(" ˈˌː,.;:!?")


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    parallel: ParallelOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train the recognizer on the train split, rendered speech beside it."""
    settings = read_config(config)
    start(run, settings, resume=resume)
    corpus = read_corpus(data, "train", settings, parallel)
    stage = RecognizerStage(corpus, _spelled(corpus), settings, device)
    run_stage(stage, Schedule(settings.recognizer.steps, save_every=250), run, resume=resume)
    stage.save(run)


def _spelled(corpus: Corpus) -> list[str | None]:
    """The phones of each clip; None where nobody knows what is said."""
    try:
        said = {text: phonemes(text.lower(), "en-us") for text in {clip.text for clip in corpus.clips} if text}
    except OSError:
        message = "Transcripts need the program espeak-ng to become phones: install it (apt install espeak-ng)."
        raise UsageError(message) from None
    bare = {text: "".join(c for c in phones if c not in _NO_SOUND) for text, phones in said.items()}
    return [bare.get(clip.text) for clip in corpus.clips]


if __name__ == "__main__":
    run(main)
