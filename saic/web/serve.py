"""Serve the page: what it must never do is switched off here, whoever starts it."""

import asyncio
import contextlib
import errno
import os
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
from saic.web.backlog import Backlog
from saic.web.firewall import Firewall
from saic.web.hosts import Hosts
from saic.web.jobs import MAX_JOBS
from saic.web.logs import quieten_libraries
from saic.web.page import warm_up
from saic.web.recordings import LIMITS
from saic.web.style import CSS, SCRIPT, theme
from saic.web.visitors import has_room, network_of

MAX_WAITING = 20
"""Calls that may wait until there is a place for another job."""

MAX_CONNECTIONS = 800
"""Connections at once. An open page takes two."""

HEADER_S = 15.0
"""Seconds in which a request's first lines must have come."""

FIRST_PORT, LAST_PORT = 7860, 7959
_THREADS = MAX_JOBS + 40  # a job that waits holds one
_CONNECTION_SHARE = 0.5
_STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 5


class Server:
    """A page that is being served, in a thread.

    Attributes
    ----------
    url : address for a browser of this computer, with a slash at its end
    """

    def __init__(self, page: gr.Blocks, config: uvicorn.Config, listening: socket.socket, url: str) -> None:
        self.url = url
        self._page, self._socket = page, listening
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="saic-serve", daemon=True)
        self._thread.start()
        ends = time.monotonic() + _STARTS_WITHIN_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < ends:
            time.sleep(0.02)
        if not self._server.started:
            self.close()
            raise UsageError("The page did not start. The log says where it failed.")

    def wait(self) -> None:
        """Return when the server has ended by itself, or a signal of `ended_by_signals` came."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop serving, stop all jobs and remove all recordings."""
        self._page.app.stop_event.set()  # ends Gradio's heartbeats
        self._page._queue.close()
        self._page.is_running = False
        self._server.should_exit = True
        self._page.recordings.close()
        self._thread.join(_ENDS_WITHIN_S + 5)
        self._socket.close()


def launch(
    page: gr.Blocks,
    *,
    host: str | None = None,
    port: int | None = None,
    allow_hosts: Iterable[str] = (),
    block: bool = True,
) -> Server:
    """Serve a page of `build_page`.

    Parameters
    ----------
    page : the page
    host : address or name to listen on; None takes GRADIO_SERVER_NAME, else this computer alone
    port : None takes GRADIO_SERVER_PORT, else the first free one from 7860; 0 takes any free one
    allow_hosts : names, besides loopback's and `host`, under which the page answers
    block : whether to return only when SIGINT, SIGTERM or SIGHUP has ended the server

    Raises
    ------
    UsageError (the host or port cannot be used)
    """
    torch.set_num_threads(1)  # a job a core: two jobs that share their cores take longer than one after the other
    quieten_libraries()
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    hosts = Hosts(host, allow_hosts)
    listening = _listen(host, port)
    name = "localhost" if host in ("0.0.0.0", "::") else host.strip("[]")
    bracketed = f"[{name}]" if ":" in name else name
    url = f"http://{bracketed}:{listening.getsockname()[1]}/"
    app = _app(page, hosts)
    config = uvicorn.Config(
        app,
        http=_Impatient,
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        # Whose word counts on where a request comes from; nobody but the Hub's proxy reaches a Space.
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS") or ("*" if os.environ.get("SPACE_HOST") else None),
        timeout_graceful_shutdown=_ENDS_WITHIN_S,
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
    """Let SIGTERM (as "docker stop" sends it) and SIGHUP (a terminal that closes) end the process in good order."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # nohup means that it is to go on
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _app(page: gr.Blocks, hosts: Hosts) -> Firewall:
    """The page as an ASGI application, with everything off that would tell or keep, behind its firewall."""
    page.max_threads = _THREADS
    # Direct calls would pass by the queue; only events that are quick may come so.
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=MAX_JOBS, api_open=False)
    backlog = Backlog(page, page.recordings.store)
    outer = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
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
    page.app = outer.routes[-1].app  # whose heartbeats are to end
    return Firewall(outer, page.recordings, hosts, backlog, LIMITS.max_bytes, page.verbs)


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens; the first free port of Gradio's range unless one is named."""
    named = os.environ.get("GRADIO_SERVER_PORT") if port is None else str(port)
    if named is not None and not (named.isdecimal() and int(named) < 2**16):
        raise UsageError("A port is a number from 1 to 65535. Name another with --port.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError("This computer does not know that host. Name an address of its own with --host.") from None
    for number in [int(named)] if named is not None else range(FIRST_PORT, LAST_PORT + 1):
        listening = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would share a port that is in use
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


class _Impatient(H11Protocol):
    """uvicorn's HTTP/1.1 with limits on connections, and on the time that the first lines of a request may take."""

    _by_address: ClassVar[Counter[str]] = Counter()
    _timer: asyncio.TimerHandle | None = None
    _address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        address = network_of(self.client[0] if self.client else "unknown")
        mine, all_of_them = self._by_address[address], self._by_address.total()
        if not has_room(mine + 1, all_of_them - mine, MAX_CONNECTIONS, _CONNECTION_SHARE):
            transport.abort()
            return
        self._address = address
        self._by_address[address] += 1
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and self._timer is None:
            self._expect()
        elif answering:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        if self._address is not None:
            self._by_address[self._address] -= 1
            if self._by_address[self._address] <= 0:
                del self._by_address[self._address]
            self._address = None
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._timer = self.loop.call_later(HEADER_S, self.transport.abort)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
