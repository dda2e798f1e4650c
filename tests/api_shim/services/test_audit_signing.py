"""Where an audit begins to be signed, and what its file outside the database makes impossible without the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from api_shim.domain.audit import AuditEvent, AuditHead, EventType, LocalAdministrator
from api_shim.services.audit_signing import NOTHING_TO_ACCEPT, accept, check_end, open_store
from api_shim.services.audit_trail import AuditTrail
from api_shim.settings import Settings
from api_shim.store import Store
from approval_gate.errors import Conflict, Unavailable
from tests.factories import NOW

ROOT = LocalAdministrator("root")


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    return Settings(home=home, database_url=store_url)  # type: ignore[arg-type]  # pydantic makes it a secret


def record(store: Store, *names: str) -> AuditHead:
    """Record events, and return the head."""
    for name in names:
        with store.transaction() as tx:
            tx.record(AuditEvent(at=NOW, act=EventType.REQUESTED, name=name))
    with store.transaction(write=False) as tx:
        return tx.audit_head()


@pytest.fixture
def signed(settings: Settings) -> Iterator[Store]:
    """An audit of three events that has been signed from the first."""
    with closing(open_store(settings, NOW)) as store:
        record(store, *"abc")
        yield store


def execute(settings: Settings, *statements: str) -> None:
    """Do what only who administers the database can."""
    engine = create_engine(settings.store_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER IF EXISTS audit_events_no_delete"))
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def set_head(settings: Settings, head: AuditHead) -> None:
    said = ", ".join(f"{name} = '{getattr(head, name)}'" for name in ("number", "hash", "key", "signature"))
    execute(settings, f"DELETE FROM audit_events WHERE number > {head.number}", f"UPDATE audit_heads SET {said}")


# The beginning


def test_a_new_audit_is_signed_from_its_first_event(signed: Store) -> None:
    found = AuditTrail(signed).verify()
    assert (found.count, found.signed_from, found.accepted) == (3, 1, [])
    assert signed.seal is not None
    assert found.key == signed.seal.key.public


def test_an_audit_of_before_is_signed_when_it_is_opened_and_says_from_where(settings: Settings) -> None:
    with closing(Store(settings.store_url)) as store:
        record(store, *"abc")
    for _ in range(2):
        with closing(open_store(settings, NOW)) as store:
            found = AuditTrail(store).verify()
            assert (found.count, found.signed_from) == (4, 4)
            check_end(store)


@pytest.mark.each_database
def test_several_can_begin_at_once_with_one_key(settings: Settings) -> None:
    with closing(Store(settings.store_url)) as store:
        record(store, "a")
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(settings, NOW), range(4)))
        list(pool.map(lambda each: record(each, *"bcd"), stores))
    assert AuditTrail(stores[0]).verify().count == 1 + 1 + 4 * 3
    for each in stores:
        each.close()


def test_a_server_elsewhere_needs_the_same_key(settings: Settings, signed: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    elsewhere = settings.model_copy(update={"home": tmp_path / "elsewhere"})
    with pytest.raises(Unavailable, match="is not there"):
        open_store(elsewhere, NOW)
    assert list(elsewhere.home.iterdir()) == []
    (elsewhere.home / "audit.key").write_text("ab" * 32)
    (elsewhere.home / "audit.key").chmod(0o600)
    with closing(open_store(elsewhere, NOW)) as store, pytest.raises(Unavailable, match="need the same: copy it"):
        check_end(store)
    shared = elsewhere.model_copy(update={"audit_key_file": settings.home / "audit.key"})
    with closing(open_store(shared, NOW)) as store:
        record(store, "d")
        record(signed, "e")
        assert AuditTrail(store).verify().count == 5


# Without the key


def forged_head(settings: Settings, store: Store, _earlier: AuditHead) -> None:
    head = record(store, "d")
    set_head(settings, replace(head, hash="f" * 64))


def never_signed(settings: Settings, store: Store, _earlier: AuditHead) -> None:
    set_head(settings, replace(record(store), key="", signature=""))


def set_back(settings: Settings, _store: Store, earlier: AuditHead) -> None:
    set_head(settings, earlier)


def branched_off(settings: Settings, store: Store, earlier: AuditHead) -> None:
    set_head(settings, earlier)
    record(store, *"xyz")


def another_key(settings: Settings, store: Store, _earlier: AuditHead) -> None:
    set_head(settings, replace(record(store), key="0" * 64))


Attack = Callable[[Settings, Store, AuditHead], None]
ATTACKS: dict[str, tuple[Attack, str]] = {
    "a head that was made up": (forged_head, "event 4, was never signed"),
    "a head as of before signatures": (never_signed, "is not signed"),
    "a head of earlier, with its signature": (set_back, "set back or rewritten: its event 3"),
    "the same, and more recorded since": (branched_off, "set back or rewritten: its event 3"),
    "a head signed by somebody else": (another_key, "another key"),
}


@pytest.mark.parametrize(("attack", "sentence"), ATTACKS.values(), ids=ATTACKS)
def test_who_has_only_the_database_is_found_and_a_server_does_not_start(
    settings: Settings, attack: Attack, sentence: str
) -> None:
    with closing(open_store(settings, NOW)) as store:
        earlier = record(store, "a")
        head = record(store, "b", "c")
        assert store.seal is not None
        store.seal.keep(head)
        attack(settings, store, earlier)
    with closing(open_store(settings, NOW)) as store:
        with pytest.raises(Unavailable, match=sentence):
            check_end(store)
        with pytest.raises(Conflict):
            AuditTrail(store).verify()


@pytest.mark.parametrize("attack", [forged_head, never_signed, another_key])
def test_nothing_is_recorded_after_a_head_that_the_key_has_not_signed(
    settings: Settings, signed: Store, attack: Attack
) -> None:
    attack(settings, signed, AuditHead())
    with pytest.raises(Unavailable, match="Nothing can be recorded in the audit"):
        record(signed, "x")


def test_a_signed_audit_is_not_written_by_who_cannot_sign(settings: Settings, signed: Store) -> None:
    with closing(Store(settings.store_url)) as store:
        assert len(AuditTrail(store).newest(50)) == 3
        with pytest.raises(Unavailable, match="Nothing can be recorded in the audit"):
            record(store, "x")


# Accepted


def test_what_a_restored_backup_has_lost_is_accepted_by_somebody_and_told(settings: Settings) -> None:
    with closing(open_store(settings, NOW)) as store:
        earlier = record(store, "a")
        head = record(store, "b", "c")
        assert store.seal is not None
        store.seal.keep(head)
    set_head(settings, earlier)
    assert "its event 3 is not the one" in accept(settings, ROOT, NOW)
    with closing(open_store(settings, NOW)) as store:
        check_end(store)
        [event] = AuditTrail(store).verify().accepted
        assert (event.number, event.actor) == (2, "local: root")
    with pytest.raises(Conflict, match=NOTHING_TO_ACCEPT):
        accept(settings, ROOT, NOW)
