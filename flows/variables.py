"""The variables of a Job, and the model that reads, validates and documents their values.

* A variable that is left out takes its default. So does an explicit null, unless the variable is required.
* Values in the form that people and HTML forms send (``"5"``, ``"on"``, one choice instead of a list) are converted.
* A value that is accepted can be stored (``flows.inputs``).
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

from flows.expressions import is_found
from flows.files import GivenFile, is_file_name
from flows.inputs import check_storable, fault

TRUTH_WORDS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
"""The words for true and false, in lower case, that people and forms may write."""
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,100})(\.0*)?\s*", re.ASCII)

LONGEST_NUMBER = 64
"""The most bits of a number that is read as text."""

Choice = str | int
Validate = Callable[[Any], Any]


class BadJob(Exception):
    """A Job cannot work as it is written; the message tells its author what to change."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An input that a Job asks for.

    Args:
        description: the help text in forms.
        label: the label in forms; the variable's name if empty.
        required: whether a value must be given if there is no default.
        default: the value if none is given; None for no default.
    """

    description: str = ""
    label: str = ""
    required: bool = True
    default: Any = None

    described: ClassVar[tuple[str, ...]] = ()
    """Further attributes that the API shows if they are set."""
    blank: ClassVar[tuple[Any, ...]] = ()
    """The values, besides null, that count as no value."""

    def __post_init__(self) -> None:
        if self.required and self.default in self.blank:
            object.__setattr__(self, "default", None)

    def kind(self) -> Any:
        """Return the type, with its constraints, that a value must have after ``read()``."""
        return Any

    def read(self, value: Any) -> Any:
        """Convert a value as sent: None for no value; a value that cannot be converted is returned unchanged."""
        return value

    def as_field(self, name: str, position: int) -> tuple[Any, Any]:
        """Return the variable as a field of a model: its type and its ``Field``."""
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

    def _accept(self, value: Any, validate: Validate) -> Any:
        value = self.read(value)
        if value is None and not self.required:
            value = self.read(copy.deepcopy(self.default))
        if value is None or value in self.blank:
            if self.required:
                raise fault("missing")
            return value
        value = validate(value)
        check_storable(value)
        return value


@dataclass(frozen=True, kw_only=True)
class StringVar(Variable):
    """One line of text, with leading and trailing white space removed. A number becomes its text, as in a form.

    Args:
        min_length: the least number of characters.
        max_length: the greatest number of characters.
        regex: a regular expression that must match somewhere in it (``flows.expressions``).
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
        # An optional string may be empty whatever its min_length, and the schema has to accept that too.
        schema: dict[str, Any] = {"minLength": self.min_length} if self.required and self.min_length else {}
        constraints = Field(strict=True, max_length=self.max_length, json_schema_extra=schema)
        return Annotated[str, constraints, AfterValidator(self._check)]

    def read(self, value: Any) -> Any:
        if type(value) is float or (type(value) is int and value.bit_length() <= LONGEST_NUMBER):
            return str(value)
        return value.strip() if isinstance(value, str) else value

    def _check(self, text: str) -> str:
        if self.min_length and len(text) < self.min_length:
            raise fault("string_too_short", min_length=self.min_length)
        if self.regex and not is_found(self.regex, text):
            raise fault("no_match")
        return text


@dataclass(frozen=True, kw_only=True)
class TextVar(StringVar):
    """Text of several lines."""


@dataclass(frozen=True, kw_only=True)
class IntegerVar(Variable):
    """A whole number.

    Args:
        min_value: the least value.
        max_value: the greatest value.
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
    """True or false. It is never required: a checkbox that is not checked means false."""

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
    """Whether the run is a dry run. A Job supports dry runs if it has a ``DryRunVar`` called ``dryrun``."""

    description: str = "Report what the job would do, without doing it."


@dataclass(frozen=True, kw_only=True)
class ChoiceVar(Variable):
    """One of a list of choices.

    Args:
        choices: (value, label) pairs, or plain values; each value is a string or a whole number.
    """

    choices: Sequence[tuple[Choice, str] | Choice] = field(kw_only=False)

    described = ("choices",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "choices", _pairs(self.choices))

    @property
    def values(self) -> dict[str, Choice]:
        """The value of each choice, by its string form, which is what HTML forms send."""
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
            # In Python True equals 1, and so it would match the choice 1.
            value = str(value).lower()
        # Python refuses to convert a very long number to a string; it is not a choice anyway.
        written = str(value) if isinstance(value, int) and value.bit_length() < 64 else value
        return self.values.get(written, value) if isinstance(written, str) else value


@dataclass(frozen=True, kw_only=True)
class MultiChoiceVar(ChoiceVar):
    """Any number of a list of choices; if it is required, at least one."""

    blank = ([],)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.default, tuple):
            # A list, as in JSON, so that the default is the same after it has been stored and read.
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
    """Any JSON value. A string is parsed as JSON, so a value that is itself a string must be quoted."""

    def read(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value.strip() else None
        except RecursionError:
            raise fault("too_deep") from None
        except ValueError:
            raise fault("no_json") from None


FILE_FORMAT = "file"
"""By which a JSON schema says that the value is the reference to a file."""

_FILE_SCHEMA = {
    "type": "object",
    "format": FILE_FORMAT,
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "size": {"type": "integer"},
        "sha256": {"type": "string"},
    },
}


@dataclass(frozen=True, kw_only=True)
class FileVar(Variable):
    """A file, sent as a part of ``multipart/form-data``. ``run()`` is given something to read from, with a ``name``.

    It is kept, encrypted, for as long as something needs it. It has no default.
    """

    blank = ("",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.default is not None:
            raise BadJob("A FileVar has no default.")

    def kind(self) -> Any:
        return Annotated[dict[str, Any], WithJsonSchema(_FILE_SCHEMA)]

    def read(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        if not isinstance(value, GivenFile):
            raise fault("no_file")
        if not is_file_name(value.name):
            raise fault("no_file_name")
        return value.reference


def build_model(name: str, variables: Mapping[str, Variable]) -> type[BaseModel]:
    """Return the model of a Job's variables; each field has the variable's name as its alias.

    Args:
        name: the title of the model.
        variables: the variables by name, in the order of the form.
    """
    fields = {f"variable_{i}": each.as_field(key, i) for i, (key, each) in enumerate(variables.items())}
    config = ConfigDict(extra="forbid", validate_default=True, hide_input_in_errors=True)
    return create_model(name, __config__=config, **fields)  # type: ignore[call-overload,no-any-return]  # made at run time


def describe(variables: Mapping[str, Variable]) -> list[dict[str, Any]]:
    """Return the variables as the API shows them, without attributes that are not set (contract 3)."""
    return [_describe(name, each) for name, each in variables.items()]


def _describe(name: str, variable: Variable) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "type": type(variable).__name__}
    shown |= {"label": variable.label} if variable.label else {}
    shown |= {"help_text": variable.description} if variable.description else {}
    shown["required"] = variable.required
    extras = {key: getattr(variable, key) for key in ("default", *variable.described)}
    return shown | {key: value for key, value in extras.items() if value is not None}


def _pairs(choices: object) -> list[list[Choice | str]]:
    """Return choices as [value, label] lists, as in JSON."""
    if not isinstance(choices, list | tuple) or not choices:
        raise BadJob("choices must be a list of values or of (value, label) pairs, and must not be empty.")
    pairs = [list(each) if isinstance(each, list | tuple) else [each, str(each)] for each in choices]
    for pair in pairs:
        if len(pair) != 2 or type(pair[0]) not in {str, int} or not isinstance(pair[1], str):
            raise BadJob(f"{pair!r} is not a choice: a value is a string or a whole number, and its label is a string.")
    if len({str(value) for value, _label in pairs}) < len(pairs):
        raise BadJob("choices contains the same value twice.")
    return pairs
