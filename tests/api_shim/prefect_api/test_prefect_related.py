"""What belongs to a run of Prefect's is read with it, and only the run is locked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from prefect.server.database.orm_models import Deployment, FlowRun, WorkQueue
from prefect.server.models import flow_runs
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from api_shim.prefect_api.prefect_related import lock_alone, read_related_at_once, related


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Join for a while, and yield Prefect's module that reads runs."""
    for each in related():
        monkeypatch.setattr(each, "strategy", each.strategy)
    module: Any = flow_runs
    monkeypatch.setattr(module, "selectinload", module.selectinload)
    read_related_at_once.__wrapped__()
    yield module
    event.remove(Session, "do_orm_execute", lock_alone)


def test_what_runs_and_deployments_belong_to_is_read_in_their_statement(joined: Any) -> None:
    runs = joined.selectinload(FlowRun.work_queue).selectinload(WorkQueue.work_pool)
    assert str(sa.select(FlowRun).options(runs)).count("LEFT OUTER JOIN") == 3, "its state, its queue and its pool"
    assert str(sa.select(Deployment)).count("LEFT OUTER JOIN") == 3, "its queue, its pool and its limit"


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize(
    ("statement", "locks"),
    [
        pytest.param(sa.select(FlowRun).with_for_update(), "FOR UPDATE OF flow_run", id="runs"),
        pytest.param(
            sa.select(FlowRun).with_for_update(skip_locked=True), "FOR UPDATE OF flow_run SKIP LOCKED", id="free runs"
        ),
        pytest.param(sa.select(WorkQueue.id).with_for_update(), "FOR UPDATE", id="something else"),
        pytest.param(sa.select(FlowRun), "", id="nothing"),
    ],
)
def test_of_what_is_joined_nothing_is_locked(statement: Any, locks: str) -> None:
    executed = list[Any]()

    def stop(execution: Any) -> Any:
        executed.append(execution.statement)
        return sa.engine.result.null_result()

    event.listen(Session, "do_orm_execute", stop)
    try:
        with Session() as session:
            session.execute(statement)
    finally:
        event.remove(Session, "do_orm_execute", stop)
    said = str(executed[0].compile(dialect=postgresql.dialect()))
    assert said.partition("FOR UPDATE")[1:] == (locks[:10], locks[10:])
