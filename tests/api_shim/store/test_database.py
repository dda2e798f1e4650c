"""The database: what is durable, what waits for whom, who may read its files, and what its refusals become."""

from __future__ import annotations

import asyncio
import logging
import stat
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from runpy import run_path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.exc import IntegrityError, OperationalError

from api_shim.domain.accounts import (
    Group,
    Password,
    Permission,
    PermissionGroup,
    PermissionUser,
    RunCredential,
    User,
    UserGroup,
    UserName,
    WorkerAccount,
)
from api_shim.domain.audit import EventType, LocalAdministrator, account_event, scheduled_job_event
from api_shim.domain.model import NEVER, Job, JobResult, ScheduledJob
from api_shim.services.user_names import user_called
from api_shim.store import Duplicate, Store, Transaction, database, place_of
from api_shim.store.database import FILE_GONE, SQLITE_PRAGMAS
from api_shim.store.postgresql import patience
from api_shim.store.schema import MIGRATIONS
from api_shim.store.tables import jobs, metadata
from api_shim.store.tables import users as users_table
from approval_gate.errors import Invalid, Unavailable
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

pytestmark = pytest.mark.each_database

NEWER = frozenset(
    {"approval_off", "tags", "module_digest", "job_variables", "overlap", "is_job_button_receiver", "dryrun_is_safe"}
)
"""The fields of Jobs that the first versions had not."""

# The file


def _remove(file: Path) -> None:
    file.unlink()


def _replace(file: Path) -> None:
    copy = file.with_name("copy")
    copy.write_bytes(file.read_bytes())
    copy.replace(file)


def _move_its_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name(f"{file.parent.name}-moved"))


@pytest.mark.parametrize("lose", [_remove, _replace, _move_its_folder])
@pytest.mark.parametrize("write", [False, True])
def test_a_file_that_is_lost_while_it_is_open_is_noticed_at_once(
    tmp_path: Path, lose: Callable[[Path], None], write: bool
) -> None:
    file = tmp_path / "folder" / "signoff.db"
    file.parent.mkdir()
    with closing(Store(f"sqlite:///{file}")) as store:
        store.migrate()
        with store.transaction() as tx:
            tx.add(make_user())
        lose(file)
        there = file.exists()
        with pytest.raises(Unavailable, match=FILE_GONE), store.transaction(write=write):
            raise AssertionError("Nothing is read or written.")
        assert file.exists() is there


def test_a_file_that_is_lost_during_a_transaction_is_noticed_before_it_is_over(tmp_path: Path) -> None:
    file = tmp_path / "signoff.db"
    with closing(Store(f"sqlite:///{file}")) as store:
        store.migrate()
        with pytest.raises(Unavailable, match=FILE_GONE), store.transaction():
            _remove(file)


# Tables


def test_migrations_make_exactly_the_tables_that_the_code_expects(store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


def test_migrating_again_changes_nothing_and_keeps_what_is_stored(store: Store, store_url: str) -> None:
    alice = make_user()
    with store.transaction() as tx:
        tx.add(alice)
    store.migrate()
    again = Store(store_url)
    again.migrate()
    with again.transaction(write=False) as tx:
        assert tx.all(User) == [alice]
    again.close()


def test_several_can_migrate_at_once(empty_url: str) -> None:
    stores = [Store(empty_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Store.migrate, stores))
    engine = create_engine(empty_url)
    assert "scheduled_jobs" in inspect(engine).get_table_names()
    engine.dispose()
    for store in stores:
        store.close()


def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(empty_url)
    with monkeypatch.context() as patched:
        patched.setattr("alembic.op.create_index", _power_cut)
        with pytest.raises(RuntimeError):
            store.migrate()
    engine = create_engine(empty_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    store.migrate()
    store.close()


def _power_cut(*args: object, **kwargs: object) -> None:
    raise RuntimeError("The power was cut.")


def test_a_store_of_a_newer_version_is_refused_in_a_sentence(store: Store, store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Unavailable, match="not of this version of signoff"):
        store.migrate()


def store_at(revision: str, url: str) -> Store:
    """Return a store with the tables of an earlier version; to migrate it again brings it to this one."""
    store = Store(url)
    store.migrate(revision)
    return store


def test_job_results_of_before_they_had_ids_of_their_own_keep_their_runs(empty_url: str) -> None:
    store = store_at("0004", empty_url)
    result = uuid4()
    engine = create_engine(empty_url)
    statement = (
        "INSERT INTO job_results (id, name, task_name, queue, status, sensitive, date_created, released) "
        "VALUES (:id, 'x', 'm.X', 'q', 'SUCCESS', false, '2026-05-04 12:00:00', true)"
    )
    with engine.begin() as connection:
        connection.execute(text(statement), {"id": result.hex})
    engine.dispose()
    store.migrate()
    with store.transaction(write=False) as tx:
        [kept] = tx.all(JobResult)
    store.close()
    assert (kept.id, kept.flow_run_id, kept.cancelled_by) == (result, result, "")


def add_earlier(url: str, people: Iterable[User]) -> None:
    """Add users to a database of before there were agents."""
    known = ("id", "username", "is_active", "is_superuser", "created")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            users_table.insert().values([{name: getattr(each, name) for name in known} for each in people])
        )
    engine.dispose()


def test_what_had_its_approval_switched_off_before_that_was_recorded_is_marked(empty_url: str) -> None:
    store = store_at("0008", empty_url)
    # By what the code asks for and what is set: what is known of who switched it off.
    expected = {(True, True): None, (True, False): {"by": "", "at": None}, (False, False): None, (False, True): None}
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        for asks, is_set in expected:
            job = make_job(name=f"{asks} {is_set}", declared={"approval_required": asks}, approval_required=is_set)
            row = {name: value for name, value in asdict(job).items() if name not in NEWER}
            connection.execute(jobs.insert().values(row))
    engine.dispose()
    store.migrate()
    with store.transaction(write=False) as tx:
        found = {job.name: job.approval_off for job in tx.all(Job)}
    store.close()
    assert found == {f"{asks} {is_set}": mark for (asks, is_set), mark in expected.items()}


@pytest.mark.parametrize(
    ("acts", "edited"),
    [
        pytest.param([EventType.REQUESTED], False, id="as it was made"),
        pytest.param([EventType.REQUESTED, EventType.CHANGED], True, id="changed"),
        pytest.param([EventType.REQUESTED, EventType.ASSUMED], True, id="taken over"),
        pytest.param([EventType.REQUESTED, EventType.TRANSFERRED], True, id="transferred"),
        pytest.param([EventType.CHANGED, EventType.APPROVED, EventType.RETURNED], False, id="decided since"),
        pytest.param([EventType.APPROVED, EventType.CHANGED, EventType.RETURNED], True, id="changed since"),
    ],
)
def test_what_waits_from_before_is_known_to_be_edited(
    store: Store, store_url: str, acts: list[EventType], edited: bool
) -> None:
    user, job = make_user("alice"), make_job()
    row = make_scheduled(job, user, approval=ApprovalState.PENDING)
    other = replace(row, id=uuid4(), name="other")
    with store.transaction() as tx:
        for thing in (user, job, row, other):
            tx.add(thing)
        tx.record(scheduled_job_event(other, EventType.CHANGED, NOW))
        for act in acts:
            tx.record(scheduled_job_event(row, act, NOW))
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text(run_path(str(MIGRATIONS / "versions" / "0012_edited_requests.py"))["EDITED"]))
    engine.dispose()
    with store.transaction(write=False) as tx:
        assert tx.get(ScheduledJob, id=row.id) == replace(row, edited=edited)


@pytest.mark.parametrize(
    ("permissions", "has_password", "is_superuser", "works"),
    [
        pytest.param(["write"], False, False, True, id="who may write to Prefect"),
        pytest.param(["write by group"], False, False, True, id="likewise by a group"),
        pytest.param(["write", "view"], False, False, True, id="who may view it too"),
        pytest.param(["view"], False, False, False, id="who may only view it"),
        pytest.param(["off"], False, False, False, id="whose permission is off"),
        pytest.param(["write", "run"], False, False, False, id="who may do something else"),
        pytest.param(["write", "run by group"], False, False, False, id="likewise by a group"),
        pytest.param(["write"], True, False, False, id="who signs in with a password"),
        pytest.param(["write"], False, True, False, id="a superuser"),
        pytest.param([], False, False, False, id="who may nothing"),
    ],
)
def test_accounts_that_could_only_be_workers_go_on_as_workers(
    store: Store, store_url: str, permissions: list[str], has_password: bool, is_superuser: bool, works: bool
) -> None:
    user, group = make_user(is_superuser=is_superuser), Group(id=uuid4(), name="crew")
    with store.transaction() as tx:
        for thing in (user, group, UserGroup(user_id=user.id, group_id=group.id)):
            tx.add(thing)
        for name in permissions:
            what, _, by_group = name.partition(" by ")
            kind = "extras.job" if what == "run" else "prefect"
            actions = ("write",) if what == "off" else (what,)
            made = Permission(id=uuid4(), name=name, enabled=what != "off", object_types=(kind,), actions=actions)
            tx.add(made)
            if by_group:
                tx.add(PermissionGroup(permission_id=made.id, group_id=group.id))
            else:
                tx.add(PermissionUser(permission_id=made.id, user_id=user.id))
        if has_password:
            tx.add(Password(user_id=user.id, hash="x"))
    engine = create_engine(store_url)
    with engine.begin() as connection:
        found = run_path(str(MIGRATIONS / "versions" / "0014_run_credentials.py"))["_workers"](connection)
    engine.dispose()
    assert found == ([user.id] if works else [])


def test_accounts_of_workers_that_may_not_write_to_prefect_any_more_are_workers_no_longer(empty_url: str) -> None:
    store = store_at("0016", empty_url)
    names = ("writes", "by group", "off", "views", "nothing")
    users = {name: make_user(name) for name in names}
    group = Group(id=uuid4(), name="crew")
    permissions = {
        name: Permission(
            id=uuid4(),
            name=name,
            enabled=name != "off",
            object_types=("prefect",),
            actions=("view" if name == "views" else "write",),
        )
        for name in names
    }
    credential = RunCredential(flow_run_id=uuid4(), key_hash="0" * 64, user_id=users["writes"].id, created=NOW)
    given = (PermissionUser(permission_id=permissions[name].id, user_id=users[name].id) for name in ("writes", "off"))
    add_earlier(empty_url, users.values())
    with store.transaction() as tx:
        for thing in (
            *(group, *permissions.values(), *given),
            PermissionUser(permission_id=permissions["views"].id, user_id=users["views"].id),
            UserGroup(user_id=users["by group"].id, group_id=group.id),
            PermissionGroup(permission_id=permissions["by group"].id, group_id=group.id),
            *(WorkerAccount(user_id=user.id, pool="signoff") for user in users.values()),
            credential,
        ):
            tx.add(thing)
    store.migrate()
    with store.transaction() as tx:
        assert {each.user_id for each in tx.all(WorkerAccount)} == {users["writes"].id, users["by group"].id}
        assert tx.all(RunCredential) == [credential]
        for _ in range(2):
            tx.add(replace(credential, flow_run_id=uuid4(), key_hash=None))
    store.close()


def test_the_digest_of_before_all_code_was_covered_stays_that_of_the_module(empty_url: str) -> None:
    store = store_at("0008", empty_url)
    engine = create_engine(empty_url)
    samples = {"BOOL": "false", "FLOAT": "0", "DOUBLE": "0", "INT": "0", "DATE": "'2026-05-04'", "TIME": "'2026-05-04'"}
    row = {
        column["name"]: next(
            (sample for word, sample in samples.items() if str(column["type"]).startswith(word)), "'[]'"
        )
        for column in inspect(engine).get_columns("jobs")
        if not column["nullable"]
    } | {"id": f"'{uuid4().hex}'", "declared": "'{}'", "code_digest": f"'{'0' * 64}'"}
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join(row.values())})"))
    engine.dispose()
    store.migrate()
    with store.transaction(write=False) as tx:
        [kept] = tx.all(Job)
    store.close()
    assert (kept.module_digest, kept.code_digest) == ("0" * 64, "")


def test_the_names_that_accounts_have_had_are_those_of_the_audit_and_their_own(
    empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at("0013", empty_url)
    people = {name: make_user(name) for name in ("Alice", "ALICE", "bob", "Zoë", "robert")}
    gone, unknown = make_user("carol"), make_user("dave")
    day = timedelta(days=1)

    def event(number: int, user: User, act: EventType, name: str, *, to: str = "", fields: Sequence[str] = ()) -> None:
        changed = {"username": {"old": name, "new": to}} if to else {}
        tx.record(account_event(user.id, name, act, NOW + number * day, LocalAdministrator("x"), fields, changed))

    add_earlier(empty_url, people.values())
    with store.transaction() as tx:
        event(1, gone, EventType.USER_ADDED, "Caroline")
        event(2, gone, EventType.USER_CHANGED, "Caroline", to="carol", fields=["username"])
        event(3, gone, EventType.USER_REMOVED, "carol")
        # As it was recorded before the new name was.
        event(4, people["robert"], EventType.USER_CHANGED, "rob", fields=["username"])
        event(5, people["bob"], EventType.USER_CHANGED, "bob", fields=["is_active"])
        event(6, unknown, EventType.USER_CHANGED, "dave", fields=["is_active"])
    store.migrate()
    with store.transaction(write=False) as tx:
        found = {(row.user_id, row.normal): row for row in tx.all(UserName)}
        assert user_called(tx, "zoË") == people["Zoë"]
        assert [user_called(tx, name) for name in ("Alice", "ALICE", "alice")] == [
            people["Alice"],
            people["ALICE"],
            None,
        ]
    store.close()
    times = {key: (row.since, row.until, row.shared) for key, row in found.items()}
    assert times == {
        (people["Alice"].id, "alice"): (NOW, None, True),
        (people["ALICE"].id, "alice"): (NOW, None, True),
        (people["Zoë"].id, "zoë"): (NOW, None, False),
        (people["bob"].id, "bob"): (NOW + 5 * day, None, False),
        (people["robert"].id, "rob"): (NOW + 4 * day, NOW + 4 * day, False),
        (people["robert"].id, "robert"): (NOW + 4 * day, None, False),
        (gone.id, "caroline"): (NOW + day, NOW + 2 * day, False),
        (gone.id, "carol"): (NOW + 2 * day, NOW + 3 * day, False),
        (unknown.id, "dave"): (NOW + 6 * day, NOW + 6 * day, False),
    }
    assert "ALICE, Alice" in caplog.text


# Transactions


def test_what_raises_leaves_nothing(store: Store) -> None:
    def fail(tx: Transaction) -> None:
        tx.add(make_user())
        raise RuntimeError("Something went wrong.")

    with pytest.raises(RuntimeError), store.transaction() as tx:
        fail(tx)
    with store.transaction(write=False) as tx:
        assert tx.all(User) == []


def test_what_is_refused_half_way_leaves_nothing(store: Store) -> None:
    def add(tx: Transaction) -> None:
        for name in ("bob", "alice", "alice"):
            tx.add(make_user(name))

    with pytest.raises(Duplicate), store.transaction() as tx:
        add(tx)
    with store.transaction(write=False) as tx:
        assert tx.all(User) == []


def test_what_is_read_and_written_off_the_event_loop_is_the_same(store: Store) -> None:
    alice = make_user()

    async def scenario() -> User | None:
        await store.write(lambda tx: tx.add(alice))
        return await store.read(lambda tx: tx.get(User, username="alice"))

    assert asyncio.run(scenario()) == alice


def test_two_writers_do_not_lose_updates(store: Store) -> None:
    job = make_job(version=0)
    with store.transaction() as tx:
        tx.add(job)

    def count(_: int) -> None:
        with store.transaction() as tx:
            found = tx.get(Job, id=job.id, lock=True)
            assert found is not None
            tx.change(found, version=found.version + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(40)))
    with store.transaction(write=False) as tx:
        found = tx.get(Job, id=job.id)
    assert found is not None
    assert found.version == 40


def test_a_list_that_is_locked_waits_for_who_changes_one_of_it(store: Store) -> None:
    job = make_job(version=1)
    with store.transaction() as tx:
        tx.add(job)
    seen: list[int] = []

    def look() -> None:
        with store.transaction() as tx:
            seen.extend(each.version for each in tx.all(Job, order="id", lock=True))

    with store.transaction() as tx:
        tx.change(job, version=2)
        other = threading.Thread(target=look)
        other.start()
        time.sleep(0.2)
        assert seen == []
    other.join(10)
    assert seen == [2]


def test_of_two_who_take_a_name_at_once_one_is_told(store: Store) -> None:
    def take(_: int) -> str:
        try:
            with store.transaction() as tx:
                tx.add(Group(id=uuid4(), name="ops"))
        except Duplicate:
            return "taken"
        return "made"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(take, range(4))) == ["made", "taken", "taken", "taken"]


def test_who_reads_does_not_wait_for_who_writes_and_sees_what_was_committed(store: Store) -> None:
    before = make_user("before")
    with store.transaction() as tx:
        tx.add(before)
    with store.transaction() as writing:
        writing.add(make_user("after"))
        begun = time.monotonic()
        with store.transaction(write=False) as reading:
            assert reading.all(User) == [before]
        assert time.monotonic() - begun < 1


def test_who_reads_sqlite_waits_for_nobody_however_many_wait_to_write(sqlite_store: Store) -> None:
    many = 20  # more than a store has connections

    def write(number: int) -> None:
        with sqlite_store.transaction() as tx:
            tx.add(make_user(f"writer {number}"))

    with ThreadPoolExecutor(many) as pool:
        with sqlite_store.transaction():
            writers = [pool.submit(write, number) for number in range(many)]
            with sqlite_store.transaction(write=False) as reading:
                assert reading.all(User) == []
            assert not any(writer.done() for writer in writers)
        for writer in writers:
            writer.result()
    with sqlite_store.transaction(write=False) as reading:
        assert len(reading.all(User)) == many


def test_what_was_read_for_writing_on_sqlite_cannot_change_before_it_is_written(sqlite_store: Store) -> None:
    order: list[str] = []

    def write() -> None:
        with sqlite_store.transaction() as tx:
            order.append("second")
            tx.add(make_user("bob"))

    with sqlite_store.transaction() as tx:
        assert tx.all(User) == []
        other = threading.Thread(target=write)
        other.start()
        time.sleep(0.2)
        order.append("first")
        assert tx.all(User) == []
    other.join(10)
    assert order == ["first", "second"]


def test_sqlite_is_safe_against_power_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As it was when this was loaded, before the tests made it hasty.
    monkeypatch.setattr(database, "SQLITE_PRAGMAS", SQLITE_PRAGMAS)
    asked = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
    with closing(Store(f"sqlite:///{tmp_path / 'store.db'}")) as store, store._engine.connect() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in asked}
    assert found == asked


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_times_are_read_alike_whatever_the_zone_of_the_database(postgresql_url: str, zone: str) -> None:
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET timezone TO '{zone}'"))
    engine.dispose()
    store = Store(postgresql_url)
    result = make_result(make_job(), None, job_id=None, nominal_time=NEVER)
    with store.transaction() as tx:
        tx.add(result)
    with store.transaction(write=False) as tx:
        assert tx.all(JobResult) == [result]
    store.close()


# Refusals


def _same_name(tx: Transaction) -> None:
    tx.add(make_user("alice"))
    tx.add(make_user("alice"))


def _same_id(tx: Transaction) -> None:
    alice = make_user()
    tx.add(alice)
    tx.add(alice)


@pytest.mark.parametrize("twice", [_same_name, _same_id])
def test_only_what_is_there_twice_is_a_duplicate(store: Store, twice: Callable[[Transaction], None]) -> None:
    with pytest.raises(Duplicate) as refused, store.transaction() as tx:
        twice(tx)
    assert str(refused.value) == "This name is already in use."


def test_other_violations_are_faults_of_ours_and_not_duplicates(store: Store) -> None:
    with pytest.raises(IntegrityError), store.transaction() as tx:
        tx.add(make_result(make_job(), None))  # whose Job is not there
    with pytest.raises(IntegrityError), store.transaction() as tx:
        tx.add(make_user(is_active=None))


def test_a_statement_that_is_not_understood_is_not_called_an_outage(store: Store) -> None:
    with pytest.raises(Exception, match="no_such_table") as refused, store.transaction() as tx:
        tx._connection.execute(text("SELECT * FROM no_such_table"))
    assert not isinstance(refused.value, Unavailable)


def test_a_value_that_no_column_can_have_is_the_callers_mistake(postgresql_url: str) -> None:
    store = Store(postgresql_url)
    for name in ("x\0y", "x" * 151):
        with pytest.raises(Invalid, match="cannot keep"), store.transaction() as tx:
            tx.add(make_user(name))
    store.close()


def test_a_database_that_stays_locked_is_unavailable(sqlite_store: Store, tmp_path: Path) -> None:
    impatient = Store(f"sqlite:///{tmp_path / 'store.db'}", timeout=0.05)
    with sqlite_store.transaction() as tx:
        tx.add(make_user())
        with pytest.raises(Unavailable, match="try again") as refused, impatient.transaction():
            pass
    assert isinstance(refused.value.__cause__, OperationalError)
    impatient.close()


def test_a_statement_that_takes_too_long_on_postgresql_is_given_up(postgresql_url: str) -> None:
    with closing(Store(postgresql_url, timeout=0.05)) as store:
        with pytest.raises(Unavailable, match="try again"), store.transaction() as tx:
            tx._connection.execute(text("SELECT pg_sleep(60)"))
        with store.transaction() as tx:
            tx.add(make_user())


def test_a_database_that_is_silent_is_given_up_as_its_address_says_or_else_soon() -> None:
    told = patience(make_url("postgresql://db/signoff?connect_timeout=3&keepalives_idle=60"))
    assert told == {"keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
    assert patience(make_url("postgresql://db/signoff"))["connect_timeout"] == 10


def test_no_value_enters_a_message(store: Store) -> None:
    with pytest.raises(IntegrityError) as refused, store.transaction() as tx:
        tx.add(make_result(make_job(), None, inputs={"password": "hunter2"}))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        pytest.param("nonsense hunter2", "cannot be read", id="no address"),
        pytest.param("", "cannot be read", id="nothing"),
        pytest.param("postgresql://u:hunter2@host:port/db", "cannot be", id="a port that is no number"),
        pytest.param("mysql://u:hunter2@host/db", "but not in mysql", id="another database"),
        pytest.param("postgresql://u:p@hunter2@127.0.0.1:1/db", "more than one @", id="an @ in the password"),
        pytest.param("postgresql://u:hunter2@127.0.0.1:1/db", "cannot be used: ", id="nobody listens"),
        pytest.param("postgresql://u:hunter2@127.0.0.1:1/db?odd=1", "cannot be used: ", id="an odd option"),
        pytest.param("postgres://u:hunter2@127.0.0.1:1/db", "cannot be used: ", id="by its short name"),
        pytest.param("postgresql+asyncpg://u:hunter2@127.0.0.1:1/db", "cannot be used: ", id="another driver"),
        pytest.param("sqlite://", "must be in a file", id="SQLite in memory"),
        pytest.param("sqlite:///{tmp}/none/x.db", "No such file", id="in a folder that is not there"),
        pytest.param("sqlite:///{tmp}", "cannot be used: ", id="a folder"),
        pytest.param("sqlite:///{tmp}/letter.txt", "cannot be used: ", id="a file that is no database"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence_without_the_password(
    url: str, sentence: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ann, " * 1000)
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable, match=sentence) as refused:
        Store(url.replace("{tmp}", str(tmp_path))).migrate()
    told = str(refused.value)
    assert "hunter2" not in told + caplog.text
    assert "\n" not in told
    assert told.endswith(".")
    assert letter.read_text().startswith("Dear Ann")


# Files


def test_the_files_of_sqlite_are_for_their_owner_alone(sqlite_store: Store, tmp_path: Path) -> None:
    with sqlite_store.transaction() as tx:
        tx.add(make_user())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("store.db*")}
    assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm"), 0o600)


# Where it is


@pytest.mark.parametrize(
    ("url", "place"),
    [
        pytest.param("sqlite:////home/us/signoff.db", "SQLite", id="a file"),
        pytest.param("postgresql://us:secret@db:5433/signoff", "PostgreSQL at db:5433/signoff", id="a password"),
        pytest.param("postgresql+asyncpg://us@db/prefect", "PostgreSQL at db/prefect", id="another driver"),
        pytest.param("postgresql://us:se%40cret@[::1]/x", "PostgreSQL at [::1]/x", id="an address of version 6"),
        pytest.param("postgresql:///x?host=/run&password=secret", "PostgreSQL at this machine/x", id="in the query"),
        pytest.param("postgresql://us:sec@ret@db/x", "PostgreSQL", id="a password that passes for a host"),
        pytest.param("postgresql://us:se/cr?et@db/x", "PostgreSQL at db/x", id="a password that passes for a path"),
        pytest.param("rediss://:secret@redis:6379/1", "Redis at redis:6379/1", id="Redis"),
        pytest.param("secret", "an address that cannot be read", id="no address"),
    ],
)
def test_where_a_database_is_can_be_shown_to_everybody(url: str, place: str) -> None:
    assert place_of(url) == place
