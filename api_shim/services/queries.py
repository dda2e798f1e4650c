"""Queries: pages and single objects, and the logs of runs, limited to what the caller may view.

* A list requires permission to view the type (403), and contains only the objects that the caller may view.
* A single object that the caller may not view is not found (404).
* A list that is asked for by a related object must be asked for by one that there is, as far as the caller may know:
  they may view it, or something in the list that it is related to.
* Only the logs and the numbers of workers are asked of Prefect: how a run stands its own process tells, or the
  background loop has learned.
* Prefect stores the logs. Log entries have the contract's levels and groupings, and are filtered, searched, sorted and
  paged here in the same way as the store does for its own lists.
* What Prefect's engine says of a run is a grouping of its own, ``engine``.
* The id of a log entry begins as that of its job result does, so that it can be found by its id alone.

Contract 2, 5 and 7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.model import Job, JobResult, queue_id, tag_id
from api_shim.domain.ports import NOTICES, WHOLE, LogLine, LogPart, Orchestrator
from api_shim.domain.query import Condition
from api_shim.parsing.filters import no_choice
from api_shim.reconcile.pools import pools_of
from api_shim.services.authorization import get_authorized
from api_shim.services.user_names import as_written
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Invalid, Unavailable
from approval_gate.model import Action, Actor, ObjectType
from flows.log_objects import read_object

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

    async def logs(self, actor: Actor, result_id: UUID, part: LogPart = WHOLE) -> list[LogEntry]:
        """Return the log of a job result, or a part of it, oldest first.

        Args:
            actor: the caller.
            result_id: the id of the job result.
            part: which part.

        Raises:
            Forbidden: the caller may not view job results.
            NotFound: the job result does not exist, or the caller may not view it.
            Unavailable: Prefect, which stores the logs, does not answer.
        """
        result = await self._store.read(partial(_one, actor, ObjectType.JOB_RESULT, {"id": result_id}))
        return await self._log_of(result, part)

    async def log_entry(self, actor: Actor, asked: UUID) -> LogEntry:
        """Return one line of a log.

        Raises:
            Forbidden: the caller may not view job results.
            NotFound: there is none, or the caller may not view its job result.
            Unavailable: Prefect, which stores the logs, does not answer.
        """
        policy.enforce(policy.check_type(actor, Action.VIEW, ObjectType.JOB_RESULT), ObjectType.JOB_RESULT)
        for result in await self._store.read(partial(_results_of_entry, actor, asked)):
            for entry in await self._log_of(result):
                if entry.id == asked:
                    return entry
        raise policy.missing(LOG_ENTRY)

    async def log_entries(self, actor: Actor, result_ids: Collection[UUID] | None, listing: Listing) -> Page[LogEntry]:
        """Return a page of the logs of job results, without those that the actor may not view.

        Args:
            actor: the caller.
            result_ids: the ids of the job results; None for the newest that the actor may view.
            listing: the conditions, order and page. What Prefect's engine says is among it if a condition asks about
                the grouping.

        Raises:
            Forbidden: the caller may not view log entries.
            Unavailable: Prefect, which stores the logs, does not answer.
        """
        policy.enforce(policy.check_type(actor, Action.VIEW, LOG_ENTRY), LOG_ENTRY)
        seen = await self._store.read(partial(_seen_results, actor, result_ids))
        entries = [entry for result in seen for entry in await self._log_of(result)]
        if not any(test.path == "grouping" for condition in listing.where for test in condition.tests):
            entries = without_engine(entries)
        found = selected(entries, listing.where, listing.search, listing.sort)
        return Page(len(found), found[listing.offset : listing.offset + listing.limit])

    async def worker_counts(self) -> Mapping[str, int] | None:
        """Return how many workers serve each queue; None if Prefect does not answer."""
        try:
            pools = await self._store.read(partial(pools_of, own=self._engine.pool))
            counts = {pool: await self._engine.worker_counts(pool) for pool in {"", *pools.values()}}
        except Unavailable:
            logger.warning("Prefect is not responding, so the numbers of workers are unknown.")
            return None
        return {**counts[""], **{queue: counts[pool].get(queue, 0) for queue, pool in pools.items()}}

    async def _log_of(self, result: JobResult, part: LogPart = WHOLE) -> list[LogEntry]:
        if result.flow_run_id is None:
            return []
        return [entry_of(line, result) for line in await self._engine.logs(result.flow_run_id, part)]


def _page(actor: Actor, kind: ObjectType, listing: Listing, tx: Transaction) -> Page[Any]:
    policy.enforce(policy.check_type(actor, Action.VIEW, kind), kind)
    return tx.page(kind, actor, asked_of(tx, actor, kind, listing))


RELATED = {
    "approved_by_user": ObjectType.USER,
    "decided_by_user": ObjectType.USER,
    "job_model": ObjectType.JOB,
    "job_queues": ObjectType.JOB_QUEUE,
    "scheduled_job": ObjectType.SCHEDULED_JOB,
    "user": ObjectType.USER,
}
"""The types of related objects, by field."""

OF_JOBS: Mapping[str, Callable[[Job], set[object]]] = {
    "job_queues": lambda job: {*job.queues, *map(queue_id, job.queues)},
    "tags": lambda job: {*job.tags, *map(tag_id, job.tags)},
}
"""What a Job may have several of, by field: their names and their ids."""


def asked_of(tx: Transaction, actor: Actor, kind: ObjectType, listing: Listing) -> Listing:
    """Return what is asked of a list as the store can be asked.

    Raises:
        Invalid: it is asked for by a related object that there is not.
    """
    written = as_written(tx, listing)
    jobs = tx.all(Job) if any(map(_of_jobs, written.where)) else []
    faults: dict[str, list[str]] = {}
    for condition in written.where:
        for test in condition.tests:
            if isinstance(test, Lookup) and test.op is Op.IN and _field(test) in {*RELATED, *OF_JOBS}:
                unknown = next(_unknown(tx, actor, kind, test, jobs), None)
                faults |= {} if unknown is None else {condition.parameter: [no_choice(unknown)]}
    if faults:
        raise Invalid(faults)
    return replace(written, where=tuple(_by_jobs(jobs, condition) for condition in written.where))


def _unknown(tx: Transaction, actor: Actor, kind: ObjectType, asked: Lookup, jobs: Sequence[Job]) -> Iterator[object]:
    """Yield what names no related object that the actor may view, or that something in the list is related to."""
    related, by = RELATED.get(_field(asked)), asked.path.partition("__")[2] or "id"
    listing = Listing(where=(Condition(tests=(replace(asked, path=by),)),), limit=len(asked.value))
    viewed = {getattr(row, by) for row in tx.page(related, actor, listing).rows} if related else set()
    for value in asked.value:
        if value in viewed:
            continue
        with_it = _by_jobs(jobs, Condition(tests=(replace(asked, value=(value,)),)))
        if not tx.page(kind, actor, Listing(where=(with_it,), limit=1)).rows:
            yield value


def _field(asked: Lookup) -> str:
    return asked.path.partition("__")[0]


def _of_jobs(condition: Condition) -> list[Lookup]:
    """Return what a condition asks of the queues or tags of Jobs."""
    return [test for test in condition.tests if isinstance(test, Lookup) and _field(test) in OF_JOBS]


def _by_jobs(jobs: Iterable[Job], condition: Condition) -> Condition:
    """Return a condition about the queues or tags of Jobs as one about the Jobs that have them; any other as it is."""
    asked = _of_jobs(condition)
    if not asked:
        return condition
    have = [job.id for job in jobs if any(OF_JOBS[_field(test)](job) & {*test.value} for test in asked)]
    return replace(condition, tests=(Lookup(path="id", op=Op.IN, value=tuple(have)),))


def _seen_results(actor: Actor, ids: Collection[UUID] | None, tx: Transaction) -> list[JobResult]:
    if ids is None:
        return tx.page(ObjectType.JOB_RESULT, actor, Listing(limit=LOGS_AT_ONCE)).rows
    seen = tx.visible(ObjectType.JOB_RESULT, actor, Action.VIEW, ids)
    return tx.all(JobResult, order="id", id=seen) if seen else []


def _results_of_entry(actor: Actor, asked: UUID, tx: Transaction) -> list[JobResult]:
    """Return the job results that a log entry may be of, by its id: in practice one at most."""
    ends = {Op.GTE: entry_id(asked, UUID(int=0)), Op.LTE: entry_id(asked, UUID(int=(1 << 128) - 1))}
    where = tuple(Condition(tests=(Lookup(path="id", op=op, value=end),)) for op, end in ends.items())
    return tx.page(ObjectType.JOB_RESULT, actor, Listing(where=where, limit=LOGS_AT_ONCE)).rows


def _one(actor: Actor, kind: ObjectType, by: Mapping[str, Any], tx: Transaction) -> Any:
    return get_authorized(tx, actor, Action.VIEW, kind, **by)


# Log entries

LOG_ENTRY = ObjectType.JOB_LOG_ENTRY
LOGS_AT_ONCE = 20
"""Maximum number of job results in one list of log lines: each needs a request to Prefect."""

FIRST = "initialization"
"""The grouping of the first line of a run, which tells what runs."""

ENGINE = "engine"
"""The grouping of what Prefect says of a run."""

ENGINES = frozenset(
    {
        "prefect.flow_runs.engine",
        "prefect.flow_runs.runner",
        "prefect.flow_runs.worker",
        "prefect.task_runs.engine",
        NOTICES,
    }
)
"""The loggers of what Prefect says of a run, and of what we say to people there; headings that a Job gives are below
``prefect.flow_runs.run``.
"""

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
    """An entry in the log of a job result.

    Args:
        log_object: the name of what it is about; empty if it does not say.
        absolute_url: the page of that; empty if there is none.
        by_engine: whether Prefect's engine says it, and not the Job.
    """

    id: UUID
    job_result: UUID
    log_level: str
    grouping: str
    message: str
    log_object: str
    absolute_url: str
    created: datetime
    by_engine: bool = False


def entry_of(line: LogLine, result: JobResult) -> LogEntry:
    """Convert a line of Prefect's log to an entry in a job result's log."""
    source, about, address = read_object(line.source)
    heading = grouping(source)
    told = heading == FIRST and result.job_id is not None
    return LogEntry(
        id=entry_id(result.id, line.id),
        job_result=result.id,
        log_level=level_name(line.level),
        grouping=heading,
        message=line.message,
        log_object=result.name if told else about,
        absolute_url=f"/signoff/jobs/{result.job_id}/run" if told else address,
        created=line.created,
        by_engine=source in ENGINES,
    )


def entry_id(result_id: UUID, line_id: UUID) -> UUID:
    """Return the id of the log entry that a line of Prefect's log is."""
    return UUID(result_id.hex[:16] + line_id.hex[16:])


def without_engine(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """Return log entries without what Prefect's engine says."""
    return [entry for entry in entries if not entry.by_engine]


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
    """Return the grouping of a log line: the heading that its Job gave it, or ``run``; else the name of its logger."""
    if source in ENGINES:
        return ENGINE
    return source.removeprefix("prefect.flow_runs").strip(".").removeprefix("run.") or "run"
