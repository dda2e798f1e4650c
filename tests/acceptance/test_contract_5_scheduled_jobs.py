"""Section 5 of the contract, over HTTP: scheduled jobs, found by any name, and deleted one by one or at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.asking import UNKNOWN, answered
from tests.acceptance.fields import SCHEDULED_JOB, check_fields
from tests.acceptance.people import SCHEDULES, schedule, unique
from tests.live import Live


def test_a_scheduled_job_has_the_fields_of_the_contract(
    live: Live, admin: httpx.Client, planned: Mapping[str, Any], greet: Mapping[str, Any]
) -> None:
    check_fields(planned, SCHEDULED_JOB)
    assert planned["object_type"] == "extras.scheduledjob"
    assert planned["url"] == f"{live.origin}{SCHEDULES}{planned['id']}/"
    assert planned["job_model"] == {"id": greet["id"], "object_type": "extras.job", "url": greet["url"]}
    assert planned["user"]["object_type"] == "users.user"
    assert (planned["queue"], planned["celery_kwargs"]["queue"]) == ("default", "default")
    assert (planned["total_run_count"], planned["last_run_at"]) == (0, None)
    assert planned["kwargs"] == {"who": "world", "count": 1, "file": planned["kwargs"]["file"]}
    assert admin.get(planned["url"]).json() == planned
    assert admin.get(f"{SCHEDULES}{quote(planned['name'])}/").json() == planned


@pytest.mark.parametrize(
    "name", ["a/b", "../x", "50% off?", "ä ö #1", "a%2Fb", "x;y=1", "approve", "name+plus", "'; DROP TABLE jobs; --"]
)
def test_a_scheduled_job_is_found_by_any_name(admin: httpx.Client, name: str) -> None:
    name = unique(name)
    made = schedule(admin, name)
    address = f"{SCHEDULES}{quote(name, safe='')}/"
    assert admin.get(address).json()["id"] == made["id"]
    assert admin.delete(address).status_code == 204
    assert admin.get(address).status_code == 404


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("to", [{}, {"interval": "daily"}, {"interval": "custom", "crontab": "0 3 * * *"}])
def test_what_get_gave_can_be_sent_back_with_changes(admin: httpx.Client, to: dict[str, str], depth: int) -> None:
    made = schedule(admin, **to)
    shown = admin.get(made["url"], params={"depth": depth}).json()
    same = admin.patch(made["url"], json=shown)
    assert (same.status_code, same.json()) == (200, made)
    again = admin.patch(made["url"], json={**shown, "name": unique(), "start_time": "2031-01-01T00:00:00Z"})
    assert (again.status_code, again.json()["start_time"]) == (200, "2031-01-01T00:00:00Z")
    stale = admin.patch(made["url"], json={**shown, "task": "x"})
    assert answered(stale) == (400, {field: ["This field cannot be changed."] for field in stale.json()})
    assert "task" in stale.json()
    assert admin.delete(made["url"]).status_code == 204


def test_one_is_deleted(admin: httpx.Client) -> None:
    made = schedule(admin)
    answer = admin.delete(made["url"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert answered(admin.get(made["url"])) == (404, {"detail": "No ScheduledJob matches the given query."})
    assert answered(admin.delete(made["url"])) == (404, {"detail": "No ScheduledJob matches the given query."})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(
            {"id": UNKNOWN},
            {"non_field_errors": ['Expected a list of items but got type "dict".']},
            id="not a list",
        ),
        pytest.param("x", {"non_field_errors": ['Expected a list of items but got type "str".']}, id="a text"),
        pytest.param([UNKNOWN, "nonsense"], [{}, {"id": ["Must be a valid UUID."]}], id="a bad UUID"),
        pytest.param([{"id": 5}, {}], [{"id": ["Must be a valid UUID."]}] * 2, id="objects without a UUID"),
        pytest.param([None, [], 1.5], [{"id": ["Must be a valid UUID."]}] * 3, id="things that are no UUIDs"),
    ],
)
def test_a_bulk_deletion_that_cannot_be_is_refused_whole(admin: httpx.Client, body: Any, told: Any) -> None:
    made = schedule(admin)
    body = [made["id"], *body] if isinstance(body, list) else body
    told = [{}, *told] if isinstance(told, list) else told
    assert answered(admin.request("DELETE", SCHEDULES, json=body)) == (400, told)
    assert admin.get(made["url"]).status_code == 200
    admin.delete(made["url"])


def test_a_bulk_deletion_of_nothing_deletes_nothing(admin: httpx.Client, planned: Mapping[str, Any]) -> None:
    assert admin.request("DELETE", SCHEDULES, json=[]).status_code == 204
    assert admin.request("DELETE", SCHEDULES).status_code == 400
    assert admin.get(planned["url"]).status_code == 200


def test_a_bulk_deletion_of_very_many_is_answered(admin: httpx.Client) -> None:
    answer = admin.request("DELETE", SCHEDULES, json=[str(uuid4()) for _ in range(1001)])
    assert answered(answer) == (413, {"non_field_errors": ["At most 1000 can be named at once; these are 1001."]})
