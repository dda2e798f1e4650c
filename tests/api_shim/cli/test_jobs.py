"""``signoff job``, as it is typed."""

from __future__ import annotations

import pytest

from tests.api_shim import said
from tests.api_shim.cli.conftest import TOKEN, Run, Told

JOB = said.job()


def test_where_there_are_no_jobs_to_view_that_is_said(signoff: Run, server: Told) -> None:
    server.body = said.page()
    assert signoff("job", "list").out == "There are no Jobs that you can view.\n"
    assert signoff("job", "list", "--json").json == []


def test_jobs_are_listed_with_what_matters_by_a_server_as_a_user(signoff: Run, server: Told) -> None:
    server.body = said.page(JOB)
    lines = signoff("job", "list", "--where", "enabled=true", "-s", "back").out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "grouping", "enabled", "installed", "approval", "sensitive"],
        ["Back", "up", "Tests", "yes", "yes", "no", "no"],
    ]
    assert server.asked == [("GET", "/api/extras/jobs/?limit=200&q=back&enabled=true", None)]
    assert server.tokens == [f"Token {TOKEN}"]
    signoff("job", "list", "--tag", "nightly", "--tag", "a b")
    assert server.asked[1:] == [("GET", "/api/extras/jobs/?limit=200&tags=nightly&tags=a+b", None)]
    assert signoff("job", "list", "--json").json[0]["job_class_name"] == JOB["job_class_name"]


def test_a_job_is_shown_with_its_settings(signoff: Run, server: Told) -> None:
    server.body = JOB
    shown = dict(line.split("  ", 1) for line in signoff("job", "show", "Back up").out.splitlines())
    assert {name.strip(): value.strip() for name, value in shown.items()}["time limit"] == "none"
    assert server.asked == [("GET", "/api/extras/jobs/Back%20up/", None)]
    assert signoff("job", "show", "Back up", "--json").json["id"] == JOB["id"]


@pytest.mark.parametrize(("verb", "said_of_it", "sent"), [("enable", "Enabled", True), ("disable", "Disabled", False)])
def test_a_job_is_enabled_and_disabled(signoff: Run, server: Told, verb: str, said_of_it: str, sent: bool) -> None:
    server.body = JOB
    assert signoff("job", verb, "Back up").out == f"{said_of_it} {JOB['name']}.\n"
    assert server.asked == [("PATCH", "/api/extras/jobs/Back%20up/", {"enabled": sent})]


@pytest.mark.parametrize("verb", ["show", "enable", "disable", "variables"])
def test_what_is_no_job_is_one_sentence(signoff: Run, server: Told, verb: str) -> None:
    server.status, server.body = 404, {"detail": "No Job matches the given query."}
    assert signoff("job", verb, "back up").refusal == "No Job matches the given query."


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
