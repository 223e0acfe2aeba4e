"""What a linkage evaluation gives, and the names that its report has.

A report is read without what measures it: the page needs no scikit-learn to start.
"""

from dataclasses import dataclass, field

from saic.evaluation.linkage.material import Length, TrialSet
from saic.evaluation.metrics import Estimates

GALLERY_SIZE = 40  # enrolled speakers, of whom the attacker names one
OTHER_GALLERY_SIZES = (5, 10, 20)
FUSED = "fused"
INFERENCE_S = 15
ONE_LANGUAGE = "one language"
TWO_SESSIONS = "two sessions"
SAME_SPEAKERS = "same speakers"
"""Part of a figure of the speakers who have trials of every length in seconds."""


@dataclass(frozen=True)
class LinkageResult:
    """What the attackers reach.

    Attributes
    ----------
    estimates
        System to figure to estimate.
    trials
        By length.
    transcripts
        Figures of the attacker who only reads. They hold for every system.
    """

    estimates: dict[str, Estimates]
    trials: dict[Length, TrialSet]
    transcripts: Estimates = field(default_factory=dict)
