"""Make a manifest: ``python -m train.prepare FOLDER --out manifest.jsonl``.

FOLDER is LibriSpeech (or a subset), VCTK 0.92 or VoxCeleb1 as unpacked (:mod:`saic.data.corpora`),
or a folder with one subfolder per speaker. Audio is not copied.

The corpus's own splits are kept. If it has no dev or test split, speakers of the training split are
drawn for it; with ``--attack``, also for the split attack, on whose speakers the attackers of
``saic evaluate`` are tried. Files that cannot be used are left out, counted by reason, and listed.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from saic import audio, files
from saic.data import corpora, manifest
from saic.data.corpora import ATTACK, DEV, TEST, TRAIN
from saic.data.left_out import LeftOut, reason_of
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError, UsageError
from saic.signal.vad import require_speech
from train.entry import run

_CHUNK_CLIPS = 64  # sent to a process at once


def main(
    folder: Annotated[Path, typer.Argument(help="LibriSpeech, VCTK, VoxCeleb1, or a folder of speaker/clip audio.")],
    out: Annotated[Path, typer.Option("--out", help="Manifest to write (JSONL).")],
    dev: Annotated[
        float,
        typer.Option("--dev", min=0, max=0.5, help="Share of speakers to validate on, if the corpus has no dev split."),
    ] = 0.1,
    test: Annotated[
        float,
        typer.Option("--test", min=0, max=0.5, help="Share of speakers to report on, if the corpus has no test split."),
    ] = 0.1,
    attack: Annotated[
        float,
        typer.Option(
            "--attack", min=0, max=0.5, help="Share of speakers to try attackers on: for the privacy figures."
        ),
    ] = 0.0,
    identification: Annotated[
        bool,
        typer.Option(
            "--identification", help="VoxCeleb1: the paper's splits, by recording: every speaker is in all three."
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw of speakers.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that check the clips.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing manifest.")] = False,
) -> None:
    """List the clips of FOLDER with their speakers in the splits train, dev, test and attack."""
    if os.path.exists(out) and not force:
        raise UsageError("The manifest exists. Add --force to replace it, or name another.")
    if os.path.isfile(folder / manifest.MANIFEST_NAME):
        raise UsageError("The folder has a manifest already: give that to --data as it is.")
    files.require_writable([out])
    left_out = LeftOut()
    corpus = corpora.read(folder, identification=identification, left_out=left_out)
    print(f"Laid out like: {corpus.name}")
    usable = _usable(corpus.clips, jobs, folder, left_out)
    if left_out:
        print(left_out.listing())
    rows = _split(usable, {DEV: dev, TEST: test, ATTACK: attack}, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(out, rows)
    for split in (TRAIN, DEV, TEST, *([ATTACK] if attack else [])):
        own = [row for row in rows if row.split == split]
        minutes = sum(row.duration_s for row in own) / 60
        print(f"{split}: {len({row.speaker for row in own})} speakers, {len(own)} clips, {minutes:.1f} minutes")


def _usable(clips: list[Clip], jobs: int, folder: Path, left_out: LeftOut) -> list[Clip]:
    """The clips that can be decoded and hold speech; the others are counted in ``left_out``."""
    paths = [clip.path for clip in clips]
    with ProcessPoolExecutor(jobs, get_context("spawn")) if jobs > 1 else nullcontext() as pool:
        checked = pool.map(_reason, paths, chunksize=_CHUNK_CLIPS) if pool else map(_reason, paths)
        reasons = list(tqdm(checked, desc="checking", total=len(clips), unit="clip"))
    for path, reason in zip(paths, reasons, strict=True):
        if reason is not None:
            left_out.add(reason, path.relative_to(folder).as_posix())
    return [clip for clip, reason in zip(clips, reasons, strict=True) if reason is None]


def _reason(path: Path) -> str | None:
    """Why a clip cannot be used; None if it can."""
    try:
        require_speech(audio.load(path))
    except AudioError as error:
        return reason_of(error)
    return None


def _split(clips: list[Clip], shares: dict[str, float], seed: int) -> list[Clip]:
    """Draw missing splits from the training speakers, at least one speaker each."""
    if not clips:
        raise DataError("No clip can be used. Check that the folder holds recordings of speech.")
    present = {clip.split for clip in clips}
    speakers = sorted({clip.speaker for clip in clips if clip.split == TRAIN})
    order = np.random.default_rng(seed).permutation(speakers).tolist()
    wanted = {split: share for split, share in shares.items() if share and speakers and split not in present}
    drawn = [split for split, share in wanted.items() for _ in range(max(1, round(share * len(order))))]
    if wanted and len(drawn) >= len(order):
        raise DataError(
            f"{len(order)} usable speakers are too few to split. Add speakers, or lower --dev, --test and --attack."
        )
    split_of = dict(zip(order, drawn, strict=False))
    return [replace(clip, split=split_of.get(clip.speaker, TRAIN)) if clip.split == TRAIN else clip for clip in clips]


if __name__ == "__main__":
    run(main)
