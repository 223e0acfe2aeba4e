"""The upload route: one file per request, under a neutral name, with limits on size and time."""

import asyncio
import contextlib
import errno
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope

from saic.audio import SUFFIXES
from saic.errors import UsageError
from saic.web.server.store import FULL, ClipStore, StoreFull
from saic.web.server.visitors import RateLimiter, Visitor
from saic.web.texts import texts_of, translated

MAX_IDLE_S = 20.0
"""Seconds that a sender may pause."""

MAX_REQUEST_S = 10 * 60.0
"""Seconds that a request body may take to arrive: 60 MB at 0.8 Mbit/s, 720 MB at 10 Mbit/s."""

BURST_BYTES, BYTES_PER_S = 240 * 2**20, 8 * 2**20
"""Upload bytes that an address may send at once, and then per second.

Faster uploads are slowed down, since reading costs CPU time.
"""

_MAX_DRAINED = 8  # times `max_bytes`: a browser shows an error only after it has sent the whole body
_FORM_BYTES = 2**16  # multipart headers and boundaries


class TooLarge(Exception):
    """The body is over the size limit."""


class Stalled(Exception):
    """The sender paused for too long, or the whole request takes too long."""


class LimitedReceive:
    """An ASGI `receive` with limits. Protects against bodies that are too large or too slow.

    Parameters
    ----------
    receive : the server's ASGI `receive`
    max_bytes : size limit of the body
    on_bytes : called with the size of each part before it is passed on; its error ends the request
    delay_s : called with the size of each part; returns the seconds to wait before the next is read

    Raises
    ------
    TooLarge, Stalled (when called)
    """

    def __init__(
        self,
        receive: Receive,
        max_bytes: int,
        on_bytes: Callable[[int], None] = lambda n_bytes: None,
        delay_s: Callable[[int], float] = lambda n_bytes: 0.0,
    ) -> None:
        self._receive, self._max_bytes, self._on_bytes, self._delay_s = receive, max_bytes, on_bytes, delay_s
        self._n_bytes, self._more = 0, True
        self._deadline = asyncio.get_running_loop().time() + MAX_REQUEST_S

    async def __call__(self) -> Message:
        message = await self._next()
        if self._n_bytes > self._max_bytes:
            raise TooLarge
        if size := len(message.get("body", b"")):
            self._on_bytes(size)
        return message

    async def drain(self) -> None:
        """Read the rest of the body and drop it, up to a limit."""
        while self._more and self._n_bytes < _MAX_DRAINED * self._max_bytes:
            await self._next()

    async def _next(self) -> Message:
        left_s = self._deadline - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, min(MAX_IDLE_S, left_s)))
        except TimeoutError:
            raise Stalled from None
        size = len(message.get("body", b""))
        self._n_bytes += size
        self._more = message.get("more_body", False)
        if (wait_s := self._delay_s(size)) > 0:
            await asyncio.sleep(wait_s)  # unread data fills the connection's buffers, so the sender has to wait
        return message


class Uploads:
    """Writes uploads into a store. Protects it from large files, and drops the sender's file names.

    Parameters
    ----------
    store : where uploads go
    max_bytes : size limit of one recording
    """

    def __init__(self, store: ClipStore, max_bytes: int) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._rate = RateLimiter(BURST_BYTES, BYTES_PER_S)

    async def handle(self, scope: Scope, receive: Receive, visitor: Visitor) -> Response:
        """Store the file of a multipart form; the answer is ``[path]``, as of Gradio's route."""
        path = None
        limited = LimitedReceive(
            receive,
            self._max_bytes + _FORM_BYTES,
            on_bytes=lambda n_bytes: self._store.reserve(path.parent, n_bytes),
            delay_s=lambda n_bytes: self._rate.charge(visitor.address, n_bytes),
        )
        try:
            path = self._store.receive("", visitor)
            # Starlette spools the form's file to an unnamed temporary file until it is complete.
            async with Request(scope, limited).form(max_files=1, max_fields=0) as form:
                (file,) = form.getlist("files")
                suffix = PurePosixPath(file.filename or "").suffix.lower()
                target = path.with_suffix(suffix if suffix in SUFFIXES else "")
                await run_in_threadpool(_copy, file.file, target)
            return JSONResponse([str(target)])
        except Exception as error:
            if path is not None:
                await run_in_threadpool(self._store.discard, path)
            message, status, headers = await _refusal(error, limited, self._max_bytes)
            texts = texts_of(Headers(scope=scope).get("accept-language"))
            return PlainTextResponse(translated(texts, message), status, headers)


def _copy(file, path: Path) -> None:
    with open(path, "xb") as out:
        shutil.copyfileobj(file, out, 2**20)


async def _refusal(error: Exception, limited: LimitedReceive, max_bytes: int) -> tuple[str, int, dict[str, str] | None]:
    """Message, status and headers of the response to an upload that failed."""
    match error:
        case Stalled():
            return "The upload stopped. Try again.", 408, {"Connection": "close"}
        case TooLarge():
            message, status = (
                f"The recording is larger than {max_bytes // 2**20} MB. Cut it into parts, or use FLAC or MP3.",
                413,
            )
        case StoreFull():
            message, status = str(error), 507
        case UsageError():  # its folder was deleted while it came in
            message, status = str(error), 410
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message, status = FULL, 507
        case MultiPartException() | ClientDisconnect() | AttributeError() | ValueError() | OSError():
            return "The upload was not complete. Try again, with one file at a time.", 400, None
        case _:
            raise error
    with contextlib.suppress(Stalled):
        await limited.drain()
    return message, status, None
