"""``/signoff/account``: somebody's own account, their password, tokens and sessions.

* Everybody has these of their own, without a permission. What is somebody else's is not found.
* The key of a token is shown once, in the answer to its creation, and kept nowhere.
* A token is revoked after a page that tells what ends with it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.domain.accounts import Token
from api_shim.parsing.fields import read_count
from api_shim.parsing.run_request import read_time
from api_shim.services.accounts import tokens_from
from api_shim.services.own_account import OwnAccount
from api_shim.store import Listing
from api_shim.web.credentials import address_of
from api_shim.web.errors import headers_of, status_of
from api_shim.web.pages.lists import tested
from api_shim.web.pages.run_form import faults_in
from api_shim.web.pages.visit import SIGN_IN, Here, Posted, Visit, text_of
from approval_gate.constraints import Op
from approval_gate.errors import GateError, Invalid, NotFound, sentences
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/signoff/account")
HOME = "/signoff/account"
TOKEN = ObjectType.TOKEN
REVOKED = "The token was revoked."
TYPED_TWICE = "The two new passwords do not match."
LABELS = {
    "present": "Current password",
    "new": "New password",
    "again": "Repeat the new password",
    "description": "What it is for",
    "expires": "Expires",
}


@router.get("")
async def account(here: Here) -> Response:
    return await _page(here)


@router.post("/password")
async def change_password(here: Here, form: Posted) -> Response:
    new = text_of(form, "new")
    try:
        if new != text_of(form, "again"):
            raise Invalid({"again": [TYPED_TWICE]})
        address = address_of(here.request.scope)
        await _own(here).change_password(here.visitor, text_of(form, "present"), new, address)
    except GateError as error:
        return await _page(here, error, of="password")
    return await here.go(HOME, "Your password was changed. You are signed out everywhere else.")


@router.post("/tokens")
async def add_token(here: Here, form: Posted) -> Response:
    try:
        added = await here.use.accounts.add(here.actor, TOKEN, token_fields(form, here.zone))
    except GateError as error:
        return await _page(here, error, of="token", typed=form)
    return await here.show("new_token.html", token=added.thing, key=added.key, whose="", back=HOME, title="Account")


@router.get("/tokens/{token_id}/revoke")
async def ask_to_revoke(token_id: UUID, here: Here) -> Response:
    return await revocation(here, await _own_token(here, token_id), HOME, "Account")


@router.post("/tokens/{token_id}/revoke")
async def revoke(token_id: UUID, here: Here, _form: Posted) -> Response:
    token = await _own_token(here, token_id)
    try:
        await here.use.accounts.remove(here.actor, TOKEN, {"id": token_id})
    except GateError as error:
        return await revocation(here, token, HOME, "Account", error)
    return await here.go(HOME, REVOKED)


@router.post("/sessions/end-others")
async def end_other_sessions(here: Here, _form: Posted) -> Response:
    ended = await _own(here).end_others(here.visitor)
    notice = (
        f"{ended} other {'session' if ended == 1 else 'sessions'} ended." if ended else "There are no other sessions."
    )
    return await here.go(HOME, notice)


@router.post("/sessions/{session_id}/end")
async def end_session(session_id: UUID, here: Here, _form: Posted) -> Response:
    await _own(here).end(here.visitor, session_id)
    return await here.go(SIGN_IN if session_id == here.session.id else HOME, "The session was ended.")


def typed_token(form: FormData) -> dict[str, str]:
    """Return what was typed into the form of a token, to show it again."""
    return {name: text_of(form, name) for name in ("description", "expires", "access")}


def token_fields(form: FormData, zone: str) -> dict[str, Any]:
    """Return what a form asks for in a token.

    Args:
        form: the form.
        zone: the IANA name of the time zone in which its end is typed.
    """
    expires = text_of(form, "expires").strip()
    with suppress(Invalid):
        # It is typed as the visitor reads times; what is none is refused with the other fields.
        expires = read_time(expires, zone).isoformat()
    return {
        "description": text_of(form, "description").strip(),
        "write_enabled": text_of(form, "access") != "read",
        **({"expires": expires} if expires else {}),
    }


async def revocation(
    here: Visit, token: Token, back: str, title: str, error: GateError | None = None, whose: str = ""
) -> Response:
    """Show what ends with a token, and ask whether to revoke it.

    Args:
        here: the visit.
        token: the token.
        back: the page that leads here.
        title: what that is called.
        error: why it could not be revoked.
        whose: the name of its user; empty for the visitor's own.
    """
    return await here.show(
        "revoke_token.html",
        200 if error is None else status_of(error),
        token=token,
        whose=whose,
        others=len(await here.use.store.read(lambda tx: tokens_from(tx, token))),
        own=here.session.token_id == token.id,
        back=back,
        title=title,
        faults=[*sentences(error.detail)] if error is not None else [],
    )


async def _own_token(here: Visit, token_id: UUID) -> Token:
    token: Token = await here.use.queries.one(here.actor, TOKEN, id=token_id)
    if token.user_id != here.actor.id:
        raise missing(TOKEN)
    return token


def _own(here: Visit) -> OwnAccount:
    return OwnAccount(here.use.store, here.sessions, here.use.refusals, here.use.clock)


async def _page(
    here: Visit, error: GateError | None = None, *, of: str = "", typed: FormData | None = None
) -> Response:
    if isinstance(error, NotFound):
        raise error
    offset = read_count(here.request.query_params.get("offset", ""))
    mine = tested("user", Op.EXACT, here.actor.id)
    listing = Listing(where=(mine,), sort=("-created",), limit=here.page_size, offset=offset)
    answer = await here.show(
        "account.html",
        200 if error is None else status_of(error),
        own=await _own(here).own(here.visitor),
        tokens=await here.use.queries.page(here.actor, TOKEN, listing),
        limit=here.page_size,
        offset=offset,
        zone=here.zone,
        faults={"password": {}, "token": {}} | ({of: faults_in([error.detail], LABELS)} if error is not None else {}),
        labels=LABELS,
        typed=typed_token(typed) if typed else {},
    )
    answer.headers.update(headers_of(error) if error is not None else {})
    return answer
