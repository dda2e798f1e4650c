"""The page of a Job and the form with its settings, without a browser."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from starlette.datastructures import FormData

from api_shim.domain.model import Job
from api_shim.store import Store
from api_shim.web.pages.job import FLAGS, TEXTS, as_typed, change_in
from tests.api_shim.origin import Origin
from tests.api_shim.web.pages.test_run import NASTY, VARIABLES, Visitor, check_harmless
from tests.conftest import Clock
from tests.factories import make_job, make_result

DECLARED = {
    "description": "",
    "approval_required": False,
    "has_sensitive_variables": False,
    "is_singleton": False,
    "hidden": False,
    "dryrun_default": False,
    "soft_time_limit": 0.0,
    "time_limit": 0.0,
    "job_queues": [],
}


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    return made


def now(origin: Origin, job: Job) -> Job:
    return next(each for each in origin.catalogue.jobs() if each.id == job.id)


def form(job: Job, **typed: str) -> dict[str, str]:
    """Return what a browser sends of the form: what it showed, what is typed, and no boxes that are not ticked."""
    stands = as_typed(job)
    sent = {name: text for name, text in {**stands, **typed}.items() if text or name not in FLAGS}
    return {**{f"was.{name}": text for name, text in stands.items()}, **sent}


def test_the_form_has_whatever_an_administrator_decides() -> None:
    assert {*FLAGS, *TEXTS} == {"enabled", *DECLARED}


@pytest.mark.parametrize(
    ("typed", "body"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"enabled": ""}, {"enabled": False}, id="a box that is not ticked any more"),
        pytest.param({"hidden": "yes"}, {"hidden": True}, id="a box that is ticked"),
        pytest.param({"time_limit": " 60 "}, {"time_limit": 60.0}, id="a number"),
        pytest.param({"time_limit": "long"}, {"time_limit": "long"}, id="what is no number, to be refused"),
        pytest.param({"job_queues": "bulk, , gpu"}, {"job_queues": ["bulk", "gpu"]}, id="queues"),
        pytest.param(
            {"declared.time_limit": "yes", "time_limit": "9"}, {"time_limit_override": False}, id="taken back"
        ),
    ],
)
def test_only_what_was_edited_is_changed(typed: dict[str, str], body: dict[str, Any]) -> None:
    assert change_in(FormData(form(make_job(), **typed))) == body


def test_a_box_that_could_not_be_ticked_changes_nothing() -> None:
    sent = {name: text for name, text in form(make_job(approval_required=True)).items() if "approval" not in name}
    assert change_in(FormData(sent)) == {}


def test_settings_are_saved_with_who_changed_them_and_overrides_taken_back(origin: Origin) -> None:
    job = origin.job(name="Sweep", declared=DECLARED)
    address, admin = f"/signoff/jobs/{job.id}/settings", Visitor(origin)
    assert admin.post(address, **form(job, time_limit="60", enabled="")).status_code == 303
    changed = now(origin, job)
    assert (changed.time_limit, changed.enabled, changed.overridden) == (60.0, False, ("time_limit",))
    page = admin.get(address).text
    assert "The settings of Sweep were saved." in page
    assert "admin changed" in page
    assert "Time limit: 0.0 → 60.0" in page
    assert admin.post(address, **{**form(changed), "declared.time_limit": "yes"}).status_code == 303
    assert (now(origin, job).time_limit, now(origin, job).overridden) == (0.0, ())
    admin.post(address, **form(now(origin, job)))
    assert "Nothing was changed." in admin.get(address).text


def test_jobs_are_listed_by_tags_which_everybody_sees_who_sees_the_job(origin: Origin) -> None:
    sweep = origin.job(name="Sweep", tags=("nightly", NASTY), hidden=True)
    origin.job(name="Rinse", tags=("nightly",))
    origin.job(name="Other")
    admin = Visitor(origin)

    def names(query: str) -> list[str]:
        page = admin.get(f"/signoff/jobs{query}").text
        check_harmless(page)
        return [name for name in ("Sweep", "Rinse", "Other") if f">{name}</a>" in page]

    assert names("") == ["Rinse", "Other"]
    assert names("?tags=nightly") == ["Sweep", "Rinse"]
    assert names(f"?{urlencode({'tags': ['nightly', NASTY]}, doseq=True)}") == ["Sweep"]
    assert names("?tags=nope") == names("?tags=%00") == []
    assert "No Jobs match." in admin.get("/signoff/jobs?tags=nope").text
    assert 'href="/signoff/jobs?tags=nightly"' in admin.get(f"/signoff/jobs/{sweep.id}").text
    back = admin.post(f"/signoff/jobs/{sweep.id}/favourite", favourite="yes", q="s", tags="nightly")
    assert back.headers["location"] == "/signoff/jobs?q=s&tags=nightly"


def test_saving_an_old_form_undoes_nothing_that_others_have_changed_meanwhile(origin: Origin) -> None:
    job = origin.job(declared=DECLARED)
    admin = Visitor(origin)
    admin.post(f"/signoff/jobs/{job.id}/settings", **form(job, hidden="yes"))
    admin.post(f"/signoff/jobs/{job.id}/settings", **form(job, time_limit="5"))
    assert (now(origin, job).hidden, now(origin, job).time_limit) == (True, 5.0)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        pytest.param({"time_limit": NASTY}, "time_limit-fault", id="no number"),
        pytest.param({"job_queues": NASTY + "\0"}, "job_queues-fault", id="no queue"),
        pytest.param(
            {"approval_required": "yes", "has_sensitive_variables": "yes"}, "approval_required-fault", id="both marks"
        ),
    ],
)
def test_a_fault_stands_beside_its_field_and_what_was_typed_stays(
    origin: Origin, typed: dict[str, str], said: str
) -> None:
    job = origin.job(declared=DECLARED)
    answer = Visitor(origin).post(f"/signoff/jobs/{job.id}/settings", **form(job, description="kept as typed", **typed))
    assert answer.status_code == 400
    assert f'id="{said}"' in answer.text
    assert "kept as typed" in answer.text
    check_harmless(answer.text)
    assert now(origin, job) == job


def test_who_may_not_switch_approval_is_shown_why_and_refused_all_the_same(origin: Origin) -> None:
    job = origin.job(declared=DECLARED, approval_required=True)
    origin.user("changer", superuser=False)
    origin.identity.add_permission(
        "changes", job.created, types=["extras.job"], actions=["view", "change"], users=["changer"]
    )
    changer, address = Visitor(origin, "changer"), f"/signoff/jobs/{job.id}/settings"
    assert "Only users who may approve this job" in changer.get(address).text
    answer = changer.post(address, **form(job, approval_required=""))
    assert answer.status_code == 403
    assert "Only users who may approve this job" in answer.text
    assert now(origin, job).approval_required


@pytest.mark.parametrize(
    ("who", "grants", "statuses"),
    [
        # Its page, its settings, changing these, making it a favourite.
        pytest.param("admin", None, (200, 200, 303, 303), id="a superuser"),
        pytest.param("user", ("view", "change"), (200, 200, 303, 303), id="who may change it"),
        pytest.param("user", ("view", "run"), (200, 403, 403, 303), id="who may view and run it"),
        pytest.param("user", ("change",), (403, 403, 403, 403), id="who may change but not view Jobs"),
        pytest.param("user", (), (403, 403, 403, 403), id="who may nothing"),
    ],
)
def test_who_may_see_and_do_what(origin: Origin, who: str, grants: Any, statuses: tuple[int, ...]) -> None:
    job = origin.job(declared=DECLARED)
    origin.user("user", superuser=False)
    if grants:
        origin.identity.add_permission("p", job.created, types=["extras.job"], actions=[*grants], users=["user"])
    visitor, address = Visitor(origin, who), f"/signoff/jobs/{job.id}"
    answers = (
        visitor.get(address),
        visitor.get(f"{address}/settings"),
        visitor.post(f"{address}/settings", **form(job, hidden="yes")),
        visitor.post(f"{address}/favourite", favourite="yes"),
    )
    assert tuple(answer.status_code for answer in answers) == statuses


def test_who_may_view_other_jobs_only_is_told_what_they_are_told_of_none(origin: Origin) -> None:
    job = origin.job(declared=DECLARED)
    origin.user("user", superuser=False)
    origin.identity.add_permission(
        "p", job.created, types=["extras.job"], actions=["view", "change"], users=["user"], constraint={"name": "Other"}
    )
    visitor = Visitor(origin, "user")
    for more in ("", "/settings"):
        told = {visitor.get(f"/signoff/jobs/{job_id}{more}").status_code for job_id in (job.id, uuid4())}
        assert told == {404}
    for more in ("/settings", "/favourite"):
        told = {visitor.post(f"/signoff/jobs/{job_id}{more}", **form(job)).status_code for job_id in (job.id, uuid4())}
        assert told == {404}


def test_whatever_a_job_is_called_and_says_is_text(origin: Origin) -> None:
    job = origin.job(
        name=NASTY,
        grouping=NASTY,
        description=NASTY,
        module_name=NASTY,
        job_queues=("default", NASTY),
        variables=tuple(VARIABLES),
        declared=DECLARED,
    )
    origin.add(make_result(job, None))
    admin = Visitor(origin)
    for address in ("/signoff/jobs", f"/signoff/jobs/{job.id}", f"/signoff/jobs/{job.id}/settings"):
        answer = admin.get(address)
        assert answer.status_code == 200, answer.text
        check_harmless(answer.text)


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        pytest.param({"favourite": "yes"}, "/signoff/jobs", id="in the list"),
        pytest.param({"favourite": "yes", "q": "a&b=c"}, "/signoff/jobs?q=a%26b%3Dc", id="in what was searched"),
        pytest.param({"favourite": "yes", "back": "job"}, "/signoff/jobs/{id}", id="on its page"),
        pytest.param({"favourite": "yes", "back": "//evil.example"}, "/signoff/jobs", id="nowhere else"),
    ],
)
def test_after_making_a_favourite_people_are_where_they_were(origin: Origin, sent: dict[str, str], back: str) -> None:
    job = origin.job(declared=DECLARED)
    admin = Visitor(origin)
    answer = admin.post(f"/signoff/jobs/{job.id}/favourite", **sent)
    assert answer.headers["location"] == back.replace("{id}", str(job.id))
    page = admin.get("/signoff/jobs").text
    assert '<h2 id="group-1">Favourites</h2>' in page
