"""Processes that others of their user cannot look into: what has a key in its memory, and what starts such.

* Nobody but an administrator of the system reads their environment, memory and open files, or traces them.
* It holds for what they fork, and no longer for what is another program by then: the system begins anew with that.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

PR_SET_DUMPABLE = 4


def hide() -> None:
    """Hide this process from others of its user, where the system can: on Linux."""
    # Other systems have no such call.
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
