"""What the pages with lists have in common: headings to sort by, days to filter by, what is
selected, and the address of the list.

* An address has only what was asked for, so that it can be bookmarked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData, QueryParams

from api_shim.domain.query import Condition
from api_shim.parsing.fields import read_id
from approval_gate.constraints import Lookup, Op


def asked_in(query: QueryParams, names: Iterable[str]) -> dict[str, str]:
    """Return those of these parameters that an address has, without those that are empty."""
    return {name: text for name in names if (text := query.get(name, "").replace("\0", "").strip())}


def tested(path: str, op: Op, value: Any) -> Condition:
    """Return the condition that one field passes a test.

    Args:
        path: the path of the field.
        op: the test.
        value: what it is compared with; the values that there may be for ``Op.IN``.
    """
    return Condition(tests=(Lookup(path=path, op=op, value=value),))


def by_name(path: str, text: str) -> Condition:
    """Return the condition that a name has a text in it, in upper or lower case; or is it, if it is in double quotes.

    Args:
        path: the path of the name.
        text: the text.
    """
    exact = text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else ""
    return tested(path, Op.IN, (exact,)) if exact else tested(path, Op.ICONTAINS, text)


def day_begins(text: str, zone: ZoneInfo, days: int = 0) -> datetime | None:
    """Return when a day begins in a time zone, or one so many days later, in UTC; None for what is no day.

    Args:
        text: the day, in ISO 8601.
        zone: the time zone.
        days: how many days later.
    """
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
        return datetime.combine(day, time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def selected_in(form: FormData) -> list[UUID]:
    """Return the ids that are selected in a form; what is no id is left out."""
    sent = (read_id(text) for text in form.getlist("id") if isinstance(text, str))
    return [each for each in sent if each is not None]


def versions_in(form: FormData) -> dict[UUID, str]:
    """Return the versions of scheduled jobs that were shown, each sent behind its id."""
    sent = (text.partition(" ") for text in form.getlist("seen") if isinstance(text, str))
    return {thing_id: version for named, _, version in sent if (thing_id := read_id(named)) is not None}


def headings(columns: Iterable[tuple[str, str]], asked: Mapping[str, str], default: str) -> list[dict[str, str]]:
    """Return the headings of the columns of a list, each with the link that sorts by it.

    Args:
        columns: the field to sort by, empty if the column cannot be sorted, and the text of each.
        asked: the parameters of the address.
        default: how the list is sorted if the address does not say.
    """
    sort = asked.get("sort", default)
    order = {sort.removeprefix("-"): "descending" if sort.startswith("-") else "ascending"}

    def link(field: str) -> str:
        turned = f"-{field}" if order.get(field) == "ascending" else field
        return f"?{urlencode({**asked, 'sort': turned})}"

    return [
        {"name": name, "link": link(field) if field else "", "order": order.get(field, "") if field else ""}
        for field, name in columns
    ]
