"""Make a manifest: ``python -m train.prepare FOLDER --out manifest.jsonl``.

FOLDER holds one folder per speaker with that speaker's clips below it. A LibriSpeech subset is one such folder:
its transcripts and SPEAKERS.TXT are read where they are found. Audio stays where it is.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from saic import audio, manifest
from saic.activity import require_speech
from saic.errors import AudioError, DataError, UsageError
from saic.manifest import Clip
from train.entry import run

_SPEAKERS = "SPEAKERS.TXT"
_SPLITS = ("train", "dev", "test")


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of speaker/clip audio, or a LibriSpeech subset.")],
    out: Annotated[Path, typer.Option("--out", help="Manifest to write (JSONL).")],
    dev: Annotated[float, typer.Option("--dev", min=0, max=0.5, help="Share of speakers to validate on.")] = 0.1,
    test: Annotated[float, typer.Option("--test", min=0, max=0.5, help="Share of speakers to report on.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", help="Of the choice of speakers.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing manifest.")] = False,
) -> None:
    """List the clips of FOLDER, with speakers split into train, dev and test."""
    if out.exists() and not force:
        raise UsageError("The manifest exists. Add --force to replace it, or name another.")
    if (folder / manifest.MANIFEST_NAME).is_file():
        raise UsageError("The folder has a manifest already: give that to --data as it is.")
    clips = _usable(manifest.read(folder))
    split_of = _split({clip.speaker for clip in clips}, dev, test, seed)
    sexes, texts = _sexes(folder), _texts(folder)
    rows = [
        Clip(
            clip.path,
            clip.utterance,
            clip.speaker,
            sexes.get(clip.speaker),
            clip.duration_s,
            texts.get(clip.path.stem),
            split_of[clip.speaker],
        )
        for clip in clips
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(out, rows)
    for split in _SPLITS:
        own = [row for row in rows if row.split == split]
        minutes = sum(row.duration_s for row in own) / 60
        print(f"{split}: {len({row.speaker for row in own})} speakers, {len(own)} clips, {minutes:.1f} minutes")


def _usable(clips: list[Clip]) -> list[Clip]:
    """The clips that decode and hold speech; says how many do not."""
    usable = []
    for clip in tqdm(clips, desc="checking", unit="clip"):
        try:
            require_speech(audio.load(clip.path))
        except AudioError:
            continue
        usable.append(clip)
    if len(usable) < len(clips):
        print(f"Left out {len(clips) - len(usable)} clips that are broken, too long or hold no speech")
    return usable


def _split(speakers: set[str], dev: float, test: float, seed: int) -> dict[str, str]:
    """Speaker to split: no speaker is in two. Every split that is asked for gets at least one speaker."""
    order = np.random.default_rng(seed).permutation(sorted(speakers)).tolist()
    n_dev, n_test = (max(1, round(share * len(order))) if share else 0 for share in (dev, test))
    if n_dev + n_test >= len(order):
        raise DataError(f"{len(order)} usable speakers are too few to split. Add speakers, or lower --dev and --test.")
    splits = ["dev"] * n_dev + ["test"] * n_test
    return {name: splits[i] if i < len(splits) else "train" for i, name in enumerate(order)}


def _sexes(folder: Path) -> dict[str, str]:
    """Speaker to "F" or "M" from LibriSpeech's SPEAKERS.TXT, in the folder or the one above."""
    for path in (folder / _SPEAKERS, folder.parent / _SPEAKERS):
        if path.is_file():
            lines = [line.split("|") for line in path.read_text(encoding="utf-8").splitlines() if "|" in line]
            return {row[0].strip(): row[1].strip() for row in lines if row[1].strip() in ("F", "M")}
    return {}


def _texts(folder: Path) -> dict[str, str]:
    """Utterance to transcript from LibriSpeech's ``*.trans.txt``."""
    texts = {}
    for path in folder.glob("*/*/*.trans.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            utterance, _, text = line.partition(" ")
            texts[utterance] = text.strip()
    return texts


if __name__ == "__main__":
    run(main)
