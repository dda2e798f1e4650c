"""How fast somebody may try, by whom it is counted, and that nobody is kept out by what others do."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from api_shim.domain.slowdown import PATIENCE, SOURCES, SignInPace, Slowdown, network_of
from approval_gate.errors import TooManyAttempts
from tests.factories import NOW

HERE, THERE = "192.0.2.1", "198.51.100.1"


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# The pace of one source


def test_some_are_free_and_then_one_is_due_every_so_often() -> None:
    pace = Slowdown(free=3, every=2.0)
    waits = []
    for _ in range(5):
        waits.append(pace.wait("a", NOW))
        pace.count("a", NOW)
    assert waits == [0, 0, 0, 2, 4]
    assert pace.wait("a", after(5)) == 1
    assert pace.wait("b", NOW) == 0


def test_whoever_waits_has_their_free_ones_again() -> None:
    pace = Slowdown(free=3, every=2.0)
    for seconds in (0, 0, 0, 6, 6, 6):
        assert pace.wait("a", after(seconds)) == 0
        pace.count("a", after(seconds))


def test_a_flood_is_forgotten_soon_after_it_ends() -> None:
    pace = Slowdown(free=3, every=2.0)
    for _ in range(10_000):
        pace.count("a", NOW)
    assert pace.wait("a", NOW) == PATIENCE + 2
    assert pace.wait("a", after(PATIENCE + 2)) == 0


def test_a_clock_that_is_set_back_makes_nobody_wait_longer_than_usual() -> None:
    pace = Slowdown(free=3, every=2.0)
    for _ in range(3):
        pace.count("a", NOW)
    assert pace.wait("a", after(-3600)) == PATIENCE + 2
    assert pace.wait("a", after(-3600 + PATIENCE)) == 2, "it does not begin again with each attempt"
    assert pace.wait("a", after(-3600 + PATIENCE + 2)) == 0


def test_what_is_taken_back_or_forgotten_does_not_count() -> None:
    pace = Slowdown(free=1, every=2.0)
    added = [pace.count("a", NOW) for _ in range(2)]
    pace.take_back("a", added[-1])
    assert pace.wait("a", NOW) == 2
    pace.forget("a")
    assert pace.wait("a", NOW) == 0
    pace.take_back("never seen", 2.0)
    pace.forget("never seen")


def test_what_has_added_nothing_gives_nothing_back() -> None:
    pace = Slowdown(free=3, every=2.0)
    for _ in range(100):
        pace.take_back("b", pace.count("b", NOW))
        pace.count("a", NOW)
    assert pace.count("a", NOW) == 0
    pace.take_back("a", 0)
    assert (pace.wait("a", NOW), pace.wait("b", NOW)) == (PATIENCE + 2, 0)


def test_no_number_of_sources_fills_the_memory() -> None:
    pace = Slowdown(free=1, every=2.0, sources=3)
    for source in "abacad":
        pace.count(source, NOW)
    assert len(pace._until) == 3
    assert pace.wait("a", NOW) > 0, "who goes on is not forgotten"
    assert pace.wait("b", NOW) == 0


# Signing in


def tried(pace: SignInPace, times: int, username: str = "alice", address: str = HERE, seconds: float = 0) -> float:
    """Fail so many times, and return how long the last one waited."""
    wait = 0.0
    for _ in range(times):
        wait = pace.begin(username, address, after(seconds)).wait
    return wait


def succeed(pace: SignInPace, username: str) -> float:
    """Sign in, and return how long that waited."""
    attempt = pace.begin(username, HERE, NOW)
    pace.succeeded(attempt)
    return attempt.wait


def test_ten_are_free_for_a_name_from_an_address_and_then_one_every_half_minute() -> None:
    pace = SignInPace()
    assert tried(pace, 10) == 0
    with pytest.raises(TooManyAttempts, match=r"Please try again in 30 seconds\.$") as refused:
        tried(pace, 1)
    assert refused.value.after == 30.0
    with pytest.raises(TooManyAttempts, match="in 11 seconds"):
        tried(pace, 1, seconds=19.5)
    assert tried(pace, 1, seconds=25) == 5
    assert tried(pace, 1, seconds=3600) == 0


def test_what_is_refused_makes_nobody_wait_longer() -> None:
    pace = SignInPace()
    tried(pace, 10)
    for _ in range(100):
        with pytest.raises(TooManyAttempts):
            tried(pace, 1)
    assert tried(pace, 1, seconds=30) == 0


def test_a_clock_that_is_set_back_keeps_nobody_from_signing_in() -> None:
    pace = SignInPace()
    tried(pace, 10)
    with pytest.raises(TooManyAttempts, match="in 40 seconds"):
        tried(pace, 1, seconds=-3600)
    assert tried(pace, 1, seconds=-3600 + 40) <= PATIENCE


def test_attempts_from_everywhere_make_a_name_slower_and_never_shut_it() -> None:
    pace = SignInPace()
    waits = [tried(pace, 1, address=f"192.0.2.{number}") for number in range(100)]
    assert waits[:10] == [0] * 10
    assert waits[10:] == sorted(waits[10:])
    assert tried(pace, 1, address=THERE) == PATIENCE


def test_attempts_with_every_name_make_an_address_slower() -> None:
    pace = SignInPace()
    assert [tried(pace, 1, f"user{number}") for number in range(51)] == [0] * 50 + [6]
    with pytest.raises(TooManyAttempts):
        tried(pace, 1, "alice")
    assert tried(pace, 1, "alice", THERE) == 0


def test_who_has_signed_in_from_there_waits_for_nobody_else() -> None:
    pace = SignInPace()
    succeed(pace, "alice")
    for number in range(50):
        tried(pace, 1, f"user{number}")
        tried(pace, 1, address=f"192.0.2.{number + 10}")
    assert tried(pace, 10) == 0
    with pytest.raises(TooManyAttempts):
        tried(pace, 1)


def test_one_that_succeeds_counts_for_nothing() -> None:
    pace = SignInPace()
    for number in range(200):
        assert succeed(pace, f"user{number}") == 0


def test_successes_give_an_address_nothing_that_they_have_not_taken() -> None:
    pace = SignInPace()
    succeed(pace, "alice")
    for number in range(51):
        tried(pace, 1, f"user{number}")
    for _ in range(3):
        tried(pace, 1)
    for _ in range(100):
        succeed(pace, "alice")
    with pytest.raises(TooManyAttempts):
        tried(pace, 1, "bob")


def test_a_name_of_any_length_is_remembered_in_a_few_characters() -> None:
    pace = SignInPace()
    succeed(pace, "x" * 1_000_000)
    assert {len(name) for name, _ in pace._known} == {151}
    assert SOURCES < 100_000


@pytest.mark.parametrize(
    ("address", "source"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", id="IPv4"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="the same within IPv6"),
        pytest.param("2001:db8::1", "2001:db8::/64", id="IPv6"),
        pytest.param("2001:db8:0:0:ffff::9", "2001:db8::/64", id="another address of the same network"),
        pytest.param("fe80::1%eth0", "fe80::/64", id="with an interface"),
        pytest.param("", "", id="none"),
        pytest.param("nonsense" * 1000, "", id="no address"),
    ],
)
def test_whom_an_address_stands_for(address: str, source: str) -> None:
    assert network_of(address) == source
