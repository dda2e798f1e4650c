"""The schedule of a run request: what is accepted and as which moment, and the exact body of each refusal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_shim.domain.model import queue_id
from api_shim.domain.recurrence import Interval
from api_shim.parsing.run_request import (
    BOTH_QUEUES,
    NIGHTLY,
    RequestedSchedule,
    RunForm,
    RunRequest,
    Schedule,
    as_form_fault,
    read_queue,
    read_run,
    read_schedule,
    read_time,
)
from approval_gate.errors import Invalid
from tests.factories import make_job

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SERVER = "Europe/Berlin"
NO_NAME = "Please provide a name for the job schedule."
BAD_START = "Please enter a valid date and time greater than or equal to the current date and time."
NULL = "This field may not be null."
UNREADABLE = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
NO_CRONTAB = "Please enter a valid crontab."
NOT_A_STRING = "Not a valid string."
YEARS = "Please enter a start time between the years 1970 and 9000."
MEGABYTE = "x" * 1_000_000

FUTURE = {"interval": "future", "name": "once", "start_time": "2026-05-05T10:00:00Z"}
CUSTOM = {"interval": "custom", "name": "often", "crontab": "30 4 * * *"}


def future(**to: Any) -> dict[str, Any]:
    return {key: value for key, value in {**FUTURE, **to}.items() if value is not ...}


def custom(**to: Any) -> dict[str, Any]:
    return {key: value for key, value in {**CUSTOM, **to}.items() if value is not ...}


def refused(raw: object) -> Any:
    with pytest.raises(Invalid) as caught:
        read_schedule(raw, NOW, SERVER)
    return caught.value.detail


REFUSALS = [
    pytest.param([], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}, id="a list"),
    pytest.param("future", {"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]}, id="a text"),
    pytest.param({}, {"interval": ["This field is required."]}, id="no interval"),
    pytest.param({"interval": None}, {"interval": [NULL]}, id="a null interval"),
    pytest.param({"interval": "monthly"}, {"interval": ['"monthly" is not a valid choice.']}, id="an unknown interval"),
    pytest.param({"interval": ""}, {"interval": ['"" is not a valid choice.']}, id="an empty interval"),
    pytest.param({"interval": 5}, {"interval": ['"5" is not a valid choice.']}, id="a number as interval"),
    pytest.param(
        {"interval": ["future"]}, {"interval": ["\"['future']\" is not a valid choice."]}, id="a list as interval"
    ),
    pytest.param(
        {"interval": "Future"}, {"interval": ['"Future" is not a valid choice.']}, id="an interval in capitals"
    ),
    pytest.param({"interval": MEGABYTE}, {"interval": [f'"{"x" * 100}" is not a valid choice.']}, id="a huge interval"),
    pytest.param(future(misfire="never"), {"misfire": ['"never" is not a valid choice.']}, id="an unknown misfire"),
    pytest.param(future(name=...), {"name": [NO_NAME]}, id="no name"),
    pytest.param(future(name=None), {"name": [NULL]}, id="a null name"),
    pytest.param(future(name=" \t"), {"name": [NO_NAME]}, id="a blank name"),
    pytest.param(future(name=5), {"name": [NOT_A_STRING]}, id="a number as name"),
    pytest.param(future(name={"a": 1}), {"name": [NOT_A_STRING]}, id="an object as name"),
    pytest.param(
        future(name="x" * 256), {"name": ["Ensure this field has no more than 255 characters."]}, id="a long name"
    ),
    pytest.param(
        future(name=MEGABYTE), {"name": ["Ensure this field has no more than 255 characters."]}, id="a huge name"
    ),
    pytest.param(
        future(name="a\nb"),
        {"name": ["The name may not have control characters, or others that cannot be printed."]},
        id="a name of two lines",
    ),
    pytest.param(
        future(name="a\ud800"),
        {"name": ["The name may not have control characters, or others that cannot be printed."]},
        id="a name with half a character",
    ),
    pytest.param(future(start_time=...), {"start_time": [BAD_START]}, id="no start"),
    pytest.param(future(start_time=None), {"start_time": [NULL]}, id="a null start"),
    pytest.param(future(start_time=""), {"start_time": [UNREADABLE]}, id="an empty start"),
    pytest.param(future(interval="hourly", start_time=...), {"start_time": [BAD_START]}, id="hourly without a start"),
    pytest.param(future(interval="daily", start_time=...), {"start_time": [BAD_START]}, id="daily without a start"),
    pytest.param(future(interval="weekly", start_time=...), {"start_time": [BAD_START]}, id="weekly without a start"),
    pytest.param(future(start_time="2026-05-04T11:59:59.999999Z"), {"start_time": [BAD_START]}, id="a start just past"),
    pytest.param(future(start_time="0001-01-01T10:00Z"), {"start_time": [BAD_START]}, id="the year 1"),
    pytest.param(future(start_time="tomorrow"), {"start_time": [UNREADABLE]}, id="a word as start"),
    pytest.param(future(start_time="2026-05-05"), {"start_time": [UNREADABLE]}, id="a date without a time"),
    pytest.param(future(start_time=" 2026-05-05 "), {"start_time": [UNREADABLE]}, id="a date in blanks"),
    pytest.param(future(start_time="2026-02-30T10:00"), {"start_time": [UNREADABLE]}, id="a date that is not"),
    pytest.param(future(start_time="2026-05-05T25:00"), {"start_time": [UNREADABLE]}, id="an hour that is not"),
    pytest.param(future(start_time="2026-05-05T10:00+99:00"), {"start_time": [UNREADABLE]}, id="an offset that is not"),
    pytest.param(future(start_time=1777975200), {"start_time": [UNREADABLE]}, id="a number as start"),
    pytest.param(future(start_time=True), {"start_time": [UNREADABLE]}, id="a boolean as start"),
    pytest.param(future(start_time=["T "]), {"start_time": [UNREADABLE]}, id="a list as start"),
    pytest.param(future(start_time=MEGABYTE), {"start_time": [UNREADABLE]}, id="a huge start"),
    pytest.param(future(start_time="2026-05-05T10:0\ud800"), {"start_time": [UNREADABLE]}, id="half a character"),
    pytest.param(future(start_time="2026-05-05T1٠:00"), {"start_time": [UNREADABLE]}, id="digits of other scripts"),
    pytest.param(future(start_time="9999-12-31T23:59-23:00"), {"start_time": [UNREADABLE]}, id="past the last year"),
    pytest.param(future(start_time="9500-01-01T00:00Z"), {"start_time": [YEARS]}, id="a year too far to reckon with"),
    pytest.param(
        future(time_zone="Mars/Olympus"),
        {"time_zone": ["There is no time zone 'Mars/Olympus'; use a name such as Europe/Berlin or UTC."]},
        id="an unknown zone",
    ),
    pytest.param(
        future(time_zone="../../etc/passwd"),
        {"time_zone": ["There is no time zone '../../etc/passwd'; use a name such as Europe/Berlin or UTC."]},
        id="a path as zone",
    ),
    pytest.param(future(time_zone=1), {"time_zone": [NOT_A_STRING]}, id="a number as zone"),
    pytest.param(
        future(time_zone="\ud800"),
        {"time_zone": ["There is no time zone '\\ud800'; use a name such as Europe/Berlin or UTC."]},
        id="half a character as zone",
    ),
    pytest.param(custom(crontab=...), {"crontab": [NO_CRONTAB]}, id="no crontab"),
    pytest.param(custom(crontab=None), {"crontab": [NULL]}, id="a null crontab"),
    pytest.param(custom(crontab="  "), {"crontab": [NO_CRONTAB]}, id="a blank crontab"),
    pytest.param(custom(crontab=["* * * * *"]), {"crontab": [NO_CRONTAB]}, id="a list as crontab"),
    pytest.param(
        custom(crontab="0 0 31 2 *"),
        {"crontab": ["This crontab never fires: none of its months has such a day."]},
        id="a crontab that never fires",
    ),
    pytest.param(
        custom(crontab="* * * *"),
        {
            "crontab": [
                "A crontab needs exactly five fields (minute, hour, day of month, month, day of week); this one has 4."
            ]
        },
        id="a crontab of four fields",
    ),
    pytest.param(
        custom(crontab=MEGABYTE),
        {"crontab": ["A crontab may have up to 255 characters; this one has 1000000."]},
        id="a huge crontab",
    ),
    pytest.param(custom(start_time=None), {"start_time": [NULL]}, id="a custom one with a null start"),
    pytest.param(custom(start_time=""), {"start_time": [UNREADABLE]}, id="a custom one with an empty start"),
    pytest.param(custom(start_time="2026-05-04T11:00Z"), {"start_time": [BAD_START]}, id="a custom one in the past"),
    pytest.param(
        {"interval": "custom", "time_zone": "x", "start_time": "y"},
        {
            "name": [NO_NAME],
            "time_zone": ["There is no time zone 'x'; use a name such as Europe/Berlin or UTC."],
            "crontab": [NO_CRONTAB],
            "start_time": [UNREADABLE],
        },
        id="all faults at once",
    ),
    pytest.param({"interval": "immediately", "name": 5}, {"name": [NOT_A_STRING]}, id="a number as name, immediately"),
]


@pytest.mark.parametrize(("raw", "faults"), REFUSALS)
def test_a_fault_is_told_under_its_field_in_the_contract_s_words(raw: object, faults: dict[str, list[str]]) -> None:
    assert refused(raw) == {"schedule": faults}


MOMENTS = [
    pytest.param("2026-05-04T12:00:00Z", None, "2026-05-04T12:00:00", id="now is not past"),
    pytest.param("2026-05-05T10:00:00+02:00", None, "2026-05-05T08:00:00", id="an offset counts"),
    pytest.param("2026-05-05T10:00:00-05:30", "Asia/Tokyo", "2026-05-05T15:30:00", id="an offset wins over the zone"),
    pytest.param("2026-05-05T10:00", None, "2026-05-05T08:00:00", id="a naive time is in the server's zone"),
    pytest.param("2026-05-05 10:00:30.5", None, "2026-05-05T08:00:30.500000", id="a blank may stand for the T"),
    pytest.param("2026-05-05T10:00", "America/New_York", "2026-05-05T14:00:00", id="a naive time is in its own zone"),
    pytest.param("2027-03-28T02:30", None, "2027-03-28T01:30:00", id="a time that is skipped is later by the skip"),
    pytest.param("2026-10-25T02:30", None, "2026-10-25T00:30:00", id="a time that comes twice is the first"),
    pytest.param("  2026-05-05T10:00Z\n", None, "2026-05-05T10:00:00", id="blanks around do not matter"),
]


@pytest.mark.parametrize(("text", "zone", "utc"), MOMENTS)
@pytest.mark.parametrize("interval", ["future", "hourly", "daily", "weekly", "custom"])
def test_a_start_is_read_as_the_moment_that_is_meant(text: str, zone: str | None, utc: str, interval: str) -> None:
    raw = {**CUSTOM, "interval": interval, "start_time": text, "time_zone": zone}
    assert read_schedule(raw, NOW, SERVER) == Schedule(
        name="often",
        interval=Interval(interval),
        start_time=datetime.fromisoformat(utc).replace(tzinfo=UTC),
        time_zone=zone or SERVER,
        crontab="30 4 * * *" if interval == "custom" else "",
    )


def test_a_custom_schedule_without_a_start_begins_with_the_next_match_in_its_zone() -> None:
    assert read_schedule(custom(), NOW, SERVER).start_time == datetime(2026, 5, 5, 2, 30, tzinfo=UTC)
    tokyo = read_schedule(custom(time_zone="Asia/Tokyo"), NOW, SERVER)
    assert tokyo.start_time == datetime(2026, 5, 4, 19, 30, tzinfo=UTC)


def test_a_match_at_this_very_moment_is_not_the_next_one() -> None:
    it = read_schedule(custom(crontab="0 12 * * *", time_zone="UTC"), NOW, SERVER)
    assert it.start_time == NOW + timedelta(days=1)


def test_immediately_needs_nothing_and_takes_a_name() -> None:
    bare = read_schedule({"interval": "immediately"}, NOW, SERVER)
    assert bare == Schedule(name="", interval=Interval.IMMEDIATELY, start_time=NOW, time_zone=SERVER)
    named = {"interval": "immediately", "name": " urgent ", "start_time": "1999-01-01T00:00Z", "crontab": "nonsense"}
    assert read_schedule(named, NOW, SERVER) == Schedule(
        name="urgent", interval=Interval.IMMEDIATELY, start_time=NOW, time_zone=SERVER
    )


def test_a_name_is_kept_without_the_blanks_around_it_up_to_255_characters() -> None:
    assert read_schedule(future(name="  a – b/ü  "), NOW, SERVER).name == "a – b/ü"
    assert read_schedule(future(name="x" * 255), NOW, SERVER).name == "x" * 255


def test_a_zone_that_is_not_known_does_not_hide_the_fault_of_the_start() -> None:
    body = refused(future(time_zone="Nowhere", start_time="2026-05-04T13:00"))
    assert list(body["schedule"]) == ["time_zone", "start_time"]  # 13:00 in Berlin, where the server is, has passed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from([*Interval]).map(str) | JSON
TIMES = st.datetimes().map(datetime.isoformat) | st.datetimes(timezones=st.timezones()).map(datetime.isoformat) | JSON
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]) | JSON


@given(
    st.fixed_dictionaries(
        {"interval": WORDS},
        optional={"name": JSON, "start_time": TIMES, "crontab": st.just("5 4 * * sun") | JSON, "time_zone": ZONES},
    )
)
def test_whatever_is_sent_there_is_a_sound_schedule_or_sentences(raw: dict[str, Any]) -> None:
    try:
        it = read_schedule(raw, NOW, SERVER)
    except Invalid as error:
        check_faults(error.detail)
        return
    assert it.start_time >= NOW
    assert it.start_time.tzinfo is UTC
    assert it.name or it.interval is Interval.IMMEDIATELY
    assert bool(it.crontab) == (it.interval is Interval.CUSTOM)


def check_faults(body: Any) -> None:
    assert list(body) == ["schedule"]
    assert body["schedule"]
    assert all(isinstance(sentence, str) for sentences in body["schedule"].values() for sentence in sentences)


@given(st.text(max_size=70))
def test_whatever_text_is_a_time_in_utc_or_unreadable(text: str) -> None:
    try:
        time = read_time(text, SERVER)
    except Invalid as error:
        time, fault = NOW, error.detail
    else:
        fault = UNREADABLE
    assert (time.tzinfo, fault) == (UTC, UNREADABLE)


# The parts of a request


@pytest.mark.parametrize(
    ("body", "request_of"),
    [
        pytest.param({}, RunRequest(), id="nothing"),
        pytest.param({"data": None, "schedule": None}, RunRequest(data={}), id="nulls"),
        pytest.param({"data": [], "schedule": 5, "task_queue": {}, "job_queue": 1.5},
                     RunRequest(data=[], schedule=5, task_queue={}, job_queue=1.5), id="parts that are none, as sent"),
        pytest.param({"data": {"a": 1}, "commit": True}, RunRequest(data={"a": 1}), id="what else is sent"),
    ],
)  # fmt: skip
def test_a_request_is_told_apart_and_not_judged(body: dict[str, Any], request_of: RunRequest) -> None:
    assert read_run(body, is_form=False) == request_of


ODD_NAMES = {"a": "1", "schedule_name": "x", "name": ["y", "z"], "model_config": "m", "job_queue": "q"}


@pytest.mark.parametrize(
    ("form", "request_of"),
    [
        pytest.param({}, RunRequest(), id="nothing"),
        pytest.param(ODD_NAMES, RunRequest(data=ODD_NAMES), id="variables, whatever they are called"),
        pytest.param({"_schedule_name": "", "_schedule_interval": "daily", "_schedule_time_zone": "UTC"},
                     RunRequest(schedule={"interval": "daily", "time_zone": "UTC"}), id="a schedule"),
        pytest.param({"_schedule_name": "", "_schedule_interval": ""}, RunRequest(), id="one that is left empty"),
        pytest.param({"_job_queue": "bulk", "_task_queue": "x", "_other": "y"},
                     RunRequest(data={"_other": "y"}, job_queue="bulk", task_queue="x"), id="queues"),
    ],
)  # fmt: skip
def test_in_a_form_a_request_has_fields_of_its_own(form: dict[str, Any], request_of: RunRequest) -> None:
    assert read_run(form, is_form=True) == request_of


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        (
            {"schedule": {"name": [NO_NAME], "crontab": ["x"]}},
            {"_schedule_name": [NO_NAME], "_schedule_crontab": ["x"]},
        ),
        ({"errors": {"schedule": ["x"]}}, {"errors": {"schedule": ["x"]}}),
        (["x"], ["x"]),
    ],
    ids=["of a schedule", "of a variable", "of everything"],
)
def test_a_form_is_told_of_faults_under_its_own_fields(detail: object, told: object) -> None:
    assert as_form_fault(detail) == told


def test_a_form_has_a_field_for_each_of_a_schedule() -> None:
    own = {name.removeprefix("schedule_") for name in RunForm.model_fields if name.startswith("schedule_")}
    assert own == RequestedSchedule.model_fields.keys()


@pytest.mark.parametrize("is_form", [True, False])
def test_a_request_is_an_object(is_form: bool) -> None:
    with pytest.raises(Invalid, match="Expected a dictionary, but got list"):
        read_run([], is_form=is_form)


def test_inputs_stay_out_of_what_is_logged() -> None:
    assert "secret" not in repr(read_run({"data": {"key": "secret"}}, is_form=False))


def test_the_example_of_a_run_is_one() -> None:
    assert read_schedule(read_run(NIGHTLY, is_form=False).schedule, NOW, SERVER).name == "Every night"


JOB = replace(make_job(), job_queues=("default", "bulk"))
BULK = str(queue_id("bulk"))


@pytest.mark.parametrize("asked", ["bulk", BULK, {"id": BULK}, {"id": BULK, "name": "x", "url": None}])
def test_a_queue_is_named_or_referred_to(asked: object) -> None:
    assert read_queue(JOB, asked, None) == read_queue(JOB, None, asked) == "bulk"


@pytest.mark.parametrize("asked", ["Bulk", 5, [], {}, {"id": "bulk"}, {"id": None}, str(queue_id("other")), True])
def test_what_is_no_queue_of_the_job_is_refused(asked: object) -> None:
    with pytest.raises(Invalid) as refused_queue:
        read_queue(JOB, None, asked)
    assert refused_queue.value.detail == {"task_queue": [f'"{asked}" is not a valid choice.']}


def test_a_queue_is_asked_for_once_or_not_at_all() -> None:
    assert read_queue(JOB, None, None) == read_queue(JOB, "", None) == "default"
    with pytest.raises(Invalid, match=BOTH_QUEUES):
        read_queue(JOB, "bulk", "bulk")
