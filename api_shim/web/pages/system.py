"""``/signoff/administration/system``: how the server stands, and what it was told, for superusers."""

from __future__ import annotations

from importlib.metadata import version
from platform import python_version

from starlette.responses import Response

from api_shim.reconcile.served_queues import SILENT_AFTER
from api_shim.services.readiness import SERVICES
from api_shim.services.running_servers import FOLLOWED_WITHIN
from api_shim.web.pages.administration import section_router, show
from api_shim.web.pages.sections import SYSTEM
from api_shim.web.pages.visit import Here

router = section_router(SYSTEM)
CHECKS = {
    "store": "The database is writable",
    "prefect": "Prefect answers",
    "loop": "The background loop is running",
    "disk": "The disk has free space",
    SERVICES: "The background services are running",
}
"""What each check sees to."""


@router.get("")
async def system(here: Here) -> Response:
    return await show(
        here,
        "system.html",
        SYSTEM,
        system=await here.use.system.read(here.actor),
        called=CHECKS,
        versions={
            "prefect-signoff": version("prefect-signoff"),
            "Prefect": version("prefect"),
            "Python": python_version(),
        },
        silent_after=SILENT_AFTER,
        followed_within=FOLLOWED_WITHIN,
    )
