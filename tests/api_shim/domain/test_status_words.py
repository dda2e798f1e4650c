"""The words and the tones of statuses: each has one, and they are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest

from api_shim.domain.model import Status
from api_shim.domain.status_words import REQUESTS, RESULTS, SCHEDULES, ScheduleStatus, tone_of, word_of
from approval_gate.lifecycle import ApprovalState

TONES = {"good", "bad", "warn", "live", "plain"}


@pytest.mark.parametrize(
    ("kind", "table"), [(Status, RESULTS), (ApprovalState, REQUESTS), (ScheduleStatus, SCHEDULES)], ids=str
)
def test_each_status_has_a_word_and_a_tone_of_its_own(
    kind: type[StrEnum], table: Mapping[StrEnum, tuple[str, str]]
) -> None:
    assert {*table} == {*kind}
    assert len({*table.values()}) == len(table)
    assert {tone for _, tone in table.values()} <= TONES


def test_what_has_the_same_value_as_two_kinds_is_told_by_its_kind() -> None:
    assert (word_of(Status.PENDING), word_of(ApprovalState.PENDING)) == ("waiting", "waiting for approval")
    assert (tone_of(ScheduleStatus.FAILED), tone_of(Status.FAILURE)) == ("bad", "bad")
