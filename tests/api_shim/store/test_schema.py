"""The chain of migrations: both ways with data in it, only ever adding, and what a version makes of another one's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from api_shim.domain.accounts import User
from api_shim.domain.audit import AuditEvent, EventType, fault, scheduled_job_event
from api_shim.domain.model import JobResult
from api_shim.store import Store, revisions, taken_back
from api_shim.store.schema import MIGRATIONS
from approval_gate.errors import Invalid, Unavailable
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.store.test_tables import full
from tests.databases import INPUTS_KEY
from tests.factories import NOW, make_job, make_scheduled, make_user

pytestmark = pytest.mark.each_database

NUMBERS = [each.number for each in revisions()]
Schema = dict[str, dict[str, Any]]


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def schema_of(url: str) -> Schema:
    """Return what the tables of a database look like; of columns the type, and whether one can be left out."""
    with engine_of(url) as engine:
        seen = inspect(engine)
        return {
            table: {
                "columns": {
                    column["name"]: (str(column["type"]), column["nullable"], column["default"])
                    for column in seen.get_columns(table)
                },
                "indexes": {
                    (index["name"], (*index["column_names"],), bool(index["unique"]))
                    for index in seen.get_indexes(table)
                },
                "keys": sorted((*key["constrained_columns"],) for key in seen.get_foreign_keys(table)),
            }
            for table in seen.get_table_names()
            if table != "alembic_version"
        }


def rows_of(url: str) -> dict[str, int]:
    with engine_of(url) as engine, engine.connect() as connection:
        return {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in schema_of(url)
        }


def test_the_migrations_are_one_chain() -> None:
    files = [path.name.split("_")[0] for path in sorted((MIGRATIONS / "versions").glob("*.py"))]
    assert files == NUMBERS


def test_the_whole_chain_goes_both_ways_with_data_in_it(empty_url: str) -> None:
    with closing(Store(empty_url)) as store:
        store.inputs_key = INPUTS_KEY
        looked: dict[str, Schema] = {}
        for number in NUMBERS:
            store.migrate(number)
            looked[number] = schema_of(empty_url)
        with store.transaction() as tx:
            for thing in full():
                tx.add(thing)
        before = rows_of(empty_url)
        for number in reversed(NUMBERS[:-1]):
            store.take_back(number)
            assert schema_of(empty_url) == looked[number], number
        first = rows_of(empty_url)
        assert first == {table: before[table] for table in looked["0001"]}
        store.migrate()
        assert schema_of(empty_url) == looked[NUMBERS[-1]]
        assert {table: rows_of(empty_url)[table] for table in first} == first
        store.take_back("base")
        assert schema_of(empty_url) == {}
        store.migrate()


def test_a_downgrade_takes_approvals_back_of_what_the_version_before_would_run_without(
    store: Store, store_url: str
) -> None:
    how: dict[str, Any] = {"approval": ApprovalState.APPROVED, "approved": {"job": "hash"}}
    for name, variables in (("with", {"image": "jobs:1"}), ("without", {})):
        with store.transaction() as tx:
            tx.add(job := make_job(job_variables=variables))
            tx.add(make_scheduled(job, None, name=name, **how))
    store.take_back("0021")
    with engine_of(store_url) as engine, engine.connect() as connection:
        left = connection.execute(text("SELECT name FROM scheduled_jobs WHERE approved IS NOT NULL")).scalars()
        assert [*left] == ["without"]


def test_what_waits_to_be_made_up_for_does_not_wait_for_ever_in_an_earlier_version(empty_url: str) -> None:
    job, run = make_job(), uuid4()
    result = partial(
        JobResult, user_id=None, job_id=job.id, name=job.name, task_name="x", queue="default", date_created=NOW
    )
    with closing(Store(empty_url)) as store:
        store.migrate()
        with store.transaction() as tx:
            tx.add(job)
            tx.add(*(result(id=uuid4(), flow_run_id=of, released=True) for of in (None, run)))
        store.take_back("0019")
    with engine_of(empty_url) as engine, engine.connect() as connection:
        rows = connection.execute(text("SELECT status, date_done IS NULL, flow_run_id IS NULL FROM job_results"))
        assert {tuple(row) for row in rows} == {("REVOKED", False, True), ("PENDING", True, False)}


def test_a_downgrade_that_fails_takes_nothing_back(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Store(empty_url)) as store:
        store.migrate()
        before = schema_of(empty_url)
        monkeypatch.setattr("alembic.op.drop_column", _power_cut)
        with pytest.raises(RuntimeError):
            store.take_back("0001")
        assert (store.revision(), schema_of(empty_url)) == (NUMBERS[-1], before)


def _power_cut(*args: object, **kwargs: object) -> None:
    raise RuntimeError("The power was cut.")


def not_added(before: Schema, after: Schema) -> Iterator[str]:
    """Yield what a version of before would miss, or could not satisfy, after a migration."""
    for table, was in before.items():
        if table not in after:
            yield f"{table} is gone"
            continue
        now = after[table]
        for name, (_, nullable, _) in was["columns"].items():
            if name not in now["columns"]:
                yield f"{table}.{name} is gone"
            elif nullable and not now["columns"][name][1]:
                yield f"{table}.{name} must be given"
        for name in now["columns"].keys() - was["columns"].keys():
            _, nullable, default = now["columns"][name]
            if not nullable and default is None:
                yield f"{table}.{name} is new and must be given"
        for name, columns, unique in now["indexes"] - was["indexes"]:
            if unique and set(columns) & was["columns"].keys():
                yield f"{name} is new and unique"


def test_a_migration_only_adds_or_says_why_not(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    faults: dict[str, list[str]] = {}
    with closing(Store(url)) as store:
        before: Schema = {}
        for number in NUMBERS:
            store.migrate(number)
            after = schema_of(url)
            faults[number] = list(not_added(before, after))
            before = after
    excused = {each.number for each in revisions() if each.not_additive}
    assert {number: found for number, found in faults.items() if found and number not in excused} == {}
    assert faults["0013"] == ["jobs.module_digest is new and must be given"]


def test_a_server_goes_on_when_a_later_version_has_upgraded_its_database(store: Store, store_url: str) -> None:
    user, job = make_user(), make_job()
    row = make_scheduled(job, user)
    with store.transaction() as tx:
        for thing in (user, job, row):
            tx.add(thing)
    with engine_of(store_url) as engine, engine.begin() as connection:
        for statement in (
            "ALTER TABLE users ADD COLUMN shoe_size INTEGER NOT NULL DEFAULT 42",
            "ALTER TABLE scheduled_jobs ADD COLUMN mood VARCHAR(20)",
            "CREATE TABLE moods (id INTEGER PRIMARY KEY)",
            "CREATE INDEX ix_scheduled_jobs_mood ON scheduled_jobs (mood)",
            "UPDATE alembic_version SET version_num = '9999'",
        ):
            connection.execute(text(statement))
    with store.transaction() as tx:
        tx.add(make_user("bob"))
        tx.change(row, enabled=False)
        tx.record(scheduled_job_event(row, EventType.CHANGED, NOW))
        # As a server of the later version does.
        tx.record(AuditEvent(at=NOW, act="mood.changed", name=row.name))  # type: ignore[arg-type]
    with store.transaction(write=False) as tx:
        assert {each.username for each in tx.all(User)} == {"alice", "bob"}
        told = tx.events(0, 10)
        assert [str(each.act) for each in told] == ["schedule.changed", "mood.changed"]
        assert fault(told, tx.audit_head()) == ""


@pytest.mark.parametrize(
    ("found", "to", "numbers"),
    [
        pytest.param("0003", "-1", ["0003"], id="one step"),
        pytest.param("0003", "-2", ["0003", "0002"], id="two steps"),
        pytest.param("0003", "0001", ["0003", "0002"], id="by its number"),
        pytest.param("0003", "-3", None, id="before the first"),
        pytest.param("0003", "0003", None, id="where it is"),
        pytest.param("0003", "0004", None, id="forwards"),
        pytest.param("0001", "-1", None, id="from the first"),
        pytest.param("0003", "base", None, id="to nothing"),
        pytest.param("0003", "-", None, id="no number"),
        pytest.param("0003", "+1", None, id="a sign of its own"),
        pytest.param("", "-1", None, id="from nothing"),
        pytest.param("9999", "0001", None, id="from a later version"),
    ],
)
def test_what_a_downgrade_takes_back(found: str, to: str, numbers: list[str] | None) -> None:
    if numbers is None:
        with pytest.raises(Invalid, match="is no revision before"):
            taken_back(found, to)
    else:
        assert [each.number for each in taken_back(found, to)] == numbers


def test_a_later_database_is_left_as_it_is_by_both_directions(store: Store, store_url: str) -> None:
    with engine_of(store_url) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for change in (store.migrate, lambda: store.take_back("0001"), store.check_revision):
        with pytest.raises(Unavailable, match=f"at revision 9999, and this version knows those up to {NUMBERS[-1]}"):
            change()
    assert store.revision() == "9999"


def test_an_earlier_database_is_not_used_where_it_is_not_upgraded(tmp_path: Any) -> None:
    with closing(Store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        for standing in ("0", "0001"):
            with pytest.raises(Unavailable, match=f"at revision {standing}, .*`signoff db upgrade` brings it there"):
                store.check_revision()
            store.migrate("0001")
        store.migrate()
        store.check_revision()


def test_what_is_reached_is_told(tmp_path: Any) -> None:
    told: list[str] = []
    with closing(Store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        store.migrate("0002", told.append)
        store.take_back("0001", told.append)
    assert told == ["0001", "0002", "0002"]


def test_a_database_that_is_not_there_is_made_only_where_it_is_to_be(tmp_path: Any) -> None:
    file = tmp_path / f"{uuid4()}.db"
    with pytest.raises(Unavailable, match="There is no store"):
        Store(f"sqlite:///{file}", make=False)
    assert not file.exists()
