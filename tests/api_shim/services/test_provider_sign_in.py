"""Who is let in whom an identity provider vouches for, as whom, and into which groups."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from api_shim.domain.accounts import Group, Identity, Session, User, UserGroup
from api_shim.domain.audit import AuditEvent
from api_shim.domain.identity_providers import Attempt, NotVouched, Vouched
from api_shim.domain.notifications import Sender
from api_shim.services import provider_accounts
from api_shim.services.accounts import lock_concerned
from api_shim.services.provider_accounts import NOT_LET_IN, NotLetIn
from api_shim.services.provider_sign_in import ProviderSignIn
from api_shim.settings import SignInRules
from api_shim.store import Store, Transaction
from approval_gate.errors import NotFound, Unavailable
from approval_gate.identity import WORKER
from tests.api_shim.services.telling import FakeSender
from tests.conftest import Clock
from tests.databases import INPUTS_KEY
from tests.factories import administering

ISSUER = "https://login.example.com"
BACK = "https://signoff.example/signoff/sign-in/callback"
HERE = "192.0.2.1"
ATTEMPT = Attempt(state="s", nonce="n", verifier="v")
ALICE = Vouched(
    subject="248",
    username="alice",
    name="Alice",
    mail="a@example.com",
    mail_is_verified=True,
    refresh_token="secret refresh",
)


@dataclass
class Saying:
    """A provider that says what it is told to."""

    says: Vouched | Exception = ALICE
    issuer: str = ISSUER
    name: str = "Login"
    asked: list[Any] = field(default_factory=list)

    async def begin(self, attempt: Attempt, redirect_uri: str) -> str:
        return f"{ISSUER}/authorize?state={attempt.state}&redirect_uri={redirect_uri}"

    async def finish(self, attempt: Attempt, code: str, redirect_uri: str) -> Vouched:
        self.asked.append((attempt, code, redirect_uri))
        return self._answer()

    async def renew(self, refresh_token: str, subject: str) -> Vouched:
        self.asked.append((refresh_token, subject))
        return self._answer()

    async def leave(self, back: str) -> str:
        return f"{ISSUER}/logout?back={back}"

    def _answer(self) -> Vouched:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Door:
    """Where people sign in whom a provider vouches for."""

    def __init__(self, store: Store, clock: Clock) -> None:
        store.inputs_key = INPUTS_KEY
        self.store, self.clock = store, clock
        self.identity = administering(store)
        self.provider = Saying()
        self.sender: Sender = FakeSender()

    def enters(self, vouched: Vouched | Exception = ALICE, **rules: Any) -> tuple[str, Session]:
        self.provider.says = vouched
        there = ProviderSignIn(self.store, self.provider, SignInRules(**rules), self.sender, self.clock)
        return asyncio.run(there.finish(ATTEMPT, "a code", BACK, HERE))

    def refused(self, vouched: Vouched | Exception = ALICE, **rules: Any) -> str:
        with pytest.raises(NotLetIn) as refused:
            self.enters(vouched, **rules)
        assert str(refused.value) == NOT_LET_IN
        return refused.value.reason

    def link(self, name: str, subject: str) -> None:
        with self.store.transaction() as tx:
            [user] = tx.all(User, username=name)
            identity = Identity(id=user.id, user_id=user.id, issuer=ISSUER, subject=subject, created=self.clock.now)
            tx.add(identity)

    def all(self, kind: type[Any], **by: Any) -> list[Any]:
        with self.store.transaction(write=False) as tx:
            return tx.all(kind, **by)

    def groups(self, name: str = "alice") -> set[str]:
        [user] = self.all(User, username=name)
        ids = {row.group_id for row in self.all(UserGroup, user_id=user.id)}
        return {group.name for group in self.all(Group, id=ids)}

    def told(self) -> list[AuditEvent]:
        with self.store.transaction(write=False) as tx:
            return tx.events(0, 100)


@pytest.fixture
def door(store: Store, clock: Clock) -> Door:
    return Door(store, clock)


def test_somebody_new_gets_an_account_without_rights_and_a_session_that_knows_the_provider(door: Door) -> None:
    _, session = door.enters()
    [user], [identity] = door.all(User), door.all(Identity)
    assert (user.username, user.is_superuser, user.id) == ("alice", False, session.user_id)
    assert (identity.issuer, identity.subject, identity.user_id) == (ISSUER, "248", user.id)
    assert (identity.name, identity.mail, identity.seen) == ("Alice", "a@example.com", door.clock.now)
    assert (session.provider, session.by_password) == (ISSUER, False)
    assert session.refresh_token != ALICE.refresh_token
    assert door.store.open_secret(session.id, str(session.refresh_token)) == ALICE.refresh_token
    assert "secret refresh" not in f"{session!r} {door.told()!r}"
    assert [(each.act, each.actor, each.name) for each in door.told()] == [
        ("user.added", f"provider: {ISSUER}", "alice"),
        ("user.linked", f"provider: {ISSUER}", "alice"),
        ("notification-target.added", f"provider: {ISSUER}", "alice"),
        ("sign-in.accepted", "alice", "alice"),
    ]
    assert door.told()[-1].data == {
        **{"id": str(user.id), "address": HERE, "way": "provider"},
        **{"issuer": ISSUER, "subject": "248"},
    }


def test_who_comes_again_is_the_same_whatever_they_are_called_now(door: Door) -> None:
    door.enters()
    door.identity.add_user("bob", door.clock.now)
    for says in ({"username": "bob"}, {"username": "", "name": "", "mail": "bob@example.com"}):
        again = Vouched(**{"subject": "248", **says})
        assert door.enters(again)[1].user_id == door.all(User, username="alice")[0].id
    assert len(door.all(Identity)) == 1


@pytest.mark.parametrize(
    ("vouched", "rules", "why"),
    [
        pytest.param(NotVouched("It does not."), {}, "It does not.", id="whom the provider does not vouch for"),
        pytest.param(ALICE, {"new_users": False}, "not linked", id="somebody unknown, where only known people enter"),
        pytest.param(Vouched(subject="7", username="bob"), {}, "another account's", id="who is called as another"),
        pytest.param(Vouched(subject="7", username="BOB"), {}, "another account's", id="in other letters"),
        pytest.param(Vouched(subject="7", mail="bob@example.com"), {}, "cannot be", id="who has another's mail"),
        pytest.param(Vouched(subject="7", username="a b"), {}, "cannot be", id="whose name cannot be one"),
        pytest.param(Vouched(subject="7", username="gone"), {}, "cannot be", id="who is called as somebody was"),
        pytest.param(
            Vouched(subject="7", username=WORKER), {}, "keeps the name", id="who is called as the server's own"
        ),
        pytest.param(Vouched(subject="9", username="x"), {}, "deactivated", id="who is deactivated here"),
        pytest.param(Vouched(subject="10", username="x"), {}, "an agent's", id="who is linked with an agent"),
        pytest.param(Vouched(subject="8"), {"new_users": False}, "not linked", id="whose link is another issuer's"),
    ],
)
def test_who_is_not_let_in_is_told_one_sentence_and_the_audit_why(
    door: Door, vouched: Vouched | Exception, rules: dict[str, Any], why: str
) -> None:
    for name in ("bob", "gone", "out"):
        door.identity.add_user(name, door.clock.now)
    door.identity.add_user("helper", door.clock.now, acts_for="bob")
    door.link("helper", "10")
    door.identity.remove_user("gone", door.clock.now)
    door.link("out", "9")
    door.identity.set_active("out", door.clock.now, active=False)
    before = door.all(User), door.all(Identity), door.told()
    assert why in door.refused(vouched, **rules)
    assert (door.all(User), door.all(Identity), door.told()) == before
    assert door.all(Session) == []


def test_who_is_linked_is_let_in_where_only_known_people_are(door: Door) -> None:
    bob = door.identity.add_user("bob", door.clock.now)
    door.link("bob", "248")
    assert door.enters(new_users=False)[1].user_id == bob.id


def test_that_the_provider_is_away_is_no_refusal(door: Door) -> None:
    with pytest.raises(Unavailable):
        door.enters(Unavailable("Away."))


MAPPED = {"netops": "Network", "cn=admins,dc=example": "Administrators", "lost": "No such group"}


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        pytest.param((), ("netops",), {"Network"}, id="one that they are in now"),
        pytest.param(("Network",), (), set(), id="one that they are in no more"),
        pytest.param(("Network", "Local"), (), {"Local"}, id="one that the settings do not name stays"),
        pytest.param((), ("Local", "Network"), set(), id="our names are not theirs"),
        pytest.param((), ("cn=admins,dc=example", "netops"), {"Network", "Administrators"}, id="several"),
        pytest.param((), ("lost",), set(), id="one that there is not here"),
        pytest.param(("Network",), ("netops",), {"Network"}, id="as before"),
    ],
)
def test_groups_follow_what_the_provider_says(
    door: Door, before: tuple[str, ...], said: tuple[str, ...], after: set[str]
) -> None:
    for name in ("Network", "Administrators", "Local"):
        door.identity.add_group(name, door.clock.now)
    door.enters()
    for name in before:
        door.identity.set_member(name, "alice", door.clock.now, member=True)
    known = len(door.told())
    door.enters(replace(ALICE, groups=frozenset(said)), groups=MAPPED)
    assert door.groups() == after
    acts = [(each.act, each.actor) for each in door.told()[known:]]
    changed = [("user.changed", f"provider: {ISSUER}")] if after != set(before) else []
    assert acts == [*changed, ("sign-in.accepted", "alice")]


def test_a_group_that_an_administrator_has_just_given_stays(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    network, local = (door.identity.add_group(name, door.clock.now) for name in ("Network", "Local"))
    door.enters()

    def locked_late(tx: Transaction, user: User) -> None:
        """Lock somebody whom another transaction held until now."""
        tx.add(UserGroup(user_id=user.id, group_id=local.id))
        lock_concerned(tx, user)

    monkeypatch.setattr(provider_accounts, "lock_concerned", locked_late)
    door.enters(Vouched(subject="248", groups=frozenset({"netops"})), groups=MAPPED)
    assert door.groups() == {network.name, local.name}


def test_without_a_provider_there_is_nothing(door: Door) -> None:
    nowhere = ProviderSignIn(door.store, None, SignInRules(), door.sender, door.clock)
    assert (nowhere.name, nowhere.issuer, asyncio.run(nowhere.leave(BACK))) == ("", "", "")
    with pytest.raises(NotFound):
        asyncio.run(nowhere.begin(BACK))


def test_each_attempt_is_another(door: Door) -> None:
    there = ProviderSignIn(door.store, door.provider, SignInRules(), door.sender, door.clock)
    attempts = [asyncio.run(there.begin(BACK))[1] for _ in range(2)]
    words = {word for each in attempts for word in (each.state, each.nonce, each.verifier)}
    assert len(words) == 6
    assert min(map(len, words)) >= 43
