"""The command line as a user types it, in this process: what it prints, and its exit status."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from api_shim.cli import main
from tests.databases import sqlite_with_tables

TOKEN = "0123456789abcdef0123"


@dataclass(frozen=True)
class Printed:
    """What a command did.

    Args:
        status: its exit status.
        out: what it printed.
        err: what it printed on standard error.
    """

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one sentence with which it failed."""
        assert self.status == 1, self
        assert self.out == ""
        sentence = self.err.removeprefix("error: ")
        assert self.err.startswith("error: ")
        assert sentence.endswith(".\n")
        assert "\n" not in sentence[:-1]
        return sentence[:-1]


Run = Callable[..., Printed]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def tables(home: Path) -> None:
    """Make the home folder as a first start leaves it: with the tables, and nobody in them."""
    home.mkdir(mode=0o700)
    sqlite_with_tables(home / "signoff.db")


@pytest.fixture
def signoff(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a home folder of its own."""
    for name in ("DATABASE_URL", "JOBS", "POOL"):
        monkeypatch.delenv(f"SIGNOFF_{name}", raising=False)
    monkeypatch.setenv("SIGNOFF_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent / "config"))

    def run(*words: str, stdin: bytes = b"") -> Printed:
        monkeypatch.setattr(sys, "argv", ["signoff", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Printed(int(ended.value.code or 0), printed.out, printed.err)

    return run


@dataclass
class Told:
    """A server on a port of this machine.

    Args:
        url: where it is.
        status: of its next answers.
        body: of its next answers.
        bodies: of the answers before those.
        asked: method, path and body of what it was asked.
        tokens: what it was asked with.
    """

    url: str = ""
    status: int = 200
    body: Any = None
    bodies: list[Any] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


def _read(sent: bytes) -> Any:
    """Return what was sent: JSON, or the text of a form."""
    try:
        return json.loads(sent or b"null")
    except ValueError:
        return sent.decode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """A server that gives the answer it is told; the commands find it, and a token, in the environment."""
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.asked.append((self.command, self.path, _read(sent)))
            told.tokens.append(self.headers["Authorization"])
            self.send_response(told.status)
            self.end_headers()
            self.wfile.write(json.dumps(told.bodies.pop(0) if told.bodies else told.body).encode())

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - as the library calls them

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{listening.server_port}"
    monkeypatch.setenv("SIGNOFF_URL", told.url)
    monkeypatch.setenv("SIGNOFF_TOKEN", TOKEN)
    thread = Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield told
    listening.shutdown()
    thread.join()
    listening.server_close()
