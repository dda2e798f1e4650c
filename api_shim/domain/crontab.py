"""Reads crontabs: five fields of numbers, names of months and days, ``* , - /``; all five must match.

* A day of the month together with a day of the week means both. Sunday is 0 (and 7).
* Names may be written in full (``sunday``, ``january``), and ``@daily`` and the like stand for their five fields.
* One that never fires is refused, and so is what has another number of fields, or values out of range.
* What croniter misreads is kept as the values that are meant, for Prefect reads it with croniter, and so do we.
* croniter finds the wall times that match; what clock changes do to them is for ``api_shim.domain.recurrence``.

Contract 4 and 9.9.
"""

import re
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from croniter import croniter

from approval_gate.errors import Invalid

MINUTE = timedelta(minutes=1)
FIRST_YEAR, LAST_YEAR = 1970, 9000
"""The years of a start time: far enough from the ends of the calendar that no sum of dates overflows."""
LONGEST_CRONTAB = 255
WRITTEN = "Write values, * for all, ranges such as 1-5, steps such as */5 or 1-5/2, and commas in between."
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
NO_TIME = "@reboot names no time: a schedule does not know when a machine starts."
SHORT = 3
"""Letters of a name that tell which it is."""
LONGEST_MONTHS = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


@dataclass(frozen=True, slots=True)
class Crontab:
    """A crontab that has been read, and that fires on some date."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: what it is called, how many values it has from which on, and names for them."""

    label: str
    low: int
    count: int
    names: tuple[str, ...] = ()
    highest: int = 0

    def parse(self, text: str) -> tuple[str, frozenset[int]]:
        text = re.sub(r"\b[A-Za-z]{4,}\b", self._shortened, text)
        parts = [self._part(part) for part in text.split(",")]
        return ",".join(part for part, _ in parts), frozenset().union(*(values for _, values in parts))

    def _part(self, text: str) -> tuple[str, list[int]]:
        match = re.fullmatch(r"(?:\*|(\w+)-(\w+))(?:/(\d+))?|(\w+)", text, re.ASCII)
        if not match:
            raise Invalid(f"The {self.label} field cannot be read: {text!r}. {WRITTEN}")
        first, last, step, single = match.groups()
        stride = self._within(int(step), "step", 1, self.count) if step else 1
        if not (first or single):
            return text, list(range(self.low, self.low + self.count, stride))
        start = self._value(single or first)
        end = self._value(single or last)
        length = end - start if end >= start else (end - start) % self.count
        values = [self.low + (start - self.low + n) % self.count for n in range(0, length + 1, stride)]
        # croniter takes 5-5 and 7-0 for all values, and does not carry the step over the turn of 23-4/2 or 4-7/2.
        odd = last and (length == 0 or (stride > 1 and not start < end < self.low + self.count))
        return ",".join(map(str, values)) if odd else text, values

    def _shortened(self, match: re.Match[str]) -> str:
        """Return the short form of a name, which croniter knows."""
        word = match[0]
        return word[:SHORT] if any(name.startswith(word.capitalize()) for name in self.names) else word

    def _value(self, word: str) -> int:
        if word.isdigit():
            return self._within(int(word), "field", self.low, self.highest or self.low + self.count - 1)
        names = [name[:SHORT].lower() for name in self.names]
        if word.lower() not in names:
            known = f"; it knows {', '.join(names)}" if names else ""
            raise Invalid(f"The {self.label} field does not know {word!r}{known}.")
        return self.low + names.index(word.lower())

    def _within(self, number: int, what: str, low: int, high: int) -> int:
        if not low <= number <= high:
            raise Invalid(f"The {self.label} {what} must be between {low} and {high}: {number}.")
        return number


MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

FIELDS = (
    _Field("minute", 0, 60),
    _Field("hour", 0, 24),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of week", 0, 7, WEEKDAYS, highest=7),
)


def parse(text: str) -> Crontab:
    """Read a crontab; raise ``Invalid`` for one that cannot be read or never fires."""
    if len(text) > LONGEST_CRONTAB:
        raise Invalid(f"A crontab may have up to {LONGEST_CRONTAB} characters; this one has {len(text)}.")
    words = _spelled_out(text.strip()).split()
    if not words:
        raise Invalid("Please enter a valid crontab.")
    if len(words) != len(FIELDS):
        labels = ", ".join(field.label for field in FIELDS)
        raise Invalid(f"A crontab needs exactly five fields ({labels}); this one has {len(words)}.")
    read = [field.parse(word) for field, word in zip(FIELDS, words, strict=True)]
    crontab = Crontab(" ".join(word for word, _ in read), *(values for _, values in read))
    if min(crontab.days) > max(LONGEST_MONTHS[month] for month in crontab.months):
        raise Invalid("This crontab never fires: none of its months has such a day.")
    return crontab


def _spelled_out(text: str) -> str:
    """Return the five fields that a name such as ``@daily`` stands for; other texts as they are."""
    if not text.startswith("@"):
        return text
    if text.lower() == "@reboot":
        raise Invalid(NO_TIME)
    if (fields := ALIASES.get(text.lower())) is None:
        raise Invalid(f"There is no {text!r}; the names of crontabs are {', '.join(ALIASES)}.")
    return fields


def check_crontab(text: str) -> str:
    """Return the crontab with single spaces, and values in place of the few ranges that croniter misreads.

    Raises ``Invalid`` with one sentence if it is too long, cannot be read, has a value out of range or never
    fires (contract 4, 9.9). Whether it fires needs no search: in 400 years every date falls on every day of
    the week, and 29 February on any one of them at least every 40 years.
    """
    # Read again, for values take more room than their range: what is kept must be within the length, too.
    return parse(parse(text).text).text


def walls_after(crontab: str, wall: datetime) -> Iterator[datetime]:
    """Yield the wall times that match, strictly after ``wall``, in order; far beyond the years of start times.

    Args:
        crontab: as ``check_crontab`` returned it.
        wall: a wall time, without a zone.
    """
    return _matches(crontab, _minute(wall), backwards=False)


def walls_until(crontab: str, wall: datetime) -> Iterator[datetime]:
    """Yield the wall times that match, up to and including ``wall``, backwards; see ``walls_after``."""
    return _matches(crontab, _minute(wall) + MINUTE, backwards=True)


def _minute(wall: datetime) -> datetime:
    # croniter reckons in floats, in which fractions of a second get lost in far years.
    return wall.replace(second=0, microsecond=0)


def _matches(crontab: str, wall: datetime, *, backwards: bool) -> Iterator[datetime]:
    while FIRST_YEAR - 100 < (wall := _neighbour(crontab, wall, backwards=backwards)).year < LAST_YEAR + 100:
        yield wall


@lru_cache(maxsize=2**15)
def _neighbour(crontab: str, wall: datetime, *, backwards: bool) -> datetime:
    # Kept, for lists ask about the same days again and again.
    found = copy(_read_by_croniter(crontab))
    found.set_current(wall)
    match: datetime = found.get_prev() if backwards else found.get_next()
    return match


@lru_cache(maxsize=2**13)
def _read_by_croniter(crontab: str) -> croniter:
    # Kept, for reading takes longer than a step. The search ends after 50 years; no crontab waits more than 40.
    return croniter(crontab, ret_type=datetime, day_or=False)
