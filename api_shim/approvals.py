"""The use cases around requests: approve, deny, dry-run, and the queue of those that wait.

* The rules are the policy's; here each decision is one transaction that locks the request first. So of several
  decisions at once the first holds, and the others are told who decided.
* An approval is bound to what stood in the store when it was given. Who says which version he has seen can approve
  no other.
* Denied is gone; who decides after that is told by whom it was denied, if he could have seen it.
* A dry run is a run of its own, as the one who starts it; the request stays as it is.

Contract 6, 9.4 to 9.7, and 10.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.access import check_still_there
from api_shim.audit import Act, about, restored, snapshot
from api_shim.decision_form import Decision
from api_shim.model import Job, JobResult, Leftover, Owner, ScheduledJob
from api_shim.projection import UNKNOWN, Projection
from api_shim.question import binding_of, version_of
from api_shim.runs import Runs
from api_shim.schedules import leave, runnable_of
from api_shim.store import Listing, Page, Store, Transaction
from api_shim.store.lookups import path_types
from approval_gate import policy
from approval_gate.errors import Conflict
from approval_gate.lifecycle import STEPS, ApprovalState, Step
from approval_gate.model import Action, Actor, Denied, Hidden, ObjectType, Verdict

KIND = ObjectType.SCHEDULED_JOB
CHANGED = "This request has changed since it was shown to you; look at it again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A request in the queue, as one person sees it.

    Args:
        requester: the name of who asked for it.
        why_not: why he may not approve it; empty if he may.
    """

    scheduled: ScheduledJob
    requester: str
    why_not: str


class Approvals:
    """Decisions about requests.

    Args:
        store: what is true.
        runs: starts dry runs.
        projection: brings Prefect into line.
        clock: tells the time, aware.
    """

    def __init__(self, *, store: Store, runs: Runs, projection: Projection, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._runs = runs
        self._projection = projection
        self._clock = clock

    async def approve(self, actor: Actor, by: Mapping[str, Any], decision: Decision) -> ScheduledJob:
        """Let a request go.

        Args:
            actor: who decides.
            by: the field that tells which request.
            decision: what he decides with.

        Returns:
            the scheduled job, approved.

        Raises:
            Forbidden: he may not, with the reason.
            NotFound: there is no such request, or none that he may see.
            Conflict: it has been decided, needs no approval, or is not what he has seen.
            Invalid: its start has passed, and he did not say that he knows.
            NotRunnable: its Job's code is gone.
        """
        row = await self._store.write(partial(_approve, actor, by, decision, self._clock()))
        await self._runs.follow(row.id)
        return row

    async def deny(self, actor: Actor, by: Mapping[str, Any], decision: Decision) -> ScheduledJob:
        """Deny a request, or withdraw one's own; it is gone then.

        Raises:
            Forbidden: he may not, with the reason.
            NotFound: there is no such request, or none that he may see.
            Conflict: it has been decided, or needs no approval.
        """
        row, leftover = await self._store.write(partial(_deny, actor, by, decision, self._clock()))
        await self._runs.promptly(partial(self._projection.clean, leftover))
        return row

    async def dry_run(self, actor: Actor, by: Mapping[str, Any]) -> JobResult:
        """Run a request's Job with its inputs and without effect, as the actor.

        Raises:
            Forbidden: he may not run that Job.
            NotFound: there is no such scheduled job, or none that he may see.
            NotRunnable: its Job has no dry run, or cannot run.
            Unavailable: no worker serves the queue, or Prefect does not answer.
        """
        now = self._clock()
        asked = await self._store.read(partial(_dry_runnable, actor, by, now))
        await self._runs.check_served(asked.row.queue)
        inputs = {**asked.row.inputs, "dryrun": True}

        def remember(tx: Transaction, result: JobResult) -> None:
            tx.remember(about(replace(asked.row, flow_run_id=result.id), Act.DRY_RUN, now, actor))

        return await self._runs.start(actor, asked.job, inputs, asked.row.queue, now, also=remember)

    async def queue(self, actor: Actor, listing: Listing) -> Page[Waiting]:
        """Return a page of what waits for a decision and the actor may see.

        Raises:
            Forbidden: he may see no scheduled jobs.
        """
        return await self._store.read(partial(_queue, actor, listing, self._clock()))

    async def put_back(self, run_id: UUID) -> None:
        """Let the run of an undecided request, which was let start in Prefect, stand and ask again."""
        await self._projection.put_back(run_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A request that somebody decides about, and the name of who asked for it."""

    row: ScheduledJob
    job: Job
    requester: str
    request: policy.Request


def _approve(actor: Actor, by: Mapping[str, Any], decision: Decision, now: datetime, tx: Transaction) -> ScheduledJob:
    asked = _judged(tx, actor, Action.CHANGE, by, now, partial(policy.approve, actor, force=decision.force))
    row = asked.row
    if row.approval is ApprovalState.APPROVED:
        return row
    if decision.version not in (None, version_of(row, asked.job)):
        raise Conflict(CHANGED)
    check_still_there(tx, actor)
    tx.remember(about(row, Act.APPROVED, now, actor, comment=decision.comment, force=decision.force))
    return tx.change(
        row,
        approval=STEPS[row.approval, Step.APPROVE],
        approval_note="",
        approval_comment=decision.comment,
        approved=binding_of(row, asked.job),
        approved_at=now,
        approved_by=actor.username,
        approved_by_id=actor.id,
        date_changed=now,
        due_from=now,
        version=row.version + 1,
    )


def _deny(
    actor: Actor, by: Mapping[str, Any], decision: Decision, now: datetime, tx: Transaction
) -> tuple[ScheduledJob, Leftover]:
    asked = _judged(tx, actor, Action.DELETE, by, now, partial(policy.deny, actor))
    own = actor.id == asked.row.requester_id
    act, word, step = (Act.WITHDRAWN, "Withdrawn", Step.WITHDRAW) if own else (Act.DENIED, "Denied", Step.DENY)
    tx.remember(about(asked.row, act, now, actor, comment=decision.comment, seen=snapshot(asked.request.thing or {})))
    comment = f": {decision.comment}" if decision.comment else "."
    leftover = leave(tx, asked.row, f"{word} by {actor.username}{comment}")
    return replace(asked.row, approval=STEPS[asked.row.approval, step], enabled=False), leftover


def _dry_runnable(actor: Actor, by: Mapping[str, Any], now: datetime, tx: Transaction) -> _Asked:
    return _judged(tx, actor, Action.VIEW, by, now, partial(policy.dry_run, actor))


def _judged(
    tx: Transaction,
    actor: Actor,
    action: Action,
    by: Mapping[str, Any],
    now: datetime,
    judge: Callable[[policy.Request], Verdict],
) -> _Asked:
    """Return the request that the actor may decide about, locked if the decision changes it; or raise why not."""
    row = tx.one(ScheduledJob, lock=action is not Action.VIEW, **by)
    if row is None:
        verdict = judge(NOTHING)
        if verdict == Hidden() and action is not Action.VIEW:
            _tell_who_decided(tx, actor, action, by)
        policy.enforce(verdict, KIND)
        raise policy.missing(KIND)
    [asked] = _asked(tx, [row], now)
    policy.enforce(judge(asked.request), KIND)
    return asked


def _asked(tx: Transaction, rows: list[ScheduledJob], now: datetime) -> list[_Asked]:
    """Return requests as the rules see them, with the same number of queries however many they are."""
    jobs = {job.id: job for job in tx.all(Job, id=[row.job_id for row in rows])}
    things = tx.attributes_of(KIND, [row.id for row in rows])
    job_things = tx.attributes_of(ObjectType.JOB, jobs)
    names: dict[UUID, dict[UUID | None, str]] = defaultdict(dict)
    for owner in tx.all(Owner, scheduled_job_id=[row.id for row in rows]):
        names[owner.scheduled_job_id][owner.user_id] = owner.username
    return [
        _Asked(
            row=row,
            job=(job := jobs[row.job_id]),
            requester=names[row.id].get(row.requester_id, UNKNOWN),
            request=policy.Request(
                thing=things[row.id],
                job=job_things[job.id],
                requester=row.requester_id,
                owners=frozenset(filter(None, (*names[row.id], row.owner_id))),
                names=frozenset(names[row.id].values()),
                approval=ApprovalState.EXPIRED if _is_over(row, now) else row.approval,
                decided_by=row.approved_by_id,
                settled=_settled(row, now),
                runnable=runnable_of(job),
                supports_dryrun=job.supports_dryrun,
                past_due=row.is_past_due(now),
            ),
        )
        for row in rows
    ]


NOTHING = policy.Request(
    thing=None,
    job={},
    requester=None,
    owners=frozenset(),
    names=frozenset(),
    approval=ApprovalState.PENDING,
    decided_by=None,
    settled="",
    runnable=policy.Runnable(enabled=False, installed=False, is_job_hook_receiver=False),
    supports_dryrun=False,
    past_due=False,
)
"""What is not there, as the rules see it."""


def _is_over(row: ScheduledJob, now: datetime) -> bool:
    """Say whether the time to decide has ended, also if nobody has written that down yet."""
    return row.approval is ApprovalState.PENDING and row.expires_at is not None and row.expires_at <= now


def _settled(row: ScheduledJob, now: datetime) -> str:
    if row.approval is ApprovalState.APPROVED and row.approved_at is not None:
        return _decided("approved", row.approved_by, row.approved_at)
    if row.approval is ApprovalState.EXPIRED or _is_over(row, now):
        return "This request has expired, because nobody decided about it in time; request it again."
    return ""


def _decided(how: str, who: str, when: datetime) -> str:
    return f"{who} {how} this request on {when.astimezone(UTC):%Y-%m-%d at %H:%M:%S} UTC."


# What is told of requests that are gone


def _tell_who_decided(tx: Transaction, actor: Actor, action: Action, by: Mapping[str, Any]) -> None:
    about = {"scheduled_job_id" if field == "id" else field: value for field, value in by.items()}
    event = tx.last_event((Act.DENIED, Act.WITHDRAWN), **about)
    if event is None:
        return
    if actor.may(action, KIND, restored(event.data.get("seen", {}), path_types([KIND]))):
        raise Conflict(_decided("denied" if event.act is Act.DENIED else "withdrew", event.actor, event.at))


# The queue


def _queue(actor: Actor, listing: Listing, now: datetime, tx: Transaction) -> Page[Waiting]:
    policy.enforce(policy.on_type(actor, Action.VIEW, KIND), KIND)
    listing = replace(listing, sort=listing.sort or ("start_time",))
    page: Page[ScheduledJob] = tx.page(KIND, actor, listing, approval=ApprovalState.PENDING, enabled=True)
    waiting = [
        Waiting(
            scheduled=asked.row,
            requester=asked.requester,
            why_not=_why_not(policy.approve(actor, asked.request, force=True)),
        )
        for asked in _asked(tx, page.rows, now)
    ]
    return Page(page.count, waiting)


def _why_not(verdict: Verdict) -> str:
    match verdict:
        case Denied(reason=reason):
            return reason
        case Hidden():
            return policy.MAY_NOT_APPROVE
        case _:
            return ""
