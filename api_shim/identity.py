"""Users, groups, tokens and permissions: who signs in, and what reaches him.

* A token's key is random, shown once and kept only as a hash; it is found by its hash and compared in constant time.
* Who has no token, an unknown, an expired one, or one of a deactivated user, is nobody.
* Permissions are additive; those that reach a user directly and through his groups count alike, disabled ones do not.
* A permission is checked when it is made: known types, known actions, constraints that speak of what the types have.

Contract 2 and 8.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from api_shim.model import (
    Group,
    Permission,
    PermissionGroup,
    PermissionUser,
    ScheduledJob,
    Token,
    User,
    UserGroup,
)
from api_shim.store import Duplicate, Store, Transaction
from api_shim.store.lookups import path_types
from approval_gate import constraints
from approval_gate.errors import Conflict, GateError, Invalid, NotFound
from approval_gate.model import Action, Actor, Grant, ObjectType

KEY_BYTES = 20
MIN_KEY_LENGTH = 20


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


def actor_of(tx: Transaction, user: User, *, read_only: bool = False) -> Actor:
    """Return a user as the rules see him, with every permission that reaches him now."""
    grants = () if user.is_superuser else tuple(_grant(row) for row in _reaching(tx, user))
    return Actor(id=user.id, username=user.username, superuser=user.is_superuser, grants=grants, read_only=read_only)


def _reaching(tx: Transaction, user: User) -> list[Permission]:
    in_groups = [row.group_id for row in tx.all(UserGroup, user_id=user.id)]
    ids = {row.permission_id for row in tx.all(PermissionUser, user_id=user.id)}
    ids |= {row.permission_id for row in tx.all(PermissionGroup, group_id=in_groups)}
    return tx.all(Permission, id=ids, enabled=True)


def _grant(permission: Permission) -> Grant:
    kinds = frozenset(ObjectType(kind) for kind in permission.object_types)
    return Grant(
        object_types=kinds,
        actions=frozenset(Action(action) for action in permission.actions),
        constraint=constraints.parse(permission.constraints, path_types(kinds)),
    )


class Identity:
    """The use cases around users, each one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def authenticate(self, credentials: Credentials, now: datetime) -> Actor:
        """Return who signs in.

        Raises:
            Unauthenticated: with the contract's sentence for what is wrong.
        """
        hashed = hash_key(credentials.key)
        with self._store.transaction(write=False) as tx:
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

    # Users

    def add_user(self, username: str, now: datetime, *, superuser: bool = False) -> User:
        """Make a user.

        Raises:
            Invalid: the name is empty, too long, or has characters that do not fit into ``user:token``.
            Conflict: there is one of that name.
        """
        if not username or len(username) > 150 or not all(c.isalnum() or c in "@.+-_" for c in username):
            raise Invalid("A user name has 1 to 150 letters, digits, and @ . + - _ only.")
        user = User(id=uuid4(), username=username, is_superuser=superuser, created=now)
        self._add(user, f"A user named {username!r} already exists.")
        return user

    def remove_user(self, username: str) -> int:
        """Remove a user with his tokens; return how many scheduled jobs of his are left without an owner."""
        with self._store.transaction() as tx:
            user = _user(tx, username)
            owned = len(tx.all(ScheduledJob, owner_id=user.id))
            tx.remove(user)
        return owned

    def set_active(self, username: str, *, active: bool) -> User:
        """Let a user sign in, or no longer."""
        with self._store.transaction() as tx:
            return tx.change(_user(tx, username), is_active=active)

    def users(self) -> list[User]:
        """Return every user, by name."""
        with self._store.transaction(write=False) as tx:
            return tx.all(User, order="username")

    def ensure_service(self, username: str, key: str, now: datetime) -> None:
        """Make sure of an account that holds this key and may write to Prefect, and nothing else."""
        with self._store.transaction() as tx:
            user = tx.one(User, username=username)
            if user is None:
                user = User(id=uuid4(), username=username, created=now)
                tx.add(user)
            if not tx.exists(Token, key_hash=hash_key(key)):
                tx.add(Token(id=uuid4(), user_id=user.id, key_hash=hash_key(key), created=now))
            if not tx.exists(Permission, name=SERVICE_PERMISSION):
                permission = Permission(
                    id=uuid4(),
                    name=SERVICE_PERMISSION,
                    object_types=(ObjectType.PREFECT,),
                    actions=(Action.WRITE,),
                )
                tx.add(permission)
                tx.add(PermissionUser(permission_id=permission.id, user_id=user.id))

    # Groups

    def add_group(self, name: str) -> Group:
        """Make a group.

        Raises:
            Invalid: the name is empty or too long.
            Conflict: there is one of that name.
        """
        if not name or len(name) > 150:
            raise Invalid("A group name has 1 to 150 characters.")
        group = Group(id=uuid4(), name=name)
        self._add(group, f"A group named {name!r} already exists.")
        return group

    def remove_group(self, name: str) -> None:
        """Remove a group; its users stay."""
        with self._store.transaction() as tx:
            tx.remove(_group(tx, name))

    def set_member(self, group: str, username: str, *, member: bool) -> None:
        """Put a user into a group, or take him out."""
        with self._store.transaction() as tx:
            row = UserGroup(user_id=_user(tx, username).id, group_id=_group(tx, group).id)
            tx.remove(row)
            if member:
                tx.add(row)

    def groups(self) -> list[tuple[Group, list[str]]]:
        """Return every group with the names of its users."""
        with self._store.transaction(write=False) as tx:
            names = {user.id: user.username for user in tx.all(User)}
            members = tx.all(UserGroup)
            return [
                (group, sorted(names[row.user_id] for row in members if row.group_id == group.id))
                for group in tx.all(Group, order="name")
            ]

    # Tokens

    def add_token(
        self,
        username: str,
        now: datetime,
        *,
        key: str | None = None,
        write_enabled: bool = True,
        expires: datetime | None = None,
    ) -> str:
        """Make a token and return its key, which cannot be read again.

        Args:
            username: whose it is.
            now: the time.
            key: the key to take; a random one if none is given.
            write_enabled: whether it may be used for more than reading.
            expires: when it stops working; never if not given.

        Raises:
            NotFound: there is no such user.
            Invalid: the key is too short, or it is past its end already.
            Conflict: the key is in use.
        """
        key = secrets.token_hex(KEY_BYTES) if key is None else key
        if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
            raise Invalid(f"A token has at least {MIN_KEY_LENGTH} printable ASCII characters, and no space.")
        if expires is not None and expires <= now:
            raise Invalid("The token would have expired already.")
        with self._store.transaction(write=False) as tx:
            user = _user(tx, username)
        token = Token(
            id=uuid4(),
            user_id=user.id,
            key_hash=hash_key(key),
            write_enabled=write_enabled,
            expires=expires,
            created=now,
        )
        self._add(token, "This key is in use already.")
        return key

    # Permissions

    def add_permission(
        self,
        name: str,
        *,
        types: Sequence[str],
        actions: Sequence[str],
        users: Iterable[str] = (),
        groups: Iterable[str] = (),
        constraint: Any = None,
    ) -> Permission:
        """Make a permission and give it to users and groups.

        Args:
            name: what it is called.
            types: types of objects, like ``extras.job``.
            actions: what it permits on them, like ``run``.
            users: names of users.
            groups: names of groups.
            constraint: which objects it is limited to, as contract 8 writes it; None for all.

        Raises:
            Invalid: an unknown type or action, or constraints that do not fit the types.
            NotFound: no such user or group.
            Conflict: there is a permission of that name.
        """
        if not name or len(name) > 255:
            raise Invalid("A permission's name has 1 to 255 characters.")
        kinds = _members(ObjectType, types, "type")
        constraints.parse(constraint, path_types(frozenset(kinds)))
        permission = Permission(
            id=uuid4(),
            name=name,
            object_types=tuple(kinds),
            actions=tuple(_members(Action, actions, "action")),
            constraints=constraint,
        )
        try:
            with self._store.transaction() as tx:
                tx.add(permission)
                for username in users:
                    tx.add(PermissionUser(permission_id=permission.id, user_id=_user(tx, username).id))
                for group in groups:
                    tx.add(PermissionGroup(permission_id=permission.id, group_id=_group(tx, group).id))
        except Duplicate as error:
            raise Conflict(f"A permission named {name!r} already exists.") from error
        return permission

    def remove_permission(self, name: str) -> None:
        """Take a permission away from everybody."""
        with self._store.transaction() as tx:
            permission = tx.one(Permission, name=name)
            if permission is None:
                raise NotFound(f"There is no permission named {name!r}.")
            tx.remove(permission)

    def permissions(self) -> list[Permission]:
        """Return every permission, by name."""
        with self._store.transaction(write=False) as tx:
            return tx.all(Permission, order="name")

    def receivers(self, permission_id: UUID) -> tuple[list[str], list[str]]:
        """Return the names of the users and of the groups that have a permission."""
        with self._store.transaction(write=False) as tx:
            users = {row.user_id for row in tx.all(PermissionUser, permission_id=permission_id)}
            groups = {row.group_id for row in tx.all(PermissionGroup, permission_id=permission_id)}
            return (
                [user.username for user in tx.all(User, order="username", id=users)],
                [group.name for group in tx.all(Group, order="name", id=groups)],
            )

    def _add(self, thing: Any, taken: str) -> None:
        try:
            with self._store.transaction() as tx:
                tx.add(thing)
        except Duplicate as error:
            raise Conflict(taken) from error


SERVICE_PERMISSION = "Workers of signoff"


def _members(kind: type[Any], words: Sequence[str], noun: str) -> list[Any]:
    known = {str(member): member for member in kind}
    for word in words:
        if word not in known:
            raise Invalid(f"There is no {noun} {word!r}; there are {', '.join(known)}.")
    if not words:
        raise Invalid(f"Give at least one {noun}: {', '.join(known)}.")
    return [known[word] for word in dict.fromkeys(words)]


def _user(tx: Transaction, username: str) -> User:
    user = tx.one(User, username=username, lock=True)
    if user is None:
        raise NotFound(f"There is no user named {username!r}.")
    return user


def _group(tx: Transaction, name: str) -> Group:
    group = tx.one(Group, name=name)
    if group is None:
        raise NotFound(f"There is no group named {name!r}.")
    return group
