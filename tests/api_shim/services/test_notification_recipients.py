"""Who is told of what: everybody whom it concerns, who wants it, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.model import Participant, ScheduledJob, Status
from api_shim.domain.notifications import (
    Frequency,
    Happening,
    Notification,
    NotificationChoice,
    NotificationEvent,
    Topic,
)
from api_shim.services.admission import Attempt
from api_shim.services.approval_state import expire
from api_shim.services.notification_recipients import write_notifications
from api_shim.store import Store
from approval_gate.admission import Refuse
from approval_gate.model import ObjectType
from tests.api_shim.plant import Plants
from tests.api_shim.services.telling import Telling
from tests.api_shim.services.test_admission import run_of
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    APPROVER,
    CHANGE,
    HOURLY,
    LATER,
    RUN,
    SCHEDULED,
    VIEW,
    asked,
    decide,
    may,
    now_of,
    person,
)
from tests.api_shim.services.test_schedule_changes import edit
from tests.api_shim.statements import statements
from tests.factories import make_result, remove_user

JOB, RESULT, REQUEST = ObjectType.JOB, ObjectType.JOB_RESULT, ObjectType.APPROVAL_REQUEST


class World(Telling):
    """Alice, who requests; bob and carol, who may approve; dave, who may look, and nothing else."""

    def __init__(self, plants: Plants) -> None:
        super().__init__(plants.ready(**APPROVAL, approval_expires=3600.0 * 24 * 7))
        plant = self.plant
        plant.change(plant.user, is_superuser=False)
        self.alice = replace(plant.actor, superuser=False)
        self.bob, self.carol = person(plant, "bob", *APPROVER), person(plant, "carol", *APPROVER)
        self.dave = person(plant, "dave", may(SCHEDULED, VIEW), may(RESULT, VIEW), may(REQUEST, VIEW))
        for each in (self.alice, self.bob, self.carol, self.dave):
            self.target(each)

    def asked(self, schedule: object = None) -> ScheduledJob:
        return asked(self.plant, schedule or LATER)

    def quiet(self) -> None:
        """Forget what has happened."""
        self.told()


@pytest.fixture
def world(plants: Plants) -> World:
    return World(plants)


def test_whoever_may_approve_a_request_is_told_that_it_waits(world: World) -> None:
    world.asked()
    assert world.told() == {("bob", Topic.WAITING), ("carol", Topic.WAITING)}


def approve(world: World, row: ScheduledJob) -> None:
    decide(world.plant, "approve", world.bob, row, comment="fine")


def deny(world: World, row: ScheduledJob) -> None:
    decide(world.plant, "deny", world.bob, row, comment="too late")


def withdraw(world: World, row: ScheduledJob) -> None:
    decide(world.plant, "deny", world.plant.actor, row)


def lapse(world: World, row: ScheduledJob) -> None:
    world.plant.now += timedelta(days=8)
    with world.store.transaction() as tx:
        expire(row.id, world.plant.now, tx)


@pytest.mark.parametrize(
    ("happens", "told"),
    [
        pytest.param(approve, {("alice", Topic.DECIDED)}, id="approved"),
        pytest.param(deny, {("alice", Topic.DECIDED)}, id="denied"),
        pytest.param(lapse, {("alice", Topic.DECIDED)}, id="expired"),
        pytest.param(withdraw, set(), id="withdrawn by who is told otherwise"),
    ],
)
def test_who_requested_is_told_what_was_decided(
    world: World, happens: Callable[[World, ScheduledJob], None], told: set[tuple[str, Topic]]
) -> None:
    row = world.asked()
    world.quiet()
    happens(world, row)
    assert world.told() == told


def test_as_whom_it_runs_is_told_too(world: World) -> None:
    row = world.asked()
    world.plant.change(now_of(world.plant, row), owner_id=world.dave.id)
    world.quiet()
    approve(world, row)
    assert world.told() == {("alice", Topic.DECIDED), ("dave", Topic.DECIDED)}


def test_what_returns_to_the_queue_waits_again(world: World) -> None:
    row = world.asked(HOURLY)
    approve(world, row)
    world.quiet()
    edit(world.plant, world.plant.actor, row, data={"count": 3})
    assert world.told() == {("bob", Topic.WAITING), ("carol", Topic.WAITING)}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (Status.FAILURE, {("alice", Topic.FAILED)}),
        (Status.SUCCESS, set()),
        (Status.REVOKED, set()),
    ],
)
def test_as_whom_a_run_failed_is_told(world: World, status: Status, told: set[tuple[str, Topic]]) -> None:
    result = make_result(world.plant.job, world.plant.user, status=Status.STARTED)
    world.plant.add(result)
    world.plant.change(result, status=status, date_done=world.plant.now)
    assert world.told() == told


class TestSchedules:
    """A schedule that alice has requested, and that dave has owned."""

    @pytest.fixture
    def row(self, world: World) -> ScheduledJob:
        row = world.plant.recurring(name="nightly")
        world.plant.add(
            Participant(scheduled_job_id=row.id, user_id=world.alice.id, username="alice"),
            Participant(scheduled_job_id=row.id, user_id=world.dave.id, username="dave"),
            Participant(scheduled_job_id=row.id, user_id=world.carol.id, username="carol", owned=False),
        )
        return row

    def test_whoever_owned_it_is_told_that_it_was_disabled_by_a_failure(self, world: World, row: ScheduledJob) -> None:
        world.plant.change(row, enabled=False, failure="alice may not run it any more.")
        assert world.told() == {("alice", Topic.SCHEDULE), ("dave", Topic.SCHEDULE)}

    def test_its_owner_is_told_too_that_a_refused_run_has_disabled_it(self, world: World, row: ScheduledJob) -> None:
        world.plant.change(row, deployment_id=uuid4())
        row = now_of(world.plant, row)
        world.plant.change(world.plant.job, enabled=False, approval_required=False)
        world.quiet()
        world.plant.now += timedelta(hours=1)
        attempt = Attempt(id=uuid4(), worker="elsewhere:1", code=world.plant.code)
        answer, _ = world.plant.admissions.ask(run_of(row, world.plant.now), attempt, world.plant.now)
        assert isinstance(answer, Refuse)
        assert answer.ends_schedule
        [happened] = [each for each in world.plant.all(NotificationEvent) if each.topic is Topic.SCHEDULE]
        assert (happened.what, happened.actor_id, happened.actor) == (Happening.DISABLED, None, "")
        assert world.told([Topic.SCHEDULE]) == {("alice", Topic.SCHEDULE), ("dave", Topic.SCHEDULE)}

    def test_who_disables_it_is_not_told(self, world: World, row: ScheduledJob) -> None:
        edit(world.plant, world.plant.actor, row, enabled=False)
        assert world.told() == {("dave", Topic.SCHEDULE)}

    def test_whoever_owned_it_is_told_that_somebody_else_does(self, world: World, row: ScheduledJob) -> None:
        erin = person(world.plant, "erin", may(SCHEDULED, VIEW, CHANGE), may(JOB, RUN))
        world.target(erin)
        asyncio.run(world.plant.ownership.assume(erin, {"id": row.id}))
        assert world.told() == {("alice", Topic.SCHEDULE), ("dave", Topic.SCHEDULE)}

    @pytest.mark.parametrize("how", ["removed", "deactivated"])
    def test_who_is_left_is_told_that_it_has_lost_its_owner(self, world: World, row: ScheduledJob, how: str) -> None:
        if how == "removed":
            remove_user(world.store, "alice", world.plant.now)
        else:
            world.plant.change(world.plant.user, is_active=False)
        assert world.told() == {("dave", Topic.SCHEDULE)}

    def test_nobody_is_told_of_one_that_has_ended(self, world: World, row: ScheduledJob) -> None:
        world.plant.change(row, enabled=False)
        world.quiet()
        remove_user(world.store, "alice", world.plant.now)
        assert world.told() == set()


# What people choose


def test_who_wants_something_else_is_not_told(world: World) -> None:
    world.plant.add(NotificationChoice(user_id=world.bob.id, topics=(Topic.FAILED,)))
    world.asked()
    assert world.told() == {("carol", Topic.WAITING)}


@pytest.mark.parametrize("to", [{"switched_off": True}, {"confirmed": False}])
def test_nothing_is_told_where_a_target_is_not_used(world: World, to: dict[str, bool]) -> None:
    erin = person(world.plant, "erin", *APPROVER)
    world.target(erin, **to)
    world.asked()
    assert ("erin", Topic.WAITING) not in world.told()


def test_who_is_deactivated_is_not_told(world: World) -> None:
    with world.store.transaction() as tx:
        bob = tx.get(User, id=world.bob.id)
        tx.change(bob, is_active=False)
    world.asked()
    assert world.told() == {("carol", Topic.WAITING)}


def test_everything_is_told_to_each_target_once(world: World) -> None:
    world.target(world.bob, "bob@home.example")
    world.asked()
    with world.store.transaction(write=False) as tx:
        happened = tx.all(NotificationEvent)
        waiting = [each for each in happened if each.topic is Topic.WAITING]
    for _ in range(2):
        # As if the end of it had been lost.
        with world.store.transaction() as tx:
            tx.add_missing(waiting)
            write_notifications(world.plant.now, tx)
    assert len(world.plant.all(Notification)) == 3


def test_where_nobody_is_to_be_told_what_happened_is_forgotten(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    asked(plant, LATER)
    assert Telling(plant).told() == set()
    assert plant.all(NotificationEvent) == []


def test_a_day_of_theirs_is_waited_for(world: World) -> None:
    world.plant.add(NotificationChoice(user_id=world.bob.id, frequency=Frequency.DAILY, hour=8))
    world.asked()
    assert {to for to, _ in world.pass_on()} == {"carol@example.com"}
    assert {to for to, _ in world.pass_on(hours=20, minutes=-1)} == set()
    assert {to for to, _ in world.pass_on(minutes=1)} == {"bob@example.com"}


def test_many_people_cost_as_many_questions_as_few(world: World) -> None:
    def ask(store: Store) -> int:
        world.asked({**LATER, "name": str(uuid4())})
        with statements(store) as said:
            world.told()
        return len([each for each in said if each.lstrip().upper().startswith("SELECT")])

    few = ask(world.store)
    for number in range(20):
        world.target(person(world.plant, f"approver {number}", *APPROVER))
    assert ask(world.store) == few


def test_a_run_need_not_have_a_user(world: World) -> None:
    result = make_result(world.plant.job, None, status=Status.STARTED)
    world.plant.add(result)
    world.plant.change(result, status=Status.FAILURE)
    assert world.told() == set()
