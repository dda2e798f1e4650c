"""When a scheduled job fires, and how Prefect is told.

* hourly repeats in UTC, where no hour is missing or double; daily and weekly fire at the wall-clock time that
  the start time has in the time zone; a start within a minute counts as the next full minute.
* A time that the clocks skip fires as much later as they skip (02:30 at 03:30); one that comes twice fires
  once, the first time. Nothing fires before the start time.
* Some versions of Prefect move a skipped time back instead (02:30 to 01:30): ``nominal_time`` says which
  firing is meant, so that it is neither refused nor executed twice.
* Prefect may leave a firing out: one that it moves back onto another, or, when a crontab names both early and
  last days of the month (``*/5``), 1 or 2 March. It is due all the same, and so can be made up for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

from api_shim.domain.crontab import DAY, FIRST_YEAR, LAST_YEAR, parse
from approval_gate.errors import Invalid

TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class Interval(StrEnum):
    """How often a scheduled job fires (contract 4)."""

    IMMEDIATELY = "immediately"
    FUTURE = "future"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    CUSTOM = "custom"

    @property
    def recurring(self) -> bool:
        return self not in {Interval.IMMEDIATELY, Interval.FUTURE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recurrence:
    """Firings again and again.

    Args:
        interval: a recurring one.
        start_time: nothing fires before it; aware, and checked with ``check_start_time``.
        time_zone: IANA name, checked with ``check_time_zone``.
        crontab: of a custom interval, checked with ``check_crontab``.
    """

    interval: Interval
    start_time: datetime
    time_zone: str
    crontab: str = ""

    def __post_init__(self) -> None:
        if not self.interval.recurring:
            raise ValueError(f"{self.interval} does not recur")
        if self.start_time.tzinfo is None:
            raise ValueError("a start time without a zone is no moment")


@dataclass(frozen=True, kw_only=True, slots=True)
class CronSpec:
    """What Prefect's ``CronSchedule`` is given: exactly these names and values."""

    cron: str
    timezone: str
    day_or: bool = False


def check_time_zone(name: str) -> str:
    """Return the IANA name of a zone that Prefect knows; raise ``Invalid`` for others (contract 9.11)."""
    if name not in _zone_names():
        raise Invalid(f"There is no time zone {name[:50]!r}; use a name such as Europe/Berlin or UTC.")
    return name


def time_zones() -> list[str]:
    """Return the IANA names of all zones that Prefect knows, in order."""
    return sorted(_zone_names())


def check_start_time(moment: datetime) -> datetime:
    """Return an aware moment in UTC; raise ``Invalid`` if it is too far away to reckon with (contract 4).

    Whether it is past is for the caller to say.
    """
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Invalid(f"Please enter a start time between the years {FIRST_YEAR} and {LAST_YEAR}.")
    return moment.astimezone(UTC)


def cron_spec(r: Recurrence) -> CronSpec:
    """Return the schedule with which Prefect fires like this; it has no start, see ``active_from``."""
    if r.interval is Interval.CUSTOM:
        return CronSpec(cron=r.crontab, timezone=r.time_zone)
    zone = "UTC" if r.interval is Interval.HOURLY else r.time_zone
    at = _full_minute(r.start_time).astimezone(ZoneInfo(zone))
    cron = {
        Interval.HOURLY: f"{at.minute} * * * *",
        Interval.DAILY: f"{at.minute} {at.hour} * * *",
        Interval.WEEKLY: f"{at.minute} {at.hour} * * {at.isoweekday() % 7}",
    }[r.interval]
    return CronSpec(cron=cron, timezone=zone)


def next_times(r: Recurrence, after: datetime, n: int) -> list[datetime]:
    """Return the next ``n`` firings in UTC, strictly after ``after``, not before the start (contract 10)."""
    return list(islice(_later(cron_spec(r), max(after, r.start_time - TICK)), n))


def newest_time(r: Recurrence, until: datetime) -> datetime | None:
    """Return the newest firing up to and including ``until``, in UTC; None before the first."""
    newest = _newest(cron_spec(r), until)
    return newest if newest and newest >= r.start_time else None


def times_within(r: Recurrence, since: datetime, until: datetime, n: int) -> list[datetime]:
    """Return the firings from ``since`` to ``until``, both included, in UTC and the newest first; at most ``n``."""
    spec = cron_spec(r)
    first = until.astimezone(ZoneInfo(spec.timezone)).date() + DAY
    back = (moment for moment in _firings(spec, first, -1) if moment <= until)
    return list(islice(takewhile(lambda moment: moment >= max(since, r.start_time), back), n))


def first_time(crontab: str, time_zone: str, after: datetime) -> datetime:
    """Return the next match, in UTC and strictly after ``after``: a custom start time (contract 9.13)."""
    return next(_later(CronSpec(cron=crontab, timezone=time_zone), after))


def nominal_time(r: Recurrence, moment: datetime) -> datetime | None:
    """Return the firing, in UTC, that a run with this ``expected_start_time`` stands for; None if for none.

    It is that moment itself, or later by as much as the clocks skip if Prefect moved a skipped time back:
    then the run has to wait. What is executed must be counted by firing, not by what Prefect expects.
    """
    if next_times(r, moment - TICK, 1) == [moment]:
        return moment.astimezone(UTC)
    spec = cron_spec(r)
    zone, crontab = ZoneInfo(spec.timezone), parse(spec.cron)
    today = moment.astimezone(zone).date()
    meant: dict[datetime, datetime] = {}
    for day in (today, today + DAY):
        # With fold=1 a skipped time is read by the offset that follows: the moment to which it is moved back.
        meant |= zip(crontab.moments(day, zone, fold=1), crontab.moments(day, zone), strict=True)
    firing = meant.get(moment, moment)
    return firing if firing > moment and firing >= r.start_time else None


def is_firing(r: Recurrence, moment: datetime) -> bool:
    """Say whether a run with this ``expected_start_time`` stands for a firing, see ``nominal_time``."""
    return nominal_time(r, moment) is not None


def active_from(r: Recurrence) -> datetime:
    """Return when the Prefect schedule may be switched on, so that none of its runs is before the start time.

    Prefect makes runs from now on, by the clock on the wall. So the last match before the first firing must
    have gone by there; in an hour that comes twice, for the second time if the first firing leaves room.
    """
    spec = cron_spec(r)
    first = next(_later(spec, r.start_time - TICK))
    earlier = _newest(spec, first - TICK)
    if earlier is None:
        return r.start_time
    again = earlier.astimezone(ZoneInfo(spec.timezone)).replace(fold=1).astimezone(UTC)
    return (again if again < first else earlier) + SECOND


def _full_minute(moment: datetime) -> datetime:
    """Round up, for a crontab knows no seconds and nothing may fire before the start time."""
    floor = moment.replace(second=0, microsecond=0)
    return floor if floor == moment else floor + MINUTE


@cache
def _zone_names() -> frozenset[str]:
    # These two lie among the zones on some machines; Prefect's scheduler fails on them.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _later(spec: CronSpec, after: datetime) -> Iterator[datetime]:
    first = after.astimezone(ZoneInfo(spec.timezone)).date()
    return (moment for moment in _firings(spec, first, 1) if moment > after)


def _newest(spec: CronSpec, until: datetime) -> datetime | None:
    # One day more, for clocks that go back at midnight show the earlier date again.
    first = until.astimezone(ZoneInfo(spec.timezone)).date() + DAY
    return next((moment for moment in _firings(spec, first, -1) if moment <= until), None)


def _firings(spec: CronSpec, first: date, step: int) -> Iterator[datetime]:
    """Yield the firings from the local date ``first`` on in order; with step -1 those up to it, backwards."""
    done = None
    for day in parse(spec.cron).dates(first - step * DAY, step):
        # A time that is skipped just before midnight fires on the day that follows.
        for landing in (day, day + DAY)[::step]:
            if landing != done and (landing - first).days * step >= 0:
                yield from _landed(spec, landing)[::step]
                done = landing


@lru_cache(maxsize=128)
def _landed(spec: CronSpec, landing: date) -> tuple[datetime, ...]:
    """Return the firings on a local date; kept, for lists ask about the same days again and again."""
    crontab, zone = parse(spec.cron), ZoneInfo(spec.timezone)
    moments = {*crontab.moments(landing - DAY, zone), *crontab.moments(landing, zone)}
    return tuple(sorted(m for m in moments if m.astimezone(zone).date() == landing))
