"""The user of this machine that Jobs run as, if it is not the server's: ``SIGNOFF_JOBS_USER``.

* To become another user needs root. Where it cannot be done nothing starts: a setting that is not carried out is a
  hole.
* Before Jobs run, a process of that user tries it (``jobs_probe``): what they must reach they do, and no more.
* The worker does nothing in a folder that this user may change but remove it, and follows no link there.
* What a process of theirs says is not believed: their processes are ended by a process of this user, so that the system
  sees to it that no other is.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from approval_gate.errors import Invalid, Unavailable

PROBE = "api_shim.worker.jobs_probe"
TRIED_WITHIN = 60.0
"""Seconds that the trial may take."""

NEEDED = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
"""What root must not have been denied, as in a container, by the numbers of the system."""

STORAGE = ("PREFECT_RESULTS_LOCAL_STORAGE_PATH", "PREFECT_LOCAL_STORAGE_PATH")
"""The variables, new and old, that name the folder of what tasks have returned."""

OF_A_SESSION = ("XDG_", "SUDO_", "DBUS_SESSION_", "SSH_AUTH_SOCK", "MAIL")
"""What the names of variables begin with that are about the user who started the server."""

FOLDER = "signoff-worker-"
"""What the name of a worker's folder begins with."""

TO_PASS = 0o711
"""A folder that others can reach into, but neither list nor change."""

END = "import os, sys; os.killpg(int(sys.argv[1]), int(sys.argv[2]))"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsUser:
    """A user who is not the server's.

    Args:
        name: what the system calls them.
        uid: their number.
        gid: that of their group.
        groups: those of all their groups.
        home: their own folder, which need not exist.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @property
    def identity(self) -> dict[str, Any]:
        """What ``subprocess`` starts a process of theirs with."""
        return {"user": self.uid, "group": self.gid, "extra_groups": [*self.groups]}

    def adapt(self, environment: Mapping[str, str], folder: str) -> dict[str, str]:
        """Return an environment as theirs.

        Args:
            environment: what a run of the worker's own user has.
            folder: the worker's.
        """
        kept = {name: value for name, value in environment.items() if not name.startswith(OF_A_SESSION)}
        own = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "PREFECT_HOME": str(prefect_home(folder))}
        for name in STORAGE:
            if kept.get(name) == storage_of(Path.home()):
                # Of the worker's user, who keeps nothing for them.
                del kept[name]
        if Path(self.home).is_dir() and not kept.keys() & {*STORAGE}:
            own[STORAGE[0]] = storage_of(Path(self.home))
        return kept | own

    @contextmanager
    def folder(self, parent: str) -> Iterator[str]:
        """Have a folder of theirs for as long as this is entered.

        Args:
            parent: where; they can reach into it, but not change it.
        """
        with _removed(tempfile.mkdtemp(dir=parent)) as made:
            self.give(made)
            yield made

    def give(self, folder: str | Path) -> None:
        """Make a folder theirs; it is in one that they cannot change."""
        os.chown(folder, self.uid, self.gid, follow_symlinks=False)

    def end_group(self, pid: int, number: signal.Signals) -> None:
        """Signal a process group of theirs.

        Args:
            pid: its number, as a process of theirs has told it.
            number: the signal.

        Raises:
            ProcessLookupError: there is none, or it is not theirs.
        """
        command = [sys.executable, "-I", "-S", "-c", END, str(pid), str(int(number))]
        done = subprocess.run(  # noqa: S603 - our own command
            command, **self.identity, env={}, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise ProcessLookupError(pid)


@contextmanager
def working_folder(user: JobsUser | None) -> Iterator[str]:
    """Have the folder of a worker, with those of its runs in it, for as long as this is entered.

    Args:
        user: whose processes can reach into it; None for the worker's own.
    """
    if user is None:
        with tempfile.TemporaryDirectory(prefix=FOLDER, ignore_cleanup_errors=True) as folder:
            yield folder
        return
    with _removed(tempfile.mkdtemp(prefix=FOLDER)) as folder:
        Path(folder).chmod(TO_PASS)
        prefect_home(folder).mkdir()
        user.give(prefect_home(folder))
        yield folder


@contextmanager
def _removed(folder: str) -> Iterator[str]:
    try:
        yield folder
    finally:
        # TemporaryDirectory would change the mode of what it cannot remove, and follow links to what is not theirs.
        shutil.rmtree(folder, ignore_errors=True)


def prefect_home(folder: str) -> Path:
    """Return Prefect's folder for the processes of another user, in that of a worker."""
    return Path(folder) / "prefect-of-runs"


def storage_of(home: Path) -> str:
    """Return where Prefect keeps for a user what tasks have returned, if that is to be kept."""
    return str(home / ".prefect" / "storage")


def find(name: str) -> JobsUser | None:
    """Return the user with that name; None for no name.

    Raises:
        Invalid: there is none, or it is the superuser or the server's own.
        Unavailable: this process cannot become another user.
    """
    if not name:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Invalid(f"SIGNOFF_JOBS_USER: this machine has no user {name!r}.") from None
    if entry.pw_uid in {0, os.geteuid()}:
        raise Invalid(f"SIGNOFF_JOBS_USER: {name} is root or the user of the server; Jobs need one of their own.")
    if why := why_not_another():
        raise Unavailable(f"SIGNOFF_JOBS_USER cannot be carried out: {why}.")
    groups = os.getgrouplist(name, entry.pw_gid)
    return JobsUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=(*groups,), home=entry.pw_dir)


def why_not_another() -> str:
    """Return why this process cannot have processes of another user; empty if it can."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "to run Jobs as another user needs to be started as root"
    held = capabilities()["CapEff"]
    lacking = [name for name, number in NEEDED.items() if not held >> number & 1]
    return f"root is denied {', '.join(lacking)} here" if lacking else ""


def capabilities() -> dict[str, int]:
    """Return the rights of the superuser that this process has, by the names that ``/proc`` has for its sets."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: int(value, 16) for name, _, value in (line.partition(":") for line in lines) if name[:3] == "Cap"}


def try_out(
    user: JobsUser, *, modules: Iterable[str], keep_from: Iterable[Path], environment: Mapping[str, str]
) -> None:
    """See that a user can run Jobs, and cannot reach what is the server's.

    Args:
        user: whose processes are to run Jobs.
        modules: those of the Jobs.
        keep_from: files and folders that they must not be able to use.
        environment: of runs, but for what ``adapt`` changes.

    Raises:
        Unavailable: what they cannot reach, or can.
    """
    with working_folder(user) as parent, user.folder(parent) as folder:
        told = {"modules": [*modules], "keep from": [*map(str, keep_from)], "folder": folder}
        said = _tried(user, json.dumps(told), user.adapt(environment, parent))
    if said:
        raise Unavailable(f"SIGNOFF_JOBS_USER: {user.name} {said}.")


def _tried(user: JobsUser, told: str, environment: Mapping[str, str]) -> str:
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-P", "-m", PROBE],
            **user.identity,
            env=environment,
            cwd="/",
            input=told,
            capture_output=True,
            text=True,
            timeout=TRIED_WITHIN,
            check=False,
        )
    except PermissionError:
        return f"may not run {sys.executable}"
    except subprocess.TimeoutExpired:
        return f"needs more than {TRIED_WITHIN:g} s to start Python"
    if done.returncode:
        *_, last = done.stderr.splitlines() or [f"exit status {done.returncode}"]
        return f"cannot run signoff's own code ({last})"
    return done.stdout.strip()
