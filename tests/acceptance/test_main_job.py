"""The main job, end to end on a real server: a Job runs now, later, and on every interval, once each and as requested.

Everything is asked for at the beginning and looked at later, so that the waits are one wait.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.people import RESULTS, People, unique
from tests.live import Live, eventually

pytestmark = pytest.mark.slow

PUNCTUAL = timedelta(seconds=45)
"""How late a run may start: its process is started anew, on a machine that may be busy with other tests."""

Shape = Mapping[str, Any]


def request(client: httpx.Client, job: str, *, queue: str | None = None, when: Any = None, **data: Any) -> Shape:
    body = {"data": data, "schedule": when, "task_queue": queue}
    answer = client.post(f"/api/extras/jobs/{job}/run/", json=body)
    assert answer.status_code == 201, answer.text
    made: Shape = answer.json()["scheduled_job"] or answer.json()["job_result"]
    return made


def finished(client: httpx.Client, result: Shape) -> Shape:
    """Wait for the end of a run, and return its job result."""
    return eventually(lambda: (r := client.get(result["url"]).json())["date_done"] and r)


def fired(client: httpx.Client, scheduled: Shape, times: int) -> list[Shape]:
    """Wait until a scheduled job has run so often, and return its job results, the oldest first."""

    def results() -> list[Shape]:
        rows = client.get(RESULTS, params={"limit": 1000}).json()["results"]
        ours = [row for row in rows if row["scheduled_job"] and row["scheduled_job"]["id"] == scheduled["id"]]
        done = [row for row in ours if row["date_done"]]
        return done[::-1] if len(done) >= times else []

    return eventually(results, every=0.5)


def of_run(client: httpx.Client, run: Shape) -> list[Shape]:
    """Return the job results of a run of Prefect's: one, or none."""
    found: list[Shape] = client.get(RESULTS, params={"flow_run_id": run["id"]}).json()["results"]
    return found


def logs(client: httpx.Client, result: Shape, level: str, message: str) -> bool:
    """Wait for a line of a run's log; it arrives in Prefect a little after the run is over."""

    def told() -> bool:
        return (level, message) in [(line["log_level"], line["message"]) for line in client.get(address).json()]

    address = f"{result['url']}logs/"
    return eventually(told)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def flow_run(client: httpx.Client, run_id: str) -> Shape:
    found: Shape = client.get(f"/api/flow_runs/{run_id}").json()
    return found


def tell_prefect(client: httpx.Client, method: str, path: str, body: Any) -> httpx.Response:
    """Change something in Prefect; on SQLite it is busy at times, and wants to be asked again."""

    def asked() -> httpx.Response | None:
        answer = client.request(method, f"/api/{path}", json=body)
        return None if answer.status_code == 503 else answer.raise_for_status()

    return eventually(asked)


def start_in_prefect(client: httpx.Client, flow: str, parameters: Any) -> Shape:
    """Start a Job's deployment as somebody does who goes around us."""
    deployment = client.get(f"/api/deployments/name/{flow}/default").json()
    path = f"deployments/{deployment['id']}/create_flow_run/bulk"

    def made() -> Any:
        # That its database is busy Prefect tells here as a run that it did not make.
        [one] = tell_prefect(client, "POST", path, [{"parameters": parameters}]).json()["results"]
        return one["flow_run_id"]

    return flow_run(client, eventually(made))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds_ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# Asked for first, since it takes longest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executions")


@pytest.fixture(scope="module", autouse=True)
def timed(admin: httpx.Client, folder: Path) -> dict[str, Shape]:
    """What is to run later."""

    def later(name: str, **when: Any) -> Shape:
        return request(admin, "Greet", when={"name": unique(name), **when}, file=str(folder / name))

    return {
        "each minute": later("each minute", interval="custom", crontab="* * * * *"),
        "soon": later("soon", interval="future", start_time=seconds_ahead(20)),
        "in a minute": later("in a minute", interval="future", start_time=seconds_ahead(60)),
        "tampered": later("tampered", interval="future", start_time=seconds_ahead(20)),
    }


@pytest.fixture(scope="module", autouse=True)
def tampered(admin: httpx.Client, timed: dict[str, Shape]) -> Shape:
    """The run of a one-off whose parameters somebody changed in Prefect."""
    name = {"flow_runs": {"name": {"any_": [timed["tampered"]["name"]]}}}
    (run,) = eventually(lambda: admin.post("/api/flow_runs/filter", json=name).json())
    changed = {"parameters": {**run["parameters"], "who": "Mallory"}}
    tell_prefect(admin, "PATCH", f"flow_runs/{run['id']}", changed)
    found: Shape = run
    return found


# Now


def test_a_job_runs_now_and_its_result_and_log_come_back(admin: httpx.Client) -> None:
    result = finished(admin, request(admin, "Greet", who="Ada"))
    assert (result["status"]["value"], result["result"]["greeted"]) == ("SUCCESS", "Ada")
    assert result["result"]["as"] == "admin"
    assert logs(admin, result, "info", "Hello Ada")
    assert logs(admin, result, "success", "Greeted 1 times")


def test_a_form_runs_a_job(admin: httpx.Client) -> None:
    answer = admin.post("/api/extras/jobs/Greet/run/", files={"who": (None, "Grace"), "count": (None, "2")})
    assert answer.status_code == 201, answer.text
    result = finished(admin, answer.json()["job_result"])
    assert result["result"] == {"greeted": "Grace", "count": 2, "as": "admin"}


def test_a_run_on_another_queue_of_its_job_is_executed(admin: httpx.Client) -> None:
    result = finished(admin, request(admin, "Greet", queue="bulk"))
    assert result["status"]["value"] == "SUCCESS"
    assert flow_run(admin, result["flow_run_id"])["work_queue_name"] == "bulk"


def test_a_job_that_raises_is_a_failure_with_its_traceback(admin: httpx.Client) -> None:
    result = finished(admin, request(admin, "Break"))
    assert result["status"]["value"] == "FAILURE"
    assert result["traceback"].splitlines()[-1] == "ValueError: broken on purpose"
    assert "jobs_for_tests.py" in result["traceback"]
    described = {"exc_type": "ValueError", "exc_module": "builtins", "exc_message": ["broken on purpose"]}
    assert result["result"] == described
    assert logs(admin, result, "info", "Job completed")
    lines = [(line["grouping"], line["message"]) for line in admin.get(f"{result['url']}logs/").json()]
    said = [("run", "ValueError: broken on purpose")]
    assert lines == [("initialization", "Running job"), *said, ("post_run", "Job completed")]


def test_a_job_that_complains_goes_on_and_is_a_failure(admin: httpx.Client) -> None:
    result = finished(admin, request(admin, "Complain"))
    assert (result["status"]["value"], result["result"], result["traceback"]) == ("FAILURE", "went on", None)
    assert logs(admin, result, "failure", "something was wrong with it")
    assert eventually(lambda: flow_run(admin, result["flow_run_id"])["state_name"] == "Failed")


def test_a_soft_time_limit_can_be_caught_and_the_hard_one_ends_the_job(admin: httpx.Client) -> None:
    result = finished(admin, request(admin, "Linger"))
    assert result["status"]["value"] == "FAILURE"
    assert result["traceback"].splitlines()[-1].endswith("The job has run longer than its time limit of 3 s.")
    assert logs(admin, result, "warning", "caught The job has run longer than its soft time limit of 1 s.")
    took = moment(result["date_done"]) - moment(result["date_started"])
    assert timedelta(seconds=3) <= took < timedelta(seconds=20)


def test_of_a_singleton_one_run_goes_at_a_time(admin: httpx.Client) -> None:
    both = [request(admin, "Alone"), request(admin, "Alone")]
    results = [finished(admin, each) for each in both]
    assert sorted(result["status"]["value"] for result in results) == ["FAILURE", "SUCCESS"]
    (refused,) = (result for result in results if result["status"]["value"] == "FAILURE")
    assert refused["traceback"] == "This job is a singleton and another run of it is under way."


def test_runs_that_queue_go_one_after_the_other(admin: httpx.Client) -> None:
    both = [request(admin, "In turn"), request(admin, "In turn")]
    first, second = sorted((finished(admin, each) for each in both), key=lambda each: moment(each["date_started"]))
    assert [each["status"]["value"] for each in (first, second)] == ["SUCCESS", "SUCCESS"]
    assert moment(first["date_done"]) <= moment(second["date_started"])


def test_sensitive_inputs_are_used_and_shown_nowhere(admin: httpx.Client) -> None:
    result = finished(admin, request(admin, "Keep a secret", password="hunter2"))
    assert (result["status"]["value"], result["result"]) == ("SUCCESS", 7)
    assert "hunter2" not in str(result)
    assert "hunter2" not in str(flow_run(admin, result["flow_run_id"]))
    assert flow_run(admin, result["flow_run_id"])["parameters"] == {}


def test_a_job_that_needs_approval_waits_and_nothing_runs(admin: httpx.Client) -> None:
    waiting = request(admin, "Guarded")
    assert (waiting["approval_required"], waiting["approved_at"]) == (True, None)
    dry = finished(admin, request(admin, "Guarded", dryrun=True))
    assert dry["result"] == "planned"
    # Whatever would have run has had the time of a whole run to do so.
    rows = admin.get(RESULTS, params={"name": "Guarded"}).json()["results"]
    assert [row["id"] for row in rows if row["scheduled_job"]] == []
    admin.delete(waiting["url"]).raise_for_status()


def test_a_file_is_requested_approved_given_to_the_run_and_comes_back(
    live: Live, admin: httpx.Client, people: People
) -> None:
    sent = {"file": ("greeting.txt", b"Hello")}
    waiting = admin.post("/api/extras/jobs/Read a file/run/", files=sent).json()["scheduled_job"]
    with live.client(people.add(superuser=True)) as bob:
        assert bob.post(f"{waiting['url']}approve/").status_code == 200
        (result,) = fired(admin, waiting, 1)
        assert result["result"] == {"name": "greeting.txt", "size": 5, "text": "Hello"}, result["traceback"]
        (file,) = result["files"]
        assert (file["name"], bob.get(file["download_url"]).content) == ("copy of greeting.txt", b"Hello")


# Around us


def test_an_event_starts_a_receiver_and_nobody_stands_behind_the_run(admin: httpx.Client) -> None:
    run = start_in_prefect(admin, "React", {"event": {"resource": "a-switch"}})
    (result,) = eventually(lambda: of_run(admin, run))
    result = finished(admin, result)
    assert (result["status"]["value"], result["user"]) == ("SUCCESS", None)
    assert result["result"] == {"reacted to": {"resource": "a-switch"}}


EVENT = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.model_dump_json() }}"},
}
"""How an automation of Prefect hands on the event that triggered it."""


def test_an_automation_of_prefect_starts_a_receiver_with_its_event(admin: httpx.Client) -> None:
    asked = {"flows": {"name": {"any_": ["React"]}}}
    (deployment,) = admin.post("/api/deployments/filter", json=asked).json()
    resource = f"switch.{uuid4()}"
    trigger = {"type": "event", "posture": "Reactive", "threshold": 1, "within": 0, "expect": ["switch.changed"]}
    action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment["id"]}
    automation = {
        "name": resource,
        "trigger": trigger | {"match": {"prefect.resource.id": resource}},
        "actions": [action | {"parameters": {"event": EVENT}}],
    }
    made = tell_prefect(admin, "POST", "automations/", automation)
    assert made.status_code == 201, made.text
    happened = {"occurred": datetime.now(UTC).isoformat(), "event": "switch.changed", "id": str(uuid4())}
    happened |= {"resource": {"prefect.resource.id": resource}, "payload": {"port": 7}}
    # The automation is read by Prefect's trigger service a moment after it was made.
    time.sleep(2)
    tell_prefect(admin, "POST", "events", [happened])

    def reaction() -> Shape | None:
        rows = admin.get(RESULTS, params={"name": "React"}).json()["results"]
        reacted = [row for row in rows if row["date_done"] and resource in str(row["result"])]
        return reacted[0] if reacted else None

    result = eventually(reaction, every=0.5)
    assert (result["status"]["value"], result["user"]) == ("SUCCESS", None)
    assert result["result"]["reacted to"]["payload"] == {"port": 7}
    tell_prefect(admin, "DELETE", f"automations/{made.json()['id']}", None)


def test_a_run_that_was_started_in_prefect_does_not_execute(admin: httpx.Client, folder: Path) -> None:
    run = start_in_prefect(admin, "Greet", {"file": str(folder / "by hand")})
    state = eventually(lambda: (r := flow_run(admin, run["id"]))["state_type"] == "FAILED" and r["state"])
    assert state["name"] == "Failed"
    assert state["message"].startswith("Refused: This run was not requested through signoff")
    assert "refused" in flow_run(admin, run["id"])["tags"]
    assert lines(folder / "by hand") == []
    assert of_run(admin, run) == []


def test_a_run_that_is_retried_in_prefect_does_not_execute_again(admin: httpx.Client, folder: Path) -> None:
    result = finished(admin, request(admin, "Greet", file=str(folder / "retried")))
    eventually(lambda: flow_run(admin, result["flow_run_id"])["state_type"] == "COMPLETED")
    retry = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    assert (
        tell_prefect(admin, "POST", f"flow_runs/{result['flow_run_id']}/set_state", retry).json()["status"] == "ACCEPT"
    )
    eventually(lambda: flow_run(admin, result["flow_run_id"])["state_name"] == "Failed")
    assert len(lines(folder / "retried")) == 1
    assert admin.get(result["url"]).json()["status"]["value"] == "SUCCESS"


def test_a_run_whose_parameters_were_changed_in_prefect_does_not_execute(
    admin: httpx.Client, timed: dict[str, Shape], tampered: Shape, folder: Path
) -> None:
    run = eventually(lambda: (r := flow_run(admin, tampered["id"]))["state_type"] == "FAILED" and r)
    assert run["state"]["name"] == "Failed"
    assert run["state"]["message"].startswith(
        "Refused: The parameters of this run, or its job variables, were changed in Prefect"
    )
    assert lines(folder / "tampered") == []
    # As the run has ended without having been let go, the sweep records that.
    (result,) = fired(admin, timed["tampered"], 1)
    assert result["status"]["value"] == "FAILURE"
    assert "were changed in Prefect" in result["traceback"]


# Later


@pytest.mark.parametrize("name", ["soon", "in a minute"])
def test_a_future_run_starts_at_its_time_and_once(
    admin: httpx.Client, timed: dict[str, Shape], folder: Path, name: str
) -> None:
    scheduled = timed[name]
    (result,) = fired(admin, scheduled, 1)
    late = moment(result["date_started"]) - moment(scheduled["start_time"])
    assert timedelta(0) <= late <= PUNCTUAL
    assert result["status"]["value"] == "SUCCESS"
    assert len(lines(folder / name)) == 1
    after = admin.get(scheduled["url"]).json()
    assert (after["enabled"], after["total_run_count"]) == (False, 1)
    assert after["last_run_at"] is not None


def test_a_schedule_fires_at_each_of_its_times_and_counts(
    admin: httpx.Client, timed: dict[str, Shape], folder: Path
) -> None:
    scheduled = timed["each minute"]
    results = fired(admin, scheduled, 2)
    starts = [moment(result["date_started"]) for result in results]
    assert {result["status"]["value"] for result in results} == {"SUCCESS"}
    assert all(start - start.replace(second=0, microsecond=0) <= PUNCTUAL for start in starts)
    minutes = [start.replace(second=0, microsecond=0) for start in starts]
    assert minutes == [minutes[0] + timedelta(minutes=n) for n in range(len(minutes))]
    after = admin.get(scheduled["url"]).json()
    assert (after["enabled"], after["total_run_count"]) == (True, len(lines(folder / "each minute")))
    assert moment(after["last_run_at"]) >= starts[-1] - PUNCTUAL
    assert admin.delete(scheduled["url"]).status_code == 204


def test_all_of_this_ran_as_the_one_who_asked(folder: Path) -> None:
    executed = [line for file in folder.iterdir() for line in lines(file)]
    assert {line.split()[0] for line in executed} == {"admin"}
    assert len({line.split()[1] for line in executed}) == len(executed)
