"""Prefect's server remembers which JSON schemas are valid.

Prefect checks the schema of a work pool's variables each time a run is created, which takes a tenth of a run. A schema
that has been found valid is valid the next time, so the same schema is checked once. What values are checked against,
and one that is not valid, are checked each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

MOST = 1_000
"""How many schemas are remembered."""


@cache
def remember_valid_schemas() -> None:
    """Have Prefect check each schema once in this process; a version that checks them otherwise stays as it is."""
    from prefect.utilities.schema_tools import validation

    validator = getattr(validation, "_VALIDATOR", None)
    if validator is not None:
        validator.check_schema = staticmethod(remembering(validator.check_schema))


def remembering(check: Callable[..., None]) -> Callable[..., None]:
    """Return a function that checks a schema, unless it has found the same one valid before, both without options.

    Args:
        check: raises an error for a schema that is not valid.
    """
    valid: dict[bytes, None] = {}

    def check_schema(schema: Any, *more: Any, **options: Any) -> None:
        try:
            text = "" if more or options else json.dumps(schema, sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            text = ""
        if not text:
            check(schema, *more, **options)
            return
        key = hashlib.sha256(text.encode()).digest()
        if key in valid:
            return
        check(schema, *more, **options)
        valid[key] = None
        if len(valid) > MOST:
            valid.pop(next(iter(valid)), None)

    return check_schema
