"""A Prefect in memory that keeps the promises of ``ports.Engine`` and can be told to fail.

* It fails where it is told: before a call has its effect, after it, or as if the whole process had died there.
* Its scheduler makes the runs that are due when it is asked to, with Prefect's habits: only from now on, only of
  active schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from api_shim.domain.ports import (
    NOTICES,
    WHOLE,
    Announcement,
    ApprovalForm,
    Automation,
    Claim,
    DeploymentSpec,
    LogLine,
    LogPart,
    Run,
    RunSpec,
)
from approval_gate.admission import TAKEN_BY
from approval_gate.errors import Unavailable
from approval_gate.verdicts import told, understood


class Died(BaseException):
    """The process died here."""


@dataclass
class Fault:
    """What goes wrong at a call.

    Args:
        call: the name of the method.
        after: whether the call has its effect first.
        error: what is raised.
        times: how often; for ever if negative.
    """

    call: str
    after: bool = False
    error: type[BaseException] = Unavailable
    times: int = 1


@dataclass
class FakeEngine:
    """Prefect, in memory.

    Args:
        clock: tells the time, aware.
    """

    clock: Callable[[], datetime]
    pool: str = "signoff"
    past_us: bool = False
    queues: set[str] = field(default_factory=lambda: {"default"})
    other_pools: dict[str, set[str]] = field(default_factory=dict)
    served: set[str] = field(default_factory=lambda: {"default"})
    workers: dict[str, datetime] = field(default_factory=dict)
    made: dict[UUID, DeploymentSpec] = field(default_factory=dict)
    all_runs: dict[UUID, Run] = field(default_factory=dict)
    keys: dict[str, UUID] = field(default_factory=dict)
    lines: dict[UUID, list[LogLine]] = field(default_factory=dict)
    log_parts: list[LogPart] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    automations: dict[UUID, Automation] = field(default_factory=dict)
    taken: dict[UUID, Claim] = field(default_factory=dict)
    questions: dict[UUID, ApprovalForm] = field(default_factory=dict)
    answers: dict[UUID, object] = field(default_factory=dict)
    announced: dict[UUID, Announcement] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    # Faults

    def fail(self, call: str, *, after: bool = False, error: type[BaseException] = Unavailable, times: int = 1) -> None:
        """Let a call go wrong."""
        self.faults.append(Fault(call, after, error, times))

    def _may_fail(self, call: str, *, after: bool) -> None:
        if not after:
            self.calls.append(call)
        for fault in self.faults:
            if fault.call == call and fault.after is after and fault.times != 0:
                fault.times -= 1
                raise fault.error("Prefect does not answer.")

    # The promises

    async def has_pool(self, pool: str) -> bool:
        self._may_fail("has_pool", after=False)
        return pool == self.pool or pool in self.other_pools

    async def prepare(self, queues: Collection[str], pool: str = "") -> None:
        self._may_fail("prepare", after=False)
        self._queues_of(pool).update(queues)
        self._may_fail("prepare", after=True)

    async def remove_run(self, run_id: UUID) -> None:
        self._may_fail("remove_run", after=False)
        self.all_runs.pop(run_id, None)
        self._may_fail("remove_run", after=True)

    async def worker_counts(self, pool: str = "") -> Mapping[str, int]:
        self._may_fail("worker_counts", after=False)
        return {queue: int(self._is_served(queue, pool)) for queue in self._queues_of(pool)}

    async def queue_polls(self, pool: str = "") -> Mapping[str, datetime | None]:
        self._may_fail("queue_polls", after=False)
        return {queue: self.clock() if self._is_served(queue, pool) else None for queue in self._queues_of(pool)}

    async def worker_heartbeats(self, pool: str = "") -> Mapping[str, datetime]:
        self._may_fail("worker_heartbeats", after=False)
        return self.workers.copy() if not pool else {}

    def _queues_of(self, pool: str) -> set[str]:
        return self.other_pools.get(pool, set()) if pool else self.queues

    def _is_served(self, queue: str, pool: str) -> bool:
        return (f"{pool}/{queue}" if pool else queue) in self.served

    async def has_worker(self, queue: str) -> bool:
        self._may_fail("has_worker", after=False)
        return queue in self.served

    async def find_deployment(self, flow: str, name: str) -> UUID | None:
        self._may_fail("find_deployment", after=False)
        return next((key for key, spec in self.made.items() if (spec.flow, spec.name) == (flow, name)), None)

    async def read_deployment(self, deployment_id: UUID) -> DeploymentSpec | None:
        self._may_fail("read_deployment", after=False)
        return self.made.get(deployment_id)

    async def deployments(self) -> Mapping[UUID, DeploymentSpec]:
        self._may_fail("deployments", after=False)
        return dict(self.made)

    async def create_deployment(self, spec: DeploymentSpec) -> tuple[UUID, DeploymentSpec]:
        self._may_fail("create_deployment", after=False)
        found = next((key for key, made in self.made.items() if (made.flow, made.name) == (spec.flow, spec.name)), None)
        if found is None:
            found = uuid4()
            schedule = replace(spec.schedule, active=False) if spec.schedule else None
            self.made[found] = replace(spec, schedule=schedule)
        self._may_fail("create_deployment", after=True)
        return found, self.made[found]

    async def write_deployment(self, deployment_id: UUID, was: DeploymentSpec, spec: DeploymentSpec) -> None:
        self._may_fail("write_deployment", after=False)
        found = self._deployment(deployment_id)
        self.made[deployment_id] = replace(spec, flow=found.flow, name=found.name)
        self._forget_scheduled(deployment_id)
        self._may_fail("write_deployment", after=True)

    async def remove_deployment(self, deployment_id: UUID) -> None:
        self._may_fail("remove_deployment", after=False)
        if self.made.pop(deployment_id, None) is not None:
            self._forget_scheduled(deployment_id)
            for run in self.all_runs.values():
                if run.deployment_id == deployment_id and run.waits:
                    self._put(run, "CANCELLED", "Cancelled", "The scheduled job was deleted.")
        self._may_fail("remove_deployment", after=True)

    async def create_run(self, deployment_id: UUID, run: RunSpec) -> Run:
        self._may_fail("create_run", after=False)
        self._deployment(deployment_id)
        if self.keys.get(run.key) not in self.all_runs:
            made = self._new_run(
                deployment_id, run.parameters, self.clock(), by_schedule=False, name=run.name, key=run.key
            )
            if run.at is None:
                self._put(made, "PAUSED", "Suspended", run.message)
            else:
                self._put(made, "SCHEDULED", "Scheduled", run.message, scheduled_for=run.at)
            pool = self.made[deployment_id].pool if run.pool is None else run.pool
            self.all_runs[made.id] = replace(self.all_runs[made.id], pool=pool)
            self.keys[run.key] = made.id
        self._may_fail("create_run", after=True)
        return self.all_runs[self.keys[run.key]]

    async def find_run(self, key: str) -> UUID | None:
        self._may_fail("find_run", after=False)
        found = self.keys.get(key)
        return found if found in self.all_runs else None

    async def ask(self, run_id: UUID, question: ApprovalForm) -> None:
        self._may_fail("ask", after=False)
        run = self.all_runs.get(run_id)
        if run is not None and not run.final:
            self.all_runs[run_id] = run = replace(run, name=question.name, parameters=question.parameters)
            if not run.held or run.message != question.message:
                self._put(run, "PAUSED", "Suspended", question.message)
            self.questions[run_id] = question
            lines = self.lines.setdefault(run_id, [])
            if question.notice and not any(line.source == NOTICES for line in lines):
                lines.append(
                    LogLine(
                        id=uuid4(),
                        level=20,
                        source=NOTICES,
                        message=f"{question.notice} {question.page}",
                        created=self.clock(),
                    )
                )
        self._may_fail("ask", after=True)

    async def asked(self, run_id: UUID) -> ApprovalForm | None:
        self._may_fail("asked", after=False)
        run = self.all_runs.get(run_id)
        asked = self.questions.get(run_id) if run is not None and run.held else None
        return replace(asked, parameters=run.parameters) if asked is not None and run is not None else None

    async def release(self, run_id: UUID, at: datetime, message: str, *, name: str | None = None) -> None:
        self._may_fail("release", after=False)
        run = self.all_runs.get(run_id)
        if run is not None and not run.final:
            self.all_runs[run_id] = run = replace(run, name=name or run.name)
            self.questions.pop(run_id, None)
            if not (run.state_type == "SCHEDULED" and run.scheduled_for == at):
                self._put(run, "SCHEDULED", "Scheduled", message, scheduled_for=at)
        self._may_fail("release", after=True)

    async def rename(self, run_id: UUID, name: str) -> None:
        self._may_fail("rename", after=False)
        if run_id in self.all_runs:
            self.all_runs[run_id] = replace(self.all_runs[run_id], name=name)
        self._may_fail("rename", after=True)

    async def resume(self, run_id: UUID, answer: object) -> str:
        self._may_fail("resume", after=False)
        run = self.all_runs[run_id]
        if not run.held:
            return "Cannot resume a flow run that is not paused."
        if run.without_process:
            self._put(run, "SCHEDULED", "Resuming", "", scheduled_for=run.expected_start)
        else:
            self._put(run, "RUNNING", "Running", "")
        self.answers[run_id] = answer
        self._may_fail("resume", after=True)
        return ""

    async def restart(self, run_id: UUID, at: datetime, message: str) -> None:
        self._may_fail("restart", after=False)
        if run_id in self.all_runs:
            self._put(replace(self.all_runs[run_id], ended=None), "SCHEDULED", "Scheduled", message, scheduled_for=at)
        self._may_fail("restart", after=True)

    async def end(self, run_id: UUID, state: str, name: str, message: str, *, called: str | None = None) -> None:
        self._may_fail("end", after=False)
        run = self.all_runs.get(run_id)
        if run is not None and not run.final:
            self.all_runs[run_id] = run = replace(run, name=called or run.name)
            self._put(run, state, *understood(state, *told(name, message)))
        self._may_fail("end", after=True)

    async def runs(self, ids: Collection[UUID]) -> Mapping[UUID, Run]:
        self._may_fail("runs", after=False)
        return {run_id: self.all_runs[run_id] for run_id in ids if run_id in self.all_runs}

    async def claim(self, run_id: UUID) -> Claim | None:
        self._may_fail("claim", after=False)
        return self.taken.get(run_id)

    async def due_runs(self, deployment_id: UUID, until: datetime) -> list[Run]:
        self._may_fail("due_runs", after=False)
        due = [r for r in self.all_runs.values() if r.deployment_id == deployment_id and r.expected_start <= until]
        return sorted(due, key=lambda run: run.expected_start, reverse=True)[:200]

    async def late_runs(self) -> list[Run]:
        self._may_fail("late_runs", after=False)
        return [run for run in self.all_runs.values() if run.state_name == "Late"]

    async def runs_in(self, state_types: Collection[str]) -> list[Run]:
        self._may_fail("runs_in", after=False)
        return [run for run in self.all_runs.values() if run.state_type in state_types]

    async def show(self, run_id: UUID) -> Mapping[str, Any] | None:
        self._may_fail("show", after=False)
        run = self.all_runs.get(run_id)
        return None if run is None else {"id": str(run.id), "name": run.name, "state": {"type": run.state_type}}

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        self._may_fail("announce", after=False)
        for each in announcements:
            self.announced.setdefault(each.id, each)
        self._may_fail("announce", after=True)

    async def variable(self, name: str) -> Any:
        self._may_fail("variable", after=False)
        return self.variables.get(name)

    async def automation(self, automation_id: UUID) -> Automation | None:
        self._may_fail("automation", after=False)
        return self.automations.get(automation_id)

    async def logs(self, run_id: UUID, part: LogPart = WHOLE) -> list[LogLine]:
        self._may_fail("logs", after=False)
        self.log_parts.append(part)
        since = part.since or datetime.min.replace(tzinfo=UTC)
        lines = [line for line in self.lines.get(run_id, []) if line.level >= part.least and line.created >= since]
        lines = lines[::-1] if part.from_end else lines
        taken = lines[part.skip :][: part.limit]
        return taken[::-1] if part.from_end else taken

    def _deployment(self, deployment_id: UUID) -> DeploymentSpec:
        if deployment_id not in self.made:
            raise Unavailable("Prefect refused: there is no such deployment.")
        return self.made[deployment_id]

    # What happens in Prefect without us

    def delete_deployment(self, deployment_id: UUID) -> None:
        """Let a hand delete a deployment: Prefect deletes its scheduled runs and keeps its suspended ones."""
        del self.made[deployment_id]
        for run in [run for run in self.all_runs.values() if run.deployment_id == deployment_id]:
            if run.state_type == "SCHEDULED":
                del self.all_runs[run.id]

    def delete_run(self, run_id: UUID) -> None:
        """Let a hand delete a run."""
        del self.all_runs[run_id]

    def make_firing(self, deployment_id: UUID, nominal: datetime) -> Run:
        """Let the scheduler make the run of a firing."""
        spec = self.made[deployment_id]
        run = self._new_run(deployment_id, spec.parameters, nominal, by_schedule=True)
        return self._put(run, "SCHEDULED", "Scheduled", "", scheduled_for=nominal)

    def set_state(self, run_id: UUID, state: str, name: str, message: str = "", **to: Any) -> Run:
        """Let a worker, or a hand, put a run into a state."""
        return self._put(self.all_runs[run_id], state, name, message, **to)

    def _new_run(
        self,
        deployment_id: UUID,
        parameters: Mapping[str, Any],
        expected: datetime,
        *,
        by_schedule: bool,
        name: str = "brave-badger",
        key: str = "",
    ) -> Run:
        now = self.clock()
        run = Run(
            id=uuid4(),
            key=key,
            name=name,
            deployment_id=deployment_id,
            state_type="PENDING",
            state_name="Pending",
            message="",
            expected_start=expected,
            scheduled_for=None,
            parameters=dict(parameters),
            by_schedule=by_schedule,
            started=None,
            ended=None,
            since=now,
            pool=self.pool,
        )
        self.all_runs[run.id] = run
        return run

    def _put(self, run: Run, state: str, name: str, message: str, **to: Any) -> Run:
        to = {"scheduled_for": None, **to}
        if state == "PENDING":
            worker = message.removeprefix(TAKEN_BY) if message.startswith(TAKEN_BY) else ""
            now, before = self.clock(), self.taken.get(run.id)
            self.taken[run.id] = Claim(at=now, worker=worker, first=before.first if before is not None else now)
        changed = replace(run, state_type=state, state_name=name, message=message, since=self.clock(), **to)
        if changed.final:
            changed = replace(changed, ended=self.clock())
        self.all_runs[run.id] = changed
        return changed

    def _forget_scheduled(self, deployment_id: UUID) -> None:
        # Prefect deletes the runs that its scheduler has made and that lie ahead.
        now = self.clock()
        ahead = [r for r in self.all_runs.values() if r.deployment_id == deployment_id and r.by_schedule]
        for run in ahead:
            if run.state_type == "SCHEDULED" and run.expected_start > now:
                del self.all_runs[run.id]
