"""Administration of accounts on the server's own machine, by the command line and at the server's start.

* Whoever may read the home folder may do all of this; whom they see and what they may is the machine's to say. Of the
  accounts of workers, superusers may do it too (``worker_accounts``).
* What they change of users and permissions tells them which approvals stand though their approvers may give them no
  longer. They may have names given again that are kept for other users, and the server does so with its own accounts.
* What accounts are called and hold is checked as it is for everybody, and is written by the functions that the REST
  API writes with: one active superuser remains, and the audit tells what was done and by whom (``local: <user>``).
* An account is that of an agent from the start and for ever; for whom it asks may change.
* A user who is removed leaves their scheduled jobs behind without an owner: each fails when it would next run, and can
  be taken over. Those that somebody else may run can be handed over with the removal, in the same transaction. What
  would happen can be seen before.
* The first start makes an administrator where there is nobody yet. A key is random, shown once and kept as its hash.

Contract 1.3 and 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from api_shim.domain.accounts import (
    Group,
    Identity,
    Permission,
    PermissionGroup,
    PermissionUser,
    RunCredential,
    Token,
    User,
    UserGroup,
    WorkerAccount,
)
from api_shim.domain.audit import Author, EventType
from api_shim.domain.model import ScheduledJob
from api_shim.keys import new_key
from api_shim.parsing.account import (
    check_constraints,
    check_description,
    check_end,
    check_group_name,
    check_key,
    check_permission_name,
    check_username,
    read_actions,
    read_types,
)
from api_shim.services.accounts import (
    Account,
    Changed,
    add_account,
    change_account,
    check_one_remains,
    end_sessions,
    lock_concerned,
    record,
    remove_account,
    replace_password,
    user_named,
)
from api_shim.services.authentication import actor_of, actors_of, hash_key
from api_shim.services.authorization import load_contexts
from api_shim.services.given_approvals import Approvals, approvals_without
from api_shim.services.jobs import JobCatalogue
from api_shim.services.ownership import hand_over
from api_shim.services.provider_accounts import linking
from api_shim.services.provider_address import withdraw_addresses
from api_shim.services.sessions import hash_password
from api_shim.services.user_names import user_called
from api_shim.store import Duplicate, Store, Transaction
from api_shim.store.columns import path_types
from approval_gate import ownership, policy
from approval_gate.errors import Conflict, Invalid, NotFound
from approval_gate.identity import LOCAL, RESERVED, WORKER
from approval_gate.model import Action, Denied, ObjectType

SHORT_ID = 8
"""How many characters of an id are enough to name a token."""
LONGEST_SUBJECT = 255
LINKED = "This user, or this subject, is already linked: signoff user unlink removes a link."
KEY_IN_USE = "This key is already in use."
WORKERS_PERMISSION = "Workers of signoff"
"""What accounts of workers were given before being one was enough; who has it keeps it until it is taken away."""
LOCAL_PERMISSION = "Programs on the server's machine"
SUPERUSER_WORKS = "A superuser cannot be a worker: a Job that found the worker's key could do anything."
ADMINISTRATOR = "admin"
"""The account that the first start makes."""
SEEN = ["extras.job", "extras.scheduledjob", "extras.jobresult", "extras.joblogentry", "extras.jobqueue"]
DEMO = {
    "demo: see": ([*SEEN, "extras.approvalrequest", "users.user"], ["view"]),
    "demo: run and approve jobs": (["extras.job"], ["run", "approve"]),
    "demo: decide about schedules": (["extras.scheduledjob"], ["change", "delete"]),
}
"""What the two of the demo may do: permission to types and actions. They see who can decide, by name."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """What a user who is removed leaves.

    Args:
        left: the scheduled jobs that they own, by name.
        approvals: what becomes of the approvals that they have given.
    """

    left: list[Left]
    approvals: Approvals


@dataclass(frozen=True, kw_only=True, slots=True)
class Revoked:
    """What became of a token that has been removed.

    Args:
        token: it.
        username: whose it was.
        others: how many others have ended with it, because they were made with it.
    """

    token: Token
    username: str
    others: int


class AccountAdmin:
    """The use cases of local administration, each one transaction.

    Args:
        store: what is true.
        by: who administers.
    """

    def __init__(self, store: Store, by: Author) -> None:
        self._store = store
        self._by = by

    # Users

    def add_user(
        self,
        username: str,
        now: datetime,
        *,
        superuser: bool = False,
        reuse_name: bool = False,
        acts_for: str | None = None,
    ) -> User:
        """Make a user.

        Args:
            username: what they are called.
            now: the time.
            superuser: whether they may do everything.
            reuse_name: whether they may get a name that is kept for another user.
            acts_for: the person for whom it asks, if it is the account of an agent.

        Raises:
            Invalid: the name cannot be one (``check_username``), or is kept for another user.
            NotFound: there is no such person.
            Conflict: there is a user of that name, or an agent would be a superuser or ask for another agent.
        """
        policy.enforce(policy.may_be_more(agent=superuser and acts_for is not None), ObjectType.USER)
        user = User(id=uuid4(), username=check_username(username), is_superuser=superuser, created=now)
        with self._adding(f"A user named {username!r} already exists.") as tx:
            person = None if acts_for is None else _person_named(tx, acts_for)
            if person is not None:
                user = replace(user, is_agent=True, acts_for_id=person.id)
            self._add(tx, user, now, username=username, is_superuser=superuser, reuse_name=reuse_name)
            if person is not None:
                self._record_person(tx, user, "", person.username, now)
        return user

    def set_person(self, username: str, acts_for: str, now: datetime) -> None:
        """Have an agent ask for another person; what it has requested names whom it was requested for.

        Args:
            username: the agent.
            acts_for: the person.
            now: the time.

        Raises:
            NotFound: there is no such agent, or no such person.
            Conflict: it is no agent, or they are one.
        """
        with self._store.transaction() as tx:
            user, person = _locked(tx, username), _person_named(tx, acts_for)
            if not user.is_agent:
                raise Conflict(f"{username} is not an agent, and cannot become one: add another account for it.")
            before = tx.get(User, id=user.acts_for_id) if user.acts_for_id is not None else None
            tx.change(user, acts_for_id=person.id)
            self._record_person(tx, user, before.username if before is not None else "", person.username, now)

    def set_active(
        self, username: str, now: datetime, *, active: bool, revoke_approvals: bool = False
    ) -> Changed[User]:
        """Let a user sign in, or no longer.

        Args:
            username: whom.
            now: the time.
            active: whether they may sign in.
            revoke_approvals: whether what they have approved is to wait for approval again.

        Raises:
            NotFound: there is no such user.
            Conflict: no active superuser would remain.
        """
        with self._store.transaction() as tx:
            user = _locked(tx, username, revokes=revoke_approvals)
            fields = {"is_active": active, "revoke_approvals": revoke_approvals}
            return change_account(tx, user, fields, now, self._by)

    def set_password(self, username: str, password: str, now: datetime) -> None:
        """Set the password that a user signs in to the pages with, and end their sessions.

        Raises:
            NotFound: there is no such user.
            Invalid: it is too short or too long.
            Conflict: it is an agent's account.
        """
        hashed = hash_password(password)
        with self._store.transaction() as tx:
            user = _locked(tx, username)
            policy.enforce(policy.may_be_more(agent=user.is_agent), ObjectType.USER)
            replace_password(tx, user, hashed, now, self._by)

    def link(self, username: str, issuer: str, subject: str, now: datetime) -> None:
        """Link a user with somebody at an identity provider, who can then sign in as this user.

        Args:
            username: the user.
            issuer: the provider.
            subject: who they are there, as the provider names them; no name, and no mail address.
            now: the time.

        Raises:
            NotFound: there is no such user.
            Invalid: the subject is empty or too long.
            Conflict: one of the two is linked already.
        """
        if not subject.strip() or len(subject) > LONGEST_SUBJECT:
            raise Invalid(f"A subject has 1 to {LONGEST_SUBJECT} characters.")
        with self._adding(LINKED) as tx:
            user = user_named(tx, username)
            identity = Identity(id=uuid4(), user_id=user.id, issuer=issuer, subject=subject, created=now)
            tx.add(identity)
            tx.record(linking(EventType.USER_LINKED, user, identity, now, self._by))

    def unlink(self, username: str, now: datetime) -> None:
        """Take a user's links with identity providers away, with the mail addresses from there; end their sessions.

        Raises:
            NotFound: there is no such user, or they have none.
        """
        with self._store.transaction() as tx:
            user = _locked(tx, username)
            there = tx.all(Identity, user_id=user.id)
            if not there:
                raise NotFound(f"{user.username} is not linked with an identity provider.")
            for identity in there:
                tx.remove(identity)
                tx.record(linking(EventType.USER_UNLINKED, user, identity, now, self._by))
            # The provider may have linked somebody else's address.
            withdraw_addresses(tx, user, now, self._by)
            end_sessions(tx, user)

    def identities(self) -> Mapping[UUID, Identity]:
        """Return who users are at an identity provider, by their ids."""
        with self._store.transaction(write=False) as tx:
            return {each.user_id: each for each in tx.all(Identity)}

    def remove_user(
        self,
        username: str,
        now: datetime,
        *,
        heir: str | None = None,
        revoke_approvals: bool = False,
        dry_run: bool = False,
    ) -> Departure:
        """Remove a user with their tokens.

        Args:
            username: whom.
            now: the time.
            heir: who is to own those of their scheduled jobs that the heir may run.
            revoke_approvals: whether what they have approved is to wait for approval again.
            dry_run: only tell what would happen.

        Returns:
            what they leave.

        Raises:
            NotFound: there is no such user, or no such heir.
            Invalid: they would be their own heir.
            Conflict: the heir has been deactivated, or no active superuser would remain.
        """
        if dry_run:
            with self._store.transaction(write=False) as tx:
                return self._foreseen(tx, user_named(tx, username, lock=False), heir, now, revokes=revoke_approvals)
        with self._store.transaction() as tx:
            user = user_named(tx, username, lock=False)
            others = [user_named(tx, heir, lock=False).id] if heir is not None else []
            lock_concerned(tx, user, *others, owned=True, revokes=revoke_approvals)
            user = user_named(tx, username)
            check_one_remains(tx, user)
            left = self._divide(tx, user, heir, now, dry_run=False)
            removed = remove_account(tx, user, now, self._by, revokes=revoke_approvals)
        return Departure(left=left, approvals=removed.approvals)

    def _foreseen(self, tx: Transaction, user: User, heir: str | None, now: datetime, *, revokes: bool) -> Departure:
        check_one_remains(tx, user)
        left = self._divide(tx, user, heir, now, dry_run=True)
        return Departure(left=left, approvals=approvals_without(tx, user, now, revokes=revokes))

    def _divide(self, tx: Transaction, user: User, name: str | None, now: datetime, *, dry_run: bool) -> list[Left]:
        heir = _heir(tx, user, name) if name is not None else None
        rows = sorted(tx.all(ScheduledJob, owner_id=user.id), key=lambda row: row.name)
        if heir is None:
            return [Left(scheduled=row) for row in rows]
        left, receiver = [], actor_of(tx, heir)
        for case in load_contexts(tx, rows, now):
            verdict = ownership.inherit(receiver, case.request)
            if isinstance(verdict, Denied):
                left.append(Left(scheduled=case.row, kept_back=verdict.reason))
                continue
            if not dry_run:
                hand_over(tx, case, heir.id, heir.username, now, self._by)
            left.append(Left(scheduled=case.row, owner=heir))
        return left

    def users(self) -> list[User]:
        """Return every user, by name."""
        with self._store.transaction(write=False) as tx:
            return tx.all(User, order="username")

    # Groups

    def add_group(self, name: str, now: datetime) -> Group:
        """Make a group.

        Raises:
            Invalid: the name is empty, too long, or cannot be printed or listed with others.
            Conflict: there is one of that name.
        """
        group = Group(id=uuid4(), name=check_group_name(name))
        with self._adding(f"A group named {name!r} already exists.") as tx:
            self._add(tx, group, now, name=name)
        return group

    def remove_group(self, name: str, now: datetime) -> Approvals:
        """Remove a group; its users stay. Return which approvals stand though their approvers may give them no longer.

        Raises:
            NotFound: there is no such group.
        """
        with self._store.transaction() as tx:
            return remove_account(tx, _group(tx, name), now, self._by).approvals

    def set_member(self, group: str, username: str, now: datetime, *, member: bool) -> Approvals:
        """Put a user into a group, or take them out. Return which approvals stand though they may give them no longer.

        Raises:
            NotFound: no such user or group.
        """
        with self._store.transaction() as tx:
            user = _locked(tx, username)
            wanted = {row.group_id for row in tx.all(UserGroup, user_id=user.id)} - {(its := _group(tx, group).id)}
            groups = wanted | ({its} if member else set())
            return change_account(tx, user, {"groups": groups}, now, self._by).approvals

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
        description: str = "",
    ) -> str:
        """Create a token and return its key, which cannot be read again.

        Args:
            username: whose it is.
            now: the time.
            key: the key to take; a random one if none is given.
            write_enabled: whether it may be used for more than reading.
            expires: when it stops working; never if not given.
            description: what it is for.

        Raises:
            NotFound: there is no such user.
            Invalid: the key is too short, the description too long, or it is past its end already.
            Conflict: the key is in use.
        """
        given: dict[str, Any] = {}
        if key is not None:
            given["key"] = check_key(key)
        if expires is not None:
            given["expires"] = check_end(expires, now)
        if not write_enabled:
            given["write_enabled"] = False
        if description:
            given["description"] = check_description(description)
        with self._adding(KEY_IN_USE) as tx:
            return self._add_token(tx, user_named(tx, username), now, **given)

    def tokens(self, username: str | None = None) -> list[tuple[Token, User]]:
        """Return every token, or every one of a user, with its user; by their name, the oldest first.

        Raises:
            NotFound: there is no such user.
        """
        with self._store.transaction(write=False) as tx:
            users = tx.all(User) if username is None else [user_named(tx, username, lock=False)]
            owners = {user.id: user for user in users}
            found = tx.all(Token, order="created", user_id=set(owners))
        return sorted(((token, owners[token.user_id]) for token in found), key=lambda each: each[1].username)

    def remove_token(self, reference: str, now: datetime) -> Revoked:
        """Remove a token, and those that were made with it.

        Args:
            reference: its id, or the first eight characters of that or more.
            now: the time.

        Raises:
            NotFound: there is no such token.
            Conflict: there are several.
        """
        with self._store.transaction() as tx:
            found = [token for token in tx.all(Token) if _is_called(token, reference)]
            if len(found) > 1:
                raise Conflict(f"There are several tokens whose ids begin with {reference!r}.")
            return self._revoke(tx, next(iter(found), None), now)

    def remove_key(self, key: str, now: datetime) -> Revoked:
        """Remove the token that has a key, and those that were made with it.

        Raises:
            NotFound: no token has it.
        """
        with self._store.transaction() as tx:
            return self._revoke(tx, tx.get(Token, key_hash=hash_key(key)), now)

    def _revoke(self, tx: Transaction, token: Token | None, now: datetime) -> Revoked:
        if token is None:
            raise NotFound("There is no such token.")
        lock_concerned(tx, token)
        [user] = tx.all(User, id=[token.user_id])
        removed = remove_account(tx, token, now, self._by)
        return Revoked(token=token, username=user.username, others=len(removed.tokens))

    # Permissions

    def add_permission(
        self,
        name: str,
        now: datetime,
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
            now: the time.
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
        check_constraints(constraint, path_types(kinds))
        given = {
            "name": check_permission_name(name),
            "object_types": kinds,
            "actions": read_actions(actions),
            "constraints": constraint,
        }
        permission = Permission(id=uuid4(), **given)
        with self._adding(f"A permission named {name!r} already exists.") as tx:
            to_users = [user_named(tx, each).id for each in users]
            to_groups = [_group(tx, each).id for each in groups]
            self._add(tx, permission, now, **given, users=to_users, groups=to_groups)
        return permission

    def remove_permission(self, name: str, now: datetime) -> Approvals:
        """Take a permission away from everybody. Return which approvals stand though their approvers may give none now.

        Raises:
            NotFound: there is no such permission.
        """
        with self._store.transaction() as tx:
            permission = tx.get(Permission, name=name, lock=True)
            if permission is None:
                raise NotFound(f"There is no permission named {name!r}.")
            return remove_account(tx, permission, now, self._by).approvals

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

    # The start of the server

    def ensure_worker(self, key: str, now: datetime, *, pool: str) -> None:
        """Make sure of the account of the server's worker, which may nothing but what a worker needs.

        Args:
            key: its key.
            now: the time.
            pool: the work pool whose runs it executes; also for workers' accounts of which that is not known yet.
        """
        with self._store.transaction() as tx:
            user = self._ensure(tx, WORKER, key, now)
            for worker in tx.all(WorkerAccount, pool=""):
                # Earlier versions made them accounts of workers, or took them for such, and recorded nothing of it.
                tx.change(worker, pool=pool)
                if (theirs := tx.get(User, id=worker.user_id)) is not None:
                    self._record_pool(tx, theirs, "", pool, now)
            self._let_work(tx, user, pool, now)
            self._let_only_work(tx, user, now)

    def ensure_local(self, key: str, now: datetime) -> None:
        """Make sure of the account with which programs on the server's own machine speak to Prefect.

        It may write there from when it is made; what an administrator takes from it is not given back.

        Args:
            key: its key.
            now: the time.
        """
        given: dict[str, Any] = {
            "object_types": (ObjectType.PREFECT,),
            "actions": (Action.WRITE,),
            "name": LOCAL_PERMISSION,
        }
        with self._store.transaction() as tx:
            is_new = not tx.exists(User, username=LOCAL)
            user = self._ensure(tx, LOCAL, key, now)
            if not is_new:
                return
            permission, users = _permission_named(tx, LOCAL_PERMISSION)
            if permission is None:
                self._add(tx, Permission(id=uuid4(), **given), now, **given, users=[user.id])
            else:
                change_account(tx, permission, {"users": users | {user.id}}, now, self._by)

    def _ensure(self, tx: Transaction, username: str, key: str, now: datetime) -> User:
        """Return an account of the server's own, after making it if there is none that holds this key."""
        user = tx.get(User, username=username, lock=True)
        if user is None:
            user = User(id=uuid4(), username=username, created=now)
            self._add(tx, user, now, username=username, reuse_name=True)
        if not tx.exists(Token, key_hash=hash_key(key)):
            self._add_token(tx, user, now, key=key)
        return user

    def add_worker(self, name: str, pool: str, now: datetime) -> tuple[User, str]:
        """Create a token for a worker of a work pool, and the account if there is none.

        Args:
            name: the name of the account.
            pool: the name of the work pool.
            now: the time.

        Returns:
            the account, and the key of the token, which cannot be read again.

        Raises:
            Conflict: the name is that of an account which is no worker's, or the worker's of another pool.
            Invalid: it cannot be a name.
        """
        with self._adding(f"A user named {name!r} already exists.") as tx:
            user = self.worker_account(tx, name, pool, now)
            return user, self._add_token(tx, user, now, description=worker_of(pool))

    def worker_account(self, tx: Transaction, name: str, pool: str, now: datetime) -> User:
        """Return the account of workers that has a name and works for a pool, after making it if there is none.

        Args:
            tx: the transaction.
            name: its name.
            pool: the name of the work pool.
            now: the time.

        Raises:
            Conflict: the name is that of an account which is no worker's, or the worker's of another pool.
            Duplicate: there are accounts whose names are alike.
            Invalid: it cannot be a name.
        """
        known = user_called(tx, name)
        if known is None:
            made = User(id=uuid4(), username=check_username(name), created=now)
            self._add(tx, made, now, username=name)
            self._let_work(tx, made, pool, now)
            return made
        works_for = tx.get(WorkerAccount, user_id=known.id, lock=True)
        if works_for is None:
            raise Conflict(f"{name} is not a worker account: choose another name.")
        if works_for.pool != pool:
            raise Conflict(f"{name} takes runs of the work pool {works_for.pool} only: choose another name.")
        return known

    def make_worker(self, username: str, pool: str, now: datetime) -> None:
        """Make an account a worker's: it takes runs of one work pool, and does in Prefect what they need.

        Args:
            username: its name.
            pool: the name of the work pool.
            now: the time.

        Raises:
            NotFound: there is no such user.
            Conflict: they are a superuser.
        """
        with self._store.transaction() as tx:
            user = _locked(tx, username)
            if user.is_superuser:
                raise Conflict(SUPERUSER_WORKS)
            policy.enforce(policy.may_be_more(agent=user.is_agent), ObjectType.USER)
            self._let_work(tx, user, pool, now)

    def unmake_worker(self, username: str, now: datetime) -> None:
        """Make an account a worker's no longer: it takes no runs, and the keys of those that it has taken end.

        What it was given to be one ends too; what other permissions let it do in Prefect it still may.

        Args:
            username: its name.
            now: the time.

        Raises:
            NotFound: there is no such user.
            Conflict: it is no worker's.
        """
        with self._store.transaction() as tx:
            self.end_worker(tx, _locked(tx, username), now)

    def end_worker(self, tx: Transaction, user: User, now: datetime) -> None:
        """Make an account a worker's no longer, as ``unmake_worker``.

        Args:
            tx: the transaction.
            user: the account, locked.
            now: the time.

        Raises:
            Conflict: it is no worker's.
        """
        was = tx.get(WorkerAccount, user_id=user.id, lock=True)
        if was is None:
            raise Conflict(f"{user.username} is not a worker account.")
        tx.remove(was)
        _end_runs(tx, user)
        self._record_pool(tx, user, was.pool, "", now)
        self._let_only_work(tx, user, now)

    def writers(self) -> set[UUID]:
        """Return the ids of the users who may change everything in Prefect."""
        with self._store.transaction(write=False) as tx:
            return {actor.id for actor in actors_of(tx, tx.all(User)) if actor.may(Action.WRITE, ObjectType.PREFECT)}

    def workers(self) -> dict[UUID, str]:
        """Return the work pools of the accounts of workers, by the id of the user."""
        with self._store.transaction(write=False) as tx:
            return {worker.user_id: worker.pool for worker in tx.all(WorkerAccount)}

    def _let_work(self, tx: Transaction, user: User, pool: str, now: datetime) -> None:
        was = tx.get(WorkerAccount, user_id=user.id, lock=True)
        if was is None:
            tx.add(WorkerAccount(user_id=user.id, pool=pool))
        elif was.pool != pool:
            tx.change(was, pool=pool)
        before = was.pool if was is not None else ""
        if before != pool:
            _end_runs(tx, user)
            self._record_pool(tx, user, before, pool, now)

    def _let_only_work(self, tx: Transaction, user: User, now: datetime) -> None:
        """Take from an account what it was given to be a worker's, before that was enough by itself."""
        permission, users = _permission_named(tx, WORKERS_PERMISSION)
        if permission is not None and user.id in users:
            change_account(tx, permission, {"users": users - {user.id}}, now, self._by)

    def _record_pool(self, tx: Transaction, user: User, before: str, after: str, now: datetime) -> None:
        how = {"before": {"works_for": before}, "after": {"works_for": after}}
        record(tx, Action.CHANGE, user, now, self._by, ["works_for"], **how)

    def _record_person(self, tx: Transaction, user: User, before: str, after: str, now: datetime) -> None:
        how = {"before": {"acts_for": before}, "after": {"acts_for": after}}
        record(tx, Action.CHANGE, user, now, self._by, ["acts_for"], **how)

    def first_keys(self, now: datetime) -> list[tuple[str, str]]:
        """Make an administrator where there is nobody but the server's own accounts.

        Returns:
            the name and the key of each account that was made.
        """
        with self._store.transaction() as tx:
            if any(user.username not in RESERVED for user in tx.all(User)):
                return []
            user = User(id=uuid4(), username=ADMINISTRATOR, is_superuser=True, created=now)
            self._add(tx, user, now, username=user.username, is_superuser=True, reuse_name=True)
            return [(user.username, self._add_token(tx, user, now))]

    def demo_keys(self, catalogue: JobCatalogue, now: datetime) -> list[tuple[str, str]]:
        """Make two people who need each other, and let every Job run that nobody has decided about yet.

        Returns:
            the name and the key of each account that was made.
        """
        for job in catalogue.jobs():
            if job.created == job.last_updated:
                catalogue.set_enabled(job.class_path, self._by, enabled=True)
        known = {user.username for user in self.users()}
        keys = []
        for username in sorted({"alice", "bob"} - known):
            self.add_user(username, now, reuse_name=True)
            keys.append((username, self.add_token(username, now)))
        if not any(permission.name in DEMO for permission in self.permissions()):
            for name, (types, actions) in DEMO.items():
                self.add_permission(name, now, types=types, actions=actions, users=["alice", "bob"])
        return keys

    # Writing

    @contextmanager
    def _adding(self, taken: str) -> Iterator[Transaction]:
        """Open a transaction; a name or key that is taken is told with this sentence."""
        try:
            with self._store.transaction() as tx:
                yield tx
        except Duplicate as error:
            raise Conflict(taken) from error

    def _add(self, tx: Transaction, thing: Account, now: datetime, **given: Any) -> None:
        """Add an account; of what was given, the audit names what is no default."""
        said = {name: value for name, value in given.items() if value not in (None, False, [])}
        add_account(tx, thing, said, now, self._by)

    def _add_token(self, tx: Transaction, user: User, now: datetime, *, key: str | None = None, **given: Any) -> str:
        secret = key or new_key()
        token = Token(id=uuid4(), user_id=user.id, key_hash=hash_key(secret), created=now, **given)
        add_account(tx, token, {"user": user.id, **given, **({} if key is None else {"key": key})}, now, self._by)
        return secret


def worker_of(pool: str) -> str:
    """Return what the token of a worker is for."""
    return f"worker of {pool}"


def _end_runs(tx: Transaction, user: User) -> None:
    """End what a worker's account has of runs that it took for the work pool that it leaves."""
    for credential in tx.all(RunCredential, order="flow_run_id", user_id=user.id):
        tx.remove(credential)


def _permission_named(tx: Transaction, name: str) -> tuple[Permission | None, set[UUID]]:
    """Return a permission, locked, if there is one with that name, and the ids of the users who have it."""
    permission = tx.get(Permission, name=name, lock=True)
    rows = tx.all(PermissionUser, permission_id=permission.id) if permission is not None else []
    return permission, {row.user_id for row in rows}


def _person_named(tx: Transaction, username: str) -> User:
    """Return the person for whom an agent is to ask, locked.

    Raises:
        NotFound: there is nobody of that name.
        Conflict: it is an agent itself.
    """
    person = user_named(tx, username)
    if person.is_agent:
        raise Conflict(f"{username} is an agent too: an agent asks for a person.")
    return person


def _locked(tx: Transaction, username: str, *, revokes: bool = False) -> User:
    """Return a user by name, after everybody is kept from changing whom a change of this user concerns.

    Raises:
        NotFound: there is none.
    """
    lock_concerned(tx, user_named(tx, username, lock=False), revokes=revokes)
    return user_named(tx, username)


def _is_called(token: Token, reference: str) -> bool:
    return len(reference) >= SHORT_ID and str(token.id).startswith(reference.lower())


def _heir(tx: Transaction, user: User, username: str) -> User:
    heir = user_named(tx, username, lock=False)
    if heir.id == user.id:
        raise Invalid("What a removed user owns has to go to somebody else.")
    if not heir.is_active:
        raise Conflict(f"{heir.username} has been deactivated.")
    return heir


def _group(tx: Transaction, name: str) -> Group:
    group = tx.get(Group, name=name, lock=True)
    if group is None:
        raise NotFound(f"There is no group named {name!r}.")
    return group
