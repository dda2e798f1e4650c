"""Jobs that agents are offered as tools of their own.

* A setting names them; without it there are none.
* Whoever asks is offered what they may view and run now, an agent also only what its person may run.
* What would be refused however it is requested, or could be approved by nobody, is not offered.

What is offered is no permission: a request is judged as any other is.
"""

from __future__ import annotations

from functools import partial

from api_shim.domain.accounts import User
from api_shim.domain.approval import needs_approval
from api_shim.domain.model import Job
from api_shim.services.agents import asking_agent, jobs_meant, people_behind
from api_shim.services.authorization import permitted_ids
from api_shim.services.schedules import why_never, why_not_asked
from api_shim.settings import Limits
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.model import Action, Actor, Allowed, Attributes, ObjectType

KIND = ObjectType.JOB


class JobTools:
    """Tells which Jobs are tools.

    Args:
        store: what is true.
        limits: what the settings say of agents.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def offered(self, actor: Actor) -> list[Job]:
        """Return the Jobs that somebody is offered, by name.

        Args:
            actor: the caller.
        """
        return await self._store.read(partial(_offered, actor, self._limits))


def _offered(actor: Actor, limits: Limits, tx: Transaction) -> list[Job]:
    if limits.mcp_job_tools is None:
        return []
    meant = jobs_meant(limits.mcp_job_tools)
    ready = {job.id: job for job in tx.all(Job, order="name") if policy.runnable(job.runnable) == Allowed()}
    permitted = permitted_ids(tx, actor, Action.RUN, KIND, ready) & permitted_ids(tx, actor, Action.VIEW, KIND, ready)
    things = tx.attributes_of(KIND, permitted)
    person = people_behind(tx, tx.all(User, id=actor.id)).get(actor.id) if actor.agent else None

    def is_offered(job: Job, thing: Attributes) -> bool:
        if actor.agent and policy.requests_as_agent(person=person, job=thing) != Allowed():
            return False
        waits = needs_approval(job, {}, asking_agent(person, limits, thing))
        return meant.matches(thing, user=actor.id) and not (why_never(job) or (waits and why_not_asked(job)))

    return [job for job in ready.values() if job.id in permitted and is_offered(job, things[job.id])]
