"""Views of job results: a list with what each came from, what of it can be deleted, and an export.

* Only what the caller may view is shown, also of what a run came from: its scheduled job, the run that
  requested it, and the request that was approved.
* A list takes a fixed number of queries, however many results it has.
* An export has what the same list shows, up to a limit; it is read in parts, as they are in one moment.

Contract 7 and 10.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import ApprovalRequest, JobResult, ScheduledJob
from api_shim.domain.query import Condition
from api_shim.parsing.fields import read_id
from api_shim.services.accounts import usernames
from api_shim.services.authorization import permitted_ids
from api_shim.services.run_origins import seen_origins
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.constraints import Lookup, Op
from approval_gate.model import Action, Actor, ObjectType

KIND = ObjectType.JOB_RESULT
MOST_SCHEDULES = 1000
"""How many scheduled jobs one text may name."""
MOST_EXPORTED = 10_000
"""How many results one export has."""
PART = 200
"""How many results are read at a time for an export."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultSight:
    """A job result in a list.

    Args:
        row: the job result.
        ran_as: the name of the user that it runs as; empty if they have been removed.
        scheduled: the scheduled job that it came from; None if there is none that the caller may view.
        origin: the job result of the run that has requested it; None without one, or if the caller may not view it.
        request: the request that was approved for it; None if there is none that the caller may view.
        may_delete: whether the caller may delete it now.
    """

    row: JobResult
    ran_as: str
    scheduled: ScheduledJob | None
    origin: UUID | None
    request: ApprovalRequest | None
    may_delete: bool


class ResultViews:
    """Reads lists of job results.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, actor: Actor, listing: Listing, schedule: str = "") -> Page[ResultSight]:
        """Return a page of the job results that the actor may view.

        Args:
            actor: the caller.
            listing: what is asked for.
            schedule: the id, or a part of the name, of the scheduled job that they came from; empty for any or none.

        Raises:
            Forbidden: the caller may not view job results.
        """
        return await self._store.read(partial(_page, actor, listing, schedule))

    async def exported(self, actor: Actor, listing: Listing, schedule: str = "") -> list[ResultSight]:
        """Return the first results of a list, at most ``MOST_EXPORTED``, without what they were given and answered.

        Raises:
            Forbidden: the caller may not view job results.
        """
        return await self._store.read(partial(_exported, actor, listing, schedule))

    async def sight(self, actor: Actor, result: JobResult) -> ResultSight:
        """Return one job result, which the actor may view, as a list has it."""
        return await self._store.read(lambda tx: _sights(tx, actor, [result])[0])

    async def deletable(self, actor: Actor, ids: Collection[UUID]) -> list[ResultSight]:
        """Return those of these results that are over and that the actor may delete, the newest first.

        Raises:
            Forbidden: the caller may not delete job results.
        """
        return await self._store.read(partial(_deletable, actor, ids))

    async def tried(self, actor: Actor, result: JobResult) -> UUID | None:
        """Return the id of the scheduled job whose request a dry run has tried.

        Returns:
            None if it has tried none, or none that the actor may view.
        """
        return await self._store.read(partial(_tried, actor, result)) if result.dry_run else None


def _page(actor: Actor, listing: Listing, schedule: str, tx: Transaction) -> Page[ResultSight]:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    where = (*listing.where, _of_schedules(tx, actor, schedule)) if schedule else listing.where
    page: Page[JobResult] = tx.page(KIND, actor, replace(listing, where=where))
    return Page(page.count, _sights(tx, actor, page.rows))


def _of_schedules(tx: Transaction, actor: Actor, text: str) -> Condition:
    """Return the condition that a result came from a scheduled job that is called so, and that the actor may view."""
    asked = read_id(text)
    named = Lookup(path="name", op=Op.ICONTAINS, value=text)
    test = named if asked is None else Lookup(path="id", op=Op.EXACT, value=asked)
    found = tx.page(
        ObjectType.SCHEDULED_JOB, actor, Listing(where=(Condition(tests=(test,)),), limit=MOST_SCHEDULES)
    ).rows
    return Condition(tests=(Lookup(path="scheduled_job", op=Op.IN, value=tuple(row.id for row in found)),))


def _sights(tx: Transaction, actor: Actor, rows: Sequence[JobResult]) -> list[ResultSight]:
    names = usernames(tx, [row.user_id for row in rows])
    scheduled = _scheduled(tx, actor, rows)
    requests = _requests(tx, actor, rows)
    origins = seen_origins(tx, actor, rows)
    deletable = permitted_ids(tx, actor, Action.DELETE, KIND, [row.id for row in rows if row.status.final])
    return [
        ResultSight(
            row=row,
            ran_as=names.get(row.user_id, ""),
            scheduled=scheduled.get(row.scheduled_job_id),
            origin=row.requested_from if row.requested_from in origins else None,
            request=requests.get((row.scheduled_job_id, _approved_at(row))),
            may_delete=row.id in deletable,
        )
        for row in rows
    ]


def _scheduled(tx: Transaction, actor: Actor, rows: Sequence[JobResult]) -> dict[UUID | None, ScheduledJob]:
    ids = {row.scheduled_job_id for row in rows if row.scheduled_job_id is not None}
    seen = tx.visible(ObjectType.SCHEDULED_JOB, actor, Action.VIEW, ids) if ids else set()
    return {each.id: each for each in tx.all(ScheduledJob, id=seen)} if seen else {}


def _requests(
    tx: Transaction, actor: Actor, rows: Sequence[JobResult]
) -> dict[tuple[UUID | None, datetime | None], ApprovalRequest]:
    """Return the requests that were approved for some results, by scheduled job and time of the approval."""
    approved = {row.scheduled_job_id: at for row in rows if (at := _approved_at(row)) is not None}
    times = {at for row in rows if (at := _approved_at(row)) is not None}
    ids = tuple(each for each in approved if each is not None)
    if not ids:
        return {}
    where = {"scheduled_job": ids, "decided_at": tuple(times)}
    asked = (Condition(tests=(Lookup(path=path, op=Op.IN, value=value),)) for path, value in where.items())
    found = tx.page(ObjectType.APPROVAL_REQUEST, actor, Listing(where=tuple(asked), limit=len(rows))).rows
    return {(each.scheduled_job_id, each.decided_at): each for each in found}


def _approved_at(row: JobResult) -> datetime | None:
    return datetime.fromisoformat(row.approval["at"]) if row.approval else None


def _exported(actor: Actor, listing: Listing, schedule: str, tx: Transaction) -> list[ResultSight]:
    found: list[ResultSight] = []
    for offset in range(0, MOST_EXPORTED, PART):
        rows = _page(actor, replace(listing, limit=PART, offset=offset), schedule, tx).rows
        found += (replace(each, row=replace(each.row, inputs=None, result=None, traceback=None)) for each in rows)
        if len(rows) < PART:
            break
    return found


def _deletable(actor: Actor, ids: Collection[UUID], tx: Transaction) -> list[ResultSight]:
    policy.enforce(policy.check_type(actor, Action.DELETE, KIND), KIND)
    may = permitted_ids(tx, actor, Action.DELETE, KIND, ids)
    rows = sorted(tx.all(JobResult, id=may), key=lambda row: row.date_created, reverse=True) if may else []
    return [each for each in _sights(tx, actor, rows) if each.may_delete]


def _tried(actor: Actor, result: JobResult, tx: Transaction) -> UUID | None:
    events = tx.all(AuditEvent, act=EventType.DRY_RUN, job_id=result.job_id, at=result.date_created)
    tried = {each.scheduled_job_id for each in events if each.data.get("job_result") == str(result.id)} - {None}
    seen = tx.visible(ObjectType.SCHEDULED_JOB, actor, Action.VIEW, [each for each in tried if each is not None])
    return next(iter(seen), None)
