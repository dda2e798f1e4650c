"""The use cases around pressing job buttons: which there are on a page, and what becomes of a press.

* A button is shown to whoever may view the object and run the button's Job now; its own permission is for who manages
  buttons. Lighter ones come first.
* A press is a request of the Job as whoever presses, by all the rules of requests: approval, limits, files, queues.
* A button that is disabled, not for objects of that type, or of a Job that they may not run, does not exist there.
* A Job that needs approval has no buttons: whoever made one would have others request what they then approve.
* What was asked about is what is requested: a button that has another Job by then is asked about again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from api_shim.domain.model import Job
from api_shim.domain.triggers import JobButton
from api_shim.parsing.run_request import RunRequest
from api_shim.services.authorization import get_authorized, permitted_ids
from api_shim.services.schedules import Accepted, Schedules, why_never
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.model import Action, Actor, Allowed, ObjectType


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """A button, and the name of its Job."""

    button: JobButton
    job: str


class JobButtons:
    """Shows buttons, and has them pressed.

    Args:
        store: what is true.
        schedules: takes the requests.
    """

    def __init__(self, store: Store, schedules: Schedules) -> None:
        self._store = store
        self._schedules = schedules

    async def shown(self, actor: Actor, kind: ObjectType) -> list[JobButton]:
        """Return the buttons on the page of an object of this type, which the actor may view, the lightest first."""
        return await self._store.read(partial(_shown, actor, kind))

    async def offered(self, actor: Actor, button_id: UUID, kind: ObjectType, key: UUID) -> Offered:
        """Return a button that the actor may be asked about before it is pressed.

        Args:
            actor: who presses it.
            button_id: its id.
            kind: the type of the object on whose page it is.
            key: the id of that object.

        Raises:
            Forbidden: they may view no objects of this type.
            NotFound: there is no such button for such objects that they may press, or no object that they may view.
        """
        return await self._store.read(partial(_offered, actor, button_id, kind, key))

    async def press(self, actor: Actor, button_id: UUID, kind: ObjectType, key: UUID) -> Accepted:
        """Request the Job of a button for an object.

        Args:
            actor: who presses it.
            button_id: its id.
            kind: the type of the object.
            key: the id of the object.

        Raises:
            Forbidden: they may view no objects of this type, or may not run the Job.
            NotFound: there is no such button for such objects, or no such object that they may view.
            GateError: the request is refused; see ``Schedules.request``.
        """
        found = await self.offered(actor, button_id, kind, key)
        data = {"object_pk": str(key), "object_model_name": str(kind)}
        return await self._schedules.request(actor, found.button.job_id, RunRequest(data=data))


def _shown(actor: Actor, kind: ObjectType, tx: Transaction) -> list[JobButton]:
    buttons = [each for each in tx.all(JobButton, enabled=True) if kind in each.content_types]
    jobs = {job.id: job for job in tx.all(Job, id={each.job_id for each in buttons})} if buttons else {}
    ready = [job.id for job in jobs.values() if _is_for_buttons(job) and policy.runnable(job.runnable) == Allowed()]
    may = permitted_ids(tx, actor, Action.RUN, ObjectType.JOB, ready) if ready else set()
    return sorted((each for each in buttons if each.job_id in may), key=lambda each: (each.weight, each.name))


def _offered(actor: Actor, button_id: UUID, kind: ObjectType, key: UUID, tx: Transaction) -> Offered:
    get_authorized(tx, actor, Action.VIEW, kind, id=key)
    button = tx.get(JobButton, id=button_id, enabled=True)
    job = tx.get(Job, id=button.job_id) if button is not None else None
    if button is None or job is None or kind not in button.content_types or not _is_for_buttons(job):
        raise policy.missing(ObjectType.JOB_BUTTON)
    if not permitted_ids(tx, actor, Action.RUN, ObjectType.JOB, [job.id]):
        raise policy.missing(ObjectType.JOB_BUTTON)
    return Offered(button=button, job=job.name)


def _is_for_buttons(job: Job) -> bool:
    return job.is_job_button_receiver and not job.approval_required and not why_never(job)
