"""Fields of objects: what a form offers, what a search finds, and to whom neither shows anything."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.domain.model import Job
from api_shim.store import Store
from api_shim.web.pages import object_fields
from api_shim.web.pages.object_fields import matching
from flows import Job as JobClass
from flows import MultiObjectVar, ObjectVar, register_jobs
from flows.variables import describe
from tests.api_shim.origin import Origin
from tests.api_shim.web.pages.test_run import NASTY, Elements, Visitor, check_harmless, run
from tests.conftest import Clock
from tests.factories import NOW

SITES: list[dict[str, Any]] = [
    {"id": 1, "name": "Berlin"},
    {"id": 2, "name": "São Paulo"},
    {"id": 3, "name": NASTY},
]


def sites() -> list[dict[str, Any]]:
    return SITES


class Located(JobClass):
    site = ObjectVar(sites, required=False, null_option="Nowhere")
    others = MultiObjectVar(sites, required=False, default=["2"])

    class Meta:
        name = "Located"
        has_sensitive_variables = False

    def run(self, **_inputs: Any) -> None:
        pass


register_jobs(Located)


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    return made


def located(origin: Origin) -> Job:
    return origin.job(module_name=__name__, job_class_name="Located", variables=tuple(describe(Located.variables())))


def chosen(page: str) -> list[str]:
    options = [each for tag, each in Elements(page).found if tag == "option" and "selected" in each]
    return [value for each in options if (value := each["value"] or "").isdigit()]


def objects(job: Job, text: str, variable: str = "site") -> str:
    return f"/signoff/jobs/{job.id}/objects?variable={variable}&q={text}"


def test_a_form_offers_the_objects_and_has_those_chosen_that_a_link_names(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, admin = located(origin), Visitor(origin)
    page = admin.get(f"{run(job)}?site=9").text
    assert chosen(page) == ["9", "2"]
    assert ">Nowhere</option>" in page
    assert ">São Paulo</option>" in page
    check_harmless(page.replace("/signoff/static/objects.js", "/signoff/static/run.js"))
    monkeypatch.setattr(object_fields, "MOST_LISTED", 1)
    assert "2 more are not listed; search for them." in admin.get(run(job)).text


def test_a_search_finds_by_key_and_title(origin: Origin) -> None:
    job, admin = located(origin), Visitor(origin)
    found = admin.get(objects(job, "são"))
    assert (found.status_code, found.text.strip()) == (200, '<option value="2">São Paulo</option>')
    check = Elements(admin.get(objects(job, "alert")).text).found
    assert check == [("option", {"value": "3"})]
    assert admin.get(objects(job, "", variable="nothing")).status_code == 404
    assert matching([("a1", "Berlin Mitte"), ("b2", "Berlin")], "BER a1") == [("a1", "Berlin Mitte")]


def test_who_may_not_run_the_job_is_shown_no_objects(origin: Origin) -> None:
    job = located(origin)
    origin.user("reader", superuser=False)
    origin.identity.add_permission("see", NOW, types=["extras.job"], actions=["view"], users=["reader"])
    reader = Visitor(origin, "reader")
    page = reader.get(run(job))
    assert page.status_code == 200
    assert "São Paulo" not in page.text
    assert reader.get(objects(job, "ber")).status_code == 403


def test_a_source_that_cannot_be_read_leaves_what_is_chosen(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    job, admin = located(origin), Visitor(origin)
    monkeypatch.setattr(f"{__name__}.SITES", None)
    page = admin.get(run(job)).text
    assert chosen(page) == ["2"]
    assert "The choices of site cannot be read: TypeError." in page
    refused = admin.post(run(job), interval="immediately", **{"input.site": "1"})
    assert refused.status_code == 503


def test_what_is_sent_is_looked_up(origin: Origin) -> None:
    job, admin = located(origin), Visitor(origin)
    refused = admin.post(run(job), interval="immediately", **{"input.site": "4"})
    assert refused.status_code == 400
    assert "4 is not one of the available choices." in refused.text
