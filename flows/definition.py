"""What is to be known of a Job without its code: its ``Meta``, checked, and what follows from it.

* ``Meta`` is inherited setting by setting, except ``name``, which says what one class is called.
* A setting that does not exist, or whose value cannot be meant, is refused in a sentence for the author.
* What can work but is likely not meant is a warning of the definition.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from flows.inputs import is_storable
from flows.variables import BadJob, DryRunVar, Variable, describe


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
        approval_expires: seconds after which a request that nobody has decided about ends; 0 for never.
        job_queues: where it may run; none means the default queue.
        supports_dryrun: it has a ``DryRunVar`` called ``dryrun``.
        isolated: each run of it has an interpreter of its own, started from nothing.
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
    approval_expires: float = 0.0
    job_queues: tuple[str, ...] = ()
    supports_dryrun: bool = False
    is_job_hook_receiver: bool = False
    isolated: bool = False
    code_digest: str = ""
    variables: tuple[dict[str, Any], ...] = ()
    parameter_schema: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def class_path(self) -> str:
        return f"{self.module_name}.{self.job_class_name}"


LONGEST_WAIT = timedelta(days=3653)
"""How long a request can wait for a decision, if not for ever."""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and is_storable(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and value == value.strip() and value.isprintable()


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and value >= 0  # type: ignore[arg-type, operator]


def _is_duration(value: object) -> bool:
    return value is None or (isinstance(value, timedelta) and timedelta(seconds=1) <= value <= LONGEST_WAIT)


def is_queue_name(value: object) -> bool:
    """Say whether Prefect takes this as the name of a work queue."""
    return isinstance(value, str) and _is_name(value) and not any(c in "/%&><" for c in value)


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_name, value))


def _are_queues(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(is_queue_name, value))


_FLAGS = (
    "approval_required",
    "dryrun_default",
    "has_sensitive_variables",
    "hidden",
    "is_singleton",
    "isolated",
    "read_only",
)
_META: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "name": (_is_name, "a text of 1 to 255 printable characters, without white space around it"),
    "description": (_is_text, "a text without null characters and lone surrogates"),
    "soft_time_limit": (_is_seconds, "a number of seconds, 0 or more"),
    "time_limit": (_is_seconds, "a number of seconds, 0 or more"),
    "approval_expires": (_is_duration, "a timedelta from a second to ten years, or None"),
    "job_queues": (_are_queues, "a list of names of queues, without / % & > <"),
    "field_order": (_are_names, "a list of names of variables"),
    **dict.fromkeys(_FLAGS, (_is_flag, "True or False")),
}
"""The settings of ``Meta``: how a value is checked, and what it must be."""

_ALIASES = {"task_queues": "job_queues"}
_IGNORED = {"console_log_default", "template_name"}  # known to authors, but of pages that are not ours


def read_meta(job_class: type) -> dict[str, Any]:
    """Return what the ``Meta`` of a Job and of its bases state; the nearest wins.

    Raises:
        BadJob: a setting that is not known, or a value that it cannot have.
    """
    stated: dict[str, Any] = {}
    for base in reversed(job_class.__mro__):
        for layer in reversed(vars(base)["Meta"].__mro__ if "Meta" in vars(base) else ()):
            own = {key: value for key, value in vars(layer).items() if key[0] != "_" and key not in _IGNORED}
            stated |= {_ALIASES.get(key, key): _checked(job_class, key, value) for key, value in own.items()}
    stated.pop("name", None)
    mine = vars(vars(job_class).get("Meta", object))
    return stated | ({"name": mine["name"]} if "name" in mine else {})


def _checked(job_class: type, key: str, value: object) -> object:
    known = [*_META, *_ALIASES]
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadJob(f"{path_of(job_class)}: Meta has no setting {key}.{hint}")
    check, expected = _META[_ALIASES.get(key, key)]
    if not check(value):
        raise BadJob(f"{path_of(job_class)}: Meta.{key} must be {expected}, not {value!r}.")
    return value


def define(
    job_class: type, variables: Mapping[str, Variable], schema: Mapping[str, Any], *, receiver: bool
) -> JobDefinition:
    """Return the definition of a Job whose code has been checked.

    Args:
        job_class: the Job.
        variables: its variables, in the order of forms.
        schema: the JSON schema of its inputs.
        receiver: whether events and not people start it.

    Raises:
        BadJob: its ``Meta``, or the name of its module, is wrong.
    """
    stated = read_meta(job_class)
    for name in stated.pop("field_order", ()):
        if name not in variables:
            raise BadJob(f"{path_of(job_class)}: Meta.field_order names {name}, which is no variable of it.")
    named: dict[str, Any] = {"name": job_class.__name__, **stated}
    named["description"] = inspect.cleandoc(named.get("description", ""))
    expires = named.get("approval_expires")
    named["approval_expires"] = expires.total_seconds() if expires else 0.0
    named["job_queues"] = tuple(dict.fromkeys(named.get("job_queues", ())))
    definition = JobDefinition(
        **named,
        module_name=job_class.__module__,
        job_class_name=job_class.__name__,
        grouping=_grouping(job_class),
        supports_dryrun=isinstance(variables.get("dryrun"), DryRunVar),
        is_job_hook_receiver=receiver,
        code_digest=_digest(job_class),
        variables=tuple(describe(variables)),
        parameter_schema=schema,
    )
    definition = replace(definition, warnings=tuple(_warnings(definition, variables)))
    return replace(definition, approval_required=False) if receiver else definition


def _grouping(job_class: type) -> str:
    grouping = getattr(sys.modules.get(job_class.__module__), "name", job_class.__module__)
    if not _is_name(grouping):
        raise BadJob(f"{job_class.__module__}: the module's name must be {_META['name'][1]}, not {grouping!r}.")
    return str(grouping)


def _digest(job_class: type) -> str:
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


def path_of(job_class: type) -> str:
    """Return ``module.Class``."""
    return f"{job_class.__module__}.{job_class.__name__}"
