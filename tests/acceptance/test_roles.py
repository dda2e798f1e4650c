"""A server, two services and a worker, each a process by itself: what the one accepts the others carry out.

The services that began first are killed after they have done some of the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.conftest import lacking
from tests.databases import PostgreSQL
from tests.live import eventually
from tests.roles import SECRET, Roles, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def roles(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """All processes, at work; the databases were empty."""
    with running(postgresql, tmp_path_factory.mktemp("roles"), ["first", "second"]) as made:
        yield made


def test_what_a_server_accepts_services_and_a_worker_of_their_own_carry_out_though_some_are_killed(
    roles: Roles,
) -> None:
    before, later = roles.request("before"), roles.request("later")
    roles.approve(before)
    ended = roles.ended(before)
    assert ended["status"]["value"] == "SUCCESS"
    assert (roles.folder / "before").read_text() == f"alice {ended['id']}\n"
    # The second services go on with what was requested of all, and what is requested now.
    roles.kill("first")
    roles.approve(later)
    after = roles.request("after")
    roles.approve(after)
    assert [roles.ended(each)["status"]["value"] for each in (later, after)] == ["SUCCESS", "SUCCESS"]
    assert [len((roles.folder / name).read_text().splitlines()) for name in ("later", "after")] == [1, 1]


def test_what_passes_through_the_server_the_services_keep(roles: Roles) -> None:
    if roles.redis is None:
        lacking("redis", "no Redis here, or not prefect-redis; without it a server loses Prefect's events")
    body = {"filter": {"event": {"name": ["prefect.flow-run.Completed"]}}}
    with roles.client("admin") as client:
        eventually(lambda: client.post("/api/events/filter", json=body).json()["events"], every=0.5)


def test_without_redis_it_is_kept_what_is_requested_and_begins_when_redis_is_back(roles: Roles) -> None:
    if roles.redis is None:
        lacking("redis", "no Redis here, or not prefect-redis; there is none that could go away")
    roles.redis.kill()
    request = roles.request("without")
    roles.approve(request)
    eventually(lambda: "Prefect does not answer as it should" in roles.log("worker").read_text())
    roles.redis.start()
    assert roles.ended(request)["status"]["value"] == "SUCCESS"
    assert len((roles.folder / "without").read_text().splitlines()) == 1


def test_each_says_what_it_rests_on_and_none_a_password(roles: Roles) -> None:
    logs = {name: roles.log(name).read_text() for name in ("server", "first", "second", "worker")}
    for name in ("server", "first", "second"):
        assert "Data: PostgreSQL at 127.0.0.1:" in logs[name]
        assert ("its messages by Redis at 127.0.0.1:" in logs[name]) is (roles.redis is not None)
        assert ("Without Redis" in logs[name]) is (roles.redis is None)
    assert [name for name, log in logs.items() if SECRET in log] == []


# The last one here: the others need the processes that this one ends.
def test_all_end_when_they_are_told_to(roles: Roles) -> None:
    # What was said while Redis was away is not about how they end, nor what Prefect's own tasks say that wait for it.
    logs = {name: roles.log(name) for name in ("server", "second")}
    before = {name: len(log.read_text()) for name, log in logs.items()}
    assert set(roles.stop().values()) == {0}
    ends = (log.read_text()[before[name] :].splitlines() for name, log in logs.items())
    pairs = (pair for end in ends for pair in pairwise(end))
    assert [said for said, line in pairs if "Traceback" in line and "docket.worker" not in said] == []
