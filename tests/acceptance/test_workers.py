"""One contract for all ways to start runs: in forked children, each in a process from nothing, and as another user.

A server of its own has no worker; they are started by hand, each for one queue, and the warm one in another work pool
than that of the server. Everything is asked of all at the beginning and looked at later, so that the waits are one
wait. What a run does within its process is asked of the warm way alone, and of Prefect's own worker. That another user
is refused without root is tested with the command.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_shim.services.run_credentials import NOT_FOR_RUNS
from api_shim.settings import Settings
from approval_gate.admission import LEASE
from approval_gate.policy import OWN_REQUEST
from tests.acceptance.asking import ended, keep_secret
from tests.acceptance.people import RESULTS, SCHEDULES
from tests.conftest import Nobody
from tests.databases import store_of
from tests.factories import administering
from tests.live import JOBS, PATIENCE, Live, environment, eventually, start, stat_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc"),
]

NOBODY = ("nobody",) if os.geteuid() == 0 else ()
"""Where there can be another user: the warm way, with Jobs as that one."""
WAYS = ("warm", "process", *NOBODY)
LOADING = ("warm", "process")
"""The ways that load code differently; what has another user loads it as the warm way does."""
KILLED = ["Process exited with status code: -9", "The process that executed this run has gone."]
"""Whoever notices first tells: the worker, or the loop that looks after runs."""

CHANGING = """
from flows import Job, register_jobs

class Changing(Job):
    class Meta:
        name = "Changing"
        has_sensitive_variables = False
        job_queues = ("warm", "process", "nobody")

    def run(self):
        return {value}

register_jobs(Changing)
"""

CALLING = """
import beside
from flows import Job, register_jobs

class Calling(Job):
    class Meta:
        name = "Calling"
        approval_required = True
        has_sensitive_variables = False
        job_queues = ("warm", "process", "nobody")

    def run(self):
        return beside.value

register_jobs(Calling)
"""
MODULES = "jobs_for_workers,changing,calling"
ELSEWHERE = "elsewhere"
POOLS = {"warm": ELSEWHERE, "process": "signoff", "nobody": "signoff"}
"""The work pools of the queues; the Jobs have theirs in both."""

Shape = Mapping[str, Any]


@dataclass
class Workers:
    """A server, a worker of each kind, and what was asked of each.

    Args:
        server: it.
        folder: of the code of Jobs, and of their files.
        admin: asks it.
        nobody: the other user; None where there can be none.
        processes: the workers, by their way.
        results: what was asked, by way and name.
    """

    server: Live
    folder: Path
    admin: httpx.Client
    nobody: Nobody | None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    results: dict[tuple[str, str], Shape] = field(default_factory=dict)

    def start(self, way: str) -> None:
        """Start a worker that serves the queue of its name."""
        prefect = {
            "PREFECT_API_URL": f"{self.server.origin}/api",
            "PREFECT_API_AUTH_STRING": f"signoff-worker:{(self.server.home / 'worker.key').read_text()}",
            "PREFECT_HOME": str(self.server.home / "prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "SIGNOFF_JOBS": MODULES,
            "SIGNOFF_HOME": str(self.server.home),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self.folder), os.environ.get("PYTHONPATH")))),
        }
        if POOLS[way] == ELSEWHERE:
            prefect["PREFECT_API_AUTH_STRING"] = f"far:{self.server.key('far')}"
        python = sys.executable
        if way == "nobody":
            assert self.nobody is not None
            python = self.nobody.python
            path = os.pathsep.join((str(self.folder), self.nobody.path))
            prefect |= {"SIGNOFF_JOBS_USER": self.nobody.name, "PYTHONPATH": path}
        command = [python, "-m", "api_shim.cli", "worker", "--pool", POOLS[way], "--queue", way]
        command += ["--way", "process" if way == "process" else "warm"]
        self.processes[way] = subprocess.Popen(command, cwd=JOBS, env=environment(**prefect))

    def ask(self, way: str, job: str, when: Any = None, **data: Any) -> Shape:
        """Ask for a run, as soon as there is a worker."""
        body = {"data": data, "schedule": when, "task_queue": way}

        def asked() -> httpx.Response | None:
            # On a connection of its own: one that was left for long may be closed by now.
            with self.server.client() as client:
                answer = client.post(f"/api/extras/jobs/{job}/run/", json=body)
            return None if answer.status_code == 503 else answer

        answer = eventually(asked, every=0.5)
        assert answer.status_code == 201, answer.text
        made: Shape = answer.json()["scheduled_job"] or answer.json()["job_result"]
        return made

    def over(self, way: str, name: str) -> Shape:
        """Wait for the end of what was asked for, and return its job result."""
        made = self.results[way, name]
        return eventually(lambda: ended(self.admin, made), every=0.3)

    def file(self, way: str, name: str) -> Path:
        return self.folder / "files" / f"{way}-{name}"

    def begun(self, way: str, name: str) -> list[int]:
        """Wait until a run has written the ids of its processes."""
        file = self.file(way, name)
        eventually(lambda: file.exists() and file.read_text().endswith("\n"))
        return [int(word) for word in file.read_text().split()]


def lives(pid: int) -> bool:
    """Say whether a process is there, and no zombie."""
    try:
        return stat_of(pid)[0] != "Z"
    except OSError:
        return False


def soon(seconds: float, name: str) -> Shape:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"interval": "future", "name": name, "start_time": at.isoformat()}


@pytest.fixture(scope="module")
def workers(open_folder: Path, free_port: Callable[[], int], request: pytest.FixtureRequest) -> Iterator[Workers]:
    """All workers, and what was asked of them."""
    folder = open_folder / "workers"
    folder.mkdir(mode=0o755)
    (folder / "files").mkdir()
    # Everybody's Jobs write there.
    (folder / "files").chmod(0o777)
    (folder / "changing.py").write_text(CHANGING.format(value=1))
    (folder / "calling.py").write_text(CALLING)
    (folder / "beside.py").write_text("value = 1")
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    server = start(folder / "home", free_port(), "--worker", "none", SIGNOFF_JOBS=MODULES, PYTHONPATH=path)
    with server.client() as admin:
        made = Workers(server, folder, admin, request.getfixturevalue("nobody") if NOBODY else None)
        try:
            make_pool(made)
            keep_secret(admin, "door", "sesame")
            for way in WAYS:
                made.start(way)
            for way in WAYS:
                ask_everything(made, way)
            yield made
        finally:
            for process in made.processes.values():
                process.kill()
                process.wait()
            server.stop()


def make_pool(made: Workers) -> None:
    """Make the work pool that is not the server's, give it its queue, and let an account execute its runs."""
    template = eventually(lambda: made.admin.get("/api/work_pools/signoff").json().get("base_job_template"))
    pool = {"name": ELSEWHERE, "type": "process", "base_job_template": template}
    made.admin.post("/api/work_pools/", json=pool).raise_for_status()
    made.admin.patch("/api/extras/job-queues/warm/", json={"pool": ELSEWHERE}).raise_for_status()
    made.server.key("far")
    with closing(store_of(made.server.home)) as store:
        administering(store).make_worker("far", ELSEWHERE, datetime.now(UTC))


def ask_everything(made: Workers, way: str) -> None:
    made.results[way, "suspends"] = made.ask(
        way, "Suspends", soon(5, f"{way} suspends"), file=str(made.file(way, "suspends"))
    )
    made.results[way, "pauses"] = made.ask(way, "Pauses", file=str(made.file(way, "pauses")))
    within = ("Slow", "Tired", "Raise", "Flows", "Talk", "Lives", "Knocks") if way == "warm" else ()
    for job in ("Deaf", "Surroundings", *within):
        made.results[way, job] = made.ask(way, job)
    if way in LOADING:
        made.results[way, "Changing"] = made.ask(way, "Changing")
    if way != "process":
        made.results[way, "Isolated"] = made.ask(way, "Isolated")
        made.results[way, "Again"] = made.ask(way, "Surroundings")
        made.results[way, "leaving"] = made.ask(way, "Start", file=str(made.file(way, "leaving")), seconds=0)
    for name in ("cancelled", "killed"):
        made.results[way, name] = made.ask(way, "Start", file=str(made.file(way, name)), seconds=600)
    made.results[way, "held"] = made.ask(way, "Asked", soon(5, f"{way} held"), file=str(made.file(way, "held")))
    if way == "warm":
        made.results[way, "waits"] = made.ask(way, "Noted", soon(20, f"{way} waits"), file=str(made.file(way, "waits")))
        start_now(made.admin, f"{way} waits")
        made.results[way, "Asks"] = made.ask(way, "Asks", file=str(made.file(way, "asks")))


def status(result: Shape) -> str:
    return str(result["status"]["value"])


each = pytest.mark.parametrize("way", WAYS)
forking = pytest.mark.parametrize("way", ["warm", *NOBODY])


# How runs end


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Raise", "ValueError: broken on purpose"),
        ("Tired", "SoftTimeLimitExceeded: The job has run longer than its soft time limit of 1 s."),
        ("Slow", "TimeLimitExceeded: The job has run longer than its time limit of 1 s."),
    ],
)
def test_runs_end_as_they_should(workers: Workers, name: str, says: str) -> None:
    result = workers.over("warm", name)
    assert status(result) == "FAILURE"
    assert says in result["traceback"]


@each
def test_a_run_that_does_not_end_when_its_time_is_over_is_killed(workers: Workers, way: str) -> None:
    result = workers.over(way, "Deaf")
    assert status(result) == "FAILURE"
    assert any(sentence in result["traceback"] for sentence in KILLED)


@pytest.mark.parametrize("way", ["warm"])
def test_flows_within_a_job_run_also_at_once(workers: Workers, way: str) -> None:
    result = workers.over(way, "Flows")
    assert (status(result), result["result"]) == ("SUCCESS", [2, 12])
    # Prefect records task runs from the events that the run has sent.
    asked = {"flow_runs": {"parent_flow_run_id": {"any_": [result["flow_run_id"]]}}}

    def recorded() -> bool:
        rows = workers.admin.post("/api/task_runs/filter", json=asked).json()
        # One that Prefect has just heard of has no state yet.
        return [row["state"] and row["state"]["type"] for row in rows] == ["COMPLETED"] * 4

    eventually(recorded)


def logged(workers: Workers, way: str, name: str) -> list[Shape]:
    lines = workers.admin.get(f"{workers.results[way, name]['url']}logs/", params={"limit": 1000}).json()
    return list(lines["results"] if isinstance(lines, dict) else lines)


@pytest.mark.parametrize("way", ["warm"])
def test_what_a_job_defines_around_its_run_is_called_and_told(workers: Workers, way: str) -> None:
    result = workers.over(way, "Lives")
    assert (status(result), result["result"]) == ("SUCCESS", {"counted": 3, "by": "admin"})
    told = ("before", "kept", "told", "succeeded", "returned")
    lines = [line for line in logged(workers, way, "Lives") if line["message"].startswith(told)]
    assert [(line["grouping"], line["log_level"], line["message"]) for line in lines] == [
        ("run", "debug", "before True"),
        ("run", "info", "told by print"),
        ("jobs_for_workers.helpers", "info", "told by a logger of the package"),
        ("afterwards", "success", "succeeded with 3"),
        ("afterwards", "info", "returned SUCCESS"),
    ]
    about = [(line["log_object"], line["absolute_url"]) for line in lines]
    assert about == [*[("", "")] * 3, ("Lives", "/about/this/job/"), ("", "")]
    asked = {"job_result": result["id"], "log_object": "Lives", "grouping": "afterwards"}
    found = workers.admin.get("/api/extras/job-logs/", params=asked).json()["results"]
    assert [line["message"] for line in found] == ["succeeded with 3"]


def test_a_job_requests_others_as_its_user_and_decides_nothing(workers: Workers) -> None:
    result = workers.over("warm", "Asks")
    assert status(result) == "SUCCESS", result["traceback"]
    found = result["result"]
    assert (found["from"], found["noted"]) == ([True, True], "SUCCESS")
    assert found["refused"] == [NOT_FOR_RUNS, NOT_FOR_RUNS]
    assert found["ran"] == ["by a run", ["inner", "signoff"], "Completed"]
    assert found["waits"] == "Suspended"
    assert workers.file("warm", "asks").read_text() == "ran\n" * 2, "what needs approval has not run"
    asked = {"requested_from": result["id"]}
    rows = workers.admin.get(SCHEDULES, params=asked).json()["results"]
    assert [row["approval_state"] for row in rows] == ["pending", "pending"]
    assert found["held"] in {row["id"] for row in rows}
    for row in rows:
        answer = workers.admin.post(f"{row['url']}approve/")
        assert (answer.status_code, answer.json()["detail"]) == (403, OWN_REQUEST)
        workers.admin.delete(row["url"])


def test_a_job_reads_the_secrets_that_prefect_keeps(workers: Workers) -> None:
    result = workers.over("warm", "Knocks")
    missing = "There is no secret called 'window': Prefect has no Secret block of that name."
    assert (status(result), result["result"]) == ("SUCCESS", ["sesame", missing]), result["traceback"]


@pytest.mark.parametrize("way", ["warm"])
def test_the_log_is_complete_when_the_run_is_over(workers: Workers, way: str) -> None:
    talk = workers.over(way, "Talk")
    said = [line["message"] for line in logged(workers, way, "Talk")]
    assert [message for message in said if message.startswith("line ")] == [f"line {n}" for n in range(300)]
    assert (status(talk), talk["result"]) == ("SUCCESS", "said")


# Where runs are


@each
def test_a_run_is_in_the_work_pool_of_its_queue(workers: Workers, way: str) -> None:
    run_id = workers.over(way, "Surroundings")["flow_run_id"]
    run = workers.admin.get(f"/api/flow_runs/{run_id}").json()
    assert (run["work_pool_name"], run["work_queue_name"]) == (POOLS[way], way)


@forking
def test_a_run_has_a_folder_of_its_own_and_leaves_none(workers: Workers, way: str) -> None:
    one, two = (workers.over(way, name)["result"] for name in ("Surroundings", "Again"))
    assert one["files"] == []
    assert one["cwd"] != two["cwd"]
    eventually(lambda: not Path(one["cwd"]).exists() and not Path(two["cwd"]).exists())


def test_runs_do_not_share_their_random_numbers(workers: Workers) -> None:
    one, two = (workers.over("warm", name)["result"] for name in ("Surroundings", "Again"))
    assert one["chance"] != two["chance"]


def test_the_environment_is_the_one_that_prefects_worker_gives(workers: Workers) -> None:
    warm, process, *others = ({*workers.over(way, "Surroundings")["result"]["environment"]} for way in WAYS)
    # Prefect's own worker sets its settings above the environment, with what its profile says of no secret.
    assert warm == process - {"PREFECT_SERVER_EPHEMERAL_ENABLED"} | {LEASE}
    for found in (warm, *others):
        assert not found & {f"SIGNOFF_{name.upper()}" for name in Settings.model_fields}
        assert not {name for name in found if name.startswith("PREFECT_SERVER_")}


@each
def test_runs_are_of_the_user_that_they_are_to_be_of(workers: Workers, way: str) -> None:
    whose = pwd.getpwnam("nobody").pw_uid if way == "nobody" else os.getuid()
    assert workers.over(way, "Surroundings")["result"]["user"] == whose
    # The entry itself is the system's, for what the worker has is to be read by nobody.
    status = Path(f"/proc/{workers.processes[way].pid}/status").read_text()
    assert status.partition("Uid:")[2].split()[0] == str(os.getuid())


def test_the_umask_is_the_workers(workers: Workers) -> None:
    assert len({workers.over(way, "Surroundings")["result"]["umask"] for way in WAYS}) == 1


@forking
def test_a_forked_run_sends_no_heartbeat(workers: Workers, way: str) -> None:
    assert workers.over(way, "Surroundings")["result"]["heartbeat"] is None


@forking
def test_a_run_is_forked_unless_its_job_asks_to_be_isolated(workers: Workers, way: str) -> None:
    assert "api_shim.worker.prefect_zygote" in workers.over(way, "Surroundings")["result"]["program"]
    for found in (workers.over(way, "Isolated"), workers.over("process", "Surroundings")):
        assert "prefect.engine" in " ".join(found["result"]["program"])


@forking
def test_what_a_forked_run_has_started_ends_with_it(workers: Workers, way: str) -> None:
    assert status(workers.over(way, "leaving")) == "SUCCESS"
    _, started = workers.begun(way, "leaving")
    eventually(lambda: not lives(started))


# The gate


@each
def test_a_run_that_nobody_approved_is_held_and_executes_once_when_somebody_has(workers: Workers, way: str) -> None:
    made, file = workers.results[way, "held"], workers.file(way, "held")
    run_id = start_now(workers.admin, f"{way} held")

    def states() -> list[str]:
        rows = workers.admin.get("/api/flow_run_states/", params={"flow_run_id": run_id}).json()
        return [row["name"] for row in sorted(rows, key=lambda row: str(row["timestamp"]))]

    eventually(lambda: "Running" in (told := states()) and told[-1] == "Suspended")
    assert not file.exists()
    with workers.server.client("bob") as bob:
        bob.post(f"{SCHEDULES}{made['id']}/approve/", params={"force": "true"}).raise_for_status()
    assert status(workers.over(way, "held")) == "SUCCESS"
    assert file.read_text() == "ran\n"


def held_by_itself(workers: Workers, made: Shape, state: str) -> Shape:
    """Wait until a run has had itself paused or suspended, and return it as Prefect has it."""

    def found() -> Shape | None:
        by = {"id": made["id"]} if made["object_type"] == "extras.jobresult" else {"scheduled_job": made["id"]}
        rows = workers.admin.get(RESULTS, params=by).json()["results"]
        ids = [row["flow_run_id"] for row in rows if row["flow_run_id"]]
        run: Shape = workers.admin.get(f"/api/flow_runs/{ids[0]}").json() if ids else {}
        return run if run.get("state_name") == state else None

    return eventually(found, every=0.3)


def resumed(client: httpx.Client, run: Shape, **run_input: Any) -> tuple[int, str]:
    answer = client.post(f"/api/flow_runs/{run['id']}/resume", json={"run_input": run_input or None})
    told = answer.json()
    return answer.status_code, str((told.get("details") or {}).get("reason") or told["status"])


@each
def test_a_run_that_suspends_itself_goes_on_when_somebody_says_so_who_may_run_its_job(
    workers: Workers, way: str
) -> None:
    made, file = workers.results[way, "suspends"], workers.file(way, "suspends")
    with workers.server.client("bob") as bob:
        approve = partial(bob.post, f"{SCHEDULES}{made['id']}/approve/", params={"force": "true"})
        eventually(lambda: approve().status_code == 200)
        eventually(file.exists)
        run = held_by_itself(workers, made, "Suspended")
        refused = resumed(bob, run, number="many")
        assert refused[0] == 200
        assert "'many' is not of type 'integer'" in refused[1], "as Prefect checks what the run asks for"
        assert resumed(bob, run, number=7) == (201, "ACCEPT")
    result = workers.over(way, "suspends")
    assert (status(result), result["result"]) == ("SUCCESS", 7), result["traceback"]
    assert file.read_text() == "begun\n" * 2, "as Prefect has it, from the beginning"
    assert "suspended" not in result["meta"]
    scheduled = workers.admin.get(f"{SCHEDULES}{made['id']}/").json()
    assert scheduled["total_run_count"] == 1


@each
def test_a_run_that_pauses_goes_on_in_its_process(workers: Workers, way: str) -> None:
    file = workers.file(way, "pauses")
    result = workers.results[way, "pauses"]
    run = held_by_itself(workers, result, "Paused")
    answer = workers.admin.post(f"{result['url']}resume/", json={})
    assert (answer.status_code, answer.json()["status"]["value"]) == (200, "STARTED"), answer.text
    over = workers.over(way, "pauses")
    assert (status(over), over["flow_run_id"]) == ("SUCCESS", run["id"]), over["traceback"]
    assert file.read_text() == "begun\n"


def test_a_run_that_is_let_loose_too_early_waits_for_its_time(workers: Workers) -> None:
    result = workers.over("warm", "waits")
    assert workers.file("warm", "waits").read_text() == "ran\n"
    at = datetime.fromisoformat(workers.results["warm", "waits"]["start_time"])
    assert result["result"] >= at.timestamp() - 0.5


def start_now(client: httpx.Client, name: str) -> str:
    """Set a run to start at once, past all rules, and return its id."""

    def waiting() -> Any:
        found = client.post("/api/flow_runs/filter", json={"flow_runs": {"name": {"like_": name}}}).json()
        return found and found[0]["state_name"] in {"Suspended", "Scheduled"} and found[0]["id"]

    run_id = eventually(waiting)
    body = {"state": {"type": "SCHEDULED"}, "force": True}
    client.post(f"/api/flow_runs/{run_id}/set_state", json=body).raise_for_status()
    return str(run_id)


# Runs that are ended


@each
def test_a_run_that_is_cancelled_ends_with_what_it_has_started(workers: Workers, way: str) -> None:
    run, started = workers.begun(way, "cancelled")
    workers.admin.post(f"{workers.results[way, 'cancelled']['url']}cancel/").raise_for_status()
    cancelled = workers.over(way, "cancelled")
    assert (status(cancelled), cancelled["traceback"]) == ("REVOKED", "Cancelled by admin.")
    eventually(lambda: not lives(run))
    if way != "process":
        eventually(lambda: not lives(started))


@each
def test_a_run_that_is_killed_is_a_failure_at_once(workers: Workers, way: str) -> None:
    run, _started = workers.begun(way, "killed")
    os.kill(run, signal.SIGKILL)
    result = workers.over(way, "killed")
    assert status(result) == "FAILURE"
    assert any(sentence in result["traceback"] for sentence in KILLED)


@pytest.mark.parametrize("way", LOADING)
def test_code_that_changes_on_disk_is_what_runs_next(workers: Workers, way: str) -> None:
    assert workers.over(way, "Changing")["result"] == 1
    (workers.folder / "changing.py").write_text(CHANGING.format(value=222))
    workers.results[way, "changed"] = workers.ask(way, "Changing")
    try:
        assert workers.over(way, "changed")["result"] == 222
    finally:
        (workers.folder / "changing.py").write_text(CHANGING.format(value=1))


def test_a_module_that_the_job_calls_and_that_is_rewritten_after_the_approval_needs_another(workers: Workers) -> None:
    def row(way: str) -> Shape:
        found: Shape = workers.admin.get(f"{SCHEDULES}{workers.results[way, 'calling']['id']}/").json()
        return found

    def approve(way: str) -> None:
        bob.post(f"{SCHEDULES}{row(way)['id']}/approve/", params={"force": "true"}).raise_for_status()

    with workers.server.client("bob") as bob:
        for way in LOADING:
            workers.results[way, "calling"] = workers.ask(way, "Calling", soon(12, f"{way} calls"))
            approve(way)
        (workers.folder / "beside.py").write_text("value = 22")
        for way in LOADING:
            eventually(lambda way=way: row(way)["approval_state"] == "pending")  # type: ignore[misc]
            assert row(way)["approval_note"] == "The Job's code changed after bob approved it."
            approve(way)
        for way in LOADING:
            assert workers.over(way, "calling")["result"] == 22


# Prefect's own worker, whose runs have the account of the worker


def test_prefects_own_worker_executes_runs_with_an_account_that_is_a_workers_and_nothing_else(
    workers: Workers,
) -> None:
    server, who = workers.server, "stock"
    key = server.key(who)
    assert server.cli("user", "worker", who) == f"{who} can execute runs of the work pool signoff.\n"
    env = environment(
        PREFECT_API_URL=f"{server.origin}/api",
        PREFECT_API_AUTH_STRING=f"{who}:{key}",
        PREFECT_HOME=str(workers.folder / "stock"),
        PREFECT_WORKER_QUERY_SECONDS="1",
        PYTHONPATH=os.pathsep.join(filter(None, (str(workers.folder), str(JOBS), os.environ.get("PYTHONPATH")))),
    )
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "signoff", "--work-queue", "prefects"]
    with subprocess.Popen(command, cwd=JOBS, env=env) as worker:
        try:
            for name in ("Flows", "Talk"):
                workers.results["prefects", name] = workers.ask("prefects", name)
            test_flows_within_a_job_run_also_at_once(workers, "prefects")
            test_the_log_is_complete_when_the_run_is_over(workers, "prefects")
        finally:
            worker.kill()
    events = server.audit()
    assert not [each for each in events if each.act == "request.refused" and each.actor == who]
    [talk] = [each for each in events if each.act == "run.admitted" and each.data.get("asked_by") == who][-1:]
    assert str(talk.flow_run_id) in {workers.over("prefects", name)["flow_run_id"] for name in ("Flows", "Talk")}


# The end of what executes them; last, for they are gone then


def zygote_of(worker: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    return next(int(pid) for pid in children if "prefect_zygote" in Path(f"/proc/{pid}/cmdline").read_text())


@forking
def test_a_fork_server_that_is_killed_fails_its_runs_and_the_next_run_works(workers: Workers, way: str) -> None:
    file = workers.file(way, "with its server")
    workers.results[way, "with its server"] = workers.ask(way, "Start", file=str(file))
    run, started = workers.begun(way, "with its server")
    os.kill(zygote_of(workers.processes[way]), signal.SIGKILL)
    assert status(workers.over(way, "with its server")) == "FAILURE"
    assert not lives(run)
    assert not lives(started)
    workers.results[way, "after it"] = workers.ask(way, "Talk")
    assert status(workers.over(way, "after it")) == "SUCCESS"


@pytest.mark.parametrize(
    ("way", "how"),
    [
        pytest.param("warm", signal.SIGTERM, id="SIGTERM"),
        *(pytest.param(way, signal.SIGKILL, id=f"SIGKILL-{way}") for way in NOBODY),
    ],
)
def test_a_worker_that_goes_leaves_no_run_behind(workers: Workers, how: signal.Signals, way: str) -> None:
    workers.results[way, "left"] = workers.ask(way, "Start", file=str(workers.file(way, "left")))
    run, started = workers.begun(way, "left")
    zygote = zygote_of(workers.processes[way])
    workers.processes[way].send_signal(how)
    workers.processes[way].wait(PATIENCE)
    for pid in (run, started, zygote):
        eventually(lambda pid=pid: not lives(pid))  # type: ignore[misc]
