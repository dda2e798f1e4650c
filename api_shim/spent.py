"""What stays of a job result that was deleted, so that what it was the record of does not happen again.

* A run whose result was deleted does not execute, and a firing that it had stays taken.
* It stays until Prefect's run has gone too, and as long as its scheduled job is there.

Contract 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """A run that has had its turn, and whose result was deleted; its id is the flow run's.

    Args:
        scheduled_job_id: of a firing, its scheduled job.
        nominal_time: of a firing, its time.
        run_gone: Prefect has the run no longer.
    """

    id: UUID
    scheduled_job_id: UUID | None = None
    nominal_time: datetime | None = None
    run_gone: bool = False
