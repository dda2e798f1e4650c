"""What can be asked of the store and told to it within one transaction.

* ``add``, ``change`` and ``remove`` take the model's values; ``change`` writes only the fields it is given, so that
  two writers of different fields do not undo each other.
* ``visible`` and ``page`` see only what the caller may see.
* Events to be recorded are kept until the transaction ends and written last, so that those who write at once wait
  for each other at the end of the chain only, and in no circle. The new head is signed with them; after a head that
  the key has not signed nothing is recorded, so that nobody's forgery is ever signed over.
* The inputs of what is sensitive go in and come out encrypted (``sealed_inputs``); no other value is looked at.
* What has inputs uses the files that those refer to, without anybody saying so.
* What leaves something for Prefect to follow is told to the other servers, where there can be some.
* What people may be told of is noted with what it did, and with who did it; who is told of it is found out later.
* What is to be counted is counted when this is committed.
* A statement that is asked again and again is built once, with parameters: SQLAlchemy takes longer to build it and to
  recognise it than SQLite takes to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from enum import Enum, auto
from functools import cache
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    Insert,
    Integer,
    RowMapping,
    Select,
    String,
    Table,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from api_shim.domain.accounts import (
    Group,
    Permission,
    PermissionGroup,
    PermissionUser,
    Token,
    User,
    UserGroup,
)
from api_shim.domain.audit import AuditEvent, AuditHead, EventType, chain_events, of_request
from api_shim.domain.audit_key import AuditKey
from api_shim.domain.calendar_spans import Fired, Went
from api_shim.domain.files import InputFile, InputFileUse
from api_shim.domain.model import (
    ApprovalRequest,
    AutomationAccount,
    DeletedRun,
    Job,
    JobQueue,
    JobResult,
    PendingCleanup,
    ScheduledJob,
    Status,
)
from api_shim.domain.notifications import (
    ASKED_FOR,
    Happening,
    Notification,
    NotificationEvent,
    NotificationMark,
    NotificationTarget,
    event_of,
)
from api_shim.domain.notifications import Topic as Told
from api_shim.domain.notifications import of_change as told_of_change
from api_shim.domain.notifications import of_new as told_of_new
from api_shim.domain.query import FAILING, Condition, Listing, Page
from api_shim.domain.recurrence import Interval
from api_shim.domain.request_id import current_request
from api_shim.domain.triggers import JobButton, JobHook
from api_shim.metrics import RUNS
from api_shim.store.columns import LOOKUPS, joined
from api_shim.store.notices import Notice, Notices, of_change, of_new
from api_shim.store.sealed_inputs import NO_KEY, InputsKey, SealedInputs
from api_shim.store.sql_filters import fulfilling, restriction
from api_shim.store.tables import TABLES, job_results, jobs, scheduled_jobs
from approval_gate.errors import Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Attributes, ObjectType
from flows.files import GivenFile, ids_in

T = TypeVar("T")

NOT_RECORDED = (
    "Nothing can be recorded in the audit, because its end is not signed with the key of this process; "
    "`signoff audit verify` says more."
)

TYPES: dict[ObjectType, type[Any]] = {
    ObjectType.JOB: Job,
    ObjectType.SCHEDULED_JOB: ScheduledJob,
    ObjectType.JOB_RESULT: JobResult,
    ObjectType.JOB_QUEUE: JobQueue,
    ObjectType.JOB_BUTTON: JobButton,
    ObjectType.JOB_HOOK: JobHook,
    ObjectType.AUTOMATION_ACCOUNT: AutomationAccount,
    ObjectType.APPROVAL_REQUEST: ApprovalRequest,
    ObjectType.USER: User,
    ObjectType.GROUP: Group,
    ObjectType.TOKEN: Token,
    ObjectType.PERMISSION: Permission,
}


LEAVING = (EventType.USER_REMOVED, EventType.USER_CHANGED)
"""The events by which the owner of a schedule is gone."""
STOPPING = (EventType.DISABLED, EventType.ASSUMED, EventType.TRANSFERRED)
"""The events by which somebody disables a schedule, or gives it to another owner; refused runs have an actor, too."""

ENDS_OF_NAMES = (EventType.CHANGED, EventType.DELETED, EventType.DENIED, EventType.WITHDRAWN)
"""The events of a scheduled job after which it may have its name no more."""

_INSERT: Mapping[str, Callable[[Table], postgresql.Insert | sqlite.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}

AT_ONCE = 5_000
"""How many ids one query asks for: databases limit the values of a query."""

WITH_INPUTS = (JobResult, ScheduledJob)
FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in TABLES}
KEYS = {kind: tuple(column.name for column in table.primary_key) for kind, table in TABLES.items()}

ONGOING = tuple(status for status in Status if not status.final)
_PENDING = scheduled_jobs.c.approval == ApprovalState.PENDING
_CAN_GO = or_(TABLES[DeletedRun].c.run_gone.is_(False), TABLES[DeletedRun].c.scheduled_job_id.is_(None))


class _Test(Enum):
    """How a field is compared with what is asked."""

    NULL = auto()
    EQUAL = auto()
    MEMBER = auto()


_KEY = "key of "
_LIMIT: BindParameter[int] = bindparam("limit", type_=Integer)


def _test_of(value: Any) -> _Test:
    if value is None:
        return _Test.NULL
    return _Test.MEMBER if isinstance(value, (set, frozenset, list)) else _Test.EQUAL


def _condition(column: ColumnElement[Any], test: _Test, value: Any) -> ColumnElement[bool]:
    match test:
        case _Test.NULL:
            return column.is_(None)
        case _Test.EQUAL:
            equal: ColumnElement[bool] = column == value
            return equal
        case _Test.MEMBER:
            return column.in_(value)


def _matching(table: Table, by: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [_condition(table.c[name], _test_of(value), value) for name, value in by.items()]


@cache
def _selection(table: Table, tests: tuple[tuple[str, _Test], ...], order: str | None, lock: bool) -> Select[Any]:
    """Return the statement that reads values by some of their fields, whose values are its parameters."""
    values: dict[str, BindParameter[Any]] = {
        name: bindparam(name, expanding=test is _Test.MEMBER) for name, test in tests
    }
    query = select(table).where(*(_condition(table.c[name], test, values[name]) for name, test in tests))
    query = query if order is None else query.order_by(table.c[order])
    return query.with_for_update() if lock else query


@cache
def _one(selection: Select[Any]) -> Select[Any]:
    return selection.limit(1)


@cache
def _insertion(table: Table) -> Insert:
    return insert(table)


@cache
def _change(table: Table, names: tuple[str, ...]) -> Update:
    """Return the statement that writes some fields of one value; its key is given with ``_KEY`` before each name."""
    own = (column == bindparam(f"{_KEY}{column.name}") for column in table.primary_key)
    return update(table).where(*own).values({name: bindparam(name) for name in names})


@cache
def _attributes(kind: ObjectType) -> Select[Any]:
    columns = [column.label(path) for path, column in LOOKUPS[kind].columns.items()]
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    return select(*columns).select_from(joined(kind)).where(TABLES[TYPES[kind]].c.id.in_(ids))


def _over(before: datetime) -> ColumnElement[bool]:
    """Return whether a run ended before a moment, and Prefect knows all of it."""
    ended = func.coalesce(job_results.c.date_done, job_results.c.date_created)
    # The first is found by an index, and follows from the second.
    old = and_(job_results.c.date_created < before, ended < before)
    return and_(old, job_results.c.status.not_in(ONGOING), job_results.c.released.is_(True))


def _finished(before: datetime) -> ColumnElement[bool]:
    """Return whether a scheduled job for one run was finished before a moment, and would have no result left."""
    row = scheduled_jobs.c
    left = select(job_results.c.id).where(job_results.c.scheduled_job_id == row.id, not_(_over(before)))
    last = func.coalesce(row.last_run_at, row.date_changed)
    return and_(
        row.interval == Interval.FUTURE,
        row.enabled.is_(False),
        or_(row.total_run_count > 0, row.approval == ApprovalState.EXPIRED),
        row.date_changed < before,
        last < before,
        not_(_lags(scheduled_jobs)),
        not_(left.exists()),
    )


def _settled(before: datetime) -> ColumnElement[bool]:
    """Return whether a request for approval was decided before a moment, and its scheduled job is gone."""
    request = TABLES[ApprovalRequest].c
    stored = select(scheduled_jobs.c.id).where(scheduled_jobs.c.id == request.scheduled_job_id)
    return and_(request.decided_at < before, not_(stored.exists()))


def _lags(table: Table) -> ColumnElement[bool]:
    return table.c.projected_version < table.c.version


@cache
def _lagging(table: Table) -> Select[Any]:
    return select(table).where(_lags(table)).order_by(func.random()).limit(_LIMIT)


@cache
def _to_look_at() -> Select[Any]:
    next_look = scheduled_jobs.c.next_look_at
    return select(scheduled_jobs).where(next_look <= bindparam("now")).order_by(next_look).limit(_LIMIT)


@cache
def _unfinished(has_after: bool) -> Select[Any]:
    query = select(job_results).where(job_results.c.status.in_(ONGOING))
    query = query.where(job_results.c.id > bindparam("after")) if has_after else query
    return query.order_by(job_results.c.id).limit(_LIMIT)


@cache
def _undecided() -> Select[Any]:
    expires = scheduled_jobs.c.expires_at
    query = select(scheduled_jobs).where(_PENDING, expires <= bindparam("until"))
    return query.order_by(expires).limit(_LIMIT)


@cache
def _spent() -> Select[Any]:
    return select(TABLES[DeletedRun]).where(_CAN_GO).limit(_LIMIT)


@cache
def _unreleased() -> Select[Any]:
    return (
        select(job_results).where(job_results.c.released.is_(False)).order_by(job_results.c.date_created).limit(_LIMIT)
    )


@cache
def _has_work() -> Select[Any]:
    spent, head, now = TABLES[DeletedRun], TABLES[AuditHead], bindparam("now", type_=scheduled_jobs.c.expires_at.type)
    each = (
        select(jobs.c.id).where(_lags(jobs)),
        select(scheduled_jobs.c.id).where(_lags(scheduled_jobs)),
        select(scheduled_jobs.c.id).where(scheduled_jobs.c.next_look_at <= now),
        select(scheduled_jobs.c.id).where(_PENDING, scheduled_jobs.c.expires_at <= now),
        select(job_results.c.id).where(job_results.c.released.is_(False)),
        select(job_results.c.id).where(job_results.c.status.in_(ONGOING)),
        select(TABLES[PendingCleanup].c.id),
        select(spent.c.id).where(_CAN_GO),
        select(head.c.id).where(head.c.announced < head.c.number),
    )
    return select(or_(*(query.exists() for query in each)))


@cache
def _marked_otherwise() -> CompoundSelect[Any]:
    row, result, marked = scheduled_jobs.c, job_results.c, jobs.c.has_sensitive_variables
    scheduled = select(jobs.c.id).join(scheduled_jobs, row.job_id == jobs.c.id).where(row.sensitive != marked)
    # By their status, of which there is an index: of a Job there may be very many that are over.
    in_clear = select(result.job_id).where(result.status.in_(ONGOING), result.sensitive.is_(False))
    return scheduled.union(select(jobs.c.id).where(marked, jobs.c.id.in_(in_clear)))


@cache
def _granted() -> Select[Any]:
    """Return the statement that reads the enabled permissions of some users, and whose they are."""
    to_users, to_groups, members = TABLES[PermissionUser], TABLES[PermissionGroup], TABLES[UserGroup]
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    own = select(to_users.c.permission_id, to_users.c.user_id).where(to_users.c.user_id.in_(ids))
    of_groups = (
        select(to_groups.c.permission_id, members.c.user_id)
        .join(members, members.c.group_id == to_groups.c.group_id)
        .where(members.c.user_id.in_(ids))
    )
    receivers = own.union(of_groups).subquery()
    permissions = TABLES[Permission]
    return (
        select(receivers.c.user_id.label("receiver"), permissions)
        .join(receivers, receivers.c.permission_id == permissions.c.id)
        .where(permissions.c.enabled)
        .order_by(permissions.c.name)
    )


@cache
def _unneeded_files() -> Select[Any]:
    files, uses, row = TABLES[InputFile], TABLES[InputFileUse].c, scheduled_jobs.c
    spent = and_(row.interval == Interval.FUTURE, row.total_run_count > 0)
    can_run = select(row.id).where(row.id == uses.holder_id, not_(spent), row.approval != ApprovalState.EXPIRED)
    runs = select(job_results.c.id).where(job_results.c.id == uses.holder_id, job_results.c.status.in_(ONGOING))
    needed = select(uses.file_id).where(uses.file_id == files.c.id, or_(can_run.exists(), runs.exists()))
    return select(files.c.id).where(not_(needed.exists())).order_by(files.c.created).limit(_LIMIT)


@cache
def _has_notifications() -> Select[Any]:
    events = TABLES[NotificationEvent].c
    return select(or_(select(events.id).exists(), _due().exists()))


@cache
def _due() -> Select[Any]:
    """Return the targets of what is to be told now: those that have failed are left alone for a while, unless asked."""
    told, target = TABLES[Notification], TABLES[NotificationTarget]
    now = bindparam("now", type_=told.c.due_at.type)
    tried = or_(target.c.retry_at.is_(None), target.c.retry_at <= now, told.c.topic.in_(ASKED_FOR))
    return select(target).join(told, told.c.target_id == target.c.id).where(told.c.due_at <= now, tried)


@cache
def _due_targets() -> Select[Any]:
    told, target = TABLES[Notification].c, TABLES[NotificationTarget].c
    order = (target.failing_since.is_not(None), func.min(told.due_at), target.id)
    return _due().group_by(target.id).order_by(*order).limit(_LIMIT)


@cache
def _leftovers() -> Select[Any]:
    return select(TABLES[PendingCleanup]).limit(_LIMIT)


_CREATED = {ObjectType.JOB_RESULT: "date_created"}
"""Where a type keeps when its objects were created, if not in ``created``."""


def _parts(ids: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(ids)
    while part := list(islice(waiting, AT_ONCE)):
        yield part


class Transaction:
    """One transaction; made by ``Store.transaction``."""

    def __init__(
        self,
        connection: Connection,
        key: AuditKey | None = None,
        inputs_key: InputsKey | None = None,
        notices: Notices | None = None,
    ) -> None:
        self._connection = connection
        self._key = key
        self._inputs_key = inputs_key
        self._notices = notices
        self._told: list[Notice] = []
        self._recorded: list[AuditEvent] = []
        self._happened: list[NotificationEvent] = []
        self._afterwards: list[Callable[[], None]] = []

    def add(self, *things: Any) -> None:
        """Insert values of one kind, in one statement.

        Raises:
            Duplicate: when the transaction is left, if a unique field is taken.
        """
        if things:
            self._connection.execute(_insertion(TABLES[type(things[0])]), [self._row(thing) for thing in things])
            self._told += filter(None, map(of_new, things))
            self._happened += filter(None, map(told_of_new, things))
            for thing in things:
                self._count_end(None, thing)
                self._use_files(thing)

    def add_missing(self, things: Collection[Any]) -> None:
        """Insert those of these values of one noun that are not there yet."""
        if not things:
            return
        table = TABLES[type(next(iter(things)))]
        insert_into = _INSERT[self._connection.dialect.name]
        self._connection.execute(insert_into(table).on_conflict_do_nothing(), [self._row(thing) for thing in things])

    def change(self, thing: T, **to: Any) -> T:
        """Write these fields of a value and return its changed copy."""
        table = TABLES[type(thing)]
        identity = {f"{_KEY}{name}": getattr(thing, name) for name in KEYS[type(thing)]}
        changed = replace(thing, **to)  # type: ignore[type-var]  # every T here is a dataclass of the model
        stored = to if "inputs" not in to else {**to, "inputs": self._stored_inputs(changed)}
        self._connection.execute(_change(table, tuple(stored)), {**stored, **identity})
        if (notice := of_change(thing, to)) is not None:
            self._told.append(notice)
        if (happened := told_of_change(thing, changed)) is not None:
            self._happened.append(happened)
        self._count_end(thing, changed)
        self._note_departure(thing, changed)
        if "inputs" in to:
            self._use_files(changed)
            self._leave_files(thing, changed)
        return changed

    def _count_end(self, before: Any, after: Any) -> None:
        if isinstance(after, JobResult) and after.status.final and not (before and before.status.final):
            self.afterwards(RUNS.labels(after.status.lower()).inc)

    def _note_departure(self, before: Any, after: Any) -> None:
        """Note of the schedules of a user who is removed or deactivated that they have lost their owner."""
        if not (isinstance(before, User) and before.is_active) or (after is not None and after.is_active):
            return
        left = self.all(ScheduledJob, order="name", owner_id=before.id, enabled=True)
        # Who has done it, and when, is filled in at the end.
        self._happened += (
            event_of(Told.SCHEDULE, row.id, row.date_changed, what=Happening.LOST_OWNER)
            for row in left
            if not row.one_off
        )

    def _use_files(self, thing: Any) -> None:
        """Record that a value uses the kept files that its inputs refer to, and no others."""
        if not isinstance(thing, WITH_INPUTS) or thing.inputs is None or not (ids := ids_in(thing.inputs)):
            return
        known = {use.file_id for use in self.all(InputFileUse, file_id=[*ids])}
        self.add_missing([InputFileUse(file_id=each, holder_id=thing.id) for each in known])

    def _leave_files(self, before: Any, after: Any) -> None:
        """Record that a value no longer uses what its inputs referred to. What is encrypted is not edited."""
        if before.inputs is None or isinstance(before.inputs, SealedInputs):
            return
        for file_id in ids_in(before.inputs) - ids_in(after.inputs or {}):
            self.remove(InputFileUse(file_id=file_id, holder_id=after.id))

    def keep_files(self, files: Collection[GivenFile], holder_id: UUID, now: datetime) -> None:
        """Keep, encrypted, those of these files that are not kept yet, for what refers to them.

        Args:
            files: they.
            holder_id: the id of the scheduled job or the job result.
            now: the time.
        """
        for file in files:
            if file.content is None:
                continue
            if self._inputs_key is None:
                raise Unavailable(NO_KEY)
            self.add(InputFile(id=file.id, content=self._inputs_key.seal_file(file.id, file.content), created=now))
            self.add(InputFileUse(file_id=file.id, holder_id=holder_id))

    def file_content(self, file_id: UUID) -> bytes | None:
        """Return what a file has that runs are given; None if it is not kept.

        Raises:
            Unavailable: it cannot be read with the key of the store.
        """
        found = self.get(InputFile, id=file_id)
        if found is None:
            return None
        if self._inputs_key is None:
            raise Unavailable(NO_KEY)
        return self._inputs_key.open_file(file_id, found.content)

    def _row(self, thing: Any) -> dict[str, Any]:
        row = {name: getattr(thing, name) for name in FIELDS[type(thing)]}
        if "inputs" in row:
            row["inputs"] = self._stored_inputs(thing)
        return row

    def _stored_inputs(self, thing: Any) -> Any:
        """Return the inputs of a value as the database keeps them."""
        if not thing.sensitive or thing.inputs is None:
            return thing.inputs
        if self._inputs_key is None:
            raise Unavailable(NO_KEY)
        return self._inputs_key.seal(thing.id, thing.inputs)

    def _value(self, kind: type[T], row: Mapping[Any, Any]) -> T:
        """Return a row as a value of its kind."""
        if kind in WITH_INPUTS and isinstance(text := row["inputs"], str):
            row = {**row, "inputs": SealedInputs(row["id"], text, self._inputs_key)}
        return kind(**row)

    def forget_asked_inputs(self, job_id: UUID) -> None:
        """Forget the inputs that requests for approval of this Job were decided about."""
        table = TABLES[ApprovalRequest]
        self._connection.execute(update(table).where(table.c.job_id == job_id).values(decided_inputs=None))

    def remove(self, thing: Any) -> None:
        """Delete a value; what refers to it follows the table's rule."""
        self._note_departure(thing, None)
        table = TABLES[type(thing)]
        identity = {name: getattr(thing, name) for name in KEYS[type(thing)]}
        self._connection.execute(delete(table).where(*_matching(table, identity)))

    def remove_all(self, kind: type[Any], ids: Iterable[UUID]) -> None:
        """Delete the values of a kind that have these ids, in as few statements as the database allows."""
        table = TABLES[kind]
        for part in _parts(ids):
            self._connection.execute(delete(table).where(table.c.id.in_(part)))

    def remove_created_before(self, kind: type[Any], moment: datetime) -> None:
        """Delete the values of a kind that were created before that moment."""
        table = TABLES[kind]
        self._connection.execute(delete(table).where(table.c.created < moment))

    def get(self, kind: type[T], *, lock: bool = False, **by: Any) -> T | None:
        """Return the value that has these fields, or None.

        Args:
            kind: the noun.
            lock: nobody else may change it until this transaction ends.
            by: equality, or membership where a list or set is given.
        """
        query, values = self._by(kind, None, lock, by)
        row = self._connection.execute(_one(query), values).one_or_none()
        return None if row is None else self._value(kind, row._mapping)

    def all(self, kind: type[T], *, order: str | None = None, lock: bool = False, **by: Any) -> list[T]:
        """Return every value that has these fields.

        Args:
            kind: the noun.
            order: the field to order them by.
            lock: nobody else may change them until this transaction ends; those who lock several name an order.
            by: equality, or membership where a list or set is given.
        """
        query, values = self._by(kind, order, lock, by)
        return self._read(kind, query, **values)

    @staticmethod
    def _by(
        kind: type[Any], order: str | None, lock: bool, by: Mapping[str, Any]
    ) -> tuple[Select[Any], dict[str, Any]]:
        tests = tuple((name, _test_of(value)) for name, value in by.items())
        values = {name: value for name, value in by.items() if value is not None}
        return _selection(TABLES[kind], tests, order, lock), values

    def granted(self, ids: Collection[UUID]) -> list[tuple[UUID, Permission]]:
        """Return every enabled permission of these users, their own and those of their groups, ordered by name.

        Args:
            ids: the users.

        Returns:
            the user and the permission; one that a user has in several ways only once.
        """
        found = []
        for part in _parts(ids):
            for row in self._connection.execute(_granted(), {"ids": part}):
                fields = dict(row._mapping)
                found.append((fields.pop("receiver"), Permission(**fields)))
        return found

    def record(self, event: AuditEvent) -> None:
        """Add an event to the audit, together with all that this transaction does."""
        self._recorded.append(of_request(event, current_request()))

    def afterwards(self, act: Callable[[], None]) -> None:
        """Have something done when this transaction is committed, and else not.

        Args:
            act: what; it does not fail.
        """
        self._afterwards.append(act)

    def committed(self) -> None:
        """Do what was to be done afterwards."""
        for act in self._afterwards:
            act()

    def tell(self, notice: Notice) -> None:
        """Tell the other servers something, when this transaction is committed."""
        self._told.append(notice)

    def check_writable(self) -> None:
        """See that something could be written now; it changes nothing.

        On PostgreSQL it waits for nobody; on SQLite for who writes just then, as every writer there does.

        Raises:
            Exception: the database's, if it is there to be read only.
        """
        # To lock a row is to write; on SQLite the transaction has begun as a writer.
        self._connection.execute(select(TABLES[AuditHead].c.id).with_for_update(skip_locked=True))

    def close(self) -> None:
        """Tell what is to be told, write the recorded events, and sign the new head; nothing follows.

        Raises:
            Unavailable: the head that they would follow is not signed with the store's key.
        """
        if self._notices is not None and self._told:
            self._notices.send(self._connection, self._told)
        self.add_missing([self._with_actor(event) for event in self._happened])
        if not self._recorded:
            return
        first = self.audit_head(lock=True)
        if not (self._key.has_signed(first) if self._key else first.signature == ""):
            raise Unavailable(NOT_RECORDED)
        chain = chain_events(self._recorded, first)
        self.add(*chain)
        self._move(first, replace(first, number=chain[-1].number, hash=chain[-1].hash))

    def _with_actor(self, event: NotificationEvent) -> NotificationEvent:
        """Return what happened to a schedule with whose act that was, and when, as the audit has it."""
        if event.topic is not Told.SCHEDULE:
            return event
        has_left = event.what == Happening.LOST_OWNER
        for act in self._recorded:
            is_about = has_left or act.scheduled_job_id == event.subject_id
            if is_about and act.act in (LEAVING if has_left else STOPPING):
                return replace(event, actor_id=act.actor_id, actor=act.actor, at=act.at)
        return event

    def sign_audit(self) -> AuditHead:
        """Sign the end of the audit as it is, which vouches for everything before it, and return it."""
        head = self.audit_head(lock=True)
        return self._move(head, head)

    def _move(self, before: AuditHead, head: AuditHead) -> AuditHead:
        if self._key is not None:
            head = self._key.sign(head)
        to = {name: getattr(head, name) for name in ("number", "hash", "key", "signature")}
        return self.change(before, **to)

    def audit_head(self, *, lock: bool = False) -> AuditHead:
        """Return the end of the audit."""
        head = self.get(AuditHead, id=1, lock=lock)
        if head is None:
            raise LookupError("The audit has no head: its last number and hash are missing.")
        return head

    def events(self, after: int, limit: int) -> list[AuditEvent]:
        """Return the events of the audit that follow a number, in order."""
        table = TABLES[AuditEvent]
        query = select(TABLES[AuditEvent]).where(table.c.number > after)
        return self._read(AuditEvent, query.order_by(table.c.number).limit(limit))

    def newest_events(self, limit: int, **by: Any) -> list[AuditEvent]:
        """Return the last events of the audit that have these fields, the newest first."""
        table = TABLES[AuditEvent]
        query = select(TABLES[AuditEvent]).where(*_matching(table, by))
        return self._read(AuditEvent, query.order_by(table.c.number.desc()).limit(limit))

    def asked_events(self, where: Iterable[Condition], before: int | None, limit: int) -> list[AuditEvent]:
        """Return the last events of the audit that fulfil conditions, the newest first.

        Args:
            where: the conditions, on the event's own fields.
            before: the number that they come before; None for the end of the audit.
            limit: the most events to return.
        """
        table = TABLES[AuditEvent]
        conditions = [fulfilling(asked, {column.name: column for column in table.columns}) for asked in where]
        if before is not None:
            conditions.append(table.c.number < before)
        query = select(table).where(*conditions).order_by(table.c.number.desc()).limit(limit)
        return self._read(AuditEvent, query)

    def last_event(self, acts: Collection[EventType], **by: Any) -> AuditEvent | None:
        """Return the last event of these kinds that has these fields."""
        table = TABLES[AuditEvent]
        query = (
            select(TABLES[AuditEvent])
            .where(table.c.act.in_(acts), *_matching(table, by))
            .order_by(table.c.number.desc())
            .limit(1)
        )
        return next(iter(self._read(AuditEvent, query)), None)

    def was_named(self, name: str, *, but: UUID) -> bool:
        """Say whether a scheduled job but this one had a name, and then lost it or was removed."""
        table = TABLES[AuditEvent]
        query = select(table.c.number).where(
            table.c.name == name, table.c.act.in_(ENDS_OF_NAMES), table.c.scheduled_job_id != but
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def exists(self, kind: type[Any], **by: Any) -> bool:
        """Say whether there is any value with these fields."""
        return self.get(kind, **by) is not None

    def count(self, kind: type[Any], **by: Any) -> int:
        """Return how many values have these fields."""
        table = TABLES[kind]
        return self._count(select(func.count()).select_from(table).where(*_matching(table, by)))

    def _read(self, kind: type[T], query: Select[Any], **values: Any) -> list[T]:
        return [self._value(kind, row._mapping) for row in self._connection.execute(query, values)]

    # What the caller may see

    def page(self, kind: ObjectType, actor: Actor, listing: Listing, **by: Any) -> Page[Any]:
        """Return a page of what the actor may view, and that has these fields."""
        model = TYPES[kind]
        conditions = [*self._listed(kind, actor, listing), *_matching(TABLES[model], by)]
        counted = select(func.count()).select_from(joined(kind, conditions)).where(*conditions)
        query = select(TABLES[model]).select_from(joined(kind)).where(*conditions)
        query = query.order_by(*_order(kind, listing.sort)).limit(listing.limit).offset(listing.offset)
        return Page(self._connection.execute(counted).scalar_one(), self._read(model, query))

    def counts(
        self, kind: ObjectType, actor: Actor, listing: Listing, parts: Mapping[str, Iterable[Condition]]
    ) -> dict[str, int]:
        """Return how much of a list that the actor may view is in each part of it.

        Args:
            kind: the type of the objects.
            actor: the caller.
            listing: the list.
            parts: the conditions that hold for all that is in a part.
        """
        every = self._paths(kind, actor)
        conditions = self._listed(kind, actor, listing)
        counted = (
            func.count().filter(and_(true(), *(fulfilling(asked, every) for asked in where)))
            for where in parts.values()
        )
        found = self._connection.execute(select(*counted).select_from(joined(kind)).where(*conditions)).one()
        return dict(zip(parts, found, strict=True))

    def _listed(self, kind: ObjectType, actor: Actor, listing: Listing) -> list[ColumnElement[bool]]:
        """Return the conditions under which something that the actor may view is in a list."""
        lookups, every = LOOKUPS[kind], self._paths(kind, actor)
        conditions = [self._visible(kind, actor, Action.VIEW), *(fulfilling(asked, every) for asked in listing.where)]
        if listing.search:
            searched = (lookups.columns[path] for path in lookups.searched)
            conditions.append(or_(*(column.icontains(listing.search, autoescape=True) for column in searched)))
        return conditions

    def _paths(self, kind: ObjectType, actor: Actor) -> Mapping[str, ColumnElement[Any]]:
        """Return what a list can be filtered by, with what depends on who asks."""
        every = LOOKUPS[kind].every
        return every if kind is not ObjectType.SCHEDULED_JOB else {**every, FAILING: self._failing(actor)}

    def _failing(self, actor: Actor) -> ColumnElement[bool]:
        """Return whether a scheduled job fails: a failure has disabled it, or its last run has failed.

        Of runs that the actor may not view nothing is told.
        """
        each = scheduled_jobs.alias("each_scheduled_job")
        own = and_(
            job_results.c.scheduled_job_id == each.c.id,
            job_results.c.nominal_time.is_not(None),
            job_results.c.status.not_in(ONGOING),
        )
        last = select(job_results.c.status).select_from(joined(ObjectType.JOB_RESULT)).where(own)
        last = last.where(self._visible(ObjectType.JOB_RESULT, actor, Action.VIEW))
        # By an index that there is: of a scheduled job there may be very many runs.
        last = last.order_by(job_results.c.nominal_time.desc()).limit(1).correlate(each)
        failed = select(each.c.id).where(each.c.enabled, last.scalar_subquery() == Status.FAILURE)
        return or_(scheduled_jobs.c.failure != "", scheduled_jobs.c.id.in_(failed))

    def first_fired(
        self, actor: Actor, listing: Listing, ends: tuple[datetime, datetime]
    ) -> Page[tuple[UUID, str, datetime]]:
        """Return which scheduled jobs of a list have fired within a time, the earliest first, as the actor may view.

        Args:
            actor: the caller.
            listing: the list; of its order nothing is used.
            ends: when the time begins and ends.

        Returns:
            the id and the name of each, and when it fired first.
        """
        each, ran = scheduled_jobs.alias("each_scheduled_job"), job_results.c
        # By an index that there is: of a scheduled job there may be very many runs.
        first = select(ran.nominal_time).select_from(joined(ObjectType.JOB_RESULT))
        first = first.where(ran.scheduled_job_id == each.c.id, *self._fired(actor, ends))
        first = first.order_by(ran.nominal_time).limit(1).correlate(each)
        kind = ObjectType.SCHEDULED_JOB
        listed = select(scheduled_jobs.c.id).select_from(joined(kind)).where(*self._listed(kind, actor, listing))
        looked = select(each.c.id, each.c.name, first.scalar_subquery().label("first"))
        found = looked.where(each.c.id.in_(listed)).subquery()
        fired = select(found).where(found.c.first.is_not(None))
        count = self._count(select(func.count()).select_from(fired.subquery()))
        rows = self._connection.execute(fired.order_by(found.c.first, found.c.name, found.c.id).limit(listing.limit))
        return Page(count, [(row.id, row.name, row.first) for row in rows])

    def fired(
        self, actor: Actor, ids: Collection[UUID], ends: tuple[datetime, datetime], between: Iterable[datetime]
    ) -> list[Fired]:
        """Return what became of the firings of some scheduled jobs within a time, as far as the actor may view that.

        Args:
            actor: the caller.
            ids: the ids of the scheduled jobs, a few.
            ends: when the time begins and ends.
            between: the moments between the parts of the time that are told together.
        """
        ran = job_results.c
        part = case(*((ran.nominal_time < edge, number) for number, edge in enumerate(between)), else_=-1)
        each = select(ran.id, ran.scheduled_job_id, ran.nominal_time, part.label("part"), _WENT.label("went"))
        each = each.select_from(joined(ObjectType.JOB_RESULT)).where(ran.scheduled_job_id.in_(list(ids)))
        of = each.where(*self._fired(actor, ends)).subquery().c
        # Not every database knows which of two ids is the less.
        summed = select(
            of.scheduled_job_id,
            func.min(of.nominal_time).label("first"),
            func.max(of.nominal_time).label("last"),
            func.min(cast(of.id, String)).label("result"),
            *(func.count().filter(of.went == went).label(went) for went in Went),
        )
        rows = self._connection.execute(summed.group_by(of.scheduled_job_id, of.part)).mappings()
        return sorted((_fired_in(row) for row in rows), key=lambda fired: fired.first)

    def _fired(self, actor: Actor, ends: tuple[datetime, datetime]) -> list[ColumnElement[bool]]:
        """Return the conditions under which a job result is a firing within a time that the actor may view."""
        due, (begin, end) = job_results.c.nominal_time, ends
        return [due >= begin, due < end, self._visible(ObjectType.JOB_RESULT, actor, Action.VIEW)]

    def newest_results(self, actor: Actor, job_ids: Collection[UUID]) -> list[JobResult]:
        """Return the newest result of each of these Jobs that the actor may view."""
        return self._newest(ObjectType.JOB_RESULT, actor, jobs, job_results.c.job_id, job_ids)

    def newest_results_of(self, actor: Actor, scheduled_ids: Collection[UUID]) -> list[JobResult]:
        """Return the newest result of each of these scheduled jobs that the actor may view."""
        of = job_results.c.scheduled_job_id
        return self._newest(ObjectType.JOB_RESULT, actor, scheduled_jobs, of, scheduled_ids)

    def newest_approved(
        self, actor: Actor, job_ids: Collection[UUID], *, but: Collection[UUID] = ()
    ) -> list[ScheduledJob]:
        """Return of each of these Jobs the scheduled job that was approved last, of those that the actor may view.

        Args:
            actor: the caller.
            job_ids: the ids of the Jobs.
            but: the ids of scheduled jobs that are passed over.
        """
        of = scheduled_jobs.c
        approved = (of.approval == ApprovalState.APPROVED, of.approved_at.is_not(None), of.id.not_in(list(but)))
        return self._newest(ObjectType.SCHEDULED_JOB, actor, jobs, of.job_id, job_ids, of.approved_at, approved)

    def first_looks(
        self, actor: Actor, job_ids: Collection[UUID], *, after: int, many: int
    ) -> list[tuple[ScheduledJob, datetime]]:
        """Return some scheduled jobs of each Job that may fire and that the actor may view, the earliest first.

        Args:
            actor: the caller.
            job_ids: the ids of the Jobs.
            after: how many of each Job are passed over.
            many: how many of each Job are returned at most.

        Returns:
            each with when it begins, or is to be looked at again once it is projected: it fires not much before that.
        """
        kind, row = ObjectType.SCHEDULED_JOB, scheduled_jobs.c
        by_start = or_(_lags(scheduled_jobs), row.interval == Interval.FUTURE)
        look = case((by_start, row.start_time), else_=row.next_look_at)
        place = func.row_number().over(partition_by=row.job_id, order_by=(look, row.id)).label("place")
        seen = self._visible(kind, actor, Action.VIEW)
        may_fire = and_(row.enabled, row.approval.in_([each for each in ApprovalState if each.lets_run]))
        ranked = select(row.id, look.label("look"), place).select_from(joined(kind))
        placed = ranked.where(row.job_id.in_(job_ids), row.owner_id.is_not(None), may_fire, seen).subquery().c
        found = select(placed.id, placed.look).where(placed.place > after, placed.place <= after + many)
        looks: dict[UUID, datetime] = {each.id: each.look for each in self._connection.execute(found)}
        rows = self.all(ScheduledJob, order="id", id=[*looks])
        return sorted(((each, looks[each.id]) for each in rows), key=lambda each: each[1])

    def _newest(
        self,
        kind: ObjectType,
        actor: Actor,
        table: Table,
        reference: ColumnElement[Any],
        ids: Collection[UUID],
        time: ColumnElement[Any] = job_results.c.date_created,
        also: Collection[ColumnElement[bool]] = (),
    ) -> list[Any]:
        """Return of each row of a table the newest object that refers to it and that the actor may view."""
        each, found = table.alias("each_thing"), TABLES[TYPES[kind]]
        seen = self._visible(kind, actor, Action.VIEW)
        newest = select(found.c.id).select_from(joined(kind)).where(reference == each.c.id, seen, *also)
        newest = newest.order_by(time.desc(), found.c.id).limit(1).correlate(each)
        those = select(newest.scalar_subquery()).select_from(each).where(each.c.id.in_(ids))
        return self._read(TYPES[kind], select(found).where(found.c.id.in_(those)))

    def seen(
        self, kind: ObjectType, actor: Actor, field: str, *, limit: int, among: Collection[Any] | None = None
    ) -> list[Any]:
        """Return one field of the objects that the actor may view, the newest first, without nulls.

        Args:
            kind: the type of the objects.
            actor: the caller.
            field: the field.
            limit: how many to return at most.
            among: only values of these; None for any.
        """
        column, created = TABLES[TYPES[kind]].c[field], TABLES[TYPES[kind]].c[_CREATED.get(kind, "created")]
        query = select(column).select_from(joined(kind)).where(column.is_not(None))
        query = query.where(self._visible(kind, actor, Action.VIEW)).order_by(created.desc()).limit(limit)
        parts = [query] if among is None else [query.where(column.in_(part)) for part in _parts(among)]
        return [value for each in parts for value in self._connection.execute(each).scalars()][:limit]

    def names_of_jobs_seen(self, actor: Actor) -> set[str]:
        """Return the names of the Jobs that the actor may view, or of which they may view anything."""
        job = jobs.alias("each_job")
        of_job = {ObjectType.JOB: jobs.c.id, ObjectType.SCHEDULED_JOB: scheduled_jobs.c.job_id}
        of_job[ObjectType.JOB_RESULT] = job_results.c.job_id
        seen = (
            select(column)
            .select_from(joined(kind))
            .where(column == job.c.id, self._visible(kind, actor, Action.VIEW))
            .correlate(job)
            .exists()
            for kind, column in of_job.items()
        )
        return set(self._connection.execute(select(job.c.name).where(or_(*seen))).scalars())

    def visible(self, kind: ObjectType, actor: Actor, action: Action, ids: Iterable[UUID]) -> set[UUID]:
        """Return those of the ids on which the actor has the action."""
        table = TABLES[TYPES[kind]]
        query = select(table.c.id).select_from(joined(kind)).where(self._visible(kind, actor, action))
        found: set[UUID] = set()
        for part in _parts(ids):
            found.update(self._connection.execute(query.where(table.c.id.in_(part))).scalars())
        return found

    def _visible(self, kind: ObjectType, actor: Actor, action: Action) -> ColumnElement[bool]:
        if actor.superuser:
            return TABLES[TYPES[kind]].c.id.is_not(None)
        return restriction(actor.constraints(action, kind), LOOKUPS[kind].columns, user=actor.id)

    def attributes(self, kind: ObjectType, thing_id: UUID) -> Attributes:
        """Return what constraints can ask about one object, by lookup path."""
        return self.attributes_of(kind, [thing_id])[thing_id]

    def attributes_of(self, kind: ObjectType, ids: Iterable[UUID]) -> dict[UUID, Attributes]:
        """Return what constraints can ask about these objects, by id."""
        found = self._connection.execute(_attributes(kind), {"ids": list(ids)})
        return {row["id"]: dict(row) for row in found.mappings()}

    # What the metrics ask

    def approval_queue(self) -> tuple[int, datetime | None]:
        """Return how many requests wait for a decision, and since when the oldest does; None if there is none."""
        waiting = select(func.count(), func.min(scheduled_jobs.c.date_changed))
        count, oldest = self._connection.execute(waiting.where(_PENDING, scheduled_jobs.c.enabled)).one()
        return count, oldest

    def mark_of_queue(self) -> tuple[Any, ...]:
        """Return what is another as soon as a request is made, changed or decided."""
        waiting = select(func.count(), func.max(scheduled_jobs.c.date_changed), func.sum(scheduled_jobs.c.version))
        return tuple(self._connection.execute(waiting.where(_PENDING, scheduled_jobs.c.enabled)).one())

    def count_waiting(self, requester_id: UUID) -> int:
        """Return how many requests of a user wait for a decision."""
        theirs = scheduled_jobs.c.requester_id == requester_id
        query = select(func.count()).select_from(scheduled_jobs)
        return self._count(query.where(_PENDING, scheduled_jobs.c.enabled, theirs))

    def in_progress(self) -> Mapping[Status, int]:
        """Return how many job results are not final, by their status."""
        status = job_results.c.status
        found = self._connection.execute(select(status, func.count()).where(status.in_(ONGOING)).group_by(status))
        return dict.fromkeys(ONGOING, 0) | dict(found.tuples().all())

    def not_followed(self) -> Mapping[str, int]:
        """Return how much Prefect has not followed, by what it is."""
        each = {
            "job": select(func.count()).where(_lags(jobs)),
            "scheduled_job": select(func.count()).where(_lags(scheduled_jobs)),
            "job_result": select(func.count()).where(job_results.c.released.is_(False)),
            "leftover": select(func.count()).select_from(TABLES[PendingCleanup]),
        }
        return {kind: self._connection.execute(query).scalar_one() for kind, query in each.items()}

    # What the loops ask

    def has_work(self, now: datetime) -> bool:
        """Say whether there is anything at all for the loop to do: one question, answered from indexes."""
        return bool(self._connection.execute(_has_work(), {"now": now}).scalar_one())

    def lagging(self, kind: type[T], limit: int) -> list[T]:
        """Return values whose projection is behind, any of them: ones that keep failing do not stand in the way."""
        return self._read(kind, _lagging(TABLES[kind]), limit=limit)

    def unreleased(self, limit: int) -> list[JobResult]:
        """Return job results that Prefect has not followed, the oldest first."""
        return self._read(JobResult, _unreleased(), limit=limit)

    def to_look_at(self, now: datetime, limit: int) -> list[ScheduledJob]:
        """Return the scheduled jobs whose time to be looked at again has come."""
        return self._read(ScheduledJob, _to_look_at(), now=now, limit=limit)

    def marked_otherwise(self) -> list[UUID]:
        """Return the ids of the Jobs that have been given inputs which are not kept as the Job's mark says."""
        return list(self._connection.execute(_marked_otherwise()).scalars())

    def unfinished(self, limit: int, after: UUID | None = None) -> list[JobResult]:
        """Return job results that are not final, in the order of their ids, after one of them."""
        if after is None:
            return self._read(JobResult, _unfinished(has_after=False), limit=limit)
        return self._read(JobResult, _unfinished(has_after=True), after=after, limit=limit)

    def undecided(self, until: datetime, limit: int) -> list[ScheduledJob]:
        """Return the requests whose time to be decided about has ended."""
        return self._read(ScheduledJob, _undecided(), until=until, limit=limit)

    def spent(self, limit: int) -> list[DeletedRun]:
        """Return what is left of deleted results, and has something that can go now."""
        return self._read(DeletedRun, _spent(), limit=limit)

    def leftovers(self, limit: int) -> list[PendingCleanup]:
        """Return what has been deleted here and may still stand in Prefect."""
        return self._read(PendingCleanup, _leftovers(), limit=limit)

    # Who is to be told

    def has_notifications(self, now: datetime) -> bool:
        """Say whether there is anybody to be told something now."""
        return bool(self._connection.execute(_has_notifications(), {"now": now}).scalar_one())

    def notification_events(self, limit: int) -> list[NotificationEvent]:
        """Return what happened and nobody has been told of, the oldest first."""
        table = TABLES[NotificationEvent]
        return self._read(NotificationEvent, select(table).order_by(table.c.at, table.c.id).limit(limit))

    def due_targets(self, now: datetime, limit: int) -> list[NotificationTarget]:
        """Return where something is to be told now: where it has waited for longest first, and what fails last."""
        return self._read(NotificationTarget, _due_targets(), now=now, limit=limit)

    def due_notifications(self, target: NotificationTarget, now: datetime, limit: int) -> list[Notification]:
        """Return what is to be told to a target now: what its owner asks for, then the rest as it happened."""
        table = TABLES[Notification]
        due = select(table).where(table.c.target_id == target.id, table.c.due_at <= now)
        return self._read(
            Notification, due.order_by(table.c.topic.not_in(ASKED_FOR), table.c.at, table.c.id).limit(limit)
        )

    def unmarked(self, topic: Told, before: datetime, limit: int) -> list[ApprovalRequest]:
        """Return requests that wait, and have since a moment, or end by then, of which that was not told.

        Args:
            topic: whether they have waited, or are about to expire.
            before: the moment.
            limit: how many to return at most.
        """
        request, mark = TABLES[ApprovalRequest], TABLES[NotificationMark]
        when = request.c.expires_at if topic is Told.EXPIRING else request.c.created
        marked = select(mark.c.request_id).where(mark.c.request_id == request.c.id, mark.c.topic == topic)
        waiting = request.c.state == ApprovalState.PENDING
        query = select(request).where(waiting, when <= before, not_(marked.exists())).order_by(when).limit(limit)
        return self._read(ApprovalRequest, query)

    # What is over

    def unneeded_files(self, limit: int) -> list[UUID]:
        """Return the ids of files that were given to runs, of which nothing can run any more, or runs."""
        return list(self._connection.execute(_unneeded_files(), {"limit": limit}).scalars())

    def over(self, before: datetime, limit: int) -> list[UUID]:
        """Return the ids of job results whose runs ended before a moment, the oldest first."""
        query = select(job_results.c.id).where(_over(before)).order_by(job_results.c.date_created).limit(limit)
        return list(self._connection.execute(query).scalars())

    def count_over(self, before: datetime) -> int:
        """Return how many job results there are whose runs ended before a moment."""
        return self._count(select(func.count()).select_from(job_results).where(_over(before)))

    def finished(self, before: datetime, limit: int) -> list[UUID]:
        """Return the ids of scheduled jobs for one run that were finished before a moment."""
        query = select(scheduled_jobs.c.id).where(_finished(before)).limit(limit)
        return list(self._connection.execute(query).scalars())

    def count_finished(self, before: datetime) -> int:
        """Return how many scheduled jobs for one run there are that were finished before a moment."""
        return self._count(select(func.count()).select_from(scheduled_jobs).where(_finished(before)))

    def settled(self, before: datetime, limit: int) -> list[UUID]:
        """Return the ids of requests for approval that were decided before a moment, of what is gone."""
        query = select(TABLES[ApprovalRequest].c.id).where(_settled(before)).limit(limit)
        return list(self._connection.execute(query).scalars())

    def count_settled(self, before: datetime) -> int:
        """Return how many requests for approval were decided before a moment, of what is gone."""
        return self._count(select(func.count()).select_from(TABLES[ApprovalRequest]).where(_settled(before)))

    def _count(self, query: Select[Any]) -> int:
        return int(self._connection.execute(query).scalar_one())


_WENT = case(
    (job_results.c.status == Status.SUCCESS, Went.SUCCEEDED),
    (job_results.c.status == Status.FAILURE, Went.FAILED),
    (job_results.c.status.in_(ONGOING), Went.UNDER_WAY),
    (and_(job_results.c.date_started.is_(None), job_results.c.cancelled_by == ""), Went.SKIPPED),
    else_=Went.CANCELLED,
)
"""How a firing went, by its job result: what was passed over never started, and nobody cancelled it."""


def _fired_in(row: RowMapping) -> Fired:
    return Fired(
        scheduled_id=row["scheduled_job_id"],
        first=row["first"],
        last=row["last"],
        result_id=UUID(row["result"]),
        counts={went: row[went] for went in Went if row[went]},
    )


def _order(kind: ObjectType, sort: Iterable[str]) -> list[Any]:
    lookups, every = LOOKUPS[kind], LOOKUPS[kind].every
    names = list(sort) or list(lookups.order)
    columns = [(every[name.removeprefix("-")], name.startswith("-")) for name in names]
    # Databases differ in where they put nulls: here they count as the greatest.
    ordered = (column.desc().nulls_first() if down else column.asc().nulls_last() for column, down in columns)
    return [*ordered, lookups.columns["id"]]
