"""Makes users on a running server quickly, through its store; and schedules for them to do things with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx

from api_shim.domain.accounts import Token, User
from api_shim.domain.files import ResultContent, ResultFile
from api_shim.domain.model import AutomationAccount, Job, ScheduledJob, Status
from approval_gate.lifecycle import ApprovalState
from flows.files import GivenFile
from tests.databases import store_of
from tests.factories import administering, make_approval_request, make_result, make_scheduled
from tests.live import Server

FAR = "2030-01-01T01:00:00.000Z"
SCHEDULES = "/api/extras/scheduled-jobs/"
RESULTS = "/api/extras/job-results/"

Grant = tuple[str, str, Any]
"""A type, an action, and constraints or None."""


class People:
    """Users of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._store = store_of(server.home)
        self.identity = administering(self._store)

    def close(self) -> None:
        self._store.close()

    def add(self, *grants: Grant, superuser: bool = False, acts_for: str | None = None) -> str:
        """Make a user, or the agent of a user, and return their name; ``Server.client`` knows their key."""
        name, now = f"user{uuid4().hex[:8]}", datetime.now(UTC)
        self.identity.add_user(name, now, superuser=superuser, acts_for=acts_for)
        for kind, action, constraint in grants:
            self.identity.add_permission(
                f"{name} {uuid4()}",
                datetime.now(UTC),
                types=[kind],
                actions=[action],
                users=[name],
                constraint=constraint,
            )
        self._server.keys[name] = self.identity.add_token(name, now)
        return name

    def token(self, name: str, **how: Any) -> str:
        """Make another token of a user, made an hour ago, and return its key."""
        return self.identity.add_token(name, datetime.now(UTC) - timedelta(hours=1), **how)

    def id_of(self, name: str) -> str:
        """Return the id of a user."""
        return next(str(user.id) for user in self.identity.users() if user.username == name)

    def result(self, job: str, **to: Any) -> str:
        """Record a run of a Job that is over, and return its id; Prefect knows of no such run."""
        with self._store.transaction() as tx:
            found = tx.all(Job, name=job)[0]
            now = datetime.now(UTC)
            over = {"status": Status.SUCCESS, "date_created": now, "date_done": now}
            result = make_result(found, None, **{**over, **to})
            tx.add(result)
        return str(result.id)

    def bound(self, user: str, name: str = "nightly") -> AutomationAccount:
        """Bind an automation, of which Prefect need not know, to an account, and return that."""
        by = UUID(self.id_of(user))
        bound = AutomationAccount(
            id=uuid4(),
            name=name,
            user_id=by,
            digest="0" * 64,
            bound_by_id=by,
            bound_by=user,
            created=datetime.now(UTC),
        )
        with self._store.transaction() as tx:
            tx.add(bound)
        return bound

    def asked(self, who: str) -> str:
        """Record a request for approval that somebody made and that was denied, called as they are; return its id."""
        with self._store.transaction() as tx:
            job, user = tx.all(Job, name="Guarded")[0], tx.all(User, username=who)[0]
            denied = {"name": who, "state": ApprovalState.DENIED, "decided_at": datetime.now(UTC)}
            request = make_approval_request(make_scheduled(job, user), job, user, **denied)
            tx.add(request)
        return str(request.id)

    def file(self, result_id: str, name: str = "a.txt", content: bytes = b"hello") -> str:
        """Let a run have made a file, and return the id of that."""
        made = ResultFile(
            id=uuid4(),
            job_result_id=UUID(result_id),
            name=name,
            size=len(content),
            sha256=sha256(content).hexdigest(),
            created=datetime.now(UTC),
        )
        with self._store.transaction() as tx:
            tx.add(made)
            tx.add(ResultContent(file_id=made.id, content=content))
        return str(made.id)

    def give(self, scheduled_id: str) -> str:
        """Let a scheduled job give a file to its runs, and return the id of that."""
        file = GivenFile.sent(uuid4(), "a.txt", b"hello")
        with self._store.transaction() as tx:
            [row] = tx.all(ScheduledJob, id=UUID(scheduled_id))
            tx.keep_files([file], row.id, datetime.now(UTC))
            tx.change(row, inputs={**row.inputs, "file": file.reference})
        return str(file.id)

    def scheduled(self, job: str, owner: str, name: str, **to: Any) -> str:
        """Keep a scheduled job that Prefect has not been told of, for tomorrow or later, and return its id."""
        now = datetime.now(UTC)
        times = {"created": now, "date_changed": now, "due_from": now, "start_time": now + timedelta(days=30)}
        with self._store.transaction() as tx:
            found, user = tx.all(Job, name=job)[0], tx.all(User, username=owner)[0]
            row = make_scheduled(found, user, **{"name": name, "projected_version": 1, **times, **to})
            tx.add(row)
        return str(row.id)

    def token_ids(self, name: str) -> list[str]:
        """Return the ids of a user's tokens."""
        with self._store.transaction(write=False) as tx:
            return [str(token.id) for token in tx.all(Token, order="created", user_id=UUID(self.id_of(name)))]


def unique(word: str = "schedule") -> str:
    return f"{word} {uuid4().hex[:8]}"


def schedule(client: httpx.Client, name: str | None = None, job: str = "Greet", **to: Any) -> Mapping[str, Any]:
    """Schedule a Job far from now, and return the scheduled job; what is None is left out."""
    asked = {"name": name or unique(), "interval": "future", "start_time": FAR, **to}
    given = {field: value for field, value in asked.items() if value is not None}
    answer = client.post(f"/api/extras/jobs/{job}/run/", json={"schedule": given})
    assert answer.status_code == 201, answer.text
    made: Mapping[str, Any] = answer.json()["scheduled_job"]
    return made


@contextmanager
def changed(client: httpx.Client, job: str, **to: Any) -> Iterator[None]:
    """Change a Job, and put it back."""
    address = f"/api/extras/jobs/{job}/"
    before = client.get(address).json()
    assert client.patch(address, json=to).status_code == 200
    try:
        yield
    finally:
        back = {
            name: value
            for field in to
            for name, value in ((field, before[field]), (f"{field}_override", before.get(f"{field}_override")))
            if value is not None
        }
        answer = client.patch(address, json=back)
        assert answer.status_code == 200, answer.text


def count(client: httpx.Client, address: str, **by: Any) -> int:
    found: int = client.get(address, params={"limit": 1, **by}).json()["count"]
    return found


def everything(client: httpx.Client, job: str) -> tuple[int, ...]:
    """Count what there is of a Job in the store and in Prefect, to see that a refusal has left nothing."""
    of_job = {"flows": {"name": {"any_": [job]}}}
    in_prefect = (client.post(f"/api/{kind}/count", json=of_job).json() for kind in ("deployments", "flow_runs"))
    return (count(client, SCHEDULES), count(client, RESULTS, name=job), *in_prefect)
