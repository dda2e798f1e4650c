"""Accounts: users, groups, tokens and permissions, and the sessions, passwords and preferences of people.

* The names that accounts have had are kept for ever, so that nobody becomes somebody else (``approval_gate.identity``).
* Only hashes are stored: SHA-256 of the keys of tokens, sessions and runs, Argon2 of passwords.
* A token ends with the one that it was made with.
* A session ends after half a day without use, when it has lasted as long as the settings say in any case, and with the
  token that it was started with. One that was started at an identity provider has to be renewed there.
* Who an account belongs to at an identity provider is said by the issuer and the subject, never by a name or a mail
  address: those can be given to somebody else.

Design, section 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from api_shim.domain.model import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """An account that can sign in, of a person, of a worker or of an agent.

    Args:
        is_agent: whether it is that of a program that asks for a person, which it then is for ever.
        acts_for_id: the id of that person, who may have been removed; None for others.
    """

    id: UUID
    username: str
    is_active: bool = True
    is_superuser: bool = False
    is_agent: bool = False
    acts_for_id: UUID | None = None
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class UserName:
    """A name that an account has, or has had; kept when the account is removed.

    Args:
        user_id: the id of the account.
        normal: the name, in its normal form.
        since: from when the account had it.
        until: when it was removed, or got another name; None while it has this one.
        shared: another account has the same one, because both are older than the normal form. Each of them signs in
            with its name exactly as it is written.
    """

    id: UUID
    user_id: UUID
    normal: str
    since: datetime
    until: datetime | None = None
    shared: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Users who share permissions."""

    id: UUID
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A key that authenticates its user; only its hash is stored.

    Args:
        write_enabled: whether it may be used for more than reading.
        expires: when it stops working; None for never.
        description: what it is for, in its user's words.
        last_used: when it was last used, within ``USED_EVERY``; None for never.
        last_used_from: the address that this came from.
        made_with_id: the token that its maker signed in with; None if they had none. It works only while that one does.
    """

    id: UUID
    user_id: UUID
    key_hash: str = field(repr=False)
    write_enabled: bool = True
    expires: datetime | None = None
    created: datetime
    description: str = ""
    last_used: datetime | None = None
    last_used_from: str = ""
    made_with_id: UUID | None = None


USED_EVERY = timedelta(minutes=1)
"""How often the use of a token is recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """Actions on types of objects, perhaps limited, for users and groups (contract 8)."""

    id: UUID
    name: str
    enabled: bool = True
    object_types: tuple[str, ...]
    actions: tuple[str, ...]
    constraints: Json = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UserGroup:
    """The membership of a user in a group."""

    user_id: UUID
    group_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class PermissionUser:
    """The assignment of a permission to a user."""

    permission_id: UUID
    user_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class PermissionGroup:
    """The assignment of a permission to a group."""

    permission_id: UUID
    group_id: UUID


PAGE_SIZES = (10, 25, 50, 100)
"""How many rows a list can be set to show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UserPreferences:
    """What a user prefers; who has said nothing has none.

    Args:
        time_zone: the IANA name of the zone in which they read times; empty for that of their browser.
        page_size: how many rows a list shows, one of ``PAGE_SIZES``; 0 for as many as the list shows by itself.
    """

    user_id: UUID
    time_zone: str = ""
    page_size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FavouriteJob:
    """A Job that a user has among their favourites."""

    user_id: UUID
    job_id: UUID


COOKIE = "signoff_session"
"""The name of the cookie with a session's key."""
IDLE = timedelta(hours=12)
"""How long a session lasts without use."""
LONGEST = timedelta(hours=12)
"""How long a session lasts at most, unless somebody sets another time."""
SEEN_EVERY = timedelta(minutes=5)
"""How often the use of a session is recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """The session of a user who signed in with a browser.

    Args:
        id: the id of the session.
        key_hash: the hash of the key that the browser has.
        csrf: the token that every form of this session contains.
        token_id: the token that it was started with; None for a password.
        notice: a sentence for the next page to show.
        seen: when it was last used, within ``SEEN_EVERY``.
        provider: the issuer of the identity provider that it was started at; None for a password or a token.
        refresh_token: what the provider renews it for, sealed; None if it gave none.
        renew_by: until when it is good without being renewed at the provider; None without one.
        renewing: until when somebody is renewing it, so that nobody else does.
        used_from: the address that it was last used from, within ``SEEN_EVERY``; empty if that is not known.
        browser: what it was used with then, for people; empty if that is not known.
    """

    id: UUID
    user_id: UUID
    key_hash: str = field(repr=False)
    csrf: str = field(repr=False)
    token_id: UUID | None = None
    notice: str = ""
    created: datetime
    seen: datetime
    provider: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    renew_by: datetime | None = None
    renewing: datetime | None = None
    used_from: str = ""
    browser: str = ""

    @property
    def by_password(self) -> bool:
        """Whether its user has signed in with a password that is kept here."""
        return self.provider is None and self.token_id is None

    def is_over(self, now: datetime, longest: timedelta) -> bool:
        """Say whether it has ended, where sessions last so long at most."""
        return now - self.seen > IDLE or now - self.created > longest


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who an account belongs to at an identity provider.

    Args:
        issuer: the provider.
        subject: who they are there; the provider gives it to nobody else.
        name: what the provider last called them, to people.
        mail: their mail address there; nobody is recognised by it.
        mail_taken: that of their addresses there that was last taken for their notifications; empty for none.
        created: when the account was linked with it.
        seen: when the provider last vouched for them; None for never.
    """

    id: UUID
    user_id: UUID
    issuer: str
    subject: str
    name: str = ""
    mail: str = ""
    mail_taken: str = ""
    created: datetime
    seen: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SignInCode:
    """What a command line exchanges for a token, once, after its user has confirmed that in a browser.

    Args:
        session_id: the session in which they have; the code ends with it.
        code_hash: the hash of the code.
        challenge: the hash of what the command line alone knows.
    """

    id: UUID
    session_id: UUID
    code_hash: str = field(repr=False)
    challenge: str = field(repr=False)
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Password:
    """The password of a user, hashed."""

    user_id: UUID
    hash: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerAccount:
    """That an account is a worker's.

    Args:
        pool: the work pool whose runs it executes; empty for that of the server, before this has started once.
    """

    user_id: UUID
    pool: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCredential:
    """The credential of a run that a worker has taken.

    Args:
        flow_run_id: the run.
        key_hash: the hash of the key that its process has; None for a worker that asks for none, as Prefect's own.
        user_id: the account of the worker.
    """

    flow_run_id: UUID
    key_hash: str | None = field(repr=False)
    user_id: UUID
    created: datetime
