"""The approval queue: the requests that wait for a decision, as one person sees them.

* Only requests that the caller may view are told. What they may decide is judged by the rules, not repeated here.
* It has two views: the requests that wait for the caller, who can approve them, and those that wait for others.
* Filters, order and pages of a view are applied to what was judged, so that both its numbers and its pages agree with
  the rules. So many requests are judged at most; how many more there are is told.
* Who asked is found by the name that the caller is shown, and inputs that are hidden are not searched.
* All of it takes a fixed number of queries, however many requests wait.

Contract 6 and 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from uuid import UUID

from api_shim.domain.model import ApprovalRequest, Job, ScheduledJob
from api_shim.services.authorization import KIND, AuthzContext, load_contexts
from api_shim.services.queries import asked_of
from api_shim.services.stored_inputs import why_unfit
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType

JUDGED = 500
"""How many requests are judged at most, those that start first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A request in the queue, as one person sees it.

    Args:
        requester: the name of who asked for it.
        asked: since when it waits: when it was requested, or returned to the queue.
        why_not: why they may not approve it; empty if they may.
        why_not_deny: why they may not deny it, or withdraw it if it is their own; empty if they may.
        unfit: why its inputs do not fit the variables of its Job any more; empty if they do.
    """

    scheduled: ScheduledJob
    requester: str
    asked: datetime
    why_not: str
    why_not_deny: str
    unfit: str


class QueueView(StrEnum):
    """Whom the requests of a view wait for."""

    MINE = "mine"
    OTHERS = "others"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueFilter:
    """What is asked of a view of the queue.

    Args:
        view: which requests.
        job: the id of their Job; None for any.
        requester: a part of the name of who asked, in any case; empty for anybody.
        asked_from: the first moment at which they were asked; None for any.
        asked_before: the moment before which they were asked; None for any.
        search: a part of the name, the Job, who asked, the description or the inputs, in any case.
        sort: by what they are ordered, one of ``ORDERS``, with a leading ``-`` for descending.
        limit: how many to return at most.
        offset: how many to pass over.
    """

    view: QueueView = QueueView.MINE
    job: UUID | None = None
    requester: str = ""
    asked_from: datetime | None = None
    asked_before: datetime | None = None
    search: str = ""
    sort: str = "asked"
    limit: int = 25
    offset: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """A page of a view of the queue.

    Args:
        rows: the requests of the page.
        found: how many requests of the view match the filter.
        counts: how many requests each view has without a filter.
        jobs: the Jobs of all requests, sorted by name.
        unjudged: how many more requests wait than were judged.
    """

    rows: Sequence[Waiting]
    found: int
    counts: Mapping[QueueView, int]
    jobs: Sequence[Job]
    unjudged: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judged:
    """A request and whether the caller can approve it."""

    case: AuthzContext
    asked: datetime
    view: QueueView


ORDERS: Mapping[str, Callable[[_Judged], tuple[object, ...]]] = {
    "asked": lambda each: (each.asked,),
    "expires": lambda each: (each.case.row.expires_at is None, each.case.row.expires_at),
    "start": lambda each: (each.case.row.start_time,),
    "name": lambda each: (each.case.row.name.casefold(),),
    "job": lambda each: (each.case.job.name.casefold(), each.asked),
    "requester": lambda each: (each.case.requester.casefold(), each.asked),
}
"""What a view can be ordered by."""


class ApprovalQueue:
    """Reads the approval queue.

    Args:
        store: the store.
        clock: returns the current time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def listed(self, actor: Actor, listing: Listing) -> Page[Waiting]:
        """Return a page of what waits for a decision and the actor may view.

        Raises:
            Forbidden: the caller may not view scheduled jobs.
            Invalid: it is asked for by a related object that there is not.
        """
        return await self._store.read(partial(_listed, actor, listing, self._clock()))

    async def page(self, actor: Actor, asked: QueueFilter) -> Queue:
        """Return a page of a view.

        Raises:
            Forbidden: the caller may not view scheduled jobs.
        """
        return await self._store.read(partial(_page, actor, asked, self._clock()))

    async def counts(self, actor: Actor) -> Mapping[QueueView, int]:
        """Return how many requests each view has; none if the actor may not look."""
        may = actor.may(Action.VIEW, KIND)
        return await self._store.read(partial(_counts, actor, self._clock())) if may else dict.fromkeys(QueueView, 0)

    async def count(self, actor: Actor) -> int:
        """Return how many requests the actor can approve; none if they may not even look."""
        may = actor.may(Action.VIEW, KIND) and actor.may(Action.APPROVE, ObjectType.JOB)
        return (await self.counts(actor))[QueueView.MINE] if may else 0


def _listed(actor: Actor, listing: Listing, now: datetime, tx: Transaction) -> Page[Waiting]:
    page = _pending(actor, asked_of(tx, actor, KIND, listing), tx)
    since = asked_since(tx, page.rows)
    waiting = [waiting_of(actor, case, since[case.row.id]) for case in load_contexts(tx, page.rows, now)]
    return Page(page.count, waiting)


def _page(actor: Actor, asked: QueueFilter, now: datetime, tx: Transaction) -> Queue:
    page = _pending(actor, Listing(limit=JUDGED), tx)
    judged = _judge(tx, actor, page.rows, now)
    found = [each for each in judged if each.view is asked.view and _matches(each, asked)]
    found.sort(key=ORDERS[asked.sort.removeprefix("-")], reverse=asked.sort.startswith("-"))
    shown = found[asked.offset : asked.offset + asked.limit]
    jobs = {each.case.job.id: each.case.job for each in judged}
    return Queue(
        rows=[waiting_of(actor, each.case, each.asked) for each in shown],
        found=len(found),
        counts=_in_views(each.view for each in judged),
        jobs=sorted(jobs.values(), key=lambda job: job.name.casefold()),
        unjudged=page.count - len(page.rows),
    )


def _counts(actor: Actor, now: datetime, tx: Transaction) -> dict[QueueView, int]:
    rows = _pending(actor, Listing(limit=JUDGED), tx).rows
    return _in_views(_view_of(actor, case) for case in (load_contexts(tx, rows, now) if rows else ()))


def _in_views(views: Iterable[QueueView]) -> dict[QueueView, int]:
    return dict.fromkeys(QueueView, 0) | Counter(views)


def _view_of(actor: Actor, case: AuthzContext) -> QueueView:
    return QueueView.OTHERS if why_not_approve(actor, case) else QueueView.MINE


def _judge(tx: Transaction, actor: Actor, rows: list[ScheduledJob], now: datetime) -> list[_Judged]:
    since = asked_since(tx, rows)
    return [
        _Judged(case=case, asked=since[case.row.id], view=_view_of(actor, case))
        for case in load_contexts(tx, rows, now)
    ]


def _matches(each: _Judged, asked: QueueFilter) -> bool:
    row, job = each.case.row, each.case.job
    if asked.job is not None and job.id != asked.job:
        return False
    if asked.asked_from is not None and each.asked < asked.asked_from:
        return False
    if asked.asked_before is not None and each.asked >= asked.asked_before:
        return False
    if asked.requester.casefold() not in each.case.requester.casefold():
        return False
    inputs = () if row.hides_inputs(job) else (*row.inputs, *map(str, row.inputs.values()))
    texts = (row.name, job.name, job.class_path, each.case.requester, row.description, *inputs)
    return any(asked.search.casefold() in text.casefold() for text in texts)


def _pending(actor: Actor, listing: Listing, tx: Transaction) -> Page[ScheduledJob]:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    listing = replace(listing, sort=listing.sort or ("start_time",))
    return tx.page(KIND, actor, listing, approval=ApprovalState.PENDING, enabled=True)


def asked_since(tx: Transaction, rows: Collection[ScheduledJob]) -> dict[UUID, datetime]:
    """Return since when each of these scheduled jobs has waited for approval, by id."""
    open_requests = tx.all(ApprovalRequest, scheduled_job_id=[row.id for row in rows], state=ApprovalState.PENDING)
    known = {request.scheduled_job_id: request.created for request in open_requests}
    # Of requests that an earlier version has made none is kept until they are decided.
    return {row.id: known.get(row.id, row.created) for row in rows}


def waiting_of(actor: Actor, case: AuthzContext, asked: datetime) -> Waiting:
    """Return a request as the actor sees it.

    Args:
        actor: the caller.
        case: the request.
        asked: since when it waits.
    """
    return Waiting(
        scheduled=case.row,
        requester=case.requester,
        asked=asked,
        why_not=why_not_approve(actor, case),
        why_not_deny=why_not_deny(actor, case),
        unfit=why_unfit(case.row, case.job),
    )


def why_not_approve(actor: Actor, case: AuthzContext) -> str:
    """Return why somebody may not approve a request, whatever its start is; empty if they may."""
    return policy.why_not(policy.approve(actor, case.request, force=True), hidden=policy.MAY_NOT_APPROVE)


def why_not_deny(actor: Actor, case: AuthzContext) -> str:
    """Return why somebody may not deny a request, or withdraw their own; empty if they may."""
    return policy.why_not(policy.deny(actor, case.request), hidden=policy.MAY_NOT_DENY)
