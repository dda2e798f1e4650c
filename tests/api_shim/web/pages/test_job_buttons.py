"""Job buttons on the pages: who sees them, in which order, and what comes of pressing one."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.accounts import COOKIE
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.domain.triggers import JobButton
from api_shim.store import Store
from flows import JobButtonReceiver, register_jobs
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result, make_scheduled


class Inspect(JobButtonReceiver):
    def receive_job_button(self, obj: Any) -> Any:
        raise AssertionError("Nothing runs here.")


register_jobs(Inspect)
EVERY = ("extras.job", "extras.scheduledjob", "extras.jobresult")


class Pages:
    """An origin with a button, an object of each type, and people who look at them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.origin = Origin(store, clock)
        admin = self.origin.user()
        self.job = self.origin.job(
            name="Inspect", module_name=__name__, job_class_name="Inspect", is_job_button_receiver=True
        )
        plain = self.origin.job(name="Plain")
        self.row = make_scheduled(plain, admin, name="nightly")
        over = {"status": Status.SUCCESS, "date_started": NOW, "date_done": NOW}
        self.result = make_result(plain, admin, **over)
        self.origin.add(self.row)
        self.origin.add(self.result)
        self.pages = {
            "extras.job": (plain.id, f"/signoff/jobs/{plain.id}/run"),
            "extras.scheduledjob": (self.row.id, f"/signoff/scheduled-jobs/{self.row.id}"),
            "extras.jobresult": (self.result.id, f"/signoff/results/{self.result.id}"),
        }
        self._cookies: dict[str, tuple[str, str]] = {}

    def button(self, **to: Any) -> JobButton:
        fields: dict[str, Any] = {"name": f"button {uuid4()}", "text": "Inspect it", "confirmation": False, **to}
        made = JobButton(
            **{"id": uuid4(), "job_id": self.job.id, "content_types": EVERY, "created": NOW, "last_updated": NOW}
            | fields
        )
        self.origin.add(made)
        return made

    def person(self, name: str, *grants: tuple[str, str, Any]) -> None:
        self.origin.user(name, superuser=False)
        for kind, action, constraint in grants:
            self.origin.identity.add_permission(
                str(uuid4()), NOW, types=[kind], actions=[action], users=[name], constraint=constraint
            )

    def _signed_in(self, who: str) -> tuple[str, str]:
        if who not in self._cookies:
            key, session = asyncio.run(self.origin.sessions.sign_in(who, self.origin.keys[who], ""))
            self._cookies[who] = (key, session.csrf)
        return self._cookies[who]

    def sees(self, path: str, who: str = "admin") -> httpx.Response:
        return self.origin.ask("GET", path, None, headers={"Cookie": f"{COOKIE}={self._signed_in(who)[0]}"})

    def presses(self, button: UUID, kind: str, who: str = "admin", **more: str) -> httpx.Response:
        key, csrf = self._signed_in(who)
        form = {"csrf": csrf, "object_model_name": kind, "object_pk": str(self.pages[kind][0]), **more}
        headers = {"Cookie": f"{COOKIE}={key}"}
        return self.origin.ask("POST", f"/signoff/job-buttons/{button}", None, headers=headers, data=form)

    def requested(self) -> list[dict[str, Any]]:
        with self.origin.store.transaction(write=False) as tx:
            of_job = {"job_id": self.job.id}
            rows: list[JobResult | ScheduledJob] = [*tx.all(JobResult, **of_job), *tx.all(ScheduledJob, **of_job)]
        return [dict(row.inputs or {}) for row in rows]

    def change_job(self, **to: Any) -> None:
        with self.origin.store.transaction() as tx:
            job = tx.get(Job, id=self.job.id)
            assert job is not None
            tx.change(job, **to)


@pytest.fixture
def pages(sqlite_store: Store, clock: Clock) -> Pages:
    return Pages(sqlite_store, clock)


def shown(page: httpx.Response) -> list[str]:
    assert page.status_code == 200
    forms = re.findall(r'action="/signoff/job-buttons/[^"]+".*?<button[^>]*>(.*?)</button>', page.text, re.DOTALL)
    return [str(text) for text in forms]


@pytest.mark.parametrize("kind", EVERY)
def test_a_button_is_on_the_pages_of_its_types_and_requests_its_job_for_the_object(pages: Pages, kind: str) -> None:
    button = pages.button(content_types=(kind,))
    assert {each: shown(pages.sees(path)) for each, (_, path) in pages.pages.items()} == {
        each: ["Inspect it"] if each == kind else [] for each in EVERY
    }
    answer = pages.presses(button.id, kind)
    assert answer.status_code == 303
    assert pages.requested() == [{"object_pk": str(pages.pages[kind][0]), "object_model_name": kind}]
    assert "Inspect has been started." in pages.sees(answer.headers["location"]).text
    other = next(each for each in EVERY if each != kind)
    assert pages.presses(button.id, other).status_code == 404, "it is on no such page"


def test_buttons_stand_by_weight_and_groups_together(pages: Pages) -> None:
    for text, weight, group in (("d", 40, ""), ("a", 10, "Tools"), ("c", 30, ""), ("b", 35, "Tools"), ("<e>", 50, "")):
        pages.button(text=text, weight=weight, group_name=group)
    page = pages.sees(pages.pages["extras.jobresult"][1])
    assert shown(page) == ["a", "b", "c", "d", "&lt;e&gt;"]
    assert page.text.count("Tools</span>") == 1


HIDDEN = [
    pytest.param({"enabled": False}, {}, id="a button that is disabled"),
    pytest.param({}, {"enabled": False}, id="its Job is disabled"),
    pytest.param({}, {"installed": False}, id="its Job is not installed"),
    pytest.param({}, {"approval_required": True}, id="its Job needs approval"),
    pytest.param({}, {"is_job_button_receiver": False}, id="its Job receives no buttons any more"),
]


@pytest.mark.parametrize(("button", "job"), HIDDEN)
def test_what_nobody_can_press_is_not_shown_and_refused(
    pages: Pages, button: dict[str, Any], job: dict[str, Any]
) -> None:
    made = pages.button(**button)
    pages.change_job(**{"enabled": True} | job)
    assert shown(pages.sees(pages.pages["extras.jobresult"][1])) == []
    assert pages.presses(made.id, "extras.jobresult").status_code >= 400
    assert pages.requested() == []


RUN, RESULT = ("extras.job", "run", None), ("extras.jobresult", "view", None)


@pytest.mark.parametrize(
    ("grants", "status"),
    [
        pytest.param([RESULT], 404, id="may not run Jobs"),
        pytest.param([RESULT, ("extras.job", "run", {"name": "Plain"})], 404, id="may run another Job only"),
        pytest.param([RESULT, ("extras.job", "view", None)], 404, id="may see the Job and not run it"),
        pytest.param([RUN], 403, id="may view no results"),
        pytest.param([RUN, ("extras.jobresult", "view", {"name": "x"})], 404, id="may view another result only"),
    ],
)
def test_who_may_not_press_is_refused(pages: Pages, grants: list[Any], status: int) -> None:
    made = pages.button()
    pages.person("carol", *grants)
    if RESULT in grants:
        assert shown(pages.sees(pages.pages["extras.jobresult"][1], "carol")) == []
    assert pages.presses(made.id, "extras.jobresult", "carol").status_code == status
    assert pages.requested() == []


def test_who_may_view_and_run_needs_no_permission_for_buttons(pages: Pages) -> None:
    made = pages.button()
    pages.person("alice", RUN, RESULT)
    assert shown(pages.sees(pages.pages["extras.jobresult"][1], "alice")) == ["Inspect it"]
    assert pages.presses(made.id, "extras.jobresult", "alice").status_code == 303


def test_a_button_that_asks_requests_nothing_before_it_is_confirmed(pages: Pages) -> None:
    made = pages.button(confirmation=True, button_class="danger")
    asks = pages.presses(made.id, "extras.jobresult")
    assert asks.status_code == 200
    assert "This requests a run of Inspect." in asks.text
    assert f'href="{pages.pages["extras.jobresult"][1]}"' in asks.text
    assert '<button class="bad">' in asks.text
    assert pages.requested() == []
    assert pages.presses(made.id, "extras.jobresult", confirmed=str(uuid4())).status_code == 200, "asked about another"
    assert pages.requested() == []
    assert pages.presses(made.id, "extras.jobresult", confirmed=str(made.job_id)).status_code == 303
    assert len(pages.requested()) == 1


def test_a_form_without_its_token_or_about_nothing_is_refused(pages: Pages) -> None:
    made = pages.button()
    assert pages.presses(made.id, "extras.job", csrf="x").status_code == 403
    assert pages.presses(made.id, "extras.job", object_model_name="users.user").status_code == 404
    assert pages.presses(made.id, "extras.job", object_pk="x").status_code == 404
    assert pages.presses(uuid4(), "extras.job").status_code == 404
    assert pages.requested() == []
