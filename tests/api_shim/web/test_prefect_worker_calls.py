"""The table of what the account of a worker may do in Prefect; and what of its events goes there."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from api_shim.domain.accounts import RunCredential
from api_shim.domain.audit import EventType
from api_shim.services.authentication import hash_key
from api_shim.store import Store
from api_shim.web.gateway import Gateway
from api_shim.web.prefect_run_calls import CALLS as OF_RUNS
from api_shim.web.prefect_run_calls import FREE, MOST_ASKED
from api_shim.web.prefect_worker_calls import CALLS, NOT_BY_FORCE, NOT_FOR_WORKERS
from approval_gate.admission import RUN_KEY
from approval_gate.model import Actor
from approval_gate.policy import NOT_ITS_POOL
from tests.api_shim.origin import Origin
from tests.api_shim.web.test_prefect_run_calls import event, recorded
from tests.conftest import Clock
from tests.factories import NOW

POOL, ANOTHER = "signoff", "another pool"
OWN, WITHIN, DUE, OTHER, OTHERS, ELSEWHERE, UNKNOWN = (str(UUID(int=number)) for number in range(1, 8))
"""A run that the worker has taken, one within that, and one that it can take; one of another worker, one within that,
one of another pool, and one that does not exist."""
OWN_TASK, OTHER_TASK, OWN_ARTIFACT, OTHER_ARTIFACT = (str(UUID(int=number)) for number in range(11, 15))
OURS, THEIRS, OTHER_DEPLOYMENT, QUEUE, OTHER_QUEUE, THING = (str(UUID(int=number)) for number in range(21, 27))
STANDS: dict[str, dict[str, Any]] = {
    f"flow_runs/{OWN}": {"parent_task_run_id": None, "flow_id": THING},
    f"flow_runs/{WITHIN}": {"parent_task_run_id": OWN_TASK},
    f"flow_runs/{OTHER}": {"parent_task_run_id": None},
    f"flow_runs/{OTHERS}": {"parent_task_run_id": OTHER_TASK},
    f"task_runs/{OWN_TASK}": {"flow_run_id": OWN},
    f"task_runs/{OTHER_TASK}": {"flow_run_id": OTHER},
    f"artifacts/{OWN_ARTIFACT}": {"flow_run_id": WITHIN},
    f"artifacts/{OTHER_ARTIFACT}": {"flow_run_id": OTHER},
    # What is ours is of our pool, wherever Prefect has it.
    f"deployments/{OURS}": {"work_pool_name": ANOTHER},
    f"deployments/{THEIRS}": {"work_pool_name": POOL},
    f"deployments/{OTHER_DEPLOYMENT}": {"work_pool_name": ANOTHER},
    f"work_queues/{QUEUE}": {"work_pool_name": POOL},
    f"work_queues/{OTHER_QUEUE}": {"work_pool_name": ANOTHER},
}
"""What there is in Prefect."""
PENDING = {"state": {"type": "PENDING"}}
RUNNING = {"state": {"type": "RUNNING"}}


class Prefect(Origin):
    """An origin whose Prefect has these things, and two workers of our pool, each of which has taken one run."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self.actors = {name: self._worker(name) for name in ("worker", "beside")}
        self.job(deployment_id=UUID(OURS))
        self.engine.made[UUID(THEIRS)] = None  # type: ignore[assignment]  # what it is does not matter
        for run, pool in {OWN: POOL, DUE: POOL, OTHER: POOL, ELSEWHERE: ANOTHER, WITHIN: "", OTHERS: ""}.items():
            made = self.engine._new_run(UUID(THEIRS), {}, clock(), by_schedule=True)
            self.engine.all_runs[UUID(run)] = replace(made, id=UUID(run), pool=pool)
        asyncio.run(self.runs.taken(self.actors["worker"], UUID(OWN), keyed=False))
        asyncio.run(self.runs.taken(self.actors["beside"], UUID(OTHER), keyed=True))
        self.bodies: list[Any] = []
        self.answer: Any = {"prefect": True}

    def _worker(self, name: str) -> Actor:
        user = self.user(name, superuser=False)
        self.identity.make_worker(name, POOL, NOW)
        return Actor(id=user.id, username=name, works_for=POOL)

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
        await JSONResponse(self.answer)(scope, receive, send)

    def call(self, method: str, path: str, body: Any = None, who: str = "worker", **headers: str) -> httpx.Response:
        self.passed.clear()
        self.bodies.clear()
        return self.ask(method, f"/api/{path}", who, json=body, headers=headers)

    def kept(self, run: str) -> RunCredential | None:
        with self.store.transaction(write=False) as tx:
            return tx.get(RunCredential, flow_run_id=UUID(run))

    def refused(self) -> list[tuple[str, str]]:
        """Return who was refused what, as the audit tells."""
        asyncio.run(self.refusals.close())
        with self.store.transaction(write=False) as tx:
            events = tx.events(0, 1000)
        return [(event.actor, event.data["reason"]) for event in events if event.act is EventType.REQUEST_REFUSED]


@pytest.fixture
def prefect(sqlite_store: Store, clock: Clock) -> Prefect:
    return Prefect(sqlite_store, clock)


SUBFLOW = {"flow_id": str(uuid4()), "parameters": {"a": 1}, "parent_task_run_id": OWN_TASK}

ALLOWED: list[tuple[str, str, Any]] = [
    # Its pool
    ("GET", f"work_pools/{POOL}", None),
    ("POST", f"work_pools/{POOL}/get_scheduled_flow_runs", {"work_queue_names": ["default"]}),
    ("POST", f"work_pools/{POOL}/queues/filter", {}),
    ("POST", f"work_pools/{POOL}/workers/heartbeat", {"name": "x"}),
    ("POST", f"work_pools/{POOL}/workers/filter", {}),
    ("DELETE", f"work_pools/{POOL}/workers/x", None),
    ("GET", f"deployments/{OURS}", None),
    ("GET", f"deployments/{THEIRS}", None),
    ("GET", f"work_queues/{QUEUE}", None),
    # A run that it takes, and those that it has
    ("POST", f"flow_runs/{DUE}/set_state", PENDING),
    ("POST", f"flow_runs/{DUE}/set_state", {**PENDING, "force": False}),
    ("POST", f"flow_runs/{OWN}/set_state", {"state": {"type": "CRASHED"}, "force": True}),
    ("POST", f"flow_runs/{OWN}/set_state", {**PENDING, "force": True}),
    ("POST", f"flow_runs/{WITHIN}/set_state", PENDING),
    ("GET", f"flow_runs/{OWN}", None),
    ("GET", f"flow_runs/{WITHIN}", None),
    ("PATCH", f"flow_runs/{OWN}", {"infrastructure_pid": "host:1"}),
    ("PATCH", f"flow_runs/{OWN}/labels", {"a": "b"}),
    ("POST", f"flow_runs/{OWN}/input/filter", {}),
    ("POST", "flow_runs/", SUBFLOW),
    ("POST", "logs/", [{"flow_run_id": OWN}, {"flow_run_id": WITHIN}]),
    ("POST", "task_runs/", {"flow_run_id": OWN}),
    ("GET", f"task_runs/{OWN_TASK}", None),
    ("PATCH", f"artifacts/{OWN_ARTIFACT}", {"data": 2}),
    # What every flow and worker may use
    ("GET", "health", None),
    ("GET", "flows/x", None),
    ("GET", "admin/storage", None),
    ("GET", "collections/views/aggregate-worker-metadata", None),
    ("GET", "variables/name/x", None),
    ("GET", "block_types/slug/secret/block_documents/name/x", None),
    ("GET", f"block_documents/{THING}", None),
    ("POST", "v2/concurrency_limits/increment-with-lease", {"names": ["x"], "slots": 1}),
]  # fmt: skip

REFUSED: list[tuple[str, str, Any, int]] = [
    # Another pool
    ("GET", f"work_pools/{ANOTHER}", None, 403),
    ("POST", f"work_pools/{ANOTHER}/get_scheduled_flow_runs", {}, 403),
    ("POST", f"work_pools/{ANOTHER}/workers/heartbeat", {"name": "x"}, 403),
    ("DELETE", f"work_pools/{ANOTHER}/workers/x", None, 403),
    ("GET", f"deployments/{OTHER_DEPLOYMENT}", None, 404),
    ("GET", f"deployments/{UNKNOWN}", None, 404),
    ("GET", f"work_queues/{OTHER_QUEUE}", None, 404),
    ("POST", f"flow_runs/{ELSEWHERE}/set_state", PENDING, 403),
    ("POST", f"flow_runs/{ELSEWHERE}/set_state", RUNNING, 404),
    # Runs that it has not taken
    ("GET", f"flow_runs/{DUE}", None, 404),
    ("GET", f"flow_runs/{OTHER}", None, 404),
    ("GET", f"flow_runs/{OTHERS}", None, 404),
    ("GET", f"flow_runs/{OTHER}/input/approval-schema", None, 404),
    ("POST", f"flow_runs/{OTHER}/input/filter", {}, 404),
    ("POST", f"flow_runs/{OTHER}/input", {"key": "x"}, 404),
    ("PATCH", f"flow_runs/{OTHER}", {"infrastructure_pid": "host:1"}, 404),
    ("PATCH", f"flow_runs/{DUE}/labels", {"a": "b"}, 404),
    ("POST", f"flow_runs/{DUE}/set_state", {"state": {"type": "COMPLETED"}}, 404),
    ("POST", f"flow_runs/{DUE}/set_state", {"state": {"type": "SCHEDULED"}, "force": True}, 404),
    ("POST", f"flow_runs/{OTHERS}/set_state", PENDING, 404),
    ("POST", f"flow_runs/{UNKNOWN}/set_state", PENDING, 404),
    ("POST", "flow_runs/x/set_state", PENDING, 404),
    ("POST", "task_runs/", {"flow_run_id": OTHER}, 404),
    ("GET", f"task_runs/{OTHER_TASK}", None, 404),
    ("PATCH", f"artifacts/{OTHER_ARTIFACT}", {"data": 2}, 404),
    ("POST", "logs/", {"flow_run_id": OTHER}, 404),
    ("POST", "flow_runs/", {**SUBFLOW, "parent_task_run_id": OTHER_TASK}, 404),
    # By force
    ("POST", f"flow_runs/{DUE}/set_state", {**PENDING, "force": True}, 403),
    ("POST", f"flow_runs/{OTHER}/set_state", {**PENDING, "force": "true"}, 403),
    # What decides what executes
    ("PATCH", f"flow_runs/{OWN}", {"job_variables": {"command": "x"}}, 403),
    ("PATCH", f"flow_runs/{OWN}", {"parameters": {"a": 2}}, 403),
    ("POST", "flow_runs/", {**SUBFLOW, "work_pool_name": POOL}, 403),
    ("POST", "deployments/", {"name": "x"}, 403),
    ("PATCH", f"deployments/{OURS}", {"entrypoint": "x"}, 403),
    ("DELETE", f"deployments/{OURS}", None, 403),
    ("POST", f"deployments/{OURS}/create_flow_run", {}, 403),
    ("POST", f"deployments/{OURS}/schedule", {}, 403),
    ("PATCH", f"work_pools/{POOL}", {"base_job_template": {}}, 403),
    ("POST", "work_pools/", {"name": POOL}, 403),
    ("DELETE", f"work_pools/{POOL}", None, 403),
    ("POST", f"work_pools/{POOL}/queues", {"name": "x"}, 403),
    ("PATCH", f"work_queues/{QUEUE}", {"is_paused": True}, 403),
    ("POST", "variables/", {"name": "x", "value": 1}, 403),
    ("PATCH", "variables/name/x", {"value": 1}, 403),
    ("POST", "block_documents/", {}, 403),
    ("PATCH", f"block_documents/{THING}", {}, 403),
    ("POST", "automations/", {}, 403),
    ("DELETE", f"flow_runs/{OWN}", None, 403),
    # Decisions, lists, and what is not a worker's
    ("POST", f"flow_runs/{OWN}/resume", {}, 403),
    ("POST", "flow_runs/bulk_set_state", {}, 403),
    ("POST", "deployments/get_scheduled_flow_runs", {}, 403),
    ("POST", f"work_queues/{QUEUE}/get_runs", {}, 403),
    ("POST", "flow_runs/filter", {}, 403),
    ("POST", "deployments/filter", {}, 403),
    ("POST", "logs/filter", {}, 403),
    ("POST", "variables/filter", {}, 403),
    ("POST", "block_documents/filter", {}, 403),
    ("POST", "events", [], 403),
    ("POST", "events/filter", {}, 403),
    ("POST", "ui/schemas/validate", {}, 403),
    ("GET", "admin/settings", None, 403),
    ("GET", "anything/new", None, 403),
]  # fmt: skip


def test_a_worker_reaches_what_it_needs(prefect: Prefect) -> None:
    for method, path, body in ALLOWED:
        answer = prefect.call(method, path, body)
        assert (answer.status_code, answer.text) == (200, '{"prefect":true}'), (method, path)
        assert prefect.bodies == [body], (method, path)


def test_a_worker_reaches_nothing_else_whatever_other_permissions_it_has(prefect: Prefect) -> None:
    prefect.identity.add_permission("sees", NOW, types=["prefect", "extras.job"], actions=["view"], users=["worker"])
    told = {NOT_FOR_WORKERS, NOT_ITS_POOL, NOT_BY_FORCE}
    for method, path, body, status in REFUSED:
        answer = prefect.call(method, path, body)
        assert (answer.status_code, prefect.passed) == (status, []), (method, path, body)
        if status == 403:
            assert answer.json()["detail"] in told
    who, why = zip(*prefect.refused(), strict=True)
    assert ({*who}, {*why} & told) == ({"worker"}, told)


def test_the_table_has_no_more_than_runs_have_and_what_is_of_the_pool() -> None:
    free = {path for (_, path), call in CALLS.items() if call is FREE} - {path for _, path in OF_RUNS}
    assert free == {"admin/storage", "collections/views/{}"}
    assert {row for row, call in OF_RUNS.items() if CALLS[row] is not call} == {("POST", "flow_runs/{}/set_state")}
    more = {path for _, path in {*CALLS} - {*OF_RUNS}}
    assert all(path.startswith("work_pools/{}/") for path in more - free)


def test_who_takes_a_run_has_it_and_its_key_once_prefect_has_accepted(prefect: Prefect) -> None:
    path = f"flow_runs/{DUE}/set_state"
    prefect.answer = {"status": "REJECT", **PENDING}
    assert RUN_KEY not in prefect.call("POST", path, PENDING, **{RUN_KEY: "wanted"}).headers
    assert prefect.call("GET", f"flow_runs/{DUE}").status_code == 404
    prefect.answer = {"status": "ACCEPT", **PENDING}
    key = prefect.call("POST", path, PENDING, **{RUN_KEY: "wanted"}).headers[RUN_KEY]
    kept = prefect.kept(DUE)
    assert kept is not None
    assert (kept.key_hash, kept.user_id) == (hash_key(key), prefect.actors["worker"].id)
    assert prefect.call("GET", f"flow_runs/{DUE}").status_code == 200
    # Prefect lets another one have it, and so it is no longer the first one's.
    assert RUN_KEY not in prefect.call("POST", path, PENDING, who="beside").headers
    for who, status in (("worker", 404), ("beside", 200)):
        assert prefect.call("POST", path, RUNNING, who).status_code == status
    assert RUN_KEY not in prefect.call("POST", f"flow_runs/{WITHIN}/set_state", PENDING, **{RUN_KEY: "wanted"}).headers
    assert prefect.kept(WITHIN) is None, "it is the worker's with the run that it is within"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param([OWN, DUE, OTHER], [OWN], id="with lines of others"),
        pytest.param([OTHER], [], id="of others"),
        pytest.param([None, "x"], [], id="of nobody"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_of_a_log_what_is_of_its_runs_goes_on(prefect: Prefect, sent: list[str | None], kept: list[str]) -> None:
    answer = prefect.call("POST", "logs/", [{"flow_run_id": each, "message": "x"} for each in sent])
    assert answer.status_code == 200
    assert prefect.bodies == [[{"flow_run_id": each, "message": "x"} for each in kept]]


def test_it_finds_its_own_runs_by_their_ids_and_no_others(prefect: Prefect) -> None:
    state = {"type": {"any_": ["CANCELLING"]}}
    for asked, found in (([OWN, DUE, WITHIN], [OWN, WITHIN]), ([OTHER], [])):
        body = {"flow_runs": {"id": {"any_": asked}, "state": state, "name": {"like_": ""}}}
        assert prefect.call("POST", "flow_runs/filter", body).status_code == 200
        assert prefect.bodies == [{"flow_runs": {"id": {"any_": found}, "state": state}}]


@pytest.mark.parametrize("how", ["write on prefect", "it is a worker's no longer", "a key that only reads"])
def test_who_else_is_held_to_what_everybody_is(prefect: Prefect, how: str) -> None:
    match how:
        case "write on prefect":
            prefect.identity.add_permission("old", NOW, types=["prefect"], actions=["write"], users=["worker"])
        case "it is a worker's no longer":
            prefect.identity.unmake_worker("worker", NOW)
        case _:
            prefect.keys["worker"] = prefect.identity.add_token("worker", NOW, write_enabled=False)
    writes, takes = (
        prefect.call("POST", path, body).status_code
        for path, body in (("variables/", {"name": "x"}), (f"flow_runs/{DUE}/set_state", PENDING))
    )
    assert (writes, takes) == ((200, 200) if how == "write on prefect" else (403, 403))
    assert prefect.call("GET", f"flow_runs/{OWN}").status_code == (200 if how == "write on prefect" else 404)


def of_worker(*runs: str, about: str = "prefect.worker.process.x", name: str = "prefect.worker.submitted") -> Any:
    return event(about, *(f"prefect.flow-run.{run}" for run in runs), name=name)


@pytest.mark.parametrize(
    ("said", "goes"),
    [
        pytest.param(of_worker(name="prefect.worker.started"), True, id="that it has started"),
        pytest.param(of_worker(OWN), True, id="that it has submitted its run"),
        pytest.param(of_worker(OTHER), False, id="that it has submitted another"),
        pytest.param(of_worker(OWN, about="prefect.runner.x", name="prefect.runner.cancelled"), True, id="its runner"),
        pytest.param(of_worker(name="prefect.deployment.created"), False, id="of itself what is no worker's"),
        pytest.param(of_worker(about=f"prefect.deployment.{OURS}"), False, id="of a deployment"),
        pytest.param(of_worker(about=f"prefect.work-pool.{THING}"), False, id="of a work pool"),
        pytest.param(event(f"prefect.flow-run.{OWN}"), True, id="of its run"),
        pytest.param(event(f"prefect.flow-run.{DUE}"), False, id="of another run"),
        pytest.param(of_worker(name="signoff.approval.approved"), False, id="that somebody approved"),
    ],
)
def test_which_events_of_a_worker_go_to_prefect(prefect: Prefect, said: Any, goes: bool) -> None:
    assert isinstance(prefect.front, Gateway)
    calls, message = prefect.front._worker_calls, {"type": "websocket.receive", "text": json.dumps(said)}
    assert asyncio.run(calls.may_tell(prefect.actors["worker"], "/api/events/in", message)) is goes


def test_a_task_run_is_told_of_by_who_has_its_run_now(prefect: Prefect) -> None:
    assert isinstance(prefect.front, Gateway)
    calls, unrecorded = prefect.front._worker_calls, str(uuid4())
    asyncio.run(prefect.runs.taken(prefect.actors["worker"], UUID(DUE), keyed=False))

    def goes(who: str, task: str, run: str) -> bool:
        message = {"type": "websocket.receive", "text": json.dumps(recorded(task, (run,)))}
        return asyncio.run(calls.may_tell(prefect.actors[who], "/api/events/in", message))

    for task in (OWN_TASK, unrecorded):
        assert goes("worker", task, OWN)
    asyncio.run(prefect.runs.taken(prefect.actors["beside"], UUID(OWN), keyed=False))
    for task in (OWN_TASK, unrecorded):
        assert not goes("worker", task, DUE), "as if it were of a run that it still has"
        assert goes("beside", task, OWN)


def test_one_request_names_no_more_runs_than_are_looked_up_for_it(prefect: Prefect) -> None:
    ids = [str(uuid4()) for _ in range(MOST_ASKED)]
    for body in (
        [{"flow_run_id": each} for each in (OWN, *ids)],
        {"flow_runs": {"id": {"any_": [OWN, *ids]}}},
        {"flow_runs": {"parent_task_run_id": {"any_": [OWN_TASK, *ids]}}},
    ):
        answer = prefect.call("POST", "logs/" if isinstance(body, list) else "flow_runs/filter", body)
        assert (answer.status_code, prefect.passed) == (400, [])
        assert answer.json() == {"non_field_errors": ["One request may name 200 runs at most."]}
    assert prefect.call("POST", "logs/", [{"flow_run_id": OWN}] * (MOST_ASKED + 1)).status_code == 200
