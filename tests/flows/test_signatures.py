"""The variables of a function: which type hint makes which, what is stored of a value, what the function gets."""

from __future__ import annotations

import enum
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, Secret, SecretStr

from approval_gate.errors import Invalid
from flows.inputs import read_inputs
from flows.signatures import parameters_of
from flows.variables import BadJob, build_model, describe


class Size(enum.Enum):
    SMALL = "s"
    VERY_LARGE = "xl"


class Site(BaseModel):
    name: str
    opened: date = date(2030, 1, 1)
    tags: set[str] = set()


class Key(BaseModel):
    token: SecretStr


def everything(
    text: str,
    count: Annotated[int, Field(ge=1, le=9, description="How many.")],
    size: Size = Size.SMALL,
    kinds: list[Literal["a", "b"]] = ["a"],  # noqa: B006 - as flows have it
    site: Site = Site(name="ams"),  # noqa: B008 - as flows have it
    day: date | None = None,
    rate: float = 0.5,
    path: Path = Path("/tmp"),
    dryrun: bool = False,
    anything=None,  # type: ignore[no-untyped-def]
    *,
    limit: int = Field(default=3, title="Limit", lt=5),
) -> None:
    """Has parameters of many types."""


def stored(function: Any, data: dict[str, Any]) -> dict[str, Any]:
    return read_inputs(
        build_model("F", {name: each.variable for name, each in parameters_of(function, {}).items()}), data
    )


def given(function: Any, data: dict[str, Any]) -> dict[str, Any]:
    parameters = parameters_of(function, {})
    return {name: parameters[name].value(value) for name, value in stored(function, data).items()}


def refused(function: Any, data: dict[str, Any]) -> Any:
    with pytest.raises(Invalid) as refusal:
        stored(function, data)
    return refusal.value.detail["errors"]  # type: ignore[index]


def test_each_type_has_its_variable() -> None:
    found = parameters_of(everything, {"text": "What it says."})
    shown = {each["name"]: each for each in describe({name: each.variable for name, each in found.items()})}
    assert {name: each["type"] for name, each in shown.items()} == {
        "text": "StringVar",
        "count": "IntegerVar",
        "size": "ChoiceVar",
        "kinds": "MultiChoiceVar",
        "site": "ParameterVar",
        "day": "ParameterVar",
        "rate": "ParameterVar",
        "path": "ParameterVar",
        "dryrun": "DryRunVar",
        "anything": "ParameterVar",
        "limit": "ParameterVar",
    }
    assert shown["text"]["help_text"] == "What it says."
    assert (shown["count"]["min_value"], shown["count"]["max_value"]) == (1, 9)
    assert shown["count"]["help_text"] == "How many."
    assert shown["size"]["choices"] == [["s", "SMALL"], ["xl", "VERY LARGE"]]
    assert shown["limit"]["label"] == "Limit"
    assert [name for name, each in shown.items() if each["required"]] == ["text", "count"]


def test_the_schema_is_that_of_the_types() -> None:
    variables = {name: each.variable for name, each in parameters_of(everything, {}).items()}
    properties = build_model("F", variables).model_json_schema()["properties"]
    assert properties["site"]["$ref"] == "#/$defs/Site"
    assert properties["site"]["default"] == {"name": "ams", "opened": "2030-01-01", "tags": []}
    assert {"type": "string", "format": "date"} in properties["day"]["anyOf"]
    assert properties["limit"]["exclusiveMaximum"] == 5


def test_what_is_stored_is_complete_and_in_json_form_and_the_function_gets_its_types() -> None:
    sent = {"text": "x", "count": "3", "size": "xl", "site": {"name": "ber", "tags": ["b"]}, "day": "2031-02-03"}
    assert stored(everything, sent) == {
        "text": "x",
        "count": 3,
        "size": "xl",
        "kinds": ["a"],
        "site": {"name": "ber", "opened": "2030-01-01", "tags": ["b"]},
        "day": "2031-02-03",
        "rate": 0.5,
        "path": "/tmp",
        "dryrun": False,
        "anything": None,
        "limit": 3,
    }
    got = given(everything, sent)
    assert got["site"] == Site(name="ber", tags={"b"})
    assert (got["day"], got["size"], got["path"]) == (date(2031, 2, 3), Size.VERY_LARGE, Path("/tmp"))
    assert stored(everything, stored(everything, sent)) == stored(everything, sent)


@pytest.mark.parametrize(
    ("name", "typed", "expected"),
    [
        pytest.param("site", '{"name": "ber"}', {"name": "ber", "opened": "2030-01-01", "tags": []}, id="JSON"),
        pytest.param("day", "2031-02-03", "2031-02-03", id="a date"),
        pytest.param("day", " ", None, id="nothing"),
        pytest.param("rate", "2.5", 2.5, id="a number"),
        pytest.param("anything", '{"a": [1]}', {"a": [1]}, id="JSON where anything may be"),
        pytest.param("anything", "some text", "some text", id="text where anything may be"),
        pytest.param("anything", '"5"', '"5"', id="text in quotes, which stays the same when it is read again"),
    ],
)
def test_forms_send_text(name: str, typed: str, expected: Any) -> None:
    assert stored(everything, {"text": "x", "count": 1, name: typed})[name] == expected


@pytest.mark.parametrize(
    ("name", "sent", "told"),
    [
        pytest.param("site", {"nam": "x"}, "name: Field required.", id="a field of a model"),
        pytest.param("day", "soon", "Input should be a valid date", id="no date"),
        pytest.param("limit", 7, "Input should be less than 5.", id="a limit of its own"),
        pytest.param("count", 10, "Ensure this value is less than or equal to 9.", id="a limit that variables have"),
        pytest.param("site", {"__prefect_kind": 1}, "The key __prefect_kind is not allowed.", id="a template"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(name: str, sent: Any, told: str) -> None:
    errors = refused(everything, {"text": "x", "count": 1, name: sent})
    assert list(errors) == [name]
    assert errors[name][0].startswith(told)


def test_a_secret_is_stored_as_it_was_sent() -> None:
    def signs(key: Key) -> None: ...

    assert parameters_of(signs, {})["key"].secret
    assert stored(signs, {"key": {"token": "abc"}}) == {"key": {"token": "abc"}}
    assert given(signs, {"key": {"token": "abc"}})["key"].token.get_secret_value() == "abc"


class Strange:
    """What pydantic knows nothing of."""


def of_strange(thing: Strange) -> None: ...


def of_any_number(*things: int) -> None: ...


def of_what_is_not_there(thing: Nothing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - meant


def of_a_wrong_default(count: int = "many") -> None: ...  # type: ignore[assignment]


def of_a_known_secret(key: SecretStr = SecretStr("abc")) -> None: ...  # noqa: B008 - as flows have it


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (of_strange, "has a parameter thing of a type that cannot be read from JSON"),
        (of_any_number, "cannot be called with things by its name"),
        (of_what_is_not_there, "has type hints that cannot be read: name 'Nothing' is not defined"),
        (of_a_wrong_default, "has a parameter count with a default that is not of its type"),
        (of_a_known_secret, "has a parameter key with a secret as its default"),
    ],
)
def test_what_cannot_be_called_with_inputs_is_refused(function: Any, told: str) -> None:
    with pytest.raises(BadJob, match=told):
        parameters_of(function, {})


class Aliased(BaseModel):
    site_name: str = Field(alias="siteName")
    internal: int = Field(default=1, exclude=True)


def as_it_was(site: Aliased, name: str | None = None, sep: str = ", ", flag: bool | None = None) -> None: ...


def test_what_is_stored_is_read_as_the_same_and_defaults_are_those_of_the_function() -> None:
    parameters = parameters_of(as_it_was, {})
    model = build_model("Flow", {name: each.variable for name, each in parameters.items()})
    sent = {"site": {"siteName": "a", "internal": 7}}
    kept = read_inputs(model, sent)
    assert kept == read_inputs(model, kept)
    values = {name: each.value(kept[name]) for name, each in parameters.items()}
    assert (values["site"].site_name, values["site"].internal) == ("a", 7)
    assert (values["name"], values["sep"], values["flag"]) == (None, ", ", None)


def keyed(key: Secret[str]) -> None: ...


def test_a_secret_of_any_type_is_one() -> None:
    assert parameters_of(keyed, {})["key"].secret
