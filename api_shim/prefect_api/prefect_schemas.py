"""Prefect's server remembers which JSON schemas are valid.

Prefect checks the schema of a work pool's variables each time a run is created, which takes a tenth of a run. A schema
that has been found valid is valid the next time, so the same schema is checked once. What values are checked against,
and one that is not valid, are checked each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
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
        usual = {"format_checker": validator.FORMAT_CHECKER}
        validator.check_schema = staticmethod(remembering(validator.check_schema, usual))


def remembering(check: Callable[..., None], usual: Mapping[str, Any]) -> Callable[..., None]:
    """Return a function that checks a schema, unless it has found the same one valid before in the same way.

    What is valid is remembered for the two ways in which Prefect checks: with the usual options, and, through
    ``jsonschema.validate``, with none.

    Args:
        check: raises an error for a schema that is not valid.
        usual: the usual options.
    """
    valid: dict[tuple[bool, bytes], None] = {}

    def check_schema(schema: Any, *more: Any, **options: Any) -> None:
        digest = digest_of(schema) if not more and options in ({}, usual) else b""
        key = (bool(options), digest)
        if key in valid:
            return
        check(schema, *more, **options)
        if digest:
            valid[key] = None
            if len(valid) > MOST:
                valid.pop(next(iter(valid)), None)

    return check_schema


def digest_of(schema: Any) -> bytes:
    """Return what tells a schema from others; empty for one that JSON cannot express."""
    try:
        return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).digest()
    except (TypeError, ValueError, RecursionError):
        return b""
