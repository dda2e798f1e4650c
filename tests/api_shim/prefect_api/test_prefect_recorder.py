"""Whether Prefect can record a task run from what its own client tells of one, and from less."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.events import Event
from prefect.events.schemas.events import RelatedResource
from prefect.states import Running
from prefect.utilities import engine

from api_shim.prefect_api.prefect_recorder import is_recordable


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what Prefect's client tells of a task run of a flow run."""
    monkeypatch.setattr(engine, "emit_event", lambda **event: Event(**event))
    task_run = TaskRun(flow_run_id=uuid4(), task_key="x", dynamic_key="0", name="x")
    event = engine.emit_task_run_state_change_event(task_run, None, Running())
    assert event is not None
    run = {"prefect.resource.id": f"prefect.flow-run.{task_run.flow_run_id}", "prefect.resource.role": "flow-run"}
    event.related.append(RelatedResource.model_validate(run))
    said: dict[str, Any] = event.model_dump(mode="json")
    return said


def test_what_prefects_client_tells_can_be_recorded_and_names_no_id_twice(told: dict[str, Any]) -> None:
    assert is_recordable(told)
    assert not {"id", "flow_run_id", "state", "state_id"} & told["payload"]["task_run"].keys()
    assert "id" not in told["payload"]["validated_state"]


@pytest.mark.parametrize("payload", [{}, {"task_run": {}, "validated_state": {"type": "RUNNING"}}])
def test_less_cannot(told: dict[str, Any], payload: Any) -> None:
    assert not is_recordable({**told, "payload": payload})
