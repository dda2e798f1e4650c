"""Who is the same person over time: the accounts and the user names that count as one.

* User names are compared in one normal form: capital and small letters, and different ways to write one letter, are
  the same.
* Accounts that have had the same name, at whatever times, count as the same person; so do accounts that others link.
  Nobody becomes somebody else by a new account or a new name.
* The name of an account that was removed, or that has another name now, is not given to another account for
  ``KEPT``, unless a superuser says so. An account may take back a name of its own.
* Names that the server's own accounts have, in whatever letters, are nobody else's, whether these are there or not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from unicodedata import normalize
from uuid import UUID

from approval_gate.errors import Conflict, Invalid
from approval_gate.model import Allowed, Denied, Verdict

LONGEST_NAME = 150
"""How many characters a user name has at most."""
KEPT = timedelta(days=400)
"""How long a name is kept for the account that had it."""
WORKER = "signoff-worker"
"""The user name of the server's own worker."""
LOCAL = "signoff-local"
"""The user name with which programs on the server's own machine speak to Prefect."""
RESERVED = frozenset({WORKER, LOCAL})
"""The user names of accounts that the server makes for itself, and gives keys to."""
TAKEN = "A user with this name already exists."


def normal_form(username: str) -> str:
    """Return the form in which a user name is compared: NFKC, case-folded.

    Args:
        username: any text; of one that is too long to be a name, only the beginning counts.
    """
    folded = normalize("NFKC", username[:LONGEST_NAME]).casefold()
    return normalize("NFKC", folded)[:LONGEST_NAME]


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Accounts and names that count as one person, or as any of several.

    Args:
        accounts: the ids of the accounts, removed ones included.
        names: every name that one of them has had, in its normal form.
    """

    accounts: frozenset[UUID] = frozenset()
    names: frozenset[str] = frozenset()

    def includes(self, account: UUID, username: str) -> bool:
        """Say whether an account counts as this person."""
        return account in self.accounts or normal_form(username) in self.names


NOBODY = Identity()


class NameHistory:
    """Which accounts have had which names.

    Args:
        records: the id of an account and a name that it has had, in its normal form, for each such pair.
    """

    def __init__(self, records: Iterable[tuple[UUID, str]] = ()) -> None:
        self._names: defaultdict[UUID, set[str]] = defaultdict(set)
        self._accounts: defaultdict[str, set[UUID]] = defaultdict(set)
        for account, name in records:
            self._names[account].add(name)
            self._accounts[name].add(account)

    def identity(self, accounts: Iterable[UUID], names: Iterable[str] = ()) -> Identity:
        """Return all that these accounts and names, in their normal form, are linked with."""
        found_accounts, found_names = set(accounts), set(names)
        new_accounts, new_names = set(found_accounts), set(found_names)
        while new_accounts or new_names:
            named = {name for account in new_accounts for name in self._names.get(account, ())}
            holders = {account for name in new_names for account in self._accounts.get(name, ())}
            new_accounts, new_names = holders - found_accounts, named - found_names
            found_accounts |= new_accounts
            found_names |= new_names
        return Identity(accounts=frozenset(found_accounts), names=frozenset(found_names))


def may_take(account: UUID, held: Collection[tuple[UUID, datetime | None]], now: datetime, *, reuse: bool) -> Verdict:
    """Say whether an account may take a name.

    Args:
        account: the id of the account.
        held: who has, or has had, this name: the id of each account, and until when; None if it has it now.
        now: the current time.
        reuse: whether a superuser says that the name may be given again.
    """
    others = [until for holder, until in held if holder != account]
    if None in others:
        return Denied(TAKEN, Conflict)
    last = max((until for until in others if until is not None), default=None)
    if last is None or reuse or now - last >= KEPT:
        return Allowed()
    return Denied(
        f"Another account had this name until {last:%Y-%m-%d}. It cannot be used again before "
        f"{last + KEPT:%Y-%m-%d}, unless a superuser allows it with `reuse_name` (`--reuse-name`).",
        Invalid,
    )
