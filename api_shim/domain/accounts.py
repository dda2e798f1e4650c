"""Sessions of people who sign in with a browser, and the passwords that they may sign in with.

* Of a session's key, as of a token's, only the hash is kept; of a password only what Argon2 makes of it.
* A session ends after half a day without use, after a week in any case, and with the token that it was begun with.

Design, section 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from api_shim.domain.model import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """Somebody, or a worker's account, who may sign in."""

    id: UUID
    username: str
    is_active: bool = True
    is_superuser: bool = False
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Users who share permissions."""

    id: UUID
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A key that stands for its user; only its hash is kept."""

    id: UUID
    user_id: UUID
    key_hash: str = field(repr=False)
    write_enabled: bool = True
    expires: datetime | None = None
    created: datetime


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
    """A user is in a group."""

    user_id: UUID
    group_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class PermissionUser:
    """A permission reaches a user."""

    permission_id: UUID
    user_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class PermissionGroup:
    """A permission reaches a group."""

    permission_id: UUID
    group_id: UUID


COOKIE = "signoff_session"
"""What carries the key of a session."""
IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=5)
"""How often it is noted that a session is used: not at every page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Somebody has signed in with a browser.

    Args:
        id: its own.
        key_hash: of the key that the browser has.
        csrf: what every form of this session carries.
        token_id: the token that it was begun with; none for a password.
        notice: a sentence that the next page shows.
        seen: when it was last used, to within some minutes.
    """

    id: UUID
    user_id: UUID
    key_hash: str = field(repr=False)
    csrf: str = field(repr=False)
    token_id: UUID | None = None
    notice: str = ""
    created: datetime
    seen: datetime

    def is_over(self, now: datetime) -> bool:
        """Say whether it has ended."""
        return now - self.seen > IDLE or now - self.created > LONGEST


@dataclass(frozen=True, kw_only=True, slots=True)
class Password:
    """What a user signs in with besides tokens."""

    user_id: UUID
    hash: str = field(repr=False)
