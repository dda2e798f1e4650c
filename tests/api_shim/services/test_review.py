"""What somebody sees of a request before they decide about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.approval import binding_of, version_of
from api_shim.domain.audit import EventType, scheduled_job_event, snapshot
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.services.review import (
    JOB_VARIABLES,
    NOT_KEPT,
    NOTHING_YET,
    OTHERS,
    UNSEEN,
    Change,
    Difference,
    Review,
    review,
)
from api_shim.store import Store
from approval_gate.constraints import UNLIMITED, Constraint, Lookup, Op
from approval_gate.errors import Conflict, Forbidden, NotFound
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

ROOT = Actor(id=uuid4(), username="root", superuser=True)
NOBODY = Actor(id=uuid4(), username="nobody")
HOUR = timedelta(hours=1)


def who_sees(*names: str) -> Actor:
    """Return somebody who sees scheduled jobs of these names, and no results."""
    constraint = Constraint(((Lookup(path="name", op=Op.IN, value=names),),)) if names else UNLIMITED
    grant = Grant(
        object_types=frozenset({ObjectType.SCHEDULED_JOB}), actions=frozenset({Action.VIEW}), constraint=constraint
    )
    return Actor(id=uuid4(), username="viewer", grants=(grant,))


class Scene:
    """A Job, who owns its scheduled jobs, and a request that waits."""

    def __init__(self, store: Store, **job: Any) -> None:
        self.store = store
        self.alice: User = make_user()
        self.job: Job = make_job(approval_required=True, supports_dryrun=True, **job)
        self.row = self.scheduled("asked", {"count": 2, "site": "Berlin"}, approval=ApprovalState.PENDING)
        self.add(self.alice, self.job, self.row)

    def scheduled(self, name: str, inputs: Mapping[str, Any], **to: Any) -> ScheduledJob:
        return make_scheduled(self.job, self.alice, name=name, inputs=inputs, **to)

    def approved(self, name: str, inputs: Mapping[str, Any], ago: timedelta, **to: Any) -> ScheduledJob:
        how = {"approval": ApprovalState.APPROVED, "approved_by": "bob", "approved_at": NOW - ago}
        row = self.scheduled(name, inputs, **how, **to)
        self.add(row)
        return row

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def remember(self, act: EventType, row: ScheduledJob | None = None, **data: Any) -> None:
        with self.store.transaction() as tx:
            tx.record(scheduled_job_event(row or self.row, act, NOW, replace(ROOT, id=self.alice.id), **data))

    def dry_run(self, inputs: Mapping[str, Any]) -> JobResult:
        result = make_result(self.job, self.alice, inputs=inputs, status=Status.SUCCESS)
        self.add(result)
        with self.store.transaction() as tx:
            tx.record(scheduled_job_event(replace(self.row, flow_run_id=result.id), EventType.DRY_RUN, NOW, ROOT))
        return result

    def seen(self, who: Actor = ROOT, request: UUID | None = None) -> Review:
        with self.store.transaction(write=False) as tx:
            return review(who, {"id": request or self.row.id}, NOW, tx)


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def changes(seen: Review) -> dict[str, Change]:
    return {each.name: each.change for each in (*seen.inputs, *seen.circumstances)}


def test_a_request_is_shown_with_the_version_that_a_decision_is_bound_to(scene: Scene) -> None:
    seen = scene.seen()
    assert (seen.case.row, seen.case.job, seen.owner) == (scene.row, scene.job, "alice")
    assert seen.version == version_of(scene.row, scene.job)
    assert {each.name: each.now for each in seen.inputs} == scene.row.inputs


def test_where_nothing_was_approved_nothing_is_different(scene: Scene) -> None:
    seen = scene.seen()
    assert (seen.earlier, seen.nothing_earlier) == (None, NOTHING_YET)
    assert {*changes(seen).values()} == {Change.SAME}


def test_it_is_compared_with_the_request_of_its_job_that_was_approved_last(scene: Scene) -> None:
    scene.approved("older", {"count": 9}, 2 * HOUR)
    last = scene.approved("newer", {"count": 1, "site": "Berlin", "old": True}, HOUR, queue="bulk")
    seen = scene.seen()
    assert seen.earlier is not None
    assert (seen.earlier.scheduled_id, seen.earlier.approved_by) == (last.id, "bob")
    assert changes(seen) == {
        "count": Change.CHANGED,
        "site": Change.SAME,
        "old": Change.REMOVED,
        "Interval": Change.SAME,
        "Start": Change.SAME,
        "Time zone": Change.SAME,
        "Queue": Change.CHANGED,
    }


@pytest.mark.parametrize(
    ("approved", "change", "before"),
    [
        pytest.param({"image": "jobs:2"}, Change.SAME, '{"image": "jobs:2"}', id="the same"),
        pytest.param({"image": "jobs:1"}, Change.CHANGED, OTHERS, id="others"),
        pytest.param({}, Change.NEW, None, id="none"),
    ],
)
def test_job_variables_are_compared_with_those_that_were_approved(
    sqlite_store: Store, approved: Mapping[str, Any], change: Change, before: str | None
) -> None:
    scene = Scene(sqlite_store, job_variables={"image": "jobs:2"})
    row = scene.scheduled("before", {})
    scene.approved("before", {}, HOUR, approved=binding_of(row, replace(scene.job, job_variables=approved)))
    [told] = [each for each in scene.seen().circumstances if each.name == JOB_VARIABLES]
    assert told == Difference(name=JOB_VARIABLES, change=change, now='{"image": "jobs:2"}', before=before)


def test_job_variables_that_were_approved_and_are_no_more_are_told(sqlite_store: Store) -> None:
    scene = Scene(sqlite_store)
    job = replace(scene.job, job_variables={"image": "jobs:1"})
    scene.approved("before", {}, HOUR, approved=binding_of(scene.row, job))
    assert scene.seen().circumstances[-1] == Difference(name=JOB_VARIABLES, change=Change.REMOVED, before=OTHERS)


def test_requests_of_other_jobs_do_not_count(scene: Scene) -> None:
    other = make_job()
    how = {"approval": ApprovalState.APPROVED, "approved_by": "bob", "approved_at": NOW}
    scene.add(other, make_scheduled(other, scene.alice, **how))
    assert scene.seen().earlier is None


@pytest.mark.each_database
def test_one_in_the_queue_again_is_compared_with_its_own_last_run_that_was_approved(scene: Scene) -> None:
    scene.approved("another", {}, HOUR)
    approval = {"by": "carol", "at": NOW.isoformat(), "comment": ""}
    run = make_result(
        scene.job, scene.alice, scheduled_job_id=scene.row.id, inputs={"count": 1, "site": "Berlin"}, approval=approval
    )
    scene.add(run)
    seen = scene.seen()
    assert seen.earlier is not None
    assert (seen.earlier.result_id, seen.earlier.approved_by, seen.earlier.circumstances) == (run.id, "carol", None)
    assert changes(seen)["count"] is Change.CHANGED
    assert {each.change for each in seen.circumstances} == {Change.SAME}


def test_what_the_viewer_may_not_see_is_not_compared_with(scene: Scene) -> None:
    row = scene.approved("secret", {"count": 1}, HOUR)
    scene.remember(EventType.APPROVED, row)
    seen = scene.seen(who_sees("asked"))
    assert (seen.earlier, seen.nothing_earlier) == (None, UNSEEN)


def test_it_is_said_that_what_was_approved_is_not_kept(scene: Scene) -> None:
    scene.remember(EventType.APPROVED, scene.scheduled("gone", {}))
    assert scene.seen().nothing_earlier == NOT_KEPT


def test_its_own_approval_that_was_taken_back_is_nothing_to_compare_with(scene: Scene) -> None:
    scene.remember(EventType.APPROVED)
    assert scene.seen().nothing_earlier == NOTHING_YET


def test_inputs_that_may_be_sensitive_are_neither_shown_nor_compared(store: Store) -> None:
    scene = Scene(store, has_sensitive_variables=True)
    scene.approved("before", {"password": "one"}, HOUR)
    seen = scene.seen()
    assert (seen.inputs, seen.earlier) == ([], None)


def test_dry_runs_are_told_with_how_they_went_and_what_they_were_given(scene: Scene) -> None:
    same = scene.dry_run({**scene.row.inputs, "dryrun": True})
    other = scene.dry_run({"count": 7, "dryrun": True})
    told = scene.seen().dry_runs
    assert [(each.by, each.result, each.outdated) for each in told] == [("root", same, False), ("root", other, True)]
    unseen = scene.seen(who_sees()).dry_runs
    assert [(each.by, each.result, each.outdated) for each in unseen] == [("root", None, False)] * 2


def test_the_run_that_has_requested_it_is_named_to_who_may_view_its_result(scene: Scene) -> None:
    run = make_result(scene.job, scene.alice)
    scene.add(run)
    with scene.store.transaction() as tx:
        tx.change(scene.row, requested_from=run.id)
    assert [scene.seen(who).origin for who in (ROOT, who_sees())] == [run.id, None]
    with scene.store.transaction() as tx:
        tx.remove(run)
    assert scene.seen().origin is None


def test_what_has_happened_is_told_in_order_but_for_its_runs(scene: Scene) -> None:
    for act in (EventType.REQUESTED, EventType.ADMITTED, EventType.CHANGED):
        scene.remember(act)
    assert [event.act for event in scene.seen().history] == [EventType.REQUESTED, EventType.CHANGED]


def test_who_may_not_look_is_refused(scene: Scene) -> None:
    with pytest.raises(Forbidden):
        scene.seen(NOBODY)
    with pytest.raises(Forbidden):
        scene.seen(NOBODY, uuid4())
    with pytest.raises(NotFound):
        scene.seen(who_sees("another"))
    with pytest.raises(NotFound):
        scene.seen(ROOT, uuid4())


def test_who_looks_at_one_that_was_denied_is_told_by_whom_if_they_could_have_seen_it(scene: Scene) -> None:
    with scene.store.transaction() as tx:
        thing = tx.attributes(ObjectType.SCHEDULED_JOB, scene.row.id)
        tx.record(scheduled_job_event(scene.row, EventType.DENIED, NOW, ROOT, seen=snapshot(thing)))
        tx.remove(scene.row)
    for who in (ROOT, who_sees(), who_sees("asked")):
        with pytest.raises(Conflict, match="root denied this request on"):
            scene.seen(who)
    with pytest.raises(NotFound):
        scene.seen(who_sees("another"))
    with pytest.raises(Forbidden):
        scene.seen(NOBODY)
