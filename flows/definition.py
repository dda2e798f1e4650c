"""Job definitions: what the server needs to know about a Job without running its code.

* ``Meta`` is inherited setting by setting, except ``name``, which belongs to one class.
* A setting that does not exist or has an invalid value is refused with a message for the author.
* A combination that works but is probably a mistake is a warning of the definition.
"""

from __future__ import annotations

import difflib
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from approval_gate.admission import Overlap
from approval_gate.verdicts import RESERVED_TAGS
from flows.expressions import is_linear
from flows.inputs import is_storable
from flows.source import Code, module_digest
from flows.variables import BadJob, DryRunVar, StringVar, Variable, describe


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDefinition:
    """What is known about a Job without its code; the settings are those of its ``Meta``.

    Args:
        module_name: the module that defines it.
        job_class_name: the name of its class.
        grouping: the heading under which it is listed.
        approval_required: always false for a ``JobHookReceiver``, whatever its ``Meta`` says.
        soft_time_limit: seconds; 0 for no limit.
        time_limit: seconds; 0 for no limit.
        approval_expires: seconds after which an undecided request expires; 0 for never.
        overlap: what becomes of a run that would begin while another one is under way.
        job_queues: the queues it may run on; empty for the default queue.
        tags: words by which people find it, and its runs in Prefect.
        dryrun_is_safe: whether its dry runs change nothing, so that agents may make them without being approved.
        supports_dryrun: whether it has a ``DryRunVar`` called ``dryrun``.
        isolated: whether each run starts a new Python interpreter of its own.
        job_variables: what Prefect's work pool starts its runs with, in JSON form: an image, resources, an environment.
        code_digest: the digest of its code, with its scheme; empty if there is no code.
        module_digest: what approvals of earlier versions are bound to; empty if there is no source.
        variables: its variables, as the API shows them (contract 3).
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
    dryrun_is_safe: bool = False
    hidden: bool = False
    read_only: bool = False
    is_singleton: bool = False
    overlap: Overlap = Overlap.ALLOW
    soft_time_limit: float = 0.0
    time_limit: float = 0.0
    approval_expires: float = 0.0
    job_queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    supports_dryrun: bool = False
    is_job_hook_receiver: bool = False
    is_job_button_receiver: bool = False
    isolated: bool = False
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    code_digest: str = ""
    module_digest: str = ""
    variables: tuple[dict[str, Any], ...] = ()
    parameter_schema: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def class_path(self) -> str:
        return f"{self.module_name}.{self.job_class_name}"


LONGEST_WAIT = timedelta(days=3653)
"""The longest ``approval_expires``."""


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


def _is_overlap(value: object) -> bool:
    return isinstance(value, str) and value in {*Overlap}


def is_queue_name(value: object) -> bool:
    """Say whether Prefect accepts the value as the name of a work queue."""
    return isinstance(value, str) and _is_name(value) and not any(c in "/%&><" for c in value)


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_name, value))


def _are_queues(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(is_queue_name, value))


LONGEST_TAG, MOST_TAGS = 100, 50


def _are_tags(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) > MOST_TAGS or not all(map(_is_name, value)):
        return False
    return all(len(tag) <= LONGEST_TAG and tag.lower() not in RESERVED_TAGS for tag in value)


LONGEST_VARIABLES = 20_000
"""Characters of JSON of ``job_variables``."""


def _are_job_variables(value: object) -> bool:
    if not isinstance(value, dict) or not value.keys().isdisjoint(_EXECUTES_ELSE):
        return False
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    if any(mark in text for mark in _FILLED_IN_LATER):
        return False
    return len(text) <= LONGEST_VARIABLES and is_storable(text) and json.loads(text) == value


_EXECUTES_ELSE = frozenset({"command"})
"""The job variables with which something else would be executed, which asks for no admission."""

_FILLED_IN_LATER = ("{{", '"$ref"')
"""The marks in job variables for which Prefect fills in its variables and blocks, which others write, at each run."""

_FLAGS = (
    "approval_required",
    "dryrun_default",
    "dryrun_is_safe",
    "has_sensitive_variables",
    "hidden",
    "is_singleton",
    "isolated",
    "read_only",
)
_META: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "name": (_is_name, "a string of 1 to 255 printable characters, without leading or trailing white space"),
    "description": (_is_text, "a string without null characters and lone surrogates"),
    "soft_time_limit": (_is_seconds, "a number of seconds, 0 or more"),
    "time_limit": (_is_seconds, "a number of seconds, 0 or more"),
    "approval_expires": (_is_duration, "a timedelta from one second to ten years, or None"),
    "overlap": (_is_overlap, "'allow', 'skip', 'queue' or 'cancel'"),
    "job_queues": (_are_queues, "a list of queue names, without / % & > <"),
    "field_order": (_are_names, "a list of variable names"),
    "tags": (
        _are_tags,
        f"a list of at most {MOST_TAGS} names of 1 to {LONGEST_TAG} printable characters, other than those that tell "
        f"what became of a run: {', '.join(sorted(RESERVED_TAGS))}",
    ),
    "job_variables": (
        _are_job_variables,
        "a dictionary of values that JSON has, without command, {{ and $ref, which change what runs",
    ),
    **dict.fromkeys(_FLAGS, (_is_flag, "True or False")),
}
"""The settings of ``Meta``: the check of each value, and what messages say it must be."""

_ALIASES = {"task_queues": "job_queues"}
_IGNORED = {"console_log_default", "template_name"}  # accepted, but they concern pages that do not exist here


def read_meta(job_class: type) -> dict[str, Any]:
    """Return the settings of the ``Meta`` of a Job and of its base classes; the most derived class wins.

    Raises:
        BadJob: a setting is unknown or has an invalid value.
    """
    stated: dict[str, Any] = {}
    for base in reversed(job_class.__mro__):
        for layer in reversed(vars(base)["Meta"].__mro__ if "Meta" in vars(base) else ()):
            own = {key: value for key, value in vars(layer).items() if key[0] != "_" and key not in _IGNORED}
            stated |= {_ALIASES.get(key, key): _checked(job_class, key, value) for key, value in own.items()}
    stated.pop("name", None)
    mine = vars(vars(job_class).get("Meta", object))
    return stated | ({"name": mine["name"]} if "name" in mine else {})


def _ignored(job_class: type) -> set[str]:
    metas = [vars(base)["Meta"] for base in job_class.__mro__ if "Meta" in vars(base)]
    return {name for meta in metas for name in _IGNORED if hasattr(meta, name)}


def _checked(job_class: type, key: str, value: object) -> object:
    known = [*_META, *_ALIASES]
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadJob(f"{path_of(job_class)}: Meta has no setting {key}.{hint}", f"Meta.{key}")
    check, expected = _META[_ALIASES.get(key, key)]
    if not check(value):
        raise BadJob(f"{path_of(job_class)}: Meta.{key} must be {expected}, not {value!r}.", f"Meta.{key}")
    return value


def define(
    job_class: type,
    variables: Mapping[str, Variable],
    schema: Mapping[str, Any],
    code: Code,
    *,
    receiver: bool,
    button: bool,
) -> JobDefinition:
    """Return the definition of a Job whose code has been checked.

    Args:
        job_class: the Job.
        variables: its variables, in the order of the form.
        schema: the JSON schema of its inputs.
        code: its code.
        receiver: whether events, not people, start it.
        button: whether buttons start it.

    Raises:
        BadJob: its ``Meta``, or the ``name`` of its module, is invalid.
    """
    stated = read_meta(job_class)
    for name in stated.pop("field_order", ()):
        if name not in variables:
            sentence = f"{path_of(job_class)}: Meta.field_order names {name}, which is not one of its variables."
            raise BadJob(sentence, "Meta.field_order")
    named: dict[str, Any] = {"name": job_class.__name__, **stated}
    named["description"] = inspect.cleandoc(named.get("description", "")) or _first_paragraph(job_class)
    expires = named.get("approval_expires")
    named["approval_expires"] = expires.total_seconds() if expires else 0.0
    named["overlap"] = Overlap(named.get("overlap", Overlap.ALLOW))
    named |= {name: tuple(dict.fromkeys(named.get(name, ()))) for name in ("job_queues", "tags")}
    definition = JobDefinition(
        **named,
        module_name=job_class.__module__,
        job_class_name=job_class.__name__,
        grouping=_grouping(job_class),
        supports_dryrun=isinstance(variables.get("dryrun"), DryRunVar),
        is_job_hook_receiver=receiver,
        is_job_button_receiver=button,
        code_digest=code.digest,
        module_digest=module_digest(job_class),
        variables=tuple(describe(variables)),
        parameter_schema=schema,
    )
    unused = [f"{path_of(job_class)}: Meta.{name} has no effect here." for name in sorted(_ignored(job_class))]
    definition = replace(definition, warnings=(*unused, *_warnings(definition, variables)))
    return replace(definition, approval_required=False) if receiver else definition


def _first_paragraph(job_class: type) -> str:
    """Return the first paragraph of the docstring of a Job itself; empty if there is none that can be kept."""
    text = " ".join(inspect.cleandoc(vars(job_class).get("__doc__") or "").split("\n\n")[0].split())
    return text if _is_text(text) else ""


def _grouping(job_class: type) -> str:
    grouping = getattr(sys.modules.get(job_class.__module__), "name", job_class.__module__)
    if not _is_name(grouping):
        raise BadJob(f"{job_class.__module__}: the module's name must be {_META['name'][1]}, not {grouping!r}.")
    return str(grouping)


def _warnings(definition: JobDefinition, variables: Mapping[str, Variable]) -> Iterator[str]:
    path = definition.class_path
    if definition.is_job_hook_receiver and definition.approval_required:
        yield f"{path}: approval_required is ignored, because events, not people, start this Job."
    elif definition.approval_required and definition.has_sensitive_variables:
        yield (
            f"{path}: approval_required and has_sensitive_variables (True by default) exclude "
            "each other; until one of them is set to False, every request to run this Job is refused."
        )
    if 0 < definition.time_limit <= definition.soft_time_limit:
        yield f"{path}: soft_time_limit never takes effect, because time_limit is not greater."
    if definition.is_singleton and definition.overlap is not Overlap.ALLOW:
        yield f"{path}: overlap has no effect while is_singleton refuses every run that would overlap."
    for name, variable in variables.items():
        if isinstance(variable, StringVar) and variable.regex and not is_linear(variable.regex):
            yield (
                f"{path}: the regex of {name} cannot be matched in linear time; make sure that no text keeps it busy, "
                "because anybody who may run this Job sends one."
            )
        if isinstance(variable, DryRunVar) and name != "dryrun":
            yield f"{path}: {name} does not make dry runs possible; a DryRunVar must be called dryrun."
    if definition.dryrun_default and not definition.supports_dryrun:
        yield f"{path}: dryrun_default has no effect without a DryRunVar called dryrun."
    if definition.dryrun_is_safe and not definition.supports_dryrun:
        yield f"{path}: dryrun_is_safe has no effect without a DryRunVar called dryrun."


def path_of(job_class: type) -> str:
    """Return ``module.Class``."""
    return f"{job_class.__module__}.{job_class.__name__}"
