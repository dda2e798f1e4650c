"""The use cases of looking at scheduled jobs as people do: many in a list, a day of them, and one with all about it.

* Only what the person may view is shown; what he may do with it is what the rules say, asked and not repeated here.
* A list and a day take the same number of queries however many scheduled jobs are in it.
* What was recorded about a scheduled job is shown to whoever may view it, but for the runs that were let go: those
  are its history.

Contract 1.4, 1.9, 5 and 10.

The use case of explaining a scheduled job: who may do what with it and why not, when it fires next and why not.

* The answers are those of the rules themselves: what is explained is what would happen.
* About himself everybody may ask; about others who may see their accounts. Only such people are named.
* A firing to come is judged as it stands now: who owns it, what has been approved, whether the Job is enabled.

Contract 10.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import Job, ScheduledJob
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
)
from api_shim.services.forecast import Forecast, due_within, forecast_of, forecasts, times_within
from api_shim.store import Listing, Page, Store, Transaction
from approval_gate import ownership, policy
from approval_gate.constraints import Lookup, Op
from approval_gate.model import Action, Actor, Allowed, Denied, ObjectType, Verdict

DAY = timedelta(hours=24)
LOOKED_AT = 500
"""How many enabled scheduled jobs a day is drawn from."""
LANES = 12
"""How many of them it shows."""
MOST_SHOWN = 24 * 60 + 1
RECENT_EVENTS = 30
TOLD = [act for act in EventType if act is not EventType.ADMITTED]

ENABLED = Condition(tests=(Lookup(path="enabled", op=Op.EXACT, value=True),))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """A scheduled job in a list, as one person sees it.

    Args:
        owner: the name of its owner; empty when he has been removed.
        may_delete: whether that person may delete it.
    """

    row: ScheduledJob
    job: Job
    owner: str
    prospect: Forecast
    may_delete: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """The firings of one scheduled job within a day."""

    row: ScheduledJob
    prospect: Forecast
    times: list[datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """What fires within 24 hours.

    Args:
        lanes: those that fire first.
        more: how many others fire too.
        partly: there were more scheduled jobs than were looked at.
    """

    begin: datetime
    end: datetime
    lanes: list[Lane]
    more: int
    partly: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """All about one scheduled job, as one person sees it.

    Args:
        case: it, its Job, and who asked for it.
        owner: the name of its owner; empty when he has been removed.
        prospect: what is to come.
        may: by what is asked: whether that person may.
        events: what was recorded about it, the newest first.
    """

    case: AuthzContext
    owner: str
    prospect: Forecast
    may: Mapping[str, Verdict]
    events: list[AuditEvent]

    def allows(self, asked: str) -> bool:
        return self.may[asked] == Allowed()


OFFERED: Mapping[str, Callable[[Actor, policy.RequestFacts], Verdict]] = {
    "change": partial(ownership.change, runs_otherwise=False, inputs=False),
    "change_times": partial(ownership.change, runs_otherwise=True, inputs=False),
    "change_inputs": partial(ownership.change, runs_otherwise=True, inputs=True),
    "assume": ownership.assume,
    "transfer": ownership.hand_over,
    "delete": lambda actor, request: policy.check_object(actor, Action.DELETE, KIND, request.thing),
}
"""What the page of one offers, and the rule that answers."""


class ScheduleViews:
    """Looks at scheduled jobs for a person.

    Args:
        store: what is true.
        clock: tells the time, aware.
        zone: IANA name of the server's time zone.
    """

    def __init__(self, *, store: Store, clock: Callable[[], datetime], zone: str) -> None:
        self._store = store
        self._clock = clock
        self.zone = zone

    async def page(self, actor: Actor, listing: Listing) -> Page[Sight]:
        """Return a page of what the actor may view.

        Raises:
            Forbidden: he may see no scheduled jobs.
        """
        return await self._store.read(partial(_page, actor, listing, self._clock()))

    async def day(self, actor: Actor, listing: Listing) -> Day:
        """Return what of a list fires in the next 24 hours.

        Raises:
            Forbidden: he may see no scheduled jobs.
        """
        return await self._store.read(partial(_day, actor, listing, self._clock()))

    async def jobs(self, actor: Actor) -> list[Job]:
        """Return the Jobs that the actor may view, by name."""
        return await self._store.read(partial(_jobs, actor))

    async def deletable(self, actor: Actor, ids: Collection[UUID]) -> list[ScheduledJob]:
        """Return those of these scheduled jobs that the actor may delete, by name.

        Raises:
            Forbidden: he may delete none at all.
        """
        return await self._store.read(partial(_deletable, actor, ids))

    async def detail(self, actor: Actor, scheduled_id: UUID) -> Detail:
        """Return all about one.

        Raises:
            Forbidden: he may see no scheduled jobs.
            NotFound: there is none, or none that he may see.
        """
        return await self._store.read(partial(_detail, actor, scheduled_id, self._clock()))


def _page(actor: Actor, listing: Listing, now: datetime, tx: Transaction) -> Page[Sight]:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    page: Page[ScheduledJob] = tx.page(KIND, actor, listing)
    found = load_contexts(tx, page.rows, now)
    names = usernames(tx, [row.owner_id for row in page.rows])
    deletable = permitted_ids(tx, actor, Action.DELETE, KIND, [row.id for row in page.rows])
    seen = [
        Sight(
            row=case.row,
            job=case.job,
            owner=names.get(case.row.owner_id, ""),
            prospect=prospect,
            may_delete=case.row.id in deletable,
        )
        for case, prospect in zip(found, forecasts(tx, found, now), strict=True)
    ]
    return Page(page.count, seen)


def _day(actor: Actor, listing: Listing, now: datetime, tx: Transaction) -> Day:
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    end = now + DAY
    enabled = replace(listing, where=(*listing.where, ENABLED), limit=LOOKED_AT, offset=0)
    page: Page[ScheduledJob] = tx.page(KIND, actor, enabled)
    dues = [(due, row) for row in page.rows if (due := due_within(row, now, end)) is not None]
    first = [row for _due, row in sorted(dues, key=lambda each: (each[0], each[1].name))[:LANES]]
    found = load_contexts(tx, first, now)
    lanes = [
        Lane(row=case.row, prospect=prospect, times=[*times_within(case.row, now, end, MOST_SHOWN)])
        for case, prospect in zip(found, forecasts(tx, found, now), strict=True)
        if prospect.due is not None
    ]
    return Day(begin=now, end=end, lanes=lanes, more=len(dues) - len(first), partly=page.count > LOOKED_AT)


def _jobs(actor: Actor, tx: Transaction) -> list[Job]:
    jobs = tx.all(Job, order="name")
    seen = tx.visible(ObjectType.JOB, actor, Action.VIEW, [job.id for job in jobs])
    return [job for job in jobs if job.id in seen]


def _deletable(actor: Actor, ids: Collection[UUID], tx: Transaction) -> list[ScheduledJob]:
    policy.enforce(policy.check_type(actor, Action.DELETE, KIND), KIND)
    return tx.all(ScheduledJob, order="name", id=permitted_ids(tx, actor, Action.DELETE, KIND, ids))


def _detail(actor: Actor, scheduled_id: UUID, now: datetime, tx: Transaction) -> Detail:
    case = authorize_view(tx, actor, {"id": scheduled_id}, now)
    return Detail(
        case=case,
        owner=usernames(tx, [case.row.owner_id]).get(case.row.owner_id, ""),
        prospect=forecast_of(tx, case, now),
        may={asked: rule(actor, case.request) for asked, rule in OFFERED.items()},
        events=tx.newest_events(RECENT_EVENTS, scheduled_job_id=scheduled_id, act=TOLD),
    )


SHOWN_FIRINGS, MOST_FIRINGS = 10, 100
"""How many firings to come are told: where nothing else is asked, and at most."""

UNSEEN = "This person may not see it."
INACTIVE = "This user has been deactivated."

EXPLAINED: Mapping[str, Callable[[Actor, policy.RequestFacts], Verdict]] = {
    "approve": partial(policy.approve, force=True),
    "deny": policy.deny,
    "dry_run": policy.dry_run,
    "run": ownership.run,
    "assume_ownership": ownership.assume,
}
"""What is explained, and the rule that answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What is to be known of a scheduled job.

    Args:
        subject: whom the verdicts are about.
        verdicts: by what is asked: whether he may, and if not why.
        people: by what is asked: who may, as far as the caller may see them.
        needs_force: who approves must say that he knows that its start has passed.
        next_firing: when it fires next; None if it does not.
        why_not: why it does not fire; empty if it does.
    """

    subject: User
    verdicts: Mapping[str, Verdict]
    people: Mapping[str, list[User]]
    needs_force: bool
    next_firing: datetime | None
    why_not: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Upcoming:
    """The firings to come.

    Args:
        time_zone: whose clocks the schedule goes by; IANA name.
        times: when.
        why_not: why it would not fire then as things stand; empty if it would.
    """

    time_zone: str
    times: list[datetime]
    why_not: str


class Explainer:
    """Explains.

    Args:
        store: what is true.
        clock: tells the time, aware.
    """

    def __init__(self, *, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def explain(self, actor: Actor, by: Mapping[str, Any], about: Mapping[str, Any] | None) -> Explanation:
        """Explain a scheduled job.

        Args:
            actor: who asks.
            by: the field that tells about which.
            about: the field that tells about whom; None for himself.

        Raises:
            Forbidden: he may see no scheduled jobs, or asks about others and may see no accounts.
            NotFound: there is no such scheduled job or user, or none that he may see.
        """
        return await self._store.read(partial(_explain, actor, by, about, self._clock()))

    async def upcoming(self, actor: Actor, by: Mapping[str, Any], count: int) -> Upcoming:
        """Return when a scheduled job fires next, by its schedule.

        Args:
            actor: who asks.
            by: the field that tells about which.
            count: how many firings at most.

        Raises:
            Forbidden: he may see no scheduled jobs.
            NotFound: there is no such scheduled job, or none that he may see.
        """
        return await self._store.read(partial(_upcoming, actor, by, count, self._clock()))


def _upcoming(actor: Actor, by: Mapping[str, Any], count: int, now: datetime, tx: Transaction) -> Upcoming:
    case = authorize_view(tx, actor, by, now)
    row = case.row
    if not row.one_off:
        times = next_times(row.recurrence, now, count)
    else:
        times = [] if is_taken(tx, row, row.start_time) else [max(row.start_time, now)]
    return Upcoming(time_zone=row.time_zone, times=times[:count], why_not=forecast_of(tx, case, now).why_not)


def _explain(
    actor: Actor, by: Mapping[str, Any], about: Mapping[str, Any] | None, now: datetime, tx: Transaction
) -> Explanation:
    case = authorize_view(tx, actor, by, now)
    subject = _subject(tx, actor, about)
    himself = actor_of(tx, subject)
    prospect = forecast_of(tx, case, now)
    return Explanation(
        subject=subject,
        verdicts={asked: _verdict(subject, himself, rule, case) for asked, rule in EXPLAINED.items()},
        people=_people(tx, actor, case),
        needs_force=case.request.past_due,
        next_firing=prospect.next_firing,
        why_not=prospect.why_not,
    )


def _subject(tx: Transaction, actor: Actor, about: Mapping[str, Any] | None) -> User:
    himself = tx.one(User, id=actor.id)
    if himself is not None and (about is None or about in ({"username": himself.username}, {"id": himself.id})):
        return himself
    found: User = get_authorized(tx, actor, Action.VIEW, ObjectType.USER, **(about or {"id": actor.id}))
    return found


def _verdict(
    user: User, actor: Actor, rule: Callable[[Actor, policy.RequestFacts], Verdict], case: AuthzContext
) -> Verdict:
    return rule(actor, case.request) if user.is_active else Denied(INACTIVE)


def _people(tx: Transaction, actor: Actor, case: AuthzContext) -> dict[str, list[User]]:
    active = tx.all(User, order="username", is_active=True)
    seen = tx.visible(ObjectType.USER, actor, Action.VIEW, [user.id for user in active]) | {actor.id}
    known = [(user, other) for user, other in zip(active, actors_of(tx, active), strict=True) if user.id in seen]
    return {
        asked: [user for user, other in known if rule(other, case.request) == Allowed()]
        for asked, rule in EXPLAINED.items()
    }
