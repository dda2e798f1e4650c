"""``signoff user``, ``token``, ``group`` and ``permission``: accounts, by whoever administers this machine."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson, Home, opened, say, show
from api_shim.cli.times import local_time
from api_shim.domain.audit import LocalAdministrator
from api_shim.parsing.run_request import read_time
from api_shim.services.account_admin import AccountAdmin, Left
from api_shim.settings import server_zone, system_user, utc_now
from approval_gate.errors import Invalid

users = typer.Typer(no_args_is_help=True, help="Who may sign in.")
tokens = typer.Typer(no_args_is_help=True, help="The keys they sign in with.")
groups = typer.Typer(no_args_is_help=True, help="Users who share permissions.")
permissions = typer.Typer(no_args_is_help=True, help="What they may do.")

Username = Annotated[str, typer.Argument(help="The user's name.")]
GroupName = Annotated[str, typer.Argument(help="The group's name.")]

DURATION = re.compile(r"([0-9]{1,5})([mhdw])")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@contextmanager
def administering(home: Path | None) -> Iterator[AccountAdmin]:
    """Open the store of a home folder to administer its accounts, as the user of this machine who runs the command."""
    with opened(home) as store:
        yield AccountAdmin(store, LocalAdministrator(system_user()))


# Users


@users.command("add")
def add_user(
    username: Username,
    superuser: Annotated[bool, typer.Option("--superuser", help="May do everything.")] = False,
    home: Home = None,
) -> None:
    """Make a user, who may do nothing yet."""
    with administering(home) as admin:
        admin.add_user(username, utc_now(), superuser=superuser)
    say(f"Added {username}. `signoff token add {username}` makes a key to sign in with.")


@users.command("password")
def set_password(username: Username, home: Home = None) -> None:
    """Set the password that a user signs in to the pages with; it ends their sessions."""
    interactive = bool(sys.stdin and sys.stdin.isatty())
    if interactive:
        password = typer.prompt("Password", hide_input=True, err=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline() if sys.stdin else ""
    with administering(home) as admin:
        admin.set_password(username, password.rstrip("\r\n"), utc_now())
    say(f"{username} signs in to the pages with this password now.")


@users.command("remove")
def remove_user(
    username: Username,
    transfer_to: Annotated[
        str | None,
        typer.Option(metavar="USER", help="Who is to own those of their scheduled jobs that this user may run."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what they own, and what would become of it.")
    ] = (False),
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove a user with their tokens; their scheduled jobs stay, and fail when they would next run."""
    with administering(home) as admin:
        left = admin.remove_user(username, utc_now(), heir=transfer_to, dry_run=dry_run)
    if as_json or (dry_run and left):
        show(map(_left, left), ("name", "interval", "enabled", "new_owner", "why_not"), as_json=as_json)
    if not as_json:
        say(_departure(username, left, dry_run=dry_run))


def _left(left: Left) -> dict[str, Any]:
    row = left.scheduled
    return {
        "id": str(row.id),
        "name": row.name,
        "interval": str(row.interval),
        "enabled": row.enabled,
        "new_owner": left.owner.username if left.owner else None,
        "why_not": left.kept_back,
    }


def _departure(username: str, left: list[Left], *, dry_run: bool) -> str:
    """Return what has become, or would become, of a user and of what they own."""
    handed = sum(each.owner is not None for each in left)
    heir = next((each.owner.username for each in left if each.owner), "")
    parts = [
        f"{username} would be removed." if dry_run else f"Removed {username}.",
        f"{handed} scheduled job(s) {'would go' if dry_run else 'went'} to {heir}." if handed else "",
        f"{len(left) - handed} scheduled job(s) {'would have' if dry_run else 'have'} no owner"
        f"{'' if dry_run else ' now'}, and fail when they would next run."
        if len(left) > handed
        else "",
    ]
    return " ".join(filter(None, parts))


@users.command("activate")
def activate_user(username: Username, home: Home = None) -> None:
    """Let a user sign in again."""
    with administering(home) as admin:
        admin.set_active(username, utc_now(), active=True)
    say(f"{username} may sign in.")


@users.command("deactivate")
def deactivate_user(username: Username, home: Home = None) -> None:
    """Let a user sign in no longer; their scheduled jobs fail when they would next run."""
    with administering(home) as admin:
        admin.set_active(username, utc_now(), active=False)
    say(f"{username} may no longer sign in.")


@users.command("list")
def list_users(home: Home = None, as_json: AsJson = False) -> None:
    """Show every user."""
    with administering(home) as admin:
        found = admin.users()
    rows = (
        {
            "id": str(user.id),
            "username": user.username,
            "active": user.is_active,
            "superuser": user.is_superuser,
            "created": local_time(user.created),
        }
        for user in found
    )
    show(rows, ("username", "active", "superuser", "created"), as_json=as_json)


# Tokens


@tokens.command("add")
def add_token(
    username: Username,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the key from standard input.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="May only be used for reading.")] = False,
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="A date and time (ISO 8601), or a time from now: 30d, 12h."),
    ] = None,
    home: Home = None,
) -> None:
    """Make a token and print its key, once."""
    now = utc_now()
    # In bytes: what is no text is no key, and told so.
    key = sys.stdin.buffer.readline().decode(errors="replace").strip() if key_stdin else None
    end = None if expires is None else read_moment(expires, now)
    with administering(home) as admin:
        made = admin.add_token(username, now, key=key, write_enabled=not read_only, expires=end)
    # A key that was given is known to who gave it; printed, it would end in the logs of a script.
    say(f"{username} can sign in with the key that was given." if key_stdin else made)


def read_moment(text: str, now: datetime) -> datetime:
    """Read a moment that somebody typed: a date and time, or a time from now.

    Raises:
        Invalid: it is neither.
    """
    duration = DURATION.fullmatch(text)
    if duration:
        return now + timedelta(**{UNITS[duration[2]]: int(duration[1])})
    try:
        return read_time(text, server_zone())
    except Invalid as error:
        message = f"{text!r} is neither a date and time like 2030-01-31T18:00 nor a time from now like 30d."
        raise Invalid(message) from error


# Groups


@groups.command("add")
def add_group(name: GroupName, home: Home = None) -> None:
    """Make a group."""
    with administering(home) as admin:
        admin.add_group(name, utc_now())
    say(f"Added the group {name}.")


@groups.command("remove")
def remove_group(name: GroupName, home: Home = None) -> None:
    """Remove a group; its users stay."""
    with administering(home) as admin:
        admin.remove_group(name, utc_now())
    say(f"Removed the group {name}.")


@groups.command("join")
def join_group(name: GroupName, username: Username, home: Home = None) -> None:
    """Put a user into a group."""
    with administering(home) as admin:
        admin.set_member(name, username, utc_now(), member=True)
    say(f"{username} is in {name}.")


@groups.command("leave")
def leave_group(name: GroupName, username: Username, home: Home = None) -> None:
    """Take a user out of a group."""
    with administering(home) as admin:
        admin.set_member(name, username, utc_now(), member=False)
    say(f"{username} is not in {name}.")


@groups.command("list")
def list_groups(home: Home = None, as_json: AsJson = False) -> None:
    """Show every group with its users."""
    with administering(home) as admin:
        found = admin.groups()
    rows = ({"id": str(group.id), "name": group.name, "users": names} for group, names in found)
    show(rows, ("name", "users"), as_json=as_json)


# Permissions


def _words(values: list[str]) -> list[str]:
    return [word for value in values for part in value.split(",") if (word := part.strip())]


Types = Annotated[list[str], typer.Option("--types", help="Types of objects, like extras.job; comma separated.")]
Actions = Annotated[list[str], typer.Option("--actions", help="Actions on them, like view,run; comma separated.")]
Users = Annotated[list[str], typer.Option("--users", help="Users who get it; comma separated.")]
Groups = Annotated[list[str], typer.Option("--groups", help="Groups that get it; comma separated.")]


@permissions.command("add")
def add_permission(
    name: Annotated[str, typer.Argument(help="What the permission is called.")],
    types: Types,
    actions: Actions,
    users: Users = [],  # noqa: B006 - Typer reads the default, nobody changes it
    groups: Groups = [],  # noqa: B006 - Typer reads the default, nobody changes it
    constraints: Annotated[
        str | None,
        typer.Option(metavar="JSON", help='Which objects it is limited to: \'{"name": "Back up"}\'.'),
    ] = None,
    home: Home = None,
) -> None:
    """Permit actions on types of objects to users and groups.

    The permission prefect (type) write (action) lets somebody change Prefect itself, and so run code on workers.
    """
    with administering(home) as admin:
        admin.add_permission(
            name,
            utc_now(),
            types=_words(types),
            actions=_words(actions),
            users=_words(users),
            groups=_words(groups),
            constraint=_json(constraints),
        )
    reach = "" if users or groups else " It reaches nobody: neither --users nor --groups were given."
    say(f"Added the permission {name}.{reach}")


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The constraints are not JSON: {error}.") from error


@permissions.command("remove")
def remove_permission(
    name: Annotated[str, typer.Argument(help="What the permission is called.")], home: Home = None
) -> None:
    """Take a permission away from everybody."""
    with administering(home) as admin:
        admin.remove_permission(name, utc_now())
    say(f"Removed the permission {name}.")


@permissions.command("list")
def list_permissions(home: Home = None, as_json: AsJson = False) -> None:
    """Show every permission and who has it."""
    with administering(home) as admin:
        rows = []
        for permission in admin.permissions():
            names = admin.receivers(permission.id)
            rows.append(
                {
                    "id": str(permission.id),
                    "name": permission.name,
                    "enabled": permission.enabled,
                    "types": list(permission.object_types),
                    "actions": list(permission.actions),
                    "constraints": permission.constraints,
                    "users": names[0],
                    "groups": names[1],
                }
            )
    show(rows, ("name", "types", "actions", "constraints", "users", "groups", "enabled"), as_json=as_json)
