"""What we ask of Prefect, as promises: ``prefect_client.py`` keeps them on the real one, the tests' fake in memory.

* Every call may be repeated: asking for what is already so does nothing.
* A run is made in the state that it is to have, under a key that names what the store has recorded before; asked for
  again under its key, it is the same run. So nothing starts that the store does not know.
* A schedule is first made inactive; it is set going by a second call, after the store has recorded its id.
* What is gone is not an error for calls that remove; reading it gives None or leaves it out.
* A work pool is named by its name; the empty name stands for that of the server.
* Every call raises ``Unavailable`` when Prefect does not answer or stays busy, and then may have happened or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from api_shim.domain.recurrence import CronSpec

EMPTY_FORM = {"type": "object", "properties": {}}
"""The form of a Job without variables, as Prefect keeps it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleSpec:
    """The one schedule of a recurring scheduled job's deployment.

    Args:
        slug: the scheduled job's id.
        cron: when it fires.
        active: whether Prefect makes runs of it.
    """

    slug: str
    cron: CronSpec
    active: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentSpec:
    """A deployment as it should be, or as it is.

    Args:
        flow: the flow's name, which is the Job's.
        name: the deployment's own.
        entrypoint: the flow's import path.
        queue: the work queue of its runs.
        pool: the work pool of that queue.
        description: Markdown, for people.
        parameters: what its runs are shown with.
        parameter_schema: the form of its parameters.
        job_variables: what the work pool starts its runs with.
        tags: its tags, and those of its runs, beside our own.
        schedule: its schedule; None for a base deployment.
        foreign: something on it that we never write and that changes what runs: pull steps, another folder, a limit, a
            pause, no work pool, a second schedule, a tag of ours that is missing.
    """

    flow: str
    name: str
    entrypoint: str
    queue: str
    pool: str = ""
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameter_schema: Mapping[str, Any] = field(default_factory=lambda: EMPTY_FORM)
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    schedule: ScheduleSpec | None = None
    foreign: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """A flow run that we ask for.

    Args:
        key: makes asking twice give the same run.
        name: for people.
        parameters: what it is shown with.
        queue: its work queue.
        pool: the work pool of that queue, if it is not that of its deployment; None if it is.
        message: of its state: why it is held, or may start.
        at: when it starts; it is held if there is no such time.
        awaits: it waits for a decision, and so can be found.
        tags: its tags, beside our own.
    """

    key: str
    name: str
    parameters: Mapping[str, Any]
    queue: str
    pool: str | None = None
    message: str
    at: datetime | None = None
    awaits: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalForm:
    """What a held run asks people who resume it in Prefect's UI.

    Args:
        name: the run's, for people.
        message: of its state.
        parameters: what it is shown with.
        description: Markdown, above the form.
        form: the JSON schema of the answer.
        tags: its tags, beside our own.
        notice: the line of its log that tells that it asks, which the address of a page follows.
        page: the path of our page where it is answered, too.
    """

    name: str
    message: str
    parameters: Mapping[str, Any]
    description: str
    form: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    notice: str = field(default="", compare=False)
    page: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Announcement:
    """An event for Prefect's feed and automations.

    Args:
        id: makes telling it twice be one event.
        event: its name, with dots.
        occurred: when.
        resource: the id of what it is about, and its name.
        related: ids of what it concerns, by role.
        payload: what else there is to say, in JSON form.
    """

    id: UUID
    event: str
    occurred: datetime
    resource: tuple[str, str]
    related: Mapping[str, str]
    payload: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Automation:
    """An automation of Prefect's, as it is or was.

    Args:
        name: its name, or as much of it as we keep.
        digest: the SHA-256, in hexadecimal digits, of all that says when it does what; whether it is enabled is not
            part of that.
        runs: the deployments that it runs, as far as it names them.
    """

    id: UUID
    name: str
    digest: str
    runs: frozenset[UUID]


@dataclass(frozen=True, kw_only=True, slots=True)
class AutomationFiring:
    """What an automation wants to run.

    Args:
        automation: it, as it was when it fired.
        key: the same whenever it is the same firing.
        deployment_id: the deployment that it wants to run.
        parameters: the parameters of the run, filled in.
        job_variables: the job variables of the run.
        after: how much later the run is to start.
    """

    automation: Automation
    key: str
    deployment_id: UUID
    parameters: Mapping[str, Any]
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    after: timedelta = timedelta(0)


GOING = ("PENDING", "RUNNING", "CANCELLING")
"""The state types of runs that a worker has taken and not finished."""

NOTICES = "signoff"
"""The source of the lines that we add to the logs of runs."""

HELD = ("PAUSED",)
"""The state type of runs that stand and wait to be released."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """That a worker has taken a run.

    Args:
        at: when.
        worker: its name, if the run's process ends with it; else empty.
        first: when one had first taken it: a run that is lost is taken again.
    """

    at: datetime
    worker: str
    first: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A flow run as Prefect shows it.

    Args:
        key: the one that it was asked for under; empty if somebody else made it.
        state_type: Prefect's ``StateType``.
        state_name: finer, for people: ``Late``, ``Suspended``, ``Crashed``; or the verdict with which it has ended.
        expected_start: the nominal time of a firing; the time of creation for others.
        scheduled_for: when it is to start, while its state is SCHEDULED.
        by_schedule: Prefect's scheduler made it.
        since: when it entered its state.
        claimed: when a worker took it, the last time, where that has been asked.
        first_claimed: when one did the first time, where that has been asked.
        pool: the work pool whose workers execute it; empty for one that none takes, as a run within another.
        job_variables: those of its own, which come before its deployment's; we give runs none.
        without_process: while it is held: it has no process that waits.
    """

    id: UUID
    key: str
    name: str
    deployment_id: UUID | None
    state_type: str
    state_name: str
    message: str
    expected_start: datetime
    scheduled_for: datetime | None
    parameters: Mapping[str, Any]
    by_schedule: bool
    started: datetime | None
    ended: datetime | None
    since: datetime
    claimed: datetime | None = None
    first_claimed: datetime | None = None
    pool: str = ""
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    without_process: bool = True

    @property
    def waits(self) -> bool:
        return self.state_type in {"SCHEDULED", "PAUSED"}

    @property
    def held(self) -> bool:
        return self.state_type == "PAUSED"

    @property
    def going(self) -> bool:
        return self.state_type in GOING

    @property
    def final(self) -> bool:
        return self.state_type in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line of a run's log."""

    id: UUID
    level: int
    source: str
    message: str
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPart:
    """What part of a log is asked for.

    Args:
        skip: how many lines to leave out at its beginning, or at its end if it is read from there.
        limit: how many lines there are at most; None for all.
        from_end: whether it is read from its end, so that the newest lines are the first to be taken.
        least: the lowest level.
        since: only the lines of this moment and later; None for all.
    """

    skip: int = 0
    limit: int | None = None
    from_end: bool = False
    least: int = 0
    since: datetime | None = None


WHOLE = LogPart()


class Orchestrator(Protocol):
    """Prefect."""

    @property
    def pool(self) -> str:
        """The name of the server's work pool."""

    @property
    def past_us(self) -> bool:
        """Whether workers can reach Prefect past us, as others run its server."""

    async def has_pool(self, pool: str) -> bool:
        """Say whether there is a work pool of this name."""

    async def prepare(self, queues: Collection[str], pool: str = "") -> None:
        """Make these queues in a work pool; the server's is made too, while in another that is not there none is."""

    async def find_deployment(self, flow: str, name: str) -> UUID | None:
        """Return the id of a deployment by its names."""

    async def read_deployment(self, deployment_id: UUID) -> DeploymentSpec | None:
        """Return a deployment as it is."""

    async def deployments(self) -> Mapping[UUID, DeploymentSpec]:
        """Return every deployment of ours as it is."""

    async def create_deployment(self, spec: DeploymentSpec) -> tuple[UUID, DeploymentSpec]:
        """Make a deployment, its schedule inactive, and return its id and how it is; what has its names stays so."""

    async def write_deployment(self, deployment_id: UUID, was: DeploymentSpec, spec: DeploymentSpec) -> None:
        """Make a deployment that was so be as described, and its next runs exist if its schedule is active."""

    async def remove_deployment(self, deployment_id: UUID) -> None:
        """Remove a deployment, with its schedule and its runs that have not started."""

    async def create_run(self, deployment_id: UUID, run: RunSpec) -> Run:
        """Return a new run that starts at its time or is held; or, as it is, the one that was made under its key."""

    async def find_run(self, key: str) -> UUID | None:
        """Return the id of the run that was asked for under this key."""

    async def ask(self, run_id: UUID, question: ApprovalForm) -> None:
        """Make a run stand in ``Suspended`` and ask this; nothing if it is final."""

    async def asked(self, run_id: UUID) -> ApprovalForm | None:
        """Return what a held run asks; None if it is not held or asks nothing."""

    async def release(self, run_id: UUID, at: datetime, message: str, *, name: str | None = None) -> None:
        """Let a run start at that time, under that name if one is given; nothing if it is final."""

    async def rename(self, run_id: UUID, name: str) -> None:
        """Call a run by that name; nothing if it is gone."""

    async def resume(self, run_id: UUID, answer: object) -> str:
        """Let a run go on that its own code has suspended, or that waits in its process.

        Args:
            run_id: it.
            answer: what it has asked for, as JSON; None for nothing.

        Returns:
            why Prefect does not let it; empty if it does.
        """

    async def restart(self, run_id: UUID, at: datetime, message: str) -> None:
        """Let a run that has ended start at that time; nothing if it is gone."""

    async def end(self, run_id: UUID, state: str, name: str, message: str, *, called: str | None = None) -> None:
        """Put a run into a final state, or into one that leads there, unless it is final or gone.

        Args:
            run_id: it.
            state: Prefect's type of the state.
            name: the verdict (``approval_gate.verdicts``), or else Prefect's name of the state.
            message: why, as a sentence.
            called: the name of the run from then on, if it gets another one.
        """

    async def runs(self, ids: Collection[UUID]) -> Mapping[UUID, Run]:
        """Return those of these runs that exist."""

    async def claim(self, run_id: UUID) -> Claim | None:
        """Return how a worker has last taken a run; None if none has."""

    async def due_runs(self, deployment_id: UUID, until: datetime) -> list[Run]:
        """Return the runs of a deployment that are due by then, newest nominal time first, at most 200."""

    async def late_runs(self) -> list[Run]:
        """Return our runs that Prefect calls late: they are due, and nobody has taken them for a while."""

    async def runs_in(self, state_types: Collection[str]) -> list[Run]:
        """Return our runs whose state is of one of these types."""

    async def show(self, run_id: UUID) -> Mapping[str, Any] | None:
        """Return a run in Prefect's own JSON, for Prefect's own clients."""

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Tell Prefect what has happened."""

    async def variable(self, name: str) -> Any:
        """Return the value of a variable of Prefect's, as JSON; None if there is none."""

    async def automation(self, automation_id: UUID) -> Automation | None:
        """Return an automation of Prefect's as it is."""

    async def logs(self, run_id: UUID, part: LogPart = WHOLE) -> list[LogLine]:
        """Return a part of the log of a run and of the flows that it has called, oldest first."""

    async def remove_run(self, run_id: UUID) -> None:
        """Remove a run, with its log."""

    async def has_worker(self, queue: str) -> bool:
        """Say whether a live worker serves this queue."""

    async def queue_polls(self, pool: str = "") -> Mapping[str, datetime | None]:
        """Return when a worker has last asked for runs of each queue; None for one that nobody has asked about."""

    async def worker_heartbeats(self, pool: str = "") -> Mapping[str, datetime]:
        """Return when each worker of the pool has last told that it is there, by its name."""

    async def worker_counts(self, pool: str = "") -> Mapping[str, int]:
        """Return how many live workers serve each queue of a pool; a queue that is not named has none."""
