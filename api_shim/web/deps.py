"""What the routes are given: who calls, the use cases, and the shapes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from api_shim.domain.ports import Engine
from api_shim.services.accounts import Accounts
from api_shim.services.admission import Admissions
from api_shim.services.approvals import Approvals
from api_shim.services.jobs import Catalogue
from api_shim.services.ownership import Ownership
from api_shim.services.prefect_ui import PrefectRequests
from api_shim.services.queries import Viewing
from api_shim.services.results import Results
from api_shim.services.schedule_changes import Edits
from api_shim.services.schedule_views import Explaining, Outlook
from api_shim.services.schedules import Offers, Schedules
from api_shim.store import Store
from api_shim.web.rest.protocol import caller, reference
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
