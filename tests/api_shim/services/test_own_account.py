"""What people do with their own account: change their password, and end their sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import Password, Session, User
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.services import own_account as module
from api_shim.services.own_account import CHANGED_MEANWHILE, NO_SESSION, NOT_YOURS, OwnAccount
from api_shim.services.refusals import Refusals
from api_shim.services.sessions import Sessions, Visitor, hash_password
from api_shim.store import Store
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, TooManyAttempts
from approval_gate.policy import NO_PERMISSION, NOT_BY_PASSWORD
from tests.conftest import Clock
from tests.factories import administering

HERE = "192.0.2.1"
PASSWORD, NEW = "correct horse", "battery staple"


class Desk:
    """Where people sign in, and mind their accounts.

    Args:
        store: an empty one.
        clock: tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.identity = administering(store)
        self.sessions = Sessions(store, clock, lambda *_: None, self._sleep)
        self.refusals = Refusals(store, clock)
        self.own = OwnAccount(store, self.sessions, self.refusals, clock)

    async def _sleep(self, seconds: float) -> None:
        """Wait for nothing."""

    def user(self, name: str = "alice") -> None:
        self.identity.add_user(name, self.clock.now)
        self.identity.set_password(name, PASSWORD, self.clock.now)

    def visitor(self, name: str = "alice", secret: str = PASSWORD) -> Visitor:
        key, _ = asyncio.run(self.sessions.sign_in(name, secret, HERE))
        return asyncio.run(self.sessions.resume(key))

    def reader(self, name: str = "alice") -> Visitor:
        return self.visitor(name, self.identity.add_token(name, self.clock.now, write_enabled=False))

    def changes(self, visitor: Visitor, present: str = PASSWORD, new: str = NEW) -> None:
        asyncio.run(self.own.change_password(visitor, present, new, HERE))

    def all(self, kind: type[Any]) -> list[Any]:
        with self.store.transaction(write=False) as tx:
            return tx.all(kind)

    def last(self) -> AuditEvent:
        with self.store.transaction(write=False) as tx:
            return tx.newest_events(1)[0]

    def state(self) -> tuple[Any, ...]:
        return (self.all(Password), {row.id for row in self.all(Session)})


@pytest.fixture
def desk(sqlite_store: Store, clock: Clock) -> Desk:
    made = Desk(sqlite_store, clock)
    made.user()
    return made


# The password


def test_a_new_password_signs_in_and_the_old_one_does_not_any_more(desk: Desk) -> None:
    visitor, elsewhere = desk.visitor(), desk.visitor()
    desk.changes(visitor)
    assert desk.visitor(secret=NEW).actor.username == "alice"
    with pytest.raises(GateError):
        desk.visitor()
    there = {row.id for row in desk.all(Session)}
    assert visitor.session.id in there
    assert elsewhere.session.id not in there


def test_a_changed_password_is_recorded_without_it(desk: Desk) -> None:
    desk.changes(desk.visitor())
    event = desk.last()
    assert (event.act, event.actor, event.name) == (EventType.USER_CHANGED, "alice", "alice")
    assert event.data["fields"] == ["password"]
    assert NEW not in repr(event)


@pytest.mark.parametrize(
    ("who", "present", "new", "error", "told"),
    [
        pytest.param(Desk.visitor, "wrong", NEW, Invalid, {"present": [NOT_YOURS]}, id="another present password"),
        pytest.param(Desk.visitor, "", NEW, Invalid, {"present": [NOT_YOURS]}, id="no present password"),
        pytest.param(
            Desk.visitor,
            PASSWORD,
            "short",
            Invalid,
            {"new": ["A password must have 10 to 1000 characters."]},
            id="one that is too short",
        ),
        pytest.param(
            lambda desk: desk.visitor(secret=desk.identity.add_token("alice", desk.clock.now)),
            PASSWORD,
            NEW,
            Forbidden,
            NOT_BY_PASSWORD,
            id="who has signed in with a token",
        ),
        pytest.param(Desk.reader, PASSWORD, NEW, Forbidden, NO_PERMISSION, id="who has one that only reads"),
    ],
)
def test_a_password_is_refused_and_stays(
    desk: Desk, who: Callable[[Desk], Visitor], present: str, new: str, error: type[GateError], told: object
) -> None:
    visitor = who(desk)
    before = desk.state()
    with pytest.raises(error) as refusal:
        desk.changes(visitor, present, new)
    assert refusal.value.detail == told
    assert desk.state() == before


def tries_again_and_again(desk: Desk, visitor: Visitor) -> None:
    for _ in range(40):
        with contextlib.suppress(Invalid):
            desk.changes(visitor, "wrong")


def test_wrong_passwords_slow_the_next_ones_down_and_are_recorded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = desk.visitor()
    monkeypatch.setattr(Sessions, "_fits", lambda *_: False)
    with pytest.raises(TooManyAttempts):
        tries_again_and_again(desk, visitor)
    asyncio.run(desk.refusals.close())
    event = desk.last()
    assert (event.act, event.name) == (EventType.SIGN_IN_REFUSED, "alice")


def test_one_that_is_changed_meanwhile_stays_as_it_was_changed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = desk.visitor()

    def hashed(password: str) -> str:
        desk.identity.set_password("alice", "of the administrator", desk.clock.now)
        return hash_password(password)

    monkeypatch.setattr(module, "hash_password", hashed)
    with pytest.raises(Conflict, match=CHANGED_MEANWHILE):
        desk.changes(visitor)
    assert desk.visitor(secret="of the administrator")


def test_who_has_been_deactivated_meanwhile_changes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = desk.visitor()

    def hashed(password: str) -> str:
        with desk.store.transaction() as tx:
            tx.change(tx.all(User, username="alice")[0], is_active=False)
        return hash_password(password)

    monkeypatch.setattr(module, "hash_password", hashed)
    with pytest.raises(Forbidden):
        desk.changes(visitor)


# Sessions


def test_everybody_sees_their_own_sessions_and_what_these_were_started_with(desk: Desk) -> None:
    desk.user("bob")
    by_password, bobs = desk.visitor(), desk.visitor("bob")
    by_token = desk.visitor(secret=desk.identity.add_token("alice", desk.clock.now, description="laptop"))
    own = asyncio.run(desk.own.own(by_token))
    assert {(each.session.id, each.token and each.token.description, each.here) for each in own.sessions} == {
        (by_password.session.id, None, False),
        (by_token.session.id, "laptop", True),
    }
    assert (own.user.username, own.why_no_password) == ("alice", NOT_BY_PASSWORD)
    assert [each.here for each in asyncio.run(desk.own.own(bobs)).sessions] == [True]
    assert asyncio.run(desk.own.own(by_password)).why_no_password == ""


def test_a_session_is_ended_by_its_user_and_by_nobody_else(desk: Desk) -> None:
    desk.user("bob")
    alices, other, bobs = desk.visitor(), desk.visitor(), desk.visitor("bob")
    for session_id in (alices.session.id, uuid4()):
        with pytest.raises(NotFound, match=NO_SESSION):
            asyncio.run(desk.own.end(bobs, session_id))
    asyncio.run(desk.own.end(alices, other.session.id))
    assert {row.id for row in desk.all(Session)} == {alices.session.id, bobs.session.id}
    event = desk.last()
    assert (event.act, event.actor, event.name) == (EventType.SIGNED_OUT, "alice", "alice")
    assert event.data == {"id": str(alices.actor.id), "others": 1}


def test_all_others_are_ended_at_once_and_not_those_of_others(desk: Desk) -> None:
    desk.user("bob")
    here, bobs = desk.visitor(), desk.visitor("bob")
    desk.visitor()
    desk.visitor()
    assert asyncio.run(desk.own.end_others(here)) == 2
    assert {row.id for row in desk.all(Session)} == {here.session.id, bobs.session.id}
    told = desk.last()
    assert (told.act, told.actor, told.data["others"]) == (EventType.SIGNED_OUT, "alice", 2)
    assert asyncio.run(desk.own.end_others(here)) == 0
    assert desk.last() == told, "Nothing has ended."


def test_who_only_reads_ends_no_session(desk: Desk) -> None:
    other, reader = desk.visitor(), desk.reader()
    with pytest.raises(Forbidden):
        asyncio.run(desk.own.end(reader, other.session.id))
    with pytest.raises(Forbidden):
        asyncio.run(desk.own.end_others(reader))
    assert len(desk.all(Session)) == 2
