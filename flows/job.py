"""The Job class: variables, a ``Meta`` and ``run()``, and what a Job can use while it runs.

* Variables are class attributes. Those in ``Meta.field_order`` come first, then the base classes', then its own.
* A variable may not have the name of an attribute that every Job has, or a name that Prefect reserves.
* ``definition()`` refuses a Job that cannot work, with a message for the author, before anyone can request it; a class
  that cannot be registered can be written, so that it costs no other class of its module.
* ``run()`` has a logger, the user, the request and the job result. Outside a run there is a plain logger, and the
  others are None or empty.
* A Job knows its ``name``, ``description``, ``grouping`` and ``class_path``, unless it has a variable of that name.
* ``fail()`` marks the run as failed and continues; it may be called any number of times.
* ``create_file()`` keeps a file with the job result, or raises; outside a run it is checked and kept nowhere.
* What runs call besides ``run()`` is in ``flows.execution``: a Job may define ``before_start()``, ``on_success()``,
  ``on_failure()`` and ``after_return()``. What is known elsewhere and is not called here is refused.
* A receiver is a Job whose ``run()`` is given: it calls ``receive_job_hook()`` or ``receive_job_button()``, with the
  arguments that Nautobot documents, by name. One whose ``receive_job_hook()`` takes one argument gets the event.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, JsonValue
from pydantic_core import PydanticCustomError

from approval_gate.errors import Invalid
from flows import absent
from flows.definition import JobDefinition, define, path_of, read_meta
from flows.files import LARGEST_FILE, UNNAMEABLE, is_file_name, too_large
from flows.inputs import SENTENCES, read_inputs, told
from flows.objects import Object
from flows.source import Code, code_of
from flows.variables import BadJob, DryRunVar, JSONVar, StringVar, Variable, build_model

SUCCESS, FAILURE = 25, 35
"""Log levels of Jobs, besides Python's: something succeeded; something failed, but the Job continues."""

logging.addLevelName(SUCCESS, "SUCCESS")
logging.addLevelName(FAILURE, "FAILURE")


class JobLogger(logging.LoggerAdapter["logging.Logger | logging.LoggerAdapter[Any]"]):
    """A logger with the log levels of Jobs, which wraps any other logger.

    With ``extra={"skip_db_logging": True}`` a line goes to the terminal of the worker only, and
    ``extra={"grouping": …}`` says under which heading it is shown, and ``extra={"object": …}`` what it is about
    (``flows.log_objects``). Everything in ``extra`` is passed on to the log records.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line; see ``logging``."""
        extra = dict(kwargs.pop("extra", None) or {})
        to = self.under(str(extra.get("grouping") or ""), level)
        if not to.isEnabledFor(level):
            return
        if extra.get("skip_db_logging"):
            extra["send_to_api"] = False
        # Not this method is where the line comes from, but who called it.
        stacklevel = kwargs.pop("stacklevel", 1) + 1
        to.log(level, msg, *args, extra=extra, stacklevel=stacklevel, **kwargs)

    def under(self, _grouping: str, _level: int, /) -> logging.Logger | logging.LoggerAdapter[Any]:
        """Return the logger of a line of this level under a heading; empty for that of ``run()``."""
        return self.logger

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
class RunRequest:
    """What a run was called with, as Jobs of other systems know it.

    Args:
        id: the id of the job result; empty outside a run.
        args: always empty, for inputs are passed by name.
        kwargs: the inputs.
    """

    id: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class RunResult(dict[str, Any]):
    """The job result of a run: a dictionary as the API answers it, whose keys are attributes too.

    Args:
        answer: the answer of the API.
        user: the user that the run executes as, which is what ``user`` is as an attribute.
    """

    def __init__(self, answer: Mapping[str, Any], user: RunUser | None = None) -> None:
        super().__init__(answer)
        self._user = user

    @property
    def user(self) -> RunUser | None:
        """The user that the run executes as."""
        return self._user

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"A job result has no {name!r}.")
        return RunResult(found) if isinstance(found := self[name], dict) else found


def _no_secret(name: str) -> Any:
    raise LookupError(f"There is no secret called {name!r} outside a run.")


def _no_object(kind: str, key: str) -> Any:
    raise LookupError(f"There is no {kind} {key} outside a run.")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """What a runner gives to a Job.

    Args:
        logger: the logger of the run.
        user: the user it runs as; None if an event started it.
        job_result: the server's description of this run; None outside a run.
        inputs: the inputs.
        keep_file: keeps a file with the job result, by its name and its content; raises ``ValueError`` if it is
            refused, and ``OSError`` if it cannot be kept.
        largest_file: how many bytes such a file may have.
        read_secret: returns a secret by its name; raises ``LookupError`` if there is none, and ``OSError`` if it
            cannot be read.
        read_object: returns an object of ours by its type and its id, as the API answers it to the user of the run;
            raises likewise.
    """

    logger: JobLogger
    user: RunUser | None
    job_result: RunResult | None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    keep_file: Callable[[str, bytes], None] = lambda _name, _content: None
    largest_file: int = LARGEST_FILE
    read_secret: Callable[[str], Any] = _no_secret
    read_object: Callable[[str, str], Mapping[str, Any]] = _no_object


class _Known:
    """What its definition says of a Job, as class and as instance; what is called so in a subclass takes its place."""

    def __set_name__(self, owner: type[Job], name: str) -> None:
        self._name = name

    def __get__(self, instance: Job | None, owner: type[Job]) -> str:
        return str(getattr(owner.definition(), self._name))


_INSTANCE_ATTRIBUTES = ("failures", "job_result", "logger", "self", "user")
"""The attributes of every Job instance."""

_HOOKS: Mapping[str, tuple[str, ...]] = {
    "before_start": ("task_id", "args", "kwargs"),
    "on_success": ("retval", "task_id", "args", "kwargs"),
    "on_failure": ("exc", "task_id", "args", "kwargs", "einfo"),
    "after_return": ("status", "retval", "task_id", "args", "kwargs", "einfo"),
}
"""What a run calls besides ``run()``, and with which arguments, in this order."""

_KNOWN = (
    *("class_path", "create_file", "description", "grouping", "load_json", "load_yaml", "name", "request", "secret"),
    *_HOOKS,
)
"""The attributes that a variable may take the place of: Jobs have variables of these names."""

_CHANGE = ("change", "action", "changed_object")
"""The documented arguments of ``receive_job_hook()``."""

_NEVER_CALLED = ("autoretry_for", "default_retry_delay", "max_retries", "on_retry", "retry_backoff", "retry_kwargs")
"""What Jobs of other systems say about runs that are executed again."""

_RESERVED_BY_PREFECT = ("return_state", "wait_for")
"""The parameter names that Prefect reserves."""


class Job:
    """The base class of Jobs. A subclass declares variables and a ``Meta``, and defines ``run()``."""

    is_job_hook_receiver: ClassVar[bool] = False
    is_job_button_receiver: ClassVar[bool] = False
    _model: ClassVar[type[BaseModel]]
    _definition: ClassVar[JobDefinition]
    _code: ClassVar[Code]

    name = _Known()
    description = _Known()
    grouping = _Known()
    class_path = _Known()

    def __init__(self) -> None:
        logger = JobLogger(logging.getLogger(type(self).__module__))
        self.bind(RunContext(logger=logger, user=None, job_result=None))
        self.failures: list[str] = []

    def bind(self, context: RunContext) -> None:
        """Connect the Job to a run."""
        self.logger, self.user, self.job_result = context.logger, context.user, context.job_result
        self._keep_file, self._largest_file = context.keep_file, context.largest_file
        self._read_secret, self._read_object = context.read_secret, context.read_object
        self._run_id = "" if context.job_result is None else str(context.job_result["id"])
        if not hasattr(type(self), "request"):
            self.request = RunRequest(id=self._run_id, kwargs=context.inputs)

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Prepare the run; what this raises is a failure, and ``run()`` is not called.

        Args:
            task_id: the id of the job result.
            args: always empty.
            kwargs: the inputs.
        """

    def on_success(self, retval: Any, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what is to be done after a success; what this raises is a failure.

        Args:
            retval: what ``run()`` returned.
            task_id: the id of the job result.
            args: always empty.
            kwargs: the inputs.
        """

    def on_failure(
        self, exc: Exception, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: Any
    ) -> Any:
        """Do what is to be done after a failure.

        Args:
            exc: what was raised; ``flows.JobFailed`` after ``fail()``.
            task_id: the id of the job result.
            args: always empty.
            kwargs: the inputs.
            einfo: the exception with its traceback as text (``flows.execution.ExceptionInfo``).
        """

    def after_return(
        self, status: str, retval: Any, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], einfo: Any
    ) -> Any:
        """Do what is to be done at the end, however the run ended.

        Args:
            status: ``SUCCESS`` or ``FAILURE``.
            retval: what ``run()`` returned, or the exception.
            task_id: the id of the job result.
            args: always empty.
            kwargs: the inputs.
            einfo: as in ``on_failure()``; None after a success.
        """

    def load_yaml(self, filename: str) -> Any:
        """Return what a YAML file beside the Job's module has.

        Args:
            filename: its name, or its path from the folder of the module.

        Raises:
            OSError: it cannot be read.
            yaml.YAMLError: it is no YAML.
        """
        return yaml.safe_load(self._beside(filename).read_text(encoding="utf-8"))

    def load_json(self, filename: str) -> Any:
        """Return what a JSON file beside the Job's module has; see ``load_yaml()``."""
        return json.loads(self._beside(filename).read_text(encoding="utf-8"))

    def create_file(self, filename: str, content: str | bytes) -> None:
        """Make a file of the job result, which those who may view that can download. It goes with the job result.

        Args:
            filename: its name, which is no path.
            content: what it has; text is written as UTF-8.

        Raises:
            ValueError: it cannot be called so, or it is too large (``SIGNOFF_FILE_BYTES`` of the server).
            TypeError: the content is neither text nor bytes.
            OSError: the server, which keeps it, does not answer.
        """
        if not is_file_name(filename):
            raise ValueError(f"{filename!r}: {UNNAMEABLE}")
        if not isinstance(content, str | bytes | bytearray):
            raise TypeError(f"{filename}: the content of a file is text or bytes, not {type(content).__name__}.")
        written = content.encode() if isinstance(content, str) else bytes(content)
        if fault := too_large(len(written), self._largest_file):
            raise ValueError(f"{filename}: {fault}")
        self._keep_file(filename, written)
        self.logger.info("Created the file %s (%d bytes).", filename, len(written), stacklevel=2)

    def secret(self, name: str) -> Any:
        """Return the value of a secret, which Prefect keeps in a block of the type Secret.

        It is read with the credential of the run. What becomes of it is up to the Job: nothing keeps it from a log.

        Args:
            name: the name of the block.

        Raises:
            LookupError: there is none of that name.
            OSError: Prefect does not answer.
        """
        return self._read_secret(name)

    def _beside(self, filename: str) -> Path:
        module = sys.modules[type(self).__module__]
        return Path(module.__file__ or "").parent / filename

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
        declared = cls._declared()
        ordered = dict.fromkeys((*(name for name in stated.get("field_order", ()) if name in declared), *declared))
        variables = {name: declared[name] for name in ordered}
        if stated.get("dryrun_default") and isinstance(variables.get("dryrun"), DryRunVar):
            variables["dryrun"] = replace(variables["dryrun"], default=True)
        return variables

    @classmethod
    def _declared(cls) -> dict[str, Variable]:
        """Return the variables by name, in the order in which they are declared, base classes first."""
        names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
        # Without asking the class what it knows: that is made of its variables.
        found = {name: inspect.getattr_static(cls, name, None) for name in names}
        return {name: each for name, each in found.items() if isinstance(each, Variable)}

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
            for fault in (*_faults(cls), *absent.faults(cls, path_of(cls))):
                raise fault
            variables = cls.variables()
            _check_code(cls, variables)
            _check_defaults(cls, variables)
            cls._code = code_of(cls)
            cls._definition = define(
                cls,
                variables,
                cls.parameter_schema(),
                cls._code,
                receiver=cls.is_job_hook_receiver,
                button=cls.is_job_button_receiver,
            )
        return cls._definition


class JobHookReceiver(Job):
    """A Job that job hooks and events of Prefect start, not people. A subclass defines ``receive_job_hook()``.

    A job hook starts it with a change of an object; an automation of Prefect with any event, which has no action and
    no object.
    """

    is_job_hook_receiver = True

    event = JSONVar(description="The event that started this Job.")

    def run(self, *, event: dict[str, Any]) -> Any:
        if takes_event(type(self)):
            return self.receive_job_hook(event)
        change = Object(event)
        there = change.get("changed_object")
        return self.receive_job_hook(
            change=change,
            action=str(change.get("action") or ""),
            changed_object=Object(there) if isinstance(there, dict) else None,
        )

    def receive_job_hook(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work. It is called with three arguments by name, or, if it takes one, with the event.

        * ``change``: the event, in Prefect's JSON form; a mapping with attributes.
        * ``action``: ``create``, ``update`` or ``delete``; empty for an event that no job hook has sent.
        * ``changed_object``: what was changed, a mapping with attributes: its ``id``, ``object_type``, ``name``
          and ``url``, whether it is ``enabled`` or its ``status``, and its ``job``. None if it is gone.
        """
        raise NotImplementedError(f"{path_of(type(self))} must define receive_job_hook().")


class JobButtonReceiver(Job):
    """A Job that buttons on pages start, for the object of the page. A subclass defines ``receive_job_button()``."""

    is_job_button_receiver = True

    object_pk = StringVar(label="Object", description="The id of the object.")
    object_model_name = StringVar(label="Type", description="The type of the object, like extras.jobresult.")

    def run(self, *, object_pk: str, object_model_name: str) -> Any:
        return self.receive_job_button(obj=Object(self._read_object(object_model_name, object_pk)))

    def receive_job_button(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work. It is called with ``obj``, by name.

        That is the object of the page, as the API answers it to the user of the run; a mapping with attributes.
        """
        raise NotImplementedError(f"{path_of(type(self))} must define receive_job_button().")


def takes_event(job_class: type[JobHookReceiver]) -> bool:
    """Say whether a receiver takes the event alone, and not the documented arguments."""
    function = job_class.receive_job_hook
    if callable(function) and "event" in [*inspect.signature(function).parameters][1:2]:
        return True
    return not _can_be_called(function, (), dict.fromkeys(_CHANGE)) and _can_be_called(function, ("event",), {})


def _can_be_called(function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(None, *arguments, **named)
    except TypeError:
        return False
    return True


def validate(job_class: type[Job], data: object, zone: tzinfo = UTC, *, look_up: bool = False) -> dict[str, JsonValue]:
    """Return the complete inputs of a Job in JSON form, with defaults filled in (contract 9.12).

    Args:
        job_class: the Job.
        data: the inputs as sent, as JSON or by a form.
        zone: the time zone of times that name none.
        look_up: whether the sources of objects are asked if they have them.

    Raises:
        Invalid: the inputs are invalid; with the sentences of contract 4.
        TooLarge: the inputs are too large.
        Unavailable: a source of objects cannot be read.
    """
    return read_inputs(job_class.model(), data, zone, look_up=look_up)


def validate_again(job_class: type[Job], stored: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the complete inputs of a Job that were stored, as its variables of today read them.

    Args:
        job_class: the Job.
        stored: what ``validate()`` has returned, perhaps when the Job had other variables.

    Raises:
        Invalid: they do not fit its variables any more; with the sentences of contract 4.
        TooLarge: the inputs are too large.
    """
    return validate(job_class, send_again(job_class, stored))


def send_again(job_class: type[Job], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored inputs of a Job as they are to be sent, so that ``validate()`` returns the same."""
    variables = job_class.variables()
    return {name: variables[name].sent_again(each) if name in variables else each for name, each in stored.items()}


def arguments_of(job_class: type[Job], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``run()`` is called with: objects where inputs are stored as the text of one.

    Args:
        job_class: the Job.
        inputs: the complete inputs in JSON form.

    Raises:
        Invalid: a source does not have an object any more; with the sentences of contract 4.
        Unavailable: a source of objects cannot be read.
    """
    variables, given = job_class.variables(), dict(inputs)
    faults: dict[str, list[str]] = {}
    for name in variables.keys() & inputs.keys():
        try:
            given[name] = variables[name].argument(inputs[name])
        except PydanticCustomError as error:
            faults[name] = [told(error)]
    if faults:
        raise Invalid({"errors": faults})
    return given


def _faults(job_class: type[Job]) -> Iterator[BadJob]:
    """Yield what is wrong with the variables, which is told when the class is registered."""
    path = path_of(job_class)
    for name, each in ((name, each) for base in job_class.__mro__ for name, each in vars(base).items()):
        if isinstance(each, type) and issubclass(each, Variable) and each.__name__ != name:
            yield BadJob(f"{path}.{name} is no variable yet: write {each.__name__}(…).", name)
        if not isinstance(each, Variable):
            continue
        if each.problem:
            yield BadJob(f"{path}.{name}: {each.problem}", name)
        if name[0] == "_" or name in _INSTANCE_ATTRIBUTES or (name not in _KNOWN and hasattr(Job, name)):
            yield BadJob(f"{path}: a variable cannot be called {name}; every Job has that attribute.", name)
        if name in _RESERVED_BY_PREFECT:
            yield BadJob(f"{path}: a variable cannot be called {name}; Prefect reserves that name.", name)


def _check_code(job_class: type[Job], variables: Mapping[str, Variable]) -> None:
    entry, parent = _entry(job_class)
    code = getattr(job_class, entry)
    if code is getattr(parent, entry):
        raise BadJob(f"{path_of(job_class)} must define {entry}().")
    for name in _NEVER_CALLED:
        if hasattr(job_class, name) and name not in variables:
            raise BadJob(f"{path_of(job_class)}.{name} has no effect: a run executes once. Remove it.", name)
    for name, (arguments, named, what) in _called(job_class, variables).items():
        function = getattr(job_class, name)
        if not callable(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise BadJob(f"{path_of(job_class)}.{name} must be a function without yield.", name)
        try:
            inspect.signature(function).bind(None, *arguments, **named)
        except TypeError as error:
            sentence = f"{path_of(job_class)}.{name}() cannot be called with {what}: {error}."
            raise BadJob(sentence, name) from error


def _entry(job_class: type[Job]) -> tuple[str, type[Job]]:
    """Return what a Job must define, and the class that defines it for nothing."""
    if job_class.is_job_hook_receiver:
        return "receive_job_hook", JobHookReceiver
    if job_class.is_job_button_receiver:
        return "receive_job_button", JobButtonReceiver
    return "run", Job


def _called(
    job_class: type[Job], variables: Mapping[str, Variable]
) -> dict[str, tuple[tuple[str, ...], dict[str, Any], str]]:
    """Return what a run calls: by name the arguments by position, those by name, and what a refusal calls them."""
    called: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
        "run": ((), dict.fromkeys(variables), "its variables"),
        **{
            name: (arguments, {}, f"({', '.join(arguments)})")
            for name, arguments in _HOOKS.items()
            if name not in variables
        },
    }
    if issubclass(job_class, JobHookReceiver):
        documented = ((), dict.fromkeys(_CHANGE), f"({', '.join(_CHANGE)})")
        called["receive_job_hook"] = (("event",), {}, "(event)") if takes_event(job_class) else documented
    if job_class.is_job_button_receiver:
        called["receive_job_button"] = ((), {"obj": None}, "(obj)")
    return called


def _check_defaults(job_class: type[Job], variables: Mapping[str, Variable]) -> None:
    try:
        validate(job_class, {name: each.default for name, each in variables.items() if each.default is not None})
    except Invalid as refusal:
        errors = refusal.detail["errors"]  # type: ignore[index]  # the structure of contract 4
        for name, sentences in errors.items() if isinstance(errors, dict) else [("all variables", errors)]:
            if sentences != [SENTENCES["missing"]]:
                sentence = f"{path_of(job_class)}: the default of {name} is invalid: {sentences[0]}"
                raise BadJob(sentence, name) from None
