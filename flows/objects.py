"""Variables whose values are objects of a source: one of them, or several.

* What is sent, stored, compared and approved is the key of an object, as text; ``run()`` gets the object as it is then.
* A key that the source does not have is refused when a run is requested, and by the run itself, with the name of the
  variable. What is stored is not looked up again just to be shown: that could keep everybody waiting for a source.
* A source is a function without arguments, or one of ``flows.sources``. It gives objects as mappings, records,
  texts or numbers, at most ``MOST_OBJECTS``, each with a key of its own.
* A source that cannot be read is said to be so, without its address, which may have secrets.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, ValidationInfo

from approval_gate.errors import Unavailable
from flows.inputs import fault
from flows.variables import BadJob, Variable

MOST_OBJECTS = 10_000
"""The most objects of a source."""

TITLES = ("display", "name", "label")
"""The fields of an object that say what it is called, unless a variable names another one."""

READ_VARIABLE: ContextVar[Callable[[str], Any] | None] = ContextVar("read_variable", default=None)
"""How a variable of Prefect's is read here; None in a run, which asks Prefect itself."""


class SourceUnread(Exception):
    """A source cannot be read; the message says why, in a sentence for everybody."""


class Source:
    """Where objects come from."""

    def rows(self, folder: Path) -> Iterable[Any]:
        """Return the objects.

        Args:
            folder: where the module is that declares the variable.

        Raises:
            SourceUnread: they cannot be read.
        """
        raise NotImplementedError


class Object(dict[str, Any]):
    """An object of a source: a mapping whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"This object has no {name!r}.")
        return Object(found) if type(found := self[name]) is dict else found


@dataclass(frozen=True, kw_only=True)
class ObjectVar(Variable):
    """An object of a source; a mapping with attributes in ``run()``.

    Args:
        source: a function without arguments that returns the objects, or one of ``flows.sources``.
        key: the field by which an object is known; what is stored is its text.
        display_field: the field that says what an object is called; empty for the first of ``TITLES`` that it has.
        query_params: the values that fields of the objects must have: one, or one of a list.
        null_option: what to call that there is none, in forms; only if it is not required.
    """

    source: Any = None
    key: str = "id"
    display_field: str = ""
    query_params: Any = None
    null_option: str = ""

    described = ("null_option",)
    widgets: ClassVar[Mapping[str, str]] = {
        "Select": "",
        "StaticSelect2": "",
        "APISelect": "",
        "DynamicModelChoice": "",
    }
    # Without annotations, for they are no options: by which module it is declared, and under which name.
    _module = _name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._set("_module", owner.__module__)
        self._set("_name", name)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.source, Source) and not _is_function(self.source):
            raise BadJob("source must be a function without arguments, or one of flows.sources.")
        if not self.key:
            raise BadJob("key must name the field by which an object is known.")
        if self.null_option and self.required:
            raise BadJob("null_option has no effect without required=False.")
        params = {} if self.query_params is None else self.query_params
        if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
            raise BadJob("query_params must be a dictionary of fields and the values that they must have.")
        if any(isinstance(each, str) and each.startswith("$") for each in params.values()):
            raise BadJob("query_params cannot refer to another variable; a function as the source can offer fewer.")

    def kind(self) -> Any:
        return Annotated[str, Field(strict=True), AfterValidator(self._there)]

    def read(self, value: Any) -> Any:
        key = self.key_of(value)
        return key.strip() or None if isinstance(key, str) else key

    def key_of(self, value: Any) -> Any:
        """Return the key that a value sent is, or has; what has none is returned unchanged."""
        found = value.get(self.key) if isinstance(value, Mapping) and len(value) == 1 else value
        return str(found) if type(found) is int and found.bit_length() <= 64 else found if found is not None else value

    def argument(self, stored: Any) -> Any:
        return stored if stored is None else self._object(stored, self.objects())

    def objects(self) -> dict[str, Object]:
        """Return the objects by key, in the order of the source.

        Raises:
            Unavailable: the source cannot be read.
        """
        try:
            return self._read()
        except Unavailable:
            raise
        except SourceUnread as error:
            raise Unavailable(f"The choices of {self._name} cannot be read: {error}") from None
        except Exception as error:
            # What an author's function raises may quote what nobody else is to know.
            raise Unavailable(f"The choices of {self._name} cannot be read: {type(error).__name__}.") from error

    def title_of(self, found: Object) -> str:
        """Return what an object is called."""
        names = (self.display_field,) if self.display_field else TITLES
        return str(next((found[name] for name in names if found.get(name) is not None), found[self.key]))

    def _read(self) -> dict[str, Object]:
        folder = Path(getattr(sys.modules.get(self._module), "__file__", None) or "").parent
        rows = [
            *islice(self.source.rows(folder) if isinstance(self.source, Source) else self.source(), MOST_OBJECTS + 1)
        ]
        if len(rows) > MOST_OBJECTS:
            raise SourceUnread(f"there are more than {MOST_OBJECTS}.")
        found: dict[str, Object] = {}
        for row in filter(self._is_asked_for, (_as_object(row, self.key) for row in rows)):
            key = "" if row.get(self.key) is None else str(row[self.key]).strip()
            if not key or key in found:
                raise SourceUnread(f"{'one has no' if not key else 'two have the same'} {self.key}.")
            found[key] = row
        return found

    def _is_asked_for(self, row: Object) -> bool:
        params: Mapping[str, Any] = self.query_params or {}
        return all(
            row.get(name) in wanted if isinstance(wanted, list | tuple) else row.get(name) == wanted
            for name, wanted in params.items()
        )

    def _there(self, key: str, info: ValidationInfo) -> str:
        if (info.context or {}).get("look_up"):
            self._object(key, self.objects())
        return key

    def _object(self, key: str, there: Mapping[str, Object]) -> Object:
        if key not in there:
            raise fault("no_object", key=key if len(key) <= 80 else f"{key[:79]}…")
        return there[key]


@dataclass(frozen=True, kw_only=True)
class MultiObjectVar(ObjectVar):
    """Any number of objects of a source, a list of mappings in ``run()``; if it is required, at least one."""

    blank = ([],)
    nothing: ClassVar[list[str]] = []
    widgets: ClassVar[Mapping[str, str]] = {"SelectMultiple": "", "StaticSelect2Multiple": "", "APISelectMultiple": ""}

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.default, tuple):
            self._set("default", list(self.default))

    def kind(self) -> Any:
        return Annotated[list[Annotated[str, Field(strict=True)]], Field(strict=True), AfterValidator(self._all_there)]

    def read(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            keys = [*map(self.key_of, value)]
            return [*dict.fromkeys(keys)] if all(isinstance(each, str) for each in keys) else keys
        key = super().read(value)
        return [key] if isinstance(key, str) else key

    def argument(self, stored: Any) -> Any:
        there = self.objects() if stored else {}
        return [self._object(each, there) for each in stored]

    def _all_there(self, keys: list[str], info: ValidationInfo) -> list[str]:
        there = self.objects() if keys and (info.context or {}).get("look_up") else None
        if there is not None:
            for each in keys:
                self._object(each, there)
        return keys


@contextmanager
def reading_variables_with(read: Callable[[str], Any] | None) -> Iterator[None]:
    """Read Prefect's variables, within the block, with a function that takes the name of one."""
    token = READ_VARIABLE.set(read)
    try:
        yield
    finally:
        READ_VARIABLE.reset(token)


def _is_function(source: object) -> bool:
    if not callable(source) or inspect.iscoroutinefunction(source):
        return False
    try:
        inspect.signature(source).bind()
    except (TypeError, ValueError):
        return False
    return True


def _as_object(row: Any, key: str) -> Object:
    """Return what a source gives as an object; a text or a number is its own key."""
    if isinstance(row, Mapping):
        return Object(row)
    if hasattr(row, "_asdict"):
        return Object(row._asdict())
    if is_dataclass(row) and not isinstance(row, type):
        return Object(asdict(row))
    if hasattr(row, "model_dump"):
        return Object(row.model_dump())
    if isinstance(row, str | int):
        return Object({key: row})
    raise SourceUnread("one is neither a mapping nor a record, a text or a number.")
