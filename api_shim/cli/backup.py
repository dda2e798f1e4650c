"""``signoff backup``: one file with the databases and keys of a server, made while it runs, and how it is restored.

* What stands in PostgreSQL is backed up by PostgreSQL's own tools; the commands are printed, without passwords.
* A restore needs a home folder that no server runs with.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from api_shim.cli.console import Home, progress, say
from api_shim.cli.up import locked
from api_shim.domain.audit import LocalAdministrator
from api_shim.prefect_api.prefect_server import database_url
from api_shim.services import backups
from api_shim.settings import PrefectServer, private_files, read_settings, system_user, utc_now
from api_shim.store import Store, dump_command, file_of, place_of
from approval_gate.errors import Unavailable

app = typer.Typer(no_args_is_help=True, help="Back up the databases and keys of a server, and restore them.")

HAS_KEYS = "It contains the keys: whoever has it can do anything. Keep it as safe as the server."
KEY_APART = "It does not contain the key of the audit, which SIGNOFF_AUDIT_KEY_FILE keeps elsewhere: back that up too."
LOST = (
    "Nothing that happened after that is known any longer. Users, permissions and tokens are as they were then, "
    "including those that have been removed since. What has been due since then, and may have run, runs when a server "
    "starts."
)

STORE_APART = (
    "It does not contain the store. Restore that with pg_restore, and then, before a server starts, end the sessions "
    "of browsers with DELETE FROM sessions. The audit does not record that restore."
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
    with closing(Store(settings.store_url, make=False, timeout=settings.store_timeout)) as store:
        revision = store.revision()
    installed = {"signoff": version("prefect-signoff"), "prefect": version("prefect"), "revision": revision}
    # What others run they back up.
    prefects = "" if settings.prefect is PrefectServer.EXTERNAL else database_url(settings.home)
    prefect = _prefects_file(prefects, settings.home) if prefects else None
    with private_files(), _ended_as_by_ctrl_c():
        made = backups.create(settings, prefect, file, installed, utc_now(), progress)
    say(f"Wrote {file}: {', '.join(part.name for part in made.parts)}.")
    say(HAS_KEYS)
    if settings.audit_key_file:
        say(KEY_APART)
    _tell_rest({backups.STORE: settings.store_url, backups.PREFECT: prefects}, made)


def _prefects_file(url: str, home: Path) -> Path | None:
    """Return the file of Prefect's database; None if there is none, as PostgreSQL has it or no server has started yet.

    Raises:
        Unavailable: it is where nothing can be backed up.
    """
    file = file_of(url)
    if file is not None and file.exists():
        return file
    if dump_command(url, "prefect") or file == home / backups.PREFECT:
        return None
    raise Unavailable(f"Prefect's database, {file or place_of(url)}, is not there, or cannot be backed up.")


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Have SIGTERM end the command as Ctrl-C does, while this is entered: no copy of the keys is left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_rest(of: Mapping[str, str], made: backups.Manifest) -> None:
    """Say how to back up what is not in a backup, in this order: what the store knows of is in Prefect then."""
    there = {part.name for part in made.parts}
    for name, url in of.items():
        if name not in there and (command := dump_command(url, Path(name).stem)):
            say(f"It does not contain what is in PostgreSQL; back that up with {command}")


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
    prefect, who = file_of(database_url(settings.home)), LocalAdministrator(system_user())
    with private_files(), locked(settings.home), _ended_as_by_ctrl_c():
        done = backups.restore(settings, prefect, file, who, utc_now(), force=force)
    versions = ", ".join(f"{name} {number}" for name, number in done.manifest.versions.items())
    say(f"Restored to {settings.home} what was backed up at {done.manifest.made} ({versions}).")
    if done.replaced:
        say(f"What was there before is in {done.replaced}, with its keys.")
    if not done.has_store:
        say(STORE_APART)
    say(LOST)
