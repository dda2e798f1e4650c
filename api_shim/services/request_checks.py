"""What would become of a request, before it is made: what is wrong with it, and who would have to agree.

* It is for who may run the Job, and changes nothing. All faults are told, in the words of the refusal.
* Who may approve is told by name as far as the caller may view these users, and whether there are others.
* Somebody else may decide in the end: of the request itself is asked again who had a hand in it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.approval import needs_approval
from api_shim.domain.model import AskingAgent, Job
from api_shim.parsing.run_request import RunRequest
from api_shim.services.authentication import actors_of
from api_shim.services.schedules import RunPreview, requestable, why_never, why_not_asked
from api_shim.settings import Limits
from api_shim.store import Store, Transaction
from approval_gate.errors import GateError, Invalid
from approval_gate.model import Action, Actor, Attributes, ObjectType


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestCheck:
    """What would become of a request.

    Args:
        faults: what is wrong with it.
        waits: whether it would wait for approval.
        people: who may approve it, among those whom the caller may view; nobody where it would not wait.
        others: whether there are others.
    """

    faults: list[GateError]
    waits: bool
    people: list[User]
    others: bool


class RequestChecks:
    """Checks requests.

    Args:
        store: what is true.
        preview: finds the faults of a request.
        limits: what holds for agents.
    """

    def __init__(self, store: Store, preview: RunPreview, limits: Limits) -> None:
        self._store = store
        self._preview = preview
        self._limits = limits

    async def check(self, actor: Actor, job_ref: str | UUID, request: RunRequest) -> RequestCheck:
        """Say what would become of a request.

        Args:
            actor: who would ask.
            job_ref: the id or the name of the Job.
            request: what they would ask for.

        Raises:
            Forbidden: they may not run the Job, or nobody may now.
            NotFound: there is no such Job, or none that they may know of.
            NotRunnable: its code is not installed, or only events start it.
        """
        job, agent = await self._store.read(partial(requestable, actor, job_ref, self._limits))
        faults = await self._preview.faults(job, request)
        waits = needs_approval(job, request.data if isinstance(request.data, dict) else {}, agent)
        if refusal := why_never(job) or (why_not_asked(job) if waits else ""):
            faults = [Invalid([refusal]), *faults]
        if not waits:
            return RequestCheck(faults=faults, waits=False, people=[], others=False)
        people, others = await self._store.read(partial(_who_approves, actor, job, agent))
        return RequestCheck(faults=faults, waits=True, people=people, others=others)


def _who_approves(actor: Actor, job: Job, agent: AskingAgent | None, tx: Transaction) -> tuple[list[User], bool]:
    behind = {actor.id, *([UUID(agent["for_id"])] if agent is not None else [])}
    users = [user for user in tx.all(User, order="username", is_active=True) if user.id not in behind]
    thing = tx.attributes(ObjectType.JOB, job.id)
    may = [user for user, one in zip(users, actors_of(tx, users), strict=True) if _approves(one, thing)]
    seen: Collection[UUID] = tx.visible(ObjectType.USER, actor, Action.VIEW, [user.id for user in may])
    return [user for user in may if user.id in seen], any(user.id not in seen for user in may)


def _approves(actor: Actor, job: Attributes) -> bool:
    return actor.may(Action.APPROVE, ObjectType.JOB, job) and actor.may(Action.CHANGE, ObjectType.SCHEDULED_JOB)
