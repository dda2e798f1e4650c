"""What the pages with lists have in common."""

from __future__ import annotations

from uuid import uuid4

import pytest
from starlette.datastructures import FormData, QueryParams

from api_shim.web.pages.lists import asked_in, headings, selected_in

COLUMNS = (("name", "Name"), ("", "State"))


def test_an_address_tells_what_is_asked_and_nothing_that_is_empty() -> None:
    query = QueryParams("q=%20a%00b%20&job=&other=1&sort=-name")
    assert asked_in(query, ("q", "job", "sort")) == {"q": "ab", "sort": "-name"}


def test_what_is_selected_are_ids() -> None:
    ids = [uuid4(), uuid4()]
    form = FormData([("id", str(ids[0])), ("id", "nonsense"), ("other", str(uuid4())), ("id", str(ids[1]))])
    assert selected_in(form) == ids


@pytest.mark.parametrize(
    ("asked", "order", "link"),
    [
        pytest.param({}, "ascending", "?sort=-name", id="as it is sorted if nobody says"),
        pytest.param({"q": "a&b", "sort": "-name"}, "descending", "?q=a%26b&sort=name", id="turned, with the filter"),
        pytest.param({"sort": "job"}, "", "?sort=name", id="sorted by another column"),
    ],
)
def test_a_heading_sorts_and_then_turns_the_order(asked: dict[str, str], order: str, link: str) -> None:
    name, state = headings(COLUMNS, asked, "name")
    assert name == {"name": "Name", "link": link, "order": order}
    assert state == {"name": "State", "link": "", "order": ""}
