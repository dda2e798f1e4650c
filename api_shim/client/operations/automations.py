"""Operations on Prefect's automations: the accounts that they act as, and those that are ready-made.

* Ready-made ones tell a notification block what an administrator wants to hear of. They are known by their names and
  their description, so that installing them again changes those that are there, and none that somebody has made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel

from api_shim import schemas
from api_shim.client.protocol import (
    EXTRAS,
    Filter,
    HttpRequest,
    Operation,
    Ref,
    body_of,
    path_of,
    read,
    read_nothing,
    rows,
)
from approval_gate.errors import Invalid, NotFound

ACCOUNTS = "automation-accounts"
BY = "by {{ event.payload.actor }}"
READY_MADE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "Approval requested": (
        ("approval.requested", "approval.returned"),
        "{{ event.payload.actor or 'Somebody' }} requests approval of {{ event.resource.name }}.",
    ),
    "Run refused": (
        ("run.refused", "run.tampered"),
        "A run of {{ event.resource.name }} was refused: {{ event.payload.reason }}",
    ),
    "Schedule lost its owner": (
        ("user.removed",),
        f"{{{{ event.resource.name }}}} was removed {BY}: their schedules fail until somebody takes them over.",
    ),
    "Approval switched off": (
        ("job.approval-off",),
        f"The approval of {{{{ event.resource.name }}}} was switched off {BY}.",
    ),
}
"""The automations that are ready-made: by name, the events that each hears of, and what it tells."""
DESCRIPTION = "Made by signoff automation install."
NOTIFIES = "notify"
"""The capability of the blocks that send notifications."""

NOT_NAMED = "Name the block by its type and its name, like slack-webhook/operators."
NO_BLOCK = "Prefect has no block {block}: its page Blocks lists and makes them."
NO_NOTIFICATIONS = "The block {block} sends no notifications: name one that does, such as a Slack Webhook."


class Installed(BaseModel):
    """An automation in Prefect."""

    id: UUID
    name: str


class _Automation(Installed):
    description: str = ""


class _Schema(BaseModel):
    capabilities: list[str]


class _Block(BaseModel):
    id: UUID
    block_schema: _Schema


def automation_accounts(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.AutomationAccount]]:
    """Return the accounts that automations act as.

    Args:
        limit: the maximum number of results; None for all.
        filters: filters of the API, such as ``name``, ``user`` …

    Raises:
        Forbidden: you may not view them.
        Invalid: a filter is unknown or its value is invalid.

    Contract 2.

    >>> [bound.name for bound in shim.automation_accounts(user="admin")]
    []
    """
    return (yield from rows(schemas.AutomationAccount, ACCOUNTS, filters, limit))


def bind_automation(automation: UUID | str, *, user: Ref | None = None) -> Operation[schemas.AutomationAccount]:
    """Have an automation, as it is now, act as an account: its runs of Jobs are requests by that.

    It ends when the automation is changed.

    Args:
        automation: its id in Prefect.
        user: the name or the id of the user that it acts as; None for yourself.

    Raises:
        Forbidden: you may bind none, or not view automations, or not run each Job of it, or not change that user.
        Invalid: there is no such automation, or it runs no Job.
        Conflict: it is bound already, or the user is not active or may not run each Job of it.
        Unavailable: Prefect does not answer.

    Contract 2.

    >>> shim.bind_automation("00000000-0000-0000-0000-000000000000")
    Traceback (most recent call last):
        ...
    approval_gate.errors.Invalid: automation: There is no such automation in Prefect.
    """
    asked = {"automation": str(automation)} | ({} if user is None else {"user": str(user)})
    return read(
        schemas.AutomationAccount,
        (yield HttpRequest(method="POST", path=f"{EXTRAS}/{ACCOUNTS}/", body=body_of(asked))),
    )


def unbind_automation(automation: UUID | str) -> Operation[None]:
    """End that an automation acts as an account.

    Args:
        automation: its id in Prefect.

    Raises:
        Forbidden: you do not have permission to end it.
        NotFound: it acts as none, or you may not view that.

    Contract 2.

    >>> shim.unbind_automation("00000000-0000-0000-0000-000000000000")
    Traceback (most recent call last):
        ...
    approval_gate.errors.NotFound: No AutomationAccount matches the given query.
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(ACCOUNTS, automation))))


def install_automations(block: str) -> Operation[list[Installed]]:
    """Have Prefect tell a notification block of requests, refusals, schedules without owner and approvals switched off.

    Those that were installed before are changed to this.

    Args:
        block: the type and the name of a notification block of Prefect's, like ``slack-webhook/operators``.

    Raises:
        Forbidden: you do not have permission to change Prefect's automations.
        Invalid: the block is not written like that, or sends no notifications.
        NotFound: there is no such block.
        Unavailable: Prefect does not answer.

    >>> shim.install_automations("slack-webhook/nobody")
    Traceback (most recent call last):
        ...
    approval_gate.errors.NotFound: Prefect has no block slack-webhook/nobody: its page Blocks lists and makes them.
    """
    kind, slash, name = block.partition("/")
    if not (kind and slash and name):
        raise Invalid(NOT_NAMED)
    path = f"/api/block_types/slug/{quote(kind, safe='')}/block_documents/name/{quote(name, safe='')}"
    try:
        found = read(_Block, (yield HttpRequest(path=path)))
    except NotFound:
        raise NotFound(NO_BLOCK.format(block=block)) from None
    if NOTIFIES not in found.block_schema.capabilities:
        raise Invalid(NO_NOTIFICATIONS.format(block=block))
    installed = []
    for called, (events, text) in READY_MADE.items():
        installed.append((yield from _installed(called, _automation(called, events, text, found.id))))
    return installed


def _installed(called: str, wanted: Mapping[str, Any]) -> Operation[Installed]:
    """Make an automation, or change the one that was installed before."""
    asked = body_of({"automations": {"name": {"any_": [called]}}})
    known = read(list[_Automation], (yield HttpRequest(method="POST", path="/api/automations/filter", body=asked)))
    for each in known:
        if each.description == DESCRIPTION:
            read_nothing((yield HttpRequest(method="PUT", path=f"/api/automations/{each.id}", body=body_of(wanted))))
            return Installed(id=each.id, name=each.name)
    return read(Installed, (yield HttpRequest(method="POST", path="/api/automations/", body=body_of(wanted))))


def _automation(called: str, events: tuple[str, ...], text: str, block_id: UUID) -> dict[str, Any]:
    return {
        "name": called,
        "description": DESCRIPTION,
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": [f"signoff.{event}" for event in events],
            "match": {"prefect.resource.id": "signoff.*"},
            "threshold": 1,
            "within": 0,
        },
        "actions": [{"type": "send-notification", "block_document_id": str(block_id), "subject": called, "body": text}],
    }
