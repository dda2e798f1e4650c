"""What can be the id of a request, and what belongs to one."""

from __future__ import annotations

import pytest

from api_shim.domain.request_id import current_request, is_taken, within_request
from api_shim.keys import RUN_PREFIX, new_key


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        pytest.param("6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab", True, id="a UUID"),
        pytest.param("4bf92f3577b34da6a3ce929d0e0e4736", True, id="a trace's id"),
        pytest.param("web-1.7_x", True, id="letters, digits, dots, dashes and underscores"),
        pytest.param("x" * 64, True, id="as long as may be"),
        pytest.param("x" * 65, False, id="longer"),
        pytest.param("", False, id="nothing"),
        pytest.param("a b", False, id="a space"),
        pytest.param("a\nb", False, id="a line break"),
        pytest.param("a\n", False, id="a line break at the end"),
        pytest.param("é", False, id="a letter of another alphabet"),
        pytest.param("٣", False, id="a digit of another alphabet"),
        pytest.param("-a", False, id="what a command could take for an option"),
        pytest.param('a"b', False, id="a quote"),
        pytest.param("\x1b[31m", False, id="a terminal's escape"),
        pytest.param(new_key(), False, id="a key in the wrong header"),
        pytest.param(new_key(RUN_PREFIX), False, id="a run's key"),
    ],
)
def test_the_id_of_a_request_is_short_and_plain(sent: str, taken: bool) -> None:
    assert is_taken(sent) is taken


def test_what_is_done_belongs_to_the_request_that_is_answered_and_no_longer() -> None:
    assert current_request() == ""
    with within_request("outer"):
        with within_request("inner"):
            assert current_request() == "inner"
        assert current_request() == "outer"
    assert current_request() == ""
