"""Where a server is, and what may be sent there."""

from __future__ import annotations

import httpx
import pytest

from api_shim.client.transport import check_private, content_of, options, read_address
from approval_gate import errors

HERE = "http://127.0.0.1:4200"


def test_a_server_may_take_as_long_as_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNOFF_TIMEOUT", raising=False)
    assert options(read_address(HERE), None)["timeout"] == 30
    monkeypatch.setenv("SIGNOFF_TIMEOUT", "5")
    assert options(read_address(HERE), None)["timeout"] == 5
    monkeypatch.setenv("SIGNOFF_TIMEOUT", "soon")
    with pytest.raises(errors.Invalid, match=r"^SIGNOFF_TIMEOUT: Input should be a valid number"):
        options(read_address(HERE), None)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("127.0.0.1:4200", id="no scheme"),
        pytest.param("localhost:4200", id="a host for a scheme"),
        pytest.param("ftp://127.0.0.1", id="another scheme"),
        pytest.param("http://", id="no host"),
        pytest.param("http://127.0.0.1:99999", id="no such port"),
        pytest.param("http://127.0.0.1:port", id="a port in letters"),
        pytest.param("http://127.0.0.1/\x00", id="a control character"),
        pytest.param("http://127.0.0.1/\udcff", id="no text"),
        pytest.param(f"http://{'a' * 70}.example", id="a host that is too long"),
        pytest.param("http://127.0.0.1/?a=b", id="a query"),
        pytest.param("http://127.0.0.1/#a", id="a fragment"),
        pytest.param("http://alice:hunter2@127.0.0.1", id="a password"),
        pytest.param("http://127.0.0.1:hunter2@signoff.example", id="a host for a name"),
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(errors.Invalid, match=r"looks like http://127.0.0.1:4200") as refused:
        read_address(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "insecure", "sent"),
    [
        ("http://127.0.0.1:4200", False, True),
        ("http://signoff.example", False, False),
        ("http://signoff.example", True, True),
    ],
)
def test_the_token_leaves_this_machine_encrypted_or_by_wish(url: str, insecure: bool, sent: bool) -> None:
    address = read_address(url)
    if sent:
        check_private(address, insecure=insecure)
        return
    with pytest.raises(errors.Unavailable, match=r"^Others could read the token on its way to .*--insecure\.$"):
        check_private(address, insecure=insecure)


@pytest.mark.parametrize(
    ("url", "trusts"),
    [(HERE, False), ("https://signoff.example", True)],
)
def test_no_proxy_carries_away_what_is_to_stay_here(url: str, trusts: bool) -> None:
    assert options(read_address(url), None)["trust_env"] is trusts


def test_who_is_known_without_a_token_sends_none() -> None:
    assert "Authorization" not in options(read_address(HERE), None)["headers"]
    assert options(read_address(HERE), "key")["headers"]["Authorization"] == "Token key"


@pytest.mark.parametrize(
    ("header", "after"),
    [({"Retry-After": "30"}, 30.0), ({"Retry-After": "Mon, 04 May 2026 12:00:00 GMT"}, None), ({}, None)],
    ids=["seconds", "a date", "none"],
)
def test_an_error_says_when_to_try_again_if_the_server_did(header: dict[str, str], after: float | None) -> None:
    with pytest.raises(errors.Unavailable, match=r"^Later\.$") as refused:
        content_of(httpx.Response(503, headers=header, json={"detail": "Later."}), HERE)
    assert refused.value.after == after
