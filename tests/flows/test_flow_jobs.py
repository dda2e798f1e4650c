"""A flow as a Job: what is taken over of it, what is refused, and that it stays what it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import Pause
from prefect.logging.loggers import PrefectLogAdapter
from prefect.task_runners import ThreadPoolTaskRunner

from flows import prefect_flow, registry
from flows.flow_jobs import as_job, job_of, register_flows
from flows.registry import discover, load
from flows.testing import run_job
from flows.variables import BadJob


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.setattr(registry, "_REFUSED", {})


@flow(log_prints=True, timeout_seconds=90, task_runner=ThreadPoolTaskRunner(max_workers=2))
def tidy_up(folder: str, keep: int = 3, dryrun: bool = False) -> dict[str, Any]:
    """Remove old files.

    They are gone then.

    Args:
        folder: Where they are.
        keep: How many stay.
        dryrun: Whether they stay all.
    """
    return {"folder": folder, "kept": keep, "dryrun": dryrun}


@flow
async def tidy_later(folder: str) -> str:
    return f"tidied {folder}"


def job(of: Any, **meta: Any) -> Any:
    return job_of(of, of.fn.__name__, __name__, meta)


def test_a_job_is_what_its_flow_says() -> None:
    definition = job(tidy_up, approval_required=True, job_queues=["bulk"]).definition()
    assert (definition.class_path, definition.name) == (f"{__name__}.tidy_up", "tidy-up")
    assert definition.description == "Remove old files.\n\nThey are gone then."
    assert definition.approval_required
    assert not definition.has_sensitive_variables
    assert (definition.soft_time_limit, definition.job_queues, definition.supports_dryrun) == (90, ("bulk",), True)
    assert [(each["name"], each.get("help_text")) for each in definition.variables][:2] == [
        ("folder", "Where they are."),
        ("keep", "How many stay."),
    ]
    assert definition.code_digest.startswith("2::")
    assert definition.warnings == ()


@pytest.mark.parametrize(
    ("of", "data", "result"),
    [
        pytest.param(tidy_up, {"folder": "/a"}, {"folder": "/a", "kept": 3, "dryrun": False}, id="a function"),
        pytest.param(tidy_later, {"folder": "/a"}, "tidied /a", id="an async one"),
    ],
)
def test_a_run_calls_the_function_with_the_inputs(of: Any, data: dict[str, Any], result: Any) -> None:
    run = run_job(of, data)
    assert (run.status, run.result) == ("SUCCESS", result)


def test_registered_flows_are_found_and_stay_what_they_are() -> None:
    register_flows(tidy_up, tidy_later, approval_required=True)
    jobs = discover([__name__]).jobs
    assert [*jobs] == [f"{__name__}.tidy_up", f"{__name__}.tidy_later"]
    assert load(f"{__name__}.tidy_up").definition() is jobs[f"{__name__}.tidy_up"]
    assert tidy_up.fn("/a") == {"folder": "/a", "kept": 3, "dryrun": False}, "without the gate"


def test_the_flow_of_such_a_job_has_what_that_flow_had() -> None:
    register_flows(tidy_up)
    made = prefect_flow.as_flow(f"{__name__}.tidy_up")
    assert (made.name, made.retries, made.log_prints) == ("tidy-up", 0, True)
    assert made.task_runner is tidy_up.task_runner
    assert list(made.parameters.properties) == ["folder", "keep", "dryrun"]
    assert made.fn is not tidy_up.fn, "the gate comes first"


def after(*_: Any) -> None:
    """A hook."""


@flow(on_completion=[after])
def told_of() -> int:
    return 1


@pytest.mark.parametrize("goes", [True, False])
def test_hooks_are_for_runs_that_were_let_go(monkeypatch: pytest.MonkeyPatch, goes: bool) -> None:
    answer = {"user": None, "job_result": {"id": "1"}, "soft_time_limit": 0, "time_limit": 0, "inputs": {}}

    class Asked:
        def __init__(self, *_: Any) -> None:
            pass

        def ask(self) -> Any:
            if not goes:
                raise Pause("Another run has it.")
            return {**answer, "holds_code": False}

        def tell(self, outcome: dict[str, Any]) -> None:
            assert outcome["result"] == 1

        def read_object(self, *_: Any) -> Any:
            raise NotImplementedError

    monkeypatch.setattr(prefect_flow, "Gate", Asked)
    monkeypatch.setattr(prefect_flow, "get_run_logger", lambda: PrefectLogAdapter(logging.getLogger("run"), {}))
    register_flows(told_of)
    made = prefect_flow.as_flow(f"{__name__}.told_of")
    assert made.on_completion_hooks == []
    with nullcontext() if goes else pytest.raises(Pause):
        made.fn()
    assert made.on_completion_hooks == ([after] if goes else [])


@task(cache_policy=NO_CACHE)
def broken() -> None: ...


@flow(retries=2)
def again() -> None: ...


@flow(on_running=[after])
def before() -> None: ...


@flow
def in_pieces() -> Any:
    yield 1


@flow
def of_strange(thing: Callable[[int], int]) -> None: ...


def no_flow() -> None: ...


@pytest.mark.parametrize(
    ("of", "told"),
    [
        pytest.param(again, "again has retries, but a run executes once: give them to its tasks", id="retries"),
        pytest.param(before, "before has a hook on_running, which would be called before", id="a hook before the gate"),
        pytest.param(in_pieces, "in_pieces must be a function without yield", id="yield"),
        pytest.param(of_strange, "of_strange has a parameter thing of a type that cannot", id="a type"),
        pytest.param(broken, "is no Prefect flow", id="a task"),
        pytest.param(no_flow, r"is no Prefect flow. Write @as_job\(\) above @flow", id="a function"),
    ],
)
def test_what_cannot_be_a_job_is_refused(of: Any, told: str) -> None:
    with pytest.raises(BadJob, match=told):
        job_of(of, getattr(getattr(of, "fn", of), "__name__", ""), __name__, {})


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadJob, match=r"Meta has no setting approve\. Did you mean"):
        job(tidy_up, approve=True).definition()


def test_a_name_for_runs_has_no_effect_and_that_is_told() -> None:
    named = flow(flow_run_name="tidy-{folder}")(tidy_up.fn)
    (warning,) = job(named).definition().warnings
    assert "flow_run_name has no effect" in warning


@as_job(has_sensitive_variables=True)
@flow
def decorated(x: int) -> int:
    return x + 1


@as_job
@flow
def plain(user: str, run: str = "", logger: str = "") -> str:
    return f"{user}{run}{logger}"


def test_a_decorated_flow_is_the_flow_and_is_registered() -> None:
    assert as_job(approval_required=True)(decorated) is decorated
    assert decorated.fn(1) == 2
    definition = load(f"{__name__}.decorated").definition()
    assert (definition.name, definition.approval_required) == ("decorated", True)


def test_parameters_may_be_called_like_what_jobs_have() -> None:
    assert run_job(plain, {"user": "a", "run": "b", "logger": "c"}).result == "abc"


def test_refused_flows_are_told_with_their_line_and_stop_no_other() -> None:
    register_flows(again, tidy_later)
    found = discover([__name__])
    assert [*found.jobs] == [f"{__name__}.tidy_later"]
    (refusal,) = found.problems
    assert refusal.place.line == again.fn.__code__.co_firstlineno


def test_a_flow_that_no_name_has_is_refused() -> None:
    register_flows(flow(tidy_up.fn))
    (refusal,) = discover([__name__]).problems
    assert refusal.sentence == "register_flows(): tidy_up must be imported, or made, by name at the top level."


def test_a_flow_of_another_module_is_a_job_of_the_module_that_registers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy_later.fn, "__module__", "tests.factories")
    made = job(tidy_later)
    assert made.definition().class_path == f"{__name__}.tidy_later"
    assert {"tests.factories", __name__} <= {each.__module__ for each in made.__mro__}
