"""Where an approval stands: every state with every step, and what holds for any sequence of steps."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approval_gate.lifecycle import STEPS, ApprovalState, Transition, next_state

NOT_REQUIRED, PENDING, APPROVED = ApprovalState.NOT_REQUIRED, ApprovalState.PENDING, ApprovalState.APPROVED
DENIED, EXPIRED, WITHDRAWN = ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.WITHDRAWN
APPROVE, DENY, WITHDRAW, EXPIRE, RETURN = (
    Transition.APPROVE,
    Transition.DENY,
    Transition.WITHDRAW,
    Transition.EXPIRE,
    Transition.RETURN,
)
IMPOSSIBLE = None

TABLE: dict[tuple[ApprovalState, Transition], ApprovalState | None] = {
    (NOT_REQUIRED, APPROVE): IMPOSSIBLE,
    (NOT_REQUIRED, DENY): IMPOSSIBLE,
    (NOT_REQUIRED, WITHDRAW): IMPOSSIBLE,
    (NOT_REQUIRED, EXPIRE): IMPOSSIBLE,
    (NOT_REQUIRED, RETURN): PENDING,
    (PENDING, APPROVE): APPROVED,
    (PENDING, DENY): DENIED,
    (PENDING, WITHDRAW): WITHDRAWN,
    (PENDING, EXPIRE): EXPIRED,
    (PENDING, RETURN): IMPOSSIBLE,
    (APPROVED, APPROVE): IMPOSSIBLE,
    (APPROVED, DENY): IMPOSSIBLE,
    (APPROVED, WITHDRAW): IMPOSSIBLE,
    (APPROVED, EXPIRE): IMPOSSIBLE,
    (APPROVED, RETURN): PENDING,
    (DENIED, APPROVE): IMPOSSIBLE,
    (DENIED, DENY): IMPOSSIBLE,
    (DENIED, WITHDRAW): IMPOSSIBLE,
    (DENIED, EXPIRE): IMPOSSIBLE,
    (DENIED, RETURN): IMPOSSIBLE,
    (EXPIRED, APPROVE): IMPOSSIBLE,
    (EXPIRED, DENY): IMPOSSIBLE,
    (EXPIRED, WITHDRAW): IMPOSSIBLE,
    (EXPIRED, EXPIRE): IMPOSSIBLE,
    (EXPIRED, RETURN): IMPOSSIBLE,
    (WITHDRAWN, APPROVE): IMPOSSIBLE,
    (WITHDRAWN, DENY): IMPOSSIBLE,
    (WITHDRAWN, WITHDRAW): IMPOSSIBLE,
    (WITHDRAWN, EXPIRE): IMPOSSIBLE,
    (WITHDRAWN, RETURN): IMPOSSIBLE,
}

ROWS = [
    pytest.param(state, step, result, id=f"{state}, {step}: {result or 'impossible'}")
    for (state, step), result in TABLE.items()
]


@pytest.mark.parametrize(("state", "step", "result"), ROWS)
def test_what_a_step_leads_to(state: ApprovalState, step: Transition, result: ApprovalState | None) -> None:
    assert next_state(state, step) is result


def test_no_pair_is_left_out_above_and_none_can_be_changed_elsewhere() -> None:
    assert set(TABLE) == set(product(ApprovalState, Transition))
    assert {pair: result for pair, result in TABLE.items() if result} == STEPS


@pytest.mark.parametrize(
    ("state", "lets_run"),
    [
        pytest.param(NOT_REQUIRED, True, id="what needs no approval may run"),
        pytest.param(PENDING, False, id="what waits may not"),
        pytest.param(APPROVED, True, id="what is approved may"),
        pytest.param(DENIED, False, id="what was denied may not"),
        pytest.param(EXPIRED, False, id="what nobody decided in time may not"),
        pytest.param(WITHDRAWN, False, id="what was withdrawn may not"),
    ],
)
def test_what_may_run(state: ApprovalState, lets_run: bool) -> None:
    assert state.lets_run is lets_run


def states(steps: list[Transition]) -> list[ApprovalState]:
    """Return the states that a request goes through; a step that cannot be taken changes nothing."""
    passed = [PENDING]
    for step in steps:
        passed.append(next_state(passed[-1], step) or passed[-1])
    return passed


SEQUENCES = st.lists(st.sampled_from(Transition), max_size=30)


@given(SEQUENCES)
def test_denied_withdrawn_or_expired_is_for_ever(steps: list[Transition]) -> None:
    for before, then in pairwise(states(steps)):
        assert then is before or before not in {DENIED, WITHDRAWN, EXPIRED}


@given(SEQUENCES)
def test_only_an_approval_lets_a_request_run_and_only_while_it_waits(steps: list[Transition]) -> None:
    for step, (before, then) in zip(steps, pairwise(states(steps)), strict=True):
        if then.lets_run and then is not before:
            assert (before, step, then) == (PENDING, APPROVE, APPROVED)


@given(SEQUENCES)
def test_every_change_is_a_decision_about_what_waits_or_a_return_of_what_was_approved(steps: list[Transition]) -> None:
    for step, (before, then) in zip(steps, pairwise(states(steps)), strict=True):
        if then is not before:
            assert before is (APPROVED if step is RETURN else PENDING)
            assert then is TABLE[before, step]


@given(SEQUENCES)
def test_no_request_ever_comes_to_need_no_approval(steps: list[Transition]) -> None:
    assert NOT_REQUIRED not in states(steps)
