"""Whose turn it is to be sent something: a target that does not answer keeps its owner waiting, and nobody else.

* A message may take half a minute, and only ``AT_ONCE`` are sent at the same time.
* Targets that may not answer, because they have failed or were never tried, have ``UNRELIABLE`` of these at most.
* One person has one place for such targets and one for the others, however many targets are theirs.
* Whoever is sent least at the moment is next; of those, who has waited for longest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from api_shim.domain.notifications import NotificationTarget

AT_ONCE = 6
UNRELIABLE = 3


def next_to_send(
    due: Collection[NotificationTarget], sending: Collection[NotificationTarget]
) -> list[NotificationTarget]:
    """Return the targets that something is sent to now.

    Args:
        due: where something is to be sent, in the order in which they have waited.
        sending: where something is being sent.
    """
    known = {target.id for target in sending}
    left, chosen = [target for target in due if target.id not in known], list[NotificationTarget]()
    while len(taken := [*sending, *chosen]) < AT_ONCE:
        busy = Counter(target.user_id for target in taken)
        places = {(target.user_id, target.is_reliable) for target in taken}
        room = sum(not target.is_reliable for target in taken) < UNRELIABLE
        free = [
            target
            for target in left
            if (target.user_id, target.is_reliable) not in places and (room or target.is_reliable)
        ]
        if not free:
            break
        chosen.append(first := min(free, key=lambda target: busy[target.user_id]))
        left.remove(first)
    return chosen
