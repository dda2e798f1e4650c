"""Lets Prefect forget the runs whose results were deleted, and then forgets that itself, once it is safe.

* Done again until it holds, after a deletion and by the loop.
* That a firing was taken is remembered as long as its scheduled job is there.
"""

from __future__ import annotations

from functools import partial

from api_shim.ports import Engine
from api_shim.spent import Spent
from api_shim.store import Store, Transaction


async def forget(store: Store, engine: Engine, spent: Spent) -> None:
    """Remove a run from Prefect, and record that.

    Raises:
        Unavailable: Prefect does not answer.
    """
    if not spent.run_gone:
        await engine.remove_run(spent.id)
    await store.write(partial(_record, spent))


def _record(spent: Spent, tx: Transaction) -> None:
    seen = tx.one(Spent, id=spent.id, lock=True)
    if seen is not None and seen.scheduled_job_id is None:
        tx.remove(seen)
    elif seen is not None and not seen.run_gone:
        tx.change(seen, run_gone=True)
