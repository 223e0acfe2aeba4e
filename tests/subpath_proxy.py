"""A reverse proxy that serves a page under a subpath, as nginx does with ``location /saic/``."""

import contextlib
import http.server
import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator


@contextlib.contextmanager
def served_under(path: str, url: str) -> Iterator[str]:
    """Serve ``url``, which ends with a slash, under ``path``, such as ``/saic/``; gives the address of the page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _pass_on(self, body: bytes | None) -> None:
            if not self.path.startswith(path):
                self.send_error(404)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            headers |= {"X-Forwarded-For": self.client_address[0], "X-Forwarded-Proto": "http"}
            request = urllib.request.Request(url + self.path.removeprefix(path), body, headers, method=self.command)
            try:
                answer = urllib.request.urlopen(request, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # the reader has left
                    while part := answer.read1():
                        self.wfile.write(part)
                        self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{path}"
        server.shutdown()
