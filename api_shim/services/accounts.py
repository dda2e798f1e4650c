"""The use cases around users, groups, tokens and permissions: add, change and remove.

For whoever writes, through the REST API or on the server's own machine (``account_admin``):

* One active superuser remains.
* A key is told once, in the answer to its creation.
* What was done is recorded in the audit in the same transaction: whose act, on what, which fields, and what these were
  and are, users and groups by name; never a key or a password. A user who is removed takes their tokens with them, and
  what binds automations to them, each recorded.
* Everybody whom a change concerns is locked first, in the order of their ids: two who change each other at once wait
  for each other, and the second sees what the first has done.
* Who is deactivated is signed out everywhere.
* The names of users are kept (``user_names``): one that another user has, or had until lately, is not given again.
* Whoever changes or removes an account is told which approvals stand though their approvers may give them no longer
  (``given_approvals``); with a user who is removed or deactivated theirs can be revoked.
* What they own can be transferred with it (``ownership``), in the same transaction.

For callers of the REST API besides:

* Who asks comes first, then the object, then what they send, then superusers; what is refused has changed nothing.
* What they add or change must be within what they may add or change, also as it is afterwards.
* They name only users and groups that they may see; themselves always.
* Whom they add and take away, beside those whom they name all of, is added and taken away then and there: what others
  have linked meanwhile, and what the caller may not view, stays linked.
* Only a superuser touches a superuser or a superuser's tokens, or makes somebody one; or gives a name again that is
  kept for another user.
* Who sets somebody's password can sign in as them for ever: they may change this user, and make such a token for them.
  Nobody sets their own so, and with a token that ends nobody's is set.
* A token that is made with a token belongs to it: it ends when that one ends, and is removed with it, whosever it is.

Contract 8.

Which accounts are linked with which: users in groups, permissions that reach users and groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

import anyio

from api_shim.domain.accounts import (
    Group,
    Password,
    Permission,
    PermissionGroup,
    PermissionUser,
    Session,
    Token,
    User,
    UserGroup,
)
from api_shim.domain.audit import Author, EventType, account_event, changes
from api_shim.domain.model import AutomationAccount, ScheduledJob
from api_shim.keys import new_key
from api_shim.parsing.account import Reading, Reference, read_form
from api_shim.services.authentication import INVALID_TOKEN, Unauthenticated, hash_key, makers
from api_shim.services.authorization import check_still_active, get_authorized, permitted_ids, versions_of
from api_shim.services.given_approvals import (
    Approvals,
    GivenApprovals,
    approvals_without,
    revoke,
    standing_approvals,
)
from api_shim.services.ownership import Transfer, transfer_all
from api_shim.services.sessions import hash_password
from api_shim.services.user_names import give_up_name, referred_user, take_name, user_called, users_called
from api_shim.store import TYPES, Duplicate, Store, Transaction
from api_shim.store.columns import path_types
from approval_gate import policy
from approval_gate.errors import Invalid, NotFound
from approval_gate.identity import TAKEN as NAME_TAKEN
from approval_gate.model import Action, Actor, Denied, ObjectType

T = TypeVar("T")

Account = User | Group | Token | Permission
AnyAccount = TypeVar("AnyAccount", bound=Account)
USER, GROUP, TOKEN, PERMISSION = ObjectType.USER, ObjectType.GROUP, ObjectType.TOKEN, ObjectType.PERMISSION

NAMED_BY = {USER: "username", GROUP: "name", PERMISSION: "name"}
"""The field that names one of a type."""

TAKEN: Mapping[ObjectType, tuple[str, str]] = {
    USER: ("username", NAME_TAKEN),
    GROUP: ("name", "A group with this name already exists."),
    TOKEN: ("key", "This key is already in use."),
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


DESCRIBED: Mapping[ObjectType, tuple[str, ...]] = {
    USER: ("username", "is_active", "is_superuser"),
    GROUP: ("name",),
    TOKEN: ("write_enabled", "expires"),
    PERMISSION: ("name", "enabled", "object_types", "actions", "constraints"),
}
"""The fields whose values the audit tells, besides the linked users and groups."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

Without = Mapping[str, Collection[UUID]]
"""The ids of users and groups that something is to be linked with no longer, by field."""

OPTIONS = frozenset({"reuse_name", "revoke_approvals"})
"""What can be given with the fields of a user, and says how they are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What has been added.

    Args:
        thing: it.
        key: of a token, which cannot be read again; else empty.
    """

    thing: Account
    key: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed(Generic[AnyAccount]):
    """What has been changed.

    Args:
        thing: it, as it is then.
        approvals: what has become of approvals.
    """

    thing: AnyAccount
    approvals: Approvals


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """What has ended with an account that has been removed.

    Args:
        tokens: the tokens of others that came from it.
        approvals: what has become of approvals.
    """

    tokens: Sequence[Token]
    approvals: Approvals


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """What a user who is removed or deactivated leaves, as far as whoever does this to them may see it.

    Args:
        user: the user.
        scheduled: the scheduled jobs that they own, by name, which fail from then on.
        versions: the versions of these, by id.
        hidden: how many others of theirs there are.
        tokens: how many tokens of theirs stop working.
        others: how many tokens of others end with those.
        automations: the names of the automations that act as them, and then as nobody, as far as those may be seen.
        approvals: what they have approved and would stand.
    """

    user: User
    scheduled: Sequence[ScheduledJob]
    versions: Mapping[UUID, str]
    hidden: int
    tokens: int
    others: int
    automations: Sequence[str]
    approvals: Approvals


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
            Forbidden: they may add none, or not this one.
            Invalid: a fault in a field, or its name is taken.
        """
        return await self._write(kind, partial(_add, self._desk(actor, kind), body))

    def add_within(self, tx: Transaction, actor: Actor, kind: ObjectType, body: object) -> Added:
        """Add one, as ``add``, within a transaction that does more.

        Args:
            tx: the transaction.
            actor: who adds it.
            kind: the type.
            body: its fields, as sent.

        Raises:
            Forbidden: they may add none, or not this one.
            Invalid: a fault in a field.
            Duplicate: when the transaction is left or before, if its name is taken.
        """
        return _add(self._desk(actor, kind), body, tx)

    async def change(
        self,
        actor: Actor,
        kind: ObjectType,
        by: Mapping[str, Any],
        body: object,
        *,
        without: Without | None = None,
        transfer: Transfer | None = None,
    ) -> Changed[Account]:
        """Change one, and return it with the approvals that the caller is to be told of.

        Args:
            actor: who changes it.
            kind: the type.
            by: the field that tells which one.
            body: the fields to change, as sent.
            without: the users and groups that are taken away; those in the body are then added to what there is. If
                it is not given, the body names all that there are to be.
            transfer: to whom a user who is deactivated transfers what they own; else it fails when it would next run.

        Raises:
            Forbidden: they may change none, or not this one, or not into this.
            NotFound: there is none, or none that they may see.
            Invalid: a fault in a field, its new name is taken, or what they own cannot be transferred.
            Conflict: no active superuser would remain.
        """
        return await self._write(kind, partial(_change, self._desk(actor, kind), by, body, without, transfer))

    async def remove(
        self,
        actor: Actor,
        kind: ObjectType,
        by: Mapping[str, Any],
        *,
        revoke_approvals: bool = False,
        transfer: Transfer | None = None,
    ) -> Approvals:
        """Remove one; a user with their tokens, while what they scheduled stays.

        Args:
            actor: who removes it.
            kind: the type.
            by: the field that tells which one.
            revoke_approvals: whether what a user has approved is to wait for approval again.
            transfer: to whom a user transfers what they own; else it fails when it would next run.

        Returns:
            the approvals that the caller is to be told of.

        Raises:
            Forbidden: they may remove none, or not this one.
            NotFound: there is none, or none that they may see.
            Invalid: what they own cannot be transferred.
            Conflict: no active superuser would remain.
        """
        return await self._store.write(partial(_remove, self._desk(actor, kind), by, revoke_approvals, transfer))

    async def set_password(self, actor: Actor, kind: ObjectType, by: Mapping[str, Any], password: str) -> User:
        """Set the password that another user signs in to the pages with, end their sessions, and return them.

        Args:
            actor: who sets it.
            kind: the type, which is users.
            by: the field that tells whose.
            password: the password.

        Raises:
            Forbidden: they may change none, or not this one, or not sign in as them, or they use a token that ends.
            NotFound: there is none, or none that they may see.
            Invalid: it is too short or too long.
            Conflict: it is an agent's account.
        """
        policy.enforce(policy.check_type(actor, Action.CHANGE, kind), kind)
        try:
            hashed = await anyio.to_thread.run_sync(hash_password, password)
        except Invalid as error:
            raise Invalid({"password": [str(error)]}) from error
        return await self._store.write(partial(_set_password, self._desk(actor, kind), by, hashed))

    async def departure(self, actor: Actor, action: Action, by: Mapping[str, Any]) -> Departure:
        """Tell what would become of what a user has if the actor removed or deactivated them, and change nothing.

        Args:
            actor: who asks.
            action: delete to remove them, change to deactivate them.
            by: the field that tells which user.

        Raises:
            Forbidden: they may do this to none, or not to this one.
            NotFound: there is none, or none that they may see.
            Conflict: no active superuser would remain.
        """
        return await self._store.read(partial(_departure, self._desk(actor, USER), action, by))

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
        return Reading(now=self.now, zone=self.zone, ids_of=partial(_ids_of, tx, self.actor), path_types=path_types)


def _add(desk: _Desk, body: object, tx: Transaction) -> Added:
    policy.enforce(policy.check_type(desk.actor, Action.ADD, desk.kind), desk.kind)
    check_still_active(tx, desk.actor)
    fields = read_form(desk.kind, body, desk.reading(tx))
    inherited = _from_token(tx, desk.actor, fields) if desk.kind is TOKEN else {}
    key = (fields.get("key") or new_key()) if desk.kind is TOKEN else ""
    _check_reuse(desk, fields)
    thing = _made(desk, {**fields, **inherited}, key)
    _check_superusers(tx, desk, thing)
    add_account(tx, thing, fields, desk.now, desk.actor)
    _check_outcome(tx, desk, Action.ADD, thing)
    return Added(thing=thing, key=key)


def _change(
    desk: _Desk,
    by: Mapping[str, Any],
    body: object,
    without: Without | None,
    transfer: Transfer | None,
    tx: Transaction,
) -> Changed[Account]:
    revokes = isinstance(body, Mapping) and bool(body.get("revoke_approvals"))
    before: Account = _found(tx, desk, Action.CHANGE, by, revokes=revokes, transfer=transfer)
    fields = read_form(desk.kind, body, desk.reading(tx), before)
    if without is not None:
        fields |= _relinked(tx, desk, before, fields, without)
    if isinstance(before, Token) and fields.get("expires", before.expires) != before.expires:
        _check_end(fields["expires"], _end_of(_line_of(tx, desk.actor)))
    _check_superusers(tx, desk, before, becomes=fields.get("is_superuser", False))
    _check_reuse(desk, fields)
    if transfer is not None and isinstance(before, User):
        transfer_all(tx, desk.actor, before, transfer, desk.now)
    changed = change_account(tx, before, fields, desk.now, desk.actor)
    _check_outcome(tx, desk, Action.CHANGE, changed.thing)
    return replace(changed, approvals=changed.approvals.seen_by(tx, desk.actor))


def _relinked(
    tx: Transaction, desk: _Desk, thing: Account, added: Mapping[str, Any], without: Without
) -> dict[str, set[UUID]]:
    """Return, by field, what a locked thing is linked with after some are added and others are taken away."""
    there = linked(tx, desk.kind, [thing.id])
    found = {}
    for name, link in LINKS[desk.kind].items():
        gone = _seen(tx, desk.actor, link.others, {*without.get(name, ())})
        found[name] = {*there[name][thing.id]} - gone | {*added.get(name, ())}
    return found


def _remove(desk: _Desk, by: Mapping[str, Any], revokes: bool, transfer: Transfer | None, tx: Transaction) -> Approvals:
    thing: Account = _found(tx, desk, Action.DELETE, by, revokes=revokes, transfer=transfer)
    _check_superusers(tx, desk, thing)
    if transfer is not None and isinstance(thing, User):
        transfer_all(tx, desk.actor, thing, transfer, desk.now)
    removed = remove_account(tx, thing, desk.now, desk.actor, revokes=revokes)
    return removed.approvals.seen_by(tx, desk.actor)


def _set_password(desk: _Desk, by: Mapping[str, Any], hashed: str, tx: Transaction) -> User:
    user: User = _found(tx, desk, Action.CHANGE, by, revokes=False)
    _check_superusers(tx, desk, user)
    as_them = Token(id=uuid4(), user_id=user.id, key_hash="", created=desk.now)
    token = {"id": as_them.id, "user": user.id, "user__username": user.username} | {
        name: getattr(as_them, name) for name in ("write_enabled", "expires", "created")
    }
    ends = _end_of(_line_of(tx, desk.actor))
    policy.enforce(policy.may_set_password(desk.actor, user.id, token, ends=ends), USER)
    policy.enforce(policy.may_be_more(agent=user.is_agent), USER)
    replace_password(tx, user, hashed, desk.now, desk.actor)
    return user


def _departure(desk: _Desk, action: Action, by: Mapping[str, Any], tx: Transaction) -> Departure:
    user: User = get_authorized(tx, desk.actor, action, USER, **by)
    _check_superusers(tx, desk, user)
    check_one_remains(tx, user)
    owned = tx.all(ScheduledJob, order="name", owner_id=user.id)
    seen = permitted_ids(tx, desk.actor, Action.VIEW, ObjectType.SCHEDULED_JOB, [row.id for row in owned])
    shown = [row for row in owned if row.id in seen]
    bound = {each.id: each.name for each in tx.all(AutomationAccount, order="name", user_id=user.id)}
    known = permitted_ids(tx, desk.actor, Action.VIEW, ObjectType.AUTOMATION_ACCOUNT, bound)
    return Departure(
        user=user,
        scheduled=shown,
        versions=versions_of(tx, shown),
        hidden=len(owned) - len(seen),
        tokens=tx.count(Token, user_id=user.id),
        others=len(tokens_from(tx, user)),
        automations=[name for bound_id, name in bound.items() if bound_id in known],
        approvals=approvals_without(tx, user, desk.now, revokes=False).seen_by(tx, desk.actor),
    )


def _made(desk: _Desk, fields: Mapping[str, Any], key: str) -> Account:
    own = {name: value for name, value in fields.items() if name not in {*LINKS[desk.kind], *OPTIONS, "user", "key"}}
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


def _line_of(tx: Transaction, actor: Actor) -> list[Token]:
    """Return the token that the actor has authenticated with, and those that it comes from; none if they had none.

    Raises:
        Unauthenticated: one of them has been removed since.
    """
    if actor.token_id is None:
        return []
    token = tx.get(Token, id=actor.token_id)
    if token is None:
        raise Unauthenticated(INVALID_TOKEN)
    return [token, *makers(tx, token)]


def _end_of(line: Iterable[Token]) -> datetime | None:
    return min((token.expires for token in line if token.expires is not None), default=None)


def _check_end(expires: datetime | None, ends: datetime | None) -> None:
    verdict = policy.may_last(expires, ends=ends)
    if isinstance(verdict, Denied):
        raise Invalid({"expires": [verdict.reason]})


def _from_token(tx: Transaction, actor: Actor, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a new token gets from the one that it is made with."""
    line = _line_of(tx, actor)
    if not line:
        return {}
    policy.enforce(policy.may_make_token(line=len(line)), TOKEN)
    ends = _end_of(line)
    expires = fields.get("expires") or ends
    _check_end(expires, ends)
    return {"made_with_id": actor.token_id, "expires": expires}


def _found(
    tx: Transaction,
    desk: _Desk,
    action: Action,
    by: Mapping[str, Any],
    *,
    revokes: bool,
    transfer: Transfer | None = None,
) -> Any:
    """Return what they may do this with, after everybody whom it concerns is kept from changing."""
    seen = get_authorized(tx, desk.actor, action, desk.kind, **by)
    heir = referred_user(tx, transfer.to) if transfer is not None else None
    others = [desk.actor.id, *([heir.id] if heir is not None else [])]
    owned = action is Action.DELETE or transfer is not None
    lock_concerned(tx, seen, *others, owned=owned, revokes=revokes)
    check_still_active(tx, desk.actor)
    return get_authorized(tx, desk.actor, action, desk.kind, lock=True, id=seen.id)


def _check_outcome(tx: Transaction, desk: _Desk, action: Action, thing: Account) -> None:
    """See that it is within what they may add or change, as it is now."""
    now = tx.attributes(desk.kind, thing.id)
    policy.enforce(policy.check_result(desk.actor, action, desk.kind, now), desk.kind)


def _check_superusers(tx: Transaction, desk: _Desk, thing: Account, *, becomes: bool = False) -> None:
    user = tx.get(User, id=thing.user_id) if isinstance(thing, Token) else thing
    superuser = becomes or (isinstance(user, User) and user.is_superuser)
    policy.enforce(policy.may_touch_superuser(desk.actor, superuser=superuser), desk.kind)


def _check_reuse(desk: _Desk, fields: Mapping[str, Any]) -> None:
    if fields.get("reuse_name"):
        policy.enforce(policy.may_reuse_names(desk.actor), desk.kind)


def _ids_of(tx: Transaction, actor: Actor, kind: ObjectType, named: Sequence[Reference]) -> tuple[UUID, ...]:
    model, name = TYPES[kind], NAMED_BY[kind]
    by_id = {thing.id: thing for thing in tx.all(model, id={ref for ref in named if isinstance(ref, UUID)})}
    by_name = _named(tx, kind, {ref for ref in named if isinstance(ref, str)})
    found = [by_id.get(ref) if isinstance(ref, UUID) else by_name.get(ref) for ref in named]
    there = {thing.id for thing in found if thing is not None}
    seen = _seen(tx, actor, kind, there)
    # Locked, so that none of them goes, or is called otherwise, before it is linked.
    names = {thing.id: getattr(thing, name) for thing in tx.all(model, order="id", lock=True, id=seen)}
    ids: list[UUID] = []
    for ref, thing in zip(named, found, strict=True):
        if thing is None or names.get(thing.id) != getattr(thing, name):
            noun = policy.NOUNS[kind].lower()
            raise Invalid(f"There is no {noun} {str(ref)[:100]!r}, or none that you may see.")
        ids.append(thing.id)
    return tuple(dict.fromkeys(ids))


def _seen(tx: Transaction, actor: Actor, kind: ObjectType, ids: set[UUID]) -> set[UUID]:
    """Return those of these that the actor may view; themselves always."""
    return {*tx.visible(kind, actor, Action.VIEW, ids)} | (ids & {actor.id})


def _named(tx: Transaction, kind: ObjectType, names: set[str]) -> Mapping[str, Any]:
    """Return users or groups by these names; users also by names that are written otherwise."""
    if kind is USER:
        return users_called(tx, names)
    by_name: dict[str, Any] = {NAMED_BY[kind]: names}
    return {getattr(thing, NAMED_BY[kind]): thing for thing in tx.all(TYPES[kind], **by_name)}


# Writing, whoever does it


def lock_concerned(tx: Transaction, thing: Account, *others: UUID, owned: bool = False, revokes: bool = False) -> None:
    """Keep everybody whom a change of an account concerns from changing until the transaction ends.

    Args:
        tx: the transaction.
        thing: the account that is to be changed or removed.
        others: the ids of users whom the change concerns besides.
        owned: whether what it owns is to get another owner, or none.
        revokes: whether the approvals that it has given are to be revoked.
    """
    concerned = {*others}
    if isinstance(thing, User):
        theirs = tx.all(ScheduledJob, owner_id=thing.id) if owned else []
        approved = standing_approvals(tx, [thing.id]) if revokes else []
        if ids := {row.id for row in (*theirs, *approved)}:
            # Before the users: who changes a scheduled job of their own locks it first, and then themselves.
            tx.all(ScheduledJob, order="id", lock=True, id=ids)
        concerned |= {thing.id, *(user.id for user in tx.all(User, is_superuser=True))}
    elif isinstance(thing, Token):
        concerned.add(thing.user_id)
    tx.all(User, order="id", lock=True, id=concerned)


def add_account(tx: Transaction, thing: Account, fields: Mapping[str, Any], now: datetime, by: Author) -> None:
    """Add an account that may be added.

    Args:
        tx: the transaction.
        thing: it.
        fields: what was given of it, by field; users and groups as their ids.
        now: the time.
        by: who adds it.

    Raises:
        Duplicate: when the transaction is left or before, if its name or key is taken.
        Invalid: it is a user whose name is kept for another one.
    """
    tx.add(thing)
    reuse = bool(fields.get("reuse_name"))
    again = take_name(tx, thing, now, reuse=reuse) if isinstance(thing, User) else NOTHING
    relink(tx, _kind_of(thing), thing.id, fields)
    record(tx, Action.ADD, thing, now, by, fields, after=described(tx, thing), **again)


def change_account(
    tx: Transaction, before: AnyAccount, fields: Mapping[str, Any], now: datetime, by: Author
) -> Changed[AnyAccount]:
    """Change an account that may be changed; what stays as it was is not recorded.

    Args:
        tx: the transaction.
        before: it, read after ``lock_concerned``.
        fields: what it is to hold, by field, with ``OPTIONS``; users and groups as their ids.
        now: the time.
        by: who changes it.

    Returns:
        it, as it is then, and what has become of approvals.

    Raises:
        Conflict: no active superuser would remain, or an agent would become one.
        Duplicate: when the transaction is left or before, if its new name is taken.
        Invalid: its new name is kept for another user.
    """
    kind = _kind_of(before)
    own = {name: value for name, value in fields.items() if name not in {*LINKS[kind], *OPTIONS}}
    to = {name: value for name, value in own.items() if value != getattr(before, name)}
    revokes = bool(fields.get("revoke_approvals"))
    was, given = described(tx, before), GivenApprovals(tx, _left_to_stand(tx, before, revokes), now)
    if isinstance(before, User) and to.get("is_superuser"):
        policy.enforce(policy.may_be_more(agent=before.is_agent), USER)
    if not (to.get("is_active", True) and to.get("is_superuser", True)):
        check_one_remains(tx, before)
    after = tx.change(before, **to) if to else before
    again = _follow_user(tx, before, after, now, reuse=bool(fields.get("reuse_name")))
    if changed := {*to, *relink(tx, kind, before.id, fields)}:
        record(tx, Action.CHANGE, before, now, by, changed, before=was, after=described(tx, after), **again)
    revoked = revoke(tx, after, "deactivated", now, by) if isinstance(after, User) and revokes else ()
    return Changed(thing=after, approvals=Approvals(standing=given.lost(), revoked=revoked))


def _follow_user(tx: Transaction, before: Account, after: Account, now: datetime, *, reuse: bool) -> Mapping[str, Any]:
    """Do what follows from a change of a user, and return what the audit is to tell of their name."""
    if not isinstance(before, User) or not isinstance(after, User):
        return NOTHING
    if before.is_active and not after.is_active:
        end_sessions(tx, before)
    if before.username == after.username:
        return NOTHING
    give_up_name(tx, before, now)
    return take_name(tx, after, now, reuse=reuse)


def _left_to_stand(tx: Transaction, thing: Account, revokes: bool) -> set[UUID]:
    """Return the ids of the users whose permissions depend on an account; nobody's if what they approved is revoked."""
    if revokes:
        return set()
    groups = [thing.id] if isinstance(thing, Group) else []
    users = {thing.id} if isinstance(thing, User) else set()
    if isinstance(thing, Permission):
        users = {row.user_id for row in tx.all(PermissionUser, permission_id=thing.id)}
        groups = [row.group_id for row in tx.all(PermissionGroup, permission_id=thing.id)]
    return users | ({row.user_id for row in tx.all(UserGroup, group_id=groups)} if groups else set())


def remove_account(tx: Transaction, thing: Account, now: datetime, by: Author, *, revokes: bool = False) -> Removed:
    """Remove an account that may be removed, and with tokens those that were made with them.

    Args:
        tx: the transaction.
        thing: it, read after ``lock_concerned``.
        now: the time.
        by: who removes it.
        revokes: whether what a user has approved is to wait for approval again.

    Returns:
        what has ended with it.

    Raises:
        Conflict: no active superuser would remain.
    """
    check_one_remains(tx, thing)
    given = GivenApprovals(tx, _left_to_stand(tx, thing, revokes), now)
    revoked: tuple[ScheduledJob, ...] = ()
    if isinstance(thing, User):
        revoked = revoke(tx, thing, "removed", now, by) if revokes else ()
        give_up_name(tx, thing, now)
        for token in tx.all(Token, order="id", user_id=thing.id):
            record(tx, Action.DELETE, token, now, by, before=described(tx, token))
        for bound in tx.all(AutomationAccount, order="id", user_id=thing.id):
            tx.record(account_event(bound.id, bound.name, EventType.AUTOMATION_UNBOUND, now, by))
    ended = tokens_from(tx, thing)
    for token in ended:
        record(tx, Action.DELETE, token, now, by, before=described(tx, token))
        tx.remove(token)
    record(tx, Action.DELETE, thing, now, by, before=described(tx, thing))
    tx.remove(thing)
    return Removed(tokens=ended, approvals=Approvals(standing=given.lost(), revoked=revoked))


def tokens_from(tx: Transaction, thing: Account) -> list[Token]:
    """Return the tokens that come from a token, or from those of a user, except this user's own."""
    if isinstance(thing, User):
        first, owner = {token.id for token in tx.all(Token, user_id=thing.id)}, thing.id
    elif isinstance(thing, Token):
        first, owner = {thing.id}, None
    else:
        return []
    found: list[Token] = []
    while first:
        next_ones = tx.all(Token, order="created", made_with_id=first)
        found += next_ones
        first = {token.id for token in next_ones}
    return [token for token in found if token.user_id != owner]


def check_one_remains(tx: Transaction, thing: Account) -> None:
    """See that an active superuser remains without this account.

    Raises:
        Conflict: it is the last one.
    """
    if isinstance(thing, User) and thing.is_superuser and thing.is_active:
        others = {user.id for user in tx.all(User, is_superuser=True, is_active=True)} - {thing.id}
        policy.enforce(policy.may_lose_superuser(others=len(others)), USER)


def end_sessions(tx: Transaction, user: User, *, but: UUID | None = None) -> int:
    """Sign a user out everywhere, so that they have to sign in again even if they may again.

    Args:
        tx: the transaction.
        user: the user.
        but: the id of a session that goes on.

    Returns:
        how many sessions have ended.
    """
    ids = [session.id for session in tx.all(Session, user_id=user.id) if session.id != but]
    tx.remove_all(Session, ids)
    return len(ids)


def replace_password(
    tx: Transaction, user: User, hashed: str, now: datetime, by: Author, *, but: UUID | None = None
) -> None:
    """Set the password that a user signs in with, and end their sessions.

    Args:
        tx: the transaction.
        user: the user, locked.
        hashed: what is kept of the password.
        now: the time.
        by: whose act it is.
        but: the id of a session that goes on.
    """
    tx.remove(Password(user_id=user.id, hash=""))
    tx.add(Password(user_id=user.id, hash=hashed))
    end_sessions(tx, user, but=but)
    record(tx, Action.CHANGE, user, now, by, ["password"])


def described(tx: Transaction, thing: Account) -> dict[str, Any]:
    """Return what an account holds and is no secret, by field; users and groups by name."""
    kind = _kind_of(thing)
    found = {name: getattr(thing, name) for name in DESCRIBED[kind]}
    for name, link in LINKS[kind].items():
        its: dict[str, Any] = {link.of: thing.id}
        ids = {getattr(row, link.to) for row in tx.all(link.kind, **its)}
        found[name] = sorted(getattr(each, NAMED_BY[link.others]) for each in tx.all(TYPES[link.others], id=ids))
    return found


def record(
    tx: Transaction,
    action: Action,
    thing: Account,
    now: datetime,
    by: Author,
    fields: Iterable[str] = (),
    *,
    before: Mapping[str, Any] = NOTHING,
    after: Mapping[str, Any] = NOTHING,
    **said: Any,
) -> None:
    """Record in the audit what was done with an account.

    Args:
        tx: the transaction.
        action: what was done: add, change or delete.
        thing: with which, as it was before a change.
        now: the time.
        by: whose act it was.
        fields: the names of the fields that were given or changed.
        before: what it held, as ``described``.
        after: what it holds, as ``described``.
        said: what else is to be known.
    """
    act = ACTS[_kind_of(thing), action]
    tx.record(account_event(thing.id, _name_of(tx, thing), act, now, by, fields, changes(before, after), **said))


def _kind_of(thing: Account) -> ObjectType:
    return next(kind for kind in LINKS if isinstance(thing, TYPES[kind]))


def _name_of(tx: Transaction, thing: Account) -> str:
    """Return the name of an account; of a token, its user's."""
    match thing:
        case User():
            return thing.username
        case Token():
            return tx.all(User, id=[thing.user_id])[0].username
        case _:
            return thing.name


# Finding by name


def usernames(tx: Transaction, ids: Iterable[UUID | None]) -> Mapping[UUID | None, str]:
    """Return the names of those of these users that there are, by id."""
    wanted = {user_id for user_id in ids if user_id is not None}
    return {user.id: user.username for user in tx.all(User, id=wanted)} if wanted else {}


def user_named(tx: Transaction, username: str, *, lock: bool = True) -> User:
    """Return a user by name, locked unless nothing is to be done to them yet.

    Raises:
        NotFound: there is none.
    """
    user = user_called(tx, username, lock=lock)
    if user is None:
        raise NotFound(f"There is no user named {username!r}.")
    return user


Linked = Mapping[str, Mapping[UUID, list[UUID]]]
"""By field, then by the id of the thing that has it: the ids of what it is linked with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """How the store keeps a field that names several others.

    Args:
        kind: the noun of a link.
        of: its field for the thing that has them.
        to: its field for one of the others.
        others: the type of these.
    """

    kind: type[Any]
    of: str
    to: str
    others: ObjectType


LINKS: Mapping[ObjectType, Mapping[str, Link]] = {
    ObjectType.USER: {"groups": Link(kind=UserGroup, of="user_id", to="group_id", others=GROUP)},
    ObjectType.GROUP: {"users": Link(kind=UserGroup, of="group_id", to="user_id", others=USER)},
    ObjectType.TOKEN: {},
    ObjectType.PERMISSION: {
        "users": Link(kind=PermissionUser, of="permission_id", to="user_id", others=USER),
        "groups": Link(kind=PermissionGroup, of="permission_id", to="group_id", others=GROUP),
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
