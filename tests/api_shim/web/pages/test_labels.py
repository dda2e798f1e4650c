"""What the pages say of scheduled jobs, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.recurrence import Interval
from api_shim.services.forecast import ScheduleStatus
from api_shim.services.schedule_views import TOLD
from api_shim.web.pages.labels import ACTS, STANDINGS, happened, remark, schedule, switched_off
from tests.factories import NOW, make_job, make_scheduled, make_user

START = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ({"interval": Interval.FUTURE, "immediate": True}, "once, as soon as it is approved"),
        ({"interval": Interval.FUTURE}, "once, at 2026-05-04 22:30 UTC"),
        ({"interval": Interval.HOURLY}, "every hour at 30 minutes past"),
        ({"interval": Interval.HOURLY, "time_zone": "Asia/Kolkata"}, "every hour at 00 minutes past"),
        ({"interval": Interval.HOURLY, "start_time": START.replace(second=1)}, "every hour at 31 minutes past"),
        ({"interval": Interval.DAILY}, "every day at 00:30 Europe/Berlin"),
        ({"interval": Interval.DAILY, "time_zone": "Etc/UTC"}, "every day at 22:30 UTC"),
        ({"interval": Interval.WEEKLY}, "every Tuesday at 00:30 Europe/Berlin"),
        ({"interval": Interval.CUSTOM, "crontab": "0 2 * * *"}, "at 02:00 every day, Europe/Berlin"),
    ],
)
def test_when_it_runs(to: dict[str, Any], said: str) -> None:
    fields = {"start_time": START, "time_zone": "Europe/Berlin", **to}
    assert schedule(make_scheduled(make_job(), make_user(), **fields)) == said


def test_every_standing_has_its_words_and_every_act_that_can_befall_one() -> None:
    assert {*STANDINGS} == {*ScheduleStatus}
    nouns = {
        *("user", "group", "token", "permission", "result", "job", "job-button", "job-hook", "queue", "automation"),
        *("sign-in", "audit"),
    }
    of_others = {act for act in EventType if act.partition(".")[0] in nouns}
    assert {*TOLD} - of_others == {*ACTS}


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ({"by": "alice", "at": START.isoformat()}, " by alice on 2026-05-04 22:30 UTC"),
        ({"by": "", "at": None}, ""),
    ],
)
def test_who_switched_approval_off(mark: dict[str, Any], said: str) -> None:
    sentence = f"It was requested while approval of its Job was switched off{said}."
    assert switched_off(mark) == sentence


def event(act: EventType, actor: str = "", **data: Any) -> AuditEvent:
    return AuditEvent(at=NOW, act=act, actor=actor, data=data)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (event(EventType.REQUESTED, "alice"), "alice requested it"),
        (event(EventType.APPROVED, "bob", force=True), "bob approved it after its start time"),
        (event(EventType.RETURNED), "It returned to the approval queue"),
        (event(EventType.CHANGED, "bob", fields=["crontab", "start_time"]), "bob changed its crontab and start"),
        (event(EventType.DECISION_REFUSED, "bob", count=1), "bob was refused a decision about it"),
        (event(EventType.DECISION_REFUSED, "bob", count=7), "bob was refused a decision about it 7 times"),
        (event(EventType.ASSUMED, "bob", was="alice"), "bob assumed ownership (previous owner: alice)"),
        (event(EventType.ASSUMED, "bob"), "bob assumed ownership (it had no owner)"),
        (
            event(EventType.TRANSFERRED, "bob", owner="carol", was="al"),
            "bob transferred it to carol (previous owner: al)",
        ),
        (event(EventType.TRANSFERRED, owner="carol"), "Transferred it to carol (it had no owner)"),
        (event(EventType.REFUSED), "A run was refused"),
    ],
)
def test_what_happened(what: AuditEvent, said: str) -> None:
    assert happened(what) == said


@pytest.mark.parametrize(
    ("data", "said"),
    [({"comment": "fine"}, "fine"), ({"reason": "The inputs changed."}, "The inputs changed."), ({}, "")],
)
def test_what_was_said_about_it(data: dict[str, Any], said: str) -> None:
    assert remark(event(EventType.APPROVED, **data)) == said
