"""Listens to what a store asks of its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from api_shim.store import Store


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Collect what is asked of the database."""
    said: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement)

    event.listen(store._engine, "after_cursor_execute", hear)
    try:
        yield said
    finally:
        event.remove(store._engine, "after_cursor_execute", hear)
