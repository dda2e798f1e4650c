"""Section 2 of the contract, over HTTP: credentials, versions, pages, methods and bodies.

What lists can be filtered and sorted by, and how deep they show, stands in ``test_lists.py``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api_shim.web.rest.protocol import DEFAULT_VERSION, LISTS
from tests.acceptance.asking import JOBS, UNKNOWN, answered
from tests.acceptance.people import RESULTS, SCHEDULES, People, schedule, unique
from tests.api_shim.in_process import InProcess

VERSIONS = "1.2, 1.3, 1.4, 1.5, 1.6, 2.0, 2.1, 2.2, 2.3, 2.4"


# Who asks, and for what kind of answer


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
def test_who_is_nobody_is_told_so(server: InProcess, credentials: str | None, status: int, detail: str) -> None:
    headers = {} if credentials is None else {"Authorization": credentials}
    with server.client(None, **headers) as client:
        for address in ("/api/", "/api/status/", JOBS, SCHEDULES, RESULTS, f"{JOBS}Greet/", "/api/extras/nothing/"):
            assert answered(client.get(address)) == (status, {"detail": detail})


@pytest.mark.parametrize("scheme", ["Token", "token", "TOKEN"])
def test_the_scheme_of_credentials_may_be_written_in_any_case(server: InProcess, scheme: str) -> None:
    with server.client(None, Authorization=f"{scheme} {server.key('admin')}") as client:
        assert client.get("/api/").status_code == 200


def test_an_expired_token_and_an_inactive_user_are_told_apart(server: InProcess, people: People) -> None:
    name = people.add()
    expired = people.token(name, expires=datetime.now(UTC) - timedelta(seconds=1))
    with server.client(None, Authorization=f"Token {expired}") as client:
        assert answered(client.get(JOBS)) == (403, {"detail": "Token expired"})
    people.identity.set_active(name, datetime.now(UTC), active=False)
    with server.client(name) as client:
        assert answered(client.get(JOBS)) == (403, {"detail": "User inactive"})


def test_a_read_only_token_may_not_write(server: InProcess, people: People, planned: Mapping[str, Any]) -> None:
    key = people.token(people.add(superuser=True), write_enabled=False)
    refusal = (403, {"detail": "You do not have permission to perform this action."})
    with server.client(None, Authorization=f"Token {key}") as client:
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
def test_what_cannot_be_made_is_not_acceptable(server: InProcess, accept: str, query: str, detail: str) -> None:
    for who in ("admin", None):
        with server.client(who) as client:
            for address in ("/api/", JOBS, "/api/extras/nothing/"):
                answer = client.get(address + query, headers={"Accept": accept})
                assert answered(answer) == (406, {"detail": detail})
                assert answer.headers["API-Version"] == "2.4"


def test_a_version_can_be_asked_for_in_the_query(admin: httpx.Client) -> None:
    assert admin.get(f"{JOBS}?api_version=1.3").headers["API-Version"] == "1.3"


def test_every_answer_says_its_version_and_what_it_depends_on(server: InProcess, planned: Mapping[str, Any]) -> None:
    with server.client() as client, server.client(None) as nobody:
        answers = [
            client.get("/api/"),
            client.get(planned["url"]),
            client.get(f"{SCHEDULES}{UNKNOWN}/"),
            client.get(f"{JOBS}?bogus=1"),
            client.delete(JOBS),
            client.get("/api/extras/nothing/"),
            client.post(f"{JOBS}Greet/run/", content=b"{"),
            client.post(f"{JOBS}Greet/run/", content=b"x", headers={"Content-Type": "text/plain"}),
            client.request("DELETE", SCHEDULES, json=[]),
            nobody.get(JOBS),
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 400, 405, 404, 400, 415, 204, 403]
    for answer in answers:
        assert answer.headers["API-Version"] == "2.4"
        assert answer.headers["Vary"] == "Accept, Authorization, Cookie"


# Lists


@pytest.fixture(scope="module")
def three(admin: httpx.Client) -> Iterator[list[str]]:
    names = [unique(word) for word in ("aa", "bb", "cc")]
    made = [schedule(admin, name, start_time=f"203{i}-01-01T00:00Z") for i, name in enumerate(names)]
    yield names
    admin.request("DELETE", SCHEDULES, json=[row["id"] for row in made])


def names_of(answer: httpx.Response) -> list[str]:
    return [row["name"] for row in answer.json()["results"]]


def test_a_list_comes_in_pages_with_absolute_links_that_lead_through_it(
    server: InProcess, admin: httpx.Client, three: list[str]
) -> None:
    page = admin.get(SCHEDULES, params={"name": three, "limit": 1}).json()
    assert set(page) == {"count", "next", "previous", "results"}
    assert (page["count"], page["previous"]) == (3, None)
    seen, backwards = [], []
    while True:
        seen.append(page["results"][0]["name"])
        if page["next"] is None:
            break
        assert page["next"].startswith(f"{server.origin}{SCHEDULES}?")
        page = admin.get(page["next"]).json()
    assert seen == three
    while page["previous"]:
        # The first page has no offset.
        assert ("offset" in page["previous"]) is (len(backwards) == 0)
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


# Objects, methods and bodies


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
        ("POST", JOBS),
        ("DELETE", JOBS),
        ("PUT", f"{JOBS}Greet/run/"),
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
    "address",
    ["/api/extras/nothing/", "/api/plugins/nothing/", "/api/extras/jobs/a/b/c/", "/api/users/x/y/", "/api/signoff/x/"],
)
def test_an_address_that_there_is_not_is_not_found_in_json(admin: httpx.Client, address: str) -> None:
    assert answered(admin.get(address)) == (404, {"detail": "Not found."})


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


def test_the_root_and_the_status_say_what_this_is(server: InProcess, admin: httpx.Client) -> None:
    groups = {
        "extras": (
            *("jobs", "scheduled-jobs", "approval-queue", "job-results", "job-logs", "job-queues"),
            *("job-buttons", "job-hooks", "automation-accounts", "approval-requests"),
        ),
        "users": ("users", "groups", "tokens", "permissions"),
        "plugins": (),
    }
    named = (*groups, "status", "schema", "docs")
    assert admin.get("/api/").json() == {name: f"{server.origin}/api/{name}/" for name in named}
    for group, lists in groups.items():
        addresses = {name: f"{server.origin}/api/{group}/{name}/" for name in lists}
        assert admin.get(f"/api/{group}/").json() == addresses
        assert [admin.get(address).status_code for address in addresses.values()] == [200] * len(lists)
    status = admin.get("/api/status/").json()
    assert status.keys() == {
        *("signoff-version", "prefect-version", "prefect", "default-queue-has-worker"),
        *("nautobot-version", "python-version", "celery-workers-running", "installed-apps", "plugins"),
    }
    assert (status["prefect"], status["default-queue-has-worker"], status["celery-workers-running"]) == ("ok", True, 1)
    assert status["nautobot-version"].startswith(DEFAULT_VERSION)


# Of tokens everybody has their own.
@pytest.mark.parametrize("address", sorted(LISTS.keys() - {"/api/users/tokens"}))
def test_who_may_not_is_told_so_before_anything_else(server: InProcess, people: People, address: str) -> None:
    refusal = (403, {"detail": "You do not have permission to perform this action."})
    unread = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    with server.client(people.add()) as client:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert answered(client.request(method, f"{address}/", **unread)) == refusal, method


def test_what_a_list_has_can_be_asked_for_with_options(admin: httpx.Client) -> None:
    answer = admin.options(RESULTS)
    assert "DELETE" in answer.headers["Allow"]
    choices = answer.json()["actions"]["POST"]["status"]["choices"]
    assert {"value": "SUCCESS", "display": "SUCCESS"} in choices


def test_a_list_can_be_had_as_csv(admin: httpx.Client) -> None:
    rows = admin.get(JOBS).json()["results"]
    answer = admin.get(JOBS, params={"format": "csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    told = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["name"] for row in told] == [row["name"] for row in rows]
    [one] = csv.DictReader(io.StringIO(admin.get(f"{JOBS}Greet/", params={"format": "csv"}).text))
    assert one.keys() == rows[0].keys()


def test_lists_of_related_objects_can_be_left_out(admin: httpx.Client) -> None:
    many = {JOBS: {"job_queues", "tags"}, "/api/users/users/": {"groups"}, SCHEDULES: set()}
    for address, left_out in many.items():
        whole, brief = (
            admin.get(address, params={"limit": 1, "exclude_m2m": flag}).json()["results"] for flag in ("false", "true")
        )
        assert [row.keys() - other.keys() for row, other in zip(whole, brief, strict=True)] == [left_out] * len(whole)
    assert "job_queues" not in admin.get(f"{JOBS}Greet/?exclude_m2m=true").json()
