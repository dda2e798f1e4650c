"""What the routes are given: who calls, the use cases, and the shapes of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from api_shim.accounts import Accounts
from api_shim.admissions import Admissions
from api_shim.approvals import Approvals
from api_shim.conventions import caller, reference
from api_shim.edits import Edits
from api_shim.explaining import Explaining
from api_shim.jobs import Catalogue
from api_shim.model import Job
from api_shim.offers import Offers
from api_shim.outlook import Outlook
from api_shim.ownership import Ownership
from api_shim.ports import Engine
from api_shim.prefect_requests import PrefectRequests
from api_shim.results import Results
from api_shim.schedules import Schedules
from api_shim.store import Store
from api_shim.viewing import Viewing
from api_shim.wire import Wire
from approval_gate.model import Actor


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The use cases, wired."""

    store: Store
    engine: Engine
    clock: Callable[[], datetime]
    accounts: Accounts
    admissions: Admissions
    approvals: Approvals
    catalogue: Catalogue
    edits: Edits
    explaining: Explaining
    offers: Offers
    outlook: Outlook
    ownership: Ownership
    prefect_requests: PrefectRequests
    results: Results
    schedules: Schedules
    viewing: Viewing


def services(request: Request) -> Services:
    """Return the use cases of this application."""
    wired: Services = request.app.state.services
    return wired


Ref = Annotated[str, Depends(reference)]
Caller = Annotated[Actor, Depends(caller)]
Use = Annotated[Services, Depends(services)]


async def wire(request: Request, use: Services, job_ids: Iterable[UUID] = ()) -> Wire:
    """Return the maker of shapes for this request.

    Args:
        request: says under which address the caller reached us.
        use: the use cases.
        job_ids: the Jobs of the scheduled jobs that it is to show.
    """
    return await wire_at(root_of(request), use, job_ids)


async def wire_at(root: str, use: Services, job_ids: Iterable[UUID] = ()) -> Wire:
    """Return the maker of shapes with addresses below a root, which ends without a slash."""
    wanted = set(job_ids)
    jobs = await use.store.read(lambda tx: tx.all(Job, id=wanted)) if wanted else []
    return Wire(root, {job.id: job for job in jobs})


def root_of(request: Request) -> str:
    """Return the address of the origin as the caller reached it, without a slash at its end."""
    return str(request.base_url).rstrip("/")
