"""The names of users over time: take one, give it up, find who is called so, and who counts as whom.

* Every name that an account takes is kept, with when it had it. The rules are in ``approval_gate.identity``.
* A user is found by their name exactly as it is written, or else by its normal form, if only one user has that. So is
  one that a reference or a filter names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from api_shim.domain.accounts import User, UserName
from api_shim.domain.query import Condition, Listing, Pattern
from api_shim.store import Duplicate, Transaction
from approval_gate import errors
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Invalid
from approval_gate.identity import LONGEST_NAME, NameHistory, may_take, normal_form
from approval_gate.model import Allowed, Denied
from flows.inputs import is_storable


def take_name(tx: Transaction, user: User, now: datetime, *, reuse: bool) -> Mapping[str, Any]:
    """Record the name that an account has got.

    Args:
        tx: the transaction.
        user: the account, with its new name.
        now: the current time.
        reuse: whether a superuser says that the name may be given again.

    Returns:
        for the audit, whose name it was, if it is given again before its time.

    Raises:
        Duplicate: another account has the name.
        Invalid: the name is kept for another account.
    """
    normal = normal_form(user.username)
    held = [(row.user_id, row.until) for row in tx.all(UserName, normal=normal)]
    match may_take(user.id, held, now, reuse=reuse):
        case Denied(error=errors.Conflict, reason=reason):
            raise Duplicate(reason)
        case Denied(reason=reason):
            raise Invalid({"username": [reason]})
    tx.add(UserName(id=uuid4(), user_id=user.id, normal=normal, since=now))
    if may_take(user.id, held, now, reuse=False) == Allowed():
        return {}
    return {"reused_name_of": sorted({str(holder) for holder, _ in held if holder != user.id})}


def give_up_name(tx: Transaction, user: User, now: datetime) -> None:
    """Record that an account is removed, or gets another name."""
    rows = tx.all(UserName, user_id=user.id, until=None)
    for row in rows:
        tx.change(row, until=now)
    if not rows:
        # An earlier version of the server, which may still run beside this one, has added it.
        normal = normal_form(user.username)
        tx.add(UserName(id=uuid4(), user_id=user.id, normal=normal, since=user.created, until=now))


def user_called(tx: Transaction, name: str, *, lock: bool = False) -> User | None:
    """Return the user who is called so; None if there is none, or if several are whose names are written otherwise.

    Args:
        tx: the transaction.
        name: a user name, in whatever letters, or any other text.
        lock: whether to lock the user until the transaction ends.
    """
    found = users_called(tx, {name}).get(name)
    if found is None or not lock:
        return found
    # They may have got another name since.
    return tx.get(User, id=found.id, username=found.username, lock=True)


def users_called(tx: Transaction, names: Collection[str]) -> dict[str, User]:
    """Return the users who are called so, by these names; in a fixed number of queries. See ``user_called``."""
    fit = {name for name in names if len(name) <= LONGEST_NAME and is_storable(name)}
    found = {user.username: user for user in tx.all(User, username=fit)}
    others = {name: normal_form(name) for name in fit - found.keys()}
    if not others:
        return found
    alike: defaultdict[str, set[UUID]] = defaultdict(set)
    for row in tx.all(UserName, normal={*others.values()}, until=None):
        alike[row.normal].add(row.user_id)
    alone = {normal: user_id for normal, ids in alike.items() if len(ids) == 1 for user_id in ids}
    users = {user.id: user for user in tx.all(User, id={*alone.values()})} if alone else {}
    return found | {name: users[alone[normal]] for name, normal in others.items() if alone.get(normal) in users}


def referred_user(tx: Transaction, by: Mapping[str, Any], *, lock: bool = False) -> User | None:
    """Return the user that a reference identifies; None if there is none.

    Args:
        tx: the transaction.
        by: their id, or their name in whatever letters.
        lock: whether to lock the user until the transaction ends.
    """
    name = by.get("username")
    return tx.get(User, lock=lock, **by) if name is None else user_called(tx, name, lock=lock)


def as_written(tx: Transaction, listing: Listing) -> Listing:
    """Return what is asked of a list, where it names users, with their names as these are written.

    Args:
        tx: the transaction.
        listing: what is asked.
    """

    def test(asked: Lookup | Pattern) -> Lookup | Pattern:
        if not isinstance(asked, Lookup) or asked.op is not Op.IN or not asked.path.endswith("username"):
            return asked
        users = users_called(tx, asked.value)
        return replace(asked, value=tuple(users[name].username if name in users else name for name in asked.value))

    def condition(each: Condition) -> Condition:
        return replace(each, tests=tuple(map(test, each.tests)))

    return replace(listing, where=tuple(map(condition, listing.where)))


def history_of(tx: Transaction, accounts: Collection[UUID], names: Iterable[str]) -> NameHistory:
    """Return the names of all who count as one of these accounts, or as somebody who had one of these names.

    Args:
        tx: the transaction.
        accounts: the ids of the accounts, removed ones included.
        names: the names, in their normal form.
    """
    records: set[tuple[UUID, str]] = set()
    new_accounts, new_names = set(accounts), set(names)
    seen_accounts, seen_names = set(new_accounts), set(new_names)
    # Almost always once: only a name that two accounts have had leads on.
    while new_accounts or new_names:
        rows = tx.all(UserName, user_id=new_accounts) if new_accounts else []
        rows += tx.all(UserName, normal=new_names) if new_names else []
        records |= {(row.user_id, row.normal) for row in rows}
        new_accounts = {row.user_id for row in rows} - seen_accounts
        new_names = {row.normal for row in rows} - seen_names
        seen_accounts |= new_accounts
        seen_names |= new_names
    return NameHistory(records)
