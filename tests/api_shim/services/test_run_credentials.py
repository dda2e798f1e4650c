"""Who speaks for a run, asked of the one origin: its own credential, or the account of a worker; and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.accounts import RunCredential
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import Job, JobResult, Status, queue_of
from api_shim.domain.ports import Claim, DeploymentSpec, RunSpec
from api_shim.keys import PREFIX, RUN_PREFIX, checksum
from api_shim.reconcile.desired_state import result_key
from api_shim.services.authentication import INACTIVE, INVALID_TOKEN, NO_CREDENTIALS, hash_key
from api_shim.services.run_credentials import ENDING, NOT_FOR_RUNS
from api_shim.store import Store
from approval_gate.model import Actor
from approval_gate.policy import NOT_ITS_RUN, NOT_ITS_WORKER
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result, make_scheduled
from tests.fakes import Fault

SECRET = "of nobody's business"


class Stage(Origin):
    """A run of a Job that somebody asked for, and everybody who may want to speak for it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self.clock = clock
        owner = self.user("superuser")
        for name in ("viewer", "writer", "reader", "worker", "elsewhere"):
            self.user(name, superuser=False)
        for name, kind, action in (("viewer", "extras.jobresult", "view"), ("writer", "prefect", "write")):
            self.identity.add_permission(name, NOW, types=[kind], actions=[action], users=[name])
        for name, pool in (("worker", "signoff"), ("reader", "signoff"), ("elsewhere", "another pool")):
            self.identity.make_worker(name, pool, NOW)
        self.keys["reader"] = self.identity.add_token("reader", NOW, write_enabled=False)
        self.worker = self.actor("worker")
        deployment = uuid4()
        self.engine.made[deployment] = DeploymentSpec(flow="", name="", entrypoint="", queue="default")
        job = self.job(deployment_id=deployment)
        result = make_result(job, owner, inputs={"word": SECRET}, status=Status.PENDING)
        spec = RunSpec(key=str(result.id), name="run", parameters={"word": SECRET}, queue="default", message="", at=NOW)
        self.run = asyncio.run(self.engine.create_run(deployment, spec)).id
        self.result = replace(result, flow_run_id=self.run, attempt=None, date_started=None, date_done=None)
        self.add(self.result)

    def actor(self, name: str) -> Actor:
        [user] = [user for user in self.identity.users() if user.username == name]
        return Actor(id=user.id, username=name)

    def take(self, run: UUID) -> None:
        """Let the worker take a run, whose key goes by the name of ``run`` or ``another run``."""
        name = "run" if run == self.run else "another run"
        self.keys[name] = asyncio.run(self.runs.taken(self.worker, run, keyed=True))

    def change(self, thing: Any, **to: Any) -> None:
        with self.store.transaction() as tx:
            tx.change(thing, **to)

    def admission(self, who: str | None) -> httpx.Response:
        return self.ask("POST", "/api/signoff/admission", who, json=self.body())

    def outcome(self, who: str | None) -> httpx.Response:
        return self.ask("POST", "/api/signoff/outcome", who, json=self.body(status="SUCCESS"))

    def body(self, **more: str) -> dict[str, str]:
        return {"flow_run_id": str(self.run), "attempt": str(UUID(int=7)), **more}

    @property
    def events(self) -> list[AuditEvent]:
        with self.store.transaction(write=False) as tx:
            return tx.events(0, 1000)


@pytest.fixture
def stage(store: Store, clock: Clock) -> Stage:
    return Stage(store, clock)


@pytest.mark.parametrize("fails", [False, True], ids=["Prefect answers", "Prefect does not answer"])
def test_a_firing_that_asks_is_called_like_its_scheduled_job(stage: Stage, fails: bool) -> None:
    with stage.store.transaction(write=False) as tx:
        [job] = tx.all(Job)
    deployment = uuid4()
    stage.engine.made[deployment] = stage.engine.made[cast(UUID, job.deployment_id)]
    stage.add(make_scheduled(job, None, name="nightly", deployment_id=deployment))
    run = stage.engine._new_run(deployment, {}, NOW, by_schedule=True)
    stage.engine.set_state(run.id, "RUNNING", "Running")
    stage.take(run.id)
    if fails:
        stage.engine.faults.append(Fault("rename"))
    answer = stage.ask("POST", "/api/signoff/admission", "another run", json=stage.body(flow_run_id=str(run.id)))
    assert answer.status_code == 200, answer.text
    assert stage.engine.all_runs[run.id].name == (run.name if fails else "nightly")


REFUSED: dict[tuple[str | None, bool], str] = {
    (None, False): NO_CREDENTIALS,
    ("viewer", False): NOT_ITS_WORKER,
    ("superuser", False): NOT_ITS_WORKER,
    ("writer", False): NOT_ITS_WORKER,
    ("reader", False): NOT_ITS_WORKER,
    ("elsewhere", False): NOT_ITS_WORKER,
    ("worker", False): NOT_ITS_RUN,
    ("another run", False): NOT_ITS_RUN,
    (None, True): NO_CREDENTIALS,
    ("superuser", True): NOT_ITS_WORKER,
    ("writer", True): NOT_ITS_WORKER,
    ("elsewhere", True): NOT_ITS_WORKER,
    ("worker", True): NOT_ITS_RUN,
    ("another run", True): NOT_ITS_RUN,
}
"""Who may not speak for a run, and what they are told; by whether the run has a credential."""


@pytest.mark.parametrize(
    ("state", "answered"),
    [("SCHEDULED", 403), ("PAUSED", 403), ("PENDING", 200), ("RUNNING", 200), ("COMPLETED", 403)],
)
def test_a_run_that_was_taken_past_us_is_spoken_for_by_workers_of_its_pool_while_it_is_under_way(
    stage: Stage, state: str, answered: int
) -> None:
    stage.engine.past_us = True
    stage.engine.set_state(stage.run, state, state.title())
    assert stage.admission("worker").status_code == answered
    assert [stage.admission(who).status_code for who in ("elsewhere", "writer", "superuser")] == [403, 403, 403]


@pytest.mark.parametrize(
    ("claimed", "who", "told"),
    [
        pytest.param(timedelta(minutes=1), "worker", {"worker": 200, "run": 403}, id="past us since"),
        pytest.param(timedelta(minutes=1), "elsewhere", {"elsewhere": 403, "run": 200}, id="whose business it is not"),
        pytest.param(timedelta(seconds=1), "worker", {"worker": 403, "run": 200}, id="as it was recorded"),
    ],
)
def test_what_is_known_of_a_run_ends_when_it_is_taken_past_us(
    stage: Stage, claimed: timedelta, who: str, told: dict[str, int]
) -> None:
    stage.engine.past_us = True
    stage.take(stage.run)
    stage.engine.set_state(stage.run, "RUNNING", "Running")
    at = stage.clock() + claimed
    stage.engine.taken[stage.run] = Claim(at=at, worker="", first=NOW)
    assert {each: stage.admission(each).status_code for each in (who, "run")} == told


@pytest.mark.each_database
def test_nobody_else_speaks_for_a_run_and_who_tries_is_recorded(stage: Stage) -> None:
    stage.take(uuid4())
    for (who, keyed), told in REFUSED.items():
        if keyed and "run" not in stage.keys:
            stage.take(stage.run)
        before = len(stage.events)
        for answer in (stage.admission(who), stage.outcome(who)):
            assert (answer.status_code, answer.json()) == (403, {"detail": told}), (who, keyed)
            assert SECRET not in answer.text
        if who is not None and not keyed:
            asked = [event.data["asked"] for event in stage.events[before:]]
            assert asked == ["admission of a run", "outcome of a run"], who
    with stage.store.transaction(write=False) as tx:
        assert tx.get(JobResult, id=stage.result.id) == stage.result


@pytest.mark.parametrize("who", ["run", "worker"])
def test_its_own_credential_does_or_the_account_that_took_it_without_one(stage: Stage, who: str) -> None:
    if who == "run":
        stage.take(stage.run)
    else:
        asyncio.run(stage.runs.taken(stage.worker, stage.run, keyed=False))
    answer = stage.admission(who)
    assert (answer.status_code, answer.json()["inputs"]) == (200, {"word": SECRET})
    assert stage.outcome(who).status_code == 200
    assert stage.outcome(who).status_code == 200, "the answer may have been lost"
    [admitted] = [event for event in stage.events if event.act is EventType.ADMITTED]
    assert (admitted.data["asked_by"], admitted.flow_run_id) == ("worker", stage.run)


def test_a_run_that_another_account_has_taken_is_none_of_a_workers(stage: Stage) -> None:
    stage.user("beside", superuser=False)
    stage.identity.make_worker("beside", "signoff", NOW)
    asyncio.run(stage.runs.taken(stage.worker, stage.run, keyed=False))
    for who, status in (("beside", 403), ("worker", 200)):
        assert stage.admission(who).status_code == status
        assert stage.outcome(who).status_code == status


def test_an_account_that_is_a_workers_no_longer_speaks_for_no_run(stage: Stage) -> None:
    stage.identity.unmake_worker("worker", NOW)
    answer = stage.admission("worker")
    assert (answer.status_code, answer.json()) == (403, {"detail": NOT_ITS_WORKER})


@pytest.mark.parametrize("known", ["its result", "its deployment"])
def test_a_run_of_ours_is_of_our_pool_wherever_prefect_says_it_is(stage: Stage, known: str) -> None:
    stage.engine.all_runs[stage.run] = replace(stage.engine.all_runs[stage.run], pool="another pool")
    if known == "its deployment":
        stage.change(stage.result, flow_run_id=None)
    assert asyncio.run(stage.runs.pool_of(stage.run)) == "signoff"


def test_a_run_on_a_queue_of_another_pool_is_of_the_workers_there(stage: Stage) -> None:
    with stage.store.transaction() as tx:
        tx.add(queue_of("gpu", "another pool"))
    stage.change(stage.result, queue="gpu")
    assert asyncio.run(stage.runs.pool_of(stage.run)) == "another pool"
    assert stage.admission("worker").status_code == 403
    asyncio.run(stage.runs.taken(stage.actor("elsewhere"), stage.run, keyed=False))
    assert stage.admission("elsewhere").status_code == 200
    # Before its id is recorded, its key says so.
    run = stage.engine.all_runs[stage.run]
    stage.engine.all_runs[stage.run] = replace(run, key=result_key(stage.result.id))
    stage.change(stage.result, flow_run_id=None)
    assert asyncio.run(stage.runs.pool_of(stage.run)) == "another pool"


def test_a_deployment_is_of_every_pool_that_its_job_has_queues_in(stage: Stage) -> None:
    [deployment] = stage.engine.made
    with stage.store.transaction() as tx:
        tx.add(queue_of("gpu", "another pool"))
        [job] = tx.all(Job)
        tx.change(job, job_queues=("default", "gpu"))
    assert asyncio.run(stage.runs.pools_of_deployment(deployment)) == {"signoff", "another pool"}
    assert asyncio.run(stage.runs.pools_of_deployment(uuid4())) == set()


def test_a_run_that_speaks_for_another_is_recorded_with_the_account_of_its_worker(stage: Stage) -> None:
    other = uuid4()
    stage.take(other)
    stage.admission("another run")
    event = stage.events[-1]
    assert (event.act, event.actor, event.flow_run_id) == (EventType.REQUEST_REFUSED, "worker", other)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("the run is over", INVALID_TOKEN),
        ("it was taken again", INVALID_TOKEN),
        ("it was taken by Prefect's own worker", INVALID_TOKEN),
        ("the worker's account is deactivated", INACTIVE),
        ("the worker's account is removed", INVALID_TOKEN),
        ("it is a worker's no longer", INVALID_TOKEN),
        ("it is a worker's again", INVALID_TOKEN),
        ("it works for another pool", INVALID_TOKEN),
    ],
)
def test_a_credential_ends(stage: Stage, what: str, told: str) -> None:
    stage.take(stage.run)
    match what:
        case "the run is over":
            assert stage.admission("run").status_code == stage.outcome("run").status_code == 200
            assert stage.ask("GET", f"/api/flow_runs/{stage.run}", "run").status_code == 200, "it still ends its log"
            stage.clock.forward(seconds=ENDING.total_seconds())
        case "it was taken again":
            asyncio.run(stage.runs.taken(stage.worker, stage.run, keyed=True))
        case "it was taken by Prefect's own worker":
            asyncio.run(stage.runs.taken(stage.worker, stage.run, keyed=False))
        case "the worker's account is deactivated":
            stage.identity.set_active("worker", NOW, active=False)
        case "it is a worker's no longer":
            stage.identity.unmake_worker("worker", NOW)
        case "it is a worker's again":
            stage.identity.unmake_worker("worker", NOW)
            stage.identity.make_worker("worker", "signoff", NOW)
        case "it works for another pool":
            stage.identity.make_worker("worker", "another pool", NOW)
        case _:
            stage.identity.remove_user("worker", NOW)
    for answer in (stage.admission("run"), stage.outcome("run")):
        assert (answer.status_code, answer.json()["detail"]) == (403, told)
    assert stage.ask("GET", f"/api/flow_runs/{stage.run}", "run").status_code == 401


def test_a_key_is_kept_as_its_hash_and_looks_like_no_other(stage: Stage) -> None:
    stage.take(stage.run)
    key = stage.keys["run"]
    with stage.store.transaction(write=False) as tx:
        [kept] = tx.all(RunCredential)
    assert kept.key_hash == hash_key(key)
    assert key not in repr(kept)
    assert kept.key_hash not in repr(kept)
    drawn = key.removeprefix(RUN_PREFIX)
    assert drawn[-6:] == checksum(drawn[:-6])
    assert not key.removeprefix(PREFIX).isalnum(), "so that no scanner takes it for a token"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/"),
        ("GET", "/api/users/tokens/"),
        ("POST", "/api/users/tokens/"),
        ("GET", "/api/extras/approval-queue/"),
    ],
)
def test_a_credential_is_good_for_nothing_else_here(stage: Stage, method: str, path: str) -> None:
    stage.take(stage.run)
    answer = stage.ask(method, path, "run")
    assert (answer.status_code, answer.json()) == (403, {"detail": NOT_FOR_RUNS})


@pytest.mark.parametrize(
    ("state", "since", "kept"),
    [
        pytest.param("RUNNING", NOW, True, id="under way"),
        pytest.param("PAUSED", NOW, True, id="held"),
        pytest.param("COMPLETED", NOW + ENDING * 2, True, id="just over"),
        pytest.param("CRASHED", NOW, False, id="over"),
        pytest.param(None, NOW, False, id="gone"),
    ],
)
def test_what_is_over_in_prefect_has_no_credential_for_long(
    stage: Stage, state: str | None, since: Any, kept: bool
) -> None:
    stage.take(stage.run)
    if state is None:
        del stage.engine.all_runs[stage.run]
    else:
        stage.engine.all_runs[stage.run] = replace(stage.engine.all_runs[stage.run], state_type=state, since=since)
    stage.clock.forward(seconds=2 * ENDING.total_seconds() + 1)
    asyncio.run(stage.runs.tick())
    with stage.store.transaction(write=False) as tx:
        assert tx.exists(RunCredential, flow_run_id=stage.run) is kept


@pytest.mark.parametrize(
    ("state", "name", "since", "kept"),
    [
        pytest.param("PAUSED", "Suspended", NOW, False, id="held"),
        pytest.param("SCHEDULED", "Scheduled", NOW, False, id="to be taken again"),
        pytest.param("SCHEDULED", "Scheduled", NOW + ENDING * 2, True, id="while its process still ends"),
        pytest.param("PAUSED", "Paused", NOW, True, id="its process waits"),
        pytest.param("SCHEDULED", "AwaitingRetry", NOW, True, id="its process tries again"),
        pytest.param("RUNNING", "Running", NOW, True, id="under way"),
    ],
)
def test_a_run_that_may_be_taken_past_us_has_no_credential_while_it_waits(
    stage: Stage, state: str, name: str, since: datetime, kept: bool
) -> None:
    stage.engine.past_us = True
    stage.take(stage.run)
    run = stage.engine.all_runs[stage.run]
    stage.engine.all_runs[stage.run] = replace(run, state_type=state, state_name=name, since=since)
    stage.clock.forward(seconds=2 * ENDING.total_seconds() + 1)
    asyncio.run(stage.runs.tick())
    with stage.store.transaction(write=False) as tx:
        assert tx.exists(RunCredential, flow_run_id=stage.run) is kept
