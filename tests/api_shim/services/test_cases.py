"""Scheduled jobs as the rules see them: read all at once, who took part in them, and who is told who has decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType, scheduled_job_event, snapshot
from api_shim.domain.model import UNKNOWN_USER, Participant, ScheduledJob
from api_shim.services.authorization import (
    EXPIRED,
    KIND,
    NOTHING,
    AuthzContext,
    add_participant,
    authorize,
    load_contexts,
)
from api_shim.store import Store
from approval_gate import policy
from approval_gate.errors import Conflict, Forbidden, GateError, NotFound
from approval_gate.identity import Identity
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, Denied, Hidden, Verdict
from tests.api_shim.statements import statements
from tests.factories import NOW, make_job, make_scheduled, make_user

HOUR = timedelta(hours=1)
ROOT = Actor(id=UUID(int=1), username="root", superuser=True)
ALICE, BOB, CAROL = make_user("alice"), make_user("bob"), make_user("carol")
JOB = make_job(supports_dryrun=True)
GONE = "No ScheduledJob matches the given query."


class World:
    """A store with a Job and three people."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.add(ALICE, BOB, CAROL, JOB)

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def scheduled(self, **to: Any) -> ScheduledJob:
        row = make_scheduled(JOB, ALICE, **{"name": "nightly", **to})
        self.add(row, Participant(scheduled_job_id=row.id, user_id=ALICE.id, username="alice"))
        return row

    def takes_part(self, row: ScheduledJob, user: User, *, owned: bool) -> None:
        with self.store.transaction() as tx:
            add_participant(tx, row, user.id, user.username, owned=owned)

    def case(self, row: ScheduledJob, now: datetime = NOW) -> AuthzContext:
        with self.store.transaction(write=False) as tx:
            [case] = load_contexts(tx, [row], now)
        return case

    def judged(self, action: Action, judge: Callable[[policy.RequestFacts], Verdict], **by: Any) -> AuthzContext:
        with self.store.transaction() as tx:
            return authorize(tx, ROOT, action, by, NOW, judge)

    def refused(self, action: Action, judge: Callable[[policy.RequestFacts], Verdict], **by: Any) -> tuple[Any, str]:
        with pytest.raises(GateError) as caught:
            self.judged(action, judge, **by)
        return caught.type, str(caught.value)


@pytest.fixture
def world(sqlite_store: Store) -> World:
    return World(sqlite_store)


# What the rules see


def test_a_scheduled_job_is_seen_with_its_job_and_all_who_took_part(world: World) -> None:
    row = world.scheduled(owner_id=BOB.id)
    world.takes_part(row, BOB, owned=True)
    world.takes_part(row, CAROL, owned=False)
    case = world.case(row)
    assert (case.row, case.job, case.requester) == (row, JOB, "alice")
    request = case.request
    assert request.thing is not None
    assert (request.thing["name"], request.thing["user__username"], request.job["name"]) == ("nightly", "bob", JOB.name)
    assert (request.requester, request.owner) == (ALICE.id, BOB.id)
    assert (request.owners, request.editors) == ({ALICE.id, BOB.id}, {CAROL.id})
    assert request.people == Identity(
        accounts=frozenset({ALICE.id, BOB.id, CAROL.id}), names=frozenset({"alice", "bob", "carol"})
    )
    assert (request.supports_dryrun, request.past_due, request.decided_by) == (True, False, None)
    assert request.runnable == policy.Runnable(enabled=True, installed=True, is_job_hook_receiver=False)


def test_its_owner_is_one_of_its_owners_though_nobody_noted_it(world: World) -> None:
    row = world.scheduled(owner_id=BOB.id)
    assert world.case(row).request.owners == {ALICE.id, BOB.id}


def test_without_an_owner_those_who_owned_it_stay_its_owners(world: World) -> None:
    row = world.scheduled(owner_id=None)
    request = world.case(row).request
    assert (request.owner, request.owners) == (None, {ALICE.id})


@pytest.mark.parametrize("requester", [None, BOB.id], ids=["nobody", "one who did not take part"])
def test_a_requester_whom_nobody_noted_has_no_name(world: World, requester: UUID | None) -> None:
    assert world.case(world.scheduled(requester_id=requester)).requester == UNKNOWN_USER


BOB_APPROVED = {
    "approval": ApprovalState.APPROVED,
    "approved_by": "bob",
    "approved_by_id": BOB.id,
    "approved_at": NOW - HOUR,
}
STANDINGS = [
    pytest.param({}, ApprovalState.NOT_REQUIRED, "", id="needs none"),
    pytest.param({"approval": ApprovalState.PENDING}, ApprovalState.PENDING, "", id="waits"),
    pytest.param(
        {"approval": ApprovalState.PENDING, "expires_at": NOW + HOUR}, ApprovalState.PENDING, "", id="waits in its time"
    ),
    pytest.param(
        {"approval": ApprovalState.PENDING, "expires_at": NOW}, ApprovalState.EXPIRED, EXPIRED, id="its time has ended"
    ),
    pytest.param({"approval": ApprovalState.EXPIRED}, ApprovalState.EXPIRED, EXPIRED, id="that is written down"),
    pytest.param(
        BOB_APPROVED,
        ApprovalState.APPROVED,
        "bob approved this request on 2026-05-04 at 11:00:00 UTC.",
        id="bob approved it",
    ),
    pytest.param(
        {**BOB_APPROVED, "expires_at": NOW - HOUR},
        ApprovalState.APPROVED,
        "bob approved this request on 2026-05-04 at 11:00:00 UTC.",
        id="bob approved it in its time, which has ended since",
    ),
]


@pytest.mark.parametrize(("to", "approval", "settled"), STANDINGS)
def test_where_its_approval_stands(world: World, to: dict[str, Any], approval: ApprovalState, settled: str) -> None:
    request = world.case(world.scheduled(**to)).request
    assert (request.approval, request.settled) == (approval, settled)
    assert request.decided_by == to.get("approved_by_id")


def test_they_are_read_with_as_many_questions_however_many_there_are(world: World) -> None:
    rows, asked = [], []
    for number in range(60):
        row = world.scheduled(name=f"schedule {number}")
        world.takes_part(row, BOB, owned=number % 2 == 0)
        rows.append(row)
        if number in (0, 59):
            with world.store.transaction(write=False) as tx, statements(world.store) as said:
                found = load_contexts(tx, rows, NOW)
            assert [case.row for case in found] == rows
            asked.append(len(said))
    assert asked[0] == asked[1] == 6
    assert [BOB.id in case.request.owners for case in found] == [number % 2 == 0 for number in range(60)]


def test_of_none_there_are_no_cases(world: World) -> None:
    with world.store.transaction(write=False) as tx:
        assert load_contexts(tx, [], NOW) == []


# Who takes part


@pytest.mark.parametrize(
    ("parts", "owned"),
    [
        pytest.param([False], False, id="an editor"),
        pytest.param([True], True, id="an owner"),
        pytest.param([False, False], False, id="an editor again"),
        pytest.param([False, True], True, id="an editor who owns it"),
        pytest.param([True, False], True, id="an owner who changes it stays an owner"),
        pytest.param([False, True, False], True, id="and so it stays"),
    ],
)
def test_who_ever_owned_it_stays_an_owner(world: World, parts: list[bool], owned: bool) -> None:
    row = world.scheduled()
    for part in parts:
        world.takes_part(row, BOB, owned=part)
    request = world.case(row).request
    assert (BOB.id in request.owners, BOB.id in request.editors) == (owned, not owned)


def test_who_takes_part_in_one_takes_part_in_no_other(world: World) -> None:
    one, other = world.scheduled(), world.scheduled(name="another")
    world.takes_part(one, BOB, owned=False)
    assert world.case(other).request.editors == frozenset()
    assert world.case(one).request.editors == {BOB.id}


def test_a_name_is_kept_as_it_was_first_noted(world: World) -> None:
    row = world.scheduled()
    world.takes_part(row, BOB, owned=False)
    world.takes_part(row, replace(BOB, username="robert"), owned=True)
    assert world.case(row).request.people.names == {"alice", "bob"}


# How a use case comes to one


def allows(_request: policy.RequestFacts) -> Verdict:
    return Allowed()


def hides(_request: policy.RequestFacts) -> Verdict:
    return Hidden()


def denies(_request: policy.RequestFacts) -> Verdict:
    return Denied("No.")


def finds(request: policy.RequestFacts) -> Verdict:
    return Hidden() if request.thing is None else Allowed()


@pytest.mark.parametrize("action", [Action.VIEW, Action.CHANGE, Action.DELETE])
@pytest.mark.each_database
def test_it_is_found_by_its_fields_and_judged(world: World, action: Action) -> None:
    row = world.scheduled()
    assert world.judged(action, finds, id=row.id).row == row
    assert world.judged(action, allows, name="nightly").row == row
    assert world.refused(action, hides, id=row.id) == (NotFound, GONE)
    assert world.refused(action, denies, id=row.id) == (Forbidden, "No.")


@pytest.mark.parametrize("action", [Action.VIEW, Action.CHANGE, Action.DELETE])
def test_what_is_not_there_is_judged_as_nothing(world: World, action: Action) -> None:
    seen: list[policy.RequestFacts] = []

    def judge(request: policy.RequestFacts) -> Verdict:
        seen.append(request)
        return Hidden()

    assert world.refused(action, judge, name="nightly") == (NotFound, GONE)
    assert seen == [NOTHING]
    assert world.refused(action, denies, name="nightly") == (Forbidden, "No.")
    assert world.refused(action, allows, name="nightly") == (NotFound, GONE), "a rule that looks at nothing"


def test_who_only_looks_locks_nothing(world: World) -> None:
    world.scheduled()
    locked = []
    with world.store.transaction() as tx:
        get = tx.get

        def hear(kind: type[Any], *, lock: bool = False, **by: Any) -> Any:
            locked.append(lock)
            return get(kind, lock=lock, **by)

        tx.get = hear  # type: ignore[method-assign]  # only heard
        for action in (Action.VIEW, Action.CHANGE, Action.DELETE):
            authorize(tx, ROOT, action, {"name": "nightly"}, NOW, allows)
    assert locked == [False, True, True]


# Who is told who has decided


DENIED = "bob denied this request on 2026-05-04 at 12:00:00 UTC."


@pytest.mark.parametrize(
    ("act", "action", "judge", "told"),
    [
        pytest.param(EventType.DENIED, Action.CHANGE, finds, (Conflict, DENIED), id="who changes what was denied"),
        pytest.param(EventType.DENIED, Action.DELETE, finds, (Conflict, DENIED), id="who deletes it"),
        pytest.param(
            EventType.WITHDRAWN,
            Action.CHANGE,
            finds,
            (Conflict, "bob withdrew this request on 2026-05-04 at 12:00:00 UTC."),
            id="who changes what was withdrawn",
        ),
        pytest.param(EventType.DENIED, Action.VIEW, finds, (NotFound, GONE), id="who looks at it"),
        pytest.param(EventType.DELETED, Action.CHANGE, finds, (NotFound, GONE), id="who changes what was deleted"),
        pytest.param(EventType.DENIED, Action.CHANGE, denies, (Forbidden, "No."), id="who may not anyway"),
    ],
)
@pytest.mark.parametrize("by", ["id", "name"])
def test_who_comes_too_late_is_told_who_has_decided(
    world: World, act: EventType, action: Action, judge: Any, told: Any, by: str
) -> None:
    row = world.scheduled()
    bob = Actor(id=BOB.id, username="bob")
    with world.store.transaction() as tx:
        thing = tx.attributes(KIND, row.id)
        tx.record(scheduled_job_event(row, act, NOW, bob, seen=snapshot(thing)))
        tx.remove(row)
    assert world.refused(action, judge, **{by: getattr(row, by)}) == told
    nobody = Actor(id=CAROL.id, username="carol")
    with world.store.transaction() as tx, pytest.raises(GateError) as caught:
        authorize(tx, nobody, action, {by: getattr(row, by)}, NOW, judge)
    assert caught.type is not Conflict, "who could not have decided is not told"
