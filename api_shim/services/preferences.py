"""What people prefer: the time zone in which they read times, and how many rows lists show.

* Everybody reads and changes their own and nobody else's. It needs no permission, but a token that may write.
* A time zone is one that schedules can have, and is written ``UTC`` under whichever of its names it is chosen.
* Only what is given is changed; all faults are told at once, each under its field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from api_shim.domain.accounts import PAGE_SIZES, UserPreferences
from api_shim.domain.recurrence import check_time_zone, plain_zone
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Invalid
from approval_gate.model import Actor, ObjectType


class Preferences:
    """Reads and changes what people prefer.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, actor: Actor) -> UserPreferences:
        """Return what the actor prefers."""
        return await self._store.read(partial(preferences_of, actor))

    async def change(self, actor: Actor, asked: Mapping[str, Any]) -> UserPreferences:
        """Change what the actor prefers.

        Args:
            actor: the caller.
            asked: the fields to change, with their new values.

        Returns:
            all that they prefer after the change.

        Raises:
            Forbidden: they may only read.
            Invalid: a field is unknown or has a value that it cannot have; nothing is changed.
        """
        policy.enforce(policy.may_write(actor), ObjectType.USER)
        return await self._store.write(partial(_change, actor, _read(asked)))


def preferences_of(actor: Actor, tx: Transaction) -> UserPreferences:
    """Return what a user prefers."""
    return tx.get(UserPreferences, user_id=actor.id) or UserPreferences(user_id=actor.id)


def _change(actor: Actor, to: Mapping[str, Any], tx: Transaction) -> UserPreferences:
    # Two forms that are sent at once find the row there, whichever comes first.
    tx.add_missing([UserPreferences(user_id=actor.id)])
    stored = preferences_of(actor, tx)
    return tx.change(stored, **to) if to else stored


def _read(asked: Mapping[str, Any]) -> dict[str, Any]:
    read, faults = {}, {}
    for name, value in asked.items():
        try:
            read[name] = READERS[name](value)
        except KeyError:
            faults[name] = ["There is no such preference."]
        except Invalid as error:
            faults[name] = [str(error)]
    if faults:
        raise Invalid(faults)
    return read


def _zone(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("Enter the name of a time zone, such as Europe/Berlin.")
    name = value.strip()
    return check_time_zone(plain_zone(name)) if name else ""


def _size(value: Any) -> int:
    if isinstance(value, bool) or value not in (0, *PAGE_SIZES):
        raise Invalid(f"Choose one of {', '.join(map(str, PAGE_SIZES))}, or 0 for the default.")
    return int(value)


READERS: Mapping[str, Callable[[Any], Any]] = {"time_zone": _zone, "page_size": _size}
"""What can be preferred, and what reads it."""
