"""What the pages say of scheduled jobs, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.recurrence import Interval
from api_shim.services.schedule_views import TOLD
from api_shim.web.pages.labels import (
    ACTS,
    LONGEST_INPUTS,
    happened,
    inputs,
    remark,
    schedule,
    switched_off,
    title,
)
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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("Compact - 2026-11-27T22:45:49.949456+00:00", "Compact", id="the time of a request"),
        pytest.param("Compact - 2026-11-27 22:45:49+00:00", "Compact", id="with a space, to the second"),
        pytest.param("A - B - 2026-11-27 22:45:49.949456+00:00", "A - B", id="a Job with a dash"),
        pytest.param("Compact - 2026-11-27", "Compact - 2026-11-27", id="a day that somebody wrote"),
        pytest.param("nightly", "nightly", id="a name"),
        pytest.param(" - 2026-11-27 22:45:49+00:00", " - 2026-11-27 22:45:49+00:00", id="nothing else"),
    ],
)
def test_what_has_no_name_of_its_own_is_called_after_its_job(name: str, said: str) -> None:
    assert title(name) == said


VARIABLES = [{"name": "keep", "label": "Days to keep"}, {"name": "file"}]


@pytest.mark.parametrize(
    ("given", "job", "said"),
    [
        pytest.param({"keep": 7, "file": "a"}, {}, "Days to keep: 7, file: a", id="by their labels"),
        pytest.param({"dryrun": False, "none": None}, {}, "dryrun: no, none: –", id="in words"),
        pytest.param({"file": "a\nb\t c"}, {}, "file: a b c", id="on one line"),
        pytest.param({"file": "a\u202eb"}, {}, "file: a\\u202eb", id="what hides is shown"),
        pytest.param({"file": "x" * 61}, {}, f"file: {'x' * 59}…", id="a long one is cut"),
        pytest.param({"file": "x" * 60}, {}, f"file: {'x' * 60}", id="one that just fits"),
        pytest.param({}, {}, "no inputs", id="none"),
        pytest.param(
            {"file": "secret"},
            {"has_sensitive_variables": True},
            "inputs are hidden, because they may be sensitive",
            id="sensitive",
        ),
    ],
)
def test_inputs_stand_in_one_line(given: dict[str, Any], job: dict[str, Any], said: str) -> None:
    asked = make_job(variables=VARIABLES, **job)
    assert inputs(make_scheduled(asked, make_user(), inputs=given), asked) == said


def test_that_line_is_of_bounded_length() -> None:
    asked = make_job()
    many = {f"input {number}": "x" * 100 for number in range(100)}
    assert len(inputs(make_scheduled(asked, make_user(), inputs=many), asked)) == LONGEST_INPUTS


def test_every_act_that_can_befall_a_scheduled_job_has_its_words() -> None:
    nouns = {
        *("user", "group", "token", "permission", "result", "job", "job-button", "job-hook", "queue", "automation"),
        *("sign-in", "audit", "notification-target"),
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
