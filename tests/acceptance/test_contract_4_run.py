"""Section 4 of the contract, line by line, over HTTP: running Jobs, and the refusals.

A row of the table below is named for its line of the contract's table, then for what is special about it. Each is sent
as JSON and, where a form can say it, as a form; both must say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from api_shim.store import Store
from tests.acceptance.asking import Body, answered, as_fields, custom, future, run, run_form
from tests.acceptance.people import SCHEDULES, Grant, People, changed, count, schedule, unique
from tests.factories import make_job
from tests.live import Live

LINES = (
    "no name",
    "start_time missing",
    "start_time past",
    "start_time unreadable",
    "unknown interval",
    "no interval",
    "crontab missing",
    "crontab bad",
    "name taken",
    "sensitive Job, scheduled",
    "sensitive Job that needs approval",
    "unknown variable",
    "missing variable",
    "wrong variable",
    "data not an object",
    "unknown queue",
    "both queue keys",
    "no permission",
    "Job disabled",
    "Job not installed",
    "no worker on the queue",
)
"""The lines of the contract's table."""

NO_NAME = "Please provide a name for the job schedule."
NO_START = "Please enter a valid date and time greater than or equal to the current date and time."
UNREADABLE = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
NO_CRONTAB = "Please enter a valid crontab."
NULL = "This field may not be null."
SENSITIVE = "Unable to schedule job: Job may have sensitive input variables"
BOTH_FLAGS = (
    "Unable to run or schedule job: This job is flagged as possibly having sensitive variables but is also flagged "
    "as requiring approval. One of these two flags must be removed before this job can be scheduled or run."
)
QUIET = "quiet"
NOT_INSTALLED = "Not installed"

Given = Callable[[Live, httpx.Client], AbstractContextManager[object]]


def nothing_special(_live: Live, _admin: httpx.Client) -> AbstractContextManager[object]:
    return nullcontext()


def disabled(_live: Live, admin: httpx.Client) -> AbstractContextManager[object]:
    return changed(admin, "Complain", enabled=False)


@contextmanager
def taken(_live: Live, admin: httpx.Client) -> Iterator[None]:
    made = schedule(admin, "taken")
    yield
    admin.delete(made["url"])


@contextmanager
def not_installed(live: Live, _admin: httpx.Client) -> Iterator[None]:
    store = Store(f"sqlite:///{live.home / 'signoff.db'}")
    job = make_job(name=NOT_INSTALLED, installed=False, projected_version=1)
    with store.transaction() as tx:
        tx.add(job)
    yield
    with store.transaction() as tx:
        tx.remove(job)
    store.close()


@contextmanager
def no_worker(_live: Live, admin: httpx.Client) -> Iterator[None]:
    """A queue of the Job's that no worker takes from, because it is paused."""
    admin.post("/api/work_pools/signoff/queues", json={"name": QUIET, "is_paused": True}).raise_for_status()
    with changed(admin, "Alone", task_queues=["default", QUIET]):
        yield
    admin.delete(f"/api/work_pools/signoff/queues/{QUIET}").raise_for_status()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A request that is refused.

    Args:
        told: the body of the answer.
        status: its status.
        job: what is to be run.
        body: what is sent.
        given: what is so meanwhile.
        grants: what the one who asks may do; None for a superuser.
        as_form: whether a form can say this.
    """

    told: Any
    status: int = 400
    job: str = "Greet"
    body: Body = field(default_factory=dict)
    given: Given = nothing_special
    grants: tuple[Grant, ...] | None = None
    as_form: bool = True


def of_schedule(where: str, sentence: str, body: Body, **more: Any) -> Refusal:
    return Refusal(told={"schedule": {where: [sentence]}}, body=body, **more)


def of_data(variable: str, sentence: str, data: Body, **more: Any) -> Refusal:
    return Refusal(told={"errors": {variable: [sentence]}}, body={"data": data}, **more)


def of_every_variable(variable: str, sentence: str, **data: Any) -> Refusal:
    return of_data(variable, sentence, {"number": 1, **data}, job="Every variable")


def of_queue(told: Any, **body: str) -> Refusal:
    return Refusal(told={"task_queue": told}, body=body)


UNKNOWN_VARIABLE = "Job data contained an unknown property"
NOT_A_CHOICE = '"{}" is not a valid choice.'
WHOLE, REQUIRED = "Enter a whole number.", "This field is required."
BOTH_QUEUES = "task_queue and job_queue are both specified. Please specify only one or another."
NOT_A_DICT = {"errors": ["Job data needs to be a dict"]}

REFUSED: Mapping[str, Refusal] = {
    "no name": of_schedule("name", NO_NAME, future(name=None)),
    "no name: empty": of_schedule("name", NO_NAME, future(name="")),
    "no name: blank": of_schedule("name", NO_NAME, future(name="  ")),
    "no name that fits: 256 characters": of_schedule(
        "name", "Ensure this field has no more than 255 characters.", future(name="x" * 256)
    ),
    **{
        f"start_time missing: {each}": of_schedule("start_time", NO_START, future(interval=each, start_time=None))
        for each in ("future", "hourly", "daily", "weekly")
    },
    "start_time unreadable: empty": of_schedule("start_time", UNREADABLE, future(start_time=""), as_form=False),
    **{
        f"null: {each}": of_schedule(
            each, NULL, {"schedule": {**custom(crontab="* * * * *")["schedule"], each: None}}, as_form=False
        )
        for each in ("name", "start_time", "interval", "crontab")
    },
    **{
        f"start_time past: {each}": of_schedule(
            "start_time", NO_START, future(interval=each, start_time="2020-01-01T00:00:00Z")
        )
        for each in ("future", "hourly", "daily", "weekly")
    },
    **{
        f"start_time unreadable: {each}": of_schedule("start_time", UNREADABLE, future(start_time=each))
        for each in (
            "tomorrow",
            "2030-13-01T00:00Z",
            "2030-01-01T25:00Z",
            "2030-01-01",
            "1893456000",
            "2030-02-30T00:00Z",
        )
    },
    "unknown interval": of_schedule("interval", NOT_A_CHOICE.format("monthly"), future(interval="monthly")),
    "unknown interval: in capitals": of_schedule("interval", NOT_A_CHOICE.format("Daily"), future(interval="Daily")),
    "no interval": of_schedule("interval", REQUIRED, future(interval=None)),
    "crontab missing": of_schedule("crontab", NO_CRONTAB, custom()),
    "crontab missing: empty": of_schedule("crontab", NO_CRONTAB, custom(crontab="")),
    "crontab bad: six fields": of_schedule(
        "crontab",
        "A crontab needs exactly five fields (minute, hour, day of month, month, day of week); this one has 6.",
        custom(crontab="* * * * * *"),
    ),
    "crontab bad: a minute that there is not": of_schedule(
        "crontab", "The minute field must be between 0 and 59: 99.", custom(crontab="99 * * * *")
    ),
    "crontab bad: a date that never comes": of_schedule(
        "crontab", "This crontab never fires: none of its months has such a day.", custom(crontab="0 0 31 2 *")
    ),
    "time zone that there is not": of_schedule(
        "time_zone",
        "There is no time zone '../../etc/passwd'; use a name such as Europe/Berlin or UTC.",
        future(time_zone="../../etc/passwd"),
    ),
    "name taken": of_schedule(
        "name", "A scheduled job with this name already exists.", future(name="taken"), given=taken
    ),
    **{
        f"sensitive Job, scheduled: {each}": of_schedule(
            "interval", SENSITIVE, future(interval=each, crontab="* * * * *"), job="Keep a secret"
        )
        for each in ("future", "hourly", "daily", "weekly", "custom")
    },
    "sensitive Job that needs approval": Refusal(told=[BOTH_FLAGS], job="Impossible"),
    "sensitive Job that needs approval: now": Refusal(
        told=[BOTH_FLAGS], job="Impossible", body={"schedule": {"interval": "immediately"}}
    ),
    "sensitive Job that needs approval: later": Refusal(told=[BOTH_FLAGS], job="Impossible", body=future()),
    "unknown variable": of_data("bogus", UNKNOWN_VARIABLE, {"bogus": 1}),
    "unknown variable: in a schedule": Refusal(
        told={"errors": {"bogus": [UNKNOWN_VARIABLE]}}, body={"data": {"bogus": 1}, **future()}
    ),
    "missing variable": of_data("number", REQUIRED, {"text": "x"}, job="Every variable"),
    "wrong variable: not a number": of_data("count", WHOLE, {"count": "many"}),
    "wrong variable: not a whole number": of_data("count", WHOLE, {"count": 1.5}),
    "wrong variable: too large": of_data("count", "Ensure this value is less than or equal to 100.", {"count": 101}),
    "wrong variable: too small": of_data("count", "Ensure this value is greater than or equal to 1.", {"count": 0}),
    "wrong variable: too long": of_data(
        "who", "Ensure this value has at most 50 characters (it has 51).", {"who": "x" * 51}
    ),
    "wrong variable: no such choice": of_every_variable(
        "colour", "Select a valid choice. blue is not one of the available choices.", colour="blue"
    ),
    "wrong variable: no match": of_every_variable("code", "Enter a valid value.", code="abc"),
    **{
        f"data not an object: {each!r}": Refusal(told=NOT_A_DICT, body={"data": each}, as_form=False)
        for each in ("text", 5, [], True)
    },
    "unknown queue": of_queue([NOT_A_CHOICE.format("nope")], task_queue="nope"),
    "unknown queue: by its newer name": of_queue([NOT_A_CHOICE.format("nope")], job_queue="nope"),
    "both queue keys": of_queue(BOTH_QUEUES, task_queue="default", job_queue="default"),
    "no permission": Refusal(
        told={"detail": "This user does not have permission to run jobs."},
        status=403,
        grants=(("extras.job", "view", None),),
    ),
    "no permission: for this Job": Refusal(
        told={"detail": "This user does not have permission to run jobs."},
        status=403,
        grants=(("extras.job", "view", None), ("extras.job", "run", {"name": "Sleep"})),
    ),
    "no permission: nor to see it": Refusal(
        told={"detail": "No Job matches the given query."},
        status=404,
        grants=(("extras.job", "run", {"name": "Sleep"}),),
    ),
    "Job disabled": Refusal(
        told={"detail": "This job is not enabled to be run."}, status=403, job="Complain", given=disabled
    ),
    "Job not installed": Refusal(
        told={"detail": "This job is not presently installed and cannot be run."},
        status=405,
        job=NOT_INSTALLED,
        given=not_installed,
    ),
    "Job that events start": Refusal(
        told={"detail": "This job is started by events and cannot be run directly."}, status=405, job="React"
    ),
    "no worker on the queue": Refusal(
        told={"detail": f"Unable to process request: No Prefect workers running on queue {QUIET}."},
        status=503,
        job="Alone",
        body={"task_queue": QUIET},
        given=no_worker,
    ),
}


def test_every_line_of_the_contracts_table_has_a_row() -> None:
    assert [line for line in LINES if not any(name.startswith(line) for name in REFUSED)] == []


@pytest.mark.parametrize("row", REFUSED.values(), ids=[f"4 {name}" for name in REFUSED])
def test_what_cannot_be_run_is_refused_in_json_and_in_forms(
    live: Live, admin: httpx.Client, people: People, row: Refusal
) -> None:
    who = "admin" if row.grants is None else people.add(*row.grants)
    with row.given(live, admin), live.client(who) as client:
        assert answered(run(client, row.body, row.job)) == (row.status, row.told)
        if row.as_form:
            assert answered(run_form(client, as_fields(row.body), row.job)) == (row.status, in_form(row.told))
    assert count(admin, SCHEDULES, name="refused") == 0


def in_form(told: Any) -> Any:
    """Return what a form is told: of its schedule, under the form's own fields."""
    faults = told.get("schedule") if isinstance(told, dict) else None
    return {f"_schedule_{field}": said for field, said in faults.items()} if faults else told


def test_4_of_several_faults_the_schedules_come_first_then_the_queues_then_the_datas(admin: httpx.Client) -> None:
    body = {"data": {"bogus": 1}, "task_queue": "nope", **future(name=None)}
    for told in ("schedule", "task_queue", "errors"):
        assert list(run(admin, body).json()) == [told]
        body.pop({"schedule": "schedule", "task_queue": "task_queue", "errors": "data"}[told])


def test_4_all_faults_of_a_schedule_are_told_at_once(admin: httpx.Client) -> None:
    told = run(admin, {"schedule": {"interval": "custom", "crontab": "x", "start_time": "x", "time_zone": "x"}}).json()
    assert set(told["schedule"]) == {"name", "crontab", "start_time", "time_zone"}


# What is accepted


def test_4_a_run_now_gives_a_job_result_and_nothing_else(admin: httpx.Client) -> None:
    for body in (
        {"data": {"who": "x"}},
        {"data": {}, "schedule": {"interval": "immediately"}},
        {"schedule": None, "data": None, "task_queue": "bulk"},
    ):
        answer = run(admin, body)
        assert answer.status_code == 201
        made = answer.json()
        assert set(made) == {"scheduled_job", "job_result"}
        assert made["scheduled_job"] is None
        assert made["job_result"]["celery_kwargs"]["queue"] == body.get("task_queue", "default")


def test_4_a_form_runs_a_job_with_its_fields_as_variables(admin: httpx.Client) -> None:
    answer = run_form(admin, {"who": "form", "count": "7", "_schedule_interval": "immediately", "_job_queue": "bulk"})
    assert answer.status_code == 201
    made = answer.json()["job_result"]
    assert made["task_kwargs"] == {"who": "form", "count": 7, "file": ""} | made["task_kwargs"]
    assert made["celery_kwargs"]["queue"] == "bulk"


def test_4_a_form_schedules_a_job(admin: httpx.Client) -> None:
    name = unique("form")
    answer = run_form(admin, as_fields({"data": {"who": "form"}, **custom(name=name, crontab="*/15 * * * *")}))
    assert answer.status_code == 201
    made = answer.json()["scheduled_job"]
    assert (made["name"], made["interval"], made["crontab"]) == (name, "custom", "*/15 * * * *")
    assert made["kwargs"]["who"] == "form"
    assert admin.delete(made["url"]).status_code == 204


def test_4_a_job_that_needs_approval_becomes_a_scheduled_job(admin: httpx.Client) -> None:
    for body in ({}, {"data": {"dryrun": "off"}}, {"schedule": {"interval": "immediately"}}):
        made = run(admin, body, "Guarded").json()
        row = made["scheduled_job"]
        assert made["job_result"] is None
        assert re.fullmatch(r"Guarded - [-\d]{10} [:.\d]{15}\+00:00", row["name"])
        assert row["description"].startswith("Guarded, requested by admin to run immediately")
        assert (row["interval"], row["one_off"], row["approval_required"]) == ("future", True, True)
        assert row["approved_at"] is None
        admin.delete(row["url"])


def test_4_a_dry_run_needs_no_approval(admin: httpx.Client) -> None:
    made = run(admin, {"data": {"dryrun": "on"}}, "Guarded").json()
    assert made["scheduled_job"] is None
    assert made["job_result"]["task_kwargs"] == {"dryrun": True, "file": None}


@pytest.mark.parametrize(
    ("start", "zone", "stored"),
    [
        pytest.param("2030-01-01T01:00:00.000Z", None, "2030-01-01T01:00:00Z", id="in UTC"),
        pytest.param("2030-01-01T01:00+02:00", None, "2029-12-31T23:00:00Z", id="with an offset"),
        pytest.param("2030-07-01T12:00", "Europe/Berlin", "2030-07-01T10:00:00Z", id="naive, in the schedule's zone"),
        pytest.param("2030-01-01 01:00:00Z", None, "2030-01-01T01:00:00Z", id="with a space"),
    ],
)
def test_4_a_start_time_is_understood(admin: httpx.Client, start: str, zone: str | None, stored: str) -> None:
    made = schedule(admin, start_time=start, **({"time_zone": zone} if zone else {}))
    assert made["start_time"] == stored
    assert zone is None or made["time_zone"] == zone
    admin.delete(made["url"])
