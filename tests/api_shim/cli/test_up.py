"""What ``signoff up`` sees to before it starts, and whom it makes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from api_shim.app import ALL, Part
from api_shim.cli.up import check_port, locked, origin_of, own_accounts, place_of_home, starting, told_prefect
from api_shim.domain.accounts import Token, User
from api_shim.domain.audit import LocalAdministrator
from api_shim.services.account_admin import DEMO, AccountAdmin
from api_shim.services.authentication import Credentials, hash_key
from api_shim.services.jobs import JobCatalogue
from api_shim.settings import PrefectServer, Settings, utc_now
from api_shim.store import Store
from approval_gate.errors import Unavailable
from approval_gate.identity import LOCAL, WORKER
from flows.registry import discover
from tests.api_shim.cli.conftest import Run
from tests.factories import OPERATOR, administering, authenticate


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        pytest.param("127.0.0.1", "http://127.0.0.1:4200", id="an address is itself"),
        pytest.param("localhost", "http://localhost:4200", id="a name is itself"),
        pytest.param("192.0.2.7", "http://192.0.2.7:4200", id="what listens on one address is reached there only"),
        pytest.param("0.0.0.0", "http://127.0.0.1:4200", id="what listens everywhere is here too"),
        pytest.param("::", "http://[::1]:4200", id="what listens everywhere, on version 6, is here too"),
        pytest.param("::1", "http://[::1]:4200", id="an address of version 6 stands in brackets"),
    ],
)
def test_the_worker_calls_where_the_server_listens(host: str, origin: str) -> None:
    assert origin_of(host, 4200) == origin


def test_a_free_port_is_fine(free_port: Callable[[], int]) -> None:
    check_port("127.0.0.1", free_port())


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the log of this process as it is."""
    monkeypatch.setattr(sys.modules["api_shim.cli.up"], "log_to_terminal", lambda _form: None)


@pytest.mark.usefixtures("_quiet")
def test_a_taken_port_is_said_in_one_sentence_and_leaves_nothing(signoff: Run, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = f"Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another with --port."
        assert signoff("up", "--port", str(port)).refusal == said
    assert not home.exists()


@pytest.mark.usefixtures("_quiet")
def test_a_home_in_use_is_said_in_one_sentence(signoff: Run, home: Path, free_port: Callable[[], int]) -> None:
    home.mkdir(mode=0o700)
    with locked(home):
        refusal = signoff("up", "--port", str(free_port()), "--worker", "none").refusal
    assert refusal == f"signoff is already running with the home folder {home}."


def test_an_address_of_another_machine_is_refused(free_port: Callable[[], int]) -> None:
    with pytest.raises(Unavailable, match=r"^Cannot listen on 192\.0\.2\.7 port"):
        check_port("192.0.2.7", free_port())


def test_two_homes_at_one_path_are_two_places_and_one_stays_one(tmp_path: Path) -> None:
    mounted, other = tmp_path / "data", tmp_path / "other"
    mounted.mkdir()
    other.mkdir()
    before = place_of_home(mounted)
    (mounted / "up.lock").touch()
    assert place_of_home(mounted) == before
    mounted.rename(tmp_path / "first")
    other.rename(mounted)
    assert place_of_home(mounted) != before


def test_a_home_is_one_servers_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(Unavailable, match="already running"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_servers_of_one_database_start_one_after_the_other(
    postgresql_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Store(postgresql_url)) as one, closing(Store(postgresql_url)) as other:
        first = starting(one)
        with pytest.raises(Unavailable, match="Another server of this database has been starting for"):
            starting(other, patience=0.1)
        assert capsys.readouterr().out == "Waiting for another server of this database to start …\n"
        first.close()
        starting(other).close()


def test_the_first_start_makes_an_administrator_and_the_second_nobody(sqlite_store: Store) -> None:
    admin = administering(sqlite_store)
    admin.ensure_worker("a" * 40, utc_now(), pool="signoff")
    admin.ensure_local("b" * 40, utc_now())
    ((username, key),) = admin.first_keys(utc_now())
    assert username == "admin"
    assert authenticate(sqlite_store, Credentials(key=key), utc_now()).superuser
    assert admin.first_keys(utc_now()) == []


def test_a_demo_gives_two_people_what_they_need_once(sqlite_store: Store) -> None:
    admin, catalogue = administering(sqlite_store), JobCatalogue(sqlite_store, utc_now)
    catalogue.record(discover(["flows.examples"]).jobs.values())
    assert [username for username, _key in admin.demo_keys(catalogue, utc_now())] == ["alice", "bob"]
    assert admin.demo_keys(catalogue, utc_now()) == []
    assert sorted(each.name for each in admin.permissions()) == sorted(DEMO)
    assert all(job.enabled for job in catalogue.jobs())


def test_a_demo_leaves_alone_what_somebody_has_disabled(sqlite_store: Store) -> None:
    admin, catalogue = administering(sqlite_store), JobCatalogue(sqlite_store, utc_now)
    catalogue.record(discover(["flows.examples"]).jobs.values())
    admin.demo_keys(catalogue, utc_now())
    catalogue.set_enabled("Check hosts", OPERATOR, enabled=False)
    admin.demo_keys(catalogue, utc_now())
    assert [job.name for job in catalogue.jobs() if not job.enabled] == ["Check hosts"]


def test_the_audit_lists_what_a_first_start_made(sqlite_store: Store) -> None:
    admin, catalogue = administering(sqlite_store), JobCatalogue(sqlite_store, utc_now)
    for _ in range(2):
        admin.ensure_worker("a" * 40, utc_now(), pool="signoff")
        admin.ensure_local("b" * 40, utc_now())
        admin.first_keys(utc_now())
        admin.demo_keys(catalogue, utc_now())
    with sqlite_store.transaction(write=False) as tx:
        events = tx.events(0, 100)
    assert [(str(event.act), event.name) for event in events] == [
        ("user.added", WORKER),
        ("token.added", WORKER),
        ("user.changed", WORKER),
        ("user.added", LOCAL),
        ("token.added", LOCAL),
        ("permission.added", "Programs on the server's machine"),
        *((act, name) for name in ("admin", "alice", "bob") for act in ("user.added", "token.added")),
        *(("permission.added", name) for name in DEMO),
    ]
    assert {(event.actor, event.actor_id) for event in events} == {(OPERATOR.username, None)}


@pytest.mark.parametrize(("parts", "works"), [(ALL, True), (Part.WEB, False)])
def test_programs_of_this_machine_have_an_account_wherever_it_answers(
    sqlite_store: Store, tmp_path: Path, parts: Part, works: bool
) -> None:
    settings = Settings(home=tmp_path)
    account = own_accounts(AccountAdmin(sqlite_store, LocalAdministrator("ops")), settings, parts)
    assert account == (f"{WORKER}:{settings.worker_key()}" if works else "")
    with sqlite_store.transaction(write=False) as tx:
        assert tx.exists(Token, key_hash=hash_key(settings.local_key()))
        assert tx.exists(User, username=WORKER) is works


def test_what_signs_in_to_a_prefect_of_others_is_hidden_from_runs_of_this_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = list[str]()
    # The package has the command by this name.
    module = sys.modules["api_shim.cli.up"]
    monkeypatch.setattr(module, "hide", lambda: done.append("hidden"))
    monkeypatch.setattr(module, "set_environment_without_server", lambda **_told: done.append("told"))
    monkeypatch.setenv("PREFECT_API_URL", "https://theirs.example/api")
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_sesame")
    settings = Settings(home=tmp_path, prefect=PrefectServer.EXTERNAL)
    told = told_prefect(settings, ALL, origin="http://127.0.0.1:4200", public="http://127.0.0.1:4200")
    assert told.external is not None
    assert "sesame" not in repr(told)
    assert done == ["hidden", "told"]
