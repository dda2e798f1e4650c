"""The mail address that an identity provider has of somebody, taken as where they are told of what happens.

* It is taken when they sign in, if the provider says that it is verified, and if they have given no address themselves.
* Where it changes at the provider, it changes here. Whoever has removed it does not get it again.
* It goes when the provider has no verified address of them any more, and with the link to the provider.
* That it is added or removed is recorded, with who did it: the provider, or who took the link away.
"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from api_shim.domain.accounts import Identity, User
from api_shim.domain.audit import Author, EventType, account_event
from api_shim.domain.identity_providers import Vouched
from api_shim.domain.notifications import NotificationTarget, Sender, Way
from api_shim.services.provider_accounts import ByProvider
from api_shim.store import InputsKey, Transaction
from approval_gate.errors import Invalid


def take_address(
    tx: Transaction, user: User, issuer: str, vouched: Vouched, sender: Sender, key: InputsKey | None, now: datetime
) -> None:
    """Have somebody who signs in told by mail, if they have given no address and have not refused this one.

    Args:
        tx: the transaction.
        user: they.
        issuer: the provider.
        vouched: what it says of them.
        sender: knows to which addresses mail can be sent.
        key: encrypts the address; without one none is taken.
        now: the current time.
    """
    identity = tx.get(Identity, issuer=issuer, user_id=user.id, lock=True)
    if identity is None or key is None:
        return
    if not vouched.mail or not vouched.mail_is_verified:
        if withdraw_addresses(tx, user, now, ByProvider(issuer)):
            tx.change(identity, mail_taken="")
        return
    if vouched.mail == identity.mail_taken:
        return
    known = tx.all(NotificationTarget, user_id=user.id)
    if not all(each.from_provider for each in known):
        return
    try:
        label = sender.label(Way.MAIL, vouched.mail)
    except Invalid:
        # There is no mail server, or the provider calls something a mail address that is none.
        return
    target = NotificationTarget(
        id=(own := uuid4()),
        user_id=user.id,
        way=Way.MAIL,
        label=label,
        address=key.seal(own, {"address": vouched.mail}),
        created=now,
        from_provider=True,
    )
    who = ByProvider(issuer)
    withdraw_addresses(tx, user, now, who)
    tx.change(identity, mail_taken=vouched.mail)
    tx.add(target)
    tx.record(account_event(target.id, user.username, EventType.TARGET_ADDED, now, who, target=target.label))


def withdraw_addresses(tx: Transaction, user: User, now: datetime, who: Author) -> bool:
    """Remove the addresses of a user that come from an identity provider; say whether there were any.

    Args:
        tx: the transaction.
        user: they.
        now: the current time.
        who: on whose account.
    """
    there = tx.all(NotificationTarget, order="id", user_id=user.id, from_provider=True)
    for each in there:
        tx.remove(each)
        tx.record(account_event(each.id, user.username, EventType.TARGET_REMOVED, now, who, target=each.label))
    return bool(there)
