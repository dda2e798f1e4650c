"""``signoff worker-token``: an account of workers for one pool, its key once, and how a worker is started with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api_shim.domain.audit import EventType
from api_shim.keys import PREFIX
from api_shim.services.authentication import Credentials
from api_shim.settings import utc_now
from tests.api_shim.cli.conftest import Run
from tests.databases import store_of
from tests.factories import authenticate

pytestmark = pytest.mark.usefixtures("tables")

KEY = re.compile(rf"{PREFIX}\w+")


def works_for(signoff: Run, name: str) -> str:
    (row,) = (row for row in signoff("user", "list", "--json").json if row["username"] == name)
    return str(row["works_for"])


def test_a_worker_gets_an_account_a_key_and_the_command_that_starts_it(
    signoff: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_ORIGIN", "https://signoff.example.com")
    monkeypatch.setenv("SIGNOFF_JOBS", "ours,theirs")
    told = signoff("worker-token", "add", "builder", "--pool", "builders").out
    (key,) = KEY.findall(told)
    assert [line.strip() for line in told.splitlines() if line.startswith("  ")] == [
        "PREFECT_API_URL=https://signoff.example.com/api",
        f"PREFECT_API_AUTH_STRING=builder:{key}",
        "SIGNOFF_JOBS=ours,theirs",
    ]
    assert "`signoff worker --pool builders`" in told
    assert works_for(signoff, "builder") == "builders"
    store = store_of(home)
    actor = authenticate(store, Credentials(username="builder", key=key), utc_now())
    store.close()
    assert not actor.superuser


def test_the_pool_is_the_servers_unless_it_is_said(signoff: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_POOL", "ours")
    told = signoff("worker-token", "add", "builder").out
    assert "  PREFECT_API_URL=http://127.0.0.1:4200/api\n" in told
    assert works_for(signoff, "builder") == "ours"


def test_a_second_worker_of_the_pool_gets_a_token_of_the_same_account(signoff: Run) -> None:
    first, second = (signoff("worker-token", "add", name, "--pool", "one").out for name in ("builder", "Builder"))
    assert KEY.findall(first) != KEY.findall(second)
    tokens = signoff("token", "list", "builder", "--json").json
    assert [token["description"] for token in tokens] == ["worker of one", "worker of one"]
    acts = [event["act"] for event in signoff("audit", "list", "--json").json]
    assert acts.count(str(EventType.USER_ADDED)) == 1


@pytest.mark.parametrize(
    ("before", "why"),
    [
        pytest.param(("user", "add", "alice"), "alice is not a worker account: choose another name.", id="a person"),
        pytest.param(
            ("worker-token", "add", "alice", "--pool", "other"),
            "alice takes runs of the work pool other only: choose another name.",
            id="a worker of another pool",
        ),
    ],
)
def test_no_account_that_stands_for_something_else_becomes_a_workers(
    signoff: Run, before: tuple[str, ...], why: str
) -> None:
    signoff(*before)
    had = works_for(signoff, "alice")
    tokens = len(signoff("token", "list", "alice", "--json").json)
    assert signoff("worker-token", "add", "alice", "--pool", "one").refusal == why
    assert works_for(signoff, "alice") == had
    assert len(signoff("token", "list", "alice", "--json").json) == tokens
