"""A Job: a class with variables, a ``Meta`` and ``run()``, and what its author may count on while it runs.

* Variables are class attributes: those in ``Meta.field_order`` come first, then its bases', then its own.
* No variable is called like something that every Job has.
* ``Meta`` is inherited setting by setting, except ``name``, which says what one class is called.
* ``definition()`` refuses what cannot work, in a sentence for the author, before anybody can ask for the Job.
* What can work but is likely not meant is a warning of the definition.
* Within ``run()`` there are a logger, the user and the job result; without a runner, a plain logger and None.
* ``fail()`` may be called any number of times: it marks the run as failed and goes on.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import BaseModel, JsonValue

from approval_gate.errors import Invalid
from flows.variables import (
    SENTENCES,
    BadJob,
    DryRunVar,
    JSONVar,
    Variable,
    build_model,
    describe,
    read_inputs,
)

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


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDefinition:
    """All that is to be known of a Job without its code; the settings are those of its ``Meta``.

    Args:
        module_name: the module that defines it.
        job_class_name: its class there.
        grouping: what it is listed under.
        approval_required: never true of a receiver of job hooks, whatever its ``Meta`` says.
        soft_time_limit: seconds; 0 for no limit.
        time_limit: seconds; 0 for no limit.
        job_queues: where it may run; none means the default queue.
        supports_dryrun: it has a ``DryRunVar`` called ``dryrun``.
        code_digest: SHA-256 of the source of its module, in hexadecimal; empty when there is no source.
        variables: as the API shows them (contract 3).
        parameter_schema: the JSON schema of its inputs.
        warnings: sentences for the people who install it.
    """

    module_name: str
    job_class_name: str
    grouping: str
    name: str
    description: str = ""
    approval_required: bool = False
    has_sensitive_variables: bool = True
    dryrun_default: bool = False
    hidden: bool = False
    read_only: bool = False
    is_singleton: bool = False
    soft_time_limit: float = 0.0
    time_limit: float = 0.0
    job_queues: tuple[str, ...] = ()
    supports_dryrun: bool = False
    is_job_hook_receiver: bool = False
    code_digest: str = ""
    variables: tuple[dict[str, Any], ...] = ()
    parameter_schema: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def class_path(self) -> str:
        return f"{self.module_name}.{self.job_class_name}"


_GIVEN = ("failures", "job_result", "logger", "self", "user")
"""What the instances of Jobs have."""


class Job:
    """What an author subclasses: declare variables and a ``Meta``, and define ``run``."""

    is_job_hook_receiver: ClassVar[bool] = False
    _model: ClassVar[type[BaseModel]]
    _definition: ClassVar[JobDefinition]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, each in ((name, each) for base in cls.__mro__ for name, each in vars(base).items()):
            if isinstance(each, Variable) and (name[0] == "_" or name in _GIVEN or hasattr(Job, name)):
                raise BadJob(
                    f"{_path(cls)}: a variable cannot be called {name}; every Job has that, or may have."
                )

    def __init__(self) -> None:
        logger = JobLogger(logging.getLogger(type(self).__module__))
        self.bind(RunContext(logger=logger, user=None, job_result=None))
        self.failures: list[str] = []

    def bind(self, context: RunContext) -> None:
        """Put the Job into a run."""
        self.logger, self.user, self.job_result = context.logger, context.user, context.job_result

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work. The variables arrive by name; what is returned is the result, in JSON form."""
        raise NotImplementedError(f"{_path(type(self))} must define run().")

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
        stated = _settings(cls)
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
            cls._definition = _define(cls)
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
        raise NotImplementedError(f"{_path(type(self))} must define receive_job_hook().")


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


def variables_description(job_class: type[Job]) -> list[dict[str, Any]]:
    """Return the variables of a Job as the API shows them (contract 3)."""
    return describe(job_class.variables())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and value == value.strip() and value.isprintable()


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and value >= 0  # type: ignore[arg-type, operator]


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_name, value))


_FLAGS = (
    "approval_required",
    "dryrun_default",
    "has_sensitive_variables",
    "hidden",
    "is_singleton",
    "read_only",
)
_META: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "name": (_is_name, "a text of 1 to 255 printable characters, without white space around it"),
    "description": (_is_text, "a text"),
    "soft_time_limit": (_is_seconds, "a number of seconds, 0 or more"),
    "time_limit": (_is_seconds, "a number of seconds, 0 or more"),
    "job_queues": (_are_names, "a list of names of queues"),
    "field_order": (_are_names, "a list of names of variables"),
    **dict.fromkeys(_FLAGS, (_is_flag, "True or False")),
}
"""The settings of ``Meta``: how a value is checked, and what it must be."""

_ALIASES = {"task_queues": "job_queues"}
_IGNORED = {"console_log_default", "template_name"}  # known to authors, but of pages that are not ours


def _settings(job_class: type[Job]) -> dict[str, Any]:
    """Return what the ``Meta`` of a Job and of its bases state; the nearest wins."""
    stated: dict[str, Any] = {}
    for base in reversed(job_class.__mro__):
        for layer in reversed(vars(base)["Meta"].__mro__ if "Meta" in vars(base) else ()):
            own = {key: value for key, value in vars(layer).items() if key[0] != "_" and key not in _IGNORED}
            stated |= {_ALIASES.get(key, key): _checked(job_class, key, value) for key, value in own.items()}
    stated.pop("name", None)
    mine = vars(vars(job_class).get("Meta", object))
    return stated | ({"name": mine["name"]} if "name" in mine else {})


def _checked(job_class: type[Job], key: str, value: object) -> object:
    known = [*_META, *_ALIASES]
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadJob(f"{_path(job_class)}: Meta has no setting {key}.{hint}")
    check, expected = _META[_ALIASES.get(key, key)]
    if not check(value):
        raise BadJob(f"{_path(job_class)}: Meta.{key} must be {expected}, not {value!r}.")
    return value


def _define(job_class: type[Job]) -> JobDefinition:
    stated = _settings(job_class)
    variables = job_class.variables()
    for name in stated.pop("field_order", ()):
        if name not in variables:
            raise BadJob(f"{_path(job_class)}: Meta.field_order names {name}, which is no variable of it.")
    _check_code(job_class, variables)
    _check_defaults(job_class, variables)
    settings: dict[str, Any] = {"name": job_class.__name__, **stated}
    settings["description"] = inspect.cleandoc(settings.get("description", ""))
    settings["job_queues"] = tuple(dict.fromkeys(settings.get("job_queues", ())))
    definition = JobDefinition(
        **settings,
        module_name=job_class.__module__,
        job_class_name=job_class.__name__,
        grouping=_grouping(job_class),
        supports_dryrun=isinstance(variables.get("dryrun"), DryRunVar),
        is_job_hook_receiver=job_class.is_job_hook_receiver,
        code_digest=_digest(job_class),
        variables=tuple(describe(variables)),
        parameter_schema=job_class.parameter_schema(),
    )
    definition = replace(definition, warnings=tuple(_warnings(definition, variables)))
    return replace(definition, approval_required=False) if definition.is_job_hook_receiver else definition


def _check_code(job_class: type[Job], variables: Mapping[str, Variable]) -> None:
    entry = "receive_job_hook" if job_class.is_job_hook_receiver else "run"
    parent = JobHookReceiver if job_class.is_job_hook_receiver else Job
    code = getattr(job_class, entry)
    if code is getattr(parent, entry):
        raise BadJob(f"{_path(job_class)} must define {entry}().")
    if (
        inspect.iscoroutinefunction(code)
        or inspect.isgeneratorfunction(code)
        or inspect.isasyncgenfunction(code)
    ):
        raise BadJob(f"{_path(job_class)}.{entry}() must be a plain function: no async, no yield.")
    try:
        inspect.signature(job_class.run).bind(None, **dict.fromkeys(variables))
    except TypeError as error:
        raise BadJob(f"{_path(job_class)}.run() cannot be called with its variables: {error}.") from error


def _check_defaults(job_class: type[Job], variables: Mapping[str, Variable]) -> None:
    try:
        validate(
            job_class, {name: each.default for name, each in variables.items() if each.default is not None}
        )
    except Invalid as refusal:
        errors = refusal.detail["errors"]  # type: ignore[index]  # the structure of contract 4
        for name, sentences in errors.items() if isinstance(errors, dict) else [("all variables", errors)]:
            if sentences != [SENTENCES["missing"]]:
                raise BadJob(
                    f"{_path(job_class)}: the default of {name} is refused: {sentences[0]}"
                ) from None


def _grouping(job_class: type[Job]) -> str:
    grouping = getattr(sys.modules.get(job_class.__module__), "name", job_class.__module__)
    if not _is_name(grouping):
        raise BadJob(
            f"{job_class.__module__}: the module's name must be {_META['name'][1]}, not {grouping!r}."
        )
    return str(grouping)


def _digest(job_class: type[Job]) -> str:
    try:
        source = inspect.getsource(sys.modules[job_class.__module__])
    except (KeyError, OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()


def _warnings(definition: JobDefinition, variables: Mapping[str, Variable]) -> Iterator[str]:
    path = definition.class_path
    if definition.is_job_hook_receiver and definition.approval_required:
        yield f"{path}: approval_required is ignored, because events and not people start this Job."
    elif definition.approval_required and definition.has_sensitive_variables:
        yield (
            f"{path}: approval_required and has_sensitive_variables (on unless set to False) exclude "
            "each other; until one of them is taken back, every request to run this Job is refused."
        )
    if 0 < definition.time_limit <= definition.soft_time_limit:
        yield f"{path}: soft_time_limit never takes effect, because time_limit is not longer."
    for name, variable in variables.items():
        if isinstance(variable, DryRunVar) and name != "dryrun":
            yield f"{path}: {name} makes no dry run possible; a DryRunVar does that when it is called dryrun."
    if definition.dryrun_default and not definition.supports_dryrun:
        yield f"{path}: dryrun_default means nothing without a DryRunVar called dryrun."


def _path(job_class: type[Job]) -> str:
    return f"{job_class.__module__}.{job_class.__name__}"
