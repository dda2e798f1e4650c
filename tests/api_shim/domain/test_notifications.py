"""When people are told, and what of all that happens they may be told of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from api_shim.domain.model import ScheduledJob, Status
from api_shim.domain.notifications import (
    LONGEST_PAUSE,
    Frequency,
    NotificationChoice,
    Topic,
    of_change,
    of_new,
    pause_after,
)
from api_shim.domain.recurrence import Interval
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_approval_request, make_job, make_result, make_scheduled, make_user

ALICE, BOB, JOB = make_user("alice"), make_user("bob"), make_job()
ROW = make_scheduled(JOB, ALICE)
REQUEST = make_approval_request(ROW, JOB, ALICE)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def daily(hour: int) -> NotificationChoice:
    return NotificationChoice(user_id=uuid4(), frequency=Frequency.DAILY, hour=hour)


@pytest.mark.parametrize(
    ("choice", "zone", "now", "due"),
    [
        pytest.param(
            NotificationChoice(user_id=uuid4()), "UTC", "2026-05-04T12:34:56Z", "2026-05-04T12:34:56Z", id="at once"
        ),
        pytest.param(
            NotificationChoice(user_id=uuid4(), frequency=Frequency.HOURLY),
            "Asia/Kolkata",
            "2026-05-04T12:34:56Z",
            "2026-05-04T13:00:00Z",
            id="at the next hour",
        ),
        pytest.param(daily(8), "UTC", "2026-05-04T07:59:59Z", "2026-05-04T08:00:00Z", id="today"),
        pytest.param(daily(8), "UTC", "2026-05-04T08:00:00Z", "2026-05-05T08:00:00Z", id="tomorrow, once it has come"),
        pytest.param(daily(8), "Europe/Berlin", "2026-05-04T05:00:00Z", "2026-05-04T06:00:00Z", id="in their zone"),
        pytest.param(daily(0), "Asia/Tokyo", "2026-05-04T14:00:00Z", "2026-05-04T15:00:00Z", id="their midnight"),
        pytest.param(
            daily(2), "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", id="an hour that is skipped"
        ),
        pytest.param(
            daily(2), "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z", id="the first of two hours"
        ),
        pytest.param(
            daily(2), "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z", id="and not the second"
        ),
    ],
)
def test_when_somebody_is_told(choice: NotificationChoice, zone: str, now: str, due: str) -> None:
    assert choice.due(at(now), zone) == at(due)


@given(
    now=some.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=some.just(UTC)),  # noqa: DTZ001 - the zone follows
    hour=some.integers(0, 23),
    zone=some.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_a_day_has_one_message_at_their_hour(now: datetime, hour: int, zone: str) -> None:
    due = daily(hour).due(now, zone)
    assert timedelta(0) < due - now <= timedelta(hours=26)
    local = due.astimezone(ZoneInfo(zone))
    # An hour that the clocks skip is the one after it.
    assert (local.hour, local.minute) in {(hour, 0), (hour + 1, 0), (hour, 30)}
    assert daily(hour).due(due, zone) > due


# What happens


def test_a_new_request_waits_and_a_settled_one_is_decided() -> None:
    waits = of_new(REQUEST)
    assert waits is not None
    assert (waits.topic, waits.subject_id, waits.actor_id, waits.at) == (Topic.WAITING, REQUEST.id, ALICE.id, NOW)
    later = NOW + timedelta(hours=1)
    settled = replace(REQUEST, state=ApprovalState.DENIED, decided_at=later, decided_by_id=BOB.id, decided_by="bob")
    decided = of_new(settled)
    assert decided is not None
    assert (decided.topic, decided.subject_id, decided.actor, decided.at) == (Topic.DECIDED, REQUEST.id, "bob", later)
    assert decided.id != waits.id


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (Status.STARTED, Status.FAILURE, True),
        (Status.PENDING, Status.FAILURE, True),
        (Status.STARTED, Status.SUCCESS, False),
        (Status.STARTED, Status.REVOKED, False),
        (Status.PENDING, Status.STARTED, False),
        (Status.FAILURE, Status.FAILURE, False),
    ],
)
def test_a_run_that_fails_is_told_of_once(before: Status, after: Status, told: bool) -> None:
    result = make_result(JOB, ALICE, status=before)
    event = of_change(result, replace(result, status=after, date_done=NOW))
    assert (event is not None and event.topic is Topic.FAILED) is told


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "disabled": ({}, {"enabled": False}, "disabled"),
    "enabled": ({"enabled": False}, {"enabled": True}, ""),
    "disabled already": ({"enabled": False}, {"enabled": False}, ""),
    "had its only run": ({"interval": Interval.FUTURE}, {"enabled": False}, ""),
    "expired": ({}, {"enabled": False, "approval": ApprovalState.EXPIRED}, ""),
    "taken over": ({}, {"owner_id": BOB.id}, "has a new owner"),
    "renamed": ({}, {"name": "another"}, ""),
}


@pytest.mark.parametrize(("row", "to", "what"), CHANGES.values(), ids=list(CHANGES))
def test_a_schedule_that_stops_or_changes_hands_is_told_of(row: dict[str, Any], to: dict[str, Any], what: str) -> None:
    before: ScheduledJob = replace(ROW, **row)
    event = of_change(before, replace(before, **to))
    assert (event.what if event else "") == what


def test_the_same_is_one_event_however_often_it_is_noted() -> None:
    assert of_new(REQUEST) == of_new(REQUEST)


def test_pauses_grow_and_end_somewhere() -> None:
    pauses = [pause_after(attempts) for attempts in range(1, 100)]
    assert pauses[:4] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
