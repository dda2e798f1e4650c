"""The nouns: what follows from their fields."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, timedelta
from typing import Any

import pytest

from api_shim.domain.model import NEVER, OVERRIDABLE, Job, Status
from api_shim.domain.recurrence import Interval
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_job, make_scheduled, make_user


@pytest.mark.parametrize(
    ("status", "final"),
    [("PENDING", False), ("STARTED", False), ("SUCCESS", True), ("FAILURE", True), ("REVOKED", True)],
)
def test_which_states_are_final(status: str, final: bool) -> None:
    assert Status(status).final is final


@pytest.mark.parametrize(
    ("queues", "all_of_them", "default"),
    [
        pytest.param((), ("default",), "default", id="none: that which every pool has"),
        pytest.param(("bulk", "fast"), ("bulk", "fast"), "bulk", id="some: the first of them"),
    ],
)
def test_the_queues_of_a_job(queues: tuple[str, ...], all_of_them: tuple[str, ...], default: str) -> None:
    job = make_job(job_queues=queues)
    assert (job.queues, job.default_queue) == (all_of_them, default)


def test_a_job_is_safe_by_default() -> None:
    required = {"id", "module_name", "job_class_name", "grouping", "name", "declared", "created", "last_updated"}
    given = {name: getattr(make_job(), name) for name in required}
    job = Job(**given)
    assert (job.enabled, job.has_sensitive_variables) == (False, True)
    assert job.projected_version < job.version
    assert job.class_path == f"{job.module_name}.{job.job_class_name}"


def test_what_can_be_overridden_are_fields_of_a_job() -> None:
    assert set(OVERRIDABLE) <= {field.name for field in fields(Job)}
    assert "enabled" not in OVERRIDABLE


@pytest.mark.parametrize(
    ("enabled", "approval", "may"),
    [
        (True, ApprovalState.NOT_REQUIRED, True),
        (True, ApprovalState.APPROVED, True),
        (True, ApprovalState.PENDING, False),
        (True, ApprovalState.DENIED, False),
        (True, ApprovalState.EXPIRED, False),
        (True, ApprovalState.WITHDRAWN, False),
        (False, ApprovalState.APPROVED, False),
        (False, ApprovalState.NOT_REQUIRED, False),
    ],
)
def test_what_may_fire(enabled: bool, approval: ApprovalState, may: bool) -> None:
    assert make_scheduled(make_job(), None, enabled=enabled, approval=approval).may_fire is may


@pytest.mark.parametrize("approval", ApprovalState)
def test_only_what_is_pending_and_enabled_waits_for_a_decision(approval: ApprovalState) -> None:
    job, waits = make_job(), approval is ApprovalState.PENDING
    assert make_scheduled(job, None, approval=approval).awaits_decision is waits
    assert not make_scheduled(job, None, approval=approval, enabled=False).awaits_decision


MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("to", "past_due"),
    [
        pytest.param({"start_time": NOW - MOMENT}, True, id="a moment ago"),
        pytest.param({"start_time": NOW}, False, id="now"),
        pytest.param({"start_time": NOW + MOMENT}, False, id="in a moment"),
        pytest.param({"start_time": NOW - timedelta(days=9), "immediate": True}, False, id="it was to run at once"),
        pytest.param({"start_time": NOW - timedelta(days=9), "interval": Interval.DAILY}, False, id="it recurs"),
        pytest.param(
            {"start_time": NOW - MOMENT, "approval": ApprovalState.PENDING}, True, id="though nobody has decided"
        ),
        pytest.param({"start_time": NOW - MOMENT, "enabled": False}, True, id="though it is disabled"),
    ],
)
def test_only_a_one_off_that_was_given_a_time_is_ever_past_it(to: dict[str, Any], past_due: bool) -> None:
    row = make_scheduled(make_job(), None, **{"interval": Interval.FUTURE, **to})
    assert row.is_past_due(NOW) is past_due


@pytest.mark.parametrize("interval", Interval)
def test_what_is_no_one_off_recurs_as_it_says(interval: Interval) -> None:
    scheduled = make_scheduled(make_job(), None, interval=interval, crontab="0 0 * * *", time_zone="Europe/Berlin")
    assert scheduled.one_off is (interval in {Interval.IMMEDIATELY, Interval.FUTURE})
    if scheduled.one_off:
        with pytest.raises(ValueError, match="does not recur"):
            _ = scheduled.recurrence
    else:
        told = scheduled.recurrence
        assert (told.interval, told.start_time, told.time_zone, told.crontab) == (
            interval, NOW, "Europe/Berlin", "0 0 * * *",
        )  # fmt: skip


def test_never_is_a_moment_like_others() -> None:
    assert NEVER.tzinfo is UTC
    assert NEVER > NOW


def test_values_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        make_user().username = "x"  # type: ignore[misc]  # what is tested
