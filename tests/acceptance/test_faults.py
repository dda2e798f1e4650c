"""What was accepted runs once, whatever goes wrong at any call of a run: Prefect is busy, or a process is killed.

Each run meets one fault, at one of the calls that its worker and its process make, in the order in which they make
them. A run that was not let go yet is started again, and executes once. One that was let go is never started again:
it has executed at most once, and its result says how it ended. All is on SQLite here; that a server and its worker die
on PostgreSQL is in ``test_two_servers.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.live import Live, eventually, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="who calls is looked for in /proc"),
]

FAULTY = Path(__file__).parents[1] / "faulty_up.py"

RUN = "{run}"
ASKS = r"POST /api/work_pools/signoff/get_scheduled_flow_runs"
DEPLOYMENT = r"GET /api/deployments/[0-9a-f-]{36}"
TAKES = rf"POST /api/flow_runs/{RUN}/set_state PENDING"
BEGINS = rf"POST /api/flow_runs/{RUN}/set_state RUNNING"
ADMISSION = rf"POST /api/signoff/admission/ {RUN}"
OUTCOME = rf"POST /api/signoff/outcome/ {RUN}"
ENDS = rf"POST /api/flow_runs/{RUN}/set_state COMPLETED"

BUSY, BUSY_FOR_LONG = ("busy", 1), ("busy", 8)
"""How often; Prefect's client tries six times, and then its process ends."""
KILL, KILL_AFTER = ("kill", 1), ("kill after", 1)

Fault = tuple[str, int]

OF_A_RUN: dict[str, tuple[str, Fault, str, int]] = {
    "its process begins, and Prefect is busy": (BEGINS, BUSY, "SUCCESS", 1),
    "its process begins, and Prefect is busy for long": (BEGINS, BUSY_FOR_LONG, "SUCCESS", 1),
    "its process begins, and is killed before": (BEGINS, KILL, "SUCCESS", 1),
    "its process begins, and is killed after": (BEGINS, KILL_AFTER, "SUCCESS", 1),
    "its process asks for admission, and gets no answer": (ADMISSION, BUSY, "SUCCESS", 1),
    "its process asks for admission, and is killed before": (ADMISSION, KILL, "SUCCESS", 1),
    "its process is let go, and is killed before its first line": (ADMISSION, KILL_AFTER, "FAILURE", 0),
    "its process tells the outcome, and gets no answer": (OUTCOME, BUSY, "SUCCESS", 1),
    "its process tells the outcome, and is killed before": (OUTCOME, KILL, "FAILURE", 1),
    "its process tells the outcome, and is killed after": (OUTCOME, KILL_AFTER, "SUCCESS", 1),
    "its process ends it, and Prefect is busy": (ENDS, BUSY, "SUCCESS", 1),
    "its process ends it, and is killed before": (ENDS, KILL, "SUCCESS", 1),
    "its process ends it, and is killed after": (ENDS, KILL_AFTER, "SUCCESS", 1),
}
"""What happens to a run: the call, the fault, how it ends, and how often it executes. All run at once."""

OF_THE_WORKER: dict[str, tuple[str, Fault]] = {
    "its worker asks what is due, and Prefect is busy": (ASKS, BUSY),
    "its worker asks what is due, and is killed": (ASKS, KILL),
    "its worker asks what is due, and is killed with the answer": (ASKS, KILL_AFTER),
    "its worker reads the deployment, and Prefect is busy": (DEPLOYMENT, BUSY),
    "its worker reads the deployment, and Prefect is busy for long": (DEPLOYMENT, BUSY_FOR_LONG),
    "its worker reads the deployment, and is killed": (DEPLOYMENT, KILL),
    "its worker takes it, and Prefect is busy": (TAKES, BUSY),
    "its worker takes it, and Prefect is busy for long": (TAKES, BUSY_FOR_LONG),
    "its worker takes it, and is killed before": (TAKES, KILL),
    "its worker takes it, and is killed after": (TAKES, KILL_AFTER),
}
"""What happens to the worker while it starts a run, one after the other. Each is started again and executes once."""

Shape = dict[str, Any]


@dataclass
class Stage:
    """A server whose calls meet faults, and what was asked of it."""

    server: Live
    folder: Path
    made: dict[str, Shape] = field(default_factory=dict)

    def ask(self, what: str, *, seconds: float) -> str:
        """Schedule a run that notes when it executes, and return the id of its run in Prefect."""
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        schedule = {"name": what, "interval": "future", "start_time": at.isoformat()}
        body = {"data": {"file": str(self.file(what))}, "schedule": schedule}
        with self.server.client() as client:
            self.made[what] = client.post("/api/extras/jobs/Greet/run/", json=body).json()["scheduled_job"]
            named = {"flow_runs": {"name": {"any_": [what]}}}
            [run] = eventually(lambda: client.post("/api/flow_runs/filter", json=named).json())
        return str(run["id"])

    def plan(self, faults: Mapping[str, tuple[str, Fault]], runs: Mapping[str, str]) -> None:
        """Have calls meet faults, from now on.

        Args:
            faults: the call and the fault, by what is asked.
            runs: their runs.
        """
        plan = [
            {"call": call.replace(RUN, runs[what]), "do": do, "times": times, "of": what}
            for what, (call, (do, times)) in faults.items()
        ]
        new = self.folder / "new plan"
        new.write_text(json.dumps(plan))
        new.rename(self.folder / "plan")

    def ended(self, what: str) -> Shape:
        """Wait until a run has ended, and return its result."""

        def over() -> Shape | None:
            with self.server.client() as client:
                asked = {"scheduled_job": self.made[what]["id"]}
                rows = client.get("/api/extras/job-results/", params=asked).json()["results"]
            return next((row for row in rows if row["date_done"]), None)

        return eventually(over, every=0.5)

    def file(self, what: str) -> Path:
        return self.folder / what

    def outcome(self, what: str) -> tuple[bool, str, int]:
        """Return of a run that has ended whether it met its fault, how it ended, and how often it executed."""
        status = self.ended(what)["status"]["value"]
        executions = len(self.file(what).read_text().splitlines()) if self.file(what).exists() else 0
        return what in (self.folder / "happened").read_text().splitlines(), status, executions


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Stage]:
    """A server at work."""
    folder = tmp_path_factory.mktemp("faults")
    # Without its folder in the path: what is beside it has names of ours.
    live = start(folder / "home", free_port(), program=("-P", str(FAULTY)), FAULTS=str(folder / "plan"))
    yield Stage(live, folder)
    live.stop()


@pytest.fixture(scope="module")
def runs(stage: Stage) -> Stage:
    """The same, after all runs were asked for and their faults planned."""
    made = {what: stage.ask(what, seconds=20) for what in OF_A_RUN}
    stage.plan({what: (call, fault) for what, (call, fault, *_) in OF_A_RUN.items()}, made)
    return stage


@pytest.mark.parametrize("what", OF_A_RUN)
def test_what_was_accepted_runs_once_when(runs: Stage, what: str) -> None:
    _, _, status, executions = OF_A_RUN[what]
    assert runs.outcome(what) == (True, status, executions)


@pytest.mark.parametrize("what", OF_THE_WORKER)
def test_what_was_accepted_runs_once_although(stage: Stage, what: str) -> None:
    of_its_run = RUN in OF_THE_WORKER[what][0]
    if not of_its_run:
        stage.plan({what: OF_THE_WORKER[what]}, {what: ""})
    run = stage.ask(what, seconds=2)
    if of_its_run:
        stage.plan({what: OF_THE_WORKER[what]}, {what: run})
    assert stage.outcome(what) == (True, "SUCCESS", 1)
