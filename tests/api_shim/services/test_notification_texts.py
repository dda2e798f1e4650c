"""What messages say, and what they never do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api_shim.domain.model import Status
from api_shim.domain.notifications import Happening, Notification, NotificationTarget, Topic, Way, event_of
from api_shim.domain.notifications import notification_of as made_of
from api_shim.services.notification_recipients import Subjects
from api_shim.services.notification_texts import message_of, plain
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_approval_request, make_job, make_result, make_scheduled, make_user

ORIGIN = "https://signoff.example"
ALICE, JOB = make_user("alice"), make_job(name="Compact")
ROW = make_scheduled(JOB, ALICE, name="nightly", inputs={"password": "hunter2"})
REQUEST = make_approval_request(ROW, JOB, ALICE, expires_at=NOW + timedelta(hours=3))
DENIED = replace(REQUEST, state=ApprovalState.DENIED, decided_at=NOW, decided_by="bob", comment="too\nlate")
RESULT = make_result(JOB, ALICE, status=Status.FAILURE, traceback="hunter2", inputs={"password": "hunter2"})
TARGET = NotificationTarget(id=ALICE.id, user_id=ALICE.id, way=Way.MAIL, label="a@example.com", address="", created=NOW)


def told(topic: Topic, subject: Any, **said: Any) -> Notification:
    return made_of(event_of(topic, subject.id, NOW, **said), TARGET, NOW)


def subjects(request: Any = REQUEST) -> Subjects:
    return Subjects(
        requests={REQUEST.id: request}, waiting={}, results={RESULT.id: RESULT}, scheduled={ROW.id: ROW}, parts={}
    )


EACH: dict[str, tuple[Notification, Any, str, str]] = {
    "waiting": (
        told(Topic.WAITING, REQUEST),
        REQUEST,
        "“nightly” waits for your approval",
        f"/signoff/approval-queue/{ROW.id}",
    ),
    "reminder": (
        told(Topic.REMINDER, REQUEST),
        REQUEST,
        "“nightly” still waits for approval",
        f"/signoff/approval-queue/{ROW.id}",
    ),
    "expiring": (
        told(Topic.EXPIRING, REQUEST),
        REQUEST,
        "“nightly” expires at 2026-05-04 15:00 UTC if nobody decides about it",
        f"/signoff/approval-requests/{REQUEST.id}",
    ),
    "denied": (
        told(Topic.DECIDED, REQUEST),
        DENIED,
        "“nightly” was denied by bob",
        f"/signoff/approval-requests/{REQUEST.id}",
    ),
    "expired": (
        told(Topic.DECIDED, REQUEST),
        replace(REQUEST, state=ApprovalState.EXPIRED, decided_at=NOW),
        "“nightly” has expired, as nobody has decided about it",
        f"/signoff/approval-requests/{REQUEST.id}",
    ),
    "failed": (told(Topic.FAILED, RESULT), REQUEST, "A run of Compact failed", f"/signoff/results/{RESULT.id}"),
    "disabled": (
        told(Topic.SCHEDULE, ROW, what=Happening.DISABLED, actor="bob"),
        REQUEST,
        "“nightly” was disabled by bob",
        f"/signoff/scheduled-jobs/{ROW.id}",
    ),
    "new owner": (
        told(Topic.SCHEDULE, ROW, what=Happening.NEW_OWNER, actor="bob"),
        REQUEST,
        "“nightly” has a new owner",
        f"/signoff/scheduled-jobs/{ROW.id}",
    ),
    "lost owner": (
        told(Topic.SCHEDULE, ROW, what=Happening.LOST_OWNER),
        REQUEST,
        "“nightly” has lost its owner",
        f"/signoff/scheduled-jobs/{ROW.id}",
    ),
}


@pytest.mark.parametrize(("each", "request_now", "line", "path"), EACH.values(), ids=list(EACH))
def test_a_message_says_what_happened_and_where_more_is(
    each: Notification, request_now: Any, line: str, path: str
) -> None:
    message = message_of([each], subjects(request_now), ORIGIN)
    assert message.subject == f"signoff: {line}"
    first, *rest = message.body.split("\n\n")
    assert first.startswith(f"{line}.\n")
    assert first.endswith(f"{ORIGIN}{path}")
    assert rest[-1].strip().endswith(message.manage)
    [said] = message.paragraphs
    assert (said.line, said.link, message.manage) == (line, f"{ORIGIN}{path}", f"{ORIGIN}/signoff/notifications")
    assert "\n".join((f"{said.line}.", *said.more, said.link)) == first


@pytest.mark.parametrize(("each", "request_now"), [case[:2] for case in EACH.values()], ids=list(EACH))
def test_no_message_decides_or_tells_inputs(each: Notification, request_now: Any) -> None:
    body = message_of([each], subjects(request_now), ORIGIN).body
    assert "hunter2" not in body
    links = [line for line in body.split() if line.startswith("http")]
    assert len(links) == 2
    assert not any(word in link for link in links for word in ("approve", "deny", "?", "token", "csrf"))


def test_a_comment_is_one_line_and_not_long() -> None:
    spoken = replace(DENIED, comment="no\nhttps://evil.example\n" + "x" * 1000)
    body = message_of([told(Topic.DECIDED, REQUEST)], subjects(spoken), ORIGIN).body
    [comment] = [line for line in body.splitlines() if line.startswith("Comment: ")]
    assert comment.startswith("Comment: no https://evil.example xxx")
    assert len(comment) < 520


@pytest.mark.parametrize(
    ("text", "shown"), [("a\r\nBcc: eve", "a Bcc: eve"), ("a\u202eb", "a b"), ("  a  b ", "a b"), ("ä “b”", "ä “b”")]
)
def test_names_begin_no_line_and_hide_nothing(text: str, shown: str) -> None:
    assert plain(text) == shown
    named = replace(REQUEST, name=text)
    assert "\n" not in message_of([told(Topic.WAITING, REQUEST)], subjects(named), ORIGIN).subject


def test_several_are_one_message() -> None:
    each = [told(Topic.WAITING, REQUEST), told(Topic.FAILED, RESULT)]
    message = message_of(each, subjects(), ORIGIN)
    assert message.subject == "signoff: 2 notifications"
    assert message.body.index("“nightly” waits") < message.body.index("A run of Compact failed")
    assert message.key == str(each[0].id)


def test_a_code_is_told_to_who_confirms() -> None:
    message = message_of([told(Topic.CONFIRM, TARGET)], subjects(), ORIGIN, "01234567")
    assert message.subject == "signoff: The code that confirms this address is 01234567"
