"""Rates of requests: who is counted by what, and what who makes too many is told."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from api_shim.services.request_rates import ACCOUNT, ACCOUNT_WRITES, ADDRESS, ADDRESS_WRITES, RequestRates
from api_shim.services.run_credentials import RunCaller
from api_shim.settings import Limits
from approval_gate.errors import TooManyAttempts
from approval_gate.model import Actor
from tests.conftest import Clock

HERE, THERE = "192.0.2.1", "198.51.100.1"
NONE = Limits(account_requests=0, account_writes=0, address_requests=0, address_writes=0)
ALICE, BOB = (Actor(id=uuid4(), username=name, superuser=True) for name in ("alice", "bob"))
WORKER = Actor(id=uuid4(), username="builder", works_for="signoff")


def counted(rates: RequestRates, caller: Actor | RunCaller | None, address: str, *, writes: bool = False) -> str:
    try:
        rates.count(caller, address, writes=writes)
    except TooManyAttempts as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("limit", "writes", "others", "why"),
    [
        pytest.param("account_requests", False, (BOB, HERE), ACCOUNT, id="an account"),
        pytest.param("account_writes", True, (BOB, HERE), ACCOUNT_WRITES, id="what an account writes"),
        pytest.param("address_requests", False, (BOB, THERE), ADDRESS, id="an address"),
        pytest.param("address_writes", True, (BOB, THERE), ADDRESS_WRITES, id="what an address writes"),
    ],
)
def test_each_may_ask_so_often_a_minute_and_keeps_nobody_else_from_it(
    limit: str, writes: bool, others: tuple[Actor, str], why: str, clock: Clock
) -> None:
    rates = RequestRates(Limits(**{**dict.fromkeys(NONE.__slots__, 0), limit: 4}), clock)
    for _ in range(4):
        assert counted(rates, ALICE, HERE, writes=writes) == ""
    for _ in range(9):
        assert counted(rates, ALICE, HERE, writes=writes) == f"{why} Please try again in 15 seconds."
    assert counted(rates, *others, writes=writes) == ""
    assert (counted(rates, ALICE, HERE) == "") is writes, "reads are counted where all requests are"
    clock.forward(seconds=14)
    assert counted(rates, ALICE, HERE, writes=writes) == f"{why} Please try again in 1 second."
    clock.forward(seconds=1)
    assert counted(rates, ALICE, HERE, writes=writes) == ""
    assert counted(rates, ALICE, HERE, writes=writes) != ""


@pytest.mark.parametrize("writes", [False, True])
def test_what_an_account_is_refused_takes_nothing_from_others_at_its_address(writes: bool, clock: Clock) -> None:
    kind = "writes" if writes else "requests"
    rates = RequestRates(Limits(**{f"account_{kind}": 2, f"address_{kind}": 4}), clock)
    refused = [counted(rates, ALICE, HERE, writes=writes) != "" for _ in range(9)]
    assert refused == [False] * 2 + [True] * 7
    assert [counted(rates, BOB, HERE, writes=writes) for _ in range(2)] == [""] * 2
    assert counted(rates, None, HERE, writes=writes) != "", "what was heard has counted"


def test_who_is_nobody_is_counted_by_their_address(clock: Clock) -> None:
    rates = RequestRates(Limits(address_requests=1), clock)
    assert [counted(rates, None, address) == "" for address in (HERE, HERE, THERE)] == [True, False, True]


def test_workers_and_runs_are_not_counted_and_nobody_is_without_limits(clock: Clock) -> None:
    one = RequestRates(Limits(account_requests=1, account_writes=1, address_requests=1, address_writes=1), clock)
    for caller in (WORKER, RunCaller(run_id=uuid4(), worker=WORKER)) * 3:
        assert counted(one, caller, HERE, writes=True) == ""
    assert counted(one, ALICE, HERE, writes=True) == ""
    assert [counted(RequestRates(NONE, clock), ALICE, HERE, writes=True) for _ in range(9)] == [""] * 9


def test_what_a_run_asks_counts_for_its_user_and_for_no_address(clock: Clock) -> None:
    rates = RequestRates(replace(NONE, account_requests=1, address_requests=1), clock)
    assert counted(rates, ALICE.within_run(uuid4()), HERE) == ""
    assert counted(rates, BOB, HERE) == ""
    assert ACCOUNT in counted(rates, ALICE, THERE)
