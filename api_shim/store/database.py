"""Opens the database and its transactions, and brings its tables up to date (``schema``).

* SQLite runs in WAL mode with full synchronisation: what was committed survives the power cut too. Its files are
  for their owner alone.
* An SQLite file that is removed or replaced while it is open is noticed by the next transaction: what was written to it
  then would be lost.
* A transaction that only reads sees one moment.
* A transaction that writes begins as a writer, so two of them never deadlock half-way. On SQLite, which has one
  writer, those of a process wait for their turn without a connection: SQLite itself would have each of them look again
  ever more rarely, and their connections would be missing to those who read.
* A statement that takes too long, or waits too long for somebody else's, is given up; so is a database that is silent.
* What a database refuses is translated here by its code; what is left is a fault of ours and stays as it is.
* No value that is stored enters a message, and so a log; nor does a password of the database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from uuid import UUID

import anyio.to_thread
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError, SQLAlchemyError, TimeoutError

from api_shim.domain.query import found_in
from api_shim.settings import STORE_TIMEOUT
from api_shim.store import schema
from api_shim.store.locks import ServerLocks
from api_shim.store.notices import Notices
from api_shim.store.postgresql import UNREACHABLE, is_postgresql, patience
from api_shim.store.seal import Seal
from api_shim.store.sealed_inputs import NO_KEY, InputsKey
from api_shim.store.sql_filters import FOUND
from api_shim.store.transaction import Transaction
from approval_gate.errors import GateError, Invalid, Unavailable

T = TypeVar("T")

SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
SQLITE_REWRITES = ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
OWNER_FILE = 0o600
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""The databases, by the names that people give them, with the driver that we use."""

KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "postgres": "PostgreSQL", "redis": "Redis", "rediss": "Redis"}
"""What people call what is reached by an address."""

UNIQUE = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
OUR_FAULT = {"SQLITE_ERROR"}
"""SQLite's code for statements that it does not understand; the driver calls them operational errors too."""
FILE_GONE = "The file of the store has been removed or replaced. The server has to be restarted."
DAMAGED = {"SQLITE_NOTADB", "SQLITE_CORRUPT"}


class Duplicate(GateError):
    """A unique name is already in use."""


class Store:
    """The database.

    Args:
        url: where it is, as SQLAlchemy writes it: ``sqlite:///…`` or ``postgresql://…``.
        make: make the file of an SQLite database that is not there.
        timeout: how many seconds a statement may take on PostgreSQL, and one writer wait for another.

    Attributes:
        seal: what proves the audit from outside the database. Without it only an audit that has never been signed can
            be written.
        inputs_key: what sensitive inputs are encrypted with. Without it none can be written, or read, nor
            fingerprints be made.
        locks: what other servers of the same database are kept from doing at the same time.
        notices: what those and this one tell each other; None where there can be no others.

        ``services.audit_signing.open_store`` gives the seal and the key to every store of a home folder.

    Raises:
        Unavailable: there can be no store; the sentence has no password.
    """

    def __init__(self, url: str, *, make: bool = True, timeout: float = STORE_TIMEOUT) -> None:
        self.seal: Seal | None = None
        self.inputs_key: InputsKey | None = None
        self._engine = _open(url, make=make, timeout=timeout)
        self._file = _Opened.of(self._engine.url)
        self._timeout = timeout
        self._write_turn = Lock() if self._file is not None else None
        self.locks = ServerLocks(self._engine)
        self.notices = Notices(self._engine) if is_postgresql(self._engine) else None

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Transaction]:
        """Open a transaction: committed when the block ends, rolled back when it raises.

        Args:
            write: whether it will write; one that only reads never waits for a writer.

        Yields:
            the transaction.

        Raises:
            Duplicate: a unique name was taken, perhaps by somebody else at the same moment.
            Invalid: a value that no column can have.
            Unavailable: the database cannot be reached or stayed locked, or its file is gone.
        """
        self._check_file()
        try:
            with self._turn(write), self._engine.connect() as connection:
                if not write and is_postgresql(self._engine):
                    # All that is read is of one moment, as it always is on SQLite.
                    connection.execution_options(isolation_level="REPEATABLE READ")
                connection.execution_options(signoff_write=write)
                with connection.begin():
                    tx = Transaction(connection, self.seal.key if self.seal else None, self.inputs_key, self.notices)
                    yield tx
                    tx.close()
                    self._check_file()
            tx.committed()
        except SQLAlchemyError as error:
            refusal = _meaning(error)
            if refusal is None:
                raise
            raise refusal from error

    @contextmanager
    def _turn(self, write: bool) -> Iterator[None]:
        """Be the one who writes in this process, where only one can."""
        if not write or self._write_turn is None:
            yield
            return
        if not self._write_turn.acquire(timeout=self._timeout):
            raise Unavailable(UNREACHABLE)
        try:
            yield
        finally:
            self._write_turn.release()

    async def read(self, ask: Callable[[Transaction], T]) -> T:
        """Ask within a transaction of its own, off the event loop."""
        return await anyio.to_thread.run_sync(self._transact, ask, False)

    async def write(self, tell: Callable[[Transaction], T]) -> T:
        """Write within a transaction of its own, off the event loop."""
        return await anyio.to_thread.run_sync(self._transact, tell, True)

    def _transact(self, work: Callable[[Transaction], T], write: bool) -> T:
        with self.transaction(write=write) as tx:
            return work(tx)

    def _check_file(self) -> None:
        if self._file is not None and not self._file.is_there():
            raise Unavailable(FILE_GONE)

    def migrate(self, to: str = "head", tell: Callable[[str], None] = lambda _: None) -> None:
        """Create or upgrade the tables; safe to call at every start, and by several at once.

        Args:
            to: the revision to upgrade to.
            tell: is called with each revision that was reached.

        Raises:
            Unavailable: the database cannot be used; the sentence says why, for whoever administers it.
        """
        with _usable(), self._engine.begin() as connection:
            schema.upgrade(connection, to, tell)

    def take_back(self, to: str, tell: Callable[[str], None] = lambda _: None) -> None:
        """Take the tables back to an earlier revision, with what was only in the later ones.

        Args:
            to: the revision; ``base`` for no tables at all.
            tell: is called with each revision that was taken back.

        Raises:
            Unavailable: the database cannot be used, or is of a later version.
        """
        with _usable(), self._engine.begin() as connection:
            schema.downgrade(connection, to, tell)

    def revision(self) -> str:
        """Return the revision that the tables are at; empty where there are none.

        Raises:
            Unavailable: the database cannot be used.
        """
        with self._looking() as connection:
            return schema.found_at(connection)

    def check_revision(self) -> None:
        """Check that the tables are those that this version needs.

        Raises:
            Unavailable: they are not, or the database cannot be used.
        """
        with self._looking() as connection:
            found, needed = schema.check_known(connection), schema.revisions()[-1].number
        if found != needed:
            raise Unavailable(
                f"The store is at revision {found or '0'}, and this version of signoff needs {needed}: "
                "`signoff db upgrade` brings it there."
            )

    @contextmanager
    def _looking(self) -> Iterator[Connection]:
        """Open a connection that waits for no writer."""
        with _usable(), self._engine.connect() as connection:
            yield connection.execution_options(signoff_write=False)

    def rewrite(self) -> None:
        """Write the files of an SQLite database anew, without what has been removed from it or written over.

        Raises:
            Unavailable: the database is in use, or is PostgreSQL, whose administrator decides about that.
        """
        if self._file is None:
            raise Unavailable("`VACUUM FULL job_results` writes the table anew.")
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            for statement in SQLITE_REWRITES:
                cursor.execute(statement)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"The store cannot be written anew: {error}.") from error
        finally:
            connection.close()

    def fingerprint(self, text: str) -> str:
        """Return what a text is recognised by, and cannot be guessed from without the key.

        Raises:
            Unavailable: there is no key.
        """
        return self._key().fingerprint(text)

    def seal_secret(self, session_id: UUID, text: str) -> str:
        """Return a secret of a session as the database keeps it.

        Raises:
            Unavailable: there is no key.
        """
        return self._key().seal_text(session_id, text)

    def open_secret(self, session_id: UUID, text: str) -> str:
        """Return a secret of a session in clear.

        Raises:
            Unavailable: there is no key, or another one has encrypted it.
        """
        return self._key().open_text(session_id, text)

    def _key(self) -> InputsKey:
        if self.inputs_key is None:
            raise Unavailable(NO_KEY)
        return self.inputs_key

    def close(self) -> None:
        """Close every connection; what is locked is free then."""
        self.locks.close()
        self._engine.dispose()


@dataclass(frozen=True, slots=True)
class _Opened:
    """The file of a database, as it was opened.

    Args:
        path: where it was.
        identity: the device and the number of the file on it.
    """

    path: Path
    identity: tuple[int, int] | None

    @classmethod
    def of(cls, address: URL) -> _Opened | None:
        """Return the file of an SQLite database; None for other databases."""
        if address.get_backend_name() != "sqlite" or not address.database:
            return None
        path = Path(address.database)
        return cls(path, _identity(path))

    def is_there(self) -> bool:
        """Say whether the same file is still where it was."""
        return self.identity is not None and _identity(self.path) == self.identity


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _usable() -> Iterator[None]:
    """Say of whatever keeps a database from being used why, for whoever administers it."""
    try:
        yield
    except CommandError as error:
        raise Unavailable(f"The store is not of this version of signoff: {error}.") from error
    except DBAPIError as error:
        # What has no code never came as far as a database.
        if _code(error) and not isinstance(_meaning(error), Unavailable):
            raise
        raise Unavailable(f"The store cannot be used: {_first_line(error)}.") from error


def _meaning(error: SQLAlchemyError) -> GateError | None:
    """Return what an error of the database means to whoever asked; None for a fault of ours."""
    code = _code(error)
    if code in UNIQUE:
        return Duplicate("This name is already in use.")
    if isinstance(error, DataError):
        return Invalid("The store cannot keep one of these values, or compare with it.")
    if code in DAMAGED or (isinstance(error, OperationalError | TimeoutError) and code not in OUR_FAULT):
        return Unavailable(UNREACHABLE)
    return None


def _code(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else None
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", ""))


def _first_line(error: DBAPIError) -> str:
    return next(iter(str(error.orig).strip().splitlines()), type(error.orig).__name__).rstrip(".")


def _open(url: str, *, make: bool, timeout: float) -> Engine:
    address = _read(url)
    if address.drivername != "sqlite":
        engine = _create(address, pool_pre_ping=True, pool_timeout=timeout, connect_args=patience(address))
        event.listen(engine, "connect", partial(_prepare_postgresql, timeout))
        return engine
    _find_file(address, make=make)
    engine = _create(address, connect_args={"timeout": timeout})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _read(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        # Without the cause, which may repeat the password.
        raise Unavailable("The address of the store cannot be read; write sqlite:///… or postgresql://….") from None
    name = address.get_backend_name()
    if name not in DRIVERS:
        raise Unavailable(f"The store can be in SQLite or PostgreSQL, but not in {name}.")
    if "@" in (address.host or ""):
        raise Unavailable("The address of the store has more than one @; in a password it is written as %40.")
    return address.set(drivername=DRIVERS[name])


def place_of(url: str) -> str:
    """Return where a database, or Redis, is, to be shown to people: the kind, host, port and name, and nothing else.

    Args:
        url: its address, which may have a password anywhere.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return "an address that cannot be read"
    kind = address.get_backend_name()
    if kind == "sqlite":
        return KINDS[kind]
    host = f"[{address.host}]" if ":" in (address.host or "") else address.host or "this machine"
    # More than one @: part of a password would pass for the host.
    if "@" in host:
        return KINDS.get(kind, kind)
    port, name = f":{address.port}" if address.port else "", f"/{address.database}" if address.database else ""
    return f"{KINDS.get(kind, kind)} at {host}{port}{name}"


def _create(address: URL, **options: Any) -> Engine:
    try:
        return create_engine(address, hide_parameters=True, **options)
    except ImportError as error:
        raise Unavailable("For PostgreSQL install prefect-signoff[postgresql].") from error


def _find_file(address: URL, *, make: bool) -> None:
    if not address.database or address.database == ":memory:":
        raise Unavailable("The store must be in a file: sqlite:////folder/signoff.db.")
    try:
        if not Path(address.database).exists():
            if not make:
                raise Unavailable(f"There is no store {address.database} yet.")
            # The files that SQLite lays beside it are made like it.
            Path(address.database).touch(mode=OWNER_FILE)
    except OSError as error:
        raise Unavailable(f"The store {address.database} cannot be used: {error.strerror}.") from error


def _prepare_postgresql(timeout: float, connection: Any, _record: Any) -> None:
    # In other zones the last moments of the calendar cannot be read.
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{round(timeout * 1000)}ms"])
    connection.commit()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: it would begin them as readers.
    connection.isolation_level = None
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function(FOUND, 3, _found, deterministic=True)


def _found(pattern: str, text: str | None, ignore_case: int) -> bool | None:
    return None if text is None else found_in(pattern, text, ignore_case=bool(ignore_case))


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("signoff_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
