"""Signing in with a browser: who may, how often somebody may try, how long it lasts, and what ends it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import IDLE, LONGEST, Password, Session, Token, User
from api_shim.domain.audit import EventType
from api_shim.domain.slowdown import PATIENCE, TOO_MANY
from api_shim.services import sessions as module
from api_shim.services.authentication import Unauthenticated, hash_key
from api_shim.services.sessions import WRONG, Sessions, Visitor
from api_shim.settings import SignInRules
from api_shim.store import Store
from approval_gate.errors import Conflict, Invalid, NotFound, TooManyAttempts
from tests.conftest import Clock
from tests.factories import administering

HERE, THERE = "192.0.2.1", "192.0.2.2"
PASSWORD = "correct horse"
MADE = "the key of a token that was made with another"


class Door:
    """Where people sign in.

    Args:
        store: an empty one.
        clock: tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.identity = administering(store)
        self.waited: list[float] = []
        self.noted: list[tuple[UUID, str]] = []
        self.sessions = Sessions(store, clock, self._note, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def _note(self, token: Token, address: str) -> None:
        self.noted.append((token.id, address))

    def user(self, name: str = "alice", password: str = PASSWORD) -> User:
        user = self.identity.add_user(name, self.clock.now)
        self.identity.set_password(name, password, self.clock.now)
        return user

    def enter(self, name: str, secret: str, address: str = HERE) -> str:
        """Sign in, and return the session's key."""
        return asyncio.run(self.sessions.sign_in(name, secret, address))[0]

    def resume(self, key: str) -> Visitor:
        return asyncio.run(self.sessions.resume(key))

    def is_in(self, key: str) -> bool:
        try:
            self.resume(key)
        except Unauthenticated:
            return False
        return True

    def refused(self, name: str, secret: str, address: str = HERE) -> str:
        with pytest.raises((Unauthenticated, TooManyAttempts)) as refusal:
            self.enter(name, secret, address)
        return str(refusal.value)

    def change_user(self, name: str, **to: object) -> None:
        with self.store.transaction() as tx:
            user = tx.get(User, username=name)
            assert user is not None
            tx.change(user, **to)

    def tokens(self) -> list[Token]:
        with self.store.transaction(write=False) as tx:
            return tx.all(Token)

    def remove_tokens(self) -> None:
        with self.store.transaction() as tx:
            for token in tx.all(Token):
                tx.remove(token)

    def stored(self) -> list[Session]:
        with self.store.transaction(write=False) as tx:
            return tx.all(Session)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that are hashed with less care than real ones, for the time that it takes."""
    hasher = module.PasswordHasher
    monkeypatch.setattr(module, "PasswordHasher", lambda: hasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def door(sqlite_store: Store, clock: Clock) -> Door:
    return Door(sqlite_store, clock)


@pytest.fixture
def doors(store: Store, clock: Clock) -> Door:
    """One on the databases of ``store_url``."""
    return Door(store, clock)


# Who may


@pytest.mark.each_database
def test_a_name_and_its_password_begin_a_session(door: Door) -> None:
    alice = door.user()
    visitor = door.resume(door.enter("alice", PASSWORD))
    assert (visitor.actor.id, visitor.session.user_id, visitor.session.token_id) == (alice.id, alice.id, None)
    assert not visitor.actor.read_only


@pytest.mark.parametrize("name", ["Alice", "ＡＬＩＣＥ"])
def test_a_name_may_be_written_otherwise_and_is_the_same_also_when_attempts_are_counted(door: Door, name: str) -> None:
    alice = door.user()
    key = door.identity.add_token("alice", door.clock.now)
    assert {door.resume(door.enter(name, secret)).actor.id for secret in (PASSWORD, key)} == {alice.id}
    for number in range(11):
        door.refused(("alice", name)[number % 2], "wrong")
    assert TOO_MANY in door.refused(name, PASSWORD)


@pytest.mark.parametrize("name", ["alice", ""])
def test_a_token_is_enough_with_its_users_name_or_without(door: Door, name: str) -> None:
    alice = door.user()
    key = door.identity.add_token("alice", door.clock.now)
    visitor = door.resume(door.enter(name, f" {key} "))
    assert (visitor.actor.id, visitor.session.token_id) == (alice.id, door.tokens()[0].id)


def test_a_session_ends_with_the_token_that_its_token_was_made_with(door: Door) -> None:
    alice = door.user()
    door.identity.add_token("alice", door.clock.now)
    (maker,) = door.tokens()
    made = Token(id=uuid4(), user_id=alice.id, key_hash=hash_key(MADE), created=door.clock.now, made_with_id=maker.id)
    with door.store.transaction() as tx:
        tx.add(made)
    key = door.enter("alice", MADE)
    assert door.is_in(key)
    with door.store.transaction() as tx:
        tx.remove(maker)
    assert not door.is_in(key)
    assert door.refused("alice", MADE) == WRONG


def test_who_signs_in_with_a_token_that_only_reads_may_only_read(door: Door) -> None:
    door.user()
    key = door.identity.add_token("alice", door.clock.now, write_enabled=False)
    assert door.resume(door.enter("alice", key)).actor.read_only


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", PASSWORD.upper()),
        ("alicé", PASSWORD),
        ("bob", PASSWORD),
        ("", PASSWORD),
        ("nobody", PASSWORD),
        ("alice\0", PASSWORD),
        ("alice\ud800", PASSWORD),
        ("alice", f"{PASSWORD}\0"),
        ("alice", "\ud800"),
    ],
)
def test_what_does_not_fit_is_refused_in_the_same_words(doors: Door, name: str, secret: str) -> None:
    doors.user()
    doors.user("bob", "another password")
    assert doors.refused(name, secret) == WRONG
    assert doors.stored() == []


def test_a_token_does_not_sign_in_somebody_else(door: Door) -> None:
    door.user()
    door.user("bob")
    key = door.identity.add_token("alice", door.clock.now)
    assert door.refused("bob", key) == WRONG


def test_who_is_deactivated_or_whose_token_has_expired_cannot_sign_in(door: Door) -> None:
    door.user()
    key = door.identity.add_token("alice", door.clock.now, expires=door.clock.now + timedelta(days=1))
    door.clock.forward(days=1)
    assert door.refused("alice", key) == WRONG
    door.change_user("alice", is_active=False)
    assert door.refused("alice", PASSWORD) == WRONG


@pytest.mark.parametrize("with_name", ["helper", ""])
def test_an_agent_signs_in_with_nothing_and_has_no_password(door: Door, with_name: str) -> None:
    door.user()
    door.identity.add_user("helper", door.clock.now, acts_for="alice")
    key = door.identity.add_token("helper", door.clock.now)
    assert door.refused(with_name, key) == WRONG
    with pytest.raises(Conflict, match="An agent asks for a person"):
        door.identity.set_password("helper", PASSWORD, door.clock.now)
    assert door.refused("helper", PASSWORD) == WRONG
    assert (door.stored(), door.noted) == ([], [])


@pytest.mark.parametrize("with_token", [True, False], ids=["by a token", "by a password"])
def test_what_an_agent_had_before_is_good_no_more(door: Door, with_token: bool) -> None:
    door.user()
    key = door.enter("alice", door.identity.add_token("alice", door.clock.now) if with_token else PASSWORD)
    door.change_user("alice", is_agent=True)
    assert not door.is_in(key)
    assert door.refused("alice", PASSWORD) == WRONG
    door.sessions.rules = SignInRules(passwords=False, break_glass="alice")
    assert door.refused("alice", PASSWORD) == WRONG


def test_who_is_not_known_takes_as_long_to_refuse(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.user()
    door.identity.add_user("tokens-only", door.clock.now)
    door.user("gone")
    door.change_user("gone", is_active=False)
    tried = []
    fits = door.sessions._fits
    monkeypatch.setattr(door.sessions, "_fits", lambda hashed, secret: tried.append(hashed) or fits(hashed, secret))
    for name in ("alice", "nobody", "tokens-only", "gone", ""):
        door.refused(name, "wrong")
    # Each had a hash of the same cost to compare with.
    assert len(tried) == 5
    assert len({hashed.rpartition("$")[0].rpartition("$")[0] for hashed in tried}) == 1


# How often; the pace itself is told by test_slowdown.py


def test_after_ten_wrong_attempts_the_next_is_due_later(door: Door) -> None:
    door.user()
    for _ in range(10):
        assert door.refused("alice", "wrong") == WRONG
    assert door.refused("alice", PASSWORD) == f"{TOO_MANY} Please try again in 30 seconds."
    door.clock.forward(seconds=25)
    assert door.is_in(door.enter("alice", PASSWORD))
    assert door.waited == [5.0]


def test_who_finds_no_seat_to_wait_is_told_when_to_try_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.user()

    async def nowhere(seconds: float) -> bool:
        return not seconds

    monkeypatch.setattr(door.sessions._room, "wait", nowhere)
    for _ in range(10):
        door.refused("alice", "wrong")
    door.clock.forward(seconds=25)
    with pytest.raises(TooManyAttempts, match=r"Please try again in 10 seconds\.$") as refused:
        door.enter("alice", PASSWORD)
    assert refused.value.after == PATIENCE


def test_nobody_keeps_somebody_out_by_trying_their_name_from_elsewhere(door: Door) -> None:
    door.user()
    for number in range(200):
        door.refused("alice", "wrong", f"192.0.2.{number}")
    door.waited.clear()
    assert door.is_in(door.enter("alice", PASSWORD, "198.51.100.1"))
    assert door.waited == [PATIENCE], "it only takes longer"


def test_who_has_signed_in_from_there_before_does_not_wait_for_others(door: Door) -> None:
    door.user()
    door.enter("alice", PASSWORD)
    for number in range(100):
        door.refused("alice", "wrong", f"192.0.2.{number + 10}")
        door.refused(f"user{number}", "wrong")
    door.waited.clear()
    assert door.is_in(door.enter("alice", PASSWORD))
    assert door.waited == []


def test_fifty_wrong_attempts_from_an_address_slow_it_whatever_the_name(door: Door) -> None:
    door.user()
    for number in range(51):
        assert door.refused(f"user{number}", "wrong") == WRONG
    assert door.waited == [6.0]
    assert door.refused("alice", PASSWORD).startswith(TOO_MANY)
    assert door.is_in(door.enter("alice", PASSWORD, THERE))


def test_attempts_that_succeed_do_not_count(door: Door) -> None:
    door.user()
    for _ in range(60):
        door.enter("alice", PASSWORD)
    assert door.waited == []


@pytest.mark.parametrize("name", ["alice", ""])
def test_a_token_never_waits(door: Door, name: str) -> None:
    door.user()
    key = door.identity.add_token("alice", door.clock.now)
    for _ in range(60):
        door.refused(name, "wrong")
    door.waited.clear()
    assert door.is_in(door.enter(name, key))
    assert door.waited == []


def test_a_token_that_signs_in_has_been_used(door: Door) -> None:
    door.user()
    door.enter("", door.identity.add_token("alice", door.clock.now))
    door.enter("alice", PASSWORD)
    assert door.noted == [(door.tokens()[0].id, HERE)]


def test_many_at_the_same_moment_are_counted_like_others(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.user()
    tried = []
    fits = door.sessions._fits
    monkeypatch.setattr(door.sessions, "_fits", lambda hashed, secret: tried.append(secret) or fits(hashed, secret))

    async def many() -> list[BaseException | tuple[str, Session]]:
        attempts = (door.sessions.sign_in("alice", f"guess {number}", HERE) for number in range(60))
        return await asyncio.gather(*attempts, return_exceptions=True)

    refusals = asyncio.run(many())
    assert {type(refusal) for refusal in refusals} == {Unauthenticated, TooManyAttempts}
    assert len(tried) == 10


# How long


def test_a_session_ends_after_half_a_day_without_use(door: Door) -> None:
    door.user()
    key = door.enter("alice", PASSWORD)
    door.clock.forward(seconds=IDLE.total_seconds())
    assert door.is_in(key)
    door.clock.forward(seconds=IDLE.total_seconds() + 1)
    assert not door.is_in(key)


@pytest.mark.parametrize("hours", [12, 1, 168])
def test_a_session_that_is_used_ends_all_the_same_when_it_has_lasted_as_long_as_one_may(door: Door, hours: int) -> None:
    door.user()
    door.sessions.rules = SignInRules(longest=timedelta(hours=hours))
    key, begun = door.enter("alice", PASSWORD), door.clock.now
    door.clock.forward(minutes=30)
    while door.clock.now + timedelta(hours=6) <= begun + timedelta(hours=hours):
        door.clock.forward(hours=6)
        assert door.is_in(key)
    door.clock.now = begun + timedelta(hours=hours)
    assert door.is_in(key)
    door.clock.forward(seconds=1)
    assert not door.is_in(key)


def test_that_a_session_is_used_is_noted_only_now_and_then(door: Door) -> None:
    door.user()
    key = door.enter("alice", PASSWORD)

    def seen_after(minutes: int) -> datetime:
        door.clock.forward(minutes=minutes)
        door.resume(key)
        return door.stored()[0].seen

    begun = door.clock.now
    assert seen_after(minutes=4) == begun
    assert seen_after(minutes=2) == door.clock.now


def test_from_where_and_with_what_a_session_was_last_used_is_noted_with_that(door: Door) -> None:
    door.user()
    key, _ = asyncio.run(door.sessions.sign_in("alice", PASSWORD, HERE, "Firefox on Linux"))

    def noted(address: str, browser: str) -> tuple[str, str]:
        asyncio.run(door.sessions.resume(key, address, browser))
        [session] = door.stored()
        return session.used_from, session.browser

    assert noted("192.0.2.7", "Safari on iPhone") == (HERE, "Firefox on Linux")
    door.clock.forward(minutes=6)
    assert noted("192.0.2.7" * 20, "Safari on iPhone") == (("192.0.2.7" * 20)[:64], "Safari on iPhone")


def test_sessions_that_are_long_over_are_removed_when_their_user_comes_again(door: Door) -> None:
    door.user()
    door.enter("alice", PASSWORD)
    door.clock.forward(seconds=LONGEST.total_seconds() + 1)
    door.enter("alice", PASSWORD)
    assert len(door.stored()) == 1


# Passwords switched off


@pytest.mark.parametrize(
    ("who", "rules", "enters"),
    [
        pytest.param("alice", SignInRules(), True, id="everybody's password is good"),
        pytest.param("alice", SignInRules(passwords=False), False, id="switched off"),
        pytest.param("alice", SignInRules(passwords=False, break_glass="root"), False, id="another account's is kept"),
        pytest.param("alice", SignInRules(passwords=False, break_glass="alice"), True, id="theirs is kept"),
        pytest.param("ALICE", SignInRules(passwords=False, break_glass="Alice"), True, id="in other letters"),
        pytest.param("", SignInRules(passwords=False, break_glass=""), False, id="nobody's name"),
    ],
)
def test_where_passwords_are_switched_off_one_account_may_have_one(
    door: Door, who: str, rules: SignInRules, enters: bool
) -> None:
    door.user("alice")
    before = door.enter("alice", PASSWORD)
    door.sessions.rules = rules
    if enters:
        assert door.is_in(door.enter(who, PASSWORD))
    else:
        assert door.refused(who, PASSWORD) == WRONG
    # So does the session of who has signed in with one.
    assert door.is_in(before) is (enters or rules.passwords)
    assert door.is_in(door.enter("", door.identity.add_token("alice", door.clock.now)))


def test_the_account_whose_password_is_kept_is_slowed_as_others_are(door: Door) -> None:
    door.user("root")
    door.sessions.rules = SignInRules(passwords=False, break_glass="root")
    for _ in range(11):
        door.refused("root", "wrong")
    assert TOO_MANY in door.refused("root", PASSWORD)


def test_who_has_signed_in_and_out_and_with_what_is_in_the_audit(door: Door) -> None:
    alice = door.user()
    token = door.identity.add_token("alice", door.clock.now)
    key = door.enter("alice", PASSWORD)
    door.enter("", token, THERE)
    asyncio.run(door.sessions.sign_out(key))
    with door.store.transaction(write=False) as tx:
        told = [each for each in tx.events(0, 100) if each.act.startswith("sign-in.")]
    assert [(each.act, each.actor, each.data.get("way"), each.data.get("address")) for each in told] == [
        (EventType.SIGNED_IN, "alice", "password", HERE),
        (EventType.SIGNED_IN, "alice", "token", THERE),
        (EventType.SIGNED_OUT, "alice", None, None),
    ]
    assert {each.actor_id for each in told} == {alice.id}
    assert not any(secret in str(told) for secret in (PASSWORD, token, key))


# What ends it


def test_only_hashes_are_kept(door: Door) -> None:
    door.user()
    key = door.enter("alice", PASSWORD)
    [session] = door.stored()
    assert key not in repr(session)
    assert session.key_hash != key
    with door.store.transaction(write=False) as tx:
        [password] = tx.all(Password)
    assert password.hash.startswith("$argon2id$")
    assert PASSWORD not in password.hash


@pytest.mark.each_database
def test_signing_out_ends_this_session_and_no_other(doors: Door) -> None:
    doors.user()
    here, there = doors.enter("alice", PASSWORD), doors.enter("alice", PASSWORD)
    asyncio.run(doors.sessions.sign_out(here))
    assert (doors.is_in(here), doors.is_in(there)) == (False, True)


def test_a_session_can_be_ended_by_who_has_its_key(door: Door) -> None:
    door.user()
    key = door.enter("alice", PASSWORD)
    for other in ("", "no key", key):
        asyncio.run(door.sessions.sign_out(other))
    assert door.stored() == []
    with door.store.transaction(write=False) as tx:
        acts = [each.act for each in tx.newest_events(2)]
    assert acts == [EventType.SIGNED_OUT, EventType.SIGNED_IN]


def test_each_session_has_keys_of_its_own(door: Door) -> None:
    door.user()
    keys = {door.enter("alice", PASSWORD) for _ in range(3)}
    assert len(keys) == len({session.csrf for session in door.stored()}) == 3


def test_another_password_ends_every_session(doors: Door) -> None:
    doors.user()
    doors.user("bob")
    key, other = doors.enter("alice", PASSWORD), doors.enter("bob", PASSWORD)
    by_token = doors.enter("alice", doors.identity.add_token("alice", doors.clock.now))
    doors.identity.set_password("alice", "another password", doors.clock.now)
    assert (doors.is_in(key), doors.is_in(by_token), doors.is_in(other)) == (False, False, True)
    assert doors.refused("alice", PASSWORD) == WRONG
    assert doors.is_in(doors.enter("alice", "another password"))


@pytest.mark.each_database
def test_whoever_is_deactivated_or_removed_is_signed_out(doors: Door) -> None:
    alice = doors.user()
    key = doors.enter("alice", PASSWORD)
    doors.change_user("alice", is_active=False)
    assert not doors.is_in(key)
    with doors.store.transaction() as tx:
        tx.remove(alice)
    assert doors.stored() == []
    assert not doors.is_in(key)


def test_who_may_sign_in_again_has_to(doors: Door) -> None:
    doors.user()
    key = doors.enter("alice", PASSWORD)
    doors.identity.set_active("alice", doors.clock.now, active=False)
    doors.identity.set_active("alice", doors.clock.now, active=True)
    assert not doors.is_in(key)
    assert doors.is_in(doors.enter("alice", PASSWORD))


def test_who_loses_the_token_that_they_signed_in_with_is_signed_out(doors: Door) -> None:
    doors.user()
    by_password = doors.enter("alice", PASSWORD)
    by_token = doors.enter("alice", doors.identity.add_token("alice", doors.clock.now))
    doors.remove_tokens()
    assert (doors.is_in(by_password), doors.is_in(by_token)) == (True, False)


def test_a_session_ends_with_the_time_of_its_token(door: Door) -> None:
    door.user()
    until = door.clock.now + timedelta(hours=1)
    key = door.enter("alice", door.identity.add_token("alice", door.clock.now, expires=until))
    door.clock.forward(minutes=59)
    assert door.is_in(key)
    door.clock.forward(minutes=1)
    assert not door.is_in(key)


@pytest.mark.parametrize("key", ["", "no key", "\0", "\ud800", "x" * 10_000])
def test_what_is_no_key_is_nobodys(doors: Door, key: str) -> None:
    doors.user()
    doors.enter("alice", PASSWORD)
    assert not doors.is_in(key)


def test_a_sentence_is_kept_for_the_next_page(door: Door) -> None:
    door.user()
    key = door.enter("alice", PASSWORD)
    asyncio.run(door.sessions.tell(door.resume(key).session, "Done."))
    assert door.resume(key).session.notice == "Done."


# Passwords


@pytest.mark.parametrize("password", ["", "too short", "x" * 1001])
def test_a_password_has_a_length(door: Door, password: str) -> None:
    door.user()
    with pytest.raises(Invalid, match="10 to 1000 characters"):
        door.identity.set_password("alice", password, door.clock.now)
    assert door.is_in(door.enter("alice", PASSWORD))


def test_nobody_has_no_password(door: Door) -> None:
    with pytest.raises(NotFound):
        door.identity.set_password("nobody", PASSWORD, door.clock.now)


def test_ids_of_sessions_are_no_keys(door: Door) -> None:
    door.user()
    door.enter("alice", PASSWORD)
    [session] = door.stored()
    assert isinstance(session.id, UUID)
    assert not any(door.is_in(key) for key in (str(session.id), session.csrf, session.key_hash))
