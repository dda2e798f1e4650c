"""One table from error to status, by whichever edge the error reaches somebody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from api_shim.domain.accounts import COOKIE
from api_shim.domain.identity_providers import HalfRenewed, NotVouched
from api_shim.services.approvals import Approvals
from api_shim.services.authentication import Unauthenticated
from api_shim.services.provider_accounts import NotLetIn
from api_shim.services.schedule_changes import ScheduleChanges
from api_shim.services.schedules import Schedules
from api_shim.store import Duplicate, HeldElsewhere, Store
from api_shim.web.bodies import UnsupportedMediaType
from api_shim.web.errors import STATUS, NotAcceptable, body_of, headers_of, status_of
from approval_gate import errors
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import make_scheduled

TABLE: dict[type[errors.GateError], int] = {
    errors.Forbidden: 403,
    Unauthenticated: 403,
    errors.NotFound: 404,
    errors.TooLarge: 413,
    errors.Invalid: 400,
    errors.Conflict: 409,
    errors.NotRunnable: 405,
    errors.TooManyAttempts: 429,
    errors.Unavailable: 503,
    NotAcceptable: 406,
    UnsupportedMediaType: 415,
}


def kinds(kind: type[errors.GateError]) -> list[type[errors.GateError]]:
    """Return a kind and all kinds of it but those of the client, which no server raises."""
    children = [each for each in kind.__subclasses__() if not each.__module__.startswith(("api_shim.client", "tests"))]
    return [kind, *(each for child in children for each in kinds(child))]


def test_every_kind_of_error_has_a_status() -> None:
    # A name that is taken is told by whoever has asked for it. What is outdated is a conflict, but for If-Match; what
    # another server has locked is unavailable. Whom a provider does not vouch for is not signed in, which is told by
    # whoever has asked it.
    of_others = {errors.Outdated, HeldElsewhere, Duplicate, NotVouched, NotLetIn, HalfRenewed}
    listed = {*kinds(errors.GateError)} - {errors.GateError} - of_others
    assert listed == {*TABLE}
    assert status_of(HeldElsewhere("Another server is at it.")) == 503
    assert {*STATUS} == {*TABLE}
    with pytest.raises(TypeError, match="no status for GateError"):
        status_of(errors.GateError("No."))


def test_a_kind_of_a_kind_has_its_status() -> None:
    class Special(errors.Conflict):
        """A conflict of another name."""

    assert status_of(Special("No.")) == 409


@pytest.mark.parametrize(
    ("detail", "body"),
    [
        pytest.param("No.", {"detail": "No."}, id="a sentence"),
        pytest.param({"name": ["No."]}, {"name": ["No."]}, id="by field"),
        pytest.param([{}, {"id": ["No."]}], [{}, {"id": ["No."]}], id="by place"),
    ],
)
def test_what_was_said_is_answered(detail: Any, body: Any) -> None:
    assert body_of(errors.Invalid(detail)) == body


@pytest.mark.parametrize(
    ("error", "after", "headers"),
    [
        pytest.param(errors.Conflict, None, {}, id="nobody knows"),
        pytest.param(errors.Unavailable, None, {"Retry-After": "5"}, id="soon, for what may be back"),
        pytest.param(errors.Unavailable, 0.0, {"Retry-After": "1"}, id="now"),
        pytest.param(errors.Unavailable, 30.0, {"Retry-After": "30"}, id="whole seconds"),
        pytest.param(errors.TooManyAttempts, 30.01, {"Retry-After": "31"}, id="not earlier"),
    ],
)
def test_when_to_try_again_is_answered_where_it_is_known(
    error: type[errors.GateError], after: float | None, headers: Any
) -> None:
    assert headers_of(error("No.", after=after)) == headers


@dataclass
class Edges:
    """A superuser who asks the REST API with a token, and the pages in a session."""

    origin: Origin
    cookie: str
    csrf: str

    def rest(self, method: str, path: str, body: Any) -> Any:
        return self.origin.ask(method, f"/api/extras/{path}", json=body)

    def page(self, path: str, **sent: str) -> Any:
        headers = {"Cookie": f"{COOKIE}={self.cookie}"}
        return self.origin.ask("POST", f"/signoff/{path}", None, headers=headers, data={"csrf": self.csrf, **sent})


@pytest.fixture
def edges(sqlite_store: Store, clock: Clock) -> Iterator[Edges]:
    origin = Origin(sqlite_store, clock)
    origin.user()
    cookie, session = asyncio.run(origin.sessions.sign_in("", origin.keys["admin"], "192.0.2.1"))
    return Edges(origin, cookie, session.csrf)


@pytest.mark.parametrize(("kind", "status"), TABLE.items(), ids=lambda each: getattr(each, "__name__", None))
def test_the_pages_answer_as_the_rest_api(
    edges: Edges, kind: type[errors.GateError], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise kind("Not today.", after=7)

    for use_case, method in ((ScheduleChanges, "change"), (Approvals, "approve"), (Schedules, "request")):
        monkeypatch.setattr(use_case, method, refused)
    job = edges.origin.job(approval_required=True)
    edges.origin.add(row := make_scheduled(job, None, name="nightly", approval=ApprovalState.PENDING))
    pairs = {
        "change a schedule": (
            edges.rest("PATCH", f"scheduled-jobs/{row.id}/", {"name": "weekly"}),
            edges.page(f"scheduled-jobs/{row.id}/edit", name="weekly"),
        ),
        "disable a schedule": (
            edges.rest("PATCH", f"scheduled-jobs/{row.id}/", {"enabled": False}),
            edges.page(f"scheduled-jobs/{row.id}/enabled", enabled="no"),
        ),
        "approve a request": (
            edges.rest("POST", f"scheduled-jobs/{row.id}/approve/", {}),
            edges.page(f"approval-queue/{row.id}/approve"),
        ),
        "run a Job": (edges.rest("POST", f"jobs/{job.id}/run/", {}), edges.page(f"jobs/{job.id}/run")),
    }
    for what, (rest, page) in pairs.items():
        assert (rest.status_code, rest.json()) == (status, {"detail": "Not today."}), what
        assert rest.headers["Retry-After"] == "7", what
        if kind is Unauthenticated and page.status_code == 303:
            # Who is not signed in is sent to where people sign in.
            assert page.headers["Location"].startswith("/signoff/sign-in"), what
            continue
        assert page.status_code == status, what
        if what != "run a Job" or not issubclass(kind, errors.Invalid):
            # There, all that is wrong with what was typed is shown in its place.
            assert "Not today." in page.text, what
