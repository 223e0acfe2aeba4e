"""What stands between the network and Gradio: only what the page needs comes through, and it comes in plain.

Gradio fetches web addresses that a caller names as files, keeps uploads under the sender's name and the hash of
their content, and answers many routes that this page never uses. Here:

- a route that is not listed does not exist;
- the files of a request must lie in the store; an address in their place is refused, their old names are removed;
- uploads are written here, under neutral names, and stop at the limit;
- every answer tells the browser to ask nobody else (Content-Security-Policy), and to keep no recording. Gradio's
  own scripts are inline and use `eval`, so the policy has to allow that; other hosts it does not allow.
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saic.manifest import AUDIO_SUFFIXES
from saic.web.desk import Desk

_API = "/gradio_api"
_ASKED = ("/", "/config", "/favicon.ico", "/manifest.json", "/robots.txt", "/theme.css")
_ASKED_BELOW = ("/assets/", "/static/", "/svelte/")
_ASKED_OF_API = ("/info", "/openapi.json", "/theme.css", "/app_id", "/login_check", "/startup-events", "/queue/data")
_ASKED_OF_API_BELOW = ("/heartbeat/", "/call/", "/file=")
_TOLD = ("/queue/join", "/cancel", "/reset")
_TOLD_BELOW = ("/call/", "/run/", "/api/")

_MAX_BODY_BYTES = 2**20  # a request without its files: names and paths
_MAX_FILES = 16
_MAX_DRAINED = 8  # times the limit: a browser shows our answer only if it may send to the end

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_ADDRESS = "A web address cannot be used as a recording. Upload the file itself."
_ELSEWHERE = "This recording is not on the server. Upload it first."


class Guard:
    """An ASGI application around another.

    Parameters
    ----------
    app : Gradio's
    desk : whose store recordings lie in, and whose jobs end with their page
    max_bytes : of one upload
    """

    def __init__(self, app: ASGIApp, desk: Desk, max_bytes: int) -> None:
        self._app, self._desk, self._store, self._max_bytes = app, desk, desk.store, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        path = scope["path"].removeprefix(scope.get("root_path", "")).removesuffix("/") or "/"
        api = path.removeprefix(_API) if path.startswith(_API) else None
        answer = await self._answer(scope, receive, send, path, api)
        if answer is not None:
            await answer(scope, receive, _with_headers(send, api))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, path: str, api: str | None) -> Response | None:
        """What is answered here; None if Gradio did."""
        headed = _with_headers(send, api)
        if scope["method"] in ("GET", "HEAD"):
            if api == "/upload_progress":
                return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")
            if api and api.startswith("/file="):
                if refusal := self._refuse_file(api.removeprefix("/file=")):
                    return refusal
            elif not _listed(path, api):
                return PlainTextResponse("There is nothing here.", 404)
            if api and api.startswith("/heartbeat/"):
                with self._desk.open_page(api.removeprefix("/heartbeat/")):
                    await self._app(scope, receive, headed)
            else:
                await self._app(scope, receive, headed)
            return None
        if scope["method"] == "OPTIONS":
            return await self._app(scope, receive, headed)
        if scope["method"] != "POST" or api is None:
            return PlainTextResponse("There is nothing here.", 404)
        if api == "/upload":
            return await self._upload(scope, receive)
        if api not in _TOLD and not api.startswith(_TOLD_BELOW):
            return PlainTextResponse("There is nothing here.", 404)
        return await self._checked(scope, receive, headed)

    def _refuse_file(self, name: str) -> Response | None:
        """Only files of the store are given, and nothing is fetched for anybody."""
        path = Path(name)
        if self._store.was_upload(path):  # the player of an upload that has just become a plain copy
            return Response(status_code=204)
        inside = path.is_absolute() and path.resolve().is_relative_to(self._store.folder)
        if not inside or not path.is_file() or path.name.startswith("."):
            return PlainTextResponse("This recording is no longer on the server.", 404)
        return None

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Pass a JSON request on once all its files are in the store."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > _MAX_BODY_BYTES:
                return _refusal("The request is too large.", 413)
            if not message.get("more_body"):
                break
        try:
            told = json.loads(body or b"{}")
        except ValueError:
            return _refusal("The request is not JSON.", 400)
        for file in _files(told):
            if refusal := self._refusal_of(file):
                return _refusal(refusal, 400)
            file |= {"url": None, "orig_name": None}
        plain = json.dumps(told).encode()
        headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
        scope = scope | {"headers": [*headers, (b"content-length", str(len(plain)).encode())]}
        await self._app(scope, _replay(plain, receive), send)
        return None

    def _refusal_of(self, file: dict) -> str | None:
        names = [file.get(key) for key in ("path", "url")]
        if any(isinstance(name, str) and "://" in name and not _own_address(name) for name in names):
            return _ADDRESS
        path = file.get("path")
        if not isinstance(path, str) or "\0" in path or not Path(path).resolve().is_relative_to(self._store.folder):
            return _ELSEWHERE
        return None

    async def _upload(self, scope: Scope, receive: Receive) -> Response:
        """Write the files of a form into the store; returns their paths, as Gradio's own route does."""
        limited = _Limited(receive, self._max_bytes + 2**16)
        paths: list[Path] = []
        try:
            if self._store.is_full:
                await limited.drain(_MAX_DRAINED)
                return PlainTextResponse("The server is full. Try again in half an hour.", 507)
            async with Request(scope, limited).form(max_files=_MAX_FILES, max_fields=0) as form:
                for file in form.getlist("files"):
                    suffix = PurePosixPath(file.filename or "").suffix.lower()
                    path = self._store.receive(suffix if suffix in AUDIO_SUFFIXES else "")
                    paths.append(path)
                    with open(path, "wb") as out:
                        while chunk := await file.read(2**20):
                            await run_in_threadpool(out.write, chunk)
        except _TooLarge:
            await limited.drain(_MAX_DRAINED)
            megabytes = self._max_bytes // 2**20
            sentence = f"The recording is larger than {megabytes} MB. Cut it, or use FLAC or MP3."
            return PlainTextResponse(sentence, 413)
        except (MultiPartException, AttributeError, OSError):
            for path in paths:
                self._store.discard(path)
            return PlainTextResponse("The upload was not complete. Try again.", 400)
        return JSONResponse([str(path) for path in paths])


class _TooLarge(Exception):
    """More was sent than may be kept."""


class _Limited:
    """An ASGI `receive` that raises once more than `limit` bytes have come."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._n_bytes, self._more = receive, limit, 0, True

    async def __call__(self) -> Message:
        message = await self._next()
        if self._n_bytes > self._limit:
            raise _TooLarge
        return message

    async def drain(self, times: int) -> None:
        """Let the rest come and forget it, up to so many times the limit."""
        while self._more and self._n_bytes < times * self._limit:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._n_bytes += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        return message


def _listed(path: str, api: str | None) -> bool:
    if api is None:
        return path in _ASKED or path.startswith(_ASKED_BELOW)
    return api in _ASKED_OF_API or api.startswith(_ASKED_OF_API_BELOW)


def _own_address(name: str) -> bool:
    """Whether an address is that of a file here, as pages send it along; it is not used, and removed."""
    return f"{_API}/file=/" in unquote(name)


def _files(told: Any) -> Iterator[dict]:
    """Everything in a request that Gradio would take for a file."""
    if isinstance(told, dict):
        if "path" in told or "meta" in told:
            yield told
        for value in told.values():
            yield from _files(value)
    elif isinstance(told, list):
        for value in told:
            yield from _files(value)


def _refusal(sentence: str, status: int) -> Response:
    return JSONResponse({"detail": sentence, "error": sentence}, status)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, then what comes after it."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _with_headers(send: Send, api: str | None) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if api is not None:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return headed
