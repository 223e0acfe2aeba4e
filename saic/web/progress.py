"""How far a conversion is, and how long it takes until its result is on the page.

The time that is promised ends when the page has the result: `SHOWING` is the time that the browser
needs after the last stage on the server. While a conversion waits for a core, nothing is promised.

The time of each stage is a constant plus a part that is proportional to the length of the recording.
`Pace` measures how much slower than these numbers each stage is, at warm-up and in every conversion.
`Progress` predicts one conversion from them, and corrects the prediction by the stages that have
ended.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from html import escape

from saic.web.texts import ENGLISH, Texts, percent, translated

STARTING = "Starting"
WRITING = "Writing the files"
COMPARING = "Comparing the voices"
SHOWING = "Showing the result"

_TARGET = "Analyzing the target voice"
_RECONSTRUCTION = "Vocoding the reconstruction"
_TARGET_FACTOR = 2.0  # analyzing a second of the target takes so many times as long as converting one

# Stage of `Pipeline.convert` and `Pipeline.anonymize`, and of the page -> seconds, and seconds per
# second of the recording, on one core of a 2026 server processor.
_STAGES_S = {
    "Reading": (0.01, 0.005),
    _TARGET: (0.0, 0.0),  # depends on the target recording
    "Drawing a pseudonym": (0.01, 0.0),
    "Converting": (0.02, 0.017),
    _RECONSTRUCTION: (0.01, 0.0155),
    "Vocoding the new voice": (0.01, 0.0105),
    WRITING: (0.01, 0.004),
    COMPARING: (0.02, 0.0145),
    SHOWING: (0.3, 0.001),
}
_WEIGHT = 0.5  # of a new measurement; the rest is that of the ones before
_MIN_S = 2.0  # stages of shorter recordings are mostly overhead, and say little of long ones


class Pace:
    """Seconds that the stages of a conversion take on this machine; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slower = dict.fromkeys(_STAGES_S, 1.0)  # than `_STAGES_S`
        self._measured: set[str] = set()

    def stages_s(self, duration_s: float) -> dict[str, float]:
        """Expected seconds of each stage, in order, for a recording of `duration_s`."""
        with self._lock:
            return {stage: self._slower[stage] * _stage_s(stage, duration_s) for stage in _STAGES_S}

    def total_s(self, duration_s: float) -> float | None:
        """Expected seconds of a conversion; None before the first measurement."""
        return sum(self.stages_s(duration_s).values()) if self._measured else None

    def learn(self, duration_s: float, measured_s: dict[str, float]) -> None:
        """Take in the seconds that the stages of a conversion took.

        The first measurement of a stage replaces the default.
        """
        if duration_s < _MIN_S:
            return
        with self._lock:
            for stage, seconds in measured_s.items():
                if expected_s := _stage_s(stage, duration_s):
                    weight = _WEIGHT if stage in self._measured else 1.0
                    self._slower[stage] += weight * (seconds / expected_s - self._slower[stage])
                    self._measured.add(stage)


def _stage_s(stage: str, duration_s: float) -> float:
    constant_s, factor = _STAGES_S.get(stage, (0.0, 0.0))
    return constant_s + factor * duration_s


class Progress:
    """Progress of one conversion.

    Parameters
    ----------
    pace : predicts the stages, and learns from them when the conversion is `finished`
    duration_s : length of the recording
    target_s : length of a target recording that is to be analyzed; 0: the voice is known
    reconstruct : whether the reconstruction is vocoded too
    clock : seconds, monotonic
    """

    def __init__(
        self,
        pace: Pace,
        duration_s: float,
        target_s: float = 0.0,
        reconstruct: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace, self._duration_s, self._clock = pace, duration_s, clock
        self._planned = pace.stages_s(duration_s)
        self._planned[_TARGET] = _TARGET_FACTOR * self._planned["Converting"] * target_s / duration_s
        if not reconstruct:
            self._planned[_RECONSTRUCTION] = 0.0
        self._began = self._stage_began = clock()
        self._stage: str | None = None
        self._shown = STARTING
        self._taken: dict[str, float] = {}
        self._share = 0.0

    def enter(self, stage: str, share: float = 0.0) -> None:
        """A stage begins; the one before has ended. `share` is not used: pipelines give it.

        A name that is no stage, such as the pipeline's last one, "Done", changes nothing.
        """
        if _known(stage) not in self._planned:
            return
        now = self._clock()
        if self._stage is not None:
            self._taken[self._stage] = self._taken.get(self._stage, 0.0) + now - self._stage_began
        self._stage, self._shown, self._stage_began = _known(stage), stage, now

    def finish(self) -> None:
        """The last stage on the server has ended."""
        self.enter(SHOWING)
        self._pace.learn(self._duration_s, {stage: x for stage, x in self._taken.items() if stage != _TARGET})

    def estimate(self) -> tuple[float, float]:
        """Share done, 0 to 1, which never falls, and the expected seconds left."""
        now = self._clock()
        left_s = self._left_s(self._taken.get(self._stage, 0.0) + now - self._stage_began)
        elapsed_s = now - self._began
        self._share = max(self._share, elapsed_s / max(elapsed_s + left_s, 1e-9))
        return self._share, left_s

    @contextlib.contextmanager
    def reported(
        self, on_progress: Callable[[float, str, float], None], every_s: float
    ) -> Iterator[Callable[[], None]]:
        """Report regularly while the block runs; gives a function that reports at once.

        An error of `on_progress` ends the regular reports; the function raises it.
        """
        ended = threading.Event()

        def report() -> None:
            share, left_s = self.estimate()
            on_progress(share, self._shown, left_s)

        def report_regularly() -> None:
            with contextlib.suppress(Exception):
                while not ended.wait(every_s):
                    report()

        thread = threading.Thread(target=report_regularly, name="saic-progress", daemon=True)
        thread.start()
        try:
            yield report
        finally:
            ended.set()
            thread.join()

    def _left_s(self, in_stage_s: float) -> float:
        stages = list(self._planned)
        at = stages.index(self._stage) if self._stage in stages else 0
        planned, taken = (sum(times.get(stage, 0.0) for stage in stages[:at]) for times in (self._planned, self._taken))
        current_s, rest_s = self._planned[stages[at]], sum(self._planned[stage] for stage in stages[at + 1 :])
        # How much slower than planned it is: by the stages that have ended, and by this one once it is late.
        prior_s = 0.25 * sum(self._planned.values())
        slower = (taken + prior_s) / (planned + prior_s)
        slower = max(slower, (taken + in_stage_s + prior_s) / (planned + current_s + prior_s))
        return max(current_s * slower - in_stage_s, 0.05 * current_s) + rest_s * slower


def _known(stage: str) -> str:
    """The name in `_STAGES_S` of a stage of the pipeline."""
    return next((name for name in _STAGES_S if stage.startswith(name)), stage)


def progress_html(stage: str, share: float, left_s: float | None, texts: Texts = ENGLISH) -> str:
    """A progress bar with the stage, the share done and the time left."""
    stage, values = escape(translated(texts, stage)), progress_values(share, left_s, texts)
    percent = f"{100 * share:.0f}"
    return f"""<div class="progress">
<p><strong>{stage}</strong> <span class="values">{values}</span></p>
<div class="bar" role="progressbar" aria-label="{texts.PROGRESS_LABEL}" aria-valuemin="0" aria-valuemax="100"
aria-valuenow="{percent}" aria-valuetext="{stage}, {values}"><span style="width:{percent}%"></span>
</div></div>"""


def progress_values(share: float, left_s: float | None, texts: Texts = ENGLISH) -> str:
    """The share done, and the time left if it is known."""
    left = "" if left_s is None else ", " + texts.LEFT.format(time=about(left_s, texts))
    return f"{percent(100 * share)}{left}"


def about(seconds: float, texts: Texts = ENGLISH) -> str:
    """A time in words: whole seconds, above a minute in steps of ten."""
    whole = max(1, round(seconds))
    if whole < 60:
        return (texts.ABOUT_SECOND if whole == 1 else texts.ABOUT_SECONDS).format(seconds=whole)
    minutes, rest = divmod(round(seconds / 10) * 10, 60)
    return (texts.ABOUT_MINUTES_SECONDS if rest else texts.ABOUT_MINUTES).format(minutes=minutes, seconds=rest)
