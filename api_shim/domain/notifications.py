"""What people are told of, by which ways and when; and what happened that they may be told of.

* What happened is written with what it did, in the same transaction (``store.transaction``): who is told of it is found
  out later, and nothing waits for that. It names things by their ids; what is told of them is read when it is sent.
* A person who has chosen nothing is told of everything, at once; who has given no target is told of nothing.
* Mail goes to an address only once whoever reads it has confirmed that, or if it is what the identity provider has.
* A target that has failed for ``OFF_AFTER`` is switched off. Until then it is tried again, ever more rarely: whatever
  is to be told there waits for that, but for what its owner has just asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import NAMESPACE_OID, UUID, uuid5
from zoneinfo import ZoneInfo

from api_shim.domain.model import ApprovalRequest, JobResult, ScheduledJob, Status
from approval_gate.lifecycle import ApprovalState


class Topic(StrEnum):
    """What people can be told of."""

    WAITING = "request-waiting"
    REMINDER = "request-reminder"
    DECIDED = "request-decided"
    EXPIRING = "request-expiring"
    FAILED = "run-failed"
    SCHEDULE = "schedule-stopped"
    TEST = "test"
    CONFIRM = "confirm"


ASKED_FOR = (Topic.TEST, Topic.CONFIRM)
"""What is told to who has just asked for it."""
CHOICES: tuple[Topic, ...] = tuple(topic for topic in Topic if topic not in ASKED_FOR)
"""What people choose among."""


class Happening(StrEnum):
    """What happened to a schedule."""

    DISABLED = "disabled"
    LOST_OWNER = "lost its owner"
    NEW_OWNER = "has a new owner"


class Frequency(StrEnum):
    """How often somebody is told."""

    AT_ONCE = "at once"
    HOURLY = "hourly"
    DAILY = "daily"


class Way(StrEnum):
    """How a target is reached."""

    MAIL = "mail"
    APPRISE = "apprise"


OFF_AFTER = timedelta(days=3)
"""How long a target fails until it is switched off."""
LONGEST_PAUSE = timedelta(hours=6)
"""How long a target that has failed waits at most for the next attempt."""
MOST_TARGETS = 10
"""How many targets one person may have."""
MOST_CODES = 5
"""How many wrong codes end a target that waits for its confirmation."""
EXPIRY_NOTICE = timedelta(days=1)
"""How long before its end a request is told to expire."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationChoice:
    """What a person wants to be told, and how often.

    Args:
        user_id: the person.
        topics: what of.
        frequency: how often.
        hour: at which hour of their day, if daily.
    """

    user_id: UUID
    topics: tuple[str, ...] = CHOICES
    frequency: Frequency = Frequency.AT_ONCE
    hour: int = 8

    def due(self, now: datetime, zone: str) -> datetime:
        """Return when something that happens now is told.

        Args:
            now: the current time.
            zone: IANA name of the person's time zone.
        """
        match self.frequency:
            case Frequency.AT_ONCE:
                return now
            case Frequency.HOURLY:
                return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            case Frequency.DAILY:
                return _next_at(self.hour, now, zone)


def _next_at(hour: int, now: datetime, zone: str) -> datetime:
    local = now.astimezone(ZoneInfo(zone))
    today = local.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    days = (today.replace(tzinfo=None) + timedelta(days=more) for more in range(3))
    # An hour that the clocks skip is that much later in UTC, and one that comes twice is the first of both.
    each = (day.replace(tzinfo=local.tzinfo).astimezone(UTC) for day in days)
    return next(time for time in each if time > now)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationTarget:
    """Where a person is told.

    Args:
        user_id: the person.
        way: how it is reached.
        label: what it is shown as: no secret is in it.
        address: the address, encrypted.
        confirmed: whether whoever reads there wants it.
        from_provider: whether nobody has given it, but it is the person's address at their identity provider.
        wrong_codes: how many wrong codes were given for it; each time that the code was sent again counts, too.
        sent_at: when something was last sent there; None for never.
        failing_since: since when it has failed; None while it does not.
        failed_at: when it failed last; None while it does not.
        failure: why it failed, as a sentence; empty if it did not.
        retry_at: until when it is left alone because it has failed; None while it is not.
        switched_off: whether it is not used any more, until somebody switches it on.
    """

    id: UUID
    user_id: UUID
    way: Way
    label: str
    address: str = field(repr=False)
    created: datetime
    confirmed: bool = True
    from_provider: bool = False
    wrong_codes: int = 0
    sent_at: datetime | None = None
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""
    retry_at: datetime | None = None
    switched_off: bool = False

    @property
    def is_used(self) -> bool:
        """Whether what happens is told there."""
        return self.confirmed and not self.switched_off

    @property
    def is_reliable(self) -> bool:
        """Whether it can be expected to answer: the mail server does, and so does what took the last message."""
        return self.failing_since is None and (self.way is Way.MAIL or self.sent_at is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationEvent:
    """Something that happened, and of which nobody has been told.

    Args:
        id: the same for the same thing, however often it is noted.
        at: when it happened.
        subject_id: the id of the request for approval, the job result or the scheduled job that it is about.
        actor_id: whose act it was; None for what happened by itself.
        actor: their name at that time.
        what: what happened to a schedule; empty for others.
    """

    id: UUID
    topic: Topic
    at: datetime
    subject_id: UUID
    actor_id: UUID | None = None
    actor: str = ""
    what: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """One thing to be told to one target.

    Args:
        event_id: what is told; once to each target.
        due_at: when it is told.
        attempts: how often that has failed.

        The others are those of a ``NotificationEvent``.
    """

    id: UUID
    user_id: UUID
    target_id: UUID
    event_id: UUID
    topic: Topic
    at: datetime
    subject_id: UUID
    actor: str = ""
    what: str = ""
    due_at: datetime
    attempts: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationMark:
    """That people have been told of a request that has waited for long, or is about to expire."""

    request_id: UUID
    topic: Topic


WORKING: Mapping[str, Any] = {"failing_since": None, "failed_at": None, "failure": "", "retry_at": None}
"""The fields of a target that does not fail."""


def notification_of(event: NotificationEvent, target: NotificationTarget, due_at: datetime) -> Notification:
    """Return what is to be told of an event to a target."""
    return Notification(
        id=uuid5(event.id, str(target.id)),
        user_id=target.user_id,
        target_id=target.id,
        event_id=event.id,
        topic=event.topic,
        at=event.at,
        subject_id=event.subject_id,
        actor=event.actor,
        what=event.what,
        due_at=due_at,
    )


def event_of(topic: Topic, subject_id: UUID, at: datetime, **said: Any) -> NotificationEvent:
    """Return what happened, with an id that is the same for the same thing at the same time."""
    own = uuid5(NAMESPACE_OID, f"signoff:{topic}:{subject_id}:{at.astimezone(UTC).isoformat()}:{said.get('what', '')}")
    return NotificationEvent(id=own, topic=topic, subject_id=subject_id, at=at, **said)


def of_new(thing: Any) -> NotificationEvent | None:
    """Return what people may be told of a value that is added; None for nothing."""
    match thing:
        case ApprovalRequest(decided_at=None):
            return event_of(Topic.WAITING, thing.id, thing.created, actor_id=thing.user_id, actor=thing.requested_by)
        case ApprovalRequest(decided_at=datetime() as at):
            return event_of(Topic.DECIDED, thing.id, at, actor_id=thing.decided_by_id, actor=thing.decided_by)
        case JobResult(status=Status.FAILURE):
            return event_of(Topic.FAILED, thing.id, thing.date_done or thing.date_created)
    return None


def of_change(before: Any, after: Any) -> NotificationEvent | None:
    """Return what people may be told of a value that changes; None for nothing."""
    match before, after:
        case JobResult(), JobResult() if not before.status.final:
            return of_new(after)
        case ScheduledJob(), ScheduledJob() if before.owner_id != after.owner_id:
            return event_of(Topic.SCHEDULE, after.id, after.date_changed, what=Happening.NEW_OWNER)
        case ScheduledJob(), ScheduledJob() if before.enabled and not after.enabled and _is_stopped(after):
            return event_of(Topic.SCHEDULE, after.id, after.date_changed, what=Happening.DISABLED)
    return None


def _is_stopped(row: ScheduledJob) -> bool:
    """Say whether what is not enabled any more would have run again; that it expires is told by itself."""
    return not row.one_off and row.approval is not ApprovalState.EXPIRED


def pause_after(attempts: int) -> timedelta:
    """Return how long a target is left alone at which a message has failed so often."""
    return min(timedelta(minutes=2 ** min(attempts - 1, 10)), LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """What a message says of one thing, as text.

    Args:
        line: the sentence on what happened, without its full stop.
        more: more lines.
        link: the address of the page that has more; empty for none.
        page: what that page is of, such as "request"; empty without a link.
    """

    line: str
    more: tuple[str, ...] = ()
    link: str = ""
    page: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message as it is sent.

    Args:
        subject: one line.
        body: plain text.
        key: the same when it is sent again, as nobody knows whether it was.
        paragraphs: what the body says, for those who are sent more than plain text; empty for nobody.
        manage: the address of the page on which its reader chooses what they are told.
    """

    subject: str
    body: str
    key: str
    paragraphs: tuple[Paragraph, ...] = ()
    manage: str = ""


class Undeliverable(Exception):
    """A message could not be delivered; with a sentence for whoever gave the target, without any secret."""


class Sender(Protocol):
    """Sends messages."""

    @property
    def has_mail(self) -> bool:
        """Whether there is a mail server."""

    def label(self, way: Way, address: str) -> str:
        """Return what a target is shown as, without a secret.

        Raises:
            Invalid: nothing is sent to such an address; with a sentence that does not repeat it.
        """

    def send(self, way: Way, address: str, message: Message) -> None:
        """Send a message; it takes half a minute at most.

        Raises:
            Undeliverable: it could not be delivered.
        """

    def stop(self) -> None:
        """Have what is being sent now fail soon, as the server ends."""


TOPICS: Mapping[Topic, str] = {
    Topic.WAITING: "A request is waiting for my approval",
    Topic.REMINDER: "A request has been waiting for my approval for a long time",
    Topic.DECIDED: "A request of mine was approved or denied, or has expired",
    Topic.EXPIRING: "A request of mine is about to expire",
    Topic.FAILED: "A run of mine failed",
    Topic.SCHEDULE: "A schedule of mine was disabled or taken over, or lost its owner",
}
"""What people choose among, as they read it."""
