"""How often a request asks the database: as often for many as for few, and in a large store as in a small one.

Prefect does not answer here, so that what is counted is the request alone and not what follows in Prefect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import COOKIE, Group, Permission, PermissionUser, Token, UserGroup
from api_shim.domain.model import Job, JobResult, Participant, ScheduledJob, Status
from api_shim.store import Store
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.origin import Origin
from tests.api_shim.statements import statements
from tests.conftest import Clock
from tests.factories import NOW, make_approval_request, make_job, make_result, make_scheduled, make_user

FEW, MANY = 2, 60


class Filled:
    """An origin whose store has things of every kind, as many as one likes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.origin = Origin(store, clock, follows=False)
        self.alice = self.origin.user("alice")
        self.origin.user("bob")
        self.job = self.origin.job(
            module_name="flows.examples",
            job_class_name="CheckHosts",
            name="Check",
            approval_required=True,
            deployment_id=uuid4(),
            projected_version=1,
        )
        self._jobs: list[Job] = [self.job]
        self.requests: list[ScheduledJob] = []
        self.results: list[JobResult] = []
        self._number = 0

    def fill(self, to: int) -> None:
        """Have so many of everything."""
        for _ in range(self._number, to):
            self._number += 1
            self._add_one(f"{self._number:03}")

    def _add_one(self, number: str) -> None:
        user, group = make_user(f"user {number}"), Group(id=uuid4(), name=f"group {number}")
        permission = Permission(id=uuid4(), name=number, object_types=("extras.job",), actions=("view",))
        job = make_job(name=f"Job {number}", projected_version=1)
        request = make_scheduled(
            self.job, self.alice, name=f"request {number}", approval=ApprovalState.PENDING, projected_version=1
        )
        free = make_scheduled(job, user, name=f"free {number}", projected_version=1)
        statuses = {"status": Status.SUCCESS} if int(number) % 2 else {"status": Status.STARTED, "released": True}
        self._jobs.append(job)
        self.requests.append(request)
        self.results.append(make_result(job, user, **statuses))
        self.origin.add(
            user,
            group,
            UserGroup(user_id=user.id, group_id=group.id),
            Token(id=uuid4(), user_id=user.id, key_hash=number, created=NOW),
            permission,
            PermissionUser(permission_id=permission.id, user_id=user.id),
            job,
            request,
            free,
            make_approval_request(request, job, self.alice),
            *(
                Participant(scheduled_job_id=row.id, user_id=owner.id, username=owner.username)
                for row, owner in ((request, self.alice), (free, user))
            ),
            self.results[-1],
        )
        self._goes_on(self.results[-1])

    def _goes_on(self, result: JobResult) -> None:
        """Let the run of a result that is not final stand in Prefect as the result says."""
        if not result.status.final:
            made = self.origin.engine._new_run(uuid4(), {}, NOW, by_schedule=False)
            self.origin.engine.all_runs[result.id] = replace(made, id=result.id, state_type="RUNNING")

    def asked(self, method: str, path: str, status: int, who: str = "bob", **how: Any) -> int:
        """Ask, and return how often the database was asked."""
        with statements(self.origin.store) as said:
            answer = self.origin.ask(method, path, who, **how)
        assert answer.status_code == status, answer.text
        return len(said)


@pytest.fixture
def filled(sqlite_store: Store, clock: Clock) -> Filled:
    return Filled(sqlite_store, clock)


Asks = Callable[[Filled, int], int]


def get(path: str, query: str = "") -> Asks:
    """Read a page of as many as there are."""
    return lambda filled, many: filled.asked("GET", f"{path}?{query}limit={many}", 200)


def confirm_all(filled: Filled, many: int) -> int:
    ids = "&".join(f"id={row.id}" for row in filled.requests[:many])
    return page("/signoff/approval-queue/decisions", f"decision=approve&{ids}")(filled, many)


def page(path: str, query: str = "") -> Asks:
    """Look at a page that shows as many as there are."""

    def look(filled: Filled, _many: int) -> int:
        key, _session = asyncio.run(filled.origin.sessions.sign_in("bob", filled.origin.keys["bob"], ""))
        cookie = {"Cookie": f"{COOKIE}={key}"}
        return filled.asked("GET", f"{path}?{query}&limit=100", 200, who="", headers=cookie)

    return look


def read_one(filled: Filled, _many: int) -> int:
    return filled.asked("GET", f"/api/extras/scheduled-jobs/{filled.requests[0].id}/", 200)


def explain_one(filled: Filled, _many: int) -> int:
    return filled.asked("GET", f"/api/extras/scheduled-jobs/{filled.requests[0].id}/explain/", 200, who="alice")


def schedule_one(filled: Filled, many: int) -> int:
    schedule = {"name": f"new {many}", "interval": "daily", "start_time": "2030-01-01T01:00:00Z"}
    return filled.asked(
        "POST", "/api/extras/jobs/Check/run/", 201, json={"data": {"hosts": "a:1"}, "schedule": schedule}
    )


def approve_one(filled: Filled, many: int) -> int:
    return filled.asked("POST", f"/api/extras/scheduled-jobs/{filled.requests[many - 1].id}/approve/", 200)


def deny_one(filled: Filled, many: int) -> int:
    return filled.asked("POST", f"/api/extras/scheduled-jobs/{filled.requests[many - 1].id}/deny/", 200)


def delete_all(who: str) -> Asks:
    def delete(filled: Filled, many: int) -> int:
        ids = [str(row.id) for row in filled.requests[-many:]]
        return filled.asked("DELETE", "/api/extras/scheduled-jobs/", 204, who=who, json=ids)

    return delete


def delete_results(filled: Filled, _many: int) -> int:
    ids = [str(result.id) for result in filled.results if result.status.final]
    told = filled.asked("DELETE", "/api/extras/job-results/", 204, json=ids)
    filled.results.clear()
    return told


ASKS: Mapping[str, Asks] = {
    "a page of Jobs": get("/api/extras/jobs/"),
    "a page of scheduled jobs": get("/api/extras/scheduled-jobs/"),
    "a page of job results": get("/api/extras/job-results/"),
    "a page of the approval queue": get("/api/extras/approval-queue/"),
    "the page of the approval queue": page("/signoff/approval-queue"),
    "the page that asks about several requests": confirm_all,
    "the page of the requests that were decided": page("/signoff/approval-requests", "view=decided"),
    "a page of requests for approval": get("/api/extras/approval-requests/"),
    "a page of job queues": get("/api/extras/job-queues/"),
    "a page of accounts of automations": get("/api/extras/automation-accounts/"),
    "a page of scheduled jobs with all that they refer to": get("/api/extras/scheduled-jobs/", "depth=1&"),
    "a page of job results with all that they refer to": get("/api/extras/job-results/", "depth=1&"),
    "a page of users": get("/api/users/users/"),
    "a page of groups": get("/api/users/groups/"),
    "a page of tokens": get("/api/users/tokens/"),
    "a page of permissions": get("/api/users/permissions/"),
    "one scheduled job": read_one,
    "the explanation of one": explain_one,
    "a run with a schedule": schedule_one,
    "an approval": approve_one,
    "a denial": deny_one,
    "the deletion of all by another": delete_all("bob"),
    "the withdrawal of all": delete_all("alice"),
    "the deletion of all job results": delete_results,
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=list(ASKS))
def test_the_database_is_asked_as_often_for_many_as_for_few(filled: Filled, ask: Asks) -> None:
    counted = {}
    for many in (FEW, MANY):
        filled.fill(many)
        counted[many] = ask(filled, many)
    assert counted[MANY] == counted[FEW]


def test_what_is_deleted_at_once_leaves_what_it_leaves_one_by_one(filled: Filled) -> None:
    filled.fill(4)
    store, rows = filled.origin.store, filled.requests
    filled.asked("DELETE", "/api/extras/scheduled-jobs/", 204, who="alice", json=[str(rows[0].id)])
    filled.asked("DELETE", "/api/extras/scheduled-jobs/", 204, who="alice", json=[str(row.id) for row in rows[1:3]])
    gone = {row.id for row in rows[:3]}
    with store.transaction(write=False) as tx:
        assert {row.id for row in tx.leftovers(10)} == gone
        assert tx.all(Participant, scheduled_job_id=list(gone)) == []
        assert [row.name for row in tx.all(ScheduledJob, owner_id=filled.alice.id)] == ["request 004"]
        withdrawn = tx.events(0, 100)[-3:]
    assert {event.scheduled_job_id for event in withdrawn} == gone
    assert {str(event.act) for event in withdrawn} == {"approval.withdrawn"}
    assert [set(event.data) for event in withdrawn] == [{"seen"}] * 3
