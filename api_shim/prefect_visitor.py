"""The door to Prefect for a process that is not the server, and comes through the server's front.

* There a run of ours that is asked for in the usual way is a request by the rules of our API, by whoever asks; the
  worker's account has the power to make runs, but may request none. It makes them as several at once.
* That way Prefect tells also that its database is busy as a run that it did not make, so it is asked again.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from api_shim.ports import RunSpec
from api_shim.prefect_engine import PrefectEngine
from api_shim.prefect_http import TRIES
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")


class VisitingEngine(PrefectEngine):
    """Prefect, through its API, from outside."""

    async def hold(self, deployment_id: UUID, run: RunSpec) -> UUID:
        path = f"/deployments/{deployment_id}/create_flow_run/bulk"
        for attempt in range(TRIES):
            answer = await self._ask("POST", path, [self._held(run)])
            made = answer["results"][0]
            if made.get("flow_run_id"):
                return UUID(made["flow_run_id"])
            # What follows the fault is the statement, and in it what the run was to be given.
            logger.warning("Prefect did not make a run: %s", str(made.get("error")).partition(" [SQL")[0][:200])
            await asyncio.sleep(0.05 * 2**attempt)
        raise Unavailable("Prefect did not make the run; please try again.")
