"""The variables of a Job, and the model that reads, validates and documents their values.

* A variable that is left out takes its default. So does an explicit null, unless the variable is required. An optional
  one without a default has one value then, whatever it was sent by: an empty text, an empty list, or null.
* Values in the form that people and HTML forms send (``"5"``, ``"on"``, one choice instead of a list) are converted.
* A value that is accepted can be stored (``flows.inputs``). Of a date or an address that is its canonical text, so
  equal values are stored, shown, compared and approved as the same text; ``run()`` gets the object.
* Options may be given by position, in the documented order. What a variable does not have, or cannot be, is kept as
  its problem, and refused when its Job is registered, with the names of the class and of the variable.
"""

from __future__ import annotations

import copy
import difflib
import enum
import inspect
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticCustomError

from flows.expressions import is_found
from flows.files import GivenFile, is_file_name, is_reference
from flows.inputs import check_storable, fault

TRUTH_WORDS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
"""The words for true and false, in lower case, that people and forms may write."""
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,100})(\.0*)?\s*", re.ASCII)

LONGEST_NUMBER = 64
"""The most bits of a number that is read as text."""

Choice = str | int
Validate = Callable[[Any], Any]


class BadJob(Exception):
    """A Job cannot work as it is written; the message tells its author what to change.

    Args:
        sentence: the message.
        attribute: the attribute of the class that it is about; empty for none.
    """

    def __init__(self, sentence: str, attribute: str = "") -> None:
        super().__init__(sentence)
        self.attribute = attribute


_OPTIONS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a string"),
    "bool": ((bool,), "True or False"),
    "int | None": ((int, NoneType), "a whole number"),
}
"""What an option may be, by the type that it is declared with: the types, and what messages say it must be."""

_BOUNDS = (
    ("min_length", "max_length"),
    ("min_value", "max_value"),
    ("min_prefix_length", "max_prefix_length"),
)
"""The options of which the first must not be greater than the second."""

_ELSEWHERE = ("field_attrs", "form_field")
"""What variables of other systems are made of, and has no effect here."""

_HINTS: Mapping[str, str] = {"model": " There is no inventory here: name a source of the objects."}
"""What to do in place of an option that variables of other systems have."""


class _Declared(type):
    """Makes variables of what their authors write: options by name, or by position in the documented order."""

    def __call__(cls, *given: Any, **named: Any) -> Any:
        """Return the variable; one with a problem if it cannot work."""
        try:
            return super().__call__(**cls._by_name(given, named))
        except BadJob as error:
            kind: Any = cls
            unusable = object.__new__(kind)
            object.__setattr__(unusable, "problem", str(error))
            return unusable

    def _by_name(cls, given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        options = _options_of(cls)
        for name in named:
            if name not in options:
                near = difflib.get_close_matches(name, options, 1)
                hint = _HINTS.get(name) or (f" Did you mean {near[0]}?" if near else "")
                raise BadJob(f"{cls.__name__} has no option {name}.{hint}")
        if len(given) > len(options):
            raise BadJob(f"{cls.__name__} has {len(options)} options, not {len(given)}.")
        by_position = dict(zip(options, given, strict=False))
        for name in by_position.keys() & named.keys():
            raise BadJob(f"{name} is given twice.")
        return by_position | named


def _options_of(cls: Any) -> list[str]:
    """Return the options of a type of variable: its own first, then those that all have."""
    declared = [name for base in cls.__mro__ for name in inspect.get_annotations(base)]
    options = {each.name for each in fields(cls) if each.init}
    # One that is declared again, for another default, stays where it was.
    return [name for i, name in enumerate(declared) if name in options and name not in declared[i + 1 :]]


@dataclass(frozen=True, kw_only=True)
class Variable(metaclass=_Declared):
    """An input that a Job asks for.

    Args:
        label: the label in forms; the variable's name if empty.
        description: the help text in forms.
        default: the value if none is given; None for no default.
        required: whether a value must be given if there is no default.
        widget: the form field that shows it, by its name or its class: one of ``widgets``.
    """

    label: str = ""
    description: str = ""
    default: Any = None
    required: bool = True
    widget: Any = None

    problem: ClassVar[str] = ""
    """Why it cannot work; empty if it can."""
    described: ClassVar[tuple[str, ...]] = ()
    """Further attributes that the API shows if they are set."""
    blank: ClassVar[tuple[Any, ...]] = ()
    """The values, besides null, that count as no value."""
    nothing: ClassVar[Any] = None
    """The value of an optional one that is left out and has no default."""
    widgets: ClassVar[Mapping[str, str]] = {}
    """The widgets that it may have, and what each is called here; empty for the one that it has anyway."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known = {each.name for base in cls.__mro__[1:] if is_dataclass(base) for each in fields(base)}
        for name in vars(cls):
            if name in _ELSEWHERE or (name in known and name not in inspect.get_annotations(cls)):
                raise BadJob(
                    f"{cls.__module__}.{cls.__name__}.{name} has no effect; declare options in a dataclass "
                    "of which the class is a subclass, or give them to each variable."
                )

    def __post_init__(self) -> None:
        for option in fields(self):
            types, expected = _OPTIONS.get(str(option.type), ((object,), ""))
            value = getattr(self, option.name)
            if object not in types and type(value) not in types:
                raise BadJob(f"{option.name} must be {expected}, not {value!r}.")
        for least, most in _BOUNDS:
            low, high = getattr(self, least, None), getattr(self, most, None)
            if low is not None and high is not None and low > high:
                raise BadJob(f"{least} must not be greater than {most}.")
        self._set("widget", self._known_widget())
        if self.required and self.default in self.blank:
            self._set("default", None)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _known_widget(self) -> str:
        if not self.widget:
            return ""
        name = self.widget if isinstance(self.widget, str) else getattr(self.widget, "__name__", "")
        name = name or type(self.widget).__name__
        if name not in self.widgets:
            known = f"it has {', '.join(self.widgets)}" if self.widgets else "it has no other"
            raise BadJob(f"there is no widget {name} for a {type(self).__name__}; {known}.")
        return self.widgets[name]

    @property
    def shown_default(self) -> Any:
        """Its default as it is read, which forms begin with; one that cannot be read is refused with its Job."""
        try:
            return self.read(copy.deepcopy(self.default))
        except PydanticCustomError:
            return self.default

    @property
    def fallback(self) -> Any:
        """What stands for a value that is left out, in the form that ``read()`` reads."""
        default = self.shown_default
        return self.sent_again(copy.deepcopy(self.nothing) if default is None else default)

    def kind(self) -> Any:
        """Return the type, with its constraints, that a value must have after ``read()``."""
        return Any

    def read(self, value: Any) -> Any:
        """Convert a value as sent: None for no value; a value that cannot be converted is returned unchanged."""
        return value

    def sent_again(self, stored: Any) -> Any:
        """Return a stored value as it is to be sent, so that ``read()`` gives the same again."""
        return stored

    def argument(self, stored: Any) -> Any:
        """Return what ``run()`` gets for a stored value."""
        return stored

    def as_field(self, name: str, position: int) -> tuple[Any, Any]:
        """Return the variable as a field of a model: its type and its ``Field``."""
        kind, fallback = self.kind(), self.fallback
        if not self.required and fallback is None and kind is not Any:
            kind = kind | None
        default = {} if self.required and self.shown_default is None else {"default": fallback}
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
            value = self.read(self.fallback)
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
    nothing = ""
    widgets: ClassVar[Mapping[str, str]] = {"TextInput": "", "Textarea": "Textarea"}

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

    widgets: ClassVar[Mapping[str, str]] = {"Textarea": "", "TextInput": "TextInput"}


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
    widgets: ClassVar[Mapping[str, str]] = {"NumberInput": ""}

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

    widgets: ClassVar[Mapping[str, str]] = {"CheckboxInput": ""}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("required", False)
        if self.default is None:
            self._set("default", False)

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
        choices: (value, label) pairs, plain values, (group, choices) pairs, a mapping of values to labels, an
            enumeration, or a function without arguments that returns one of these, which is called once; each value is
            a string or a whole number.
    """

    choices: Any = field(default=(), kw_only=False)

    described = ("choices",)
    widgets: ClassVar[Mapping[str, str]] = {"Select": "", "StaticSelect2": ""}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("choices", _pairs(self.choices))

    @property
    def values(self) -> dict[str, Choice]:
        """The value of each choice, by its string form, which is what HTML forms send."""
        return {str(value): value for value, _label in self.choices}

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
    nothing: ClassVar[list[Choice]] = []
    widgets: ClassVar[Mapping[str, str]] = {
        "CheckboxSelectMultiple": "",
        "SelectMultiple": "",
        "StaticSelect2Multiple": "",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.default, tuple):
            # A list, as in JSON, so that the default is the same after it has been stored and read.
            self._set("default", list(self.default))

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

    widgets: ClassVar[Mapping[str, str]] = {"Textarea": ""}

    def read(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value.strip() else None
        except RecursionError:
            raise fault("too_deep") from None
        except ValueError:
            raise fault("no_json") from None

    def sent_again(self, stored: Any) -> Any:
        return json.dumps(stored) if isinstance(stored, str) else stored


@dataclass(frozen=True, kw_only=True)
class WrittenVar(Variable):
    """The base of what is stored as its canonical text, and is an object in ``run()``."""

    invalid: ClassVar[str] = "string_type"
    """The fault of what cannot be read."""
    format: ClassVar[str] = ""
    """The format that the JSON schema names; empty for none."""
    types: ClassVar[tuple[type, ...]] = ()
    """The types of the objects, one of which a default may be."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.default) in self.types:
            self._set("default", self.write(self.default))

    def parse(self, text: str) -> Any:
        """Return the object that a text is of.

        Raises:
            ValueError: there is none.
            PydanticCustomError: there is none either; with the fault.
        """
        raise NotImplementedError

    def write(self, value: Any) -> str:
        """Return the canonical text of an object."""
        return str(value)

    def kind(self) -> Any:
        schema = {"type": "string"} | ({"format": self.format} if self.format else {})
        return Annotated[str, PlainValidator(self._canonical), WithJsonSchema(schema)]

    def read(self, value: Any) -> Any:
        return value.strip() or None if isinstance(value, str) else value

    def argument(self, stored: Any) -> Any:
        return self.parse(stored) if isinstance(stored, str) else stored

    def _canonical(self, text: Any, info: ValidationInfo) -> str:
        if not isinstance(text, str) or len(text) > LONGEST_TEXT:
            raise fault(self.invalid)
        try:
            value = self.parse(text)
            if isinstance(value, datetime) and value.tzinfo is None:
                value = value.replace(tzinfo=(info.context or {}).get("zone", UTC))
            return self.write(value)
        except PydanticCustomError:
            raise
        except (ValueError, OverflowError):
            raise fault(self.invalid) from None


LONGEST_TEXT = 100
"""The most characters of a date, a time or an address."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class DateVar(WrittenVar):
    """A day, written as in ISO 8601 (``2030-01-31``); a ``datetime.date`` in ``run()``."""

    invalid = "no_date"
    format = "date"
    types = (date,)
    widgets: ClassVar[Mapping[str, str]] = {"DateInput": "", "DatePicker": ""}

    def parse(self, text: str) -> date:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)


@dataclass(frozen=True, kw_only=True)
class DateTimeVar(WrittenVar):
    """A date and a time, written as in ISO 8601; an aware ``datetime.datetime`` in UTC in ``run()``.

    Without an offset it is in the time zone of the server that reads it; a default must have one.
    """

    invalid = "no_time"
    format = "date-time"
    types = (datetime,)
    widgets: ClassVar[Mapping[str, str]] = {"DateTimeInput": "", "DateTimePicker": ""}

    def __post_init__(self) -> None:
        naive = isinstance(self.default, datetime) and self.default.tzinfo is None
        if naive:
            raise BadJob("the default of a DateTimeVar needs a time zone, such as datetime(2030, 1, 31, tzinfo=UTC).")
        super().__post_init__()

    def parse(self, text: str) -> datetime:
        return datetime.fromisoformat(text)

    def write(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class IPAddressVar(WrittenVar):
    """An IPv4 or IPv6 address without a mask; an ``ipaddress.IPv4Address`` or ``IPv6Address`` in ``run()``."""

    invalid = "no_address"
    types = (ipaddress.IPv4Address, ipaddress.IPv6Address)
    widgets: ClassVar[Mapping[str, str]] = {"TextInput": ""}

    def parse(self, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(_without_scope(text))


@dataclass(frozen=True, kw_only=True)
class IPAddressWithMaskVar(WrittenVar):
    """An IPv4 or IPv6 address with its mask; an ``ipaddress.IPv4Interface`` or ``IPv6Interface`` in ``run()``."""

    invalid = "no_network"
    types: ClassVar[tuple[type, ...]] = (ipaddress.IPv4Interface, ipaddress.IPv6Interface)
    widgets: ClassVar[Mapping[str, str]] = {"TextInput": ""}

    def parse(self, text: str) -> Any:
        if "/" not in text:
            raise fault("no_mask")
        return ipaddress.ip_interface(_without_scope(text))


@dataclass(frozen=True, kw_only=True)
class IPNetworkVar(IPAddressWithMaskVar):
    """An IPv4 or IPv6 network; an ``ipaddress.IPv4Network`` or ``IPv6Network`` in ``run()``.

    Args:
        min_prefix_length: the least length of its prefix.
        max_prefix_length: the greatest length of its prefix.
    """

    min_prefix_length: int | None = None
    max_prefix_length: int | None = None

    described = ("min_prefix_length", "max_prefix_length")
    types = (ipaddress.IPv4Network, ipaddress.IPv6Network)

    def parse(self, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        interface = super().parse(text)
        network: ipaddress.IPv4Network | ipaddress.IPv6Network = interface.network
        if interface.ip != network.network_address:
            raise fault("no_prefix", written=str(interface), network=str(network))
        if self.min_prefix_length is not None and network.prefixlen < self.min_prefix_length:
            raise fault("prefix_too_short", least=self.min_prefix_length)
        if self.max_prefix_length is not None and network.prefixlen > self.max_prefix_length:
            raise fault("prefix_too_long", most=self.max_prefix_length)
        return network


def _without_scope(text: str) -> str:
    """Return an address as it is; one with a scope, which is of one machine only, is none."""
    if "%" in text:
        raise ValueError(text)
    return text


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

    def sent_again(self, stored: Any) -> Any:
        return GivenFile.kept(stored) if is_reference(stored) else stored


def file_names(variables: Mapping[str, Variable]) -> list[str]:
    """Return the names of those variables that are files."""
    return [name for name, each in variables.items() if isinstance(each, FileVar)]


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
    shown |= {"widget": variable.widget} if variable.widget else {}
    shown |= {} if variable.shown_default is None else {"default": variable.shown_default}
    extras = {key: getattr(variable, key) for key in variable.described}
    return shown | {key: value for key, value in extras.items() if value not in (None, "")}


def _pairs(choices: object) -> list[list[Choice | str]]:
    """Return choices as [value, label] lists, as in JSON."""
    pairs = [*_each_pair(choices)]
    if not pairs:
        raise BadJob("choices must not be empty.")
    for pair in pairs:
        if len(pair) != 2 or type(pair[0]) not in {str, int} or not isinstance(pair[1], str):
            raise BadJob(f"{pair!r} is not a choice: a value is a string or a whole number, and its label is a string.")
        if pair[0] == "":
            raise BadJob("an empty value is no choice; required=False lets people choose none.")
    if len({str(value) for value, _label in pairs}) < len(pairs):
        raise BadJob("choices contains the same value twice.")
    return pairs


def _each_pair(choices: Any, group: str = "") -> Iterator[list[Any]]:
    """Yield each choice of any documented form, with the name of its group before its label."""
    if isinstance(choices, type) and issubclass(choices, enum.Enum):
        choices = [(each.value, str(getattr(each, "label", each.name))) for each in choices]
    elif callable(choices) and not isinstance(choices, Iterable):
        try:
            choices = choices()
        except Exception as error:
            raise BadJob(f"choices cannot be had: {type(error).__name__}: {error}") from error
    elif isinstance(choices, Mapping):
        choices = [*choices.items()]
    if isinstance(choices, str | bytes) or not isinstance(choices, Iterable):
        raise BadJob("choices must be a list of values or of (value, label) pairs, and must not be empty.")
    for each in choices:
        if not isinstance(each, list | tuple):
            yield [each, f"{group}{each}"]
        elif len(each) == 2 and isinstance(each[1], list | tuple | Mapping) and isinstance(each[0], str) and not group:
            yield from _each_pair(each[1], f"{each[0]}: ")
        elif len(each) == 2 and isinstance(each[1], str):
            yield [each[0], f"{group}{each[1]}"]
        else:
            yield [*each]


ScriptVariable = Variable
"""The name that the base of variables has in other systems."""
