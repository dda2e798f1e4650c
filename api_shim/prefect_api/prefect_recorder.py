"""What Prefect's recorder of task runs can read.

It records the events of all runs in batches, and drops a batch when it cannot read one event of it.
"""

from __future__ import annotations

from typing import Any


def is_recordable(event: Any) -> bool:
    """Say whether Prefect can record a task run from an event.

    Args:
        event: what a client has sent, as JSON.
    """
    # The server has imported them before anybody asks.
    from prefect.server.events.schemas.events import ReceivedEvent
    from prefect.server.services.task_run_recorder import db_recordable_task_run_from_event

    try:
        db_recordable_task_run_from_event(ReceivedEvent.model_validate(event))
    except Exception:
        return False
    return True
