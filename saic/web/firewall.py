"""What stands between the network and Gradio: only what the page needs comes through, and it comes in plain.

Gradio answers any Host and Origin, fetches web addresses that a caller names as files, keeps uploads under the
sender's name and the hash of their content, and answers many routes that this page never uses. Here:

- a request for another host or from a page of another origin is refused;
- a route that is not listed does not exist;
- a session belongs to the visitor who used its name first, a file to the visitor whose session it is of;
- the files of a request must lie in the store; an address in their place is refused, their old names are removed;
- bodies are small, and come in without long pauses;
- every answer tells the browser to ask nobody else (Content-Security-Policy), and to keep no recording. Gradio's
  own scripts are inline and use `eval`, so the policy has to allow that; other hosts it does not allow.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saic.errors import UsageError
from saic.web import uploads
from saic.web.backlog import Backlog
from saic.web.hosts import Hosts
from saic.web.recordings import Recordings
from saic.web.store import GONE, StoreFull
from saic.web.visitors import COOKIE, Rate, Visitor, is_session, new_token

_API = "/gradio_api"
_ASKED = ("/", "/config", "/favicon.ico", "/manifest.json", "/robots.txt", "/theme.css")
_ASKED_BELOW = ("/assets/", "/static/", "/svelte/")
_ASKED_OF_API = ("/info", "/openapi.json", "/theme.css", "/app_id", "/login_check", "/startup-events", "/queue/data")
_ASKED_OF_API_BELOW = ("/heartbeat/", "/call/", "/file=")
_TOLD = ("/queue/join", "/cancel", "/reset")
_TOLD_BELOW = ("/call/", "/run/", "/api/")

_MAX_BODY_BYTES = 2**18  # a request without its files: names and paths
BURST, REQUESTS_PER_S = 400, 40
"""Requests, besides those for the page's own scripts and styles, that an address may make at once and a second."""

MAX_FILES = 30
"""Recordings that one call may name."""

_FRAMED_BY = "'self' https://huggingface.co" if os.environ.get("SPACE_HOST") else "'self'"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        f"form-action 'self'; frame-ancestors {_FRAMED_BY}"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_NOTHING = "There is nothing here."
_ADDRESS = "A web address cannot be used as a recording. Upload the file itself."
_ELSEWHERE = "This recording is not on the server. Upload it first."
_ANOTHERS = "This page is out of date. Reload it."
_TOO_MANY = "Too many requests. Wait a few seconds."
_BUSY = "The results of too many calls were not fetched yet. Fetch them, or try again in a minute."
_MALFORMED = "The request is not one that this page or its API makes."


class Firewall:
    """An ASGI application around another.

    Parameters
    ----------
    app : Gradio's
    recordings : whose store recordings lie in, and whose jobs end with their page
    hosts : under which names the page answers
    max_bytes : of one upload
    backlog : what Gradio keeps for sessions
    verbs : names of the calls that programs may make, each with the names of its parameters in order
    """

    def __init__(
        self,
        app: ASGIApp,
        recordings: Recordings,
        hosts: Hosts,
        backlog: Backlog,
        max_bytes: int,
        verbs: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._app, self._recordings, self._store, self._backlog = app, recordings, recordings.store, backlog
        self._hosts, self._uploads, self._verbs = hosts, uploads.Uploads(recordings.store, max_bytes), verbs
        self._rate = Rate(BURST, REQUESTS_PER_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        path = scope["path"].removeprefix(scope.get("root_path", "")).removesuffix("/") or "/"
        api = path.removeprefix(_API) if path.startswith(_API) else None
        scope = scope | {"headers": [item for item in scope["headers"] if self._passes(*item)]}
        visitor = Visitor.of(scope)
        send = _with_headers(send, api, _cookie(scope) if path == "/" and visitor.token is None else None)
        if refusal := self._hosts.refusal(scope):
            answer = PlainTextResponse(refusal, 403)
        elif not path.startswith(_ASKED_BELOW) and not self._rate.allows(visitor.address):
            answer = PlainTextResponse(_TOO_MANY, 429, {"Retry-After": "10"})
        elif scope["method"] in ("GET", "HEAD"):
            answer = await self._asked(scope, receive, send, path, api, visitor)
        elif scope["method"] == "POST" and api == "/upload":
            answer = await self._uploads.take(scope, receive, visitor)
        elif scope["method"] == "POST" and api and (api in _TOLD or api.startswith(_TOLD_BELOW)):
            answer = await self._told(scope, receive, send, api, visitor)
        else:
            answer = PlainTextResponse(_NOTHING, 404)
        if answer is not None:
            await answer(scope, receive, send)

    def _passes(self, name: bytes, value: bytes) -> bool:
        """Whether a header is given on: Gradio makes addresses of a forwarded host, whatever it is."""
        return name != b"x-forwarded-host" or all(map(self._hosts.forwarded, value.decode("latin-1").split(",")))

    async def _asked(
        self, scope: Scope, receive: Receive, send: Send, path: str, api: str | None, visitor: Visitor
    ) -> Response | None:
        """What is answered here to a GET; None if Gradio did."""
        if api == "/upload_progress":
            return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")
        if api and api.startswith("/file="):
            if refusal := self._refuse_file(api.removeprefix("/file="), visitor):
                return refusal
            return await self._give_file(scope, receive, send)
        elif not _listed(path, api):
            return PlainTextResponse(_NOTHING, 404)
        if api == "/queue/data":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            if refusal := self._refuse_session(query.get("session_hash", [None])[0], visitor):
                return refusal
        if api and api.startswith("/heartbeat/"):
            session = api.removeprefix("/heartbeat/")
            if refusal := self._refuse_session(session, visitor):
                return refusal
            with self._recordings.open_page(session):
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)
        return None

    def _refuse_file(self, name: str, visitor: Visitor) -> Response | None:
        """Only a visitor's own files of the store are given, and nothing is fetched for anybody."""
        path = Path(name)
        if self._store.was_upload(path):  # the player of an upload that has just become a plain copy
            return Response(status_code=204)
        if not self._store.may_give(visitor, path):
            return PlainTextResponse(GONE, 404)
        return None

    async def _give_file(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Send a file; what to answer where it was removed before its first byte was sent."""
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except (OSError, RuntimeError):  # the latter is what Starlette makes of a file that is not there
            if has_begun:
                raise
            return PlainTextResponse(GONE, 404)
        return None

    def _refuse_session(self, session: Any, visitor: Visitor, *, named: bool = True) -> Response | None:
        """A session is its visitor's alone."""
        if not is_session(session):
            return _refusal(_MALFORMED, 400)
        try:
            return None if self._store.claim(session, visitor, named=named) else _refusal(_ANOTHERS, 403)
        except StoreFull as error:
            return _refusal(str(error), 503)

    async def _told(self, scope: Scope, receive: Receive, send: Send, api: str, visitor: Visitor) -> Response | None:
        """Pass a JSON request on once all its files are in the store."""
        try:
            body = await _whole(receive)
            told = json.loads(body or b"{}")
            if not isinstance(told, dict):
                raise ValueError
            if api.startswith("/call/"):
                name, told = self._call(api.removeprefix("/call/"), told)
                path = f"{_API}/call/{name}"
                scope = scope | {"path": scope.get("root_path", "") + path, "raw_path": path.encode()}
            files = list(_files(told))
        except uploads.TooLarge:
            return _refusal("The request is too large.", 413)
        except uploads.Stalled:
            return PlainTextResponse("The request stopped.", 408, {"Connection": "close"})
        except _Gone:
            return PlainTextResponse(_NOTHING, 404)
        except (ValueError, RecursionError):
            return _refusal(_MALFORMED, 400)
        if len(files) > MAX_FILES:
            return _refusal(f"A call takes up to {MAX_FILES} recordings. Send fewer.", 400)
        if named := told.get("session_hash") is not None:
            session = told["session_hash"]
        else:
            session = told["session_hash"] = secrets.token_hex(16)
        if refusal := self._refuse_session(session, visitor, named=named):
            return refusal
        if not self._backlog.has_room(session):
            return _refusal(_BUSY, 503)
        for file in files:
            if refusal := self._refusal_of(file, visitor):
                return _refusal(refusal, 400)
            file |= {"url": None, "orig_name": None}
        plain = json.dumps(told).encode()
        headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
        scope = scope | {"headers": [*headers, (b"content-length", str(len(plain)).encode())]}
        await self._app(scope, _replay(plain, receive), send)
        return None

    def _call(self, name: str, told: dict) -> tuple[str, dict]:
        """Name and body of a program's call with its arguments in a list, as ``/call/NAME`` takes them.

        ``/call/v2/NAME`` takes them by name, and lets nobody name a session.

        Raises
        ------
        _Gone (no such call), ValueError (its arguments do not fit)
        """
        by_name = name.startswith("v2/")
        name = name.removeprefix("v2/")
        if name not in self._verbs:
            raise _Gone
        parameters = self._verbs[name]
        session = {"session_hash": told.pop("session_hash")} if "session_hash" in told else {}
        if by_name:
            if not told.keys() <= set(parameters):
                raise ValueError
            data = [told.get(parameter) for parameter in parameters]
        else:
            data = told.get("data")
            if not isinstance(data, list) or len(data) > len(parameters):
                raise ValueError
            data = data + [None] * (len(parameters) - len(data))
        return name, {"data": data, **session}

    def _refusal_of(self, file: dict, visitor: Visitor) -> str | None:
        names = [file.get(key) for key in ("path", "url")]
        if any(isinstance(name, str) and "://" in name and not _own_address(name) for name in names):
            return _ADDRESS
        path = file.get("path")
        if not isinstance(path, str):
            return _ELSEWHERE
        # A page may name an upload once more that has just become a plain copy: whose that is, the recordings asks.
        its = self._store.may_give(visitor, Path(path)) or self._store.was_upload(Path(path))
        return None if its else _ELSEWHERE


class _Gone(UsageError):
    """What is asked for does not exist."""


async def _whole(receive: Receive) -> bytes:
    """The body of a request; TooLarge or Stalled if it is over the limit or does not come."""
    bounded, body = uploads.Bounded(receive, _MAX_BODY_BYTES), b""
    while True:
        message = await bounded()
        if message["type"] == "http.disconnect":
            raise uploads.Stalled
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


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


def _cookie(scope: Scope) -> str:
    """A new visitor's cookie: for this browser alone, and for as long as it runs."""
    flags = "; Secure" if scope.get("scheme") == "https" else ""
    if flags and os.environ.get("SPACE_HOST"):  # the Hub shows a Space inside of its own page
        flags += "; SameSite=None; Partitioned"
    else:
        flags += "; SameSite=Lax"
    return f"{COOKIE}={new_token()}; Path=/; HttpOnly{flags}"


def _with_headers(send: Send, api: str | None, cookie: str | None) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if api is not None:
                headers["Cache-Control"] = "no-store"
            if cookie:
                headers.append("Set-Cookie", cookie)
                headers["Cache-Control"] = "no-store"  # the next visitor gets a cookie of its own
        await send(message)

    return headed
