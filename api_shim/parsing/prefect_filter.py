"""Prefect's filters, narrowed to what a caller may view.

* A narrowed filter matches what it matched before, and of that only what is allowed. It never matches more.
* What a client asks for by id or name stays, as far as it is allowed; a filter that asks for none is given all that is
  allowed. Where nothing is allowed, it is given one that nothing has, because Prefect takes some empty lists for none.
* What cannot be narrowed is refused with a sentence: criteria combined with ``or_``, and those that Prefect would let
  overrule the ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import UUID

from api_shim.parsing.fields import read_id
from approval_gate.errors import Invalid

MISSHAPEN = "This filter cannot be read."
OR = "This filter combines criteria with or_, which needs the permission to view everything in Prefect."
CRITERION = "The criterion {} of {} needs the permission to view everything in Prefect."
NOBODYS_NAME = "/"
"""A name that no flow has, because Prefect forbids it; and no resource."""

ADDED = frozenset({"any_", "not_any_", "like_"})
"""Criteria that Prefect combines with ``and``."""


class Thing(Enum):
    """What a criterion names."""

    RUN = auto()
    DEPLOYMENT = auto()
    FLOW = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Criterion:
    """Where a filter names what it is about.

    Args:
        field: the field of the filter, whose ``any_`` has the names.
        names: what they name.
    """

    field: str
    names: Thing


CRITERIA: Mapping[str, Criterion] = {
    "flow_runs": Criterion(field="id", names=Thing.RUN),
    "task_runs": Criterion(field="flow_run_id", names=Thing.RUN),
    "deployments": Criterion(field="id", names=Thing.DEPLOYMENT),
    "flows": Criterion(field="name", names=Thing.FLOW),
    "logs": Criterion(field="flow_run_id", names=Thing.RUN),
}
"""The filters in the bodies of Prefect's queries that are narrowed, by their key in the body."""


def read_filters(body: object) -> Mapping[str, Any]:
    """Return the body of a query.

    Raises:
        Invalid: it is no object.
    """
    return _object(body)


def named(body: Mapping[str, Any], key: str) -> list[UUID] | None:
    """Return the ids that a filter asks for; None if it asks for no particular ones.

    Raises:
        Invalid: the filter cannot be read.
    """
    criterion = CRITERIA[key]
    asked = _object(_object(body.get(key)).get(criterion.field)).get("any_")
    return None if asked is None else ids_of(asked)


def ids_of(asked: object) -> list[UUID]:
    """Return the ids in a list, without what is none.

    Raises:
        Invalid: it is no list of texts.
    """
    return [found for found in map(read_id, _texts(asked)) if found is not None]


def narrowed(body: Mapping[str, Any], key: str, allowed: Collection[UUID] | Collection[str]) -> Mapping[str, Any]:
    """Return the body of a query with one of its filters narrowed.

    Args:
        body: the body.
        key: the filter's key in it; a key of ``CRITERIA``.
        allowed: the ids, or the names of flows, that the filter may match.

    Raises:
        Invalid: the filter cannot be read, or cannot be narrowed.
    """
    where = CRITERIA[key]
    criteria = _object(body.get(key))
    criterion = _object(criteria.get(where.field))
    for combined in (criteria, criterion):
        if combined.get("operator") not in (None, "and_"):
            raise Invalid(OR)
    for name, value in criterion.items():
        if name not in ADDED and name != "operator" and value is not None:
            raise Invalid(CRITERION.format(str(name)[:50], where.field))
    asked = criterion.get("any_")
    kept = _names(where.names, asked, allowed)
    return {**body, key: {**criteria, where.field: {**criterion, "any_": kept}}}


def _names(thing: Thing, asked: object, allowed: Collection[Any]) -> list[str]:
    if thing is Thing.FLOW:
        names = sorted(allowed) if asked is None else [name for name in _texts(asked) if name in allowed]
        return names or [NOBODYS_NAME]
    ids = allowed if asked is None else [each for each in ids_of(asked) if each in allowed]
    return sorted(map(str, ids)) or [str(UUID(int=0))]


def named_resources(body: Mapping[str, Any]) -> list[str] | None:
    """Return the resources that a query for events asks for; None if it asks for no particular ones.

    Raises:
        Invalid: the filter cannot be read.
    """
    asked = _object(_object(body.get("filter")).get("resource")).get("id")
    # Prefect takes an empty list of resources for none at all.
    return _texts(asked) if asked else None


def narrowed_events(body: Mapping[str, Any], allowed: Collection[str]) -> Mapping[str, Any]:
    """Return the body of a query for events, narrowed to events about these resources.

    Args:
        body: the body.
        allowed: the ids of the resources.

    Raises:
        Invalid: the filter cannot be read.
    """
    criteria = _object(body.get("filter"))
    asked = named_resources(body)
    kept = sorted(allowed) if asked is None else [each for each in asked if each in allowed]
    resource = {**_object(criteria.get("resource")), "id": kept or [NOBODYS_NAME]}
    return {**body, "filter": {**criteria, "resource": resource}}


def _object(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(MISSHAPEN)
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid(MISSHAPEN)
    return value
