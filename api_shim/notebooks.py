"""What a notebook shows of objects and of lists of them: tables in HTML.

* Everything is escaped: names and messages are written by people.
* Long values are cut off; the objects themselves have all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

LONGEST = 300
"""Characters of a value."""


def as_text(value: Any) -> str:
    """Return a value as a cell shows it, not yet escaped."""
    if value is None:
        text = ""
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="seconds")
    elif isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def fields_table(title: str, fields: Mapping[str, Any]) -> str:
    """Return one object as HTML: a line for each field."""
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(as_text(value))}</td></tr>" for name, value in fields.items())
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def rows_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return objects as HTML: a line for each of them, and a column for each of some fields."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = ("".join(f"<td>{escape(as_text(value))}</td>" for value in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
