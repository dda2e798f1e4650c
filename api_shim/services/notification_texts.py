"""What messages say: text in which each thing is one paragraph, with a link to the page that has more.

* No inputs, no results and nothing of a log are in them: mailboxes and services keep what they are sent.
* A link leads to a page that asks, never to one that decides; whoever opens it has to sign in.
* Names and comments are others' words: what could begin another line, or change how a line reads, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from api_shim.domain.model import ApprovalRequest
from api_shim.domain.notifications import Happening, Message, Notification, Paragraph, Topic
from api_shim.domain.status_words import word_of
from api_shim.services.notification_recipients import ZONE, Subjects
from approval_gate.lifecycle import ApprovalState

LONGEST_COMMENT = 500
MANAGE = "What you are told of, and where: {}"


def message_of(
    told: Sequence[Notification], subjects: Subjects, origin: str, code: str = "", zone: str = ZONE
) -> Message:
    """Return the message that tells some things, at least one.

    Args:
        told: they, the oldest first.
        subjects: what they are about.
        origin: the origin of the links, without a trailing slash.
        code: confirms the target; for who has just given it.
        zone: IANA name of the zone of its times.
    """
    written = [_paragraph(each, subjects, code, zone) for each in told]
    said = tuple(replace(each, link=f"{origin}{each.link}" if each.link else "") for each in written)
    manage = f"{origin}/signoff/notifications"
    parts = ["\n".join(filter(None, (f"{each.line}.", *each.more, each.link))) for each in said]
    subject = said[0].line if len(said) == 1 else f"{len(said)} notifications"
    return Message(
        subject=f"signoff: {subject}",
        body="\n\n".join((*parts, MANAGE.format(manage))) + "\n",
        key=str(told[0].id),
        paragraphs=said,
        manage=manage,
    )


def _paragraph(each: Notification, subjects: Subjects, code: str, zone: str) -> Paragraph:
    """Return what is said of one thing, with the path of the page in place of its address."""
    match each.topic:
        case Topic.WAITING | Topic.REMINDER:
            return _waiting(each, subjects.requests[each.subject_id], zone)
        case Topic.EXPIRING:
            request = subjects.requests[each.subject_id]
            line = f"“{plain(request.name)}” expires at {moment(request.expires_at, zone)} if nobody decides about it"
            return Paragraph(line, (), f"/signoff/approval-requests/{request.id}", "request")
        case Topic.DECIDED:
            return _decided(subjects.requests[each.subject_id])
        case Topic.FAILED:
            result = subjects.results[each.subject_id]
            line = f"A {'dry run' if result.dry_run else 'run'} of {plain(result.name)} failed"
            ended = f"It ended at {moment(each.at, zone)}."
            return Paragraph(line, (ended,), f"/signoff/results/{result.id}", "result")
        case Topic.SCHEDULE:
            return _schedule(each, plain(subjects.scheduled[each.subject_id].name), zone)
        case Topic.TEST:
            return Paragraph("This is a test", ("What you are told of will look like this.",))
        case Topic.CONFIRM:
            more = ("Enter it on the page where this address was given; if that was not you, do nothing.",)
            return Paragraph(f"The code that confirms this address is {code}", more)


def _waiting(each: Notification, request: ApprovalRequest, zone: str) -> Paragraph:
    name, by = plain(request.name), plain(request.requested_by) or "Somebody"
    if each.topic is Topic.REMINDER:
        line = f"“{name}” still waits for approval"
        more = f"{by} requested it at {moment(request.created, zone)}."
    else:
        line = f"“{name}” waits for your approval"
        more = plain(request.reason) or f"{by} requests a run of {plain(request.task_name)}."
    ends = (f"It expires at {moment(request.expires_at, zone)}.",) if request.expires_at else ()
    return Paragraph(line, (more, *ends), f"/signoff/approval-queue/{request.scheduled_job_id}", "request")


def _decided(request: ApprovalRequest) -> Paragraph:
    by = f" by {plain(request.decided_by)}" if request.decided_by else ""
    comment = (f"Comment: {plain(request.comment)[:LONGEST_COMMENT]}",) if request.comment.strip() else ()
    line = f"“{plain(request.name)}” {_became(request.state)}{by}"
    return Paragraph(line, comment, f"/signoff/approval-requests/{request.id}", "request")


def _became(state: ApprovalState) -> str:
    expired = state is ApprovalState.EXPIRED
    return "has expired, as nobody has decided about it" if expired else f"was {word_of(state)}"


def _schedule(each: Notification, name: str, zone: str) -> Paragraph:
    by = f" by {plain(each.actor)}" if each.actor else ""
    match each.what:
        case Happening.NEW_OWNER:
            line, more = f"“{name}” has a new owner", f"It was handed over{by}."
        case Happening.LOST_OWNER:
            line = f"“{name}” has lost its owner"
            more = "It will fail when it would next run, until somebody assumes ownership."
        case _:
            line, more = f"“{name}” was disabled{by}", f"It does not run since {moment(each.at, zone)}."
    return Paragraph(line, (more,), f"/signoff/scheduled-jobs/{each.subject_id}", "schedule")


def plain(text: str) -> str:
    """Return a text on one line, without characters that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def moment(time: datetime | None, zone: str) -> str:
    """Return a time as it is in a zone, with the name of that."""
    return f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}" if time is not None else "–"
