"""What a run asks of the one origin as its user: as the client sends it, and as Prefect's ``run_deployment`` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.model import JobResult, ScheduledJob, Status
from api_shim.parsing.run_request import BAD_TAGS
from api_shim.services.request_keys import UNREADABLE
from approval_gate.policy import NOT_LET_GO, RUN_OVER
from tests.acceptance.people import RESULTS, SCHEDULES, People, unique
from tests.api_shim.in_process import InProcess, now
from tests.api_shim.web.rest.test_access import detail, run_of

Shape = Mapping[str, Any]
CONTROL = "The name may not have control characters, or others that cannot be printed."


@dataclass
class Stage:
    """A run that is under way, of somebody who may run Jobs and view them.

    Args:
        run: speaks as that run.
        user: speaks as its user.
        result: its job result.
    """

    server: InProcess
    run: httpx.Client
    user: httpx.Client
    result: JobResult

    def deployment(self, job: str) -> str:
        """Return the id of a Job's deployment."""
        engine = self.server.application.engine
        [found] = [key for key, spec in engine.made.items() if spec.flow == job and spec.schedule is None]
        return str(found)

    def create(self, job: str, **body: Any) -> httpx.Response:
        return self.run.post(f"/api/deployments/{self.deployment(job)}/create_flow_run", json=body)

    def change(self, **to: Any) -> None:
        with self.server.application.store.transaction() as tx:
            tx.change(self.result, **to)


@pytest.fixture
def stage(server: InProcess, people: People) -> Iterator[Stage]:
    may = (("extras.job", "run", None), ("extras.job", "view", None), ("extras.scheduledjob", "view", None))
    name = people.add(*may)
    key = run_of(server, people, name)
    # By now Prefect has followed.
    server.portal.call(server.application.queue.drain)
    with server.application.store.transaction(write=False) as tx:
        [result] = tx.all(JobResult, user_id=UUID(people.id_of(name)))
    with server.client(None, Authorization=f"Token {key}") as run, server.client(name) as user:
        yield Stage(server, run, user, result)


def deciding(stage: Stage, people: People, decision: str, made: Shape) -> httpx.Response:
    """Let somebody who had no hand in it decide about a request."""
    may = [("extras.scheduledjob", action, None) for action in ("change", "delete")]
    with stage.server.client(people.add(*may, ("extras.job", "approve", None))) as client:
        return client.post(f"{SCHEDULES}{made['id']}/{decision}/")


def test_a_request_tells_which_run_it_came_from(stage: Stage, admin: httpx.Client) -> None:
    started = stage.run.post("/api/extras/jobs/Greet/run/", json={}).json()["job_result"]
    held = stage.run.post("/api/extras/jobs/Guarded/run/", json={}).json()["scheduled_job"]
    address = f"{stage.server.origin}{RESULTS}{stage.result.id}/"
    came_from = {"id": str(stage.result.id), "object_type": "extras.jobresult", "url": address}
    assert (started["requested_from"], held["requested_from"]) == (came_from, came_from)
    assert started["user"]["id"] == held["user"]["id"] == str(stage.result.user_id)
    for listed, made in ((RESULTS, started), (SCHEDULES, held)):
        rows = admin.get(listed, params={"requested_from": str(stage.result.id)}).json()["results"]
        assert [row["id"] for row in rows] == [made["id"]]


def test_a_run_requests_nothing_before_it_was_let_go_nor_after_its_end(stage: Stage) -> None:
    # Just now: after a minute nothing is known of its key any more.
    over = {"attempt": uuid4(), "status": Status.SUCCESS, "date_done": now()}
    for to, why in (({"attempt": None, "status": Status.PENDING}, NOT_LET_GO), (over, RUN_OVER)):
        stage.change(**to)
        for answer in (stage.run.post("/api/extras/jobs/Greet/run/", json={}), stage.create("Greet")):
            assert detail(answer) == (403, why)
        assert stage.run.get(f"/api/deployments/{stage.deployment('Greet')}").status_code == 404


def test_run_deployment_has_one_run_for_a_key_with_its_name_and_tags(stage: Stage, admin: httpx.Client) -> None:
    asked = {
        "name": "nightly",
        "tags": ["a", "signoff", "b", "approved", "a"],
        "idempotency_key": unique("key"),
        "parameters": {"who": "Ada"},
    }
    first, again = (stage.create("Greet", **asked, state=at) for at in (None, {"type": "SCHEDULED"}))
    assert (first.status_code, first.json()["name"]) == (201, "nightly")
    assert again.json()["id"] == first.json()["id"]
    assert stage.run.get(f"/api/flow_runs/{first.json()['id']}").status_code == 200
    [made] = admin.get(RESULTS, params={"requested_from": str(stage.result.id)}).json()["results"]
    assert (made["flow_run_id"], made["name"], made["task_kwargs"]["who"]) == (first.json()["id"], "Greet", "Ada")
    with stage.server.application.store.transaction(write=False) as tx:
        assert [each.run_tags for each in tx.all(JobResult, id=UUID(made["id"]))] == [("a", "b")]
    other = stage.create("Greet", **{**asked, "parameters": {"who": "Eve"}})
    assert detail(other) == (409, "This Idempotency-Key was used for another request; use a new one.")


def test_run_deployment_waits_for_a_decision(stage: Stage, people: People) -> None:
    name = unique("held")
    runs = [stage.create("Guarded", name=name, parent_task_run_id=str(uuid4())).json() for _ in range(2)]
    with stage.server.application.store.transaction(write=False) as tx:
        rows = [tx.all(ScheduledJob, flow_run_id=UUID(run["id"]))[0] for run in runs]
    assert [row.called for row in rows] == [name, name]
    assert (rows[0].name, rows[1].name.startswith("Guarded - ")) == (name, True)
    assert {run["state"]["type"] for run in runs} == {"PAUSED"}
    assert deciding(stage, people, "approve", {"id": rows[0].id}).status_code == 200
    assert deciding(stage, people, "deny", {"id": rows[1].id}).status_code == 200
    seen = [stage.run.get(f"/api/flow_runs/{run['id']}") for run in runs]
    assert [answer.status_code for answer in seen] == [200, 200]


def test_a_run_learns_of_no_deployment_that_its_user_may_not_run(stage: Stage, people: People) -> None:
    key = run_of(stage.server, people, people.add(("extras.job", "run", {"name": "Change"})))
    with stage.server.client(None, Authorization=f"Token {key}") as run:
        hidden, missing = (
            run.post(f"/api/deployments/{each}/create_flow_run", json={})
            for each in (stage.deployment("Greet"), uuid4())
        )
    assert (hidden.status_code, missing.status_code) == (404, 404)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param({"name": 5}, "name: Not a valid string.", id="a number as name"),
        pytest.param({"name": "a\nb"}, f"name: {CONTROL}", id="a name of two lines"),
        pytest.param({"tags": "a"}, f"tags: {BAD_TAGS}", id="a text for the tags"),
        pytest.param({"tags": ["a", 5]}, f"tags: {BAD_TAGS}", id="a number as tag"),
        pytest.param({"tags": ["x" * 101]}, f"tags: {BAD_TAGS}", id="a long tag"),
        pytest.param({"idempotency_key": "ö"}, f"Idempotency-Key: {UNREADABLE}", id="a key that no header could have"),
    ],
)
def test_what_a_run_cannot_be_called_is_refused(stage: Stage, body: dict[str, Any], told: str) -> None:
    assert detail(stage.create("Greet", **body)) == (400, told)
