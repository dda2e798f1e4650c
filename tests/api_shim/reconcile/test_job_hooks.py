"""Job hooks start their Jobs once for each change, whatever happens in between, and never for their own runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import JobResult
from api_shim.domain.triggers import JobHook
from api_shim.services.admission import Attempt
from approval_gate.admission import Go
from tests.api_shim.plant import Plant
from tests.factories import make_job, make_result, make_scheduled

EVERY = ("extras.job", "extras.scheduledjob", "extras.jobresult")


class Hooked(Plant):
    """A plant with a receiver and a hook that hears of everything."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.receiver = make_job(name="Hear", is_job_hook_receiver=True)
        self.hook = JobHook(
            id=uuid4(),
            name="hook",
            job_id=self.receiver.id,
            content_types=EVERY,
            type_create=True,
            type_update=True,
            type_delete=True,
            created=self.now,
            last_updated=self.now,
        )
        with self.store.transaction() as tx:
            tx.add(self.user)
            tx.add(self.job, self.receiver)
            tx.add(self.hook)

    def change(self, thing: Any, **to: Any) -> None:
        with self.store.transaction() as tx:
            tx.change(thing, **to)

    def started(self) -> list[JobResult]:
        with self.store.transaction(write=False) as tx:
            return tx.all(JobResult, order="date_created", job_id=self.receiver.id)

    def heard(self) -> list[tuple[str, str, Any]]:
        told = [dict(result.inputs or {})["event"] for result in self.started()]
        return [(each["action"], each["changed_object_type"], each["changed_object"]) for each in told]

    def record(self, act: EventType, **to: Any) -> None:
        with self.store.transaction() as tx:
            tx.record(AuditEvent(at=self.now, act=act, actor="alice", name="it", **to))


@pytest.fixture
def plant(store_url: str) -> Iterator[Hooked]:
    made = Hooked(store_url)
    with closing(made.store):
        yield made


@pytest.mark.each_database
def test_a_hook_starts_its_job_once_with_the_change_and_prefect_follows(plant: Hooked) -> None:
    row = make_scheduled(plant.job, plant.user, name="nightly", enabled=False)
    with plant.store.transaction() as tx:
        tx.add(row)
    plant.record(EventType.CHANGED, scheduled_job_id=row.id, job_id=plant.job.id)
    plant.tick(4, seconds=1)
    [result] = plant.started()
    event = dict(result.inputs or {})["event"]
    assert (event["event"], event["action"], event["user_name"]) == ("signoff.schedule.changed", "update", "alice")
    assert event["changed_object"] == {
        "id": str(row.id),
        "object_type": "extras.scheduledjob",
        "name": "nightly",
        "url": f"/api/extras/scheduled-jobs/{row.id}/",
        "enabled": False,
        "job": {"id": str(plant.job.id), "name": plant.job.name},
    }
    assert (event["changed_object_id"], event["object_repr"]) == (str(row.id), "it")
    assert result.user_id is None
    [run] = [run for run in plant.engine.all_runs.values() if run.parameters == result.inputs]
    assert (run.id, run.state_type) == (result.flow_run_id, "SCHEDULED")
    plant.tick(4, seconds=1)
    assert len(plant.started()) == 1


def test_a_run_that_a_hook_has_started_goes_as_nobody_and_starts_none(plant: Hooked) -> None:
    plant.record(EventType.JOB_CHANGED, job_id=plant.job.id)
    plant.tick(4, seconds=1)
    [result] = plant.started()
    assert result.flow_run_id is not None
    attempt = Attempt(id=uuid4(), worker="w:1", code=plant.receiver.code_digest)
    answer, ticket = plant.admissions.ask(plant.engine.all_runs[result.flow_run_id], attempt, plant.now)
    assert answer == Go()
    assert ticket is not None
    assert (ticket.user, ticket.result.id) == (None, result.id)
    with plant.store.transaction(write=False) as tx:
        assert tx.last_event([EventType.ADMITTED], job_id=plant.receiver.id) is not None
    plant.tick(4, seconds=1)
    assert [each.id for each in plant.started()] == [result.id], "that it was let go is a change of a job result"


@pytest.mark.parametrize(
    "act", [EventType.ADMITTED, EventType.RESULT_CANCELLED, EventType.RESULT_RESUMED, EventType.RESULT_DELETED]
)
def test_what_becomes_of_the_run_of_a_receiver_starts_no_hook(plant: Hooked, act: EventType) -> None:
    own, other = make_result(plant.receiver, None), make_result(plant.job, plant.user)
    with plant.store.transaction() as tx:
        tx.add(own, other)
    plant.record(act, job_id=plant.receiver.id, flow_run_id=own.flow_run_id, data={"job_result": str(own.id)})
    plant.tick(2, seconds=1)
    assert [each.id for each in plant.started()] == [own.id]
    plant.record(act, job_id=plant.job.id, flow_run_id=other.flow_run_id)
    plant.tick(2, seconds=1)
    assert len(plant.started()) == 2, "that of another Job does"


SPENT = UUID(int=7)
DISABLED = [
    pytest.param({"hook": {"enabled": False}}, id="the hook is disabled"),
    pytest.param({"hook": {"type_update": False}}, id="it is not for this"),
    pytest.param({"receiver": {"enabled": False}}, id="its Job is disabled"),
    pytest.param({"receiver": {"approval_required": True}}, id="its Job needs approval, which nobody is asked for"),
    pytest.param({"receiver": {"is_job_hook_receiver": False}}, id="its Job receives nothing any more"),
    pytest.param({"hook": {"created": "later"}}, id="it was made later"),
]


@pytest.mark.parametrize("to", DISABLED)
def test_a_hook_that_is_not_to_starts_nothing(plant: Hooked, to: dict[str, dict[str, Any]]) -> None:
    for name, fields in to.items():
        later = {"created": plant.now + timedelta(hours=1)} if "created" in fields else fields
        plant.change(getattr(plant, name), **later)
    plant.record(EventType.JOB_CHANGED, job_id=plant.job.id)
    plant.tick(2, seconds=1)
    assert plant.started() == []


def test_what_is_gone_is_told_without_an_object(plant: Hooked) -> None:
    plant.record(EventType.DELETED, scheduled_job_id=SPENT, job_id=plant.job.id)
    plant.record(EventType.RESULT_DELETED, job_id=plant.job.id, data={"job_result": str(SPENT)})
    plant.tick(2, seconds=1)
    assert sorted(plant.heard()) == [
        ("delete", "extras.jobresult", None),
        ("delete", "extras.scheduledjob", None),
    ]
    assert {dict(each.inputs or {})["event"]["changed_object_id"] for each in plant.started()} == {str(SPENT)}


@pytest.mark.parametrize("dies_at", range(1, 25))
def test_a_crash_at_any_moment_starts_it_once(plant: Hooked, dies_at: int) -> None:
    plant.tick(2, seconds=1)
    plant.record(EventType.JOB_CHANGED, job_id=plant.job.id)
    plant.start(dies_at=dies_at)
    plant.now += timedelta(seconds=1)
    plant.dies(plant.round)
    plant.start()
    plant.tick(4, seconds=1)
    [result] = plant.started()
    made = [run.id for run in plant.engine.all_runs.values() if run.parameters == result.inputs]
    assert made == [result.flow_run_id]


def test_inputs_of_a_sensitive_receiver_are_kept_from_prefect(plant: Hooked) -> None:
    plant.change(plant.receiver, has_sensitive_variables=True)
    plant.record(EventType.JOB_CHANGED, job_id=plant.job.id)
    plant.tick(4, seconds=1)
    [result] = plant.started()
    assert result.sensitive
    assert result.flow_run_id is not None
    assert plant.engine.all_runs[result.flow_run_id].parameters == {}
