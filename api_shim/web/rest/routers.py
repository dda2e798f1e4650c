"""The routers of the REST API."""

from __future__ import annotations

from fastapi import APIRouter

from api_shim.web.rest import (
    admission,
    approval_requests,
    automation_accounts,
    files,
    job_results,
    jobs,
    meta,
    operation,
    prefect_paths,
    preferences,
    scheduled_jobs,
    triggers,
    users,
)

ROUTERS: tuple[APIRouter, ...] = (
    meta.router,
    jobs.router,
    jobs.tools_router,
    scheduled_jobs.router,
    scheduled_jobs.queue_router,
    approval_requests.router,
    job_results.router,
    job_results.logs_router,
    files.router,
    jobs.queues_router,
    triggers.buttons_router,
    triggers.hooks_router,
    automation_accounts.router,
    users.router,
    preferences.router,
    meta.schema_router,
    admission.router,
    operation.router,
    prefect_paths.router,
)
