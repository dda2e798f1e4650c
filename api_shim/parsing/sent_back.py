"""What ``GET`` gave can be sent back: what of a body is a change, where it has fields that cannot be changed.

* Such a body is an object as ``GET`` shows it, perhaps with some fields changed: what is as shown is no change.
* A field that cannot be changed and is not as shown stays in the body, and is refused when that is read.
* A related object is its id, in whatever depth it was shown; several are the same in the same order.
* A body of fields that can all be changed is left alone: setting a field to what it is can mean something.

Contract 3, 5 and 8.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from api_shim.schemas import Object, Reference


def is_sent_back(body: object, changeable: Collection[str]) -> bool:
    """Say whether a body has fields that cannot be changed."""
    return isinstance(body, Mapping) and not body.keys() <= set(changeable)


def what_changes(body: Mapping[str, Any], shown: Object) -> Mapping[str, Any]:
    """Return the fields of a body that are not as they are shown.

    Args:
        body: what was sent, decoded.
        shown: the object as ``GET`` shows it, with references to its related objects.
    """
    stands = shown.model_dump(mode="json")
    related = {name for name, value in shown if _is_reference(value)}

    def same(name: str, sent: Any) -> bool:
        if name in related:
            return bool(_ids(sent) == _ids(stands[name]))
        # In Python true is one, and it is not in JSON.
        return bool(sent == stands[name]) and isinstance(sent, bool) == isinstance(stands[name], bool)

    return {name: value for name, value in body.items() if name not in stands or not same(name, value)}


def _is_reference(value: Any) -> bool:
    return isinstance(value, Reference) or (isinstance(value, list) and all(map(_is_reference, value)))


def _ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_ids(each) for each in value]
    return value.get("id") if isinstance(value, Mapping) else value
