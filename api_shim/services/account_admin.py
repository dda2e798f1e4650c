"""Users, groups, tokens and permissions: who there is, and what is given to whom.

* A token's key is random, shown once and kept only as a hash.
* What they are called and hold is checked as it is for everybody (``account_values``).

Contract 8.

The use case of removing a user, and what becomes of the scheduled jobs that he owns.

* They stay, without an owner: each fails when it would next run, and can be taken over.
* Those that somebody else may run can be handed to him with the removal, in the same transaction.
* What would happen can be seen before.

Contract 1.3; for whoever administers this machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from api_shim.domain.accounts import Group, Permission, PermissionGroup, PermissionUser, Session, Token, User, UserGroup
from api_shim.domain.model import ScheduledJob
from api_shim.parsing.account import (
    check_constraints,
    check_end,
    check_group_name,
    check_key,
    check_permission_name,
    check_username,
    read_actions,
    read_types,
)
from api_shim.services.authentication import Credentials, actor_of, authenticate_token, hash_key
from api_shim.services.authorization import load_contexts
from api_shim.services.ownership import hand_over
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import ownership
from approval_gate.errors import Conflict, Invalid, NotFound
from approval_gate.model import Action, Actor, Denied, ObjectType

KEY_BYTES = 20


def end_sessions(tx: Transaction, user: User) -> None:
    """Sign a user out everywhere, so that he has to sign in again even if he may again."""
    tx.remove_all(Session, [session.id for session in tx.all(Session, user_id=user.id)])


class Identity:
    """The use cases around users, each one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def authenticate(self, credentials: Credentials, now: datetime) -> Actor:
        """Return who signs in.

        Raises:
            Unauthenticated: with the contract's sentence for what is wrong.
        """
        with self._store.transaction(write=False) as tx:
            return authenticate_token(tx, credentials, now)

    # Users

    def add_user(self, username: str, now: datetime, *, superuser: bool = False) -> User:
        """Make a user.

        Raises:
            Invalid: the name is empty, too long, or has characters that do not fit into ``user:token``.
            Conflict: there is one of that name.
        """
        user = User(id=uuid4(), username=check_username(username), is_superuser=superuser, created=now)
        self._add(user, f"A user named {username!r} already exists.")
        return user

    def set_active(self, username: str, *, active: bool) -> User:
        """Let a user sign in, or no longer.

        Raises:
            NotFound: there is no such user.
        """
        with self._store.transaction() as tx:
            user = user_named(tx, username)
            if not active:
                end_sessions(tx, user)
            return tx.change(user, is_active=active)

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
            permission = tx.one(Permission, name=SERVICE_PERMISSION)
            if permission is None:
                types, actions = (ObjectType.PREFECT,), (Action.WRITE,)
                permission = Permission(id=uuid4(), name=SERVICE_PERMISSION, object_types=types, actions=actions)
                tx.add(permission)
            if not tx.exists(PermissionUser, permission_id=permission.id, user_id=user.id):
                tx.add(PermissionUser(permission_id=permission.id, user_id=user.id))

    # Groups

    def add_group(self, name: str) -> Group:
        """Make a group.

        Raises:
            Invalid: the name is empty, too long, or cannot be printed or listed with others.
            Conflict: there is one of that name.
        """
        group = Group(id=uuid4(), name=check_group_name(name))
        self._add(group, f"A group named {name!r} already exists.")
        return group

    def remove_group(self, name: str) -> None:
        """Remove a group; its users stay.

        Raises:
            NotFound: there is no such group.
        """
        with self._store.transaction() as tx:
            tx.remove(_group(tx, name))

    def set_member(self, group: str, username: str, *, member: bool) -> None:
        """Put a user into a group, or take him out.

        Raises:
            NotFound: no such user or group.
        """
        with self._store.transaction() as tx:
            row = UserGroup(user_id=user_named(tx, username).id, group_id=_group(tx, group).id)
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
        key = new_key() if key is None else check_key(key)
        end = check_end(expires, now)
        try:
            with self._store.transaction() as tx:
                token = Token(
                    id=uuid4(),
                    user_id=user_named(tx, username).id,
                    key_hash=hash_key(key),
                    write_enabled=write_enabled,
                    expires=end,
                    created=now,
                )
                tx.add(token)
        except Duplicate as error:
            raise Conflict("This key is in use already.") from error
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
        kinds = read_types(types)
        check_constraints(constraint, kinds)
        permission = Permission(
            id=uuid4(),
            name=check_permission_name(name),
            object_types=kinds,
            actions=read_actions(actions),
            constraints=constraint,
        )
        try:
            with self._store.transaction() as tx:
                tx.add(permission)
                for username in dict.fromkeys(users):
                    tx.add(PermissionUser(permission_id=permission.id, user_id=user_named(tx, username).id))
                for group in dict.fromkeys(groups):
                    tx.add(PermissionGroup(permission_id=permission.id, group_id=_group(tx, group).id))
        except Duplicate as error:
            raise Conflict(f"A permission named {name!r} already exists.") from error
        return permission

    def remove_permission(self, name: str) -> None:
        """Take a permission away from everybody.

        Raises:
            NotFound: there is no such permission.
        """
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


def new_key() -> str:
    """Return a random key."""
    return secrets.token_hex(KEY_BYTES)


def usernames(tx: Transaction, ids: Iterable[UUID | None]) -> Mapping[UUID | None, str]:
    """Return the names of those of these users that there are, by id."""
    wanted = {user_id for user_id in ids if user_id is not None}
    return {user.id: user.username for user in tx.all(User, id=wanted)} if wanted else {}


def user_named(tx: Transaction, username: str, *, lock: bool = True) -> User:
    """Return a user by name, locked unless nothing is to be done to him yet.

    Raises:
        NotFound: there is none.
    """
    user = tx.one(User, username=username, lock=lock)
    if user is None:
        raise NotFound(f"There is no user named {username!r}.")
    return user


def _group(tx: Transaction, name: str) -> Group:
    group = tx.one(Group, name=name)
    if group is None:
        raise NotFound(f"There is no group named {name!r}.")
    return group


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A scheduled job whose owner leaves.

    Args:
        scheduled: it.
        owner: who owns it then; none if it was not handed over.
        kept_back: why it was not; empty if it was, or was not to be.
    """

    scheduled: ScheduledJob
    owner: User | None = None
    kept_back: str = ""


def remove_user(
    store: Store, username: str, now: datetime, *, heir: str | None = None, dry_run: bool = False
) -> list[Left]:
    """Remove a user with his tokens.

    Args:
        store: what is true.
        username: whom.
        now: the time.
        heir: who is to own those of his scheduled jobs that he may run.
        dry_run: only tell what would happen.

    Returns:
        what he leaves, by name.

    Raises:
        NotFound: there is no such user, or no such heir.
        Invalid: he would be his own heir.
        Conflict: the heir has been deactivated.
    """
    with store.transaction(write=not dry_run) as tx:
        user = user_named(tx, username, lock=False)
        receiver = _heir(tx, user, heir) if heir is not None else None
        # Before the user himself: who changes his own scheduled job locks it first, and then himself.
        rows = tx.all(ScheduledJob, order="id", lock=not dry_run, owner_id=user.id)
        left = _divide(tx, rows, receiver, now, dry_run=dry_run)
        if not dry_run:
            tx.remove(user)
    return sorted(left, key=lambda each: each.scheduled.name)


def _divide(
    tx: Transaction, rows: list[ScheduledJob], heir: User | None, now: datetime, *, dry_run: bool
) -> list[Left]:
    if heir is None:
        return [Left(scheduled=row) for row in rows]
    left, receiver = [], actor_of(tx, heir)
    for case in load_contexts(tx, rows, now):
        verdict = ownership.inherit(receiver, case.request)
        if isinstance(verdict, Denied):
            left.append(Left(scheduled=case.row, kept_back=verdict.reason))
            continue
        if not dry_run:
            hand_over(tx, case, heir.id, heir.username, now, None)
        left.append(Left(scheduled=case.row, owner=heir))
    return left


def _heir(tx: Transaction, user: User, username: str) -> User:
    heir = user_named(tx, username, lock=False)
    if heir.id == user.id:
        raise Invalid("Somebody else must be given what a removed user owns.")
    if not heir.is_active:
        raise Conflict(f"{heir.username} has been deactivated.")
    return heir
