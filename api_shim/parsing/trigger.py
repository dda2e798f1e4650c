"""Reads what somebody wants to be written of a job button or a job hook.

* Every fault is told under its field; what cannot be set is refused.
* The Job is named by its id, its name, or an object with its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from api_shim.domain.triggers import OBJECTS
from api_shim.parsing.account import CANNOT_BE_SET, Someone
from api_shim.parsing.sentences import SENTENCES, STRICT, all_as, of_text, read, rule
from approval_gate.errors import Invalid
from approval_gate.model import ObjectType
from flows.inputs import is_storable

LONGEST_NAME, LONGEST_TEXT, LONGEST_GROUP = 100, 500, 50
HEAVIEST = 32767
NOT_A_NAME = f"A name has 1 to {LONGEST_NAME} printable characters, and no space around it."
NOT_A_TEXT = f"A text has 1 to {LONGEST_TEXT} printable characters."
NOT_A_GROUP = f"The name of a group has up to {LONGEST_GROUP} printable characters."
NO_TYPES = f"Give at least one type: {', '.join(OBJECTS)}."
NOT_A_WEIGHT = f"A weight is a whole number from 0 to {HEAVIEST}."


def _check_name(name: str) -> str:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise Invalid(NOT_A_NAME)
    return name


def _check_text(text: str) -> str:
    if not 0 < len(text.strip()) <= len(text) <= LONGEST_TEXT or not text.isprintable():
        raise Invalid(NOT_A_TEXT)
    return text


def _check_group(name: str) -> str:
    if len(name) > LONGEST_GROUP or not name.isprintable():
        raise Invalid(NOT_A_GROUP)
    return name


def _check_types(words: Sequence[str]) -> tuple[str, ...]:
    for word in words:
        if word not in {*OBJECTS}:
            shown = word[:100] if is_storable(word) else ""
            raise Invalid(f"There is no type {shown!r} of objects here; there are {', '.join(OBJECTS)}.")
    if not words:
        raise Invalid(NO_TYPES)
    return tuple(dict.fromkeys(words))


def _value_of(choice: Any) -> Any:
    """Return the value of a choice, which is answered with its label."""
    return choice.get("value") if isinstance(choice, Mapping) else choice


Name = Annotated[str, of_text(_check_name), Field(min_length=1, max_length=LONGEST_NAME)]
Text = Annotated[
    str, of_text(_check_text), Field(min_length=1, max_length=LONGEST_TEXT, description="As it is: no template.")
]
Group = Annotated[str, of_text(_check_group), Field(max_length=LONGEST_GROUP)]
Types = Annotated[
    list[str],
    all_as("not_words"),
    AfterValidator(rule(_check_types)),
    Field(min_length=1, json_schema_extra={"items": {"type": "string", "enum": [*OBJECTS]}}),
]
Weight = Annotated[int, Field(ge=0, le=HEAVIEST), all_as("not_weight")]
Look = Annotated[
    Literal["default", "primary", "success", "info", "warning", "danger", "link"], BeforeValidator(_value_of)
]


@with_config(STRICT)
class JobButtonChange(TypedDict, total=False):
    """What a job button is to be."""

    name: Name
    text: Text
    job: Someone
    content_types: Types
    enabled: bool
    weight: Weight
    group_name: Group
    button_class: Look
    confirmation: bool


@with_config(STRICT)
class NewJobButton(JobButtonChange):
    """What a new job button is to be."""

    name: Name  # type: ignore[misc]  # a change may leave it out
    text: Text  # type: ignore[misc]  # a change may leave it out
    job: Someone  # type: ignore[misc]  # a change may leave it out
    content_types: Types  # type: ignore[misc]  # a change may leave them out


@with_config(STRICT)
class JobHookChange(TypedDict, total=False):
    """What a job hook is to be."""

    name: Name
    enabled: bool
    content_types: Types
    job: Someone
    type_create: bool
    type_update: bool
    type_delete: bool


@with_config(STRICT)
class NewJobHook(JobHookChange):
    """What a new job hook is to be: for creations, changes or deletions, at least one of them."""

    name: Name  # type: ignore[misc]  # a change may leave it out
    content_types: Types  # type: ignore[misc]  # a change may leave them out
    job: Someone  # type: ignore[misc]  # a change may leave it out


CHANGES: Mapping[ObjectType, Any] = {ObjectType.JOB_BUTTON: JobButtonChange, ObjectType.JOB_HOOK: JobHookChange}
"""What each is to be that there is already."""

ADDITIONS: Mapping[ObjectType, Any] = {ObjectType.JOB_BUTTON: NewJobButton, ObjectType.JOB_HOOK: NewJobHook}
"""What each is to be that is new."""

_CHANGES: Mapping[ObjectType, TypeAdapter[Any]] = {kind: TypeAdapter(form) for kind, form in CHANGES.items()}
_ADDITIONS: Mapping[ObjectType, TypeAdapter[Any]] = {kind: TypeAdapter(form) for kind, form in ADDITIONS.items()}
_SENTENCES = {**SENTENCES, "extra_forbidden": CANNOT_BE_SET, "invalid_key": CANNOT_BE_SET, "not_weight": NOT_A_WEIGHT}


def read_trigger(kind: ObjectType, body: object, *, new: bool) -> dict[str, Any]:
    """Return the fields that are given, with what they are to hold; the Job as its id or its name.

    Args:
        kind: the type of what is to be written.
        body: what the client sent, decoded.
        new: whether it is to be made.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    return {**read((_ADDITIONS if new else _CHANGES)[kind], body, sentences=_SENTENCES)}
