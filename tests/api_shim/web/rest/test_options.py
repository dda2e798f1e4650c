"""What ``OPTIONS`` tells of the objects at an address."""

from __future__ import annotations

import pytest

from api_shim.domain.model import Status
from api_shim.domain.recurrence import Interval
from api_shim.web.rest.options import SHAPES, options_of
from approval_gate.model import ObjectType


@pytest.mark.parametrize("kind", SHAPES, ids=str)
def test_every_field_has_a_type_as_clients_call_it(kind: ObjectType) -> None:
    known = {"string", "boolean", "integer", "float", "datetime", "choice", "list", "nested object"}
    fields = options_of(kind)["actions"]["POST"]
    assert fields.keys() == SHAPES[kind].model_fields.keys()
    assert {field["type"] for field in fields.values()} <= known


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [(ObjectType.JOB_RESULT, "status", [*Status]), (ObjectType.SCHEDULED_JOB, "interval", [*Interval])],
)
def test_a_field_tells_its_choices(kind: ObjectType, field: str, values: list[str]) -> None:
    told = options_of(kind)["actions"]["POST"][field]
    assert told["choices"] == [{"value": value, "display": value} for value in values]


def test_an_address_without_objects_has_no_fields() -> None:
    assert options_of(None).keys() == {"name", "description", "renders", "parses"}
