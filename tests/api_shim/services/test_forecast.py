"""What is foreseen of many scheduled jobs at once; of one it is what ``test_explaining`` asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.status_words import ScheduleStatus
from api_shim.services.authorization import load_contexts
from api_shim.services.forecast import HAD_ITS_TURN, Forecast, due_within, forecasts
from approval_gate.admission import JOB_DISABLED
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.api_shim.services.test_approvals import APPROVAL, HOURLY, LATER, asked, now_of, statements
from tests.api_shim.services.test_schedule_changes import NIGHTLY, TONIGHT, edit, has_expired, has_failed, has_run
from tests.factories import NOW, make_scheduled, make_user

DAY = timedelta(days=1)


def foreseen(plant: Plant, *rows: ScheduledJob) -> list[Forecast]:
    with plant.store.transaction(write=False) as tx:
        return forecasts(tx, load_contexts(tx, [now_of(plant, row) for row in rows], plant.now), plant.now)


def test_as_often_is_asked_about_fifty_as_about_one(plants: Plants) -> None:
    plant = plants.ready()
    rows = []
    for number in range(50):
        user = make_user(f"user{number}")
        rows.append(make_scheduled(plant.job, user, start_time=NOW + HOUR * number))
        plant.add(user, rows[-1])
    asked_for = {}
    for wanted in (1, 50):
        with plant.store.transaction(write=False) as tx:
            found = load_contexts(tx, rows[:wanted], plant.now)
            with statements(plant.store) as said:
                assert len(forecasts(tx, found, plant.now)) == wanted
        asked_for[wanted] = len(said)
    assert asked_for[1] == asked_for[50] <= 8


def is_disabled(plant: Plant, row: ScheduledJob) -> None:
    edit(plant, plant.actor, row, enabled=False)


def job_is_disabled(plant: Plant, _row: ScheduledJob) -> None:
    plant.change(plant.only(Job), enabled=False)


@pytest.mark.parametrize(
    ("schedule", "happens", "standing"),
    [
        pytest.param(NIGHTLY, None, ScheduleStatus.FIRES, id="it fires"),
        pytest.param(NIGHTLY, is_disabled, ScheduleStatus.DISABLED, id="a person has disabled it"),
        pytest.param(LATER, has_failed, ScheduleStatus.FAILED, id="a failure has disabled it"),
        pytest.param(NIGHTLY, job_is_disabled, ScheduleStatus.STOPPED, id="its Job is not enabled"),
        pytest.param(LATER, has_run, ScheduleStatus.OVER, id="its only turn has been"),
    ],
)
def test_where_it_stands_in_one_word(
    plants: Plants, schedule: Any, happens: Callable[[Plant, ScheduledJob], None] | None, standing: ScheduleStatus
) -> None:
    plant = plants.ready()
    row = asked(plant, schedule)
    if happens is not None:
        happens(plant, row)
    [prospect] = foreseen(plant, row)
    assert prospect.standing is standing
    assert (prospect.next_firing is None) == bool(prospect.why_not) == (standing is not ScheduleStatus.FIRES)


def test_what_waits_and_what_has_expired(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=60.0)
    row = asked(plant, HOURLY)
    [prospect] = foreseen(plant, row)
    assert (prospect.standing, prospect.due, prospect.next_firing) == (ScheduleStatus.WAITS, NOW + HOUR, None)
    has_expired(plant, row)
    assert foreseen(plant, row)[0].standing is ScheduleStatus.EXPIRED


def test_each_of_several_is_judged_by_itself(plants: Plants) -> None:
    plant = plants.ready()
    once, nightly, other = asked(plant, LATER), asked(plant, NIGHTLY), asked(plant, {**NIGHTLY, "name": "other"})
    has_run(plant, once)
    plant.change(now_of(plant, other), owner_id=None)
    [gone, fires, stopped] = foreseen(plant, once, nightly, other)
    assert (gone.due, gone.why_not) == (None, HAD_ITS_TURN)
    assert (fires.due, fires.why_not) == (TONIGHT, "")
    assert (stopped.standing, stopped.due) == (ScheduleStatus.STOPPED, TONIGHT)
    assert "originating user has been removed" in stopped.why_not


def test_why_it_stops_is_the_reason_of_admission(plants: Plants) -> None:
    plant = plants.ready()
    row = asked(plant, NIGHTLY)
    job_is_disabled(plant, row)
    assert foreseen(plant, row)[0].why_not == JOB_DISABLED


def test_the_first_firing_within_a_time(plants: Plants) -> None:
    plant = plants.ready()
    once, nightly = asked(plant, LATER), asked(plant, NIGHTLY)
    assert due_within(once, NOW, NOW + HOUR, NOW) is None
    assert due_within(once, NOW, NOW + DAY, NOW) == NOW + HOUR
    assert due_within(once, NOW + 2 * HOUR, NOW + DAY, NOW) is None
    # What has not run when it was due is due now.
    assert due_within(once, NOW + 2 * HOUR, NOW + DAY, NOW + 2 * HOUR) == NOW + 2 * HOUR
    assert due_within(nightly, NOW, NOW + HOUR, NOW) is None
    assert due_within(nightly, TONIGHT, TONIGHT + DAY, NOW) == TONIGHT
    assert due_within(nightly, TONIGHT + HOUR, TONIGHT + 2 * DAY, NOW) == TONIGHT + DAY
