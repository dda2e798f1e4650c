"""The list of scheduled jobs and their calendar, without a browser: views, filters, and what stands out."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import Permission, PermissionUser, User
from api_shim.domain.model import Job, ScheduledJob, Status
from api_shim.domain.recurrence import Interval
from api_shim.store import Store
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.origin import Origin
from tests.api_shim.statements import statements
from tests.api_shim.web.pages.test_run import NASTY, Visitor, check_harmless, run
from tests.conftest import Clock
from tests.factories import NOW, make_result, make_scheduled

LIST, CALENDAR = "/signoff/scheduled-jobs", "/signoff/scheduled-jobs/calendar"
DAILY: dict[str, Any] = {"interval": Interval.DAILY, "start_time": NOW + timedelta(hours=3), "projected_version": 1}
HOUR = timedelta(hours=1)
WHO = {"name": "who", "type": "StringVar", "required": False}


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    return Origin(sqlite_store, clock, follows=False)


@pytest.fixture
def alice(origin: Origin) -> User:
    return origin.user("alice")


@pytest.fixture
def job(origin: Origin) -> Job:
    return origin.job(name="Greet", variables=(WHO,), projected_version=1)


def limited(origin: Origin, *granted: tuple[str, str, Any]) -> Visitor:
    """Sign somebody in who has only these permissions: types, actions and constraints."""
    zoe = origin.user("zoe", superuser=False)
    for kind, action, limit in granted:
        permission = Permission(
            id=uuid4(), name=str(uuid4()), object_types=(kind,), actions=(action,), constraints=limit
        )
        origin.add(permission, PermissionUser(permission_id=permission.id, user_id=zoe.id))
    return Visitor(origin, "zoe")


def views(page: str) -> dict[str, str]:
    return dict(re.findall(r"([A-Z][a-z ]+) <span class=\"number\">(\d+)</span>", page))


def names(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="[^"]+">([^<]+)</a>', page)


def test_each_view_has_its_own_and_its_number(origin: Origin, alice: User, job: Job) -> None:
    bob = origin.user("bob")
    fails = make_scheduled(job, bob, name="fails", **DAILY)
    origin.add(
        make_scheduled(job, alice, name="mine", **DAILY),
        make_scheduled(job, bob, name="waits", approval=ApprovalState.PENDING, **DAILY),
        make_scheduled(job, bob, name="disabled", enabled=False, **DAILY),
        make_scheduled(job, None, name="lost", **DAILY),
        fails,
        make_result(job, bob, scheduled_job_id=fails.id, nominal_time=NOW - HOUR, status=Status.FAILURE),
    )
    visitor = Visitor(origin, "alice")
    page = visitor.get(LIST).text
    counted = {"All": "5", "Mine": "1", "Waiting": "1", "Failing": "1", "Disabled": "1", "Without owner": "1"}
    assert views(page) == counted
    found = {
        view: names(visitor.get(f"{LIST}?view={view}").text) for view in ("mine", "waiting", "failing", "disabled")
    }
    assert found == {"mine": ["mine"], "waiting": ["waits"], "failing": ["fails"], "disabled": ["disabled"]}
    assert names(visitor.get(f"{LIST}?view=ownerless").text) == ["lost"]
    # Within what one looks for.
    assert views(visitor.get(f"{LIST}?q=mine").text) == {**dict.fromkeys(counted, "0"), "All": "1", "Mine": "1"}
    assert views(visitor.get(f"{CALENDAR}?view=nonsense").text) == counted


def test_what_has_no_owner_stands_out_above_every_page_of_the_list(origin: Origin, alice: User, job: Job) -> None:
    origin.add(*(make_scheduled(job, alice, name=f"a{number:02}", **DAILY) for number in range(11)))
    lost = make_scheduled(job, None, name="z lost", **DAILY)
    origin.add(lost)
    page = Visitor(origin, "alice").get(f"{LIST}?limit=10").text
    assert "1 scheduled job has no owner." in page
    assert f'<a href="{LIST}/{lost.id}#do">take over' in page
    looks = limited(origin, ("extras.scheduledjob", "view", None)).get(f"{LIST}?limit=10").text
    assert "1 scheduled job has no owner." in looks
    assert "#do" not in looks


def test_what_one_may_not_view_is_neither_counted_nor_drawn(origin: Origin, alice: User, job: Job) -> None:
    for name in ("seen", "hidden"):
        origin.add(make_scheduled(job, None, name=name, **DAILY))
    zoe = limited(origin, ("extras.scheduledjob", "view", {"name": "seen"}))
    for path in (LIST, CALENDAR):
        page = zoe.get(path).text
        assert views(page)["All"] == "1"
        assert "hidden</a>" not in page


def test_a_name_that_nobody_gave_is_readable(origin: Origin, alice: User, job: Job) -> None:
    origin.add(make_scheduled(job, alice, name="Greet - 2026-11-27 22:45:49.949456+00:00", **DAILY))
    visitor = Visitor(origin, "alice")
    assert names(visitor.get(LIST).text) == ["Greet"]
    assert ">Greet</a>" in visitor.get(CALENDAR).text


def test_one_that_starts_tomorrow_is_shown_as_what_it_is(origin: Origin, alice: User, job: Job) -> None:
    origin.add(make_scheduled(job, alice, name="nightly", **{**DAILY, "start_time": NOW + 24 * HOUR}))
    page = Visitor(origin, "alice", zone="Europe/Berlin").get(LIST).text
    assert re.search(r'runs next <time [^>]+>2026-05-05 14:00 CEST</time> <span class="ago">in 1 day</span>', page)


@pytest.mark.parametrize("path", [LIST, CALENDAR])
def test_whatever_is_asked_is_text_and_nonsense_is_ignored(origin: Origin, alice: User, job: Job, path: str) -> None:
    origin.add(make_scheduled(job, alice, name=NASTY, description=NASTY, **DAILY))
    visitor = Visitor(origin, "alice")
    fields = ("q", "job", "owner", "view", "sort", "limit", "span", "at", "offset")
    for query in ("", *(f"{name}={NASTY}" for name in fields), "span=day&at=9999-12-31", "at=0001-01-01"):
        page = visitor.get(f"{path}?{query}")
        assert page.status_code == 200, query
        check_harmless(page.text.replace("/signoff/static/scheduled-jobs.js", "/signoff/static/run.js"))


def test_a_calendar_says_where_now_is_and_what_it_leaves_out(
    origin: Origin, alice: User, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_shim.services.schedule_views.LANES", 2)
    origin.add(*(make_scheduled(job, alice, name=f"job {number}", **DAILY) for number in range(5)))
    visitor = Visitor(origin, "alice", zone="Europe/Berlin")
    page = visitor.get(CALENDAR).text
    assert "3 more are not shown." in page
    # NOW is 14:00 in Berlin, and they are due at 17:00.
    assert f'class="now" x1="{100 * 14 / 24:.2f}%"' in page
    assert 'title="2026' not in re.search(r"<svg.*?</svg>", page, re.DOTALL)[0]  # type: ignore[index]  # it is there
    assert '<td data-label="When">17:00</td>' in page
    tomorrow = visitor.get(f"{CALENDAR}?at=2026-05-05").text
    assert ('class="now"' in tomorrow, ">Today</a>" in tomorrow) == (False, True)
    assert "This day is in the past." in visitor.get(f"{CALENDAR}?at=2026-05-03").text
    nothing = visitor.get(f"{CALENDAR}?q=nothing").text
    assert "Nothing that matches the filter has run in this day or is due in the rest of it." in nothing


def test_a_calendar_leads_to_what_has_run_and_says_what_did_not(origin: Origin, alice: User, job: Job) -> None:
    rows = [make_scheduled(job, alice, name=name, enabled=name != "over", **DAILY) for name in ("on", "over")]
    came = [(0, 1, Status.SUCCESS, NOW), (0, 5, Status.REVOKED, None), (1, 3, Status.FAILURE, NOW)]
    results = [
        make_result(
            job,
            alice,
            scheduled_job_id=rows[place].id,
            nominal_time=NOW - hours * HOUR,
            status=status,
            date_started=start,
        )
        for place, hours, status, start in came
    ]
    origin.add(*rows, *results)
    page = Visitor(origin, "alice").get(CALENDAR).text
    told = ("11:00, succeeded", "07:00, did not run", "09:00, failed")
    for result, said in zip(results, told, strict=True):
        assert f'<a href="/signoff/results/{result.id}">{said}</a>' in page
    disabled = Visitor(origin, "alice").get(f"{CALENDAR}?view=disabled").text
    assert ("09:00, failed" in disabled, "11:00, succeeded" in disabled) == (True, False)
    tomorrow = Visitor(origin, "alice").get(f"{CALENDAR}?view=disabled&at=2026-05-05").text
    assert "Disabled scheduled jobs are not due." in tomorrow
    blind = limited(origin, ("extras.scheduledjob", "view", {}))
    page = blind.get(CALENDAR).text
    assert "What has run is not shown: you do not have permission to view job results." in page
    assert "/signoff/results/" not in page


def test_a_calendar_that_considers_some_does_not_say_that_nothing_is_due(
    origin: Origin, alice: User, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_shim.services.schedule_views.LOOKED_AT", 1)
    far = {**DAILY, "start_time": NOW + 100 * HOUR}
    origin.add(*(make_scheduled(job, alice, name=f"job {number}", **far) for number in range(2)))
    page = Visitor(origin, "alice").get(CALENDAR).text
    assert "Nothing among those considered has run in this day" in page
    assert "Only some of the scheduled jobs are considered" in page


@pytest.mark.parametrize("path", [LIST, f"{LIST}?view=failing", f"{CALENDAR}?span=month"])
def test_a_page_asks_as_often_for_many_as_for_few(origin: Origin, alice: User, job: Job, path: str) -> None:
    visitor, asked = Visitor(origin, "alice"), []
    for number in range(2):
        rows = [make_scheduled(job, alice, name=f"{number} {each}", **DAILY) for each in range(1 + 15 * number)]
        rows += [make_scheduled(job, None, name=f"lost {number} {each}", **DAILY) for each in range(1 + 15 * number)]
        failed = {"nominal_time": NOW - HOUR, "status": Status.FAILURE}
        origin.add(*rows, *(make_result(job, alice, scheduled_job_id=row.id, **failed) for row in rows))
        with statements(origin.store) as said:
            assert visitor.get(path).status_code == 200
        asked.append(len(said))
    assert asked[0] == asked[1] <= 60


# A copy


def copied(visitor: Visitor, job: Job, row: ScheduledJob | Any) -> Any:
    return visitor.get(f"{run(job)}?scheduled-job={getattr(row, 'id', row)}")


def value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]* value="([^"]*)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("to", "interval", "start"),
    [
        pytest.param(DAILY, "daily", "2026-05-04T17:00", id="a start that is to come"),
        pytest.param({**DAILY, "start_time": NOW - HOUR}, "daily", "2026-05-05T13:00", id="a start that has passed"),
        pytest.param({"start_time": NOW - HOUR}, "hourly", "2026-05-04T15:00", id="every hour"),
        pytest.param(
            {"interval": Interval.FUTURE, "total_run_count": 1, "immediate": True}, "immediately", "", id="at once"
        ),
        pytest.param(
            {"interval": Interval.CUSTOM, "crontab": "0 2 * * *", "start_time": NOW - HOUR},
            "custom",
            "2026-05-05T02:00",
            id="a crontab",
        ),
    ],
)
def test_a_copy_has_all_that_the_schedule_has(
    origin: Origin, alice: User, job: Job, to: dict[str, Any], interval: str, start: str
) -> None:
    row = make_scheduled(job, alice, name="nightly", time_zone="Europe/Berlin", inputs={"who": "the moon"}, **to)
    origin.add(row)
    page = copied(Visitor(origin, "alice"), job, row).text
    assert (value(page, "name"), value(page, "input.who")) == ("nightly (copy)", "the moon")
    assert (value(page, "start_time"), value(page, "time_zone")) == (start, "Europe/Berlin")
    assert re.findall(r'name="interval" value="(\w+)" checked', page) == [interval]


def test_a_copy_is_of_what_one_may_view_and_of_this_job(origin: Origin, alice: User, job: Job) -> None:
    other = origin.job(name="Other")
    mine, hidden = (make_scheduled(job, alice, name=name, inputs={"who": "secret"}) for name in ("mine", "hidden"))
    origin.add(mine, hidden)
    zoe = limited(origin, ("extras.job", "view", None), ("extras.scheduledjob", "view", {"name": "mine"}))
    assert copied(zoe, job, mine).status_code == 200
    assert copied(zoe, job, hidden).status_code == copied(zoe, job, uuid4()).status_code == 404
    assert copied(zoe, other, mine).status_code == copied(zoe, job, NASTY).status_code == 404


def test_a_copy_does_not_show_inputs_that_may_be_sensitive(origin: Origin, alice: User) -> None:
    job = origin.job(variables=(WHO,), has_sensitive_variables=True)
    row = make_scheduled(job, alice, name="nightly", inputs={"who": "nobody sees this"})
    origin.add(row)
    page = copied(Visitor(origin, "alice"), job, row)
    assert page.status_code == 200
    assert "nobody sees this" not in page.text
    assert re.findall(r'name="interval" value="(\w+)"( checked)?', page.text) == [("immediately", " checked")]
