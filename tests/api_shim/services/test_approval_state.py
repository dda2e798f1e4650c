"""How approvals and requests lapse: by a change of what was approved, of what needs approval, and by time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.approval import binding_of, holds_code, is_dry_run, stale
from api_shim.domain.audit import AuditEvent, EventType, scheduled_job_event
from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.parsing.decision import Decision
from api_shim.services.approval_state import expire, return_stale, return_to_queue
from api_shim.services.jobs import JobCatalogue
from api_shim.store import Store
from approval_gate import binding
from approval_gate.admission import Misfire
from approval_gate.binding import NEEDS_APPROVAL
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from flows.definition import JobDefinition
from tests.api_shim.plant import Plants
from tests.factories import NOW, make_job, make_scheduled, make_user

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
INPUTS = {"count": 2, "who": "zoë"}
OLD, NEW = f"2::{'0' * 64}", f"2::{'1' * 64}"
ADMIN = Actor(id=uuid4(), username="admin", superuser=True)
BOB = make_user("bob")
CODE_CHANGED = "The Job's code changed after bob approved it."
NO_CODE = f"{CODE_CHANGED} The worker has no code of it that it can load."


def approval(scheduled: ScheduledJob, job: Job) -> dict[str, Any]:
    """Return what bob's approval of a request leaves in it."""
    return {
        "approval": ApprovalState.APPROVED,
        "approved": binding_of(scheduled, job),
        "approved_by_id": BOB.id,
        "approved_by": "bob",
        "approved_at": NOW - HOUR,
        "approval_comment": "Looks good.",
    }


def returned(scheduled: ScheduledJob, reason: str, now: datetime = NOW) -> ScheduledJob:
    """Return a scheduled job as it is when it has gone back into the queue."""
    return replace(
        scheduled,
        approval=ApprovalState.PENDING,
        approval_note=reason,
        approved=None,
        approved_by_id=None,
        approved_by="",
        approved_at=None,
        approval_comment="",
        date_changed=now,
        version=scheduled.version + 1,
    )


def test_what_was_approved_before_misfire_could_be_chosen_stays_approved() -> None:
    job = make_job()
    row = make_scheduled(job, BOB)
    when = (str(row.interval), row.start_time.isoformat(), row.crontab, row.time_zone)
    before = binding.bind(
        job=job.class_path, code=binding.NO_CODE, inputs={}, schedule=when, queue=row.queue, job_variables={}
    )
    assert binding_of(row, job) == before
    assert len({binding_of(replace(row, misfire=misfire), job)["schedule"] for misfire in Misfire}) == len(Misfire)


class World:
    """A store with a Job, its owner, and bob."""

    def __init__(self, store: Store, **job: Any) -> None:
        self.store = store
        self.owner = make_user()
        self.job = make_job(**{"code_digest": OLD, **job})
        self.add(self.owner, BOB, self.job)

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def scheduled(self, **to: Any) -> ScheduledJob:
        row = make_scheduled(self.job, self.owner, **{"inputs": INPUTS, "created": NOW - 2 * HOUR, **to})
        self.add(row)
        return row

    def approved(self, **to: Any) -> ScheduledJob:
        row = make_scheduled(self.job, self.owner, **{"inputs": INPUTS, **to})
        row = replace(row, **approval(row, self.job))
        self.add(row)
        return row

    def now(self, thing: Any) -> Any:
        with self.store.transaction(write=False) as tx:
            return tx.get(type(thing), id=thing.id)

    def events(self) -> list[AuditEvent]:
        with self.store.transaction(write=False) as tx:
            return tx.events(0, 100)

    def acts(self) -> list[EventType]:
        return [event.act for event in self.events()]

    def return_to_queue(self, scheduled: ScheduledJob, reason: str = "Because.") -> None:
        with self.store.transaction() as tx:
            return_to_queue(tx, scheduled, self.job, reason, NOW)

    def return_stale(self, **job: Any) -> None:
        with self.store.transaction() as tx:
            return_stale(tx.change(self.job, **job).id, NOW, tx)

    def expire(self, scheduled_id: UUID, now: datetime = NOW) -> None:
        with self.store.transaction() as tx:
            expire(scheduled_id, now, tx)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


# What may no longer run unasked


@pytest.mark.parametrize(
    ("supports_dryrun", "inputs", "dry"),
    [
        pytest.param(True, {"dryrun": True}, True, id="it is one"),
        pytest.param(True, {"dryrun": False}, False, id="it says that it is none"),
        pytest.param(True, {}, False, id="it says nothing"),
        pytest.param(True, {"dryrun": 1}, False, id="one is not true"),
        pytest.param(True, {"dryrun": "true"}, False, id="nor is a text"),
        pytest.param(True, {"DryRun": True}, False, id="nor is another name"),
        pytest.param(False, {"dryrun": True}, False, id="a Job without dry runs cannot claim one"),
    ],
)
def test_what_is_a_dry_run(supports_dryrun: bool, inputs: dict[str, Any], dry: bool) -> None:
    assert is_dry_run(make_job(supports_dryrun=supports_dryrun), inputs) is dry


CHANGES = [
    pytest.param({}, {}, "", id="nothing"),
    pytest.param({}, {"code_digest": NEW}, CODE_CHANGED, id="the code"),
    pytest.param({}, {"code_digest": ""}, NO_CODE, id="the code, which is gone"),
    pytest.param({"inputs": {**INPUTS, "count": 3}}, {}, "The inputs changed after bob approved it.", id="an input"),
    pytest.param({"inputs": {}}, {}, "The inputs changed after bob approved it.", id="the inputs, which are gone"),
    pytest.param({"queue": "bulk"}, {}, "The queue changed after bob approved it.", id="the queue"),
    pytest.param({"start_time": NOW + SECOND}, {}, "The schedule changed after bob approved it.", id="the start"),
    pytest.param({"interval": Interval.DAILY}, {}, "The schedule changed after bob approved it.", id="the interval"),
    pytest.param({"time_zone": "Asia/Tokyo"}, {}, "The schedule changed after bob approved it.", id="the time zone"),
    pytest.param({"crontab": "0 1 * * *"}, {}, "The schedule changed after bob approved it.", id="the crontab"),
    pytest.param({}, {"job_class_name": "Other"}, "The Job changed after bob approved it.", id="the Job"),
    pytest.param(
        {},
        {"job_variables": {"image": "jobs:2"}},
        "Prefect's job variables changed after bob approved it.",
        id="the image",
    ),
    pytest.param(
        {"queue": "bulk", "inputs": {}},
        {"code_digest": NEW},
        "The Job's code, the inputs and the queue changed after bob approved it.",
        id="several at once",
    ),
    pytest.param(
        {"name": "other", "description": "x", "owner_id": None, "total_run_count": 5, "deployment_id": uuid4()},
        {"name": "Other", "description": "x", "hidden": True, "time_limit": 5.0, "approval_required": True},
        "",
        id="nothing that was approved",
    ),
]


@pytest.mark.parametrize(("to", "job_to", "sentence"), CHANGES)
def test_an_approval_holds_for_exactly_what_was_approved(
    to: dict[str, Any], job_to: dict[str, Any], sentence: str
) -> None:
    job = make_job(code_digest=OLD)
    row = make_scheduled(job, None, inputs=INPUTS)
    row = replace(row, **approval(row, job))
    assert stale(replace(row, **to), replace(job, **job_to)) == sentence


MODULE, ITS_CHANGE = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("scheme", "code", "module", "sentence"),
    [
        pytest.param("all", OLD, MODULE, "", id="all the code, and nothing changed"),
        pytest.param("all", NEW, MODULE, CODE_CHANGED, id="all the code, and a module beside it changed"),
        pytest.param("all", OLD, ITS_CHANGE, "", id="all the code, which the digest of the module says nothing about"),
        pytest.param("all", "", "", NO_CODE, id="all the code, and there is none"),
        pytest.param("module", OLD, MODULE, "", id="the module alone, and nothing changed"),
        pytest.param("module", NEW, MODULE, "", id="the module alone, and a module beside it changed"),
        pytest.param("module", NEW, ITS_CHANGE, CODE_CHANGED, id="the module alone, which changed"),
        pytest.param("module", "", "", CODE_CHANGED, id="the module alone, and there is none"),
        pytest.param("module", MODULE, "", CODE_CHANGED, id="the module alone, told as if it were all the code"),
    ],
)
def test_an_approval_is_compared_by_the_scheme_that_it_carries(
    scheme: str, code: str, module: str, sentence: str
) -> None:
    job = make_job(code_digest=OLD if scheme == "all" else MODULE, module_digest=MODULE)
    row = make_scheduled(job, None)
    row = replace(row, **approval(row, job))
    assert holds_code(row) == (scheme == "all")
    assert stale(row, replace(job, code_digest=code, module_digest=module)) == sentence


def test_what_is_approved_without_code_is_bound_to_there_being_none() -> None:
    job = make_job()
    row = make_scheduled(job, None)
    row = replace(row, **approval(row, job))
    assert stale(row, job) == ""
    assert stale(row, replace(job, code_digest=NEW)) == CODE_CHANGED


def test_an_approval_that_is_bound_to_nothing_holds_for_nothing() -> None:
    job = make_job()
    row = make_scheduled(job, None, approval=ApprovalState.APPROVED, approved=None, approved_by="bob")
    assert stale(row, job).endswith("changed after bob approved it.")


DRY = {"dryrun": True}


@pytest.mark.parametrize(
    ("approval", "job", "inputs", "sentence"),
    [
        pytest.param("not_required", {}, {}, "", id="needs none, and its Job needs none"),
        pytest.param("not_required", {"code_digest": NEW}, {}, "", id="needs none, and the code is another"),
        pytest.param("not_required", {"approval_required": True}, {}, NEEDS_APPROVAL, id="its Job needs it by now"),
        pytest.param(
            "not_required", {"approval_required": True, "supports_dryrun": True}, DRY, "", id="a dry run needs none"
        ),
        pytest.param(
            "not_required",
            {"approval_required": True, "supports_dryrun": False},
            DRY,
            NEEDS_APPROVAL,
            id="what only claims to be a dry run",
        ),
        *[
            pytest.param(state, {"approval_required": True, "code_digest": NEW}, {}, "", id=f"{state} is no approval")
            for state in ("pending", "denied", "expired", "withdrawn")
        ],
    ],
)
def test_what_needs_approval_by_now(approval: str, job: dict[str, Any], inputs: dict[str, Any], sentence: str) -> None:
    made = make_job(code_digest=OLD)
    row = make_scheduled(made, None, approval=ApprovalState(approval), inputs=inputs)
    assert stale(row, replace(made, **job)) == sentence


# Back into the queue


def test_an_approval_that_is_taken_back_leaves_no_decision_and_the_reason(world: World) -> None:
    row = world.approved()
    world.return_to_queue(row, "The inputs changed.")
    assert world.now(row) == returned(row, "The inputs changed.")


def test_what_needed_no_approval_waits_for_one(world: World) -> None:
    row = world.scheduled()
    world.return_to_queue(row, NEEDS_APPROVAL)
    assert world.now(row) == returned(row, NEEDS_APPROVAL)
    assert world.now(row).awaits_decision


@pytest.mark.parametrize("state", ["pending", "denied", "expired", "withdrawn"])
def test_what_no_decision_lets_run_is_not_put_back(world: World, state: str) -> None:
    row = world.scheduled(approval=ApprovalState(state))
    world.return_to_queue(row)
    assert world.now(row) == row
    assert world.events() == []


def test_what_was_decided_stays_remembered(world: World) -> None:
    row = world.approved(name="nightly")
    with world.store.transaction() as tx:
        tx.record(scheduled_job_event(row, EventType.APPROVED, NOW - HOUR, BOB, comment="Looks good."))
    world.return_to_queue(row, "The inputs changed.")
    approved, back = world.events()
    assert (approved.act, approved.actor, approved.data) == (EventType.APPROVED, "bob", {"comment": "Looks good."})
    assert (back.act, back.at, back.actor_id, back.actor) == (EventType.RETURNED, NOW, None, "")
    assert (back.scheduled_job_id, back.job_id, back.name) == (row.id, world.job.id, "nightly")
    assert back.data == {"reason": "The inputs changed."}


# When its Job changes


@pytest.mark.each_database
def test_of_a_job_that_changes_exactly_what_may_no_longer_run_goes_back(world: World) -> None:
    went, fits = world.approved(), world.approved()
    waits, ended, free = (
        world.scheduled(approval=ApprovalState.PENDING),
        world.approved(enabled=False),
        world.scheduled(),
    )
    other_job = make_job(code_digest=OLD)
    world.add(other_job, other := replace(went, id=uuid4(), name="other", job_id=other_job.id))
    with world.store.transaction() as tx:
        fits = tx.change(fits, approved=binding_of(fits, replace(world.job, code_digest=NEW)))
    world.return_stale(code_digest=NEW)
    assert world.now(went) == returned(went, CODE_CHANGED)
    for stays in (fits, ended, free, other):
        assert world.now(stays) == stays
    # What waits is another thing to decide about now, so it is to be asked anew.
    assert world.now(waits) == replace(waits, version=waits.version + 1)
    assert world.acts() == [EventType.RETURNED]


def test_of_a_job_that_needs_approval_by_now_all_but_dry_runs_wait(world: World) -> None:
    wet, dry, approved = world.scheduled(), world.scheduled(inputs=DRY), world.approved()
    world.return_stale(approval_required=True, supports_dryrun=True)
    assert world.now(wet) == returned(wet, NEEDS_APPROVAL)
    assert [world.now(dry), world.now(approved)] == [dry, approved]
    assert [(event.act, event.scheduled_job_id) for event in world.events()] == [(EventType.RETURNED, wet.id)]


def definition(**to: Any) -> JobDefinition:
    fields = {"module_name": "pack", "job_class_name": "BackUp", "name": "Back up", "grouping": "Tests"}
    return JobDefinition(
        **{**fields, "parameter_schema": {}, "has_sensitive_variables": False, "code_digest": OLD, **to}
    )


class Found(World):
    """A store whose Job was found by the start."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.owner = make_user()
        self.catalogue = JobCatalogue(store, lambda: NOW)
        self.catalogue.record([definition()])
        [self.job] = self.catalogue.jobs()
        self.add(self.owner, BOB, replace(make_user(ADMIN.username), id=ADMIN.id, is_superuser=True))

    def patch(self, body: dict[str, Any]) -> None:
        asyncio.run(self.catalogue.change(ADMIN, self.job.id, body))


@pytest.mark.parametrize(
    ("change", "approved", "free"),
    [
        pytest.param(lambda w: w.catalogue.record([definition()]), "", "", id="a start that finds the same"),
        pytest.param(
            lambda w: w.catalogue.record([definition(code_digest=NEW)]), CODE_CHANGED, "", id="one that finds new code"
        ),
        pytest.param(
            lambda w: w.catalogue.record([definition(description="New.", time_limit=5)]), "", "", id="other settings"
        ),
        pytest.param(
            lambda w: w.catalogue.record([definition(name="Save")]), "", "", id="a start that finds another name"
        ),
        pytest.param(
            lambda w: w.catalogue.record([definition(approval_required=True)]),
            "",
            NEEDS_APPROVAL,
            id="code that demands approval",
        ),
        pytest.param(lambda w: w.catalogue.record([]), "", "", id="a start that finds nothing"),
        pytest.param(
            lambda w: w.patch({"approval_required": True}), "", NEEDS_APPROVAL, id="an administrator who demands it"
        ),
        pytest.param(lambda w: w.patch({"approval_required": False}), "", "", id="one who does not"),
        pytest.param(lambda w: w.patch({"hidden": True, "enabled": True, "job_queues": ["x"]}), "", "", id="others"),
    ],
)
def test_a_change_of_the_job_puts_back_what_it_concerns(
    store: Store, change: Callable[[Found], None], approved: str, free: str
) -> None:
    world = Found(store)
    was_approved, was_free = world.approved(), world.scheduled()
    change(world)
    assert world.now(was_approved) == (returned(was_approved, approved) if approved else was_approved)
    assert world.now(was_free) == (returned(was_free, free) if free else was_free)
    expected = [each.id for each, reason in ((was_approved, approved), (was_free, free)) if reason]
    assert [event.scheduled_job_id for event in world.events() if event.act is EventType.RETURNED] == expected
    assert not [event.act for event in world.events() if event.scheduled_job_id and event.act is not EventType.RETURNED]


def test_what_waits_goes_on_waiting_when_its_job_needs_no_approval_any_more(store: Store) -> None:
    world = Found(store)
    row = world.scheduled()
    world.patch({"approval_required": True})
    world.patch({"approval_required_override": False})
    back = returned(row, NEEDS_APPROVAL)
    assert world.now(row) == replace(back, version=back.version + 1)
    assert [event.act for event in world.events() if event.scheduled_job_id] == [EventType.RETURNED]


def test_what_goes_back_asks_again_in_prefect_and_says_why(plants: Plants) -> None:
    plant = plants.ready(code_digest=OLD, approval_required=True)
    bob = Actor(id=uuid4(), username="bob", superuser=True)
    plant.add(replace(make_user("bob"), id=bob.id))
    row = plant.one_off(approval=ApprovalState.PENDING)
    plant.tick(seconds=1)
    asyncio.run(plant.approvals.approve(bob, {"id": row.id}, Decision()))
    [run] = plant.unended()
    assert (run.name, run.held, plant.engine.questions) == (row.name, False, {})
    with plant.store.transaction() as tx:
        return_stale(tx.change(plant.job, code_digest=NEW).id, plant.now, tx)
    plant.tick(seconds=1)
    [waiting] = plant.unended()
    assert (waiting.id, waiting.held) == (run.id, True)
    description = plant.engine.questions[run.id].description
    assert "**Back in the queue:** The Job's code changed after bob approved it\\." in description


# By time


@pytest.mark.parametrize(
    ("state", "ends", "expired"),
    [
        pytest.param("pending", NOW, True, id="its time ends now"),
        pytest.param("pending", NOW - SECOND, True, id="its time has ended"),
        pytest.param("pending", NOW + timedelta(microseconds=1), False, id="its time ends in a moment"),
        pytest.param("pending", None, False, id="its time never ends"),
        *[
            pytest.param(state, NOW - HOUR, False, id=f"it is {state} already")
            for state in ("not_required", "approved", "denied", "expired", "withdrawn")
        ],
    ],
)
def test_a_request_that_nobody_decides_about_expires(
    world: World, state: str, ends: datetime | None, expired: bool
) -> None:
    row = world.scheduled(approval=ApprovalState(state), expires_at=ends)
    world.expire(row.id)
    over = replace(
        row, approval=ApprovalState.EXPIRED, enabled=False, date_changed=NOW, version=row.version + 1
    )  # fmt: skip
    assert world.now(row) == (over if expired else row)
    assert world.acts() == ([EventType.EXPIRED] if expired else [])


def test_what_expires_is_remembered_as_nobody_s_act(world: World) -> None:
    row = world.scheduled(name="nightly", approval=ApprovalState.PENDING, expires_at=NOW)
    world.expire(row.id)
    [event] = world.events()
    assert (event.act, event.at, event.actor_id, event.actor) == (EventType.EXPIRED, NOW, None, "")
    assert (event.scheduled_job_id, event.job_id, event.name, event.data) == (row.id, world.job.id, "nightly", {})


def test_what_was_deleted_does_not_expire(world: World) -> None:
    world.expire(uuid4())
    assert world.events() == []


@pytest.mark.each_database
def test_what_expires_at_once_for_several_expires_once(world: World) -> None:
    row = world.scheduled(approval=ApprovalState.PENDING, expires_at=NOW)
    barrier = threading.Barrier(4)

    def expires(_index: int) -> None:
        barrier.wait()
        world.expire(row.id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(expires, range(4)))
    assert world.acts() == [EventType.EXPIRED]
    assert world.now(row).version == row.version + 1
