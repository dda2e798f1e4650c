"""The mail address that an identity provider has of somebody, taken as where they are told of what happens.

* It is taken when they sign in, and only if they have given no address themselves; unless the provider says that nobody
  has verified it, it is used at once.
* Where it changes at the provider, it changes here. Whoever has removed it does not get it again.
* That it is added or removed is recorded, with the provider as who did it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from api_shim.domain.accounts import Identity, User
from api_shim.domain.audit import EventType, account_event
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
    identity = tx.get(Identity, issuer=issuer, user_id=user.id)
    if identity is None or key is None or not vouched.mail_is_verified or vouched.mail in ("", identity.mail_taken):
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
    tx.change(identity, mail_taken=vouched.mail)
    for each in known:
        tx.remove(each)
    tx.add(target)
    acts = [*((EventType.TARGET_REMOVED, each) for each in known), (EventType.TARGET_ADDED, target)]
    for act, each in acts:
        tx.record(account_event(each.id, user.username, act, now, ByProvider(issuer), target=each.label))
