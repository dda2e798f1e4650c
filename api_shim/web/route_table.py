"""Tables of Prefect's routes: what stands for a method and a path below ``/api/``; ``{}`` is any one segment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Generic, TypeVar

R = TypeVar("R")


class RouteTable(Generic[R]):
    """Finds what stands in a table for a request.

    Args:
        rows: what stands for each method and path.
    """

    def __init__(self, rows: Mapping[tuple[str, str], R]) -> None:
        self._rows = rows

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str], R]]:
        """The rows with their paths as patterns; those without a parameter first, as they are the more specific."""
        ordered = sorted(self._rows.items(), key=lambda row: row[0][1].count("{}"))
        return [(method, _pattern(path), what) for (method, path), what in ordered]

    def find(self, method: str, path: str) -> tuple[R | None, str]:
        """Return what stands for a request, and the first parameter of its path; None for one that is not listed.

        Args:
            method: the HTTP method, or another word that the table has in its place.
            path: the decoded path, from ``/api``.
        """
        for known, pattern, what in self._patterns:
            found = pattern.fullmatch(path) if known == method else None
            if found is not None:
                return what, found[1] if found.groups() else ""
        return None, ""


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("/api/" + "([^/]+)".join(map(re.escape, path.split("{}"))) + "/?")
