"""Serve the page, with everything in Gradio and uvicorn that may leak data switched off."""

import asyncio
import contextlib
import errno
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import ClassVar

import gradio as gr
import torch
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from saic.errors import UsageError
from saic.web.page import warm_up
from saic.web.script import SCRIPT
from saic.web.server.backlog import Backlog
from saic.web.server.firewall import Firewall
from saic.web.server.hosts import Hosts
from saic.web.server.jobs import MAX_JOBS
from saic.web.server.logs import redact_libraries
from saic.web.server.visitors import network_of, within_fair_share
from saic.web.style import CSS, theme

MAX_WAITING = 20
"""Calls that may wait in Gradio's queue until there is room among the `MAX_JOBS` jobs."""

MAX_CONNECTIONS = 800
"""Connections at once. An open page takes two."""

MAX_ADDRESS_SHARE = 0.5
"""Fraction of the free connections that one address may hold, see `within_fair_share`."""

HEADER_TIMEOUT_S = 15.0
"""Seconds within which the head of a request has to arrive."""

FIRST_PORT, LAST_PORT = 7860, 7959
_THREADS = MAX_JOBS + 40  # a job that waits holds one
_START_TIMEOUT_S = 60.0
_SHUTDOWN_TIMEOUT_S = 5


class Server:
    """A page and the thread that serves it.

    Attributes
    ----------
    url : address for a browser on this computer, with a slash at its end
    """

    def __init__(self, page: gr.Blocks, config: uvicorn.Config, listening: socket.socket, url: str) -> None:
        self.url = url
        self._page, self._socket = page, listening
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="saic-serve", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        if not self._server.started:
            self.close()
            raise UsageError("The page did not start. The log says where it failed.")

    def wait(self) -> None:
        """Return when the server has ended. Signals of `ended_by_signals` raise SystemExit here."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop serving, stop all jobs and delete all recordings."""
        self._page.app.stop_event.set()  # ends Gradio's heartbeats
        self._page._queue.close()
        self._page.is_running = False
        self._server.should_exit = True
        self._page.recordings.close()
        self._thread.join(_SHUTDOWN_TIMEOUT_S + 5)
        self._socket.close()


def launch(
    page: gr.Blocks,
    *,
    host: str | None = None,
    port: int | None = None,
    allow_hosts: Iterable[str] = (),
    root_path: str | None = None,
    block: bool = True,
) -> Server:
    """Serve a page of `build_page`.

    Parameters
    ----------
    page : the page
    host : address or name to listen on; None takes GRADIO_SERVER_NAME, else loopback only
    port : None takes GRADIO_SERVER_PORT, else the first free one from 7860; 0 takes any free one
    allow_hosts : names under which the page answers, besides `host` and those of loopback
    root_path : path under which a proxy serves the page, such as /saic, if the proxy removes it from its
        requests; None takes GRADIO_ROOT_PATH, else the page is at the root
    block : whether to wait until the server ends. SIGINT, SIGTERM and SIGHUP end it and raise
        KeyboardInterrupt or SystemExit

    Raises
    ------
    UsageError (the host, port or path cannot be used)
    """
    torch.set_num_threads(1)  # one job per core: two jobs that share their cores take longer than one after the other
    redact_libraries()
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    hosts, root_path = Hosts(host, allow_hosts), _checked_path(root_path)
    listening = _open_socket(host, port)
    name = "localhost" if host in ("0.0.0.0", "::") else host.strip("[]")
    bracketed = f"[{name}]" if ":" in name else name
    url = f"http://{bracketed}:{listening.getsockname()[1]}/"
    app = _build_app(page, hosts, root_path)
    config = uvicorn.Config(
        app,
        http=_LimitedProtocol,
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        # The proxies whose X-Forwarded-For is trusted. Only the Hub's proxy can reach a Space.
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS") or ("*" if os.environ.get("SPACE_HOST") else None),
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
    )
    with ended_by_signals() if block else contextlib.nullcontext():
        server = Server(page, config, listening, url)
        try:
            warm_up(page)
            if block:
                print(f"The page is open on {url}", flush=True)
                server.wait()
        except (KeyboardInterrupt, SystemExit):
            server.close()
            raise
        return server


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM (sent by "docker stop") and SIGHUP (a terminal that closes) into SystemExit.

    The process then runs its cleanup, which deletes the recordings.
    """

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP: leave it so
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _build_app(page: gr.Blocks, hosts: Hosts, root_path: str) -> Firewall:
    """The page behind its firewall, without Gradio's features that record or share data."""
    page.max_threads = _THREADS
    # Direct API calls would bypass the queue; only endpoints that are quick allow them.
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=MAX_JOBS, api_open=False)
    backlog = Backlog(page, page.recordings.store)
    outer = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        root_path=root_path,
        theme=theme(),
        css=CSS,
        js=SCRIPT,
        run_history=False,  # it would write file names into the browser's localStorage
        show_error=False,  # it would show server paths; gr.Error is shown all the same
        pwa=False,
        enable_monitoring=False,
        footer_links=["api"],
        ssr_mode=False,
    )
    page.app = outer.routes[-1].app  # `Server.close` sets its stop_event
    # Gradio would delete what a page enrolled or listed over an hour ago once a connection of that page breaks, even
    # if it has opened another. States are deleted with their session (`Backlog.forget`).
    page.app.state_holder.delete_all_expired_state = lambda: None
    return Firewall(outer, page.recordings, hosts, backlog, page.recordings.limits.max_bytes, page.endpoints)


def _checked_path(root_path: str | None) -> str:
    """The path with a slash at its beginning and none at its end, or an empty text."""
    path = (os.environ.get("GRADIO_ROOT_PATH", "") if root_path is None else root_path).strip("/")
    if not path:
        return ""
    if not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)*", path, re.ASCII):
        raise UsageError("A root path is a path alone, such as /saic. Name another with --root-path.")
    return f"/{path}"


def _open_socket(host: str, port: int | None) -> socket.socket:
    """A listening socket on the port, on GRADIO_SERVER_PORT, or on the first free one from 7860."""
    named = os.environ.get("GRADIO_SERVER_PORT") if port is None else str(port)
    if named is not None and not (named.isdecimal() and int(named) < 2**16):
        raise UsageError("A port is a number from 1 to 65535. Name another with --port.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError("This computer does not know that host. Name an address of its own with --host.") from None
    for number in [int(named)] if named is not None else range(FIRST_PORT, LAST_PORT + 1):
        listening = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # on Windows, SO_REUSEADDR would share a port that is in use
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address[0], number, *address[2:]))
            listening.listen(256)
            return listening
        except OSError as error:
            listening.close()
            if isinstance(error, PermissionError):
                raise UsageError(f"Port {number} needs rights that you lack. Name one from 1024 with --port.") from None
            if error.errno == errno.EADDRNOTAVAIL:
                raise UsageError("This computer has no such address. Name one of its own with --host.") from None
    ports = f"Port {named} is" if named is not None else f"All ports from {FIRST_PORT} to {LAST_PORT} are"
    raise UsageError(f"{ports} in use. Name another with --port, or stop what uses it.")


class _LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with limits.

    Protects against one address that holds all connections, and against clients that send the head
    of a request slowly or not at all.
    """

    _by_address: ClassVar[Counter[str]] = Counter()  # open connections
    _timer: asyncio.TimerHandle | None = None
    _address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        address = network_of(self.client[0] if self.client else "unknown")
        own, total = self._by_address[address], self._by_address.total()
        if not within_fair_share(own + 1, total - own, MAX_CONNECTIONS, MAX_ADDRESS_SHARE):
            transport.abort()
            return
        self._address = address
        self._by_address[address] += 1
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and self._timer is None:
            self._start_timer()
        elif answering:
            self._cancel_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        if self._address is not None:
            self._by_address[self._address] -= 1
            if self._by_address[self._address] <= 0:
                del self._by_address[self._address]
            self._address = None
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self.transport.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
