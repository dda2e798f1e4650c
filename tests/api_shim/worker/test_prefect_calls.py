"""What a warm worker asks Prefect once, and what it does not tell."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import anyio
import httpx
import pytest
from prefect.client.schemas.objects import Flow, FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse, SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, Pending, Scheduled

from api_shim.worker import prefect_calls
from api_shim.worker.prefect_calls import WorkerCalls, key_of
from approval_gate.admission import RUN_KEY

pytestmark = pytest.mark.anyio


STORAGE = uuid4()


def a_run() -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), state=Scheduled())


class Client:
    """Prefect's client, which notes what it is asked."""

    name = "prefect"
    status = 200
    given = "signoff_run_x"

    def __init__(self) -> None:
        self.asked: list[UUID] = []
        self.told: list[dict[str, Any]] = []
        self.storage: UUID | None = STORAGE
        self.keys: list[str] = []

    async def read_deployment(self, deployment_id: UUID) -> DeploymentResponse:
        self.asked.append(deployment_id)
        return DeploymentResponse(id=deployment_id, name="one", flow_id=uuid4(), job_variables={"env": {"A": "1"}})

    async def read_flow(self, flow_id: UUID) -> Flow:
        self.asked.append(flow_id)
        return Flow(id=flow_id, name="one")

    async def set_flow_run_state(self, _flow_run_id: UUID, state: State[Any], **_how: Any) -> Any:
        self.told.append({state.type.value: state.message})
        return SimpleNamespace(state=State(type=state.type, name=state.name, message=state.message))

    async def read_server_default_result_storage(self) -> Any:
        self.asked.append(STORAGE)
        if self.storage is None:
            raise OSError("away")
        return SimpleNamespace(default_result_storage_block_id=self.storage)

    async def request(self, _method: str, _path: str, json: Any, **how: Any) -> httpx.Response:
        self.told.append({json["state"]["type"]: json["state"]["message"]})
        self.asked.append(how["path_params"]["id"])
        asked = httpx.Request("POST", "http://prefect")
        if self.status == httpx.codes.OK:
            accepted = {"state": json["state"], "status": "ACCEPT", "details": {}}
            self.keys.append(how["headers"][RUN_KEY])
            headers = {RUN_KEY: self.given} if how["headers"] == {RUN_KEY: "wanted"} else {}
            return httpx.Response(self.status, json=accepted, headers=headers, request=asked)
        answer = httpx.Response(self.status, request=asked)
        raise httpx.HTTPStatusError("refused", request=asked, response=answer)

    async def update_flow_run(self, _flow_run_id: UUID, **fields: Any) -> str:
        self.told.append(fields)
        return "told"


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def calls(client: Client) -> WorkerCalls:
    return WorkerCalls(cast(Any, client), "warm host:7")


@pytest.mark.parametrize("read", ["read_deployment", "read_flow"])
async def test_what_is_known_is_not_asked_again_until_its_time_is_over(
    client: Client, calls: WorkerCalls, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    one, two = uuid4(), uuid4()
    for thing in (one, one, two, one):
        assert (await getattr(calls, read)(thing)).id == thing
    assert client.asked == [one, two]
    for known in ("DEPLOYMENT_KNOWN", "FLOW_KNOWN"):
        monkeypatch.setattr(prefect_calls, known, 0)
    three = uuid4()
    for thing in (three, three):
        await getattr(calls, read)(thing)
    assert client.asked == [one, two, three, three]


async def test_what_one_run_writes_into_its_deployment_no_other_run_gets(calls: WorkerCalls) -> None:
    deployment_id = uuid4()
    (await calls.read_deployment(deployment_id)).job_variables["env"]["SECRET"] = "of one run"
    assert (await calls.read_deployment(deployment_id)).job_variables == {"env": {"A": "1"}}


@pytest.mark.parametrize(
    ("forked", "fields", "told"),
    [
        pytest.param(True, {"infrastructure_pid": "7"}, False, id="the process of a forked run"),
        pytest.param(False, {"infrastructure_pid": "7"}, True, id="the process of another run"),
        pytest.param(True, {"name": "new"}, True, id="anything else of a forked run"),
    ],
)
async def test_which_process_executes_a_run_is_told_unless_it_is_forked(
    client: Client, calls: WorkerCalls, forked: bool, fields: dict[str, Any], told: bool
) -> None:
    run = a_run()
    if forked:
        await calls.forks(run)
    await calls.update_flow_run(run.id, **fields)
    assert client.told == ([fields] if told else [])


async def test_which_worker_has_taken_a_run_is_told_with_its_state(client: Client, calls: WorkerCalls) -> None:
    await calls.set_flow_run_state(uuid4(), Pending())
    await calls.set_flow_run_state(uuid4(), Crashed(message="broken"))
    assert client.told == [{"PENDING": "Taken by warm host:7"}, {"CRASHED": "broken"}]


async def test_a_forked_run_is_handed_its_state_and_where_results_go(client: Client, calls: WorkerCalls) -> None:
    for _ in range(2):
        run = a_run()
        await calls.set_flow_run_state(run.id, Pending())
        known = await calls.forks(run)
        handed = FlowRun.model_validate_json(known["run"])
        assert (handed.id, handed.state_name, known["storage"]) == (run.id, "Pending", {"id": str(STORAGE)})
        assert handed.state is not None
        assert handed.state.message == "Taken by warm host:7"
    assert client.asked.count(STORAGE) == 1


async def test_what_is_not_known_is_not_handed(client: Client, calls: WorkerCalls) -> None:
    run, client.storage = a_run(), None
    assert await calls.forks(run) == {}
    await calls.set_flow_run_state(run.id, Pending())
    assert (await calls.forks(run))["storage"] == {}


async def test_the_key_of_a_run_is_known_to_whoever_has_taken_it(client: Client, calls: WorkerCalls) -> None:
    one, two = uuid4(), uuid4()
    answer = await calls.set_flow_run_state(one, Pending(), force=False)
    assert (answer.status, answer.state.is_pending(), client.asked) == (SetStateStatus.ACCEPT, True, [one])
    assert (key_of(one), key_of(two)) == ("signoff_run_x", "")


async def test_what_becomes_of_a_run_is_told_of_the_attempt_that_was_taken(client: Client, calls: WorkerCalls) -> None:
    run = uuid4()

    async def attempt(key: str, ends: asyncio.Event) -> None:
        client.given = key
        await calls.set_flow_run_state(run, Pending())
        await ends.wait()
        await calls.set_flow_run_state(run, Crashed())

    first, second = asyncio.Event(), asyncio.Event()
    async with anyio.create_task_group() as group:
        for key, ends in (("first", first), ("second", second)):
            group.start_soon(attempt, key, ends)
            await anyio.wait_all_tasks_blocked()
        first.set()
        await anyio.wait_all_tasks_blocked()
        assert client.keys == ["wanted", "wanted", "first"]
        second.set()
    assert client.keys[3:] == ["second"]


async def test_a_key_is_good_until_another_is_asked_for(client: Client, calls: WorkerCalls) -> None:
    run = uuid4()
    await calls.set_flow_run_state(run, Pending())
    # Prefect has done so, but its answer is lost: the key of before may be replaced.
    client.status = 503
    with pytest.raises(httpx.HTTPStatusError):
        await calls.set_flow_run_state(run, Pending())
    assert key_of(run) == ""


async def test_nothing_is_handed_of_a_run_that_is_given_up_before_it_starts(calls: WorkerCalls) -> None:
    run = a_run()
    await calls.set_flow_run_state(run.id, Pending())
    await calls.set_flow_run_state(run.id, Crashed())
    assert await calls.forks(run) == {}


@pytest.mark.parametrize(("status", "error"), [(404, ObjectNotFound), (403, httpx.HTTPStatusError)])
async def test_a_run_that_cannot_be_taken_is_told_as_by_prefects_client(
    client: Client, calls: WorkerCalls, status: int, error: type[Exception]
) -> None:
    client.status = status
    with pytest.raises(error):
        await calls.set_flow_run_state(uuid4(), Pending())


def test_all_other_calls_are_prefects(calls: WorkerCalls) -> None:
    assert calls.name == "prefect"
