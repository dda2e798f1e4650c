"""Waiting for a run: what is asked and when, what is told, and what happens when nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api_shim import schemas
from api_shim.client.operations.job_results import SILENCES, StillRunning, wait
from api_shim.client.protocol import HttpRequest, Operation, Sleep
from approval_gate.errors import Conflict, NotFound, Unavailable
from tests.api_shim import said

SILENT = Unavailable("No answer.")


class Run:
    """A server at which one run goes on, and a clock that goes with the pauses.

    Args:
        statuses: of the job result, each time that it is looked at; the last one stays.
        lines: of its log, each time that they are looked at; the last ones stay.
    """

    def __init__(self, *statuses: str | Exception, lines: tuple[list[str] | Exception, ...] = ([],)) -> None:
        self._statuses, self._lines = self._lasting(statuses), self._lasting(lines)
        self.now, self.looks = 0.0, 0

    @staticmethod
    def _lasting(answers: tuple[Any, ...]) -> Iterator[Any]:
        yield from answers
        while True:
            yield answers[-1]

    def answer(self, step: HttpRequest | Sleep) -> Any:
        if isinstance(step, Sleep):
            self.now += step.seconds
            return self.now
        about_log = step.path.endswith("/logs/")
        told = next(self._lines if about_log else self._statuses)
        if isinstance(told, Exception):
            raise told
        self.looks += not about_log
        return [said.line(message) for message in told] if about_log else said.result(told)

    def carry_out(self, talk: Operation[Any]) -> Any:
        step = next(talk)
        try:
            while True:
                try:
                    answer = self.answer(step)
                except Exception as error:
                    step = talk.throw(error)
                else:
                    step = talk.send(answer)
        except StopIteration as over:
            return over.value


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "REVOKED"])
def test_it_waits_until_the_run_has_ended_however_it_ends(status: str) -> None:
    run = Run("PENDING", "STARTED", "STARTED", status)
    assert run.carry_out(wait("x")).status.value == status
    assert run.looks == 4
    assert 0 < run.now < 3


def test_a_run_that_has_ended_is_not_waited_for() -> None:
    run = Run("SUCCESS")
    run.carry_out(wait("x"))
    assert run.now == 0


def test_a_change_is_told_once() -> None:
    told: list[str] = []
    Run("PENDING", "PENDING", "STARTED", "STARTED", "SUCCESS").carry_out(
        wait("x", on_change=lambda row: told.append(row.status.value))
    )
    assert told == ["PENDING", "STARTED", "SUCCESS"]


def test_each_line_is_told_once_in_order_also_those_that_come_after_the_end() -> None:
    told: list[str] = []
    run = Run("STARTED", "SUCCESS", lines=(["a"], ["a", "b"], ["a", "b"], ["a", "b", "c"]))
    run.carry_out(wait("x", on_log=lambda line: told.append(line.message)))
    assert told == ["a", "b", "c"]


def test_it_gives_up_when_the_time_is_over_and_tells_how_it_stood() -> None:
    run = Run("STARTED")
    with pytest.raises(StillRunning, match=r"^The run of Back up has not ended yet; it is STARTED\.$") as late:
        run.carry_out(wait("x", timeout=5))
    assert late.value.result.status.value == "STARTED"
    assert run.now == pytest.approx(5)


@pytest.mark.parametrize("timeout", [0, -1])
def test_without_time_it_looks_once(timeout: float) -> None:
    run = Run("STARTED")
    with pytest.raises(StillRunning):
        run.carry_out(wait("x", timeout=timeout))
    assert (run.looks, run.now) == (1, 0)
    assert Run("SUCCESS").carry_out(wait("x", timeout=timeout)).status.value == "SUCCESS"


def test_a_server_that_is_silent_for_a_while_is_waited_for() -> None:
    run = Run("STARTED", *[SILENT] * (SILENCES - 1), "SUCCESS")
    assert run.carry_out(wait("x")).status.value == "SUCCESS"


def test_a_server_that_stays_silent_or_was_never_there_is_told() -> None:
    with pytest.raises(Unavailable):
        Run("STARTED", SILENT).carry_out(wait("x"))
    nobody = Run(SILENT)
    with pytest.raises(Unavailable):
        nobody.carry_out(wait("x"))
    assert nobody.now == 0


def test_other_refusals_are_told_at_once() -> None:
    with pytest.raises(NotFound):
        Run("STARTED", NotFound("It was deleted.")).carry_out(wait("x"))


def test_what_run_returned_is_waited_for() -> None:
    begun = schemas.Accepted.model_validate(said.accepted(None, said.result("PENDING")))
    assert Run("PENDING", "SUCCESS").carry_out(wait(begun)).status.value == "SUCCESS"


def test_a_request_that_waits_for_approval_has_no_run_to_wait_for() -> None:
    held = schemas.Accepted.model_validate(said.accepted(said.scheduled("nightly")))
    with pytest.raises(Conflict, match="“nightly” waits for approval, so there is no run yet to wait for"):
        next(wait(held))
