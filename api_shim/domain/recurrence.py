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
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from heapq import heappop, heappush
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from api_shim.domain.crontab import FIRST_YEAR, LAST_YEAR, MINUTE, walls_after, walls_until
from approval_gate.errors import Invalid

TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


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
    """Return the IANA names of all zones that Prefect knows, in order; of those of UTC only that one."""
    return sorted({plain_zone(name) for name in _zone_names()})


NAMES_OF_UTC = frozenset(
    {"Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu", "Etc/GMT", "GMT"}
)
"""Other names of UTC."""


def plain_zone(name: str) -> str:
    """Return ``UTC`` for any of its names, and any other name as it is."""
    return "UTC" if name in NAMES_OF_UTC else name


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
    return list(islice(times_after(r, after), n))


def times_after(r: Recurrence, after: datetime) -> Iterator[datetime]:
    """Yield all firings in UTC, strictly after ``after``, not before the start, in order."""
    return _later(cron_spec(r), max(after, r.start_time - TICK))


def newest_time(r: Recurrence, until: datetime) -> datetime | None:
    """Return the newest firing up to and including ``until``, in UTC; None before the first."""
    newest = _newest(cron_spec(r), until)
    return newest if newest and newest >= r.start_time else None


def times_within(r: Recurrence, since: datetime, until: datetime, n: int) -> list[datetime]:
    """Return the firings from ``since`` to ``until``, both included, in UTC and the newest first; at most ``n``."""
    found = list[datetime]()
    moment = newest_time(r, until)
    while moment and moment >= since and len(found) < n:
        found.append(moment)
        moment = newest_time(r, moment - TICK)
    return found


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
    zone = ZoneInfo(spec.timezone)
    # Prefect reads a skipped time by the offset that follows, as fold=1 does.
    skipped = _shown(moment, zone, clocks_of=moment + DAY)
    firing = _moment(skipped, zone)
    moved_back = firing > moment == _moment(skipped, zone, fold=1)
    due = moved_back and firing >= r.start_time and next(walls_until(spec.cron, skipped), None) == skipped
    return firing if due else None


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
    """Yield the firings strictly after a moment, in order."""
    zone = ZoneInfo(spec.timezone)
    newest, waiting = after, list[datetime]()
    for wall in walls_after(spec.cron, min(_walls(after, zone))):
        heappush(waiting, _moment(wall, zone))
        # A skipped time waits until the clocks show it: times that are not skipped may come before.
        while waiting and _shown(waiting[0], zone, clocks_of=waiting[0]) <= wall:
            moment = heappop(waiting)
            if moment > newest:
                yield moment
                newest = moment


def _newest(spec: CronSpec, until: datetime) -> datetime | None:
    """Return the newest firing up to and including a moment; None if the calendar has none."""
    zone = ZoneInfo(spec.timezone)
    newest = None
    for wall in walls_until(spec.cron, max(_walls(until, zone))):
        moment = _moment(wall, zone)
        if moment <= until:
            newest = max(newest or moment, moment)
        # Go on while there may be a skipped time that fires later still.
        if newest and wall <= min(_walls(newest, zone)):
            break
    return newest


def _moment(wall: datetime, zone: ZoneInfo, *, fold: int = 0) -> datetime:
    """Return when clocks show a wall time; with fold=0 the first of two, and a skipped one is moved on."""
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _walls(moment: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return what clocks show at a moment that are as they were a day before, and what they do show.

    Wall times earlier than both fire earlier, and later ones later: no zone skips more than a day, or changes
    its clocks twice within one.
    """
    return _shown(moment, zone, clocks_of=moment - DAY), _shown(moment, zone, clocks_of=moment)


def _shown(moment: datetime, zone: ZoneInfo, *, clocks_of: datetime) -> datetime:
    """Return the wall time of a moment by clocks as they are at another."""
    return clocks_of.astimezone(zone).replace(tzinfo=None, fold=0) + (moment - clocks_of)
