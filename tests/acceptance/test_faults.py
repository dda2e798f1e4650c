"""What was accepted runs once and is followed, whatever goes wrong at any call: no answer, or a process that is killed.

What goes wrong stands in a table (``faults.py``), of which all rows are played at once, but for those that end with the
same process, which is killed when all of them stand. A part of it is played every time, by a server on SQLite;
``SIGNOFF_TEST_FAULTS=all`` has all of it played, by one on PostgreSQL beside that, too; where that is too much for a
machine, ``SIGNOFF_TEST_FAULTS=1/4`` has the first of four parts played, and so on.

Meanwhile a schedule fires every minute: each of its firings has one record, and executes at most once.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_shim.reconcile.desired_state import BASE_DEPLOYMENT, KEY
from tests.acceptance.asking import JOBS
from tests.acceptance.faults import (
    ASKS,
    AT_INTERVALS,
    BEGINS,
    DEPLOYMENT,
    FOLLOWED,
    KILL,
    SHARED,
    STEPS,
    TABLE,
    Fault,
    Row,
    Victim,
    Way,
    unanswered,
)
from tests.acceptance.people import RESULTS, SCHEDULES
from tests.databases import PostgreSQL
from tests.live import Live, eventually, start, stat_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="who calls is looked for in /proc"),
]

ASKED = os.environ.get("SIGNOFF_TEST_FAULTS", "")
PART = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", ASKED)
ROWS = [*TABLE[int(PART[1]) - 1 :: int(PART[2])]] if PART else [row for row in TABLE if row.brief or ASKED == "all"]
DATABASES = ("sqlite", "postgresql") if ASKED else ("sqlite",)

FAULTY = ("-P", str(Path(__file__).parents[1] / "faulty_up.py"))
"""What Python is told to run; without its folder in the path: what is beside it has names of ours."""
ROOM = ("--limit", "60")
FIRST = ("worker GET /api/health", "worker POST /api/work_pools/signoff/workers/filter")
"""What a worker asks before it begins."""
WATCHES = "run GET /api/flow_runs/{id}"
"""Whether it is suspended, a run that takes its time asks from time to time."""
AGAIN = ("scheduled job GET /deployments/{id}", "scheduled job GET /flows/{id}")
"""What is asked of a schedule that is followed once more when its deployment is there."""
EACH_MINUTE = "each minute"
OF_THEIR_JOBS = {"flows": {"name": {"any_": ["Greet", "Change"]}}, "deployments": {"name": {"any_": [BASE_DEPLOYMENT]}}}
"""The deployments of the Jobs that are asked for."""
IN_PREFECT = {Way.REPEATED, Way.DELETED, Way.DENIED}
"""Of these there is no job result: they are looked for in Prefect."""
COMES_AFTER = {Way.DELETED, Way.APPROVED, Way.DENIED}
"""What is asked about something else that is followed first; the calls by which that is are not meant."""
FINAL = re.compile(r"(, |SUCCESS|FAILURE|REVOKED)+")

Shape = dict[str, Any]
Outcome = tuple[str, int]


@dataclass
class Stage:
    """A server whose calls meet faults, and what was asked of it.

    Args:
        folder: of the plan, and of the files in which each execution is noted.
        server: it, as it runs now.
        made: what was asked, by the number of the row, or its name where it has none.
        told: what came of each row, by its number.
    """

    folder: Path
    server: Live = field(init=False)
    made: dict[str, Shape] = field(default_factory=dict)
    told: dict[str, Outcome] = field(default_factory=dict)

    def plan(self) -> None:
        """Write down what is to happen."""
        of_rows = ((number, row, *each) for number, row in numbered() for each in product(row.calls, row.faults))
        plan = [planned(*each) for each in of_rows]
        lost = [planned(number, row, BEGINS, KILL) for number, row in numbered() if row.way is Way.LOST]
        (self.folder / "plan").write_text(json.dumps(plan + lost))

    def start(self, port: int, databases: Mapping[str, str], **more: Any) -> None:
        env = {**databases, "FAULTS": str(self.folder / "plan")}
        self.server = start(self.folder / "home", port, *ROOM, program=FAULTY, **more, **env)

    def play(self) -> None:
        """Ask for everything, let happen what is planned, and see what comes of it."""
        with self.server.client() as admin:
            # What follows is about what is asked, and not about its Job.
            eventually(lambda: len(listed(admin, "deployments", OF_THEIR_JOBS)) == 2)
            self._run(admin, EACH_MINUTE, "Greet", {"name": EACH_MINUTE, "interval": "custom", "crontab": "* * * * *"})
        for victim in Victim:
            rows = {number: row for number, row in numbered() if row.victim is victim}
            self._ask(rows)
            if victim is not Victim.NOBODY:
                eventually(partial(self._have_met, rows))
                # A run that stands nowhere could be killed anywhere.
                eventually(partial(self._have_ended, {key: row for key, row in rows.items() if row.runs_while_held}))
                self._kill(victim)
            self._approve_requests(rows)
            # What has not ended by then is told of each row.
            with suppress(AssertionError):
                eventually(partial(self._are_over, rows), every=2.0)
        self.told = self.outcomes(dict(numbered()))

    # Asking

    def _ask(self, rows: Mapping[str, Row]) -> None:
        """Ask for these at once, but for those with which a worker stands still: for them in the end, in turn."""
        last = [{number: row} for number, row in rows.items() if {DEPLOYMENT, ASKS} & {*row.calls} and not row.shared]
        others = {number: row for number, row in rows.items() if {number: row} not in last}
        with self.server.client() as admin, self.server.client("bob") as bob, ThreadPoolExecutor(8) as pool:
            for asked in (others, *last):
                list(pool.map(partial(self._ask_for, admin, bob), asked, asked.values()))
                if last:
                    eventually(partial(self._have_met, asked))

    def _ask_for(self, admin: httpx.Client, bob: httpx.Client, number: str, row: Row) -> None:
        schedule = {"name": row.name}
        match row.way:
            case Way.NOW | Way.LOST:
                self._run(admin, number, "Greet")
            case Way.LATER:
                self._run(admin, number, "Greet", {**schedule, "interval": "future"})
            case Way.REPEATED | Way.DELETED:
                self._run(admin, number, "Greet", {**schedule, "interval": "custom", "crontab": "0 0 1 1 *"})
            case _:
                self._run(admin, number, "Change", {**schedule, "interval": "immediately"})
        if row.way in COMES_AFTER:
            eventually(partial(self._is_followed, number))
            (self.folder / since(number)).touch()
        match row.way:
            case Way.DELETED:
                accepted(lambda: admin.delete(f"{SCHEDULES}{self.made[number]['id']}/"))
            case Way.APPROVED:
                self._approve(bob, number)
            case Way.DENIED:
                accepted(lambda: bob.post(f"{SCHEDULES}{self.made[number]['id']}/deny/"))

    def _run(self, admin: httpx.Client, number: str, job: str, schedule: Shape | None = None) -> None:
        """Ask for runs of a Job, which notes when it executes."""

        def ask() -> httpx.Response:
            when = {"start_time": (datetime.now(UTC) + timedelta(seconds=2)).isoformat()}
            at = when if schedule and schedule["interval"] == "future" else {}
            asked = {"schedule": {**schedule, **at}} if schedule else {}
            return admin.post(f"{JOBS}{job}/run/", json={"data": {"file": str(self.folder / number)}, **asked})

        answer = accepted(ask).json()
        self.made[number] = answer["scheduled_job"] or answer["job_result"]

    def _approve_requests(self, rows: Mapping[str, Row]) -> None:
        """Approve what has been requested, when it asks for that in Prefect."""
        with self.server.client("bob") as bob:
            for number in (number for number, row in rows.items() if row.way is Way.REQUESTED):
                eventually(partial(self._is_followed, number))
                self._approve(bob, number)

    def _approve(self, bob: httpx.Client, number: str) -> None:
        accepted(lambda: bob.post(f"{SCHEDULES}{self.made[number]['id']}/approve/"))

    # What happens

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def _have_met(self, rows: Mapping[str, Row]) -> bool:
        """Say whether all that was planned for these has happened, but for what may be told in another way."""
        happened = {*self.lines("happened")}
        return happened.issuperset(
            name_of(number, *each)
            for number, row in rows.items()
            for each in product({*row.calls} - {*AT_INTERVALS}, row.faults)
        )

    def _is_followed(self, number: str) -> bool:
        return f"{number} scheduled job" in self.lines("followed")

    def _kill(self, victim: Victim) -> None:
        """Kill a process, and start the server again if it is that; all else is started again by it."""
        family = self.server.family()
        if victim is Victim.SERVER:
            was = self.server
            was.kill()
            self.start(was.port, was.shared, keys=was.keys)
        else:
            os.kill(family[victim][0], signal.SIGKILL)
            # Runs end with both. One that has not yet would be told what is not for it any more.
            eventually(lambda: all(map(has_gone, family.get("run", ()))))
        (self.folder / until(victim)).touch()

    # What comes of it

    def _are_over(self, rows: Mapping[str, Row]) -> bool:
        """Say whether these have ended, as they may or not."""
        runs = {number: row for number, row in rows.items() if row.way not in IN_PREFECT}
        # All of Prefect is not asked for each time.
        return self._have_ended(runs) and self._have_ended(rows)

    def _have_ended(self, rows: Mapping[str, Row]) -> bool:
        told = self.outcomes(rows)
        return all(told[number] in row.ends or FINAL.fullmatch(told[number][0]) for number, row in rows.items())

    def outcomes(self, rows: Mapping[str, Row]) -> dict[str, Outcome]:
        """Return how each of these stands, and how often it has executed."""
        with self.server.client() as admin:
            results = self.results(admin)
            seen = seen_in_prefect(admin) if IN_PREFECT & {row.way for row in rows.values()} else {}

        def stands(number: str, row: Row) -> str:
            made = self.made[number]["id"]
            if row.way in IN_PREFECT:
                return seen.get(made[:8], "gone")
            return ", ".join(result["status"]["value"] for result in results.get(made, []))

        return {
            number: (stands(number, row) if self._have_met({number: row}) else "not met", len(self.lines(number)))
            for number, row in rows.items()
        }

    def results(self, admin: httpx.Client) -> dict[str, list[Shape]]:
        """Return all job results, by the id of what was asked."""
        found: dict[str, list[Shape]] = {}
        for row in accepted(lambda: admin.get(RESULTS, params={"limit": 1000})).json()["results"]:
            found.setdefault((row["scheduled_job"] or row)["id"], []).append(row)
        return found

    def calls_about(self, row: Row) -> set[str]:
        """Return the calls about what was asked."""
        number = str(ROWS.index(row))
        return {line.partition(" ")[2] for line in self.lines("calls") if line.startswith(f"{number} ")}


def numbered() -> Iterator[tuple[str, Row]]:
    """Yield each row with its number, which names its file."""
    return ((str(number), row) for number, row in enumerate(ROWS))


def planned(number: str, row: Row, call: str, fault: Fault) -> Shape:
    """Return a fault as ``faulty_up`` reads it."""
    do, times = fault
    about = "" if row.shared else number
    return {
        "call": call,
        "of": name_of(number, call, fault),
        "about": about,
        "do": do,
        "times": times,
        "since": since(number) if row.way in COMES_AFTER else "",
        "until": until(row.victim),
    }


def name_of(number: str, call: str, fault: Fault) -> str:
    return f"{number} {call}: {fault}"


def since(number: str) -> str:
    return f"{number} is followed"


def until(victim: Victim) -> str:
    return f"the {victim} is killed"


def accepted(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until it is accepted: there may be no worker yet, Prefect may not answer, or a time has passed meanwhile."""

    def asked() -> httpx.Response | None:
        answer = ask()
        return None if answer.status_code == 503 or "equal to the current date" in answer.text else answer

    return eventually(asked, every=0.5).raise_for_status()


def listed(admin: httpx.Client, kind: str, body: Shape) -> list[Shape]:
    """Return what there is of a kind in Prefect."""
    found: list[Shape] = accepted(lambda: admin.post(f"/api/{kind}/filter", json={**body, "limit": 200})).json()
    return found


def seen_in_prefect(admin: httpx.Client) -> dict[str, str]:
    """Return how schedules and requests stand there, by the beginning of their ids."""
    deployments = listed(admin, "deployments", {})
    asking = listed(admin, "flow_runs", {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}})
    # The name of a deployment ends with the beginning of the id of what it was made for.
    active = {row["name"][-9:-1]: [each["active"] for each in row["schedules"]] for row in deployments}
    return {
        **{made: "there" if schedules == [True] else "switched off" for made, schedules in active.items()},
        **{row["idempotency_key"].removeprefix(KEY)[:8]: "there" for row in asking},
    }


def has_gone(pid: int) -> bool:
    """Say whether nothing is left of a process, or only its status; each of its threads may still have its sockets."""
    try:
        state = stat_of(pid)
        return state[0] == "Z" and int(state[17]) <= 1
    except OSError:
        return True


@pytest.fixture(scope="module")
def played(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Mapping[str, Stage]]:
    """Two servers, by their databases, after all of the table was played."""
    with ExitStack() as stack, ThreadPoolExecutor(len(DATABASES)) as pool:
        stages = {database: Stage(tmp_path_factory.mktemp(database)) for database in DATABASES}

        def play(stage: Stage, databases: Mapping[str, str]) -> None:
            stage.plan()
            stage.start(free_port(), databases)
            # It may be another server by then.
            stack.callback(lambda: stage.server.kill_all())
            stage.play()

        list(pool.map(play, stages.values(), ({}, stack.enter_context(postgresql.of_a_server()))))
        yield stages


@pytest.mark.parametrize(("number", "row"), [pytest.param(number, row, id=row.name) for number, row in numbered()])
@pytest.mark.parametrize("database", DATABASES)
def test_what_was_accepted_ends_as_it_may(played: Mapping[str, Stage], database: str, number: str, row: Row) -> None:
    assert played[database].told[number] in row.ends


@pytest.mark.skipif(PART is not None, reason="a part of the table does not have all of them")
@pytest.mark.parametrize("database", DATABASES)
def test_each_call_of_a_run_its_worker_and_its_server_has_its_rows(played: Mapping[str, Stage], database: str) -> None:
    of_runs = {call for call, *_ in STEPS.values()}
    known = {*of_runs, *SHARED, *FIRST, *AGAIN, WATCHES}.union(*(calls for _, calls in FOLLOWED.values()))
    for way, (_, calls) in FOLLOWED.items():
        about = played[database].calls_about(unanswered(way))
        assert {*calls} <= about, way
        # How the end of a process is told depends on who notices it first.
        assert about <= known or way is Way.LOST, way
    assert of_runs <= played[database].calls_about(unanswered(Way.NOW))


@pytest.mark.parametrize("database", DATABASES)
def test_each_firing_has_one_record_and_executes_at_most_once(played: Mapping[str, Stage], database: str) -> None:
    stage, now = played[database], datetime.now(UTC)
    made = stage.made[EACH_MINUTE]
    first = datetime.fromisoformat(made["start_time"])
    due = {first + timedelta(minutes=number) for number in range((now - first) // timedelta(minutes=1) + 1)}

    def recorded() -> list[Shape]:
        with stage.server.client() as admin:
            return stage.results(admin).get(made["id"], [])

    def times() -> list[datetime]:
        return [datetime.fromisoformat(result["nominal_time"]) for result in recorded()]

    eventually(lambda: due <= {*times()}, every=0.5)
    assert len(times()) == len({*times()})
    executed = [line.split()[-1] for line in stage.lines(EACH_MINUTE)]
    assert len(executed) == len({*executed})
    assert {result["id"] for result in recorded() if result["status"]["value"] == "SUCCESS"} <= {*executed}
