"""Job buttons and job hooks: what has a Job run for an object of ours, besides people who request it.

* A button stands on the pages of Jobs, scheduled jobs or job results, and requests its Job as whoever presses it.
* A hook starts its Job as nobody, once for each change of an object of its types that it is for.
* Which acts of the audit are changes of objects stands in one table; each other act is named as none.
* What the run of a receiver is and becomes starts no hook: a hook on job results would start itself for ever.
* Names are unique among buttons, and among hooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from api_shim.domain.audit import EventType
from approval_gate.model import ObjectType

OBJECTS = (ObjectType.JOB, ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT)
"""The types of objects that they can be for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobButton:
    """A button on the pages of objects.

    Args:
        text: what stands on it.
        job_id: the Job that it requests.
        content_types: the types of the objects on whose pages it is.
        weight: its place among others, the lightest first.
        group_name: with which others it stands together; empty for none.
        button_class: how it looks.
        confirmation: whether it asks before it requests anything.
    """

    id: UUID
    name: str
    text: str
    job_id: UUID
    content_types: tuple[str, ...]
    enabled: bool = True
    weight: int = 100
    group_name: str = ""
    button_class: str = "default"
    confirmation: bool = True
    created: datetime
    last_updated: datetime


class Change(StrEnum):
    """What has become of an object, as receivers are told."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobHook:
    """What starts a Job for changes of objects.

    Args:
        job_id: the Job that it starts.
        content_types: the types of the objects whose changes it hears of.
        type_create: whether it hears of new ones.
        type_update: whether it hears of what becomes of them.
        type_delete: whether it hears of their end.
    """

    id: UUID
    name: str
    job_id: UUID
    content_types: tuple[str, ...]
    enabled: bool = True
    type_create: bool = False
    type_update: bool = False
    type_delete: bool = False
    created: datetime
    last_updated: datetime

    def hears(self, kind: ObjectType, change: Change, at: datetime) -> bool:
        """Say whether it starts its Job for such a change of an object of this type, at that time."""
        wanted = {Change.CREATE: self.type_create, Change.UPDATE: self.type_update, Change.DELETE: self.type_delete}
        return self.enabled and kind in self.content_types and wanted[change] and at >= self.created


_JOB, _SCHEDULED, _RESULT = OBJECTS

CHANGES: Mapping[str, tuple[ObjectType, Change]] = {
    EventType.REQUESTED: (_SCHEDULED, Change.CREATE),
    EventType.SCHEDULED: (_SCHEDULED, Change.CREATE),
    EventType.APPROVED: (_SCHEDULED, Change.UPDATE),
    EventType.EXPIRED: (_SCHEDULED, Change.UPDATE),
    EventType.RETURNED: (_SCHEDULED, Change.UPDATE),
    EventType.CHANGED: (_SCHEDULED, Change.UPDATE),
    EventType.ENABLED: (_SCHEDULED, Change.UPDATE),
    EventType.DISABLED: (_SCHEDULED, Change.UPDATE),
    EventType.ASSUMED: (_SCHEDULED, Change.UPDATE),
    EventType.TRANSFERRED: (_SCHEDULED, Change.UPDATE),
    EventType.DENIED: (_SCHEDULED, Change.DELETE),
    EventType.WITHDRAWN: (_SCHEDULED, Change.DELETE),
    EventType.DELETED: (_SCHEDULED, Change.DELETE),
    EventType.JOB_CHANGED: (_JOB, Change.UPDATE),
    EventType.APPROVAL_SWITCHED_OFF: (_JOB, Change.UPDATE),
    EventType.APPROVAL_SWITCHED_ON: (_JOB, Change.UPDATE),
    EventType.SENSITIVITY_CHANGED: (_JOB, Change.UPDATE),
    EventType.ADMITTED: (_RESULT, Change.CREATE),
    EventType.RESULT_CANCELLED: (_RESULT, Change.UPDATE),
    EventType.RESULT_RESUMED: (_RESULT, Change.UPDATE),
    EventType.RESULT_DELETED: (_RESULT, Change.DELETE),
}
"""Of what type the object is that an act of the audit changes, and what becomes of it."""

NO_CHANGES = frozenset(
    {
        # Something of an object, while it stays as it is.
        EventType.DRY_RUN,
        EventType.TAKEN_BACK,
        EventType.REFUSED,
        EventType.TAMPERED,
        EventType.SIGNED_IN,
        EventType.SIGN_IN_REFUSED,
        EventType.SIGNED_OUT,
        EventType.DECISION_REFUSED,
        EventType.REQUEST_REFUSED,
        # Of other types.
        EventType.USER_ADDED,
        EventType.USER_CHANGED,
        EventType.USER_REMOVED,
        EventType.USER_LINKED,
        EventType.USER_UNLINKED,
        EventType.GROUP_ADDED,
        EventType.GROUP_CHANGED,
        EventType.GROUP_REMOVED,
        EventType.TOKEN_ADDED,
        EventType.TOKEN_CHANGED,
        EventType.TOKEN_REMOVED,
        EventType.PERMISSION_ADDED,
        EventType.PERMISSION_CHANGED,
        EventType.PERMISSION_REMOVED,
        EventType.QUEUE_ADDED,
        EventType.QUEUE_CHANGED,
        EventType.QUEUE_REMOVED,
        EventType.BUTTON_ADDED,
        EventType.BUTTON_CHANGED,
        EventType.BUTTON_REMOVED,
        EventType.HOOK_ADDED,
        EventType.HOOK_CHANGED,
        EventType.HOOK_REMOVED,
        EventType.AUTOMATION_BOUND,
        EventType.AUTOMATION_UNBOUND,
        EventType.AUTOMATION_LAPSED,
        EventType.AUTOMATION_REFUSED,
        EventType.TARGET_ADDED,
        EventType.TARGET_REMOVED,
        EventType.AUDIT_SIGNED,
        EventType.AUDIT_ACCEPTED,
    }
)
"""The acts that change none."""
