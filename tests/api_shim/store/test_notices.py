"""What servers tell each other: by commits alone, in words that are understood or passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from api_shim.store import WORKERS, Notice, Notices, Store, Topic, Transaction
from api_shim.store.notices import of_change, of_new
from approval_gate.errors import Unavailable
from tests.databases import cut_off
from tests.factories import make_job, make_result, make_scheduled, make_user
from tests.live import PATIENCE

JOB = make_job()
USER = make_user()
ROW = make_scheduled(JOB, USER)
RESULT = replace(make_result(JOB, None), released=False)


@pytest.mark.parametrize(
    ("thing", "topic"),
    [
        pytest.param(JOB, Topic.JOB, id="a Job"),
        pytest.param(ROW, Topic.SCHEDULED_JOB, id="a scheduled job"),
        pytest.param(RESULT, Topic.JOB_RESULT, id="a run that is to start"),
        pytest.param(replace(RESULT, released=True), None, id="a run that Prefect has"),
        pytest.param(USER, None, id="what Prefect does not follow"),
    ],
)
def test_what_is_told_of_what_is_added(thing: Any, topic: Topic | None) -> None:
    assert of_new(thing) == (Notice(topic, thing.id) if topic else None)


@pytest.mark.parametrize(
    ("thing", "to", "topic"),
    [
        pytest.param(JOB, {"version": 2}, Topic.JOB, id="a Job"),
        pytest.param(JOB, {"deployment_id": uuid4(), "projected_version": 1}, None, id="a Job that was followed"),
        pytest.param(ROW, {"enabled": False, "version": 2}, Topic.SCHEDULED_JOB, id="a scheduled job"),
        pytest.param(ROW, {"projected_version": 0}, None, id="a scheduled job that is being followed"),
        pytest.param(ROW, {"last_run_at": None}, None, id="what Prefect does not show"),
        pytest.param(RESULT, {"released": False}, Topic.JOB_RESULT, id="a run that is cancelled"),
        pytest.param(RESULT, {"released": True}, None, id="a run that was followed"),
        pytest.param(USER, {"version": 2}, None, id="what Prefect does not follow"),
    ],
)
def test_what_is_told_of_what_is_changed(thing: Any, to: dict[str, Any], topic: Topic | None) -> None:
    assert of_change(thing, to) == (Notice(topic, thing.id) if topic else None)


@pytest.fixture
def servers(postgresql_url: str) -> Iterator[tuple[Store, Store]]:
    """Two servers of one database."""
    with closing(Store(postgresql_url)) as first, closing(Store(postgresql_url)) as second:
        yield first, second


def listens(store: Store) -> Notices:
    assert store.notices is not None
    return store.notices


def heard(by: Store, *deeds: Callable[[], None]) -> list[Notice]:
    """Return what a server hears of deeds that end with a call of the workers."""

    async def hears() -> list[Notice]:
        all_heard: list[Notice] = []
        async with listens(by).listening() as hear:
            for deed in deeds:
                deed()
            while WORKERS not in all_heard:
                all_heard += await asyncio.wait_for(hear(), PATIENCE)
        return all_heard

    return asyncio.run(hears())


def commit(store: Store, work: Callable[[Transaction], Any]) -> Callable[[], None]:
    def deed() -> None:
        with store.transaction() as tx:
            work(tx)

    return deed


def test_a_commit_tells_other_servers_once_where_to_look_and_a_rollback_nothing(
    servers: tuple[Store, Store],
) -> None:
    first, second = servers

    def adds(tx: Transaction) -> None:
        tx.add(USER)
        tx.add(JOB)
        tx.add(ROW)
        tx.change(tx.change(ROW, version=2), version=3)

    def fails() -> None:
        with suppress(RuntimeError), first.transaction() as tx:
            tx.change(JOB, version=9)
            raise RuntimeError

    told = heard(
        second,
        commit(first, adds),
        fails,
        commit(first, lambda tx: tx.change(ROW, projected_version=3)),
        commit(first, lambda tx: tx.tell(WORKERS)),
    )
    assert told == [Notice(Topic.JOB, JOB.id), Notice(Topic.SCHEDULED_JOB, ROW.id), WORKERS]


def test_a_server_does_not_hear_itself_and_passes_over_what_it_does_not_understand(
    servers: tuple[Store, Store],
) -> None:
    first, second = servers

    def say(tx: Transaction) -> None:
        for words in ("", "x", "x y z", f"x job {'9' * 40}", "x job", f"x workers {uuid4()}", f"x planet {uuid4()}"):
            tx._connection.execute(text("SELECT pg_notify('signoff', :words)"), {"words": words})

    own = commit(second, lambda tx: tx.tell(WORKERS))
    assert heard(second, own, commit(first, say), commit(first, lambda tx: tx.tell(WORKERS))) == [WORKERS]


def test_a_server_is_told_when_it_does_not_hear_any_more(servers: tuple[Store, Store], postgresql_url: str) -> None:
    async def hears() -> None:
        async with listens(servers[0]).listening() as hear:
            await asyncio.to_thread(cut_off, postgresql_url)
            async with asyncio.timeout(PATIENCE):
                while True:
                    await hear()

    with pytest.raises(Unavailable, match="cannot be reached"):
        asyncio.run(hears())


def test_an_sqlite_database_has_one_server_and_tells_nobody(sqlite_store: Store) -> None:
    assert sqlite_store.notices is None
    commit(sqlite_store, lambda tx: tx.tell(WORKERS))()
