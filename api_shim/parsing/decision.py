"""Reads what somebody decides with, from the API and from Prefect's form.

* ``force`` is true or false, in any usual spelling; said twice, both must agree; anything else is refused.
* A comment is a text that can be kept, of a length that can be read.
* In Prefect's form the decision itself is a field.

Contract 6, 9.4 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainValidator, TypeAdapter

from api_shim.parsing.fields import truth_of
from api_shim.parsing.seen import Version, read_seen
from api_shim.parsing.sentences import LENIENT, read
from approval_gate.errors import Invalid
from flows.inputs import fault, is_storable
from flows.variables import TRUTH_WORDS

LONGEST_COMMENT = 2000
CHOOSE = "Choose a decision: approve or deny."


def _read_flag(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    word = str(value).strip()
    said = truth_of(word) if word else False
    if said is None:
        raise fault("not_a_flag")
    return said


def _kept(comment: str) -> str:
    if not is_storable(comment):
        raise fault("string_type")
    return comment.strip()


def _seen(version: Any) -> str | None:
    """Return the version of the request that somebody has decided about, if their form said."""
    return version if isinstance(version, str) and version and is_storable(version) else None


Word = bool | Annotated[str, Field(json_schema_extra={"enum": ["", *sorted(TRUTH_WORDS)]})]
Flag = Annotated[bool, PlainValidator(_read_flag, json_schema_input_type=Word | None)]
Comment = Annotated[
    str,
    Field(max_length=LONGEST_COMMENT),
    AfterValidator(_kept),
    BeforeValidator(
        lambda value: "" if value is None else value,
        json_schema_input_type=Annotated[str, Field(max_length=LONGEST_COMMENT)] | None,
    ),
]


class Decision(BaseModel):
    """What somebody decides with."""

    model_config = LENIENT

    comment: Annotated[Comment, Field(description="For the others.")] = ""
    force: Annotated[Flag, Field(description="Approve although the start has passed.")] = False
    version: Version = None


class Answer(BaseModel):
    """What somebody has filled into Prefect's form."""

    model_config = LENIENT

    decision: Literal["approve", "deny"]
    comment: Comment = ""
    confirm_past_due: Flag = False
    request: Annotated[str | None, PlainValidator(_seen)] = None


_DECISION = TypeAdapter(Decision)
_ANSWER = TypeAdapter(Answer)
_FLAG: TypeAdapter[bool] = TypeAdapter(Flag)


def read_decision(query: Sequence[str], body: object, if_match: Sequence[str] = ()) -> Decision:
    """Read a decision of the API.

    Args:
        query: every ``force`` of the query.
        body: the body, decoded.
        if_match: every ``If-Match`` header.

    Raises:
        Invalid: a value that it cannot be, under its field.
    """
    decision = read(_DECISION, body)
    also = [decision.force] if "force" in decision.model_fields_set else []
    force = read_flag("force", query, also)
    return decision.model_copy(update={"force": force, "version": read_seen(if_match, body)})


def read_flag(name: str, query: Sequence[str], also: Sequence[bool] = ()) -> bool:
    """Return whether a flag is set that may be given more than once; not if it is not given.

    Args:
        name: its name.
        query: every one of this name in the query.
        also: what else says it.

    Raises:
        Invalid: it is neither true nor false, or both.
    """
    said = {*also, *(read(_FLAG, word, whole=name) for word in query)}
    if len(said) > 1:
        raise Invalid({name: ["It is given more than once, with different values."]})
    return said == {True}


def read_answer(answer: object) -> tuple[str, Decision]:
    """Read what somebody has filled into Prefect's form: which way they decide, and with what.

    Raises:
        Invalid: it is incomplete, with a sentence for them.
    """
    if not isinstance(answer, Mapping) or answer.get("decision") not in ("approve", "deny"):
        raise Invalid(CHOOSE)
    try:
        filled = read(_ANSWER, answer)
    except Invalid as error:
        raise Invalid(str(error)) from error
    decision = Decision(comment=filled.comment, force=filled.confirm_past_due, version=filled.request)
    return filled.decision, decision
