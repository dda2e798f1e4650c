"""The statuses of results, of requests and of schedules in words, each with the tone in which it is shown.

* There is one word for each status. Pages and messages take it from here; programs are told the value itself.
* A tone is how good the news are: ``good``, ``bad``, ``warn`` for what asks people for something, ``live`` for what is
  under way, and ``plain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from api_shim.domain.model import Status
from approval_gate.lifecycle import ApprovalState


class ScheduleStatus(StrEnum):
    """The status of a scheduled job, in one word."""

    FIRES = "fires"
    WAITS = "waits"
    OVER = "over"
    FAILED = "failed"
    DISABLED = "disabled"
    EXPIRED = "expired"
    STOPPED = "stopped"


RESULTS: Mapping[Status, tuple[str, str]] = {
    Status.PENDING: ("waiting", "plain"),
    Status.STARTED: ("running", "live"),
    Status.SUCCESS: ("succeeded", "good"),
    Status.FAILURE: ("failed", "bad"),
    Status.REVOKED: ("cancelled", "plain"),
}
"""The word and the tone of each status of a result."""

REQUESTS: Mapping[ApprovalState, tuple[str, str]] = {
    ApprovalState.NOT_REQUIRED: ("not required", "plain"),
    ApprovalState.PENDING: ("waiting for approval", "warn"),
    ApprovalState.APPROVED: ("approved", "good"),
    ApprovalState.DENIED: ("denied", "bad"),
    ApprovalState.WITHDRAWN: ("withdrawn", "plain"),
    ApprovalState.EXPIRED: ("expired", "plain"),
}
"""The word and the tone of each state of a request for approval."""

SCHEDULES: Mapping[ScheduleStatus, tuple[str, str]] = {
    ScheduleStatus.FIRES: ("runs next", "good"),
    ScheduleStatus.WAITS: REQUESTS[ApprovalState.PENDING],
    ScheduleStatus.OVER: ("has run", "plain"),
    ScheduleStatus.FAILED: ("disabled", "bad"),
    ScheduleStatus.DISABLED: ("disabled", "plain"),
    ScheduleStatus.EXPIRED: REQUESTS[ApprovalState.EXPIRED],
    ScheduleStatus.STOPPED: ("will not run", "bad"),
}
"""The word and the tone of each status of a scheduled job."""


def word_of(status: Status | ApprovalState | ScheduleStatus) -> str:
    """Return the word for a status."""
    return _said(status)[0]


def tone_of(status: Status | ApprovalState | ScheduleStatus) -> str:
    """Return the tone in which a status is shown."""
    return _said(status)[1]


def _said(status: Status | ApprovalState | ScheduleStatus) -> tuple[str, str]:
    # Not in one table: as keys, statuses of two kinds with the same value are one.
    match status:
        case Status():
            return RESULTS[status]
        case ApprovalState():
            return REQUESTS[status]
        case ScheduleStatus():
            return SCHEDULES[status]
