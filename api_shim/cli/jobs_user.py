"""``SIGNOFF_JOBS_USER``, before anything starts: it is carried out, or nothing starts.

* What is tried is told of nothing that signs in to Prefect: there is no run yet.
"""

from __future__ import annotations

import os

import typer

from api_shim.cli.console import fail
from api_shim.prefect_api.prefect_external import secret_files
from api_shim.prefect_api.prefect_server import CREDENTIALS, path_of_jobs
from api_shim.settings import Settings
from api_shim.worker.environment import for_a_worker
from api_shim.worker.jobs_user import find, try_out
from approval_gate.errors import Invalid


def checked_user(settings: Settings) -> str:
    """Return the name of the user whom Jobs are to run as, after trying it; empty for the server's own.

    Args:
        settings: those of the server or the worker, whose home folder exists.

    Raises:
        typer.Exit: the setting names nobody who could be meant; it is printed, as wrong usage.
        Unavailable: this machine cannot run the Jobs as that user, or that user can reach what is the server's.
    """
    try:
        user = find(settings.jobs_user)
    except Invalid as error:
        fail(error)
        raise typer.Exit(2) from error
    if user is None:
        return ""
    told = {name: value for name, value in os.environ.items() if name not in CREDENTIALS}
    environment = for_a_worker(told, str(settings.home)) | {"PYTHONPATH": path_of_jobs()}
    keep_from = [*settings.kept_from_jobs, *secret_files()]
    try_out(user, modules=settings.job_modules, keep_from=keep_from, environment=environment)
    return user.name
