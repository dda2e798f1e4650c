"""What people ask for on Prefect's own paths: to decide about a held run, and to run a deployment of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.approval import version_of
from api_shim.domain.audit import EventType
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.parsing.decision import CHOOSE
from api_shim.reconcile.approval_form import decision_form
from api_shim.services.approval_state import return_stale
from api_shim.services.prefect_ui import (
    CONFIRM,
    DENIED,
    FOLLOWS,
    MEDDLED,
    NOT_OUR_FORM,
    NOT_STANDING,
    NOT_WAITING,
    PrefectUI,
)
from api_shim.services.suspensions import Suspensions
from approval_gate import policy
from approval_gate.admission import NOT_APPROVED, Go, Hold
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, Outdated, Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from approval_gate.policy import CHANGED
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    APPROVE,
    AT_NOON,
    AT_ONCE,
    CHANGE,
    DELETE,
    EVERY,
    HOURLY,
    JOB,
    LATER,
    RUN,
    SCHEDULED,
    VIEW,
    May,
    approver,
    asked,
    check_asks,
    check_in_line,
    check_nothing_is_left,
    events,
    history,
    may,
    now_of,
    person,
    result_of,
)
from tests.factories import NOW, make_job

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
YES: Mapping[str, Any] = {"decision": "approve"}
NO: Mapping[str, Any] = {"decision": "deny"}


def of(plant: Plant) -> PrefectUI:
    return PrefectUI(
        store=plant.store,
        engine=plant.engine,
        approvals=plant.approvals,
        schedules=plant.schedules,
        projection=plant.projection,
        suspensions=Suspensions(plant.store, plant.engine, lambda: plant.now),
        clock=lambda: plant.now,
    )


def resume(plant: Plant, who: Actor, run_id: UUID | None, answer: object) -> str:
    assert run_id is not None
    return asyncio.run(of(plant).resume(who, run_id, answer))


def not_resumed(plant: Plant, who: Actor, run_id: UUID | None, answer: object) -> tuple[type[GateError], Any]:
    """See that nothing is decided; return with which refusal."""
    before = plant.all(ScheduledJob)
    with pytest.raises(GateError) as caught:
        resume(plant, who, run_id, answer)
    assert [(row.id, row.approval) for row in plant.all(ScheduledJob)] == [(row.id, row.approval) for row in before]
    assert isinstance(caught.value.detail, str), "Prefect's pages show nothing but text"
    return caught.type, caught.value.detail


# What is ours


def test_what_is_ours_is_known(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    often, once = asked(plant, HOURLY), asked(plant, LATER)
    tried = asyncio.run(plant.approvals.dry_run(plant.actor, {"id": once.id}))
    requests = of(plant)

    async def ask() -> None:
        for run_id in (often.flow_run_id, once.flow_run_id, result_of(plant, tried.id).flow_run_id):
            assert run_id is not None
            assert await requests.has_run(run_id)
        for deployment_id in (plant.only(Job).deployment_id, often.deployment_id):
            assert deployment_id is not None
            assert await requests.has_deployment(deployment_id)
        assert not await requests.has_run(uuid4())
        assert not await requests.has_deployment(uuid4())

    asyncio.run(ask())


# Resume


@pytest.mark.parametrize("schedule", EVERY)
def test_who_chooses_to_approve_has_approved(plants: Plants, schedule: Any) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, schedule)
    answer = {"decision": "approve", "comment": " go on ", "request": version_of(row, plant.only(Job))}
    assert resume(plant, bob, row.flow_run_id, answer) == ""
    approved = now_of(plant, row)
    assert (approved.approval, approved.approved_by) == (ApprovalState.APPROVED, "bob")
    assert approved.approval_comment == "go on"
    assert history(plant) == [(EventType.REQUESTED, "alice"), (EventType.APPROVED, "bob")]
    plant.check_in_line()


@pytest.mark.parametrize("schedule", EVERY)
def test_who_chooses_to_deny_is_told_that_the_run_was_cancelled(plants: Plants, schedule: Any) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, schedule)
    answer = {"decision": "deny", "comment": "not now", "request": version_of(row, plant.only(Job))}
    assert resume(plant, bob, row.flow_run_id, answer) == DENIED
    assert history(plant) == [(EventType.REQUESTED, "alice"), (EventType.DENIED, "bob")]
    assert row.flow_run_id is not None
    run = plant.engine.all_runs[row.flow_run_id]
    assert (run.state_type, run.message) == ("CANCELLED", "Denied by bob: not now")
    check_nothing_is_left(plant)


ANSWERS = [
    pytest.param(None, CHOOSE, id="nothing"),
    pytest.param({}, CHOOSE, id="an empty form"),
    pytest.param([], CHOOSE, id="a list"),
    pytest.param({"comment": "go"}, CHOOSE, id="a comment alone"),
    pytest.param({"decision": ""}, CHOOSE, id="no choice"),
    pytest.param({"decision": "Approve"}, CHOOSE, id="another word"),
    pytest.param({"decision": ["approve"]}, CHOOSE, id="a list with the word"),
    pytest.param({"decision": True}, CHOOSE, id="yes"),
    pytest.param({"decision": "approve", "comment": 5}, "comment: Not a valid string.", id="a number as comment"),
    pytest.param(
        {"decision": "approve", "confirm_past_due": "maybe"},
        "confirm_past_due: Must be true or false.",
        id="a doubtful confirmation",
    ),
]


@pytest.mark.parametrize(("answer", "sentence"), ANSWERS)
def test_an_answer_that_decides_nothing_is_refused_with_a_sentence(
    plants: Plants, answer: object, sentence: str
) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    assert not_resumed(plant, approver(plant), row.flow_run_id, answer) == (Invalid, sentence)
    check_in_line(plant)


EVERYTHING = may(SCHEDULED, VIEW, CHANGE, DELETE)
FORBIDDEN: list[Any] = [
    pytest.param((), YES, Forbidden, policy.NO_PERMISSION, id="nobody in particular approves"),
    pytest.param((EVERYTHING,), YES, Forbidden, policy.MAY_NOT_APPROVE, id="who may not approve its Job approves"),
    pytest.param((EVERYTHING,), NO, Forbidden, policy.MAY_NOT_DENY, id="who may not approve its Job denies"),
    pytest.param(
        (may(SCHEDULED, CHANGE, DELETE, limit={"name": "another"}), may(JOB, APPROVE)),
        YES,
        NotFound,
        "No ScheduledJob matches the given query.",
        id="who may decide about another approves",
    ),
]


@pytest.mark.parametrize(("permissions", "answer", "error", "sentence"), FORBIDDEN)
def test_nobody_resumes_who_may_not_decide(
    plants: Plants, permissions: tuple[May, ...], answer: object, error: type[GateError], sentence: str
) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    assert not_resumed(plant, person(plant, "zoe", *permissions), row.flow_run_id, answer) == (error, sentence)


def test_who_asked_for_it_may_deny_and_not_approve(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    assert not_resumed(plant, plant.actor, row.flow_run_id, YES) == (Forbidden, policy.OWN_REQUEST)
    assert resume(plant, plant.actor, row.flow_run_id, NO) == DENIED
    assert history(plant)[-1] == (EventType.WITHDRAWN, "alice")


def test_the_start_of_a_request_that_has_passed_is_to_be_confirmed(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, LATER)
    assert row.flow_run_id is not None
    assert "confirm_past_due" not in plant.engine.questions[row.flow_run_id].form["properties"]
    plant.now = NOW + HOUR + SECOND
    assert not_resumed(plant, bob, row.flow_run_id, YES) == (Invalid, CONFIRM)
    plant.tick(seconds=1)
    assert "confirm_past_due" in plant.engine.questions[row.flow_run_id].form["properties"]
    for unsure in (YES, {**YES, "confirm_past_due": False}):
        assert not_resumed(plant, bob, row.flow_run_id, unsure) == (Invalid, CONFIRM)
    assert resume(plant, bob, row.flow_run_id, {**YES, "confirm_past_due": True}) == ""
    plant.work_off()
    assert plant.only(JobResult).status is Status.SUCCESS


@pytest.mark.parametrize("sooner", [SECOND, timedelta(0), -SECOND], ids=["before", "at", "after"])
def test_the_form_asks_to_confirm_whenever_the_loop_looked_around_its_start(plants: Plants, sooner: timedelta) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    plant.now = NOW + HOUR - sooner
    plant.tick()
    plant.tick(3, seconds=1)
    assert row.flow_run_id is not None
    assert "confirm_past_due" in plant.engine.questions[row.flow_run_id].form["properties"]


@pytest.mark.parametrize("schedule", [pytest.param(AT_ONCE, id="at once"), pytest.param(HOURLY, id="often")])
def test_what_is_never_past_due_is_not_to_be_confirmed(plants: Plants, schedule: Any) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, schedule)
    plant.tick(5, hours=1)
    assert resume(plant, bob, row.flow_run_id, YES) == ""


@pytest.mark.parametrize("how", ["approved", "denied", "expired", "deleted", "unknown", "a run of nothing that waits"])
@pytest.mark.parametrize("answer", [YES, None], ids=["approve", "no answer"])
def test_a_run_that_does_not_wait_cannot_be_decided_about(plants: Plants, how: str, answer: object) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=600.0)
    bob, row = approver(plant), asked(plant, LATER)
    run_id = row.flow_run_id
    match how:
        case "approved":
            resume(plant, bob, run_id, YES)
        case "denied":
            resume(plant, bob, run_id, NO)
        case "expired":
            plant.tick(2, seconds=600)
        case "deleted":
            asyncio.run(plant.schedules.delete(plant.actor, row.id))
        case "unknown":
            run_id = uuid4()
        case _:
            run_id = asyncio.run(plant.approvals.dry_run(bob, {"id": row.id})).id
    assert not_resumed(plant, bob, run_id, answer) == (Conflict, NOT_WAITING)


def test_what_expires_while_it_is_looked_at_cannot_be_approved(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=600.0)
    bob, row = approver(plant), asked(plant, LATER)
    plant.now += timedelta(seconds=600)
    error, sentence = not_resumed(plant, bob, row.flow_run_id, YES)
    assert (error, sentence.startswith("This request has expired")) == (Conflict, True)


def test_who_was_shown_another_version_decides_nothing(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, LATER)
    seen = version_of(row, plant.only(Job))
    plant.change(row, inputs={"count": 3}, version=row.version + 1)
    plant.tick(seconds=1)
    answer = {**YES, "request": seen}
    assert not_resumed(plant, bob, row.flow_run_id, answer) == (Outdated, CHANGED)
    shown = {**YES, "request": version_of(now_of(plant, row), plant.only(Job))}
    assert resume(plant, bob, row.flow_run_id, shown) == ""


def tell_the_server(plant: Plant) -> None:
    """Let the server find other code of the Job, as at a start."""
    with plant.store.transaction() as tx:
        job = tx.change(plant.only(Job), code_digest="2::new", version=plant.job.version + 1)
        return_stale(job.id, plant.now, tx)


def tell_by_a_worker(plant: Plant) -> None:
    """Let a worker come to another request of the Job with other code."""
    other = asked(plant, {**AT_ONCE, "name": "another"})
    resume(plant, approver(plant, "dave"), other.flow_run_id, YES)
    plant.code = "2::new"
    plant.work_off()
    assert plant.only(Job).code_digest == "2::new"


@pytest.mark.parametrize(
    ("schedule", "tell"),
    [
        pytest.param(LATER, tell_the_server, id="once, and the server is told"),
        pytest.param(HOURLY, tell_by_a_worker, id="often, and a worker tells"),
    ],
)
def test_what_waits_while_its_job_s_code_changes_is_shown_anew_and_can_be_approved(
    plants: Plants, schedule: Any, tell: Any
) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, schedule)
    plant.tick(2, seconds=1)
    tell(plant)
    plant.settle()
    now = now_of(plant, row)
    check_asks(plant, now)
    assert now.flow_run_id is not None
    shown = plant.engine.questions[now.flow_run_id].form["properties"]["request"]["default"]
    assert shown == version_of(now, plant.only(Job))
    assert resume(plant, bob, now.flow_run_id, {**YES, "request": shown, "confirm_past_due": True}) == ""


# What a hand has changed


def change_description(plant: Plant, run_id: UUID) -> None:
    plant.engine.questions[run_id] = replace(plant.engine.questions[run_id], description="All is well.")


def change_form(plant: Plant, run_id: UUID) -> None:
    question = plant.engine.questions[run_id]
    plant.engine.questions[run_id] = replace(question, form={**question.form, "title": "Nothing to see"})


def change_parameters(plant: Plant, run_id: UUID) -> None:
    plant.engine.all_runs[run_id] = replace(plant.engine.all_runs[run_id], parameters={"count": 666})


def add_parameter(plant: Plant, run_id: UUID) -> None:
    plant.engine.all_runs[run_id] = replace(plant.engine.all_runs[run_id], parameters={**INPUTS, "more": 1})


@pytest.mark.parametrize(
    ("schedule", "answer", "meddles"),
    [
        pytest.param(LATER, YES, change_description, id="approve, another description"),
        pytest.param(HOURLY, NO, change_form, id="deny, another form"),
        pytest.param(HOURLY, YES, change_parameters, id="approve, other parameters"),
        pytest.param(LATER, NO, add_parameter, id="deny, one parameter more"),
    ],
)
def test_what_was_shown_and_had_been_changed_is_put_right_and_decided_about_anew(
    plants: Plants, schedule: Any, answer: object, meddles: Any
) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, schedule)
    meddles(plant, row.flow_run_id)
    assert not_resumed(plant, bob, row.flow_run_id, answer) == (Conflict, MEDDLED)
    assert [act for act, _ in history(plant)] == [EventType.REQUESTED, EventType.TAMPERED]
    last = events(plant)[-1]
    assert (last.scheduled_job_id, last.flow_run_id, last.data) == (row.id, row.flow_run_id, {"reason": MEDDLED})
    check_asks(plant, now_of(plant, row))
    assert resume(plant, bob, row.flow_run_id, answer) == ("" if answer is YES else DENIED)


def test_what_a_hand_shows_never_executes(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, AT_ONCE)
    assert row.flow_run_id is not None
    assert resume(plant, bob, row.flow_run_id, YES) == ""
    change_parameters(plant, row.flow_run_id)
    plant.work_off()
    assert [result for result in plant.all(JobResult) if result.attempt is not None] == []
    assert EventType.TAMPERED in [act for act, _ in history(plant)]


@pytest.mark.parametrize("schedule", EVERY[1:])
@pytest.mark.parametrize(
    ("state", "name", "to"),
    [
        pytest.param("SCHEDULED", "AwaitingRetry", {}, id="let start"),
        pytest.param("SCHEDULED", "Scheduled", {"scheduled_for": NOW + HOUR}, id="let start later"),
        pytest.param("RUNNING", "Running", {}, id="called running"),
        pytest.param("CANCELLED", "Cancelled", {}, id="cancelled"),
    ],
)
def test_a_run_that_does_not_stand_will_stand_again(
    plants: Plants, schedule: Any, state: str, name: str, to: dict[str, Any]
) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, schedule)
    assert row.flow_run_id is not None
    at = {"scheduled_for": plant.now} if name == "AwaitingRetry" else to
    run = plant.engine.set_state(row.flow_run_id, state, name, **at)
    assert not_resumed(plant, bob, row.flow_run_id, YES) == (Conflict, NOT_STANDING)
    if run.going or name == "AwaitingRetry":
        assert plant.work(run) == Hold(NOT_APPROVED)
    again = now_of(plant, row)
    check_asks(plant, again)
    assert resume(plant, bob, again.flow_run_id, YES) == ""
    if state == "CANCELLED":
        assert not_resumed(plant, bob, row.flow_run_id, YES) == (Conflict, NOT_WAITING)


def test_of_those_who_resume_at_once_one_decides_and_the_others_are_told(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    people = [approver(plant, f"person{number}") for number in range(6)]
    for number in range(2):
        row = asked(plant, {**AT_ONCE, "name": f"request {number}"})
        assert row.flow_run_id is not None
        run_id, requests = row.flow_run_id, of(plant)

        async def all_at_once(run_id: UUID = run_id, requests: PrefectUI = requests) -> list[Any]:
            answers = [YES, NO] * 3
            deeds = (requests.resume(who, run_id, answer) for who, answer in zip(people, answers, strict=True))
            return await asyncio.gather(*deeds, return_exceptions=True)

        answers = asyncio.run(all_at_once())
        assert [type(answer) for answer in answers].count(str) == 1
        assert [type(answer) for answer in answers].count(Conflict) == 5
        decided = [each for each in events(plant) if each.scheduled_job_id == row.id]
        assert [each.act for each in decided][1:] in ([EventType.APPROVED], [EventType.DENIED])
        told = {str(answer) for answer in answers if isinstance(answer, Conflict)}
        how = "approved" if decided[1].act is EventType.APPROVED else "denied"
        # It may show too that the run does not stand any more.
        assert told <= {f"{decided[1].actor} {how} this request {AT_NOON}", NOT_WAITING, NOT_STANDING}


# Run a deployment


def run(plant: Plant, who: Actor, body: Mapping[str, Any], deployment_id: UUID | None = None) -> UUID:
    wanted = deployment_id or plant.only(Job).deployment_id
    assert wanted is not None
    return asyncio.run(of(plant).run(who, wanted, body))


def at(when: datetime | str) -> dict[str, Any]:
    """Return what Prefect's clients send for a time."""
    moment = when if isinstance(when, str) else when.isoformat()
    return {"type": "SCHEDULED", "state_details": {"scheduled_time": moment}}


def runner(plant: Plant, username: str = "bob") -> Actor:
    return person(plant, username, may(JOB, RUN), may(SCHEDULED, VIEW))


AT_NOW: list[Any] = [
    pytest.param({}, id="nothing"),
    pytest.param({"state": None, "parameters": None, "name": None, "work_queue_name": None}, id="nulls"),
    pytest.param({"state": {"type": "SCHEDULED"}}, id="a state without a time"),
    pytest.param({"state": {"type": "SCHEDULED", "state_details": {}}}, id="details without a time"),
    pytest.param({"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": None}}}, id="no time"),
    pytest.param({"state": {"type": "RUNNING"}}, id="called running"),
    pytest.param({"state": "SCHEDULED"}, id="a word for the state"),
    pytest.param({"state": {"state_details": {"scheduled_time": 5}}}, id="a number for the time"),
    pytest.param({"state": at(NOW)}, id="now"),
    pytest.param({"state": at(NOW - HOUR)}, id="an hour ago"),
    pytest.param({"state": at("2026-05-04T12:00:00Z")}, id="now, in Zulu time"),
    pytest.param({"state": at("2026-05-04T14:00:00+02:00")}, id="now, elsewhere"),
    pytest.param({"state": at("2026-05-04T12:00:00")}, id="now, without a zone"),
    pytest.param({"state": at("0001-01-01T00:00:00+14:00")}, id="before all time"),
]


@pytest.mark.parametrize("body", AT_NOW)
def test_a_run_now_is_a_job_result_of_who_asks(plants: Plants, body: dict[str, Any]) -> None:
    plant = plants.ready()
    bob = runner(plant)
    run_id = run(plant, bob, {"parameters": INPUTS, **{k: v for k, v in body.items() if k != "parameters"}})
    result = plant.only(JobResult)
    assert (result.flow_run_id, result.user_id, result.inputs, result.queue) == (run_id, bob.id, INPUTS, "default")
    made = plant.engine.all_runs[run_id]
    assert (made.name, made.parameters, made.scheduled_for) == (plant.job.name, INPUTS, plant.now)
    assert plant.work(made) == Go()
    assert plant.all(ScheduledJob) == []


LATE: list[Any] = [
    pytest.param(at(NOW + HOUR), NOW + HOUR, id="in an hour"),
    pytest.param(at((NOW + HOUR).astimezone(timezone(HOUR))), NOW + HOUR, id="in an hour, elsewhere"),
    pytest.param(at("2026-05-04T13:00:00Z"), NOW + HOUR, id="in an hour, in Zulu time"),
    pytest.param(at("2026-05-04T13:00:00"), NOW + HOUR, id="in an hour, without a zone"),
    pytest.param(at("2026-05-05"), datetime(2026, 5, 5, tzinfo=UTC), id="a day"),
    pytest.param({"state_details": {"scheduled_time": "2026-05-04T13:00:00Z"}}, NOW + HOUR, id="without a type"),
]


@pytest.mark.parametrize(
    ("state", "start", "name"),
    [
        *(pytest.param(*row.values, "mine", id=row.id) for row in LATE),
        pytest.param(*LATE[0].values, None, id="no name"),
    ],
)
def test_a_run_at_a_time_is_a_scheduled_job(plants: Plants, state: Any, start: datetime, name: str | None) -> None:
    plant = plants.ready()
    bob = runner(plant)
    run_id = run(plant, bob, {"parameters": INPUTS, "state": state, "name": name})
    row = plant.only(ScheduledJob)
    assert (row.flow_run_id, row.start_time, row.owner_id, row.inputs) == (run_id, start, bob.id, INPUTS)
    assert row.name == (name or f"{plant.job.name} - {NOW}")
    assert (row.one_off, row.immediate, row.approval) == (True, False, ApprovalState.NOT_REQUIRED)
    made = plant.engine.all_runs[run_id]
    assert (made.name, made.scheduled_for) == (row.name, start)


@pytest.mark.parametrize(
    ("body", "start", "immediate"),
    [
        pytest.param({}, NOW, True, id="now"),
        pytest.param({"state": {"type": "RUNNING"}}, NOW, True, id="as if it ran already"),
        pytest.param({"state": at(NOW + HOUR), "name": "mine"}, NOW + HOUR, False, id="at a time"),
    ],
)
def test_what_needs_approval_is_answered_with_the_run_that_waits(
    plants: Plants, body: dict[str, Any], start: datetime, immediate: bool
) -> None:
    plant = plants.ready(**APPROVAL)
    bob, carol = runner(plant), approver(plant, "carol")
    run_id = run(plant, bob, {"parameters": INPUTS, **body})
    row = plant.only(ScheduledJob)
    assert (row.flow_run_id, row.requester_id, row.start_time, row.immediate) == (run_id, bob.id, start, immediate)
    check_asks(plant, row)
    assert (plant.all(JobResult), history(plant)) == ([], [(EventType.REQUESTED, "bob")])
    assert resume(plant, carol, run_id, YES) == ""
    plant.now = start
    plant.work_off()
    assert (plant.only(JobResult).flow_run_id, plant.only(JobResult).user_id) == (run_id, bob.id)


def test_a_dry_run_of_a_deployment_needs_no_approval(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    run_id = run(plant, runner(plant), {"parameters": {**INPUTS, "dryrun": True}})
    assert plant.only(JobResult).flow_run_id == run_id
    assert plant.all(ScheduledJob) == []


HOSTILE: dict[str, Any] = {
    "job_variables": {"command": "touch pwned"},
    "infrastructure_document_id": str(uuid4()),
    "enforce_parameter_schema": False,
    "empirical_policy": {"retries": 5, "retry_delay": 1},
    "parent_task_run_id": str(uuid4()),
    "idempotency_key": "mine",
    "context": {"x": 1},
    "tags": ["signoff", "awaiting"],
    "labels": {"signoff": "yes"},
    "flow_id": str(uuid4()),
    "deployment_id": str(uuid4()),
    "owner_id": str(uuid4()),
    "approval": "approved",
    "schedule": {"interval": "hourly", "name": "often", "start_time": (NOW + HOUR).isoformat()},
    "task_queue": "bulk",
    "job_queue": "bulk",
    "data": {"count": 666},
}


@pytest.mark.parametrize("job", [{}, APPROVAL], ids=["at once", "after approval"])
@pytest.mark.parametrize(
    "state",
    [
        pytest.param({"type": "COMPLETED", "name": "Approved", "message": "done", "data": 1}, id="a made-up state"),
        pytest.param({**at(NOW + HOUR), "type": "RUNNING", "name": "Running"}, id="a made-up state at a time"),
    ],
)
def test_what_else_a_client_says_is_ignored(plants: Plants, job: dict[str, Any], state: dict[str, Any]) -> None:
    made = []
    for more in ({}, HOSTILE):
        plant = plants.ready(**job, name="one name", job_class_name="TheJob")
        wanted = {"parameters": INPUTS, "name": "mine", "state": state}
        run_id = run(plant, runner(plant), {**wanted, **more})
        [flow_run] = plant.unended()
        assert flow_run.id == run_id
        shown = replace(flow_run, id=UUID(int=0), key="", deployment_id=None)
        rows = [(row.name, row.interval, row.inputs, row.queue, row.approval) for row in plant.all(ScheduledJob)]
        assert len(rows) + len(plant.all(JobResult)) == 1
        made.append((list(plant.engine.made.values()), shown, rows, plant.engine.queues))
    assert made[0] == made[1]


# Of a scheduled job


def test_a_run_of_a_scheduled_job_s_deployment_takes_its_inputs_and_queue_where_none_are_sent(plants: Plants) -> None:
    plant = plants.ready(job_queues=("default", "bulk"))
    plant.engine.served.add("bulk")
    bob = runner(plant)
    row = asked(plant, HOURLY, data={"count": 2, "who": "zoë"}, task_queue="bulk")
    first = run(plant, bob, {}, row.deployment_id)
    second = run(plant, bob, {"parameters": {"count": 3}, "work_queue_name": "default"}, row.deployment_id)
    one, other = result_of(plant, first), result_of(plant, second)
    assert (one.inputs, one.queue) == ({"count": 2, "who": "zoë"}, "bulk")
    assert (other.inputs, other.queue) == ({"count": 3, "who": "zoë"}, "default")
    assert {result.user_id for result in (one, other)} == {bob.id}
    assert {result.scheduled_job_id for result in (one, other)} == {None}
    plant.work_off()
    assert {result.status for result in plant.all(JobResult)} == {Status.SUCCESS}
    assert replace(now_of(plant, row), next_look_at=row.next_look_at) == row


def test_a_run_of_an_approved_scheduled_job_s_deployment_needs_an_approval_of_its_own(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    bob, dave = runner(plant), approver(plant, "dave")
    row = asked(plant, HOURLY)
    assert resume(plant, dave, row.flow_run_id, YES) == ""
    run_id = run(plant, bob, {}, row.deployment_id)
    [request] = [each for each in plant.all(ScheduledJob) if each.id != row.id]
    assert (request.flow_run_id, request.requester_id, request.inputs) == (run_id, bob.id, INPUTS)
    assert request.approval is ApprovalState.PENDING
    check_asks(plant, request)
    assert plant.all(JobResult) == []


# What is refused


NO_RUN = "This user does not have permission to run jobs."
REFUSALS: list[Any] = [
    pytest.param(
        {"parameters": [1]}, {}, Invalid, {"errors": ["Job data needs to be a dict"]}, id="parameters that are a list"
    ),
    pytest.param(
        {"parameters": "x"}, {}, Invalid, {"errors": ["Job data needs to be a dict"]}, id="parameters that are a text"
    ),
    pytest.param(
        {"work_queue_name": "nope"}, {}, Invalid, {"task_queue": ['"nope" is not a valid choice.']}, id="a queue"
    ),
    pytest.param(
        {"work_queue_name": 5}, {}, Invalid, {"task_queue": ['"5" is not a valid choice.']}, id="a number as queue"
    ),
    pytest.param({}, {"enabled": False}, Forbidden, "This job is not enabled to be run.", id="a disabled Job"),
    pytest.param(
        {},
        {"job_queues": ("bulk",)},
        Unavailable,
        "Unable to process request: No Prefect workers running on queue bulk.",
        id="a queue without workers",
    ),
]


def not_run(plant: Plant, who: Actor, body: Mapping[str, Any], **to: Any) -> tuple[type[GateError], Any]:
    before = plant.all(ScheduledJob)
    with pytest.raises(GateError) as caught:
        run(plant, who, body, **to)
    assert plant.all(ScheduledJob) == before
    assert (plant.all(JobResult), [each for each in plant.unended() if not each.held]) == ([], [])
    return caught.type, caught.value.detail


@pytest.mark.parametrize(("body", "job", "error", "detail"), REFUSALS)
@pytest.mark.parametrize(
    ("when", "approval"),
    [
        pytest.param({}, {}, id="now"),
        pytest.param({"state": at(NOW + HOUR)}, {}, id="later"),
        pytest.param({}, APPROVAL, id="with approval"),
    ],
)
def test_a_run_is_refused_as_the_api_refuses_it(
    plants: Plants,
    body: dict[str, Any],
    job: dict[str, Any],
    error: type[GateError],
    detail: Any,
    when: dict[str, Any],
    approval: dict[str, Any],
) -> None:
    plant = plants.ready(**job, **approval)
    assert not_run(plant, runner(plant), {**when, **body}) == (error, detail)


@pytest.mark.parametrize(
    ("permissions", "error", "detail"),
    [
        pytest.param((), Forbidden, NO_RUN, id="who may run nothing"),
        pytest.param((may(JOB, VIEW, APPROVE),), Forbidden, NO_RUN, id="who may approve and not run"),
        pytest.param((may(JOB, VIEW), may(JOB, RUN, limit={"name": "x"})), Forbidden, NO_RUN, id="who may run another"),
        pytest.param(
            (may(JOB, RUN, limit={"name": "x"}),), NotFound, "No Job matches the given query.", id="who may not see it"
        ),
    ],
)
def test_nobody_runs_a_deployment_who_may_not_run_its_job(
    plants: Plants, permissions: tuple[May, ...], error: type[GateError], detail: str
) -> None:
    plant = plants.ready()
    zoe = person(plant, "zoe", *permissions, may(SCHEDULED, VIEW))
    row = asked(plant, HOURLY)
    for deployment_id in (plant.only(Job).deployment_id, row.deployment_id):
        assert not_run(plant, zoe, {}, deployment_id=deployment_id) == (error, detail)


def test_the_inputs_of_a_scheduled_job_run_for_nobody_who_may_not_view_it(plants: Plants) -> None:
    plant = plants.ready()
    zoe = person(plant, "zoe", may(JOB, RUN))
    row = asked(plant, HOURLY)
    assert not_run(plant, zoe, {}, deployment_id=row.deployment_id) == (NotFound, "Not found.")


def test_a_read_only_token_runs_nothing(plants: Plants) -> None:
    plant = plants.ready()
    reader = person(plant, "zoe", may(JOB, RUN), read_only=True)
    assert not_run(plant, reader, {}) == (Forbidden, policy.NO_PERMISSION)


def test_what_is_no_deployment_of_ours_is_not_found(plants: Plants) -> None:
    plant = plants.ready()
    assert not_run(plant, runner(plant), {}, deployment_id=uuid4()) == (NotFound, "Not found.")


@pytest.mark.parametrize(
    ("when", "field"),
    [
        pytest.param("tomorrow", "start_time", id="no time"),
        pytest.param("2026-13-45T00:00:00Z", "start_time", id="no day of the calendar"),
        pytest.param("", "start_time", id="an empty text"),
        pytest.param("9999-12-31T23:59:59-14:00", "start_time", id="after all time"),
        pytest.param("2026-05-04T13:00:00Z" + " " * 100, "start_time", id="a time and a hundred spaces"),
    ],
)
def test_a_time_that_is_none_is_refused_with_a_sentence(plants: Plants, when: str, field: str) -> None:
    plant = plants.ready()
    error, detail = not_run(plant, runner(plant), {"state": at(when), "name": "mine"})
    assert (error, list(detail), list(detail["schedule"])) == (Invalid, ["schedule"], [field])


@pytest.mark.parametrize("name", [5, ["x"], {"a": 1}, "x" * 256, "a\nb"])
def test_a_name_that_is_none_is_refused_with_a_sentence(plants: Plants, name: Any) -> None:
    plant = plants.ready()
    error, detail = not_run(plant, runner(plant), {"state": at(NOW + HOUR), "name": name})
    assert (error, list(detail)) == (Invalid, ["name"])


def test_runs_may_be_called_alike_and_scheduled_jobs_are_not(plants: Plants) -> None:
    plant = plants.ready()
    bob = runner(plant)
    runs = [run(plant, bob, {"state": at(NOW + HOUR), "name": "mine"}) for _ in range(2)]
    assert [plant.engine.all_runs[run_id].name for run_id in runs] == ["mine", "mine"]
    assert {row.name for row in plant.all(ScheduledJob)} == {"mine", f"{plant.job.name} - {NOW}"}


# Checking what has been filled into a form


FORM = {"title": "Counts", "type": "object", "properties": {"count": {"title": "count", "type": "integer"}}}
BAD = {"errors": ["Job data needs to be a dict"]}


def checked(plant: Plant, who: Actor, schema: object, values: object) -> tuple[type[GateError], Any] | None:
    """Return with what the values of a form are refused; None for good ones."""
    try:
        asyncio.run(of(plant).check_values(who, schema, values))
    except GateError as error:
        return type(error), error.detail
    return None


def test_the_values_of_a_job_s_form_are_checked_as_its_request_would_be(plants: Plants) -> None:
    plant = plants.ready(parameter_schema={**FORM, "additionalProperties": False})
    bob = runner(plant)
    assert checked(plant, bob, FORM, INPUTS) is None
    assert checked(plant, bob, FORM, [2]) == (Invalid, BAD)


def test_of_two_jobs_with_the_same_form_the_caller_may_run_one(plants: Plants) -> None:
    plant = plants.ready(parameter_schema=FORM)
    plant.add(other := make_job(name="A Job that comes first", parameter_schema=FORM))
    bob = person(plant, "bob", may(JOB, RUN, limit={"name": plant.job.name}))
    assert checked(plant, bob, FORM, [2]) == (Invalid, BAD)
    zoe = person(plant, "zoe", may(JOB, RUN, limit={"name": other.name}))
    assert checked(plant, zoe, FORM, [2]) == (Invalid, BAD)


@pytest.mark.parametrize(
    ("permissions", "schema"),
    [
        pytest.param((may(JOB, RUN),), {**FORM, "title": "Another"}, id="a schema of nobody's"),
        pytest.param((may(JOB, RUN),), None, id="no schema"),
        pytest.param((may(JOB, RUN),), {"properties": {"request": 5}}, id="a form that is no decision"),
        pytest.param((may(JOB, RUN),), {"properties": {"request": {"default": "1"}}}, id="half a decision"),
        pytest.param((), FORM, id="who may run nothing"),
        pytest.param((may(JOB, VIEW, APPROVE),), FORM, id="who may approve and not run"),
        pytest.param((may(JOB, RUN, limit={"name": "x"}),), FORM, id="who may run another"),
    ],
)
def test_another_schema_is_not_evaluated(plants: Plants, permissions: tuple[May, ...], schema: object) -> None:
    plant = plants.ready(parameter_schema=FORM)
    assert checked(plant, person(plant, "zoe", *permissions), schema, {}) == (Forbidden, NOT_OUR_FORM)


@pytest.mark.parametrize("past_due", [False, True], ids=["before its start", "past due"])
def test_the_values_of_a_decision_are_checked_for_whoever_sees_its_form(plants: Plants, past_due: bool) -> None:
    plant = plants.ready()
    zoe, form = person(plant, "zoe"), decision_form("7-abc", past_due=past_due)
    assert checked(plant, zoe, form, YES) is None
    assert checked(plant, zoe, form, {}) == (Invalid, CHOOSE)


@pytest.mark.parametrize("values", [{}, YES, {"decision": "approve", "comment": "go on"}, {"pattern": "(a+)+$"}])
def test_values_that_a_page_sends_in_place_of_the_schema_ask_for_nothing(plants: Plants, values: object) -> None:
    plant = plants.ready()
    assert checked(plant, person(plant, "zoe"), values, values) is None


# Prefect away


def test_a_run_now_that_prefect_does_not_take_was_accepted_and_shows_later(plants: Plants) -> None:
    plant = plants.ready()
    bob = runner(plant)
    plant.engine.fail("create_run", times=2)
    with pytest.raises(Unavailable, match=FOLLOWS):
        run(plant, bob, {})
    plant.settle()
    assert [each.id for each in plant.unended()] == [plant.only(JobResult).flow_run_id]


@pytest.mark.parametrize("job", [{}, APPROVAL], ids=["without approval", "with approval"])
def test_a_request_that_prefect_does_not_follow_yet_was_accepted_and_shows_later(
    plants: Plants, job: dict[str, Any]
) -> None:
    plant = plants.ready(**job)
    bob = runner(plant)
    plant.engine.fail("create_run", times=2)
    with pytest.raises(Unavailable, match=FOLLOWS):
        run(plant, bob, {"state": at(NOW + HOUR), "name": "mine"})
    plant.settle()
    assert plant.only(ScheduledJob).flow_run_id in plant.engine.all_runs
    check_in_line(plant)


@pytest.mark.parametrize("call", ["asked", "ask"])
def test_a_prefect_that_is_away_while_somebody_decides_is_no_decision(plants: Plants, call: str) -> None:
    plant = plants.ready(**APPROVAL)
    bob, row = approver(plant), asked(plant, LATER)
    assert row.flow_run_id is not None
    change_parameters(plant, row.flow_run_id)
    plant.engine.fail(call)
    assert not_resumed(plant, bob, row.flow_run_id, YES) == (Unavailable, "Prefect does not answer.")
    plant.settle()
    check_in_line(plant)
