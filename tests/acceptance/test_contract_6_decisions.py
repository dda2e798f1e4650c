"""Section 6 of the contract, line by line, over HTTP: approve, deny and dry-run, and who may not.

How decisions are made once, and by nobody who had a part in the request, stands in section 9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.acceptance.asking import answered
from tests.acceptance.people import FAR, SCHEDULES, Grant, People, changed, schedule
from tests.live import Live

Shape = Mapping[str, Any]

OTHER = {"name": "something else"}
VIEW: Grant = ("extras.scheduledjob", "view", None)
CHANGE: Grant = ("extras.scheduledjob", "change", None)
DELETE: Grant = ("extras.scheduledjob", "delete", None)
APPROVE: Grant = ("extras.job", "approve", None)
RUN: Grant = ("extras.job", "run", None)
EVERYTHING = (VIEW, CHANGE, DELETE, APPROVE, RUN)

NO_PERMISSION = "You do not have permission to perform this action."
NOT_THERE = "No ScheduledJob matches the given query."
MAY_NOT_APPROVE = "You do not have permission to approve this request."
MAY_NOT_DENY = "You do not have permission to deny this request."
MAY_NOT_RUN = "You do not have permission to run this job."


def elsewhere(grant: Grant) -> Grant:
    """Return the same permission, for something else."""
    kind, action, _ = grant
    return kind, action, OTHER


def without(*lacking: Grant) -> tuple[Grant, ...]:
    return tuple(grant for grant in EVERYTHING if grant not in lacking)


REFUSED: Mapping[str, tuple[str, tuple[Grant, ...], int, str]] = {
    "approve: no change_scheduledjob": ("approve", without(CHANGE), 403, NO_PERMISSION),
    "approve: nothing at all": ("approve", (), 403, NO_PERMISSION),
    "approve: change_scheduledjob of another, which they see": (
        "approve",
        (*without(CHANGE), elsewhere(CHANGE)),
        403,
        NO_PERMISSION,
    ),
    "approve: change_scheduledjob of another, and does not see this": (
        "approve",
        (APPROVE, elsewhere(CHANGE)),
        404,
        NOT_THERE,
    ),
    "approve: no approve_job": ("approve", without(APPROVE), 403, MAY_NOT_APPROVE),
    "approve: approve_job of another Job": (
        "approve",
        (*without(APPROVE), elsewhere(APPROVE)),
        403,
        MAY_NOT_APPROVE,
    ),
    "deny: no delete_scheduledjob": ("deny", without(DELETE), 403, MAY_NOT_DENY),
    "deny: delete_scheduledjob of another, which they see": (
        "deny",
        (*without(DELETE), elsewhere(DELETE)),
        403,
        MAY_NOT_DENY,
    ),
    "deny: delete_scheduledjob of another, and does not see this": (
        "deny",
        (APPROVE, elsewhere(DELETE)),
        404,
        NOT_THERE,
    ),
    "deny: no approve_job": ("deny", without(APPROVE), 403, MAY_NOT_DENY),
    "deny: approve_job of another Job": ("deny", (*without(APPROVE), elsewhere(APPROVE)), 403, MAY_NOT_DENY),
    "dry-run: no view_scheduledjob": ("dry-run", without(VIEW), 403, NO_PERMISSION),
    "dry-run: view_scheduledjob of another": ("dry-run", (RUN, elsewhere(VIEW)), 404, NOT_THERE),
    "dry-run: no run_job": ("dry-run", without(RUN), 403, MAY_NOT_RUN),
    "dry-run: run_job of another Job": ("dry-run", (*without(RUN), elsewhere(RUN)), 403, MAY_NOT_RUN),
}


@pytest.fixture(scope="module")
def pending(admin: httpx.Client) -> Iterator[Shape]:
    """A request of the administrator's that nobody may decide about."""
    made = schedule(admin, job="Change")
    yield made
    admin.delete(made["url"])


@pytest.fixture
def asked(admin: httpx.Client) -> Iterator[Callable[..., Shape]]:
    """Makes requests of the administrator's."""
    made: list[Shape] = []

    def ask(**to: Any) -> Shape:
        made.append(schedule(admin, job="Change", **to))
        return made[-1]

    yield ask
    admin.request("DELETE", SCHEDULES, json=[row["id"] for row in made])


def decide(client: httpx.Client, row: Shape, how: str) -> httpx.Response:
    return client.post(f"{SCHEDULES}{row['id']}/{how}/")


@pytest.mark.parametrize(("how", "grants", "status", "told"), REFUSED.values(), ids=[f"6 {name}" for name in REFUSED])
def test_who_may_not_decide_is_told_why_and_decides_nothing(
    live: Live,
    admin: httpx.Client,
    people: People,
    pending: Shape,
    how: str,
    grants: tuple[Grant, ...],
    status: int,
    told: str,
) -> None:
    with live.client(people.add(*grants)) as client:
        assert answered(decide(client, pending, how)) == (status, {"detail": told})
    assert admin.get(pending["url"]).json() == pending


def test_6_approve_the_requester_themselves_may_not(admin: httpx.Client, pending: Shape) -> None:
    told = (403, {"detail": "You cannot approve your own job request!"})
    assert answered(decide(admin, pending, "approve")) == told
    assert admin.get(pending["url"]).json() == pending


def test_6_approve_sets_who_and_when(live: Live, people: People, asked: Callable[..., Shape]) -> None:
    row, who = asked(), people.add(CHANGE, APPROVE)
    before = datetime.now(UTC)
    with live.client(who) as client:
        status, after = answered(decide(client, row, "approve"))
    assert status == 200
    assert after["approved_by_user"]["id"] == people.id_of(who)
    assert before <= datetime.fromisoformat(after["approved_at"]) <= datetime.now(UTC)
    same = set(row) - {"approved_by_user", "approved_at", "approval_state", "date_changed"}
    assert {name: after[name] for name in same} == {name: row[name] for name in same}


def test_6_approve_a_recurring_one_past_its_start_needs_no_force(
    live: Live, people: People, asked: Callable[..., Shape]
) -> None:
    start = datetime.now(UTC) + timedelta(seconds=3)
    row = asked(interval="weekly", start_time=start.isoformat())
    time.sleep(max(0.0, (start - datetime.now(UTC)).total_seconds()))
    with live.client(people.add(CHANGE, APPROVE)) as client:
        assert decide(client, row, "approve").status_code == 200


def test_6_deny_removes_it(live: Live, admin: httpx.Client, people: People, asked: Callable[..., Shape]) -> None:
    row = asked()
    with live.client(people.add(DELETE, APPROVE)) as client:
        status, denied = answered(decide(client, row, "deny"))
    assert (status, denied["id"]) == (200, row["id"])
    assert answered(admin.get(row["url"])) == (404, {"detail": NOT_THERE})


def test_6_deny_the_requester_may_withdraw_their_own(admin: httpx.Client, asked: Callable[..., Shape]) -> None:
    row = asked()
    assert decide(admin, row, "deny").status_code == 200
    assert admin.get(row["url"]).status_code == 404


def test_6_dry_run_runs_as_the_caller_and_leaves_the_request_as_it_is(
    live: Live, admin: httpx.Client, people: People, pending: Shape
) -> None:
    who = people.add(VIEW, RUN)
    with live.client(who) as client:
        status, result = answered(decide(client, pending, "dry-run"))
    assert (status, result["object_type"], result["name"]) == (200, "extras.jobresult", "Change")
    assert result["user"]["id"] == people.id_of(who)
    assert result["task_kwargs"] == {**pending["kwargs"], "dryrun": True}
    assert admin.get(pending["url"]).json() == pending


@pytest.mark.parametrize(
    ("job", "given", "told"),
    [
        pytest.param("Greet", None, "This job does not support dry runs.", id="6 dry-run: the Job has none"),
        pytest.param(
            "Change", {"enabled": False}, "This job is not enabled to be run.", id="6 dry-run: the Job is disabled"
        ),
    ],
)
def test_a_job_that_cannot_be_tried_is_not(
    admin: httpx.Client, job: str, given: Mapping[str, Any] | None, told: str
) -> None:
    row = schedule(admin, job=job, start_time=FAR)
    meanwhile: AbstractContextManager[None] = changed(admin, job, **(given or {}))
    with meanwhile:
        assert answered(decide(admin, row, "dry-run")) == (405, {"detail": told})
    admin.delete(row["url"])
