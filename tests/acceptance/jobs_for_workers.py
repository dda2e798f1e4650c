"""Jobs that say how they are executed; each may run on the queue of a worker of each kind."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.deployments import run_deployment
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.settings import get_current_settings

from api_shim import Shim
from approval_gate.errors import GateError
from flows import DryRunVar, IntegerVar, Job, StringVar, register_jobs

name = "Workers"
WAYS = ("warm", "process", "nobody", "prefects")


class Surroundings(Job):
    """Tells of the process that it is in."""

    class Meta:
        name = "Surroundings"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self) -> dict[str, Any]:
        os.umask(mask := os.umask(0o077))
        return {
            "environment": sorted(os.environ),
            "cwd": str(Path.cwd()),
            "files": sorted(os.listdir()),  # noqa: PTH208 - of this folder
            "leads a group": os.getpgid(0) == os.getpid(),
            "umask": mask,
            "user": os.getuid(),
            "chance": random.random(),
            "heartbeat": get_current_settings().flows.heartbeat_frequency,
            "program": Path("/proc/self/cmdline").read_text().split("\0")[1:4],
        }


class Isolated(Surroundings):
    class Meta:
        name = "Isolated"
        isolated = True


@task
def double(number: int) -> int:
    return 2 * number


@flow
def doubled(number: int) -> int:
    return double(number)


@flow
async def doubled_at_once(*numbers: int) -> int:
    return sum(double.map(list(numbers)).result())


class Flows(Job):
    """Runs flows of Prefect's, also one that is a coroutine, and tasks that run at once."""

    class Meta:
        name = "Flows"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self) -> list[int]:
        return [doubled(1), asyncio.run(doubled_at_once(1, 2, 3))]


class Talk(Job):
    class Meta:
        name = "Talk"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self) -> str:
        for number in range(300):
            self.logger.info("line %s", number)
        return "said"


class Raise(Job):
    class Meta:
        name = "Raise"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self) -> None:
        raise ValueError("broken on purpose")


class Tired(Job):
    class Meta:
        name = "Tired"
        has_sensitive_variables = False
        soft_time_limit = 1
        job_queues = WAYS

    def run(self) -> None:
        time.sleep(60)


class Slow(Job):
    class Meta:
        name = "Slow"
        has_sensitive_variables = False
        time_limit = 1
        job_queues = WAYS

    def run(self) -> None:
        time.sleep(60)


class Deaf(Job):
    """Does not end when its time is over, and has to be killed."""

    class Meta:
        name = "Deaf"
        has_sensitive_variables = False
        time_limit = 1
        job_queues = WAYS

    def run(self) -> None:
        while True:
            try:
                time.sleep(60)
            except BaseException:
                self.logger.info("not yet")


class Start(Job):
    """Starts a process that would live longer, tells both ids, and sleeps."""

    file = StringVar()
    seconds = IntegerVar(default=600)

    class Meta:
        name = "Start"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self, *, file: str, seconds: int) -> None:
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
        Path(file).write_text(f"{os.getpid()} {started.pid}\n")
        time.sleep(seconds)


class Asked(Job):
    """Is to be approved first; notes each execution."""

    dryrun = DryRunVar()
    file = StringVar()

    class Meta:
        name = "Asked"
        has_sensitive_variables = False
        approval_required = True
        job_queues = WAYS

    def run(self, *, dryrun: bool, file: str) -> str:
        with Path(file).open("a") as lines:
            lines.write("ran\n")
        return "ran"


class Noted(Job):
    file = StringVar()

    class Meta:
        name = "Noted"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self, *, file: str) -> float:
        with Path(file).open("a") as lines:
            lines.write("ran\n")
        return time.time()


class Knocks(Job):
    """Reads a secret, and looks for one that is not there."""

    class Meta:
        name = "Knocks"
        has_sensitive_variables = False
        job_queues = WAYS

    async def run(self) -> list[str]:
        try:
            missing = self.secret("window")
        except LookupError as error:
            missing = str(error)
        return [self.secret("door"), missing]


class Ticket(RunInput):
    number: int


class Suspends(Job):
    """Is to be approved first; notes each beginning, and has itself suspended until somebody gives it a number."""

    file = StringVar()

    class Meta:
        name = "Suspends"
        has_sensitive_variables = False
        approval_required = True
        job_queues = WAYS

    def run(self, *, file: str) -> int:
        with Path(file).open("a") as lines:
            lines.write("begun\n")
        ticket: Any = suspend_flow_run(wait_for_input=Ticket, timeout=600)
        return int(ticket.number)


class Pauses(Job):
    """Waits in its process until somebody lets it go on; notes each beginning."""

    file = StringVar()

    class Meta:
        name = "Pauses"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self, *, file: str) -> int:
        with Path(file).open("a") as lines:
            lines.write("begun\n")
        pause_flow_run(timeout=600, poll_interval=1)
        return os.getpid()


@task
def counted(number: int) -> int:
    return number


class Lives(Job):
    """Says what is called, in lines of several kinds, and returns what Prefect will know."""

    class Meta:
        name = "Lives"
        has_sensitive_variables = False
        job_queues = WAYS

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.logger.debug("before %s", task_id == self.job_result.id == self.request.id)

    async def run(self) -> Any:
        self.logger.info("kept out", extra={"skip_db_logging": True})
        print("told by print")
        logging.getLogger(f"{__name__}.helpers").info("told by a logger of the package")
        logging.getLogger("another").error("told by another package")
        await asyncio.sleep(0)
        return {"counted": counted.submit(3), "by": str(self.job_result.user)}

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.logger.success("succeeded with %s", retval["counted"], extra={"grouping": "afterwards", "object": self})

    def get_absolute_url(self) -> str:
        return "/about/this/job/"

    def __str__(self) -> str:
        return self.name

    async def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.logger.info("returned %s", status, extra={"grouping": "afterwards"})


class Asks(Job):
    """Requests other Jobs, by our client and by Prefect's function, and waits for what runs at once."""

    file = StringVar()

    class Meta:
        name = "Asks"
        has_sensitive_variables = False
        job_queues = WAYS

    def run(self, *, file: str) -> dict[str, Any]:
        with Shim.of_this_run() as shim:
            held = shim.run("Asked", {"file": file}, queue="warm").scheduled_job
            made = shim.run("Noted", {"file": file}, queue="warm").job_result
            noted = shim.wait(made, timeout=WAITS)
            refused = [told_by(lambda: shim.approve(held)), told_by(lambda: shim.cancel(made))]
        ran = run_deployment("Noted/default", parameters={"file": file}, work_queue_name="warm", **RUN_AS)
        waits = run_deployment("Asked/default", parameters={"file": file}, work_queue_name="warm", timeout=0)
        return {
            "held": str(held.id),
            "from": [str(each.requested_from.id) == self.job_result.id for each in (held, noted)],
            "noted": noted.status.value,
            "refused": refused,
            "ran": [ran.name, sorted(ran.tags), ran.state.name],
            "waits": waits.state.name,
        }


WAITS = 300
RUN_AS: dict[str, Any] = {"flow_run_name": "by a run", "tags": ["inner"], "poll_interval": 0.2, "timeout": WAITS}


def told_by(ask: Callable[[], object]) -> str:
    try:
        return str(ask())
    except GateError as error:
        return str(error)


register_jobs(
    Knocks,
    Pauses,
    Suspends,
    Asks,
    Lives,
    Surroundings,
    Isolated,
    Flows,
    Talk,
    Raise,
    Tired,
    Slow,
    Deaf,
    Start,
    Asked,
    Noted,
)
