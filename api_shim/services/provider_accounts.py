"""Whose account it is that an identity provider vouches for, and which of our groups they are in.

* Somebody is recognised by the issuer and the subject, and by nothing else: names and mail addresses can be changed at
  the provider, and given to others there.
* So nobody gets an account that is there already by signing in. An administrator of this machine links it
  (``signoff user link``) with the subject that they name; what the provider calls somebody takes no part in it.
* Somebody unknown gets a new account, with the name that the provider has for them, or is refused, as the settings say;
  refused they are too if that name is another account's, is kept for one, or cannot be a name here.
* What they are called at the provider later changes nothing here but what is shown.
* Of the groups that the settings name, they are in those that the provider says, each time that it vouches for them.
  Where it says nothing of groups, as a renewal may, they and what people call them stay as they are.
  Groups that the settings do not name, and rights that are given in other ways, are left as they are.
* Whoever is refused is told one sentence, whatever the reason, so that nobody learns by it who has an account; the
  audit has the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from api_shim.domain.accounts import Group, Identity, User, UserGroup
from api_shim.domain.audit import LONGEST_NAME, AuditEvent, Author, EventType, account_event
from api_shim.domain.identity_providers import Vouched
from api_shim.parsing.account import check_username
from api_shim.services.accounts import add_account, change_account, lock_concerned
from api_shim.services.authentication import Unauthenticated
from api_shim.services.user_names import user_called
from api_shim.settings import SignInRules
from api_shim.store import Transaction
from approval_gate.errors import Invalid

NOT_LET_IN = "You cannot sign in here with this account of your identity provider. Ask an administrator of signoff."
UNKNOWN = "The subject {subject!r} is not linked with an account."
TAKEN = "The subject {subject!r} is not linked with an account, and the name {name!r} is another account's."
UNFIT = "The subject {subject!r} is not linked with an account, and {name!r} cannot be a new one's name: {why}"
INACTIVE = "The account that the subject {subject!r} is linked with is deactivated."
AGENT = "The account that the subject {subject!r} is linked with is an agent's, and no person's."
SHOWN = 100
"""How many characters a reason shows of what the provider says."""


class NotLetIn(Unauthenticated):
    """The provider vouches for somebody, and they are not let in all the same.

    Args:
        reason: why, for the audit.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(NOT_LET_IN)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ByProvider:
    """What an identity provider has said is the reason for something.

    Args:
        issuer: the provider.
    """

    issuer: str

    @property
    def id(self) -> None:
        return None

    @property
    def username(self) -> str:
        """The name that the audit shows; no account can be called that, for its name has no colon."""
        return f"provider: {self.issuer}"[:LONGEST_NAME]


def let_in(tx: Transaction, issuer: str, vouched: Vouched, rules: SignInRules, now: datetime) -> User:
    """Return the account of somebody who signs in, made if they may have a new one.

    Args:
        tx: the transaction.
        issuer: the provider.
        vouched: what it says of them.
        rules: who may sign in.
        now: the current time.

    Raises:
        NotLetIn: they have no account, and get none, or it is deactivated.
    """
    subject = vouched.subject[:SHOWN]
    identity = tx.get(Identity, issuer=issuer, subject=vouched.subject)
    if identity is None:
        identity = _linked(tx, _made(tx, issuer, vouched, rules, now), issuer, vouched.subject, now)
    [user] = tx.all(User, id=[identity.user_id])
    if not user.is_active:
        raise NotLetIn(INACTIVE.format(subject=subject))
    if user.is_agent:
        raise NotLetIn(AGENT.format(subject=subject))
    follow(tx, identity, vouched, rules, now)
    return user


def _made(tx: Transaction, issuer: str, vouched: Vouched, rules: SignInRules, now: datetime) -> User:
    subject, name = vouched.subject[:SHOWN], vouched.username[:SHOWN]
    if not rules.new_users:
        raise NotLetIn(UNKNOWN.format(subject=subject))
    if user_called(tx, vouched.username) is not None:
        raise NotLetIn(TAKEN.format(subject=subject, name=name))
    try:
        user = User(id=uuid4(), username=check_username(vouched.username), created=now)
        add_account(tx, user, {"username": user.username}, now, ByProvider(issuer))
    except Invalid as error:
        raise NotLetIn(UNFIT.format(subject=subject, name=name, why=error)) from error
    return user


def _linked(tx: Transaction, user: User, issuer: str, subject: str, now: datetime) -> Identity:
    identity = Identity(id=uuid4(), user_id=user.id, issuer=issuer, subject=subject, created=now)
    tx.add(identity)
    tx.record(linking(EventType.USER_LINKED, user, identity, now, ByProvider(issuer)))
    return identity


def providers_of(tx: Transaction, user_ids: Collection[UUID]) -> Mapping[UUID, str]:
    """Return the issuers of the identity providers that users are linked with, by the ids of the users."""
    return {each.user_id: each.issuer for each in tx.all(Identity, user_id={*user_ids})} if user_ids else {}


def linking(act: EventType, user: User, identity: Identity, now: datetime, by: Author) -> AuditEvent:
    """Return the event that tells of a link between an account and somebody at a provider."""
    return account_event(user.id, user.username, act, now, by, issuer=identity.issuer, subject=identity.subject)


def follow(tx: Transaction, identity: Identity, vouched: Vouched, rules: SignInRules, now: datetime) -> None:
    """Keep what the provider says of somebody, and put them into the groups that it says.

    Args:
        tx: the transaction.
        identity: who they are there.
        vouched: what it says of them.
        rules: which of our groups those of the provider are.
        now: the current time.
    """
    if vouched.groups is None:
        tx.change(identity, seen=now)
        return
    tx.change(identity, name=vouched.name, mail=vouched.mail, seen=now)
    there, wanted = _groups(tx, identity, vouched.groups, rules)
    if wanted == there:
        return
    [user] = tx.all(User, id=[identity.user_id])
    lock_concerned(tx, user)
    # Read again: until they were locked, an administrator may have put them into others.
    [user] = tx.all(User, id=[identity.user_id])
    _, wanted = _groups(tx, identity, vouched.groups, rules)
    change_account(tx, user, {"groups": wanted}, now, ByProvider(identity.issuer))


def _groups(
    tx: Transaction, identity: Identity, said: frozenset[str], rules: SignInRules
) -> tuple[set[UUID], set[UUID]]:
    """Return the ids of the groups that somebody is in, and of those that they are to be in."""
    there = {row.group_id for row in tx.all(UserGroup, user_id=identity.user_id)}
    ours = {group.name: group.id for group in tx.all(Group, name={*rules.groups.values()})} if rules.groups else {}
    told = {rules.groups[name] for name in said & rules.groups.keys()}
    return there, (there - {*ours.values()}) | {ours[name] for name in told & ours.keys()}
