"""A stand-in for the Hugging Face Hub on loopback: the endpoints that SAIC's uploads and downloads use, and faults.

Expected usage::

    with StandInHub() as hub:
        subprocess.run(..., env=os.environ | hub.environment(home))
        hub.fault = "truncate"  # from now on, downloads break off
"""

import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_" + "standin" * 5
Fault = Literal["error", "stall", "short", "truncate", "break", "tamper", "other_commit"]
"""Fault of file downloads: status 500; no answer; fewer bytes than the file has; a connection that ends half way, at
every download or only at the next; a changed byte; the answer names another commit.
"""


@dataclass
class Repo:
    """One repository. A commit is all its files: path to content."""

    private: bool
    sdk: str | None = None
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str = ""

    def commit(self, files: dict[str, bytes]) -> str:
        tree = b"".join(path.encode() + hashlib.sha256(files[path]).digest() for path in sorted(files))
        self.head = hashlib.sha1(self.head.encode() + tree).hexdigest()
        self.commits[self.head] = files
        return self.head

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def commit_of(self, revision: str | None) -> str:
        return self.head if revision in (None, "main") else revision


class StandInHub(ThreadingHTTPServer):
    """The server, which runs inside ``with``. ``requests`` has the method and path of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[tuple[str, str], Repo] = {}  # by kind ("model", "space") and ORG/NAME
        self.large: dict[str, bytes] = {}  # LFS objects by their SHA-256
        self.requests: list[str] = []
        self.fault: Fault | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home: Path, *, token: str | None = TOKEN) -> dict[str, str]:
        """Variables with which the Hub's client uses this server, a cache under ``home`` and no Xet storage."""
        login = {"HF_TOKEN": token} if token else {"HF_TOKEN_PATH": str(home / "no-token")}
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **login,
        }

    def add(self, name: str, folder: Path, *, private: bool = False) -> str:
        """Add a folder's files to a model repository; return the commit."""
        repo = self.repos.setdefault(("model", name), Repo(private))
        return repo.commit({path.name: path.read_bytes() for path in folder.iterdir()})

    def __enter__(self) -> "StandInHub":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing about connections that the client closed."""


class _Handler(BaseHTTPRequestHandler):
    server: StandInHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    do_GET = do_POST = do_PUT = do_HEAD

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        for pattern, answer in _ROUTES:
            if match := re.fullmatch(pattern, path):
                answer(self, **match.groupdict())
                return
        self._send(404, {"error": "no such page"})

    # --- reading -----------------------------------------------------------------------------------------

    def file(self, kind: str | None, name: str, revision: str, path: str) -> None:
        fault = self.server.fault
        if fault == "error":
            self._send(500, {"error": "out of order"})
            return
        if (repo := self._repo(kind, name)) is None:
            return
        commit = repo.commit_of(revision)
        if commit not in repo.commits:
            self._send(404, {}, {"X-Error-Code": "RevisionNotFound"})
            return
        content = repo.commits[commit].get(path)
        if content is None:
            self._send(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        headers = {
            "X-Repo-Commit": hashlib.sha1(commit.encode()).hexdigest() if fault == "other_commit" else commit,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
        }
        if self.command == "HEAD":
            self._send(200, content, headers)
            return
        self._send_file(content, headers, fault)

    def _send_file(self, content: bytes, headers: dict[str, str], fault: Fault | None) -> None:
        if fault == "stall":
            time.sleep(5)
        if fault == "tamper":
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault == "short":
            content = content[: len(content) // 2]
        if fault == "break":
            self.server.fault = None
        self.close_connection = fault in ("truncate", "break")
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.close_connection else content)

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        if repo := self._repo(kind, name):
            commit = repo.commit_of(revision)
            siblings = [{"rfilename": path} for path in repo.commits.get(commit, {})]
            facts = {"id": name, "private": repo.private, "sha": commit, "siblings": siblings, "tags": []}
            self._send(200, facts | ({"sdk": repo.sdk} if repo.sdk else {}))

    def tree(self, kind: str, name: str, revision: str) -> None:
        if repo := self._repo(kind, name):
            files = repo.commits[repo.commit_of(revision)].items()
            entries = [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in files
            ]
            self._send(200, json.dumps(entries).encode())

    # --- writing -----------------------------------------------------------------------------------------

    def create(self) -> None:
        request = json.loads(self.body)
        kind, name = request.get("type", "model"), f"{request['organization']}/{request['name']}"
        if not self._may_write():
            return
        if (kind, name) in self.server.repos:
            self._send(409, {"error": "it exists", "url": self.server.url})
            return
        repo = Repo(request.get("visibility", "public") == "private", request.get("sdk"))
        repo.commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        self.server.repos[kind, name] = repo
        self._send(200, {"url": f"{self.server.url}/{name}", "id": name})

    def validate(self) -> None:
        """Check a card's front matter, roughly as the Hub does."""
        _, front, _ = json.loads(self.body)["content"].split("---\n", 2)
        errors = [] if isinstance(yaml.safe_load(front), dict) else [{"message": "not a mapping"}]
        self._send(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, kind: str, name: str, revision: str) -> None:
        if self._may_write() and self._repo(kind, name):
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".flac")) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(self.body)["files"]
            ]
            self._send(200, {"files": files})

    def batch(self, kind: str | None, name: str) -> None:
        if self._may_write() and self._repo(kind, name):
            objects = []
            for blob in json.loads(self.body)["objects"]:
                exists = blob["oid"] in self.server.large
                upload = {"upload": {"href": f"{self.server.url}/large/{blob['oid']}"}}
                objects.append(blob | ({} if exists else {"actions": upload}))
            self._send(200, {"transfer": "basic", "objects": objects})

    def put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() == oid:
            self.server.large[oid] = self.body
            self._send(200, {})
        else:
            self._send(400, {"error": "wrong hash"})

    def commit(self, kind: str, name: str, revision: str) -> None:
        if not self._may_write() or (repo := self._repo(kind, name)) is None:
            return
        files = dict(repo.files)
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        commit = repo.commit(files)
        self._send(200, {"commitOid": commit, "commitUrl": f"{self.server.url}/{name}/commit/{commit}"})

    # --- both --------------------------------------------------------------------------------------------

    def _repo(self, kind: str | None, name: str) -> Repo | None:
        """The repository, or None after an error answer. Without the token a private one looks like a missing one."""
        repo = self.server.repos.get(((kind or "model").removesuffix("s"), name))
        if repo is None or (repo.private and not self._has_token()):
            self._send(401 if repo else 404, {}, {"X-Error-Code": "RepoNotFound"})
            return None
        return repo

    def _may_write(self) -> bool:
        if not self._has_token():
            self._send(403, {"error": "no write access"})
        return self._has_token()

    def _has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _send(self, status: int, answer: dict | bytes, headers: dict[str, str] | None = None) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_API = rf"/api/(?P<kind>models|spaces)/{_NAME}"
_ROUTES = [
    (rf"/(?:(?P<kind>spaces)/)?{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.file),
    (_API, _Handler.info),
    (rf"{_API}/revision/(?P<revision>[^/]+)", _Handler.info),
    (rf"{_API}/tree/(?P<revision>[^/]+)", _Handler.tree),
    (r"/api/repos/create", _Handler.create),
    (r"/api/validate-yaml", _Handler.validate),
    (rf"{_API}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    (rf"/(?:(?P<kind>spaces)/)?{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"/large/(?P<oid>[0-9a-f]{64})", _Handler.put),
    (rf"{_API}/commit/(?P<revision>[^/]+)", _Handler.commit),
]
