"""The composition root: creates every object and connects them; arguments decide between real and fake ones.

* The start order is: the store's tables, the Jobs, Prefect's services and the check that they work, a first
  reconciliation, then the server accepts requests, and last a worker starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from fastapi import FastAPI
from starlette.types import ASGIApp

from api_shim.background import BackgroundLoop
from api_shim.domain.ports import Orchestrator
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.run_status import RunStatus
from api_shim.services.accounts import Accounts
from api_shim.services.admission import Admissions
from api_shim.services.approvals import Approvals
from api_shim.services.jobs import JobCatalogue, JobCode
from api_shim.services.ownership import Ownership
from api_shim.services.prefect_ui import PrefectUI
from api_shim.services.queries import Queries
from api_shim.services.results import Results
from api_shim.services.runs import Runs
from api_shim.services.schedule_changes import ScheduleChanges
from api_shim.services.schedule_views import Explainer, ScheduleViews
from api_shim.services.schedules import RunPreview, Schedules
from api_shim.services.sessions import Sessions
from api_shim.store import Store
from api_shim.web.deps import Services
from api_shim.web.pages import create_pages
from api_shim.web.rest.protocol import install_errors
from api_shim.web.rest.routers import ROUTERS
from flows.definition import JobDefinition

logger = logging.getLogger("signoff")


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """The connected objects of one server."""

    store: Store
    sessions: Sessions
    services: Services
    loop: BackgroundLoop
    pages: ASGIApp


def build(store: Store, engine: Orchestrator, *, clock: Callable[[], datetime], zone: str) -> Application:
    """Create the use cases for a store and an engine.

    Args:
        store: the store.
        engine: Prefect, real or fake.
        clock: returns the current time, aware.
        zone: IANA name of the server's time zone.
    """
    projection = Reconciler(store, engine, clock)
    run_status = RunStatus(store, engine, projection, clock)
    services = _use_cases(store, engine, projection, run_status, clock, zone)
    sessions = Sessions(store, clock)
    return Application(
        store=store,
        sessions=sessions,
        services=services,
        loop=BackgroundLoop(store, engine, projection, run_status, clock),
        pages=create_pages(services, sessions, clock),
    )


def _use_cases(
    store: Store,
    engine: Orchestrator,
    projection: Reconciler,
    run_status: RunStatus,
    clock: Callable[[], datetime],
    zone: str,
) -> Services:
    runs, code = Runs(store, engine, projection), JobCode()
    approvals = Approvals(store=store, runs=runs, projection=projection, clock=clock)
    schedules = Schedules(store=store, runs=runs, projection=projection, code=code, clock=clock, zone=zone)
    return Services(
        store=store,
        engine=engine,
        clock=clock,
        accounts=Accounts(store, clock, zone),
        admissions=Admissions(store),
        approvals=approvals,
        catalogue=JobCatalogue(store, clock),
        schedule_changes=ScheduleChanges(store=store, runs=runs, code=code, clock=clock),
        explainer=Explainer(store=store, clock=clock),
        run_preview=RunPreview(store, schedules, clock),
        schedule_views=ScheduleViews(store=store, clock=clock, zone=zone),
        ownership=Ownership(store=store, runs=runs, clock=clock),
        prefect_ui=PrefectUI(
            store=store,
            engine=engine,
            approvals=approvals,
            schedules=schedules,
            projection=projection,
            clock=clock,
        ),
        results=Results(store=store, engine=engine, runs=runs, clock=clock),
        schedules=schedules,
        queries=Queries(store, engine, run_status),
    )


def create_app(
    application: Application,
    found: Collection[JobDefinition],
    prefect: Callable[[], contextlib.AbstractAsyncContextManager[None]],
) -> FastAPI:
    """Return our own application; its lifespan runs Prefect's and the reconcile loop.

    Args:
        application: the use cases.
        found: the Jobs found at start.
        prefect: runs Prefect while it is entered, after having checked that it works.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        application.services.catalogue.record(found)
        async with prefect():
            await application.loop.tick()
            loop = asyncio.create_task(application.loop.run())
            try:
                yield
            finally:
                loop.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await loop

    shim = FastAPI(
        title="prefect-signoff",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    shim.state.services = application.services
    install_errors(shim)
    for router in ROUTERS:
        shim.include_router(router)
    return shim
