"""What Prefect's automations run of ours: requested here, and not made in Prefect.

* Prefect performs the actions of automations in the process of its services, and calls its own API there: no front asks
  whose call it is, and the headers that name the automation anybody could send. So the action that runs a deployment is
  taken over, where the deployment is that of a Job; its parameters are filled in by Prefect before.
* What is refused fails as Prefect's actions do, with one sentence: Prefect tells it as
  ``prefect.automation.action.failed``.
* Runs of all other deployments Prefect makes as before.
* No setting of Prefect's says it, and its classes are not made for it: with a version whose class looks otherwise
  nothing is taken over, which is logged, and what automations run of ours is refused at the gate as before.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

import httpx

from api_shim.domain.ports import AutomationFiring
from api_shim.prefect_api.prefect_json import read_automation
from approval_gate.errors import GateError

logger = logging.getLogger("signoff")

COMMAND = ("self", "orchestration", "deployment_id", "triggered_action")
"""The parameters of what makes the run."""
FIELDS = frozenset({"parameters", "job_variables", "schedule_after"})
"""What the action says of the run."""
NOT_THERE = "This version of Prefect performs the actions of automations in another way: they can run no Jobs."
NOT_FILLED_IN = "The parameters of the run could not be filled in: {error}"


class Requested(Protocol):
    """What has become of a request: one of the two."""

    @property
    def job_result(self) -> Any:
        """The result of a run that starts now."""

    @property
    def scheduled_job(self) -> Any:
        """What waits, for its start or for a decision."""


def run_as_accounts(
    is_ours: Callable[[UUID], Awaitable[bool]], request: Callable[[AutomationFiring], Awaitable[Requested]]
) -> bool:
    """Have the automations of this process request the runs of Jobs.

    Args:
        is_ours: says whether a deployment is that of a Job whose runs people request.
        request: requests what an automation wants to run; a ``GateError`` if it is refused.

    Returns:
        whether it could be done.
    """
    from prefect.server.events import actions

    action: Any = actions.RunDeployment
    if not _looks_as_known(action):
        logger.warning(NOT_THERE)
        return False
    make_run = action.command

    async def command(self: Any, orchestration: Any, deployment_id: UUID, triggered_action: Any) -> Any:
        try:
            # Whose it is may not be known just now; then it is nobody's.
            ours = await is_ours(deployment_id)
        except GateError as error:
            raise actions.ActionFailed(str(error)) from error
        if not ours:
            return await make_run(self, orchestration, deployment_id, triggered_action)
        firing = await _firing(self, deployment_id, triggered_action)
        try:
            became = await request(firing)
        except GateError as error:
            raise actions.ActionFailed(str(error)) from error
        kind = "job_result" if became.job_result is not None else "scheduled_job"
        self._result_details[kind] = str(getattr(became, kind).id)
        return httpx.Response(201)

    action.command = command
    return True


async def _firing(action: Any, deployment_id: UUID, triggered_action: Any) -> AutomationFiring:
    """Return what an action of an automation wants to run, with its parameters filled in.

    Raises:
        ActionFailed: they cannot be; of any other error Prefect tells nobody.
    """
    from prefect.server.events.actions import ActionFailed

    try:
        parameters = await action.render_parameters(triggered_action)
    except ActionFailed:
        raise
    except Exception as error:
        raise ActionFailed(NOT_FILLED_IN.format(error=repr(error))) from error
    return AutomationFiring(
        automation=read_automation(triggered_action.automation.model_dump(mode="json")),
        key=triggered_action.idempotency_key(),
        deployment_id=deployment_id,
        parameters=parameters,
        job_variables=action.job_variables or {},
        after=action.schedule_after,
    )


def _looks_as_known(action: Any) -> bool:
    """Say whether the class of the action is one that we know how to take over."""
    has = all(callable(getattr(action, name, None)) for name in ("command", "render_parameters"))
    return (
        has
        and tuple(inspect.signature(action.command).parameters) == COMMAND
        and action.model_fields.keys() >= FIELDS
        and "_result_details" in action.__private_attributes__
    )
