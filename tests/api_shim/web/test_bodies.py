"""What is read of JSON, and what is not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import anyio
import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from api_shim.web.bodies import DEEPEST, parse_json, read_body
from approval_gate.errors import Invalid

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@given(value=values)
def test_what_is_json_is_read_as_it_was_meant(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(content=st.binary(max_size=200))
def test_whatever_is_sent_is_read_or_refused(content: bytes) -> None:
    # Nothing but a refusal is raised, and what is accepted can be written again.
    with contextlib.suppress(Invalid):
        json.dumps(parse_json(content), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        pytest.param("[" * DEEPEST + "]" * DEEPEST, True, id="as deep as may be"),
        pytest.param("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), False, id="one deeper"),
        pytest.param('{"a":' * DEEPEST + "1" + "}" * DEEPEST, True, id="objects as deep as may be"),
        pytest.param('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), False, id="objects, one deeper"),
        pytest.param('"' + "[" * 1000 + '"', True, id="brackets in a text"),
        pytest.param('"\\ud83d\\ude00"', True, id="a pair of surrogates"),
        pytest.param('"\\ud83d"', False, id="half a pair"),
        pytest.param('"\\\\ud83d"', True, id="what only looks like one"),
        pytest.param("1e308", True, id="a large number"),
        pytest.param("1e309", False, id="a number that is infinite"),
        pytest.param("NaN", False, id="not a number"),
        pytest.param("9" * 4300, True, id="as many digits as may be"),
        pytest.param("9" * 4301, False, id="one digit more"),
    ],
)
def test_the_limits_of_json_are_where_they_are_said_to_be(content: str, accepted: bool) -> None:
    if accepted:
        assert parse_json(content.encode()) == json.loads(content)
    else:
        with pytest.raises(Invalid):
            parse_json(content.encode())


def test_who_hangs_up_in_the_middle_of_a_request_is_refused_like_any_other_half_a_body() -> None:
    sent: list[Message] = [
        {"type": "http.request", "body": b'{"data"', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return sent.pop(0)

    with pytest.raises(Invalid, match="hung up"):
        anyio.run(read_body, Request({"type": "http", "method": "POST", "headers": []}, receive))
