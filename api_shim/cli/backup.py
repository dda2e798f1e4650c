"""``signoff backup``: one file with the databases and keys of a server, made while it runs, and how it is restored.

* What stands in PostgreSQL is backed up by PostgreSQL's own tools; the commands are printed, without passwords.
* A restore needs a home folder that no server runs with.
"""

from __future__ import annotations

from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from api_shim.cli.console import Home, progress, say
from api_shim.cli.up import locked
from api_shim.domain.audit import LocalAdministrator
from api_shim.prefect_api.prefect_server import database_url
from api_shim.services import backups
from api_shim.settings import Settings, private_files, read_settings, system_user, utc_now
from api_shim.store import Store, dump_command, file_of

app = typer.Typer(no_args_is_help=True, help="Back up the databases and keys of a server, and restore them.")

HAS_KEYS = "The keys are in it: whoever has it can do everything. Keep it as safe as the server."
KEY_APART = "The key of the audit is not in it, for SIGNOFF_AUDIT_KEY_FILE keeps it apart: back it up, too."
LOST = (
    "What happened after that is not known any more. Users, permissions and tokens are as they were then, also such as "
    "were removed since. What was due since then, and may have run, runs when a server starts."
)


@app.command("create")
def create(
    file: Annotated[Path, typer.Argument(help="A new file, readable by you only.")],
    home: Home = None,
) -> None:
    """Back up a server, also while it runs: its store, Prefect's database, and the keys.

    Example: signoff backup create signoff-2030-01-31.tar.gz
    """
    settings = read_settings(home)
    with closing(Store(settings.store_url, make=False)) as store:
        revision = store.revision()
    installed = {"signoff": version("prefect-signoff"), "prefect": version("prefect"), "revision": revision}
    prefect = file_of(database_url(settings.home))
    prefect = prefect if prefect is not None and prefect.exists() else None
    with private_files():
        made = backups.create(settings, prefect, file, installed, utc_now(), progress)
    say(f"Wrote {file}: {', '.join(part.name for part in made.parts)}.")
    say(HAS_KEYS)
    if settings.audit_key_file:
        say(KEY_APART)
    _tell_rest(settings, made)


def _tell_rest(settings: Settings, made: backups.Manifest) -> None:
    """Say how to back up what is not in a backup, in this order: what the store knows of is in Prefect then."""
    there = {part.name for part in made.parts}
    of = {backups.STORE: settings.store_url, backups.PREFECT: database_url(settings.home)}
    for name, url in of.items():
        if name not in there and (command := dump_command(url, Path(name).stem)):
            say(f"Not in it is what PostgreSQL has; back that up with {command}")


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `signoff backup create` has made.")],
    force: Annotated[
        bool, typer.Option("--force", help="Move what is in the home folder into a folder there, and restore over it.")
    ] = False,
    home: Home = None,
) -> None:
    """Restore a server from a backup, into an empty home folder. Nothing is touched if the backup is not whole.

    What stands in PostgreSQL is restored with pg_restore, before a server is started.

    Example: signoff backup restore signoff-2030-01-31.tar.gz --home /srv/signoff
    """
    settings = read_settings(home)
    settings.make_home()
    with private_files(), locked(settings.home):
        found = backups.restore(settings, file, LocalAdministrator(system_user()), utc_now(), force=force)
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    say(f"Restored to {settings.home} what was backed up at {found.made} ({versions}).")
    say(LOST)
