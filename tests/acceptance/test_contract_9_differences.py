"""Section 9 of the contract, over HTTP: where we differ from the reference on purpose, number by number.

Where waiting is needed, everything is asked for at the beginning and looked at later, so that the waits are one wait.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api_shim.settings import server_zone
from tests.acceptance.asking import JOBS, UNKNOWN, Body, answered, as_fields, custom, future, run, run_form
from tests.acceptance.fields import SCHEDULED_JOB, check_fields
from tests.acceptance.people import FAR, RESULTS, SCHEDULES, Grant, People, schedule, unique
from tests.live import Live, eventually

pytestmark = pytest.mark.slow

NUMBERS = (*range(1, 18), *range(22, 26))
"""The numbers of the section that have tests here; the others are rules of ours, which are tried where they are."""

Shape = Mapping[str, Any]

OTHER = {"name": "something else"}
SEES: Grant = ("extras.scheduledjob", "view", None)
CHANGES: Grant = ("extras.scheduledjob", "change", None)
DELETES: Grant = ("extras.scheduledjob", "delete", None)
APPROVES: Grant = ("extras.job", "approve", None)
RUNS: Grant = ("extras.job", "run", None)
DECIDES = (SEES, CHANGES, DELETES, APPROVES, RUNS)


def test_every_number_has_its_tests() -> None:
    found = {int(number) for name in globals() if (number := name.removeprefix("test_9_").partition("_")[0]).isdigit()}
    assert found == set(NUMBERS)


@pytest.fixture(scope="module")
def bob(live: Live, people: People) -> Iterator[httpx.Client]:
    """Somebody who may decide about everything."""
    with live.client(people.add(*DECIDES)) as client:
        yield client


@pytest.fixture
def ask(admin: httpx.Client) -> Iterator[Callable[..., Shape]]:
    """Makes requests, the administrator's if nobody else asks, and removes them."""
    made: list[Shape] = []

    def asked(client: httpx.Client = admin, job: str = "Change", **to: Any) -> Shape:
        made.append(schedule(client, job=job, **to))
        return made[-1]

    yield asked
    admin.request("DELETE", SCHEDULES, json=[row["id"] for row in made])


def decide(client: httpx.Client, row: Shape, how: str, **with_: Any) -> httpx.Response:
    return client.post(f"{SCHEDULES}{row['id']}/{how}/", **with_)


def seconds_ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# 9.1


@pytest.mark.parametrize("version", ["1.2", "1.3", "1.4", "1.5", "1.6", "2.0", "2.1", "2.2", "2.3", "2.4"])
def test_9_1_versions_are_accepted(admin: httpx.Client, version: str) -> None:
    for asked in (
        {"headers": {"Accept": f"application/json; version={version}; indent=4"}},
        {"params": {"api_version": version}},
    ):
        answer = admin.get(JOBS, **asked)
        assert (answer.status_code, answer.headers["API-Version"]) == (200, version)


def documented(client: httpx.Client, job_id: str, body: Body) -> Body:
    answer = client.post(
        f"{JOBS}{job_id}/run/",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json; version=1.3; indent=4"},
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["API-Version"] == "1.3"
    assert answer.text.startswith('{\n    "')
    made: Body = answer.json()["scheduled_job"]
    return made


def test_9_1_the_documented_request_for_a_run_in_the_future(admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    body = {"schedule": {"name": "test", "interval": "future", "start_time": "2030-01-01T01:00:00.000Z"}}
    made = documented(admin, greet["id"], body)
    check_fields(made, SCHEDULED_JOB)
    assert (made["name"], made["display"], made["interval"]) == ("test", "test: future", "future")
    assert (made["start_time"], made["one_off"], made["enabled"]) == ("2030-01-01T01:00:00Z", True, True)
    assert (made["task"], made["crontab"]) == ("jobs_for_tests.Greet", "")
    assert admin.delete(made["url"]).status_code == 204


def test_9_1_the_documented_request_for_a_crontab(admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    body = {
        "schedule": {
            "name": "test2",
            "interval": "custom",
            "start_time": "2030-01-01T01:00:00.000Z",
            "crontab": "*/15 * * * *",
        }
    }
    made = documented(admin, greet["id"], body)
    check_fields(made, SCHEDULED_JOB)
    assert (made["display"], made["crontab"], made["one_off"]) == ("test2: custom", "*/15 * * * *", False)
    assert made["start_time"] == "2030-01-01T01:00:00Z"
    assert admin.delete(made["url"]).status_code == 204


# 9.2


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api", None, 200),
        ("GET", "/api/status", None, 200),
        ("GET", "/api/extras/jobs", None, 200),
        ("GET", "/api/extras/jobs/Greet", None, 200),
        ("PATCH", "/api/extras/jobs/Greet", {}, 200),
        ("GET", "/api/extras/jobs/Greet/variables", None, 200),
        ("POST", "/api/extras/jobs/Greet/run", {"data": {"bogus": 1}}, 400),
        ("GET", "/api/extras/scheduled-jobs", None, 200),
        ("DELETE", "/api/extras/scheduled-jobs", [], 204),
        ("GET", "/api/extras/scheduled-jobs/{id}", None, 200),
        ("PATCH", "/api/extras/scheduled-jobs/{id}", {}, 200),
        ("GET", "/api/extras/scheduled-jobs/{id}/explain", None, 200),
        ("POST", "/api/extras/scheduled-jobs/{id}/dry-run", None, 200),
        ("POST", "/api/extras/scheduled-jobs/{id}/approve?force=true", None, 200),
        ("DELETE", "/api/extras/scheduled-jobs/{id}", None, 204),
        ("POST", "/api/extras/scheduled-jobs/{id}/deny", None, 200),
        ("GET", "/api/extras/approval-queue", None, 200),
        ("GET", "/api/extras/job-results", None, 200),
        ("GET", "/api/users/users", None, 200),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_9_2_paths_work_with_and_without_a_slash_and_without_a_redirect(
    bob: httpx.Client,
    admin: httpx.Client,
    ask: Callable[..., Shape],
    method: str,
    path: str,
    body: Any,
    status: int,
    slash: str,
) -> None:
    row = ask() if "{id}" in path else {"id": ""}
    client = bob if path.endswith(("approve?force=true", "deny")) else admin
    address, _, query = path.replace("{id}", row["id"]).partition("?")
    answer = client.request(method, f"{address}{slash}{'?' if query else ''}{query}", json=body)
    assert (answer.status_code, answer.history) == (status, [])


# 9.3


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda ids: ids, id="UUIDs, as documented"),
        pytest.param(lambda ids: [{"id": thing_id} for thing_id in ids], id="objects, as clients send"),
        pytest.param(lambda ids: [ids[0], *({"id": thing_id} for thing_id in ids[1:])], id="a mixture"),
    ],
)
def test_9_3_several_are_deleted(admin: httpx.Client, form: Any) -> None:
    made = [schedule(admin, interval="hourly") for _ in range(2)]
    kept = schedule(admin)
    ids = [row["id"] for row in made]
    answer = admin.request("DELETE", SCHEDULES, json=form([*ids, ids[0], UNKNOWN]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert [admin.get(row["url"]).status_code for row in (*made, kept)] == [404, 404, 200]
    admin.delete(kept["url"])


# 9.4

FORCES = ("force=true", "force=1", "force=YES", "force=on", "force=%20True%20")
FORCES_NOT = ("force=false", "force=0", "force=No", "force=off", "force=", "")
IS_NOTHING = ("force=perhaps", "force=2", "force=true&force=false", "force=null")
PAST = "The job's start time is in the past. If you want to force a run anyway, add the `force` query parameter."


@pytest.fixture(scope="module")
def overdue(admin: httpx.Client) -> Iterator[Callable[[], Shape]]:
    """Requests whose start has passed."""
    start = datetime.now(UTC) + timedelta(seconds=10)
    rows = [schedule(admin, job="Change", start_time=start.isoformat()) for _ in range(len(FORCES) + 2)]
    time.sleep(max(0.0, (start - datetime.now(UTC)).total_seconds()))
    waiting = iter(rows[1:])
    yield lambda: next(waiting, rows[0])
    admin.request("DELETE", SCHEDULES, json=[row["id"] for row in rows])


@pytest.mark.parametrize("query", FORCES)
def test_9_4_what_forces(bob: httpx.Client, overdue: Callable[[], Shape], query: str) -> None:
    assert bob.post(f"{overdue()['url']}approve/?{query}").status_code == 200


def test_9_4_what_forces_in_the_body(bob: httpx.Client, overdue: Callable[[], Shape]) -> None:
    assert decide(bob, overdue(), "approve", json={"force": True}).status_code == 200


@pytest.mark.parametrize("query", FORCES_NOT)
def test_9_4_what_does_not_force(
    admin: httpx.Client, bob: httpx.Client, overdue: Callable[[], Shape], query: str
) -> None:
    row = overdue()
    assert answered(bob.post(f"{row['url']}approve/?{query}")) == (400, {"detail": PAST})
    assert admin.get(row["url"]).json()["approval_state"] == "pending"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        *((query, {}) for query in IS_NOTHING),
        ("force=true", {"force": False}),
        ("", {"force": ["true"]}),
        ("", {"force": True, "comment": 5}),
        ("", {"force": True, "comment": "x" * 2001}),
        ("", ["force"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_9_4_anything_else_is_refused(
    admin: httpx.Client, bob: httpx.Client, overdue: Callable[[], Shape], query: str, body: Any
) -> None:
    row = overdue()
    answer = bob.post(f"{row['url']}approve/?{query}", json=body)
    assert answer.status_code == 400
    assert PAST not in answer.text
    assert admin.get(row["url"]).json()["approval_state"] == "pending"


# 9.5


def test_9_5_a_request_to_run_immediately_is_never_past_its_date(admin: httpx.Client, bob: httpx.Client) -> None:
    rows = [
        run(admin, body, "Change").json()["scheduled_job"] for body in ({}, {"schedule": {"interval": "immediately"}})
    ]
    time.sleep(0.5)
    for row in rows:
        assert datetime.fromisoformat(row["start_time"]) < datetime.now(UTC)
        assert decide(bob, row, "approve").status_code == 200


# 9.6


@pytest.mark.parametrize("how", ["approve", "deny", "dry-run"])
def test_9_6_decisions_honour_object_permissions(
    live: Live, admin: httpx.Client, people: People, ask: Callable[..., Shape], how: str
) -> None:
    row = ask()
    only_others = [("extras.scheduledjob", action, OTHER) for action in ("view", "change", "delete")]
    with live.client(people.add(*only_others, APPROVES, RUNS)) as dave:
        assert answered(decide(dave, row, how)) == (404, {"detail": "No ScheduledJob matches the given query."})
    assert admin.get(row["url"]).json() == row


# 9.7


def test_9_7_nobody_approves_who_asked_for_it_or_ever_owned_it(
    live: Live, admin: httpx.Client, people: People, bob: httpx.Client, ask: Callable[..., Shape]
) -> None:
    with live.client(people.add(*DECIDES)) as alice, live.client(people.add(*DECIDES)) as carol:
        row = ask(alice)
        for owner in (carol, admin):
            assert decide(owner, row, "assume-ownership").status_code == 200
        for client, told in (
            (alice, "You cannot approve your own job request!"),
            (carol, "You have owned this request, so someone else must approve it."),
            (admin, "You have owned this request, so someone else must approve it."),
        ):
            assert answered(decide(client, row, "approve")) == (403, {"detail": told})
        # Its owners are others than when it was made, so what is approved has to be named.
        seen = bob.get(f"{SCHEDULES}{row['id']}/").json()["approval_version"]
        assert decide(bob, row, "approve", json={"version": seen}).status_code == 200


def test_9_7_a_decision_is_made_once(
    live: Live, admin: httpx.Client, people: People, ask: Callable[..., Shape]
) -> None:
    approver, other = people.add(*DECIDES), people.add(*DECIDES)
    with live.client(approver) as first, live.client(other) as second:
        row = ask()
        assert decide(first, row, "approve").status_code == 200
        approved = admin.get(row["url"]).json()
        assert answered(decide(first, row, "approve", json={"comment": "again"})) == (200, approved)
        for client, how in ((second, "approve"), (second, "deny"), (first, "deny")):
            status, told = answered(decide(client, row, how))
            assert status == 409
            assert re.fullmatch(rf"{approver} approved this request on [-\d]+ at [:\d]+ UTC\.", told["detail"])
        assert admin.get(row["url"]).json() == approved


@pytest.mark.parametrize("how", ["approve", "deny"])
def test_9_7_what_needs_no_approval_is_not_decided_about(
    bob: httpx.Client, ask: Callable[..., Shape], how: str
) -> None:
    row = ask(job="Greet")
    assert answered(decide(bob, row, how)) == (409, {"detail": "This scheduled job needs no approval."})


# 9.8, 9.13 and 9.15: what fires


@dataclass
class Fired:
    """Scheduled jobs whose time comes a few seconds after the tests have begun."""

    well: Shape
    of_somebody_deactivated: Shape
    of_somebody_not_permitted: Shape


@pytest.fixture(scope="module", autouse=True)
def fired(live: Live, admin: httpx.Client, people: People) -> Fired:
    """What fires, beside a schedule whose start is no match of its crontab."""
    start = seconds_ahead(6)
    schedule(admin, interval="custom", crontab="0 0 1 1 *", start_time=seconds_ahead(1))
    schedule(admin, interval="custom", crontab="0 0 29 2 *", start_time=seconds_ahead(2))
    deactivated, not_permitted = people.add(RUNS), people.add(RUNS)
    rows = {"well": schedule(admin, start_time=start)}
    for who, name in ((deactivated, "of_somebody_deactivated"), (not_permitted, "of_somebody_not_permitted")):
        with live.client(who) as client:
            rows[name] = schedule(client, start_time=start)
    people.identity.set_active(deactivated, datetime.now(UTC), active=False)
    [granted] = admin.get("/api/users/permissions/", params={"q": not_permitted}).json()["results"]
    admin.patch(granted["url"], json={"enabled": False}).raise_for_status()
    return Fired(**rows)


def result_of(admin: httpx.Client, row: Shape) -> Shape:
    """Return the one result of a scheduled job, once it is over."""

    def over() -> list[Shape]:
        rows = admin.get(RESULTS, params={"name": "Greet", "limit": 1000}).json()["results"]
        return [each for each in rows if each["date_done"] and (each["scheduled_job"] or {}).get("id") == row["id"]]

    [result] = eventually(over)
    return result


@pytest.mark.parametrize(
    ("which", "why"),
    [
        ("of_somebody_deactivated", "its owner has been deactivated"),
        ("of_somebody_not_permitted", "its owner is no longer permitted to run this job"),
    ],
)
def test_9_8_an_owner_who_cannot_run_it_counts_as_removed(
    admin: httpx.Client, fired: Fired, which: str, why: str
) -> None:
    row = getattr(fired, which)
    result = result_of(admin, row)
    message = f"Scheduled job '{row['name']}' cannot run: {why}. Use 'Assume Ownership' to take it over."
    assert (result["status"]["value"], result["traceback"], result["result"]) == ("FAILURE", message, None)
    after = admin.get(row["url"]).json()
    assert (after["enabled"], after["failure"]) == (False, message)


def test_9_13_a_one_off_that_fired_says_so(admin: httpx.Client, fired: Fired) -> None:
    result = result_of(admin, fired.well)
    after = admin.get(fired.well["url"]).json()
    assert (after["enabled"], after["total_run_count"]) == (False, 1)
    start = datetime.fromisoformat(after["start_time"])
    assert start <= datetime.fromisoformat(after["last_run_at"]) <= datetime.fromisoformat(result["date_done"])


def test_9_13_a_result_is_called_like_its_job_however_it_was_started(admin: httpx.Client, fired: Fired) -> None:
    at_once = run(admin, {}).json()["job_result"]
    assert (result_of(admin, fired.well)["name"], at_once["name"]) == ("Greet", "Greet")


def test_9_15_a_schedule_whose_start_is_no_match_delays_no_other(admin: httpx.Client, fired: Fired) -> None:
    result = result_of(admin, fired.well)
    late = datetime.fromisoformat(result["date_started"]) - datetime.fromisoformat(fired.well["start_time"])
    assert (result["status"]["value"], late < timedelta(seconds=30)) == ("SUCCESS", True)


# 9.9


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        pytest.param("GET", f"{SCHEDULES}not-a-uuid/", None, 404, "No ScheduledJob matches", id="a malformed UUID"),
        pytest.param("DELETE", f"{SCHEDULES}{UNKNOWN}0/", None, 404, "No ScheduledJob matches", id="one too long"),
        pytest.param("GET", f"{JOBS}0000/", None, 404, "No Job matches", id="a malformed UUID of a Job"),
        pytest.param("POST", f"{JOBS}0000/run/", {}, 404, "No Job matches", id="a malformed UUID to run"),
        pytest.param("GET", f"{RESULTS}0000/", None, 404, "No JobResult matches", id="a malformed UUID of a result"),
        pytest.param(
            "POST",
            f"{JOBS}Greet/run/",
            custom(crontab="0 0 31 2 *"),
            400,
            "This crontab never fires: none of its months has such a day.",
            id="an impossible date",
        ),
        pytest.param(
            "POST",
            f"{JOBS}Greet/run/",
            custom(crontab="*/0 * * * *"),
            400,
            "minute",
            id="a fault in a crontab",
        ),
        pytest.param(
            "POST", f"{JOBS}Greet/run/", future(name="taken twice"), 400, "already exists", id="a duplicate name"
        ),
    ],
)
def test_9_9_errors_are_sentences_for_people(
    admin: httpx.Client, ask: Callable[..., Shape], method: str, path: str, body: Any, status: int, told: str
) -> None:
    if "twice" in str(body):
        ask(job="Greet", name="taken twice")
    answer = admin.request(method, path, json=body)
    assert answer.status_code == status
    assert told in answer.text
    assert "Traceback" not in answer.text


# 9.10 and 9.11


@pytest.mark.parametrize(
    ("seconds", "status"), [pytest.param(2, 201, id="in two seconds"), pytest.param(-0.5, 400, id="half a second ago")]
)
def test_9_10_a_start_is_valid_that_is_not_past(admin: httpx.Client, seconds: float, status: int) -> None:
    answer = run(admin, future(name=unique(), start_time=seconds_ahead(seconds)))
    assert answer.status_code == status
    if status == 201:
        admin.delete(answer.json()["scheduled_job"]["url"])


@pytest.mark.parametrize(
    ("zone", "start", "stored"),
    [
        pytest.param("Europe/Berlin", "2030-07-01T12:00", "2030-07-01T10:00:00Z", id="in summer"),
        pytest.param("Europe/Berlin", "2030-01-01T12:00", "2030-01-01T11:00:00Z", id="in winter"),
        pytest.param("Asia/Kathmandu", "2030-01-01T12:00", "2030-01-01T06:15:00Z", id="with a quarter of an hour"),
        pytest.param("Europe/Berlin", "2030-07-01T12:00Z", "2030-07-01T12:00:00Z", id="a start that has a zone"),
    ],
)
def test_9_11_a_schedule_may_carry_its_time_zone(ask: Callable[..., Shape], zone: str, start: str, stored: str) -> None:
    made = ask(job="Greet", start_time=start, time_zone=zone)
    assert (made["time_zone"], made["start_time"]) == (zone, stored)


def test_9_11_without_one_it_is_the_servers(ask: Callable[..., Shape]) -> None:
    assert ask(job="Greet")["time_zone"] == server_zone()


def test_9_11_a_crontab_is_of_the_zone(admin: httpx.Client, ask: Callable[..., Shape]) -> None:
    winter = {"crontab": "0 2 * 1 *", "start_time": "2030-01-10T00:00Z", "time_zone": "Europe/Berlin"}
    row = ask(job="Greet", interval="custom", **winter)
    assert admin.get(f"{row['url']}explain/").json()["next_firing"] == "2030-01-10T01:00:00Z"


# 9.12

ONE_DAY = {"interval": "future", "start_time": FAR}


def send(client: httpx.Client, body: Body, job: str, how: str) -> httpx.Response:
    return run(client, body, job) if how == "json" else run_form(client, as_fields(body), job)


@pytest.mark.parametrize("sent", ["json", "form"])
def test_9_12_a_variable_that_is_left_out_takes_its_default(admin: httpx.Client, sent: str) -> None:
    body = {"data": {"number": 5}, "schedule": {"name": unique(), **ONE_DAY}}
    answer = send(admin, body, "Every variable", sent)
    made = answer.json()["scheduled_job"]
    assert made["kwargs"] == {
        "text": "",
        "number": 5,
        "flag": False,
        "colour": "r",
        "several": [],
        "data": None,
        "code": "ABC",
    }
    admin.delete(made["url"])


@pytest.mark.parametrize("sent", ["json", "form"])
@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *((word, False) for word in ("false", "off", "no", "0", "False", "OFF")),
        *((word, True) for word in ("true", "on", "yes", "1", "True")),
    ],
)
def test_9_12_words_for_true_and_false(admin: httpx.Client, word: str, meant: bool, sent: str) -> None:
    body = {"data": {"number": 5, "flag": word}, "schedule": {"name": unique(), **ONE_DAY}}
    answer = send(admin, body, "Every variable", sent)
    made = answer.json()["scheduled_job"]
    assert made["kwargs"]["flag"] is meant
    admin.delete(made["url"])


@pytest.mark.parametrize("sent", ["json", "form"])
@pytest.mark.parametrize("word", ["false", "off", "no", "0", "", "False"])
def test_9_12_no_word_for_false_slips_past_approval(admin: httpx.Client, word: str, sent: str) -> None:
    body = {"data": {"dryrun": word}}
    answer = send(admin, body, "Guarded", sent)
    made = answer.json()
    assert made["job_result"] is None
    assert made["scheduled_job"]["approval_state"] == "pending"
    assert made["scheduled_job"]["kwargs"] == {"dryrun": False, "file": None}
    admin.delete(made["scheduled_job"]["url"])


# 9.13


def test_9_13_a_crontab_without_a_start_begins_at_its_next_match(admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    before = datetime.now(UTC)
    made = documented(admin, greet["id"], custom(name="test3", crontab="*/15 * * * *"))
    start = datetime.fromisoformat(made["start_time"])
    assert start.minute % 15 == 0
    assert (start.second, start.microsecond) == (0, 0)
    assert before < start <= datetime.now(UTC) + timedelta(minutes=15)
    assert admin.delete(made["url"]).status_code == 204


def test_9_13_a_schedule_fires_on_its_matches_only(admin: httpx.Client, ask: Callable[..., Shape]) -> None:
    row = ask(job="Greet", interval="custom", crontab="* * * * *", start_time="2030-01-01T01:00:30Z")
    assert admin.get(f"{row['url']}explain/").json()["next_firing"] == "2030-01-01T01:01:00Z"


# 9.14


def quick_run(admin: httpx.Client, job: str, start: str) -> httpx.Response:
    """Run a Job's deployment as the form of Prefect's UI does, for later."""
    deployment = admin.get(f"/api/deployments/name/{quote(job)}/default").json()["id"]
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": start}}
    body = {"parameters": {"password": "x"}, "state": state}
    return admin.post(f"/api/deployments/{deployment}/create_flow_run", json=body)


@pytest.mark.parametrize(
    "ask_for",
    [
        pytest.param(lambda admin, body: run(admin, body, "Keep a secret"), id="JSON"),
        pytest.param(lambda admin, body: run_form(admin, as_fields(body), "Keep a secret"), id="multipart"),
        pytest.param(
            lambda admin, body: admin.post(f"{JOBS}Keep%20a%20secret/run/", data=as_fields(body)), id="urlencoded"
        ),
        pytest.param(lambda admin, _body: quick_run(admin, "Keep a secret", FAR), id="Prefect's quick run"),
    ],
)
def test_9_14_a_sensitive_job_cannot_be_scheduled_by_any_route(
    admin: httpx.Client, ask_for: Callable[[httpx.Client, Body], httpx.Response]
) -> None:
    answer = ask_for(admin, {"data": {"password": "x"}, **future(name="secretly")})
    assert answer.status_code == 400
    assert "Job may have sensitive input variables" in answer.text
    assert admin.get(SCHEDULES, params={"name": "secretly"}).json()["count"] == 0


# 9.16

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("address", ["/api/", JOBS, SCHEDULES, f"{JOBS}Greet/", RESULTS])
def test_9_16_a_browser_gets_json(admin: httpx.Client, address: str) -> None:
    answer = admin.get(address, headers={"Accept": BROWSER})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_9_16_csv_is_asked_for_by_the_query_alone(admin: httpx.Client) -> None:
    refusal = {"detail": "Could not satisfy the request Accept header."}
    assert answered(admin.get(JOBS, headers={"Accept": "text/csv"})) == (406, refusal)
    assert admin.get(JOBS, params={"format": "csv"}).headers["Content-Type"].startswith("text/csv")


# 9.17


@pytest.mark.parametrize(
    ("address", "query", "told"),
    [
        (JOBS, {"enabled": "foo"}, "Must be true or false."),
        (SCHEDULES, {"last_run_at__isnull": "x"}, "Must be true or false."),
        (SCHEDULES, {"total_run_count__gte": "many"}, "Enter a whole number."),
    ],
)
def test_9_17_what_cannot_be_read_in_a_filter_is_refused(
    admin: httpx.Client, address: str, query: dict[str, str], told: str
) -> None:
    assert answered(admin.get(address, params=query)) == (400, {name: [told] for name in query})


# 9.22


def test_9_22_all_faults_of_a_schedule_are_told_at_once(admin: httpx.Client) -> None:
    told = run(admin, custom(name=None, crontab="x", start_time="x")).json()
    assert told["schedule"].keys() == {"name", "crontab", "start_time"}


def test_9_22_a_crontab_without_an_effect_is_not_kept(ask: Callable[..., Shape]) -> None:
    assert ask(job="Greet", interval="daily", crontab="0 2 * * *")["crontab"] == ""


# 9.23


def test_9_23_a_result_has_the_name_of_its_task_and_an_object_as_meta_from_the_beginning(admin: httpx.Client) -> None:
    made = run(admin, {}).json()["job_result"]
    assert (made["task_name"], made["meta"]) == ("jobs_for_tests.Greet", {})


# 9.24


def test_9_24_what_the_caller_may_not_view_stays_a_reference(
    live: Live, people: People, ask: Callable[..., Shape]
) -> None:
    row = ask()
    with live.client(people.add(SEES)) as client:
        shown = client.get(f"{SCHEDULES}{row['id']}/", params={"depth": 1}).json()
    assert shown["user"].keys() == shown["job_model"].keys() == {"id", "object_type", "url"}


# 9.25


def test_9_25_log_lines_are_of_the_newest_results_where_none_is_named(admin: httpx.Client) -> None:
    def newest() -> set[str]:
        return {row["id"] for row in admin.get(RESULTS, params={"limit": 20}).json()["results"]}

    before = newest()
    lines = admin.get("/api/extras/job-logs/", params={"limit": 1000}).json()["results"]
    # Runs of other tests may have come meanwhile.
    assert {line["job_result"]["id"] for line in lines} <= before | newest()
