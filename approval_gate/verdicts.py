"""How a run that does not execute ends, in states that Prefect's own pages know.

* Prefect's pages filter runs by the standard names of states, and by tags. So the name of a state is standard; what was
  decided about a run, the verdict, begins the message of its state, and is a tag of the run.
* Earlier versions called states by the verdict; such states are read, too.
* A verdict belongs to one type of state: what a Job says about its own failure is none.
"""

from __future__ import annotations

from collections.abc import Mapping

REFUSED, SKIPPED, EXPIRED, REPLACED = "Refused", "Skipped", "Expired", "Replaced"
APPROVED, CANCELLED, COMPLETED = "Approved", "Cancelled", "Completed"

TYPES: Mapping[str, str] = {
    REFUSED: "FAILED",
    SKIPPED: "CANCELLED",
    EXPIRED: "CANCELLED",
    REPLACED: "CANCELLED",
    "Denied": "CANCELLED",
    "Withdrawn": "CANCELLED",
    "Deleted": "CANCELLED",
    APPROVED: "COMPLETED",
}
"""The verdicts, and the types of the states that they end with."""

STANDARD: Mapping[str, str] = {"FAILED": "Failed", "CANCELLED": CANCELLED, "COMPLETED": COMPLETED}
"""Prefect's own names of states, by their types."""

OURS, AWAITING = "signoff", "awaiting-approval"
"""The tags of everything of ours in Prefect, and of runs that wait for a decision."""

RESERVED_TAGS = frozenset({OURS, AWAITING, "auto-scheduled", *map(str.lower, TYPES)})
"""The tags that say something of a run, so that nobody else gives them: ours, and Prefect's for runs of schedules."""

BY = " by "
"""What follows a verdict in a sentence that names a person: "Denied by carol."."""


def told(name: str, message: str) -> tuple[str, str]:
    """Return the name and the message of a state.

    Args:
        name: the verdict, or else a name of Prefect's, which stays.
        message: why, as a sentence.
    """
    if name not in TYPES:
        return name, message
    return STANDARD[TYPES[name]], message if message.startswith(f"{name}{BY}") else f"{name}: {message}"


def understood(state_type: str, name: str, message: str) -> tuple[str, str]:
    """Return the verdict of a state, or else its name; and why, as a sentence.

    Args:
        state_type: Prefect's type of the state.
        name: its name.
        message: its message.
    """
    verdict, colon, why = message.partition(": ")
    if name == STANDARD.get(state_type) and colon and TYPES.get(verdict) == state_type:
        return verdict, why
    return name, message


def verdict_in(sentence: str) -> str:
    """Return the verdict that a sentence about a request that was decided begins with; ``Cancelled`` if it has none."""
    verdict = sentence.partition(BY)[0]
    return verdict if verdict in TYPES else CANCELLED


def tags_with(tags: list[str], name: str) -> list[str]:
    """Return the tags of a run that has ended with a verdict; those of any other stay as they are."""
    tag = name.lower()
    return [*tags, tag] if name in TYPES and tag not in tags else tags
