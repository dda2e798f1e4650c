from __future__ import annotations

from typing import Any

import pytest

from flows.log_objects import read_object, with_object


class Django:
    def get_absolute_url(self) -> str:
        return "/dcim/devices/1/"

    def __str__(self) -> str:
        return "Router 1"


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Linked(str):
    absolute_url: Any = ""


def linked(address: Any) -> Linked:
    thing = Linked("Router 1")
    thing.absolute_url = address
    return thing


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        pytest.param("Router 1", ("Router 1", ""), id="a text"),
        pytest.param(7, ("7", ""), id="a number"),
        pytest.param(Django(), ("Router 1", "/dcim/devices/1/"), id="one that knows its page"),
        pytest.param(linked("https://example.com/1"), ("Router 1", "https://example.com/1"), id="one with an address"),
        pytest.param(linked("javascript:alert(1)"), ("Router 1", ""), id="an address that is no page"),
        pytest.param(linked("//example.com"), ("Router 1", ""), id="an address that only looks like a path"),
        pytest.param(linked("/" + "x" * 255), ("Router 1", ""), id="an address that is too long"),
        pytest.param(linked(7), ("Router 1", ""), id="an address that is no text"),
        pytest.param("x" * 300, ("x" * 200, ""), id="a long text"),
        pytest.param("a\x1f/b\x1fc", ("a /b c", ""), id="a text with separators"),
        pytest.param(Broken(), ("", ""), id="one that has no text"),
    ],
)
def test_an_object_is_read_as_it_was_told(thing: object, said: tuple[str, str]) -> None:
    assert read_object(with_object("prefect.flow_runs", thing)) == ("prefect.flow_runs", *said)


@pytest.mark.parametrize("name", ["prefect.flow_runs", "", "x\x1f", "x\x1fa\x1fjavascript:1"])
def test_a_name_that_somebody_else_has_made_is_no_link(name: str) -> None:
    assert read_object(name)[2] == ""
