"""The contract, line by line, over HTTP: exact statuses and exact bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest

from tests.acceptance.people import FAR, RESULTS, SCHEDULES, People, changed, schedule, unique
from tests.live import Live, eventually

JOBS = "/api/extras/jobs/"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
VERSIONS = "1.2, 1.3, 1.4, 1.5, 1.6, 2.0, 2.1, 2.2, 2.3, 2.4"

Body = dict[str, Any]


@pytest.fixture(scope="module")
def greet(admin: httpx.Client) -> Mapping[str, Any]:
    found: Mapping[str, Any] = admin.get(f"{JOBS}Greet/").json()
    return found


@pytest.fixture(scope="module")
def planned(admin: httpx.Client) -> Iterator[Mapping[str, Any]]:
    made = schedule(admin, unique("conformance"))
    yield made
    admin.delete(made["url"])


@pytest.fixture(scope="module")
def done(admin: httpx.Client) -> Mapping[str, Any]:
    """A job result that is over."""
    answer = admin.post(f"{JOBS}Greet/run/", json={"data": {"who": "Ada", "count": 2}})
    url = answer.json()["job_result"]["url"]
    found: Mapping[str, Any] = eventually(lambda: (row := admin.get(url).json())["date_done"] and row)
    return found


def run(client: httpx.Client, body: Any, job: str = "Greet") -> httpx.Response:
    return client.post(f"{JOBS}{quote(job, safe='')}/run/", json=body)


def run_form(client: httpx.Client, fields: Mapping[str, str], job: str = "Greet") -> httpx.Response:
    parts = {name: (None, value) for name, value in fields.items()}
    return client.post(f"{JOBS}{quote(job, safe='')}/run/", files=parts)


def answered(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, response.json()


# 2: conventions


@pytest.mark.parametrize(
    ("credentials", "status", "detail"),
    [
        pytest.param(None, 403, "Authentication credentials were not provided.", id="none"),
        pytest.param("Token nonsense", 403, "Invalid token", id="an unknown token"),
        pytest.param("Token", 403, "Invalid token", id="a scheme without a token"),
        pytest.param("Basic !!!", 403, "Invalid token", id="basic that cannot be decoded"),
        pytest.param("Digest abc", 403, "Authentication credentials were not provided.", id="another scheme"),
    ],
)
def test_who_is_nobody_is_told_so(live: Live, credentials: str | None, status: int, detail: str) -> None:
    headers = {} if credentials is None else {"Authorization": credentials}
    with live.client(None, **headers) as client:
        for address in ("/api/", "/api/status/", JOBS, SCHEDULES, RESULTS, f"{JOBS}Greet/", "/api/extras/nothing/"):
            assert answered(client.get(address)) == (status, {"detail": detail})


@pytest.mark.parametrize("scheme", ["Token", "token", "TOKEN"])
def test_the_scheme_of_credentials_may_be_written_in_any_case(live: Live, scheme: str) -> None:
    with live.client(None, Authorization=f"{scheme} {live.key('admin')}") as client:
        assert client.get("/api/").status_code == 200


def test_an_expired_token_and_an_inactive_user_are_told_apart(live: Live, people: People) -> None:
    name = people.add()
    expired = people.token(name, expires=datetime.now(UTC) - timedelta(seconds=1))
    with live.client(None, Authorization=f"Token {expired}") as client:
        assert answered(client.get(JOBS)) == (403, {"detail": "Token expired"})
    people.identity.set_active(name, active=False)
    with live.client(name) as client:
        assert answered(client.get(JOBS)) == (403, {"detail": "User inactive"})


def test_a_read_only_token_may_not_write(live: Live, people: People, planned: Mapping[str, Any]) -> None:
    key = people.token(people.add(superuser=True), write_enabled=False)
    refusal = (403, {"detail": "You do not have permission to perform this action."})
    with live.client(None, Authorization=f"Token {key}") as client:
        assert client.get(planned["url"]).status_code == 200
        assert answered(client.delete(planned["url"])) == refusal
        assert answered(client.request("DELETE", SCHEDULES, json=[planned["id"]])) == refusal
        assert answered(client.patch(f"{JOBS}Greet/", json={"hidden": True})) == refusal
        assert client.get(planned["url"]).status_code == 200


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        pytest.param("application/json; version=1.3; indent=4", "1.3", id="the documented one"),
        pytest.param("application/json; version=2.4", "2.4", id="the newest version"),
        pytest.param("application/json;version=1.2", "1.2", id="the oldest version"),
        pytest.param("*/*", "2.4", id="anything"),
        pytest.param("application/*", "2.4", id="any application type"),
        pytest.param("text/html, application/json; version=2.0", "2.0", id="several, one of which we make"),
        pytest.param("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "2.4", id="a browser's"),
        pytest.param("APPLICATION/JSON", "2.4", id="upper case"),
        pytest.param("", "2.4", id="an empty one"),
    ],
)
def test_what_a_client_accepts_is_made(admin: httpx.Client, accept: str, version: str) -> None:
    answer = admin.get(JOBS, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["API-Version"] == version
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["count"] > 0


def test_indent_is_for_people(admin: httpx.Client) -> None:
    indented = admin.get("/api/", headers={"Accept": "application/json; version=1.3; indent=4"})
    assert indented.text == json.dumps(indented.json(), indent=4)
    assert "\n" not in admin.get("/api/").text
    for nonsense in ("", "0", "-1", "x", "9999999999999999999999"):
        answer = admin.get("/api/", headers={"Accept": f"application/json; indent={nonsense}"})
        assert answer.json() == indented.json()


@pytest.mark.parametrize(
    ("accept", "query", "detail"),
    [
        pytest.param(
            "application/json; version=9.9",
            "",
            f'Invalid version "9.9" in "Accept" header. Supported versions are: {VERSIONS}',
            id="an unknown version in the header",
        ),
        pytest.param(
            "*/*",
            "?api_version=9.9",
            f'Invalid version "9.9" in query. Supported versions are: {VERSIONS}',
            id="an unknown version in the query",
        ),
        pytest.param("text/csv", "", "Could not satisfy the request Accept header.", id="a type that we cannot make"),
        pytest.param("text/html, image/*", "", "Could not satisfy the request Accept header.", id="several such types"),
    ],
)
def test_what_cannot_be_made_is_not_acceptable(live: Live, accept: str, query: str, detail: str) -> None:
    for who in ("admin", None):
        with live.client(who) as client:
            for address in ("/api/", JOBS, "/api/extras/nothing/"):
                answer = client.get(address + query, headers={"Accept": accept})
                assert answered(answer) == (406, {"detail": detail})
                assert answer.headers["API-Version"] == "2.4"


def test_a_version_can_be_asked_for_in_the_query(admin: httpx.Client) -> None:
    assert admin.get(f"{JOBS}?api_version=1.3").headers["API-Version"] == "1.3"


def test_every_answer_says_its_version_and_what_it_depends_on(live: Live, planned: Mapping[str, Any]) -> None:
    with live.client() as client, live.client(None) as nobody:
        answers = [
            client.get("/api/"),
            client.get(planned["url"]),
            client.get(f"{SCHEDULES}{UNKNOWN}/"),
            client.get(f"{JOBS}?bogus=1"),
            client.put(JOBS),
            client.get("/api/extras/nothing/"),
            client.post(f"{JOBS}Greet/run/", content=b"{"),
            client.post(f"{JOBS}Greet/run/", content=b"x", headers={"Content-Type": "text/plain"}),
            client.request("DELETE", SCHEDULES, json=[]),
            nobody.get(JOBS),
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 400, 405, 404, 400, 415, 204, 403]
    for answer in answers:
        assert answer.headers["API-Version"] == "2.4"
        assert answer.headers["Vary"] == "Accept, Authorization"


# 2: lists


@pytest.fixture(scope="module")
def three(admin: httpx.Client) -> Iterator[list[str]]:
    names = [unique(word) for word in ("aa", "bb", "cc")]
    made = [schedule(admin, name, start_time=f"203{i}-01-01T00:00Z") for i, name in enumerate(names)]
    yield names
    admin.request("DELETE", SCHEDULES, json=[row["id"] for row in made])


def names_of(answer: httpx.Response) -> list[str]:
    return [row["name"] for row in answer.json()["results"]]


def test_a_list_comes_in_pages_with_absolute_links_that_lead_through_it(
    live: Live, admin: httpx.Client, three: list[str]
) -> None:
    page = admin.get(SCHEDULES, params={"name": three, "limit": 1}).json()
    assert set(page) == {"count", "next", "previous", "results"}
    assert (page["count"], page["previous"]) == (3, None)
    seen, backwards = [], []
    while True:
        seen.append(page["results"][0]["name"])
        if page["next"] is None:
            break
        assert page["next"].startswith(f"{live.origin}{SCHEDULES}?")
        page = admin.get(page["next"]).json()
    assert seen == three
    while page["previous"]:
        page = admin.get(page["previous"]).json()
        backwards.append(page["results"][0]["name"])
    assert backwards == [three[1], three[0]]


@pytest.mark.parametrize("slash", ["", "/"])
def test_links_between_pages_are_the_same_with_and_without_a_slash(admin: httpx.Client, slash: str) -> None:
    page = admin.get(f"{JOBS.rstrip('/')}{slash}", params={"limit": 1}).json()
    assert page["next"].endswith(f"{JOBS}?limit=1&offset=1")


def test_links_follow_the_address_that_was_used(admin: httpx.Client) -> None:
    page = admin.get(JOBS, params={"limit": 1}, headers={"Host": "jobs.example:8443"}).json()
    assert page["next"] == f"http://jobs.example:8443{JOBS}?limit=1&offset=1"
    assert page["results"][0]["url"].startswith(f"http://jobs.example:8443{JOBS}")


def test_a_list_is_sorted_as_asked(admin: httpx.Client, three: list[str]) -> None:
    for sort, expected in (
        ("name", three),
        ("-name", three[::-1]),
        ("-start_time", three[::-1]),
        ("name,-start_time", three),
        ("bogus,-name", three[::-1]),
    ):
        assert names_of(admin.get(SCHEDULES, params={"name": three, "sort": sort})) == expected


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param({"limit": "x"}, id="a limit that is no number"),
        pytest.param({"limit": "-1"}, id="a negative limit"),
        pytest.param({"limit": "99999999999999999999"}, id="a huge limit"),
        pytest.param({"limit": "0"}, id="a limit of none"),
        pytest.param({"offset": "x"}, id="an offset that is no number"),
        pytest.param({"offset": "-5"}, id="a negative offset"),
        pytest.param({"offset": "99999999999999999999"}, id="a huge offset"),
        pytest.param({"sort": "bogus"}, id="an unknown sort"),
        pytest.param({"sort": ",,-,--name"}, id="a sort that is only punctuation"),
        pytest.param({"sort": ",".join(["name"] * 3000)}, id="the same sort thousands of times"),
    ],
)
def test_nonsense_in_paging_falls_back_to_the_default(
    admin: httpx.Client, three: list[str], nonsense: dict[str, str]
) -> None:
    answer = admin.get(SCHEDULES, params={"name": three, **nonsense})
    assert answer.status_code == 200
    assert names_of(answer) == three


def test_an_offset_beyond_the_end_shows_nothing(admin: httpx.Client, three: list[str]) -> None:
    page = admin.get(SCHEDULES, params={"name": three, "offset": 100}).json()
    assert (page["count"], page["results"], page["next"]) == (3, [], None)
    assert page["previous"] is not None


@pytest.mark.parametrize("address", [JOBS, SCHEDULES, RESULTS])
def test_an_unknown_filter_is_refused(admin: httpx.Client, address: str) -> None:
    assert answered(admin.get(address, params={"bogus": "1"})) == (400, {"bogus": ["Unknown filter field"]})


def test_filters_take_several_values_and_q_searches(admin: httpx.Client, three: list[str]) -> None:
    assert names_of(admin.get(SCHEDULES, params={"name": three[:2]})) == three[:2]
    assert names_of(admin.get(SCHEDULES, params={"q": three[2]})) == [three[2]]
    assert admin.get(SCHEDULES, params={"q": "100%_nothing"}).json()["count"] == 0
    assert names_of(admin.get(JOBS, params={"q": "Says hello"})) == ["Greet"]
    bad = admin.get(JOBS, params={"id": "nonsense"})
    assert answered(bad) == (400, {"id": ["“nonsense” is not a valid UUID."]})


# 2: objects, methods and bodies


@pytest.mark.parametrize(
    ("address", "noun"),
    [
        pytest.param(f"{SCHEDULES}{UNKNOWN}/", "ScheduledJob", id="scheduled job by id"),
        pytest.param(f"{SCHEDULES}no such name/", "ScheduledJob", id="scheduled job by name"),
        pytest.param(f"{JOBS}{UNKNOWN}/", "Job", id="Job by id"),
        pytest.param(f"{JOBS}no such name/", "Job", id="Job by name"),
        pytest.param(f"{JOBS}no%2Fsuch%2Fname/variables/", "Job", id="variables of none"),
        pytest.param(f"{RESULTS}{UNKNOWN}/", "JobResult", id="job result"),
        pytest.param(f"{RESULTS}nonsense/", "JobResult", id="job result by a malformed id"),
        pytest.param(f"{RESULTS}{UNKNOWN}/logs/", "JobResult", id="logs of none"),
    ],
)
def test_what_does_not_exist_is_not_found(admin: httpx.Client, address: str, noun: str) -> None:
    assert answered(admin.get(address)) == (404, {"detail": f"No {noun} matches the given query."})


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("PUT", JOBS),
        ("POST", JOBS),
        ("DELETE", JOBS),
        ("PUT", f"{JOBS}Greet/"),
        ("DELETE", f"{JOBS}Greet/"),
        ("GET", f"{JOBS}Greet/run/"),
        ("POST", f"{JOBS}Greet/variables/"),
        ("PUT", SCHEDULES),
        ("POST", SCHEDULES),
        ("PATCH", SCHEDULES),
        ("PUT", f"{SCHEDULES}{UNKNOWN}/"),
        ("POST", RESULTS),
        ("PATCH", f"{RESULTS}{UNKNOWN}/"),
        ("POST", "/api/"),
        ("POST", "/api/status/"),
        ("GET", "/api/signoff/admission/"),
    ],
)
def test_a_method_that_there_is_not_is_not_allowed(admin: httpx.Client, method: str, address: str) -> None:
    for path in (address, address.rstrip("/")):
        assert answered(admin.request(method, path)) == (405, {"detail": f'Method "{method}" not allowed.'})


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("address", ["/api/", JOBS, f"{SCHEDULES}{UNKNOWN}/", "/api/extras/nothing/"])
def test_a_method_that_nobody_uses_here_does_no_harm(admin: httpx.Client, method: str, address: str) -> None:
    answer = admin.request(method, address)
    assert answer.status_code in {200, 404, 405}
    assert answer.headers["API-Version"] == "2.4"


@pytest.mark.parametrize(
    "address", ["/api/extras/", "/api/extras/nothing/", "/api/extras/jobs/a/b/c/", "/api/users/x/y/", "/api/signoff/x/"]
)
def test_an_address_that_there_is_not_is_not_found_in_json(admin: httpx.Client, address: str) -> None:
    assert answered(admin.get(address)) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("address", ["/api/", "/api/status/", JOBS, f"{JOBS}Greet/", f"{JOBS}Greet/variables/"])
def test_reading_works_with_and_without_a_slash_and_without_a_redirect(admin: httpx.Client, address: str) -> None:
    with_slash, without = admin.get(address), admin.get(address.rstrip("/"))
    assert (with_slash.status_code, without.status_code) == (200, 200)
    assert with_slash.json().keys() == without.json().keys() if isinstance(without.json(), dict) else True


def test_writing_works_without_a_slash_and_without_a_redirect(admin: httpx.Client) -> None:
    answer = admin.post(
        f"{JOBS}Greet/run", json={"schedule": {"name": unique(), "interval": "future", "start_time": FAR}}
    )
    assert answer.status_code == 201
    made = answer.json()["scheduled_job"]
    assert admin.get(f"{SCHEDULES}{made['id']}").json()["id"] == made["id"]
    assert admin.patch(f"{JOBS}Greet", json={}).status_code == 200
    assert admin.delete(f"{SCHEDULES}{made['id']}").status_code == 204
    assert admin.request("DELETE", SCHEDULES.rstrip("/"), json=[made["id"]]).status_code == 204


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        pytest.param(b"{", "Expecting property name", id="cut off"),
        pytest.param(b'{"data": {},}', "", id="a comma too many"),
        pytest.param(b"\xff\xfe", "'utf-8' codec can't decode", id="not UTF-8"),
        pytest.param(b'{"data": NaN}', "Out of range float values are not JSON compliant", id="not a number"),
        pytest.param(b'{"data": 1e999}', "Out of range float values are not JSON compliant", id="infinite"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="far too deep"),
        pytest.param(b"[" * 300 + b"]" * 300, "nested too deeply", id="a little too deep"),
    ],
)
def test_malformed_json_is_refused(admin: httpx.Client, content: bytes, detail: str) -> None:
    for method, address in (("POST", f"{JOBS}Greet/run/"), ("PATCH", f"{JOBS}Greet/"), ("DELETE", SCHEDULES)):
        answer = admin.request(method, address, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"JSON parse error - {detail}")


def test_another_media_type_is_refused(admin: httpx.Client) -> None:
    answer = admin.post(f"{JOBS}Greet/run/", content=b"<x/>", headers={"Content-Type": "application/xml; charset=x"})
    assert answered(answer) == (415, {"detail": 'Unsupported media type "application/xml" in request.'})


@pytest.mark.parametrize("kind", ["application/json;", "application/json; charset=utf-8", "Application/JSON", ""])
def test_json_may_be_announced_in_several_ways(admin: httpx.Client, kind: str) -> None:
    body = json.dumps({"data": {"bogus": 1}}).encode()
    answer = admin.post(f"{JOBS}Greet/run/", content=body, headers={"Content-Type": kind})
    assert answered(answer) == (400, {"errors": {"bogus": ["Job data contained an unknown property"]}})


def test_a_body_that_is_too_large_is_refused(admin: httpx.Client) -> None:
    for content in (b"[" + b" " * 5_000_000 + b"]", iter([b"[", *[b" " * 100_000] * 51, b"]"])):
        answer = admin.post(f"{JOBS}Greet/run/", content=content, headers={"Content-Type": "application/json"})
        assert answered(answer) == (413, {"detail": "The request body is larger than 5000000 bytes."})


def test_the_root_and_the_status_say_what_this_is(live: Live, admin: httpx.Client) -> None:
    assert admin.get("/api/").json() == {
        "jobs": f"{live.origin}{JOBS}",
        "scheduled-jobs": f"{live.origin}{SCHEDULES}",
        "approval-queue": f"{live.origin}/api/extras/approval-queue/",
        "job-results": f"{live.origin}{RESULTS}",
        "job-logs": f"{live.origin}/api/extras/job-logs/",
        "job-queues": f"{live.origin}/api/extras/job-queues/",
        **{name: f"{live.origin}/api/users/{name}/" for name in ("users", "groups", "tokens", "permissions")},
        **{name: f"{live.origin}/api/{name}/" for name in ("status", "schema", "docs")},
    }
    status = admin.get("/api/status/").json()
    assert set(status) == {"signoff-version", "prefect-version", "prefect", "default-queue-has-worker"}
    assert (status["prefect"], status["default-queue-has-worker"]) == ("ok", True)


# 3: Jobs

TEXT, FLAG, LIST, NUMBER = str, bool, list, (int, float)
OBJECT = {"id": TEXT, "object_type": TEXT, "display": TEXT, "url": TEXT, "natural_slug": TEXT}
OVERRIDABLE = (
    "description",
    "approval_required",
    "has_sensitive_variables",
    "is_singleton",
    "hidden",
    "dryrun_default",
    "soft_time_limit",
    "time_limit",
    "job_queues",
)
JOB: Body = {
    **OBJECT,
    **dict.fromkeys(("module_name", "job_class_name", "grouping", "name", "description"), TEXT),
    **dict.fromkeys(("installed", "enabled", "is_job_hook_receiver", "is_job_button_receiver"), FLAG),
    **dict.fromkeys(("has_sensitive_variables", "is_singleton", "approval_required", "hidden"), FLAG),
    **dict.fromkeys(("dryrun_default", "read_only", "supports_dryrun"), FLAG),
    **dict.fromkeys(("soft_time_limit", "time_limit"), NUMBER),
    **dict.fromkeys(("task_queues", "job_queues", "tags"), LIST),
    **dict.fromkeys((f"{field}_override" for field in OVERRIDABLE), FLAG),
    **dict.fromkeys(("default_job_queue", "custom_fields"), dict),
    **dict.fromkeys(("created", "last_updated"), TEXT),
}
SCHEDULED_JOB: Body = {
    **OBJECT,
    **dict.fromkeys(("queue", "time_zone", "name", "task", "interval", "start_time"), TEXT),
    **dict.fromkeys(("date_changed", "description", "crontab"), TEXT),
    **dict.fromkeys(("kwargs", "celery_kwargs", "job_model", "job_queue", "user"), dict),
    **dict.fromkeys(("one_off", "enabled", "approval_required"), FLAG),
    **dict.fromkeys(("last_run_at", "approved_at", "approved_by_user"), type(None)),
    # Ours (contract 10).
    **dict.fromkeys(("approval_state", "approval_version", "approval_comment", "approval_note", "failure"), TEXT),
    "expires_at": type(None),
    "args": LIST,
    "total_run_count": int,
}
JOB_RESULT: Body = {
    **OBJECT,
    **dict.fromkeys(("name", "task_name", "date_created", "date_started", "date_done", "worker"), TEXT),
    **dict.fromkeys(("status", "task_kwargs", "celery_kwargs", "meta", "job_model", "user", "custom_fields"), dict),
    **dict.fromkeys(("traceback", "scheduled_job"), type(None)),
    **dict.fromkeys(("task_args", "files"), LIST),
    "result": dict,
}
LOG: Body = {
    **OBJECT,
    **dict.fromkeys(("log_level", "grouping", "message", "log_object", "absolute_url", "created"), TEXT),
    "job_result": dict,
}


def check_fields(shape: Mapping[str, Any], expected: Body) -> None:
    assert shape.keys() == expected.keys()
    wrong = {name: shape[name] for name, kind in expected.items() if not isinstance(shape[name], kind)}
    assert wrong == {}
    UUID(shape["id"])


def test_a_job_has_the_fields_of_the_contract(live: Live, admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    check_fields(greet, JOB)
    assert greet["object_type"] == "extras.job"
    assert greet["url"] == f"{live.origin}{JOBS}{greet['id']}/"
    assert (greet["module_name"], greet["job_class_name"]) == ("jobs_for_tests", "Greet")
    assert (greet["display"], greet["grouping"]) == ("Greet", "Acceptance")
    assert greet["task_queues"] == ["default", "bulk"]
    assert [set(queue) for queue in greet["job_queues"]] == [{"id", "object_type", "url"}] * 2
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


def test_what_a_client_does_not_know_or_may_not_change_is_left_as_it_is(admin: httpx.Client) -> None:
    before = admin.get(f"{JOBS}Alone/").json()
    answer = admin.patch(f"{JOBS}Alone/", json={"name": "Other", "id": UNKNOWN, "installed": False, "bogus": 1})
    assert {**answer.json(), "last_updated": None} == {**before, "last_updated": None}


# 4: run

SENTENCE_NAME = "Please provide a name for the job schedule."
SENTENCE_START = "Please enter a valid date and time greater than or equal to the current date and time."
SENTENCE_UNREADABLE = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)


def at(field: str, sentence: str) -> Body:
    return {"schedule": {field: [sentence]}}


def future(**to: Any) -> Body:
    asked = {"name": "refused", "interval": "future", "start_time": FAR, **to}
    return {"schedule": {name: value for name, value in asked.items() if value is not None}}


def custom(**to: Any) -> Body:
    return future(interval="custom", start_time=to.pop("start_time", None), **to)


REFUSED_SCHEDULES = [
    pytest.param("Greet", future(name=None), at("name", SENTENCE_NAME), id="no name"),
    pytest.param("Greet", future(name=""), at("name", SENTENCE_NAME), id="an empty name"),
    pytest.param("Greet", future(name="  "), at("name", SENTENCE_NAME), id="a blank name"),
    pytest.param(
        "Greet",
        future(name="x" * 256),
        at("name", "Ensure this field has no more than 255 characters."),
        id="a name of 256 characters",
    ),
    *(
        pytest.param(
            "Greet", future(interval=each, start_time=None), at("start_time", SENTENCE_START), id=f"{each}, no start"
        )
        for each in ("future", "hourly", "daily", "weekly")
    ),
    pytest.param("Greet", future(start_time=""), at("start_time", SENTENCE_START), id="an empty start"),
    pytest.param(
        "Greet", future(start_time="2020-01-01T00:00:00Z"), at("start_time", SENTENCE_START), id="a start in the past"
    ),
    *(
        pytest.param("Greet", future(start_time=each), at("start_time", SENTENCE_UNREADABLE), id=f"the start {each!r}")
        for each in (
            "tomorrow",
            "2030-13-01T00:00Z",
            "2030-01-01T25:00Z",
            "2030-01-01",
            "1893456000",
            "2030-02-30T00:00Z",
        )
    ),
    pytest.param(
        "Greet",
        future(interval="monthly"),
        at("interval", '"monthly" is not a valid choice.'),
        id="an unknown interval",
    ),
    pytest.param(
        "Greet", future(interval=None), at("interval", "This field is required."), id="a schedule without interval"
    ),
    pytest.param(
        "Greet", custom(), at("crontab", "Please enter a valid crontab."), id="a custom one without a crontab"
    ),
    pytest.param(
        "Greet", custom(crontab=""), at("crontab", "Please enter a valid crontab."), id="a custom one, empty crontab"
    ),
    pytest.param(
        "Greet",
        custom(crontab="* * * * * *"),
        at(
            "crontab",
            "A crontab needs exactly five fields (minute, hour, day of month, month, day of week); this one has 6.",
        ),
        id="a crontab of six fields",
    ),
    pytest.param(
        "Greet",
        custom(crontab="99 * * * *"),
        at("crontab", "The minute field must be between 0 and 59: 99."),
        id="a minute that there is not",
    ),
    pytest.param(
        "Greet",
        custom(crontab="0 0 31 2 *"),
        at("crontab", "This crontab never fires: none of its months has such a day."),
        id="a date that never comes",
    ),
    pytest.param(
        "Greet",
        future(time_zone="../../etc/passwd"),
        at("time_zone", "There is no time zone '../../etc/passwd'; use a name such as Europe/Berlin or UTC."),
        id="a time zone that there is not",
    ),
    *(
        pytest.param(
            "Keep a secret",
            future(interval=each, crontab="* * * * *"),
            at("interval", "Unable to schedule job: Job may have sensitive input variables"),
            id=f"a sensitive Job, {each}",
        )
        for each in ("future", "hourly", "daily", "weekly", "custom")
    ),
]


def as_fields(body: Body) -> dict[str, str]:
    own = {f"_schedule_{name}": str(value) for name, value in body.get("schedule", {}).items()}
    queues = {f"_{name}": str(body[name]) for name in ("task_queue", "job_queue") if name in body}
    return {**own, **queues, **{name: str(value) for name, value in body.get("data", {}).items()}}


@pytest.mark.parametrize(("job", "body", "told"), REFUSED_SCHEDULES)
def test_a_schedule_that_cannot_be_is_refused_in_json_and_in_forms(
    admin: httpx.Client, job: str, body: Body, told: Body
) -> None:
    assert answered(run(admin, body, job)) == (400, told)
    assert answered(run_form(admin, as_fields(body), job)) == (400, told)
    assert admin.get(SCHEDULES, params={"name": "refused"}).json()["count"] == 0


def unknown_variable(name: str) -> Body:
    return {"errors": {name: ["Job data contained an unknown property"]}}


REFUSED_DATA = [
    pytest.param("Greet", {"bogus": 1}, unknown_variable("bogus"), id="an unknown variable"),
    pytest.param(
        "Every variable", {"text": "x"}, {"errors": {"number": ["This field is required."]}}, id="one is missing"
    ),
    pytest.param("Greet", {"count": "many"}, {"errors": {"count": ["Enter a whole number."]}}, id="not a number"),
    pytest.param("Greet", {"count": 1.5}, {"errors": {"count": ["Enter a whole number."]}}, id="not a whole number"),
    pytest.param(
        "Greet",
        {"count": 101},
        {"errors": {"count": ["Ensure this value is less than or equal to 100."]}},
        id="too large",
    ),
    pytest.param(
        "Greet",
        {"count": 0},
        {"errors": {"count": ["Ensure this value is greater than or equal to 1."]}},
        id="too small",
    ),
    pytest.param(
        "Greet",
        {"who": "x" * 51},
        {"errors": {"who": ["Ensure this value has at most 50 characters (it has 51)."]}},
        id="too long",
    ),
    pytest.param(
        "Every variable",
        {"number": 1, "colour": "blue"},
        {"errors": {"colour": ["Select a valid choice. blue is not one of the available choices."]}},
        id="no such choice",
    ),
    pytest.param(
        "Every variable", {"number": 1, "code": "abc"}, {"errors": {"code": ["Enter a valid value."]}}, id="no match"
    ),
]


@pytest.mark.parametrize(("job", "data", "told"), REFUSED_DATA)
def test_inputs_that_cannot_be_are_refused_in_json_and_in_forms(
    admin: httpx.Client, job: str, data: Body, told: Body
) -> None:
    for scheduled in ({}, future()):
        assert answered(run(admin, {"data": data, **scheduled}, job)) == (400, told)
        assert answered(run_form(admin, as_fields({"data": data, **scheduled}), job)) == (400, told)
    assert admin.get(SCHEDULES, params={"name": "refused"}).json()["count"] == 0


@pytest.mark.parametrize("data", ["text", 5, [], True])
def test_data_that_is_no_object_is_refused(admin: httpx.Client, data: Any) -> None:
    assert answered(run(admin, {"data": data})) == (400, {"errors": ["Job data needs to be a dict"]})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(
            {"task_queue": "nope"}, {"task_queue": ['"nope" is not a valid choice.']}, id="an unknown task queue"
        ),
        pytest.param(
            {"job_queue": "nope"}, {"task_queue": ['"nope" is not a valid choice.']}, id="an unknown job queue"
        ),
        pytest.param(
            {"task_queue": "default", "job_queue": "default"},
            {"task_queue": "task_queue and job_queue are both specified. Please specify only one or another."},
            id="both keys",
        ),
    ],
)
def test_a_queue_that_cannot_be_is_refused_in_json_and_in_forms(admin: httpx.Client, body: Body, told: Body) -> None:
    assert answered(run(admin, body)) == (400, told)
    assert answered(run_form(admin, as_fields(body))) == (400, told)


def test_of_several_faults_the_schedules_come_first_then_the_queues_then_the_datas(admin: httpx.Client) -> None:
    body = {"data": {"bogus": 1}, "task_queue": "nope", **future(name=None)}
    for told in ("schedule", "task_queue", "errors"):
        assert list(run(admin, body).json()) == [told]
        body.pop({"schedule": "schedule", "task_queue": "task_queue", "errors": "data"}[told])


def test_all_faults_of_a_schedule_are_told_at_once(admin: httpx.Client) -> None:
    told = run(admin, {"schedule": {"interval": "custom", "crontab": "x", "start_time": "x", "time_zone": "x"}}).json()
    assert set(told["schedule"]) == {"name", "crontab", "start_time", "time_zone"}


def test_a_name_that_is_taken_is_refused(admin: httpx.Client, planned: Mapping[str, Any]) -> None:
    body = future(name=planned["name"])
    told = (400, at("name", "A scheduled job with this name already exists."))
    assert answered(run(admin, body)) == told
    assert answered(run_form(admin, as_fields(body))) == told


def test_a_job_that_is_sensitive_and_needs_approval_cannot_run(admin: httpx.Client) -> None:
    for body in ({}, {"schedule": {"interval": "immediately"}}, future()):
        status, told = answered(run(admin, body, "Impossible"))
        assert status == 400
        assert isinstance(told, list)
        assert len(told) == 1
        assert "One of these two flags must be removed" in told[0]


def test_who_may_not_run_jobs_is_told_so(live: Live, people: People) -> None:
    with live.client(people.add(("extras.job", "view", None))) as client:
        refusal = (403, {"detail": "This user does not have permission to run jobs."})
        assert answered(run(client, {})) == refusal
        assert answered(run_form(client, {"who": "x"})) == refusal


def test_a_job_that_events_start_cannot_be_run_by_people(admin: httpx.Client) -> None:
    assert run(admin, {}, "React").status_code == 405


def test_a_run_now_gives_a_job_result_and_nothing_else(admin: httpx.Client) -> None:
    for body in (
        {"data": {"who": "x"}},
        {"data": {}, "schedule": {"interval": "immediately"}},
        {"schedule": None, "data": None, "task_queue": "bulk"},
    ):
        answer = run(admin, body)
        assert answer.status_code == 201
        made = answer.json()
        assert set(made) == {"scheduled_job", "job_result"}
        assert made["scheduled_job"] is None
        assert made["job_result"]["celery_kwargs"] == {"queue": body.get("task_queue", "default")}


def test_a_form_runs_a_job_with_its_fields_as_variables(admin: httpx.Client) -> None:
    answer = run_form(admin, {"who": "form", "count": "7", "_schedule_interval": "immediately", "_job_queue": "bulk"})
    assert answer.status_code == 201
    made = answer.json()["job_result"]
    assert made["task_kwargs"] == {"who": "form", "count": 7, "file": ""} | made["task_kwargs"]
    assert made["celery_kwargs"] == {"queue": "bulk"}


def test_a_form_schedules_a_job(admin: httpx.Client) -> None:
    name = unique("form")
    answer = run_form(admin, as_fields({"data": {"who": "form"}, **custom(name=name, crontab="*/15 * * * *")}))
    assert answer.status_code == 201
    made = answer.json()["scheduled_job"]
    assert (made["name"], made["interval"], made["crontab"]) == (name, "custom", "*/15 * * * *")
    assert made["kwargs"]["who"] == "form"
    assert admin.delete(made["url"]).status_code == 204


def test_a_job_that_needs_approval_becomes_a_scheduled_job(admin: httpx.Client) -> None:
    for body in ({}, {"data": {"dryrun": "off"}}, {"schedule": {"interval": "immediately"}}):
        made = run(admin, body, "Guarded").json()
        row = made["scheduled_job"]
        assert made["job_result"] is None
        assert row["name"].startswith("Guarded - ")
        assert (row["interval"], row["one_off"], row["approval_required"]) == ("future", True, True)
        assert row["approved_at"] is None
        admin.delete(row["url"])


def test_a_dry_run_needs_no_approval(admin: httpx.Client) -> None:
    made = run(admin, {"data": {"dryrun": "on"}}, "Guarded").json()
    assert made["scheduled_job"] is None
    assert made["job_result"]["task_kwargs"] == {"dryrun": True}


# The documented commands, as printed


def documented(client: httpx.Client, job_id: str, body: Body) -> Body:
    answer = client.post(
        f"{JOBS}{job_id}/run/",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json; version=1.3; indent=4"},
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["API-Version"] == "1.3"
    assert answer.text.startswith('{\n    "')
    made: Body = answer.json()["scheduled_job"]
    return made


def test_the_documented_request_for_a_run_in_the_future_works(admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    body = {"schedule": {"name": "test", "interval": "future", "start_time": "2030-01-01T01:00:00.000Z"}}
    made = documented(admin, greet["id"], body)
    check_fields(made, SCHEDULED_JOB)
    assert (made["name"], made["display"], made["interval"]) == ("test", "test: future", "future")
    assert (made["start_time"], made["one_off"], made["enabled"]) == ("2030-01-01T01:00:00Z", True, True)
    assert (made["task"], made["crontab"]) == ("jobs_for_tests.Greet", "")
    assert admin.delete(made["url"]).status_code == 204


def test_the_documented_request_for_a_crontab_works(admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    body = {
        "schedule": {
            "name": "test2",
            "interval": "custom",
            "start_time": "2030-01-01T01:00:00.000Z",
            "crontab": "*/15 * * * *",
        }
    }
    made = documented(admin, greet["id"], body)
    check_fields(made, SCHEDULED_JOB)
    assert (made["display"], made["crontab"], made["one_off"]) == ("test2: custom", "*/15 * * * *", False)
    assert made["start_time"] == "2030-01-01T01:00:00Z"
    assert admin.delete(made["url"]).status_code == 204


def test_a_crontab_without_a_start_begins_at_its_next_match(admin: httpx.Client, greet: Mapping[str, Any]) -> None:
    before = datetime.now(UTC)
    made = documented(admin, greet["id"], custom(name="test3", crontab="*/15 * * * *"))
    start = datetime.fromisoformat(made["start_time"])
    assert start.minute % 15 == 0
    assert (start.second, start.microsecond) == (0, 0)
    assert before < start <= datetime.now(UTC) + timedelta(minutes=15)
    assert admin.delete(made["url"]).status_code == 204


@pytest.mark.parametrize(
    ("start", "zone", "stored"),
    [
        pytest.param("2030-01-01T01:00:00.000Z", None, "2030-01-01T01:00:00Z", id="in UTC"),
        pytest.param("2030-01-01T01:00+02:00", None, "2029-12-31T23:00:00Z", id="with an offset"),
        pytest.param("2030-07-01T12:00", "Europe/Berlin", "2030-07-01T10:00:00Z", id="naive, in the schedule's zone"),
        pytest.param("2030-01-01 01:00:00Z", None, "2030-01-01T01:00:00Z", id="with a space"),
    ],
)
def test_a_start_time_is_understood(admin: httpx.Client, start: str, zone: str | None, stored: str) -> None:
    made = schedule(admin, start_time=start, **({"time_zone": zone} if zone else {}))
    assert made["start_time"] == stored
    assert zone is None or made["time_zone"] == zone
    admin.delete(made["url"])


# 5: scheduled jobs


def test_a_scheduled_job_has_the_fields_of_the_contract(
    live: Live, admin: httpx.Client, planned: Mapping[str, Any], greet: Mapping[str, Any]
) -> None:
    check_fields(planned, SCHEDULED_JOB)
    assert planned["object_type"] == "extras.scheduledjob"
    assert planned["url"] == f"{live.origin}{SCHEDULES}{planned['id']}/"
    assert planned["job_model"] == {"id": greet["id"], "object_type": "extras.job", "url": greet["url"]}
    assert planned["user"]["object_type"] == "users.user"
    assert (planned["queue"], planned["celery_kwargs"]) == ("default", {"queue": "default"})
    assert (planned["total_run_count"], planned["last_run_at"]) == (0, None)
    assert planned["kwargs"] == {"who": "world", "count": 1, "file": planned["kwargs"]["file"]}
    assert admin.get(planned["url"]).json() == planned
    assert admin.get(f"{SCHEDULES}{quote(planned['name'])}/").json() == planned


@pytest.mark.parametrize(
    "name", ["a/b", "../x", "50% off?", "ä ö #1", "a%2Fb", "x;y=1", "approve", "name+plus", "'; DROP TABLE jobs; --"]
)
def test_a_scheduled_job_is_found_by_any_name(admin: httpx.Client, name: str) -> None:
    name = unique(name)
    made = schedule(admin, name)
    address = f"{SCHEDULES}{quote(name, safe='')}/"
    assert admin.get(address).json()["id"] == made["id"]
    assert admin.delete(address).status_code == 204
    assert admin.get(address).status_code == 404


def test_one_is_deleted(admin: httpx.Client) -> None:
    made = schedule(admin)
    answer = admin.delete(made["url"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert answered(admin.get(made["url"])) == (404, {"detail": "No ScheduledJob matches the given query."})
    assert answered(admin.delete(made["url"])) == (404, {"detail": "No ScheduledJob matches the given query."})


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda ids: ids, id="a list of UUIDs"),
        pytest.param(lambda ids: [{"id": thing_id} for thing_id in ids], id="a list of objects"),
    ],
)
def test_several_are_deleted(admin: httpx.Client, form: Any) -> None:
    made = [schedule(admin, interval="hourly") for _ in range(2)]
    kept = schedule(admin)
    ids = [row["id"] for row in made]
    answer = admin.request("DELETE", SCHEDULES, json=form([*ids, ids[0], UNKNOWN]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert [admin.get(row["url"]).status_code for row in (*made, kept)] == [404, 404, 200]
    admin.delete(kept["url"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(
            {"id": UNKNOWN},
            {"non_field_errors": ['Expected a list of items but got type "dict".']},
            id="not a list",
        ),
        pytest.param("x", {"non_field_errors": ['Expected a list of items but got type "str".']}, id="a text"),
        pytest.param([UNKNOWN, "nonsense"], [{}, {"id": ["Must be a valid UUID."]}], id="a bad UUID"),
        pytest.param([{"id": 5}, {}], [{"id": ["Must be a valid UUID."]}] * 2, id="objects without a UUID"),
        pytest.param([None, [], 1.5], [{"id": ["Must be a valid UUID."]}] * 3, id="things that are no UUIDs"),
    ],
)
def test_a_bulk_deletion_that_cannot_be_is_refused_whole(admin: httpx.Client, body: Any, told: Any) -> None:
    made = schedule(admin)
    body = [made["id"], *body] if isinstance(body, list) else body
    told = [{}, *told] if isinstance(told, list) else told
    assert answered(admin.request("DELETE", SCHEDULES, json=body)) == (400, told)
    assert admin.get(made["url"]).status_code == 200
    admin.delete(made["url"])


def test_a_bulk_deletion_of_nothing_deletes_nothing(admin: httpx.Client, planned: Mapping[str, Any]) -> None:
    assert admin.request("DELETE", SCHEDULES, json=[]).status_code == 204
    assert admin.request("DELETE", SCHEDULES).status_code == 400
    assert admin.get(planned["url"]).status_code == 200


def test_a_bulk_deletion_of_very_many_is_answered(admin: httpx.Client) -> None:
    answer = admin.request("DELETE", SCHEDULES, json=[str(uuid4()) for _ in range(1001)])
    assert answered(answer) == (413, {"non_field_errors": ["At most 1000 can be deleted at once; these are 1001."]})


# 7: job results


def test_a_job_result_has_the_fields_of_the_contract(
    live: Live, done: Mapping[str, Any], greet: Mapping[str, Any], admin: httpx.Client
) -> None:
    check_fields(done, JOB_RESULT)
    assert (done["object_type"], done["url"]) == ("extras.jobresult", f"{live.origin}{RESULTS}{done['id']}/")
    assert done["status"] == {"value": "SUCCESS", "label": "SUCCESS"}
    assert (done["name"], done["task_name"]) == ("Greet", "jobs_for_tests.Greet")
    assert done["task_kwargs"] == {"who": "Ada", "count": 2, "file": done["task_kwargs"]["file"]}
    assert done["job_model"]["id"] == greet["id"]
    assert done["date_created"] <= done["date_started"] <= done["date_done"]
    assert done in admin.get(RESULTS, params={"name": "Greet"}).json()["results"]


def test_results_come_newest_first(admin: httpx.Client, done: Mapping[str, Any]) -> None:
    run(admin, {})
    created = [row["date_created"] for row in admin.get(RESULTS).json()["results"]]
    assert len(created) > 1
    assert created == sorted(created, reverse=True)
    assert done["date_created"] in created


def test_the_log_of_a_result_has_the_fields_of_the_contract(admin: httpx.Client, done: Mapping[str, Any]) -> None:
    lines = admin.get(f"{done['url']}logs/").json()
    hello = next(line for line in lines if line["message"] == "Hello Ada")
    check_fields(hello, LOG)
    assert (hello["object_type"], hello["log_level"], hello["grouping"]) == ("extras.joblogentry", "info", "run")
    assert hello["job_result"] == {"id": done["id"], "object_type": "extras.jobresult", "url": done["url"]}
    assert next(line for line in lines if line["message"] == "Greeted 2 times")["log_level"] == "success"
    assert [line["created"] for line in lines] == sorted(line["created"] for line in lines)


@pytest.mark.slow
def test_sensitive_inputs_are_shown_nowhere(live: Live, admin: httpx.Client) -> None:
    secret = f"hunter{uuid4().hex}"
    results = [
        run(admin, {"data": {"password": secret}}, "Keep a secret"),
        run_form(admin, {"password": secret, "_schedule_interval": "immediately"}, "Keep a secret"),
    ]
    for bad in ({"data": {"password": secret, "x": secret}}, {"data": {"password": secret}, **future()}):
        answer = run(admin, bad, "Keep a secret")
        assert answer.status_code == 400
        assert secret not in answer.text
    for answer in results:
        assert (answer.status_code, secret in answer.text) == (201, False)
        url = answer.json()["job_result"]["url"]
        done = eventually(lambda url=url: (row := admin.get(url)).json()["date_done"] and row)  # type: ignore[misc]
        assert done.json()["result"] == len(secret)
        assert done.json()["task_kwargs"] == {}
        run_id = done.json()["id"]
        everything = [
            admin.get(url).text,
            admin.get(f"{url}logs/").text,
            admin.get(RESULTS).text,
            admin.get(f"/api/flow_runs/{run_id}").text,
            admin.post("/api/logs/filter", json={"logs": {"flow_run_id": {"any_": [run_id]}}}).text,
            live.log.read_text(),
        ]
        assert admin.get(f"/api/flow_runs/{run_id}").json()["parameters"] == {}
        assert not any(secret in text for text in everything)


def test_inputs_given_before_a_job_was_called_sensitive_are_no_longer_shown(admin: httpx.Client) -> None:
    made = schedule(admin, job="Alone")
    other = run(admin, {"data": {"seconds": 1}, **future(name=unique())}, "Sleep").json()["scheduled_job"]
    assert other["kwargs"]["seconds"] == 1
    with changed(admin, "Sleep", has_sensitive_variables=True):
        assert admin.get(other["url"]).json()["kwargs"] == {}
        assert admin.get(SCHEDULES, params={"name": other["name"]}).json()["results"][0]["kwargs"] == {}
    admin.request("DELETE", SCHEDULES, json=[made["id"], other["id"]])
