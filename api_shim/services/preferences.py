"""What people prefer: the time zone in which they read times, and how many rows lists show.

* Everybody reads and changes their own and nobody else's. It needs no permission, but a token that may write.
* Only what is given is changed, and nothing if one of it cannot be (``parsing.preferences``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from api_shim.domain.accounts import UserPreferences
from api_shim.parsing.preferences import read_preferences
from api_shim.store import Store, Transaction
from approval_gate import policy
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
        return await self._store.write(partial(_change, actor, read_preferences(asked)))


def preferences_of(actor: Actor, tx: Transaction) -> UserPreferences:
    """Return what a user prefers."""
    return tx.get(UserPreferences, user_id=actor.id) or UserPreferences(user_id=actor.id)


def _change(actor: Actor, to: Mapping[str, Any], tx: Transaction) -> UserPreferences:
    # Two forms that are sent at once find the row there, whichever comes first.
    tx.add_missing([UserPreferences(user_id=actor.id)])
    stored = preferences_of(actor, tx)
    return tx.change(stored, **to) if to else stored
