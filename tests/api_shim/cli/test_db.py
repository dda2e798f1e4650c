"""``signoff db``, as it is typed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from api_shim.cli.up import locked
from api_shim.store import Store, revisions
from tests.api_shim.cli.conftest import Run

NUMBERS = [each.number for each in revisions()]
LAST, BEFORE = NUMBERS[-1], NUMBERS[-2]


def revision_of(home: Path) -> str:
    with closing(Store(f"sqlite:///{home / 'signoff.db'}")) as store:
        return store.revision()


def test_where_nothing_is_nothing_is_made(signoff: Run, home: Path) -> None:
    assert signoff("db", "check").refusal == f"There is no store {home / 'signoff.db'} yet."
    assert not home.exists()


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("at", "status", "said"),
    [
        pytest.param(LAST, 0, f"The database is at revision {LAST}, which this version needs.\n", id="current"),
        pytest.param(
            BEFORE,
            1,
            f"The database is at revision {BEFORE}, and this version needs {LAST}: signoff db upgrade\n",
            id="earlier",
        ),
        pytest.param(
            "9999",
            1,
            f"The database is at revision 9999, which this version does not know; it needs {LAST}.\n",
            id="later",
        ),
    ],
)
def test_it_is_said_where_the_database_stands(signoff: Run, home: Path, at: str, status: int, said: str) -> None:
    with closing(sqlite3.connect(home / "signoff.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [at])
    printed = signoff("db", "check")
    assert (printed.status, printed.out, printed.err) == (status, said, "")
    [told] = signoff("db", "check", "--json").json
    assert told == {"database": at, "needed": LAST, "current": status == 0}


def test_an_empty_database_is_upgraded_and_each_step_told(signoff: Run, home: Path) -> None:
    lines = signoff("db", "upgrade").out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"Upgraded to {number}" for number in NUMBERS]
    assert lines[-1] == f"The database is at revision {LAST}."
    assert revision_of(home) == LAST


@pytest.mark.usefixtures("tables")
def test_a_downgrade_tells_what_is_lost_and_needs_a_yes(signoff: Run, home: Path) -> None:
    asked = signoff("db", "downgrade", "0010")
    assert (asked.status, asked.err) == (1, "error: There is no terminal to ask at; use --yes to agree.\n")
    assert "0011  What a token is for" in asked.out
    assert "This loses what tokens are for, and when and from where they were used." in asked.out
    assert revision_of(home) == LAST
    done = signoff("db", "downgrade", "-1", "--yes")
    assert (done.status, done.out.splitlines()[-1]) == (0, f"The database is at revision {BEFORE}.")
    assert signoff("db", "upgrade").out.splitlines()[-1] == f"The database is at revision {LAST}."


@pytest.mark.usefixtures("tables")
def test_a_downgrade_does_not_begin_under_a_running_server(signoff: Run, home: Path) -> None:
    with locked(home):
        assert "already running" in signoff("db", "downgrade", "-1", "--yes").refusal
    assert revision_of(home) == LAST


@pytest.mark.usefixtures("tables")
def test_where_upgrades_are_manual_nothing_else_makes_them(
    signoff: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_DB_UPGRADE", "manual")
    signoff("db", "downgrade", "-1", "--yes")
    sentence = f"The store is at revision {BEFORE}, and this version of signoff needs {LAST}: "
    for words in (("user", "list"), ("audit", "accept")):
        assert signoff(*words).refusal.startswith(sentence)
    assert revision_of(home) == BEFORE
    signoff("db", "upgrade")
    assert signoff("user", "list").status == 0


@pytest.mark.usefixtures("tables")
def test_a_setting_that_cannot_be_is_one_sentence(signoff: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_DB_UPGRADE", "sometimes")
    said = "SIGNOFF_DB_UPGRADE: Input should be 'auto' or 'manual'."
    assert signoff("user", "list").refusal == said
