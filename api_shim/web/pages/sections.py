"""The sections of administration, and who sees which: whoever may view what it is about.

* Users, groups and permissions are shown by the permissions that govern them in the API.
* No permission shows the accounts of workers, the audit and the server itself: these are for superusers.
"""

from __future__ import annotations

from dataclasses import dataclass

from approval_gate import policy
from approval_gate.model import Action, Actor, Allowed, ObjectType

ADMINISTRATION = "/signoff/administration"


@dataclass(frozen=True, slots=True)
class Section:
    """A section of administration.

    Args:
        path: the last part of its address.
        name: what it is called.
        kind: the type that it is about; None if it is for superusers.
    """

    path: str
    name: str
    kind: ObjectType | None = None

    @property
    def address(self) -> str:
        return f"{ADMINISTRATION}/{self.path}"

    def is_for(self, actor: Actor) -> bool:
        """Say whether somebody sees it."""
        if self.kind is None:
            return policy.may_administer(actor) == Allowed()
        return policy.check_type(actor, Action.VIEW, self.kind) == Allowed()


USERS = Section("users", "Users", ObjectType.USER)
GROUPS = Section("groups", "Groups", ObjectType.GROUP)
PERMISSIONS = Section("permissions", "Permissions", ObjectType.PERMISSION)
WORKERS = Section("workers", "Workers")
AUDIT = Section("audit", "Audit")
SYSTEM = Section("system", "System")
SECTIONS = (USERS, GROUPS, PERMISSIONS, WORKERS, AUDIT, SYSTEM)


def sections_for(actor: Actor) -> list[Section]:
    """Return the sections that somebody sees."""
    return [section for section in SECTIONS if section.is_for(actor)]
