"""The forms about notifications, read into values or refused in sentences by field."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from api_shim.domain.notifications import CHOICES, Frequency, Topic, Way
from approval_gate.errors import Invalid

LONGEST_ADDRESS = 2000

FREQUENCY = "Choose at once, hourly or daily."
HOUR = "Enter an hour of the day, from 0 to 23."
WAY = "Choose mail or a service."
ADDRESS = "Enter an address."
TOO_LONG = f"An address has {LONGEST_ADDRESS} characters at most."
UNPRINTABLE = "An address has no spaces or control characters."


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What somebody wants to be told, and how often."""

    topics: tuple[Topic, ...]
    frequency: Frequency
    hour: int


def read_choice(topics: Collection[str], form: Mapping[str, str]) -> Choice:
    """Read what somebody chooses; topics that there are not are passed over.

    Args:
        topics: what of.
        form: ``frequency`` and ``hour``.

    Raises:
        Invalid: one of them cannot be read.
    """
    faults: dict[str, list[str]] = {}
    frequency, hour = form.get("frequency", ""), form.get("hour", "").strip()
    if frequency not in {*Frequency}:
        faults["frequency"] = [FREQUENCY]
    if not (hour.isascii() and hour.isdigit() and len(hour) <= 2 and int(hour) < 24):
        faults["hour"] = [HOUR]
    if faults:
        raise Invalid(faults)
    return Choice(
        topics=tuple(topic for topic in CHOICES if topic in topics), frequency=Frequency(frequency), hour=int(hour)
    )


def read_target(form: Mapping[str, str]) -> tuple[Way, str]:
    """Read where somebody wants to be told.

    Args:
        form: ``way`` and ``address``.

    Raises:
        Invalid: one of them cannot be read; the address is not repeated.
    """
    way, address = form.get("way", ""), form.get("address", "").strip()
    if way not in {*Way}:
        raise Invalid({"way": [WAY]})
    if not address:
        raise Invalid({"address": [ADDRESS]})
    if len(address) > LONGEST_ADDRESS:
        raise Invalid({"address": [TOO_LONG]})
    if " " in address or not address.isprintable():
        raise Invalid({"address": [UNPRINTABLE]})
    return Way(way), address
