"""The version that a client has seen: in which ways it can be named, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.parsing.decision import read_decision
from api_shim.parsing.seen import HEADER, NO_ETAG, etag_of, read_seen
from approval_gate.errors import Invalid

TWICE = {"version": ["It is given more than once, with different values."]}


@pytest.mark.parametrize(
    ("if_match", "body", "seen"),
    [
        pytest.param([], {}, None, id="not at all"),
        pytest.param([], {"version": "ab"}, "ab", id="in the body"),
        pytest.param([], {"version": ""}, None, id="an empty one in the body"),
        pytest.param([], {"version": None}, None, id="null in the body"),
        pytest.param(['"ab"'], {}, "ab", id="as If-Match"),
        pytest.param(['W/"ab"'], {}, "ab", id="as If-Match, through a proxy that compresses"),
        pytest.param(["*"], {}, None, id="any version"),
        pytest.param(['""'], {}, "", id="an empty ETag, which no version has"),
        pytest.param(['"ab"'], {"version": "ab"}, "ab", id="in both ways, alike"),
        pytest.param(["*"], {"version": "ab"}, "ab", id="any version, and one in the body"),
        pytest.param([], ["no object"], None, id="a body that is no object"),
    ],
)
def test_a_version_is_named_in_either_way(if_match: list[str], body: Any, seen: str | None) -> None:
    assert read_seen(if_match, body) == seen
    if isinstance(body, dict):
        assert read_decision([], body, if_match).version == seen


@pytest.mark.parametrize(
    ("if_match", "body", "detail"),
    [
        pytest.param(["ab"], {}, {HEADER: [NO_ETAG]}, id="without quotes"),
        pytest.param([""], {}, {HEADER: [NO_ETAG]}, id="empty"),
        pytest.param(['"ab", "cd"'], {}, {HEADER: [NO_ETAG]}, id="two in one header"),
        pytest.param(['"ab"', '"cd"'], {}, TWICE, id="two headers"),
        pytest.param(['"ab"'], {"version": "cd"}, TWICE, id="in both ways, differently"),
        pytest.param([], {"version": 7}, {"version": ["Not a valid string."]}, id="a number"),
        pytest.param([], {"version": ["ab", "cd"]}, {"version": ["Not a valid string."]}, id="several"),
    ],
)
def test_what_names_no_version_is_refused(if_match: list[str], body: Any, detail: Any) -> None:
    with pytest.raises(Invalid) as caught:
        read_seen(if_match, body)
    assert caught.value.detail == detail


def test_an_etag_is_read_as_it_is_written() -> None:
    assert read_seen([etag_of("0123456789ab")], {}) == "0123456789ab"
