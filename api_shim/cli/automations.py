"""``signoff automation``: the accounts that Prefect's automations act as, and automations that are ready-made."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson, say
from api_shim.cli.remote import (
    Insecure,
    Limit,
    Search,
    Sort,
    Url,
    Where,
    delete_each,
    read_filters,
    show_found,
    signed_in,
    tell,
)
from api_shim.client.transport import HERE
from api_shim.schemas import AutomationAccount, User

app = typer.Typer(no_args_is_help=True, help="Bind Prefect's automations to accounts, and install ready-made ones.")

COLUMNS = ("automation", "name", "user", "bound_by", "created")


@app.command("list")
def list_accounts(
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="Only those that act as this user.", show_default=False)
    ] = None,
    search: Search = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 50,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List the automations that are bound to an account.

    Example: signoff automation list --user alice
    """
    filters = read_filters(where, user=user, q=search, sort=sort)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.automation_accounts(limit=limit, depth=1, **filters)
    show_found(found, _line, COLUMNS, "No automations are bound to an account.", as_json=as_json)


def _line(row: AutomationAccount) -> dict[str, Any]:
    # Users whom the caller may not view have an id only.
    user = row.user.username if isinstance(row.user, User) else str(row.user.id)
    return {
        "automation": str(row.id),
        "name": row.name,
        "user": user,
        "bound_by": row.bound_by,
        "created": row.created.isoformat(),
    }


@app.command("bind")
def bind(
    automation: Annotated[str, typer.Argument(metavar="ID", help="The id of the automation in Prefect.")],
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="The user that it acts as.", show_default="yourself")
    ] = None,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Have an automation, as it is now, act as an account: its runs of Jobs are requests by that.

    Example: signoff automation bind 8a1b2c3d-0000-4000-8000-000000000000 --user alice
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.bind_automation(automation, user=user)
    tell(row, f"Bound “{row.name}” to {user or 'your account'}, until it is changed.", as_json=as_json)


@app.command("unbind")
def unbind(
    automations: Annotated[list[str], typer.Argument(metavar="ID…", help="The ids of automations in Prefect.")],
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """End that automations act as an account, one after the other.

    Example: signoff automation unbind 8a1b2c3d-0000-4000-8000-000000000000
    """
    with signed_in(url, insecure=insecure) as shim:
        delete_each(shim.unbind_automation, automations, done="Unbound")


@app.command("install")
def install(
    block: Annotated[str, typer.Argument(metavar="TYPE/NAME", help="The type and the name of a notification block.")],
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Have Prefect tell a notification block of requests, refused runs, removed users and approvals switched off.

    Those that it has installed before are changed. Blocks are made on the page Blocks of Prefect's UI. It needs write
    on prefect.

    Example: signoff automation install slack-webhook/operators
    """
    with signed_in(url, insecure=insecure) as shim:
        made = shim.install_automations(block)
    say(f"Installed {', '.join(f'“{each.name}”' for each in made)}, which tell {block}.")
