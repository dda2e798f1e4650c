"""How every use case comes to an object: through the permission for what it is about to do with it.

* The type comes first: who lacks the action on the type learns nothing of any object (403).
* Whoever writes something that names him must still be there, though he has just signed in.
* Then the object: what is not there and what he may not see look the same (404); what he may see but not do says why.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from api_shim.model import User
from api_shim.store import TYPES, Transaction
from approval_gate import policy
from approval_gate.errors import Forbidden
from approval_gate.model import Action, Actor, Allowed, ObjectType


def find(tx: Transaction, actor: Actor, action: Action, kind: ObjectType, *, lock: bool = False, **by: Any) -> Any:
    """Return the object that the actor may do this with.

    Args:
        tx: the transaction.
        actor: who asks.
        action: what he wants to do.
        kind: the type of object.
        lock: nobody else may change it until the transaction ends.
        by: the fields that tell which one.

    Raises:
        Forbidden: he may do it with none, or not with this one, which he may see.
        NotFound: there is none, or none that he may see.
    """
    policy.enforce(policy.on_type(actor, action, kind), kind)
    found = tx.one(TYPES[kind], lock=lock, **by)
    thing = tx.attributes(kind, found.id) if found is not None else None
    policy.enforce(policy.on_object(actor, action, kind, thing), kind)
    return found


def possible(tx: Transaction, actor: Actor, action: Action, kind: ObjectType, ids: Collection[UUID]) -> set[UUID]:
    """Return those of these objects with which the actor may do this; none where he may do it with none at all."""
    return tx.visible(kind, actor, action, ids) if policy.on_type(actor, action, kind) == Allowed() else set()


def check_still_there(tx: Transaction, actor: Actor) -> None:
    """See that who acts has not been removed or deactivated since he signed in.

    Raises:
        Forbidden: he has.
    """
    user = tx.one(User, id=actor.id, lock=True)
    if user is None or not user.is_active:
        raise Forbidden("This user has been removed or deactivated.")
