"""The variables of a Job, and the one model that reads, checks and describes what is sent for them.

* What is left out takes its default; an explicit null is the same, unless the variable is required.
* What people and forms write (``"5"``, ``"on"``, one choice instead of a list) is read as what they mean.
* What is accepted can be stored: JSON alone, no number beyond 64 bits, no null character, no lone surrogate,
  nothing nested deeper than ``DEEPEST``, and all of it together no larger than ``LARGEST``.
* A key ``__prefect_kind`` is refused wherever it stands: Prefect renders such objects as templates.
* Every refusal is one sentence of the table ``SENTENCES``, under the name of its variable.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    create_model,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from approval_gate.errors import Invalid, TooLarge

DEEPEST = 100
"""Levels of lists and objects within one variable."""

LARGEST = 256 * 1024
"""Bytes of all inputs together, as compact JSON."""

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
    "literal_error": _CHOICE,
    "int_parsing_size": _CHOICE,  # how pydantic refuses a huge number where choices are numbers
    "no_json": "Enter a valid JSON.",
    "too_deep": f"Ensure this value is nested no deeper than {DEEPEST} levels.",
    "too_big": "Ensure every number in this value fits in 64 bits.",
    "null_character": "Null characters are not allowed.",
    "string_unicode": "Characters that cannot be written as UTF-8 are not allowed.",
    "reserved_key": f"The key {RESERVED_KEY} is not allowed.",
}
"""What a person is told, by pydantic's name for the fault or by ours."""

_TRUTH = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,100})(\.0*)?\s*", re.ASCII)

Choice = str | int
Judge = Callable[[Any], Any]


class BadJob(Exception):
    """A Job is written in a way that cannot work; the message tells its author what to change."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """What a Job asks for before it runs.

    Args:
        description: help for the person who fills it in.
        label: what it is called in forms; its name without one.
        required: whether it must be given, unless there is a default.
        default: what it is when it is left out; None for no default.
    """

    description: str = ""
    label: str = ""
    required: bool = True
    default: Any = None

    described: ClassVar[tuple[str, ...]] = ()
    """Its further attributes that the API shows when they are set."""
    blank: ClassVar[tuple[Any, ...]] = ()
    """Besides null, what counts as nothing given."""

    def __post_init__(self) -> None:
        if self.required and self.default in self.blank:
            object.__setattr__(self, "default", None)

    def kind(self) -> Any:
        """Return the type, with its constraints, that a value must have once it has been read."""
        return Any

    def read(self, value: Any) -> Any:
        """Return what is meant by ``value``: None for nothing; what is not understood stays as it is."""
        return value

    def as_field(self, name: str, position: int) -> tuple[Any, Any]:
        """Return the variable as the field of a model: its type, and its description."""
        kind = self.kind()
        if not self.required and self.default is None and kind is not Any:
            kind = kind | None
        default = {} if self.required and self.default is None else {"default": self.default}
        return Annotated[kind, WrapValidator(self._accept)], Field(
            alias=name,
            title=self.label or name,
            description=self.description or None,
            json_schema_extra={"position": position},
            **default,
        )

    def _accept(self, value: Any, judge: Judge) -> Any:
        value = self.read(value)
        if value is None and not self.required:
            value = self.read(copy.deepcopy(self.default))
        if value is None or value in self.blank:
            if self.required:
                raise _fault("missing")
            return value
        value = judge(value)
        _check_storable(value)
        return value


@dataclass(frozen=True, kw_only=True)
class StringVar(Variable):
    """A line of text, without the white space around it.

    Args:
        min_length: characters at least.
        max_length: characters at most.
        regex: a regular expression that must be found in it.
    """

    min_length: int | None = None
    max_length: int | None = None
    regex: str | re.Pattern[str] | None = None

    described = ("min_length", "max_length")
    blank = ("",)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.regex or "")
        except (re.error, TypeError) as error:
            raise BadJob(f"regex={self.regex!r} is not a regular expression: {error}.") from error

    def kind(self) -> Any:
        # An optional text may be empty however long it must be otherwise; the schema has to accept that too.
        schema: dict[str, Any] = {"minLength": self.min_length} if self.required and self.min_length else {}
        constraints = Field(strict=True, max_length=self.max_length, json_schema_extra=schema)
        return Annotated[str, constraints, AfterValidator(self._check)]

    def read(self, value: Any) -> Any:
        return value.strip() if isinstance(value, str) else value

    def _check(self, text: str) -> str:
        if self.min_length and len(text) < self.min_length:
            raise _fault("string_too_short", min_length=self.min_length)
        if self.regex and not re.search(self.regex, text):
            raise _fault("no_match")
        return text


@dataclass(frozen=True, kw_only=True)
class TextVar(StringVar):
    """Text of several lines."""


@dataclass(frozen=True, kw_only=True)
class IntegerVar(Variable):
    """A whole number.

    Args:
        min_value: the least it may be.
        max_value: the most it may be.
    """

    min_value: int | None = None
    max_value: int | None = None

    described = ("min_value", "max_value")

    def kind(self) -> Any:
        return Annotated[int, Field(strict=True, ge=self.min_value, le=self.max_value)]

    def read(self, value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, str):
            return value
        whole = _WHOLE.fullmatch(value)
        return int(whole[1]) if whole else value.strip() or None


@dataclass(frozen=True, kw_only=True)
class BooleanVar(Variable):
    """Yes or no. It is never required: a box that is not ticked is an answer."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "required", False)
        if self.default is None:
            object.__setattr__(self, "default", False)

    def kind(self) -> Any:
        return Annotated[bool, Field(strict=True)]

    def read(self, value: Any) -> Any:
        if isinstance(value, str):
            return _TRUTH.get(value.strip().lower(), value) if value.strip() else False
        return bool(value) if type(value) is int and value in {0, 1} else value


@dataclass(frozen=True, kw_only=True)
class DryRunVar(BooleanVar):
    """Whether only to say what would be done. Called ``dryrun``, it makes a dry run of a Job possible."""

    description: str = "Say what would be done, and do nothing."


@dataclass(frozen=True, kw_only=True)
class ChoiceVar(Variable):
    """One of several given values.

    Args:
        choices: (value, label) pairs, or plain values; each value a text or a whole number.
    """

    choices: Sequence[tuple[Choice, str] | Choice] = field(kw_only=False)

    described = ("choices",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "choices", _pairs(self.choices))

    @property
    def values(self) -> dict[str, Choice]:
        """The value of each choice, by how a form writes it."""
        return {str(pair[0]): pair[0] for pair in self.choices}  # type: ignore[index]  # __post_init__ made pairs

    def kind(self) -> Any:
        values = tuple(self.values.values())
        types = {"string" if isinstance(value, str) else "integer" for value in values}
        schema: dict[str, Any] = {"enum": list(values)} | ({"type": types.pop()} if len(types) == 1 else {})
        literal: Any = Literal
        return Annotated[literal[values], WithJsonSchema(schema)]

    def read(self, value: Any) -> Any:
        return None if value == "" else self._chosen(value)

    def _chosen(self, value: Any) -> Any:
        if isinstance(value, bool):
            # Python takes True for 1, and so would the check of a choice.
            value = str(value).lower()
        # A number that is too long to be written is none of them anyway.
        written = str(value) if isinstance(value, int) and value.bit_length() < 64 else value
        return self.values.get(written, value) if isinstance(written, str) else value


@dataclass(frozen=True, kw_only=True)
class MultiChoiceVar(ChoiceVar):
    """Any number of several given values; required means at least one."""

    blank = ([],)

    def kind(self) -> Any:
        return Annotated[list[super().kind()], Field(strict=True)]  # type: ignore[misc]  # a type made at run time

    def read(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._chosen(each) for each in value]
        if value == "":
            return None
        return [self._chosen(value)] if type(value) in {str, int} else value


@dataclass(frozen=True, kw_only=True)
class JSONVar(Variable):
    """Any JSON value. A text is parsed as JSON, so a value that is a text is written in quotes."""

    def read(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value.strip() else None
        except RecursionError:
            raise _fault("too_deep") from None
        except ValueError:
            raise _fault("no_json") from None


def build_model(name: str, variables: Mapping[str, Variable]) -> type[BaseModel]:
    """Return the one model of a Job's variables; its fields carry their names as aliases.

    Args:
        name: the title of the model.
        variables: by name, in the order in which forms show them.
    """
    fields = {f"variable_{i}": each.as_field(key, i) for i, (key, each) in enumerate(variables.items())}
    config = ConfigDict(extra="forbid", validate_default=True, hide_input_in_errors=True)
    return create_model(name, __config__=config, **fields)  # type: ignore[call-overload,no-any-return]  # made at run time


def read_inputs(model: type[BaseModel], data: object) -> dict[str, JsonValue]:
    """Return the complete inputs in JSON form, defaults filled in (contract 9.12).

    Args:
        model: from ``build_model``.
        data: what was sent.

    Raises:
        Invalid: with ``{"errors": …}``, a list of sentences, or such a list for each variable (contract 4).
        TooLarge: the inputs are larger than ``LARGEST``.
    """
    try:
        inputs = model.model_validate(data).model_dump(by_alias=True)
    except ValidationError as error:
        # Without a cause: what was sent may be secret, and would be in it.
        raise Invalid({"errors": _explain(error)}) from None
    size = len(json.dumps(inputs, ensure_ascii=False, separators=(",", ":")).encode())
    if size > LARGEST:
        raise TooLarge({"errors": [f"Job data is too large: {size} bytes; {LARGEST} bytes are the most."]})
    return inputs


def describe(variables: Mapping[str, Variable]) -> list[dict[str, Any]]:
    """Return the variables as the API shows them (contract 3): what is not set is left out."""
    return [_describe(name, each) for name, each in variables.items()]


def _describe(name: str, variable: Variable) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "type": type(variable).__name__}
    shown |= {"label": variable.label} if variable.label else {}
    shown |= {"help_text": variable.description} if variable.description else {}
    shown["required"] = variable.required
    extras = {key: getattr(variable, key) for key in ("default", *variable.described)}
    return shown | {key: value for key, value in extras.items() if value is not None}


def _pairs(choices: object) -> list[list[Choice | str]]:
    """Return choices as [value, label] lists, the form in which JSON has them."""
    if not isinstance(choices, list | tuple) or not choices:
        raise BadJob("choices must be a list of values, or of (value, label) pairs, and not be empty.")
    pairs = [list(each) if isinstance(each, list | tuple) else [each, str(each)] for each in choices]
    for pair in pairs:
        if len(pair) != 2 or type(pair[0]) not in {str, int} or not isinstance(pair[1], str):
            raise BadJob(f"{pair!r} is no choice: a value is a text or a whole number, its label a text.")
    if len({str(value) for value, _label in pairs}) < len(pairs):
        raise BadJob("choices has the same value twice.")
    return pairs


def _fault(kind: str, **context: int) -> PydanticCustomError:
    return PydanticCustomError(kind, "refused", context)


def _explain(error: ValidationError) -> list[str] | dict[str, list[str]]:
    faults = error.errors(include_url=False)
    unknown = [fault for fault in faults if fault["type"] in {"extra_forbidden", "invalid_key"}]
    told: dict[str, list[str]] = {}
    # What does not belong there is told first, and of several faults of one variable the first.
    for fault in unknown or faults:
        if not fault["loc"]:
            return [_sentence(fault)]
        told.setdefault(_printable(str(fault["loc"][0])), [_sentence(fault)])
    return told


def _sentence(fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    value = fault["input"]
    limit = context.get("max_length", context.get("min_length"))
    length = len(value) if isinstance(value, str) else 0
    words = {"s": "" if limit == 1 else "s", "length": length, "value": _quote(value)}
    return SENTENCES[fault["type"]].format(**context, **words)


def _quote(value: object) -> str:
    if isinstance(value, dict | list) or (isinstance(value, int) and value.bit_length() > 64):
        return "That value"
    text = _printable(str(value))
    return text if len(text) <= 80 else f"{text[:79]}…"


def _printable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _check_storable(value: object) -> None:
    # A loop and not a recursion: the depth is what is being checked.
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if not isinstance(item, dict | list):
            _check_scalar(item)
            continue
        if depth > DEEPEST:
            raise _fault("too_deep")
        if isinstance(item, dict):
            for key in item:
                _check_key(key)
            item = list(item.values())
        pending.extend((each, depth + 1) for each in item)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise _fault("no_json")
    if key == RESERVED_KEY:
        raise _fault("reserved_key")
    _check_scalar(key)


def _check_scalar(value: object) -> None:
    match value:
        case str() if "\0" in value:
            raise _fault("null_character")
        case str() if _printable(value) != value:
            raise _fault("string_unicode")
        case int() if not -(2**63) <= value < 2**63:
            raise _fault("too_big")
        case float() if not math.isfinite(value):
            raise _fault("no_json")
        case str() | int() | float() | None:
            return
        case _:
            raise _fault("no_json")
