"""Refusals in the audit: failed sign-ins, refused decisions and refused requests, and what automations could not run.

* Recorded is who was refused, what it was about, and the reason; of a failed sign-in the address, and the name that was
  tried if there is such a user. Text that a client sent is no part of it: what is no name may be a password.
* The first of a kind is recorded at once. What is refused for the same actor, object and reason within a minute is one
  event with a count, so that nobody can flood the audit.
* Only so many kinds are told apart at once, in all and of one caller; the others are counted together. Those of who
  has not signed in take no room from those of users, and a network of IPv6 is one caller (``domain.slowdown``).
* What is refused is refused, even if it cannot be recorded; it is counted until it can.
* What does not exist, or cannot be read, is a mistake and no refusal; neither is looking at something.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import AutomationAccount, Job, JobQueue, JobResult, ScheduledJob
from api_shim.domain.ports import Automation
from api_shim.domain.slowdown import TOO_MANY, network_of
from api_shim.domain.triggers import JobButton, JobHook
from api_shim.metrics import REFUSALS
from api_shim.services.accounts import NAMED_BY, Accounts
from api_shim.services.approvals import Approvals
from api_shim.services.automations import AutomationAccounts
from api_shim.services.job_queues import JobQueues
from api_shim.services.jobs import JobCatalogue
from api_shim.services.ownership import Ownership
from api_shim.services.results import Results
from api_shim.services.schedule_changes import ScheduleChanges
from api_shim.services.schedules import Schedules
from api_shim.services.suspensions import Suspensions
from api_shim.services.triggers import Triggers
from api_shim.services.user_names import referred_user, user_called
from api_shim.store import TYPES, Store, Transaction
from approval_gate.errors import Conflict, Forbidden, GateError, NotFound, TooManyAttempts, Unavailable
from approval_gate.model import Actor, ObjectType

logger = logging.getLogger("signoff")

T = TypeVar("T")

WINDOW = timedelta(minutes=1)
"""How long refusals of one kind are counted before the count is recorded."""
LOOKS_EVERY = 5.0
"""Seconds."""
MOST, MOST_OF_ONE = 50, 10
"""How many kinds are told apart at once: of users in all, of others in all, and of one caller."""
OTHERS = "Too many different refusals to tell apart."


@dataclass(frozen=True, slots=True)
class Watched:
    """As what the refusals of a method are recorded.

    Args:
        act: the event.
        kind: the type of what the method's second argument identifies; None if that is the type of an account or a
            trigger, which the third identifies.
        new: it does not exist yet, and nothing identifies it.
    """

    act: EventType
    kind: ObjectType | None = None
    new: bool = False


DECISION = Watched(EventType.DECISION_REFUSED, ObjectType.SCHEDULED_JOB)
SCHEDULED_JOB = Watched(EventType.REQUEST_REFUSED, ObjectType.SCHEDULED_JOB)
JOB = Watched(EventType.REQUEST_REFUSED, ObjectType.JOB)
RESULT = Watched(EventType.REQUEST_REFUSED, ObjectType.JOB_RESULT)
QUEUE = Watched(EventType.REQUEST_REFUSED, ObjectType.JOB_QUEUE)
AUTOMATION = Watched(EventType.REQUEST_REFUSED, ObjectType.AUTOMATION_ACCOUNT)
ACCOUNT = Watched(EventType.REQUEST_REFUSED)

WATCHED: Mapping[type[Any], Mapping[str, Watched]] = {
    Approvals: {"approve": DECISION, "deny": DECISION, "dry_run": SCHEDULED_JOB},
    Schedules: {"request": JOB, "delete": SCHEDULED_JOB, "delete_all": SCHEDULED_JOB},
    ScheduleChanges: {"change": SCHEDULED_JOB},
    Ownership: {"assume": SCHEDULED_JOB, "transfer": SCHEDULED_JOB},
    Results: {"cancel": RESULT, "run_again": RESULT, "delete": RESULT, "delete_all": RESULT},
    Suspensions: {"resume": RESULT},
    JobCatalogue: {"change": JOB, "change_all": JOB},
    JobQueues: {"add": replace(QUEUE, new=True), "change": QUEUE, "remove": QUEUE},
    Triggers: {"add": replace(ACCOUNT, new=True), "change": ACCOUNT, "remove": ACCOUNT},
    AutomationAccounts: {"bind": replace(AUTOMATION, new=True), "unbind": AUTOMATION},
    Accounts: {"add": replace(ACCOUNT, new=True), "change": ACCOUNT, "remove": ACCOUNT, "set_password": ACCOUNT},
}
"""The use cases whose refusals are recorded, by method."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """What refusals have in common that are counted together.

    Args:
        act: what was refused.
        reason: the sentence that the caller was told.
        actor_id: who was refused; None for who has not signed in.
        actor: their name.
        address: where a failed sign-in came from.
        asked: what was asked for, by its name in the code.
        name: the name of the object, of a failed sign-in the user; empty if there is none.
        scheduled_job_id: the object, or what it belongs to.
        job_id: likewise.
        flow_run_id: likewise.
        account_id: the object, if it is an account, a job queue, a trigger or an automation.
        by_run: the job result of the run by which they asked; None if they did it themselves.
    """

    act: EventType
    reason: str
    actor_id: UUID | None = None
    actor: str = ""
    address: str = ""
    asked: str = ""
    name: str = ""
    scheduled_job_id: UUID | None = None
    job_id: UUID | None = None
    flow_run_id: UUID | None = None
    account_id: UUID | None = None
    by_run: UUID | None = None

    @property
    def source(self) -> object:
        """Whose it is, for the limit of one caller."""
        return self.actor_id or self.account_id or network_of(self.address)

    def event(self, count: int, since: datetime, now: datetime) -> AuditEvent:
        """Return the event that tells of this many."""
        data = {
            "reason": self.reason,
            "count": count,
            "since": since.isoformat() if count > 1 else "",
            "address": self.address,
            "asked": self.asked,
            "id": str(self.account_id) if self.account_id else "",
            "requested_from": str(self.by_run) if self.by_run else "",
        }
        return AuditEvent(
            at=now,
            act=self.act,
            actor_id=self.actor_id,
            actor=self.actor,
            name=self.name,
            scheduled_job_id=self.scheduled_job_id,
            job_id=self.job_id,
            flow_run_id=self.flow_run_id,
            data={name: value for name, value in data.items() if value},
        )


@dataclass(kw_only=True, slots=True)
class _Count:
    """How many have followed the last event, and when that was."""

    since: datetime
    more: int = 0


class Refusals:
    """Records refusals, and counts them.

    Args:
        store: the store.
        clock: returns the current time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._counts: dict[Refusal, _Count] = {}

    def watching(self, use_case: T) -> T:
        """Return a use case whose refusals are recorded, as ``WATCHED`` says."""
        return cast("T", _Watching(use_case, self))

    async def signing_in(self, error: GateError, address: str, username: str = "") -> None:
        """Record that somebody could not sign in.

        Args:
            error: why.
            address: where the attempt came from.
            username: the name that was tried; recorded if there is such a user.
        """
        # How long they are to wait is another sentence each second, and no other reason.
        reason = TOO_MANY if isinstance(error, TooManyAttempts) else str(error)
        await self._note(partial(_sign_in, reason, address, username))

    async def request(self, actor: Actor, reason: str, asked: str, *, flow_run_id: UUID | None = None) -> None:
        """Record that a request was refused before it reached a use case.

        Args:
            actor: the caller; of a run, the account of the worker that has taken it.
            reason: the sentence that they were told.
            asked: what for; no text of the client's.
            flow_run_id: the run that has asked; None for an account.
        """
        whose = {**_whose(actor, asked), "flow_run_id": flow_run_id}
        await self._note(lambda _tx: Refusal(act=EventType.REQUEST_REFUSED, reason=reason, **whose))

    async def automation(self, fired: Automation, reason: str) -> None:
        """Record that an automation could not run a Job.

        Args:
            fired: the automation.
            reason: the sentence that Prefect is told.
        """
        of = Refusal(act=EventType.AUTOMATION_REFUSED, reason=reason, name=fired.name, account_id=fired.id)
        await self._note(lambda _tx: of)

    async def watched(
        self, method: Callable[..., Awaitable[T]], as_what: Watched, actor: Actor, which: Any, *args: Any, **named: Any
    ) -> T:
        """Call a watched method of a use case, and record it if it refuses.

        Args:
            method: the method.
            as_what: what ``WATCHED`` says of it.
            actor: who calls it.
            which: what identifies the object, or the type of the account that ``args`` identify.
            args: its other arguments.
            named: likewise.
        """
        try:
            return await method(actor, which, *args, **named)
        except (Forbidden, Conflict, NotFound) as error:
            kind, named = (which, args[0]) if as_what.kind is None else (as_what.kind, which)
            by = None if as_what.new else named
            whose = _whose(actor, f"{method.__name__} {kind}")
            await self._note(partial(_refusal, error, as_what.act, whose, kind, by))
            raise

    async def _note(self, find: Callable[[Transaction], Refusal | None]) -> None:
        try:
            refusal = await self._store.read(find)
        except Unavailable as error:
            logger.warning("A refusal could not be recorded: %s", error)
            return
        except Exception:
            logger.exception("A refusal could not be recorded.")
            return
        if refusal is not None:
            REFUSALS.labels(refusal.act).inc()
            await self._count(self._told_apart(refusal))

    async def _count(self, refusal: Refusal) -> None:
        now = self._clock()
        if refusal in self._counts:
            self._counts[refusal].more += 1
            return
        count = self._counts[refusal] = _Count(since=now)
        try:
            await self._store.write(lambda tx: tx.record(refusal.event(1, now, now)))
        except Exception:
            count.more += 1
            logger.exception("A refusal could not be recorded yet.")

    def _told_apart(self, refusal: Refusal) -> Refusal:
        if refusal in self._counts:
            return refusal
        if sum(each.source == refusal.source for each in self._counts) >= MOST_OF_ONE:
            refusal = Refusal(
                act=refusal.act,
                reason=OTHERS,
                actor_id=refusal.actor_id,
                actor=refusal.actor,
                address=network_of(refusal.address),
            )
        alike = sum((each.actor_id is None) is (refusal.actor_id is None) for each in self._counts)
        full = refusal not in self._counts and alike >= MOST
        return Refusal(act=refusal.act, reason=OTHERS) if full else refusal

    async def run(self) -> None:
        """Record counts until cancelled."""
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            await self.tick()

    async def tick(self) -> None:
        """Record the counts whose minute is over."""
        now = self._clock()
        await self._tell({kind: each for kind, each in self._counts.items() if now - each.since >= WINDOW}, now)

    async def close(self) -> None:
        """Record all counts, at the end of the server."""
        await self._tell(dict(self._counts), self._clock())

    async def _tell(self, counts: Mapping[Refusal, _Count], now: datetime) -> None:
        told = {kind: replace(each) for kind, each in counts.items() if each.more}
        try:
            if told:
                await self._store.write(partial(_record, told, now))
        except Exception:
            logger.exception("Refusals could not be recorded yet.")
            return
        for kind, each in counts.items():
            # More may have come while these were written.
            if kind in told:
                each.since, each.more = now, each.more - told[kind].more
            elif not each.more:
                del self._counts[kind]


class _Watching:
    """A use case some of whose methods are watched; all else is its own."""

    def __init__(self, use_case: Any, refusals: Refusals) -> None:
        self._use_case = use_case
        self._refusals = refusals

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._use_case, name)
        as_what = WATCHED[type(self._use_case)].get(name)
        return found if as_what is None else partial(self._refusals.watched, found, as_what)


def _record(told: Mapping[Refusal, _Count], now: datetime, tx: Transaction) -> None:
    for refusal, count in told.items():
        tx.record(refusal.event(count.more, count.since, now))


def _whose(actor: Actor, asked: str) -> dict[str, Any]:
    return {"actor_id": actor.id, "actor": actor.username, "asked": asked, "by_run": actor.by_run}


def _sign_in(reason: str, address: str, username: str, tx: Transaction) -> Refusal:
    user = user_called(tx, username)
    name = user.username if user else ""
    return Refusal(act=EventType.SIGN_IN_REFUSED, reason=reason, address=address, name=name)


def _refusal(
    error: GateError, act: EventType, whose: Mapping[str, Any], kind: ObjectType, by: Any, tx: Transaction
) -> Refusal | None:
    """Return what is recorded of an error; nothing if it only says that something does not exist."""
    about = _about(kind, by, tx)
    return Refusal(act=act, reason=str(error), **whose, **about) if about or not isinstance(error, NotFound) else None


def _about(kind: ObjectType, which: Any, tx: Transaction) -> dict[str, Any]:
    """Return what an event says of an object; nothing if there is none."""
    match which:
        case {"id": _} | {"name": _} | {"username": _} if len(which) == 1:
            thing = referred_user(tx, which) if kind is ObjectType.USER else tx.get(TYPES[kind], **which)
        case UUID():
            thing = tx.get(TYPES[kind], id=which)
        case str():
            thing = tx.get(TYPES[kind], name=which)
        case _:
            thing = None
    match thing:
        case None:
            return {}
        case ScheduledJob():
            ids = {"job_id": thing.job_id, "flow_run_id": thing.flow_run_id}
            return {"name": thing.name, "scheduled_job_id": thing.id, **ids}
        case Job():
            return {"name": thing.name, "job_id": thing.id}
        case JobResult():
            ids = {"job_id": thing.job_id, "flow_run_id": thing.flow_run_id}
            return {"name": thing.name, "scheduled_job_id": thing.scheduled_job_id, **ids}
        case JobQueue() | JobButton() | JobHook() | AutomationAccount():
            return {"name": thing.name, "account_id": thing.id}
        case _:
            return {"name": getattr(thing, NAMED_BY.get(kind, ""), ""), "account_id": thing.id}
