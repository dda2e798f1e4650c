"""Operations on the accounts that Prefect's automations act as: list, bind and unbind them."""

from __future__ import annotations

from uuid import UUID

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

ACCOUNTS = "automation-accounts"


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
