"""``signoff up`` in front of a Prefect server that others run: the same story, and what is done there past us.

It is on PostgreSQL: on SQLite, Prefect without what is mended in ours is busy for a minute at a time where several
write. What takes its time is asked for first. The last test stops that server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance import asking
from tests.acceptance.people import FAR, RESULTS, SCHEDULES
from tests.databases import PostgreSQL, store_of
from tests.factories import administering
from tests.live import JOBS, PATIENCE, Live, environment, eventually, start

pytestmark = pytest.mark.slow

SECRET = "others:sesame-open"
"""What that server wants to be told by whoever calls it."""
OWN = "You cannot approve your own job request!"
WORKER = "theirs"

Shape = dict[str, Any]


@dataclass
class Others:
    """The Prefect server that others run, as its administrator has it."""

    home: Path
    port: int
    database: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What whoever reaches it has in the environment."""
        return {"PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api", "PREFECT_API_AUTH_STRING": SECRET}

    def start(self) -> None:
        env = environment(
            PREFECT_HOME=str(self.home),
            PREFECT_SERVER_API_AUTH_STRING=SECRET,
            PREFECT_SERVER_DATABASE_CONNECTION_URL=self.database,
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_SERVER_BLOCKS_REGISTER_ON_START="false",
            **self.settings,
        )
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(self.port)]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask it something past us."""

        def asked() -> httpx.Response | None:
            user, _, password = SECRET.partition(":")
            with suppress(httpx.TransportError):
                url = f"http://127.0.0.1:{self.port}/api/{path}"
                answer = httpx.request(method, url, json=body, auth=(user, password), timeout=60)
                return None if answer.status_code == 503 else answer
            return None

        return eventually(asked).raise_for_status().json()

    def run_of(self, row: Shape) -> Shape:
        """Wait for the run that carries a request."""
        names = [row["name"], f"{row['name']} (waiting for approval)"]
        found: list[Shape] = eventually(
            lambda: self.ask("POST", "flow_runs/filter", {"flow_runs": {"name": {"any_": names}}})
        )
        return found[0]


@dataclass
class Stage:
    """Both servers, and what was asked of ours first."""

    ours: Live
    theirs: Others
    folder: Path
    asked: dict[str, Shape] = field(default_factory=dict)

    def request(self, what: str, job: str = "Greet", *, seconds: int | None = None, **when: Any) -> Shape:
        """Request a run as alice that notes its executions, and return its scheduled job, or else its result."""
        data = {"file": str(self.folder / what)} | ({} if seconds is None else {"seconds": seconds})
        body = {"data": data, "schedule": {"name": what, **when} if when else None}
        with self.ours.client("alice") as client:
            answer = asking.run(client, body, job)
        assert answer.status_code == 201, answer.text
        self.asked[what] = answer.json()["scheduled_job"] or answer.json()["job_result"]
        return self.asked[what]

    def decide(self, who: str, row: Shape, how: str = "approve") -> httpx.Response:
        with self.ours.client(who) as client:
            return client.post(f"{SCHEDULES}{row['id']}/{how}/", json={"force": True})

    def ended(self, row: Shape) -> Shape:
        """Wait for the end of what was requested, and return its job result."""
        with self.ours.client() as client:
            return dict(eventually(lambda: asking.ended(client, row), every=0.5))

    def lines(self, what: str) -> list[str]:
        file = self.folder / what
        return file.read_text().splitlines() if file.exists() else []


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.fixture(scope="module")
def prefect(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Others]:
    home = tmp_path_factory.mktemp("theirs")
    with postgresql.empty() as url:
        made = Others(home, free_port(), url.replace("+psycopg", "+asyncpg"))
        made.start()
        # Ours waits for a minute at the start, and on a busy machine the tables take longer to be made.
        made.ask("GET", "admin/version")
        yield made
        made.stop()


@pytest.fixture(scope="module")
def stage(prefect: Others, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("external")
    told = {"SIGNOFF_PREFECT": "external", "SIGNOFF_JOBS": "jobs_for_tests", **prefect.settings}
    ours = start(folder / "ours", free_port(), prepared=False, **told)
    made = Stage(ours, prefect, folder)
    try:
        made.request("hourly", interval="hourly", start_time=soon(8))
        made.request("past us", interval="future", start_time=soon(30))
        with ours.client() as client:
            eventually(lambda: asking.accepts_runs(client), every=0.5)
        made.request("cancelled", "Sleep", seconds=PATIENCE)
        yield made
    finally:
        ours.stop()


@pytest.fixture(scope="module")
def taken_past_us(stage: Stage) -> Iterator[None]:
    """A run that a worker of Prefect's takes at that server, which never calls ours but for admission."""
    key = stage.ours.key(WORKER)
    with closing(store_of(stage.ours.home)) as store:
        administering(store).make_worker(WORKER, "signoff", datetime.now(UTC))
    run = stage.theirs.run_of(stage.asked["past us"])
    pending = {"state": {"type": "PENDING"}, "force": True}
    stage.theirs.ask("POST", f"flow_runs/{run['id']}/set_state", pending)
    env = environment(
        SIGNOFF_ADMISSION_URL=stage.ours.origin,
        SIGNOFF_ADMISSION_KEY=key,
        PREFECT_HOME=str(stage.folder / "worker"),
        PREFECT__FLOW_RUN_ID=run["id"],
        PYTHONPATH=os.pathsep.join(filter(None, (str(JOBS), os.environ.get("PYTHONPATH")))),
        **stage.theirs.settings,
    )
    # As Prefect's process worker does with a run that it has taken.
    with subprocess.Popen([sys.executable, "-m", "prefect.engine"], cwd=JOBS, env=env) as process:
        yield
        process.kill()


def test_a_request_waits_is_refused_to_its_author_and_runs_as_its_author_when_another_has_approved(
    stage: Stage, taken_past_us: None
) -> None:
    row = stage.request("approved", "Change", interval="immediately")
    run = stage.theirs.run_of(row)
    assert (run["state_type"], "awaiting-approval" in run["tags"]) == ("PAUSED", True)
    refused = stage.decide("alice", row)
    assert (refused.status_code, refused.json()["detail"]) == (403, OWN)
    assert stage.decide("bob", row).status_code == 200
    result = stage.ended(row)
    assert result["status"]["value"] == "SUCCESS"
    assert stage.lines("approved") == [f"alice {result['id']}"]
    assert eventually(lambda: stage.theirs.ask("GET", f"flow_runs/{run['id']}")["state_type"] == "COMPLETED")


def test_what_is_let_go_past_us_is_held_and_what_is_made_there_is_refused(stage: Stage) -> None:
    row = stage.request("let go", "Change", interval="future", start_time=FAR)
    run = stage.theirs.run_of(row)
    now = {"state": {"type": "SCHEDULED", "name": "Scheduled"}, "force": True}
    stage.theirs.ask("POST", f"flow_runs/{run['id']}/set_state", now)
    path = f"deployments/{run['deployment_id']}/create_flow_run"
    made = stage.theirs.ask("POST", path, {"parameters": row["kwargs"], "state": now["state"]})
    states = eventually(
        lambda: (
            (one := stage.theirs.ask("GET", f"flow_runs/{run['id']}"))["state_type"] == "PAUSED"
            and (other := stage.theirs.ask("GET", f"flow_runs/{made['id']}"))["state_type"] == "FAILED"
            and (one["state_name"], other["state"]["message"].partition(": ")[0])
        )
    )
    assert states == ("Suspended", "Refused")
    assert stage.lines("let go") == []


def test_a_schedule_fires_by_the_services_of_that_server(stage: Stage) -> None:
    result = stage.ended(stage.asked["hourly"])
    assert result["status"]["value"] == "SUCCESS"
    assert stage.lines("hourly") == [f"alice {result['id']}"]


def test_a_run_under_way_is_cancelled(stage: Stage) -> None:
    row = stage.asked["cancelled"]
    eventually(lambda: (stage.folder / "cancelled").exists())
    with stage.ours.client("alice") as client:
        assert client.post(f"{RESULTS}{row['id']}/cancel/").status_code == 200
    result = stage.ended(row)
    assert result["status"]["value"] != "SUCCESS"
    run = result["flow_run_id"]
    eventually(lambda: stage.theirs.ask("GET", f"flow_runs/{run}")["state_type"] == "CANCELLED")


def test_a_worker_that_knows_prefect_alone_has_its_runs_ask_us(stage: Stage, taken_past_us: None) -> None:
    result = stage.ended(stage.asked["past us"])
    assert result["status"]["value"] == "SUCCESS"
    assert stage.lines("past us") == [f"alice {result['id']}"]
    asked_by = [each.data.get("asked_by") for each in stage.ours.audit() if each.act == "run.admitted"]
    assert WORKER in asked_by


# The last one, in which nothing else goes on


def test_while_it_is_away_its_pages_are_there_and_all_that_was_asked_has_told_nobody_of_its_credentials(
    stage: Stage,
) -> None:
    stage.theirs.stop()
    with stage.ours.client() as client:
        assert client.post("/api/flow_runs/filter", json={}).status_code == 503
        # They are of the Prefect that is installed here.
        assert "<title>" in client.get("/v2/").text
        assert client.get("/ui-settings").json()["api_url"] == "/api"
    assert stage.request("kept")["status"]["value"] == "PENDING"
    for log in (stage.ours.log.read_text(), str(stage.ours.audit())):
        assert SECRET.partition(":")[2] not in log
