"""What a warm worker asks Prefect once, and what it does not tell."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import Flow
from prefect.client.schemas.responses import DeploymentResponse

from api_shim.worker import prefect_calls
from api_shim.worker.prefect_calls import FewerCalls

pytestmark = pytest.mark.anyio


class Client:
    """Prefect's client, which notes what it is asked."""

    name = "prefect"

    def __init__(self) -> None:
        self.asked: list[UUID] = []
        self.told: list[dict[str, Any]] = []

    async def read_deployment(self, deployment_id: UUID) -> DeploymentResponse:
        self.asked.append(deployment_id)
        return DeploymentResponse(id=deployment_id, name="one", flow_id=uuid4(), job_variables={"env": {"A": "1"}})

    async def read_flow(self, flow_id: UUID) -> Flow:
        self.asked.append(flow_id)
        return Flow(id=flow_id, name="one")

    async def update_flow_run(self, _flow_run_id: UUID, **fields: Any) -> str:
        self.told.append(fields)
        return "told"


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def calls(client: Client) -> FewerCalls:
    return FewerCalls(cast(Any, client))


@pytest.mark.parametrize("read", ["read_deployment", "read_flow"])
async def test_what_is_known_is_not_asked_again_until_its_time_is_over(
    client: Client, calls: FewerCalls, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    one, two = uuid4(), uuid4()
    for thing in (one, one, two, one):
        assert (await getattr(calls, read)(thing)).id == thing
    assert client.asked == [one, two]
    now = prefect_calls.time.monotonic()
    monkeypatch.setattr(prefect_calls.time, "monotonic", lambda: now + 61)
    await getattr(calls, read)(one)
    assert client.asked == [one, two, one]


async def test_what_one_run_writes_into_its_deployment_no_other_run_gets(calls: FewerCalls) -> None:
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
    client: Client, calls: FewerCalls, forked: bool, fields: dict[str, Any], told: bool
) -> None:
    run_id = uuid4()
    if forked:
        calls.forks(run_id)
    await calls.update_flow_run(run_id, **fields)
    assert client.told == ([fields] if told else [])


def test_all_other_calls_are_prefects(calls: FewerCalls) -> None:
    assert calls.name == "prefect"
