"""Job queues: the work queues of Prefect that Jobs are run on.

* A queue is its name, so its id is made of it.
* The store knows every queue that some Job has ever named; Prefect knows who serves it.

Contract 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5


@dataclass(frozen=True, kw_only=True, slots=True)
class JobQueue:
    """A queue."""

    id: UUID
    name: str


def queue_id(name: str) -> UUID:
    """Return the id of a job queue."""
    return uuid5(NAMESPACE_URL, f"signoff:job-queue:{name}")


def queue_of(name: str) -> JobQueue:
    """Return the queue of this name."""
    return JobQueue(id=queue_id(name), name=name)
