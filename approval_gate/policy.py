"""The policy: who may do what.

* Default deny: what no rule below allows is refused.
* A read-only token may not write, whoever holds it.
* The type is checked first: without the action on the object type, the answer is 403, whatever the object.
* Then the object: without the action on that object, the answer is 403 if the caller may view it, and 404 if not.
* An object must satisfy the permission before and after it is added or changed.
* Only a superuser may change a superuser or their tokens, or make somebody a superuser. One active superuser must
  remain.
* Whoever changes their own password has signed in with it, and says it again. Another user's is set by who may change
  that user and make tokens for them.
* The audit, the state of the server and the accounts of workers are for superusers.
* A token that ends gives neither itself nor another a later end, and a line of tokens made with each other is short.
* To be run, a Job must be enabled, installed and meant to be started by people.
* Who changes whether a Job needs approval, or may have sensitive variables, may change it and approve it.
* Approve: the caller may change the request and approve its Job. Nobody approves what they requested, have ever owned
  or have changed, superusers included, under whatever account or name they did (``identity``). A request is decided
  once; after its start has passed only with ``force``.
* Whoever names the version of the request that they have seen acts on no other one. Approving a request that a person
  edited after it was made or last decided needs the version.
* Deny: the caller may delete the request and approve its Job. The requester withdraws it in the same way.
* Dry run: the caller may view the request and run its Job.
* Cancel: the caller is the user whom the run runs as, or may change its result.
* Run again: the caller may view the result and run its Job.
* Prefect: who may view every Job, scheduled job and job result sees every run of a Job there too; others see the runs
  that they may view here. What is not ours in Prefect needs view on ``prefect``. Write on ``prefect`` is the power to
  run any code on the workers, which includes viewing everything there.
* A run is spoken for, when it asks for admission and tells its outcome, by its own credential. While it has none, which
  is so with Prefect's own workers, the account of the worker that has taken it speaks for it; nobody else does,
  whatever they may do.
* A worker's account takes runs of its own work pool only.
* A run acts as its user from when it is let go until it is over, while that user is active: it requests, and reads what
  comes of it, as far as they may (``model.BY_RUNS``). It decides, grants and changes nothing, whatever they may. A dry
  run requests dry runs only, and runs that runs have requested do so ``DEEPEST`` times at most, one from the other.
* An automation of Prefect's acts as an account that it was bound to, as it was then: not after it has been changed, and
  for no Job but those that it names. Who binds it may view it in Prefect, and may run each of these Jobs; so may the
  account, which is their own or that of somebody whom they may change. What it requests neither of the two approves.
* An agent requests, reads what comes of it, and takes back what it has asked for (``model.BY_AGENTS``). It decides,
  assumes, grants and changes nothing, and answers no run that waits for an answer, whatever it was given. It asks for
  a person who is there and active, and who may run the Job too; they count as who has requested it. A dry run executes
  the code of the Job, so that it counts as a run unless the Job says that its dry runs are safe.
* What a run has requested is approved neither by its user nor by whoever requested, owned or changed what ran.
* ``ownership`` has the rules for owners and changes.

Contract 2, 4 to 6, 8, and 9.4 to 9.7.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, NotRunnable, Outdated
from approval_gate.identity import Identity
from approval_gate.lifecycle import ApprovalState, Transition, next_state
from approval_gate.model import Action, Actor, Allowed, Attributes, Denied, Hidden, ObjectType, Verdict

NO_PERMISSION = "You do not have permission to perform this action."

REASONS: dict[tuple[Action, ObjectType], str] = {
    (Action.RUN, ObjectType.JOB): "This user does not have permission to run jobs.",
}
"""The reasons for which the contract has its own sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runnable:
    """What decides whether people can start a Job."""

    enabled: bool
    installed: bool
    is_job_hook_receiver: bool


def check_type(actor: Actor, action: Action, kind: ObjectType) -> Verdict:
    """Say whether the actor has this action on this type at all."""
    if actor.read_only and action is not Action.VIEW:
        return Denied(NO_PERMISSION)
    if not actor.may(action, kind):
        return Denied(reason(action, kind))
    return Allowed()


def check_object(actor: Actor, action: Action, kind: ObjectType, thing: Attributes | None) -> Verdict:
    """Say whether the actor has this action on this object.

    Args:
        actor: the caller.
        action: the action.
        kind: the object's type.
        thing: the object's attributes; None if it does not exist.
    """
    verdict = check_type(actor, action, kind)
    if verdict != Allowed():
        return verdict
    if thing is None:
        return Hidden()
    if actor.may(action, kind, thing):
        return Allowed()
    return Denied(reason(action, kind)) if actor.may(Action.VIEW, kind, thing) else Hidden()


def check_result(actor: Actor, action: Action, kind: ObjectType, thing: Attributes) -> Verdict:
    """Say whether the actor may add an object, or change it, with this result.

    Args:
        actor: the caller.
        action: add or change.
        kind: the object's type.
        thing: the object's attributes after the change.
    """
    return Allowed() if actor.may(action, kind, thing) else Denied(reason(action, kind))


def reason(action: Action, kind: ObjectType) -> str:
    """Return the sentence for a missing permission."""
    return REASONS.get((action, kind), NO_PERMISSION)


def enforce(verdict: Verdict, kind: ObjectType) -> None:
    """Raise an error unless the verdict allows.

    Raises:
        GateError: the verdict is ``Denied``; its error, with its reason.
        NotFound: the verdict is ``Hidden``; with the contract's message.
    """
    match verdict:
        case Allowed():
            return
        case Denied(reason=why, error=error):
            raise error(why)
        case Hidden():
            raise missing(kind)


def why_not(verdict: Verdict, *, hidden: str) -> str:
    """Return the reason of a verdict; empty if it allows.

    Args:
        verdict: the verdict.
        hidden: the sentence to return for ``Hidden``.
    """
    match verdict:
        case Allowed():
            return ""
        case Denied(reason=reason):
            return reason
        case Hidden():
            return hidden


def missing(kind: ObjectType) -> NotFound:
    """Return the contract's error for an object that does not exist or is hidden from the caller."""
    return NotFound(f"No {NOUNS[kind]} matches the given query.")


NOUNS = {
    ObjectType.JOB: "Job",
    ObjectType.SCHEDULED_JOB: "ScheduledJob",
    ObjectType.JOB_RESULT: "JobResult",
    ObjectType.JOB_LOG_ENTRY: "JobLogEntry",
    ObjectType.JOB_QUEUE: "JobQueue",
    ObjectType.JOB_BUTTON: "JobButton",
    ObjectType.JOB_HOOK: "JobHook",
    ObjectType.AUTOMATION_ACCOUNT: "AutomationAccount",
    ObjectType.APPROVAL_REQUEST: "ApprovalRequest",
    ObjectType.USER: "User",
    ObjectType.GROUP: "Group",
    ObjectType.TOKEN: "Token",
    ObjectType.PERMISSION: "ObjectPermission",
}


# Prefect

SHOWN_IN_PREFECT = (ObjectType.JOB, ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT)
"""The types of objects that Prefect shows as flows, deployments and runs."""


def views_every_run(actor: Actor) -> bool:
    """Say whether the actor may view every Job, scheduled job and job result, with no limit."""
    return actor.superuser or all(
        any(constraint.unlimited for constraint in actor.constraints(Action.VIEW, kind)) for kind in SHOWN_IN_PREFECT
    )


def runs_every_job(actor: Actor) -> bool:
    """Say whether the actor may run every Job, so that it can be told to them which there are not."""
    return actor.superuser or any(each.unlimited for each in actor.constraints(Action.RUN, ObjectType.JOB))


def views_everybody(actor: Actor) -> bool:
    """Say whether the actor may view every user, so that each name that they see can lead to whose it is."""
    return actor.superuser or any(each.unlimited for each in actor.constraints(Action.VIEW, ObjectType.USER))


def views_prefect(actor: Actor) -> bool:
    """Say whether the actor may view what is in Prefect and is not ours."""
    return any(actor.may(action, ObjectType.PREFECT) for action in (Action.VIEW, Action.WRITE))


def views_anything_in_prefect(actor: Actor) -> bool:
    """Say whether there may be anything in Prefect, ours or not, that the actor may view."""
    return views_prefect(actor) or any(actor.may(Action.VIEW, kind) for kind in SHOWN_IN_PREFECT)


def views_all_of_prefect(actor: Actor) -> bool:
    """Say whether the actor may view everything in Prefect, so that nothing needs to be filtered for them."""
    return actor.may(Action.WRITE, ObjectType.PREFECT) or (views_prefect(actor) and views_every_run(actor))


# Runs and workers

NOT_ITS_RUN = "Only the run itself can ask this, with its own credential."
NOT_ITS_WORKER = "Only the run itself, or a worker of its work pool, can ask this."
NOT_ITS_POOL = "This worker's account may take runs of its own work pool only."


def speaks_for_run(run_id: UUID, *, credential_of: UUID) -> Verdict:
    """Say whether the credential of a run may be used to ask for a run whether it may go, or to tell its outcome.

    Args:
        run_id: the run that is spoken for.
        credential_of: the run whose credential it is.
    """
    return refused_if(run_id != credential_of, NOT_ITS_RUN)


def worker_speaks_for_run(
    actor: Actor, *, pool: str, has_credential: bool, taken_by: UUID | None, taken_past_us: bool = False
) -> Verdict:
    """Say whether an account may do so.

    Args:
        actor: who asks.
        pool: the work pool of the run; empty if it has none.
        has_credential: whether the run has a credential of its own.
        taken_by: the account of the worker that has taken the run; None if none has.
        taken_past_us: whether nobody has taken it here, and yet it is under way: on a Prefect server that others run.
    """
    is_its_own = taken_past_us if taken_by is None else taken_by == actor.id
    return first(
        (
            refused_if(not _works_for(actor, pool), NOT_ITS_WORKER),
            refused_if(has_credential or not is_its_own, NOT_ITS_RUN),
        )
    )


def takes_run(actor: Actor, *, pool: str) -> Verdict:
    """Say whether the account of a worker may take runs of a work pool.

    Args:
        actor: who asks.
        pool: the work pool that it asks for, or of the run that it takes.
    """
    return refused_if(not _works_for(actor, pool), NOT_ITS_POOL)


def works(actor: Actor) -> bool:
    """Say whether an account executes runs; a superuser's never, whatever it was before, nor by a token that reads."""
    return actor.works_for != "" and not actor.superuser and not actor.read_only


def only_works(actor: Actor) -> bool:
    """Say whether an account reaches in Prefect what a worker needs, and nothing else."""
    return works(actor) and not actor.may(Action.WRITE, ObjectType.PREFECT)


def _works_for(actor: Actor, pool: str) -> bool:
    return works(actor) and actor.works_for == pool


# Requests from runs

NOT_LET_GO = "This run has not been admitted, so it cannot do anything here yet."
RUN_OVER = "This run has ended, so it can no longer do anything here."
RUN_CANCELLED = "This run has been cancelled, so it can no longer do anything here."
RUN_WITHOUT_USER = "This run has no user: an event started it, or its user has been removed or deactivated."
DRY_RUNS_ONLY = "A dry run can request only dry runs."
DEEPEST = 5
"""How many requests there may be in a line of which each came from a run of the one before."""
TOO_DEEP = "This run is the last of a chain of runs that requested one another: the chain cannot get any longer."
ORIGIN_GONE = (
    "It is no longer known who had a hand in this run, because what it belongs to has been deleted, so it can no "
    "longer request anything."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What the rules need to know about a run that acts as its user.

    Args:
        let_go: whether it has been let go.
        over: whether it has ended.
        cancelled: whether somebody has cancelled it.
        has_user: whether it executes as a user whose account is there and active.
    """

    let_go: bool
    over: bool
    cancelled: bool
    has_user: bool


def acts_as_user(run: RunFacts) -> Verdict:
    """Say whether a run may act as its user now."""
    return first(
        (
            refused_if(not run.let_go, NOT_LET_GO),
            refused_if(run.over, RUN_OVER),
            refused_if(run.cancelled, RUN_CANCELLED),
            refused_if(not run.has_user, RUN_WITHOUT_USER),
        )
    )


def requests_from_run(*, depth: int, dry_run: bool, for_dry_run: bool, origin_known: bool) -> Verdict:
    """Say whether a run that acts as its user may make a request.

    Args:
        depth: how many requests there are in the line that it comes from.
        dry_run: whether it is a dry run.
        for_dry_run: whether it asks for one.
        origin_known: whether it is known who had a hand in it.
    """
    return first(
        (
            refused_if(dry_run and not for_dry_run, DRY_RUNS_ONLY),
            refused_if(depth >= DEEPEST, TOO_DEEP),
            refused_if(not origin_known, ORIGIN_GONE),
        )
    )


# Requests by agents

AGENTS_DECIDE_NOTHING = "An agent cannot decide: a person has to do this."
FOR_NOBODY = "The person for whom this agent asks has been removed or deactivated, so it cannot request anything."
ITS_PERSON_MAY_NOT = "The person for whom this agent asks does not have permission to run this job."
NO_DRY_RUN_BY_AGENTS = (
    "A dry run executes the code of this job, which does not say that its dry runs are safe: request it with "
    "`dryrun`, so that somebody approves it first."
)
NOT_AN_AGENT = (
    "An agent asks for a person: it cannot be bound to an automation, inherit, sign in to the pages, or be a superuser "
    "or a worker."
)


def requests_as_agent(*, person: Actor | None, job: Attributes | None = None) -> Verdict:
    """Say whether an agent may request something for its person.

    Args:
        person: the person; None if they have been removed or deactivated.
        job: the attributes of the Job that it asks for; None before that is known.
    """
    if person is None:
        return Denied(FOR_NOBODY)
    return refused_if(job is not None and not _may(person, Action.RUN, job), ITS_PERSON_MAY_NOT)


def may_be_more(*, agent: bool) -> Verdict:
    """Say whether an account may become a superuser's or a worker's, own what somebody leaves, or have a password.

    Args:
        agent: whether it is an agent's.
    """
    return refused_if(agent, NOT_AN_AGENT, Conflict)


# Requests by automations

RUNS_NO_JOB = "This automation runs no Job: none of its actions names the deployment of one."
MAY_NOT_RUN_ITS_JOBS = "You do not have permission to run every Job that this automation runs."
ACCOUNT_MAY_NOT = "This user does not have permission to run every Job that this automation runs."
ACCOUNT_INACTIVE = "This user has been deactivated."
NOT_BOUND = (
    "This automation is not bound to an account, or has been changed since it was, so it cannot run a Job until "
    "somebody who may run that Job binds it (`signoff automation bind`)."
)
AUTOMATION_CHANGED = (
    "This automation has been changed since it was bound to an account, so it cannot run a Job until it is bound again "
    "(`signoff automation bind`)."
)
NOT_AS_BOUND = "This automation fired before it was bound to an account in its present form."
NOT_NAMED = "This automation does not name the Job that it wants to run, so it is not bound for that."
ITS_ACCOUNT_GONE = "The account that this automation is bound to has been deactivated."
NO_JOB_VARIABLES = "An automation cannot set the job variables of runs of a Job: they are part of the Job."


def bind_automation(actor: Actor, *, account: Actor, active: bool, jobs: Collection[Attributes]) -> Verdict:
    """Say whether the actor may have an automation act as an account, which is theirs or which they may change.

    Args:
        actor: the caller.
        account: the account.
        active: whether that is active.
        jobs: the attributes of the Jobs that the automation names.
    """
    return first(
        (
            refused_if(not jobs, RUNS_NO_JOB, Invalid),
            refused_if(not all(_may(actor, Action.RUN, job) for job in jobs), MAY_NOT_RUN_ITS_JOBS),
            refused_if(not active, ACCOUNT_INACTIVE, Conflict),
            may_be_more(agent=account.agent),
            refused_if(not all(_may(account, Action.RUN, job) for job in jobs), ACCOUNT_MAY_NOT, Conflict),
        )
    )


def may_look_at_automations(actor: Actor) -> Verdict:
    """Say whether the actor may view the automations of Prefect."""
    return refused_if(not views_prefect(actor), NO_PERMISSION)


@dataclass(frozen=True, kw_only=True, slots=True)
class FiringFacts:
    """What the rules need to know about an automation that wants to run a Job.

    Args:
        bound: whether it is bound to an account.
        changed: whether it is not any more what was bound, or is gone.
        as_bound: whether it fired as what was bound.
        names: whether it names the deployment of the Job.
        active: whether the account is active.
        job_variables: whether it gives the run job variables.
    """

    bound: bool
    changed: bool
    as_bound: bool
    names: bool
    active: bool
    job_variables: bool


def acts_by_automation(firing: FiringFacts) -> Verdict:
    """Say whether an automation may request a run as the account that it is bound to; by all other rules besides."""
    return first(
        (
            refused_if(not firing.bound, NOT_BOUND),
            refused_if(firing.changed, AUTOMATION_CHANGED),
            refused_if(not firing.as_bound, NOT_AS_BOUND),
            refused_if(not firing.names, NOT_NAMED),
            refused_if(not firing.active, ITS_ACCOUNT_GONE),
            refused_if(firing.job_variables, NO_JOB_VARIABLES),
        )
    )


# Superusers

SUPERUSERS_ONLY = "Only a superuser can do this to a superuser."
LAST_SUPERUSER = "At least one active superuser must remain."
REUSED_BY_SUPERUSERS = "Only a superuser can allow a user name to be used again."


def may_touch_superuser(actor: Actor, *, superuser: bool) -> Verdict:
    """Say whether the actor may write to a user's account or tokens.

    Args:
        actor: the caller.
        superuser: whether the user is a superuser, or would become one.
    """
    return Denied(SUPERUSERS_ONLY) if superuser and not actor.superuser else Allowed()


def may_reuse_names(actor: Actor) -> Verdict:
    """Say whether the actor may have a user name given again before its time."""
    return refused_if(not actor.superuser, REUSED_BY_SUPERUSERS)


def may_lose_superuser(*, others: int) -> Verdict:
    """Say whether an active superuser may be removed, deactivated or demoted.

    Args:
        others: how many other active superusers there are.
    """
    return Allowed() if others else Denied(LAST_SUPERUSER, Conflict)


# Passwords and sessions

NOT_BY_PASSWORD = "To change your password here, sign in with it first."  # noqa: S105 - a sentence, not a secret


def may_change_password(actor: Actor, *, by_password: bool) -> Verdict:
    """Say whether the actor may change their own password, if they know it.

    Args:
        actor: the caller.
        by_password: whether they have signed in with it.
    """
    return first((may_write(actor), refused_if(not by_password, NOT_BY_PASSWORD)))


OWN_PASSWORD = "Change your own password on the page of your account."  # noqa: S105 - a sentence, not a secret
SIGNS_IN_AS_THEM = (
    "Whoever sets a user's password can sign in as them, so this needs the permission to add tokens for them."
)


PASSWORD_OUTLASTS = "The token that you use expires, and a password does not."  # noqa: S105 - a sentence, not a secret


def may_set_password(actor: Actor, user: UUID, token: Attributes, *, ends: datetime | None) -> Verdict:
    """Say whether the actor may set the password of a user whom they may change.

    Args:
        actor: the caller.
        user: the user.
        token: the attributes of a token of this user that may write and never ends, which a password is as good as.
        ends: the end of the token that the actor uses; None for never.
    """
    return first(
        (
            refused_if(actor.id == user, OWN_PASSWORD),
            refused_if(not actor.may(Action.ADD, ObjectType.TOKEN, token), SIGNS_IN_AS_THEM),
            refused_if(ends is not None, PASSWORD_OUTLASTS),
        )
    )


# Administration


def may_administer(actor: Actor) -> Verdict:
    """Say whether the actor may see what no permission shows: the audit, the server, and the accounts of workers.

    Superusers may; others are not told that it is there.
    """
    return Allowed() if actor.superuser else Hidden()


# Tokens

LONGEST_LINE = 5
"""How many tokens there are in a line of which each was made with the one before."""
TOO_LONG_A_LINE = "This token is at the end of too long a chain of tokens to add another one with it."
OUTLASTS = "The token that you use expires before that."


def may_make_token(*, line: int) -> Verdict:
    """Say whether a token may be used to make another.

    Args:
        line: how many tokens there are in its line: itself, the one that it was made with, and so on.
    """
    return refused_if(line >= LONGEST_LINE, TOO_LONG_A_LINE)


def may_last(expires: datetime | None, *, ends: datetime | None) -> Verdict:
    """Say whether a token may get this end from somebody who uses a token: none lasts longer by its own doing.

    Args:
        expires: the end that it is to get; None for never.
        ends: the end of the token that is used; None for never.
    """
    return refused_if(ends is not None and (expires is None or expires > ends), OUTLASTS, Invalid)


def runnable(job: Runnable) -> Verdict:
    """Say whether people can start a Job now."""
    if not job.enabled:
        return Denied("This job is not enabled to be run.")
    if not job.installed:
        return Denied("This job is not presently installed and cannot be run.", NotRunnable)
    if job.is_job_hook_receiver:
        return Denied("This job is started by events and cannot be run directly.", NotRunnable)
    return Allowed()


SWITCHES = frozenset({"approval_required", "has_sensitive_variables"})
"""The settings of a Job that decide whether others have to approve its runs."""
MAY_NOT_SWITCH = (
    "Only users who may approve this job can change whether it requires approval or may have sensitive variables."
)


def change_job(actor: Actor, job: Attributes | None, fields: Collection[str]) -> Verdict:
    """Say whether the actor may change these settings of a Job.

    Args:
        actor: the caller.
        job: the Job's attributes; None if it does not exist.
        fields: the names of the settings that change, or whose override is set or taken back.
    """
    switches = not SWITCHES.isdisjoint(fields)
    return first(
        (
            check_object(actor, Action.CHANGE, ObjectType.JOB, job),
            refused_if(switches and not _may(actor, Action.APPROVE, job or {}), MAY_NOT_SWITCH),
        )
    )


# Decisions about requests

MAY_NOT_APPROVE = "You do not have permission to approve this request."
MAY_NOT_DENY = "You do not have permission to deny this request."
MAY_NOT_RUN = "You do not have permission to run this job."
OWN_REQUEST = "You cannot approve your own job request!"
ONCE_OWNED = "You have owned this request, so someone else must approve it."
SAME_PERSON = (
    "An account whose name is, or was, the same as yours has requested, owned or changed this, so someone "
    "else must approve it."
)
ONCE_CHANGED = "You have changed what this request runs, so someone else must approve it."
BEHIND_ITS_RUN = (
    "You have requested, owned or changed what requested this, or this itself, so someone else must approve it."
)
BEHIND_ITS_AGENT = (
    "An agent has requested this for you, or you have owned or changed what requested it, so someone else must approve "
    "it."
)
BEHIND_ITS_AUTOMATION = (
    "You have bound the automation that requested this to its account, or changed this itself, so someone else must "
    "approve it."
)
NOT_NEEDED = "This scheduled job needs no approval."
JOB_GONE = "The job of this run no longer exists."
NO_DRY_RUN = "This job does not support dry runs."
CHANGED = "This request has changed since it was shown to you; look at it again."
EDITED = (
    "This request was edited after it was made or last decided. Look at it again, and approve it with its "
    "`approval_version` as `version`, or with its `ETag` as `If-Match`."
)
NAMED_BEFORE = (
    "Another request had this name before. Look at this one, and approve it by its id, or with its "
    "`approval_version` as `version`, or with its `ETag` as `If-Match`."
)
PAST_DUE = "The job's start time is in the past. If you want to force a run anyway, add the `force` query parameter."


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFacts:
    """What the rules need to know about a scheduled job.

    Args:
        thing: its attributes; None if it does not exist.
        job: the attributes of its Job.
        requester: the id of the requester.
        owner: the id of the current owner; None if they have been removed.
        owners: the ids of everyone who has ever owned it.
        editors: the ids of others who have changed what it runs; of a request from a run, also of those who had a hand
            in that.
        people: every account and name that counts as any of them.
        approval: the state of its approval.
        decided_by: the id of the approver.
        approver: every account and name that counts as the approver.
        settled: the sentence on who decided what and when; for a request that is no longer pending.
        runnable: whether its Job can be started.
        supports_dryrun: whether its Job supports dry runs.
        past_due: whether its only start time has passed.
        from_run: whether a run has requested it.
        from_automation: whether an automation has requested it.
        from_agent: whether an agent has requested it.
        dryrun_is_safe: whether its Job says that its dry runs are safe.
    """

    thing: Attributes | None
    job: Attributes
    requester: UUID | None
    owner: UUID | None
    owners: frozenset[UUID]
    editors: frozenset[UUID]
    people: Identity
    approval: ApprovalState
    decided_by: UUID | None
    approver: Identity
    settled: str
    runnable: Runnable
    supports_dryrun: bool
    past_due: bool
    from_run: bool = False
    from_automation: bool = False
    from_agent: bool = False
    dryrun_is_safe: bool = False


def has_right_to_approve(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor's permissions let them approve a request, whoever they are and however it stands."""
    kind = ObjectType.SCHEDULED_JOB
    return first(
        (check_object(actor, Action.CHANGE, kind, request.thing), _may_decide(actor, request, MAY_NOT_APPROVE))
    )


def approve(actor: Actor, request: RequestFacts, *, force: bool) -> Verdict:
    """Say whether the actor may approve a request (contract 6, 9.4 to 9.7).

    Args:
        actor: the caller.
        request: the request.
        force: the caller confirms a request whose start time has passed.
    """
    verdict = has_right_to_approve(actor, request)
    if verdict != Allowed():
        return verdict
    if request.approval is ApprovalState.APPROVED and request.decided_by == actor.id:
        return Allowed()
    return first(
        (
            _four_eyes(actor, request),
            _allows_transition(Transition.APPROVE, request),
            runnable(request.runnable),
            refused_if(request.past_due and not force, PAST_DUE, Invalid),
        )
    )


def acts_on_what_was_seen(seen: str | None, version: str, *, needed: str = "") -> Verdict:
    """Say whether the caller acts on the request as it stands.

    Args:
        seen: the version that the caller has seen; None if they name none.
        version: the version of the request as it stands.
        needed: why the caller must name one, to approve what may not be the request that they have read; empty if they
            need not.
    """
    return first(
        (
            refused_if(bool(needed) and seen is None, needed, Conflict),
            refused_if(seen not in (None, version), CHANGED, Outdated),
        )
    )


def deny(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may deny a request, or withdraw their own (contract 6)."""
    seen = check_object(actor, Action.DELETE, ObjectType.SCHEDULED_JOB, request.thing)
    return first(
        (
            may_write(actor),
            Denied(MAY_NOT_DENY) if isinstance(seen, Denied) else seen,
            _may_decide(actor, request, MAY_NOT_DENY),
            _allows_transition(Transition.DENY, request),
        )
    )


def dry_run(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may start a dry run of a request (contract 6)."""
    able = runnable(request.runnable)
    return first(
        (
            may_write(actor),
            check_object(actor, Action.VIEW, ObjectType.SCHEDULED_JOB, request.thing),
            may_run_job(actor, request),
            Denied(able.reason, NotRunnable) if isinstance(able, Denied) else able,
            refused_if(not request.supports_dryrun, NO_DRY_RUN, NotRunnable),
            refused_if(actor.agent and not request.dryrun_is_safe, NO_DRY_RUN_BY_AGENTS),
        )
    )


def cancel(actor: Actor, result: Attributes | None, runs_as: UUID | None) -> Verdict:
    """Say whether the actor may cancel a run.

    Args:
        actor: who asks.
        result: its job result, as constraints see it; None when there is no such one.
        runs_as: the id of the user that it runs as; None when they have been removed.
    """
    if result is not None and runs_as == actor.id:
        return may_write(actor)
    return check_object(actor, Action.CHANGE, ObjectType.JOB_RESULT, result)


def run_again(actor: Actor, result: Attributes | None, job: Attributes | None) -> Verdict:
    """Say whether the actor may request a run again.

    Args:
        actor: who asks.
        result: its job result, as constraints see it; None when there is no such one.
        job: its Job, likewise; None when that is gone.
    """
    return first(
        (
            may_write(actor),
            check_object(actor, Action.VIEW, ObjectType.JOB_RESULT, result),
            refused_if(job is None, JOB_GONE, NotRunnable),
            refused_if(not _may(actor, Action.RUN, job or {}), MAY_NOT_RUN),
        )
    )


def resume(actor: Actor, result: Attributes | None, job: Attributes | None) -> Verdict:
    """Say whether the actor may answer a run that its own code has suspended, so that it goes on.

    Args:
        actor: who answers.
        result: its job result, as constraints see it; None when there is no such one.
        job: its Job, likewise; None when that is gone.
    """
    return first((run_again(actor, result, job), refused_if(actor.agent, AGENTS_DECIDE_NOTHING)))


def first(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the first verdict that does not allow, or ``Allowed`` if all do."""
    return next((verdict for verdict in verdicts if verdict != Allowed()), Allowed())


def refused_if(fault: bool, reason: str, error: type[GateError] = Forbidden) -> Verdict:
    """Return ``Denied`` if there is a fault, else ``Allowed``."""
    return Denied(reason, error) if fault else Allowed()


def may_write(actor: Actor) -> Verdict:
    """Say whether the actor may write; a read-only token may not, nor may a run, which may request and no more."""
    return refused_if(actor.read_only or actor.by_run is not None, NO_PERMISSION)


def _may(actor: Actor, action: Action, job: Attributes) -> bool:
    return check_type(actor, action, ObjectType.JOB) == Allowed() and actor.may(action, ObjectType.JOB, job)


def may_run_job(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may run the Job of a scheduled job."""
    return refused_if(not _may(actor, Action.RUN, request.job), MAY_NOT_RUN)


def _may_decide(actor: Actor, request: RequestFacts, otherwise: str) -> Verdict:
    return refused_if(not _may(actor, Action.APPROVE, request.job), otherwise)


def _four_eyes(actor: Actor, request: RequestFacts) -> Verdict:
    return first(
        (
            refused_if(actor.id == request.requester, OWN_REQUEST),
            refused_if(actor.id in request.editors, _had_a_hand(request)),
            refused_if(actor.id in request.owners, ONCE_OWNED),
            refused_if(request.people.includes(actor.id, actor.username), SAME_PERSON),
        )
    )


def _had_a_hand(request: RequestFacts) -> str:
    """Return what is told to who has changed a request, or had a hand in what has requested it."""
    if request.from_automation:
        return BEHIND_ITS_AUTOMATION
    if request.from_agent:
        return BEHIND_ITS_AGENT
    return BEHIND_ITS_RUN if request.from_run else ONCE_CHANGED


def _allows_transition(step: Transition, request: RequestFacts) -> Verdict:
    if next_state(request.approval, step) is not None:
        return Allowed()
    return Denied(request.settled or NOT_NEEDED, Conflict)
