"""``SIGNOFF_JOBS_USER`` at the start: refused in a sentence, or tried before anything runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from api_shim.cli import jobs_user
from api_shim.cli.up import Worker, worker_of
from api_shim.names import FIRST
from api_shim.settings import Settings
from api_shim.worker.jobs_user import JobsUser
from tests.api_shim.cli.conftest import Run

SOMEBODY = JobsUser(name="jobs", uid=4711, gid=4711, groups=(), home="/nonexistent")


@pytest.fixture(autouse=True)
def _prefect_is_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.delenv("SIGNOFF_JOBS_USER", raising=False)


@pytest.mark.parametrize("command", ["up", "worker"])
def test_a_name_that_is_nobodys_is_wrong_usage(signoff: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("SIGNOFF_JOBS_USER", "no-such-user")
    printed = signoff(command)
    assert printed.status == 2
    assert printed.err == "error: SIGNOFF_JOBS_USER: this machine has no user 'no-such-user'.\n"


@pytest.mark.parametrize("command", ["up", "worker"])
def test_who_is_not_root_is_refused(signoff: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("SIGNOFF_JOBS_USER", "nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert signoff(command).refusal.startswith("SIGNOFF_JOBS_USER cannot be carried out: to run Jobs as another user ")


def test_who_is_found_is_tried_with_what_runs_are_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(jobs_user, "find", lambda _name: SOMEBODY)
    monkeypatch.setattr(jobs_user, "try_out", lambda user, **how: asked.update(how, user=user))
    monkeypatch.setenv("SIGNOFF_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "others:sesame")
    monkeypatch.setenv("PREFECT_API_KEY_FILE", "/etc/prefect.key")
    assert jobs_user.checked_user(Settings(home=tmp_path, jobs="ours", jobs_user="jobs")) == "jobs"
    assert (asked["user"], asked["modules"], asked["keep_from"]) == (
        SOMEBODY,
        ["ours"],
        [tmp_path, Path("/etc/prefect.key")],
    )
    assert asked["environment"]["PYTHONPATH"].startswith(f"{FIRST}{os.pathsep}{Path.cwd()}")
    assert "SIGNOFF_DATABASE_URL" not in asked["environment"]
    assert not {"PREFECT_API_AUTH_STRING", "PREFECT_API_KEY_FILE"} & asked["environment"].keys()


def test_a_server_whose_jobs_can_do_what_it_can_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path)
    worker_of(settings, Worker.WARM, 0, 0o022)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "can do what it can: set SIGNOFF_JOBS_USER, or use signoff worker." in said
    # The package has a command of that name.
    monkeypatch.setattr(sys.modules["api_shim.cli.up"], "checked_user", lambda _settings: "jobs")
    assert worker_of(settings, Worker.WARM, 0, 0o022) is not None
    assert worker_of(settings, Worker.NONE, 0, 0o022) is None
    assert capsys.readouterr().out == ""
