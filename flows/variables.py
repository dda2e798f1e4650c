"""The variables of a Job, and the one model that reads, checks and describes what is sent for them.

* What is left out takes its default; an explicit null is the same, unless the variable is required.
* What people and forms write (``"5"``, ``"on"``, one choice instead of a list) is read as what they mean.
* What is accepted can be stored (``flows.inputs``).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    WrapValidator,
    create_model,
)

from flows.inputs import check_storable, fault

TRUTH_WORDS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
"""The words for true and false, in lower case, that people and forms may write."""
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
                raise fault("missing")
            return value
        value = judge(value)
        check_storable(value)
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
            raise fault("string_too_short", min_length=self.min_length)
        if self.regex and not re.search(self.regex, text):
            raise fault("no_match")
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
            return TRUTH_WORDS.get(value.strip().lower(), value) if value.strip() else False
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.default, tuple):
            # As JSON has it, so that what is described and what is read back from a store are the same.
            object.__setattr__(self, "default", list(self.default))

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
            raise fault("too_deep") from None
        except ValueError:
            raise fault("no_json") from None


def build_model(name: str, variables: Mapping[str, Variable]) -> type[BaseModel]:
    """Return the one model of a Job's variables; its fields carry their names as aliases.

    Args:
        name: the title of the model.
        variables: by name, in the order in which forms show them.
    """
    fields = {f"variable_{i}": each.as_field(key, i) for i, (key, each) in enumerate(variables.items())}
    config = ConfigDict(extra="forbid", validate_default=True, hide_input_in_errors=True)
    return create_model(name, __config__=config, **fields)  # type: ignore[call-overload,no-any-return]  # made at run time


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
