"""Prefect's API on a real server shows a person what they may view here, and not a word more.

A word stands in the inputs and the log of a run. Everything that Prefect answers to who may not view that run is
searched for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from api_shim.web.prefect_reads import READS, SOCKET, Listed, Simple
from tests.acceptance.people import FAR, People, unique
from tests.live import PATIENCE, Live, eventually

pytestmark = pytest.mark.slow

Shape = Mapping[str, Any]
WORD = f"Word{uuid4().hex[:12]}"
VIEWS = ("job", "scheduledjob", "jobresult")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A run of Greet whose input is a word, one of another Job, a schedule of Greet, and a run that is not ours."""

    run: Shape
    other: Shape
    deployment: Shape
    foreign: Shape
    names: Mapping[str, str]


@pytest.fixture(scope="module")
def stage(live: Live, admin: httpx.Client, people: People) -> Stage:
    def started(job: str, data: Shape) -> Shape:
        answer = admin.post(f"/api/extras/jobs/{job}/run/", json={"data": data})
        assert answer.status_code == 201, answer.text
        result = answer.json()["job_result"]
        eventually(lambda: admin.get(result["url"]).json()["status"]["value"] in {"SUCCESS", "FAILURE"})
        found: Shape = admin.get(f"/api/flow_runs/{admin.get(result['url']).json()['flow_run_id']}").json()
        return found

    run, other = started("Greet", {"who": WORD}), started("Break", {})
    of_run = {"logs": {"flow_run_id": {"any_": [run["id"]]}}}
    eventually(lambda: WORD in admin.post("/api/logs/filter", json=of_run).text)
    when = {"name": unique(WORD), "interval": "daily", "start_time": FAR}
    asked = {"data": {"who": WORD}, "schedule": when}
    row = admin.post("/api/extras/jobs/Greet/run/", json=asked).json()["scheduled_job"]
    named = {"deployments": {"name": {"like_": row["name"]}}}
    deployment = eventually(lambda: admin.post("/api/deployments/filter", json=named).json())[0]
    flow = admin.post("/api/flows/", json={"name": unique("foreign")}).json()
    foreign = admin.post("/api/flow_runs/", json={"flow_id": flow["id"], "parameters": {"x": 1}}).json()
    of_others = [
        *((f"extras.{kind}", "view", {"job_model__name": "Break"}) for kind in VIEWS[1:]),
        ("extras.job", "view", {"name": "Break"}),
    ]
    names = {
        "nobody": people.add(),
        "others": people.add(*of_others),
        "reader": people.add(*((f"extras.{kind}", "view", None) for kind in VIEWS)),
        "looker": people.add(("prefect", "view", None)),
    }
    return Stage(run=run, other=other, deployment=deployment, foreign=foreign, names=names)


@pytest.fixture(scope="module")
def clients(live: Live, stage: Stage) -> Iterator[Mapping[str, httpx.Client]]:
    made = {who: live.client(name) for who, name in stage.names.items()}
    yield made
    for client in made.values():
        client.close()


def addresses(stage: Stage) -> Iterator[tuple[str, str, bool]]:
    """Return every route that reads, about the run, its deployment or its flow, and whether it takes a filter."""
    ids = {"deployments": stage.deployment["id"], "flows": stage.run["flow_id"]}
    for (method, path), rule in READS.items():
        if method != SOCKET:
            thing = ids.get(path.split("/")[0], stage.run["id"])
            address = path.replace("name/{}/{}", f"name/Greet/{stage.deployment['name']}").replace("{}", thing)
            yield method, f"/api/{address}", isinstance(rule, Listed) or rule is Simple.EVENTS
    yield "GET", f"/api/flow_run_states?flow_run_id={stage.run['id']}", False


@pytest.mark.parametrize("who", ["nobody", "others", "looker"])
def test_nothing_of_a_run_is_told_to_who_may_not_view_it(
    stage: Stage, clients: Mapping[str, httpx.Client], who: str
) -> None:
    run_id = stage.run["id"]
    times = {"history_start": "2020-01-01T00:00:00Z", "history_end": FAR, "history_interval_seconds": 1e7}
    bodies: list[Shape] = [
        {**times, "filter": {}, "flow_ids": [stage.run["flow_id"]], "flow_run_ids": [run_id], "prefix": "s"},
        {**times, "flow_runs": {"id": {"any_": [run_id]}}, "logs": {"flow_run_id": {"any_": [run_id]}}},
        {**times, "flow_runs": {"operator": "or_", "id": {"any_": [run_id]}}, "logs": {"operator": "or_"}},
        {**times, "filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}},
    ]
    for method, address, is_filtered in addresses(stage):
        for body in bodies if is_filtered else bodies[:1]:
            answer = clients[who].request(method, address, json=body if method == "POST" else None)
            assert answer.status_code < 500, address
            assert WORD not in answer.text, address
            assert stage.run["name"] not in answer.text, address


def test_lists_counts_and_single_reads_agree(
    admin: httpx.Client, stage: Stage, clients: Mapping[str, httpx.Client]
) -> None:
    run, other, foreign = stage.run["id"], stage.other["id"], stage.foreign["id"]
    # Asked for by id: a server that many tests have used has more runs than a page.
    asked = {"flow_runs": {"id": {"any_": [run, other, foreign]}}}

    def ids(client: httpx.Client) -> set[str]:
        found = {run["id"] for run in client.post("/api/flow_runs/filter", json=asked).json()}
        assert client.post("/api/flow_runs/count", json=asked).json() == len(found)
        assert client.post("/api/flow_runs/paginate", json=asked).json()["count"] == len(found)
        for run_id in (run, other):
            assert client.get(f"/api/flow_runs/{run_id}").status_code == (200 if run_id in found else 404)
        return found

    assert ids(admin) == {run, other, foreign}
    assert ids(clients["reader"]) == {run, other}
    assert ids(clients["others"]) == {other}
    assert ids(clients["nobody"]) == set()
    assert ids(clients["looker"]) == set()


def test_who_may_view_a_run_reads_all_of_it(stage: Stage, clients: Mapping[str, httpx.Client]) -> None:
    reader, run_id = clients["reader"], stage.run["id"]
    assert reader.get(f"/api/flow_runs/{run_id}").json()["parameters"]["who"] == WORD
    assert WORD in reader.post("/api/logs/filter", json={"logs": {"flow_run_id": {"any_": [run_id]}}}).text
    assert WORD in reader.get(f"/api/flow_runs/{run_id}/logs/download").text
    assert reader.get(f"/api/flow_runs/{run_id}/graph-v2").status_code == 200
    assert reader.get(f"/api/deployments/{stage.deployment['id']}").json()["parameters"]["who"] == WORD
    told = reader.get(f"/api/deployments/{stage.deployment['id']}").json()["description"]
    assert "It fires from 2030-01-01 01:00 UTC on; until shortly before, its schedule is inactive here." in told
    assert reader.get(f"/api/deployments/name/Greet/{stage.deployment['name']}").json()["id"] == stage.deployment["id"]
    about = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}}
    events = reader.post("/api/events/filter", json=about).json()
    assert events["total"] == len(events["events"]) > 0
    counts = reader.post("/api/events/count-by/event", json=about).json()
    assert sum(each["count"] for each in counts) == events["total"]
    assert reader.get(f"/api/flow_runs/{stage.foreign['id']}").status_code == 404
    assert clients["looker"].get(f"/api/flow_runs/{stage.foreign['id']}").status_code == 200


def test_a_websocket_tells_of_runs_that_may_be_viewed(live: Live, stage: Stage) -> None:
    runs = [f"prefect.flow-run.{each['id']}" for each in (stage.run, stage.foreign)]

    def events(who: str) -> list[Shape]:
        """Return the events of both runs that stand before the first silence."""
        found = []
        url = f"{live.origin.replace('http', 'ws')}/api/events/out"
        with connect(url, subprotocols=[Subprotocol("prefect")], open_timeout=PATIENCE, close_timeout=1) as socket:
            socket.send(json.dumps({"type": "auth", "token": live.key(stage.names[who])}))
            assert json.loads(socket.recv(timeout=PATIENCE)) == {"type": "auth_success"}
            about = {"resource": {"id": runs}}
            socket.send(json.dumps({"type": "filter", "filter": about, "backfill": True}))
            try:
                while True:
                    found.append(
                        json.loads(socket.recv(timeout=PATIENCE if who == "reader" and not found else 2))["event"]
                    )
            except TimeoutError:
                return found

    seen = {event["resource"]["prefect.resource.id"] for event in events("reader")}
    assert seen == {runs[0]}
    assert events("nobody") == []
