"""``/signoff/administration/groups``: the groups, with their users and permissions."""

from __future__ import annotations

from uuid import UUID

from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.domain.accounts import User
from api_shim.services.given_approvals import told as told_approvals
from api_shim.web.pages.administration import asked_page, refused, section_router, show, told
from api_shim.web.pages.permission_text import granted
from api_shim.web.pages.sections import GROUPS
from api_shim.web.pages.visit import Here, Posted, Visit, text_of
from approval_gate.errors import GateError, Invalid, NotFound
from approval_gate.model import Action, ObjectType

router = section_router(GROUPS)
GROUP, USER = ObjectType.GROUP, ObjectType.USER
LABELS = {"name": "Name", "username": "User name"}
NO_SUCH_USER = "There is no such user, or none that you may see."
FORMS = ("add", "group", "members")


@router.get("")
async def groups(here: Here) -> Response:
    return await _list(here)


@router.post("")
async def add(here: Here, form: Posted) -> Response:
    try:
        added = await here.use.accounts.add(here.actor, GROUP, {"name": text_of(form, "name").strip()})
    except GateError as error:
        return await _list(here, error, form)
    return await here.go(_at(added.thing.id), "The group was added.")


@router.get("/{group_id}")
async def group(group_id: UUID, here: Here) -> Response:
    return await _page(here, group_id)


@router.post("/{group_id}")
async def rename(group_id: UUID, here: Here, form: Posted) -> Response:
    try:
        await here.use.accounts.change(here.actor, GROUP, {"id": group_id}, {"name": text_of(form, "name").strip()})
    except GateError as error:
        return await _page(here, group_id, error, "group", form)
    return await here.go(_at(group_id), "The changes were saved.")


@router.post("/{group_id}/members")
async def set_member(group_id: UUID, here: Here, form: Posted) -> Response:
    seen = await here.use.account_views.one(here.actor, GROUP, group_id)
    member = text_of(form, "member") != "no"
    try:
        user = await _named(here, text_of(form, "username").strip())
        body, without = ({"groups": [str(group_id)]}, {}) if member else ({}, {"groups": [group_id]})
        changed = await here.use.accounts.change(here.actor, USER, {"id": user.id}, body, without=without)
    except GateError as error:
        return await _page(here, group_id, error, "members", form)
    said = f"{user.username} is {'now' if member else 'no longer'} in {seen.thing.name}."
    return await here.go(_at(group_id), f"{said}{told_approvals(changed.approvals)}")


@router.get("/{group_id}/remove")
async def ask_to_remove(group_id: UUID, here: Here) -> Response:
    return await _removal(here, group_id)


@router.post("/{group_id}/remove")
async def remove(group_id: UUID, here: Here, _form: Posted) -> Response:
    seen = await here.use.account_views.one(here.actor, GROUP, group_id)
    try:
        approvals = await here.use.accounts.remove(here.actor, GROUP, {"id": group_id})
    except GateError as error:
        return await _removal(here, group_id, error)
    return await here.go(GROUPS.address, f"The group {seen.thing.name} was removed.{told_approvals(approvals)}")


async def _named(here: Visit, username: str) -> User:
    """Return the user whom a form names.

    Raises:
        Forbidden: the visitor may not view users.
        Invalid: there is no such user, or none that they may see.
    """
    try:
        found: User = await here.use.queries.one(here.actor, USER, username=username)
    except NotFound as error:
        raise Invalid({"username": [NO_SUCH_USER]}) from error
    return found


def _at(group_id: UUID) -> str:
    return f"{GROUPS.address}/{group_id}"


async def _list(here: Visit, error: GateError | None = None, form: FormData | None = None) -> Response:
    listing = asked_page(here)
    return await show(
        here,
        "groups.html",
        GROUPS,
        error,
        page=await here.use.account_views.page(here.actor, GROUP, listing),
        listing=listing,
        may_add=here.actor.may(Action.ADD, GROUP) and not here.actor.read_only,
        name=text_of(form, "name") if form is not None else "",
        faults=refused(error, LABELS, "add", FORMS),
        labels=LABELS,
    )


async def _page(
    here: Visit, group_id: UUID, error: GateError | None = None, of: str = "", form: FormData | None = None
) -> Response:
    views = here.use.account_views
    seen = await views.one(here.actor, GROUP, group_id)
    return await show(
        here,
        "group.html",
        GROUPS,
        error,
        seen=seen,
        group=seen.thing,
        may=await views.may(here.actor, GROUP, group_id),
        may_change_users=here.actor.may(Action.CHANGE, USER) and not here.actor.read_only,
        sees_users=here.actor.may(Action.VIEW, USER),
        sees_permissions=here.actor.may(Action.VIEW, ObjectType.PERMISSION),
        granted=granted,
        held=await views.held(here.actor, GROUP, group_id),
        typed={name: text_of(form, name) for name in LABELS} if form is not None else {},
        faults=refused(error, LABELS, of, FORMS),
        labels=LABELS,
    )


async def _removal(here: Visit, group_id: UUID, error: GateError | None = None) -> Response:
    seen = await here.use.account_views.one(here.actor, GROUP, group_id)
    return await show(here, "remove_account.html", GROUPS, error, seen=seen, what="group", refusal=told(error))
