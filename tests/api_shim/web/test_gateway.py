"""What goes where, as whom, and what counts as a write: the tables of the front."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from api_shim.domain.accounts import COOKIE
from api_shim.domain.model import JobResult
from api_shim.services.authentication import Credentials, Unauthenticated
from api_shim.settings import Limits
from api_shim.store import Store
from api_shim.store.database import FILE_GONE
from api_shim.web.credentials import UI_SETTINGS, read_auth_string, read_credentials
from api_shim.web.gateway import OURS, PAGES, Gateway
from api_shim.web.origins import Origins
from api_shim.web.prefect_bounds import EVENTS_FILTER, FILTER, MAY_NOT_WRITE, why_not_written
from api_shim.web.prefect_reads import needs_write
from approval_gate.errors import Unavailable
from tests.api_shim.origin import ADDRESS, INTERNAL, Origin
from tests.conftest import Clock
from tests.factories import make_job, make_result, make_scheduled

ID = "6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab"


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/status",
        "/api/extras/jobs/",
        "/api/extras",
        "/api/plugins/",
        "/api/users/users/",
        "/api/schema/",
        "/api/docs",
        "/api/docs/start.js",
        "/api/signoff/admission",
        "/signoff",
        "/signoff/x",
        "/api/extras/\n",
    ],
)
def test_ours_is_what_the_contract_names(path: str) -> None:
    assert OURS.fullmatch(path) or PAGES.fullmatch(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/",
        "/api/health",
        "/api/flows/",
        "/api/statusx",
        "/api/openapi.json",
        "/api/docsx",
        "/api/extrasx",
        "/signoffx",
        "//api/",
        "/API/",
        "/api//",
        "/api/version",
        "/x/api/status",
    ],
)
def test_all_else_is_prefects(path: str) -> None:
    assert not OURS.fullmatch(path)
    assert not PAGES.fullmatch(path)


@pytest.mark.parametrize(
    ("method", "path", "writes"),
    [
        ("GET", "/api/flows/", False),
        ("HEAD", "/api/flows/", False),
        ("OPTIONS", "/api/flows/", False),
        ("BREW", "/api/flows/", True),
        ("get", "/api/flows/", True),
        ("POST", "/api/flow_runs/filter", False),
        ("POST", "/api/flow_runs/filter/", False),
        ("PUT", "/api/flow_runs/filter", True),
        ("POST", "/api/flow_runs/filter/x", True),
        ("POST", "/api/flow_runs/FILTER", True),
        ("POST", "/api/nothing/filter", True),
        ("POST", "/api//flow_runs/filter", True),
        ("POST", "/api/flow_runs/filter\n", True),
        ("POST", "/api/flow_runs/", True),
        ("POST", f"/api/flow_runs/{ID}/set_state", True),
        ("POST", f"/api/flow_runs/{ID}/resume", True),
        ("POST", f"/api/flow_runs/{ID}/input", True),
        ("POST", f"/api/deployments/{ID}/create_flow_run", True),
        ("POST", f"/api/deployments/{ID}/create_flow_run/bulk", True),
        ("POST", "/api/flow_runs/bulk_set_state", True),
        ("POST", "/api/flow_runs/bulk_delete", True),
        ("POST", "/api/deployments/bulk_delete", True),
        ("POST", f"/api/flow_runs/{ID}/input/filter", False),
        ("POST", "/api/v2/concurrency_limits/filter", False),
        ("POST", "/api/v2/concurrency_limits/increment", True),
        ("POST", "/api/events/count-by/day", False),
        ("POST", "/api/events", True),
        ("POST", "/api/ui/flows/count-deployments", False),
        ("POST", "/api/ui/schemas/validate", True),
        ("POST", "/api/automations/templates/validate", True),
        ("POST", "/api/templates/validate", True),
        ("POST", "/api/work_pools/any name/queues/filter", False),
        ("POST", "/api/work_pools/filter/queues", True),
        ("POST", "/api/work_pools/x/get_scheduled_flow_runs", True),
        ("POST", "/api/deployments/get_scheduled_flow_runs", True),
        ("POST", "/api/block_schemas/filter", False),
        ("GET", "/api/block_documents/", True),
        ("GET", f"/api/block_documents/{ID}", True),
        ("HEAD", f"/api/block_documents/{ID}", True),
        ("POST", "/api/block_documents/filter", False),
        ("POST", "/api/block_documents/filter/x", True),
        ("GET", "/api/block_types/slug/x/block_documents", True),
        ("GET", "/api/admin/settings", False),
        ("GET", "/api/admin/settings/", False),
        ("PUT", "/api/admin/settings", True),
        ("GET", "/api/admin/version", False),
        ("DELETE", "/api/variables/name/filter", True),
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_a_read_is_a_write(method: str, path: str, writes: bool) -> None:
    assert needs_write(method, path) is writes


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="an empty one"),
        pytest.param("Digest x", None, id="another scheme"),
        pytest.param("Token k", Credentials(key="k"), id="a token"),
        pytest.param("tOKEN   k ", Credentials(key="k"), id="a token in any case, with white space"),
        pytest.param("Token a:b", Credentials(key="a:b"), id="a token with a colon is a key alone"),
        pytest.param("Bearer k", Credentials(key="k"), id="a bearer's key"),
        pytest.param("Bearer u:k", Credentials(key="k", username="u"), id="a bearer's user and key"),
        pytest.param(basic("u:k"), Credentials(key="k", username="u"), id="basic, user and key"),
        pytest.param(basic("k"), Credentials(key="k"), id="basic, a key alone"),
        pytest.param(basic("u:a:b"), Credentials(key="a:b", username="u"), id="basic, a key with a colon"),
        pytest.param(basic(":k"), Credentials(key="k", username=""), id="basic, nobody's key"),
    ],
)
def test_credentials_are_read(header: str | None, found: Credentials | None) -> None:
    assert read_credentials(header) == found


@pytest.mark.parametrize(
    "header", ["Token", "Token ", "Bearer", "Basic", "Basic !", "Basic /w==", basic(""), basic(" "), "Bearer  "]
)
def test_credentials_that_cannot_be_read_are_nobodys(header: str) -> None:
    with pytest.raises(Unauthenticated, match="Invalid token"):
        read_credentials(header)


def test_a_user_without_a_key_is_no_key() -> None:
    assert read_auth_string("alice:") == Credentials(key="alice")


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    return made


def test_only_who_has_signed_in_reaches_prefect_as_its_account(origin: Origin) -> None:
    internal = basic(INTERNAL).encode()
    for path, who, as_account in (
        ("/", None, False),
        ("/", "admin", False),
        ("/v2/assets/x.js", None, False),
        ("//api/flows/", None, False),
        ("/api/health", None, False),
        ("/api/health", "admin", False),
        ("/api/flows/", "admin", True),
    ):
        origin.passed.clear()
        forged = {"Prefect-Automation-Id": ID, "prefect-automation-name": "x", "X-Kept": "1"}
        assert origin.ask("GET", path, who, headers=forged).json() == {"prefect": True}
        headers = origin.passed[0]["headers"]
        assert [value for name, value in headers if name == b"authorization"] == [internal] * as_account
        assert not [name for name, _ in headers if name.startswith(b"prefect-automation")]
        assert (b"x-kept", b"1") in headers


def test_nobody_reaches_nothing(origin: Origin) -> None:
    for method, path in (("GET", "/api/flows/"), ("POST", "/api/health"), ("GET", "/API/flows/"), ("GET", "/apix")):
        assert origin.ask(method, path, None).status_code == 401
    assert origin.passed == []


@pytest.mark.parametrize("path", ["/", "/v2/", "/ui-settings"])
def test_nothing_that_is_sent_to_prefects_pages_is_read(origin: Origin, path: str) -> None:
    assert origin.ask("POST", path, None, content=b"x").status_code == 405
    assert origin.passed == []


def test_a_store_whose_file_is_gone_is_told_to_everybody_and_lets_nobody_in(origin: Origin) -> None:
    Path(str(origin.store._engine.url.database)).unlink()
    for path in ("/api/extras/jobs/", "/api/flows/", "/api/admin/settings", "/api/users/tokens/"):
        answer = origin.ask("GET", path)
        assert (answer.status_code, answer.json()["detail"]) == (503, FILE_GONE)
    assert origin.ask("GET", "/signoff/jobs", None, headers={"Cookie": f"{COOKIE}=x"}).status_code == 503
    assert origin.passed == []


def test_the_settings_of_prefects_pages_are_there_while_the_store_is_gone(origin: Origin) -> None:
    Path(str(origin.store._engine.url.database)).unlink()
    answer = origin.ask("GET", UI_SETTINGS, None, headers={"Cookie": f"{COOKIE}=x"})
    assert (answer.status_code, answer.json()) == (200, {"prefect": True})


def test_the_probes_ask_nobody_who_calls(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(*_args: object) -> None:
        raise AssertionError("They look at no credentials.")

    monkeypatch.setattr(origin.tokens, "caller", asked)
    monkeypatch.setattr(origin.sessions, "resume", asked)
    for path in ("/signoff/healthz", "/signoff/healthz/", "/signoff/readyz"):
        for headers in ({}, {"Authorization": "Token nonsense"}, {"Cookie": f"{COOKIE}=x"}):
            answer = origin.ask("GET", path, None, headers=headers)
            assert (answer.status_code, answer.json()["ok"]) == (200, True)
            assert answer.headers["Cache-Control"] == "no-store"
        assert origin.ask("POST", path, None).status_code == 403
    assert origin.passed == []


def test_a_server_that_cannot_work_says_so_to_everybody_and_that_it_lives(origin: Origin) -> None:
    Path(str(origin.store._engine.url.database)).unlink()
    assert origin.ask("GET", "/signoff/healthz", None).status_code == 200
    answer = origin.ask("GET", "/signoff/readyz", None)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json() == {
        "ok": False,
        "checks": {
            "store": {"ok": False, "detail": "The store cannot be written."},
            "prefect": {"ok": True, "detail": ""},
        },
    }


# Limits


def test_who_asks_too_often_is_told_when_to_ask_again_wherever_they_ask(sqlite_store: Store, clock: Clock) -> None:
    origin = Origin(sqlite_store, clock, limits=Limits(account_requests=2, address_requests=4))
    origin.user("alice")
    origin.user("bob")
    session, _ = asyncio.run(origin.sessions.sign_in("alice", origin.keys["alice"], ""))
    page = {"headers": {"Cookie": f"{COOKIE}={session}"}}

    def told(path: str, who: str | None, **how: Any) -> tuple[int, str | None]:
        answer = origin.ask("GET", path, who, **how)
        return answer.status_code, answer.headers.get("Retry-After")

    for path in ("/api/extras/jobs/", "/api/flows/"):
        assert told(path, "alice")[0] == 200
    for path in ("/api/extras/jobs/", "/api/flows/"):
        answer = origin.ask("GET", path, "alice")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
        assert answer.json() == {"detail": "You have made too many requests. Please try again in 30 seconds."}
    shown = origin.ask("GET", "/signoff/jobs", None, **page)
    assert (shown.status_code, "You have made too many requests." in shown.text) == (429, True)
    assert [told("/api/flows/", "bob")[0] for _ in range(2)] == [200, 200], "what alice was refused has not counted"
    shown = origin.ask("GET", "/signoff/jobs", None, **page)
    assert (shown.status_code, shown.headers["Retry-After"]) == (429, "15"), "all have come from one address"
    assert "Too many requests have come from your address. Please try again in 15 seconds." in shown.text
    for path in ("/api/extras/jobs/", "/api/flows/", "/"):
        assert told(path, None) == (429, "15"), "before it is asked who that is"
    assert told("/signoff/readyz", None)[0] == 200
    clock.forward(seconds=15)
    shown = origin.ask("GET", "/signoff/jobs", None, **page)
    assert (shown.status_code, "You have made too many requests." in shown.text) == (429, True)
    clock.forward(seconds=15)
    assert told("/signoff/jobs", None, **page)[0] == 200


def test_a_body_and_a_page_are_as_large_as_is_set(sqlite_store: Store, clock: Clock) -> None:
    origin = Origin(sqlite_store, clock, limits=Limits(body_bytes=20, page_size=1))
    origin.user()
    origin.job(name="One")
    origin.job(name="Two", id=uuid4())
    assert len(origin.ask("GET", "/api/extras/jobs/?limit=0").json()["results"]) == 1
    answer = origin.ask("POST", "/api/extras/jobs/One/run/", json={"data": {"name": "x" * 20}})
    assert (answer.status_code, answer.json()) == (413, {"detail": "The request body is larger than 20 bytes."})


def test_what_is_ours_never_reaches_prefect(origin: Origin) -> None:
    for path in ("/api", "/api/extras/nothing/", "/api/users/users/", "/signoff/x"):
        assert origin.ask("GET", path).status_code in {200, 404}
    assert origin.passed == []


# Decisions and requests on Prefect's own paths


OURS_RUN, OUR_DEPLOYMENT, ANOTHERS = UUID(ID), UUID(int=2), UUID(int=3)
RESUME, RUN = f"/api/flow_runs/{OURS_RUN}/resume", f"/api/deployments/{OUR_DEPLOYMENT}/create_flow_run"


class Known:
    """Says what is ours, or that nobody can say."""

    away = False

    async def has_run(self, run_id: UUID) -> bool:
        return self._is(run_id, OURS_RUN)

    async def has_deployment(self, deployment_id: UUID) -> bool:
        return self._is(deployment_id, OUR_DEPLOYMENT)

    def _is(self, thing_id: UUID, ours: UUID) -> bool:
        if self.away:
            raise Unavailable("The store cannot be reached now; please try again.")
        return thing_id == ours


class Gate(Origin):
    """A front that knows one run and one deployment as ours; remembers what has come to our application, and who."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        super().__init__(store, clock)
        self.known = Known()
        self.came: list[tuple[str, str]] = []
        self.front = Gateway(
            shim=self._shim,
            pages=self._shim,
            prefect=self._prefect,
            store=store,
            tokens=self.tokens,
            sessions=self.sessions,
            runs=self.runs,
            requests=self.known,  # type: ignore[arg-type]  # the same promise, of two questions
            suspensions=self.suspensions,
            internal=INTERNAL,
            refusals=self.refusals,
            rates=self.rates,
            origins=Origins("", ADDRESS),
            clock=clock,
        )

    async def _shim(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.came.append((scope["path"], scope["state"]["caller"].username))
        await JSONResponse({"ours": True})(scope, receive, send)

    def went(self, method: str, path: str, who: str | None = "carol", **how: Any) -> str:
        """Ask, and return where it went, or the status of the front's own answer."""
        self.came.clear()
        self.passed.clear()
        answer = self.ask(method, path, who, **how)
        if self.came or self.passed:
            assert len(self.came) + len(self.passed) == 1
            return "ours" if self.came else "Prefect's"
        return f"{answer.status_code} {answer.json()['detail']}"


@pytest.fixture
def gate(sqlite_store: Store, clock: Clock) -> Gate:
    """The admin may write in Prefect; carol may nothing at all."""
    made = Gate(sqlite_store, clock)
    made.user()
    made.user("carol", superuser=False)
    return made


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(str, id="as Prefect spells it"),
        pytest.param(lambda it: it.hex, id="without dashes"),
        pytest.param(lambda it: str(it).upper(), id="in upper case"),
        pytest.param(lambda it: it.hex.upper(), id="in upper case without dashes"),
        pytest.param(lambda it: f"{str(it)[:9]}{str(it)[9:].replace('-', '')}", id="with some of the dashes"),
        pytest.param(lambda it: f"{{{it}}}", id="in braces"),
        pytest.param(lambda it: f"%7B{it}%7D", id="in encoded braces"),
        pytest.param(lambda it: f"urn:uuid:{it}", id="as a URN"),
        pytest.param(lambda it: f"%{ord(str(it)[0]):x}{str(it)[1:]}", id="with an encoded digit"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"], ids=["", "with a slash behind it"])
def test_what_is_ours_comes_to_us_however_its_id_is_spelled(gate: Gate, spelling: Any, slash: str) -> None:
    for path in (
        f"/api/flow_runs/{spelling(OURS_RUN)}/resume{slash}",
        f"/api/deployments/{spelling(OUR_DEPLOYMENT)}/create_flow_run{slash}",
    ):
        for who in ("carol", "admin"):
            assert gate.went("POST", path, who) == "ours"
            [(came, caller)] = gate.came
            assert caller == who
            assert not came.endswith("/")


@pytest.mark.parametrize("path", ["/api/ui/schemas/validate", "/api/ui/schemas/validate/"])
def test_values_are_checked_by_our_rules_unless_the_caller_may_write_in_prefect(gate: Gate, path: str) -> None:
    assert gate.went("POST", path) == "ours"
    assert gate.came == [("/api/ui/schemas/validate", "carol")]
    assert gate.went("POST", path, "admin") == "Prefect's"
    assert gate.went("POST", f"{path}x") == f"403 {why_not_written(f'{path}x')}"


def test_only_reads_by_people_who_may_not_write_in_prefect_are_bounded(gate: Gate) -> None:
    for path, bound in (("/api/flow_runs/filter", FILTER), ("/api/events/filter", EVENTS_FILTER)):
        most = json.dumps({"sort": [0] * (bound.values - 2)})
        more = json.dumps({"sort": [0] * (bound.values - 1)})
        assert gate.went("POST", path, content=most) == "Prefect's"
        assert gate.went("POST", path, content=more) == f"413 The request has more than {bound.values} values."
        assert gate.went("POST", path, "admin", content=more) == "Prefect's"


NOT_GATED = [
    pytest.param("POST", f"/api/flow_runs/{ANOTHERS}/resume", id="a run of another"),
    pytest.param("POST", f"/api/deployments/{ANOTHERS}/create_flow_run", id="a deployment of another"),
    pytest.param("POST", f"/api/flow_runs/{OUR_DEPLOYMENT}/resume", id="a run with the id of a deployment of ours"),
    pytest.param(
        "POST", f"/api/deployments/{OURS_RUN}/create_flow_run", id="a deployment with the id of a run of ours"
    ),
    pytest.param("POST", f"/api/flow_runs/{OURS_RUN}/create_flow_run", id="a run, run"),
    pytest.param("POST", f"/api/deployments/{OUR_DEPLOYMENT}/resume", id="a deployment, resumed"),
    pytest.param("POST", "/api/flow_runs/nobody/resume", id="no id"),
    pytest.param("POST", f"/api/flow_runs/{ID}0/resume", id="an id with a digit more"),
    pytest.param("POST", f"/api/flow_runs/x/{ID}/resume", id="a folder more"),
    pytest.param("POST", f"/api//flow_runs/{ID}/resume", id="a slash more"),
    pytest.param("POST", f"{RESUME}//", id="two slashes behind it"),
    pytest.param("POST", f"{RESUME}%0A", id="a line end behind it"),
    pytest.param("POST", f"{RESUME}/x", id="something behind it"),
    pytest.param("POST", f"/API/flow_runs/{ID}/resume", id="in upper case"),
    pytest.param("POST", f"/api/flow_runs/{ID}/set_state", id="another path of a run of ours"),
    pytest.param("POST", f"/api/flow_runs/{ID}/input", id="an input of a run of ours"),
    pytest.param("POST", f"/api/deployments/{OUR_DEPLOYMENT}/resume_deployment", id="another one of a deployment"),
    pytest.param("POST", f"{RUN}/bulk", id="many runs of a deployment of ours"),
    pytest.param("POST", "/api/flow_runs/bulk_set_state", id="the states of many runs"),
    pytest.param("POST", "/api/flow_runs/bulk_delete", id="many runs, deleted"),
    pytest.param("POST", "/api/deployments/bulk_delete", id="many deployments, deleted"),
    pytest.param("PUT", RESUME, id="another method: PUT"),
    pytest.param("PATCH", RESUME, id="another method: PATCH"),
    pytest.param("DELETE", RUN, id="another method: DELETE"),
]


@pytest.mark.parametrize(("method", "path"), NOT_GATED)
def test_what_is_not_ours_to_answer_needs_the_permission_to_write_in_prefect(
    gate: Gate, method: str, path: str
) -> None:
    assert gate.went(method, path).startswith(f"403 {MAY_NOT_WRITE} ")
    assert gate.went(method, path, "admin") == "Prefect's"
    [passed] = gate.passed
    assert passed["method"] == method


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", [RESUME, RUN])
def test_reading_where_we_answer_is_prefects(gate: Gate, method: str, path: str) -> None:
    assert gate.went(method, path, "admin") == "Prefect's"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        pytest.param(None, "Authentication credentials were not provided.", id="without credentials"),
        pytest.param("Digest x", "Authentication credentials were not provided.", id="with another scheme"),
        pytest.param("Token nobody", "Invalid token", id="with a key that nobody has"),
        pytest.param(basic("admin:nobody"), "Invalid token", id="with another's key"),
        pytest.param("Basic !", "Invalid token", id="with what cannot be read"),
    ],
)
@pytest.mark.parametrize("path", [RESUME, RUN, f"/api/flow_runs/{ANOTHERS}/resume", f"{RUN}/bulk"])
def test_nobody_decides_or_runs_anything(gate: Gate, header: str | None, why: str, path: str) -> None:
    headers = {"Authorization": header} if header else {}
    assert gate.went("POST", path, None, headers=headers) == f"401 {why}"


def test_headers_do_not_say_who_decides(gate: Gate) -> None:
    forged = {"X-Forwarded-User": "admin", "X-HTTP-Method-Override": "GET", "Prefect-Automation-Id": ID}
    assert gate.went("POST", RESUME, "carol", headers=forged) == "ours"
    assert [caller for _, caller in gate.came] == ["carol"]
    assert gate.went("GET", RESUME, "admin", headers={"X-HTTP-Method-Override": "POST"}) == "Prefect's"


def test_while_nobody_can_say_what_is_ours_nothing_is_decided(gate: Gate) -> None:
    gate.known.away = True
    for path in (RESUME, RUN, f"/api/flow_runs/{ANOTHERS}/resume"):
        assert gate.went("POST", path, "admin") == "503 The store cannot be reached now; please try again."
    # What cannot be ours is not asked about.
    assert gate.went("POST", f"/api/flow_runs/{OURS_RUN}/set_state", "admin") == "Prefect's"
    assert gate.went("POST", "/api/flow_runs/nobody/resume", "admin") == "Prefect's"


def test_what_the_store_knows_is_ours(origin: Origin) -> None:
    result = make_result(job := make_job(deployment_id=uuid4()), None)
    one_off = make_scheduled(job, None, flow_run_id=uuid4())
    recurring = make_scheduled(job, None, deployment_id=uuid4())
    origin.add(job, result, one_off, recurring)
    for run_id in (result.id, one_off.flow_run_id):
        answer = origin.ask("POST", f"/api/flow_runs/{run_id}/resume", json={"run_input": {"decision": "approve"}})
        assert (answer.status_code, answer.json()["status"]) == (200, "REJECT")
        assert answer.json()["details"]["reason"] == "This run is not waiting for a decision."
    for deployment_id in (job.deployment_id, recurring.deployment_id):
        answer = origin.ask("POST", f"/api/deployments/{deployment_id}/create_flow_run", json={})
        assert answer.status_code >= 400
        assert answer.json() != {"prefect": True}
    assert origin.passed == []
    with origin.store.transaction(write=False) as tx:
        assert [it.id for it in tx.all(JobResult)] == [result.id]
    for other in (
        f"/api/flow_runs/{job.deployment_id}/resume",
        f"/api/flow_runs/{UUID(int=4)}/resume",
        f"/api/deployments/{one_off.flow_run_id}/create_flow_run",
        f"/api/deployments/{UUID(int=5)}/create_flow_run",
    ):
        assert origin.ask("POST", other, json={}).json() == {"prefect": True}
