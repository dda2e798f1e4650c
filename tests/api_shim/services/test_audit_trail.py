"""The audit as it is read from the store: in pages, of one moment, and with everything that somebody did to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from api_shim.domain.audit import AuditEvent, AuditHead, EventType, fault
from api_shim.services import audit_trail
from api_shim.services.audit_trail import AuditTrail
from api_shim.store import Store
from approval_gate.errors import Conflict
from tests.factories import NOW


def record(store: Store, *names: str) -> None:
    for name in names:
        with store.transaction() as tx:
            tx.record(AuditEvent(at=NOW, act=EventType.REQUESTED, name=name))


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_trail, "PAGE", 2)


def tamper(url: str, statement: str) -> None:
    """Change the audit as only who administers the database can."""
    engine = create_engine(url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE audit_events DISABLE TRIGGER USER"))
        else:
            names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
            for name in names:
                connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text(statement))
    engine.dispose()


# Reading


def test_an_audit_of_nothing_is_empty_and_whole(store: Store) -> None:
    trail = AuditTrail(store)
    assert (trail.newest(50), list(trail.events()), trail.verify().count) == ([], [], 0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_event_is_read_once_and_in_order_however_they_fill_the_pages(sqlite_store: Store, count: int) -> None:
    names = list("abcde"[:count])
    record(sqlite_store, *names)
    trail = AuditTrail(sqlite_store)
    assert [event.name for event in trail.events()] == names
    assert trail.verify().count == count


@pytest.mark.parametrize(
    ("limit", "names"),
    [
        pytest.param(1, "c", id="the last"),
        pytest.param(2, "cb", id="a part"),
        pytest.param(3, "cba", id="all"),
        pytest.param(50, "cba", id="more than there are"),
    ],
)
def test_the_newest_come_first(store: Store, limit: int, names: str) -> None:
    record(store, "a", "b", "c")
    assert "".join(event.name for event in AuditTrail(store).newest(limit)) == names


@pytest.mark.each_database
def test_what_is_recorded_while_somebody_reads_is_read_too_and_waits_for_nobody(store: Store) -> None:
    record(store, "a", "b", "c")
    events = AuditTrail(store).events()
    assert next(events).name == "a"
    record(store, "d")
    assert [event.name for event in events] == ["b", "c", "d"]


# Checking


def test_what_is_recorded_during_a_check_is_no_fault(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record(store, "a", "b", "c")

    def slow(events: Iterable[AuditEvent], head: AuditHead) -> str:
        record(store, "d", "e")
        return fault(events, head)

    monkeypatch.setattr(audit_trail, "fault", slow)
    assert AuditTrail(store).verify().count == 3
    assert len(AuditTrail(store).newest(50)) == 5


COPY = "SELECT {}, at, act, actor, name, data, previous_hash, hash FROM audit_events WHERE number = 1"
INSERT = f"INSERT INTO audit_events (number, at, act, actor, name, data, previous_hash, hash) {COPY}"
LAST = "The last event is not what was recorded."


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        pytest.param("UPDATE audit_events SET actor = 'mallory' WHERE number = 3", "Event 3 is not", id="a name"),
        pytest.param("UPDATE audit_events SET data = '[]' WHERE number = 1", "Event 1 is not", id="data"),
        pytest.param("DELETE FROM audit_events WHERE number = 1", "Event 1 is missing", id="the first is gone"),
        pytest.param("DELETE FROM audit_events WHERE number = 4", "Event 4 is missing", id="one is gone"),
        pytest.param("DELETE FROM audit_events WHERE number = 5", "Event 5 is missing", id="the last is gone"),
        pytest.param("DELETE FROM audit_events", "Event 1 is missing", id="all are gone"),
        pytest.param(INSERT.format(6), "Event 6 is not", id="one that was put after the last"),
        pytest.param(INSERT.format(8), "Event 6 is missing", id="one that was put far after the last"),
        pytest.param(INSERT.format(0), "Event 1 is missing", id="one that was put before the first"),
        pytest.param(INSERT.format(-7), "Event 1 is missing", id="one that was put far before the first"),
        pytest.param("UPDATE audit_heads SET number = 0", LAST, id="the head was set back"),
        pytest.param(
            "DELETE FROM audit_heads",
            "The audit has no head: its last number and hash are missing.",
            id="the head is gone",
        ),
        pytest.param(
            "UPDATE audit_events SET act = 'x' WHERE number = 4",
            "Event 4 is not what was recorded.",
            id="an act that there is not",
        ),
    ],
)
@pytest.mark.each_database
def test_what_somebody_did_to_it_is_told(store: Store, store_url: str, statement: str, sentence: str) -> None:
    record(store, *"abcde")
    assert AuditTrail(store).verify().count == 5
    tamper(store_url, statement)
    with pytest.raises(Conflict) as refused:
        AuditTrail(store).verify()
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("broken", ["at = 'x'", "at = 5", "data = '{'", "actor_id = 'x'"])
def test_an_event_that_cannot_be_read_is_told_wherever_it_is_read(
    sqlite_store: Store, tmp_path: Path, broken: str
) -> None:
    # SQLite keeps anything in any column.
    record(sqlite_store, "a")
    tamper(f"sqlite:///{tmp_path / 'store.db'}", f"UPDATE audit_events SET {broken}")
    trail = AuditTrail(sqlite_store)
    for read in (trail.verify, lambda: list(trail.events()), lambda: trail.newest(1)):
        with pytest.raises(Conflict, match=r"One of the .*events.* cannot be read, so it is not"):
            read()


def test_the_number_that_prefect_has_been_told_is_no_part_of_the_check(store: Store) -> None:
    record(store, "a", "b")
    with store.transaction() as tx:
        tx.change(tx.audit_head(lock=True), announced=2)
    record(store, "c")
    assert AuditTrail(store).verify().count == 3
    with store.transaction(write=False) as tx:
        head = tx.audit_head()
    assert head == replace(head, number=3, announced=2)
