"""What people do in Prefect's UI and command line: decide about a held run, run one of our deployments, fill in a form.

* A run that its own code has suspended is resumed as ``services.suspensions`` says.
* These are the use cases of our API, with the same permissions and rules. The login identifies the caller.
* A decision is answered with the commit. A request for a run is answered with Prefect's flow run, so it waits a few
  seconds for Prefect to create it.
* Only the name, tags, parameters, start time, queue and idempotency key are taken from the client's body. Anything else
  could make a worker run something else.
* Who repeats a request with its idempotency key is answered with the run that it has become, as by Prefect: whatever
  start time, name and tags they give, but not for other parameters. A task run that stands for the run in another one
  does for a key: Prefect's clients send a request again that was answered with 503.
* The values of a form are checked by the rules of the request or decision that they are for. The schema that comes with
  them only says which form it is: it is never evaluated.
* Before a decision, what Prefect shows is compared with what signoff wrote. If it was changed in Prefect, it is
  restored, recorded in the audit, and the caller has to decide again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import anyio

from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.model import Job, JobResult, ScheduledJob
from api_shim.domain.ports import Orchestrator
from api_shim.parsing.decision import read_answer
from api_shim.parsing.form_schema import is_same_form
from api_shim.parsing.run_request import RunRequest, default_name, read_labels
from api_shim.reconcile.approval_form import decision_form, fingerprint
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.wake_queue import Kind
from api_shim.services.approvals import Approvals
from api_shim.services.request_keys import read_key
from api_shim.services.schedules import Schedules
from api_shim.services.suspensions import Suspensions
from api_shim.store import Store, Transaction
from approval_gate.errors import Conflict, Forbidden, Invalid, NotFound, Outdated, Unavailable
from approval_gate.model import Action, Actor, Allowed, ObjectType
from approval_gate.policy import PAST_DUE, check_object

logger = logging.getLogger("signoff")

NOT_WAITING = "This run is not waiting for a decision."
NOT_STANDING = "This run is not ready for a decision. Please try again in a few seconds."
DENIED = "Denied. The run was cancelled."
MEDDLED = "This request had been changed in Prefect. It has been restored; please review it again."
CONFIRM = "The start time of this request has passed. Open Resume again and confirm that it should run anyway."
NOT_OUR_FORM = "This is not the form of a Job that you may run. Other schemas need the permission prefect.write."
FOLLOWED_WITHIN = 5.0
"""Seconds that a request for a run waits until Prefect has it."""
FOLLOWS = "The request was accepted. It will appear in Prefect as soon as Prefect answers."


class PrefectUI:
    """Handles requests on Prefect's own paths.

    Args:
        store: the store.
        engine: Prefect.
        approvals: approves and denies requests.
        schedules: accepts requests.
        projection: brings Prefect up to date.
        suspensions: resumes what its own code has suspended.
        clock: returns the current time, aware.
    """

    def __init__(
        self,
        store: Store,
        engine: Orchestrator,
        approvals: Approvals,
        schedules: Schedules,
        projection: Reconciler,
        suspensions: Suspensions,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._engine = engine
        self._approvals = approvals
        self._schedules = schedules
        self._projection = projection
        self._suspensions = suspensions
        self._clock = clock

    async def has_run(self, run_id: UUID) -> bool:
        """Say whether signoff manages this run."""
        return await self._store.read(partial(_has_run, run_id))

    async def has_deployment(self, deployment_id: UUID) -> bool:
        """Say whether signoff manages this deployment."""
        return (await self._store.read(partial(_find_source, deployment_id)))[0] is not None

    async def job_variables(self, deployment_id: UUID) -> Mapping[str, Any] | None:
        """Return with what the runs of a deployment are started; None for one that signoff does not manage."""
        job, _ = await self._store.read(partial(_find_source, deployment_id))
        return job.job_variables if job is not None else None

    async def starts_ours(self, run_id: UUID) -> bool:
        """Say whether a run is one that signoff manages, or a firing of its deployments that has not asked yet."""
        if await self.has_run(run_id):
            return True
        run = (await self._engine.runs([run_id])).get(run_id)
        return run is not None and run.deployment_id is not None and await self.has_deployment(run.deployment_id)

    async def resume(self, actor: Actor, run_id: UUID, answer: object) -> str:
        """Approve or deny a held run, with the values of its form, or let one go on that its own code has suspended.

        Args:
            actor: the caller.
            run_id: the id of the flow run.
            answer: the values of the form.

        Returns:
            the sentence to show instead of "resumed"; empty if the run is resumed.

        Raises:
            GateError: the decision is refused.
        """
        row = await self._store.read(lambda tx: tx.get(ScheduledJob, flow_run_id=run_id))
        if row is None or not row.awaits_decision:
            if not await self._suspensions.resume_run(actor, run_id, answer):
                raise Conflict(NOT_WAITING)
            return ""
        which, decision = read_answer(answer)
        await self._check_shown(row)
        try:
            if which == "deny":
                await self._approvals.deny(actor, {"id": row.id}, decision)
                return DENIED
            await self._approvals.approve(actor, {"id": row.id}, decision)
        except Outdated:
            # The next form shows the request as it is now.
            await self._projection.reconcile(row.id)
            raise
        except Invalid as error:
            raise Invalid(CONFIRM if error.detail == PAST_DUE else error.detail) from error
        return ""

    async def _check_shown(self, row: ScheduledJob) -> None:
        if row.flow_run_id is None:
            raise Conflict(NOT_WAITING)
        shown = await self._engine.asked(row.flow_run_id)
        if shown is None:
            await self._projection.reconcile(row.id)
            raise Conflict(NOT_STANDING)
        if fingerprint(shown) == row.question_mark and shown.parameters == row.parameters:
            return
        event = scheduled_job_event(row, EventType.TAMPERED, self._clock(), reason=MEDDLED)
        await self._store.write(lambda tx: tx.record(event))
        await self._projection.put_back(row.flow_run_id)
        raise Conflict(MEDDLED)

    async def run(self, actor: Actor, deployment_id: UUID, body: Mapping[str, Any]) -> UUID:
        """Request a run of one of our deployments.

        Args:
            actor: the caller.
            deployment_id: the deployment of a Job, or of a scheduled job, whose inputs are then the defaults.
            body: the body that the client sent.

        Returns:
            the id of the flow run, which starts now or waits for its start time or for approval.

        Raises:
            GateError: the request is refused.
        """
        job, scheduled = await self._store.read(partial(_find_visible_source, actor, deployment_id))
        if job is None:
            raise NotFound("Not found.")
        request = _request(job, scheduled, body, self._clock())
        labels = read_labels(body.get("name"), body.get("tags"))
        key = read_key(body.get("idempotency_key") or body.get("parent_task_run_id"))
        # Prefect has keys for each flow, and people have others in our API.
        kept = None if key is None else f"{job.id} {key}"
        sent = {"data": request.data, "queue": request.job_queue}
        accepted = await self._schedules.request(actor, job.id, request, kept, labels, sent)
        thing = accepted.job_result or accepted.scheduled_job
        if thing is None:
            raise LookupError("An accepted request is a job result or a scheduled job.")
        kind = Kind.JOB_RESULT if accepted.job_result else Kind.SCHEDULED_JOB
        return await self._run_of(kind, thing)

    async def check_values(self, actor: Actor, schema: object, values: object) -> None:
        """Check what somebody has filled into a form of ours, before they send it.

        Args:
            actor: the caller.
            schema: the JSON schema of the form, as the page has it.
            values: the values of the form.

        Raises:
            Invalid: a value is invalid; with a sentence, or with the contract's structure by variable.
            Forbidden: the schema is neither that of a decision nor that of a Job that the caller may run.
            NotRunnable: the code of the Job cannot be loaded.
        """
        if isinstance(schema, Mapping) and schema == values:
            # Prefect's dialog to resume sends the values in place of the schema. What follows is checked all the same.
            return
        if _is_decision(schema):
            read_answer(values)
            return
        job = await self._store.read(partial(_job_of_form, actor, schema))
        await self._schedules.check_data(job, values)

    async def _run_of(self, kind: Kind, thing: JobResult | ScheduledJob) -> UUID:
        try:
            with anyio.move_on_after(FOLLOWED_WITHIN):
                await self._projection.follow(kind, thing.id, FOLLOWED_WITHIN)
        except Exception:
            logger.warning("Prefect will follow later.", exc_info=True)
        row = await self._store.read(lambda tx: tx.get(type(thing), id=thing.id))
        if row is None or row.flow_run_id is None:
            raise Unavailable(FOLLOWS)
        return row.flow_run_id


def _has_run(run_id: UUID, tx: Transaction) -> bool:
    return tx.exists(ScheduledJob, flow_run_id=run_id) or tx.exists(JobResult, flow_run_id=run_id)


def _find_source(deployment_id: UUID, tx: Transaction) -> tuple[Job | None, ScheduledJob | None]:
    job = tx.get(Job, deployment_id=deployment_id)
    if job is not None:
        return job, None
    scheduled = tx.get(ScheduledJob, deployment_id=deployment_id)
    return (tx.get(Job, id=scheduled.job_id) if scheduled else None), scheduled


def _find_visible_source(actor: Actor, deployment_id: UUID, tx: Transaction) -> tuple[Job | None, ScheduledJob | None]:
    """Return what a deployment is of; nothing for a scheduled job, whose inputs are the defaults, that is hidden."""
    job, scheduled = _find_source(deployment_id, tx)
    if scheduled is not None and not tx.visible(ObjectType.SCHEDULED_JOB, actor, Action.VIEW, [scheduled.id]):
        return None, None
    return job, scheduled


def _is_decision(schema: object) -> bool:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    shown = properties.get("request") if isinstance(properties, Mapping) else None
    version = shown.get("default") if isinstance(shown, Mapping) else None
    if not isinstance(version, str):
        return False
    return any(is_same_form(schema, decision_form(version, past_due=past_due)) for past_due in (False, True))


def _job_of_form(actor: Actor, schema: object, tx: Transaction) -> Job:
    for job in tx.all(Job, order="name"):
        if job.parameter_schema is not None and is_same_form(schema, job.parameter_schema):
            facts = tx.attributes(ObjectType.JOB, job.id)
            if check_object(actor, Action.RUN, ObjectType.JOB, facts) == Allowed():
                return job
    raise Forbidden(NOT_OUR_FORM)


def _request(job: Job, scheduled: ScheduledJob | None, body: Mapping[str, Any], now: datetime) -> RunRequest:
    sent = body.get("parameters")
    data = {} if sent is None else sent
    if scheduled is not None and isinstance(data, Mapping):
        # But no files: who may have those is asked elsewhere.
        data = {**scheduled.inputs, **data}
    queue = body.get("work_queue_name")
    if queue is None and scheduled is not None:
        queue = scheduled.queue
    start = _start(body.get("state"), now)
    if start is None:
        return RunRequest(data=data, job_queue=queue)
    schedule = {"interval": "future", "name": default_name(job, now), "start_time": start}
    return RunRequest(data=data, job_queue=queue, schedule=schedule)


def _start(state: Any, now: datetime) -> str | None:
    """Return the requested start time, if it is later than now."""
    details = state.get("state_details") if isinstance(state, Mapping) else None
    at = details.get("scheduled_time") if isinstance(details, Mapping) else None
    if not isinstance(at, str):
        return None
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        return at  # the request refuses it with a sentence, like every start time that cannot be read
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return time.isoformat() if time > now else None
