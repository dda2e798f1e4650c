"""The documented REST API: thin routes, one module for each noun, and one for how all of them speak HTTP."""

from __future__ import annotations

from fastapi import APIRouter

from api_shim.rest import (
    approval_queue,
    gate,
    job_logs,
    job_queues,
    job_results,
    jobs,
    prefect_paths,
    scheduled_jobs,
    schema,
    service,
    users,
)

ROUTERS: tuple[APIRouter, ...] = (
    service.router,
    jobs.router,
    scheduled_jobs.router,
    approval_queue.router,
    job_results.router,
    job_logs.router,
    job_queues.router,
    users.router,
    schema.router,
    gate.router,
    prefect_paths.router,
)
