"""What Prefect notes of polls: the same once in ten seconds, and at once that a queue becomes ready."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.prefect_api.prefect_polls import EVERY, SeldomNoting

ONE, OTHER = uuid4(), uuid4()


class Docket:
    """Notes what is added."""

    def __init__(self) -> None:
        self.added: list[dict[str, Any]] = []
        self.away = False

    def add(self, function: Any, key: str) -> Any:
        async def added(**arguments: Any) -> None:
            if self.away:
                raise ConnectionError
            self.added.append({"what": function.__name__, **arguments})

        return added


class Seldom(SeldomNoting, Docket):
    pass


def mark_deployments_ready() -> None: ...
def mark_work_queues_ready() -> None: ...


@pytest.fixture
def at() -> list[float]:
    return [0.0]


@pytest.fixture
def docket(at: list[float]) -> Seldom:
    return Seldom(clock=lambda: at[0])


def poll(docket: Seldom, *queues: UUID, ready: tuple[UUID, ...] = ()) -> int:
    """Poll as Prefect's API does, and return how many notes were taken."""

    async def notes() -> None:
        await docket.add(mark_work_queues_ready, key="queues")(polled_work_queue_ids=queues, ready_work_queue_ids=ready)
        await docket.add(mark_deployments_ready, key="deployments")(work_queue_ids=[*queues, *ready])

    before = len(docket.added)
    asyncio.run(notes())
    return len(docket.added) - before


def test_a_poll_like_a_recent_one_is_not_noted_again(docket: Seldom, at: list[float]) -> None:
    noted = []
    for at[0] in (0, EVERY / 2, EVERY - 0.1, EVERY, EVERY + 0.1):
        noted.append(poll(docket, ONE, OTHER))
    assert noted == [2, 0, 0, 2, 0]


def test_a_poll_that_could_not_be_noted_is_with_the_next_one(docket: Seldom) -> None:
    docket.away = True
    with pytest.raises(ConnectionError):
        poll(docket, ONE)
    docket.away = False
    assert poll(docket, ONE) == 2


def test_a_poll_of_other_queues_is_noted(docket: Seldom) -> None:
    assert [poll(docket, ONE), poll(docket, OTHER), poll(docket, ONE, OTHER)] == [2, 2, 2]


def test_a_queue_that_becomes_ready_is_noted_at_once(docket: Seldom) -> None:
    poll(docket, ONE)
    assert poll(docket, ready=(ONE,)) == 1
    assert docket.added[-1] == {
        "what": "mark_work_queues_ready",
        "polled_work_queue_ids": (),
        "ready_work_queue_ids": (ONE,),
    }


def test_what_is_no_note_of_a_poll_is_added_each_time(docket: Seldom) -> None:
    async def twice() -> None:
        for _ in range(2):
            await docket.add(timedelta, key="other")(of="something")

    asyncio.run(twice())
    assert len(docket.added) == 2
