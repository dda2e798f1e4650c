"""The life of a run: what is called, in which order, with what; and what makes it a failure."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import pytest

from flows import IntegerVar, Job, JobFailed
from flows.execution import Outcome, described, execute
from flows.job import JobLogger, RunContext, RunResult, RunUser
from flows.prefect_flow import SoftTimeLimitExceeded, time_limits

CASE = {"id": "7", "name": "Trace", "job_model": {"name": "Trace"}}


class Broken(Exception):
    """What a Job raises."""


class Traced(Job):
    """Notes what is called, and fails where it is told to, by raising or by ``fail()``."""

    x = IntegerVar(default=1)

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.told: dict[str, tuple[Any, ...]] = {}
        self.raises_in = self.fails_in = ""

    def _called(self, name: str, *told: Any) -> None:
        self.calls.append(name)
        self.told[name] = told
        if name == self.raises_in:
            raise Broken(name)
        if name == self.fails_in:
            self.fail("%s said so", name)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self._called("before_start", task_id, args, kwargs)

    def run(self, x: int) -> int:
        self._called("run", x)
        return x

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self._called("on_success", retval, task_id, args, kwargs)

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._called("on_failure", exc, task_id, args, kwargs, einfo)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._called("after_return", status, retval, task_id, args, kwargs, einfo)


class Later(Traced):
    """The same with ``async def``."""

    async def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        super().before_start(task_id, args, kwargs)

    async def run(self, x: int) -> int:  # type: ignore[override]  # either kind is called
        return super().run(x)

    async def after_return(self, *told: Any) -> None:
        super().after_return(*told)


def bound(job: Traced) -> Traced:
    user = RunUser(id="1", username="alice")
    logger = JobLogger(logging.getLogger("traced"), {})
    job.bind(RunContext(logger=logger, user=user, job_result=RunResult(CASE, user), inputs={"x": 1}))
    return job


WELL = ["before_start", "run", "on_success", "after_return"]
NOT_RUN = ["before_start", "on_failure", "after_return"]
FAILS = ["before_start", "run", "on_failure", "after_return"]
AFTER_ALL = ["before_start", "run", "on_success", "on_failure", "after_return"]


@pytest.mark.parametrize("kind", [Traced, Later])
@pytest.mark.parametrize(
    ("where", "calls", "status"),
    [
        pytest.param("", WELL, "SUCCESS", id="nowhere"),
        pytest.param("before_start", NOT_RUN, "FAILURE", id="before the start: it is not run"),
        pytest.param("run", FAILS, "FAILURE", id="in run"),
        pytest.param("on_success", AFTER_ALL, "FAILURE", id="after a success, which is none then"),
        pytest.param("after_return", WELL, "SUCCESS", id="at the end, which changes nothing"),
    ],
)
def test_what_is_called_where_something_is_raised(
    kind: type[Traced], where: str, calls: list[str], status: str
) -> None:
    job = bound(kind())
    job.raises_in = where
    outcome = execute(job, {"x": 1})
    assert (job.calls, outcome.status) == (calls, status)
    assert job.told["after_return"][0] == status
    assert str(outcome.error or "") == (where if status == "FAILURE" else "")


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        pytest.param("before_start", NOT_RUN, id="before the start"),
        pytest.param("run", FAILS, id="in run"),
        pytest.param("on_success", AFTER_ALL, id="after a success"),
    ],
)
def test_a_run_that_says_that_it_failed_is_a_failure_like_one_that_raises(where: str, calls: list[str]) -> None:
    job = bound(Traced())
    job.fails_in = where
    outcome = execute(job, {"x": 1})
    assert job.calls == calls
    assert isinstance(outcome.error, JobFailed)
    assert str(outcome.error) == f"{where} said so"


@pytest.mark.parametrize(
    ("outcome", "recorded"),
    [
        pytest.param(Outcome(result=1), 1, id="a success: what was returned"),
        pytest.param(Outcome(result=1, error=JobFailed("no")), 1, id="a failure that returned something: the same"),
        pytest.param(Outcome(error=Broken("no")), described(Broken("no")), id="a failure that did not: why"),
    ],
)
def test_what_is_recorded_as_the_result(outcome: Outcome, recorded: Any) -> None:
    assert outcome.recorded == recorded


def test_an_exception_is_described_by_its_class_its_module_and_its_arguments_in_json_form() -> None:
    assert described(Broken("disk", 5, None, ZeroDivisionError("zero"))) == {
        "exc_type": "Broken",
        "exc_module": __name__,
        "exc_message": ["disk", 5, None, "zero"],
    }


def test_what_on_failure_raises_is_logged_and_does_not_hide_the_failure(caplog: pytest.LogCaptureFixture) -> None:
    job = bound(Traced())
    job.raises_in = "on_failure"
    job.fails_in = "run"
    assert str(execute(job, {"x": 1}).error) == "run said so"
    assert job.calls == FAILS
    assert "on_failure() has failed." in caplog.text


def test_each_is_told_what_is_documented() -> None:
    job = bound(Traced())
    assert execute(job, {"x": 1}) == Outcome(result=1)
    assert job.told == {
        "before_start": ("7", (), {"x": 1}),
        "run": (1,),
        "on_success": (1, "7", (), {"x": 1}),
        "after_return": ("SUCCESS", 1, "7", (), {"x": 1}, None),
    }


def test_after_a_failure_each_is_told_what_was_raised() -> None:
    job = bound(Traced())
    job.raises_in = "run"
    execute(job, {"x": 1})
    error, *rest, info = job.told["on_failure"]
    assert isinstance(error, Broken)
    assert rest == ["7", (), {"x": 1}]
    assert "Broken: run" in str(info)
    assert job.told["after_return"] == ("FAILURE", error, *rest, info)


def test_a_result_that_cannot_be_resolved_is_a_failure() -> None:
    def refuse(result: Any) -> Any:
        raise JobFailed(f"not {result}")

    job = bound(Traced())
    assert str(execute(job, {"x": 1}, refuse).error) == "not 1"
    assert job.calls == FAILS


class Soft(Exception):
    """What a time limit raises."""


def test_what_is_left_of_an_async_run_that_was_too_long_does_not_go_on() -> None:
    seen: list[str] = []

    class Working(Traced):
        async def run(self, x: int) -> int:  # type: ignore[override]  # either kind is called
            try:
                await asyncio.sleep(600)
            finally:
                seen.append("run is over")
            return x

        async def on_failure(self, *told: Any) -> None:
            await asyncio.sleep(0)
            seen.append("on_failure")

    with time_limits(0.05, 0):
        assert isinstance(execute(bound(Working()), {"x": 1}).error, SoftTimeLimitExceeded)
    assert seen == ["run is over", "on_failure"]


def test_a_thread_that_is_stuck_does_not_keep_a_run_from_ending() -> None:
    free = threading.Event()

    class Stuck(Traced):
        async def run(self, x: int) -> int:  # type: ignore[override]  # either kind is called
            asyncio.get_running_loop().run_in_executor(None, free.wait)
            raise Soft("too long")

    try:
        assert isinstance(execute(bound(Stuck()), {"x": 1}).error, Soft)
    finally:
        free.set()


def test_a_run_that_cancels_itself_is_a_failure() -> None:
    class Cancelling(Traced):
        async def run(self, x: int) -> int:  # type: ignore[override]  # either kind is called
            raise asyncio.CancelledError

    job = bound(Cancelling())
    assert "cancelled from within" in str(execute(job, {"x": 1}).error)
    assert job.calls == ["before_start", "on_failure", "after_return"]


def test_what_a_hook_does_to_the_inputs_does_not_change_them() -> None:
    class Meddling(Traced):
        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            kwargs["x"] = 99

    assert execute(bound(Meddling()), {"x": 1}).result == 1


def test_what_ends_a_run_at_once_is_not_held_up() -> None:
    class Ended(BaseException):
        pass

    class Endless(Traced):
        def run(self, x: int) -> int:
            raise Ended(x)

    job = bound(Endless())
    with pytest.raises(Ended):
        execute(job, {"x": 1})
    assert job.calls == ["before_start"]


def test_a_job_knows_itself_and_its_run() -> None:
    job = bound(Traced())
    assert (job.name, Traced.name, job.class_path) == ("Traced", "Traced", f"{__name__}.Traced")
    assert (job.request.id, job.request.kwargs) == ("7", {"x": 1})
    assert job.job_result is not None
    assert (job.job_result.id, job.job_result["id"], str(job.job_result.user)) == ("7", "7", "alice")
    assert job.job_result.job_model.name == "Trace"
    assert json.dumps(job.job_result) == json.dumps(CASE)
    with pytest.raises(AttributeError, match="has no 'nope'"):
        _ = job.job_result.nope


def test_a_variable_takes_the_place_of_what_a_job_knows() -> None:
    class Named(Job):
        name = IntegerVar(default=3)  # type: ignore[assignment]  # as Jobs do
        request = IntegerVar(default=4)
        on_failure = IntegerVar(default=5)  # type: ignore[assignment]
        max_retries = IntegerVar(default=6)

        def run(self, **inputs: Any) -> Any:
            return inputs

    Named.definition()
    assert execute(Named(), {"name": 1, "request": 2}).result == {"name": 1, "request": 2}


def test_a_job_may_have_a_request_of_its_own() -> None:
    class Asks(Job):
        def request(self, url: str) -> str:
            return f"asked {url}"

        def run(self) -> str:
            return self.request("there")

    assert execute(Asks(), {}).result == "asked there"


def test_files_beside_the_module_are_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("sites: [ams, ber]")
    (tmp_path / "a.json").write_text('{"sites": ["ams"]}')
    monkeypatch.setattr("tests.flows.test_execution.__file__", str(tmp_path / "jobs.py"))
    job = Traced()
    assert job.load_yaml("a.yaml") == {"sites": ["ams", "ber"]}
    assert job.load_json("a.json") == {"sites": ["ams"]}
