"""Which servers count as there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from api_shim.domain.model import HeldJob, RunningServer
from api_shim.services.running_servers import EVER, Following, ThisServer, held_elsewhere, tell, tell_following
from api_shim.store import Store
from tests.conftest import Clock
from tests.factories import NOW, make_job

ME = ThisServer(
    id=uuid4(), place="here", process=7, silent_after=timedelta(minutes=15), is_alive=lambda process: process == 8
)


@pytest.mark.parametrize(
    ("place", "process", "silent", "gone"),
    [
        pytest.param("there", 1, 0, False, id="elsewhere, and just heard of"),
        pytest.param("there", 1, 15, False, id="elsewhere, and silent for as long as is allowed"),
        pytest.param("there", 1, 16, True, id="elsewhere, and silent for longer"),
        pytest.param("there", 7, 0, False, id="elsewhere, by the number of this process"),
        pytest.param("here", 8, 0, False, id="here, beside this one"),
        pytest.param("here", 8, 16, True, id="here, and stuck"),
        pytest.param("here", 9, 0, True, id="here, and its process has ended"),
        pytest.param("here", 7, 0, True, id="here, where a container gives each the same number"),
    ],
)
def test_who_has_gone(place: str, process: int, silent: int, gone: bool) -> None:
    other = RunningServer(id=uuid4(), place=place, process=process, seen=NOW - timedelta(minutes=silent))
    assert ME.has_gone(other, NOW, EVER) is gone


def test_silence_while_nobody_could_tell_says_nothing() -> None:
    other = RunningServer(id=uuid4(), place="there", process=1, seen=NOW - timedelta(hours=1))
    back = NOW - timedelta(minutes=15)
    assert not ME.has_gone(other, NOW, back)
    assert ME.has_gone(other, NOW, back - timedelta(minutes=1))


@pytest.mark.each_database
def test_who_has_gone_is_forgotten_and_what_the_others_have_is_known(store: Store) -> None:
    jobs = [make_job() for _ in range(3)]
    with store.transaction() as tx:
        tx.add(*jobs)
        for job, seen in zip(jobs, (NOW, NOW - timedelta(hours=1), NOW), strict=True):
            other = RunningServer(id=uuid4(), place="there", process=1, seen=seen)
            tx.add(other)
            tx.add(HeldJob(server_id=other.id, job_id=job.id))
        tell(tx, ME, [jobs[1].id], NOW)
        assert held_elsewhere(tx, ME, NOW) == {jobs[0].id, jobs[2].id}
        assert len(tx.all(RunningServer)) == len(tx.all(HeldJob)) == 3


def test_what_is_told_again_is_told_once(store: Store) -> None:
    job = make_job()
    with store.transaction() as tx:
        tx.add(job)
        for minute in range(3):
            tell(tx, ME, [job.id], NOW + timedelta(minutes=minute))
        [told] = tx.all(RunningServer)
        assert (told.seen, len(tx.all(HeldJob))) == (NOW + timedelta(minutes=2), 1)


def test_a_server_that_was_forgotten_is_of_its_place_again_when_it_tells(store: Store) -> None:
    with store.transaction() as tx:
        tell_following(tx, ME, NOW)
        tell(tx, ME, [], NOW + timedelta(minutes=1))
        [told] = tx.all(RunningServer)
        assert (told.place, told.seen, told.followed) == (ME.place, NOW + timedelta(minutes=1), NOW)


# Whether anybody makes Prefect follow


def test_since_when_nobody_makes_prefect_follow_is_known(sqlite_store: Store, clock: Clock) -> None:
    following, services = Following(sqlite_store, clock), replace(ME, id=uuid4())

    def looked(*, heard: bool) -> datetime | None:
        clock.forward(seconds=10)
        if heard:
            with sqlite_store.transaction() as tx:
                tell_following(tx, services, clock.now)
        asyncio.run(following.look())
        return following.away_since()

    began = clock.now
    assert [looked(heard=False) for _ in range(6)] == [None] * 5 + [began], "since this server has looked"
    assert looked(heard=True) is None
    since = clock.now
    assert [looked(heard=False) for _ in range(6)] == [None] * 5 + [since]
    clock.forward(hours=1)
    assert looked(heard=False) is None, "nobody could tell"
    with sqlite_store.transaction() as tx:
        assert held_elsewhere(tx, ME, clock.now) == set()
        assert tx.all(RunningServer) == []
    assert looked(heard=True) is None
