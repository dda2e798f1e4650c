"""Filters: the fields that each list can be filtered and sorted by, and how a query string expresses them.

* A field with several values matches any of them, but that of tags, which must all be there; several fields must all
  match.
* A suffix selects the comparison: ``__n`` is not, ``__ic`` contains, ``__isw`` starts with, ``__iew`` ends with and
  ``__ie`` equals, the last four ignoring the case of A to Z; ``__re`` and ``__ire`` match a regular expression.
  ``__nic`` and the like are the opposites. Dates and numbers have ``__gt __gte __lt __lte``; fields that can be null
  have ``__isnull``.
* A value that cannot be read is one sentence under its field. An unknown field is an error; an unknown sort field is
  ignored, and so is an empty value.

Contract 2, 5 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api_shim.domain.model import Status
from api_shim.domain.query import Condition, Pattern, read_pattern
from api_shim.domain.recurrence import Interval
from api_shim.parsing.fields import read_id, truth_of
from approval_gate.admission import Misfire
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Invalid
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import ObjectType

# Values


def read_text(text: str) -> str:
    """Return a text that the store can be asked for.

    Raises:
        ValueError: it has null characters.
    """
    if "\0" in text:
        raise ValueError("A text may not have null characters.")
    return text


def _read_id(text: str) -> UUID:
    thing_id = read_id(text)
    if thing_id is None:
        raise ValueError(f"“{text[:100]}” is not a valid UUID.")
    return thing_id


def _read_flag(text: str) -> bool:
    truth = truth_of(text)
    if truth is None:
        raise ValueError("Must be true or false.")
    return truth


def _read_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        # As all times are answered in UTC, one without a zone is in UTC too.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("Enter a valid date/time.") from None


def _read_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("Enter a number.") from None
    if not math.isfinite(number):
        raise ValueError("Enter a number.")
    return number


def _read_whole(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 18:
        raise ValueError("Enter a whole number.")
    return int(text)


def no_choice(value: object) -> str:
    """Return what is said of a value that is none of those that there are."""
    return f"Select a valid choice. {str(value)[:100]} is not one of the available choices."


def _choice(choices: Iterable[str]) -> Callable[[str], str]:
    known = frozenset(choices)

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(no_choice(text))
        return text

    return read


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of values.

    Args:
        read: reads one, or raises ValueError with a sentence.
        schema: as JSON schema describes one.
        suffixes: how it can be compared: by suffix, the operator and whether it is negated.
    """

    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    suffixes: Mapping[str, tuple[Op, bool]]


MOST_TOGETHER = 50
"""How many values one field can be asked for all of."""
_SAME = {"": (Op.EXACT, False), "n": (Op.EXACT, True)}
_ORDER = _SAME | {op.value: (op, False) for op in (Op.GT, Op.GTE, Op.LT, Op.LTE)}
_PARTS = {"ic": Op.ICONTAINS, "ie": Op.IEXACT, "isw": Op.ISTARTSWITH, "iew": Op.IENDSWITH}
WORDS = _SAME | {f"{no}{suffix}": (op, bool(no)) for suffix, op in _PARTS.items() for no in ("", "n")}
PATTERNS: Mapping[str, tuple[bool, bool]] = {
    "re": (False, False),
    "nre": (False, True),
    "ire": (True, False),
    "nire": (True, True),
}
"""The suffixes of regular expressions: whether case is ignored, and whether it is negated."""

TEXT = Kind(read=read_text, schema={"type": "string"}, suffixes=WORDS)
ID = Kind(read=_read_id, schema={"type": "string", "format": "uuid"}, suffixes=_SAME)
FLAG = Kind(read=_read_flag, schema={"type": "boolean"}, suffixes={"": (Op.EXACT, False)})
TIME = Kind(read=_read_time, schema={"type": "string", "format": "date-time"}, suffixes=_ORDER)
NUMBER = Kind(read=_read_number, schema={"type": "number"}, suffixes=_ORDER)
WHOLE = Kind(read=_read_whole, schema={"type": "integer"}, suffixes=_ORDER)


def one_of(choices: Iterable[str]) -> Kind:
    words = [str(choice) for choice in choices]
    return Kind(read=_choice(words), schema={"type": "string", "enum": words}, suffixes=WORDS)


# Fields

UNKNOWN = "Unknown filter field"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field that a list can be filtered by.

    Args:
        kind: of its values.
        path: the lookup path that it asks about.
        named: of a related object: the path of its name, which may be given instead of the id.
        nullable: it can be empty.
        together: an object may have several at once, and several values must all be among them.
    """

    kind: Kind
    path: str
    named: str = ""
    nullable: bool = False
    together: bool = False

    @property
    def sorts_by(self) -> str:
        return self.named or self.path


def _fields(kind: Kind, *names: str, nullable: bool = False) -> dict[str, Field]:
    return {name: Field(kind=kind, path=name, nullable=nullable) for name in names}


def _chosen(name: str, named: str, *, nullable: bool = False) -> dict[str, Field]:
    """Return the field of a related object, by id or name."""
    return {name: Field(kind=ID, path=name, named=named, nullable=nullable)}


def _related(name: str, named: str, *, nullable: bool = True) -> dict[str, Field]:
    """Return the fields of a related object: by id or name, and by id alone."""
    return {**_chosen(name, named, nullable=nullable), f"{name}_id": Field(kind=ID, path=name, nullable=nullable)}


_JOB_FLAGS = (
    "installed",
    "enabled",
    "approval_required",
    "has_sensitive_variables",
    "hidden",
    "is_singleton",
    "read_only",
    "is_job_hook_receiver",
    "is_job_button_receiver",
    "supports_dryrun",
    "dryrun_default",
)

FILTERS: Mapping[ObjectType, Mapping[str, Field]] = {
    ObjectType.JOB: {
        **_fields(ID, "id"),
        **_fields(TEXT, "name", "grouping", "module_name", "job_class_name", "description"),
        **_fields(FLAG, *_JOB_FLAGS),
        **_fields(NUMBER, "soft_time_limit", "time_limit"),
        **_fields(TIME, "created", "last_updated"),
        **_chosen("job_queues", "job_queues__name"),
        "tags": Field(kind=ID, path="tags", named="tags__name", together=True),
    },
    ObjectType.SCHEDULED_JOB: {
        **_fields(ID, "id"),
        **_fields(ID, "requested_from", nullable=True),
        **_fields(TEXT, "name", "time_zone", "queue", "description", "crontab"),
        **_fields(one_of(Interval), "interval"),
        **_fields(one_of(Misfire), "misfire"),
        **_fields(one_of(ApprovalState), "approval_state"),
        **_fields(FLAG, "enabled"),
        **_fields(TIME, "start_time", "date_changed"),
        **_fields(TIME, "last_run_at", "approved_at", nullable=True),
        **_fields(WHOLE, "total_run_count"),
        **_related("job_model", "job_model__name", nullable=False),
        **_related("user", "user__username"),
        **_related("approved_by_user", "approved_by_user__username"),
    },
    ObjectType.JOB_RESULT: {
        **_fields(ID, "id"),
        **_fields(ID, "flow_run_id", "requested_from", nullable=True),
        **_fields(TEXT, "name", "task_name", "queue"),
        **_fields(one_of(Status), "status"),
        **_fields(FLAG, "dry_run"),
        **_fields(TIME, "date_created"),
        **_fields(TIME, "date_started", "date_done", "nominal_time", nullable=True),
        **_related("job_model", "job_model__name"),
        **_related("user", "user__username"),
        **_related("scheduled_job", "scheduled_job__name"),
    },
    ObjectType.JOB_LOG_ENTRY: {
        **_fields(ID, "id", "job_result"),
        **_fields(TEXT, "log_level", "grouping", "message", "log_object", "absolute_url"),
        **_fields(TIME, "created"),
    },
    ObjectType.JOB_QUEUE: {**_fields(ID, "id"), **_fields(TEXT, "name", "pool")},
    ObjectType.JOB_BUTTON: {
        **_fields(ID, "id"),
        **_fields(TEXT, "name", "text", "group_name", "button_class"),
        **_fields(FLAG, "enabled", "confirmation"),
        **_fields(WHOLE, "weight"),
        **_fields(TIME, "created", "last_updated"),
        **_related("job", "job__name", nullable=False),
    },
    ObjectType.JOB_HOOK: {
        **_fields(ID, "id"),
        **_fields(TEXT, "name"),
        **_fields(FLAG, "enabled", "type_create", "type_update", "type_delete"),
        **_fields(TIME, "created", "last_updated"),
        **_related("job", "job__name", nullable=False),
    },
    ObjectType.AUTOMATION_ACCOUNT: {
        **_fields(ID, "id"),
        **_fields(TEXT, "name", "bound_by"),
        **_fields(TIME, "created"),
        **_related("user", "user__username", nullable=False),
    },
    ObjectType.APPROVAL_REQUEST: {
        **_fields(ID, "id", "scheduled_job", "owner"),
        **_fields(TEXT, "name", "task_name", "requested_by", "decided_by", "comment"),
        **_fields(one_of(ApprovalState), "state"),
        **_fields(TIME, "created"),
        **_fields(TIME, "decided_at", nullable=True),
        **_related("job_model", "job_model__name", nullable=False),
        **_related("user", "user__username"),
        **_related("decided_by_user", "decided_by_user__username"),
    },
    ObjectType.USER: {
        **_fields(ID, "id"),
        **_fields(TEXT, "username"),
        **_fields(FLAG, "is_active", "is_superuser"),
        "date_joined": Field(kind=TIME, path="created"),
    },
    ObjectType.GROUP: {**_fields(ID, "id"), **_fields(TEXT, "name")},
    ObjectType.TOKEN: {
        **_fields(ID, "id"),
        **_fields(FLAG, "write_enabled"),
        **_fields(TIME, "created"),
        **_fields(TIME, "expires", "last_used", nullable=True),
        **_fields(TEXT, "description", "last_used_from"),
        **_fields(ID, "made_with", nullable=True),
        **_related("user", "user__username", nullable=False),
        **_fields(TEXT, "user__username"),
    },
    ObjectType.PERMISSION: {**_fields(ID, "id"), **_fields(TEXT, "name"), **_fields(FLAG, "enabled")},
}


def parameters(kind: ObjectType) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every parameter that filters a list of this type, with the JSON schema of its values."""
    for name, field in FILTERS[kind].items():
        for suffix in field.kind.suffixes:
            exact = suffix in {"", "n"}
            schema: Mapping[str, Any] = field.kind.schema if exact or "enum" not in field.kind.schema else TEXT.schema
            yield f"{name}__{suffix}".removesuffix("__"), TEXT.schema if field.named else schema
        if field.kind.suffixes is WORDS:
            yield from ((f"{name}__{suffix}", TEXT.schema) for suffix in PATTERNS)
        if field.nullable:
            yield f"{name}__isnull", FLAG.schema


# Reading a query


def read_conditions(kind: ObjectType, query: Mapping[str, list[str]]) -> tuple[Condition, ...]:
    """Read what a query asks of a list.

    Args:
        kind: the type of its objects.
        query: the values of each parameter, without those that every list has.

    Raises:
        Invalid: an unknown field, or a value that cannot be read; all of them at once.
    """
    faults: dict[str, list[str]] = {}
    conditions: list[Condition] = []
    for name, values in query.items():
        try:
            field, suffix = _split(kind, name)
            if given := [value for value in values if value]:
                alternatives = _each(given) if field.together else [given]
                read = (_condition(field, suffix, values) for values in alternatives)
                conditions.extend(replace(condition, parameter=name) for condition in read)
        except ValueError as error:
            faults[name] = [str(error)]
    if faults:
        raise Invalid(faults)
    return tuple(conditions)


def _condition(field: Field, suffix: str, values: list[str]) -> Condition:
    if suffix == "isnull":
        return Condition(tests=(Lookup(path=field.path, op=Op.ISNULL, value=FLAG.read(values[-1])),))
    if suffix in PATTERNS:
        ignore_case, negated = PATTERNS[suffix]
        patterns = (Pattern(path=field.path, regex=read_pattern(read_text(v)), ignore_case=ignore_case) for v in values)
        return Condition(tests=tuple(patterns), negated=negated)
    op, negated = field.kind.suffixes[suffix]
    return Condition(tests=tuple(_tests(field, op, values)), negated=negated)


def _each(given: list[str]) -> list[list[str]]:
    """Return each of several values that an object is to have all of, by itself.

    Raises:
        ValueError: there are too many.
    """
    different = dict.fromkeys(given)
    if len(different) > MOST_TOGETHER:
        raise ValueError(f"Give at most {MOST_TOGETHER} values.")
    return [[value] for value in different]


def _split(kind: ObjectType, name: str) -> tuple[Field, str]:
    """Take the name of a parameter apart into its field and its suffix."""
    fields = FILTERS[kind]
    if name in fields:
        return fields[name], ""
    stem, _, suffix = name.rpartition("__")
    field = fields.get(stem)
    if field is None or not suffix:
        raise ValueError(UNKNOWN)
    has_patterns = field.kind.suffixes is WORDS and suffix in PATTERNS
    if suffix in field.kind.suffixes or has_patterns or (suffix == "isnull" and field.nullable):
        return field, suffix
    raise ValueError(UNKNOWN)


def _tests(field: Field, op: Op, values: list[str]) -> Iterator[Lookup]:
    if op is not Op.EXACT:
        # A part of a choice is no choice.
        read = TEXT.read if field.kind.suffixes is WORDS else field.kind.read
        yield from (Lookup(path=field.path, op=op, value=read(value)) for value in values)
        return
    names = [value for value in values if field.named and read_id(value) is None]
    if names:
        yield Lookup(path=field.named, op=Op.IN, value=tuple(read_text(name) for name in names))
    others = tuple(field.kind.read(value) for value in values if value not in names)
    if others or not names:
        yield Lookup(path=field.path, op=Op.IN, value=others)


def read_sort(kind: ObjectType, values: Iterable[str]) -> tuple[str, ...]:
    """Read the order that a query asks for; fields that there are not are passed over.

    Returns:
        lookup paths, a leading ``-`` for descending.
    """
    asked = dict.fromkeys(part.strip() for value in values for part in value.split(","))
    known = ((part, FILTERS[kind].get(part.removeprefix("-"))) for part in asked)
    return tuple(f"{'-' if part.startswith('-') else ''}{field.sorts_by}" for part, field in known if field)
