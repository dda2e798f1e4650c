"""The shapes of users, groups, tokens and permissions, made like all others (``wire``).

* A token's hash is part of no shape, and its key only of the answer to its creation.
* What is shown of related things is read for a whole page at once.

Contract 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from api_shim import shapes
from api_shim.account_links import Linked, linked
from api_shim.identity import usernames
from api_shim.model import Group, Permission, Token, User
from api_shim.store import Transaction
from api_shim.wire import Wire
from approval_gate.model import ObjectType

PATHS: Mapping[ObjectType, str] = {
    ObjectType.USER: "users/users",
    ObjectType.GROUP: "users/groups",
    ObjectType.TOKEN: "users/tokens",
    ObjectType.PERMISSION: "users/permissions",
}
"""Where each type is found, below ``/api/``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Related:
    """What shapes show besides the things themselves.

    Args:
        linked: the users and groups that they are linked with.
        usernames: the names of the users whose tokens they are, by id.
    """

    linked: Linked = field(default_factory=dict)
    usernames: Mapping[UUID | None, str] = field(default_factory=dict)


def related(kind: ObjectType, things: Sequence[Any], tx: Transaction) -> Related:
    """Return what the shapes of these things show besides them."""
    if kind is ObjectType.TOKEN:
        return Related(usernames=usernames(tx, [token.user_id for token in things]))
    return Related(linked=linked(tx, kind, [thing.id for thing in things]))


class AccountsWire(Wire):
    """Makes shapes for one request.

    Args:
        root: the address of the origin, without a slash at its end.
        related: what they show besides the things themselves.
    """

    def __init__(self, root: str, related: Related) -> None:
        super().__init__(root, {})
        self._related = related

    def account(self, thing: User | Group | Token | Permission, key: str = "") -> shapes.Object:
        """Return a user, a group, a token or a permission (contract 8).

        Args:
            thing: it.
            key: of a token that has just been made; else empty.
        """
        match thing:
            case User():
                return self.user(thing)
            case Group():
                return self.group(thing)
            case Token():
                return self.new_token(thing, key) if key else self.token(thing)
            case _:
                return self.permission(thing)

    def user(self, user: User) -> shapes.User:
        """Return a user."""
        return shapes.User(
            **self._as(ObjectType.USER, user.id, user.username),
            username=user.username,
            is_active=user.is_active,
            is_superuser=user.is_superuser,
            date_joined=user.created,
            groups=self._several(ObjectType.GROUP, "groups", user.id),
        )

    def group(self, group: Group) -> shapes.Group:
        """Return a group."""
        return shapes.Group(
            **self._as(ObjectType.GROUP, group.id, group.name),
            name=group.name,
            user_count=len(self._ids("users", group.id)),
        )

    def token(self, token: Token) -> shapes.Token:
        """Return a token, as it is after its creation."""
        owner = self._related.usernames.get(token.user_id, "")
        return shapes.Token(
            **self._as(ObjectType.TOKEN, token.id, f"{owner} ({str(token.id)[:8]})"),
            user=self._user(token.user_id),
            created=token.created,
            expires=token.expires,
            write_enabled=token.write_enabled,
        )

    def new_token(self, token: Token, key: str) -> shapes.NewToken:
        """Return a token as its creation answers it."""
        return shapes.NewToken(**dict(self.token(token)), key=key)

    def permission(self, permission: Permission) -> shapes.Permission:
        """Return a permission."""
        return shapes.Permission(
            **self._as(ObjectType.PERMISSION, permission.id, permission.name),
            name=permission.name,
            enabled=permission.enabled,
            object_types=[str(kind) for kind in permission.object_types],
            actions=[str(action) for action in permission.actions],
            constraints=permission.constraints,
            users=self._several(ObjectType.USER, "users", permission.id),
            groups=self._several(ObjectType.GROUP, "groups", permission.id),
        )

    def _as(self, kind: ObjectType, thing_id: UUID, display: str) -> dict[str, Any]:
        return self._object(thing_id, PATHS[kind], display)

    def _ids(self, field: str, thing_id: UUID) -> list[UUID]:
        return self._related.linked.get(field, {}).get(thing_id, [])

    def _several(self, kind: ObjectType, field: str, thing_id: UUID) -> list[Any]:
        refer = partial(self._to, object_type=str(kind), kind=PATHS[kind])
        return [refer(other) for other in self._ids(field, thing_id)]
