"""The page of a run: a long log, a log that follows along, and Prefect that does not answer."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.accounts import COOKIE, Session
from api_shim.domain.files import ResultContent, ResultFile
from api_shim.domain.model import Job, JobResult, Status
from api_shim.domain.ports import LogLine
from api_shim.store import Store
from api_shim.web.pages.result import LATE_LINES
from api_shim.web.pages.visit import ZONE_COOKIE
from flows.files import GivenFile
from flows.registry import discover
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, OPERATOR, make_result

FILE = GivenFile.sent(uuid4(), "a.txt", b"hello").reference
LONG_AGO = NOW - timedelta(days=1)


class Visitor:
    """Somebody who is signed in, and looks at results."""

    def __init__(self, origin: Origin, clock: Clock) -> None:
        self.origin = origin
        self.clock = clock
        self.user = origin.user()
        self.key, self.session = self._sign_in()

    def _sign_in(self) -> tuple[str, Session]:
        return asyncio.run(self.origin.sessions.sign_in("admin", self.origin.keys["admin"], ""))

    def ran(self, lines: int = 0, **to: Any) -> JobResult:
        over = {"status": Status.SUCCESS, "date_started": LONG_AGO, "date_done": LONG_AGO}
        result = make_result(self.origin.job(), self.user, **{**over, **to})
        self.origin.add(result)
        self.origin.engine.lines[result.id] = [self.line(f"line {number};") for number in range(lines)]
        return result

    def line(self, message: str) -> LogLine:
        return LogLine(id=uuid4(), level=20, source="prefect.flow_runs", message=message, created=NOW)

    def asks(self, method: str, path: str, *, zone: str = "UTC", **how: Any) -> httpx.Response:
        cookies = f"{COOKIE}={self.key}; {ZONE_COOKIE}={zone}"
        return self.origin.ask(method, path, None, headers={"Cookie": cookies}, **how)

    def sends(self, path: str, **form: Any) -> httpx.Response:
        return self.asks("POST", path, data={"csrf": self.session.csrf, **form})

    def again(self, result: JobResult) -> httpx.Response:
        return self.asks("GET", f"/signoff/jobs/{result.job_id}/run?from={result.id}")

    def does(self, result_id: UUID | str, action: str) -> httpx.Response:
        return self.sends(f"/signoff/results/{result_id}/{action}")

    def sees(self, result_id: UUID | str, more: str = "") -> httpx.Response:
        return self.asks("GET", f"/signoff/results/{result_id}{more}")


@pytest.fixture
def visitor(sqlite_store: Store, clock: Clock) -> Visitor:
    return Visitor(Origin(sqlite_store, clock), clock)


def test_a_page_says_from_which_run_it_was_requested(visitor: Visitor) -> None:
    parent = visitor.ran()
    child = visitor.ran(requested_from=parent.id)
    link = f'<dt>Requested from</dt><dd><a href="/signoff/results/{parent.id}">'
    assert [link in visitor.sees(each.id).text for each in (child, parent)] == [True, False]


def test_a_page_says_which_automation_has_requested_it(visitor: Visitor) -> None:
    asking = {"id": str(uuid4()), "name": "<nightly>", "bound_by_id": str(uuid4()), "bound_by": "zoe"}
    said = "the automation “&lt;nightly&gt;”, bound by zoe"
    results = visitor.ran(automation=asking), visitor.ran()
    assert [said in visitor.sees(each.id).text for each in results] == [True, False]


def test_to_follow_does_not_take_the_sentence_for_the_next_page(visitor: Visitor) -> None:
    result = visitor.ran()
    with visitor.origin.store.transaction() as tx:
        tx.change(visitor.session, notice="You did it.")
    visitor.sees(result.id, "/follow")
    assert "You did it." in visitor.sees(result.id).text


def test_while_prefect_does_not_answer_all_else_is_shown(visitor: Visitor) -> None:
    result = visitor.ran(result={"greeted": "Ada"})
    visitor.origin.engine.fail("logs", times=-1)
    page = visitor.sees(result.id)
    assert page.status_code == 200
    assert "The log is not available because Prefect is not responding." in page.text
    assert "greeted" in page.text
    assert visitor.sees(result.id, "/follow").status_code == 200


@pytest.mark.parametrize(
    ("ago", "follows"),
    [
        pytest.param(LATE_LINES / 2, True, id="just ended: its last lines may be on their way"),
        pytest.param(LATE_LINES * 2, False, id="ended before"),
    ],
)
def test_a_page_follows_until_the_last_lines_have_arrived(visitor: Visitor, ago: timedelta, follows: bool) -> None:
    page = visitor.sees(visitor.ran(date_done=NOW - ago).id).text
    assert ("data-follow" in page, 'http-equiv="refresh"' in page, "follow.js" in page) == (follows,) * 3


def test_inputs_of_a_sensitive_run_are_not_shown(visitor: Visitor) -> None:
    page = visitor.sees(visitor.ran(sensitive=True, inputs={"password": "hunter2"}).id).text
    assert "hunter2" not in page
    assert "Hidden because they may be sensitive." in page


def test_whom_a_run_went_as_is_told_also_when_they_are_gone(visitor: Visitor) -> None:
    assert "nobody (the user has been removed)" in visitor.sees(visitor.ran(user_id=None).id).text


# What can be done with a run


LINKS = {"cancel": '/cancel"', "run again": "/run?from=", "resume": '/resume"'}


def offered(page: httpx.Response) -> list[str]:
    return [action for action, link in LINKS.items() if link in page.text]


UNDER_WAY = {"status": Status.PENDING, "flow_run_id": None, "date_done": None, "date_started": None}


@pytest.mark.parametrize(
    ("as_it_stands", "expected"),
    [
        pytest.param({}, ["run again"], id="over"),
        pytest.param(UNDER_WAY, ["cancel"], id="under way"),
        pytest.param({**UNDER_WAY, "suspended": True}, ["cancel", "resume"], id="suspended by its own code"),
        pytest.param({**UNDER_WAY, "cancelled_by": "bob"}, [], id="under way, and cancelled already"),
        pytest.param({"sensitive": True}, ["run again"], id="over, and its inputs not kept"),
        pytest.param({"job_id": None}, [], id="over, and its Job gone"),
    ],
)
def test_what_can_be_done_with_a_run_is_offered(
    visitor: Visitor, as_it_stands: dict[str, Any], expected: list[str]
) -> None:
    assert offered(visitor.sees(visitor.ran(**as_it_stands).id)) == expected


def test_who_may_only_see_a_run_is_offered_nothing_and_told_why_when_they_try(
    sqlite_store: Store, clock: Clock
) -> None:
    visitor = Visitor(Origin(sqlite_store, clock), clock)
    over, under_way = visitor.ran(user_id=None), visitor.ran(user_id=None, **UNDER_WAY)
    with sqlite_store.transaction() as tx:
        tx.change(visitor.user, is_superuser=False)
    visitor.origin.identity.add_permission("sees", NOW, types=["extras.jobresult"], actions=["view"], users=["admin"])
    assert [offered(visitor.sees(each.id)) for each in (over, under_way)] == [[], []]
    refused = visitor.does(under_way.id, "cancel")
    assert (refused.status_code, "The action failed." in refused.text) == (403, True)
    unasked = visitor.sees(under_way.id, "/cancel")
    assert (unasked.status_code, unasked.headers["Location"]) == (303, f"/signoff/results/{under_way.id}")
    assert visitor.again(over).status_code == 403


def test_a_run_is_cancelled_and_its_page_tells_by_whom(visitor: Visitor) -> None:
    result = visitor.ran(**UNDER_WAY)
    question = visitor.sees(result.id, "/cancel").text
    assert ("Cancel this run?" in question, "It has not started, and will not." in question) == (True, True)
    assert "asked to stop" in visitor.sees(visitor.ran(**UNDER_WAY, attempt=uuid4()).id, "/cancel").text
    answer = visitor.does(result.id, "cancel")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/signoff/results/{result.id}")
    page = visitor.sees(result.id)
    assert "The run was cancelled." in page.text
    assert "<dt>Cancelled by</dt><dd>admin</dd>" in page.text
    late = visitor.does(visitor.ran().id, "cancel")
    assert (late.status_code, "This run has already ended." in late.text) == (409, True)


def test_that_a_run_is_suspended_is_told(visitor: Visitor) -> None:
    suspended = {**UNDER_WAY, "status": Status.STARTED, "suspended": True}
    assert "until somebody resumes it" in visitor.sees(visitor.ran(**suspended, attempt=uuid4()).id).text
    assert "it has been resumed" in visitor.sees(visitor.ran(**suspended).id).text
    assert "by its own code" not in visitor.sees(visitor.ran(suspended=True).id).text


def test_a_run_that_prefect_does_not_hold_is_not_resumed(visitor: Visitor) -> None:
    visitor.origin.catalogue.record(discover(["flows.examples"]).jobs.values())
    job = visitor.origin.catalogue.set_enabled("Check hosts", OPERATOR, enabled=True)
    answer = visitor.does(visitor.ran(**UNDER_WAY, job_id=job.id, suspended=True).id, "resume")
    assert (answer.status_code, "there is nothing to resume" in answer.text) == (409, True)


def check_hosts(visitor: Visitor) -> Job:
    visitor.origin.catalogue.record(discover(["flows.examples"]).jobs.values())
    return visitor.origin.catalogue.set_enabled("Check hosts", OPERATOR, enabled=True)


def test_to_run_again_opens_the_form_with_the_inputs_of_the_run(visitor: Visitor) -> None:
    job = check_hosts(visitor)
    over = visitor.ran(job_id=job.id, inputs={"hosts": "a:1\n<b>:2", "timeout": 7, "removed": 1}, queue="bulk")
    page = visitor.again(over).text
    assert ">\na:1\n&lt;b&gt;:2</textarea>" in page
    assert re.search(r'name="input.timeout"[^>]* value="7"', page)
    assert f'<a href="/signoff/results/{over.id}">the run of' in page
    assert "The Job no longer has this input: removed." in page
    assert "not kept" not in page


@pytest.mark.parametrize(
    ("given", "told", "not_told"),
    [
        pytest.param({"sensitive": True}, "fill them in again", "choose them again", id="sensitive inputs"),
        pytest.param(
            {"inputs": {"hosts": FILE, "timeout": 7}}, "choose them again (Hosts)", "fill them in", id="a file"
        ),
    ],
)
def test_the_form_says_what_of_a_run_is_not_kept(
    visitor: Visitor, given: dict[str, Any], told: str, not_told: str
) -> None:
    job = check_hosts(visitor)
    page = visitor.again(visitor.ran(job_id=job.id, **{"inputs": {"hosts": "hunter2"}, **given})).text
    assert (told in page, not_told in page, "hunter2" in page, "a.txt" in page) == (True, False, False, False)


def test_the_form_is_filled_in_from_runs_of_its_own_job(visitor: Visitor) -> None:
    job = check_hosts(visitor)
    form = f"/signoff/jobs/{job.id}/run?from="
    for other in (visitor.ran().id, uuid4(), "nonsense"):
        assert visitor.asks("GET", f"{form}{other}").status_code == 404
    assert "Filled in with the inputs of" not in visitor.asks("GET", form).text


def test_inputs_are_called_and_shown_as_in_the_form(visitor: Visitor) -> None:
    visitor.origin.catalogue.record(discover(["flows.examples"]).jobs.values())
    [job] = [job for job in visitor.origin.catalogue.jobs() if job.name == "Summarise CSV"]
    page = visitor.sees(visitor.ran(job_id=job.id, inputs={"delimiter": "tab", "older": "value"}).id).text
    assert [*re.findall(r"<dt>(Delimiter|older)</dt><dd>\s*<span[^>]*>([^<]*)", page)] == [
        ("Delimiter", "Tab"),
        ("older", "value"),
    ]


def test_a_result_that_is_a_table_is_shown_as_one(visitor: Visitor) -> None:
    page = visitor.sees(visitor.ran(result=[{"name": "<b>", "left": 3, "why": ""}]).id).text
    assert '<tr><th scope="col">name</th><th scope="col">left</th><th scope="col">why</th></tr>' in page
    assert '<td data-label="name">&lt;b&gt;</td><td data-label="left">3</td><td data-label="why"></td>' in page


@pytest.mark.parametrize("action", ["cancel", "resume"])
def test_nothing_can_be_done_with_what_is_not_there(visitor: Visitor, action: str) -> None:
    assert visitor.does(UUID(int=1), action).status_code == 404


@pytest.mark.parametrize("more", ["", "/follow", "/cancel"])
@pytest.mark.parametrize("ref", [str(UUID(int=1)), "nonsense"])
def test_what_is_not_there_is_a_page_with_a_way_on(visitor: Visitor, ref: str, more: str) -> None:
    page = visitor.sees(ref, more)
    assert (page.status_code, "Not found" in page.text) == (404, True)


def test_a_file_stands_on_the_page_of_its_run_and_is_saved_and_not_shown(visitor: Visitor) -> None:
    result, other = visitor.ran(), visitor.ran()
    file = ResultFile(id=uuid4(), job_result_id=result.id, name="<b>.html", size=3, sha256="f" * 64, created=NOW)
    visitor.origin.add(file, ResultContent(file_id=file.id, content=b"<i>"))
    address = f"/files/{file.id}"
    page = visitor.sees(result.id).text
    assert f'<a href="/signoff/results/{result.id}{address}" download>&lt;b&gt;.html</a>' in page
    saved = visitor.sees(result.id, address)
    assert (saved.content, saved.headers["Content-Type"]) == (b"<i>", "application/octet-stream")
    assert saved.headers["Content-Security-Policy"].startswith("sandbox;")
    assert saved.headers["Content-Disposition"].startswith("attachment;")
    assert saved.headers["X-Frame-Options"] == "DENY"
    assert visitor.sees(other.id, address).status_code == 404
