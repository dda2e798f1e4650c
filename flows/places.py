"""Where something stands in the source of a Job, as ``file:line``, for messages to its author.

* Of an attribute it is the line that sets it; of a setting of ``Meta`` the line there. What a base class has is looked
  for there. What is not found has the line of its class.
* The source is read only when there is something to tell.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """A line of a file.

    Args:
        file: the path of the file; empty if nobody knows.
        line: the line, from 1 on.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


UNKNOWN = Place("", 0)


def place_of(code: object, attribute: str = "") -> Place:
    """Return where a class, an attribute of it or a function stands.

    Args:
        code: the class or function.
        attribute: the name of the attribute, as ``on_retry``, ``Meta.time_limit`` or ``self.log_info``; empty for the
            class.
    """
    if not isinstance(code, type):
        made = getattr(inspect.unwrap(code), "__code__", None) if callable(code) else None
        return Place(made.co_filename, made.co_firstlineno) if made else UNKNOWN
    if (flow := getattr(code, "_flow", None)) is not None:
        return place_of(flow.fn)
    found = [(_file(each), node) for each in code.__mro__ if (node := _class(each)) is not None]
    for file, node in found:
        if line := _line(node, attribute):
            return Place(file, line)
    return Place(found[0][0], found[0][1].lineno) if found else UNKNOWN


def used_of_self(job_class: type) -> dict[str, int]:
    """Return the attributes of ``self`` that the body of a class uses, each with its first line."""
    node = _class(job_class)
    return {} if node is None else _used(node)


def _used(node: ast.ClassDef) -> dict[str, int]:
    used: dict[str, int] = {}
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
            used.setdefault(each.attr, each.lineno)
    return used


def _class(job_class: type) -> ast.ClassDef | None:
    try:
        return _classes(Path(_file(job_class)).read_bytes()).get(job_class.__name__)
    except OSError:
        return None


@lru_cache(maxsize=32)
def _classes(source: bytes) -> Mapping[str, ast.ClassDef]:
    """Return the classes of a source by name, of several the last."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return {each.name: each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}


def _file(job_class: type) -> str:
    return getattr(sys.modules.get(job_class.__module__), "__file__", None) or ""


def _line(node: ast.ClassDef, attribute: str) -> int:
    """Return the line on which a class sets an attribute; 0 if it does not."""
    first, _, rest = attribute.partition(".")
    if first == "self":
        return _used(node).get(rest, 0)
    for each in node.body:
        if first in _sets(each):
            return (_line(each, rest) if isinstance(each, ast.ClassDef) and rest else 0) or each.lineno
    return 0


def _sets(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (each.id for each in targets if isinstance(each, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
