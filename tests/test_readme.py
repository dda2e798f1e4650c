"""What the README tells people to type works, in the order in which it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from api_shim import Shim
from flows.registry import load
from tests.conftest import lacking
from tests.live import KEY, PATIENCE, environment, eventually

pytestmark = pytest.mark.slow

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(?:bash|python)\n(.*?)```", README, re.DOTALL)
JOB, START, ASK, OBJECTS, FLOW, TRIED, SCHEDULE, OWN, TERMINAL, PYTHON, WORKERS, AUTOMATION, PEOPLE, *REST = BLOCKS
AGENTS, METRICS, TESTS = REST
[ANSWER] = map(json.loads, re.findall(r"```json\n(.*?)```", README, re.DOTALL))
DEFINITIONS = ASK[: ASK.index("; }\n") + 4]
"""What the first lines typed define, and the later ones use."""
INSTALL = re.compile(r"^python3 .* install -e \S+ && ")


class Reader:
    """Somebody who follows the README in a folder of their own.

    Args:
        folder: where they work; the environment that they have installed is the one of the tests.
        port: used instead of the usual one, which may be taken here.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.key = folder, port, ""
        self.keys: dict[str, str] = {}
        self.environment = environment(SIGNOFF_HOME=str(folder / "home"))
        del self.environment["SIGNOFF_JOBS"]

    def command(self, text: str) -> list[str]:
        own = {
            "/tmp/": f"{self.folder}/",
            '"/tmp"': f'"{self.folder}"',
            "4200": str(self.port),
            "signoff up --demo": f"signoff up --demo --port {self.port}",
            **{f"the key that was printed for {who}": key for who, key in self.keys.items()},
            ".venv/bin/": f"{Path(sys.executable).parent}/",
        }
        text = INSTALL.sub("", text)
        for printed, meant in own.items():
            text = text.replace(printed, meant)
        return ["bash", "-euc", text]

    def env(self) -> dict[str, str]:
        return {**self.environment, "SIGNOFF_URL": f"http://127.0.0.1:{self.port}"}

    def types(self, text: str) -> str:
        done = subprocess.run(
            self.command(text), cwd=self.folder, env=self.env(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/extras", headers={"Authorization": f"Token {self.key}"}
        )


class Webhook:
    """Somebody's own service, that is told."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    thread = Thread(target=hook.server.serve_forever)
    thread.start()
    yield hook
    hook.server.shutdown()
    thread.join()
    hook.server.server_close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Reader]:
    """Somebody who has saved the Job and started the server."""
    if shutil.which("curl") is None:
        lacking("curl", "no curl here; the README's commands need it")
    someone = Reader(tmp_path_factory.mktemp("reader"), free_port())
    (someone.folder / "jobs.py").write_text(JOB + FLOW)
    log = someone.folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            someone.command(START),
            cwd=someone.folder,
            env=someone.environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: server.poll() is not None or "alice:" in log.read_text())
        assert server.poll() is None, log.read_text()
        someone.keys = dict(KEY.findall(log.read_text()))
        someone.key = someone.keys["alice"]
        yield someone
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE)


def test_one_command_installs_and_runs_it_and_one_the_tests() -> None:
    run, tests = (INSTALL.sub("", block) for block in (START, TESTS))
    assert run == "SIGNOFF_JOBS=jobs,flows.examples .venv/bin/signoff up --demo\n"
    assert tests == ".venv/bin/pytest\n"


def test_a_job_with_objects_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs_with_objects.py").write_text(OBJECTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("jobs_with_objects.Migrate").definition().name == "Migrate"


def answers(printed: str) -> list[Any]:
    """Return what was printed: each JSON value decoded, and each line between them as text."""
    found: list[Any] = []
    while printed := printed.lstrip():
        if printed.startswith("{"):
            value, end = json.JSONDecoder().raw_decode(printed)
            found.append(value)
            printed = printed[end:]
        else:
            line, _, printed = printed.partition("\n")
            found.append(line)
    return found


def shown(whole: Any, part: Any) -> Any:
    """Return a value with only those keys of its objects that a part of it has."""
    return {name: shown(whole[name], part[name]) for name in part} if isinstance(part, dict) else whole


def test_a_request_is_held_refused_to_its_author_approved_and_finished(reader: Reader) -> None:
    printed = reader.types(ASK)
    assert '\n    "scheduled_job": {\n' in printed, "people can read the answers"
    held, refused, approved, _results = answers(printed)
    assert held["scheduled_job"]["approval_state"] == "pending"
    [said] = re.findall(r"# refused: (.+)$", ASK, re.MULTILINE)
    assert refused == {"detail": said}
    assert approved["approval_comment"] == "maintenance window agreed"
    with reader.client() as client:
        [done] = eventually(lambda: finished(client))
    assert done["status"]["value"] == "SUCCESS"
    assert shown(done, ANSWER) == ANSWER


def test_a_job_is_tried_without_a_server(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(reader.folder))
    monkeypatch.delitem(sys.modules, "jobs", raising=False)
    namespace: dict[str, Any] = {}
    exec(TRIED, namespace)
    namespace["test_a_dry_run_only_counts"](tmp_path)
    assert sys.modules.pop("jobs").largest.fn(str(tmp_path)) == ["app.db"]


def test_a_schedule_is_requested_tried_and_approved(reader: Reader) -> None:
    nightly, queue, tried, approved = answers(reader.types(DEFINITIONS + SCHEDULE))
    assert nightly["scheduled_job"]["time_zone"] == "Europe/Berlin"
    assert [row["name"] for row in queue["results"]] == ["nightly"]
    assert tried["task_kwargs"]["dryrun"] is True
    assert approved["approval_state"] == "approved"
    with reader.client() as client:
        plan, _compacted = eventually(lambda: finished(client)[1:] and finished(client))
        assert (plan["result"]["compacted"], plan["meta"]) == (False, {"children": [], "dry_run": True})
        assert client.get("/scheduled-jobs/").json()["count"] == 2


def test_a_schedule_is_changed_taken_over_and_explained(reader: Reader) -> None:
    changed, taken, refused, told, *would = answers(reader.types(DEFINITIONS + OWN))
    assert changed["approval_note"] == "The schedule changed after bob approved it."
    assert taken["approval_state"] == "pending"
    [said] = re.findall(r"approve/ -X POST +# (.+)$", OWN, re.MULTILINE)
    assert refused == {"detail": said}
    assert told["may"]["approve"] == {"allowed": False, "reason": said}
    assert (told["next_firing"], told["why_not"]) == (None, "The scheduled job has not been approved.")
    assert would[-1].startswith("alice would be removed. 1 scheduled job(s) would have no owner")


def test_a_terminal_and_python_do_the_same(reader: Reader) -> None:
    planned, *more = reader.types(DEFINITIONS + TERMINAL).split("“weekly” waits for approval; scheduled weekly from ")
    assert planned.startswith("Compact: SUCCESS\n")
    assert more[0].count("2030-01-") == 3
    assert "Deleted “weekly”.\n" in more[0]
    assert re.search(r"Compact +SUCCESS", more[0])
    code = PYTHON.replace("/tmp/", f"{reader.folder}/")
    env = {**reader.env(), "SIGNOFF_TOKEN": reader.keys["alice"]}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert " unused pages\n" in done.stdout
    assert done.stdout.endswith("SUCCESS {'unused pages': 0, 'compacted': False}\n")


def test_an_automation_tells_a_webhook(reader: Reader, webhook: Webhook) -> None:
    sign_in = {"PREFECT_API_URL": f"http://127.0.0.1:{reader.port}/api", "PREFECT_HOME": str(reader.folder / "cli")}
    sign_in["PREFECT_API_AUTH_STRING"] = f"admin:{reader.keys['admin']}"
    code = AUTOMATION.replace("http://127.0.0.1:9000/", webhook.url)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment(), **sign_in}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    body = {"data": {"file": "/tmp/app.db"}, "schedule": {"name": "again", "interval": "immediately"}}
    with reader.client() as client:
        assert client.post("/jobs/Compact/run/", json=body).status_code == 201
    assert "alice requests approval of again" in eventually(lambda: webhook.bodies)[0]


def test_ready_made_automations_are_installed_once(reader: Reader, webhook: Webhook) -> None:
    origin, key = f"http://127.0.0.1:{reader.port}", reader.keys["admin"]
    with httpx.Client(base_url=f"{origin}/api", headers={"Authorization": f"Token {key}"}) as client:
        kind = client.get("/block_types/slug/custom-webhook").json()["id"]
        of_kind = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
        schema = client.post("/block_schemas/filter", json=of_kind).json()[0]["id"]
        data = {"url": webhook.url, "json_data": {"text": "{{body}}"}, "name": "us"}
        made = {"name": "ops", "block_type_id": kind, "block_schema_id": schema, "data": data}
        client.post("/block_documents/", json=made).raise_for_status()
        with Shim(origin, key) as shim:
            once, again = (shim.install_automations("custom-webhook/ops") for _ in range(2))
        assert once == again
        client.post("/users/users/", json={"username": "leaver"}).raise_for_status()
        client.delete("/users/users/leaver/").raise_for_status()
    told = eventually(lambda: [body for body in webhook.bodies if "leaver was removed by admin" in body])
    assert len(told) == 1


def finished(client: httpx.Client) -> list[dict[str, Any]]:
    return [row for row in results(client) if row["date_done"]]


def results(client: httpx.Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get("/job-results/").json()["results"]
    return rows


def test_people_get_what_they_are_given_and_no_more(reader: Reader) -> None:
    said = reader.types(PEOPLE)
    (reader.key,) = re.findall(r"^signoff_[0-9A-Za-z]{36}$", said, re.MULTILINE)
    with reader.client() as client:
        assert [job["name"] for job in client.get("/jobs/").json()["results"]] == ["Compact"]
        assert client.post("/jobs/Compact/run/", json={"data": {"file": "/tmp/app.db"}}).status_code == 201
        assert client.get("/scheduled-jobs/").status_code == 403


def test_an_agent_asks_and_decides_nothing(reader: Reader) -> None:
    said = reader.types(AGENTS)
    (reader.key,) = re.findall(r"^signoff_[0-9A-Za-z]{36}$", said, re.MULTILINE)
    with reader.client() as client:
        asked = client.post("/jobs/Compact/run/", json={"data": {"file": "/tmp/app.db"}, "reason": "It has grown."})
        row = asked.json()["scheduled_job"]
        assert (row["approval_state"], row["agent"], row["reason"]) == (
            "pending",
            {"acts_for": "alice"},
            "It has grown.",
        )
        assert client.post(f"/scheduled-jobs/{row['id']}/approve/").status_code == 403
        assert client.delete(f"/scheduled-jobs/{row['id']}/").status_code == 204


def test_workers_elsewhere_get_an_account_with_a_key(reader: Reader) -> None:
    said = reader.types(WORKERS)
    assert re.search(r"^  PREFECT_API_AUTH_STRING=builder:signoff_[0-9A-Za-z]{36}$", said, re.MULTILINE)
    assert "`signoff worker --pool signoff`" in said


def test_a_flow_is_held_and_then_run_as_it_is(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "small").write_text("x")
    (tmp_path / "large").write_text("xxx")
    reader.key, bob = reader.keys["alice"], {"Authorization": f"Token {reader.keys['bob']}"}
    with reader.client() as client:
        asked = {"data": {"folder": str(tmp_path), "count": "1"}}
        held = client.post("/jobs/largest/run/", json=asked).json()["scheduled_job"]
        assert held["approval_state"] == "pending"
        assert client.post(f"/scheduled-jobs/{held['id']}/approve/", json={}, headers=bob).status_code == 200
        done = eventually(lambda: next((each for each in finished(client) if each["name"] == "largest"), None))
        assert (done["status"]["value"], done["result"]) == ("SUCCESS", ["large"])
        lines = client.get(f"/job-results/{done['id']}/logs/").json()
    assert f"{tmp_path} has 2 files" in [line["message"] for line in lines]


def test_prometheus_reads_the_metrics_with_a_token_of_its_own(reader: Reader) -> None:
    (key,) = re.findall(r"^signoff_[0-9A-Za-z]{36}$", reader.types(METRICS), re.MULTILINE)
    address = f"http://127.0.0.1:{reader.port}/signoff/metrics"
    told = httpx.get(address, headers={"Authorization": f"Bearer {key}"})
    assert (told.status_code, httpx.get(address).status_code) == (200, 403)
    assert 'signoff_decision_age_seconds_count{outcome="approved"}' in told.text


def test_every_setting_is_explained_and_no_other() -> None:
    from api_shim.client.transport import Environment
    from api_shim.settings import Settings

    explained = set(re.findall(r"^\| `SIGNOFF_(\w+)`", README, re.MULTILINE))
    assert explained == {name.upper() for name in {**Settings.model_fields, **Environment.model_fields}}
