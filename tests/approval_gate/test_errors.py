"""Refusals as people read them."""

from __future__ import annotations

import pytest

from approval_gate.errors import Invalid


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        pytest.param("Decided by bob.", "Decided by bob.", id="one sentence"),
        pytest.param({"detail": "Decided by bob."}, "Decided by bob.", id="as the API has it"),
        pytest.param(["First.", "Second."], "First. Second.", id="a list of sentences"),
        pytest.param({"comment": ["Too long.", "Rude."]}, "comment: Too long. comment: Rude.", id="by field"),
        pytest.param({"schedule": {"name": ["Taken."]}}, "schedule.name: Taken.", id="a field within a field"),
        pytest.param({"errors": {"count": ["Wrong."]}}, "count: Wrong.", id="the errors of inputs"),
        pytest.param({"non_field_errors": ["Odd."]}, "Odd.", id="of no field"),
        pytest.param({"name": ["a\x1b[2J\nb"]}, "name: a [2J b", id="what a terminal would obey"),
        pytest.param({"code": 7}, "{'code': 7}", id="no sentence"),
    ],
)
def test_a_refusal_is_told_readably_and_keeps_what_was_said(detail: object, text: str) -> None:
    refusal = Invalid(detail)
    assert (str(refusal), refusal.detail) == (text, detail)
