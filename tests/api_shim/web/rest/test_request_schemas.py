"""What is told of requests is what is read of them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from api_shim.parsing.account import NEEDED, Reading, _readers
from api_shim.parsing.decision import FALSE, TRUE, Decision, read_decision
from api_shim.parsing.fields import read_ids
from api_shim.parsing.run_request import FORM_SCHEDULE, read_run, read_schedule
from api_shim.parsing.schedule_change import FIELDS
from api_shim.web.rest.request_schemas import (
    NIGHTLY,
    Deletions,
    RequestedRun,
    RequestedRunForm,
    RequestedSchedule,
    ScheduledJobChange,
    Transfer,
)
from api_shim.web.rest.scheduled_jobs import read_receiver
from api_shim.web.rest.users import TOLD
from approval_gate.errors import Invalid
from approval_gate.model import ObjectType

ID = "6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab"
READING = Reading(now=datetime(2026, 1, 1, tzinfo=UTC), zone="UTC", ids_of=lambda _kind, _names: ())


def fields(shape: Any) -> Collection[str]:
    return {*get_type_hints(shape)}


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        pytest.param(ScheduledJobChange, FIELDS, id="a change of a scheduled job"),
        pytest.param(RequestedSchedule, {*FORM_SCHEDULE}, id="a schedule"),
        pytest.param(
            RequestedRunForm, {f"_schedule_{f}" for f in FORM_SCHEDULE} | {"_task_queue", "_job_queue"}, id="a form"
        ),
    ],
)
def test_the_fields_that_are_told_are_those_that_are_read(shape: Any, read: Collection[str]) -> None:
    assert fields(shape) == read


@pytest.mark.parametrize("kind", TOLD)
def test_the_fields_of_an_account_that_are_told_are_those_that_are_read(kind: ObjectType) -> None:
    assert fields(TOLD[kind].body) == _readers(kind, READING, new=False).keys()
    assert fields(TOLD[kind].new_body) == _readers(kind, READING, new=True).keys()
    assert {*NEEDED[kind]} <= fields(TOLD[kind].new_body)


def test_the_example_of_a_run_is_one() -> None:
    TypeAdapter(RequestedRun).validate_python(NIGHTLY)
    run = read_run(NIGHTLY, is_form=False)
    assert read_schedule(run.schedule, READING.now, "UTC").name == "Every night"


@pytest.mark.parametrize(
    ("shape", "read", "body"),
    [
        *(
            pytest.param(Decision, lambda body: read_decision([], body), {"force": word}, id=f"force {word!r}")
            for word in (*sorted(TRUE | FALSE), True, False, None, "maybe")
        ),
        pytest.param(Decision, lambda body: read_decision([], body), {"comment": "x" * 2001}, id="too long"),
        pytest.param(Decision, lambda body: read_decision([], body), {"version": 5}, id="no version"),
        pytest.param(Transfer, read_receiver, {"user": "alice"}, id="to alice"),
        pytest.param(Transfer, read_receiver, {"user": ""}, id="to nobody"),
        pytest.param(Transfer, read_receiver, {}, id="to whom"),
        pytest.param(Deletions, read_ids, [ID, {"id": ID}], id="ids"),
        pytest.param(Deletions, read_ids, [], id="no ids"),
        pytest.param(Deletions, read_ids, [5], id="a number"),
        pytest.param(Deletions, read_ids, {}, id="no list"),
    ],
)
def test_what_is_told_to_be_sound_is_taken_and_the_rest_is_refused(shape: Any, read: Any, body: Any) -> None:
    sound = True
    try:
        TypeAdapter(shape).validate_python(body)
    except ValidationError:
        sound = False
    if sound and body != {"force": "maybe"}:  # an enumeration is told, not held to
        read(body)
    else:
        with pytest.raises(Invalid):
            read(body)
