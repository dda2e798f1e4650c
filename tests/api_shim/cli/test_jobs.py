"""``signoff job``, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from api_shim.services.jobs import JobCatalogue
from api_shim.settings import utc_now
from api_shim.store import Store
from flows.examples import BackUp, CheckHosts
from tests.api_shim.cli.conftest import Run, Told


@pytest.fixture
def _recorded(tables: None, home: Path) -> None:
    """Record two Jobs, as a start of the server does."""
    store = Store(f"sqlite:///{home / 'signoff.db'}")
    JobCatalogue(store, utc_now).record([BackUp.definition(), CheckHosts.definition()])
    store.close()


def test_before_the_first_start_there_are_none_and_that_is_said(signoff: Run) -> None:
    assert signoff("job", "list").out == "No Jobs yet. `signoff up` finds them when it starts.\n"
    assert signoff("job", "list", "--json").json == []


@pytest.mark.usefixtures("_recorded")
def test_jobs_are_listed_with_what_matters(signoff: Run) -> None:
    backup, hosts = signoff("job", "list", "--json").json
    del backup["id"]
    assert backup == {
        "name": "Back up",
        "grouping": "Examples",
        "class": "flows.examples.BackUp",
        "enabled": False,
        "installed": True,
        "approval": True,
        "sensitive": False,
    }
    assert hosts["name"] == "Check hosts"
    lines = signoff("job", "list").out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["name", "Back up", "Check hosts"]


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize("name", ["Back up", "flows.examples.BackUp"])
def test_a_job_is_enabled_and_disabled(signoff: Run, name: str) -> None:
    assert signoff("job", "enable", name).out == "Enabled Back up.\n"
    assert [job["enabled"] for job in signoff("job", "list", "--json").json] == [True, False]
    assert signoff("job", "disable", name).out == "Disabled Back up.\n"
    assert [job["enabled"] for job in signoff("job", "list", "--json").json] == [False, False]


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_what_is_no_job_is_one_sentence(signoff: Run, verb: str) -> None:
    told = signoff("job", verb, "back up").refusal
    assert told == "There is no Job 'back up'; `signoff job list` names those that were found."


def test_what_a_job_wants_to_know_is_a_table(signoff: Run, server: Told) -> None:
    keep = {"name": "keep", "type": "IntegerVar", "required": True, "default": 7, "help_text": "How many."}
    server.body = [keep]
    printed = signoff("job", "variables", "Back up")
    columns, row = printed.out.splitlines()
    assert columns.split() == ["name", "type", "required", "default", "help_text", "choices"]
    assert row.split() == ["keep", "IntegerVar", "yes", "7", "How", "many.", "-"]
    assert server.asked == [("GET", "/api/extras/jobs/Back%20up/variables/", None)]
    server.body = []
    assert signoff("job", "variables", "Back up").out == "This Job has no variables.\n"
    assert signoff("job", "variables", "Back up", "--json").json == []
