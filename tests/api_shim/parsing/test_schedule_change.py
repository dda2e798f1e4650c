"""A change of a scheduled job: what it changes, what it leaves, and the exact sentence about each fault."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from api_shim.domain.model import ScheduledJob
from api_shim.domain.recurrence import Interval, first_time, next_times
from api_shim.parsing.schedule_change import ScheduleChange, ScheduledJobChange, read_edit, read_receiver
from approval_gate.errors import Invalid
from tests.factories import NOW, make_job, make_scheduled
from tests.strategies import crontabs, fires

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIXED = "This field cannot be changed."
OWNER = "To change the owner, assume ownership or transfer the scheduled job."
NOT_NOW = "A scheduled job cannot be changed to run immediately. Give it a start time, or run its Job."
OVER = "It has already run. Make a new request instead."
ONLY_ONCE = "It asks about a missed firing, which runs only once. Make a new request instead."
NO_NAME = "Please provide a name for the job schedule."
BAD_START = "Please enter a valid date and time greater than or equal to the current date and time."
UNREADABLE = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
NO_CRONTAB = "Please enter a valid crontab."
NOT_A_STRING = "Not a valid string."
BOOLEAN = "Must be a valid boolean."
NULL = "This field may not be null."
ONLY_CUSTOM = "Only a custom schedule has a crontab."

FIELDS = [*ScheduledJobChange.__annotations__]
JOB = make_job()
HOURLY = make_scheduled(JOB, None, name="often", start_time=NOW + HOUR, inputs={"count": 2})
ONCE = replace(HOURLY, interval=Interval.FUTURE)
AT_ONCE = replace(ONCE, immediate=True, start_time=NOW - HOUR)
LATE = make_scheduled(JOB, None, interval=Interval.CUSTOM, crontab="0 20 * * *", start_time=NOW - 30 * DAY)


def read(body: dict[str, Any], row: ScheduledJob = LATE, now: datetime = NOW) -> ScheduleChange:
    return read_edit(body, row, now)


def refused(body: Any, row: ScheduledJob = LATE) -> Any:
    with pytest.raises(Invalid) as caught:
        read(body, row)
    return caught.value.detail


# What cannot be changed


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        pytest.param([], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}, id="a list"),
        pytest.param("name", {"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]}, id="a text"),
        pytest.param(None, {"non_field_errors": ["Invalid data. Expected a dictionary, but got NoneType."]}, id="null"),
        pytest.param({"user": "bob"}, {"user": [OWNER]}, id="the owner"),
        pytest.param({"user": None}, {"user": [OWNER]}, id="the owner, to nobody"),
        pytest.param({"interval": "future"}, {"start_time": [BAD_START]}, id="to once, at a start that has passed"),
        pytest.param({"interval": "immediately"}, {"interval": [NOT_NOW]}, id="to now"),
        pytest.param({"interval": "monthly"}, {"interval": ['"monthly" is not a valid choice.']}, id="to none"),
        pytest.param({"interval": None}, {"interval": [NULL]}, id="to null"),
        pytest.param({"interval": "daily", "crontab": "0 1 * * *"}, {"crontab": [ONLY_CUSTOM]}, id="and a crontab"),
        pytest.param(
            {"kwargs": {}}, {"kwargs": ["To change the inputs, send them as `data`."]}, id="the inputs by another name"
        ),
        *(
            pytest.param({field: "x"}, {field: [FIXED]}, id=f"{field}, which is not a person's to change")
            for field in (
                "id",
                "approved_by_user",
                "approved_at",
                "approval_required",
                "one_off",
                "job_model",
                "total_run_count",
                "last_run_at",
                "queue",
                "failure",
                "immediate",
                "due_from",
            )
        ),
        pytest.param({"bogus": 1}, {"bogus": [FIXED]}, id="what there is not"),
        pytest.param({"bogus": None}, {"bogus": [FIXED]}, id="what there is not, to null"),
        pytest.param({"": 1}, {"": [FIXED]}, id="what has no name"),
        pytest.param({"Name": "x"}, {"Name": [FIXED]}, id="a name in capitals"),
        *(pytest.param({field: None}, {field: [NULL]}, id=f"{field}, to null") for field in FIELDS),
        pytest.param(
            {"name": None, "id": 1, "user": "bob", "data": None},
            {"name": [NULL], "id": [FIXED], "user": [OWNER], "data": [NULL]},
            id="several at once, each told",
        ),
    ],
)
def test_what_cannot_be_changed_is_refused_so_that_nobody_believes_that_it_was(body: Any, faults: Any) -> None:
    assert refused(body) == faults


@pytest.mark.parametrize("row", [LATE, HOURLY, ONCE, AT_ONCE], ids=["custom", "hourly", "once", "at once"])
def test_what_is_not_sent_stays(row: ScheduledJob) -> None:
    edit = read({}, row)
    assert edit == ScheduleChange(fields={})
    assert (edit.inputs, edit.runs_otherwise) == (False, False)


# Faults of the values


@pytest.mark.parametrize(
    ("row", "body", "faults"),
    [
        pytest.param(LATE, {"enabled": "true"}, {"enabled": [BOOLEAN]}, id="a text for a flag"),
        pytest.param(LATE, {"enabled": 1}, {"enabled": [BOOLEAN]}, id="a number for a flag"),
        pytest.param(LATE, {"enabled": [True]}, {"enabled": [BOOLEAN]}, id="a list for a flag"),
        pytest.param(LATE, {"name": ""}, {"name": [NO_NAME]}, id="no name"),
        pytest.param(LATE, {"name": " \t"}, {"name": [NO_NAME]}, id="a blank name"),
        pytest.param(LATE, {"name": 5}, {"name": [NOT_A_STRING]}, id="a number as name"),
        pytest.param(
            LATE,
            {"name": "x" * 256},
            {"name": ["Ensure this field has no more than 255 characters."]},
            id="a long name",
        ),
        pytest.param(
            LATE,
            {"name": "a\nb"},
            {"name": ["The name may not have control characters, or others that cannot be printed."]},
            id="a name of two lines",
        ),
        pytest.param(
            LATE,
            {"time_zone": "Mars/Olympus"},
            {"time_zone": ["There is no time zone 'Mars/Olympus'; use a name such as Europe/Berlin or UTC."]},
            id="an unknown zone",
        ),
        pytest.param(LATE, {"time_zone": 1}, {"time_zone": [NOT_A_STRING]}, id="a number as zone"),
        pytest.param(
            LATE,
            {"time_zone": ""},
            {"time_zone": ["There is no time zone ''; use a name such as Europe/Berlin or UTC."]},
            id="an empty zone",
        ),
        pytest.param(LATE, {"start_time": "2026-05-04T11:59:59Z"}, {"start_time": [BAD_START]}, id="a start just past"),
        pytest.param(LATE, {"start_time": ""}, {"start_time": [UNREADABLE]}, id="an empty start"),
        pytest.param(LATE, {"start_time": "tomorrow"}, {"start_time": [UNREADABLE]}, id="a word as start"),
        pytest.param(LATE, {"start_time": "2026-05-05"}, {"start_time": [UNREADABLE]}, id="a date without a time"),
        pytest.param(LATE, {"start_time": 1777975200}, {"start_time": [UNREADABLE]}, id="a number as start"),
        pytest.param(
            LATE,
            {"start_time": "9500-01-01T00:00Z"},
            {"start_time": ["Please enter a start time between the years 1970 and 9000."]},
            id="a year too far to reckon with",
        ),
        pytest.param(LATE, {"misfire": "never"}, {"misfire": ['"never" is not a valid choice.']}, id="no such misfire"),
        pytest.param(LATE, {"misfire": None}, {"misfire": ["This field may not be null."]}, id="a null misfire"),
        pytest.param(LATE, {"crontab": ""}, {"crontab": [NO_CRONTAB]}, id="no crontab"),
        pytest.param(LATE, {"crontab": ["* * * * *"]}, {"crontab": [NO_CRONTAB]}, id="a list as crontab"),
        pytest.param(
            LATE,
            {"crontab": "0 0 31 2 *"},
            {"crontab": ["This crontab never fires: none of its months has such a day."]},
            id="a date that never comes",
        ),
        pytest.param(
            LATE,
            {"crontab": "0 0 * * * *"},
            {
                "crontab": [
                    "A crontab needs exactly five fields (minute, hour, day of month, month, day of week); "
                    "this one has 6."
                ]
            },
            id="six fields",
        ),
        *(
            pytest.param(row, {"crontab": crontab}, {"crontab": [ONLY_CUSTOM]}, id=f"{crontab!r} for one {how}")
            for row, how in ((HOURLY, "that is hourly"), (ONCE, "that runs once"), (AT_ONCE, "that runs at once"))
            for crontab in ("* * * * *", "", "nonsense")
        ),
        pytest.param(
            ONCE,
            {"start_time": "2026-05-04T14:00", "time_zone": "Asia/Tokyo"},
            {"start_time": [BAD_START]},
            id="a start that is past in the new zone, which is ahead",
        ),
        pytest.param(
            LATE,
            {"enabled": 1, "name": "", "time_zone": "Mars", "crontab": "* *", "start_time": "soon"},
            {
                "enabled": [BOOLEAN],
                "name": [NO_NAME],
                "time_zone": ["There is no time zone 'Mars'; use a name such as Europe/Berlin or UTC."],
                "crontab": [
                    "A crontab needs exactly five fields (minute, hour, day of month, month, day of week); "
                    "this one has 2."
                ],
                "start_time": [UNREADABLE],
            },
            id="all at once",
        ),
    ],
)
def test_every_fault_is_told_under_its_field(row: ScheduledJob, body: dict[str, Any], faults: Any) -> None:
    assert refused(body, row) == faults


# What changes


@pytest.mark.parametrize(
    ("row", "body", "fields"),
    [
        pytest.param(LATE, {"enabled": False}, {"enabled": False}, id="a flag"),
        pytest.param(HOURLY, {"name": " seldom "}, {"name": "seldom"}, id="a name, less the blanks around it"),
        pytest.param(HOURLY, {"time_zone": "Asia/Tokyo"}, {"time_zone": "Asia/Tokyo"}, id="the zone of an hourly one"),
        pytest.param(
            HOURLY,
            {"start_time": "2026-05-05T10:00:00+02:00"},
            {"start_time": datetime(2026, 5, 5, 8, tzinfo=UTC), "immediate": False},
            id="a start",
        ),
        pytest.param(
            HOURLY, {"start_time": NOW.isoformat()}, {"start_time": NOW, "immediate": False}, id="a start that is now"
        ),
        pytest.param(
            replace(HOURLY, time_zone="Asia/Tokyo"),
            {"start_time": "2026-05-05T10:00"},
            {"start_time": datetime(2026, 5, 5, 1, tzinfo=UTC), "immediate": False},
            id="a start without a zone is in the zone that it has",
        ),
        pytest.param(
            replace(HOURLY, time_zone="Asia/Tokyo"),
            {"start_time": "2026-05-05T10:00", "time_zone": "America/New_York"},
            {
                "start_time": datetime(2026, 5, 5, 14, tzinfo=UTC),
                "time_zone": "America/New_York",
                "immediate": False,
            },
            id="a start without a zone is in the new zone",
        ),
        pytest.param(
            AT_ONCE,
            {"start_time": "2026-05-05T10:00:00Z"},
            {"start_time": datetime(2026, 5, 5, 10, tzinfo=UTC), "immediate": False},
            id="with a start it is not to run at once any more",
        ),
        pytest.param(AT_ONCE, {"time_zone": "Asia/Tokyo"}, {"time_zone": "Asia/Tokyo"}, id="with a zone it is"),
        pytest.param(
            LATE,
            {"crontab": "30 4 * * *", "start_time": "2026-07-01T00:00:00Z"},
            {"crontab": "30 4 * * *", "start_time": datetime(2026, 7, 1, tzinfo=UTC), "immediate": False},
            id="a crontab with a start has that start",
        ),
        # What is equal
        pytest.param(LATE, {"enabled": True}, {}, id="a flag that it has"),
        pytest.param(HOURLY, {"name": " often "}, {}, id="a name that it has"),
        pytest.param(LATE, {"time_zone": "UTC", "crontab": "0 20 * * *"}, {}, id="a crontab and a zone that it has"),
        pytest.param(LATE, {"crontab": " 0  20 * * * "}, {}, id="a crontab that it has, with other blanks"),
        pytest.param(HOURLY, {"start_time": "2026-05-04T15:00:00+02:00"}, {}, id="a start that it has, said otherwise"),
        pytest.param(LATE, {"start_time": "2026-04-04T12:00Z"}, {}, id="a start that it has, though it has passed"),
        pytest.param(
            HOURLY,
            {"start_time": "2026-05-04T15:00", "time_zone": "Europe/Berlin"},
            {"time_zone": "Europe/Berlin"},
            id="a start that it has, in the new zone",
        ),
    ],
)
def test_only_what_is_sent_and_differs_changes(row: ScheduledJob, body: dict[str, Any], fields: Any) -> None:
    assert read(body, row) == ScheduleChange(fields=fields)


def test_data_and_queues_are_kept_as_sent() -> None:
    edit = read({"data": {"count": 2}, "task_queue": "bulk", "job_queue": ""}, HOURLY)
    assert edit == ScheduleChange(fields={}, data={"count": 2}, task_queue="bulk", job_queue="")


@pytest.mark.parametrize(
    ("row", "body", "runs_otherwise", "inputs"),
    [
        pytest.param(HOURLY, {"name": "seldom"}, False, False, id="another name"),
        pytest.param(HOURLY, {"enabled": False}, False, False, id="disabled"),
        pytest.param(HOURLY, {"enabled": True}, False, False, id="enabled, which it is"),
        pytest.param(replace(HOURLY, enabled=False), {"enabled": True}, True, False, id="enabled"),
        pytest.param(HOURLY, {"start_time": "2026-07-01T00:00Z"}, True, False, id="another start"),
        pytest.param(HOURLY, {"time_zone": "Asia/Tokyo"}, True, False, id="another zone"),
        pytest.param(LATE, {"crontab": "* * * * *"}, True, False, id="another crontab"),
        pytest.param(LATE, {"crontab": "0 20 * * *", "time_zone": "UTC"}, False, False, id="the times that it has"),
        pytest.param(HOURLY, {"job_queue": "bulk"}, True, False, id="another queue"),
        pytest.param(HOURLY, {"task_queue": "bulk"}, True, False, id="another queue, by its older name"),
        pytest.param(HOURLY, {"data": {"count": 3}}, True, True, id="other inputs"),
        pytest.param(HOURLY, {"data": {}}, True, True, id="no inputs"),
        pytest.param(HOURLY, {"data": []}, True, True, id="inputs that are none"),
        pytest.param(HOURLY, {"name": "seldom", "enabled": False}, False, False, id="another name, and disabled"),
        pytest.param(HOURLY, {"name": "seldom", "data": {}}, True, True, id="another name and no inputs"),
    ],
)
def test_what_makes_it_run_otherwise(
    row: ScheduledJob, body: dict[str, Any], runs_otherwise: bool, inputs: bool
) -> None:
    edit = read(body, row)
    assert (edit.runs_otherwise, edit.inputs) == (runs_otherwise, inputs)


# When a custom schedule whose times change begins


AHEAD = replace(LATE, start_time=datetime(2026, 6, 1, tzinfo=UTC))
TONIGHT = datetime(2026, 5, 4, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "body", "start"),
    [
        pytest.param(LATE, {"crontab": "* * * * *"}, NOW + timedelta(minutes=1), id="its start is long past"),
        pytest.param(LATE, {"crontab": "0 12 * * *"}, NOW + DAY, id="a match at this very moment has passed"),
        pytest.param(LATE, {"time_zone": "Asia/Tokyo"}, TONIGHT + 15 * HOUR, id="another zone has its own times"),
        pytest.param(
            LATE,
            {"time_zone": "Asia/Tokyo", "crontab": "0 22 * * *"},
            NOW + HOUR,
            id="another zone and another crontab",
        ),
        pytest.param(
            replace(LATE, start_time=TONIGHT),
            {"crontab": "0 13 * * *"},
            NOW + HOUR,
            id="its start is its next match, as where none was named",
        ),
        pytest.param(
            replace(LATE, start_time=TONIGHT),
            {"crontab": "0 21 * * *"},
            TONIGHT + HOUR,
            id="and the new match is later",
        ),
        pytest.param(AHEAD, {"crontab": "* * * * *"}, None, id="its start lies ahead"),
        pytest.param(AHEAD, {"time_zone": "Asia/Tokyo"}, None, id="its start lies ahead of another zone too"),
        pytest.param(
            replace(LATE, start_time=NOW + 4 * HOUR),
            {"crontab": "* * * * *"},
            None,
            id="its start lies ahead, and before its next match",
        ),
        pytest.param(LATE, {"name": "seldom"}, None, id="only its name changes"),
    ],
)
def test_when_a_custom_schedule_begins_whose_times_change(
    row: ScheduledJob, body: dict[str, Any], start: datetime | None
) -> None:
    assert read(body, row).fields.get("start_time") == start


SOME_CRONTABS = crontabs().filter(lambda drawn: fires(drawn[1])).map(lambda drawn: drawn[0])
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(
    old=SOME_CRONTABS,
    new=SOME_CRONTABS,
    zones=st.tuples(ZONES, ZONES),
    away=st.timedeltas(-2 * DAY, 2 * DAY) | st.timedeltas(-1000 * DAY, 1000 * DAY),
)
def test_a_start_that_lies_ahead_holds_the_new_times_back_and_no_other_does(
    old: str, new: str, zones: tuple[str, str], away: timedelta
) -> None:
    begins = NOW + away
    row = replace(LATE, crontab=old, time_zone=zones[0], start_time=begins)
    edit = read({"crontab": new, "time_zone": zones[1]}, row)
    assume(edit.fields)
    then = replace(row, **edit.fields)
    [first] = next_times(then.recurrence, NOW, 1)
    ahead = begins > NOW and begins != first_time(old, zones[0], NOW)
    if ahead:
        assert then.start_time == begins
        assert first >= begins
    else:
        assert first == first_time(then.crontab, zones[1], NOW) == then.start_time


@given(old=SOME_CRONTABS, new=SOME_CRONTABS, zones=st.tuples(ZONES, ZONES))
def test_what_began_by_itself_fires_at_the_next_match_after_every_change(
    old: str, new: str, zones: tuple[str, str]
) -> None:
    row = replace(LATE, crontab=old, time_zone=zones[0], start_time=first_time(old, zones[0], NOW - HOUR))
    for at in (NOW, NOW + HOUR, NOW + DAY):
        row = replace(row, **read({"crontab": new, "time_zone": zones[1]}, row, at).fields)
        assert next_times(row.recurrence, at, 1) == [first_time(row.crontab, row.time_zone, at)]
        row = replace(row, **read({"crontab": old, "time_zone": zones[0]}, row, at).fields)
        assert next_times(row.recurrence, at, 1) == [first_time(row.crontab, row.time_zone, at)]


# To whom it is handed


def test_a_receiver_is_named() -> None:
    assert read_receiver({"user": "alice", "more": 1}) == "alice"


@pytest.mark.parametrize(
    "body", [{}, [], None, "alice", {"user": None}, {"user": ""}, {"user": 5}, {"user": "a\0"}, {"user": "\ud800"}]
)
def test_who_names_no_receiver_is_told_to(body: object) -> None:
    with pytest.raises(Invalid) as caught:
        read_receiver(body)
    assert caught.value.detail == {"user": ["Give the name or the id of a user."]}


# The interval


SOON = (NOW + DAY).isoformat()
NIGHTLY: dict[str, Any] = {"interval": Interval.CUSTOM, "crontab": "0 2 * * *"}
PLAIN: dict[str, Any] = {"crontab": "", "immediate": False}


@pytest.mark.parametrize(
    ("row", "body", "changes"),
    [
        pytest.param(HOURLY, {"interval": "hourly"}, {}, id="as it is"),
        pytest.param(HOURLY, {"interval": "weekly"}, {"interval": Interval.WEEKLY, **PLAIN}, id="to weekly"),
        pytest.param(LATE, {"interval": "daily"}, {"interval": Interval.DAILY, **PLAIN}, id="from a crontab"),
        pytest.param(
            HOURLY,
            {"interval": "custom", "crontab": "0 2 * * *"},
            {"interval": Interval.CUSTOM, "crontab": "0 2 * * *", "immediate": False},
            id="to a crontab, with a start that is to come",
        ),
        pytest.param(
            replace(HOURLY, start_time=NOW - DAY),
            {"interval": "custom", "crontab": "0 2 * * *"},
            {**NIGHTLY, "immediate": False, "start_time": first_time("0 2 * * *", "UTC", NOW)},
            id="to a crontab, with a start that has passed",
        ),
        pytest.param(ONCE, {"interval": "future"}, {}, id="once, as it is"),
    ],
)
def test_what_recurs_can_recur_at_another_interval(
    row: ScheduledJob, body: dict[str, Any], changes: dict[str, Any]
) -> None:
    edit = read(body, replace(row, time_zone="UTC"))
    assert edit.fields == changes
    assert edit.runs_otherwise is bool(changes)


def test_a_crontab_is_needed_for_it() -> None:
    assert refused({"interval": "custom"}, HOURLY) == {"crontab": ["This field is required."]}
    assert refused({"interval": "custom"}, ONCE) == {"crontab": ["This field is required."]}


@pytest.mark.parametrize(
    ("row", "body", "changes"),
    [
        pytest.param(ONCE, {"interval": "daily"}, {"interval": Interval.DAILY}, id="to daily, from its start on"),
        pytest.param(
            replace(ONCE, start_time=NOW - DAY),
            {"interval": "daily"},
            {"interval": Interval.DAILY},
            id="at its old time",
        ),
        pytest.param(
            AT_ONCE,
            {"interval": "daily", "start_time": SOON},
            {"interval": Interval.DAILY, "start_time": NOW + DAY},
            id="from at once to daily",
        ),
        pytest.param(ONCE, NIGHTLY, NIGHTLY, id="to a crontab, not before its start"),
        pytest.param(
            AT_ONCE,
            NIGHTLY,
            NIGHTLY | {"start_time": first_time("0 2 * * *", "UTC", NOW)},
            id="from at once to a crontab",
        ),
        pytest.param(HOURLY, {"interval": "future"}, {"interval": Interval.FUTURE}, id="to once, when it was to begin"),
        pytest.param(
            LATE,
            {"interval": "future", "start_time": SOON},
            {"interval": Interval.FUTURE, "start_time": NOW + DAY},
            id="from a crontab to once",
        ),
    ],
)
def test_what_runs_once_can_recur_and_what_recurs_can_run_once(
    row: ScheduledJob, body: dict[str, Any], changes: dict[str, Any]
) -> None:
    edit = read(body, replace(row, time_zone="UTC"))
    assert edit.fields == PLAIN | changes
    assert edit.runs_otherwise


@pytest.mark.parametrize(
    ("row", "body", "faults"),
    [
        pytest.param(
            replace(ONCE, total_run_count=1), {"interval": "daily"}, {"interval": [OVER]}, id="what has run, again"
        ),
        pytest.param(
            replace(AT_ONCE, missed={"of": "x"}),
            {"interval": "daily"},
            {"interval": [ONLY_ONCE]},
            id="what was missed, again",
        ),
        pytest.param(
            AT_ONCE, {"interval": "daily"}, {"start_time": [BAD_START]}, id="at a time that nobody has chosen"
        ),
        pytest.param(ONCE, {"interval": "immediately"}, {"interval": [NOT_NOW]}, id="at once"),
    ],
)
def test_what_cannot_recur_or_run_once_is_told_why(row: ScheduledJob, body: Any, faults: Any) -> None:
    assert refused(body, row) == faults
