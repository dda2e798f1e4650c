"""What Prefect is told to rest on, as its own settings say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_MESSAGING_BROKER,
    PREFECT_MESSAGING_CACHE,
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE,
    PREFECT_SERVER_DOCKET_URL,
    PREFECT_SERVER_EVENTS_CAUSAL_ORDERING,
    temporary_settings,
)

from api_shim.prefect_api import prefect_backing
from api_shim.prefect_api.prefect_backing import DOCKET, MODULES, Backing, backing
from api_shim.store import place_of
from approval_gate.errors import Unavailable

ON_POSTGRESQL = {PREFECT_API_DATABASE_CONNECTION_URL: "postgresql+asyncpg://us:s3cret@db.example:5433/prefect"}
BY_REDIS = {
    PREFECT_MESSAGING_BROKER: "prefect_redis.messaging",
    PREFECT_MESSAGING_CACHE: "prefect_redis.messaging",
    PREFECT_SERVER_EVENTS_CAUSAL_ORDERING: "prefect_redis.ordering",
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE: "prefect_redis.lease_storage",
    PREFECT_SERVER_DOCKET_URL: "redis://:s3cret@redis.example:6379/1",
}


def asked(updates: Mapping[Any, Any]) -> Backing:
    with temporary_settings(updates=updates):
        return backing(place_of)


def test_without_settings_all_is_of_this_process() -> None:
    found = asked({PREFECT_API_DATABASE_CONNECTION_URL: None})
    assert (found.database, found.shared) == ("SQLite", False)
    assert (found.broker, found.docket) == ("this process alone", "this process alone")
    assert found.alone == (*MODULES, DOCKET)


def test_a_database_that_can_be_shared_is_told_without_its_password() -> None:
    found = asked(ON_POSTGRESQL)
    assert (found.database, found.shared) == ("PostgreSQL at db.example:5433/prefect", True)
    assert "s3cret" not in repr(found)


def test_what_is_in_redis_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prefect_redis")
    monkeypatch.setenv("PREFECT_REDIS_MESSAGING_URL", "redis://:s3cret@redis.example:6379/0")
    found = asked({**ON_POSTGRESQL, **BY_REDIS})
    assert (found.broker, found.docket) == ("Redis at redis.example:6379/0", "Redis at redis.example:6379/1")
    assert found.alone == ()
    assert "s3cret" not in repr(found)


def test_the_host_port_and_number_of_redis_are_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prefect_redis")
    for name, value in (("HOST", "redis.example"), ("PORT", "6380"), ("DB", "2"), ("PASSWORD", "s3cret")):
        monkeypatch.setenv(f"PREFECT_REDIS_MESSAGING_{name}", value)
    assert asked(BY_REDIS).broker == "Redis at redis.example:6380/2"


def test_what_is_named_and_not_installed_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_backing, "find_spec", lambda _module: None)
    with pytest.raises(Unavailable) as refused:
        asked(BY_REDIS)
    assert str(refused.value) == (
        "PREFECT_MESSAGING_BROKER is prefect_redis.messaging, which is not installed: install prefect-signoff[redis]."
    )


def test_a_package_that_is_not_there_at_all_is_not_installed() -> None:
    with pytest.raises(Unavailable, match=r"is no_such_package\.messaging, which is not installed"):
        asked({PREFECT_MESSAGING_BROKER: "no_such_package.messaging"})
