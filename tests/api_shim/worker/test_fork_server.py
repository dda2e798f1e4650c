"""Fork servers with real children, whose engine executes what a test tells it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from api_shim.worker import fork_server
from api_shim.worker.fork_server import ForkFailed
from api_shim.worker.jobs_user import JobsUser, find
from api_shim.worker.prefect_zygote import NOT_HANDED, Zygote
from tests.api_shim.worker.conftest import Forking
from tests.conftest import Nobody
from tests.live import PATIENCE, eventually

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="forks are made on Linux"),
]

SLEEP = "out.write_text(str(os.getpid())); import time; time.sleep(60)"
WITH_A_CHILD = """
import os, subprocess, sys, time
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
out.write_text(f"{os.getpid()} {started.pid}")
"""


def lives(pid: int) -> bool:
    """Say whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# What a child is


async def test_a_child_has_the_environment_folder_and_group_that_a_process_of_its_own_has(forking: Forking) -> None:
    async with forking() as forks:
        said = json.loads(
            await forks.do(
                "import json, os, sys; mask = os.umask(0)\n"
                "told = dict(env=dict(os.environ), cwd=os.getcwd(), path=sys.path[0], argv=sys.argv[1:],"
                "leads=os.getsid(0) == os.getpgid(0) == os.getpid(), mask=mask)\n"
                "out.write_text(json.dumps(told))",
                ONLY="here",
            )
        )
        environment = {**forks.servers.environment, "ONLY": "here"}
        assert {name: said["env"][name] for name in environment} == environment
        assert set(said["env"]) - set(environment) == {"DO"}
        assert said["cwd"] == said["path"] == str(forks.folder)
        assert said["argv"] == []
        assert said["leads"]
        os.umask(mask := os.umask(0o077))
        assert said["mask"] == mask


async def test_children_do_not_share_their_random_numbers(forking: Forking) -> None:
    async with forking("random") as forks:
        assert len({await forks.do("import random; out.write_text(str(random.random()))") for _ in range(3)}) == 3


@pytest.mark.parametrize(
    ("do", "status"),
    [
        ("pass", 0),
        ("raise SystemExit", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('no')", 1),
        ("raise ValueError('broken on purpose')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("import threading; threading.Thread(target=out.write_text, args=['x']).start()", 0),
    ],
)
async def test_how_a_child_ends_is_told(forking: Forking, do: str, status: int) -> None:
    async with forking() as forks:
        child = await forks.begin(do)
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        assert child.returncode == status
        assert child.peak > 2**20


async def test_what_is_to_be_done_at_the_end_of_a_program_is_done(forking: Forking) -> None:
    async with forking() as forks:
        assert await forks.do("import atexit; atexit.register(out.write_text, 'bye')") == "bye"


async def test_what_a_child_has_started_ends_with_it(forking: Forking) -> None:
    async with forking() as forks:
        started = int((await forks.do(WITH_A_CHILD)).split()[1])
        eventually(lambda: not lives(started))


HELD = """
import ctypes, re
# Until now nobody may look into it, which is tested elsewhere.
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
found = set()
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in maps:
        place, may, *_ = line.split()
        begin, end = (int(each, 16) for each in place.split("-"))
        if "w" in may:
            try:
                memory.seek(begin)
                held = memory.read(end - begin)
            except (OSError, ValueError):
                continue
            found |= {name.decode() for name in re.findall(b"key of (one|two|three)", held)}
out.with_name(NAME).write_text(str(sorted(found)))
"""


async def test_no_key_is_ever_in_the_memory_of_the_fork_server_which_each_child_begins_with(forking: Forking) -> None:
    async with forking() as forks:
        names = ("one", "two")
        begun = (forks.begin(HELD.replace("NAME", repr(name)), KEY=f"key of {name}") for name in names)
        for child in await asyncio.gather(*begun):
            await asyncio.wait_for(child.ended.wait(), PATIENCE)
        child = await forks.begin(HELD.replace("NAME", "'three'"), KEY="key of three")
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        found = {name: forks.out.with_name(name).read_text() for name in (*names, "three")}
    assert found == {name: str([name]) for name in found}


async def test_a_request_may_be_larger_than_what_a_socket_holds(forking: Forking) -> None:
    async with forking() as forks:
        measure = "import os; out.write_text(str(len(os.environ['LONG'])))"
        assert await forks.do(measure, LONG="x" * 3_000_000) == "3000000"


async def test_nobody_of_its_user_looks_into_a_fork_server_or_its_children(forking: Forking) -> None:
    look = "import ctypes; out.write_text(str(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)))"
    async with forking() as forks:
        assert await forks.do(look) == "0"
        # Of what can be looked into its user is the owner, of all else the superuser of the system.
        server = (await forks.servers.ready())._process.pid
        assert Path(f"/proc/{server}/environ").stat().st_uid == 0  # noqa: ASYNC240 - a test has nothing else to do


async def test_a_fresh_one_is_a_new_interpreter_in_the_same_process(forking: Forking) -> None:
    async with forking("json") as forks:
        forks.out.unlink(missing_ok=True)
        child = await forks.begin("import os, sys; out.write_text(f'{os.getpid()} {sys.argv}')", fresh=True)
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        pid, _, argv = forks.out.read_text().partition(" ")
        assert int(pid) == child.pid
        assert "engine_for_tests.py" in argv


@pytest.mark.parametrize("isolated", [True, False])
async def test_a_job_that_asks_for_isolation_is_in_a_new_interpreter(
    forking: Forking, tmp_path: Path, isolated: bool
) -> None:
    (tmp_path / "alone.py").write_text(
        f"from flows import Job, register_jobs\nclass Alone(Job):\n  class Meta:\n    isolated = {isolated}\n"
        "  def run(self): pass\nregister_jobs(Alone)\n"
    )
    async with forking("alone") as forks:
        loaded = await forks.do("import sys; out.write_text(str('alone' in sys.modules))", job="alone.Alone")
        assert loaded == str(not isolated)


# What a fork server has imported


async def test_jobs_are_imported_once_and_children_have_them(forking: Forking, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("import os; by = os.getpid()")
    async with forking("jobs") as forks:
        both = {await forks.do("import jobs; out.write_text(str(jobs.by))") for _ in range(2)}
        assert len(both) == 1


async def test_a_file_that_changes_is_imported_anew_with_what_it_imports(forking: Forking, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 1")
    (tmp_path / "jobs.py").write_text("import beside")
    async with forking("jobs") as forks:
        ask = "import jobs; out.write_text(str(jobs.beside.value))"
        assert await forks.do(ask) == "1"
        (tmp_path / "beside.py").write_text("value = 22")
        assert await forks.do(ask) == "22"


async def test_a_file_that_is_imported_only_later_counts_when_it_changes(forking: Forking, tmp_path: Path) -> None:
    (tmp_path / "later.py").write_text("value = 1")
    (tmp_path / "jobs.py").write_text(
        "from flows import Job, register_jobs\nclass Late(Job):\n  def run(self):\n    import later\n"
        "    return later.value\nregister_jobs(Late)\n"
    )
    run = (
        "from flows.registry import load; from flows.source import hold_to; job = load('jobs.Late'); hold_to(job._code)"
        "\nout.write_text(f'{job._code.digest} {job().run()}')"
    )
    async with forking("jobs") as forks:
        before = (await forks.do(run)).split()
        (tmp_path / "later.py").write_text("value = 22")
        after = (await forks.do(run)).split()
        assert (before[1], after[1]) == ("1", "22")
        assert before[0] != after[0]


async def test_a_child_from_before_a_change_goes_on(forking: Forking, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("value = 1")
    async with forking("jobs") as forks:
        before = await forks.begin("import time; time.sleep(1.5); import jobs; out.write_text(str(jobs.value))")
        (tmp_path / "jobs.py").write_text("value = 22")
        after = await forks.begin("pass")
        await asyncio.gather(before.ended.wait(), after.ended.wait())
        assert (before.returncode, after.returncode) == (0, 0)
        assert forks.out.read_text() == "1"


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=[60], daemon=True).start()", "thread"),
        ("import tempfile; kept = tempfile.TemporaryFile()", "file or socket"),
        ("import socket; kept = socket.socket()", "file or socket"),
        ("import os; os._exit(3)", "the process that imports it ends"),
    ],
    ids=["a thread", "a file", "a socket", "an end"],
)
async def test_a_module_that_is_not_to_be_imported_before_a_fork_is_left_to_the_children(
    forking: Forking, tmp_path: Path, caplog: pytest.LogCaptureFixture, module: str, why: str
) -> None:
    (tmp_path / "unfit.py").write_text(module)
    (tmp_path / "fit.py").write_text("")
    async with forking("unfit", "fit") as forks:
        loaded = await forks.do('import sys; out.write_text(f\'{"unfit" in sys.modules} {"fit" in sys.modules}\')')
    assert loaded == "False True"
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith("The module unfit is imported anew by each run: ")
    assert why in said


async def test_a_module_that_cannot_be_imported_hinders_nobody(forking: Forking, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('broken on purpose')")
    async with forking("broken", "nowhere") as forks:
        assert await forks.do("out.write_text('works')") == "works"


# Renewal and death


async def test_a_worn_server_is_renewed_while_it_still_serves(
    forking: Forking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "FORKS_EACH", 1)
    async with forking() as forks:
        ask = "import os; out.write_text(str(os.getppid()))"
        first = await forks.do(ask)
        assert await forks.do(ask) == first
        assert forks.servers._renewing is not None
        await forks.servers._renewing
        assert await forks.do(ask) != first
        eventually(lambda: not lives(int(first)))


async def test_a_server_that_is_killed_takes_its_children_along_and_another_comes(forking: Forking) -> None:
    async with forking() as forks:
        child = await forks.begin(f"{WITH_A_CHILD}\ntime.sleep(60)")
        _, started = map(int, (await forks.written(child)).split())
        os.kill((await forks.servers.ready())._process.pid, signal.SIGKILL)
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        assert child.returncode == -signal.SIGKILL
        assert not child.killed
        eventually(lambda: not lives(child.pid) and not lives(started))
        assert await forks.do("out.write_text('works')") == "works"


async def test_a_worker_that_goes_takes_everything_along(forking: Forking) -> None:
    async with forking() as forks:
        child = await forks.begin(f"{WITH_A_CHILD}\ntime.sleep(60)")
        _, started = map(int, (await forks.written(child)).split())
        server = await forks.servers.ready()
        # As the system does for a process that is killed.
        server._writer.close()
        await asyncio.wait_for(server._process.wait(), PATIENCE)
        eventually(lambda: not lives(child.pid) and not lives(started))
        assert not forks.folder.exists()


async def test_children_have_their_grace_at_a_stop_and_no_more(forking: Forking) -> None:
    async with forking() as forks:
        polite = await forks.begin("import time; time.sleep(60)")
        stubborn = await forks.begin(
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); out.write_text('x'); time.sleep(60)"
        )
        await forks.written(stubborn)
        begun = time.monotonic()
        await forks.servers.stop(0.5)
        assert time.monotonic() - begun < 6
        assert polite.returncode == -signal.SIGTERM
        eventually(lambda: not lives(stubborn.pid))


async def test_a_child_is_signalled_with_all_that_it_has_started(forking: Forking) -> None:
    async with forking() as forks:
        child = await forks.begin(f"{WITH_A_CHILD}\ntime.sleep(60)")
        _, started = map(int, (await forks.written(child)).split())
        child.signal(signal.SIGKILL)
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        assert child.killed
        eventually(lambda: not lives(started))
        with pytest.raises(ProcessLookupError):
            child.signal(signal.SIGTERM)


async def test_where_no_server_starts_that_is_said(forking: Forking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "ZYGOTE", "json.tool")
    async with forking() as forks:
        with pytest.raises(ForkFailed, match=r"^It ended at once\.$"):
            await forks.servers.ready()


async def test_a_server_that_does_not_become_ready_is_given_up(
    forking: Forking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "endless.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(fork_server, "ZYGOTE", "endless")
    monkeypatch.setattr(fork_server, "READY_WITHIN", 0.5)
    async with forking() as forks:
        with pytest.raises(ForkFailed, match=r"was not ready within 0\.5 s"):
            await forks.servers.ready()


# Children of another user


@pytest.fixture
def user(as_nobody: Nobody) -> JobsUser:
    """Somebody else."""
    found = find(as_nobody.name)
    assert found is not None
    return found


LOOK = """
import json, os
def reads(path):
    try:
        with open(path, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
def link(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""
told = dict(
    ids=[*os.getresuid(), *os.getresgid()], groups=os.getgroups(), user=os.environ["USER"],
    files=[link(name) for name in os.listdir("/proc/self/fd")], theirs=reads(f"/proc/{os.environ['WORKER']}/environ"),
)
out.write_text(json.dumps(told))
"""


def owner_and_files(pid: int) -> tuple[int, set[str]]:
    """Return whose a process is, and what it has open."""
    status = Path(f"/proc/{pid}/status").read_text()
    owner = int(status.partition("Uid:")[2].split()[0])
    return owner, {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}


async def test_children_and_their_server_are_of_another_user_and_hold_nothing_of_the_workers(
    forking: Forking, user: JobsUser, tmp_path: Path
) -> None:
    kept = (tmp_path / "signoff.db").open("w+b")
    os.set_inheritable(kept.fileno(), True)
    async with forking(user=user, WORKER=str(os.getpid())) as forks:
        said = json.loads(await forks.do(LOOK))
        server = (await forks.servers.ready())._process.pid
        owner, open_there = owner_and_files(server)
    kept.close()
    assert owner == user.uid
    assert said["ids"] == [user.uid] * 3 + [user.gid] * 3
    assert (said["groups"], said["user"], said["theirs"]) == ([*user.groups], user.name, False)
    assert not {path for path in {*said["files"], *open_there} if path.endswith(".db")}


async def test_children_of_another_user_end_when_they_are_to_and_leave_nothing(
    forking: Forking, user: JobsUser
) -> None:
    async with forking(user=user) as forks:
        child = await forks.begin(f"{WITH_A_CHILD}\ntime.sleep(60)")
        _, started = map(int, (await forks.written(child)).split())
        child.signal(signal.SIGKILL)
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        eventually(lambda: not lives(started))
        forks.out.unlink()
        polite = await forks.begin(f"{WITH_A_CHILD}\ntime.sleep(60)")
        _, started = map(int, (await forks.written(polite)).split())
        await forks.servers.stop(PATIENCE)
        assert polite.returncode == -signal.SIGTERM
        eventually(lambda: not lives(started))


async def test_a_server_of_another_user_that_is_killed_takes_its_children_along(
    forking: Forking, user: JobsUser
) -> None:
    async with forking(user=user) as forks:
        child = await forks.begin(f"{WITH_A_CHILD}\ntime.sleep(60)")
        _, started = map(int, (await forks.written(child)).split())
        os.kill((await forks.servers.ready())._process.pid, signal.SIGKILL)
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        eventually(lambda: not lives(child.pid) and not lives(started))


async def test_what_a_server_of_another_user_tells_kills_nobody_else(forking: Forking, user: JobsUser) -> None:
    ours = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(60)", start_new_session=True
    )
    async with forking(user=user) as forks:
        (await forks.servers.ready())._take({"forked": 77, "pid": ours.pid})
    assert lives(ours.pid)
    ours.kill()
    await ours.wait()


async def test_a_command_of_its_own_is_what_a_child_becomes(forking: Forking) -> None:
    async with forking() as forks:
        child = await forks.begin("", fresh=True, command=("sh", "-c", "exit 7"))
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        assert child.returncode == 7


def test_a_run_whose_socket_the_system_has_dropped_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    with ours, its:
        Zygote(its, tmp_path)._do({"fork": 7, "job": "jobs.Greet"})
        assert json.loads(ours.recv(4096)) == {"refused": 7, "why": NOT_HANDED}
