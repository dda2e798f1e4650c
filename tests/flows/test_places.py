"""Where something stands in the source of a Job."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import Job, StringVar
from flows.places import UNKNOWN, Place, place_of, used_of_self


class Base(Job):
    a = StringVar()

    class Meta:
        time_limit = 5


class Derived(Base):
    b: int = 1

    async def run(self, a: str) -> str:
        return self.b * a + self.name


LINES = Path(__file__).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        pytest.param("", "class Derived(Base):", id="the class"),
        pytest.param("run", "    async def run(self, a: str) -> str:", id="a method"),
        pytest.param("b", "    b: int = 1", id="an attribute with a type"),
        pytest.param("a", "    a = StringVar()", id="of a base class"),
        pytest.param("Meta.time_limit", "        time_limit = 5", id="a setting of a base class"),
        pytest.param("Meta.hidden", "    class Meta:", id="a setting that is nowhere"),
        pytest.param("self.name", "        return self.b * a + self.name", id="what is used of self"),
        pytest.param("absent", "class Derived(Base):", id="what is nowhere"),
    ],
)
def test_a_place_is_the_line_that_says_it(attribute: str, line: str) -> None:
    place = place_of(Derived, attribute)
    assert place == Place(__file__, LINES.index(line) + 1)
    assert str(place) == f"{__file__}:{place.line}"


def test_a_function_has_its_line_and_what_is_made_without_a_source_has_none() -> None:
    assert place_of(test_a_place_is_the_line_that_says_it).file == __file__
    assert place_of(type("Made", (), {"__module__": "no_such_module"})) == UNKNOWN
    assert place_of(5) == UNKNOWN


def test_what_a_class_uses_of_self() -> None:
    assert set(used_of_self(Derived)) == {"b", "name"}
