"""What the use cases of looking show to whom."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from api_shim.domain.model import Status
from api_shim.domain.ports import LogLine, LogPart
from api_shim.services.queries import entry_of
from api_shim.store import Listing, Store
from approval_gate.errors import Forbidden, NotFound, Unavailable
from approval_gate.model import Actor, ObjectType
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result

NOBODY = Actor(id=uuid4(), username="nobody")
ROOT = Actor(id=uuid4(), username="root", superuser=True)
ALL = Listing(limit=50)


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    return Origin(sqlite_store, clock)


def test_who_may_view_nothing_of_a_type_is_refused_even_what_is_not_there(origin: Origin) -> None:
    viewing = origin.shim.state.services.queries
    for kind in (ObjectType.JOB, ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT):
        with pytest.raises(Forbidden):
            asyncio.run(viewing.page(NOBODY, kind, ALL))
        with pytest.raises(Forbidden):
            asyncio.run(viewing.one(NOBODY, kind, id=uuid4()))
        with pytest.raises(NotFound):
            asyncio.run(viewing.one(ROOT, kind, id=uuid4()))


def test_nothing_waits_for_prefect_to_be_shown(origin: Origin) -> None:
    viewing = origin.shim.state.services.queries
    origin.add(result := make_result(origin.job(), None, released=True))
    assert asyncio.run(viewing.one(ROOT, ObjectType.JOB_RESULT, id=result.id)) == result
    assert asyncio.run(viewing.page(ROOT, ObjectType.JOB_RESULT, ALL)).rows == [result]
    assert origin.engine.calls == []


def test_the_log_is_prefects_and_only_for_who_may_see_the_result(origin: Origin) -> None:
    viewing = origin.shim.state.services.queries
    origin.add(result := make_result(origin.job(), None, status=Status.SUCCESS))
    line = LogLine(id=uuid4(), level=20, source="prefect.flow_runs", message="Hello", created=NOW)
    origin.engine.lines[result.id] = [line]
    assert asyncio.run(viewing.logs(ROOT, result.id)) == [entry_of(line, result)]
    assert asyncio.run(viewing.logs(ROOT, result.id, LogPart(skip=1))) == []
    page = asyncio.run(viewing.log_entries(ROOT, [result.id, uuid4()], ALL))
    assert (page.count, page.rows) == (1, [entry_of(line, result)])
    assert asyncio.run(viewing.log_entry(ROOT, page.rows[0].id)) == page.rows[0]
    with pytest.raises(Forbidden):
        asyncio.run(viewing.logs(NOBODY, result.id))
    with pytest.raises(Forbidden):
        asyncio.run(viewing.log_entries(NOBODY, [result.id], ALL))
    origin.engine.fail("logs")
    with pytest.raises(Unavailable):
        asyncio.run(viewing.logs(ROOT, result.id))
