"""``signoff user``, ``token``, ``group`` and ``permission``: accounts, by whoever administers this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from api_shim.cli.console import AsJson, Home, at_terminal, opened, say, show
from api_shim.cli.times import local_time, read_duration
from api_shim.domain.accounts import User
from api_shim.domain.audit import LocalAdministrator
from api_shim.domain.model import ScheduledJob
from api_shim.parsing.run_request import read_time
from api_shim.services.account_admin import AccountAdmin, Left
from api_shim.services.given_approvals import told
from api_shim.settings import read_settings, server_zone, system_user, utc_now
from approval_gate.errors import Invalid

users = typer.Typer(no_args_is_help=True, help="Manage users.")
tokens = typer.Typer(no_args_is_help=True, help="Manage tokens, the keys that users sign in with.")
groups = typer.Typer(no_args_is_help=True, help="Manage groups of users, who share permissions.")
permissions = typer.Typer(no_args_is_help=True, help="Manage the permissions of users and groups.")

Username = Annotated[str, typer.Argument(help="The user's name.")]
RevokeApprovals = Annotated[
    bool, typer.Option("--revoke-approvals", help="What the user has approved waits for approval again.")
]
GroupName = Annotated[str, typer.Argument(help="The group's name.")]


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
    reuse_name: Annotated[
        bool,
        typer.Option("--reuse-name", help="Reuse the name even though another user had it within the last 400 days."),
    ] = False,
    agent: Annotated[
        bool,
        typer.Option(
            "--agent", help="It is the account of a program that makes requests for a person, and never decides."
        ),
    ] = False,
    acts_for: Annotated[
        str | None, typer.Option("--for", metavar="USER", help="The person for whom the agent asks.")
    ] = None,
    home: Home = None,
) -> None:
    """Add a user, without any permissions.

    Example: signoff user add helper --agent --for alice
    """
    if agent != (acts_for is not None):
        raise Invalid("An agent asks for a person: --agent and --for go together.")
    with administering(home) as admin:
        admin.add_user(username, utc_now(), superuser=superuser, reuse_name=reuse_name, acts_for=acts_for)
    say(f"Added {username}. `signoff token add {username}` makes a key to sign in with.")


@users.command("password")
def set_password(username: Username, home: Home = None) -> None:
    """Set the password with which a user signs in to the pages, and end their sessions."""
    if at_terminal():
        password = typer.prompt("Password", hide_input=True, err=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline() if sys.stdin else ""
    with administering(home) as admin:
        admin.set_password(username, password.rstrip("\r\n"), utc_now())
    say(f"Set the password of {username}.")


@users.command("remove")
def remove_user(
    username: Username,
    transfer_to: Annotated[
        str | None,
        typer.Option(metavar="USER", help="The new owner of those scheduled jobs that USER may run."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would happen to the user's scheduled jobs.")
    ] = (False),
    revoke_approvals: RevokeApprovals = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove a user and their tokens. Their scheduled jobs stay, and fail the next time they are due.

    What they have approved stands. With --json it is listed too: `approval` says whether it stands or was revoked.
    """
    with administering(home) as admin:
        departure = admin.remove_user(
            username, utc_now(), heir=transfer_to, revoke_approvals=revoke_approvals, dry_run=dry_run
        )
    left, approvals = departure.left, departure.approvals
    if as_json:
        rows = [*map(_left, left), *_approved(approvals.standing, "stands"), *_approved(approvals.revoked, "revoked")]
        show(rows, LEFT, as_json=True)
        return
    if dry_run and left:
        show(map(_left, left), LEFT, as_json=False)
    say(f"{_departure(username, left, dry_run=dry_run)}{told(approvals, dry_run=dry_run)}")


LEFT = ("name", "interval", "enabled", "new_owner", "why_not")


def _left(left: Left) -> dict[str, Any]:
    owner = left.owner.username if left.owner else None
    return {**_scheduled(left.scheduled), "new_owner": owner, "why_not": left.kept_back, "approval": None}


def _approved(rows: Iterable[ScheduledJob], approval: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {**_scheduled(row), "new_owner": None, "why_not": "", "approval": approval}


def _scheduled(row: ScheduledJob) -> dict[str, Any]:
    return {"id": str(row.id), "name": row.name, "interval": str(row.interval), "enabled": row.enabled}


def _departure(username: str, left: list[Left], *, dry_run: bool) -> str:
    """Return what has become, or would become, of a user and of what they own."""
    handed = sum(each.owner is not None for each in left)
    heir = next((each.owner.username for each in left if each.owner), "")
    parts = [
        f"{username} would be removed." if dry_run else f"Removed {username}.",
        f"{handed} scheduled job(s) {'would be' if dry_run else 'were'} transferred to {heir}." if handed else "",
        f"{len(left) - handed} scheduled job(s) {'would have' if dry_run else 'have'} no owner"
        f"{'' if dry_run else ' now'}, and fail the next time they are due."
        if len(left) > handed
        else "",
    ]
    return " ".join(filter(None, parts))


@users.command("worker")
def make_worker(
    username: Username,
    pool: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The work pool whose runs it executes.", show_default="SIGNOFF_POOL"),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Undo this; the keys of the runs that it has taken end.")
    ] = False,
    home: Home = None,
) -> None:
    """Let a user execute runs of a work pool, as the account of workers."""
    if remove:
        with administering(home) as admin:
            admin.unmake_worker(username, utc_now())
        say(f"{username} is no longer a worker account. It keeps what its other permissions allow.")
        return
    name = pool or read_settings(home).pool
    with administering(home) as admin:
        admin.make_worker(username, name, utc_now())
    say(f"{username} can execute runs of the work pool {name}.")


@users.command("agent")
def change_person(
    username: Annotated[str, typer.Argument(help="The agent's name.")],
    acts_for: Annotated[str, typer.Option("--for", metavar="USER", help="The person for whom it asks from now on.")],
    home: Home = None,
) -> None:
    """Have an agent ask for another person. What it has requested stays requested for the person before."""
    with administering(home) as admin:
        admin.set_person(username, acts_for, utc_now())
    say(f"{username} now asks for {acts_for}.")


@users.command("activate")
def activate_user(username: Username, home: Home = None) -> None:
    """Let a user sign in again."""
    with administering(home) as admin:
        admin.set_active(username, utc_now(), active=True)
    say(f"{username} can sign in again.")


@users.command("deactivate")
def deactivate_user(username: Username, revoke_approvals: RevokeApprovals = False, home: Home = None) -> None:
    """Stop a user from signing in. Their scheduled jobs fail the next time they are due; what they approved stands."""
    with administering(home) as admin:
        changed = admin.set_active(username, utc_now(), active=False, revoke_approvals=revoke_approvals)
    say(f"{username} can no longer sign in.{told(changed.approvals)}")


@users.command("link")
def link_user(
    username: Username,
    subject: Annotated[str, typer.Argument(help="Who they are at the provider: the `sub` of its tokens.")],
    home: Home = None,
) -> None:
    """Let somebody at the identity provider (SIGNOFF_OIDC_ISSUER) sign in as a user.

    `signoff audit list` shows the subject of somebody who was refused.
    """
    with administering(home) as admin:
        issuer = read_settings(home).oidc_issuer
        if not issuer:
            raise Invalid("Set SIGNOFF_OIDC_ISSUER to the address of the identity provider.")
        admin.link(username, issuer, subject, utc_now())
    say(f"Whoever {issuer} calls {subject} now signs in as {username}.")


@users.command("unlink")
def unlink_user(username: Username, home: Home = None) -> None:
    """Let nobody at an identity provider sign in as a user any more, and end the user's sessions."""
    with administering(home) as admin:
        admin.unlink(username, utc_now())
    say(f"Nobody at an identity provider can sign in as {username} any longer.")


def _asks_for(user: User, names: Mapping[UUID, str]) -> str:
    """Return the name of the person for whom an agent asks; empty for other users."""
    if user.acts_for_id is None:
        return ""
    return names.get(user.acts_for_id, "nobody: they have been removed")


@users.command("list")
def list_users(home: Home = None, as_json: AsJson = False) -> None:
    """List the users."""
    with administering(home) as admin:
        found, workers, writers = admin.users(), admin.workers(), admin.writers()
        identities = admin.identities()
    names = {user.id: user.username for user in found}
    rows = (
        {
            "id": str(user.id),
            "username": user.username,
            "active": user.is_active,
            "superuser": user.is_superuser,
            "works_for": workers.get(user.id, ""),
            "asks_for": _asks_for(user, names),
            "writes_to_prefect": user.id in writers,
            "provider": identities[user.id].issuer if user.id in identities else "",
            "subject": identities[user.id].subject if user.id in identities else "",
            "created": local_time(user.created),
        }
        for user in found
    )
    columns = ("username", "active", "superuser", "works_for", "asks_for", "writes_to_prefect", "provider", "created")
    show(rows, columns, as_json=as_json)


# Tokens


@tokens.command("add")
def add_token(
    username: Username,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the key from standard input.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="The token can only read.")] = False,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="When it expires: a date and time (ISO 8601), or a duration like 30d or 12h."
        ),
    ] = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")] = "",
    home: Home = None,
) -> None:
    """Add a token and print its key. The key is not shown again."""
    now = utc_now()
    key = _read_key() if key_stdin else None
    end = None if expires is None else read_moment(expires, now)
    with administering(home) as admin:
        made = admin.add_token(
            username, now, key=key, write_enabled=not read_only, expires=end, description=description
        )
    # A given key is not printed: it would end up in the logs of a script.
    say(f"{username} can sign in with the given key." if key_stdin else made)


def _read_key() -> str:
    # Read as bytes, so that invalid UTF-8 is refused as an invalid key instead of failing.
    return sys.stdin.buffer.readline().decode(errors="replace").strip()


@tokens.command("list")
def list_tokens(
    username: Annotated[str | None, typer.Argument(help="The user whose tokens to list. Default: all users.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List tokens, without their keys: whose, what for, and when and from where they were last used."""
    with administering(home) as admin:
        found = admin.tokens(username)
    rows = (
        {
            "id": str(token.id),
            "user": user.username,
            "description": token.description,
            "read_only": not token.write_enabled,
            "created": local_time(token.created),
            "expires": local_time(token.expires),
            "last_used": local_time(token.last_used),
            "from": token.last_used_from,
            "made_with": str(token.made_with_id) if token.made_with_id else None,
        }
        for token, user in found
    )
    columns = ("id", "user", "description", "read_only", "created", "expires", "last_used", "from")
    show(rows, columns, as_json=as_json)


@tokens.command("revoke")
def revoke_token(
    token: Annotated[
        str | None, typer.Argument(help="The id of the token, or the first eight characters of it.")
    ] = None,
    key_stdin: Annotated[
        bool,
        typer.Option("--key-stdin", help="Read the key of the token from standard input, for one that has leaked."),
    ] = False,
    home: Home = None,
) -> None:
    """Revoke a token, and every token that was made with it."""
    if (token is None) != key_stdin:
        raise Invalid("Give the id of a token, or --key-stdin.")
    with administering(home) as admin:
        revoked = admin.remove_key(_read_key(), utc_now()) if token is None else admin.remove_token(token, utc_now())
    others = f" {revoked.others} token(s) that were made with it have ended too." if revoked.others else ""
    say(f"Revoked a token of {revoked.username}.{others}")


def read_moment(text: str, now: datetime) -> datetime:
    """Read a date and time, or a duration from now.

    Raises:
        Invalid: the text is neither.
    """
    if (duration := read_duration(text)) is not None:
        return now + duration
    try:
        return read_time(text, server_zone())
    except Invalid as error:
        message = f"{text!r} is neither a date and time like 2030-01-31T18:00 nor a duration like 30d."
        raise Invalid(message) from error


# Groups


@groups.command("add")
def add_group(name: GroupName, home: Home = None) -> None:
    """Add a group."""
    with administering(home) as admin:
        admin.add_group(name, utc_now())
    say(f"Added the group {name}.")


@groups.command("remove")
def remove_group(name: GroupName, home: Home = None) -> None:
    """Remove a group; its users stay."""
    with administering(home) as admin:
        approvals = admin.remove_group(name, utc_now())
    say(f"Removed the group {name}.{told(approvals)}")


@groups.command("join")
def join_group(name: GroupName, username: Username, home: Home = None) -> None:
    """Add a user to a group."""
    with administering(home) as admin:
        admin.set_member(name, username, utc_now(), member=True)
    say(f"Added {username} to {name}.")


@groups.command("leave")
def leave_group(name: GroupName, username: Username, home: Home = None) -> None:
    """Remove a user from a group."""
    with administering(home) as admin:
        approvals = admin.set_member(name, username, utc_now(), member=False)
    say(f"Removed {username} from {name}.{told(approvals)}")


@groups.command("list")
def list_groups(home: Home = None, as_json: AsJson = False) -> None:
    """List the groups with their users."""
    with administering(home) as admin:
        found = admin.groups()
    rows = ({"id": str(group.id), "name": group.name, "users": names} for group, names in found)
    show(rows, ("name", "users"), as_json=as_json)


# Permissions


def _words(values: list[str]) -> list[str]:
    return [word for value in values for part in value.split(",") if (word := part.strip())]


Types = Annotated[list[str], typer.Option("--types", help="Object types, like extras.job, separated by commas.")]
Actions = Annotated[list[str], typer.Option("--actions", help="Actions, like view,run.")]
Users = Annotated[list[str], typer.Option("--users", help="Users who get the permission, separated by commas.")]
Groups = Annotated[list[str], typer.Option("--groups", help="Groups that get the permission, separated by commas.")]


@permissions.command("add")
def add_permission(
    name: Annotated[str, typer.Argument(help="The name of the permission.")],
    types: Types,
    actions: Actions,
    users: Users = [],  # noqa: B006 - Typer reads the default, nobody changes it
    groups: Groups = [],  # noqa: B006 - Typer reads the default, nobody changes it
    constraints: Annotated[
        str | None,
        typer.Option(metavar="JSON", help='Limit it to some objects: \'{"name": "Back up"}\'.'),
    ] = None,
    home: Home = None,
) -> None:
    """Give users and groups permission for actions on types of objects.

    The action write on the type prefect gives full access to Prefect, and with it the power to run code on workers.
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
    reach = "" if users or groups else " No user or group has it: give --users or --groups."
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
    name: Annotated[str, typer.Argument(help="The name of the permission.")], home: Home = None
) -> None:
    """Remove a permission from all its users and groups."""
    with administering(home) as admin:
        approvals = admin.remove_permission(name, utc_now())
    say(f"Removed the permission {name}.{told(approvals)}")


@permissions.command("list")
def list_permissions(home: Home = None, as_json: AsJson = False) -> None:
    """List the permissions with their users and groups."""
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
