"""What was refused is in the audit, by whatever door; counted together, so that nobody can flood it; and no secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import COOKIE, User
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import AutomationAccount, queue_of
from api_shim.domain.slowdown import TOO_MANY
from api_shim.services.authentication import INVALID_TOKEN, Unauthenticated
from api_shim.services.job_queues import HAS_JOBS
from api_shim.services.refusals import MOST, MOST_OF_ONE, OTHERS, WATCHED, Refusals
from api_shim.services.sessions import WRONG
from api_shim.store import Store, Transaction
from approval_gate.errors import TooManyAttempts
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from approval_gate.policy import MAY_NOT_SWITCH, NO_PERMISSION, OWN_REQUEST
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, OPERATOR, make_result, make_scheduled, make_user

HERE = "192.0.2.1"
NO_RUN = "This user does not have permission to run jobs."
ALICE = Actor(id=uuid4(), username="alice")


def recorded(store: Store) -> list[AuditEvent]:
    """Return what has been recorded, without what the machine's administrator did."""
    with store.transaction(write=False) as tx:
        return [event for event in tx.events(0, 1000) if event.actor != OPERATOR.username]


# By whatever door


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    made.user("carol", superuser=False)
    return made


def user_of(origin: Origin) -> User:
    return next(user for user in origin.identity.users() if user.username == "admin")


Refused = tuple[EventType, str, str, str, str]


def refused(origin: Origin) -> list[Refused]:
    return [
        (event.act, event.actor, event.name, event.data.get("asked", ""), event.data["reason"])
        for event in recorded(origin.store)
        if event.act.endswith(".refused")
        if event.act is not EventType.REFUSED
    ]


def test_what_the_api_refuses_is_recorded(origin: Origin) -> None:
    job = origin.job(name="Back up", approval_required=True, job_queues=("bulk",))
    admin = user_of(origin)
    row = make_scheduled(job, admin, name="nightly", approval=ApprovalState.PENDING)
    origin.add(row)
    origin.add(queue_of("bulk"))
    origin.add(make_result(job, admin))
    bound = AutomationAccount(
        id=uuid4(), name="weekly", user_id=admin.id, digest="", bound_by_id=admin.id, bound_by="admin", created=NOW
    )
    origin.add(bound)
    origin.user("dave", superuser=False)
    origin.identity.add_permission(
        "change", NOW, types=["extras.job", "extras.scheduledjob"], actions=["view", "change"], users=["carol"]
    )
    calls: list[tuple[str, str, str, Any]] = [
        ("admin", "POST", f"extras/scheduled-jobs/{row.id}/approve/", {}),
        ("carol", "POST", "extras/scheduled-jobs/nightly/approve/", {}),
        ("carol", "POST", f"extras/scheduled-jobs/{row.id}/deny/", {}),
        ("carol", "POST", "extras/jobs/Back up/run/", {}),
        ("carol", "PATCH", f"extras/jobs/{job.id}/", {"approval_required": False}),
        ("carol", "DELETE", "extras/scheduled-jobs/", [str(row.id)]),
        ("carol", "POST", "users/users/", {"username": "hunter2"}),
        ("carol", "PATCH", "users/users/admin/", {"is_superuser": True}),
        ("carol", "POST", "extras/job-queues/", {"name": "hunter2"}),
        ("carol", "PATCH", "extras/job-queues/bulk/", {"pool": "hunter2"}),
        ("admin", "DELETE", "extras/job-queues/bulk/", None),
        ("dave", "POST", "extras/automation-accounts/", {"automation": str(uuid4()), "user": "hunter2"}),
        ("dave", "DELETE", f"extras/automation-accounts/{bound.id}/", None),
        # No refusals: what cannot be run, what is not there, and looking.
        ("admin", "POST", "extras/jobs/Back up/run/", {"data": {"bogus": 1}}),
        ("admin", "POST", f"extras/scheduled-jobs/{uuid4()}/approve/", {}),
        ("carol", "GET", "users/users/", None),
    ]
    for who, method, path, body in calls:
        assert origin.ask(method, f"/api/{path}", who, json=body).status_code in {403, 404, 405, 409}
    scheduled, of_job = "extras.scheduledjob", "extras.job"
    decision, request = EventType.DECISION_REFUSED, EventType.REQUEST_REFUSED
    may_not = "You do not have permission to {} this request."
    assert refused(origin) == [
        (decision, "admin", "nightly", f"approve {scheduled}", OWN_REQUEST),
        (decision, "carol", "nightly", f"approve {scheduled}", may_not.format("approve")),
        (decision, "carol", "nightly", f"deny {scheduled}", may_not.format("deny")),
        (request, "carol", "Back up", f"request {of_job}", NO_RUN),
        (request, "carol", "Back up", f"change {of_job}", MAY_NOT_SWITCH),
        (request, "carol", "", f"delete_all {scheduled}", NO_PERMISSION),
        (request, "carol", "", "add users.user", NO_PERMISSION),
        (request, "carol", "admin", "change users.user", NO_PERMISSION),
        (request, "carol", "", "add extras.jobqueue", NO_PERMISSION),
        (request, "carol", "bulk", "change extras.jobqueue", NO_PERMISSION),
        (request, "admin", "bulk", "remove extras.jobqueue", HAS_JOBS.format(name="bulk", job="Back up")),
        (request, "dave", "", "bind extras.automationaccount", NO_PERMISSION),
        (request, "dave", "weekly", "unbind extras.automationaccount", NO_PERMISSION),
    ]
    assert "hunter2" not in str(recorded(origin.store))
    about = recorded(origin.store)[0]
    assert (about.scheduled_job_id, about.job_id) == (row.id, job.id)


def test_what_the_pages_refuse_is_recorded(origin: Origin) -> None:
    job = origin.job(name="Back up", approval_required=True)
    origin.add(row := make_scheduled(job, user_of(origin), name="nightly", approval=ApprovalState.PENDING))
    cookie, session = asyncio.run(origin.sessions.sign_in("", origin.keys["admin"], HERE))
    headers = {"Cookie": f"{COOKIE}={cookie}"}
    sent = {"csrf": session.csrf}
    origin.ask("POST", f"/signoff/approval-queue/{row.id}/approve", None, headers=headers, data=sent)
    assert [(act, who, name, why) for act, who, name, _, why in refused(origin)] == [
        (EventType.DECISION_REFUSED, "admin", "nightly", OWN_REQUEST)
    ]


@pytest.mark.parametrize(
    ("method", "is_recorded"),
    [pytest.param("PATCH", True, id="to change something"), pytest.param("GET", False, id="to look at secrets")],
)
def test_what_is_refused_of_prefect_is_recorded_if_it_would_change_something(
    origin: Origin, method: str, is_recorded: bool
) -> None:
    path = "/api/block_documents/x" if method == "GET" else "/api/deployments/secret"
    assert origin.ask(method, path, "carol").status_code == 403
    assert [(who, asked) for _, who, _, asked, _ in refused(origin)] == [("carol", "write prefect")] * is_recorded
    assert "secret" not in str(recorded(origin.store))


@pytest.mark.parametrize(
    ("name", "known"),
    [pytest.param("carol", "carol", id="of a user"), pytest.param("hunter2", "", id="of nobody, maybe a password")],
)
@pytest.mark.parametrize("door", ["pages", "API", "Prefect"])
def test_a_failed_sign_in_is_recorded_with_the_name_if_there_is_such_a_user(
    origin: Origin, name: str, known: str, door: str
) -> None:
    if door == "pages":
        cookie, sent = {"Cookie": "signoff_sign_in=x"}, {"csrf": "x", "username": name, "secret": "hunter3"}
        origin.ask("POST", "/signoff/sign-in", None, headers=cookie, data=sent)
    else:
        path = "/api/extras/jobs/" if door == "API" else "/api/flows/filter"
        origin.ask("GET", path, None, headers={"Authorization": f"Bearer {name}:hunter3"})
    (event,) = recorded(origin.store)
    reason = WRONG if door == "pages" else INVALID_TOKEN
    assert (event.act, event.actor, event.name) == (EventType.SIGN_IN_REFUSED, "", known)
    assert event.data == {"reason": reason, "count": 1, "address": "127.0.0.1"}
    assert "hunter" not in str(event)


def test_who_brings_no_credentials_has_not_tried_any(origin: Origin) -> None:
    origin.ask("GET", "/api/extras/jobs/", None)
    origin.ask("GET", "/signoff/jobs", None)
    assert recorded(origin.store) == []


def test_every_watched_method_is_there() -> None:
    for use_case, methods in WATCHED.items():
        for name in methods:
            assert asyncio.iscoroutinefunction(getattr(use_case, name)), (use_case, name)


# Counted


@pytest.fixture
def refusals(sqlite_store: Store, clock: Clock) -> Refusals:
    with sqlite_store.transaction() as tx:
        tx.add(make_user("alice"))
    return Refusals(sqlite_store, clock)


def refuse(refusals: Refusals, times: int, actor: Actor = ALICE, reason: str = "No.") -> None:
    async def often() -> None:
        for _ in range(times):
            await refusals.request(actor, reason, "x")

    asyncio.run(often())


def tick(refusals: Refusals) -> None:
    asyncio.run(refusals.tick())


def counts(store: Store) -> list[tuple[int, str]]:
    return [(event.data["count"], event.data["reason"]) for event in recorded(store)]


def test_the_first_is_recorded_at_once_and_what_follows_is_one_event_a_minute(
    refusals: Refusals, sqlite_store: Store, clock: Clock
) -> None:
    refuse(refusals, 1000)
    assert counts(sqlite_store) == [(1, "No.")]
    clock.forward(seconds=59)
    tick(refusals)
    assert counts(sqlite_store) == [(1, "No.")]
    clock.forward(seconds=1)
    refuse(refusals, 1)
    tick(refusals)
    assert counts(sqlite_store) == [(1, "No."), (1000, "No.")]
    event = recorded(sqlite_store)[-1]
    assert (event.at, event.data["since"]) == (clock.now, NOW.isoformat())
    refuse(refusals, 5)
    assert len(recorded(sqlite_store)) == 2, "they still follow each other"
    clock.forward(minutes=1)
    tick(refusals)
    clock.forward(minutes=1)
    tick(refusals)
    assert counts(sqlite_store)[2:] == [(5, "No.")]
    refuse(refusals, 1)
    assert counts(sqlite_store)[3:] == [(1, "No.")], "after a quiet minute, one is the first again"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: {"actor": Actor(id=uuid4(), username="bob")}, id="another person"),
        pytest.param(lambda: {"reason": "Not you."}, id="another reason"),
    ],
)
def test_others_are_counted_by_themselves(
    refusals: Refusals, sqlite_store: Store, other: Callable[[], dict[str, Any]]
) -> None:
    refuse(refusals, 2)
    refuse(refusals, 2, **other())
    assert [count for count, _ in counts(sqlite_store)] == [1, 1]


def test_one_caller_cannot_flood_the_audit(refusals: Refusals, sqlite_store: Store, clock: Clock) -> None:
    for number in range(100):
        refuse(refusals, 1, reason=f"No {number}.")
    assert len(recorded(sqlite_store)) == MOST_OF_ONE + 1
    assert counts(sqlite_store)[-1] == (1, OTHERS)
    clock.forward(minutes=1)
    tick(refusals)
    assert counts(sqlite_store)[-1] == (100 - MOST_OF_ONE - 1, OTHERS)
    assert {event.actor for event in recorded(sqlite_store)} == {"alice"}


def test_many_callers_cannot_flood_the_audit(refusals: Refusals, sqlite_store: Store, clock: Clock) -> None:
    async def from_everywhere() -> None:
        for number in range(200):
            await refusals.signing_in(Unauthenticated(INVALID_TOKEN), f"192.0.2.{number}")

    asyncio.run(from_everywhere())
    clock.forward(minutes=1)
    tick(refusals)
    assert len(recorded(sqlite_store)) == MOST + 2
    assert counts(sqlite_store)[-1] == (200 - MOST - 1, OTHERS)


def fail_from(refusals: Refusals, addresses: Iterable[str]) -> None:
    async def from_each() -> None:
        for address in addresses:
            await refusals.signing_in(Unauthenticated(INVALID_TOKEN), address)

    asyncio.run(from_each())


def test_who_has_not_signed_in_hides_nothing_of_a_user(refusals: Refusals, sqlite_store: Store) -> None:
    fail_from(refusals, [f"192.0.2.{number}" for number in range(200)])
    refuse(refusals, 1)
    event = recorded(sqlite_store)[-1]
    assert (event.actor, event.data["reason"]) == ("alice", "No.")


def test_a_network_of_ipv6_is_one_caller(refusals: Refusals, sqlite_store: Store) -> None:
    fail_from(refusals, [f"2001:db8::{number:x}" for number in range(200)])
    assert len(recorded(sqlite_store)) == MOST_OF_ONE + 1
    last = recorded(sqlite_store)[-1]
    assert (last.data["reason"], last.data["address"]) == (OTHERS, "2001:db8::/64")


def test_attempts_that_are_too_many_are_one_kind_however_long_they_are_to_wait(
    refusals: Refusals, sqlite_store: Store
) -> None:
    async def each_second() -> None:
        for number in range(20):
            error = TooManyAttempts(f"{TOO_MANY} Please try again in {number} seconds.")
            await refusals.signing_in(error, HERE, "alice")

    asyncio.run(each_second())
    assert counts(sqlite_store) == [(1, TOO_MANY)]


def test_while_the_store_is_gone_the_log_has_a_line_and_no_traceback(
    refusals: Refusals, sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    Path(str(sqlite_store._engine.url.database)).unlink()
    refuse(refusals, 1)
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]


def test_what_was_counted_is_recorded_when_the_server_ends(refusals: Refusals, sqlite_store: Store) -> None:
    refuse(refusals, 3)
    asyncio.run(refusals.close())
    assert counts(sqlite_store) == [(1, "No."), (2, "No.")]


def test_what_cannot_be_recorded_is_counted_until_it_can(
    refusals: Refusals, sqlite_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("The disk is full.")

    with monkeypatch.context() as full:
        full.setattr(Transaction, "record", broken)
        refuse(refusals, 2)
        clock.now += timedelta(minutes=2)
        tick(refusals)
    assert recorded(sqlite_store) == []
    tick(refusals)
    assert counts(sqlite_store) == [(2, "No.")]
