"""A variable of Prefect's as the source of ``ObjectVar`` and ``MultiObjectVar``.

* A run asks Prefect with its own credential, which may read variables. The server reads it as it reads all of Prefect.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flows.objects import READ_VARIABLE, SourceUnread
from flows.sources import KEPT, Kept, rows_in


class PrefectVariable(Kept):
    """The list that a variable of Prefect's has, or its mapping of keys to objects.

    Args:
        name: the name of the variable.
        at: the key of the list within it; empty for the whole of it.
        keep: seconds for which it is kept.
    """

    def __init__(self, name: str, *, at: str = "", keep: float = KEPT) -> None:
        super().__init__(keep=keep)
        self._name = name
        self._at = at

    def fetch(self) -> Iterable[Any]:
        found = (READ_VARIABLE.get() or _ask_prefect)(self._name)
        if found is None:
            raise SourceUnread(f"Prefect has no variable {self._name}.")
        return rows_in(found, self._at)


def _ask_prefect(name: str) -> Any:
    from prefect.variables import Variable

    return Variable.get(name)
