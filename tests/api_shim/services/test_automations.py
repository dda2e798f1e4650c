"""Automations run Jobs as the accounts that they are bound to: who binds, what is requested, and when that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import AutomationAccount, Job, JobResult, Participant, ScheduledJob, Status
from api_shim.domain.ports import Automation, AutomationFiring
from api_shim.parsing.run_request import RunRequest
from api_shim.services.automations import BOUND_ALREADY, NO_AUTOMATION, AutomationAccounts
from api_shim.services.refusals import Refusals
from api_shim.services.schedules import Accepted
from approval_gate import policy
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.plant import INPUTS, Plant, opened_plant
from tests.api_shim.services.test_approvals import APPROVAL, APPROVER, approver, decide, events, may, person, refused
from tests.factories import OPERATOR, make_job, remove_user

ACCOUNT, PREFECT, USER = ObjectType.AUTOMATION_ACCOUNT, ObjectType.PREFECT, ObjectType.USER
VIEW, ADD, CHANGE, DELETE, RUN = Action.VIEW, Action.ADD, Action.CHANGE, Action.DELETE, Action.RUN
BINDER = (may(ACCOUNT, VIEW, ADD, DELETE), may(PREFECT, VIEW), may(ObjectType.JOB, RUN))


class Automated:
    """A plant with an automation that runs its Job, and what binds and performs automations."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.refusals = Refusals(plant.store, lambda: plant.now)
        self.accounts: AutomationAccounts = plant.prompt(
            AutomationAccounts(plant.store, plant.engine, plant.schedules, self.refusals.automation, lambda: plant.now)
        )
        self.automation = self.there(self.job.deployment_id)

    @property
    def job(self) -> Job:
        return next(job for job in self.plant.all(Job) if job.id == self.plant.job.id)

    def there(self, *runs: UUID | None, **to: Any) -> Automation:
        """Let Prefect have an automation that runs these deployments."""
        named = frozenset(each for each in runs if each is not None)
        made = Automation(**{"id": uuid4(), "name": "nightly", "digest": "1" * 64, "runs": named, **to})
        self.plant.engine.automations[made.id] = made
        return made

    def change(self, digest: str = "2" * 64) -> Automation:
        """Let somebody change the automation in Prefect."""
        self.automation = self.plant.engine.automations[self.automation.id] = replace(self.automation, digest=digest)
        return self.automation

    def bind(self, who: Actor, automation: Automation | None = None, **to: Any) -> AutomationAccount:
        sent = {"automation": str((automation or self.automation).id), **to}
        return asyncio.run(self.accounts.bind(who, sent))

    def fire(self, **to: Any) -> Accepted:
        """Let the automation fire, for the first time unless a key is given."""
        fired = {
            "automation": self.automation,
            "key": f"automation {self.automation.id}, action 0, invocation {uuid4()}",
            "deployment_id": self.job.deployment_id,
            "parameters": INPUTS,
        }
        return asyncio.run(self.accounts.run(AutomationFiring(**{**fired, **to})))

    def refused(self, **to: Any) -> tuple[type[GateError], str]:
        """See that a firing is refused, which leaves nothing but the record of that; return how."""
        before = (self.plant.all(JobResult), self.plant.all(ScheduledJob))
        with pytest.raises(GateError) as caught:
            self.fire(**to)
        assert (self.plant.all(JobResult), self.plant.all(ScheduledJob)) == before
        told = self.said(EventType.AUTOMATION_REFUSED)[-1]
        assert (told.name, told.data["reason"]) == ("nightly", str(caught.value))
        return type(caught.value), str(caught.value)

    def said(self, act: EventType) -> list[AuditEvent]:
        id_ = str(self.automation.id)
        return [each for each in events(self.plant) if each.act is act and each.data.get("id") == id_]


@pytest.fixture
def free(store_url: str) -> Iterator[Automated]:
    """A Job that needs no approval."""
    for plant in opened_plant(store_url):
        yield Automated(plant)


@pytest.fixture
def guarded(store_url: str) -> Iterator[Automated]:
    """A Job that needs approval."""
    for plant in opened_plant(store_url, **APPROVAL):
        yield Automated(plant)


# What it runs


@pytest.mark.each_database
def test_a_bound_automation_runs_a_job_as_the_account_and_says_so(free: Automated) -> None:
    alice = person(free.plant, "zoe", *BINDER)
    bound = free.bind(alice)
    assert (bound.user_id, bound.bound_by, bound.digest) == (alice.id, "zoe", free.automation.digest)
    [told] = free.said(EventType.AUTOMATION_BOUND)
    assert (told.actor, told.name) == ("zoe", "nightly")
    assert told.data == {"id": str(bound.id), "account": "zoe", "digest": bound.digest, "jobs": [free.job.name]}

    started = free.fire().job_result
    assert started is not None
    asking = {"id": str(bound.id), "name": "nightly", "bound_by_id": str(alice.id), "bound_by": "zoe"}
    assert (started.user_id, started.inputs, started.automation) == (alice.id, INPUTS, asking)
    free.plant.work_off()
    assert free.plant.only(JobResult).status is Status.SUCCESS
    [admitted] = [each for each in events(free.plant) if each.act is EventType.ADMITTED]
    assert admitted.data["automation"] == asking


def test_the_same_firing_is_one_request_whatever_is_filled_in(free: Automated) -> None:
    free.bind(free.plant.actor)
    first = free.fire(key="the same").job_result
    again = free.fire(key="the same", parameters={"count": 9}).job_result
    assert first is not None
    assert again is not None
    assert (again.id, again.inputs) == (first.id, INPUTS)
    other = free.fire(key="another").job_result
    assert other is not None
    assert other.id != first.id


def test_a_start_later_is_a_schedule(free: Automated) -> None:
    free.bind(free.plant.actor)
    row = free.fire(after=timedelta(hours=2)).scheduled_job
    assert row is not None
    assert (row.start_time, row.owner_id) == (free.plant.now + timedelta(hours=2), free.plant.user.id)


@pytest.mark.each_database
def test_what_needs_approval_waits_and_neither_the_account_nor_who_bound_it_approves(guarded: Automated) -> None:
    plant = guarded.plant
    zoe = person(plant, "zoe", *BINDER, *APPROVER)
    guarded.bind(plant.actor, user="zoe")
    row = guarded.fire().scheduled_job
    assert row is not None
    assert (row.approval, row.owner_id, row.requester_id) == (ApprovalState.PENDING, zoe.id, zoe.id)
    assert {each.username: each.owned for each in plant.all(Participant)} == {"zoe": True, "alice": False}
    [asked] = [each for each in events(plant) if each.act is EventType.REQUESTED]
    assert (asked.actor, asked.data["automation"]["bound_by"]) == ("zoe", "alice")
    assert refused(plant, "approve", zoe, row) == (Forbidden, policy.OWN_REQUEST)
    assert refused(plant, "approve", plant.actor, row) == (Forbidden, policy.BEHIND_ITS_AUTOMATION)
    decide(plant, "approve", approver(plant), row)
    plant.work_off()
    result = plant.only(JobResult)
    assert (result.status, result.user_id, result.automation) == (Status.SUCCESS, zoe.id, row.automation)


def test_who_bound_it_has_a_hand_in_what_its_run_requests(guarded: Automated) -> None:
    plant = guarded.plant
    plant.add(other := make_job(name="Free"))
    plant.tick()
    deployment = next(job.deployment_id for job in plant.all(Job) if job.id == other.id)
    guarded.automation = guarded.there(deployment)
    zoe = person(plant, "zoe", *BINDER)
    guarded.bind(plant.actor, user="zoe")
    started = guarded.fire(deployment_id=deployment).job_result
    assert started is not None
    [run] = plant.waiting()
    plant.let_go(run)
    asked = plant.schedules.request(zoe.within_run(started.id), plant.job.id, RunRequest(data=INPUTS))
    row = asyncio.run(asked).scheduled_job
    assert row is not None
    assert {each.username: each.owned for each in plant.all(Participant)} == {"zoe": True, "alice": False}
    assert refused(plant, "approve", plant.actor, row) == (Forbidden, policy.BEHIND_ITS_RUN)


# What is refused, and how it ends


def test_what_is_not_bound_runs_nothing(free: Automated) -> None:
    assert free.refused() == (Forbidden, policy.NOT_BOUND)
    free.bind(free.plant.actor)
    asyncio.run(free.accounts.unbind(free.plant.actor, free.automation.id))
    assert free.refused() == (Forbidden, policy.NOT_BOUND)
    assert [each.actor for each in free.said(EventType.AUTOMATION_UNBOUND)] == ["alice"]
    with pytest.raises(NotFound):
        asyncio.run(free.accounts.unbind(free.plant.actor, free.automation.id))


@pytest.mark.each_database
def test_what_was_changed_is_bound_no_longer_until_it_is_bound_again(free: Automated) -> None:
    bound = free.bind(free.plant.actor)
    before = free.automation
    free.change()
    assert free.refused() == (Forbidden, policy.AUTOMATION_CHANGED)
    assert free.plant.all(AutomationAccount) == []
    [lapsed] = free.said(EventType.AUTOMATION_LAPSED)
    assert (lapsed.actor, lapsed.data) == ("", {"id": str(bound.id), "bound_by": "alice"})
    assert free.refused() == (Forbidden, policy.NOT_BOUND)
    free.bind(free.plant.actor)
    assert free.refused(automation=before) == (Forbidden, policy.NOT_AS_BOUND)
    assert free.fire().job_result is not None


def test_what_was_changed_and_has_not_fired_is_found(free: Automated) -> None:
    free.bind(free.plant.actor)
    free.plant.tick(seconds=31)
    assert free.plant.only(AutomationAccount).digest == free.automation.digest
    free.change()
    free.plant.tick(seconds=31)
    assert free.plant.all(AutomationAccount) == []
    assert len(free.said(EventType.AUTOMATION_LAPSED)) == 1
    assert free.refused() == (Forbidden, policy.NOT_BOUND)


def test_what_was_changed_and_has_not_fired_is_bound_anew(free: Automated) -> None:
    free.bind(free.plant.actor)
    free.change()
    free.bind(free.plant.actor)
    assert len(free.said(EventType.AUTOMATION_LAPSED)) == 1
    assert free.plant.only(AutomationAccount).digest == free.automation.digest


def test_what_is_gone_in_prefect_is_bound_no_longer(free: Automated) -> None:
    free.bind(free.plant.actor)
    free.plant.engine.automations.clear()
    assert free.refused() == (Forbidden, policy.AUTOMATION_CHANGED)
    assert free.plant.all(AutomationAccount) == []


def test_the_rules_for_requests_hold(free: Automated) -> None:
    plant = free.plant
    zoe = person(plant, "zoe", *BINDER)
    free.bind(zoe)
    assert free.refused(job_variables={"image": "evil"}) == (Forbidden, policy.NO_JOB_VARIABLES)
    assert free.refused(parameters=5)[0] is Conflict
    plant.change(free.job, enabled=False)
    assert free.refused() == (Forbidden, "This job is not enabled to be run.")
    plant.change(free.job, enabled=True)
    inferred = free.there()
    free.automation = inferred
    plant.add(AutomationAccount(**{**bound_to(zoe, inferred), "created": plant.now}))
    assert free.refused() == (Forbidden, policy.NOT_NAMED)


def test_what_is_refused_is_told_by_name_and_without_its_value(
    free: Automated, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_args: Any, **_named: Any) -> Accepted:
        raise Invalid({"errors": {"password": ["hunter2 is not one of the available choices."], "host": ["?"]}})

    free.bind(person(free.plant, "zoe", *BINDER))
    monkeypatch.setattr(free.plant.schedules, "request", refuse)
    assert free.refused() == (Conflict, "The Job refuses what this automation fills in: host, password.")


def bound_to(who: Actor, automation: Automation) -> dict[str, Any]:
    return {
        "id": automation.id,
        "name": automation.name,
        "user_id": who.id,
        "digest": automation.digest,
        "bound_by_id": who.id,
        "bound_by": who.username,
    }


def test_an_account_that_is_deactivated_removed_or_may_no_more_runs_nothing(free: Automated) -> None:
    plant = free.plant
    zoe = person(plant, "zoe", *BINDER)
    free.bind(zoe)
    [user] = [each for each in plant.all(type(plant.user)) if each.id == zoe.id]
    plant.change(user, is_active=False)
    assert free.refused() == (Forbidden, policy.ITS_ACCOUNT_GONE)
    remove_user(plant.store, "zoe", plant.now)
    assert [each.actor for each in free.said(EventType.AUTOMATION_UNBOUND)] == [OPERATOR.username]
    assert free.refused() == (Forbidden, policy.NOT_BOUND)
    # Only binding asks for these permissions; to run is asked anew each time.
    dave = person(plant, "dave", may(ACCOUNT, ADD))
    plant.add(AutomationAccount(**{**bound_to(dave, free.automation), "created": plant.now}))
    assert free.refused() == (Forbidden, "This user does not have permission to run jobs.")


def test_many_refusals_are_one_record_with_a_count(free: Automated) -> None:
    for _ in range(3):
        with pytest.raises(Forbidden):
            free.fire()
    assert len(free.said(EventType.AUTOMATION_REFUSED)) == 1
    asyncio.run(free.refusals.close())
    assert [each.data["count"] for each in free.said(EventType.AUTOMATION_REFUSED)] == [1, 2]


def test_only_a_job_that_people_request_is_taken_over(free: Automated) -> None:
    plant = free.plant
    assert free.job.deployment_id is not None
    assert asyncio.run(free.accounts.is_of_job(free.job.deployment_id))
    assert not asyncio.run(free.accounts.is_of_job(uuid4()))
    plant.change(free.job, is_job_hook_receiver=True)
    assert not asyncio.run(free.accounts.is_of_job(free.job.deployment_id))
    with pytest.raises(Invalid, match="runs no Job"):
        free.bind(plant.actor)


# Who binds


def test_who_binds_needs_each_permission(free: Automated) -> None:
    plant = free.plant

    def told(who: Actor, **to: Any) -> tuple[type[GateError], object]:
        with pytest.raises(GateError) as caught:
            free.bind(who, **to)
        assert plant.all(AutomationAccount) == []
        return type(caught.value), caught.value.detail

    for number, lacking in enumerate(BINDER):
        who = person(plant, f"lacks{number}", *(each for each in BINDER if each is not lacking))
        sentence = policy.NO_PERMISSION if lacking.kind is not ObjectType.JOB else policy.MAY_NOT_RUN_ITS_JOBS
        assert told(who) == (Forbidden, sentence)
    zoe, weak = person(plant, "zoe", *BINDER), person(plant, "weak")
    assert told(zoe, automation=replace(free.automation, id=uuid4())) == (Invalid, {"automation": [NO_AUTOMATION]})
    for name in ("weak", "nobody"):
        assert told(zoe, user=name) == (Forbidden, policy.NO_PERMISSION)
    helper = person(plant, "helper", *BINDER, may(USER, VIEW, CHANGE))
    assert told(helper, user="weak") == (Conflict, policy.ACCOUNT_MAY_NOT)
    assert told(helper, user="alice") == (Forbidden, policy.SUPERUSERS_ONLY)
    limited = person(plant, "limited", *BINDER[1:], may(ACCOUNT, ADD, limit={"user": "$user"}), may(USER, VIEW, CHANGE))
    assert told(limited, user="zoe") == (Forbidden, policy.NO_PERMISSION)
    assert free.bind(helper, user="zoe").user_id == zoe.id
    assert weak.id != zoe.id


def test_one_that_is_bound_is_not_bound_to_another_account(free: Automated) -> None:
    free.bind(free.plant.actor)
    zoe = person(free.plant, "zoe", *BINDER)
    with pytest.raises(Conflict) as refusal:
        free.bind(zoe)
    assert str(refusal.value) == BOUND_ALREADY
