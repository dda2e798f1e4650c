"""The way that a worker takes to start runs, and what it says where it cannot take the one that was asked for."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    get_current_settings,
    temporary_settings,
)
from prefect.workers.base import BaseWorker

from api_shim.worker import prefect_starter, prefect_ways
from api_shim.worker.fork_server import ForkFailed, ForkServers
from api_shim.worker.jobs_user import JobsUser
from api_shim.worker.prefect_keyed import KeyedWorker, TakesRuns
from api_shim.worker.prefect_ways import certificates, forgetting, make_worker, name_of
from api_shim.worker.prefect_worker import WarmWorker
from api_shim.worker.process import Way, WorkerOptions
from approval_gate.errors import Unavailable

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Prefect that answers, a work pool of processes, and fork servers that are ready without a process."""

    async def at_once(*_: Any) -> None:
        return

    monkeypatch.setattr(prefect_ways, "_answering", at_once)
    monkeypatch.setattr(prefect_ways, "get_client", lambda: Pools("process"))
    monkeypatch.setattr(ForkServers, "ready", at_once)
    quiet = logging.getLogger(prefect_ways.QUIET)
    level = quiet.level
    yield
    quiet.setLevel(level)


class Pools:
    """Prefect, which is asked of a work pool.

    Args:
        answer: its type, or why it cannot be told.
    """

    def __init__(self, answer: str | Exception) -> None:
        self._answer = answer

    async def __aenter__(self) -> Pools:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def read_work_pool(self, _name: str) -> SimpleNamespace:
        if isinstance(self._answer, Exception):
            raise self._answer
        return SimpleNamespace(type=self._answer)


def options(**more: Any) -> WorkerOptions:
    return WorkerOptions(pool="signoff", name="warm", modules=("jobs",), home="/nowhere", **more)


async def test_the_warm_way_has_a_limit_that_fits_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_ways, "limit_here", lambda: 12)
    assert isinstance(worker := await make_worker(options(), str(tmp_path), None, None), WarmWorker)
    assert worker._limit == 12
    assert (await make_worker(options(limit=3, queues=("bulk",)), str(tmp_path), None, None))._limit == 3


async def test_the_process_way_is_prefects_worker(tmp_path: Path) -> None:
    worker = await make_worker(options(way=Way.PROCESS, queues=("bulk",)), str(tmp_path), None, None)
    assert type(worker) is KeyedWorker
    assert (worker._limit, worker._work_queues) == (None, {"bulk"})


def no_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")


def no_private_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "api_shim.worker.prefect_starter", ModuleType("prefect_starter"))


def another_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_starter, "misfit", lambda: "Prefect's x takes no y")


def no_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: ForkServers) -> None:
        raise ForkFailed("It ended at once.")

    monkeypatch.setattr(ForkServers, "ready", fail)


@pytest.mark.parametrize(
    ("lacking", "why"),
    [
        (no_linux, "processes are not forked safely on darwin"),
        (no_private_interface, "this version of Prefect has it otherwise (cannot import name 'misfit'"),
        (another_interface, "Prefect's x takes no y"),
        (no_fork_server, "It ended at once"),
    ],
)
async def test_where_it_cannot_fork_it_is_prefects_process_worker_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lacking: Any, why: str
) -> None:
    lacking(monkeypatch)
    assert type(await make_worker(options(), str(tmp_path), None, None)) is KeyedWorker
    assert f"Each run gets a process from nothing, by Prefect's process worker: {why}" in caplog.text


@pytest.mark.parametrize("way", [*Way])
async def test_where_jobs_run_as_another_user_each_way_forks_and_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    user = JobsUser(name="nobody", uid=65534, gid=65534, groups=(65534,), home="/nonexistent")
    worker = await make_worker(options(way=way), str(tmp_path), None, user)
    assert isinstance(worker, WarmWorker)
    assert worker._anew is (way is Way.PROCESS)
    assert worker._servers.environment["USER"] == "nobody"
    no_fork_server(monkeypatch)
    with pytest.raises(Unavailable, match=r"^No run can be started as nobody: It ended at once\.$"):
        await make_worker(options(way=way), str(tmp_path), None, user)


class Elsewhere(BaseWorker[Any, Any, Any]):
    """Prefect's worker for another type."""

    type = "elsewhere"

    async def run(self, *_: Any, **__: Any) -> Any:
        """Start nothing."""


async def test_a_pool_of_another_type_is_served_by_prefects_worker_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_ways, "get_client", lambda: Pools("elsewhere"))
    worker = await make_worker(options(queues=("bulk",), limit=3), str(tmp_path), None, None)
    assert isinstance(worker, Elsewhere)
    assert isinstance(worker, TakesRuns)
    assert (worker._work_pool_name, worker._limit, worker._work_queues) == ("signoff", 3, {"bulk"})
    user = JobsUser(name="nobody", uid=65534, gid=65534, groups=(65534,), home="/nonexistent")
    with pytest.raises(Unavailable, match=r"^No run can be started as nobody: signoff is of the type elsewhere\.$"):
        await make_worker(options(), str(tmp_path), None, user)
    # That of a server is there before Prefect can be asked.
    assert isinstance(await make_worker(options(attached=True), str(tmp_path), None, None), WarmWorker)


REFUSED = httpx.Response(403, json={"detail": "Not yours."}, request=httpx.Request("GET", "http://prefect"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param("nowhere", "signoff is of the type nowhere, for which Prefect has no worker here", id="no worker"),
        pytest.param(
            httpx.HTTPStatusError("403", request=REFUSED.request, response=REFUSED),
            "signoff cannot be read: Not yours.",
            id="no account for it",
        ),
        pytest.param(httpx.ConnectError("refused"), "signoff cannot be read: refused", id="no answer"),
    ],
)
async def test_a_pool_that_cannot_be_served_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, told: str
) -> None:
    monkeypatch.setattr(prefect_ways, "get_client", lambda: Pools(answer))
    with pytest.raises(Unavailable, match=f"^The work pool {told}"):
        await make_worker(options(), str(tmp_path), None, None)


async def test_a_pool_that_is_not_there_is_made_by_prefects_worker_if_its_account_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_ways, "get_client", lambda: Pools(ObjectNotFound(Exception())))
    assert isinstance(await make_worker(options(), str(tmp_path), None, None), WarmWorker)


def test_what_prefect_has_read_from_a_file_about_its_server_is_not_for_runs() -> None:
    def known() -> str:
        return str(get_current_settings().to_environment_variables(exclude_unset=True))

    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: "postgresql+asyncpg://u:hunter2@db/p"}):
        assert "hunter2" in known()
        with forgetting():
            assert "hunter2" not in known()


class Workers:
    """Prefect, which knows some workers."""

    def __init__(self, *names: str, silent: float) -> None:
        self.names = [*names]
        self._heartbeat = datetime.now(UTC) - timedelta(seconds=silent)

    async def read_workers_for_work_pool(self, _pool: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name, last_heartbeat_time=self._heartbeat) for name in self.names]

    async def request(self, _method: str, _path: str, path_params: dict[str, str]) -> None:
        self.names.remove(path_params["name"])


async def test_workers_that_have_ended_are_removed_and_no_others() -> None:
    here, process = socket.gethostname(), await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    ended, own = f"{here}:{process.pid}", f"{here}:{os.getpid()}"
    stay = [f"warm a1 {own}", f"other a1 {ended}", f"warm a1 elsewhere:{process.pid}", "ProcessWorker 1"]
    workers = Workers(*stay, f"warm a1 {ended}", f"warm {ended}", silent=61)
    await prefect_ways._forget_predecessors(cast(Any, workers), options())
    assert workers.names == stay
    # One of another container may have the number of a process that is none here.
    workers = Workers(f"warm a1 {ended}", silent=10)
    await prefect_ways._forget_predecessors(cast(Any, workers), options())
    assert workers.names == [f"warm a1 {ended}"]


def test_the_name_of_a_worker_ends_with_its_process_and_is_no_other_workers() -> None:
    names = {name_of(options()) for _ in range(2)}
    assert len(names) == 2
    assert {name.rpartition(" ")[2] for name in names} == {f"{socket.gethostname()}:{os.getpid()}"}


@pytest.mark.parametrize(("url", "one"), [("http://127.0.0.1:4200/api", True), ("https://prefect.test/api", False)])
def test_children_read_one_certificate_where_the_server_has_none(tmp_path: Path, url: str, one: bool) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        file = certificates(str(tmp_path))
    assert (file is not None) is one
    if file:
        assert len(ssl.create_default_context(cafile=file).get_ca_certs()) == 1
