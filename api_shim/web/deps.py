"""The dependencies of the routes: the caller, the use cases, and the reference in the path.

* A run calls with its own credential those routes alone whose caller is a ``Requester``: as its user, cut down to that
  (``services.run_actors``).

They do not wait for anything, and are async all the same: FastAPI would change threads for each one that is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from api_shim.domain.ports import Orchestrator
from api_shim.services.account_views import AccountViews
from api_shim.services.accounts import Accounts
from api_shim.services.admission import Admissions
from api_shim.services.approval_queue import ApprovalQueue
from api_shim.services.approvals import Approvals
from api_shim.services.audit_reading import AuditReading
from api_shim.services.automations import AutomationAccounts
from api_shim.services.gauges import Gauges
from api_shim.services.input_files import InputFiles
from api_shim.services.job_buttons import JobButtons
from api_shim.services.job_queues import JobQueues
from api_shim.services.job_tools import JobTools
from api_shim.services.job_views import JobViews
from api_shim.services.jobs import JobCatalogue
from api_shim.services.notifications import Notifications
from api_shim.services.ownership import Ownership
from api_shim.services.prefect_ui import PrefectUI
from api_shim.services.preferences import Preferences
from api_shim.services.queries import Queries
from api_shim.services.queue_watch import QueueWatch
from api_shim.services.readiness import Readiness
from api_shim.services.refusals import Refusals
from api_shim.services.request_checks import RequestChecks
from api_shim.services.result_files import ResultFiles
from api_shim.services.result_views import ResultViews
from api_shim.services.results import Results
from api_shim.services.run_actors import RunActors
from api_shim.services.run_credentials import RunCaller, RunCredentials
from api_shim.services.schedule_changes import ScheduleChanges
from api_shim.services.schedule_views import Explainer, ScheduleViews
from api_shim.services.schedules import RunPreview, Schedules
from api_shim.services.suspensions import Suspensions
from api_shim.services.system_state import SystemState
from api_shim.services.triggers import Triggers
from api_shim.services.worker_accounts import WorkerAccounts
from api_shim.store import Store
from api_shim.web.prefect_reads import READING_METHODS
from api_shim.web.rest.protocol import caller, reference, speaker
from approval_gate.model import Actor


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The use cases that routes call."""

    store: Store
    engine: Orchestrator
    clock: Callable[[], datetime]
    accounts: Accounts
    admissions: Admissions
    approvals: Approvals
    approval_queue: ApprovalQueue
    queue_watch: QueueWatch
    audit: AuditReading
    automation_accounts: AutomationAccounts
    catalogue: JobCatalogue
    job_queues: JobQueues
    triggers: Triggers
    schedule_changes: ScheduleChanges
    explainer: Explainer
    run_preview: RunPreview
    request_checks: RequestChecks
    job_tools: JobTools
    schedule_views: ScheduleViews
    notifications: Notifications
    ownership: Ownership
    prefect_ui: PrefectUI
    results: Results
    suspensions: Suspensions
    result_files: ResultFiles
    result_views: ResultViews
    run_actors: RunActors
    run_credentials: RunCredentials
    schedules: Schedules
    gauges: Gauges
    queries: Queries
    readiness: Readiness
    refusals: Refusals
    system: SystemState

    @property
    def input_files(self) -> InputFiles:
        return InputFiles(self.store, self.clock)

    @property
    def preferences(self) -> Preferences:
        return Preferences(self.store)

    @property
    def job_views(self) -> JobViews:
        return JobViews(self.store, self.clock)

    @property
    def account_views(self) -> AccountViews:
        return AccountViews(self.store)

    @property
    def worker_accounts(self) -> WorkerAccounts:
        return WorkerAccounts(self.store, self.accounts, self.clock)

    @property
    def job_buttons(self) -> JobButtons:
        return JobButtons(self.store, self.schedules)


async def services(request: Request) -> Services:
    """Return the use cases of this application."""
    use: Services = request.app.state.services
    return use


async def requester(request: Request, use: Annotated[Services, Depends(services)]) -> Actor:
    """Return the account that calls, or the user of the run that does.

    Raises:
        NotAcceptable: the requested version or media type is not available.
        Unauthenticated: the credentials are missing or invalid.
        Forbidden: the run may not act as its user now.
        TooManyAttempts: its user has asked too much.
    """
    who = await speaker(request)
    if isinstance(who, RunCaller):
        return await use.run_actors.acting(who, writes=request.method not in READING_METHODS)
    return who


Ref = Annotated[str, Depends(reference)]
Caller = Annotated[Actor, Depends(caller)]
Requester = Annotated[Actor, Depends(requester)]
Speaker = Annotated[Actor | RunCaller, Depends(speaker)]
Use = Annotated[Services, Depends(services)]
