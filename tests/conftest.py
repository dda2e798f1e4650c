"""What the tests share: stores on both databases, a clock that is set, and one real server for the session."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from api_shim.store import Store
from tests.api_shim.plant import Plants
from tests.factories import NOW
from tests.live import Live, free_port, start

POSTGRES_HOMES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt/postgresql")


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: datetime = field(default=NOW)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lacking(what: str, why: str) -> NoReturn:
    """Skip, for want of something; fail where SIGNOFF_TEST_REQUIRE names it, as it does in CI."""
    if what in os.environ.get("SIGNOFF_TEST_REQUIRE", "").split(","):
        pytest.fail(f"This must run here: {why}")
    pytest.skip(why)


# Databases


def _postgresql_programs() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    found = sorted(path for home in POSTGRES_HOMES for path in Path(home).glob("**/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database: one that is given, or one that is started here."""
    given = os.environ.get("SIGNOFF_TEST_POSTGRESQL_URL")
    if given:
        yield given.rsplit("/", 1)[0]
        return
    programs = _postgresql_programs()
    if programs is None:
        lacking("postgresql", "no PostgreSQL here; install it, or set SIGNOFF_TEST_POSTGRESQL_URL")
    with tempfile.TemporaryDirectory(prefix="signoff-pg-") as folder:
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        is_root = os.geteuid() == 0
        if is_root:
            shutil.chown(folder, "postgres")
        data, port = f"{folder}/data", free_port()

        def run(*command: str) -> None:
            whose: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if is_root else {}
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **whose)

        run(str(programs / "initdb"), "-D", data, "-U", "signoff", "--auth=trust", "-E", "UTF8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://signoff@127.0.0.1:{port}"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")


@contextmanager
def new_database(postgresql_server: str) -> Iterator[str]:
    """Make an empty database for a while, and give its URL."""
    name = f"signoff_{uuid4().hex}"
    admin = create_engine(f"{postgresql_server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{postgresql_server}/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    with new_database(postgresql_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, once on each kind of database."""
    yield from _opened(store_url)


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store on SQLite, where the database makes no difference."""
    yield from _opened(f"sqlite:///{tmp_path / 'store.db'}")


def _opened(url: str) -> Iterator[Store]:
    opened = Store(url)
    opened.migrate()
    yield opened
    opened.close()


# The real thing


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One real ``signoff up`` for all acceptance tests, with the Jobs of ``tests/acceptance/jobs_for_tests.py``."""
    server = start(tmp_path_factory.mktemp("home"), free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session", name="free_port")
def free_port_of() -> Callable[[], int]:
    return free_port


@pytest.fixture
def plants(tmp_path: Path) -> Iterator[Plants]:
    """Everything but Prefect and the web, to be had many times."""
    made = Plants(tmp_path)
    yield made
    made.close()
