"""Who calls: what somebody signs in with, and what he may do at this moment.

* A token is found by the hash of its key, and compared in constant time.
* Who has no token, an unknown, an expired one, or one of a deactivated user, is nobody.
* Permissions are additive; those that reach a user directly and through his groups count alike, disabled ones do not.
* A permission that is stored and no longer understood grants nothing, and takes nothing from the others.

Contract 2 and 8.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import dataclass
from datetime import datetime

from api_shim.model import Permission, PermissionGroup, PermissionUser, Token, User, UserGroup
from api_shim.store import Transaction
from api_shim.store.lookups import path_types
from approval_gate import constraints
from approval_gate.errors import GateError, Invalid
from approval_gate.model import Action, Actor, Grant, ObjectType

logger = logging.getLogger("signoff")


class Unauthenticated(GateError):
    """Nobody that we know."""


NO_CREDENTIALS = "Authentication credentials were not provided."
INVALID_TOKEN = "Invalid token"  # noqa: S105 - a sentence, not a secret
EXPIRED = "Token expired"
INACTIVE = "User inactive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What somebody signs in with.

    Args:
        key: a token's key.
        username: whose it must be, where the way of signing in says so.
    """

    key: str
    username: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"


def hash_key(key: str) -> str:
    """Return the hash under which a token is kept; keys are random, so a fast hash is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def sign_in(tx: Transaction, credentials: Credentials, now: datetime) -> Actor:
    """Return who signs in.

    Raises:
        Unauthenticated: with the contract's sentence for what is wrong.
    """
    hashed = hash_key(credentials.key)
    token = tx.one(Token, key_hash=hashed)
    if token is None or not hmac.compare_digest(token.key_hash, hashed):
        raise Unauthenticated(INVALID_TOKEN)
    user = tx.one(User, id=token.user_id)
    if user is None or credentials.username not in (None, user.username):
        raise Unauthenticated(INVALID_TOKEN)
    if token.expires is not None and token.expires <= now:
        raise Unauthenticated(EXPIRED)
    if not user.is_active:
        raise Unauthenticated(INACTIVE)
    return actor_of(tx, user, read_only=not token.write_enabled)


def actor_of(tx: Transaction, user: User, *, read_only: bool = False) -> Actor:
    """Return a user as the rules see him, with every permission that reaches him now."""
    grants = () if user.is_superuser else tuple(grant for row in _reaching(tx, user) if (grant := _grant(row)))
    return Actor(id=user.id, username=user.username, superuser=user.is_superuser, grants=grants, read_only=read_only)


def _reaching(tx: Transaction, user: User) -> list[Permission]:
    in_groups = [row.group_id for row in tx.all(UserGroup, user_id=user.id)]
    ids = {row.permission_id for row in tx.all(PermissionUser, user_id=user.id)}
    ids |= {row.permission_id for row in tx.all(PermissionGroup, group_id=in_groups)}
    return tx.all(Permission, id=ids, enabled=True)


def _grant(permission: Permission) -> Grant | None:
    try:
        kinds = frozenset(ObjectType(kind) for kind in permission.object_types)
        return Grant(
            object_types=kinds,
            actions=frozenset(Action(action) for action in permission.actions),
            constraint=constraints.parse(permission.constraints, path_types(kinds)),
        )
    except (ValueError, Invalid) as error:
        logger.warning("The permission %r is not understood and grants nothing: %s", permission.name, error)
        return None
