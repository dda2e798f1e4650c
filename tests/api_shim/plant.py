"""Everything but Prefect and the web, over a store: can die at any point, be started anew, and let time pass."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from hypothesis.stateful import RuleBasedStateMachine

from api_shim.background import BackgroundLoop
from api_shim.domain.model import Job, JobResult, PendingCleanup, ScheduledJob, Status
from api_shim.domain.ports import Run
from api_shim.domain.recurrence import Interval
from api_shim.parsing.run_request import RunRequest
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.run_status import RunStatus
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import WorkQueue
from api_shim.services.admission import Admissions, Attempt, Outcome
from api_shim.services.approvals import Approvals
from api_shim.services.ownership import Ownership
from api_shim.services.runs import Runs
from api_shim.services.schedule_changes import ScheduleChanges
from api_shim.services.schedule_views import Explainer
from api_shim.services.schedules import Schedules
from api_shim.store import Store, Transaction
from approval_gate.admission import Answer, Finish, Go, Hold, Refuse, Wait
from approval_gate.errors import Invalid
from approval_gate.model import Actor
from tests.databases import INPUTS_KEY, sqlite_with_tables
from tests.factories import NOW, make_job, make_scheduled, make_user
from tests.fakes import Died, FakeEngine
from tests.memory import folder_in_memory

T = TypeVar("T")
HOUR = timedelta(hours=1)
INPUTS = {"count": 2}


@dataclass
class Life:
    """Counts the points at which a process can die, and dies at one of them."""

    dies_at: int = 0
    points: int = 0

    def point(self) -> None:
        self.points += 1
        if self.points == self.dies_at:
            raise Died(f"at point {self.points}")


class MortalStore(Store):
    """A store whose process can die before a commit and after it."""

    life: Life

    async def write(self, tell: Callable[[Transaction], T]) -> T:
        self.life.point()
        done = await super().write(tell)
        self.life.point()
        return done


@dataclass
class MortalEngine(FakeEngine):
    """A Prefect whose caller can die before each call and after each that changes something."""

    life: Life | None = None

    def _may_fail(self, call: str, *, after: bool) -> None:
        if self.life is not None:
            self.life.point()
        super()._may_fail(call, after=after)


class Code:
    """The code of Jobs that take whatever they are given."""

    def validate(self, job: Job, data: object) -> Mapping[str, Any]:
        if not isinstance(data, dict):
            raise Invalid({"errors": ["Job data needs to be a dict"]})
        return data


class Polls:
    """Says which queues are served, beside all that can fail."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    async def queue_polls(self, _pool: str = "") -> Mapping[str, datetime | None]:
        return dict.fromkeys(self._plant.engine.served, self._plant.now)

    async def worker_heartbeats(self, _pool: str = "") -> Mapping[str, datetime]:
        return self._plant.engine.workers


class Prompt:
    """A use case before each of whose calls it is known who serves, and after each the queue is worked off."""

    def __init__(self, use_case: Any, plant: Plant) -> None:
        self._use_case = use_case
        self._queue = plant.queue
        self._served = plant.served

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._use_case, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def called(*args: Any, **named: Any) -> Any:
            await self._served.look()
            answer = await found(*args, **named)
            await self._queue.drain()
            return answer

        return called


class Plant:
    """The use cases over one store and one Prefect in memory.

    Args:
        url: the store's.
        job: what is special about its Job.
    """

    def __init__(self, url: str, **job: Any) -> None:
        self.now = NOW
        self.store = MortalStore(url)
        self.store.inputs_key = INPUTS_KEY
        self.engine = MortalEngine(clock=lambda: self.now)
        self.user = make_user(is_superuser=True)
        self.actor = Actor(id=self.user.id, username="alice", superuser=True)
        self.job = make_job(**job)
        self.code = self.job.code_digest
        self.start()

    def start(self, dies_at: int = 0) -> None:
        """Begin anew, as a process does: with what is in the store and in Prefect, and nothing else."""
        self.life = self.store.life = self.engine.life = Life(dies_at)
        clock = lambda: self.now  # noqa: E731 - one for all of them
        code: Any = Code()  # the same promise, for Jobs without code
        self.projection = Reconciler(self.store, self.engine, clock)
        self.queue = WorkQueue(self.projection.follow, clock)
        known: Any = Polls(self)  # what is asked here
        self.served = ServedQueues(known, clock, patience=timedelta(0))
        self.run_status = RunStatus(self.store, self.engine, self.queue, clock)
        self.loop = BackgroundLoop(
            self.store, self.engine, self.projection, self.queue, self.served, self.run_status, clock
        )
        self.admissions = Admissions(self.store)
        self.explainer = Explainer(store=self.store, clock=clock)
        wake = self.queue.wake
        runs = Runs(self.store, self.served, wake)
        self.runs: Runs = self.prompt(runs)
        self.approvals: Approvals = self.prompt(
            Approvals(store=self.store, runs=runs, projection=self.projection, wake=wake, clock=clock)
        )
        self.ownership: Ownership = self.prompt(Ownership(store=self.store, wake=wake, clock=clock))
        self.schedule_changes: ScheduleChanges = self.prompt(
            ScheduleChanges(store=self.store, runs=runs, wake=wake, code=code, clock=clock)
        )
        self.schedules: Schedules = self.prompt(
            Schedules(store=self.store, runs=runs, wake=wake, code=code, clock=clock, zone="UTC")
        )

    def prompt(self, use_case: Any) -> Any:
        """Return a use case after each of whose calls Prefect follows, as it does on an idle server."""
        return Prompt(use_case, self)

    # What happens

    def dies(self, work: Callable[[], Awaitable[Any]]) -> bool:
        """Do something; say whether the process died of it."""
        try:
            asyncio.run(_awaited(work))
        except Died:
            return True
        return False

    def tick(self, times: int = 1, **by: float) -> None:
        """Let time pass before each tick."""
        for _ in range(times):
            self.now += timedelta(**by)
            asyncio.run(self.round())

    async def round(self) -> None:
        """Go once round the loop, and let Prefect follow what it finds."""
        try:
            await self.loop.tick()
        finally:
            await self.queue.drain()

    def settle(self) -> None:
        """Start anew, and go on for long enough that everything is mended."""
        self.start()
        self.tick(4, seconds=31)

    async def request(self, schedule: object = None, **request: Any) -> Any:
        asked = RunRequest(**{"data": INPUTS, "schedule": schedule, **request})
        return await self.schedules.request(self.actor, self.job.id, asked)

    def work(self, run: Run, *, crash: bool = False) -> Answer:
        """Let a worker execute a run that is due."""
        run = self.engine.set_state(run.id, "RUNNING", "Running", started=self.now)
        attempt = uuid4()
        answer, _ticket = self.admissions.ask(run, Attempt(id=attempt, worker="elsewhere:1", code=self.code), self.now)
        match answer:
            case Hold(reason=why):
                asyncio.run(self.approvals.put_back(run.id))
                if not self.engine.all_runs[run.id].held:
                    # As the gate does: a run that is not suspended would look as if it had run.
                    self.engine.set_state(run.id, "FAILED", "Refused", why)
            case Go() if crash:
                self.engine.set_state(run.id, "CRASHED", "Crashed", "The process died.")
            case Go():
                self.admissions.tell(
                    run.id, attempt, Outcome(status=Status.SUCCESS, result=1, traceback=None), self.now
                )
                self.engine.set_state(run.id, "COMPLETED", "Completed")
            case Finish(message=why):
                self.engine.set_state(run.id, "CANCELLED", "Skipped", why)
            case Refuse(reason=why):
                self.engine.set_state(run.id, "FAILED", "Refused", why)
            case Wait(until=until):
                self.engine.set_state(run.id, "SCHEDULED", "Waiting", scheduled_for=until)
        return answer

    def let_go(self, run: Run) -> UUID:
        """Let a worker take a run, which then goes on; return the process."""
        run = self.engine.set_state(run.id, "RUNNING", "Running", started=self.now)
        attempt = Attempt(id=uuid4(), worker="elsewhere:1", code=self.code)
        answer, _ = self.admissions.ask(run, attempt, self.now)
        assert answer == Go()
        return attempt.id

    def work_off(self) -> None:
        """Let a worker execute everything that is due, the oldest first."""
        due = [run for run in self.waiting() if run.scheduled_for is not None and run.scheduled_for <= self.now]
        for run in sorted(due, key=lambda run: run.expected_start):
            self.work(run)

    # What stands in the store

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def change(self, thing: Any, **to: Any) -> None:
        with self.store.transaction() as tx:
            tx.change(thing, **to)

    def all(self, kind: type[T]) -> list[T]:
        with self.store.transaction(write=False) as tx:
            return tx.all(kind)

    def only(self, kind: type[T]) -> T:
        [it] = self.all(kind)
        return it

    def results(self) -> dict[datetime | None, JobResult]:
        """Return the job results by firing; there is one of each."""
        results = self.all(JobResult)
        by_time = {result.nominal_time: result for result in results}
        assert len(by_time) == len(results)
        return by_time

    def one_off(self, **to: Any) -> ScheduledJob:
        return self._scheduled(**{"interval": Interval.FUTURE, **to})

    def recurring(self, **to: Any) -> ScheduledJob:
        return self._scheduled(**to)

    def _scheduled(self, **to: Any) -> ScheduledJob:
        times = {"created": self.now, "date_changed": self.now, "due_from": self.now}
        scheduled = make_scheduled(
            self.job, self.user, **{"inputs": INPUTS, "start_time": self.now + HOUR, **times, **to}
        )
        self.add(scheduled)
        return scheduled

    # What stands in Prefect

    def waiting(self) -> list[Run]:
        return [run for run in self.engine.all_runs.values() if run.waits]

    def unended(self) -> list[Run]:
        return [run for run in self.engine.all_runs.values() if not run.final]

    def own(self) -> dict[UUID, Any]:
        """Return the deployments of scheduled jobs."""
        return {key: spec for key, spec in self.engine.made.items() if spec.schedule is not None}

    def own_id(self) -> UUID:
        [own] = self.own()
        return own

    def check_in_line(self) -> None:
        """See that Prefect is as the store says, and nothing else is there."""
        job = self.only(Job)
        assert self.all(PendingCleanup) == []
        assert [key for key, spec in self.engine.made.items() if spec.schedule is None] == [job.deployment_id]
        rows = self.all(ScheduledJob)
        expected = {row.deployment_id: str(row.id) for row in rows if not row.one_off}
        assert {key: spec.schedule.slug for key, spec in self.own().items()} == expected
        assert all(row.projected_version == row.version for row in rows)
        one_offs = {row.flow_run_id: row.start_time for row in rows if row.one_off and row.may_fire}
        shown = {run.id: run.scheduled_for for run in self.unended() if not run.by_schedule}
        results = [result.flow_run_id for result in self.all(JobResult) if not result.status.final]
        assert shown == {**one_offs, **{run_id: shown.get(run_id) for run_id in results}}
        assert all(not run.held for run in self.unended())


def opened_plant(url: str, **job: Any) -> Iterator[Plant]:
    """Make a plant over an empty store whose Job has its deployment, for a while."""
    made = Plant(url, **job)
    made.add(made.user, made.job)
    made.tick()
    yield made
    made.store.close()


async def _awaited(work: Callable[[], Awaitable[Any]]) -> None:
    await work()


class Plants:
    """Makes plants over empty stores of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Plant] = []

    def make(self, **job: Any) -> Plant:
        """Return a plant whose Job has been recorded, and not more."""
        plant = Plant(sqlite_with_tables(self._folder / f"{uuid4()}.db"), **job)
        plant.add(plant.user, plant.job)
        self._made.append(plant)
        return plant

    def ready(self, **job: Any) -> Plant:
        """Return a plant whose Job has its deployment."""
        plant = self.make(**job)
        plant.tick()
        return plant

    def dying(self, ready: Callable[[], Plant], work: Callable[[Plant], Awaitable[Any]]) -> Iterator[Plant]:
        """Do the same in new plants that die at the first point, at the second, … and last not at all."""
        at, died = 0, True
        while died:
            at += 1
            plant = ready()
            plant.start(dies_at=at)
            died = plant.dies(lambda plant=plant: work(plant))  # type: ignore[misc]  # bound now, not later
            yield plant
        assert at > 3, "There was nothing to die of."

    def close(self) -> None:
        for plant in self._made:
            plant.store.close()


class OverPlants(RuleBasedStateMachine):
    """A state machine that makes plants, and numbers what it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=folder_in_memory())
        self._plants = Plants(Path(self._folder.name))
        self._number = 0

    def teardown(self) -> None:
        self._plants.close()
        self._folder.cleanup()
