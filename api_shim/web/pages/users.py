"""``/signoff/administration/users``: the users, with their groups, tokens and permissions.

* To deactivate a user, and to remove one, is asked for where it is said what becomes of what they have scheduled and
  approved. What they own can be transferred with it, all or nothing.
* Whoever saves a user changes what they have changed in the form, and adds and takes away the groups that they have
  ticked and unticked there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.domain.accounts import Group, Token
from api_shim.parsing.fields import read_id
from api_shim.services.account_views import Seen
from api_shim.services.given_approvals import told as told_approvals
from api_shim.services.ownership import Transfer
from api_shim.services.sessions import may_have_password
from api_shim.store import Listing
from api_shim.web.pages.account import LABELS as TOKEN_LABELS
from api_shim.web.pages.account import REVOKED, revocation, token_fields, typed_token
from api_shim.web.pages.administration import (
    SHOWN,
    altered,
    asked_page,
    refused,
    section_router,
    show,
    with_shown,
)
from api_shim.web.pages.lists import tested, versions_in
from api_shim.web.pages.permission_text import granted
from api_shim.web.pages.run_form import Typed, first, typed_in
from api_shim.web.pages.sections import USERS
from api_shim.web.pages.visit import Here, Posted, Visit, text_of
from approval_gate.constraints import Op
from approval_gate.errors import GateError
from approval_gate.model import Action, ObjectType
from approval_gate.policy import missing

router = section_router(USERS)
USER, TOKEN, GROUP = ObjectType.USER, ObjectType.TOKEN, ObjectType.GROUP
MOST_GROUPS, MOST_TOKENS = 500, 100
"""How many are offered, or shown."""
LABELS = {
    "username": "User name",
    "password": "New password",
    "transfer_to": "Transfer what they own to",
    **TOKEN_LABELS,
}
FORMS = ("add", "user", "password", "token", "active")
STATES: Mapping[str, tuple[str, dict[str, bool]]] = {
    "active": ("active", {"is_active": True}),
    "inactive": ("deactivated", {"is_active": False}),
    "superuser": ("superuser", {"is_superuser": True}),
}
"""What the list can be filtered by: what that is called, and what it asks for."""


@router.get("")
async def users(here: Here) -> Response:
    return await _list(here)


@router.post("")
async def add(here: Here, form: Posted) -> Response:
    superuser = {"is_superuser": True} if text_of(form, "superuser") else {}
    reuse = {"reuse_name": True} if text_of(form, "reuse_name") else {}
    body = {"username": text_of(form, "username").strip(), **superuser, **reuse}
    try:
        added = await here.use.accounts.add(here.actor, USER, body)
    except GateError as error:
        return await _list(here, error, form)
    return await here.go(_at(added.thing.id), "The user was added. They have no permissions and no way to sign in yet.")


@router.get("/{user_id}")
async def user(user_id: UUID, here: Here) -> Response:
    return await _page(here, user_id)


@router.post("/{user_id}")
async def save(user_id: UUID, here: Here, form: Posted) -> Response:
    try:
        body, without = _changes(typed_in(form))
        changed = await here.use.accounts.change(here.actor, USER, {"id": user_id}, body, without=without)
    except GateError as error:
        return await _page(here, user_id, error, "user", form)
    return await here.go(_at(user_id), f"The changes were saved.{told_approvals(changed.approvals)}")


@router.post("/{user_id}/activate")
async def activate(user_id: UUID, here: Here, _form: Posted) -> Response:
    try:
        changed = await here.use.accounts.change(here.actor, USER, {"id": user_id}, {"is_active": True})
    except GateError as error:
        return await _page(here, user_id, error, "active")
    return await here.go(_at(user_id), f"They can sign in again.{told_approvals(changed.approvals)}")


@router.get("/{user_id}/deactivate")
async def ask_to_deactivate(user_id: UUID, here: Here) -> Response:
    return await _departure(here, user_id, Action.CHANGE)


@router.post("/{user_id}/deactivate")
async def deactivate(user_id: UUID, here: Here, form: Posted) -> Response:
    transfer, body = _transfer(form), {"is_active": False, **({"revoke_approvals": True} if _revokes(form) else {})}
    try:
        changed = await here.use.accounts.change(here.actor, USER, {"id": user_id}, body, transfer=transfer)
    except GateError as error:
        return await _departure(here, user_id, Action.CHANGE, error, form)
    said = f"They can no longer sign in.{_transferred(transfer)}{told_approvals(changed.approvals)}"
    return await here.go(_at(user_id), said)


@router.post("/{user_id}/password")
async def set_password(user_id: UUID, here: Here, form: Posted) -> Response:
    try:
        found = await here.use.accounts.set_password(here.actor, USER, {"id": user_id}, text_of(form, "password"))
    except GateError as error:
        return await _page(here, user_id, error, "password")
    return await here.go(_at(user_id), f"The password of {found.username} was set, and their sessions were ended.")


@router.post("/{user_id}/tokens")
async def add_token(user_id: UUID, here: Here, form: Posted) -> Response:
    try:
        body = {"user": str(user_id), **token_fields(form, here.zone)}
        added = await here.use.accounts.add(here.actor, TOKEN, body)
    except GateError as error:
        return await _page(here, user_id, error, "token", form)
    seen = await here.use.account_views.one(here.actor, USER, user_id)
    made = {"token": added.thing, "key": added.key, "whose": seen.thing.username}
    return await here.show("new_token.html", **made, back=_at(user_id), title=seen.thing.username)


@router.get("/{user_id}/tokens/{token_id}/revoke")
async def ask_to_revoke(user_id: UUID, token_id: UUID, here: Here) -> Response:
    return await _revocation(here, user_id, token_id)


@router.post("/{user_id}/tokens/{token_id}/revoke")
async def revoke(user_id: UUID, token_id: UUID, here: Here, _form: Posted) -> Response:
    await _token(here, user_id, token_id)
    try:
        await here.use.accounts.remove(here.actor, TOKEN, {"id": token_id})
    except GateError as error:
        return await _revocation(here, user_id, token_id, error)
    return await here.go(_at(user_id), REVOKED)


@router.get("/{user_id}/remove")
async def ask_to_remove(user_id: UUID, here: Here) -> Response:
    return await _departure(here, user_id, Action.DELETE)


@router.post("/{user_id}/remove")
async def remove(user_id: UUID, here: Here, form: Posted) -> Response:
    seen = await here.use.account_views.one(here.actor, USER, user_id)
    transfer, revokes = _transfer(form), _revokes(form)
    try:
        approvals = await here.use.accounts.remove(
            here.actor, USER, {"id": user_id}, revoke_approvals=revokes, transfer=transfer
        )
    except GateError as error:
        return await _departure(here, user_id, Action.DELETE, error, form)
    said = f"{seen.thing.username} was removed.{_transferred(transfer)}{told_approvals(approvals)}"
    return await here.go(USERS.address, said)


def _at(user_id: UUID) -> str:
    return f"{USERS.address}/{user_id}"


async def _list(here: Visit, error: GateError | None = None, form: FormData | None = None) -> Response:
    query = here.request.query_params
    state = STATES.get(query.get("state", ""))
    tests = state[1].items() if state else ()
    where = tuple(tested(path, Op.EXACT, value) for path, value in tests)
    listing = asked_page(here, where=where)
    asked = {"q": listing.search, "state": query.get("state", "") if state else ""}
    return await show(
        here,
        "users.html",
        USERS,
        error,
        page=await here.use.account_views.page(here.actor, USER, listing),
        listing=listing,
        asked=asked,
        states={name: called for name, (called, _asked) in STATES.items()},
        may_add=here.actor.may(Action.ADD, USER) and not here.actor.read_only,
        typed=typed_in(form) if form is not None else {},
        value=first,
        faults=refused(error, LABELS, "add", FORMS),
        labels=LABELS,
    )


async def _page(
    here: Visit, user_id: UUID, error: GateError | None = None, of: str = "", form: FormData | None = None
) -> Response:
    views = here.use.account_views
    seen = await views.one(here.actor, USER, user_id)
    groups = await views.named(here.actor, GROUP, MOST_GROUPS)
    return await show(
        here,
        "user.html",
        USERS,
        error,
        seen=seen,
        groups=groups,
        may=await views.may(here.actor, USER, user_id),
        granted=granted,
        takes_password=may_have_password(seen.thing, here.sessions.rules),
        held=await views.held(here.actor, USER, user_id),
        sees_permissions=here.actor.may(Action.VIEW, ObjectType.PERMISSION),
        tokens=await _tokens(here, user_id),
        typed=typed_in(form) if form is not None and of == "user" else _fields(seen, groups),
        typed_token=typed_token(form) if form is not None and of == "token" else {},
        value=first,
        faults=refused(error, LABELS, of, FORMS),
        labels=LABELS,
    )


async def _tokens(here: Visit, user_id: UUID) -> list[Token]:
    """Return the newest tokens of a user that the visitor may view."""
    theirs = tested("user", Op.EXACT, user_id)
    listing = Listing(where=(theirs,), sort=("-created",), limit=MOST_TOKENS)
    return (await here.use.queries.page(here.actor, TOKEN, listing)).rows


def _fields(seen: Seen[Any], groups: Sequence[Group]) -> Typed:
    """Return what the form has at first: of the groups of a user, those that it offers."""
    theirs = {each.id for each in seen.linked["groups"]}
    fields = {"username": [seen.thing.username], "group": [str(each.id) for each in groups if each.id in theirs]}
    return with_shown(fields | ({"superuser": ["yes"]} if seen.thing.is_superuser else {}))


def _changes(typed: Typed) -> tuple[dict[str, Any], Mapping[str, set[UUID]]]:
    """Return what a form changes of a user, and the groups that it takes them out of."""
    changed = altered(typed)
    body: dict[str, Any] = {"username": first(typed, "username").strip()} if "username" in changed else {}
    if "superuser" in changed:
        body["is_superuser"] = "superuser" in typed
    was, chosen = ({*filter(None, map(read_id, typed.get(field, [])))} for field in (f"{SHOWN}group", "group"))
    if chosen - was:
        body["groups"] = [str(each) for each in chosen - was]
    return body, {"groups": was - chosen}


async def _token(here: Visit, user_id: UUID, token_id: UUID) -> tuple[Seen[Any], Token]:
    seen = await here.use.account_views.one(here.actor, USER, user_id)
    token: Token = await here.use.queries.one(here.actor, TOKEN, id=token_id)
    if token.user_id != user_id:
        raise missing(TOKEN)
    return seen, token


async def _revocation(here: Visit, user_id: UUID, token_id: UUID, error: GateError | None = None) -> Response:
    seen, token = await _token(here, user_id, token_id)
    return await revocation(here, token, _at(user_id), seen.thing.username, error, seen.thing.username)


def _revokes(form: FormData) -> bool:
    return text_of(form, "revoke_approvals") == "yes"


def _transfer(form: FormData) -> Transfer | None:
    """Return to whom what a user owns is to be transferred; None if nobody is named."""
    name = text_of(form, "transfer_to").replace("\0", "").strip()
    return Transfer(to={"username": name}, seen=versions_in(form)) if name else None


def _transferred(transfer: Transfer | None) -> str:
    return f" What they had scheduled is {transfer.to['username']}'s now." if transfer and transfer.seen else ""


async def _departure(
    here: Visit, user_id: UUID, action: Action, error: GateError | None = None, form: FormData | None = None
) -> Response:
    """Show what a user would leave who is removed or deactivated.

    Args:
        here: the visit.
        user_id: the user.
        action: delete to remove them, change to deactivate them.
        error: why that was not done.
        form: what was sent.
    """
    return await show(
        here,
        "user_departure.html",
        USERS,
        error,
        departure=await here.use.accounts.departure(here.actor, action, {"id": user_id}),
        removed=action is Action.DELETE,
        faults=refused(error, LABELS, "leave", ("leave",))["leave"],
        labels=LABELS,
        transfer_to=text_of(form, "transfer_to") if form is not None else "",
        revokes=form is not None and _revokes(form),
    )
