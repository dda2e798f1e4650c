"""How the server stands, on the pages: what it lacks, who is there, who works, and its settings.

* This is for superusers; for others there is no such page.
* What Prefect does not answer is not known, and said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from api_shim.domain.model import HeldJob, RunningServer
from api_shim.domain.ports import Orchestrator
from api_shim.reconcile.pools import pools_of
from api_shim.services.readiness import Readiness
from api_shim.services.running_servers import ThisServer
from api_shim.settings import ShownSetting
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Unavailable
from approval_gate.model import Actor, ObjectType


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolState:
    """A work pool.

    Args:
        name: its name.
        queues: when a worker has last asked for runs of each queue; None for never.
        workers: when each worker has last told that it is there.
    """

    name: str
    queues: Mapping[str, datetime | None]
    workers: Mapping[str, datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """How the server stands.

    Args:
        checks: what is wrong, by check; an empty sentence where nothing is.
        servers: the servers and services that have told that they are there, with how many Jobs each has.
        pools: the work pools; None if Prefect does not answer.
        settings: the settings, without secrets.
    """

    checks: Mapping[str, str]
    servers: Sequence[tuple[RunningServer, int]]
    pools: Sequence[PoolState] | None
    settings: Sequence[ShownSetting]


class SystemState:
    """Tells how the server stands.

    Attributes:
        settings: the settings, as people are shown them.

    Args:
        store: the store.
        engine: Prefect.
        readiness: checks what the server needs.
        server: this one, as it tells of itself; None for one that tells nothing.
    """

    def __init__(
        self, store: Store, engine: Orchestrator, readiness: Readiness, server: ThisServer | None = None
    ) -> None:
        self._store = store
        self._engine = engine
        self._readiness = readiness
        self._server = server
        self.settings: Sequence[ShownSetting] = ()

    async def read(self, actor: Actor) -> System:
        """Return how the server stands.

        Raises:
            NotFound: the actor is no superuser.
        """
        policy.enforce(policy.may_administer(actor), ObjectType.USER)
        return System(
            checks=await self._readiness.checks(),
            servers=await self._store.read(partial(_servers, self._server, self._readiness.followed())),
            pools=await self._pools(),
            settings=self.settings,
        )

    async def _pools(self) -> list[PoolState] | None:
        own = self._engine.pool
        pools = await self._store.read(partial(pools_of, own=own))
        try:
            return [
                PoolState(
                    name=pool or own,
                    queues=await self._engine.queue_polls(pool),
                    workers=await self._engine.worker_heartbeats(pool),
                )
                for pool in ("", *sorted({*pools.values()}))
            ]
        except Unavailable:
            return None


def _servers(me: ThisServer | None, followed: datetime | None, tx: Transaction) -> list[tuple[RunningServer, int]]:
    """Return the servers that have told, those that told last first, each with how many Jobs it has.

    Of this one it is known when it made Prefect follow: where there can be no other it tells nobody, and at its start
    it has told nothing yet.
    """
    held: dict[object, int] = {}
    for each in tx.all(HeldJob):
        held[each.server_id] = held.get(each.server_id, 0) + 1
    told = tx.all(RunningServer, order="seen")[::-1]
    if me is not None and followed is not None:
        told = [replace(each, followed=followed) if each.id == me.id else each for each in told]
    return [(server, held.get(server.id, 0)) for server in told]
