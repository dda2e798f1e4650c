"""What a permission grants, in words: what its holders can do with what, and what that is limited to.

* One that can no longer be read, or that is switched off, grants nothing, and it is said so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from api_shim.domain.accounts import Permission
from api_shim.services.authentication import grant_of
from approval_gate.constraints import CALLER, Lookup, Op
from approval_gate.model import Action, ObjectType

KINDS: Mapping[ObjectType, str] = {
    ObjectType.JOB: "Jobs",
    ObjectType.SCHEDULED_JOB: "scheduled jobs",
    ObjectType.JOB_RESULT: "job results",
    ObjectType.JOB_LOG_ENTRY: "log lines",
    ObjectType.JOB_QUEUE: "job queues",
    ObjectType.JOB_BUTTON: "job buttons",
    ObjectType.JOB_HOOK: "job hooks",
    ObjectType.AUTOMATION_ACCOUNT: "automation accounts",
    ObjectType.APPROVAL_REQUEST: "requests for approval",
    ObjectType.USER: "users",
    ObjectType.GROUP: "groups",
    ObjectType.TOKEN: "tokens",
    ObjectType.PERMISSION: "permissions",
    ObjectType.PREFECT: "everything else in Prefect",
    ObjectType.METRICS: "the metrics",
}
"""What each type of object is called."""

ACTIONS: Mapping[Action, str] = {
    Action.VIEW: "view",
    Action.ADD: "add",
    Action.CHANGE: "change",
    Action.DELETE: "delete",
    Action.RUN: "run",
    Action.APPROVE: "approve requests of",
    Action.WRITE: "write",
}

UNREADABLE = "It can no longer be read, so it grants nothing."
OFF = "It is disabled, so it grants nothing."
DANGEROUS = "Whoever may write in Prefect can run any code on the workers."
AS_OTHERS = "Whoever has it can act with the rights of other users, except superusers."
GRANTING = frozenset({ObjectType.USER, ObjectType.TOKEN, ObjectType.PERMISSION})
"""The types with which somebody can act with the rights of others, if they may add or change them."""

COMPARED: Mapping[Op, str] = {
    Op.EXACT: "is",
    Op.IEXACT: "is (ignoring case)",
    Op.IN: "is one of",
    Op.CONTAINS: "contains",
    Op.ICONTAINS: "contains (ignoring case)",
    Op.STARTSWITH: "begins with",
    Op.ISTARTSWITH: "begins with (ignoring case)",
    Op.ENDSWITH: "ends with",
    Op.IENDSWITH: "ends with (ignoring case)",
    Op.GT: "is more than",
    Op.GTE: "is at least",
    Op.LT: "is less than",
    Op.LTE: "is at most",
}


def granted(permission: Permission) -> str:
    """Return what a permission grants, as a sentence."""
    grant = grant_of(permission)
    if grant is None:
        return UNREADABLE
    actions = listed([word for action, word in ACTIONS.items() if action in grant.actions])
    kinds = listed([word for kind, word in KINDS.items() if kind in grant.object_types])
    limits = (
        ""
        if grant.constraint.unlimited
        else ", but only those "
        + ", or those ".join(
            "whose " + listed([_lookup(lookup) for lookup in every]) for every in grant.constraint.alternatives
        )
    )
    return f"Can {actions} {kinds}{limits}."


def remarks(permission: Permission) -> list[str]:
    """Return what is to be known of a permission besides, in sentences."""
    grant = grant_of(permission)
    if grant is None:
        return []
    writes = Action.WRITE in grant.actions and ObjectType.PREFECT in grant.object_types
    gives = bool(grant.actions & {Action.ADD, Action.CHANGE}) and bool(grant.object_types & GRANTING)
    return [
        *([OFF] if not permission.enabled else []),
        *([DANGEROUS] if writes else []),
        *([AS_OTHERS] if gives else []),
    ]


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return words as a list in a sentence."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _lookup(lookup: Lookup) -> str:
    *of, name = reversed([part.replace("_", " ") for part in lookup.path.split("__")])
    attribute = " of its ".join([*of, name]) if of else name
    if lookup.op is Op.ISNULL:
        return f"{attribute} is {'empty' if lookup.value else 'not empty'}"
    return f"{attribute} {COMPARED[lookup.op]} {_value(lookup.value)}"


def _value(value: Any) -> str:
    match value:
        case tuple() | list():
            return listed([_value(each) for each in value], "or")
        case str() if value == CALLER:
            return "whoever asks"
        case bool():
            return "yes" if value else "no"
        case None:
            return "empty"
        case str():
            return f"“{value}”"
        case _:
            return str(value)


def chosen(words: Collection[str], known: Mapping[Any, str]) -> list[tuple[str, str, bool]]:
    """Return the choices of a form: each value, what it is called, and whether it is among the words."""
    return [(str(each), called, str(each) in words) for each, called in known.items()]
