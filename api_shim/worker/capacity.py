"""How much this machine can run at once, and whether it had to end a process for want of memory.

* Jobs mostly wait for something, so there are more of them than cores; but no more than fit into what memory is free.
* Where a control group limits our memory, what it says counts, and not what the machine has.
"""

from __future__ import annotations

import os
from pathlib import Path

RUNS_PER_CORE = 8
MEMORY_PER_RUN = 100 * 2**20
"""Bytes. A run has some 25 MB of its own; a Job needs some too."""

FEWEST = 2


def default_limit(*, cores: int, free: int | None) -> int:
    """Return how many runs there may be at once.

    Args:
        cores: that we may use.
        free: bytes of memory; None when nobody tells.
    """
    fitting = RUNS_PER_CORE * cores if free is None else min(RUNS_PER_CORE * cores, free // MEMORY_PER_RUN)
    return max(FEWEST, fitting)


def limit_here() -> int:
    """Return how many runs there may be at once on this machine, as it is now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return default_limit(cores=cores, free=free_memory())


def free_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes of memory are free for us; None when nobody tells."""
    told = _number(root / "proc/meminfo", "MemAvailable:")
    free = [told * 1024] if told is not None else []
    group = control_group(root)
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        free.append(int(limit) - int(used))
    except (OSError, ValueError):  # no such group, or one without limit ("max")
        pass
    return max(0, min(free)) if free else None


def killed_for_memory(root: Path = Path("/")) -> int:
    """Return how many processes the system has ended for want of memory until now, as far as it is told here."""
    ours = _number(control_group(root) / "memory.events", "oom_kill")
    return ours if ours is not None else _number(root / "proc/vmstat", "oom_kill") or 0


def control_group(root: Path) -> Path:
    """Return the folder of the control group that we are in."""
    try:
        line = next(line for line in (root / "proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        line = "0::/"
    return root / "sys/fs/cgroup" / line.removeprefix("0::/")


def _number(path: Path, name: str) -> int | None:
    """Return the number that stands behind a name in a file of such lines."""
    try:
        lines = (line.split() for line in path.read_text().splitlines())
        return next(int(words[1]) for words in lines if words and words[0] == name)
    except (OSError, StopIteration, ValueError, IndexError):
        return None
