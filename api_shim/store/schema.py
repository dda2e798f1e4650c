"""The schema of the database: the revision that it is at, and how it comes to another one.

* A database of an earlier version is upgraded, by one server or command at a time: each revision, or none of them.
* One of a later version is not touched. Who is running already when it becomes that does not ask again: migrations only
  add (``migrations/README.md``).
* What a downgrade would lose is known before it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, text

from api_shim.store.locks import Duty
from approval_gate.errors import Invalid, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of the schema.

    Args:
        number: its name, as ``0001``.
        title: what it is about, in a sentence.
        lost: what is lost when it is taken back, as a phrase; empty for nothing.
        not_additive: why a server of the version before cannot go on with it; empty where it can.
    """

    number: str
    title: str
    lost: str
    not_additive: str


def _config() -> Config:
    config = Config()
    # A percent sign in it is no placeholder.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@cache
def revisions() -> Sequence[Revision]:
    """Return all revisions that this version knows, the first one first; the last is what it needs."""
    found = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(_revision(script) for script in reversed([*found]))


def _revision(script: Script) -> Revision:
    told = script.module
    return Revision(script.revision, " ".join(script.doc.split()), told.lost, getattr(told, "not_additive", ""))


def found_at(connection: Connection) -> str:
    """Return the revision that a database is at; empty if it has no tables."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def check_known(connection: Connection) -> str:
    """Return the revision that a database is at, if this version knows it.

    Raises:
        Unavailable: it does not.
    """
    found, known = found_at(connection), [each.number for each in revisions()]
    if found and found not in known:
        raise Unavailable(
            f"The store is not of this version of signoff: it is at revision {found}, and this version knows those up "
            f"to {known[-1]}. Install the version that upgraded it; its `signoff db downgrade {known[-1]}` takes that "
            "back."
        )
    return found


def upgrade(connection: Connection, to: str, tell: Callable[[str], None]) -> None:
    """Bring the database to a revision that is later than its own; all that is there is kept.

    Args:
        connection: the database, in a transaction.
        to: the revision; ``head`` for the last one.
        tell: is called with each revision that was reached.

    Raises:
        Unavailable: the database is of a later version.
    """
    _run(command.upgrade, connection, to, tell)


def downgrade(connection: Connection, to: str, tell: Callable[[str], None]) -> None:
    """Take the database back to a revision that is earlier than its own.

    Args:
        connection: the database, in a transaction.
        to: the revision; ``base`` for no tables at all.
        tell: is called with each revision that was taken back.

    Raises:
        Unavailable: the database is of a later version.
    """
    _run(command.downgrade, connection, to, tell)


def _run(go: Callable[[Config, str], None], connection: Connection, to: str, tell: Callable[[str], None]) -> None:
    if connection.dialect.name == "postgresql":
        # A large table may take long, and another server that does the same already.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": Duty.MIGRATE})
    check_known(connection)
    config = _config()
    attributes: dict[str, Any] = {"connection": connection, "tell": tell}
    config.attributes |= attributes
    go(config, to)


def taken_back(found: str, to: str) -> Sequence[Revision]:
    """Return the revisions that a downgrade takes back, the last one first.

    Args:
        found: the revision that the database is at.
        to: the one to go back to, or how many steps as ``-1``.

    Raises:
        Invalid: there is no such revision before this one.
    """
    known = revisions()
    numbers = [each.number for each in known]
    at = numbers.index(found) if found in numbers else -1
    target = numbers.index(to) if to in numbers else -1
    if to.startswith("-") and to[1:].isdecimal():
        target = at + int(to)
    if not 0 <= target < at:
        earlier = f"from {numbers[0]} to {numbers[at - 1]}" if at > 0 else "none"
        raise Invalid(f"{to!r} is no revision before {found or 'the first'}: those are {earlier}.")
    return known[at:target:-1]
