"""People who are told of what happens, over a store and a Prefect in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from threading import Event
from uuid import uuid4

from api_shim.domain.notifications import (
    Message,
    Notification,
    NotificationTarget,
    Topic,
    Undeliverable,
    Way,
)
from api_shim.services.notification_loop import NotificationLoop
from api_shim.services.notification_recipients import write_notifications
from api_shim.services.notifications import Notifications, Notifying
from api_shim.store import Store
from approval_gate.errors import Invalid
from approval_gate.model import Actor
from tests.api_shim.plant import Plant
from tests.factories import NOW

ORIGIN = "https://signoff.example"


class FakeSender:
    """Takes messages, unless it is told to fail.

    Attributes:
        sent: what it was given, each with its address.
        failing: the addresses that it does not reach.
        dies: whether whoever sends dies after it has.
        hanging: the addresses that do not answer until it is stopped, and then fail.
        waiting: those of them that are being sent to.
        started: set once it sends.
    """

    has_mail = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.failing: set[str] = set()
        self.dies = False
        self.hanging: set[str] = set()
        self.waiting: list[str] = []
        self.started, self._stopped = Event(), Event()

    def label(self, way: Way, address: str) -> str:
        if "bad" in address:
            raise Invalid({"address": ["This is no address."]})
        return address if way is Way.MAIL else f"{address.partition('://')[0]}://…"

    def send(self, _way: Way, address: str, message: Message) -> None:
        self.started.set()
        if address in self.hanging:
            self.waiting.append(address)
            self._stopped.wait(20)
            raise Undeliverable("It was stopped.")
        if address in self.failing:
            raise Undeliverable("It is not there.")
        self.sent.append((address, message))
        if self.dies:
            raise MemoryError("The process died.")

    def stop(self) -> None:
        self._stopped.set()


class Telling:
    """The loop that tells people, and what they have chosen, over a plant."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.store: Store = plant.store
        self.sender = FakeSender()
        self.notifications = Notifications(self.store, self.sender, lambda: plant.now)
        self.start()

    def start(self) -> None:
        """Begin anew, as a process does."""
        notifying = Notifying(sender=self.sender, origin=ORIGIN, remind_after=timedelta(hours=24))
        self.loop = NotificationLoop(self.store, notifying, lambda: self.plant.now)

    def target(self, actor: Actor, address: str = "", **to: object) -> NotificationTarget:
        """Give a target of somebody, which is used."""
        own, address = uuid4(), address or f"{actor.username}@example.com"
        assert self.store.inputs_key is not None
        sealed = self.store.inputs_key.seal(own, {"address": address})
        known = {"id": own, "user_id": actor.id, "way": Way.MAIL, "label": address, "address": sealed, "created": NOW}
        target = NotificationTarget(**{**known, **to})  # type: ignore[arg-type]  # what a test does not care about
        self.plant.add(target)
        return target

    def tick(self) -> None:
        asyncio.run(self.loop.tick())

    def pass_on(self, **by: float) -> list[tuple[str, str]]:
        """Let time pass, and return to whom what is sent then, by its subject."""
        self.plant.now += timedelta(**by)
        self.sender.sent.clear()
        self.tick()
        return self.said()

    def said(self) -> list[tuple[str, str]]:
        """Return to whom what was sent, by its subject."""
        return sorted((to, message.subject.removeprefix("signoff: ")) for to, message in self.sender.sent)

    def told(self, topics: Iterable[Topic] = tuple(Topic)) -> set[tuple[str, Topic]]:
        """Return who is to be told what of all that happened, and forget it."""
        with self.store.transaction() as tx:
            write_notifications(self.plant.now, tx)
            targets = {each.id: each.label.partition("@")[0] for each in tx.all(NotificationTarget)}
            found = tx.all(Notification)
            for each in found:
                tx.remove(each)
        return {(targets[each.target_id], each.topic) for each in found if each.topic in topics}
