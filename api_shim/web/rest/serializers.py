"""Serializes objects of the domain to the shapes that clients see (``schemas``).

* Related objects are references; URLs are absolute.
* The inputs of Jobs with sensitive variables are shown to nobody, including inputs from before the Job was marked so;
  but those of a run that was over by then are shown as before.
* No shape contains a password hash or a token hash. Only the answer to the creation of a token contains its key.
* Related users and groups are read for a whole page at once.

Contract 2, 3, 5, 7 and 8.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request

from api_shim import schemas
from api_shim.domain.accounts import Group, Permission, Token, User
from api_shim.domain.approval import version_of
from api_shim.domain.files import ResultFile
from api_shim.domain.model import (
    OVERRIDABLE,
    ApprovalRequest,
    AskingAutomation,
    AutomationAccount,
    Job,
    JobQueue,
    JobResult,
    ScheduledJob,
    SwitchedOff,
    queue_id,
    tag_id,
)
from api_shim.domain.triggers import JobButton, JobHook
from api_shim.services.accounts import Linked, linked, usernames
from api_shim.services.approval_queue import Waiting
from api_shim.services.approval_requests import Comparison, Outcomes
from api_shim.services.given_approvals import Approvals
from api_shim.services.provider_accounts import providers_of
from api_shim.services.queries import LogEntry
from api_shim.services.request_checks import RequestCheck
from api_shim.services.review import Difference, Earlier, Review
from api_shim.services.schedule_views import UNSEEN, Explanation, Upcoming
from api_shim.services.schedules import Accepted
from api_shim.store import Transaction
from api_shim.web.deps import Services
from api_shim.web.rest.protocol import root_of
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import ObjectType
from approval_gate.policy import why_not


async def serializer(
    request: Request, use: Services, job_ids: Iterable[UUID] = (), result_ids: Collection[UUID] = ()
) -> Serializer:
    """Return the serializer for a request.

    Args:
        request: the request, for the URL of the server.
        use: the use cases.
        job_ids: the ids of the Jobs of the scheduled jobs to serialize.
        result_ids: the ids of the job results to serialize that may have files.
    """
    return await serializer_at(root_of(request), use, job_ids, result_ids)


async def serializer_at(
    root: str, use: Services, job_ids: Iterable[UUID] = (), result_ids: Collection[UUID] = ()
) -> Serializer:
    """Return the serializer for a server URL without a trailing slash."""
    wanted = set(job_ids)
    jobs = await use.store.read(lambda tx: tx.all(Job, id=wanted)) if wanted else []
    return Serializer(root, {job.id: job for job in jobs}, await use.result_files.of(result_ids))


class Serializer:
    """Serializes objects for one request.

    Args:
        root: the URL of the server, without a trailing slash.
        jobs: the Jobs of the scheduled jobs to serialize, by id.
        files: the files of the job results to serialize, by the id of the result.
    """

    def __init__(
        self, root: str, jobs: Mapping[UUID, Job], files: Mapping[UUID, Sequence[ResultFile]] | None = None
    ) -> None:
        self._root = root
        self._jobs = jobs
        self._files = files or {}

    def _url(self, kind: str, thing_id: object) -> str:
        return f"{self._root}/api/{kind}/{thing_id}/"

    def _to(self, thing_id: UUID, object_type: str, kind: str) -> schemas.Reference:
        return schemas.Reference(id=thing_id, object_type=object_type, url=self._url(kind, thing_id))

    def _job(self, job_id: UUID) -> schemas.Reference:
        return self._to(job_id, "extras.job", "extras/jobs")

    def _user(self, user_id: UUID) -> schemas.Reference:
        return self._to(user_id, "users.user", "users/users")

    def _run(self, result_id: UUID | None) -> schemas.Reference | None:
        return self._to(result_id, "extras.jobresult", "extras/job-results") if result_id else None

    def _scheduled(self, scheduled_id: UUID) -> schemas.Reference:
        return self._to(scheduled_id, "extras.scheduledjob", "extras/scheduled-jobs")

    def _queue(self, name: str) -> schemas.Reference:
        return self._to(queue_id(name), "extras.jobqueue", "extras/job-queues")

    def _tag(self, name: str) -> schemas.Tag:
        url = f"{self._root}/api/extras/jobs/?{urlencode({'tags': name})}"
        return schemas.Tag(**self._object(tag_id(name), "extras/tags", name) | {"url": url}, name=name)

    def _object(self, thing_id: UUID, kind: str, display: str, *key: object) -> dict[str, Any]:
        """Return the fields that every object has, except its type.

        Args:
            thing_id: its id.
            kind: its path, below ``/api/``.
            display: what people see.
            key: what tells it from others of its type; by default what people see.
        """
        return {
            "id": thing_id,
            "display": display,
            "url": self._url(kind, thing_id),
            "natural_slug": natural_slug(thing_id, *(key or (display,))),
        }

    def job_queue(self, queue: JobQueue, workers: Mapping[str, int] | None) -> schemas.JobQueue:
        """Return a job queue (contract 3).

        Args:
            queue: the job queue.
            workers: the number of workers of each queue; None while Prefect does not respond.
        """
        return schemas.JobQueue(
            **self._object(queue.id, "extras/job-queues", queue.name),
            name=queue.name,
            queue_type="prefect",
            pool=queue.pool,
            worker_count=None if workers is None else workers.get(queue.name, 0),
        )

    def job_button(self, row: JobButton) -> schemas.JobButton:
        """Return a job button."""
        return schemas.JobButton(
            **self._object(row.id, "extras/job-buttons", row.name),
            name=row.name,
            text=row.text,
            job=self._job(row.job_id),
            content_types=list(row.content_types),
            enabled=row.enabled,
            weight=row.weight,
            group_name=row.group_name,
            button_class=schemas.Choice(value=row.button_class, label=row.button_class.capitalize()),
            confirmation=row.confirmation,
            created=row.created,
            last_updated=row.last_updated,
        )

    def job_hook(self, row: JobHook) -> schemas.JobHook:
        """Return a job hook."""
        return schemas.JobHook(
            **self._object(row.id, "extras/job-hooks", row.name),
            name=row.name,
            enabled=row.enabled,
            content_types=list(row.content_types),
            job=self._job(row.job_id),
            type_create=row.type_create,
            type_update=row.type_update,
            type_delete=row.type_delete,
            created=row.created,
            last_updated=row.last_updated,
        )

    def automation_account(self, bound: AutomationAccount) -> schemas.AutomationAccount:
        """Return the account that an automation acts as."""
        return schemas.AutomationAccount(
            **self._object(bound.id, "extras/automation-accounts", bound.name),
            name=bound.name,
            user=self._user(bound.user_id),
            bound_by=bound.bound_by,
            created=bound.created,
        )

    def job(self, job: Job) -> schemas.Job:
        """Return a Job (contract 3)."""
        return schemas.Job(
            **self._object(job.id, "extras/jobs", job.name, job.module_name, job.job_class_name),
            notes_url=None,
            module_name=job.module_name,
            job_class_name=job.job_class_name,
            grouping=job.grouping,
            name=job.name,
            description=job.description,
            installed=job.installed,
            enabled=job.enabled,
            is_job_hook_receiver=job.is_job_hook_receiver,
            is_job_button_receiver=job.is_job_button_receiver,
            has_sensitive_variables=job.has_sensitive_variables,
            is_singleton=job.is_singleton,
            overlap=str(job.overlap),
            approval_required=job.approval_required,
            hidden=job.hidden,
            dryrun_default=job.dryrun_default,
            read_only=job.read_only,
            soft_time_limit=job.soft_time_limit,
            time_limit=job.time_limit,
            supports_dryrun=job.supports_dryrun,
            task_queues=list(job.queues),
            job_queues=[self._queue(name) for name in job.queues],
            default_job_queue=self._queue(job.default_queue),
            **_overrides(job),
            job_variables=dict(job.job_variables),
            approval_off=_switched_off(job.approval_off),
            created=job.created,
            last_updated=job.last_updated,
            tags=[self._tag(name) for name in job.tags],
            custom_fields={},
            computed_fields={},
            relationships={},
        )

    def scheduled_job(self, row: ScheduledJob) -> schemas.ScheduledJob:
        """Return a scheduled job (contract 5)."""
        job = self._jobs[row.job_id]
        return schemas.ScheduledJob(
            **self._object(row.id, "extras/scheduled-jobs", f"{row.name}: {row.interval}", row.name),
            name=row.name,
            task=job.class_path,
            job_model=self._job(row.job_id),
            user=self._user(row.owner_id) if row.owner_id else None,
            interval=str(row.interval),
            start_time=row.start_time,
            time_zone=row.time_zone,
            crontab=row.crontab,
            misfire=str(row.misfire),
            one_off=row.one_off,
            enabled=row.enabled,
            failure=row.failure,
            args=[],
            kwargs={} if row.hides_inputs(job) else dict(row.inputs),
            queue=row.queue,
            job_queue=self._queue(row.queue),
            celery_kwargs={"queue": row.queue, **NOT_HERE},
            last_run_at=row.last_run_at,
            total_run_count=row.total_run_count,
            date_changed=row.date_changed,
            description=row.description,
            approval_required=row.approval is not ApprovalState.NOT_REQUIRED,
            approved_at=row.approved_at,
            approved_by_user=self._user(row.approved_by_id) if row.approved_by_id else None,
            approval_state=str(row.approval),
            approval_comment=row.approval_comment,
            approval_note=row.approval_note,
            missed=schemas.Missed.model_validate(row.missed) if row.missed else None,
            approval_version=version_of(row, job),
            approval_off=_switched_off(row.approval_off),
            expires_at=row.expires_at,
            requested_from=self._run(row.requested_from),
            automation=_asking(row.automation),
            agent=schemas.AskingAgent(acts_for=row.agent["for"]) if row.agent else None,
            reason=row.reason,
        )

    def review(self, review: Review, waiting: Waiting) -> schemas.Review:
        """Return a request for review (contract 6)."""
        return schemas.Review(
            scheduled_job=self.waiting(waiting),
            runs_as=review.owner,
            past_due=review.case.request.past_due,
            inputs=[_difference(each) for each in review.inputs],
            circumstances=[_difference(each) for each in review.circumstances],
            compared_with=_earlier(review.earlier) if review.earlier else None,
            nothing_to_compare=review.nothing_earlier,
        )

    def approval_request(self, row: ApprovalRequest, told: Outcomes) -> schemas.ApprovalRequest:
        """Return a request for approval (contract 10).

        Args:
            row: it.
            told: what became of it, among others.
        """
        inputs, result = told.inputs_of(row), told.results.get(row.scheduled_job_id)
        seen = row.scheduled_job_id in told.scheduled
        return schemas.ApprovalRequest(
            **self._object(row.id, "extras/approval-requests", f"{row.name}: {row.state}", row.name),
            name=row.name,
            task_name=row.task_name,
            job_model=self._job(row.job_id),
            scheduled_job=self._scheduled(row.scheduled_job_id) if seen else None,
            user=self._user(row.user_id) if row.user_id else None,
            requested_by=row.requested_by,
            owner=self._user(row.owner_id) if row.owner_id else None,
            created=row.created,
            reason=row.reason,
            expires_at=row.expires_at,
            state=schemas.Choice(value=str(row.state), label=str(row.state).capitalize()),
            decided_at=row.decided_at,
            decided_by_user=self._user(row.decided_by_id) if row.decided_by_id else None,
            decided_by=row.decided_by,
            comment=row.comment,
            kwargs=None if inputs is None else dict(inputs),
            circumstances=None if row.circumstances is None else dict(row.circumstances),
            job_result=self._run(result.id) if result else None,
        )

    def comparison(self, found: Comparison) -> schemas.Comparison:
        """Return how what was decided about differs from what was approved before (contract 10)."""
        return schemas.Comparison(
            inputs=[_difference(each) for each in found.inputs],
            circumstances=[_difference(each) for each in found.circumstances],
            compared_with=_approval(found.earlier),
            nothing_to_compare=found.nothing_earlier,
        )

    def waiting(self, waiting: Waiting) -> schemas.Waiting:
        """Return a request in the approval queue (contract 10)."""
        return schemas.Waiting(
            **dict(self.scheduled_job(waiting.scheduled)),
            requested_by=waiting.requester,
            asked_at=waiting.asked,
            may_approve=not waiting.why_not,
            why_not_approve=waiting.why_not,
            may_deny=not waiting.why_not_deny,
            why_not_deny=waiting.why_not_deny,
            unfit=waiting.unfit,
        )

    def explanation(self, told: Explanation) -> schemas.Explanation:
        """Return who can do what with a scheduled job, and when it runs next (contract 10)."""
        reasons = {asked: why_not(verdict, hidden=UNSEEN) for asked, verdict in told.verdicts.items()}
        return schemas.Explanation(
            user=self._named(told.subject),
            may={asked: schemas.May(allowed=not reason, reason=reason) for asked, reason in reasons.items()},
            who={asked: [self._named(user) for user in users] for asked, users in told.people.items()},
            others=dict(told.others),
            unfit=told.unfit,
            needs_force=told.needs_force,
            next_firing=told.next_firing,
            why_not=told.why_not,
        )

    def request_check(self, check: RequestCheck) -> schemas.RequestCheck:
        """Return what would become of a request."""
        return schemas.RequestCheck(
            valid=not check.faults,
            errors=[fault.detail for fault in check.faults],
            needs_approval=check.waits,
            who_may_approve=[self._named(user) for user in check.people],
            others_may_approve=check.others,
        )

    def _named(self, user: User) -> schemas.Named:
        return schemas.Named(**dict(self._user(user.id)), username=user.username)

    def job_result(self, row: JobResult) -> schemas.JobResult:
        """Return a job result (contract 7)."""
        scheduled = row.scheduled_job_id
        return schemas.JobResult(
            **self._object(
                row.id, "extras/job-results", f"{row.name} created at {row.date_created} ({row.status})", row.id
            ),
            flow_run_id=row.flow_run_id,
            name=row.name,
            task_name=row.task_name,
            # Clients poll the label until it is one of a finished run.
            status=schemas.Choice(value=str(row.status), label=str(row.status)),
            date_created=row.date_created,
            date_started=row.date_started,
            date_done=row.date_done,
            nominal_time=row.nominal_time,
            result=row.result,
            traceback=row.traceback,
            worker=row.worker,
            task_args=[],
            task_kwargs={} if row.sensitive else dict(row.inputs or {}),
            celery_kwargs={"queue": row.queue, **NOT_HERE, **_nautobot_ids(row)},
            meta={
                **({"children": []} if row.date_started else {}),
                **({"approval": row.approval} if row.approval else {}),
                **({"approval_off": dict(row.approval_off)} if row.approval_off else {}),
                **({"dry_run": True} if row.dry_run else {}),
                **({"suspended": True} if row.can_be_resumed else {}),
                **({"cancelled_by": row.cancelled_by} if row.cancelled_by else {}),
            },
            job_model=self._job(row.job_id) if row.job_id else None,
            user=self._user(row.user_id) if row.user_id else None,
            scheduled_job=self._scheduled(scheduled) if scheduled else None,
            requested_from=self._run(row.requested_from),
            automation=_asking(row.automation),
            agent=schemas.AskingAgent(acts_for=row.agent["for"]) if row.agent else None,
            reason=row.reason,
            files=[self.file(each) for each in self._files.get(row.id, ())],
            custom_fields={},
        )

    def file(self, file: ResultFile) -> schemas.FileProxy:
        """Return what is known of a file that a run has made (contract 7)."""
        named = self._object(file.id, "extras/file-proxies", file.name)
        return schemas.FileProxy(
            **named,
            name=file.name,
            uploaded_at=file.created,
            job_result=self._to(file.job_result_id, "extras.jobresult", "extras/job-results"),
            size=file.size,
            sha256=file.sha256,
            download_url=f"{named['url']}download/",
        )

    def accepted(self, accepted: Accepted) -> schemas.Accepted:
        """Return the outcome of a run request (contract 4)."""
        scheduled, result = accepted.scheduled_job, accepted.job_result
        return schemas.Accepted(
            scheduled_job=self.scheduled_job(scheduled) if scheduled else None,
            job_result=self.job_result(result) if result else None,
        )

    def log_entry(self, entry: LogEntry) -> schemas.JobLogEntry:
        """Return a line of a job result's log (contract 7)."""
        return schemas.JobLogEntry(
            **self._object(entry.id, "extras/job-logs", entry.message[:100], entry.id),
            log_level=entry.log_level,
            grouping=entry.grouping,
            message=entry.message,
            log_object=entry.log_object,
            absolute_url=entry.absolute_url,
            created=entry.created,
            job_result=self._to(entry.job_result, "extras.jobresult", "extras/job-results"),
        )

    def upcoming(self, told: Upcoming) -> schemas.Upcoming:
        """Return when a scheduled job runs next (contract 10)."""
        return schemas.Upcoming(time_zone=told.time_zone, why_not=told.why_not, note=told.note, firings=told.times)


def _overrides(job: Job) -> dict[str, Any]:
    """Return which fields of a Job an administrator has overridden; its queues go by several names."""
    known = {field: field in job.overridden for field in (*OVERRIDABLE, "name", "grouping")}
    known |= dict.fromkeys(("task_queues", "default_job_queue"), known["job_queues"])
    return {f"{field}_override": is_overridden for field, is_overridden in known.items()}


def _nautobot_ids(row: JobResult) -> dict[str, str | None]:
    ids = {"nautobot_job_job_model_id": row.job_id, "nautobot_job_user_id": row.user_id}
    return {name: str(each) if each else None for name, each in ids.items()}


def _asking(automation: AskingAutomation | None) -> schemas.AskingAutomation | None:
    return schemas.AskingAutomation.model_validate(automation) if automation else None


def _switched_off(mark: SwitchedOff | None) -> schemas.SwitchedOff | None:
    return schemas.SwitchedOff(**mark) if mark else None


def _earlier(approval: Earlier) -> schemas.EarlierApproval:
    return schemas.EarlierApproval(
        name=approval.name, approved_by=approval.approved_by, approved_at=approval.approved_at
    )


def _approval(request: ApprovalRequest | None) -> schemas.EarlierApproval | None:
    if request is None or request.decided_at is None:
        return None
    return schemas.EarlierApproval(name=request.name, approved_by=request.decided_by, approved_at=request.decided_at)


def _difference(each: Difference) -> schemas.Difference:
    return schemas.Difference(name=each.name, change=each.change.value, now=each.now, before=each.before)


NOT_HERE: Mapping[str, bool] = {"nautobot_job_profile": False, "nautobot_job_ignore_singleton_lock": False}
"""What clients of Nautobot read of how a run is started, and what no run is here."""


def natural_slug(thing_id: UUID, *key: object) -> str:
    """Return a unique readable identifier: the parts of the key in words, and the first digits of the id."""
    return "_".join(map(_in_words, key))[:100] + f"_{str(thing_id)[:4]}"


def _in_words(part: object) -> str:
    words = "".join(c if c.isalnum() else "-" for c in str(part).lower())
    return "-".join(filter(None, words.split("-")))


PATHS: Mapping[ObjectType, str] = {
    ObjectType.USER: "users/users",
    ObjectType.GROUP: "users/groups",
    ObjectType.TOKEN: "users/tokens",
    ObjectType.PERMISSION: "users/permissions",
}
"""The path of each type of account, below ``/api/``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Related:
    """The related data of a page of accounts.

    Args:
        linked: the linked users and groups.
        usernames: the user names of the owners of tokens, by id.
        providers: the identity providers that users are linked with, by the ids of the users.
    """

    linked: Linked = field(default_factory=dict)
    usernames: Mapping[UUID | None, str] = field(default_factory=dict)
    providers: Mapping[UUID, str] = field(default_factory=dict)


def related(kind: ObjectType, things: Sequence[Any], tx: Transaction) -> Related:
    """Read the related data of accounts."""
    if kind is ObjectType.TOKEN:
        return Related(usernames=usernames(tx, [token.user_id for token in things]))
    ids = [thing.id for thing in things]
    return Related(linked=linked(tx, kind, ids), providers=providers_of(tx, ids) if kind is ObjectType.USER else {})


class AccountSerializer(Serializer):
    """Serializes users, groups, tokens and permissions for one request.

    Args:
        root: the URL of the server, without a trailing slash.
        related: the related data of the accounts to serialize.
    """

    def __init__(self, root: str, related: Related) -> None:
        super().__init__(root, {})
        self._related = related

    def account(self, thing: User | Group | Token | Permission, key: str = "") -> schemas.Object:
        """Return a user, a group, a token or a permission (contract 8).

        Args:
            thing: the account.
            key: the key of a token that has just been created; else empty.
        """
        match thing:
            case User():
                return self.user(thing)
            case Group():
                return self.group(thing)
            case Token():
                return self.new_token(thing, key) if key else self.token(thing)
            case _:
                return self.permission(thing)

    def given_approvals(self, approvals: Approvals) -> schemas.GivenApprovals:
        """Return what has become of approvals."""

        def named(row: ScheduledJob) -> schemas.NamedScheduledJob:
            reference = self._to(row.id, str(ObjectType.SCHEDULED_JOB), "extras/scheduled-jobs")
            return schemas.NamedScheduledJob(**dict(reference), name=row.name)

        return schemas.GivenApprovals(
            standing_approvals=[named(row) for row in approvals.standing],
            revoked_approvals=[named(row) for row in approvals.revoked],
        )

    def user(self, user: User) -> schemas.User:
        """Return a user."""
        return schemas.User(
            **self._as(ObjectType.USER, user.id, user.username),
            username=user.username,
            is_active=user.is_active,
            is_superuser=user.is_superuser,
            is_agent=user.is_agent,
            provider=self._related.providers.get(user.id, ""),
            date_joined=user.created,
            groups=self._several(ObjectType.GROUP, "groups", user.id),
        )

    def group(self, group: Group) -> schemas.Group:
        """Return a group."""
        return schemas.Group(
            **self._as(ObjectType.GROUP, group.id, group.name),
            name=group.name,
            user_count=len(self._ids("users", group.id)),
        )

    def token(self, token: Token) -> schemas.Token:
        """Return a token, without its key."""
        owner = self._related.usernames.get(token.user_id, "")
        return schemas.Token(
            **self._as(ObjectType.TOKEN, token.id, f"{owner} ({str(token.id)[:8]})"),
            user=self._user(token.user_id),
            created=token.created,
            expires=token.expires,
            write_enabled=token.write_enabled,
            description=token.description,
            last_used=token.last_used,
            last_used_from=token.last_used_from,
            made_with=self._token(token.made_with_id) if token.made_with_id else None,
        )

    def new_token(self, token: Token, key: str) -> schemas.NewToken:
        """Return a new token, with its key."""
        return schemas.NewToken(**dict(self.token(token)), key=key)

    def permission(self, permission: Permission) -> schemas.Permission:
        """Return a permission."""
        return schemas.Permission(
            **self._as(ObjectType.PERMISSION, permission.id, permission.name),
            name=permission.name,
            enabled=permission.enabled,
            object_types=[str(kind) for kind in permission.object_types],
            actions=[str(action) for action in permission.actions],
            constraints=permission.constraints,
            users=self._several(ObjectType.USER, "users", permission.id),
            groups=self._several(ObjectType.GROUP, "groups", permission.id),
        )

    def _as(self, kind: ObjectType, thing_id: UUID, display: str) -> dict[str, Any]:
        return self._object(thing_id, PATHS[kind], display)

    def _ids(self, field: str, thing_id: UUID) -> list[UUID]:
        return self._related.linked.get(field, {}).get(thing_id, [])

    def _token(self, token_id: UUID) -> schemas.Reference:
        return self._to(token_id, str(ObjectType.TOKEN), PATHS[ObjectType.TOKEN])

    def _several(self, kind: ObjectType, field: str, thing_id: UUID) -> list[Any]:
        refer = partial(self._to, object_type=str(kind), kind=PATHS[kind])
        return [refer(other) for other in self._ids(field, thing_id)]
