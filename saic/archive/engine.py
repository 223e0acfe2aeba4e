"""What an engine is: a function that runs jobs somewhere and gives their results.

``engine(load, jobs, ready)`` calls ``load()`` once in each of its workers, which gives the function
that converts. It calls ``ready()`` once when the first worker has loaded, and then gives one result
for each job, in any order. ``load`` and jobs can be pickled; so can results, but for the data of an
output. A failure of one file is a result; an error that ends the run is raised.
"""

import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from saic.errors import AudioError, SaicError, UsageError
from saic.files import DiskError


@dataclass(frozen=True)
class Job:
    """One recording to convert.

    Attributes
    ----------
    number
        Its number in the order of the paths, from 1.
    source
        Its file.
    seed
        Of its pseudonym; None draws one that does not count as the speaker's own voice.
    subject
        Who speaks, where there is a key.
    format, rate_hz
        Of the output, see :data:`saic.audio.output.RATES_HZ`; None takes the rate of the recording.
    """

    number: int
    source: Path
    seed: int | None
    subject: str | None
    format: str
    rate_hz: int | None


@dataclass(frozen=True)
class Made:
    """What a conversion gave.

    Attributes
    ----------
    data
        The bytes of the output, or an open file that has them: only the former can be pickled.
    source_sha256
        Hash of the recording, in hex digits.
    duration_s, seconds
        Length of the output, and time that its conversion took.
    notes, target_notes
        Sentences for the user, as in :class:`saic.pipeline.Conversion`.
    report
        The bytes of the report, if there is one.
    """

    data: bytes | BinaryIO
    source_sha256: str
    duration_s: float
    seconds: float
    notes: tuple[str, ...] = ()
    target_notes: tuple[str, ...] = ()
    report: bytes | None = None


@dataclass(frozen=True)
class Result:
    """A job and what it gave, or why it gave nothing."""

    job: Job
    made: Made | None = None
    error: SaicError | None = None


class UnexpectedError(SaicError):
    """The conversion of one file ended in an error that is a fault of the program."""


Tell = Callable[[Job, str, float], None]
"""Called with a job, the name of its stage and the share of the job that is done, 0 to 1: at each start of a stage,
and while it goes on."""

Convert = Callable[[Job, Tell], Made]
Load = Callable[[], Convert]
Engine = Callable[[Load, Iterable[Job], Callable[[], None]], Generator[Result, None, None]]


def no_tell(job: Job, stage: str, share: float) -> None:
    """Tell nobody."""


def attempt(convert: Convert, job: Job, tell: Tell = no_tell) -> Result:
    """Convert one recording; what is wrong with it alone is a result.

    Raises
    ------
    SaicError
        Another error on purpose, for instance a :class:`~saic.errors.WeightsError`, or a
        :class:`~saic.files.DiskError` where temporary files lie: other files would have it too.
    """
    try:
        return Result(job, convert(job, tell))
    except DiskError:
        raise
    except (AudioError, UsageError) as error:
        return Result(job, error=error)
    except SaicError:
        raise
    except Exception as error:  # one odd file must not stop an archive
        return Result(job, error=unexpected(error))


def unexpected(error: Exception) -> UnexpectedError:
    """An error that tells the type and the place of another. Its text is left out: it may hold a file name."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return UnexpectedError(
        f"An unexpected {type(error).__name__} in {Path(at.filename).name}, line {at.lineno}. Please report it."
    )


def run_here(
    load: Load, jobs: Iterable[Job], ready: Callable[[], None], tell: Tell = no_tell
) -> Generator[Result, None, None]:
    """The engine that converts in this process, one file after another."""
    convert = load()
    ready()
    for job in jobs:
        yield attempt(convert, job, tell)
