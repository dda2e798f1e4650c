"""The use cases around requests: approve, deny and dry-run.

* The rules are the policy's; here each decision is one transaction that locks the request first. So of several
  decisions at once the first holds, and the others are told who decided.
* An approval is bound to what stood in the store when it was given. Those who say which version they have
  seen can decide about no other, nor try it; what a person has edited is approved with its version only, and so is by
  its name what has the name of an earlier request.
* Who denies has to say why, where that is set so.
* Denied is gone; who decides after that is told by whom it was denied, if they could have seen it.
* A dry run is a run of its own, as the one who starts it; the request stays as it is.

Contract 6, 9.4 to 9.7, and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.approval import binding_of
from api_shim.domain.audit import EventType, scheduled_job_event, snapshot
from api_shim.domain.model import AskingAgent, JobResult, PendingCleanup, ScheduledJob
from api_shim.metrics import decided
from api_shim.parsing.decision import Decision
from api_shim.reconcile.approval_requests import settle
from api_shim.reconcile.missed import why_not_asked
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.wake_queue import Kind, Wake
from api_shim.services.agents import asking_agent, check_person
from api_shim.services.authorization import AuthzContext, authorize, check_seen, check_still_active
from api_shim.services.runs import AskedAs, Runs
from api_shim.services.schedules import delete_rows
from api_shim.services.stored_inputs import read_again
from api_shim.settings import LIMITS, DenialComment, Limits
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, Invalid
from approval_gate.lifecycle import STEPS, ApprovalState, Transition
from approval_gate.model import Action, Actor

SAY_WHY = "Give a reason, so that whoever requested it knows why."


class Approvals:
    """Decisions about requests.

    Args:
        store: what is true.
        runs: starts dry runs.
        projection: brings Prefect into line.
        wake: lets Prefect follow.
        clock: tells the time, aware.
        limits: what it asks of who decides.
    """

    def __init__(
        self,
        *,
        store: Store,
        runs: Runs,
        projection: Reconciler,
        wake: Wake,
        clock: Callable[[], datetime],
        limits: Limits = LIMITS,
    ) -> None:
        self._store = store
        self._runs = runs
        self._projection = projection
        self._wake = wake
        self._clock = clock
        self._limits = limits

    def needs_comment(self, *, on_page: bool) -> bool:
        """Say whether whoever denies a request has to say why.

        Args:
            on_page: whether they do it on one of our pages.
        """
        where = self._limits.denial_comment
        return where is DenialComment.ALWAYS or (on_page and where is DenialComment.PAGES)

    async def approve(self, actor: Actor, by: Mapping[str, Any], decision: Decision) -> ScheduledJob:
        """Let a request go.

        Args:
            actor: who decides.
            by: the field that tells which request.
            decision: what they decide with.

        Returns:
            the scheduled job, approved.

        Raises:
            Forbidden: they may not, with the reason.
            NotFound: there is no such request, or none that they may see.
            Conflict: it has been decided, needs no approval, is not asked any more, or may not be what they have read
                while they name no version.
            Outdated: it is not what they have seen.
            Invalid: its start has passed, and they did not say that they know.
            NotRunnable: its Job's code is gone.
        """
        row = await self._store.write(partial(_approve, actor, by, decision, self._clock()))
        self._wake(Kind.SCHEDULED_JOB, row.id, row.start_time)
        return row

    async def deny(
        self, actor: Actor, by: Mapping[str, Any], decision: Decision, *, on_page: bool = False
    ) -> ScheduledJob:
        """Deny a request, or withdraw one's own; it is gone then.

        Args:
            actor: who decides.
            by: the field that tells which request.
            decision: what they decide with.
            on_page: whether they do it on one of our pages.

        Raises:
            Forbidden: they may not, with the reason.
            NotFound: there is no such request, or none that they may see.
            Conflict: it has been decided, or needs no approval.
            Outdated: it is not what they have seen.
            Invalid: they do not say why, and have to.
        """
        needs_comment = self.needs_comment(on_page=on_page)
        row, leftover = await self._store.write(
            partial(_deny, actor, by, decision, self._clock(), needs_comment=needs_comment)
        )
        self._wake(Kind.LEFTOVER, leftover.id)
        return row

    async def dry_run(self, actor: Actor, by: Mapping[str, Any], seen: str | None = None) -> JobResult:
        """Run a request's Job with its inputs and without effect, as the actor.

        Args:
            actor: who tries it.
            by: the field that tells which request.
            seen: the version that they have seen; None for whatever it is.

        Raises:
            Forbidden: they may not run that Job.
            NotFound: there is no such scheduled job, or none that they may see.
            NotRunnable: its Job has no dry run, or cannot run.
            Outdated: it is not what they have seen.
            Invalid: its inputs do not fit the variables of its Job any more.
            Unavailable: no worker serves the queue.
        """
        now = self._clock()
        case, agent = await self._store.read(partial(_dry_runnable, actor, by, seen, now, self._limits))
        self._runs.check_served(case.row.queue)
        inputs = {**case.row.inputs, "dryrun": True}
        if why_not := read_again(case.job, inputs, hidden=case.row.hides_inputs(case.job)).unfit:
            raise Invalid({"detail": why_not})

        def record(tx: Transaction, result: JobResult) -> None:
            tx.record(scheduled_job_event(case.row, EventType.DRY_RUN, now, actor, job_result=str(result.id)))

        asked_as = AskedAs(agent=agent)
        return await self._runs.start(actor, case.job, inputs, case.row.queue, now, also=record, asked_as=asked_as)

    async def put_back(self, run_id: UUID) -> None:
        """Let the run of an undecided request, which was let start in Prefect, stand and ask again."""
        await self._projection.put_back(run_id)


def _approve(actor: Actor, by: Mapping[str, Any], decision: Decision, now: datetime, tx: Transaction) -> ScheduledJob:
    case = authorize(tx, actor, Action.CHANGE, by, now, partial(policy.approve, actor, force=decision.force))
    row = case.row
    if row.approval is ApprovalState.APPROVED:
        return row
    if why_not := why_not_asked(row, tx):
        raise Conflict(why_not)
    check_seen(case, decision.version, needed=_why_version(tx, by, row))
    check_still_active(tx, actor)
    tx.record(scheduled_job_event(row, EventType.APPROVED, now, actor, comment=decision.comment, force=decision.force))
    tx.afterwards(partial(decided, "approved", now - row.date_changed))
    settle(tx, [(row, case.job)], STEPS[row.approval, Transition.APPROVE], now, actor, decision.comment)
    return tx.change(
        row,
        approval=STEPS[row.approval, Transition.APPROVE],
        approval_note="",
        approval_comment=decision.comment,
        approved=binding_of(row, case.job),
        edited=False,
        approved_at=now,
        approved_by=actor.username,
        approved_by_id=actor.id,
        date_changed=now,
        due_from=now,
        version=row.version + 1,
    )


def _why_version(tx: Transaction, by: Mapping[str, Any], row: ScheduledJob) -> str:
    """Return why a request may not be what its approver has read; empty if nobody touched it."""
    if row.edited:
        return policy.EDITED
    return policy.NAMED_BEFORE if "name" in by and tx.was_named(row.name, but=row.id) else ""


def _deny(
    actor: Actor, by: Mapping[str, Any], decision: Decision, now: datetime, tx: Transaction, *, needs_comment: bool
) -> tuple[ScheduledJob, PendingCleanup]:
    case = authorize(tx, actor, Action.DELETE, by, now, partial(policy.deny, actor))
    check_seen(case, decision.version)
    own = actor.id == case.row.requester_id
    if needs_comment and not own and not decision.comment.strip():
        raise Invalid({"comment": [SAY_WHY]})
    act, word, step = (
        (EventType.WITHDRAWN, "Withdrawn", Transition.WITHDRAW)
        if own
        else (EventType.DENIED, "Denied", Transition.DENY)
    )
    tx.record(
        scheduled_job_event(
            case.row, act, now, actor, comment=decision.comment, seen=snapshot(case.request.thing or {})
        )
    )
    tx.afterwards(partial(decided, word.lower(), now - case.row.date_changed))
    settle(tx, [(case.row, case.job)], STEPS[case.row.approval, step], now, actor, decision.comment)
    comment = f": {decision.comment}" if decision.comment else "."
    [leftover] = delete_rows(tx, [case.row], f"{word} by {actor.username}{comment}", now)
    return replace(case.row, approval=STEPS[case.row.approval, step], enabled=False), leftover


def _dry_runnable(
    actor: Actor, by: Mapping[str, Any], seen: str | None, now: datetime, limits: Limits, tx: Transaction
) -> tuple[AuthzContext, AskingAgent | None]:
    case = authorize(tx, actor, Action.VIEW, by, now, partial(policy.dry_run, actor))
    check_seen(case, seen)
    return case, asking_agent(check_person(tx, actor, case.request.job), limits, case.request.job)
