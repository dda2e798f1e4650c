"""What we ask of Prefect, as promises; ``prefect_engine.py`` keeps them on the real one, the tests' fake in memory.

* Every call may be repeated: asking for what is already so does nothing.
* A run or schedule is first made inert (held, inactive); it is set going by a second call, after the store has
  recorded its id. So nothing starts that the store does not know.
* What is gone is not an error for calls that remove; reading it gives None or leaves it out.
* Every call raises ``Unavailable`` when Prefect does not answer or stays busy, and then may have happened or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from api_shim.recurrence import CronSpec

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
        description: Markdown, for people.
        parameters: what its runs are shown with.
        parameter_schema: the form of its parameters.
        schedule: its schedule; None for a base deployment.
        foreign: something on it that we never write and that changes what runs: job variables, pull steps, another
            folder, a limit, a pause, a second schedule, a tag of ours that is missing.
    """

    flow: str
    name: str
    entrypoint: str
    queue: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameter_schema: Mapping[str, Any] = field(default_factory=lambda: EMPTY_FORM)
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
        message: why it is held.
    """

    key: str
    name: str
    parameters: Mapping[str, Any]
    queue: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A flow run as Prefect shows it.

    Args:
        state_type: Prefect's ``StateType``.
        state_name: finer, for people: ``Late``, ``Suspended``, ``Crashed``.
        expected_start: the nominal time of a firing; the time of creation for others.
        scheduled_for: when it is to start, while its state is SCHEDULED.
        by_schedule: Prefect's scheduler made it.
        since: when it entered its state.
    """

    id: UUID
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

    @property
    def waits(self) -> bool:
        return self.state_type in {"SCHEDULED", "PAUSED"}

    @property
    def held(self) -> bool:
        return self.state_type == "PAUSED"

    @property
    def final(self) -> bool:
        return self.state_type in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


GOING = ("PENDING", "RUNNING", "CANCELLING")
"""The state types of runs that a worker has taken and not finished."""

HELD = ("PAUSED",)
"""The state type of runs that stand and wait to be released."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line of a run's log."""

    id: UUID
    level: int
    source: str
    message: str
    created: datetime


class Engine(Protocol):
    """Prefect."""

    async def prepare(self, queues: Collection[str]) -> None:
        """Make the work pool and these queues."""

    async def find_deployment(self, flow: str, name: str) -> UUID | None:
        """Return the id of a deployment by its names."""

    async def read_deployment(self, deployment_id: UUID) -> DeploymentSpec | None:
        """Return a deployment as it is."""

    async def deployments(self) -> Mapping[UUID, DeploymentSpec]:
        """Return every deployment of ours as it is."""

    async def create_deployment(self, spec: DeploymentSpec) -> UUID:
        """Make a deployment, its schedule inactive, and return its id; one of these names is left as it is."""

    async def write_deployment(self, deployment_id: UUID, spec: DeploymentSpec) -> None:
        """Make a deployment be as described, and its next runs exist at once if its schedule is active."""

    async def remove_deployment(self, deployment_id: UUID) -> None:
        """Remove a deployment, with its schedule and its runs that have not started."""

    async def hold(self, deployment_id: UUID, run: RunSpec) -> UUID:
        """Make a run that stands in ``Suspended`` and return its id."""

    async def find_run(self, key: str) -> UUID | None:
        """Return the id of the run that was asked for under this key."""

    async def release(self, run_id: UUID, at: datetime, message: str) -> None:
        """Let a run start at that time; nothing if it is final."""

    async def end(self, run_id: UUID, state: str, name: str, message: str) -> None:
        """Put a run into a final state, unless it is in one or gone."""

    async def runs(self, ids: Collection[UUID]) -> Mapping[UUID, Run]:
        """Return those of these runs that exist."""

    async def due_runs(self, deployment_id: UUID, until: datetime) -> list[Run]:
        """Return the runs of a deployment that are due by then, newest nominal time first, at most 200."""

    async def runs_in(self, state_types: Collection[str]) -> list[Run]:
        """Return our runs whose state is of one of these types."""

    async def logs(self, run_id: UUID) -> list[LogLine]:
        """Return the log of a run, oldest first."""

    async def has_worker(self, queue: str) -> bool:
        """Say whether a live worker serves this queue."""
