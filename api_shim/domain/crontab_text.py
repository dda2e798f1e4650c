"""Tells in words when a crontab fires: "At 02:00 on Monday and Friday".

* What is told is what our dialect means: a day of the month together with a day of the week means both. Libraries
  that describe crontabs say "or" there, as in most dialects, and so would promise runs that never come.
* It is told from the values that the fields stand for, however they are written: ``*/15`` and ``0,15,30,45`` are alike.

Contract 4.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from api_shim.domain.crontab import MONTHS, Crontab, parse
from api_shim.domain.crontab import WEEKDAYS as FROM_SUNDAY

WEEKDAYS = (*FROM_SUNDAY[1:], FROM_SUNDAY[0])
MOST_TIMES = 6
"""How many times of a day are listed one by one."""
SHORTEST_SPAN = 3
"""How many neighbours are told as the first to the last."""


def in_words(text: str) -> str:
    """Return a sentence, without its full stop.

    Args:
        text: a crontab.

    Raises:
        Invalid: it cannot be read, or never fires.
    """
    crontab = parse(text)
    told = " ".join(filter(None, (_times(crontab), _days(crontab), _months(crontab))))
    return told.replace(" from ", ", from ")


BOTH_DAYS = "A day of the month and a day of the week are both given: it runs only when both match."


def note_on(text: str) -> str:
    """Return what a crontab means that people may not expect; empty if there is nothing to say.

    Args:
        text: a crontab.

    Raises:
        Invalid: it cannot be read, or never fires.
    """
    crontab = parse(text)
    return BOTH_DAYS if len(crontab.days) < 31 and len(crontab.weekdays) < 7 else ""


def _times(crontab: Crontab) -> str:
    minutes, hours = sorted(crontab.minutes), sorted(crontab.hours)
    every_hour, often = len(hours) == 24, _often(minutes)
    if often:
        return often if every_hour else f"{often} {_within(hours)}"
    if not every_hour and len(minutes) * len(hours) <= MOST_TIMES:
        return f"At {_listed([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
    which = f"At {_numbered('minute', minutes)}"
    return f"{which} of every hour" if every_hour else f"{which} of {_numbered('hour', hours)}"


def _often(minutes: Sequence[int]) -> str:
    """Return how often minutes that come at the same distance all hour long do; empty for others."""
    step = 60 // len(minutes)
    if step > 30 or list(minutes) != list(range(0, 60, step)):
        return ""
    return "Every minute" if step == 1 else f"Every {step} minutes"


def _within(hours: Sequence[int]) -> str:
    if len(hours) == hours[-1] - hours[0] + 1:
        return f"from {hours[0]:02}:00 to {hours[-1]:02}:59"
    return f"of {_numbered('hour', hours)}"


def _days(crontab: Crontab) -> str:
    weekdays = [name for number, name in enumerate(WEEKDAYS, 1) if number % 7 in crontab.weekdays]
    days = sorted(crontab.days)
    any_day, any_weekday = len(days) == 31, len(weekdays) == 7
    if any_day and any_weekday:
        return "every day" if len(crontab.hours) < 24 and not _often(sorted(crontab.minutes)) else ""
    of_month = f"on {_numbered('day', days)} of the month"
    if any_weekday:
        return of_month
    if any_day:
        return _named("on", weekdays, WEEKDAYS)
    return f"{of_month} that {'is' if len(days) == 1 else 'are'} a {_listed(weekdays, 'or')}"


def _months(crontab: Crontab) -> str:
    months = [name for number, name in enumerate(MONTHS, 1) if number in crontab.months]
    return "" if len(months) == 12 else _named("in", months, MONTHS)


def _named(preposition: str, names: Sequence[str], order: Sequence[str]) -> str:
    spans = _spans(names, order)
    alone = len(spans) == 1 and len(names) > 1
    return f"{'from' if alone else preposition} {_listed(spans)}"


def _numbered(noun: str, numbers: Sequence[int]) -> str:
    names = [str(number) for number in range(60)]
    several = "s" if len(numbers) > 1 else ""
    return f"{noun}{several} {_listed(_spans([str(number) for number in numbers], names))}"


def _spans(names: Sequence[str], order: Sequence[str]) -> list[str]:
    """Return names with neighbours drawn together."""
    runs: list[list[str]] = []
    for name in names:
        if runs and order.index(name) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    return [told for run in runs for told in ([f"{run[0]} to {run[-1]}"] if len(run) >= SHORTEST_SPAN else run)]


def _listed(names: Collection[str], conjunction: str = "and") -> str:
    *others, last = names
    return f"{', '.join(others)} {conjunction} {last}" if others else last
