"""``/signoff/jobs/<id>/run``: run a Job now, or schedule it.

* Everyone who may view the Job sees the form. For those who cannot run it the button is disabled, with the reason.
* A link may fill the form in: ``?variable=value``, as often as it has values. It sends nothing.
* ``?from=<id>`` fills it in with what is kept of an earlier run, and says what is not; ``?scheduled-job=<id>`` with all
  that a scheduled job has, for another one like it.
* A refused request returns the form as it was typed, with each fault beside its field.
* A file has to be chosen again then: browsers put none into a form.
* The preview of a crontab is a POST, because the form may hold secrets, which do not belong in a URL.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.model import Job
from api_shim.domain.recurrence import Interval, time_zones
from api_shim.parsing.fields import read_id
from api_shim.services.results import Again
from api_shim.services.schedules import Accepted, RunOptions
from api_shim.web.errors import status_of
from api_shim.web.pages import edit_form, labels
from api_shim.web.pages.button_groups import buttons_on
from api_shim.web.pages.crontab import Preview, preview
from api_shim.web.pages.object_fields import offered
from api_shim.web.pages.run_form import (
    INTERVALS,
    MISFIRES,
    NEEDED,
    OBJECTS,
    Faults,
    Field,
    Typed,
    as_typed,
    faults_in,
    fields_of,
    files_in,
    filled_in,
    first,
    read_request,
    typed_at_first,
    typed_in,
)
from api_shim.web.pages.visit import Here, PostedWithFiles, Visit
from approval_gate import policy
from approval_gate.errors import GateError, Invalid, NotFound
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/jobs/{job_id}")
LABELS = {
    "interval": "Schedule type",
    "name": "Name",
    "start_time": "Start",
    "time_zone": "Time zone",
    "crontab": "Crontab",
    "misfire": "Missed runs",
    "queue": "Queue",
}
"""The labels of the fields that are not variables."""
OWN = tuple(name for name in LABELS if name != "queue")
COPIED = "scheduled-job"
"""The parameter of a link that names the scheduled job to copy; no variable can be called so."""
UNSERVED = "No worker is running on the queue {queue}. Requests for it are refused until one starts."
SILENT = "Prefect is not responding, so it is not known whether a worker is running. Try again later."


@router.get("/run")
async def form(job_id: UUID, here: Here) -> Response:
    offer = await here.use.run_preview.offer(here.actor, job_id)
    fields = fields_of(offer.job)
    query = here.request.query_params
    asked = {name: query.getlist(name) for name in query}
    again, copied = await _again(here, job_id), await _copied(here, offer.job, fields, query.get(COPIED, ""))
    kept = copied if again is None else _kept(again, fields)
    typed = {**typed_at_first(fields, here.zone), **kept, **filled_in(fields, asked)}
    return await _show(here, offer, fields, typed, {}, again=again)


async def _copied(here: Visit, job: Job, fields: list[Field], named: str) -> Typed:
    """Return what the form has from the scheduled job that a link names; nothing if it names none.

    Raises:
        NotFound: there is none of this Job, or none that the visitor may view.
    """
    if not named:
        return {}
    if (scheduled_id := read_id(named)) is None:
        raise policy.missing(ObjectType.SCHEDULED_JOB)
    found = await here.use.schedule_views.detail(here.actor, scheduled_id)
    if found.case.job.id != job.id:
        raise policy.missing(ObjectType.SCHEDULED_JOB)
    told = [] if found.case.row.hides_inputs(job) else [field for field in fields if field.kind != "file"]
    return edit_form.copied(found.case.row, told, found.prospect.due, here.now)


@router.post("/preview")
async def previewed(job_id: UUID, here: Here, sent: PostedWithFiles) -> Response:
    offer, typed = await here.use.run_preview.offer(here.actor, job_id), typed_in(sent)
    zone = first(typed, "time_zone") or here.zone
    shown = preview(first(typed, "crontab"), zone, first(typed, "start_time"), here.use.clock())
    return await _show(here, offer, fields_of(offer.job), typed, {}, shown=shown)


@router.post("/run")
async def run(job_id: UUID, here: Here, sent: PostedWithFiles) -> Response:
    offer, typed = await here.use.run_preview.offer(here.actor, job_id), typed_in(sent)
    fields = fields_of(offer.job)
    request = read_request(offer.job, fields, typed, files_in(sent))
    try:
        accepted = await here.use.schedules.request(here.actor, job_id, request)
    except NotFound:
        raise
    except GateError as refusal:
        invalid = isinstance(refusal, Invalid) and not offer.why_not
        every = [fault.detail for fault in await here.use.run_preview.faults(offer.job, request)] if invalid else []
        faults = faults_in(every or [refusal.detail], _present(offer, fields))
        return await _show(here, offer, fields, typed, faults, status=status_of(refusal))
    return await go_to(here, offer.job.name, accepted)


async def _again(here: Visit, job_id: UUID) -> Again | None:
    """Return what is kept of the run that the address names; None if it names none."""
    # No variable can be called so: it is a keyword of Python.
    named = here.request.query_params.get("from", "")
    if not named:
        return None
    if (result_id := read_id(named)) is None:
        raise NotFound("This page does not exist.")
    return await here.use.results.again(here.actor, result_id, job_id)


def _kept(again: Again, fields: Iterable[Field]) -> Typed:
    """Return the values of the form that an earlier run had, as far as its Job still has them."""
    queue = again.result.queue
    return {
        **as_typed([field for field in fields if field.variable in again.inputs], again.inputs),
        **({"queue": [queue]} if queue in again.job.queues else {}),
    }


async def go_to(here: Visit, name: str, accepted: Accepted) -> Response:
    """Redirect to what a request to run the Job of that name has become."""
    result, scheduled = accepted.job_result, accepted.scheduled_job
    if result is not None:
        return await here.go(f"/signoff/results/{result.id}", f"{name} has been started.")
    if scheduled is None:
        raise TypeError("An accepted request has either a job result or a scheduled job.")
    called = labels.title(scheduled.name)
    waits = f"{called} waits for another user's approval."
    notice = waits if scheduled.awaits_decision else f"{called} is scheduled."
    return await here.go(f"/signoff/scheduled-jobs/{scheduled.id}", notice)


def _present(offer: RunOptions, fields: list[Field]) -> set[str]:
    """Return the ids of the form fields on the page, beside which a fault can be shown."""
    queue = {"queue"} if len(offer.job.queues) > 1 else set()
    timed = {"interval"} if offer.why_only_now else set(OWN)
    return {field.id for field in fields} | timed | queue


async def _show(
    here: Visit,
    offer: RunOptions,
    fields: list[Field],
    typed: Typed,
    faults: Faults,
    *,
    shown: Preview | None = None,
    again: Again | None = None,
    status: int = 200,
) -> Response:
    intervals = [Interval.IMMEDIATELY] if offer.why_only_now else list(INTERVALS)
    if first(typed, "interval") not in intervals:
        # As of a copy of what was scheduled before its Job was marked as sensitive.
        typed = {**typed, "interval": [str(intervals[0])]}
    if not offer.why_not:
        fields = await offered(here.use.schedules, offer.job, fields, typed)
    return await here.show(
        "run.html",
        status,
        offer=offer,
        job=offer.job,
        fields=fields,
        searches=not offer.why_not and any(field.kind in OBJECTS for field in fields),
        has_files=any(field.kind == "file" for field in fields),
        typed=typed,
        value=partial(first, typed),
        faults=faults,
        labels={**LABELS, **{field.id: field.label for field in fields}},
        preview=shown,
        again=again,
        intervals=[(interval, *INTERVALS[interval]) for interval in intervals],
        needing={name: " ".join(_needing(offer, name)) for name in OWN},
        misfires=MISFIRES,
        zones=time_zones() if len(intervals) > 1 else [],
        warnings=await _warnings(here, offer),
        **await buttons_on(here, ObjectType.JOB, offer.job.id),
    )


def _needing(offer: RunOptions, name: str) -> list[str]:
    """Return the schedule types that need this field."""
    named = [Interval.IMMEDIATELY.value] if name == "name" and offer.job.approval_required else []
    return [*named, *(interval for interval, needed in NEEDED.items() if name in needed)]


async def _warnings(here: Visit, offer: RunOptions) -> list[str]:
    """Return warnings about queues without workers."""
    counts = await here.use.queries.worker_counts()
    if counts is None:
        return [SILENT]
    return [UNSERVED.format(queue=queue) for queue in offer.job.queues if not counts.get(queue)]
