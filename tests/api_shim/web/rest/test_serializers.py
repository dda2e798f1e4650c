"""The shapes that clients see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.cli.times import local_time
from api_shim.domain.approval import version_of
from api_shim.domain.model import OVERRIDABLE, Status, queue_id
from api_shim.domain.ports import LogLine
from api_shim.domain.recurrence import Interval
from api_shim.schemas import Choice, Reference
from api_shim.services.approval_queue import Waiting
from api_shim.services.queries import entry_of
from api_shim.services.schedules import Accepted
from api_shim.web.rest.serializers import Serializer, natural_slug
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

ROOT = "https://signoff.example"
SECRET = {"password": "hunter2"}


def test_a_time_is_written_in_utc_with_a_z() -> None:
    assert local_time(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2030-01-02T03:04:05Z"
    assert local_time(datetime(2030, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)) == "2030-01-02T03:04:05.600000Z"
    assert local_time(None) is None


@pytest.mark.parametrize("status", Status)
def test_a_status_is_a_choice_whose_label_is_its_value(status: Status) -> None:
    shape = Serializer(ROOT, {}).job_result(make_result(make_job(), None, status=status))
    assert shape.status == Choice(value=str(status), label=str(status))


def test_a_slug_is_readable_and_unique() -> None:
    one, other = uuid4(), uuid4()
    assert natural_slug(one, "Back up: daily!") == f"back-up-daily_{str(one)[:4]}"
    assert natural_slug(one, "oracle_jobs.daily", "HelloJob") == f"oracle-jobs-daily_hellojob_{str(one)[:4]}"
    assert natural_slug(one, "x") != natural_slug(other, "x")
    assert len(natural_slug(one, "x" * 1000)) == 105


def test_a_queue_has_the_same_id_everywhere() -> None:
    assert queue_id("bulk") == queue_id("bulk") != queue_id("default")


def test_an_override_is_shown_for_each_field_that_has_one() -> None:
    shape = Serializer(ROOT, {}).job(make_job(overridden=("hidden",)))
    overrides = {name: value for name, value in shape if name.endswith("_override")}
    fields = (*OVERRIDABLE, "task_queues", "default_job_queue", "name", "grouping")
    assert overrides == {f"{field}_override": field == "hidden" for field in fields}
    queues = Serializer(ROOT, {}).job(make_job(overridden=("job_queues",)))
    assert (queues.task_queues_override, queues.default_job_queue_override) == (True, True)


def test_a_job_says_with_which_job_variables_its_runs_are_started() -> None:
    assert Serializer(ROOT, {}).job(make_job(job_variables={"image": "jobs:1"})).job_variables == {"image": "jobs:1"}


@pytest.mark.parametrize(
    ("sensitive", "shown"), [pytest.param(False, SECRET, id="shown"), pytest.param(True, {}, id="kept")]
)
def test_inputs_of_sensitive_jobs_are_kept(sensitive: bool, shown: dict[str, Any]) -> None:
    job = make_job(has_sensitive_variables=sensitive)
    wire = Serializer(ROOT, {job.id: job})
    assert wire.job_result(make_result(job, None, inputs=SECRET, sensitive=sensitive)).task_kwargs == shown
    assert wire.scheduled_job(make_scheduled(job, None, inputs=SECRET)).kwargs == shown
    assert wire.scheduled_job(make_scheduled(job, None, inputs=SECRET, sensitive=True)).kwargs == {}


def test_an_owner_who_is_gone_is_null_and_one_who_is_there_a_link() -> None:
    job, user = make_job(), make_user()
    wire = Serializer(ROOT, {job.id: job})
    link = Reference(id=user.id, object_type="users.user", url=f"{ROOT}/api/users/users/{user.id}/")
    assert wire.scheduled_job(make_scheduled(job, None)).user is None
    assert wire.scheduled_job(make_scheduled(job, user)).user == link
    assert wire.job_result(make_result(job, user)).user == link


@pytest.mark.parametrize(
    ("to", "shown"),
    [
        pytest.param({"interval": Interval.FUTURE}, {"one_off": True, "interval": "future"}, id="a one-off"),
        pytest.param({"interval": Interval.DAILY}, {"one_off": False, "interval": "daily"}, id="a recurring one"),
        pytest.param({"approval": ApprovalState.PENDING}, {"approval_required": True}, id="one that waits"),
        pytest.param({"approval": ApprovalState.NOT_REQUIRED}, {"approval_required": False}, id="one that need not"),
        pytest.param({"name": "x"}, {"display": "x: hourly"}, id="what it is called"),
    ],
)
def test_a_scheduled_job_says_what_it_is(to: dict[str, Any], shown: dict[str, Any]) -> None:
    job = make_job()
    shape = Serializer(ROOT, {job.id: job}).scheduled_job(make_scheduled(job, None, **to))
    assert {name: getattr(shape, name) for name in shown} == shown


@pytest.mark.parametrize("approval", ApprovalState)
def test_a_scheduled_job_says_where_its_approval_stands(approval: ApprovalState) -> None:
    job = make_job()
    shape = Serializer(ROOT, {job.id: job}).scheduled_job(make_scheduled(job, None, approval=approval))
    assert shape.approval_state == str(approval)
    assert shape.approval_required is (approval is not ApprovalState.NOT_REQUIRED)


def test_a_scheduled_job_that_nobody_has_decided_about_names_nobody() -> None:
    job = make_job()
    row = make_scheduled(job, None, approval=ApprovalState.PENDING, expires_at=NOW, approval_note="It changed.")
    shape = Serializer(ROOT, {job.id: job}).scheduled_job(row)
    assert (shape.approved_at, shape.approved_by_user, shape.approval_comment) == (None, None, "")
    assert (shape.approval_note, shape.expires_at) == ("It changed.", NOW)


def test_a_scheduled_job_that_was_approved_says_by_whom_when_and_with_what_words() -> None:
    job, bob = make_job(), make_user("bob")
    row = make_scheduled(
        job, None, approval=ApprovalState.APPROVED, approved_by_id=bob.id, approved_at=NOW, approval_comment="Good."
    )
    shape = Serializer(ROOT, {job.id: job}).scheduled_job(row)
    link = Reference(id=bob.id, object_type="users.user", url=f"{ROOT}/api/users/users/{bob.id}/")
    assert (shape.approved_at, shape.approved_by_user) == (NOW, link)
    assert (shape.approval_comment, shape.approval_note, shape.expires_at) == ("Good.", "", None)


def test_a_scheduled_job_has_the_version_that_people_decide_about() -> None:
    job = make_job()
    wire, row = Serializer(ROOT, {job.id: job}), make_scheduled(job, None)
    later = replace(row, start_time=NOW + timedelta(hours=1))
    assert wire.scheduled_job(row).approval_version == version_of(row, job)
    assert wire.scheduled_job(later).approval_version != wire.scheduled_job(row).approval_version


@pytest.mark.parametrize(("why_not", "may"), [("", True), ("You cannot approve your own job request!", False)])
def test_a_request_in_the_queue_is_a_scheduled_job_and_says_who_asked_and_who_may_approve(
    why_not: str, may: bool
) -> None:
    job = make_job()
    wire, row = Serializer(ROOT, {job.id: job}), make_scheduled(job, None, approval=ApprovalState.PENDING)
    waiting = Waiting(
        scheduled=row, requester="alice", asked=NOW, why_not=why_not, why_not_deny=why_not, unfit="It fails."
    )
    shape = wire.waiting(waiting)
    mine = {
        **{"requested_by": "alice", "asked_at": NOW, "unfit": "It fails."},
        **{"may_approve": may, "why_not_approve": why_not, "may_deny": may, "why_not_deny": why_not},
    }
    assert dict(shape) == {**dict(wire.scheduled_job(row)), **mine}


APPROVED_BY_BOB = {"by": "bob", "at": "2026-05-04T11:00:00+00:00", "comment": "Good."}


@pytest.mark.parametrize(
    ("approval", "meta"),
    [
        pytest.param(None, {}, id="where none was needed"),
        pytest.param(APPROVED_BY_BOB, {"approval": APPROVED_BY_BOB}, id="where bob approved it"),
    ],
)
def test_a_job_result_says_who_approved_it(approval: Any, meta: dict[str, Any]) -> None:
    assert Serializer(ROOT, {}).job_result(make_result(make_job(), None, approval=approval)).meta == meta


def test_a_job_result_says_how_it_was_started_as_clients_read_it() -> None:
    job, user = make_job(), make_user()
    row = make_result(job, user, date_started=NOW, status=Status.STARTED)
    shape = Serializer(ROOT, {}).job_result(row)
    assert shape.display == f"{job.name} created at {row.date_created} (STARTED)"
    assert shape.natural_slug == f"{row.id}_{str(row.id)[:4]}"
    assert shape.meta == {"children": []}
    assert shape.celery_kwargs == {
        "queue": "default",
        "nautobot_job_profile": False,
        "nautobot_job_ignore_singleton_lock": False,
        "nautobot_job_job_model_id": str(job.id),
        "nautobot_job_user_id": str(user.id),
    }


def test_a_job_result_says_for_which_firing_it_stands() -> None:
    shape = Serializer(ROOT, {}).job_result(make_result(make_job(), None, nominal_time=NOW))
    assert shape.nominal_time == NOW


def test_a_line_of_a_log_belongs_to_its_result() -> None:
    line = LogLine(id=uuid4(), level=20, source="prefect.flow_runs", message="x" * 200, created=NOW)
    result = make_result(make_job(), None)
    shape = Serializer(ROOT, {}).log_entry(entry_of(line, result))
    assert shape.url == f"{ROOT}/api/extras/job-logs/{shape.id}/"
    assert (shape.message, shape.display) == ("x" * 200, "x" * 100)
    assert shape.job_result.url == f"{ROOT}/api/extras/job-results/{result.id}/"


@pytest.mark.parametrize("name", ["scheduled_job", "job_result"])
def test_a_run_request_has_become_one_of_two(name: str) -> None:
    job = make_job()
    wire, became = Serializer(ROOT, {job.id: job}), {"scheduled_job": make_scheduled(job, None)}
    became = {name: {**became, "job_result": make_result(job, None)}[name]}
    shape = wire.accepted(Accepted(**became))
    assert {field for field, value in shape if value is not None} == {name}


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "2030-01-02T03:04:05Z"),
        (datetime(2030, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC), "2030-01-02T03:04:05.600000Z"),
        (None, None),
    ],
)
def test_a_shape_writes_times_as_the_contract_does(time: datetime | None, written: str | None) -> None:
    shape = Serializer(ROOT, {}).job_result(make_result(make_job(), None, date_done=time))
    assert shape.model_dump(mode="json")["date_done"] == written == local_time(time)
