"""Who may, who may not, and who may not even know: each route of ours against each kind of caller.

The rows are made from the routes themselves: a route that nobody has thought about fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi.routing import APIRoute

from api_shim.domain.model import Job, Status
from api_shim.domain.ports import Automation
from api_shim.services.queries import entry_id
from api_shim.services.run_credentials import NOT_FOR_RUNS
from api_shim.web.rest.routers import ROUTERS, prefect_paths
from approval_gate.model import Actor
from approval_gate.policy import MAY_NOT_RUN_ITS_JOBS, NOT_ITS_RUN, NOT_ITS_WORKER
from tests.acceptance.people import FAR, RESULTS, SCHEDULES, Grant, People, schedule, unique
from tests.api_shim.in_process import InProcess

JOB, SCHEDULED, RESULT, PREFECT = "extras.job", "extras.scheduledjob", "extras.jobresult", "prefect"
LOG, QUEUE, METRICS = "extras.joblogentry", "extras.jobqueue", "signoff.metrics"
BUTTON, HOOK = "extras.jobbutton", "extras.jobhook"
AUTOMATION, ASKED = "extras.automationaccount", "extras.approvalrequest"
USER, GROUP, TOKEN, PERMISSION = "users.user", "auth.group", "users.token", "users.objectpermission"
NO_PERMISSION = "You do not have permission to perform this action."
MAY_NOT_RUN = "You do not have permission to run this job."
MAY_NOT_DENY = "You do not have permission to deny this request."
NO_RUN = "This user does not have permission to run jobs."
NOUNS = {
    JOB: "Job",
    SCHEDULED: "ScheduledJob",
    RESULT: "JobResult",
    QUEUE: "JobQueue",
    BUTTON: "JobButton",
    HOOK: "JobHook",
    AUTOMATION: "AutomationAccount",
    ASKED: "ApprovalRequest",
    USER: "User",
    GROUP: "Group",
    TOKEN: "Token",
    PERMISSION: "ObjectPermission",
}
OWN = {TOKEN: "users/tokens", ASKED: "extras/approval-requests"}
"""Where the types are listed of which everybody has their own."""
HEIR = "heir"
"""Somebody who can be given what the test is about."""
GUARDED = {JOB: {"name__in": ["Guarded", "Press", "Hear"]}, USER: {"username": HEIR}}
"""What constrains to just what a route needs besides."""
ACTIONS = ("view", "add", "change", "delete", "run", "approve")
ACCOUNTS = {USER: "users", GROUP: "groups", TOKEN: "tokens", PERMISSION: "permissions"}
OF_THEIR_OWN = {
    **{kind: f"users/{path}" for kind, path in ACCOUNTS.items()},
    QUEUE: "extras/job-queues",
    BUTTON: "extras/job-buttons",
    HOOK: "extras/job-hooks",
    AUTOMATION: "extras/automation-accounts",
}
"""Where the types are listed of which a test has an object of its own, which it may change."""
NAMED_BY = {USER: "username", TOKEN: "user__username"}
"""The path that finds an object by what its ``Thing`` is called; ``name`` where nothing else is said."""


@dataclass(frozen=True)
class Thing:
    """An object that a route is asked about; a token is called like its user."""

    id: str
    name: str
    kind: str = ""
    entry: str = ""


@dataclass(frozen=True)
class Need:
    """What a route needs.

    Args:
        kind: the type of the object; none if any user will do.
        action: the action on it.
        listing: the route is about all objects of the type, and passes over those that the caller may not.
        own: everybody may do it with what is their own, without a permission.
        also: what the route needs besides, on the object's Job or on the account that it names.
        also_on: the type of that.
        and_too: what everybody is given who is to lack nothing, or nothing else.
        sentence: what who lacks the action is told.
        lacking: what who lacks the rest is told.
        ok: the status for who may.
        body: the body of the request, made of the object.
        query: the query of the request, made of the object.
        open: nobody needs to sign in, for it shows nothing of this instance.
        of_run: no user may, whatever their permissions: ``test_run_credentials.py`` says who may.
        noun: what is missing where there is none, if it is not the kind.
        by_run: whoever may can do it by a run of theirs, too.
        by_agent: an agent that may can do it, too; what a run may, an agent may anyway.
    """

    kind: str = ""
    action: str = "view"
    listing: bool = False
    own: bool = False
    also: str = ""
    also_on: str = JOB
    and_too: tuple[Grant, ...] = ()
    sentence: str = NO_PERMISSION
    lacking: str = ""
    ok: int = 200
    body: Callable[[Thing], Any] | None = None
    query: Callable[[Thing], dict[str, str]] = lambda _thing: {}
    open: bool = False
    of_run: bool = False
    noun: str = ""
    by_run: bool = False
    by_agent: bool = False


def _run(_thing: Thing) -> Any:
    return {"schedule": {"name": unique("access"), "interval": "future", "start_time": FAR}}


def _button(name: str) -> dict[str, Any]:
    return {"name": name, "text": "Press", "job": "Press", "content_types": [JOB]}


def _hook(name: str) -> dict[str, Any]:
    return {"name": name, "job": "Hear", "content_types": [JOB], "type_update": True}


def _of_run(_thing: Thing) -> Any:
    return {"flow_run_id": str(uuid4()), "attempt": str(uuid4()), "status": "SUCCESS"}


def _file_of_run(_thing: Thing) -> dict[str, str]:
    return {"flow_run_id": str(uuid4()), "attempt": str(uuid4()), "id": str(uuid4()), "name": "a.txt"}


NEEDS: Mapping[tuple[str, str], Need] = {
    ("GET", "/api"): Need(),
    **{("GET", f"/api/{group}"): Need() for group in ("extras", "users", "plugins")},
    ("GET", "/api/status"): Need(),
    ("GET", "/api/schema"): Need(open=True),
    ("GET", "/api/docs"): Need(open=True),
    ("GET", "/api/docs/{name}"): Need(open=True),
    ("GET", "/api/extras/jobs"): Need(JOB, listing=True, by_run=True),
    **{
        (method, "/api/extras/jobs"): Need(
            JOB, "change", listing=True, body=lambda thing: [{"id": thing.id, "hidden_override": False}]
        )
        for method in ("PATCH", "PUT")
    },
    ("GET", "/api/extras/jobs/{ref}"): Need(JOB, by_run=True),
    ("PATCH", "/api/extras/jobs/{ref}"): Need(JOB, "change", body=lambda _thing: {"hidden_override": False}),
    ("PUT", "/api/extras/jobs/{ref}"): Need(JOB, "change", body=lambda _thing: {"hidden_override": False}),
    ("GET", "/api/extras/jobs/{ref}/variables"): Need(JOB, by_run=True),
    ("GET", "/api/extras/job-tools"): Need(),
    ("POST", "/api/extras/jobs/{ref}/check"): Need(
        JOB, "run", sentence=NO_RUN, body=lambda _thing: {"data": {"who": "Ada"}}, by_agent=True
    ),
    ("POST", "/api/extras/jobs/{ref}/run"): Need(JOB, "run", sentence=NO_RUN, ok=201, body=_run, by_run=True),
    ("GET", "/api/extras/scheduled-jobs"): Need(SCHEDULED, listing=True, by_run=True),
    ("DELETE", "/api/extras/scheduled-jobs"): Need(
        SCHEDULED, "delete", listing=True, ok=204, body=lambda thing: [thing.id]
    ),
    ("GET", "/api/extras/scheduled-jobs/{ref}"): Need(SCHEDULED, by_run=True),
    ("DELETE", "/api/extras/scheduled-jobs/{ref}"): Need(SCHEDULED, "delete", ok=204),
    ("PATCH", "/api/extras/scheduled-jobs/{ref}"): Need(SCHEDULED, "change", body=lambda _thing: {"enabled": False}),
    ("POST", "/api/extras/scheduled-jobs/{ref}/assume-ownership"): Need(
        SCHEDULED, "change", also="run", lacking=MAY_NOT_RUN
    ),
    ("POST", "/api/extras/scheduled-jobs/{ref}/transfer"): Need(
        SCHEDULED, "change", also="change", also_on=USER, lacking=NO_PERMISSION, body=lambda _thing: {"user": HEIR}
    ),
    ("GET", "/api/extras/scheduled-jobs/{ref}/explain"): Need(SCHEDULED, by_agent=True),
    ("GET", "/api/extras/scheduled-jobs/{ref}/review"): Need(SCHEDULED, by_agent=True),
    ("GET", "/api/extras/scheduled-jobs/{ref}/upcoming"): Need(SCHEDULED, by_agent=True),
    ("GET", "/api/extras/scheduled-jobs/{ref}/files/{file_id}/download"): Need(
        SCHEDULED, "change", also="approve", lacking="You do not have permission to approve this request."
    ),
    ("POST", "/api/extras/scheduled-jobs/{ref}/approve"): Need(
        SCHEDULED, "change", also="approve", lacking="You do not have permission to approve this request."
    ),
    ("POST", "/api/extras/scheduled-jobs/{ref}/deny"): Need(
        SCHEDULED, "delete", also="approve", sentence=MAY_NOT_DENY, lacking=MAY_NOT_DENY
    ),
    ("POST", "/api/extras/scheduled-jobs/{ref}/dry-run"): Need(SCHEDULED, also="run", lacking=MAY_NOT_RUN),
    ("GET", "/api/extras/approval-queue"): Need(SCHEDULED, listing=True, by_agent=True),
    ("GET", "/api/extras/approval-requests"): Need(ASKED, listing=True, own=True, by_agent=True),
    ("GET", "/api/extras/approval-requests/{ref}"): Need(ASKED, own=True, by_agent=True),
    ("GET", "/api/extras/approval-requests/{ref}/comparison"): Need(ASKED, own=True, by_agent=True),
    ("GET", "/api/extras/job-results"): Need(RESULT, listing=True, by_run=True),
    ("GET", "/api/extras/job-results/{ref}"): Need(RESULT, by_run=True),
    ("GET", "/api/extras/job-results/{ref}/logs"): Need(RESULT, by_run=True),
    ("DELETE", "/api/extras/job-results"): Need(RESULT, "delete", listing=True, ok=204, body=lambda thing: [thing.id]),
    ("DELETE", "/api/extras/job-results/{ref}"): Need(RESULT, "delete", ok=204),
    # 409, for it is over: who may cancel is told so.
    ("POST", "/api/extras/job-results/{ref}/cancel"): Need(RESULT, "change", ok=409),
    # 409, for its own code has not suspended it: who may resume is told so.
    ("POST", "/api/extras/job-results/{ref}/resume"): Need(
        RESULT, also="run", lacking=MAY_NOT_RUN, ok=409, body=lambda _thing: {}
    ),
    ("POST", "/api/extras/job-results/{ref}/run-again"): Need(
        RESULT, also="run", lacking=MAY_NOT_RUN, ok=201, by_agent=True
    ),
    ("GET", "/api/extras/file-proxies/{ref}"): Need(RESULT, noun="FileProxy", by_agent=True),
    ("GET", "/api/extras/file-proxies/{ref}/download"): Need(RESULT, noun="FileProxy", by_agent=True),
    ("GET", "/api/extras/job-logs"): Need(LOG, listing=True, query=lambda thing: {"job_result": thing.id}, by_run=True),
    ("GET", "/api/extras/job-logs/{ref}"): Need(RESULT, noun="JobLogEntry", by_run=True),
    ("GET", "/api/extras/job-queues"): Need(QUEUE, listing=True, by_agent=True),
    ("POST", "/api/extras/job-queues"): Need(QUEUE, "add", ok=201, body=lambda thing: {"name": f"{thing.name} new"}),
    ("GET", "/api/extras/job-queues/{ref}"): Need(QUEUE, by_agent=True),
    ("PATCH", "/api/extras/job-queues/{ref}"): Need(QUEUE, "change", body=lambda _thing: {"pool": ""}),
    ("DELETE", "/api/extras/job-queues/{ref}"): Need(QUEUE, "delete", ok=204),
    ("GET", "/api/extras/job-buttons"): Need(BUTTON, listing=True),
    ("POST", "/api/extras/job-buttons"): Need(
        BUTTON, "add", also="run", lacking=MAY_NOT_RUN, ok=201, body=lambda thing: _button(f"{thing.name} new")
    ),
    ("GET", "/api/extras/job-buttons/{ref}"): Need(BUTTON),
    **{
        (method, "/api/extras/job-buttons/{ref}"): Need(
            BUTTON, "change", also="run", lacking=MAY_NOT_RUN, body=lambda _thing: {"weight": 7}
        )
        for method in ("PATCH", "PUT")
    },
    ("DELETE", "/api/extras/job-buttons/{ref}"): Need(BUTTON, "delete", ok=204),
    ("GET", "/api/extras/job-hooks"): Need(HOOK, listing=True),
    ("POST", "/api/extras/job-hooks"): Need(
        HOOK, "add", also="run", lacking=MAY_NOT_RUN, ok=201, body=lambda thing: _hook(f"{thing.name} new")
    ),
    ("GET", "/api/extras/job-hooks/{ref}"): Need(HOOK),
    **{
        (method, "/api/extras/job-hooks/{ref}"): Need(
            HOOK, "change", also="run", lacking=MAY_NOT_RUN, body=lambda _thing: {"type_create": True}
        )
        for method in ("PATCH", "PUT")
    },
    ("DELETE", "/api/extras/job-hooks/{ref}"): Need(HOOK, "delete", ok=204),
    ("GET", "/api/extras/automation-accounts"): Need(AUTOMATION, listing=True),
    ("POST", "/api/extras/automation-accounts"): Need(
        AUTOMATION,
        "add",
        also="run",
        and_too=((PREFECT, "view", None),),
        lacking=MAY_NOT_RUN_ITS_JOBS,
        ok=201,
        body=lambda thing: {"automation": thing.entry},
    ),
    ("GET", "/api/extras/automation-accounts/{ref}"): Need(AUTOMATION),
    ("DELETE", "/api/extras/automation-accounts/{ref}"): Need(AUTOMATION, "delete", ok=204),
    ("GET", "/api/users/config"): Need(),
    ("PATCH", "/api/users/config"): Need(body=lambda _thing: {"timezone": "UTC"}),
    ("GET", "/api/users/users"): Need(USER, listing=True),
    ("POST", "/api/users/users"): Need(USER, "add", ok=201, body=lambda thing: {"username": f"{thing.name}.new"}),
    ("GET", "/api/users/users/{ref}"): Need(USER),
    ("PATCH", "/api/users/users/{ref}"): Need(USER, "change", body=lambda _thing: {"is_active": False}),
    ("DELETE", "/api/users/users/{ref}"): Need(USER, "delete", ok=204),
    ("GET", "/api/users/groups"): Need(GROUP, listing=True),
    ("POST", "/api/users/groups"): Need(GROUP, "add", ok=201, body=lambda thing: {"name": f"{thing.name} new"}),
    ("GET", "/api/users/groups/{ref}"): Need(GROUP),
    ("PATCH", "/api/users/groups/{ref}"): Need(GROUP, "change", body=lambda thing: {"name": f"{thing.name} now"}),
    ("DELETE", "/api/users/groups/{ref}"): Need(GROUP, "delete", ok=204),
    ("GET", "/api/users/tokens"): Need(TOKEN, listing=True, own=True, by_agent=True),
    ("POST", "/api/users/tokens"): Need(TOKEN, "add", own=True, ok=201, body=lambda _thing: {"write_enabled": False}),
    ("GET", "/api/users/tokens/{ref}"): Need(TOKEN, own=True, by_agent=True),
    ("PATCH", "/api/users/tokens/{ref}"): Need(TOKEN, "change", own=True, body=lambda _thing: {"write_enabled": False}),
    ("DELETE", "/api/users/tokens/{ref}"): Need(TOKEN, "delete", own=True, ok=204),
    ("GET", "/api/users/permissions"): Need(PERMISSION, listing=True),
    ("POST", "/api/users/permissions"): Need(
        PERMISSION,
        "add",
        ok=201,
        body=lambda thing: {"name": f"{thing.name} new", "object_types": [JOB], "actions": ["view"]},
    ),
    ("GET", "/api/users/permissions/{ref}"): Need(PERMISSION),
    ("PATCH", "/api/users/permissions/{ref}"): Need(PERMISSION, "change", body=lambda _thing: {"enabled": False}),
    ("DELETE", "/api/users/permissions/{ref}"): Need(PERMISSION, "delete", ok=204),
    ("GET", "/signoff/healthz"): Need(open=True),
    ("GET", "/signoff/readyz"): Need(open=True),
    ("GET", "/signoff/metrics"): Need(METRICS),
    ("POST", "/api/signoff/admission"): Need(of_run=True, body=_of_run),
    ("POST", "/api/signoff/outcome"): Need(of_run=True, body=_of_run),
    ("POST", "/api/signoff/given-file"): Need(of_run=True, body=_of_run),
    ("POST", "/api/signoff/files"): Need(of_run=True, query=_file_of_run),
}

ROUTES = sorted(
    (method, route.path)
    for router in ROUTERS
    # Prefect's own paths speak Prefect's language; test_bypass.py and test_front.py say who may there.
    if router is not prefect_paths.router
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
)


def test_every_route_says_here_what_it_needs() -> None:
    assert set(ROUTES) == NEEDS.keys()


@pytest.fixture(scope="module")
def result(server: InProcess, people: People) -> Thing:
    made = people.result("Greet")
    (line,) = server.log(made, "Hello world")
    return Thing(made, "Greet", entry=str(entry_id(UUID(made), line.id)))


@pytest.fixture(scope="module")
def requester(server: InProcess, people: People) -> Iterator[httpx.Client]:
    """Somebody who asks for what others decide about."""
    with server.client(people.add((JOB, "run", None))) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def heir(people: People) -> None:
    people.identity.add_user(HEIR, datetime.now(UTC))
    for kind, action in ((SCHEDULED, "change"), (JOB, "run")):
        people.identity.add_permission(
            f"{HEIR} {action}", datetime.now(UTC), types=[kind], actions=[action], users=[HEIR]
        )


@pytest.fixture
def thing(
    request: pytest.FixtureRequest,
    server: InProcess,
    admin: httpx.Client,
    people: People,
    requester: httpx.Client,
    route: tuple[str, str],
) -> Iterator[Thing]:
    """An object of the type that the route is about."""
    match NEEDS[route].kind:
        case "extras.job":
            yield Thing(admin.get("/api/extras/jobs/Greet/").json()["id"], "Greet")
        case "extras.scheduledjob":
            made = schedule(requester, job="Guarded")
            yield Thing(made["id"], made["name"], entry=people.give(made["id"]) if "{file_id}" in route[1] else "")
            admin.delete(made["url"])
        case "extras.jobresult" if NEEDS[route].noun == "FileProxy":
            yield Thing(people.file(request.getfixturevalue("result").id), "Greet")
        case "extras.jobresult" if NEEDS[route].action == "delete":
            yield Thing(people.result("Greet"), "Greet")
        case "extras.jobresult" if NEEDS[route].also:
            yield Thing(people.result("Guarded", inputs={}), "Guarded")
        case "extras.jobresult" | "extras.joblogentry":
            yield request.getfixturevalue("result")
        case "extras.jobqueue":
            queue = admin.post("/api/extras/job-queues/", json={"name": unique("queue")}).json()
            yield Thing(queue["id"], queue["name"], QUEUE)
        case "extras.jobbutton":
            made = admin.post("/api/extras/job-buttons/", json=_button(unique("button"))).json()
            yield Thing(made["id"], made["name"], BUTTON)
        case "extras.jobhook":
            made = admin.post("/api/extras/job-hooks/", json=_hook(unique("hook"))).json()
            yield Thing(made["id"], made["name"], HOOK)
        case "extras.approvalrequest":
            made = schedule(requester, job="Guarded")
            admin.post(f"{made['url']}deny/").raise_for_status()
            [over] = admin.get("/api/extras/approval-requests/", params={"scheduled_job": made["id"]}).json()["results"]
            yield Thing(over["id"], over["name"])
        case "extras.automationaccount":
            bound = people.bound("admin", unique("automation"))
            yield Thing(str(bound.id), bound.name, AUTOMATION, entry=automation(server, admin, f"{bound.name} new"))
        case kind if kind in ACCOUNTS:
            yield account(people, kind)
        case _:
            yield Thing(str(uuid4()), "")


def automation(server: InProcess, admin: httpx.Client, name: str) -> str:
    """Let Prefect have an automation that runs a Job, and return its id."""
    server.portal.call(server.application.queue.drain)
    job = UUID(admin.get("/api/extras/jobs/Guarded/").json()["id"])
    with server.application.store.transaction(write=False) as tx:
        deployments = {each.deployment_id for each in tx.all(Job, id=job) if each.deployment_id}
    made = Automation(id=uuid4(), name=name, digest="1" * 64, runs=frozenset(deployments))
    server.application.engine.automations[made.id] = made
    return str(made.id)


def of_their_own(people: People, who: str, kind: str) -> Thing:
    """Return a token of somebody, or a request for approval that they have made; it is called as they are."""
    return Thing(people.asked(who) if kind == ASKED else people.token_ids(who)[0], who, kind)


def account(people: People, kind: str) -> Thing:
    """Make a user, a group, a token or a permission that nobody else has anything to do with."""
    match kind:
        case "auth.group":
            made = people.identity.add_group(unique("group"), datetime.now(UTC))
            return Thing(str(made.id), made.name, kind)
        case "users.objectpermission":
            given = people.identity.add_permission(
                unique("permission"), datetime.now(UTC), types=[JOB], actions=["view"]
            )
            return Thing(str(given.id), given.name, kind)
        case _:
            name = people.add()
            return Thing(people.id_of(name) if kind == USER else people.token_ids(name)[0], name, kind)


def limit(kind: str, name: str = "something else") -> Any:
    """Return constraints to what is called so; of what a test has of its own, also with more behind it."""
    return {f"{NAMED_BY.get(kind, 'name')}{'__startswith' if kind in OF_THEIR_OWN else ''}": name}


def name_of(row: Mapping[str, Any]) -> str:
    """Return what an object in a list is called."""
    name: str = row["name"] if "name" in row else row["display"].partition(" ")[0]
    return name


def call(client: httpx.Client, route: tuple[str, str], thing: Thing) -> httpx.Response:
    method, path = route
    body, query = NEEDS[route].body, NEEDS[route].query(thing)
    path = path.replace("{ref}", thing.entry if "/job-logs/" in path else thing.id).replace("{file_id}", thing.entry)
    return client.request(method, f"{path}/", json=body(thing) if body else None, params=query)


def detail(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]


def state(admin: httpx.Client, thing: Thing) -> Any:
    """What a refused write could have changed."""
    return (
        admin.get("/api/extras/jobs/Greet/").json(),
        admin.get(SCHEDULES, params={"limit": 1000}).json()["results"],
        admin.get(RESULTS, params={"limit": 1, "name": "Greet"}).json()["count"],
        admin.get(f"/api/{OF_THEIR_OWN[thing.kind]}/", params={"q": thing.name}).json() if thing.kind else None,
        thing,
    )


every_closed_route = pytest.mark.parametrize("route", [r for r in ROUTES if not NEEDS[r].open], ids=" ".join)
every_open_route = pytest.mark.parametrize("route", [r for r in ROUTES if NEEDS[r].open], ids=" ".join)
every_users_route = pytest.mark.parametrize(
    "route", [r for r in ROUTES if not NEEDS[r].open and not NEEDS[r].of_run], ids=" ".join
)
every_guarded_route = pytest.mark.parametrize("route", [r for r in ROUTES if NEEDS[r].kind], ids=" ".join)
OBJECT_ROUTES = [r for r in ROUTES if NEEDS[r].kind in NOUNS and "{ref}" in r[1]]
every_object_route = pytest.mark.parametrize("route", OBJECT_ROUTES, ids=" ".join)


@every_closed_route
def test_nobody_may_do_anything(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    super_expired = people.token(people.add(superuser=True), expires=datetime.now(UTC) - timedelta(minutes=1))
    gone = people.add(superuser=True)
    people.identity.set_active(gone, datetime.now(UTC), active=False)
    before = state(admin, thing)
    for credentials, told in (
        (None, "Authentication credentials were not provided."),
        ("Token 0123456789012345678901234567890123456789", "Invalid token"),
        (f"Token {super_expired}", "Token expired"),
        (f"Token {server.key(gone)}", "User inactive"),
    ):
        headers = {} if credentials is None else {"Authorization": credentials}
        with server.client(None, **headers) as client:
            assert detail(call(client, route, thing)) == (403, told)
    assert state(admin, thing) == before


@every_open_route
@pytest.mark.parametrize("credentials", [None, "Token 0123456789012345678901234567890123456789"])
def test_what_is_open_is_open_to_everybody(server: InProcess, route: tuple[str, str], credentials: str | None) -> None:
    method, path = route
    with server.client(None, **({"Authorization": credentials} if credentials else {})) as client:
        answer = client.request(method, path.replace("{name}", "start.js"))
    assert answer.status_code == 200


@pytest.mark.parametrize("route", [r for r in ROUTES if NEEDS[r].of_run], ids=" ".join)
def test_what_is_of_a_run_is_refused_to_every_user(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    before = state(admin, thing)
    for who in (people.add(), people.add((PREFECT, "write", None)), people.add(superuser=True)):
        with server.client(who) as client:
            assert detail(call(client, route, thing)) == (403, NOT_ITS_WORKER)
    assert state(admin, thing) == before


def with_all_but(people: People, need: Need) -> str:
    """Make a user who may do anything but what is needed, and return their name."""
    who = people.add()
    most = [kind for kind in NOUNS if kind != need.kind]
    people.identity.add_permission(unique(), datetime.now(UTC), types=most, actions=ACTIONS, users=[who])
    if need.kind in NOUNS:
        rest = [action for action in ACTIONS if action != need.action]
        people.identity.add_permission(unique(), datetime.now(UTC), types=[need.kind], actions=rest, users=[who])
    return who


@pytest.mark.parametrize("route", [r for r in ROUTES if NEEDS[r].kind and not NEEDS[r].own], ids=" ".join)
def test_who_has_no_permission_for_the_type_is_refused(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    need = NEEDS[route]
    before = state(admin, thing)
    for who in (people.add(), with_all_but(people, need)):
        with server.client(who) as client:
            assert detail(call(client, route, thing)) == (403, need.sentence)
    assert state(admin, thing) == before


@pytest.mark.parametrize("route", [r for r in ROUTES if NEEDS[r].own], ids=" ".join)
def test_who_has_no_permission_for_the_type_has_what_is_their_own(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    need, (method, path) = NEEDS[route], route
    before = state(admin, thing)
    for who in (people.add(), with_all_but(people, need)):
        with server.client(who) as client:
            own = of_their_own(people, who, need.kind)
            if need.listing:
                assert {name_of(row) for row in client.get(path, params={"limit": 1000}).json()["results"]} == {who}
            elif "{ref}" in path:
                seen = client.get(f"/api/{OWN[need.kind]}/{thing.id}/").status_code == 200
                refusal = (403, need.sentence) if seen else (404, f"No {NOUNS[need.kind]} matches the given query.")
                assert detail(call(client, route, thing)) == refusal
            else:
                asked = client.request(method, f"{path}/", json={"user": thing.name})
                # Whether there is such a user is told only to who may see them.
                assert asked.status_code == (403 if client.get("/api/users/users/").status_code == 200 else 400)
            assert call(client, route, own).status_code == need.ok
    assert state(admin, thing) == before


@every_object_route
def test_who_may_only_with_another_object_does_not_learn_of_this_one(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    need = NEEDS[route]
    before = state(admin, thing)
    elsewhere = limit(need.kind)
    with server.client(people.add((need.kind, need.action, elsewhere), (need.kind, "view", elsewhere))) as client:
        hidden = call(client, route, thing)
        missing = call(client, route, replace(thing, id=str(uuid4()), entry=str(uuid4())))
        assert detail(hidden) == (404, f"No {need.noun or NOUNS[need.kind]} matches the given query.")
        assert (missing.status_code, missing.content) == (hidden.status_code, hidden.content)
    assert state(admin, thing) == before


@pytest.mark.parametrize("route", [r for r in ROUTES if NEEDS[r].also], ids=" ".join)
def test_who_lacks_what_it_needs_besides_is_told_so(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    need = NEEDS[route]
    before = state(admin, thing)
    others: list[Grant] = [
        (need.also_on, action, None) for action in ("view", "change", "run", "approve") if action != need.also
    ]
    # An account that the caller may not change does not exist for them, which test_ownership.py tells.
    elsewhere: list[list[Grant]] = [[(JOB, need.also, limit(JOB))]] if need.also_on == JOB else []
    for grants in ([], others, *elsewhere):
        with server.client(people.add((need.kind, need.action, None), *need.and_too, *grants)) as client:
            assert detail(call(client, route, thing)) == (403, need.lacking)
    assert state(admin, thing) == before


@pytest.mark.parametrize("route", [r for r in OBJECT_ROUTES if NEEDS[r].action != "view"], ids=" ".join)
def test_who_may_see_it_but_not_do_it_is_told_so(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    need = NEEDS[route]
    before = state(admin, thing)
    with server.client(people.add((need.kind, need.action, limit(need.kind)), (need.kind, "view", None))) as client:
        assert detail(call(client, route, thing)) == (403, need.sentence)
    assert state(admin, thing) == before


LISTS = [r for r in ROUTES if NEEDS[r].listing and r[0] == "GET" and NEEDS[r].kind in NOUNS]


@pytest.mark.parametrize("route", LISTS, ids=" ".join)
def test_a_list_shows_what_the_caller_may_see(
    server: InProcess, people: People, route: tuple[str, str], thing: Thing
) -> None:
    kind = NEEDS[route].kind
    for constraint, seen in ((limit(kind, thing.name), {thing.name}), (limit(kind), set())):
        who = people.add((kind, "view", constraint))
        # Everybody has a token, by which they ask.
        own = {who} if kind == TOKEN else set()
        with server.client(who) as client:
            page = client.get(route[1], params={"limit": 1000}).json()
            assert {name_of(row) for row in page["results"]} == seen | own
            assert page["count"] == len(page["results"])
            assert client.get(route[1], params={"id": thing.id}).json()["count"] == len(seen)


def test_a_bulk_deletion_passes_over_what_the_caller_may_not_delete(
    server: InProcess, admin: httpx.Client, people: People
) -> None:
    mine, others = schedule(admin), schedule(admin)
    with server.client(people.add((SCHEDULED, "delete", {"name": mine["name"]}), (SCHEDULED, "view", None))) as client:
        answer = client.request("DELETE", SCHEDULES, json=[mine["id"], others["id"]])
    assert (answer.status_code, answer.content) == (204, b"")
    assert [admin.get(row["url"]).status_code for row in (mine, others)] == [404, 200]
    admin.delete(others["url"])


@every_guarded_route
def test_a_read_only_token_reads_and_writes_nothing(
    server: InProcess, admin: httpx.Client, people: People, route: tuple[str, str], thing: Thing
) -> None:
    before = state(admin, thing)
    key = people.token(people.add(superuser=True), write_enabled=False)
    with server.client(None, Authorization=f"Token {key}") as client:
        answer = call(client, route, thing)
        if NEEDS[route].action == "view" and not NEEDS[route].also:
            assert answer.status_code == 200
        else:
            assert detail(answer) == (403, NO_PERMISSION)
    assert state(admin, thing) == before


@every_users_route
def test_who_may_can(server: InProcess, people: People, route: tuple[str, str], thing: Thing) -> None:
    need = NEEDS[route]
    within = limit(need.kind, thing.name) if need.kind in NOUNS else None
    also: list[Grant] = [(need.also_on, need.also, GUARDED[need.also_on])] if need.also else []
    who = people.add((need.kind, need.action, within), *need.and_too, *also) if need.kind else people.add()
    with server.client(who) as client:
        assert call(client, route, thing).status_code == need.ok


@pytest.fixture(scope="module")
def agents(server: InProcess, people: People) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """An agent that was given everything there is, and one that was given nothing."""
    person = people.add(superuser=True)
    names = [people.add(acts_for=person), people.add(acts_for=person)]
    people.identity.add_permission(
        unique(), datetime.now(UTC), types=[*NOUNS, LOG, METRICS], actions=ACTIONS, users=names[:1]
    )
    people.identity.add_permission(
        unique(), datetime.now(UTC), types=[PREFECT], actions=["view", "write"], users=names[:1]
    )
    with server.client(names[0]) as most, server.client(names[1]) as least:
        yield most, least


@every_users_route
def test_an_agent_requests_reads_and_takes_back_and_does_nothing_else(
    admin: httpx.Client, agents: tuple[httpx.Client, httpx.Client], route: tuple[str, str], thing: Thing
) -> None:
    need, (most, least) = NEEDS[route], agents
    if need.by_run or need.by_agent or not need.kind:
        assert call(most, route, thing).status_code == need.ok
        return
    before = state(admin, thing)
    refusals = [call(client, route, thing).status_code for client in agents]
    if need.own:
        # Its own tokens it may look at; it makes, changes and ends none.
        mine = least.get("/api/users/tokens/").json()["results"][0]
        assert call(least, route, Thing(mine["id"], "", TOKEN)).status_code == 403
    elif need.kind == SCHEDULED and need.action == "delete" and need.listing:
        assert refusals == [204, 204], "they are passed over"
    else:
        assert set(refusals) <= {403, 404}
    assert state(admin, thing) == before


def run_of(server: InProcess, people: People, who: str) -> str:
    """Let a run of somebody's be under way, and return its key."""
    run_id, started = uuid4(), {"status": Status.STARTED, "date_done": None, "attempt": uuid4()}
    people.result("Greet", flow_run_id=run_id, user_id=UUID(people.id_of(who)), **started)
    builder = people.add()
    people.identity.make_worker(builder, "signoff", datetime.now(UTC))
    worker = Actor(id=UUID(people.id_of(builder)), username=builder)
    return server.portal.call(partial(server.application.runs.taken, worker, run_id, keyed=True))


@pytest.fixture(scope="module")
def runs(server: InProcess, people: People) -> Iterator[Mapping[str, httpx.Client]]:
    """Runs that are under way: a superuser's, that of somebody with no permissions, and of whom they are."""
    names = {"superuser": people.add(superuser=True), "nobody": people.add()}
    keys = {of: run_of(server, people, name) for of, name in names.items()}
    with ExitStack() as stack:
        made = {f"run of {of}": server.client(None, Authorization=f"Token {key}") for of, key in keys.items()}
        made |= {of: server.client(name) for of, name in names.items()}
        yield {of: stack.enter_context(client) for of, client in made.items()}


@every_closed_route
def test_a_run_requests_and_reads_as_its_user_and_does_nothing_else(
    admin: httpx.Client, runs: Mapping[str, httpx.Client], route: tuple[str, str], thing: Thing
) -> None:
    need = NEEDS[route]
    if need.by_run:
        assert call(runs["run of superuser"], route, thing).status_code == need.ok
        assert detail(call(runs["run of nobody"], route, thing)) == detail(call(runs["nobody"], route, thing))
        return
    before = state(admin, thing)
    for of in ("run of superuser", "run of nobody"):
        assert detail(call(runs[of], route, thing)) == (403, NOT_ITS_RUN if need.of_run else NOT_FOR_RUNS)
    assert state(admin, thing) == before


@every_users_route
def test_a_superuser_can(admin: httpx.Client, route: tuple[str, str], thing: Thing) -> None:
    assert call(admin, route, thing).status_code == NEEDS[route].ok


def test_a_permission_that_is_taken_away_no_longer_counts(server: InProcess, people: People) -> None:
    who = people.add()
    people.identity.add_permission(f"{who} sees", datetime.now(UTC), types=[JOB], actions=["view"], users=[who])
    with server.client(who) as client:
        assert client.get("/api/extras/jobs/").status_code == 200
        people.identity.remove_permission(f"{who} sees", datetime.now(UTC))
        assert client.get("/api/extras/jobs/").status_code == 403


def test_a_constraint_on_the_caller_shows_everybody_their_own(
    server: InProcess, admin: httpx.Client, people: People
) -> None:
    grants: tuple[Grant, ...] = ((JOB, "run", None), (SCHEDULED, "view", {"user": "$user"}))
    one, other = people.add(*grants), people.add(*grants)
    with server.client(one) as first, server.client(other) as second:
        made = schedule(first)
        assert [row["id"] for row in first.get(SCHEDULES).json()["results"]] == [made["id"]]
        assert second.get(SCHEDULES).json()["count"] == 0
        assert detail(second.get(made["url"])) == (404, "No ScheduledJob matches the given query.")
    admin.delete(made["url"])


def test_an_address_that_a_name_could_be_is_hidden_alike(
    server: InProcess, admin: httpx.Client, people: People
) -> None:
    made = schedule(admin)
    elsewhere = limit(SCHEDULED)
    with server.client(people.add((SCHEDULED, "view", elsewhere), (SCHEDULED, "delete", elsewhere))) as client:
        for name in (made["name"], unique("nothing")):
            for method in ("GET", "DELETE"):
                answer = client.request(method, f"{SCHEDULES}{name}/")
                assert detail(answer) == (404, "No ScheduledJob matches the given query.")
    assert admin.delete(made["url"]).status_code == 204
