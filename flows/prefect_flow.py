"""A Job as a Prefect flow: parameters, admission, log, time limits and result.

* Every run asks for admission first. It executes the inputs in the answer, not the run's parameters: those are for
  display, and can be changed in Prefect.
* A run that goes by an approval is held to the code that was compared with what was approved.
* A run executes once: Prefect does not retry it.
* The soft time limit raises an exception that a Job may catch to clean up; an ``async def run()`` that waits just then
  is cancelled. The hard time limit raises one that it should not catch; a Job that continues regardless is killed.
* The files that a run is given are fetched after it was let go, and compared with what was requested.
* The files that a run makes are kept by the server when ``create_file()`` returns.
* The result or traceback is reported to the server after the log is sent, and before Prefect shows the final state.

The flow of a Job is an attribute of this module, made on demand: ``flows.prefect_flow.package-module-Class``. No
attribute has the name of a Job class, because an entry point that names a class would run it without admission.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import signal
import threading
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any
from uuid import uuid4

from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.exceptions import MissingResult
from prefect.futures import resolve_futures_to_states
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from approval_gate.errors import NotRunnable
from approval_gate.prefect_gate import AdmissionUnreachable, Gate
from flows.execution import FAILED, JobFailed, Outcome, execute
from flows.files import LARGEST_FILE, RunFile
from flows.job import JobLogger, RunContext, RunResult, RunUser
from flows.registry import load
from flows.source import hold_to
from flows.variables import FileVar, Variable

KILLED_AFTER = 10.0
"""Seconds from the hard time limit until the process is killed."""

LARGEST_RESULT = 1_000_000
"""Characters of JSON. A larger result is not stored; it belongs in a file."""

LOG_SENT_WITHIN = 60.0
"""Seconds that the end of a run waits for its log to be sent."""

PREPARED: dict[str, Flow[..., Any]] = {}
"""The flows that are made already, by the class paths of their Jobs."""


class RunLogger(JobLogger):
    """The logger of a run, whose lines Prefect keeps: of every level, each with its heading in the logger's name."""

    def under(self, grouping: str, level: int, /) -> logging.Logger | logging.LoggerAdapter[Any]:
        """Return the logger of a line of this level under a heading; empty for that of ``run()``."""
        adapter: Any = self.logger
        if not grouping and adapter.isEnabledFor(level):
            # Of this one, and of no other, Prefect shows the name of the run in the terminal.
            return self.logger
        child: logging.LoggerAdapter[Any] = adapter.getChild(grouping or "run")
        # Prefect's level, which would leave out what the Job says for whoever looks for a fault, is for its engine.
        if child.logger.level != logging.DEBUG:
            child.setLevel(logging.DEBUG)
        return child


class SoftTimeLimitExceeded(Exception):
    """The Job has run longer than its soft time limit."""


class TimeLimitExceeded(BaseException):
    """The Job has run longer than its time limit."""


def __getattr__(name: str) -> Flow[..., Any]:
    if "-" not in name:
        raise AttributeError(f"There is no attribute {name!r}; the flow of a Job is called package-module-Class.")
    class_path = name.replace("-", ".")
    return PREPARED.get(class_path) or as_flow(class_path)


def prepare(class_path: str) -> None:
    """Make the flow of a Job once, for this process and those that are forked from it.

    Args:
        class_path: ``module.Class``.

    Raises:
        NotRunnable: the Job's code is not installed. The flow of such a Job depends on the run.
    """
    if class_path not in PREPARED:
        load(class_path)
        PREPARED[class_path] = as_flow(class_path)


def as_flow(class_path: str) -> Flow[..., Any]:
    """Return the flow of a Job. If the Job's code is not installed, the flow asks for admission too, then fails.

    Args:
        class_path: ``module.Class``.
    """

    def body(**_shown: Any) -> Any:
        gate = Gate(uuid4(), *code)
        if missing:
            get_run_logger().error("%s", missing)
        answer = gate.ask()
        if missing and not isinstance(answer, State):
            _report(JobLogger(get_run_logger(), {}), gate, "FAILURE", None, missing)
            return Failed(message=missing)
        return answer if isinstance(answer, State) else _execute(class_path, gate, answer)

    name, body.__doc__, variables, code, missing = _described(class_path)
    body.__name__ = body.__qualname__ = class_path.rpartition(".")[2]
    # Every parameter is optional: the runs of sensitive Jobs have none.
    body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions take one, mypy does not know
        [inspect.Parameter(variable, inspect.Parameter.KEYWORD_ONLY, default=None) for variable in variables]
    )
    return Flow(body, name=name, retries=0, validate_parameters=False, persist_result=False)


def _described(class_path: str) -> tuple[str, str | None, Collection[str], tuple[str, str], str]:
    """Return the name of a Job, its description, its variables, the digests of its code and of its module, and why it
    is not here; that is empty if it is.
    """
    try:
        job_class = load(class_path)
    except NotRunnable as error:
        return class_path, str(error), flow_run.parameters, ("", ""), str(error)
    definition = job_class.definition()
    digests = (definition.code_digest, definition.module_digest)
    return definition.name, job_class.__doc__, job_class.variables(), digests, ""


def _execute(class_path: str, gate: Gate, answer: dict[str, Any]) -> State[Any]:
    logger = RunLogger(get_run_logger(), {})
    try:
        outcome = _outcome(class_path, logger, gate, answer)
    except (Exception, TimeLimitExceeded) as error:
        _report(logger, gate, FAILED, None, "".join(traceback.format_exception(error)))
        if isinstance(error, TimeLimitExceeded):
            return Failed(message=str(error), name="TimedOut")
        raise
    _report(logger, gate, outcome.status, outcome.result, None)
    return Completed() if outcome.error is None else Failed(message=str(outcome.error))


def _outcome(class_path: str, logger: RunLogger, gate: Gate, answer: dict[str, Any]) -> Outcome:
    """Execute what admission has answered, and return how it ended; what the Job raised is raised."""
    user = RunUser(**answer["user"]) if answer["user"] else None
    job_class = load(class_path)
    if answer.get("holds_code", True):
        hold_to(job_class._code)
    inputs = _with_files(job_class.variables(), gate, answer["inputs"])
    job = job_class()
    job.bind(
        RunContext(
            logger=logger,
            user=user,
            job_result=RunResult(answer["job_result"], user),
            inputs=inputs,
            keep_file=lambda name, content: gate.keep_file(uuid4(), name, content),
            largest_file=answer.get("largest_file", LARGEST_FILE),
        )
    )
    with time_limits(answer["soft_time_limit"], answer["time_limit"]):
        outcome = execute(job, inputs, _resolved)
    if outcome.error is not None and not isinstance(outcome.error, JobFailed):
        raise outcome.error
    return outcome


def _with_files(variables: Mapping[str, Variable], gate: Gate, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a run with files in place of what refers to them."""
    names = {name for name, each in variables.items() if isinstance(each, FileVar)}
    files = {name: RunFile(inputs[name], gate.file(name)) for name in names if inputs.get(name) is not None}
    return {**inputs, **files}


def _resolved(result: Any) -> Any:
    """Return a result with values in place of Prefect's futures and states, in lists and dictionaries too.

    Raises:
        JobFailed: one of them has not completed; with its message.
    """
    try:
        return _value_of(resolve_futures_to_states(result))
    except JobFailed:
        raise
    except Exception:
        # What the run did is done, and is no failure for a result that cannot be read; it is stored as text.
        return result


def _value_of(each: Any) -> Any:
    if isinstance(each, State):
        if not each.is_completed():
            raise JobFailed(each.message or f"The result is a state called {each.name}.")
        try:
            return each.result(raise_on_failure=False)
        except MissingResult:
            return None
    if type(each) in {list, tuple}:
        return [_value_of(part) for part in each]
    return {key: _value_of(part) for key, part in each.items()} if type(each) is dict else each


def _report(logger: JobLogger, gate: Gate, status: str, result: Any, trace: str | None) -> None:
    # The log is complete by the time anyone sees that the run has ended. Prefect's handlers would wait for five
    # seconds, in which a busy server does not take all of a long log.
    APILogWorker.drain_all(timeout=LOG_SENT_WITHIN)
    try:
        gate.tell({"status": status, "result": _as_json(logger, result), "traceback": trace})
    except AdmissionUnreachable:
        # Prefect keeps the state. Only the result is lost, which does not make a finished run a failure.
        logger.exception("The result of this run could not be recorded.")


def _as_json(logger: JobLogger, result: Any) -> Any:
    try:
        text = json.dumps(result, default=str, allow_nan=False, skipkeys=True)
    except (ValueError, RecursionError):
        text = json.dumps(str(result))
    if len(text) > LARGEST_RESULT:
        logger.warning("The result is too large to be stored (%s characters of JSON).", len(text))
        return None
    return json.loads(text)


@contextmanager
def time_limits(soft: float, hard: float) -> Iterator[None]:
    """Interrupt the block when it exceeds its time limits.

    Args:
        soft: seconds until ``SoftTimeLimitExceeded`` is raised; 0 for no limit.
        hard: seconds until ``TimeLimitExceeded`` is raised, and ``KILLED_AFTER`` more until the process is killed;
            0 for no limit.
    """
    limits = [limit for limit in (soft, hard) if limit > 0]
    if not limits:
        yield
        return
    killer = threading.Timer(hard + KILLED_AFTER, os.kill, (os.getpid(), signal.SIGKILL))
    killer.daemon = True
    if hard > 0:
        killer.start()
    previous = signal.signal(signal.SIGALRM, _alarm(soft, hard))
    signal.setitimer(signal.ITIMER_REAL, min(limits))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        killer.cancel()


def _alarm(soft: float, hard: float) -> Any:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        nonlocal soft
        if soft > 0 and (hard <= 0 or soft < hard):
            first, soft = soft, 0
            if hard > 0:
                signal.setitimer(signal.ITIMER_REAL, hard - first)
            raise SoftTimeLimitExceeded(f"The job has run longer than its soft time limit of {first:g} s.")
        raise TimeLimitExceeded(f"The job has run longer than its time limit of {hard:g} s.")

    return ring
