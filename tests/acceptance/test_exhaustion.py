"""No signed-in person stops the server: each input known to keep one busy, sent to each call that is open to them.

Each of these inputs would take a vulnerable server hours, not seconds. So it does not matter here how busy the machine
is: the server is asked again and again how it is while it has them, and answers at once.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from api_shim.web.prefect_bounds import TOO_LONG
from api_shim.web.prefect_reads import needs_write
from tests.acceptance.asking import JOBS
from tests.acceptance.people import FAR, People, unique
from tests.live import PATIENCE, Live, eventually

pytestmark = pytest.mark.slow

AT_ONCE = 3.0
"""Seconds within which a server answers that nothing holds up: ten times what it takes on an idle machine, and more."""

NESTED, LETTERS = "^(a+)+$", "a" * 60 + "!"
WILD = "%a" * 100 + "%b"
GLOB = "*a" * 100 + "*b"
TEMPLATE = "{{ 9**9**9**9 }}" + "{% for a in range(99) %}" * 9 + "{% endfor %}" * 9
DEEP = b'{"flow_runs": ' + b"[" * 30_000
KINDS = (
    "artifacts", "block_documents", "block_types", "deployments", "flow_runs", "flows", "task_runs", "variables",
    "work_pools", "work_queues",
)  # fmt: skip

BODIES: Mapping[str, bytes] = {
    "a schema with a nested expression": json.dumps(
        {"schema": {"properties": {"x": {"pattern": NESTED}}}, "values": {"x": LETTERS}}
    ).encode(),
    "a schema that refers to itself twice, again and again": json.dumps(
        {
            "schema": {
                "definitions": {
                    f"d{n}": {"allOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 2} if n < 60 else {} for n in range(61)
                },
                "properties": {"x": {"$ref": "#/definitions/d0"}},
            },
            "values": {"x": 1},
        }
    ).encode(),
    "a template": json.dumps(TEMPLATE).encode(),
    "patterns with many wildcards": json.dumps({kind: {"name": {"like_": WILD}} for kind in KINDS}).encode(),
    "globs with many stars": json.dumps(
        {"filter": {"any_resource": {"labels": {"prefect.resource.id": [GLOB] * 10}}, "text": {"query": "a " * 100}}}
    ).encode(),
    "as many conditions as there may be": json.dumps({"filter": {"related": [{"id": ["a"]}] * 80}}).encode(),
    "a history of a thousand years by the second": json.dumps(
        {
            "history_start": "1000-01-01T00:00:00Z",
            "history_end": "2999-01-01T00:00:00Z",
            "history_interval_seconds": 1,
            "filter": {"occurred": {"since": "1000-01-01T00:00:00Z", "until": "2999-01-01T00:00:00Z"}},
            "time_unit": "second",
            "time_interval": 0.01,
        }
    ).encode(),
    "JSON that is nested too deeply": DEEP,
    "a number with many digits": b'{"limit": ' + b"9" * 60_000 + b"}",
    "a body without end": b" " * 20_000_000,
}


@dataclass
class Watched:
    """Asks how the server is, until it is told to stop.

    Args:
        server: the server.
        longest: the seconds that the slowest answer took.
    """

    server: Live
    longest: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        with self.server.client(None) as client:
            while not self.over.wait(0.02):
                begun = time.monotonic()
                assert client.get("/api/health").status_code == 200
                self.longest = max(self.longest, time.monotonic() - begun)


@pytest.fixture
def watched(live: Live) -> Iterator[Watched]:
    """See that the server answers at once all the while."""
    found = Watched(live)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(found.watch)
        try:
            yield found
        finally:
            found.over.set()
            watching.result()
    assert found.longest < AT_ONCE


@pytest.fixture(scope="module")
def reader(live: Live, people: People) -> Iterator[httpx.Client]:
    """Somebody who may see and run what there is, and not write in Prefect; with a run to search in vain."""
    name = people.add(("extras.job", "run", None), ("extras.job", "view", None))
    with live.client(name) as client:
        asked = {"name": unique("a" * 200), "interval": "future", "start_time": FAR}
        eventually(lambda: client.post(f"{JOBS}Greet/run/", json={"schedule": asked}).status_code == 201)
        yield client


@pytest.fixture(scope="module")
def calls(admin: httpx.Client) -> list[str]:
    """The addresses of all calls that take a body, and are open to those who may not write in Prefect."""
    paths = admin.get("/api/openapi.json").json()["paths"]
    unknown = "00000000-0000-4000-8000-000000000000"
    filled = (
        path.replace("{countable}", "time").replace("{work_pool_name}", "signoff").replace("{name}", "signoff")
        for path, methods in paths.items()
        if "post" in methods
    )
    addresses = [f"/api{path.replace('{id}', unknown)}".replace("/api/api", "/api") for path in filled]
    ours = ["/api/ui/schemas/validate", f"{JOBS}Greet/run/"]
    return [path for path in addresses if not needs_write("POST", path)] + ours


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_holds_up_the_server(calls: list[str], reader: httpx.Client, watched: Watched, body: bytes) -> None:
    assert len(calls) > 30

    # Prefect's server hangs up after a fault of its own, which the next request on the connection would meet.
    headers = {"Content-Type": "application/json", "Connection": "close"}

    def send(path: str) -> int:
        return reader.post(path, content=body, headers=headers).status_code

    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(calls, pool.map(send, calls), strict=True))
    assert not watched.over.is_set()
    assert answers["/api/ui/schemas/validate"] in {400, 403, 413}


def test_no_template_and_no_schema_is_evaluated_for_who_may_not_write(live: Live, reader: httpx.Client) -> None:
    for path in ("/api/templates/validate", "/api/automations/templates/validate"):
        assert reader.post(path, json="{{ a }}").status_code == 403
    leak = {"__prefect_kind": "workspace_variable", "variable_name": "secret"}
    body = {"schema": {"properties": {"x": {"type": "integer"}}}, "values": {"x": leak}}
    assert reader.post("/api/ui/schemas/validate", json=body).status_code == 403


def test_the_form_of_a_job_is_checked_by_its_rules(admin: httpx.Client, reader: httpx.Client) -> None:
    form = reader.get("/api/deployments/name/Every%20variable/default").json()["parameter_openapi_schema"]

    def check(values: Any) -> Any:
        return reader.post("/api/ui/schemas/validate", json={"schema": form, "values": values}).json()

    assert check({"number": 3}) == {"errors": [], "valid": True}
    assert check({"number": 0, "code": LETTERS}) == {
        "errors": [
            {"property": "number", "errors": ["Ensure this value is greater than or equal to 1."]},
            {"property": "code", "errors": ["Enter a valid value."]},
        ],
        "valid": False,
    }
    assert check([]) == {"errors": ["Job data needs to be a dict"], "valid": False}


def test_no_page_of_events_is_longer_than_prefect_makes_them(live: Live, people: People, watched: Watched) -> None:
    # Nobody else has further pages.
    kinds = ("extras.job", "extras.scheduledjob", "extras.jobresult", "prefect")
    with live.client(people.add(*((kind, "view", None) for kind in kinds))) as reader:
        page = {"filter": {}, "count": 10**9, "page_size": 10**9, "offset": 0}
        token = base64.b64encode(base64.b64encode(json.dumps(page).encode())).decode()
        assert reader.get("/api/events/filter/next", params={"page-token": token}).status_code == 400
        first = reader.post("/api/events/filter", json={"limit": 1}).json()
        assert reader.get(first["next_page"].partition("/api/")[2].join(["/api/", ""])).status_code == 200


def last_word(live: Live, path: str, *messages: str) -> int:
    """Send messages on a websocket, and return the code with which the server closes it."""
    url = f"{live.origin.replace('http', 'ws')}{path}"
    try:
        with connect(url, subprotocols=[Subprotocol("prefect")], open_timeout=PATIENCE, close_timeout=1) as socket:
            for message in messages:
                socket.send(message)
            while True:
                socket.recv(timeout=60)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


@pytest.mark.parametrize("path", ["/api/events/out", "/api/logs/out"])
def test_no_message_holds_up_the_server(live: Live, people: People, watched: Watched, path: str) -> None:
    name = people.add()
    signs_in = json.dumps({"type": "auth", "token": live.key(name)})
    wants = json.dumps({"type": "filter", "filter": {"related": [{"id": ["a"]}] * 100_000}})
    assert last_word(live, path, signs_in, wants) == TOO_LONG
    assert last_word(live, path, "[" * 10_000_000) == TOO_LONG
