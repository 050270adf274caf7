"""A stand-in for the hub: what huggingface_hub needs to create, upload to and download from a repository."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_toy"
LARGE = ".safetensors"  # goes up by git's large file storage


class Hub(ThreadingHTTPServer):
    """commits: USER/NAME -> the files of each commit by name, the latest last. asked: method and path of requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []

    def files(self, name: str, revision: str = "main") -> dict[str, bytes] | None:
        """The files at a revision: main, or the number of a commit as 40 digits."""
        commits = self.commits.get(name, [])
        number = len(commits) - 1 if revision == "main" else int(revision) if revision.isdigit() else -1
        return commits[number] if 0 <= number < len(commits) else None

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take this for the hub."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._get()

    def do_GET(self) -> None:
        self._get()

    def _get(self) -> None:
        parts = self._parts()
        if parts[:2] == ["api", "models"]:
            name, revision = "/".join(parts[2:4]), parts[5] if parts[4:5] in (["revision"], ["tree"]) else "main"
            self._info(name, revision, tree=parts[4:5] == ["tree"])
        elif len(parts) < 5:
            self._missing("EntryNotFound")
        else:  # USER/NAME/resolve/REVISION/FILE
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def _info(self, name: str, revision: str, tree: bool) -> None:
        files = self.server.files(name, revision)
        if files is None:
            return self._missing("RevisionNotFound" if name in self.server.commits else "RepoNotFound")
        if tree:
            return self._json([{"type": "file", "path": key, "size": len(files[key]), "oid": "0"} for key in files])
        siblings = [{"rfilename": key} for key in files]
        self._json({"id": name, "modelId": name, "sha": self._sha(name, revision), "siblings": siblings, "tags": []})

    def _file(self, name: str, revision: str, file: str) -> None:
        files = self.server.files(name, revision)
        if files is None or file not in files:
            return self._missing("EntryNotFound" if files else "RepoNotFound")
        tag = hashlib.sha256(files[file]).hexdigest()
        self._send(200, files[file], {"X-Repo-Commit": self._sha(name, revision), "ETag": f'"{tag}"'})

    def do_POST(self) -> None:
        body = self._body()
        parts = self._parts()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, b'{"error": "Invalid username or password."}')
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.commits.setdefault(name, [{}])
            private = asked.get("private") or asked.get("visibility") == "private"
            self.server.private.setdefault(name, bool(private))
            self._json({"url": f"{self.server.url}/{name}"})
        elif parts[-3:] == ["lfs", "objects", "batch"]:
            href = {"href": f"{self.server.url}/large/"}
            objects = json.loads(body)["objects"]
            self._json(
                {"objects": [one | {"actions": {"upload": {"href": href["href"] + one["oid"]}}} for one in objects]}
            )
        elif parts == ["api", "validate-yaml"]:  # of the card
            self._json({"errors": [], "warnings": []})
        elif parts[4] == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in files}
            self._json({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]})
        else:
            self._commit("/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()])

    def _commit(self, name: str, lines: list[dict]) -> None:
        files = dict(self.server.commits[name][-1])
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        self.server.commits[name].append(files)
        sha = self._sha(name, "main")
        self._json({"commitUrl": f"{self.server.url}/{name}/commit/{sha}", "commitOid": sha})

    def do_PUT(self) -> None:
        self.server.large[self._parts()[-1]] = self._body()
        self._send(200, b"")

    def _parts(self) -> list[str]:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        return path.strip("/").split("/")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _sha(self, name: str, revision: str) -> str:
        return f"{len(self.server.commits[name]) - 1:040d}" if revision == "main" else revision

    def _missing(self, code: str) -> None:
        self._send(404, b'{"error": "not found"}', {"X-Error-Code": code})

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def hub() -> Iterator[Hub]:
    """A running stand-in."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
