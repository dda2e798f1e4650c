"""pynautobot, the client that people already use, as it is."""

from __future__ import annotations

from typing import Any

import pynautobot
import pytest
from pynautobot.core.query import RequestError

from tests.acceptance.people import FAR, unique
from tests.live import Live, eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nautobot(live: Live) -> pynautobot.api:
    return pynautobot.api(url=live.origin, token=live.key("admin"))


@pytest.fixture
def scheduled(nautobot: pynautobot.api) -> Any:
    """A scheduled job, as the client has made it."""
    schedule = {"name": unique("with pynautobot"), "interval": "daily", "start_time": FAR}
    made = nautobot.extras.jobs.run(job_name="Greet", data={"who": "Ada"}, schedule=schedule)
    return nautobot.extras.scheduled_jobs.get(made.scheduled_job["id"])


def test_the_client_knows_the_version(nautobot: pynautobot.api) -> None:
    assert nautobot.version == "2.4"


def test_a_wrong_token_is_refused(live: Live) -> None:
    with pytest.raises(RequestError, match="Invalid token"):
        list(pynautobot.api(url=live.origin, token="0" * 40).extras.jobs.all())


def test_jobs_are_found_by_id_by_name_and_by_filter(nautobot: pynautobot.api) -> None:
    by_name = nautobot.extras.jobs.get(name="Greet")
    assert by_name.name == "Greet"
    assert nautobot.extras.jobs.get(by_name.id).job_class_name == "Greet"
    assert [job.id for job in nautobot.extras.jobs.filter(name=["Greet"])] == [by_name.id]
    assert {"Greet", "Guarded"} <= {job.name for job in nautobot.extras.jobs.all()}
    assert nautobot.extras.jobs.get(name="Nobody") is None


def test_a_job_runs_by_its_id_and_its_result_is_found(nautobot: pynautobot.api) -> None:
    job = nautobot.extras.jobs.get(name="Greet")
    made = nautobot.extras.jobs.run(job_id=job.id, data={"who": "Ada"})
    result = eventually(
        lambda: (r := nautobot.extras.job_results.get(made.job_result["id"])).date_done and r, within=60
    )
    assert (result.status.value, result.result["greeted"]) == ("SUCCESS", "Ada")
    assert result.id in {row.id for row in nautobot.extras.job_results.filter(name="Greet")}


def test_a_job_is_run_and_waited_for(nautobot: pynautobot.api) -> None:
    job = nautobot.extras.jobs.get(name="Greet")
    done = nautobot.extras.jobs.run_and_wait(job_id=job.id, data={"who": "Grace"}, interval=1, max_rechecks=60)
    assert done.job_result.status.value == "SUCCESS"


def test_a_refusal_shows_the_reason(nautobot: pynautobot.api) -> None:
    with pytest.raises(RequestError, match="Job data contained an unknown property"):
        nautobot.extras.jobs.run(job_name="Greet", data={"bogus": 1})


def test_scheduled_jobs_are_listed_found_and_counted(nautobot: pynautobot.api, scheduled: Any) -> None:
    every = nautobot.extras.scheduled_jobs
    assert scheduled.id in {row.id for row in every.all()}
    assert [row.id for row in every.filter(name=scheduled.name)] == [scheduled.id]
    assert every.get(name=scheduled.name).interval == "daily"
    assert every.count(name=scheduled.name) == 1
    assert every.count() >= 1


def test_a_scheduled_job_is_deleted(nautobot: pynautobot.api, scheduled: Any) -> None:
    assert scheduled.delete() is True
    assert nautobot.extras.scheduled_jobs.get(scheduled.id) is None


def test_several_scheduled_jobs_are_deleted_at_once(nautobot: pynautobot.api, scheduled: Any) -> None:
    assert nautobot.extras.scheduled_jobs.delete([scheduled]) is True
    assert nautobot.extras.scheduled_jobs.count(name=scheduled.name) == 0
