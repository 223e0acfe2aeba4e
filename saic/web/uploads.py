"""How a recording comes in from the network: one file a request, under a neutral name, within its limits."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope

from saic.data.manifest import AUDIO_SUFFIXES
from saic.errors import UsageError
from saic.web.store import ClipStore, StoreFull
from saic.web.visitors import Rate, Visitor

IDLE_S = 20.0
"""Seconds that a sender may send nothing."""

UPLOAD_S = 10 * 60.0
"""Seconds that a request may take to arrive: 60 MB at 0.8 Mbit/s."""

BURST_BYTES, BYTES_PER_S = 240 * 2**20, 8 * 2**20
"""Bytes that an address may send at once and a second; more is read more slowly. To read them takes the processor."""

_MAX_DRAINED_BYTES = 8 * 60 * 2**20  # a browser shows our answer only if it may send to the end
_FORM_BYTES = 2**16  # what a form adds to its file


class TooLarge(Exception):
    """More was sent than may be kept."""


class Stalled(Exception):
    """The sender stopped sending, or takes too long."""


class Bounded:
    """An ASGI `receive` with limits on bytes and time.

    Parameters
    ----------
    receive : the server's
    max_bytes : of the whole request
    counted : called with the size of each part before it is given on; what it raises ends the request
    pace : called with the size of each part; gives the seconds to wait before the next is read
    """

    def __init__(
        self,
        receive: Receive,
        max_bytes: int,
        counted: Callable[[int], None] = lambda n_bytes: None,
        pace: Callable[[int], float] = lambda n_bytes: 0.0,
    ) -> None:
        self._receive, self._max_bytes, self._counted, self._pace = receive, max_bytes, counted, pace
        self._n_bytes, self._more = 0, True
        self._ends = asyncio.get_running_loop().time() + UPLOAD_S

    async def __call__(self) -> Message:
        message = await self._next()
        if self._n_bytes > self._max_bytes:
            raise TooLarge
        if size := len(message.get("body", b"")):
            self._counted(size)
        return message

    async def drain(self) -> None:
        """Let the rest come and forget it, within limits of its own."""
        while self._more and self._n_bytes < _MAX_DRAINED_BYTES:
            await self._next()

    async def _next(self) -> Message:
        left_s = self._ends - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, min(IDLE_S, left_s)))
        except TimeoutError:
            raise Stalled from None
        size = len(message.get("body", b""))
        self._n_bytes += size
        self._more = message.get("more_body", False)
        if (wait_s := self._pace(size)) > 0:
            await asyncio.sleep(wait_s)  # what is not read fills the connection, and the sender has to wait
        return message


class Uploads:
    """Takes recordings into a store.

    Parameters
    ----------
    store : where they go
    max_bytes : of one recording
    """

    def __init__(self, store: ClipStore, max_bytes: int) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._rate = Rate(BURST_BYTES, BYTES_PER_S)

    async def take(self, scope: Scope, receive: Receive, visitor: Visitor) -> Response:
        """Write the file of a form into the store; answers with a list of its path, as Gradio's own route does."""
        path = None
        bounded = Bounded(
            receive,
            self._max_bytes + _FORM_BYTES,
            counted=lambda n_bytes: self._store.reserve(path.parent, n_bytes),
            pace=lambda n_bytes: self._rate.wait_s(visitor.address, n_bytes),
        )
        try:
            path = self._store.receive("", visitor)
            # The form's file is a temporary one without a name until it is whole.
            async with Request(scope, bounded).form(max_files=1, max_fields=0) as form:
                (file,) = form.getlist("files")
                suffix = PurePosixPath(file.filename or "").suffix.lower()
                whole = path.with_suffix(suffix if suffix in AUDIO_SUFFIXES else "")
                await run_in_threadpool(_copy, file.file, whole)
            return JSONResponse([str(whole)])
        except Exception as error:
            if path is not None:
                await run_in_threadpool(self._store.discard, path)
            return await _refusal(error, bounded, self._max_bytes)


def _copy(file, path: Path) -> None:
    with open(path, "xb") as out:
        while chunk := file.read(2**20):
            out.write(chunk)


async def _refusal(error: Exception, bounded: Bounded, max_bytes: int) -> Response:
    match error:
        case Stalled():
            return PlainTextResponse("The upload stopped. Try again.", 408, {"Connection": "close"})
        case TooLarge():
            said, status = f"The recording is larger than {max_bytes // 2**20} MB. Cut it, or use FLAC or MP3.", 413
        case StoreFull():
            said, status = str(error), 507
        case UsageError():  # deleted while it came in
            said, status = str(error), 410
        case MultiPartException() | ClientDisconnect() | AttributeError() | ValueError() | OSError():
            return PlainTextResponse("The upload was not complete. Try again, with one file at a time.", 400)
        case _:
            raise error
    with contextlib.suppress(Stalled):
        await bounded.drain()
    return PlainTextResponse(said, status)
