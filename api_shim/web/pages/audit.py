"""``/signoff/administration/audit``: the audit, for superusers: its events, its verification, and its export.

* The newest events come first, and a page leads to the older ones, however many there are.
* Dates are those of the time zone in which the visitor reads times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response, StreamingResponse

from api_shim.domain.audit import EventType
from api_shim.domain.query import Condition
from api_shim.parsing.fields import read_count, read_id
from api_shim.services.audit_trail import Verified
from api_shim.web.downloads import disposition
from api_shim.web.pages.administration import section_router, show, told
from api_shim.web.pages.lists import asked_in, day_begins, tested
from api_shim.web.pages.sections import AUDIT
from api_shim.web.pages.visit import Here
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Conflict

router = section_router(AUDIT)
ASKED = ("actor", "act", "object", "since", "until")
IDS = ("actor_id", "scheduled_job_id", "job_id", "flow_run_id", "deployment_id")
"""Where an event has ids that can be searched for."""
JSON_LINES = "application/x-ndjson"


@router.get("")
async def events(here: Here) -> Response:
    asked = asked_in(here.request.query_params, ASKED)
    before = read_count(here.request.query_params.get("before", "")) or None
    error = page = None
    try:
        page = await here.use.audit.page(here.actor, _conditions(asked, here.zone), before, here.page_size)
    except Conflict as refusal:
        error = refusal
    return await show(
        here,
        "audit.html",
        AUDIT,
        error,
        page=page,
        refusal=told(error),
        asked=asked,
        before=before,
        acts=[*EventType],
        query=urlencode(asked),
    )


@router.get("/verify")
async def verify(here: Here) -> Response:
    error: Conflict | None = None
    verified: Verified | None = None
    try:
        verified = await here.use.audit.verify(here.actor)
    except Conflict as refusal:
        error = refusal
    # That something is wrong with the audit is what was asked for, and no fault of the page.
    return await show(here, "verified_audit.html", AUDIT, verified=verified, refusal=told(error))


@router.get("/export")
async def export(here: Here) -> Response:
    lines = await here.use.audit.export(here.actor)
    name = f"audit-{here.use.clock():%Y-%m-%d}.jsonl"
    headers = {"Content-Disposition": disposition(name)}
    return StreamingResponse(_as_text(lines), media_type=JSON_LINES, headers=headers)


def _as_text(lines: Iterator[dict[str, Any]]) -> Iterator[str]:
    for line in lines:
        yield f"{json.dumps(line)}\n"


def _conditions(asked: Mapping[str, str], zone: str) -> list[Condition]:
    """Return what the events must fulfil; what cannot be read asks for nothing."""
    found = []
    if "actor" in asked:
        found.append(tested("actor", Op.ICONTAINS, asked["actor"]))
    if asked.get("act") in {*EventType}:
        found.append(tested("act", Op.EXACT, asked["act"]))
    if "object" in asked:
        named = Lookup(path="name", op=Op.ICONTAINS, value=asked["object"])
        known = read_id(asked["object"])
        ids = [Lookup(path=path, op=Op.EXACT, value=known) for path in IDS] if known is not None else []
        found.append(Condition(tests=(named, *ids)))
    for name, op, days in (("since", Op.GTE, 0), ("until", Op.LT, 1)):
        if (day := day_begins(asked.get(name, ""), ZoneInfo(zone), days)) is not None:
            found.append(tested("at", op, day))
    return found
