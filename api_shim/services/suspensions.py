"""Runs that their own code pauses or suspends, and that somebody resumes.

* A run says by itself that it pauses (its process waits) or is suspended (its process ends). That is recorded before
  Prefect is told, so what was suspended can be resumed. A run that somebody else suspends in Prefect is not resumed
  here: its code would begin anew, and it did not ask for that.
* Whoever may run its Job and may view its result resumes it, with what it asks for. Prefect checks that.
* What was suspended asks for admission again, with a new process, and is the same execution. Until then it is
  cancelled like a run under way.
* What people send is an object, and data: nothing in it is filled in from Prefect's variables or templates.
* What Prefect refuses leaves the run as it was; that somebody has asked stays in the audit.
* A request that waits for a decision is resumed by deciding about it (``services.prefect_ui``), and not by this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.audit import EventType
from api_shim.domain.model import JobResult
from api_shim.domain.ports import Orchestrator
from api_shim.services.authorization import check_still_active
from api_shim.services.results import KIND, about, may_resume
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, Invalid
from approval_gate.model import Actor

NOT_SUSPENDED = "This run is not suspended by its own code, so there is nothing to resume."
NOT_FILLED_IN = "What a run is resumed with is taken as it is: it cannot have variables or templates."
FILLED_IN = "__prefect_kind"
"""The key by which Prefect is told how to make a value."""
AS_IT_IS = ("none", "json")
"""Its values for which Prefect takes what is written."""


class Suspensions:
    """Records that runs are suspended by their own code, and resumes them.

    Args:
        store: what is true.
        engine: Prefect.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, engine: Orchestrator, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock

    async def note(self, run_id: UUID) -> None:
        """Record that a run pauses, or is about to be suspended, by its own code; nothing if it was not let go."""
        await self._store.write(partial(_note, run_id, suspended=True))

    async def forget(self, run_id: UUID) -> None:
        """Record that it is not: Prefect lets it run, as code that suspends itself once more when it was resumed."""
        await self._store.write(partial(_note, run_id, suspended=False))

    async def resume(self, actor: Actor, result_id: UUID, answer: object = None) -> JobResult:
        """Let a run go on that its own code has paused or suspended.

        Args:
            actor: who asks.
            result_id: the job result of the run.
            answer: what the run asks for, as JSON; None for nothing.

        Returns:
            its job result, as it stands then.

        Raises:
            Forbidden: they may not run its Job.
            NotFound: there is no such result, or none that they may view.
            Conflict: it is not suspended by its own code.
            Invalid: Prefect refuses the answer; with its sentence.
            Unavailable: Prefect does not answer.
        """
        result = await self._store.read(partial(_resumable, actor, result_id))
        _check_answer(answer)
        run_id = result.flow_run_id
        run = (await self._engine.runs([run_id])).get(run_id) if run_id is not None else None
        if run is None or not run.held:
            raise Conflict(NOT_SUSPENDED)
        # Recorded first: a process that Prefect starts finds that it may go on.
        resume = partial(_resume, actor, result_id, self._clock(), without_process=run.without_process)
        before = await self._store.write(resume)
        if refused := await self._engine.resume(run.id, answer):
            await self._store.write(partial(_stay, before))
            raise Invalid({"run_input": [refused]})
        return await self._store.write(partial(_gone_on, result_id, without_process=run.without_process))

    async def resume_run(self, actor: Actor, run_id: UUID, answer: object) -> bool:
        """Do the same for a run of Prefect's, and say whether its own code has suspended it; see ``resume``."""
        result = await self._store.read(lambda tx: tx.get(JobResult, flow_run_id=run_id, suspended=True))
        if result is None:
            return False
        await self.resume(actor, result.id, answer)
        return True


def _note(run_id: UUID, tx: Transaction, *, suspended: bool) -> None:
    result = tx.get(JobResult, flow_run_id=run_id, lock=True)
    if result is not None and result.attempt is not None and not result.status.final:
        tx.change(result, suspended=suspended)


def _resumable(actor: Actor, result_id: UUID, tx: Transaction, *, lock: bool = False) -> JobResult:
    result = tx.get(JobResult, id=result_id, lock=lock)
    policy.enforce(may_resume(actor, result, tx), KIND)
    if result is None:
        raise policy.missing(KIND)
    if not result.can_be_resumed:
        raise Conflict(NOT_SUSPENDED)
    return result


def _resume(actor: Actor, result_id: UUID, now: datetime, tx: Transaction, *, without_process: bool) -> JobResult:
    """Let a run go on, and return its result as it was before."""
    result = _resumable(actor, result_id, tx, lock=True)
    check_still_active(tx, actor)
    tx.record(about(result, EventType.RESULT_RESUMED, now, actor))
    if without_process:
        # The process that was let go has ended; another one may go, once.
        tx.change(result, attempt=None, worker="", lease="")
    return result


def _stay(before: JobResult, tx: Transaction) -> None:
    """Have a run that does not go on be as it was."""
    result = tx.get(JobResult, id=before.id, lock=True)
    if result is not None and result.resumed and not result.status.final:
        tx.change(result, attempt=before.attempt, worker=before.worker, lease=before.lease)


def _gone_on(result_id: UUID, tx: Transaction, *, without_process: bool) -> JobResult:
    """Return the result of a run that goes on; one whose process has waited is suspended no more."""
    result = tx.get(JobResult, id=result_id, lock=True)
    if result is None:
        raise policy.missing(KIND)
    return result if without_process else tx.change(result, suspended=False)


def _check_answer(answer: object) -> None:
    """Check that it is nothing, or an object that Prefect takes as it is.

    Raises:
        Invalid: it is not.
    """
    if answer is not None and not isinstance(answer, Mapping):
        raise Invalid({"run_input": ["Expected an object."]})
    _check_filled_in(answer)


def _check_filled_in(answer: object) -> None:
    """Check that Prefect would make no value of it.

    Raises:
        Invalid: it would.
    """
    if isinstance(answer, Mapping):
        if answer.get(FILLED_IN, AS_IT_IS[0]) not in AS_IT_IS:
            raise Invalid({"run_input": [NOT_FILLED_IN]})
        parts: Any = answer.values()
    else:
        parts = answer if isinstance(answer, list) else ()
    for part in parts:
        _check_filled_in(part)
