"""How runs that do not execute end in Prefect, and how that is read back."""

from __future__ import annotations

import pytest

from approval_gate.verdicts import STANDARD, TYPES, tags_with, told, understood, verdict_in

WRITTEN = [
    ("Refused", "It has not been approved.", "Failed", "Refused: It has not been approved."),
    ("Skipped", "Another run has it.", "Cancelled", "Skipped: Another run has it."),
    ("Expired", "Nobody decided.", "Cancelled", "Expired: Nobody decided."),
    ("Denied", "Denied by carol: not today", "Cancelled", "Denied by carol: not today"),
    ("Approved", "Approved by carol.", "Completed", "Approved by carol."),
    ("Cancelled", "The scheduled job is disabled.", "Cancelled", "The scheduled job is disabled."),
    ("Cancelling", "Cancelled by carol.", "Cancelling", "Cancelled by carol."),
    ("Crashed", "Refused: so it says", "Crashed", "Refused: so it says"),
]


@pytest.mark.parametrize(("verdict", "why", "name", "message"), WRITTEN)
def test_a_verdict_is_told_in_the_message_of_a_state_with_a_standard_name(
    verdict: str, why: str, name: str, message: str
) -> None:
    assert told(verdict, why) == (name, message)


@pytest.mark.parametrize(
    ("state_type", "name", "message", "expected"),
    [
        pytest.param("FAILED", "Failed", "Refused: No.", ("Refused", "No."), id="refused"),
        pytest.param("CANCELLED", "Cancelled", "Skipped: a: b", ("Skipped", "a: b"), id="passed over"),
        pytest.param("FAILED", "Refused", "No.", ("Refused", "No."), id="refused, by an earlier version"),
        pytest.param("COMPLETED", "Skipped", "No.", ("Skipped", "No."), id="passed over, by an earlier version"),
        pytest.param("CANCELLED", "Cancelled", "Denied by carol.", ("Cancelled", "Denied by carol."), id="denied"),
        pytest.param("FAILED", "Failed", "Skipped: x", ("Failed", "Skipped: x"), id="a failure that says it skipped"),
        pytest.param("COMPLETED", "Completed", "Refused: x", ("Completed", "Refused: x"), id="completed, it says so"),
        pytest.param("CRASHED", "Crashed", "Refused: x", ("Crashed", "Refused: x"), id="a crash that says so"),
        pytest.param("FAILED", "Failed", "Refused", ("Failed", "Refused"), id="a failure without a reason"),
        pytest.param("FAILED", "", "", ("", ""), id="nothing"),
    ],
)
def test_what_a_state_tells_is_understood(state_type: str, name: str, message: str, expected: tuple[str, str]) -> None:
    assert understood(state_type, name, message) == expected


def test_every_verdict_has_a_standard_name() -> None:
    assert set(TYPES.values()) <= STANDARD.keys()


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("Denied by carol: not by night", "Denied"),
        ("Withdrawn by alice.", "Withdrawn"),
        ("Deleted by admin.", "Deleted"),
        ("Its missed runs are no longer asked about by anybody.", "Cancelled"),
        ("", "Cancelled"),
    ],
)
def test_the_verdict_of_a_decision_is_the_word_that_it_begins_with(sentence: str, verdict: str) -> None:
    assert verdict_in(sentence) == verdict


def test_a_run_has_the_verdict_as_a_tag_once() -> None:
    assert tags_with(["signoff"], "Refused") == ["signoff", "refused"]
    assert tags_with(["signoff", "refused"], "Refused") == ["signoff", "refused"]
    assert tags_with(["signoff"], "Cancelled") == ["signoff"]
