"""Agents ask for a person: what they request needs approval, names that person, and is approved by somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType
from api_shim.domain.model import Job, JobResult, Participant, ScheduledJob, Status
from api_shim.parsing.run_request import RunRequest
from api_shim.services.agents import check_settings
from api_shim.services.authentication import actor_of
from api_shim.services.schedules import SENSITIVE_FROM_AGENTS, TOO_MANY_WAIT, Accepted
from api_shim.settings import LIMITS, AgentsNeedApproval, Limits
from approval_gate import policy
from approval_gate.admission import OWNER_FOR_NOBODY
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.plant import INPUTS, Plant, opened_plant
from tests.api_shim.services.test_approvals import APPROVER, approver, decide, events, may, now_of, person, refused
from tests.factories import administering, make_job, make_user

SEES = may(ObjectType.SCHEDULED_JOB, Action.VIEW)
RUNS = may(ObjectType.JOB, Action.RUN, Action.VIEW)
WHY = "Nightly numbers look wrong.\nRun it again, please."


@pytest.fixture
def plant(store_url: str) -> Iterator[Plant]:
    """A plant whose Job needs no approval of people."""
    for made in opened_plant(store_url, supports_dryrun=True):
        made.tick()
        yield made


def agent_for(plant: Plant, of: Actor, name: str = "helper") -> Actor:
    """Return an agent that asks for somebody, and may run every Job."""
    made = person(plant, name, RUNS)
    with plant.store.transaction() as tx:
        [user] = tx.all(User, id=made.id)
        return actor_of(tx, tx.change(user, is_agent=True, acts_for_id=of.id))


@pytest.fixture
def alice(plant: Plant) -> Actor:
    return person(plant, "alice the person", *APPROVER, RUNS)


@pytest.fixture
def helper(plant: Plant, alice: Actor) -> Actor:
    return agent_for(plant, alice)


def limited(plant: Plant, **to: Any) -> None:
    plant.schedules._use_case.limits = replace(LIMITS, **to)


def request(plant: Plant, who: Actor, schedule: object = None, *, reason: str = "", **data: Any) -> Accepted:
    asked = RunRequest(data={**INPUTS, **data}, schedule=schedule, reason=reason)
    return asyncio.run(plant.schedules.request(who, plant.only(Job).id, asked))


def held(plant: Plant, who: Actor, **how: Any) -> ScheduledJob:
    made = request(plant, who, {"interval": "immediately", "name": str(uuid4())}, **how).scheduled_job
    assert made is not None
    return now_of(plant, made)


@pytest.mark.each_database
def test_what_an_agent_requests_is_held_names_its_person_and_runs_once_somebody_else_agrees(
    plant: Plant, alice: Actor, helper: Actor
) -> None:
    row = held(plant, helper, reason=WHY)
    assert (row.approval, row.owner_id, row.requester_id, row.reason) == (
        ApprovalState.PENDING,
        helper.id,
        helper.id,
        WHY,
    )
    assert row.agent is not None
    assert (row.agent["for"], row.agent["for_id"]) == ("alice the person", str(alice.id))
    assert row.expires_at == plant.now + timedelta(hours=24)
    hands = {each.username: each.owned for each in plant.all(Participant)}
    assert hands == {"helper": True, "alice the person": False}
    assert refused(plant, "approve", alice, row) == (Forbidden, policy.BEHIND_ITS_AGENT)
    assert refused(plant, "approve", helper, row)[0] is Forbidden
    decide(plant, "approve", approver(plant), row)
    plant.work_off()
    done = plant.only(JobResult)
    assert (done.status, done.user_id, done.reason, done.agent) == (Status.SUCCESS, helper.id, WHY, row.agent)
    told = {each.act: each.data.get("agent_for") for each in events(plant)}
    assert told[EventType.REQUESTED] == told[EventType.APPROVED] == told[EventType.ADMITTED] == "alice the person"


@pytest.mark.parametrize(
    ("job", "need", "data", "waits"),
    [
        pytest.param({}, "everything", {}, True, id="a Job that asks for nothing"),
        pytest.param({}, "jobs", {}, False, id="the same where agents need what people do"),
        pytest.param(
            {"approval_required": True}, "jobs", {}, True, id="a Job that asks, where agents need what people do"
        ),
        pytest.param({}, "everything", {"dryrun": True}, True, id="a dry run, which executes its code"),
        pytest.param({"approval_required": True}, "jobs", {"dryrun": True}, True, id="a dry run of a Job that asks"),
        pytest.param({"grouping": "Network"}, {"grouping": "Network"}, {}, True, id="a Job that is named"),
        pytest.param(
            {"grouping": "Office"}, {"grouping": "Network"}, {}, False, id="a Job beside those that are named"
        ),
        pytest.param(
            {"grouping": "Office", "approval_required": True},
            {"grouping": "Network"},
            {},
            True,
            id="one that asks itself",
        ),
        pytest.param(
            {}, [{"name": "x"}, {"enabled": True}], {}, True, id="a Job that one of several constraints names"
        ),
        pytest.param({}, {"name": "x"}, {"dryrun": True}, False, id="a dry run of a Job beside those that are named"),
        pytest.param({}, {}, {}, True, id="no limit on what is named"),
        pytest.param({"dryrun_is_safe": True}, "everything", {"dryrun": True}, False, id="a dry run that is safe"),
        pytest.param(
            {"dryrun_is_safe": True}, {"enabled": True}, {"dryrun": True}, False, id="one of a Job that is named"
        ),
        pytest.param({"dryrun_is_safe": True}, "everything", {}, True, id="no dry run of such a Job"),
    ],
)
def test_what_of_an_agent_needs_approval(
    plant: Plant, helper: Actor, job: dict[str, Any], need: Any, data: dict[str, Any], waits: bool
) -> None:
    plant.change(plant.only(Job), hidden=False, **job)
    limited(plant, agents_need_approval=AgentsNeedApproval(need) if isinstance(need, str) else need)
    accepted = request(plant, helper, **data)
    assert (accepted.scheduled_job is not None) is waits
    if not waits:
        plant.work_off()
        assert plant.only(JobResult).status is Status.SUCCESS


def test_what_a_request_needs_stays_as_it_was_when_the_setting_changes(plant: Plant, helper: Actor) -> None:
    limited(plant, agents_need_approval=AgentsNeedApproval.JOBS)
    request(plant, helper)
    limited(plant)
    plant.work_off()
    assert plant.only(JobResult).status is Status.SUCCESS


def gone(plant: Plant, alice: Actor) -> None:
    with plant.store.transaction() as tx:
        tx.remove(tx.all(User, id=alice.id)[0])


def deactivated(plant: Plant, alice: Actor) -> None:
    with plant.store.transaction() as tx:
        tx.change(tx.all(User, id=alice.id)[0], is_active=False)


def forbidden(plant: Plant, alice: Actor) -> None:
    with plant.store.transaction() as tx:
        tx.remove_all(*_permissions_of(tx, alice))


def _permissions_of(tx: Any, who: Actor) -> tuple[Any, list[UUID]]:
    from api_shim.domain.accounts import Permission, PermissionUser

    return Permission, [each.permission_id for each in tx.all(PermissionUser, user_id=who.id)]


LEAVES = [
    pytest.param(gone, policy.FOR_NOBODY, id="removed"),
    pytest.param(deactivated, policy.FOR_NOBODY, id="deactivated"),
    pytest.param(forbidden, policy.ITS_PERSON_MAY_NOT, id="not permitted any more"),
]


@pytest.mark.parametrize(("leaves", "why"), LEAVES)
def test_an_agent_requests_nothing_without_a_person_who_may(
    plant: Plant, alice: Actor, helper: Actor, leaves: Any, why: str
) -> None:
    leaves(plant, alice)
    with pytest.raises(Forbidden, match=why):
        request(plant, helper)
    assert plant.all(ScheduledJob) == []


@pytest.mark.parametrize(("leaves", "_why"), LEAVES)
def test_nor_does_what_it_has_requested_run_then(
    plant: Plant, alice: Actor, helper: Actor, leaves: Any, _why: str
) -> None:
    row = held(plant, helper)
    decide(plant, "approve", approver(plant), row)
    leaves(plant, alice)
    plant.work_off()
    assert (plant.only(JobResult).status, OWNER_FOR_NOBODY in (plant.only(JobResult).traceback or "")) == (
        Status.FAILURE,
        True,
    )


def test_of_one_agent_fewer_requests_wait_and_they_expire(plant: Plant, helper: Actor) -> None:
    limited(plant, agent_waiting_requests=2, agent_requests_expire=0)
    plant.change(plant.only(Job), approval_expires=60.0)
    assert [held(plant, helper).expires_at for _ in range(2)] == [plant.now + timedelta(minutes=1)] * 2
    with pytest.raises(Conflict, match=TOO_MANY_WAIT.format(waiting=2)):
        request(plant, helper)


def test_what_nobody_is_shown_an_agent_cannot_have_approved(plant: Plant, helper: Actor) -> None:
    plant.change(plant.only(Job), has_sensitive_variables=True)
    with pytest.raises(Invalid) as caught:
        request(plant, helper)
    assert caught.value.detail == [SENSITIVE_FROM_AGENTS]


def test_what_a_run_of_an_agent_requests_is_of_the_agent_too(plant: Plant, alice: Actor, helper: Actor) -> None:
    row = held(plant, helper)
    decide(plant, "approve", approver(plant), row)
    [run] = plant.waiting()
    plant.let_go(run)
    by_run = helper.within_run(plant.only(JobResult).id)
    child = held(plant, by_run)
    assert child.agent is not None
    assert refused(plant, "approve", alice, child)[0] is Forbidden


@pytest.mark.parametrize(
    "becomes",
    [
        pytest.param(lambda admin, now: admin.make_worker("helper", "signoff", now), id="a worker"),
        pytest.param(lambda admin, now: admin.set_person("helper", "helper", now), id="its own person"),
        pytest.param(lambda admin, now: admin.add_user("x", now, acts_for="helper"), id="the person of another"),
        pytest.param(lambda admin, now: admin.add_user("x", now, acts_for="bob", superuser=True), id="a superuser"),
        pytest.param(lambda admin, now: admin.set_person("bob", "alice the person", now), id="an agent later"),
    ],
)
def test_an_agent_is_nothing_else_and_nobody_becomes_one(plant: Plant, helper: Actor, becomes: Any) -> None:
    assert helper.agent
    plant.add(make_user("bob"))
    before = plant.all(User)
    with pytest.raises(GateError):
        becomes(administering(plant.store), plant.now)
    assert plant.all(User) == before


def test_an_agent_asks_for_another_person_from_now_on(plant: Plant, alice: Actor, helper: Actor) -> None:
    carol = approver(plant, "carol")
    person(plant, "dave", RUNS)
    row = held(plant, helper)
    administering(plant.store).set_person("helper", "dave", plant.now)
    assert refused(plant, "approve", alice, row)[0] is Forbidden, "it was requested for her"
    dave = person(plant, "dave too", *APPROVER)
    administering(plant.store).set_person("helper", "dave too", plant.now)
    assert refused(plant, "approve", dave, row)[0] is Forbidden, "it asks for him now"
    administering(plant.store).set_person("helper", "dave", plant.now)
    decide(plant, "approve", carol, row)
    other = held(plant, helper)
    assert other.agent is not None
    assert other.agent["for"] == "dave"


def test_a_safe_dry_run_of_a_request_by_an_agent_says_that_an_agent_has_tried_it(plant: Plant, alice: Actor) -> None:
    plant.change(plant.only(Job), dryrun_is_safe=True)
    helper = agent_for(plant, alice, "trier")
    helper = replace(helper, grants=(*helper.grants, *person(plant, "seer", SEES).grants))
    row = held(plant, helper)
    made = asyncio.run(plant.approvals.dry_run(helper, {"id": row.id}))
    assert made.agent is not None
    assert made.agent["for"] == "alice the person"


@pytest.mark.parametrize("setting", ["agents_need_approval", "mcp_job_tools"])
@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"colour": "red"}, "There is no lookup 'colour'"),
        ({"enabled": "yes"}, "must be true or false"),
        ([], "An empty list of constraints would match nothing"),
    ],
)
def test_a_setting_that_asks_of_jobs_what_they_do_not_have_is_refused(setting: str, told: Any, why: str) -> None:
    with pytest.raises(Invalid, match=f"SIGNOFF_{setting.upper()}: .*{why}"):
        check_settings(replace(LIMITS, **{setting: told}))


def test_limits_are_those_of_the_settings() -> None:
    assert Limits().agents_need_approval is AgentsNeedApproval.EVERYTHING
    assert make_job().dryrun_is_safe is False
