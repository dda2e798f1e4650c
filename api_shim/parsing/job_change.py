"""Reads a change of a Job: what an administrator has sent becomes values, or sentences about its faults.

* Only what is sent changes; what cannot be changed is refused, so that nobody believes that it was.
* Setting a field overrides what the code declares, unless its override is taken back in the same change.
* Queues are named, or referred to as ``GET`` shows them: by id, or by an object with an id.
* Several Jobs are changed by a list of such changes, each with the id of its Job.
* ``task_queues`` is another name of ``job_queues``, which counts if both are given.

Contract 3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Required
from uuid import UUID

from pydantic import AfterValidator, Field, TypeAdapter, ValidationInfo, with_config
from typing_extensions import TypedDict

from api_shim.domain.model import OVERRIDABLE, Job, queue_id
from api_shim.parsing.deletions import read_ids
from api_shim.parsing.fields import read_id, read_object
from api_shim.parsing.sentences import REQUIRED, STRICT, Identified, all_as, read, rule
from approval_gate.errors import Invalid
from flows.definition import is_queue_name
from flows.inputs import is_storable

LONGEST_TEXT = 10_000
LONGEST_LIMIT = 10_000_000
"""Seconds."""

NO_QUEUE = "There is no job queue {name!r}, or none that you may see."

ALIASES = {"task_queues": "job_queues", "task_queues_override": "job_queues_override"}

NamesOf = Callable[[Collection[UUID]], Mapping[UUID, str]]
"""Returns the names of queues by id, of those that the caller may see."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What a change is read by."""

    job: Job
    names_of: NamesOf


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError
    return text


def _sound(queue: str | Identified) -> str | Identified:
    if isinstance(queue, str) and not is_queue_name(queue):
        raise ValueError
    return queue


def _named(queues: list[str | Identified], info: ValidationInfo[_Reading]) -> tuple[str, ...]:
    """Return the names of queues, each once; those that the Job has stay as the store keeps them."""
    reading = info.context
    ids = [queue["id"] if isinstance(queue, dict) else read_id(queue) for queue in queues]
    names = _names({each for each in ids if each}, reading)
    found = tuple(dict.fromkeys(_name(queue, names) for queue in queues))
    return reading.job.job_queues if found == reading.job.queues else found


def _names(ids: Collection[UUID], reading: _Reading) -> Mapping[UUID, str]:
    own = {queue_id(name): name for name in reading.job.queues}
    others = {each for each in ids if each not in own}
    return {**own, **(reading.names_of(others) if others else {})}


def _name(queue: str | Identified, names: Mapping[UUID, str]) -> str:
    if isinstance(queue, dict):
        if queue["id"] not in names:
            raise Invalid(NO_QUEUE.format(name=str(queue["id"])))
        return names[queue["id"]]
    thing_id = read_id(queue)
    # What looks like an id may be a name all the same.
    return names.get(thing_id, queue) if thing_id else queue


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_storable), all_as("not_text", most=LONGEST_TEXT)]
Seconds = Annotated[
    float,
    Field(ge=0, le=LONGEST_LIMIT, allow_inf_nan=False, description="0 is no limit."),
    all_as("not_seconds", most=LONGEST_LIMIT),
]
Queues = Annotated[
    list[Annotated[str | Identified, AfterValidator(_sound)]],
    all_as("not_queues"),
    AfterValidator(rule(_named)),
    Field(description="Work queues by name, by id, or by an object with an id."),
]


@with_config(STRICT)
class JobChange(TypedDict, total=False):
    """What an administrator decides about a Job; a field's `_override` set to false takes the decision back.

    What `GET` gave can be sent back: a field that cannot be changed is accepted as long as it is as `GET` shows it.
    """

    enabled: bool
    description: Text
    approval_required: bool
    has_sensitive_variables: bool
    is_singleton: bool
    hidden: bool
    dryrun_default: bool
    soft_time_limit: Seconds
    time_limit: Seconds
    job_queues: Queues
    task_queues: Annotated[Queues, Field(description="The same as `job_queues`.")]
    description_override: bool
    approval_required_override: bool
    has_sensitive_variables_override: bool
    is_singleton_override: bool
    hidden_override: bool
    dryrun_default_override: bool
    soft_time_limit_override: bool
    time_limit_override: bool
    job_queues_override: bool
    task_queues_override: bool


_CHANGE: TypeAdapter[Any] = TypeAdapter(JobChange)


@with_config(STRICT)
class JobChangeOf(JobChange):
    """What an administrator decides about one of several Jobs."""

    id: Required[UUID]


def read_job_changes(body: Any) -> dict[UUID, Mapping[str, Any]]:
    """Return the bodies of changes of several Jobs, by their ids: ``[{"id": "<uuid>", …}, …]``.

    Raises:
        Invalid: not a list, or an item has no id; with the fault at its place in a list.
        TooLarge: there are more than can be changed at once.
    """
    ids = read_ids(body)
    if not all(isinstance(item, Mapping) for item in body):
        raise Invalid([{} if isinstance(item, Mapping) else {"id": [REQUIRED]} for item in body])
    return {job_id: {k: v for k, v in item.items() if k != "id"} for job_id, item in zip(ids, body, strict=True)}


def read_job_change(body: object, job: Job, names_of: NamesOf) -> dict[str, Any]:
    """Return what is to change of a Job, field by field.

    Args:
        body: what was sent, decoded.
        job: the Job as it stands.
        names_of: returns the names of queues by id, of those that the caller may see.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    sent = read_object(body)
    renamed = {ALIASES.get(name, name): value for name, value in sent.items() if ALIASES.get(name) not in sent}
    change: Mapping[str, Any] = read(_CHANGE, renamed, context=_Reading(job=job, names_of=names_of))
    overridden = set(job.overridden)
    to = {"enabled": change["enabled"]} if "enabled" in change else {}
    for field in OVERRIDABLE:
        if change.get(f"{field}_override", field in change):
            to[field] = change.get(field, getattr(job, field))
            overridden.add(field)
        elif f"{field}_override" in change:
            declared = job.declared[field]
            to[field] = tuple(declared) if isinstance(declared, list) else declared
            overridden.discard(field)
    return {**to, "overridden": tuple(sorted(overridden))}
