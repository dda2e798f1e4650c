"""The life of a run: ``before_start``, ``run``, then ``on_success`` or ``on_failure``, and ``after_return`` last.

* What ``before_start`` raises is a failure, and ``run`` is not called; so it is after ``fail()`` in ``before_start``.
* What ``run`` or ``on_success`` raises is a failure. So is ``fail()``, which raises nothing, and a result that says so
  itself.
* What ``on_failure`` and ``after_return`` raise is logged, and changes nothing: the run has ended as it has.
* Each of them may be an ``async def``; those of one run share one event loop. What is left undone there when one of
  them ends, as by a time limit, is cancelled before the next one is called.
* All of them count for the time limits. After the hard one nothing is called any more. Threads that an ``async def``
  has started are not waited for.
* A dry run calls all of them, too: what they are told as ``kwargs`` says that it is one.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from flows.job import Job, JobLogger

SUCCEEDED, FAILED = "SUCCESS", "FAILURE"

LARGEST_RESULT = 1_000_000
"""Characters of JSON. A larger result is not stored; it belongs in a file."""


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

    @property
    def recorded(self) -> Any:
        """What is recorded as the result: what ``run`` returned, or else what made it a failure."""
        return described(self.error) if self.result is None and self.error is not None else self.result


def described(error: BaseException) -> dict[str, Any]:
    """Return what the result of a run says of the exception that made it a failure.

    Args:
        error: the exception.

    Returns:
        in JSON form, the name of its class, the module of that, and its arguments, which are texts if JSON has no such
        values.
    """
    told = [arg if isinstance(arg, str | int | None) else str(arg) for arg in error.args]
    return {"exc_type": type(error).__name__, "exc_module": type(error).__module__, "exc_message": told}


def execute(job: Job, inputs: Mapping[str, Any], resolve: Callable[[Any], Any] = lambda result: result) -> Outcome:
    """Call what a Job defines, in order.

    Args:
        job: the Job, bound to its run.
        inputs: the inputs, which ``run`` is called with.
        resolve: returns the result itself for what ``run`` returned; it raises ``JobFailed`` for one that has failed.

    Returns:
        how it has ended. Only what is no ``Exception``, as the hard time limit, is raised.
    """
    task_id = job._run_id
    with closing(_Loop()) as loop:

        def call(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
            returned = function(*args, **named)
            return loop.complete(returned) if inspect.iscoroutine(returned) else returned

        def hook(name: str, *args: Any) -> None:
            # A variable may have its name.
            if callable(function := getattr(job, name)):
                call(function, *args)

        def whatever_it_raises(name: str, *args: Any) -> None:
            try:
                hook(name, *args)
            except Exception:
                job.logger.exception("%s() has failed.", name)

        result = None
        try:
            hook("before_start", task_id, (), dict(inputs))
            _check(job)
            result = resolve(call(job.run, **inputs))
            _check(job)
            hook("on_success", result, task_id, (), dict(inputs))
            _check(job)
            outcome = Outcome(result=result)
        except Exception as raised:
            outcome = Outcome(result=result, error=raised)
        returned, info = result, None
        if (error := outcome.error) is not None:
            returned, info = error, ExceptionInfo.of(error)
            whatever_it_raises("on_failure", error, task_id, (), dict(inputs), info)
        whatever_it_raises("after_return", outcome.status, returned, task_id, (), dict(inputs), info)
    return outcome


class Cancelled(Exception):
    """An ``async def`` of a Job has cancelled itself."""


class _Loop:
    """An event loop that is made when it is needed."""

    def __init__(self) -> None:
        self._made: asyncio.AbstractEventLoop | None = None

    def complete(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end; whatever else goes on in the loop then is cancelled."""
        self._made = loop = self._made or asyncio.new_event_loop()
        try:
            return loop.run_until_complete(loop.create_task(coroutine))
        except asyncio.CancelledError as error:
            raise Cancelled("It was cancelled from within.") from error
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def close(self) -> None:
        """End the loop. Its threads are not waited for: one that is stuck would keep the run from ending."""
        if self._made is not None:
            self._made.run_until_complete(self._made.shutdown_asyncgens())
            self._made.close()


def _check(job: Job) -> None:
    if job.failures:
        raise JobFailed("; ".join(job.failures)[:1000])


def as_json(logger: JobLogger, result: Any) -> Any:
    """Return a result in the JSON form in which it is stored; None for one that is too large, which is logged."""
    try:
        text = json.dumps(result, default=str, allow_nan=False, skipkeys=True)
    except (ValueError, RecursionError):
        text = json.dumps(str(result))
    if len(text) > LARGEST_RESULT:
        logger.warning("The result is too large to be stored (%s characters of JSON).", len(text))
        return None
    return json.loads(text)
