"""Draws what people write, together with what they mean by it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache

from hypothesis import strategies as st

DAY = timedelta(days=1)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
MONTHS = {n: date(2026, n, 1).strftime("%b") for n in range(1, 13)}
WEEKDAYS = {n: date(2026, 3, 1 + n).strftime("%a") for n in range(7)}  # 1 March 2026 is a Sunday


@st.composite
def parts(draw: st.DrawFn, low: int, high: int, names: dict[int, str]) -> tuple[str, frozenset[int]]:
    """Draw a part of a field and what it means, step by step on the dial from low to high."""
    dial = [*range(low, high + 1)]
    start, end = draw(st.sampled_from(dial)), draw(st.sampled_from(dial))
    kind = draw(st.sampled_from(["value", "range", "stepped range", "steps"]))
    named, capitals = draw(st.booleans()), draw(st.booleans())

    def word(n: int) -> str:
        name = names.get(n, str(n)) if named else str(n)
        return name.upper() if capitals else name

    if kind == "value":
        return word(start), frozenset({start})
    step = draw(st.integers(1, len(dial))) if kind != "range" else 1
    if kind == "steps":
        return f"*/{step}", frozenset(dial[::step])
    turned = dial[dial.index(start) :] + dial[: dial.index(start)]
    values = frozenset(turned[: turned.index(end) + 1][::step])
    return f"{word(start)}-{word(end)}" + (f"/{step}" if kind != "range" else ""), values


@st.composite
def crontabs(draw: st.DrawFn) -> tuple[str, list[frozenset[int]]]:
    """Draw a crontab and the values of its fields."""
    texts, values = [], []
    for (low, high), names in zip(BOUNDS, ({}, {}, {}, MONTHS, WEEKDAYS), strict=True):
        if draw(st.booleans()):
            texts.append("*")
            values.append(frozenset(range(low, high + 1)))
            continue
        drawn = draw(st.lists(parts(low, high, names), min_size=1, max_size=3))
        texts.append(",".join(text for text, _ in drawn))
        values.append(frozenset().union(*(meaning for _, meaning in drawn)))
    return " ".join(texts), values


@cache
def _calendar() -> frozenset[tuple[int, int, int]]:
    """Return every month, day and weekday that come together in the 400 years that repeat."""
    days = (date(2000, 1, 1) + n * DAY for n in range(146_097))
    return frozenset((day.month, day.day, day.isoweekday() % 7) for day in days)


def fires(values: list[frozenset[int]]) -> bool:
    _, _, days, months, weekdays = values
    return any(m in months and d in days and w in weekdays for m, d, w in _calendar())


def wall_matches(values: list[frozenset[int]], wall: datetime) -> bool:
    shown = (wall.minute, wall.hour, wall.day, wall.month, wall.isoweekday() % 7)
    return all(number in field for number, field in zip(shown, values, strict=True))
