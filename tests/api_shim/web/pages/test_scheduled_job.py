"""The pages of scheduled jobs while Prefect does not answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api_shim.app import Application, build
from api_shim.store import Store
from tests.conftest import Clock
from tests.factories import administering, make_job, make_scheduled
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
    job = make_job(job_queues=("default", "bulk"))
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


def csrf_of(answer: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found is not None
    return found[1]


def test_what_is_scheduled_can_be_looked_at_and_renamed(browser: Browser, made: str) -> None:
    assert "nightly" in browser.get(ADDRESS).text
    page = browser.get(made)
    assert page.status_code == 200
    answer = browser.post(f"{made}/edit", csrf=csrf_of(page), name="weekly")
    assert (answer.status_code, answer.url.path) == (200, made)
    assert "weekly was changed." in answer.text


def test_what_needs_a_worker_is_refused_and_what_was_typed_stays(
    wired: Application, browser: Browser, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wired.served, "is_served", lambda _queue: False)
    page = browser.get(f"{made}/edit")
    answer = browser.post(f"{made}/edit", csrf=csrf_of(page), name="weekly", queue="bulk")
    assert answer.status_code == 503
    assert "No Prefect workers running on queue bulk." in answer.text
    assert 'value="weekly"' in answer.text
    assert "nightly" in browser.get(made).text
