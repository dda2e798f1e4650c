"""The tables: each noun comes back as it went in, and what refers to something follows when that goes."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import StatementError

from api_shim.domain import model
from api_shim.domain.accounts import (
    FavouriteJob,
    Group,
    Identity,
    Password,
    Permission,
    PermissionGroup,
    PermissionUser,
    RunCredential,
    Session,
    SignInCode,
    Token,
    User,
    UserGroup,
    UserName,
    UserPreferences,
    WorkerAccount,
)
from api_shim.domain.audit import AuditEvent, AuditHead, EventType
from api_shim.domain.files import InputFile, InputFileUse, ResultContent, ResultFile
from api_shim.domain.model import (
    NEVER,
    ApprovalRequest,
    AutomationAccount,
    DeletedRun,
    HeldJob,
    Job,
    JobResult,
    Participant,
    PendingCleanup,
    RunningServer,
    ScheduledJob,
    Status,
    queue_of,
)
from api_shim.domain.notifications import (
    Frequency,
    Notification,
    NotificationChoice,
    NotificationEvent,
    NotificationMark,
    NotificationTarget,
    Topic,
    Way,
    event_of,
    notification_of,
)
from api_shim.domain.recurrence import Interval
from api_shim.domain.triggers import JobButton, JobHook
from api_shim.store import Duplicate, Store
from api_shim.store.tables import TABLES
from approval_gate.admission import Misfire, Overlap
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

pytestmark = pytest.mark.each_database

EXACT = datetime(2026, 10, 25, 0, 30, 0, 123456, tzinfo=UTC)
NASTY = "Ä'\"\\%_😀\u202e\n\t\x01 ünïcode"
JSON = {"a": [1, 2**53, -0.5, None, True, "\0", NASTY], "": {}, "ß": {"b": []}}


def full() -> list[Any]:
    """Return every noun but the audit's head with something in each field, those that are referred to first."""
    user = make_user("Zoë", is_active=False, is_superuser=True, created=EXACT)
    group = Group(id=uuid4(), name=NASTY)
    permission = Permission(
        id=uuid4(),
        name=NASTY,
        enabled=False,
        object_types=("extras.job", "prefect"),
        actions=("view",),
        constraints=[{"name__in": ["a", NASTY]}],
    )
    job = make_job(
        name=NASTY,
        description=NASTY,
        enabled=True,
        has_sensitive_variables=True,
        approval_required=True,
        is_singleton=True,
        overlap=Overlap.QUEUE,
        hidden=True,
        dryrun_default=True,
        read_only=True,
        supports_dryrun=True,
        soft_time_limit=0.1,
        time_limit=1e7,
        approval_expires=604800.5,
        job_queues=("a", NASTY),
        tags=("a", NASTY),
        job_variables=JSON,
        declared=JSON,
        overridden=("description",),
        code_digest=f"2::{'0' * 64}",
        module_digest="0" * 64,
        variables=(JSON, {}),
        parameter_schema=JSON,
        deployment_id=uuid4(),
        version=2**31 - 1,
        projected_version=-1,
    )
    origin: dict[str, Any] = {"requested_from": uuid4(), "request_depth": 3, "run_name": NASTY}
    origin |= {"run_tags": ("a", NASTY), "automation": JSON, "agent": JSON, "reason": NASTY}
    scheduled = make_scheduled(
        job,
        user,
        name=NASTY,
        interval=Interval.CUSTOM,
        start_time=EXACT,
        time_zone="Europe/Berlin",
        crontab="*/5 * * * *",
        immediate=True,
        inputs=JSON,
        description=NASTY,
        enabled=False,
        approval=ApprovalState.PENDING,
        approval_note=NASTY,
        approved_by_id=user.id,
        approved_by="Zoë",
        approved_at=EXACT,
        approval_comment=NASTY,
        approved={"job": "0" * 64},
        expires_at=EXACT,
        last_run_at=EXACT,
        total_run_count=7,
        deployment_id=uuid4(),
        flow_run_id=uuid4(),
        next_look_at=NEVER,
        misfire=Misfire.ASK,
        missed=JSON,
        **origin,
    )
    result = make_result(
        job,
        user,
        scheduled_job_id=scheduled.id,
        name=NASTY,
        status=Status.STARTED,
        nominal_time=EXACT,
        inputs=JSON,
        sensitive=True,
        result=JSON,
        traceback=NASTY,
        worker="host:1",
        date_started=EXACT,
        date_done=EXACT,
        approval=JSON,
        attempt=uuid4(),
        released=True,
        waits_since=EXACT,
        asks_at=EXACT,
        dry_run=True,
        **origin,
    )
    file = ResultFile(id=uuid4(), job_result_id=result.id, name="ü.txt", size=2**40, sha256="f" * 64, created=EXACT)
    given = InputFile(id=uuid4(), content=bytes(range(256)), created=EXACT)
    request = ApprovalRequest(
        id=uuid4(),
        scheduled_job_id=scheduled.id,
        job_id=job.id,
        name=NASTY,
        task_name="a.B",
        user_id=user.id,
        requested_by=NASTY,
        owner_id=user.id,
        created=EXACT,
        reason=NASTY,
        expires_at=EXACT,
        state=ApprovalState.DENIED,
        decided_at=EXACT,
        decided_by_id=user.id,
        decided_by=NASTY,
        comment=NASTY,
        decided_inputs=JSON,
        circumstances={"Start": NASTY},
    )
    target = NotificationTarget(
        id=uuid4(),
        user_id=user.id,
        way=Way.APPRISE,
        label=NASTY,
        address=NASTY,
        created=EXACT,
        confirmed=False,
        from_provider=True,
        wrong_codes=2,
        sent_at=EXACT,
        failing_since=EXACT,
        failed_at=EXACT,
        failure=NASTY,
        retry_at=EXACT,
        switched_off=True,
    )
    happened = event_of(Topic.SCHEDULE, scheduled.id, EXACT, actor_id=user.id, actor="Zoë", what="disabled")
    session = Session(
        id=uuid4(),
        user_id=user.id,
        key_hash="f" * 64,
        csrf="c" * 43,
        notice=NASTY,
        created=EXACT,
        seen=EXACT,
        provider="https://login.example.com",
        refresh_token=NASTY,
        renew_by=EXACT,
        renewing=EXACT,
        used_from="192.0.2.7",
        browser="Firefox on Linux",
    )
    server = RunningServer(id=uuid4(), place=NASTY, process=2**22, seen=EXACT)
    return [
        user,
        UserName(id=uuid4(), user_id=user.id, normal="zoë", since=EXACT, until=EXACT, shared=True),
        group,
        Token(
            id=uuid4(),
            user_id=user.id,
            key_hash="f" * 64,
            write_enabled=False,
            expires=EXACT,
            created=EXACT,
            description=NASTY,
            last_used=EXACT,
            last_used_from="2001:db8::1",
            made_with_id=uuid4(),
        ),
        permission,
        UserGroup(user_id=user.id, group_id=group.id),
        PermissionUser(permission_id=permission.id, user_id=user.id),
        PermissionGroup(permission_id=permission.id, group_id=group.id),
        job,
        scheduled,
        result,
        WorkerAccount(user_id=user.id, pool=NASTY),
        session,
        Identity(
            id=uuid4(),
            user_id=user.id,
            issuer="https://login.example.com",
            subject=NASTY,
            name=NASTY,
            mail=NASTY,
            mail_taken=NASTY,
            created=EXACT,
            seen=EXACT,
        ),
        SignInCode(id=uuid4(), session_id=session.id, code_hash="f" * 64, challenge="c" * 43, created=EXACT),
        UserPreferences(user_id=user.id, time_zone=NASTY, page_size=100),
        FavouriteJob(user_id=user.id, job_id=job.id),
        RunCredential(flow_run_id=uuid4(), key_hash="f" * 64, user_id=user.id, created=EXACT),
        PendingCleanup(
            id=uuid4(), job_id=job.id, name=NASTY, message=NASTY, deployment_id=uuid4(), flow_run_id=uuid4()
        ),
        Participant(scheduled_job_id=scheduled.id, user_id=user.id, username=NASTY),
        DeletedRun(id=uuid4(), scheduled_job_id=scheduled.id, nominal_time=EXACT, run_gone=True),
        queue_of(NASTY),
        request,
        NotificationChoice(user_id=user.id, topics=("run-failed",), frequency=Frequency.DAILY, hour=23),
        target,
        happened,
        notification_of(happened, target, EXACT),
        NotificationMark(request_id=request.id, topic=Topic.REMINDER),
        AutomationAccount(
            id=uuid4(),
            name=NASTY,
            user_id=user.id,
            digest="f" * 64,
            bound_by_id=uuid4(),
            bound_by=NASTY,
            created=EXACT,
        ),
        file,
        ResultContent(file_id=file.id, content=bytes(range(256))),
        given,
        InputFileUse(file_id=given.id, holder_id=scheduled.id),
        server,
        HeldJob(server_id=server.id, job_id=job.id),
        AuditEvent(
            number=7,
            at=EXACT,
            act=EventType.APPROVED,
            actor_id=user.id,
            actor=NASTY,
            name=NASTY,
            scheduled_job_id=scheduled.id,
            job_id=job.id,
            flow_run_id=uuid4(),
            deployment_id=uuid4(),
            data=JSON,
            previous_hash="0" * 64,
            hash="f" * 64,
        ),
    ]


def emptied(thing: Any) -> Any:
    """Return a value with None in each field that may be None."""
    optional = {each.name: None for each in fields(thing) if "None" in str(each.type)}
    return replace(thing, **optional)


def test_every_noun_has_a_table_with_a_column_for_each_field() -> None:
    nouns = {each for each in vars(model).values() if isinstance(each, type) and hasattr(each, "__dataclass_fields__")}
    of_model = {each for each in nouns if each.__module__ == model.__name__}
    of_accounts = {
        User,
        UserName,
        Group,
        UserGroup,
        Token,
        Permission,
        PermissionUser,
        PermissionGroup,
        Password,
        Session,
        Identity,
        SignInCode,
        WorkerAccount,
        RunCredential,
        UserPreferences,
        FavouriteJob,
    }
    of_files = {ResultFile, ResultContent, InputFile, InputFileUse}
    of_notifications = {NotificationChoice, NotificationTarget, NotificationEvent, Notification, NotificationMark}
    assert set(TABLES) == {
        *of_model,
        *of_accounts,
        *of_files,
        *of_notifications,
        JobButton,
        JobHook,
        AuditEvent,
        AuditHead,
    }
    for noun, table in TABLES.items():
        assert {each.name for each in fields(noun)} == set(table.columns.keys())


@pytest.mark.parametrize("change", [lambda thing: thing, emptied], ids=["full", "with None where there may be"])
def test_every_noun_comes_back_as_it_went_in(store: Store, change: Any) -> None:
    things = [change(thing) for thing in full()]
    with store.transaction() as tx:
        for thing in things:
            tx.add(thing)
    with store.transaction(write=False) as tx:
        # What is added has happened, too.
        told = {each.id: each for each in things if isinstance(each, NotificationEvent)}
        assert told.items() <= {each.id: each for each in tx.all(NotificationEvent)}.items()
        others = [each for each in things if each.__class__ is not NotificationEvent]
        assert [tx.all(type(thing)) for thing in others] == [[thing] for thing in others]
        found = tx.all(JobResult)[0]
    assert type(found.status) is Status
    assert found.date_created.tzinfo is UTC


def test_words_and_times_come_back_in_their_own_types(store: Store) -> None:
    job, user = make_job(job_queues=("a",)), make_user()
    with store.transaction() as tx:
        for thing in (job, user, make_scheduled(job, user)):
            tx.add(thing)
    with store.transaction(write=False) as tx:
        (scheduled,), (found,) = tx.all(ScheduledJob), tx.all(Job)
    assert type(scheduled.interval) is Interval
    assert type(scheduled.approval) is ApprovalState
    assert type(found.job_queues) is tuple
    assert scheduled.start_time.tzinfo is UTC


@pytest.mark.parametrize("hours", [-12, 5.5, 14])
def test_a_time_of_another_zone_is_the_same_moment(store: Store, hours: float) -> None:
    there = EXACT.astimezone(timezone(timedelta(hours=hours)))
    with store.transaction() as tx:
        tx.add(make_user(created=there))
    with store.transaction(write=False) as tx:
        (user,) = tx.all(User)
    assert (user.created, user.created.tzinfo) == (EXACT, UTC)


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(StatementError, match="without a zone"), store.transaction() as tx:
        tx.add(make_user(created=EXACT.replace(tzinfo=None)))


# What follows when something goes


@pytest.fixture
def stored(store: Store) -> dict[type[Any], Any]:
    things = full()
    with store.transaction() as tx:
        for thing in things:
            tx.add(thing)
    return {type(thing): thing for thing in things}


def remove(store: Store, thing: Any) -> None:
    with store.transaction() as tx:
        tx.remove(thing)


def test_without_its_user_a_schedule_has_no_owner_and_a_result_no_user(
    store: Store, stored: dict[type[Any], Any]
) -> None:
    remove(store, stored[User])
    with store.transaction(write=False) as tx:
        assert tx.all(ScheduledJob) == [replace(stored[ScheduledJob], owner_id=None, approved_by_id=None)]
        assert tx.all(JobResult) == [replace(stored[JobResult], user_id=None)]


def test_a_user_takes_their_tokens_memberships_and_permissions_with_them(
    store: Store, stored: dict[type[Any], Any]
) -> None:
    remove(store, stored[User])
    with store.transaction(write=False) as tx:
        assert [tx.all(kind) for kind in (Token, UserGroup, PermissionUser)] == [[], [], []]
        assert tx.all(Group) == [stored[Group]]
        assert tx.all(Permission) == [stored[Permission]]
        assert tx.all(PermissionGroup) == [stored[PermissionGroup]]


def test_a_group_leaves_its_users_and_permissions(store: Store, stored: dict[type[Any], Any]) -> None:
    remove(store, stored[Group])
    with store.transaction(write=False) as tx:
        assert [tx.all(kind) for kind in (UserGroup, PermissionGroup)] == [[], []]
        assert tx.all(User) == [stored[User]]
        assert tx.all(PermissionUser) == [stored[PermissionUser]]


def test_a_permission_is_taken_from_everybody(store: Store, stored: dict[type[Any], Any]) -> None:
    remove(store, stored[Permission])
    with store.transaction(write=False) as tx:
        assert [tx.all(kind) for kind in (PermissionUser, PermissionGroup)] == [[], []]
        assert tx.all(User) == [stored[User]]


def test_the_results_of_a_scheduled_job_outlive_it(store: Store, stored: dict[type[Any], Any]) -> None:
    remove(store, stored[ScheduledJob])
    with store.transaction(write=False) as tx:
        assert tx.all(JobResult) == [replace(stored[JobResult], scheduled_job_id=None)]


def test_a_scheduled_job_takes_the_list_of_its_owners_with_it_who_outlive_their_users(
    store: Store, stored: dict[type[Any], Any]
) -> None:
    remove(store, stored[User])
    with store.transaction(write=False) as tx:
        assert tx.all(Participant) == [stored[Participant]]
    remove(store, stored[ScheduledJob])
    with store.transaction(write=False) as tx:
        assert tx.all(Participant) == []


def test_an_event_of_the_audit_outlives_everything_that_it_tells_of(store: Store, stored: dict[type[Any], Any]) -> None:
    for kind in (PendingCleanup, ScheduledJob, JobResult, Job, User):
        remove(store, stored[kind])
    with store.transaction(write=False) as tx:
        assert tx.all(AuditEvent) == [stored[AuditEvent]]


def test_a_job_that_something_is_scheduled_of_cannot_be_removed(store: Store, stored: dict[type[Any], Any]) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        remove(store, stored[Job])
    with store.transaction(write=False) as tx:
        assert tx.all(Job) == [stored[Job]]


# What can be there once only


def test_a_firing_has_one_result(store: Store, stored: dict[type[Any], Any]) -> None:
    with pytest.raises(Duplicate), store.transaction() as tx:
        tx.add(replace(stored[JobResult], id=uuid4(), flow_run_id=uuid4()))
    later = {"id": uuid4(), "flow_run_id": uuid4(), "nominal_time": EXACT + timedelta(hours=1)}
    with store.transaction() as tx:
        tx.add(replace(stored[JobResult], **later))


def test_a_run_is_that_of_one_result_and_many_can_have_none(store: Store, stored: dict[type[Any], Any]) -> None:
    another = {"id": uuid4(), "nominal_time": EXACT + timedelta(hours=1)}
    with pytest.raises(Duplicate), store.transaction() as tx:
        tx.add(replace(stored[JobResult], **another))
    with store.transaction() as tx:
        for hour in (1, 2):
            later = {"id": uuid4(), "nominal_time": EXACT + timedelta(hours=hour)}
            tx.add(replace(stored[JobResult], flow_run_id=None, **later))


def test_runs_that_are_no_firings_are_as_many_as_there_are(store: Store) -> None:
    job = make_job()
    with store.transaction() as tx:
        tx.add(job)
        for _ in range(2):
            tx.add(make_result(job, None, nominal_time=None))
            tx.add(make_result(job, None, nominal_time=NOW))
    with store.transaction(write=False) as tx:
        assert len(tx.all(JobResult)) == 4


@pytest.mark.parametrize("kind", [User, Group, Permission, Job, ScheduledJob])
def test_a_name_is_taken_once(store: Store, stored: dict[type[Any], Any], kind: type[Any]) -> None:
    with pytest.raises(Duplicate), store.transaction() as tx:
        tx.add(replace(stored[kind], id=uuid4()))


def test_names_that_differ_in_case_alone_are_different(store: Store) -> None:
    with store.transaction() as tx:
        tx.add(make_user("alice"))
        tx.add(make_user("Alice"))
    with store.transaction(write=False) as tx:
        assert not tx.exists(User, username="ALICE")


def test_two_jobs_cannot_have_one_class_path(store: Store) -> None:
    job = make_job()
    with store.transaction() as tx:
        tx.add(job)
    with pytest.raises(Duplicate), store.transaction() as tx:
        tx.add(replace(job, id=uuid4(), name="Another"))
