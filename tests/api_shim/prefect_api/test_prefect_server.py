"""What Prefect is told before it starts, and how it is reached in this process."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from docket import Docket, Worker
from fastapi import FastAPI, Request
from prefect.server.api import background_workers
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_SERVER_DOCKET_URL, temporary_settings
from starlette.types import ASGIApp

from api_shim.names import FIRST
from api_shim.prefect_api.prefect_server import (
    connect,
    create_prefect_app,
    create_prefect_pages,
    database_url,
    is_on_sqlite,
    misfit,
    responsive,
    running,
    set_environment,
    take_over_soon,
)
from approval_gate.errors import Invalid, Unavailable
from tests.live import eventually


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment and a search path that are put back."""
    before = dict(os.environ)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield monkeypatch
    os.environ.clear()
    os.environ.update(before)


def tell_prefect(home: Path, origin: str = "http://127.0.0.1:4200") -> None:
    set_environment(
        home=home,
        origin=origin,
        public="https://signoff.example",
        internal="prefect:random",
        worker="signoff-worker:key",
    )


def test_prefect_is_told_where_everything_is_and_who_it_is(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tell_prefect(tmp_path, "http://[::1]:4300")
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert os.environ["PREFECT_API_URL"] == "http://[::1]:4300/api"
    assert os.environ["PREFECT_UI_URL"] == "https://signoff.example/v2"
    assert os.environ["PREFECT_API_AUTH_STRING"] == "signoff-worker:key"
    assert os.environ["PREFECT_SERVER_API_AUTH_STRING"] == "prefect:random"
    # Pages are reached under other names too, so they are told a path.
    assert os.environ["PREFECT_SERVER_UI_API_URL"] == "/api"


def test_a_users_profile_and_key_of_another_prefect_do_not_reach_ours(
    surroundings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PREFECT_PROFILE", "PREFECT_API_KEY"):
        surroundings.setenv(name, "another's")
    surroundings.setenv("PREFECT_API_URL", "https://another.example/api")
    tell_prefect(tmp_path)
    assert "another" not in str({name: value for name, value in os.environ.items() if name.startswith("PREFECT_")})


def test_a_server_without_services_takes_none_of_their_work_and_has_no_account(
    surroundings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    surroundings.setenv("PREFECT_SERVER_DOCKET_NAME", "mine")
    surroundings.delenv("PREFECT_API_AUTH_STRING", raising=False)
    set_environment(home=tmp_path, origin="http://a", public="http://a", internal="prefect:random", services=False)
    assert os.environ["PREFECT__SERVER_WEBSERVER_ONLY"] == "1"
    assert os.environ["PREFECT_SERVER_DOCKET_NAME"] == "mine-web"
    assert "PREFECT_API_AUTH_STRING" not in os.environ


def test_messages_and_background_work_are_what_a_user_says(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = {
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_SERVER_DOCKET_URL": "redis://somewhere/1",
        "PREFECT_REDIS_MESSAGING_URL": "redis://somewhere/0",
    }
    for name, value in told.items():
        surroundings.setenv(name, value)
    tell_prefect(tmp_path)
    assert {name: os.environ[name] for name in told} == told


@pytest.mark.parametrize(
    ("docket", "seconds"),
    [pytest.param("redis://somewhere/1", 10, id="shared"), pytest.param("memory://", 300, id="of one process")],
)
def test_background_work_of_a_process_that_was_killed_is_taken_over_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, docket: str, seconds: int
) -> None:
    monkeypatch.setattr(background_workers, "Worker", Worker)
    with temporary_settings(updates={PREFECT_SERVER_DOCKET_URL: docket}):
        take_over_soon()
    assert background_workers.Worker(Docket()).redelivery_timeout == timedelta(seconds=seconds)


def test_what_a_user_sets_otherwise_stays(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    surroundings.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    surroundings.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://somewhere/prefect")
    tell_prefect(tmp_path)
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://somewhere/prefect"


def test_jobs_beside_the_start_are_found_here_and_by_the_runs(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    surroundings.chdir(tmp_path)
    surroundings.setenv("PYTHONPATH", "/elsewhere")
    tell_prefect(tmp_path)
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(FIRST), str(tmp_path), "/elsewhere"]
    assert sys.path[0] == str(tmp_path)


@pytest.mark.parametrize("create", [create_prefect_app, create_prefect_pages])
def test_a_prefect_that_cannot_be_imported_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, create: Callable[[], ASGIApp]
) -> None:
    monkeypatch.setitem(sys.modules, "prefect.server.api.server", None)
    with pytest.raises(
        Unavailable, match=r"^The installed versions do not work together: Prefect's (server|UI) cannot"
    ):
        create()


def test_a_misfit_names_what_is_installed() -> None:
    assert all(f"{name} " in misfit("it is odd") for name in ("prefect", "fastapi", "sqlalchemy"))


def test_the_inner_client_signs_in_and_is_told_of_failures_as_answers() -> None:
    app = FastAPI()

    @app.get("/api/who")
    def who(request: Request) -> str | None:
        return request.headers.get("authorization")

    @app.get("/api/fail")
    def fail() -> None:
        raise RuntimeError("broken")

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        async with running(app), connect(app, "prefect:random") as client:
            return await client.get("/who"), await client.get("/fail")

    who_answer, failure = asyncio.run(ask())
    assert who_answer.json() == "Basic cHJlZmVjdDpyYW5kb20="
    assert failure.status_code == 500


@pytest.mark.filterwarnings("error")
def test_a_call_that_nobody_waits_for_any_more_goes_on_to_its_end_before_the_client_closes() -> None:
    app = FastAPI()
    ended = []

    @app.post("/api/slow")
    async def slow() -> None:
        await asyncio.sleep(0.3)
        ended.append(True)

    async def give_up() -> None:
        async with running(app), connect(app, "prefect:random") as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.post("/slow"), 0.05)
            assert not ended

    asyncio.run(give_up())
    assert ended


def test_threads_change_over_soon_where_people_are_answered() -> None:
    before = sys.getswitchinterval()
    with responsive():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before


def test_garbage_is_collected_in_a_thread_of_its_own() -> None:
    collected_by = []

    class Knot:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            collected_by.append(threading.current_thread().name)

    with responsive():
        assert not gc.isenabled()
        Knot()
        eventually(lambda: collected_by)
    assert collected_by == ["signoff-garbage"]
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("url", "is_so"),
    [
        (None, True),
        ("sqlite+aiosqlite:////somewhere/prefect.db", True),
        ("postgresql+asyncpg://somewhere/prefect", False),
    ],
)
def test_the_database_of_prefect_is_known(url: str | None, is_so: bool) -> None:
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}):
        assert is_on_sqlite() is is_so


@pytest.mark.parametrize(("server", "client"), [(None, "false"), ("true", "true")])
def test_clients_ask_for_a_token_only_where_the_server_wants_one(
    surroundings: pytest.MonkeyPatch, tmp_path: Path, server: str | None, client: str
) -> None:
    if server is not None:
        surroundings.setenv("PREFECT_SERVER_CSRF_PROTECTION_ENABLED", server)
    tell_prefect(tmp_path)
    assert os.environ["PREFECT_CLIENT_CSRF_SUPPORT_ENABLED"] == client


PARTS = {"DRIVER": "postgresql+asyncpg", "HOST": "db", "USER": "me", "NAME": "prefect", "PASSWORD": "secret"}


@pytest.mark.parametrize(
    ("told", "url"),
    [
        pytest.param({}, "sqlite+aiosqlite:////home/prefect/prefect.db", id="nowhere else"),
        pytest.param({"PREFECT_HOME": "/other"}, "sqlite+aiosqlite:////home/prefect/prefect.db", id="as in our server"),
        pytest.param(
            {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://db/prefect"},
            "postgresql+asyncpg://db/prefect",
            id="by its address",
        ),
        pytest.param(
            {"PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://db/prefect"},
            "postgresql+asyncpg://db/prefect",
            id="by its address, as it was called before",
        ),
        pytest.param(
            {f"PREFECT_SERVER_DATABASE_{name}": value for name, value in PARTS.items()},
            "postgresql+asyncpg://me:secret@db:5432/prefect",
            id="by its parts",
        ),
    ],
)
def test_prefects_database_is_where_its_settings_say_else_in_the_home(
    surroundings: pytest.MonkeyPatch, told: dict[str, str], url: str
) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        surroundings.delenv(name)
    for name, value in told.items():
        surroundings.setenv(name, value)
    before = dict(os.environ)
    assert database_url(Path("/home")) == url
    assert dict(os.environ) == before


def test_settings_of_prefects_that_cannot_be_are_refused_and_not_repeated(surroundings: pytest.MonkeyPatch) -> None:
    for name in ("DRIVER", "PASSWORD"):
        surroundings.setenv(f"PREFECT_SERVER_DATABASE_{name}", PARTS[name])
    with pytest.raises(Invalid, match=r"Prefect's settings cannot be read: .*host, user, name") as refused:
        database_url(Path("/home"))
    assert "secret" not in str(refused.value)
