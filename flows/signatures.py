"""The variables of a Job that is a function: one for each parameter, by its type hint, its default and its docstring.

* Text, whole numbers, true or false, ``Literal``, ``Enum`` and lists of these have the variables that Jobs have. A
  ``dryrun: bool`` makes dry runs possible.
* Everything else that pydantic reads from JSON is one variable too: models, dates, lists, dictionaries, unions.
* A parameter with a default, or that may be None, need not be given. One without a type hint takes anything.
* Inputs are stored in JSON form, complete; the function is called with what its type hints say.
* A value that is a secret by its type is stored as it was sent, and can have no default.
"""

from __future__ import annotations

import enum
import inspect
import json
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import PlainSerializer, TypeAdapter, ValidationError, WrapValidator
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, SchemaError

from flows.inputs import check_storable, fault
from flows.variables import (
    BadJob,
    BooleanVar,
    ChoiceVar,
    DryRunVar,
    IntegerVar,
    MultiChoiceVar,
    StringVar,
    Validate,
    Variable,
)

_LIMITS: Mapping[type, Mapping[type, tuple[str, str]]] = {
    int: {Ge: ("min_value", "ge"), Le: ("max_value", "le")},
    str: {MinLen: ("min_length", "min_length"), MaxLen: ("max_length", "max_length")},
}
"""The constraints that variables of Jobs have, too: by type, which argument they are and which attribute has it."""

SECRETS = "_serialize_secret"
"""What stands in the schema of a type that has secrets."""

_UNIONS = (Union, types.UnionType)


@dataclass(frozen=True, kw_only=True)
class ParameterVar(Variable):
    """A value of any type that pydantic reads from JSON. Text that is not of that type is read as JSON.

    Args:
        type: the type, as a type hint.
        adapter: reads it.
        secret: whether it is stored as it was sent.
    """

    type: Any = Any
    adapter: TypeAdapter[Any]
    secret: bool = False

    def kind(self) -> Any:
        return Annotated[self.type, WrapValidator(self._in_json), PlainSerializer(_as_it_is)]

    def read(self, value: Any) -> Any:
        # A form sends nothing as an empty text; blanks are meant where text is.
        is_blank = isinstance(value, str) and not value.strip()
        return None if is_blank and not (value and self._is_text(value)) else value

    def _is_text(self, value: str) -> bool:
        try:
            return self.type is not Any and self.adapter.validate_json(json.dumps(value)) == value
        except ValidationError:
            return False

    def _in_json(self, value: Any, _validate: Validate) -> Any:
        check_storable(value)
        sent = [value]
        # Of text that may be anything, JSON is meant where it is some, but for a text in quotes: it stays what it is.
        if isinstance(value, str) and not isinstance(parsed := _parsed(value), str):
            sent.insert(0 if self.type is Any else 1, parsed)
        problem = ""
        for each in sent:
            try:
                found = self.adapter.validate_json(json.dumps(each))
            except ValidationError as error:
                problem = _told(error)
                continue
            return each if self.secret else _stored(self.adapter, found, each)
        raise fault("parameter", problem=problem)


def _stored(adapter: TypeAdapter[Any], value: Any, sent: Any) -> Any:
    """Return a value in JSON form, so that it is read as the same again; as it was sent, where that form is another."""
    written = adapter.dump_python(value, mode="json", by_alias=True, round_trip=True)
    try:
        is_same = adapter.validate_json(json.dumps(written)) == value
    except ValidationError:
        is_same = False
    return written if is_same else sent


def _as_it_is(value: Any) -> Any:
    return value


def _parsed(text: str) -> Any:
    """Return what a text is as JSON; the text itself for no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _told(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}." if where else f"{first['msg']}."


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a function.

    Args:
        variable: what the form asks for.
        adapter: makes what the function is called with.
        secret: whether its type is one of secrets.
    """

    variable: Variable
    adapter: TypeAdapter[Any]
    secret: bool

    def value(self, stored: Any) -> Any:
        """Return what the function is called with, for what is stored."""
        return None if stored is None else self.adapter.validate_json(json.dumps(stored))


def parameters_of(function: Callable[..., Any], described: Mapping[str, str]) -> dict[str, Parameter]:
    """Return the parameters of a function by name, in order.

    Args:
        function: the function.
        described: descriptions of parameters, as its docstring has them.

    Raises:
        BadJob: it cannot be called with inputs; the sentence begins after the function's name.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise BadJob(f"has type hints that cannot be read: {error}.") from error
    found = {}
    for name, each in inspect.signature(function).parameters.items():
        if each.kind not in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}:
            raise BadJob(f"cannot be called with {name} by its name; inputs are passed by name.")
        try:
            found[name] = _parameter(name, hints.get(name, Any), each.default, described.get(name, ""))
        except BadJob as error:
            raise BadJob(f"has a parameter {name} {error}") from error
    return found


def _parameter(name: str, hint: Any, default: Any, description: str) -> Parameter:
    given = default is not inspect.Parameter.empty
    info = FieldInfo.from_annotated_attribute(hint, default) if given else FieldInfo.from_annotation(hint)
    adapter, secret = _adapter(Annotated[hint, default] if isinstance(default, FieldInfo) else hint)
    inner = _without_none(info.annotation)
    default = None if info.is_required() else _in_json(adapter, info.get_default(call_default_factory=True), secret)
    common = {
        "description": info.description or description,
        "label": info.title or "",
        "required": info.is_required() and inner is info.annotation,
        "default": default,
    }
    usual = None if _is_its_own(inner, info.annotation, default) else _usual(name, inner, info.metadata, common)
    if usual is not None and usual.problem:
        raise BadJob(f"that cannot work: {usual.problem}")
    own = ParameterVar(**common, type=_constrained(inner, info.metadata), adapter=adapter, secret=secret)
    return Parameter(variable=usual or own, adapter=adapter, secret=secret)


def _is_its_own(inner: Any, annotation: Any, default: Any) -> bool:
    """Say whether the variables of Jobs would change a default: they know no text, box or list that is null."""
    nullable = inner is not annotation and (inner in {bool, str} or get_origin(inner) is list)
    return nullable or (isinstance(default, str) and default != default.strip())


def _constrained(kind: Any, metadata: list[Any]) -> Any:
    return Annotated[(kind, *metadata)] if metadata else kind


def _adapter(hint: Any) -> tuple[TypeAdapter[Any], bool]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
        schema = json.dumps(adapter.json_schema())
    except (PydanticSchemaGenerationError, PydanticUserError, SchemaError, NameError, TypeError) as error:
        raise BadJob(f"of a type that cannot be read from JSON: {str(error).splitlines()[0]}") from error
    # Pydantic marks its own two secrets in the JSON schema, and secrets of other types nowhere but in its own.
    return adapter, '"writeOnly": true' in schema or SECRETS in repr(adapter.core_schema)


def _in_json(adapter: TypeAdapter[Any], default: Any, secret: bool) -> Any:
    if default is None:
        return None
    if secret:
        raise BadJob("with a secret as its default, which everybody could read; read it from a block in its place.")
    try:
        # As Prefect does, which converts defaults too.
        value = adapter.validate_python(default)
        return _stored(adapter, value, adapter.dump_python(value, mode="json"))
    except ValidationError as error:
        raise BadJob(f"with a default that is not of its type: {_told(error)}") from error
    except PydanticSerializationError as error:
        raise BadJob(f"with a default that cannot be written as JSON: {error}.") from error


def _without_none(hint: Any) -> Any:
    """Return a type less None, if that is one of its alternatives."""
    if get_origin(hint) in _UNIONS and type(None) in get_args(hint):
        left = [each for each in get_args(hint) if each is not type(None)]
        return Union[tuple(left)] if left else hint  # noqa: UP007 - made at run time
    return hint


def _usual(name: str, kind: Any, metadata: list[Any], common: Mapping[str, Any]) -> Variable | None:
    """Return the variable of Jobs for a type; None for a type that needs one of its own."""
    if kind is bool and not metadata:
        default = {**common, "default": bool(common["default"])}
        if name != "dryrun":
            return BooleanVar(**default)
        return DryRunVar(**{**default, "description": common["description"] or DryRunVar.description})
    if kind in _LIMITS:
        limits = {type(each): _LIMITS[kind].get(type(each)) for each in metadata}
        if None in limits.values():
            return None
        bounds = {limit[0]: getattr(each, limit[1]) for each in metadata if (limit := limits[type(each)])}
        return (IntegerVar if kind is int else StringVar)(**common, **bounds)
    if metadata:
        return None
    if choices := [*_choices(kind)]:
        return ChoiceVar(choices, **common)
    if get_origin(kind) is list and (choices := [*_choices(next(iter(get_args(kind)), None))]):
        return MultiChoiceVar(choices, **common)
    return None


def _choices(kind: Any) -> Iterator[tuple[Any, str]]:
    """Yield value and label of each choice that a type leaves; nothing for a type that is no choice."""
    pairs: list[tuple[Any, str]] = []
    if get_origin(kind) is Literal:
        pairs = [(value, str(value)) for value in get_args(kind)]
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        pairs = [(each.value, each.name.replace("_", " ")) for each in kind]
    written = {str(value) for value, _label in pairs}
    if "" not in written and len(written) == len(pairs) and all(type(value) in {str, int} for value, _label in pairs):
        yield from pairs
