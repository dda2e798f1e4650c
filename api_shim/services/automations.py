"""The accounts that Prefect's automations act as: bind one to an account, end that, and request what it runs.

* Bound is an automation as it is: with its trigger, its actions, its name, and all else but whether it is enabled. One
  that was changed since, or is gone, is bound no longer; that is found by the background loop, or when it fires before.
* Who binds it may view automations in Prefect, may add accounts of automations, and may run each Job that it names. The
  account is theirs, or one that they may change as for a transfer (``services.ownership``).
* What it runs is a request by that account, by all rules: it names the automation, and is approved neither by that
  account nor by who bound it. What Prefect's headers say of who has made a run is not asked.
* The same firing is one request, even if what is filled into its parameters has changed when it is tried again.
* An automation runs only what it names: what is inferred from an event would be chosen by whoever makes events.
* What could not be requested is recorded in the audit, and told to Prefect, which tells that the action has failed.

Contract 1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType, account_event
from api_shim.domain.model import AutomationAccount, Job
from api_shim.domain.ports import Automation, AutomationFiring, Orchestrator
from api_shim.parsing.automation_account import read_new_account
from api_shim.parsing.run_request import RunRequest, default_name
from api_shim.services.authentication import actor_of
from api_shim.services.authorization import check_still_active, get_authorized
from api_shim.services.ownership import receiver_of
from api_shim.services.schedules import Accepted, Schedules
from api_shim.services.user_names import referred_user
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, GateError, Invalid, NotFound
from approval_gate.model import Action, Actor, ObjectType

KIND = ObjectType.AUTOMATION_ACCOUNT
NO_AUTOMATION = "There is no such automation in Prefect."
BOUND_ALREADY = "This automation is bound to an account already."
REFUSED_INPUTS = "The Job refuses what this automation fills in: {names}."
AT_ONCE = timedelta(seconds=5)
"""A start no later than that is now: it would have passed when the request is recorded."""
JOB_GONE = "The Job that this automation runs no longer exists."


class AutomationAccounts:
    """Binds automations to accounts, and requests what they run.

    Args:
        store: what is true.
        engine: Prefect, which has the automations.
        schedules: takes requests.
        refused: records that an automation could not run a Job, and why.
        clock: tells the time, aware.
    """

    def __init__(
        self,
        store: Store,
        engine: Orchestrator,
        schedules: Schedules,
        refused: Callable[[Automation, str], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._engine = engine
        self._schedules = schedules
        self._refused = refused
        self._clock = clock

    async def bind(self, actor: Actor, body: object) -> AutomationAccount:
        """Have an automation, as it is now, act as an account.

        Args:
            actor: who binds it.
            body: the automation and the account, as sent.

        Raises:
            Forbidden: they may bind none, or not view automations, or not run each Job of it, or not change that user.
            Invalid: a fault in a field, there is no such automation, or it runs no Job.
            Conflict: it is bound already, or the account is not active or may not run each Job of it.
            Unavailable: Prefect does not answer.
        """
        policy.enforce(policy.check_type(actor, Action.ADD, KIND), KIND)
        policy.enforce(policy.may_look_at_automations(actor), KIND)
        automation_id, to = read_new_account(body)
        automation = await self._engine.automation(automation_id)
        if automation is None:
            raise Invalid({"automation": [NO_AUTOMATION]})
        try:
            return await self._store.write(partial(_bind, actor, automation, to, self._clock()))
        except Duplicate as error:
            raise Conflict(BOUND_ALREADY) from error

    async def unbind(self, actor: Actor, automation_id: UUID) -> None:
        """End that an automation acts as an account.

        Args:
            actor: who ends it.
            automation_id: the id of the automation.

        Raises:
            Forbidden: they may end none, or not this one.
            NotFound: there is none, or none that they may see.
        """
        await self._store.write(partial(_unbind, actor, automation_id, self._clock()))

    async def is_of_job(self, deployment_id: UUID) -> bool:
        """Say whether a deployment is that of a Job whose runs people request."""
        return await self._store.read(lambda tx: _job_of(tx, deployment_id)) is not None

    async def run(self, firing: AutomationFiring) -> Accepted:
        """Request what an automation wants to run, as the account that it is bound to.

        Args:
            firing: it; its deployment is that of a Job whose runs people request.

        Returns:
            the job result of a run that starts now, or else the scheduled job.

        Raises:
            GateError: the rules refuse it, which has been recorded.
        """
        try:
            return await self._run(firing)
        except Invalid as error:
            # Sentences on inputs quote them, and what is told here stays in the audit and in Prefect.
            refusal = Conflict(_without_values(error))
            await self._refused(firing.automation, str(refusal))
            raise refusal from None
        except GateError as error:
            await self._refused(firing.automation, str(error))
            raise

    async def _run(self, firing: AutomationFiring) -> Accepted:
        now, automation_id = self._clock(), firing.automation.id
        current = await self._engine.automation(automation_id)
        actor, facts = await self._store.read(partial(_as_whom, firing, current))
        if facts.changed:
            await self._store.write(partial(_end_changed, automation_id, current, now))
        policy.enforce(policy.acts_by_automation(facts), KIND)
        job = await self._store.read(lambda tx: _job_of(tx, firing.deployment_id))
        if actor is None or job is None:
            raise NotFound(JOB_GONE)
        request = RunRequest(data=firing.parameters, schedule=_schedule(firing, job, now))
        # What is filled in anew may differ; it is the same request all the same.
        same = {"automation": str(automation_id)}
        return await self._schedules.request(actor, job.id, request, firing.key, sent=same)


async def end_changed(store: Store, engine: Orchestrator, now: datetime) -> None:
    """End what binds automations that have been changed since, or are gone.

    Args:
        store: what is true.
        engine: Prefect, which has the automations.
        now: the time.

    Raises:
        Unavailable: Prefect does not answer.
    """
    for bound in await store.read(lambda tx: tx.all(AutomationAccount, order="id")):
        current = await engine.automation(bound.id)
        if current is None or current.digest != bound.digest:
            await store.write(partial(_end_changed, bound.id, current, now))


def _without_values(refusal: Invalid) -> str:
    """Return which inputs are refused, and none of their values."""
    told = refusal.detail if isinstance(refusal.detail, Mapping) else {}
    errors = told.get("errors", told)
    return REFUSED_INPUTS.format(names=", ".join(sorted(map(str, errors))) or "them")


def _job_of(tx: Transaction, deployment_id: UUID) -> Job | None:
    return tx.get(Job, deployment_id=deployment_id, is_job_hook_receiver=False)


def _schedule(firing: AutomationFiring, job: Job, now: datetime) -> Mapping[str, Any] | None:
    """Return when a run is to start; None for now."""
    if firing.after <= AT_ONCE:
        return None
    return {"interval": "future", "name": default_name(job, now), "start_time": (now + firing.after).isoformat()}


def _as_whom(
    firing: AutomationFiring, current: Automation | None, tx: Transaction
) -> tuple[Actor | None, policy.FiringFacts]:
    """Return the account that an automation acts as, if there is one, and the facts for the rule."""
    bound = tx.get(AutomationAccount, id=firing.automation.id)
    user = tx.get(User, id=bound.user_id) if bound is not None else None
    facts = policy.FiringFacts(
        bound=bound is not None,
        changed=bound is not None and (current is None or current.digest != bound.digest),
        as_bound=bound is not None and firing.automation.digest == bound.digest,
        names=firing.deployment_id in firing.automation.runs,
        active=user is not None and user.is_active,
        job_variables=bool(firing.job_variables),
    )
    return (replace(actor_of(tx, user), by_automation=firing.automation.id) if user else None), facts


def _bind(
    actor: Actor, automation: Automation, to: Mapping[str, Any] | None, now: datetime, tx: Transaction
) -> AutomationAccount:
    check_still_active(tx, actor)
    account = _account(tx, actor, to)
    jobs = tx.all(Job, deployment_id=automation.runs, is_job_hook_receiver=False)
    things = tx.attributes_of(ObjectType.JOB, [job.id for job in jobs]).values()
    verdict = policy.bind_automation(actor, account=actor_of(tx, account), active=account.is_active, jobs=[*things])
    policy.enforce(verdict, KIND)
    before = tx.get(AutomationAccount, id=automation.id, lock=True)
    if before is not None:
        if before.digest == automation.digest:
            raise Conflict(BOUND_ALREADY)
        _lapse(tx, before, now)
    bound = AutomationAccount(
        id=automation.id,
        name=automation.name,
        user_id=account.id,
        digest=automation.digest,
        bound_by_id=actor.id,
        bound_by=actor.username,
        created=now,
    )
    tx.add(bound)
    policy.enforce(policy.check_result(actor, Action.ADD, KIND, tx.attributes(KIND, bound.id)), KIND)
    said: dict[str, Any] = {"account": account.username, "digest": bound.digest, "jobs": sorted(j.name for j in jobs)}
    tx.record(account_event(bound.id, bound.name, EventType.AUTOMATION_BOUND, now, actor, **said))
    return bound


def _account(tx: Transaction, actor: Actor, to: Mapping[str, Any] | None) -> User:
    """Return the account that somebody names, locked: their own, or one that they may change."""
    own = {"id": actor.id}
    named = referred_user(tx, to or own)
    if named is not None and named.id == actor.id:
        return named
    # First, so that who may change nobody does not learn who there is.
    policy.enforce(policy.check_type(actor, Action.CHANGE, ObjectType.USER), ObjectType.USER)
    return receiver_of(tx, actor, to or own, "user")


def _unbind(actor: Actor, automation_id: UUID, now: datetime, tx: Transaction) -> None:
    bound: AutomationAccount = get_authorized(tx, actor, Action.DELETE, KIND, lock=True, id=automation_id)
    check_still_active(tx, actor)
    tx.remove(bound)
    tx.record(account_event(bound.id, bound.name, EventType.AUTOMATION_UNBOUND, now, actor))


def _end_changed(automation_id: UUID, current: Automation | None, now: datetime, tx: Transaction) -> None:
    bound = tx.get(AutomationAccount, id=automation_id, lock=True)
    # It may have been bound again meanwhile.
    if bound is not None and (current is None or bound.digest != current.digest):
        _lapse(tx, bound, now)


def _lapse(tx: Transaction, bound: AutomationAccount, now: datetime) -> None:
    tx.remove(bound)
    tx.record(account_event(bound.id, bound.name, EventType.AUTOMATION_LAPSED, now, None, bound_by=bound.bound_by))
