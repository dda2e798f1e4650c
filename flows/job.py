"""A Job: a class with variables, a ``Meta`` and ``run()``, and what its author may count on while it runs.

* Variables are class attributes: those in ``Meta.field_order`` come first, then its bases', then its own.
* No variable is called like something that every Job has, or that Prefect keeps for itself.
* ``definition()`` refuses what cannot work, in a sentence for the author, before anybody can ask for the Job.
* Within ``run()`` there are a logger, the user and the job result; without a runner, a plain logger and None.
* ``fail()`` may be called any number of times: it marks the run as failed and goes on.
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
from flows.variables import BadJob, DryRunVar, JSONVar, Variable, build_model

SUCCESS, FAILURE = 25, 35
"""Log levels besides those of Python: what went well as meant, and what did not but did not stop the Job."""

logging.addLevelName(SUCCESS, "SUCCESS")
logging.addLevelName(FAILURE, "FAILURE")


class JobLogger(logging.LoggerAdapter["logging.Logger | logging.LoggerAdapter[Any]"]):
    """A logger with the levels of Jobs, over any other.

    ``extra={"grouping": …, "object": …}`` reaches the log records as it is given.
    """

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs

    def success(self, message: str, *args: object, stacklevel: int = 1, **kwargs: Any) -> None:
        """Log what went well."""
        self.log(SUCCESS, message, *args, stacklevel=stacklevel + 1, **kwargs)

    def failure(self, message: str, *args: object, stacklevel: int = 1, **kwargs: Any) -> None:
        """Log what went wrong, though the Job goes on."""
        self.log(FAILURE, message, *args, stacklevel=stacklevel + 1, **kwargs)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunUser:
    """Who a run goes as."""

    id: str
    username: str

    def __str__(self) -> str:
        return self.username


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """What a runner gives to a Job.

    Args:
        logger: where the Job logs to.
        user: who it runs as; None when nobody stands behind the run.
        job_result: what the server says of this run.
    """

    logger: JobLogger
    user: RunUser | None
    job_result: Any


_GIVEN = ("failures", "job_result", "logger", "self", "user")
"""What the instances of Jobs have."""

_PREFECTS = ("return_state", "wait_for")
"""What Prefect does not let a parameter of a flow be called."""


class Job:
    """What an author subclasses: declare variables and a ``Meta``, and define ``run``."""

    is_job_hook_receiver: ClassVar[bool] = False
    _model: ClassVar[type[BaseModel]]
    _definition: ClassVar[JobDefinition]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, each in ((name, each) for base in cls.__mro__ for name, each in vars(base).items()):
            if not isinstance(each, Variable):
                continue
            if name[0] == "_" or name in _GIVEN or hasattr(Job, name):
                raise BadJob(f"{path_of(cls)}: a variable cannot be called {name}; every Job has that, or may have.")
            if name in _PREFECTS:
                raise BadJob(f"{path_of(cls)}: a variable cannot be called {name}; Prefect keeps that for itself.")

    def __init__(self) -> None:
        logger = JobLogger(logging.getLogger(type(self).__module__))
        self.bind(RunContext(logger=logger, user=None, job_result=None))
        self.failures: list[str] = []

    def bind(self, context: RunContext) -> None:
        """Put the Job into a run."""
        self.logger, self.user, self.job_result = context.logger, context.user, context.job_result

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work. The variables arrive by name; what is returned is the result, in JSON form."""
        raise NotImplementedError(f"{path_of(type(self))} must define run().")

    def fail(self, message: str, *args: object, **kwargs: Any) -> None:
        """Log a failure and let the run count as failed, but go on.

        Args:
            message: what went wrong, with the placeholders of logging.
            args: what fills them.
            kwargs: those of logging.
        """
        self.logger.failure(message, *args, stacklevel=2, **kwargs)
        # Filled in as logging does it, which takes a single dict as well.
        record = logging.LogRecord("", FAILURE, "", 0, message, args, None)
        self.failures.append(record.getMessage())

    @classmethod
    def variables(cls) -> dict[str, Variable]:
        """Return the variables by name, in the order of forms.

        Raises:
            BadJob: its ``Meta`` is wrong.
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
        """Return the model that reads, checks and describes the inputs; always the same one."""
        if "_model" not in vars(cls):
            cls._model = build_model(cls.__name__, cls.variables())
        return cls._model

    @classmethod
    def parameter_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of the inputs, as Prefect keeps it with a deployment."""
        schema = cls.model().model_json_schema(ref_template="#/definitions/{model}")
        return schema | {"definitions": schema.pop("$defs", {})}

    @classmethod
    def definition(cls) -> JobDefinition:
        """Return all that is to be known of the Job; always the same.

        Raises:
            BadJob: the Job is written in a way that cannot work.
        """
        if "_definition" not in vars(cls):
            variables = cls.variables()
            _check_code(cls, variables)
            _check_defaults(cls, variables)
            receiver = cls.is_job_hook_receiver
            cls._definition = define(cls, variables, cls.parameter_schema(), receiver=receiver)
        return cls._definition


class JobHookReceiver(Job):
    """A Job that an event of Prefect starts, and no person: define ``receive_job_hook``."""

    is_job_hook_receiver = True

    event = JSONVar(description="The event that started this Job.")

    def run(self, *, event: dict[str, Any]) -> Any:
        return self.receive_job_hook(event)

    def receive_job_hook(self, event: dict[str, Any]) -> Any:
        """Do the work.

        Args:
            event: the event as Prefect writes it in JSON.
        """
        raise NotImplementedError(f"{path_of(type(self))} must define receive_job_hook().")


def validate(job_class: type[Job], data: object) -> dict[str, JsonValue]:
    """Return the complete inputs of a Job in JSON form, defaults filled in (contract 9.12).

    Args:
        job_class: the Job.
        data: what was sent, from JSON or from a form.

    Raises:
        Invalid: with the sentences of contract 4.
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
                raise BadJob(f"{path_of(job_class)}: the default of {name} is refused: {sentences[0]}") from None
