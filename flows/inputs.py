"""The inputs of a run: read by the Job's model, refused with the sentences of one table.

* Inputs that are accepted can be stored: only JSON, no number beyond 64 bits, no null character, no lone surrogate,
  no nesting deeper than ``DEEPEST``, and no more than ``LARGEST`` bytes in all.
* The key ``__prefect_kind`` is refused at any depth, because Prefect renders such objects as templates.
* Every error is a sentence of the table ``SENTENCES``, under the name of its variable.

Contract 4.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from approval_gate.errors import GateError, Invalid, TooLarge, sentences
from flows.files import UNNAMEABLE

logger = logging.getLogger("signoff")

DEEPEST = 100
"""The most levels of lists and objects in one variable."""

LARGEST = 256 * 1024
"""The most bytes of all inputs together, as compact JSON."""

MOST_TOLD = 50
"""The most errors reported for one request."""

UNFIT = "The stored inputs do not fit the variables of this job any more"

RESERVED_KEY = "__prefect_kind"

_CHOICE = "Select a valid choice. {value} is not one of the available choices."

SENTENCES: Mapping[str, str] = {
    "model_type": "Job data needs to be a dict",
    "extra_forbidden": "Job data contained an unknown property",
    "invalid_key": "Job data contained an unknown property",
    "missing": "This field is required.",
    "bool_type": "Enter true or false.",
    "int_type": "Enter a whole number.",
    "less_than_equal": "Ensure this value is less than or equal to {le}.",
    "greater_than_equal": "Ensure this value is greater than or equal to {ge}.",
    "string_type": "Enter text.",
    "string_too_long": "Ensure this value has at most {max_length} character{s} (it has {length}).",
    "string_too_short": "Ensure this value has at least {min_length} character{s} (it has {length}).",
    "no_match": "Enter a valid value.",
    "list_type": "Enter a list of values.",
    "no_date": "Enter a valid date, such as 2030-01-31.",
    "no_time": "Enter a valid date and time, such as 2030-01-31T14:30:00+01:00.",
    "no_address": "Enter a valid IPv4 or IPv6 address (without a mask).",
    "no_mask": "CIDR mask (e.g. /24) is required.",
    "no_network": "Enter a valid IPv4 or IPv6 address (with CIDR mask).",
    "no_prefix": "{written} is not a valid prefix. Did you mean {network}?",
    "prefix_too_short": "The prefix length must be greater than or equal to {least}.",
    "prefix_too_long": "The prefix length must be less than or equal to {most}.",
    "literal_error": _CHOICE,
    "no_object": "Select a valid choice. {key} is not one of the available choices.",
    "int_parsing_size": _CHOICE,  # pydantic's name for a huge number where the choices are numbers
    "no_json": "Enter a valid JSON.",
    "no_file": "Send a file, as a part of multipart/form-data.",
    "no_file_name": UNNAMEABLE,
    "too_deep": f"Ensure this value is nested no deeper than {DEEPEST} levels.",
    "too_big": "Ensure every number in this value fits in 64 bits.",
    "null_character": "Null characters are not allowed.",
    "string_unicode": "Characters that cannot be written as UTF-8 are not allowed.",
    "parameter": "{problem}",  # of a type of the author's own
    "reserved_key": f"The key {RESERVED_KEY} is not allowed.",
}
"""The sentence for each error, by pydantic's name or ours."""


def read_inputs(
    model: type[BaseModel], data: object, zone: tzinfo = UTC, *, look_up: bool = False
) -> dict[str, JsonValue]:
    """Return the complete inputs in JSON form, with defaults filled in (contract 9.12).

    Args:
        model: the model of the Job's variables, from ``build_model``.
        data: the inputs as sent.
        zone: the time zone of times that name none.
        look_up: whether the sources of objects are asked if they have them.

    Raises:
        Invalid: with ``{"errors": …}``: a list of sentences, or such a list for each variable (contract 4).
        TooLarge: the inputs are larger than ``LARGEST``.
        Unavailable: a source of objects cannot be read.
    """
    context = {"zone": zone, "look_up": look_up}
    try:
        inputs = model.model_validate(data, context=context).model_dump(by_alias=True)
    except ValidationError as error:
        # The cause is dropped, because it would contain the inputs, which may be secret.
        raise Invalid({"errors": _explain(error, model)}) from None
    except GateError:
        raise
    except Exception as error:
        # What reads them may be code of the Job's author. What it says may repeat them.
        logger.warning("A Job cannot read its inputs: %s", type(error).__name__)
        raise Invalid({"errors": [f"The code of this Job cannot read them: {type(error).__name__}."]}) from None
    size = len(json.dumps(inputs, ensure_ascii=False, separators=(",", ":")).encode())
    if size > LARGEST:
        raise TooLarge({"errors": [f"Job data is too large: {size} bytes, of at most {LARGEST}."]})
    return inputs


def unfit(refusal: Invalid, *, quoted: bool) -> str:
    """Return the sentence on stored inputs that a Job's variables of today refuse.

    Args:
        refusal: the refusal, from ``read_inputs``.
        quoted: whether the sentences may be told that quote values, or the names of the variables alone.
    """
    errors = refusal.detail["errors"] if isinstance(refusal.detail, Mapping) else ()
    told = " ".join(sentences(refusal.detail)) if quoted or not isinstance(errors, Mapping) else ", ".join(errors)
    return f"{UNFIT}: {told}"


def fault(kind: str, **context: int | str) -> PydanticCustomError:
    """Return the fault of this name in a table of sentences, to be raised by what judges a value."""
    return PydanticCustomError(kind, "refused", context)


def told(error: PydanticCustomError) -> str:
    """Return the sentence on a fault that stands by itself."""
    return SENTENCES[error.type].format(**(error.context or {}))


def _explain(error: ValidationError, model: type[BaseModel]) -> list[str] | dict[str, list[str]]:
    faults = [_by_variable(fault, model) for fault in error.errors(include_url=False)]
    unknown = [fault for fault in faults if fault["type"] in {"extra_forbidden", "invalid_key"}]
    if not faults[0]["loc"]:
        return [sentence_of(faults[0], SENTENCES[faults[0]["type"]])]
    # What does not belong there is told first.
    return by_field(unknown or faults, lambda fault: SENTENCES[fault["type"]])


def _by_variable(fault: ErrorDetails, model: type[BaseModel]) -> ErrorDetails:
    """Return a fault under the name of its variable: of a default, pydantic tells the field of the model."""
    names = {name: field.alias or name for name, field in model.model_fields.items()}
    if not fault["loc"] or fault["loc"][0] in names.values():
        return fault
    first, *rest = fault["loc"]
    fault["loc"] = (names.get(str(first), first), *rest)
    return fault


def by_field(faults: Sequence[ErrorDetails], sentence: Callable[[ErrorDetails], str]) -> dict[str, list[str]]:
    """Return the sentences about a body by field, of several faults of one field the first.

    Args:
        faults: as pydantic tells them.
        sentence: returns the sentence of a table that is about a fault.
    """
    told: dict[str, list[str]] = {}
    for fault in faults:
        field = _quote(str(fault["loc"][0]))
        if field not in told and len(told) < MOST_TOLD:
            told[field] = [sentence_of(fault, sentence(fault))]
    return told


def sentence_of(fault: ErrorDetails, sentence: str) -> str:
    """Return the sentence of a table with what this fault is about filled in."""
    context = fault.get("ctx", {})
    value = fault["input"]
    limit = context.get("max_length", context.get("min_length"))
    length = len(value) if isinstance(value, str) else 0
    words = {"s": "" if limit == 1 else "s", "length": length, "type": type(value).__name__, "value": _quote(value)}
    # Only where it is told, for it may be long.
    text = _text(value) if "{text" in sentence else ""
    return sentence.format(**context, **words, text=text)


def _quote(value: object) -> str:
    if isinstance(value, dict | list) or (isinstance(value, int) and value.bit_length() > 64):
        return "That value"
    text = _text(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _text(value: object) -> str:
    try:
        return _printable(str(value))
    except (RecursionError, ValueError):  # it is nested deeper, or is a number longer, than Python writes
        return "That value"


def is_storable(text: str) -> bool:
    """Say whether every database can store a string: no null character, no lone surrogate."""
    return "\0" not in text and _printable(text) == text


def storable_text(text: str) -> str:
    """Return a string with the characters that databases refuse replaced, so that a run's output is not lost."""
    return _printable(text.replace("\0", "\N{REPLACEMENT CHARACTER}"))


def storable_json(value: JsonValue) -> JsonValue:
    """Return a JSON value with lone surrogates replaced; null characters may stay, because JSON escapes them."""
    decoded: JsonValue = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return decoded


def _printable(text: str) -> str:
    return text.encode(errors="replace").decode()


def check_storable(value: object) -> None:
    """Check that every database, and Prefect, can store a value.

    Raises:
        PydanticCustomError: it is not JSON, too deep or too big, or has characters that cannot be stored.
    """
    # A loop, not a recursion: the depth is what is being checked.
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if not isinstance(item, dict | list):
            _check_scalar(item)
            continue
        if depth > DEEPEST:
            raise fault("too_deep")
        if isinstance(item, dict):
            for key in item:
                _check_key(key)
            item = list(item.values())
        pending.extend((each, depth + 1) for each in item)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise fault("no_json")
    if key == RESERVED_KEY:
        raise fault("reserved_key")
    _check_scalar(key)


def _check_scalar(value: object) -> None:
    match value:
        case str() if "\0" in value:
            raise fault("null_character")
        case str() if _printable(value) != value:
            raise fault("string_unicode")
        case int() if not -(2**63) <= value < 2**63:
            raise fault("too_big")
        case float() if not math.isfinite(value):
            raise fault("no_json")
        case str() | int() | float() | None:
            return
        case _:
            raise fault("no_json")
