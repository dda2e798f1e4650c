"""Views of Jobs: a list with how each went last and when it is due next, and one with its settings and their changes.

* Only what the caller may view is shown: of Jobs, of their results, and of their scheduled jobs.
* A list takes a fixed number of queries, however many Jobs there are; a few more where what is due first does not run.
* Who has changed a Job, and when, is shown to those who may change it.
* Favourites are everybody's own. They need permission to view the Job, and a token that may write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.accounts import FavouriteJob
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import NEVER, Job, JobResult
from api_shim.reconcile.firings import MISSED_AFTER
from api_shim.services.authorization import get_authorized, load_contexts, permitted_ids
from api_shim.services.forecast import forecasts
from api_shim.services.queries import asked_of
from api_shim.services.schedules import why_never
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.model import Action, Actor, Allowed, ObjectType

KIND = ObjectType.JOB
CANDIDATES = 3
"""How many scheduled jobs of each Job are judged at first for the one that runs next, those that may be due first."""
RECENT = 5
"""How many results of one Job are shown."""
RECENT_CHANGES = 30
"""How many changes of one Job are shown."""
CHANGES = [
    EventType.JOB_CHANGED,
    EventType.APPROVAL_SWITCHED_ON,
    EventType.APPROVAL_SWITCHED_OFF,
    EventType.SENSITIVITY_CHANGED,
]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSight:
    """A Job in a list.

    Args:
        job: the Job.
        favourite: whether it is a favourite of the caller.
        newest: its newest result that the caller may view.
        due: when a scheduled job of it that the caller may view runs next; None for never.
        may_change: whether the caller may change it.
        may_run: whether the caller can run it now.
    """

    job: Job
    favourite: bool
    newest: JobResult | None
    due: datetime | None
    may_change: bool
    may_run: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDetail:
    """One Job.

    Args:
        sight: the Job, as in a list.
        results: its newest results that the caller may view, the newest first.
        why_no_switch: why the caller may not change what decides whether others have to approve; empty if they may.
        events: who has changed it, the newest first; nothing for those who may not change it.
    """

    sight: JobSight
    results: list[JobResult]
    why_no_switch: str
    events: list[AuditEvent]


class JobViews:
    """Shows Jobs to people, and keeps which are their favourites.

    Args:
        store: the store.
        clock: returns the current time, timezone-aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def page(self, actor: Actor, listing: Listing) -> Page[JobSight]:
        """Return a page of the Jobs that the actor may view.

        Raises:
            Forbidden: the caller may not view Jobs.
            Invalid: it is asked for by a queue or a tag that there is not.
        """
        return await self._store.read(partial(_page, actor, listing, self._clock()))

    async def detail(self, actor: Actor, job_id: UUID) -> JobDetail:
        """Return one Job with its newest results and, for those who may change it, its changes.

        Raises:
            Forbidden: the caller may not view Jobs.
            NotFound: the Job does not exist, or the caller may not view it.
        """
        return await self._store.read(partial(_detail, actor, job_id, self._clock()))

    async def changeable(self, actor: Actor, job_id: UUID) -> JobDetail:
        """Return one Job that the actor may change.

        Raises:
            Forbidden: the caller may not change Jobs, or not this one, which they may view.
            NotFound: the Job does not exist, or the caller may not view it.
        """
        return await self._store.read(partial(_detail, actor, job_id, self._clock(), action=Action.CHANGE))

    async def set_favourite(self, actor: Actor, job_id: UUID, *, favourite: bool) -> Job:
        """Make a Job a favourite of the actor's, or make it none.

        Raises:
            Forbidden: the caller may not view Jobs, or may only read.
            NotFound: the Job does not exist, or the caller may not view it.
        """
        policy.enforce(policy.may_write(actor), KIND)
        return await self._store.write(partial(_set_favourite, actor, job_id, favourite))


def _page(actor: Actor, listing: Listing, now: datetime, tx: Transaction) -> Page[JobSight]:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    page: Page[Job] = tx.page(KIND, actor, asked_of(tx, actor, KIND, listing))
    return Page(page.count, _sights(tx, actor, page.rows, now))


def _sights(tx: Transaction, actor: Actor, jobs: Collection[Job], now: datetime) -> list[JobSight]:
    ids = [job.id for job in jobs]
    ready = [job.id for job in jobs if policy.runnable(job.runnable) == Allowed() and not why_never(job)]
    favourites = {each.job_id for each in tx.all(FavouriteJob, user_id=actor.id)}
    changeable = permitted_ids(tx, actor, Action.CHANGE, KIND, ids)
    runnable = permitted_ids(tx, actor, Action.RUN, KIND, ready)
    newest = {result.job_id: result for result in _newest(tx, actor, ids)}
    due = _next_firings(tx, actor, ids, now)
    return [
        JobSight(
            job=job,
            favourite=job.id in favourites,
            newest=newest.get(job.id),
            due=due.get(job.id),
            may_change=job.id in changeable,
            may_run=job.id in runnable,
        )
        for job in jobs
    ]


def _newest(tx: Transaction, actor: Actor, ids: Collection[UUID]) -> list[JobResult]:
    allowed = policy.check_type(actor, Action.VIEW, ObjectType.JOB_RESULT) == Allowed()
    return tx.newest_results(actor, ids) if allowed else []


def _next_firings(tx: Transaction, actor: Actor, ids: list[UUID], now: datetime) -> Mapping[UUID, datetime]:
    """Return when each Job runs next by a scheduled job that the actor may view."""
    kind = ObjectType.SCHEDULED_JOB
    if policy.check_type(actor, Action.VIEW, kind) != Allowed():
        return {}
    soonest: dict[UUID, datetime] = {}
    after, many = 0, CANDIDATES
    while ids:
        looks = tx.first_looks(actor, ids, after=after, many=many)
        cases = load_contexts(tx, [row for row, _ in looks], now)
        for case, prospect in zip(cases, forecasts(tx, cases, now), strict=True):
            if (at := prospect.next_firing) is not None:
                soonest[case.row.job_id] = min(at, soonest.get(case.row.job_id, NEVER))
        seen, last = Counter(row.job_id for row, _ in looks), {row.job_id: look for row, look in looks}
        # What has not been judged fires no earlier than the last that has been may.
        ids = [job for job in ids if seen[job] == many and soonest.get(job, NEVER) > last[job] - MISSED_AFTER]
        after, many = after + many, many * 4
    return soonest


def _detail(actor: Actor, job_id: UUID, now: datetime, tx: Transaction, action: Action = Action.VIEW) -> JobDetail:
    job: Job = get_authorized(tx, actor, Action.VIEW, KIND, id=job_id)
    policy.enforce(policy.check_object(actor, action, KIND, tx.attributes(KIND, job_id)), KIND)
    [sight] = _sights(tx, actor, [job], now)
    listing = Listing(limit=RECENT, sort=("-date_created",))
    seen = policy.check_type(actor, Action.VIEW, ObjectType.JOB_RESULT) == Allowed()
    switch = policy.change_job(actor, tx.attributes(KIND, job.id), policy.SWITCHES)
    return JobDetail(
        sight=sight,
        results=tx.page(ObjectType.JOB_RESULT, actor, listing, job_id=job.id).rows if seen else [],
        why_no_switch=policy.why_not(switch, hidden=policy.NO_PERMISSION),
        events=tx.newest_events(RECENT_CHANGES, job_id=job.id, act=CHANGES) if sight.may_change else [],
    )


def _set_favourite(actor: Actor, job_id: UUID, favourite: bool, tx: Transaction) -> Job:
    job: Job = get_authorized(tx, actor, Action.VIEW, KIND, id=job_id)
    mark = FavouriteJob(user_id=actor.id, job_id=job.id)
    if favourite:
        # Two forms that are sent at once find it there, whichever comes first.
        tx.add_missing([mark])
    else:
        tx.remove(mark)
    return job
