"""On SQLite, Prefect's transactions take turns, and a statement is one errand to the thread of its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_cursor
from sqlalchemy.ext.asyncio import AsyncSession

from api_shim.prefect_api.prefect_sqlite import execute_in_one_errand, stop_once, write_in_turn
from tests.live import PATIENCE

Work = Callable[[AioSqliteConfiguration, AsyncSession], Awaitable[Any]]


@pytest.fixture(autouse=True)
def in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    write_in_turn.__wrapped__()


def in_transactions(folder: Path, *works: Work) -> list[Any]:
    """Do all of this at once, each in a transaction, and return what came of it."""

    async def everything() -> list[Any]:
        database = AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{folder / 'prefect.db'}")
        engine = await database.engine()

        async def one(work: Work) -> Any:
            async with await database.session(engine) as session, database.begin_transaction(session):
                return await work(database, session)

        async with engine.begin() as connection:
            await connection.execute(sa.text("create table if not exists counter as select 0 as n"))
        try:
            return await asyncio.gather(*map(one, works), return_exceptions=True)
        finally:
            await engine.dispose()

    return asyncio.run(everything())


async def count(_database: AioSqliteConfiguration, session: AsyncSession) -> int:
    """Read, let others go on, then write: as a transaction of Prefect's does."""
    found = (await session.execute(sa.text("select n from counter"))).scalar_one()
    await asyncio.sleep(0.01)
    await session.execute(sa.text("update counter set n = :n"), {"n": found + 1})
    return int(found) + 1


def test_transactions_that_read_and_then_write_go_one_after_the_other_in_the_order_they_came(tmp_path: Path) -> None:
    assert in_transactions(tmp_path, *[count] * 5) == [1, 2, 3, 4, 5]


def test_one_that_fails_leaves_its_turn_and_changes_nowhere(tmp_path: Path) -> None:
    async def fail(database: AioSqliteConfiguration, session: AsyncSession) -> None:
        await count(database, session)
        raise ValueError("broken on purpose")

    broken, first, second = in_transactions(tmp_path, fail, count, count)
    assert str(broken) == "broken on purpose"
    assert (first, second) == (1, 2)


def test_a_transaction_within_one_of_the_same_task_does_not_wait_for_itself(tmp_path: Path) -> None:
    async def nested(database: AioSqliteConfiguration, _session: AsyncSession) -> int:
        engine = await database.engine()
        async with await database.session(engine) as inner, database.begin_transaction(inner):
            return int((await inner.execute(sa.text("select n from counter"))).scalar_one())

    assert in_transactions(tmp_path, nested, count) == [0, 1]


def test_without_turns_all_but_one_of_them_would_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    all_have_read = asyncio.Barrier(3)

    async def count_beside_others(_database: AioSqliteConfiguration, session: AsyncSession) -> None:
        await session.execute(sa.text("select n from counter"))
        await all_have_read.wait()
        await session.execute(sa.text("update counter set n = n + 1"))

    outcomes = in_transactions(tmp_path, *[count_beside_others] * 3)
    assert sum(isinstance(each, sa.exc.OperationalError) for each in outcomes) == 2


# Errands


@pytest.fixture
def errands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the errands to the thread of a connection, from now on."""
    monkeypatch.setattr(AsyncAdapt_aiosqlite_cursor, "execute", AsyncAdapt_aiosqlite_cursor.execute)
    execute_in_one_errand.__wrapped__()
    told = list[str]()
    go = aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, errand: Callable[..., Any], *args: Any, **named: Any) -> Any:
        told.append(errand.__name__)
        return await go(self, errand, *args, **named)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return told


@pytest.mark.parametrize(
    ("statement", "parameters", "expected"),
    [
        pytest.param("select n, n + :more from counter", {"more": 2}, [(0, 2)], id="rows"),
        pytest.param("select n from counter where n > 5", {}, [], id="no rows"),
    ],
)
def test_a_statement_with_its_rows_is_one_errand(
    statement: str, parameters: dict[str, Any], expected: Any, tmp_path: Path, errands: list[str]
) -> None:
    async def ask(_database: AioSqliteConfiguration, session: AsyncSession) -> Any:
        # Which begins the transaction.
        await session.execute(sa.text("select 1"))
        before = len(errands)
        rows = (await session.execute(sa.text(statement), parameters)).all()
        return [tuple(row) for row in rows], len(errands) - before

    assert in_transactions(tmp_path, ask) == [(expected, 1)]


def test_a_statement_tells_how_many_rows_it_has_changed(tmp_path: Path, errands: list[str]) -> None:
    async def change(_database: AioSqliteConfiguration, session: AsyncSession) -> Any:
        # Which begins the transaction.
        await session.execute(sa.text("select 1"))
        before = len(errands)
        changed: Any = await session.execute(sa.text("update counter set n = 7 where n = 0"))
        return changed.rowcount, len(errands) - before

    assert in_transactions(tmp_path, change) == [(1, 1)]


def test_a_statement_that_fails_says_why_and_the_connection_goes_on(tmp_path: Path, errands: list[str]) -> None:
    async def fail(_database: AioSqliteConfiguration, session: AsyncSession) -> Any:
        with pytest.raises(sa.exc.OperationalError, match="no such table: nowhere"):
            await session.execute(sa.text("select * from nowhere"))
        return (await session.execute(sa.text("select n from counter"))).scalar_one()

    assert in_transactions(tmp_path, fail) == [0]


def test_what_is_streamed_is_fetched_as_it_is_asked_for(tmp_path: Path, errands: list[str]) -> None:
    async def stream(_database: AioSqliteConfiguration, session: AsyncSession) -> Any:
        numbers = await session.stream(sa.text("select 1 union select 2 union select 3"))
        return [row[0] async for row in numbers]

    assert in_transactions(tmp_path, stream) == [[1, 2, 3]]
    assert "fetchmany" in errands


# The end


def test_a_connection_that_is_told_to_stop_while_it_closes_has_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiosqlite.Connection, "stop", aiosqlite.Connection.stop)
    stop_once.__wrapped__()

    async def close() -> None:
        connection = await aiosqlite.connect(":memory:")
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        connection.stop()
        await asyncio.wait_for(closing, PATIENCE)

    asyncio.run(close())
