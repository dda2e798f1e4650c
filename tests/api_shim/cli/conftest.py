"""The command line as a user types it, in this process: what it prints, and its exit status."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api_shim.cli import main


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
def signoff(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a home folder of its own."""
    for name in ("DATABASE_URL", "JOBS", "POOL"):
        monkeypatch.delenv(f"SIGNOFF_{name}", raising=False)
    monkeypatch.setenv("SIGNOFF_HOME", str(home))

    def run(*words: str, stdin: bytes = b"") -> Printed:
        monkeypatch.setattr(sys, "argv", ["signoff", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Printed(int(ended.value.code or 0), printed.out, printed.err)

    return run
