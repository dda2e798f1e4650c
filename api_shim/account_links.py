"""Which accounts are linked with which: users in groups, permissions that reach users and groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api_shim.model import PermissionGroup, PermissionUser, UserGroup
from api_shim.store import Transaction
from approval_gate.model import ObjectType

Linked = Mapping[str, Mapping[UUID, list[UUID]]]
"""By field, then by the id of the thing that has it: the ids of what it is linked with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """How the store keeps a field that names several others.

    Args:
        kind: the noun of a link.
        of: its field for the thing that has them.
        to: its field for one of the others.
    """

    kind: type[Any]
    of: str
    to: str


LINKS: Mapping[ObjectType, Mapping[str, Link]] = {
    ObjectType.USER: {"groups": Link(kind=UserGroup, of="user_id", to="group_id")},
    ObjectType.GROUP: {"users": Link(kind=UserGroup, of="group_id", to="user_id")},
    ObjectType.TOKEN: {},
    ObjectType.PERMISSION: {
        "users": Link(kind=PermissionUser, of="permission_id", to="user_id"),
        "groups": Link(kind=PermissionGroup, of="permission_id", to="group_id"),
    },
}


def relink(tx: Transaction, kind: ObjectType, thing_id: UUID, fields: Mapping[str, Collection[UUID]]) -> set[str]:
    """Link a thing with exactly these others, and return the fields in which that was a change.

    Args:
        tx: the transaction.
        kind: its type.
        thing_id: it.
        fields: the ids by field; fields without links are passed over.
    """
    changed = set()
    for name in LINKS[kind].keys() & fields.keys():
        link, wanted = LINKS[kind][name], set(fields[name])
        its: dict[str, Any] = {link.of: thing_id}
        there = {getattr(row, link.to) for row in tx.all(link.kind, **its)}
        for other in there - wanted:
            tx.remove(link.kind(**its, **{link.to: other}))
        for other in wanted - there:
            tx.add(link.kind(**its, **{link.to: other}))
        if wanted != there:
            changed.add(name)
    return changed


def linked(tx: Transaction, kind: ObjectType, ids: Collection[UUID]) -> Linked:
    """Return what things of a type are linked with; one query for each field, however many they are."""
    found: dict[str, dict[UUID, list[UUID]]] = {}
    for name, link in LINKS[kind].items():
        found[name] = defaultdict(list)
        theirs: dict[str, Any] = {link.of: set(ids)}
        for row in tx.all(link.kind, order=link.to, **theirs):
            found[name][getattr(row, link.of)].append(getattr(row, link.to))
    return found
