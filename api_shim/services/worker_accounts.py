"""The accounts of workers, on the pages: list them, make one with its token, and take it back.

* This is for superusers, whose act it is in the audit; for others there are no such accounts.
* A worker's account is made as ``signoff worker-token`` makes it (``account_admin``), and its token as every token is
  (``accounts``): one that is made with a token that ends, ends too. Both are one transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.accounts import Token, User, WorkerAccount
from api_shim.services.account_admin import AccountAdmin, worker_of
from api_shim.services.accounts import Accounts, Added, lock_concerned
from api_shim.services.authorization import check_still_active, get_authorized
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict
from approval_gate.model import Action, Actor, ObjectType

USER = ObjectType.USER


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """The account of workers.

    Args:
        user: the account.
        pool: the work pool whose runs it executes; empty for that of the server, before this has started once.
        tokens: its tokens, the newest first.
    """

    user: User
    pool: str
    tokens: Sequence[Token]


class WorkerAccounts:
    """The use cases.

    Args:
        store: the store.
        accounts: makes tokens.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, accounts: Accounts, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock

    async def all(self, actor: Actor) -> list[Worker]:
        """Return every account of workers, by name.

        Raises:
            NotFound: the actor is no superuser.
        """
        policy.enforce(policy.may_administer(actor), USER)
        return await self._store.read(_workers)

    async def add(self, actor: Actor, name: str, pool: str) -> Added:
        """Create a token for a worker of a work pool, and the account if there is none.

        Args:
            actor: who makes it.
            name: the name of the account.
            pool: the name of the work pool.

        Raises:
            NotFound: the actor is no superuser.
            Forbidden: they may not write.
            Conflict: the name is that of an account which is no worker's, or the worker's of another pool.
            Invalid: it cannot be a name.
        """
        self._check(actor)
        try:
            return await self._store.write(partial(self._add, actor, name, pool))
        except Duplicate as error:
            raise Conflict(f"A user named {name!r} already exists.") from error

    def _add(self, actor: Actor, name: str, pool: str, tx: Transaction) -> Added:
        check_still_active(tx, actor)
        user = AccountAdmin(self._store, actor).worker_account(tx, name, pool, self._clock())
        body = {"user": str(user.id), "description": worker_of(pool)}
        return self._accounts.add_within(tx, actor, ObjectType.TOKEN, body)

    async def end(self, actor: Actor, user_id: UUID) -> User:
        """Make an account a worker's no longer, and return it: it takes no runs, and the keys of its runs end.

        Args:
            actor: who does it.
            user_id: the account.

        Raises:
            NotFound: the actor is no superuser, or there is no such user.
            Forbidden: they may not write.
            Conflict: it is no worker's.
        """
        self._check(actor)
        return await self._store.write(partial(self._end, actor, user_id))

    def _end(self, actor: Actor, user_id: UUID, tx: Transaction) -> User:
        user: User = get_authorized(tx, actor, Action.CHANGE, USER, id=user_id)
        lock_concerned(tx, user, actor.id)
        check_still_active(tx, actor)
        user = get_authorized(tx, actor, Action.CHANGE, USER, lock=True, id=user_id)
        AccountAdmin(self._store, actor).end_worker(tx, user, self._clock())
        return user

    def _check(self, actor: Actor) -> None:
        policy.enforce(policy.may_administer(actor), USER)
        policy.enforce(policy.may_write(actor), USER)


def _workers(tx: Transaction) -> list[Worker]:
    pools = {each.user_id: each.pool for each in tx.all(WorkerAccount)}
    tokens: dict[UUID, list[Token]] = defaultdict(list)
    for token in tx.all(Token, order="created", user_id={*pools}) if pools else []:
        tokens[token.user_id].insert(0, token)
    users = tx.all(User, order="username", id={*pools}) if pools else []
    return [Worker(user=user, pool=pools[user.id], tokens=tokens[user.id]) for user in users]
