"""Where files are kept that need not survive a power cut: a commit there waits for no disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")
"""Linux keeps files in memory here."""
ROOM = 2 * 2**30
"""Bytes that it must have free."""


def folder_in_memory() -> Path | None:
    """Return the folder for what need not last, from which programs can be started; None for the usual one."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return MEMORY
