"""What can be read of a system afterwards: the public API, Prefect's API, the export of the audit, and the Jobs' notes.

Nothing here looks into a database, or loads anything of the product.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.load import RESULTS, SCHEDULES, Asked, Load, pages

Shape = dict[str, Any]
AT_ONCE = 200
"""How many things Prefect tells of at once."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was asked, what was done to the system, and what there is.

    Args:
        asked: what was asked and answered.
        executions: what the Jobs noted, one for each time that one executed.
        results: the job results, by id.
        schedules: the scheduled jobs, by id.
        audit: the lines of the export of the audit.
        audit_before: the same of an earlier export.
        audit_fault: what ``signoff audit verify`` found; empty if nothing.
        flow_runs: Prefect's runs.
        deployments: Prefect's deployments.
        steady: the schedules that nobody has touched: their ids, since when, and what becomes of what is missed.
        harm: what was done to the system, with when it began and ended.
        code: the versions of the Job that is rewritten, with when each was written.
    """

    asked: Sequence[Asked] = ()
    executions: Sequence[Shape] = ()
    results: Mapping[str, Shape] = field(default_factory=dict)
    schedules: Mapping[str, Shape] = field(default_factory=dict)
    audit: Sequence[Shape] = ()
    audit_before: Sequence[Shape] = ()
    audit_fault: str = ""
    flow_runs: Sequence[Shape] = ()
    deployments: Sequence[Shape] = ()
    steady: Sequence[Shape] = ()
    harm: Sequence[Shape] = ()
    code: Sequence[tuple[int, float]] = ()


def gather(load: Load, audit_before: Sequence[Shape]) -> Facts:
    """Read everything."""
    system = load.system
    executions = lines_of(system.jobs / "executions")
    with system.client() as client:
        # The API last: it knows what was made and what has executed meanwhile.
        deployments = [*_prefect(client, "deployments")]
        flow_runs = [*_prefect(client, "flow_runs")]
        results = pages(client, f"{RESULTS}/?limit=1000")
        schedules = pages(client, f"{SCHEDULES}/?limit=1000")
    fault = ""
    try:
        system.signoff("audit", "verify")
    except AssertionError as error:
        fault = str(error)
    return Facts(
        asked=[*load.journal.asked],
        executions=executions,
        results={each["id"]: each for each in results},
        schedules={each["id"]: each for each in schedules},
        audit=export(load),
        audit_before=audit_before,
        audit_fault=fault,
        flow_runs=flow_runs,
        deployments=deployments,
        steady=load.steady,
        harm=lines_of(system.folder / "faults"),
        code=[*load.code],
    )


def export(load: Load) -> list[Shape]:
    """Return the lines of an export of the audit."""
    return [json.loads(line) for line in load.system.signoff("audit", "export").splitlines()]


def lines_of(file: Path) -> list[Shape]:
    """Return the lines of a file of JSON; none if there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _prefect(client: httpx.Client, kind: str) -> Iterator[Shape]:
    offset = 0
    while True:
        body = {"limit": AT_ONCE, "offset": offset, "sort": "ID_DESC" if kind == "flow_runs" else "NAME_ASC"}
        found = client.post(f"/api/{kind}/filter", json=body).raise_for_status().json()
        yield from found
        if len(found) < AT_ONCE:
            return
        offset += AT_ONCE
