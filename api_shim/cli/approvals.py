"""``signoff queue``, ``approve``, ``deny`` and ``dry-run``: a person's decisions about what others have requested.

* They go to the running server over HTTP with that person's token, for a decision is somebody's.
* The token comes from ``SIGNOFF_TOKEN`` or is asked for; it is no argument, for those stand in the process list.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from api_shim.cli.common import AsJson, say, show
from api_shim.client import Client, Row
from api_shim.clock import utc_now
from approval_gate.errors import Invalid

HERE = "http://127.0.0.1:4200"
COLUMNS = ("id", "name", "job", "requested by", "when", "may approve")

Ref = Annotated[str, typer.Argument(metavar="ID", help="The id or the name of the request.")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="Why, for those who read about it later.")]
Url = Annotated[
    str,
    typer.Option(envvar="SIGNOFF_URL", help="Where signoff runs. Your token is read from SIGNOFF_TOKEN, or asked for."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Send the token over plain http to another machine; others can read it.")
]


class Environment(BaseSettings):
    """What is set from outside.

    Args:
        token: a key; the client sees whether it is one, and does not repeat it.
    """

    model_config = SettingsConfigDict(env_prefix="SIGNOFF_", env_ignore_empty=True, frozen=True)

    token: Any = Field(default=None, repr=False)


def read_token() -> str:
    """Return the token of who types, asking for it if there is somebody to ask.

    Raises:
        Invalid: there is none, and nobody.
    """
    token = Environment().token
    # A program that was started without standard input has None there.
    if token is None and not (sys.stdin and sys.stdin.isatty()):
        raise Invalid("Set SIGNOFF_TOKEN to your token; there is no terminal here to ask for it.")
    # Asked for on standard error, which leaves the output to scripts.
    return str(token or typer.prompt("Token", hide_input=True, err=True)).strip()


@contextmanager
def signed_in(url: str, *, insecure: bool) -> Iterator[Client]:
    """Speak to the server as who types."""
    client = Client(url, read_token(), insecure=insecure)
    try:
        yield client
    finally:
        client.close()


def queue(url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Show the requests that wait for approval, and which of them you may approve."""
    with signed_in(url, insecure=insecure) as client:
        found = client.queue()
    if not found and not as_json:
        say("Nothing that you may see waits for approval.")
        return
    show(found if as_json else map(_line, found), COLUMNS, as_json=as_json)


def approve(
    ref: Ref,
    force: Annotated[bool, typer.Option("--force", help="Also if its date is past.")] = False,
    comment: Comment = "",
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Approve a request, so that it runs."""
    with signed_in(url, insecure=insecure) as client:
        row = client.approve(ref, force=force, comment=comment)
    _tell(row, f"Approved «{row['name']}»; {what_follows(row, utc_now())}.", as_json=as_json)


def deny(ref: Ref, comment: Comment = "", url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Deny a request, so that it never runs."""
    with signed_in(url, insecure=insecure) as client:
        row = client.deny(ref, comment=comment)
    _tell(row, f"Denied «{row['name']}».", as_json=as_json)


def dry_run(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Run a request as you without effect, to see what it would do; the request stays as it is."""
    with signed_in(url, insecure=insecure) as client:
        result = client.dry_run(ref)
    _tell(result, f"Started a dry run of «{ref}»: {result['url']}", as_json=as_json)


def _tell(answer: Row, sentence: str, *, as_json: bool) -> None:
    say(json.dumps(answer, indent=2) if as_json else sentence)


def _line(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "job": row.get("task"),
        "requested by": row["requested_by"],
        "when": when(row),
        "may approve": row["may_approve"] or row["why_not_approve"] or False,
    }


def when(row: Row) -> str:
    """Say when a scheduled job fires."""
    if row["interval"] == "custom":
        return f"{row['crontab']} ({row['time_zone']})"
    return f"once at {start(row)}" if row["one_off"] else f"{row['interval']} from {start(row)}"


def start(row: Row) -> str:
    """Return the start time on the clocks of the scheduled job's time zone."""
    try:
        local = datetime.fromisoformat(row["start_time"]).astimezone(ZoneInfo(row["time_zone"]))
    except ZoneInfoNotFoundError:
        # This machine does not know the zone.
        return str(row["start_time"])
    return f"{local:%Y-%m-%d %H:%M} {row['time_zone']}"


def what_follows(row: Row, now: datetime) -> str:
    """Say what an approval leads to."""
    if row["one_off"] and row["last_run_at"]:
        return "it has run already"
    if not row["enabled"]:
        return "it is disabled, so it does not run"
    if not row["one_off"]:
        return "it fires next by its schedule"
    if datetime.fromisoformat(row["start_time"]) <= now:
        return "it runs now"
    return f"it runs at {start(row)}"
