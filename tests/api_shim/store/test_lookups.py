"""What can be asked of each type of object."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import select

from api_shim.store import TYPES, Store
from api_shim.store.lookups import LOOKUPS, joined, path_types
from api_shim.store.tables import TABLES
from approval_gate.model import ObjectType
from tests.factories import make_job, make_result, make_scheduled, make_user


def test_the_paths_of_a_type_have_the_types_of_their_values() -> None:
    types = path_types([ObjectType.SCHEDULED_JOB])
    assert types["name"] is str
    assert types["interval"] is str, "an enumeration is asked for as text"
    assert types["enabled"] is bool
    assert types["start_time"] is datetime
    assert types["total_run_count"] is int
    assert types["user"] is types["job_model"] is UUID
    assert types["user__username"] is types["job_model__name"] is str


def test_several_types_have_the_paths_that_all_of_them_have() -> None:
    kinds = [ObjectType.JOB, ObjectType.SCHEDULED_JOB]
    assert set(path_types(kinds)) == set(path_types(kinds[:1])) & set(path_types(kinds[1:]))
    assert {"id", "name", "enabled"} <= set(path_types(kinds))
    assert "user" not in path_types(kinds)


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param([], id="no types"),
        pytest.param([ObjectType.PREFECT], id="Prefect has no objects of ours"),
        pytest.param([ObjectType.JOB, ObjectType.PREFECT], id="one of several that cannot be asked anything"),
    ],
)
def test_nothing_can_be_asked_of(kinds: list[ObjectType]) -> None:
    assert path_types(kinds) == {}


@pytest.mark.parametrize("kind", LOOKUPS)
def test_what_is_searched_and_ordered_by_can_be_asked(kind: ObjectType) -> None:
    lookups = LOOKUPS[kind]
    assert {"id", *lookups.searched, *(name.removeprefix("-") for name in lookups.order)} <= set(lookups.columns)


def test_the_documented_paths_can_be_asked() -> None:
    for kind in (ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT):
        assert {"name", "user", "user__username", "job_model", "job_model__name"} <= set(LOOKUPS[kind].columns)
    assert {"name", "grouping", "module_name", "enabled"} <= set(LOOKUPS[ObjectType.JOB].columns)


def test_each_type_that_can_be_asked_is_one_that_is_kept() -> None:
    assert set(LOOKUPS) == set(TYPES)
    assert set(TYPES.values()) <= set(TABLES)


def test_what_a_path_reaches_may_be_missing_and_the_object_is_still_there(store: Store) -> None:
    job, alice = make_job(), make_user("alice")
    orphan, owned = make_scheduled(job, None, name="a"), make_scheduled(job, alice, name="b")
    result = make_result(job, alice, job_id=None, user_id=None)
    with store.transaction() as tx:
        for thing in (job, alice, orphan, owned, result):
            tx.add(thing)
    columns = LOOKUPS[ObjectType.SCHEDULED_JOB].columns
    source = joined(ObjectType.SCHEDULED_JOB)
    query = select(columns["name"], columns["user__username"], columns["job_model__name"]).select_from(source)
    with store.transaction(write=False) as tx:
        rows = tx._connection.execute(query.order_by(columns["name"])).all()
        told = tx.attributes(ObjectType.JOB_RESULT, result.id)
    assert [tuple(row) for row in rows] == [("a", None, job.name), ("b", "alice", job.name)]
    assert told["user__username"] is told["job_model__name"] is told["job_model"] is None
    assert told["name"] == result.name
