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
    check = remembering(lambda schema, **_options: checked.append(schema), {"strict": True})
    circular: dict[str, Any] = {}
    circular["properties"] = circular
    for schema in (VALID, {**VALID}, INVALID, circular, circular):
        check(schema, strict=True)
    assert checked == [VALID, INVALID, circular, circular]
    for _ in range(2):
        check(VALID, strict=False)
    assert checked[-2:] == [VALID, VALID], "what is checked otherwise is checked each time"
    already = len(checked)
    for _ in range(2):
        check(VALID)
    assert len(checked) == already + 1, "what was checked with options is checked without any too, once"
    monkeypatch.setattr(prefect_schemas, "MOST", 1)
    check({"type": "string"}, strict=True)
    check(VALID, strict=True)
    assert checked[-2:] == [{"type": "string"}, VALID]


def test_prefect_checks_a_schema_in_the_way_that_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    monkeypatch.setattr(
        validation._VALIDATOR, "check_schema", staticmethod(lambda schema, **_options: checked.append(schema))
    )
    remember_valid_schemas.__wrapped__()
    for _ in range(2):
        validation.is_valid_schema(VALID, preprocess=False)  # type: ignore[arg-type]  # a schema is a plain dictionary
        validation.validate({}, VALID, raise_on_error=True, preprocess=False)  # type: ignore[arg-type]  # as above
    assert checked == [VALID, VALID], "once by each of the two"


def test_prefect_refuses_a_schema_that_is_not_valid_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation._VALIDATOR, "check_schema", validation._VALIDATOR.check_schema)
    remember_valid_schemas.__wrapped__()
    for _ in range(2):
        validation.is_valid_schema(VALID)  # type: ignore[arg-type]  # a schema is a plain dictionary
        with pytest.raises(ValueError, match="Invalid schema"):
            validation.is_valid_schema(INVALID)  # type: ignore[arg-type]  # a schema is a plain dictionary
        with pytest.raises(validation.ValidationError):
            validation.validate({"a": 1}, VALID, raise_on_error=True)  # type: ignore[arg-type]  # as above
