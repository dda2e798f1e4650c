"""A Job as a Prefect flow: parameters, admission, log, time limits and result.

* Every run asks for admission first. It executes the inputs in the answer, not the run's parameters: those are for
  display, and can be changed in Prefect.
* A run that goes by an approval is held to the code that was compared with what was approved.
* Inputs are read by the variables that the Job has now. If they do not fit them any more, the run fails with the names
  of those variables; whatever parameters Prefect passes, its flow takes them.
* A run executes once: Prefect does not retry it.
* The soft time limit raises an exception that a Job may catch to clean up; an ``async def run()`` that waits just then
  is cancelled. The hard time limit raises one that it should not catch; a Job that continues regardless is killed.
* A run whose code suspends it ends its process, and calls nothing more of the Job. When it is resumed, another process
  executes the Job from its beginning, as Prefect does: what was asked for by then is known.
* The log of a run has a first and a last line of ours, and the sentence of what ended it. What Prefect's engine logs is
  kept in Prefect under names of its own, so that it can be told from what the Job says.
* What a Job prints is in its log, and what the loggers of its package say from INFO on, under their names.
* A Job that is made of a flow has that flow's task runner, prints, results and hooks (``flows.flow_jobs``).
* The files that a run is given are fetched after it was let go, and compared with what was requested.
* A secret is read from Prefect when the Job asks for it, with the credential of the run; the object that a button was
  pressed for from our server, as its user may view it.
* The files that a run makes are kept by the server when ``create_file()`` returns.
* The result or traceback is reported to the server after the log is sent, and before Prefect shows the final state.

The flow of a Job is an attribute of this module, made on demand: ``flows.prefect_flow.package-module-Class``. No
attribute has the name of a Job class, because an entry point that names a class would run it without admission.
"""

from __future__ import annotations

import inspect
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from types import FrameType
from typing import Any
from uuid import uuid4

import httpx
from prefect import Flow, flow_engine, task_engine
from prefect.blocks.system import Secret
from prefect.client.schemas.objects import State
from prefect.exceptions import FailedRun, MissingResult, Pause
from prefect.futures import resolve_futures_to_states
from prefect.logging import get_logger, get_run_logger
from prefect.logging.handlers import APILogHandler, APILogWorker
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from approval_gate.errors import Invalid, NotRunnable, Unavailable
from approval_gate.prefect_gate import AdmissionUnreachable, Gate
from flows.execution import FAILED, JobFailed, Outcome, as_json, described, execute
from flows.files import LARGEST_FILE, RunFile
from flows.inputs import unfit
from flows.job import Job, JobLogger, RunContext, RunResult, RunUser, arguments_of, validate_again
from flows.log_objects import with_object
from flows.registry import load
from flows.source import hold_to
from flows.variables import Variable, file_names

KILLED_AFTER = 10.0
"""Seconds from the hard time limit until the process is killed."""

LOG_SENT_WITHIN = 60.0
"""Seconds that the end of a run waits for its log to be sent."""

ENGINES = frozenset({flow_engine.__file__, task_engine.__file__})
"""The files that log what Prefect does with a run, beside what the run says."""

PREPARED: dict[str, Flow[..., Any]] = {}
"""The flows that are made already, by the class paths of their Jobs."""


def _apart(record: logging.LogRecord) -> bool:
    """Have what Prefect's engine logs kept under a name of its own; the terminal shows it as ever.

    Where a run has only said that it has failed, the engine raises that, and logs where in its own code: the Job's last
    lines would be far above, so this is not kept.
    """
    if record.pathname in ENGINES and getattr(record, "send_to_api", True):
        if not (record.exc_info and isinstance(record.exc_info[1], FailedRun)):
            _keep(record, f"{record.name}.engine", logging.getLogger(record.name))
        record.send_to_api = False
    return True


def _about(record: logging.LogRecord) -> bool:
    """Have a line that is about an object kept with it; the terminal shows it as ever."""
    thing = getattr(record, "object", None)
    if thing is not None and getattr(record, "send_to_api", True):
        _keep(record, with_object(record.name, thing), get_logger("flow_runs"))
        record.send_to_api = False
    return True


def _keep(record: logging.LogRecord, name: str, logger: logging.Logger) -> None:
    """Have the handlers of a logger keep a line under another name."""
    kept = copy(record)
    kept.name = name
    for handler in logger.handlers:
        handler.handle(kept)


for _name in ("flow_runs", "task_runs"):
    # Prefect's own filter, which takes keys out of what is logged, comes first.
    get_logger(_name).addFilter(_apart)
get_logger("flow_runs").addFilter(_about)


class RunLogger(JobLogger):
    """The logger of a run, whose lines Prefect keeps: of every level, each with its heading and object in the name."""

    def under(self, grouping: str, level: int, /) -> logging.Logger | logging.LoggerAdapter[Any]:
        """Return the logger of a line of this level under a heading; empty for that of ``run()``."""
        adapter: Any = self.logger
        if not grouping and adapter.isEnabledFor(level):
            # Of this one, and of no other, Prefect shows the name of the run in the terminal.
            return self.logger
        child: logging.LoggerAdapter[Any] = adapter.getChild(f"run.{grouping}" if grouping else "run")
        # Prefect's level, which would leave out what the Job says for whoever looks for a fault, is for its engine.
        if child.logger.level != logging.DEBUG:
            child.setLevel(logging.DEBUG)
            child.logger.addFilter(_about)
        return child


class SoftTimeLimitExceeded(Exception):
    """The Job has run longer than its soft time limit."""


class TimeLimitExceeded(BaseException):
    """The Job has run longer than its time limit."""


class Unfit(Exception):
    """Stored inputs do not fit the variables of the Job any more, or their objects cannot be read."""


def __getattr__(name: str) -> Flow[..., Any]:
    if "-" not in name:
        raise AttributeError(f"There is no attribute {name!r}; the flow of a Job is called package-module-Class.")
    class_path = name.replace("-", ".")
    flow = PREPARED.get(class_path) or as_flow(class_path)
    # Prefect refuses what the signature has not, such as a variable that had another name when it was stored.
    _take(flow.fn, [*inspect.signature(flow.fn).parameters, *flow_run.parameters])
    return flow


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
        if missing:
            _report(JobLogger(get_run_logger(), {}), gate, "FAILURE", None, missing)
            return Failed(message=missing)
        # From now on, and no earlier: the code of a Job is for runs that are let go.
        made.on_completion_hooks, made.on_failure_hooks = on_completion, on_failure
        return _execute(class_path, gate, answer)

    name, body.__doc__, variables, code, missing = _described(class_path)
    body.__name__ = body.__qualname__ = class_path.rpartition(".")[2]
    _take(body, variables)
    settings, on_completion, on_failure = _settings(None if missing else load(class_path))
    made: Flow[..., Any] = Flow(body, **settings, name=name, retries=0, validate_parameters=False)
    return made


def _settings(job_class: type[Job] | None) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Return what a Job has of the flow that it is made of: settings, hooks of completion and of failure."""
    flow = getattr(job_class, "_flow", None)
    if flow is None:
        return {"persist_result": False, "log_prints": True}, [], []
    names = ("version", "task_runner", "log_prints", "persist_result", "result_storage", "result_serializer")
    return {name: getattr(flow, name) for name in names}, flow.on_completion_hooks, flow.on_failure_hooks


def _take(function: Callable[..., Any], names: Iterable[str]) -> None:
    """Let a function have parameters of these names, which are shown, and not used.

    Every one is optional: the runs of sensitive Jobs have none.
    """
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions take one, mypy does not know
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in dict.fromkeys(names)]
    )


def _described(class_path: str) -> tuple[str, str | None, Collection[str], tuple[str, str], str]:
    """Return the name of a Job, its description, its variables, the digests of its code and of its module, and why it
    is not here; that is empty if it is.
    """
    try:
        job_class = load(class_path)
    except NotRunnable as error:
        return class_path, str(error), (), ("", ""), str(error)
    definition = job_class.definition()
    digests = (definition.code_digest, definition.module_digest)
    return definition.name, job_class.__doc__, job_class.variables(), digests, ""


def _execute(class_path: str, gate: Gate, answer: dict[str, Any]) -> State[Any]:
    logger = RunLogger(get_run_logger(), {})
    try:
        with _heard(class_path), _told(logger):
            outcome = _outcome(class_path, logger, gate, answer)
    except Unfit as error:
        _report(logger, gate, FAILED, described(error), str(error))
        return Failed(message=str(error))
    except (Exception, TimeLimitExceeded) as error:
        _report(logger, gate, FAILED, described(error), "".join(traceback.format_exception(error)))
        if isinstance(error, TimeLimitExceeded):
            return Failed(message=str(error), name="TimedOut")
        raise
    _report(logger, gate, outcome.status, outcome.recorded, None)
    return Completed() if outcome.error is None else Failed(message=str(outcome.error))


def _outcome(class_path: str, logger: RunLogger, gate: Gate, answer: dict[str, Any]) -> Outcome:
    """Execute what admission has answered, and return how it ended; what the Job raised is raised."""
    user = RunUser(**answer["user"]) if answer["user"] else None
    job_class = load(class_path)
    if answer.get("holds_code", True):
        hold_to(job_class._code)
    with time_limits(answer["soft_time_limit"], answer["time_limit"]):
        # A source of objects may take long, too.
        inputs = _with_files(job_class.variables(), gate, _arguments(job_class, answer["inputs"]))
        job = job_class()
        job.bind(
            RunContext(
                logger=logger,
                user=user,
                job_result=RunResult(answer["job_result"], user),
                inputs=inputs,
                keep_file=lambda name, content: gate.keep_file(uuid4(), name, content),
                largest_file=answer.get("largest_file", LARGEST_FILE),
                read_secret=read_secret,
                read_object=gate.read_object,
            )
        )
        outcome = execute(job, inputs, resolved)
    if outcome.error is not None and not isinstance(outcome.error, JobFailed):
        raise outcome.error
    return outcome


def read_secret(name: str) -> Any:
    """Return the value of one of Prefect's blocks of the type Secret, with the credential of this run.

    Args:
        name: the name of the block.

    Raises:
        LookupError: there is none of that name.
        OSError: Prefect does not answer.
    """
    try:
        block: Any = Secret.load(name)
    except ValueError:
        raise LookupError(f"There is no secret called {name!r}: Prefect has no Secret block of that name.") from None
    except httpx.HTTPError as error:
        raise OSError(
            f"The secret {name!r} cannot be read: Prefect does not answer ({type(error).__name__})."
        ) from None
    return block.get()


def _with_files(variables: Mapping[str, Variable], gate: Gate, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a run with files in place of what refers to them."""
    names = file_names(variables)
    files = {name: RunFile(inputs[name], gate.file(name)) for name in names if inputs.get(name) is not None}
    return {**inputs, **files}


def _arguments(job_class: type[Job], stored: dict[str, Any]) -> dict[str, Any]:
    """Return what ``run()`` is called with.

    Raises:
        Unfit: the stored inputs do not fit the variables of the Job, or a source of objects cannot be read.
    """
    if job_class.is_job_hook_receiver:
        return stored
    try:
        return arguments_of(job_class, validate_again(job_class, stored))
    except Invalid as refusal:
        # Whether they may be sensitive is not known here.
        raise Unfit(unfit(refusal, quoted=False)) from None
    except Unavailable as error:
        raise Unfit(str(error)) from error


@contextmanager
def _heard(class_path: str) -> Iterator[None]:
    """Have in the log of a run what the loggers of its Job's package say, from INFO on."""
    package = logging.getLogger(class_path.partition(".")[0])
    sends = [handler for handler in get_logger("flow_runs").handlers if isinstance(handler, APILogHandler)]
    # A setting of Prefect's may have done so already.
    more = [] if any(isinstance(handler, APILogHandler) for handler in package.handlers) else sends
    level = package.level
    if not package.isEnabledFor(logging.INFO):
        package.setLevel(logging.INFO)
    for handler in more:
        package.addHandler(handler)
    try:
        yield
    finally:
        package.setLevel(level)
        for handler in more:
            package.removeHandler(handler)


@contextmanager
def _told(logger: RunLogger) -> Iterator[None]:
    """Log that a Job runs, what it raises, and that it has ended."""
    logger.info("Running job", extra={"grouping": "initialization"})
    ends = "Job completed"
    try:
        yield
    except Pause:
        ends = "Job suspended"
        raise
    except Unfit as error:
        logger.failure("%s", error)
        raise
    except (Exception, TimeLimitExceeded) as error:
        said = "".join(traceback.format_exception_only(error)).strip()
        logger.error("%s", said)  # noqa: TRY400 - the job result has the traceback
        raise
    finally:
        logger.info(ends, extra={"grouping": "post_run"})


def resolved(result: Any) -> Any:
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
        gate.tell({"status": status, "result": as_json(logger, result), "traceback": trace})
    except AdmissionUnreachable:
        # Prefect keeps the state. Only the result is lost, which does not make a finished run a failure.
        logger.exception("The result of this run could not be recorded.")


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
