"""The use cases around notifications: what a person wants to be told, how often, and where.

* Everybody chooses for themselves, and sees and changes their own targets alone: another's is not there for them.
* The address of a target is encrypted, and never shown again.
* A mailbox is told nothing but a code until somebody gives that: whoever reads there wants it. A few wrong codes remove
  the target; that the code is sent again counts as one, as whoever reads there may not want it. Each test and each code
  takes a minute until there can be another.
* That a target is added or removed is recorded, by the name that it is shown as.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import anyio.to_thread

from api_shim.domain.audit import EventType, account_event
from api_shim.domain.notifications import (
    MOST_CODES,
    MOST_TARGETS,
    WORKING,
    Frequency,
    Notification,
    NotificationChoice,
    NotificationTarget,
    Sender,
    Topic,
    Way,
    event_of,
    notification_of,
)
from api_shim.store import InputsKey, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, Invalid, NotFound, TooManyAttempts, Unavailable
from approval_gate.model import Actor, ObjectType

AGAIN_AFTER = timedelta(minutes=1)
"""How long after a test, or a code, there can be another one."""
CODE_DIGITS = 8
MOST_ADDED = 20
"""How many targets one person may add within an hour."""

GONE = "There is no such target."
TOO_MANY = f"You have {MOST_TARGETS} targets already; remove one first."
KNOWN = "You have this target already."
NO_KEY = "Addresses can be neither kept nor read without the key of the store."
WRONG_CODE = "This is not the code that was sent."
WRONG_CODES = "That was one wrong code too many: the target is removed. Add it again for another code."
JUST_SENT = "A message is being sent there already; please wait a minute."
ENOUGH_CODES = "The code was sent there several times already: enter it, or remove the target."
TOO_OFTEN = f"You have added {MOST_ADDED} targets within an hour; please try again later."


@dataclass(frozen=True, kw_only=True, slots=True)
class Notifying:
    """By what people are told.

    Args:
        sender: sends messages.
        origin: the origin of their links, without a trailing slash.
        remind_after: how long a request waits until people are reminded of it.
    """

    sender: Sender
    origin: str
    remind_after: timedelta = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What a person has chosen.

    Args:
        choice: what they are told, and how often.
        targets: where.
    """

    choice: NotificationChoice
    targets: list[NotificationTarget]


class Notifications:
    """What people want to be told, and where.

    Args:
        store: what is true.
        sender: knows which targets there can be.
        clock: returns the current time, aware.
    """

    def __init__(self, store: Store, sender: Sender, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock

    @property
    def has_mail(self) -> bool:
        """Whether mail can be sent."""
        return self._sender.has_mail

    async def chosen(self, actor: Actor) -> Chosen:
        """Return what somebody has chosen."""
        return await self._store.read(partial(_chosen, actor))

    async def choose(self, actor: Actor, topics: Collection[Topic], frequency: Frequency, hour: int) -> None:
        """Keep what somebody wants to be told.

        Raises:
            Forbidden: they may only read.
        """
        check_may_write(actor)
        choice = NotificationChoice(user_id=actor.id, topics=tuple(topics), frequency=frequency, hour=hour)
        await self._store.write(partial(_choose, choice))

    async def add_target(self, actor: Actor, way: Way, address: str) -> NotificationTarget:
        """Keep where somebody is told; a mailbox is sent the code that confirms it.

        Raises:
            Forbidden: they may only read.
            Invalid: nothing can be sent there.
            Conflict: they have it already, or too many.
            TooManyAttempts: they have added many just now.
            Unavailable: there is no key to keep it with.
        """
        check_may_write(actor)
        # Apprise is loaded for the first one.
        label = await anyio.to_thread.run_sync(self._sender.label, way, address)
        key = self._store.inputs_key
        if key is None:
            raise Unavailable(NO_KEY)
        own = uuid4()
        target = NotificationTarget(
            id=own,
            user_id=actor.id,
            way=way,
            label=label,
            address=key.seal(own, {"address": address}),
            created=self._clock(),
            confirmed=way is not Way.MAIL,
        )
        await self._store.write(partial(_add, actor, target, self._clock()))
        return target

    async def confirm(self, actor: Actor, target_id: UUID, code: str) -> None:
        """Confirm a mailbox with the code that was sent there.

        Raises:
            Forbidden: they may only read.
            NotFound: they have no such target.
            Invalid: it is another code.
        """
        check_may_write(actor)
        key = self._store.inputs_key
        if key is None:
            raise Unavailable(NO_KEY)
        fault = await self._store.write(partial(_confirm, actor, target_id, code, key, self._clock()))
        if fault:
            raise Invalid({"code": [fault]})

    async def test(self, actor: Actor, target_id: UUID) -> None:
        """Have a message sent to a target, or the code anew to one that waits for it.

        Raises:
            Forbidden: they may only read.
            NotFound: they have no such target.
            Conflict: there was one just now, or the code was sent often enough.
        """
        check_may_write(actor)
        await self._store.write(partial(_test, actor, target_id, self._clock()))

    async def switch_on(self, actor: Actor, target_id: UUID) -> None:
        """Use a target again that was switched off because it had failed.

        Raises:
            Forbidden: they may only read.
            NotFound: they have no such target.
        """
        check_may_write(actor)
        await self._store.write(partial(_switch_on, actor, target_id))

    async def remove_target(self, actor: Actor, target_id: UUID) -> None:
        """Forget a target, with what was to be sent there.

        Raises:
            Forbidden: they may only read.
            NotFound: they have no such target.
        """
        check_may_write(actor)
        await self._store.write(partial(_remove, actor, target_id, self._clock()))


def check_may_write(actor: Actor) -> None:
    """Check that somebody may change what they are told.

    Raises:
        Forbidden: they may only read.
    """
    policy.enforce(policy.may_write(actor), ObjectType.USER)


def code_of(key: InputsKey, target: NotificationTarget) -> str:
    """Return the code that confirms a target; nobody can guess it who has not the key."""
    number = int(key.fingerprint(f"confirm {target.id}"), 16) % 10**CODE_DIGITS
    return f"{number:0{CODE_DIGITS}}"


def _chosen(actor: Actor, tx: Transaction) -> Chosen:
    choice = tx.get(NotificationChoice, user_id=actor.id)
    return Chosen(
        choice=choice or NotificationChoice(user_id=actor.id),
        targets=tx.all(NotificationTarget, order="created", user_id=actor.id),
    )


def _choose(choice: NotificationChoice, tx: Transaction) -> None:
    known = tx.get(NotificationChoice, user_id=choice.user_id, lock=True)
    if known is None:
        tx.add(choice)
    else:
        tx.change(known, topics=choice.topics, frequency=choice.frequency, hour=choice.hour)


def _own(tx: Transaction, actor: Actor, target_id: UUID) -> NotificationTarget:
    target = tx.get(NotificationTarget, id=target_id, user_id=actor.id, lock=True)
    if target is None:
        raise NotFound(GONE)
    return target


def _add(actor: Actor, target: NotificationTarget, now: datetime, tx: Transaction) -> None:
    known = tx.all(NotificationTarget, user_id=actor.id)
    if len(known) >= MOST_TARGETS:
        raise Conflict(TOO_MANY)
    added = tx.newest_events(MOST_ADDED, act=EventType.TARGET_ADDED, actor_id=actor.id)
    if len(added) == MOST_ADDED and now - added[-1].at < timedelta(hours=1):
        # Each may be mail to somebody who does not want it.
        raise TooManyAttempts(TOO_OFTEN, after=3600 - (now - added[-1].at).total_seconds())
    if target.way is Way.MAIL and any(each.label == target.label for each in known):
        raise Conflict(KNOWN)
    tx.add(target)
    _record(tx, actor, target, EventType.TARGET_ADDED, now)
    if not target.confirmed:
        _tell(tx, target, Topic.CONFIRM, now)


def _confirm(actor: Actor, target_id: UUID, code: str, key: InputsKey, now: datetime, tx: Transaction) -> str:
    """Confirm a target, and return what is wrong; empty if nothing is."""
    target = _own(tx, actor, target_id)
    if hmac.compare_digest(code_of(key, target).encode(), code.strip().encode("utf-8", "replace")):
        tx.change(target, confirmed=True, wrong_codes=0)
        return ""
    if target.wrong_codes + 1 >= MOST_CODES:
        _record(tx, actor, target, EventType.TARGET_REMOVED, now)
        tx.remove(target)
        return WRONG_CODES
    tx.change(target, wrong_codes=target.wrong_codes + 1)
    return WRONG_CODE


def _test(actor: Actor, target_id: UUID, now: datetime, tx: Transaction) -> None:
    target = _own(tx, actor, target_id)
    topic = Topic.TEST if target.confirmed else Topic.CONFIRM
    waits = any(each.topic is topic for each in tx.all(Notification, target_id=target.id))
    if waits or (target.sent_at is not None and now - target.sent_at < AGAIN_AFTER):
        raise Conflict(JUST_SENT)
    if not target.confirmed:
        if target.wrong_codes + 1 >= MOST_CODES:
            raise Conflict(ENOUGH_CODES)
        target = tx.change(target, wrong_codes=target.wrong_codes + 1)
    _tell(tx, target, topic, now)


def _switch_on(actor: Actor, target_id: UUID, tx: Transaction) -> None:
    tx.change(_own(tx, actor, target_id), switched_off=False, **WORKING)


def _remove(actor: Actor, target_id: UUID, now: datetime, tx: Transaction) -> None:
    target = _own(tx, actor, target_id)
    _record(tx, actor, target, EventType.TARGET_REMOVED, now)
    tx.remove(target)


def _tell(tx: Transaction, target: NotificationTarget, topic: Topic, now: datetime) -> None:
    """Have the owner of a target told something at once."""
    tx.add_missing([notification_of(event_of(topic, target.id, now), target, now)])


def _record(tx: Transaction, actor: Actor, target: NotificationTarget, act: EventType, now: datetime) -> None:
    tx.record(account_event(target.id, actor.username, act, now, actor, target=target.label))
