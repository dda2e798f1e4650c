"""The gate inside a run: asks for admission first, then continues, waits, finishes or fails.

* The gate uses the run's own Prefect client, so it reaches the server that holds the run, with the credential that the
  run's process has: its own, or that of its worker where Prefect's own workers have started it.
* Where a worker speaks to a Prefect server that others run, and not to ours in front of it, runs find our address in
  ``SIGNOFF_ADMISSION_URL``, and in ``SIGNOFF_ADMISSION_KEY`` a key of the account of their worker with us. The key goes
  to another machine by https only.
* The gate fails closed: if admission cannot be reached, the run fails with a clear message and the Job does not run.
* The server suspends a held run before it answers; the process then exits and leaves the run as it is.
* A short wait sleeps. A long wait reschedules the run and ends the process.
* A refusal forces the run into the state ``Failed``, so nothing retries it, and a firing that is passed over into
  ``Cancelled``; both tell the verdict (``approval_gate.verdicts``). The run's log has the reason too.
* The outcome of the run, and the files that it makes, are sent to the server in the same way; those that it is given
  are fetched there. So is the object for which a button has started it, as the user of the run may view it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import urlencode
from uuid import UUID

import httpx
from prefect.client.base import PrefectHttpxSyncClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.settings import get_current_settings
from prefect.states import Scheduled

from approval_gate.addresses import is_private, trusts_environment
from approval_gate.admission import LEASE
from approval_gate.errors import sentences
from approval_gate.verdicts import REFUSED, SKIPPED, TYPES, tags_with, told

SHORT_WAIT = 30.0
"""Seconds. Rescheduling a run while its process exits can stop a worker that has a limit, so short waits sleep."""


RUN_PREFIX = "signoff_run_"
"""What the key of a run begins with (``api_shim.keys``)."""
PATHS = {"extras.job": "jobs", "extras.jobresult": "job-results", "extras.scheduledjob": "scheduled-jobs"}
"""Where an object of each type is read, below ``/api/extras/``."""
_TYPES = ", ".join(PATHS)
NO_KEY = (
    "This run has no key of its own, so it cannot read objects: workers of `signoff worker` and `signoff up` "
    "provide one."
)

ADMISSION_URL, ADMISSION_KEY = "SIGNOFF_ADMISSION_URL", "SIGNOFF_ADMISSION_KEY"


class AdmissionUnreachable(Exception):
    """Admission could not be reached, so this run did not execute."""


class Gate:
    """The gate of the run that this process executes.

    Args:
        attempt: identifies this process; each process has a new one.
        code: the digest of the code that the run would execute.
        module: that of the Job's module alone, for approvals of earlier versions.

    Raises:
        AdmissionUnreachable: it is not told an address of our server that it may ask.
    """

    def __init__(self, attempt: UUID, code: str, module: str) -> None:
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            raise RuntimeError("A Job's flow runs within Prefect only; to try a Job, call its run() method.")
        self._attempt = attempt
        self._digests = {"code": code, "module": module}
        self._run: FlowRun = context.flow_run
        # Prefect's client accepts any path, though its types list only Prefect's own.
        self._client: Any = context.client
        self._server = _asked_through(self._client)

    def ask(self) -> dict[str, Any]:
        """Ask for admission, and wait if the answer says so.

        Returns:
            what to execute.

        Raises:
            Pause: this process ends; the run is held, rescheduled, passed over or refused.
            AdmissionUnreachable: the server did not answer.
        """
        while True:
            worker = f"{socket.gethostname()}:{os.getpid()}"
            lease = os.environ.get(LEASE, "")
            answer = self._post("admission", {"worker": worker, "lease": lease, **self._digests})
            match answer.get("verdict"):
                case "go":
                    return answer
                case "hold":
                    self._leave(answer["message"])
                case "finish":
                    get_run_logger().info("%s", answer["message"])
                    self._end(SKIPPED, answer["message"])
                case "wait":
                    self._wait(datetime.fromisoformat(answer["until"]))
                case _:
                    reason = answer.get("message", "The server sent an answer that this worker does not understand.")
                    get_run_logger().error("%s", reason)
                    self._end(REFUSED, reason)

    def tell(self, outcome: dict[str, Any]) -> None:
        """Report how the run went.

        Args:
            outcome: status, result and traceback.

        Raises:
            AdmissionUnreachable: the server did not answer.
        """
        self._post("outcome", outcome)

    def keep_file(self, file_id: UUID, name: str, content: bytes) -> None:
        """Have the server keep a file with the job result; twice with the same id is once.

        Args:
            file_id: a new id.
            name: the name of the file.
            content: what it has.

        Raises:
            ValueError: the server refuses it; with its sentence.
            OSError: the server did not answer.
        """
        query = urlencode({**self._asks, "id": str(file_id), "name": name})
        try:
            self._request(f"files/?{query}", content, "application/octet-stream")
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
                raise ValueError(f"{name}: {_refusal(error.response)}") from None
            raise OSError(f"{name}: The server did not answer ({type(error).__name__}); see its log.") from error

    def file(self, variable: str) -> bytes:
        """Return what a file has that the run is given.

        Args:
            variable: the name of its variable.

        Raises:
            OSError: it cannot be had; with the reason.
        """
        asked = json.dumps({**self._asks, "variable": variable}).encode()
        try:
            return self._request("given-file/", asked, "application/json").content
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError):
                raise OSError(f"{variable}: {_refusal(error.response)}") from None
            raise OSError(f"{variable}: The server did not answer ({type(error).__name__}); see its log.") from error

    def read_object(self, kind: str, key: str) -> dict[str, Any]:
        """Return an object of ours as the API answers it to the user of the run.

        Args:
            kind: its type, such as ``extras.jobresult``.
            key: its id.

        Raises:
            LookupError: there is none, or none that this user may view.
            OSError: it cannot be had; with the reason.
        """
        if kind not in PATHS:
            raise LookupError(f"There is no type {kind!r} of objects that buttons are for; those are {_TYPES}.")
        try:
            key = str(UUID(key))
        except ValueError:
            raise LookupError(f"{kind} {key}: that is not the id of an object.") from None
        auth = get_current_settings().api.auth_string
        # Any other credential is that of a worker, which reads what its own account may.
        if auth is None or not auth.get_secret_value().rpartition(":")[2].startswith(RUN_PREFIX):
            raise OSError(NO_KEY)
        headers = {"X-Request-ID": f"run-{self._run.id}"}
        try:
            path = f"/extras/{PATHS[kind]}/{key}/"
            answer: httpx.Response = self._server.request("GET", path, headers=headers)
            found: dict[str, Any] = answer.raise_for_status().json()
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
                raise LookupError(f"{kind} {key}: {_refusal(error.response)}") from None
            raise OSError(f"{kind} {key}: The server did not answer ({type(error).__name__}).") from error
        return found

    @property
    def _asks(self) -> dict[str, str]:
        """Which process asks, of which run."""
        return {"flow_run_id": str(self._run.id), "attempt": str(self._attempt)}

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            # A Job's result may have lone surrogates, which UTF-8 cannot encode; they must not lose the outcome.
            content = json.dumps({**self._asks, **body}, ensure_ascii=False).encode(errors="replace")
            decoded: dict[str, Any] = self._request(f"{path}/", content, "application/json").json()
        except (httpx.HTTPError, ValueError) as error:
            message = f"The server did not answer ({type(error).__name__}); see the server's log."
            raise AdmissionUnreachable(message) from error
        return decoded

    def _request(self, path: str, content: bytes, kind: str) -> httpx.Response:
        # By this the server's log and its audit tell which of their lines are about this run.
        headers = {"Content-Type": kind, "X-Request-ID": f"run-{self._run.id}"}
        answer: httpx.Response = self._server.request("POST", f"/signoff/{path}", content=content, headers=headers)
        return answer.raise_for_status()

    def _wait(self, until: datetime) -> None:
        left = (until - datetime.now(UTC)).total_seconds()
        if left > SHORT_WAIT:
            message = f"Waiting until {until.isoformat()}."
            self._stop(Scheduled(scheduled_time=until, name="Waiting", message=message), message)
        time.sleep(max(0.0, left))

    def _leave(self, why: str) -> NoReturn:
        state = self._client.read_flow_run(self._run.id).state
        if state is None or not state.is_paused():
            # A run that is not suspended would look as if it had run.
            self._end(REFUSED, why)
        raise Pause(why, state=state)

    def _end(self, verdict: str, why: str) -> NoReturn:
        tags = tags_with(self._run.tags, verdict)
        # By the tag people find it; it ends all the same where it cannot have one.
        with suppress(httpx.HTTPError):
            self._client.update_flow_run(self._run.id, tags=tags)
        name, message = told(verdict, why)
        self._stop(State(type=StateType(TYPES[verdict]), name=name, message=message), why)

    def _stop(self, state: State[Any], why: str) -> NoReturn:
        answer = self._client.set_flow_run_state(self._run.id, state, force=True)
        if answer.status != SetStateStatus.ACCEPT:
            raise RuntimeError(f"{why} (Prefect also refused the new state: {answer.details})")
        raise Pause(why, state=answer.state)


def _asked_through(client: Any) -> Any:
    """Return what our server is asked through: the client of the run, unless that reaches another server.

    Raises:
        AdmissionUnreachable: the address of our server is none, or others could read the key on its way there.
    """
    if not (told := os.environ.get(ADMISSION_URL, "").rstrip("/")):
        return client
    try:
        url = httpx.URL(f"{told}/api")
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise AdmissionUnreachable(f"{ADMISSION_URL} is not an address like https://signoff.example.com.")
    if not is_private(url):
        raise AdmissionUnreachable(f"Others could read the key on its way to {url.host}: {ADMISSION_URL} needs https.")
    signed = {"Authorization": f"Bearer {os.environ.get(ADMISSION_KEY, '')}"}
    timeout = get_current_settings().api.request_timeout
    return PrefectHttpxSyncClient(base_url=url, headers=signed, timeout=timeout, trust_env=trusts_environment(url))


def _refusal(answer: httpx.Response) -> str:
    """Return what the server says against a request, in sentences."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    return " ".join(sentences(told)) or f"The server refuses it with status {answer.status_code}."
