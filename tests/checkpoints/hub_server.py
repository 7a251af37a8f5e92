"""A server on this computer that answers what huggingface_hub asks of the Hub for one file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps

COMMITS = {"main": "1" * 40, "v1.0": "2" * 40, "refs/pr/3": "3" * 40}


@dataclass
class Hub:
    """What it holds, and what it was asked.

    Attributes:
        files: by repository (which has every revision of `COMMITS`), the content by name.
        gated: repositories that only the token `secret` opens.
        asked: method and path of each request, and its headers by their names in small letters.
    """

    files: dict[str, dict[str, bytes]]
    gated: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            hub.asked.append(
                (f"{self.command} {self.path}", {k.lower(): v for k, v in self.headers.items()})
            )
            parts = self.path.replace("refs%2Fpr%2F3", "refs/pr/3").strip("/").split("/")
            listed = parts[:2] == ["api", "models"]
            parts = parts[2:] if listed else parts
            repository, rest = "/".join(parts[:2]), "/".join(parts[3:])
            files = hub.files.get(repository)
            if files is None:
                return self.refuse(401, "RepoNotFound")
            if repository in hub.gated and self.headers["Authorization"] != "Bearer secret":
                return self.refuse(403, "GatedRepo")
            known = [one for one in COMMITS if f"{rest}/".startswith(f"{one}/")]
            if rest and not known:
                return self.refuse(404, "RevisionNotFound")
            commit = COMMITS[known[0] if known else "main"]
            if listed:
                names = [{"rfilename": name} for name in files]
                about = {"id": repository, "sha": commit, "siblings": names}
                return self.send(dumps(about).encode(), commit)
            name = rest.removeprefix(f"{known[0]}/")
            if name not in files:
                return self.refuse(404, "EntryNotFound", commit)
            return self.send(files[name], commit)

        def refuse(self, status: int, code: str, commit: str = "") -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, content: bytes, commit: str) -> None:
            self.send_response(200)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
