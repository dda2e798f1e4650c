"""What somebody who may write to Prefect may not write there: with what the runs of our Jobs are started."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from api_shim.domain.audit import EventType
from api_shim.store import Store
from api_shim.web.prefect_job_variables import NOT_HERE
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import make_result

OURS, OTHER, RECORDED, FIRING, FLOW = (uuid4() for _ in range(5))
ARE = {"image": "jobs:1"}
EVIL = {"image": "evil"}


class Written(Origin):
    """Prefect with a deployment of ours and another one, and with a run that is recorded and a firing of ours."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self.user()
        job = self.job(deployment_id=OURS, job_variables=ARE)
        self.add(make_result(job, None, flow_run_id=RECORDED))
        self.engine.made[OURS] = None  # type: ignore[assignment]  # what it is does not matter
        self.firing = self.engine._new_run(OURS, {}, clock(), by_schedule=True)

    async def _prefect(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/api/deployments/filter":
            await super()._prefect(scope, receive, send)
            return
        await JSONResponse([{"id": str(OURS)}])(scope, receive, send)


@pytest.fixture
def written(sqlite_store: Store, clock: Clock) -> Written:
    return Written(sqlite_store, clock)


def starting(**action: Any) -> dict[str, Any]:
    return {"name": "x", "actions_on_trigger": [{"type": "run-deployment", **action}]}


REFUSED: dict[str, tuple[str, str, Any]] = {
    "our deployment": ("PATCH", f"deployments/{OURS}", {"job_variables": EVIL}),
    "ours, without what we give it": ("PATCH", f"deployments/{OURS}/", {"job_variables": {}}),
    "ours, anew": ("POST", "deployments/", {"name": "a", "flow_id": str(FLOW), "job_variables": EVIL}),
    "our run": ("PATCH", f"flow_runs/{RECORDED}", {"job_variables": EVIL}),
    "a firing that has not asked yet": ("PATCH", "flow_runs/{firing}", {"job_variables": EVIL}),
    "a new run of ours": ("POST", "flow_runs/", {"deployment_id": str(OURS), "job_variables": EVIL}),
    "one of many": ("POST", f"deployments/{OURS}/create_flow_run/bulk", [{}, {"job_variables": EVIL}]),
    "an automation": ("POST", "automations/", starting(deployment_id=str(OURS), job_variables=EVIL)),
    "of any of ours": ("PUT", f"automations/{OTHER}", starting(source="inferred", job_variables=EVIL)),
}


def test_nobody_gives_a_job_other_variables_in_prefect(written: Written) -> None:
    answers = {
        name: written.ask(method, f"/api/{path}".format(firing=written.firing.id), json=body)
        for name, (method, path, body) in REFUSED.items()
    }
    told = {name: (answer.status_code, answer.json()) for name, answer in answers.items()}
    assert told == dict.fromkeys(REFUSED, (403, {"detail": NOT_HERE}))
    assert written.passed == []
    asyncio.run(written.refusals.close())
    with written.store.transaction(write=False) as tx:
        refused = [event for event in tx.events(0, 1000) if event.act is EventType.REQUEST_REFUSED]
    assert {event.actor for event in refused} == {"admin"}
    assert sum(event.data["count"] for event in refused) == len(REFUSED)


PASSED: dict[str, tuple[str, str, Any]] = {
    "what is there": ("PATCH", f"deployments/{OURS}", {"job_variables": ARE, "description": "x"}),
    "what is not written": ("PATCH", f"deployments/{OURS}", {"job_variables": None}),
    "another deployment": ("PATCH", f"deployments/{OTHER}", {"job_variables": EVIL}),
    "another run": ("PATCH", f"flow_runs/{OTHER}", {"job_variables": EVIL}),
    "none of its own": ("POST", "flow_runs/", {"deployment_id": str(OURS), "job_variables": {}}),
    "another's runs": ("POST", f"deployments/{OTHER}/create_flow_run/bulk", [{"job_variables": EVIL}]),
    "another's runs too": ("POST", "automations/", starting(deployment_id=str(OTHER), job_variables=EVIL)),
    "ours as it is": ("POST", "automations/", starting(deployment_id=str(OURS))),
}


def test_all_else_is_written(written: Written) -> None:
    told = {
        name: written.ask(method, f"/api/{path}", json=body).json() for name, (method, path, body) in PASSED.items()
    }
    assert told == {name: {"prefect": True} for name in PASSED}
    assert len(written.passed) == len(PASSED)


def test_what_cannot_be_read_is_refused_where_it_could_have_some(written: Written) -> None:
    answer = written.ask("PATCH", f"/api/deployments/{OURS}", content=b'{"job_variables": {"image": NaN}}')
    assert (answer.status_code, written.passed) == (400, [])
