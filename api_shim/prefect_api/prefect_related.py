"""What Prefect's server reads with a run or a deployment.

* Prefect reads the state, the queue and the pool of a run by a statement each, some thirty for each run. Here they are
  joined to the statement that reads the run, which costs a third.
* A run that is read to be changed is locked. Of the rows that are joined to it none is, as it is without the join.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

RELATED = (
    *(("FlowRun", "_state"), ("FlowRun", "work_queue"), ("WorkQueue", "work_pool")),
    *(("Deployment", "work_queue"), ("Deployment", "global_concurrency_limit")),
)
"""What Prefect reads by a statement of its own, each time: a class, and its relationship to one row of another."""


def related() -> Iterator[Any]:
    """Yield the relationships of Prefect's tables that it reads by statements of their own."""
    from prefect.server.database import orm_models

    for name, attribute in RELATED:
        yield getattr(getattr(orm_models, name), attribute).property


@cache
def read_related_at_once() -> None:
    """Have Prefect read what runs and deployments belong to in the statement that reads these, in this process."""
    from prefect.server.models import flow_runs
    from sqlalchemy import event
    from sqlalchemy.orm import Load, Session

    class Joining(Load):
        """Joins what it is told to read by a statement of its own."""

        inherit_cache = True

        def selectinload(self, attr: Any, recursion_depth: int | None = None) -> Any:  # noqa: ARG002 - nothing recurs
            return self.joinedload(attr)

    for relationship in related():
        # SQLAlchemy has no hook for it.
        relationship.strategy = relationship._get_strategy((("lazy", "joined"),))
    module: Any = flow_runs
    module.selectinload = lambda attribute: Joining(attribute.class_).joinedload(attribute)
    event.listen(Session, "do_orm_execute", lock_alone)


def lock_alone(execution: Any) -> None:
    """Have a statement that locks runs lock nothing else; PostgreSQL refuses to lock what may not be there.

    Args:
        execution: what SQLAlchemy is about to execute.
    """
    statement = execution.statement
    lock = getattr(statement, "_for_update_arg", None)
    if execution.is_select and lock is not None and not lock.of:
        from prefect.server.database.orm_models import FlowRun

        locked = statement.column_descriptions[0]["entity"]
        if locked is FlowRun:
            execution.statement = statement.with_for_update(
                of=locked, read=lock.read, nowait=lock.nowait, skip_locked=lock.skip_locked, key_share=lock.key_share
            )
