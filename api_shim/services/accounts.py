"""The use cases around users, groups, tokens and permissions: add, change and remove, by whoever is permitted to.

* Who asks comes first, then the object, then what he sends, then superusers; what is refused has changed nothing.
* What he adds or changes must be within what he may add or change, also as it is afterwards.
* He names only users and groups that he may see; himself always.
* Only a superuser touches a superuser or his tokens, or makes somebody one; one that is active must remain.
* A key is told once, in the answer to its creation.
* What was done is remembered in the same transaction: whose act, on what, which fields; never what they hold.
* Who writes and whom he changes are locked together, in the order of their ids: two who change each other at once
  wait for each other, and the second sees what the first has done.

Contract 8.

Which accounts are linked with which: users in groups, permissions that reach users and groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

from api_shim.domain.accounts import Group, Permission, PermissionGroup, PermissionUser, Token, User, UserGroup
from api_shim.domain.audit import EventType, account_event
from api_shim.parsing.account import Reading, Reference, read_form
from api_shim.services.account_admin import end_sessions, new_key
from api_shim.services.authentication import hash_key
from api_shim.services.authorization import check_still_active, get_authorized
from api_shim.store import TYPES, Duplicate, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Invalid
from approval_gate.model import Action, Actor, ObjectType

T = TypeVar("T")

Account = User | Group | Token | Permission
USER, GROUP, TOKEN, PERMISSION = ObjectType.USER, ObjectType.GROUP, ObjectType.TOKEN, ObjectType.PERMISSION

NAMED_BY = {USER: "username", GROUP: "name", PERMISSION: "name"}
"""The field that names one of a type."""

TAKEN: Mapping[ObjectType, tuple[str, str]] = {
    USER: ("username", "A user with this name already exists."),
    GROUP: ("name", "A group with this name already exists."),
    TOKEN: ("key", "This key is in use already."),
    PERMISSION: ("name", "A permission with this name already exists."),
}
"""What is told, and under which field, when there is one like it."""

ACTS: Mapping[tuple[ObjectType, Action], EventType] = {
    (USER, Action.ADD): EventType.USER_ADDED,
    (USER, Action.CHANGE): EventType.USER_CHANGED,
    (USER, Action.DELETE): EventType.USER_REMOVED,
    (GROUP, Action.ADD): EventType.GROUP_ADDED,
    (GROUP, Action.CHANGE): EventType.GROUP_CHANGED,
    (GROUP, Action.DELETE): EventType.GROUP_REMOVED,
    (TOKEN, Action.ADD): EventType.TOKEN_ADDED,
    (TOKEN, Action.CHANGE): EventType.TOKEN_CHANGED,
    (TOKEN, Action.DELETE): EventType.TOKEN_REMOVED,
    (PERMISSION, Action.ADD): EventType.PERMISSION_ADDED,
    (PERMISSION, Action.CHANGE): EventType.PERMISSION_CHANGED,
    (PERMISSION, Action.DELETE): EventType.PERMISSION_REMOVED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What has been added.

    Args:
        thing: it.
        key: of a token, which cannot be read again; else empty.
    """

    thing: Account
    key: str = field(default="", repr=False)


class Accounts:
    """Additions, changes and removals.

    Args:
        store: what is true.
        clock: tells the time, aware.
        zone: IANA name of the server's time zone.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], zone: str) -> None:
        self._store = store
        self._clock = clock
        self._zone = zone

    async def add(self, actor: Actor, kind: ObjectType, body: object) -> Added:
        """Add one.

        Args:
            actor: who adds it.
            kind: the type.
            body: its fields, as sent.

        Raises:
            Forbidden: he may add none, or not this one.
            Invalid: a fault in a field, or its name is taken.
        """
        return await self._write(kind, partial(_add, self._desk(actor, kind), body))

    async def change(self, actor: Actor, kind: ObjectType, by: Mapping[str, Any], body: object) -> Account:
        """Change one.

        Args:
            actor: who changes it.
            kind: the type.
            by: the field that tells which one.
            body: the fields to change, as sent.

        Raises:
            Forbidden: he may change none, or not this one, or not into this.
            NotFound: there is none, or none that he may see.
            Invalid: a fault in a field, or its new name is taken.
            Conflict: no active superuser would remain.
        """
        return await self._write(kind, partial(_change, self._desk(actor, kind), by, body))

    async def remove(self, actor: Actor, kind: ObjectType, by: Mapping[str, Any]) -> None:
        """Remove one; a user with his tokens, while what he scheduled stays and fails when it would next run.

        Raises:
            Forbidden: he may remove none, or not this one.
            NotFound: there is none, or none that he may see.
            Conflict: no active superuser would remain.
        """
        await self._store.write(partial(_remove, self._desk(actor, kind), by))

    def _desk(self, actor: Actor, kind: ObjectType) -> _Desk:
        return _Desk(actor=actor, kind=kind, now=self._clock(), zone=self._zone)

    async def _write(self, kind: ObjectType, tell: Callable[[Transaction], T]) -> T:
        try:
            return await self._store.write(tell)
        except Duplicate as error:
            where, sentence = TAKEN[kind]
            raise Invalid({where: [sentence]}) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Desk:
    """Who writes, what type of account, and when."""

    actor: Actor
    kind: ObjectType
    now: datetime
    zone: str

    def reading(self, tx: Transaction) -> Reading:
        return Reading(now=self.now, zone=self.zone, ids_of=partial(_ids_of, tx, self.actor))


def _add(desk: _Desk, body: object, tx: Transaction) -> Added:
    policy.enforce(policy.check_type(desk.actor, Action.ADD, desk.kind), desk.kind)
    check_still_active(tx, desk.actor)
    fields = read_form(desk.kind, body, desk.reading(tx))
    key = (fields.get("key") or new_key()) if desk.kind is TOKEN else ""
    thing = _made(desk, fields, key)
    _check_superusers(tx, desk, thing)
    tx.add(thing)
    relink(tx, desk.kind, thing.id, fields)
    _finish(tx, desk, Action.ADD, thing, fields)
    return Added(thing=thing, key=key)


def _change(desk: _Desk, by: Mapping[str, Any], body: object, tx: Transaction) -> Account:
    before: Account = _found(tx, desk, Action.CHANGE, by)
    fields = read_form(desk.kind, body, desk.reading(tx), before)
    own = {name: value for name, value in fields.items() if name not in LINKS[desk.kind]}
    to = {name: value for name, value in own.items() if value != getattr(before, name)}
    _check_superusers(tx, desk, before, becomes=to.get("is_superuser", False))
    after = tx.change(before, **to) if to else before
    if isinstance(before, User) and to.get("is_active") is False:
        end_sessions(tx, before)
    _check_one_remains(tx, desk, before, after)
    changed = {*to, *relink(tx, desk.kind, after.id, fields)}
    _finish(tx, desk, Action.CHANGE, before, changed)
    return after


def _remove(desk: _Desk, by: Mapping[str, Any], tx: Transaction) -> None:
    thing = _found(tx, desk, Action.DELETE, by)
    _check_superusers(tx, desk, thing)
    name = _name_of(tx, thing)
    tx.remove(thing)
    _check_one_remains(tx, desk, thing, None)
    act = ACTS[desk.kind, Action.DELETE]
    tx.remember(account_event(thing.id, name, act, desk.now, desk.actor))


def _made(desk: _Desk, fields: Mapping[str, Any], key: str) -> Account:
    own = {name: value for name, value in fields.items() if name not in {*LINKS[desk.kind], "user", "key"}}
    match desk.kind:
        case ObjectType.USER:
            return User(id=uuid4(), created=desk.now, **own)
        case ObjectType.GROUP:
            return Group(id=uuid4(), **own)
        case ObjectType.TOKEN:
            user_id = fields.get("user", desk.actor.id)
            return Token(id=uuid4(), user_id=user_id, key_hash=hash_key(key), created=desk.now, **own)
        case _:
            return Permission(id=uuid4(), **own)


def _finish(tx: Transaction, desk: _Desk, action: Action, thing: Account, fields: Collection[str]) -> None:
    """See that it is within what he may, as it is now, and remember what was done, under the name that it had."""
    now = tx.attributes(desk.kind, thing.id)
    policy.enforce(policy.check_result(desk.actor, action, desk.kind, now), desk.kind)
    if fields or action is Action.ADD:
        act = ACTS[desk.kind, action]
        tx.remember(account_event(thing.id, _name_of(tx, thing), act, desk.now, desk.actor, fields))


# Coming to it


def _found(tx: Transaction, desk: _Desk, action: Action, by: Mapping[str, Any]) -> Any:
    """Return what he may do this with, after everybody whom it concerns is kept from changing."""
    seen = get_authorized(tx, desk.actor, action, desk.kind, **by)
    concerned = {desk.actor.id}
    if desk.kind is USER:
        concerned |= {seen.id, *(user.id for user in tx.all(User, is_superuser=True))}
    elif desk.kind is TOKEN:
        concerned.add(seen.user_id)
    tx.all(User, order="id", lock=True, id=concerned)
    check_still_active(tx, desk.actor)
    return get_authorized(tx, desk.actor, action, desk.kind, lock=True, id=seen.id)


def _ids_of(tx: Transaction, actor: Actor, kind: ObjectType, named: Sequence[Reference]) -> tuple[UUID, ...]:
    model, name = TYPES[kind], NAMED_BY[kind]
    by_name: dict[str, Any] = {name: {ref for ref in named if isinstance(ref, str)}}
    there = [*tx.all(model, id={ref for ref in named if isinstance(ref, UUID)}), *tx.all(model, **by_name)]
    seen = tx.visible(kind, actor, Action.VIEW, {thing.id for thing in there}) | {actor.id}
    # Locked, so that none of them goes before it is linked.
    locked = tx.all(model, order="id", lock=True, id=seen & {thing.id for thing in there})
    ids: dict[Reference, UUID] = {ref: thing.id for thing in locked for ref in (thing.id, getattr(thing, name))}
    for ref in named:
        if ref not in ids:
            noun = policy.NOUNS[kind].lower()
            raise Invalid(f"There is no {noun} {str(ref)[:100]!r}, or none that you may see.")
    return tuple(dict.fromkeys(ids[ref] for ref in named))


def _name_of(tx: Transaction, thing: Account) -> str:
    """Return the name of an account; of a token, its user's."""
    match thing:
        case User():
            return thing.username
        case Token():
            return tx.all(User, id=[thing.user_id])[0].username
        case _:
            return thing.name


# Superusers


def _check_superusers(tx: Transaction, desk: _Desk, thing: Any, *, becomes: bool = False) -> None:
    user = tx.one(User, id=thing.user_id) if desk.kind is TOKEN else thing
    superuser = becomes or (isinstance(user, User) and user.is_superuser)
    policy.enforce(policy.may_touch_superuser(desk.actor, superuser=superuser), desk.kind)


def _check_one_remains(tx: Transaction, desk: _Desk, before: Any, after: Any) -> None:
    if _is_active_superuser(before) and not _is_active_superuser(after):
        others = tx.all(User, is_superuser=True, is_active=True)
        policy.enforce(policy.may_lose_superuser(others=len(others)), desk.kind)


def _is_active_superuser(thing: Any) -> bool:
    return isinstance(thing, User) and thing.is_superuser and thing.is_active


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
