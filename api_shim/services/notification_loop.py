"""Tells people what has happened: finds out whom, and sends it, again and again until it is sent.

* What happened is in the store since it did. One server at a time finds out who is told of it, and sends.
* What takes long to be sent keeps nobody else waiting: whose turn it is, ``notification_turns`` says each time that
  something was sent or has failed, and at every tick in between.
* A target that has failed is tried again, ever more rarely; what else is to be told there waits for that. Once it has
  failed for three days it is switched off. Its owner reads on their page when it failed, and why.
* What was sent is noted at once. A server that dies between the two sends it again: nothing else is ever sent twice to
  one target. Mail has the same id then.
* Whoever has been deactivated meanwhile, or may not view a thing any more, is not told.
* Nothing waits for it: whatever becomes of a message, requests and runs go on. A server that ends waits a few
  seconds for what is being sent; what is not sent by then is for the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import anyio
import anyio.to_thread

from api_shim.domain.accounts import User
from api_shim.domain.model import ApprovalRequest
from api_shim.domain.notifications import (
    ASKED_FOR,
    EXPIRY_NOTICE,
    OFF_AFTER,
    WORKING,
    Message,
    Notification,
    NotificationMark,
    NotificationTarget,
    Sender,
    Topic,
    Undeliverable,
    event_of,
    pause_after,
)
from api_shim.services.authentication import actor_of
from api_shim.services.notification_recipients import (
    ZONE,
    Subjects,
    address,
    audience_in,
    still_told,
    write_notifications,
    zones_of,
)
from api_shim.services.notification_texts import message_of
from api_shim.services.notification_turns import next_to_send
from api_shim.services.notifications import Notifying, code_of
from api_shim.store import Duty, HeldElsewhere, InputsKey, Store, Transaction
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

TICK = 2.0
"""Seconds between two looks at whether there is anybody to be told."""
REMINDS_EVERY = timedelta(minutes=1)
BATCH = 200
GRACE = 3.0
"""Seconds that what is being sent still has when the server ends."""
UNREADABLE = "Its address cannot be read with the key of this server any more: remove it, and add it anew."


@dataclass(frozen=True, slots=True)
class _Letter:
    """What is to be sent to a target.

    Args:
        target: where.
        told: what was to be told.
        message: what is sent; None if nothing of it is to be told any more.
    """

    target: NotificationTarget
    told: list[Notification]
    message: Message | None


class NotificationLoop:
    """Sends what people are to be told.

    Args:
        store: what is true.
        notifying: by what it is sent, and how links begin.
        clock: returns the current time, aware.
    """

    def __init__(self, store: Store, notifying: Notifying, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._notifying = notifying
        self._sender: Sender = notifying.sender
        self._clock = clock
        self._reminded: datetime | None = None
        self._ends = False

    async def run(self) -> None:
        """Do so until cancelled; what is sent soon after is noted first."""
        self._ends = False
        while True:
            ticking = asyncio.ensure_future(self.tick())
            try:
                await asyncio.shield(ticking)
            except asyncio.CancelledError:
                await self._end(ticking)
                raise
            except Unavailable as error:
                logger.warning("Nobody is told of anything for now: %s", error)
            except Exception:
                logger.exception("Notifications could not be sent, which is tried again.")
            await asyncio.sleep(TICK)

    async def _end(self, ticking: asyncio.Future[None]) -> None:
        self._ends = True
        try:
            await asyncio.wait([ticking], timeout=GRACE)
        finally:
            self._sender.stop()
        await asyncio.gather(ticking, return_exceptions=True)

    async def tick(self) -> None:
        """Do once what is due, unless another server does."""
        now = self._clock()
        reminds = self._reminded is None or now - self._reminded >= REMINDS_EVERY
        if not reminds and not await self._store.read(lambda tx: tx.has_notifications(now)):
            return
        with suppress(HeldElsewhere):
            async with self._store.locks.held(Duty.NOTIFY):
                await self._send()

    async def _send(self) -> None:
        """Send until nothing is to be sent any more, and nothing is being sent."""
        sending: dict[asyncio.Future[None], NotificationTarget] = {}
        try:
            while not self._ends:
                for letter in await self._next([*sending.values()]):
                    sending[asyncio.ensure_future(self._deliver(letter))] = letter.target
                if not sending:
                    return
                done, _ = await asyncio.wait(sending, timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    await each
                    del sending[each]
        finally:
            # The others are sent, and that is noted.
            await asyncio.gather(*sending, return_exceptions=True)

    async def _next(self, sending: Collection[NotificationTarget]) -> list[_Letter]:
        """Return what is sent next, after it was found out whom to tell of what has happened meanwhile."""
        now = self._clock()
        if self._reminded is None or now - self._reminded >= REMINDS_EVERY:
            await self._store.write(partial(remind, now, now - self._notifying.remind_after))
            self._reminded = now
        await self._store.write(partial(write_notifications, now))
        return await self._store.write(partial(self._letters, now, sending))

    def _letters(self, now: datetime, sending: Collection[NotificationTarget], tx: Transaction) -> list[_Letter]:
        key = self._store.inputs_key
        due = {
            target: tx.due_notifications(target, now, BATCH)
            for target in next_to_send(tx.due_targets(now, BATCH), sending)
        }
        return [
            _Letter(target, told, written(tx, target, told, self._notifying, key, now)) for target, told in due.items()
        ]

    async def _deliver(self, letter: _Letter) -> None:
        failure = ""
        if letter.message is not None:
            failure = await anyio.to_thread.run_sync(self._try, letter.target, letter.message)
            if failure and self._ends:
                # It may have failed for that alone.
                return
        now = self._clock()
        note = partial(_note_failure, letter, failure, now) if failure else partial(_note_sent, letter, now)
        await self._store.write(note)

    def _try(self, target: NotificationTarget, message: Message) -> str:
        """Send a message, and return why it failed; empty if it did not."""
        key = self._store.inputs_key
        try:
            address = key.open(target.id, target.address)["address"] if key is not None else ""
        except Unavailable:
            return UNREADABLE
        try:
            self._sender.send(target.way, address, message)
        except Undeliverable as error:
            return str(error)
        return ""


def written(
    tx: Transaction,
    target: NotificationTarget,
    told: list[Notification],
    notifying: Notifying,
    key: InputsKey | None,
    now: datetime,
) -> Message | None:
    """Return what a target is sent; None if nothing of it is to be told any more.

    Args:
        tx: the transaction.
        target: where it is sent.
        told: what was to be told, the oldest first.
        notifying: how links begin.
        key: makes the code that confirms the target.
        now: the current time.
    """
    user = tx.get(User, id=target.user_id)
    if user is None or not user.is_active or target.switched_off:
        return None
    allowed = told if target.confirmed else [each for each in told if each.topic is Topic.CONFIRM]
    subjects = Subjects.of(tx, allowed, now)
    left = still_told(tx, actor_of(tx, user), allowed, subjects) if allowed else []
    code = code_of(key, target) if key is not None and any(each.topic is Topic.CONFIRM for each in left) else ""
    zone = zones_of(tx, [user.id]).get(user.id, ZONE)
    return message_of(left, subjects, notifying.origin, code, zone) if left else None


def _note_sent(letter: _Letter, now: datetime, tx: Transaction) -> None:
    tx.remove_all(Notification, [each.id for each in letter.told])
    if letter.message is None:
        return
    target = tx.get(NotificationTarget, id=letter.target.id, lock=True)
    if target is not None:
        tx.change(target, sent_at=now, **WORKING)


def _note_failure(letter: _Letter, failure: str, now: datetime, tx: Transaction) -> None:
    target = tx.get(NotificationTarget, id=letter.target.id, lock=True)
    if target is None:
        return
    since, attempts = target.failing_since or now, 1 + max(each.attempts for each in letter.told)
    ends = now - since >= OFF_AFTER
    tx.change(
        target,
        failing_since=since,
        failed_at=now,
        failure=failure,
        retry_at=now + pause_after(attempts),
        switched_off=ends or target.switched_off,
    )
    if ends:
        tx.remove_all(Notification, [each.id for each in tx.all(Notification, target_id=target.id)])
        return
    for each in letter.told:
        if each.topic in ASKED_FOR:
            # Whoever has asked for it reads that it failed, and asks again.
            tx.remove(each)
        else:
            tx.change(each, attempts=attempts)


def remind(now: datetime, waiting_since: datetime, tx: Transaction) -> None:
    """Write down whom to tell of requests that have waited for long, or are about to expire: of each once.

    Args:
        now: the current time.
        waiting_since: requests that have waited since then have waited for long.
        tx: the transaction.
    """
    audience = audience_in(tx)
    if not audience.actors:
        return
    long = tx.unmarked(Topic.REMINDER, waiting_since, BATCH)
    ending = [each for each in tx.unmarked(Topic.EXPIRING, now + EXPIRY_NOTICE, BATCH) if _ends_soon(each, now)]
    due = [*((Topic.REMINDER, each) for each in long), *((Topic.EXPIRING, each) for each in ending)]
    address(tx, [event_of(topic, request.id, now) for topic, request in due], audience, now)
    tx.add(*(NotificationMark(request_id=request.id, topic=topic) for topic, request in due))


def _ends_soon(request: ApprovalRequest, now: datetime) -> bool:
    """Say whether the end of a request is near: a day, or half of the time that it has if that is less."""
    if request.expires_at is None:
        return False
    return request.expires_at - now <= min(EXPIRY_NOTICE, (request.expires_at - request.created) / 2)
