"""Reads which account somebody wants an automation to act as.

The account is their own unless they name another one, by its name or id, or by an object with an id. Contract 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired
from uuid import UUID

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from api_shim.parsing.account import Someone
from api_shim.parsing.fields import read_id
from api_shim.parsing.sentences import STRICT, all_as, of_text, read


@with_config(STRICT)
class NewAutomationAccount(TypedDict):
    """An automation that is to act as an account."""

    automation: Annotated[
        UUID, of_text(read_id), all_as("no_id"), Field(description="The id of the automation in Prefect.")
    ]
    user: NotRequired[
        Annotated[Someone, Field(description="The user that it is to act as, by name or id; the caller if left out.")]
    ]


_NEW: TypeAdapter[Any] = TypeAdapter(NewAutomationAccount)


def read_new_account(body: object) -> tuple[UUID, Mapping[str, Any] | None]:
    """Return the id of an automation, and the field that identifies the user that it is to act as; None for the caller.

    Raises:
        Invalid: a fault in a field.
    """
    asked = read(_NEW, body)
    user = asked.get("user")
    if user is None:
        return asked["automation"], None
    return asked["automation"], {"id" if isinstance(user, UUID) else "username": user}
