"""Requests and decisions: the story, every refusal, many who decide at once, crashes, and all of it against a model."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from sqlalchemy import event

from api_shim.domain.accounts import Permission, PermissionUser
from api_shim.domain.approval import version_of
from api_shim.domain.audit import AuditEvent, EventType, fault
from api_shim.domain.model import (
    UNKNOWN_USER,
    ApprovalRequest,
    Job,
    JobResult,
    Participant,
    PendingCleanup,
    ScheduledJob,
    Status,
)
from api_shim.domain.ports import DeploymentSpec, Run
from api_shim.domain.recurrence import Interval
from api_shim.parsing.decision import Decision
from api_shim.parsing.filters import read_conditions
from api_shim.parsing.run_request import RunRequest
from api_shim.reconcile.approval_form import fingerprint
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import WorkQueue
from api_shim.services.approval_queue import ApprovalQueue, Waiting
from api_shim.services.approval_state import expire, return_stale
from api_shim.services.approvals import Approvals
from api_shim.services.authentication import actor_of
from api_shim.services.runs import Runs
from api_shim.services.schedule_changes import ScheduleChanges
from api_shim.services.schedules import Schedules
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.admission import ALREADY_RUN, NOT_APPROVED, NOT_REQUESTED, Answer, Go, Hold, Refuse, Wait
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, NotRunnable, Outdated, Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.plant import HOUR, INPUTS, Code, OverPlants, Plant, Plants, opened_plant
from tests.api_shim.statements import statements
from tests.databases import sqlite_with_tables
from tests.factories import NOW, administering, make_user, remove_user
from tests.fakes import Died, FakeEngine

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


APPROVAL = {"approval_required": True, "supports_dryrun": True}
AT_ONCE = {"interval": "immediately", "name": "urgent"}
LATER = {"interval": "future", "name": "once", "start_time": (NOW + HOUR).isoformat()}
HOURLY = {"interval": "hourly", "name": "often", "start_time": (NOW + HOUR).isoformat()}
EVERY = [pytest.param(AT_ONCE, id="at once"), pytest.param(LATER, id="once"), pytest.param(HOURLY, id="often")]

SCHEDULED, JOB = ObjectType.SCHEDULED_JOB, ObjectType.JOB
VIEW, CHANGE, DELETE, RUN, APPROVE = Action.VIEW, Action.CHANGE, Action.DELETE, Action.RUN, Action.APPROVE
AT_NOON = "on 2026-05-04 at 12:00:00 UTC."


def told(when: datetime) -> str:
    return f"on {when:%Y-%m-%d at %H:%M:%S} UTC."


GONE = "No ScheduledJob matches the given query."
EXPIRED = "This request has expired, because nobody decided about it in time; request it again."

# Who decides, and how it is asked


@dataclass(frozen=True, kw_only=True)
class May:
    """What somebody is permitted."""

    kind: ObjectType
    actions: tuple[Action, ...]
    limit: Any = None


def may(kind: ObjectType, *actions: Action, limit: Any = None) -> May:
    return May(kind=kind, actions=actions, limit=limit)


APPROVER = (may(SCHEDULED, VIEW, CHANGE, DELETE), may(JOB, APPROVE, RUN))


def person(plant: Plant, username: str, *permissions: May, read_only: bool = False) -> Actor:
    """Return somebody who has an account and these permissions."""
    user = make_user(username)
    plant.add(user)
    for each in permissions:
        given = Permission(
            id=uuid4(),
            name=f"{uuid4()}",
            object_types=(each.kind,),
            actions=each.actions,
            constraints=each.limit,
        )
        plant.add(given, PermissionUser(permission_id=given.id, user_id=user.id))
    with plant.store.transaction(write=False) as tx:
        return replace(actor_of(tx, user), read_only=read_only)


def approver(plant: Plant, username: str = "bob") -> Actor:
    return person(plant, username, *APPROVER)


def asked(plant: Plant, schedule: object = None, **request: Any) -> ScheduledJob:
    """Return a request that alice has made, as it stands in the store."""
    made = asyncio.run(plant.request(schedule, **request)).scheduled_job
    return now_of(plant, made)


def now_of(plant: Plant, row: ScheduledJob) -> ScheduledJob:
    [found] = [each for each in plant.all(ScheduledJob) if each.id == row.id]
    return found


def shown(plant: Plant, row: ScheduledJob) -> str:
    """Return the version that somebody has seen who looks at a request now."""
    return version_of(now_of(plant, row), plant.only(Job))


def decide(plant: Plant, how: str, who: Actor, row: ScheduledJob, **decision: Any) -> ScheduledJob:
    made: ScheduledJob = asyncio.run(getattr(plant.approvals, how)(who, {"id": row.id}, Decision(**decision)))
    return made


def refused(plant: Plant, how: str, who: Actor, row: ScheduledJob, **decision: Any) -> tuple[type[GateError], Any]:
    """See that a decision is refused and changes nothing; return how."""
    before = (plant.all(ScheduledJob), events(plant), plant.engine.all_runs.copy())
    with pytest.raises(GateError) as caught:
        decide(plant, how, who, row, **decision)
    assert (plant.all(ScheduledJob), events(plant), plant.engine.all_runs) == before
    return caught.type, caught.value.detail


def dry_run(plant: Plant, who: Actor, row: ScheduledJob, seen: str | None = None) -> JobResult:
    return asyncio.run(plant.approvals.dry_run(who, {"id": row.id}, seen))


# What stands then


def events(plant: Plant) -> list[AuditEvent]:
    """Return the audit, which nothing has broken."""
    with plant.store.transaction(write=False) as tx:
        recorded, head = tx.events(0, 100_000), tx.audit_head()
    assert fault(recorded, head) == ""
    return recorded


def history(plant: Plant) -> list[tuple[EventType, str]]:
    return [(each.act, each.actor) for each in events(plant)]


def result_of(plant: Plant, its_id: UUID | None) -> JobResult:
    """Return the job result that has this id, or whose flow run has it."""
    [result] = [each for each in plant.all(JobResult) if its_id in (each.id, each.flow_run_id)]
    return result


def check_stands(plant: Plant, row: ScheduledJob) -> None:
    """See that a request's run stands in Prefect."""
    assert row.flow_run_id is not None
    run = plant.engine.all_runs[row.flow_run_id]
    assert run.held
    assert (run.name, run.parameters) == (f"{row.name} (waiting for approval)", row.inputs)


def check_asks(plant: Plant, row: ScheduledJob) -> None:
    """See that a request's run stands in Prefect and asks what is to be decided."""
    check_stands(plant, row)
    assert row.flow_run_id in plant.engine.questions
    assert fingerprint(plant.engine.questions[row.flow_run_id]) == row.question_mark


def check_in_line(plant: Plant) -> None:
    """See that Prefect is as the store says, also of what waits for a decision."""
    waiting = [row for row in plant.all(ScheduledJob) if row.awaits_decision]
    for row in waiting:
        check_asks(plant, row)
    assert {run.id for run in plant.unended() if run.held} == {row.flow_run_id for row in waiting}
    assert plant.all(PendingCleanup) == []
    if not waiting:
        plant.check_in_line()


def check_nothing_is_left(plant: Plant) -> None:
    assert (plant.all(ScheduledJob), plant.all(Participant), plant.all(PendingCleanup)) == ([], [], [])
    assert (plant.unended(), plant.own()) == ([], {})


def executed(plant: Plant) -> list[JobResult]:
    return [result for result in plant.all(JobResult) if result.attempt is not None]


@pytest.fixture
def plant(store_url: str) -> Iterator[Plant]:
    """A plant whose Job needs approval."""
    yield from opened_plant(store_url, **APPROVAL)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Plant]:
    yield from opened_plant(sqlite_with_tables(tmp_path / "store.db"), **APPROVAL)


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Plant]:
    yield from opened_plant(postgresql_url, **APPROVAL)


# The story


@pytest.mark.each_database
def test_a_request_is_made_refused_to_its_author_tried_approved_and_executed_once(plant: Plant) -> None:
    alice, bob = plant.actor, approver(plant)
    row = asked(plant, LATER)
    assert (row.approval, row.requester_id, row.flow_run_id is None) == (ApprovalState.PENDING, alice.id, False)
    check_asks(plant, row)

    assert refused(plant, "approve", alice, row) == (Forbidden, "You cannot approve your own job request!")
    plant.now += MINUTE
    tried = dry_run(plant, bob, row)
    plant.work_off()
    assert now_of(plant, row) == row
    tried = result_of(plant, tried.id)
    assert (tried.user_id, tried.inputs, tried.scheduled_job_id) == (bob.id, {**INPUTS, "dryrun": True}, None)
    assert (tried.status, tried.approval) == (Status.SUCCESS, None)

    plant.now += MINUTE
    approved = decide(plant, "approve", bob, row, comment="looks fine")
    assert (approved.approval, approved.approved_by, approved.approved_by_id) == (ApprovalState.APPROVED, "bob", bob.id)
    assert (approved.approved_at, approved.approval_comment) == (plant.now, "looks fine")
    assert (approved.owner_id, approved.requester_id, approved.flow_run_id) == (alice.id, alice.id, row.flow_run_id)
    [run] = plant.unended()
    assert (run.id, run.name, run.scheduled_for) == (row.flow_run_id, "once", NOW + HOUR)
    assert run.message == "Approved by bob: looks fine"

    plant.work_off()
    plant.now = NOW + HOUR
    plant.work_off()
    done = result_of(plant, row.flow_run_id)
    assert (done.status, done.user_id, done.nominal_time) == (Status.SUCCESS, alice.id, NOW + HOUR)
    at = (NOW + 2 * MINUTE).isoformat()
    assert done.approval == {"by": "bob", "at": at, "comment": "looks fine"}
    over = now_of(plant, row)
    assert (over.enabled, over.total_run_count, over.last_run_at) == (False, 1, NOW + HOUR)

    plant.settle()
    plant.check_in_line()
    assert plant.work(plant.engine.all_runs[done.flow_run_id]) == Refuse(ALREADY_RUN)
    assert len(executed(plant)) == 2
    assert history(plant) == [
        (EventType.REQUESTED, "alice"),
        (EventType.DRY_RUN, "bob"),
        (EventType.ADMITTED, "bob"),
        (EventType.APPROVED, "bob"),
        (EventType.ADMITTED, "alice"),
        (EventType.REFUSED, "alice"),
    ]
    assert [each.at for each in events(plant)][:5] == [NOW, NOW + MINUTE, NOW + MINUTE, NOW + 2 * MINUTE, NOW + HOUR]
    assert {each.scheduled_job_id for each in events(plant) if each.act is not EventType.ADMITTED} == {row.id}
    plant.tick(seconds=1)
    told = sorted(plant.engine.announced.values(), key=lambda each: each.payload["number"])
    assert [each.event for each in told] == [f"signoff.{act}" for act, _ in history(plant)]


# Denied and withdrawn


@pytest.mark.parametrize(
    ("schedule", "own", "comment", "message"),
    [
        pytest.param(HOURLY, False, "not now", "Denied by bob: not now", id="denied"),
        pytest.param(AT_ONCE, False, "", "Denied by bob.", id="denied without a word"),
        pytest.param(LATER, True, "", "Withdrawn by alice.", id="withdrawn"),
    ],
)
def test_what_is_denied_or_withdrawn_is_gone(
    plants: Plants, schedule: Any, own: bool, comment: str, message: str
) -> None:
    plant = plants.ready(**APPROVAL)
    state = ApprovalState.WITHDRAWN if own else ApprovalState.DENIED
    act = EventType.WITHDRAWN if own else EventType.DENIED
    who = plant.actor if own else approver(plant)
    row = asked(plant, schedule)
    gone = decide(plant, "deny", who, row, comment=comment)
    assert gone == replace(row, approval=state, enabled=False)
    check_nothing_is_left(plant)
    assert row.flow_run_id is not None
    run = plant.engine.all_runs[row.flow_run_id]
    assert (run.state_type, run.message) == ("CANCELLED", message)
    last = events(plant)[-1]
    assert (last.act, last.actor_id, last.scheduled_job_id, last.flow_run_id) == (act, who.id, row.id, row.flow_run_id)
    assert last.data.get("comment", "") == comment
    assert plant.work(run) == Refuse(NOT_REQUESTED)
    plant.settle()
    check_nothing_is_left(plant)
    assert plant.all(JobResult) == []


# Who decides about what is gone


LIMITS = [
    pytest.param(None, True, id="who may all"),
    pytest.param({"name": "once"}, True, id="who may those of its name"),
    pytest.param({"name": "another"}, False, id="who may another"),
    pytest.param([{"name": "another"}, {"name__startswith": "on"}], True, id="who may it in the second place"),
    pytest.param({"user__username": "alice"}, True, id="who may alice's"),
    pytest.param({"user__username": "zoe"}, False, id="who may somebody else's"),
    pytest.param({"user": "$user"}, False, id="who may their own"),
    pytest.param({"job_model__grouping": "Tests", "queue__in": ["default", "bulk"]}, True, id="who may its group's"),
    pytest.param({"interval": "future"}, True, id="who may one-offs"),
    pytest.param({"interval": "hourly"}, False, id="who may hourly ones"),
    pytest.param({"enabled": True}, True, id="who may enabled ones"),
    pytest.param({"start_time__gte": NOW.isoformat()}, True, id="who may those of today"),
    pytest.param({"start_time__lt": NOW.isoformat()}, False, id="who may those of yesterday"),
    pytest.param({"total_run_count__lt": 5}, True, id="who may those that ran less than five times"),
    pytest.param({"last_run_at__isnull": True}, True, id="who may those that never ran"),
]


DECISIONS = {"approve": CHANGE, "deny": DELETE}
"""How a request is decided about, and what that takes."""


@pytest.mark.parametrize(
    ("limit", "could", "how", "own"),
    [
        *(pytest.param(*row.values, "approve", False, id=f"approve, denied, {row.id}") for row in LIMITS),
        *(
            pytest.param(*row.values, how, own, id=f"{how}, {'withdrawn' if own else 'denied'}, {row.id}")
            for row in LIMITS[1:3]
            for how, own in (("approve", True), ("deny", False), ("deny", True))
        ),
    ],
)
def test_who_decides_after_a_denial_is_told_if_they_could_have_decided(
    plants: Plants, limit: Any, could: bool, how: str, own: bool
) -> None:
    plant, action = plants.ready(**APPROVAL), DECISIONS[how]
    carol = person(plant, "carol", may(SCHEDULED, action, limit=limit), may(JOB, APPROVE))
    row = asked(plant, LATER)
    with plant.store.transaction(write=False) as tx:
        assert tx.visible(SCHEDULED, carol, action, [row.id]) == ({row.id} if could else set())
    decide(plant, "deny", plant.actor if own else approver(plant), row)
    plant.now += HOUR
    who = "alice withdrew" if own else "bob denied"
    told = (Conflict, f"{who} this request {AT_NOON}") if could else (NotFound, GONE)
    assert refused(plant, how, carol, row) == told


@pytest.mark.parametrize("how", ["approve", "deny"])
def test_who_may_decide_nothing_is_told_only_that(plants: Plants, how: str) -> None:
    plant = plants.ready(**APPROVAL)
    zoe = person(plant, "zoe", may(SCHEDULED, VIEW), may(JOB, APPROVE))
    row = asked(plant, LATER)
    before = refused(plant, how, zoe, row)
    decide(plant, "deny", approver(plant), row)
    assert refused(plant, how, zoe, row) == before
    assert before[0] is Forbidden


@pytest.mark.parametrize("how", ["approve", "deny"])
def test_who_decides_after_a_plain_deletion_finds_nothing(plants: Plants, how: str) -> None:
    plant = plants.ready(**APPROVAL)
    bob, carol = approver(plant), approver(plant, "carol")
    row = asked(plant, LATER)
    asyncio.run(plant.schedules.delete(carol, row.id))
    assert refused(plant, how, bob, row) == (NotFound, GONE)
    assert refused(plant, how, bob, replace(row, id=uuid4())) == (NotFound, GONE)
    assert history(plant)[-1] == (EventType.DELETED, "carol")


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(None, id="who may all"),
        pytest.param({"name": "once"}, id="who may those of its name"),
    ],
)
def test_who_decides_after_its_author_deleted_it_is_told_that_it_was_withdrawn(plants: Plants, limit: Any) -> None:
    plant = plants.ready(**APPROVAL)
    carol = person(plant, "carol", may(SCHEDULED, CHANGE, limit=limit), may(JOB, APPROVE))
    row = asked(plant, LATER)
    asyncio.run(plant.schedules.delete(plant.actor, row.id))
    assert history(plant)[-1] == (EventType.WITHDRAWN, "alice")
    assert refused(plant, "approve", carol, row) == (Conflict, f"alice withdrew this request {AT_NOON}")


@pytest.mark.parametrize("how", ["approve", "deny"])
def test_who_names_what_was_denied_is_told_too(plants: Plants, how: str) -> None:
    plant = plants.ready(**APPROVAL)
    bob, carol = approver(plant), approver(plant, "carol")
    row = asked(plant, LATER)
    decide(plant, "deny", bob, row)
    with pytest.raises(Conflict, match="bob denied"):
        asyncio.run(getattr(plant.approvals, how)(carol, {"name": row.name}, Decision()))


# Decided once


@pytest.mark.parametrize("later", [0, 2], ids=["at once", "when it has run"])
def test_what_is_approved_is_decided(plants: Plants, later: int) -> None:
    plant = plants.ready(**APPROVAL)
    alice, bob, carol = plant.actor, approver(plant), approver(plant, "carol")
    row = asked(plant, LATER)
    decide(plant, "approve", bob, row)
    for _ in range(later):
        plant.now += HOUR
        plant.work_off()
    # Another approves or denies it, the same person denies it, its author withdraws it.
    for how, who in (("approve", carol), ("deny", carol), ("deny", bob), ("deny", alice)):
        assert refused(plant, how, who, row, force=True) == (Conflict, f"bob approved this request {AT_NOON}")


@pytest.mark.parametrize(
    ("schedule", "later"),
    [pytest.param(HOURLY, 0, id="at once"), pytest.param(LATER, 2, id="when it has run")],
)
def test_who_approves_again_gets_the_same_answer_and_nothing_happens(plants: Plants, schedule: Any, later: int) -> None:
    plant = plants.ready(**APPROVAL)
    bob = approver(plant)
    row = asked(plant, schedule)
    decide(plant, "approve", bob, row, comment="first")
    for _ in range(later):
        plant.tick(2, minutes=30)
        plant.work_off()
    before, runs = now_of(plant, row), plant.engine.all_runs.copy()
    again = decide(plant, "approve", bob, row, comment="second", version="whatever")
    assert (again.approved_at, again.approval_comment) == (NOW, "first")
    assert replace(now_of(plant, row), next_look_at=before.next_look_at) == before
    assert plant.engine.all_runs == runs
    assert [act for act, _ in history(plant)].count(EventType.APPROVED) == 1


@pytest.mark.parametrize("how", ["approve", "deny"])
def test_what_needs_no_approval_is_not_decided_about(plants: Plants, how: str) -> None:
    plant = plants.ready()
    row = asked(plant, LATER)
    assert refused(plant, how, approver(plant), row) == (Conflict, policy.NOT_NEEDED)


# What stands against a decision


def test_who_decides_by_name_decides_about_the_same(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    bob = approver(plant)
    assert asyncio.run(plant.approvals.dry_run(bob, {"name": "once"})).user_id == bob.id
    assert asyncio.run(plant.approvals.approve(bob, {"name": "once"}, Decision())).id == row.id
    assert now_of(plant, row).approved_by == "bob"


@pytest.mark.parametrize("how", ["approve", "deny"])
@pytest.mark.parametrize(
    ("permissions", "error"),
    [
        pytest.param((), Forbidden, id="nobody in particular"),
        pytest.param((may(SCHEDULED, VIEW), may(JOB, APPROVE)), Forbidden, id="who may only look"),
        pytest.param((may(SCHEDULED, VIEW, CHANGE, DELETE),), Forbidden, id="who may not approve its Job"),
        pytest.param(
            (may(SCHEDULED, VIEW, CHANGE, DELETE), may(JOB, APPROVE, limit={"name": "another"})),
            Forbidden,
            id="who may approve another Job",
        ),
        pytest.param(
            (may(SCHEDULED, VIEW, CHANGE, DELETE, limit={"name": "another"}), may(JOB, APPROVE)),
            NotFound,
            id="who may see another",
        ),
    ],
)
def test_nobody_decides_who_may_not(
    plants: Plants, how: str, permissions: Sequence[May], error: type[GateError]
) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    assert refused(plant, how, person(plant, "zoe", *permissions), row)[0] is error


def test_a_job_that_cannot_run_is_denied_and_not_approved(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob = approver(plant)
    row = asked(plant, LATER)
    plant.change(plant.job, enabled=False)
    assert refused(plant, "approve", bob, row) == (Forbidden, "This job is not enabled to be run.")
    plant.change(plant.job, enabled=True, installed=False)
    assert refused(plant, "approve", bob, row)[0] is NotRunnable
    decide(plant, "deny", bob, row)
    check_nothing_is_left(plant)


# What was seen


CHANGES: list[Any] = [
    pytest.param({"inputs": {"count": 3}}, {}, id="other inputs"),
    pytest.param({"queue": "bulk"}, {}, id="another queue"),
    pytest.param({"start_time": NOW + 2 * HOUR}, {}, id="another time"),
    pytest.param({"interval": Interval.HOURLY}, {}, id="another interval"),
    pytest.param({"owner_id": None}, {}, id="another owner"),
    pytest.param({}, {"code_digest": "2::new"}, id="other code"),
]


@pytest.mark.parametrize(("to", "job"), CHANGES)
def test_nobody_approves_what_they_have_not_seen(plants: Plants, to: dict[str, Any], job: dict[str, Any]) -> None:
    plant = plants.ready(**APPROVAL)
    bob = approver(plant)
    row = asked(plant, LATER)
    seen = shown(plant, row)
    if to:
        plant.change(row, **to)
    if job:
        plant.change(plant.job, **job)
    for how in ("approve", "deny"):
        assert refused(plant, how, bob, row, version=seen) == (Outdated, policy.CHANGED)
    with pytest.raises(Outdated):
        dry_run(plant, bob, row, seen)
    with pytest.raises(Outdated):
        asyncio.run(plant.schedules.delete(bob, row.id, seen))
    assert shown(plant, row) != seen
    assert decide(plant, "approve", bob, row, version=shown(plant, row)).approval is ApprovalState.APPROVED


def test_what_nobody_has_edited_is_approved_without_its_version_whatever_becomes_of_its_code(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row, bob = asked(plant, LATER), approver(plant)
    plant.change(plant.job, code_digest="new")
    assert decide(plant, "approve", bob, row).approval is ApprovalState.APPROVED


@pytest.mark.parametrize(("to", "job"), CHANGES[:3] + CHANGES[-1:])
def test_what_was_changed_after_its_approval_goes_back_and_does_not_run(
    plants: Plants, to: dict[str, Any], job: dict[str, Any]
) -> None:
    plant = plants.ready(**APPROVAL)
    bob = approver(plant)
    row = asked(plant, AT_ONCE)
    decide(plant, "approve", bob, row)
    if to:
        plant.change(row, **{**to, "immediate": False})
    if job:
        plant.code = "2::new"
    for _ in range(2):
        plant.now += HOUR
        plant.work_off()
    again = now_of(plant, row)
    assert (again.approval, again.approved_by, again.approved_at) == (ApprovalState.PENDING, "", None)
    assert again.approval_note.endswith("changed after bob approved it.")
    assert executed(plant) == []
    assert [act for act, _ in history(plant)] == [EventType.REQUESTED, EventType.APPROVED, EventType.RETURNED]
    plant.settle()
    check_in_line(plant)


# When


PAST_DUE = [
    pytest.param(LATER, HOUR, False, None, id="a one-off at its start"),
    pytest.param(LATER, HOUR + SECOND, False, (Invalid, policy.PAST_DUE), id="a one-off after its start"),
    pytest.param(LATER, HOUR + SECOND, True, None, id="a one-off after its start, knowingly"),
    pytest.param(LATER, SECOND, True, None, id="a one-off before its start, needlessly"),
    pytest.param(AT_ONCE, 100 * HOUR, False, None, id="what was to run at once is never past due"),
    pytest.param(HOURLY, 100 * HOUR, False, None, id="what repeats is never past due"),
]


@pytest.mark.parametrize(("schedule", "later", "force", "refusal"), PAST_DUE)
def test_what_is_past_due_is_approved_knowingly(
    plants: Plants, schedule: Any, later: timedelta, force: bool, refusal: Any
) -> None:
    plant = plants.ready(**APPROVAL)
    bob = approver(plant)
    row = asked(plant, schedule)
    plant.now += later
    if refusal:
        assert refused(plant, "approve", bob, row, force=force) == refusal
        return
    assert decide(plant, "approve", bob, row, force=force).approval is ApprovalState.APPROVED
    assert events(plant)[-1].data == ({"force": True} if force else {})


def test_what_is_approved_early_runs_at_its_time(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    decide(plant, "approve", approver(plant), row)
    assert row.flow_run_id is not None
    forced = plant.engine.set_state(row.flow_run_id, "SCHEDULED", "Scheduled", scheduled_for=plant.now)
    assert plant.work(forced) == Wait(NOW + HOUR)
    plant.now = NOW + HOUR - SECOND
    plant.work_off()
    assert executed(plant) == []
    plant.now = NOW + HOUR
    plant.work_off()
    assert result_of(plant, row.flow_run_id).date_started == NOW + HOUR


def test_what_is_approved_late_runs_at_once_and_once(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    plant.tick(5, hours=1)
    check_asks(plant, now_of(plant, row))
    assert plant.all(JobResult) == []
    decide(plant, "approve", approver(plant), row, force=True)
    plant.work_off()
    result = plant.only(JobResult)
    assert (result.nominal_time, result.date_started) == (NOW + HOUR, NOW + 5 * HOUR)
    plant.settle()
    plant.work_off()
    plant.check_in_line()
    assert len(executed(plant)) == 1


def test_what_was_to_run_at_once_runs_when_it_is_approved(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    asked(plant, AT_ONCE)
    plant.tick(seconds=300)
    decide(plant, "approve", approver(plant), plant.only(ScheduledJob))
    plant.work_off()
    assert (plant.only(JobResult).status, plant.only(JobResult).date_started) == (Status.SUCCESS, plant.now)


def test_what_repeats_begins_with_the_firing_after_its_approval(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, HOURLY)
    plant.tick(15, minutes=10)
    assert [spec.schedule.active for spec in plant.own().values()] == [False]
    decide(plant, "approve", approver(plant), row, comment="go on")
    assert [spec.schedule.active for spec in plant.own().values()] == [True]
    assert row.flow_run_id is not None
    asking = plant.engine.all_runs[row.flow_run_id]
    assert (asking.state_type, asking.state_name, asking.message) == (
        "COMPLETED",
        "Completed",
        "Approved by bob: go on",
    )

    plant.tick(29, minutes=1)
    assert (plant.unended(), plant.all(JobResult)) == ([], [])
    plant.now = NOW + 3 * HOUR
    assert plant.work(plant.engine.make_firing(plant.own_id(), plant.now)) == Go()
    plant.tick(62, minutes=1)
    plant.work_off()  # nobody made the run of the fourth hour, so it was made up for
    plant.tick(minutes=1)
    results = plant.results()
    assert list(results) == [NOW + 3 * HOUR, NOW + 4 * HOUR]
    assert {result.approval["by"] for result in results.values()} == {"bob"}
    assert now_of(plant, row).total_run_count == 2
    plant.check_in_line()


def test_a_firing_that_came_while_its_approval_was_lost_does_not_run_when_it_is_approved_again(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, HOURLY)
    decide(plant, "approve", bob, row)
    plant.now = NOW + HOUR
    late = plant.engine.make_firing(plant.own_id(), plant.now)  # and every worker is busy
    with plant.store.transaction() as tx:
        return_stale(tx.change(plant.only(Job), code_digest="2::new").id, plant.now, tx)
    plant.code = "2::new"
    plant.tick(30, minutes=1)
    decide(plant, "approve", bob, row)
    if not plant.engine.all_runs[late.id].final:
        assert plant.work(plant.engine.all_runs[late.id]) != Go()
    plant.tick(3, minutes=1)
    assert executed(plant) == []


# Expired


@pytest.mark.parametrize("written", [False, True], ids=["before it is written down", "after"])
def test_what_nobody_decided_about_in_time_cannot_be_decided_about(plants: Plants, written: bool) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=1800.0)
    bob = approver(plant)
    row = asked(plant, LATER)
    assert row.expires_at == NOW + 30 * MINUTE
    plant.now = row.expires_at
    if written:
        plant.tick(2, seconds=1)
    for how, who in (("approve", bob), ("deny", bob), ("deny", plant.actor)):
        assert refused(plant, how, who, row, force=True) == (Conflict, EXPIRED)


@pytest.mark.parametrize("schedule", EVERY)
def test_what_nobody_decided_about_in_time_never_runs(plants: Plants, schedule: Any) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=1800.0)
    row = asked(plant, schedule)
    plant.now = NOW + 30 * MINUTE
    plant.tick(2, seconds=1)
    over = now_of(plant, row)
    assert (over.approval, over.enabled) == (ApprovalState.EXPIRED, False)
    assert history(plant) == [(EventType.REQUESTED, "alice"), (EventType.EXPIRED, "")]
    assert row.flow_run_id is not None
    run = plant.engine.all_runs[row.flow_run_id]
    assert (run.state_type, run.state_name) == ("CANCELLED", "Expired")
    assert plant.work(run) == Refuse(NOT_APPROVED)
    plant.settle()
    plant.check_in_line()
    assert (plant.unended(), plant.all(JobResult)) == ([], [])


def test_what_was_decided_about_in_time_does_not_expire(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=1800.0)
    row = asked(plant, LATER)
    plant.now = NOW + 30 * MINUTE - SECOND
    decide(plant, "approve", approver(plant), row)
    plant.tick(3, seconds=40)
    assert now_of(plant, row).approval is ApprovalState.APPROVED
    plant.now = NOW + HOUR
    plant.work_off()
    assert plant.only(JobResult).status is Status.SUCCESS


def test_what_returns_to_the_queue_has_its_time_to_be_decided_about_again(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=1800.0)
    bob = approver(plant)
    row = asked(plant, HOURLY)
    decide(plant, "approve", bob, row)
    plant.now = NOW + 5 * HOUR
    with plant.store.transaction() as tx:
        return_stale(tx.change(plant.only(Job), code_digest="2::new").id, plant.now, tx)
    plant.tick(2, seconds=1)
    assert now_of(plant, row).approval is ApprovalState.PENDING
    assert decide(plant, "approve", bob, row).approval is ApprovalState.APPROVED


# The queue


def queue(plant: Plant, who: Actor, **listing: Any) -> Page[Waiting]:
    asked_for = Listing(**{"limit": 50, **listing})
    return asyncio.run(ApprovalQueue(plant.store, lambda: plant.now).listed(who, asked_for))


def names(page: Page[Waiting]) -> list[str]:
    return [waiting.scheduled.name for waiting in page.rows]


def waits(plant: Plant, name: str, **to: Any) -> ScheduledJob:
    row = plant.one_off(name=name, approval=ApprovalState.PENDING, **to)
    plant.add(Participant(scheduled_job_id=row.id, user_id=plant.user.id, username="alice"))
    return row


SEES = may(SCHEDULED, VIEW)
SIGHTS = [
    pytest.param(APPROVER, {"a": "", "b": ""}, id="who may approve all"),
    pytest.param(
        (SEES, may(JOB, APPROVE)),
        {"a": policy.NO_PERMISSION, "b": policy.NO_PERMISSION},
        id="who may see all and change none",
    ),
    pytest.param(
        (may(SCHEDULED, VIEW, CHANGE),),
        {"a": policy.MAY_NOT_APPROVE, "b": policy.MAY_NOT_APPROVE},
        id="who may not approve the Job",
    ),
    pytest.param(
        (SEES, may(SCHEDULED, CHANGE, limit={"name": "b"}), may(JOB, APPROVE)),
        {"a": policy.NO_PERMISSION, "b": ""},
        id="who may change one of them",
    ),
    pytest.param(
        (may(SCHEDULED, VIEW, limit={"name": "b"}), may(SCHEDULED, CHANGE), may(JOB, APPROVE)),
        {"b": ""},
        id="who may see one of them",
    ),
    pytest.param((may(SCHEDULED, VIEW, limit={"name": "c"}),), {}, id="who may see another"),
]


@pytest.mark.parametrize(("permissions", "why_not"), SIGHTS)
def test_the_queue_shows_what_one_may_see_and_why_one_may_not_approve_it(
    plants: Plants, permissions: Sequence[May], why_not: dict[str, str]
) -> None:
    plant = plants.ready(**APPROVAL)
    waits(plant, "a")
    waits(plant, "b")
    page = queue(plant, person(plant, "zoe", *permissions))
    assert {waiting.scheduled.name: waiting.why_not for waiting in page.rows} == why_not
    assert page.count == len(why_not)
    assert {waiting.requester for waiting in page.rows} <= {"alice"}


def test_the_queue_is_closed_to_who_may_see_no_scheduled_jobs(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    with pytest.raises(Forbidden, match=policy.NO_PERMISSION):
        queue(plant, person(plant, "zoe", may(SCHEDULED, CHANGE, DELETE), may(JOB, APPROVE)))


REASONS: list[Any] = [
    pytest.param({}, {}, "", id="nothing"),
    pytest.param({"start_time": NOW - HOUR}, {}, "", id="past due is a matter of force"),
    pytest.param({"expires_at": NOW}, {}, EXPIRED, id="its time is over and nobody has written that down"),
    pytest.param({"expires_at": NOW + SECOND}, {}, "", id="its time is not over"),
    pytest.param({}, {"enabled": False}, "This job is not enabled to be run.", id="its Job is disabled"),
    pytest.param(
        {}, {"installed": False}, "This job is not presently installed and cannot be run.", id="its Job's code is gone"
    ),
]


@pytest.mark.parametrize(("to", "job", "why_not"), REASONS)
def test_the_queue_says_what_else_stands_against_an_approval(
    plants: Plants, to: dict[str, Any], job: dict[str, Any], why_not: str
) -> None:
    plant = plants.ready(**APPROVAL, **job)
    row = waits(plant, "a", **to)
    bob = approver(plant)
    [waiting] = queue(plant, bob).rows
    assert waiting.why_not == why_not
    if why_not:
        assert refused(plant, "approve", bob, row, force=True)[1] == why_not
    else:
        decide(plant, "approve", bob, row, force=True)


def test_the_queue_tells_its_authors_and_readers_that_they_may_not(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    asked(plant, LATER)
    assert [waiting.why_not for waiting in queue(plant, plant.actor).rows] == [policy.OWN_REQUEST]
    reader = person(plant, "zoe", *APPROVER, read_only=True)
    assert [waiting.why_not for waiting in queue(plant, reader).rows] == [policy.NO_PERMISSION]


def test_the_queue_has_what_waits_and_nothing_else(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    for number, state in enumerate(ApprovalState):
        plant.one_off(name=f"{number}", approval=state)
        plant.one_off(name=f"{number} disabled", approval=state, enabled=False)
    assert names(queue(plant, approver(plant))) == [str(list(ApprovalState).index(ApprovalState.PENDING))]


def test_the_queue_begins_with_what_starts_first_and_goes_page_by_page(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    for name, hours in (("c", 3), ("a", 1), ("d", 4), ("b", 2)):
        waits(plant, name, start_time=NOW + hours * HOUR)
    bob = approver(plant)
    assert names(queue(plant, bob)) == ["a", "b", "c", "d"]
    assert names(queue(plant, bob, sort=("-name",))) == ["d", "c", "b", "a"]
    page = queue(plant, bob, limit=2, offset=1)
    assert (names(page), page.count) == (["b", "c"], 4)
    assert names(queue(plant, bob, where=read_conditions(ObjectType.SCHEDULED_JOB, {"name": ["d", "a"]}))) == ["a", "d"]


def test_the_queue_names_a_requester_who_was_removed(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    asked(plant, LATER)
    plant.one_off(name="of nobody", approval=ApprovalState.PENDING, start_time=NOW + 2 * HOUR)
    remove_user(plant.store, "alice", plant.now)
    page = queue(plant, approver(plant))
    assert [(waiting.scheduled.name, waiting.requester) for waiting in page.rows] == [
        ("once", "alice"),
        ("of nobody", UNKNOWN_USER),
    ]


def test_the_queue_asks_the_database_as_often_for_fifty_as_for_one(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, asked_for = approver(plant), {}
    for wanted in (1, 50):
        for number in range(len(plant.all(ScheduledJob)), wanted):
            waits(plant, f"request {number:02}")
        with statements(plant.store) as said:
            assert len(queue(plant, bob).rows) == wanted
        asked_for[wanted] = len(said)
    assert asked_for[1] == asked_for[50] <= 10


@contextmanager
def interrupted(store: Store, after: int, work: Callable[[], Any]) -> Iterator[list[int]]:
    """Let something happen, in another thread, between a statement that reads and the one that follows it."""
    said: list[int] = []

    def hear(connection: Any, *_statement: Any) -> None:
        if not connection.get_execution_options()["signoff_write"]:
            said.append(len(said) + 1)
            if len(said) == after:
                with ThreadPoolExecutor(1) as aside:
                    aside.submit(work).result()

    event.listen(store._engine, "after_cursor_execute", hear)
    try:
        yield said
    finally:
        event.remove(store._engine, "after_cursor_execute", hear)


@pytest.mark.parametrize("what", ["queue", "dry run"])
def test_who_looks_while_somebody_decides_sees_one_moment(on_postgresql: Plant, what: str) -> None:
    looks_while_somebody_decides(on_postgresql, what)


@pytest.mark.parametrize("what", ["queue", "dry run"])
def test_who_looks_while_somebody_decides_sees_one_moment_on_sqlite_too(on_sqlite: Plant, what: str) -> None:
    looks_while_somebody_decides(on_sqlite, what)


def looks_while_somebody_decides(plant: Plant, what: str) -> None:
    """Look at requests that are denied meanwhile: after the first statement, after the second, and so on."""
    bob, carol = approver(plant), approver(plant, "carol")
    after, more = 0, True
    while more:
        after += 1
        row = asked(plant, {**LATER, "name": f"request {after}"})
        with closing(Server(plant, plant.engine)) as other:
            does = denies(carol, row)
            with interrupted(plant.store, after, lambda: other.does(does)) as said:  # noqa: B023 - within this round
                if what == "queue":
                    assert names(queue(plant, bob)) in ([], [row.name])
                else:
                    with suppress(NotFound):
                        dry_run(plant, bob, row)
        more = len(said) >= after
        if more:
            assert (row.id, EventType.DENIED) in [(each.scheduled_job_id, each.act) for each in events(plant)]
    assert after > 3


# Four eyes


def test_a_requester_who_comes_back_under_the_same_name_is_still_the_requester(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    identity = administering(plant.store)
    remove_user(plant.store, "alice", plant.now)
    back = identity.add_user("alice", NOW, superuser=True, reuse_name=True)
    alice = Actor(id=back.id, username="alice", superuser=True)
    assert alice.id != plant.actor.id
    assert refused(plant, "approve", alice, row) == (Forbidden, policy.SAME_PERSON)
    assert [waiting.why_not for waiting in queue(plant, alice).rows] == [policy.SAME_PERSON]


def own(plant: Plant, row: ScheduledJob, who: Actor, *, noted: bool = True) -> None:
    """Let somebody take a scheduled job over."""
    plant.change(row, owner_id=who.id)
    if noted:
        plant.add(Participant(scheduled_job_id=row.id, user_id=who.id, username=who.username))


def test_nobody_approves_what_they_asked_for_or_ever_owned(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, carol, dave = (approver(plant, name) for name in ("bob", "carol", "dave"))
    row = asked(plant, LATER)
    own(plant, row, bob)
    assert refused(plant, "approve", bob, row) == (Forbidden, policy.ONCE_OWNED)
    assert refused(plant, "approve", plant.actor, row) == (Forbidden, policy.OWN_REQUEST)
    own(plant, row, carol, noted=False)
    assert refused(plant, "approve", carol, row) == (Forbidden, policy.ONCE_OWNED)
    assert refused(plant, "approve", bob, row) == (Forbidden, policy.ONCE_OWNED)
    assert decide(plant, "approve", dave, row).approved_by == "dave"


@pytest.mark.parametrize(
    ("schedule", "first"),
    [pytest.param(LATER, True, id="before it is approved"), pytest.param(HOURLY, False, id="after")],
)
def test_what_a_removed_user_asked_for_is_approved_and_does_not_run(plants: Plants, schedule: Any, first: bool) -> None:
    plant = plants.ready(**APPROVAL)
    bob = approver(plant)
    row = asked(plant, schedule)
    if first:
        remove_user(plant.store, "alice", plant.now)
    decide(plant, "approve", bob, row)
    if not first:
        remove_user(plant.store, "alice", plant.now)
    plant.now = NOW + HOUR
    if schedule is HOURLY:
        plant.engine.make_firing(plant.own_id(), plant.now)
    plant.work_off()
    result, over = plant.only(JobResult), now_of(plant, row)
    assert (result.status, result.user_id, result.attempt) == (Status.FAILURE, None, None)
    assert "the originating user has been removed. Use 'Assume Ownership'" in str(result.traceback)
    assert (over.enabled, over.owner_id, over.approval) == (False, None, ApprovalState.APPROVED)
    plant.settle()
    plant.check_in_line()


def test_what_a_removed_user_approved_stays_approved_by_them(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, carol = approver(plant), approver(plant, "carol")
    row = asked(plant, LATER)
    decide(plant, "approve", bob, row)
    identity = administering(plant.store)
    remove_user(plant.store, "bob", plant.now)
    assert (now_of(plant, row).approved_by_id, now_of(plant, row).approved_by) == (None, "bob")
    back = identity.add_user("bob", NOW, reuse_name=True)
    identity.add_permission(
        "all", plant.now, types=[SCHEDULED, JOB], actions=[VIEW, CHANGE, DELETE, APPROVE, RUN], users=["bob"]
    )
    with plant.store.transaction(write=False) as tx:
        again = actor_of(tx, back)
    for who in (carol, again):
        assert refused(plant, "approve", who, row) == (Conflict, f"bob approved this request {AT_NOON}")
    plant.now = NOW + HOUR
    plant.work_off()
    assert plant.only(JobResult).approval["by"] == "bob"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("approve", id="approves"),
        pytest.param("dry run", id="tries"),
        pytest.param("deny", id="denies"),
    ],
)
@pytest.mark.each_database
def test_who_is_removed_between_their_sign_in_and_their_decision_is_no_fault_of_ours(plant: Plant, how: str) -> None:
    bob = approver(plant)
    row = asked(plant, LATER)
    remove_user(plant.store, "bob", plant.now)
    with suppress(GateError):
        if how == "dry run":
            dry_run(plant, bob, row)
        else:
            decide(plant, how, bob, row)
    assert (EventType.APPROVED, "bob") not in history(plant)


# Trying


@pytest.mark.parametrize(
    ("permissions", "to", "error", "detail"),
    [
        pytest.param((), {}, Forbidden, policy.NO_PERMISSION, id="who may see none"),
        pytest.param((SEES,), {}, Forbidden, policy.MAY_NOT_RUN, id="who may not run its Job"),
        pytest.param((may(JOB, RUN),), {}, Forbidden, policy.NO_PERMISSION, id="who may run its Job and not see it"),
        pytest.param(
            (may(SCHEDULED, VIEW, limit={"name": "another"}), may(JOB, RUN)),
            {},
            NotFound,
            GONE,
            id="who sees others",
        ),
        pytest.param(
            (SEES, may(JOB, RUN)),
            {"supports_dryrun": False},
            NotRunnable,
            policy.NO_DRY_RUN,
            id="a Job without dry run",
        ),
        pytest.param(
            (SEES, may(JOB, RUN)),
            {"enabled": False},
            NotRunnable,
            "This job is not enabled to be run.",
            id="a disabled Job",
        ),
    ],
)
def test_a_dry_run_is_refused(
    plants: Plants, permissions: Sequence[May], to: dict[str, Any], error: type[GateError], detail: str
) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    if to:
        plant.change(plant.job, **to)
    before = plant.engine.all_runs.copy()
    with pytest.raises(error) as caught:
        dry_run(plant, person(plant, "zoe", *permissions), row)
    assert caught.value.detail == detail
    assert (plant.engine.all_runs, plant.all(JobResult), len(events(plant))) == (before, [], 1)


def test_without_a_worker_there_is_no_dry_run(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    plant.engine.served.clear()
    with pytest.raises(Unavailable, match="No Prefect workers running on queue default"):
        dry_run(plant, approver(plant), row)
    assert (plant.all(JobResult), len(events(plant))) == ([], 1)


@pytest.mark.parametrize("job", [APPROVAL, {"supports_dryrun": True}], ids=["that waits", "that needs no approval"])
def test_anybody_who_may_run_the_job_tries_it_as_often_as_they_like(plants: Plants, job: dict[str, Any]) -> None:
    plant = plants.ready(**job)
    row = asked(plant, LATER)
    for who in (plant.actor, approver(plant), approver(plant, "carol")):
        tried = dry_run(plant, who, row)
        plant.work_off()
        assert (result_of(plant, tried.id).status, result_of(plant, tried.id).user_id) == (Status.SUCCESS, who.id)
        last = [each for each in events(plant) if each.act is EventType.DRY_RUN][-1]
        assert (last.actor, last.scheduled_job_id, last.data["job_result"]) == (who.username, row.id, str(tried.id))
    assert now_of(plant, row) == row
    check_in_line(plant)


def test_a_run_that_carries_no_request_is_not_put_back(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    decide(plant, "approve", approver(plant), row)
    before = plant.engine.all_runs.copy()
    assert row.flow_run_id is not None
    for run_id in (row.flow_run_id, uuid4()):
        asyncio.run(plant.approvals.put_back(run_id))
    assert plant.engine.all_runs == before


@pytest.mark.parametrize("schedule", EVERY)
def test_a_request_that_a_hand_lets_start_stands_and_asks_again(plants: Plants, schedule: Any) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, schedule)
    assert row.flow_run_id is not None
    for _ in range(3):
        forced = plant.engine.set_state(row.flow_run_id, "SCHEDULED", "AwaitingRetry", scheduled_for=plant.now)
        assert plant.work(forced) == Hold(NOT_APPROVED)
        check_in_line(plant)
    assert [act for act, _ in history(plant)] == [EventType.REQUESTED, *[EventType.REFUSED] * 3]
    decide(plant, "approve", approver(plant), row)
    plant.settle()
    plant.check_in_line()


# At once


class OneAtATime:
    """One Prefect for several servers: it answers one call after the other, whoever calls."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._turn = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._engine, name)

        async def call(*args: Any, **to: Any) -> Any:
            with self._turn:
                return await method(*args, **to)

        return call


class Server:
    """The use cases of one more process, over the store and the Prefect of a plant."""

    def __init__(self, plant: Plant, engine: Any) -> None:
        self.store = Store(plant.store._engine.url.render_as_string(hide_password=False))
        self.engine = engine
        self.now = plant.now

    def close(self) -> None:
        self.store.close()

    def does(self, work: Callable[[Server], Awaitable[Any]]) -> Any:
        """Serve one request, on an event loop of its own; return its answer, or its refusal."""
        self.projection = Reconciler(self.store, self.engine, lambda: self.now)
        queue = WorkQueue(self.projection.follow, lambda: self.now)
        wake = queue.wake
        runs = Runs(self.store, ServedQueues(self.engine, lambda: self.now), wake)
        self.approvals = Approvals(
            store=self.store, runs=runs, projection=self.projection, wake=wake, clock=lambda: self.now
        )
        code: Any = Code()  # the same promise, for Jobs without code
        self.schedule_changes = ScheduleChanges(
            store=self.store, runs=runs, wake=wake, code=code, clock=lambda: self.now
        )
        self.schedules = Schedules(
            store=self.store,
            runs=runs,
            wake=wake,
            code=code,
            clock=lambda: self.now,
            zone="UTC",
        )
        try:
            return asyncio.run(_awaited(work(self)))
        except GateError as error:
            return error


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


ROUNDS = 2
"""How often each race is run on each kind of database: with either in front."""
Deed = Callable[[Server], Awaitable[Any]]


class Race:
    """Several people who do something with one request at the same moment, each on a server of their own."""

    def __init__(self, plant: Plant, size: int) -> None:
        self.plant = plant
        self.people = [approver(plant, f"person{number}") for number in range(size)]
        engine = OneAtATime(plant.engine)
        self.servers = [Server(plant, engine) for _ in range(size)]

    def close(self) -> None:
        for server in self.servers:
            server.close()

    def run(self, *deeds: Deed) -> list[Any]:
        """Let everybody do their deed at once; return their answers."""
        ready = threading.Barrier(len(deeds))

        def does(server: Server, deed: Deed) -> Any:
            ready.wait(10)
            return server.does(deed)

        with ThreadPoolExecutor(len(deeds)) as threads:
            return list(threads.map(does, self.servers, deeds))

    def acts(self, row: ScheduledJob) -> list[EventType]:
        """Return what is recorded of a request, less its making and its run."""
        done = [each.act for each in events(self.plant) if each.scheduled_job_id == row.id]
        return [act for act in done if act not in (EventType.REQUESTED, EventType.ADMITTED, EventType.REFUSED)]

    def goes(self, row: ScheduledJob) -> int:
        """Let Prefect follow and workers work for a while; return how often the request's run was let go."""
        went = 0
        for _ in range(3):
            self.plant.tick(seconds=1)
            for run in list(self.plant.waiting()):
                if not run.held and run.scheduled_for is not None and run.scheduled_for <= self.plant.now:
                    went += self.plant.work(run) == Go() and run.id == row.flow_run_id
            for run in [run for run in self.plant.engine.all_runs.values() if run.id == row.flow_run_id and run.final]:
                assert self.plant.work(run) != Go(), "a hand's retry"
        return went


@pytest.fixture
def race(plant: Plant) -> Iterator[Race]:
    made = Race(plant, 4)
    yield made
    made.close()


def approves(who: Actor, row: ScheduledJob, **decision: Any) -> Deed:
    return lambda server: server.approvals.approve(who, {"id": row.id}, Decision(**decision))


def denies(who: Actor, row: ScheduledJob) -> Deed:
    return lambda server: server.approvals.deny(who, {"id": row.id}, Decision())


def deletes(who: Actor, row: ScheduledJob) -> Deed:
    return lambda server: server.schedules.delete(who, row.id)


def tries(who: Actor, row: ScheduledJob) -> Deed:
    return lambda server: server.approvals.dry_run(who, {"id": row.id})


def removes(username: str) -> Deed:
    async def remove(server: Server) -> None:
        await asyncio.to_thread(remove_user, server.store, username, NOW)

    return remove


def urgent(plant: Plant, number: int) -> ScheduledJob:
    return asked(plant, {**AT_ONCE, "name": f"request {number}"})


def kinds(answers: Sequence[Any]) -> Counter[type]:
    return Counter(type(answer) for answer in answers)


TOLD = {EventType.APPROVED: "approved", EventType.DENIED: "denied", EventType.WITHDRAWN: "withdrew"}
CONTESTS: list[Any] = [
    pytest.param(
        lambda p, _a, r: [approves(p[0], r), denies(p[1], r), approves(p[2], r), denies(p[3], r)],
        id="two approve and two deny",
    ),
    pytest.param(
        lambda p, a, r: [approves(p[0], r), denies(a, r), denies(p[1], r)],
        id="one approves, its author withdraws, and another denies",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("contest", CONTESTS)
@pytest.mark.each_database
def test_of_those_who_decide_at_once_one_decides_and_the_others_are_told_who(
    race: Race, contest: Callable[[list[Actor], Actor, ScheduledJob], list[Deed]]
) -> None:
    plant = race.plant
    for number in range(ROUNDS):
        row = urgent(plant, number)
        deeds = contest(race.people, plant.actor, row)
        deeds = deeds[number % 2 :] + deeds[: number % 2]
        answers = race.run(*deeds)
        [decision] = [each for each in events(plant) if each.scheduled_job_id == row.id and each.act in TOLD]
        assert kinds(answers) == {ScheduledJob: 1, Conflict: len(deeds) - 1}
        lost = {answer.detail for answer in answers if isinstance(answer, Conflict)}
        assert lost == {f"{decision.actor} {TOLD[decision.act]} this request {told(decision.at)}"}
        assert race.goes(row) == (decision.act is EventType.APPROVED)
    plant.settle()
    check_in_line(plant)


@pytest.mark.slow
@pytest.mark.each_database
def test_those_who_try_it_while_it_is_approved_get_their_runs_and_it_is_approved(race: Race) -> None:
    for number in range(ROUNDS):
        row = urgent(race.plant, number)
        approved, *tried = race.run(approves(race.people[0], row), *(tries(who, row) for who in race.people[1:]))
        assert (type(approved), kinds(tried)) == (ScheduledJob, {JobResult: 3})
        assert Counter(race.acts(row)) == {EventType.APPROVED: 1, EventType.DRY_RUN: 3}
        assert race.goes(row) == 1
        assert {result_of(race.plant, each.id).status for each in tried} == {Status.SUCCESS}


@pytest.mark.slow
@pytest.mark.each_database
def test_one_who_approves_many_times_at_once_has_decided_once(race: Race) -> None:
    for number in range(ROUNDS):
        row = urgent(race.plant, number)
        answers = race.run(*[approves(race.people[0], row) for _ in race.people])
        assert kinds(answers) == {ScheduledJob: len(race.people)}
        assert race.acts(row) == [EventType.APPROVED]
        assert race.goes(row) == 1


@pytest.mark.slow
@pytest.mark.each_database
def test_what_is_deleted_while_it_is_approved_does_not_run_and_is_gone(race: Race) -> None:
    plant, [bob, carol, *_] = race.plant, race.people
    for number in range(2 * ROUNDS):
        row, own = urgent(plant, number), number < ROUNDS
        act = EventType.WITHDRAWN if own else EventType.DELETED
        first, then = approves(bob, row), deletes(plant.actor if own else carol, row)
        approved, deleted = race.run(first, then) if number % 2 else reversed(race.run(then, first))
        assert deleted is None
        if isinstance(approved, ScheduledJob):
            assert race.acts(row) == [EventType.APPROVED, EventType.DELETED]
        else:
            assert isinstance(approved, Conflict if own else NotFound)
            assert race.acts(row) == [act]
        assert race.goes(row) == 0
        assert plant.all(ScheduledJob) == []
    plant.settle()
    check_nothing_is_left(plant)


@pytest.mark.slow
@pytest.mark.each_database
def test_what_is_approved_while_its_owner_is_removed_is_decided_once_and_does_not_run(race: Race) -> None:
    plant = race.plant
    for number in range(ROUNDS):
        user = make_user(f"owner{number}", is_superuser=True)
        plant.add(user)
        owner = Actor(id=user.id, username=user.username, superuser=True)
        wanted = RunRequest(data=INPUTS, schedule={**AT_ONCE, "name": f"request {number}"})
        made = asyncio.run(plant.schedules.request(owner, plant.job.id, wanted)).scheduled_job
        assert made is not None
        row = now_of(plant, made)
        removed, approved, denied = race.run(
            removes(user.username), approves(race.people[0], row), denies(race.people[1], row)
        )
        assert removed is None
        [decision] = race.acts(row)
        assert kinds([approved, denied]) == {ScheduledJob: 1, Conflict: 1}
        assert race.goes(row) == 0
        if decision is EventType.APPROVED:
            over = now_of(plant, row)
            assert (over.owner_id, over.enabled, over.requester_id) == (None, False, user.id)
            assert result_of(plant, row.flow_run_id).status is Status.FAILURE
    plant.settle()
    check_in_line(plant)


@pytest.mark.slow
@pytest.mark.each_database
def test_who_takes_a_request_over_while_they_approve_it_has_approved_nothing_that_is_theirs(race: Race) -> None:
    plant, bob = race.plant, race.people[0]

    def takes(row: ScheduledJob) -> Deed:
        def take(tx: Transaction) -> None:
            found = tx.get(ScheduledJob, id=row.id, lock=True)
            tx.add(Participant(scheduled_job_id=row.id, user_id=bob.id, username=bob.username))
            tx.change(found, owner_id=bob.id)

        return lambda server: server.store.write(take)

    for number in range(ROUNDS):
        row = urgent(plant, number)
        taken, approved = race.run(takes(row), approves(bob, row))
        assert taken is None
        over = now_of(plant, row)
        assert over.owner_id == bob.id
        if isinstance(approved, ScheduledJob):
            assert (approved.owner_id, race.acts(row)) == (plant.user.id, [EventType.APPROVED])
        else:
            assert (type(approved), str(approved), race.acts(row)) == (Forbidden, policy.ONCE_OWNED, [])
        # What they approved before it became theirs does not count for what is theirs.
        assert race.goes(row) == 0


@pytest.mark.slow
@pytest.mark.each_database
def test_what_is_approved_while_its_time_ends_is_approved_or_expires(race: Race) -> None:
    plant, bob = race.plant, race.people[0]
    plant.change(plant.job, approval_expires=1800.0)
    for number in range(ROUNDS):
        row = urgent(plant, number)
        assert row.expires_at is not None

        def expires(server: Server, row: ScheduledJob = row) -> Awaitable[Any]:
            return server.store.write(partial(expire, row.id, row.expires_at))

        race.servers[0].now = plant.now  # a little behind the other's
        approved, _ = race.run(approves(bob, row), expires)
        [decision] = race.acts(row)
        won = decision is EventType.APPROVED
        assert isinstance(approved, ScheduledJob if won else Conflict)
        assert won or (decision, str(approved)) == (EventType.EXPIRED, EXPIRED)
        assert race.goes(row) == won


@pytest.mark.slow
@pytest.mark.each_database
def test_what_is_approved_while_its_code_changes_never_runs_unapproved(race: Race) -> None:
    plant, bob = race.plant, race.people[0]
    for number in range(ROUNDS):
        row = urgent(plant, number)
        code = f"2::code {number}"

        async def changes(server: Server, code: str = code) -> None:
            await server.store.write(lambda tx: tx.change(plant.job, code_digest=code))
            await server.store.write(partial(return_stale, plant.job.id, NOW))

        approved, changed = race.run(approves(bob, row), changes)
        assert (type(approved), changed) == (ScheduledJob, None)
        plant.code = code
        over = now_of(plant, row)
        if race.acts(row) == [EventType.APPROVED]:
            assert over.approval is ApprovalState.APPROVED
            assert race.goes(row) == 1
        else:
            assert race.acts(row) == [EventType.APPROVED, EventType.RETURNED]
            assert over.approval is ApprovalState.PENDING
            assert race.goes(row) == 0
            decide(plant, "deny", bob, row)


@pytest.mark.slow
@pytest.mark.each_database
def test_a_run_that_a_hand_lets_start_while_it_is_approved_goes_once_at_most(race: Race) -> None:
    plant, bob = race.plant, race.people[0]
    for number in range(ROUNDS):
        row = urgent(plant, number)
        assert row.flow_run_id is not None
        forced = plant.engine.set_state(row.flow_run_id, "SCHEDULED", "AwaitingRetry", scheduled_for=plant.now)

        async def works(_server: Server, forced: Run = forced) -> Answer:
            return await asyncio.to_thread(plant.work, forced)

        approved, answer = race.run(approves(bob, row), works)
        assert isinstance(approved, ScheduledJob)
        assert answer in (Go(), Hold(NOT_APPROVED))
        assert (answer == Go()) + race.goes(row) <= 1
        assert len([each for each in executed(plant) if each.id == row.flow_run_id]) <= 1


# A crash at any point


def about_to_decide(plants: Plants, schedule: Any) -> Plant:
    plant = plants.ready(**APPROVAL)
    plant.bob = approver(plant)  # type: ignore[attr-defined]  # kept with it
    asked(plant, schedule)
    return plant


async def does_approve(plant: Any) -> None:
    await plant.approvals.approve(plant.bob, {"id": plant.only(ScheduledJob).id}, Decision(comment="go"))


async def does_deny(plant: Any) -> None:
    await plant.approvals.deny(plant.bob, {"id": plant.only(ScheduledJob).id}, Decision(comment="no"))


async def does_try(plant: Any) -> None:
    await plant.approvals.dry_run(plant.bob, {"id": plant.only(ScheduledJob).id})


def due(plant: Plant) -> None:
    """Let the first hour come, with workers at work, and half an hour more."""
    plant.now = NOW + HOUR
    for deployment_id, spec in plant.own().items():
        if spec.schedule.active:
            plant.engine.make_firing(deployment_id, NOW + HOUR)
    for _ in range(3):
        plant.work_off()
        plant.tick(3, seconds=40)


@pytest.mark.parametrize("schedule", EVERY[1:])
def test_wherever_an_approval_dies_it_happened_or_not_and_its_run_goes_once_at_most(
    plants: Plants, schedule: Any
) -> None:
    outcomes = set()
    for plant in plants.dying(lambda: about_to_decide(plants, schedule), does_approve):
        plant.settle()
        check_in_line(plant)
        row, happened = plant.only(ScheduledJob), (EventType.APPROVED, "bob") in history(plant)
        outcomes.add(happened)
        state = ApprovalState.APPROVED if happened else ApprovalState.PENDING
        assert (row.approval, bool(row.approved), row.approved_by == "bob") == (state, happened, happened)
        due(plant)
        assert len(executed(plant)) == happened
        decide(plant, "approve", plant.bob, row, force=True)  # type: ignore[attr-defined]
        due(plant)
        assert [act for act, _ in history(plant)].count(EventType.APPROVED) == 1
        if row.one_off or happened:
            assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS]
        plant.settle()
        plant.check_in_line()
    assert outcomes == {True, False}


def test_wherever_a_denial_dies_it_happened_or_not_and_nothing_runs(plants: Plants) -> None:
    outcomes = set()
    for plant in plants.dying(lambda: about_to_decide(plants, HOURLY), does_deny):
        plant.settle()
        happened = EventType.DENIED in [each for each, _ in history(plant)]
        outcomes.add(happened)
        check_in_line(plant)
        if happened:
            check_nothing_is_left(plant)
        else:
            assert plant.only(ScheduledJob).approval is ApprovalState.PENDING
        due(plant)
        assert plant.all(JobResult) == []
        if not happened:
            asyncio.run(does_deny(plant))
        check_nothing_is_left(plant)
    assert outcomes == {True, False}


def test_wherever_a_dry_run_dies_it_is_recorded_or_not_and_the_request_is_untouched(plants: Plants) -> None:
    outcomes = set()
    for plant in plants.dying(lambda: about_to_decide(plants, LATER), does_try):
        row = plant.only(ScheduledJob)
        plant.settle()
        happened = EventType.DRY_RUN in [each for each, _ in history(plant)]
        outcomes.add(happened)
        assert len(plant.all(JobResult)) == happened
        plant.work_off()
        assert plant.only(ScheduledJob) == row
        check_in_line(plant)
        assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS] * happened
    assert outcomes == {True, False}


def ended_by_a_hand(plants: Plants, schedule: Any) -> Plant:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, schedule)
    assert row.flow_run_id is not None
    plant.engine.set_state(row.flow_run_id, "CANCELLED", "Cancelled")
    plant.now += MINUTE
    return plant


@pytest.mark.parametrize("schedule", EVERY)
def test_a_request_whose_run_a_hand_has_ended_stands_and_asks_in_another(plants: Plants, schedule: Any) -> None:
    plant = ended_by_a_hand(plants, schedule)
    plant.settle()
    check_in_line(plant)
    decide(plant, "approve", approver(plant), plant.only(ScheduledJob))
    due(plant)
    assert len(executed(plant)) == 1


def test_a_request_whose_run_is_made_anew_asks_though_prefect_fails_once(plants: Plants) -> None:
    plant = ended_by_a_hand(plants, LATER)
    plant.engine.fail("ask")
    plant.settle()
    check_in_line(plant)


def test_a_question_that_was_noted_and_not_asked_is_asked_again(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, HOURLY)
    plant.now += 3 * HOUR  # so the firings that it tells of are others
    spec = plant.engine.made[plant.own_id()]
    assert spec.schedule is not None
    plant.engine.made[plant.own_id()] = replace(spec, schedule=replace(spec.schedule, active=True))
    plant.engine.fail("ask")
    plant.settle()
    check_asks(plant, now_of(plant, row))


def test_wherever_a_request_s_run_that_is_made_anew_dies_it_asks_in_the_end(plants: Plants) -> None:
    for plant in plants.dying(lambda: ended_by_a_hand(plants, HOURLY), lambda plant: plant.round()):
        plant.settle()
        check_in_line(plant)


NOT_FOLLOWED = [
    pytest.param("approve", LATER, "release", False, id="a one-off is not let go"),
    pytest.param("approve", LATER, "release", True, id="a one-off is let go, and nobody hears of it"),
    pytest.param("approve", HOURLY, "write_deployment", False, id="a schedule is not switched on"),
    pytest.param("approve", HOURLY, "write_deployment", True, id="a schedule is switched on, and nobody hears of it"),
    pytest.param("approve", HOURLY, "end", True, id="what asked for a schedule ends, and nobody hears of it"),
    pytest.param("deny", LATER, "end", False, id="what asked does not end"),
    pytest.param("deny", HOURLY, "remove_deployment", True, id="a deployment goes, and nobody hears of it"),
]


@pytest.mark.parametrize(("how", "schedule", "call", "after"), NOT_FOLLOWED)
def test_a_decision_holds_though_prefect_does_not_follow_yet(
    plants: Plants, schedule: Any, how: str, call: str, after: bool
) -> None:
    plant = about_to_decide(plants, schedule)
    plant.engine.fail(call, after=after)
    decide(plant, how, plant.bob, plant.only(ScheduledJob))  # type: ignore[attr-defined]
    plant.settle()
    assert [each.times for each in plant.engine.faults] == [0], "it did fail"
    plant.check_in_line()
    due(plant)
    assert len(executed(plant)) == (how == "approve")


# Everything at once


@dataclass
class Case:
    """What a simple model knows of a request.

    Args:
        approved_for: the code that it was approved for; None while it may not execute.
        over: how it ended for good; empty while it has not.
        went: the firings that were let go.
        owner: who owns it.
        hands: who had a hand in it.
        changed: what it runs was changed after it was approved.
    """

    row: ScheduledJob
    expires_at: datetime | None
    approved_for: str | None = None
    approver: str = ""
    over: str = ""
    went: list[datetime | None] = field(default_factory=list)
    owner: str = "alice"
    hands: set[str] = field(default_factory=lambda: {"alice"})
    changed: bool = False

    @property
    def waits(self) -> bool:
        return not self.over and self.approved_for is None

    def is_late(self, now: datetime) -> bool:
        return self.waits and self.expires_at is not None and self.expires_at <= now


DIED = object()
KINDS = ["immediately", "future", "hourly"]
WHO = st.sampled_from(["alice", "bob", "carol"])
WHICH = st.integers(0, 7)
MOSTLY_LIVES = st.sampled_from([*[0] * 20, *range(1, 15)])
"""At which point the process dies, if it does."""


class Requests(OverPlants):
    """Requests, decisions, time, code, workers, hands in Prefect, and a process that dies, against who may have run."""

    @initialize()
    def begin(self) -> None:
        self.plant = self._plants.ready(**APPROVAL, approval_expires=6 * 3600.0, code_digest="2::a")
        self.people = {name: approver(self.plant, name) for name in ("bob", "carol")} | {"alice": self.plant.actor}
        self.enabled = True
        self.cases: dict[UUID, Case] = {}
        self.tried: set[UUID] = set()
        self.heard = 0
        self.since_the_end = 0
        for kind in KINDS:
            self._request(kind, 0)

    # What is done, and what the model says of it

    def _do(self, work: Callable[[], Awaitable[Any]], dies_at: int) -> Any:
        """Do something, perhaps dying of it, and start anew; return what it gave."""
        self.plant.start(dies_at)
        try:
            answer = asyncio.run(_awaited(work()))
        except Died:
            answer = DIED
        except GateError as error:
            answer = error
        self.plant.start()
        self._hear()
        return answer

    def _hear(self) -> None:
        """Let the model follow what is recorded, and see that each of it could happen."""
        recorded = events(self.plant)
        for each in recorded[self.heard :]:
            self._follow(each)
        self.heard = len(recorded)

    def _follow(self, each: AuditEvent) -> None:
        assert each.scheduled_job_id is not None or each.act in (
            EventType.ADMITTED,
            EventType.REFUSED,
            EventType.TAMPERED,
        )
        case, now = self.cases.get(each.scheduled_job_id or uuid4()), self.plant.now
        match each.act:
            case EventType.REQUESTED:
                [row] = [row for row in self.plant.all(ScheduledJob) if row.id == each.scheduled_job_id]
                self.cases[row.id] = Case(row=row, expires_at=row.expires_at)
            case EventType.APPROVED:
                assert case is not None
                assert case.waits
                assert not case.is_late(now)
                assert self.enabled
                assert each.actor not in case.hands
                case.changed = False
                case.approved_for, case.approver = self.plant.only(Job).code_digest, each.actor
            case EventType.DENIED | EventType.WITHDRAWN:
                assert case is not None
                assert case.waits
                assert (each.actor == "alice") == (each.act is EventType.WITHDRAWN)
                case.over = each.act
            case EventType.DELETED:
                assert case is not None
                assert case.over in ("", EventType.EXPIRED)
                case.approved_for, case.over = None, each.act
            case EventType.EXPIRED:
                assert case is not None
                assert case.is_late(now)
                case.over = each.act
            case EventType.RETURNED:
                assert case is not None
                assert case.approved_for is not None
                assert case.changed or case.approved_for != self.plant.only(Job).code_digest
                [row] = [row for row in self.plant.all(ScheduledJob) if row.id == each.scheduled_job_id]
                case.approved_for, case.approver, case.expires_at = None, "", row.expires_at

    def _gone(self, case: Case) -> type[GateError] | None:
        """Return what one is told of a request that is not there any more; None if it is."""
        if case.over in (EventType.DENIED, EventType.WITHDRAWN):
            return Conflict
        return NotFound if case.over == EventType.DELETED else None

    def _pick(self, which: int) -> Case:
        cases = list(self.cases.values())
        living = [case for case in cases if not case.over]
        among = living if living and which < 6 else cases
        return among[which % len(among)]

    # People

    @rule(kind=st.sampled_from(KINDS), dies_at=MOSTLY_LIVES)
    def request(self, kind: str, dies_at: int) -> None:
        self._request(kind, dies_at)

    def _request(self, kind: str, dies_at: int) -> None:
        self._number += 1
        start = (self.plant.now + 10 * MINUTE).replace(second=0).isoformat()
        schedule = {"interval": kind, "name": f"request {self._number}", "start_time": start}
        answer = self._do(lambda: self.plant.request(schedule), dies_at)
        assert answer is DIED or self.enabled == (not isinstance(answer, GateError))

    @rule(which=WHICH, who=WHO, force=st.booleans(), dies_at=MOSTLY_LIVES)
    def approve(self, which: int, who: str, force: bool, dies_at: int) -> None:
        self._approve(which, who, force, dies_at)

    @rule(which=WHICH, then=st.sampled_from(["rest", "work", "work and start again", "change and work"]))
    def approve_as_it_should_be(self, which: int, then: str) -> None:
        self._approve(which, "bob", True, 0)
        if "change" in then:
            self.plant.code = "2::a" if self.plant.code == "2::b" else "2::b"
        if "work" in then:
            self._work_off()
        if "again" in then:
            self.a_hand_lets_everything_start()

    def _approve(self, which: int, who: str, force: bool, dies_at: int) -> None:
        case = self._pick(which)
        row, expected = case.row, self._gone(case) or self._approval(case, who, force)
        there = any(each.id == row.id for each in self.plant.all(ScheduledJob))
        by, decision = {"id": row.id}, Decision(force=force, version=shown(self.plant, row) if there else None)
        answer = self._do(lambda: self.plant.approvals.approve(self.people[who], by, decision), dies_at)
        assert answer is DIED or type(answer) is expected

    def _approval(self, case: Case, who: str, force: bool) -> type[Any]:
        """Return what the model expects of an approval."""
        if case.approved_for is not None and case.approver == who:
            return ScheduledJob
        if who in case.hands:
            return Forbidden
        if not case.waits or case.is_late(self.plant.now):
            return Conflict
        if not self.enabled:
            return Forbidden
        return Invalid if case.row.is_past_due(self.plant.now) and not force else ScheduledJob

    @rule(which=WHICH, who=WHO, dies_at=MOSTLY_LIVES)
    def deny(self, which: int, who: str, dies_at: int) -> None:
        case = self._pick(which)
        decided = not case.waits or case.is_late(self.plant.now)
        expected = self._gone(case) or (Conflict if decided else ScheduledJob)
        by = {"id": case.row.id}
        answer = self._do(lambda: self.plant.approvals.deny(self.people[who], by, Decision()), dies_at)
        assert answer is DIED or type(answer) is expected

    @rule(which=WHICH, who=WHO, dies_at=MOSTLY_LIVES)
    def delete(self, which: int, who: str, dies_at: int) -> None:
        case = self._pick(which)
        expected = NotFound if self._gone(case) else type(None)
        answer = self._do(lambda: self.plant.schedules.delete(self.people[who], case.row.id), dies_at)
        assert answer is DIED or type(answer) is expected

    @rule(which=WHICH, who=WHO, dies_at=MOSTLY_LIVES)
    def dry_run(self, which: int, who: str, dies_at: int) -> None:
        case = self._pick(which)
        gone, able = self._gone(case), JobResult if self.enabled else NotRunnable
        answer = self._do(lambda: self.plant.approvals.dry_run(self.people[who], {"id": case.row.id}), dies_at)
        assert answer is DIED or type(answer) is (NotFound if gone else able)

    # What happens to the Job, and time

    @rule(code=st.sampled_from(["2::a", "2::b"]), known=st.booleans())
    def the_workers_get_other_code_and_perhaps_the_server_knows(self, code: str, known: bool) -> None:
        self.plant.code = code
        if known:
            with self.plant.store.transaction() as tx:
                job = tx.get(Job, id=self.plant.job.id, lock=True)
                assert job is not None
                return_stale(tx.change(job, code_digest=code, version=job.version + 1).id, self.plant.now, tx)
        self._hear()

    @rule(enabled=st.sampled_from([True, True, False]))
    def somebody_enables_or_disables_the_job(self, enabled: bool) -> None:
        self.enabled = enabled
        self.plant.change(self.plant.job, enabled=enabled)

    @rule(minutes=st.sampled_from([1, 10, 55, 70, 400]))
    def time_passes(self, minutes: int) -> None:
        self.plant.now += minutes * MINUTE

    @rule(dies_at=MOSTLY_LIVES)
    def the_loop_ticks(self, dies_at: int) -> None:
        self._do(self.plant.round, dies_at)

    @rule(
        call=st.sampled_from(["create_run", "ask", "release", "write_deployment", "runs", "end"]), after=st.booleans()
    )
    def prefect_fails_once(self, call: str, after: bool) -> None:
        self.plant.engine.fail(call, after=after)
        self._do(self.plant.round, 0)
        self.plant.engine.faults.clear()

    @rule()
    def the_scheduler_makes_the_next_firings(self) -> None:
        for deployment_id, spec in self.plant.own().items():
            nominal = self._newest(spec) + HOUR
            runs = self.plant.engine.all_runs.values()
            made = any(r.by_schedule and (r.deployment_id, r.expected_start) == (deployment_id, nominal) for r in runs)
            if spec.schedule.active and not made:
                self.plant.engine.make_firing(deployment_id, nominal)

    @rule()
    def an_hour_goes_by_as_it_should_and_then_a_hand_lets_everything_start(self) -> None:
        for _ in range(4):
            self.the_scheduler_makes_the_next_firings()
            self.plant.now += 15 * MINUTE
            self._work_off()
            self._do(self.plant.round, 0)
        self.a_hand_lets_everything_start()

    # Workers

    @rule(crash=st.booleans())
    def a_worker_works(self, crash: bool) -> None:
        self._work_off(crash)

    def _work_off(self, crash: bool = False) -> None:
        due = [run for run in self.plant.waiting() if run.scheduled_for and run.scheduled_for <= self.plant.now]
        for run in sorted(due, key=lambda run: run.expected_start):
            if self.plant.work(run, crash=crash) == Go():
                self._went(run)
            self._hear()

    def _went(self, run: Run) -> None:
        """See that a run that was let go may have been."""
        result = result_of(self.plant, run.id)
        assert self.enabled
        assert run.parameters == result.inputs
        if result.scheduled_job_id is None:
            assert result.inputs is not None
            assert result.inputs["dryrun"] is True
            assert run.id not in self.tried
            self.tried.add(run.id)
            return
        case = self.cases[result.scheduled_job_id]
        assert case.approved_for == self.plant.code
        assert not case.changed
        assert result.user_id == self.people[case.owner].id
        assert result.approval["by"] == case.approver
        assert result.nominal_time is not None
        assert result.nominal_time <= self.plant.now
        assert result.nominal_time not in case.went
        assert not (case.row.one_off and case.went)
        case.went.append(result.nominal_time)

    @precondition(lambda self: self.plant.waiting())
    @rule(which=st.integers(0, 20))
    def a_worker_takes_a_run_and_is_gone(self, which: int) -> None:
        due = [run for run in self.plant.waiting() if run.scheduled_for and run.scheduled_for <= self.plant.now]
        if due:
            self.plant.engine.set_state(due[which % len(due)].id, "PENDING", "Pending")

    # Hands in Prefect

    @precondition(lambda self: self.plant.engine.all_runs)
    @rule(which=st.integers(0, 20), what=st.sampled_from(["let start", "cancel", "delete", "change"]))
    def a_hand(self, which: int, what: str) -> None:
        engine, runs = self.plant.engine, list(self.plant.engine.all_runs.values())
        run = runs[which % len(runs)]
        if what == "let start" and not run.going:
            engine.set_state(run.id, "SCHEDULED", "AwaitingRetry", scheduled_for=self.plant.now, ended=None)
        elif what == "cancel" and not run.final:
            engine.set_state(run.id, "CANCELLED", "Cancelled")
        elif what == "delete":
            engine.delete_run(run.id)
        elif what == "change" and not run.final:
            engine.all_runs[run.id] = replace(run, parameters={"count": 666})

    @rule()
    def a_hand_lets_everything_start(self) -> None:
        for run in list(self.plant.engine.all_runs.values()):
            if not run.going:
                self.plant.engine.set_state(
                    run.id, "SCHEDULED", "AwaitingRetry", scheduled_for=self.plant.now, ended=None
                )
        self._work_off()

    @rule()
    def a_hand_switches_all_schedules_on(self) -> None:
        for deployment_id, spec in self.plant.own().items():
            self.plant.engine.made[deployment_id] = replace(spec, schedule=replace(spec.schedule, active=True))
            self.plant.engine.make_firing(deployment_id, self._newest(spec))
        self._work_off()

    def _newest(self, spec: DeploymentSpec) -> datetime:
        """Return the newest firing of an hourly schedule."""
        assert spec.schedule is not None
        nominal = self.plant.now.replace(minute=int(spec.schedule.cron.cron.split()[0]))
        return nominal if nominal <= self.plant.now else nominal - HOUR

    # What holds

    @invariant()
    def what_stands_is_what_was_decided(self) -> None:
        if not hasattr(self, "plant"):
            return
        self.since_the_end += 1
        rows = {row.id: row for row in self.plant.all(ScheduledJob)}
        assert rows.keys() == {key for key, case in self.cases.items() if not self._gone(case)}
        for key, row in rows.items():
            case = self.cases[key]
            states = {EventType.EXPIRED: ApprovalState.EXPIRED, "": ApprovalState.PENDING}
            assert row.approval is (states[case.over] if case.approved_for is None else ApprovalState.APPROVED)
            assert (row.approved_by, row.total_run_count) == (case.approver, len(case.went))
        waits = [each.scheduled_job_id for each in self.plant.all(ApprovalRequest) if each.decided_at is None]
        assert sorted(waits) == sorted(row.id for row in rows.values() if row.approval is ApprovalState.PENDING)
        went = [result.flow_run_id for result in executed(self.plant) if result.scheduled_job_id is None]
        assert len(executed(self.plant)) == len(self.tried) + sum(len(case.went) for case in self.cases.values())
        assert self.tried <= {*went}

    @precondition(lambda self: self.since_the_end > 8)
    @rule()
    def in_the_end_what_waits_asks_and_nothing_else_is_left(self) -> None:
        self.since_the_end = 0
        self.plant.now += SECOND  # what a worker has taken by then was taken before this start
        self.plant.start()
        for _ in range(6):
            self.plant.tick(seconds=31)
            self._work_off()
        self.plant.tick(2, seconds=31)
        self._hear()
        rows = self.plant.all(ScheduledJob)
        assert self.plant.all(PendingCleanup) == []
        assert {str(row.id) for row in rows if not row.one_off} == {s.schedule.slug for s in self.plant.own().values()}
        for row in rows:
            if row.awaits_decision:
                check_stands(self.plant, row)  # and asks, see the question that was noted and not asked
        later = {row.flow_run_id for row in rows if row.one_off and row.may_fire}
        asking = {row.flow_run_id for row in rows if row.awaits_decision}
        results = self.plant.all(JobResult)
        # Also runs that have just been made for a missed firing, and those that have executed and were taken again.
        recorded = {result.flow_run_id for result in results}
        assert {run.id for run in self.plant.unended() if not run.by_schedule} - recorded == later | asking
        assert all(row.start_time > self.plant.now for row in rows if row.one_off and row.may_fire)
        assert all(result.status.final for result in results if result.date_created < self.plant.now - 2 * MINUTE)


Requests.TestCase.settings = settings(
    max_examples=settings.default.max_examples // 3,
    stateful_step_count=30,
    # The same each time: what a longer search finds becomes a test of its own.
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestEverythingAtOnce = pytest.mark.slow(Requests.TestCase)
