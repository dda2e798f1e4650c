"""Section 3 of the contract, over HTTP: Jobs, their variables, and what an administrator can change about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.acceptance.asking import JOBS, UNKNOWN, Body, answered, run, run_form
from tests.acceptance.fields import JOB, check_fields
from tests.acceptance.people import changed
from tests.api_shim.in_process import InProcess


def test_a_job_has_the_fields_of_the_contract(server: InProcess, admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    check_fields(greet, JOB)
    assert greet["object_type"] == "extras.job"
    assert greet["url"] == f"{server.origin}{JOBS}{greet['id']}/"
    assert (greet["module_name"], greet["job_class_name"]) == ("tests.acceptance.jobs_for_tests", "Greet")
    assert (greet["display"], greet["grouping"]) == ("Greet", "Acceptance")
    assert greet["task_queues"] == ["default", "bulk"]
    assert [set(queue) for queue in greet["job_queues"]] == [{"id", "object_type", "url"}] * 2
    [tag, other] = greet["tags"]
    assert {**tag, "id": "", "natural_slug": ""} == {
        "id": "",
        "object_type": "extras.tag",
        "display": "greeting",
        "url": f"{server.origin}{JOBS}?tags=greeting",
        "natural_slug": "",
        "name": "greeting",
    }
    assert [row["name"] for row in admin.get(other["url"]).json()["results"]] == ["Greet"]
    assert greet["default_job_queue"] == greet["job_queues"][0]
    listed = admin.get(JOBS, params={"name": "Greet"}).json()["results"]
    assert listed == [greet]


@pytest.mark.parametrize("name", ["Every variable", "Keep a secret", "Check hosts"])
def test_a_job_is_found_by_its_name_and_by_its_id(admin: httpx.Client, name: str) -> None:
    by_name = admin.get(f"{JOBS}{quote(name)}/").json()
    assert by_name["name"] == name
    assert admin.get(f"{JOBS}{by_name['id']}/").json() == by_name


def test_the_variables_of_a_job_are_described(admin: httpx.Client) -> None:
    assert admin.get(f"{JOBS}{quote('Every variable')}/variables/").json() == [
        {"name": "text", "type": "TextVar", "required": False},
        {
            "name": "number",
            "type": "IntegerVar",
            "help_text": "How many",
            "required": True,
            "min_value": 1,
            "max_value": 100,
        },
        {"name": "flag", "type": "BooleanVar", "required": False, "default": False},
        {
            "name": "colour",
            "type": "ChoiceVar",
            "required": True,
            "default": "r",
            "choices": [["r", "Red"], ["g", "Green"]],
        },
        {"name": "several", "type": "MultiChoiceVar", "required": False, "choices": [["a", "A"], ["b", "B"]]},
        {"name": "data", "type": "JSONVar", "required": False},
        {"name": "code", "type": "StringVar", "label": "A code", "required": True, "default": "ABC"},
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", "Another one."),
        ("hidden", True),
        ("is_singleton", True),
        ("dryrun_default", True),
        ("approval_required", True),
        ("has_sensitive_variables", True),
        ("soft_time_limit", 10),
        ("time_limit", 20.5),
    ],
)
def test_a_field_of_a_job_can_be_overridden_and_taken_back(admin: httpx.Client, field: str, value: Any) -> None:
    address = f"{JOBS}Alone/"
    before = admin.get(address).json()
    overridden = admin.patch(address, json={field: value}).json()
    assert (overridden[field], overridden[f"{field}_override"]) == (value, True)
    assert admin.get(address).json() == overridden
    back = admin.patch(address, json={f"{field}_override": False}).json()
    assert (back[field], back[f"{field}_override"]) == (before[field], False)


def test_queues_can_be_overridden_under_both_names(admin: httpx.Client) -> None:
    for field in ("task_queues", "job_queues"):
        found = admin.patch(f"{JOBS}Alone/", json={field: ["default", "other"]}).json()
        assert (found["task_queues"], found["job_queues_override"]) == (["default", "other"], True)
        back = admin.patch(f"{JOBS}Alone/", json={"job_queues_override": False}).json()
        assert (back["task_queues"], back["job_queues_override"]) == (["default"], False)


def test_a_job_can_be_disabled_and_then_does_not_run(admin: httpx.Client) -> None:
    with changed(admin, "Complain", enabled=False):
        refusal = (403, {"detail": "This job is not enabled to be run."})
        assert answered(run(admin, {}, "Complain")) == refusal
        assert answered(run_form(admin, {"x": "1"}, "Complain")) == refusal


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"has_sensitive_variables": True, "approval_required": True}, id="both at once"),
        pytest.param({"has_sensitive_variables": True}, id="sensitive, where approval is required"),
    ],
)
def test_a_job_cannot_both_be_sensitive_and_need_approval(admin: httpx.Client, body: Body) -> None:
    before = admin.get(f"{JOBS}Guarded/").json()
    answer = admin.patch(f"{JOBS}Guarded/", json=body)
    message = "A job that may have sensitive variables cannot be marked as requiring approval"
    assert answered(answer) == (400, {"approval_required": [message]})
    assert admin.get(f"{JOBS}Guarded/").json() == before


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        pytest.param({"enabled": "yes"}, {"enabled": ["Must be a valid boolean."]}, id="a flag that is none"),
        pytest.param({"enabled": None}, {"enabled": ["Must be a valid boolean."]}, id="a flag that is null"),
        pytest.param(
            {"hidden_override": 1}, {"hidden_override": ["Must be a valid boolean."]}, id="an override that is none"
        ),
        pytest.param(
            {"time_limit": -1},
            {"time_limit": ["A time limit is a number of seconds from 0 (none) to 10000000."]},
            id="a negative limit",
        ),
        pytest.param(
            {"description": 5},
            {"description": ["Not a valid string of at most 10000 characters."]},
            id="a description that is a number",
        ),
        pytest.param(
            {"task_queues": "default"},
            {"job_queues": ["Expected a list of names of work queues."]},
            id="queues that are no list",
        ),
        pytest.param(
            ["enabled"],
            {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]},
            id="not an object",
        ),
    ],
)
def test_a_change_of_a_job_that_cannot_be_is_refused(admin: httpx.Client, body: Any, faults: Body) -> None:
    before = admin.get(f"{JOBS}Alone/").json()
    assert answered(admin.patch(f"{JOBS}Alone/", json=body)) == (400, faults)
    assert admin.get(f"{JOBS}Alone/").json() == before


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_is_unknown_or_cannot_be_changed_is_refused(admin: httpx.Client, method: str) -> None:
    before = admin.get(f"{JOBS}Alone/").json()
    fixed = {"name": "Other", "id": UNKNOWN, "installed": False, "bogus": 1}
    answer = admin.request(method, f"{JOBS}Alone/", json={**fixed, "hidden": True})
    assert answered(answer) == (400, {field: ["This field cannot be changed."] for field in fixed})
    assert admin.get(f"{JOBS}Alone/").json() == before


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_several_jobs_are_changed_at_once_or_not_at_all(admin: httpx.Client, method: str) -> None:
    ids = [admin.get(f"{JOBS}{name}/").json()["id"] for name in ("Alone", "Sleep")]

    def sent(**to: Any) -> httpx.Response:
        return admin.request(method, JOBS, json=[*({"id": job_id, **to} for job_id in ids), {"id": UNKNOWN, **to}])

    def hidden() -> list[bool]:
        return [admin.get(f"{JOBS}{job_id}/").json()["hidden"] for job_id in ids]

    answer = sent(hidden=True)
    assert answer.status_code == 200
    assert {row["id"] for row in answer.json()} == {*ids}
    assert hidden() == [True, True]
    one, other = (admin.get(f"{JOBS}{job_id}/").json() for job_id in ids)
    answer = admin.request(method, JOBS, json=[{**one, "hidden": False}, {**other, "hidden": 5}])
    assert answered(answer) == (400, {"hidden": ["Must be a valid boolean."]})
    assert hidden() == [True, True]
    assert sent(hidden_override=False).status_code == 200
    assert hidden() == [False, False]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, {"non_field_errors": ['Expected a list of items but got type "dict".']}),
        ([{"hidden": True}], [{"id": ["Must be a valid UUID."]}]),
        ([UNKNOWN, {"id": UNKNOWN}], [{"id": ["This field is required."]}, {}]),
    ],
)
def test_each_of_several_changes_names_its_job(admin: httpx.Client, body: Any, told: Any) -> None:
    assert answered(admin.patch(JOBS, json=body)) == (400, told)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_get_gave_can_be_sent_back_with_changes(admin: httpx.Client, method: str, depth: int) -> None:
    address = f"{JOBS}Alone/"
    before = admin.get(address).json()

    def sent(**to: Any) -> dict[str, Any]:
        shown = admin.get(address, params={"depth": depth}).json()
        answer = admin.request(method, address, json={**shown, **to})
        assert answer.status_code == 200, answer.text
        return {**answer.json(), "last_updated": before["last_updated"]}

    try:
        assert sent() == before
        assert sent(hidden=True) == {**before, "hidden": True, "hidden_override": True}
        assert sent(hidden_override=False) == before
        greet = admin.get(f"{JOBS}Greet/").json()
        assert sent(job_queues=greet["job_queues"])["task_queues"] == greet["task_queues"]
        assert sent(task_queues=["default"])["task_queues"] == ["default"]
    finally:
        back = {"hidden_override": False, "job_queues_override": False}
        assert admin.patch(address, json=back).status_code == 200
    assert {**admin.get(address).json(), "last_updated": before["last_updated"]} == before
