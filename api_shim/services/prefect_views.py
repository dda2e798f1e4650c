"""What of Prefect a user may view: the flows, deployments, runs and events that stand for objects they may view here.

* A run is viewed by who may view its job result; before there is one, by who may view its scheduled job.
* A run that is not recorded yet belongs to its deployment: that of a scheduled job is viewed by who may view the
  scheduled job, that of a Job by who may view every run.
* A deployment is viewed by who may view its Job or scheduled job, and a flow by who may view its Job or anything of it.
* What has been deleted here, and is about to be deleted in Prefect, is hidden.
* Ids are answered for the newest ``MOST`` objects, unless some are asked about.
* Nothing here trusts what Prefect keeps about an object: runs, deployments and Jobs are found in the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.model import DeletedRun, Job, JobResult, PendingCleanup
from api_shim.parsing.fields import read_id
from api_shim.reconcile.desired_state import allowed_name
from api_shim.services.authorization import permitted_ids
from api_shim.store import TYPES, Store, Transaction
from approval_gate.model import Action, Actor, ObjectType

MOST = 5_000
"""How many ids are named to Prefect at most: databases limit the values of a query."""

MOST_OF_EVENTS = 1_000
"""Of how many runs the events are told at most, unless some are asked about: Prefect looks for each by its name."""

RUN, SCHEDULED_JOB, OUR_RUN = "prefect.flow-run.", "signoff.scheduled-job.", "signoff.flow-run."
DEPLOYMENT = "prefect.deployment."
"""How the ids of resources of events begin."""


class PrefectViews:
    """Answers what of Prefect a user may view.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def runs(self, actor: Actor, among: Collection[UUID] | None = None) -> set[UUID]:
        """Return the flow runs that the actor may view, of those asked about, or the newest of all."""
        return await self._store.read(partial(_runs, actor, among))

    async def deployments(self, actor: Actor, among: Collection[UUID] | None = None) -> set[UUID]:
        """Return the deployments that the actor may view, of those asked about, or the newest of all."""
        return await self._store.read(partial(_deployments, actor, among))

    async def flows(self, actor: Actor) -> set[str]:
        """Return the names of the flows that the actor may view."""
        return await self._store.read(lambda tx: {allowed_name(name) for name in tx.names_of_jobs_seen(actor)})

    async def is_our_flow(self, name: str) -> bool:
        """Say whether a flow of this name is a Job's."""
        return await self._store.read(lambda tx: any(allowed_name(job.name) == name for job in tx.all(Job)))

    async def resources(self, actor: Actor, among: Collection[str] | None = None) -> set[str]:
        """Return the ids of resources whose events the actor may view, of those asked about, or the newest of all."""
        return await self._store.read(partial(_resources, actor, among))

    async def views_run(self, actor: Actor, run_id: UUID) -> bool | None:
        """Say whether the actor may view a flow run; None if it is not recorded here."""
        return await self._store.read(partial(_views_run, actor, run_id))

    async def views_deployment(self, actor: Actor, deployment_id: UUID) -> bool | None:
        """Say whether the actor may view a deployment; None if it is not recorded here."""
        return await self._store.read(partial(_views_deployment, actor, deployment_id))

    async def views_runs_of(self, actor: Actor, deployment_id: UUID) -> bool:
        """Say whether the actor may view runs of a deployment that are not recorded here yet."""
        ids = {deployment_id}
        return bool(await self._store.read(lambda tx: _seen(tx, actor, ObjectType.SCHEDULED_JOB, "deployment_id", ids)))


def _seen(
    tx: Transaction,
    actor: Actor,
    kind: ObjectType,
    field: str,
    among: Collection[UUID] | None,
    limit: int | None = None,
) -> list[UUID]:
    return tx.seen(kind, actor, field, limit=limit or MOST, among=among) if actor.may(Action.VIEW, kind) else []


def _runs(actor: Actor, among: Collection[UUID] | None, tx: Transaction, limit: int | None = None) -> set[UUID]:
    finished = _seen(tx, actor, ObjectType.JOB_RESULT, "flow_run_id", among, limit)
    requested = _seen(tx, actor, ObjectType.SCHEDULED_JOB, "flow_run_id", among, limit)
    # A run that has a result is viewed by who may view that, however it was requested.
    begun = {result.flow_run_id for result in tx.all(JobResult, flow_run_id=set(requested))}
    return {*finished, *(run for run in requested if run not in begun)}


def _deployments(actor: Actor, among: Collection[UUID] | None, tx: Transaction) -> set[UUID]:
    kinds = (ObjectType.JOB, ObjectType.SCHEDULED_JOB)
    return {found for kind in kinds for found in _seen(tx, actor, kind, "deployment_id", among)}


def _resources(actor: Actor, among: Collection[str] | None, tx: Transaction) -> set[str]:
    def ids(*prefixes: str) -> set[UUID] | None:
        return None if among is None else set(_ids_in(among, prefixes))

    runs = _runs(actor, ids(RUN, OUR_RUN), tx, MOST_OF_EVENTS)
    scheduled = _seen(tx, actor, ObjectType.SCHEDULED_JOB, "id", ids(SCHEDULED_JOB), MOST_OF_EVENTS)
    found = {f"{prefix}{run}" for prefix in (RUN, OUR_RUN) for run in runs}
    found |= {f"{DEPLOYMENT}{deployment}" for deployment in _deployments(actor, ids(DEPLOYMENT), tx)}
    found |= {f"{SCHEDULED_JOB}{row}" for row in scheduled}
    return found if among is None else found & set(among)


def _ids_in(names: Iterable[str], prefixes: Collection[str]) -> Iterable[UUID]:
    for name in names:
        for prefix in prefixes:
            found = read_id(name.removeprefix(prefix)) if name.startswith(prefix) else None
            if found is not None:
                yield found


def _views_run(actor: Actor, run_id: UUID, tx: Transaction) -> bool | None:
    kinds = (ObjectType.JOB_RESULT, ObjectType.SCHEDULED_JOB)
    return _views_recorded(actor, kinds, (DeletedRun, PendingCleanup), {"flow_run_id": run_id}, tx)


def _views_deployment(actor: Actor, deployment_id: UUID, tx: Transaction) -> bool | None:
    kinds = (ObjectType.JOB, ObjectType.SCHEDULED_JOB)
    return _views_recorded(actor, kinds, (PendingCleanup,), {"deployment_id": deployment_id}, tx)


def _views_recorded(
    actor: Actor, kinds: Iterable[ObjectType], deleted: Iterable[type[Any]], by: Mapping[str, Any], tx: Transaction
) -> bool | None:
    """Say whether the actor may view the first object that is found; None for what was never recorded.

    Args:
        actor: who views it.
        kinds: the types of objects that are looked for, in this order.
        deleted: what remembers objects that were deleted, which nobody views.
        by: the field that tells which.
        tx: the transaction.
    """
    for kind in kinds:
        recorded = tx.get(TYPES[kind], **by)
        if recorded is not None:
            return bool(permitted_ids(tx, actor, Action.VIEW, kind, [recorded.id]))
    return False if any(tx.exists(kind, **by) for kind in deleted) else None
