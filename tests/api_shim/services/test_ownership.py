"""Taking a scheduled job over and handing it over: what changes, what does not, and what it opens no way to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from api_shim.domain.accounts import User
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import JobResult, Participant, ScheduledJob, Status
from api_shim.parsing.decision import Decision
from api_shim.services.authentication import Credentials, actor_of
from approval_gate import policy
from approval_gate.admission import Go
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from approval_gate.ownership import ALREADY_OWNER
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    APPROVER,
    DIED,
    EVERY,
    HOURLY,
    JOB,
    LATER,
    MOSTLY_LIVES,
    SCHEDULED,
    WHICH,
    WHO,
    Requests,
    approver,
    asked,
    decide,
    events,
    may,
    now_of,
    person,
    refused,
    shown,
)
from tests.factories import NOW, administering, authenticate, remove_user

VIEW, CHANGE, RUN = Action.VIEW, Action.CHANGE, Action.RUN
TAKES_OVER = (may(SCHEDULED, VIEW, CHANGE), may(JOB, RUN))
GONE = "No ScheduledJob matches the given query."
MINUTE = timedelta(minutes=1)


@pytest.fixture
def plant(plants: Plants) -> Plant:
    """One whose Job needs approval."""
    return plants.ready(**APPROVAL)


@pytest.fixture
def free(plants: Plants) -> Plant:
    """One whose Job needs none."""
    return plants.ready()


def assume(plant: Plant, who: Actor, row: ScheduledJob) -> ScheduledJob:
    return asyncio.run(plant.ownership.assume(who, {"id": row.id}))


def transfer(plant: Plant, who: Actor, row: ScheduledJob, to: str) -> ScheduledJob:
    return asyncio.run(plant.ownership.transfer(who, {"id": row.id}, {"username": to}))


def not_done(plant: Plant, act: Callable[[], Any]) -> tuple[type[GateError], Any]:
    """See that an act is refused and changes nothing; return how."""
    before = (plant.all(ScheduledJob), plant.all(Participant), events(plant), plant.engine.all_runs.copy())
    with pytest.raises(GateError) as caught:
        act()
    assert (plant.all(ScheduledJob), plant.all(Participant), events(plant), plant.engine.all_runs) == before
    return caught.type, caught.value.detail


def account(plant: Plant, username: str) -> User:
    [user] = [each for each in plant.all(User) if each.username == username]
    return user


def fire(plant: Plant) -> JobResult:
    """Let the schedule's next firing be executed, and return its result."""
    plant.now += HOUR
    plant.engine.make_firing(plant.own_id(), plant.now)
    plant.work_off()
    return plant.results()[plant.now]


# Who runs it


def test_the_next_firing_runs_as_the_new_owner(free: Plant) -> None:
    bob = person(free, "bob", *TAKES_OVER)
    row = asked(free, HOURLY)
    assert fire(free).user_id == free.user.id
    taken = assume(free, bob, row)
    assert (taken.owner_id, taken.requester_id, taken.enabled) == (bob.id, free.user.id, True)
    assert taken.owner_id == now_of(free, row).owner_id
    result = fire(free)
    assert (result.user_id, result.status) == (bob.id, Status.SUCCESS)
    assert {(each.user_id, each.owned) for each in free.all(Participant)} == {(free.user.id, True), (bob.id, True)}


def test_it_is_remembered_who_took_it_over_from_whom(free: Plant) -> None:
    bob = person(free, "bob", *TAKES_OVER)
    assume(free, bob, asked(free, HOURLY))
    last = events(free)[-1]
    assert (last.act, last.actor) == (EventType.ASSUMED, "bob")
    assert last.data == {"owner": "bob", "was": "alice"}


@pytest.mark.parametrize(
    ("leaves", "why"),
    [
        pytest.param("removed", "the originating user has been removed", id="they were removed"),
        pytest.param("deactivated", "its owner has been deactivated", id="they were deactivated"),
        pytest.param(
            "demoted", "its owner is no longer permitted to run this job", id="they may no longer run the Job"
        ),
    ],
)
def test_whose_owner_is_gone_fails_once_and_not_again(free: Plant, leaves: str, why: str) -> None:
    row = asked(free, HOURLY)
    identity = administering(free.store)
    match leaves:
        case "removed":
            remove_user(free.store, "alice", free.now)
        case "deactivated":
            identity.add_user("keeper", free.now, superuser=True)
            identity.set_active("alice", free.now, active=False)
        case _:
            free.change(free.user, is_superuser=False)
    result, over = fire(free), now_of(free, row)
    message = f"Scheduled job 'often' cannot run: {why}. Use 'Assume Ownership' to take it over."
    assert (result.status, result.traceback, result.attempt) == (Status.FAILURE, message, None)
    assert result.user_id == (None if leaves == "removed" else free.user.id)
    assert (over.enabled, over.failure) == (False, message)
    free.tick()
    assert free.own()[free.own_id()].schedule.active is False
    free.tick(5, minutes=61)
    free.work_off()
    assert free.only(JobResult) == result


# What is revived, and what is not


def failed(plant: Plant, schedule: object = HOURLY) -> ScheduledJob:
    """Return a scheduled job whose firing failed for want of an owner."""
    row = asked(plant, schedule)
    remove_user(plant.store, "alice", plant.now)
    if schedule is HOURLY:
        fire(plant)
    else:
        plant.now += HOUR
        plant.work_off()
    plant.tick()
    return now_of(plant, row)


def test_what_a_failure_disabled_fires_again_from_now_on(free: Plant) -> None:
    bob = person(free, "bob", *TAKES_OVER)
    row = failed(free)
    free.tick(3, minutes=61)
    taken = assume(free, bob, row)
    assert (taken.enabled, taken.failure, taken.due_from) == (True, "", free.now)
    assert free.own()[free.own_id()].schedule.active is True
    free.tick(2, seconds=30)
    assert [run for run in free.waiting() if not run.by_schedule] == [], "What was missed meanwhile is not made up for."
    free.now = NOW + timedelta(hours=4)
    assert fire(free).user_id == bob.id


def test_what_a_person_disabled_stays_disabled(free: Plant) -> None:
    bob = person(free, "bob", *TAKES_OVER)
    row = asked(free, HOURLY)
    free.change(row, enabled=False)
    taken = assume(free, bob, row)
    assert (taken.enabled, taken.owner_id) == (False, bob.id)
    assert free.own()[free.own_id()].schedule.active is False


def test_a_one_off_whose_only_turn_failed_does_not_run_at_another_time(free: Plant) -> None:
    bob = person(free, "bob", *TAKES_OVER)
    row = failed(free, LATER)
    assert row.failure
    taken = assume(free, bob, row)
    assert (taken.enabled, taken.failure, taken.owner_id) == (False, row.failure, bob.id)
    free.settle()
    free.work_off()
    assert free.only(JobResult).status is Status.FAILURE


def test_what_was_revived_and_whose_job_needs_approval_now_waits(free: Plant) -> None:
    bob = person(free, "bob", *TAKES_OVER)
    row = failed(free)
    free.change(free.job, approval_required=True)
    taken = assume(free, bob, row)
    assert (taken.approval, taken.awaits_decision) == (ApprovalState.PENDING, True)
    assert free.own()[free.own_id()].schedule.active is False


# Its approval stays what it was


@pytest.mark.parametrize("schedule", EVERY)
def test_a_request_that_waits_goes_on_waiting(plant: Plant, schedule: Any) -> None:
    bob = person(plant, "bob", *TAKES_OVER)
    row = asked(plant, schedule)
    taken = assume(plant, bob, row)
    assert (taken.approval, taken.awaits_decision) == (ApprovalState.PENDING, True)
    plant.tick(3, seconds=30)
    assert [run for run in plant.unended() if not run.held] == []


def test_what_was_approved_stays_approved_for_what_was_approved(plant: Plant) -> None:
    bob, carol = approver(plant), person(plant, "carol", *TAKES_OVER)
    row = asked(plant, HOURLY)
    approved = decide(plant, "approve", bob, row)
    taken = assume(plant, carol, row)
    assert (taken.approval, taken.approved, taken.approved_by) == (approved.approval, approved.approved, "bob")
    result = fire(plant)
    assert (result.user_id, result.status) == (carol.id, Status.SUCCESS)
    plant.change(taken, inputs={"count": 9})
    plant.engine.made[plant.own_id()] = plant.engine.made[plant.own_id()]
    plant.now += HOUR
    run = plant.engine.make_firing(plant.own_id(), plant.now)
    assert not isinstance(plant.work(run), Go)
    assert now_of(plant, row).approval is ApprovalState.PENDING


STATES = [
    pytest.param({"approval": ApprovalState.NOT_REQUIRED}, id="needs none"),
    pytest.param({"approval": ApprovalState.PENDING}, id="pending"),
    pytest.param({"approval": ApprovalState.APPROVED}, id="approved"),
    pytest.param({"approval": ApprovalState.EXPIRED, "enabled": False}, id="expired"),
    pytest.param({"approval": ApprovalState.DENIED, "enabled": False}, id="denied"),
    pytest.param({"approval": ApprovalState.WITHDRAWN, "enabled": False}, id="withdrawn"),
]


@pytest.mark.parametrize("to", STATES)
def test_whatever_its_state_taking_over_activates_nothing(plant: Plant, to: dict[str, Any]) -> None:
    bob = person(plant, "bob", *TAKES_OVER)
    row = asked(plant, HOURLY)
    plant.change(row, **to)
    taken = assume(plant, bob, row)
    assert (taken.approval, taken.enabled) == (to["approval"], to.get("enabled", True))


# Who may not


REFUSED = [
    pytest.param((), Forbidden, policy.NO_PERMISSION, id="nobody may not"),
    pytest.param((may(SCHEDULED, VIEW), may(JOB, RUN)), Forbidden, policy.NO_PERMISSION, id="who may not change it"),
    pytest.param((may(SCHEDULED, VIEW, CHANGE),), Forbidden, policy.MAY_NOT_RUN, id="who may not run its Job"),
    pytest.param(
        (may(SCHEDULED, VIEW, CHANGE), may(JOB, RUN, limit={"name": "another"})),
        Forbidden,
        policy.MAY_NOT_RUN,
        id="who may run only another Job",
    ),
    pytest.param(
        (may(SCHEDULED, CHANGE, limit={"name": "another"}), may(JOB, RUN)), NotFound, GONE, id="who may not see it"
    ),
]


@pytest.mark.parametrize(("permissions", "error", "sentence"), REFUSED)
def test_who_may_not_take_over_is_told_why(
    free: Plant, permissions: Any, error: type[GateError], sentence: str
) -> None:
    row = asked(free, HOURLY)
    bob = person(free, "bob", *permissions)
    assert not_done(free, lambda: assume(free, bob, row)) == (error, sentence)


def test_the_owner_is_told_that_they_are(free: Plant) -> None:
    row = asked(free, HOURLY)
    assert not_done(free, lambda: assume(free, free.actor, row)) == (Conflict, ALREADY_OWNER)


def test_who_was_removed_just_now_takes_nothing_over(free: Plant) -> None:
    row = asked(free, HOURLY)
    bob = person(free, "bob", *TAKES_OVER)
    remove_user(free.store, "bob", free.now)
    error, _ = not_done(free, lambda: assume(free, bob, row))
    assert error is Forbidden


# Handing over


def test_who_may_change_both_hands_it_to_who_could_take_it(free: Plant) -> None:
    bob = person(free, "bob", *TAKES_OVER)
    row = asked(free, HOURLY)
    given = transfer(free, free.actor, row, "bob")
    assert given.owner_id == bob.id
    last = events(free)[-1]
    assert (last.act, last.actor, last.data) == (EventType.TRANSFERRED, "alice", {"owner": "bob", "was": "alice"})
    assert fire(free).user_id == bob.id


RECEIVERS = [
    pytest.param((may(SCHEDULED, VIEW, CHANGE),), "bob does not have permission to run this job.", id="not the Job"),
    pytest.param((may(JOB, RUN),), "bob does not have permission to change this scheduled job.", id="not it"),
]


@pytest.mark.parametrize(("permissions", "sentence"), RECEIVERS)
def test_who_could_not_take_it_is_not_given_it(free: Plant, permissions: Any, sentence: str) -> None:
    person(free, "bob", *permissions)
    row = asked(free, HOURLY)
    assert not_done(free, lambda: transfer(free, free.actor, row, "bob")) == (Forbidden, sentence)


def test_who_may_change_only_their_own_is_given_it(free: Plant) -> None:
    bob = person(free, "bob", may(SCHEDULED, CHANGE, limit={"user": "$user"}), may(JOB, RUN))
    assert transfer(free, free.actor, asked(free, HOURLY), "bob").owner_id == bob.id


def test_who_is_inactive_owns_it_or_is_unknown_is_not_given_it(free: Plant) -> None:
    person(free, "bob", *TAKES_OVER)
    administering(free.store).set_active("bob", free.now, active=False)
    row = asked(free, HOURLY)
    give = {name: not_done(free, lambda name=name: transfer(free, free.actor, row, name)) for name in ("bob", "alice")}
    assert give["bob"] == (Conflict, "bob has been deactivated.")
    assert give["alice"] == (Conflict, "alice already owns this scheduled job.")
    unknown = not_done(free, lambda: transfer(free, free.actor, row, "nobody"))
    assert unknown == (Invalid, {"user": ["There is no such user."]})


def test_nobody_makes_something_run_as_another_whose_account_they_may_not_change(free: Plant) -> None:
    person(free, "bob", *TAKES_OVER)
    row = asked(free, HOURLY)
    carol = person(free, "carol", *TAKES_OVER)
    for name in ("bob", "nobody"):
        refusal = not_done(free, lambda name=name: transfer(free, carol, row, name))
        assert refusal == (Forbidden, policy.NO_PERMISSION)
    dave = person(free, "dave", *TAKES_OVER, may(ObjectType.USER, CHANGE, limit={"username": "carol"}))
    for name in ("bob", "nobody"):
        refusal = not_done(free, lambda name=name: transfer(free, dave, row, name))
        assert refusal == (Invalid, {"user": ["There is no such user."]})
    assert transfer(free, dave, row, "carol").owner_id == carol.id


def test_only_a_superuser_makes_something_run_as_a_superuser(free: Plant) -> None:
    row = asked(free, HOURLY)
    root = person(free, "root")
    free.change(account(free, "root"), is_superuser=True)
    dave = person(free, "dave", *TAKES_OVER, may(ObjectType.USER, CHANGE))
    assert not_done(free, lambda: transfer(free, dave, row, "root")) == (Forbidden, policy.SUPERUSERS_ONLY)
    assert transfer(free, free.actor, row, "root").owner_id == root.id


# Whose approval it was


def _approved_by_bob(plant: Plant) -> tuple[Actor, ScheduledJob]:
    bob = person(plant, "bob", *APPROVER)
    return bob, decide(plant, "approve", bob, asked(plant, HOURLY))


def _bob_assumes(plant: Plant, bob: Actor, row: ScheduledJob) -> None:
    assume(plant, bob, row)


def _it_is_given_to_bob(plant: Plant, _bob: Actor, row: ScheduledJob) -> None:
    transfer(plant, plant.actor, row, "bob")


def _bob_is_made_again_and_assumes(plant: Plant, _bob: Actor, row: ScheduledJob) -> None:
    assume(plant, _made_again(plant, "bob"), row)


def _bob_inherits_it(plant: Plant, _bob: Actor, _row: ScheduledJob) -> None:
    administering(plant.store).add_user("keeper", plant.now, superuser=True)
    administering(plant.store).remove_user("alice", plant.now, heir="bob")


@pytest.mark.parametrize(
    "taken",
    [_bob_assumes, _it_is_given_to_bob, _bob_is_made_again_and_assumes, _bob_inherits_it],
    ids=lambda how: how.__name__.strip("_").replace("_", " "),
)
def test_the_approval_of_who_becomes_the_owner_lapses(plant: Plant, taken: Callable[..., None]) -> None:
    bob, row = _approved_by_bob(plant)
    taken(plant, bob, row)
    found = now_of(plant, row)
    reason = "bob has approved this and owns it now, so someone else must approve it."
    assert (found.approval, found.approval_note, found.approved_by) == (ApprovalState.PENDING, reason, "")
    [returned] = [each for each in events(plant) if each.act is EventType.RETURNED]
    assert returned.data == {"reason": reason}
    plant.now += HOUR
    plant.work_off()
    assert plant.results() == {}, "it does not run"
    carol = approver(plant, "carol")
    assert decide(plant, "approve", carol, row, version=shown(plant, row)).approved_by == "carol"


def test_the_approval_of_another_stands_with_a_new_owner(plant: Plant) -> None:
    _, row = _approved_by_bob(plant)
    assert assume(plant, person(plant, "dave", *TAKES_OVER), row).approval is ApprovalState.APPROVED


# No way to approve one's own


def _assumes(plant: Plant, bob: Actor, row: ScheduledJob) -> Actor:
    assume(plant, bob, row)
    return bob


def _assumes_and_alice_takes_it_back(plant: Plant, bob: Actor, row: ScheduledJob) -> Actor:
    assume(plant, bob, row)
    assume(plant, plant.actor, row)
    return bob


def _is_given_it_and_gives_it_back(plant: Plant, bob: Actor, row: ScheduledJob) -> Actor:
    transfer(plant, plant.actor, row, "bob")
    transfer(plant, plant.actor, row, "alice")
    return bob


def _alice_gives_it_away(plant: Plant, bob: Actor, row: ScheduledJob) -> Actor:
    transfer(plant, plant.actor, row, "bob")
    return plant.actor


def _alice_comes_with_a_second_token(plant: Plant, _bob: Actor, _row: ScheduledJob) -> Actor:
    identity = administering(plant.store)
    return authenticate(plant.store, Credentials(key=identity.add_token("alice", plant.now)), plant.now)


def _alice_is_removed_and_made_again(plant: Plant, _bob: Actor, _row: ScheduledJob) -> Actor:
    return _made_again(plant, "alice")


def _bob_assumes_is_removed_and_made_again(plant: Plant, bob: Actor, row: ScheduledJob) -> Actor:
    assume(plant, bob, row)
    return _made_again(plant, "bob")


def _bob_approves_and_then_changes_when_it_runs(plant: Plant, bob: Actor, row: ScheduledJob) -> Actor:
    decide(plant, "approve", bob, row)
    _postpone(plant, bob, row)
    return bob


def _bob_approves_and_alice_changes_it(plant: Plant, bob: Actor, row: ScheduledJob) -> Actor:
    decide(plant, "approve", bob, row)
    _postpone(plant, plant.actor, row)
    return plant.actor


def _postpone(plant: Plant, who: Actor, row: ScheduledJob) -> None:
    later = {"start_time": (plant.now + 2 * HOUR).isoformat()}
    asyncio.run(plant.schedule_changes.change(who, {"id": row.id}, later))


def _made_again(plant: Plant, name: str) -> Actor:
    identity = administering(plant.store)
    remove_user(plant.store, name, plant.now)
    again = identity.add_user(name, plant.now, superuser=True, reuse_name=True)
    with plant.store.transaction(write=False) as tx:
        return actor_of(tx, again)


SEQUENCES = [
    pytest.param(_assumes, policy.ONCE_OWNED, id="assume, then approve"),
    pytest.param(_assumes_and_alice_takes_it_back, policy.ONCE_OWNED, id="assume, let it be taken back, approve"),
    pytest.param(_is_given_it_and_gives_it_back, policy.ONCE_OWNED, id="be given it, give it back, approve"),
    pytest.param(_alice_gives_it_away, policy.OWN_REQUEST, id="give it away, then approve"),
    pytest.param(_alice_comes_with_a_second_token, policy.OWN_REQUEST, id="come with a second token"),
    pytest.param(_bob_approves_and_then_changes_when_it_runs, policy.ONCE_CHANGED, id="approve, change, approve again"),
    pytest.param(_bob_approves_and_alice_changes_it, policy.OWN_REQUEST, id="change it after another has approved it"),
    pytest.param(_alice_is_removed_and_made_again, policy.SAME_PERSON, id="the requester is removed and made again"),
    pytest.param(_bob_assumes_is_removed_and_made_again, policy.SAME_PERSON, id="the owner is removed and made again"),
]


@pytest.mark.parametrize(("sequence", "reason"), SEQUENCES)
def test_no_sequence_leads_to_approving_ones_own(plant: Plant, sequence: Any, reason: str) -> None:
    bob = person(plant, "bob", *APPROVER)
    row = asked(plant, HOURLY)
    who = sequence(plant, bob, row)
    assert refused(plant, "approve", who, row) == (Forbidden, reason)
    carol = approver(plant, "carol")
    assert decide(plant, "approve", carol, row, version=shown(plant, row)).approved_by == "carol"


def test_who_takes_over_at_the_very_moment_of_their_approval_either_owned_it_first_or_not(plant: Plant) -> None:
    bob = person(plant, "bob", *APPROVER)
    row = asked(plant, HOURLY)

    async def both() -> list[Any]:
        approval = plant.approvals.approve(bob, {"id": row.id}, Decision())
        return await asyncio.gather(plant.ownership.assume(bob, {"id": row.id}), approval, return_exceptions=True)

    taken, approved = asyncio.run(both())
    assert isinstance(taken, ScheduledJob)
    acts = [each.act for each in events(plant) if each.act in {EventType.ASSUMED, EventType.APPROVED}]
    if isinstance(approved, Forbidden):
        assert (str(approved), acts) == (policy.ONCE_OWNED, [EventType.ASSUMED])
    else:
        assert acts == [EventType.APPROVED, EventType.ASSUMED]
    assert now_of(plant, row).owner_id == bob.id


# Durable


def test_wherever_taking_over_dies_it_happened_or_not(plants: Plants) -> None:
    made: dict[str, Any] = {}

    def ready() -> Plant:
        plant = plants.ready()
        made["bob"] = person(plant, "bob", *TAKES_OVER)
        made["row"] = failed(plant)
        return plant

    for plant in plants.dying(ready, lambda plant: plant.ownership.assume(made["bob"], {"id": made["row"].id})):
        row = now_of(plant, made["row"])
        assert (row.owner_id, row.enabled, bool(row.failure)) in {(made["bob"].id, True, False), (None, False, True)}
        plant.start()
        plant.tick(3, seconds=16)
        assert plant.own()[plant.own_id()].schedule.active is row.enabled


# Everything at once


GONE_ERRORS = (Conflict, NotFound)


class Owned(Requests):
    """The same, while owners change, and what is asked for is changed, disabled and enabled."""

    def __init__(self) -> None:
        super().__init__()
        self.off: set[UUID] = set()

    def _follow(self, each: AuditEvent) -> None:
        case = self.cases.get(each.scheduled_job_id) if each.scheduled_job_id else None
        match each.act:
            case EventType.ASSUMED:
                assert case is not None
                case.owner = each.actor
                case.hands.add(each.actor)
            case EventType.CHANGED:
                assert case is not None
                assert each.actor == case.owner
                case.changed = case.approved_for is not None
                case.hands.add(each.actor)
            case EventType.DISABLED | EventType.ENABLED:
                assert case is not None
                self.off = self.off | {case.row.id} if each.act is EventType.DISABLED else self.off - {case.row.id}
            case EventType.ADMITTED:
                assert each.scheduled_job_id not in self.off
        super()._follow(each)

    @rule(which=WHICH, who=WHO, dies_at=MOSTLY_LIVES)
    def assume(self, which: int, who: str, dies_at: int) -> None:
        case = self._pick(which)
        expected = self._gone(case) or (Conflict if case.owner == who else ScheduledJob)
        by = {"id": case.row.id}
        answer = self._do(lambda: self.plant.ownership.assume(self.people[who], by), dies_at)
        assert answer is DIED or type(answer) is expected

    @rule(which=WHICH, who=WHO, count=st.integers(1, 3), dies_at=MOSTLY_LIVES)
    def change_the_inputs(self, which: int, who: str, count: int, dies_at: int) -> None:
        case = self._pick(which)
        possible = (ScheduledJob,) if case.owner == who else (Forbidden,)
        answer = self._do(lambda: self._edit(case.row, who, data={"count": count}), dies_at)
        assert answer is DIED or type(answer) in (GONE_ERRORS if self._gone(case) else possible)

    @rule(which=WHICH, who=WHO, enabled=st.booleans(), dies_at=MOSTLY_LIVES)
    def disable_or_enable(self, which: int, who: str, enabled: bool, dies_at: int) -> None:
        case = self._pick(which)
        answer = self._do(lambda: self._edit(case.row, who, enabled=enabled), dies_at)
        possible = (ScheduledJob, Conflict, Forbidden, Invalid) if enabled else (ScheduledJob,)
        assert answer is DIED or type(answer) in (GONE_ERRORS if self._gone(case) else possible)

    def _edit(self, row: ScheduledJob, who: str, **to: Any) -> Awaitable[ScheduledJob]:
        return self.plant.schedule_changes.change(self.people[who], {"id": row.id}, to)


Owned.TestCase.settings = settings(Requests.TestCase.settings, max_examples=settings.default.max_examples // 6)
TestEverythingAtOnceWhileOwnersChange = pytest.mark.slow(Owned.TestCase)
