"""What goes where, as whom, and what counts as a write: the tables of the front."""

from __future__ import annotations

import base64

import pytest

from api_shim.actors import Credentials, Unauthenticated
from api_shim.prefect_front import OURS, needs_write, read_auth_string, read_credentials
from api_shim.store import Store
from tests.api_shim.origin import INTERNAL, Origin
from tests.conftest import Clock

ID = "6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab"


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/status",
        "/api/extras/jobs/",
        "/api/extras",
        "/api/users/users/",
        "/api/signoff/admission",
        "/signoff",
        "/signoff/x",
        "/api/extras/\n",
    ],
)
def test_ours_is_what_the_contract_names(path: str) -> None:
    assert OURS.fullmatch(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/",
        "/api/health",
        "/api/flows/",
        "/api/statusx",
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
        ("POST", f"/api/flow_runs/{ID}/input/filter", False),
        ("POST", "/api/v2/concurrency_limits/filter", False),
        ("POST", "/api/v2/concurrency_limits/increment", True),
        ("POST", "/api/events/count-by/day", False),
        ("POST", "/api/events", True),
        ("POST", "/api/ui/flows/count-deployments", False),
        ("POST", "/api/ui/schemas/validate", False),
        ("POST", "/api/automations/templates/validate", False),
        ("POST", "/api/templates/validate", False),
        ("POST", "/api/work_pools/any name/queues/filter", False),
        ("POST", "/api/work_pools/filter/queues", True),
        ("POST", "/api/work_pools/x/get_scheduled_flow_runs", True),
        ("POST", "/api/deployments/get_scheduled_flow_runs", True),
        ("POST", "/api/block_schemas/filter", False),
        ("GET", "/api/block_documents/", True),
        ("GET", f"/api/block_documents/{ID}", True),
        ("HEAD", f"/api/block_documents/{ID}", True),
        ("POST", "/api/block_documents/filter", True),
        ("GET", "/api/block_types/slug/x/block_documents", True),
        ("GET", "/api/admin/settings", True),
        ("GET", "/api/admin/settings/", True),
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


def test_what_is_ours_never_reaches_prefect(origin: Origin) -> None:
    for path in ("/api", "/api/extras/nothing/", "/api/users/users/", "/signoff/x"):
        assert origin.ask("GET", path).status_code in {200, 404}
    assert origin.passed == []
