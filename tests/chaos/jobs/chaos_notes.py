"""Notes an execution: one line, written at once, at the end of a file that is only ever added to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

NOTES = Path(__file__).with_name("executions")


def note(job: Any, token: str, *, dryrun: bool = False, code: int = 0) -> None:
    """Note that a Job executes: as whom, with what, for which firing, and which version of its code."""
    result = job.job_result
    line = {
        "result": result["id"],
        "run": result["flow_run_id"],
        "schedule": (result["scheduled_job"] or {}).get("id"),
        "nominal": result["nominal_time"],
        "job": result["name"],
        "user": str(job.user),
        "token": token,
        "dryrun": dryrun,
        "code": code,
        "at": time.time(),
    }
    file = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)
