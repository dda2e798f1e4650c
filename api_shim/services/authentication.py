"""Authentication: who the caller is, and what they may do now.

* A token is found by the hash of its key, and the hashes are compared in constant time.
* A token that is missing, unknown or expired, or that belongs to a deactivated user, is refused.
* A token is worth no more than the one that it was made with: where that one is refused it is refused, and where that
  one only reads it only reads.
* Permissions are additive. Those of the user and those of their groups count alike; disabled ones do not count.
* A stored permission that can no longer be read grants nothing, and does not affect the others.

Contract 2 and 8.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from api_shim.domain.accounts import Permission, Token, User, WorkerAccount
from api_shim.store import Transaction
from api_shim.store.columns import path_types
from approval_gate import constraints
from approval_gate.errors import GateError, Invalid
from approval_gate.identity import normal_form
from approval_gate.model import Action, Actor, Grant, ObjectType

logger = logging.getLogger("signoff")


class Unauthenticated(GateError):
    """The caller is not authenticated."""


NO_CREDENTIALS = "Authentication credentials were not provided."
INVALID_TOKEN = "Invalid token"  # noqa: S105 - a sentence, not a secret
EXPIRED = "Token expired"
INACTIVE = "User inactive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """The credentials of a request.

    Args:
        key: the key of a token.
        username: the user that the token must belong to; None for any.
    """

    key: str
    username: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"


def hash_key(key: str) -> str:
    """Return the hash under which a token is stored; keys are random, so a fast hash is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def authenticate_token(tx: Transaction, credentials: Credentials, now: datetime) -> tuple[Actor, Token]:
    """Return the user that a token belongs to, and the token.

    Raises:
        Unauthenticated: the token is not valid; with the contract's message.
    """
    hashed = hash_key(credentials.key)
    token = tx.get(Token, key_hash=hashed)
    if token is None or not hmac.compare_digest(token.key_hash, hashed):
        raise Unauthenticated(INVALID_TOKEN)
    user = tx.get(User, id=token.user_id)
    if user is None or not _is_called(user, credentials.username):
        raise Unauthenticated(INVALID_TOKEN)
    return actor_with(tx, user, token, now), token


def _is_called(user: User, name: str | None) -> bool:
    return name is None or normal_form(name) == normal_form(user.username)


def actor_with(tx: Transaction, user: User, token: Token, now: datetime) -> Actor:
    """Return a user as an actor who has authenticated with a token of theirs.

    Raises:
        Unauthenticated: the token is not valid, or one that it comes from is not.
    """
    _check_valid(token, user, now)
    line = [token]
    for maker in makers(tx, token):
        _check_valid(maker, tx.get(User, id=maker.user_id), now)
        line.append(maker)
    read_only = not all(each.write_enabled for each in line)
    return replace(actor_of(tx, user), read_only=read_only, token_id=token.id)


def makers(tx: Transaction, token: Token) -> Iterator[Token]:
    """Yield the token that a token was made with, the one that this was made with, and so on.

    Raises:
        Unauthenticated: one of them has been removed.
    """
    while token.made_with_id is not None:
        maker = tx.get(Token, id=token.made_with_id)
        if maker is None:
            raise Unauthenticated(INVALID_TOKEN)
        yield maker
        token = maker


def _check_valid(token: Token, user: User | None, now: datetime) -> None:
    if token.expires is not None and token.expires <= now:
        raise Unauthenticated(EXPIRED)
    if user is None or not user.is_active:
        raise Unauthenticated(INACTIVE)


def actor_of(tx: Transaction, user: User) -> Actor:
    """Return a user as an actor, with every permission that they have now, and the work pool that they work for."""
    [actor] = actors_of(tx, [user])
    return actor


def actors_of(tx: Transaction, users: list[User]) -> list[Actor]:
    """Return users as actors, in a fixed number of queries however many there are."""
    limited = [user.id for user in users if not user.is_superuser]
    granted = _grants_of(tx, limited) if limited else {}
    pools = {worker.user_id: worker.pool for worker in tx.all(WorkerAccount, user_id=limited)} if limited else {}

    def actor(user: User) -> Actor:
        found = Actor(
            id=user.id,
            username=user.username,
            superuser=user.is_superuser,
            grants=tuple(granted.get(user.id, ())),
            works_for=pools.get(user.id, ""),
        )
        return found.as_agent() if user.is_agent else found

    return [actor(user) for user in users]


def _grants_of(tx: Transaction, ids: list[UUID]) -> Mapping[UUID, list[Grant]]:
    """Return the grants of each of these users."""
    grants: dict[UUID, list[Grant]] = {user_id: [] for user_id in ids}
    for user_id, permission in tx.granted(ids):
        if (grant := grant_of(permission)) is not None:
            grants[user_id].append(grant)
    return grants


def grant_of(permission: Permission) -> Grant | None:
    """Return what a stored permission grants to who has it; None if it can no longer be read."""
    try:
        kinds = frozenset(ObjectType(kind) for kind in permission.object_types)
        return Grant(
            object_types=kinds,
            actions=frozenset(Action(action) for action in permission.actions),
            constraint=constraints.parse(permission.constraints, path_types(kinds)),
        )
    except (ValueError, Invalid) as error:
        logger.warning("The permission %r cannot be read and grants nothing: %s", permission.name, error)
        return None
