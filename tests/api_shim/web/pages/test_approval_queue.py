"""The list of the approval queue: what its address asks, and what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api_shim.domain.accounts import COOKIE
from api_shim.domain.model import Participant, ScheduledJob
from api_shim.store import Store
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_approval_request, make_scheduled

QUEUE = "/signoff/approval-queue"


class Desk:
    """Where alice asks, and bob decides."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.alice = origin.user("alice")
        self.bob = origin.user("bob")
        self.job = origin.job(name="Compact", approval_required=True)
        self.signed_in = {
            who: asyncio.run(origin.sessions.sign_in(who, origin.keys[who], "")) for who in ("alice", "bob")
        }

    def asks(self, name: str, **to: Any) -> ScheduledJob:
        row = make_scheduled(self.job, self.alice, name=name, approval=ApprovalState.PENDING, **to)
        self.origin.add(
            row,
            Participant(scheduled_job_id=row.id, user_id=self.alice.id, username="alice"),
            make_approval_request(row, self.job, self.alice),
        )
        return row

    def sees(self, query: str = "", who: str = "bob") -> httpx.Response:
        cookie = {"Cookie": f"{COOKIE}={self.signed_in[who][0]}"}
        return self.origin.ask("GET", f"{QUEUE}{query}", None, headers=cookie)

    def does(self, path: str, who: str, form: Mapping[str, Any]) -> httpx.Response:
        key, session = self.signed_in[who]
        cookie = {"Cookie": f"{COOKIE}={key}"}
        return self.origin.ask("POST", f"{QUEUE}{path}", None, headers=cookie, data={"csrf": session.csrf, **form})


@pytest.fixture
def desk(sqlite_store: Store, clock: Clock) -> Desk:
    return Desk(Origin(sqlite_store, clock, follows=False))


def test_a_request_is_shown_with_a_readable_title_its_inputs_and_its_age(desk: Desk) -> None:
    name = "Compact - 2026-11-27T22:45:49.949456+00:00"
    desk.asks(name, inputs={"file": "/tmp/app.db"}, expires_at=NOW + timedelta(days=14))
    shown = desk.sees().text
    assert name not in shown
    for each in (">Compact</a>", "file: /tmp/app.db", ">just now</time>", ">in 14 days</time>"):
        assert each in shown


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("", {"left", "right"}, id="everything"),
        pytest.param("?q=left", {"left"}, id="a search"),
        pytest.param("?from=2026-05-05", set(), id="asked from a later day"),
        pytest.param("?from=2026-05-04&to=2026-05-04", {"left", "right"}, id="asked on that day"),
        pytest.param("?to=2026-05-03", set(), id="asked until an earlier day"),
        pytest.param("?view=others", set(), id="what waits for others"),
        pytest.param(
            "?view=x&job=x&from=x&to=x&sort=x&limit=x&offset=x",
            {"left", "right"},
            id="what cannot be read is passed over",
        ),
        pytest.param("?from=0001-01-01&to=9999-12-31", {"left", "right"}, id="days that are out of reach"),
        pytest.param("?q=%00", {"left", "right"}, id="what cannot be stored"),
    ],
)
def test_the_address_asks_what_the_list_shows(desk: Desk, query: str, names: set[str]) -> None:
    for name in ("left", "right"):
        desk.asks(name)
    shown = desk.sees(query)
    assert shown.status_code == 200
    assert {name for name in ("left", "right") if f">{name}</a>" in shown.text} == names


def test_each_view_has_its_number(desk: Desk) -> None:
    desk.asks("a")
    for who, mine, others in (("bob", 1, 0), ("alice", 0, 1)):
        shown = desk.sees(who=who).text
        assert f'Waiting for you <span class="number">{mine}</span>' in shown
        assert f'Waiting for others <span class="number">{others}</span>' in shown
