"""Section 7 of the contract, over HTTP: job results and their logs; and that sensitive inputs are shown nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.asking import JOBS, future, run, run_form
from tests.acceptance.fields import JOB_RESULT, LOG, check_fields
from tests.acceptance.people import RESULTS, SCHEDULES, changed, schedule, unique
from tests.live import Live, eventually


@pytest.fixture(scope="module")
def done(admin: httpx.Client) -> Mapping[str, Any]:
    """A job result that is over."""
    answer = admin.post(f"{JOBS}Greet/run/", json={"data": {"who": "Ada", "count": 2}})
    url = answer.json()["job_result"]["url"]
    found: Mapping[str, Any] = eventually(lambda: (row := admin.get(url).json())["date_done"] and row)
    return found


def test_a_job_result_has_the_fields_of_the_contract(
    live: Live, done: Mapping[str, Any], greet: Mapping[str, Any], admin: httpx.Client
) -> None:
    check_fields(done, JOB_RESULT)
    assert (done["object_type"], done["url"]) == ("extras.jobresult", f"{live.origin}{RESULTS}{done['id']}/")
    assert done["status"] == {"value": "SUCCESS", "label": "SUCCESS"}
    assert (done["name"], done["task_name"]) == ("Greet", "jobs_for_tests.Greet")
    assert done["task_kwargs"] == {"who": "Ada", "count": 2, "file": done["task_kwargs"]["file"]}
    assert done["job_model"]["id"] == greet["id"]
    assert done["date_created"] <= done["date_started"] <= done["date_done"]
    assert done in admin.get(RESULTS, params={"name": "Greet"}).json()["results"]


def test_results_come_newest_first(admin: httpx.Client, done: Mapping[str, Any]) -> None:
    run(admin, {})
    created = [row["date_created"] for row in admin.get(RESULTS).json()["results"]]
    assert len(created) > 1
    assert created == sorted(created, reverse=True)
    assert done["date_created"] in created


def test_the_log_of_a_result_has_the_fields_of_the_contract(admin: httpx.Client, done: Mapping[str, Any]) -> None:
    lines = admin.get(f"{done['url']}logs/").json()
    hello = next(line for line in lines if line["message"] == "Hello Ada")
    check_fields(hello, LOG)
    assert (hello["object_type"], hello["log_level"], hello["grouping"]) == ("extras.joblogentry", "info", "run")
    assert admin.get(hello["url"]).json() == hello
    ends = [(line["grouping"], line["message"], line["log_object"]) for line in (lines[0], lines[-1])]
    assert ends == [("initialization", "Running job", "Greet"), ("post_run", "Job completed", "")]
    assert hello["job_result"] == {"id": done["id"], "object_type": "extras.jobresult", "url": done["url"]}
    assert next(line for line in lines if line["message"] == "Greeted 2 times")["log_level"] == "success"
    assert [line["created"] for line in lines] == sorted(line["created"] for line in lines)


@pytest.mark.slow
def test_sensitive_inputs_are_shown_nowhere(live: Live, admin: httpx.Client) -> None:
    secret = f"hunter{uuid4().hex}"
    results = [
        run(admin, {"data": {"password": secret}}, "Keep a secret"),
        run_form(admin, {"password": secret, "_schedule_interval": "immediately"}, "Keep a secret"),
    ]
    databases = [*live.home.glob("*.db*")]
    assert live.home / "signoff.db" in databases
    assert not any(secret.encode() in path.read_bytes() for path in databases)
    for bad in ({"data": {"password": secret, "x": secret}}, {"data": {"password": secret}, **future()}):
        answer = run(admin, bad, "Keep a secret")
        assert answer.status_code == 400
        assert secret not in answer.text
    for answer in results:
        assert (answer.status_code, secret in answer.text) == (201, False)
        url = answer.json()["job_result"]["url"]
        done = eventually(lambda url=url: (row := admin.get(url)).json()["date_done"] and row)  # type: ignore[misc]
        assert done.json()["result"] == len(secret)
        assert done.json()["task_kwargs"] == {}
        run_id = done.json()["flow_run_id"]
        everything = [
            admin.get(url).text,
            admin.get(f"{url}logs/").text,
            admin.get(RESULTS).text,
            admin.get(f"/api/flow_runs/{run_id}").text,
            admin.post("/api/logs/filter", json={"logs": {"flow_run_id": {"any_": [run_id]}}}).text,
            live.log.read_text(),
        ]
        assert admin.get(f"/api/flow_runs/{run_id}").json()["parameters"] == {}
        assert not any(secret in text for text in everything)


def test_inputs_given_before_a_job_was_called_sensitive_are_no_longer_shown(admin: httpx.Client) -> None:
    made = schedule(admin, job="Alone")
    other = run(admin, {"data": {"seconds": 1}, **future(name=unique())}, "Sleep").json()["scheduled_job"]
    assert other["kwargs"]["seconds"] == 1
    with changed(admin, "Sleep", has_sensitive_variables=True):
        assert admin.get(other["url"]).json()["kwargs"] == {}
        assert admin.get(SCHEDULES, params={"name": other["name"]}).json()["results"][0]["kwargs"] == {}
    admin.request("DELETE", SCHEDULES, json=[made["id"], other["id"]])
