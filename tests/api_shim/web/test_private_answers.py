"""Which answers no cache may keep."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.datastructures import MutableHeaders

from api_shim.store import Store
from api_shim.web.private_answers import mark_private
from tests.api_shim.origin import Origin
from tests.conftest import Clock


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Iterator[Origin]:
    made = Origin(sqlite_store, clock)
    made.user()
    made.user("carol", superuser=False)
    return made


@pytest.mark.parametrize("who", [None, "carol", "admin"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/"),
        ("GET", "/api/extras/jobs/"),
        ("HEAD", "/api/extras/jobs/"),
        ("OPTIONS", "/api/extras/jobs/"),
        ("GET", "/api/extras/jobs/nothing/"),
        ("GET", "/api/nothing/"),
        ("GET", "/api/users/tokens/"),
        ("GET", "/api/flows/filter"),
        ("POST", "/api/flows/filter"),
        ("DELETE", "/api/flows/1"),
        ("POST", "/api/ui/schemas/validate"),
        ("GET", "/API/flows/"),
        ("GET", "/ui-settings"),
        ("GET", "/signoff/jobs"),
        ("GET", "/signoff/sign-in"),
        ("GET", "/signoff/nothing"),
    ],
)
def test_what_depends_on_who_asks_is_kept_by_no_cache(origin: Origin, method: str, path: str, who: str | None) -> None:
    headers = origin.ask(method, path, who).headers
    assert headers.get_list("cache-control") == ["no-store"]
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert {"cookie", "authorization"} <= {name.strip().lower() for name in headers["vary"].split(",")}


@pytest.mark.parametrize(
    ("path", "kept"),
    [("/api/docs/", True), ("/api/docs/start.js", True), ("/signoff/static/style.css", False), ("/v2/x.js", False)],
)
def test_what_is_the_same_for_everybody_may_be_kept(origin: Origin, path: str, kept: bool) -> None:
    headers = origin.ask("GET", path, None).headers
    assert "no-store" not in headers.get("cache-control", "")
    assert ("cache-control" in headers) is kept
    assert headers.get_list("x-content-type-options") == ["nosniff"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "Cookie, Authorization"),
        ("Accept", "Accept, Cookie, Authorization"),
        ("accept, COOKIE", "accept, COOKIE, Authorization"),
        ("Authorization,Cookie", "Authorization,Cookie"),
    ],
)
def test_what_an_answer_varies_by_is_kept(before: str | None, after: str) -> None:
    headers = MutableHeaders({"Vary": before} if before else {})
    mark_private(headers)
    assert headers["Vary"] == after
