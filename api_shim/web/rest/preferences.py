"""``/api/users/config``: what the caller prefers, which concerns the pages alone."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.domain.accounts import UserPreferences
from api_shim.parsing.preferences import PreferencesChange, read_preferences_change
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Use
from api_shim.web.rest.openapi import answers
from api_shim.web.rest.protocol import respond

router = APIRouter(prefix="/api/users/config", tags=["preferences"])


@router.get("", **answers(schemas.Preferences))
async def shown(request: Request, actor: Caller, use: Use) -> Response:
    """Show what the caller prefers."""
    return respond(request, _shape(await use.preferences.of(actor)))


@router.patch("", **answers(schemas.Preferences, body=PreferencesChange))
async def change(request: Request, actor: Caller, use: Use) -> Response:
    """Change what the caller prefers."""
    asked = read_preferences_change(await read_body(request))
    return respond(request, _shape(await use.preferences.change(actor, asked)))


def _shape(stored: UserPreferences) -> schemas.Preferences:
    return schemas.Preferences(
        timezone=stored.time_zone, pagination=schemas.PreferredPagination(per_page=stored.page_size)
    )
