"""What Prefect's engine is handed in a forked child, and what it still asks and tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow_engine, results
from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect.client import orchestration
from prefect.client.orchestration import PrefectClient, SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run as runtime
from prefect.states import Pending, Running, Suspended

from api_shim.worker import prefect_handed
from api_shim.worker.prefect_handed import hand_over, suspended, watch_suspension
from tests.live import eventually

RUN = FlowRun(id=uuid4(), flow_id=uuid4(), name="calm-otter", parameters={"who": "x"}, state=Pending())
REFUSED = "Refused"
STORAGE = "_read_server_default_result_storage_block_id"


async def _asked(_id: str) -> str:
    return "asked"


async def _put(_client: Any, _id: UUID, state: Any) -> Any:
    return SimpleNamespace(state=state)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Note what would be told to Prefect, and give the engine back what it had when the test ends."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(flow_engine, "load_flow_run", lambda _id: "asked")
    monkeypatch.setattr(runtime, "_get_flow_run", _asked)
    monkeypatch.setattr(flow_engine, "observe_flow_run_suspension", None)
    monkeypatch.setattr(results, STORAGE, lambda: "asked")
    monkeypatch.setattr(
        SyncPrefectClient,
        "set_flow_run_state",
        lambda _client, _id, state: SimpleNamespace(state=None if state.name == REFUSED else state),
    )
    monkeypatch.setattr(PrefectClient, "set_flow_run_state", _put)
    monkeypatch.setattr(SyncPrefectClient, "read_flow_run", lambda _client, _id: "asked")
    monkeypatch.setattr(SyncPrefectClient, "update_flow_run", lambda _client, _id, **fields: found.append(fields))
    return found


def test_the_engine_is_handed_its_run_and_asks_for_others(told: list[dict[str, Any]]) -> None:
    hand_over(RUN.model_dump_json(), {}, at=0)
    load: Callable[[UUID], Any] = flow_engine.load_flow_run
    assert load(RUN.id) == RUN
    assert load(uuid4()) == "asked"
    assert asyncio.run(runtime._get_flow_run(str(RUN.id))) == RUN
    assert asyncio.run(runtime._get_flow_run(str(uuid4()))) == "asked"
    assert flow_engine.observe_flow_run_suspension is watch_suspension
    assert told == []


@pytest.mark.parametrize(
    ("storage", "answer"),
    [
        pytest.param({"id": str(RUN.id)}, RUN.id, id="a block"),
        pytest.param({"id": None}, None, id="no block"),
        pytest.param({}, "asked", id="not known"),
    ],
)
@pytest.mark.usefixtures("told")
def test_the_engine_is_handed_where_results_are_stored(storage: dict[str, str | None], answer: object) -> None:
    hand_over(RUN.model_dump_json(), storage, at=0)
    assert getattr(results, STORAGE)() == answer


@pytest.mark.parametrize(
    ("run_id", "state", "is_handed"),
    [
        pytest.param(RUN.id, Running(), True, id="it has begun"),
        pytest.param(RUN.id, Pending(), False, id="it may not begin"),
        pytest.param(RUN.id, Running(name=REFUSED), False, id="no answer"),
        pytest.param(uuid4(), Running(), False, id="a run within it has begun"),
    ],
)
@pytest.mark.usefixtures("told")
def test_the_engine_is_handed_once_its_run_as_it_has_begun(run_id: UUID, state: Any, is_handed: bool) -> None:
    hand_over(RUN.model_dump_json(), {}, at=0)
    client: Any = SimpleNamespace()
    SyncPrefectClient.set_flow_run_state(client, run_id, state)
    read = [SyncPrefectClient.read_flow_run(client, each) for each in (uuid4(), RUN.id, RUN.id)]
    assert [each == "asked" for each in read] == [True, not is_handed, True]
    if is_handed:
        assert (read[1].state, read[1].state_name) == (state, "Running")
        assert (read[1].run_count, read[1].start_time) == (1, state.timestamp)


@pytest.mark.parametrize(
    ("state", "ahead", "waited"),
    [
        pytest.param(Running(), 0.7, 0.7, id="it begins at its time"),
        pytest.param(Running(), -60, 0, id="its time has come"),
        pytest.param(Running(), 3600, 0, id="its time is that of another clock"),
        pytest.param(Pending(), 0.7, 0, id="it does not begin"),
    ],
)
@pytest.mark.usefixtures("told")
def test_a_run_begins_no_sooner_than_its_time(
    monkeypatch: pytest.MonkeyPatch, state: Any, ahead: float, waited: float
) -> None:
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(prefect_handed, "time", SimpleNamespace(time=lambda: 1000.0, sleep=slept.append))
    monkeypatch.setattr(prefect_handed, "asyncio", SimpleNamespace(sleep=sleep))
    hand_over(RUN.model_dump_json(), {}, at=1000 + ahead)
    client: Any = SimpleNamespace()
    SyncPrefectClient.set_flow_run_state(client, RUN.id, state)
    asyncio.run(PrefectClient.set_flow_run_state(client, RUN.id, state))
    assert sum(slept) == pytest.approx(2 * waited), "whether its engine is that of a sync flow or of an async one"


@pytest.mark.parametrize(
    ("run_id", "fields", "is_told"),
    [
        pytest.param(RUN.id, {"flow_version": "1", "empirical_policy": None}, False, id="what its flow says"),
        pytest.param(RUN.id, {"flow_version": "1"}, True, id="something else of it"),
        pytest.param(uuid4(), {"flow_version": "1", "empirical_policy": None}, True, id="of a run within it"),
    ],
)
def test_that_a_run_is_as_its_flow_says_is_not_told(
    told: list[dict[str, Any]], run_id: UUID, fields: dict[str, Any], is_told: bool
) -> None:
    hand_over(RUN.model_dump_json(), {}, at=0)
    SyncPrefectClient.update_flow_run(SimpleNamespace(), run_id, **fields)  # type: ignore[arg-type]  # it is noted
    assert told == ([fields] if is_told else [])


def test_another_version_of_prefect_keeps_what_it_has() -> None:
    owner = SimpleNamespace()
    prefect_handed._replace(owner, "load_flow_run", lambda ask: ask)
    assert not hasattr(owner, "load_flow_run")


def test_that_a_run_is_suspended_is_seen_while_it_executes(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Suspended()
    answers: list[Any] = [state, OSError("away"), None]
    request = FlowRunSuspensionRequest()

    def look(_run_id: UUID) -> Any:
        answer = answers.pop() if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(prefect_handed, "suspended", look)
    monkeypatch.setattr(prefect_handed, "SUSPENSION_SEEN_WITHIN", 0.001)
    with watch_suspension(RUN.id, request):
        assert eventually(request.get_state, every=0.001) == state


@pytest.mark.parametrize(("state", "is_suspended"), [(Suspended(), True), (Running(), False), (None, False)])
def test_only_a_suspended_run_is_suspended(monkeypatch: pytest.MonkeyPatch, state: Any, is_suspended: bool) -> None:
    client = SimpleNamespace(read_flow_run=lambda _id: SimpleNamespace(state=state))
    monkeypatch.setattr(orchestration, "get_client", lambda **_how: nullcontext(client))
    assert (suspended(RUN.id) is not None) is is_suspended
