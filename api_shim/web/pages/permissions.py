"""``/signoff/administration/permissions``: the permissions in words, and what somebody may do with a Job.

* Whoever saves a permission changes what they have changed in the form, and gives it to the users and groups whom they
  have added there and takes it from those whom they have taken out. Those whom they may not see keep it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.domain.accounts import Permission
from api_shim.parsing.fields import read_id
from api_shim.services.account_views import Seen, WhatMay
from api_shim.services.accounts import NAMED_BY
from api_shim.services.given_approvals import told as told_approvals
from api_shim.web.pages.administration import (
    altered,
    asked_page,
    names_in,
    refused,
    section_router,
    show,
    told,
    with_shown,
)
from api_shim.web.pages.permission_text import ACTIONS, KINDS, chosen, granted, remarks
from api_shim.web.pages.run_form import Typed, first, typed_in
from api_shim.web.pages.sections import PERMISSIONS
from api_shim.web.pages.visit import Here, Posted, Visit
from approval_gate.errors import Forbidden, GateError, Invalid, NotFound
from approval_gate.model import Action, ObjectType

router = section_router(PERMISSIONS)
PERMISSION, USER, GROUP, JOB = ObjectType.PERMISSION, ObjectType.USER, ObjectType.GROUP, ObjectType.JOB
LINKED = {"users": USER, "groups": GROUP}
MOST = 1000
"""How many users and Jobs are offered."""
LABELS = {
    "name": "Name",
    "object_types": "Object types",
    "actions": "Actions",
    "constraints": "Only those",
    "users": "Users",
    "groups": "Groups",
}
NOT_JSON = "The constraints are not JSON: {why}."
FORMS = ("permission",)


@router.get("")
async def permissions(here: Here) -> Response:
    return await _list(here)


@router.post("")
async def add(here: Here, form: Posted) -> Response:
    typed = typed_in(form)
    try:
        added = await here.use.accounts.add(here.actor, PERMISSION, _body(typed))
    except GateError as error:
        return await _list(here, error, form)
    return await here.go(_at(added.thing.id), "The permission was added.")


@router.get("/explain")
async def explain(here: Here) -> Response:
    user, job = (read_id(here.request.query_params.get(name, "")) for name in ("user", "job"))
    views = here.use.account_views
    answer: WhatMay | None = None
    fault = ""
    if user is not None and job is not None:
        try:
            answer = await views.what_may(here.actor, user, job)
        except (Forbidden, NotFound) as error:
            fault = str(error)
    return await show(
        here,
        "explain_permissions.html",
        PERMISSIONS,
        users=await views.named(here.actor, USER, MOST),
        jobs=await views.named(here.actor, JOB, MOST),
        asked={"user": user, "job": job},
        answer=answer,
        fault=fault,
        called=ACTIONS,
    )


@router.get("/{permission_id}")
async def permission(permission_id: UUID, here: Here) -> Response:
    return await _page(here, permission_id)


@router.post("/{permission_id}")
async def save(permission_id: UUID, here: Here, form: Posted) -> Response:
    try:
        body, without = _changes(typed_in(form))
        changed = await here.use.accounts.change(here.actor, PERMISSION, {"id": permission_id}, body, without=without)
    except GateError as error:
        return await _page(here, permission_id, error, form)
    return await here.go(_at(permission_id), f"The changes were saved.{told_approvals(changed.approvals)}")


@router.get("/{permission_id}/remove")
async def ask_to_remove(permission_id: UUID, here: Here) -> Response:
    return await _removal(here, permission_id)


@router.post("/{permission_id}/remove")
async def remove(permission_id: UUID, here: Here, _form: Posted) -> Response:
    seen = await here.use.account_views.one(here.actor, PERMISSION, permission_id)
    try:
        approvals = await here.use.accounts.remove(here.actor, PERMISSION, {"id": permission_id})
    except GateError as error:
        return await _removal(here, permission_id, error)
    notice = f"The permission {seen.thing.name} was removed.{told_approvals(approvals)}"
    return await here.go(PERMISSIONS.address, notice)


def _at(permission_id: UUID) -> str:
    return f"{PERMISSIONS.address}/{permission_id}"


def _body(typed: Typed) -> dict[str, Any]:
    """Return what a form says of a permission, as the API takes it.

    Raises:
        Invalid: the constraints are not JSON.
    """
    text = first(typed, "constraints").strip()
    try:
        constraints = json.loads(text) if text else None
    except (ValueError, RecursionError) as error:
        raise Invalid({"constraints": [NOT_JSON.format(why=error)]}) from error
    return {
        "name": first(typed, "name").strip(),
        "object_types": typed.get("object_types", []),
        "actions": typed.get("actions", []),
        "constraints": constraints,
        **{field: names_in(first(typed, field)) for field in LINKED},
    }


def _changes(typed: Typed) -> tuple[dict[str, Any], Mapping[str, set[UUID]]]:
    """Return what a form changes of a permission, and whom it takes it from."""
    all_of_it = _body(typed) | {"enabled": "enabled" in typed}
    body = {name: value for name, value in all_of_it.items() if name in altered(typed) - LINKED.keys()}
    without = {}
    for field in LINKED:
        was = _had(typed, field)
        without[field] = {each for name, each in was.items() if name not in all_of_it[field]}
        if added := [name for name in all_of_it[field] if name not in was]:
            body[field] = added
    return body, without


def _had(typed: Typed, field: str) -> Mapping[str, UUID]:
    """Return the ids of those who were shown to have a permission, by their names then."""
    each = (text.partition(" ") for text in typed.get(f"had.{field}", ()))
    return {name: thing_id for text, _, name in each if (thing_id := read_id(text)) is not None}


def _fields(seen: Seen[Permission] | None) -> Typed:
    """Return what the form has at first, whose names stand there with their ids besides."""
    if seen is None:
        return {"enabled": ["on"]}
    stands = seen.thing
    constraints = json.dumps(stands.constraints, ensure_ascii=False) if stands.constraints else ""
    fields = with_shown(
        {
            "name": [stands.name],
            "object_types": [*stands.object_types],
            "actions": [*stands.actions],
            "constraints": [constraints],
            **({"enabled": ["on"]} if stands.enabled else {}),
        }
    )
    for field, kind in LINKED.items():
        names = {getattr(each, NAMED_BY[kind]): each.id for each in seen.linked[field]}
        fields = {**fields, field: [", ".join(names)], f"had.{field}": [f"{at} {name}" for name, at in names.items()]}
    return fields


def _form(form: FormData | None, seen: Seen[Permission] | None, error: GateError | None) -> Mapping[str, Any]:
    """Return what the form shows."""
    typed = _fields(seen) if form is None else typed_in(form)
    return {
        "typed": typed,
        "value": first,
        "kinds": chosen(typed.get("object_types", []), KINDS),
        "actions": chosen(typed.get("actions", []), ACTIONS),
        "faults": refused(error, LABELS, "permission", FORMS)["permission"],
        "labels": LABELS,
    }


async def _list(here: Visit, error: GateError | None = None, form: FormData | None = None) -> Response:
    listing = asked_page(here)
    return await show(
        here,
        "permissions.html",
        PERMISSIONS,
        error,
        page=await here.use.account_views.page(here.actor, PERMISSION, listing),
        listing=listing,
        granted=granted,
        remarks=remarks,
        may_add=here.actor.may(Action.ADD, PERMISSION) and not here.actor.read_only,
        **_form(form, None, error),
    )


async def _page(
    here: Visit, permission_id: UUID, error: GateError | None = None, form: FormData | None = None
) -> Response:
    seen = await here.use.account_views.one(here.actor, PERMISSION, permission_id)
    return await show(
        here,
        "permission.html",
        PERMISSIONS,
        error,
        seen=seen,
        granted=granted(seen.thing),
        remarks=remarks(seen.thing),
        may=await here.use.account_views.may(here.actor, PERMISSION, permission_id),
        **_form(form, seen, error),
    )


async def _removal(here: Visit, permission_id: UUID, error: GateError | None = None) -> Response:
    seen = await here.use.account_views.one(here.actor, PERMISSION, permission_id)
    what = {"seen": seen, "what": "permission", "refusal": told(error)}
    return await show(here, "remove_account.html", PERMISSIONS, error, **what)
