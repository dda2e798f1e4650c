"""The REST API within a process: who acts, which home it is, and what holds while Prefect does not answer.

That it does what the API does over HTTP is for the acceptance tests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_shim.client.client import Shim
from api_shim.client.in_process import to_prefect
from api_shim.client.transport import read_address
from api_shim.domain.model import Job, Status
from api_shim.prefect_api import prefect_client
from api_shim.settings import PrefectServer, Settings, utc_now
from api_shim.store import Store
from approval_gate.errors import Forbidden, NotFound, Unavailable
from tests.databases import sqlite_with_tables, store_of
from tests.factories import administering, make_job, make_result, make_scheduled

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNOFF_HOME", "SIGNOFF_URL", "SIGNOFF_DATABASE_URL", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    # Nobody will answer, however often they are asked.
    monkeypatch.setattr(prefect_client, "TRIES", 1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder of a server that is not running, with alice, who may do everything, and a Job."""
    store = Store(sqlite_with_tables(tmp_path / "signoff.db"))
    user = administering(store).add_user("alice", utc_now(), superuser=True)
    job = make_job(name="Back up")
    with store.transaction() as tx:
        tx.add(job)
        tx.add(make_scheduled(job, user, name="nightly"))
        tx.add(make_result(job, user, status=Status.STARTED))
    store.close()
    return tmp_path


@pytest.fixture
def alice(home: Path) -> Iterator[Shim]:
    with Shim.within("alice", home=home, url=NOBODY) as shim:
        yield shim


def test_it_acts_as_the_user_with_links_to_the_server(alice: Shim) -> None:
    row = alice.scheduled_job("nightly")
    assert row.url == f"{NOBODY}/api/extras/scheduled-jobs/{row.id}/"
    assert repr(alice) == f"Shim('{NOBODY}')"


def test_while_prefect_is_silent_what_is_written_holds_and_what_was_known_is_shown(alice: Shim) -> None:
    assert not alice.change("nightly", enabled=False).enabled
    assert [result.status.value for result in alice.results()] == ["STARTED"]
    alice.delete("nightly")
    with pytest.raises(NotFound):
        alice.scheduled_job("nightly")


def test_what_prefect_keeps_is_not_there_while_it_is_silent(alice: Shim) -> None:
    [result] = alice.results()
    with pytest.raises(Unavailable, match="Prefect does not answer"):
        alice.logs(result)


def test_who_is_nobody_or_may_not_sign_in_does_nothing(home: Path) -> None:
    with Shim.within("bob", home=home, url=NOBODY) as shim, pytest.raises(Forbidden, match="no user named 'bob'"):
        shim.jobs()
    store = store_of(home)
    administering(store).add_user("root", utc_now(), superuser=True)
    administering(store).set_active("alice", utc_now(), active=False)
    store.close()
    with Shim.within("alice", home=home, url=NOBODY) as shim, pytest.raises(Forbidden, match="User inactive"):
        shim.jobs()


def test_the_settings_of_the_server_hold(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_MCP_JOB_TOOLS", "{}")
    with Shim.within("alice", home=home, url=NOBODY) as shim:
        assert [each.job.name for each in shim.job_tools()] == ["Back up"]


def test_what_somebody_may_is_what_they_may_now(home: Path) -> None:
    store = store_of(home)
    identity = administering(store)
    identity.add_user("carol", utc_now())
    with Shim.within("carol", home=home, url=NOBODY) as carol:
        with pytest.raises(Forbidden):
            carol.jobs()
        identity.add_permission("carol sees", utc_now(), types=["extras.job"], actions=["view"], users=["carol"])
        assert [job.name for job in carol.jobs()] == ["Back up"]
    with store.transaction(write=False) as tx:
        assert len(tx.all(Job)) == 1
    store.close()


def test_a_folder_without_signoff_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is not the home folder of a signoff server"):
        Shim.within("alice", home=tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_what_is_no_store_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "signoff.db").write_text("Dear Ann, " * 1000)
    with pytest.raises(Unavailable):
        Shim.within("alice", home=tmp_path)


def test_its_loop_ends_with_it(home: Path) -> None:
    def loops() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "signoff-within"]

    with Shim.within("alice", home=home, url=NOBODY):
        assert loops()
    assert not loops()


@pytest.mark.parametrize(
    ("prefect", "url", "asked"),
    [
        pytest.param(None, "http://127.0.0.1:4300/", "http://127.0.0.1:4300/api/", id="through the server"),
        pytest.param(
            "https://prefect.example/api", NOBODY, "https://prefect.example/api/", id="where Prefect's own is"
        ),
    ],
)
def test_prefect_is_where_it_is_said_to_be(
    home: Path, monkeypatch: pytest.MonkeyPatch, prefect: str | None, url: str, asked: str
) -> None:
    if prefect:
        monkeypatch.setenv("PREFECT_API_URL", prefect)
    assert str(to_prefect(Settings(home=home), read_address(url)).base_url) == asked


def test_a_prefect_server_that_others_run_is_reached_through_ours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "https://theirs.example/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "others:sesame")
    client = to_prefect(Settings(home=home, prefect=PrefectServer.EXTERNAL), read_address(NOBODY))
    assert str(client.base_url) == f"{NOBODY}/api/"


def test_the_key_of_the_home_folder_does_not_go_where_others_can_read_it(home: Path) -> None:
    with pytest.raises(Unavailable, match="Others could read"):
        Shim.within("alice", home=home, url="http://signoff.example")
