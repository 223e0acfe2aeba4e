"""The only way from the network to Gradio: it passes on only what the page and its API need.

Gradio itself answers any Host and Origin, downloads URLs that a caller gives as files, stores
uploads under the sender's file name and a hash of their content, and has many routes that this page
does not use. The firewall changes that:

- a request for another host, or from a page of another origin, gets status 403;
- a route that is not listed here gets 404;
- a session belongs to the visitor who used its name first, a file to the visitor of its session;
- the files of a request must be in the store; URLs are refused, the sender's file names removed;
- JSON bodies are small, and arrive without long pauses;
- the Content-Security-Policy of every answer forbids the page to contact other hosts. Gradio's
  scripts are inline and use `eval`, so the policy has to allow both;
- recordings are not cached.
"""

import asyncio
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saic.errors import UsageError
from saic.web.server import uploads
from saic.web.server.backlog import Backlog
from saic.web.server.hosts import Hosts
from saic.web.server.recordings import Recordings
from saic.web.server.store import GONE, StoreFull
from saic.web.server.visitors import COOKIE, RateLimiter, Visitor, is_session_name, new_token
from saic.web.texts import texts_of, translated

_API = "/gradio_api"
_GET_PATHS = ("/", "/config", "/favicon.ico", "/manifest.json", "/robots.txt", "/theme.css")
_GET_PREFIXES = ("/assets/", "/static/", "/svelte/")
_GET_API_PATHS = ("/info", "/openapi.json", "/theme.css", "/app_id", "/login_check", "/startup-events", "/queue/data")
_GET_API_PREFIXES = ("/heartbeat/", "/call/", "/file=")
_POST_API_PATHS = ("/queue/join", "/cancel", "/reset")
_POST_API_PREFIXES = ("/call/", "/run/", "/api/")

_MAX_BODY_BYTES = 2**18  # a JSON request names its files by path
BURST, REQUESTS_PER_S = 400, 40
"""Requests of an address at once, and then per second; scripts and styles do not count."""

MAX_FILES = 30
"""Recordings that one call may name."""

_FRAME_ANCESTORS = "'self' https://huggingface.co" if os.environ.get("SPACE_HOST") else "'self'"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        f"form-action 'self'; frame-ancestors {_FRAME_ANCESTORS}"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_NOT_FOUND = "There is nothing here."
_URL_REFUSED = "A web address cannot be used as a recording. Upload the file itself."
_NOT_UPLOADED = "This recording is not on the server. Upload it first."
_OTHER_VISITOR = "This page is out of date. Reload it."
_TOO_MANY_FILES = f"Up to {MAX_FILES} recordings can be sent at once. Send fewer."
_TOO_MANY_REQUESTS = "Too many requests. Wait a few seconds."
_TOO_MANY_RESULTS = "The results of too many calls were not fetched yet. Fetch them, or try again in a minute."
_MALFORMED = "The request is not one that this page or its API makes."


class Firewall:
    """An ASGI application around Gradio's. Applies the rules above to every request.

    Parameters
    ----------
    app : Gradio's application
    recordings : the recordings and jobs of the server
    hosts : the allowed host names
    backlog : limit on the results that Gradio keeps
    max_bytes : size limit of one upload
    endpoints : names of the API's endpoints, each with its parameters' names in order
    """

    def __init__(
        self,
        app: ASGIApp,
        recordings: Recordings,
        hosts: Hosts,
        backlog: Backlog,
        max_bytes: int,
        endpoints: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._app, self._recordings, self._store, self._backlog = app, recordings, recordings.store, backlog
        self._hosts, self._uploads, self._endpoints = hosts, uploads.Uploads(recordings.store, max_bytes), endpoints
        self._rate = RateLimiter(BURST, REQUESTS_PER_S)
        self._event_streams: dict[str, _EventStream] = {}  # by session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        path = scope["path"].removeprefix(scope.get("root_path", "")).removesuffix("/") or "/"
        api = path.removeprefix(_API) if path.startswith(_API) else None
        scope = scope | {"headers": [item for item in scope["headers"] if self._passes_on(*item)]}
        visitor = Visitor.of(scope)
        send = _with_headers(send, api, _new_cookie(scope) if path == "/" and visitor.token is None else None)
        if refusal := self._hosts.refusal(scope):
            response = PlainTextResponse(refusal, 403)
        elif not path.startswith(_GET_PREFIXES) and not self._rate.allows(visitor.address):
            response = PlainTextResponse(_in_language(_TOO_MANY_REQUESTS, scope), 429, {"Retry-After": "10"})
        elif scope["method"] in ("GET", "HEAD"):
            response = await self._get(scope, receive, send, path, api, visitor)
        elif scope["method"] == "POST" and api == "/upload":
            response = await self._uploads.handle(scope, receive, visitor)
        elif scope["method"] == "POST" and api and (api in _POST_API_PATHS or api.startswith(_POST_API_PREFIXES)):
            response = await self._post(scope, receive, send, api, visitor)
        else:
            response = PlainTextResponse(_NOT_FOUND, 404)
        if response is not None:
            await response(scope, receive, send)

    def _passes_on(self, name: bytes, value: bytes) -> bool:
        """Whether a header is passed on. Gradio would build URLs from any X-Forwarded-Host."""
        return name != b"x-forwarded-host" or all(map(self._hosts.allows_forwarded, value.decode("latin-1").split(",")))

    async def _get(
        self, scope: Scope, receive: Receive, send: Send, path: str, api: str | None, visitor: Visitor
    ) -> Response | None:
        """Handle a GET: the response to send, or None if Gradio has sent one."""
        if api == "/upload_progress":
            return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")
        if api and api.startswith("/file="):
            if refusal := self._refuse_file(api.removeprefix("/file="), visitor):
                return refusal
            return await self._send_file(scope, receive, send)
        elif not _is_get_route(path, api):
            return PlainTextResponse(_NOT_FOUND, 404)
        if api == "/queue/data":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            session = query.get("session_hash", [None])[0]
            if refusal := self._refuse_session(session, visitor, scope):
                return refusal
            await self._stream_events(scope, receive, send, session)
            return None
        if api and api.startswith("/heartbeat/"):
            session = api.removeprefix("/heartbeat/")
            if refusal := self._refuse_session(session, visitor, scope):
                return refusal
            with self._recordings.open_page(session):  # Gradio's heartbeat lasts as long as the page is open
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)
        return None

    async def _stream_events(self, scope: Scope, receive: Receive, send: Send, session: str) -> None:
        """Let Gradio send the events of a session, to its newest connection alone.

        If a page opens another one, the earlier is broken, which this side may notice minutes later. Gradio would give
        each of them every second message.
        """
        if stream := self._event_streams.get(session):
            await stream.move(receive, send)
            return
        stream = self._event_streams[session] = _EventStream(self._event_streams, session, receive, send)
        try:
            await self._app(scope, stream.receive, stream.send)
        finally:
            stream.end()

    def _refuse_file(self, name: str, visitor: Visitor) -> Response | None:
        """The response if a visitor may not download a file; None if it may."""
        path = Path(name)
        if self._store.was_upload(path):  # the audio player may still request an upload that a copy has replaced
            return Response(status_code=204)
        if not self._store.may_download(visitor, path):
            return PlainTextResponse(GONE, 404)
        return None

    async def _send_file(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Let Gradio send a file; the response if the file was deleted before its first byte.

        Gradio sends the head of the response before it opens the file, which may be deleted in between
        (a clip that was cleared). So the head is held back until the first byte was read.
        """
        head: Message | None = None
        has_begun = False

        async def send_head_with_body(message: Message) -> None:
            nonlocal head, has_begun
            if message["type"] == "http.response.start":
                head = message
                return
            if head is not None:
                has_begun, begin, head = True, head, None
                await send(begin)
            await send(message)

        try:
            await self._app(scope, receive, send_head_with_body)
        except (OSError, RuntimeError):  # Starlette raises RuntimeError for a file that does not exist
            return None if has_begun else PlainTextResponse(GONE, 404)
        return None

    def _refuse_session(self, session: Any, visitor: Visitor, scope: Scope, *, named: bool = True) -> Response | None:
        """The response if a visitor may not use a session; None if it may."""
        if not is_session_name(session):
            return _json_error(_MALFORMED, 400)
        try:
            if self._store.claim(session, visitor, named=named):
                return None
            return _json_error(_in_language(_OTHER_VISITOR, scope), 403)
        except StoreFull as error:
            return _json_error(_in_language(str(error), scope), 503)

    async def _post(self, scope: Scope, receive: Receive, send: Send, api: str, visitor: Visitor) -> Response | None:
        """Handle a POST with a JSON body: the response to send, or None if Gradio has sent one."""
        try:
            limited = uploads.LimitedReceive(receive, _MAX_BODY_BYTES)
            body = json.loads(await Request(scope, limited).body() or b"{}")
            if not isinstance(body, dict):
                raise ValueError
            if api.startswith("/call/"):
                name, body = self._normalize_call(api.removeprefix("/call/"), body)
                path = f"{_API}/call/{name}"
                scope = scope | {"path": scope.get("root_path", "") + path, "raw_path": path.encode()}
            files = list(_find_files(body))
        except uploads.TooLarge:
            return _json_error("The request is too large.", 413)
        except (uploads.Stalled, ClientDisconnect):
            return PlainTextResponse("The request stopped.", 408, {"Connection": "close"})
        except _NoSuchEndpoint:
            return PlainTextResponse(_NOT_FOUND, 404)
        except (ValueError, RecursionError):
            return _json_error(_MALFORMED, 400)
        if len(files) > MAX_FILES:
            return _json_error(_in_language(_TOO_MANY_FILES, scope), 400)
        if named := body.get("session_hash") is not None:
            session = body["session_hash"]
        else:
            session = body["session_hash"] = secrets.token_hex(16)
        if refusal := self._refuse_session(session, visitor, scope, named=named):
            return refusal
        if not self._backlog.has_room(session):
            return _json_error(_TOO_MANY_RESULTS, 503)
        for file in files:
            if message := self._file_error(file, visitor):
                return _json_error(_in_language(message, scope), 400)
            file |= {"url": None, "orig_name": None}
        checked = json.dumps(body).encode()
        headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
        scope = scope | {"headers": [*headers, (b"content-length", str(len(checked)).encode())]}
        await self._app(scope, _replay(checked, receive), send)
        return None

    def _normalize_call(self, name: str, body: dict) -> tuple[str, dict]:
        """Endpoint and body of an API call in the form of ``/call/NAME``: the arguments in a list.

        ``/call/v2/NAME`` takes the arguments by name. Unlike Gradio's own route it also takes
        ``session_hash``.

        Raises
        ------
        _NoSuchEndpoint, ValueError (unknown or too many arguments)
        """
        by_name = name.startswith("v2/")
        name = name.removeprefix("v2/")
        if name not in self._endpoints:
            raise _NoSuchEndpoint
        parameters = self._endpoints[name]
        session = {"session_hash": body.pop("session_hash")} if "session_hash" in body else {}
        if by_name:
            if not body.keys() <= set(parameters):
                raise ValueError
            data = [body.get(parameter) for parameter in parameters]
        else:
            data = body.get("data")
            if not isinstance(data, list) or len(data) > len(parameters):
                raise ValueError
            data = data + [None] * (len(parameters) - len(data))
        return name, {"data": data, **session}

    def _file_error(self, file: dict, visitor: Visitor) -> str | None:
        """The message if a visitor may not use a file in a call; None if it may."""
        names = [file.get(key) for key in ("path", "url")]
        if any(isinstance(name, str) and "://" in name and not _is_own_url(name) for name in names):
            return _URL_REFUSED
        path = file.get("path")
        if not isinstance(path, str):
            return _NOT_UPLOADED
        # The page may name an upload that a copy has just replaced. `Recordings.load` then checks
        # that the copy is the session's.
        allowed = self._store.may_download(visitor, Path(path)) or self._store.was_upload(Path(path))
        return None if allowed else _NOT_UPLOADED


class _EventStream:
    """Gradio's event stream of a session, which can move to another connection.

    Parameters
    ----------
    streams, session : the streams by session, from which this one removes itself
    receive, send : of the first connection
    """

    def __init__(self, streams: dict[str, "_EventStream"], session: str, receive: Receive, send: Send) -> None:
        self._streams, self._session, self._receive, self._send = streams, session, receive, send
        self._head: Message | None = None
        self._ended = asyncio.Event()

    async def move(self, receive: Receive, send: Send) -> None:
        """Send what comes next to another connection; returns once the stream has ended."""
        self._receive, self._send = receive, send
        if self._head is not None:
            await send(_copy(self._head))
        await self._ended.wait()

    async def receive(self) -> Message:
        """The next message from the present connection."""
        while True:
            receive = self._receive
            message = await receive()
            if receive is self._receive:
                return message

    async def send(self, message: Message) -> None:
        """Send to the present connection."""
        if message["type"] == "http.response.start":
            self._head = _copy(message)
        elif not message.get("more_body") or b'"msg":"close_stream"' in message.get("body", b""):
            self._leave()  # before the page knows: its next connection gets a new stream
        await self._send(message)

    def end(self) -> None:
        """Gradio has ended the stream."""
        self._leave()
        self._ended.set()

    def _leave(self) -> None:
        if self._streams.get(self._session) is self:
            del self._streams[self._session]


def _copy(head: Message) -> Message:
    """A head of a response, to which headers can be added."""
    return head | {"headers": list(head["headers"])}


class _NoSuchEndpoint(UsageError):
    """The API has no endpoint of this name."""


def _is_get_route(path: str, api: str | None) -> bool:
    if api is None:
        return path in _GET_PATHS or path.startswith(_GET_PREFIXES)
    return api in _GET_API_PATHS or api.startswith(_GET_API_PREFIXES)


def _is_own_url(name: str) -> bool:
    """Whether a URL is of the file route: pages send it with the path, and it is removed."""
    return f"{_API}/file=/" in unquote(name)


def _find_files(value: Any) -> Iterator[dict]:
    """All dictionaries in a JSON value that Gradio would take for a file."""
    if isinstance(value, dict):
        if "path" in value or "meta" in value:
            yield value
        for item in value.values():
            yield from _find_files(item)
    elif isinstance(value, list):
        for item in value:
            yield from _find_files(item)


def _in_language(message: str, scope: Scope) -> str:
    """A message that the page may show, in the language of the request."""
    return translated(texts_of(Headers(scope=scope).get("accept-language")), message)


def _json_error(message: str, status: int) -> Response:
    return JSONResponse({"detail": message, "error": message}, status)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that has been read already, then what comes after it."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _new_cookie(scope: Scope) -> str:
    """Set-Cookie header of a new visitor. The cookie is deleted when the browser closes."""
    flags = "; Secure" if scope.get("scheme") == "https" else ""
    if flags and os.environ.get("SPACE_HOST"):  # the Hub shows a Space in a frame of its own page
        flags += "; SameSite=None; Partitioned"
    else:
        flags += "; SameSite=Lax"
    return f"{COOKIE}={new_token()}; Path=/; HttpOnly{flags}"


def _with_headers(send: Send, api: str | None, cookie: str | None) -> Send:
    """A `send` that adds the security headers, and the cookie if there is one."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if api is not None:
                headers["Cache-Control"] = "no-store"
            if cookie:
                headers.append("Set-Cookie", cookie)
                headers["Cache-Control"] = "no-store"  # a cached answer would give its cookie to another visitor
        await send(message)

    return send_with_headers
