"""What becomes of calls by which workers ask for runs and take them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from api_shim.domain.accounts import RunCredential
from api_shim.domain.audit import EventType
from api_shim.keys import RUN_PREFIX
from api_shim.services.authentication import hash_key
from api_shim.store import Store
from api_shim.web import prefect_claims
from approval_gate.admission import RUN_KEY
from approval_gate.errors import Unavailable
from approval_gate.policy import NOT_ITS_POOL
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result

PENDING = {"state": {"type": "PENDING"}}
ACCEPTED = {"status": "ACCEPT", "state": {"type": "PENDING"}}


class Pools(Origin):
    """Prefect with a run in our work pool, one in another and one in none; and somebody who works for each pool.

    All of them may write to Prefect besides; what becomes of those who may not is told with ``prefect_worker_calls``.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self.answer: Any = ACCEPTED
        self.bodies: list[bytes] = []
        self.user()
        for name in ("worker", "elsewhere", "writer"):
            self.user(name, superuser=False)
        for name, pool in (("worker", "signoff"), ("elsewhere", "another pool")):
            self.identity.make_worker(name, pool, NOW)
        writers = ["writer", "worker", "elsewhere"]
        self.identity.add_permission("writes", NOW, types=["prefect"], actions=["write"], users=writers)
        self.engine.made[deployment := uuid4()] = None  # type: ignore[assignment]  # what it is does not matter
        self.runs_of = {}
        for pool in ("signoff", "another pool", ""):
            run = self.engine._new_run(deployment, {}, clock(), by_schedule=True)
            self.engine.all_runs[run.id] = replace(run, pool=pool)
            self.runs_of[pool] = run.id

    async def _prefect(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed.append(scope)
        self.bodies.append(await Request(scope, receive).body())
        await JSONResponse(self.answer)(scope, receive, send)

    def take(
        self, who: str, pool: str = "signoff", body: Any = PENDING, *, keyed: bool = True, key: str = "wanted"
    ) -> httpx.Response:
        headers = {RUN_KEY: key, "Content-Type": "application/json"} if keyed else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = f"/api/flow_runs/{self.runs_of[pool]}/set_state"
        return self.ask("POST", path, who, content=content, headers=headers)

    def kept(self, pool: str = "signoff") -> RunCredential | None:
        with self.store.transaction(write=False) as tx:
            return tx.get(RunCredential, flow_run_id=self.runs_of[pool])


@pytest.fixture
def pools(sqlite_store: Store, clock: Clock) -> Pools:
    return Pools(sqlite_store, clock)


def test_who_takes_a_run_of_their_pool_is_given_its_key_once_prefect_has_accepted(pools: Pools) -> None:
    for who, pool in (("worker", "signoff"), ("elsewhere", "another pool")):
        answer = pools.take(who, pool)
        key, kept = answer.headers[RUN_KEY], pools.kept(pool)
        assert (answer.status_code, answer.json()) == (200, ACCEPTED)
        assert kept is not None
        assert (key.startswith(RUN_PREFIX), kept.key_hash) == (True, hash_key(key))
        assert answer.headers["cache-control"] == "no-store"
    first = pools.kept()
    pools.take("worker")
    assert pools.kept() != first, "a run that is taken again has another key"


@pytest.mark.parametrize(
    ("who", "how", "answer"),
    [
        pytest.param("admin", {}, ACCEPTED, id="a superuser"),
        pytest.param("writer", {}, ACCEPTED, id="who may write to Prefect"),
        pytest.param("worker", {"pool": ""}, ACCEPTED, id="a run within another"),
        pytest.param("worker", {"body": {"state": {"type": "RUNNING"}}}, ACCEPTED, id="another state"),
        pytest.param("worker", {}, {"status": "REJECT", "state": {"type": "PENDING"}}, id="it was not accepted"),
        pytest.param("worker", {}, {"status": "ACCEPT", "state": {"type": "CANCELLED"}}, id="it became another state"),
        pytest.param("worker", {"body": b'{"state": {"type": NaN}}'}, {"detail": "?"}, id="what cannot be read"),
    ],
)
def test_all_else_goes_to_prefect_and_gives_no_key(pools: Pools, who: str, how: dict[str, Any], answer: Any) -> None:
    pools.answer = answer
    answered = pools.take(who, **how)
    assert (answered.json(), answered.headers.get(RUN_KEY)) == (answer, None)
    assert (len(pools.passed), pools.kept(how.get("pool", "signoff"))) == (1, None)


def test_a_worker_that_does_not_ask_ends_the_key_that_was_made_before(pools: Pools) -> None:
    pools.take("worker")
    pools.answer = {"status": "REJECT", "state": {"type": "PENDING"}}
    pools.take("worker", keyed=False)
    assert pools.kept() is not None, "it was not accepted"
    pools.answer = ACCEPTED
    pools.take("worker", keyed=False)
    kept = pools.kept()
    assert kept is not None
    assert kept.key_hash is None, "and that it has taken the run is known"


def test_who_takes_a_run_again_because_the_answer_was_lost_is_given_its_key(pools: Pools) -> None:
    asked = {"state": {"type": "PENDING", "state_details": {"transition_id": "one"}}}
    first = pools.take("worker", body=asked).headers[RUN_KEY]
    # Prefect has made this transition already, and no other.
    pools.answer = {"status": "REJECT", **asked}
    second = pools.take("worker", body=asked).headers[RUN_KEY]
    kept = pools.kept()
    assert kept is not None
    assert (kept.key_hash, first != second) == (hash_key(second), True)
    for details in ({"transition_id": "another"}, {"transition_id": None}, {}, None):
        other = {"state": {"type": "PENDING", "state_details": details}}
        assert RUN_KEY not in pools.take("worker", body=other).headers
    assert pools.kept() == kept


def test_who_asks_as_another_one_of_the_pool_did_who_has_the_run_is_given_nothing(pools: Pools) -> None:
    pools.user("beside", superuser=False)
    pools.identity.make_worker("beside", "signoff", NOW)
    asked = {"state": {"type": "PENDING", "state_details": {"transition_id": "one"}}}
    pools.take("worker", body=asked)
    before = pools.kept()
    pools.answer = {"status": "REJECT", **asked}
    answer = pools.take("beside", body=asked)
    assert (answer.json(), answer.headers.get(RUN_KEY)) == (pools.answer, None)
    assert (before is not None, pools.kept()) == (True, before)


def test_who_has_a_run_of_which_it_was_not_recorded_is_given_its_key_when_they_ask_again(pools: Pools) -> None:
    asked = {"state": {"type": "PENDING", "state_details": {"transition_id": "one"}}}
    pools.answer = {"status": "REJECT", **asked}
    assert RUN_KEY in pools.take("worker", body=asked).headers


@pytest.mark.parametrize("who", ["worker", "works-only"])
def test_of_an_attempt_that_is_over_prefect_is_told_nothing(pools: Pools, who: str) -> None:
    pools.user("works-only", superuser=False)
    pools.identity.make_worker("works-only", "signoff", NOW)
    crashed, run_id = {"state": {"type": "CRASHED"}}, pools.runs_of["signoff"]

    def tell(key: str) -> bool:
        """Tell of a crash, and say whether Prefect was told of it."""
        pools.passed.clear()
        answer = pools.take(who, body=crashed, key=key)
        assert answer.status_code == 200
        return bool(pools.passed) or answer.json() != prefect_claims.OVER

    def is_now(state: str) -> None:
        pools.engine.all_runs[run_id] = replace(pools.engine.all_runs[run_id], state_type=state)

    first = pools.take(who).headers[RUN_KEY]
    is_now("PENDING")
    assert tell(first)
    # It is to be started again, and then it is.
    is_now("SCHEDULED")
    assert not tell(first)
    second = pools.take(who).headers[RUN_KEY]
    is_now("RUNNING")
    assert (tell(first), tell(second), tell("signoff_run_x")) == (False, True, False)
    assert pools.kept() is not None, "and whoever has it has it still"


def test_a_worker_takes_no_run_of_another_pool_and_asks_for_none(pools: Pools) -> None:
    asks = "/api/work_pools/{}/get_scheduled_flow_runs"
    recorded = make_result(pools.job(), None, flow_run_id=uuid4())
    pools.add(recorded)
    pools.runs_of["recorded"] = recorded.flow_run_id
    taken = (("worker", "another pool"), ("elsewhere", "signoff"), ("elsewhere", "recorded"))
    attempts = [
        *(pools.take(who, pool) for who, pool in taken),
        pools.take("worker", "another pool", b'{"state": {"type": "PENDING"}, "x": NaN}'),
        pools.ask("POST", asks.format("another pool"), "worker", json={}),
        pools.ask("POST", asks.format("signoff"), "elsewhere", json={}),
        pools.ask("POST", f"/api/work_queues/{uuid4()}/get_runs", "worker", json={}),
        pools.ask("POST", "/api/flow_runs/bulk_set_state", "worker", json={}),
    ]
    for answer in attempts:
        assert (answer.status_code, answer.json()) == (403, {"detail": NOT_ITS_POOL})
    assert (pools.passed, pools.kept("another pool"), pools.kept()) == ([], None, None)
    asyncio.run(pools.refusals.close())
    with pools.store.transaction(write=False) as tx:
        told = [event for event in tx.events(0, 1000) if event.act is EventType.REQUEST_REFUSED]
    assert {(event.actor, event.data["asked"]) for event in told} == {
        ("worker", "runs of another work pool"),
        ("elsewhere", "runs of another work pool"),
    }


def test_a_worker_asks_for_runs_of_its_pool_and_others_for_any(pools: Pools) -> None:
    for who, pool in (("worker", "signoff"), ("elsewhere", "another pool"), ("admin", "signoff"), ("writer", "x")):
        assert pools.ask("POST", f"/api/work_pools/{pool}/get_scheduled_flow_runs/", who, json={}).status_code == 200
    assert len(pools.passed) == 4


@pytest.mark.parametrize("failures", [1, 100])
def test_a_run_of_which_it_cannot_be_recorded_who_has_it_is_put_back(
    pools: Pools, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    record, left = pools.runs.taken, [Unavailable("The database is busy.")] * failures

    async def fails(*args: Any, **how: Any) -> str:
        if left:
            raise left.pop()
        return await record(*args, **how)

    monkeypatch.setattr(pools.runs, "taken", fails)
    monkeypatch.setattr(prefect_claims, "PAUSES", (0, 0))
    pools.user("works-only", superuser=False)
    pools.identity.make_worker("works-only", "signoff", NOW)
    for who in ("worker", "works-only"):
        pools.passed.clear()
        answer = pools.take(who)
        if failures == 1:
            assert (answer.status_code, RUN_KEY in answer.headers, len(pools.passed)) == (200, True, 1)
            continue
        assert (answer.status_code, "retry-after" in answer.headers, pools.kept()) == (503, True, None)
        assert [scope["path"] for scope in pools.passed] == [f"/api/flow_runs/{pools.runs_of['signoff']}/set_state"] * 2
        assert json.loads(pools.bodies[-1]) == prefect_claims.PUT_BACK
