"""The composition root: creates every object and connects them; arguments decide between real and fake ones.

* The start order is: the store's tables and sensitive inputs, the Jobs, Prefect's services and the check that they
  work, a first reconciliation, then the server accepts requests, and last a worker starts.
* A process has both parts of it or one of them. The part that answers lets nothing follow by itself: its commits tell
  the processes that have the other part, in which everything is that repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Flag, auto
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import anyio
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from api_shim.background import BackgroundLoop
from api_shim.delivery.sender import Delivery
from api_shim.domain.identity_providers import IdentityProvider
from api_shim.domain.notifications import Sender
from api_shim.domain.ports import Orchestrator
from api_shim.reconcile.load import Load
from api_shim.reconcile.other_servers import OtherServers
from api_shim.reconcile.pools import pools_of
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.run_status import RunStatus
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import NOW, Kind, Wake, WorkQueue
from api_shim.services.accounts import Accounts
from api_shim.services.admission import Admissions
from api_shim.services.agents import check_settings
from api_shim.services.approval_queue import ApprovalQueue
from api_shim.services.approvals import Approvals
from api_shim.services.audit_reading import AuditReading
from api_shim.services.automations import AutomationAccounts
from api_shim.services.gauges import Gauges
from api_shim.services.job_queues import JobQueues
from api_shim.services.job_tools import JobTools
from api_shim.services.jobs import JobCatalogue, JobCode
from api_shim.services.notification_loop import NotificationLoop
from api_shim.services.notifications import Notifications, Notifying
from api_shim.services.ownership import Ownership
from api_shim.services.prefect_ui import PrefectUI
from api_shim.services.provider_sign_in import ProviderSignIn
from api_shim.services.queries import Queries
from api_shim.services.queue_watch import QueueWatch
from api_shim.services.readiness import Readiness
from api_shim.services.refusals import Refusals
from api_shim.services.request_checks import RequestChecks
from api_shim.services.request_rates import RequestRates
from api_shim.services.result_files import ResultFiles
from api_shim.services.result_views import ResultViews
from api_shim.services.results import Results
from api_shim.services.retention import RetentionLoop
from api_shim.services.run_actors import RunActors
from api_shim.services.run_credentials import RunCredentials
from api_shim.services.running_servers import ThisServer
from api_shim.services.runs import Runs
from api_shim.services.schedule_changes import ScheduleChanges
from api_shim.services.schedule_views import Explainer, ScheduleViews
from api_shim.services.schedules import RunPreview, Schedules
from api_shim.services.sensitive_inputs import prepare
from api_shim.services.session_renewal import SessionRenewal
from api_shim.services.sessions import Sessions
from api_shim.services.suspensions import Suspensions
from api_shim.services.system_state import SystemState
from api_shim.services.token_access import TokenAccess
from api_shim.services.triggers import Triggers
from api_shim.settings import LIMITS, SIGN_IN_RULES, Limits, SignInRules
from api_shim.store import Store
from api_shim.web.deps import Services
from api_shim.web.load import Measured
from api_shim.web.pages import create_pages
from api_shim.web.rest import operation
from api_shim.web.rest.protocol import install_errors
from api_shim.web.rest.routers import ROUTERS
from flows.definition import JobDefinition

logger = logging.getLogger("signoff")

FIRST_PASS = 10.0
"""Seconds that the door stays shut for what Prefect has yet to follow; with more than that it opens all the same."""


WITHOUT_MAIL = Notifying(sender=Delivery(), origin="")
"""How people are told where nobody has said it."""


class Part(Flag):
    """What of the application a process has."""

    WEB = auto()
    """It answers people, programs, workers and runs."""
    SERVICES = auto()
    """It lets Prefect follow, and does what is due without anybody asking."""


ALL = Part.WEB | Part.SERVICES


class Loop(Protocol):
    """What runs until it is cancelled."""

    async def run(self) -> object:
        """Run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """The connected objects of one server."""

    parts: Part
    store: Store
    sessions: Sessions
    tokens: TokenAccess
    rates: RequestRates
    services: Services
    load: Load
    queue: WorkQueue
    served: ServedQueues
    others: OtherServers
    loop: BackgroundLoop
    retention: RetentionLoop | None
    notifying: NotificationLoop
    pages: ASGIApp

    @property
    def loops(self) -> tuple[Loop, ...]:
        """What runs for as long as the server does."""
        of_web = (self.services.catalogue, self.services.queue_watch) if Part.WEB in self.parts else ()
        of_web_alone = (self.services.readiness.following,) if self.parts == Part.WEB else ()
        of_services = (self.queue, self.loop, self.services.run_credentials, self.notifying)
        by_setting = (self.retention,) if self.retention is not None else ()
        repeated = *of_web, *of_web_alone, *(of_services if Part.SERVICES in self.parts else ()), *by_setting
        # Whoever asks services for their metrics signs in too.
        return self.others, self.served, self.tokens, self.services.refusals, *repeated


def build(
    store: Store,
    engine: Orchestrator,
    *,
    clock: Callable[[], datetime],
    zone: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    wake_workers: Callable[[], None] = lambda: None,
    parts: Part = ALL,
    server: ThisServer | None = None,
    free_disk: Callable[[], int] | None = None,
    limits: Limits = LIMITS,
    retention: timedelta | None = None,
    sending: Notifying = WITHOUT_MAIL,
    sign_in: SignInRules = SIGN_IN_RULES,
    provider: IdentityProvider | None = None,
) -> Application:
    """Create the use cases for a store and an engine.

    Args:
        store: the store.
        engine: Prefect, real or fake.
        clock: returns the current time, aware.
        zone: IANA name of the server's time zone.
        sleep: waits for so many seconds, where somebody is slowed.
        wake_workers: wakes the workers that this server can wake, when another server has set a run to start.
        parts: what of the application this process has.
        server: what this server tells the others of itself; None for the only one.
        free_disk: returns how many bytes are left where data is kept.
        limits: how much one person, address or request may ask of this server.
        retention: how long what has ended is kept; None for ever.
        sending: by what people are told of requests and runs.
        sign_in: how people sign in to the pages, and for how long.
        provider: where they can sign in besides; None for nowhere.

    Raises:
        Invalid: a setting asks of Jobs what they do not have.
    """
    check_settings(limits)
    projection = Reconciler(store, engine, clock, limits.catch_up_limit)
    queue = WorkQueue(projection.follow, clock, load := Load())
    served = ServedQueues(engine, clock, pools=partial(store.read, partial(pools_of, own=engine.pool)))
    wake = queue.wake if (follows := Part.SERVICES in parts) else leave_to_others
    status = RunStatus(store, engine, queue, clock)
    loop = BackgroundLoop(store, engine, projection, queue, served, status, clock, server)
    readiness, rates = Readiness(store, served, loop.ticked, free_disk, clock), RequestRates(limits, clock)
    services = _use_cases(store, engine, projection, wake, served, readiness, rates, clock, zone, server, sending)
    return Application(
        parts=parts,
        store=store,
        rates=rates,
        services=services,
        load=load,
        queue=queue,
        served=served,
        others=OtherServers(store, queue.wake if follows else None, wake_workers),
        loop=loop,
        **_in_time(store, clock, retention if follows else None, sending),
        **_for_people(services, rates, clock, sleep, sign_in, provider, sending.sender),
    )


def _in_time(
    store: Store, clock: Callable[[], datetime], retention: timedelta | None, sending: Notifying
) -> dict[str, Any]:
    """Return the loops that remove what is over, if it is not kept for ever, and tell people what has happened."""
    removing = RetentionLoop(store, retention, clock) if retention is not None else None
    return {"retention": removing, "notifying": NotificationLoop(store, sending, clock)}


def _for_people(
    services: Services,
    rates: RequestRates,
    clock: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
    rules: SignInRules,
    provider: IdentityProvider | None,
    sender: Sender,
) -> dict[str, Any]:
    """Return what lets people in, and the pages."""
    tokens = TokenAccess(services.store, clock, sleep)
    renewal = SessionRenewal(services.store, provider, rules, clock)
    sessions = Sessions(services.store, clock, tokens.note, sleep, rules, renewal)
    at_provider = ProviderSignIn(services.store, provider, rules, sender, clock)
    pages = create_pages(services, sessions, at_provider, rates, clock)
    return {"tokens": tokens, "sessions": sessions, "pages": pages}


def leave_to_others(kind: Kind, thing_id: UUID, due: datetime = NOW) -> None:
    """Wake nobody: the commit has told the processes that let Prefect follow. See ``Wake``."""


def _use_cases(
    store: Store,
    engine: Orchestrator,
    projection: Reconciler,
    wake: Wake,
    served: ServedQueues,
    readiness: Readiness,
    rates: RequestRates,
    clock: Callable[[], datetime],
    zone: str,
    server: ThisServer | None,
    sending: Notifying,
) -> Services:
    runs, code, limits = Runs(store, served, wake), JobCode(zone, engine.variable), rates.limits
    watching = (refusals := Refusals(store, clock)).watching
    suspensions = watching(Suspensions(store, engine, clock))
    deciding = Approvals(store=store, runs=runs, projection=projection, wake=wake, clock=clock, limits=limits)
    approvals = watching(deciding)
    requests = Schedules(store=store, runs=runs, wake=wake, code=code, clock=clock, zone=zone, limits=limits)
    schedules = watching(requests)
    return Services(
        **_views(store, engine, schedules, clock),
        **{name: watching(each) for name, each in _administered(store, engine, clock, zone, server).items()},
        admissions=Admissions(store, limits.catch_up_limit),
        approvals=approvals,
        automation_accounts=watching(AutomationAccounts(store, engine, requests, refusals.automation, clock)),
        schedule_changes=watching(ScheduleChanges(store=store, runs=runs, wake=wake, code=code, clock=clock)),
        notifications=Notifications(store, sending.sender, clock),
        ownership=watching(Ownership(store=store, wake=wake, clock=clock)),
        prefect_ui=PrefectUI(store, engine, approvals, schedules, projection, suspensions, clock),
        run_actors=RunActors(store, rates),
        run_credentials=RunCredentials(store, engine, refusals, clock),
        suspensions=suspensions,
        results=watching(Results(store=store, schedules=schedules, wake=wake, clock=clock)),
        result_files=ResultFiles(store, clock, limits),
        gauges=Gauges(store, served, clock),
        readiness=readiness,
        refusals=refusals,
        system=SystemState(store, engine, readiness, server),
    )


def _administered(
    store: Store, engine: Orchestrator, clock: Callable[[], datetime], zone: str, server: ThisServer | None
) -> dict[str, Any]:
    """Return the use cases of what is made, changed and removed as a whole."""
    return {
        "accounts": Accounts(store, clock, zone),
        "catalogue": JobCatalogue(store, clock, server),
        "job_queues": JobQueues(store, engine, clock),
        "triggers": Triggers(store, clock),
    }


def _views(store: Store, engine: Orchestrator, schedules: Schedules, clock: Callable[[], datetime]) -> dict[str, Any]:
    """Return what the use cases rest on, and those that only read."""
    return {
        "store": store,
        "engine": engine,
        "schedules": schedules,
        "clock": clock,
        "approval_queue": ApprovalQueue(store, clock),
        "queue_watch": QueueWatch(store),
        "audit": AuditReading(store),
        "explainer": Explainer(store=store, clock=clock),
        "queries": Queries(store, engine),
        "result_views": ResultViews(store),
        "run_preview": (preview := RunPreview(store, schedules, clock)),
        "request_checks": RequestChecks(store, preview, schedules.limits),
        "job_tools": JobTools(store, schedules.limits),
        "schedule_views": ScheduleViews(store=store, clock=clock),
    }


@asynccontextmanager
async def working(
    application: Application, prefect: Callable[[], contextlib.AbstractAsyncContextManager[None]]
) -> AsyncIterator[None]:
    """Run Prefect, and what repeats, while this is entered; with the services, after a first reconciliation.

    Args:
        application: the use cases.
        prefect: runs Prefect while it is entered, after having checked that it works.
    """
    async with prefect():
        if Part.SERVICES in application.parts:
            await application.loop.tick()
        loops = [asyncio.create_task(loop.run()) for loop in application.loops]
        try:
            with anyio.move_on_after(FIRST_PASS):
                await application.queue.settled()
            yield
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await application.services.refusals.close()


def create_app(
    application: Application,
    found: Collection[JobDefinition],
    prefect: Callable[[], contextlib.AbstractAsyncContextManager[None]],
    problems: Collection[str] = (),
) -> FastAPI:
    """Return our own application; its lifespan records the Jobs, then does what ``working`` does.

    Args:
        application: the use cases.
        found: the Jobs found at start.
        prefect: runs Prefect while it is entered, after having checked that it works.
        problems: what could not be registered, each with file and line.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        prepare(application.store)
        application.services.catalogue.record(found, problems)
        async with working(application, prefect):
            yield

    shim = _routing(application, ROUTERS, lifespan=lifespan)
    shim.add_middleware(Measured, load=application.load)
    return shim


def create_operation(application: Application) -> FastAPI:
    """Return what of our own application a process has that serves nobody: how it is, and its metrics."""
    return _routing(application, (operation.router,))


def _routing(application: Application, routers: Collection[APIRouter], **to: Any) -> FastAPI:
    shim = FastAPI(
        title="prefect-signoff", redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None, **to
    )
    shim.state.services = application.services
    install_errors(shim)
    for router in routers:
        shim.include_router(router)
    return shim
