"""The Job class: variables, a ``Meta`` and ``run()``, and what a Job can use while it runs.

* Variables are class attributes. Those in ``Meta.field_order`` come first, then the base classes', then its own.
* A variable may not have the name of an attribute that every Job has, or a name that Prefect reserves.
* ``definition()`` refuses a Job that cannot work, with a message for the author, before anyone can request it.
* ``run()`` has a logger, the user and the job result. Outside a run they are a plain logger, None and None.
* ``fail()`` marks the run as failed and continues; it may be called any number of times.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import BaseModel, JsonValue

from approval_gate.errors import Invalid
from flows.definition import JobDefinition, define, path_of, read_meta
from flows.inputs import SENTENCES, read_inputs
from flows.source import Code, code_of
from flows.variables import BadJob, DryRunVar, JSONVar, Variable, build_model

SUCCESS, FAILURE = 25, 35
"""Log levels of Jobs, besides Python's: something succeeded; something failed, but the Job continues."""

logging.addLevelName(SUCCESS, "SUCCESS")
logging.addLevelName(FAILURE, "FAILURE")


class JobLogger(logging.LoggerAdapter["logging.Logger | logging.LoggerAdapter[Any]"]):
    """A logger with the log levels of Jobs, which wraps any other logger.

    ``extra={"grouping": …, "object": …}`` is passed on to the log records.
    """

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs

    def success(self, message: str, *args: object, stacklevel: int = 1, **kwargs: Any) -> None:
        """Log a success."""
        self.log(SUCCESS, message, *args, stacklevel=stacklevel + 1, **kwargs)

    def failure(self, message: str, *args: object, stacklevel: int = 1, **kwargs: Any) -> None:
        """Log a failure that does not stop the Job."""
        self.log(FAILURE, message, *args, stacklevel=stacklevel + 1, **kwargs)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunUser:
    """The user that a run executes as."""

    id: str
    username: str

    def __str__(self) -> str:
        return self.username


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """What a runner gives to a Job.

    Args:
        logger: the logger of the run.
        user: the user it runs as; None if an event started it.
        job_result: the server's description of this run.
    """

    logger: JobLogger
    user: RunUser | None
    job_result: Any


_INSTANCE_ATTRIBUTES = ("failures", "job_result", "logger", "self", "user")
"""The attributes of every Job instance."""

_RESERVED_BY_PREFECT = ("return_state", "wait_for")
"""The parameter names that Prefect reserves."""


class Job:
    """The base class of Jobs. A subclass declares variables and a ``Meta``, and defines ``run()``."""

    is_job_hook_receiver: ClassVar[bool] = False
    _model: ClassVar[type[BaseModel]]
    _definition: ClassVar[JobDefinition]
    _code: ClassVar[Code]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, each in ((name, each) for base in cls.__mro__ for name, each in vars(base).items()):
            if not isinstance(each, Variable):
                continue
            if name[0] == "_" or name in _INSTANCE_ATTRIBUTES or hasattr(Job, name):
                raise BadJob(f"{path_of(cls)}: a variable cannot be called {name}; every Job has that attribute.")
            if name in _RESERVED_BY_PREFECT:
                raise BadJob(f"{path_of(cls)}: a variable cannot be called {name}; Prefect reserves that name.")

    def __init__(self) -> None:
        logger = JobLogger(logging.getLogger(type(self).__module__))
        self.bind(RunContext(logger=logger, user=None, job_result=None))
        self.failures: list[str] = []

    def bind(self, context: RunContext) -> None:
        """Connect the Job to a run."""
        self.logger, self.user, self.job_result = context.logger, context.user, context.job_result

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work. The inputs are passed by name; the return value becomes the result, in JSON form."""
        raise NotImplementedError(f"{path_of(type(self))} must define run().")

    def fail(self, message: str, *args: object, **kwargs: Any) -> None:
        """Log a failure and mark the run as failed, but continue.

        Args:
            message: what went wrong, with %-placeholders as in ``logging``.
            args: the values of the placeholders.
            kwargs: as in ``logging``.
        """
        self.logger.failure(message, *args, stacklevel=2, **kwargs)
        # A log record formats the message as logging does, including a single dict as the arguments.
        record = logging.LogRecord("", FAILURE, "", 0, message, args, None)
        self.failures.append(record.getMessage())

    @classmethod
    def variables(cls) -> dict[str, Variable]:
        """Return the variables by name, in the order of the form.

        Raises:
            BadJob: its ``Meta`` is invalid.
        """
        stated = read_meta(cls)
        declared = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
        ordered = dict.fromkeys((*stated.get("field_order", ()), *declared))
        found = {name: getattr(cls, name, None) for name in ordered}
        variables = {name: each for name, each in found.items() if isinstance(each, Variable)}
        if stated.get("dryrun_default") and isinstance(variables.get("dryrun"), DryRunVar):
            variables["dryrun"] = replace(variables["dryrun"], default=True)
        return variables

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Return the model that reads, validates and documents the inputs; it is built once."""
        if "_model" not in vars(cls):
            cls._model = build_model(cls.__name__, cls.variables())
        return cls._model

    @classmethod
    def parameter_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of the inputs, as Prefect stores it with a deployment."""
        schema = cls.model().model_json_schema(ref_template="#/definitions/{model}")
        return schema | {"definitions": schema.pop("$defs", {})}

    @classmethod
    def definition(cls) -> JobDefinition:
        """Return the definition of the Job; it is built once.

        Raises:
            BadJob: the Job cannot work as it is written.
        """
        if "_definition" not in vars(cls):
            variables = cls.variables()
            _check_code(cls, variables)
            _check_defaults(cls, variables)
            receiver = cls.is_job_hook_receiver
            cls._code = code_of(cls)
            cls._definition = define(cls, variables, cls.parameter_schema(), cls._code, receiver=receiver)
        return cls._definition


class JobHookReceiver(Job):
    """A Job that events of Prefect start, not people. A subclass defines ``receive_job_hook()``."""

    is_job_hook_receiver = True

    event = JSONVar(description="The event that started this Job.")

    def run(self, *, event: dict[str, Any]) -> Any:
        return self.receive_job_hook(event)

    def receive_job_hook(self, event: dict[str, Any]) -> Any:
        """Do the work.

        Args:
            event: the event, in Prefect's JSON form.
        """
        raise NotImplementedError(f"{path_of(type(self))} must define receive_job_hook().")


def validate(job_class: type[Job], data: object) -> dict[str, JsonValue]:
    """Return the complete inputs of a Job in JSON form, with defaults filled in (contract 9.12).

    Args:
        job_class: the Job.
        data: the inputs as sent, as JSON or by a form.

    Raises:
        Invalid: the inputs are invalid; with the sentences of contract 4.
        TooLarge: the inputs are too large.
    """
    return read_inputs(job_class.model(), data)


def _check_code(job_class: type[Job], variables: Mapping[str, Variable]) -> None:
    entry = "receive_job_hook" if job_class.is_job_hook_receiver else "run"
    parent = JobHookReceiver if job_class.is_job_hook_receiver else Job
    code = getattr(job_class, entry)
    if code is getattr(parent, entry):
        raise BadJob(f"{path_of(job_class)} must define {entry}().")
    if inspect.iscoroutinefunction(code) or inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
        raise BadJob(f"{path_of(job_class)}.{entry}() must be a plain function: no async, no yield.")
    try:
        inspect.signature(job_class.run).bind(None, **dict.fromkeys(variables))
    except TypeError as error:
        raise BadJob(f"{path_of(job_class)}.run() cannot be called with its variables: {error}.") from error


def _check_defaults(job_class: type[Job], variables: Mapping[str, Variable]) -> None:
    try:
        validate(job_class, {name: each.default for name, each in variables.items() if each.default is not None})
    except Invalid as refusal:
        errors = refusal.detail["errors"]  # type: ignore[index]  # the structure of contract 4
        for name, sentences in errors.items() if isinstance(errors, dict) else [("all variables", errors)]:
            if sentences != [SENTENCES["missing"]]:
                raise BadJob(f"{path_of(job_class)}: the default of {name} is invalid: {sentences[0]}") from None
