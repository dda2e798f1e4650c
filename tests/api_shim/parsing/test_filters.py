"""What a query asks of a list."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from api_shim.domain.query import Condition, Pattern
from api_shim.parsing.filters import FILTERS, parameters, read_conditions, read_sort
from api_shim.store.columns import LOOKUPS
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Invalid
from approval_gate.model import ObjectType

SCHEDULED, RESULT = ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT
SOME_ID = UUID("11111111-1111-4111-8111-111111111111")


def condition(*tests: tuple[str, Op, Any], negated: bool = False) -> Condition:
    return Condition(tests=tuple(Lookup(path=p, op=op, value=v) for p, op, v in tests), negated=negated)


@pytest.mark.parametrize(
    ("parameter", "values", "asked"),
    [
        pytest.param("name", ["a", "b"], condition(("name", Op.IN, ("a", "b"))), id="several values"),
        pytest.param("name__n", ["a"], condition(("name", Op.IN, ("a",)), negated=True), id="not"),
        pytest.param(
            "name__nic",
            ["a", "b"],
            condition(("name", Op.ICONTAINS, "a"), ("name", Op.ICONTAINS, "b"), negated=True),
            id="contains neither",
        ),
        pytest.param("interval__ic", ["OUR"], condition(("interval", Op.ICONTAINS, "OUR")), id="a part of a choice"),
        pytest.param("last_run_at__isnull", ["true"], condition(("last_run_at", Op.ISNULL, True)), id="is empty"),
        pytest.param("job_model", ["Greet"], condition(("job_model__name", Op.IN, ("Greet",))), id="a Job by name"),
        pytest.param("job_model", [str(SOME_ID)], condition(("job_model", Op.IN, (SOME_ID,))), id="a Job by id"),
        pytest.param(
            "job_model__n",
            ["Greet", str(SOME_ID)],
            condition(("job_model__name", Op.IN, ("Greet",)), ("job_model", Op.IN, (SOME_ID,)), negated=True),
            id="neither this Job nor that",
        ),
        pytest.param("job_model_id", [str(SOME_ID)], condition(("job_model", Op.IN, (SOME_ID,))), id="by id alone"),
        pytest.param("user__isnull", ["1"], condition(("user", Op.ISNULL, True)), id="nobody owns it"),
        pytest.param(
            "name__ire",
            ["^a"],
            Condition(tests=(Pattern(path="name", regex="^a", ignore_case=True),)),
            id="an expression",
        ),
    ],
)
def test_a_parameter_is_read(parameter: str, values: list[str], asked: Condition) -> None:
    assert read_conditions(SCHEDULED, {parameter: values}) == (asked,)


def test_several_tags_must_all_be_there() -> None:
    read = read_conditions(ObjectType.JOB, {"tags": ["a", "b", ""], "tags__n": ["c", str(SOME_ID)]})
    assert read == (
        condition(("tags__name", Op.IN, ("a",))),
        condition(("tags__name", Op.IN, ("b",))),
        condition(("tags__name", Op.IN, ("c",)), negated=True),
        condition(("tags", Op.IN, (SOME_ID,)), negated=True),
    )


def test_an_empty_value_asks_nothing() -> None:
    query = {"name": [""], "last_run_at__isnull": [""], "interval": ["", "daily"], "total_run_count__gte": [""]}
    assert read_conditions(SCHEDULED, query) == (condition(("interval", Op.IN, ("daily",))),)


@pytest.mark.parametrize(
    ("parameter", "value", "fault"),
    [
        pytest.param("bogus", "1", "Unknown filter field", id="an unknown field"),
        pytest.param("name__gt", "1", "Unknown filter field", id="a suffix that texts do not have"),
        pytest.param("start_time__ic", "1", "Unknown filter field", id="a suffix that times do not have"),
        pytest.param("start_time__isnull", "1", "Unknown filter field", id="what is never empty"),
        pytest.param("name__", "1", "Unknown filter field", id="an empty suffix"),
        pytest.param("__n", "1", "Unknown filter field", id="a suffix of nothing"),
        pytest.param("bogus", "", "Unknown filter field", id="an unknown field, empty"),
        pytest.param("job_model_id", "Greet", "“Greet” is not a valid UUID.", id="a name where an id is wanted"),
        pytest.param("total_run_count__gte", "many", "Enter a whole number.", id="no number"),
        pytest.param("name__re", "(", "Not a regular expression that can be used here: missing ): (.", id="no pattern"),
        pytest.param("last_run_at__isnull", "perhaps", "Must be true or false.", id="perhaps"),
    ],
)
def test_what_cannot_be_read_is_told_under_its_field(parameter: str, value: str, fault: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_conditions(SCHEDULED, {parameter: [value], "name": ["x"]})
    assert caught.value.detail == {parameter: [fault]}


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        read_conditions(RESULT, {"status": ["GOOD"], "bogus": ["1"]})
    assert caught.value.detail == {
        "status": ["Select a valid choice. GOOD is not one of the available choices."],
        "bogus": ["Unknown filter field"],
    }


def test_the_order_is_by_fields_that_there_are() -> None:
    assert read_sort(SCHEDULED, ["name,-start_time", "bogus,-user"]) == ("name", "-start_time", "-user__username")
    assert read_sort(SCHEDULED, ["bogus", ""]) == ()


@pytest.mark.parametrize("kind", LOOKUPS, ids=str)
def test_every_filter_asks_about_something_that_the_store_knows(kind: ObjectType) -> None:
    paths = {path for field in FILTERS[kind].values() for path in (field.path, field.sorts_by)}
    assert paths <= LOOKUPS[kind].every.keys()


@pytest.mark.parametrize("kind", FILTERS, ids=str)
def test_every_parameter_that_is_documented_is_read(kind: ObjectType) -> None:
    samples = {"boolean": "true", "integer": "1", "number": "1.5", "uuid": str(SOME_ID), "date-time": "2030-01-01"}
    for name, schema in parameters(kind):
        sample = schema.get("enum", [samples.get(schema.get("format", schema["type"]), "x")])[0]
        assert len(read_conditions(kind, {name: [sample]})) == 1
