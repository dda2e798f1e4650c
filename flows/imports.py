"""What a module of Nautobot Jobs imports, and what it imports here.

* Classes of Jobs and variables, and ``register_jobs``, are imported from ``flows`` by the same names.
* What else such a module has of Nautobot it cannot have here, and is told.
* Only whole statements are rewritten, and nothing else of the file.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

FROM = ("nautobot.apps.jobs", "nautobot.extras.jobs", "nautobot.core.celery", "nautobot.extras.plugins.jobs")
"""The modules that have what Jobs are written with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """One statement that imports of Nautobot.

    Args:
        line: its first line.
        last: its last line.
        module: what it imports from.
        moves: what it imports, and is imported from ``flows`` here, as it is written.
        stays: what it imports besides, as it is written.
        whole: whether nothing else stands on its lines.
    """

    line: int
    last: int
    module: str
    moves: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    whole: bool = True

    @property
    def sentence(self) -> str:
        """What its author has to do about it."""
        if not self.moves:
            return f"{self.module} does not exist here: replace what the Job does with {', '.join(self.stays)}."
        told = f"Write from flows import {', '.join(self.moves)}"
        return f"{told}; {', '.join(self.stays)} does not exist here." if self.stays else f"{told}."


def nautobot_imports(source: str, known: Collection[str]) -> Iterator[Import]:
    """Yield what a source imports of Nautobot.

    Args:
        source: the source.
        known: the names that ``flows`` has.

    Raises:
        SyntaxError: it is no Python.
    """
    lines = _lines_of(source)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), level=0, names=names) if _is_nautobot(module):
                own = module in FROM
                moves = tuple(_written(each) for each in names if own and each.name in known)
                stays = tuple(_written(each) for each in names if not own or each.name not in known)
            case ast.Import(names=names) if any(_is_nautobot(each.name) for each in names):
                module = next(each.name for each in names if _is_nautobot(each.name))
                moves, stays = (), tuple(each.asname or each.name for each in names if _is_nautobot(each.name))
            case _:
                continue
        last = node.end_lineno or node.lineno
        # Columns are counted in bytes.
        before, after = lines[node.lineno - 1][: node.col_offset], lines[last - 1][node.end_col_offset :]
        whole = not before.strip() and (not after.strip() or after.strip().startswith(b"#"))
        yield Import(line=node.lineno, last=last, module=module, moves=moves, stays=stays, whole=whole)


def with_our_imports(source: str, known: Collection[str]) -> str:
    """Return a source in which ``flows`` is imported from where it can be; all else is as it was.

    Args:
        source: the source.
        known: the names that ``flows`` has.

    Raises:
        SyntaxError: it is no Python.
    """
    lines = [line.decode() for line in _lines_of(source)]
    found = [each for each in nautobot_imports(source, known) if each.moves and each.whole]
    for each in sorted(found, key=lambda each: each.line, reverse=True):
        first, last = lines[each.line - 1], lines[each.last - 1]
        indent = first[: len(first) - len(first.lstrip())]
        end = last[len(last.rstrip("\r\n")) :]
        left = [f"{indent}from {each.module} import {', '.join(each.stays)}{end}"] if each.stays else []
        lines[each.line - 1 : each.last] = [*_statement(indent, each.moves, end), *left]
    return "".join(lines)


def _lines_of(source: str) -> list[bytes]:
    """Return the lines as Python counts them, with their ends; those of text would end at more characters."""
    return source.encode().splitlines(keepends=True)


def _statement(indent: str, names: tuple[str, ...], end: str) -> Iterator[str]:
    line = f"{indent}from flows import {', '.join(names)}"
    if len(line) <= 88:
        yield line + end
        return
    newline = end or "\n"
    yield f"{indent}from flows import ({newline}"
    yield from (f"{indent}    {name},{newline}" for name in names)
    yield f"{indent}){end}"


def _is_nautobot(module: str) -> bool:
    return module.partition(".")[0] == "nautobot"


def _written(name: ast.alias) -> str:
    return f"{name.name} as {name.asname}" if name.asname else name.name
