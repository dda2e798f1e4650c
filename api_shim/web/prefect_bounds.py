"""What bounds the calls of Prefect's API by people without ``prefect.write``: nobody who is only signed in stops it.

Prefect computes on what clients send, mostly on the event loop that serves everybody. Of each kind of call, this is who
may make it, or what bounds it:

* Schemas with values, and templates: ``prefect.write``. One nested regular expression takes Prefect hours. The forms of
  our own Jobs are checked by our own rules (``services.prefect_ui``).
* What is stored and computed later, as schedules, triggers, job variables, and parameters with a schema: each is a
  write, and ``prefect.write`` too. Runs of our deployments carry no schema that Prefect enforces.
* Filters: their patterns (``LIKE``, globs, words) take linear time in SQLite, PostgreSQL and Python. What is left is
  the number of conditions, each a part of an SQL statement: a body has a maximum size and number of values, which is
  smaller for events, where one condition can be a subquery.
* Histories and counts: Prefect limits them to 1000 buckets, and pages to 200 rows; but not the pages of events whose
  address a client writes itself, so these are limited here.
* Websockets: what is filtered for is compared with every event, for as long as somebody listens; it is limited as the
  filters of events are. So is the first message, which anybody can send.
* JSON is limited in its depth, too (``web.bodies``).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.asgi import receive_whole, received_again
from api_shim.web.bodies import parse_json
from api_shim.web.errors import body_of, headers_of, status_of
from approval_gate.errors import GateError, Invalid, TooLarge
from approval_gate.model import Action, Actor, Allowed, ObjectType
from approval_gate.policy import check_type


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """How much a client may ask for at once.

    Args:
        size: the maximum size in bytes.
        values: the maximum number of JSON values, of all levels.
    """

    size: int
    values: int

    def check(self, content: bytes) -> None:
        """Check a filter in JSON.

        Raises:
            TooLarge: it is larger, or has more values.
            Invalid: it is not JSON.
        """
        if len(content) > self.size:
            raise TooLarge(f"The request is larger than {self.size} bytes.")
        if content and _count(parse_json(content)) > self.values:
            raise TooLarge(f"The request has more than {self.values} values.")


FILTER = Bound(size=64 * 1024, values=2000)
"""Prefect's UI asks for 200 ids at once, which take 8 KiB."""
EVENTS_FILTER = Bound(size=8 * 1024, values=250)
"""Each condition takes about a millisecond to be written in SQL."""
LONGEST_PAGE = 50
"""Maximum number of events on a page, as Prefect makes them."""
LONGEST_QUERY = 16 * 1024
"""Maximum length of a query string in bytes; the address of a page of events contains the filter, twice encoded."""

MAY_NOT_WRITE = "This needs the permission prefect.write."
ELSEWHERE = (
    (
        re.compile(r"/api/(ui/)?flow_runs(/.*)?", re.DOTALL),
        "The runs of Jobs are cancelled, and run again, on the pages of their results: see /signoff/results.",
    ),
    (
        re.compile(r"/api/deployments(/.*)?", re.DOTALL),
        "Scheduled jobs are changed, enabled and deleted on their own pages: see /signoff/scheduled-jobs.",
    ),
)
"""Where people do who may not write to Prefect what its UI offers, by path."""
NOWHERE_ELSE = "An administrator can grant it."

TOO_LONG = 1009
"""The code with which a websocket is closed after a message that is too long."""

EVENTS = "/api/events/"
NEXT_PAGE = "/api/events/filter/next"


def may_write(actor: Actor) -> bool:
    """Say whether the caller has ``prefect.write``, which is the power to run code on workers."""
    return check_type(actor, Action.WRITE, ObjectType.PREFECT) == Allowed()


def why_not_written(path: str) -> str:
    """Return why somebody may not call this path, and what they can do instead; Prefect's UI shows it as it is.

    Args:
        path: the decoded path, from ``/api``.
    """
    hint = next((said for paths, said in ELSEWHERE if paths.fullmatch(path)), NOWHERE_ELSE)
    return f"{MAY_NOT_WRITE} {hint}"


class BoundedReads:
    """ASGI application that passes to Prefect what is within the bounds, and refuses the rest.

    Args:
        app: Prefect's ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        path, query = scope["path"].rstrip("/"), scope["query_string"]
        bound = EVENTS_FILTER if path.startswith(EVENTS) else FILTER
        try:
            if len(query) > LONGEST_QUERY:
                raise TooLarge(f"The query is larger than {LONGEST_QUERY} bytes.")
            if path == NEXT_PAGE:
                check_page(query)
            body = await receive_whole(receive, bound.size)
            if body is not None:
                bound.check(body)
        except GateError as error:
            await JSONResponse(body_of(error), status_of(error), headers_of(error))(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, received_again(body, receive), send)


def check_page(query: bytes) -> None:
    """Check that a query asks for a page of events that Prefect could have offered.

    Raises:
        Invalid: it does not, or cannot be read.
    """
    try:
        [token] = parse_qs(query.decode("ascii"))["page-token"]
        content = base64.b64decode(base64.b64decode(token))
    except (UnicodeDecodeError, ValueError, KeyError, binascii.Error) as error:
        raise Invalid("This page of events cannot be read.") from error
    EVENTS_FILTER.check(content)
    page = parse_json(content)
    size = page.get("page_size") if isinstance(page, dict) else None
    if type(size) is not int or not 0 < size <= LONGEST_PAGE:
        raise Invalid(f"A page of events has 1 to {LONGEST_PAGE} of them.")


def is_within_bounds(message: Message) -> bool:
    """Say whether a message on a websocket is one that a reader may send: credentials, or a filter of events."""
    try:
        EVENTS_FILTER.check((message.get("text") or "").encode() or message.get("bytes") or b"")
    except TooLarge:
        return False
    except Invalid:
        # What cannot be read Prefect refuses at once.
        return True
    return True


def _count(value: Any) -> int:
    """Return the number of JSON values, counted level by level: recursion could itself go too deep."""
    number, level = 0, [value]
    while level:
        number += len(level)
        nested = [
            thing.values() if isinstance(thing, dict) else thing for thing in level if isinstance(thing, dict | list)
        ]
        level = [inner for things in nested for inner in things]
    return number
