"""How a command waits: how it tells the end, what shows at a terminal, and how it is left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from api_shim.cli.waiting import outcome
from api_shim.schemas import JobResult
from tests.api_shim import said
from tests.api_shim.cli.conftest import TOKEN, Told
from tests.live import PATIENCE, environment, eventually


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (said.result("SUCCESS"), "Back up: SUCCESS"),
        (said.result("SUCCESS", result="ü"), 'Back up: SUCCESS\n"ü"'),
        (said.result("FAILURE", traceback="Traceback:\n  broken\n"), "Back up: FAILURE\nTraceback:\n  broken"),
    ],
    ids=["nothing came of it", "something", "a failure"],
)
def test_the_end_is_told(row: dict[str, object], text: str) -> None:
    assert outcome(JobResult.model_validate(row)) == text


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Let the programs that a test starts heed Ctrl-C, even where the tests themselves run in the background.

    A shell has what it starts in the background ignore SIGINT, and what that starts inherits it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def waiting(server: Told, *words: str, err: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "api_shim.cli", "result", *words, said.result()["id"]]
    env = environment(SIGNOFF_URL=server.url, SIGNOFF_TOKEN=TOKEN)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, env=env)


def test_at_a_terminal_it_shows_that_it_waits(server: Told) -> None:
    server.body = said.result("STARTED")
    ours, theirs = pty.openpty()
    process = waiting(server, "wait", err=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):
        while b"STARTED" not in shown:
            shown += os.read(ours, 1000)
    server.body = said.result("SUCCESS")
    out, _ = process.communicate(timeout=PATIENCE)
    os.close(ours)
    assert (process.returncode, out) == (0, b"Back up: SUCCESS\n")
    assert b"Back up: STARTED" in shown


@pytest.mark.parametrize("words", [("wait",), ("logs", "-f")], ids=" ".join)
@pytest.mark.usefixtures("heeds_interrupts")
def test_it_can_be_left_quietly(server: Told, words: tuple[str, ...]) -> None:
    server.body = said.result("STARTED")
    process = waiting(server, *words, err=subprocess.PIPE)
    if words == ("logs", "-f"):
        server.body, server.bodies = [], [said.result("STARTED")]
    eventually(lambda: server.asked)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, b"", b"")
