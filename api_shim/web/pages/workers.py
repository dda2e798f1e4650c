"""``/signoff/administration/workers``: the accounts of workers, for superusers.

* The key of a token is shown once, with what a worker needs in its environment to sign in with it.
* Tokens are revoked where those of every user are (``users``).
"""

from __future__ import annotations

from uuid import UUID

from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.web.pages.administration import refused, section_router, show, told
from api_shim.web.pages.sections import WORKERS
from api_shim.web.pages.visit import Here, Posted, Visit, text_of
from approval_gate.errors import GateError
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = section_router(WORKERS)
LABELS = {"name": "Name", "pool": "Work pool"}


@router.get("")
async def workers(here: Here) -> Response:
    return await _list(here)


@router.post("")
async def add(here: Here, form: Posted) -> Response:
    name = text_of(form, "name").strip()
    pool = text_of(form, "pool").strip() or here.use.engine.pool
    try:
        added = await here.use.worker_accounts.add(here.actor, name, pool)
    except GateError as error:
        return await _list(here, error, form)
    return await here.show(
        "new_worker.html",
        token=added.thing,
        key=added.key,
        whose=name,
        pool=pool,
        origin=here.request.base_url,
        back=WORKERS.address,
        title="Workers",
    )


@router.get("/{worker_id}/end")
async def ask_to_end(worker_id: UUID, here: Here) -> Response:
    return await _end(here, worker_id)


@router.post("/{worker_id}/end")
async def end(worker_id: UUID, here: Here, _form: Posted) -> Response:
    try:
        user = await here.use.worker_accounts.end(here.actor, worker_id)
    except GateError as error:
        return await _end(here, worker_id, error)
    return await here.go(WORKERS.address, f"{user.username} is no longer a worker account.")


async def _list(here: Visit, error: GateError | None = None, form: FormData | None = None) -> Response:
    return await show(
        here,
        "workers.html",
        WORKERS,
        error,
        workers=await here.use.worker_accounts.all(here.actor),
        pool=here.use.engine.pool,
        typed={name: text_of(form, name) for name in LABELS} if form is not None else {},
        faults=refused(error, LABELS, "add", ("add",))["add"],
        labels=LABELS,
    )


async def _end(here: Visit, worker_id: UUID, error: GateError | None = None) -> Response:
    every = await here.use.worker_accounts.all(here.actor)
    worker = next((each for each in every if each.user.id == worker_id), None)
    if worker is None:
        raise missing(ObjectType.USER)
    return await show(here, "end_worker.html", WORKERS, error, worker=worker, refusal=told(error))
