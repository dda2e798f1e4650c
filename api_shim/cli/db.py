"""``signoff db``: at which revision the database is, and how it gets to another one.

* ``check`` changes nothing, and makes nothing that is not there.
* ``downgrade`` says what is lost, and asks. A server that runs with the home folder keeps it from beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from api_shim.cli.console import AsJson, Home, agreed, say, show
from api_shim.cli.up import locked
from api_shim.settings import private_files, read_settings
from api_shim.store import Store, revisions, taken_back

app = typer.Typer(no_args_is_help=True, help="Check, upgrade and downgrade the tables of signoff's database.")

COLUMNS = ("database", "needed", "current")
BEHIND = 1
"""The exit status of a check of what is not as it should be."""


@contextmanager
def _there(home: Path | None) -> Iterator[Store]:
    """Open a database that is there, as it is."""
    settings = read_settings(home)
    with closing(Store(settings.store_url, make=False, timeout=settings.store_timeout)) as store:
        yield store


@app.command("check")
def check(home: Home = None, as_json: AsJson = False) -> None:
    """Say at which revision the database is, and which one this version needs.

    Exit status: 0 it is the same, 1 it is not.
    """
    with _there(home) as store:
        found = store.revision()
    known = [each.number for each in revisions()]
    needed = known[-1]
    if as_json:
        show([{"database": found, "needed": needed, "current": found == needed}], COLUMNS, as_json=True)
    else:
        say(_standing(found, known))
    raise typer.Exit(0 if found == needed else BEHIND)


def _standing(found: str, known: list[str]) -> str:
    if found == known[-1]:
        return f"The database is at revision {found}, which this version needs."
    if not found:
        return f"The database has no tables yet; this version needs revision {known[-1]}."
    if found in known:
        return f"The database is at revision {found}, and this version needs {known[-1]}: signoff db upgrade"
    return f"The database is at revision {found}, which this version does not know; it needs {known[-1]}."


@app.command("upgrade")
def upgrade(home: Home = None) -> None:
    """Bring the database to the revision that this version needs, also while servers of the version before run.

    Where there is none, it makes one, and its home. Servers upgrade by themselves, and so do commands, unless
    SIGNOFF_DB_UPGRADE is manual.
    """
    settings = read_settings(home)
    settings.make_home()
    with private_files(), closing(Store(settings.store_url, timeout=settings.store_timeout)) as store:
        store.migrate(tell=_telling("Upgraded to"))
        say(f"The database is at revision {store.revision()}.")


@app.command("downgrade", context_settings={"ignore_unknown_options": True})
def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to go back to, or -1 for the one before.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
) -> None:
    """Take the database back to an earlier revision, for an earlier version of signoff. Stop all servers before.

    Example: signoff db downgrade -1
    """
    with _there(home) as store, locked(read_settings(home).make_home()):
        steps = taken_back(store.revision(), revision)
        for step in steps:
            say(f"{step.number}  {step.title}{f' This loses {step.lost}.' if step.lost else ''}")
        agreed(f"Take back {len(steps)} revision(s) of the database?", yes=yes)
        known = [each.number for each in revisions()]
        store.take_back(known[known.index(steps[-1].number) - 1], _telling("Took back"))
        say(f"The database is at revision {store.revision()}.")


def _telling(what: str) -> Callable[[str], None]:
    titles = {each.number: each.title for each in revisions()}

    def tell(number: str) -> None:
        say(f"{what} {number}: {titles[number]}")

    return tell
