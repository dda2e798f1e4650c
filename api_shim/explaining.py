"""The use case of explaining a scheduled job: who may do what with it and why not, when it fires next and why not.

* The answers are those of the rules themselves: what is explained is what would happen.
* About himself everybody may ask; about others who may see their accounts. Only such people are named.
* A firing to come is judged as it stands now: who owns it, what has been approved, whether the Job is enabled.

Contract 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from api_shim.access import find
from api_shim.actors import actor_of, actors_of
from api_shim.cases import Case, viewed
from api_shim.firings import is_taken
from api_shim.foresight import prospect_of
from api_shim.model import User
from api_shim.recurrence import next_times
from api_shim.store import Store, Transaction
from approval_gate import ownership, policy
from approval_gate.model import Action, Actor, Allowed, Denied, ObjectType, Verdict

SHOWN_FIRINGS, MOST_FIRINGS = 10, 100
"""How many firings to come are told: where nothing else is asked, and at most."""

UNSEEN = "This person may not see it."
INACTIVE = "This user has been deactivated."

ASKED: Mapping[str, Callable[[Actor, policy.Request], Verdict]] = {
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


class Explaining:
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
    case = viewed(tx, actor, by, now)
    row = case.row
    if not row.one_off:
        times = next_times(row.recurrence, now, count)
    else:
        times = [] if is_taken(tx, row, row.start_time) else [max(row.start_time, now)]
    return Upcoming(time_zone=row.time_zone, times=times[:count], why_not=prospect_of(tx, case, now).why_not)


def _explain(
    actor: Actor, by: Mapping[str, Any], about: Mapping[str, Any] | None, now: datetime, tx: Transaction
) -> Explanation:
    case = viewed(tx, actor, by, now)
    subject = _subject(tx, actor, about)
    himself = actor_of(tx, subject)
    prospect = prospect_of(tx, case, now)
    return Explanation(
        subject=subject,
        verdicts={asked: _verdict(subject, himself, rule, case) for asked, rule in ASKED.items()},
        people=_people(tx, actor, case),
        needs_force=case.request.past_due,
        next_firing=prospect.next_firing,
        why_not=prospect.why_not,
    )


def _subject(tx: Transaction, actor: Actor, about: Mapping[str, Any] | None) -> User:
    himself = tx.one(User, id=actor.id)
    if himself is not None and (about is None or about in ({"username": himself.username}, {"id": himself.id})):
        return himself
    found: User = find(tx, actor, Action.VIEW, ObjectType.USER, **(about or {"id": actor.id}))
    return found


def _verdict(user: User, actor: Actor, rule: Callable[[Actor, policy.Request], Verdict], case: Case) -> Verdict:
    return rule(actor, case.request) if user.is_active else Denied(INACTIVE)


def _people(tx: Transaction, actor: Actor, case: Case) -> dict[str, list[User]]:
    active = tx.all(User, order="username", is_active=True)
    seen = tx.visible(ObjectType.USER, actor, Action.VIEW, [user.id for user in active]) | {actor.id}
    known = [(user, other) for user, other in zip(active, actors_of(tx, active), strict=True) if user.id in seen]
    return {
        asked: [user for user, other in known if rule(other, case.request) == Allowed()]
        for asked, rule in ASKED.items()
    }
