"""Which work pool each job queue belongs to, as the store says.

A queue that is not named belongs to the pool of the server, whatever that is called now.
"""

from __future__ import annotations

from api_shim.domain.model import JobQueue
from api_shim.reconcile.desired_state import Pools
from api_shim.store import Transaction


def pools_of(tx: Transaction, own: str) -> Pools:
    """Return the work pools of the queues that belong to another one than the server's.

    Args:
        tx: the transaction.
        own: the name of the server's.
    """
    return {queue.name: queue.pool for queue in tx.all(JobQueue) if queue.pool not in {"", own}}
