"""Views of scheduled jobs: a list, a calendar of their firings, the details of one, and explanations.

* Only what the caller may view is shown. What they may do with it is decided by the rules, not repeated here.
* A list and a calendar take a fixed number of queries, however many scheduled jobs there are. A calendar shows a
  limited number of them, and finds a limited number of firings of each: those that are past are summed by the store.
* Details include the audit events of the scheduled job, except those of admitted runs, which are its job results.
* An explanation says who may do what, or why not, and when the scheduled job fires next, or why not. It evaluates the
  rules themselves, so it describes what would happen.
* Everybody may ask about themselves. To ask about other users, and to see their names, the caller must be allowed to
  view their accounts; that there are others is told to everybody.
* The next firing is judged by the present owner, approval and Job.

Contract 1.4, 1.9, 5 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.calendar_spans import PARTS, Fired, bands, parts_of
from api_shim.domain.crontab_text import note_on
from api_shim.domain.model import Job, JobResult, ScheduledJob
from api_shim.domain.query import Condition
from api_shim.domain.recurrence import next_times
from api_shim.reconcile.firings import is_taken
from api_shim.services.accounts import usernames
from api_shim.services.authentication import actor_of, actors_of
from api_shim.services.authorization import (
    KIND,
    AuthzContext,
    authorize_view,
    get_authorized,
    load_contexts,
    permitted_ids,
    versions_of,
)
from api_shim.services.forecast import Forecast, due_within, forecast_of, forecasts
from api_shim.services.run_origins import seen_origins
from api_shim.services.stored_inputs import why_unfit
from api_shim.services.user_names import as_written, referred_user
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import ownership, policy
from approval_gate.constraints import Lookup, Op
from approval_gate.model import Action, Actor, Allowed, Denied, ObjectType, Verdict

# List, day and details

LOOKED_AT = 500
"""The most enabled scheduled jobs that a calendar considers."""
LANES = 20
"""The most scheduled jobs that a calendar shows."""
RECENT_EVENTS = 30
"""The most events in the details of a scheduled job."""
TOLD = [act for act in EventType if act is not EventType.ADMITTED]
"""The types of events in the details of a scheduled job."""
ENABLED = Condition(tests=(Lookup(path="enabled", op=Op.EXACT, value=True),))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """A scheduled job in a list.

    Args:
        row: the scheduled job.
        job: its Job.
        owner: the name of its owner; empty if they have been removed.
        prospect: its next firing.
        last: its newest result that the caller may view; None if there is none.
        may_delete: whether the caller may delete it.
        may_assume: whether the caller may assume its ownership.
    """

    row: ScheduledJob
    job: Job
    owner: str
    prospect: Forecast
    last: JobResult | None
    may_delete: bool
    may_assume: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """The firings of one scheduled job in a calendar.

    Args:
        row: the scheduled job.
        prospect: its next firing.
        bands: the first and the last of each band of those to come.
        past: what became of those before.
    """

    row: ScheduledJob
    prospect: Forecast
    bands: list[tuple[datetime, datetime]]
    past: list[Fired]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """The firings of scheduled jobs within a time: what became of those that are past, and those to come.

    Args:
        begin: when the time begins.
        end: when it ends.
        now: the current time.
        lanes: the scheduled jobs that fire first.
        more: how many other scheduled jobs fire too.
        partly: whether there are more scheduled jobs than were considered.
        blind: whether the caller may not view what has run.
    """

    begin: datetime
    end: datetime
    now: datetime
    lanes: list[Lane]
    more: int
    partly: bool
    blind: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """The details of one scheduled job.

    Args:
        case: the scheduled job, its Job and its requester.
        owner: the name of its owner; empty if they have been removed.
        origin: the job result of the run that has requested it; None without one, or if the caller may not view it.
        prospect: its next firing.
        may: whether the caller may do each of ``OFFERED``.
        events: its audit events, the newest first.
        unfit: why its inputs do not fit the variables of its Job any more; empty if they do.
    """

    case: AuthzContext
    owner: str
    origin: UUID | None
    prospect: Forecast
    may: Mapping[str, Verdict]
    events: list[AuditEvent]
    unfit: str

    def allows(self, asked: str) -> bool:
        return self.may[asked] == Allowed()


OFFERED: Mapping[str, Callable[[Actor, policy.RequestFacts], Verdict]] = {
    "change": partial(ownership.change, runs_otherwise=False, inputs=False),
    "change_times": partial(ownership.change, runs_otherwise=True, inputs=False),
    "change_inputs": partial(ownership.change, runs_otherwise=True, inputs=True),
    "assume": ownership.assume,
    "transfer": ownership.hand_over,
    "copy": policy.may_run_job,
    "delete": lambda actor, request: policy.check_object(actor, Action.DELETE, KIND, request.thing),
}
"""What the page of a scheduled job offers, and the rule for each."""


class ScheduleViews:
    """Reads lists, calendars and details of scheduled jobs.

    Args:
        store: the store.
        clock: returns the current time, aware.
    """

    def __init__(self, *, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def page(self, actor: Actor, listing: Listing) -> Page[Sight]:
        """Return a page of the scheduled jobs that the actor may view.

        Raises:
            Forbidden: the caller may not view scheduled jobs.
        """
        return await self._store.read(partial(_page, actor, listing, self._clock()))

    async def counts(
        self, actor: Actor, listing: Listing, parts: Mapping[str, Iterable[Condition]]
    ) -> Mapping[str, int]:
        """Return how many of the scheduled jobs in a list that the actor may view are in each part of it.

        Args:
            actor: the caller.
            listing: the list.
            parts: the conditions that hold for all that is in a part.

        Raises:
            Forbidden: the caller may not view scheduled jobs.
        """
        return await self._store.read(partial(_counts, actor, listing, parts))

    async def calendar(self, actor: Actor, listing: Listing, ends: tuple[datetime, datetime]) -> Calendar:
        """Return the firings of the scheduled jobs in a list within a time.

        Args:
            actor: the caller.
            listing: the list; it is considered as a whole.
            ends: when the time begins and ends.

        Raises:
            Forbidden: the caller may not view scheduled jobs.
        """
        return await self._store.read(partial(_calendar, actor, listing, ends, self._clock()))

    async def jobs(self, actor: Actor) -> list[Job]:
        """Return the Jobs that the actor may view, sorted by name."""
        return await self._store.read(partial(_jobs, actor))

    async def deletable(self, actor: Actor, ids: Collection[UUID]) -> list[tuple[ScheduledJob, str]]:
        """Return those of these scheduled jobs that the actor may delete, each with its version, sorted by name.

        Raises:
            Forbidden: the caller may not delete scheduled jobs.
        """
        return await self._store.read(partial(_deletable, actor, ids))

    async def detail(self, actor: Actor, scheduled_id: UUID) -> Detail:
        """Return the details of one scheduled job.

        Raises:
            Forbidden: the caller may not view scheduled jobs.
            NotFound: the scheduled job does not exist, or the caller may not view it.
        """
        return await self._store.read(partial(_detail, actor, scheduled_id, self._clock()))


def _page(actor: Actor, listing: Listing, now: datetime, tx: Transaction) -> Page[Sight]:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    page: Page[ScheduledJob] = tx.page(KIND, actor, as_written(tx, listing))
    found = load_contexts(tx, page.rows, now)
    names = usernames(tx, [row.owner_id for row in page.rows])
    newest = {result.scheduled_job_id: result for result in tx.newest_results_of(actor, [row.id for row in page.rows])}
    deletable = permitted_ids(tx, actor, Action.DELETE, KIND, [row.id for row in page.rows])
    seen = [
        Sight(
            row=case.row,
            job=case.job,
            owner=names.get(case.row.owner_id, ""),
            prospect=prospect,
            last=newest.get(case.row.id),
            may_delete=case.row.id in deletable,
            may_assume=ownership.assume(actor, case.request) == Allowed(),
        )
        for case, prospect in zip(found, forecasts(tx, found, now), strict=True)
    ]
    return Page(page.count, seen)


def _counts(
    actor: Actor, listing: Listing, parts: Mapping[str, Iterable[Condition]], tx: Transaction
) -> Mapping[str, int]:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    return tx.counts(KIND, actor, as_written(tx, listing), parts)


def _calendar(
    actor: Actor, listing: Listing, ends: tuple[datetime, datetime], now: datetime, tx: Transaction
) -> Calendar:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    begin, end = ends
    every = as_written(tx, replace(listing, limit=LOOKED_AT, offset=0))
    page: Page[ScheduledJob] = tx.page(KIND, actor, replace(every, where=(*every.where, ENABLED)))
    dues = {row.id: due for row in page.rows if (due := due_within(row, max(begin, now), end, now)) is not None}
    may_look = policy.check_type(actor, Action.VIEW, ObjectType.JOB_RESULT) == Allowed()
    past = (begin, min(end, now)) if may_look and begin < now else None
    fired = tx.first_fired(actor, every, past) if past else Page(0, [])
    firsts = {row.id: (dues[row.id], row.name) for row in page.rows if row.id in dues}
    firsts |= {row_id: (first, name) for row_id, name, first in fired.rows}
    shown = sorted(firsts, key=lambda row_id: firsts[row_id])[:LANES]
    ran = tx.fired(actor, shown, past, parts_of(begin, end)) if past and shown else []
    return Calendar(
        begin=begin,
        end=end,
        now=now,
        lanes=_lanes(tx, shown, dues, ran, (begin, end, now)),
        more=max(len(firsts) - LANES, 0),
        partly=page.count > LOOKED_AT or fired.count > LOOKED_AT,
        blind=not may_look,
    )


def _lanes(
    tx: Transaction,
    shown: list[UUID],
    dues: Mapping[UUID, datetime],
    ran: list[Fired],
    times: tuple[datetime, datetime, datetime],
) -> list[Lane]:
    """Return the lanes of a calendar, in this order, from its begin to its end, at this time."""
    begin, end, now = times
    rows = {row.id: row for row in tx.all(ScheduledJob, id=shown)}
    found = load_contexts(tx, [rows[row_id] for row_id in shown], now)
    lanes = [
        Lane(
            row=case.row,
            prospect=prospect,
            bands=_bands(case.row, dues.get(case.row.id), end, (end - begin) / PARTS) if prospect.due else [],
            past=[each for each in ran if each.scheduled_id == case.row.id],
        )
        for case, prospect in zip(found, forecasts(tx, found, now), strict=True)
    ]
    return [lane for lane in lanes if lane.bands or lane.past]


def _bands(
    row: ScheduledJob, due: datetime | None, end: datetime, touching: timedelta
) -> list[tuple[datetime, datetime]]:
    if due is None:
        return []
    return [(due, due)] if row.one_off else [*bands(row.recurrence, due, end, touching)]


def _jobs(actor: Actor, tx: Transaction) -> list[Job]:
    jobs = tx.all(Job, order="name")
    seen = tx.visible(ObjectType.JOB, actor, Action.VIEW, [job.id for job in jobs])
    return [job for job in jobs if job.id in seen]


def _deletable(actor: Actor, ids: Collection[UUID], tx: Transaction) -> list[tuple[ScheduledJob, str]]:
    policy.enforce(policy.check_type(actor, Action.DELETE, KIND), KIND)
    rows = tx.all(ScheduledJob, order="name", id=permitted_ids(tx, actor, Action.DELETE, KIND, ids))
    versions = versions_of(tx, rows)
    return [(row, versions[row.id]) for row in rows]


def _detail(actor: Actor, scheduled_id: UUID, now: datetime, tx: Transaction) -> Detail:
    case = authorize_view(tx, actor, {"id": scheduled_id}, now)
    return Detail(
        case=case,
        owner=usernames(tx, [case.row.owner_id]).get(case.row.owner_id, ""),
        origin=next(iter(seen_origins(tx, actor, [case.row])), None),
        prospect=forecast_of(tx, case, now),
        may={asked: rule(actor, case.request) for asked, rule in OFFERED.items()},
        events=tx.newest_events(RECENT_EVENTS, scheduled_job_id=scheduled_id, act=TOLD),
        unfit=why_unfit(case.row, case.job),
    )


# Explanations

SHOWN_FIRINGS, MOST_FIRINGS = 10, 100
"""How many upcoming firings are returned: by default, and at most."""
UNSEEN = "This user may not view it."
INACTIVE = "This user has been deactivated."
EXPLAINED: Mapping[str, Callable[[Actor, policy.RequestFacts], Verdict]] = {
    "approve": partial(policy.approve, force=True),
    "deny": policy.deny,
    "dry_run": policy.dry_run,
    "run": ownership.run,
    "assume_ownership": ownership.assume,
}
"""What is explained, and the rule for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The explanation of a scheduled job.

    Args:
        subject: the user that the verdicts are about.
        verdicts: whether the user may do each of ``EXPLAINED``, and if not, why.
        people: the users who may do each of ``EXPLAINED``, among those that the caller may view.
        others: whether there are others who may do each of ``EXPLAINED``, whom the caller may not view.
        unfit: why its inputs do not fit the variables of its Job any more, so that its runs fail; empty if they do.
        needs_force: whether its start time has passed, so that an approval needs ``force``.
        next_firing: when it fires next; None if it does not fire.
        why_not: why it does not fire; empty if it does.
    """

    subject: User
    verdicts: Mapping[str, Verdict]
    people: Mapping[str, list[User]]
    others: Mapping[str, bool]
    unfit: str
    needs_force: bool
    next_firing: datetime | None
    why_not: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Upcoming:
    """The upcoming firings of a scheduled job.

    Args:
        time_zone: IANA name of the time zone of its schedule.
        times: the times of the firings.
        why_not: why, as things are now, it would not fire; empty if it would.
        note: what people may not expect of its crontab; empty if there is nothing to say.
    """

    time_zone: str
    times: list[datetime]
    why_not: str
    note: str


class Explainer:
    """Explains scheduled jobs.

    Args:
        store: the store.
        clock: returns the current time, aware.
    """

    def __init__(self, *, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def explain(self, actor: Actor, by: Mapping[str, Any], about: Mapping[str, Any] | None) -> Explanation:
        """Explain a scheduled job.

        Args:
            actor: the caller.
            by: the field that identifies the scheduled job.
            about: the field that identifies the user to explain it for; None for the caller.

        Raises:
            Forbidden: the caller may not view scheduled jobs, or asks about another user and may not view users.
            NotFound: the scheduled job or the user does not exist, or the caller may not view it.
        """
        return await self._store.read(partial(_explain, actor, by, about, self._clock()))

    async def upcoming(self, actor: Actor, by: Mapping[str, Any], count: int) -> Upcoming:
        """Return the upcoming firings of a scheduled job, by its schedule.

        Args:
            actor: the caller.
            by: the field that identifies the scheduled job.
            count: the most firings to return.

        Raises:
            Forbidden: the caller may not view scheduled jobs.
            NotFound: the scheduled job does not exist, or the caller may not view it.
        """
        return await self._store.read(partial(_upcoming, actor, by, count, self._clock()))


def _upcoming(actor: Actor, by: Mapping[str, Any], count: int, now: datetime, tx: Transaction) -> Upcoming:
    case = authorize_view(tx, actor, by, now)
    row = case.row
    if not row.one_off:
        times = next_times(row.recurrence, now, count)
    else:
        times = [] if is_taken(tx, row, row.start_time) else [max(row.start_time, now)]
    return Upcoming(
        time_zone=row.time_zone,
        times=times[:count],
        why_not=forecast_of(tx, case, now).why_not,
        note=note_on(row.crontab) if row.crontab else "",
    )


def _explain(
    actor: Actor, by: Mapping[str, Any], about: Mapping[str, Any] | None, now: datetime, tx: Transaction
) -> Explanation:
    case = authorize_view(tx, actor, by, now)
    subject = _subject(tx, actor, about)
    subject_actor = actor_of(tx, subject)
    prospect = forecast_of(tx, case, now)
    people, others = _people(tx, actor, case)
    return Explanation(
        subject=subject,
        verdicts={asked: _verdict(subject, subject_actor, rule, case) for asked, rule in EXPLAINED.items()},
        people=people,
        others=others,
        unfit=why_unfit(case.row, case.job),
        needs_force=case.request.past_due,
        next_firing=prospect.next_firing,
        why_not=prospect.why_not,
    )


def _subject(tx: Transaction, actor: Actor, about: Mapping[str, Any] | None) -> User:
    by = about or {"id": actor.id}
    named = referred_user(tx, by)
    if named is not None and named.id == actor.id:
        return named
    found: User = get_authorized(tx, actor, Action.VIEW, ObjectType.USER, **by)
    return found


def _verdict(
    user: User, actor: Actor, rule: Callable[[Actor, policy.RequestFacts], Verdict], case: AuthzContext
) -> Verdict:
    return rule(actor, case.request) if user.is_active else Denied(INACTIVE)


def _people(tx: Transaction, actor: Actor, case: AuthzContext) -> tuple[dict[str, list[User]], dict[str, bool]]:
    """Return who may do each of ``EXPLAINED``, and whether there are others, whom the actor may not view."""
    active = tx.all(User, order="username", is_active=True)
    seen = tx.visible(ObjectType.USER, actor, Action.VIEW, [user.id for user in active]) | {actor.id}
    known = [*zip(active, actors_of(tx, active), strict=True)]
    may = {
        asked: [user for user, other in known if rule(other, case.request) == Allowed()]
        for asked, rule in EXPLAINED.items()
    }
    return (
        {asked: [user for user in users if user.id in seen] for asked, users in may.items()},
        {asked: any(user.id not in seen for user in users) for asked, users in may.items()},
    )
