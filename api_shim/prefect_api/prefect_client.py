"""The client of Prefect's HTTP API, which implements ``domain.ports.Orchestrator``.

* A request that fails because Prefect is busy or the connection breaks is retried a few times; then ``Unavailable``.
* A request that Prefect refuses is our mistake: the details go to the log, and the caller gets a short message.
* Long lists are read page by page.
* An existing deployment is changed with PATCH, never with POST, which would delete its schedules. A schedule is patched
  with all its fields, because missing ones are reset. After each write its runs are generated again, because a write
  deletes them.
* A run is released by forcing its state. ``resume`` would miscount its attempts and execute failures twice.
* A run that waits for a decision shows the approval form as Prefect's own form, and has a tag. A response stored with
  it in advance is removed, and never read.
* A deployment is removed in this order: delete the schedule, cancel the waiting runs, delete the deployment. Prefect
  never ends suspended runs of a deleted deployment.
* ``RemoteOrchestrator`` is for processes other than the server, whose calls pass the gateway. There a single
  ``create_flow_run`` is a request under the rules of our API, and the worker's account may not request runs, so it
  creates runs in bulk. In bulk, Prefect reports a busy database as a run that was not created, so it is retried.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import httpx
from opentelemetry.propagate import inject

from api_shim.domain.ports import (
    WHOLE,
    Announcement,
    ApprovalForm,
    Automation,
    Claim,
    DeploymentSpec,
    LogLine,
    LogPart,
    Run,
    RunSpec,
)
from api_shim.domain.request_id import current_request
from api_shim.prefect_api.prefect_json import (
    KEYS,
    Json,
    asks,
    ended,
    event_row,
    log_row,
    read_automation,
    read_claim,
    read_line,
    read_question,
    read_run,
    read_spec,
    read_time,
    schedule_row,
    scheduled,
    suspended,
)
from approval_gate.errors import Unavailable
from approval_gate.verdicts import AWAITING, tags_with
from approval_gate.verdicts import OURS as TAG

logger = logging.getLogger("signoff")

PAGE = 200
TRIES = 6
BUSY = frozenset({408, 429, 502, 503, 504})


class PrefectHttp:
    """Asks Prefect.

    Args:
        client: speaks to Prefect; its base URL ends with the API's path, its headers sign it in.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def _ask(self, method: str, path: str, body: Json = None, *, none_on: Collection[int] = ()) -> Json:
        """Return the decoded answer; None for an empty one and for the statuses in ``none_on``."""
        failure = ""
        for attempt in range(TRIES):
            try:
                answer = await self._client.request(method, path, json=body)
            except httpx.TransportError as error:
                failure = type(error).__name__
            else:
                if answer.status_code in none_on:
                    return None
                if answer.status_code not in BUSY:
                    return _decoded(method, path, answer)
                failure = str(answer.status_code)
            await asyncio.sleep(0.05 * 2**attempt)
        raise Unavailable(f"Prefect does not answer ({failure}); please try again.")

    async def _pages(
        self,
        path: str,
        body: Mapping[str, Json],
        offset: int = 0,
        *,
        limit: int | None = None,
        none_on: Collection[int] = (),
    ) -> AsyncIterator[Json]:
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            rows = await self._ask("POST", path, {**body, "limit": size, "offset": offset}, none_on=none_on) or ()
            for row in rows:
                yield row
            if len(rows) < size:
                return
            offset += size
            left = None if left is None else left - size


def _how_runs_start() -> Json:
    """Return what a work pool of processes says of how runs are started."""
    # Needed once in the life of a pool, and to import it takes its time.
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def _decoded(method: str, path: str, answer: httpx.Response) -> Json:
    if answer.is_success:
        return answer.json() if answer.content else None
    # Prefect refused what we wrote: ours to mend, so the reason goes to the log and not to the person.
    logger.error("Prefect refused %s %s: %s %s", method, path, answer.status_code, _reason(answer))
    raise Unavailable("Prefect refused what it was asked; the server's log says why.")


def _reason(answer: httpx.Response) -> str:
    """Return what Prefect found wrong, and where; without its words, which repeat what it was sent, inputs too."""
    try:
        said = answer.json()
    except ValueError:
        return ""
    faults = said.get("exception_detail") if isinstance(said, dict) else None
    found = [fault for fault in faults if isinstance(fault, dict)] if isinstance(faults, list) else []
    return "; ".join(f"{'.'.join(map(str, fault.get('loc', ())))}: {fault.get('type')}" for fault in found)[:500]


CHECK = "signoff-self-check"
REQUEST = "signoff.request-id"
"""The label of a run that has the id of the HTTP request that asked for it."""
TRACE = "__OTEL_TRACEPARENT"
"""The label of a run that names the trace its own is part of, as Prefect's engine reads it."""
REMOVED = "What this run belonged to was removed by signoff."
WORKER_SILENT_AFTER = timedelta(seconds=60)
WAITING = ("SCHEDULED", "PAUSED")


class PrefectOrchestrator(PrefectHttp):
    """Prefect, through its API.

    Args:
        client: speaks to Prefect; its base URL ends with the API's path, its headers sign it in.
        pool: the name of the server's work pool.
        past_us: whether workers can reach Prefect past us, as others run its server.
        origin: the origin of our pages, as people use it; empty where that is not known.
    """

    def __init__(self, client: httpx.AsyncClient, *, pool: str, past_us: bool = False, origin: str = "") -> None:
        super().__init__(client)
        self._origin = origin
        self.pool = pool
        self.past_us = past_us

    # Start-up check

    async def yields_runs(self) -> bool:
        """Say whether a schedule yields a run; with versions that do not fit together none ever does."""
        flow = await self._ask("POST", "/flows/", {"name": CHECK})
        schedule = {"schedule": {"cron": "0 0 1 1 *", "timezone": "UTC"}, "active": True, "slug": CHECK}
        body = {"name": CHECK, "flow_id": flow["id"], "schedules": [schedule]}
        try:
            made = await self._ask("POST", "/deployments/", body)
            await self._ask("POST", f"/deployments/{made['id']}/schedule", {"max_runs": 1})
            runs = {"flow_runs": {"deployment_id": {"any_": [made["id"]]}}}
            return bool(await self._ask("POST", "/flow_runs/filter", runs))
        except Unavailable:
            return False
        finally:
            await self._ask("DELETE", f"/flows/{flow['id']}", none_on=[404])

    # Pool and queues

    async def has_pool(self, pool: str) -> bool:
        return await self._ask("GET", self._pool_path(pool), none_on=[404]) is not None

    async def prepare(self, queues: Collection[str], pool: str = "") -> None:
        path = self._pool_path(pool)
        if not pool:
            await self._make_own_pool(path)
        # One that has gone is not made again, for only who made it knows of what type it was; and it holds up no queue
        # of another.
        known = {queue["name"] async for queue in self._pages(f"{path}/queues/filter", {}, none_on=[404])}
        for queue in set(queues) - known:
            await self._ask("POST", f"{path}/queues", {"name": queue}, none_on=[404, 409])

    async def _make_own_pool(self, path: str) -> None:
        pool = {"name": self.pool, "type": "process", "description": "Runs the Jobs of signoff."}
        made = await self._ask("POST", "/work_pools/", pool, none_on=[409])
        found = made or await self._ask("GET", path)
        if not found["base_job_template"] and found["type"] == "process":
            # Prefect leaves it to the first worker, whose account may not write it.
            await self._ask("PATCH", path, {"base_job_template": _how_runs_start()})

    def _pool_path(self, pool: str = "") -> str:
        return f"/work_pools/{quote(pool or self.pool, safe='')}"

    async def has_worker(self, queue: str) -> bool:
        found = await self._ask("GET", f"{self._pool_path()}/queues/{quote(queue, safe='')}", none_on=[404])
        return found is not None and _is_served(found)

    async def queue_polls(self, pool: str = "") -> Mapping[str, datetime | None]:
        # Nobody serves a work pool that has gone.
        queues = self._pages(f"{self._pool_path(pool)}/queues/filter", {}, none_on=[404])
        return {row["name"]: read_time(row["last_polled"]) async for row in queues}

    async def worker_heartbeats(self, pool: str = "") -> Mapping[str, datetime]:
        rows = [row async for row in self._pages(f"{self._pool_path(pool)}/workers/filter", {}, none_on=[404])]
        times = {row["name"]: read_time(row["last_heartbeat_time"]) for row in rows}
        return {name: time for name, time in times.items() if time is not None}

    async def worker_counts(self, pool: str = "") -> Mapping[str, int]:
        path = self._pool_path(pool)
        online = {"workers": {"status": {"any_": ["ONLINE"]}}}
        workers = len([row async for row in self._pages(f"{path}/workers/filter", online, none_on=[404])])
        queues = [row async for row in self._pages(f"{path}/queues/filter", {}, none_on=[404])]
        # Prefect does not tell which queues a worker serves, but which are served: by all of the pool, as is usual.
        return {row["name"]: max(1, workers) if _is_served(row) else 0 for row in queues}

    # Deployments

    async def find_deployment(self, flow: str, name: str) -> UUID | None:
        found = await self._find_deployment(flow, name)
        return UUID(found["id"]) if found else None

    async def _find_deployment(self, flow: str, name: str) -> dict[str, Json] | None:
        body = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [name]}}, "limit": 1}
        found: list[dict[str, Json]] = await self._ask("POST", "/deployments/filter", body)
        return found[0] if found else None

    async def read_deployment(self, deployment_id: UUID) -> DeploymentSpec | None:
        found = await self._ask("GET", f"/deployments/{deployment_id}", none_on=[404])
        if found is None:
            return None
        flow = await self._ask("GET", f"/flows/{found['flow_id']}", none_on=[404])
        return read_spec(found, (flow or {}).get("name", ""), self.pool)

    async def deployments(self) -> Mapping[UUID, DeploymentSpec]:
        flows = {row["id"]: row["name"] async for row in self._pages("/flows/filter", {})}
        ours = self._pages("/deployments/filter", {"deployments": {"tags": {"all_": [TAG]}}})
        return {UUID(row["id"]): read_spec(row, flows.get(row["flow_id"], ""), self.pool) async for row in ours}

    async def create_deployment(self, spec: DeploymentSpec) -> tuple[UUID, DeploymentSpec]:
        row = await self._find_deployment(spec.flow, spec.name)
        if row is None:
            flow = await self._ask("POST", "/flows/", {"name": spec.flow, "tags": [TAG]})
            schedules = [schedule_row(spec.schedule, active=False)] if spec.schedule else []
            body = {"name": spec.name, "flow_id": flow["id"], "schedules": schedules, **self._fields(spec)}
            row = await self._ask("POST", "/deployments/", body)
        return UUID(row["id"]), read_spec(row, spec.flow, self.pool)

    async def write_deployment(self, deployment_id: UUID, was: DeploymentSpec, spec: DeploymentSpec) -> None:
        path, schedule = f"/deployments/{deployment_id}", spec.schedule
        if replace(was, flow=spec.flow, name=spec.name, schedule=schedule) != spec:
            await self._ask("PATCH", path, self._fields(spec))
        slugs = set()
        for row in await self._ask("GET", f"{path}/schedules"):
            slugs.add(row["slug"])
            if schedule is None or row["slug"] != schedule.slug:
                await self._ask("DELETE", f"{path}/schedules/{row['id']}", none_on=[404])
            else:
                wanted = schedule_row(schedule, active=schedule.active)
                await self._ask("PATCH", f"{path}/schedules/{row['id']}", wanted)
        if schedule is not None and schedule.slug not in slugs:
            await self._ask("POST", f"{path}/schedules", [schedule_row(schedule, active=schedule.active)])
        if schedule is not None and schedule.active:
            await self._ask("POST", f"{path}/schedule", {})

    async def remove_deployment(self, deployment_id: UUID) -> None:
        waiting = _runs_of(deployment_id) | {"sort": "ID_DESC"}
        for row in [row async for row in self._pages("/flow_runs/filter", waiting)]:
            if not _goes_with_its_deployment(row):
                await self.end(UUID(row["id"]), "CANCELLED", "Cancelled", REMOVED)
        await self._ask("DELETE", f"/deployments/{deployment_id}", none_on=[404])

    def _fields(self, spec: DeploymentSpec) -> dict[str, Json]:
        return {
            "entrypoint": spec.entrypoint,
            "description": spec.description,
            "tags": [TAG, *spec.tags],
            "work_pool_name": spec.pool or self.pool,
            "work_queue_name": spec.queue,
            "parameters": dict(spec.parameters),
            "parameter_openapi_schema": dict(spec.parameter_schema),
            # The store has validated them; runs of sensitive Jobs have none in Prefect.
            "enforce_parameter_schema": False,
            "paused": False,
            "concurrency_limit": None,
            "path": None,
            "job_variables": dict(spec.job_variables),
            "pull_steps": [],
        }

    # Runs

    async def create_run(self, deployment_id: UUID, run: RunSpec) -> Run:
        if run.pool is not None:
            return await self._create_elsewhere(deployment_id, run, run.pool)
        return await self._create_in_its_pool(deployment_id, run)

    async def _create_in_its_pool(self, deployment_id: UUID, run: RunSpec) -> Run:
        path = f"/deployments/{deployment_id}/create_flow_run"
        return read_run(await self._ask("POST", path, self._run_fields(run)))

    async def _create_elsewhere(self, deployment_id: UUID, run: RunSpec, pool: str) -> Run:
        """Make a run of a deployment in another work pool; Prefect looks for queues in the deployment's own only."""
        deployment = await self._ask("GET", f"/deployments/{deployment_id}")
        place = {"flow_id": deployment["flow_id"], "deployment_id": str(deployment_id)}
        fields = self._run_fields(run)
        # Of a run that is made in the pool of its deployment, Prefect adds the tags itself.
        tags = [*dict.fromkeys((*fields["tags"], *deployment["tags"]))]
        body = {**fields, **place, "tags": tags, "work_pool_name": pool or self.pool}
        return read_run(await self._ask("POST", "/flow_runs/", body))

    def _run_fields(self, run: RunSpec) -> dict[str, Json]:
        state = suspended(run.message, asks=run.awaits) if run.at is None else scheduled(run.at, run.message)
        return {
            "name": run.name,
            "parameters": dict(run.parameters),
            "work_queue_name": run.queue,
            "idempotency_key": run.key,
            "tags": _tags(run.tags, awaits=run.awaits),
            "state": state,
            # Somebody who resumes it past us would else have its failure executed twice: Prefect counts wrong then.
            "empirical_policy": {"retries": -1},
            **_labels(),
        }

    async def find_run(self, key: str) -> UUID | None:
        body = {"flow_runs": {"idempotency_key": {"any_": [key]}}, "limit": 1}
        found = await self._ask("POST", "/flow_runs/filter", body)
        return UUID(found[0]["id"]) if found else None

    async def ask(self, run_id: UUID, question: ApprovalForm) -> None:
        row = await self.show(run_id)
        if row is None or read_run(row).final:
            return
        await self._label(row, question.name, _tags(question.tags, awaits=True), question.parameters)
        # The question comes before the state that shows it.
        await self._write_question(run_id, question)
        if not asks(row) or row["state"]["message"] != question.message:
            await self._set_state(run_id, suspended(question.message, asks=True))

    async def asked(self, run_id: UUID) -> ApprovalForm | None:
        row = await self.show(run_id)
        has = await self._inputs(run_id) if row is not None and asks(row) else {}
        if row is None or not {KEYS["description"], KEYS["schema"]} <= has.keys():
            return None
        return read_question(row, has)

    async def _inputs(self, run_id: UUID) -> dict[str, str]:
        rows = await self._ask("POST", f"/flow_runs/{run_id}/input/filter", {"prefix": "approval-", "limit": PAGE})
        return {row["key"]: row["value"] for row in rows}

    async def _label(self, row: Mapping[str, Json], name: str, tags: list[str], parameters: Mapping[str, Json]) -> None:
        wanted = {"name": name, "tags": tags, "parameters": dict(parameters)}
        has = {"name": row["name"], "tags": row["tags"], "parameters": row["parameters"]}
        if has != wanted:
            await self._ask("PATCH", f"/flow_runs/{row['id']}", wanted, none_on=[404])

    async def _write_question(self, run_id: UUID, question: ApprovalForm) -> None:
        path = f"/flow_runs/{run_id}/input"
        has = await self._inputs(run_id)
        if KEYS["description"] not in has and question.notice:
            # It has not asked yet. Should this end before it does, the line stands there twice.
            line = f"{question.notice} {self._origin}{question.page}"
            await self._ask("POST", "/logs/", [log_row(run_id, line, datetime.now(UTC))])
        wanted = {
            KEYS["description"]: json.dumps(question.description),
            KEYS["schema"]: json.dumps(question.form),
        }
        for key in has.keys() - {key for key, value in wanted.items() if has.get(key) == value}:
            await self._ask("DELETE", f"{path}/{key}", none_on=[404])
            del has[key]
        for key in wanted.keys() - has.keys():
            await self._ask("POST", path, {"key": key, "value": wanted[key]}, none_on=[404, 409])

    async def release(self, run_id: UUID, at: datetime, message: str, *, name: str | None = None) -> None:
        row = await self.show(run_id)
        if row is None or (run := read_run(row)).final:
            return
        await self._label(row, name or run.name, _tags(row["tags"]), run.parameters)
        if run.state_type == "SCHEDULED" and run.scheduled_for == at:
            return
        await self._set_state(run_id, scheduled(at, message))

    async def rename(self, run_id: UUID, name: str) -> None:
        await self._ask("PATCH", f"/flow_runs/{run_id}", {"name": name}, none_on=[404])

    async def resume(self, run_id: UUID, answer: object) -> str:
        told = await self._ask("POST", f"/flow_runs/{run_id}/resume", {"run_input": answer})
        if told["status"] == "ACCEPT":
            return ""
        return str(told["details"].get("reason") or "Prefect does not resume this run.")

    async def restart(self, run_id: UUID, at: datetime, message: str) -> None:
        await self._set_state(run_id, scheduled(at, message))

    async def end(self, run_id: UUID, state: str, name: str, message: str, *, called: str | None = None) -> None:
        row = await self.show(run_id)
        if row is None or read_run(row).final:
            return
        tags = tags_with([tag for tag in row["tags"] if tag != AWAITING], name)
        await self._label(row, called or row["name"], tags, row["parameters"])
        await self._set_state(run_id, ended(state, name, message))

    async def remove_run(self, run_id: UUID) -> None:
        await self._ask("DELETE", f"/flow_runs/{run_id}", none_on=[404])

    async def _set_state(self, run_id: UUID, state: Mapping[str, Json]) -> None:
        body = {"state": state, "force": True}
        await self._ask("POST", f"/flow_runs/{run_id}/set_state", body, none_on=[404])

    async def runs(self, ids: Collection[UUID]) -> Mapping[UUID, Run]:
        wanted = [str(run_id) for run_id in ids]
        found: dict[UUID, Run] = {}
        for start in range(0, len(wanted), PAGE):
            body = {"flow_runs": {"id": {"any_": wanted[start : start + PAGE]}}, "limit": PAGE}
            for row in await self._ask("POST", "/flow_runs/filter", body):
                found[UUID(row["id"])] = read_run(row)
        return found

    async def show(self, run_id: UUID) -> Mapping[str, Json] | None:
        row: Mapping[str, Json] | None = await self._ask("GET", f"/flow_runs/{run_id}", none_on=[404])
        return row

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        await self._ask("POST", "/events", [event_row(each) for each in announcements])

    async def claim(self, run_id: UUID) -> Claim | None:
        states = await self._ask("GET", f"/flow_run_states/?flow_run_id={run_id}")
        claims = [read_claim(state) for state in states if state["type"] == "PENDING"]
        if not claims:
            return None
        return replace(max(claims, key=lambda claim: claim.at), first=min(claim.at for claim in claims))

    async def due_runs(self, deployment_id: UUID, until: datetime) -> list[Run]:
        due = {"deployment_id": {"any_": [str(deployment_id)]}, "expected_start_time": {"before_": until.isoformat()}}
        body = {"sort": "EXPECTED_START_TIME_DESC", "limit": PAGE, "flow_runs": due}
        return [read_run(row) for row in await self._ask("POST", "/flow_runs/filter", body)]

    async def late_runs(self) -> list[Run]:
        filters = {"state": {"name": {"any_": ["Late"]}}, "tags": {"any_": [TAG]}}
        return [read_run(row) async for row in self._pages("/flow_runs/filter", {"flow_runs": filters})]

    async def runs_in(self, state_types: Collection[str]) -> list[Run]:
        filters = {"state": {"type": {"any_": list(state_types)}}, "tags": {"any_": [TAG]}}
        return [read_run(row) async for row in self._pages("/flow_runs/filter", {"flow_runs": filters})]

    async def variable(self, name: str) -> Json:
        row = await self._ask("GET", f"/variables/name/{quote(name, safe='')}", none_on=[404])
        return None if row is None else row["value"]

    async def automation(self, automation_id: UUID) -> Automation | None:
        row = await self._ask("GET", f"/automations/{automation_id}", none_on=[404])
        return None if row is None else read_automation(row)

    async def logs(self, run_id: UUID, part: LogPart = WHOLE) -> list[LogLine]:
        about: dict[str, Json] = {"flow_run_id": {"any_": [*map(str, await self._with_subflows(run_id))]}}
        if part.least:
            about["level"] = {"ge_": part.least}
        if part.since is not None:
            about["timestamp"] = {"after_": part.since.isoformat()}
        body = {"logs": about, "sort": "TIMESTAMP_DESC" if part.from_end else "TIMESTAMP_ASC"}
        lines = [read_line(row) async for row in self._pages("/logs/filter", body, part.skip, limit=part.limit)]
        return lines[::-1] if part.from_end else lines

    async def _with_subflows(self, run_id: UUID) -> list[UUID]:
        """Return a run and the runs of flows that it has called; what has a deployment is not called, but requested."""
        family = newest = [run_id]
        while newest:
            called = {"parent_flow_run_id": {"any_": [*map(str, newest)]}, "deployment_id": {"is_null_": True}}
            newest = [UUID(row["id"]) async for row in self._pages("/flow_runs/filter", {"flow_runs": called})]
            family = [*family, *newest]
        return family


def _tags(others: Iterable[str], *, awaits: bool = False) -> list[str]:
    """Return the tags of a run: our own, and these others."""
    return [TAG, *([AWAITING] if awaits else []), *(tag for tag in others if tag not in (TAG, AWAITING))]


def _labels() -> dict[str, Json]:
    """Return the labels of a run by which the request that has asked for it, and the trace of that, are found."""
    trace: dict[str, str] = {}
    inject(trace)
    told = {REQUEST: current_request(), TRACE: trace.get("traceparent", "")}
    labels = {label: value for label, value in told.items() if value}
    return {"labels": labels} if labels else {}


def _is_served(queue: Mapping[str, Json]) -> bool:
    polled = read_time(queue["last_polled"])
    # Prefect's own measure of a queue that is being served; this process has no other clock to compare with.
    return polled is not None and datetime.now(UTC) - polled < WORKER_SILENT_AFTER


def _goes_with_its_deployment(row: Mapping[str, Json]) -> bool:
    """Say whether Prefect deletes a run with its deployment; one of a schedule that has not begun is not missed."""
    waits = row["state_type"] == "SCHEDULED" and row["state_name"] != "AwaitingConcurrencySlot"
    return bool(row["auto_scheduled"] and waits and row["run_count"] == 0)


def _runs_of(deployment_id: UUID) -> dict[str, Json]:
    state = {"type": {"any_": list(WAITING)}}
    return {"flow_runs": {"deployment_id": {"any_": [str(deployment_id)]}, "state": state}}


class RemoteOrchestrator(PrefectOrchestrator):
    """Prefect, through its API, from outside."""

    async def _create_in_its_pool(self, deployment_id: UUID, run: RunSpec) -> Run:
        path = f"/deployments/{deployment_id}/create_flow_run/bulk"
        for attempt in range(TRIES):
            answer = await self._ask("POST", path, [self._run_fields(run)])
            made = answer["results"][0]
            if made.get("flow_run_id"):
                run_id = UUID(made["flow_run_id"])
                if (found := (await self.runs([run_id])).get(run_id)) is not None:
                    return found
                continue
            # What follows the fault is the statement, and in it what the run was to be given.
            logger.warning("Prefect did not make a run: %s", str(made.get("error")).partition(" [SQL")[0][:200])
            await asyncio.sleep(0.05 * 2**attempt)
        raise Unavailable("Prefect did not make the run; please try again.")
