"""What stands in the store and at Prefect at a moment, for the metrics.

* Each number is one question that indexes answer, whatever has been recorded over the years.
* Whoever asks again within five seconds is told the same.
* Who may read metrics has ``view`` on ``signoff.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial

from api_shim.metrics import Gauge
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.model import Action, Actor, ObjectType

KEPT = timedelta(seconds=5)
"""How long numbers are good for."""


class Gauges:
    """Reads numbers.

    Args:
        store: what is true.
        served: knows since when Prefect is away.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, served: ServedQueues, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._served = served
        self._clock = clock
        self._read: tuple[datetime, Collection[Gauge]] | None = None

    async def read(self, actor: Actor) -> Collection[Gauge]:
        """Return the gauges.

        Raises:
            Forbidden: the actor may not read metrics.
            Unavailable: the store cannot be read.
        """
        policy.enforce(policy.check_type(actor, Action.VIEW, ObjectType.METRICS), ObjectType.METRICS)
        now = self._clock()
        if self._read is None or now - self._read[0] >= KEPT:
            self._read = now, [*await self._store.read(partial(_of_store, now)), self._prefect()]
        return self._read[1]

    def _prefect(self) -> Gauge:
        up = self._served.away_since() is None
        return Gauge("signoff_prefect_up", "Whether Prefect answers.", {"": float(up)})


def _of_store(now: datetime, tx: Transaction) -> list[Gauge]:
    waiting, oldest = tx.approval_queue()
    age = (now - oldest).total_seconds() if oldest else 0.0
    return [
        Gauge("signoff_approval_queue_length", "Requests that wait for a decision.", {"": waiting}),
        Gauge("signoff_approval_queue_oldest_age_seconds", "How long the oldest of them has waited.", {"": age}),
        Gauge(
            "signoff_runs_in_progress",
            "Runs that have not ended.",
            {status.lower(): count for status, count in tx.in_progress().items()},
            "status",
        ),
        Gauge("signoff_projection_waiting", "What Prefect has yet to follow.", tx.not_followed(), "kind"),
    ]
