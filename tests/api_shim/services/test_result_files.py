"""The files of runs: who has them kept, who may have them, and that they go with their result."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.audit import LocalAdministrator
from api_shim.domain.files import ResultContent, ResultFile
from api_shim.domain.model import Status
from api_shim.services.result_files import IS_OVER, MISSING, NOT_LET_GO, OTHER_FILE
from api_shim.services.retention import Retention
from api_shim.settings import Limits
from api_shim.store import Store
from approval_gate.model import Actor
from approval_gate.policy import NO_PERMISSION, NOT_ITS_RUN
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result

pytestmark = pytest.mark.each_database

ATTEMPT, FILE = UUID(int=7), UUID(int=8)
RESULTS = "extras.jobresult"


class Stage(Origin):
    """A run that has been let go, whose worker speaks with its credential."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, limits=Limits(file_bytes=10))
        self.clock = clock
        self.user("admin")
        worker = self.user("worker", superuser=False)
        self.identity.make_worker("worker", "signoff", NOW)
        self.result = make_result(self.job(), None, id=uuid4(), status=Status.STARTED, attempt=ATTEMPT)
        self.add(self.result)
        taker, run = Actor(id=worker.id, username="worker"), self.result.flow_run_id
        assert run is not None
        self.keys["run"] = asyncio.run(self.runs.taken(taker, run, keyed=True))

    def keep(self, content: bytes = b"hello", who: str | None = "run", **other: Any) -> httpx.Response:
        query = {"flow_run_id": self.result.flow_run_id, "attempt": ATTEMPT, "id": FILE, "name": "a.txt", **other}
        return self.ask(
            "POST", "/api/signoff/files/", who, params={k: str(v) for k, v in query.items()}, content=content
        )

    def kept(self) -> list[tuple[str, bytes]]:
        with self.store.transaction(write=False) as tx:
            contents = {each.file_id: each.content for each in tx.all(ResultContent)}
            files = [(each.name, contents.pop(each.id)) for each in tx.all(ResultFile, order="created")]
        assert contents == {}
        return files

    def ends(self) -> None:
        with self.store.transaction() as tx:
            tx.change(self.result, status=Status.SUCCESS, date_done=self.clock())


@pytest.fixture
def stage(store: Store, clock: Clock) -> Stage:
    return Stage(store, clock)


def test_what_a_run_makes_is_listed_with_its_result_and_downloaded(stage: Stage) -> None:
    assert stage.keep().status_code == 201
    [file] = stage.ask("GET", f"/api/extras/job-results/{stage.result.id}/").json()["files"]
    assert (file["name"], file["size"], file["object_type"]) == ("a.txt", 5, "extras.fileproxy")
    assert file["job_result"]["id"] == str(stage.result.id)
    assert stage.ask("GET", f"/api/extras/file-proxies/{FILE}/").json() == file
    answer = stage.ask("GET", file["download_url"])
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert answer.headers["API-Version"]


def test_what_is_sent_twice_is_kept_once_and_never_replaced(stage: Stage) -> None:
    assert [stage.keep().status_code for _ in range(2)] == [201, 201]
    other = stage.keep(b"other")
    assert (other.status_code, other.json()) == (409, {"detail": OTHER_FILE})
    assert stage.keep(b"other", id=uuid4()).status_code == 201
    assert sorted(stage.kept()) == [("a.txt", b"hello"), ("a.txt", b"other")]


REFUSED: list[Any] = [
    pytest.param({"name": "../a"}, 400, "no / and no", id="a path as its name"),
    pytest.param({"content": b"x" * 11}, 413, "larger than 10 bytes", id="too large"),
    pytest.param({"attempt": uuid4()}, 404, NOT_LET_GO, id="of another process"),
    pytest.param({"attempt": "x"}, 400, "valid UUID", id="of no process"),
    pytest.param({"flow_run_id": uuid4()}, 403, NOT_ITS_RUN, id="of another run"),
    pytest.param({"who": None}, 403, "credentials were not provided", id="of nobody"),
    pytest.param({"who": "admin"}, 403, "Only the run itself", id="of a superuser"),
]


@pytest.mark.parametrize(("how", "status", "told"), REFUSED)
def test_nothing_else_is_kept(stage: Stage, how: dict[str, Any], status: int, told: str) -> None:
    answer = stage.keep(**how)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert stage.kept() == []


def test_after_its_end_a_run_makes_no_more_files_but_may_repeat_what_it_has_sent(stage: Stage) -> None:
    stage.keep()
    stage.ends()
    assert stage.keep().status_code == 201
    late = stage.keep(id=uuid4())
    assert (late.status_code, late.json()) == (409, {"detail": IS_OVER})


def test_who_may_view_the_result_has_its_files_and_others_do_not_learn_of_them(stage: Stage) -> None:
    stage.keep()
    for name, constraint in (("sees", None), ("sees-others", {"name": "another"}), ("sees-none", None)):
        stage.user(name, superuser=False)
        if name != "sees-none":
            stage.identity.add_permission(
                name, NOW, types=[RESULTS], actions=["view"], users=[name], constraint=constraint
            )
    for more in ("", "download/"):
        told = {
            name: stage.ask("GET", f"/api/extras/file-proxies/{FILE}/{more}", name)
            for name in ("sees", "sees-others", "sees-none")
        }
        missing = stage.ask("GET", f"/api/extras/file-proxies/{uuid4()}/{more}", "sees-others")
        assert [each.status_code for each in told.values()] == [200, 404, 403]
        assert (told["sees-others"].json(), missing.json()) == ({"detail": MISSING}, {"detail": MISSING})
        assert told["sees-none"].json() == {"detail": NO_PERMISSION}


def test_a_file_goes_with_its_result_whether_that_is_deleted_or_pruned(stage: Stage) -> None:
    stage.keep()
    stage.ends()
    assert stage.ask("DELETE", f"/api/extras/job-results/{stage.result.id}/").status_code == 204
    assert stage.kept() == []
    old = replace(stage.result, id=uuid4(), flow_run_id=uuid4(), status=Status.SUCCESS, date_done=NOW)
    stage.add(old)
    with stage.store.transaction() as tx:
        tx.add(ResultFile(id=FILE, job_result_id=old.id, name="a", size=1, sha256="", created=NOW))
        tx.add(ResultContent(file_id=FILE, content=b"x"))
    later = NOW + timedelta(days=9)
    Retention(stage.store, LocalAdministrator("cron"), sleep=lambda _: None).prune(later, later)
    assert stage.kept() == []
