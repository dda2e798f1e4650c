"""The pages of scheduled jobs while Prefect does not answer, and after what they showed has changed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.app import Application, build
from api_shim.domain.model import Job, ScheduledJob
from api_shim.reconcile.served_queues import AWAY_AFTER
from api_shim.store import Store
from approval_gate.errors import Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from tests.conftest import Clock
from tests.factories import NOW, administering, make_job, make_result, make_scheduled
from tests.fakes import FakeEngine

ADDRESS = "/signoff/scheduled-jobs"
CALLS = [name for name in vars(FakeEngine) if not name.startswith("_") and name not in {"fail", "set_state"}]


class Browser:
    """A browser, in process."""

    def __init__(self, wired: Application) -> None:
        transport = httpx.ASGITransport(app=wired.pages)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", follow_redirects=True)

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self.client.get(path))

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return asyncio.run(self.client.post(path, data=sent))


@pytest.fixture
def wired(sqlite_store: Store, clock: Clock) -> Application:
    """The use cases over a Prefect that never answers."""
    engine = FakeEngine(clock=clock)
    for name in CALLS:
        engine.fail(name, times=-1)
    return build(sqlite_store, engine, clock=clock, zone="UTC")


@pytest.fixture
def made(wired: Application, clock: Clock) -> str:
    """The address of a scheduled job."""
    user = administering(wired.store).add_user("alice", clock(), superuser=True)
    job = make_job(job_queues=("default", "bulk"), supports_dryrun=True)
    row = make_scheduled(job, user, name="nightly")
    with wired.store.transaction() as tx:
        tx.add(job)
        tx.add(row)
    return f"{ADDRESS}/{row.id}"


@pytest.fixture
def browser(wired: Application, made: str, clock: Clock) -> Iterator[Browser]:
    """A browser in which alice is signed in."""
    opened = Browser(wired)
    csrf = csrf_of(opened.get("/signoff/sign-in"))
    key = administering(wired.store).add_token("alice", clock())
    assert opened.post("/signoff/sign-in", csrf=csrf, username="alice", secret=key, next=ADDRESS).status_code == 200
    yield opened
    asyncio.run(opened.client.aclose())


def engine_of(wired: Application) -> FakeEngine:
    engine = wired.services.engine
    assert isinstance(engine, FakeEngine)
    return engine


def csrf_of(answer: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found is not None
    return found[1]


def version_of(answer: httpx.Response) -> str:
    found = re.search(r'name="version" value="([^"]+)"', answer.text)
    assert found is not None
    return found[1]


def test_what_is_scheduled_can_be_looked_at_and_renamed(browser: Browser, made: str) -> None:
    assert "nightly" in browser.get(ADDRESS).text
    page = browser.get(made)
    assert page.status_code == 200
    answer = browser.post(f"{made}/edit", csrf=csrf_of(page), version=version_of(page), name="weekly")
    assert (answer.status_code, answer.url.path) == (200, made)
    assert "weekly was changed." in answer.text


def test_what_recurs_is_made_to_run_once_and_once_it_has_run_it_has_no_other_schedule_type(
    wired: Application, browser: Browser, made: str, clock: Clock
) -> None:
    clock.now += timedelta(seconds=1)
    page = browser.get(f"{made}/edit")
    assert '<option value="future">' in page.text
    assert "immediately" not in page.text
    sent = {"csrf": csrf_of(page), "version": version_of(page), "interval": "future"}
    refused = browser.post(f"{made}/edit", **sent)
    assert refused.status_code == 400
    assert 'id="start_time-fault"' in refused.text
    browser.post(f"{made}/edit", **sent, start_time="2031-01-01T00:00", time_zone="UTC")
    row = now(wired, made)
    assert row is not None
    assert row.one_off
    with wired.store.transaction() as tx:
        tx.change(row, total_run_count=1)
    assert 'id="interval"' not in browser.get(f"{made}/edit").text


def test_what_needs_a_worker_is_refused_and_what_was_typed_stays(
    wired: Application, browser: Browser, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wired.served, "is_served", lambda _queue: False)
    page = browser.get(f"{made}/edit")
    answer = browser.post(f"{made}/edit", csrf=csrf_of(page), version=version_of(page), name="weekly", queue="bulk")
    assert answer.status_code == 503
    assert "No Prefect workers running on queue bulk." in answer.text
    assert 'value="weekly"' in answer.text
    assert version_of(answer) == version_of(page)
    assert "nightly" in browser.get(made).text


def test_every_page_says_since_when_prefect_is_away_without_asking_it(
    wired: Application, browser: Browser, clock: Clock
) -> None:
    pages = ("/signoff/jobs", ADDRESS, "/signoff/approval-queue", "/signoff/results")
    assert not any("Prefect has not responded" in browser.get(page).text for page in pages)
    since = clock.now
    with suppress(Unavailable):
        asyncio.run(wired.served.look())
    clock.now += AWAY_AFTER
    calls = len(engine_of(wired).calls)
    said = re.compile(
        rf"Prefect has not responded since <time[^>]*>{since:%Y-%m-%d %H:%M} UTC</time>. Requests are kept"
    )
    assert all(said.search(browser.get(page).text) for page in pages)
    assert len(engine_of(wired).calls) == calls


# What was shown


FORMS: dict[str, dict[str, str]] = {
    "edit": {"name": "weekly"},
    "enabled": {"enabled": "no"},
    "assume-ownership": {},
    "transfer": {"user": "bob"},
}


def id_of(made: str) -> UUID:
    return UUID(made.rsplit("/", 1)[1])


def now(wired: Application, made: str) -> ScheduledJob | None:
    with wired.store.transaction(write=False) as tx:
        return tx.get(ScheduledJob, id=id_of(made))


def change(wired: Application, made: str) -> None:
    """Let somebody else change what was shown."""
    carol = administering(wired.store).add_user("carol", NOW, superuser=True)
    actor = Actor(id=carol.id, username="carol", superuser=True)
    body = {"start_time": "2031-01-01T00:00:00Z"}
    asyncio.run(wired.services.schedule_changes.change(actor, {"id": id_of(made)}, body))


@pytest.mark.parametrize(("form", "sent"), FORMS.items(), ids=FORMS)
@pytest.mark.parametrize("unshown", [False, True], ids=["another version", "no version"])
def test_a_form_acts_on_nothing_but_what_its_page_showed(
    wired: Application, browser: Browser, made: str, form: str, sent: dict[str, str], unshown: bool
) -> None:
    bob = administering(wired.store).add_user("bob", NOW, superuser=True)
    if form == "assume-ownership":
        with wired.store.transaction() as tx:
            tx.change(tx.all(ScheduledJob)[0], owner_id=bob.id)
    page = browser.get(f"{made}/edit" if form == "edit" else made)
    change(wired, made)
    before = now(wired, made)
    version = {} if unshown else {"version": version_of(page)}
    answer = browser.post(f"{made}/{form}", csrf=csrf_of(page), **version, **sent)
    assert answer.status_code == 409
    assert "This request has changed since it was shown to you" in answer.text
    assert "The last change: carol changed its start" in answer.text
    assert now(wired, made) == before
    if form == "edit":
        assert 'value="weekly"' in answer.text, "what was typed stays"
    again = browser.post(f"{made}/{form}", csrf=csrf_of(page), version=version_of(answer), **sent)
    assert (again.status_code, now(wired, made) == before) == (200, False)


def test_several_are_deleted_as_they_were_shown_or_none_is(wired: Application, browser: Browser, made: str) -> None:
    page = browser.get(made)
    shown = {"csrf": csrf_of(page), "id": str(id_of(made)), "back": made}
    seen = re.search(r'name="seen" value="([^"]+)"', page.text)
    assert seen is not None
    change(wired, made)
    asks = browser.post(f"{ADDRESS}/delete", **shown, seen=seen[1])
    assert (asks.status_code, seen[1] in asks.text) == (200, True), "the page that led here showed another version"
    for sent in ({"seen": seen[1]}, {}):
        refused = browser.post(f"{ADDRESS}/delete", **shown, **sent, confirmed="yes")
        assert refused.status_code == 409
        assert "“nightly” has changed since it was shown to you." in refused.text
        assert now(wired, made) is not None
    found = re.search(r'name="seen" value="([^"]+)"', refused.text)
    assert found is not None
    done = browser.post(f"{ADDRESS}/delete", **shown, seen=found[1], confirmed="yes")
    assert "Deleted nightly." in done.text
    assert now(wired, made) is None


def test_a_dry_run_tries_what_its_page_showed(wired: Application, browser: Browser, made: str) -> None:
    row = now(wired, made)
    assert row is not None
    with wired.store.transaction() as tx:
        tx.change(row, approval=ApprovalState.PENDING)
    request = f"/signoff/approval-queue/{id_of(made)}"
    page = browser.get(request)
    change(wired, made)
    answer = browser.post(f"{request}/dry-run", csrf=csrf_of(page), version=version_of(page))
    assert answer.status_code == 409
    assert "The last change: carol changed its start" in answer.text
    again = browser.post(f"{request}/dry-run", csrf=csrf_of(page), version=version_of(answer))
    assert "The dry run has been started." in again.text


def test_a_request_says_from_which_run_it_came(wired: Application, browser: Browser, made: str) -> None:
    with wired.store.transaction() as tx:
        [row] = tx.all(ScheduledJob)
        [job] = tx.all(Job, id=row.job_id)
        run = make_result(job, None)
        tx.add(run)
        tx.change(row, requested_from=run.id, approval=ApprovalState.PENDING)
    for page in (made, f"/signoff/approval-queue/{row.id}"):
        assert f'<a href="/signoff/results/{run.id}">a run</a>' in browser.get(page).text


def test_a_request_says_which_automation_has_made_it(wired: Application, browser: Browser, made: str) -> None:
    asking = {"id": str(uuid4()), "name": "nightly", "bound_by_id": str(uuid4()), "bound_by": "zoe"}
    with wired.store.transaction() as tx:
        [row] = tx.all(ScheduledJob)
        tx.change(row, automation=asking, approval=ApprovalState.PENDING)
    for page in (made, f"/signoff/approval-queue/{row.id}"):
        assert "the automation “nightly”, bound by zoe" in browser.get(page).text
