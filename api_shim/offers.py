"""The use case before a run: what somebody can ask of a Job, and every fault of what he asks.

* Who may see the Job is told why he cannot run it, in the words with which his request would be refused.
* A request that is refused names its first fault; here all of them are found, for a form that shows each in its place.

Contract 1 and 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import anyio.to_thread

from api_shim.access import find
from api_shim.model import Job
from api_shim.schedules import RunRequest, Schedules, runnable_of, why_never, why_only_now
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Invalid
from approval_gate.model import Action, Actor, ObjectType


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What somebody can ask of a Job.

    Args:
        job: the Job.
        why_not: why he cannot run it; empty if he can.
        why_only_now: why it cannot be scheduled; empty if it can.
        zone: IANA name of the server's time zone, which a schedule has unless it names one.
    """

    job: Job
    why_not: str
    why_only_now: str
    zone: str


class Offers:
    """Says what can be asked.

    Args:
        store: what is true.
        schedules: takes requests.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, schedules: Schedules, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._schedules = schedules
        self._clock = clock

    async def offer(self, actor: Actor, job_id: UUID) -> Offer:
        """Return what somebody can ask of a Job.

        Raises:
            Forbidden: he may see no Jobs.
            NotFound: there is no such Job, or none that he may see.
        """
        job, why_not = await self._store.read(partial(_offered, actor, job_id))
        return Offer(job=job, why_not=why_not, why_only_now=why_only_now(job), zone=self._schedules.zone)

    async def faults(self, job: Job, request: RunRequest) -> list[Invalid]:
        """Return every fault of a request: of its schedule, of its queue, and of its data."""
        parts = self._schedules.parts(job, request, self._clock())
        return [fault for part in parts if (fault := await anyio.to_thread.run_sync(_fault, part))]


def _fault(read: Callable[[], object]) -> Invalid | None:
    try:
        read()
    except Invalid as fault:
        return fault
    return None


def _offered(actor: Actor, job_id: UUID, tx: Transaction) -> tuple[Job, str]:
    kind = ObjectType.JOB
    job: Job = find(tx, actor, Action.VIEW, kind, id=job_id)
    may_run = policy.on_object(actor, Action.RUN, kind, tx.attributes(kind, job.id))
    verdict = policy.first((may_run, policy.runnable(runnable_of(job))))
    return job, policy.why_not(verdict, hidden=policy.NO_PERMISSION) or why_never(job)
