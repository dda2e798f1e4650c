"""``/signoff/crontab``: previews a crontab, in words and with its next times, as an HTML fragment for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.crontab_text import in_words, note_on
from api_shim.domain.recurrence import Interval, Recurrence, next_times
from api_shim.parsing.run_request import read_crontab, read_start, read_time_zone
from api_shim.web.pages.visit import Here
from approval_gate.errors import Invalid

router = APIRouter(prefix="/signoff/crontab")
SHOWN = 5
"""How many of the next times are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The preview of a crontab.

    Args:
        words: when it fires, in words.
        note: what people may not expect of it; empty if there is nothing to say.
        zone: the IANA name of its time zone.
        times: the next times.
        fault: why the crontab or the time zone is invalid; empty if both are valid.
    """

    words: str = ""
    note: str = ""
    zone: str = "UTC"
    times: tuple[datetime, ...] = ()
    fault: str = ""


@router.get("")
async def previewed(here: Here) -> Response:
    query = here.request.query_params
    zone = query.get("time_zone") or here.zone
    shown = preview(query.get("crontab", ""), zone, query.get("start_time", ""), here.use.clock())
    return here.part("_crontab.html", 400 if shown.fault else 200, preview=shown)


def preview(crontab: str, zone: str, start_time: str, now: datetime) -> Preview:
    """Return the preview of a crontab.

    Args:
        crontab: the crontab, as typed.
        zone: the IANA name of the time zone, as typed.
        start_time: the earliest time, as typed; ignored while it is incomplete or invalid.
        now: the current time.
    """
    try:
        crontab, zone = read_crontab(crontab), read_time_zone(zone.strip())
    except Invalid as fault:
        return Preview(fault=str(fault))
    try:
        start = read_start(start_time, zone, now)
    except Invalid:
        start = now
    recurrence = Recurrence(interval=Interval.CUSTOM, start_time=start, time_zone=zone, crontab=crontab)
    times = tuple(next_times(recurrence, now, SHOWN))
    return Preview(words=in_words(crontab), note=note_on(crontab), zone=zone, times=times)
