"""The page that runs a Job, without a browser: what it warns of, and that whatever it shows is text."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from api_shim.domain.accounts import COOKIE, Session
from api_shim.domain.model import Job
from api_shim.store import Store
from api_shim.web.pages.run import SILENT, UNSERVED
from api_shim.web.pages.visit import ZONE_COOKIE
from flows.examples import SummariseCSV
from flows.registry import discover
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import make_result

NASTY = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}</textarea></option>"
VARIABLES = [
    {"name": "line", "type": "StringVar", "label": NASTY, "help_text": NASTY, "required": False, "default": NASTY},
    {"name": "lines", "type": "TextVar", "required": True, "default": NASTY},
    {"name": "one", "type": "ChoiceVar", "required": False, "choices": [[NASTY, NASTY], ["b", NASTY]]},
    {"name": "many", "type": "MultiChoiceVar", "required": False, "choices": [[NASTY, NASTY]], "default": [NASTY]},
    {"name": "data", "type": "JSONVar", "required": False, "default": {NASTY: NASTY}},
]


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.found.append((tag, dict(attributes)))


def check_harmless(page: str) -> None:
    elements = Elements(page).found
    scripts = [str(attributes.get("src")) for tag, attributes in elements if tag == "script"]
    assert [src for src in scripts if not re.fullmatch(r"/signoff/static/[a-z-]+\.js", src)] == []
    assert {str(attributes.get("src")) for tag, attributes in elements if tag == "img"} == {"/signoff/static/icon.svg"}
    assert [name for _tag, attributes in elements for name in attributes if name.startswith("on")] == []
    assert [tag for tag, attributes in elements if "style" in attributes] == []
    assert "49" not in re.findall(r"\{\{ 7 \* 7 \}\}|49</", page)


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    return made


class Visitor:
    """Somebody who is signed in.

    Args:
        origin: where they are.
        who: their name.
        zone: the time zone that their browser tells; empty if it tells none.
    """

    def __init__(self, origin: Origin, who: str = "admin", zone: str = "") -> None:
        self.origin = origin
        self.zone = zone
        session: Session
        self.key, session = asyncio.run(origin.sessions.sign_in(who, origin.keys[who], ""))
        self.csrf = session.csrf

    @property
    def cookies(self) -> dict[str, str]:
        zone = f"; {ZONE_COOKIE}={self.zone}" if self.zone else ""
        return {"Cookie": f"{COOKIE}={self.key}{zone}"}

    def get(self, path: str) -> httpx.Response:
        return self.origin.ask("GET", path, None, headers=self.cookies)

    def post(self, path: str, files: Any = None, **form: Any) -> httpx.Response:
        sent = {"csrf": self.csrf, **form}
        return self.origin.ask("POST", path, None, headers=self.cookies, data=sent, files=files)


def run(job: Job) -> str:
    return f"/signoff/jobs/{job.id}/run"


def test_whatever_a_job_is_called_and_says_is_text(origin: Origin) -> None:
    job = origin.job(
        name=NASTY,
        grouping=NASTY,
        description=NASTY,
        module_name=NASTY,
        job_queues=("default", NASTY),
        variables=tuple(VARIABLES),
        supports_dryrun=True,
        approval_required=True,
    )
    origin.add(make_result(job, None))
    admin = Visitor(origin)
    for path in ("/signoff/jobs", run(job)):
        page = admin.get(path)
        assert page.status_code == 200
        assert "alert(1)" in page.text
        check_harmless(page.text)


def test_what_could_not_be_registered_is_told_to_superusers(origin: Origin) -> None:
    origin.catalogue.record([], [f"jobs.py:3: {NASTY}"])
    origin.user("alice", superuser=False)
    page = Visitor(origin).get("/signoff/jobs").text
    assert "jobs.py:3: " in page
    check_harmless(page)
    assert "jobs.py:3" not in Visitor(origin, "alice").get("/signoff/jobs").text


def test_whatever_is_typed_is_text(origin: Origin) -> None:
    job, admin = origin.job(variables=tuple(VARIABLES), job_queues=("default", "bulk")), Visitor(origin)
    typed = {f"input.{variable['name']}": NASTY for variable in VARIABLES}
    typed |= dict.fromkeys(("name", "start_time", "time_zone", "crontab", "queue"), NASTY)
    for interval in ("custom", NASTY):
        refused = admin.post(run(job), interval=interval, **typed)
        assert refused.status_code == 400
        check_harmless(refused.text)
    previewed = admin.post(f"/signoff/jobs/{job.id}/preview", interval="custom", **typed)
    assert "alert(1)" in previewed.text
    check_harmless(previewed.text)
    part = admin.get("/signoff/crontab?crontab=<script>alert(1)</script>&time_zone=<img%20onerror=x>")
    assert (part.status_code, Elements(part.text).found) == (400, [("p", {"class": "fault"})])


def test_what_is_typed_in_several_lines_begins_with_its_first(origin: Origin) -> None:
    job, admin = origin.job(variables=tuple(VARIABLES)), Visitor(origin)
    page = admin.post(f"/signoff/jobs/{job.id}/preview", **{"input.lines": "\r\nsecond"})
    # A browser passes over the first line end within the element.
    assert ">\n\nsecond</textarea>" in page.text


@pytest.mark.parametrize(
    ("served", "warning"),
    [
        (("default", "bulk"), ""),
        (("default",), UNSERVED.format(queue="bulk")),
    ],
)
def test_a_queue_without_a_worker_is_told(origin: Origin, served: tuple[str, ...], warning: str) -> None:
    job, admin = origin.job(job_queues=("default", "bulk")), Visitor(origin)
    origin.engine.queues, origin.engine.served = {"default", "bulk"}, set(served)
    page = admin.get(run(job)).text
    assert [each for each in (SILENT, UNSERVED.format(queue="bulk")) if each in page] == ([warning] if warning else [])


def test_a_prefect_that_does_not_answer_is_told(origin: Origin) -> None:
    job, admin = origin.job(), Visitor(origin)
    origin.engine.fail("worker_counts")
    assert SILENT in admin.get(run(job)).text


def test_a_request_that_no_worker_would_run_comes_back_as_it_was_typed(origin: Origin, clock: Clock) -> None:
    definition = SummariseCSV.definition()
    job = origin.job(
        module_name=definition.module_name,
        job_class_name=definition.job_class_name,
        variables=definition.variables,
        parameter_schema=definition.parameter_schema,
    )
    origin.engine.served = set()
    clock.forward(seconds=30)
    origin.look()
    typed = {"interval": "custom", "name": "as typed", "crontab": "0 2 * * *", "input.path": "/a", "input.strict": "on"}
    refused = Visitor(origin).post(run(job), **typed)
    assert refused.status_code == 503
    assert "No Prefect workers running on queue default." in refused.text
    assert 'value="as typed"' in refused.text
    assert 'value="/a"' in refused.text


def test_the_preview_of_a_crontab_is_told_to_its_reader_and_as_in_the_chosen_zone(origin: Origin) -> None:
    admin = Visitor(origin, zone="America/New_York")
    part = admin.get("/signoff/crontab?crontab=0 2 * * 1,5&time_zone=Europe/Berlin").text
    assert "At 02:00 on Monday and Friday." in part
    assert part.count("<li>") == 5
    time = '<time datetime="2026-05-08T00:00:00+00:00" title="2026-05-08 00:00:00 UTC">2026-05-07 20:00 EDT</time>'
    assert f'<li>Thursday, {time} <span class="ago">(Friday 02:00 in Europe/Berlin)</span></li>' in part
    # Where no zone is chosen, it is the reader's.
    assert ">2026-05-05 02:00 EDT</time></li>" in admin.get("/signoff/crontab?crontab=0 2 * * *").text


def test_the_form_suggests_the_zone_of_whoever_fills_it_in(origin: Origin) -> None:
    job = origin.job()

    def suggested(visitor: Visitor) -> list[str | None]:
        fields = Elements(visitor.get(run(job)).text).found
        return [each["value"] for tag, each in fields if tag == "input" and each.get("id") == "time_zone"]

    browser, none = Visitor(origin, zone="Asia/Tokyo"), Visitor(origin)
    assert (suggested(browser), suggested(none)) == (["Asia/Tokyo"], ["UTC"])
    none.post("/signoff/preferences", time_zone="Europe/Berlin", page_size="0")
    assert (suggested(browser), suggested(none)) == (["Europe/Berlin"], ["Europe/Berlin"])


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("start_time=2026-06-01T03:00", "2026-06-02 02:00"),
        ("start_time=2026-06-01T02:00", "2026-06-01 02:00"),
        ("start_time=2020-01-01T00:00", "2026-05-05 02:00"),
        ("start_time=soon", "2026-05-05 02:00"),
        ("", "2026-05-05 02:00"),
    ],
)
def test_nothing_in_the_preview_is_before_the_start(origin: Origin, query: str, first: str) -> None:
    part = Visitor(origin).get(f"/signoff/crontab?crontab=0 2 * * *&{query}").text
    assert re.findall(r">(\S+ \S+) UTC<", part)[0] == first


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("", "Please enter a valid crontab."),
        ("crontab=0 0 31 2 *", "never fires"),
        ("crontab=1 2 3", "exactly five fields"),
        ("crontab=* * * * *&time_zone=Mars", "There is no time zone"),
        ("crontab=%00&time_zone=%00", "five fields"),
    ],
)
def test_what_is_no_crontab_is_told_in_the_preview(origin: Origin, query: str, fault: str) -> None:
    part = Visitor(origin).get(f"/signoff/crontab?{query}")
    assert part.status_code == 400
    assert fault in part.text


FILES = discover(["tests.acceptance.jobs_for_tests"]).jobs["tests.acceptance.jobs_for_tests.Read"]


def test_a_file_is_chosen_shown_to_who_decides_and_downloaded_by_them(origin: Origin) -> None:
    origin.catalogue.record([FILES])
    with origin.store.transaction() as tx:
        [job] = tx.all(Job)
        tx.change(job, enabled=True)
    origin.user("bob")
    origin.look()
    visitor, bob = Visitor(origin), Visitor(origin, "bob")
    form = visitor.get(run(job)).text
    assert 'enctype="multipart/form-data"' in form
    assert '<input type="file" id="input-file" name="input.file" required>' in form
    asked = {"interval": "immediately", "time_zone": "UTC"}
    for nothing in ({}, {"input.file": ("", b"")}):
        refused = visitor.post(run(job), files={"x": (None, ""), **nothing}, **asked)
        assert (refused.status_code, "This field is required." in refused.text) == (400, True)
    sent = visitor.post(run(job), files={"input.file": ("<b>.txt", b"hello")}, **asked)
    assert sent.status_code == 303
    request = sent.headers["location"].replace("scheduled-jobs", "approval-queue")
    seen = bob.get(request).text
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert f"&lt;b&gt;.txt (5 bytes, SHA-256 {digest})" in seen
    [address] = re.findall('href="([^"]+)" download>Download', seen)
    saved = bob.get(address)
    assert (saved.content, saved.headers["Content-Type"]) == (b"hello", "application/octet-stream")
    edited = visitor.get(f"{sent.headers['location']}/edit").text
    assert "Its files are kept" in edited
    assert 'type="file"' not in edited
