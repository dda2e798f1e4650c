"""Job buttons and job hooks: what has a Job run for an object of ours, besides people who request it.

* A button stands on the pages of Jobs, scheduled jobs or job results, and requests its Job as whoever presses it.
* Names are unique among buttons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

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
