"""Runs of Jobs in tests: without a server, a worker or a database, within the process of the test.

* ``run_job()`` reads the inputs as the server does, calls what a run calls, and returns how it ended; only inputs that
  would be refused raise.
* The gate is not asked, and time limits do not count.
* Of a flow it calls the function. What ``get_run_logger()`` says is in the log; tasks of Prefect that the function
  calls need Prefect, as in any test of them (``prefect_test_harness``).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from approval_gate.errors import Invalid
from flows.definition import JobDefinition
from flows.execution import ExceptionInfo, as_json, execute
from flows.files import GivenFile, RunFile
from flows.flow_jobs import is_flow, job_of, own_name
from flows.job import Job, JobLogger, RunContext, RunResult, RunUser, arguments_of, validate
from flows.log_objects import read_object, with_object
from flows.variables import file_names

RESULT_ID = "00000000-0000-4000-8000-000000000000"
"""The id of the job result of every such run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A line of the log that the server would keep.

    Args:
        log_level: as the API has it: ``debug``, ``info``, ``success``, ``warning``, ``failure``, ``error``.
        message: the text.
        grouping: the heading.
        log_object: what the line is about.
        absolute_url: the address of that.
    """

    log_level: str
    message: str
    grouping: str = ""
    log_object: str = ""
    absolute_url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRun:
    """How a run ended.

    Args:
        status: ``SUCCESS`` or ``FAILURE``.
        result: what ``run()`` returned, in the form in which it is stored.
        error: why it is a failure; None for a success.
        traceback: where that was raised; empty for a success.
        logs: the lines of the log.
        inputs: the complete inputs, as they would be stored.
        files: what the files have that the run has made, by name; of two with the same name, the later one.
        job: the Job that was run, as the run has left it.
    """

    status: str
    result: Any
    error: Exception | None
    traceback: str
    logs: tuple[LogLine, ...]
    inputs: Mapping[str, Any]
    files: Mapping[str, bytes]
    job: Job

    @property
    def messages(self) -> list[str]:
        """The messages of the log."""
        return [line.message for line in self.logs]


def run_job(
    job: Any,
    data: Mapping[str, Any] | None = None,
    /,
    *,
    user: str = "tester",
    dry_run: bool = False,
    secrets: Mapping[str, Any] | None = None,
    objects: Mapping[str, Mapping[str, Any]] | None = None,
    **inputs: Any,
) -> JobRun:
    """Run a Job in this process.

    Args:
        job: a Job class, or a Prefect flow.
        data: inputs by name, as a request has them in its ``data``; for a ``FileVar`` the path of a file, or its name
            and its content.
        user: the name of the user whom it runs as; empty for what an event has started.
        dry_run: whether it is a dry run.
        secrets: what ``self.secret()`` finds, by name.
        objects: what a ``JobButtonReceiver`` can be given, by id.
        inputs: more inputs.

    Raises:
        BadJob: the Job cannot work as it is written.
        Invalid: the inputs would be refused, or the Job has no dry runs.
        Unavailable: a source of objects cannot be read.
    """
    job_class = job_of(job, own_name(job), job.fn.__module__, {}) if is_flow(job) else job
    definition = job_class.definition()
    complete, given = _read(job_class, _sent(definition, {**(data or {}), **inputs}, dry_run=dry_run))
    kept = _Kept()
    logger = _kept_by(kept, f"{job_class.__module__}.{job_class.__name__}")
    files: dict[str, bytes] = {}
    context = RunContext(
        logger=JobLogger(logger, {}),
        **_as_whom(user, definition.name),
        inputs=given,
        keep_file=files.__setitem__,
        read_secret=dict(secrets or {}).__getitem__,
        read_object=partial(_object, objects or {}),
    )
    made = job_class()
    made.bind(context)
    with _run_logger(logger):
        outcome = execute(made, given, _resolving())
    return JobRun(
        status=outcome.status,
        result=as_json(made.logger, outcome.result),
        error=outcome.error,
        traceback=str(ExceptionInfo.of(outcome.error)) if outcome.error else "",
        logs=tuple(kept.lines),
        inputs=complete,
        files=files,
        job=made,
    )


def _sent(definition: JobDefinition, inputs: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    if dry_run and not definition.supports_dryrun:
        raise Invalid(f"{definition.class_path} has no dry runs: it needs a DryRunVar called dryrun.")
    return {**inputs, "dryrun": True} if dry_run else inputs


def _object(objects: Mapping[str, Mapping[str, Any]], kind: str, key: str) -> Mapping[str, Any]:
    return {"id": key, "object_type": kind, **objects[key]}


def _read(job_class: type[Job], sent: dict[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the complete inputs, as they are stored, and what ``run()`` is given of them."""
    files = _given_files(job_class, sent)
    complete = validate(job_class, sent | files, look_up=True)
    read = {name: RunFile(each.reference, each.content or b"") for name, each in files.items()}
    return complete, arguments_of(job_class, complete) | read


def _as_whom(user: str, name: str) -> dict[str, Any]:
    """Return the user and the job result of a run of a Job of this name."""
    who = RunUser(id="1", username=user) if user else None
    told = {"id": RESULT_ID, "name": name, "user": {"username": user} if user else None}
    return {"user": who, "job_result": RunResult(told, who)}


def _given_files(job_class: type[Job], sent: Mapping[str, Any]) -> dict[str, GivenFile]:
    """Return the files that are sent to the variables of a Job, as the server makes them of a form."""
    names = file_names(job_class.variables())
    return {name: _given_file(sent[name]) for name in names if isinstance(sent.get(name), Path | tuple)}


def _given_file(sent: Path | tuple[str, bytes]) -> GivenFile:
    name, content = (sent.name, sent.read_bytes()) if isinstance(sent, Path) else sent
    return GivenFile.sent(UUID(RESULT_ID), name, content)


class _Kept(logging.Handler):
    """Keeps the lines that a server would."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[LogLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, unless it is for the terminal alone."""
        if not getattr(record, "skip_db_logging", False):
            heading, thing = getattr(record, "grouping", None), getattr(record, "object", None)
            _, title, address = read_object(with_object("", thing)) if thing is not None else ("", "", "")
            self.lines.append(
                LogLine(
                    log_level=record.levelname.lower(),
                    message=record.getMessage(),
                    grouping=str(heading or ""),
                    log_object=title,
                    absolute_url=address,
                )
            )


def _kept_by(handler: logging.Handler, name: str) -> logging.Logger:
    """Return a logger of its own for a run, whose lines go on to the handlers of the test as well."""
    logger = logging.Logger(name, logging.DEBUG)
    logger.parent = logging.getLogger(name)
    logger.addHandler(handler)
    return logger


class _StaysOn(logging.Logger):
    """What Prefect's ``get_run_logger()`` returns where it is switched off: it would be switched off, too."""

    disabled = property(lambda _self: False, lambda _self, _value: None)


@contextmanager
def _run_logger(logger: logging.Logger) -> Iterator[None]:
    """Have ``get_run_logger()`` work without a run of Prefect, where somebody may call it."""
    if "prefect.logging" not in sys.modules:
        yield
        return
    known, stays_on = logging.Logger.manager.loggerDict, _StaysOn("null", logging.DEBUG)
    stays_on.parent = logger
    before = known.get("null")
    known["null"] = stays_on
    try:
        with import_module("prefect.logging").disable_run_logger():
            yield
    finally:
        del known["null"]
        if before is not None:
            known["null"] = before


def _resolving() -> Callable[[Any], Any]:
    """Return what takes futures and states of Prefect for their values; nothing can be one where it is not imported."""
    if "prefect" not in sys.modules:
        return lambda result: result
    resolve: Callable[[Any], Any] = import_module("flows.prefect_flow").resolved
    return resolve
