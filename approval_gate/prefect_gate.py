"""The gate inside a run: ask for admission first, then go on, wait, finish or fail.

* It asks with the run's own client, so it reaches the server that holds the run, with the worker's credentials.
* It fails closed: when admission cannot be reached the run fails with a clear sentence; its Job has not run.
* A hold was written by the server before it answered; the process leaves the run as it stands then.
* A short wait sleeps; a long one gives the process back and comes again as a scheduled run.
* A refusal puts the run into ``Failed`` named ``Refused``, by force: nothing retries it. Its log says why too.
* The answer to the server about how the run went goes the same way.
"""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, Scheduled

SHORT_WAIT = 30.0
"""Seconds. A run that is put back while its process still ends can kill a worker that has a limit."""


class AdmissionUnreachable(Exception):
    """Admission could not be reached, so this run did not execute."""


class Gate:
    """The gate of the run that this process executes.

    Args:
        attempt: names this process; a new one for each.
        code: the digest of the code that it would execute.
    """

    def __init__(self, attempt: UUID, code: str) -> None:
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            raise RuntimeError("A Job's flow runs within Prefect only; to try a Job, call its run() method.")
        self._attempt = attempt
        self._code = code
        self._run: FlowRun = context.flow_run
        # Prefect's client takes any path, though its types name only Prefect's own.
        self._client: Any = context.client

    def ask(self) -> dict[str, Any] | State[Any]:
        """Ask until there is an answer.

        Returns:
            what to execute; or the final state of a run that has nothing to execute.

        Raises:
            Pause: this process has nothing more to do.
            AdmissionUnreachable: nobody answered.
        """
        while True:
            worker = f"{socket.gethostname()}:{os.getpid()}"
            answer = self._post("admission", {"worker": worker, "code": self._code})
            match answer.get("verdict"):
                case "go":
                    return answer
                case "hold":
                    self._leave(answer["message"])
                case "finish":
                    return Completed(message=answer["message"], name="Skipped")
                case "wait":
                    self._wait(datetime.fromisoformat(answer["until"]))
                case _:
                    reason = answer.get("message", "The server gave an answer that this worker does not know.")
                    get_run_logger().error("%s", reason)
                    self._stop(Failed(message=reason, name="Refused"), reason)

    def tell(self, outcome: dict[str, Any]) -> None:
        """Tell how the run went.

        Args:
            outcome: status, result and traceback.

        Raises:
            AdmissionUnreachable: nobody listened.
        """
        self._post("outcome", outcome)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        body = {"flow_run_id": str(self._run.id), "attempt": str(self._attempt), **body}
        try:
            # What a Job returns may have lone surrogates, which UTF-8 has not; for them its outcome is not lost.
            content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
            headers = {"Content-Type": "application/json"}
            answer = self._client.request("POST", f"/signoff/{path}/", content=content, headers=headers)
            answer.raise_for_status()
            decoded: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            message = f"The server could not be asked ({type(error).__name__}); see its log."
            raise AdmissionUnreachable(message) from error
        return decoded

    def _wait(self, until: datetime) -> None:
        left = (until - datetime.now(UTC)).total_seconds()
        if left > SHORT_WAIT:
            message = f"Waits until {until.isoformat()}."
            self._stop(Scheduled(scheduled_time=until, name="Waiting", message=message), message)
        time.sleep(max(0.0, left))

    def _leave(self, why: str) -> NoReturn:
        state = self._client.read_flow_run(self._run.id).state
        if state is None or not state.is_paused():
            # It must not look as if it ran.
            self._stop(Failed(message=why, name="Refused"), why)
        raise Pause(why, state=state)

    def _stop(self, state: State[Any], why: str) -> NoReturn:
        answer = self._client.set_flow_run_state(self._run.id, state, force=True)
        if answer.status != SetStateStatus.ACCEPT:
            raise RuntimeError(f"{why} (And Prefect did not take the state: {answer.details})")
        raise Pause(why, state=answer.state)
