"""How every body that clients send is read: one pydantic model gives the values, the refusals and the documentation.

* What pydantic finds is told in the sentences of one table, under the field that it is about; all fields at once.
* A rule that raises ``Invalid`` is told in its own words; a model names such rules with ``rule``.
* A part that can only be judged later, say by its Job, is described in the model (``Later``) and read as it is.
* Nothing that was sent is kept in a refusal but what its sentence quotes: it may be a secret.

Contract 2 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import (
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    with_config,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema
from typing_extensions import TypedDict

from api_shim.parsing.fields import read_id
from approval_gate.errors import Invalid, TooLarge
from flows.inputs import by_field, fault, sentence_of, storable_text

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

STRICT = ConfigDict(strict=True, extra="forbid")
"""Of a body in which an unknown field is a fault: whoever sends it means something by it."""

LENIENT = ConfigDict(strict=True, extra="ignore", frozen=True)
"""Of a body in which clients of other versions may send more."""

RULE = "rule"
REQUIRED = "This field is required."
NOT_A_STRING = "Not a valid string."
NO_ID = "Must be a valid UUID."
NOT_AN_OBJECT = "Invalid data. Expected a dictionary, but got {type}."
CHOICE = '"{text:.100}" is not a valid choice.'

SENTENCES: Mapping[str, str] = {
    "model_type": NOT_AN_OBJECT,
    "dict_type": NOT_AN_OBJECT,
    "missing": REQUIRED,
    "null": "This field may not be null.",
    "extra_forbidden": "This field cannot be changed.",
    "invalid_key": "This field cannot be changed.",
    "bool_type": "Must be a valid boolean.",
    "not_a_flag": "Must be true or false.",
    "string_type": NOT_A_STRING,
    "string_unicode": NOT_A_STRING,
    "string_too_long": "Ensure this field has no more than {max_length} characters.",
    "enum": CHOICE,
    "literal_error": CHOICE,
    "not_text": "Not a valid string of at most {most} characters.",
    "not_seconds": "A time limit is a number of seconds from 0 (none) to {most}.",
    "not_queues": "Expected a list of names of work queues.",
    "not_words": "Expected a list of words.",
    "not_references": "Expected a list of at most {most} ids or names.",
    "no_receiver": "Give the name or the id of a user.",
    "no_id": NO_ID,
    RULE: "{sentence}",
}
"""What a person is told, by pydantic's name for the fault or by ours; ``<fault>.<field>`` is about one field alone."""


OTHERWISE = "Enter a valid value."
"""What is told of a fault that no table names: a refusal must never be a failure."""

MOST_FIELDS = 1000
"""Of one object; whoever sends more has not made a mistake by hand, and each would be a fault of its own."""


def rule(check: F) -> F:
    """Return a rule as pydantic can ask it: its ``Invalid`` becomes a fault of the field, in the rule's words."""

    @wraps(check)
    def judged(*args: Any) -> Any:
        try:
            return check(*args)
        except Invalid as error:
            refusal = storable_text(str(error))
        raise fault(RULE, sentence=refusal)

    return judged  # type: ignore[return-value]  # it takes and returns what the rule does


def of_text(check: Callable[[str], Any]) -> BeforeValidator:
    """Return a rule for texts; what is no text is left to pydantic, which says so."""
    judge = rule(check)
    return BeforeValidator(lambda value: judge(value) if isinstance(value, str) else value)


@with_config(ConfigDict(strict=True, extra="ignore"))
class Identified(TypedDict):
    """Something, by its id."""

    id: Annotated[UUID, of_text(read_id)]


def read(
    model: TypeAdapter[T],
    sent: object,
    *,
    context: object = None,
    sentences: Mapping[str, str] = SENTENCES,
    whole: str = "non_field_errors",
) -> T:
    """Read a body, or a part of one.

    Args:
        model: what it is to be.
        sent: what a client sent, decoded.
        context: what its rules judge by.
        sentences: the table, perhaps with some of a body's own.
        whole: what that stands under which is about no field.

    Raises:
        Invalid: with ``{field: [sentence]}``.
        TooLarge: an object of more fields than ``MOST_FIELDS``.
    """
    if isinstance(sent, Mapping) and len(sent) > MOST_FIELDS:
        raise TooLarge({"non_field_errors": [f"At most {MOST_FIELDS} fields can be sent; these are {len(sent)}."]})
    try:
        return model.validate_python(sent, context=context)
    except ValidationError as error:
        faults = error.errors(include_url=False)

    def sentence(told: ErrorDetails) -> str:
        kind = told["type"]
        field = told["loc"][0] if told["loc"] else ""
        return sentences.get(f"{kind}.{field}") or sentences.get(kind, OTHERWISE)

    # Outside of the handler, so that what was sent does not travel with the refusal.
    for each in faults:
        if not each["loc"]:
            raise Invalid({whole: [sentence_of(each, sentence(each))]})
    raise Invalid(by_field(faults, sentence))


def all_as(kind: str, **context: int) -> WrapValidator:
    """Return what tells every fault of a value as this one, except those of its rules.

    Args:
        kind: the fault, in the table.
        context: what its sentence needs.
    """

    def judged(value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] == RULE:
                raise
        raise fault(kind, **context)

    return WrapValidator(judged)


def not_null(value: Any) -> Any:
    """Let everything pass but null."""
    if value is None:
        raise fault("null")
    return value


class Later:
    """Annotates a value that is taken as it is and judged later.

    Args:
        kind: what it is described as.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        described = handler.generate_schema(self._kind)
        return core_schema.no_info_wrap_validator_function(lambda value, _inner: value, described)
