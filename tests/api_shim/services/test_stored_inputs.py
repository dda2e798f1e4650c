"""Stored inputs whose Job has got other variables: what is said of them before a firing, and what becomes of one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from api_shim.domain.model import Encrypted, Job, JobResult, Status
from api_shim.services.stored_inputs import Reread, as_sent, read_again
from approval_gate.errors import Invalid
from flows import DryRunVar, IntegerVar, JobHookReceiver, JSONVar, StringVar, register_jobs
from flows import Job as JobClass
from tests.api_shim.plant import Plant, Plants
from tests.api_shim.services.test_approvals import APPROVAL, LATER, asked
from tests.api_shim.services.test_explaining import explain
from tests.api_shim.services.test_schedule_changes import NIGHTLY
from tests.factories import make_job


class Narrowed(JobClass):
    """A Job that took greater numbers once, and knew no note."""

    i = IntegerVar(max_value=10)
    note = StringVar(default="none")
    data = JSONVar(required=False)
    dryrun = DryRunVar()

    class Meta:
        name = "Narrowed"
        has_sensitive_variables = False

    def run(self, **_inputs: Any) -> None:
        pass


class Heard(JobHookReceiver):
    class Meta:
        name = "Heard of stored inputs"

    def receive_job_hook(self, event: dict[str, Any]) -> None:
        pass


register_jobs(Narrowed, Heard)

CODE = {"module_name": __name__, "job_class_name": "Narrowed"}
UNFIT = "The stored inputs do not fit the variables of this job any more: "
TOO_GREAT = f"{UNFIT}i: Ensure this value is less than or equal to 10."
COMPLETE = {"i": 5, "note": "none", "data": None, "dryrun": False}


@pytest.mark.parametrize(
    ("stored", "job", "reread"),
    [
        pytest.param({"i": 5}, {}, Reread(COMPLETE), id="what is new takes its default"),
        pytest.param(
            {"i": 5}, {"dryrun_default": True}, Reread({**COMPLETE, "dryrun": True}), id="as the administrator set it"
        ),
        pytest.param({**COMPLETE, "data": "a"}, {}, Reread({**COMPLETE, "data": "a"}), id="a text is no JSON again"),
        pytest.param({"i": 50}, {}, Reread({"dryrun": False, "i": 50}, TOO_GREAT), id="what is too great now"),
        pytest.param(
            {"count": 5},
            {},
            Reread({"dryrun": False, "count": 5}, f"{UNFIT}count: Job data contained an unknown property"),
            id="what has been renamed",
        ),
        pytest.param({"count": 5}, {"job_class_name": "Elsewhere"}, Reread({"count": 5}), id="code that is not here"),
        pytest.param(
            {"id": 7}, {"job_class_name": "Heard", "is_job_hook_receiver": True}, Reread({"id": 7}), id="events"
        ),
    ],
)
def test_inputs_are_read_by_the_variables_of_today(stored: Any, job: dict[str, Any], reread: Reread) -> None:
    assert read_again(make_job(**{**CODE, **job}), stored, hidden=False) == reread


class Locked(Encrypted):
    """Inputs that nobody looks into."""

    def __getitem__(self, name: str) -> Any:
        raise AssertionError(name)

    def __iter__(self) -> Any:
        raise AssertionError

    def __len__(self) -> int:
        raise AssertionError


def test_of_what_may_be_sensitive_the_variables_are_named_and_nothing_is_decrypted() -> None:
    assert read_again(make_job(**CODE), {"i": 50}, hidden=True).unfit == f"{UNFIT}i"
    locked = Locked("encrypted")
    assert read_again(make_job(**CODE), locked, hidden=True).inputs is locked


def test_what_is_requested_once_more_is_the_same() -> None:
    assert as_sent(make_job(**CODE), {"i": 5, "data": "a"}) == {"i": 5, "data": '"a"'}
    assert as_sent(make_job(), {"i": 5}) == {"i": 5}


def fired(plant: Plant) -> JobResult:
    plant.tick(minutes=61)
    plant.work_off()
    return plant.only(JobResult)


def test_a_firing_with_inputs_that_do_not_fit_is_a_failure_that_names_the_variable(plants: Plants) -> None:
    plant = plants.ready(**CODE)
    row = asked(plant, LATER, data={"i": 50})
    assert explain(plant, plant.actor, row).why_not == TOO_GREAT
    result = fired(plant)
    assert (result.status, result.traceback, result.attempt) == (Status.FAILURE, TOO_GREAT, None)


def test_a_firing_goes_with_what_the_variables_of_today_read(plants: Plants) -> None:
    plant = plants.ready(**CODE)
    assert explain(plant, plant.actor, asked(plant, LATER, data={"i": 5})).unfit == ""
    assert (fired(plant).status, plant.only(JobResult).inputs) == (Status.SUCCESS, COMPLETE)


def test_what_waits_for_its_approval_is_said_to_fail_and_cannot_be_tried(plants: Plants) -> None:
    plant = plants.ready(**CODE, **APPROVAL)
    row = asked(plant, NIGHTLY, data={"i": 50})
    assert explain(plant, plant.actor, row).unfit == TOO_GREAT
    with pytest.raises(Invalid, match="i: Ensure this value is less than"):
        asyncio.run(plant.approvals.dry_run(plant.actor, {"id": row.id}))


def test_what_may_be_sensitive_is_not_quoted(plants: Plants) -> None:
    plant = plants.ready(**CODE)
    row = asked(plant, LATER, data={"i": 50})
    plant.change(plant.only(Job), has_sensitive_variables=True)
    assert explain(plant, plant.actor, row).unfit == f"{UNFIT}i"


def test_inputs_are_judged_by_the_code_that_the_run_has_and_by_no_other() -> None:
    job, known = make_job(**CODE), Narrowed.definition().code_digest
    assert read_again(job, {"i": 11}, hidden=False, code=known).unfit == TOO_GREAT
    assert read_again(job, {"i": 11}, hidden=False, code="2::other") == Reread({"i": 11})
    assert read_again(replace(job, code_digest="2::other"), {"i": 11}, hidden=False) == Reread({"i": 11})
