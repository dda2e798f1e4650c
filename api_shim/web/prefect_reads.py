"""The table of Prefect's routes that read, and who may read what there.

* Default deny. A ``GET`` that this table does not list is for who may view everything in Prefect; every other call that
  it does not list writes, and needs ``prefect.write``.
* Open: answers with nothing of anybody (the version, the documentation). For all who are signed in.
* All: could show what belongs to anybody's runs. For who may view everything in Prefect.
* View: holds what is not ours (work pools, variables, automations, limits). Needs view on ``prefect``.
* Foreign: a list or a count of what is not ours. It is empty for who has no view on ``prefect``, because pages of
  Prefect's UI that show other things too fail as a whole where one list is refused.
* Redacted: a work pool or queue, whose name stands on deployments. Who has no view on ``prefect`` is answered with that
  name, the same whether there is such a thing or not; and whether it is ready, if they may view a deployment there.
* Write: holds secrets (blocks, settings). Needs ``prefect.write``, though it reads.
* Secret: a list or a count of what holds secrets, or the settings, for which Prefect's UI asks on every page. It is
  empty for who has no ``prefect.write``, whatever else they may view.
* One: a single thing. A run, deployment or flow that is ours is there for who may view it here, and any other for who
  has view on ``prefect``; for all others it does not exist.
* Listed, Counted, Events: a list, or a count. Its filter is narrowed to what is ours and the caller may view.
* Streamed: a websocket. It sends what the caller may view.
* For who may view everything in Prefect, no route is filtered but Write and Secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import UUID

from api_shim.parsing.prefect_filter import Thing
from api_shim.web.route_table import RouteTable

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SOCKET = "WEBSOCKET"

Json = Any


class Simple(Enum):
    """A rule that needs nothing but the caller's permissions."""

    OPEN = auto()
    ALL = auto()
    VIEW = auto()
    WRITE = auto()
    EVENTS = auto()
    STREAMED = auto()


class Place(Enum):
    """Where a request tells which single thing it is about."""

    PATH = auto()
    QUERY = auto()
    ANSWER = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class One:
    """A single thing, or what belongs to it.

    Args:
        thing: what decides who may view it.
        told: where its id, or the name of a flow, is told: first in the path, or in the query or the answer.
        field: the parameter of the query, or the field of the answer, with dots.
        missing: what Prefect answers for a thing that does not exist.
    """

    thing: Thing
    told: Place = Place.PATH
    field: str = "id"
    missing: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A list or a count that takes filters.

    Args:
        about: the filter that is always narrowed; others are when they are sent.
        by_flow: whether the query takes a filter of flows too.
    """

    about: str
    by_flow: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Counts for some things.

    Args:
        field: the field of the body that has their ids.
        thing: what they are.
    """

    field: str
    thing: Thing


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """A list or a count of what is not ours.

    Args:
        answer: what is answered to who may not view what is not ours.
    """

    answer: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Redacted:
    """A work pool, or a queue in one, of which deployments are.

    Args:
        named: the fields that have names, by the place of that name in the path below ``/api/``.
        rest: the other fields, as they are answered to who may not view what is not ours.
        by: the criteria that the deployments there meet, each with the place of its name.
    """

    named: Mapping[str, int]
    rest: Mapping[str, Json]
    by: Mapping[tuple[str, str], int]

    def answer(self, path: str) -> dict[str, Json]:
        """Return the thing for who may not view it.

        Args:
            path: the decoded path, from ``/api``.
        """
        segments = path.split("/")[2:]
        return {**self.rest, **{field: segments[place] for field, place in self.named.items()}}

    def deployments(self, path: str) -> dict[str, Json]:
        """Return the body of a query for one deployment that is there.

        Args:
            path: the decoded path, from ``/api``.
        """
        segments = path.split("/")[2:]
        where = {about: {field: {"any_": [segments[place]]}} for (about, field), place in self.by.items()}
        return {**where, "limit": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A list or a count of what holds secrets, or the settings.

    Args:
        answer: what is answered to who has no ``prefect.write``.
    """

    answer: Json


Rule = Simple | One | Listed | Counted | Foreign | Redacted | Secret

RUN = One(thing=Thing.RUN, missing="Flow run not found")
DEPLOYMENT = One(thing=Thing.DEPLOYMENT, missing="Deployment not found")
FLOW = One(thing=Thing.FLOW, told=Place.ANSWER, field="name", missing="Flow not found")
TASK_RUN = One(thing=Thing.RUN, told=Place.ANSWER, field="flow_run_id", missing="Task not found")
ARTIFACT = One(thing=Thing.RUN, told=Place.ANSWER, field="flow_run_id", missing="Artifact not found.")
STATE = "state_details.flow_run_id"
RUNS = Listed(about="flow_runs")
DEPLOYMENTS = Listed(about="deployments")
NO_ROWS, NO_COUNT = Foreign(answer=()), Foreign(answer=0)
NO_SECRETS, NO_SECRET_COUNT = Secret(answer=()), Secret(answer=0)
NO_SETTINGS = Secret(
    answer={
        "note": "Seeing the settings needs the permission prefect.write.",
        "server": {"analytics_enabled": False, "ui": {"show_promotional_content": False}},
    }
)
"""A note on the page of settings, and what Prefect's UI goes by: it tells nobody that it is used, and advertises
nothing."""
NO_ID = str(UUID(int=0))
NOT_SHOWN: Mapping[str, Json] = {
    "id": NO_ID,
    "created": None,
    "updated": None,
    "description": "Seeing more of this needs the permission prefect.view.",
    "is_paused": False,
    "concurrency_limit": None,
    "status": None,
    "active_slots": None,
}
"""What work pools and queues have in common, for who may not view them."""
SHOWN = ("type", "status", "is_paused")
"""What is shown of them to who may view a deployment there."""
POOL = Redacted(
    named={"name": 1},
    by={("work_pools", "name"): 1},
    rest={**NOT_SHOWN, "type": "", "base_job_template": {}, "default_queue_id": NO_ID, "storage_configuration": {}},
)
QUEUE = Redacted(
    named={"work_pool_name": 1, "name": 3},
    by={("work_pools", "name"): 1, ("deployments", "work_queue_name"): 3},
    rest={**NOT_SHOWN, "priority": 1, "work_pool_id": None, "filter": None, "last_polled": None},
)
NO_SLOTS: Mapping[str, Json] = {
    "active_slots": 0,
    "concurrency_limit": None,
    "queues": (),
    "count": 0,
    "limit": 200,
    "pages": 0,
    "page": 1,
}
OPEN, ALL, VIEW, WRITE = Simple.OPEN, Simple.ALL, Simple.VIEW, Simple.WRITE

READS: Mapping[tuple[str, str], Rule] = {
    # What is nobody's
    ("GET", "health"): OPEN,
    ("GET", "ready"): OPEN,
    ("GET", "hello"): OPEN,
    ("GET", "version"): OPEN,
    ("GET", "admin/version"): OPEN,
    ("GET", "csrf-token"): OPEN,
    ("GET", "openapi.json"): OPEN,
    ("GET", "docs"): OPEN,
    ("GET", "docs/oauth2-redirect"): OPEN,
    ("GET", "redoc"): OPEN,
    ("GET", "collections/views/{}"): OPEN,
    # Runs, and what belongs to them
    ("GET", "flow_runs/{}"): RUN,
    ("GET", "flow_runs/{}/graph"): RUN,
    ("GET", "flow_runs/{}/graph-v2"): RUN,
    ("GET", "flow_runs/{}/input/{}"): RUN,
    ("POST", "flow_runs/{}/input/filter"): RUN,
    ("GET", "flow_runs/{}/logs/download"): RUN,
    ("POST", "flow_runs/filter"): RUNS,
    ("POST", "flow_runs/count"): RUNS,
    ("POST", "flow_runs/paginate"): RUNS,
    ("POST", "flow_runs/history"): RUNS,
    ("POST", "flow_runs/lateness"): RUNS,
    ("POST", "ui/flow_runs/history"): RUNS,
    ("POST", "ui/flow_runs/count-task-runs"): Counted(field="flow_run_ids", thing=Thing.RUN),
    ("GET", "flow_run_states"): One(
        thing=Thing.RUN, told=Place.QUERY, field="flow_run_id", missing="Flow run not found"
    ),
    ("GET", "flow_run_states/{}"): One(
        thing=Thing.RUN, told=Place.ANSWER, field=STATE, missing="Flow run state not found"
    ),
    ("GET", "task_runs/{}"): TASK_RUN,
    ("GET", "ui/task_runs/{}"): TASK_RUN,
    ("POST", "task_runs/filter"): RUNS,
    ("POST", "task_runs/count"): RUNS,
    ("POST", "task_runs/paginate"): RUNS,
    ("POST", "task_runs/history"): RUNS,
    ("POST", "ui/task_runs/count"): RUNS,
    ("POST", "ui/task_runs/dashboard/counts"): RUNS,
    ("GET", "task_run_states"): ALL,
    ("GET", "task_run_states/{}"): One(
        thing=Thing.RUN, told=Place.ANSWER, field=STATE, missing="Task run state not found"
    ),
    ("POST", "logs/filter"): Listed(about="logs", by_flow=False),
    (SOCKET, "logs/out"): Simple.STREAMED,
    ("GET", "artifacts/{}"): ARTIFACT,
    ("GET", "artifacts/{}/latest"): ARTIFACT,
    ("POST", "artifacts/filter"): RUNS,
    ("POST", "artifacts/count"): RUNS,
    ("POST", "artifacts/latest/filter"): RUNS,
    ("POST", "artifacts/latest/count"): RUNS,
    # Deployments and flows
    ("GET", "deployments/{}"): DEPLOYMENT,
    ("GET", "deployments/{}/schedules"): DEPLOYMENT,
    ("GET", "deployments/{}/work_queue_check"): NO_ROWS,
    ("GET", "deployments/name/{}/{}"): One(thing=Thing.DEPLOYMENT, told=Place.ANSWER, missing="Deployment not found"),
    ("POST", "deployments/filter"): DEPLOYMENTS,
    ("POST", "deployments/count"): DEPLOYMENTS,
    ("POST", "deployments/paginate"): DEPLOYMENTS,
    ("GET", "flows/{}"): FLOW,
    ("GET", "flows/name/{}"): FLOW,
    ("POST", "flows/filter"): Listed(about="flows"),
    ("POST", "flows/count"): Listed(about="flows"),
    ("POST", "flows/paginate"): Listed(about="flows"),
    ("POST", "ui/flows/count-deployments"): Counted(field="flow_ids", thing=Thing.FLOW),
    ("POST", "ui/flows/next-runs"): Counted(field="flow_ids", thing=Thing.FLOW),
    # Events
    ("POST", "events/filter"): Simple.EVENTS,
    ("POST", "events/count-by/{}"): Simple.EVENTS,
    # A page of events is named by a token that holds the filter, which a client can write.
    ("GET", "events/filter/next"): ALL,
    (SOCKET, "events/out"): Simple.STREAMED,
    # What is not ours
    ("GET", "admin/storage"): Foreign(answer={"default_result_storage_block_id": None}),
    ("GET", "automations/{}"): VIEW,
    ("GET", "automations/related-to/{}"): NO_ROWS,
    ("POST", "automations/filter"): NO_ROWS,
    ("POST", "automations/count"): NO_COUNT,
    ("GET", "block_capabilities"): VIEW,
    ("GET", "block_schemas/{}"): VIEW,
    ("GET", "block_schemas/checksum/{}"): VIEW,
    ("POST", "block_schemas/filter"): NO_ROWS,
    ("GET", "concurrency_limits/{}"): VIEW,
    ("GET", "concurrency_limits/tag/{}"): VIEW,
    ("POST", "concurrency_limits/filter"): NO_ROWS,
    ("GET", "v2/concurrency_limits/{}"): VIEW,
    ("POST", "v2/concurrency_limits/filter"): NO_ROWS,
    ("GET", "observed-states"): NO_ROWS,
    ("GET", "saved_searches/{}"): VIEW,
    ("POST", "saved_searches/filter"): NO_ROWS,
    ("POST", "task_workers/filter"): NO_ROWS,
    ("GET", "variables/{}"): VIEW,
    ("GET", "variables/name/{}"): VIEW,
    ("POST", "variables/filter"): NO_ROWS,
    ("POST", "variables/count"): NO_COUNT,
    ("GET", "work_pools/{}"): POOL,
    ("POST", "work_pools/filter"): NO_ROWS,
    ("POST", "work_pools/count"): NO_COUNT,
    ("POST", "work_pools/{}/concurrency_status"): Foreign(answer=NO_SLOTS),
    ("GET", "work_pools/{}/queues/{}"): QUEUE,
    ("POST", "work_pools/{}/queues/filter"): NO_ROWS,
    ("POST", "work_pools/{}/workers/filter"): NO_ROWS,
    ("GET", "work_queues/{}"): VIEW,
    ("GET", "work_queues/{}/status"): VIEW,
    ("GET", "work_queues/name/{}"): VIEW,
    ("POST", "work_queues/filter"): NO_ROWS,
    ("POST", "work_queues/{}/concurrency_status"): VIEW,
    # Secrets
    ("GET", "admin/settings"): NO_SETTINGS,
    ("GET", "block_documents/{}"): WRITE,
    ("POST", "block_documents/filter"): NO_SECRETS,
    ("POST", "block_documents/count"): NO_SECRET_COUNT,
    ("GET", "block_types/{}"): WRITE,
    ("GET", "block_types/slug/{}"): WRITE,
    ("GET", "block_types/slug/{}/block_documents"): WRITE,
    ("GET", "block_types/slug/{}/block_documents/name/{}"): WRITE,
    ("POST", "block_types/filter"): NO_SECRETS,
}
"""The rule for each of Prefect's routes that reads, by method and path below ``/api/``; ``{}`` is any one segment."""

SECRETIVE = re.compile(r"/api/(block_(documents|types)|admin/settings)(/.*)?", re.DOTALL)
"""What holds secrets at any path, so that a route that is new there is no way to them."""

_ROUTES = RouteTable(READS)


def rule_for(method: str, path: str) -> tuple[Rule | None, str]:
    """Return the rule for a request, and the first parameter of its path; no rule for a write.

    Args:
        method: the HTTP method; ``SOCKET`` for a websocket.
        path: the decoded path, from ``/api``.
    """
    if method == "OPTIONS":
        return OPEN, ""
    asked = "GET" if method == "HEAD" else method
    rule, named = _ROUTES.find(asked, path)
    if SECRETIVE.fullmatch(path) and not isinstance(rule, Secret):
        return WRITE, ""
    return (ALL if rule is None and asked == "GET" else rule), named


def needs_write(method: str, path: str) -> bool:
    """Say whether a request to Prefect's API needs ``prefect.write``."""
    return rule_for(method, path)[0] in (None, WRITE)
