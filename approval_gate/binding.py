"""What an approval is bound to: the Job, its code, the inputs, the schedule and the queue.

* An approval holds while every part is what was approved; a change of any part needs a new approval.
* A part is kept as a hash, so the inputs cannot be read from it.
* Each part is hashed on its own, so the message can name what changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Binding = Mapping[str, str]
"""The hash of each part, by its key in ``PARTS``."""

PARTS = {
    "job": "the Job",
    "code": "the Job's code",
    "inputs": "the inputs",
    "schedule": "the schedule",
    "queue": "the queue",
}
"""The parts, and what messages call them."""

NEEDS_APPROVAL = "This job needs approval now."


def bind(*, job: str, code: str, inputs: Mapping[str, Any], schedule: tuple[str, ...], queue: str) -> Binding:
    """Return what an approval given now is bound to.

    Args:
        job: the Job's class path.
        code: the digest of its code.
        inputs: the inputs of its runs.
        schedule: when it fires, as strings.
        queue: the name of the queue it runs on.
    """
    parts = {"job": job, "code": code, "inputs": dict(inputs), "schedule": list(schedule), "queue": queue}
    return {name: _hash(part) for name, part in parts.items()}


def digest(binding: Binding) -> str:
    """Return one hash of all parts: equal if, and only if, the bindings are equal."""
    return _hash(dict(binding))


def what_changed(approved: Binding, now: Binding, approver: str) -> str:
    """Return the sentence on why an approval no longer holds; empty while it does."""
    changed = [words for part, words in PARTS.items() if approved.get(part) != now.get(part)]
    if not changed:
        return ""
    listed = " and ".join(filter(None, (", ".join(changed[:-1]), changed[-1])))
    sentence = f"{listed} changed after {approver} approved it."
    return sentence[0].upper() + sentence[1:]


def _hash(part: object) -> str:
    text = json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
