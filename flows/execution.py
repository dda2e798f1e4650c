"""The life of a run: ``before_start``, ``run``, then ``on_success`` or ``on_failure``, and ``after_return`` last.

* What ``before_start`` raises is a failure, and ``run`` is not called; so it is after ``fail()`` in ``before_start``.
* What ``run`` or ``on_success`` raises is a failure. So is ``fail()``, which raises nothing, and a result that says so
  itself.
* What ``on_failure`` and ``after_return`` raise is logged, and changes nothing: the run has ended as it has.
* Each of them may be an ``async def``; those of one run share one event loop.
* All of them count for the time limits. After the hard one nothing is called any more.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.job import Job

SUCCEEDED, FAILED = "SUCCESS", "FAILURE"


class JobFailed(Exception):
    """A run has failed though nothing was raised: the Job called ``fail()``, or returned something that has failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExceptionInfo:
    """What ``on_failure`` and ``after_return`` are told of an exception.

    Args:
        exception: the exception.
        traceback: its traceback, as text.
    """

    exception: BaseException
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> ExceptionInfo:
        """Return what is told of an exception."""
        return cls(exception=error, traceback="".join(traceback.format_exception(error)))

    def __str__(self) -> str:
        return self.traceback


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run has ended.

    Args:
        result: what ``run`` returned; None if it did not return.
        error: why it is a failure; None for a success.
    """

    result: Any = None
    error: Exception | None = None

    @property
    def status(self) -> str:
        """The status, as job results have it."""
        return SUCCEEDED if self.error is None else FAILED


def execute(job: Job, inputs: Mapping[str, Any], resolve: Callable[[Any], Any] = lambda result: result) -> Outcome:
    """Call what a Job defines, in order.

    Args:
        job: the Job, bound to its run.
        inputs: the inputs, which ``run`` is called with.
        resolve: returns the result itself for what ``run`` returned; it raises ``JobFailed`` for one that has failed.

    Returns:
        how it has ended. Only what is no ``Exception``, as the hard time limit, is raised.
    """
    task_id, kwargs = job._run_id, dict(inputs)
    with asyncio.Runner() as runner:

        def call(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
            returned = function(*args, **named)
            return runner.run(returned) if inspect.iscoroutine(returned) else returned

        def whatever_it_raises(function: Callable[..., Any], *args: Any) -> None:
            try:
                call(function, *args)
            except Exception:
                job.logger.exception("%s() has failed.", function.__name__)

        result = None
        try:
            call(job.before_start, task_id, (), kwargs)
            _check(job)
            result = resolve(call(job.run, **kwargs))
            _check(job)
            call(job.on_success, result, task_id, (), kwargs)
            _check(job)
            outcome = Outcome(result=result)
        except Exception as raised:
            outcome = Outcome(result=result, error=raised)
        told = outcome.error
        info = (
            None if told is None else ExceptionInfo(exception=told, traceback="".join(traceback.format_exception(told)))
        )
        if told is not None:
            whatever_it_raises(job.on_failure, told, task_id, (), kwargs, info)
        returned = result if told is None or isinstance(told, JobFailed) else told
        whatever_it_raises(job.after_return, outcome.status, returned, task_id, (), kwargs, info)
    return outcome


def _check(job: Job) -> None:
    if job.failures:
        raise JobFailed("; ".join(job.failures)[:1000])
