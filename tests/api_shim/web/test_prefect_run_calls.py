"""The table of what a run may do in Prefect with its own credential; and what of its events goes there."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shim.domain.audit import EventType
from api_shim.domain.model import JobResult, Status
from api_shim.services.prefect_views import PrefectViews
from api_shim.services.run_actors import RunActors
from api_shim.services.run_credentials import NOT_FOR_RUNS, RunCaller
from api_shim.store import Store
from api_shim.web.prefect_run_calls import RunCalls
from api_shim.web.prefect_views import PrefectReader, Verdicts
from approval_gate.model import Actor
from tests.api_shim.origin import INTERNAL, Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result

OWN, WITHIN, DEEPER, OTHER, OTHERS_WITHIN = (str(UUID(int=number)) for number in range(1, 6))
OWN_TASK, WITHIN_TASK, OTHER_TASK, OWN_ARTIFACT, OTHER_ARTIFACT = (str(UUID(int=number)) for number in range(11, 16))
DEPLOYMENT, QUEUE = str(uuid4()), str(uuid4())
MINE, THEIRS = str(uuid4()), str(uuid4())
BY_NAME = {f"deployments/name/{whose}/default": {"id": each} for whose, each in (("Mine", MINE), ("Theirs", THEIRS))}
"""The deployments of a Job that the run's user may view, and of one that they may not."""
SERVED = {"deployment_id": DEPLOYMENT, "work_queue_id": QUEUE, "work_pool_name": "signoff"}
STANDS: dict[str, dict[str, Any]] = {
    f"flow_runs/{OWN}": {"parent_task_run_id": None, **SERVED},
    f"flow_runs/{WITHIN}": {"parent_task_run_id": OWN_TASK},
    f"flow_runs/{DEEPER}": {"parent_task_run_id": WITHIN_TASK},
    f"flow_runs/{OTHER}": {"parent_task_run_id": None},
    f"flow_runs/{OTHERS_WITHIN}": {"parent_task_run_id": OTHER_TASK},
    f"task_runs/{OWN_TASK}": {"flow_run_id": OWN},
    f"task_runs/{WITHIN_TASK}": {"flow_run_id": WITHIN},
    f"task_runs/{OTHER_TASK}": {"flow_run_id": OTHER},
    f"artifacts/{OWN_ARTIFACT}": {"flow_run_id": WITHIN},
    f"artifacts/{OTHER_ARTIFACT}": {"flow_run_id": OTHER},
}
"""What there is in Prefect."""


class Prefect(Origin):
    """An origin whose Prefect has these things, and a run that a worker has taken."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        worker = self.user("worker", superuser=False)
        self.identity.make_worker("worker", "signoff", NOW)
        self.worker = Actor(id=worker.id, username="worker")
        self.keys["run"] = asyncio.run(self.runs.taken(self.worker, UUID(OWN), keyed=True))
        self.bodies: list[Any] = []

    async def _prefect(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/api/").rstrip("/")
        if scope["method"] == "GET" and (b"host", b"prefect") in scope["headers"]:
            # This server itself has asked.
            found = STANDS.get(path)
            await JSONResponse(found or {}, 404 if found is None else 200)(scope, receive, send)
            return
        self.passed.append(scope)
        body = await Request(scope, receive).body()
        self.bodies.append(json.loads(body) if body else None)
        await JSONResponse(BY_NAME.get(path, {"prefect": True}))(scope, receive, send)

    def acts(self, **to: Any) -> JobResult:
        """Let the run be under way, of a user who may view one Job and nothing else; it has requested another run."""
        user = self.user("alice", superuser=False)
        only = {"name": "Mine"}
        self.identity.add_permission("x", NOW, types=["extras.job"], actions=["view"], users=["alice"], constraint=only)
        mine = self.job(name="Mine", deployment_id=UUID(MINE))
        self.job(name="Theirs", deployment_id=UUID(THEIRS))
        going = {"flow_run_id": UUID(OWN), "status": Status.STARTED, "attempt": uuid4(), "date_started": NOW}
        self.add(result := make_result(mine, user, **{**going, **to}))
        self.add(make_result(mine, user, flow_run_id=UUID(OTHER), requested_from=result.id))
        return result

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        self.passed.clear()
        self.bodies.clear()
        return self.ask(method, f"/api/{path}", "run", json=body)


@pytest.fixture
def prefect(sqlite_store: Store, clock: Clock) -> Prefect:
    return Prefect(sqlite_store, clock)


def run_calls(origin: Prefect, prefect: ASGIApp | None = None) -> RunCalls:
    app = prefect or origin._prefect
    reader = PrefectReader(app, PrefectViews(origin.store), INTERNAL)
    return RunCalls(app, INTERNAL, origin.refusals, RunActors(origin.store, origin.rates), reader, origin.suspensions)


PENDING = {"type": "PENDING"}
SUBFLOW = {"flow_id": str(uuid4()), "parameters": {"a": 1}, "parent_task_run_id": OWN_TASK, "state": PENDING}


@pytest.mark.parametrize(
    ("run_id", "asked", "answered", "recorded"),
    [
        pytest.param(OWN, "PAUSED", {"state": {"type": "PAUSED"}}, True, id="it is suspended"),
        pytest.param(OWN, "PAUSED", {"state": {"type": "RUNNING"}}, False, id="it goes on, for it was resumed"),
        pytest.param(OWN, "COMPLETED", {"state": {"type": "COMPLETED"}}, False, id="it ends"),
        pytest.param(WITHIN, "PAUSED", {"state": {"type": "PAUSED"}}, False, id="a run within it waits"),
    ],
)
def test_that_a_run_suspends_itself_is_recorded(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch, run_id: str, asked: str, answered: Any, recorded: bool
) -> None:
    prefect.acts()
    monkeypatch.setitem(BY_NAME, f"flow_runs/{run_id}/set_state", answered)
    answer = prefect.call("POST", f"flow_runs/{run_id}/set_state", {"state": {"type": asked}})
    assert (answer.status_code, answer.json(), prefect.bodies) == (200, answered, [{"state": {"type": asked}}])
    with prefect.store.transaction(write=False) as tx:
        assert [result.suspended for result in tx.all(JobResult, flow_run_id=UUID(OWN))] == [recorded]


ALLOWED: list[tuple[str, str, Any]] = [
    ("GET", f"flow_runs/{OWN}", None),
    ("GET", f"flow_runs/{WITHIN}", None),
    ("GET", f"flow_runs/{DEEPER}/", None),
    ("POST", f"flow_runs/{OWN}/set_state", {"state": {"type": "COMPLETED"}}),
    ("POST", f"flow_runs/{WITHIN}/set_state", {"state": {"type": "RUNNING"}}),
    ("PATCH", f"flow_runs/{OWN}", {"name": "x", "tags": ["y"], "flow_version": "1", "empirical_policy": {}}),
    ("PATCH", f"flow_runs/{OWN}/labels", {"a": "b"}),
    ("POST", f"flow_runs/{OWN}/input", {"key": "x"}),
    ("GET", f"flow_runs/{OWN}/input/x", None),
    ("POST", "flow_runs/", SUBFLOW),
    ("POST", "flow_runs/", {**SUBFLOW, "work_pool_name": None}),
    ("POST", "flows/", {"name": "x"}),
    ("GET", f"flows/{uuid4()}", None),
    ("GET", f"deployments/{DEPLOYMENT}", None),
    ("GET", f"work_queues/{QUEUE}", None),
    ("GET", "work_pools/signoff", None),
    ("POST", "logs/", [{"flow_run_id": OWN, "message": "x"}, {"flow_run_id": WITHIN, "message": "y"}]),
    ("POST", "task_runs/", {"flow_run_id": OWN}),
    ("GET", f"task_runs/{OWN_TASK}", None),
    ("POST", f"task_runs/{WITHIN_TASK}/set_state", {}),
    ("POST", "artifacts/", {"flow_run_id": OWN, "data": "x"}),
    ("PATCH", f"artifacts/{OWN_ARTIFACT}", {"data": 2}),
    ("GET", "variables/name/x", None),
    ("GET", "block_types/slug/secret/block_documents/name/x", None),
    ("POST", "v2/concurrency_limits/increment-with-lease", {"names": ["x"], "slots": 1}),
    ("POST", f"v2/concurrency_limits/leases/{uuid4()}/renew", {}),
]  # fmt: skip

REFUSED: list[tuple[str, str, Any, int]] = [
    # Other runs
    ("GET", f"flow_runs/{OTHER}", None, 404),
    ("GET", f"flow_runs/{OTHERS_WITHIN}", None, 404),
    ("GET", f"flow_runs/{uuid4()}", None, 404),
    ("GET", "flow_runs/filter", None, 404),
    ("POST", f"flow_runs/{OTHER}/set_state", {"state": {"type": "CANCELLED"}}, 404),
    ("PATCH", f"flow_runs/{OTHER}", {"name": "x"}, 404),
    ("GET", f"flow_runs/{OTHER}/input/approval-schema", None, 404),
    ("POST", f"flow_runs/{OTHER}/input/filter", {}, 404),
    ("POST", "logs/", [{"flow_run_id": OWN}, {"flow_run_id": OTHER}], 404),
    ("POST", "logs/", [{"message": "of nobody"}], 404),
    ("POST", "task_runs/", {"flow_run_id": OTHER}, 404),
    ("GET", f"task_runs/{OTHER_TASK}", None, 404),
    ("POST", f"task_runs/{OTHER_TASK}/set_state", {}, 404),
    ("POST", "artifacts/", {"flow_run_id": OTHER}, 404),
    ("PATCH", f"artifacts/{OTHER_ARTIFACT}", {"data": 2}, 404),
    ("GET", f"deployments/{uuid4()}", None, 404),
    ("GET", "work_pools/another", None, 404),
    ("GET", "deployments/name/Mine/default", None, 404),
    ("POST", "flow_runs/", {**SUBFLOW, "parent_task_run_id": OTHER_TASK}, 404),
    ("POST", "flow_runs/", {"flow_id": str(uuid4())}, 404),
    # Ways to have something executed past admission, or to be given another's run
    ("POST", "flow_runs/", {**SUBFLOW, "deployment_id": DEPLOYMENT}, 403),
    ("POST", "flow_runs/", {**SUBFLOW, "work_pool_name": "signoff"}, 403),
    ("POST", "flow_runs/", {**SUBFLOW, "work_queue_name": "default"}, 403),
    ("POST", "flow_runs/", {**SUBFLOW, "job_variables": {"command": "x"}}, 403),
    ("POST", "flow_runs/", {**SUBFLOW, "idempotency_key": "x"}, 403),
    ("PATCH", f"flow_runs/{OWN}", {"job_variables": {"command": "x"}}, 403),
    ("PATCH", f"flow_runs/{OWN}", {"parameters": {"a": 2}}, 403),
    ("PATCH", f"flow_runs/{OWN}", {"infrastructure_pid": "host:1"}, 403),
    ("PATCH", f"flow_runs/{OWN}", {"infrastructure_pid": None}, 403),
    # Decisions, starts, lists, and what is not a run's
    ("POST", f"flow_runs/{OWN}/resume", {}, 403),
    ("PATCH", f"deployments/{DEPLOYMENT}", {}, 403),
    ("DELETE", f"flow_runs/{OWN}", None, 403),
    ("POST", "flow_runs/filter", {}, 403),
    ("POST", "flow_runs/filter", {"flow_runs": {"id": {"any_": []}}}, 403),
    ("POST", "flow_runs/filter", {"flow_runs": {"id": {"not_any_": [OWN]}}}, 403),
    ("POST", "flow_runs/filter", {"flow_runs": {"id": {"any_": [OWN, OTHER]}}}, 404),
    ("POST", "flow_runs/filter", {"flow_runs": {"parent_task_run_id": {"any_": [OTHER_TASK]}}}, 404),
    ("POST", "flow_runs/bulk_set_state", {}, 403),
    ("POST", "logs/filter", {}, 403),
    ("POST", "events", [], 403),
    ("POST", "events/filter", {}, 403),
    ("POST", "work_pools/signoff/get_scheduled_flow_runs", {}, 403),
    ("POST", "variables/", {"name": "x", "value": 1}, 403),
    ("POST", "block_documents/filter", {}, 403),
    ("PATCH", f"block_documents/{uuid4()}", {}, 403),
    ("POST", "automations/", {}, 403),
    ("GET", "admin/settings", None, 403),
    ("GET", "anything/new", None, 403),
]  # fmt: skip


def test_a_run_reaches_what_its_process_needs(prefect: Prefect) -> None:
    for method, path, body in ALLOWED:
        answer = prefect.call(method, path, body)
        assert (answer.status_code, answer.text) == (200, '{"prefect":true}'), (method, path)
        assert prefect.bodies == [body], (method, path)


def test_a_run_reaches_nothing_else(prefect: Prefect) -> None:
    for method, path, body, status in REFUSED:
        answer = prefect.call(method, path, body)
        assert (answer.status_code, prefect.passed) == (status, []), (method, path, body)
        if status == 403:
            assert answer.json() == {"detail": NOT_FOR_RUNS}
    asyncio.run(prefect.refusals.close())
    with prefect.store.transaction(write=False) as tx:
        told = [event for event in tx.events(0, 1000) if event.act is EventType.REQUEST_REFUSED]
    assert {(event.actor, event.flow_run_id) for event in told} == {("worker", UUID(OWN))}


def test_of_a_question_for_subflows_nothing_but_that_goes_on(prefect: Prefect) -> None:
    asked = {"parent_task_run_id": {"any_": [OWN_TASK]}}
    body = {"flow_runs": {**asked, "operator": "or_", "name": {"like_": ""}}, "flows": {}, "limit": 1, "sort": "X"}
    assert prefect.call("POST", "flow_runs/filter", body).status_code == 200
    assert prefect.bodies == [{"flow_runs": asked, "limit": 1, "sort": "X"}]


def test_it_finds_its_own_runs_by_their_ids(prefect: Prefect) -> None:
    asked = {"id": {"any_": [OWN, WITHIN]}, "state": {"type": {"any_": ["PAUSED"]}}}
    body = {"flow_runs": {**asked, "operator": "or_", "name": {"like_": ""}}, "deployments": {}}
    assert prefect.call("POST", "flow_runs/filter", body).status_code == 200
    assert prefect.bodies == [{"flow_runs": asked}]


AS_USER: list[tuple[str, int]] = [
    ("deployments/name/Mine/default", 200),
    ("deployments/name/Theirs/default", 404),
    ("deployments/name/Nobodys/default", 404),
    (f"deployments/{MINE}", 200),
    (f"deployments/{THEIRS}", 404),
    (f"deployments/{uuid4()}", 404),
    (f"deployments/{DEPLOYMENT}", 200),
    (f"flow_runs/{OTHER}", 200),
    (f"flow_runs/{OTHERS_WITHIN}", 404),
    (f"flow_runs/{OWN}", 200),
]
"""What a run reads as its user; the last of each kind is its own."""


def test_a_run_reads_what_it_has_requested_and_the_deployments_that_its_user_may_view(prefect: Prefect) -> None:
    prefect.acts()
    for path, status in AS_USER:
        assert prefect.call("GET", path).status_code == status, path
    for method, path in (("POST", f"flow_runs/{OTHER}/set_state"), ("PATCH", f"flow_runs/{OTHER}")):
        assert (prefect.call(method, path, {}).status_code, prefect.passed) == (404, []), "it only watches"


@pytest.mark.parametrize("to", [{"attempt": None}, {"status": Status.SUCCESS, "date_done": NOW}])
def test_a_run_that_was_not_let_go_or_is_over_reads_its_own_alone(prefect: Prefect, to: dict[str, Any]) -> None:
    prefect.acts(**to)
    own = (f"flow_runs/{OWN}", f"deployments/{DEPLOYMENT}")
    for path, _ in AS_USER:
        assert prefect.call("GET", path).status_code == (200 if path in own else 404), path


def told(about: str) -> dict[str, Any]:
    return {"type": "event", "event": {"resource": {"prefect.resource.id": about}}}


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        pytest.param({"type": "auth_success"}, True, id="that it has signed in"),
        pytest.param(told(f"prefect.flow-run.{OWN}"), True, id="itself"),
        pytest.param(told(f"prefect.flow-run.{DEEPER}"), True, id="a subflow"),
        pytest.param(told(f"prefect.flow-run.{OTHER}"), False, id="another run"),
        pytest.param(told("my.thing"), False, id="anything else"),
        pytest.param({"type": "log", "log": {"flow_run_id": OWN}}, False, id="a log"),
    ],
)
def test_what_a_run_hears(prefect: Prefect, clock: Clock, said: Any, heard: bool) -> None:
    calls = run_calls(prefect)
    caller = RunCaller(run_id=UUID(OWN), worker=prefect.worker)
    message = {"type": "websocket.send", "text": json.dumps(said)}
    assert asyncio.run(calls.may_hear(caller, "/api/events/out", message, Verdicts(clock))) is heard


def event(about: str, *related: str, name: str = "done", **more: Any) -> dict[str, Any]:
    return {
        **more,
        "event": name,
        "resource": {"prefect.resource.id": about},
        "related": [{"prefect.resource.id": each, "prefect.resource.role": "flow-run"} for each in related],
    }


STATE = {"type": "RUNNING", "name": "Running", "message": "", "state_details": {}, "data": None}
TASK_RUN = {"name": "x", "task_key": "x", "dynamic_key": "0", "tags": [], "run_count": 1}


def recorded(
    task: Any = None,
    runs: Any = (OWN,),
    *,
    about: str = "prefect.task-run.",
    task_run: Any = TASK_RUN,
    state: Any = STATE,
) -> dict[str, Any]:
    """Return an event from which Prefect would record a task run, which is a new one unless it is said."""
    payload = {"task_run": task_run, "validated_state": state}
    made = event(
        f"{about}{task or uuid4()}",
        *(f"prefect.flow-run.{run}" for run in runs),
        name="prefect.task-run.Running",
        id=str(uuid4()),
        occurred="2026-05-04T12:00:00Z",
        payload={name: each for name, each in payload.items() if each is not None},
    )
    made["resource"]["prefect.orchestration"] = "client"
    return made


@pytest.mark.parametrize(
    ("said", "goes"),
    [
        pytest.param(event(f"prefect.flow-run.{OWN}"), True, id="about itself"),
        pytest.param(event(f"prefect.flow-run.{WITHIN}"), True, id="about a subflow"),
        pytest.param(event(f"prefect.task-run.{uuid4()}", f"prefect.flow-run.{OWN}"), True, id="about a task run"),
        pytest.param(event("my.thing"), True, id="about something else"),
        pytest.param(event(f"prefect.flow-run.{OTHER}"), False, id="about another run"),
        pytest.param(event("prefect.flow-run.x"), False, id="about no run"),
        pytest.param(event(f"prefect.task-run.{uuid4()}"), False, id="about a task run of nobody"),
        pytest.param(
            event(f"prefect.task-run.{uuid4()}", f"prefect.flow-run.{OTHER}"), False, id="about another run's task run"
        ),
        pytest.param(event("my.thing", f"prefect.flow-run.{OTHER}"), False, id="related to another run"),
        pytest.param(event("my.thing", x="\0"), False, id="with what PostgreSQL does not store"),
        pytest.param(event(f"prefect.task-run.{OTHER_TASK}", f"prefect.flow-run.{OWN}"), False, id="about another's"),
        pytest.param(recorded(), True, id="of a new task run"),
        pytest.param(recorded(OWN_TASK), True, id="of its own task run"),
        pytest.param(recorded(WITHIN_TASK, [WITHIN]), True, id="of a subflow's task run"),
        pytest.param(recorded(OTHER_TASK), False, id="of another run's task run, as its own"),
        pytest.param(recorded(OTHER_TASK, [OTHER]), False, id="of another run's task run"),
        pytest.param(recorded(runs=[]), False, id="of a task run of no run"),
        pytest.param(recorded(runs=["x"]), False, id="of a task run of what is no run"),
        pytest.param(recorded(runs=[OWN, OTHER]), False, id="of a task run of another run too"),
        pytest.param(recorded(about="my."), False, id="of something else, as a task run's"),
        pytest.param(recorded(OWN, about="prefect.flow-run."), False, id="of itself, as a task run's"),
        pytest.param(recorded("x"), False, id="of no task run"),
        pytest.param(recorded(task_run={**TASK_RUN, "flow_run_id": OTHER}), False, id="whose payload names a run"),
        pytest.param(recorded(task_run={**TASK_RUN, "id": OTHER_TASK}), False, id="whose payload names a task run"),
        pytest.param(recorded(task_run={**TASK_RUN, "state": STATE}), False, id="whose payload has a state more"),
        pytest.param(recorded(task_run={**TASK_RUN, "state_id": OTHER}), False, id="whose payload names a state"),
        pytest.param(recorded(state={**STATE, "id": OTHER}), False, id="whose state has an id"),
        pytest.param(recorded(task_run=None), False, id="whose payload has no task run"),
        pytest.param(recorded(state=None), False, id="whose payload has no state"),
        pytest.param(recorded(task_run=[]), False, id="whose task run is no object"),
        pytest.param(recorded(state="RUNNING"), False, id="whose state is no object"),
        pytest.param(recorded(task_run={}), False, id="whose task run Prefect cannot record"),
        pytest.param(recorded(state={"type": "x"}), False, id="whose state Prefect cannot record"),
        pytest.param(event(f"prefect.deployment.{DEPLOYMENT}"), False, id="about a deployment"),
        pytest.param(event("signoff.scheduled-job.x"), False, id="about a request"),
        pytest.param(
            event(f"prefect.flow-run.{OWN}", name="signoff.approval.approved"), False, id="that somebody approved"
        ),
        pytest.param({"event": "x"}, False, id="about nothing"),
        pytest.param([], False, id="no event"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_which_events_of_a_run_go_to_prefect(prefect: Prefect, said: Any, goes: bool) -> None:
    calls = run_calls(prefect)
    caller = RunCaller(run_id=UUID(OWN), worker=prefect.worker)
    message = {"type": "websocket.receive", "text": json.dumps(said)}
    assert asyncio.run(calls.may_tell(caller, "/api/events/in", message)) is goes


def test_a_task_run_that_prefect_does_not_know_yet_is_of_the_run_that_told_of_it_first(prefect: Prefect) -> None:
    calls = run_calls(prefect)
    new = str(uuid4())
    for run, goes in ((OWN, True), (OTHER, False), (OWN, True)):
        caller = RunCaller(run_id=UUID(run), worker=prefect.worker)
        message = {"type": "websocket.receive", "text": json.dumps(recorded(new, [run]))}
        assert asyncio.run(calls.may_tell(caller, "/api/events/in", message)) is goes


def test_nothing_is_anybodys_while_prefect_does_not_say_whose_it_is(prefect: Prefect) -> None:
    calls = run_calls(prefect, JSONResponse({}, 500))
    caller = RunCaller(run_id=UUID(OWN), worker=prefect.worker)
    message = {"type": "websocket.receive", "text": json.dumps(recorded(OTHER_TASK))}
    assert not asyncio.run(calls.may_tell(caller, "/api/events/in", message))
