"""The document of our API: it is valid, complete, and tells nothing that there is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from api_shim.parsing.filters import parameters
from api_shim.schemas import Refusal
from api_shim.store import Store
from api_shim.web.rest.openapi import REFUSALS, describe, operations
from api_shim.web.rest.routers import ROUTERS
from approval_gate.model import ObjectType
from tests.api_shim.origin import Origin
from tests.conftest import Clock

ROUTES = {
    (f"{route.path}/", method.lower())
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and route.include_in_schema
    for method in route.methods
}


def made() -> dict[str, Any]:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    return describe(app.routes)


DOCUMENT = made()
OPERATIONS = {(path, method): operation for path, method, operation in operations(DOCUMENT)}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=[" ".join(each) for each in OPERATIONS])


def test_it_is_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_it_tells_of_every_route_and_of_no_other() -> None:
    assert OPERATIONS.keys() == ROUTES
    assert not any("signoff" in path or "flow_runs" in path for path, _ in ROUTES)


def test_it_is_the_same_every_time() -> None:
    assert made() == DOCUMENT


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(names) == len({*names})
    assert {"extras_jobs_list", "extras_jobs_run_create", "extras_scheduled_jobs_bulk_destroy"} <= {*names}


@every_operation
def test_an_operation_says_what_it_does_and_answers(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert len(operation["tags"]) == 1
    done = {status: answer for status, answer in operation["responses"].items() if status < "300"}
    assert len(done) == 1 or done.keys() == {"200", "204"}, "a deletion may have something to tell"
    for status, answer in done.items():
        assert answer["headers"].keys() - {"ETag"} == {"API-Version"}
        [(kind, told)] = answer.get("content", {"none": {"schema": {}}}).items()
        if kind == "application/octet-stream":
            assert told["schema"]["format"] == "binary"
        else:
            assert status == "204" or told["schema"].keys() & {"$ref", "items", "additionalProperties"}
    assert {"403", "406", "503"} <= operation["responses"].keys()


def referred(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
        part = [*part.values()]
    for inner in part if isinstance(part, list) else []:
        yield from referred(inner)


def test_what_is_referred_to_is_there_and_what_is_there_is_referred_to() -> None:
    there = {
        f"#/components/{part}/{name}"
        for part, named in DOCUMENT["components"].items()
        if part != "securitySchemes"
        for name in named
    }
    assert {*referred(DOCUMENT)} == there
    assert "$defs" not in json.dumps(DOCUMENT)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/extras/jobs/", ObjectType.JOB),
        ("/api/extras/scheduled-jobs/", ObjectType.SCHEDULED_JOB),
        ("/api/extras/approval-queue/", ObjectType.SCHEDULED_JOB),
        ("/api/extras/job-logs/", ObjectType.JOB_LOG_ENTRY),
        ("/api/users/tokens/", ObjectType.TOKEN),
    ],
)
def test_a_list_names_its_filters(path: str, kind: ObjectType) -> None:
    told = OPERATIONS[path, "get"]["parameters"]
    assert {each["name"] for each in told if "name" in each} == {name for name, _ in parameters(kind)}
    shared = {each["$ref"].rpartition("/")[2] for each in told if "$ref" in each}
    assert shared == {"api_version", "depth", "limit", "offset", "sort", "q"}


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        pytest.param("/api/extras/jobs/{ref}/run/", "post", {"201", "404", "405", "413", "415"}, id="a run"),
        pytest.param("/api/extras/scheduled-jobs/", "delete", {"204", "400", "415"}, id="a bulk deletion"),
        pytest.param("/api/extras/scheduled-jobs/{ref}/approve/", "post", {"200", "409", "412"}, id="a decision"),
    ],
)
def test_an_operation_tells_how_it_can_be_refused(path: str, method: str, statuses: set[str]) -> None:
    assert statuses <= OPERATIONS[path, method]["responses"].keys()


def test_a_run_can_be_sent_as_json_and_as_a_form() -> None:
    body = OPERATIONS["/api/extras/jobs/{ref}/run/", "post"]["requestBody"]
    assert body["content"].keys() == {
        "application/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
    }


def test_what_must_be_given_of_a_new_account_is_told() -> None:
    def needed(path: str, method: str) -> Any:
        schema = OPERATIONS[path, method]["requestBody"]["content"]["application/json"]["schema"]
        return schema.get("required", [])

    assert needed("/api/users/permissions/", "post") == ["name", "object_types", "actions"]
    assert needed("/api/users/permissions/{ref}/", "patch") == []


def test_a_key_is_told_where_a_token_is_made_and_nowhere_else() -> None:
    assert "key" in DOCUMENT["components"]["schemas"]["NewToken"]["properties"]
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert name == "NewToken" or "key" not in schema.get("properties", {})
    with_key = [name for name, op in OPERATIONS.items() if "NewToken" in json.dumps(op["responses"])]
    assert with_key == [("/api/users/tokens/", "post")]


def test_a_refusal_is_a_sentence_or_sentences_by_field() -> None:
    answers = DOCUMENT["components"]["responses"]
    assert answers.keys() == {name for name, _, _ in REFUSALS.values()}
    shape = answers["Forbidden"]["content"]["application/json"]["schema"]
    assert shape["properties"].keys() == Refusal.model_fields.keys()


# Asked for


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    return Origin(sqlite_store, clock)


@pytest.mark.parametrize(
    "path", ["/api/schema", "/api/schema/", "/api/schema/?format=json", "/api/docs/?format=openapi"]
)
def test_anybody_can_ask_for_it(origin: Origin, path: str) -> None:
    answer = origin.ask("GET", path, None)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT
    assert answer.headers["API-Version"] == "2.4"
    assert origin.ask("HEAD", path, None).status_code == 200


def test_it_holds_nothing_of_the_instance(origin: Origin) -> None:
    before = origin.ask("GET", "/api/schema/", None).content
    origin.user("somebody.special")
    origin.job(name="A special Job")
    assert origin.ask("GET", "/api/schema/", "somebody.special").content == before


def test_it_is_asked_for_like_all_else(origin: Origin) -> None:
    assert origin.ask("GET", "/api/schema/", None, headers={"Accept": "text/csv"}).status_code == 406
    assert origin.ask("GET", "/api/schema/?api_version=9.9", None).status_code == 406
    assert origin.ask("GET", "/api/schema/", None, headers={"Accept": "*/*; indent=2"}).text.startswith("{\n  ")
    assert origin.ask("POST", "/api/schema/", None).status_code == 403
    origin.user()
    assert origin.ask("POST", "/api/schema/").status_code == 405


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/docs", "text/html"),
        ("/api/docs/", "text/html"),
        ("/api/docs/start.js", "text/javascript"),
        ("/api/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/api/docs/swagger-ui.css", "text/css"),
    ],
)
def test_the_page_is_open_and_may_load_nothing_from_elsewhere(origin: Origin, path: str, kind: str) -> None:
    answer = origin.ask("GET", path, None)
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {*policy.values()} == {"'none'", "'self'", "'self' data:"}
    assert origin.ask("HEAD", path, None).headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("path", ["/api/docs/nothing", "/api/docs/%2e%2e%2fapp.py"])
def test_nothing_else_is_served(origin: Origin, path: str) -> None:
    origin.user()
    assert origin.ask("GET", path).status_code == 404
    assert origin.passed == []
