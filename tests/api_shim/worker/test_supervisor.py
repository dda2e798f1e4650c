"""A worker that ends by itself is started again."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from api_shim.settings import private_files
from api_shim.worker import supervisor
from api_shim.worker.process import WorkerOptions
from api_shim.worker.supervisor import WorkerProcess
from tests.live import eventually

NOTE = "import os, sys; open({log!r}, 'a').write(f'{{os.getpid()}}\\n');"


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], WorkerProcess]:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.05)

    def made(does: str) -> WorkerProcess:
        options = WorkerOptions(pool="signoff", name="warm", modules=(), home=str(tmp_path))
        return WorkerProcess(options, (sys.executable, "-c", NOTE.format(log=str(tmp_path / "pids")) + does))

    return made


def pids(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "pids").read_text().split()] if (folder / "pids").exists() else []


def test_a_worker_that_is_killed_is_told_and_started_again(
    worker: Callable[[str], WorkerProcess], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "signoff")
    one = worker("import time; time.sleep(60)")
    one.start()
    (first,) = eventually(lambda: pids(tmp_path))
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(pids(tmp_path)) == 2)
    assert "The worker has ended (status -9) and is started again in 0.05 s." in caplog.text
    one.stop()
    assert len(pids(tmp_path)) == 2


def test_one_that_ends_again_and_again_is_started_ever_more_rarely(
    worker: Callable[[str], WorkerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    one = worker("sys.exit(3)")
    one.start()
    eventually(lambda: caplog.text.count("(status 3)") >= 3)
    one.stop()
    assert [f"again in {pause} s" in caplog.text for pause in ("0.05", "0.1", "0.2")] == [True] * 3


def test_one_that_does_not_stop_is_killed(
    worker: Callable[[str], WorkerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOPS_WITHIN", 0.5)
    one = worker(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(os.devnull); "
        f"open({str(tmp_path / 'deaf')!r}, 'w'); time.sleep(60)"
    )
    one.start()
    eventually((tmp_path / "deaf").exists)
    begun = time.monotonic()
    one.stop()
    assert time.monotonic() - begun < 5
    (pid,) = pids(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_does_not_have_what_only_the_server_may_know(
    worker: Callable[[str], WorkerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "prefect:secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    out = tmp_path / "environment"
    one = worker(f"open({str(out)!r}, 'w').write(' '.join(os.environ) + ' .'); import time; time.sleep(60)")
    one.start()
    eventually(lambda: out.exists() and out.read_text().endswith("."))
    one.stop()
    assert not {*out.read_text().split()} & {"PREFECT_SERVER_API_AUTH_STRING", "PGPASSWORD"}
    assert str(tmp_path) not in "".join(one._command[1:]).replace(str(out), "").replace(str(tmp_path / "pids"), "")


def test_it_has_the_umask_that_the_server_was_started_with(tmp_path: Path) -> None:
    out = tmp_path / "umask"
    options = WorkerOptions(pool="signoff", name="warm", modules=(), home=str(tmp_path))
    does = f"import os, time; open({str(out)!r}, 'w').write(f'{{os.umask(0):o}} .'); time.sleep(60)"
    with private_files():
        one = WorkerProcess(options, (sys.executable, "-c", does), umask=0o027)
        one.start()
        eventually(lambda: out.exists() and out.read_text().endswith("."))
    one.stop()
    assert out.read_text() == "27 ."


def test_one_that_never_started_can_be_stopped(worker: Callable[[str], WorkerProcess], tmp_path: Path) -> None:
    worker("pass").stop()
    assert pids(tmp_path) == []
