"""``/api/extras/automation-accounts``: the accounts that Prefect's automations act as, by the automations' ids.

Contract 2.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.parsing.automation_account import NewAutomationAccount
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Ref, Use
from api_shim.web.rest.expansion import answer_one, answer_page
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.protocol import id_in, no_content, permission_first
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/automation-accounts", tags=["automation-accounts"])
KIND = ObjectType.AUTOMATION_ACCOUNT


@router.get("", **a_list(schemas.AutomationAccount, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the accounts that automations act as."""
    return await answer_page(request, actor, use, KIND)


@router.post("", **answers(schemas.AutomationAccount, 201, body=NewAutomationAccount, also=[409]))
async def bind(request: Request, actor: Caller, use: Use) -> Response:
    """Have an automation, as it is now, act as an account: its runs of Jobs are requests by that.

    That ends when the automation is changed. The caller and the account may run each Job that it names.
    """
    with permission_first(request, actor, KIND):
        body = await read_body(request)
    return await answer_one(request, actor, use, KIND, await use.automation_accounts.bind(actor, body), 201)


@router.get("/{ref}", **one(schemas.AutomationAccount))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show the account that an automation acts as."""
    return await answer_one(request, actor, use, KIND, await use.queries.one(actor, KIND, id=id_in(ref, KIND)))


@router.delete("/{ref}", **answers(None, 204))
async def unbind(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """End that an automation acts as an account."""
    await use.automation_accounts.unbind(actor, id_in(ref, KIND))
    return no_content(request)
