"""What the tests share: stores on both databases, a clock that is set, and one real server for the session."""

from __future__ import annotations

import compileall
import logging
import os
import pwd
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from api_shim.store import Store
from tests.api_shim.plant import Plants
from tests.databases import (
    INPUTS_KEY,
    PostgreSQL,
    no_disk_waited_for,
    sqlite_with_tables,
    statements_compiled_once,
)
from tests.factories import NOW
from tests.live import Live, free_port, start
from tests.memory import folder_in_memory
from tests.postgresql import NoPostgreSQL, postgresql_cluster

hypothesis.settings.register_profile(
    "busy machine",
    # A longer search is made with a greater number.
    max_examples=int(os.environ.get("SIGNOFF_TEST_EXAMPLES", "30")),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("busy machine")


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


@pytest.fixture(autouse=True)
def _log_of_nobody() -> None:
    """Have the log of this process as nobody has arranged it: a test before may have started what does."""
    ours = logging.getLogger("signoff")
    ours.propagate, ours.disabled, ours.handlers = True, False, []
    ours.setLevel(logging.NOTSET)


def pytest_configure(config: pytest.Config) -> None:
    """Do once what tests and the programs that they start would do each.

    * Our code is compiled: hundreds of processes load it, and some machines let none of them keep what it compiles.
    * The folders of tests are in memory, where there is enough: also real servers commit there without a disk.
    """
    if not hasattr(config, "workerinput"):
        for package in ("flows", "approval_gate", "api_shim"):
            compileall.compile_dir(config.rootpath / package, quiet=2)
    if (memory := folder_in_memory()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker has one to itself in the end."""
    size = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -size[item.path], item.path))


def lacking(what: str, why: str) -> NoReturn:
    """Skip, for want of something; fail where SIGNOFF_TEST_REQUIRE names it, as it does in CI."""
    if what in os.environ.get("SIGNOFF_TEST_REQUIRE", "").split(","):
        pytest.fail(f"This must run here: {why}")
    pytest.skip(why)


# Another user


@dataclass(frozen=True)
class Nobody:
    """A user who may do nothing, and what they can run here.

    Args:
        python: an interpreter of this version.
        path: where it finds what is installed, and us.
    """

    python: str
    path: str
    name: str = "nobody"

    def can_run(self) -> bool:
        """Say whether they find what they need."""
        code = "import importlib.util as u; raise SystemExit(not all(map(u.find_spec, ('prefect', 'api_shim'))))"
        entry = pwd.getpwnam(self.name)
        try:
            return not subprocess.run(
                [self.python, "-c", code],
                user=entry.pw_uid,
                group=entry.pw_gid,
                extra_groups=[],
                env={"PYTHONPATH": self.path},
                cwd="/",
                check=False,
            ).returncode
        except OSError:
            return False


@pytest.fixture(scope="session")
def nobody(open_folder: Path) -> Nobody:
    """Whom Jobs can run as, where the tests run as root; who has not this interpreter may have another one."""
    if os.geteuid() != 0:
        pytest.skip("another user needs root; that it is refused without is a test of its own")
    path = os.pathsep.join((str(Path(__file__).parents[1]), sysconfig.get_path("purelib")))
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    # What is installed for this interpreter lacks this for one that is a patch older; it is the same by now.
    (open_folder / "older").mkdir()
    (open_folder / "older" / "async_timeout.py").write_text("from asyncio import timeout as timeout\n")
    older = os.pathsep.join((path, str(open_folder / "older")))
    for found in (Nobody(sys.executable, path), Nobody(system, older)):
        if found.can_run():
            return found
    pytest.fail(f"nobody can run neither {sys.executable} nor {system} with what is installed in {path}")


@pytest.fixture
def as_nobody(nobody: Nobody, monkeypatch: pytest.MonkeyPatch) -> Nobody:
    """The same, whose interpreter is what this process starts, too."""
    monkeypatch.setattr(sys, "executable", nobody.python)
    monkeypatch.setenv("PYTHONPATH", nobody.path)
    return nobody


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, but not write to; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="signoff-open-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


# Databases


@pytest.fixture(scope="session", autouse=True)
def _cheap_databases() -> Iterator[None]:
    with statements_compiled_once(), no_disk_waited_for():
        yield


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database: one that is given, or one that is started here."""
    given = os.environ.get("SIGNOFF_TEST_POSTGRESQL_URL")
    if given:
        yield given.rsplit("/", 1)[0]
        return
    try:
        with postgresql_cluster(lasts=False) as url:
            yield url
    except NoPostgreSQL:
        lacking("postgresql", "no PostgreSQL here; install it, or set SIGNOFF_TEST_POSTGRESQL_URL")


@pytest.fixture(scope="session")
def postgresql(postgresql_server: str) -> Iterator[PostgreSQL]:
    """The same server, whose databases are had for a while."""
    server = PostgreSQL(postgresql_server)
    yield server
    server.close()


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of a database of its own, with the tables."""
    with postgresql.with_tables() as url:
        yield url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``each_database`` once on each kind: what depends on SQL, locks or moments."""
    if "store_url" in metafunc.fixturenames:
        kinds = ("sqlite", "postgresql") if metafunc.definition.get_closest_marker("each_database") else ("sqlite",)
        metafunc.parametrize("store_url", kinds, indirect=True)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the tables: on SQLite, and where a test is marked ``each_database`` on PostgreSQL."""
    if request.param == "sqlite":
        return sqlite_with_tables(tmp_path / "store.db")
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, once on each kind: for tests of the migrations."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with request.getfixturevalue("postgresql").empty() as url:
        yield url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on the databases of ``store_url``."""
    with closing(Store(store_url)) as opened:
        opened.inputs_key = INPUTS_KEY
        yield opened


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store on SQLite, where the database makes no difference."""
    with closing(Store(sqlite_with_tables(tmp_path / "store.db"))) as opened:
        opened.inputs_key = INPUTS_KEY
        yield opened


# The real thing


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One real ``signoff up`` for all acceptance tests, with the Jobs of ``tests/acceptance/jobs_for_tests.py``."""
    server = start(tmp_path_factory.mktemp("home"), free_port(), SIGNOFF_MCP_JOB_TOOLS='{"name": "Greet"}')
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
