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
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import lacking
from tests.live import KEY, environment, eventually

pytestmark = pytest.mark.slow

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(?:bash|python)\n(.*?)```", README, re.DOTALL)
JOB, START, ASK, PEOPLE = BLOCKS
INSTALL = re.compile(r"^python3 .* install -e \S+ && ")


class Reader:
    """Somebody who follows the README in a folder of his own.

    Args:
        folder: where he works; the environment that he has installed is the one of the tests.
        port: used instead of the usual one, which may be taken here.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.key = folder, port, ""
        (folder / ".curlrc").write_text("fail-with-body\n")
        self.environment = environment(SIGNOFF_HOME=str(folder / "home"), CURL_HOME=str(folder))
        del self.environment["SIGNOFF_JOBS"]

    def command(self, text: str) -> list[str]:
        own = {
            "/tmp/": f"{self.folder}/",
            '"/tmp"': f'"{self.folder}"',
            "4200": str(self.port),
            "signoff up --demo": f"signoff up --demo --port {self.port}",
            "the key that was printed for alice": self.key,
            ".venv/bin/": f"{Path(sys.executable).parent}/",
        }
        text = INSTALL.sub("", text)
        for printed, meant in own.items():
            text = text.replace(printed, meant)
        return ["bash", "-euc", text]

    def types(self, text: str) -> str:
        done = subprocess.run(
            self.command(text), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/extras", headers={"Authorization": f"Token {self.key}"}
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Reader]:
    """Somebody who has saved the Job and started the server."""
    if shutil.which("curl") is None:
        lacking("curl", "no curl here; the README's commands need it")
    someone = Reader(tmp_path_factory.mktemp("reader"), free_port())
    (someone.folder / "jobs.py").write_text(JOB)
    log = someone.folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            someone.command(START.splitlines()[0]),
            cwd=someone.folder,
            env=someone.environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: server.poll() is not None or "alice:" in log.read_text(), within=60)
        assert server.poll() is None, log.read_text()
        someone.key = dict(KEY.findall(log.read_text()))["alice"]
        yield someone
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def test_one_command_installs_and_runs_it_and_one_the_tests() -> None:
    run, tests = (INSTALL.sub("", line) for line in START.splitlines())
    assert run == "SIGNOFF_JOBS=jobs,flows.examples .venv/bin/signoff up --demo"
    assert tests == ".venv/bin/pytest"


def test_alice_runs_schedules_lists_and_deletes(reader: Reader) -> None:
    now, nightly, waiting, listed, deleted = reader.types(ASK).splitlines()
    assert json.loads(now)["job_result"]["name"] == "Check a database"
    assert json.loads(nightly)["scheduled_job"]["time_zone"] == "Europe/Berlin"
    assert json.loads(waiting)["scheduled_job"]["approval_required"] is True
    assert "nightly" in [row["name"] for row in json.loads(listed)["results"]]
    assert deleted == ""
    with reader.client() as client:
        (left,) = client.get("/scheduled-jobs/").json()["results"]
        assert (left["id"], left["approved_at"]) == (json.loads(waiting)["scheduled_job"]["id"], None)
        # Of these three, only the first has run.
        (result,) = eventually(lambda: [row for row in results(client) if row["date_done"]], within=60)
        assert (result["status"]["value"], result["result"]) == ("SUCCESS", "ok")


def results(client: httpx.Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get("/job-results/").json()["results"]
    return rows


def test_people_get_what_they_are_given_and_no_more(reader: Reader) -> None:
    said = reader.types(PEOPLE)
    (reader.key,) = re.findall(r"^[0-9a-f]{40}$", said, re.MULTILINE)
    with reader.client() as client:
        assert [job["name"] for job in client.get("/jobs/").json()["results"]] == ["Check a database"]
        assert client.post("/jobs/Check a database/run/", json={"data": {"file": "/tmp/app.db"}}).status_code == 201
        assert client.get("/scheduled-jobs/").status_code == 403


def test_every_setting_is_explained_and_no_other() -> None:
    from api_shim.settings import Settings

    explained = set(re.findall(r"^\| `SIGNOFF_(\w+)`", README, re.MULTILINE))
    assert explained == {name.upper() for name in Settings.model_fields}
