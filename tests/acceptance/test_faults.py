"""What was accepted runs once, whatever goes wrong at any call: no answer, or a process that is killed.

The calls are those that a run and its worker make, in the order in which they make them. At each one Prefect is busy,
once or for long, or its answer is lost, or a process is killed: that of the run, the fork server, the worker or the
server. A run that was not let go yet is started again, and executes
once. One that was let go is never started again: it has executed at most once, and its record says how it ended. All of
it is asked of a server on SQLite and of one on PostgreSQL, side by side.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.acceptance.asking import JOBS
from tests.acceptance.people import RESULTS, SCHEDULES
from tests.databases import PostgreSQL
from tests.live import Live, eventually, start, stat_of

T = TypeVar("T")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="who calls is looked for in /proc"),
]

FAULTY = ("-P", str(Path(__file__).parents[1] / "faulty_up.py"))
"""What Python is told to run; without its folder in the path: what is beside it has names of ours."""
ROOM = ("--limit", "40")

RUN = "{run}"
ID = "[0-9a-f-]{36}"
POOL = "GET /api/work_pools/signoff"
LIVES = "POST /api/work_pools/signoff/workers/heartbeat"
ASKS = "POST /api/work_pools/signoff/get_scheduled_flow_runs"
DEPLOYMENT = f"GET /api/deployments/{ID}"
TAKES = f"POST /api/flow_runs/{RUN}/set_state PENDING"
FLOW = f"GET /api/flows/{ID}"
STORAGE = "GET /api/admin/storage"
BEGINS = f"POST /api/flow_runs/{RUN}/set_state RUNNING"
ADMISSION = f"POST /api/signoff/admission/ {RUN}"
LOG = f"POST /api/logs/ {RUN}"
OUTCOME = f"POST /api/signoff/outcome/ {RUN}"
ENDS = f"POST /api/flow_runs/{RUN}/set_state COMPLETED"
WATCHES = f"GET /api/flow_runs/{RUN}"
"""Asked by a worker from time to time where Prefect does not tell it of cancellations."""

AT_INTERVALS = (POOL, LIVES)
OF_THE_WORKER = (*AT_INTERVALS, ASKS, DEPLOYMENT, FLOW, STORAGE)
BEFORE = {"GET /api/health", "POST /api/work_pools/signoff/workers/filter"}
OF_A_RUN = (TAKES, BEGINS, ADMISSION, LOG, OUTCOME, ENDS)

Fault = tuple[str, int]
BUSY, BUSY_FOR_LONG, LOST = ("busy", 1), ("busy", 8), ("lose", 1)
"""How often; Prefect's client tries six times."""
KILL, KILL_AFTER = ("kill", 1), ("kill after", 1)
HELD, HELD_AFTER = ("hold", 1), ("hold after", 1)

Ends = tuple[tuple[str, int], ...]
"""How a run may end, each with how often it has executed then."""
ONCE: Ends = (("SUCCESS", 1),)

Row = tuple[tuple[str, ...], Fault, Ends]
"""The calls, what happens at each, and what comes of it."""

PLAIN = "nothing goes wrong"
FAULTS: dict[str, Row] = {
    "each call finds Prefect busy": ((*OF_THE_WORKER, *OF_A_RUN), BUSY, ONCE),
    "each answer is lost": ((*OF_THE_WORKER, *OF_A_RUN), LOST, ONCE),
    "its worker finds Prefect busy for long": (OF_THE_WORKER, BUSY_FOR_LONG, ONCE),
    "its worker takes it, and Prefect is busy for long": ((TAKES,), BUSY_FOR_LONG, ONCE),
    "its process begins, and Prefect is busy for long": ((BEGINS,), BUSY_FOR_LONG, ONCE),
    "its process asks for admission, and Prefect is busy for long": ((ADMISSION,), BUSY_FOR_LONG, ONCE),
    "its process sends its log, and Prefect is busy for long": ((LOG,), BUSY_FOR_LONG, ONCE),
    "its process tells the outcome, and Prefect is busy for long": ((OUTCOME,), BUSY_FOR_LONG, ONCE),
    "its process ends it, and Prefect is busy for long": ((ENDS,), BUSY_FOR_LONG, ONCE),
    "its process begins, and is killed before": ((BEGINS,), KILL, ONCE),
    "its process begins, and is killed after": ((BEGINS,), KILL_AFTER, ONCE),
    "its process asks for admission, and is killed before": ((ADMISSION,), KILL, ONCE),
    "its process is let go, and is killed before its first line": ((ADMISSION,), KILL_AFTER, (("FAILURE", 0),)),
    "its process tells the outcome, and is killed before": ((OUTCOME,), KILL, (("FAILURE", 1),)),
    "its process tells the outcome, and is killed after": ((OUTCOME,), KILL_AFTER, ONCE),
    "its process ends it, and is killed before": ((ENDS,), KILL, ONCE),
    "its process ends it, and is killed after": ((ENDS,), KILL_AFTER, ONCE),
    PLAIN: ((), BUSY, ONCE),
}
"""What happens to runs, all at once: what one of them meets ends no other."""

KILLED: dict[str, Row] = {
    "its worker takes it": ((TAKES,), HELD, ONCE),
    "its worker has taken it": ((TAKES,), HELD_AFTER, ONCE),
    "its process begins": ((BEGINS,), HELD, ONCE),
    "its process has begun": ((BEGINS,), HELD_AFTER, ONCE),
    "its process asks for admission": ((ADMISSION,), HELD, ONCE),
    "its process is let go": ((ADMISSION,), HELD_AFTER, (("FAILURE", 0),)),
    "its process tells the outcome": ((OUTCOME,), HELD, (("FAILURE", 1),)),
    "its process has told the outcome": ((OUTCOME,), HELD_AFTER, ONCE),
    "its process ends it": ((ENDS,), HELD, ONCE),
    "its process has ended it": ((ENDS,), HELD_AFTER, ONCE),
}
"""What runs are at, one each, when something is killed with which they end."""

WITHOUT_ITS_SERVER: dict[str, Ends] = {
    "its process is let go": (*ONCE, ("FAILURE", 0)),
    "its process tells the outcome": (*ONCE, ("FAILURE", 1)),
}
"""What may come of a run whose process outlives the server: it asks again, for as long as Prefect's client does."""

Shape = dict[str, Any]


@dataclass
class Stage:
    """A server whose calls meet faults, and what was asked of it."""

    folder: Path
    server: Live = field(init=False)
    made: dict[str, Shape] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    plan: list[Shape] = field(default_factory=list)

    def ask(self, rows: Mapping[str, Row]) -> None:
        """Ask for runs that note when they execute, and plan what happens to them.

        They are approved when their faults are planned, and do not start before.
        """
        with self.server.client() as admin, self.server.client("bob") as bob, ThreadPoolExecutor(4) as pool:
            list(pool.map(partial(self._request, admin), rows))
            for what, (calls, fault, _) in rows.items():
                run = self.runs[what]
                self.meet(what, [call.replace(RUN, run) for call in calls if RUN in call], fault)
            list(pool.map(partial(self._approve, bob), rows))

    def _request(self, admin: httpx.Client, what: str) -> None:
        self.schedule(admin, what, "Change", interval="immediately")
        named = {"flow_runs": {"name": {"any_": [f"{what} (waiting for approval)"]}}}
        [run] = eventually(lambda: accepted(partial(admin.post, "/api/flow_runs/filter", json=named)).json())
        self.runs[what] = str(run["id"])

    def schedule(self, client: httpx.Client, what: str, job: str, **when: str) -> None:
        """Ask for runs of a Job, which notes when it executes."""
        body = {"data": {"file": str(self.folder / what)}, "schedule": {"name": what, **when}}
        self.made[what] = accepted(partial(client.post, f"{JOBS}{job}/run/", json=body)).json()["scheduled_job"]

    def _approve(self, bob: httpx.Client, what: str) -> None:
        accepted(partial(bob.post, f"{SCHEDULES}{self.made[what]['id']}/approve/"))

    def meet(self, what: str, calls: Iterable[str], fault: Fault) -> None:
        """Have calls meet a fault from now on, each of them."""
        do, times = fault
        self.plan += [{"call": call, "do": do, "times": times, "of": f"{what}: {call}"} for call in calls]
        new = self.folder / "new plan"
        new.write_text(json.dumps(self.plan))
        new.rename(self.folder / "plan")

    def has_met(self, what: str) -> bool:
        """Say whether all has happened to a run that was planned for it.

        What a worker says at intervals, to whom Prefect's channel is open, it says there.
        """
        happened = self.lines("happened")
        planned = [each["of"] for each in self.plan if each["of"].startswith(f"{what}: ")]
        return all(of in happened or of.endswith(AT_INTERVALS) for of in planned)

    def ended(self, what: str) -> list[str]:
        """Wait until a run has ended, and return how: once for each record of it."""

        def over() -> list[str]:
            with self.server.client() as client:
                rows = client.get(RESULTS, params={"scheduled_job": self.made[what]["id"]}).json()["results"]
            return [row["status"]["value"] for row in rows] if rows and all(row["date_done"] for row in rows) else []

        return eventually(over, every=0.5)

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def outcome(self, what: str) -> tuple[str, int]:
        """Return of a run how it ended and how often it executed, when all has happened that was planned."""
        [status] = self.ended(what)
        eventually(lambda: self.has_met(what))
        return status, len(self.lines(what))

    def kill(self, victim: str) -> None:
        """Kill a process, and start the server again if it is that; all else is started again by it."""
        family = self.server.family()
        if victim == "server":
            self.server.kill()
            was, env = self.server, {**self.server.shared, "FAULTS": str(self.folder / "plan")}
            self.server = start(was.home, was.port, *ROOM, keys=was.keys, program=FAULTY, **env)
        else:
            os.kill(family[victim][0], signal.SIGKILL)
            # Runs end with both. One that has not yet would be told what is not for it any more.
            eventually(lambda: all(map(has_gone, family["run"])))


def accepted(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until it is accepted: there may be no worker yet, or Prefect does not answer."""
    answer = eventually(lambda: None if (said := ask()).status_code == 503 else said, every=0.5)
    answer.raise_for_status()
    return answer


def has_gone(pid: int) -> bool:
    """Say whether nothing is left of a process, or only its status."""
    try:
        return stat_of(pid)[0] == "Z"
    except OSError:
        return True


def on_each(stages: list[Stage], do: Callable[[Stage], T]) -> list[T]:
    """Do something with all servers, side by side."""
    with ThreadPoolExecutor(len(stages)) as pool:
        return list(pool.map(do, stages))


@pytest.fixture(scope="module")
def stages(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[list[Stage]]:
    """Two servers, whose store and Prefect are on SQLite and on PostgreSQL, and whose workers meet what is planned."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:

        def started(databases: Mapping[str, str]) -> Stage:
            folder = tmp_path_factory.mktemp("faults")
            env = {**databases, "FAULTS": str(folder / "plan")}
            stage = Stage(folder)
            # Before it begins: a worker asks some of it once, and knows it for a while.
            for what, (calls, fault, _) in FAULTS.items():
                stage.meet(what, [call for call in calls if RUN not in call], fault)
            stage.server = start(folder / "home", free_port(), *ROOM, program=FAULTY, **env)
            # It may be another one by then.
            stack.callback(lambda: stage.server.stop())
            return stage

        databases: list[Mapping[str, str]] = [{}, stack.enter_context(postgresql.of_a_server())]
        yield list(pool.map(started, databases))


@pytest.fixture(scope="module")
def runs(stages: list[Stage]) -> list[Stage]:
    """The same, after all runs were asked for and their faults planned."""
    on_each(stages, lambda stage: stage.ask(FAULTS))
    return stages


@pytest.mark.parametrize("what", FAULTS)
def test_what_was_accepted_runs_once_when(runs: list[Stage], what: str) -> None:
    assert all(stage.outcome(what) in FAULTS[what][2] for stage in runs), [stage.outcome(what) for stage in runs]


def test_these_are_the_calls_of_a_run(runs: list[Stage]) -> None:
    """Each call has its row, and each row its call."""
    for stage in runs:
        stage.outcome(PLAIN)

        def calls(stage: Stage = stage) -> set[str]:
            return {re.sub(ID, ID, call.replace(stage.runs[PLAIN], RUN)) for call in stage.lines("calls")}

        # The final state is told last.
        eventually(lambda calls=calls: ENDS in calls())  # type: ignore[misc]
        assert {call for call in calls() if RUN in call} - {WATCHES} == {*OF_A_RUN}
        of_others = {call for call in calls() if re.search(r"flow_runs|logs|signoff/(admission|outcome)", call)}
        assert calls() - {*OF_A_RUN} - of_others - BEFORE <= {*OF_THE_WORKER}
        assert {*OF_THE_WORKER} - calls() <= {*AT_INTERVALS}


@pytest.mark.parametrize("victim", ["fork server", "worker", "server"])
def test_what_was_accepted_runs_once_although_this_is_killed(runs: list[Stage], victim: str) -> None:
    rows = {f"{what}, and the {victim} is killed": row for what, row in KILLED.items()}

    def outcomes(stage: Stage) -> dict[str, tuple[str, int]]:
        (stage.folder / "released").unlink(missing_ok=True)
        stage.ask(rows)
        eventually(lambda: all(map(stage.has_met, rows)))
        stage.kill(victim)
        (stage.folder / "released").touch()
        return {what: stage.outcome(name) for what, name in zip(KILLED, rows, strict=True)}

    may = {what: ends for what, (_, _, ends) in KILLED.items()} | (WITHOUT_ITS_SERVER if victim == "server" else {})
    for ended in on_each(runs, outcomes):
        assert {what: outcome for what, outcome in ended.items() if outcome not in may[what]} == {}
