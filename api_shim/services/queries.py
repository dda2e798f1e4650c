"""Queries: pages and single objects, and the logs of runs, limited to what the caller may view.

* A list requires permission to view the type (403), and contains only the objects that the caller may view.
* A single object that the caller may not view is not found (404).
* Only the logs and the numbers of workers are asked of Prefect: how a run stands its own process tells, or the
  background loop has learned.
* Prefect stores the logs. Log entries have the contract's levels and groupings, and are filtered, searched, sorted and
  paged here in the same way as the store does for its own lists.

Contract 2, 5 and 7.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.model import JobResult
from api_shim.domain.ports import LogLine, Orchestrator
from api_shim.domain.query import Condition
from api_shim.reconcile.pools import pools_of
from api_shim.services.authorization import get_authorized, permitted_ids
from api_shim.services.user_names import as_written
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Unavailable
from approval_gate.model import Action, Actor, Allowed, ObjectType

logger = logging.getLogger("signoff")


class Queries:
    """Reads objects and logs.

    Args:
        store: the store.
        engine: Prefect, which stores the logs.
    """

    def __init__(self, store: Store, engine: Orchestrator) -> None:
        self._store = store
        self._engine = engine

    async def page(self, actor: Actor, kind: ObjectType, listing: Listing) -> Page[Any]:
        """Return a page of the objects that the actor may view.

        Raises:
            Forbidden: the caller may not view objects of this type.
        """
        return await self._store.read(partial(_page, actor, kind, listing))

    async def one(self, actor: Actor, kind: ObjectType, **by: object) -> Any:
        """Return one object, identified by a field.

        Raises:
            Forbidden: the caller may not view objects of this type.
            NotFound: the object does not exist, or the caller may not view it.
        """
        return await self._store.read(partial(_one, actor, kind, by))

    async def newest_results(self, actor: Actor, job_ids: Collection[UUID]) -> Mapping[UUID, JobResult]:
        """Return the newest job result of each Job, by the Job's id, among those that the actor may view."""
        newest = await self._store.read(partial(_newest, actor, job_ids))
        return {result.job_id: result for result in newest if result.job_id is not None}

    async def possible(self, actor: Actor, action: Action, kind: ObjectType, ids: Collection[UUID]) -> set[UUID]:
        """Return the ids on which the actor has the action."""
        return await self._store.read(lambda tx: permitted_ids(tx, actor, action, kind, ids))

    async def logs(self, actor: Actor, result_id: UUID, after: int = 0) -> list[LogEntry]:
        """Return the log of a job result, oldest first.

        Args:
            actor: the caller.
            result_id: the id of the job result.
            after: how many lines to skip at the beginning.

        Raises:
            Forbidden: the caller may not view job results.
            NotFound: the job result does not exist, or the caller may not view it.
            Unavailable: Prefect, which stores the logs, does not answer.
        """
        result = await self._store.read(partial(_one, actor, ObjectType.JOB_RESULT, {"id": result_id}))
        return await self._log_of(result, after)

    async def log_entries(self, actor: Actor, result_ids: Collection[UUID], listing: Listing) -> Page[LogEntry]:
        """Return a page of the logs of job results, without those that the actor may not view.

        Raises:
            Forbidden: the caller may not view log entries.
            Unavailable: Prefect, which stores the logs, does not answer.
        """
        policy.enforce(policy.check_type(actor, Action.VIEW, ObjectType.JOB_LOG_ENTRY), ObjectType.JOB_LOG_ENTRY)
        seen = await self._store.read(partial(_seen_results, actor, result_ids))
        entries = [entry for result in seen for entry in await self._log_of(result)]
        found = selected(entries, listing.where, listing.search, listing.sort)
        return Page(len(found), found[listing.offset : listing.offset + listing.limit])

    async def worker_counts(self) -> Mapping[str, int] | None:
        """Return how many workers serve each queue; None if Prefect does not answer."""
        try:
            pools = await self._store.read(partial(pools_of, own=self._engine.pool))
            counts = {pool: await self._engine.worker_counts(pool) for pool in {"", *pools.values()}}
        except Unavailable:
            logger.warning("Prefect does not answer; the numbers of workers are unknown.")
            return None
        return {**counts[""], **{queue: counts[pool].get(queue, 0) for queue, pool in pools.items()}}

    async def _log_of(self, result: JobResult, after: int = 0) -> list[LogEntry]:
        if result.flow_run_id is None:
            return []
        return [entry_of(line, result.id) for line in await self._engine.logs(result.flow_run_id, after)]


def _page(actor: Actor, kind: ObjectType, listing: Listing, tx: Transaction) -> Page[Any]:
    policy.enforce(policy.check_type(actor, Action.VIEW, kind), kind)
    return tx.page(kind, actor, as_written(tx, listing))


def _newest(actor: Actor, job_ids: Collection[UUID], tx: Transaction) -> list[JobResult]:
    allowed = policy.check_type(actor, Action.VIEW, ObjectType.JOB_RESULT) == Allowed()
    return tx.newest_results(actor, job_ids) if allowed else []


def _seen_results(actor: Actor, ids: Collection[UUID], tx: Transaction) -> list[JobResult]:
    seen = tx.visible(ObjectType.JOB_RESULT, actor, Action.VIEW, ids)
    return tx.all(JobResult, order="id", id=seen) if seen else []


def _one(actor: Actor, kind: ObjectType, by: Mapping[str, Any], tx: Transaction) -> Any:
    return get_authorized(tx, actor, Action.VIEW, kind, **by)


# Log entries

LEVELS = (
    (50, "critical"),
    (40, "error"),
    (35, "failure"),
    (30, "warning"),
    (25, "success"),
    (20, "info"),
)
"""Python's log levels and the contract's names for them, the highest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """An entry in the log of a job result."""

    id: UUID
    job_result: UUID
    log_level: str
    grouping: str
    message: str
    created: datetime


def entry_of(line: LogLine, result_id: UUID) -> LogEntry:
    """Convert a line of Prefect's log to an entry in a job result's log."""
    return LogEntry(
        id=line.id,
        job_result=result_id,
        log_level=level_name(line.level),
        grouping=grouping(line.source),
        message=line.message,
        created=line.created,
    )


def selected(
    entries: Sequence[LogEntry], where: Sequence[Condition], search: str, sort: Sequence[str]
) -> list[LogEntry]:
    """Filter and sort log entries; without a sort order, the oldest is first.

    Args:
        entries: all entries.
        where: conditions, all of which must hold.
        search: text that the message must contain, ignoring case; empty matches all.
        sort: names of attributes, with a leading ``-`` for descending.
    """
    things: list[Mapping[str, Any]] = [asdict(entry) for entry in entries]
    kept = [
        (thing, entry)
        for thing, entry in zip(things, entries, strict=True)
        if search.lower() in entry.message.lower() and all(condition.holds(thing) for condition in where)
    ]
    # Sorting is stable, so the least significant key is sorted first.
    for name in reversed((*(sort or ("created",)), "id")):
        path, down = name.removeprefix("-"), name.startswith("-")
        kept.sort(key=lambda pair: pair[0][path], reverse=down)
    return [entry for _, entry in kept]


def level_name(level: int) -> str:
    """Return the contract's name for a Python log level."""
    return next((name for least, name in LEVELS if level >= least), "debug")


def grouping(source: str) -> str:
    """Return the grouping of a log line: the name of its logger below Prefect's own, or ``run``."""
    return source.removeprefix("prefect.flow_runs").strip(".") or "run"
