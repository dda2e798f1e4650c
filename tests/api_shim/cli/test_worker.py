"""``signoff worker``: what it becomes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from api_shim.names import FIRST
from api_shim.worker.process import Way, WorkerOptions
from tests.api_shim.cli.conftest import Run


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What takes the place of this process."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, command: commands.append(command))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    return commands


def test_it_becomes_a_worker_for_all_of_the_pool(signoff: Run, home: Path, became: list[list[str]]) -> None:
    signoff("worker")
    ((*command, told),) = became
    assert command == [sys.executable, "-P", "-m", "api_shim.worker"]
    options = WorkerOptions.from_json(told)
    assert (options.pool, options.queues, options.limit, options.way) == ("signoff", (), 0, Way.WARM)
    assert (options.home, options.modules, options.attached) == (str(home), ("flows.examples",), False)


def test_it_is_told_what_to_serve_and_how(signoff: Run, became: list[list[str]]) -> None:
    signoff("worker", "--pool", "other", "--queue", "bulk", "--queue", "slow", "--limit", "3", "--way", "process")
    options = WorkerOptions.from_json(became[0][-1])
    assert (options.pool, options.queues, options.limit, options.way) == ("other", ("bulk", "slow"), 3, Way.PROCESS)


def test_jobs_beside_the_start_are_found_by_the_runs(
    signoff: Run, became: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    signoff("worker")
    assert became
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(FIRST), str(tmp_path), "/elsewhere"]


def test_without_an_address_it_says_what_is_missing(signoff: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    printed = signoff("worker")
    assert printed.status == 1
    assert printed.err == "error: Set PREFECT_API_URL to where Prefect's API is, like http://127.0.0.1:4200/api.\n"
