"""Which account an automation is to act as: read, or refused under its field."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from api_shim.parsing.account import NOT_A_REFERENCE
from api_shim.parsing.automation_account import read_new_account
from api_shim.parsing.sentences import NO_ID, REQUIRED
from approval_gate.errors import Invalid

SOME = UUID(int=7)


@pytest.mark.parametrize(
    ("body", "to"),
    [
        pytest.param({}, None, id="the caller"),
        pytest.param({"user": "alice"}, {"username": "alice"}, id="by name"),
        pytest.param({"user": str(SOME)}, {"id": SOME}, id="by id"),
        pytest.param({"user": {"id": str(SOME), "url": "x"}}, {"id": SOME}, id="as it is shown"),
    ],
)
def test_an_automation_and_an_account_are_read(body: dict[str, Any], to: object) -> None:
    assert read_new_account({"automation": str(SOME), **body}) == (SOME, to)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        pytest.param({}, {"automation": [REQUIRED]}, id="no automation"),
        pytest.param({"automation": "nightly"}, {"automation": [NO_ID]}, id="a name for an automation"),
        pytest.param({"automation": 5}, {"automation": [NO_ID]}, id="a number for an automation"),
        pytest.param({"automation": str(SOME), "user": 5}, {"user": [NOT_A_REFERENCE]}, id="a number for a user"),
        pytest.param(
            {"automation": str(SOME), "digest": "x"}, {"digest": ["This field cannot be changed."]}, id="a digest"
        ),
    ],
)
def test_what_is_wrong_is_told_under_its_field(body: Any, fault: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as refused:
        read_new_account(body)
    assert refused.value.detail == fault
