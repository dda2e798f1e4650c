"""How the run of a job result stands in Prefect, learned from its state when its own process told nothing."""

from __future__ import annotations

from api_shim.domain.model import Status

STATUS_OF = {
    "COMPLETED": Status.SUCCESS,
    "FAILED": Status.FAILURE,
    "CRASHED": Status.FAILURE,
    "CANCELLED": Status.REVOKED,
}
"""What Prefect's final states mean for a job result whose own process told nothing."""
