"""What a run may do in Prefect with its own credential: what its process needs, for itself and the runs within it.

* Default deny: a call that ``CALLS`` does not list is refused. So a run decides nothing, and finds no list of runs. It
  reads variables and blocks, and takes slots of concurrency limits; it changes none of them.
* As its user it reads the deployments of ours that they may view, and it reads the runs that it has requested: so it
  can wait for those. That it runs a deployment of ours is a request (``web.gateway``); it runs no others.
* Its own are the run itself and the runs of flows that it calls (subflows): those whose parent, a task run, is its own.
  Any other run is answered like one that does not exist.
* Of its own run it changes the state, the name, the tags, the labels and the inputs; neither the parameters nor what
  decides how it is started, which another attempt would execute before it asks for admission. For the same reason a
  subflow is made without a deployment, a work pool, a queue or job variables, and never under a key that may be
  another run's.
* That it pauses, or is suspended, is recorded before Prefect is told: then somebody can resume it.
* Logs, task runs and artifacts name one of its own runs.
* It hears the events of its own runs: so its process learns that somebody suspends it.
* Of the events that it sends, those about its own runs and about what is nobody's go to Prefect. Others are left out:
  events of ``signoff``, and of other things of Prefect's.
* Prefect records task runs from events, with what the payload says above all else. So an event of a task run is of one
  of its own runs, of a task run that is its own or new, names neither again, and is one that Prefect can record: it
  drops all that it would record together with one that it cannot.
* What would write and is refused is recorded with the run, and the account of the worker that has taken it.

What holds as well for the accounts of workers (``web.prefect_worker_calls``) is in ``OwnCalls``.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

import httpx
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.asgi import receive_whole, received_again
from api_shim.parsing.fields import read_id
from api_shim.prefect_api.prefect_recorder import is_recordable
from api_shim.prefect_api.prefect_server import connect
from api_shim.services.refusals import Refusals
from api_shim.services.run_actors import RunActors
from api_shim.services.run_credentials import NOT_FOR_RUNS, RunCaller
from api_shim.services.suspensions import Suspensions
from api_shim.web.bodies import parse_json
from api_shim.web.errors import body_of, headers_of, status_of
from api_shim.web.prefect_reads import READING_METHODS, SOCKET
from api_shim.web.prefect_views import PrefectReader, Verdicts
from api_shim.web.rewriting import uncompressed, with_body
from api_shim.web.route_table import RouteTable
from approval_gate.errors import Forbidden, GateError, Invalid, NotFound
from approval_gate.model import Actor

C = TypeVar("C", bound=RunCaller | Actor)


class Call(Enum):
    """What has to hold of a call."""

    FREE = auto()
    """Nothing: it shows and changes what is nobody's, or what every flow may use."""
    RUN = auto()
    """The path names one of its own runs."""
    CHANGED_RUN = auto()
    """So it does, and the body changes nothing but what a run may change of itself."""
    NEW_RUN = auto()
    """The body describes a subflow of one of its own runs."""
    RUNS = auto()
    """The body asks for its own runs by their ids, or for the subflows of its own task runs."""
    TASK_RUN = auto()
    """The path names a task run of one of its own runs."""
    ARTIFACT = auto()
    """The path names an artifact of one of its own runs."""
    BELONGS = auto()
    """The body is of one of its own runs, or a list of such."""
    SERVED_BY = auto()
    """The path names the deployment, the work queue or the work pool of the run itself, or of the worker."""
    AS_USER = auto()
    """For runs only: the path names one of its own runs or one that it has requested, its deployment or one that its
    user may view."""
    TAKES = auto()
    """The path names one of its own runs, or one that the body takes; for workers only."""


FREE, RUN, TASK_RUN, ARTIFACT, BELONGS = Call.FREE, Call.RUN, Call.TASK_RUN, Call.ARTIFACT, Call.BELONGS

CALLS: Mapping[tuple[str, str], Call] = {
    ("GET", "health"): FREE,
    ("GET", "hello"): FREE,
    ("GET", "version"): FREE,
    ("GET", "admin/version"): FREE,
    ("GET", "csrf-token"): FREE,
    # Itself, and its subflows
    ("GET", "flow_runs/{}"): RUN,
    ("PATCH", "flow_runs/{}"): Call.CHANGED_RUN,
    ("PATCH", "flow_runs/{}/labels"): RUN,
    ("POST", "flow_runs/{}/set_state"): RUN,
    ("POST", "flow_runs/{}/input"): RUN,
    ("POST", "flow_runs/{}/input/filter"): RUN,
    ("GET", "flow_runs/{}/input/{}"): RUN,
    ("DELETE", "flow_runs/{}/input/{}"): RUN,
    ("POST", "flow_runs"): Call.NEW_RUN,
    ("POST", "flow_runs/filter"): Call.RUNS,
    ("POST", "flows"): FREE,
    ("GET", "flows/{}"): FREE,
    ("GET", "deployments/{}"): Call.SERVED_BY,
    ("GET", "work_queues/{}"): Call.SERVED_BY,
    ("GET", "work_pools/{}"): Call.SERVED_BY,
    # What belongs to it
    ("POST", "logs"): BELONGS,
    ("POST", "task_runs"): BELONGS,
    ("GET", "task_runs/{}"): TASK_RUN,
    ("POST", "task_runs/{}/set_state"): TASK_RUN,
    ("POST", "artifacts"): BELONGS,
    ("GET", "artifacts/{}"): ARTIFACT,
    ("PATCH", "artifacts/{}"): ARTIFACT,
    (SOCKET, "events/in"): FREE,
    (SOCKET, "events/out"): FREE,
    # What every flow may use
    ("GET", "variables/name/{}"): FREE,
    ("GET", "block_documents/{}"): FREE,
    ("GET", "block_types/slug/{}"): FREE,
    ("GET", "block_types/slug/{}/block_documents/name/{}"): FREE,
    ("GET", "block_schemas/{}"): FREE,
    ("GET", "block_schemas/checksum/{}"): FREE,
    ("POST", "concurrency_limits/increment"): FREE,
    ("POST", "concurrency_limits/decrement"): FREE,
    ("POST", "v2/concurrency_limits/increment"): FREE,
    ("POST", "v2/concurrency_limits/decrement"): FREE,
    ("POST", "v2/concurrency_limits/increment-with-lease"): FREE,
    ("POST", "v2/concurrency_limits/decrement-with-lease"): FREE,
    ("POST", "v2/concurrency_limits/leases/{}/renew"): FREE,
    ("GET", "v2/concurrency_limits/{}"): FREE,
}
"""What a run may ask, by method and path below ``/api/``; ``{}`` is any one segment."""

READS_AS_USER: Mapping[tuple[str, str], Call] = {
    ("GET", "flow_runs/{}"): Call.AS_USER,
    ("GET", "deployments/{}"): Call.AS_USER,
    ("GET", "deployments/name/{}/{}"): Call.AS_USER,
}
"""What a run reads besides as its user, so that it can request runs and wait for them."""

SETS_STATE = re.compile(r"/api/flow_runs/([^/]+)/set_state/?")

MAY_CHANGE = frozenset({"name", "tags", "flow_version", "empirical_policy"})
"""The fields of a run that it may change."""
MAY_MAKE = frozenset(
    {"flow_id", "name", "tags", "flow_version", "empirical_policy", "parameters", "context", "labels", "state"}
)
"""The fields of a subflow that it may give, beside its parent."""
SERVES = {"deployments": "deployment_id", "work_queues": "work_queue_id", "work_pools": "work_pool_name"}
"""The fields of a run that tell what serves it."""

DEEPEST = 20
"""How many runs may be within each other."""
MOST_ASKED = 200
"""How many runs and task runs one request may name; each may have to be looked up."""
MOST_REMEMBERED = 10_000
"""How many subflows, and how many task runs, are remembered."""

FLOW_RUN, TASK_RUN_ID = "prefect.flow-run.", "prefect.task-run."
RECORDED = "prefect.task-run"
"""How the names of events begin from which Prefect records task runs."""
NOT_TOLD_AGAIN = {
    "task_run": frozenset({"id", "flow_run_id", "state", "state_id"}),
    "validated_state": frozenset({"id"}),
}
"""What Prefect takes from elsewhere in such an event, unless its payload has it; Prefect's clients leave it out."""
NO_TEXT = "\\u0000"
"""A character, as JSON has it, that PostgreSQL stores in no text: what is written together with it would be lost."""
NOT_A_RUNS = ("prefect.", "signoff.")
"""How the ids of resources begin that a run has no events of, unless they are its own."""


class OwnCalls(ABC, Generic[C]):
    """Answers what somebody asks of Prefect who has runs of their own there, and nothing else.

    Args:
        prefect: the Prefect server.
        internal: ``user:password`` of Prefect's internal account.
        refusals: records what is refused.
    """

    routes: ClassVar[RouteTable[Call]]
    """What they may ask; what is not listed is refused."""
    refused: ClassVar[str]
    """The sentence with which all else is refused."""
    may_change: ClassVar[Collection[str]]
    """The fields of a run of theirs that they may change."""

    def __init__(self, prefect: ASGIApp, internal: str, refusals: Refusals) -> None:
        self._prefect = prefect
        self._client = connect(prefect, internal)
        self._refusals = refusals
        self._around: dict[UUID, UUID] = {}
        self._task_runs: dict[UUID, UUID] = {}

    async def answer(self, caller: C, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Args:
            caller: who calls.
            scope: the ASGI scope of the request, with the credentials of Prefect's internal account.
            receive: the ASGI callable.
            send: the ASGI callable.
        """
        call, named = self.routes.find(scope["method"], scope["path"])
        try:
            match call:
                case None:
                    raise Forbidden(self.refused)
                case Call.FREE:
                    pass
                case Call.RUN | Call.TASK_RUN | Call.ARTIFACT | Call.SERVED_BY:
                    await self._check_path(caller, call, scope["path"], named)
                case _:
                    body = await receive_whole(receive)
                    if body is None:
                        return
                    scope, receive = await self._checked(caller, call, named, body, scope, receive)
            await self._pass(caller, call, scope, receive, send)
        except GateError as error:
            if scope["method"] not in READING_METHODS and isinstance(error, Forbidden | NotFound):
                await self._record(caller, str(error))
            await JSONResponse(body_of(error), status_of(error), headers_of(error))(scope, receive, send)

    def check_socket(self, caller: C, path: str) -> None:
        """Check that they may open a websocket.

        Args:
            caller: who opens it.
            path: its decoded path, from ``/api``.

        Raises:
            Forbidden: they may not.
        """
        call, named = self.routes.find(SOCKET, path)
        if call is None or (call is Call.SERVED_BY and not self._is_pool_of(caller, named)):
            raise Forbidden(self.refused)

    async def may_tell(self, caller: C, path: str, message: Message) -> bool:
        """Say whether what they send through a websocket goes to Prefect.

        Args:
            caller: who sends it.
            path: that of the websocket.
            message: the ASGI message.
        """
        if not self._has_events(path):
            return True
        text = (message.get("text") or "").encode() or message.get("bytes") or b""
        try:
            event = parse_json(text)
            about, related = _resources(event)
        except (GateError, AttributeError, KeyError, TypeError):
            return False
        of_runs = [each for each in (about, *related) if each.startswith(FLOW_RUN)]
        for each in of_runs:
            run_id = read_id(each.removeprefix(FLOW_RUN))
            if run_id is None or not await self._owns(caller, run_id):
                return False
        name = str(event.get("event"))
        if name.startswith("signoff.") or NO_TEXT.encode() in text:
            return False
        if about.startswith(TASK_RUN_ID) or name.startswith(RECORDED):
            return await self._may_tell_of_task_run(caller, event, about.removeprefix(TASK_RUN_ID))
        return about in of_runs or not about.startswith(NOT_A_RUNS) or self._tells_of_itself(about, name)

    async def _may_tell_of_task_run(self, caller: C, event: Mapping[str, Any], named: str) -> bool:
        """Say so of an event whose flow runs are the run's own."""
        task_run_id, runs = read_id(named), _flow_runs(event)
        if task_run_id is None or not runs or not all(each.startswith(FLOW_RUN) for each in runs):
            return False
        if str(event.get("event")).startswith(RECORDED) and not (_tells_once(event) and is_recordable(event)):
            return False
        if task_run_id not in self._task_runs:
            answer = await self._client.get(f"/task_runs/{task_run_id}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                # Prefect records a new one with the first of these.
                named = runs[0].removeprefix(FLOW_RUN)
            else:
                named = str(answer.json().get("flow_run_id")) if answer.is_success else ""
            if (run_id := read_id(named)) is None:
                return False
            if len(self._task_runs) >= MOST_REMEMBERED:
                self._task_runs.clear()
            self._task_runs[task_run_id] = run_id
        # Its run is always the same one, but whose that is changes when it is taken again.
        return await self._owns(caller, self._task_runs[task_run_id])

    async def may_hear(self, caller: C, path: str, message: Message, verdicts: Verdicts) -> bool:
        """Say whether a message of a websocket is for them.

        Args:
            caller: who listens.
            path: that of the websocket.
            message: the ASGI message.
            verdicts: what is remembered of the websocket.
        """
        if not self._has_events(path):
            return True
        said = json.loads(message.get("text") or message.get("bytes") or "{}")
        if said.get("type") in ("auth_success", "auth_failure"):
            return True
        about = str(said["event"]["resource"]["prefect.resource.id"]) if said.get("type") == "event" else ""
        run_id = read_id(about.removeprefix(FLOW_RUN)) if about.startswith(FLOW_RUN) else None
        return run_id is not None and await verdicts.of(about, partial(self._owns, caller, run_id))

    def _has_events(self, path: str) -> bool:
        """Say whether events go through a websocket, or only what is theirs: the channel of a work pool."""
        return self.routes.find(SOCKET, path)[0] is not Call.SERVED_BY

    # Who calls

    @abstractmethod
    async def _has(self, caller: C, run_id: UUID) -> bool:
        """Say whether a run is theirs by itself, and not for the run that has called it."""

    @abstractmethod
    async def _record(self, caller: C, refused: str) -> None:
        """Record what was refused."""

    @abstractmethod
    async def _check_serves(self, caller: C, kind: str, named: str) -> None:
        """Check that a deployment, a work queue or a work pool is theirs."""

    def _is_pool_of(self, _caller: C, _pool: str) -> bool:
        """Say whether they speak for a work pool, and not only for a run in it."""
        return False

    def _tells_of_itself(self, _about: str, _name: str) -> bool:
        """Say whether an event is about something of Prefect's that they are."""
        return False

    async def _pass(self, _caller: C, _call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Prefect answer what may be asked."""
        await self._prefect(scope, receive, send)

    # What has to hold

    async def _check_path(self, caller: C, call: Call, path: str, named: str) -> None:
        match call:
            case Call.RUN:
                await self._check_run(caller, named)
            case Call.TASK_RUN:
                await self._check_part(caller, "task_runs", named, "Task not found")
            case Call.ARTIFACT:
                await self._check_part(caller, "artifacts", named, "Artifact not found.")
            case _:
                await self._check_serves(caller, path.split("/")[2], named)

    async def _checked(
        self, caller: C, call: Call, named: str, body: bytes, scope: Scope, receive: Receive
    ) -> tuple[Scope, Receive]:
        """Return a request whose body may go to Prefect."""
        told = parse_json(body)
        match call:
            case Call.CHANGED_RUN:
                await self._check_run(caller, named)
                self._check_fields(told, self.may_change)
            case Call.NEW_RUN:
                # What is not given is null; in a change that would be a value.
                self._check_fields(_given(told), MAY_MAKE | {"parent_task_run_id"})
                await self._check_part(caller, "task_runs", str(told.get("parent_task_run_id")), "Task not found")
            case Call.RUNS:
                return with_body(scope, receive, json.dumps(await self._narrowed(caller, told)).encode())
            case _:
                for each in told if isinstance(told, list) else [told]:
                    await self._check_run(caller, str(field_of(each, "flow_run_id")))
        return scope, received_again(body, receive)

    async def _narrowed(self, caller: C, told: Any) -> dict[str, Any]:
        """Return the filter for what is asked for by ids, all of which are their own, and for nothing else."""
        asked = field_of(told, "flow_runs")
        told_ids = {name: field_of(field_of(asked, name), "any_") for name in ("id", "parent_task_run_id")}
        named = {name: ids for name, ids in told_ids.items() if isinstance(ids, list) and ids}
        if not named:
            raise Forbidden(self.refused)
        for ids in named.values():
            check_few(ids)
        if "id" in named:
            named["id"] = await self._own_of(caller, named["id"])
        for parent in {str(each) for each in named.get("parent_task_run_id", ())}:
            await self._check_part(caller, "task_runs", parent, "Task not found")
        kept = {name: told[name] for name in ("sort", "limit", "offset") if told.get(name) is not None}
        state = {"state": asked["state"]} if asked.get("state") is not None else {}
        return {**kept, "flow_runs": {**{name: {"any_": ids} for name, ids in named.items()}, **state}}

    async def _own_of(self, caller: C, ids: list[Any]) -> list[Any]:
        """Return which of these ids of runs they may ask about."""
        for run_id in ids:
            await self._check_run(caller, str(run_id))
        return ids

    def _check_fields(self, told: Any, allowed: Collection[str]) -> None:
        if not isinstance(told, Mapping):
            raise Invalid({"non_field_errors": ["Expected an object."]})
        if not told.keys() <= {*allowed}:
            raise Forbidden(self.refused)

    async def _check_run(self, caller: C, named: str) -> None:
        run_id = read_id(named)
        if run_id is None or not await self._owns(caller, run_id):
            raise NotFound("Flow run not found")

    async def _check_part(self, caller: C, kind: str, named: str, missing: str) -> None:
        """Check that a task run or an artifact is of one of their own runs."""
        found = await self._read(kind, named)
        run_id = read_id(str(found.get("flow_run_id"))) if found is not None else None
        if run_id is None or not await self._owns(caller, run_id):
            raise NotFound(missing)

    async def _owns(self, caller: C, run_id: UUID) -> bool:
        for _ in range(DEEPEST):
            if await self._has(caller, run_id):
                return True
            outer = await self._run_around(run_id)
            if outer is None:
                return False
            run_id = outer
        return False

    async def _run_around(self, run_id: UUID) -> UUID | None:
        """Return the run that has called a subflow; None for a run that is none."""
        if run_id not in self._around:
            run = await self._read("flow_runs", str(run_id))
            parent = read_id(str(run.get("parent_task_run_id"))) if run is not None else None
            task_run = await self._read("task_runs", str(parent)) if parent is not None else None
            outer = read_id(str(task_run.get("flow_run_id"))) if task_run is not None else None
            if outer is None:
                return None
            if len(self._around) >= MOST_REMEMBERED:
                self._around.clear()
            self._around[run_id] = outer
        return self._around[run_id]

    async def _read(self, kind: str, named: str) -> Mapping[str, Any] | None:
        if (thing_id := read_id(named)) is None:
            return None
        answer = await self._client.get(f"/{kind}/{thing_id}")
        found: Mapping[str, Any] | None = answer.json() if answer.is_success else None
        return found


class RunCalls(OwnCalls[RunCaller]):
    """Answers what runs ask of Prefect with their own credentials.

    Args:
        prefect: the Prefect server.
        internal: ``user:password`` of Prefect's internal account.
        refusals: records what is refused.
        actors: says as whom runs act.
        reader: shows people what they may view.
        suspensions: records that runs are suspended by their own code.
    """

    routes = RouteTable({**CALLS, **READS_AS_USER})
    refused = NOT_FOR_RUNS
    may_change = MAY_CHANGE

    def __init__(
        self,
        prefect: ASGIApp,
        internal: str,
        refusals: Refusals,
        actors: RunActors,
        reader: PrefectReader,
        suspensions: Suspensions,
    ) -> None:
        super().__init__(prefect, internal, refusals)
        self._suspensions = suspensions
        self._actors = actors
        self._reader = reader

    async def answer(self, caller: RunCaller, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see ``OwnCalls``."""
        call, named = self.routes.find(scope["method"], scope["path"])
        if call is not Call.AS_USER:
            await super().answer(caller, scope, receive, send)
            return
        try:
            reads = self._prefect if await self._is_own(caller, scope["path"], named) else None
            await (reads or await self._as_user(caller, scope["path"], named))(scope, receive, send)
        except GateError as error:
            await JSONResponse(body_of(error), status_of(error), headers_of(error))(scope, receive, send)

    async def _pass(self, caller: RunCaller, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        sets = SETS_STATE.fullmatch(scope["path"])
        if sets is not None and read_id(sets[1]) == caller.run_id:
            body = await receive_whole(receive)
            if body is None:
                return
            receive = received_again(body, receive)
            if pauses(body):
                await pass_pause(self._suspensions, caller.run_id, self._prefect, scope, receive, send)
                return
        await super()._pass(caller, call, scope, receive, send)

    async def _is_own(self, caller: RunCaller, path: str, named: str) -> bool:
        try:
            if _is_of_runs(path):
                await self._check_run(caller, named)
            else:
                await self._check_serves(caller, "deployments", named)
        except NotFound:
            return False
        return True

    async def _as_user(self, caller: RunCaller, path: str, named: str) -> ASGIApp:
        """Return what answers a run about what is not its own."""
        missing = NotFound("Flow run not found" if _is_of_runs(path) else "Deployment not found")
        try:
            actor = await self._actors.acting(caller, writes=False)
        except Forbidden:
            # It has not been let go, or is over: there is nothing for it but itself.
            raise missing from None
        if not _is_of_runs(path):
            return partial(self._reader.answer, actor)
        run_id = read_id(named)
        if run_id is None or not await self._actors.has_requested(actor, run_id):
            raise missing
        return self._prefect

    async def _has(self, caller: RunCaller, run_id: UUID) -> bool:
        return run_id == caller.run_id

    async def _record(self, caller: RunCaller, refused: str) -> None:
        await self._refusals.request(caller.worker, refused, "Prefect", flow_run_id=caller.run_id)

    async def _check_serves(self, caller: RunCaller, kind: str, named: str) -> None:
        own = await self._read("flow_runs", str(caller.run_id))
        if own is None or str(own.get(SERVES[kind])) != named:
            raise NotFound("Not found.")


def _is_of_runs(path: str) -> bool:
    return path.startswith("/api/flow_runs/")


def pauses(body: bytes) -> bool:
    """Say whether a request puts a run into a state in which it waits to be resumed."""
    try:
        return _is_paused(parse_json(body))
    except GateError:
        return False


def _is_paused(said: Any) -> bool:
    return bool(field_of(field_of(said, "state"), "type") == "PAUSED")


async def pass_pause(
    suspensions: Suspensions, run_id: UUID, prefect: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Let Prefect answer a run that pauses; that is recorded before, and taken back where Prefect lets it run.

    Args:
        suspensions: records it.
        run_id: the run.
        prefect: the Prefect server.
        scope: the ASGI scope of the request.
        receive: the ASGI callable.
        send: the ASGI callable.
    """
    await suspensions.note(run_id)
    answer = await kept(prefect, scope, receive)
    said = said_in(answer)
    if said is not None and not _is_paused(said):
        await suspensions.forget(run_id)
    for message in answer:
        await send(message)


async def kept(prefect: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """Return Prefect's answer, which nobody has been sent yet, so that it can be read."""
    answer: list[Message] = []

    async def keep(message: Message) -> None:
        answer.append(message)

    await prefect(uncompressed(scope), receive, keep)
    return answer


def said_in(answer: list[Message]) -> Any:
    """Return what an answer of Prefect's says, as JSON; None for one that refuses."""
    if not answer or answer[0]["status"] not in (200, 201):
        return None
    return parse_json(b"".join(message.get("body", b"") for message in answer[1:]))


def _given(told: Any) -> Any:
    return {name: value for name, value in told.items() if value is not None} if isinstance(told, Mapping) else told


def check_few(ids: Iterable[Any]) -> None:
    """Check that a request names no more than may be looked up for it.

    Raises:
        Invalid: it does.
    """
    if len({str(each) for each in ids}) > MOST_ASKED:
        raise Invalid({"non_field_errors": [f"One request may name {MOST_ASKED} runs at most."]})


def field_of(told: Any, name: str) -> Any:
    """Return a field of what a client sent; None if there is none."""
    return told.get(name) if isinstance(told, Mapping) else None


def _resources(event: Any) -> tuple[str, list[str]]:
    """Return the id of what an event is about, and of what it concerns."""
    about = str(event["resource"]["prefect.resource.id"])
    return about, [str(each["prefect.resource.id"]) for each in event.get("related") or ()]


def _flow_runs(event: Mapping[str, Any]) -> list[str]:
    """Return the ids of what an event says to be its flow runs."""
    related = event.get("related") or ()
    return [str(each["prefect.resource.id"]) for each in related if each.get("prefect.resource.role") == "flow-run"]


def _tells_once(event: Mapping[str, Any]) -> bool:
    """Say whether the payload of a task run's event leaves the ids to the rest of it."""
    payload = event.get("payload")
    parts = {name: field_of(payload, name) for name in NOT_TOLD_AGAIN}
    return all(
        isinstance(part, Mapping) and part.keys().isdisjoint(NOT_TOLD_AGAIN[name]) for name, part in parts.items()
    )
