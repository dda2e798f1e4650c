"""The user that Jobs run as: who can be one, and what a real process of theirs can do."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from api_shim.worker import jobs_user
from api_shim.worker.jobs_user import JobsUser, find, prefect_home, try_out, why_not_another, working_folder
from approval_gate.errors import GateError, Invalid, Unavailable
from tests.conftest import Nobody

HERE = JobsUser(name="jobs", uid=os.geteuid(), gid=os.getegid(), groups=(), home="/nonexistent")


def root(monkeypatch: pytest.MonkeyPatch, uid: int = 0) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)


# Who


def test_without_a_name_jobs_run_as_the_server_does() -> None:
    assert find("") is None


@pytest.mark.parametrize(
    ("name", "uid", "error", "why"),
    [
        ("no-such-user", 0, Invalid, "SIGNOFF_JOBS_USER: this machine has no user 'no-such-user'."),
        ("root", 0, Invalid, "SIGNOFF_JOBS_USER: root is root or the user of the server; Jobs need one of their own."),
        (
            "nobody",
            pwd.getpwnam("nobody").pw_uid,
            Invalid,
            "SIGNOFF_JOBS_USER: nobody is root or the user of the server; Jobs need one of their own.",
        ),
        (
            "nobody",
            4711,
            Unavailable,
            "SIGNOFF_JOBS_USER cannot be carried out: to run Jobs as another user needs to be started as root.",
        ),
    ],
    ids=["nobody there", "the superuser", "the server's own", "a server that is not root"],
)
def test_who_cannot_be_meant_or_cannot_be_had_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, uid: int, error: type[GateError], why: str
) -> None:
    root(monkeypatch, uid)
    with pytest.raises(error) as refused:
        find(name)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("platform", "held", "why"),
    [
        ("linux", "000001fffeffffff", ""),
        ("linux", "0000000000000021", "root is denied CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID here"),
        ("darwin", "", "it needs Linux, and this is darwin"),
    ],
)
def test_root_that_is_denied_its_rights_cannot(
    monkeypatch: pytest.MonkeyPatch, platform: str, held: str, why: str
) -> None:
    root(monkeypatch)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(jobs_user, "capabilities", lambda: {"CapEff": int(held, 16)})
    assert why_not_another() == why


# What their processes have


def test_their_environment_is_of_their_own_user(tmp_path: Path) -> None:
    server = {"HOME": "/root", "XDG_RUNTIME_DIR": "/run/user/0", "SUDO_USER": "ann", "LANG": "C", "USER": "root"}
    assert HERE.adapt(server, "/tmp/w") == {
        "HOME": "/nonexistent",
        "USER": "jobs",
        "LOGNAME": "jobs",
        "LANG": "C",
        "PREFECT_HOME": str(prefect_home("/tmp/w")),
    }
    at_home = JobsUser(name="jobs", uid=1, gid=1, groups=(), home=str(tmp_path))
    storage = at_home.adapt({}, "/tmp/w")["PREFECT_RESULTS_LOCAL_STORAGE_PATH"]
    assert storage == str(tmp_path / ".prefect" / "storage")
    worker = {"PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(Path.home() / ".prefect" / "storage")}
    assert "PREFECT_RESULTS_LOCAL_STORAGE_PATH" not in HERE.adapt(worker, "/tmp/w")
    assert HERE.adapt({"PREFECT_LOCAL_STORAGE_PATH": "/mnt"}, "/tmp/w")["PREFECT_LOCAL_STORAGE_PATH"] == "/mnt"


@pytest.mark.parametrize("user", [None, HERE], ids=["the worker's own", "another user"])
def test_a_worker_has_a_folder_that_goes_with_it(user: JobsUser | None) -> None:
    with working_folder(user) as folder:
        mode = stat.S_IMODE(Path(folder).stat().st_mode)
        assert mode == (0o711 if user else 0o700)
        assert prefect_home(folder).is_dir() is (user is not None)
        if user:
            with user.folder(folder) as own:
                assert Path(own).parent == Path(folder)
                (Path(own) / "link").symlink_to("/")
            assert not Path(own).exists()
    assert not Path(folder).exists()


# Real processes


@pytest.fixture
def user(as_nobody: Nobody) -> JobsUser:
    found = find(as_nobody.name)
    assert found is not None
    return found


def tried(user: JobsUser, *keep_from: Path, module: str = "flows.examples", path: str = "") -> str:
    """Return what is told to be wrong; nothing when Jobs can run."""
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, (path, os.environ["PYTHONPATH"])))}
    try:
        try_out(user, modules=[module], keep_from=keep_from, environment=environment)
    except Unavailable as why:
        return str(why)
    return ""


def test_who_reaches_what_jobs_need_and_nothing_else_is_fine(user: JobsUser, tmp_path: Path) -> None:
    assert tried(user, tmp_path) == ""


def test_what_they_cannot_reach_or_can_is_one_sentence(
    user: JobsUser, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, shared = open_folder / "closed", open_folder / "shared"
    for folder, mode in ((closed, 0o700), (shared, 0o777)):
        folder.mkdir()
        (folder / f"{folder.name}_jobs.py").touch()
        folder.chmod(mode)
    start = "SIGNOFF_JOBS_USER: nobody "
    said = tried(user, module="closed_jobs", path=str(closed))
    assert said == f"{start}cannot read the module closed_jobs; make its folder readable for them."
    assert tried(user, open_folder).startswith(f"{start}can use {open_folder}, which is the server's alone; ")
    said = tried(user, module="shared_jobs", path=str(shared))
    assert said == f"{start}can change {shared}, which the server uses as well; make it writable for its owner only."
    assert tried(user, shared / "home").startswith(f"{start}can change {shared}, which the server uses")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").touch(mode=0o755)
    assert tried(user) == f"{start}may not run {tmp_path / 'python'}."


def test_only_processes_of_theirs_are_ended_whatever_number_they_tell(user: JobsUser) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep, process_group=0) as ours:
        with pytest.raises(ProcessLookupError):
            user.end_group(ours.pid, signal.SIGKILL)
        assert ours.poll() is None
        ours.kill()
    with subprocess.Popen(sleep, process_group=0, cwd="/", **user.identity) as theirs:
        user.end_group(theirs.pid, signal.SIGKILL)
        assert theirs.wait() == -signal.SIGKILL
