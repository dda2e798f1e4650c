"""The process of a worker: what it is told, what it forgets, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api_shim.worker.process import Way, WorkerOptions, _listening, _stop
from tests.live import PATIENCE

OPTIONS = WorkerOptions(
    pool="signoff", name="warm", modules=("jobs", "more"), home="/nowhere", queues=("bulk",), limit=3, way=Way.PROCESS
)

# What a worker does once it is made, in place of which it says what it was given.
SCRIPT = """
import asyncio, ctypes, os, sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

ways = ModuleType("api_shim.worker.prefect_ways")
sys.modules[ways.__name__] = ways

async def make_worker(options, folder, listener, user):
    async def start(**_how):
        own = os.environ.get("PREFECT_HOME", "").startswith(folder)
        # That nobody of its user may read what it has in its memory, which the system tells by this number.
        assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0
        print(options.name, bool(listener), own, *sorted(secrets()), folder, flush=True)
        await asyncio.sleep(60)
    return SimpleNamespace(start=start)

def secrets():
    return {name for name in os.environ if "AUTH_STRING" in name or "DATABASE" in name or "SIGNOFF" in name}

ways.make_worker, ways.forgetting = make_worker, nullcontext
from api_shim.worker.process import WorkerOptions, run
run(WorkerOptions.from_json(sys.argv[1]))
"""


def test_options_survive_being_an_argument_and_the_home_folder_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", "/nowhere")
    assert WorkerOptions.from_json(OPTIONS.to_json()) == OPTIONS
    assert "nowhere" not in OPTIONS.to_json()


def begun(home: Path, *, attached: bool) -> tuple[subprocess.Popen[bytes], list[str]]:
    options = WorkerOptions(pool="signoff", name="warm", modules=(), home=str(home), attached=attached)
    secrets = {
        "PREFECT_SERVER_API_AUTH_STRING": "prefect:secret",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql://secret",
        "SIGNOFF_DATABASE_URL": "postgresql://secret",
        "PREFECT_API_AUTH_STRING": "worker:key",
        "PREFECT_HOME": str(home / "prefect"),
        "SIGNOFF_HOME": str(home),
    }
    command = [sys.executable, "-c", SCRIPT, options.to_json()]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **secrets}, cwd=Path.cwd()
    )
    assert process.stdout is not None
    return process, process.stdout.readline().decode().split()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "its standard input ends"])
def test_it_works_without_the_servers_secrets_and_leaves_nothing_when_it_is_stopped(tmp_path: Path, how: str) -> None:
    process, said = begun(tmp_path, attached=True)
    assert said[:4] == ["warm", "True", "True", "PREFECT_API_AUTH_STRING"]
    assert process.stdin is not None
    if how.startswith("SIG"):
        process.send_signal(signal.Signals[how])
    else:
        process.stdin.close()
    with process:
        assert process.wait(PATIENCE) == 0
    assert not Path(said[-1]).exists()
    assert [*(tmp_path / "wake").iterdir()] == []


def test_one_that_cannot_run_jobs_as_it_should_says_so_and_ends(tmp_path: Path) -> None:
    options = WorkerOptions(pool="signoff", name="warm", modules=(), home="", jobs_user="no-such-user")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, options.to_json()], capture_output=True, text=True, cwd=Path.cwd(), check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ERROR: SIGNOFF_JOBS_USER: this machine has no user 'no-such-user'.\n"
    assert [*tmp_path.iterdir()] == []


def test_one_that_belongs_to_nobody_goes_on_without_standard_input(tmp_path: Path) -> None:
    process, _ = begun(tmp_path, attached=False)
    assert process.stdin is not None
    process.stdin.close()
    with process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()


def test_who_stops_it_twice_does_not_want_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)

    async def stop_twice() -> None:
        working = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        _stop(working)  # type: ignore[arg-type]  # what it returns does not matter
        assert ended == []
        _stop(working)  # type: ignore[arg-type]

    asyncio.run(stop_twice())
    assert ended == [1]


def test_where_it_cannot_listen_it_says_so_and_works(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "signoff")
    with _listening(OPTIONS) as listener:
        assert listener is None
    assert "This worker cannot be woken (No such file or directory)" in caplog.text


def test_nothing_of_prefect_is_imported_before_the_environment_is_clean() -> None:
    code = "import sys, api_shim.worker.process; print('prefect' in sys.modules)"
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
