"""The files that runs are given: how they come in, who has them, and that they go when nothing needs them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.files import InputFile, InputFileUse
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.services.input_files import MISSING, NOT_GIVEN, UnneededFiles
from api_shim.services.results import NO_FILES
from api_shim.settings import Limits
from api_shim.store import Store
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from approval_gate.policy import MAY_NOT_APPROVE, NO_PERMISSION, NOT_ITS_RUN
from flows.registry import discover
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result, make_scheduled

pytestmark = pytest.mark.each_database

MODULE = "tests.acceptance.jobs_for_tests"
RUN = "/api/extras/jobs/Read a file/run/"
SCHEDULES, RESULTS = "/api/extras/scheduled-jobs/", "/api/extras/job-results/"
WORD = b"rosebud\0\xff"
ATTEMPT = UUID(int=7)


class Stage(Origin):
    """A server that has a Job with a file, alice who asks for runs of it, and bob who may approve them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, limits=Limits(file_bytes=100))
        self.clock = clock
        found = discover([MODULE]).jobs[f"{MODULE}.Read"]
        self.catalogue.record([found])
        self.read = self.change(self.only(Job), enabled=True)
        self.user()
        self.people = {name: self.user(name, superuser=False) for name in ("alice", "bob", "worker")}
        for who, kind, action in (
            *(("alice", "extras.job", action) for action in ("view", "run")),
            *(("alice", kind, "view") for kind in ("extras.scheduledjob", "extras.jobresult")),
            *(("bob", "extras.job", action) for action in ("view", "run", "approve")),
            *(("bob", "extras.scheduledjob", action) for action in ("view", "change")),
        ):
            self.identity.add_permission(f"{who} {kind} {action}", NOW, types=[kind], actions=[action], users=[who])
        self.look()

    def only(self, kind: type[Any]) -> Any:
        [found] = self.all(kind)
        return found

    def all(self, kind: type[Any]) -> list[Any]:
        with self.store.transaction(write=False) as tx:
            return tx.all(kind)

    def change(self, thing: Any, **to: Any) -> Any:
        with self.store.transaction() as tx:
            return tx.change(thing, **to)

    def request(self, content: bytes = WORD, name: str = "a.txt", who: str = "alice", **form: Any) -> httpx.Response:
        return self.ask("POST", RUN, who, files={"file": (name, content)}, data=form)

    def waiting(self) -> dict[str, Any]:
        answer = self.request()
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["scheduled_job"]
        return made

    def let_go(self, **to: Any) -> JobResult:
        """Let a run go with what waits, whose worker speaks with the key called ``run``."""
        row = self.only(ScheduledJob)
        started = {"status": Status.STARTED, "attempt": ATTEMPT, "inputs": row.inputs, **to}
        result = make_result(self.read, self.people["alice"], id=uuid4(), **started)
        self.add(result)
        self.identity.make_worker("worker", "signoff", NOW)
        taker = Actor(id=self.people["worker"].id, username="worker")
        assert result.flow_run_id is not None
        self.keys["run"] = asyncio.run(self.runs.taken(taker, result.flow_run_id, keyed=True))
        return result

    def fetch(self, result: JobResult, who: str = "run", **other: Any) -> httpx.Response:
        asked = {"flow_run_id": str(result.flow_run_id), "attempt": str(ATTEMPT), "variable": "file", **other}
        return self.ask("POST", "/api/signoff/given-file/", who, json=asked)

    def sweep(self) -> int:
        """Look for what is not needed as often as it takes, and return how many files are left."""

        async def twice() -> None:
            unneeded = UnneededFiles(self.store)
            await unneeded.remove()
            await unneeded.remove()

        asyncio.run(twice())
        left = {each.id for each in self.all(InputFile)}
        assert {each.file_id for each in self.all(InputFileUse)} == left
        return len(left)


@pytest.fixture
def stage(store: Store, clock: Clock) -> Stage:
    return Stage(store, clock)


def test_a_file_is_kept_encrypted_and_stands_in_the_inputs_as_a_reference(stage: Stage) -> None:
    shown = stage.waiting()["kwargs"]["file"]
    assert (shown["name"], shown["size"], len(shown["sha256"])) == ("a.txt", len(WORD), 64)
    kept, use, row = stage.only(InputFile), stage.only(InputFileUse), stage.only(ScheduledJob)
    assert (str(kept.id), use.holder_id) == (shown["id"], row.id)
    assert b"rosebud" not in kept.content
    [held] = stage.engine.all_runs.values()
    assert held.parameters == {"file": shown, "dryrun": False}


def test_a_run_has_the_file_that_it_is_given_by_its_own_credential_and_nobody_else(stage: Stage) -> None:
    stage.waiting()
    result = stage.let_go()
    assert (stage.fetch(result).status_code, stage.fetch(result).content) == (200, WORD)
    for other in ({"attempt": str(uuid4())}, {"variable": "dryrun"}, {"variable": "none"}):
        refused = stage.fetch(result, **other)
        assert (refused.status_code, refused.json()) == (404, {"detail": NOT_GIVEN})
    assert stage.fetch(result, flow_run_id=str(uuid4())).json() == {"detail": NOT_ITS_RUN}
    for who in ("alice", "bob", "admin"):
        assert stage.fetch(result, who).status_code == 403
    stage.change(result, status=Status.SUCCESS, date_done=stage.clock())
    assert stage.fetch(result).json() == {"detail": NOT_GIVEN}


def test_a_reference_that_somebody_wrote_gives_nothing(stage: Stage) -> None:
    shown = stage.waiting()["kwargs"]["file"]
    refused = stage.ask("POST", RUN, "alice", json={"data": {"file": shown}})
    told = "Send a file, as a part of multipart/form-data."
    assert (refused.status_code, refused.json()) == (400, {"errors": {"file": [told]}})
    # As an input that is no file, of whatever looks like one.
    result = stage.let_go(inputs={"dryrun": shown})
    assert stage.fetch(result, variable="dryrun").status_code == 404


def test_who_may_approve_has_the_file_and_nobody_else_not_even_who_sent_it(stage: Stage) -> None:
    waiting = stage.waiting()
    file_id = waiting["kwargs"]["file"]["id"]
    path = f"{SCHEDULES}{waiting['id']}/files/{file_id}/download/"
    answer = stage.ask("GET", path, "bob")
    assert (answer.status_code, answer.content) == (200, WORD)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert stage.ask("GET", path, "alice").json() == {"detail": NO_PERMISSION}
    other = stage.ask("GET", path.replace(file_id, str(uuid4())), "bob")
    assert (other.status_code, other.json()) == (404, {"detail": MISSING})
    stage.identity.remove_permission("bob extras.job approve", NOW)
    assert stage.ask("GET", path, "bob").json() == {"detail": MAY_NOT_APPROVE}


def test_what_may_be_sensitive_nobody_downloads(stage: Stage) -> None:
    waiting = stage.waiting()
    stage.change(stage.read, has_sensitive_variables=True)
    path = f"{SCHEDULES}{waiting['id']}/files/{waiting['kwargs']['file']['id']}/download/"
    assert stage.ask("GET", path).json() == {"detail": MISSING}


def test_an_approval_is_of_the_content(stage: Stage) -> None:
    versions = {
        stage.request(content, _schedule_name=name, _schedule_interval="immediately").json()["scheduled_job"][
            "approval_version"
        ]
        for name, content in (("one", b"1"), ("two", b"2"))
    }
    assert len(versions) == 2


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        pytest.param(b"x" * 100, 201, "scheduled_job", id="as large as it may be"),
        pytest.param(b"x" * 101, 413, "The files have 101 bytes together, of at most 100", id="larger"),
    ],
)
def test_files_have_a_limit(stage: Stage, content: bytes, status: int, told: str) -> None:
    answer = stage.request(content)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text


def test_the_name_is_that_of_the_file_and_not_its_path(stage: Stage) -> None:
    shown = stage.request(name="C:\\secret\\a.txt").json()["scheduled_job"]["kwargs"]["file"]
    assert shown["name"] == "a.txt"


def test_a_request_that_is_refused_keeps_no_file(stage: Stage) -> None:
    assert stage.request(bogus="x").status_code == 400
    assert stage.all(InputFile) == []


def test_asking_again_with_the_same_key_keeps_one_file(stage: Stage) -> None:
    key = {"Idempotency-Key": "k"}
    sent = [{"file": ("a.txt", content)} for content in (b"1", b"1", b"2")]
    answers = [stage.ask("POST", RUN, "alice", files=files, headers=key) for files in sent]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[0].json()["scheduled_job"]["id"] == answers[1].json()["scheduled_job"]["id"]
    assert len(stage.all(InputFile)) == 1


# For how long


def test_a_file_stays_while_its_schedule_may_run_or_its_run_is_not_over(stage: Stage) -> None:
    stage.waiting()
    assert stage.sweep() == 1
    result = stage.let_go()
    row = stage.change(stage.only(ScheduledJob), total_run_count=1, enabled=False)
    assert row.is_spent
    assert stage.sweep() == 1
    stage.change(result, status=Status.FAILURE, date_done=stage.clock())
    assert stage.sweep() == 0


@pytest.mark.parametrize("how", ["deleted", "expired"])
def test_a_file_goes_with_what_cannot_run_any_more(stage: Stage, how: str) -> None:
    waiting = stage.waiting()
    if how == "deleted":
        assert stage.ask("DELETE", f"{SCHEDULES}{waiting['id']}/").status_code == 204
    else:
        stage.change(stage.only(ScheduledJob), approval=ApprovalState.EXPIRED, enabled=False)
    assert stage.sweep() == 0


def test_a_file_of_several_goes_with_the_last(stage: Stage) -> None:
    stage.waiting()
    row = stage.only(ScheduledJob)
    again = make_scheduled(stage.read, stage.people["alice"], name="again", inputs=dict(row.inputs))
    stage.add(again)
    assert len(stage.all(InputFileUse)) == 2
    with stage.store.transaction() as tx:
        tx.remove(row)
    asyncio.run(UnneededFiles(stage.store).remove())
    assert len(stage.all(InputFile)) == 1
    stage.change(again, inputs={"file": None, "dryrun": False})
    assert stage.sweep() == 0


def test_what_is_found_unneeded_once_may_just_be_on_its_way(stage: Stage) -> None:
    stage.waiting()
    stage.change(stage.only(ScheduledJob), approval=ApprovalState.EXPIRED)
    unneeded = UnneededFiles(stage.store)
    asyncio.run(unneeded.remove())
    stage.let_go()
    asyncio.run(unneeded.remove())
    assert len(stage.all(InputFile)) == 1


def test_the_loop_removes_what_nothing_needs(stage: Stage) -> None:
    waiting = stage.waiting()
    stage.ask("DELETE", f"{SCHEDULES}{waiting['id']}/")
    for _ in range(2):
        stage.clock.now += timedelta(minutes=1)
        asyncio.run(stage.loop.tick())
    assert stage.all(InputFile) == []


# Again, and otherwise


def test_a_change_keeps_the_file_whether_it_is_sent_back_or_left_out(stage: Stage) -> None:
    waiting = stage.waiting()
    stage.identity.add_permission("edits", NOW, types=["extras.scheduledjob"], actions=["change"], users=["alice"])
    path, shown = f"{SCHEDULES}{waiting['id']}/", waiting["kwargs"]["file"]
    for data in ({"dryrun": True, "file": shown}, {"dryrun": False}):
        answer = stage.ask("PATCH", path, "alice", json={"data": data})
        assert answer.status_code == 200, answer.text
        assert (answer.status_code, answer.json()["kwargs"]["file"]) == (200, shown)
    other = stage.ask("PATCH", path, "alice", json={"data": {"file": {**shown, "name": "b.txt"}}})
    assert other.status_code == 400


def test_what_was_given_a_file_cannot_run_again(stage: Stage) -> None:
    stage.waiting()
    result = stage.let_go()
    stage.change(result, status=Status.SUCCESS, date_done=stage.clock())
    answer = stage.ask("POST", f"{RESULTS}{result.id}/run-again/")
    assert (answer.status_code, answer.json()) == (409, {"detail": NO_FILES})


def test_a_dry_run_of_a_request_has_its_file(stage: Stage) -> None:
    waiting = stage.waiting()
    assert stage.ask("POST", f"{SCHEDULES}{waiting['id']}/dry-run/", "bob").status_code == 200
    result = stage.only(JobResult)
    assert {use.holder_id for use in stage.all(InputFileUse)} == {result.id, UUID(waiting["id"])}
