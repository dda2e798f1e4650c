"""What an approval is bound to: the Job, its code, the inputs, the schedule and the queue.

* An approval holds while every part is what was approved; a change of any part needs a new approval.
* A part is kept as a hash, so the inputs cannot be read from it.
* Each part is hashed on its own, so the message can name what changed.
* What Prefect's work pool starts the runs with, like an image, is a part of those alone that have some: approvals that
  were given before there was this part hold.
* The part of the code keeps what stands before its digest: the scheme by which it was made, and the version of Python
  if that matters. An approval is compared by the scheme that it carries; the first one, which knew the Job's module
  alone, has no name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Binding = Mapping[str, str]
"""The hash of each part, by its key in ``PARTS``."""

PARTS = {
    "job": "the Job",
    "code": "the Job's code",
    "inputs": "the inputs",
    "schedule": "the schedule",
    "queue": "the queue",
    "job_variables": "Prefect's job variables",
}
"""The parts, and what messages call them."""

SCHEME = "2"
"""What a digest of code begins with, before a colon, that covers all that the Job's module imports beside itself."""

NO_CODE = f"{SCHEME}::"
"""The digest of code that is not there. It has the scheme, so that what is approved without code is bound to none."""

NEEDS_APPROVAL = "This job needs approval now."


def bind(
    *,
    job: str,
    code: str,
    inputs: Mapping[str, Any],
    schedule: tuple[str, ...],
    queue: str,
    job_variables: Mapping[str, Any],
) -> Binding:
    """Return what an approval given now is bound to.

    Args:
        job: the Job's class path.
        code: the digest of its code, with its scheme.
        inputs: the inputs of its runs.
        schedule: when it fires, as strings.
        queue: the name of the queue it runs on.
        job_variables: what Prefect's work pool starts its runs with.
    """
    parts = {
        "job": _hash_of_text(job),
        "code": _hash_of_code(code),
        "inputs": _hash(dict(inputs)),
        "schedule": _hash(list(schedule)),
        "queue": _hash_of_text(queue),
    }
    return {**parts, "job_variables": _hash(dict(job_variables))} if job_variables else parts


def is_of_module_alone(code: str) -> bool:
    """Say whether a digest of code, or the part of a binding, is of the first scheme."""
    return not code.startswith(f"{SCHEME}:")


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
    hint = _why_other_code(approved.get("code", ""), now.get("code", ""))
    return sentence[0].upper() + sentence[1:] + hint


def _why_other_code(approved: str, now: str) -> str:
    """Return a sentence on why code may differ though nobody changed it; empty if there is no such reason."""
    if approved == now or is_of_module_alone(approved):
        return ""
    if is_of_module_alone(now):
        return " The worker has an earlier version of signoff, which compares the Job's module alone; update it."
    if now == _hash_of_code(NO_CODE):
        return " The worker has no code of it that it can load."
    was, has = _python_of(approved), _python_of(now)
    if not was or not has or was == has:
        return ""
    return f" Part of it is there without source, as bytecode of {was}; the worker has {has}."


def _python_of(code: str) -> str:
    return code.split(":")[1]


def _hash_of_code(code: str) -> str:
    marks, colon, _ = code.rpartition(":")
    return marks + colon + _hash_of_text(code)


@lru_cache(maxsize=1024)
def _hash_of_text(part: str) -> str:
    """Return the hash of a part that a whole page of scheduled jobs may have in common; inputs are not kept here."""
    return _hash(part)


def _hash(part: object) -> str:
    return hashlib.sha256(_CANONICAL.encode(part).encode()).hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
"""Writes equal values in one way."""
