"""With what a run is resumed."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.parsing.resumption import read_resumption
from approval_gate.errors import Invalid


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"run_input": None}, None, id="null"),
        pytest.param({"run_input": {"number": 7}}, {"number": 7}, id="what it asks for"),
    ],
)
def test_what_the_run_asks_for_is_read(body: Any, expected: Any) -> None:
    assert read_resumption(body) == expected


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        read_resumption([])
    assert caught.value.detail == {"non_field_errors": ["Expected an object."]}
