"""The answer to ``OPTIONS``: what an address is for, and the fields and choices of the objects there.

* Clients read the choices of a field from it, pynautobot's ``choices()`` among them.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api_shim import schemas
from api_shim.parsing.filters import FILTERS
from api_shim.web.bodies import FORMS
from approval_gate.model import ObjectType

Json = dict[str, Any]

SHAPES: Mapping[ObjectType, type[schemas.Object]] = {
    ObjectType.JOB: schemas.Job,
    ObjectType.SCHEDULED_JOB: schemas.ScheduledJob,
    ObjectType.JOB_RESULT: schemas.JobResult,
    ObjectType.JOB_LOG_ENTRY: schemas.JobLogEntry,
    ObjectType.JOB_QUEUE: schemas.JobQueue,
    ObjectType.JOB_BUTTON: schemas.JobButton,
    ObjectType.JOB_HOOK: schemas.JobHook,
    ObjectType.AUTOMATION_ACCOUNT: schemas.AutomationAccount,
    ObjectType.APPROVAL_REQUEST: schemas.ApprovalRequest,
    ObjectType.USER: schemas.User,
    ObjectType.GROUP: schemas.Group,
    ObjectType.TOKEN: schemas.Token,
    ObjectType.PERMISSION: schemas.Permission,
}
"""What is told of each type of object."""

TYPES: Mapping[str, str] = {"array": "list", "number": "float", "object": "nested object"}
"""What clients call the types of JSON schema, where they call them otherwise."""


def options_of(kind: ObjectType | None) -> Json:
    """Return the answer to ``OPTIONS``.

    Args:
        kind: the type of the objects at the address; None for another address.
    """
    told: Json = {
        "name": SHAPES[kind].__name__ if kind else "prefect-signoff",
        "description": "See /api/schema/ for what this address does.",
        "renders": ["application/json", "text/csv"],
        "parses": ["application/json", *FORMS],
    }
    return told | ({"actions": {"POST": _fields(kind)}} if kind else {})


def _fields(kind: ObjectType) -> Json:
    schema = SHAPES[kind].model_json_schema(mode="serialization")
    if "properties" not in schema:
        # One that has a related object of its own type is defined beside.
        schema = schema["$defs"][SHAPES[kind].__name__]
    return {name: _field(kind, name, said) for name, said in schema["properties"].items()}


def _field(kind: ObjectType, name: str, schema: Json) -> Json:
    first = schema.get("anyOf", [schema])[0]
    word = "datetime" if first.get("format") == "date-time" else first.get("type", "object")
    asked = FILTERS[kind].get(name)
    choices = asked.kind.schema.get("enum") if asked else None
    return {
        "type": "choice" if choices else TYPES.get(word, word),
        "label": name.replace("_", " ").capitalize(),
        "help_text": schema.get("description", ""),
        **({"choices": [{"value": choice, "display": choice} for choice in choices]} if choices else {}),
    }
