"""Reads what people prefer: from the form of the pages, and from the API.

* A time zone is one that schedules can have, and is written ``UTC`` under whichever of its names it is chosen.
* All faults are told at once, each under its field.
* The API has the names that Nautobot documents: ``timezone``, and ``per_page`` of ``pagination``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from api_shim.domain.accounts import PAGE_SIZES
from api_shim.domain.recurrence import check_time_zone, plain_zone
from api_shim.parsing.fields import read_object
from api_shim.parsing.sentences import STRICT, read, rule
from approval_gate.errors import Invalid

SIZES = ", ".join(map(str, PAGE_SIZES))


def _zone(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("Enter the name of a time zone, such as Europe/Berlin.")
    name = value.strip()
    return check_time_zone(plain_zone(name)) if name else ""


def _size(value: Any) -> int:
    if isinstance(value, bool) or value not in (0, *PAGE_SIZES):
        raise Invalid(f"Choose one of {SIZES}, or 0 for the usual number.")
    return int(value)


READERS: Mapping[str, Callable[[Any], Any]] = {"time_zone": _zone, "page_size": _size}
"""What can be preferred, and what reads it."""


def read_preferences(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of some preferences, by their names.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    values, faults = {}, {}
    for name, value in asked.items():
        try:
            values[name] = READERS[name](value)
        except KeyError:
            faults[name] = ["There is no such preference."]
        except Invalid as error:
            faults[name] = [str(error)]
    if faults:
        raise Invalid(faults)
    return values


@with_config(STRICT)
class PaginationChange(TypedDict, total=False):
    """How long lists are."""

    per_page: Annotated[int, BeforeValidator(rule(_size)), Field(description=f"One of {SIZES}; 0 is the usual number.")]


@with_config(STRICT)
class PreferencesChange(TypedDict, total=False):
    """What the caller prefers from now on; what is not sent stays."""

    timezone: Annotated[
        str, BeforeValidator(rule(_zone)), Field(description="An IANA name; empty for that of the browser.")
    ]
    pagination: PaginationChange


_CHANGE: TypeAdapter[Any] = TypeAdapter(PreferencesChange)


def read_preferences_change(body: object) -> dict[str, Any]:
    """Return what a body changes of somebody's preferences, by their names here.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    change = read(_CHANGE, read_object(body))
    sent = {"time_zone": change.get("timezone"), "page_size": change.get("pagination", {}).get("per_page")}
    return {name: value for name, value in sent.items() if value is not None}
