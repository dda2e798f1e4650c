"""Whatever the document of our API allows is asked, and more: the server answers as the document says.

Each operation is asked with what its schemas make, sound and unsound, about objects that there are and that there
are not. The server is one of its own, for what is asked changes much; the user who asks is not one who is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis import APIOperation, Case
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode
from urllib3 import HTTPResponse

from api_shim.domain.model import OVERRIDABLE
from api_shim.domain.recurrence import Interval
from api_shim.web.rest.openapi import describe
from api_shim.web.rest.routers import ROUTERS
from tests.acceptance.people import FAR, RESULTS, People, schedule, unique
from tests.api_shim.in_process import InProcess, in_process

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 6
"""How often each operation is asked."""


AS_FOUND = {"enabled": True, **{f"{field}_override": False for field in OVERRIDABLE}}
"""What takes back whatever has been decided about a Job."""


def _document() -> dict[str, Any]:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    return describe(app.routes)


DOCUMENT = _document()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.config.generation.with_security_parameters = False  # nobody who is unknown; test_access.py asks as such
OPERATIONS: list[APIOperation] = [result.ok() for result in SCHEMA.get_all_operations()]


class Adapter(HTTPAdapter):
    """Lets a session of requests ask a server within this process.

    Args:
        transport: what passes requests on to it.
    """

    def __init__(self, transport: httpx.BaseTransport) -> None:
        super().__init__()
        self._transport = transport

    def send(self, request: requests.PreparedRequest, *_how: Any, **_more: Any) -> requests.Response:
        asked = httpx.Request(
            str(request.method), str(request.url), headers=[*request.headers.items()], content=request.body
        )
        answer = self._transport.handle_request(asked)
        body = BytesIO(answer.read())
        raw = HTTPResponse(body, answer.headers.multi_items(), answer.status_code, version=11, preload_content=False)
        return self.build_response(request, raw)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("schema")) as started:
        yield started


@pytest.fixture(scope="module")
def asker(server: InProcess, people: People) -> Iterator[requests.Session]:
    """Signed in as a superuser whom nobody asks about."""
    with requests.Session() as session:
        session.mount(server.origin, Adapter(server.transport()))
        session.headers["Authorization"] = f"Token {server.key(people.add(superuser=True))}"
        yield session


@pytest.fixture(scope="module")
def log_line(server: InProcess, admin: httpx.Client, people: People) -> Mapping[str, Any]:
    """A line of the log of a job result that is done."""
    made = people.result("Greet")
    server.log(made, "Hello world")
    line: Mapping[str, Any] = admin.get(f"{RESULTS}{made}/logs/").json()[0]
    return line


def known(path: str, admin: httpx.Client, people: People, log_line: Mapping[str, Any]) -> list[str]:
    """Make some objects of the type that a path is about, and return what they can be referred to by."""
    match path.split("/")[3]:
        case "jobs":
            for job in ("Change", "Every%20variable"):
                # What has been asked before may have changed them.
                admin.patch(f"/api/extras/jobs/{job}/", json=AS_FOUND)
            return ["Change", "Every%20variable"]
        case "scheduled-jobs":
            rows = [schedule(admin, job="Guarded"), schedule(admin), schedule(admin, interval="daily")]
            return [rows[0]["id"], rows[1]["id"], rows[2]["name"].replace(" ", "%20")]
        case "job-results":
            return [log_line["job_result"]["id"], str(people.result("Greet"))]
        case "job-logs":
            return [log_line["id"]]
        case "job-queues":
            return ["default", "bulk"]
        case "job-buttons":
            sent = {"name": unique(), "text": "Press", "job": "Press", "content_types": ["extras.job"]}
            return [admin.post("/api/extras/job-buttons/", json=sent).json()["id"]]
        case "job-hooks":
            sent = {"name": unique(), "job": "Hear", "content_types": ["extras.job"], "type_update": True}
            return [admin.post("/api/extras/job-hooks/", json=sent).json()["id"]]
        case "approval-requests":
            made = schedule(admin, job="Guarded")
            admin.post(f"{made['url']}deny/")
            asked = {"scheduled_job": made["id"]}
            return [admin.get("/api/extras/approval-requests/", params=asked).json()["results"][0]["id"]]
        case "automation-accounts":
            return [str(people.bound("admin").id)]
        case "users":
            return [people.id_of(people.add()), people.add()]
        case "tokens":
            return people.token_ids(people.add())
        case "groups":
            return [str(people.identity.add_group(unique(), datetime.now(UTC)).id)]
        case _:
            made = people.identity.add_permission(unique(), datetime.now(UTC), types=["extras.job"], actions=["view"])
            return [str(made.id), made.name.replace(" ", "%20")]


LIKELY: Mapping[str, list[Any]] = {
    "data": [{}, {"dryrun": True}, {"count": 5}, {"number": 5, "flag": "off", "colour": "r", "data": [1, None]}],
    "schedule": [
        {"interval": interval, "name": f"schema {interval}", "start_time": FAR, "crontab": "0 2 * * *"}
        for interval in Interval
    ],
    "interval": [*Interval],
    "name": ["a", "b", "Ä" * 255],
    "start_time": ["2030-01-01T02:00", "2030-01-01T02:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"],
    "crontab": ["0 2 * * *", "*/5 9-17 * * mon-fri", "0 0 31 2 *", "0 0 29 2 *"],
    "time_zone": ["UTC", "Europe/Zurich", "America/St_Johns", "Nowhere"],
    "job_queue": ["default", "bulk"],
    "task_queue": ["default", "bulk"],
    "enabled": [True, False],
    "force": [True, "no"],
    "user": ["alice", "bob", "nobody"],
    "username": ["carol", "dave"],
    "automation": [str(UUID(int=7)), "nightly"],
    "groups": [[], ["none"]],
    "expires": [None, "2030-01-01T02:00", "2000-01-01T02:00"],
    "job": ["Press", "Hear", "Greet", "Nothing"],
    "text": ["Press", " "],
    "content_types": [["extras.job"], ["extras.jobresult", "extras.scheduledjob"], ["users.user"], []],
    "type_create": [True, False],
    "weight": [0, 7, -1],
    "object_types": [["extras.job"], ["extras.scheduledjob", "users.user"]],
    "actions": [["view", "run"], ["approve"]],
    "constraints": [None, {"name": "a"}, [{"name__in": ["a", "b"]}, {"user": "$user"}], {"nothing": 1}, 5],
}
"""What people send, by field: schemas make it too seldom, and so do not come far."""


@st.composite
def cases(draw: st.DrawFn, operation: APIOperation, refs: list[str]) -> Case:
    """Return what an operation is asked: sound or not, about something that there is or not."""
    modes = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    case: Case = draw(st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes]))
    ref = draw(st.sampled_from([None, *refs]))
    if ref is not None:
        case.path_parameters |= {"ref": ref}
    if isinstance(case.body, dict) and draw(st.booleans()):
        content = DOCUMENT["paths"][operation.path][operation.method]["requestBody"]["content"]
        schema = content["application/json"]["schema"]
        if "properties" not in schema:
            # It takes a list, and the object is one of what it does not take.
            return case
        fields = {field: st.sampled_from(LIKELY[field]) for field in schema["properties"] if field in LIKELY}
        needed = {field: fields.pop(field) for field in schema.get("required", ())}
        case.body = draw(st.fixed_dictionaries(needed, optional=fields))
    return case


def test_the_server_tells_what_it_is_asked_by(server: InProcess) -> None:
    with server.client(None) as nobody:
        assert nobody.get("/api/schema/").json() == DOCUMENT


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.label for operation in OPERATIONS])
def test_the_server_answers_as_the_document_says(
    server: InProcess,
    asker: requests.Session,
    admin: httpx.Client,
    people: People,
    log_line: Mapping[str, Any],
    operation: APIOperation,
) -> None:
    refs = known(operation.path, admin, people, log_line) if "{" in operation.path else []

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck]
    )
    @given(cases(operation, refs))
    def ask(case: Case) -> None:
        answer = case.call(base_url=server.origin, session=asker)
        # Prefect may be busy, or nobody may serve a queue; the store and we are always there.
        assert answer.status_code < 500 or (answer.status_code == 503 and "Prefect" in answer.text), answer.text
        case.validate_response(answer, checks=CHECKS)

    ask()
