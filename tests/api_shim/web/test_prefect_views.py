"""What Prefect is asked for a caller who may not view everything there, and what they are answered."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from api_shim.services.prefect_views import PrefectViews
from api_shim.store import Store
from api_shim.web.prefect_bounds import MAY_NOT_WRITE, NOWHERE_ELSE
from api_shim.web.prefect_reads import NO_SETTINGS, NO_SLOTS, POOL, QUEUE
from api_shim.web.prefect_views import (
    MAY_NOT_VIEW,
    MAY_NOT_VIEW_ALL,
    MOST_REMEMBERED,
    REMEMBERED,
    PrefectReader,
    Verdicts,
)
from approval_gate.constraints import UNLIMITED
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.api_shim.origin import INTERNAL, Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result, make_scheduled

NOBODYS = str(UUID(int=0))
EVERY_RUN = [("extras.job", "view"), ("extras.scheduledjob", "view"), ("extras.jobresult", "view")]
WHO: Mapping[str, list[tuple[str, str]]] = {
    "nobody": [],
    "limited": [("extras.job", "view"), ("extras.jobresult", "view")],
    "reader": EVERY_RUN,
    "looker": [("prefect", "view")],
    "overseer": [*EVERY_RUN, ("prefect", "view")],
    "writer": [("prefect", "write")],
}
"""Users by their permissions; those of limited are for the Job A alone."""


class Viewed(Origin):
    """An origin whose Prefect has answers by path, and remembers the bodies that it was sent."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        super().__init__(store, clock)
        self.answers: dict[str, Any] = {}
        self.bodies: dict[str, Any] = {}
        self.user()
        for name, grants in WHO.items():
            self.user(name, superuser=False)
            for kind, action in grants:
                path = "name" if kind == "extras.job" else "job_model__name"
                constraint = {path: "A"} if name == "limited" else None
                self.identity.add_permission(
                    f"{name} {kind} {action}", NOW, types=[kind], actions=[action], users=[name], constraint=constraint
                )
        self.jobs = {letter: self.job(name=letter, deployment_id=uuid4()) for letter in "AB"}
        self.runs = {letter: make_result(job, None) for letter, job in self.jobs.items()}
        self.schedule = make_scheduled(self.jobs["B"], None, deployment_id=uuid4())
        self.add(*self.runs.values(), self.schedule)

    async def _prefect(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/api/")
        body = await Request(scope, receive).body()
        self.bodies[path] = json.loads(body) if body else None
        found = path in self.answers or scope["method"] == "POST"
        answer = self.answers.get(path, {"prefect": True})
        await JSONResponse(answer if found else {"detail": "nothing"}, 200 if found else 404)(scope, receive, send)

    def run_id(self, letter: str) -> str:
        return str(self.runs[letter].flow_run_id)

    def deployment_id(self, letter: str) -> str:
        return str(self.jobs[letter].deployment_id)

    def sent(self, who: str, path: str, body: Any = None) -> Any:
        """Ask for a list, and return the body that Prefect was sent."""
        answer = self.ask("POST", f"/api/{path}", who, json=body)
        assert answer.status_code == 200, answer.text
        return self.bodies[path]


@pytest.fixture
def viewed(sqlite_store: Store, clock: Clock) -> Viewed:
    return Viewed(sqlite_store, clock)


@pytest.mark.parametrize("who", ["admin", "overseer", "writer"])
def test_who_may_view_everything_is_passed_on_unchanged(viewed: Viewed, who: str) -> None:
    body = {"flow_runs": {"operator": "or_"}, "limit": 1}
    for path in ("flow_runs/filter", "logs/filter", "events/filter", "variables/filter", "ui/flows/next-runs"):
        assert viewed.sent(who, path, body) == body


@pytest.mark.parametrize("who", ["nobody", "limited", "looker"])
@pytest.mark.parametrize(
    "path",
    ["flow_runs/filter", "flow_runs/count", "task_runs/paginate", "artifacts/latest/count", "ui/flow_runs/history"],
)
def test_lists_and_counts_of_runs_have_the_same_narrowed_filter(viewed: Viewed, who: str, path: str) -> None:
    runs = [viewed.run_id("A")] if who == "limited" else [NOBODYS]
    assert viewed.sent(who, path) == {"flow_runs": {"id": {"any_": runs}}}
    sent = {"limit": 3, "flow_runs": {"id": {"any_": [viewed.run_id("B")]}}}
    assert viewed.sent(who, path, sent) == {"limit": 3, "flow_runs": {"id": {"any_": [NOBODYS]}}}


def test_who_may_view_every_run_is_given_those_of_our_flows(viewed: Viewed) -> None:
    for path in ("flow_runs/filter", "deployments/count", "flows/paginate", "artifacts/filter"):
        sent = {"flow_runs": {"operator": "or_"}}
        assert viewed.sent("reader", path, sent) == {**sent, "flows": {"name": {"any_": ["A", "B"]}}}
    assert viewed.sent("reader", "logs/filter")["logs"]["flow_run_id"]["any_"] == sorted(map(viewed.run_id, "AB"))


def test_every_filter_in_a_query_is_narrowed(viewed: Viewed) -> None:
    """A query for what one may view asks nothing about what one may not."""
    body = {"flow_runs": {"name": {"like_": "x"}}, "task_runs": {}, "deployments": {}, "flows": {}}
    sent = viewed.sent("limited", "flows/filter", body)
    assert sent["flow_runs"] == {"name": {"like_": "x"}, "id": {"any_": [viewed.run_id("A")]}}
    assert sent["task_runs"] == {"flow_run_id": {"any_": [viewed.run_id("A")]}}
    assert sent["deployments"] == {"id": {"any_": [viewed.deployment_id("A")]}}
    assert sent["flows"] == {"name": {"any_": ["A"]}}
    both = {"logs": {"flow_run_id": {"any_": [viewed.run_id("A"), viewed.run_id("B")]}}}
    assert viewed.sent("limited", "logs/filter", both) == {"logs": {"flow_run_id": {"any_": [viewed.run_id("A")]}}}


@pytest.mark.parametrize("body", [[], {"flow_runs": {"operator": "or_"}}, {"flow_runs": {"id": {"any_": [1]}}}, "{"])
def test_a_filter_that_cannot_be_narrowed_is_refused(viewed: Viewed, body: Any) -> None:
    how = {"content": body, "headers": {"Content-Type": "application/json"}} if body == "{" else {"json": body}
    answer = viewed.ask("POST", "/api/flow_runs/filter", "limited", **how)
    assert (answer.status_code, type(answer.json()["detail"])) == (400, str)
    assert viewed.bodies == {}


def test_counts_by_id_are_for_what_may_be_viewed(viewed: Viewed) -> None:
    both = [viewed.run_id("A"), viewed.run_id("B")]
    assert viewed.sent("limited", "ui/flow_runs/count-task-runs", {"flow_run_ids": both}) == {"flow_run_ids": both[:1]}
    flow_id, other = str(uuid4()), str(uuid4())
    viewed.answers["flows/filter"] = [{"id": flow_id}]
    for path in ("ui/flows/count-deployments", "ui/flows/next-runs"):
        asked = {"flow_ids": [flow_id, other]}
        assert viewed.sent("reader", path, asked) == {"flow_ids": [flow_id]}
        assert {*viewed.bodies["flows/filter"]["flows"]["name"]["any_"]} == {"A", "B"}
        assert viewed.sent("limited", path, asked) == {"flow_ids": []}


def test_events_are_narrowed_and_offer_no_further_page(viewed: Viewed) -> None:
    viewed.answers["events/filter"] = {"events": [], "total": 0, "next_page": "http://prefect/api/events/filter/next"}
    theirs = f"prefect.flow-run.{viewed.run_id('B')}"
    answer = viewed.ask("POST", "/api/events/filter", "limited", json={"filter": {"resource": {"id": [theirs]}}})
    assert answer.json() == {"events": [], "total": 0, "next_page": None}
    assert viewed.bodies["events/filter"] == {"filter": {"resource": {"id": ["/"]}}}
    seen = viewed.sent("limited", "events/count-by/day")["filter"]["resource"]["id"]
    assert f"prefect.flow-run.{viewed.run_id('A')}" in seen
    assert theirs not in seen
    page = base64.b64encode(base64.b64encode(b'{"page_size": 50}')).decode()
    assert viewed.ask("GET", f"/api/events/filter/next?page-token={page}", "limited").status_code == 403


SINGLE = {
    "a run of A": ("flow_runs/{run A}", "- x x - x"),
    "a run of B": ("flow_runs/{run B}", "- - x - x"),
    "what belongs to a run of B": ("flow_runs/{run B}/graph-v2", "- - x - x"),
    "a run of B that is not recorded yet": ("flow_runs/{new}", "- - x - x"),
    "a run that is not ours": ("flow_runs/{foreign}", "- - - x x"),
    "a run that does not exist": ("flow_runs/{none}", "- - - - -"),
    "no id": ("flow_runs/x", "- - - - -"),
    "the states of a run of B": ("flow_run_states?flow_run_id={run B}", "- - x - x"),
    "of two runs": ("flow_run_states?flow_run_id={foreign}&flow_run_id={run B}", "- - - - x"),
    "of no run": ("flow_run_states", "- - - - x"),
    "a task run of B": ("task_runs/of-B", "- - x - x"),
    "a task run of no run": ("task_runs/alone", "- - - x x"),
    "a state of a run of B": ("flow_run_states/of-B", "- - x - x"),
    "an artifact of B": ("artifacts/of-B", "- - x - x"),
    "the latest artifact, of A": ("artifacts/report/latest", "- x x - x"),
    "the deployment of A": ("deployments/{deployment A}", "- x x - x"),
    "what belongs to a scheduled job": ("deployments/{schedule}/schedules", "- - x - x"),
    "a deployment that is not ours": ("deployments/{foreign}", "- - - x x"),
    "a deployment of B that is not recorded": ("deployments/{new}", "- - x - x"),
    "the deployment of A by name": ("deployments/name/A/default", "- x x - x"),
    "the flow of A": ("flows/flow-A", "- x x - x"),
    "the flow of B by name": ("flows/name/B", "- - x - x"),
    "a flow that is not ours": ("flows/flow-F", "- - - x x"),
    "the version": ("version", "x x x x x"),
}
"""Paths, and whether nobody, limited, reader, looker and overseer find something there."""
VIEWERS = ("nobody", "limited", "reader", "looker", "overseer")


def test_who_finds_a_single_thing(viewed: Viewed) -> None:
    new, foreign = str(uuid4()), str(uuid4())
    names = {
        "run A": viewed.run_id("A"),
        "run B": viewed.run_id("B"),
        "deployment A": viewed.deployment_id("A"),
        "schedule": str(viewed.schedule.deployment_id),
        "new": new,
        "foreign": foreign,
        "none": str(uuid4()),
    }
    row = {"flow_id": "flow-B", "deployment_id": None}
    viewed.answers |= {
        **{f"flow_runs/{run}": row for run in (viewed.run_id("A"), viewed.run_id("B"), new)},
        f"flow_runs/{viewed.run_id('B')}/graph-v2": {},
        f"flow_runs/{foreign}": {"flow_id": "flow-F", "deployment_id": None},
        f"deployments/{foreign}": {"flow_id": "flow-F"},
        f"deployments/{new}": {"flow_id": "flow-B"},
        f"deployments/{viewed.deployment_id('A')}": {"flow_id": "flow-A"},
        f"deployments/{viewed.schedule.deployment_id}/schedules": [],
        "deployments/name/A/default": {"id": viewed.deployment_id("A")},
        **{f"flows/flow-{letter}": {"name": letter} for letter in "ABF"},
        "flows/name/B": {"name": "B"},
        "flow_run_states": [],
        "flow_run_states/of-B": {"state_details": {"flow_run_id": viewed.run_id("B")}},
        "task_runs/of-B": {"flow_run_id": viewed.run_id("B")},
        "task_runs/alone": {"flow_run_id": None},
        "artifacts/of-B": {"flow_run_id": viewed.run_id("B")},
        "artifacts/report/latest": {"flow_run_id": viewed.run_id("A")},
        "version": "3",
    }

    def found(path: str) -> str:
        for name, text in names.items():
            path = path.replace(f"{{{name}}}", text)
        statuses = [viewed.ask("GET", f"/api/{path}", who).status_code for who in VIEWERS]
        return " ".join({200: "x", 404: "-"}[status] for status in statuses)

    assert {name: found(path) for name, (path, _) in SINGLE.items()} == {
        name: expected for name, (_, expected) in SINGLE.items()
    }


def test_a_run_that_is_about_to_be_recorded_is_viewed_by_who_may_view_its_scheduled_job(viewed: Viewed) -> None:
    viewed.user("planner", superuser=False)
    viewed.identity.add_permission("p", NOW, types=["extras.scheduledjob"], actions=["view"], users=["planner"])
    run_id, base = str(uuid4()), str(uuid4())
    viewed.answers[f"flow_runs/{run_id}"] = {"flow_id": "flow-B", "deployment_id": str(viewed.schedule.deployment_id)}
    viewed.answers[f"flow_runs/{base}"] = {"flow_id": "flow-B", "deployment_id": viewed.deployment_id("B")}
    viewed.answers["flows/flow-B"] = {"name": "B"}
    asked = [viewed.ask("GET", f"/api/flow_runs/{each}", "planner").status_code for each in (run_id, base)]
    assert asked == [200, 404]


def test_a_pool_or_queue_tells_whether_it_is_ready_to_who_may_view_a_deployment_there(viewed: Viewed) -> None:
    pool = {"type": "process", "status": "READY", "is_paused": True, "base_job_template": {"secret": 1}}
    viewed.answers |= {"work_pools/x y": pool, "work_pools/x y/queues/z": {**pool, "type": "?"}}
    viewed.answers["deployments/filter"] = []
    for path, told in (("work_pools/x y", POOL), ("work_pools/x y/queues/z", QUEUE)):
        redacted = told.answer(f"/api/{path}")
        assert viewed.ask("GET", f"/api/{path}", "limited").json() == redacted
        asked = viewed.bodies["deployments/filter"]
        assert asked["deployments"]["id"] == {"any_": [viewed.deployment_id("A")]}
        assert asked["work_pools"] == {"name": {"any_": ["x y"]}}
        assert asked["deployments"].get("work_queue_name") == (None if told is POOL else {"any_": ["z"]})
    viewed.answers["deployments/filter"] = [{"id": viewed.deployment_id("A")}]
    for path, told, more in (
        ("work_pools/x y", POOL, {"type": "process"}),
        ("work_pools/x y/queues/z", QUEUE, {}),
    ):
        shown = told.answer(f"/api/{path}") | {"status": "READY", "is_paused": True} | more
        assert viewed.ask("GET", f"/api/{path}", "limited").json() == shown
    del viewed.answers["work_pools/x y"]
    assert viewed.ask("GET", "/api/work_pools/x y", "limited").json() == POOL.answer("/api/work_pools/x y")


SECRETS: Mapping[tuple[str, str], tuple[int, Any]] = {
    ("GET", "admin/settings"): (200, NO_SETTINGS.answer),
    ("POST", "block_documents/filter"): (200, []),
    ("POST", "block_documents/count"): (200, 0),
    ("POST", "block_types/filter"): (200, []),
    ("GET", "block_documents/x"): (403, {"detail": f"{MAY_NOT_WRITE} {NOWHERE_ELSE}"}),
    ("GET", "block_types/slug/secret/block_documents"): (403, {"detail": f"{MAY_NOT_WRITE} {NOWHERE_ELSE}"}),
}


def test_what_is_not_ours_needs_the_permission_to_view_prefect(viewed: Viewed) -> None:
    refused = (403, {"detail": MAY_NOT_VIEW})
    viewed.answers["deployments/filter"] = []
    rows = [
        ("GET", "variables/name/x", refused),
        ("GET", "automations/x", refused),
        ("GET", "work_pools/x", (200, {**POOL.rest, "name": "x"})),
        ("GET", "work_pools/x/queues/y", (200, {**QUEUE.rest, "work_pool_name": "x", "name": "y"})),
        ("POST", "work_pools/x/concurrency_status", (200, {**NO_SLOTS, "queues": []})),
        ("GET", "deployments/x/work_queue_check", (200, [])),
        ("GET", "admin/storage", (200, {"default_result_storage_block_id": None})),
        ("POST", "automations/filter", (200, [])),
        ("GET", "automations/related-to/x", (200, [])),
        ("POST", "variables/count", (200, 0)),
    ]
    for method, path, expected in rows:
        viewed.answers[path] = ["something"]
        for who in ("nobody", "limited", "reader"):
            answer = viewed.ask(method, f"/api/{path}", who)
            assert (answer.status_code, answer.json()) == expected, path
        assert viewed.ask(method, f"/api/{path}", "looker").json() == ["something"]
    # What is new in Prefect may be about anybody's runs.
    viewed.answers["new/route"] = ["something"]
    for who in ("nobody", "limited", "reader", "looker"):
        answer = viewed.ask("GET", "/api/new/route", who)
        assert (answer.status_code, answer.json()) == (403, {"detail": MAY_NOT_VIEW_ALL}), who
    assert viewed.ask("GET", "/api/new/route", "overseer").json() == ["something"]


@pytest.mark.parametrize("who", WHO)
def test_what_holds_secrets_is_empty_for_who_may_not_write(viewed: Viewed, who: str) -> None:
    viewed.answers |= {path: ["a secret"] for _, path in SECRETS}
    for (method, path), expected in SECRETS.items():
        answer = viewed.ask(method, f"/api/{path}", who)
        told = (200, ["a secret"]) if who == "writer" else expected
        assert (answer.status_code, answer.json()) == told, path


def message(kind: str, **said: Any) -> Message:
    return {"type": "websocket.send", "text": json.dumps({"type": kind, **said})}


@pytest.mark.parametrize("who", ["nobody", "limited", "everything"])
def test_a_websocket_sends_what_may_be_viewed(viewed: Viewed, who: str) -> None:
    grants = tuple(
        Grant(object_types=frozenset({kind}), actions=frozenset({Action.VIEW}), constraint=UNLIMITED)
        for kind in ([ObjectType.JOB_RESULT] if who == "limited" else [])
    )
    actor = Actor(id=uuid4(), username=who, superuser=who == "everything", grants=grants)
    reader = PrefectReader(viewed._prefect, PrefectViews(viewed.store), INTERNAL)
    run_id = viewed.run_id("A")
    seen = {
        "event": message("event", event={"resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"}}),
        "log": message("log", log={"flow_run_id": run_id}),
        "other event": message("event", event={"resource": {"prefect.resource.id": "prefect.work-pool.x"}}),
        "log of none": message("log", log={"flow_run_id": None}),
        "foreign log": message("log", log={"flow_run_id": str(uuid4())}),
        "unknown": message("news"),
        "answer": message("auth_success"),
        "end": {"type": "websocket.close"},
    }
    sent = {name for name, each in seen.items() if asyncio.run(reader.may_send(actor, each, Verdicts(lambda: NOW)))}
    expected = {"nobody": set(), "limited": {"event", "log"}, "everything": set(seen)}
    assert sent == expected[who] | {"answer", "end"}


def test_who_may_view_nothing_is_sent_nothing_without_a_question(
    viewed: Viewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewed.store, "read", None)
    reader = PrefectReader(viewed._prefect, PrefectViews(viewed.store), INTERNAL)
    actor, told = Actor(id=uuid4(), username="nobody"), message("log", log={"flow_run_id": viewed.run_id("A")})
    assert asyncio.run(reader.may_send(actor, told, Verdicts(lambda: NOW))) is False


def test_a_verdict_is_remembered_for_a_moment(clock: Clock) -> None:
    asked: list[str] = []
    verdicts = Verdicts(clock)

    def may(thing: str) -> bool:
        async def ask() -> bool:
            asked.append(thing)
            return thing == "a"

        return asyncio.run(verdicts.of(thing, ask))

    assert [may(thing) for thing in "abab"] == [True, False, True, False]
    assert asked == ["a", "b"]
    clock.forward(seconds=REMEMBERED.total_seconds())
    assert may("a")
    assert asked == ["a", "b", "a"]
    clock.forward(seconds=-1)
    assert may("a")
    assert len(asked) == 4, "a clock that is set back makes nothing last longer"
    for number in range(MOST_REMEMBERED * 2):
        may(str(number))
    assert len(verdicts._found) <= MOST_REMEMBERED
