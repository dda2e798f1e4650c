"""What cannot be shown on a healthy server: other databases, failures, and how much is asked for a page."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from fastapi import Request
from sqlalchemy import event

from api_shim.domain.model import Status
from api_shim.domain.ports import LogLine
from api_shim.parsing.fields import read_id
from api_shim.services.queries import entry_of
from api_shim.store import Store, Transaction
from api_shim.web.bodies import DEEPEST
from api_shim.web.rest.protocol import respond
from api_shim.web.rest.serializers import Serializer
from approval_gate.errors import Unavailable
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_job, make_result, make_scheduled

JOBS, SCHEDULES, RESULTS = ("/api/extras/jobs/", "/api/extras/scheduled-jobs/", "/api/extras/job-results/")


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Iterator[Origin]:
    made = Origin(sqlite_store, clock)
    made.user()
    return made


@pytest.mark.parametrize("address", [JOBS, SCHEDULES])
@pytest.mark.parametrize(
    "odd", ["a\0b", "\0", "a/b", "ä", "💩", "\ud7ff", "x" * 10_000], ids=lambda odd: repr(odd)[:20]
)
@pytest.mark.each_database
def test_any_text_can_be_asked_for_in_any_database(store: Store, clock: Clock, address: str, odd: str) -> None:
    origin = Origin(store, clock)
    origin.user()
    text = quote(odd, safe="")
    assert origin.ask("GET", f"{address}{text}/").status_code == 404
    assert origin.ask("GET", f"{RESULTS}{text}/logs/").status_code == 404
    for field in ("name", "q", "id"):
        answer = origin.ask("GET", f"{address}?{field}={text}")
        assert answer.status_code == (400 if field == "id" or "\0" in odd else 200)
        assert "sqlalchemy" not in answer.text


def test_a_failure_is_told_without_details_and_logged_with_them(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(Transaction, "page", fail)
    with caplog.at_level(logging.ERROR, "signoff"):
        answer = origin.ask("GET", JOBS)
    assert (answer.status_code, answer.json()) == (
        500,
        {"detail": "Internal server error. The server log has the details."},
    )
    assert answer.headers["API-Version"] == "2.4"
    assert "the secret reason" in caplog.text


def test_a_store_that_cannot_be_reached_is_unavailable_on_every_side(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_how: Any) -> None:
        raise Unavailable("The store cannot be reached now; please try again.")

    monkeypatch.setattr(Store, "transaction", fail)
    for path in ("/api/", JOBS, "/api/extras/nothing/", "/api/flows/filter"):
        answer = origin.ask("GET", path)
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The store cannot be reached now; please try again."}
    assert origin.passed == []


def test_nobody_serving_the_queue_is_unavailable(origin: Origin, clock: Clock) -> None:
    clock.forward(seconds=30)
    origin.look()
    job = origin.job(module_name="flows.examples", job_class_name="BackUp", job_queues=("default", "bulk"))
    body = {"data": {"source": "/x", "target": "/y"}, "task_queue": "bulk"}
    answer = origin.ask("POST", f"{JOBS}{job.id}/run/", json=body)
    told = "Unable to process request: No Prefect workers running on queue bulk."
    assert (answer.status_code, answer.json()) == (503, {"detail": told})
    assert (origin.engine.all_runs, origin.ask("GET", RESULTS).json()["count"]) == ({}, 0)


def test_a_job_that_is_not_installed_cannot_be_run(origin: Origin) -> None:
    job = origin.job(installed=False)
    answer = origin.ask("POST", f"{JOBS}{job.id}/run/", json={})
    told = "This job is not presently installed and cannot be run."
    assert (answer.status_code, answer.json()) == (405, {"detail": told})


def test_while_prefect_does_not_answer_the_last_known_state_is_shown(origin: Origin) -> None:
    job = origin.job()
    origin.add(result := make_result(job, None))
    origin.engine.fail("runs", times=-1)
    origin.engine.fail("logs", times=-1)
    assert origin.ask("GET", f"{RESULTS}{result.id}/").json()["status"]["value"] == "PENDING"
    assert origin.ask("GET", RESULTS).json()["count"] == 1
    assert origin.ask("GET", f"{RESULTS}{result.id}/logs/").status_code == 503


@pytest.mark.parametrize("address", [JOBS, SCHEDULES, RESULTS])
def test_a_page_of_fifty_asks_no_more_often_than_a_page_of_one(origin: Origin, address: str) -> None:
    jobs = [make_job() for _ in range(50)]
    origin.add(*jobs, *(make_scheduled(job, None) for job in jobs))
    origin.add(*(make_result(job, None, status=Status.SUCCESS) for job in jobs))
    asked: list[str] = []
    engine = origin.store._engine
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    counts = []
    for limit in (1, 50):
        asked.clear()
        page = origin.ask("GET", address, params={"limit": limit}).json()
        assert len(page["results"]) == limit
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 10


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab", True),
        ("6F1F4D9E7A0B4C6D8E0F0123456789AB", True),
        ("", False),
        ("a name", False),
        ("6f1f4d9e-7a0b-4c6d-8e0f-0123456789a", False),
        ("\0" * 32, False),
    ],
)
def test_what_is_no_uuid_is_a_name(text: str, is_id: bool) -> None:
    assert (read_id(text) is not None) is is_id


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [deep(DEEPEST), {"a": [1, 1.0, None, True, 10**30]}], ids=["deep", "of every kind"])
def test_what_a_job_gave_back_is_answered_as_it_is(value: Any) -> None:
    shape = Serializer("", {}).job_result(make_result(make_job(), None, result=value))
    answer = respond(Request({"type": "http", "headers": []}), {"all": [shape]})
    assert json.loads(answer.body)["all"][0]["result"] == value


def test_half_a_character_spoils_no_answer() -> None:
    line = LogLine(id=uuid4(), level=20, source="", message="a\ud800", created=NOW)
    entry = entry_of(line, make_result(make_job(), None))
    answer = respond(Request({"type": "http", "headers": []}), [Serializer("", {}).log_entry(entry)])
    assert json.loads(answer.body)[0]["message"] == "a?"
