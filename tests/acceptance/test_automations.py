"""Prefect's automations run Jobs as the accounts that they are bound to, by all rules, until they are changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api_shim.domain.audit import AuditEvent, EventType
from approval_gate.policy import AUTOMATION_CHANGED, NOT_BOUND, OWN_REQUEST
from tests.acceptance.people import RESULTS, SCHEDULES, People, unique
from tests.live import Live, eventually

pytestmark = pytest.mark.slow

Shape = Mapping[str, Any]
ACCOUNTS = "/api/extras/automation-accounts/"


class Automated:
    """An automation that runs a Job with what an event says."""

    def __init__(self, live: Live, admin: httpx.Client, job: str, **parameters: Any) -> None:
        self._live, self._admin = live, admin
        self.word = unique("signoff-test").replace(" ", "-")
        flows = {"flows": {"name": {"any_": [job]}}, "deployments": {"name": {"any_": ["default"]}}}
        [deployment] = admin.post("/api/deployments/filter", json=flows).json()
        action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment["id"]}
        self.body: dict[str, Any] = {
            "name": self.word,
            "trigger": {
                "type": "event",
                "posture": "Reactive",
                "threshold": 1,
                "within": 0,
                "expect": [self.word, f"{self.word}.too", f"{self.word}.also"],
                "match": {"prefect.resource.id": ["signoff-test.1", "signoff-test.2"]},
            },
            "actions": [action | {"parameters": parameters}],
        }
        made = admin.post("/api/automations/", json=self.body)
        assert made.status_code == 201, made.text
        self.id: str = made.json()["id"]

    def fire(self, **payload: Any) -> None:
        event = {
            "id": str(uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": self.word,
            "resource": {"prefect.resource.id": "signoff-test.1"},
            "payload": payload,
        }
        self._admin.post("/api/events", json=[event]).raise_for_status()

    def change(self, **to: Any) -> None:
        self.body |= to
        self._admin.put(f"/api/automations/{self.id}", json=self.body).raise_for_status()

    def audit(self, act: EventType) -> list[AuditEvent]:
        return [each for each in self._live.audit() if each.act is act and each.data.get("id") == self.id]

    def failures(self) -> list[str]:
        """Return what Prefect has told of actions that failed."""
        asked = {"filter": {"event": {"name": ["prefect.automation.action.failed"]}}, "limit": 50}
        told = self._admin.post("/api/events/filter", json=asked).json()["events"]
        mine = [each for each in told if each["resource"]["prefect.resource.id"] == f"prefect.automation.{self.id}"]
        return [each["payload"]["reason"] for each in mine]


@pytest.fixture(scope="module")
def alice(live: Live, people: People) -> Iterator[httpx.Client]:
    """Somebody who may bind automations that run two Jobs."""
    mine = {"user": "$user"}
    name = people.add(
        ("extras.automationaccount", "add", mine),
        ("extras.automationaccount", "view", mine),
        ("prefect", "view", None),
        ("extras.job", "run", {"name__in": ["Greet", "Guarded"]}),
        ("extras.job", "approve", None),
        *(("extras.scheduledjob", action, None) for action in ("view", "change")),
        ("extras.jobresult", "view", None),
    )
    with live.client(name) as client:
        client.headers["X-Name"] = name
        yield client


def test_an_automation_runs_a_job_as_the_account_that_it_is_bound_to_until_it_is_changed(
    live: Live, admin: httpx.Client, alice: httpx.Client
) -> None:
    made = Automated(live, admin, "Greet", who="{{ event.payload.who }}")
    made.fire(who="Zoë")
    eventually(lambda: made.failures() == [NOT_BOUND])
    [refused] = made.audit(EventType.AUTOMATION_REFUSED)
    assert refused.data["reason"] == NOT_BOUND

    bound = alice.post(ACCOUNTS, json={"automation": made.id})
    assert bound.status_code == 201, bound.text
    made.fire(who="Zoë")

    def ran() -> Shape | None:
        found = [each for each in alice.get(RESULTS, params={"name": "Greet"}).json()["results"] if each["automation"]]
        return found[0] if found and found[0]["status"]["value"] == "SUCCESS" else None

    result = eventually(ran)
    name = alice.headers["X-Name"]
    assert result["automation"] == {"id": made.id, "name": made.word, "bound_by": name}
    assert result["task_kwargs"]["who"] == "Zoë"
    assert result["user"]["id"] == bound.json()["user"]["id"]
    [admitted] = [each for each in live.audit() if str(each.flow_run_id) == result["flow_run_id"]]
    assert admitted.data["automation"]["id"] == made.id

    # What only says whether it is enabled is no change.
    admin.patch(f"/api/automations/{made.id}", json={"enabled": True}).raise_for_status()
    assert alice.get(f"{ACCOUNTS}{made.id}/").status_code == 200
    made.change(description="Harmless, they say.")
    made.fire(who="Eve")
    eventually(lambda: len(made.failures()) == 2)
    # The background loop may have found it before it fired.
    assert {*made.failures()} <= {NOT_BOUND, AUTOMATION_CHANGED}
    assert len(made.audit(EventType.AUTOMATION_LAPSED)) == 1
    assert alice.get(f"{ACCOUNTS}{made.id}/").status_code == 404


def test_what_an_automation_requests_waits_for_an_approval_that_who_bound_it_cannot_give(
    live: Live, admin: httpx.Client, alice: httpx.Client
) -> None:
    made = Automated(live, admin, "Guarded")
    assert alice.post(ACCOUNTS, json={"automation": made.id}).status_code == 201
    made.fire()

    def waiting() -> Shape | None:
        found = [
            each for each in alice.get(SCHEDULES).json()["results"] if (each["automation"] or {}).get("id") == made.id
        ]
        return found[0] if found else None

    row = eventually(waiting)
    assert row["approval_state"] == "pending"
    refused = alice.post(f"{row['url']}approve/", json={})
    assert (refused.status_code, refused.json()["detail"]) == (403, OWN_REQUEST)
    assert admin.post(f"{row['url']}approve/", json={}).status_code == 200
    eventually(
        lambda: (
            [
                each["status"]["value"]
                for each in admin.get(RESULTS, params={"scheduled_job": row["id"]}).json()["results"]
            ]
            == ["SUCCESS"]
        )
    )
