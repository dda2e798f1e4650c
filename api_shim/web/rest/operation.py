"""``/signoff/healthz``, ``/signoff/readyz`` and ``/signoff/metrics``: for whoever operates the server.

* The first two are open to everybody, and look at no credentials: a load balancer has none, and they tell nothing.
* ``healthz`` asks nobody; it tells that the process answers. ``readyz`` tells whether it can do its work: 200, or 503.
* ``metrics`` are for who has ``view`` on ``signoff.metrics``: they tell how many people decide, and how fast.
"""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse

from api_shim.metrics import exposition
from api_shim.services.readiness import SERVICES
from api_shim.web.deps import Caller, Use
from api_shim.web.errors import SOON

router = APIRouter(prefix="/signoff", include_in_schema=False)


@router.get("/healthz")
async def healthz() -> Response:
    return JSONResponse({"ok": True})


@router.get("/readyz")
async def readyz(use: Use) -> Response:
    checks = {name: {"ok": not wrong, "detail": wrong} for name, wrong in (await use.readiness.checks()).items()}
    ready = all(check["ok"] for name, check in checks.items() if name != SERVICES)
    headers = {} if ready else {"Retry-After": str(SOON)}
    return JSONResponse({"ok": ready, "checks": checks}, 200 if ready else 503, headers=headers)


@router.get("/metrics")
async def metrics(actor: Caller, use: Use) -> Response:
    return Response(exposition(await use.gauges.read(actor)), headers={"Content-Type": CONTENT_TYPE_LATEST})
