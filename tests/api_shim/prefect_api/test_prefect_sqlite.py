"""On SQLite, Prefect's transactions take turns: none fails because another one wrote first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession

from api_shim.prefect_api.prefect_sqlite import write_in_turn

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


def test_one_that_fails_leaves_its_turn_and_changes_nothing(tmp_path: Path) -> None:
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
