"""``/signoff/scheduled-jobs/<id>``: a scheduled job, its history, and the actions on it.

* Only actions that the visitor may take are offered. If one is refused all the same, the same page says why.
* An action applies to the version that the page showed; if that has changed since, the page says what changed last.
* Visitors who may not view job results see a sentence in place of the run history.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.files import file_variables
from api_shim.domain.model import JobResult, ScheduledJob
from api_shim.domain.recurrence import time_zones
from api_shim.domain.status_words import ScheduleStatus
from api_shim.services.schedule_changes import OWNERLESS
from api_shim.services.schedule_views import Detail
from api_shim.store import Listing
from api_shim.web.errors import status_of
from api_shim.web.pages import edit_form, labels
from api_shim.web.pages.button_groups import buttons_on
from api_shim.web.pages.lists import tested
from api_shim.web.pages.object_fields import offered
from api_shim.web.pages.run import LABELS
from api_shim.web.pages.run_form import (
    MISFIRES,
    OBJECTS,
    Faults,
    Field,
    Typed,
    faults_in,
    fields_of,
    first,
    typed_in,
)
from api_shim.web.pages.visit import Here, Posted, Visit, text_of, version_in
from approval_gate import policy
from approval_gate.constraints import Op
from approval_gate.errors import Forbidden, GateError, NotFound, Outdated, sentences
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, ObjectType

router = APIRouter(prefix="/signoff/scheduled-jobs/{scheduled_id}")
FIRINGS, RUNS = 8, 15
NO_RESULTS = "You do not have permission to view job results."
VERDICTS = {
    "approve": "Approve",
    "deny": "Deny",
    "dry_run": "Start a dry run",
    "run": "Run the Job",
    "assume_ownership": "Assume ownership",
}


@router.get("")
async def detail(scheduled_id: UUID, here: Here) -> Response:
    return await _page(here, scheduled_id)


@router.post("/enabled")
async def set_enabled(scheduled_id: UUID, here: Here, form: Posted) -> Response:
    enabled = text_of(form, "enabled") == "yes"
    body = {"enabled": enabled}
    change = here.use.schedule_changes.change(here.actor, {"id": scheduled_id}, body, version_in(form))
    return await _tried(here, scheduled_id, change, "It is enabled." if enabled else "It is disabled.")


@router.post("/assume-ownership")
async def assume_ownership(scheduled_id: UUID, here: Here, form: Posted) -> Response:
    assume = here.use.ownership.assume(here.actor, {"id": scheduled_id}, version_in(form))
    return await _tried(here, scheduled_id, assume, "You are now the owner. It runs as you.")


@router.post("/transfer")
async def transfer(scheduled_id: UUID, here: Here, form: Posted) -> Response:
    name = text_of(form, "user").replace("\0", "").strip()
    hand_over = here.use.ownership.transfer(here.actor, {"id": scheduled_id}, {"username": name}, version_in(form))
    return await _tried(here, scheduled_id, hand_over, f"{name} is now the owner.", receiver=name)


@router.get("/edit")
async def show_edit_form(scheduled_id: UUID, here: Here) -> Response:
    found = await here.use.schedule_views.detail(here.actor, scheduled_id)
    policy.enforce(found.may["change"], ObjectType.SCHEDULED_JOB)
    fields = _fields(found)
    return await _form(here, found, fields, edit_form.shown(found.case.row, fields), {}, found.case.version)


@router.post("/edit")
async def edit(scheduled_id: UUID, here: Here, sent: Posted) -> Response:
    found = await here.use.schedule_views.detail(here.actor, scheduled_id)
    row, fields, typed = found.case.row, _fields(found), typed_in(sent)
    body = edit_form.changed(typed, row, found.case.job, fields)
    address = f"/signoff/scheduled-jobs/{scheduled_id}"
    if not body:
        return await here.go(address, "There were no changes to save.")
    try:
        changed = await here.use.schedule_changes.change(here.actor, {"id": scheduled_id}, body, version_in(sent))
    except NotFound:
        raise
    except Outdated as error:
        # What was typed stays; who saves it again has been told what they write over.
        found = await here.use.schedule_views.detail(here.actor, scheduled_id)
        faults = faults_in([[*_refusal(here, error, found)]], _present(row, fields))
        return await _form(here, found, fields, typed, faults, found.case.version, status_of(error))
    except GateError as error:
        faults = faults_in([error.detail], _present(row, fields))
        return await _form(here, found, fields, typed, faults, version_in(sent), status_of(error))
    again = changed.awaits_decision and row.approval is not ApprovalState.PENDING
    called = labels.title(changed.name)
    return await here.go(address, f"{called} was changed{' and waits for approval again' if again else ''}.")


async def _tried(here: Visit, scheduled_id: UUID, act: Awaitable[Any], notice: str, *, receiver: str = "") -> Response:
    """Perform an action and redirect to the page, or show the page with the reason why it was refused."""
    try:
        await act
    except NotFound:
        raise
    except GateError as error:
        return await _page(here, scheduled_id, error, receiver=receiver)
    return await here.go(f"/signoff/scheduled-jobs/{scheduled_id}", notice)


def _refusal(here: Visit, error: GateError, found: Detail) -> list[str]:
    """Return why an action was refused, and if something else was shown, what has changed since."""
    with here.reading():
        since = labels.last_change(found.events) if isinstance(error, Outdated) else []
    return [*sentences(error.detail), *since]


async def _page(here: Visit, scheduled_id: UUID, error: GateError | None = None, *, receiver: str = "") -> Response:
    found = await here.use.schedule_views.detail(here.actor, scheduled_id)
    by = {"id": scheduled_id}
    return await here.show(
        "scheduled_job.html",
        200 if error is None else status_of(error),
        found=found,
        misfires=MISFIRES,
        row=found.case.row,
        job=found.case.job,
        version=found.case.version,
        faults=[] if error is None else _refusal(here, error, found),
        receiver=receiver,
        troubles=_troubles(found),
        explained=await here.use.explainer.explain(here.actor, by, None),
        upcoming=await here.use.explainer.upcoming(here.actor, by, FIRINGS),
        runs=await _runs(here, scheduled_id),
        no_results=NO_RESULTS,
        why_no_edit=_why_no_edit(found),
        verdicts=VERDICTS,
        why=lambda verdict: policy.why_not(verdict, hidden=policy.NO_PERMISSION),
        inputs=_inputs(found),
        ownerless=OWNERLESS if found.case.row.owner_id is None else "",
        Standing=ScheduleStatus,
        **await buttons_on(here, ObjectType.SCHEDULED_JOB, scheduled_id),
    )


async def _runs(here: Visit, scheduled_id: UUID) -> list[JobResult] | None:
    """Return the newest results that the visitor may view; None if they may not view job results at all."""
    of_it = tested("scheduled_job", Op.IN, (scheduled_id,))
    try:
        page = await here.use.queries.page(here.actor, ObjectType.JOB_RESULT, Listing(where=(of_it,), limit=RUNS))
    except Forbidden:
        return None
    return page.rows


def _troubles(found: Detail) -> list[str]:
    """Return further reasons why it cannot run, besides the one that its state shows."""
    if found.prospect.standing not in {ScheduleStatus.WAITS, ScheduleStatus.DISABLED, ScheduleStatus.EXPIRED}:
        return []
    ownerless = OWNERLESS if found.case.row.owner_id is None else ""
    runnable = policy.why_not(policy.runnable(found.case.request.runnable), hidden="")
    return [trouble for trouble in (ownerless, runnable, found.unfit) if trouble]


def _why_no_edit(found: Detail) -> str:
    return policy.why_not(found.may["change"], hidden=policy.reason(Action.CHANGE, ObjectType.SCHEDULED_JOB))


def _inputs(found: Detail) -> list[tuple[str, Any]]:
    """Return the labels and values of the inputs; none if the Job may have sensitive ones."""
    job, row = found.case.job, found.case.row
    shown = [] if row.hides_inputs(job) else fields_of(job)
    return [(field.label, edit_form.told(field, row.inputs.get(field.variable))) for field in shown]


def _fields(found: Detail) -> list[Field]:
    """Return the fields of the inputs that can be edited; none if the visitor may not view or change them."""
    job = found.case.job
    hidden = found.case.row.hides_inputs(job) or not found.allows("change_inputs")
    return [] if hidden else [field for field in fields_of(job) if field.kind != "file"]


def _present(row: ScheduledJob, fields: list[Field]) -> set[str]:
    """Return the ids of the form fields on the page, beside which a fault can be shown."""
    without = set() if edit_form.intervals_of(row) else {"crontab", "interval"}
    return {field.id for field in fields} | {*edit_form.OWN} - without


async def _form(
    here: Visit, found: Detail, fields: list[Field], typed: Typed, faults: Faults, version: str, status: int = 200
) -> Response:
    row, job = found.case.row, found.case.job
    fields = await offered(here.use.schedules, job, fields, typed)
    return await here.show(
        "edit_scheduled_job.html",
        status,
        row=row,
        job=job,
        version=version,
        fields=fields,
        searches=any(field.kind in OBJECTS for field in fields),
        typed=typed,
        value=partial(first, typed),
        faults=faults,
        labels={**LABELS, **{field.id: field.label for field in fields}},
        why_no_inputs=policy.why_not(found.may["change_inputs"], hidden=policy.NO_PERMISSION),
        intervals=edit_form.intervals_of(row),
        asks_again=job.approval_required or row.approval is not ApprovalState.NOT_REQUIRED,
        zones=time_zones(),
        misfires=MISFIRES,
        inputs=_inputs(found),
        has_files=bool(file_variables(job)),
    )
