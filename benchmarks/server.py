"""The page in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
UP_TIMEOUT_S = 180.0


def serve(tree: Path = ROOT, environment: Mapping[str, str] | None = None) -> tuple[subprocess.Popen, str]:
    """Start the page of a checkout on a free port; returns its process and URL once it answers.

    Parameters
    ----------
    tree
        The checkout; another than this one has an environment of its own in ``.venv``.
    environment
        Environment variables beside those of this process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = sys.executable if tree == ROOT else str(tree / ".venv" / "bin" / "python")
    server = subprocess.Popen(
        [python, "app.py", "--port", str(port)],
        cwd=tree,
        env=os.environ | (environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + UP_TIMEOUT_S
    while True:
        try:
            httpx.get(url).raise_for_status()
            return server, url
        except httpx.HTTPError:  # not up yet
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                raise SystemExit(f"The page of {tree} did not start.") from None
            time.sleep(0.1)
