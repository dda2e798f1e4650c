"""The head of the audit, outside the database: in the home's file and at Prefect, once a minute if it has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from api_shim.domain.audit import AuditEvent, AuditHead, EventType
from api_shim.domain.audit_key import AuditKey
from api_shim.reconcile.audit_heads import AuditHeads
from api_shim.store import Store
from tests.conftest import Clock
from tests.databases import sqlite_with_tables, store_of
from tests.factories import NOW
from tests.fakes import FakeEngine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    sqlite_with_tables(tmp_path / "signoff.db")
    with closing(store_of(tmp_path)) as opened:
        yield opened


@pytest.fixture
def engine(clock: Clock) -> FakeEngine:
    return FakeEngine(clock=clock)


@pytest.fixture
def heads(store: Store, engine: FakeEngine) -> AuditHeads:
    return AuditHeads(store, engine)


def record(store: Store, name: str) -> AuditHead:
    with store.transaction() as tx:
        tx.record(AuditEvent(at=NOW, act=EventType.REQUESTED, name=name))
    with store.transaction(write=False) as tx:
        return tx.audit_head()


def tell(heads: AuditHeads, clock: Clock, *, after: float) -> None:
    clock.forward(seconds=after)
    asyncio.run(heads.tell(clock()))


def told(engine: FakeEngine) -> list[object]:
    return [each.payload.get("number") for each in engine.announced.values()]


def test_an_audit_of_nothing_has_no_head_to_tell(heads: AuditHeads, engine: FakeEngine, clock: Clock) -> None:
    tell(heads, clock, after=0)
    assert told(engine) == []


def test_a_head_is_kept_and_told_with_what_verifies_it(
    store: Store, heads: AuditHeads, engine: FakeEngine, clock: Clock
) -> None:
    head = record(store, "a")
    tell(heads, clock, after=0)
    [it] = engine.announced.values()
    assert (it.event, it.resource) == ("signoff.audit.head", ("signoff.audit", "audit"))
    seal = store.seal
    assert seal is not None
    assert seal.key.has_signed(AuditHead(**it.payload))
    assert seal.kept() == AuditHead(**it.payload) == replace(head, announced=0)


def test_it_is_told_once_a_minute_if_it_has_moved(
    store: Store, heads: AuditHeads, engine: FakeEngine, clock: Clock
) -> None:
    record(store, "a")
    for seconds in (0, 30, 30, 60, 60):
        tell(heads, clock, after=seconds)
    record(store, "b")
    record(store, "c")
    tell(heads, clock, after=59)
    assert told(engine) == [1]
    tell(heads, clock, after=1)
    assert told(engine) == [1, 3]


def test_several_servers_and_starts_tell_a_head_as_one_event(store: Store, engine: FakeEngine, clock: Clock) -> None:
    record(store, "a")
    for _ in range(3):
        tell(AuditHeads(store, engine), clock, after=0)
    assert told(engine) == [1]


def test_what_prefect_does_not_take_is_kept_and_told_later(
    store: Store, heads: AuditHeads, engine: FakeEngine, clock: Clock
) -> None:
    record(store, "a")
    engine.fail("announce", after=False, times=1)
    tell(heads, clock, after=0)
    assert store.seal is not None
    kept = store.seal.kept()
    assert (kept.number if kept else 0, told(engine)) == (1, [])
    tell(heads, clock, after=60)
    assert told(engine) == [1]


def test_a_head_that_does_not_follow_the_kept_one_is_told_as_broken_and_replaces_nothing(
    store: Store, heads: AuditHeads, engine: FakeEngine, clock: Clock
) -> None:
    head = record(store, "a")
    tell(heads, clock, after=0)
    assert store.seal is not None
    store.seal.keep(other := replace(head, announced=0, hash="f" * 64))
    tell(heads, clock, after=60)
    assert [each.event for each in engine.announced.values()] == ["signoff.audit.head", "signoff.audit.broken"]
    assert store.seal.kept() == other


def test_an_audit_that_is_not_signed_has_none(sqlite_store: Store, engine: FakeEngine, clock: Clock) -> None:
    record(sqlite_store, "a")
    tell(AuditHeads(sqlite_store, engine), clock, after=0)
    assert told(engine) == []


def test_an_audit_that_is_signed_with_another_key_is_told_as_broken(
    store: Store, engine: FakeEngine, clock: Clock
) -> None:
    head = AuditKey(b"o" * 32).sign(record(store, "a"))
    with store.transaction() as tx:
        tx.change(tx.audit_head(lock=True), key=head.key, signature=head.signature)
    tell(AuditHeads(store, engine), clock, after=0)
    [it] = engine.announced.values()
    assert it.event == "signoff.audit.broken"
    assert "another key" in it.payload["reason"]
