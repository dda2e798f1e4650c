"""The use cases of looking: pages and single objects, restricted to what the caller may see.

* A list needs the permission to view the type (403), and shows what the caller may view of it.
* One object that he may not view is not there (404).
* A result that is not final is asked of Prefect before it is shown; while Prefect does not answer, the last known
  state is shown.

Contract 2, 5 and 7.

The lines of a run's log, as clients know them; Prefect keeps them, so lists of them are made here.

* A line is called by the level and the section that the contract has for it.
* Lists are filtered, searched, ordered and divided as the store does it with what it keeps.

Contract 2 and 7.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.background import BackgroundLoop
from api_shim.domain.model import JobResult
from api_shim.domain.ports import LogLine, Orchestrator
from api_shim.domain.query import Condition
from api_shim.services.authorization import get_authorized, permitted_ids
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Unavailable
from approval_gate.model import Action, Actor, Allowed, ObjectType

logger = logging.getLogger("signoff")


class Queries:
    """Looks for a caller.

    Args:
        store: what is true.
        engine: Prefect, which keeps the logs.
        watch: learns how runs stand.
    """

    def __init__(self, store: Store, engine: Orchestrator, watch: BackgroundLoop) -> None:
        self._store = store
        self._engine = engine
        self._watch = watch

    async def page(self, actor: Actor, kind: ObjectType, listing: Listing) -> Page[Any]:
        """Return a page of what the actor may view.

        Raises:
            Forbidden: he may view nothing of this type.
        """
        page = await self._store.read(partial(_page, actor, kind, listing))
        if kind is not ObjectType.JOB_RESULT or not await self._refreshed(page.rows):
            return page
        return await self._store.read(partial(_page, actor, kind, listing))

    async def one(self, actor: Actor, kind: ObjectType, **by: object) -> Any:
        """Return one object by a field.

        Raises:
            Forbidden: he may view nothing of this type.
            NotFound: there is none, or none that he may see.
        """
        found = await self._store.read(partial(_one, actor, kind, by))
        if kind is not ObjectType.JOB_RESULT or not await self._refreshed([found]):
            return found
        return await self._store.read(partial(_one, actor, kind, by))

    async def newest_results(self, actor: Actor, job_ids: Collection[UUID]) -> Mapping[UUID, JobResult]:
        """Return the newest result of each of these Jobs that he may view, by Job; none if he may view none."""
        ask = partial(_newest, actor, job_ids)
        newest = await self._store.read(ask)
        if await self._refreshed(newest):
            newest = await self._store.read(ask)
        return {result.job_id: result for result in newest if result.job_id is not None}

    async def possible(self, actor: Actor, action: Action, kind: ObjectType, ids: Collection[UUID]) -> set[UUID]:
        """Return those of these objects on which he has the action."""
        return await self._store.read(lambda tx: permitted_ids(tx, actor, action, kind, ids))

    async def logs(self, actor: Actor, result_id: UUID, after: int = 0) -> list[LogEntry]:
        """Return the log of a job result, oldest first.

        Args:
            actor: who looks.
            result_id: which result's.
            after: how many lines at its beginning he has seen already.

        Raises:
            Forbidden: he may view no job results.
            NotFound: there is none, or none that he may see.
            Unavailable: Prefect, which keeps the logs, does not answer.
        """
        result = await self._store.read(partial(_one, actor, ObjectType.JOB_RESULT, {"id": result_id}))
        return await self._log_of(result, after)

    async def log_entries(self, actor: Actor, result_ids: Collection[UUID], listing: Listing) -> Page[LogEntry]:
        """Return a page of the logs of some job results, less those that he may not see.

        Raises:
            Forbidden: he may view no log entries.
            Unavailable: Prefect, which keeps the logs, does not answer.
        """
        policy.enforce(policy.check_type(actor, Action.VIEW, ObjectType.JOB_LOG_ENTRY), ObjectType.JOB_LOG_ENTRY)
        seen = await self._store.read(partial(_seen_results, actor, result_ids))
        entries = [entry for result in seen for entry in await self._log_of(result)]
        found = selected(entries, listing.where, listing.search, listing.sort)
        return Page(len(found), found[listing.offset : listing.offset + listing.limit])

    async def worker_counts(self) -> Mapping[str, int] | None:
        """Return how many workers serve each queue; None while Prefect does not answer."""
        try:
            return await self._engine.worker_counts()
        except Unavailable:
            logger.warning("Prefect does not answer; nobody is told how many workers there are.")
            return None

    async def _log_of(self, result: JobResult, after: int = 0) -> list[LogEntry]:
        if result.flow_run_id is None:
            return []
        return [entry_of(line, result.id) for line in await self._engine.logs(result.flow_run_id, after)]

    async def _refreshed(self, results: list[JobResult]) -> bool:
        """Learn how these stand; say whether any was still under way."""
        if all(result.status.final for result in results):
            return False
        try:
            await self._watch.refresh(results)
        except Unavailable:
            logger.warning("Prefect does not answer; the last known state of runs is shown.")
        return True


def _page(actor: Actor, kind: ObjectType, listing: Listing, tx: Transaction) -> Page[Any]:
    policy.enforce(policy.check_type(actor, Action.VIEW, kind), kind)
    return tx.page(kind, actor, listing)


def _newest(actor: Actor, job_ids: Collection[UUID], tx: Transaction) -> list[JobResult]:
    allowed = policy.check_type(actor, Action.VIEW, ObjectType.JOB_RESULT) == Allowed()
    return tx.newest_results(actor, job_ids) if allowed else []


def _seen_results(actor: Actor, ids: Collection[UUID], tx: Transaction) -> list[JobResult]:
    seen = tx.visible(ObjectType.JOB_RESULT, actor, Action.VIEW, ids)
    return tx.all(JobResult, order="id", id=seen) if seen else []


def _one(actor: Actor, kind: ObjectType, by: Mapping[str, Any], tx: Transaction) -> Any:
    return get_authorized(tx, actor, Action.VIEW, kind, **by)


LEVELS = (
    (50, "critical"),
    (40, "error"),
    (35, "failure"),
    (30, "warning"),
    (25, "success"),
    (20, "info"),
)
"""Python's log levels, from the highest, as the contract names them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """A line of a job result's log."""

    id: UUID
    job_result: UUID
    log_level: str
    grouping: str
    message: str
    created: datetime


def entry_of(line: LogLine, result_id: UUID) -> LogEntry:
    """Return a line of Prefect's as an entry of a job result's log."""
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
    """Return the entries that are asked for, in order; the oldest first when nobody says.

    Args:
        entries: what there is.
        where: conditions, all of which must hold.
        search: a part of the message, whatever its case; empty matches all.
        sort: attributes, a leading ``-`` for descending.
    """
    things: list[Mapping[str, Any]] = [asdict(entry) for entry in entries]
    kept = [
        (thing, entry)
        for thing, entry in zip(things, entries, strict=True)
        if search.lower() in entry.message.lower() and all(condition.holds(thing) for condition in where)
    ]
    # The last key first: sorting keeps the order of what is equal.
    for name in reversed((*(sort or ("created",)), "id")):
        path, down = name.removeprefix("-"), name.startswith("-")
        kept.sort(key=lambda pair: pair[0][path], reverse=down)
    return [entry for _, entry in kept]


def level_name(level: int) -> str:
    """Return the contract's name of a Python log level."""
    return next((name for least, name in LEVELS if level >= least), "debug")


def grouping(source: str) -> str:
    """Return the section of a log line: what its logger is called below Prefect's own, ``run`` by default."""
    return source.removeprefix("prefect.flow_runs").strip(".") or "run"
