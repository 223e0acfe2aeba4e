"""The attackers by name."""

from collections.abc import Callable, Sequence

from saic.errors import UsageError
from saic.evaluation.evaluators.embedders import CamPlusPlus, Resemblyzer
from saic.evaluation.linkage.evidence import EmbedderEvidence, Evidence
from saic.evaluation.linkage.networks import CodesNetwork, FineTunedResemblyzer
from saic.evaluation.linkage.statistics import (
    Articulation,
    EnergyModulation,
    Floor,
    Level,
    MicroProsody,
    Prosody,
    Spectrum,
    Timing,
)
from saic.evaluation.protocols import EvaluatedPipeline

_MAKERS: dict[str, Callable[[EvaluatedPipeline], Evidence]] = {
    "resemblyzer": lambda pipeline: EmbedderEvidence(Resemblyzer()),
    "campp": lambda pipeline: EmbedderEvidence(CamPlusPlus()),
    "level": lambda pipeline: Level(),
    "prosody": lambda pipeline: Prosody(),
    "energy": lambda pipeline: EnergyModulation(),
    "timing": lambda pipeline: Timing(),
    "floor": lambda pipeline: Floor(),
    "spectrum": lambda pipeline: Spectrum(),
    "articulation": lambda pipeline: Articulation(),
    "microprosody": lambda pipeline: MicroProsody(),
    "finetuned": lambda pipeline: FineTunedResemblyzer(),
    "codes": lambda pipeline: CodesNetwork(lambda wav: pipeline.embed((wav, 16_000)).content),
}
NAMES = tuple(_MAKERS)
QUICK_NAMES = tuple(name for name in NAMES if name not in ("finetuned", "codes"))


def load(names: Sequence[str], pipeline: EvaluatedPipeline) -> list[Evidence]:
    """Load attackers.

    Parameters
    ----------
    pipeline
        Its content encoder serves the attacker ``codes``.

    Raises
    ------
    UsageError
        An unknown name, or a package is missing.
    """
    for name in names:
        if name not in _MAKERS:
            raise UsageError(f"There is no attacker {name!r}. Attackers: {', '.join(NAMES)}.")
    return [_MAKERS[name](pipeline) for name in names]
