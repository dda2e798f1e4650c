"""Variables of objects: what is stored of one, what ``run()`` gets, what is refused, and what of a source is told."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest

from approval_gate.errors import Invalid, Unavailable
from flows import Job, MultiObjectVar, ObjectVar
from flows.inputs import read_inputs
from flows.job import arguments_of, validate, validate_again
from flows.objects import MOST_OBJECTS, Object, SourceUnread
from flows.variables import Variable, build_model, describe

SITES = [
    {"id": 1, "name": "Berlin", "region": "eu", "contact": {"mail": "a@example.com"}},
    {"id": 2, "name": "Paris", "region": "eu"},
    {"id": 3, "name": "Lima", "region": "sa"},
]
LEFT_OUT = object()
NO_MORE: list[dict[str, Any]] = []


def no_choice(key: str) -> dict[str, Any]:
    return {"errors": {"it": [f"Select a valid choice. {key} is not one of the available choices."]}}


def sites() -> list[dict[str, Any]]:
    return SITES


def broken() -> list[Any]:
    raise ValueError("the secret of the source")


def read(variable: Variable, value: object, *, look_up: bool = True) -> Any:
    data = {} if value is LEFT_OUT else {"it": value}
    return read_inputs(build_model("Example", {"it": variable}), data, look_up=look_up)["it"]


@pytest.mark.parametrize(
    ("variable", "value", "stored"),
    [
        pytest.param(ObjectVar(sites), "2", "2", id="a key"),
        pytest.param(ObjectVar(sites), 2, "2", id="a key that is a number"),
        pytest.param(ObjectVar(sites), {"id": 2}, "2", id="a key as clients send it"),
        pytest.param(ObjectVar(sites, key="name"), " Lima ", "Lima", id="another field as the key"),
        pytest.param(ObjectVar(sites, default=1), LEFT_OUT, "1", id="a default"),
        pytest.param(ObjectVar(sites, required=False), "", None, id="none"),
        pytest.param(MultiObjectVar(sites), ["2", 1, "2"], ["2", "1"], id="several, each once"),
        pytest.param(MultiObjectVar(sites), "2", ["2"], id="one of several"),
        pytest.param(MultiObjectVar(sites, required=False), LEFT_OUT, [], id="none of several"),
    ],
)
def test_the_key_of_an_object_is_stored(variable: Variable, value: object, stored: object) -> None:
    assert read(variable, value) == stored
    assert read(variable, stored) == stored


@pytest.mark.parametrize(
    ("variable", "value", "errors"),
    [
        pytest.param(ObjectVar(sites), "4", no_choice("4"), id="an unknown key"),
        pytest.param(ObjectVar(sites, query_params={"region": "eu"}), "3", no_choice("3"), id="one not asked for"),
        pytest.param(ObjectVar(sites, default="4"), LEFT_OUT, no_choice("4"), id="a default that is gone"),
        pytest.param(MultiObjectVar(sites), ["1", "4"], no_choice("4"), id="an unknown one of several"),
        pytest.param(ObjectVar(sites), True, {"errors": {"it": ["Enter text."]}}, id="true, which is not 1"),
        pytest.param(ObjectVar(sites), ["1"], {"errors": {"it": ["Enter text."]}}, id="a list for one"),
        pytest.param(MultiObjectVar(sites), {"a": 1}, {"errors": {"it": ["Enter a list of values."]}}, id="no list"),
        pytest.param(MultiObjectVar(sites), [], {"errors": {"it": ["This field is required."]}}, id="an empty list"),
    ],
)
def test_what_the_source_does_not_have_is_refused(variable: Variable, value: object, errors: object) -> None:
    with pytest.raises(Invalid) as refused:
        read(variable, value)
    assert refused.value.detail == errors


class Planned(Job):
    site = ObjectVar(sites)
    others = MultiObjectVar(source=sites, required=False, query_params={"region": ["eu", "af"]})

    def run(self, *, site: Object, others: list[Object]) -> None:
        pass


def test_run_gets_objects_with_attributes() -> None:
    inputs = validate(Planned, {"site": "1", "others": ["2"]}, look_up=True)
    assert inputs == {"site": "1", "others": ["2"]}
    given = arguments_of(Planned, inputs)
    assert given == {"site": SITES[0], "others": [SITES[1]]}
    assert (given["site"].name, given["site"].contact.mail) == ("Berlin", "a@example.com")
    with pytest.raises(AttributeError, match="no 'nothing'"):
        _ = given["site"].nothing


def test_an_object_that_is_gone_is_found_out_by_the_run_and_by_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"site": "1", "others": ["2"]}
    monkeypatch.setattr(f"{__name__}.SITES", NO_MORE)
    assert validate_again(Planned, stored) == stored
    with pytest.raises(Invalid) as refused:
        arguments_of(Planned, stored)
    assert refused.value.detail["errors"].keys() == {"site", "others"}  # type: ignore[index]  # its structure


def test_a_source_that_cannot_be_read_is_said_to_be_so_without_what_it_says() -> None:
    class Broken(Job):
        site = ObjectVar(broken)

        def run(self, *, site: Object) -> None:
            pass

    for look in (lambda: validate(Broken, {"site": "1"}, look_up=True), lambda: arguments_of(Broken, {"site": "1"})):
        with pytest.raises(Unavailable) as refused:
            look()
        assert str(refused.value) == "The choices of site cannot be read: ValueError."


Row = namedtuple("Row", ["id", "name"])


@dataclass
class Site:
    id: int
    name: str


@pytest.mark.parametrize(
    ("row", "key", "title"),
    [
        pytest.param({"id": 1, "display": "Berlin (eu)", "name": "Berlin"}, "1", "Berlin (eu)", id="a mapping"),
        pytest.param(Row(1, "Berlin"), "1", "Berlin", id="a named tuple"),
        pytest.param(Site(1, "Berlin"), "1", "Berlin", id="a dataclass"),
        pytest.param("Berlin", "Berlin", "Berlin", id="a text"),
        pytest.param(7, "7", "7", id="a number"),
    ],
)
def test_a_source_gives_objects_in_many_forms(row: object, key: str, title: str) -> None:
    variable = ObjectVar(lambda: [row])
    [(known, found)] = variable.objects().items()
    assert (known, variable.title_of(found)) == (key, title)


def test_another_field_says_what_an_object_is_called() -> None:
    variable = ObjectVar(sites, display_field="region")
    assert [variable.title_of(each) for each in variable.objects().values()] == ["eu", "eu", "sa"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        pytest.param([{"id": 1}, {"id": "1"}], "two have the same id", id="a key twice"),
        pytest.param([{"name": "a", "id": None}], "one has no id", id="no key"),
        pytest.param([object()], "one is neither", id="no object"),
        pytest.param(range(MOST_OBJECTS + 1), f"more than {MOST_OBJECTS}", id="too many"),
    ],
)
def test_what_a_source_must_not_give(rows: Any, why: str) -> None:
    with pytest.raises(SourceUnread, match=why):
        ObjectVar(lambda: rows)._read()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param({}, "source must be a function", id="no source"),
        pytest.param({"source": "sites.csv"}, "source must be a function", id="a path"),
        pytest.param({"source": lambda request: []}, "without arguments", id="a function with arguments"),
        pytest.param({"model": object}, "ObjectVar has no option model", id="a model"),
        pytest.param({"query_params": {"site": "$site"}}, "cannot refer to another variable", id="another variable"),
        pytest.param({"query_params": ["eu"]}, "query_params must be a dictionary", id="a list of params"),
        pytest.param({"null_option": "None"}, "null_option has no effect without", id="none, though required"),
        pytest.param({"key": ""}, "key must name the field", id="no key"),
    ],
)
def test_what_cannot_work_is_a_problem(arguments: dict[str, Any], problem: str) -> None:
    given = arguments if "source" in arguments or not arguments else {"source": sites, **arguments}
    assert problem in ObjectVar(**given).problem


def test_the_schema_and_the_description_have_no_objects() -> None:
    variables = {"one": ObjectVar(sites, required=False, null_option="Nowhere"), "several": MultiObjectVar(sites)}
    properties = build_model("Shown", variables).model_json_schema()["properties"]
    assert properties["one"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert properties["several"] == {"title": "several", "type": "array", "items": {"type": "string"}, "position": 1}
    assert describe(variables) == [
        {"name": "one", "type": "ObjectVar", "required": False, "null_option": "Nowhere"},
        {"name": "several", "type": "MultiObjectVar", "required": True},
    ]
