"""Related objects, as deep as the query says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from api_shim.domain.model import Status, queue_of
from api_shim.store import Store
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_job, make_result, make_scheduled

SCHEDULES, RESULTS, JOBS = "/api/extras/scheduled-jobs/", "/api/extras/job-results/", "/api/extras/jobs/"


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Iterator[Origin]:
    made = Origin(sqlite_store, clock)
    owner = made.user()
    made.add(queue_of("default"), job := make_job(name="Backup"))
    made.add(row := make_scheduled(job, owner, name="nightly"))
    made.add(make_result(job, owner, scheduled_job_id=row.id, status=Status.SUCCESS))
    return made


def test_without_depth_related_objects_are_references(origin: Origin) -> None:
    [row] = origin.ask("GET", SCHEDULES).json()["results"]
    assert row["job_model"].keys() == row["user"].keys() == {"id", "object_type", "url"}


def test_with_depth_they_are_shown_in_full(origin: Origin) -> None:
    [row] = origin.ask("GET", f"{SCHEDULES}?depth=1").json()["results"]
    assert (row["job_model"]["name"], row["user"]["username"]) == ("Backup", "admin")
    assert (row["job_queue"]["name"], row["job_queue"]["worker_count"]) == ("default", 1)
    assert row["approved_by_user"] is None
    # What they refer to themselves is not.
    assert row["job_model"]["default_job_queue"].keys() == {"id", "object_type", "url"}


def test_one_object_too(origin: Origin) -> None:
    [row] = origin.ask("GET", RESULTS).json()["results"]
    found = origin.ask("GET", f"{RESULTS}{row['id']}/?depth=1").json()
    assert (found["scheduled_job"]["name"], found["job_model"]["name"]) == ("nightly", "Backup")


def test_lists_of_related_objects_too(origin: Origin) -> None:
    [job] = origin.ask("GET", f"{JOBS}?depth=1").json()["results"]
    assert [queue["name"] for queue in job["job_queues"]] == ["default"]


@pytest.mark.parametrize("depth", ["1", "2", "99"])
def test_more_than_one_is_one(origin: Origin, depth: str) -> None:
    [row] = origin.ask("GET", f"{SCHEDULES}?depth={depth}").json()["results"]
    assert row["job_model"]["name"] == "Backup"


@pytest.mark.parametrize("depth", ["0", "-1", "deep", ""])
def test_nonsense_is_none(origin: Origin, depth: str) -> None:
    [row] = origin.ask("GET", f"{SCHEDULES}?depth={depth}").json()["results"]
    assert row["job_model"].keys() == {"id", "object_type", "url"}


def test_what_the_caller_may_not_view_stays_a_reference(origin: Origin) -> None:
    origin.user("bob", superuser=False)
    origin.identity.add_permission("see", NOW, types=["extras.scheduledjob"], actions=["view"], users=["bob"])
    origin.identity.add_permission(
        "some", NOW, types=["extras.job"], actions=["view"], users=["bob"], constraint={"name": "Other"}
    )
    [row] = origin.ask("GET", f"{SCHEDULES}?depth=1", "bob").json()["results"]
    assert row["job_model"].keys() == row["user"].keys() == row["job_queue"].keys() == {"id", "object_type", "url"}


def test_while_prefect_does_not_answer_nobody_knows_who_serves(origin: Origin) -> None:
    origin.engine.fail("worker_counts", times=-1)
    [queue] = origin.ask("GET", "/api/extras/job-queues/").json()["results"]
    assert (queue["name"], queue["worker_count"]) == ("default", None)


@pytest.mark.parametrize("address", [JOBS, SCHEDULES, RESULTS])
def test_depth_asks_no_more_often_for_fifty_than_for_one(origin: Origin, address: str) -> None:
    owners = [origin.user(f"user{number}") for number in range(50)]
    jobs = [make_job() for _ in owners]
    rows = [make_scheduled(job, owner) for job, owner in zip(jobs, owners, strict=True)]
    done = [
        make_result(job, owner, scheduled_job_id=row.id, status=Status.SUCCESS)
        for job, owner, row in zip(jobs, owners, rows, strict=True)
    ]
    origin.add(*jobs, *rows, *done)
    asked: list[str] = []
    event.listen(origin.store._engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    counts = []
    for limit in (1, 50):
        asked.clear()
        page = origin.ask("GET", address, params={"limit": limit, "depth": 1}).json()
        assert len(page["results"]) == limit
        counts.append(len(asked))
    assert counts[0] == counts[1]
