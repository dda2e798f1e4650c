"""Whatever is sent: a sentence, never a failure of the server, and nothing half made is left."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.people import FAR, RESULTS, SCHEDULES, everything, unique
from tests.live import PATIENCE, Live, eventually

NAME = "Every variable"
JOB = f"/api/extras/jobs/{quote(NAME)}/"
JSON = {"Content-Type": "application/json"}
ANSWERS = {201, 400, 403, 404, 405, 413, 415, 503}
KIND = {"__prefect_kind": "jinja", "template": "{{ 1 }}"}
DEEP = "[" * 100_000 + "]" * 100_000


TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+.*")
FAILED = re.compile(r"^.*\b(?:DELETE|GET|PATCH|POST|PUT) \S+ failed\b.*$", re.MULTILINE)
OURS = re.compile(r"/(api_shim|approval_gate|flows)/")


@pytest.fixture(autouse=True)
def _nothing_fails(live: Live) -> Iterator[None]:
    """No test may leave a traceback in the server's log."""
    before = live.log.stat().st_size
    yield
    with live.log.open() as log:
        log.seek(before)
        said = log.read()
    # Prefect logs its own when its SQLite is busy; what passes through our code is ours.
    assert [trace for trace in TRACEBACK.findall(said) if OURS.search(trace)] == []
    assert FAILED.findall(said) == []


@pytest.fixture(scope="module")
def left(admin: httpx.Client) -> list[tuple[int, ...]]:
    """What there was of the Job before; what a refusal has left would be more."""
    return [everything(admin, NAME)]


def nothing_new(admin: httpx.Client, left: list[tuple[int, ...]]) -> bool:
    """Say whether there is as much as before, and remember how much there is."""
    left.append(everything(admin, NAME))
    return left[-1] == left[-2]


def good(**to: Any) -> dict[str, Any]:
    """A request that would be accepted as it is."""
    return {"data": {"number": 1}, "schedule": {"name": unique("bad"), "interval": "future", "start_time": FAR}, **to}


def scheduled(**to: Any) -> dict[str, Any]:
    body = good()
    return {**body, "schedule": {**body["schedule"], **to}}


def with_data(**to: Any) -> dict[str, Any]:
    return good(data={"number": 1, **to})


def as_json(body: Any) -> bytes:
    return json.dumps(body).encode()


def is_a_sentence(answer: httpx.Response) -> bool:
    """Say whether an error is JSON with text for people in it, and nothing of the machinery."""
    told = answer.json()
    inside = re.compile(r'Traceback|File "|sqlalchemy|sqlite|psycopg|pydantic|0x[0-9a-f]{6}')
    return bool(told) and isinstance(told, dict | list) and not inside.search(answer.text) and len(answer.text) < 5000


REFUSED: Mapping[str, tuple[bytes, int]] = {
    "nothing that can be read": (b"\x00\x01\x02", 400),
    "cut off": (as_json(good())[:-5], 400),
    "two values": (as_json(good()) + as_json(good()), 400),
    "single quotes": (b"{'data': {}}", 400),
    "invalid UTF-8": (b'{"data": {"text": "\xc3\x28", "number": 1}}', 400),
    "UTF-16": (as_json(good()).decode().encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf" + as_json(good()), 400),
    "a lone surrogate": (b'{"data": {"number": 1, "text": "\\ud800"}}', 400),
    "a lone surrogate as a key": (b'{"data": {"number": 1, "\\udfff": 1}}', 400),
    "a surrogate the wrong way round": (b'{"data": {"number": 1, "text": "\\udc00\\ud800"}}', 400),
    "not a number": (b'{"data": {"number": NaN}}', 400),
    "infinity": (b'{"data": {"number": 1, "data": [Infinity]}}', 400),
    "minus infinity": (b'{"data": {"number": -Infinity}}', 400),
    "a float that is infinite": (b'{"data": {"number": 1, "data": 1e400}}', 400),
    "an array": (b"[]", 400),
    "a text": (b'"x"', 400),
    "null": (b"null", 400),
    "a number": (b"5", 400),
    "a number of 5000 digits": (b'{"data": {"number": ' + b"9" * 5000 + b"}}", 400),
    "a number of 4000 digits": (b'{"data": {"number": ' + b"9" * 4000 + b"}}", 400),
    "a negative number of 4000 digits": (b'{"data": {"number": -' + b"9" * 4000 + b"}}", 400),
    "a number beyond 64 bits in JSON": (as_json(with_data(data=[2**64])), 400),
    "arrays 100000 deep": (b'{"data": ' + DEEP.encode() + b"}", 400),
    "arrays 100000 deep in a schedule": (b'{"schedule": {"interval": ' + DEEP.encode() + b"}}", 400),
    "arrays 100000 deep in a text": (as_json(with_data(data=DEEP)), 400),
    "objects 50000 deep": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400),
    **{
        f"arrays {depth} deep in a schedule": (
            as_json(scheduled())[:-2] + b', "interval": ' + b"[" * depth + b"]" * depth + b"}}",
            400,
        )
        for depth in (150, 500, 800, 850, 900, 920, 940, 950, 960, 970, 980, 990, 1000)
    },
    "data that is a text": (as_json(good(data="x")), 400),
    "data that is a list": (as_json(good(data=[1])), 400),
    "a schedule that is a text": (as_json(good(schedule="daily")), 400),
    "a schedule that is a list": (as_json(good(schedule=["daily"])), 400),
    "a schedule that is a number": (as_json(good(schedule=0)), 400),
    "a schedule that is false": (as_json(good(schedule=False)), 400),
    "an empty schedule": (as_json(good(schedule={})), 400),
    "an interval that is a number": (as_json(scheduled(interval=1)), 400),
    "an interval that is an object": (as_json(scheduled(interval={})), 400),
    "an interval of 1 MB": (as_json(scheduled(interval="x" * 1_000_000)), 400),
    "a name that is a number": (as_json(scheduled(name=5)), 400),
    "a name that is a list": (as_json(scheduled(name=["x"])), 400),
    "a name of 1 MB": (as_json(scheduled(name="x" * 1_000_000)), 400),
    "a name with a null character": (as_json(scheduled(name="a\0b")), 400),
    "a name with a line break": (as_json(scheduled(name="a\nb")), 400),
    "a name of marks that turn the text": (as_json(scheduled(name="a\u202eb")), 400),
    "a start time that is a number": (as_json(scheduled(start_time=1893456000)), 400),
    "a start time that is an object": (as_json(scheduled(start_time={})), 400),
    "a start time of 1 MB": (as_json(scheduled(start_time="2030-01-01T" + "0" * 1_000_000)), 400),
    "a start time with a null character": (as_json(scheduled(start_time="2030-01-01T01:00\0")), 400),
    "a start time in other digits": (as_json(scheduled(start_time="٢٠٣٠-01-01T01:00Z")), 400),
    "the end of the calendar": (as_json(scheduled(start_time="9999-12-31T23:59:59Z")), 400),
    "before the calendar": (as_json(scheduled(start_time="0001-01-01T00:00:00+14:00")), 400),
    "after the calendar": (as_json(scheduled(start_time="9999-12-31T23:59:59-14:00")), 400),
    "an offset that there is not": (as_json(scheduled(start_time="2030-01-01T01:00:00+99:00")), 400),
    **{
        f"the crontab {str(crontab)[:20]!r}": (as_json(scheduled(interval="custom", crontab=crontab)), 400)
        for crontab in (
            "* * * * * *",
            "0 0 31 2 *",
            "0 0 30 2 *",
            "@often",
            "@reboot",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-* * * * *",
            "a b c d e",
            "0 0 L * *",
            "0 0 * * 5#2",
            "? ? ? ? ?",
            "R * * * *",
            "-1 * * * *",
            "1,,2 * * * *",
            "١ * * * *",
            "99999999999999999999 * * * *",
            "\0 * * * *",
            "* " * 100_000,
            "1," * 100_000 + "1 * * * *",
            5,
            ["*"],
            {"minute": "*"},
            True,
        )
    },
    **{
        f"the zone {str(zone)[:20]!r}": (as_json(scheduled(time_zone=zone)), 400)
        for zone in (
            "../../etc/passwd",
            "/etc/localtime",
            "Mars/Olympus",
            "europe/berlin",
            "localtime",
            "Factory",
            "",
            " ",
            "UTC\0",
            "x" * 1_000_000,
            5,
            [],
        )
    },
    "a queue that is a number": (as_json(good(task_queue=5)), 400),
    "a queue that is an object": (as_json(good(job_queue={})), 400),
    "a queue of 1 MB": (as_json(good(job_queue="q" * 1_000_000)), 400),
    "an unknown variable of 1 MB": (as_json(with_data(**{"x" * 1_000_000: 1})), 400),
    "an unknown variable with a null character": (as_json(with_data(**{"a\0": 1})), 400),
    "100000 unknown variables": (as_json(with_data(**{f"x{i}": i for i in range(100_000)})), 400),
    "a text of 1 MB": (as_json(with_data(text="x" * 1_000_000)), 413),
    "a text with a null character": (as_json(with_data(text="a\0b")), 400),
    "JSON with a null character": (as_json(with_data(data={"a": ["\0"]})), 400),
    "a number that is an object": (as_json(with_data(number={})), 400),
    "a number that is true": (as_json(with_data(number=True)), 400),
    "a flag that is an object": (as_json(with_data(flag={})), 400),
    "a choice that is a list": (as_json(with_data(colour=["r"])), 400),
    "choices that are objects": (as_json(with_data(several=[{}])), 400),
    "a template as the data": (as_json(good(data=KIND)), 400),
    "a template in JSON": (as_json(with_data(data={"a": [KIND]})), 400),
    "a template in JSON in a text": (as_json(with_data(data=json.dumps([[KIND]]))), 400),
    "a template as a number": (as_json(with_data(number=KIND)), 400),
    "a template as a text": (as_json(with_data(text=KIND)), 400),
    "a template as the schedule": (as_json(good(schedule=KIND)), 400),
    "a template as a name": (as_json(scheduled(name=KIND)), 400),
    "a template as a crontab": (as_json(scheduled(interval="custom", crontab=KIND)), 400),
    "a template as a queue": (as_json(good(task_queue=KIND)), 400),
    "more than 5 MB": (b'{"data": {"text": "' + b"x" * 5_000_000 + b'"}}', 413),
}


def test_what_cannot_be_is_refused_and_leaves_nothing(admin: httpx.Client, left: list[tuple[int, ...]]) -> None:
    wrong = {}
    for name, (content, status) in REFUSED.items():
        answer = admin.post(f"{JOB}run/", content=content, headers=JSON)
        if answer.status_code != status or not is_a_sentence(answer):
            wrong[name] = (answer.status_code, answer.text[:500])
    assert wrong == {}
    assert nothing_new(admin, left)


def test_of_a_key_that_comes_twice_the_last_counts_everywhere(admin: httpx.Client, left: list[tuple[int, ...]]) -> None:
    twice = b'{"data": {"number": 1, "number": "x"}, "schedule": {"interval": "hourly"}, "schedule": null}'
    answer = admin.post(f"{JOB}run/", content=twice, headers=JSON)
    assert (answer.status_code, answer.json()) == (400, {"errors": {"number": ["Enter a whole number."]}})
    assert nothing_new(admin, left)


MULTIPART = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="number"\r\n\r\n1\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="text"; filename="a.txt"\r\n\r\nsecret\r\n'
REFUSED_FORMS: Mapping[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", PART + b"--b--\r\n"),
    "another boundary": ("multipart/form-data; boundary=other", PART + b"--b--\r\n"),
    "no name": (MULTIPART, b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n"),
    "no disposition": (MULTIPART, b"--b\r\n\r\n1\r\n--b--\r\n"),
    "not a form at all": (MULTIPART, b"{}"),
    "JSON called a form": (MULTIPART, as_json(good())),
    "a character set that there is not": (
        f"{MULTIPART}; charset=nonsense",
        PART.replace(b"\r\n1\r\n", b"\r\n\xff\r\n") + b"--b--\r\n",
    ),
    "a character set that is no text": (
        f"{MULTIPART}; charset=base64",
        PART.replace(b"number", b"\xff") + b"--b--\r\n",
    ),
    "a file": (MULTIPART, PART + FILE + b"--b--\r\n"),
    "an empty file": (MULTIPART, PART + FILE.replace(b"secret", b"") + b"--b--\r\n"),
    "2000 fields": (MULTIPART, PART * 2000 + b"--b--\r\n"),
    "a number twice": (MULTIPART, PART * 2 + b"--b--\r\n"),
    "a null character": (MULTIPART, PART.replace(b"\r\n1\r\n", b"\r\n\0\r\n") + b"--b--\r\n"),
    "a null character in a name": (MULTIPART, PART.replace(b"number", b"num\0ber") + b"--b--\r\n"),
    "invalid UTF-8": (MULTIPART, PART.replace(b"\r\n1\r\n", b"\r\n\xff\r\n") + b"--b--\r\n"),
    "a header of 100 kB": (MULTIPART, PART.replace(b"number", b"n" * 100_000) + b"--b--\r\n"),
    "a schedule's name twice": (
        MULTIPART,
        PART
        + PART.replace(b'"number"', b'"_schedule_name"') * 2
        + PART.replace(b'"number"', b'"_schedule_interval"').replace(b"\r\n1\r\n", b"\r\nhourly\r\n")
        + b"--b--\r\n",
    ),
    "percent signs that mean nothing": ("application/x-www-form-urlencoded", b"number=%zz&%ff=%00"),
    "an encoded surrogate": ("application/x-www-form-urlencoded", b"number=%ed%a0%80"),
    "2000 encoded fields": ("application/x-www-form-urlencoded", b"&".join(b"x%d=1" % i for i in range(2000))),
}


def test_a_form_that_cannot_be_is_refused_and_leaves_nothing(admin: httpx.Client, left: list[tuple[int, ...]]) -> None:
    wrong = {}
    for name, (kind, content) in REFUSED_FORMS.items():
        answer = admin.post(f"{JOB}run/", content=content, headers={"Content-Type": kind})
        if answer.status_code != 400 or not is_a_sentence(answer) or "secret" in answer.text:
            wrong[name] = (answer.status_code, answer.text[:500])
    assert wrong == {}
    assert nothing_new(admin, left)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"])
def test_a_form_in_the_place_of_json_is_a_sentence(admin: httpx.Client, kind: str) -> None:
    content = b'--b\r\nContent-Disposition: form-data; name="enabled"\r\n\r\ntrue\r\n--b--\r\n'
    content = content if kind.startswith("multipart") else b"enabled=true"
    answer = admin.patch(JOB, content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()) == (400, {"enabled": ["Must be a valid boolean."]})
    answer = admin.request("DELETE", SCHEDULES, content=content, headers={"Content-Type": kind})
    assert answer.json() == {"non_field_errors": ['Expected a list of items but got type "dict".']}


REFUSED_CHANGES: list[Any] = [
    {"description": "x" * 1_000_000},
    {"description": "a\0"},
    {"time_limit": 10**400},
    {"time_limit": True},
    {"soft_time_limit": "5"},
    {"job_queues": ["a/b"]},
    {"job_queues": ["\0"]},
    {"job_queues": [""]},
    {"job_queues": [5]},
    {"job_queues": {}},
    {"enabled": []},
    {"hidden": "\0"},
    {"approval_required": 1, "hidden_override": {}},
    5,
    None,
    "x",
]


def test_a_change_that_cannot_be_is_refused_and_changes_nothing(admin: httpx.Client) -> None:
    before = admin.get(JOB).json()
    wrong = []
    for body in REFUSED_CHANGES:
        answer = admin.patch(JOB, content=as_json(body), headers=JSON)
        if answer.status_code != 400 or not is_a_sentence(answer):
            wrong.append((str(body)[:40], answer.status_code, answer.text[:500]))
    assert wrong == []
    assert admin.get(JOB).json() == before


ODD = [
    "/",
    "..",
    "../..",
    ".",
    "?",
    "#",
    "%2f",
    "%2F..%2F",
    "%00",
    "a%00b",
    "%",
    "%zz",
    "%ff",
    "%ed%a0%80",
    "%0a",
    "%20",
    "{}",
    "urn:uuid:",
    "00000000-0000-0000-0000-00000000000g",
    "'%20OR%201=1--",
    "x" * 5000,
    "%F0%9F%92%A9",
    "null",
    "-1",
    "1e400",
]


def asked_about(odd: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield the method, the address and the body of requests about an odd id."""
    yield "GET", f"/api/extras/jobs/{odd}/x", b""
    yield "PATCH", f"/api/extras/jobs/{odd}/y", b"{}"
    yield "POST", f"/api/extras/jobs/{odd}/run/", b"{}"
    yield "GET", f"/api/extras/jobs/{odd}/variables/", b""
    yield "DELETE", f"/api/extras/scheduled-jobs/{odd}x/", b""
    yield "GET", f"/api/extras/job-results/{odd}x/", b""
    yield "GET", f"/api/extras/job-results/{odd}/logs/", b""


def test_an_odd_id_is_not_found(live: Live, admin: httpx.Client, left: list[tuple[int, ...]]) -> None:
    wrong = []
    for method, address, body in (each for odd in ODD for each in asked_about(odd)):
        status, answer = as_sent(live, method, address, body)
        if status not in {400, 403, 404, 405} or b"Traceback" in answer:
            wrong.append((method, address[:60], status))
    assert wrong == []
    assert nothing_new(admin, left)


def as_sent(live: Live, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request whose address no client has tidied up."""
    head = [
        f"{method} {target} HTTP/1.1",
        f"Host: 127.0.0.1:{live.port}",
        f"Authorization: Token {live.key('admin')}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    with socket.create_connection(("127.0.0.1", live.port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("address", ["/api/extras/jobs/", SCHEDULES, RESULTS])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("name=" + "x" * 30_000, 200, id="a very long value"),
        pytest.param("&".join(["name=x"] * 5000), 200, id="very many values"),
        pytest.param("sort=" + ",".join(f"x{i}" for i in range(5000)), 200, id="very many sorts"),
        pytest.param("q=" + "%25_" * 5000, 200, id="a search of wildcards"),
        pytest.param("&".join(f"x{i}=1" for i in range(2000)), 400, id="very many unknown filters"),
        pytest.param("name=%00", 400, id="a null character in a filter"),
        pytest.param("q=%00", 400, id="a null character in a search"),
        pytest.param("id=%00", 400, id="a null character in an id"),
        pytest.param("id=", 200, id="an empty id"),
        pytest.param("name=%ff%ed%a0%80", 200, id="what is no UTF-8"),
        pytest.param("limit=%00&offset=%ff&sort=%00", 200, id="nonsense in paging"),
        pytest.param("limit=٥&offset=²", 200, id="other digits in paging"),
        pytest.param("=&&=x&", 400, id="no names"),
        pytest.param("%ff=1", 400, id="a name that is no UTF-8"),
    ],
)
def test_an_odd_query_is_answered(live: Live, address: str, query: str, status: int) -> None:
    found, answer = as_sent(live, "GET", f"{address}?{quote(query, safe='%&=,')}")
    assert found == status, answer[:500]


def test_a_request_that_is_too_long_to_read_is_refused(live: Live, admin: httpx.Client) -> None:
    # The server may close the door before everything has been said.
    with contextlib.suppress(ConnectionError):
        status, _ = as_sent(live, "GET", f"{SCHEDULES}?name=" + "x" * 200_000)
        assert status in {400, 414, 431}
    assert admin.get("/api/").status_code == 200


def test_of_ten_that_ask_for_one_name_at_once_one_gets_it(live: Live, admin: httpx.Client) -> None:
    name = unique("race")
    body = {"data": {"number": 1}, "schedule": {"name": name, "interval": "daily", "start_time": FAR}}

    def ask(_: int) -> httpx.Response:
        with live.client() as client:
            return client.post(f"{JOB}run/", json=body)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 9
    taken = {"schedule": {"name": ["A scheduled job with this name already exists."]}}
    assert [answer.json() for answer in answers if answer.status_code == 400] == [taken] * 9
    made = next(answer.json()["scheduled_job"] for answer in answers if answer.status_code == 201)
    in_prefect = {"flows": {"name": {"any_": [NAME]}}, "deployments": {"name": {"like_": made["id"][:8]}}}

    def own() -> list[Any]:
        return [row for row in admin.post("/api/deployments/filter", json=in_prefect).json() if row["schedules"]]

    assert len(eventually(own)) == 1
    assert admin.get(SCHEDULES, params={"name": name}).json()["count"] == 1
    assert admin.delete(made["url"]).status_code == 204


# Anything

words = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["future", "hourly", "custom", "immediately", FAR, "2020-01-01T00:00Z", "* * * * *", "UTC", "default"]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(words, st.just("__prefect_kind")), inner, max_size=3),
    ),
    max_leaves=8,
)


def mostly(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with such fields, some of which are anything, or missing; rarely anything at all."""
    odd = st.integers(0, 7)
    likely = {name: odd.flatmap(lambda n, field=field: values if n == 7 else field) for name, field in fields.items()}
    whole, some = st.fixed_dictionaries(likely), st.fixed_dictionaries({}, optional=likely)
    return odd.flatmap(lambda n: values if n == 7 else some if n == 6 else whole)


schedules = mostly(
    # Never ``immediately``: what runs would only keep the worker busy.
    interval=st.sampled_from(["future", "hourly", "daily", "weekly", "custom"]),
    name=st.uuids().map(str),
    start_time=st.one_of(st.just(FAR), st.datetimes().map(str)),
    crontab=st.one_of(st.just("*/5 * * * *"), st.from_regex(r"[0-9*/,-]{1,4}( [0-9*/,-]{1,4}){4}", fullmatch=True)),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
).filter(lambda schedule: schedule is not None)
bodies = mostly(
    data=mostly(
        text=st.text(max_size=20),
        number=st.integers(-5, 105),
        flag=st.booleans(),
        colour=st.sampled_from(["r", "g"]),
        several=st.lists(st.sampled_from(["a", "b"])),
        data=values,
    ),
    schedule=schedules,
    task_queue=st.sampled_from(["default", "", None]),
)


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=bodies)
def test_whatever_is_sent_gets_one_of_the_known_answers(live: Live, admin: httpx.Client, body: Any) -> None:
    content = json.dumps(body).encode("utf-8")
    answer = admin.post(f"{JOB}run/", content=content, headers=JSON)
    assert answer.status_code in ANSWERS, answer.text
    if answer.status_code == 201:
        made = answer.json()
        assert [made["scheduled_job"], made["job_result"]].count(None) == 1
        if made["scheduled_job"]:
            assert admin.delete(made["scheduled_job"]["url"]).status_code == 204
    else:
        assert is_a_sentence(answer)
