"""Each call: what it asks, and what it makes of the answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api_shim import schemas
from api_shim.client.operations import (
    approvals,
    automations,
    job_queues,
    job_results,
    jobs,
    preferences,
    scheduled_jobs,
    triggers,
)
from api_shim.client.protocol import HttpRequest, Operation, UnexpectedResponse
from approval_gate.errors import Invalid
from tests.api_shim import said
from tests.api_shim.client.test_protocol import played

E = "api/extras"
ROW, RESULT, JOB, WAITING = said.scheduled(), said.result(), said.job(), said.waiting()
HELD, BEGUN = said.accepted(ROW), said.accepted(None, RESULT)
VARIABLE = {"name": "who", "type": "StringVar", "required": False}
UPCOMING = {"time_zone": "UTC", "why_not": "", "note": "", "firings": ["2030-01-01T02:00:00Z"]}
CHECKED = {"valid": True, "errors": [], "needs_approval": False, "who_may_approve": [], "others_may_approve": False}
QUEUE = said.queue()
BUTTON, HOOK = said.button(), said.hook()
BOUND = said.bound()
STATUS = {
    **{"signoff-version": "1", "prefect-version": "3", "prefect": "ok", "default-queue-has-worker": True},
    **{"nautobot-version": "2.4.0", "python-version": "3", "celery-workers-running": 1},
    **{"installed-apps": {}, "plugins": {}},
}
AT = datetime(2030, 1, 1, 2, tzinfo=UTC)


def case(talk: Operation[Any], method: str, path: str, body: Any, answer: Any, kind: Any, name: str) -> Any:
    return pytest.param(talk, method, path, body, answer, kind, id=name)


PREFERRED = {"timezone": "", "pagination": {"per_page": 50}}
CONFIG = "api/users/config/"

CASES = [
    case(preferences.preferences(), "GET", CONFIG, None, PREFERRED, schemas.Preferences, "preferences"),
    case(
        preferences.change_preferences(time_zone="", page_size=50),
        "PATCH",
        CONFIG,
        {"timezone": "", "pagination": {"per_page": 50}},
        PREFERRED,
        schemas.Preferences,
        "change preferences",
    ),
    case(jobs.job("a b"), "GET", f"{E}/jobs/a%20b/", None, JOB, schemas.Job, "job"),
    case(jobs.variables("j"), "GET", f"{E}/jobs/j/variables/", None, [VARIABLE], list, "variables"),
    case(
        jobs.job_tools(),
        "GET",
        f"{E}/job-tools/",
        None,
        [{"job": JOB, "variables": [VARIABLE]}],
        list,
        "Jobs that are tools",
    ),
    case(
        jobs.change_job("j", enabled=False, time_limit=60),
        "PATCH",
        f"{E}/jobs/j/",
        {"enabled": False, "time_limit": 60},
        JOB,
        schemas.Job,
        "change a Job",
    ),
    case(
        jobs.check("j", {"n": 1}),
        "POST",
        f"{E}/jobs/j/check/",
        {"data": {"n": 1}},
        CHECKED,
        schemas.RequestCheck,
        "check",
    ),
    case(jobs.run("j"), "POST", f"{E}/jobs/j/run/", {"data": {}}, BEGUN, schemas.Accepted, "run"),
    case(
        jobs.run("j", {"n": 1}, name="x", queue="bulk"),
        "POST",
        f"{E}/jobs/j/run/",
        {"data": {"n": 1}, "schedule": {"interval": "immediately", "name": "x"}, "job_queue": "bulk"},
        HELD,
        schemas.Accepted,
        "run under a name",
    ),
    case(
        jobs.schedule("j", name="x", at=AT),
        "POST",
        f"{E}/jobs/j/run/",
        {"data": {}, "schedule": {"name": "x", "interval": "future", "start_time": "2030-01-01T02:00:00+00:00"}},
        HELD,
        schemas.ScheduledJob,
        "schedule once",
    ),
    case(
        jobs.schedule("j", {"n": 1}, name="x", at="2030-01-01 02:00", every="daily", queue="bulk"),
        "POST",
        f"{E}/jobs/j/run/",
        {
            "data": {"n": 1},
            "schedule": {"name": "x", "interval": "daily", "start_time": "2030-01-01 02:00"},
            "job_queue": "bulk",
        },
        HELD,
        schemas.ScheduledJob,
        "schedule again and again",
    ),
    case(
        jobs.schedule("j", name="x", cron="0 2 * * *", time_zone="Europe/Berlin"),
        "POST",
        f"{E}/jobs/j/run/",
        {
            "data": {},
            "schedule": {"name": "x", "interval": "custom", "crontab": "0 2 * * *", "time_zone": "Europe/Berlin"},
        },
        HELD,
        schemas.ScheduledJob,
        "schedule by a crontab",
    ),
    case(
        job_queues.add_job_queue("gpu", pool="big"),
        "POST",
        f"{E}/job-queues/",
        {"name": "gpu", "pool": "big"},
        QUEUE,
        schemas.JobQueue,
        "add a queue",
    ),
    case(
        job_queues.move_job_queue("a b", "big"),
        "PATCH",
        f"{E}/job-queues/a%20b/",
        {"pool": "big"},
        QUEUE,
        schemas.JobQueue,
        "move a queue",
    ),
    case(job_queues.delete_job_queue("q"), "DELETE", f"{E}/job-queues/q/", None, None, None, "delete a queue"),
    case(
        triggers.add_job_button("b", job="j", text="t", content_types=["extras.job"], weight=7),
        "POST",
        f"{E}/job-buttons/",
        {"name": "b", "job": "j", "text": "t", "content_types": ["extras.job"], "weight": 7},
        BUTTON,
        schemas.JobButton,
        "add a button",
    ),
    case(triggers.delete_job_button("b"), "DELETE", f"{E}/job-buttons/b/", None, None, None, "delete a button"),
    case(
        triggers.add_job_hook("h", job="j", content_types=["extras.job"], type_update=True),
        "POST",
        f"{E}/job-hooks/",
        {
            "name": "h",
            "job": "j",
            "content_types": ["extras.job"],
            "type_create": False,
            "type_update": True,
            "type_delete": False,
        },
        HOOK,
        schemas.JobHook,
        "add a hook",
    ),
    case(triggers.delete_job_hook("h"), "DELETE", f"{E}/job-hooks/h/", None, None, None, "delete a hook"),
    case(
        automations.bind_automation("a", user="alice"),
        "POST",
        f"{E}/automation-accounts/",
        {"automation": "a", "user": "alice"},
        BOUND,
        schemas.AutomationAccount,
        "bind an automation",
    ),
    case(
        automations.bind_automation("a"),
        "POST",
        f"{E}/automation-accounts/",
        {"automation": "a"},
        BOUND,
        schemas.AutomationAccount,
        "bind an automation to oneself",
    ),
    case(
        approvals.comparison("a"),
        "GET",
        f"{E}/approval-requests/a/comparison/",
        None,
        said.comparison(),
        schemas.Comparison,
        "what was decided about",
    ),
    case(automations.unbind_automation("a"), "DELETE", f"{E}/automation-accounts/a/", None, None, None, "unbind one"),
    case(jobs.status(), "GET", "api/status/", None, STATUS, schemas.Status, "status"),
    case(
        scheduled_jobs.scheduled_job("s"), "GET", f"{E}/scheduled-jobs/s/", None, ROW, schemas.ScheduledJob, "scheduled"
    ),
    case(
        scheduled_jobs.change("s", enabled=False),
        "PATCH",
        f"{E}/scheduled-jobs/s/",
        {"enabled": False},
        ROW,
        schemas.ScheduledJob,
        "disable",
    ),
    case(
        scheduled_jobs.change(
            "s",
            name="t",
            data={"n": 1},
            at=AT,
            cron="0 3 * * *",
            time_zone="UTC",
            queue="bulk",
            enabled=True,
            version="ab",
        ),
        "PATCH",
        f"{E}/scheduled-jobs/s/",
        {
            "name": "t",
            "enabled": True,
            "data": {"n": 1},
            "interval": "custom",
            "start_time": "2030-01-01T02:00:00+00:00",
            "crontab": "0 3 * * *",
            "time_zone": "UTC",
            "job_queue": "bulk",
            "version": "ab",
        },
        ROW,
        schemas.ScheduledJob,
        "change everything",
    ),
    *(
        case(
            scheduled_jobs.change("s", **how),
            "PATCH",
            f"{E}/scheduled-jobs/s/",
            {"interval": interval},
            ROW,
            schemas.ScheduledJob,
            f"change to {interval}",
        )
        for how, interval in (({"every": "daily"}, "daily"), ({"once": True}, "future"))
    ),
    case(scheduled_jobs.delete("s"), "DELETE", f"{E}/scheduled-jobs/s/", None, None, None, "delete"),
    case(
        scheduled_jobs.delete_several([said.id_of("a"), "b"]),
        "DELETE",
        f"{E}/scheduled-jobs/",
        [str(said.id_of("a")), "b"],
        None,
        None,
        "delete several",
    ),
    case(
        scheduled_jobs.assume("s"),
        "POST",
        f"{E}/scheduled-jobs/s/assume-ownership/",
        {},
        ROW,
        schemas.ScheduledJob,
        "take over",
    ),
    case(
        scheduled_jobs.transfer("s", "bob"),
        "POST",
        f"{E}/scheduled-jobs/s/transfer/",
        {"user": "bob"},
        ROW,
        schemas.ScheduledJob,
        "transfer",
    ),
    case(
        scheduled_jobs.explain("s"),
        "GET",
        f"{E}/scheduled-jobs/s/explain/",
        None,
        said.explanation(),
        schemas.Explanation,
        "explain",
    ),
    case(
        scheduled_jobs.explain("s", user="b c"),
        "GET",
        f"{E}/scheduled-jobs/s/explain/?user=b+c",
        None,
        said.explanation(),
        schemas.Explanation,
        "explain about somebody",
    ),
    case(
        scheduled_jobs.upcoming("s", count=3),
        "GET",
        f"{E}/scheduled-jobs/s/upcoming/?count=3",
        None,
        UPCOMING,
        schemas.Upcoming,
        "upcoming",
    ),
    case(
        approvals.approve("s", force=True, comment="Read it."),
        "POST",
        f"{E}/scheduled-jobs/s/approve/",
        {"force": True, "comment": "Read it."},
        ROW,
        schemas.ScheduledJob,
        "approve",
    ),
    case(
        approvals.approve(schemas.ScheduledJob.model_validate(ROW), comment="Read it."),
        "POST",
        f"{E}/scheduled-jobs/{ROW['id']}/approve/",
        {"force": False, "comment": "Read it.", "version": ROW["approval_version"]},
        ROW,
        schemas.ScheduledJob,
        "approve what was read",
    ),
    case(
        approvals.deny(schemas.Waiting.model_validate(WAITING)),
        "POST",
        f"{E}/scheduled-jobs/{WAITING['id']}/deny/",
        {"comment": "", "version": WAITING["approval_version"]},
        ROW,
        schemas.ScheduledJob,
        "deny what was read",
    ),
    case(
        approvals.dry_run(schemas.ScheduledJob.model_validate(ROW)),
        "POST",
        f"{E}/scheduled-jobs/{ROW['id']}/dry-run/",
        {"version": ROW["approval_version"]},
        RESULT,
        schemas.JobResult,
        "try what was read",
    ),
    case(approvals.review("s"), "GET", f"{E}/scheduled-jobs/s/review/", None, said.review(), schemas.Review, "review"),
    case(
        approvals.deny("s", comment="No."),
        "POST",
        f"{E}/scheduled-jobs/s/deny/",
        {"comment": "No."},
        ROW,
        schemas.ScheduledJob,
        "deny",
    ),
    case(approvals.dry_run("s"), "POST", f"{E}/scheduled-jobs/s/dry-run/", {}, RESULT, schemas.JobResult, "dry run"),
    case(job_results.result("r"), "GET", f"{E}/job-results/r/", None, RESULT, schemas.JobResult, "result"),
    case(job_results.logs("r"), "GET", f"{E}/job-results/r/logs/", None, [said.line("a")], list, "logs"),
    case(
        scheduled_jobs.input_file("a b", "f"),
        "GET",
        f"{E}/scheduled-jobs/a%20b/files/f/download/",
        None,
        b"\0\xff",
        bytes,
        "download a file of a request",
    ),
    case(job_results.download("f"), "GET", f"{E}/file-proxies/f/download/", None, b"\0\xff", bytes, "download a file"),
    case(job_results.cancel("r"), "POST", f"{E}/job-results/r/cancel/", {}, RESULT, schemas.JobResult, "cancel a run"),
    case(job_results.resume("r"), "POST", f"{E}/job-results/r/resume/", {}, RESULT, schemas.JobResult, "resume a run"),
    case(
        job_results.resume("r", {"number": 7}),
        "POST",
        f"{E}/job-results/r/resume/",
        {"run_input": {"number": 7}},
        RESULT,
        schemas.JobResult,
        "resume a run with what it asks for",
    ),
    case(job_results.run_again("r"), "POST", f"{E}/job-results/r/run-again/", {}, BEGUN, schemas.Accepted, "run again"),
    case(job_results.delete_result("r"), "DELETE", f"{E}/job-results/r/", None, None, None, "delete a result"),
    case(job_results.delete_results(["a"]), "DELETE", f"{E}/job-results/", ["a"], None, None, "delete results"),
]


@pytest.mark.parametrize(("talk", "method", "path", "body", "answer", "kind"), CASES)
def test_a_call_asks_one_question_and_reads_its_answer(
    talk: Operation[Any], method: str, path: str, body: Any, answer: Any, kind: Any
) -> None:
    [asked], found = played(talk, [answer])
    assert isinstance(asked, HttpRequest)
    sent = None if asked.body is None else json.loads(asked.body)
    assert (asked.method, asked.path, sent) == (method, path, body)
    assert found is None if kind is None else isinstance(found, kind)


@pytest.mark.parametrize(
    ("talk", "path", "row"),
    [
        pytest.param(jobs.jobs(q="b"), "jobs/?limit=200&q=b", JOB, id="jobs"),
        pytest.param(job_queues.job_queues(limit=5), "job-queues/?limit=5", QUEUE, id="queues"),
        pytest.param(triggers.job_buttons(limit=5), "job-buttons/?limit=5", BUTTON, id="buttons"),
        pytest.param(triggers.job_hooks(name="h"), "job-hooks/?limit=200&name=h", HOOK, id="hooks"),
        pytest.param(
            automations.automation_accounts(user="alice"),
            "automation-accounts/?limit=200&user=alice",
            BOUND,
            id="accounts of automations",
        ),
        pytest.param(
            scheduled_jobs.scheduled_jobs(enabled=True), "scheduled-jobs/?limit=200&enabled=true", ROW, id="scheduled"
        ),
        pytest.param(approvals.queue(), "approval-queue/?limit=200", WAITING, id="waiting"),
        pytest.param(
            approvals.approval_requests(state="denied"),
            "approval-requests/?limit=200&state=denied",
            said.approval_request(),
            id="asked",
        ),
        pytest.param(
            job_results.results(status=["A", "B"]), "job-results/?limit=200&status=A&status=B", RESULT, id="ran"
        ),
        pytest.param(
            job_results.logs("r", log_level="error"),
            "job-logs/?limit=200&job_result=r&sort=created&log_level=error",
            said.line("a"),
            id="logs",
        ),
    ],
)
def test_a_list_is_restricted_by_its_filters(talk: Operation[Any], path: str, row: dict[str, Any]) -> None:
    [asked], found = played(talk, [said.page(row)])
    assert isinstance(asked, HttpRequest)
    assert asked.path == f"{E}/{path}"
    assert [str(each.id) for each in found] == [str(row["id"])]


def test_a_log_is_cut_where_it_is_wanted() -> None:
    _asked, found = played(job_results.logs("r", limit=1), [[said.line("a"), said.line("b")]])
    assert [line.message for line in found] == ["a"]


def test_there_is_one_way_to_say_when() -> None:
    with pytest.raises(Invalid, match="not both"):
        next(jobs.schedule("j", name="x", every="daily", cron="* * * * *"))
    with pytest.raises(Invalid, match="only one of"):
        next(scheduled_jobs.change("s", every="daily", once=True))


@pytest.mark.parametrize("answer", [said.accepted(), said.accepted(ROW, RESULT)], ids=["neither", "both"])
def test_a_request_becomes_one_thing(answer: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedResponse):
        played(jobs.run("j"), [answer])


def test_what_was_to_be_scheduled_has_not_begun() -> None:
    with pytest.raises(UnexpectedResponse):
        played(jobs.schedule("j", name="x", at=AT), [BEGUN])


@pytest.mark.parametrize(
    ("talk", "answer"),
    [
        pytest.param(jobs.run("j", idempotency_key="k"), BEGUN, id="run"),
        pytest.param(jobs.schedule("j", name="x", at=AT, idempotency_key="k"), HELD, id="schedule"),
        pytest.param(job_results.run_again("r", idempotency_key="k"), BEGUN, id="run again"),
    ],
)
def test_a_request_goes_with_its_key(talk: Operation[Any], answer: Any) -> None:
    [asked], _ = played(talk, [answer])
    assert isinstance(asked, HttpRequest)
    assert asked.headers == {"Idempotency-Key": "k"}


def test_a_request_with_files_is_a_form(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\0\xff")
    data = {"table": tmp_path / "a.txt", "other": ("b.txt", b"hello"), "n": 1, "on": True, "many": ["a", "b"]}
    data |= {"nothing": None, "json": {"a": [1]}}
    ((ask,), _answer) = played(jobs.run("j", data, name="x", queue="bulk"), [HELD])
    assert ask.body is not None
    assert ask.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    parts = [part.split(b"\r\n") for part in ask.body.split(b"--" + ask.headers["Content-Type"][30:].encode())[1:-1]]
    sent = [(part[1].decode(), part[-2]) for part in parts]
    form = 'Content-Disposition: form-data; name="'
    assert sorted(sent) == sorted(
        [
            (f'{form}n"', b"1"),
            (f'{form}on"', b"true"),
            (f'{form}many"', b"a"),
            (f'{form}many"', b"b"),
            (f'{form}json"', b'{"a": [1]}'),
            (f'{form}_job_queue"', b"bulk"),
            (f'{form}_schedule_interval"', b"immediately"),
            (f'{form}_schedule_name"', b"x"),
            (f'{form}table"; filename="a.txt"', b"\0\xff"),
            (f'{form}other"; filename="b.txt"', b"hello"),
        ]
    )


def test_a_file_that_is_not_there_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        played(jobs.run("j", {"table": tmp_path / "none"}), [HELD])
