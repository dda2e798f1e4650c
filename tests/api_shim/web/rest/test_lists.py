"""Filters, order, depth, methods and addresses, over HTTP, for every list (contract 2, 3, 5, 7 and 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.model import queue_id, tag_id
from api_shim.parsing.filters import FILTERS, parameters
from approval_gate.model import ObjectType
from tests.acceptance.asking import UNKNOWN
from tests.acceptance.people import FAR, RESULTS, SCHEDULES, People, schedule, unique
from tests.api_shim.in_process import InProcess

JOBS, QUEUES, LOGS = "/api/extras/jobs/", "/api/extras/job-queues/", "/api/extras/job-logs/"
LISTS = {
    ObjectType.JOB: JOBS,
    ObjectType.SCHEDULED_JOB: SCHEDULES,
    ObjectType.JOB_RESULT: RESULTS,
    ObjectType.JOB_QUEUE: QUEUES,
    ObjectType.JOB_BUTTON: "/api/extras/job-buttons/",
    ObjectType.JOB_HOOK: "/api/extras/job-hooks/",
    ObjectType.AUTOMATION_ACCOUNT: "/api/extras/automation-accounts/",
    ObjectType.APPROVAL_REQUEST: "/api/extras/approval-requests/",
    ObjectType.USER: "/api/users/users/",
    ObjectType.GROUP: "/api/users/groups/",
    ObjectType.TOKEN: "/api/users/tokens/",
    ObjectType.PERMISSION: "/api/users/permissions/",
}
MARK = unique("list")
"""What the objects of these tests are called; others of the session are not."""


@pytest.fixture(scope="module")
def rows(admin: httpx.Client) -> Iterator[dict[str, dict[str, Any]]]:
    """Three scheduled jobs, by the last letter of their names."""
    made = {
        "a": schedule(admin, f"{MARK} ~a", interval="daily", start_time=FAR),
        "b": schedule(admin, f"{MARK} ~B", interval="weekly", start_time="2031-01-01T00:00:00Z"),
        "c": schedule(admin, f"{MARK} ~c", job="Guarded", interval="custom", crontab="0 2 * * *", start_time=None),
    }
    yield made
    for row in made.values():
        admin.delete(row["url"])


def letters(admin: httpx.Client, **query: Any) -> str:
    """Return the last letters of the names of the scheduled jobs that a query finds."""
    page = admin.get(SCHEDULES, params={"name__isw": MARK, **query})
    assert page.status_code == 200, page.text
    return "".join(row["name"][-1] for row in page.json()["results"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({}, "Bac", id="starts, whatever its case"),
        pytest.param({"name": [f"{MARK} ~a", f"{MARK} ~c"]}, "ac", id="any of several"),
        pytest.param({"name__n": [f"{MARK} ~a", f"{MARK} ~c"]}, "B", id="none of several"),
        pytest.param({"name__ic": "~b"}, "B", id="contains"),
        pytest.param({"name__nic": ["~b", "~C"]}, "a", id="contains none"),
        pytest.param({"name__ie": f"{MARK} ~b".upper()}, "B", id="is, whatever its case"),
        pytest.param({"name__nie": f"{MARK} ~b"}, "ac", id="is not, whatever its case"),
        pytest.param({"name__iew": "~A"}, "a", id="ends"),
        pytest.param({"name__niew": "~A"}, "Bc", id="does not end"),
        pytest.param({"name__nisw": MARK}, "", id="does not start"),
        pytest.param({"name__re": "[a-c]$"}, "ac", id="an expression"),
        pytest.param({"name__nre": "[a-c]$"}, "B", id="not an expression"),
        pytest.param({"name__ire": "[b-c]$"}, "Bc", id="an expression, whatever the case"),
        pytest.param({"name__nire": "[b-c]$"}, "a", id="not that"),
        pytest.param({"start_time__gt": "2030-06-01"}, "B", id="later"),
        pytest.param({"start_time__gte": "2031-01-01T00:00:00Z"}, "B", id="not before"),
        pytest.param({"start_time__lt": "2029-01-01T00:00:00Z"}, "c", id="before"),
        pytest.param({"start_time__lte": FAR}, "ac", id="not after"),
        pytest.param({"start_time": FAR}, "a", id="at"),
        pytest.param({"last_run_at__isnull": "true"}, "Bac", id="has not run"),
        pytest.param({"last_run_at__isnull": "false"}, "", id="has run"),
        pytest.param({"total_run_count": 0}, "Bac", id="so many times"),
        pytest.param({"total_run_count__gte": 1}, "", id="at least once"),
        pytest.param({"job_model": "Guarded"}, "c", id="of a Job by name"),
        pytest.param({"job_model__n": "Guarded"}, "Ba", id="not of that Job"),
        pytest.param({"interval": ["daily", "custom"]}, "ac", id="of some intervals"),
        pytest.param({"approval_state": "pending"}, "c", id="that wait"),
        pytest.param({"user": "admin"}, "Bac", id="owned by"),
        pytest.param({"user": "", "interval": ""}, "Bac", id="empty values, which ask nothing"),
        pytest.param({"enabled": "true", "interval": "daily"}, "a", id="all of several fields"),
        pytest.param({"q": f"{MARK} ~b"}, "B", id="searched"),
        pytest.param({"q": "guarded"}, "c", id="searched by its task"),
        pytest.param({"sort": "-start_time"}, "Bac", id="the latest first"),
        pytest.param({"sort": "start_time"}, "caB", id="the earliest first"),
        pytest.param({"sort": "interval,-name"}, "caB", id="by one and then another"),
        pytest.param({"sort": "nonsense"}, "Bac", id="by nonsense is by default"),
        pytest.param({"sort": "-job_model,name"}, "cBa", id="by a related object's name"),
    ],
)
def test_scheduled_jobs_are_found(admin: httpx.Client, rows: dict[str, Any], query: dict[str, Any], found: str) -> None:
    assert letters(admin, **query) == found


def test_a_job_is_named_by_its_id_as_well(admin: httpx.Client, rows: dict[str, Any]) -> None:
    job_id = rows["c"]["job_model"]["id"]
    assert letters(admin, job_model=job_id) == letters(admin, job_model_id=job_id) == "c"


def no_choice(name: str, value: str) -> dict[str, list[str]]:
    return {name: [f"Select a valid choice. {value} is not one of the available choices."]}


@pytest.mark.parametrize(
    ("address", "name", "value"),
    [
        (SCHEDULES, "job_model", "Nope"),
        (SCHEDULES, "job_model_id", UNKNOWN),
        (SCHEDULES, "user__n", "nope"),
        (RESULTS, "scheduled_job", "nope"),
        (JOBS, "job_queues", "nope"),
        (JOBS, "tags", "nope"),
        ("/api/extras/approval-queue/", "user", UNKNOWN),
    ],
)
def test_a_related_object_that_there_is_not_is_no_choice(
    admin: httpx.Client, address: str, name: str, value: str
) -> None:
    answer = admin.get(address, params={name: [value]})
    assert (answer.status_code, answer.json()) == (400, no_choice(name, value))


def test_whether_there_is_a_related_object_is_told_as_far_as_it_may_be_known(
    server: InProcess, admin: httpx.Client, people: People, rows: dict[str, Any]
) -> None:
    hidden = people.add()
    with server.client(people.add(("extras.scheduledjob", "view", {"interval": "daily"}))) as client:
        assert [row["name"] for row in client.get(SCHEDULES, params={"user": "admin"}).json()["results"]]
        assert client.get(SCHEDULES, params={"user": hidden}).json() == no_choice("user", hidden)


def test_jobs_are_found_by_their_queues(server: InProcess, admin: httpx.Client, people: People) -> None:
    def names(**query: Any) -> set[str]:
        return {row["name"] for row in admin.get(JOBS, params={**query, "limit": 1000}).json()["results"]}

    assert "Greet" in names(job_queues="bulk")
    assert "Guarded" not in names(job_queues="bulk")
    assert names(job_queues=str(queue_id("bulk"))) == names(job_queues="bulk")
    assert "Greet" not in names(job_queues__n="bulk")
    assert {"Greet", "Guarded"} <= names(job_queues=["bulk", "default"])
    # Who may view a Job may know its queues.
    with server.client(people.add(("extras.job", "view", {"name": "Greet"}))) as client:
        assert client.get(JOBS, params={"job_queues": "bulk"}).json()["count"] == 1


def test_jobs_are_found_by_their_tags(server: InProcess, admin: httpx.Client, people: People) -> None:
    def names(**query: Any) -> list[str]:
        return [row["name"] for row in admin.get(JOBS, params={**query, "limit": 1000}).json()["results"]]

    assert names(tags="greeting") == names(tags=str(tag_id("greeting"))) == names(tags=["a & b", "greeting"])
    assert names(tags="greeting") == ["Greet"]
    assert "Greet" not in names(tags__n="greeting")
    assert {*names(tags__n="greeting")} == {*names()} - {"Greet"}
    # Who may not view the Job may not know its tags.
    with server.client(people.add(("extras.job", "view", {"name": "Guarded"}))) as client:
        assert client.get(JOBS, params={"tags": "greeting"}).json() == no_choice("tags", "greeting")


@pytest.mark.parametrize("kind", LISTS, ids=str)
def test_every_list_has_every_filter_that_is_documented(admin: httpx.Client, kind: ObjectType) -> None:
    samples = {"boolean": "true", "integer": "1", "number": "1", "uuid": str(uuid4()), "date-time": FAR}
    for name, schema in parameters(kind):
        sample = schema.get("enum", [samples.get(schema.get("format", schema["type"]), "x")])[0]
        answer = admin.get(LISTS[kind], params={name: sample, "limit": 1})
        # What is sent is nothing that there is, and so no choice.
        assert answer.status_code == 200 or answer.json() == no_choice(name, sample), f"{name}: {answer.text}"


@pytest.mark.parametrize("kind", LISTS, ids=str)
def test_every_list_is_sorted_by_every_field(admin: httpx.Client, kind: ObjectType) -> None:
    for name in FILTERS[kind]:
        up = [row["id"] for row in admin.get(LISTS[kind], params={"sort": name, "limit": 1000}).json()["results"]]
        down = [row["id"] for row in admin.get(LISTS[kind], params={"sort": f"-{name}"}).json()["results"]]
        assert sorted(up)[:1] or not down


@pytest.mark.parametrize("address", [*LISTS.values(), "/api/extras/approval-queue/"])
def test_every_list_refuses_what_it_does_not_know(admin: httpx.Client, address: str) -> None:
    answer = admin.get(address, params={"bogus__ic": "1", "id": "x"})
    told = {"bogus__ic": ["Unknown filter field"], "id": ["“x” is not a valid UUID."]}
    assert (answer.status_code, answer.json()) == (400, told)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"start_time__gt": "soon"}, {"start_time__gt": ["Enter a valid date/time."]}),
        ({"total_run_count": "many"}, {"total_run_count": ["Enter a whole number."]}),
        ({"enabled": "perhaps"}, {"enabled": ["Must be true or false."]}),
        (
            {"name__re": "("},
            {"name__re": ["Not a regular expression that can be used here: missing ): (."]},
        ),
        (
            {"interval": "monthly"},
            {"interval": ["Select a valid choice. monthly is not one of the available choices."]},
        ),
    ],
    ids=["a time", "a number", "a flag", "an expression", "a choice"],
)
def test_a_value_that_cannot_be_read_is_told(admin: httpx.Client, query: dict[str, str], told: Any) -> None:
    answer = admin.get(SCHEDULES, params=query)
    assert (answer.status_code, answer.json()) == (400, told)


# Job results and their logs


@pytest.fixture(scope="module")
def result(server: InProcess, admin: httpx.Client, people: People) -> dict[str, Any]:
    """A run that is over and has a log."""
    made = people.result("Greet", user_id=UUID(people.id_of("admin")))
    server.log(made, "Hello Lists", "Greeted 1 times")
    found: dict[str, Any] = admin.get(f"{RESULTS}{made}/").json()
    return found


def test_job_results_are_found(admin: httpx.Client, result: dict[str, Any]) -> None:
    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in admin.get(RESULTS, params={"id": result["id"], **query}).json()["results"]]

    found, user = [result["id"]], result["user"]["id"]
    assert ids(status="SUCCESS") == ids(user=user) == ids(user="admin") == ids(scheduled_job__isnull="true") == found
    assert ids(job_model="Greet") == ids(date_created__lte=result["date_created"]) == found
    assert ids(status=["FAILURE", "REVOKED"]) == ids(scheduled_job__isnull="false") == []
    assert ids(date_done__isnull="true") == ids(date_created__gt=result["date_created"]) == []


def test_logs_are_listed_by_their_result(admin: httpx.Client, result: dict[str, Any]) -> None:
    page = admin.get(LOGS, params={"job_result": result["id"], "limit": 1}).json()
    [first] = page["results"]
    assert page["count"] == len(admin.get(f"{result['url']}logs/").json()) >= 1
    assert first["job_result"]["id"] == result["id"]
    assert admin.get(first["url"]).json() == first
    none = admin.get(LOGS, params={"job_result": result["id"], "log_level": "critical"}).json()
    assert (none["count"], none["results"]) == (0, [])
    deep = admin.get(LOGS, params={"job_result": result["id"], "depth": 1}).json()["results"][0]
    assert deep["job_result"]["name"] == "Greet"


@pytest.mark.parametrize("query", [{}, {"job_result__n": UNKNOWN}], ids=["no", "all but one"])
def test_logs_are_of_the_newest_results_where_none_is_named(
    admin: httpx.Client, result: dict[str, Any], query: dict[str, str]
) -> None:
    page = admin.get(LOGS, params={**query, "q": "Hello Lists"}).json()
    assert result["id"] in {row["job_result"]["id"] for row in page["results"]}


def test_only_so_many_results_are_named(admin: httpx.Client) -> None:
    answer = admin.get(LOGS, params={"job_result": [str(uuid4()) for _ in range(21)]})
    told = {"job_result": ["Name at most 20 job results to list the logs of."]}
    assert (answer.status_code, answer.json()) == (400, told)


def test_what_the_engine_says_is_left_out_unless_it_is_asked_for(
    server: InProcess, admin: httpx.Client, people: People
) -> None:
    made = people.result("Greet")
    [line] = server.log(made, "Finished")
    server.application.engine.lines[UUID(made)] = [
        replace(line, id=uuid4(), source=f"prefect.flow_runs{source}", message=source)
        for source in (".run.initialization", "", ".engine", ".worker", ".run.worker")
    ]
    assert {row["grouping"] for row in admin.get(f"{RESULTS}{made}/logs/").json()} == {
        "initialization",
        "run",
        "worker",
    }
    told = admin.get(LOGS, params={"job_result": made, "grouping": "engine"}).json()["results"]
    assert {row["message"] for row in told} == {".engine", ".worker"}


@pytest.mark.parametrize("line_id", ["nonsense", UNKNOWN])
def test_a_line_that_there_is_not_is_missing(admin: httpx.Client, line_id: str) -> None:
    answer = admin.get(f"{LOGS}{line_id}/")
    assert (answer.status_code, answer.json()) == (404, {"detail": "No JobLogEntry matches the given query."})


def test_job_results_are_deleted(admin: httpx.Client, people: People) -> None:
    ids = [people.result("Greet") for _ in range(4)]
    assert admin.delete(f"{RESULTS}{ids[0]}/").status_code == 204
    body = [ids[1], {"id": ids[2]}, str(uuid4())]
    answer = admin.request("DELETE", RESULTS, json=[ids[1], str(uuid4())])
    assert (answer.status_code, answer.content) == (204, b"")
    assert admin.request("DELETE", RESULTS, json=body[1:2]).status_code == 204
    assert [row["id"] for row in admin.get(RESULTS, params={"id": ids}).json()["results"]] == [ids[3]]
    assert admin.request("DELETE", RESULTS, json=[]).status_code == 204


def test_a_run_that_is_not_over_keeps_its_result(admin: httpx.Client) -> None:
    made = admin.post(f"{JOBS}Sleep/run/", json={"data": {"seconds": 20}}).json()["job_result"]
    told = "This run has not ended; cancel it, or wait until it has."
    one = admin.delete(made["url"])
    several = admin.request("DELETE", RESULTS, json=[made["id"]])
    assert admin.post(f"{made['url']}cancel/").json()["status"]["value"] == "REVOKED"
    assert (one.status_code, one.json()) == (409, {"detail": told})
    assert (several.status_code, several.json()) == (409, {made["id"]: [told]})


# Queues, firings to come


def test_a_queue_says_how_many_workers_serve_it(admin: httpx.Client) -> None:
    queue = admin.get(f"{QUEUES}default/").json()
    assert (queue["name"], queue["worker_count"], queue["id"]) == ("default", 1, str(queue_id("default")))
    assert admin.get(queue["url"]).json() == queue
    job = admin.get(f"{JOBS}Greet/").json()
    assert admin.get(job["default_job_queue"]["url"]).json()["name"] == "default"
    missing = admin.get(f"{QUEUES}nobody serves this/")
    assert (missing.status_code, missing.json()) == (404, {"detail": "No JobQueue matches the given query."})


def test_the_firings_to_come(admin: httpx.Client, rows: dict[str, Any]) -> None:
    told = admin.get(f"{rows['a']['url']}upcoming/", params={"count": 2}).json()
    assert told == {
        "time_zone": rows["a"]["time_zone"],
        "why_not": "",
        "note": "",
        "firings": ["2030-01-01T01:00:00Z", "2030-01-02T01:00:00Z"],
    }
    assert len(admin.get(f"{rows['b']['url']}upcoming/").json()["firings"]) == 10
    waits = admin.get(f"{SCHEDULES}{rows['c']['name']}/upcoming/", params={"count": 1}).json()
    assert len(waits["firings"]) == 1
    assert "approv" in waits["why_not"]


@pytest.mark.parametrize("count", ["0", "101", "many", "-1", "", "²"])
def test_so_many_firings_cannot_be_told(admin: httpx.Client, rows: dict[str, Any], count: str) -> None:
    answer = admin.get(f"{rows['a']['url']}upcoming/", params={"count": count})
    assert (answer.status_code, answer.json()) == (400, {"count": ["Enter a whole number from 1 to 100."]})


# Methods and addresses


@pytest.mark.parametrize("address", ["/api/", "/api/status/", *LISTS.values(), f"{JOBS}Greet/"])
def test_head_is_get_without_a_body(admin: httpx.Client, address: str) -> None:
    head, get = admin.head(address), admin.get(address)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "api-version", "vary"):
        assert head.headers[name] == get.headers[name]


def test_head_is_refused_like_get(admin: httpx.Client) -> None:
    assert admin.head(f"{JOBS}nothing/").status_code == 404
    assert admin.head(JOBS, headers={"Authorization": "Token wrong"}).status_code == 403
    assert admin.head(f"{JOBS}Greet/run/").status_code == 405


@pytest.mark.parametrize(
    ("address", "methods"),
    [
        (JOBS, "GET, HEAD, OPTIONS, PATCH, PUT"),
        (f"{JOBS}Greet/", "GET, HEAD, OPTIONS, PATCH, PUT"),
        (f"{JOBS}Greet/run/", "OPTIONS, POST"),
        (SCHEDULES, "DELETE, GET, HEAD, OPTIONS"),
        (f"{SCHEDULES}x/", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/api/users/users/", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_options_tell_the_methods(admin: httpx.Client, address: str, methods: str) -> None:
    told = admin.options(address)
    assert (told.status_code, told.headers["allow"]) == (200, methods)
    assert told.json()["renders"] == ["application/json", "text/csv"]
    refused = admin.request("TRACE", address)
    assert (refused.status_code, refused.headers["allow"]) == (405, methods)
    assert refused.json() == {"detail": 'Method "TRACE" not allowed.'}


def test_options_are_for_those_who_sign_in_and_of_what_there_is(admin: httpx.Client) -> None:
    assert admin.options(JOBS, headers={"Authorization": ""}).status_code == 403
    assert admin.options("/api/extras/nothing/").status_code == 404


def test_addresses_are_those_that_the_caller_used(admin: httpx.Client, rows: dict[str, Any]) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "signoff.example"}
    page = admin.get(SCHEDULES, params={"limit": 1, "name__isw": MARK}, headers=said).json()
    assert page["next"].startswith("https://signoff.example/api/extras/scheduled-jobs/?")
    assert page["results"][0]["job_model"]["url"].startswith("https://signoff.example/api/extras/jobs/")
