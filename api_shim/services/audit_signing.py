"""Opens the store of a home folder with what proves its audit, and decides where an audit begins to be signed.

* An audit that was never signed is signed once, when its store is opened: by a key that is made then, unless a setting
  names one. What had been recorded before is vouched for from then on, and an event tells from which number.
* From then on a head without a signature is a forgery: the home folder keeps the last head.
* Nothing else is ever signed but by whom the audit names: ``accept`` goes on after a restored backup or a lost key.
"""

from __future__ import annotations

from datetime import datetime

from api_shim.domain.audit import AuditEvent, Author, EventType
from api_shim.domain.audit_key import AuditKey
from api_shim.settings import Settings, Upgrade
from api_shim.store import InputsKey, Seal, Store, Transaction
from approval_gate.errors import Conflict, Unavailable

NO_TABLES = (
    "The database has no tables of signoff yet; the first start of a server, or `signoff db upgrade`, makes them."
)
NOTHING_TO_ACCEPT = "The end of the audit is signed, and is where it should be: there is nothing to accept."


def open_store(settings: Settings, now: datetime, *, make: bool = True) -> Store:
    """Open the store of a home folder, with this version's tables, able to sign and encrypt; the caller closes it.

    Args:
        settings: where it and the key are.
        now: when.
        make: make its tables where there are none.

    Raises:
        Unavailable: the database or the key cannot be used, or there are no tables, and none are to be made.
    """
    store = _store(settings, make=make)
    try:
        _upgrade(settings, store)
        unsigned = _is_unsigned(store) and not settings.audit_head_file.exists()
        secret = settings.audit_key(make=unsigned)
        store.seal = Seal(AuditKey(secret), settings.audit_head_file)
        store.inputs_key = InputsKey(secret)
        if unsigned:
            _begin(store, store.seal, now)
    except BaseException:
        store.close()
        raise
    return store


def _store(settings: Settings, *, make: bool) -> Store:
    """Open the store as it is, of which there have to be tables unless they are to be made."""
    store = Store(settings.store_url, make=make, timeout=settings.store_timeout)
    if not make and not store.revision():
        store.close()
        raise Unavailable(NO_TABLES)
    return store


def _upgrade(settings: Settings, store: Store) -> None:
    """Upgrade the tables of an earlier version, where that is not left to `signoff db upgrade`."""
    if settings.db_upgrade is Upgrade.AUTO:
        store.migrate()
    else:
        store.check_revision()


def _is_unsigned(store: Store) -> bool:
    with store.transaction(write=False) as tx:
        try:
            return tx.audit_head().signature == ""
        except LookupError:
            return False


def _begin(store: Store, seal: Seal, now: datetime) -> None:
    with store.transaction() as tx:
        if tx.audit_head(lock=True).signature:
            # Somebody else was faster.
            return
        if tx.sign_audit().number:
            tx.record(AuditEvent(at=now, act=EventType.AUDIT_SIGNED, name="audit", data={"key": seal.key.public}))
    keep_head(store, seal)


def keep_head(store: Store, seal: Seal) -> None:
    """Keep the end of the audit outside the database."""
    with store.transaction(write=False) as tx:
        seal.keep(tx.audit_head())


def check_end(store: Store) -> None:
    """Check that the audit ends with a head that the store's key has signed, and not before the one that was kept.

    Raises:
        Unavailable: it does not; the sentence says why, for whoever administers the server.
    """
    if store.seal is None:
        raise Unavailable("The audit cannot be checked without its key.")
    with store.transaction(write=False) as tx:
        wrong = store.seal.fault(tx)
    if wrong:
        raise Unavailable(
            f"{wrong} If that is meant, as after a restored backup or a lost key, `signoff audit accept` records it."
        )


def accept(settings: Settings, who: Author, now: datetime) -> str:
    """Go on with the audit as it is, with a new key if there is none, and return what was wrong with its end.

    Args:
        settings: where the store and the key are.
        who: the event names them.
        now: when.

    Raises:
        Conflict: nothing is wrong with its end, or there is none.
        Unavailable: the database or the key cannot be used.
    """
    store = _store(settings, make=False)
    try:
        _upgrade(settings, store)
        seal = store.seal = Seal(AuditKey(settings.audit_key(make=True)), settings.audit_head_file)
        with store.transaction() as tx:
            wrong = seal.fault(tx)
            _accept(tx, wrong, seal, who, now)
        keep_head(store, seal)
    finally:
        store.close()
    return wrong


def _accept(tx: Transaction, wrong: str, seal: Seal, who: Author, now: datetime) -> None:
    if not wrong:
        raise Conflict(NOTHING_TO_ACCEPT)
    try:
        tx.sign_audit()
    except LookupError as error:
        raise Conflict(str(error)) from error
    data = {"reason": wrong, "key": seal.key.public}
    tx.record(
        AuditEvent(at=now, act=EventType.AUDIT_ACCEPTED, actor_id=who.id, actor=who.username, name="audit", data=data)
    )
