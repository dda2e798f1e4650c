"""Which schemas Prefect's server checks again."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.utilities.schema_tools import validation

from api_shim.prefect_api import prefect_schemas
from api_shim.prefect_api.prefect_schemas import remember_valid_schemas, remembering

VALID = {"type": "object", "properties": {"a": {"type": "string"}}}
INVALID = {"type": "object", "properties": {"a": {"type": "nonsense"}}}


def test_a_valid_schema_is_checked_once_and_another_again(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    check = remembering(lambda schema, **_options: checked.append(schema))
    circular: dict[str, Any] = {}
    circular["properties"] = circular
    for schema in (VALID, {**VALID}, INVALID, circular, circular):
        check(schema)
    assert checked == [VALID, INVALID, circular, circular]
    for _ in range(2):
        check(VALID, format_checker="strict")
    assert checked[-2:] == [VALID, VALID], "what is checked otherwise is checked each time"
    monkeypatch.setattr(prefect_schemas, "MOST", 1)
    check({"type": "string"})
    check(VALID)
    assert checked[-2:] == [{"type": "string"}, VALID]


def test_prefect_refuses_a_schema_that_is_not_valid_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation._VALIDATOR, "check_schema", validation._VALIDATOR.check_schema)
    remember_valid_schemas.__wrapped__()
    for _ in range(2):
        validation.is_valid_schema(VALID)  # type: ignore[arg-type]  # a schema is a plain dictionary
        with pytest.raises(ValueError, match="Invalid schema"):
            validation.is_valid_schema(INVALID)  # type: ignore[arg-type]  # a schema is a plain dictionary
        with pytest.raises(validation.ValidationError):
            validation.validate({"a": 1}, VALID, raise_on_error=True)  # type: ignore[arg-type]  # as above
