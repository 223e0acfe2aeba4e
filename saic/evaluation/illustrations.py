"""Which plots a report has, and the arrays behind them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import SilentAudio, TooShort
from saic.evaluation import metrics, plots
from saic.evaluation.data.evaluation_set import Corpus, Progress
from saic.evaluation.measures.identity import Measured as Identity
from saic.evaluation.measures.privacy import Measured as Privacy
from saic.evaluation.systems import Systems
from saic.gallery import content_windows

N_POINTS = 5
WINDOW_S = 2.0


def draw(
    folder: Path,
    corpus: Corpus,
    systems: Systems,
    pipeline: Any,
    identity: Identity,
    privacy: Privacy,
    probes: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    progress: Progress,
) -> None:
    """Write ``target_top1.png``, ``det_EMBEDDER.png``, ``fig4_*.png`` and ``fig5.png`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"target_top1": plots.bars({name: identity.target_hits[name] for name in ("convert", "replay_target")})}
    for judge in privacy.pairs["convert"]:
        drawn[f"det_{judge}"] = plots.det(_curves(privacy, judge))
    for title, figure in plots.trios(_examples(corpus, systems)).items():
        drawn[f"fig4_{title.lower().replace(' ', '_')}"] = figure
    if points := _points(corpus, pipeline):
        accuracies = {
            f"{name}_probe": (probes[name][probe]["value"], probes[name]["chance"]["value"])
            for name, probe in (("speaker", "frame"), ("content", "stronger"))
        }
        drawn["fig5"] = plots.fig5(*points, **accuracies, seed=seed)
    for done, (name, figure) in enumerate(drawn.items(), start=1):
        plots.save(figure, folder / f"{name}.png")
        progress("plots", done, len(drawn))


def _curves(privacy: Privacy, judge: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label to DET curve: what the attackers make of original, McAdams and converted speech."""
    wanted = {("real", "ignorant"): "original"}
    wanted |= {("mcadams", "lazy"): "McAdams, lazy-informed"}
    wanted |= {("convert", attacker): f"converted, {attacker}" for attacker in privacy.pairs["convert"][judge]}
    pairs = {label: privacy.pairs[system][judge][attacker] for (system, attacker), label in wanted.items()}
    return {label: metrics.det_curve(*found.same_and_different()) for label, found in pairs.items()}


def _examples(corpus: Corpus, systems: Systems) -> dict[str, dict[str, np.ndarray]]:
    """Title to the wavs of one trial, for the first trial of each kind that there is."""
    kinds = {"Within one sex": True, "Across sexes": False, "To another voice": None}
    found = {}
    for title, same_sex in kinds.items():
        if (trial := next((t for t in corpus.trials if t.same_sex is same_sex), None)) is not None:
            names = {"original": "real", "reconstructed": "reconstruction", "converted": "convert"}
            found[title] = {name: systems.output(system, trial) for name, system in names.items()}
    return found


def _points(corpus: Corpus, pipeline: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """(K, P, E) speaker embeddings and (K, P, D) content codes of stretches of the speakers that have enough."""
    length = round(WINDOW_S * SAMPLE_RATE)
    speakers, contents = [], []
    for parts in corpus.parts.values():
        wav = np.concatenate([corpus.wav(part) for part in dict.fromkeys((parts.enrolment, parts.source))])
        heard = []
        for start in np.linspace(0, len(wav) - length, N_POINTS).astype(int):
            with suppress(SilentAudio, TooShort):
                heard.append(pipeline.embed((wav[start : start + length], SAMPLE_RATE)))
        if len(heard) == N_POINTS:
            speakers.append([embedding.speaker for embedding in heard])
            size = heard[0].content.shape[1]
            contents.append([content_windows(embedding.content, size)[0] for embedding in heard])
    return (np.array(speakers), np.array(contents)) if len(speakers) > 1 else None
