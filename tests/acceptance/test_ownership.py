"""Schedules have owners: they run as them, fail visibly when they are gone, are taken over, handed over and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.acceptance.people import RESULTS, Grant, People, schedule, unique
from tests.live import Live, eventually

pytestmark = pytest.mark.slow

Shape = Mapping[str, Any]
JOB, SCHEDULED, USER = "extras.job", "extras.scheduledjob", "users.user"
RUNS: Grant = (JOB, "run", None)
SEES: Grant = (SCHEDULED, "view", None)
CHANGES: Grant = (SCHEDULED, "change", None)
APPROVES: Grant = (JOB, "approve", None)
EACH_MINUTE = {"interval": "custom", "crontab": "* * * * *", "start_time": None}
HOURLY = {"interval": "hourly"}
NO_PERMISSION = "You do not have permission to perform this action."


@pytest.fixture
def join(live: Live, people: People) -> Iterator[Callable[..., tuple[str, httpx.Client]]]:
    """Makes people with permissions; gives the name and the client of each."""
    clients: list[httpx.Client] = []

    def joined(*grants: Grant, **how: Any) -> tuple[str, httpx.Client]:
        name = people.add(*grants, **how)
        clients.append(live.client(name))
        return name, clients[-1]

    yield joined
    for client in clients:
        client.close()


def results_of(admin: httpx.Client, row: Shape) -> list[Shape]:
    found = admin.get(RESULTS, params={"name": "Greet", "limit": 1000}).json()["results"]
    return [each for each in found if each["scheduled_job"] and each["scheduled_job"]["id"] == row["id"]]


def over(admin: httpx.Client, row: Shape, many: int) -> list[Shape]:
    """Wait until a scheduled job has so many results that are over; return them, the newest first."""

    def found() -> list[Shape]:
        done = [each for each in results_of(admin, row) if each["date_done"]]
        return done if len(done) >= many else []

    return eventually(found, every=0.5)


def detail(answer: httpx.Response) -> tuple[int, Any]:
    body = answer.json()
    return answer.status_code, body.get("detail", body)


def test_a_schedule_whose_owner_is_removed_fails_once_and_runs_as_who_takes_it_over(
    live: Live, admin: httpx.Client, people: People, join: Callable[..., tuple[str, httpx.Client]]
) -> None:
    alice, as_alice = join(RUNS, SEES)
    row = schedule(as_alice, unique("each minute"), **EACH_MINUTE)
    deployment = eventually(lambda: _deployment(admin, row))
    people.identity.remove_user(alice, datetime.now(UTC))

    [failed] = over(admin, row, 1)
    message = (
        f"Scheduled job '{row['name']}' cannot run: the originating user has been removed. "
        "Use 'Assume Ownership' to take it over."
    )
    assert (failed["status"]["value"], failed["user"], failed["traceback"]) == ("FAILURE", None, message)
    eventually(lambda: (message, "error") in _log(admin, failed))
    after = admin.get(row["url"]).json()
    assert (after["enabled"], after["user"], after["failure"]) == (False, None, message)
    run = admin.get(f"/api/flow_runs/{failed['flow_run_id']}").json()
    assert (run["state"]["name"], run["state"]["message"]) == ("Failed", f"Refused: {message}")
    assert "refused" in run["tags"]
    # Nothing of it will start: Prefect has no schedule that is on, and no run that it has made ahead.
    eventually(lambda: not admin.get(f"/api/deployments/{deployment}/schedules").json()[0]["active"])
    assert _to_come(admin, deployment) == 0

    _, as_bob = join(SEES, CHANGES)
    _, as_dave = join(RUNS)
    assume = f"{row['url']}assume-ownership/"
    assert detail(as_bob.post(assume)) == (403, "You do not have permission to run this job.")
    assert detail(as_dave.post(assume)) == (403, NO_PERMISSION)
    assert admin.get(row["url"]).json() == after

    carol, as_carol = join(RUNS, SEES, CHANGES)
    taken = as_carol.post(assume)
    assert taken.status_code == 200
    assert (taken.json()["enabled"], taken.json()["failure"]) == (True, "")
    ran, before = over(admin, row, 2)
    assert before["id"] == failed["id"], "It failed once."
    assert (ran["status"]["value"], ran["result"]["as"]) == ("SUCCESS", carol)
    assert ran["user"]["id"] == taken.json()["user"]["id"]
    assert admin.delete(row["url"]).status_code == 204
    refused = {"request.refused", "approval.refused"}
    acts = [
        str(each.act) for each in live.audit() if str(each.scheduled_job_id) == row["id"] and each.act not in refused
    ]
    told = ["schedule.added", "run.refused", "schedule.assumed", "schedule.deleted"]
    assert [act for act in acts if act != "run.admitted"] == told


def _log(admin: httpx.Client, result: Shape) -> set[tuple[str, str]]:
    return {(line["message"], line["log_level"]) for line in admin.get(f"{result['url']}logs/").json()}


def _deployment(admin: httpx.Client, row: Shape) -> str | None:
    wanted = {"deployments": {"name": {"like_": f"({row['id'][:8]})"}}}
    found = admin.post("/api/deployments/filter", json=wanted).json()
    return found[0]["id"] if found else None


def _to_come(admin: httpx.Client, deployment: str) -> int:
    waiting = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "deployments": {"id": {"any_": [deployment]}}}
    count: int = admin.post("/api/flow_runs/count", json=waiting).json()
    return count


# Taking over and handing over


def test_taking_over_a_request_that_waits_is_no_way_to_approve_it(
    admin: httpx.Client, join: Callable[..., tuple[str, httpx.Client]]
) -> None:
    _, as_alice = join(RUNS, SEES, CHANGES, APPROVES)
    _, as_bob = join(RUNS, SEES, CHANGES, APPROVES)
    row = schedule(as_alice, unique("to be taken"), job="Guarded")
    assert as_bob.post(f"{row['url']}assume-ownership").json()["approval_state"] == "pending"
    approve = f"{row['url']}approve/"
    assert detail(as_alice.post(approve)) == (403, "You cannot approve your own job request!")
    assert detail(as_bob.post(approve)) == (403, "You have owned this request, so someone else must approve it.")
    assert detail(as_bob.post(f"{row['url']}assume-ownership/")) == (409, "You already own this scheduled job.")
    assert as_alice.post(f"{row['url']}assume-ownership/").status_code == 200
    assert detail(as_bob.post(approve)) == (403, "You have owned this request, so someone else must approve it.")
    seen = admin.get(row["url"]).json()["approval_version"]
    assert admin.post(approve, json={"version": seen}).status_code == 200
    admin.delete(row["url"])


def test_a_scheduled_job_is_handed_to_who_could_take_it(
    admin: httpx.Client, join: Callable[..., tuple[str, httpx.Client]]
) -> None:
    row = schedule(admin, unique("to be given"))
    bob, _ = join(RUNS, CHANGES)
    eve, _ = join(CHANGES)
    transfer = f"{row['url']}transfer/"
    assert detail(admin.post(transfer, json={"user": eve})) == (403, f"{eve} does not have permission to run this job.")
    assert detail(admin.post(transfer, json={"user": "nobody"})) == (400, {"user": ["There is no such user."]})
    for body in ({}, {"user": 1}, {"user": ""}, {"user": "\0"}, [], {"user": None}):
        assert detail(admin.post(transfer, json=body)) == (400, {"user": ["Give the name or the id of a user."]})
    given = admin.post(transfer, json={"user": bob}).json()
    assert admin.post(transfer, json={"user": given["user"]["id"]}).status_code == 409
    _, as_carol = join(RUNS, SEES, CHANGES)
    assert detail(as_carol.post(transfer, json={"user": bob})) == (403, NO_PERMISSION)
    admin.delete(row["url"])


# Changing


def test_a_change_of_what_was_approved_asks_again_and_stops_it_at_once(
    admin: httpx.Client, join: Callable[..., tuple[str, httpx.Client]]
) -> None:
    _, as_alice = join(RUNS, SEES, CHANGES, APPROVES)
    bob, as_bob = join(RUNS, SEES, CHANGES, APPROVES)
    row = schedule(as_alice, unique("to be changed"), job="Change", **HOURLY)
    approved = as_bob.post(f"{row['url']}approve/").json()
    deployment = eventually(lambda: _deployment(admin, row))
    schedules = f"/api/deployments/{deployment}/schedules"
    renamed = as_alice.patch(row["url"], json={"name": f"{row['name']} again"}).json()
    assert (renamed["approval_state"], renamed["approval_version"]) == ("approved", approved["approval_version"])
    changed = as_alice.patch(row["url"], json={"data": {"breaks": True}})
    assert changed.status_code == 200
    assert (changed.json()["approval_state"], changed.json()["approved_at"]) == ("pending", None)
    assert changed.json()["approval_note"] == f"The inputs changed after {bob} approved it."
    assert changed.json()["kwargs"]["breaks"] is True
    eventually(lambda: [each["active"] for each in admin.get(schedules).raise_for_status().json()] == [False])
    eventually(lambda: _to_come(admin, deployment) == 0)
    stale = as_bob.post(f"{row['url']}approve/", json={"version": approved["approval_version"]})
    assert stale.status_code == 409
    moved = as_bob.patch(row["url"], json={"start_time": "2031-01-01T00:00:00Z"})
    assert moved.status_code == 200
    told = "You have changed what this request runs, so someone else must approve it."
    assert detail(as_bob.post(f"{row['url']}approve/")) == (403, told)
    assert detail(as_bob.patch(row["url"], json={"data": {}}))[0] == 403
    seen = admin.get(row["url"]).json()["approval_version"]
    assert admin.post(f"{row['url']}approve/", json={"version": seen}).json()["approval_state"] == "approved"
    admin.delete(row["url"])


def test_what_repeats_is_made_to_run_once_and_does_and_what_runs_once_to_repeat(admin: httpx.Client) -> None:
    row = schedule(admin, unique("each minute"), interval="hourly")
    deployment = eventually(lambda: _deployment(admin, row))
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    once = admin.patch(row["url"], json={"interval": "future", "start_time": soon})
    assert (once.status_code, once.json()["one_off"]) == (200, True)
    eventually(lambda: admin.get(f"/api/deployments/{deployment}").status_code == 404)
    [ran] = over(admin, row, 1)
    assert ran["status"]["value"] == "SUCCESS"
    assert admin.get(row["url"]).json()["total_run_count"] == 1
    told = "It has already run. Make a new request instead."
    assert detail(admin.patch(row["url"], json={"interval": "daily"})) == (400, {"interval": [told]})

    later = schedule(admin, unique("once"))
    run = eventually(lambda: _runs_called(admin, later["name"]))[0]
    daily = admin.patch(later["url"], json={"interval": "daily"})
    assert (daily.status_code, daily.json()["one_off"]) == (200, False)
    deployment = eventually(lambda: _deployment(admin, later))
    eventually(lambda: _message(admin, run["id"]).startswith("Replaced: "))
    assert [each["schedule"]["cron"] for each in admin.get(f"/api/deployments/{deployment}/schedules").json()] == [
        "0 1 * * *"
    ]
    for each in (row, later):
        assert admin.delete(each["url"]).status_code == 204


def _runs_called(admin: httpx.Client, name: str) -> list[Shape]:
    found: list[Shape] = admin.post("/api/flow_runs/filter", json={"flow_runs": {"name": {"any_": [name]}}}).json()
    return found


def _message(admin: httpx.Client, run_id: str) -> str:
    return admin.get(f"/api/flow_runs/{run_id}").json()["state"]["message"] or ""


REFUSED_CHANGES = [
    pytest.param({"interval": "immediately"}, "interval", id="at once, of what exists"),
    pytest.param({"user": "bob"}, "user", id="the owner"),
    pytest.param({"approved_by_user": "bob"}, "approved_by_user", id="the approver"),
    pytest.param({"approval_state": "approved"}, "approval_state", id="the approval"),
    pytest.param({"enabled": "maybe"}, "enabled", id="no boolean"),
    pytest.param({"name": ""}, "name", id="no name"),
    pytest.param({"crontab": "0 0 31 2 *"}, "crontab", id="a day that never comes"),
    pytest.param({"crontab": "* * * * * *"}, "crontab", id="six fields"),
    pytest.param({"start_time": "2001-01-01T00:00:00Z"}, "start_time", id="a start that has passed"),
    pytest.param({"start_time": "soon"}, "start_time", id="no time"),
    pytest.param({"time_zone": "Mars/Olympus"}, "time_zone", id="no zone"),
    pytest.param({"job_queue": "nope"}, "task_queue", id="no queue of the Job"),
    pytest.param({"data": {"count": 1000}}, "errors", id="an input out of range"),
    pytest.param({"data": {"bogus": 1}}, "errors", id="an unknown input"),
    pytest.param({"data": {"who": {"__prefect_kind": "json"}}}, "errors", id="a template"),
    pytest.param({"data": None}, "data", id="null"),
    pytest.param([], "non_field_errors", id="a list"),
]


@pytest.fixture(scope="module")
def changeable(admin: httpx.Client) -> Iterator[Shape]:
    row = schedule(admin, unique("changeable"), interval="custom", crontab="0 3 * * *")
    yield row
    admin.delete(row["url"])


@pytest.mark.parametrize(("body", "field"), REFUSED_CHANGES)
def test_a_change_that_cannot_be_is_refused_under_its_field_and_changes_nothing(
    admin: httpx.Client, changeable: Shape, body: Any, field: str
) -> None:
    before = admin.get(changeable["url"]).json()
    answer = admin.patch(changeable["url"], json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert admin.get(changeable["url"]).json() == before


# Explaining


def test_it_is_explained_who_may_what_and_when_it_fires(
    admin: httpx.Client, join: Callable[..., tuple[str, httpx.Client]]
) -> None:
    alice, as_alice = join(RUNS, SEES, CHANGES, APPROVES)
    bob, _ = join(SEES, CHANGES, APPROVES)
    row = schedule(as_alice, unique("explained"), job="Guarded", **HOURLY)
    explain = f"{row['url']}explain/"
    told = as_alice.get(explain).json()
    assert told["user"]["username"] == alice
    assert told["may"]["approve"] == {"allowed": False, "reason": "You cannot approve your own job request!"}
    assert told["may"]["run"] == {"allowed": True, "reason": ""}
    assert told["may"]["assume_ownership"]["reason"] == "You already own this scheduled job."
    assert (told["next_firing"], told["why_not"]) == (None, "The scheduled job has not been approved.")
    assert told["who"]["approve"] == [], "She may see no accounts but her own."
    about_bob = admin.get(explain, params={"user": bob}).json()
    assert about_bob["may"]["approve"] == {"allowed": True, "reason": ""}
    assert about_bob["may"]["run"]["reason"] == "You do not have permission to run this job."
    assert bob in {each["username"] for each in about_bob["who"]["approve"]}
    assert alice not in {each["username"] for each in about_bob["who"]["approve"]}
    assert detail(as_alice.get(explain, params={"user": bob})) == (403, NO_PERMISSION)
    assert detail(admin.get(explain, params={"user": "nobody"})) == (404, "No User matches the given query.")
    assert admin.get(explain, params={"bogus": 1}).status_code == 400
    admin.post(f"{row['url']}approve/")
    told = as_alice.get(explain).json()
    assert (told["next_firing"], told["why_not"]) == (row["start_time"], "")
    admin.delete(row["url"])
