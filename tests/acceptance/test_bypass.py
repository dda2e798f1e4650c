"""Every way around the gate, each tried on a real server by somebody who may write to Prefect: none executes anything.

All are tried at the beginning and looked at later, so that the waits are one wait.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_shim.services.audit_trail import AuditTrail
from api_shim.services.run_credentials import NOT_FOR_RUNS
from api_shim.settings import Settings
from api_shim.store import Store
from api_shim.web.prefect_worker_calls import NOT_BY_FORCE, NOT_FOR_WORKERS
from approval_gate.admission import RUN_KEY
from approval_gate.errors import Conflict
from approval_gate.identity import WORKER
from approval_gate.policy import EDITED, MAY_NOT_SWITCH, NOT_ITS_POOL, NOT_ITS_RUN, NOT_ITS_WORKER
from tests.acceptance.people import FAR, RESULTS, SCHEDULES, People, unique
from tests.databases import rewrite_audit, store_of
from tests.live import PATIENCE, Live, environment, eventually, start

pytestmark = pytest.mark.slow

Shape = Mapping[str, Any]
ACTIONS = ("view", "add", "change", "delete", "run", "approve")
APPROVE = {"decision": "approve", "comment": "", "confirm_past_due": True}
NOW = {"type": "SCHEDULED", "name": "Scheduled"}


@dataclass
class Try:
    """One way around, tried.

    Args:
        row: the request.
        run: the flow run that carries it.
        file: what its Job would write when it executes.
    """

    row: Shape
    run: Shape
    file: Path


class Stage:
    """Makes requests, and speaks to Prefect as somebody who may change everything there."""

    def __init__(self, live: Live, admin: httpx.Client, requester: httpx.Client, folder: Path) -> None:
        self.live, self.admin, self.requester, self.folder = live, admin, requester, folder

    def request(self, job: str = "Change", **when: Any) -> Try:
        name = unique("bypass")
        file = self.folder / name
        when = when or {"interval": "future", "start_time": FAR}
        answer = self.requester.post(
            f"/api/extras/jobs/{job}/run/", json={"data": {"file": str(file)}, "schedule": {"name": name, **when}}
        )
        assert answer.status_code == 201, answer.text
        row = answer.json()["scheduled_job"]
        run = eventually(lambda: self.named(f"{name} (waiting for approval)"))
        return Try(row, run, file)

    def named(self, name: str) -> Shape | None:
        runs = self.admin.post("/api/flow_runs/filter", json={"flow_runs": {"name": {"any_": [name]}}}).json()
        return runs[0] if runs else None

    def prefect(self, method: str, path: str, body: Any = None) -> httpx.Response:
        def asked() -> httpx.Response | None:
            answer = self.admin.request(method, f"/api/{path}", json=body)
            return None if answer.status_code == 503 else answer

        return eventually(asked).raise_for_status()

    def set_state(self, run: Shape, state: Any, *, force: bool) -> httpx.Response:
        return self.prefect("POST", f"flow_runs/{run['id']}/set_state", {"state": state, "force": force})

    def state(self, run: Shape) -> Shape:
        found: Shape = self.admin.get(f"/api/flow_runs/{run['id']}").json()["state"]
        return found


@pytest.fixture(scope="module")
def stage(live: Live, admin: httpx.Client, people: People, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with live.client(people.add(("extras.job", "run", None))) as requester:
        yield Stage(live, admin, requester, tmp_path_factory.mktemp("bypass"))


@contextmanager
def stock_server(live: Live, port: int) -> Iterator[httpx.Client]:
    """Run a Prefect server without our door, on the same database."""
    home = live.home / "prefect"
    env = environment(
        PREFECT_HOME=str(live.home.parent / "stock"),
        PREFECT_SERVER_DATABASE_CONNECTION_URL=f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_UI_ENABLED="false",
        # The tables and blocks are there; two servers that make them at once would get in each other's way.
        PREFECT_SERVER_DATABASE_MIGRATE_ON_START="false",
        PREFECT_SERVER_BLOCKS_REGISTER_ON_START="false",
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
    )
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-services", "--port", str(port)]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=30) as client:
                eventually(lambda: _answers(client))
                yield client
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


# The ways: each is given a request that waits


def let_start(stage: Stage, it: Try) -> None:
    stage.set_state(it.run, NOW, force=False)


def let_start_by_force(stage: Stage, it: Try) -> None:
    stage.set_state(it.run, NOW, force=True)


def retry(stage: Stage, it: Try) -> None:
    stage.set_state(it.run, {"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True)


def let_start_in_bulk(stage: Stage, it: Try) -> None:
    body = {"flow_runs": {"id": {"any_": [it.run["id"]]}}, "state": NOW, "force": True}
    stage.prefect("POST", "flow_runs/bulk_set_state", body)


def change_the_parameters_and_let_start(stage: Stage, it: Try) -> None:
    changed = {"dryrun": True, "file": str(it.file), "breaks": False}
    stage.prefect("PATCH", f"flow_runs/{it.run['id']}", {"parameters": changed})
    stage.set_state(it.run, NOW, force=True)


def plant_an_answer_and_let_start(stage: Stage, it: Try) -> None:
    planted = {"key": "approval-response", "value": '{"decision": "approve"}'}
    stage.prefect("POST", f"flow_runs/{it.run['id']}/input", planted)
    stage.set_state(it.run, NOW, force=True)


def take_the_tag_and_the_name_and_let_start(stage: Stage, it: Try) -> None:
    stage.prefect("PATCH", f"flow_runs/{it.run['id']}", {"name": "harmless", "tags": []})
    stage.set_state(it.run, NOW, force=True)


ASK_AGAIN: dict[str, Callable[[Stage, Try], None]] = {
    "set_state": let_start,
    "set_state with force": let_start_by_force,
    "a retry": retry,
    "bulk_set_state": let_start_in_bulk,
    "PATCH of the parameters, and set_state": change_the_parameters_and_let_start,
    "a planted run input, and set_state": plant_an_answer_and_let_start,
    "another name and no tag, and set_state": take_the_tag_and_the_name_and_let_start,
}
"""The ways after which the run stands and asks again."""


@pytest.fixture(scope="module")
def tried(stage: Stage, free_port: Callable[[], int]) -> dict[str, Try]:
    """Every way of the table, tried, and the stock server, the automation and a switched schedule besides."""
    switched = switch_on_a_schedule(stage)
    requests = {way: stage.request() for way in [*ASK_AGAIN, "a stock server", "RUNNING", "PENDING"]}
    for way, act in ASK_AGAIN.items():
        act(stage, requests[way])
    for state in ("RUNNING", "PENDING"):
        stage.set_state(requests[state].run, {"type": state}, force=True)
    with stock_server(stage.live, free_port()) as stock:
        path = f"/flow_runs/{requests['a stock server'].run['id']}/resume"
        answer = eventually(
            lambda: (a := stock.post(path, json={"run_input": {"decision": "approve"}})).status_code < 500 and a
        )
        assert answer.json()["status"] == "ACCEPT"
    return requests | {"an automation": by_automation(stage), "a schedule": switched}


def switch_on_a_schedule(stage: Stage) -> Try:
    """Have a recurring request whose schedule in Prefect is active, with the firings that it yields."""
    it = stage.request(interval="custom", crontab="* * * * *")
    path = f"deployments/{it.run['deployment_id']}"
    [schedule] = stage.prefect("GET", f"{path}/schedules").json()
    stage.prefect("PATCH", f"{path}/schedules/{schedule['id']}", {"active": True})
    stage.prefect("POST", f"{path}/schedule", {})
    return it


def by_automation(stage: Stage) -> Try:
    """Let Prefect itself let a request start, as soon as it is told of it."""
    actions = [
        {"type": "change-flow-run-state", "state": "SCHEDULED", "name": "Scheduled"},
        {"type": "resume-flow-run"},
    ]
    body = {
        "name": unique("let start"),
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": ["signoff.approval.requested"],
            "match_related": {"prefect.resource.role": "flow-run"},
            "threshold": 1,
            "within": 0,
        },
        "actions": actions,
    }
    automation = stage.prefect("POST", "automations/", body).json()
    it = stage.request()
    eventually(lambda: "Scheduled" in _history(stage, it))
    stage.prefect("DELETE", f"automations/{automation['id']}")
    return it


def _history(stage: Stage, it: Try) -> list[str]:
    rows = stage.admin.get("/api/flow_run_states/", params={"flow_run_id": it.run["id"]}).json()
    return [row["name"] for row in rows]


@pytest.mark.parametrize("way", [*ASK_AGAIN, "a stock server", "an automation"])
def test_what_was_let_start_past_the_gate_does_not_execute_and_asks_again(
    stage: Stage, tried: dict[str, Try], way: str
) -> None:
    it = tried[way]
    # It has been let start, and a worker has come as far as the gate.
    eventually(lambda: "Running" in _history(stage, it))
    eventually(lambda: stage.state(it.run)["name"] == "Suspended")
    assert not it.file.exists()
    assert stage.admin.get(it.row["url"]).json()["approval_state"] == "pending"
    assert stage.admin.get(RESULTS, params={"flow_run_id": it.run["id"]}).json()["count"] == 0
    run = stage.admin.get(f"/api/flow_runs/{it.run['id']}").json()
    assert run["name"] == f"{it.row['name']} (waiting for approval)"
    assert set(run["tags"]) == {"signoff", "awaiting-approval"}
    assert run["parameters"] == it.row["kwargs"]
    keys = stage.prefect("POST", f"flow_runs/{run['id']}/input/filter", {"prefix": "", "limit": 200}).json()
    assert {key["key"] for key in keys} == {"approval-description", "approval-schema"}


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_what_only_looks_as_if_it_ran_has_not(stage: Stage, tried: dict[str, Try], state: str) -> None:
    it = tried[state]
    assert not it.file.exists()
    assert stage.admin.get(it.row["url"]).json()["approval_state"] == "pending"


def test_after_all_that_an_approval_lets_it_run_once(stage: Stage, tried: dict[str, Try], people: People) -> None:
    """The ways around leave nothing that would run it twice, or not at all."""
    when = {"interval": "immediately"}
    name = unique("after")
    file = stage.folder / name
    made = stage.requester.post(
        "/api/extras/jobs/Change/run/", json={"data": {"file": str(file)}, "schedule": {"name": name, **when}}
    ).json()["scheduled_job"]
    run = eventually(lambda: stage.named(f"{name} (waiting for approval)"))
    for _ in range(2):
        stage.set_state(run, NOW, force=True)
        eventually(lambda: stage.state(run)["name"] == "Suspended")
    assert stage.admin.post(f"{made['url']}approve/").status_code == 200
    eventually(lambda: stage.state(run)["type"] == "COMPLETED")
    assert len(file.read_text().splitlines()) == 1


def test_what_is_edited_a_moment_before_its_approval_is_not_approved_unseen(
    live: Live, admin: httpx.Client, people: People, tmp_path: Path
) -> None:
    """Whichever comes first, nobody has approved what they have not seen, and it waits."""
    with live.client(people.add(superuser=True)) as requester, ThreadPoolExecutor(2) as threads:
        stage = Stage(live, admin, requester, tmp_path)
        for number in range(3):
            it = stage.request()
            url, other = it.row["url"], str(tmp_path / "other")
            edit = threads.submit(requester.patch, url, json={"data": {"file": other}})
            time.sleep(number * 0.01)
            approve = threads.submit(admin.post, f"{url}approve/")
            assert edit.result().status_code == 200, edit.result().text
            assert approve.result().status_code in {200, 409}
            row = admin.get(url).json()
            assert (row["kwargs"]["file"], row["approval_state"]) == (other, "pending")
            refused = admin.post(f"{url}approve/")
            assert (refused.status_code, refused.json()["detail"]) == (409, EDITED)
            admin.delete(url)


def test_a_description_that_was_written_over_is_not_decided_by(stage: Stage) -> None:
    def meddled() -> tuple[Try, Shape] | None:
        """Return what was answered by a description that was written over; None where it was restored before."""
        it = stage.request()
        path = f"flow_runs/{it.run['id']}/input"
        eventually(lambda: stage.admin.get(f"/api/{path}/approval-schema").status_code == 200)
        eventually(lambda: stage.admin.get(f"/api/{path}/approval-description").status_code == 200)
        stage.prefect("DELETE", f"{path}/approval-description")
        value = '"Nothing to see here."'
        written = stage.admin.post(f"/api/{path}", json={"key": "approval-description", "value": value})
        answer: Shape = stage.admin.post(f"/api/flow_runs/{it.run['id']}/resume", json={"run_input": APPROVE}).json()
        return (it, answer) if written.status_code == 201 and answer["status"] == "REJECT" else None

    it, answer = next(found for found in (meddled() for _ in range(5)) if found)
    assert "had been changed in Prefect" in answer["details"]["reason"]
    assert stage.state(it.run)["name"] == "Suspended"
    again = stage.admin.post(f"/api/flow_runs/{it.run['id']}/resume", json={"run_input": APPROVE}).json()
    assert again["status"] == "ACCEPT"
    stage.admin.delete(it.row["url"])


def test_parameters_that_were_changed_after_the_approval_do_not_execute(stage: Stage) -> None:
    it = stage.request()
    assert stage.admin.post(f"{it.row['url']}approve/").status_code == 200
    eventually(lambda: stage.state(it.run)["name"] == "Scheduled")
    stage.prefect("PATCH", f"flow_runs/{it.run['id']}", {"parameters": {**it.row["kwargs"], "breaks": True}})
    stage.set_state(it.run, NOW, force=True)
    eventually(lambda: "Running" in _history(stage, it))
    assert not it.file.exists()
    stage.admin.delete(it.row["url"])


def test_a_deployment_that_is_deleted_and_made_again_lets_nothing_run_that_waits(stage: Stage) -> None:
    it = stage.request(interval="hourly", start_time=FAR)
    deployment = it.run["deployment_id"]
    stage.prefect("DELETE", f"deployments/{deployment}")
    stage.set_state(it.run, NOW, force=True)

    def made_again() -> Shape | None:
        asked = {"name": {"any_": [it.run["name"]]}, "state": {"name": {"any_": ["Suspended"]}}}
        runs = stage.prefect("POST", "flow_runs/filter", {"flow_runs": asked}).json()
        return next((run for run in runs if run["deployment_id"] != deployment), None)

    made = eventually(made_again)
    assert made["state"]["name"] == "Suspended"
    assert not it.file.exists()
    assert stage.admin.get(it.row["url"]).json()["approval_state"] == "pending"
    stage.admin.delete(it.row["url"])


def test_a_schedule_that_a_hand_switches_on_fires_nothing(stage: Stage, tried: dict[str, Try]) -> None:
    it = tried["a schedule"]
    path = f"deployments/{it.run['deployment_id']}"
    eventually(lambda: not stage.prefect("GET", f"{path}/schedules").json()[0]["active"])
    assert not it.file.exists()
    assert stage.admin.get(it.row["url"]).json()["total_run_count"] == 0
    taken_back = [each.data for each in stage.live.audit() if each.act == "schedule.taken-back"]
    assert {"reason": "Its schedule was switched on in Prefect."} in taken_back
    stage.admin.delete(it.row["url"])


def test_a_run_of_an_own_making_is_refused(stage: Stage) -> None:
    it = stage.request()
    path = f"deployments/{it.run['deployment_id']}/create_flow_run/bulk"

    def made() -> Any:
        # That its database is busy Prefect tells here as a run that it did not make.
        [one] = stage.prefect("POST", path, [{"parameters": it.row["kwargs"], "state": NOW}]).json()["results"]
        return one["flow_run_id"]

    run = {"id": eventually(made)}
    body = {"flow_id": it.run["flow_id"], "deployment_id": it.run["deployment_id"], "parameters": it.row["kwargs"]}
    stage.prefect("POST", "flow_runs/", {**body, "state": NOW})
    eventually(lambda: stage.state(run)["type"] == "FAILED")
    assert (stage.state(run)["name"], stage.state(run)["message"].partition(": ")[0]) == ("Failed", "Refused")
    assert not it.file.exists()
    stage.admin.delete(it.row["url"])


@pytest.mark.parametrize("who", ["a superuser", "an account with prefect.write"])
def test_only_the_run_is_told_its_inputs(stage: Stage, live: Live, people: People, who: str) -> None:
    it = stage.request()
    account = people.add(superuser=True) if who == "a superuser" else people.add(("prefect", "write", None))
    asks = {"flow_run_id": it.run["id"], "attempt": it.run["id"], "status": "SUCCESS"}
    takes = {"state": {"type": "PENDING"}, "force": True}
    with live.client(account, **{RUN_KEY: "wanted"}) as client:
        taken = eventually(lambda: answered(client.post(f"/api/flow_runs/{it.run['id']}/set_state", json=takes)))
        assert RUN_KEY not in taken.headers, "who is no worker is given no key"
        for path in ("admission", "outcome"):
            answer = client.post(f"/api/signoff/{path}", json=asks)
            assert (answer.status_code, answer.json()) == (403, {"detail": NOT_ITS_WORKER})
            assert str(it.file) not in answer.text
    refused = [each for each in live.audit() if each.act == "request.refused" and each.actor == account]
    assert [each.data["asked"] for each in refused] == ["admission of a run", "outcome of a run"]
    stage.admin.delete(it.row["url"])


def test_a_workers_account_is_that_of_a_worker_of_its_pool_and_nothing_else(
    stage: Stage, live: Live, people: People
) -> None:
    it = stage.request()
    ours, elsewhere = people.add(), people.add()
    for who, pool in ((ours, "signoff"), (elsewhere, "elsewhere")):
        people.identity.make_worker(who, pool, datetime.now(UTC))
    run, takes = f"flow_runs/{it.run['id']}", {"state": {"type": "PENDING"}}
    asks = {"flow_run_id": it.run["id"], "attempt": it.run["id"], "status": "SUCCESS"}
    attempts: list[tuple[str, str, str, Any, int, str]] = [
        (ours, "POST", "variables/", {"name": "x", "value": 1}, 403, NOT_FOR_WORKERS),
        (ours, "POST", "block_documents/", {}, 403, NOT_FOR_WORKERS),
        (ours, "PATCH", f"deployments/{it.run['deployment_id']}", {"entrypoint": "x"}, 403, NOT_FOR_WORKERS),
        (ours, "PATCH", "work_pools/signoff", {"base_job_template": {}}, 403, NOT_FOR_WORKERS),
        (ours, "POST", f"{run}/resume", {"run_input": APPROVE}, 403, NOT_FOR_WORKERS),
        (ours, "POST", f"{run}/set_state", {**takes, "force": True}, 403, NOT_BY_FORCE),
        (ours, "POST", f"{run}/set_state", {"state": NOW, "force": True}, 404, "Flow run not found"),
        (ours, "GET", run, None, 404, "Flow run not found"),
        (ours, "GET", f"{run}/input/approval-schema", None, 404, "Flow run not found"),
        # It finds the run's id among those that are due, and asks without taking the run.
        (ours, "POST", "signoff/admission", asks, 403, NOT_ITS_RUN),
        (ours, "POST", "signoff/outcome", asks, 403, NOT_ITS_RUN),
        (elsewhere, "POST", f"{run}/set_state", takes, 403, NOT_ITS_POOL),
        (elsewhere, "POST", "work_pools/signoff/get_scheduled_flow_runs", {}, 403, NOT_ITS_POOL),
        (elsewhere, "POST", "signoff/admission", asks, 403, NOT_ITS_WORKER),
        (elsewhere, "POST", "signoff/outcome", asks, 403, NOT_ITS_WORKER),
    ]
    for who, method, path, body, status, why in attempts:
        with live.client(who, **{RUN_KEY: "wanted"}) as client:
            answer = client.request(method, f"/api/{path}", json=body)
        assert (answer.status_code, answer.json()["detail"]) == (status, why), (method, path)
        assert RUN_KEY not in answer.headers
    with live.client(ours, **{RUN_KEY: "wanted"}) as client:
        assert client.post(f"{SCHEDULES}{it.row['id']}/approve/").status_code in {403, 404}
        # What waits for its approval is not due, so Prefect lets nobody take it.
        taken = eventually(lambda: answered(client.post(f"/api/{run}/set_state", json=takes)))
        assert (taken.json()["status"] == "ACCEPT", RUN_KEY in taken.headers) == (False, False)
    assert stage.state(it.run)["name"] == "Suspended"
    refused = {(each.actor, each.data["reason"]) for each in live.audit() if each.act == "request.refused"}
    assert {(ours, NOT_FOR_WORKERS), (ours, NOT_BY_FORCE), (elsewhere, NOT_ITS_POOL)} <= refused
    assert {(ours, NOT_ITS_RUN), (elsewhere, NOT_ITS_WORKER)} <= refused
    stage.admin.delete(it.row["url"])


def answered(answer: httpx.Response) -> httpx.Response | None:
    """Return an answer, unless Prefect's database was busy."""
    return None if answer.status_code == 503 else answer.raise_for_status()


def test_a_job_finds_no_key_but_its_runs_and_nothing_with_that(stage: Stage, live: Live) -> None:
    other = stage.request()
    answer = stage.admin.post("/api/extras/jobs/Snoop/run/", json={"data": {"other": other.run["id"]}})
    address = answer.json()["job_result"]["url"]
    done = eventually(lambda: found if (found := stage.admin.get(address).json())["date_done"] else None)
    assert done["status"]["value"] == "SUCCESS", done["traceback"]
    assert done["result"]["keys"] == {"environment": [], "settings": [], "memory": []}
    assert done["result"]["asked"] == {
        "GET flow_runs/other": [404, "Flow run not found"],
        "POST flow_runs/other/set_state": [404, "Flow run not found"],
        "POST flow_runs/filter": [403, NOT_FOR_RUNS],
        "POST deployments/filter": [403, NOT_FOR_RUNS],
        "GET extras/approval-queue/": [403, NOT_FOR_RUNS],
        "POST signoff/admission": [403, NOT_ITS_RUN],
    }
    assert stage.state(other.run)["type"] == "PAUSED"
    [admitted] = [
        each for each in live.audit() if each.act == "run.admitted" and str(each.flow_run_id) == done["flow_run_id"]
    ]
    assert admitted.data["asked_by"] == WORKER, "whose account is as narrow as any worker's"
    stage.admin.delete(other.row["url"])


def test_a_denied_run_cannot_be_retried(stage: Stage) -> None:
    it = stage.request()
    assert stage.admin.post(f"{it.row['url']}deny/").status_code == 200
    eventually(lambda: stage.state(it.run)["type"] == "CANCELLED")
    stage.set_state(it.run, {"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True)
    eventually(lambda: stage.state(it.run)["type"] == "FAILED")
    assert not it.file.exists()


# Asking Prefect for a run is a request like any other


def sign_in(live: Live, who: str) -> str:
    return base64.b64encode(f"{who}:{live.key(who)}".encode()).decode()


def test_a_quick_run_is_a_request_by_the_rules(stage: Stage, live: Live, people: People) -> None:
    deployment = stage.admin.get("/api/deployments/name/Change/default").json()["id"]
    path = f"/api/deployments/{deployment}/create_flow_run"
    may, may_not = people.add(("extras.job", "run", None)), people.add(("extras.job", "view", None))
    with live.client(None, Authorization=f"Basic {sign_in(live, may_not)}") as client:
        answer = client.post(path, json={"state": NOW})
        assert (answer.status_code, answer.json()["detail"]) == (403, "This user does not have permission to run jobs.")
    with live.client(None) as client:
        assert client.post(path, json={}).status_code == 401
    file = stage.folder / unique("quick")
    with live.client(None, Authorization=f"Basic {sign_in(live, may)}") as client:
        bad = client.post(path, json={"parameters": {"bogus": 1}})
        assert (bad.status_code, bad.json()["detail"]) == (400, "bogus: Job data contained an unknown property")
        evil = {"job_variables": {"command": f"touch {file}"}, "enforce_parameter_schema": False}
        made = client.post(path, json={"parameters": {"file": str(file)}, "state": {"type": "RUNNING"}, **evil})
        assert made.status_code == 201, made.text
    run = made.json()
    assert (run["state"]["name"], run["job_variables"]) == ("Suspended", {})
    assert run["name"].endswith("(waiting for approval)")
    assert not file.exists()


def test_prefects_command_line_asks_for_approval_too(stage: Stage, live: Live, people: People) -> None:
    seen = ("extras.job", "extras.scheduledjob", "extras.jobresult")
    who = people.add(("extras.job", "run", None), *((kind, "view", None) for kind in seen))
    env = environment(PREFECT_API_URL=f"{live.origin}/api", PREFECT_API_AUTH_STRING=f"{who}:{live.key(who)}")
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "deployment", "run", "Change/default"],
        env={**env, "PREFECT_HOME": str(stage.folder / "cli"), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "waiting for approval" in done.stdout


def test_a_quick_run_that_needs_no_approval_runs_as_the_login(stage: Stage, live: Live, people: People) -> None:
    deployment = stage.admin.get("/api/deployments/name/Greet/default").json()["id"]
    who = people.add(("extras.job", "run", None))
    file = stage.folder / unique("greet")
    with live.client(None, Authorization=f"Basic {sign_in(live, who)}") as client:
        path = f"/api/deployments/{deployment}/create_flow_run"
        run = client.post(path, json={"parameters": {"file": str(file)}, "work_queue_name": "bulk"}).json()
        asked = client.post(path, json={"state": {**NOW, "state_details": {"scheduled_time": FAR}}}).json()
        later = eventually(
            lambda: (it := stage.prefect("GET", f"flow_runs/{asked['id']}").json())["next_scheduled_start_time"] and it
        )
    eventually(lambda: file.exists())
    (result,) = stage.admin.get(RESULTS, params={"flow_run_id": run["id"]}).json()["results"]
    assert file.read_text() == f"{who} {result['id']}\n"
    assert run["work_queue_name"] == "bulk"
    assert (later["state"]["type"], later["next_scheduled_start_time"][:10]) == ("SCHEDULED", "2030-01-01")


# Agents

EVERYTHING = (
    *((f"extras.{kind}", action) for kind in ("job", "scheduledjob", "jobresult", "jobbutton") for action in ACTIONS),
    *((kind, action) for kind in ("users.user", "users.token", "users.objectpermission") for action in ACTIONS),
    ("prefect", "view"),
    ("prefect", "write"),
)


APPROVES = (("extras.job", "approve", None), *(("extras.scheduledjob", each, None) for each in ("view", "change")))


@contextmanager
def as_agent(live: Live, people: People, stage: Stage) -> Iterator[Stage]:
    """The same doors before an agent that was given everything there is."""
    agent = people.add(*((kind, action, None) for kind, action in EVERYTHING), acts_for="admin")
    with live.client(agent) as client:
        yield Stage(live, client, client, stage.folder)


@pytest.fixture(scope="module")
def held(live: Live, people: People, stage: Stage) -> Iterator[dict[str, tuple[Stage, Try]]]:
    """Agents, and at what each tries every door: somebody's request that waits, and its own.

    They are two, because one may not write so often in a minute.
    """
    with as_agent(live, people, stage) as one, as_agent(live, people, stage) as other:
        own = other.request(interval="immediately")
        yield {"somebody's": (one, stage.request()), "its own": (other, own)}


Way = Callable[[Stage, Try], Any]


def by_state(**state: str) -> Way:
    return lambda stage, it: stage.set_state(it.run, state, force=True)


def by_prefect(method: str, path: str, body: Any = None) -> Way:
    """Return a call to Prefect; the path may name the run and its deployment."""
    return lambda stage, it: stage.prefect(method, path.format_map(it.run), body)


def by_api(method: str, path: str, body: Any = None) -> Way:
    """Return a call to our API; the path may name the request."""
    return lambda stage, it: stage.admin.request(
        method, f"/api/{path}".format_map(it.row), json=body
    ).raise_for_status()


def by_a_runs_call(what: str) -> Way:
    def asks(stage: Stage, it: Try) -> None:
        asked = {"flow_run_id": it.run["id"], "attempt": it.run["id"], "status": "SUCCESS"}
        stage.admin.post(f"/api/signoff/{what}", json=asked, headers={RUN_KEY: "wanted"}).raise_for_status()

    return asks


def make_a_run(stage: Stage, it: Try) -> None:
    made = {"flow_id": it.run["flow_id"], "deployment_id": it.run["deployment_id"], "parameters": it.run["parameters"]}
    stage.prefect("POST", "flow_runs/", {**made, "state": NOW})


TO_AGENTS: dict[str, Way] = {
    **ASK_AGAIN,
    "RUNNING": by_state(type="RUNNING"),
    "a claim, as of a worker": by_state(type="PENDING"),
    "the end of its run": by_state(type="COMPLETED"),
    "an automation": lambda stage, _it: by_automation(stage),
    "its schedule": by_prefect("PATCH", "deployments/{deployment_id}", {"paused": False}),
    "firings": by_prefect("POST", "deployments/{deployment_id}/schedule", {}),
    "its deployment, deleted": by_prefect("DELETE", "deployments/{deployment_id}"),
    "its run, deleted": by_prefect("DELETE", "flow_runs/{id}"),
    "its description": by_prefect("DELETE", "flow_runs/{id}/input/approval-description"),
    "a run of its own making": make_a_run,
    "runs in bulk": by_prefect("POST", "deployments/{deployment_id}/create_flow_run/bulk", [{"state": NOW}]),
    "what is due": by_prefect("POST", "work_pools/signoff/get_scheduled_flow_runs", {}),
    "a work pool": by_prefect("PATCH", "work_pools/signoff", {"base_job_template": {}}),
    "a variable": by_prefect("POST", "variables/", {"name": "x", "value": 1}),
    "a block": by_prefect("POST", "block_documents/", {}),
    "admission of a run": by_a_runs_call("admission"),
    "outcome of a run": by_a_runs_call("outcome"),
    "approve": by_api("POST", "extras/scheduled-jobs/{id}/approve/"),
    "approve by force": by_api("POST", "extras/scheduled-jobs/{id}/approve/?force=true"),
    "deny": by_api("POST", "extras/scheduled-jobs/{id}/deny/", {"comment": "no"}),
    "assume": by_api("POST", "extras/scheduled-jobs/{id}/assume-ownership/"),
    "transfer": by_api("POST", "extras/scheduled-jobs/{id}/transfer/", {"user": "admin"}),
    "edit": by_api("PATCH", "extras/scheduled-jobs/{id}/", {"data": {"breaks": True}}),
    "try it": by_api("POST", "extras/scheduled-jobs/{id}/dry-run/"),
    "switch approval off": by_api("PATCH", "extras/jobs/Change/", {"approval_required": False}),
    "a user": by_api("POST", "users/users/", {"username": "nobody.yet"}),
    "a token": by_api("POST", "users/tokens/", {}),
    "a permission": by_api("POST", "users/permissions/", {"name": "more", "object_types": [], "actions": []}),
    "a button": by_api("POST", "extras/job-buttons/", {"name": "x"}),
    "a hook": by_api("POST", "extras/job-hooks/", {"name": "x"}),
    "an automation's account": by_api("POST", "extras/automation-accounts/", {}),
}
"""The doors above, and those of the API; an agent is to be refused at each."""


@pytest.mark.parametrize("whose", ["somebody's", "its own"])
@pytest.mark.parametrize("way", TO_AGENTS)
def test_an_agent_that_was_given_everything_is_refused_at_every_door(
    held: dict[str, tuple[Stage, Try]], way: str, whose: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        TO_AGENTS[way](*held[whose])
    assert refused.value.response.status_code in {403, 404}, refused.value.response.text


def test_an_agent_answers_no_form_of_prefects(held: dict[str, tuple[Stage, Try]]) -> None:
    for agent, it in held.values():
        answer = agent.prefect("POST", f"flow_runs/{it.run['id']}/resume", {"run_input": APPROVE}).json()
        assert (answer["status"], answer["state"]["name"]) == ("REJECT", "Suspended")


def test_a_quick_run_of_an_agent_waits_although_its_job_asks_nobody(
    stage: Stage, held: dict[str, tuple[Stage, Try]]
) -> None:
    agent, _it = held["its own"]
    deployment = stage.admin.get("/api/deployments/name/Greet/default").json()["id"]
    file = stage.folder / unique("agent")
    asked = {"parameters": {"file": str(file)}, "state": {"type": "RUNNING"}}
    made = agent.prefect("POST", f"deployments/{deployment}/create_flow_run", asked).json()
    assert made["state"]["name"] == "Suspended"
    assert not file.exists()


def test_after_all_that_of_agents_everything_waits_as_it_did_and_an_approval_lets_it_run_once(
    stage: Stage, held: dict[str, tuple[Stage, Try]], live: Live, people: People
) -> None:
    for _agent, it in held.values():
        run = stage.admin.get(f"/api/flow_runs/{it.run['id']}").json()
        assert (run["state"]["name"], run["parameters"]) == ("Suspended", it.row["kwargs"])
        assert {*run["tags"]} == {"signoff", "awaiting-approval"}
        assert "Running" not in _history(stage, it)
        now = stage.admin.get(it.row["url"]).json()
        assert (now["approval_state"], now["user"], now["kwargs"]) == ("pending", it.row["user"], it.row["kwargs"])
        assert not it.file.exists()
    (_, others), (_, own) = held.values()
    stage.admin.delete(others.row["url"])
    # The agent asks for admin, who counts as its requester.
    assert stage.admin.post(f"{own.row['url']}approve/").status_code == 403
    with live.client(people.add(*APPROVES)) as boss:
        assert boss.post(f"{own.row['url']}approve/").status_code == 200
    eventually(lambda: stage.state(own.run)["type"] == "COMPLETED")
    assert len(own.file.read_text().splitlines()) == 1


# Switching approval off is a decision of its own


def test_approval_that_is_switched_off_and_on_again_shows_as_exactly_that(
    stage: Stage, live: Live, people: People
) -> None:
    editor = people.add(*(("extras.job", action, None) for action in ("view", "change", "run")))
    boss = people.add(*(("extras.job", action, None) for action in ("view", "change", "approve")))
    path = "/api/extras/jobs/Guarded/"
    with live.client(editor) as client:
        refused = client.patch(path, json={"approval_required": False})
        assert (refused.status_code, refused.json()["detail"]) == (403, MAY_NOT_SWITCH)
    with live.client(boss) as client:
        job = client.patch(path, json={"approval_required": False}).json()
        try:
            with live.client(editor) as runs:
                made = runs.post(f"{path}run/", json={"data": {"dryrun": False}}).json()["job_result"]
            eventually(lambda: stage.admin.get(made["url"]).json()["status"]["value"] == "SUCCESS")
        finally:
            on = client.patch(path, json={"approval_required_override": False}).json()
    assert (job["approval_off"]["by"], on["approval_off"]) == (boss, None)
    assert stage.admin.get(made["url"]).json()["meta"]["approval_off"]["by"] == boss
    with closing(Store(live.database_url)) as store, store.transaction(write=False) as tx:
        events = tx.newest_events(50, job_id=UUID(job["id"]))[::-1]
    # That refusal may be counted together with those of other tests: only so many are told apart in a minute.
    told = [(str(event.act), event.actor) for event in events if event.actor in {editor, boss}]
    assert [each for each in told if each != ("request.refused", editor)] == [
        ("job.approval-off", boss),
        ("job.changed", boss),
        ("run.admitted", editor),
        ("job.approval-on", boss),
        ("job.changed", boss),
    ]
    off = next(event for event in events if event.act == "job.approval-off")
    assert off.data["changes"] == {"approval_required": {"old": True, "new": False}}
    query = {"filter": {"event": {"name": ["signoff.job.approval-off"]}, "occurred": {"since": off.at.isoformat()}}}
    (news,) = eventually(lambda: stage.prefect("POST", "events/filter", query).json()["events"])
    assert news["resource"]["prefect.resource.id"] == f"signoff.job.{job['id']}"
    assert {boss, "admin"} <= {*news["payload"]["approvers"]}
    assert editor not in news["payload"]["approvers"]


# The audit: rewritten in a copy of the server's home, for other tests go on with the server's own


def copy_audit(live: Live, folder: Path) -> None:
    """Have the store of the server as it is now, with the audit's key, in a folder too."""
    here, there = (sqlite3.connect(home / "signoff.db") for home in (live.home, folder))
    with closing(here), closing(there):
        here.backup(there)
    for name in ("audit.key", "audit.head"):
        shutil.copy(live.home / name, folder)


def told_head(stage: Stage) -> Shape | None:
    """Return the last head that Prefect has been told."""
    asked = {"filter": {"event": {"name": ["signoff.audit.head"]}}}
    events = stage.prefect("POST", "events/filter", asked).json()["events"]
    return max((event["payload"] for event in events), key=lambda head: head["number"], default=None)


def test_an_audit_that_is_rewritten_with_its_key_is_found_by_a_head_that_prefect_was_told(
    stage: Stage, tmp_path: Path
) -> None:
    head = eventually(lambda: told_head(stage))
    copy_audit(stage.live, tmp_path)
    with closing(store_of(tmp_path)) as store:
        AuditTrail(store).verify(known=head["hash"])
    rewrite_audit(tmp_path, "mallory")
    with closing(store_of(tmp_path)) as store:
        with store.transaction() as tx:
            assert store.seal is not None
            store.seal.keep(tx.sign_audit())
        AuditTrail(store).verify()
        with pytest.raises(Conflict, match="has been rewritten or set back since"):
            AuditTrail(store).verify(known=head["hash"])


# A Job that looks for what would make it the server


def test_a_job_finds_nothing_of_the_servers(
    request: pytest.FixtureRequest, open_folder: Path, free_port: Callable[[], int]
) -> None:
    # As another user where that is possible, who finds even less than the server's own.
    other = {"SIGNOFF_JOBS_USER": request.getfixturevalue("as_nobody").name} if os.geteuid() == 0 else {}
    # Where everybody can reach it, so that it is closed by itself or not at all.
    home, key = open_folder / "sought", open_folder / "sought.key"
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32))
    database = f"sqlite:///{home}/signoff.db"
    server = start(
        home,
        free_port(),
        SIGNOFF_JOBS="jobs_that_seek",
        SIGNOFF_DATABASE_URL=database,
        SIGNOFF_AUDIT_KEY_FILE=str(key),
        DATABASE=database,
        PGPASSWORD="hunter2",
        **other,
    )
    try:
        with server.client() as admin:
            data = {"server": server.process.pid, "home": str(home), "key": str(key)}
            beside = admin.post("/api/extras/jobs/Linger/run/", json={"data": {}}).json()["job_result"]
            eventually(lambda: admin.get(beside["url"]).json()["status"]["value"] == "STARTED")
            made = admin.post("/api/extras/jobs/Seek/run/", json={"data": data}).json()["job_result"]
            result = eventually(lambda: (found := admin.get(made["url"]).json())["date_done"] and found)
    finally:
        server.stop()
    found = result["result"]
    assert found is not None, result["traceback"]
    said, log = json.dumps([found["environment"], found["commands"]]), server.log.read_text()
    assert not [secret for secret in (str(home), str(key), "hunter2", "sqlite") if secret in said]
    assert not {f"SIGNOFF_{name.upper()}" for name in Settings.model_fields} & found["environment"].keys()
    assert ("can do what it can: set SIGNOFF_JOBS_USER" in log) is not bool(other)
    if other:
        assert (found["user"], found["used"]) == (pwd.getpwnam("nobody").pw_uid, [])
        # The superuser of a system, as whom the tests may run, finds everything.
        assert len(found["others"]) >= 3, "the worker, its fork server and the other run"
        assert found["keys"] == 0
    # Prefect copies the files of its UI, which everybody may have, with their modes.
    kept = [path for path in (home, *home.rglob("*")) if home / "prefect" / "ui" not in (path, *path.parents)]
    assert [path for path in kept if path.lstat().st_mode & 0o077] == []
