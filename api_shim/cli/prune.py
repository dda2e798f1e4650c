"""``signoff prune``: remove old job results with their runs in Prefect, finished scheduled jobs, old decisions."""

from __future__ import annotations

from typing import Annotated

import typer

from api_shim.cli.console import Home, opened, progress, say
from api_shim.cli.times import moment, read_duration
from api_shim.domain.audit import LocalAdministrator
from api_shim.services.request_keys import KEPT
from api_shim.services.retention import Retention
from api_shim.settings import system_user, utc_now
from approval_gate.errors import Invalid


def prune(
    older_than: Annotated[str, typer.Option(metavar="DURATION", help="How long ago they ended, like 90d or 12w.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it, they are only counted.")] = False,
    home: Home = None,
) -> None:
    """Remove old job results with their runs and logs in Prefect, scheduled jobs after their only run, old decisions.

    Runs under way, requests that wait, and schedules that repeat stay, however old. So does the audit, which tells what
    was removed. A running server removes the runs from Prefect; without one, the next start does.

    Example: signoff prune --older-than 90d --yes
    """
    now = utc_now()
    age = read_duration(older_than)
    if age is None or age < KEPT:
        raise Invalid(f"{older_than!r} is not a duration of at least a day, like 90d or 12w.")
    before = now - age
    with opened(home) as store:
        retention = Retention(store, LocalAdministrator(system_user()))
        found = retention.amount(before)
        if not yes:
            say(f"{found} ended before {moment(before)}; --yes removes them.")
            return
        gone = retention.prune(before, now, lambda so_far: progress("Removed", so_far.total, found.total))
    say(f"Removed {gone} that ended before {moment(before)}.")
