"""The approval gate, end to end: a request waits without a process until another, permitted person has decided.

Everything is asked for at the beginning and looked at later, so that the waits are one wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_shim.services.audit_trail import AuditTrail
from tests.acceptance.people import FAR, RESULTS, SCHEDULES, Grant, People, unique
from tests.databases import store_of
from tests.live import Live, eventually

pytestmark = pytest.mark.slow

JOB, SCHEDULED, RESULT = "extras.job", "extras.scheduledjob", "extras.jobresult"
SEES: tuple[Grant, ...] = tuple((kind, "view", None) for kind in (JOB, SCHEDULED, RESULT))
DECIDES: tuple[Grant, ...] = ((JOB, "approve", None), (SCHEDULED, "change", None), (SCHEDULED, "delete", None))
RUNS: Grant = (JOB, "run", None)
QUEUE = "/api/extras/approval-queue/"
OWN = "You cannot approve your own job request!"

Shape = Mapping[str, Any]


@dataclass
class Cast:
    """Who plays."""

    names: dict[str, str]
    alice: httpx.Client
    bob: httpx.Client
    carol: httpx.Client
    dave: httpx.Client
    admin: httpx.Client


@pytest.fixture(scope="module")
def cast(live: Live, people: People, admin: httpx.Client) -> Iterator[Cast]:
    """Alice and bob may request and approve; carol may change but not approve; dave sees other requests only."""
    other = {"name": "something else"}
    names = {
        "alice": people.add(*SEES, *DECIDES, RUNS),
        "bob": people.add(*SEES, *DECIDES, RUNS),
        "carol": people.add(*SEES, (SCHEDULED, "change", None), (SCHEDULED, "delete", None)),
        "dave": people.add(
            (SCHEDULED, "view", other), (SCHEDULED, "change", other), (SCHEDULED, "delete", other), *DECIDES[:1], RUNS
        ),
    }
    clients = {who: live.client(name) for who, name in names.items()}
    yield Cast(names=names, admin=admin, **clients)
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executions")


def ask(client: httpx.Client, file: Path | None = None, job: str = "Change", when: Any = None, **data: Any) -> Shape:
    """Request a run that needs approval, and return the scheduled job."""
    data = {**data, **({"file": str(file)} if file else {})}
    answer = client.post(f"/api/extras/jobs/{job}/run/", json={"data": data, "schedule": when})
    assert answer.status_code == 201, answer.text
    made: Shape = answer.json()["scheduled_job"]
    return made


def decide(client: httpx.Client, row: Shape, how: str, **body: Any) -> httpx.Response:
    return client.post(f"{SCHEDULES}{row['id']}/{how}/", json=body)


def told(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["detail"]


def run_of(admin: httpx.Client, row: Shape) -> Shape:
    """Return the flow run that carries a request."""

    def found() -> Shape | None:
        runs = admin.post(
            "/api/flow_runs/filter",
            json={"flow_runs": {"name": {"any_": [row["name"], f"{row['name']} (waiting for approval)"]}}},
        ).json()
        return runs[0] if runs else None

    return eventually(found)


def states(admin: httpx.Client, run: Shape) -> list[str]:
    rows = admin.get("/api/flow_run_states/", params={"flow_run_id": run["id"]}).json()
    return [row["name"] for row in sorted(rows, key=lambda row: row["timestamp"])]


def finished(client: httpx.Client, **by: str) -> Shape:
    """Wait for the end of a run, and return its job result, found by its own id or by that of Prefect's run."""

    def done() -> Shape | None:
        rows = client.get(RESULTS, params=by).json()["results"]
        return rows[0] if rows and rows[0]["date_done"] else None

    return eventually(done)


def over(admin: httpx.Client, run: Shape) -> Shape:
    """Wait until a run is over in Prefect, and return it."""

    def shown() -> Shape | None:
        found: Shape = admin.get(f"/api/flow_runs/{run['id']}").json()
        return found if found["state_type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") else None

    return eventually(shown)


def is_scheduled(admin: httpx.Client, row: Shape) -> bool:
    """Return whether Prefect has a schedule for a request."""
    of_row = {"deployments": {"name": {"like_": row["id"][:8]}}}
    deployments = admin.post("/api/deployments/filter", json=of_row).json()
    return any(each["slug"] == row["id"] for deployment in deployments for each in deployment["schedules"])


def executions(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def audit(live: Live, row: Shape) -> list[tuple[str, str]]:
    """Return what has been remembered of a request: what, and who; but for what was refused."""
    acts = [(str(event.act), event.actor) for event in live.audit() if str(event.scheduled_job_id) == row["id"]]
    return [act for act in acts if act[0] not in {"request.refused", "approval.refused"}]


# The story


def test_a_request_waits_is_refused_to_its_author_tried_approved_and_runs_once_as_its_author(
    live: Live, cast: Cast, folder: Path
) -> None:
    file = folder / "story"
    due = datetime.now(UTC) + timedelta(seconds=3)
    row = ask(cast.alice, file, when={"name": unique("story"), "interval": "future", "start_time": due.isoformat()})
    held = run_of(cast.admin, row)
    assert (held["state"]["type"], held["state"]["name"]) == ("PAUSED", "Suspended")
    assert "awaiting-approval" in held["tags"]
    # Its time passes, and nothing happens.
    eventually(lambda: datetime.now(UTC) > due + timedelta(seconds=4))
    assert states(cast.admin, held) == ["Suspended"]
    assert executions(file) == []

    assert told(decide(cast.alice, row, "approve", force=True)) == (403, OWN)
    assert told(decide(cast.carol, row, "approve", force=True)) == (
        403,
        "You do not have permission to approve this request.",
    )
    missing = "No ScheduledJob matches the given query."
    for how in ("approve", "deny", "dry-run"):
        assert told(decide(cast.dave, row, how)) == (404, missing)

    tried = decide(cast.bob, row, "dry-run")
    assert tried.status_code == 200
    plan = finished(cast.bob, id=tried.json()["id"])
    assert (plan["status"]["value"], plan["result"]) == ("SUCCESS", "planned")
    assert plan["task_kwargs"]["dryrun"] is True
    assert cast.admin.get(row["url"]).json()["approval_state"] == "pending"

    late = decide(cast.bob, row, "approve")
    assert late.status_code == 400
    assert "start time is in the past" in late.text
    approved = decide(cast.bob, row, "approve", force=True, comment="maintenance window agreed").json()
    assert approved["approved_by_user"]["id"] == approved_by(cast, "bob")
    assert approved["approved_at"]
    result = finished(cast.alice, flow_run_id=held["id"])
    assert (result["status"]["value"], result["result"]) == ("SUCCESS", "changed")
    assert result["meta"]["approval"]["by"] == cast.names["bob"]
    assert result["meta"]["approval"]["comment"] == "maintenance window agreed"
    assert executions(file) == [f"{cast.names['alice']} {result['id']}"]
    said = [
        row["message"] for row in cast.admin.get("/api/flow_run_states/", params={"flow_run_id": held["id"]}).json()
    ]
    assert f"Approved by {cast.names['bob']}: maintenance window agreed" in said
    assert audit(live, row) == [
        ("approval.requested", cast.names["alice"]),
        ("approval.dry-run", cast.names["bob"]),
        ("approval.approved", cast.names["bob"]),
        ("run.admitted", cast.names["alice"]),
    ]
    after = cast.admin.get(row["url"]).json()
    assert (after["total_run_count"], after["enabled"]) == (1, False)
    run = cast.admin.get(f"/api/flow_runs/{held['id']}").json()
    assert (run["name"], run["tags"]) == (row["name"], ["signoff"])


def approved_by(cast: Cast, who: str) -> str:
    """Return a user's id, as it stands on what they ask for."""
    row = ask(getattr(cast, who))
    found: str = row["user"]["id"]
    cast.admin.delete(row["url"])
    return found


def test_denied_leaves_nothing_behind(live: Live, cast: Cast, folder: Path) -> None:
    for when in (None, {"name": unique("denied"), "interval": "hourly", "start_time": FAR}):
        row = ask(cast.alice, folder / "denied", when=when)
        run = run_of(cast.admin, row)
        answer = decide(cast.bob, row, "deny", comment="not today")
        assert (answer.status_code, answer.json()["approval_state"]) == (200, "denied")
        assert cast.admin.get(row["url"]).status_code == 404
        assert cast.admin.get(QUEUE, params={"id": row["id"]}).json()["count"] == 0
        shown = over(cast.admin, run)
        ended = shown["state"]
        assert (ended["type"], ended["message"]) == ("CANCELLED", f"Denied by {cast.names['bob']}: not today")
        assert sorted(shown["tags"]) == ["denied", "signoff"]
        eventually(lambda row=row: not is_scheduled(cast.admin, row))  # type: ignore[misc]
        status, detail = told(decide(cast.bob, row, "approve"))
        assert status == 409
        assert detail.startswith(f"{cast.names['bob']} denied this request on ")
        assert decide(cast.dave, row, "approve").status_code == 404
    assert executions(folder / "denied") == []


def test_the_author_withdraws(live: Live, cast: Cast) -> None:
    row = ask(cast.alice)
    assert decide(cast.alice, row, "deny").json()["approval_state"] == "withdrawn"
    assert audit(live, row)[-1] == ("approval.withdrawn", cast.names["alice"])
    status, detail = told(decide(cast.bob, row, "approve"))
    assert (status, detail.split(" on ")[0]) == (409, f"{cast.names['alice']} withdrew this request")


def test_who_says_which_version_they_have_seen_approves_no_other(cast: Cast) -> None:
    row = ask(cast.alice)
    assert told(decide(cast.bob, row, "approve", version="0" * 12))[0] == 409
    assert decide(cast.bob, row, "approve", version=row["approval_version"]).status_code == 200


def test_an_early_approval_runs_at_its_time_and_a_recurring_one_with_its_next_firing(cast: Cast, folder: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=20)
    early = ask(
        cast.alice, folder / "early", when={"name": unique("e"), "interval": "future", "start_time": soon.isoformat()}
    )
    # Once an hour: in the next minute that is not about to begin, and not again while this test looks.
    minute = (soon + timedelta(minutes=1)).minute
    hourly = {"name": unique("c"), "interval": "custom", "crontab": f"{minute} * * * *"}
    each = ask(cast.alice, folder / "each", when=hourly)
    request_run = run_of(cast.admin, each)
    for row in (early, each):
        assert decide(cast.bob, row, "approve").status_code == 200
    approved_at = datetime.now(UTC)
    shown = over(cast.admin, request_run)
    ended = shown["state"]
    assert (ended["type"], ended["name"]) == ("COMPLETED", "Completed")
    assert ended["message"] == f"Approved by {cast.names['bob']}."
    assert (shown["name"], shown["tags"]) == (f"{each['name']} (approved)", ["signoff", "approved"])
    run = run_of(cast.admin, early)
    result = finished(cast.alice, flow_run_id=run["id"])
    started = datetime.fromisoformat(result["date_started"])
    assert soon <= started <= soon + timedelta(seconds=45)
    firing = eventually(lambda: executions(folder / "each"))[0]
    first = finished(cast.alice, id=firing.split()[1])
    assert datetime.fromisoformat(first["date_started"]) >= approved_at
    assert first["meta"]["approval"]["by"] == cast.names["bob"]
    # Prefect has called it by a name of chance.
    assert eventually(lambda: cast.admin.get(f"/api/flow_runs/{first['flow_run_id']}").json()["name"] == each["name"])
    assert cast.admin.get(each["url"]).json()["total_run_count"] == 1
    cast.admin.delete(each["url"])


def test_what_nobody_decides_about_in_its_time_expires(live: Live, cast: Cast) -> None:
    row = ask(cast.alice, job="Brief")
    run = run_of(cast.admin, row)
    assert row["expires_at"]
    eventually(lambda: cast.admin.get(row["url"]).json()["approval_state"] == "expired")
    assert told(decide(cast.bob, row, "approve", force=True)) == (
        409,
        "This request has expired, because nobody decided about it in time; request it again.",
    )
    ended = over(cast.admin, run)
    assert (ended["state"]["name"], ended["state"]["message"].partition(": ")[0]) == ("Cancelled", "Expired")
    assert (ended["name"], ended["tags"]) == (f"{row['name']} (expired)", ["signoff", "expired"])
    assert audit(live, row) == [("approval.requested", cast.names["alice"]), ("approval.expired", "")]
    cast.admin.delete(row["url"])


def test_a_failing_job_executes_once(cast: Cast, folder: Path) -> None:
    row = ask(cast.alice, folder / "failing", breaks=True)
    run = run_of(cast.admin, row)
    assert decide(cast.bob, row, "approve").status_code == 200
    result = finished(cast.alice, flow_run_id=run["id"])
    assert result["status"]["value"] == "FAILURE"
    assert over(cast.admin, run)["state"]["type"] == "FAILED"
    time.sleep(3)
    assert len(executions(folder / "failing")) == 1
    assert states(cast.admin, run).count("Running") == 1


def test_a_disabled_job_is_not_approved(cast: Cast) -> None:
    row = ask(cast.alice)
    cast.admin.patch("/api/extras/jobs/Change/", json={"enabled": False})
    try:
        assert told(decide(cast.bob, row, "approve")) == (403, "This job is not enabled to be run.")
        assert told(decide(cast.bob, row, "dry-run")) == (405, "This job is not enabled to be run.")
    finally:
        cast.admin.patch("/api/extras/jobs/Change/", json={"enabled": True})
    cast.admin.delete(row["url"])


def test_a_job_that_comes_to_need_approval_asks_about_what_was_scheduled_before(cast: Cast) -> None:
    row = ask(cast.alice, job="Greet", when={"name": unique("later"), "interval": "hourly", "start_time": FAR})
    cast.admin.patch("/api/extras/jobs/Greet/", json={"approval_required": True})
    try:
        waiting = cast.admin.get(row["url"]).json()
        assert (waiting["approval_state"], waiting["approval_note"]) == ("pending", "This job needs approval now.")
        assert run_of(cast.admin, row)["state"]["name"] == "Suspended"
    finally:
        cast.admin.patch(
            "/api/extras/jobs/Greet/", json={"approval_required": False, "approval_required_override": False}
        )
        cast.admin.delete(row["url"])


# The queue


def test_the_queue_shows_what_waits_to_those_who_may_see_it_and_says_who_may_decide(cast: Cast) -> None:
    row = ask(cast.alice)
    for client, may, why in (
        (cast.bob, True, ""),
        (cast.alice, False, OWN),
        (cast.carol, False, "You do not have permission to approve this request."),
    ):
        [waiting] = client.get(QUEUE, params={"id": row["id"]}).json()["results"]
        assert (waiting["may_approve"], waiting["why_not_approve"]) == (may, why)
        assert waiting["requested_by"] == cast.names["alice"]
    assert cast.dave.get(QUEUE).json()["count"] == 0
    decide(cast.bob, row, "approve")
    assert cast.bob.get(QUEUE, params={"id": row["id"]}).json()["count"] == 0


# The audit


def test_the_audit_is_whole(live: Live) -> None:
    with closing(store_of(live.home)) as store:
        assert AuditTrail(store).verify().count > 0
