"""What the pages of administration show of users, groups and permissions, and what a user may do with a Job.

* Who asks comes first: a type that they may not view is refused, an object that they may not view does not exist.
* Of what is linked with something, they see what they may view; the rest is not even counted.
* A page asks the database as often for many as for few.
* What somebody may do is what the rules say of the permissions that they have now (``approval_gate.policy``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from api_shim.domain.accounts import (
    Group,
    Permission,
    PermissionGroup,
    PermissionUser,
    User,
    UserGroup,
    WorkerAccount,
)
from api_shim.domain.model import Job
from api_shim.services.accounts import LINKS, NAMED_BY, linked
from api_shim.services.authentication import actor_of, grant_of
from api_shim.services.authorization import get_authorized, permitted_ids
from api_shim.services.provider_accounts import providers_of
from api_shim.services.schedule_views import INACTIVE
from api_shim.store import TYPES, Listing, Page, Store, Transaction
from approval_gate import policy
from approval_gate.model import Action, Actor, Allowed, Denied, ObjectType, Verdict
from flows.inputs import is_storable

USER, GROUP, PERMISSION = ObjectType.USER, ObjectType.GROUP, ObjectType.PERMISSION
WITH_A_JOB = (Action.VIEW, Action.RUN, Action.APPROVE, Action.CHANGE)
"""What can be done with a Job."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen(Generic[T]):
    """An account, and what is linked with it that the actor may view.

    Args:
        thing: it.
        linked: by field (``groups``, ``users``), the linked ones by name.
        works_for: of the account of a worker, its work pool; else empty.
        provider: of a user who is linked with an identity provider, its issuer; else empty.
    """

    thing: T
    linked: Mapping[str, Sequence[Any]]
    works_for: str = ""
    provider: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A permission that somebody has.

    Args:
        permission: it.
        through: the groups through which they have it; none if it is their own.
    """

    permission: Permission
    through: Sequence[Group]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Whether somebody may do something with a Job.

    Args:
        action: what.
        why_not: why they may not; empty if they may.
        by: the permissions that let them, as far as the actor may view these.
    """

    action: Action
    why_not: str
    by: Sequence[Held]


@dataclass(frozen=True, kw_only=True, slots=True)
class WhatMay:
    """What somebody may do with a Job.

    Args:
        user: who.
        job: which.
        why_not_now: why nobody can start the Job now; empty if people can.
        answers: by action.
    """

    user: User
    job: Job
    why_not_now: str
    answers: Sequence[Answer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A user, as others meet them.

    Args:
        seen: they.
        acts_for: of an agent, for whom it asks, if the actor may view them; else None.
    """

    seen: Seen[User]
    acts_for: User | None


class AccountViews:
    """Reads accounts.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, actor: Actor, kind: ObjectType, listing: Listing) -> Page[Seen[Any]]:
        """Return a page of the accounts of a type.

        Raises:
            Forbidden: the actor may not view this type.
        """
        return await self._store.read(partial(_page, actor, kind, listing))

    async def one(self, actor: Actor, kind: ObjectType, thing_id: UUID) -> Seen[Any]:
        """Return one account.

        Raises:
            Forbidden: the actor may not view this type.
            NotFound: there is none, or none that they may see.
        """
        return await self._store.read(partial(_one, actor, kind, thing_id))

    async def called(self, actor: Actor, name: str) -> Person:
        """Return the user of this name.

        Raises:
            NotFound: nobody is called so whom the actor may view.
        """
        return await self._store.read(partial(_called, actor, name))

    async def held(self, actor: Actor, kind: ObjectType, thing_id: UUID) -> list[Held]:
        """Return the permissions that a user or a group has and that the actor may view, by name."""
        return await self._store.read(lambda tx: _held(tx, actor, kind, thing_id))

    async def named(self, actor: Actor, kind: ObjectType, limit: int) -> list[Any]:
        """Return the first accounts of a type that the actor may view; none if they may not view the type."""
        if not actor.may(Action.VIEW, kind):
            return []
        return await self._store.read(lambda tx: tx.page(kind, actor, Listing(limit=limit)).rows)

    async def may(self, actor: Actor, kind: ObjectType, thing_id: UUID) -> Mapping[Action, bool]:
        """Return which actions the actor has on an account, rules about superusers included."""
        return await self._store.read(partial(_may, actor, kind, thing_id))

    async def what_may(self, actor: Actor, user_id: UUID, job_id: UUID) -> WhatMay:
        """Return what a user may do with a Job.

        Args:
            actor: who asks.
            user_id: the user.
            job_id: the Job.

        Raises:
            Forbidden: the actor may not view users, or not Jobs.
            NotFound: there is no such user or Job, or none that they may see.
        """
        return await self._store.read(partial(_what_may, actor, user_id, job_id))


def _page(actor: Actor, kind: ObjectType, listing: Listing, tx: Transaction) -> Page[Seen[Any]]:
    policy.enforce(policy.check_type(actor, Action.VIEW, kind), kind)
    page = tx.page(kind, actor, listing)
    return Page(page.count, _seen(tx, actor, kind, page.rows))


def _one(actor: Actor, kind: ObjectType, thing_id: UUID, tx: Transaction) -> Seen[Any]:
    [seen] = _seen(tx, actor, kind, [get_authorized(tx, actor, Action.VIEW, kind, id=thing_id)])
    return seen


def _called(actor: Actor, name: str, tx: Transaction) -> Person:
    if policy.check_type(actor, Action.VIEW, USER) != Allowed() or not is_storable(name):
        raise policy.missing(USER)
    user: User = get_authorized(tx, actor, Action.VIEW, USER, username=name)
    [seen] = _seen(tx, actor, USER, [user])
    asking_for = _viewed(tx, actor, USER, [user.acts_for_id]) if user.acts_for_id else []
    return Person(seen=seen, acts_for=next(iter(asking_for), None))


def _seen(tx: Transaction, actor: Actor, kind: ObjectType, rows: Sequence[Any]) -> list[Seen[Any]]:
    ids = [row.id for row in rows]
    links = linked(tx, kind, ids) if ids else {}
    by_field = {
        name: {
            each.id: each
            for each in _viewed(tx, actor, LINKS[kind][name].others, [to for some in of.values() for to in some])
        }
        for name, of in links.items()
    }
    pools = {each.user_id: each.pool for each in tx.all(WorkerAccount, user_id=ids)} if kind is USER and ids else {}

    providers = providers_of(tx, ids) if kind is USER else {}

    def seen(row: Any) -> Seen[Any]:
        its = {name: {*links[name].get(row.id, ())} for name in by_field}
        # In the order of their names, in which they have been read.
        shown = {name: [each for each in found.values() if each.id in its[name]] for name, found in by_field.items()}
        about = {"works_for": pools.get(row.id, ""), "provider": providers.get(row.id, "")}
        return Seen(thing=row, linked=shown, **about)

    return [seen(row) for row in rows]


def _viewed(tx: Transaction, actor: Actor, kind: ObjectType, ids: Collection[UUID]) -> list[Any]:
    seen = permitted_ids(tx, actor, Action.VIEW, kind, {*ids}) if ids else set()
    return tx.all(TYPES[kind], order=NAMED_BY[kind], id=seen) if seen else []


def _held(tx: Transaction, actor: Actor, kind: ObjectType, thing_id: UUID) -> list[Held]:
    if kind is GROUP:
        ids = {row.permission_id for row in tx.all(PermissionGroup, group_id=thing_id)}
        return [Held(permission=each, through=()) for each in _viewed(tx, actor, PERMISSION, ids)]
    own = {row.permission_id for row in tx.all(PermissionUser, user_id=thing_id)}
    groups = {row.group_id for row in tx.all(UserGroup, user_id=thing_id)}
    rows = tx.all(PermissionGroup, group_id=groups) if groups else []
    names = {group.id: group for group in _viewed(tx, actor, GROUP, groups)}
    return [
        Held(
            permission=each,
            through=[names[row.group_id] for row in rows if row.permission_id == each.id and row.group_id in names]
            if each.id not in own
            else (),
        )
        for each in _viewed(tx, actor, PERMISSION, own | {row.permission_id for row in rows})
    ]


def _may(actor: Actor, kind: ObjectType, thing_id: UUID, tx: Transaction) -> Mapping[Action, bool]:
    thing = tx.get(TYPES[kind], id=thing_id)
    if thing is None:
        raise policy.missing(kind)
    attributes = tx.attributes(kind, thing_id)
    superuser = isinstance(thing, User) and thing.is_superuser
    touches = policy.may_touch_superuser(actor, superuser=superuser) == Allowed()
    return {
        action: touches and policy.check_object(actor, action, kind, attributes) == Allowed()
        for action in (Action.CHANGE, Action.DELETE)
    }


def _what_may(actor: Actor, user_id: UUID, job_id: UUID, tx: Transaction) -> WhatMay:
    user: User = get_authorized(tx, actor, Action.VIEW, USER, id=user_id)
    job: Job = get_authorized(tx, actor, Action.VIEW, ObjectType.JOB, id=job_id)
    subject, thing = actor_of(tx, user), tx.attributes(ObjectType.JOB, job_id)
    held = _held(tx, actor, USER, user_id)

    def verdict(action: Action) -> Verdict:
        if not user.is_active:
            return Denied(INACTIVE)
        return policy.check_object(subject, action, ObjectType.JOB, thing)

    def grants(each: Held, action: Action) -> bool:
        grant = grant_of(each.permission) if each.permission.enabled else None
        covers = grant is not None and grant.covers(action, ObjectType.JOB)
        return covers and grant is not None and grant.constraint.matches(thing, user=user.id)

    return WhatMay(
        user=user,
        job=job,
        why_not_now=policy.why_not(policy.runnable(job.runnable), hidden=""),
        answers=[
            Answer(
                action=action,
                why_not=policy.why_not(verdict(action), hidden=NOT_EVEN_SEEN),
                by=[each for each in held if grants(each, action)],
            )
            for action in WITH_A_JOB
        ],
    )


NOT_EVEN_SEEN = "For this user there is no such Job: they may not view it."
